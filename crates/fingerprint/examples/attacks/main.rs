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
use std::time::{Duration, Instant};

use attack::{Attack, Mixing};
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
        println!();
        println!("attack | rows | positions | trials | tested | named | all named | innocents accused | mean log10 p");
        println!("---|---|---|---|---|---|---|---|---");
        let rows = office.table.batch.num_rows() as f64;
        for share in [1.0, 0.1, 0.01, 0.003, 1.5 * needed / rows] {
            office.line(&Attack::kept(share), &plan)?;
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
                office.line(&Attack::coalition(size, mixing, 0.1), &plan)?;
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

impl Office {
    fn line(&self, attack: &Attack, plan: &Plan) -> Result<(), Box<dyn Error>> {
        if !attack.name.contains(&plan.wanted) {
            return Ok(());
        }
        let begun = Instant::now();
        let mut chance = Chance::new(&attack.name);
        let (mut trials, mut named, mut all, mut wrong, mut tested, mut positions) = (0, 0, 0, 0, 0, 0);
        let (mut found, mut mistakes, mut finding) = (0, 0, 0.0);
        let mut logs = 0.0;
        while trials < plan.trials_max && (trials == 0 || begun.elapsed() < plan.budget) {
            let Trial {
                caught,
                colluders,
                innocents,
                log_p_value,
                tested: count,
                positions: seen,
                found: Found { matched, mistaken, seconds },
            } = self.trial(attack, &mut chance)?;
            found += matched;
            mistakes += mistaken;
            finding += seconds;
            trials += 1;
            named += usize::from(caught > 0);
            all += usize::from(caught == colluders);
            wrong += innocents;
            tested += count;
            positions += seen;
            logs += log_p_value / std::f64::consts::LN_10;
        }
        let percent = |count: usize| 100.0 * count as f64 / trials as f64;
        println!(
            "{} | {} | {} | {trials} | {tested} | {:.1} % | {:.1} % | {wrong} | {:.0}",
            attack.name,
            attack.rows(self.table.batch.num_rows()),
            positions / trials,
            percent(named),
            percent(all),
            logs / trials as f64
        );
        if attack.kept.is_some() {
            let leaked = trials * attack.rows(self.table.batch.num_rows());
            let share = 100.0 * found as f64 / leaked as f64;
            println!(
                "  of these rows {share:.2} % were found, {mistakes} of them wrongly, in {:.1} s",
                finding / trials as f64
            );
        }
        Ok(())
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
