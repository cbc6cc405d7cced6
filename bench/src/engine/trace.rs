//! How long a leak takes to be traced: 100,000 rows without key or names among 10,000 recipients, from the rows in memory to the
//! verdict, on as many threads as there are processors; half of the rows, and half of the recipients, beside it; and the profile with
//! SM4. Reading the file and the receipts is not in it.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::prelude::SessionContext;
use lingqu_fingerprint::{
    DECODERS, MarkKey, Marker, Marking, PositionSecrets, Profile, RecipientCode, Scores, Settings, Sheet, Watch,
    accuse, align, observe, score_each,
};
use serde::Serialize;

use crate::Failed;
use crate::flights;

/// The leak and the recipients that the goal speaks of.
const LEAKED_ROWS: u32 = 100_000;
const RECIPIENTS: u32 = 10_000;
/// Recipients under SM4, which has no instruction of its own in most processors.
const RECIPIENTS_SM4: u32 = 1_000;
/// Logarithm of the odds that a match of rows needs, as the node asks them.
const LOG_ODDS_MIN: f64 = 7.0;
/// Rows of a batch of originals, as files give them.
const BATCH_ROWS: usize = 8_192;
/// A prime: its multiples visit the rows in an order that shows nothing.
const STRIDE: u64 = 2_654_435_761;

/// Measure the tracing of a leak
#[derive(Debug, clap::Args)]
pub struct TraceArguments {
    /// Rows of the table that leaked rows are found in
    #[arg(long, default_value_t = 336_776)]
    rows: u32,
    /// Where the result goes
    #[arg(long, default_value = "bench/out/trace")]
    out: PathBuf,
}

/// One trace.
#[derive(Debug, Serialize)]
struct Traced {
    profile: &'static str,
    leaked_rows: u32,
    recipients: u32,
    positions: usize,
    align_seconds: f64,
    seconds: f64,
    /// Whether the leaker was named and nobody else.
    is_named: bool,
    /// The most memory that the process has had until then, where the system tells it.
    memory_mb: Option<u64>,
}

/// Measures, prints and writes `trace.json`.
pub async fn measure(arguments: &TraceArguments) -> Result<(), Failed> {
    std::fs::create_dir_all(&arguments.out)?;
    let table = SessionContext::new().sql(&flights::sql(arguments.rows)).await?.collect().await?;
    let table = concat_batches(&table.first().ok_or("the table has no rows")?.schema(), &table)?;
    let leaked = LEAKED_ROWS.min(arguments.rows);
    let mut traced = Vec::new();
    for (profile, rows, recipients) in [
        (Profile::Aes, leaked, RECIPIENTS),
        (Profile::Aes, leaked / 2, RECIPIENTS),
        (Profile::Aes, leaked, RECIPIENTS / 2),
        (Profile::Sm4, leaked, RECIPIENTS_SM4),
    ] {
        eprintln!("tracing {rows} rows among {recipients} recipients ({})", profile.name());
        let found = trace(&table, profile, rows, recipients)?;
        let text = format!(
            "{}: {} leaked rows of {}, {} recipients: {:.1} s (aligned in {:.1}), {} positions; {}; at most {} MB\n",
            found.profile,
            found.leaked_rows,
            table.num_rows(),
            found.recipients,
            found.seconds,
            found.align_seconds,
            found.positions,
            if found.is_named { "named" } else { "NOT NAMED" },
            found.memory_mb.map_or_else(|| "?".to_owned(), |megabytes| megabytes.to_string()),
        );
        std::io::stdout().lock().write_all(text.as_bytes())?;
        traced.push(found);
    }
    std::fs::write(arguments.out.join("trace.json"), serde_json::to_string_pretty(&traced)? + "\n")?;
    Ok(())
}

fn trace(table: &RecordBatch, profile: Profile, leaked_rows: u32, recipients: u32) -> Result<Traced, Failed> {
    let marking = flights::marked();
    let secrets = PositionSecrets::new(&flights::key(profile, 1));
    let code = |use_number: u8, number: u32| {
        let mut bytes = [use_number; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        RecipientCode::new(&MarkKey::from_bytes(profile, bytes))
    };
    let codes: Vec<RecipientCode> = (0..recipients).map(|number| code(2, number)).collect();
    let leaker = recipients / 3;
    let fragment = leaked(table, &Marker::new(&marking, &secrets, code(2, leaker), code(3, 0))?, leaked_rows)?;
    let originals: Vec<RecordBatch> = (0..table.num_rows())
        .step_by(BATCH_ROWS)
        .map(|from| table.slice(from, BATCH_ROWS.min(table.num_rows() - from)))
        .collect();
    let begun = Instant::now();
    let found = accused(&marking, &secrets, &fragment, &originals, &codes)?;
    Ok(Traced {
        profile: profile.name(),
        leaked_rows,
        recipients,
        positions: found.positions,
        align_seconds: found.aligned.duration_since(begun).as_secs_f64(),
        seconds: begun.elapsed().as_secs_f64(),
        is_named: found.accused == [leaker as usize],
        memory_mb: memory_peak_mb(),
    })
}

/// Rows of the leaker's copy, shuffled, without the key and under other names.
fn leaked(table: &RecordBatch, marker: &Marker, rows: u32) -> Result<RecordBatch, Failed> {
    let all = u64::try_from(table.num_rows())?;
    let chosen = (0..u64::from(rows)).map(|row| u32::try_from(row * STRIDE % all)).collect::<Result<Vec<_>, _>>()?;
    let copy = marker.mark(&take_record_batch(table, &UInt32Array::from(chosen))?)?;
    let columns = copy.columns().iter().enumerate().skip(1);
    Ok(RecordBatch::try_from_iter_with_nullable(columns.map(|(at, values)| (format!("f{at}"), values.clone(), true)))?)
}

struct Found {
    aligned: Instant,
    positions: usize,
    accused: Vec<usize>,
}

fn accused(
    marking: &Marking,
    secrets: &PositionSecrets,
    fragment: &RecordBatch,
    originals: &Vec<RecordBatch>,
    codes: &[RecipientCode],
) -> Result<Found, Failed> {
    let mut watching = |_, _| ControlFlow::Continue(());
    let alignment = align(marking, fragment, originals, LOG_ODDS_MIN, &mut Watch(&mut watching))?;
    let aligned = Instant::now();
    let matched = alignment.gather(originals, &mut Watch(&mut watching))?;
    let observations = observe(marking, secrets, &matched, &alignment.leaked(fragment, &matched)?)?;
    let settings = Settings::of_recipients(u64::try_from(codes.len())?);
    let verdict = accuse(&observations, codes, &settings, &on_all_processors)?;
    let accused = verdict.accused.iter().map(|accusation| accusation.candidate).collect();
    Ok(Found { aligned, positions: verdict.positions, accused })
}

fn on_all_processors(sheet: &Sheet, codes: &[RecipientCode]) -> Vec<Scores> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let mut scores: Vec<Scores> = vec![[0.0; DECODERS]; codes.len()];
    let share = codes.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        for (codes, scores) in codes.chunks(share).zip(scores.chunks_mut(share)) {
            scope.spawn(move || scores.copy_from_slice(&score_each(sheet, codes)));
        }
    });
    scores
}

fn memory_peak_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1_024)
}
