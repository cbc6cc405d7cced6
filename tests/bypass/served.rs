//! The guarded table behind every door, and the secrets that none may let through.

use std::fmt::Write as _;
use std::time::Duration;

use axum::Router;
use lingqu_domain::order::Quota;
use lingqu_domain::privacy::Rho;
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_GUARDED, Trip, Who};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Trips there are; every fifth is visible.
pub const TRIPS: usize = 2_000;

/// How long what is given back behind an answer may take to arrive.
const SETTLED_WITHIN: usize = 500;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A scenario with an order, served over HTTP, Flight SQL and the PostgreSQL protocol.
pub struct Guarded {
    pub scenario: Scenario,
    pub order: Ordered,
    pub http: String,
    pub flight: String,
    pub postgres: String,
    pub client: reqwest::Client,
    _stop: watch::Sender<bool>,
}

impl Guarded {
    /// The guarded table, of which one order may have a million calls and much of all else.
    pub async fn open() -> Guarded {
        let scenario = Scenario::open_guarded(TRIPS).await;
        let modes = [Mode::Lookup, Mode::Rows, Mode::File];
        let order = scenario.order_with(Who::First, TRIP_GUARDED, &modes, large()).await;
        Guarded::of(scenario, order).await
    }

    /// Serves a scenario.
    pub async fn of(scenario: Scenario, order: Ordered) -> Guarded {
        let deliveries = Deliveries::new(scenario.app.clone(), Settings::default());
        let (stop, stopped) = watch::channel(false);
        let [http, flight, postgres] = [listener().await, listener().await, listener().await];
        let at = |listener: &TcpListener| listener.local_addr().expect("it has one").to_string();
        let (http_at, flight_at, postgres_at) = (at(&http), at(&flight), at(&postgres));
        let router = Router::new()
            .nest("/data/v1", lingqu_gateway::router_on(deliveries.clone()))
            .nest("/delta-sharing", lingqu_gateway::sharing::router(deliveries.clone()));
        tokio::spawn(async move { axum::serve(http, router).await.expect("it serves") });
        tokio::spawn(lingqu_gateway::flight::serve(deliveries.clone(), flight, None, 64, stopped.clone()));
        tokio::spawn(lingqu_gateway::postgres::serve(deliveries, postgres, None, 64, stopped));
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Guarded {
            scenario,
            order,
            http: format!("http://{http_at}"),
            flight: format!("grpc://{flight_at}"),
            postgres: format!("postgres://{postgres_at}/lingqu"),
            client,
            _stop: stop,
        }
    }

    /// What an order's deliveries have left behind and used up by now.
    pub async fn books(&self, order: &Ordered) -> Books {
        let app = &self.scenario.app;
        let receipts = app.receipts().head().await.expect("the log can be read");
        let serving = app.serving(&order.key).await.expect("the order is in force");
        let mut quota = Vec::new();
        for place in app.quota_places(&serving, app.quota_day(&serving)) {
            quota.push((app.quota().left(&place.account).await, place.account));
        }
        let standing = app.privacy_standing(&order.id).await.expect("the order exists");
        let privacy = standing.accounts.iter().map(|account| account.spent).collect();
        Books { receipts, quota, privacy }
    }

    /// The same when nothing that was begun is still being closed.
    pub async fn settled_books(&self, order: &Ordered) -> Books {
        let mut books = self.books(order).await;
        loop {
            tokio::time::sleep(10 * LOOK_EVERY).await;
            let now = self.books(order).await;
            if now == books {
                return now;
            }
            books = now;
        }
    }

    /// What differs from earlier books; nothing when they are the same again within some seconds, since a reservation may be
    /// given back a moment after its answer.
    pub async fn moved_since(&self, before: &Books, order: &Ordered) -> Option<String> {
        let mut now = self.books(order).await;
        for _ in 0..SETTLED_WITHIN {
            if now == *before {
                return None;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            now = self.books(order).await;
        }
        Some(format!("{before:?} became {now:?}"))
    }
}

/// Records of receipts there are, what is left of each account of an order's quota, and what was spent of its privacy accounts.
/// An attempt that is refused changes none of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Books {
    receipts: u64,
    quota: Vec<(Option<u64>, String)>,
    privacy: Vec<Rho>,
}

/// A quota with a limit of everything that no test here reaches.
pub fn large() -> Quota {
    Quota { calls: 1_000_000, data_sets: 100, rows: Some(1_000_000_000), bytes: Some(1 << 39), ..Quota::default() }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port")
}

/// Whether the grant covers a trip.
pub fn is_visible(trip: &Trip) -> bool {
    trip.line == "L1"
}

/// The words that may not appear in anything that leaves, with what each would tell.
pub fn secrets() -> Vec<(&'static str, &'static str)> {
    vec![
        ("GX-", "the plain value of the masked column `vehicle`"),
        ("\"L0\"", "a hidden row"),
        ("L2", "a hidden row"),
        ("L3", "a hidden row"),
        ("L4", "a hidden row"),
        ("L9", "a hidden row"),
        ("途经各站", "the column `note`, which is not granted"),
        ("2025-03-0", "the day, of which the year is granted"),
        ("2025-03-1", "the day, of which the year is granted"),
        ("2025-03-2", "the day, of which the year is granted"),
        (".parquet", "a path of the node"),
        ("snapshots", "a path of the node"),
        ("BarrierExec", "the engine's plan"),
        ("DataFusion", "the engine's own error text"),
        ("Arrow error", "the engine's own error text"),
        ("__row", "a column of the engine"),
        ("__subject", "a column of the engine"),
        ("line = ", "the row condition"),
    ]
}

/// Shortest word that is looked for in bytes that are no text: in a file of some thousand compressed bytes any two letters may
/// stand beside each other.
const BYTES_WORD_MIN: usize = 4;

/// The secrets that bytes which are no text tell as they stand; what is encoded in them has to be read.
pub fn told_in_bytes(bytes: &[u8]) -> String {
    let mut found = String::new();
    for (word, meaning) in secrets().into_iter().filter(|(word, _)| word.len() >= BYTES_WORD_MIN) {
        if bytes.windows(word.len()).any(|window| window == word.as_bytes()) {
            writeln!(found, "`{word}` ({meaning})").expect("writing into memory can't fail");
        }
    }
    found
}

/// The secrets that a text tells, without the words that the attempt itself brought along.
pub fn told(text: &str, attempt: &str) -> String {
    let mut found = String::new();
    for (word, meaning) in secrets() {
        if text.contains(word) && !attempt.contains(word) {
            writeln!(found, "`{word}` ({meaning})").expect("writing into memory can't fail");
        }
    }
    found
}
