//! A node without a database: decide, record, fold.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::Timestamp;
use lingqu_crypto::sha256;
use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::decide::{Context, Decision, decide};
use lingqu_domain::event::Recorded;
use lingqu_domain::refusal::Refusal;
use lingqu_domain::state::State;

/// State and journal of a node, and its clock.
#[derive(Clone)]
pub struct World {
    pub state: State,
    pub journal: Vec<Recorded>,
    /// Every accepted command with its author.
    pub accepted: Vec<(Actor, Command)>,
    pub now: Timestamp,
    given: BTreeMap<&'static str, u64>,
}

impl World {
    pub fn new(now: &str) -> Self {
        Self {
            state: State::default(),
            journal: Vec::new(),
            accepted: Vec::new(),
            now: at(now),
            given: BTreeMap::new(),
        }
    }

    /// The command's context. Its id is made from the command's name and how often that was accepted before, so an
    /// entity keeps its id, and golden files their lines, when a step is added elsewhere.
    pub fn context(&self, actor: &Actor, command: &Command) -> Context {
        let count = self.given.get(command.name()).copied().unwrap_or(0);
        let digest = sha256(format!("{}/{count}", command.name()).as_bytes()).to_string();
        let command_id = format!("cmd_{}", &digest[..32]).parse().unwrap();
        Context { now: self.now, actor: actor.clone(), command_id }
    }

    /// Decides without recording.
    pub fn decide(&self, actor: &Actor, command: &Command) -> Result<Decision, Refusal> {
        decide(&self.state, command, &self.context(actor, command))
    }

    /// Decides, records and folds.
    pub fn give(&mut self, actor: &Actor, command: Command) -> Result<Vec<Recorded>, Refusal> {
        let decision = self.decide(actor, &command)?;
        let mut recorded = Vec::new();
        for new in decision.events {
            let event = Recorded {
                position: self.state.position + 1,
                at: self.now,
                actor: actor.clone(),
                stream_version: self.state.version(&new.stream) + 1,
                stream: new.stream,
                event: new.event,
            };
            self.state
                .apply(&event)
                .unwrap_or_else(|error| panic!("{command:?} made an event that does not fit: {error}"));
            recorded.push(event);
        }
        *self.given.entry(command.name()).or_default() += 1;
        self.accepted.push((actor.clone(), command));
        self.journal.extend(recorded.iter().cloned());
        Ok(recorded)
    }

    /// Gives a command that must be accepted.
    pub fn done(&mut self, actor: &Actor, command: Command) -> Vec<Recorded> {
        let shown = format!("{actor} {command:?}");
        self.give(actor, command).unwrap_or_else(|refusal| panic!("{shown}\n  was refused: {refusal}"))
    }

    /// The code with which a command is refused.
    pub fn refused(&self, actor: &Actor, command: &Command) -> Refusal {
        match self.decide(actor, command) {
            Err(refusal) => refusal,
            Ok(decision) => panic!("{command:?} was accepted: {:?}", decision.events),
        }
    }
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The first entity of a kind that some events brought into being.
pub fn created<I: FromStr>(recorded: &[Recorded]) -> I {
    let mut new = recorded.iter().filter(|event| event.stream_version == 1);
    new.find_map(|event| event.stream.parse().ok()).expect("the command creates an entity of this kind")
}
