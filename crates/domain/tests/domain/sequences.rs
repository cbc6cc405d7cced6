//! Random sequences of commands on a node anywhere in its life.

use jiff::ToSpan;
use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::decide::Decision;
use lingqu_domain::event::{Event, Recorded, canonical};
use lingqu_domain::state::{EntityKind, State};
use proptest::prelude::*;

use crate::crooked;
use crate::dice::{self, Dice};
use crate::due;
use crate::four_eyes;
use crate::invariants::{self, Seen};
use crate::life::{Life, STEPS};
use crate::scopes::seeded;

/// Cases of the long property: each is a life cut anywhere and some dozens of turns after it.
const CASES: u32 = 300;
const TURNS_MAX: usize = 40;
/// Commands that are tried in a turn until one is accepted.
const TRIES_MAX: u64 = 6;

/// Where random commands begin.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// In the plain life, after a step.
    Plain(usize),
    /// At the end of a life with random documents.
    Crooked(u64),
}

impl Start {
    pub fn life(self) -> Life {
        match self {
            Start::Plain(step) => Life::after(step).clone(),
            Start::Crooked(seed) => crooked::life(seed),
        }
    }
}

/// Anywhere in the plain life, often where there are orders, or after a crooked one.
pub fn start() -> impl Strategy<Value = Start> {
    let orders = STEPS.iter().position(|(step, _)| *step == "contracts signed").unwrap();
    prop_oneof![
        1 => (0..STEPS.len()).prop_map(Start::Plain),
        1 => (orders..STEPS.len()).prop_map(Start::Plain),
        2 => any::<u64>().prop_map(Start::Crooked),
    ]
}

/// Every stream that events go to was read, at the version it has; else a race could slip in between.
fn reads_cover_writes(state: &State, decision: &Decision) {
    for new in &decision.events {
        assert_eq!(decision.reads.get(&new.stream), Some(&state.version(&new.stream)), "{}", new.stream);
    }
    for (stream, version) in &decision.reads {
        let expected = if stream == "journal" { state.position } else { state.version(stream) };
        assert_eq!(*version, expected, "{stream}");
    }
}

/// The journal in its canonical form, read again and folded from nothing.
fn replayed(journal: &[Recorded]) -> State {
    let mut state = State::default();
    for recorded in journal {
        let text = canonical(&recorded.event);
        let event: Event = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(event, recorded.event);
        assert_eq!(canonical(&event), text);
        state.apply(&Recorded { event, ..recorded.clone() }).unwrap();
    }
    state
}

fn same_tables(left: &State, right: &State) {
    for kind in EntityKind::ALL {
        assert_eq!(left.rows(*kind), right.rows(*kind), "{}", kind.table());
        for row in left.rows(*kind) {
            assert_eq!(left.row(&row.id).as_ref(), Some(&row));
            assert_eq!(EntityKind::of(&row.id), Some(*kind));
        }
    }
    assert!(left == right, "the rows agree and the states do not");
}

fn give(life: &mut Life, actor: &Actor, command: Command, seen: &mut Seen) {
    let first = life.world.decide(actor, &command);
    assert_eq!(first, life.world.decide(actor, &command), "the same question has the same answer");
    match first {
        Ok(decision) => {
            reads_cover_writes(&life.world.state, &decision);
            assert!(!decision.events.is_empty(), "{command:?} was accepted and nothing happened");
            life.world.give(actor, command).unwrap();
            seen.accepted += 1;
        }
        Err(refusal) => {
            assert!(!refusal.zh.is_empty() && !refusal.en.is_empty());
            seen.refused += 1;
        }
    }
}

/// Lives on with random commands and checks every invariant after each that is accepted.
pub fn live_on(start: Start, turns: &[u64], seen: &mut Seen) -> Life {
    let mut life = start.life();
    check(&life, seen);
    for seed in turns {
        let before = life.world.state.position;
        let mut dice = Dice::new(*seed);
        if dice.once_in(12) {
            let days = dice.one_of(&[1, 20, 20, 200]);
            life.world.now = life.world.now.saturating_add((24 * days).hours()).unwrap();
        }
        let mut tries_left = TRIES_MAX;
        while tries_left > 0 && life.world.state.position == before {
            let due = if dice.below(2) == 1 { due::command(&mut dice, &life) } else { None };
            let command = due.unwrap_or_else(|| dice::command(&mut dice, &life));
            let actor = dice::actor(&mut dice, &life, &command);
            give(&mut life, &actor, command, seen);
            tries_left -= 1;
        }
        if life.world.state.position > before {
            check(&life, seen);
        }
    }
    life
}

fn check(life: &Life, seen: &mut Seen) {
    invariants::power_only_narrows(&life.world, seen);
    invariants::money_is_conserved(&life.world, seen);
    invariants::windows_are_apart(&life.world);
    four_eyes::users_are_their_partys(&life.world.journal);
}

#[test]
fn no_sequence_widens_power_loses_money_or_panics() {
    let mut runner = proptest::test_runner::TestRunner::new(seeded(CASES));
    let seen = std::cell::Cell::new(Seen::default());
    runner
        .run(&(start(), proptest::collection::vec(any::<u64>(), 1..=TURNS_MAX)), |(start, turns)| {
            let mut counted = seen.get();
            let life = live_on(start, &turns, &mut counted);
            seen.set(counted);
            same_tables(&life.world.state, &replayed(&life.world.journal));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let seen = seen.get();
    println!("{seen:?}");
    assert!(
        seen.grants > 1_000
            && seen.other_scopes > 500
            && seen.settlements > 200
            && seen.reversals > 20
            && seen.corrected > 5,
        "too little was seen to show anything: {seen:?}"
    );
    assert!(seen.accepted > 1_500 && seen.refused > 1_500, "neither only right nor only wrong commands: {seen:?}");
}

#[test]
fn the_life_replays_to_the_same_tables() {
    let life = Life::whole();
    same_tables(&life.world.state, &replayed(&life.world.journal));
}

#[test]
fn commands_round_trip() {
    for (_, command) in &Life::whole().world.accepted {
        let text = canonical(command);
        let read: Command = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(read, *command);
    }
}
