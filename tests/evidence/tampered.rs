//! A node with two orders, deliveries of every kind and two metering windows, and the tools of a dishonest operator.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use lingqu_app::{App, AppSettings, ReplayReport};
use lingqu_crypto::{IndexKey, SigningKey};
use lingqu_domain::receipt::ReceiptRecord;
use lingqu_domain::scope::Mode;
use lingqu_domain::settlement::MeterReading;
use lingqu_store::Backend;
use lingqu_store::receipt::READ_LIMIT_MAX;
use lingqu_tests::StoreFactory;
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_CHECK, TRIP_RECORDS, Who};
use lingqu_transparency::{Evidence, EvidenceBuilder, EvidenceItem, EvidenceRecord, LogProof, NoteSigner};
use reqwest::{Method, RequestBuilder};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde_json::json;

/// Tables that the database itself keeps from being changed.
const GUARDED: [&str; 4] = ["journal", "log_entry", "receipt_commit", "receipt_block"];

/// Another bundle, and which of its records are added.
type Added<'a> = (&'a [u8], &'a dyn Fn(&EvidenceRecord) -> bool);

/// The node.
pub struct Tampered {
    pub scenario: Scenario,
    pub factory: StoreFactory,
    /// Rows and files.
    pub records: Ordered,
    /// Verification.
    pub check: Ordered,
    base: String,
    client: reqwest::Client,
}

impl Tampered {
    /// Deliveries under both orders, a window, again, a second window of both, and a delivery of each that no window counts.
    pub async fn open(factory: StoreFactory) -> Tampered {
        let scenario = Scenario::open(Some(factory.config().url), 40).await;
        Tampered::of(scenario, factory).await
    }

    /// The same on SQLite, with a clock that can be moved on.
    pub async fn open_behind() -> Tampered {
        Tampered::of(Scenario::open_behind(40, 2).await, StoreFactory::sqlite()).await
    }

    async fn of(scenario: Scenario, factory: StoreFactory) -> Tampered {
        let records = scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows, Mode::File], (1_000, 20)).await;
        let check = scenario.order(Who::Second, TRIP_CHECK, &[Mode::Verification], (1_000, 0)).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let base = format!("http://{}/data/v1", listener.local_addr().expect("a bound listener has an address"));
        let router = Router::new().nest("/data/v1", lingqu_gateway::router(Arc::clone(&scenario.app)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = reqwest::Client::builder().no_proxy().build().expect("a client without a proxy");
        let node = Tampered { scenario, factory, records, check, base, client };
        for _ in 0..2 {
            node.use_both().await;
            node.meter().await;
        }
        node.use_both().await;
        node.app().publish_log().await.expect("the log can be published");
        node
    }

    pub fn app(&self) -> &Arc<App> {
        &self.scenario.app
    }

    /// Two claims, a page of rows and a file.
    pub async fn use_both(&self) {
        for trip in [1, 2] {
            let claim = json!({"key": {"trip_id": trip}, "claim": {"late": true}});
            let request = self.request(Method::POST, &self.check, "/verify").header("content-type", "application/json");
            answered(request.body(claim.to_string())).await;
        }
        answered(self.request(Method::GET, &self.records, "/rows?limit=3")).await;
        answered(self.request(Method::GET, &self.records, "/export?format=csv")).await;
        self.all_closed().await;
    }

    /// A request to an order's product; `path` begins after it.
    pub fn request(&self, method: Method, order: &Ordered, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/{}{path}", self.base, order.product)).bearer_auth(&order.key)
    }

    /// The task that served a client writes the closing record a moment after the last byte.
    pub async fn all_closed(&self) {
        for _ in 0..200 {
            let kinds: Vec<String> =
                self.receipts().await.into_iter().map(|(_, record)| record.kind().into()).collect();
            let count = |kind: &str| kinds.iter().filter(|found| *found == kind).count();
            if count("opened") == count("closed") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("a delivery was not closed within ten seconds");
    }

    /// Closes a metering window.
    pub async fn meter(&self) -> Vec<MeterReading> {
        self.app().meter().await.expect("a window can be closed")
    }

    /// All receipts by position.
    pub async fn receipts(&self) -> Vec<(u64, ReceiptRecord)> {
        let stored = self.app().receipts().read_after(0, READ_LIMIT_MAX).await.expect("receipts can be read");
        let record = |bytes: &[u8]| serde_json::from_slice(bytes).expect("a record is JSON");
        stored.iter().map(|found| (found.position, record(&found.receipt.record))).collect()
    }

    /// Position of the first record of a kind of an order, after a position.
    pub async fn position(&self, order: &Ordered, kind: &str, after: u64) -> u64 {
        let own = self.app().receipts().positions_of_order(order.id.as_str(), after, READ_LIMIT_MAX).await;
        let own = own.expect("receipts can be searched");
        let receipts = self.receipts().await;
        let found = receipts.iter().find(|(position, record)| own.contains(position) && record.kind() == kind);
        found.unwrap_or_else(|| panic!("no {kind} of {} after {after}", order.id)).0
    }

    /// Runs a statement past the program, as who has the database may.
    pub async fn sql(&self, statement: &str) {
        let raw = self.factory.raw().await;
        self.unguard(&raw).await;
        let done = raw.execute_unprepared(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        assert!(done.rows_affected() > 0, "{statement} changed nothing");
        raw.close().await.expect("a connection closes");
    }

    /// One value of the database as text.
    pub async fn value(&self, query: &str) -> String {
        let raw = self.factory.raw().await;
        let statement = Statement::from_string(raw.get_database_backend(), query);
        let row = raw.query_one_raw(statement).await.expect("the query is right").expect("there is a row");
        row.try_get_by_index(0).expect("a text")
    }

    async fn unguard(&self, raw: &DatabaseConnection) {
        let backend = self.factory.backend();
        for table in GUARDED {
            let statements: Vec<String> = match backend {
                Backend::Postgres => vec![format!("ALTER TABLE {table} DISABLE TRIGGER USER")],
                Backend::Sqlite => ["append_only_update", "append_only_delete", "append_only_replace", "gap_free"]
                    .map(|trigger| format!("DROP TRIGGER IF EXISTS {table}_{trigger}"))
                    .into(),
            };
            for statement in statements {
                raw.execute_unprepared(&statement).await.expect("the owner may do this");
            }
        }
    }

    /// The differences that a replay finds, by a process that has only just opened the node.
    pub async fn replay(&self) -> ReplayReport {
        let settings = AppSettings {
            database_url: Some(self.factory.config().url),
            exclusive: false,
            ..AppSettings::of(self.app().directory().to_owned())
        };
        let app = App::open(settings).await.expect("a node can be read beside the process that has it");
        let report = app.replay_check().await.expect("the journal folds");
        app.close().await.expect("a reader closes");
        report
    }

    /// A replay finds a difference in a table and row, told in some words.
    pub async fn replay_names(&self, table: &str, id: &str, words: &str) {
        let report = self.replay().await;
        let is_named = report
            .differences
            .iter()
            .any(|found| found.table == table && found.id.contains(id) && found.problem.contains(words));
        assert!(!report.agrees && is_named, "{table} {id} {words}: {:?}", report.differences);
    }

    /// The file of receipts of a SQLite node.
    pub fn segment(&self) -> PathBuf {
        self.app().directory().join("receipts/00000001.seg")
    }

    /// Writes a bundle anew without the records that are to be left out, and signs it with the node's own key: the operator
    /// has it.
    pub fn without(&self, bundle: &[u8], is_left_out: impl Fn(&EvidenceRecord) -> bool) -> Vec<u8> {
        self.anew(bundle, is_left_out, |item| item.bytes.clone(), (bundle, &|_| false))
    }

    /// Writes a bundle anew with other bytes in one item, and signs it.
    pub fn with_item(&self, bundle: &[u8], name: &str, bytes: &[u8]) -> Vec<u8> {
        let item_of = |item: &EvidenceItem| if item.name == name { bytes.to_vec() } else { item.bytes.clone() };
        self.anew(bundle, |_| false, item_of, (bundle, &|_| false))
    }

    /// Writes a bundle anew with some records of another one as well, and signs it.
    pub fn with_records_of(&self, bundle: &[u8], other: &[u8], is_added: impl Fn(&EvidenceRecord) -> bool) -> Vec<u8> {
        self.anew(bundle, |_| false, |item| item.bytes.clone(), (other, &is_added))
    }

    fn anew(
        &self,
        bundle: &[u8],
        is_left_out: impl Fn(&EvidenceRecord) -> bool,
        item_of: impl Fn(&EvidenceItem) -> Vec<u8>,
        (other, is_added): Added<'_>,
    ) -> Vec<u8> {
        let other = Evidence::parse(other).expect("the node wrote it");
        let evidence = Evidence::parse(bundle).expect("the node wrote it");
        let secret = fs::read_to_string(self.app().directory().join("keys/node.secret")).expect("the operator has it");
        let mut root = [0; 32];
        for (place, byte) in root.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&secret[2 * place..2 * place + 2], 16).expect("hexadecimal digits");
        }
        let seed = IndexKey::from_bytes(root).digest("lingqu node key v1", b"signing").0;
        let signer = NoteSigner::new(&evidence.node, SigningKey::from_seed(seed)).expect("the node's name is a name");
        let mut builder = EvidenceBuilder::new(&evidence.order, &evidence.created_at, &evidence.node);
        let text = |source: &Evidence, name: &str| {
            String::from_utf8(source.item(name).expect("it is there").bytes.clone()).expect("text")
        };
        builder.checkpoint(&text(&evidence, "checkpoint")).expect("it is a checkpoint");
        builder.vkey(signer.verifier()).expect("it is a key");
        let add_entry = |builder: &mut EvidenceBuilder, source: &Evidence, index: u64| {
            if !builder.has_entry(index) {
                let entry = &source.item(&format!("entry/{index}")).expect("it is there").bytes;
                let proof = LogProof::from_text(&text(source, &format!("proof/{index}"))).expect("it is a proof");
                builder.entry(entry, &proof).expect("once");
            }
        };
        for record in evidence.records().expect("they can be read").iter().filter(|record| !is_left_out(record)) {
            add_entry(&mut builder, &evidence, record.entry_index);
            builder.record(record).expect("there is room");
        }
        for record in other.records().expect("they can be read").iter().filter(|record| is_added(record)) {
            add_entry(&mut builder, &other, record.entry_index);
            builder.record(record).expect("there is room");
        }
        // Entries of settlements stand without their records. The twin log is left out with its proofs: a reader who does not
        // insist on it misses nothing.
        for item in &evidence.items {
            if let Some(index) = item.name.strip_prefix("entry/")
                && evidence.item("settlements.json").is_some()
            {
                add_entry(&mut builder, &evidence, index.parse().expect("an index"));
            }
            let is_known = ["entry/", "proof/", "proof.sm3/", "record/", "witness/", "checkpoint", "vkey"];
            if !is_known.iter().any(|known| item.name.starts_with(known)) {
                builder.item(&item.name, &item_of(item)).expect("once");
            }
        }
        builder.build(&signer).expect("the manifest has room")
    }
}

async fn answered(request: RequestBuilder) {
    let response = request.send().await.expect("the node answers");
    assert_eq!(response.status(), 200);
    response.bytes().await.expect("the whole answer");
}

/// Replaces the first occurrence of some bytes in a segment by others of the same length, and writes the checksum of their
/// frame anew: what is damaged by accident the checksum finds, what is changed on purpose it must not hide.
pub fn rewrite_segment(file: &Path, from: &[u8], to: &[u8]) {
    const SEGMENT_HEADER_BYTES: usize = 20;
    const FRAME_HEADER_BYTES: usize = 20;
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(file).expect("the segment is there");
    let place = bytes.windows(from.len()).position(|window| window == from).expect("the segment has these bytes");
    bytes[place..place + to.len()].copy_from_slice(to);
    let mut at = SEGMENT_HEADER_BYTES;
    // Behind the frames there may be zeros, written ahead.
    while bytes.get(at).is_some_and(|byte| *byte != 0) {
        let number = |from: usize| u32::from_be_bytes(bytes[from..from + 4].try_into().expect("four bytes")) as usize;
        let (group, table, kept) = (number(at + 4), number(at + 8), number(at + 12));
        let fixed = at + FRAME_HEADER_BYTES..at + FRAME_HEADER_BYTES + group + table;
        let checked = [&bytes[at + 4..at + 16], &bytes[fixed.clone()]].concat();
        bytes[at + 16..at + 20].copy_from_slice(&crc32c(&checked).to_be_bytes());
        at = fixed.end + kept;
    }
    fs::write(file, bytes).expect("the segment can be written");
}

/// CRC-32C (RFC 3720, appendix B.4), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
