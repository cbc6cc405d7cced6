//! Beginning a twin beside a log that has entries already, from the published bundles.

use lingqu_crypto::Suite;
use lingqu_transparency::{TILE_WIDTH, TilePath, TwinLog};

use super::roots::RootsRows;
use super::sequencer::Sequencer;
use super::trees::{Files, full};
use super::{LogError, LogReader, blocking};
use crate::store::Store;

/// Entries after which the node's log says how far it has come: every 4,096 bundles.
const TOLD_EVERY: u64 = 4_096 * TILE_WIDTH;

/// Grows the twin of a published log of `size` entries and writes its tiles; gives both logs, to be compared with the
/// checkpoint. It holds one bundle at a time. A process that ends meanwhile begins again, over tiles that are there already.
pub(super) async fn begin_twin(
    store: &Store,
    sequencer: &Sequencer,
    first: &LogReader,
    twin: &LogReader,
    size: u64,
) -> Result<TwinLog, LogError> {
    let mut log = TwinLog::empty(first.verifier.name())?;
    // A twin that was published before has entries of both roots; each must be of the trees at its size.
    let mut rows = RootsRows::new(store);
    while log.size() < size {
        // This takes longer than a place is kept for one who is silent.
        sequencer.keep().await?;
        if log.size().is_multiple_of(TOLD_EVERY) && size > TOLD_EVERY {
            tracing::info!(entries = log.size(), of = size, "the twin log over SM3 is being made");
        }
        let start = log.size();
        let index = start / TILE_WIDTH;
        let path = TilePath::entries(index, TILE_WIDTH.min(size - index * TILE_WIDTH) as u16);
        let reader = first.clone();
        let entries = blocking(move || reader.read_bundle(path)).await?;
        let mut tiles = Vec::new();
        let mut rest = entries.as_slice();
        while !rest.is_empty() {
            log = pass(&mut rows, log).await?;
            // A piece ends where a size was published.
            let until = rows.peek().await?.map_or(u64::MAX, |row| row.size);
            let length = (rest.len() as u64).min(until.saturating_sub(log.size()).max(1)) as usize;
            let growth = log.append(&rest[..length])?;
            log = growth.log;
            tiles.extend(full(growth.national));
            rest = &rest[length..];
        }
        write(twin, tiles).await?;
    }
    log = pass(&mut rows, log).await?;
    write(twin, log.edge_files(Suite::National)).await?;
    Ok(log)
}

/// Says that the size was published, where an entry of both roots says so.
async fn pass(rows: &mut RootsRows, mut log: TwinLog) -> Result<TwinLog, LogError> {
    if rows.peek().await?.is_some_and(|row| row.size == log.size()) {
        rows.take();
        log.publish()?;
    }
    Ok(log)
}

async fn write(twin: &LogReader, tiles: Files) -> Result<(), LogError> {
    let twin = twin.clone();
    blocking(move || twin.files.write_tiles(&tiles).map_err(|error| twin.named(error))).await
}
