//! Whether whoever knows how the columns of a table hang together finds swapped texts.
//!
//! A swapped cell has a text that stood in another row. Where the other columns tell which rows have it, that shows. So for each
//! text of a set that is declared to be taken for each other it is tried how well the other columns tell its rows from those of
//! the set's other texts, from which swaps bring it: by each column alone, and by all of them together as if they were independent
//! (naive Bayes), learnt from one half of the rows and tried on the other.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use crate::carriers::bucketed;
use crate::dependency::values;
use crate::error::FingerprintError;
use crate::laid::Laid;
use crate::marking::{Carrier, Marking};

/// Most rows of a text, and of the others of its set, that are learnt from and tried.
const ROWS_MAX: usize = 20_000;
/// Of fewer rows of a text nothing is learnt.
const ROWS_MIN: usize = 50;
/// Most texts of one mark that are tried, those with most rows.
const TEXTS_MAX: usize = 64;
/// What chance does: so many deviations of the difference of two shares.
const CHANCE_DEVIATIONS: f64 = 3.0;
/// What is added to each count, so that what was never seen is not taken for impossible.
const UNSEEN: f64 = 0.5;
const BUCKETS: usize = 256;

/// How well the other columns tell the texts of one mark apart: of that text which they tell best.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldApart {
    /// The mark's name.
    pub mark: String,
    /// Its column.
    pub column: String,
    /// The column that tells most by itself; none where all of them together tell more.
    pub by: Option<String>,
    /// Which share of the text's rows is taken for rows of it, less the share of the others' rows that is: nothing by guessing,
    /// one where it is told without fail.
    pub advantage: f64,
    /// What chance adds to it at most, given how few rows there are.
    pub chance: f64,
}

impl ToldApart {
    /// Whether more is told than this, and not by chance.
    pub fn is_beyond(&self, advantage_max: f64) -> bool {
        self.advantage > advantage_max + self.chance
    }

    fn excess(&self) -> f64 {
        self.advantage - self.chance
    }
}

/// A column's values in few groups, row by row.
struct Buckets<'a> {
    name: &'a str,
    of: Vec<u8>,
}

/// For each mark of a category in a sample of a table how well other columns tell its texts apart; nothing of a mark whose texts
/// stand in too few rows.
///
/// # Errors
/// [`FingerprintError::ColumnMissing`], [`FingerprintError::ColumnType`].
pub(crate) fn told_apart(marking: &Marking, sample: &RecordBatch) -> Result<Vec<ToldApart>, FingerprintError> {
    let mut found = Vec::new();
    if !marking.marks.iter().any(|mark| matches!(mark.carrier, Carrier::Category { .. })) {
        return Ok(found);
    }
    let columns = values(sample);
    let buckets =
        columns.iter().filter_map(|column| Some(Buckets { name: column.name, of: bucketed(sample, column)? }));
    let buckets: Vec<Buckets<'_>> = buckets.collect();
    for mark in &marking.marks {
        let Carrier::Category { column, .. } = &mark.carrier else { continue };
        let laid = Laid::over(mark, sample)?;
        let mut sets: BTreeMap<u128, BTreeMap<u128, Vec<usize>>> = BTreeMap::new();
        for row in 0..sample.num_rows() {
            if let Some(version) = laid.version(row) {
                sets.entry(version >> 32).or_default().entry(version).or_default().push(row);
            }
        }
        let others: Vec<&Buckets<'_>> = buckets.iter().filter(|buckets| buckets.name != column).collect();
        let mut texts = Vec::new();
        for of_set in sets.values() {
            texts.extend(of_set.iter().map(|(text, rows)| (of_set, *text, rows.len())));
        }
        texts.retain(|(_, _, rows)| *rows >= ROWS_MIN);
        texts.sort_by_key(|(_, text, rows)| (std::cmp::Reverse(*rows), *text));
        let told = texts.into_iter().take(TEXTS_MAX).filter_map(|(texts, text, _)| told(&others, texts, text));
        let worst = told.max_by(|one, other| one.excess().total_cmp(&other.excess()));
        found.extend(worst.map(|worst| ToldApart { mark: mark.name.clone(), column: column.clone(), ..worst }));
    }
    Ok(found)
}

/// So many of some rows, evenly.
fn some_of(rows: impl Iterator<Item = usize> + Clone) -> Vec<usize> {
    let stride = rows.clone().count().div_ceil(ROWS_MAX).max(1);
    rows.step_by(stride).collect()
}

/// How well a text's rows are told from those of its set's others; none of too few rows.
fn told(columns: &[&Buckets<'_>], texts: &BTreeMap<u128, Vec<usize>>, text: u128) -> Option<ToldApart> {
    let own = some_of(texts.get(&text)?.iter().copied());
    let rest = some_of(texts.iter().filter(|(other, _)| **other != text).flat_map(|(_, rows)| rows.iter().copied()));
    if own.len() < ROWS_MIN || rest.len() < ROWS_MIN {
        return None;
    }
    // Neighbours may be alike, so halves are drawn by pairs of rows.
    let half = |rows: &[usize], is_tried: bool| -> Vec<usize> {
        rows.iter().enumerate().filter(|(at, _)| (at / 2 % 2 == 1) == is_tried).map(|(_, row)| *row).collect()
    };
    let odds: Vec<[f64; BUCKETS]> =
        columns.iter().map(|column| learnt(column, &half(&own, false), &half(&rest, false))).collect();
    let (own, rest) = (half(&own, true), half(&rest, true));
    let share = |rows: &[usize], score: &dyn Fn(usize) -> f64| {
        rows.iter().filter(|row| score(**row) > 0.0).count() as f64 / rows.len() as f64
    };
    let advantage = |score: &dyn Fn(usize) -> f64| share(&own, score) - share(&rest, score);
    let alone = |at: usize| advantage(&|row| odds[at][usize::from(columns[at].of[row])]);
    let together = advantage(&|row| {
        columns.iter().zip(&odds).map(|(column, odds)| odds[usize::from(column.of[row])]).sum::<f64>()
    });
    let best = (0..columns.len()).map(|at| (at, alone(at))).max_by(|one, other| one.1.total_cmp(&other.1));
    let (by, advantage) = match best {
        Some((at, alone)) if alone >= together => (Some(columns[at].name.to_owned()), alone),
        _ => (None, together),
    };
    let chance = CHANCE_DEVIATIONS * (0.25 / own.len() as f64 + 0.25 / rest.len() as f64).sqrt();
    Some(ToldApart { mark: String::new(), column: String::new(), by, advantage, chance })
}

/// What each group of a column's values says for the text, as the logarithm of its odds.
fn learnt(column: &Buckets<'_>, own: &[usize], rest: &[usize]) -> [f64; BUCKETS] {
    let counted = |rows: &[usize]| {
        let mut counts = [0.0_f64; BUCKETS];
        rows.iter().for_each(|row| counts[usize::from(column.of[*row])] += 1.0);
        counts
    };
    let (owns, rests) = (counted(own), counted(rest));
    let seen = owns.iter().zip(&rests).filter(|(own, rest)| **own + **rest > 0.0).count() as f64;
    let (of_own, of_rest) = (own.len() as f64 + UNSEEN * seen, rest.len() as f64 + UNSEEN * seen);
    let mut odds = [0.0; BUCKETS];
    for (odds, (own, rest)) in odds.iter_mut().zip(owns.iter().zip(&rests)) {
        *odds = (((own + UNSEEN) / of_own) / ((rest + UNSEEN) / of_rest)).ln();
    }
    odds
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::code::BiasTable;
    use crate::marking::{Mark, RATE_ONE};

    const ROWS: u64 = 8_000;

    /// A number below a limit that looks drawn (SplitMix64).
    fn drawn(row: u64, salt: u64, below: u64) -> u64 {
        let mut state = (row + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03);
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (state ^ (state >> 31)) % below
    }

    fn marking(sets: &[&[&str]]) -> Marking {
        let sets = sets.iter().map(|set| set.iter().map(|text| (*text).to_owned()).collect()).collect();
        let carrier = Carrier::Category { column: "kind".to_owned(), sets };
        let mark = Mark { name: "spelling".to_owned(), rate: RATE_ONE, by: Vec::new(), carrier };
        let biases = BiasTable::default();
        Marking { key: vec!["id".to_owned()], marks: vec![mark], order_share: 0, biases, presence: None }
    }

    /// How a column follows from the row's number and its kind.
    type Of<'a> = &'a dyn Fn(u64, &str) -> u64;

    /// Rows with a kind, and columns that follow from it.
    fn table(kind: impl Fn(u64) -> &'static str, columns: &[(&str, Of<'_>)]) -> RecordBatch {
        let kinds = Arc::new(StringArray::from_iter_values((0..ROWS).map(&kind))) as ArrayRef;
        let mut named = vec![("kind".to_owned(), kinds)];
        for (name, of) in columns {
            let numbers = (0..ROWS).map(|row| of(row, kind(row)).cast_signed());
            named.push(((*name).to_owned(), Arc::new(Int64Array::from_iter_values(numbers))));
        }
        RecordBatch::try_from_iter(named).unwrap()
    }

    fn even(row: u64) -> &'static str {
        ["路", "道", "街", "别的"][drawn(row, 1, 4) as usize]
    }

    fn found(sets: &[&[&str]], batch: &RecordBatch) -> ToldApart {
        told_apart(&marking(sets), batch).unwrap().remove(0)
    }

    #[test]
    fn texts_that_nothing_tells_apart_are_not_told_apart() {
        let noise = |row, _: &str| drawn(row, 2, 500);
        let small = |row, _: &str| drawn(row, 3, 7);
        // It tells what stands in no set, which swaps never touch.
        let others = |row, kind: &str| if kind == "别的" { 9 } else { drawn(row, 4, 3) };
        let batch = table(even, &[("noise", &noise), ("small", &small), ("others", &others)]);
        for sets in [&[&["路", "道"][..]][..], &[&["路", "道", "街"]]] {
            let told = found(sets, &batch);
            assert!(!told.is_beyond(0.0) && told.chance < 0.15, "{told:?}");
        }
    }

    #[test]
    fn a_column_that_tells_is_named() {
        let noise = |row, _: &str| drawn(row, 2, 500);
        // Nine in ten rows of 道 have a large number, and one in ten of the others.
        let size = |row, kind: &str| {
            if (kind == "道") == (drawn(row, 3, 10) > 0) { 1_000 + drawn(row, 4, 900) } else { drawn(row, 4, 900) }
        };
        let batch = table(even, &[("noise", &noise), ("size", &size)]);
        let told = found(&[&["路", "道"]], &batch);
        assert_eq!(told.by.as_deref(), Some("size"));
        assert!((0.7..0.9).contains(&told.advantage) && told.is_beyond(0.16), "{told:?}");
        // The set that does not hold it is not told apart; of several the worst text counts.
        assert!(!found(&[&["路", "街"]], &batch).is_beyond(0.0));
        assert!(found(&[&["路", "街", "道"]], &batch).is_beyond(0.5));
    }

    /// Each of ten columns tells little, and all together much.
    #[test]
    fn columns_tell_more_together() {
        let part = |salt: u64| move |row: u64, kind: &str| u64::from((kind == "道") == (drawn(row, salt, 100) < 58));
        let parts: Vec<_> = (10..20).map(part).collect();
        let names: Vec<String> = (0..parts.len()).map(|at| format!("part{at}")).collect();
        let columns: Vec<(&str, Of<'_>)> =
            names.iter().zip(&parts).map(|(name, part)| (name.as_str(), part as Of<'_>)).collect();
        let told = found(&[&["路", "道"]], &table(even, &columns));
        assert_eq!(told.by, None, "{told:?}");
        assert!(told.is_beyond(0.2) && told.advantage < 0.6, "{told:?}");
        assert!(!found(&[&["路", "道"]], &table(even, &columns[..1])).is_beyond(0.2));
    }

    #[test]
    fn of_few_rows_nothing_is_said() {
        let kind = |row: u64| if row.is_multiple_of(400) { "道" } else { "路" };
        let tells = |_, kind: &str| u64::from(kind == "道");
        assert_eq!(told_apart(&marking(&[&["路", "道"]]), &table(kind, &[("tells", &tells)])).unwrap(), []);
    }
}
