//! What the bench is asked to show, and whether it did.

use crate::confidence::upper_limit;

/// How many trials it takes to say that a goal is met.
pub const TRIALS_ASKED: usize = 200;

/// How many innocents have to be tried for the same.
pub const INNOCENTS_ASKED: u64 = 100_000;

/// What the upper confidence limit of innocents at a bound of one in a thousand has to stay below.
pub const INNOCENTS_LIMIT: f64 = 1.3e-3;

/// Against rounding of a share times a number of trials.
const WHOLE: f64 = 1e-9;

/// In how many trials a colluder has to be named, of those attacks that have a goal.
#[derive(Clone, Copy, PartialEq)]
pub enum Goal {
    Share(f64),
    /// What is achieved is reported.
    None,
}

impl Goal {
    /// Met with enough trials only; missed as soon as too many failed for the trials that are asked, made or not.
    pub fn in_words(self, named: usize, trials: usize) -> String {
        let Goal::Share(share) = self else {
            return "none".to_owned();
        };
        let failures_max = ((1.0 - share) * trials.max(TRIALS_ASKED) as f64 + WHOLE) as usize;
        let verdict = match trials - named {
            failed if failed > failures_max => "MISSED".to_owned(),
            _ if trials >= TRIALS_ASKED => "met".to_owned(),
            _ => format!("too few trials ({trials} of {TRIALS_ASKED})"),
        };
        format!("≥ {:.1} %: {verdict}", 100.0 * share)
    }
}

/// Whether so many innocents above a bound of one in a thousand show that it is kept.
pub fn innocents_in_words(above: u64, trials: u64) -> String {
    let limit = upper_limit(above, trials);
    match (trials >= INNOCENTS_ASKED, limit < INNOCENTS_LIMIT) {
        (true, true) => "met".to_owned(),
        (true, false) => "MISSED".to_owned(),
        (false, _) => format!("too few trials ({trials} of {INNOCENTS_ASKED})"),
    }
}

/// Whether what was measured at worst is within what is allowed.
pub fn within(worst: f64, most: f64) -> &'static str {
    if worst <= most { "met" } else { "MISSED" }
}
