//! What `make bench-trace` calls met: the limits of a rate and the verdicts that hang on them; and what it keeps from run to run.

#[path = "../examples/attacks/confidence.rs"]
mod confidence;
#[path = "../examples/attacks/goal.rs"]
mod goal;
#[path = "../examples/attacks/state.rs"]
mod state;

use confidence::{CONFIDENCE, lower_limit, upper_limit};
use goal::{Goal, INNOCENTS_ASKED, INNOCENTS_LIMIT, TRIALS_ASKED, innocents_in_words, within};
use proptest::prelude::*;
use state::State;

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

#[test]
fn what_is_kept_is_there_in_the_next_run_and_another_program_refuses_it() {
    let path = std::env::temp_dir().join(format!("lingqu-attacks-{}", std::process::id()));
    let open = || State::open(path.to_str());
    let (records, names) = ([vec![1.0, -0.1, f64::INFINITY], vec![2.0, 1e-300]], ["flights: 1 % of rows", "census"]);
    for record in &records {
        // Each by a run of its own.
        open().unwrap().keep(names[0], record).unwrap();
    }
    assert_eq!(open().unwrap().before(names[0]), records);
    assert!(open().unwrap().before(names[1]).is_empty());
    // A run that was killed while it wrote.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{}\t3", names[0])).unwrap();
    open().unwrap().keep(names[1], &records[0]).unwrap();
    let again = open().unwrap();
    assert_eq!((again.before(names[0]), again.before(names[1])), (&records[..], &records[..1]));
    std::fs::write(&path, text.replacen("attacks\t", "attacks\tof before ", 1)).unwrap();
    let refusal = open().map(|_| ()).unwrap_err().to_string();
    assert!(refusal.contains("another program"), "{refusal}");
    std::fs::remove_file(&path).unwrap();
    // Without a file nothing is kept.
    let none = State::open(Some("")).unwrap();
    none.keep(names[0], &records[0]).unwrap();
    assert!(none.before(names[0]).is_empty());
}
