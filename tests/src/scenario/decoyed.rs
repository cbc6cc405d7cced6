//! A product whose copies hold decoys.

use jiff::SignedDuration;
use lingqu_domain::marking::{MarkProfile, Marking};
use lingqu_domain::order::{OrderDetails, Quota};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::scope::{Mode, Narrowing, Purpose};

use super::marked::DAYS_OF_PUBLICITY_MAX;
use super::{Ordered, PURPOSE, Scenario, Who, trips_csv};

/// Trips by rows and files, of which every third number was never given out; among a million there are a thousand that do not
/// exist, and nothing else is marked.
pub const TRIP_DECOYED: &str = "trip_decoyed";

/// Trips that the scenario begins with, without a gap between their numbers.
pub(super) const DENSE: usize = 100;

impl Scenario {
    /// A node with the product [`TRIP_DECOYED`] over trips with numbers below `numbers`, on SQLite.
    pub async fn open_decoyed(numbers: usize) -> Scenario {
        let mut scenario = Scenario::open_behind(DENSE, DAYS_OF_PUBLICITY_MAX).await;
        scenario.take_in_sparse(numbers).await;
        scenario.offer_decoyed().await;
        let left = scenario.app.clock().advance(SignedDuration::ZERO);
        scenario.app.clock().advance(left);
        scenario
    }

    /// A snapshot without the trips that three divides.
    async fn take_in_sparse(&self, numbers: usize) {
        self.replace_trips(trips_csv((0..numbers).filter(|trip| trip % 3 != 0))).await;
    }

    async fn offer_decoyed(&mut self) {
        let details = self.decoyed_details();
        let registration = self.draft(TRIP_DECOYED, details).await;
        self.certify(&[registration]).await;
        self.fix_permitted_revenue().await;
        self.list(&self.products[TRIP_DECOYED]).await;
    }

    /// The product as its operator drafts it.
    pub fn decoyed_details(&self) -> ProductDetails {
        let marking = Marking {
            profile: MarkProfile::Aes,
            marks: Vec::new(),
            omitted_per_million: 0,
            decoys_per_million: 1_000,
            keeps: None,
        };
        let narrowing = Narrowing { modes: Some([Mode::Rows, Mode::File].into()), ..Narrowing::default() };
        let sql = "SELECT trip_id, line, day, delay, vehicle FROM trips";
        ProductDetails { marking: Some(marking), ..self.product_details(TRIP_DECOYED, "trips", sql, narrowing) }
    }

    /// An order as a consumer asks for it.
    pub fn asked(&self, product: &str, modes: &[Mode]) -> OrderDetails {
        OrderDetails {
            product: self.products[product].clone(),
            purpose: Purpose(PURPOSE.to_owned()),
            modes: modes.iter().copied().collect(),
            term: self.term_days(30),
            quota: Quota { calls: 10, ..Quota::default() },
        }
    }

    /// Places an order of [`TRIP_DECOYED`] whose keys the auditor gives its shares of.
    pub async fn order_decoyed(&self, consumer: Who) -> Ordered {
        let order = self.order(consumer, TRIP_DECOYED, &[Mode::Rows, Mode::File], (100_000, 1_000)).await;
        self.give_key_shares(&order.id).await;
        order
    }

    /// Gives the consumer of an order another copy. Chance may have laid no decoy in the first of a small table, or the same as in another's.
    pub async fn redraw_copy(&self, order: &Ordered) {
        self.renew_mark_keys(&order.id).await;
        self.give_key_shares(&order.id).await;
    }
}
