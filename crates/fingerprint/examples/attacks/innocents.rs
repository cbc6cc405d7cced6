//! How often an innocent reaches a bound of one in a thousand: it may be once in a thousand, no more.
//!
//! A trial is one recipient who had no part in a leak, scored by it. His code is drawn by a key of his own and no recipient is
//! tried twice for one attack, so given the leaks the trials are independent, each with a probability that the bound holds for;
//! what leaked differs from leak to leak, and limits are those of the mean rate.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Instant;

use lingqu_fingerprint::{DECODER_NAMES, DECODERS, Scores, Sheet};

use crate::chance::Chance;
use crate::confidence::upper_limit;
use crate::goal::{INNOCENTS_ASKED, innocents_in_words};
use crate::line::title;
use crate::state::State;
use crate::trial::{Failure, Scene, Size, processors};

const BOUND: f64 = 1e-3;

/// How many draws of codes one leak has whatever the time. The clock alone ends it after that, never what was seen, so that of the
/// largest leaks there may be fewer innocents than are asked for and those are as good as any.
const DRAWS_MIN: usize = 450_000_000;

pub const HEAD: &str = "attack | leaks | positions | innocents | most above by one decoder | which | rate | upper 99 % limit | goal | \
                        above by any decoder, the bound shared | upper 99 % limit";

#[derive(Default)]
struct Counts {
    leaks: usize,
    positions: usize,
    trials: u64,
    above: [u64; DECODERS],
    /// Above by one decoder or another when each has a seventh of the bound: what a case with one recipient comes to.
    case: u64,
}

/// The smallest scores that are above the bound; nothing where no score is.
struct Limits {
    alone: [Option<f64>; DECODERS],
    shared: [Option<f64>; DECODERS],
}

impl Limits {
    fn of(sheet: &Sheet) -> Self {
        let of = |bound: f64| std::array::from_fn(|decoder| sheet.innocent(decoder).threshold(bound.ln()));
        Self { alone: of(BOUND), shared: of(BOUND / DECODERS as f64) }
    }
}

impl Counts {
    fn count(&mut self, scores: &Scores, limits: &Limits) {
        let reaches = |limit: &Option<f64>, score: f32| limit.is_some_and(|limit| f64::from(score) >= limit);
        self.trials += 1;
        for ((above, limit), score) in self.above.iter_mut().zip(&limits.alone).zip(scores) {
            *above += u64::from(reaches(limit, *score));
        }
        self.case += u64::from(limits.shared.iter().zip(scores).any(|(limit, score)| reaches(limit, *score)));
    }

    fn add(&mut self, other: &Counts) {
        self.leaks += other.leaks;
        self.positions += other.positions;
        self.trials += other.trials;
        self.case += other.case;
        self.above.iter_mut().zip(other.above).for_each(|(above, other)| *above += other);
    }
}

impl Counts {
    fn record(&self) -> Vec<f64> {
        let of_leak = [self.positions as u64, self.trials, self.case];
        of_leak.into_iter().chain(self.above).map(|count| count as f64).collect()
    }

    fn of_record(record: &[f64]) -> Option<Self> {
        let ([positions, trials, case], above) = record.split_first_chunk::<3>()?;
        let above = above.first_chunk::<DECODERS>()?.map(|count| count as u64);
        let (positions, trials, case) = (*positions as usize, *trials as u64, *case as u64);
        Some(Self { leaks: 1, positions, trials, above, case })
    }
}

/// A line of the table of innocents.
pub struct Innocents<'a> {
    scene: &'a dyn Scene,
    state: &'a State,
    counts: Counts,
    /// Numbers of the leaks that are scored.
    done: BTreeSet<usize>,
}

/// Leaks that are dealt out.
struct Deal<'d, 'a> {
    innocents: &'d mut Innocents<'a>,
    next: usize,
    outcome: Result<(), Failure>,
}

impl<'a> Innocents<'a> {
    /// A line with the leaks of runs before.
    pub fn new(scene: &'a dyn Scene, state: &'a State) -> Result<Self, Failure> {
        let mut innocents = Self { scene, state, counts: Counts::default(), done: BTreeSet::new() };
        for record in state.before(&innocents.title()) {
            let (number, record) = record.split_first().ok_or("a record is too short")?;
            innocents.done.insert(*number as usize);
            innocents.counts.add(&Counts::of_record(record).ok_or("a record is no leak's")?);
        }
        Ok(innocents)
    }

    fn title(&self) -> String {
        format!("innocents of {}", title(self.scene))
    }

    pub fn is_complete(&self) -> bool {
        self.done.len() >= self.scene.leaks_for_innocents()
    }

    /// Scores innocents by more leaks, on all processors until it is so late; by the first one whatever the time.
    pub fn advance(&mut self, until: Instant) -> Result<(), Failure> {
        let (scene, leaks_max) = (self.scene, self.scene.leaks_for_innocents());
        let deal = Mutex::new(Deal { innocents: self, next: 0, outcome: Ok(()) });
        let next = || {
            let mut deal = deal.lock().ok()?;
            while deal.innocents.done.contains(&deal.next) {
                deal.next += 1;
            }
            let is_due = deal.next == 0 || Instant::now() < until;
            deal.next += 1;
            (is_due && deal.outcome.is_ok() && deal.next <= leaks_max).then_some(deal.next - 1)
        };
        std::thread::scope(|scope| {
            for _ in 0..processors() {
                scope.spawn(|| {
                    while let Some(number) = next() {
                        let outcome = by_one_leak(scene, number, INNOCENTS_ASKED as usize / leaks_max, until);
                        let Ok(mut deal) = deal.lock() else { return };
                        if let Err(failure) = outcome.and_then(|more| deal.innocents.keep(number, &more)) {
                            deal.outcome = Err(failure);
                        }
                    }
                });
            }
        });
        deal.into_inner().map_err(|_| "a trial panicked")?.outcome
    }

    fn keep(&mut self, number: usize, more: &Counts) -> Result<(), Failure> {
        self.counts.add(more);
        self.done.insert(number);
        self.state.keep(&self.title(), &[vec![number as f64], more.record()].concat())
    }

    pub fn in_words(&self) -> String {
        in_words(self.scene.name(), &self.counts)
    }
}

/// The leak of this number and innocents of its own, so many or as many as there is time for.
fn by_one_leak(scene: &dyn Scene, number: usize, innocents: usize, until: Instant) -> Result<Counts, Failure> {
    let registry = scene.registry();
    let mut chance = Chance::new(&format!("innocents of {} {} {number}", registry.table, scene.name()));
    let leak = scene.leak(Size::Small, &mut chance)?;
    let sheet = Sheet::new(leak.observations.into_iter().filter(|observation| !observation.order));
    let mut counts = Counts { leaks: 1, positions: sheet.len(), ..Counts::default() };
    if !sheet.is_empty() {
        let limits = Limits::of(&sheet);
        let (from, least) = (number * innocents, DRAWS_MIN / sheet.len());
        for stranger in from..from + innocents {
            if stranger - from >= least && Instant::now() >= until {
                break;
            }
            counts.count(&sheet.scores(&registry.stranger(stranger)), &limits);
        }
    }
    Ok(counts)
}

fn in_words(name: &str, counts: &Counts) -> String {
    let Counts { leaks, case, .. } = counts;
    if counts.trials == 0 {
        return format!("{name} | {leaks} | 0 | - | - | - | - | - | nothing shows, so nobody can be accused | - | -");
    }
    let decoder = (0..DECODERS).max_by_key(|decoder| counts.above[*decoder]).unwrap_or(0);
    let (above, trials, positions) = (counts.above[decoder], counts.trials, counts.positions / leaks);
    format!(
        "{name} | {leaks} | {positions} | {trials} | {above} | {} | {:.2e} | {:.2e} | {} | {case} | {:.2e}",
        DECODER_NAMES[decoder],
        above as f64 / trials as f64,
        upper_limit(above, trials),
        innocents_in_words(above, trials),
        upper_limit(*case, trials)
    )
}
