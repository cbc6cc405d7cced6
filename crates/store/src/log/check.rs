//! Holding the published log and its twin against the database: every entry, every tile of hashes computed anew, the entries
//! of both roots, and the roots.

use lingqu_crypto::Suite;
use lingqu_transparency::{
    RootsEntry, TILE_WIDTH, TileKind, TilePath, TransparencyError, TreeState, TwinAudit, decode_bundle,
};

use super::entries::read_entries;
use super::roots::RootsRows;
use super::trees::{Files, full};
use super::{CHECKPOINT_PATH, LogError, LogReader, blocking};
use crate::store::Store;

/// Bytes of one hash in a tile.
const HASH_BYTES: usize = 32;

/// Compares every published entry with the database, every tile with what the entries come to, and the root with the
/// checkpoint; gives the number of entries. Tiles of sizes that the log had earlier are compared where they still stand. With
/// `twin` its tiles and checkpoint are compared as well, and each entry of both roots with the trees at the size that it is about.
/// It holds one bundle of entries (at most 16 MiB) and the right edges of the trees at a time.
///
/// # Errors
/// [`LogError::EntryDiffers`] names the first entry that differs, [`LogError::DatabaseBehind`] a missing one,
/// [`LogError::FileDiffers`] a tile, [`LogError::Log`] a missing or damaged file, or roots that differ or are missing,
/// [`LogError::RootsUnknown`] an entry of roots that the database's table does not name, [`LogError::RootDiffers`] a checkpoint
/// over other tiles.
pub async fn check_log(store: &Store, reader: &LogReader, twin: Option<&LogReader>) -> Result<u64, LogError> {
    let Some(published) = reader.published().await? else { return Ok(0) };
    let size = published.checkpoint.size;
    let mut tree = TreeState::empty();
    let mut twin_check = match twin {
        Some(twin) => TwinCheck::begin(store, reader, twin).await?,
        None => None,
    };
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
        // What was unfinished on the way stands beside what it grew into, and is compared with that.
        let mut files = full(growth.files);
        if tree.size() == size {
            files.extend(tree.edge_files());
        }
        compare_all(reader, files).await?;
        if let Some(check) = &mut twin_check {
            check.pass(&published).await?;
        }
    }
    if tree.root() != published.checkpoint.root {
        return Err(LogError::RootDiffers { size });
    }
    if let Some(check) = twin_check {
        check.finish(size).await?;
    }
    check_announced(reader, size).await?;
    Ok(size)
}

/// What was about to be published last is of the same log. It is larger than what is served where a process ended in between.
async fn check_announced(reader: &LogReader, size: u64) -> Result<(), LogError> {
    let Some(announced) = reader.announced().await?.filter(|announced| announced.checkpoint.size <= size) else {
        return Ok(());
    };
    let (reader, earlier) = (reader.clone(), announced.checkpoint.size);
    let root = blocking(move || reader.root_at(size, earlier)).await?;
    if root == announced.checkpoint.root { Ok(()) } else { Err(LogError::RootDiffers { size: earlier }) }
}

/// Holds files of a log, and what was written of their beginnings, against what they must be.
pub(super) async fn compare_all(reader: &LogReader, files: Files) -> Result<(), LogError> {
    let reader = reader.clone();
    blocking(move || {
        for (path, bytes) in &files {
            reader.compare(path, bytes).map_err(|error| reader.named(error))?;
        }
        Ok(())
    })
    .await
}

/// The twin's part of a check.
struct TwinCheck {
    twin: LogReader,
    audit: TwinAudit,
    rows: RootsRows,
    /// Where the entry about the size that was passed last must stand.
    expected: Option<u64>,
}

impl TwinCheck {
    /// `None` where the twin has not begun: the first process that serves the node makes it.
    async fn begin(store: &Store, first: &LogReader, twin: &LogReader) -> Result<Option<TwinCheck>, LogError> {
        let mut rows = RootsRows::new(store);
        if rows.peek().await?.is_none() && twin.published().await?.is_none() {
            return Ok(None);
        }
        let audit = TwinAudit::begin(first.verifier.name())?;
        Ok(Some(TwinCheck { twin: twin.clone(), audit, rows, expected: None }))
    }

    async fn pass(&mut self, entries: &[Vec<u8>]) -> Result<(), LogError> {
        let mut tiles = Vec::new();
        for entry in entries {
            let index = self.audit.size();
            if let Some(row) = self.rows.peek().await?
                && row.size == index
            {
                self.rows.take();
                self.audit.check_published()?;
                self.expected = Some(row.log_entry);
            }
            if RootsEntry::is_named_by(entry) && self.expected.take() != Some(index) {
                return Err(LogError::RootsUnknown { index });
            }
            self.audit.read_growing(entry, &mut tiles)?;
        }
        compare_all(&self.twin, tiles).await
    }

    async fn finish(mut self, size: u64) -> Result<(), LogError> {
        // The twin's checkpoint is written before the other; it may be of a later size by now.
        let Some(published) = self.twin.published().await? else {
            let missing = TransparencyError::TileMissing { path: CHECKPOINT_PATH.to_owned() };
            return Err(self.twin.named(missing.into()));
        };
        self.audit.check_published()?;
        compare_all(&self.twin, self.audit.twin_edge_files()).await?;
        let root = if published.checkpoint.size == size {
            published.checkpoint.root
        } else {
            let (twin, later) = (self.twin.clone(), published.checkpoint);
            blocking(move || {
                if twin.root_at(later.size, later.size)? != later.root {
                    return Err(LogError::RootDiffers { size: later.size });
                }
                twin.root_at(later.size, size)
            })
            .await?
        };
        if root == self.audit.root(Suite::National) { Ok(()) } else { Err(LogError::RootDiffers { size }) }
    }
}

impl LogReader {
    /// The entries of a bundle of which at least the first `path.width` are published.
    pub(super) fn read_bundle(&self, path: TilePath) -> Result<Vec<Vec<u8>>, LogError> {
        let full = whole(path);
        let (found, bytes) = match self.read(&path.to_string())? {
            Some(bytes) => (path, bytes),
            None => match self.read(&full.to_string())? {
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
            (None, false) => match self.files.read(&whole(path).to_string())? {
                Some(stored) if stored.starts_with(bytes) => {}
                Some(_) => return Err(LogError::FileDiffers { path: whole(path).to_string() }),
                None => return Err(TransparencyError::TileMissing { path: path.to_string() }.into()),
            },
        }
        for width in self.files.partial_widths(&whole(path).to_string())? {
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

fn whole(path: TilePath) -> TilePath {
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
