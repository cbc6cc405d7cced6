//! What marks of categories do to the share of the rows that each text has.

use std::collections::HashMap;

use arrow::array::RecordBatch;

use super::{ALIKE_MAX, hung_on, too_many};
use crate::bounds::{Lumps, largest_rate};
use crate::error::FingerprintError;
use crate::laid::Laid;
use crate::marking::{Mark, rate_to_share};

/// What one mark of a category does to its column.
#[derive(Debug, Clone, PartialEq)]
pub struct SwapEffect {
    /// The mark's name.
    pub mark: String,
    /// The column.
    pub column: String,
    /// Cells that can bear the mark.
    pub cells: u64,
    /// By how much the share of all rows that a text has is off at the mark's rate, in all but one of ten thousand copies: of that
    /// text of which it is off most.
    pub share_change: f64,
    /// The largest rate, as a share, that keeps the bound that was asked for.
    pub rate_within: f64,
}

/// A mark of a category, over the rows that were read.
pub(super) struct Swapped<'m> {
    mark: &'m Mark,
    column: &'m str,
    sets: &'m [Vec<String>],
    rows: u64,
    cells: u64,
    /// Rows of each text, by its version.
    texts: HashMap<u128, u64>,
    /// Rows that one bit moves, by what they hang on and the text's version; of a mark that hangs on the row none.
    alike: HashMap<(u64, u128), u64>,
}

/// Rows that have one text.
#[derive(Clone, Copy, Default)]
struct Text {
    rows: f64,
    /// The sum of the squares of how many rows each bit moves, and the most that one does.
    squares: f64,
    most: f64,
}

/// What swaps do to the number of rows with one text: where they lead on average, at a rate of one, and how far off that.
#[derive(Clone, Copy)]
struct Change {
    drift: f64,
    lumps: Lumps,
}

impl Change {
    /// Rows that a text has more or fewer at a rate, in all but one of ten thousand copies.
    fn at(&self, rate: f64) -> f64 {
        self.drift * rate + self.lumps.shift(rate)
    }
}

impl<'m> Swapped<'m> {
    pub(super) fn of(mark: &'m Mark, column: &'m str, sets: &'m [Vec<String>]) -> Self {
        Self { mark, column, sets, rows: 0, cells: 0, texts: HashMap::new(), alike: HashMap::new() }
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), FingerprintError> {
        let laid = Laid::over(self.mark, batch)?;
        let hung_on = hung_on(self.mark, batch)?;
        self.rows += batch.num_rows() as u64;
        for row in 0..batch.num_rows() {
            let Some(version) = laid.version(row) else { continue };
            self.cells += 1;
            *self.texts.entry(version).or_default() += 1;
            if let Some(hung_on) = &hung_on {
                *self.alike.entry((hung_on[row], version)).or_default() += 1;
            }
        }
        if self.alike.len() > ALIKE_MAX { Err(too_many(self.mark)) } else { Ok(()) }
    }

    pub(super) fn finish(self, share_change: f64) -> SwapEffect {
        let changes = self.changes();
        let rows = (self.rows as f64).max(1.0);
        let at = |rate: f64| changes.iter().map(|change| change.at(rate) / rows).fold(0.0, f64::max);
        let rate_within = if self.cells == 0 { 0.0 } else { largest_rate(|rate| at(rate) <= share_change) };
        SwapEffect {
            mark: self.mark.name.clone(),
            column: self.column.to_owned(),
            cells: self.cells,
            share_change: at(rate_to_share(self.mark.rate)),
            rate_within,
        }
    }

    /// Of each text that a set has.
    fn changes(&self) -> Vec<Change> {
        let texts = self.by_text();
        let mut changes = Vec::new();
        for (set, members) in self.sets.iter().enumerate() {
            let of = |member: usize| texts.get(&((set as u128) << 32 | member as u128)).copied().unwrap_or_default();
            let all: Vec<Text> = (0..members.len()).map(of).collect();
            let sum = |of: &dyn Fn(&Text) -> f64| all.iter().map(of).sum::<f64>();
            let (rows, squares) = (sum(&|text| text.rows), sum(&|text| text.squares));
            if rows == 0.0 {
                continue;
            }
            let most = all.iter().map(|text| text.most).fold(0.0, f64::max);
            // A bit leaves its rows as they are or gives them one of the other texts, as likely the one as the other.
            let others = (members.len() as f64 - 1.0).max(1.0);
            changes.extend(all.iter().map(|text| Change {
                drift: ((rows - text.rows) / others - text.rows).abs() / 2.0,
                lumps: Lumps { squares: (text.squares + (squares - text.squares) / others) / 2.0, most },
            }));
        }
        changes
    }

    fn by_text(&self) -> HashMap<u128, Text> {
        let mut texts: HashMap<u128, Text> = HashMap::new();
        if self.mark.by.is_empty() {
            let of = |rows: u64| Text { rows: rows as f64, squares: rows as f64, most: 1.0 };
            return self.texts.iter().map(|(version, rows)| (*version, of(*rows))).collect();
        }
        for ((_, version), rows) in &self.alike {
            let (text, rows) = (texts.entry(*version).or_default(), *rows as f64);
            text.rows += rows;
            text.squares += rows * rows;
            text.most = text.most.max(rows);
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::bounds::MomentBounds;
    use crate::code::BiasTable;
    use crate::effect::Effects;
    use crate::embed::Marker;
    use crate::keys::{MarkKey, Profile};
    use crate::laid::texts;
    use crate::marking::{Carrier, Marking, RATE_ONE, share_to_rate};
    use crate::prf::{PositionSecrets, RecipientCode};

    const ROWS: i64 = 20_000;

    fn marking(rate: u32, by: &[&str]) -> Marking {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let carrier = Carrier::Category {
            column: "kind".to_owned(),
            sets: vec![set(&["路", "道"]), set(&["甲", "乙", "丙"]), set(&["没有", "无"])],
        };
        let by = by.iter().map(|name| (*name).to_owned()).collect();
        let mark = Mark { name: "kind".to_owned(), rate, by, carrier };
        let biases = BiasTable::default();
        Marking { key: vec!["id".to_owned()], marks: vec![mark], order_share: 0, biases, presence: None }
    }

    /// A quarter each of 路 and 道, a sixth each of the three, and a few by themselves.
    fn table() -> RecordBatch {
        let kind = |row: i64| match row % 24 {
            0..6 => "路",
            6..12 => "道",
            12..16 => "甲",
            16..20 => "乙",
            20..23 => "丙",
            _ => "别的",
        };
        let kinds = StringArray::from_iter_values((0..ROWS).map(kind));
        RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from_iter_values(0..ROWS)) as ArrayRef),
            ("block", Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row / 240)))),
            ("kind", Arc::new(kinds)),
        ])
        .unwrap()
    }

    fn effect(marking: &Marking, batch: &RecordBatch, bound: f64) -> SwapEffect {
        let mut effects = Effects::of(marking).unwrap();
        effects.add(batch).unwrap();
        effects.finish(MomentBounds::default(), bound).1.remove(0)
    }

    /// How many rows have each text.
    fn counts(batch: &RecordBatch) -> HashMap<String, f64> {
        let kinds = texts("kind", batch.column_by_name("kind").unwrap()).unwrap();
        let mut counts = HashMap::new();
        for text in kinds.into_iter().flatten() {
            *counts.entry(text.to_owned()).or_insert(0.0) += 1.0;
        }
        counts
    }

    #[test]
    fn copies_keep_the_shares_that_are_stated() {
        let batch = table();
        for by in [&[][..], &["block"]] {
            let marking = marking(RATE_ONE / 2, by);
            let stated = effect(&marking, &batch, 0.02);
            let originals = counts(&batch);
            let mut farthest = 0.0_f64;
            for copy in 0..60u8 {
                let key = |byte: u8| MarkKey::from_bytes(Profile::Aes, [byte; 32]);
                let (secrets, code) = (PositionSecrets::new(&key(200)), || RecipientCode::new(&key(copy)));
                let marker = Marker::new(&marking, &secrets, code(), code()).unwrap();
                let marked = counts(&marker.mark(&batch).unwrap());
                for (text, had) in &originals {
                    farthest = farthest.max((marked.get(text).copied().unwrap_or(0.0) - had).abs() / ROWS as f64);
                }
            }
            assert!(farthest <= stated.share_change, "{farthest} {stated:?}");
            // It is a bound that copies come near to, and not just any large number.
            assert!(farthest > stated.share_change / 12.0, "{farthest} {stated:?}");
        }
    }

    #[test]
    fn a_rate_that_fits_just_keeps_the_bound() {
        let batch = table();
        for (by, bound) in [(&[][..], 0.004), (&["block"], 0.02)] {
            let fits = effect(&marking(RATE_ONE, by), &batch, bound).rate_within;
            assert!(fits > 0.0 && fits < 1.0, "{fits}");
            let at = |share: f64| effect(&marking(share_to_rate(share), by), &batch, bound).share_change;
            assert!(at(fits) <= bound * (1.0 + 1e-6) && at(fits * 1.01) > bound, "{fits}: {}", at(fits));
        }
        // Bits that move whole blocks bear fewer marks, and a bound below what one of them moves none.
        let within = |by: &[&str], bound| effect(&marking(RATE_ONE, by), &batch, bound).rate_within;
        assert!(within(&["block"], 0.02) < within(&[], 0.02));
        assert_eq!(within(&["block"], 0.001), 0.0);
        // What stands in no set is no cell, and nothing of nothing can be marked.
        let of = |batch: &RecordBatch| {
            let SwapEffect { cells, rate_within, .. } = effect(&marking(RATE_ONE, &[]), batch, 1.0);
            (cells, rate_within)
        };
        assert_eq!(of(&batch), ((0..ROWS).filter(|row| row % 24 != 23).count() as u64, 1.0));
        assert_eq!(of(&batch.slice(23, 1)), (0, 0.0));
    }

    /// A text that stands seldom beside a frequent one drifts towards it, whatever is drawn.
    #[test]
    fn uneven_texts_drift() {
        let kinds = (0..ROWS).map(|row| if row % 100 == 0 { "道" } else { "路" });
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from_iter_values(0..ROWS)) as ArrayRef),
            ("kind", Arc::new(StringArray::from_iter_values(kinds))),
        ])
        .unwrap();
        // Of 99 in a hundred rows half of a tenth go over, and nearly none come back.
        let found = effect(&marking(share_to_rate(0.1), &[]), &batch, 0.01);
        assert!((0.049..0.06).contains(&found.share_change), "{found:?}");
        assert!((0.01..0.02).contains(&effect(&marking(RATE_ONE, &[]), &batch, 0.01).rate_within), "{found:?}");
    }
}
