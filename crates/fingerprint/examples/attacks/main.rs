//! The table of attacks: who is named, and whether anybody innocent is, on the flights of `demo/data` and on a census-like
//! set that is made up. Rows come aligned, but in the lines where they are found first.
//!
//! ```text
//! cargo run --release -p lingqu-fingerprint --example attacks -- [seconds for each line] [most trials of a line] [words of the lines that are wanted]
//! ```

mod attack;
mod chance;
mod copies;
mod innocents;
mod models;
mod tables;

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use attack::{Attack, Goal, Mixing};
use chance::Chance;
use copies::{Found, Office, REGISTERED, Trial};
use tables::Table;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let budget = Duration::from_secs_f64(arguments.next().map_or(Ok(20.0), |text| text.parse())?);
    let trials_max = arguments.next().map_or(Ok(200), |text| text.parse())?;
    println!(
        "{REGISTERED} registered recipients, bound 1e-6; {} s a line, {trials_max} trials at most",
        budget.as_secs()
    );
    let plan = Plan { budget, trials_max, wanted: arguments.next().unwrap_or_default() };
    for table in [tables::flights()?, tables::census()?] {
        let office = Office::open(table)?;
        println!();
        println!("{}: {} rows, {}", office.table.name, office.table.batch.num_rows(), office.table.marks_in_words());
        office.distortion()?;
        let needed = office.rows_needed()?;
        println!("rows at which the Neyman-Pearson test of one recipient has power 0.99 (upper bound): {needed:.0}");
        println!(
            "off the originals: what the attack costs the data, root mean square in standard deviations; marks alone in the first line"
        );
        println!();
        println!(
            "attack | rows | positions | trials | tested | named | goal | all named | innocents accused | mean log10 p | off the originals"
        );
        println!("---|---|---|---|---|---|---|---|---|---|---");
        let rows = office.table.batch.num_rows() as f64;
        for share in [1.0, 0.1, 0.01, 0.003, 1.5 * needed / rows] {
            // Below one and a half times what the test itself needs nothing is promised.
            let goal = if share * rows < 1.5 * needed - 1.0 { Goal::None } else { Goal::Share(0.995) };
            office.line(&Attack { goal, ..Attack::kept(share) }, &plan)?;
        }
        for attack in Attack::on_values(0.1) {
            office.line(&attack, &plan)?;
        }
        office.line(&Attack::one_column(0.01), &plan)?;
        for attack in Attack::unaligned(0.01, 100_000.0 / rows) {
            office.line(&attack, &plan)?;
        }
        for size in [2, 3, 5, 10] {
            for mixing in Mixing::ALL {
                office.line(&Attack::coalition(size, mixing, office.table.coalition_share), &plan)?;
            }
        }
    }
    if plan.wanted.is_empty() {
        println!();
        innocents::measure(budget * 4)?;
    }
    Ok(())
}

struct Plan {
    budget: Duration,
    trials_max: usize,
    wanted: String,
}

/// What the trials of one line came to.
#[derive(Default)]
struct Line {
    trials: usize,
    named: usize,
    all_named: usize,
    innocents_accused: usize,
    tested: usize,
    positions: usize,
    found: usize,
    mistaken: usize,
    seconds: f64,
    log_p_value: f64,
    cost: f64,
}

impl Line {
    fn add(&mut self, trial: Trial) {
        let Found { matched, mistaken, seconds } = trial.found;
        self.trials += 1;
        self.named += usize::from(trial.caught > 0);
        self.all_named += usize::from(trial.caught == trial.colluders);
        self.innocents_accused += trial.innocents;
        self.tested += trial.tested;
        self.positions += trial.positions;
        self.found += matched;
        self.mistaken += mistaken;
        self.seconds += seconds;
        self.cost += trial.cost;
        self.log_p_value += trial.log_p_value / std::f64::consts::LN_10;
    }

    fn cost_in_words(&self) -> String {
        let cost = self.cost / self.trials as f64;
        if cost.is_nan() { "-".to_owned() } else { format!("{cost:.4}") }
    }

    fn percent(&self, count: usize) -> f64 {
        100.0 * count as f64 / self.trials as f64
    }
}

impl Office {
    fn line(&self, attack: &Attack, plan: &Plan) -> Result<(), Box<dyn Error>> {
        if !attack.name.contains(&plan.wanted) {
            return Ok(());
        }
        let line = self.trials(attack, plan)?;
        println!(
            "{} | {} | {} | {} | {} | {:.1} % | {} | {:.1} % | {} | {:.0} | {}",
            attack.name,
            attack.rows(self.table.batch.num_rows()),
            line.positions / line.trials,
            line.trials,
            line.tested,
            line.percent(line.named),
            attack.goal.in_words(line.named, line.trials),
            line.percent(line.all_named),
            line.innocents_accused,
            line.log_p_value / line.trials as f64,
            line.cost_in_words()
        );
        if attack.kept.is_some() {
            let leaked = line.trials * attack.rows(self.table.batch.num_rows());
            println!(
                "  of these rows {:.2} % were found, {} of them wrongly, in {:.1} s",
                100.0 * line.found as f64 / leaked as f64,
                line.mistaken,
                line.seconds / line.trials as f64
            );
        }
        Ok(())
    }

    /// Trials on all processors, until there are enough or the time is over. Each has a seed of its own, so that a trial is the
    /// same whoever makes it.
    fn trials(&self, attack: &Attack, plan: &Plan) -> Result<Line, Box<dyn Error>> {
        let begun = Instant::now();
        let (next, line) = (AtomicUsize::new(0), Mutex::new(Ok(Line::default())));
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= plan.trials_max || (number > 0 && begun.elapsed() >= plan.budget) {
                            return;
                        }
                        let mut chance = Chance::new(&format!("{} {number}", attack.name));
                        let trial = self.trial(attack, &mut chance).map_err(|error| error.to_string());
                        let Ok(mut line) = line.lock() else { return };
                        match (trial, &mut *line) {
                            (Ok(trial), Ok(line)) => line.add(trial),
                            (Err(error), line) => *line = Err(error),
                            (Ok(_), Err(_)) => return,
                        }
                    }
                });
            }
        });
        Ok(line.into_inner().map_err(|_| "a trial panicked")??)
    }
}

impl Table {
    fn marks_in_words(&self) -> String {
        let mark = |mark: &lingqu_fingerprint::Mark| {
            format!("{} at {:.0} %", mark.columns().join("+"), 100.0 * f64::from(mark.rate) / f64::from(u32::MAX))
        };
        self.marking.marks.iter().map(mark).collect::<Vec<_>>().join(", ")
    }
}
