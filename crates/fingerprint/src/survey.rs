//! All rows of a table, looked at for what its marks would do: read batch by batch and never held, but for a sample.
//!
//! A first reading takes a sample of even parts ([`Survey`]); what is found in it ([`Sampled::find`]) might hold. What every row
//! can refute is then held against every row in a second reading ([`Holding`]). What is an estimate by nature stays the sample's:
//! what the other columns leave open of a value, and how well they tell texts apart.

use std::collections::BTreeSet;

use arrow::array::{Array as _, RecordBatch};

use crate::effect::Effects;
use crate::error::FingerprintError;
use crate::holding::Holding;
use crate::marking::Marking;
use crate::propose::{Finding, propose_from_sample};
use crate::sample::Sample;
use crate::told_apart::{ToldApart, told_apart};

/// A first reading of a table.
pub struct Survey<'m> {
    effects: Option<Effects<'m>>,
    sample: Sample,
    names: Vec<String>,
    /// Columns that have no value in some row.
    partly: BTreeSet<String>,
}

/// What a first reading saw.
pub struct Surveyed<'m> {
    /// Rows that there are.
    pub rows: u64,
    /// Columns that have a value in every row.
    pub whole: Vec<String>,
    /// What the marking would do to all of them.
    pub effects: Option<Effects<'m>>,
    /// The sample.
    pub sampled: Sampled,
}

/// Rows from all over a table.
pub struct Sampled {
    sample: RecordBatch,
    share: f64,
}

/// What was found in a sample.
pub struct Found {
    /// What might hold.
    pub findings: Vec<Finding>,
    /// How well other columns tell the texts of the marking's categories apart.
    pub told_apart: Vec<ToldApart>,
    sampled: Sampled,
}

impl<'m> Survey<'m> {
    /// Of a table of which at most so many rows are kept, and of what a marking would do to it, where there is one.
    ///
    /// # Errors
    /// [`FingerprintError::Declaration`].
    pub fn of(marking: Option<&'m Marking>, rows_max: usize) -> Result<Self, FingerprintError> {
        let effects = marking.map(Effects::of).transpose()?;
        Ok(Self { effects, sample: Sample::of(rows_max), names: Vec::new(), partly: BTreeSet::new() })
    }

    /// Takes in further rows of the table.
    ///
    /// # Errors
    /// As [`Effects::add`]; [`FingerprintError::Assembly`].
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), FingerprintError> {
        let fields = batch.schema_ref().fields();
        if self.names.is_empty() {
            self.names = fields.iter().map(|field| field.name().clone()).collect();
        }
        let partly = fields.iter().zip(batch.columns()).filter(|(_, array)| array.null_count() > 0);
        self.partly.extend(partly.map(|(field, _)| field.name().clone()));
        if let Some(effects) = &mut self.effects {
            effects.add(batch)?;
        }
        self.sample.add(batch)
    }

    /// What was seen; none of no row.
    ///
    /// # Errors
    /// [`FingerprintError::Assembly`].
    pub fn finish(self) -> Result<Option<Surveyed<'m>>, FingerprintError> {
        let rows = self.sample.rows_read();
        let Some((sample, share)) = self.sample.finish()? else { return Ok(None) };
        let whole = self.names.into_iter().filter(|name| !self.partly.contains(name)).collect();
        Ok(Some(Surveyed { rows, whole, effects: self.effects, sampled: Sampled { sample, share } }))
    }
}

impl Sampled {
    /// Looks for ties, dependencies and what could carry marks, and whether other columns tell the texts of a marking's categories
    /// apart.
    ///
    /// # Errors
    /// As [`propose`](crate::propose); [`FingerprintError::ColumnMissing`], [`FingerprintError::ColumnType`].
    pub fn find(self, marking: Option<&Marking>) -> Result<Found, FingerprintError> {
        let findings = propose_from_sample(&self.sample, self.share)?;
        let told_apart = marking.map(|marking| told_apart(marking, &self.sample)).transpose()?.unwrap_or_default();
        Ok(Found { findings, told_apart, sampled: self })
    }
}

impl Found {
    /// What has to be held against all rows in a second reading; none where the sample has all of them. Of dependencies those that
    /// the marking has nothing to do with are left as they were found.
    pub fn holding(&mut self, marking: Option<&Marking>) -> Option<Holding> {
        if self.sampled.share >= 1.0 {
            return None;
        }
        let asked: Option<BTreeSet<&str>> = marking.map(|marking| {
            let marks = marking.marks.iter();
            marks.flat_map(|mark| mark.columns().into_iter().chain(mark.by.iter().map(String::as_str))).collect()
        });
        let is_asked = |column: &str| asked.as_ref().is_none_or(|asked| asked.contains(column));
        Some(Holding::of(std::mem::take(&mut self.findings), &self.sampled.sample, is_asked))
    }
}
