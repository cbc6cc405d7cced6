//! The domain: scopes, parties, the state machines of every institution, and who may command what.
//!
//! Data passes through in one direction. A [`command::Command`] comes in with a [`decide::Context`] (author, time, id);
//! [`decide::decide`] looks at the [`state::State`] and answers either events and the versions of all it read, or a
//! [`refusal::Refusal`]. Events, once in the journal, are folded back into the state by [`state::State::apply`], and rows
//! for people are projected from it. [`grant::Grant::of`] walks the chain of rights from an order up to its resources
//! and is all that the data plane is given.
//!
//! Deliberately absent: I/O, clocks, randomness, SQL, HTTP, and any copy of a right: what is in force is always computed.

pub mod access;
pub mod answer;
pub mod calendar;
pub mod chain;
pub mod command;
pub mod consent;
pub mod consent_batch;
pub mod correction;
pub mod decide;
pub mod erasure;
pub mod event;
pub mod grant;
pub mod id;
pub mod lineage;
pub mod mandate;
pub mod marking;
pub mod node;
pub mod order;
pub mod party;
pub mod permit;
pub mod plan;
pub mod predicate;
pub mod price;
pub mod privacy;
pub mod product;
pub mod quality;
pub mod receipt;
pub mod refusal;
pub mod registration;
pub mod resource;
pub mod right;
pub mod rulebook;
pub mod scope;
pub mod settlement;
pub mod shared_quota;
pub mod state;
pub mod supply;
pub mod trace;
