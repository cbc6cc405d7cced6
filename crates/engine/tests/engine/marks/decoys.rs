//! Decoys: each copy of a product whose contract names them holds its own, by every way to ask, and nobody else meets one.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use futures::StreamExt;
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_engine::Limits;
use lingqu_engine::decoys::{DecoyPlan, Decoyed, Room};
use lingqu_engine::export::{ExportFormat, export};
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::lookup::{BlockCache, LookupTable, ProductIndex, Verdict};
use lingqu_engine::marks::Marks;
use lingqu_engine::product::{Product, ProductError, ProductSpec, ProductStore};
use lingqu_engine::session::GovernedSession;
use lingqu_fingerprint::{Marking, PositionSecrets, Presence, RecipientCode};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{key, marking, member, number};
use crate::data::{Place, batches, claim, governance, left, name, rows};

/// Trips of which every third number was never given out.
const TRIPS: i64 = 45_000;
const ROWS: u64 = 30_000;
/// The most there may be: one in a thousand.
const DECOYS: u64 = 30;
const COLUMNS: &[(&str, &str)] = &[("id", "exact"), ("line", "exact"), ("delay", "exact"), ("distance", "exact")];

fn trips_csv() -> String {
    let mut csv = String::from("id,line,delay,distance\n");
    for id in (0..TRIPS).filter(|id| id % 3 != 0) {
        csv.push_str(&format!("{id},L{:02},{},{}\n", id * 7_919 % 41, id * 31 % 97 - 20, id * 131 % 4_999));
    }
    csv
}

struct Trips {
    place: Place,
    store: ProductStore,
    product: Product,
    decoyed: Decoyed,
}

fn plan() -> DecoyPlan {
    DecoyPlan { per_million: 1_000, secret: [7; 32] }
}

impl Trips {
    async fn open() -> Trips {
        let place = Place::new();
        let snapshot = place.snapshot("res_trips", &trips_csv()).await;
        let input = GovernedTable::new(snapshot.files, &governance("trips", COLUMNS, vec![], None)).expect("a table");
        let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
        let spec = ProductSpec {
            sql: "select id, line, delay, distance from trips".to_owned(),
            key: vec![name("id")],
            subject: None,
            further_subjects: Vec::new(),
        };
        let made = store.materialise(&place.engine, "prd_1", "set_1", &spec, &[input], Limits::default()).await;
        let product = made.expect("a product");
        let decoyed = store.lay_decoys("prd_1", "set_1", &product, &plan()).expect("decoys");
        Trips { place, store, product, decoyed }
    }

    /// The copy of a recipient's order, with decoys or without, over either set of files.
    fn copy(
        &self,
        with: bool,
        recipient: u8,
        order: u8,
        rows: Vec<Predicate>,
        columns: &[(&str, &str)],
    ) -> Arc<GovernedTable> {
        let governed =
            governance("trips", columns, rows, None).with_marks(Some(marks(&delays(None), with, recipient, order)));
        self.over_decoys(&governed)
    }

    fn over_decoys(&self, governed: &Governance) -> Arc<GovernedTable> {
        GovernedTable::new(Arc::clone(&self.decoyed.files), governed).expect("a table")
    }

    fn session(&self, recipient: u8, order: u8) -> GovernedSession {
        self.place.session(&[self.copy(true, recipient, order, vec![], COLUMNS)])
    }
}

fn delays(presence: Option<Presence>) -> Marking {
    marking(&["id"], vec![number("delay", vec![member("delay", 1, 0)], 1)], presence)
}

fn marks(marking: &Marking, with_decoys: bool, recipient: u8, order: u8) -> Arc<Marks> {
    let (recipient, order) = (RecipientCode::new(&key(recipient)), RecipientCode::new(&key(order)));
    let marks =
        Marks::new(marking.clone(), PositionSecrets::new(&key(1)), recipient, order).expect("it holds together");
    Arc::new(if with_decoys { marks.with_decoys() } else { marks })
}

async fn whole(session: &GovernedSession, sql: &str) -> RecordBatch {
    let found = batches(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    concat_batches(&found[0].schema(), &found).expect("one schema")
}

fn ids(batch: &RecordBatch) -> Vec<i64> {
    batch.column_by_name("id").expect("the column").as_primitive::<Int64Type>().values().to_vec()
}

/// The numbers that were never given out.
fn decoys_of(ids: &[i64]) -> BTreeSet<i64> {
    ids.iter().copied().filter(|id| id % 3 == 0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_copy_holds_its_own_decoys_by_every_way_to_ask() {
    let trips = Trips::open().await;
    assert_eq!((trips.product.rows, trips.decoyed.count(), trips.decoyed.rows), (ROWS, DECOYS, ROWS));
    let session = trips.session(2, 3);
    let copy = whole(&session, "select * from trips").await;
    let copied = ids(&copy);
    let own = decoys_of(&copied);
    assert!((5..26).contains(&own.len()), "{own:?}");
    assert_eq!(copied.len() as u64, ROWS + own.len() as u64, "no row is left out");
    assert!(copied.windows(2).all(|pair| pair[0] < pair[1]), "they stand where their keys put them");
    // In whatever order, cut and number of threads, and whatever else is asked for.
    for sql in [
        "select id from trips order by distance, id",
        "select id from trips where delay >= -50 or delay is null order by id",
        "select id from trips union all select id from trips where false",
        "select a.id from trips a join trips b on a.id = b.id",
        "select distinct id from trips",
        "select id from trips where id in (select id from trips)",
    ] {
        let found: BTreeSet<i64> = ids(&whole(&session, sql).await).into_iter().collect();
        assert_eq!(found, copied.iter().copied().collect(), "{sql}");
    }
    assert_eq!(rows(&session, "select count(*) from trips").await, [copied.len().to_string()]);
    assert_eq!(rows(&session, "select count(*) from trips where id % 3 = 0").await, [own.len().to_string()]);
    for id in own.iter().take(5) {
        assert_eq!(rows(&session, &format!("select id from trips where id = {id}")).await, [id.to_string()]);
    }
    let first = ids(&whole(&session, "select id from trips limit 20000").await);
    assert_eq!(first, copied[..20_000]);
    // Without the key, which is read all the same; and where rows are left out besides.
    let narrow = trips.place.session(&[trips.copy(true, 2, 3, vec![], &[("distance", "exact")])]);
    assert_eq!(whole(&narrow, "select distance from trips").await.num_rows(), copied.len());
    let sampled = governance("trips", COLUMNS, vec![], None);
    let sampled = sampled.with_marks(Some(marks(&delays(Some(Presence::of_share(0.05))), true, 2, 3)));
    let table = trips.over_decoys(&sampled);
    let sampled = whole(&trips.place.session(&[Arc::clone(&table)]), "select * from trips").await;
    assert_eq!(table.count_rows(&trips.place.engine).await.expect("a count"), Some(sampled.num_rows() as u64));
    assert!(decoys_of(&ids(&sampled)).is_subset(&own) && sampled.num_rows() < copied.len());
    // A condition of the grant holds for decoys as for rows.
    let near =
        Predicate::Compare { column: name("distance"), comparison: Comparison::Less, value: Literal::Integer(2_500) };
    let table = trips.copy(true, 2, 3, vec![near], COLUMNS);
    let near = trips.place.session(&[Arc::clone(&table)]);
    let expected = ids(&whole(&session, "select id from trips where distance < 2500").await);
    assert_eq!(table.count_rows(&trips.place.engine).await.expect("a count"), Some(expected.len() as u64));
    assert_eq!(ids(&whole(&near, "select id from trips").await), expected);

    // Another order of the recipient has the same, another recipient others, of which they share some.
    assert_eq!(decoys_of(&ids(&whole(&trips.session(2, 9), "select id from trips").await)), own);
    let others = decoys_of(&ids(&whole(&trips.session(4, 5), "select id from trips").await));
    assert!(others != own && others.intersection(&own).count() > 0, "{own:?} {others:?}");

    // The receipt names each row that left by its number.
    let named = left(&session, "select id from trips").await;
    assert_eq!(named.len(), copied.len() as u64);
    assert!(named.max().is_some_and(|last| last < ROWS + DECOYS));
    let decoys = trips.decoyed.numbers().expect("they are read");
    assert_eq!((decoys.len(), named.intersection_len(&decoys)), (DECOYS, own.len() as u64));
    // No number tells what it is of: they rise with the key, of rows and decoys alike.
    for at in own.iter().map(|id| copied.binary_search(id).expect("it is in the copy")) {
        let around = at.saturating_sub(1)..(at + 2).min(copied.len());
        let mut numbers = Vec::with_capacity(around.len());
        for id in &copied[around] {
            let named = left(&session, &format!("select id from trips where id = {id}")).await;
            assert_eq!(named.len(), 1, "{id}");
            numbers.extend(named);
        }
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_meets_a_decoy() {
    let trips = Trips::open().await;
    // The files with decoys, laid under copies whose contract names none, and under none at all: the rows of the product.
    let unmarked = trips.place.session(&[trips.over_decoys(&governance("trips", COLUMNS, vec![], None))]);
    let marked = trips.place.session(&[trips.copy(false, 2, 3, vec![], COLUMNS)]);
    for session in [&unmarked, &marked] {
        let found = ids(&whole(session, "select * from trips").await);
        assert_eq!((found.len() as u64, decoys_of(&found).len()), (ROWS, 0));
        assert_eq!(rows(session, "select count(*) from trips where id % 3 = 0").await, ["0"]);
        assert_eq!(rows(session, "select count(*), max(id) from trips").await, [format!("{ROWS}|{}", TRIPS - 1)]);
        let named = left(session, "select count(*) from trips").await;
        assert!(named.len() == ROWS && named.is_disjoint(&trips.decoyed.numbers().expect("they are read")));
    }
    for sql in ["select __decoy from trips", "select * from trips where __decoy is not null"] {
        for session in [&unmarked, &marked, &trips.session(2, 3)] {
            assert!(session.query(sql).await.is_err(), "{sql}");
        }
    }
    // The product's own files, index and subjects know of none.
    assert_eq!(trips.product.files.rows(), ROWS);
    assert!(trips.product.files.arrow_schema().column_with_name("__decoy").is_none());
    let table = GovernedTable::new(Arc::clone(&trips.product.files), &governance("trips", COLUMNS, vec![], None));
    let index = Arc::new(ProductIndex::open(&trips.product, &Arc::new(BlockCache::new(1 << 20))).expect("an index"));
    let lookup = LookupTable::new(index, table.expect("a table")).expect("a lookup");
    for id in decoys_of(&ids(&whole(&trips.session(2, 3), "select id from trips").await)) {
        let key = [Literal::Integer(id)];
        assert!(lookup.lookup(&key).expect("a lookup").is_none());
        let verified = lookup.verify(&key, &claim(&[("delay", Literal::Integer(0))])).expect("a verdict");
        assert_eq!((verified.verdict, verified.row), (Verdict::NotFound, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_tells_nothing_of_which_rows_are_none() {
    let trips = Trips::open().await;
    let session = trips.session(2, 3);
    let copy = whole(&session, "select * from trips").await;
    let answer = session.query("select * from trips").await.expect("an answer");
    let stream = export(answer, ExportFormat::Parquet, |_| async { Ok::<(), std::convert::Infallible>(()) });
    let mut bytes = Vec::new();
    let mut chunks = std::pin::pin!(stream);
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk.expect("a chunk").bytes);
    }
    assert!(!bytes.windows(7).any(|window| window == b"__decoy"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a file");
    let names: Vec<&str> = reader.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "line", "delay", "distance"]);
    assert!(reader.metadata().file_metadata().key_value_metadata().is_none());
    let read: Vec<RecordBatch> = reader.build().expect("a reader").map(|batch| batch.expect("a batch")).collect();
    assert_eq!(ids(&concat_batches(&read[0].schema(), &read).expect("one schema")), ids(&copy));
    // Decoys carry marks of values like rows: their delays are off by one from what other rows have, as all are.
    let lines: BTreeSet<String> =
        rows(&session, "select distinct line from trips where id % 3 = 0").await.into_iter().collect();
    assert!(lines.len() > 2, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decoys_are_laid_once_and_only_where_there_is_room() {
    let trips = Trips::open().await;
    let found = trips.store.decoyed("prd_1", "set_1", &trips.product).expect("it is read").expect("decoys");
    let again = trips.store.lay_decoys("prd_1", "set_1", &trips.product, &plan()).expect("decoys");
    for other in [&found, &again] {
        assert_eq!(other.files.digest(), trips.decoyed.files.digest());
    }
    // Made anew somewhere else by the same secret they are the same, by another one they are others.
    let elsewhere = ProductStore::open(&trips.place.directory.path().join("elsewhere")).expect("a store");
    std::fs::create_dir_all(trips.place.directory.path().join("elsewhere/prd_1/set_1")).expect("a folder");
    let same = elsewhere.lay_decoys("prd_1", "set_1", &trips.product, &plan()).expect("decoys");
    assert_eq!(same.files.digest(), trips.decoyed.files.digest());
    std::fs::create_dir_all(trips.place.directory.path().join("elsewhere/prd_1/set_2")).expect("a folder");
    let plan = DecoyPlan { secret: [8; 32], ..plan() };
    let other = elsewhere.lay_decoys("prd_1", "set_2", &trips.product, &plan).expect("decoys");
    assert_ne!(other.files.digest(), trips.decoyed.files.digest());
    assert!(!format!("{plan:?}").contains('8'), "no secret is printed");

    let session = trips.place.session(&[trips.over_decoys(&governance("trips", COLUMNS, vec![], None))]);
    let sparse = whole(&session, "select * from trips limit 5000").await;
    assert!(leaves_room(&sparse, &["id"]));
    // A number in each row and none between: as the places of these rows are.
    let numbered = "select cast(row_number() over (order by id) as bigint) as id, line from trips limit 5000";
    let dense = whole(&session, numbered).await;
    assert!(!leaves_room(&dense, &["id"]));
    // A line and a number go together in many ways that no row has.
    assert!(leaves_room(&dense, &["line", "id"]));
}

fn leaves_room(rows: &RecordBatch, key: &[&str]) -> bool {
    let key: Vec<_> = key.iter().map(|column| name(column)).collect();
    let mut room = Room::new(&key);
    room.add(rows).expect("the key is one");
    let mut tried = room.finish().expect("it is tried").expect("there are rows");
    tried.add(rows).expect("the key is one");
    tried.leaves_room()
}

#[tokio::test]
async fn a_product_that_names_subjects_has_none() {
    let place = Place::new();
    let people = place.people().await;
    let columns = [("id", "exact"), ("code", "exact")];
    let input = GovernedTable::new(people.files, &governance("people", &columns, vec![], None)).expect("a table");
    let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let spec = ProductSpec {
        sql: "select id, code from people".to_owned(),
        key: vec![name("id")],
        subject: Some(name("code")),
        further_subjects: Vec::new(),
    };
    let made = store.materialise(&place.engine, "prd_1", "set_1", &spec, &[input], Limits::default()).await;
    let laid = store.lay_decoys("prd_1", "set_1", &made.expect("a product"), &plan());
    assert!(matches!(laid, Err(ProductError::DecoysOfSubjects)), "{laid:?}");
}
