//! The domain as its callers use it: whole lives of data, everything that is refused, random sequences of commands, and
//! the contracts that are committed as golden files.
//!
//! `world` folds decisions in memory, `life` walks the life of data step by step with the documents of `details`,
//! `crooked` walks it with random ones, `dice` and `due` make random commands; every other file tests one thing on top.

mod attacks;
mod consent_agents;
mod contracts;
mod corrections;
mod crooked;
mod details;
mod dice;
mod due;
mod events;
mod four_eyes;
mod golden;
mod implementers;
mod invariants;
mod keeps;
mod life;
mod many_windows;
mod marking;
mod misfits;
mod privacy;
mod refusals;
mod renewals;
mod scopes;
mod sequences;
mod shared_quotas;
mod state_tables;
mod suspension;
mod table;
mod world;
