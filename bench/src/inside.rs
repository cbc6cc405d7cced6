//! The engine measured from inside: `lingqu-bench-engine` is run, and what it writes is held against the goals.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::failure::{BenchError, file_error};
use crate::program;
use crate::report::{Figures, Goal, Row};
use crate::scale::engine;

/// Subjects that the goal of consent speaks of.
pub const SUBJECTS: u32 = 10_000_000;
/// How many times as long as plain DataFusion all queries together, and each of them, may take.
const TPCH_TIMES_MAX: (f64, f64) = (1.1, 1.5);
/// The scale factor that the goal speaks of.
const SCALE_FACTOR: f64 = 1.0;
/// How many times as long a scan with consent may take.
const CONSENT_TIMES_MAX: f64 = 1.2;
/// Longest time for making the tables.
const TABLES_TIME_MAX: Duration = Duration::from_secs(300);

/// A query on both sides, as `tpch.json` tells it.
#[derive(Debug, Deserialize, Serialize)]
struct Query {
    query: String,
    governed_ms: f64,
    plain_ms: f64,
    refused: Option<String>,
}

/// A scan on both sides, as `consent.json` tells it.
#[derive(Debug, Deserialize, Serialize)]
struct Scan {
    question: String,
    consenting: u64,
    with_ms: f64,
    without_ms: f64,
    ratio: f64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Scans {
    subjects: u32,
    compared: Vec<Scan>,
}

/// The 22 queries of TPC-H.
pub fn tpch(bench: &Bench) -> Result<Figures, BenchError> {
    let out = bench.arguments.out.join("tpch");
    let tables = out.join("tables");
    make_tables(bench, &tables)?;
    let mut command = Command::new(engine(bench)?);
    command.arg("tpch").arg("--tables").arg(&tables).arg("--out").arg(&out);
    command.arg("--queries").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tpch"));
    command.args(["--runs", &bench.runs().to_string()]);
    run(bench, &mut command, "tpch")?;
    let queries: Vec<Query> = read(&out.join("tpch.json"))?;
    let mut missing = std::collections::BTreeMap::new();
    let (mut governed, mut plain, mut worst) = (0.0, 0.0, None::<(&Query, f64)>);
    for query in &queries {
        if let Some(why) = &query.refused {
            missing.insert(format!("TPC-H {}", query.query), why.clone());
            continue;
        }
        governed += query.governed_ms;
        plain += query.plain_ms;
        let times = query.governed_ms / query.plain_ms;
        if worst.is_none_or(|(_, most)| times > most) {
            worst = Some((query, times));
        }
    }
    let Some((worst, most)) = worst else {
        return Err(BenchError::Unexpected("no query of TPC-H was answered".to_owned()));
    };
    let judged = |goal: Goal| goal.only_if(bench.arguments.scale_factor >= SCALE_FACTOR);
    let whole = Row::new(
        format!("TPC-H at {}, {} queries governed, all", bench.arguments.scale_factor, queries.len()),
        format!("{governed:.0} ms"),
        format!("plain DataFusion on the same files, {plain:.0} ms"),
    );
    let each = Row::new(
        format!("TPC-H, the query that governing slows most ({})", worst.query),
        format!("{:.0} ms", worst.governed_ms),
        format!("plain DataFusion, {:.0} ms", worst.plain_ms),
    );
    let rows = vec![
        whole.ratio(governed / plain).goal(judged(Goal::at_most(TPCH_TIMES_MAX.0, governed / plain, ""))),
        each.ratio(most).goal(judged(Goal::at_most(TPCH_TIMES_MAX.1, most, ""))),
    ];
    Ok(Figures { missing, ..Figures::new(rows, &queries)? })
}

/// Scans with consent.
pub fn consent(bench: &Bench) -> Result<Figures, BenchError> {
    let (arguments, out) = (&bench.arguments, bench.arguments.out.join("consent"));
    let mut command = Command::new(engine(bench)?);
    command.arg("consent").arg("--out").arg(&out).args(["--subjects", &arguments.subjects.to_string()]);
    command.args(["--seed", &arguments.seed.to_string(), "--runs", &bench.runs().to_string()]);
    run(bench, &mut command, "consent")?;
    let scans: Scans = read(&out.join("consent.json"))?;
    let mut rows = Vec::new();
    for scan in &scans.compared {
        let Scan { question, consenting, with_ms, without_ms, ratio } = scan;
        let row = Row::new(
            format!("scan with consent, {question}, {consenting} of {} consent", scans.subjects),
            format!("{with_ms:.0} ms"),
            format!("without consent, {without_ms:.0} ms"),
        );
        let goal = Goal::at_most(CONSENT_TIMES_MAX, *ratio, "").only_if(scans.subjects >= SUBJECTS);
        rows.push(row.ratio(*ratio).goal(goal));
    }
    Figures::new(rows, &scans)
}

/// Makes the tables with the generator of the peers, where they are not there.
fn make_tables(bench: &Bench, tables: &Path) -> Result<(), BenchError> {
    if tables.join("lineitem.parquet").exists() {
        return Ok(());
    }
    eprintln!("making the tables of TPC-H");
    fs::create_dir_all(tables).map_err(|error| file_error("make", tables, &error))?;
    let python = &bench.arguments.python;
    let mut command = Command::new(python.parent().unwrap_or(Path::new(".")).join("tpchgen-cli"));
    command.args(["parquet", "--scale-factor", &bench.arguments.scale_factor.to_string(), "--output-dir"]).arg(tables);
    let limit = bench.left().min(TABLES_TIME_MAX);
    program::printed(&mut command, "tpchgen", &bench.arguments.out, limit, false).map(|_| ())
}

/// Runs it, and keeps the table that it prints as `NAME.txt`.
fn run(bench: &Bench, command: &mut Command, name: &str) -> Result<(), BenchError> {
    let printed = program::printed(command, name, &bench.arguments.out, bench.left(), true)?;
    let path = bench.arguments.out.join(format!("{name}.txt"));
    fs::write(&path, printed).map_err(|error| file_error("write", &path, &error))
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T, BenchError> {
    let text = fs::read_to_string(path).map_err(|error| file_error("read", path, &error))?;
    serde_json::from_str(&text)
        .map_err(|error| BenchError::Unexpected(format!("{} can't be read: {error}", path.display())))
}
