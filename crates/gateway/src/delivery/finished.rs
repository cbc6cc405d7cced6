//! Finished files: data sets that were written whole into the node's directory, so that a client can take them in pieces.
//!
//! A file is named by the digest of all that decides its bytes: order, rights with consents and snapshots, statement, format
//! and program. It is made on first use and put away when room is needed for others, the one that was used longest ago
//! first; made again it has the same bytes. What an earlier process left is removed: no address leads to it any more.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use lingqu_app::AppError;
use lingqu_crypto::{Sha256Digest, Sha256Hasher};
use lingqu_engine::EngineError;
use roaring::RoaringTreemap;

use crate::error::GatewayError;

/// The folder below the node's directory.
const FOLDER: &str = "finished";
/// How long whoever reads a file that was put away may go on at least, whatever its length.
const READ_ON_GRACE: Duration = Duration::from_secs(600);
/// Bytes a second that he may be as slow as beyond this, once others find no room.
const READ_ON_RATE: u64 = 1 << 20;

/// A data set as a file.
#[derive(Debug)]
pub struct Finished {
    path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub digest: Sha256Digest,
    /// Rows in it.
    pub answer_rows: u64,
    /// Numbers of the governed table's rows that it was made of.
    pub(super) rows: RoaringTreemap,
    /// Whether others wait for its room for so long that nobody may read on.
    is_over: AtomicBool,
}

/// A finished file that is open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// Kept as long as the file is open: by it is known that its bytes are on the disk.
    pub(super) held: Arc<Finished>,
}

impl Finished {
    /// Opens it. Nothing when it was put away meanwhile.
    pub(super) fn open(self: &Arc<Self>) -> Result<Option<Opened>, AppError> {
        match File::open(&self.path) {
            Ok(file) => Ok(Some(Opened { file, held: Arc::clone(self) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AppError::file("open", &self.path, &error)),
        }
    }

    /// Refuses who would read on when others need the room of a file that was put away long ago. Error: `busy`.
    pub(super) fn may_be_read_on(&self) -> Result<(), GatewayError> {
        if self.is_over.load(Ordering::Relaxed) { Err(AppError::Engine(EngineError::Busy).into()) } else { Ok(()) }
    }
}

/// All finished files of a node. Their bytes, those of files that are being made and those of files that were put away while
/// somebody reads them stay below a limit.
#[derive(Debug)]
pub(super) struct FinishedFiles {
    directory: PathBuf,
    bytes_max: u64,
    shelf: Mutex<Shelf>,
    turns: Mutex<BTreeMap<Sha256Digest, Weak<tokio::sync::Mutex<()>>>>,
    /// Files that were begun. One whose making was given up may still be written to for a moment, so each has a name of its
    /// own until it is finished.
    begun: AtomicU64,
}

#[derive(Debug, Default)]
struct Shelf {
    is_cleared: bool,
    files: BTreeMap<Sha256Digest, (Arc<Finished>, u64)>,
    /// Counts uses.
    uses: u64,
    /// Of the files on the shelf and those that are being made.
    bytes: u64,
    /// Files that were put away. Who has one open reads it to its end unless he is slow and others need the room; until then it
    /// is on the disk.
    put_away: Vec<PutAway>,
}

#[derive(Debug)]
struct PutAway {
    file: Weak<Finished>,
    bytes: u64,
    /// Until when it is read on even if others need its room.
    until: Instant,
}

impl Shelf {
    /// The name of the file that was used longest ago, of those that nobody has open or of all.
    fn oldest(&self, is_closed: bool) -> Option<Sha256Digest> {
        let files = self.files.iter().filter(|(_, (file, _))| !is_closed || Arc::strong_count(file) == 1);
        files.min_by_key(|(_, (_, used))| *used).map(|(name, _)| *name)
    }

    /// Counts a file that is on the shelf no more.
    fn put_away(&mut self, file: &Arc<Finished>) {
        self.bytes -= file.bytes;
        self.put_away.retain(|put_away| put_away.file.strong_count() > 0);
        let patience = READ_ON_GRACE + Duration::from_secs(file.bytes / READ_ON_RATE);
        self.put_away.push(PutAway { file: Arc::downgrade(file), bytes: file.bytes, until: Instant::now() + patience });
    }

    /// Ends the reading of files that were put away so long ago that whoever is not slow has them.
    fn end_slow_readers(&self) {
        let now = Instant::now();
        let slow = self.put_away.iter().filter(|put_away| put_away.until <= now);
        for file in slow.filter_map(|put_away| put_away.file.upgrade()) {
            file.is_over.store(true, Ordering::Relaxed);
        }
    }

    /// Bytes of files that were put away and are open.
    fn bytes_read_on(&self) -> u64 {
        let open = self.put_away.iter().filter(|put_away| put_away.file.strong_count() > 0);
        open.map(|put_away| put_away.bytes).sum()
    }
}

impl FinishedFiles {
    /// The files below a node's directory. Nothing is touched before the first one is made.
    pub(super) fn new(node: &Path, bytes_max: u64) -> Self {
        Self {
            directory: node.join(FOLDER),
            bytes_max,
            shelf: Mutex::default(),
            turns: Mutex::default(),
            begun: AtomicU64::new(0),
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of a name, if it is there; this counts as a use.
    pub(super) fn find(&self, name: &Sha256Digest) -> Option<Arc<Finished>> {
        let mut shelf = self.shelf();
        shelf.uses += 1;
        let uses = shelf.uses;
        let (file, used) = shelf.files.get_mut(name)?;
        *used = uses;
        Some(Arc::clone(file))
    }

    /// Forgets a file that is not on the disk any more, whoever took it from there.
    pub(super) fn forget(&self, name: &Sha256Digest, gone: &Arc<Finished>) {
        let mut shelf = self.shelf();
        if shelf.files.get(name).is_some_and(|(file, _)| Arc::ptr_eq(file, gone)) {
            shelf.files.remove(name);
            shelf.put_away(gone);
        }
    }

    /// Held by who makes the file of a name, so that it is made once however many ask.
    pub(super) fn turn(&self, name: &Sha256Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(*name, Arc::downgrade(&turn));
        turn
    }

    /// Begins a file. It does I/O.
    pub(super) fn begin(self: &Arc<Self>, name: Sha256Digest, extension: &str) -> Result<Unfinished, AppError> {
        self.clear_once()?;
        let path = self.directory.join(format!("{name}.{extension}"));
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.directory.join(format!("{name}.{number}.unfinished"));
        let file = private_file(&unfinished).map_err(|error| AppError::file("make", &unfinished, &error))?;
        Ok(Unfinished {
            files: Arc::clone(self),
            name,
            path,
            unfinished,
            file,
            hasher: Sha256Hasher::default(),
            bytes: 0,
            is_kept: false,
        })
    }

    /// Makes the folder, empty and closed to others, before the first file of this process.
    fn clear_once(&self) -> Result<(), AppError> {
        let mut shelf = self.shelf();
        if shelf.is_cleared {
            return Ok(());
        }
        let cleared = || -> io::Result<()> {
            match fs::remove_dir_all(&self.directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            private_directory(&self.directory)
        };
        cleared().map_err(|error| AppError::file("clear", &self.directory, &error))?;
        shelf.is_cleared = true;
        Ok(())
    }

    /// Takes room for more bytes of a file that is being made, putting others away. Error: `busy` while there is none, because
    /// others are being made or read; files that were put away are then read on for a time in proportion to their length.
    fn take_room(&self, bytes: u64) -> Result<(), GatewayError> {
        let mut shelf = self.shelf();
        loop {
            let wanted = shelf.bytes + bytes;
            if wanted + shelf.bytes_read_on() <= self.bytes_max {
                shelf.bytes = wanted;
                return Ok(());
            }
            // An open one leaves its room only when it is closed. It is put away all the same where there would be none without:
            // otherwise whoever always has his file open would keep it for ever.
            let closed = shelf.oldest(true);
            let oldest = if wanted > self.bytes_max { closed.or_else(|| shelf.oldest(false)) } else { closed };
            let Some((file, _)) = oldest.and_then(|oldest| shelf.files.remove(&oldest)) else {
                shelf.end_slow_readers();
                return Err(AppError::Engine(EngineError::Busy).into());
            };
            match fs::remove_file(&file.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(AppError::file("remove", &file.path, &error).into());
                }
                _ => shelf.put_away(&file),
            }
        }
    }

    fn give_room_back(&self, bytes: u64) {
        self.shelf().bytes -= bytes;
    }
}

/// A file that is being made. Dropped before it is finished it leaves nothing.
#[derive(Debug)]
pub(super) struct Unfinished {
    files: Arc<FinishedFiles>,
    name: Sha256Digest,
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    hasher: Sha256Hasher,
    bytes: u64,
    is_kept: bool,
}

impl Unfinished {
    /// Writes the next bytes. It does I/O. Error: `file_too_large`, or the disk's.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), GatewayError> {
        let count = bytes.len() as u64;
        if self.bytes + count > self.files.bytes_max {
            // Told before others are put away for nothing.
            return Err(GatewayError::FileTooLarge { bytes_max: self.files.bytes_max });
        }
        self.files.take_room(count)?;
        self.bytes += count;
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(|error| AppError::file("write", &self.unfinished, &error))?;
        Ok(())
    }

    /// Puts the file on the shelf. `rows` are the rows of the governed table that it was made of, `answer_rows` those in it.
    pub(super) fn finish(mut self, rows: RoaringTreemap, answer_rows: u64) -> Result<Arc<Finished>, AppError> {
        fs::rename(&self.unfinished, &self.path).map_err(|error| AppError::file("keep", &self.path, &error))?;
        self.is_kept = true;
        let digest = std::mem::take(&mut self.hasher).finish();
        let (path, is_over) = (self.path.clone(), AtomicBool::new(false));
        let finished = Arc::new(Finished { path, bytes: self.bytes, digest, answer_rows, rows, is_over });
        let mut shelf = self.files.shelf();
        shelf.uses += 1;
        let uses = shelf.uses;
        // Made by two at once, when one was given up at its very end, it is one file.
        if let Some((twin, _)) = shelf.files.insert(self.name, (Arc::clone(&finished), uses)) {
            shelf.put_away(&twin);
        }
        Ok(finished)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_kept {
            self.files.give_room_back(self.bytes);
            if let Err(error) = fs::remove_file(&self.unfinished) {
                tracing::warn!(%error, "an unfinished file could not be removed; the next start removes it");
            }
        }
    }
}

/// Makes a folder that its owner alone may enter.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Makes a file that its owner alone may read.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    use lingqu_crypto::sha256;

    use super::*;

    fn make(files: &Arc<FinishedFiles>, name: &str, bytes: usize) -> Result<Arc<Finished>, GatewayError> {
        let mut unfinished = files.begin(sha256(name.as_bytes()), "parquet")?;
        unfinished.write(&vec![b'x'; bytes])?;
        Ok(unfinished.finish(RoaringTreemap::new(), 1)?)
    }

    fn on_disk(folder: &Path) -> usize {
        fs::read_dir(folder.join(FOLDER)).unwrap().count()
    }

    fn bytes_of(files: &FinishedFiles) -> (u64, u64) {
        let shelf = files.shelf();
        (shelf.bytes, shelf.bytes_read_on())
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("lingqu-finished-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_file_used_longest_ago_makes_room() {
        let folder = folder("room");
        let files = Arc::new(FinishedFiles::new(&folder, 100));
        make(&files, "a", 40).unwrap();
        make(&files, "b", 40).unwrap();
        assert!(files.find(&sha256(b"a")).is_some(), "a use");
        make(&files, "c", 50).unwrap();
        assert!(files.find(&sha256(b"b")).is_none() && files.find(&sha256(b"a")).is_some());
        assert_eq!(on_disk(&folder), 2);
        // One larger than all room is given up; nothing of it stays, and nothing else went for it.
        let refused = make(&files, "d", 101).unwrap_err();
        assert!(matches!(refused, GatewayError::FileTooLarge { bytes_max: 100 }));
        assert_eq!((on_disk(&folder), files.shelf().bytes), (2, 90));
        make(&files, "e", 100).unwrap();
        assert_eq!((on_disk(&folder), files.shelf().bytes), (1, 100));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_open_file_can_be_read_on_and_takes_room_until_it_is_closed() {
        let folder = folder("open");
        let files = Arc::new(FinishedFiles::new(&folder, 100));
        let Opened { file, held } = make(&files, "a", 40).unwrap().open().unwrap().unwrap();
        make(&files, "b", 40).unwrap();
        // The other one goes, though it was used later.
        make(&files, "c", 50).unwrap();
        assert!(files.find(&sha256(b"b")).is_none() && files.find(&sha256(b"a")).is_some());
        // With both there would be room; but the open one's bytes are on the disk.
        let refused = make(&files, "d", 70).unwrap_err();
        assert!(matches!(refused, GatewayError::App(AppError::Engine(EngineError::Busy))), "{refused:?}");
        assert_eq!((on_disk(&folder), bytes_of(&files)), (0, (0, 40)));
        assert!(held.open().unwrap().is_none(), "nobody else opens it");
        make(&files, "d", 60).unwrap();
        assert_eq!(io::read_to_string(file).unwrap().len(), 40);
        drop(held);
        make(&files, "e", 100).unwrap();
        assert_eq!((on_disk(&folder), bytes_of(&files)), (1, (100, 0)));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_slow_reader_loses_a_file_that_was_put_away_once_others_need_its_room() {
        let folder = folder("slow");
        let files = Arc::new(FinishedFiles::new(&folder, 100));
        let Opened { held, .. } = make(&files, "a", 80).unwrap().open().unwrap().unwrap();
        let is_busy =
            |made: Result<_, GatewayError>| matches!(made, Err(GatewayError::App(AppError::Engine(EngineError::Busy))));
        // He has a while, and longer while nobody needs the room.
        assert!(is_busy(make(&files, "b", 40).map(drop)));
        held.may_be_read_on().unwrap();
        let put_away =
            |files: &FinishedFiles| files.shelf().put_away[0].until.saturating_duration_since(Instant::now());
        assert!(put_away(&files) > READ_ON_GRACE / 2);
        files.shelf().put_away[0].until = Instant::now();
        make(&files, "c", 20).unwrap();
        held.may_be_read_on().unwrap();
        assert!(is_busy(make(&files, "b", 40).map(drop)));
        assert!(is_busy(held.may_be_read_on()));
        drop(held);
        make(&files, "b", 40).unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn one_that_was_given_up_disturbs_none_that_is_made_after_it() {
        let folder = folder("given-up");
        let files = Arc::new(FinishedFiles::new(&folder, 1_000));
        let mut given_up = files.begin(sha256(b"a"), "parquet").unwrap();
        given_up.write(b"half").unwrap();
        let mut second = files.begin(sha256(b"a"), "parquet").unwrap();
        given_up.write(b"and a little").unwrap();
        second.write(b"whole").unwrap();
        drop(given_up);
        let made = second.finish(RoaringTreemap::new(), 1).unwrap();
        assert_eq!(io::read_to_string(made.open().unwrap().unwrap().file).unwrap(), "whole");
        assert_eq!((on_disk(&folder), files.shelf().bytes), (1, 5));
        // Made twice to its end, it is there once.
        make(&files, "a", 5).unwrap();
        assert_eq!((on_disk(&folder), files.shelf().bytes), (1, 5));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_an_earlier_process_left_is_removed_and_others_may_not_look() {
        let folder = folder("left");
        fs::create_dir_all(folder.join(FOLDER)).unwrap();
        fs::write(folder.join(FOLDER).join("old.parquet"), "old").unwrap();
        let files = Arc::new(FinishedFiles::new(&folder, 100));
        let made = make(&files, "a", 10).unwrap();
        assert_eq!((on_disk(&folder), made.digest), (1, sha256(&[b'x'; 10])));
        fs::remove_file(&made.path).unwrap();
        assert!(made.open().unwrap().is_none());
        files.forget(&sha256(b"a"), &made);
        assert_eq!(files.shelf().bytes, 0);
        let made = make(&files, "a", 10).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&folder.join(FOLDER)), mode(&made.path)), (0o700, 0o600));
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
