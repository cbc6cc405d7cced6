//! The governed export of the flights as Parquet beside copies by DuckDB and by plain DataFusion: of the same rows under the
//! same masks, and of the whole table without any.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Client;
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, Played};
use crate::failure::{BenchError, file_error};
use crate::figures::median;
use crate::node::Node;
use crate::program;
use crate::report::{Figures, Goal, Row};

/// Columns by which the flights' snapshot is told from the others.
const FLIGHTS_ONLY: &str = "sched_dep_time";
/// The file of the governed export, below `out`.
pub const GOVERNED: &str = "governed.parquet";
/// How many times as long as a copy of the whole table a governed export may take: DataFusion's, DuckDB's.
const TIMES_MAX: (f64, f64) = (1.1, 1.3);
/// Longest time for the copies.
const COPIES_TIME_MAX: Duration = Duration::from_secs(300);

/// Both, side by side.
#[derive(Debug, Serialize)]
pub struct Exported {
    /// Rows of either file.
    pub rows: u64,
    /// Bytes of the governed file.
    pub bytes: u64,
    /// Each governed export, from the request to the last byte on the disk, in milliseconds.
    pub governed_ms: Vec<f64>,
    /// Each copy by another program, in milliseconds.
    pub copies: Copies,
    /// Their versions.
    pub versions: Versions,
    /// Threads that each of them used.
    pub threads: u64,
}

/// The copies: under the row filter and masks of the grant, or of the whole table.
#[derive(Debug, Deserialize, Serialize)]
pub struct Copies {
    /// DuckDB, the same rows and masks.
    pub duckdb_masked: Vec<f64>,
    /// DataFusion, the same rows and masks.
    pub datafusion_masked: Vec<f64>,
    /// DuckDB, the whole table.
    pub duckdb_whole: Vec<f64>,
    /// DataFusion, the whole table.
    pub datafusion_whole: Vec<f64>,
}

/// Versions of the other programs.
#[derive(Debug, Deserialize, Serialize)]
pub struct Versions {
    /// DuckDB's.
    pub duckdb: String,
    /// DataFusion's.
    pub datafusion: String,
}

#[derive(Deserialize)]
struct Copied {
    versions: Versions,
    threads: u64,
    /// In seconds.
    seconds: Copies,
    rows: u64,
}

/// Exports and copies, each some times after one that is not counted. Error: the files differ.
pub async fn measure(bench: &mut Bench) -> Result<Figures, BenchError> {
    let played = bench.played().await?;
    let (governed, runs) = (bench.arguments.out.join(GOVERNED), bench.runs());
    let node = Node::serve(&bench.arguments.binary, &played.demo.directory)?;
    eprintln!("exporting the flights {runs} times, and copying them with DuckDB and DataFusion");
    let mut governed_ms = Vec::new();
    for _ in 0..=runs {
        let begun = Instant::now();
        draw(&node, &played, &governed).await?;
        governed_ms.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    node.stop()?;
    let bytes = fs::metadata(&governed).map_err(|error| file_error("read", &governed, &error))?.len();
    let copied = copy(bench, &flights_snapshot(&played.demo.directory)?, &governed, runs + 1)?;
    // The first of each opens files and fills caches.
    governed_ms.remove(0);
    let ms = |seconds: Vec<f64>| seconds.iter().skip(1).map(|seconds| seconds * 1_000.0).collect();
    let Copied { versions, threads, seconds, rows } = copied;
    let copies = Copies {
        duckdb_masked: ms(seconds.duckdb_masked),
        datafusion_masked: ms(seconds.datafusion_masked),
        duckdb_whole: ms(seconds.duckdb_whole),
        datafusion_whole: ms(seconds.datafusion_whole),
    };
    let exported = Exported { rows, bytes, governed_ms, copies, versions, threads };
    Figures::new(lines(&exported), &exported)
}

fn lines(exported: &Exported) -> Vec<Row> {
    let Exported { copies, versions, .. } = exported;
    let governed = median(&exported.governed_ms);
    let (duckdb, datafusion) = (format!("DuckDB {}", versions.duckdb), format!("DataFusion {}", versions.datafusion));
    let mut lines = Vec::new();
    for (name, times, times_max) in [
        (format!("{datafusion} COPY, ungoverned"), &copies.datafusion_whole, Some(TIMES_MAX.0)),
        (format!("{duckdb} COPY, ungoverned"), &copies.duckdb_whole, Some(TIMES_MAX.1)),
        (format!("{datafusion} COPY, same filter and masks"), &copies.datafusion_masked, None),
        (format!("{duckdb} COPY, same filter and masks"), &copies.duckdb_masked, None),
    ] {
        let other = median(times);
        let what = format!("governed Parquet export, {} rows, median", exported.rows);
        let mut line = Row::new(what, format!("{governed:.0} ms"), format!("{name}, {other:.0} ms"));
        line = line.ratio(governed / other);
        if let Some(times_max) = times_max {
            line = line.goal(Goal::at_most(times_max, governed / other, ""));
        }
        lines.push(line);
    }
    lines
}

/// Draws the governed export into a file.
pub async fn draw(node: &Node, played: &Played, path: &Path) -> Result<(), BenchError> {
    let records = &played.orders.records;
    let url = format!("{}/data/v1/{}/export?format=parquet", node.url, records.product);
    let client = Client::builder().no_proxy().build()?;
    let mut response = client.get(url).bearer_auth(&records.key).send().await?;
    if response.status() != 200 {
        let problem = response.text().await?;
        return Err(BenchError::Unexpected(format!("the export was refused: {problem}")));
    }
    let failed = |error| file_error("write", path, &error);
    let mut file = fs::File::create(path).map_err(failed)?;
    while let Some(chunk) = response.chunk().await? {
        file.write_all(&chunk).map_err(failed)?;
    }
    Ok(())
}

fn copy(bench: &Bench, snapshot: &Path, governed: &Path, runs: usize) -> Result<Copied, BenchError> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("copy_flights.py");
    let out = bench.arguments.out.as_path();
    let mut command = Command::new(&bench.arguments.python);
    command.arg(script).args([snapshot, governed, out]).arg(runs.to_string());
    let printed = program::printed(&mut command, "copy_flights", out, bench.left().min(COPIES_TIME_MAX), false)?;
    serde_json::from_slice(&printed).map_err(|error| BenchError::Program {
        program: "copy_flights.py".to_owned(),
        reason: format!("its JSON can't be read: {error}"),
    })
}

/// The directory of the flights' snapshot: the one whose Delta log names a column that no other table has.
pub fn flights_snapshot(node: &Path) -> Result<PathBuf, BenchError> {
    let snapshots = node.join("snapshots");
    let unreadable = |error| file_error("read", &snapshots, &error);
    for entry in fs::read_dir(&snapshots).map_err(unreadable)? {
        let directory = entry.map_err(unreadable)?.path();
        let log = directory.join("_delta_log").join("00000000000000000000.json");
        let log = fs::read_to_string(&log).map_err(|error| file_error("read", &log, &error))?;
        if log.contains(FLIGHTS_ONLY) {
            return Ok(directory);
        }
    }
    Err(BenchError::Unexpected(format!("{} has no snapshot of the flights", snapshots.display())))
}
