//! Measures a built `lingqu` binary and prints one table, and the same as JSON: each figure beside what it is compared with in
//! the same run on the same machine, with the goal where there is one. A goal that is missed is told and is no failure; what
//! can't be measured is one. Nothing here knows Lingqu from inside (`lingqu-bench-engine` does): it starts the binary and
//! talks to it as clients do.
//!
//! The way: [`machine`] describes where it runs; [`section`] names what can be measured. Those over the demo's data start
//! with [`node`], which plays the demo, and [`orders`], which places orders with room for the load: [`load`] sends requests over kept
//! connections, [`export`] draws the file and calls `copy_flights.py`, [`flight`] streams over Flight SQL, [`crowd`] opens
//! thousands of connections, [`gone`] leaves in the middle of a question, [`neighbour`] asks beside one, [`peers`] measures the others. Those that need many orders and rows start with [`scale`], which has a node
//! made: [`tail`] measures the slowest lookups, [`cold`] the first answers, [`memory`] a long export. [`lag`] measures how long records wait for log and witnesses. [`inside`] has the engine
//! measured. [`report`] prints.

mod bench;
mod cold;
mod crowd;
mod export;
mod failure;
mod figures;
mod flight;
mod gone;
mod inside;
mod lag;
mod load;
mod machine;
mod manifest;
mod memory;
mod neighbour;
mod node;
mod orders;
mod peers;
mod program;
mod report;
mod scale;
mod section;
mod tail;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use bench::Bench;
use failure::BenchError;
use section::Section;

/// How long a whole run may take, in minutes, unless it is told otherwise.
pub const BUDGET_MINUTES: u64 = 29;
/// Open files that the crowd needs, with some to spare.
const OPEN_FILES: u64 = 8_192;

/// Measure a lingqu binary
#[derive(Clone, Debug, Parser, Serialize)]
pub struct Arguments {
    /// The binary to measure
    #[arg(long, default_value = "target/release/lingqu")]
    binary: PathBuf,
    /// The program that measures the engine from inside [default: beside this one]
    #[arg(long)]
    engine: Option<PathBuf>,
    /// Where nodes, exported files and the result go
    #[arg(long, default_value = "bench/out")]
    out: PathBuf,
    /// A Python with what bench/requirements.txt names
    #[arg(long, default_value = "bench/out/venv/bin/python")]
    python: PathBuf,
    /// Measure these alone
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SECTION")]
    only: Vec<Section>,
    /// Begin no section that would end after so many minutes
    #[arg(long, default_value_t = BUDGET_MINUTES)]
    minutes: u64,
    /// How long each route is measured, in seconds, after one second that is not
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Connections of the load generator
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// How often starts, exports and queries are repeated
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=50))]
    runs: u16,
    /// Rows of the node with many orders; its data is made up
    #[arg(long, default_value_t = scale::ROWS)]
    rows: u64,
    /// Orders of it
    #[arg(long, default_value_t = scale::ORDERS)]
    orders: usize,
    /// Products of it
    #[arg(long, default_value_t = scale::PRODUCTS)]
    products: usize,
    /// Subjects of the scans with consent
    #[arg(long, default_value_t = inside::SUBJECTS)]
    subjects: u32,
    /// Scale factor of TPC-H
    #[arg(long, default_value_t = 1.0)]
    scale_factor: f64,
    /// Chooses what is asked for and who consents
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seed: u64,
    /// Keep what was made (several gigabytes) for the next run with the same programs
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One thread: on few cores the load generator must not take what the server needs.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(measure(arguments)),
        Err(error) => Err(BenchError::Unexpected(format!("the system gives no runtime: {error}"))),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures what was asked for and prints it. False when something could not be measured.
async fn measure(arguments: Arguments) -> Result<bool, BenchError> {
    // Where the system allows less, the crowd fails and says so.
    drop(rlimit::increase_nofile_limit(OPEN_FILES));
    let (out, keep) = (arguments.out.clone(), arguments.keep);
    let report = Bench::new(arguments)?.run().await?;
    report.write(&out)?;
    report.print()?;
    if !keep {
        bench::remove_made(&out)?;
    }
    Ok(report.is_whole())
}
