//! A line of the table: trials of one way to leak, until there are enough or the time is over.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::confidence::lower_limit;
use crate::goal::Goal;
use crate::registry::REGISTERED;
use crate::state::State;
use crate::trial::{Failure, Found, Scene, Trial, processors, trial};

/// The share of the time in which everybody is tested once in as many lines as go into it.
const EVERYBODY_SHARE: f64 = 0.2;

/// Trials of a line without a goal, until all those with one have theirs.
const REPORTED_TRIALS: usize = 30;

pub const HEAD: &str = "attack | rows | positions | trials | tested in a trial | named | named at least (99 %) | goal | all named | \
                        innocents accused, of those tested | mean log10 p | off the originals | rows found, wrongly";

pub struct Line<'a> {
    scene: Arc<dyn Scene + 'a>,
    state: &'a State,
    tally: Tally,
    /// The next trial that tests some; the one of number nought tests everybody.
    next: usize,
    /// Numbers of trials by runs before.
    before: BTreeSet<usize>,
    tests_everybody: bool,
    /// By those trials that were made, on one processor.
    spent: Duration,
    made: u32,
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
    /// A line with the trials of runs before.
    pub fn new(scene: Box<dyn Scene + 'a>, state: &'a State) -> Result<Self, Failure> {
        let mut line = Self {
            scene: Arc::from(scene),
            state,
            tally: Tally::default(),
            next: 1,
            before: BTreeSet::new(),
            tests_everybody: false,
            spent: Duration::ZERO,
            made: 0,
        };
        for record in state.before(&line.title()) {
            let [number, seconds, record @ ..] = record.as_slice() else { return Err("a record is too short".into()) };
            let (number, trial) = (*number as usize, Trial::of_record(record).ok_or("a record is no trial's")?);
            match number {
                0 => line.tests_everybody = true,
                _ => {
                    line.before.insert(number);
                    line.took(Duration::try_from_secs_f64(*seconds)?);
                }
            }
            line.tally.add(&trial);
        }
        Ok(line)
    }

    /// Table and name.
    pub fn title(&self) -> String {
        title(&*self.scene)
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

    /// How long it takes on all processors to have so many trials, at the pace so far.
    fn wants(&self, trials: usize) -> Duration {
        if self.made == 0 {
            return Duration::MAX;
        }
        let missing = u32::try_from(trials.saturating_sub(self.tally.trials)).unwrap_or(u32::MAX);
        (self.spent / self.made / u32::try_from(processors()).unwrap_or(1)).saturating_mul(missing)
    }

    /// The number of the next trial until there are so many.
    fn take(&mut self, trials: usize) -> Option<usize> {
        while self.before.contains(&self.next) {
            self.next += 1;
        }
        // Those that test some have numbers from one on.
        let is_missing = self.next + usize::from(self.tests_everybody) <= trials;
        is_missing.then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    fn took(&mut self, time: Duration) {
        self.spent += time;
        self.made += 1;
    }

    fn keep(&mut self, number: usize, took: Duration, trial: &Trial) -> Result<(), Failure> {
        self.tally.add(trial);
        let record = [vec![number as f64, took.as_secs_f64()], trial.record()].concat();
        self.state.keep(&self.title(), &record)
    }

    /// Tests all who are registered in one trial, on all processors.
    fn test_everybody(&mut self) -> Result<(), Failure> {
        if !self.tests_everybody {
            let begun = Instant::now();
            let trial = trial(&*self.scene, 0, true)?;
            self.tests_everybody = true;
            self.keep(0, begun.elapsed(), &trial)?;
        }
        Ok(())
    }
}

/// Table and name of a way to leak.
pub fn title(scene: &dyn Scene) -> String {
    format!("{}: {}", scene.registry().table, scene.name())
}

/// Lines whose trials are dealt out, line by line.
struct Deal<'d, 'l, 'a> {
    lines: &'d mut [&'l mut Line<'a>],
    trials: usize,
    /// Whose turn it is, and until when.
    at: usize,
    turn_end: Instant,
    deadline: Instant,
    outcome: Result<(), Failure>,
}

impl<'a> Deal<'_, '_, 'a> {
    /// The next trial: of which line, how it leaks, and its number.
    fn next(&mut self) -> Option<(usize, Arc<dyn Scene + 'a>, usize)> {
        while self.outcome.is_ok() && self.at < self.lines.len() {
            let (at, trials) = (self.at, self.trials);
            let line = &mut self.lines[at];
            // One of each whatever the time.
            let is_due = Instant::now() < self.turn_end || (line.next == 1 && line.before.is_empty());
            if let Some(number) = is_due.then(|| line.take(trials)).flatten() {
                return Some((at, Arc::clone(&line.scene), number));
            }
            eprintln!("{}/{}: {}", at + 1, self.lines.len(), self.lines[at].in_words());
            self.at += 1;
            self.begin_turn();
        }
        None
    }

    /// Who can be completed has the time for it, who can't leaves as much to each that comes after.
    fn begin_turn(&mut self) {
        let Some(line) = self.lines.get(self.at) else { return };
        let now = Instant::now();
        let left = self.deadline.saturating_duration_since(now);
        let after = u32::try_from(self.lines.len() - self.at).unwrap_or(u32::MAX);
        self.turn_end = now + if line.wants(self.trials) <= left { left } else { left / after };
    }

    fn add(&mut self, at: usize, number: usize, took: Duration, outcome: Result<Trial, Failure>) {
        let line = &mut self.lines[at];
        line.took(took);
        if let Err(failure) = outcome.and_then(|trial| line.keep(number, took, &trial)) {
            self.outcome = Err(failure);
        }
    }
}

/// Makes trials of these lines on all processors until each has so many or it is so late; one of each whatever the time.
fn advance(lines: &mut [&mut Line<'_>], trials: usize, deadline: Instant) -> Result<(), Failure> {
    let mut deal = Deal { lines, trials, at: 0, turn_end: deadline, deadline, outcome: Ok(()) };
    deal.begin_turn();
    let deal = Mutex::new(deal);
    let next = || deal.lock().ok()?.next();
    std::thread::scope(|scope| {
        for _ in 0..processors() {
            scope.spawn(|| {
                while let Some((at, scene, number)) = next() {
                    let begun = Instant::now();
                    let outcome = trial(&*scene, number, false);
                    let Ok(mut deal) = deal.lock() else { return };
                    deal.add(at, number, begun.elapsed(), outcome);
                }
            });
        }
    });
    deal.into_inner().map_err(|_| "a trial panicked")?.outcome
}

/// Makes trials of all lines: one of each, by which it shows how long they take; everybody tested once in each; and then the rest of
/// the time to those that want least of it, goals first.
pub fn advance_all(lines: &mut [&mut Line<'_>], trials: usize, deadline: Instant) -> Result<(), Failure> {
    let everybody_end = Instant::now() + deadline.saturating_duration_since(Instant::now()).mul_f64(EVERYBODY_SHARE);
    advance(lines, trials.min(1), Instant::now())?;
    lines.sort_by_key(|line| line.tally.positions / line.tally.trials.max(1));
    for line in lines.iter_mut().take_while(|_| Instant::now() < everybody_end) {
        line.test_everybody()?;
    }
    for (goals, wanted) in [(true, trials), (false, trials.min(REPORTED_TRIALS)), (false, trials)] {
        let unfinished = lines.iter_mut().filter(|line| line.has_goal() == goals && line.tally.trials < wanted);
        let mut unfinished: Vec<&mut Line<'_>> = unfinished.map(|line| &mut **line).collect();
        unfinished.sort_by_key(|line| line.wants(wanted));
        advance(&mut unfinished, wanted, deadline)?;
    }
    for line in lines.iter_mut().take_while(|_| Instant::now() < deadline) {
        line.test_everybody()?;
    }
    Ok(())
}
