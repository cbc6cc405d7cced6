//! Watching a log from outside, ours or anybody's (C2SP tlog-tiles over HTTP): each checkpoint is held against the last one that
//! was seen. It needs no node, only the log's key.

mod entries;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lingqu_transparency::{
    Follower, LogPolicy, Misconduct, NoteVerifier, Observation, SignedNote, TileRead, TransparencyError,
};
use tokio::runtime::Handle;

use crate::remote::{Remote, RemoteFault, check_prefix};

pub use entries::{Audited, TwinSetting};

/// The first line of the file in which a watch remembers.
const STATE_HEADER: &str = "lingqu.node/log-watch@v1";
/// The largest such file that is read, in bytes.
const STATE_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// The largest checkpoint that is fetched, in bytes.
const CHECKPOINT_BYTES_MAX: usize = 1024 * 1024;
/// The largest tile of hashes, in bytes (tlog-tiles: 256 hashes of 32 bytes).
const TILE_BYTES_MAX: usize = 256 * 32;

/// What is watched.
#[derive(Debug, Clone)]
pub struct WatchSetting {
    /// Where the log's files lie: the address that has `/checkpoint` behind it.
    pub url: String,
    /// The log's key.
    pub log: NoteVerifier,
    /// Which witnesses must have seen a checkpoint before it counts; none: the log's own signature is enough.
    pub policy: Option<LogPolicy>,
    /// The file in which the watch remembers the last checkpoint; none: in memory.
    pub state: Option<PathBuf>,
}

/// Why a look at a log came to nothing. What is remembered stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// An address that can't be one.
    #[error("{0}")]
    BadUrl(String),
    /// No log can be asked from here.
    #[error("{0}")]
    NoClient(RemoteFault),
    /// The log did not answer.
    #[error("the log's {path}: {fault}")]
    Unreachable {
        /// Which file was asked for.
        path: String,
        /// Why it did not come.
        fault: RemoteFault,
    },
    /// The log answers so slowly that its entries can't be read.
    #[error(
        "the log takes so long over each file that its entries can't be read (it came as far as {path}); ask its operator"
    )]
    TooSlow {
        /// Which file was not asked for any more.
        path: String,
    },
    /// The log answered, and not with the file.
    #[error("the log answers {status} for its {path}; check the address")]
    Status {
        /// Which file was asked for.
        path: String,
        /// The status.
        status: u16,
    },
    /// What the log shows does not hold, and proves nothing to others.
    #[error("{0}")]
    Log(#[from] TransparencyError),
    /// The remembered state can't be used.
    #[error("{}: {problem}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The twin has fewer entries than the log speaks of.
    #[error("the log speaks of {size} entries, and its twin shows fewer; look again in a moment")]
    TwinBehind {
        /// Of how many entries it speaks.
        size: u64,
    },
    /// The twin is not over the entries of the log.
    #[error("the twin has other entries than the log among the first {size}, or in another order; ask its operator")]
    TwinOfOthers {
        /// Among how many entries.
        size: u64,
    },
    /// An entry states another root than the log itself has.
    #[error("entry {index} of the log states another root than the log had at {size} entries; ask its operator")]
    RootsDiffer {
        /// The entry's index.
        index: u64,
        /// Of how many entries it speaks.
        size: u64,
    },
    /// The program failed.
    #[error("the watch was interrupted; start it again")]
    Interrupted,
}

/// A watch over one log.
#[derive(Debug)]
pub struct LogWatch {
    remote: Remote,
    setting: WatchSetting,
    follower: Follower,
    /// How many entries were read and found to be those that the log signs.
    audited: u64,
    /// Held for as long as the watch lives, so that two of them don't remember in one file.
    _lock: Option<std::fs::File>,
}

impl LogWatch {
    /// Begins, or goes on from what is remembered.
    ///
    /// # Errors
    /// [`WatchError::BadUrl`]; [`WatchError::State`] when the file is of another log, damaged, or in use by another watch.
    pub fn begin(setting: WatchSetting) -> Result<LogWatch, WatchError> {
        let url = check_prefix(&setting.url).map_err(WatchError::BadUrl)?;
        let (mut lock, mut remembered) = (None, None);
        if let Some(path) = &setting.state {
            lock = Some(lock_state(path)?);
            remembered = read_state(path)?;
        }
        let (audited, latest) = remembered.unzip();
        let follower = Follower::new(setting.log.clone(), latest.as_deref());
        let follower = follower.map_err(|error| match &setting.state {
            Some(path) => {
                let problem = format!("it does not belong to this log ({error}); name another file with --state");
                WatchError::State { path: path.clone(), problem }
            }
            None => WatchError::Log(error),
        })?;
        let remote = Remote::new().map_err(WatchError::NoClient)?;
        let audited = audited.unwrap_or(0);
        Ok(LogWatch { remote, setting: WatchSetting { url, ..setting }, follower, audited, _lock: lock })
    }

    /// The last checkpoint that continued all before it, verbatim.
    pub fn latest(&self) -> Option<&str> {
        self.follower.latest()
    }

    /// The log's key.
    pub fn log(&self) -> &NoteVerifier {
        &self.setting.log
    }

    /// Fetches the log's checkpoint and holds it against the last one. What is remembered is durable when this returns.
    ///
    /// # Errors
    /// The log can't be reached, or what it shows does not hold; [`TransparencyError::NotWitnessed`] when too few witnesses
    /// saw it, which a moment may change. A contradiction is no error but [`Observation::Misconduct`].
    pub async fn look(&mut self) -> Result<Observation, WatchError> {
        let note = self.checkpoint().await?;
        let policy = self.setting.policy.clone();
        let (mut follower, files) = (self.follower.clone(), self.files(&self.setting.url));
        let looked = tokio::task::spawn_blocking(move || {
            let observed = files.with_tiles(|read| follower.observe(&note, read))?;
            Ok::<_, WatchError>((observed, follower, note))
        });
        let (observed, follower, note) = looked.await.map_err(|_| WatchError::Interrupted)??;
        // A lie is one, whoever witnessed it; anything else counts when the witnesses saw it.
        if !matches!(observed, Observation::Misconduct(_))
            && let Some(policy) = policy
        {
            policy.check_quorum(&SignedNote::parse(&note)?)?;
        }
        if follower != self.follower {
            self.remember(follower.latest(), self.audited)?;
            self.follower = follower;
        }
        Ok(observed)
    }

    fn remember(&self, latest: Option<&str>, audited: u64) -> Result<(), WatchError> {
        match (&self.setting.state, latest) {
            (Some(path), Some(latest)) => write_state(path, audited, latest),
            _ => Ok(()),
        }
    }

    async fn checkpoint(&self) -> Result<String, WatchError> {
        let files = self.files(&self.setting.url);
        tokio::task::spawn_blocking(move || files.checkpoint()).await.map_err(|_| WatchError::Interrupted)?
    }

    fn files(&self, url: &str) -> RemoteFiles {
        RemoteFiles { remote: self.remote.clone(), url: url.to_owned(), runtime: Handle::current(), until: None }
    }
}

/// The files of a log at an address. The methods wait for the network; they are called off the async threads.
struct RemoteFiles {
    remote: Remote,
    url: String,
    runtime: Handle,
    /// When nothing more is asked for.
    until: Option<Instant>,
}

impl RemoteFiles {
    /// The same files, until then.
    fn until(self, until: Option<Instant>) -> RemoteFiles {
        RemoteFiles { until, ..self }
    }

    /// A file of the log; `None` when there is none.
    fn file(&self, path: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, WatchError> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(WatchError::TooSlow { path: path.to_owned() });
        }
        self.runtime.block_on(fetch(&self.remote, &self.url, path, bytes_max))
    }

    fn checkpoint(&self) -> Result<String, WatchError> {
        const PATH: &str = "checkpoint";
        let bytes = self.file(PATH, CHECKPOINT_BYTES_MAX)?;
        let bytes = bytes.ok_or_else(|| WatchError::Status { path: PATH.to_owned(), status: 404 })?;
        String::from_utf8(bytes).map_err(|_| {
            let problem = "it is no text".to_owned();
            WatchError::Log(TransparencyError::Malformed { what: "the log's checkpoint", problem })
        })
    }

    /// Calls `work` with a function that reads tiles. That one can't be had is told as such, not as a missing tile.
    fn with_tiles<T>(&self, work: impl FnOnce(TileRead<'_>) -> Result<T, TransparencyError>) -> Result<T, WatchError> {
        let fault = Mutex::new(None);
        let result = work(&|path| {
            self.file(path, TILE_BYTES_MAX).unwrap_or_else(|error| {
                *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            })
        });
        match fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(result?),
        }
    }
}

/// A file of the log; `None` when there is none.
async fn fetch(remote: &Remote, url: &str, path: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, WatchError> {
    let fetched = remote.get(&format!("{url}/{path}"), bytes_max).await;
    let fetched = fetched.map_err(|fault| WatchError::Unreachable { path: path.to_owned(), fault })?;
    match fetched.status {
        404 | 410 => Ok(None),
        _ if fetched.is_ok() => Ok(Some(fetched.body)),
        status => Err(WatchError::Status { path: path.to_owned(), status }),
    }
}

/// Where the proof that a log lied is written, beside the others in a directory.
pub fn misconduct_path(
    directory: &Path,
    misconduct: &Misconduct,
    log: &NoteVerifier,
    twin: Option<&NoteVerifier>,
) -> PathBuf {
    let size = misconduct.verify(log, twin).map_or(0, |conviction| conviction.size);
    directory.join(format!("{:08x}-{size}.log-misconduct", log.key_id()))
}

/// Writes the proof that a log lied, durably.
///
/// # Errors
/// [`WatchError::State`] with what the system said.
pub fn write_misconduct(path: &Path, misconduct: &Misconduct) -> Result<(), WatchError> {
    write_whole(path, &misconduct.to_text())
}

fn failed(path: &Path, doing: &str, error: &std::io::Error) -> WatchError {
    let problem = format!("can't {doing} it: {error}; name another file, or give the program's user the right to it");
    WatchError::State { path: path.to_owned(), problem }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn lock_state(path: &Path) -> Result<std::fs::File, WatchError> {
    let beside = with_suffix(path, ".lock");
    let file = std::fs::File::options().create(true).truncate(false).write(true).open(&beside);
    let file = file.map_err(|error| failed(&beside, "open", &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let problem = "another watch remembers in it; end that one, or name another file".to_owned();
            Err(WatchError::State { path: path.to_owned(), problem })
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(&beside, "lock", &error)),
    }
}

/// How many entries were read, and the last checkpoint.
fn read_state(path: &Path) -> Result<Option<(u64, String)>, WatchError> {
    let damaged = |problem: &str| WatchError::State { path: path.to_owned(), problem: problem.to_owned() };
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "read", &error)),
    };
    if length > STATE_BYTES_MAX {
        return Err(damaged("it is far too large to be what a watch remembers; name another file"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(path, "read", &error))?;
    let remembered =
        text.strip_prefix(STATE_HEADER).and_then(|rest| rest.strip_prefix("\nentries ")).and_then(|rest| {
            let (audited, note) = rest.split_once('\n')?;
            Some((audited.parse().ok()?, note.to_owned()))
        });
    let wrong = || damaged("it is not what a watch remembers; name another file, or restore this one from a copy");
    Ok(Some(remembered.ok_or_else(wrong)?))
}

fn write_state(path: &Path, audited: u64, note: &str) -> Result<(), WatchError> {
    write_whole(path, &format!("{STATE_HEADER}\nentries {audited}\n{note}"))
}

/// Writes a file that is there whole or as it was before, and is durable when this returns.
fn write_whole(path: &Path, text: &str) -> Result<(), WatchError> {
    use std::io::Write;
    let beside = with_suffix(path, ".unfinished");
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        std::fs::File::open(parent)?.sync_all()
    };
    write().map_err(|error| failed(path, "write", &error))
}
