//! The store on SQLite and PostgreSQL: what it refuses, what survives, and that races and crashes leave it whole.

mod faults;
mod identity;
mod journal;
mod log;
mod quota;
mod race;
mod receipts;
mod release;
mod sample;
mod schema;
mod vault;
