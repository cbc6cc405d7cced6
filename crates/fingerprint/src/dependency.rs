//! Columns that others determine: a code its name, a station its place, two airports their distance.
//!
//! Rows that agree in the determinants agree in the column, all through the table. A mark that moves one of them cell by cell
//! breaks that in single rows, and whoever looks for it finds the marks and takes the value of the other rows instead. So what is
//! sought is what such a person would find: single columns and pairs that determine another without exception, in so many
//! repeated rows that it is no chance.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::propose::Finding;

/// The most columns of which pairs are looked at.
const COLUMNS_MAX: usize = 64;
/// The most rows that all pairs together are looked up in: some seconds.
const PAIR_ROWS_MAX: u64 = 100_000_000;
/// Rows, drawn evenly from all, after which it is asked the first time whether a pair repeats often enough to show anything; then
/// after twice as many and so on.
const PROBE_ROWS: usize = 20_000;
/// So many repeated rows have to be expected of what shows before it can be told by their lack that it won't.
const PROBE_REPEATED_MIN: f64 = 20.0;
/// A dependency shows in so many rows whose determinants stood in a row before, and in this share of all (one in so many).
const REPEATED_ROWS_MIN: u64 = 100;
const REPEATED_ROWS_SHARE: u64 = 10;
/// What it must tell in nats against the chance that rows agree in a column as any two rows do.
const EVIDENCE_NATS_MIN: f64 = 40.0;
/// The same of a sample, whose rows repeat more seldom than those of the whole: what shows there is held against all rows after.
const SAMPLED_ROWS_MIN: u64 = 20;
const SAMPLED_NATS_MIN: f64 = 12.0;

/// A column as numbers of its different values, from one on; zero where there is none.
pub(crate) struct Values<'a> {
    pub(crate) name: &'a str,
    pub(crate) ids: Vec<u32>,
    pub(crate) distinct: u32,
    present: u64,
    /// The probability that two rows agree.
    pub(crate) agreement: f64,
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

/// How often a determinant repeats, and how much it tells, where a dependency shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shown {
    repeated_min: u64,
    /// The least share of all rows that repeat.
    repeated_share: f64,
    nats_min: f64,
}

impl Shown {
    /// Of a whole table.
    pub(crate) const WHOLE: Shown = Shown {
        repeated_min: REPEATED_ROWS_MIN,
        repeated_share: 1.0 / REPEATED_ROWS_SHARE as f64,
        nats_min: EVIDENCE_NATS_MIN,
    };

    /// Of a sample that is this share of a table. Of two rows that agree both are in it as seldom as that says; and half of it is
    /// left to chance.
    pub(crate) fn in_sample(share: f64) -> Shown {
        if share >= 1.0 {
            return Shown::WHOLE;
        }
        Shown {
            repeated_min: SAMPLED_ROWS_MIN,
            repeated_share: Shown::WHOLE.repeated_share * share / 2.0,
            nats_min: SAMPLED_NATS_MIN,
        }
    }

    /// Whether a determinant repeats often enough, and tells enough of a column that is the same each time and in which two rows
    /// agree so often.
    pub(crate) fn by(&self, seen: Seen, agreement: f64) -> bool {
        let Seen { rows, repeated } = seen;
        let evidence = repeated as f64 * -agreement.ln();
        let repeated_least = (rows as f64 * self.repeated_share).floor();
        repeated >= self.repeated_min && repeated as f64 >= repeated_least && evidence >= self.nats_min
    }
}

/// How much was looked at of a column and what determines it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// Rows that have all of these columns.
    pub(crate) rows: u64,
    /// Those of them whose determinants stood in another of them before.
    pub(crate) repeated: u64,
}

/// What is seen of a determinant and a column in the rows that have both; none where rows that agree in one differ in the other.
fn seen(determinant: &Values<'_>, determined: &Values<'_>) -> Option<Seen> {
    let mut had = vec![0u32; determinant.distinct as usize + 1];
    let mut seen = Seen::default();
    for (by, value) in determinant.ids.iter().zip(&determined.ids) {
        if *by == 0 || *value == 0 {
            continue;
        }
        seen.rows += 1;
        let had = &mut had[*by as usize];
        if *had == 0 {
            *had = *value;
        } else if had == value {
            seen.repeated += 1;
        } else {
            return None;
        }
    }
    Some(seen)
}

/// How much work is done.
#[derive(Clone, Copy)]
struct Effort {
    /// The most rows that all pairs together are looked up in.
    pair_rows: u64,
    /// Rows before the first question whether a pair repeats.
    probe_rows: usize,
    /// What shows.
    shown: Shown,
}

/// Dependencies among the columns of a table, or a sample of it, those left out that `ties` say already; and how many pairs of
/// columns there was no time for.
pub(crate) fn dependencies(columns: &[Values<'_>], ties: &[Finding], shown: Shown) -> (Vec<Finding>, u64) {
    let effort = Effort { pair_rows: PAIR_ROWS_MAX, probe_rows: PROBE_ROWS, shown };
    dependencies_within(columns, ties, effort)
}

fn dependencies_within(columns: &[Values<'_>], ties: &[Finding], effort: Effort) -> (Vec<Finding>, u64) {
    let mut found = Vec::new();
    let is_tied = |names: &[&str]| ties.iter().any(|tie| tie.ties_all(names));
    let (count, rows) = (columns.len(), columns.first().map_or(0, |column| column.ids.len()));
    let mut holds = vec![vec![false; count]; count];
    for (i, by) in columns.iter().enumerate() {
        for (j, column) in columns.iter().enumerate() {
            // What stands in every row has a value for each of the column's.
            let has_too_few = by.present == rows as u64 && column.distinct > by.distinct;
            if i == j || !column.varies() || has_too_few {
                continue;
            }
            let Some(seen) = seen(by, column) else { continue };
            holds[i][j] = true;
            if effort.shown.by(seen, column.agreement) && !is_tied(&[by.name, column.name]) {
                found.push(dependency(&[by], column, seen));
            }
        }
    }
    let order = drawn_order(rows);
    let (mut rows_left, mut left_out) = (effort.pair_rows, 0);
    for i in 0..count {
        for j in i + 1..count {
            let pair = [&columns[i], &columns[j]];
            // What one of them tells alone the pair tells as well, and nothing more where one tells the other.
            if !pair.iter().all(|by| by.varies()) || holds[i][j] || holds[j][i] {
                continue;
            }
            if j >= COLUMNS_MAX {
                left_out += 1;
                continue;
            }
            let candidates: Vec<&Values<'_>> = (0..count)
                .filter(|k| *k != i && *k != j && !holds[i][*k] && !holds[j][*k] && columns[*k].varies())
                .filter(|k| !is_tied(&[pair[0].name, pair[1].name, columns[*k].name]))
                .map(|k| &columns[k])
                .collect();
            if candidates.is_empty() {
                continue;
            }
            let Some(told) = told_by_pair(pair, candidates, &order, effort, &mut rows_left) else {
                left_out += 1;
                continue;
            };
            let shown = told.into_iter().filter(|(column, seen)| effort.shown.by(*seen, column.agreement));
            found.extend(shown.map(|(column, seen)| dependency(&pair, column, seen)));
        }
    }
    (found, left_out)
}

/// All rows in an order that looks drawn, so that the first of them stand for all. The same each time.
fn drawn_order(rows: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    let mut state = 0u64;
    for last in (1..rows).rev() {
        // SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut drawn = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        order.swap(last, ((drawn ^ (drawn >> 31)) % (last as u64 + 1)) as usize);
    }
    order
}

/// A column that a pair may determine.
struct Candidate<'v, 'n> {
    column: &'v Values<'n>,
    repeated: u64,
    /// What it had under a determinant whose first row had nothing, by that row.
    late: HashMap<usize, u32>,
}

impl Candidate<'_, '_> {
    /// Takes in a row whose determinants stood first in another; false where the two differ.
    fn agrees(&mut self, first: usize, row: usize) -> bool {
        let (mut had, has) = (self.column.ids[first], self.column.ids[row]);
        if has == 0 {
            return true;
        }
        if had == 0 {
            had = match self.late.entry(first) {
                Entry::Vacant(none) => {
                    none.insert(has);
                    return true;
                }
                Entry::Occupied(late) => *late.get(),
            };
        }
        self.repeated += 1;
        had == has
    }
}

/// Which of some columns a pair determines, and what was seen of each; none where no rows were left to look up in. What repeats too
/// seldom to show is given up early.
fn told_by_pair<'v, 'n>(
    pair: [&Values<'_>; 2],
    candidates: Vec<&'v Values<'n>>,
    order: &[usize],
    effort: Effort,
    rows_left: &mut u64,
) -> Option<Vec<(&'v Values<'n>, Seen)>> {
    let mut candidates: Vec<Candidate<'v, 'n>> =
        candidates.into_iter().map(|column| Candidate { column, repeated: 0, late: HashMap::new() }).collect();
    // Rows that have all three, of the first so many; `both` of these have the pair.
    let rows_of = |column: &Values<'_>, both: u64, looked_at: &[usize]| {
        if column.present == order.len() as u64 {
            return both;
        }
        let has_all = |row: &&usize| [pair[0], pair[1], column].iter().all(|column| column.ids[**row] != 0);
        looked_at.iter().filter(has_all).count() as u64
    };
    let mut both = 0;
    let mut first: HashMap<u64, usize> = HashMap::new();
    let mut probe = effort.probe_rows.max(1);
    for (at, row) in order.iter().copied().enumerate() {
        if at == probe {
            probe *= 2;
            candidates.retain(|candidate| {
                let seen = Seen { rows: rows_of(candidate.column, both, &order[..at]), repeated: candidate.repeated };
                may_show(seen, at, order.len(), effort.shown)
            });
        }
        if candidates.is_empty() {
            break;
        }
        *rows_left = rows_left.checked_sub(1)?;
        let (one, other) = (pair[0].ids[row], pair[1].ids[row]);
        if one == 0 || other == 0 {
            continue;
        }
        both += 1;
        let before = *first.entry(u64::from(one) << 32 | u64::from(other)).or_insert(row);
        if before != row {
            candidates.retain_mut(|candidate| candidate.agrees(before, row));
        }
    }
    let told = candidates.into_iter().map(|Candidate { column, repeated, .. }| {
        let rows = rows_of(column, both, order);
        (column, Seen { rows, repeated })
    });
    Some(told.collect())
}

/// Whether what was seen in the first `looked_at` of `all` rows leaves it open that it shows in all. The share of rows that repeat
/// grows with their number at most in proportion.
fn may_show(seen: Seen, looked_at: usize, all: usize, shown: Shown) -> bool {
    let expected = seen.rows as f64 * shown.repeated_share * looked_at as f64 / all as f64;
    expected < PROBE_REPEATED_MIN || 2.0 * seen.repeated as f64 >= expected
}

fn dependency(by: &[&Values<'_>], column: &Values<'_>, seen: Seen) -> Finding {
    Finding::Dependency {
        by: by.iter().map(|by| by.name.to_string()).collect(),
        column: column.name.to_string(),
        repeated: seen.repeated,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn found(columns: Vec<(&str, ArrayRef)>) -> Vec<(Vec<String>, String)> {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
        let found = dependencies(&values(&batch), &[], Shown::WHOLE).0.into_iter();
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

    /// What holds by definition: rows that agree in the determinants agree in the column.
    fn holds(by: &[&Values<'_>], column: &Values<'_>) -> Option<Seen> {
        let has = |row: &usize| by.iter().all(|by| by.ids[*row] != 0) && column.ids[*row] != 0;
        let rows: Vec<usize> = (0..column.ids.len()).filter(has).collect();
        let mut repeated = 0;
        for (at, row) in rows.iter().enumerate() {
            let mut alike = rows[..at].iter().filter(|other| by.iter().all(|by| by.ids[**other] == by.ids[*row]));
            let Some(one) = alike.next() else { continue };
            if std::iter::once(one).chain(alike).any(|other| column.ids[*other] != column.ids[*row]) {
                return None;
            }
            repeated += 1;
        }
        Some(Seen { rows: rows.len() as u64, repeated })
    }

    fn by_definition(columns: &[Values<'_>]) -> Vec<(Vec<String>, String, u64)> {
        let mut found = Vec::new();
        let mut add = |by: &[&Values<'_>], column: &Values<'_>| {
            let is_shown = |seen: &Seen| {
                let texts = column.ids.iter().filter(|id| **id != 0);
                let mut counts = HashMap::new();
                texts.for_each(|id| *counts.entry(*id).or_insert(0.0) += 1.0);
                let all: f64 = counts.values().sum();
                let agreement: f64 = counts.values().map(|count| count / all * (count / all)).sum();
                counts.len() > 1
                    && seen.repeated >= 100
                    && seen.repeated >= seen.rows / 10
                    && seen.repeated as f64 * (1.0 / agreement).ln() >= 40.0
            };
            if let Some(seen) = holds(by, column).filter(is_shown) {
                let by = by.iter().map(|by| by.name.to_string()).collect();
                found.push((by, column.name.to_string(), seen.repeated));
            }
        };
        let varies = |column: &Values<'_>| column.ids.iter().filter(|id| **id != 0).max() > Some(&1);
        for (i, by) in columns.iter().enumerate() {
            for (j, column) in columns.iter().enumerate().filter(|(j, _)| *j != i) {
                add(&[by], column);
                let is_pair = j > i && varies(by) && varies(column);
                if !is_pair || holds(&[by], column).is_some() || holds(&[column], by).is_some() {
                    continue;
                }
                for (_, third) in columns.iter().enumerate().filter(|(k, _)| *k != i && *k != j) {
                    if holds(&[by], third).is_none() && holds(&[column], third).is_none() {
                        add(&[by, column], third);
                    }
                }
            }
        }
        found.sort();
        found
    }

    fn told(findings: Vec<Finding>) -> Vec<(Vec<String>, String, u64)> {
        let mut told: Vec<_> = findings
            .into_iter()
            .map(|finding| match finding {
                Finding::Dependency { by, column, repeated } => (by, column, repeated),
                other => panic!("{other:?}"),
            })
            .collect();
        told.sort();
        told
    }

    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

    /// A table of two drawn columns, what these tell, with some exceptions, and what is missing.
    fn tables() -> impl Strategy<Value = Vec<Vec<Option<i64>>>> {
        let row = prop::collection::vec(0..u8::MAX, 9);
        let shape = (1..12i64, 1..12i64, 2..5i64, 0..3usize, prop::bool::ANY);
        (prop::collection::vec(row, 100..260), shape).prop_map(
            |(rows, (one, other, values, exceptions, has_missing))| {
                let told = |number: i64| number.wrapping_mul(0x9E37_79B9) >> 7 & 0xFFFF;
                let row = |(at, drawn): (usize, &Vec<u8>)| {
                    let number = |column: usize| i64::from(drawn[column]);
                    let (a, b) = (number(0) % one, number(1) % other);
                    let mut cells = [a, b, told(a) % values, told(a * 100 + b) % values, number(2) % values];
                    if at < exceptions {
                        cells[2] = number(3) % values;
                        cells[3] = number(3) % values;
                    }
                    let is_missing = |column: usize| has_missing && drawn[4 + column] < 50;
                    (0..5).map(|column| (!is_missing(column)).then_some(cells[column])).collect::<Vec<_>>()
                };
                let rows: Vec<Vec<Option<i64>>> = rows.iter().enumerate().map(row).collect();
                (0..5).map(|column| rows.iter().map(|row| row[column]).collect()).collect()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn what_is_found_is_what_holds_by_definition(table in tables()) {
            let arrays: Vec<Int64Array> = table.into_iter().map(Int64Array::from_iter).collect();
            let columns: Vec<Values<'_>> =
                NAMES.iter().zip(&arrays).map(|(name, array)| Values::of(name, array).unwrap()).collect();
            let (found, left_out) = dependencies(&columns, &[], Shown::WHOLE);
            prop_assert_eq!(left_out, 0);
            prop_assert_eq!(told(found), by_definition(&columns));
        }

        /// With less time fewer pairs are looked at, none of them in part, and all others are counted.
        #[test]
        fn a_pair_is_looked_at_whole_or_counted(table in tables(), pair_rows in 0..1_500u64) {
            let arrays: Vec<Int64Array> = table.into_iter().map(Int64Array::from_iter).collect();
            let columns: Vec<Values<'_>> =
                NAMES.iter().zip(&arrays).map(|(name, array)| Values::of(name, array).unwrap()).collect();
            let all = by_definition(&columns);
            let effort = Effort { pair_rows, probe_rows: PROBE_ROWS, shown: Shown::WHOLE };
            let (found, left_out) = dependencies_within(&columns, &[], effort);
            let found = told(found);
            prop_assert!(found.iter().all(|found| all.contains(found)));
            let missing: BTreeSet<&Vec<String>> =
                all.iter().filter(|held| !found.contains(held)).map(|(by, ..)| by).collect();
            prop_assert!(missing.iter().all(|by| by.len() == 2));
            prop_assert!(missing.len() as u64 <= left_out, "{missing:?} and {left_out} counted");
        }
    }

    /// Of two codes the first row has no name; that later ones differ has to be seen all the same, and so has what agrees.
    #[test]
    fn a_first_row_without_a_value_hides_no_exception() {
        let (one, other) = (drawn(1, 6), drawn(2, 5));
        let pair_tells = |exceptions: &[u64]| {
            let name = (0..5_000).map(|row| {
                let pair = one(row) * 10 + other(row);
                let is_first = (0..row).all(|before| one(before) * 10 + other(before) != pair);
                let name = if exceptions.contains(&row) { 9_999 } else { drawn(3, 4)(pair) };
                (!is_first).then_some(name.cast_signed())
            });
            let columns = vec![
                ("one", numbers(&one)),
                ("other", numbers(&other)),
                ("name", Arc::new(Int64Array::from_iter(name)) as ArrayRef),
            ];
            found(columns).iter().any(|(by, column)| by.len() == 2 && column == "name")
        };
        assert!(pair_tells(&[]));
        for exception in [1_000, 2_345, 4_999] {
            assert!(!pair_tells(&[exception]), "{exception}");
        }
    }

    /// A pair that was begun when the time ran out is one of those left out.
    #[test]
    fn a_pair_that_was_begun_is_counted() {
        let (one, other) = (numbers(drawn(1, 6)), numbers(drawn(2, 5)));
        let third = numbers(|row| drawn(3, 4)(drawn(1, 6)(row) * 10 + drawn(2, 5)(row)));
        let columns: Vec<Values<'_>> = ["one", "other", "third"]
            .iter()
            .zip([&one, &other, &third])
            .map(|(name, array)| Values::of(name, array).unwrap())
            .collect();
        let with = |pair_rows| {
            let (found, left_out) =
                dependencies_within(&columns, &[], Effort { pair_rows, probe_rows: PROBE_ROWS, shown: Shown::WHOLE });
            (found.len(), left_out)
        };
        assert_eq!(with(0), (0, 3));
        // The first pair is looked at to its last row; the next two may end at their first exception.
        assert_eq!(with(4_999), (0, 3));
        assert_eq!(with(5_000), (1, 2));
        assert_eq!(with(20_000), (1, 0));
    }

    /// What repeats too seldom is given up early, what repeats often enough is not, however the table is sorted.
    #[test]
    fn pairs_that_hardly_repeat_are_given_up_wherever_their_repetitions_stand() {
        let rows = 5_000;
        // Sorted so that no pair repeats in the first three quarters.
        let place = |row: u64| if row < 3_750 { row } else { row % 50 };
        let (one, other) = (move |row| place(row) % 71, move |row| place(row) / 71);
        let told = move |row| drawn(5, 40)(place(row));
        let arrays = [numbers(one), numbers(other), numbers(told)];
        let columns: Vec<Values<'_>> = ["one", "other", "told"]
            .iter()
            .zip(&arrays)
            .map(|(name, array)| Values::of(name, array).unwrap())
            .collect();
        for probe_rows in [250, 1_000, rows] {
            let effort = Effort { pair_rows: PAIR_ROWS_MAX, probe_rows, shown: Shown::WHOLE };
            let found = told_of(dependencies_within(&columns, &[], effort));
            assert!(
                found.contains(&(vec!["one".to_string(), "other".to_string()], "told".to_string())),
                "{probe_rows}"
            );
        }
        let never = Seen { rows: 1_000, repeated: 9 };
        let may = |seen, looked_at, all| may_show(seen, looked_at, all, Shown::WHOLE);
        assert!(!may(never, 1_000, 2_000) && may(never, 1_000, 10_000));
        assert!(may(Seen { rows: 100, repeated: 0 }, 1_000, 2_000), "too few to tell");
        // In a hundredth of a table it need not repeat so often.
        assert!(may_show(never, 1_000, 2_000, Shown::in_sample(0.01)));
    }

    fn told_of((findings, left_out): (Vec<Finding>, u64)) -> Vec<(Vec<String>, String)> {
        assert_eq!(left_out, 0);
        told(findings).into_iter().map(|(by, column, _)| (by, column)).collect()
    }
}
