//! A journal that was tampered with is found by folding: an event that could not have been decided in a state does not fit
//! it. Every event of an entity is tried on each of its states.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::access::Actor;
use lingqu_domain::event::{Event, Recorded};
use lingqu_domain::node::NODE_STREAM;

use crate::contracts::worlds;
use crate::golden;
use crate::life::Life;
use crate::state_tables::machines;
use crate::world::World;

/// Every event that any life knows of an entity, by kind; lives of one origin name their entities alike.
fn examples(worlds: &[World], stream: &str) -> BTreeMap<String, Vec<(Event, Actor)>> {
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for world in worlds {
        for recorded in world.journal.iter().filter(|recorded| recorded.stream == stream) {
            let known = found.entry(recorded.event.kind()).or_default();
            if known.iter().all(|(event, _)| *event != recorded.event) {
                known.push((recorded.event.clone(), recorded.actor.clone()));
            }
        }
    }
    found
}

fn fits(life: &Life, stream: &str, event: &Event, actor: &Actor) -> bool {
    let mut state = life.world.state.clone();
    let recorded = Recorded {
        position: state.position + 1,
        at: life.world.now,
        actor: actor.clone(),
        stream: stream.to_owned(),
        stream_version: state.version(stream) + 1,
        event: event.clone(),
    };
    state.apply(&recorded).is_ok()
}

/// Machine and state, with the kinds of events that fit and those that do not.
type Table = BTreeMap<(&'static str, &'static str), (BTreeSet<String>, BTreeSet<String>)>;

fn folded() -> Table {
    let worlds = worlds();
    let mut table = BTreeMap::new();
    for machine in machines() {
        for (state, life) in &machine.states {
            let stream = if machine.entity.is_empty() { NODE_STREAM.to_owned() } else { life.link(machine.entity) };
            let (mut fitting, mut misfits) = (BTreeSet::new(), BTreeSet::new());
            for (kind, events) in examples(&worlds, &stream) {
                let fit = events.iter().any(|(event, actor)| fits(life, &stream, event, actor));
                if fit {
                    fitting.insert(kind)
                } else {
                    misfits.insert(kind)
                };
            }
            table.insert((machine.name, *state), (fitting, misfits));
        }
    }
    table
}

#[test]
fn events_fit_the_states_that_are_agreed() {
    let mut text = String::from("# machine / state → events that fit | events that do not\n");
    for ((machine, state), (fitting, misfits)) in folded() {
        let list = |kinds: &BTreeSet<String>| kinds.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        text.push_str(&format!("\n{machine}: {state}\n  + {}\n  - {}\n", list(&fitting), list(&misfits)));
    }
    golden::check("fold_tables.txt", &text);
}

#[test]
fn a_misfit_is_found_and_never_papered_over() {
    let table = folded();
    for (machine, state, kinds) in [
        ("node", "initialised", &["node.initialised", "node.rulebook_adopted"][..]),
        ("user", "disabled", &["user.disabled", "user.added"]),
        ("resource", "drafted", &["resource.registration_applied", "resource.certified"]),
        ("resource", "signed", &["resource.signed", "resource.certified"]),
        ("resource", "in_registration", &["resource.signed", "resource.drafted"]),
        ("resource", "registered", &["resource.certified"]),
        ("ticket", "open", &["ticket.closed"]),
        ("ticket", "closed", &["ticket.answered", "ticket.closed"]),
        ("registration", "applied", &["registration.publicised", "registration.certified"]),
        ("registration", "returned", &["registration.accepted", "registration.certified"]),
        ("registration", "certified", &["registration.returned", "registration.certified"]),
        ("supply", "refused", &["supply.confirmed", "supply.withdrawn"]),
        ("supply", "withdrawn", &["supply.confirmed", "supply.withdrawn"]),
        ("plan", "drafted", &["plan.approved"]),
        ("plan", "returned", &["plan.approved", "plan.submitted"]),
        ("mandate", "drafted", &["mandate.signed", "mandate.entered_force"]),
        ("mandate", "approved", &["mandate.entered_force", "mandate.suspended", "mandate.revoked"]),
        ("mandate", "in_force", &["mandate.approved", "mandate.signed", "mandate.resumed"]),
        ("mandate", "revoked", &["mandate.resumed", "mandate.suspended", "mandate.entered_force", "mandate.approved"]),
        ("permit", "applied", &["permit.opinion_given", "permit.approved", "permit.suspended"]),
        ("permit", "applied, the competent department disagrees", &["permit.approved", "permit.confirmed"]),
        ("permit", "refused", &["permit.approved", "permit.resumed"]),
        ("permit", "approved", &["permit.resumed", "permit.refused"]),
        ("product", "drafted", &["product.listed", "product.registration_applied", "product.certified"]),
        ("product", "reviewed, certified", &["product.listed", "product.price_set", "product.certified"]),
        ("product", "listed", &["product.output_reviewed", "product.listed"]),
        ("order", "placed", &["order.activated", "order.key_issued", "order.suspended"]),
        (
            "order",
            "active",
            &["order.signed", "order.activated", "order.resumed", "order.key_revoked", "order.mark_keys_renewed"],
        ),
        ("order", "ended", &["order.resumed", "order.activated", "order.ended", "order.key_issued"]),
        ("consent", "withdrawn", &["consent.withdrawn", "consent.narrowed"]),
        ("consent_batch", "withdrawn", &["consent_batch.member_withdrawn", "consent_batch.recorded"]),
        ("meter", "closed", &["meter.corrected", "meter.released"]),
        ("meter", "settled", &["meter.settled", "meter.closed", "meter.correction_proposed", "meter.corrected"]),
        ("settlement", "reversed", &["settlement.confirmed", "settlement.reversed", "settlement.voucher_recorded"]),
        ("settlement", "closed", &["settlement.voucher_recorded"]),
        ("settlement", "paid_in", &["settlement.confirmed", "settlement.reversed"]),
    ] {
        let (_, misfits) = &table[&(machine, state)];
        for kind in kinds {
            assert!(misfits.contains(*kind), "{kind} fits {machine} that is {state}, or there is no example of it");
        }
    }
}
