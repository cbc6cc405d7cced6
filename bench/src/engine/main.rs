//! What needs to know Lingqu from inside. It measures the engine: the 22 queries of TPC-H over governed tables beside plain
//! DataFusion on the same files. The two large tables have a row filter, of which the rows kept are printed, and three columns that no query uses
//! are masked. And it makes a node with many orders, for `lingqu-bench` to measure as clients do.
//!
//! `lingqu-bench-engine tpch --tables DIR --queries DIR`: `DIR/TABLE.parquet` as `tpchgen-cli` writes them, `DIR/qNN.sql`.
//! `lingqu-bench-engine consent`: see [`consent`]. `lingqu-bench-engine marks`: see [`marks`]. `lingqu-bench-engine log`: see [`log`]. `lingqu-bench-engine uses`: see [`uses`].
//! `lingqu-bench-engine receipts`: see [`receipts`]. `lingqu-bench-engine trace`: see [`trace`].
//! `lingqu-bench-engine node --dir DIR`: see [`node`].

mod consent;
mod flights;
mod log;
#[path = "../manifest.rs"]
mod manifest;
mod marks;
mod node;
mod receipts;
mod trace;
mod uses;
mod watched;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use consent::ConsentArguments;
use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::scope::{ColumnName, Precision};
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::session::{AnswerShape, GovernedSession};
use lingqu_engine::snapshot::{Snapshot, SnapshotStore};
use lingqu_engine::source::{Source, SourceOptions};
use lingqu_engine::{Engine, EngineSettings, Limits, PseudonymKeys};
use log::LogArguments;
use marks::MarksArguments;
use node::NodeArguments;
use receipts::ReceiptsArguments;
use serde::Serialize;
use trace::TraceArguments;
use uses::UsesArguments;

/// Stack of a worker thread, in bytes, as the server has it: query plans nest.
const STACK_BYTES: usize = 8 << 20;

type Failed = Box<dyn Error + Send + Sync>;

/// Measure the engine from inside, or make a node to be measured
#[derive(Debug, Parser)]
struct Call {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Tpch(Arguments),
    Consent(ConsentArguments),
    Marks(MarksArguments),
    Log(LogArguments),
    Node(NodeArguments),
    Receipts(ReceiptsArguments),
    Uses(UsesArguments),
    Trace(TraceArguments),
}

/// Compare governed TPC-H queries with plain DataFusion
#[derive(Debug, clap::Args)]
struct Arguments {
    /// The eight tables as Parquet
    #[arg(long)]
    tables: PathBuf,
    /// The queries
    #[arg(long, default_value = "bench/tpch")]
    queries: PathBuf,
    /// Where the governed tables' snapshots and the result go
    #[arg(long, default_value = "bench/out/tpch")]
    out: PathBuf,
    /// How often each query is asked of each side, in turn; the best time counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// A table, its row filter, and its columns that are masked (text as pseudonyms).
struct Shape {
    name: &'static str,
    filter: Option<(&'static str, Comparison, Literal)>,
    masked: &'static [&'static str],
}

/// The row filters of the two large tables keep 96 and 95 of 100 rows; small tables keep all, or the queries would have no
/// answer to compare.
fn shapes() -> Vec<Shape> {
    let whole = |name| Shape { name, filter: None, masked: &[] };
    vec![
        Shape {
            name: "lineitem",
            filter: Some(("l_linenumber", Comparison::Less, Literal::Integer(7))),
            masked: &["l_comment"],
        },
        Shape {
            name: "orders",
            filter: Some(("o_orderdate", Comparison::Less, Literal::Date(jiff::civil::date(1998, 4, 5)))),
            masked: &["o_clerk"],
        },
        Shape { name: "partsupp", filter: None, masked: &["ps_comment"] },
        whole("part"),
        whole("customer"),
        whole("supplier"),
        whole("nation"),
        whole("region"),
    ]
}

/// One query on both sides, in milliseconds.
#[derive(Debug, Serialize)]
struct Compared {
    query: String,
    governed_ms: f64,
    plain_ms: f64,
    /// Why the governed side did not answer.
    refused: Option<String>,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK_BYTES).enable_all().build();
    let measured = runtime.map_err(Failed::from).and_then(|runtime| match Call::parse().what {
        What::Tpch(arguments) => runtime.block_on(measure(&arguments)),
        What::Consent(arguments) => runtime.block_on(consent::measure(&arguments)),
        What::Marks(arguments) => runtime.block_on(marks::measure(&arguments)),
        What::Log(arguments) => runtime.block_on(log::measure(&arguments)),
        What::Receipts(arguments) => runtime.block_on(receipts::measure(&arguments)),
        What::Uses(arguments) => runtime.block_on(uses::measure(&arguments)),
        What::Trace(arguments) => runtime.block_on(trace::measure(&arguments)),
        What::Node(arguments) => runtime.block_on(node::make(&arguments)),
    });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<(), Failed> {
    std::fs::create_dir_all(&arguments.out)?;
    let engine = Arc::new(Engine::new(&EngineSettings::moderate(arguments.out.join("spill")))?);
    let snapshots = SnapshotStore::open(&arguments.out.join("snapshots"))?;
    let plain = plain_context();
    let mut governed = Vec::new();
    let mut kept = Vec::new();
    for shape in shapes() {
        let snapshot = snapshot_of(&snapshots, &arguments.tables, shape.name).await?;
        register_plain(&plain, &arguments.out, shape.name).await?;
        governed.push(GovernedTable::new(Arc::clone(&snapshot.files), &governance(&snapshot, &shape)?)?);
        if shape.filter.is_some() {
            kept.push((shape.name, snapshot.rows));
        }
    }
    let session = GovernedSession::new(&engine, &governed, Limits::default(), AnswerShape::Rows)?;
    for (table, all) in kept {
        let (batches, _) = session.query(&format!("SELECT 1 FROM {table}")).await?.collect().await?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        println!("{table}: the row filter keeps {:.1} % of {all} rows", 100.0 * rows as f64 / all as f64);
    }
    let mut compared = Vec::new();
    for (query, sql) in queries(&arguments.queries)? {
        eprintln!("measuring {query}");
        compared.push(compare(&session, &plain, query, &sql, arguments.runs.clamp(1, 50)).await?);
    }
    report(&compared, &arguments.out)
}

/// DataFusion as it comes, but with the threads that the governed side has.
fn plain_context() -> SessionContext {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    SessionContext::new_with_config(SessionConfig::new().with_target_partitions(cores.min(8)))
}

async fn snapshot_of(snapshots: &SnapshotStore, tables: &Path, name: &str) -> Result<Snapshot, Failed> {
    if let Some(kept) = snapshots.latest(name).await? {
        return Ok(kept);
    }
    eprintln!("reading {name} into a snapshot");
    let source = Source::open(&tables.join(format!("{name}.parquet")), SourceOptions::default())?;
    Ok(snapshots.write_source(name, &source).await?)
}

/// The files of the snapshot themselves.
async fn register_plain(plain: &SessionContext, out: &Path, name: &str) -> Result<(), Failed> {
    let directory = out.join("snapshots").join(name);
    let path = directory.to_str().ok_or("the path is not text")?;
    plain.register_parquet(name, path, ParquetReadOptions::default()).await?;
    Ok(())
}

fn governance(snapshot: &Snapshot, shape: &Shape) -> Result<Governance, Failed> {
    let mut columns = Vec::new();
    for column in &snapshot.schema.columns {
        let is_masked = shape.masked.contains(&column.name.as_str());
        let precision: Precision = if is_masked { "pseudonym:permit" } else { "exact" }.parse()?;
        columns.push((column.name.clone(), precision));
    }
    let mut rows = Vec::new();
    if let Some((column, comparison, value)) = &shape.filter {
        let column = ColumnName::new(*column)?;
        rows.push(Predicate::Compare { column, comparison: *comparison, value: value.clone() });
    }
    let keys = PseudonymKeys { permit: Some([7; 32]), ..PseudonymKeys::default() };
    Ok(Governance { name: shape.name.to_owned(), columns, rows, consent: None, keys, marks: None })
}

fn queries(directory: &Path) -> Result<BTreeMap<String, String>, Failed> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if path.extension().is_some_and(|extension| extension == "sql") {
            let text = std::fs::read_to_string(&path)?;
            let sql: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
            found.insert(name, sql.join("\n"));
        }
    }
    Ok(found)
}

async fn compare(
    session: &GovernedSession,
    plain: &SessionContext,
    query: String,
    sql: &str,
    runs: usize,
) -> Result<Compared, Failed> {
    let (mut governed, mut ungoverned, mut refused) = (Duration::MAX, Duration::MAX, None);
    // One more than counted on each side: the first reads the files.
    for run in 0..=runs {
        let begun = Instant::now();
        let answer = async { session.query(sql).await?.collect().await }.await;
        if run > 0 {
            governed = governed.min(begun.elapsed());
        }
        if let Err(error) = answer {
            refused = Some(error.to_string());
        }
        let begun = Instant::now();
        plain.sql(sql).await?.collect().await?;
        if run > 0 {
            ungoverned = ungoverned.min(begun.elapsed());
        }
    }
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    Ok(Compared { query, governed_ms: ms(governed), plain_ms: ms(ungoverned), refused })
}

fn report(compared: &[Compared], out: &Path) -> Result<(), Failed> {
    let mut text = format!("{:<6}{:>14}{:>16}{:>8}\n", "query", "governed, ms", "DataFusion, ms", "ratio");
    let (mut governed, mut plain) = (0.0, 0.0);
    for row in compared {
        let ratio = row.governed_ms / row.plain_ms;
        let note = row.refused.as_deref().map(|why| format!("  REFUSED: {why}")).unwrap_or_default();
        text += &format!("{:<6}{:>14.1}{:>16.1}{:>8.2}{note}\n", row.query, row.governed_ms, row.plain_ms, ratio);
        if row.refused.is_none() {
            governed += row.governed_ms;
            plain += row.plain_ms;
        }
    }
    text += &format!(
        "{:<6}{governed:>14.1}{plain:>16.1}{:>8.2}  (goal: 1.10, no query above 1.50)\n",
        "all",
        governed / plain
    );
    std::io::stdout().lock().write_all(text.as_bytes())?;
    std::fs::write(out.join("tpch.json"), serde_json::to_string_pretty(compared)? + "\n")?;
    Ok(())
}
