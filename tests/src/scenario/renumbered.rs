//! A product that knows the rows of a resource by numbers of its own.

use jiff::SignedDuration;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::scope::{Mode, Narrowing};

use super::marked::DAYS_OF_PUBLICITY_MAX;
use super::{Scenario, column};

/// Statistics of trips as [`TRIP_STATISTICS`](super::TRIP_STATISTICS) has them, with trips numbered otherwise.
pub const TRIP_RENUMBERED: &str = "trip_renumbered";

impl Scenario {
    /// A node with the product [`TRIP_RENUMBERED`], on SQLite.
    pub async fn open_renumbered(trips: usize) -> Scenario {
        let mut scenario = Scenario::open_behind(trips, DAYS_OF_PUBLICITY_MAX).await;
        let narrowing =
            Narrowing { modes: Some([Mode::Statistics].into()), cohort_floor: Some(10), ..Narrowing::default() };
        let sql = "SELECT trip_id * 2 AS number, line, day, delay FROM trips";
        let details = ProductDetails {
            key: vec![column("number")],
            dimensions: vec![column("line"), column("day")],
            ..scenario.product_details(TRIP_RENUMBERED, "trips", sql, narrowing)
        };
        let registration = scenario.draft(TRIP_RENUMBERED, details).await;
        scenario.certify(&[registration]).await;
        // The scenario's own is over by now.
        scenario.fix_permitted_revenue().await;
        scenario.list(&scenario.products[TRIP_RENUMBERED]).await;
        let left = scenario.app.clock().advance(SignedDuration::ZERO);
        scenario.app.clock().advance(left);
        scenario
    }
}
