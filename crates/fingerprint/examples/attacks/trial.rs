//! A trial: somebody leaks, everybody or some are tested, and it is counted who is named.

use std::error::Error;

use lingqu_fingerprint::{Observation, RecipientCode, Scores, Settings, Sheet, accuse, score_each};

use crate::chance::Chance;
use crate::goal::Goal;
use crate::registry::{REGISTERED, Registry};

pub type Failure = Box<dyn Error + Send + Sync>;

/// The fewest innocents that are tested beside the colluders.
const INNOCENTS_MIN: usize = 50;

/// How much is leaked: as much as the line says, or little, where many innocents are to be scored by it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Whole,
    Small,
}

/// One way to leak.
pub trait Scene: Send + Sync {
    fn name(&self) -> &str;
    fn goal(&self) -> Goal;
    fn registry(&self) -> &Registry;
    fn leak(&self, size: Size, chance: &mut Chance) -> Result<Leak, Failure>;

    /// How many leaks the innocents are spread over.
    fn leaks_for_innocents(&self) -> usize {
        20
    }
}

/// What leaked, as far as it shows anything.
pub struct Leak {
    pub observations: Vec<Observation>,
    pub colluders: Vec<usize>,
    /// Rows of the fragment.
    pub rows: usize,
    /// None where rows came aligned.
    pub found: Option<Found>,
    /// What the leaked values have lost: how far they are off the originals, as the root of the mean square in standard
    /// deviations. Not a number where that was not measured.
    pub cost: f64,
}

/// Leaked rows beside an original, and beside a wrong one; and how long it took.
#[derive(Clone, Copy, Default)]
pub struct Found {
    pub matched: usize,
    pub mistaken: usize,
    pub seconds: f64,
}

pub struct Trial {
    pub caught: usize,
    pub colluders: usize,
    pub innocents_accused: usize,
    pub innocents_tested: usize,
    pub log_p_value: f64,
    pub positions: usize,
    pub rows: usize,
    pub found: Option<Found>,
    pub cost: f64,
}

impl Trial {
    /// As a record of [`State`](crate::state::State).
    pub fn record(&self) -> Vec<f64> {
        let counts =
            [self.caught, self.colluders, self.innocents_accused, self.innocents_tested, self.positions, self.rows];
        let mut record: Vec<f64> = counts.map(|count| count as f64).to_vec();
        record.extend([self.log_p_value, self.cost]);
        if let Some(Found { matched, mistaken, seconds }) = self.found {
            record.extend([matched as f64, mistaken as f64, seconds]);
        }
        record
    }

    pub fn of_record(record: &[f64]) -> Option<Self> {
        let (counts, rest) = record.split_first_chunk::<6>()?;
        let [caught, colluders, innocents_accused, innocents_tested, positions, rows] =
            counts.map(|count| count as usize);
        let ([log_p_value, cost], found) = rest.split_first_chunk::<2>()?;
        let found = match found {
            [] => None,
            [matched, mistaken, seconds] => {
                Some(Found { matched: *matched as usize, mistaken: *mistaken as usize, seconds: *seconds })
            }
            _ => return None,
        };
        let (log_p_value, cost) = (*log_p_value, *cost);
        Some(Self { caught, colluders, innocents_accused, innocents_tested, log_p_value, positions, rows, found, cost })
    }
}

/// The trial of this number, the same whoever makes it and whenever. `everybody`: all who are registered are tested, on all
/// processors; otherwise as many as are soon done, and the correction counts all the same.
pub fn trial(scene: &dyn Scene, number: usize, everybody: bool) -> Result<Trial, Failure> {
    let registry = scene.registry();
    let mut chance = Chance::new(&format!("{} {} {number}", registry.table, scene.name()));
    let leak = scene.leak(Size::Whole, &mut chance)?;
    let few = (registry.draws_max() / leak.observations.len().max(1)).max(INNOCENTS_MIN) + leak.colluders.len();
    let settings = Settings::of_recipients(REGISTERED as u64);
    let (verdict, tested) = if everybody || few >= REGISTERED {
        let score: &dyn Fn(&Sheet, &[RecipientCode]) -> Vec<Scores> =
            if everybody { &score_side_by_side } else { &score_each };
        (accuse(&leak.observations, registry.registered(), &settings, score)?, (0..REGISTERED).collect::<Vec<usize>>())
    } else {
        let mut tested = leak.colluders.clone();
        let others = (0..few).map(|_| chance.below(REGISTERED));
        tested.extend(others.filter(|other| !leak.colluders.contains(other)));
        tested[leak.colluders.len()..].sort_unstable();
        tested.dedup();
        let codes: Vec<RecipientCode> = tested.iter().map(|number| registry.registered()[*number].clone()).collect();
        (accuse(&leak.observations, &codes, &settings, &score_each)?, tested)
    };
    let is_colluder = |candidate: usize| tested.get(candidate).is_some_and(|number| leak.colluders.contains(number));
    let caught = verdict.accused.iter().filter(|accusation| is_colluder(accusation.candidate)).count();
    Ok(Trial {
        caught,
        colluders: leak.colluders.len(),
        innocents_accused: verdict.accused.len() - caught,
        innocents_tested: tested.len() - leak.colluders.len(),
        log_p_value: verdict.accused.first().map_or(0.0, |accusation| accusation.log_p_value),
        positions: verdict.positions,
        rows: leak.rows,
        found: leak.found,
        cost: leak.cost,
    })
}

/// How many processors there are.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn score_side_by_side(sheet: &Sheet, codes: &[RecipientCode]) -> Vec<Scores> {
    let part = codes.len().div_ceil(processors()).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = codes.chunks(part).map(|part| scope.spawn(move || score_each(sheet, part))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("scoring calculates and can't panic")).collect()
    })
}
