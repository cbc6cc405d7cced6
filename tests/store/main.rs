//! The store on SQLite and PostgreSQL: what it refuses, what survives, and that races and crashes leave it whole.

mod consent;
mod faults;
mod identity;
mod ingestion;
mod journal;
mod log;
mod mark_share;
mod privacy;
mod quota;
mod race;
mod receipts;
mod release;
mod requests;
mod sample;
mod schema;
mod sequencer;
mod subject;
mod twin;
mod vault;
mod witness;
