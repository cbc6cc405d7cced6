//! How often a file was traced before, and which part of the bound is left for another try.
//!
//! A bound holds for one test that was fixed before it was looked at. Who tries a file again with other settings, and shows the
//! answer that he likes, has as many tests as tries. So the journal counts them ([`lingqu_domain::trace`]), and the k-th trace
//! of a file may use 1 / k (k + 1) of the bound that is asked for: a half, a sixth, a twelfth and so on, which together are never
//! more than the whole, however many follow.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use lingqu_domain::trace::tries;

use super::report::TriesTrace;
use crate::app::App;

/// Days within which traces of other files are counted for the report.
const RECENT_DAYS: u32 = 30;
const DAY_HOURS: i64 = 24;

/// The part of the bound for a trace that so many of the same file came before.
pub(super) fn share_after(before: u64) -> f64 {
    let number = before as f64 + 1.0;
    1.0 / (number * (number + 1.0))
}

impl App {
    /// What the journal says of earlier traces of this file, and of others that were compared with the same versions.
    pub(super) fn tries_of(&self, journal_digest: &str, compared: &BTreeSet<String>) -> TriesTrace {
        let recent = SignedDuration::from_hours(i64::from(RECENT_DAYS) * DAY_HOURS);
        let since = self.now().checked_sub(recent).ok();
        self.read(|state| {
            let before = tries(state, journal_digest);
            let others = state.traces.values().filter(|trace| {
                let details = &trace.value.details;
                details.fragment_digest != journal_digest
                    && since.is_none_or(|since| trace.created_at >= since)
                    && details.compared.iter().any(|name| compared.contains(name))
            });
            TriesTrace {
                before,
                share: share_after(before),
                of_same_versions: others.count() as u64,
                days: RECENT_DAYS,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tries_of_a_file_together_have_no_more_than_the_bound() {
        assert_eq!([0, 1, 2].map(share_after), [1.0 / 2.0, 1.0 / 6.0, 1.0 / 12.0]);
        let mut spent = 0.0;
        for before in 0..100_000 {
            let share = share_after(before);
            assert!(share > 0.0 && share <= 0.5);
            spent += share;
            assert!(spent < 1.0, "{before}");
        }
        assert!(spent > 0.9999);
    }
}
