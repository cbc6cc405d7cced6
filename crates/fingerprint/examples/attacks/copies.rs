//! What pirates make of copies of the two tables, aligned or to be found.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, Float64Array, RecordBatch, UInt64Array};
use arrow::compute::{take, take_record_batch};
use lingqu_fingerprint::{Profile, Sheet, observe, power};

use crate::attack::{Attack, Change, Kept};
use crate::chance::Chance;
use crate::found::{find, pieces, shuffled};
use crate::goal::Goal;
use crate::registry::{REGISTERED, Registry};
use crate::tables::{Table, moments, numbers};
use crate::trial::{Failure, Leak, Scene, Size};

/// Rows of the leak by which it is planned how many are needed.
const PLANNING_ROWS: usize = 2_000;

/// Rows from which on a leak is large.
const LARGE_ROWS: usize = 100_000;

/// The bound of a case.
const BOUND: f64 = 1e-6;

pub struct Office {
    pub table: Table,
    pub registry: Registry,
    pieces: Vec<RecordBatch>,
    /// The columns of keys and of marks.
    marked: RecordBatch,
}

/// An attack on copies of a table.
struct OnCopies<'a> {
    office: &'a Office,
    attack: Attack,
}

/// What pirates hold before they give it out.
struct Loot {
    originals: RecordBatch,
    /// The copy of one of them: what is not marked is the same in all.
    copy: RecordBatch,
    /// The columns that they worked on.
    worked: Vec<(&'static str, ArrayRef)>,
    /// How far these are off the originals.
    cost: f64,
}

impl Office {
    pub fn open(table: Table) -> Result<Self, Failure> {
        let registry = Registry::open(table.name, Profile::Aes);
        let pieces = pieces(&table.batch);
        let (schema, marks) = (table.batch.schema(), &table.marking.marks);
        let is_marked = |name: &str| name == "row" || marks.iter().any(|mark| mark.columns().contains(&name));
        let names = schema.fields().iter().map(|field| field.name());
        let places: Vec<usize> = names.enumerate().filter(|(_, name)| is_marked(name)).map(|(at, _)| at).collect();
        let marked = table.batch.project(&places)?;
        Ok(Self { table, registry, pieces, marked })
    }

    pub fn scenes(&self, needed: f64) -> Vec<Box<dyn Scene + '_>> {
        let attacks = Attack::all(self.table.batch.num_rows(), needed, &self.table.coalition_shares);
        // Where no column tells a row nearly alone, none can be left out.
        let has_telling = !self.table.telling.is_empty();
        let attacks = attacks.into_iter().filter(|attack| has_telling || attack.kept != Some(Kept::NothingTelling));
        attacks.map(|attack| Box::new(OnCopies { office: self, attack }) as Box<dyn Scene + '_>).collect()
    }

    /// Rows of one copy that are needed by a test of one recipient, with nothing to pay for decoders and passes.
    pub fn rows_needed(&self) -> Result<f64, Failure> {
        let share = PLANNING_ROWS as f64 / self.table.batch.num_rows() as f64;
        let scene = OnCopies { office: self, attack: Attack::kept("planning".to_owned(), share) };
        let leak = scene.leak(Size::Whole, &mut Chance::new("planning"))?;
        let sheet = Sheet::new(leak.observations.into_iter().filter(|observation| !observation.order));
        let needed = power(&sheet, (BOUND / REGISTERED as f64).ln()).needed;
        Ok(needed.map_or(f64::NAN, |times| times * PLANNING_ROWS as f64))
    }

    fn loot(&self, attack: &Attack, rows: Vec<u64>, colluders: &[usize], chance: &mut Chance) -> Result<Loot, Failure> {
        let looks_beside =
            attack.kept.is_some() || matches!(attack.change, Change::Regressed(_) | Change::Neighbours(_));
        let table = if looks_beside { &self.table.batch } else { &self.marked };
        let is_whole = rows.len() == table.num_rows() && rows.is_sorted();
        let originals = if is_whole { table.clone() } else { take_record_batch(table, &UInt64Array::from(rows))? };
        let mut copies = Vec::new();
        for colluder in colluders {
            copies.push(self.registry.marker(&self.table.marking, *colluder)?.mark(&originals)?);
        }
        let picks: Vec<usize> = (0..originals.num_rows()).map(|_| chance.below(colluders.len())).collect();
        // The pirates know what the schema says: which columns are exact and which are tied.
        let tied = self.table.tied();
        let schema = originals.schema();
        let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let known: Vec<&str> = known.into_iter().filter(|name| *name != "row" && !tied.contains(name)).collect();
        let (mut worked, mut squares, mut cells): (Vec<(&'static str, ArrayRef)>, f64, f64) = Default::default();
        for (name, reach) in &self.table.carriers {
            let columns: Vec<Vec<f64>> = copies.iter().map(|copy| numbers(copy, name)).collect();
            let mut values = attack.mix(&columns, &picks, chance);
            let others = match attack.change {
                Change::Regressed(_) | Change::Neighbours(_) => {
                    known.iter().filter(|column| *column != name).map(|column| numbers(&copies[0], column)).collect()
                }
                _ => Vec::new(),
            };
            attack.change(&mut values, *reach, &others, chance);
            let before = numbers(&originals, name);
            let deviation = moments(&before).1;
            let off = values.iter().zip(&before).map(|(after, before)| ((after - before) / deviation).powi(2));
            for square in off.filter(|square| square.is_finite()) {
                squares += square;
                cells += 1.0;
            }
            worked.push((*name, Arc::new(Float64Array::from(values))));
        }
        Ok(Loot { originals, copy: copies.swap_remove(0), worked, cost: (squares / cells).sqrt() })
    }

    /// Columns under names that say nothing. Where pirates altered marked columns they leave out those that would tell.
    fn fragment(&self, kept: Kept, alters: bool, loot: &Loot, chance: &mut Chance) -> Result<RecordBatch, Failure> {
        let (schema, tied, carrier) = (loot.copy.schema(), self.table.tied(), self.table.carriers[0].0);
        let mut columns: Vec<(String, ArrayRef, bool)> = Vec::new();
        for (at, field) in schema.fields().iter().enumerate() {
            let name = field.name().as_str();
            let is_kept = match kept {
                Kept::NoKey | Kept::AmongShuffled => name != "row" && !(alters && tied.contains(&name)),
                Kept::NothingTelling => name != "row" && !tied.contains(&name) && !self.table.telling.contains(&name),
                Kept::KeyAndOne => name == "row" || name == carrier,
                Kept::OneAlone => name == carrier,
            };
            if is_kept {
                let worked = loot.worked.iter().find(|(worked, _)| alters && *worked == name);
                let array = worked.map_or_else(|| loot.copy.column(at), |(_, array)| array);
                columns.push((format!("f{at}"), Arc::clone(array), true));
                if kept == Kept::AmongShuffled {
                    let order = shuffled((0..array.len() as u64).collect(), chance);
                    let place = columns.len() - chance.below(2);
                    columns.insert(place, (format!("g{at}"), take(array, &UInt64Array::from(order), None)?, true));
                }
            }
        }
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }
}

impl Scene for OnCopies<'_> {
    fn name(&self) -> &str {
        &self.attack.name
    }

    fn goal(&self) -> Goal {
        self.attack.goal
    }

    fn registry(&self) -> &Registry {
        &self.office.registry
    }

    /// Finding rows reads all originals, and of large leaks a bound is calculated slowly: then fewer leaks have more innocents.
    fn leaks_for_innocents(&self) -> usize {
        let rows = self.attack.rows_for_innocents(self.office.table.batch.num_rows());
        match self.attack.kept {
            None if rows > LARGE_ROWS => 2,
            None => 20,
            Some(_) => 5,
        }
    }

    fn leak(&self, size: Size, chance: &mut Chance) -> Result<Leak, Failure> {
        let Self { office, attack } = self;
        let all = office.table.batch.num_rows();
        let rows = match size {
            Size::Whole => attack.rows(all),
            Size::Small => attack.rows_for_innocents(all),
        };
        let colluders = office.registry.colluders(attack.coalition, chance);
        let truth: Vec<u64> = chance.sample(all, rows).into_iter().map(|row| row as u64).collect();
        let (marking, secrets) = (&office.table.marking, &office.registry.secrets);
        let Some(kept) = attack.kept else {
            let loot = office.loot(attack, truth, &colluders, chance)?;
            let leaked = RecordBatch::try_from_iter(loot.worked)?;
            let observations = observe(marking, secrets, &loot.originals, &leaked)?;
            return Ok(Leak { observations, colluders, rows, found: None, cost: loot.cost });
        };
        let truth = shuffled(truth, chance);
        let loot = office.loot(attack, truth.clone(), &colluders, chance)?;
        let fragment = office.fragment(kept, attack.alters(), &loot, chance)?;
        let (observations, found) = find(marking, secrets, &office.pieces, &fragment, &truth)?;
        Ok(Leak { observations, colluders, rows, found: Some(found), cost: loot.cost })
    }
}
