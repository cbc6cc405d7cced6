//! Where the published log is kept: a directory of this machine, or an object store. Tiles and bundles never change once
//! written; only the checkpoint is replaced.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lingqu_transparency::TilePath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::LogError;
use crate::error::StoreError;
use crate::store::random;

/// Files that are put into an object store, or deleted there, at once.
const PUTS_AT_ONCE: usize = 16;
/// Name of the checkpoint below the log's prefix (tlog-tiles, "Checkpoints").
pub const CHECKPOINT_PATH: &str = "checkpoint";

/// A place for the files of one log.
#[derive(Clone)]
pub enum LogFiles {
    /// A directory; files are synced before a checkpoint names them.
    Directory(PathBuf),
    /// A prefix of an object store; a put that returns is durable.
    Objects {
        /// The store.
        store: Arc<dyn ObjectStore>,
        /// The prefix, such as `node-450100/log`.
        prefix: String,
        /// The file of this machine whose lock lets one publisher write, where no database says who does; none: the caller sees to
        /// it that one does.
        lock: Option<PathBuf>,
    },
}

/// The methods block; they are called off the async threads.
impl LogFiles {
    /// The place of this name below this one.
    pub(super) fn below(&self, name: &str) -> LogFiles {
        match self {
            LogFiles::Directory(directory) => LogFiles::Directory(directory.join(name)),
            LogFiles::Objects { store, prefix, lock } => {
                LogFiles::Objects { store: Arc::clone(store), prefix: format!("{prefix}/{name}"), lock: lock.clone() }
            }
        }
    }

    /// The content of a file, if it exists.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            LogFiles::Directory(directory) => match fs::read(directory.join(path)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(StoreError::file("read", directory.join(path), error)),
            },
            LogFiles::Objects { store, prefix, .. } => {
                let location = location(prefix, path);
                let got = Handle::current().block_on(async { store.get(&location).await?.bytes().await });
                match got {
                    Ok(bytes) => Ok(Some(bytes.to_vec())),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(error) => Err(object_fault("read", path, error)),
                }
            }
        }
    }

    /// Widths of the partial tiles that stand beside a full one's place, in order.
    pub(super) fn partial_widths(&self, full: &str) -> Result<Vec<u16>, StoreError> {
        let mut names: Vec<String> = Vec::new();
        match self {
            LogFiles::Directory(directory) => {
                let beside = directory.join(format!("{full}.p"));
                let listed = match fs::read_dir(&beside) {
                    Ok(listed) => listed,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                    Err(error) => return Err(StoreError::file("list", beside, error)),
                };
                for entry in listed {
                    let entry = entry.map_err(|error| StoreError::file("list", &beside, error))?;
                    names.extend(entry.file_name().into_string());
                }
            }
            LogFiles::Objects { store, prefix, .. } => {
                let beside = location(prefix, &format!("{full}.p"));
                let listed = Handle::current().block_on(store.list_with_delimiter(Some(&beside)));
                let listed = listed.map_err(|error| object_fault("list", full, error))?;
                names.extend(listed.objects.iter().filter_map(|found| found.location.filename()).map(str::to_owned));
            }
        }
        // What is no width, such as a file that a crash left half-written, nobody reads.
        let mut widths: Vec<u16> = names.iter().filter_map(|name| name.parse().ok()).collect();
        widths.sort_unstable();
        Ok(widths)
    }

    /// Writes tiles and bundles durably. A file that is there already must have the same content.
    pub(super) fn write_tiles(&self, files: &[(String, Vec<u8>)]) -> Result<(), LogError> {
        for (path, _) in files {
            if let Err(error) = path.parse::<TilePath>() {
                return Err(LogError::Log(error));
            }
        }
        match self {
            LogFiles::Directory(directory) => {
                let mut changed = BTreeSet::new();
                for (path, bytes) in files {
                    write_tile(directory, path, bytes, &mut changed)?;
                }
                // From the leaves to the root, so that no directory is durable in its parent before its own content is.
                for directory in changed.iter().rev() {
                    sync_directory(directory)?;
                }
                Ok(())
            }
            LogFiles::Objects { store, prefix, .. } => {
                let existing = Handle::current().block_on(put_new(store, prefix, files))?;
                for place in existing {
                    let (path, bytes) = &files[place];
                    check_same(path, self.read(path)?, bytes)?;
                }
                Ok(())
            }
        }
    }

    /// Removes what was written of the beginnings of full tiles. A reader who misses one finds the full tile; where that is
    /// missing, what there is of it stays.
    pub(super) fn drop_beginnings(&self, full: &[TilePath]) -> Result<(), StoreError> {
        for path in full {
            match self {
                LogFiles::Directory(directory) => {
                    let beside = directory.join(format!("{path}.p"));
                    if !directory.join(path.to_string()).is_file() {
                        continue;
                    }
                    match fs::remove_dir_all(&beside) {
                        Ok(()) => {}
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                        Err(error) => return Err(StoreError::file("remove", beside, error)),
                    }
                }
                LogFiles::Objects { store, prefix, .. } => {
                    let widths = self.partial_widths(&path.to_string())?;
                    if !widths.is_empty() {
                        Handle::current().block_on(delete_widths(store, prefix, *path, widths))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Replaces the checkpoint durably and at once.
    pub(super) fn write_checkpoint(&self, note: &str) -> Result<(), LogError> {
        self.write_note(CHECKPOINT_PATH, note)
    }

    /// Replaces a note durably and at once.
    pub(super) fn write_note(&self, path: &str, note: &str) -> Result<(), LogError> {
        match self {
            LogFiles::Directory(directory) => {
                fs::create_dir_all(directory).map_err(|error| StoreError::file("create", directory, error))?;
                replace(&directory.join(path), note.as_bytes())?;
                Ok(sync_directory(directory)?)
            }
            LogFiles::Objects { store, prefix, .. } => {
                let location = location(prefix, path);
                let put = Handle::current().block_on(store.put(&location, note.to_owned().into()));
                put.map_err(|error| object_fault("write", path, error))?;
                Ok(())
            }
        }
    }

    /// Takes the lock that lets one publisher at a time write. An object store has none of its own: there it is a file beside the
    /// database. Without any, two publishers could only let the checkpoint step back for a moment, never fork.
    pub(super) fn lock(&self) -> Result<Option<File>, LogError> {
        let (directory, path) = match self {
            LogFiles::Directory(directory) => (directory.as_path(), directory.join("lock")),
            LogFiles::Objects { lock: None, .. } => return Ok(None),
            LogFiles::Objects { lock: Some(path), .. } => (path.parent().unwrap_or(Path::new(".")), path.clone()),
        };
        fs::create_dir_all(directory).map_err(|error| StoreError::file("create", directory, error))?;
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = opened.map_err(|error| StoreError::file("create", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Err(LogError::InUse { directory: directory.to_owned() }),
            Err(TryLockError::Error(error)) => Err(StoreError::file("lock", &path, error).into()),
        }
    }
}

/// Compares a file that a store says it had already with what it should hold. One that is not there then was a put of ours that
/// the store gave up because another was under way: a fault of the store, and the next try puts it.
fn check_same(path: &str, found: Option<Vec<u8>>, bytes: &[u8]) -> Result<(), LogError> {
    match found {
        Some(found) if found == bytes => Ok(()),
        Some(_) => Err(LogError::FileDiffers { path: path.to_owned() }),
        None => {
            let problem = "the store refused it as one that is there, and has none; it is tried again";
            Err(StoreError::file("write", path, std::io::Error::other(problem)).into())
        }
    }
}

fn write_tile(directory: &Path, path: &str, bytes: &[u8], changed: &mut BTreeSet<PathBuf>) -> Result<(), LogError> {
    let file = directory.join(path);
    match fs::read(&file) {
        Ok(found) if found == bytes => {
            // It may have been written by a process that was killed before its sync.
            File::open(&file)
                .and_then(|opened| opened.sync_all())
                .map_err(|error| StoreError::file("sync", &file, error))?;
        }
        Ok(_) => return Err(LogError::FileDiffers { path: path.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let parent = file.parent().unwrap_or(directory);
            fs::create_dir_all(parent).map_err(|error| StoreError::file("create", parent, error))?;
            replace(&file, bytes)?;
        }
        Err(error) => return Err(StoreError::file("read", file, error).into()),
    }
    let below = file.ancestors().skip(1).take_while(|ancestor| ancestor.starts_with(directory));
    changed.extend(below.map(Path::to_owned));
    Ok(())
}

/// Writes a file beside its place, syncs it and moves it there, so that nobody ever sees a part of it. The name beside is
/// nobody else's: of two processes that share a directory one may have been stopped in the middle of this and go on later.
fn replace(file: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.new", u64::from_be_bytes(random()?)));
    let beside = file.with_file_name(name);
    let written = File::create(&beside).and_then(|mut created| {
        created.write_all(bytes)?;
        created.sync_all()
    });
    let moved = written
        .map_err(|error| StoreError::file("write", &beside, error))
        .and_then(|()| fs::rename(&beside, file).map_err(|error| StoreError::file("move into place", file, error)));
    if moved.is_err() {
        // On a full disk this would be tried again and again. What can't be removed nobody reads.
        drop(fs::remove_file(&beside));
    }
    moved
}

fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| StoreError::file("sync", directory, error))
}

/// Puts files that are not there yet, several at once: the way to the store takes longer than the store. Answers the places of those
/// that were there already. When one fails, what others put stays; it is what a later call would put.
async fn put_new(
    store: &Arc<dyn ObjectStore>,
    prefix: &str,
    files: &[(String, Vec<u8>)],
) -> Result<Vec<usize>, StoreError> {
    let (mut putting, mut existing) = (JoinSet::new(), Vec::new());
    let mut waiting = files.iter().enumerate();
    loop {
        while putting.len() < PUTS_AT_ONCE
            && let Some((place, (path, bytes))) = waiting.next()
        {
            let (store, location, bytes) = (Arc::clone(store), location(prefix, path), bytes.clone());
            putting.spawn(async move {
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                (place, store.put_opts(&location, bytes.into(), options).await)
            });
        }
        match putting.join_next().await {
            None => return Ok(existing),
            Some(Ok((_, Ok(_)))) => {}
            Some(Ok((place, Err(object_store::Error::AlreadyExists { .. })))) => existing.push(place),
            Some(Ok((place, Err(error)))) => return Err(object_fault("write", &files[place].0, error)),
            Some(Err(_)) => {
                return Err(StoreError::invalid("publishing the log was interrupted; the node is shutting down"));
            }
        }
    }
}

/// Deletes beginnings of a full tile, several at once; none where the store has no such tile.
async fn delete_widths(
    store: &Arc<dyn ObjectStore>,
    prefix: &str,
    full: TilePath,
    widths: Vec<u16>,
) -> Result<(), StoreError> {
    match store.head(&location(prefix, &full.to_string())).await {
        Ok(_) => {}
        Err(object_store::Error::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(object_fault("look for", &full.to_string(), error)),
    }
    let (mut deleting, mut waiting) = (JoinSet::new(), widths.into_iter());
    loop {
        while deleting.len() < PUTS_AT_ONCE
            && let Some(width) = waiting.next()
        {
            let (store, path) = (Arc::clone(store), TilePath { width, ..full }.to_string());
            let location = location(prefix, &path);
            deleting.spawn(async move { store.delete(&location).await.map_err(|error| (path, error)) });
        }
        match deleting.join_next().await {
            None => return Ok(()),
            Some(Ok(Ok(()) | Err((_, object_store::Error::NotFound { .. })))) => {}
            Some(Ok(Err((path, error)))) => return Err(object_fault("remove", &path, error)),
            Some(Err(_)) => return Err(StoreError::invalid("publishing was interrupted; the node is shutting down")),
        }
    }
}

fn location(prefix: &str, path: &str) -> object_store::path::Path {
    object_store::path::Path::from(format!("{prefix}/{path}"))
}

fn object_fault(doing: &'static str, path: &str, error: object_store::Error) -> StoreError {
    StoreError::file(doing, path, std::io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_that_the_store_gave_up_is_no_other_content() {
        assert!(check_same("tile/0/000", Some(b"same".to_vec()), b"same").is_ok());
        assert!(matches!(
            check_same("tile/0/000", Some(b"other".to_vec()), b"same"),
            Err(LogError::FileDiffers { path }) if path == "tile/0/000"
        ));
        assert!(matches!(check_same("tile/0/000", None, b"same"), Err(LogError::Store(StoreError::File { .. }))));
    }
}
