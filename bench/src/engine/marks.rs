//! What marks cost: cells that are marked in a second of one processor, and a Parquet file of a recipient's copy beside the same file
//! unmarked.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use lingqu_domain::scope::{ColumnName, Precision};
use lingqu_engine::export::{ExportFormat, export};
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::marks::Marks;
use lingqu_engine::product::{Product, ProductSpec, ProductStore};
use lingqu_engine::session::{AnswerShape, GovernedSession};
use lingqu_engine::snapshot::SnapshotStore;
use lingqu_engine::source::{Source, SourceOptions};
use lingqu_engine::{Engine, EngineSettings, Limits, PseudonymKeys};
use lingqu_fingerprint::{Marker, PositionSecrets, Profile, share_to_rate};
use serde::Serialize;

use crate::Failed;
use crate::flights::{self, WHOLE, code, key, mark, marking, member};

/// Rows and columns of the batch that is marked again and again.
const BATCH: (i64, usize) = (1 << 16, 10);
/// How often it is marked.
const ROUNDS: u32 = 40;
/// The share of cells that is marked there.
const SHARE: f64 = 0.1;

/// Measure marking, and compare files with and without marks
#[derive(Debug, clap::Args)]
pub struct MarksArguments {
    /// Rows of the table
    #[arg(long, default_value_t = 336_776)]
    rows: u32,
    /// Where the product and the result go
    #[arg(long, default_value = "bench/out/marks")]
    out: PathBuf,
    /// How often each file is made, in turn; the best time counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

#[derive(Debug, Serialize)]
struct Measured {
    rows: u32,
    cells_per_second: f64,
    marked_ms: f64,
    unmarked_ms: f64,
    ratio: f64,
}

/// Measures, prints and writes `marks.json`.
pub async fn measure(arguments: &MarksArguments) -> Result<(), Failed> {
    std::fs::create_dir_all(&arguments.out)?;
    let cells_per_second = cells_per_second()?;
    let engine = Arc::new(Engine::new(&EngineSettings::moderate(arguments.out.join("spill")))?);
    let product = product(&engine, arguments).await?;
    let marks = Marks::new(flights::marked(), PositionSecrets::new(&key(Profile::Aes, 1)), code(2), code(3))?;
    let marked = session(&engine, &product, Some(Arc::new(marks)))?;
    let unmarked = session(&engine, &product, None)?;
    let (mut best_marked, mut best_unmarked) = (Duration::MAX, Duration::MAX);
    // One more than counted on each side: the first reads the files.
    for run in 0..=arguments.runs.clamp(1, 50) {
        let taken = [exported(&unmarked).await?, exported(&marked).await?];
        if run > 0 {
            best_unmarked = best_unmarked.min(taken[0]);
            best_marked = best_marked.min(taken[1]);
        }
    }
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let (marked_ms, unmarked_ms) = (ms(best_marked), ms(best_unmarked));
    let ratio = marked_ms / unmarked_ms;
    let measured = Measured { rows: arguments.rows, cells_per_second, marked_ms, unmarked_ms, ratio };
    let text = format!(
        "{:.1} million cells marked a second of one processor (goal: at least 50)\n\
         Parquet of {} rows: {marked_ms:.1} ms marked, {unmarked_ms:.1} ms unmarked, {ratio:.3} times (goal: at most 1.1)\n",
        cells_per_second / 1e6,
        arguments.rows,
    );
    std::io::stdout().lock().write_all(text.as_bytes())?;
    std::fs::write(arguments.out.join("marks.json"), serde_json::to_string_pretty(&measured)? + "\n")?;
    Ok(())
}

/// All cells of the batch count, marked or not, by the time of the one thread that works.
fn cells_per_second() -> Result<f64, Failed> {
    let (rows, columns) = BATCH;
    let mut arrays: Vec<(String, ArrayRef)> = vec![("id".to_owned(), Arc::new(Int64Array::from_iter_values(0..rows)))];
    let mut marks = Vec::new();
    for (number, period) in (0..columns).zip(10_007_i64..) {
        let column = format!("c{number}");
        let values = Int64Array::from_iter_values((0..rows).map(|row| row * 7_919 % period));
        marks.push(mark(&column, share_to_rate(SHARE), vec![member(&column, WHOLE)]));
        arrays.push((column, Arc::new(values)));
    }
    let batch = RecordBatch::try_from_iter(arrays)?;
    let (marking, secrets) = (marking(marks), PositionSecrets::new(&key(Profile::Aes, 1)));
    let marker = Marker::new(&marking, &secrets, code(2), code(3))?;
    // The best round: others may have had less than a whole processor.
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        marker.mark(&batch)?;
        best = best.min(begun.elapsed().as_secs_f64());
    }
    Ok((batch.num_rows() * columns) as f64 / best)
}

/// Makes the file and throws it away piece by piece.
async fn exported(session: &GovernedSession) -> Result<Duration, Failed> {
    let begun = Instant::now();
    let answer = session.query("SELECT * FROM flights").await?;
    let chunks = export(answer, ExportFormat::Parquet, |_| async { Ok::<(), std::convert::Infallible>(()) });
    let mut chunks = std::pin::pin!(chunks);
    while let Some(chunk) = chunks.next().await {
        chunk?;
    }
    Ok(begun.elapsed())
}

fn governance(schema: &lingqu_engine::SchemaView, marks: Option<Arc<Marks>>) -> Governance {
    let columns = schema.columns.iter().map(|column| (column.name.clone(), Precision::Exact)).collect();
    let keys = PseudonymKeys::default();
    Governance { name: "flights".to_owned(), columns, rows: Vec::new(), consent: None, keys, marks }
}

fn session(engine: &Arc<Engine>, product: &Product, marks: Option<Arc<Marks>>) -> Result<GovernedSession, Failed> {
    let table = GovernedTable::new(Arc::clone(&product.files), &governance(&product.schema, marks))?;
    let limits = Limits { rows_max: u64::MAX, bytes_max: u64::MAX, ..Limits::default() };
    Ok(GovernedSession::new(engine, &[table], limits, AnswerShape::Rows)?)
}

/// The table as a product, made once and kept.
async fn product(engine: &Arc<Engine>, arguments: &MarksArguments) -> Result<Product, Failed> {
    let (version, inputs) = (format!("prd_flights_{}", arguments.rows), "set_1");
    let store = ProductStore::open(&arguments.out.join("products"))?;
    if let Ok(kept) = store.get(&version, inputs) {
        return Ok(kept);
    }
    eprintln!("making a product of {} rows", arguments.rows);
    let path = arguments.out.join("flights.parquet");
    let path = path.to_str().ok_or("the path is not text")?;
    let written = SessionContext::new().sql(&flights::sql(arguments.rows)).await?;
    written.write_parquet(path, DataFrameWriteOptions::new().with_single_file_output(true), None).await?;
    let snapshots = SnapshotStore::open(&arguments.out.join("snapshots"))?;
    let source = Source::open(path.as_ref(), SourceOptions::default())?;
    let snapshot = snapshots.write_source("flights", &source).await?;
    let table = GovernedTable::new(snapshot.files, &governance(&snapshot.schema, None))?;
    let names: Vec<&str> = snapshot.schema.columns.iter().map(|column| column.name.as_str()).collect();
    let spec = ProductSpec {
        sql: format!("SELECT {} FROM flights", names.join(", ")),
        key: vec![ColumnName::new("id")?],
        subject: None,
        further_subjects: Vec::new(),
    };
    let limits =
        Limits { rows_max: u64::MAX, bytes_max: u64::MAX, time_max: Duration::from_secs(3_600), ..Limits::default() };
    Ok(store.materialise(engine, &version, inputs, &spec, &[table], limits).await?)
}
