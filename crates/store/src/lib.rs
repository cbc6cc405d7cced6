//! The store keeps what a node must not lose: the journal of decisions with its read tables and postings, the
//! erasable vault of personal data, logins and keys, delivery receipts, and the entries of the transparency log.
//! One code base serves SQLite (embedded, the default) and PostgreSQL (by URL).
//!
//! It is not a place for rules. It knows records, streams, rows, vault items, receipts and log entries; what they mean
//! is the domain's business, and what may be written was decided before it is called.
//!
//! How data passes through: a decision arrives as one [`journal::Append`] and is written in one transaction by one
//! writer at a time: the streams it read are checked, its records get gap-free positions, rows, postings, vault items
//! and keys are written beside them, and the digests of the salted records become log entries. A delivery's receipt
//! goes to the [`receipt::ReceiptLog`] and is durable when the call returns; a follower turns receipts into log entries.
//! The [`log::LogPublisher`] takes the entries in order, grows the tiles of the log and signs its checkpoint last.

pub mod canonical;
pub mod check;
pub mod consent;
pub mod error;
pub mod idempotency;
pub mod identity;
pub mod ingestion;
pub mod journal;
pub mod log;
pub mod mark_share;
pub mod migration;
pub mod paid_file;
pub mod posting;
pub mod privacy;
pub mod quota;
pub mod receipt;
pub mod release;
pub mod row;
pub mod service_key;
pub mod snapshot;
pub mod store;
pub mod vault;
pub mod witness;

pub use error::{AppendError, StoreError};
pub use store::{Backend, Store, StoreConfig};
