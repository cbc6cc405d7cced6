//! Tests of the engine on real files in temporary directories.

mod allow;
mod barrier;
mod consent;
mod data;
mod export;
mod lineage;
mod lookup;
mod product;
mod rows_left;
mod snapshot;
mod source;
mod statistics;
