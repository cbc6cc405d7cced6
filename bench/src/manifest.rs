//! What `lingqu-bench-engine node` tells of a node that it made, and `lingqu-bench` reads: only what a client would know,
//! which is products, keys, and what may be asked for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Of so many rows one after another the last is one that no grant covers.
pub const COVERED_OF: u64 = 14;

/// A node with many orders.
#[derive(Debug, Deserialize, Serialize)]
pub struct Manifest {
    /// Digest of the program that made it and of what it was asked to make: another one makes it anew.
    pub made_by: String,
    /// The node's own directory.
    pub directory: PathBuf,
    /// Rows of the large product; 0 where there is none. All are made up.
    pub rows: u64,
    /// Products that are registered and listed.
    pub products: usize,
    /// Orders that are in force.
    pub orders: usize,
    /// Orders for one row at a time of the large product.
    pub lookups: Vec<ServedOrder>,
    /// The order for the large product as a file.
    pub export: Option<ServedOrder>,
    /// Orders of small products, each of another, made to be asked for the first time.
    pub cold: Vec<ServedOrder>,
    /// How long it took to make, in seconds.
    pub seconds: f64,
}

/// An order and its key.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ServedOrder {
    /// The product's table name.
    pub product: String,
    /// The service key.
    pub key: String,
}
