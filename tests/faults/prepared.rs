//! A small node with orders, made once and closed, ready to be served by the binary.

use std::fs;
use std::path::{Path, PathBuf};

use lingqu_domain::command::Command;
use lingqu_domain::id::PartyId;
use lingqu_domain::order::{DayQuota, OrderDetails, Quota};
use lingqu_domain::scope::{Mode, Purpose, Term};
use lingqu_tests::scenario::{Ordered, PURPOSE, Scenario, TRIP_CHECK, TRIP_RECORDS, TRIP_VEHICLES, VEHICLES, Who};
use tempfile::TempDir;

/// Password of the scenario's users.
pub const PASSWORD: &str = "scenario-password-1";
/// Calls and data sets of orders that must not run out.
const QUOTA: (u64, u64) = (10_000_000, 1_000_000);

/// Rows and bytes that are counted and must not run out.
const COUNTED_MAX: u64 = 1 << 39;

/// A node that no process has open.
pub struct Prepared {
    // Holds the node's directory.
    directory: TempDir,
    /// Rows of its trips.
    pub trips: usize,
    /// Verification of trips.
    pub check: Ordered,
    /// Rows and files of trips.
    pub records: Ordered,
    /// Verification of trips with a quota of [`Prepared::capped_calls`].
    pub capped: Ordered,
    /// Its quota.
    pub capped_calls: u64,
    /// Rows and files of trips about vehicles with quotas of rows, bytes and subjects, over the term and over the day.
    pub counted: Ordered,
    /// Places one more order for verification, with a quota of ten calls.
    pub place_order: Command,
    /// Who provides the trips.
    pub provider: PartyId,
}

impl Prepared {
    /// Makes the node on a database (SQLite in its directory when there is no URL).
    pub async fn make(database_url: Option<String>, trips: usize) -> Prepared {
        let capped_calls = 50_000;
        let scenario = Scenario::open_counted(database_url.clone(), trips).await;
        let verification = [Mode::Verification];
        let check = scenario.order(Who::First, TRIP_CHECK, &verification, QUOTA).await;
        let records = scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows, Mode::File], QUOTA).await;
        let capped = scenario.order(Who::First, TRIP_CHECK, &verification, (capped_calls, 0)).await;
        let per_day =
            DayQuota { calls: Some(QUOTA.0), rows: Some(COUNTED_MAX), subjects: Some(VEHICLES), ..DayQuota::default() };
        let quota = Quota {
            calls: QUOTA.0,
            data_sets: QUOTA.1,
            rows: Some(COUNTED_MAX),
            bytes: Some(COUNTED_MAX),
            subjects: Some(VEHICLES),
            per_day: Some(per_day),
        };
        let counted = scenario.order_with(Who::First, TRIP_VEHICLES, &[Mode::Rows, Mode::File], quota).await;
        let place_order = place_order(&scenario);
        let provider = scenario.party(Who::Provider).clone();
        scenario.app.publish_log().await.expect("the log of a new node can be published");
        scenario.app.close().await.expect("an idle node closes");

        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let node = directory.path().join("node");
        copy_tree(scenario.app.directory(), &node);
        if let Some(url) = database_url {
            fs::write(node.join("lingqu.toml"), format!("database = {url:?}\n")).expect("the copy is writable");
        }
        Prepared { directory, trips, check, records, capped, capped_calls, counted, place_order, provider }
    }

    /// The node's directory.
    pub fn node(&self) -> PathBuf {
        self.directory.path().join("node")
    }

    /// A new place beside the node.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn place_order(scenario: &Scenario) -> Command {
    let from = scenario.app.now();
    let until = from.checked_add(jiff::SignedDuration::from_hours(24 * 30)).expect("the next month can be written");
    let details = OrderDetails {
        product: scenario.product(TRIP_CHECK).clone(),
        purpose: Purpose(PURPOSE.to_owned()),
        modes: [Mode::Verification].into(),
        term: Term { from, until },
        quota: Quota { calls: 10, ..Quota::default() },
    };
    Command::PlaceOrder { details: Box::new(details) }
}

/// Copies a directory with everything in it.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the copy's place is writable");
    for entry in fs::read_dir(from).expect("the original is readable") {
        let entry = entry.expect("the original is readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("an entry has a kind").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a file can be copied");
        }
    }
}
