//! What marks do to the data: of several copies, each held against the original, the worst.

use arrow::array::RecordBatch;
use arrow::compute::kernels::cmp::distinct;
use lingqu_fingerprint::{Carrier, Encoding, HOURS_MINUTES_LAST, Mark, Member};

use crate::copies::Office;
use crate::goal::within;
use crate::models::{Models, Scores};
use crate::registry::REGISTERED;
use crate::tables::{moments, numbers};
use crate::trial::Failure;

const COPIES: usize = 10;

/// What a mean may move, in standard deviations; what share of itself a standard deviation may change, and a model's score.
const MEAN_MAX: f64 = 1e-4;
const DEVIATION_MAX: f64 = 1e-3;
const SCORE_MAX: f64 = 5e-3;

/// Against rounding, in steps of a lattice.
const STEP_PRECISION: f64 = 1e-6;

/// The largest of what was seen, and where.
struct Worst {
    value: f64,
    at: String,
}

impl Worst {
    fn new() -> Self {
        Self { value: 0.0, at: "no copy".to_owned() }
    }

    fn see(&mut self, value: f64, at: impl FnOnce() -> String) {
        // What is not a number is worse than everything.
        if value > self.value || value.is_nan() {
            *self = Self { value: if value.is_nan() { f64::INFINITY } else { value }, at: at() };
        }
    }
}

/// Prints a table of what copies are off by, with a verdict on each goal.
pub fn measure(office: &Office) -> Result<(), Failure> {
    let (table, models) = (&office.table, Models::of(&office.table));
    let original = models.trained_on(&table.batch);
    let (mut altered, mut exact, mut beyond, mut marked, mut missing) = (0, 0, 0, 0, 0);
    let [mut mean, mut deviation, mut regression, mut classifier] = std::array::from_fn(|_| Worst::new());
    for number in 0..COPIES {
        let recipient = number * (REGISTERED / COPIES);
        let copy = office.registry.marker(&table.marking, recipient)?.mark(&table.batch)?;
        missing += table.batch.num_rows().abs_diff(copy.num_rows());
        let (cells, differing) = exact_cells(&table.marking.marks, &table.batch, &copy)?;
        exact += cells;
        altered += differing;
        for mark in &table.marking.marks {
            let (cells, far) = cells_beyond(mark, &table.batch, &copy);
            marked += cells;
            beyond += far;
            for column in mark.columns() {
                let before = moments(&numbers(&table.batch, column));
                let after = moments(&numbers(&copy, column));
                let place = || format!("{column} of copy {number}");
                mean.see(((after.0 - before.0) / before.1).abs(), place);
                deviation.see((after.1 / before.1 - 1.0).abs(), place);
            }
        }
        let Scores { regression: explained, classifier: accuracy } = models.trained_on(&copy);
        regression.see((explained / original.regression - 1.0).abs(), || format!("{explained:.5} by copy {number}"));
        classifier.see((accuracy / original.classifier - 1.0).abs(), || format!("{accuracy:.5} by copy {number}"));
    }
    let (target, _, limit) = table.task;
    println!("distortion, of {COPIES} copies the worst | measured | goal");
    println!("---|---|---");
    let counted = |what: &str, count: usize| {
        println!("{what} | {count} | 0: {}", within(count as f64, 0.0));
    };
    counted(&format!("declared-exact cells altered, of {exact}"), altered);
    counted(&format!("cells of marked columns that moved farther than the tolerance or vanished, of {marked}"), beyond);
    counted("rows that are missing or too many", missing);
    let measured = |what: String, worst: &Worst, most: f64| {
        println!("{what} | {:.1e} ({}) | ≤ {most:.0e}: {}", worst.value, worst.at, within(worst.value, most));
    };
    measured("mean moved, in standard deviations".to_owned(), &mean, MEAN_MAX);
    measured("standard deviation changed by the share".to_owned(), &deviation, DEVIATION_MAX);
    let (explained, accuracy) = (original.regression, original.classifier);
    measured(format!("regression of {target}, R² {explained:.5}, changed by the share"), &regression, SCORE_MAX);
    let what = format!("classifier of {target} above {limit}, accuracy {accuracy:.5}, changed by the share");
    measured(what, &classifier, SCORE_MAX);
    Ok(())
}

/// Cells of all columns that no mark names, and how many of them differ.
fn exact_cells(marks: &[Mark], original: &RecordBatch, copy: &RecordBatch) -> Result<(usize, usize), Failure> {
    let (mut cells, mut differing) = (0, 0);
    for (at, field) in original.schema().fields().iter().enumerate() {
        if marks.iter().any(|mark| mark.columns().contains(&field.name().as_str())) {
            continue;
        }
        let column = copy.column_by_name(field.name()).ok_or("a column is missing from a copy")?;
        cells += original.num_rows();
        differing += distinct(original.column(at), column)?.true_count();
    }
    Ok((cells, differing))
}

/// Cells of a mark's columns that hold something, and how many of them are farther off than the contract allows, or off when
/// there was nothing.
fn cells_beyond(mark: &Mark, original: &RecordBatch, copy: &RecordBatch) -> (usize, usize) {
    let Carrier::Number { members, tolerance, .. } = &mark.carrier else {
        return (0, 0);
    };
    let (mut cells, mut far) = (0, 0);
    for member in members {
        let pairs = numbers(original, &member.column).into_iter().zip(numbers(copy, &member.column));
        for (before, after) in pairs {
            cells += usize::from(before.is_finite());
            let allowed = f64::from(*tolerance) * f64::from(member.coefficient.unsigned_abs()) + STEP_PRECISION;
            far += usize::from(match (before.is_finite(), after.is_finite()) {
                (true, true) => steps_between(member, before, after) > allowed,
                (one, other) => one != other,
            });
        }
    }
    (cells, far)
}

/// How many steps of its lattice a member's cell moved; a clock goes round.
fn steps_between(member: &Member, before: f64, after: f64) -> f64 {
    match member.encoding {
        Encoding::Lattice(step) => {
            (after - before).abs() * 10f64.powi(i32::from(step.decimals)) / f64::from(step.unscaled)
        }
        Encoding::HoursMinutes => {
            let minutes = |clock: f64| (clock / 100.0).floor() * 60.0 + clock.rem_euclid(100.0);
            let day = HOURS_MINUTES_LAST as f64;
            let apart = (minutes(after) - minutes(before)).rem_euclid(day);
            apart.min(day - apart)
        }
        Encoding::Time { .. } => f64::INFINITY, // Neither table has a mark of times.
    }
}
