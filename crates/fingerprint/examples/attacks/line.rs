//! A line of the table: trials of one way to leak, until there are enough or the time is over.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::confidence::lower_limit;
use crate::goal::Goal;
use crate::registry::REGISTERED;
use crate::trial::{Failure, Found, Scene, Trial, processors, trial};

/// The share of the time in which every line gets its turn, and that in which everybody is tested once in as many lines as go
/// into it; in the rest those lines are completed that want least for it.
const FIRST_ROUND_SHARE: f64 = 0.4;
const EVERYBODY_SHARE: f64 = 0.2;

/// Trials of a line without a goal, until all those with one have theirs.
const REPORTED_TRIALS: usize = 30;

pub const HEAD: &str = "attack | rows | positions | trials | tested in a trial | named | named at least (99 %) | goal | all named | \
                        innocents accused, of those tested | mean log10 p | off the originals | rows found, wrongly";

pub struct Line<'a> {
    scene: Box<dyn Scene + 'a>,
    tally: Tally,
    /// The next trial that tests some; the one of number nought tests everybody.
    next: usize,
    tests_everybody: bool,
    /// By all trials but that one.
    spent: Duration,
}

/// What trials came to.
#[derive(Default)]
struct Tally {
    trials: usize,
    named: usize,
    all_named: usize,
    innocents_accused: usize,
    innocents_tested: usize,
    tested_least: usize,
    everybody: usize,
    positions: usize,
    rows: usize,
    found: Option<Found>,
    log_p_value: f64,
    cost: f64,
}

impl Tally {
    fn add(&mut self, trial: &Trial) {
        let tested = trial.innocents_tested + trial.colluders;
        self.tested_least = if self.trials == 0 { tested } else { self.tested_least.min(tested) };
        self.everybody += usize::from(tested == REGISTERED);
        self.trials += 1;
        self.named += usize::from(trial.caught > 0);
        self.all_named += usize::from(trial.caught == trial.colluders);
        self.innocents_accused += trial.innocents_accused;
        self.innocents_tested += trial.innocents_tested;
        self.positions += trial.positions;
        self.rows += trial.rows;
        self.cost += trial.cost;
        self.log_p_value += trial.log_p_value / std::f64::consts::LN_10;
        if let Some(found) = trial.found {
            let all = self.found.get_or_insert_default();
            all.matched += found.matched;
            all.mistaken += found.mistaken;
            all.seconds += found.seconds;
        }
    }

    fn percent(&self, count: usize) -> f64 {
        100.0 * count as f64 / self.trials as f64
    }

    fn tested_in_words(&self) -> String {
        match self.trials - self.everybody {
            0 => "all".to_owned(),
            others if self.everybody == 0 => format!("{} or more in {others}", self.tested_least),
            others => format!("all in {}, {} or more in {others}", self.everybody, self.tested_least),
        }
    }

    fn found_in_words(&self) -> String {
        let Some(found) = self.found else {
            return "aligned".to_owned();
        };
        let share = 100.0 * found.matched as f64 / self.rows as f64;
        format!("{share:.1} %, {}, {:.1} s", found.mistaken, found.seconds / self.trials as f64)
    }
}

impl<'a> Line<'a> {
    pub fn new(scene: Box<dyn Scene + 'a>) -> Self {
        Self { scene, tally: Tally::default(), next: 1, tests_everybody: false, spent: Duration::ZERO }
    }

    pub fn scene(&self) -> &dyn Scene {
        &*self.scene
    }

    pub fn in_words(&self) -> String {
        let (tally, trials) = (&self.tally, self.tally.trials.max(1));
        let cost = tally.cost / trials as f64;
        format!(
            "{} | {} | {} | {} | {} | {:.1} % | {:.1} % | {} | {:.1} % | {} of {} | {:.0} | {} | {}",
            self.scene.name(),
            tally.rows / trials,
            tally.positions / trials,
            tally.trials,
            tally.tested_in_words(),
            tally.percent(tally.named),
            100.0 * lower_limit(tally.named as u64, tally.trials as u64),
            self.scene.goal().in_words(tally.named, tally.trials),
            tally.percent(tally.all_named),
            tally.innocents_accused,
            tally.innocents_tested,
            tally.log_p_value / trials as f64,
            if cost.is_nan() { "-".to_owned() } else { format!("{cost:.4}") },
            tally.found_in_words()
        )
    }

    fn has_goal(&self) -> bool {
        self.scene.goal() != Goal::None
    }

    /// How long it takes to have so many trials, at the pace so far.
    fn wants(&self, trials: usize) -> Duration {
        let made = u32::try_from(self.next - 1).unwrap_or(u32::MAX);
        if made == 0 {
            return Duration::MAX;
        }
        let missing = u32::try_from(trials.saturating_sub(self.tally.trials)).unwrap_or(u32::MAX);
        (self.spent / made).saturating_mul(missing)
    }

    /// Tests all who are registered in one trial, on all processors.
    fn test_everybody(&mut self) -> Result<(), Failure> {
        if !self.tests_everybody {
            self.tally.add(&trial(&*self.scene, 0, true)?);
            self.tests_everybody = true;
        }
        Ok(())
    }

    /// More trials on all processors until there are so many or it is so late; one of them whatever the time.
    fn advance(&mut self, trials: usize, until: Instant) -> Result<(), Failure> {
        let begun = Instant::now();
        // Those that test some have numbers from one on.
        let end = trials + 1 - usize::from(self.tests_everybody);
        let (next, scene) = (AtomicUsize::new(self.next), &*self.scene);
        let made = Mutex::new((&mut self.tally, Ok(())));
        std::thread::scope(|scope| {
            for _ in 0..processors() {
                scope.spawn(|| {
                    while next.load(Ordering::Relaxed) == 1 || Instant::now() < until {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= end {
                            return;
                        }
                        let outcome = trial(scene, number, false);
                        let Ok(mut made) = made.lock() else { return };
                        match outcome {
                            Ok(trial) => made.0.add(&trial),
                            Err(failure) => {
                                made.1 = Err(failure);
                                return;
                            }
                        }
                    }
                });
            }
        });
        made.into_inner().map_err(|_| "a trial panicked")?.1?;
        self.next = next.into_inner().min(end);
        self.spent += begun.elapsed();
        Ok(())
    }
}

/// Makes trials of all lines: a turn for each, everybody tested once in each, and then the rest of the time to those that want
/// least of it, goals first.
pub fn advance_all(lines: &mut [&mut Line<'_>], trials: usize, deadline: Instant) -> Result<(), Failure> {
    let time = deadline.saturating_duration_since(Instant::now());
    let first_end = Instant::now() + time.mul_f64(FIRST_ROUND_SHARE);
    let everybody_end = first_end + time.mul_f64(EVERYBODY_SHARE);
    let count = lines.len();
    for (at, line) in lines.iter_mut().enumerate() {
        let turn = first_end.saturating_duration_since(Instant::now()) / u32::try_from(count - at).unwrap_or(u32::MAX);
        let wanted = if line.has_goal() { trials } else { trials.min(REPORTED_TRIALS) };
        // One is left for the trial that tests everybody.
        line.advance(wanted.saturating_sub(1), Instant::now() + turn)?;
        eprintln!("{}/{count}: {}", at + 1, line.in_words());
    }
    lines.sort_by_key(|line| line.tally.positions / line.tally.trials.max(1));
    for line in lines.iter_mut() {
        if Instant::now() < everybody_end {
            line.test_everybody()?;
        }
    }
    for goals in [true, false] {
        let mut unfinished: Vec<&mut &mut Line<'_>> =
            lines.iter_mut().filter(|line| line.has_goal() == goals && line.tally.trials < trials).collect();
        unfinished.sort_by_key(|line| line.wants(trials));
        let count = unfinished.len();
        for (at, line) in unfinished.into_iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            // Who can't be completed any more leaves as much to each that comes after.
            let turn = if line.wants(trials) <= left { left } else { left / u32::try_from(count - at).unwrap_or(1) };
            line.advance(trials, Instant::now() + turn)?;
            eprintln!("again {}/{count}: {}", at + 1, line.in_words());
        }
    }
    for line in lines.iter_mut() {
        if Instant::now() < deadline {
            line.test_everybody()?;
        }
    }
    Ok(())
}
