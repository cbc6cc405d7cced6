//! The PostgreSQL databases of departments: read, and never written.
//!
//! A database is reached by a *connection* that the node's configuration names; only the name stands in catalogue
//! entries, jobs and the journal, so that no password ever does. What is read is read in one transaction that is
//! read-only and sees one state of the database, with a limit on its time. A statement consists of words of this module,
//! quoted names and the places of its parameters; values travel beside it and are never part of its text. Names of
//! tables and columns come from people who are not trusted here: they are looked up in the database's catalogue as
//! values and quoted where they stand in a statement.
//!
//! Values come in PostgreSQL's binary form, are brought to the engine's types without loss or refused with row and
//! column, and never stand in an error. Neither does anything that the database says of its own: its messages repeat
//! values, so only the code of the error (SQLSTATE) is told.

mod address;
mod connections;
mod parameter;
mod relation;
mod rows;
mod value;

pub use address::{AddressUnfit, ConnectionName, TableAddress};
pub use connections::{Connections, PostgresError};
pub(crate) use connections::{Reading, ReadingTime};
pub(crate) use parameter::Parameter;
pub(crate) use relation::Relation;
#[cfg(test)]
pub(crate) use relation::RelationColumn;
pub(crate) use rows::{ReadRows, Statement, read_rows};
pub(crate) use value::{EPOCH_DAYS, EPOCH_MICROSECONDS, WireType};
