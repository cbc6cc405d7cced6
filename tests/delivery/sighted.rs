//! Copies marked in places, in moments, in spellings and by the national ciphers, from the order to the accusation: delivered over
//! HTTP, leaked without key and names, traced by the node, and the evidence checked by somebody who has nothing but the file.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use lingqu_app::{TraceVerdict, verify_trace};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{
    Ordered, SIGHTED_AT, SIGHTED_EXACT, SIGHTED_FARE, SIGHTED_PLACE, SIGHTED_STREET, SIGHTINGS, Scenario, Who,
};
use lingqu_transparency::EvidenceTrust;

use crate::served::Served;
use crate::traced::{download, leaked, trace};

/// Rows that leak.
const LEAKED: usize = SIGHTINGS / 2;

/// A file's rows in another order, some of them, without the key and under other names.
fn stripped(csv: &str) -> String {
    let rows = leaked(csv, LEAKED, "");
    let rows = rows.lines().skip(1).filter_map(|row| row.split_once(',')).map(|(_, rest)| rest);
    let rows: Vec<&str> = rows.collect();
    let names: Vec<String> = (0..rows[0].split(',').count()).map(|place| format!("列{place}")).collect();
    format!("{}\n{}\n", names.join(","), rows.join("\n"))
}

/// Columns of two files of one table, row by row by their key, under other names and in another order, so many rows.
fn joined((one, taken): (&str, &[usize]), (other, taken_of_other): (&str, &[usize]), rows: usize) -> String {
    let cells = |row| str::split(row, ',').collect::<Vec<&str>>();
    let others: BTreeMap<&str, Vec<&str>> = other.lines().skip(1).map(|row| (cells(row)[0], cells(row))).collect();
    let row = |row| {
        let (own, of_other) = (cells(row), &others[cells(row)[0]]);
        let own = taken.iter().map(|place| own[*place]);
        own.chain(taken_of_other.iter().map(|place| of_other[*place])).collect::<Vec<&str>>().join(",")
    };
    let joined: Vec<String> = one.lines().skip(1).map(row).collect();
    let names: Vec<String> = (0..taken.len() + taken_of_other.len()).map(|place| format!("列{place}")).collect();
    leaked(&format!("\n{}", joined.join("\n")), rows, &names.join(","))
}

/// The marked cells of a file: what follows the three columns that are exact.
fn cells(csv: &str) -> Vec<Vec<String>> {
    csv.lines().skip(1).map(|row| row.split(',').skip(3).map(str::to_owned).collect()).collect()
}

/// How far two files are apart in a column of numbers.
fn differences(one: &str, other: &str, place: usize) -> Vec<f64> {
    let numbers = |csv: &str| -> Vec<f64> { cells(csv).iter().map(|cells| cells[place].parse().unwrap()).collect() };
    numbers(one).into_iter().zip(numbers(other)).map(|(one, other)| (one - other).abs()).collect()
}

/// A copy of each consumer.
struct Copies {
    product: &'static str,
    orders: [Ordered; 2],
    texts: [String; 2],
}

async fn delivered(served: &Served, product: &'static str) -> Copies {
    let order = async |consumer| served.scenario.order_sighted(consumer, product).await;
    let orders: [Ordered; 2] = [order(Who::First).await, order(Who::Second).await];
    let text = async |order: &Ordered| download(served, order, "/export?format=csv").await;
    let texts = [text(&orders[0]).await, text(&orders[1]).await];
    assert!(texts.iter().all(|text| text.lines().count() == SIGHTINGS + 1));
    Copies { product, orders, texts }
}

/// The leak of the first consumer's copy names him, with evidence that holds; and so for the second.
async fn name_their_recipients(served: &Served, Copies { product, orders, texts: copies }: &Copies) {
    let scenario = &served.scenario;
    let found = trace(scenario, &stripped(&copies[0])).await;
    let report = &found.report;
    assert_eq!(report.verdict, TraceVerdict::Accused, "{product}: {report:?}");
    assert!(report.bound <= 1e-6 && report.accused.len() == 1 && report.tested >= 2, "{product}: {report:?}");
    assert_eq!(report.products[0].table, *product, "rows of one resource stand in several products");
    let accused = &report.accused[0];
    assert_eq!(accused.consumer, *scenario.party(Who::First), "{product}");
    assert!(accused.log_p_value < report.bound.ln(), "{product}: {accused:?}");
    assert!(
        accused.channels["mark"].positions > 500 && accused.channels["mark"].score > 20.0,
        "{product}: {accused:?}"
    );
    assert!(
        accused
            .deliveries
            .iter()
            .any(|delivery| delivery.order == orders[0].id && delivery.rows > LEAKED as u64 * 9 / 10)
    );
    let bundle = scenario.app.export_trace(&found).await.unwrap();
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(check.verified, "{product}: {:?}", check.findings);
    assert!(check.accused.iter().all(|accused| accused.consumer == *scenario.party(Who::First)), "{product}");
    // What an innocent was given accuses the one who was given it, and nobody else.
    let other = trace(scenario, &stripped(&copies[1])).await;
    let named: Vec<_> = other.report.accused.iter().map(|accused| accused.consumer.clone()).collect();
    assert_eq!(named, [scenario.party(Who::Second).clone()], "{product}: {:?}", other.report);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_marked_in_places_moments_spellings_and_by_national_ciphers_name_their_recipients() {
    let served = Served::of(Scenario::open_sighted().await, Settings::default()).await;
    let mut copies = Vec::new();
    for product in [SIGHTED_PLACE, SIGHTED_AT, SIGHTED_STREET, SIGHTED_FARE] {
        copies.push(delivered(&served, product).await);
    }
    for copies in &copies {
        name_their_recipients(&served, copies).await;
    }
    let [places, moments, streets, fares] = [0, 1, 2, 3].map(|at: usize| &copies[at].texts);
    // Eight metres each way are 0.000144 degrees of latitude at most.
    let apart = differences(&places[0], &places[1], 0);
    assert!(apart.iter().all(|degrees| *degrees < 0.000_146) && apart.iter().any(|degrees| *degrees > 0.000_1));
    let moved = cells(&moments[0]).iter().zip(&cells(&moments[1])).filter(|(one, other)| one != other).count();
    assert!((SIGHTINGS / 10..SIGHTINGS / 2).contains(&moved), "{moved}");
    // A spelling is one of its set's.
    let set = |text: &str| if text.starts_with("人民") { "人民" } else { "Minzu" };
    let (one, other) = (cells(&streets[0]), cells(&streets[1]));
    assert!(one.iter().zip(&other).all(|(one, other)| set(&one[0]) == set(&other[0])) && one != other);
    // By SM4: a fen each way.
    let apart = differences(&fares[0], &fares[1], 0);
    assert!(apart.iter().all(|fen| *fen == 0.0 || *fen == 2.0) && apart.contains(&2.0));
}

/// Another time zone hides no mark of a moment.
#[tokio::test(flavor = "multi_thread")]
async fn moments_in_another_time_zone_name_their_recipient() {
    const HOURS: i64 = 8;
    let served = Served::of(Scenario::open_sighted().await, Settings::default()).await;
    let scenario = &served.scenario;
    let Copies { texts, .. } = delivered(&served, SIGHTED_AT).await;
    let elsewhere = |row: &str| {
        let (kept, moment) = row.rsplit_once(',').unwrap();
        let moment: DateTime = moment.parse().unwrap();
        format!("{kept},{}", moment.checked_add(SignedDuration::from_hours(HOURS)).unwrap())
    };
    let (names, rows) = texts[1].split_once('\n').unwrap();
    let rows: Vec<String> = rows.lines().map(elsewhere).collect();
    let found = trace(scenario, &stripped(&format!("{names}\n{}\n", rows.join("\n")))).await;
    let report = &found.report;
    let accused: Vec<_> = report.accused.iter().map(|accused| accused.consumer.clone()).collect();
    assert_eq!(accused, [scenario.party(Who::Second).clone()], "{report:?}");
    let deeds = &report.products[0].versions[0].deeds;
    assert!(deeds.iter().any(|deed| deed.contains("seen_at was shifted (by 28800)")), "{deeds:?}");
    let bundle = scenario.app.export_trace(&found).await.unwrap();
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(check.verified, "{:?}", check.findings);
}

/// A file that nobody ever was delivered is known by the snapshot that it is rows of, and by nobody's order.
#[tokio::test(flavor = "multi_thread")]
async fn a_leaked_source_is_told_as_the_source_itself_and_accuses_nobody() {
    let served = Served::of(Scenario::open_sighted().await, Settings::default()).await;
    let scenario = &served.scenario;
    // Nothing was delivered at all, and the source is known.
    let source = stripped(&std::fs::read_to_string(scenario.directory().join("sightings.csv")).unwrap());
    let found = trace(scenario, &source).await;
    let report = &found.report;
    assert_eq!(
        (report.verdict, report.products.len(), report.accused.len()),
        (TraceVerdict::Undecided, 0, 0),
        "{report:?}"
    );
    let told = report.sources.first().expect("the snapshot is known");
    let resource = scenario.resource("sightings");
    assert_eq!((&told.resource, told.snapshot.as_str()), (resource, format!("{resource}@0").as_str()));
    assert!(told.rows > LEAKED as u64 * 9 / 10 && told.orders.is_empty(), "{told:?}");
    assert_eq!(told.provider, *scenario.party(Who::Provider));
    assert!(
        report.reason_en.contains("the source itself") && report.reason_en.contains("width"),
        "{}",
        report.reason_en
    );
    assert!(report.snapshots_tried >= 3, "{report:?}");

    // Somebody had some of its columns by an order. The others tell that it is not his copy.
    let order = scenario.order_sighted(Who::First, SIGHTED_FARE).await;
    let copy = download(&served, &order, "/export?format=csv").await;
    let found = trace(scenario, &source).await;
    let report = &found.report;
    assert!(report.accused.is_empty(), "{report:?}");
    let told = report.sources.first().expect("the snapshot is known");
    assert!(
        told.never_delivered.contains(&"width".to_owned()) && !told.never_delivered.contains(&"fare".to_owned()),
        "{told:?}"
    );
    let orders: Vec<_> =
        told.orders.iter().map(|had| (had.order.clone(), had.columns.contains(&"fare".to_owned()))).collect();
    assert_eq!(orders, [(order.id.clone(), true)]);
    // His own copy is a copy, and no source.
    let found = trace(scenario, &stripped(&copy)).await;
    assert!(found.report.sources.is_empty(), "{:?}", found.report.sources);
    assert_eq!(found.report.verdict, TraceVerdict::Accused, "{:?}", found.report);
}

/// Who joins the columns of an exact product to those of a marked one hides no marks: the exact one explains more of the file,
/// and the marked one is tested all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_joined_to_an_exact_product_of_the_same_resource_names_its_recipient() {
    let served = Served::of(Scenario::open_sighted().await, Settings::default()).await;
    let scenario = &served.scenario;
    let Copies { orders, texts, .. } = delivered(&served, SIGHTED_FARE).await;
    let exact = scenario.order(Who::First, SIGHTED_EXACT, &[Mode::Rows, Mode::File], (1_000, 100)).await;
    let other = download(&served, &exact, "/export?format=csv").await;
    // The key and the fare of the one, five columns of the other.
    let found = trace(scenario, &joined((&texts[0], &[0, 3]), (&other, &[1, 2, 3, 4, 5]), LEAKED)).await;
    let report = &found.report;
    assert_eq!(report.verdict, TraceVerdict::Accused, "{report:?}");
    assert!(report.bound <= 1e-6 && report.accused.len() == 1 && report.tested == 2, "{report:?}");
    let accused = &report.accused[0];
    assert_eq!(accused.consumer, *scenario.party(Who::First));
    assert!(accused.log_p_value < report.bound.ln(), "{accused:?}");
    assert_eq!((accused.orders.len(), &accused.orders[0].order), (1, &orders[0].id));
    assert!(accused.orders[0].log_p_value.is_some_and(|found| found < report.bound.ln()), "{accused:?}");
    // What was joined is told too, and nothing of it is taken for the source.
    let mut tables: Vec<&str> = report.products.iter().map(|product| product.table.as_str()).collect();
    tables.sort_unstable();
    assert_eq!(tables, [SIGHTED_EXACT, SIGHTED_FARE]);
    assert!(report.sources.is_empty(), "{:?}", report.sources);
    let bundle = scenario.app.export_trace(&found).await.unwrap();
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(check.verified, "{:?}", check.findings);
}

/// Nor does he who leaves out its key too: the other product's rows are known, and by them the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_marked_column_that_is_joined_without_its_key_names_its_recipient() {
    let served = Served::of(Scenario::open_sighted().await, Settings::default()).await;
    let scenario = &served.scenario;
    let Copies { texts, .. } = delivered(&served, SIGHTED_FARE).await;
    let exact = scenario.order(Who::First, SIGHTED_EXACT, &[Mode::Rows, Mode::File], (1_000, 100)).await;
    let other = download(&served, &exact, "/export?format=csv").await;
    // Of the marked copy the fare alone.
    let found = trace(scenario, &joined((&texts[1], &[3]), (&other, &[1, 2, 3, 4, 5]), LEAKED)).await;
    let report = &found.report;
    assert_eq!(report.verdict, TraceVerdict::Accused, "{report:?}");
    let accused: Vec<_> = report.accused.iter().map(|accused| accused.consumer.clone()).collect();
    assert_eq!((accused, report.tested), (vec![scenario.party(Who::Second).clone()], 2), "{report:?}");
    let of_fares = report.products.iter().find(|product| product.table == SIGHTED_FARE).expect("it is found");
    assert!(of_fares.versions[0].deeds.iter().any(|deed| deed.contains("joined")), "{of_fares:?}");
    assert!(of_fares.receipts.rows > LEAKED as u64 * 9 / 10, "{of_fares:?}");
    let bundle = scenario.app.export_trace(&found).await.unwrap();
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(check.verified, "{:?}", check.findings);
    // The same columns with another row's fare name nobody.
    let mut turned = texts[1].lines().skip(1).map(str::to_owned).collect::<Vec<String>>();
    let fares: Vec<String> = turned.iter().map(|row| row.rsplit(',').next().unwrap().to_owned()).collect();
    for (place, row) in turned.iter_mut().enumerate() {
        let (kept, _) = row.rsplit_once(',').unwrap();
        *row = format!("{kept},{}", fares[(place + 11) % fares.len()]);
    }
    let turned = format!("\n{}", turned.join("\n"));
    let found = trace(scenario, &joined((&turned, &[3]), (&other, &[1, 2, 3, 4, 5]), LEAKED)).await;
    assert!(found.report.accused.is_empty(), "{:?}", found.report);
}

/// A few cells of a copy in a file that is else the source's accuse nobody, and the file is not said to be no copy.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_with_a_column_of_the_source_is_not_called_the_source_itself() {
    const FEW: usize = 12;
    let served = Served::of(Scenario::open_sighted().await, Settings::default()).await;
    let scenario = &served.scenario;
    let Copies { texts, .. } = delivered(&served, SIGHTED_FARE).await;
    let source = std::fs::read_to_string(scenario.directory().join("sightings.csv")).unwrap();
    let split = |row: &str| row.split(',').map(str::to_owned).collect::<Vec<String>>();
    let fares: BTreeMap<String, String> =
        source.lines().map(split).map(|cells| (cells[0].clone(), cells[7].clone())).collect();
    let mixed = texts[0].lines().map(split).enumerate().map(|(place, cells)| {
        let fare = if place <= FEW { &cells[3] } else { &fares[&cells[0]] };
        format!("{},{},{},{fare}", cells[0], cells[1], cells[2])
    });
    let mixed = mixed.collect::<Vec<String>>().join("\n");
    // The vehicle, the reading and fares of which a few are the copy's; the width of the source.
    let found = trace(scenario, &joined((&mixed, &[1, 2, 3]), (&source, &[8]), LEAKED)).await;
    let report = &found.report;
    assert_eq!((report.verdict, report.accused.len()), (TraceVerdict::Undecided, 0), "{report:?}");
    assert!(report.products.iter().any(|product| product.marks.is_some()), "{report:?}");
    let told = report.sources.first().expect("the width is known");
    assert_eq!(told.never_delivered, ["width"]);
    assert_eq!(told.marked, [scenario.product(SIGHTED_FARE).clone()]);
    let (zh, en) = (&report.reason, &report.reason_en);
    assert!(!en.contains("the source itself") && !en.contains("no order's copy"), "{en}");
    assert!(!zh.contains("而不是任何订单的副本"), "{zh}");
    assert!(en.contains("is not excluded"), "{en}");
    // Of enough cells his copy names him, whatever was joined to it.
    let found = trace(scenario, &joined((&texts[0], &[1, 2, 3]), (&source, &[8]), LEAKED)).await;
    assert_eq!(found.report.verdict, TraceVerdict::Accused, "{:?}", found.report);
    assert_eq!(found.report.accused[0].consumer, *scenario.party(Who::First));
}
