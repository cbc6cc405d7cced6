//! A product in which a code determines what is marked, so that its mark hangs on the code.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use lingqu_domain::marking::{Keeps, MarkProfile, Marking};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::scope::{Mode, Narrowing};

use super::decoyed::DENSE;
use super::marked::{DAYS_OF_PUBLICITY_MAX, delay_mark, wide};
use super::{Ordered, Scenario, Trip, Who, column, csv_of};

/// Trips by verification and every mode by which values leave, as [`Trip::by_line`] makes them: all trips of a line have one
/// delay, which is a minute off in each copy, the same in all of the line's trips.
pub const TRIP_BY_LINE: &str = "trip_by_line";

/// Trips that [`TRIP_BY_LINE`] has.
pub const TRIPS_BY_LINE: usize = 12_900;

/// Lines of hundreds of trips each, with their delays. A minute more or less is a prime number, so that no copy's values look
/// rounded.
pub const BUSY_LINES: [(&str, i64); 3] = [("B1", 30), ("B2", 72), ("B3", 102)];

/// One in so many trips is of a busy line.
const BUSY_EVERY: usize = 14;
/// Lines of three trips or four.
const LINES: usize = 4_000;

impl Trip {
    /// The trip of a number where the line says how late its trips are: never of a seventh of the lines, and up to two hours of
    /// the others. Nothing else says it, and the delay says nothing else.
    pub fn by_line(trip_id: usize) -> Trip {
        let (line, delay) = if trip_id.is_multiple_of(BUSY_EVERY) {
            let (line, delay) = BUSY_LINES[trip_id / BUSY_EVERY % BUSY_LINES.len()];
            (line.to_owned(), Some(delay))
        } else {
            let number = trip_id % LINES;
            (format!("L{number:04}"), (number % 7 != 3).then(|| drawn(number, 1, 120) as i64))
        };
        let day = format!("2025-03-{:02}", drawn(trip_id, 2, 28) + 1);
        let vehicle = format!("GX-{:05}", drawn(trip_id, 3, 300));
        Trip { line, delay, day, vehicle, ..Trip::of(trip_id) }
    }
}

/// A number below a limit that looks drawn and is the same each time (SplitMix64).
pub(super) fn drawn(number: usize, salt: u64, below: u64) -> u64 {
    let mut drawn = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd1b5_4a32_d192_ed03);
    drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (drawn ^ (drawn >> 31)) % below
}

impl Scenario {
    /// A node with the product [`TRIP_BY_LINE`], on SQLite.
    pub async fn open_by_line() -> Scenario {
        let mut scenario = Scenario::open_behind(DENSE, DAYS_OF_PUBLICITY_MAX).await;
        scenario.replace_trips(csv_of((0..TRIPS_BY_LINE).map(Trip::by_line))).await;
        scenario.offer_by_line().await;
        let left = scenario.app.clock().advance(SignedDuration::ZERO);
        scenario.app.clock().advance(left);
        scenario
    }

    async fn offer_by_line(&mut self) {
        let details = self.by_line_details(&["line"]);
        let registration = self.draft(TRIP_BY_LINE, details).await;
        self.certify(&[registration]).await;
        // The scenario's own is over by now.
        self.fix_permitted_revenue().await;
        self.list(&self.products[TRIP_BY_LINE]).await;
    }

    /// The product as its operator drafts it, with a mark that hangs on these columns.
    pub fn by_line_details(&self, by: &[&str]) -> ProductDetails {
        let marking = Marking {
            profile: MarkProfile::Aes,
            marks: vec![delay_mark(by.iter().map(|name| column(name)).collect())],
            omitted_per_million: 0,
            decoys_per_million: 0,
            keeps: Some(Keeps { moments: wide(), ..Keeps::default() }),
        };
        let modes = BTreeSet::from([Mode::Verification, Mode::Lookup, Mode::Rows, Mode::File]);
        let narrowing = Narrowing { modes: Some(modes), ..Narrowing::default() };
        let sql = "SELECT trip_id, line, day, delay, vehicle, note FROM trips";
        ProductDetails { marking: Some(marking), ..self.product_details(TRIP_BY_LINE, "trips", sql, narrowing) }
    }

    /// Places an order of [`TRIP_BY_LINE`] whose keys the auditor gives its shares of.
    pub async fn order_by_line(&self, consumer: Who, modes: &[Mode]) -> Ordered {
        let order = self.order(consumer, TRIP_BY_LINE, modes, (100_000, 1_000)).await;
        self.give_key_shares(&order.id).await;
        order
    }
}
