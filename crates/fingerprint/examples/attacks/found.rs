//! Rows of a fragment found by their values alone, and how many of them wrongly.

use std::ops::ControlFlow;
use std::time::Instant;

use arrow::array::RecordBatch;
use lingqu_fingerprint::{Marking, Observation, Originals, PositionSecrets, Watch, align, observe};

use crate::chance::Chance;
use crate::trial::{Failure, Found};

/// A match's odds: the logarithm that is asked for.
const LOG_ODDS_MIN: f64 = 7.0;

/// Rows of a batch of originals.
const PIECE_ROWS: usize = 16_384;

/// Originals the way a node reads them, batch by batch.
pub fn pieces(batch: &RecordBatch) -> Vec<RecordBatch> {
    let rows = batch.num_rows();
    (0..rows).step_by(PIECE_ROWS).map(|from| batch.slice(from, PIECE_ROWS.min(rows - from))).collect()
}

/// The same in any order (Fisher and Yates).
pub fn shuffled(mut rows: Vec<u64>, chance: &mut Chance) -> Vec<u64> {
    for at in (1..rows.len()).rev() {
        rows.swap(at, chance.below(at + 1));
    }
    rows
}

/// What a fragment shows beside the originals that are found for its rows; `truth` says which they are.
pub fn find(
    marking: &Marking,
    secrets: &PositionSecrets,
    originals: &dyn Originals,
    fragment: &RecordBatch,
    truth: &[u64],
) -> Result<(Vec<Observation>, Found), Failure> {
    let mut go_on = |_, _| ControlFlow::Continue(());
    let watch = &mut Watch(&mut go_on);
    let begun = Instant::now();
    let alignment = align(marking, fragment, originals, LOG_ODDS_MIN, watch)?;
    let mistaken = alignment.rows.iter().filter(|row| truth[row.leaked as usize] != row.original).count();
    let originals = alignment.gather(originals, watch)?;
    let leaked = alignment.leaked(fragment, &originals)?;
    let found = Found { matched: alignment.rows.len(), mistaken, seconds: begun.elapsed().as_secs_f64() };
    Ok((observe(marking, secrets, &originals, &leaked)?, found))
}
