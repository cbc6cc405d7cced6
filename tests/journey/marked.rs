//! What the consumers of marked copies hold, against the source; and what the demo leaves of leak and witness, checked as somebody
//! checks it who has the files alone.

use std::collections::BTreeMap;

use lingqu_app::verify_trace;
use lingqu_demo::OrderShown;
use lingqu_transparency::{EvidenceTrust, Misconduct, NoteVerifier};

use crate::Played;

/// Columns of the product, in its order.
const COLUMNS: [&str; 11] = [
    "time_hour",
    "carrier",
    "flight",
    "origin",
    "dest",
    "sched_dep_time",
    "dep_time",
    "dep_delay",
    "sched_arr_time",
    "arr_time",
    "arr_delay",
];
/// Those that bear marks, a time and the delay tied to it, by their places.
const MARKED: [[usize; 2]; 2] = [[6, 7], [9, 10]];
/// Flights whose number is a multiple of this are looked at cell by cell.
const EVERY_NUMBER: i64 = 5;
/// The share of marked cells that the marking states, with room for chance: of 60,000 cells a deviation is below two thousandths.
const SHARE: std::ops::Range<f64> = 0.19..0.21;

/// Each copy has every flight but the small carrier's, exact but for a fifth of the marked cells, and these by one minute.
pub async fn copies_are_what_was_promised(played: &Played) {
    let (source, count) = of_source(played);
    let orders: Vec<&OrderShown> =
        played.report.orders.iter().filter(|order| order.product == "flight_times").collect();
    assert_eq!(orders.len(), 3);
    let mut held = Vec::new();
    for order in orders {
        let (copy, rows) = of_export(played, order).await;
        assert_eq!(rows, count);
        assert!(copy.keys().eq(source.keys()), "every other flight is there");
        for [time, delay] in MARKED {
            let (mut bearing, mut moved) = (0, 0);
            for (key, original) in &source {
                let (Some(before), Some(after)) = (number(&original[delay]), number(&copy[key][delay])) else {
                    // A flight without a delay has nothing that a tie could hold to.
                    assert_eq!((&original[time], &original[delay]), (&copy[key][time], &copy[key][delay]), "{key:?}");
                    continue;
                };
                bearing += 1;
                moved += i32::from(before != after);
                assert!((before - after).abs() <= 1, "{key:?}");
                let clock = |row: &[String; 11]| number(&row[time]).map(|clock| clock / 100 * 60 + clock % 100);
                let (was, is) = (clock(original), clock(&copy[key]));
                let apart = was.zip(is).map(|(was, is)| (is - was - (after - before)).rem_euclid(1_440));
                assert_eq!(apart, was.map(|_| 0), "{key:?}");
            }
            let share = f64::from(moved) / f64::from(bearing);
            assert!(SHARE.contains(&share), "{share}");
        }
        for (key, original) in &source {
            for (place, name) in COLUMNS.iter().enumerate().filter(|(place, _)| !MARKED.as_flattened().contains(place))
            {
                assert_eq!(original[place], copy[key][place], "{name} of {key:?}");
            }
        }
        held.push(copy);
    }
    assert!(held[0] != held[1] && held[1] != held[2], "each copy is somebody's");
}

type Rows = BTreeMap<(String, String, String), [String; 11]>;

fn number(cell: &str) -> Option<i64> {
    cell.parse().ok()
}

/// Rows that are looked at by hour, carrier and number, and how many there are in all but for the small carrier's.
fn rows(text: &str) -> (Rows, usize) {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let places = COLUMNS.map(|name| names.iter().position(|found| *found == name).expect("a column of the product"));
    let (mut rows, mut count) = (Rows::new(), 0);
    let [carrier, flight] = [places[1], places[2]];
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        if cells[carrier] == "OO" {
            continue;
        }
        count += 1;
        if number(cells[flight]).expect("a flight has a number") % EVERY_NUMBER != 0 {
            continue;
        }
        // The source writes NA where an export writes nothing.
        let row = places.map(|place| if cells[place] == "NA" { String::new() } else { cells[place].to_owned() });
        rows.insert((row[0].clone(), row[1].clone(), row[2].clone()), row);
    }
    (rows, count)
}

fn of_source(played: &Played) -> (Rows, usize) {
    let path = played.app.directory().join("sources").join("flights.csv");
    rows(&std::fs::read_to_string(path).expect("the demo keeps its sources"))
}

async fn of_export(played: &Played, order: &OrderShown) -> (Rows, usize) {
    let url = format!("{}/data/v1/flight_times/export?format=csv", played.base);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client needs nothing");
    let response = client.get(url).bearer_auth(&order.key).send().await.expect("the node answers");
    assert_eq!(response.status(), 200);
    rows(&response.text().await.expect("the file comes whole"))
}

/// The evidence of the leak accuses the consultancy by the order that leaked, and the proof of the rewritten log convicts the log
/// that it is of, and no other.
pub fn leak_and_rewriting_are_proven_by_files(played: &Played) {
    let trace = &played.report.trace;
    let bundle = std::fs::read(&trace.evidence).expect("the demo keeps its evidence");
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(check.verified, "{:?}", check.findings);
    let leaking =
        &played.report.orders.iter().filter(|order| order.product == "flight_times").nth(1).expect("it leaks").id;
    assert_eq!(&trace.order, leaking);
    let named: Vec<String> =
        check.accused.iter().filter_map(|found| found.order.as_ref().map(ToString::to_string)).collect();
    assert_eq!(named, [leaking.as_str()]);
    let consultancy = played.app.read(|state| {
        let order = state.orders.values().find(|order| order.value.id.as_str() == leaking).expect("it is an order");
        order.value.consumer.clone()
    });
    assert!(check.accused.iter().all(|found| found.consumer == consultancy), "{:?}", check.accused);

    let proof = std::fs::read_to_string(&played.report.witness.proof).expect("the witness keeps its proof");
    let proof = Misconduct::from_text(&proof).expect("the proof is whole");
    let keys = |app: &lingqu_app::App| -> NoteVerifier { app.log_keys().expect("a node has a log")[0].clone() };
    assert!(proof.verify(&keys(&played.app), None).is_ok());
    assert!(proof.verify(&keys(&played.neighbour.app), None).is_err(), "it says nothing about another log");
}
