//! The whole life works, and the grants at its end are what the documents say.

use std::collections::BTreeMap;

use lingqu_domain::consent::needed;
use lingqu_domain::event::canonical;
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::{Mode, Precision};
use lingqu_ledger::Fen;

use crate::details::{condition, name, purpose, purposes, term};
use crate::life::{DUE, Life, STEPS, subject};

#[test]
fn every_step_of_the_life_is_taken() {
    let mut positions = Vec::new();
    for (index, (step, _)) in STEPS.iter().enumerate() {
        let life = Life::after(index);
        assert!(index == 0 || Some(&life.world.state.position) > positions.last(), "{step} changed nothing");
        positions.push(life.world.state.position);
    }
}

#[test]
fn the_grant_of_rows_is_what_every_link_above_allows() {
    let life = Life::whole();
    let grant = life.grant("insurer's order").unwrap();
    assert_eq!(grant.consumer, life.party("insurer"));
    assert_eq!(grant.purpose, purpose("insurance/claim"));
    assert_eq!(grant.nature, Nature::Real);
    let scope = &grant.scope;
    assert_eq!(scope.purposes, purposes(&["insurance/claim"]));
    assert_eq!(scope.modes, [Mode::Verification, Mode::Statistics, Mode::Lookup, Mode::Rows, Mode::File].into());
    assert_eq!(scope.term, term("2026-12-01T00:00:00Z", "2027-06-01T00:00:00Z"));
    assert_eq!(scope.cohort_floor, 5);
    assert!(!scope.consent_required);
    // Row conditions speak of source columns, so they stand with the input and not with the output.
    assert!(scope.rows.is_empty());
    let input = &grant.inputs[&life.id("flights")].scope;
    assert_eq!(input.rows, [condition("carrier", "ZZ")].into());

    let pseudonym = Precision::PseudonymOfConsumer;
    let shown = |mode| -> BTreeMap<String, Precision> {
        scope.visible_in(mode).into_iter().map(|(column, precision)| (column.to_string(), precision)).collect()
    };
    let exact = |columns: &[&str]| -> BTreeMap<String, Precision> {
        columns.iter().map(|column| ((*column).to_owned(), Precision::Exact)).collect()
    };
    let mut rows = exact(&["flight_id", "day", "delay", "wind"]);
    rows.insert("tail".to_owned(), pseudonym);
    for mode in [Mode::Lookup, Mode::Rows, Mode::File] {
        assert_eq!(shown(mode), rows, "{mode:?}");
    }
    assert_eq!(shown(Mode::Statistics), exact(&["flight_id", "day", "delay", "wind"]));
    // What is computed from a coarsened column is hidden, and shown where the column is exact.
    assert_eq!(shown(Mode::Verification), exact(&["flight_id", "day", "delay", "tail", "tail_prefix", "wind"]));
    // A mode that the product could use and the order did not ask for shows nothing.
    assert_eq!(shown(Mode::Compute), BTreeMap::new());
    // What the mandate did not take of the resource is nowhere.
    assert!(!input.columns.contains_key(&name("crew")));
}

#[test]
fn the_grant_about_persons_verifies_with_consent_and_nothing_else() {
    let life = Life::whole();
    let grant = life.grant("platform's order").unwrap();
    assert_eq!(grant.nature, Nature::Synthetic);
    assert_eq!(grant.scope.modes, [Mode::Verification].into());
    assert_eq!(grant.scope.cohort_floor, 20);
    assert!(grant.scope.consent_required);
    assert_eq!(grant.scope.visible_in(Mode::Verification).len(), 2);
    assert!(grant.scope.visible_in(Mode::Rows).is_empty());

    let consented = |life: &Life, who: &str, what: &str| {
        let product = &life.world.state.products[&grant.product].value.details;
        let needed = needed(product, &grant.scope);
        assert_eq!(needed.keys().cloned().collect::<std::collections::BTreeSet<_>>(), grant.resources());
        life.world.state.consents.values().map(|consent| &consent.value).any(|consent| {
            consent.subject == subject()
                && consent.withdrawn_at.is_none()
                && consent.details.term.covers(life.world.now)
                && consent.details.permits(&life.party(who), &purpose(what), &needed)
        })
    };
    assert!(consented(&life, "platform", "public/licence"));
    assert!(consented(&life, "platform", "public/licence/taxi"));
    assert!(!consented(&life, "insurer", "public/licence"));
    assert!(!consented(&life, "platform", "public"));
    assert!(!consented(&Life::until("keys"), "platform", "public/licence"));
    let mut withdrawn = life.clone();
    let command = lingqu_domain::command::Command::WithdrawConsent { consent: life.id("consent") };
    withdrawn.world.done(&life.subject(), command);
    assert!(!consented(&withdrawn, "platform", "public/licence"));
    let mut later = life.clone();
    later.world.now = crate::world::at("2027-01-01T00:00:00Z");
    assert!(!consented(&later, "platform", "public/licence"));
}

#[test]
fn a_grant_names_all_it_was_computed_from() {
    let life = Life::whole();
    let grant = life.grant("insurer's order").unwrap();
    for link in [
        "insurer's order",
        "punctuality",
        "insurance permit",
        "mandate",
        "plan",
        "flights supply",
        "weather supply",
        "flights",
        "weather",
    ] {
        let id = life.link(link);
        assert_eq!(grant.links.get(&id), Some(&life.world.state.version(&id)), "{link}");
    }
    let again = life.grant("insurer's order").unwrap();
    assert_eq!(grant.digest(), again.digest());
    assert_ne!(grant.digest(), life.grant("platform's order").unwrap().digest());
}

#[test]
fn the_settlement_divides_the_fee_to_the_fen() {
    let life = Life::whole();
    let settlement = &life.world.state.settlements[&life.id("settlement")].value;
    let summary = &settlement.summary;
    assert_eq!(summary.fees.to_string(), "2440.14");
    assert_eq!(summary.treasuries.to_string(), DUE);
    assert_eq!(summary.providers.to_string(), "244.01");
    assert_eq!(summary.operators.to_string(), "1708.10");
    assert_eq!((summary.charged_count, summary.free_count), (1, 1));
    let lines: Vec<(u64, u64, String)> =
        settlement.lines.iter().map(|line| (line.calls, line.data_sets, line.fee.to_string())).collect();
    assert!(lines.contains(&(1_235, 1, "2440.14".to_owned())), "{lines:?}");
    assert!(lines.contains(&(40, 0, "0.00".to_owned())), "the public order is free: {lines:?}");
    assert_eq!(settlement.outstanding(&life.party("finance")), Fen::ZERO);
    let revenue = &life.world.state.permitted_revenues[&life.id("revenue")].value;
    assert_eq!(revenue.earned, summary.operators);
}

#[test]
fn keys_are_sorted_whatever_a_dependency_asks_of_the_json_library() {
    // The canonical encoding hangs on it; a feature that another crate turns on would keep the order of insertion.
    let value = serde_json::json!({"b": 1, "a": {"d": 2, "c": 3}});
    assert_eq!(canonical(&value), r#"{"a":{"c":3,"d":2},"b":1}"#);
}
