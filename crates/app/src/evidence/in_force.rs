//! Whether each delivery began while its chain of rights was in force: the journal is folded to the moment of the delivery,
//! and the grant computed as it was then.

use jiff::{SignedDuration, Timestamp};
use lingqu_domain::event::Recorded;
use lingqu_domain::grant::Grant;
use lingqu_domain::id::OrderId;
use lingqu_domain::receipt::{Opening, ReceiptBody, ReceiptRecord};
use lingqu_domain::state::State;

/// A change is in force at the next request. A request that came before it opens its delivery a little after it, and processes
/// on several machines have clocks of their own: so much later a delivery may have begun.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// How long a grant that was computed is taken to last, while nothing was decided and its term runs.
const COMPUTED_FOR: SignedDuration = SignedDuration::from_mins(10);

/// Holds the beginning of every delivery against the chain as it then was; `find` is told what is wrong: where, and what.
pub(super) fn check(
    events: &[Recorded],
    order: &OrderId,
    receipts: &[(u64, ReceiptRecord)],
    find: &mut dyn FnMut(String, String),
) {
    let mut begun: Vec<(Timestamp, u64, &Opening)> = receipts
        .iter()
        .filter_map(|(position, record)| match &record.body {
            ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } => Some((record.at, *position, opening)),
            ReceiptBody::Part { .. } | ReceiptBody::Closed { .. } => None,
        })
        .collect();
    begun.sort_by_key(|(at, position, _)| (*at, *position));
    let mut state = State::default();
    let mut waiting = events.iter().peekable();
    // The last grant that was computed: how many events it rests on, and until when it is taken to last.
    let mut known: Option<(u64, Timestamp, Grant)> = None;
    for (at, position, opening) in begun {
        while let Some(event) = waiting.next_if(|event| event.at <= at) {
            if state.apply_selected(event).is_err() {
                // The records do not fold, which was told already.
                return;
            }
        }
        let is_known = known.as_ref().is_some_and(|(folded, until, _)| *folded == state.position && at < *until);
        if !is_known {
            let computed = Grant::of(&state, order, at).or_else(|refusal| {
                let before = at.checked_sub(LEEWAY).unwrap_or(at);
                Grant::of(&state, order, before).map_err(|_| refusal)
            });
            match computed {
                Ok(grant) => {
                    let until = at.checked_add(COMPUTED_FOR).unwrap_or(at).min(grant.scope.term.until);
                    known = Some((state.position, until, grant));
                }
                Err(_) if state.last_at.is_some_and(|last| at.duration_since(last) <= LEEWAY) => continue,
                Err(refusal) => {
                    find(
                        format!("receipt record {position}"),
                        format!("the delivery began while no right was in force: {}", refusal.en),
                    );
                    continue;
                }
            }
        }
        if let Some((_, _, grant)) = &known
            && !grant.scope.modes.contains(&opening.mode)
            && state.last_at.is_none_or(|last| at.duration_since(last) > LEEWAY)
        {
            let problem = format!("the rights of that moment did not allow {}", opening.mode.code());
            find(format!("receipt record {position}"), problem);
        }
    }
}
