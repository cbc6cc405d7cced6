//! Which rows left the governed tables: what a receipt names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use roaring::{RoaringBitmap, RoaringTreemap};
use serde::{Deserialize, Serialize};

/// Row numbers that stand in runs shorter than this, on average, are put into the set bit by bit.
const RUN_MIN: usize = 64;
/// Most bits that this may take for each row number.
const SPREAD_MAX: u64 = 64;

/// How the rows named for an answer relate to the rows the answer was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowsExactness {
    /// Exactly the rows of the answer: a query of filter, projection, sort and limit over one table.
    Exact,
    /// Every row that left a governed table into the plan. A row may be named that did not bear on the answer, never
    /// the reverse.
    Superset,
}

/// The numbers of the rows that left the governed tables of one query, by table name. Clones share one record.
#[derive(Clone, Debug, Default)]
pub struct RowsLeft {
    state: Arc<Mutex<RowsLeftState>>,
}

#[derive(Debug, Default)]
struct RowsLeftState {
    total: BTreeMap<String, RoaringTreemap>,
    untold: BTreeMap<String, RoaringTreemap>,
}

impl RowsLeft {
    /// Records rows of a table. Called before the batch that holds them is passed on.
    pub fn record(&self, table: &str, rows: &RoaringTreemap) {
        if rows.is_empty() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let RowsLeftState { total, untold } = &mut *state;
        let known = total.entry(table.to_owned()).or_default();
        let fresh = rows - &*known;
        *known |= &fresh;
        *untold.entry(table.to_owned()).or_default() |= fresh;
    }

    /// The rows recorded since the last call, each row once.
    pub fn take_untold(&self) -> BTreeMap<String, RoaringTreemap> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.untold)
    }

    /// All rows recorded so far.
    pub fn total(&self) -> BTreeMap<String, RoaringTreemap> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).total.clone()
    }
}

/// A set of row numbers. Scans mostly yield them in long runs, which are inserted as ranges; where many rows are left out,
/// the numbers are bits of a short piece, which costs a tenth of as many short ranges.
pub(crate) fn row_numbers(values: &[i64]) -> RoaringTreemap {
    let breaks = values.windows(2).filter(|pair| pair[1] != pair[0].wrapping_add(1)).count();
    if breaks > values.len() / RUN_MIN
        && let Some(rows) = piece(values)
    {
        return rows;
    }
    let mut rows = RoaringTreemap::new();
    let mut start = 0;
    while start < values.len() {
        let mut end = start;
        while end + 1 < values.len() && values[end + 1] == values[end] + 1 {
            end += 1;
        }
        rows.insert_range(number(values[start])..=number(values[end]));
        start = end + 1;
    }
    rows
}

/// The numbers as bits of one piece; none where they lie too far apart for that.
fn piece(values: &[i64]) -> Option<RoaringTreemap> {
    let (least, most) = (number(*values.iter().min()?), number(*values.iter().max()?));
    let first = least - least % u64::from(u8::BITS);
    let (high, highest) = (u32::try_from(first >> 32).ok()?, u32::try_from(most >> 32).ok()?);
    if high != highest || most - first >= SPREAD_MAX * values.len() as u64 {
        return None;
    }
    let mut bytes = vec![0_u8; usize::try_from((most - first) / u64::from(u8::BITS)).ok()? + 1];
    for value in values {
        let bit = number(*value) - first;
        let place = usize::try_from(bit / u64::from(u8::BITS)).ok()?;
        bytes[place] |= 1 << (bit % u64::from(u8::BITS));
    }
    let low = u32::try_from(first & u64::from(u32::MAX)).ok()?;
    Some(RoaringTreemap::from_bitmaps([(high, RoaringBitmap::from_lsb0_bytes(low, &bytes))]))
}

fn number(value: i64) -> u64 {
    u64::try_from(value).expect("row numbers are counted from 0")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers with holes, close together or far apart, within one half of the numbers or across both.
    fn numbers() -> impl Strategy<Value = Vec<i64>> {
        let begin = prop_oneof![0_i64..70_000, (1_i64 << 32) - 5_000..(1_i64 << 32) + 5_000];
        let steps = proptest::collection::vec(prop_oneof![9 => 1_i64..2, 3 => 1_i64..5, 1 => 1_i64..100_000], 0..3_000);
        (begin, steps, any::<bool>()).prop_map(|(begin, steps, is_turned)| {
            let mut values = vec![begin];
            for step in steps {
                values.push(values[values.len() - 1] + step);
            }
            if is_turned {
                values.reverse();
            }
            values
        })
    }

    proptest! {
        #[test]
        fn a_set_holds_the_numbers_that_were_given_and_no_other(values in numbers()) {
            let plain: RoaringTreemap = values.iter().map(|value| number(*value)).collect();
            prop_assert_eq!(row_numbers(&values), plain.clone());
            // Where both ways can be gone they come to the same.
            if let Some(piece) = piece(&values) {
                prop_assert_eq!(piece, plain);
            }
        }
    }

    #[test]
    fn of_no_rows_the_set_is_empty() {
        assert!(row_numbers(&[]).is_empty());
        assert_eq!(row_numbers(&[7, 7]).len(), 1);
    }
}
