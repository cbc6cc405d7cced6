//! Copies whose mark hangs on the code that determines what is marked: each goes on saying one thing of a code, by every way to
//! ask, and a leak is traced by its codes, however many rows they stand in.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_app::{TraceVerdict, verify_trace};
use lingqu_domain::command::Command;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::scope::{ColumnName, Mode};
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{BUSY_LINES, Ordered, Scenario, TRIP_BY_LINE, TRIPS_BY_LINE, Trip, Who};
use lingqu_transparency::EvidenceTrust;
use reqwest::Method;
use serde_json::json;

use crate::marked::{Copy, file, of_csv, of_parquet, of_rows, shared_file};
use crate::served::{Reply, Served};
use crate::traced::{download, leaked, trace};

const MODES: [Mode; 4] = [Mode::Verification, Mode::Lookup, Mode::Rows, Mode::File];
/// `trip_id,line,day,delay,vehicle,note`: the place of the marked column.
const DELAY: usize = 3;

/// Delays by line.
type Delays = BTreeMap<String, Option<i64>>;

async fn served() -> Served {
    Served::of(Scenario::open_by_line().await, Settings::default()).await
}

/// The delay of each line in a copy, all rows of which have to say the same.
fn by_line(copy: &Copy) -> Delays {
    let mut delays = Delays::new();
    for (trip, delay) in copy {
        let line = Trip::by_line(*trip).line;
        let had = *delays.entry(line.clone()).or_insert(*delay);
        assert_eq!(had, *delay, "trips of {line} differ");
    }
    delays
}

async fn copy_of(served: &Served, order: &Ordered) -> Copy {
    of_csv(&file(served, order, "csv").await.text(), DELAY)
}

/// Which share of the lines that have a delay have another one in the other copy.
fn differing(one: &Delays, other: &Delays) -> f64 {
    assert!(one.keys().eq(other.keys()));
    let delayed: Vec<_> = one.values().zip(other.values()).filter(|(delay, _)| delay.is_some()).collect();
    let differ = delayed.iter().filter(|(delay, other)| delay != other).count();
    f64::from(u32::try_from(differ).unwrap()) / f64::from(u32::try_from(delayed.len()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_copy_says_one_thing_of_a_line_by_every_way_to_ask() {
    let served = served().await;
    let order = served.scenario.order_by_line(Who::First, &MODES).await;
    let csv = file(&served, &order, "csv").await;
    let copy = of_csv(&csv.text(), DELAY);
    assert_eq!(copy.len(), TRIPS_BY_LINE);

    // Each delay is a minute off, and nothing else is other than it was.
    for line in csv.text().lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let trip = Trip::by_line(cells[0].parse().unwrap());
        assert_eq!((cells[1], cells[2], cells[5]), (trip.line.as_str(), trip.day.as_str(), trip.note.as_str()));
        let delay = copy[&trip.trip_id];
        assert_eq!(delay.is_some(), trip.delay.is_some(), "{line}");
        assert!(delay.zip(trip.delay).is_none_or(|(there, here)| (there - here).abs() == 1), "{line}");
    }
    let delays = by_line(&copy);
    assert!(BUSY_LINES.iter().all(|(line, _)| delays[*line].is_some()));

    // Every format and door, whether they show the line or not.
    let parquet = file(&served, &order, "parquet").await;
    assert_eq!(of_parquet(&parquet.body), copy);
    assert_eq!(shared_file(&served, &order).await.1, parquet.body, "the shared file is the exported one");
    let page = served.get(&order, "/rows?columns=trip_id,delay&filter=trip_id:lt:900&limit=1000").await.ok();
    let first: Copy = copy.range(..900).map(|(trip, delay)| (*trip, *delay)).collect();
    assert_eq!(of_rows(&page.json()["rows"]), first);
    for (line, _) in BUSY_LINES {
        let sql = format!("SELECT trip_id, delay FROM {TRIP_BY_LINE} WHERE line = '{line}'");
        let request = served.request(Method::POST, &order, "/query").header("accept", "text/csv").body(sql);
        let asked = of_csv(&Reply::of(request).await.ok().text(), 1);
        assert!(asked.len() > 300 && asked.values().all(|delay| *delay == delays[line]), "{line}");
    }
    for trip in 0..60 {
        let found = served.post(&order, "/lookup", json!({"keys": [{"trip_id": trip}]})).await.ok().json();
        assert_eq!(found["rows"][0]["delay"].as_i64(), copy[&trip], "{trip}");
        let Some(original) = Trip::by_line(trip).delay else { continue };
        for (claimed, result) in [(copy[&trip], "match"), (Some(original), "mismatch")] {
            let claim = json!({"key": {"trip_id": trip}, "claim": {"delay": claimed}});
            assert_eq!(served.post(&order, "/verify", claim).await.ok().json()["result"], result, "{trip}");
        }
    }
}

async fn refused(scenario: &Scenario, by: &[&str]) -> String {
    let table = ColumnName::new("trip_apart").unwrap();
    let details = ProductDetails { table, ..scenario.by_line_details(by) };
    let draft = Command::DraftProduct { details: Box::new(details) };
    let refused = scenario.app.execute(scenario.clerk(Who::Operator), draft, Default::default()).await;
    refused.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_differ_line_by_line_and_a_mark_that_takes_lines_apart_is_refused() {
    let served = served().await;
    let scenario = &served.scenario;
    // By the row, by more than the line and by something else, trips of one line would say several things of it.
    let hung: [&[&str]; 3] = [&[], &["day", "line"], &["day"]];
    for by in hung {
        let told = refused(scenario, by).await;
        assert!(told.contains("line determines delay"), "{by:?}: {told}");
    }
    let mut copies = Vec::new();
    for consumer in [Who::First, Who::First, Who::Second] {
        let order = scenario.order_by_line(consumer, &MODES).await;
        copies.push(by_line(&copy_of(&served, &order).await));
    }
    // A tenth of the lines hangs on the order, all others on the consumer; of 100 bits some 29 differ, whichever they hang on.
    let (of_order, of_consumer) = (differing(&copies[0], &copies[1]), differing(&copies[0], &copies[2]));
    assert!((0.005..0.06).contains(&of_order), "{of_order}");
    assert!((0.2..0.4).contains(&of_consumer), "{of_consumer}");
}

/// Rows of a file without the key, the pseudonym and the names.
fn stripped(rows: &str) -> String {
    let kept = rows.lines().skip(1).map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        format!("{},{}\n", cells[1..4].join(","), cells[5])
    });
    format!("一,二,三,四\n{}", kept.collect::<String>())
}

/// How many lines with a delay a stripped leak shows.
fn delayed_lines(leak: &str) -> usize {
    let rows = leak.lines().skip(1).map(|row| row.split(',').collect::<Vec<_>>());
    rows.filter(|cells| !cells[DELAY - 1].is_empty()).map(|cells| cells[0]).collect::<BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leak_of_many_lines_names_its_order_and_one_of_few_nobody() {
    let served = served().await;
    let scenario = &served.scenario;
    let order = async |consumer| scenario.order_by_line(consumer, &MODES).await;
    let [first, again, second] = [order(Who::First).await, order(Who::First).await, order(Who::Second).await];
    // All have a copy, so the receipts alone tell nothing.
    for order in [&again, &second] {
        download(&served, order, "/export?format=csv").await;
    }
    let csv = download(&served, &first, "/export?format=csv").await;

    let leak = stripped(&leaked(&csv, TRIPS_BY_LINE / 2, ""));
    let found = trace(scenario, &leak).await;
    let report = &found.report;
    assert_eq!(report.verdict, TraceVerdict::Accused, "{report:?}");
    let consumers: Vec<_> = report.accused.iter().map(|accused| accused.consumer.clone()).collect();
    assert_eq!(consumers, [scenario.party(Who::First).clone()]);
    let told = report.accused[0].orders.iter().filter(|order| order.log_p_value.is_some());
    assert_eq!(told.map(|order| &order.order).collect::<Vec<_>>(), [&first.id]);
    // A line is one position, in however many rows it stands.
    let lines = delayed_lines(&leak);
    let marks = report.products[0].marks.as_ref().unwrap();
    let positions = marks.positions + marks.order_positions;
    assert!(lines > 2_000 && (lines * 9 / 10..=lines).contains(&positions), "{positions} of {lines}");
    let bundle = scenario.app.export_trace(&found).await.unwrap();
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(check.verified, "{:?}", check.findings);
    assert_eq!(check.accused.len(), 2, "the recipient's key and the order's: {:?}", check.accused);

    // Hundreds of rows of three lines: an innocent has the same three bits far too often for any copy to accuse anybody.
    let is_busy = |row: &&str| BUSY_LINES.iter().any(|(line, _)| row.split(',').nth(1) == Some(*line));
    let busy: String = csv.lines().filter(is_busy).map(|row| format!("{row}\n")).collect();
    let leak = stripped(&format!("\n{busy}"));
    assert!(leak.lines().count() > 900 && delayed_lines(&leak) == 3);
    let found = trace(scenario, &leak).await;
    let report = &found.report;
    assert_eq!((report.verdict, report.accused.len()), (TraceVerdict::Undecided, 0), "{report:?}");
    let product = &report.products[0];
    assert!(product.receipts.rows > 800, "{product:?}");
    let marks = product.marks.as_ref().unwrap();
    // Three numbers without the key may be taken for another column in another unit, and the report says so; or for none.
    let versions = || product.versions.iter();
    let is_sure = versions().flat_map(|version| &version.columns).any(|column| {
        column.original == "delay"
            && column.place == DELAY
            && column.agreement.is_some_and(|agreement| agreement >= 0.5)
    });
    let is_told = || versions().flat_map(|version| &version.columns).any(|column| column.place == DELAY);
    let is_doubted = || versions().flat_map(|version| &version.deeds).any(|deed| deed.contains("may be another"));
    assert!(is_sure || is_doubted() || (!is_told() && marks.positions == 0), "{product:?}");
    assert!(marks.positions + marks.order_positions <= 3 && !marks.possible, "{marks:?}");
    assert!(scenario.app.export_trace(&found).await.is_err());
}
