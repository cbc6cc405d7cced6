//! The table for people and the object for programs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::crowd::Crowded;
use crate::export::Exported;
use crate::failure::{BenchError, file_error};
use crate::flight::Streamed;
use crate::load::Measured;
use crate::machine::{Machine, median};

/// Everything that was measured in one run.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Where.
    pub machine: Machine,
    /// Connections of the load generator.
    pub connections: usize,
    /// Seconds that each route was measured.
    pub seconds: u64,
    /// Each start until ready, in milliseconds.
    pub ready_ms: Vec<f64>,
    /// Resident memory of the idle node, in bytes.
    pub idle_bytes: u64,
    /// … after the load.
    pub loaded_bytes: u64,
    /// The constant route first, then the governed ones.
    pub routes: Vec<Measured>,
    /// Lookups of the same rows from services without governance.
    pub peers: Vec<Measured>,
    /// Peers that could not be started, and why.
    pub skipped: BTreeMap<String, String>,
    /// The export.
    pub export: Exported,
    /// The stream of Arrow.
    pub flight: Streamed,
    /// The crowd.
    pub crowd: Crowded,
}

/// Prints the machine and the table.
pub fn print(results: &Results) -> Result<(), BenchError> {
    let text = text(results);
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).map_err(|error| BenchError::Unexpected(format!("can't print: {error}")))
}

/// Writes the object.
pub fn write(results: &Results, path: &Path) -> Result<(), BenchError> {
    let json = serde_json::to_string_pretty(results).map_err(|error| BenchError::Unexpected(error.to_string()))?;
    std::fs::write(path, json + "\n").map_err(|error| file_error("write", path, &error))
}

fn text(results: &Results) -> String {
    let Results { machine, export, .. } = results;
    let mut rows = vec![["measured", "lingqu", "compared with", "ratio"].map(str::to_owned)];
    let mut row = |measured: &str, lingqu: String, compared: String, ratio: String| {
        rows.push([measured.to_owned(), lingqu, compared, ratio]);
    };
    let sorted = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        (sorted.first().copied().unwrap_or(0.0), median(values), sorted.last().copied().unwrap_or(0.0))
    };
    let (least, middle, most) = sorted(&results.ready_ms);
    let starts = results.ready_ms.len();
    row(
        "start until ready, median",
        format!("{middle:.0} ms"),
        format!("{starts} starts: {least:.0} to {most:.0} ms"),
        String::new(),
    );
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    row(
        "memory, idle",
        mebibytes(results.idle_bytes),
        format!("after the load {}", mebibytes(results.loaded_bytes)),
        String::new(),
    );
    if let Some((constant, governed)) = results.routes.split_first() {
        for route in governed {
            let name = |what: &str| format!("{} {what}", route.route);
            let beside = |figure: String| format!("{} {figure}", constant.route);
            row(
                &name("per second"),
                format!("{:.0}", route.per_second),
                beside(format!("{:.0}", constant.per_second)),
                format!("{:.3} (goal: 0.5)", route.per_second / constant.per_second),
            );
            for (what, here, there) in [("p50", route.p50_ms, constant.p50_ms), ("p99", route.p99_ms, constant.p99_ms)]
            {
                row(
                    &name(what),
                    format!("{here:.2} ms"),
                    beside(format!("{there:.2} ms")),
                    format!("{:.1}", here / there),
                );
            }
        }
    }
    for peer in &results.peers {
        for route in results.routes.iter().skip(1) {
            row(
                &format!("{} per second", route.route),
                format!("{:.0}", route.per_second),
                format!("{}, ungoverned, {:.0}", peer.route, peer.per_second),
                format!("{:.1} (goal: 5)", route.per_second / peer.per_second),
            );
        }
    }
    let (_, governed, _) = sorted(&export.governed_ms);
    let copies = &export.copies;
    let (duckdb, datafusion) =
        (format!("DuckDB {}", export.versions.duckdb), format!("DataFusion {}", export.versions.datafusion));
    for (name, times, goal) in [
        (format!("{datafusion} COPY, same filter and masks,"), &copies.datafusion_masked, ""),
        (format!("{datafusion} COPY, ungoverned,"), &copies.datafusion_whole, " (goal: 1.1)"),
        (format!("{duckdb} COPY, same filter and masks,"), &copies.duckdb_masked, ""),
        (format!("{duckdb} COPY, ungoverned,"), &copies.duckdb_whole, " (goal: 1.3)"),
    ] {
        let (_, other, _) = sorted(times);
        row(
            "Parquet export, median",
            format!("{governed:.0} ms"),
            format!("{name} {other:.0} ms"),
            format!("{:.2}{goal}", governed / other),
        );
    }
    let flight = &results.flight;
    let ((_, governed, _), (_, plain, _)) = (sorted(&flight.governed), sorted(&flight.plain));
    row(
        "Flight SQL stream, median",
        format!("{:.0} ms", governed * 1_000.0),
        format!("DataFusion {} stream, ungoverned, {:.0} ms", flight.datafusion, plain * 1_000.0),
        format!("{:.2} (goal: 1.15)", governed / plain),
    );
    let crowd = &results.crowd;
    row(
        "memory with a crowd, most",
        mebibytes(crowd.most_bytes),
        format!(
            "{} idle connections ({}), {} queries at once: {} answered, {} refused in {:.1} s",
            crowd.idle_connections,
            mebibytes(crowd.idle_bytes),
            crowd.answered + crowd.refused,
            crowd.answered,
            crowd.refused,
            crowd.seconds
        ),
        "(goal: 2048 MiB)".to_owned(),
    );
    let head = format!(
        "{}\n{}, {} cores, {}, {}\n{}, {}; profile {}\n4 KiB made durable in {:.0} µs (median)\n\
         {} connections, {} s a route; export of {} rows, {} bytes; the others with {} threads\n\n",
        "Lingqu, measured on this machine in one run",
        machine.processor,
        machine.cores,
        mebibytes(machine.memory_bytes),
        machine.system,
        machine.version,
        machine.rustc,
        machine.profile,
        machine.sync_us,
        results.connections,
        results.seconds,
        export.rows,
        export.bytes,
        export.threads,
    );
    let skipped: String = results.skipped.iter().map(|(peer, why)| format!("not measured: {peer} ({why})\n")).collect();
    head + &aligned(&rows) + &skipped
}

fn aligned(rows: &[[String; 4]]) -> String {
    let mut widths = [0; 4];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width + 2 - cell.chars().count()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
