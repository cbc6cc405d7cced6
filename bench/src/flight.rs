//! The flights as a stream of Arrow over Flight SQL, and the raw files as a stream of plain DataFusion.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::Arguments;
use crate::failure::BenchError;
use crate::node::Node;
use crate::orders::Orders;

/// Both, side by side, in seconds.
#[derive(Debug, Deserialize, Serialize)]
pub struct Streamed {
    /// Each governed stream, drained.
    pub governed: Vec<f64>,
    /// Rows of it.
    pub governed_rows: u64,
    /// Each plain stream, drained.
    pub plain: Vec<f64>,
    /// Rows of it.
    pub plain_rows: u64,
    /// DataFusion's version.
    pub datafusion: String,
}

/// Streams, `runs` times each after one that is not counted.
pub fn compare(
    node: &Node,
    snapshot: &Path,
    orders: &Orders,
    arguments: &Arguments,
    runs: usize,
) -> Result<Streamed, BenchError> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("stream_flights.py");
    let failed = |reason: String| BenchError::Program { program: script.display().to_string(), reason };
    let output = Command::new(&arguments.python)
        .arg(&script)
        .args([node.flight_url.as_str(), orders.records.key.as_str()])
        .arg(snapshot)
        .arg((runs + 1).to_string())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let mut streamed: Streamed =
        serde_json::from_slice(&output.stdout).map_err(|error| failed(format!("its JSON can't be read: {error}")))?;
    streamed.governed.remove(0);
    streamed.plain.remove(0);
    Ok(streamed)
}
