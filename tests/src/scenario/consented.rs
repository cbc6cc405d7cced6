//! A product about persons whose rows and files leave, with the consent of each of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::SignedDuration;
use lingqu_domain::consent::ConsentDetails;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::resource::{DataType, Nature, Openness, ResourceDetails, Sharing};
use lingqu_domain::scope::{Mode, Narrowing};

use super::decoyed::DENSE;
use super::marked::DAYS_OF_PUBLICITY_MAX;
use super::{Scenario, column, id_number, resource_details};

/// Rides by lookup, rows and file: key `ride_id`, columns `stop` and `fare`. Whose they are decides which there are, and is not
/// shown.
pub const RIDE_RECORDS: &str = "ride_records";

/// Rides that there are.
pub const RIDES: usize = 60;

/// Who takes them, one after the other.
const RIDERS: usize = 6;

const TABLE: &str = "rides";

/// The person whose ride it is.
pub fn rider_of(ride: usize) -> usize {
    ride % RIDERS
}

fn rides_details() -> ResourceDetails {
    let columns = [
        ("ride_id", DataType::Integer),
        ("id_number", DataType::Text),
        ("stop", DataType::Text),
        ("fare", DataType::Integer),
    ];
    ResourceDetails {
        subject: Some(column("id_number")),
        key_names_subject: false,
        personal_basis: Some("履行法定职责所必需".to_owned()),
        sharing: Sharing::Conditional { conditions: "须经本人同意".to_owned() },
        openness: Openness::Conditional,
        ..resource_details(TABLE, &columns, "ride_id", Nature::Real)
    }
}

fn rides_csv() -> String {
    let mut csv = "ride_id,id_number,stop,fare\n".to_owned();
    for ride in 0..RIDES {
        let person = id_number(rider_of(ride));
        writeln!(csv, "{ride},{person},S{},{}", ride % 9, 200 + ride).expect("writing into memory can't fail");
    }
    csv
}

impl Scenario {
    /// A node with the product [`RIDE_RECORDS`], on SQLite. Its clock runs a day behind the machine's, so that a test can let time
    /// pass.
    pub async fn open_consented() -> Scenario {
        // The resource and the product are certified one after the other.
        let mut scenario = Scenario::open_behind(DENSE, 2 * DAYS_OF_PUBLICITY_MAX + 1).await;
        // Of what is opened on conditions nothing leaves that the permit does not name.
        let modes = BTreeSet::from([Mode::Compute, Mode::Lookup, Mode::Rows, Mode::File]);
        let narrowing = Narrowing { modes: Some(modes), ..Narrowing::default() };
        scenario.add_resource(TABLE, rides_details(), rides_csv(), narrowing).await;
        scenario.offer_rides().await;
        let left = scenario.app.clock().advance(SignedDuration::ZERO);
        scenario.app.clock().advance(left - SignedDuration::from_hours(24));
        scenario
    }

    /// What a rider's consent to the first consumer permits.
    pub fn ride_consent(&self) -> ConsentDetails {
        ConsentDetails { resources: BTreeSet::from([self.resources[TABLE].clone()]), ..self.consent_details() }
    }

    async fn offer_rides(&mut self) {
        let narrowing = Narrowing {
            columns: Some(["ride_id", "stop", "fare"].map(|name| (column(name), None)).into()),
            modes: Some(BTreeSet::from([Mode::Lookup, Mode::Rows, Mode::File])),
            ..Narrowing::default()
        };
        let sql = "SELECT ride_id, id_number, stop, fare FROM rides";
        let details = ProductDetails {
            key: vec![column("ride_id")],
            subject: Some(column("id_number")),
            ..self.product_details(RIDE_RECORDS, TABLE, sql, narrowing)
        };
        let registration = self.draft(RIDE_RECORDS, details).await;
        self.certify(&[registration]).await;
        // The scenario's own is over by now.
        self.fix_permitted_revenue().await;
        self.list(&self.products[RIDE_RECORDS]).await;
    }
}
