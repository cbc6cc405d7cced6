//! Holding the published log against the database: every entry, every tile of hashes computed anew, and the root.

use lingqu_transparency::{TILE_WIDTH, TileKind, TilePath, TransparencyError, TreeState, decode_bundle};

use super::entries::read_entries;
use super::{LogError, LogReader, blocking};
use crate::store::Store;

/// Bytes of one hash in a tile.
const HASH_BYTES: usize = 32;

/// Compares every published entry with the database, every tile with what the entries come to, and the root with the
/// checkpoint; gives the number of entries. Tiles of sizes that the log had earlier are compared where they still stand.
/// It holds one bundle of entries (at most 16 MiB) and the right edge of the tree at a time.
///
/// # Errors
/// [`LogError::EntryDiffers`] names the first entry that differs, [`LogError::DatabaseBehind`] a missing one,
/// [`LogError::FileDiffers`] a tile, [`LogError::Log`] a missing or damaged file, [`LogError::RootDiffers`] a checkpoint
/// over other tiles.
pub async fn check_log(store: &Store, reader: &LogReader) -> Result<u64, LogError> {
    let Some(published) = reader.published().await? else { return Ok(0) };
    let size = published.checkpoint.size;
    let mut tree = TreeState::empty();
    while tree.size() < size {
        let first = tree.size();
        let count = TILE_WIDTH.min(size - first);
        let in_database = read_entries(store, first, count).await?;
        let path = TilePath::entries(first / TILE_WIDTH, count as u16);
        let (bundles, wanted) = (reader.clone(), path);
        let published = blocking(move || bundles.read_bundle(wanted)).await?;
        for (offset, entry) in published.iter().enumerate() {
            let index = first + offset as u64;
            match in_database.get(offset) {
                None => return Err(LogError::DatabaseBehind { published: size, database: index }),
                Some(found) if found != entry => return Err(LogError::EntryDiffers { index }),
                Some(_) => {}
            }
        }
        let growth = tree.append(&published)?;
        tree = growth.state;
        let mut files = growth.files;
        // What was unfinished on the way stands beside what it grew into, and is compared with that.
        files.retain(|(path, _)| path.parse::<TilePath>().is_ok_and(TilePath::is_full));
        if tree.size() == size {
            files.extend(tree.edge_files());
        }
        let tiles = reader.clone();
        blocking(move || {
            for (path, bytes) in &files {
                tiles.compare(path, bytes)?;
            }
            Ok(())
        })
        .await?;
    }
    if tree.root() != published.checkpoint.root {
        return Err(LogError::RootDiffers { size });
    }
    Ok(size)
}

impl LogReader {
    /// The entries of a bundle of which at least the first `path.width` are published.
    fn read_bundle(&self, path: TilePath) -> Result<Vec<Vec<u8>>, LogError> {
        let full = full(path);
        let (found, bytes) = match self.files.read(&path.to_string())? {
            Some(bytes) => (path, bytes),
            None => match self.files.read(&full.to_string())? {
                Some(bytes) => (full, bytes),
                None => return Err(TransparencyError::TileMissing { path: path.to_string() }.into()),
            },
        };
        let mut entries = decode_bundle(&bytes, found.width)
            .map_err(|error| TransparencyError::TileDamaged { path: found.to_string(), problem: error.to_string() })?;
        entries.truncate(usize::from(path.width));
        Ok(entries)
    }

    /// Holds a tile or bundle, and every shorter one of the same place, against what it must be.
    fn compare(&self, path: &str, bytes: &[u8]) -> Result<(), LogError> {
        let path: TilePath = path.parse()?;
        let stored = self.files.read(&path.to_string())?;
        match (stored, path.is_full()) {
            (Some(stored), _) if stored == bytes => {}
            (Some(_), _) => return Err(LogError::FileDiffers { path: path.to_string() }),
            (None, true) => return Err(TransparencyError::TileMissing { path: path.to_string() }.into()),
            // A log may drop a partial tile once the full one stands (tlog-tiles, "Partial Tiles").
            (None, false) => match self.files.read(&full(path).to_string())? {
                Some(stored) if stored.starts_with(bytes) => {}
                Some(_) => return Err(LogError::FileDiffers { path: full(path).to_string() }),
                None => return Err(TransparencyError::TileMissing { path: path.to_string() }.into()),
            },
        }
        for width in self.files.partial_widths(&full(path).to_string())? {
            let shorter = TilePath { width, ..path };
            if width >= path.width {
                continue;
            }
            let stored = self.files.read(&shorter.to_string())?;
            let expected = beginning(path.kind, bytes, width);
            if stored.is_some_and(|stored| Some(stored.as_slice()) != expected) {
                return Err(LogError::FileDiffers { path: shorter.to_string() });
            }
        }
        Ok(())
    }
}

fn full(path: TilePath) -> TilePath {
    TilePath { width: TILE_WIDTH as u16, ..path }
}

/// The bytes of the first `width` elements of a tile or bundle.
fn beginning(kind: TileKind, bytes: &[u8], width: u16) -> Option<&[u8]> {
    let end = match kind {
        TileKind::Hashes { .. } => usize::from(width) * HASH_BYTES,
        TileKind::Entries => {
            let mut end = 0;
            for _ in 0..width {
                let length: [u8; 2] = bytes.get(end..end + 2)?.try_into().ok()?;
                end += 2 + usize::from(u16::from_be_bytes(length));
            }
            end
        }
    };
    bytes.get(..end)
}
