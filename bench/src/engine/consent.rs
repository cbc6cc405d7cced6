//! What consent costs: scans of one product of which every subject is asked for consent, beside the same scans without
//! consent. Everybody consents first, so that both sides give the same rows; then all but some, chosen by a seed.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::prelude::SessionContext;
use lingqu_domain::scope::{ColumnName, Precision};
use lingqu_engine::consent::ConsentSet;
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::product::{Product, ProductSpec, ProductStore};
use lingqu_engine::session::{AnswerShape, GovernedSession};
use lingqu_engine::snapshot::SnapshotStore;
use lingqu_engine::source::{Source, SourceOptions};
use lingqu_engine::{Engine, EngineSettings, Limits, PseudonymKeys};
use serde::Serialize;

use crate::Failed;

/// Compare scans with and without consent
#[derive(Debug, clap::Args)]
pub struct ConsentArguments {
    /// Subjects of the product, each of whom consents
    #[arg(long, default_value_t = 10_000_000)]
    subjects: u32,
    /// Of a hundred subjects so many consent in the second comparison
    #[arg(long, default_value_t = 90)]
    percent: u64,
    /// Chooses who does
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the product and the result go
    #[arg(long, default_value = "bench/out/consent")]
    out: PathBuf,
    /// How often each question is asked of each side, in turn; the best time counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// What is asked: a scan that is drawn whole, and one that is added up.
const QUESTIONS: [(&str, &str); 2] = [
    ("rows", "SELECT person, city, points FROM people"),
    ("sums", "SELECT city, count(*), sum(points) FROM people GROUP BY city"),
];

#[derive(Debug, Serialize)]
struct Compared {
    question: &'static str,
    consenting: u64,
    with_ms: f64,
    without_ms: f64,
    ratio: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    subjects: u32,
    seed: u64,
    set_bytes: usize,
    resident_bytes_before: u64,
    resident_bytes_after: u64,
    compared: Vec<Compared>,
}

/// Measures, prints and writes `consent.json`.
pub async fn measure(arguments: &ConsentArguments) -> Result<(), Failed> {
    std::fs::create_dir_all(&arguments.out)?;
    let settings = EngineSettings::moderate(arguments.out.join("spill"));
    let engine = Arc::new(Engine::new(&settings)?);
    let product = product(&engine, arguments).await?;
    let everybody: ConsentSet = (0..arguments.subjects).collect();
    let mut dice = arguments.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let most: ConsentSet = (0..arguments.subjects).filter(|_| rolled(&mut dice) % 100 < arguments.percent).collect();
    let set_bytes = everybody.memory_bytes();
    let before = resident_bytes();
    let mut compared = Vec::new();
    for consent in [everybody, most] {
        let consenting = consent.len();
        let with = session(&engine, &product, Some(Arc::new(consent)))?;
        let without = session(&engine, &product, None)?;
        for (question, sql) in QUESTIONS {
            eprintln!("measuring {question} with the consent of {consenting}");
            let (mut best_with, mut best_without) = (Duration::MAX, Duration::MAX);
            // One more than counted on each side: the first reads the files.
            for run in 0..=arguments.runs.clamp(1, 50) {
                let taken = [drawn(&without, sql).await?, drawn(&with, sql).await?];
                if run > 0 {
                    best_without = best_without.min(taken[0]);
                    best_with = best_with.min(taken[1]);
                }
            }
            let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
            let (with_ms, without_ms) = (ms(best_with), ms(best_without));
            compared.push(Compared { question, consenting, with_ms, without_ms, ratio: with_ms / without_ms });
        }
    }
    let measured = Measured {
        subjects: arguments.subjects,
        seed: arguments.seed,
        set_bytes,
        resident_bytes_before: before,
        resident_bytes_after: resident_bytes(),
        compared,
    };
    report(&measured, arguments)
}

fn report(measured: &Measured, arguments: &ConsentArguments) -> Result<(), Failed> {
    let mut text = format!(
        "{} subjects, seed {}; the set takes {} KiB, the process {} MiB before and {} MiB after\n",
        measured.subjects,
        measured.seed,
        measured.set_bytes >> 10,
        measured.resident_bytes_before >> 20,
        measured.resident_bytes_after >> 20,
    );
    text += &format!("{:<8}{:>12}{:>14}{:>14}{:>8}\n", "question", "consenting", "with, ms", "without, ms", "ratio");
    for row in &measured.compared {
        text += &format!(
            "{:<8}{:>12}{:>14.1}{:>14.1}{:>8.2}\n",
            row.question, row.consenting, row.with_ms, row.without_ms, row.ratio
        );
    }
    text += "(goal: no ratio above 1.20)\n";
    std::io::stdout().lock().write_all(text.as_bytes())?;
    std::fs::write(arguments.out.join("consent.json"), serde_json::to_string_pretty(measured)? + "\n")?;
    Ok(())
}

/// Draws an answer whole, batch by batch.
async fn drawn(session: &GovernedSession, sql: &str) -> Result<Duration, Failed> {
    let begun = Instant::now();
    let mut answer = session.query(sql).await?;
    while let Some(part) = answer.next().await {
        part?;
    }
    Ok(begun.elapsed())
}

fn session(
    engine: &Arc<Engine>,
    product: &Product,
    consent: Option<Arc<ConsentSet>>,
) -> Result<GovernedSession, Failed> {
    let mut columns = Vec::new();
    for column in &product.schema.columns {
        columns.push((column.name.clone(), Precision::Exact));
    }
    let governance = Governance {
        name: "people".to_owned(),
        columns,
        rows: Vec::new(),
        consent,
        keys: PseudonymKeys::default(),
        marks: None,
    };
    let table = GovernedTable::new(Arc::clone(&product.files), &governance)?;
    let limits = Limits { rows_max: u64::MAX, bytes_max: u64::MAX, ..Limits::default() };
    Ok(GovernedSession::new(engine, &[table], limits, AnswerShape::Rows)?)
}

/// A product with one row for each subject, made once and kept. The rows stand in the order of the key, and the subjects in
/// an order of their own.
async fn product(engine: &Arc<Engine>, arguments: &ConsentArguments) -> Result<Product, Failed> {
    let subjects = arguments.subjects;
    let (version, inputs) = (format!("prd_people_{subjects}"), "set_1");
    let store = ProductStore::open(&arguments.out.join("products"))?;
    if let Ok(kept) = store.get(&version, inputs) {
        return Ok(kept);
    }
    eprintln!("making a product of {subjects} subjects");
    let path = arguments.out.join("people.parquet");
    let path = path.to_str().ok_or("the path is not text")?;
    let context = SessionContext::new();
    // The factor is a prime, so that every subject comes once and not in the order of the key.
    let sql = format!(
        "SELECT value AS id, 'P' || lpad(CAST((value * 7919) % {subjects} AS text), 12, '0') AS person, \
         'C' || CAST(value % 14 AS text) AS city, value % 100 AS points FROM generate_series(0, {})",
        i64::from(subjects) - 1
    );
    context
        .sql(&sql)
        .await?
        .write_parquet(path, DataFrameWriteOptions::new().with_single_file_output(true), None)
        .await?;
    let snapshots = SnapshotStore::open(&arguments.out.join("snapshots"))?;
    let source = Source::open(path.as_ref(), SourceOptions::default())?;
    let snapshot = snapshots.write_source("people", &source).await?;
    let name = |column: &str| ColumnName::new(column);
    let mut columns = Vec::new();
    for column in &snapshot.schema.columns {
        columns.push((column.name.clone(), Precision::Exact));
    }
    let governance = Governance {
        name: "people".to_owned(),
        columns,
        rows: Vec::new(),
        consent: None,
        keys: PseudonymKeys::default(),
        marks: None,
    };
    let table = GovernedTable::new(snapshot.files, &governance)?;
    let spec = ProductSpec {
        sql: "SELECT id, person, city, points FROM people".to_owned(),
        key: vec![name("id")?],
        subject: Some(name("person")?),
        further_subjects: Vec::new(),
    };
    let limits =
        Limits { rows_max: u64::MAX, bytes_max: u64::MAX, time_max: Duration::from_secs(3_600), ..Limits::default() };
    let product = store.materialise(engine, &version, inputs, &spec, &[table], limits).await?;
    if product.subjects != u64::from(subjects) {
        return Err(format!(
            "the product has {} subjects; choose a number that 7919 does not divide",
            product.subjects
        )
        .into());
    }
    Ok(product)
}

/// The next number of a generator (xorshift), told by its seed.
fn rolled(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Memory that the process holds, 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}
