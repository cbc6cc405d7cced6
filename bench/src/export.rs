//! The governed export of the flights as Parquet beside copies by DuckDB and by plain DataFusion: of the same rows under the
//! same masks, and of the whole table without any.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use reqwest::Client;
use serde::{Deserialize, Serialize};

use crate::Arguments;
use crate::failure::{BenchError, file_error};
use crate::node::{Demo, Node};
use crate::orders::Orders;

/// Columns by which the flights' snapshot is told from the others.
const FLIGHTS_ONLY: &str = "sched_dep_time";

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

/// Exports and copies, `runs` times each after one that is not counted. Error: the two files differ.
pub async fn compare(
    node: &Node,
    demo: &Demo,
    orders: &Orders,
    arguments: &Arguments,
    runs: usize,
) -> Result<Exported, BenchError> {
    let governed = arguments.out.join("governed.parquet");
    let url = format!("{}/data/v1/{}/export?format=parquet", node.url, orders.records.product);
    let client = Client::builder().no_proxy().build()?;
    let mut governed_ms = Vec::new();
    for _ in 0..=runs {
        let begun = Instant::now();
        draw(&client, &url, &orders.records.key, &governed).await?;
        governed_ms.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    let bytes = fs::metadata(&governed).map_err(|error| file_error("read", &governed, &error))?.len();
    let copied = copy(&flights_snapshot(&demo.directory)?, &governed, arguments, runs + 1)?;
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
    Ok(Exported { rows, bytes, governed_ms, copies, versions, threads })
}

async fn draw(client: &Client, url: &str, key: &str, path: &Path) -> Result<(), BenchError> {
    let mut response = client.get(url).bearer_auth(key).send().await?;
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

fn copy(snapshot: &Path, governed: &Path, arguments: &Arguments, runs: usize) -> Result<Copied, BenchError> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("copy_flights.py");
    let failed = |reason: String| BenchError::Program { program: script.display().to_string(), reason };
    let output = Command::new(&arguments.python)
        .arg(&script)
        .args([snapshot, governed, arguments.out.as_path()])
        .arg(runs.to_string())
        .output()
        .map_err(|error| failed(format!("{} can't be run: {error}", arguments.python.display())))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(format!("its JSON can't be read: {error}")))
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
