//! Live tables: data that stays in the department's PostgreSQL and is read for each answer.
//!
//! A [`LiveTable`] stands where the files of a snapshot stand otherwise, below the barrier of a governed table. Of a query
//! three things reach the database: the columns that are needed, the grant's own row filter, and those conditions of the
//! consumer that may go below the barrier at all, each only where PostgreSQL means by it exactly what the engine does
//! (the `condition` module). Everything else (limits, aggregates, sorts, functions, casts) stays here. The row filter is
//! applied again to whatever comes: the database is asked to send less, and is not trusted to.
//!
//! A value that comes and can't be kept ends the query, and that is something a consumer can see. So his conditions go
//! to the database only when the whole row filter goes with them: otherwise he could ask, condition by condition, about
//! rows he may not see, and watch which question fails.
//!
//! The rows of a live table have no numbers that would last. In their place stands a digest of the row's key under a
//! secret of the resource ([`RowNames`]), and receipts name rows by it.

mod agreed;
mod condition;
mod live;
mod lookup;
mod product;
mod row_names;
mod subjects;

pub use live::LiveTable;
pub(crate) use lookup::FetchedRows;
pub use lookup::LiveLookup;
pub use product::{LiveProduct, LiveProductUnfit};
pub use row_names::RowNames;
pub use subjects::{LiveSubjects, SubjectNumbers};
