//! Measures a built `lingqu` binary on the demo's data and prints one table, and the same as JSON: how long a node takes
//! until it is ready and what it holds in memory, how many governed verifications and lookups it answers beside a constant
//! route of the same server and beside services without governance, and how long a governed export takes beside copies by
//! DuckDB and DataFusion. Nothing here knows Lingqu from inside (`lingqu-bench-engine` does): it starts the binary and talks to it over HTTP, as clients do.
//!
//! The way: [`machine`] describes where it runs; [`node`] plays the demo and starts the node again and again; [`orders`]
//! places orders with room for the load; [`load`] sends requests over kept connections; [`export`] draws the file and
//! calls `copy_flights.py`; [`flight`] streams over Flight SQL; [`crowd`] opens thousands of connections; [`peers`] measures the
//! others; [`table`] prints, with the goal where there is one: a goal that is missed is told, not hidden.

mod crowd;
mod export;
mod failure;
mod flight;
mod load;
mod machine;
mod node;
mod orders;
mod peers;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use failure::{BenchError, file_error};
use table::Results;

/// Measure a lingqu binary on the demo's data
#[derive(Debug, Parser)]
struct Arguments {
    /// The binary to measure
    #[arg(long, default_value = "target/release/lingqu")]
    binary: PathBuf,
    /// Where the demo's node, the exported files and the result go
    #[arg(long, default_value = "bench/out")]
    out: PathBuf,
    /// A Python with what bench/requirements.txt names
    #[arg(long, default_value = "bench/out/venv/bin/python")]
    python: PathBuf,
    /// How long each route is measured, in seconds, after one second that is not
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections of the load generator
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How often starts and exports are repeated; the median counts
    #[arg(long, default_value_t = 7)]
    runs: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One thread: on few cores the load generator must not take what the server needs.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(measure(&arguments)),
        Err(error) => Err(BenchError::Unexpected(format!("the system gives no runtime: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<(), BenchError> {
    let runs = arguments.runs.clamp(1, 100);
    let connections = arguments.connections.clamp(1, 256);
    std::fs::create_dir_all(&arguments.out).map_err(|error| file_error("make", &arguments.out, &error))?;
    let machine = machine::describe(&arguments.binary, &arguments.out)?;
    eprintln!("playing the demo for its data");
    let demo = node::play_demo(&arguments.binary, &arguments.out)?;

    eprintln!("starting the node {runs} times");
    let mut ready_ms = Vec::new();
    for _ in 0..runs {
        let node = node::Node::serve(&arguments.binary, &demo.directory)?;
        ready_ms.push(node.ready_after.as_secs_f64() * 1_000.0);
        node.stop()?;
    }
    let node = node::Node::serve(&arguments.binary, &demo.directory)?;
    tokio::time::sleep(node::IDLE_AFTER).await;
    let idle_bytes = node.resident_bytes()?;

    let crowd = crowd::QUERIES / crowd::QUERIES_PER_ORDER;
    let (orders, crowd) = orders::place(&node, &demo, crowd).await?;
    let span = Duration::from_secs(arguments.seconds.clamp(1, 600));
    let mut routes = Vec::new();
    let flights = orders::flights(&demo)?;
    for plan in orders::plans(&node, &flights, &orders) {
        eprintln!("measuring {} for {} s over {connections} connections", plan.name, span.as_secs());
        routes.push(load::run(plan, connections, span).await?);
    }
    let loaded_bytes = node.resident_bytes()?;

    eprintln!("exporting the flights {runs} times, and copying them with DuckDB and DataFusion");
    let export = export::compare(&node, &demo, &orders, arguments, runs).await?;
    eprintln!("streaming the flights {runs} times");
    let snapshot = export::flights_snapshot(&demo.directory)?;
    let flight = flight::compare(&node, &snapshot, &orders, arguments, runs)?;
    node.stop()?;

    eprintln!("a crowd: {} idle connections, {} queries at once", crowd::IDLE_CONNECTIONS, crowd::QUERIES);
    let node = node::Node::serve(&arguments.binary, &demo.directory)?;
    let crowd = crowd::measure(&node, &crowd).await?;
    node.stop()?;

    let governed = arguments.out.join("governed.parquet");
    let (peers, skipped) = peers::measure(&governed, &flights, arguments, connections, span).await?;
    let results = Results {
        machine,
        connections,
        seconds: span.as_secs(),
        ready_ms,
        idle_bytes,
        loaded_bytes,
        routes,
        peers,
        skipped,
        export,
        flight,
        crowd,
    };
    table::print(&results)?;
    table::write(&results, &arguments.out.join("result.json"))
}
