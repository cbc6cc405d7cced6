//! A resource whose data stays in its department's PostgreSQL, and a product over it.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_app::{ConnectionSetting, ConnectionTarget};
use lingqu_domain::command::Command;
use lingqu_domain::id::{RegistrationId, ResourceId};
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::registration::Registrable;
use lingqu_domain::resource::{DataType, LiveSource, Nature, ResourceDetails};
use lingqu_domain::scope::{Mode, Narrowing, Precision, Precisions};
use zeroize::Zeroizing;

use super::{Scenario, Who, column, resource_details};

/// Rows and statistics of vehicles of the north, read from their department's database for each answer: key `id`, dimension
/// `kind`; `plate` leaves as a pseudonym of the consumer.
pub const FLEET_NOW: &str = "fleet_now";

/// The department's table, made by a test in its database: 200 vehicles, of which every fourth is of the south and of a code that
/// is no number.
pub const FLEET_SQL: &str =
    "CREATE TABLE public.fleet (id int PRIMARY KEY, region text NOT NULL, kind text, plate text, code text,
      mileage int, cost numeric(12,2));
    INSERT INTO public.fleet SELECT i, CASE WHEN i % 4 = 0 THEN 'south' ELSE 'north' END,
      (ARRAY['bus', 'taxi', 'truck'])[1 + i % 3], 'GX-' || i, CASE WHEN i % 4 = 0 THEN 'hidden-' || i ELSE i::text END,
      i * 10, i + 0.25 FROM generate_series(1, 200) i";

impl Scenario {
    /// A node with the product [`FLEET_NOW`] over the table `public.fleet` of a database, which must be there.
    pub async fn open_live(database_url: Option<String>, department_url: &str) -> Scenario {
        Scenario::make(database_url, 10, false, None, Some(department_url)).await
    }

    /// What the fleet's catalogue entry says.
    pub fn fleet_details() -> ResourceDetails {
        let columns = [
            ("id", DataType::Integer),
            ("region", DataType::Text),
            ("kind", DataType::Text),
            ("plate", DataType::Text),
            ("code", DataType::Text),
            ("mileage", DataType::Integer),
            ("cost", DataType::Decimal),
        ];
        resource_details("fleet", &columns, "id", Nature::Real)
    }

    /// Where the fleet's data stays.
    pub fn fleet_source() -> LiveSource {
        LiveSource { connection: "transport".to_owned(), schema: "public".to_owned(), table: "fleet".to_owned() }
    }

    /// Names the department's connection, and one of another party.
    fn connect(&self, department_url: &str) {
        let connection = |who: Who| ConnectionSetting {
            provider: self.parties[&who].clone(),
            target: ConnectionTarget::Database(Zeroizing::new(department_url.to_owned())),
        };
        let connections = [("transport", Who::Provider), ("elsewhere", Who::Competent)]
            .map(|(name, who)| (name.parse().expect("a name"), connection(who)));
        self.app.set_connections(connections.into()).expect("the connections are named once");
    }

    pub(super) async fn declare_fleet(&mut self, department_url: &str) -> RegistrationId {
        self.connect(department_url);
        let clerk = self.clerks[&Who::Provider].clone();
        let draft = Command::DraftResource { details: Box::new(Scenario::fleet_details()) };
        let resource: ResourceId = self.give(&clerk, draft, "resource.drafted").await;
        let declared = self.app.declare_live(&clerk, &resource, Scenario::fleet_source()).await;
        declared.expect("the table is as its catalogue entry says");
        self.act(&self.chiefs[&Who::Provider], Command::SignResource { resource: resource.clone() }).await;
        let apply = Command::ApplyRegistration { object: Registrable::Resource(resource.clone()) };
        self.resources.insert("fleet", resource);
        self.give(&clerk, apply, "registration.applied").await
    }

    /// Vehicles of the north alone.
    pub(super) fn fleet_narrowing() -> Narrowing {
        Narrowing {
            rows: vec![Predicate::Compare {
                column: column("region"),
                comparison: Comparison::Equal,
                value: Literal::Text("north".to_owned()),
            }],
            ..Narrowing::default()
        }
    }

    pub(super) async fn offer_fleet(&mut self) {
        let modes = [Mode::Rows, Mode::Statistics, Mode::Lookup, Mode::File];
        let mut columns: BTreeMap<_, _> =
            ["id", "kind", "code", "mileage", "cost"].map(|name| (column(name), None)).into();
        let mut plate = Precisions::all_of(&Mode::IN_DOMAIN, Precision::Exact);
        for mode in modes {
            plate.0.insert(mode, Precision::PseudonymOfConsumer);
        }
        columns.insert(column("plate"), Some(plate));
        let narrowing = Narrowing {
            columns: Some(columns),
            modes: Some(BTreeSet::from(modes)),
            cohort_floor: Some(10),
            ..Narrowing::default()
        };
        let sql = "SELECT id, kind, plate, code, mileage, cost FROM fleet";
        let details = ProductDetails {
            key: vec![column("id")],
            dimensions: vec![column("kind")],
            ..self.product_details(FLEET_NOW, "fleet", sql, narrowing)
        };
        let registration = self.draft(FLEET_NOW, details).await;
        self.certify(&[registration]).await;
        self.list(&self.products[FLEET_NOW]).await;
    }
}
