//! The flights as a stream of Arrow under their grant, and the raw files as a stream of plain DataFusion: over Arrow Flight too, by the
//! same client, and within the process that drains it.

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

/// One way to stream the flights.
#[derive(Debug, Deserialize, Serialize)]
struct Drained {
    /// Each stream from the question to its last batch, in seconds.
    seconds: Vec<f64>,
    /// Rows of one.
    rows: u64,
}

/// All, side by side.
#[derive(Debug, Deserialize, Serialize)]
struct Streamed {
    streams: Streams,
    /// DataFusion's version.
    datafusion: String,
}

/// The ways that are compared.
#[derive(Debug, Deserialize, Serialize)]
struct Streams {
    /// Governed, drained by pyarrow's client of Arrow Flight.
    governed: Drained,
    /// Governed, drained by the ADBC driver.
    governed_by_driver: Drained,
    /// Plain DataFusion behind pyarrow's server of Arrow Flight, drained by the client that drains the first.
    plain_over_flight: Drained,
    /// Plain DataFusion within the process that drains it.
    plain: Drained,
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
    let Streams { governed, governed_by_driver, plain_over_flight, plain } = &mut streamed.streams;
    for drained in [governed, governed_by_driver, plain_over_flight, plain] {
        if drained.seconds.len() != runs + 1 {
            let count = drained.seconds.len();
            return Err(BenchError::Unexpected(format!("{count} streams were measured, not {}", runs + 1)));
        }
        drained.seconds.remove(0);
    }
    Figures::new(lines(&streamed), &streamed)
}

fn lines(streamed: &Streamed) -> Vec<Row> {
    let Streamed { streams, datafusion } = streamed;
    let compared = [
        ("Arrow Flight", &streams.governed, "over Arrow Flight", &streams.plain_over_flight),
        ("Flight SQL (ADBC)", &streams.governed_by_driver, "within the client's process", &streams.plain),
    ];
    let rows = compared.map(|(door, governed, place, plain)| {
        let (took, beside) = (median(&governed.seconds), median(&plain.seconds));
        let what = format!("governed {door} stream, {} rows, median", governed.rows);
        let other = format!("DataFusion {datafusion} {place}, ungoverned, {:.0} ms", beside * 1_000.0);
        let row = Row::new(what, format!("{:.0} ms", took * 1_000.0), other).ratio(took / beside);
        row.goal(Goal::at_most(TIMES_MAX, took / beside, ""))
    });
    rows.into()
}
