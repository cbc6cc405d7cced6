//! What a consumer holds after an export, against the source as it was read in: the rows, the columns, the masks.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use bytes::Bytes;
use lingqu_demo::OrderShown;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::Played;

/// Columns that the product has.
const COLUMNS: [&str; 17] = [
    "time_hour",
    "carrier",
    "flight",
    "year",
    "month",
    "day",
    "sched_dep_time",
    "dep_time",
    "dep_delay",
    "sched_arr_time",
    "arr_time",
    "arr_delay",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
];

/// Two consumers take the data set once more: both have the rows of the source but for the small carrier's; the air time rounded
/// down to five minutes and the distance to ten miles; the aircraft by pseudonyms that are each consumer's own.
pub async fn is_what_the_grant_says(played: &Played) {
    let source = Flights::of_source(played);
    let mut pseudonyms = Vec::new();
    for order in played.report.orders.iter().filter(|order| order.product == "flight_records") {
        let held = Flights::of_export(played, order).await;
        let rounded: BTreeMap<_, _> =
            source.distances.iter().map(|(key, miles)| (key.clone(), down(*miles, 10))).collect();
        assert_eq!(held.distances, rounded, "every other flight is there, its distance rounded down to ten miles");
        let rounded: Vec<Option<i64>> = source.air_times.iter().map(|found| found.map(|time| down(time, 5))).collect();
        let differing = held.air_times.iter().zip(&rounded).filter(|(held, rounded)| held != rounded).count();
        assert_eq!(differing, 0, "air times are rounded down to five minutes");
        // One pseudonym for each aircraft and one aircraft for each pseudonym.
        let mut forward: BTreeMap<&Option<String>, &Option<String>> = BTreeMap::new();
        for (real, false_name) in source.aircraft.iter().zip(&held.aircraft) {
            assert_eq!(*forward.entry(real).or_insert(false_name), false_name);
            assert!(real.is_none() == false_name.is_none() && (real.is_none() || real != false_name));
        }
        let names: BTreeSet<String> = held.aircraft.iter().flatten().cloned().collect();
        assert_eq!(names.len(), forward.keys().filter(|real| real.is_some()).count());
        pseudonyms.push(names);
    }
    let [insurer, institute] = &pseudonyms[..] else { panic!("two consumers have the data set") };
    assert!(insurer.is_disjoint(institute), "two consumers can't bring their copies together by the aircraft");
}

/// Rounds what is not negative down to a multiple of a step.
fn down(value: i64, step: i64) -> i64 {
    value / step * step
}

/// Flights by their key (hour, carrier, number), with what is compared of them.
struct Flights {
    distances: BTreeMap<(String, String, i64), i64>,
    air_times: Vec<Option<i64>>,
    aircraft: Vec<Option<String>>,
}

type Flight = ((String, String, i64), i64, Option<i64>, Option<String>);

impl Flights {
    fn of(mut flights: Vec<Flight>) -> Flights {
        flights.sort();
        let count = flights.len();
        let air_times = flights.iter().map(|flight| flight.2).collect();
        let aircraft = flights.iter().map(|flight| flight.3.clone()).collect();
        let distances: BTreeMap<_, _> = flights.into_iter().map(|flight| (flight.0, flight.1)).collect();
        assert_eq!(distances.len(), count, "the key is one");
        Flights { distances, air_times, aircraft }
    }

    fn of_source(played: &Played) -> Flights {
        let path = played.app.directory().join("sources").join("flights.csv");
        let text = std::fs::read_to_string(path).expect("the demo keeps its sources");
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
        let place = |name: &str| names.iter().position(|found| *found == name).expect("a column of the source");
        let [hour, carrier, flight] = ["time_hour", "carrier", "flight"].map(place);
        let [distance, air_time, tailnum] = ["distance", "air_time", "tailnum"].map(place);
        let mut flights = Vec::new();
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            if fields[carrier] == "OO" {
                continue;
            }
            let number = |at: usize| fields[at].parse::<i64>().ok();
            let key =
                (fields[hour].to_owned(), fields[carrier].to_owned(), number(flight).expect("a flight has a number"));
            let aircraft = Some(fields[tailnum].to_owned()).filter(|tailnum| tailnum != "NA" && !tailnum.is_empty());
            flights.push((key, number(distance).expect("a flight has a distance"), number(air_time), aircraft));
        }
        Flights::of(flights)
    }

    async fn of_export(played: &Played, order: &OrderShown) -> Flights {
        let url = format!("{}/data/v1/flight_records/export?format=parquet", played.base);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client needs nothing");
        let response = client.get(url).bearer_auth(&order.key).send().await.expect("the node answers");
        assert_eq!(response.status(), 200);
        let bytes: Bytes = response.bytes().await.expect("the file comes whole");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("the file is Parquet");
        let names: Vec<&str> = reader.schema().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, COLUMNS, "nothing but the product's columns leaves");
        let mut flights = Vec::new();
        for batch in reader.build().expect("the file is Parquet") {
            read_batch(&batch.expect("the file is whole"), &mut flights);
        }
        Flights::of(flights)
    }
}

fn read_batch(batch: &RecordBatch, flights: &mut Vec<Flight>) {
    let column = |name: &str| batch.column_by_name(name).expect("a column of the product");
    let hours =
        arrow::compute::cast(column("time_hour"), &arrow::datatypes::DataType::Int64).expect("a time is a number");
    let unit = match column("time_hour").data_type() {
        arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Second, _) => 1,
        arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, _) => 1_000,
        arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => 1_000_000,
        other => panic!("{other} is no time of an export"),
    };
    let (hours, carriers) = (hours.as_primitive::<Int64Type>(), column("carrier").as_string::<i32>());
    let numbers = column("flight").as_primitive::<Int64Type>();
    let whole = |value: f64| value as i64;
    let masked = |name: &str| {
        let read = arrow::compute::cast(column(name), &arrow::datatypes::DataType::Float64).expect("a number");
        let read: Vec<Option<f64>> = read.as_primitive::<Float64Type>().iter().collect();
        assert!(read.iter().flatten().all(|value| value.fract() == 0.0), "{name} is whole");
        read
    };
    let (air_times, distances) = (masked("air_time"), masked("distance"));
    let tailnums = column("tailnum").as_string::<i32>();
    for row in 0..batch.num_rows() {
        let hour = jiff::Timestamp::from_second(hours.value(row) / unit).expect("a time of 2013").to_string();
        let key = (hour, carriers.value(row).to_owned(), numbers.value(row));
        let distance = distances[row].map(whole).expect("a flight has a distance");
        let aircraft = tailnums.is_valid(row).then(|| tailnums.value(row).to_owned());
        flights.push((key, distance, air_times[row].map(whole), aircraft));
    }
}
