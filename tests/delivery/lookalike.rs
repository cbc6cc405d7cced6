//! Columns of a fragment that look like a table's and that nothing bears out: nobody is cleared by them, and none of those
//! who had the rows is left out.

use std::collections::BTreeMap;

use lingqu_app::{Trace, TraceVerdict};
use lingqu_domain::id::OrderId;
use lingqu_domain::receipt::{ReceiptBody, ReceiptRecord};
use lingqu_domain::scope::Mode;
use lingqu_engine::source::SourceOptions;
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{Ordered, SIGHTED_EXACT, SIGHTED_FARE, SIGHTINGS, Scenario, TRIP_RECORDS, Who};

use crate::served::Served;
use crate::traced::{download, leaked, trace};

const ROWS: [Mode; 3] = [Mode::Lookup, Mode::Rows, Mode::File];
const LEAKED: usize = 1_000;

/// A file with further cells behind each of its rows that have any.
fn with_cells(csv: &str, name: &str, cells: impl Fn(&str) -> Option<String>) -> String {
    let (names, rows) = csv.split_once('\n').unwrap();
    let rows = rows.lines().filter_map(|row| Some(format!("{row},{}\n", cells(row)?)));
    format!("{names},{name}\n{}", rows.collect::<String>())
}

/// A file with the same cell behind each row.
fn with_constant(csv: &str, name: &str, cell: &str) -> String {
    with_cells(csv, name, |_| Some(cell.to_owned()))
}

/// Some rows of a file in another order, under its own names.
fn some(csv: &str) -> String {
    leaked(csv, LEAKED, csv.lines().next().unwrap())
}

/// The table of a resource anew, with other cells in some columns, which are given by their places.
async fn replace(scenario: &Scenario, table: &'static str, other: impl Fn(&[&str]) -> Vec<(usize, String)>) {
    let whole = std::fs::read_to_string(scenario.directory().join(format!("{table}.csv"))).unwrap();
    let (names, rows) = whole.split_once('\n').unwrap();
    let row = |row: &str| {
        let cells: Vec<&str> = row.split(',').collect();
        let mut written: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
        other(&cells).into_iter().for_each(|(place, cell)| written[place] = cell);
        written.join(",") + "\n"
    };
    let file = scenario.directory().join(format!("{table}-later.csv"));
    std::fs::write(&file, format!("{names}\n{}", rows.lines().map(row).collect::<String>())).unwrap();
    let (clerk, resource) = (scenario.clerk(Who::Provider), scenario.resource(table));
    scenario.app.import_snapshot(clerk, resource, &file, SourceOptions::default()).await.unwrap();
}

/// The single orders that each had all rows of the product that explains most, in their order.
fn singly(trace: &Trace) -> Vec<OrderId> {
    let sets = &trace.report.products[0].receipts.explanations;
    assert!(sets.iter().all(|set| set.orders.len() == 1), "{sets:?}");
    let mut orders: Vec<OrderId> = sets.iter().flat_map(|set| set.orders.clone()).collect();
    orders.sort();
    orders
}

fn ids(orders: &[&Ordered]) -> Vec<OrderId> {
    let mut ids: Vec<OrderId> = orders.iter().map(|order| order.id.clone()).collect();
    ids.sort();
    ids
}

/// The copy of an exact product is not called the source itself for a constant that stands beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_constant_that_nobody_was_delivered_clears_no_order() {
    const READING: &str = "7";
    let (wide, narrow) = ("GX-00001", "GX-00002");
    let served = Served::of(Scenario::open_sighted().await, Settings::default()).await;
    let scenario = &served.scenario;
    // One reading in all rows, and a vehicle that wide streets have in common.
    let vehicle = |width: &str| if width.parse::<u32>().unwrap() >= 30 { wide } else { narrow };
    replace(scenario, "sightings", |cells| vec![(1, vehicle(cells[8]).to_owned()), (2, READING.to_owned())]).await;
    let order = scenario.order(Who::First, SIGHTED_EXACT, &[Mode::Rows, Mode::File], (1_000, 100)).await;
    let copy = download(&served, &order, "/export?format=csv").await;
    assert_eq!(copy.lines().count(), SIGHTINGS + 1);
    let is_wide = |row: &str| vehicle(row.rsplit(',').next().unwrap()) == wide;

    let constant_of_source = some(&with_constant(&copy, "reading", READING));
    let chosen = with_cells(&copy, "vehicle", |row| is_wide(row).then(|| wide.to_owned()));
    for (what, file) in [("of the source", constant_of_source), ("of the rows", some(&chosen))] {
        let found = trace(scenario, &file).await;
        let report = &found.report;
        assert_eq!(report.verdict, TraceVerdict::Undecided, "{what}: {report:?}");
        assert!(report.sources.is_empty(), "{what}: {:?}", report.sources);
        assert!(report.reason_en.contains("the receipts say"), "{what}: {}", report.reason_en);
        assert_eq!(singly(&found), ids(&[&order]), "{what}");
    }

    // What differs from row to row he can't have from his copy, and the source is told.
    let source = std::fs::read_to_string(scenario.directory().join("sightings-later.csv")).unwrap();
    let fares: BTreeMap<String, String> = source
        .lines()
        .map(|row| row.split(',').map(str::to_owned).collect::<Vec<String>>())
        .map(|cells| (cells[0].clone(), cells[7].clone()))
        .collect();
    let fare = |row: &str| Some(fares[row.split(',').next().unwrap()].clone());
    let found = trace(scenario, &some(&with_constant(&with_cells(&copy, "fare", fare), "reading", READING))).await;
    let told = found.report.sources.first().expect("the fares are known");
    assert_eq!(told.never_delivered, ["fare"], "{told:?}");
    assert!(found.report.reason_en.contains("the source itself"), "{}", found.report.reason_en);
}

/// What was delivered counts as such also where its receipt names no version that could be compared.
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_can_not_be_compared_are_deliveries() {
    let served = Served::of(Scenario::open_sighted().await, Settings::default()).await;
    let scenario = &served.scenario;
    let order = scenario.order(Who::First, SIGHTED_EXACT, &[Mode::Rows, Mode::File], (1_000, 100)).await;
    let reply = served.get(&order, "/export?format=csv").await.ok();
    let (records, ..) = served.closed(reply.header("delivery-receipt").unwrap()).await;
    let source = std::fs::read_to_string(scenario.directory().join("sightings.csv")).unwrap();
    let report = trace(scenario, &some(&source)).await.report;
    assert_eq!(report.sources[0].never_delivered, ["fare", "reading", "vehicle"], "{:?}", report.sources);
    assert!(report.reason_en.contains("the source itself"), "{}", report.reason_en);
    assert!(!report.reason_en.contains("could not be compared"), "{}", report.reason_en);

    // As receipts were before they named the version.
    let before = async |product: &str| {
        let ReceiptBody::Opened(mut opening) = records[0].body.clone() else { panic!("{records:?}") };
        opening.made_from = None;
        opening.product = scenario.product(product).clone();
        let (at, receipt) = (records[0].at, scenario.app.new_receipt_id().unwrap());
        let record = ReceiptRecord { at, body: ReceiptBody::Opened(opening), receipt };
        scenario.app.write_receipt(&order.id, &record).await.unwrap();
        trace(scenario, &some(&source)).await.report
    };
    let report = before(SIGHTED_EXACT).await;
    assert_eq!((report.versions_tried, report.deliveries_not_comparable), (1, 1));
    assert!(report.reason_en.contains("the source itself"), "{}", report.reason_en);
    assert!(report.reason_en.contains("could not be compared"), "{}", report.reason_en);
    assert!(report.reason.contains("无法比对"), "{}", report.reason);
    // The product of fares shows vehicle, reading and fare, and its copies have marks.
    let report = before(SIGHTED_FARE).await;
    let told = &report.sources[0];
    assert!(told.never_delivered.is_empty(), "{told:?}");
    assert_eq!(told.marked, [scenario.product(SIGHTED_FARE).clone()]);
    assert!(!report.reason_en.contains("the source itself"), "{}", report.reason_en);
}

/// Who leaks what he had with a constant beside it stays among those who may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_constant_that_looks_like_a_column_leaves_nobody_out() {
    const LINE: &str = "L1";
    const COLUMNS: &str = "/export?format=csv&columns=trip_id,day,delay,note";
    let served = Served::open(None, 3_000).await;
    let scenario = &served.scenario;
    let whole = scenario.order(Who::First, TRIP_RECORDS, &ROWS, (1_000, 20)).await;
    let some_columns = scenario.order(Who::Second, TRIP_RECORDS, &ROWS, (1_000, 20)).await;
    let all = download(&served, &whole, "/export?format=csv").await;
    let part = download(&served, &some_columns, COLUMNS).await;
    let line = |row: &str| row.split(',').next().unwrap().parse::<usize>().unwrap() % 5;

    // Whoever has rows of one line knows which.
    let chosen = with_cells(&part, "line", |row| (line(row) == 1).then(|| LINE.to_owned()));
    let found = trace(scenario, &leaked(&chosen, 500, "a,b,c,d,e")).await;
    assert_eq!(singly(&found), ids(&[&whole, &some_columns]), "{:?}", found.report);
    assert_eq!(found.report.products[0].receipts.orders_without_columns, 0);
    // A line that differs from row to row is another matter.
    let found = trace(scenario, &some(&all)).await;
    assert_eq!(singly(&found), ids(&[&whole]), "{:?}", found.report);
    assert_eq!(found.report.products[0].receipts.orders_without_columns, 1);

    // A table that has one line alone.
    replace(scenario, "trips", |_| vec![(1, LINE.to_owned())]).await;
    let all = download(&served, &whole, "/export?format=csv").await;
    let part = download(&served, &some_columns, COLUMNS).await;
    assert!(all.lines().skip(1).all(|row| row.split(',').nth(1) == Some(LINE)));
    let found = trace(scenario, &leaked(&with_constant(&part, "line", LINE), LEAKED, "a,b,c,d,e")).await;
    assert_eq!(singly(&found), ids(&[&whole, &some_columns]), "{:?}", found.report);
    assert_eq!(found.report.products[0].receipts.orders_without_columns, 0);
}
