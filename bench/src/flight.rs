//! The flights as a stream of Arrow over Flight SQL, and the raw files as a stream of plain DataFusion.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::export::flights_snapshot;
use crate::failure::BenchError;
use crate::figures::median;
use crate::node::Node;
use crate::program;
use crate::report::{Figures, Goal, Row};

/// How many times as long as a plain stream a governed one may take.
const TIMES_MAX: f64 = 1.15;
/// Longest time for both.
const TIME_MAX: Duration = Duration::from_secs(300);

/// Both, side by side, in seconds.
#[derive(Debug, Deserialize, Serialize)]
struct Streamed {
    /// Each governed stream, drained.
    governed: Vec<f64>,
    /// Rows of it.
    governed_rows: u64,
    /// Each plain stream, drained.
    plain: Vec<f64>,
    /// Rows of it.
    plain_rows: u64,
    /// DataFusion's version.
    datafusion: String,
}

/// Streams, each some times after one that is not counted.
pub async fn measure(bench: &mut Bench) -> Result<Figures, BenchError> {
    let played = bench.played().await?;
    let (snapshot, runs) = (flights_snapshot(&played.demo.directory)?, bench.runs());
    let node = Node::serve(&bench.arguments.binary, &played.demo.directory)?;
    eprintln!("streaming the flights {runs} times");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("stream_flights.py");
    let mut command = Command::new(&bench.arguments.python);
    command.arg(script).args([node.flight_url.as_str(), played.orders.records.key.as_str()]);
    command.arg(&snapshot).arg((runs + 1).to_string());
    let limit = bench.left().min(TIME_MAX);
    let printed = program::printed(&mut command, "stream_flights", &bench.arguments.out, limit, false)?;
    node.stop()?;
    let mut streamed: Streamed = serde_json::from_slice(&printed).map_err(|error| BenchError::Program {
        program: "stream_flights.py".to_owned(),
        reason: format!("its JSON can't be read: {error}"),
    })?;
    for times in [&mut streamed.governed, &mut streamed.plain] {
        if times.len() != runs + 1 {
            return Err(BenchError::Unexpected(format!("{} streams were measured, not {}", times.len(), runs + 1)));
        }
        times.remove(0);
    }
    let (governed, plain) = (median(&streamed.governed), median(&streamed.plain));
    let row = Row::new(
        format!("governed Flight SQL stream, {} rows, median", streamed.governed_rows),
        format!("{:.0} ms", governed * 1_000.0),
        format!("DataFusion {} stream, ungoverned, {:.0} ms", streamed.datafusion, plain * 1_000.0),
    );
    let row = row.ratio(governed / plain).goal(Goal::at_most(TIMES_MAX, governed / plain, ""));
    Figures::new(vec![row], &streamed)
}
