//! Columns that others determine: a code its name, a station its place, two airports their distance.
//!
//! Rows that agree in the determinants agree in the column, all through the table. A mark that moves one of them cell by cell
//! breaks that in single rows, and whoever looks for it finds the marks and takes the value of the other rows instead. So what is
//! sought is what such a person would find: single columns and pairs that determine another without exception, in so many
//! repeated rows that it is no chance.

use std::collections::HashMap;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::propose::Finding;

/// The most columns of which pairs are looked at.
const COLUMNS_MAX: usize = 64;
/// The most rows that all pairs together are looked up in: some seconds.
const PAIR_ROWS_MAX: u64 = 100_000_000;
/// Rows after which a pair that hardly repeats is given up, and the share of them that must have repeated.
const PROBE_ROWS: usize = 20_000;
const PROBE_REPEATED: usize = 200;
/// A dependency shows in so many rows whose determinants stood in a row before, and in this share of all (one in so many).
const REPEATED_ROWS_MIN: u64 = 100;
const REPEATED_ROWS_SHARE: u64 = 10;
/// What it must tell in nats against the chance that rows agree in a column as any two rows do.
const EVIDENCE_NATS_MIN: f64 = 40.0;

/// A column as numbers of its different values, from one on; zero where there is none.
pub(crate) struct Values<'a> {
    pub(crate) name: &'a str,
    pub(crate) ids: Vec<u32>,
    pub(crate) distinct: u32,
    present: u64,
    /// The probability that two rows agree.
    agreement: f64,
}

impl<'a> Values<'a> {
    /// None of a type that does not read as text.
    pub(crate) fn of(name: &'a str, array: &dyn Array) -> Option<Self> {
        let texts = cast(array, &DataType::LargeUtf8).ok()?;
        let texts = texts.as_string::<i64>();
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut counts: Vec<u64> = Vec::new();
        let mut ids = Vec::with_capacity(texts.len());
        for text in texts {
            let Some(text) = text else {
                ids.push(0);
                continue;
            };
            let next = u32::try_from(counts.len() + 1).ok()?;
            let id = *numbers.entry(text).or_insert(next);
            if id == next {
                counts.push(0);
            }
            counts[id as usize - 1] += 1;
            ids.push(id);
        }
        let present: u64 = counts.iter().sum();
        let agreement = counts.iter().map(|count| (*count as f64 / present as f64).powi(2)).sum();
        Some(Self { name, ids, distinct: u32::try_from(counts.len()).ok()?, present, agreement })
    }

    fn varies(&self) -> bool {
        self.distinct > 1
    }
}

/// The columns of a batch whose values can be told apart, in its order.
pub(crate) fn values(batch: &RecordBatch) -> Vec<Values<'_>> {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    fields.filter_map(|(field, array)| Values::of(field.name(), array)).collect()
}

/// Whether a determinant repeats often enough, and tells enough of a column that is the same each time.
fn is_shown(repeated: u64, rows: u64, determined: &Values<'_>) -> bool {
    let evidence = repeated as f64 * -determined.agreement.ln();
    repeated >= REPEATED_ROWS_MIN && repeated >= rows / REPEATED_ROWS_SHARE && evidence >= EVIDENCE_NATS_MIN
}

/// In how many rows a column repeats what it had under the same determinant; none where it once differs.
fn repeated(determinant: &Values<'_>, determined: &Values<'_>) -> Option<u64> {
    let mut had = vec![0u32; determinant.distinct as usize + 1];
    let mut repeated = 0;
    for (by, value) in determinant.ids.iter().zip(&determined.ids) {
        if *by == 0 || *value == 0 {
            continue;
        }
        let had = &mut had[*by as usize];
        if *had == 0 {
            *had = *value;
        } else if had == value {
            repeated += 1;
        } else {
            return None;
        }
    }
    Some(repeated)
}

/// Dependencies among the columns, those left out that `ties` say already; and how many pairs of columns there was no time for.
pub(crate) fn dependencies(columns: &[Values<'_>], ties: &[Finding]) -> (Vec<Finding>, u64) {
    let mut found = Vec::new();
    let is_tied = |names: &[&str]| ties.iter().any(|tie| tie.ties_all(names));
    let count = columns.len();
    let mut holds = vec![vec![false; count]; count];
    for (i, by) in columns.iter().enumerate() {
        for (j, column) in columns.iter().enumerate() {
            if i == j || !column.varies() || column.distinct > by.distinct {
                continue;
            }
            let Some(repeated) = repeated(by, column) else { continue };
            holds[i][j] = true;
            if is_shown(repeated, by.present.min(column.present), column) && !is_tied(&[by.name, column.name]) {
                found.push(dependency(&[by], column, repeated));
            }
        }
    }
    let (mut rows_left, mut left_out) = (PAIR_ROWS_MAX, 0);
    for i in 0..count {
        for j in i + 1..count {
            let pair = [&columns[i], &columns[j]];
            // What one of them tells alone the pair tells as well, and nothing more where one tells the other.
            if !pair.iter().all(|by| by.varies()) || holds[i][j] || holds[j][i] {
                continue;
            }
            if j >= COLUMNS_MAX || rows_left == 0 {
                left_out += 1;
                continue;
            }
            let candidates: Vec<&Values<'_>> = (0..count)
                .filter(|k| *k != i && *k != j && !holds[i][*k] && !holds[j][*k] && columns[*k].varies())
                .filter(|k| !is_tied(&[pair[0].name, pair[1].name, columns[*k].name]))
                .map(|k| &columns[k])
                .collect();
            for (column, repeated, rows) in told_by_pair(pair, candidates, &mut rows_left) {
                if is_shown(repeated, rows, column) {
                    found.push(dependency(&pair, column, repeated));
                }
            }
        }
    }
    (found, left_out)
}

/// Which of some columns a pair determines, in how many repeated rows, and how many rows have all three.
fn told_by_pair<'v>(
    pair: [&Values<'_>; 2],
    candidates: Vec<&'v Values<'v>>,
    rows_left: &mut u64,
) -> Vec<(&'v Values<'v>, u64, u64)> {
    let mut candidates: Vec<(&Values<'_>, u64, u64)> = candidates.into_iter().map(|column| (column, 0, 0)).collect();
    let mut first: HashMap<u64, usize> = HashMap::new();
    let mut repeated_any = 0;
    for (row, (one, other)) in pair[0].ids.iter().zip(&pair[1].ids).enumerate() {
        if candidates.is_empty() || *rows_left == 0 || row == PROBE_ROWS && repeated_any < PROBE_REPEATED {
            return Vec::new();
        }
        *rows_left -= 1;
        if *one == 0 || *other == 0 {
            continue;
        }
        let before = *first.entry(u64::from(*one) << 32 | u64::from(*other)).or_insert(row);
        repeated_any += usize::from(before != row);
        candidates.retain_mut(|(column, repeated, rows)| {
            let (had, has) = (column.ids[before], column.ids[row]);
            *rows += u64::from(has != 0);
            let both = had != 0 && has != 0;
            *repeated += u64::from(before != row && both);
            !both || had == has
        });
    }
    candidates
}

fn dependency(by: &[&Values<'_>], column: &Values<'_>, repeated: u64) -> Finding {
    Finding::Dependency {
        by: by.iter().map(|by| by.name.to_string()).collect(),
        column: column.name.to_string(),
        repeated,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;

    fn found(columns: Vec<(&str, ArrayRef)>) -> Vec<(Vec<String>, String)> {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
        let found = dependencies(&values(&batch), &[]).0.into_iter();
        let mut found: Vec<(Vec<String>, String)> = found
            .map(|finding| match finding {
                Finding::Dependency { by, column, .. } => (by, column),
                other => panic!("{other:?}"),
            })
            .collect();
        found.sort();
        found
    }

    /// Numbers that look drawn, below a limit, the same for the same seed.
    fn drawn(seed: u64, below: u64) -> impl Fn(u64) -> u64 {
        move |row| {
            let mut state = (row + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed.wrapping_mul(0xD1B5_4A32_D192_ED03);
            state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (state ^ (state >> 31)) % below
        }
    }

    fn numbers(of: impl Fn(u64) -> u64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..5_000).map(|row| of(row).cast_signed())))
    }

    #[test]
    fn codes_places_and_distances_are_told() {
        let (code, from, to) = (drawn(1, 12), drawn(2, 9), drawn(3, 11));
        let names = (0..5_000).map(|row| ["甲", "乙", "丙"][code(row) as usize % 3]);
        let latitude = (0..5_000).map(|row| 22.5 + drawn(4, 9_999)(from(row)) as f64 / 1e4);
        let found = found(vec![
            ("id", numbers(|row| row)),
            ("code", numbers(&code)),
            ("name", Arc::new(StringArray::from_iter_values(names))),
            ("from", numbers(&from)),
            ("latitude", Arc::new(Float64Array::from_iter_values(latitude))),
            ("to", numbers(&to)),
            ("distance", numbers(|row| drawn(5, 5_000)(from(row) * 100 + to(row)))),
            ("noise", numbers(drawn(6, 50))),
            ("constant", numbers(|_| 7)),
        ]);
        let expected = [
            (vec!["code"], "name"),
            (vec!["from"], "latitude"),
            (vec!["from", "to"], "distance"),
            (vec!["latitude"], "from"),
            (vec!["latitude", "to"], "distance"),
        ];
        let holds = |by: &[&str], column: &str| {
            found.iter().any(|(had, found)| found == column && had.iter().map(String::as_str).eq(by.iter().copied()))
        };
        for (by, column) in &expected {
            assert!(holds(by, column), "{by:?} {column}: {found:?}");
        }
        // The distance, nearly unique, tells both ends; a key tells everything and says nothing.
        let strange = |(by, column): &&(Vec<String>, String)| {
            by.iter().chain([column]).any(|name| name == "id" || name == "noise" || name == "constant")
        };
        assert_eq!(found.iter().find(strange), None);
    }

    #[test]
    fn one_exception_is_enough_and_chance_is_not() {
        let code = drawn(1, 40);
        let with = |exceptions: u64| {
            let name = |row: u64| if row < exceptions { 3 } else { code(row) % 3 };
            let columns = vec![("code", numbers(&code)), ("name", numbers(name))];
            found(columns).iter().any(|(_, column)| column == "name")
        };
        // Row 0 has another name than the rest of its code.
        assert!(with(0) && !with(1));
        // A column that hardly ever differs agrees by chance.
        let rare = numbers(|row| u64::from(row >= 4_998));
        assert_eq!(found(vec![("pairs", numbers(|row| row / 2)), ("rare", rare)]), []);
        // Where nine in ten determinants stand once, nobody can tell.
        let seldom = numbers(|row| if row < 4_700 { row } else { row - 4_700 });
        assert_eq!(found(vec![("seldom", seldom), ("last", numbers(|row| row % 4_700 % 5))]), []);
    }

    #[test]
    fn what_is_missing_tells_nothing() {
        let code = drawn(1, 12);
        let name = (0..5_000).map(|row| (row % 4 != 0).then(|| (code(row) % 3).cast_signed()));
        let found = found(vec![("code", numbers(&code)), ("name", Arc::new(Int64Array::from_iter(name)))]);
        assert_eq!(found, [(vec!["code".to_string()], "name".to_string())]);
    }
}
