//! Reading the files of a folder: of regular files only, on threads that may wait, a bounded number at a time, and not for
//! ever. A pipe has no end, and a disk that hangs gives its thread never back: neither may stop what else the node does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// How long a disk may take for one reading, and for the readings before it.
const READ_TIME_MAX: Duration = Duration::from_secs(60);
/// Readings at the same time, of all folders: those that never end must leave threads for others.
const READS_MAX: usize = 64;

static READS: Places = Places::of(READS_MAX);

/// The disk did not answer in time, or the reading ended in a fault of the program.
#[derive(Debug, thiserror::Error)]
#[error("the disk does not answer; see whether the folder is mounted and its server alive")]
pub(super) struct NoAnswer;

impl From<NoAnswer> for io::Error {
    fn from(error: NoAnswer) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, error)
    }
}

/// Does some reading in a connection's folder, on a thread that may wait.
pub(super) async fn on_thread<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    within(READ_TIME_MAX, &READS, folder, work).await
}

async fn within<T: Send + 'static>(
    time_max: Duration,
    places: &'static Places,
    folder: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    let place = tokio::time::timeout(time_max, places.take(folder)).await.map_err(|_| NoAnswer)?;
    let reading = tokio::task::spawn_blocking(move || {
        // Given back when the disk has answered, however late.
        let _place = place;
        work()
    });
    tokio::time::timeout(time_max, reading).await.map_err(|_| NoAnswer)?.map_err(|_| NoAnswer)
}

/// Places to read in. A folder may have one more while at least as many are free as it holds then, so that one whose disk
/// hangs leaves places for the others.
struct Places {
    all: usize,
    held: Mutex<BTreeMap<PathBuf, usize>>,
    freed: Notify,
}

/// A place. Dropped, it is the next one's.
struct Held {
    places: &'static Places,
    folder: PathBuf,
}

impl Places {
    const fn of(all: usize) -> Self {
        Self { all, held: Mutex::new(BTreeMap::new()), freed: Notify::const_new() }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<PathBuf, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(&'static self, folder: &Path) -> Held {
        loop {
            // It is told of every place that is freed from here on.
            let freed = self.freed.notified();
            if let Some(held) = self.try_take(folder) {
                return held;
            }
            freed.await;
        }
    }

    fn try_take(&'static self, folder: &Path) -> Option<Held> {
        let mut held = self.held();
        let free_then = self.all.checked_sub(held.values().sum::<usize>() + 1)?;
        let own_then = held.get(folder).copied().unwrap_or(0) + 1;
        if own_then > 1 && own_then > free_then {
            return None;
        }
        held.insert(folder.to_owned(), own_then);
        Some(Held { places: self, folder: folder.to_owned() })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.places.held();
        if let Some(own) = held.get_mut(&self.folder) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                held.remove(&self.folder);
            }
        }
        drop(held);
        self.places.freed.notify_waiters();
    }
}

/// Opens a regular file. A pipe or a device is not opened at all: that alone may wait without end.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let no_file = || io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
    if !std::fs::metadata(path)?.is_file() {
        return Err(no_file());
    }
    let file = File::open(path)?;
    // It may have become another one meanwhile.
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
}

/// The whole of a regular file; none when it is larger than `bytes_max`, whatever its size is said to be.
pub(super) fn read_whole(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = open_regular(path)?;
    if file.metadata()?.len() > bytes_max {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= bytes_max))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A pipe that nobody writes to; opening it would wait for ever.
    pub(crate) fn pipe(path: &Path) {
        let made = std::process::Command::new("mkfifo").arg(path).status().expect("the system has mkfifo");
        assert!(made.success());
    }

    #[test]
    fn only_regular_files_are_opened_and_no_more_is_read_than_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        pipe(&path);
        assert_eq!(open_regular(&path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(open_regular(directory.path()).is_err());
        assert!(open_regular(Path::new("/dev/zero")).is_err());
        std::os::unix::fs::symlink(&path, directory.path().join("link")).unwrap();
        assert!(open_regular(&directory.path().join("link")).is_err());
        let file = directory.path().join("file");
        std::fs::write(&file, b"12345").unwrap();
        assert_eq!(read_whole(&file, 5).unwrap().unwrap(), b"12345");
        assert_eq!(read_whole(&file, 4).unwrap(), None);
        // Its size is told as 0.
        assert_eq!(read_whole(Path::new("/proc/self/status"), 10).unwrap(), None);
    }

    #[tokio::test]
    async fn a_disk_that_hangs_ends_the_waiting_and_keeps_its_place() {
        static PLACES: Places = Places::of(3);
        const TIME_MAX: Duration = Duration::from_millis(50);
        let (dead, alive) = (Path::new("/dead"), Path::new("/alive"));
        let (answer, asked) = mpsc::sync_channel::<()>(1);
        let hanging = within(TIME_MAX, &PLACES, dead, move || asked.recv()).await;
        assert!(hanging.is_err());
        assert_eq!(PLACES.held().get(dead), Some(&1), "its thread is still held");
        // Of three places it has one, and would have two of two.
        assert!(PLACES.try_take(dead).is_none());
        assert!(within(TIME_MAX, &PLACES, dead, || ()).await.is_err());
        assert!(within(Duration::from_secs(30), &PLACES, alive, || 7).await.is_ok_and(|seven| seven == 7));
        let waiting = tokio::spawn(within(Duration::from_secs(30), &PLACES, dead, || 8));
        tokio::task::yield_now().await;
        answer.send(()).unwrap();
        assert!(waiting.await.unwrap().is_ok_and(|eight| eight == 8), "it is told of the place that came free");
        assert!(PLACES.held().is_empty());
    }

    #[test]
    fn one_folder_never_has_all_places() {
        static PLACES: Places = Places::of(READS_MAX);
        let mut held = Vec::new();
        for folder in ["/a", "/b", "/c", "/d"] {
            let before = held.len();
            while let Some(place) = PLACES.try_take(Path::new(folder)) {
                held.push(place);
            }
            assert!(held.len() > before && held.len() < READS_MAX, "{folder}");
        }
        drop(held);
        assert!(PLACES.held().is_empty());
    }
}
