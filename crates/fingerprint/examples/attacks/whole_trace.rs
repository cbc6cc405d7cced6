//! A whole trace of a leak, from its rows to the verdict, by the clock: aligning, observing, testing every recipient on as
//! many threads as there are processors.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use arrow::array::RecordBatch;
use lingqu_fingerprint::{
    DECODERS, MarkKey, Marker, PositionSecrets, Profile, RecipientCode, Scores, Settings, Sheet, Watch, accuse, align,
    observe, score_each,
};

use crate::chance::Chance;
use crate::tables::Table;

const LOG_ODDS_MIN: f64 = 7.0;
/// The leak and the recipients that the goal speaks of.
const LEAKED_ROWS: usize = 100_000;
const RECIPIENTS: u32 = 10_000;
/// Rows of a batch, as files give them.
const BATCH_ROWS: usize = 8_192;

/// Prints one line for each profile.
pub fn print(table: &Table) -> Result<(), Box<dyn Error>> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    for profile in [Profile::Aes, Profile::Sm4] {
        let key = |use_number: u8, number: u32| {
            let mut bytes = [use_number; 32];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            MarkKey::from_bytes(profile, bytes)
        };
        let secrets = PositionSecrets::new(&key(1, 0));
        let codes: Vec<RecipientCode> = (0..RECIPIENTS).map(|number| RecipientCode::new(&key(2, number))).collect();
        let leaker = RECIPIENTS / 3;
        let marker =
            Marker::new(&table.marking, &secrets, RecipientCode::new(&key(2, leaker)), RecipientCode::new(&key(3, 0)))?;
        let mut chance = Chance::new("whole trace");
        let sampled = chance.sample(table.batch.num_rows(), LEAKED_ROWS);
        let mut rows: Vec<(u64, u32)> =
            sampled.into_iter().map(|row| (chance.next(), u32::try_from(row).unwrap_or(u32::MAX))).collect();
        rows.sort_unstable();
        let shuffled: Vec<u32> = rows.into_iter().map(|(_, row)| row).collect();
        let chosen = arrow::compute::take_record_batch(&table.batch, &arrow::array::UInt32Array::from(shuffled))?;
        let copy = marker.mark(&chosen)?;
        // Without its key, under other names.
        let kept: Vec<usize> = (1..copy.num_columns()).collect();
        let fragment = renamed(&copy.project(&kept)?)?;
        let originals: Vec<RecordBatch> = (0..table.batch.num_rows())
            .step_by(BATCH_ROWS)
            .map(|from| table.batch.slice(from, BATCH_ROWS.min(table.batch.num_rows() - from)))
            .collect();
        let mut watching = |_, _| ControlFlow::Continue(());
        let begun = Instant::now();
        let alignment = align(&table.marking, &fragment, &originals, LOG_ODDS_MIN, &mut Watch(&mut watching))?;
        let aligned = begun.elapsed().as_secs_f64();
        let matched = alignment.gather(&originals, &mut Watch(&mut watching))?;
        let leaked = alignment.leaked(&fragment, &matched)?;
        let observations = observe(&table.marking, &secrets, &matched, &leaked)?;
        let observed = begun.elapsed().as_secs_f64() - aligned;
        let score = |sheet: &Sheet, codes: &[RecipientCode]| on_threads(threads, sheet, codes);
        let verdict = accuse(&observations, &codes, &Settings::of_recipients(u64::from(RECIPIENTS)), &score)?;
        let whole = begun.elapsed().as_secs_f64();
        let named = verdict.accused.iter().any(|accusation| accusation.candidate == leaker as usize);
        println!(
            "{}, {}: {LEAKED_ROWS} leaked rows of {} without key or names, {RECIPIENTS} recipients, {threads} threads: {whole:.1} s \
             (aligned {aligned:.1}, observed {observed:.1}, tested {:.1}); {} rows found, {} positions; {}; at most {} MB",
            table.name,
            profile.name(),
            table.batch.num_rows(),
            whole - aligned - observed,
            alignment.rows.len(),
            verdict.positions,
            if named && verdict.accused.len() == 1 { "named" } else { "NOT NAMED" },
            memory_peak_mb(),
        );
    }
    Ok(())
}

fn renamed(batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns = batch.columns().iter().enumerate().map(|(at, array)| (format!("f{at}"), array.clone(), true));
    RecordBatch::try_from_iter_with_nullable(columns)
}

fn on_threads(threads: usize, sheet: &Sheet, codes: &[RecipientCode]) -> Vec<Scores> {
    let mut scores: Vec<Scores> = vec![[0.0; DECODERS]; codes.len()];
    let share = codes.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        for (codes, scores) in codes.chunks(share).zip(scores.chunks_mut(share)) {
            scope.spawn(move || scores.copy_from_slice(&score_each(sheet, codes)));
        }
    });
    scores
}

/// The most memory that the process has had, where the system tells it.
fn memory_peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kilobytes| kilobytes / 1_024)
}
