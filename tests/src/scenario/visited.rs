//! A product about persons that is open to rows, so that with their consent rows of theirs leave, and statistics count them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::SignedDuration;
use lingqu_domain::consent::ConsentDetails;
use lingqu_domain::id::PermitId;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::resource::{DataType, Grade, Nature, ResourceDetails};
use lingqu_domain::scope::{Mode, Narrowing};

use super::decoyed::DENSE;
use super::marked::DAYS_OF_PUBLICITY_MAX;
use super::{Scenario, column, id_number, resource_details};

/// Visits by rows, file and statistics, with the visitor's consent: key `visit_id`, subject `id_number`, dimension `district`.
pub const PERSON_VISITS: &str = "person_visits";

/// Visitors, numbered as by [`id_number`]. Those with an even number were in the east, the others in the west.
pub const VISITORS: usize = 30;

/// Visits of each of them, which follow one another: enough that a stream of all of them is several batches.
pub const VISITS_OF_EACH: usize = 600;

const TABLE: &str = "visits";
const MODES: [Mode; 3] = [Mode::Rows, Mode::File, Mode::Statistics];

fn visits_csv() -> String {
    let mut csv = "visit_id,id_number,district,minutes\n".to_owned();
    for visit in 0..VISITORS * VISITS_OF_EACH {
        let visitor = visit / VISITS_OF_EACH;
        let district = if visitor.is_multiple_of(2) { "east" } else { "west" };
        writeln!(csv, "{visit},{},{district},{}", id_number(visitor), visit % 90)
            .expect("writing into memory can't fail");
    }
    csv
}

fn visits_details() -> ResourceDetails {
    let columns = [
        ("visit_id", DataType::Integer),
        ("id_number", DataType::Text),
        ("district", DataType::Text),
        ("minutes", DataType::Integer),
    ];
    let mut details = resource_details(TABLE, &columns, "visit_id", Nature::Synthetic);
    details.subject = Some(column("id_number"));
    details.personal_basis = Some("履行法定职责所必需".to_owned());
    for column in &mut details.columns {
        column.grade = Grade::General1;
    }
    details
}

impl Scenario {
    /// A node with the product [`PERSON_VISITS`], on SQLite.
    pub async fn open_visited() -> Scenario {
        // The resource and the product are certified one after the other.
        let mut scenario = Scenario::open_behind(DENSE, 2 * DAYS_OF_PUBLICITY_MAX).await;
        scenario.add_resource(TABLE, visits_details(), visits_csv(), Narrowing::default()).await;
        scenario.offer_visits().await;
        let left = scenario.app.clock().advance(SignedDuration::ZERO);
        scenario.app.clock().advance(left);
        scenario
    }

    async fn offer_visits(&mut self) {
        let narrowing = Narrowing { modes: Some(MODES.into()), ..Narrowing::default() };
        let sql = "SELECT visit_id, id_number, district, minutes FROM visits";
        let details = ProductDetails {
            key: vec![column("visit_id")],
            subject: Some(column("id_number")),
            dimensions: vec![column("district")],
            ..self.product_details(PERSON_VISITS, TABLE, sql, narrowing)
        };
        let registration = self.draft(PERSON_VISITS, details).await;
        self.certify(&[registration]).await;
        // The scenario's own is over by now.
        self.fix_permitted_revenue().await;
        self.list(&self.products[PERSON_VISITS]).await;
    }

    /// The permit that [`PERSON_VISITS`] stands on.
    pub fn visits_permit(&self) -> &PermitId {
        &self.permits[TABLE]
    }

    /// What a visitor's consent to the first consumer permits.
    pub fn visitor_consent(&self) -> ConsentDetails {
        ConsentDetails { resources: BTreeSet::from([self.resources[TABLE].clone()]), ..self.consent_details() }
    }
}
