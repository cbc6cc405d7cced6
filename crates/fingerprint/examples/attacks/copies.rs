//! Recipients with their copies, trials, and what marks do to the data.

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use lingqu_fingerprint::{
    HalfKey, KeyUse, MarkKey, Marker, Observation, PositionSecrets, Profile, RecipientCode, Settings, Sheet, Watch,
    accuse, align, observe, power, score_each,
};

use crate::attack::{Attack, Kept};
use crate::chance::Chance;
use crate::models;
use crate::tables::{Table, moments, numbers};

pub const REGISTERED: usize = 10_000;

/// A match's odds: the logarithm that is asked for.
const LOG_ODDS_MIN: f64 = 7.0;

/// The most draws of a code in one trial; beyond, fewer recipients are tested, and the correction still counts all.
const DRAWS_MAX: usize = 10_000_000;

pub struct Office {
    pub table: Table,
    halves: (HalfKey, HalfKey),
    secrets: PositionSecrets,
    codes: Vec<RecipientCode>,
}

pub struct Trial {
    pub caught: usize,
    pub colluders: usize,
    pub innocents: usize,
    pub log_p_value: f64,
    pub tested: usize,
    pub positions: usize,
    pub found: Found,
    /// What the leaked values have lost: how far they are off the originals, as the root of the mean square in standard
    /// deviations. Not a number where rows had to be found.
    pub cost: f64,
}

/// Leaked rows beside an original, and beside a wrong one, where rows had to be found; and how long it took.
#[derive(Clone, Copy, Default)]
pub struct Found {
    pub matched: usize,
    pub mistaken: usize,
    pub seconds: f64,
}

impl Office {
    pub fn open(table: Table) -> Result<Self, Box<dyn Error>> {
        let halves = (HalfKey::from_bytes([1; 32]), HalfKey::from_bytes([2; 32]));
        let key = |key_use: KeyUse<'_>| MarkKey::of_halves(&halves.0, &halves.1, Profile::Aes, &key_use);
        let secrets = PositionSecrets::new(&key(KeyUse::Positions { table: table.name, epoch: 0 }));
        let code = |i: usize| {
            let recipient = format!("recipient {i}");
            RecipientCode::new(&key(KeyUse::Recipient { table: table.name, recipient: &recipient }))
        };
        let codes = (0..REGISTERED).map(code).collect();
        Ok(Self { table, secrets, codes, halves })
    }

    fn marker(&self, recipient: usize) -> Result<Marker<'_>, Box<dyn Error>> {
        let key = |key_use: KeyUse<'_>| MarkKey::of_halves(&self.halves.0, &self.halves.1, Profile::Aes, &key_use);
        let name = format!("recipient {recipient}");
        let own = RecipientCode::new(&key(KeyUse::Recipient { table: self.table.name, recipient: &name }));
        let order = RecipientCode::new(&key(KeyUse::Order { table: self.table.name, order: &name }));
        Ok(Marker::new(&self.table.marking, &self.secrets, own, order)?)
    }

    /// What marks do to means and standard deviations, of one copy.
    pub fn distortion(&self) -> Result<(), Box<dyn Error>> {
        let copy = self.marker(0)?.mark(&self.table.batch)?;
        for mark in &self.table.marking.marks {
            for column in mark.columns() {
                let (mean, deviation) = moments(&numbers(&self.table.batch, column));
                let (marked_mean, marked_deviation) = moments(&numbers(&copy, column));
                println!(
                    "  {column}: mean moved by {:.1e} standard deviations, standard deviation changed by {:.1e}",
                    (marked_mean - mean) / deviation,
                    marked_deviation / deviation - 1.0
                );
            }
        }
        models::compare(&self.table, &copy);
        Ok(())
    }

    /// Rows of one copy that are needed by a test of one recipient, with nothing to pay for decoders and passes.
    pub fn rows_needed(&self) -> Result<f64, Box<dyn Error>> {
        let rows = 2_000;
        let mut chance = Chance::new("planning");
        let (observations, _) =
            self.leak(&Attack::kept(rows as f64 / self.table.batch.num_rows() as f64), &[0], &mut chance)?;
        let sheet = Sheet::new(observations.into_iter().filter(|observation| !observation.order));
        let needed = power(&sheet, (1e-6 / REGISTERED as f64).ln()).needed;
        Ok(needed.map_or(f64::NAN, |times| times * rows as f64))
    }

    fn leak(
        &self,
        attack: &Attack,
        colluders: &[usize],
        chance: &mut Chance,
    ) -> Result<(Vec<Observation>, f64), Box<dyn Error>> {
        let all = self.table.batch.num_rows();
        let kept = chance.sample(all, attack.rows(all));
        let kept = UInt64Array::from_iter_values(kept.into_iter().map(|row| row as u64));
        let originals = take_record_batch(&self.table.batch, &kept)?;
        let mut copies = Vec::new();
        for colluder in colluders {
            copies.push(self.marker(*colluder)?.mark(&originals)?);
        }
        let picks: Vec<usize> = (0..originals.num_rows()).map(|_| chance.below(colluders.len())).collect();
        let carriers = if attack.only_first_column { &self.table.carriers[..1] } else { &self.table.carriers };
        let (mut leaked, mut squares, mut cells): (Vec<(&str, ArrayRef)>, f64, f64) = Default::default();
        for (name, reach) in carriers {
            let columns: Vec<Vec<f64>> = copies.iter().map(|copy| numbers(copy, name)).collect();
            let mut values = attack.mix(&columns, &picks, chance);
            // The pirates know what the schema says: which columns are exact and which are tied.
            let schema = originals.schema();
            let beside = schema.fields().iter().map(|field| field.name().as_str());
            let beside = beside.filter(|column| column != name && *column != "row" && !column.ends_with("_time"));
            let others: Vec<Vec<f64>> = beside.map(|column| numbers(&copies[0], column)).collect();
            attack.change(&mut values, *reach, &others, chance);
            let before = numbers(&originals, name);
            let deviation = moments(&before).1;
            let off = values.iter().zip(&before).map(|(after, before)| ((after - before) / deviation).powi(2));
            for square in off.filter(|square| square.is_finite()) {
                squares += square;
                cells += 1.0;
            }
            leaked.push((name, Arc::new(Float64Array::from(values))));
        }
        let leaked = RecordBatch::try_from_iter(leaked)?;
        let observations = observe(&self.table.marking, &self.secrets, &originals, &leaked)?;
        Ok((observations, (squares / cells).sqrt()))
    }

    /// Rows of one copy in any order under names that say nothing, found again by their values alone; how many were, and how
    /// many of them wrongly.
    fn leak_and_find(
        &self,
        attack: &Attack,
        kept: Kept,
        recipient: usize,
        chance: &mut Chance,
    ) -> Result<(Vec<Observation>, Found), Box<dyn Error>> {
        let table = &self.table.batch;
        let mut truth: Vec<u64> =
            chance.sample(table.num_rows(), attack.rows(table.num_rows())).into_iter().map(|row| row as u64).collect();
        for at in (1..truth.len()).rev() {
            truth.swap(at, chance.below(at + 1));
        }
        let rows = take_record_batch(table, &UInt64Array::from(truth.clone()))?;
        let copy = self.marker(recipient)?.mark(&rows)?;
        let schema = copy.schema();
        let carrier = self.table.carriers[0].0;
        let fields = schema.fields().iter().enumerate().filter(|(_, field)| match kept {
            Kept::NoKey => field.name() != "row",
            Kept::KeyAndOne => field.name() == "row" || field.name() == carrier,
            Kept::OneAlone => field.name() == carrier,
        });
        let columns: Vec<(String, ArrayRef, bool)> =
            fields.map(|(at, _)| (format!("f{at}"), copy.column(at).clone(), true)).collect();
        let fragment = RecordBatch::try_from_iter_with_nullable(columns)?;
        let step = 16_384;
        let originals: Vec<RecordBatch> = (0..table.num_rows())
            .step_by(step)
            .map(|from| table.slice(from, step.min(table.num_rows() - from)))
            .collect();
        let mut go_on = |_, _| ControlFlow::Continue(());
        let watch = &mut Watch(&mut go_on);
        let begun = Instant::now();
        let alignment = align(&self.table.marking, &fragment, &originals, LOG_ODDS_MIN, watch)?;
        let wrong = alignment.rows.iter().filter(|row| truth[row.leaked as usize] != row.original).count();
        let originals = alignment.gather(&originals, watch)?;
        let leaked = alignment.leaked(&fragment, &originals)?;
        let found = Found { matched: alignment.rows.len(), mistaken: wrong, seconds: begun.elapsed().as_secs_f64() };
        Ok((observe(&self.table.marking, &self.secrets, &originals, &leaked)?, found))
    }

    pub fn trial(&self, attack: &Attack, chance: &mut Chance) -> Result<Trial, Box<dyn Error>> {
        let first = chance.below(100);
        let colluders: Vec<usize> = (0..attack.coalition).map(|i| first + i).collect();
        let mut found = Found::default();
        let (observations, cost) = match attack.kept {
            None => self.leak(attack, &colluders, chance)?,
            Some(kept) => {
                let observations;
                (observations, found) = self.leak_and_find(attack, kept, first, chance)?;
                (observations, f64::NAN)
            }
        };
        let tested = (DRAWS_MAX / observations.len().max(1)).clamp(200, REGISTERED);
        let settings = Settings::of_recipients(REGISTERED as u64);
        let verdict = accuse(&observations, &self.codes[..tested], &settings, &score_each)?;
        let caught = verdict.accused.iter().filter(|accusation| colluders.contains(&accusation.candidate)).count();
        Ok(Trial {
            caught,
            colluders: colluders.len(),
            innocents: verdict.accused.len() - caught,
            log_p_value: verdict.accused.first().map_or(0.0, |accusation| accusation.log_p_value),
            tested: tested - colluders.len(),
            positions: verdict.positions,
            found,
            cost,
        })
    }

    pub fn sheet(&self, attack: &Attack, colluders: &[usize], chance: &mut Chance) -> Result<Sheet, Box<dyn Error>> {
        let (observations, _) = self.leak(attack, colluders, chance)?;
        Ok(Sheet::new(observations.into_iter().filter(|observation| !observation.order)))
    }

    pub fn innocents(&self) -> &[RecipientCode] {
        &self.codes[200..]
    }
}
