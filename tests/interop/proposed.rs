//! `lingqu marking propose`, run as people run it: what it says of a table in which everything that it looks for is there.

use std::fmt::Write as _;

use lingqu_domain::command::Command;
use lingqu_domain::id::ResourceId;
use lingqu_domain::marking::{MarkDeclaration, MarkLimits, MomentBounds};
use lingqu_domain::resource::{Column, DataType, ResourceDetails};
use lingqu_domain::scope::ColumnName;
use lingqu_engine::source::SourceOptions;
use lingqu_tests::node::{Ended, run};
use lingqu_tests::scenario::{Scenario, Who};
use serde_json::{Value, json};

const ROWS: u64 = 3_000;
const COLUMNS: [(&str, DataType); 10] = [
    ("stop_id", DataType::Integer),
    ("code", DataType::Integer),
    ("name", DataType::Text),
    ("kind", DataType::Text),
    ("lat", DataType::Float),
    ("lon", DataType::Float),
    ("net", DataType::Integer),
    ("tax", DataType::Integer),
    ("gross", DataType::Integer),
    ("level", DataType::Integer),
];

/// A number that looks drawn: SplitMix64.
fn drawn(row: u64, salt: u64, below: u64) -> u64 {
    let mut state = (row + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03);
    state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (state ^ (state >> 31)) % below
}

/// Stops: the code tells the name, the gross is net and tax, levels stand ten apart, two kinds are alike.
fn stops() -> String {
    let mut csv = COLUMNS.map(|(name, _)| name).join(",") + "\n";
    for row in 0..ROWS {
        let code = drawn(row, 1, 40);
        let kind = ["亭", "站", "场", "场"][drawn(row, 2, 4) as usize];
        let (net, tax, level) = (drawn(row, 5, 90_000), drawn(row, 6, 7_000), 10 * drawn(row, 7, 5_000));
        let (lat, lon) = (220_000 + drawn(row, 3, 9_999), 1_080_000 + drawn(row, 4, 9_999));
        let name = drawn(code, 8, 7);
        let places = format!("{}.{:04},{}.{:04}", lat / 10_000, lat % 10_000, lon / 10_000, lon % 10_000);
        writeln!(csv, "{row},{code},N{name},{kind},{places},{net},{tax},{},{level}", net + tax).expect("into memory");
    }
    csv
}

async fn prepared() -> Scenario {
    let scenario = Scenario::open_marked(200).await;
    let trips = scenario.resource("trips").clone();
    let trips = scenario.app.read(|state| state.resources[&trips].value.details.clone());
    let named = |name: &str| ColumnName::new(name).expect("a name");
    let column =
        |(name, data_type): (&str, DataType)| Column { name: named(name), data_type, ..trips.columns[0].clone() };
    let limits = MarkLimits {
        moments: MomentBounds { mean_per_million: 400, deviation_per_million: 2_000, ..MomentBounds::default() },
        ..MarkLimits::default()
    };
    let details = ResourceDetails {
        table: named("stops"),
        columns: COLUMNS.map(column).to_vec(),
        key: vec![named("stop_id")],
        marks: Some(MarkDeclaration { credit_data: false, limits }),
        ..trips.clone()
    };
    let file = scenario.directory().join("stops.csv");
    std::fs::write(&file, stops()).expect("the temporary directory is writable");
    let clerk = scenario.clerk(Who::Provider);
    let draft = Command::DraftResource { details: Box::new(details) };
    let resource: ResourceId = scenario.give(clerk, draft, "resource.drafted").await;
    let imported = scenario.app.import_snapshot(clerk, &resource, &file, SourceOptions::default()).await;
    imported.expect("the table is as its catalogue entry says");
    scenario
}

fn proposed(scenario: &Scenario, name: &str, more: &[&str]) -> Ended {
    let directory = scenario.directory().join("node").display().to_string();
    let ended = run(&[&["marking", "propose", name, "--dir", &directory], more].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

fn as_json(scenario: &Scenario, name: &str) -> Value {
    serde_json::from_str(&proposed(scenario, name, &["--json"]).stdout).expect("one JSON object")
}

fn of<'a>(list: &'a Value, field: &str, value: &Value) -> &'a Value {
    let found = list.as_array().expect("a list").iter().find(|entry| entry[field] == *value);
    found.unwrap_or_else(|| panic!("nothing with {field} {value} in {list:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_looked_for_is_told() {
    let scenario = prepared().await;
    let told = as_json(&scenario, "stops");
    assert_eq!(told["rows"], ROWS);
    assert_eq!(told["moments"], json!({"mean_per_million": 400, "deviation_per_million": 2_000}), "as declared");
    assert_eq!(told["pairs_left_out"], 0);
    assert_eq!(of(&told["dependencies"], "column", &json!("name"))["by"], json!(["code"]), "{told:#}");
    assert!(of(&told["dependencies"], "column", &json!("name"))["repeated"].as_u64() > Some(ROWS - 100));
    // 11.132 metres of a step, three of them, rounded up.
    let place = json!({"latitude": "lat", "longitude": "lon", "decimals": 4, "metres_least": 34.0});
    assert_eq!(told["places"], json!([place]));
    let kind = of(&told["categories"], "column", &json!("kind"));
    let alike = [json!([["亭", "站"]]), json!([["站", "亭"]])];
    assert!(alike.contains(&kind["sets"]), "{kind}");
    let tie = of(&told["ties"], "sum", &json!("gross"));
    assert_eq!((&tie["parts"], &tie["total"]), (&json!(["net", "tax"]), &json!(["net", "tax"])));
    let level = of(&told["columns"], "column", &json!("level"));
    assert_eq!((&level["step"], &level["gap"]), (&json!(10.0), &json!(10.0)));
    assert_eq!(level["amplitude_in_order"], 0, "a step of 10 among values 10 apart");
    // Of 3,000 rows with a deviation of 14,430 each may move by 10 within these bounds; by 2,880 only one in a thousand.
    assert_eq!(level["rate_per_million"], 1_000_000);
    let (steps, rate) = (level["amplitude_max"].as_u64(), level["rate_per_million_at_max"].as_u64());
    assert!(steps > Some(250) && steps < Some(300) && rate > Some(0) && rate < Some(2_000), "{level}");

    let text = proposed(&scenario, "stops", &[]).stdout;
    for line in [
        "in order",
        "with the mean at most 400 and the deviation at most 2000 millionths",
        "gross = net + tax",
        "the total net + tax stays exact",
        "  code -> name (",
        "  lat, lon (4 decimals: 34 metres at least)",
        "could carry categories",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("pairs of columns were not looked at"), "{text}");
}

/// What is told of a product is asked when it is drafted: the rate that fits is the rate that is taken.
#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_are_those_that_a_product_states_and_persons_are_left_out() {
    // So many trips that each delay stands in several of them.
    let scenario = Scenario::open_marked(400).await;
    let told = as_json(&scenario, "trip_marked");
    assert_eq!(told["moments"]["mean_per_million"], 20_000);
    assert_eq!(of(&told["dependencies"], "column", &json!("line"))["by"], json!(["delay"]));
    assert_eq!(of(&told["columns"], "column", &json!("delay"))["amplitude_in_order"], 0);
    let people = as_json(&scenario, "people");
    assert_eq!(people["exact_by_law"], json!(["id_number", "name", "points"]));
    for list in ["columns", "ties", "dependencies", "places", "categories"] {
        assert_eq!(people[list], json!([]), "{list}");
    }
}
