//! Copies with rows that do not exist, as clients get them, and leaks that are traced by these alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use lingqu_app::{Trace, TraceSettings, TraceVerdict, TraceWatch, verify_trace};
use lingqu_domain::command::Command;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::receipt::ReceiptBody;
use lingqu_domain::scope::{ColumnName, Mode};
use lingqu_engine::source::{Fragment, FragmentOptions, StopSignal};
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_DECOYED, TRIP_RECORDS, Who};
use lingqu_transparency::EvidenceTrust;
use reqwest::Method;
use serde_json::json;

use crate::marked::shared_file;
use crate::served::{Reply, Served};
use crate::traced::{download, leaked};

/// Numbers of trips, of which two in three were given out.
const NUMBERS: usize = 13_500;
const TRIPS: usize = NUMBERS / 3 * 2;
/// So many that decoys alone tell whose copy it is, whichever of them chance has laid.
const NUMBERS_TOLD: usize = 240_000;
/// The bound of a trace: what chance may make of an innocent.
const BOUND: f64 = 1e-4;

async fn served(numbers: usize) -> Served {
    Served::of(Scenario::open_decoyed(numbers).await, Settings::default()).await
}

/// Trips in a file whose first column is the number.
fn trips_of(csv: &str) -> Vec<usize> {
    csv.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect()
}

/// Trips that there are not.
fn decoys_of(trips: &[usize]) -> BTreeSet<usize> {
    trips.iter().copied().filter(|trip| trip % 3 == 0).collect()
}

async fn query(served: &Served, order: &Ordered, sql: &str) -> String {
    let request = served.request(Method::POST, order, "/query").header("accept", "text/csv").body(sql.to_owned());
    Reply::of(request).await.ok().text()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_copy_has_its_own_decoys_and_nothing_tells_which_they_are() {
    let served = served(NUMBERS).await;
    let scenario = &served.scenario;
    let first = scenario.order_decoyed(Who::First).await;
    let mut csv = download(&served, &first, "/export?format=csv").await;
    // Of nine decoys a copy has none by one chance in five hundred.
    for _ in 0..4 {
        if trips_of(&csv).len() > TRIPS {
            break;
        }
        scenario.redraw_copy(&first).await;
        csv = download(&served, &first, "/export?format=csv").await;
    }
    let copy = trips_of(&csv);
    let own = decoys_of(&copy);
    assert!(!own.is_empty() && own.len() <= TRIPS / 1_000, "{own:?}");
    assert_eq!(copy.len(), TRIPS + own.len(), "no row is left out");
    assert!(copy.windows(2).all(|pair| pair[0] < pair[1]), "they stand where their keys put them");

    // By every door the same, and again.
    assert_eq!(download(&served, &first, "/export?format=csv").await, csv);
    assert_eq!(query(&served, &first, &format!("SELECT * FROM {TRIP_DECOYED}")).await, csv);
    let counted = query(&served, &first, &format!("SELECT count(*) FROM {TRIP_DECOYED}")).await;
    assert_eq!(counted.lines().last(), Some(copy.len().to_string().as_str()));
    let trip = own.last().unwrap();
    let page = served.get(&first, &format!("/rows?filter=trip_id:eq:{trip}")).await.ok().json();
    assert_eq!(page["rows"][0]["trip_id"], json!(trip));
    // What is told of them is what the contract says.
    let document = served.get(&first, "/openapi.json").await.ok().json();
    assert_eq!(document["info"]["x-decoys-per-million"], json!(1_000));
    assert!(document["info"].get("x-sampling-weight").is_none() && document["info"].get("x-marked-columns").is_none());
    let reply = served.get(&first, "/export?format=parquet").await.ok();
    let (metadata, shared) = shared_file(&served, &first).await;
    assert_eq!(shared, reply.body, "the shared file is the exported one");
    assert_eq!(metadata["configuration"], json!({"lingqu.decoysPerMillion": "1000"}));
    assert!(!reply.body.windows(7).any(|window| window == b"__decoy"));

    // The receipt names them, by numbers like those of rows: the consumer may read it.
    let receipt = reply.header("delivery-receipt").unwrap().to_owned();
    served.closed(&receipt).await;
    let records = served.records(&receipt).await;
    let ReceiptBody::Opened(opening) = &records[0].body else { panic!("{records:?}") };
    assert!(opening.code_id.is_some() && opening.marked.is_empty());

    // Another order of the consumer has the same ones, and none is asked about by its key.
    let again = scenario.order_decoyed(Who::First).await;
    assert_eq!(decoys_of(&trips_of(&download(&served, &again, "/export?format=csv").await)), own);
    assert_eq!(served.get(&first, &format!("/lookup/{trip}")).await.status, 403);
    // Who could tell them by rows without decoys does not get both.
    let place = Command::PlaceOrder { details: Box::new(scenario.asked(TRIP_RECORDS, &[Mode::Rows])) };
    let refused = scenario.app.execute(scenario.clerk(Who::First), place, Default::default()).await.unwrap_err();
    assert!(refused.to_string().contains(first.id.as_str()), "{refused}");
    // Who has the rows without decoys has none of them.
    let exact = scenario.order(Who::Second, TRIP_RECORDS, &[Mode::Rows, Mode::Lookup], (1_000, 0)).await;
    let rows = query(&served, &exact, &format!("SELECT trip_id, line FROM {TRIP_RECORDS}")).await;
    assert_eq!((trips_of(&rows).len(), decoys_of(&trips_of(&rows)).len()), (TRIPS, 0));
    for trip in &own {
        let found = served.post(&exact, "/lookup", json!({"keys": [{"trip_id": trip}]})).await.ok().json();
        assert!(found["rows"][0].is_null(), "{trip}: {found}");
    }
}

async fn trace(scenario: &Scenario, text: &str, bound: f64) -> Trace {
    let path = scenario.directory().join("found.csv");
    std::fs::write(&path, text).unwrap();
    let fragment = Fragment::read(&path, &FragmentOptions::default()).unwrap();
    let watch = TraceWatch::new(|_| {}, Arc::new(StopSignal::default()));
    let settings = TraceSettings { bound, ..TraceSettings::default() };
    scenario.app.trace(fragment, &settings, &watch).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leak_is_traced_by_its_decoys_alone() {
    let served = served(NUMBERS_TOLD).await;
    let scenario = &served.scenario;
    let first = scenario.order_decoyed(Who::First).await;
    let second = scenario.order_decoyed(Who::Second).await;
    let csv = download(&served, &first, "/export?format=csv").await;
    let other = download(&served, &second, "/export?format=csv").await;
    assert_ne!(decoys_of(&trips_of(&csv)), decoys_of(&trips_of(&other)));

    // Shuffled and under other names.
    let leak = leaked(&csv, usize::MAX, "一,二,三,四,五");
    let found = trace(scenario, &leak, BOUND).await;
    let report = &found.report;
    assert_eq!(report.verdict, TraceVerdict::Accused, "{report:?}");
    let consumers: Vec<_> = report.accused.iter().map(|accused| accused.consumer.clone()).collect();
    assert_eq!(consumers, [scenario.party(Who::First).clone()]);
    let channel = &report.accused[0].channels["decoy"];
    assert!(channel.score > 0.0 && channel.positions as usize == decoys_of(&trips_of(&csv)).len(), "{channel:?}");
    assert!(report.accused[0].log_p_value <= BOUND.ln(), "{report:?}");
    assert!(report.assumptions.iter().any(|one| one.text_en.contains("which rows are decoys")), "{report:?}");
    // Anybody checks it, with the keys of the accused.
    let bundle = scenario.app.export_trace(&found).await.unwrap();
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(check.verified && check.accused.len() == 1, "{:?}", check.findings);

    // Without its decoys nobody is accused, and the receipts say who had the rows.
    let cleaned: String = csv
        .lines()
        .skip(1)
        .filter(|line| line.split(',').next().unwrap().parse::<usize>().is_ok_and(|trip| trip % 3 != 0))
        .take(5_000)
        .map(|line| format!("{line}\n"))
        .collect();
    let found = trace(scenario, &format!("trip_id,line,day,delay,vehicle\n{cleaned}"), BOUND).await;
    assert!(found.report.accused.is_empty(), "{:?}", found.report);
}

async fn refused(scenario: &Scenario, details: ProductDetails) -> String {
    let draft = Command::DraftProduct { details: Box::new(details) };
    let refused = scenario.app.execute(scenario.clerk(Who::Operator), draft, Default::default()).await;
    refused.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn decoys_are_refused_where_they_could_not_be_told_from_what_there_is() {
    // The numbers of these trips have no gap. With the lines there would be room, for false statements about trips that there are.
    let dense = Scenario::open(None, 3_000).await;
    let told = refused(&dense, dense.decoyed_details()).await;
    assert!(told.contains("no room"), "{told}");
    let details = dense.decoyed_details();
    let key = vec![details.key[0].clone(), ColumnName::new("line").unwrap()];
    let told = refused(&dense, ProductDetails { key, ..details }).await;
    assert!(told.contains("line is no column of its resource's key"), "{told}");
    // One for a thousand trips is none for fewer, and a contract would name what no copy has.
    let few = Scenario::open(None, 999).await;
    let told = refused(&few, few.decoyed_details()).await;
    assert!(told.contains("not one decoy"), "{told}");
    // A condition and a limit leave out trips that there are.
    let sparse = Scenario::open_decoyed(3_000).await;
    for (clause, reason) in [("WHERE trip_id < 2000", "left out"), ("ORDER BY trip_id LIMIT 1000", "leave out")] {
        let details = sparse.decoyed_details();
        let (sql, table) = (format!("{} {clause}", details.sql), ColumnName::new("trip_some").unwrap());
        let told = refused(&sparse, ProductDetails { sql, table, ..details }).await;
        assert!(told.contains(reason), "{clause}: {told}");
    }
}
