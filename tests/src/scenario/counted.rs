//! A product whose rows are about somebody, so that a quota may count whom its answers are about.

use jiff::SignedDuration;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::scope::{Mode, Narrowing};

use super::marked::DAYS_OF_PUBLICITY_MAX;
use super::{Scenario, column};

/// Trips by lookup, rows and file. What a trip is about is its vehicle, which is the same for every [`VEHICLES`]th trip.
pub const TRIP_VEHICLES: &str = "trip_vehicles";

/// Vehicles that there are where there are as many trips.
pub const VEHICLES: u64 = 300;

/// The vehicle of a row of [`TRIP_VEHICLES`].
pub fn vehicle_of_row(row: u64) -> u64 {
    row % VEHICLES
}

impl Scenario {
    /// A node with the product [`TRIP_VEHICLES`] beside the others.
    pub async fn open_counted(database_url: Option<String>, trips: usize) -> Scenario {
        let mut scenario = Scenario::make_behind(database_url, trips, false, None, None, DAYS_OF_PUBLICITY_MAX).await;
        let narrowing =
            Narrowing { modes: Some([Mode::Lookup, Mode::Rows, Mode::File].into()), ..Narrowing::default() };
        let sql = "SELECT trip_id, line, day, delay, vehicle, note FROM trips";
        let details = ProductDetails {
            subject: Some(column("vehicle")),
            ..scenario.product_details(TRIP_VEHICLES, "trips", sql, narrowing)
        };
        let registration = scenario.draft(TRIP_VEHICLES, details).await;
        scenario.certify(&[registration]).await;
        // The scenario's own is over by now.
        scenario.fix_permitted_revenue().await;
        scenario.list(&scenario.products[TRIP_VEHICLES]).await;
        let left = scenario.app.clock().advance(SignedDuration::ZERO);
        scenario.app.clock().advance(left);
        scenario
    }
}
