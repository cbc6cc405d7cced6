//! Products: made once, sorted, keyed, and never more than their inputs allow.

use std::sync::Arc;

use lingqu_engine::allow::RefusalCode;
use lingqu_engine::governed::GovernedTable;
use lingqu_engine::internal::internal_session;
use lingqu_engine::product::{ProductError, ProductSpec, ProductStore};
use lingqu_engine::{Engine, EngineError, EngineSettings, Limits};

use crate::data::{ALL_EXACT, Place, governance, name, tenant_a, text_rows};

fn spec(sql: &str, key: &[&str]) -> ProductSpec {
    let key = key.iter().map(|column| name(column)).collect();
    ProductSpec { sql: sql.to_owned(), key, subject: None, further_subjects: Vec::new() }
}

fn store(place: &Place) -> ProductStore {
    ProductStore::open(&place.directory.path().join("products")).expect("a store")
}

#[tokio::test]
async fn a_product_is_sorted_by_its_key_and_numbered() {
    let place = Place::new();
    let people = place.people().await;
    let input = tenant_a(&people, ALL_EXACT);
    let spec = spec("select division, id, salary / 12 as monthly from people where active", &["division", "id"]);
    let store = store(&place);
    let product = store
        .materialise(&place.engine, "prd_1", "set_1", &spec, &[Arc::clone(&input)], Limits::default())
        .await
        .expect("a product");
    assert_eq!(product.rows, 400);
    let session = internal_session(&place.engine, &[("p", Arc::clone(&product.files))], Limits::default());
    let session = session.expect("a session");
    let out_of_order = "select count(*) from (select __row, row_number() over (order by division, id) - 1 as n from p) \
        where __row <> n";
    assert_eq!(text_rows(&session.query(out_of_order).await.expect("an answer")), ["0"]);
    product.files.check_contents().expect("unchanged");

    // Made again, or opened: the same.
    let again = store.materialise(&place.engine, "prd_1", "set_1", &spec, &[input], Limits::default()).await;
    assert_eq!(again.expect("a product").digest, product.digest);
    let opened = store.get("prd_1", "set_1").expect("opens");
    assert_eq!((opened.digest, opened.shape, opened.rows), (product.digest, product.shape, 400));
    assert!(matches!(store.get("prd_1", "set_2"), Err(ProductError::NotMade { .. })));
    assert!(matches!(store.get("../prd", "set_2"), Err(ProductError::BadId(_))));
}

/// A product is sorted by its key; one of ten million rows takes more space for it than a query's share.
#[tokio::test]
async fn a_product_larger_than_a_querys_share_of_memory_and_space_is_made() {
    const ROWS: usize = 300_000;
    let place = Place::new();
    let mut csv = String::from("id,text\n");
    for id in 0..ROWS {
        csv.push_str(&format!("{},{id:0>100}\n", (id * 7_919) % ROWS));
    }
    let snapshot = place.snapshot("res_wide", &csv).await;
    let columns = governance("wide", &[("id", "exact"), ("text", "exact")], vec![], None);
    let input = GovernedTable::new(snapshot.files, &columns).expect("a table");
    let spill = place.directory.path().join("spill");
    let settings = EngineSettings { queries_max: 2, spill_bytes_max: 4 << 20, ..EngineSettings::moderate(spill) };
    let engine = Arc::new(Engine::new(&settings).expect("an engine"));
    // 32 MB to sort with 24 MiB of memory, where a query has 2 MiB on disk.
    let limits = Limits { memory_bytes_max: 24 << 20, ..Limits::default() };
    let joined = "select a.id, a.text, b.text as other from wide a join wide b on a.id = b.id";
    for (version, sql) in [("prd_1", "select id, text from wide"), ("prd_2", joined)] {
        let spec = spec(sql, &["id"]);
        let made = store(&place).materialise(&engine, version, "set_1", &spec, &[Arc::clone(&input)], limits).await;
        assert_eq!(made.unwrap_or_else(|error| panic!("{sql}: {error}")).rows, ROWS as u64);
    }
}

/// A key that is computed ahead of its join, and fails on a row that the join does not reach, fails no product.
#[tokio::test]
async fn a_product_is_made_though_a_key_fails_that_no_row_comes_to() {
    let place = Place::new();
    let people = place.people().await;
    let input = tenant_a(&people, ALL_EXACT);
    let on = "on 7 / (p.divisor - 1) = q.id";
    let unreached = format!("select p.id, q.code from people p left join (select * from people where id < 0) q {on}");
    let reached = format!("select p.id, q.code from people p left join people q {on}");
    let store = store(&place);
    let made = |version: &'static str, sql: &str| {
        let (store, engine, input, spec) = (&store, &place.engine, Arc::clone(&input), spec(sql, &["id"]));
        async move { store.materialise(engine, version, "set_1", &spec, &[input], Limits::default()).await }
    };
    assert_eq!(made("prd_1", &unreached).await.expect("a product").rows, 900);
    let failed = made("prd_2", &reached).await;
    assert!(matches!(failed, Err(ProductError::Engine(EngineError::Execution { .. }))), "{failed:?}");
}

#[tokio::test]
async fn the_inputs_masks_bound_the_product() {
    let place = Place::new();
    let people = place.people().await;
    let columns = [("id", "exact"), ("division", "city"), ("salary", "rounded:1000")];
    let input = tenant_a(&people, &columns);
    let store = store(&place);
    let spec = spec("select id, division, salary from people", &["id"]);
    let product = store
        .materialise(&place.engine, "prd_1", "set_1", &spec, &[Arc::clone(&input)], Limits::default())
        .await
        .expect("a product");
    assert_eq!(product.rows, 900, "rows of the other tenant are not in it");
    let session = internal_session(&place.engine, &[("p", product.files)], Limits::default()).expect("a session");
    let sql = "select count(distinct division), count(*) filter (where salary % 1000 <> 0) from p";
    assert_eq!(text_rows(&session.query(sql).await.expect("an answer")), ["3|0"]);

    let mut hidden = spec;
    hidden.sql = "select id, tenant from people".to_owned();
    let made = store.materialise(&place.engine, "prd_2", "set_1", &hidden, &[input], Limits::default()).await;
    assert!(
        matches!(made, Err(ProductError::Engine(EngineError::Refused(refusal))) if refusal.code == RefusalCode::ColumnNotGranted)
    );
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_with_counts() {
    let place = Place::new();
    let csv = "id,part\n1,a\n1,a\n1,b\n,c\n2,\n2,a\n";
    let snapshot = place.snapshot("res_1", csv).await;
    let columns = governance("t", &[("id", "exact"), ("part", "exact")], vec![], None);
    let input = GovernedTable::new(snapshot.files, &columns).expect("a table");
    let store = store(&place);
    let made = |key: &'static [&'static str]| {
        let (store, engine, input) = (&store, &place.engine, Arc::clone(&input));
        async move {
            let spec = spec("select id, part from t", key);
            store.materialise(engine, "prd_1", "set_1", &spec, &[input], Limits::default()).await
        }
    };
    let error = made(&["id", "part"]).await.expect_err("no key");
    assert!(matches!(error, ProductError::NotAKey { duplicates: 1, missing: 2, rows: 6, .. }), "{error}");
    let error = made(&["id"]).await.expect_err("no key");
    assert!(matches!(error, ProductError::NotAKey { duplicates: 3, missing: 1, .. }), "{error}");
    assert!(matches!(made(&[]).await, Err(ProductError::KeyMissing)));
    assert!(matches!(made(&["other"]).await, Err(ProductError::ColumnMissing { role: "key", .. })));
    assert!(matches!(store.get("prd_1", "set_1"), Err(ProductError::NotMade { .. })), "nothing was left behind");
}
