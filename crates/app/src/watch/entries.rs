//! Reading every entry of a watched log: whether they are those that the log signs, and whether its entries of both roots agree
//! with the log and with its twin.

use lingqu_transparency::{
    AuditedRoots, Checkpoint, EntryAudit, Misconduct, NoteVerifier, RootsCheck, TILE_WIDTH, TileKind, TilePath,
    TiledTree, TransparencyError, TreeHasher, decode_bundle,
};

use super::{LogWatch, RemoteFiles, WatchError};
use crate::remote::check_prefix;

/// The largest bundle, in bytes: 256 entries of 65,535 bytes, each behind its length.
const BUNDLE_BYTES_MAX: usize = 256 * (2 + 65_535);
/// After so many entries what was read is compared with what the log signs, and remembered.
const STEP_ENTRIES: u64 = 65_536;

/// The twin of a watched log, whose roots the log's entries state.
#[derive(Debug, Clone)]
pub struct TwinSetting {
    /// Where its files lie.
    pub url: String,
    /// Its key.
    pub key: NoteVerifier,
}

/// What reading the entries came to.
#[derive(Debug)]
pub enum Audited {
    /// All entries under the last checkpoint are those that it signs.
    Whole {
        /// How many entries there are.
        size: u64,
        /// How many of those that were read now state the roots of both logs.
        roots: u64,
    },
    /// The twin signs another root than the log holds for it.
    Misconduct(Box<Misconduct>),
}

/// What a step of reading came to.
enum Step {
    Read { roots: u64 },
    Misconduct(Box<Misconduct>),
}

impl LogWatch {
    /// Reads the entries under the last checkpoint that were not read before, and remembers how far it came. With the twin each
    /// entry of both roots is held against the twin's checkpoint, too.
    ///
    /// # Errors
    /// The log or its twin can't be reached, or what it shows does not hold: [`WatchError::RootsDiffer`],
    /// [`WatchError::TwinBehind`], [`TransparencyError::ProofFailed`] when the entries are others than those that are signed. What
    /// was read before stays remembered.
    pub async fn audit_entries(&mut self, twin: Option<&TwinSetting>) -> Result<Audited, WatchError> {
        let Some(note) = self.follower.latest().map(str::to_owned) else {
            return Ok(Audited::Whole { size: 0, roots: 0 });
        };
        let size = Checkpoint::open(&note, &self.setting.log)?.size;
        let mut roots_count = 0;
        while self.audited < size {
            let to = ((self.audited / STEP_ENTRIES + 1) * STEP_ENTRIES).min(size);
            let pass = Pass {
                files: self.files(&self.setting.url),
                twin: match twin {
                    Some(twin) => {
                        let url = check_prefix(&twin.url).map_err(WatchError::BadUrl)?;
                        Some((self.files(&url), twin.key.clone()))
                    }
                    None => None,
                },
                key: self.setting.log.clone(),
                note: note.clone(),
                from: self.audited,
                to,
            };
            let step = tokio::task::spawn_blocking(move || pass.run()).await.map_err(|_| WatchError::Interrupted)??;
            match step {
                Step::Misconduct(misconduct) => return Ok(Audited::Misconduct(misconduct)),
                Step::Read { roots } => roots_count += roots,
            }
            self.remember(Some(&note), to)?;
            self.audited = to;
        }
        Ok(Audited::Whole { size, roots: roots_count })
    }
}

/// One step: the entries from one size to another, under a checkpoint of at least that size.
struct Pass {
    files: RemoteFiles,
    twin: Option<(RemoteFiles, NoteVerifier)>,
    key: NoteVerifier,
    note: String,
    from: u64,
    to: u64,
}

impl Pass {
    fn run(&self) -> Result<Step, WatchError> {
        let checkpoint = Checkpoint::open(&self.note, &self.key)?;
        let hasher = TreeHasher::of(self.key.key_type().suite());
        let mut audit = self.files.with_tiles(|read| {
            if self.from == 0 {
                return Ok(EntryAudit::begin(hasher));
            }
            let mut tree = TiledTree::new(hasher, read, checkpoint.size);
            let (root, _) = tree.proven_root_at(self.from, &checkpoint.root)?;
            EntryAudit::resume(hasher, read, self.from, &root)
        })?;
        let mut found = Vec::new();
        while audit.size() < self.to {
            self.read_bundle(&mut audit, checkpoint.size, &mut found)?;
        }
        let signed = self.files.with_tiles(|read| {
            TiledTree::new(hasher, read, checkpoint.size).proven_root_at(self.to, &checkpoint.root)
        })?;
        if audit.root() != signed.0 {
            return Err(TransparencyError::ProofFailed { what: "inclusion" }.into());
        }
        self.check_roots(found)
    }

    /// Reads the next bundle as far as this step goes.
    fn read_bundle(&self, audit: &mut EntryAudit, size: u64, found: &mut Vec<AuditedRoots>) -> Result<(), WatchError> {
        let index = audit.size() / TILE_WIDTH;
        let width = (size - index * TILE_WIDTH).min(TILE_WIDTH);
        let (path, bytes) = self.bundle(index, u16::try_from(width).unwrap_or(u16::MAX))?;
        let damaged = |problem: String| TransparencyError::TileDamaged { path: path.to_string(), problem };
        let entries = decode_bundle(&bytes, path.width).map_err(|error| damaged(error.to_string()))?;
        let (first, last) = (audit.size() % TILE_WIDTH, (self.to - index * TILE_WIDTH).min(width));
        for entry in entries.into_iter().take(last as usize).skip(first as usize) {
            let at = audit.size();
            if let Some(roots) = audit.read(&entry)? {
                found.push(AuditedRoots { index: at, entry, roots });
            }
        }
        Ok(())
    }

    /// A bundle, or the full one that it is a beginning of: a log may drop partial ones once the full one exists.
    fn bundle(&self, index: u64, width: u16) -> Result<(TilePath, Vec<u8>), WatchError> {
        let path = TilePath { kind: TileKind::Entries, index, width };
        if let Some(bytes) = self.files.file(&path.to_string(), BUNDLE_BYTES_MAX)? {
            return Ok((path, bytes));
        }
        let full = TilePath { width: 256, ..path };
        match self.files.file(&full.to_string(), BUNDLE_BYTES_MAX)? {
            Some(bytes) => Ok((full, bytes)),
            None => Err(TransparencyError::TileMissing { path: path.to_string() }.into()),
        }
    }

    /// Holds entries of both roots against the log itself, then against the twin.
    fn check_roots(&self, found: Vec<AuditedRoots>) -> Result<Step, WatchError> {
        let differing = self.files.with_tiles(|read| {
            let mut check = RootsCheck::new(&self.note, &self.key, read)?;
            for audited in &found {
                if check.check(audited)?.is_some() {
                    return Ok(Some((audited.index, audited.roots.size())));
                }
            }
            Ok(None)
        })?;
        if let Some((index, size)) = differing {
            return Err(WatchError::RootsDiffer { index, size });
        }
        let roots = found.len() as u64;
        let (Some((files, key)), Some(last)) = (&self.twin, found.last()) else { return Ok(Step::Read { roots }) };
        let twin = files.checkpoint()?;
        let wanted = found.iter().map(|audited| audited.roots.size()).max().unwrap_or(last.roots.size());
        if Checkpoint::open(&twin, key)?.size < wanted {
            return Err(WatchError::TwinBehind { size: wanted });
        }
        let differing = files.with_tiles(|read| {
            let mut check = RootsCheck::new(&twin, key, read)?;
            for audited in found {
                if let Some(differs) = check.check(&audited)? {
                    return Ok(Some((audited, differs)));
                }
            }
            Ok(None)
        })?;
        let Some((audited, differs)) = differing else { return Ok(Step::Read { roots }) };
        let misconduct = self
            .files
            .with_tiles(|read| audited.twin_differs((self.note.as_str(), &self.key), read, &twin, differs))?;
        Ok(Step::Misconduct(Box::new(misconduct)))
    }
}
