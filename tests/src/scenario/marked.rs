//! A product whose copies are marked, and its orders with their keys.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use lingqu_app::RegulatorHalf;
use lingqu_domain::command::Command;
use lingqu_domain::id::OrderId;
use lingqu_domain::marking::{
    Carrier, Dependency, Encoding, Keeps, Mark, MarkDeclaration, MarkLimits, MarkProfile, Marking, Member,
    MomentBounds, Tolerance,
};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::scope::{ColumnName, Mode, Narrowing};
use rust_decimal::Decimal;

use super::{Ordered, Scenario, Who, column};

/// Trips by every mode, marked where values leave: every `delay` is a minute off, and each copy lacks
/// [`TRIP_MARKED_OMITTED`] of the rows.
pub const TRIP_MARKED: &str = "trip_marked";

/// The share of rows that copies of [`TRIP_MARKED`] lack.
pub const TRIP_MARKED_OMITTED: f64 = 0.02;

/// More days than a publicity period has.
pub(super) const DAYS_OF_PUBLICITY_MAX: u32 = 40;

/// The half that the scenario's auditor holds, as `lingqu regulator init` writes one.
const HALF: &str = "lingqu regulator half v1\n5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a\n";

/// What the provider of trips declares: minutes of delay may be off by two, a copy may lack five rows in a hundred, and hold one
/// in a thousand that does not exist.
pub(super) fn declaration() -> MarkDeclaration {
    let tolerances = BTreeMap::from([(column("delay"), Tolerance::Number(Decimal::TWO))]);
    MarkDeclaration {
        credit_data: false,
        limits: MarkLimits { tolerances, omitted_per_million: 50_000, decoys_per_million: 1_000, moments: wide() },
    }
}

/// A few hundred rows that are all marked move a mean by more than the usual bound.
pub(super) fn wide() -> MomentBounds {
    MomentBounds { mean_per_million: 20_000, deviation_per_million: 20_000, ..MomentBounds::default() }
}

/// A mark that moves every delay by a minute, and hangs on these columns; on the row where there is none.
pub(super) fn delay_mark(by: BTreeSet<ColumnName>) -> Mark {
    let member = Member {
        column: column("delay"),
        encoding: Encoding::Lattice { step: Decimal::ONE },
        coefficient: 1,
        least: None,
        greatest: None,
    };
    Mark {
        name: column("delay"),
        rate_per_million: 1_000_000,
        by,
        carrier: Carrier::Number { members: vec![member], amplitude: 1 },
    }
}

impl Scenario {
    /// A node with the product [`TRIP_MARKED`], on SQLite.
    pub async fn open_marked(trips: usize) -> Scenario {
        Scenario::open_marked_behind(trips, SignedDuration::ZERO).await
    }

    /// The same on a node whose clock runs so far behind the machine's, so that a test can let time pass.
    pub async fn open_marked_behind(trips: usize, behind: SignedDuration) -> Scenario {
        // Certifying the product takes the days of its publicity.
        let mut scenario = Scenario::open_behind(trips, DAYS_OF_PUBLICITY_MAX).await;
        scenario.offer_marked().await;
        let left = scenario.app.clock().advance(SignedDuration::ZERO);
        scenario.app.clock().advance(left - behind);
        scenario
    }

    async fn offer_marked(&mut self) {
        // The line follows from the trip's number as the delay does, so below 1,000 trips the one determines the other.
        let of_numbers = Dependency { by: BTreeSet::from([column("delay")]), column: column("line") };
        let keeps = Keeps { moments: wide(), breaks: BTreeSet::from([of_numbers]), ..Keeps::default() };
        let marking = Marking {
            profile: MarkProfile::Aes,
            marks: vec![delay_mark(BTreeSet::new())],
            omitted_per_million: 20_000,
            decoys_per_million: 0,
            keeps: Some(keeps),
        };
        let modes = BTreeSet::from([Mode::Verification, Mode::Statistics, Mode::Lookup, Mode::Rows, Mode::File]);
        let narrowing = Narrowing { modes: Some(modes), ..Narrowing::default() };
        let sql = "SELECT trip_id, line, day, delay, vehicle, note FROM trips";
        let details = ProductDetails {
            marking: Some(marking),
            dimensions: vec![column("line")],
            ..self.product_details(TRIP_MARKED, "trips", sql, narrowing)
        };
        let registration = self.draft(TRIP_MARKED, details).await;
        self.certify(&[registration]).await;
        // The scenario's own is over by now.
        self.fix_permitted_revenue().await;
        self.list(&self.products[TRIP_MARKED]).await;
    }

    /// Places an order of [`TRIP_MARKED`] whose keys the auditor gives its shares of.
    pub async fn order_marked(&self, consumer: Who, modes: &[Mode]) -> Ordered {
        let order = self.order(consumer, TRIP_MARKED, modes, (100_000, 1_000)).await;
        self.give_key_shares(&order.id).await;
        order
    }

    /// The auditor ends the codes of an order's consumer, after they were disclosed for a case.
    pub async fn renew_mark_keys(&self, order: &OrderId) {
        let renew = Command::RenewMarkKeys { order: order.clone(), reason: "密钥已在案件中公开".to_owned() };
        self.act(self.chief(Who::Auditor), renew).await;
    }

    /// The auditor gives its shares of an order's keys.
    pub async fn give_key_shares(&self, order: &OrderId) {
        let half = RegulatorHalf::read(HALF).expect("the half is written as it should be");
        let request = self.app.key_request(order).expect("the order's copies are marked");
        let given = self.app.give_key_shares(self.chief(Who::Auditor), &half.answer(request), Default::default()).await;
        given.expect("the auditor may give them");
    }
}
