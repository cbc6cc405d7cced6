//! Taking up a log whose checkpoint is an earlier one than was published last, or is missing: a process that was stopped in the
//! middle of writing one has put it back when it went on, or the disk has. Only where the database says what was published last, or a
//! note beside the log.

use lingqu_crypto::Suite;
use lingqu_transparency::{TILE_WIDTH, TransparencyError};

use super::check::compare_all;
use super::entries::read_entries;
use super::roots::RootsRows;
use super::sequencer::Sequencer;
use super::trees::{Files, Trees};
use super::{LogError, LogReader};
use crate::store::Store;

/// Grows the trees of a published size to the one that was published last, by the database's entries, which give the roots that
/// were signed then. Every tile and bundle on the way must be there with the same content, as they are durable before a checkpoint is
/// signed: files without them are of an earlier time, or of another place, and are not made anew. `sizes` are that of the checkpoint
/// that is served, whose root the caller compares afterwards, and the one that was published last.
///
/// # Errors
/// [`LogError::FilesBehind`], [`LogError::FileDiffers`], [`LogError::DatabaseBehind`], [`LogError::SequencerLost`]; faults.
pub(super) async fn catch_up(
    store: &Store,
    sequencer: &Sequencer,
    reader: &LogReader,
    twin: Option<&LogReader>,
    mut trees: Trees,
    sizes: (u64, u64),
) -> Result<Trees, LogError> {
    let (served, published) = sizes;
    let behind = || LogError::FilesBehind { published: served, database: published };
    if served == published {
        // Only of a log without entries; no file tells whether it is the one.
        return Err(behind());
    }
    let missing = |error: LogError| match error {
        LogError::Log(TransparencyError::TileMissing { .. }) => behind(),
        other => other,
    };
    let mut rows = RootsRows::since(store, trees.size());
    while trees.size() < published {
        // A long way takes longer than a place is kept for one who is silent.
        sequencer.keep().await?;
        if rows.peek().await?.is_some_and(|row| row.size == trees.size()) {
            rows.take();
            trees.set_published()?;
        }
        // A step ends where a bundle is full, or where a size was published.
        let until = rows.peek().await?.map_or(published, |row| row.size.min(published));
        let count = (TILE_WIDTH - trees.size() % TILE_WIDTH).min(until - trees.size());
        let entries = read_entries(store, trees.size(), count).await?;
        if entries.len() as u64 != count {
            return Err(LogError::DatabaseBehind { published, database: trees.size() + entries.len() as u64 });
        }
        let grown = trees.append(&entries)?;
        compare(reader, twin, grown.international, grown.national).await.map_err(missing)?;
        trees = grown.trees;
    }
    let [international, national] = [Suite::International, Suite::National].map(|suite| trees.edge_files(suite));
    compare(reader, twin, international, national).await.map_err(missing)?;
    trees.set_published()?;
    tracing::warn!(
        served,
        published,
        "an earlier checkpoint was served than was published last; the log goes on from the last one"
    );
    Ok(trees)
}

async fn compare(
    reader: &LogReader,
    twin: Option<&LogReader>,
    international: Files,
    national: Files,
) -> Result<(), LogError> {
    compare_all(reader, international).await?;
    match twin {
        Some(twin) => compare_all(twin, national).await,
        None => Ok(()),
    }
}
