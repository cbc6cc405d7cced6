//! EXPLAIN: a consumer's statement as it was understood, and nothing of what lies behind it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use lingqu_engine::allow::RefusalCode::{
    self, ColumnNotGranted, StatementNotAllowed, StatementTooLarge, TableNotGranted,
};
use lingqu_engine::product::{ProductSpec, ProductStore};
use lingqu_engine::{EngineError, Limits, RowsExactness};

use crate::data::{Place, batches, name, rows, tenant_a};

const GRANTED: &[(&str, &str)] = &[("id", "exact"), ("code", "exact"), ("salary", "rounded:1000"), ("born", "year")];

#[tokio::test]
async fn a_plan_is_the_statement_as_it_was_written() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, GRANTED)]);
    for (sql, plan) in [
        (
            "explain select * from people",
            &[
                "Projection: people.id, people.code, people.salary, people.born",
                "Table: people, columns=[id, code, salary, born]",
            ][..],
        ),
        // Neither moved below nor merged, whether it may cross the barrier or not.
        (
            "explain select code from (select * from people where 1 / id > 0) p where id < 7 limit 2",
            &[
                "Limit: skip=0, fetch=2",
                "Projection: p.code",
                "Filter: p.id < Int64(7)",
                "SubqueryAlias: p",
                "Projection: people.id, people.code, people.salary, people.born",
                "Filter: Int64(1) / people.id > Int64(0)",
                "Table: people, columns=[id, code]",
            ],
        ),
        (
            "EXPLAIN SELECT count(*) FROM people",
            &[
                "Projection: count(Int64(1)) AS count(*)",
                "Aggregate: groupBy=[[]], aggr=[[count(Int64(1))]]",
                "Table: people, columns=[]",
            ],
        ),
        (
            "explain select a.id from people a join people b on a.salary = b.id",
            &[
                "Projection: a.id",
                "Inner Join:  Filter: a.salary = b.id",
                "SubqueryAlias: a",
                "Table: people, columns=[id, salary]",
                "SubqueryAlias: b",
                "Table: people, columns=[id]",
            ],
        ),
        (
            "explain select 'two\nlines' from people where id in (select max(id) from people)",
            &[
                "Projection: Utf8(\"two lines\")",
                "Filter: people.id IN (<subquery>)",
                "Subquery:",
                "Projection: max(people.id)",
                "Aggregate: groupBy=[[]], aggr=[[max(people.id)]]",
                "Table: people, columns=[id]",
                "Table: people, columns=[id]",
            ],
        ),
        ("explain select 1", &["Projection: Int64(1)", "EmptyRelation: rows=1"]),
    ] {
        assert_eq!(rows(&session, sql).await, plan, "{sql}");
    }
}

#[tokio::test]
async fn nothing_is_read_or_named_and_its_form_is_told_before() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, GRANTED)]);
    // It would fail on the first row, and at once.
    let sql = "explain select 1 / (id - id), cast(born as bigint) from people where id > $1";
    let values = [ScalarValue::Int64(Some(1))];
    let answer = session.query_with(sql, &values).await.expect("an answer");
    let column = Field::new("QUERY PLAN", DataType::Utf8, true);
    assert_eq!(lingqu_engine::session::told(&answer.schema()), Arc::new(Schema::new(vec![column])));
    assert_eq!(answer.rows_exactness(), RowsExactness::Exact);
    let lineage = answer.lineage().clone();
    assert!(lineage.conditions.is_empty() && lineage.columns.iter().all(|column| column.from.is_empty()));
    assert!(!lineage.at_most);
    let described = session.describe(sql, Some(&values)).await.expect("it is described");
    assert_eq!(described.schema, lingqu_engine::session::told(&answer.schema()));
    let (batches, left) = answer.collect().await.expect("it does not fail");
    assert_eq!(batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 3);
    assert!(left.is_empty(), "{left:?}");
    // Without values its parameters are told as for the statement itself.
    let open = session.describe(sql, None).await.expect("it is described");
    assert_eq!((open.parameters, open.schema), (vec![Some(DataType::Int64)], described.schema));
    // It is no lookup.
    let key = [name("id")];
    let keyed = session.keyed("explain select id from people where id = 1", &[], &key);
    assert_eq!(keyed.await.expect("it is read"), None);
}

#[tokio::test]
async fn what_would_be_refused_is_refused_and_so_is_every_other_form() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, GRANTED)]);
    let nested = format!("{}select 1", "explain ".repeat(2_000));
    let nested_with_options = format!("{}select 1", "explain (verbose) explain verbose ".repeat(400));
    let refused: &[(&str, RefusalCode)] = &[
        ("explain select tenant from people", ColumnNotGranted),
        ("explain select __row from people", ColumnNotGranted),
        ("explain select * from raw", TableNotGranted),
        ("explain analyze select id from people", StatementNotAllowed),
        ("explain verbose select id from people", StatementNotAllowed),
        ("explain (analyze, verbose) select id from people", StatementNotAllowed),
        ("explain (format json) select id from people", RefusalCode::StatementNotUnderstood),
        ("explain (format tree) select id from people", StatementNotAllowed),
        ("explain format indent select id from people", StatementNotAllowed),
        ("explain (costs) select id from people", StatementNotAllowed),
        ("explain (buffers) select id from people", StatementNotAllowed),
        ("explain (level summary) select id from people", StatementNotAllowed),
        ("explain explain select id from people", StatementNotAllowed),
        ("explain insert into people values (1)", StatementNotAllowed),
        ("explain copy people to '/tmp/x.csv'", StatementNotAllowed),
        ("explain create table t as select 1", StatementNotAllowed),
        ("explain select id from people; select id from people", StatementNotAllowed),
        (&nested, StatementTooLarge),
        (&nested_with_options, StatementTooLarge),
    ];
    for (sql, code) in refused {
        match batches(&session, sql).await {
            Err(EngineError::Refused(refusal)) => assert_eq!(refusal.code, *code, "{sql}: {refusal}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_product_is_no_plan() {
    let place = Place::new();
    let people = place.people().await;
    let products = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let sql = "explain select id, code from people".to_owned();
    let spec = ProductSpec { sql, key: vec![name("id")], subject: None, further_subjects: Vec::new() };
    let inputs = [tenant_a(&people, GRANTED)];
    let made = products.materialise(&place.engine, "prd_1", "set_1", &spec, &inputs, Limits::default()).await;
    let error = made.expect_err("no product").to_string();
    assert!(error.contains("only a SELECT statement is allowed"), "{error}");
}
