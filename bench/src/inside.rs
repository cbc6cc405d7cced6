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
/// Fewest cells that one processor marks in a second, and how many times as long a marked file may take.
const MARKS_GOALS: (f64, f64) = (50e6, 1.1);
/// Rows that the goals of marking speak of: those of the flights of a year.
const MARKED_ROWS: u64 = 336_776;
/// Receipts that are durable in a second with both logs published, and their share of plain writes of the same bytes.
const APPENDS_GOALS: (f64, f64) = (50_000.0, 0.5);
/// Longest a proof and its verification may take, in milliseconds.
const PROOF_MS_MAX: (f64, f64) = (20.0, 1.0);
/// How much more an entry may cost in a log of 10^8 than in one of 10^5.
const COST_TIMES_MAX: f64 = 1.2;
/// Longest an audit may take, in seconds: "minutes".
const AUDIT_SECONDS_MAX: f64 = 300.0;
/// The entries that this goal speaks of.
const AUDITED: u64 = 10_000_000;
/// Longest a person may wait for a page of the uses of his data, in milliseconds, and over how many delivered rows.
const USES_GOAL: (f64, u64) = (1_000.0, 100_000_000);
/// Longest a leak may take to be traced, in seconds, and the most memory, in MiB.
const TRACE_GOALS: (f64, f64) = (10.0, 4_096.0);
/// The leaked rows and the recipients that they speak of.
const TRACED: (u64, u64) = (100_000, 10_000);
/// How many times as long as twice a trace of half of it a trace may take to be called linear.
const LINEAR_TIMES_MAX: f64 = 1.1;
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

/// Marking, as `marks.json` tells it.
#[derive(Debug, Deserialize, Serialize)]
struct Marked {
    rows: u64,
    cells_per_second: f64,
    marked_ms: f64,
    unmarked_ms: f64,
    ratio: f64,
}

/// The transparency log, as `log.json` tells it.
#[derive(Debug, Deserialize, Serialize)]
struct Logged {
    appends_per_second: f64,
    plain_per_second: f64,
    ratio: f64,
    appended: u64,
    group_receipts: f64,
    receipt_bytes: f64,
    published_entries: u64,
    check_ms: f64,
    proof_ms_worst: f64,
    proof_ms_middle: f64,
    verify_ms_worst: f64,
    costs: Vec<Cost>,
    cost_ratio: f64,
    audited_entries: u64,
    audited_bytes: u64,
    audit_seconds: f64,
    watched_files: u64,
    watch_seconds: f64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Cost {
    entries: u64,
    ns_per_entry: f64,
}

/// Statements over receipts, as `receipts.json` tells them.
#[derive(Debug, Deserialize, Serialize)]
struct Receipts {
    receipts: u64,
    days: usize,
    bytes: u64,
    rows_per_second: f64,
    asked: Vec<Asked>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Asked {
    question: String,
    ms: f64,
}

/// Uses of persons' data, as `uses.json` tells it.
#[derive(Debug, Deserialize, Serialize)]
struct Uses {
    delivered_rows: u64,
    records: u64,
    index_bytes: u64,
    index_seconds: f64,
    first_ms: f64,
    middle_ms: f64,
    worst_ms: f64,
    uses_of_first: usize,
}

/// A trace, as `trace.json` tells it.
#[derive(Debug, Deserialize, Serialize)]
struct Traced {
    profile: String,
    leaked_rows: u64,
    recipients: u64,
    positions: u64,
    align_seconds: f64,
    seconds: f64,
    is_named: bool,
    memory_mb: Option<u64>,
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

/// Marking.
pub fn marks(bench: &Bench) -> Result<Figures, BenchError> {
    let out = bench.arguments.out.join("marks");
    let mut command = Command::new(engine(bench)?);
    command.arg("marks").arg("--out").arg(&out).args(["--runs", &bench.runs().to_string()]);
    run(bench, &mut command, "marks")?;
    let marked: Marked = read(&out.join("marks.json"))?;
    let cells = Row::new(
        "cells marked by one processor (a tenth of them, ten columns)",
        format!("{:.0} million/s", marked.cells_per_second / 1e6),
        "nothing",
    );
    let file = Row::new(
        format!("marked Parquet export, {} rows", marked.rows),
        format!("{:.0} ms", marked.marked_ms),
        format!("the same unmarked, {:.0} ms", marked.unmarked_ms),
    );
    let large_enough = marked.rows >= MARKED_ROWS;
    let rows = vec![
        cells.goal(Goal::at_least(MARKS_GOALS.0 / 1e6, marked.cells_per_second / 1e6, " million/s")),
        file.ratio(marked.ratio).goal(Goal::at_most(MARKS_GOALS.1, marked.ratio, "").only_if(large_enough)),
    ];
    Figures::new(rows, &marked)
}

/// The transparency log with both suites.
pub fn log(bench: &Bench) -> Result<Figures, BenchError> {
    let out = bench.arguments.out.join("log");
    let mut command = Command::new(engine(bench)?);
    command.arg("log").arg("--out").arg(&out).args(["--runs", &bench.runs().to_string()]);
    run(bench, &mut command, "log")?;
    let found: Logged = read(&out.join("log.json"))?;
    let appends = Row::new(
        "durable receipts a second, both logs published meanwhile",
        format!("{:.0} /s", found.appends_per_second),
        format!(
            "plain group-committed writes of the same bytes ({:.0} receipts of {:.0} bytes to a group), {:.0} /s",
            found.group_receipts, found.receipt_bytes, found.plain_per_second
        ),
    );
    let share = Row::new(
        "their share of plain writes",
        format!("{:.2}", found.ratio),
        "plain group-committed writes of the same bytes",
    );
    let proof = Row::new(
        "inclusion proof in a made-up log of 10^8 entries, its files not cached, the slowest of 200",
        format!("{:.2} ms", found.proof_ms_worst),
        "nothing",
    );
    let verified =
        Row::new("its verification, the slowest of 200", format!("{:.3} ms", found.verify_ms_worst), "nothing");
    let costs = found.costs.iter().map(|cost| format!("{:.0}", cost.ns_per_entry)).collect::<Vec<_>>().join(", ");
    let cost = Row::new(
        "an entry in both logs at 10^8 entries",
        format!("{:.0} ns", found.costs.last().map_or(0.0, |cost| cost.ns_per_entry)),
        format!("the same at 10^5 ({costs} ns at 10^5, 10^6, 10^7, 10^8)"),
    );
    let audit = Row::new(
        format!(
            "{} entries read from {} MB of bundles and audited in both suites",
            found.audited_entries,
            found.audited_bytes / 1_000_000
        ),
        format!("{:.0} s", found.audit_seconds),
        "nothing",
    );
    let watch = Row::new(
        format!(
            "the same followed over HTTP with their tiles of hashes, as `audit watch --entries` does, {} files",
            found.watched_files
        ),
        format!("{:.0} s", found.watch_seconds),
        "nothing",
    );
    let whole = found.audited_entries >= AUDITED;
    let rows = vec![
        appends.ratio(found.ratio).goal(Goal::at_least(APPENDS_GOALS.0, found.appends_per_second, " /s")),
        share.goal(Goal::at_least(APPENDS_GOALS.1, found.ratio, "")),
        proof.goal(Goal::at_most(PROOF_MS_MAX.0, found.proof_ms_worst, " ms")),
        verified.goal(Goal::at_most(PROOF_MS_MAX.1, found.verify_ms_worst, " ms")),
        cost.ratio(found.cost_ratio).goal(Goal::at_most(COST_TIMES_MAX, found.cost_ratio, "")),
        audit.goal(Goal::at_most(AUDIT_SECONDS_MAX, found.audit_seconds, " s").only_if(whole)),
        watch.goal(Goal::at_most(AUDIT_SECONDS_MAX, found.watch_seconds, " s").only_if(whole)),
    ];
    Figures::new(rows, &found)
}

/// Statements over receipts as tables.
pub fn receipts(bench: &Bench) -> Result<Figures, BenchError> {
    let out = bench.arguments.out.join("receipts");
    let mut command = Command::new(engine(bench)?);
    command.arg("receipts").arg("--out").arg(&out).args(["--runs", &bench.runs().to_string()]);
    run(bench, &mut command, "receipts")?;
    let found: Receipts = read(&out.join("receipts.json"))?;
    let whole = found.asked.first().map_or(0.0, |asked| asked.ms);
    let over = format!("{} million receipts of {} days", found.receipts as f64 / 1e6, found.days);
    let written = Row::new(
        "receipts written into the table of receipts in a second",
        format!("{:.0} /s", found.rows_per_second),
        format!("{over}, {} MB", found.bytes / 1_000_000),
    );
    let mut rows = vec![written];
    for (place, Asked { question, ms }) in found.asked.iter().enumerate() {
        let row =
            Row::new(format!("statement over {over}: {question}"), format!("{ms:.0} ms"), "that over all of them");
        rows.push(if place == 0 { Row { beside: "nothing".to_owned(), ..row } } else { row.ratio(ms / whole) });
    }
    Figures::new(rows, &found)
}

/// Pages of the uses of persons' data.
pub fn uses(bench: &Bench) -> Result<Figures, BenchError> {
    let out = bench.arguments.out.join("uses");
    let mut command = Command::new(engine(bench)?);
    command.arg("uses").arg("--out").arg(&out).args(["--seed", &bench.arguments.seed.to_string()]);
    run(bench, &mut command, "uses")?;
    let uses: Uses = read(&out.join("uses.json"))?;
    let (most, rows) = USES_GOAL;
    let goal = |ms: f64| Goal::at_most(most, ms, " ms").only_if(uses.delivered_rows >= rows);
    let over = format!("{} million delivered rows in {} records", uses.delivered_rows / 1_000_000, uses.records);
    let first = Row::new(
        format!("a person's uses, {over}, the first page of a node that was just opened"),
        format!("{:.0} ms", uses.first_ms),
        "nothing",
    );
    let worst = Row::new(
        "the same after that, the slowest of 50 persons",
        format!("{:.0} ms", uses.worst_ms),
        format!("the middle one, {:.0} ms", uses.middle_ms),
    );
    Figures::new(vec![first.goal(goal(uses.first_ms)), worst.goal(goal(uses.worst_ms))], &uses)
}

/// Leaks traced.
pub fn trace(bench: &Bench) -> Result<Figures, BenchError> {
    let out = bench.arguments.out.join("trace");
    let mut command = Command::new(engine(bench)?);
    command.arg("trace").arg("--out").arg(&out);
    run(bench, &mut command, "trace")?;
    let traced: Vec<Traced> = read(&out.join("trace.json"))?;
    let [whole, half_rows, half_recipients, .., national] = traced.as_slice() else {
        return Err(BenchError::Unexpected("trace.json holds too few traces".to_owned()));
    };
    if let Some(missed) = traced.iter().find(|trace| !trace.is_named) {
        let (rows, profile) = (missed.leaked_rows, &missed.profile);
        return Err(BenchError::Unexpected(format!(
            "a leak of {rows} rows ({profile}) did not name its recipient alone"
        )));
    }
    let named = |trace: &Traced| {
        let Traced { leaked_rows, recipients, profile, .. } = trace;
        format!("leak of {leaked_rows} rows without key or names traced among {recipients} recipients ({profile})")
    };
    let is_judged = (whole.leaked_rows, whole.recipients) >= TRACED;
    let judged = |goal: Goal| goal.only_if(is_judged);
    let seconds = |trace: &Traced| format!("{:.1} s", trace.seconds);
    let time = Row::new(named(whole), seconds(whole), "nothing");
    let memory = whole.memory_mb.map(|megabytes| {
        let row = Row::new("memory of that trace, its originals included", format!("{megabytes} MiB"), "nothing");
        row.goal(judged(Goal::at_most(TRACE_GOALS.1, megabytes as f64, " MiB")))
    });
    let linear = |what: &str, half: &Traced| {
        let times = whole.seconds / (2.0 * half.seconds);
        let beside = format!("twice the time of half the {what}, {:.1} s", 2.0 * half.seconds);
        let row = Row::new(format!("the same, linear in {what}"), seconds(whole), beside);
        row.ratio(times).goal(judged(Goal::at_most(LINEAR_TIMES_MAX, times, "")))
    };
    let mut rows = vec![time.goal(judged(Goal::at_most(TRACE_GOALS.0, whole.seconds, " s")))];
    rows.extend(memory);
    rows.extend([linear("rows", half_rows), linear("recipients", half_recipients)]);
    rows.push(Row::new(named(national), seconds(national), "nothing"));
    Figures::new(rows, &traced)
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
