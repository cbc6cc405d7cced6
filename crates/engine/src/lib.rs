//! The engine: everything that touches the rows of data, on Apache DataFusion, Arrow, Parquet and Delta tables.
//!
//! A [`source`] file is read once, checked and typed; its batches become a [`snapshot`], an immutable version of a
//! resource as a Delta table whose rows carry a hidden number. A [`product`] is SQL over the permitted part of some
//! snapshots, materialised as a keyed table; its columns' origins are worked out by [`lineage`]. Consumers meet data
//! only through a [`governed`] table, in which row filter, consent and masks of one grant are compiled into the scan
//! behind a barrier that no predicate of theirs can cross, and which by its [`marks`] is the copy of one recipient, with
//! [`decoys`] of his own where the contract names them; a
//! [`session`] holds such tables and nothing else, checks each statement against the allow-list in [`allow`] and yields
//! answers batch by batch, each with the numbers of the rows it reveals; what statistics it may give is also weighed
//! against the [`release`] record, or given with noise and paid for ([`privacy`]). [`lookup`] answers questions about one
//! key without SQL, [`export`] turns an answer into a file.
//! [`internal`] is the plain session of trusted code, such as the quality room.
//!
//! Data of departments comes from files, from tables of others ([`table_source`]), or stays in a department's PostgreSQL and is
//! read for each answer ([`federation`]); [`postgres`] is how such a database is spoken to.
//!
//! What is not here: who may have a grant (domain), receipts, quotas and money (app), protocols (gateway). The engine
//! is told what a grant allows and enforces it; it never decides it.

mod ahead;
pub mod allow;
mod answer;
mod attempts;
mod barrier;
mod blocks;
mod canonical;
mod columns;
pub mod consent;
mod correlated;
pub mod decoys;
pub mod engine;
mod execution;
mod explain;
pub mod export;
pub mod federation;
mod files;
pub mod governed;
mod guard;
mod held;
pub mod internal;
mod joins;
mod keyed;
pub mod lineage;
pub mod lookup;
pub mod marks;
mod mask;
mod membership;
mod memory;
pub mod object_place;
mod original_rows;
mod originals;
mod parameters;
pub mod postgres;
mod predicate;
pub mod privacy;
pub mod product;
mod raw;
pub mod receipt_table;
pub mod release;
mod rows_left;
mod rules;
pub mod schema_session;
pub mod session;
pub mod snapshot;
pub mod source;
mod stop;
mod sum;
pub mod table_source;
mod texts;

pub use columns::{ColumnType, ColumnView, SchemaView};
pub use engine::{Engine, EngineSettings};
pub use execution::{EngineError, Limits};
pub use files::{DataFile, StorageError, TableFiles};
pub use keyed::KeyedStatement;
pub use mask::PseudonymKeys;
pub use memory::KeptMemory;
pub use original_rows::OriginalRows;
pub use originals::ProductOriginals;
pub use parameters::PARAMETERS_MAX;
pub use raw::RawTable;
pub use rows_left::{RowsExactness, RowsLeft};

/// The hidden column that numbers the rows of a snapshot or product, from 0, in the order of the source or the key.
pub const ROW_COLUMN: &str = "__row";
/// The hidden column of a product that numbers the data subjects, from 0, without gaps.
pub const SUBJECT_COLUMN: &str = "__subject";
/// The hidden column that numbers the decoys among the rows that a product delivers; a real row has none.
pub const DECOY_COLUMN: &str = "__decoy";
/// Rows in a batch, everywhere in the engine.
pub const BATCH_ROWS: usize = 8_192;
