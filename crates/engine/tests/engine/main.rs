//! Tests of the engine on real files in temporary directories.

mod allow;
mod barrier;
mod consent;
mod data;
mod differencing;
mod equivalence;
mod export;
mod lineage;
mod lookup;
mod parameters;
mod product;
mod record;
mod rows_left;
mod snapshot;
mod source;
mod statements;
mod statistics;
