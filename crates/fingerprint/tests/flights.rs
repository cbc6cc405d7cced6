//! The ties that real data holds: those of the flights of the demo.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use lingqu_fingerprint::{Encoding, Finding, propose};

const COLUMNS: [&str; 8] =
    ["dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay", "air_time", "distance"];

#[test]
fn delays_are_tied_to_times_in_the_flights() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/data/flights.csv.zst");
    let mut text = Vec::new();
    zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap().read_to_end(&mut text).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let header = reader.headers().unwrap().clone();
    let places = COLUMNS.map(|name| header.iter().position(|title| title == name).unwrap());
    let mut columns: Vec<Vec<Option<i64>>> = vec![Vec::new(); COLUMNS.len()];
    for record in reader.records().step_by(7) {
        let record = record.unwrap();
        for (column, at) in columns.iter_mut().zip(places) {
            column.push(record[at].parse().ok());
        }
    }
    let arrays = columns.into_iter().map(|column| Arc::new(Int64Array::from(column)) as ArrayRef);
    let batch = RecordBatch::try_from_iter_with_nullable(COLUMNS.into_iter().zip(arrays).map(|(n, a)| (n, a, true)));
    let findings = propose(&batch.unwrap()).unwrap();
    let sum = |first: &str, second: &str, third: &str| Finding::Sum {
        first: first.to_string(),
        second: second.to_string(),
        third: third.to_string(),
        constant: 0,
        modulus: Some(1_440),
    };
    assert!(findings.contains(&sum("dep_time", "sched_dep_time", "dep_delay")), "{findings:?}");
    assert!(findings.contains(&sum("arr_time", "sched_arr_time", "arr_delay")), "{findings:?}");
    let columns: Vec<_> = findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Column(column) => Some(column),
            _ => None,
        })
        .collect();
    let is_tie = |finding: &&Finding| matches!(finding, Finding::Sum { .. } | Finding::Copy { .. });
    assert_eq!(findings.iter().filter(is_tie).count(), 2, "{findings:?}");
    let column = |name: &str| *columns.iter().find(|column| column.column == name).unwrap();
    assert_eq!(column("arr_time").encoding, Encoding::HoursMinutes);
    // Air time follows from the distance but for some minutes: a mark of one minute is well within what is left.
    let air_time = column("air_time");
    assert!(air_time.deviation_given_others < 0.25 * air_time.deviation, "{air_time:?}");
    assert!(air_time.deviation_given_others > 5.0, "{air_time:?}");
}
