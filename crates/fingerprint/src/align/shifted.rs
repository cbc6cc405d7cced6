//! Marked columns whose numbers were shifted, or put into a unit that nobody knows: an hour's difference of time zones, thirty minutes
//! added to every delay. By their values they are no column at all; beside the originals of rows that others found they lie on a
//! line. It is drawn by fragment and originals alone, and only for columns that may be marked: no other one says more by it.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take;

use super::by_way::Known;
use super::cell::{Cells, Reading};
use super::columns::{Agreement, FACTORS, MatchedColumn, READ_SHARE_MIN, Taken};
use super::tolerance::Tolerance;
use super::{Alignment, MatchedRow, Originals, Provenance, Sampled, Watch};
use crate::error::FingerprintError;
use crate::marking::Marking;

/// The fewest rows by which a line is drawn, and the most.
const ROWS_MIN: usize = 20;
const ROWS_MAX: usize = 4_096;

/// Agreement beyond chance that a line must have.
const AGREEMENT_MIN: f64 = 0.3;

/// How far a value may be off its line, in tolerances: its own mark, and that the line is drawn through marked values.
const REACH_TIMES: f64 = 1.5;

/// A slope that is no known unit's is taken with so many digits, and an offset for a multiple of the largest of these that it is off
/// by at most such a part of the reach: nobody adds 28,799.3 seconds.
const SLOPE_DIGITS: i32 = 3;
const WHOLE: [f64; 7] = [86_400.0, 3_600.0, 1_000.0, 100.0, 60.0, 10.0, 1.0];
const WHOLE_WITHIN: f64 = 0.1;

/// How often an offset is drawn anew through those that are near it.
const ROUNDS: usize = 3;

/// Marked columns that no leaked one was taken for, found among the leaked ones that were taken for none.
pub(crate) fn found(
    marking: &Marking,
    (fragment, drawn): (&RecordBatch, &Sampled),
    originals: &dyn Originals,
    names: &[String],
    (kept, rows): (&[&Taken], &[MatchedRow]),
    watch: &mut Watch<'_>,
) -> Result<Vec<Taken>, FingerprintError> {
    let tolerances = Tolerance::of_columns(marking);
    let is_kept = |original: usize| kept.iter().any(|taken| taken.original == original);
    let wanted: Vec<(usize, &str, f64)> = names
        .iter()
        .enumerate()
        .filter(|(original, _)| !is_kept(*original))
        .filter_map(|(original, name)| Some((original, name.as_str(), tolerances.get(name)?.within)))
        .filter(|(_, _, within)| *within > 0.0)
        .collect();
    if rows.len() < ROWS_MIN || wanted.is_empty() {
        return Ok(Vec::new());
    }
    let sampled = drawn.of_rows(rows, ROWS_MAX);
    let places = UInt32Array::from_iter_values(sampled.iter().map(|row| row.leaked));
    let mut candidates: Vec<(usize, Reading, Vec<f64>)> = Vec::new();
    for place in (0..fragment.num_columns()).filter(|place| kept.iter().all(|taken| taken.leaked != *place)) {
        let whole = |_| FingerprintError::Assembly { column: "*".to_string() };
        let cells = take(fragment.column(place), &places, None).map_err(whole)?;
        let reading = Reading::of_numbers(&cells, READ_SHARE_MIN);
        let numbers = Cells::read(&cells, reading, 1.0).numbers;
        if numbers.iter().filter(|number| number.is_finite()).count() >= ROWS_MIN {
            candidates.push((place, reading, numbers));
        }
    }
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let beside = Alignment {
        columns: Vec::new(),
        rows: sampled,
        unmatched: 0,
        provenance: Provenance::Unverified,
        deeds: Vec::new(),
        originals: 0,
    };
    let known = Known { of: originals, names: wanted.iter().map(|(_, name, _)| *name).collect() };
    let known = beside.gather(&known, watch)?;
    let mut out = Vec::new();
    for ((original, name, within), array) in wanted.iter().zip(known.columns()) {
        let numbers = Cells::read(array, Reading::Plain, 1.0).numbers;
        let lines = candidates
            .iter()
            .enumerate()
            .filter_map(|(at, (_, _, leaked))| Some((at, Line::through(&numbers, leaked, *within)?)));
        let agreement = |line: &Line| line.agreement.beyond_chance().unwrap_or_default();
        let best = lines.max_by(|a, b| agreement(&a.1).total_cmp(&agreement(&b.1)));
        let Some((at, line)) = best.filter(|(_, line)| agreement(line) >= AGREEMENT_MIN) else { continue };
        let (place, reading, _) = candidates.remove(at);
        let column = MatchedColumn {
            place,
            leaked: fragment.schema_ref().field(place).name().clone(),
            original: (*name).to_string(),
            reading,
            factor: 1.0 / line.slope,
            offset: -line.offset / line.slope,
            found: 0.0,
            margin: 0.0,
            rounded_to: 0.0,
            agreement: line.agreement,
        };
        out.push(Taken { leaked: place, original: *original, column });
    }
    Ok(out)
}

/// A leaked value is the original one times a slope, and an offset.
struct Line {
    slope: f64,
    offset: f64,
    agreement: Agreement,
}

impl Line {
    /// The line that most values are near; none where there is no slope.
    fn through(originals: &[f64], leaked: &[f64], within: f64) -> Option<Self> {
        let mut pairs: Vec<(f64, f64)> = originals
            .iter()
            .copied()
            .zip(leaked.iter().copied())
            .filter(|(original, leaked)| original.is_finite() && leaked.is_finite())
            .collect();
        if pairs.len() < ROWS_MIN {
            return None;
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (lower, upper) = pairs.split_at(pairs.len() / 2);
        let slopes = lower.iter().zip(upper).filter(|(a, b)| b.0 > a.0).map(|(a, b)| (b.1 - a.1) / (b.0 - a.0));
        let slope = median(slopes.collect()).filter(|slope| slope.is_finite() && *slope != 0.0)?;
        let tried = FACTORS.iter().map(|factor| 1.0 / factor).chain([rounded(slope), slope]);
        let mut best: Option<(f64, Self)> = None;
        for slope in tried {
            let reach = slope.abs() * within * REACH_TIMES;
            let offset = offset(&pairs, slope, reach)?;
            // It is read the other way round.
            if !(1.0 / slope).is_finite() || !(offset / slope).is_finite() {
                continue;
            }
            let agreeing = near(pairs.iter().copied(), slope, offset, reach);
            // As near would be the values of other rows.
            let turned = pairs.iter().zip(upper.iter().chain(lower)).map(|(own, other)| (own.0, other.1));
            let by_chance = near(turned, slope, offset, reach) as f64;
            let beyond = agreeing as f64 - by_chance;
            if best.as_ref().is_none_or(|(most, _)| beyond > *most) {
                let agreement = Agreement { agreeing: agreeing as u64, rows: pairs.len() as u64, by_chance };
                best = Some((beyond, Self { slope, offset, agreement }));
            }
        }
        best.map(|(_, line)| line)
    }
}

fn near(pairs: impl Iterator<Item = (f64, f64)>, slope: f64, offset: f64, reach: f64) -> usize {
    pairs.filter(|(original, leaked)| (leaked - slope * original - offset).abs() <= reach).count()
}

/// The offset of a line with this slope: the middle one at first, then the mean of those near it, on both sides of it: a mark moves
/// as often up as down.
fn offset(pairs: &[(f64, f64)], slope: f64, reach: f64) -> Option<f64> {
    let apart: Vec<f64> = pairs.iter().map(|(original, leaked)| leaked - slope * original).collect();
    let mut offset = median(apart.clone())?;
    for _ in 0..ROUNDS {
        let near = apart.iter().filter(|apart| (**apart - offset).abs() <= 2.0 * reach);
        let (count, sum) = near.fold((0usize, 0.0), |(count, sum), apart| (count + 1, sum + apart));
        if count == 0 {
            break;
        }
        offset = sum / count as f64;
    }
    let multiple = |unit: &f64| (offset / unit).round() * unit;
    let whole = WHOLE.iter().map(multiple).find(|whole| (offset - whole).abs() <= WHOLE_WITHIN * reach);
    Some(whole.unwrap_or(offset))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// With few digits.
fn rounded(slope: f64) -> f64 {
    let unit = 10f64.powi(slope.abs().log10().floor() as i32 - SLOPE_DIGITS + 1);
    (slope / unit).round() * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Original values, each moved by one up or down, put on a line.
    fn leaked(slope: f64, offset: f64) -> (Vec<f64>, Vec<f64>) {
        let originals: Vec<f64> = (0..900).map(|i| f64::from(i * 7_919 % 977)).collect();
        let moved = |(i, v): (usize, &f64)| slope * (v + if i * 31 % 7 < 3 { 1.0 } else { -1.0 }) + offset;
        let leaked = originals.iter().enumerate().map(moved).collect();
        (originals, leaked)
    }

    #[test]
    fn a_line_is_found_through_marked_values() {
        for (slope, offset) in [(1.0, 30.0), (1.0, -480.0), (2.5, 7.0), (1.0 / 60.0, 3.0), (-1.37, 0.0), (1.0, 0.0)] {
            let (originals, leaked) = leaked(slope, offset);
            let line = Line::through(&originals, &leaked, 1.0).unwrap();
            assert!((line.slope / slope - 1.0).abs() < 1e-9, "{slope} {offset}: {} {}", line.slope, line.offset);
            assert!((line.offset - offset).abs() < 0.25 * slope.abs(), "{slope} {offset}: {}", line.offset);
            assert_eq!(line.agreement.agreeing, 900, "{slope} {offset}");
        }
    }

    #[test]
    fn what_lies_on_no_line_has_none() {
        let (originals, values) = leaked(1.0, 0.0);
        let values: Vec<f64> = (0..values.len()).map(|i| values[(i * i * 7 + 13) % values.len()]).collect();
        let agreement = Line::through(&originals, &values, 1.0).and_then(|line| line.agreement.beyond_chance());
        assert!(agreement.unwrap_or_default() < AGREEMENT_MIN, "{agreement:?}");
        // Half of the cells replaced leave a line.
        let (originals, mut values) = leaked(1.0, 30.0);
        values.iter_mut().enumerate().filter(|(i, _)| i % 2 == 0).for_each(|(i, value)| *value = (i * 37 % 977) as f64);
        let line = Line::through(&originals, &values, 1.0).unwrap();
        assert!((line.slope - 1.0).abs() < 1e-9 && (line.offset - 30.0).abs() < 0.25, "{} {}", line.slope, line.offset);
        assert!(line.agreement.beyond_chance().unwrap() >= AGREEMENT_MIN);
        assert!(Line::through(&[1.0; 900], &values, 1.0).is_none() && Line::through(&[], &[], 1.0).is_none());
    }

    #[test]
    fn a_line_can_be_read_the_other_way_round() {
        for slope in [5e-324, 1e-310, 1e-300, 1e300] {
            let (originals, leaked) = leaked(slope, 0.0);
            let Some(line) = Line::through(&originals, &leaked, 1.0) else { continue };
            assert!(
                (1.0 / line.slope).is_finite() && (line.offset / line.slope).is_finite(),
                "{slope}: {}",
                line.slope
            );
        }
    }

    /// Whoever knows which rows a line is drawn through damages those and no others.
    #[test]
    fn rows_of_a_line_hang_on_the_file() {
        let count = 2 * ROWS_MAX as u32;
        let rows: Vec<MatchedRow> =
            (0..count).map(|leaked| MatchedRow { leaked, original: u64::from(leaked), log_odds: 9.0 }).collect();
        let drawn = |last: u64| {
            let contents: Vec<u64> = (0..u64::from(count) - 1).chain([last]).collect();
            Sampled::of(&contents).of_rows(&rows, ROWS_MAX)
        };
        let (one, other) = (drawn(1), drawn(2));
        for drawn in [&one, &other] {
            assert!(drawn.len() == ROWS_MAX && drawn.windows(2).all(|pair| pair[0].leaked < pair[1].leaked));
            let even = drawn.iter().filter(|row| row.leaked % 2 == 0).count();
            assert!((ROWS_MAX * 2 / 5..ROWS_MAX * 3 / 5).contains(&even), "{even}");
        }
        assert_eq!(one, drawn(1));
        assert_ne!(one, other);
        assert_eq!(Sampled::of(&[]).of_rows(&rows[..9], ROWS_MAX), rows[..9]);
    }
}
