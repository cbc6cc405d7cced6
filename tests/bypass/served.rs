//! The guarded table behind every door, and the secrets that none may let through.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
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

/// The data files of a node, which are not there as long as this lives: what reads any of them fails, and what is refused all the
/// same has read nothing.
pub struct FilesAway {
    moved: Vec<(PathBuf, PathBuf)>,
}

impl FilesAway {
    /// Takes away those of a scenario's products and snapshots.
    pub fn of(scenario: &Scenario) -> FilesAway {
        let mut moved = Vec::new();
        for folder in ["products", "snapshots"] {
            take_away(&scenario.app.directory().join(folder), &mut moved);
        }
        assert!(!moved.is_empty(), "the node has no data files");
        FilesAway { moved }
    }
}

impl Drop for FilesAway {
    fn drop(&mut self) {
        for (place, away) in &self.moved {
            std::fs::rename(away, place).expect("its place is free");
        }
    }
}

fn take_away(folder: &Path, moved: &mut Vec<(PathBuf, PathBuf)>) {
    for entry in std::fs::read_dir(folder).expect("the node has the folder") {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            take_away(&path, moved);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            let away = path.with_extension("away");
            std::fs::rename(&path, &away).expect("the node's files can be moved");
            moved.push((path, away));
        }
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
        ("__decoy", "a column of the engine"),
        ("__left_row", "a column of the engine"),
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

/// The secrets that a text tells. What the attempt itself brought along may be repeated as it stands: of a value its whole words
/// and no other of its kind, of a name or an engine's text all that begins as it does.
pub fn told(text: &str, attempt: &str) -> String {
    let without_own = without_words_of(text, attempt);
    let mut found = String::new();
    for (word, meaning) in secrets() {
        let is_value = !NAMES.iter().any(|name| meaning.ends_with(name));
        let names_it = || attempt.to_lowercase().contains(&word.to_lowercase());
        let is_told = if is_value { without_own.contains(word) } else { text.contains(word) && !names_it() };
        if is_told {
            writeln!(found, "`{word}` ({meaning})").expect("writing into memory can't fail");
        }
    }
    found
}

/// The secrets that a text tells, whoever brought them along.
pub fn secrets_in(text: &str) -> String {
    told(text, "")
}

/// How the meanings of secrets end that are no values.
const NAMES: [&str; 5] = ["path of the node", "engine's plan", "own error text", "of the engine", "row condition"];

/// A text without the words that stand in an attempt as well: runs of letters, digits, hyphens and underscores.
fn without_words_of(text: &str, attempt: &str) -> String {
    let is_outside = |letter: char| !letter.is_alphanumeric() && letter != '-' && letter != '_';
    let own: BTreeSet<&str> = attempt.split(is_outside).collect();
    let mut kept = String::with_capacity(text.len());
    for piece in text.split_inclusive(is_outside) {
        let word = piece.trim_end_matches(is_outside);
        kept.push_str(if own.contains(word) { &piece[word.len()..] } else { piece });
    }
    kept
}

#[test]
fn a_secret_is_told_although_the_attempt_names_another_of_its_kind() {
    let attempt = "SELECT count(*) FROM trip_guarded WHERE vehicle IN ('GX-00001', 'GX-00006') AND line = 'L0'";
    for repeated in ["no such value: 'GX-00001'", "Utf8(\"GX-00006\")", "{\"line\":\"L0\"}", ""] {
        assert_eq!(told(repeated, attempt), "", "{repeated}");
    }
    for leak in ["GX-00002", "[\"GX-000011\"]", "{\"line\":\"L2\"}", "GX-00001,GX-00011", "2025-03-02"] {
        assert!(!told(leak, attempt).is_empty(), "{leak}");
    }
    // Of a prefix that is asked for no value that begins with it.
    assert!(!told("GX-00001", "SELECT strpos(vehicle, 'GX-') FROM trip_guarded").is_empty());
    assert!(!told("{\"line\":\"L0\"}", "SELECT 1").is_empty());
    assert!(told("there is no column `__row`", "SELECT __ROW FROM trip_guarded").is_empty());
    assert!(!told("there is no column `__row`", "SELECT row FROM trip_guarded").is_empty());
}
