//! What a copy is: the same for every way to read it, another for everybody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_engine::Limits;
use lingqu_engine::governed::{GovernError, Governance, GovernedTable};
use lingqu_engine::lookup::{BlockCache, LookupTable, ProductIndex, Verdict};
use lingqu_engine::product::{Product, ProductSpec, ProductStore};
use lingqu_engine::session::GovernedSession;
use lingqu_fingerprint::{Encoding, Marking, Member, Presence};

use super::{copied, marking, marks, member, number, of_people, people_of};
use crate::data::{ALL_EXACT, Place, batches, claim, equals, governance, left, name, rows, tenant_a, text_rows};

/// Many batches of rows.
const TRIPS: i64 = 60_000;

/// Departures and arrivals in hours and minutes with the delay that ties them, and a distance that nothing marks.
fn trips_csv() -> String {
    let mut csv = String::from("id,line,planned,arrived,delay,distance\n");
    for id in 0..TRIPS {
        let planned = 360 + id * 7 % 600;
        let delay = id * 31 % 90 - 20;
        let arrived = planned + delay;
        let clock = |minutes: i64| minutes / 60 * 100 + minutes % 60;
        csv.push_str(&format!("{id},L{},{},{},{delay},{}\n", id % 40, clock(planned), clock(arrived), id * 13 % 5_000));
    }
    csv
}

fn trip_marking(presence: Option<Presence>) -> Marking {
    let arrived = Member { encoding: Encoding::HoursMinutes, ..member("arrived", 1, 0) };
    marking(&["id"], vec![number("arrival", vec![member("delay", 1, 0), arrived], 1)], presence)
}

/// The product over all trips, keyed by `id`.
async fn trips(place: &Place) -> Product {
    let snapshot = place.snapshot("res_trips", &trips_csv()).await;
    let columns = [
        ("id", "exact"),
        ("line", "exact"),
        ("planned", "exact"),
        ("arrived", "exact"),
        ("delay", "exact"),
        ("distance", "exact"),
    ];
    let input = GovernedTable::new(snapshot.files, &governance("trips", &columns, vec![], None)).expect("a table");
    let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let spec = ProductSpec {
        sql: "select id, line, planned, arrived, delay, distance from trips".to_owned(),
        key: vec![name("id")],
        subject: None,
        further_subjects: Vec::new(),
    };
    let made = store.materialise(&place.engine, "prd_1", "set_1", &spec, &[input], Limits::default()).await;
    made.expect("a product")
}

const TRIP_COLUMNS: &[(&str, &str)] = &[
    ("id", "exact"),
    ("line", "exact"),
    ("planned", "exact"),
    ("arrived", "exact"),
    ("delay", "exact"),
    ("distance", "exact"),
];

fn copy_of(product: &Product, columns: &[(&str, &str)], marking: Option<(&Marking, u8, u8)>) -> Arc<GovernedTable> {
    let governed = governance("trips", columns, vec![], None);
    let governed = governed.with_marks(marking.map(|(marking, recipient, order)| marks(marking, recipient, order)));
    GovernedTable::new(Arc::clone(&product.files), &governed).expect("a table")
}

async fn whole(session: &GovernedSession, sql: &str) -> RecordBatch {
    let found = batches(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    concat_batches(&found[0].schema(), &found).expect("one schema")
}

fn integers(batch: &RecordBatch, column: &str) -> Vec<i64> {
    batch.column_by_name(column).expect("the column").as_primitive::<Int64Type>().values().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_the_same_by_every_way_and_another_for_everybody_else() {
    let place = Place::new();
    let product = trips(&place).await;
    let marking = trip_marking(Some(Presence::of_share(0.01)));
    let original = whole(&place.session(&[copy_of(&product, TRIP_COLUMNS, None)]), "select * from trips").await;
    let expected = copied(&marking, &original, 2, 3);
    let session = place.session(&[copy_of(&product, TRIP_COLUMNS, Some((&marking, 2, 3)))]);

    // In the order of the table, by several threads and sorted, and again: what the room of fingerprints makes of all rows at once.
    for sql in [
        "select * from trips",
        "select * from trips order by id",
        "select * from trips union all select * from trips where false order by id",
        "select * from trips",
    ] {
        assert_eq!(whole(&session, sql).await, expected, "{sql}");
    }
    let lacks = TRIPS - i64::try_from(expected.num_rows()).expect("few");
    assert!((500..700).contains(&lacks), "{lacks}");
    assert_eq!(rows(&session, "select count(*) from trips").await, [expected.num_rows().to_string()]);
    // A column alone, without the key and without the column that it is tied to; and of an order that is not granted them.
    let alone = whole(&session, "select arrived from trips").await;
    assert_eq!(integers(&alone, "arrived"), integers(&expected, "arrived"));
    let narrow =
        place.session(&[copy_of(&product, &[("arrived", "exact"), ("id", "pseudonym:order")], Some((&marking, 2, 3)))]);
    assert_eq!(integers(&whole(&narrow, "select arrived from trips").await, "arrived"), integers(&expected, "arrived"));
    // Nothing else was changed, and the tie between the columns holds.
    let session = place.session(&[copy_of(&product, TRIP_COLUMNS, Some((&trip_marking(None), 2, 3)))]);
    let full = whole(&session, "select * from trips").await;
    for column in ["id", "line", "planned", "distance"] {
        assert_eq!(full.column_by_name(column), original.column_by_name(column), "{column}");
    }
    let minutes = |clock: i64| clock / 100 * 60 + clock % 100;
    let (planned, arrived, delay) = (integers(&full, "planned"), integers(&full, "arrived"), integers(&full, "delay"));
    let mut moved = 0;
    for (row, before) in integers(&original, "delay").iter().enumerate() {
        assert_eq!(minutes(arrived[row]) - minutes(planned[row]), delay[row], "row {row}");
        assert!((delay[row] - before).abs() <= 1);
        moved += usize::from(delay[row] != *before);
    }
    assert!(moved > full.num_rows() * 9 / 10, "{moved} cells were moved");

    // Another consumer, and another order of the same one.
    let others = |recipient, order| {
        place.session(&[copy_of(&product, TRIP_COLUMNS, Some((&trip_marking(None), recipient, order)))])
    };
    let differing = |other: &RecordBatch| {
        let pairs = integers(other, "delay").into_iter().zip(&delay).filter(|(there, here)| there != *here).count();
        pairs as f64 / full.num_rows() as f64
    };
    let consumer = differing(&whole(&others(4, 5), "select * from trips").await);
    let order = differing(&whole(&others(2, 5), "select * from trips").await);
    // Bits of two copies differ with 2p(1-p), which is a quarter on average over the code's biases.
    assert!((0.2..0.3).contains(&consumer), "{consumer}");
    assert!((0.015..0.04).contains(&order), "a tenth of a quarter: {order}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_name_the_rows_of_the_copy_and_no_other() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[people_of(&people, ALL_EXACT, &of_people(), 2, 3)]);
    let plain = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let numbers = rows(&session, "select id from people").await;
    // Rows stand in the order of their ids, from 0.
    let expected: roaring::RoaringTreemap = numbers.iter().map(|id| id.parse::<u64>().expect("a number")).collect();
    assert!((700..880).contains(&expected.len()), "{}", expected.len());
    assert_eq!(left(&plain, "select id from people").await.len(), 900);
    for sql in [
        "select id from people",
        "select count(*) from people",
        "select max(balance) from people",
        "select a.id from people a join people b on a.id = b.id",
        "select id from people where id >= 0 and balance is not null or balance is null",
    ] {
        assert_eq!(left(&session, sql).await, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_row_of_a_key_is_that_of_the_copy() {
    let place = Place::new();
    let product = trips(&place).await;
    let marking = trip_marking(Some(Presence::of_share(0.05)));
    let columns = [("delay", "exact"), ("id", "exact"), ("line", "pseudonym:order")];
    let table = copy_of(&product, &columns, Some((&marking, 2, 3)));
    let session = place.session(&[Arc::clone(&table)]);
    let index = Arc::new(ProductIndex::open(&product, &Arc::new(BlockCache::new(1 << 20))).expect("an index"));
    let lookup = LookupTable::new(index, table).expect("a lookup");
    let original = place.session(&[copy_of(&product, TRIP_COLUMNS, None)]);
    let sql = "select id, delay from trips where id < 400 order by id";
    let original = whole(&original, sql).await;
    let delays: BTreeMap<i64, i64> = integers(&original, "id").into_iter().zip(integers(&original, "delay")).collect();
    let (mut absent, mut moved) = (0, 0);
    for (id, delay) in delays {
        let key = [Literal::Integer(id)];
        let by_sql = rows(&session, &format!("select * from trips where id = {id}")).await;
        let found = lookup.lookup(&key).expect("a lookup");
        let delivered = found.as_ref().map(|found| integers(&found.values, "delay")[0]);
        let by_key = found.map(|found| text_rows(&[found.values])).unwrap_or_default();
        assert_eq!(by_key, by_sql, "{id}");
        let verdict =
            |value: i64| lookup.verify(&key, &claim(&[("delay", Literal::Integer(value))])).expect("a verdict");
        let Some(delivered) = delivered else {
            absent += 1;
            assert_eq!((verdict(delay).verdict, verdict(delay).row), (Verdict::NotFound, None));
            continue;
        };
        assert_eq!(verdict(delivered).verdict, Verdict::Match);
        if delivered != delay {
            moved += 1;
            assert_eq!(verdict(delay).verdict, Verdict::Mismatch, "the original value is not confirmed");
        }
    }
    assert!((5..40).contains(&absent) && moved > 300, "{absent} rows lack, {moved} delays are moved");
}

/// Statements over a table that has marked its rows before give what those over one that has not give, whatever of them they
/// show, in whatever turn; and the table of another order is asked for itself.
#[tokio::test]
async fn what_was_drawn_before_changes_no_copy() {
    let place = Place::new();
    let product = trips(&place).await;
    let mut marking = trip_marking(None);
    marking.marks.push(number("distance", vec![member("distance", 1, 0)], 2));
    let original = whole(&place.session(&[copy_of(&product, TRIP_COLUMNS, None)]), "select * from trips").await;
    let session = |order| place.session(&[copy_of(&product, TRIP_COLUMNS, Some((&marking, 2, order)))]);
    let (remembering, other) = (session(3), session(4));
    for round in 0..2 {
        for sql in [
            "select id, delay from trips where id > 30000",
            "select distance from trips",
            "select id, arrived, planned from trips where planned < 900",
            "select line, count(*), sum(delay), sum(distance) from trips group by line order by line",
            "select * from trips",
        ] {
            assert!(whole(&remembering, sql).await == whole(&session(3), sql).await, "{round}: {sql}");
            assert!(whole(&other, sql).await == whole(&session(4), sql).await, "{round}: {sql}");
        }
        for (session, order) in [(&remembering, 3), (&other, 4)] {
            let (found, expected) =
                (whole(session, "select * from trips").await, copied(&marking, &original, 2, order));
            assert!(found.columns() == expected.columns(), "{round}, order {order}");
        }
    }
}

#[tokio::test]
async fn what_would_tell_a_marked_cell_is_not_served() {
    let place = Place::new();
    let people = place.people().await;
    let marking = of_people();
    let refused = |columns: &[(&str, &str)], rows: Vec<Predicate>, marking: &Marking| {
        let governed = governance("people", columns, rows, None).with_marks(Some(marks(marking, 2, 3)));
        GovernedTable::new(Arc::clone(&people.files), &governed).map(drop).expect_err("it is refused")
    };
    let columns = [("id", "exact"), ("balance", "rounded:10")];
    let column = "balance".to_owned();
    assert_eq!(refused(&columns, vec![], &marking), GovernError::MarkedNotExact { column: column.clone() });
    let richer = Predicate::Compare {
        column: name("balance"),
        comparison: Comparison::Greater,
        value: Literal::Decimal("10".parse().expect("a decimal")),
    };
    let nested = Predicate::And(vec![equals("tenant", "a"), Predicate::Not(Box::new(richer))]);
    assert_eq!(refused(ALL_EXACT, vec![nested], &marking), GovernError::MarkedInCondition { column });
    // A column that the table lacks, one whose type carries no such mark, a key that is none.
    for marking in [
        super::marking(&["id"], vec![number("x", vec![member("gone", 1, 0)], 1)], None),
        super::marking(&["id"], vec![number("x", vec![member("active", 1, 0)], 1)], None),
        super::marking(&["score"], vec![number("x", vec![member("balance", 1, 2)], 1)], None),
    ] {
        assert!(matches!(refused(ALL_EXACT, vec![], &marking), GovernError::MarksUnfit { .. }));
    }
    // Statistics of a marked column that only they show are of the copy as well.
    let governed = Governance::with_marks(governance("people", ALL_EXACT, vec![], None), Some(marks(&marking, 2, 3)));
    assert!(GovernedTable::for_statistics(Arc::clone(&people.files), &governed).is_ok());
}
