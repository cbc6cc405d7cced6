//! Lookup: what SQL says, without SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use lingqu_domain::predicate::Literal;
use lingqu_engine::governed::GovernedTable;
use lingqu_engine::lookup::{BlockCache, KEYS_MAX, LookupError, LookupTable, ProductIndex, Verdict, joined};
use lingqu_engine::product::{Product, ProductSpec, ProductStore};
use lingqu_engine::session::GovernedSession;
use lingqu_engine::{Limits, StorageError};
use proptest::prelude::*;

use crate::data::{ALL_EXACT, Numbers, Place, claim, equals, governance, name, rows, text_rows};

struct Served {
    place: Place,
    lookup: LookupTable,
    session: GovernedSession,
}

/// A product with a key of two columns, served to a grant with a row filter and masks.
async fn served() -> Served {
    let place = Place::new();
    let people = place.people().await;
    let input = GovernedTable::new(Arc::clone(&people.files), &governance("people", ALL_EXACT, vec![], None));
    let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let spec = ProductSpec {
        sql: "select division, id, tenant, salary, born, score, code from people".to_owned(),
        key: vec![name("division"), name("id")],
        subject: None,
        further_subjects: Vec::new(),
    };
    let inputs = [input.expect("a table")];
    let product = store.materialise(&place.engine, "prd_1", "set_1", &spec, &inputs, Limits::default()).await;
    let product = product.expect("a product");
    let columns = [
        ("division", "exact"),
        ("id", "exact"),
        ("salary", "rounded:100"),
        ("born", "month"),
        ("score", "exact"),
        ("code", "pseudonym:consumer"),
    ];
    let governed = governance("p", &columns, vec![equals("tenant", "a")], None);
    let table = GovernedTable::new(Arc::clone(&product.files), &governed).expect("a table");
    let index = Arc::new(ProductIndex::open(&product, &Arc::new(BlockCache::new(1 << 20))).expect("an index"));
    assert_eq!(index.rows(), 1_000);
    let session = place.session(&[Arc::clone(&table)]);
    let lookup = LookupTable::new(index, table).expect("a lookup");
    Served { place, lookup, session }
}

fn key(division: &str, id: i64) -> Vec<Literal> {
    vec![Literal::Text(division.to_owned()), Literal::Integer(id)]
}

#[test]
fn a_lookup_says_what_sql_says() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let served = runtime.block_on(served());
    let strategy = (prop::sample::select(vec!["450102", "450103", "450202", "450305", "45", ""]), -3_i64..1_005);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&strategy, |(division, id)| {
            let sql = format!("select * from p where division = '{division}' and id = {id}");
            let by_sql = runtime.block_on(rows(&served.session, &sql));
            let found = served.lookup.lookup(&key(division, id)).expect("a lookup");
            let by_key = found.map(|found| text_rows(&[found.values])).unwrap_or_default();
            prop_assert_eq!(by_key, by_sql);
            Ok(())
        })
        .expect("the property holds");
}

#[tokio::test]
async fn claims_are_compared_at_the_granted_precision() {
    let served = served().await;
    let verify = |id: i64, claim: &BTreeMap<String, Option<Literal>>| {
        let division = ["450102", "450103", "450202", "450305"][usize::try_from(id % 4).expect("small")];
        served.lookup.verify(&key(division, id), claim).expect("a verdict").verdict
    };
    // Salary of 7 is 3021, shown as 3000.
    assert_eq!(verify(7, &claim(&[("salary", Literal::Integer(3_000))])), Verdict::Match);
    assert_eq!(verify(7, &claim(&[("salary", Literal::Integer(3_021))])), Verdict::Mismatch);
    let born = Literal::Date(jiff::civil::date(1967, 8, 1));
    assert_eq!(verify(7, &claim(&[("born", born.clone()), ("salary", Literal::Integer(3_000))])), Verdict::Match);
    assert_eq!(verify(7, &claim(&[("born", born), ("salary", Literal::Integer(1))])), Verdict::Mismatch);
    // A row that the grant does not cover and one that does not exist read the same.
    assert_eq!(verify(10, &claim(&[("salary", Literal::Integer(3_000))])), Verdict::NotFound);
    assert_eq!(verify(5_001, &claim(&[("salary", Literal::Integer(3_000))])), Verdict::NotFound);
    // A missing value: 9 has no score.
    assert_eq!(verify(9, &claim(&[("score", Literal::Decimal("9.5".parse().expect("a decimal")))])), Verdict::Mismatch);
    assert_eq!(verify(9, &[("score".to_owned(), None)].into()), Verdict::Match);
    assert_eq!(verify(8, &claim(&[("score", Literal::Decimal("8.5".parse().expect("a decimal")))])), Verdict::Match);
}

#[tokio::test]
async fn wrong_questions_are_refused_before_any_row_is_looked_for() {
    let served = served().await;
    let salary = claim(&[("salary", Literal::Integer(1))]);
    let wrong_key = served.lookup.verify(&[Literal::Integer(1)], &salary);
    assert!(matches!(wrong_key, Err(LookupError::KeyParts { found: 1, expected: 2, .. })));
    let wrong_part = served.lookup.verify(&[Literal::Integer(1), Literal::Integer(1)], &salary);
    assert!(matches!(wrong_part, Err(LookupError::WrongType { .. })));
    for hidden in ["tenant", "__row", "nothing"] {
        let refused = served.lookup.verify(&key("450102", 4), &claim(&[(hidden, Literal::Text("a".to_owned()))]));
        assert!(matches!(refused, Err(LookupError::ColumnNotGranted { column, .. }) if column == hidden));
    }
    assert!(matches!(served.lookup.verify(&key("450102", 4), &BTreeMap::new()), Err(LookupError::EmptyClaim)));
    let wrong_value = served.lookup.verify(&key("450102", 4), &claim(&[("salary", Literal::Boolean(true))]));
    assert!(matches!(wrong_value, Err(LookupError::WrongType { .. })));
}

#[tokio::test]
async fn batches_keep_their_order_and_their_limit() {
    let served = served().await;
    let keys = vec![key("450103", 1), key("450103", 2), key("450202", 2)];
    let found = served.lookup.lookup_batch(&keys).expect("a batch");
    let ids: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(ids, [true, false, true]);
    let batch = joined(&served.lookup.schema(), &found).expect("one batch");
    assert_eq!(batch.num_rows(), 2);
    let empty = joined(&served.lookup.schema(), &[]).expect("one batch");
    assert_eq!(empty.num_rows(), 0);
    let too_many = vec![key("450102", 1); KEYS_MAX + 1];
    assert!(matches!(served.lookup.lookup_batch(&too_many), Err(LookupError::TooManyKeys { found: 1_001 })));
}

/// What was asked for is kept: asked again it comes from memory, whatever became of the file. How long that takes `make bench` measures.
#[tokio::test]
async fn what_was_asked_for_is_asked_of_the_disk_once() {
    let served = served().await;
    let ask = || {
        let mut found = Vec::new();
        for id in 0..1_000 {
            found.push(served.lookup.lookup(&key("450103", id)).expect("a lookup").map(|found| found.row));
        }
        found
    };
    let first = ask();
    assert!(first.iter().flatten().count() > 10);
    let file = served.place.directory.path().join("products/prd_1/set_1/lookup.arrow");
    std::fs::write(file, b"").expect("written");
    assert_eq!(ask(), first);
}

/// A product of enough rows for many blocks, and where it lies.
async fn many(place: &Place, rows: i64) -> Product {
    let mut csv = String::from("id,text\n");
    for id in 0..rows {
        csv.push_str(&format!("{},text of {}\n", (id * 7_919) % rows * 2, (id * 7_919) % rows * 2));
    }
    let snapshot = place.snapshot("res_many", &csv).await;
    let input =
        GovernedTable::new(snapshot.files, &governance("many", &[("id", "exact"), ("text", "exact")], vec![], None));
    let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let spec = ProductSpec {
        sql: "select id, text from many".to_owned(),
        key: vec![name("id")],
        subject: None,
        further_subjects: Vec::new(),
    };
    let inputs = [input.expect("a table")];
    let made = store.materialise(&place.engine, "prd_many", "set_1", &spec, &inputs, Limits::default());
    made.await.expect("a product")
}

fn open(product: &Product, cache: &Arc<BlockCache>) -> LookupTable {
    let governed = governance("p", &[("id", "exact"), ("text", "exact")], vec![], None);
    let table = GovernedTable::new(Arc::clone(&product.files), &governed).expect("a table");
    LookupTable::new(Arc::new(ProductIndex::open(product, cache).expect("an index")), table).expect("a lookup")
}

#[tokio::test]
async fn every_key_is_found_and_no_other_within_a_bounded_memory() {
    let place = Place::new();
    let product = many(&place, 20_000).await;
    let cache = Arc::new(BlockCache::new(200_000));
    let lookup = open(&product, &cache);
    for id in -1..40_001 {
        let found = lookup.lookup(&[Literal::Integer(id)]).expect("a lookup");
        assert_eq!(found.is_some(), id % 2 == 0 && (0..40_000).contains(&id), "{id}");
        if let Some(found) = found {
            assert_eq!(found.row * 2, u64::try_from(id).expect("even ids are not negative"));
            assert_eq!(found.values.column(1).as_string::<i32>().value(0), format!("text of {id}"));
        }
    }
    // The most, and one block more in each of its parts.
    assert!(cache.bytes() > 0 && cache.bytes() < 200_000 + 16 * 20_000, "{}", cache.bytes());
}

#[tokio::test]
async fn a_changed_index_is_noticed_and_one_of_another_product_is_made_anew() {
    let place = Place::new();
    let product = many(&place, 2_000).await;
    let cache = Arc::new(BlockCache::default());
    drop(open(&product, &cache));
    let directory = place.directory.path().join("products/prd_many/set_1");
    let data = directory.join("lookup.arrow");
    let good = std::fs::read(&data).expect("the index");
    // A letter of a row's text, in the middle of the file.
    let at = good.windows(12).position(|bytes| bytes == b"text of 2400").expect("a row") + 8;
    let mut bad = good.clone();
    bad[at] = b'9';
    std::fs::write(&data, &bad).expect("written");
    let asked = open(&product, &cache).lookup(&[Literal::Integer(2_400)]);
    assert!(matches!(&asked, Err(LookupError::Storage(StorageError::MadeDamaged { .. }))), "{asked:?}");
    // Its neighbours in other blocks are served all the same.
    assert!(open(&product, &cache).lookup(&[Literal::Integer(2)]).expect("a lookup").is_some());
    // A file that was cut, or of other data, is not taken for this product's.
    std::fs::write(&data, &good[..good.len() / 2]).expect("written");
    assert!(open(&product, &cache).lookup(&[Literal::Integer(2_400)]).expect("a lookup").is_some());
    assert_eq!(std::fs::read(&data).expect("the index"), good, "the same product has the same index");
    let left: Vec<_> =
        std::fs::read_dir(&directory).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("unfinished")), "{left:?}");
}

/// How many damaged indexes are opened.
const DAMAGED: usize = 300;

/// Bytes as a disk might give them back. Every other time they differ where an Arrow file tells what it is made of.
fn damage(numbers: &mut Numbers, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let from = if numbers.below(2) == 0 { bytes.len().saturating_sub(1_200) } else { 0 };
    let at = from + numbers.below(bytes.len() - from);
    let end = (at + 1 + numbers.below(64)).min(bytes.len());
    match numbers.below(5) {
        0 => bytes[at] ^= 1 << numbers.below(8),
        1 => bytes[at..end].fill(0),
        2 => bytes[at..end].fill(0xff),
        3 => drop(bytes.drain(at..end)),
        _ => {
            let other = good[numbers.below(good.len() - 64)..][..end - at].to_vec();
            bytes[at..end].copy_from_slice(&other);
        }
    }
    bytes
}

/// Whatever the disk gives back, the index is made anew, tells how it is mended, or answers rightly. Arrow's own readers panic.
#[tokio::test]
async fn an_index_that_the_disk_changed_never_panics_and_never_lies() {
    let place = Place::new();
    let product = many(&place, 2_000).await;
    let cache = Arc::new(BlockCache::default());
    drop(open(&product, &cache));
    let directory = place.directory.path().join("products/prd_many/set_1");
    let files = ["lookup.arrow", "lookup-blocks.arrow"].map(|name| directory.join(name));
    let good = files.clone().map(|path| std::fs::read(path).expect("the index"));
    let governed = governance("p", &[("id", "exact"), ("text", "exact")], vec![], None);
    let table = GovernedTable::new(Arc::clone(&product.files), &governed).expect("a table");
    let mut numbers = Numbers(0x11_24);
    let (mut told, mut answered) = (0, 0);
    for round in 0..DAMAGED {
        for (path, bytes) in files.iter().zip(&good) {
            std::fs::write(path, bytes).expect("written");
        }
        let which = numbers.below(2);
        std::fs::write(&files[which], damage(&mut numbers, &good[which])).expect("written");
        let index = match ProductIndex::open(&product, &cache) {
            Ok(index) => index,
            Err(LookupError::Storage(StorageError::MadeDamaged { .. })) => {
                told += 1;
                continue;
            }
            Err(other) => panic!("{round}: {other}"),
        };
        let lookup = LookupTable::new(Arc::new(index), Arc::clone(&table)).expect("a lookup");
        for id in (0..4_000).step_by(222) {
            match lookup.lookup(&[Literal::Integer(id)]) {
                Ok(Some(found)) => {
                    assert_eq!(found.values.column(1).as_string::<i32>().value(0), format!("text of {id}"), "{round}");
                    answered += 1;
                }
                Err(LookupError::Storage(StorageError::MadeDamaged { .. })) => told += 1,
                other => panic!("{round}: {id}: {other:?}"),
            }
        }
    }
    assert!(told > 50 && answered > 1_000, "{told} were told, {answered} answered");
}
