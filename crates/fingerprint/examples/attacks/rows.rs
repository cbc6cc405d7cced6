//! Marks of whole rows: rows that are left out of a copy, and decoys.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use lingqu_fingerprint::{BiasTable, Marking, Presence, Profile, RowKeys, observe_decoys, observe_presence};

use crate::chance::Chance;
use crate::goal::Goal;
use crate::registry::Registry;
use crate::trial::{Failure, Leak, Scene, Size};

/// A table of so many rows that are known by their numbers alone, and the decoys beside them.
pub struct Rows {
    pub registry: Registry,
    pub count: usize,
    pub decoys: usize,
    left_out: Marking,
    with_decoys: Marking,
}

/// The share of rows that is left out of each copy, and the most decoys that a node lays, for each row.
pub const LEFT_OUT: f64 = 0.005;
const DECOYS_PER_ROW: f64 = 0.001;

/// The most decoys that a node lays.
const DECOYS_MAX: usize = 10_000;

/// The most rows by whose presence innocents are scored.
const INNOCENT_SHARE_MAX: f64 = 0.03;

const KEY: &str = "row";
const DECOY: &str = "decoy";

impl Rows {
    pub fn open(table: &'static str, count: usize) -> Self {
        let decoys = ((count as f64 * DECOYS_PER_ROW) as usize).min(DECOYS_MAX);
        let marking = |presence| Marking {
            key: vec![KEY.to_owned()],
            marks: Vec::new(),
            order_share: 0,
            biases: BiasTable::default(),
            presence,
        };
        let presence = Presence::of_share(LEFT_OUT);
        let registry = Registry::open(table, Profile::Aes);
        Self { registry, count, decoys, left_out: marking(Some(presence)), with_decoys: marking(None) }
    }

    pub fn scenes(&self) -> Vec<Box<dyn Scene + '_>> {
        let scene = |name: &str, coalition, share, of: Of| {
            Box::new(OnRows { rows: self, name: name.to_owned(), coalition, share, of }) as Box<dyn Scene + '_>
        };
        vec![
            scene("decoys alone: a copy leaks whole", 1, 1.0, Of::Decoys(Together::Any)),
            scene("decoys alone: half of a copy's rows", 1, 0.5, Of::Decoys(Together::Any)),
            scene("decoys alone: a tenth of a copy's rows", 1, 0.1, Of::Decoys(Together::Any)),
            scene("decoys alone: 2 collude, whatever one of them has", 2, 1.0, Of::Decoys(Together::Any)),
            scene("decoys alone: 2 collude, what both have", 2, 1.0, Of::Decoys(Together::All)),
            scene("decoys alone: 3 collude, whatever one of them has", 3, 1.0, Of::Decoys(Together::Any)),
            scene("rows left out: 10 % of a copy's rows", 1, 0.1, Of::Presence),
            scene("rows left out: 3 % of a copy's rows", 1, 0.03, Of::Presence),
            scene("rows left out: 1 % of a copy's rows", 1, 0.01, Of::Presence),
        ]
    }
}

/// Which rows of several copies are put together.
#[derive(Clone, Copy, PartialEq)]
enum Together {
    Any,
    All,
}

#[derive(Clone, Copy, PartialEq)]
enum Of {
    Decoys(Together),
    Presence,
}

/// An attack on copies by whose rows one is told.
struct OnRows<'a> {
    rows: &'a Rows,
    name: String,
    coalition: usize,
    share: f64,
    of: Of,
}

/// Rows by their numbers; with `decoys` they are told to be some.
fn batch(rows: &[i64], decoys: bool) -> Result<RecordBatch, Failure> {
    let mut columns: Vec<(&str, ArrayRef)> = vec![(KEY, Arc::new(Int64Array::from(rows.to_vec())))];
    if decoys {
        columns.push((DECOY, Arc::new(Int64Array::from(rows.to_vec()))));
    }
    Ok(RecordBatch::try_from_iter(columns)?)
}

impl OnRows<'_> {
    /// Which of these rows a recipient's copy has.
    fn held(&self, recipient: usize, rows: &[i64]) -> Result<Vec<i64>, Failure> {
        let Rows { registry, left_out, with_decoys, .. } = self.rows;
        let copy = match self.of {
            Of::Decoys(_) => registry.marker(with_decoys, recipient)?.with_decoys(DECOY).mark(&batch(rows, true)?)?,
            Of::Presence => registry.marker(left_out, recipient)?.mark(&batch(rows, false)?)?,
        };
        let held = copy.column_by_name(KEY).ok_or("a copy lacks its key")?;
        Ok(held.as_primitive::<Int64Type>().values().to_vec())
    }
}

impl Scene for OnRows<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn goal(&self) -> Goal {
        Goal::None
    }

    fn registry(&self) -> &Registry {
        &self.rows.registry
    }

    fn leak(&self, size: Size, chance: &mut Chance) -> Result<Leak, Failure> {
        let Rows { registry, count, decoys, with_decoys, .. } = self.rows;
        let colluders = registry.colluders(self.coalition, chance);
        // Decoys are numbered after the rows.
        let (from, many) = if self.of == Of::Presence { (0, *count) } else { (*count, *decoys) };
        let share = match (size, self.of) {
            (Size::Small, Of::Presence) => self.share.min(INNOCENT_SHARE_MAX),
            _ => self.share,
        };
        let chosen = chance.sample(many, (share * many as f64).round() as usize);
        let mut leaked: Vec<i64> = chosen.into_iter().map(|row| (from + row) as i64).collect();
        let mut copies = Vec::new();
        for colluder in &colluders {
            copies.push(self.held(*colluder, &leaked)?);
        }
        let has = |copy: &Vec<i64>, row: &i64| copy.binary_search(row).is_ok();
        leaked.retain(|row| match self.of {
            Of::Decoys(Together::All) => copies.iter().all(|copy| has(copy, row)),
            _ => copies.iter().any(|copy| has(copy, row)),
        });
        let keys = RowKeys::of_columns(&batch(&leaked, false)?, &[KEY.to_owned()])?;
        let observations = match self.of {
            Of::Decoys(_) => {
                let places: Vec<usize> = (0..leaked.len()).collect();
                observe_decoys(&with_decoys.biases, &registry.secrets, &keys, &places)
            }
            Of::Presence => observe_presence(&Presence::of_share(LEFT_OUT), &registry.secrets, &keys),
        };
        Ok(Leak { observations, colluders, rows: leaked.len(), found: None, cost: f64::NAN })
    }
}
