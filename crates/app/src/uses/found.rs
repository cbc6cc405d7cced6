//! What was found of a person: the newest deliveries with rows of his, a bounded number of them.

use std::collections::BTreeMap;

use roaring::RoaringTreemap;

use super::entries::Entry;
use super::index::Wanted;
use super::places::Place;

/// Records of one delivery that are looked at. A delivery of more records with rows of the person says so.
pub(super) const RECORDS_OF_DELIVERY_MAX: usize = 32;

/// A delivery, by the position of the record that it began with.
#[derive(Debug, Default)]
pub(super) struct Hit {
    /// The table that the rows are of.
    pub(super) table: String,
    /// The person's rows in it.
    pub(super) rows: RoaringTreemap,
    /// Positions of records that name them, the first so many.
    pub(super) positions: Vec<u64>,
    /// Whether there are more.
    pub(super) is_cut: bool,
}

/// The newest deliveries that began before a position.
#[derive(Debug)]
pub(super) struct Found {
    before: u64,
    limit: usize,
    hits: BTreeMap<u64, Hit>,
}

impl Found {
    /// Nothing yet, of deliveries that began before a position, at most so many.
    pub(super) fn new(before: u64, limit: usize) -> Found {
        Found { before, limit, hits: BTreeMap::new() }
    }

    /// Takes what a stretch says of a place.
    pub(super) fn take(&mut self, wanted: &Wanted<'_>, place: Place, entry: &Entry) {
        if entry.opening >= self.before {
            return;
        }
        let is_full = self.hits.len() >= self.limit;
        if is_full && self.hits.first_key_value().is_some_and(|(least, _)| entry.opening < *least) {
            return;
        }
        let (first, last) = place.bounds();
        let mut rows = wanted.rows.iter();
        rows.advance_to(first);
        let mut own = rows.take_while(|row| *row <= last).filter(|row| entry.share.holds(*row)).peekable();
        if own.peek().is_none() {
            return;
        }
        let hit = self.hits.entry(entry.opening).or_default();
        if hit.table.is_empty() {
            wanted.table.clone_into(&mut hit.table);
        }
        hit.rows.extend(own);
        if !hit.positions.contains(&entry.position) {
            if hit.positions.len() < RECORDS_OF_DELIVERY_MAX {
                hit.positions.push(entry.position);
            } else {
                hit.is_cut = true;
            }
        }
        if self.hits.len() > self.limit {
            self.hits.pop_first();
        }
    }

    /// Whether the page may end with the stretch that begins at a position. Not with one at which the page begins: of that is left
    /// what began before it, and the next page would begin at the same place.
    pub(super) fn may_stop_at(&self, first: u64) -> bool {
        first > 1 && first < self.before
    }

    /// Whether there are as many as asked for that began at a position or after it.
    pub(super) fn is_enough_from(&self, position: u64) -> bool {
        self.hits.range(position..).count() >= self.limit
    }

    /// What was found, newest first, with the position that the next page begins before, where there may be one.
    pub(super) fn finish(mut self, stopped_at: Option<u64>) -> (Vec<(u64, Hit)>, Option<u64>) {
        if let Some(position) = stopped_at {
            // What began before it may have more records in stretches that were not asked.
            self.hits = self.hits.split_off(&position);
        }
        let is_full = self.hits.len() >= self.limit;
        let next = match self.hits.first_key_value() {
            Some((least, _)) if is_full => Some(*least),
            _ => stopped_at,
        };
        (self.hits.into_iter().rev().collect(), next.filter(|next| *next > 1))
    }
}
