//! What evidence and replay find when the operator of a node tampers with what it keeps: each thing is changed by one row
//! or one byte, past the program, and must be found and named. Both databases.

mod answers;
mod bundles;
mod complete;
mod erased;
mod in_force;
mod parts;
mod replays;
mod tampered;
