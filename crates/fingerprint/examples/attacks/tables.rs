//! The two tables and what may be marked in them.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use lingqu_fingerprint::{
    BiasTable, Carrier, Encoding, Mark, Marking, Member, MomentBounds, Step, rate_within_moments, share_to_rate,
};

use crate::chance::Chance;
use crate::trial::Failure;

pub struct Table {
    pub name: &'static str,
    pub batch: RecordBatch,
    pub marking: Marking,
    /// One column of each mark, that an attacker works on, with the mark's reach in the column's own unit.
    pub carriers: Vec<(&'static str, f64)>,
    /// Exact columns that tell a row nearly alone: an attacker who wants rows not to be found leaves them out too.
    pub telling: &'static [&'static str],
    /// How many collude and the share of rows that they leak: some three times the marked cells that are planned for so many.
    pub coalition_shares: [(usize, f64); 4],
    /// What models are trained on: a column to predict from others, and the limit above which it is a yes.
    pub task: (&'static str, &'static [&'static str], f64),
}

/// The flights that left New York in 2013, REAL.
pub fn flights() -> Result<Table, Failure> {
    const TELLING: [&str; 3] = ["month", "day", "flight"];
    const COLUMNS: [&str; 10] = [
        "dep_time",
        "dep_delay",
        "arr_time",
        "arr_delay",
        "air_time",
        "distance",
        "sched_dep_time",
        TELLING[0],
        TELLING[1],
        TELLING[2],
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/data/flights.csv.zst");
    let mut text = Vec::new();
    zstd::Decoder::new(std::fs::File::open(path)?)?.read_to_end(&mut text)?;
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let names: Vec<usize> = {
        let header = reader.headers()?;
        COLUMNS.iter().filter_map(|name| header.iter().position(|title| title == *name)).collect()
    };
    let mut columns: Vec<Vec<Option<i64>>> = vec![Vec::new(); COLUMNS.len()];
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        for (column, at) in columns.iter_mut().zip(&names) {
            column.push(record.get(*at).and_then(|cell| cell.parse().ok()));
        }
    }
    let rows = columns[0].len() as i64;
    let mut arrays: Vec<(&str, ArrayRef)> = vec![("row", Arc::new(Int64Array::from_iter_values(0..rows)))];
    for (name, column) in COLUMNS.iter().zip(columns) {
        arrays.push((name, Arc::new(Int64Array::from(column))));
    }
    let batch = RecordBatch::try_from_iter(arrays)?;
    let whole = Encoding::Lattice(Step { unscaled: 1, decimals: 0 });
    let tied = |time: &str, delay: &str| {
        let clock = Member { column: time.to_string(), encoding: Encoding::HoursMinutes, coefficient: 1, domain: None };
        let member = Member { column: delay.to_string(), encoding: whole, coefficient: 1, domain: None };
        mark(&batch, time, delay, 1.0, vec![clock, member], 1)
    };
    let air_time = Member { column: "air_time".to_string(), encoding: whole, coefficient: 1, domain: Some((1, 2_000)) };
    let marks = vec![
        tied("dep_time", "dep_delay"),
        tied("arr_time", "arr_delay"),
        mark(&batch, "air_time", "air_time", 1.0, vec![air_time], 1),
    ];
    let carriers = vec![("dep_delay", 1.0), ("arr_delay", 1.0), ("air_time", 1.0)];
    let task = ("arr_delay", &["dep_delay", "air_time", "distance"][..], 15.0);
    let coalition_shares = [(2, 0.003), (3, 0.006), (5, 0.015), (10, 0.045)];
    Ok(Table {
        name: "flights (REAL)",
        marking: marking(marks),
        batch,
        carriers,
        telling: &TELLING,
        coalition_shares,
        task,
    })
}

/// 48,842 made-up persons, SYNTHETIC: income and weight hang on age, schooling and hours.
pub fn census() -> Result<Table, Failure> {
    const ROWS: usize = 48_842;
    let mut chance = Chance::new("census");
    let (mut ages, mut years, mut hours) = (Vec::new(), Vec::new(), Vec::new());
    let (mut incomes, mut weights) = (Vec::new(), Vec::new());
    for _ in 0..ROWS {
        let age = 17 + (chance.uniform().powf(1.4) * 70.0) as i64;
        let schooling = (10.0 + 2.6 * chance.normal()).round().clamp(1.0, 16.0);
        let work = (40.0 + 12.0 * chance.normal()).round().clamp(1.0, 99.0);
        let log = 9.2 + 0.09 * schooling + 0.012 * work + 0.01 * (age as f64).min(55.0) + 0.5 * chance.normal();
        ages.push(age);
        years.push(schooling as i64);
        hours.push(work as i64);
        incomes.push((log.exp() * 100.0).round() / 100.0);
        weights.push((11.9 + 0.55 * chance.normal()).exp() as i64);
    }
    let batch = RecordBatch::try_from_iter([
        ("row", Arc::new(Int64Array::from_iter_values(0..ROWS as i64)) as ArrayRef),
        ("age", Arc::new(Int64Array::from(ages))),
        ("schooling", Arc::new(Int64Array::from(years))),
        ("hours", Arc::new(Int64Array::from(hours))),
        ("income", Arc::new(Float64Array::from(incomes))),
        ("weight", Arc::new(Int64Array::from(weights))),
    ])?;
    let member = |column: &str, decimals| Member {
        column: column.to_string(),
        encoding: Encoding::Lattice(Step { unscaled: 1, decimals }),
        coefficient: 1,
        domain: Some((0, i64::from(u32::MAX))),
    };
    // Incomes within 200.00, weights within 600: half a hundredth of their standard deviations.
    let marks = vec![
        mark(&batch, "income", "income", 200.0, vec![member("income", 2)], 20_000),
        mark(&batch, "weight", "weight", 600.0, vec![member("weight", 0)], 600),
    ];
    let carriers = vec![("income", 200.0), ("weight", 600.0)];
    let task = ("income", &["age", "schooling", "hours", "weight"][..], 80_000.0);
    let coalition_shares = [(2, 0.015), (3, 0.04), (5, 0.1), (10, 0.3)];
    Ok(Table {
        name: "census-like (SYNTHETIC)",
        marking: marking(marks),
        batch,
        carriers,
        telling: &[],
        coalition_shares,
        task,
    })
}

fn marking(marks: Vec<Mark>) -> Marking {
    Marking { key: vec!["row".to_string()], marks, order_share: 6_554, biases: BiasTable::default(), presence: None }
}

/// A number mark at the rate that the bounds of moments allow for the column that bears least.
fn mark(batch: &RecordBatch, name: &str, narrow: &str, reach: f64, members: Vec<Member>, amplitude: u32) -> Mark {
    let values = numbers(batch, narrow);
    let deviation = moments(&values).1;
    let rate = rate_within_moments(batch.num_rows() as u64, deviation, reach, MomentBounds::default());
    let carrier = Carrier::Number { members, amplitude, tolerance: amplitude };
    Mark { name: name.to_string(), rate: share_to_rate(rate), by: Vec::new(), carrier }
}

/// A column as floating-point numbers; not a number where it is null.
pub fn numbers(batch: &RecordBatch, name: &str) -> Vec<f64> {
    use arrow::array::AsArray as _;
    let Some(column) = batch.column_by_name(name) else {
        return Vec::new();
    };
    let Ok(floats) = arrow::compute::cast(column, &arrow::datatypes::DataType::Float64) else {
        return Vec::new();
    };
    floats.as_primitive::<arrow::datatypes::Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect()
}

/// Mean and standard deviation of what is there.
pub fn moments(values: &[f64]) -> (f64, f64) {
    let present: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let count = present.len() as f64;
    let mean = present.iter().sum::<f64>() / count;
    (mean, (present.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt())
}

impl Table {
    pub fn marks_in_words(&self) -> String {
        let mark = |mark: &Mark| {
            format!("{} at {:.0} %", mark.columns().join("+"), 100.0 * f64::from(mark.rate) / f64::from(u32::MAX))
        };
        self.marking.marks.iter().map(mark).collect::<Vec<_>>().join(", ")
    }

    /// The columns that move with one that an attacker works on, so that they would tell what he did.
    pub fn tied(&self) -> Vec<&str> {
        let moved = self.marking.marks.iter().flat_map(Mark::columns);
        moved.filter(|column| self.carriers.iter().all(|(carrier, _)| carrier != column)).collect()
    }
}
