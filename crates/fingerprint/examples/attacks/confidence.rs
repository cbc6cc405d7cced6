//! What a rate can be, by so many events in so many trials: exact limits (Clopper and Pearson 1934), not their approximations.
//!
//! They hold for independent trials of one rate. Where rates differ from trial to trial the binomial law of the mean rate is the
//! widest at its ends (Hoeffding 1956), so the limits hold for the mean and are rather too wide.

/// How sure a limit is, one-sided.
pub const CONFIDENCE: f64 = 0.99;

/// Halvings by which a limit is sought.
const HALVINGS: u32 = 60;

/// The rate above which so few events are seen once in a hundred times.
pub fn upper_limit(events: u64, trials: u64) -> f64 {
    if events >= trials {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if log_at_most(events, trials, middle) > (1.0 - CONFIDENCE).ln() { low = middle } else { high = middle }
    }
    high
}

/// The rate below which so many events are seen once in a hundred times.
pub fn lower_limit(events: u64, trials: u64) -> f64 {
    1.0 - upper_limit(trials.saturating_sub(events), trials)
}

/// The logarithm of the probability of at most so many events, each with this rate.
fn log_at_most(events: u64, trials: u64, rate: f64) -> f64 {
    let log_odds = rate.ln() - (-rate).ln_1p();
    let mut log_term = trials as f64 * (-rate).ln_1p();
    let mut log_sum = log_term;
    for event in 1..=events {
        log_term += ((trials - event + 1) as f64 / event as f64).ln() + log_odds;
        let (less, more) = (log_sum.min(log_term), log_sum.max(log_term));
        log_sum = more + (less - more).exp().ln_1p();
    }
    log_sum
}
