//! Lookup: what SQL says, without SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use lingqu_domain::predicate::Literal;
use lingqu_engine::Limits;
use lingqu_engine::governed::GovernedTable;
use lingqu_engine::lookup::{KEYS_MAX, LookupError, LookupTable, ProductIndex, Verdict, joined};
use lingqu_engine::product::{ProductSpec, ProductStore};
use lingqu_engine::session::GovernedSession;
use proptest::prelude::*;

use crate::data::{ALL_EXACT, Place, claim, equals, governance, name, rows, text_rows};

struct Served {
    _place: Place,
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
    let index = Arc::new(ProductIndex::open(&product, 1 << 30).expect("an index"));
    assert_eq!(index.rows(), 1_000);
    assert!(matches!(ProductIndex::open(&product, 10_000), Err(LookupError::TooLarge { .. })));
    let session = place.session(&[Arc::clone(&table)]);
    let lookup = LookupTable::new(index, table).expect("a lookup");
    Served { _place: place, lookup, session }
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

#[tokio::test]
async fn a_lookup_takes_microseconds() {
    let served = served().await;
    let salary = claim(&[("salary", Literal::Integer(3_000))]);
    let began = std::time::Instant::now();
    let rounds = 2_000;
    for round in 0..rounds {
        served.lookup.verify(&key("450103", round % 1_000), &salary).expect("a verdict");
    }
    let each = began.elapsed() / u32::try_from(rounds).expect("small");
    println!("verify: {each:?} each, in this build");
    // Far above what it takes even without optimisation, far below what planning SQL takes.
    assert!(each < std::time::Duration::from_micros(500), "{each:?}");
}
