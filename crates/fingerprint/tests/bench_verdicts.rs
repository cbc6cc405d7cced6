//! What `make bench-trace` calls met: the limits of a rate and the verdicts that hang on them.

#[path = "../examples/attacks/confidence.rs"]
mod confidence;
#[path = "../examples/attacks/goal.rs"]
mod goal;

use confidence::{CONFIDENCE, lower_limit, upper_limit};
use goal::{Goal, INNOCENTS_ASKED, INNOCENTS_LIMIT, TRIALS_ASKED, innocents_in_words, within};
use proptest::prelude::*;

/// P(at most so many events) by adding up the binomial law, outcome by outcome.
fn at_most(events: u64, trials: u64, rate: f64) -> f64 {
    let choose = |k: u64| (0..k).map(|i| (trials - i) as f64 / (i + 1) as f64).product::<f64>();
    (0..=events).map(|k| choose(k) * rate.powi(k as i32) * (1.0 - rate).powi((trials - k) as i32)).sum()
}

proptest! {
    #[test]
    fn a_limit_is_the_rate_at_which_as_much_is_seen_once_in_a_hundred_times(trials in 1..60u64, share in 0.0..1.0f64) {
        let events = (share * trials as f64) as u64;
        let (low, high) = (lower_limit(events, trials), upper_limit(events, trials));
        prop_assert!(low <= events as f64 / trials as f64 && events as f64 / trials as f64 <= high);
        if events < trials {
            prop_assert!((at_most(events, trials, high) - (1.0 - CONFIDENCE)).abs() < 1e-9);
        }
        if events > 0 {
            prop_assert!((1.0 - at_most(events - 1, trials, low) - (1.0 - CONFIDENCE)).abs() < 1e-9);
        }
    }

    #[test]
    fn more_trials_of_the_same_say_more(events in 0..200u64, trials in 1_000..100_000u64) {
        prop_assert!(upper_limit(2 * events, 2 * trials) < upper_limit(events, trials));
        prop_assert!(upper_limit(events + 1, trials) > upper_limit(events, trials));
    }
}

#[test]
fn limits_of_nothing_and_of_everything() {
    // By the definition: 0.99 is the chance of an event or more.
    assert!((upper_limit(0, 200) - (1.0 - 0.01f64.powf(1.0 / 200.0))).abs() < 1e-12);
    assert!((lower_limit(200, 200) - 0.01f64.powf(1.0 / 200.0)).abs() < 1e-12);
    assert_eq!((upper_limit(5, 5), lower_limit(0, 5)), (1.0, 0.0));
    assert_eq!(upper_limit(0, 0), 1.0);
    // Of very many trials the law is Poisson's: none was seen, and e^-4.605 is one in a hundred.
    assert!((upper_limit(0, 100_000) * 1e5 - 100f64.ln()).abs() < 1e-3);
}

#[test]
fn a_goal_is_met_by_enough_trials_only() {
    let said = |share, named, trials| Goal::Share(share).in_words(named, trials);
    assert_eq!(said(0.99, 1, 1), "≥ 99.0 %: too few trials (1 of 200)");
    assert_eq!(said(0.99, TRIALS_ASKED - 1, TRIALS_ASKED - 1), "≥ 99.0 %: too few trials (199 of 200)");
    assert_eq!(said(0.99, 198, TRIALS_ASKED), "≥ 99.0 %: met");
    assert_eq!(said(0.99, 197, TRIALS_ASKED), "≥ 99.0 %: MISSED");
    assert_eq!(said(0.995, 199, TRIALS_ASKED), "≥ 99.5 %: met");
    assert_eq!(said(0.995, 198, TRIALS_ASKED), "≥ 99.5 %: MISSED");
    // Three that failed fail the goal whatever the other trials would come to.
    assert_eq!(said(0.99, 2, 4), "≥ 99.0 %: too few trials (4 of 200)");
    assert_eq!(said(0.99, 2, 5), "≥ 99.0 %: MISSED");
    assert_eq!(said(0.99, 990, 1_000), "≥ 99.0 %: met");
    assert_eq!(said(0.99, 989, 1_000), "≥ 99.0 %: MISSED");
    assert_eq!(Goal::None.in_words(0, 200), "none");
}

#[test]
fn innocents_keep_a_bound_when_their_limit_and_their_number_say_so() {
    assert_eq!(innocents_in_words(50, INNOCENTS_ASKED), "met");
    assert_eq!(innocents_in_words(0, INNOCENTS_ASKED - 1), "too few trials (99999 of 100000)");
    let first_missed = (0..300).find(|above| innocents_in_words(*above, INNOCENTS_ASKED) == "MISSED").unwrap();
    assert!(upper_limit(first_missed, INNOCENTS_ASKED) >= INNOCENTS_LIMIT);
    assert!(upper_limit(first_missed - 1, INNOCENTS_ASKED) < INNOCENTS_LIMIT);
    // Of 130 expected at that rate fewer have to be seen.
    assert!((100..130).contains(&first_missed), "{first_missed}");
}

#[test]
fn what_is_beyond_or_not_a_number_is_missed() {
    assert_eq!((within(0.0, 0.0), within(1.0, 0.0), within(f64::NAN, 1.0)), ("met", "MISSED", "MISSED"));
}
