//! Tests of the engine on real files in temporary directories.

mod allow;
mod barrier;
mod consent;
mod data;
mod differencing;
mod equivalence;
mod explain;
mod export;
mod limits;
mod lineage;
mod lookup;
mod marks;
mod parameters;
mod privacy;
mod product;
mod record;
mod rows_left;
mod snapshot;
mod snapshot_ingest;
mod source;
mod source_encodings;
mod source_rejects;
mod source_sheets;
mod statements;
mod statistics;
mod tables;
