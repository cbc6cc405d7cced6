//! Reading every entry of a watched log: whether they are those that the log signs, whether its tiles of hashes are those that
//! they make, and whether its entries of both roots agree with the log and with its twin.

mod ahead;

use std::time::{Duration, Instant};

use lingqu_transparency::{
    AuditedRoots, Checkpoint, EntryAudit, Misconduct, NoteVerifier, RootsCheck, TILE_WIDTH, TileRead, TiledTree,
    TransparencyError, TreeHasher, decode_bundle,
};

use super::{LogWatch, RemoteFiles, TILE_BYTES_MAX, WatchError};
use crate::remote::check_prefix;
use ahead::{Ahead, Bundle, full_path};

/// After so many entries what was read is compared with what the log signs, and remembered.
const STEP_ENTRIES: u64 = 65_536;
/// How much longer than it may read entries a step may take over what follows: the tiles that prove them, the twin. A log that
/// answers each request just in time could draw that out for as long as it likes.
const STEP_GRACE: Duration = Duration::from_secs(600);

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
    /// All entries under the last checkpoint are those that it signs, and the tiles of hashes are theirs.
    Whole {
        /// How many entries there are.
        size: u64,
        /// How many of those that were read now state the roots of both logs.
        roots: u64,
    },
    /// The time was over before all entries were read. What was read is what the log signs, and is remembered.
    Part {
        /// How many entries were read, now and before.
        read: u64,
        /// How many entries there are.
        size: u64,
    },
    /// The twin signs another root than the log holds for it.
    Misconduct(Box<Misconduct>),
}

/// What a step of reading came to.
enum Step {
    Read { roots: u64, to: u64 },
    Misconduct(Box<Misconduct>),
}

impl LogWatch {
    /// Reads the entries under the last checkpoint that were not read before, and remembers how far it came. With the twin each
    /// entry of both roots is held against the twin's checkpoint, too, and the twin's tree against the entries: a log that leaves out
    /// the entries of both roots may have a twin of anything.
    ///
    /// # Errors
    /// The log or its twin can't be reached, or what it shows does not hold: [`WatchError::RootsDiffer`],
    /// [`WatchError::TwinBehind`], [`WatchError::TwinOfOthers`], [`TransparencyError::ProofFailed`] when the entries are others than
    /// those that are signed. What was read before stays remembered.
    pub async fn audit_entries(&mut self, twin: Option<&TwinSetting>) -> Result<Audited, WatchError> {
        self.audit_entries_telling(twin, &mut |_, _| {}).await
    }

    /// As [`LogWatch::audit_entries`]; `told` hears after each step how many entries were read, and of how many.
    ///
    /// # Errors
    /// Those of [`LogWatch::audit_entries`].
    pub async fn audit_entries_telling(
        &mut self,
        twin: Option<&TwinSetting>,
        told: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Audited, WatchError> {
        self.audit(None, twin, told).await
    }

    /// As [`LogWatch::audit_entries_telling`] for so long at least and little longer: [`Audited::Part`] when that was not enough,
    /// so that a log of any length, as slow as it likes, is looked at meanwhile. At least one bundle is read.
    ///
    /// # Errors
    /// Those of [`LogWatch::audit_entries`].
    pub async fn audit_entries_for(
        &mut self,
        limit: Duration,
        twin: Option<&TwinSetting>,
        told: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Audited, WatchError> {
        self.audit(Instant::now().checked_add(limit), twin, told).await
    }

    async fn audit(
        &mut self,
        until: Option<Instant>,
        twin: Option<&TwinSetting>,
        told: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Audited, WatchError> {
        let Some(note) = self.follower.latest().map(str::to_owned) else {
            return Ok(Audited::Whole { size: 0, roots: 0 });
        };
        let size = Checkpoint::open(&note, &self.setting.log)?.size;
        let mut roots_count = 0;
        while self.audited < size {
            let to = ((self.audited / STEP_ENTRIES + 1) * STEP_ENTRIES).min(size);
            let given_up_at = until.and_then(|until| until.checked_add(STEP_GRACE));
            let pass = Pass {
                files: self.files(&self.setting.url).until(given_up_at),
                twin: match twin {
                    Some(twin) => {
                        let url = check_prefix(&twin.url).map_err(WatchError::BadUrl)?;
                        Some((self.files(&url).until(given_up_at), twin.key.clone()))
                    }
                    None => None,
                },
                key: self.setting.log.clone(),
                note: note.clone(),
                from: self.audited,
                to,
                until,
            };
            let step = tokio::task::spawn_blocking(move || pass.run()).await.map_err(|_| WatchError::Interrupted)??;
            let to = match step {
                Step::Misconduct(misconduct) => return Ok(Audited::Misconduct(misconduct)),
                Step::Read { roots, to } => {
                    roots_count += roots;
                    to
                }
            };
            self.remember(Some(&note), to)?;
            self.audited = to;
            told(to, size);
            if to < size && until.is_some_and(|until| Instant::now() >= until) {
                return Ok(Audited::Part { read: to, size });
            }
        }
        Ok(Audited::Whole { size, roots: roots_count })
    }
}

/// One step: the entries from one size to another, under a checkpoint of at least that size; fewer when time is over.
struct Pass {
    files: RemoteFiles,
    twin: Option<(RemoteFiles, NoteVerifier)>,
    key: NoteVerifier,
    note: String,
    from: u64,
    to: u64,
    until: Option<Instant>,
}

impl Pass {
    fn run(&self) -> Result<Step, WatchError> {
        let checkpoint = Checkpoint::open(&self.note, &self.key)?;
        let hasher = TreeHasher::of(self.key.key_type().suite());
        let mut audit = self.files.with_tiles(|read| audit_from(self.from, hasher, read, &checkpoint))?;
        // What is wrong with the twin is told once the log itself was found to hold.
        let mut twin = self.twin.as_ref().map(|(files, key)| TwinTree::begin(files, key, self.from));
        let (mut found, mut unlike) = (Vec::new(), None);
        let mut ahead =
            Ahead::begin(&self.files, self.from / TILE_WIDTH..self.to.div_ceil(TILE_WIDTH), checkpoint.size);
        while audit.size() < self.to {
            if audit.size() > self.from && self.until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            let bundle = ahead.next()?;
            let grown = twin.as_mut().and_then(|twin| twin.as_mut().ok());
            let tiles = self.read_bundle(&mut audit, grown, bundle, &mut found)?;
            unlike = unlike.or(tiles.err());
        }
        // What is still on the way is not waited for.
        drop(ahead);
        let to = audit.size();
        if to == checkpoint.size {
            for (path, expected) in audit.edge_tiles() {
                unlike = unlike.or(check_tile(&path, self.tile(&path)?, &expected).err());
            }
        }
        let signed = self
            .files
            .with_tiles(|read| TiledTree::new(hasher, read, checkpoint.size).proven_root_at(to, &checkpoint.root))?;
        if audit.root() != signed.0 {
            return Err(TransparencyError::ProofFailed { what: "inclusion" }.into());
        }
        // The entries are those that are signed, so it is the tiles that are not theirs.
        if let Some(unlike) = unlike {
            return Err(unlike.into());
        }
        let step = self.check_roots(found, to)?;
        if let (Step::Read { .. }, Some(twin)) = (&step, twin) {
            twin?.check()?;
        }
        Ok(step)
    }

    /// Reads a bundle as far as this step goes; answers whether the tiles of hashes that it fills up are what it makes of them.
    fn read_bundle(
        &self,
        audit: &mut EntryAudit,
        mut twin: Option<&mut TwinTree<'_>>,
        bundle: Bundle,
        found: &mut Vec<AuditedRoots>,
    ) -> Result<Result<(), TransparencyError>, WatchError> {
        let Bundle { path, bytes, hashes } = bundle;
        let damaged = |problem: String| TransparencyError::TileDamaged { path: path.to_string(), problem };
        let entries = decode_bundle(&bytes, path.width).map_err(|error| damaged(error.to_string()))?;
        let begin = path.index * TILE_WIDTH;
        let (first, last) = (audit.size() - begin, (self.to - begin).min(TILE_WIDTH));
        let (mut tiles, mut hashes) = (Vec::new(), hashes);
        for entry in entries.into_iter().take(last as usize).skip(first as usize) {
            let at = audit.size();
            if let Some(twin) = &mut twin {
                twin.audit.read(&entry)?;
            }
            if let Some(roots) = audit.read_growing(&entry, &mut tiles)? {
                found.push(AuditedRoots { index: at, entry, roots });
            }
        }
        // The first is the tile of leaves, which came along; what it fills up above it is asked for.
        let mut alike = Ok(());
        for (path, expected) in tiles {
            let served = match hashes.take() {
                Some(served) => Some(served),
                None => self.tile(&path)?,
            };
            alike = alike.and(check_tile(&path, served, &expected));
        }
        Ok(alike)
    }

    /// A tile of hashes, or the full one that it is a beginning of.
    fn tile(&self, path: &str) -> Result<Option<Vec<u8>>, WatchError> {
        match self.files.file(path, TILE_BYTES_MAX)? {
            Some(bytes) => Ok(Some(bytes)),
            None => match full_path(path) {
                Some(full) => self.files.file(&full, TILE_BYTES_MAX),
                None => Ok(None),
            },
        }
    }

    /// Holds entries of both roots against the log itself, then against the twin.
    fn check_roots(&self, found: Vec<AuditedRoots>, to: u64) -> Result<Step, WatchError> {
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
        let (Some((files, key)), Some(last)) = (&self.twin, found.last()) else { return Ok(Step::Read { roots, to }) };
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
        let Some((audited, differs)) = differing else { return Ok(Step::Read { roots, to }) };
        let misconduct = self
            .files
            .with_tiles(|read| audited.twin_differs((self.note.as_str(), &self.key), read, &twin, differs))?;
        Ok(Step::Misconduct(Box::new(misconduct)))
    }
}

/// The twin's tree, grown over the entries of the log.
struct TwinTree<'p> {
    files: &'p RemoteFiles,
    hasher: TreeHasher,
    checkpoint: Checkpoint,
    audit: EntryAudit,
}

impl<'p> TwinTree<'p> {
    /// From a size on, as the twin signs it.
    fn begin(files: &'p RemoteFiles, key: &NoteVerifier, from: u64) -> Result<TwinTree<'p>, WatchError> {
        let checkpoint = Checkpoint::open(&files.checkpoint()?, key)?;
        if checkpoint.size < from {
            return Err(WatchError::TwinBehind { size: from });
        }
        let hasher = TreeHasher::of(key.key_type().suite());
        let audit = files.with_tiles(|read| audit_from(from, hasher, read, &checkpoint))?;
        Ok(TwinTree { files, hasher, checkpoint, audit })
    }

    /// Holds what the entries come to against what the twin signs.
    fn check(&self) -> Result<(), WatchError> {
        let (size, checkpoint) = (self.audit.size(), &self.checkpoint);
        if checkpoint.size < size {
            return Err(WatchError::TwinBehind { size });
        }
        let signed = self.files.with_tiles(|read| {
            TiledTree::new(self.hasher, read, checkpoint.size).proven_root_at(size, &checkpoint.root)
        })?;
        if signed.0 == self.audit.root() { Ok(()) } else { Err(WatchError::TwinOfOthers { size }) }
    }
}

/// Goes on behind the first entries of a tree, as a checkpoint signs them.
fn audit_from(
    size: u64,
    hasher: TreeHasher,
    read: TileRead<'_>,
    checkpoint: &Checkpoint,
) -> Result<EntryAudit, TransparencyError> {
    if size == 0 {
        return Ok(EntryAudit::begin(hasher));
    }
    let (root, _) = TiledTree::new(hasher, read, checkpoint.size).proven_root_at(size, &checkpoint.root)?;
    EntryAudit::resume(hasher, read, (size, checkpoint.size), &root)
}

/// Holds a tile of hashes that the log serves, or one that is longer by now, against what the entries make of it.
fn check_tile(path: &str, served: Option<Vec<u8>>, expected: &[u8]) -> Result<(), TransparencyError> {
    match served {
        Some(served) if served.starts_with(expected) => Ok(()),
        Some(_) => {
            let problem = "it does not hold the hashes of the entries".to_owned();
            Err(TransparencyError::TileDamaged { path: path.to_owned(), problem })
        }
        None => Err(TransparencyError::TileMissing { path: path.to_owned() }),
    }
}
