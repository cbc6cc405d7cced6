//! Resources whose data stays in their department's PostgreSQL, and products over them.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_app::{ConnectionSetting, ConnectionTarget};
use lingqu_domain::command::Command;
use lingqu_domain::consent::ConsentDetails;
use lingqu_domain::id::{RegistrationId, ResourceId};
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::registration::Registrable;
use lingqu_domain::resource::{DataType, LiveSource, Nature, Openness, ResourceDetails, Sharing};
use lingqu_domain::scope::{Mode, Narrowing, Precision, Precisions};
use zeroize::Zeroizing;

use super::{Scenario, Who, column, resource_details};

/// Rows and statistics of vehicles of the north, read from their department's database for each answer: key `id`, dimension
/// `kind`; `plate` leaves as a pseudonym of the consumer.
pub const FLEET_NOW: &str = "fleet_now";

/// Verification and statistics of residents, with their consent, read from their department's database: key and subject
/// `id_number`, dimension `district`.
pub const RESIDENT_NOW: &str = "resident_now";

/// The department's tables, made by a test in its database: 200 vehicles, of which every fourth is of the south and of a code that
/// is no number; and 100 residents, numbered as by [`id_number`](super::id_number), of whom those with an even number have 3
/// points and the others 12.
pub const FLEET_SQL: &str =
    "CREATE TABLE public.fleet (id int PRIMARY KEY, region text NOT NULL, kind text, plate text, code text,
      mileage int, cost numeric(12,2));
    INSERT INTO public.fleet SELECT i, CASE WHEN i % 4 = 0 THEN 'south' ELSE 'north' END,
      (ARRAY['bus', 'taxi', 'truck'])[1 + i % 3], 'GX-' || i, CASE WHEN i % 4 = 0 THEN 'hidden-' || i ELSE i::text END,
      i * 10, i + 0.25 FROM generate_series(1, 200) i;
    CREATE TABLE public.residents (id_number varchar(18) PRIMARY KEY, name text, points int, district text NOT NULL);
    INSERT INTO public.residents SELECT '45000019900101' || lpad(i::text, 4, '0'), '某人' || i,
      CASE WHEN i % 2 = 0 THEN 3 ELSE 12 END, CASE WHEN i % 3 = 0 THEN 'east' ELSE 'west' END
    FROM generate_series(0, 99) i";

impl Scenario {
    /// A node with the products [`FLEET_NOW`] and [`RESIDENT_NOW`] over tables of a database, in which [`FLEET_SQL`] was run.
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

    /// What the residents' catalogue entry says.
    pub fn residents_details() -> ResourceDetails {
        let columns = [
            ("id_number", DataType::Text),
            ("name", DataType::Text),
            ("points", DataType::Integer),
            ("district", DataType::Text),
        ];
        ResourceDetails {
            subject: Some(column("id_number")),
            key_names_subject: false,
            personal_basis: Some("履行法定职责所必需".to_owned()),
            sharing: Sharing::Conditional { conditions: "须经本人同意".to_owned() },
            openness: Openness::NotOpen,
            ..resource_details("residents", &columns, "id_number", Nature::Synthetic)
        }
    }

    /// What a consent to the first consumer about a resident permits.
    pub fn resident_consent(&self) -> ConsentDetails {
        ConsentDetails { resources: BTreeSet::from([self.resources["residents"].clone()]), ..self.consent_details() }
    }

    /// Declares both tables; gives the registrations that are applied for.
    pub(super) async fn declare_live_tables(&mut self, department_url: &str) -> Vec<RegistrationId> {
        self.connect(department_url);
        let clerk = self.clerks[&Who::Provider].clone();
        let mut registrations = Vec::new();
        for (table, details) in [("fleet", Scenario::fleet_details()), ("residents", Scenario::residents_details())] {
            let draft = Command::DraftResource { details: Box::new(details) };
            let resource: ResourceId = self.give(&clerk, draft, "resource.drafted").await;
            let source = LiveSource { table: table.to_owned(), ..Scenario::fleet_source() };
            let declared = self.app.declare_live(&clerk, &resource, source).await;
            declared.expect("the table is as its catalogue entry says");
            self.act(&self.chiefs[&Who::Provider], Command::SignResource { resource: resource.clone() }).await;
            let apply = Command::ApplyRegistration { object: Registrable::Resource(resource.clone()) };
            self.resources.insert(table, resource);
            registrations.push(self.give(&clerk, apply, "registration.applied").await);
        }
        registrations
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

    /// Not the names.
    pub(super) fn residents_narrowing() -> Narrowing {
        Narrowing {
            columns: Some(["id_number", "points", "district"].map(|name| (column(name), None)).into()),
            modes: Some(BTreeSet::from([Mode::Compute, Mode::Verification, Mode::Statistics])),
            ..Narrowing::default()
        }
    }

    pub(super) async fn offer_live(&mut self) {
        let fleet = self.draft_fleet().await;
        let narrowing =
            Narrowing { modes: Some(BTreeSet::from([Mode::Verification, Mode::Statistics])), ..Narrowing::default() };
        let sql = "SELECT id_number, points, district FROM residents";
        let details = ProductDetails {
            key: vec![column("id_number")],
            subject: Some(column("id_number")),
            dimensions: vec![column("district")],
            ..self.product_details(RESIDENT_NOW, "residents", sql, narrowing)
        };
        let residents = self.draft(RESIDENT_NOW, details).await;
        self.certify(&[fleet, residents]).await;
        for product in [FLEET_NOW, RESIDENT_NOW] {
            self.list(&self.products[product]).await;
        }
    }

    async fn draft_fleet(&mut self) -> RegistrationId {
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
        self.draft(FLEET_NOW, details).await
    }
}
