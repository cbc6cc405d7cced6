//! The end of the receipt log that no segment holds yet, indexed in memory.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use roaring::RoaringTreemap;

use super::LIVE_TABLES;
use super::entries::{self, Block, Entry};
use super::places::{self, Place};
use super::segment::{Head, Segment, SegmentWriter, append};
use crate::error::AppError;

/// The records behind a position, by the rows they name.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Position of the last record that was taken.
    pub(super) last: u64,
    /// Position of the first.
    pub(super) first: u64,
    /// The least position at which a delivery in it began.
    pub(super) least_opening: u64,
    /// Records with rows of which is not known what table they are of.
    pub(super) untold: u64,
    /// Digest of the last record that was taken, where a page of the log ended.
    pub(super) last_digest: String,
    /// Bytes that it takes in memory, about.
    pub(super) bytes: usize,
    tables: Vec<String>,
    by_name: HashMap<String, u32>,
    places: HashMap<(u32, Place), Vec<Block>>,
}

/// What a place takes in memory beside its bytes, about.
const PLACE_BYTES: usize = 160;

impl Tail {
    /// The tail behind a position.
    pub(super) fn after(position: u64) -> Tail {
        Tail { last: position, first: position + 1, least_opening: position + 1, ..Tail::default() }
    }

    /// How many records were taken.
    pub(super) fn len(&self) -> u64 {
        self.last + 1 - self.first
    }

    /// Takes the next record.
    pub(super) fn take(&mut self, record: &Taken) {
        self.last = record.position;
        let Some(named) = &record.named else { return };
        let Some(table) = &named.table else {
            self.untold += 1;
            return;
        };
        self.least_opening = self.least_opening.min(named.opening);
        let number = match self.by_name.get(table) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.tables.len()).unwrap_or(u32::MAX);
                self.tables.push(table.clone());
                self.by_name.insert(table.clone(), number);
                number
            }
        };
        let (position, opening) = (record.position, named.opening);
        places::visit_places(&named.rows, table.starts_with(LIVE_TABLES), &mut |place, share| {
            let blocks = self.places.entry((number, place)).or_default();
            let before = blocks.last().map_or(0, |block| block.bytes.len());
            let count = blocks.len();
            append(blocks, &Entry { position, opening, share });
            let after = blocks.last().map_or(0, |block| block.bytes.len());
            self.bytes += if blocks.len() > count { PLACE_BYTES + after } else { after - before };
        });
    }

    /// The number of a table; none when nothing is said of it.
    pub(super) fn table(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The tables.
    pub(super) fn tables(&self) -> &[String] {
        &self.tables
    }

    /// Tells the records that name rows of a place, in the order of positions.
    pub(super) fn visit(&self, table: u32, place: Place, look: &mut dyn FnMut(Entry)) -> Result<(), AppError> {
        for block in self.places.get(&(table, place)).into_iter().flatten() {
            entries::visit(block.first, &block.bytes, look)
                .ok_or_else(|| AppError::Fault("the index of uses in memory can't be read".to_owned()))?;
        }
        Ok(())
    }

    /// Writes it as a segment.
    pub(super) fn write(&self, folder: &Path) -> Result<Segment, AppError> {
        let mut tables = self.tables.clone();
        tables.sort_unstable();
        let renumbered: BTreeMap<&str, u32> = tables.iter().map(String::as_str).zip(0..).collect();
        let head = Head {
            first: self.first,
            last: self.last,
            least_opening: self.least_opening,
            level: 0,
            untold: self.untold,
            last_digest: self.last_digest.clone(),
            tables: tables.clone(),
        };
        let mut sorted: Vec<(u32, Place, &Vec<Block>)> = Vec::with_capacity(self.places.len());
        for ((table, place), blocks) in &self.places {
            let number = self.tables.get(*table as usize).and_then(|name| renumbered.get(name.as_str()));
            let number =
                number.ok_or_else(|| AppError::Fault("a table of the index of uses has no name".to_owned()))?;
            sorted.push((*number, *place, blocks));
        }
        sorted.sort_unstable_by_key(|(table, place, _)| (*table, *place));
        let mut writer = SegmentWriter::create(folder, head)?;
        for (table, place, blocks) in sorted {
            for block in blocks {
                writer.block(table, place, block)?;
            }
        }
        writer.finish()
    }
}

/// A record, as far as the index is concerned.
#[derive(Debug)]
pub(super) struct Taken {
    /// Its position.
    pub(super) position: u64,
    /// The rows that it names; none when it names none.
    pub(super) named: Option<Named>,
}

/// Rows that a record names.
#[derive(Debug)]
pub(super) struct Named {
    /// The position of the record that the delivery began with.
    pub(super) opening: u64,
    /// The table that they are of; none where that is not known.
    pub(super) table: Option<String>,
    /// The rows.
    pub(super) rows: RoaringTreemap,
}
