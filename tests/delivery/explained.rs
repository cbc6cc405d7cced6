//! EXPLAIN over the delivery path: a call with a receipt that names nothing, in no mode more than that.

use arrow::array::AsArray;
use futures::TryStreamExt;
use lingqu_domain::receipt::{Outcome, ReceiptBody};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Admission, BatchRequest, Deliveries, Settings};
use lingqu_tests::scenario::{TRIP_RECORDS, Who};
use serde_json::json;

use crate::served::{Served, rows_named};

const EXPLAINED: &str = "EXPLAIN SELECT line, avg(delay) FROM trip_records WHERE delay > 60 GROUP BY line";

fn request(mode: Mode) -> BatchRequest {
    BatchRequest {
        mode,
        sql: EXPLAINED.to_owned(),
        parameters: Vec::new(),
        request: EXPLAINED.to_owned(),
        limits: Admission::limits(mode),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_a_call_that_names_no_row_and_no_column() {
    let served = Served::open(None, 500).await;
    let modes = [Mode::Lookup, Mode::Rows, Mode::File];
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &modes, (3, 1)).await;
    let reply = served.post(&order, "/query", json!({ "sql": EXPLAINED })).await.ok();
    let body = reply.json();
    assert_eq!(body["columns"], json!(["QUERY PLAN"]));
    assert_eq!(body["rows"][3]["QUERY PLAN"], "      Table: trip_records, columns=[line, delay]");
    assert_eq!(reply.header("receipt-rows"), Some("exact"));
    let (records, outcome, totals) = served.closed(reply.header("delivery-receipt").expect("a receipt")).await;
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!((totals.calls, totals.data_sets, totals.rows, totals.answer_rows), (1, 0, 0, 4));
    assert_eq!((totals.bytes, rows_named(&records)), (reply.body.len() as u64, 0));
    let ReceiptBody::Opened(opening) = &records[0].body else { panic!("{records:?}") };
    let lineage = opening.lineage.as_ref().expect("it is told");
    assert!(
        lineage.conditions.is_empty() && lineage.columns.iter().all(|column| column.from.is_empty()),
        "{lineage:?}"
    );

    // As batches it is the same, and its form is known before.
    let deliveries = Deliveries::new(served.scenario.app.clone(), Settings::default());
    let admission = deliveries.admit_order(Some(&order.key), "flight").await.expect("the key is good");
    let described = deliveries.describe(&admission, Mode::Rows, EXPLAINED).await.expect("it is described");
    let answer = deliveries.batches(&admission, request(Mode::Rows)).await.expect("it is answered");
    assert_eq!(answer.schema, described.schema);
    let batches: Vec<_> = answer.batches.try_collect().await.expect("it is whole");
    assert_eq!(
        batches[0].column(0).as_string::<i32>().value(0),
        "Projection: trip_records.line, avg(trip_records.delay)"
    );

    // Neither a data set nor a call is spent where it is refused.
    let refused = deliveries.batches(&admission, request(Mode::File)).await.expect_err("no file");
    assert_eq!(refused.problem().code, "statement_not_allowed");
    let refused = deliveries.batches(&admission, request(Mode::Lookup)).await.expect_err("no lookup");
    assert_eq!(refused.problem().code, "key_predicate_needed");
    let file = BatchRequest { sql: "SELECT line FROM trip_records".to_owned(), ..request(Mode::File) };
    let whole: Vec<_> =
        deliveries.batches(&admission, file).await.expect("a file").batches.try_collect().await.expect("it is whole");
    assert_eq!(whole.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 500);
    served.post(&order, "/query", json!({ "sql": EXPLAINED })).await.ok();
    let spent = served.post(&order, "/query", json!({ "sql": EXPLAINED })).await;
    assert_eq!(spent.problem(), (403, "quota_exceeded".to_owned()));
}
