//! Statistics with noise over the whole way: accounts, headers, receipts, repetitions, and what they bar.

use lingqu_app::{App, AppSettings};
use lingqu_domain::privacy::Rho;
use lingqu_domain::receipt::ReceiptBody;
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Admission, BatchRequest, Deliveries, Settings};
use lingqu_tests::scenario::{NOISED_LINES, Ordered, Scenario, TRIP_NOISED, TRIP_STATISTICS, Who};
use lingqu_tests::{StoreFactory, both};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::differencing::copy;
use crate::served::{Reply, Served};

const BY_LINE: &str = "SELECT line, count(*) AS n, avg(delay) AS late FROM trip_noised GROUP BY line ORDER BY line";
const TRIPS: usize = 5_000;

async fn served(budget: &str, rho: &str) -> Served {
    Served::of(Scenario::open_noised(None, TRIPS, budget, rho).await, Settings::default()).await
}

async fn ordered(served: &Served, who: Who) -> Ordered {
    served.scenario.order(who, TRIP_NOISED, &[Mode::Statistics], (1_000, 0)).await
}

async fn ask(served: &Served, order: &Ordered, sql: &str) -> Reply {
    served.post(order, "/query", json!({ "sql": sql })).await
}

fn refused(code: &str) -> (u16, String) {
    (403, code.to_owned())
}

async fn rho_spent(served: &Served, reply: &Reply) -> Option<Rho> {
    let records = served.records(reply.header("delivery-receipt").unwrap()).await;
    let ReceiptBody::Opened(opening) = &records[0].body else { panic!("{records:?}") };
    opening.rho_spent
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_costs_and_its_repetition_does_not() {
    let served = served("0.5", "0.2").await;
    let order = ordered(&served, Who::First).await;
    let standing = served.get(&order, "/privacy").await.ok().json();
    assert_eq!((&standing["rho_per_answer"], &standing["answers_left"]), (&json!("0.2"), &json!(2)));
    assert_eq!(standing["accounts"][0]["link"], json!(served.scenario.noised_permit()));
    assert_eq!(standing["accounts"][0]["left"], "0.5");
    assert_eq!(standing["accounts"][0]["epsilon_spent"], 0.0);

    let first = ask(&served, &order, BY_LINE).await.ok();
    assert_eq!(
        (first.header("lingqu-privacy-spent"), first.header("lingqu-privacy-remaining")),
        (Some("0.2"), Some("0.3"))
    );
    let rows = first.json()["rows"].clone();
    // Every declared line and no other, whether it occurs or not; noise beside the truth of about 1,000 each.
    let lines: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["line"].as_str().unwrap()).collect();
    assert_eq!(lines, NOISED_LINES);
    assert_eq!(rho_spent(&served, &first).await, Some("0.2".parse().unwrap()));

    // The same question in other words, in another order of things, with conditions on the result, and by another order.
    let second_order = ordered(&served, Who::First).await;
    for (order, sql) in [
        (&order, BY_LINE),
        (&order, "select t.line, count(*) as n, avg(t.delay) as late from trip_noised t group by t.line order by 1"),
        (&second_order, BY_LINE),
    ] {
        let again = ask(&served, order, sql).await.ok();
        assert_eq!(again.json()["rows"], rows, "{sql}");
        assert_eq!(again.header("lingqu-privacy-spent"), Some("0"));
        assert_eq!(again.header("lingqu-privacy-remaining"), Some("0.3"));
        assert_eq!(rho_spent(&served, &again).await, Some(Rho::ZERO));
        // The receipt of a repetition names the rows again.
        let (_, _, totals) = served.closed(again.header("delivery-receipt").unwrap()).await;
        assert_eq!(totals.rows, TRIPS as u64);
    }
    let part = "SELECT avg(delay) AS late FROM trip_noised GROUP BY line HAVING count(*) > 0 ORDER BY 1 LIMIT 1";
    let part = ask(&served, &order, part).await.ok();
    assert_eq!(part.header("lingqu-privacy-spent"), Some("0"), "count, sum and average are of the same parts");

    // Another question costs; then the budget is used up, which tells what is left and that time does not bring it back.
    let filtered = ask(&served, &order, "SELECT count(*) FROM trip_noised WHERE line <> 'L9'").await.ok();
    // The consumer may read its receipt: were only the rows of the condition named, it would be the exact answer.
    let (_, _, totals) = served.closed(filtered.header("delivery-receipt").unwrap()).await;
    assert_eq!(totals.rows, TRIPS as u64);
    let empty = ask(&served, &order, "SELECT count(*) FROM trip_noised WHERE line = 'L9'").await;
    assert_eq!(empty.problem(), refused("privacy_budget_exhausted"));
    let said = empty.json()["detail_en"].as_str().unwrap().to_owned();
    assert!(said.contains("0.1 left") && said.contains("costs 0.2") && said.contains("only"), "{said}");
    assert_eq!(empty.json()["subject"], json!(served.scenario.noised_permit()));
    // What was given is given again.
    assert_eq!(ask(&served, &order, BY_LINE).await.ok().json()["rows"], rows);
    let standing = served.get(&second_order, "/privacy").await.ok().json();
    assert_eq!((&standing["answers_left"], &standing["accounts"][0]["spent"]), (&json!(0), &json!("0.4")));
    // Another consumer has the whole budget, and noise of his own.
    let stranger = ordered(&served, Who::Second).await;
    let strangers = ask(&served, &stranger, BY_LINE).await.ok();
    assert_eq!(strangers.header("lingqu-privacy-remaining"), Some("0.3"));
    assert_ne!(strangers.json()["rows"], rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_statistics_of_the_same_resource_are_barred() {
    let served = served("1", "0.1").await;
    let exact = served.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (100, 0)).await;
    let other = served.scenario.order(Who::Second, TRIP_STATISTICS, &[Mode::Statistics], (100, 0)).await;
    let sql = "SELECT count(*) FROM trip_statistics";
    ask(&served, &exact, sql).await.ok();
    // From the moment that the consumer may have noised ones he gets no exact ones by another right; others do.
    let noised = ordered(&served, Who::First).await;
    assert_eq!(ask(&served, &exact, sql).await.problem(), refused("noise_required"));
    ask(&served, &other, sql).await.ok();
    ask(&served, &noised, "SELECT count(*) FROM trip_noised").await.ok();
    // What such an order may ask is still described.
    served.get(&exact, "/openapi.json").await.ok();
    // The provider sets a budget for the supply: then nobody gets exact ones, and answers debit both accounts.
    let supply = served.scenario.set_budget("0.25").await;
    assert_eq!(ask(&served, &other, sql).await.problem(), refused("noise_required"));
    let reply = ask(&served, &noised, "SELECT count(*) FROM trip_noised WHERE line = 'L1'").await.ok();
    assert_eq!(reply.header("lingqu-privacy-remaining"), Some("0.15"));
    ask(&served, &noised, "SELECT count(*) FROM trip_noised WHERE line = 'L2'").await.ok();
    let empty = ask(&served, &noised, "SELECT count(*) FROM trip_noised WHERE line = 'L3'").await;
    assert_eq!((empty.problem(), &empty.json()["subject"]), (refused("privacy_budget_exhausted"), &json!(supply)));
    // Only the provider renews it.
    served.scenario.set_budget("0.35").await;
    let reply = ask(&served, &noised, "SELECT count(*) FROM trip_noised WHERE line = 'L3'").await.ok();
    assert_eq!(reply.header("lingqu-privacy-remaining"), Some("0.05"));
}

/// What was spent bars, whether or not the right that it was spent by is there to be seen: an order that was asked before it came, and
/// after it had gone, is asked anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_meanwhile_bars_exact_statistics() {
    both(async |factory: StoreFactory| {
        let served = Served::open(Some(factory.config().url), 2_000).await;
        let order = async |who| served.scenario.order(who, TRIP_STATISTICS, &[Mode::Statistics], (20, 0)).await;
        let (exact, sql) = (order(Who::First).await, "SELECT count(*) FROM trip_statistics");
        ask(&served, &exact, sql).await.ok();
        let (consumer, resource) = (served.scenario.party(Who::First), served.scenario.resource("trips"));
        let spend = format!(
            "INSERT INTO privacy_debit (consumer, question, link, resource, rho_nano) \
             VALUES ('{consumer}', 'q', 'sup_1', '{resource}', 1)"
        );
        factory.raw().await.execute_unprepared(&spend).await.unwrap();
        // Something is decided of others.
        let other = order(Who::Second).await;
        assert_eq!(ask(&served, &exact, sql).await.problem(), refused("noise_required"));
        ask(&served, &other, sql).await.ok();
    })
    .await;
}

/// Over the batches that Flight SQL and PostgreSQL draw the answer is the same, and it is described without costing.
#[tokio::test(flavor = "multi_thread")]
async fn every_door_gives_the_same_noise() {
    let served = served("0.5", "0.2").await;
    let order = ordered(&served, Who::First).await;
    let deliveries = Deliveries::new(served.scenario.app.clone(), Settings::default());
    let admission = deliveries.admit_order(Some(&order.key), "flight").await.unwrap();
    let described = deliveries.describe(&admission, Mode::Statistics, BY_LINE).await.unwrap();
    let names: Vec<&str> = described.schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["line", "n", "late"]);
    let request = BatchRequest {
        mode: Mode::Statistics,
        sql: BY_LINE.to_owned(),
        parameters: Vec::new(),
        request: BY_LINE.to_owned(),
        limits: Admission::limits(Mode::Statistics),
    };
    let answer = deliveries.batches(&admission, request).await.unwrap();
    let told = answer.privacy.unwrap();
    assert_eq!((told.spent.to_string(), told.left.to_string()), ("0.2".to_owned(), "0.3".to_owned()));
    assert_eq!(answer.schema, described.schema);
    let batches: Vec<_> = futures::StreamExt::collect::<Vec<_>>(answer.batches).await;
    let mut counts = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        let column = batch.column_by_name("n").unwrap().as_any().downcast_ref::<arrow::array::Int64Array>();
        counts.extend(column.unwrap().values().to_vec());
    }
    let reply = ask(&served, &order, BY_LINE).await.ok();
    assert_eq!(reply.header("lingqu-privacy-spent"), Some("0"));
    let shown: Vec<i64> =
        reply.json()["rows"].as_array().unwrap().iter().map(|row| row["n"].as_i64().unwrap()).collect();
    assert_eq!(shown, counts);
}

/// Two nodes on one database, asked the same at the same moment, give one answer at one price.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_give_one_answer() {
    both(async |factory: StoreFactory| {
        let scenario = Scenario::open_noised(Some(factory.config().url), 2_000, "10", "0.1").await;
        let served = Served::of(scenario, Settings::default()).await;
        let order = ordered(&served, Who::First).await;
        let directory = tempfile::tempdir().unwrap();
        let node = directory.path().join("node");
        std::fs::create_dir_all(&node).unwrap();
        copy(&served.scenario.directory().join("node"), &node);
        let settings = AppSettings { database_url: Some(factory.config().url), ..AppSettings::of(node) };
        let other = App::open(settings).await.expect("a second node opens on the same database");
        for round in 0..4 {
            let sql = format!("SELECT line, sum(delay) AS s FROM trip_noised WHERE line <> 'L{round}' GROUP BY line");
            let app = &served.scenario.app;
            let (here, there) = tokio::join!(answered(app, &order.key, &sql), answered(&other, &order.key, &sql));
            assert_eq!(here.0, there.0, "round {round}");
            let spent: Vec<bool> = [here.1, there.1].iter().map(|spent| !spent.is_zero()).collect();
            assert!(spent == [true, false] || spent == [false, true], "one of them paid: {spent:?}");
        }
        let standing = served.scenario.app.privacy_standing(&order.id).await.unwrap();
        assert_eq!(standing.accounts[0].spent, "0.4".parse().unwrap());
    })
    .await;
}

/// Asks as a session would, without a protocol: the rows as text, and what they cost.
async fn answered(app: &App, key: &str, sql: &str) -> (String, Rho) {
    let serving = app.serving(key).await.expect("the order is in force");
    let session =
        serving.session(Mode::Statistics, Admission::limits(Mode::Statistics)).expect("statistics are granted");
    let answer = session.query(sql).await.unwrap_or_else(|error| panic!("{error}"));
    let spent = answer.rho_spent().expect("the answer has noise");
    let (batches, _) = answer.collect().await.expect("the answer is drawn");
    (format!("{batches:?}"), spent)
}

/// A new version of the data, or another right to it, is another question.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_statement_costs_nothing() {
    let served = served("0.5", "0.2").await;
    let order = ordered(&served, Who::First).await;
    for (sql, status, code) in [
        ("SELECT * FROM trip_noised", 422, "not_an_aggregate"),
        ("SELECT day, count(*) FROM trip_noised GROUP BY day", 422, "domain_not_declared"),
        ("SELECT min(delay) FROM trip_noised", 422, "aggregate_not_allowed"),
        ("SELECT sum(trip_id) FROM trip_noised", 422, "aggregate_not_allowed"),
        ("SELECT count(*) FROM trip_noised WHERE delay > 5", 422, "dimension_not_declared"),
    ] {
        assert_eq!(ask(&served, &order, sql).await.problem(), (status, code.to_owned()), "{sql}");
    }
    let standing: Value = served.get(&order, "/privacy").await.ok().json();
    assert_eq!(standing["accounts"][0]["spent"], "0");
    // The control plane's use case says the same.
    let known = served.scenario.app.privacy_standing(&order.id).await.unwrap();
    assert_eq!((known.answers_left(), known.left()), (Some(2), Some("0.5".parse().unwrap())));
    let document = served.get(&order, "/openapi.json").await.ok().json();
    assert!(document["paths"]["/privacy"]["get"].is_object(), "{document}");
}
