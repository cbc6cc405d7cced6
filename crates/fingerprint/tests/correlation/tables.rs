//! Two tables, each with other rows of the same kind that an attacker knows: made-up persons, and the flights of the demo.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use lingqu_fingerprint::{BiasTable, Carrier, Encoding, Finding, Mark, Marking, Member, propose, share_to_rate};

use crate::attacker::Columns;

const PERSONS: usize = 24_000;
/// Of the flights so many in turn: one is copied, one is known.
const FLIGHTS_APART: usize = 14;
const FLIGHT_COLUMNS: [&str; 8] =
    ["dep_delay", "arr_delay", "arr_time", "sched_arr_time", "air_time", "distance", "hour", "month"];
/// Cells of a hundred that are marked, so that chance is far from both ends.
const RATE: f64 = 0.3;

pub struct Table {
    pub originals: RecordBatch,
    pub known: RecordBatch,
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Made-up persons: income and score hang on age, schooling and hours.
pub fn persons() -> Table {
    let mut chance = Chance(7);
    Table { known: some_persons(&mut chance), originals: some_persons(&mut chance) }
}

fn some_persons(chance: &mut Chance) -> RecordBatch {
    const NAMES: [&str; 5] = ["age", "schooling", "hours", "income", "score"];
    let mut columns: [Vec<f64>; 5] = Default::default();
    for _ in 0..PERSONS {
        let age = (17.0 + chance.uniform().powf(1.4) * 70.0).floor();
        let schooling = (10.0 + 2.6 * chance.normal()).round().clamp(1.0, 16.0);
        let hours = (40.0 + 12.0 * chance.normal()).round().clamp(1.0, 99.0);
        let log = 9.2 + 0.09 * schooling + 0.012 * hours + 0.01 * age.min(55.0) + 0.5 * chance.normal();
        let score = (300.0 + 12.0 * schooling + 3.0 * hours + 40.0 * chance.normal()).round();
        let row = [age, schooling, hours, (log.exp() * 100.0).round() / 100.0, score];
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }
    batch(NAMES.into_iter().zip(columns.map(|column| column.into_iter().map(Some).collect())))
}

/// The flights that left New York in 2013.
pub fn flights() -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/data/flights.csv.zst");
    let mut text = Vec::new();
    zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap().read_to_end(&mut text).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let header = reader.headers().unwrap().clone();
    let places = FLIGHT_COLUMNS.map(|name| header.iter().position(|title| title == name).unwrap());
    let mut columns = [(); 2].map(|()| vec![Vec::new(); FLIGHT_COLUMNS.len()]);
    for (row, record) in reader.records().enumerate() {
        let record = record.unwrap();
        let of = match row % FLIGHTS_APART {
            0 => 0,
            at if at == FLIGHTS_APART / 2 => 1,
            _ => continue,
        };
        columns[of].iter_mut().zip(places).for_each(|(column, at)| column.push(record[at].parse().ok()));
    }
    let [originals, known] = columns.map(|columns| batch(FLIGHT_COLUMNS.into_iter().zip(columns)));
    Table { originals, known }
}

/// A batch with a key before the columns.
fn batch<'a>(columns: impl Iterator<Item = (&'a str, Vec<Option<f64>>)>) -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = columns
        .map(|(name, values)| {
            let floats: ArrayRef = Arc::new(Float64Array::from(values));
            // Whole numbers are integers, as clock times have to be.
            let whole = cast(&floats, &DataType::Int64).unwrap();
            let is_whole = cast(&whole, &DataType::Float64).unwrap().as_primitive::<Float64Type>()
                == floats.as_primitive::<Float64Type>();
            (name, if is_whole { whole } else { floats })
        })
        .collect();
    let rows = columns[0].1.len() as i64;
    let key: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(0..rows));
    let all = std::iter::once(("row", key)).chain(columns).map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(all).unwrap()
}

pub fn numbers(batch: &RecordBatch, name: &str) -> Vec<f64> {
    let floats = cast(batch.column_by_name(name).unwrap(), &DataType::Float64).unwrap();
    floats.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect()
}

/// Some columns for an attacker.
pub fn columns(batch: &RecordBatch, names: &[&'static str]) -> Columns {
    names.iter().map(|name| (*name, numbers(batch, name))).collect()
}

/// Minutes by which arrivals are off what schedule and delay say, by a day.
pub fn off_the_tie(batch: &RecordBatch) -> Vec<bool> {
    let whole = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
    let (time, planned, delay) = (whole("arr_time"), whole("sched_arr_time"), whole("arr_delay"));
    let minutes = |clock: i64| clock / 100 * 60 + clock % 100;
    let rows = time.iter().zip(planned).zip(delay);
    rows.map(|((time, planned), delay)| match (time, planned, delay) {
        (Some(time), Some(planned), Some(delay)) => (minutes(planned) + delay - minutes(time)).rem_euclid(1_440) != 0,
        _ => false,
    })
    .collect()
}

/// A mark on a column that reaches so much of what the other columns leave open, as `propose` measures it; with those that are
/// tied to it moving along.
pub fn marking(originals: &RecordBatch, target: &str, tied: &[(&str, Encoding)], reach: f64) -> Marking {
    let found = propose(originals).unwrap().into_iter().find_map(|finding| match finding {
        Finding::Column(column) if column.column == target => Some(column),
        _ => None,
    });
    let found = found.unwrap();
    assert_eq!(found.lattice, 1);
    let amplitude = (reach * found.deviation_given_others).floor() as u32;
    let member = |column: &str, encoding| Member { column: column.to_owned(), encoding, coefficient: 1, domain: None };
    let tied = tied.iter().map(|&(column, encoding)| member(column, encoding));
    let members = std::iter::once(member(target, found.encoding)).chain(tied).collect();
    let carrier = Carrier::Number { members, amplitude, tolerance: amplitude };
    Marking {
        key: vec!["row".to_owned()],
        marks: vec![Mark { name: target.to_owned(), rate: share_to_rate(RATE), by: Vec::new(), carrier }],
        order_share: 0,
        biases: BiasTable::default(),
        presence: None,
    }
}
