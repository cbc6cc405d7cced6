//! The node as a witness: it cosigns its neighbours' checkpoints, remembers the last one of each log in its database, and
//! keeps as a file what proves that a log lied.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lingqu_crypto::{Suite, sha256};
use lingqu_store::{Store, StoreError};
use lingqu_transparency::{
    Cosigner, Misconduct, NoteVerifier, TransparencyError, Witness, WitnessAnswer, WitnessError, WitnessMemory,
    Witnessed, twin_origin,
};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::app::App;
use crate::error::AppError;

/// How many requests for cosignatures are judged at the same time; each waits for the disk.
const JUDGED_AT_ONCE_MAX: usize = 4;

/// The most files with proofs of misconduct that are kept; more would say nothing new.
const MISCONDUCT_FILES_MAX: usize = 1_000;

/// Where proofs of misconduct are kept, below the node's directory.
const MISCONDUCT_DIRECTORY: &str = "misconduct";

/// What stands behind the log's name in the name of the node's witness, when none is configured.
const NAME_SUFFIX: &str = "/witness";

/// A log that the node is told to witness.
#[derive(Clone, Debug)]
pub struct WitnessedLogSetting {
    /// The first line of its checkpoints.
    pub origin: String,
    /// The keys of which one signs them.
    pub keys: Vec<NoteVerifier>,
}

/// What the node witnesses.
#[derive(Clone, Debug, Default)]
pub struct WitnessSetting {
    /// The name under which it cosigns; none: the log's with `/witness` behind it.
    pub name: Option<String>,
    /// The logs.
    pub logs: Vec<WitnessedLogSetting>,
}

/// A log that the node witnesses, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WitnessedLog {
    /// The log's origin.
    pub origin: String,
    /// The size of the last checkpoint that was cosigned; none before the first.
    pub size: Option<u64>,
    /// Whether the configuration still names it.
    pub is_watched: bool,
}

/// The node's work as a witness.
pub(crate) struct WitnessRole {
    witness: Arc<Witness>,
    keys: Arc<BTreeMap<String, Vec<NoteVerifier>>>,
    judged: Arc<Semaphore>,
}

impl std::fmt::Debug for WitnessRole {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("WitnessRole")
    }
}

/// The store as the witness's memory. It waits for the database, so it is asked off the async threads.
struct Memory {
    store: Store,
    runtime: Handle,
}

impl WitnessMemory for Memory {
    type Fault = StoreError;

    fn latest(&self, origin: &str) -> Result<Option<Witnessed>, StoreError> {
        self.runtime.block_on(self.store.witnessed(origin))
    }

    fn advance(&self, from: u64, to: &Witnessed) -> Result<bool, StoreError> {
        self.runtime.block_on(self.store.advance_witnessed(from, to))
    }
}

impl App {
    /// The public keys with which the node cosigns under a name, one for each suite: what the neighbours are given.
    ///
    /// # Errors
    /// The node is not initialised; a name that no key can have.
    pub fn own_witness_keys(&self, name: Option<&str>) -> Result<Vec<NoteVerifier>, AppError> {
        Ok(self.cosigners(name)?.iter().map(|cosigner| cosigner.verifier().clone()).collect())
    }

    /// The public keys of the node's own log and, where it is published, of its twin: what a neighbour needs to witness them.
    ///
    /// # Errors
    /// The node is not initialised.
    pub fn log_keys(&self) -> Result<Vec<NoteVerifier>, AppError> {
        let signers = [Some(self.log_signer()?), self.twin_signer()?];
        Ok(signers.into_iter().flatten().map(|signer| signer.verifier().clone()).collect())
    }

    fn cosigners(&self, name: Option<&str>) -> Result<Vec<Cosigner>, AppError> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => format!("{}{NAME_SUFFIX}", self.log_origin()?),
        };
        [Suite::International, Suite::National]
            .into_iter()
            .map(|suite| Cosigner::new(&name, self.keys.witness(suite, &name)?).map_err(|error| wrong_setting(&error)))
            .collect()
    }

    /// Makes the node a witness of logs, once, after it was opened. Errors: a log or name that can't be; the node's own log,
    /// about which its word says nothing.
    pub fn be_witness(&self, setting: WitnessSetting) -> Result<(), AppError> {
        let own = self.log_origin()?;
        let mut witness =
            Witness::new(self.cosigners(setting.name.as_deref())?).map_err(|error| wrong_setting(&error))?;
        let mut keys = BTreeMap::new();
        for log in setting.logs {
            if log.origin == own || log.origin == twin_origin(&own) {
                let problem = format!("`{}` is this node's own log; a witness watches others", log.origin);
                return Err(AppError::Invalid(problem));
            }
            witness.watch(&log.origin, log.keys.clone()).map_err(|error| wrong_setting(&error))?;
            let named = log.keys.into_iter().map(|key| key.of_log(&log.origin)).collect();
            keys.insert(log.origin, named);
        }
        let judged = Arc::new(Semaphore::new(JUDGED_AT_ONCE_MAX));
        let role = WitnessRole { witness: Arc::new(witness), keys: Arc::new(keys), judged };
        self.witness.set(role).map_err(|_| AppError::Fault("the node was made a witness twice".to_owned()))
    }

    /// Answers a request for a cosignature (C2SP tlog-witness, "add-checkpoint"); `None` when the node is no witness. What
    /// was cosigned is durable when this returns, and so is what proves that a log lied.
    ///
    /// # Errors
    /// Faults of the database and the disk. Nothing was cosigned then.
    pub async fn cosign_checkpoint(&self, body: Vec<u8>) -> Result<Option<WitnessAnswer>, AppError> {
        let Some(role) = self.witness.get() else { return Ok(None) };
        let place = Arc::clone(&role.judged).acquire_owned().await;
        let place = place.map_err(|_| AppError::Fault("the witness has ended".to_owned()))?;
        let (witness, keys) = (Arc::clone(&role.witness), Arc::clone(&role.keys));
        let directory = self.directory.join(MISCONDUCT_DIRECTORY);
        let memory = Memory { store: self.store.clone(), runtime: Handle::current() };
        let at = u64::try_from(self.now().as_second()).unwrap_or_default();
        // Whoever asked may go away meanwhile: the place is held all the same, and what proves a lie is kept.
        let judged = tokio::task::spawn_blocking(move || {
            let _place = place;
            let answer = witness.add_checkpoint(&body, &memory, at)?;
            if let WitnessAnswer::Inconsistent { misconduct: Some(misconduct), problem } = &answer {
                keep_misconduct(&directory, &keys, misconduct, problem);
            }
            Ok::<_, WitnessError<StoreError>>(answer)
        });
        match judged.await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(WitnessError::Memory(error))) => Err(error.into()),
            Ok(Err(error @ WitnessError::CanNotSign(_))) => Err(AppError::Fault(error.to_string())),
            Err(_) => Err(AppError::Fault("judging a checkpoint was interrupted".to_owned())),
        }
    }

    /// The last checkpoint of a log that the node cosigned, by SHA-256 of the log's origin in hexadecimal (C2SP tlog-witness,
    /// "Monitor Retrieval Mechanism"); `None` when there is none or the node is no witness.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn cosigned_checkpoint(&self, origin_hash: &str) -> Result<Option<String>, AppError> {
        if self.witness.get().is_none() {
            return Ok(None);
        }
        Ok(self.store.witnessed_by_hash(origin_hash).await?.map(|witnessed| witnessed.note))
    }

    /// The logs that the node witnesses or has witnessed, by origin.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn witnessed_logs(&self) -> Result<Vec<WitnessedLog>, AppError> {
        let mut logs = BTreeMap::new();
        for witnessed in self.store.witnessed_logs().await? {
            logs.insert(witnessed.checkpoint.origin, (Some(witnessed.checkpoint.size), false));
        }
        for origin in self.witness.get().into_iter().flat_map(|role| role.keys.keys()) {
            logs.entry(origin.clone()).or_insert((None, true)).1 = true;
        }
        let named = |(origin, (size, is_watched))| WitnessedLog { origin, size, is_watched };
        Ok(logs.into_iter().map(named).collect())
    }
}

/// A configuration of witnesses that can't be.
pub(crate) fn wrong_setting(error: &TransparencyError) -> AppError {
    AppError::Invalid(format!("{error}; correct `[witness]` or `[log]` in lingqu.toml"))
}

/// Keeps what proves that a log lied. The answer is the same whether that succeeds: the checkpoint was refused.
fn keep_misconduct(
    directory: &Path,
    keys: &BTreeMap<String, Vec<NoteVerifier>>,
    misconduct: &Misconduct,
    problem: &str,
) {
    let mut keys = keys.values().flatten();
    let Some(conviction) = keys.find_map(|key| misconduct.verify(key, None).ok()) else { return };
    let origin = conviction.origin.as_str();
    // One file for each size and pair of roots: whoever sends the same lie again fills no disk.
    let digest = sha256(&[origin.as_bytes(), &conviction.roots[0], &conviction.roots[1]].concat());
    let name = format!("{}-{}.log-misconduct", &digest.to_string()[..16], conviction.size);
    match keep(directory, &name, &misconduct.to_text()) {
        Ok(()) => {
            let path = directory.join(&name);
            tracing::error!(origin, size = conviction.size, file = %path.display(), "a log lied ({problem}); check the file with `lingqu audit verify-misconduct`");
        }
        Err(error) => tracing::error!(origin, %error, "a log lied ({problem}) and the proof can't be kept"),
    }
}

/// Writes a file that is there whole or not at all, unless it is there already or there are too many.
fn keep(directory: &Path, name: &str, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(name);
    if path.exists() {
        return Ok(());
    }
    if std::fs::read_dir(directory)?.count() >= MISCONDUCT_FILES_MAX {
        let problem = format!("{} has {MISCONDUCT_FILES_MAX} files already; move some away", directory.display());
        return Err(std::io::Error::other(problem));
    }
    // Two that are sent at once have a file each until one of them takes the name.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let beside = directory.join(format!("{name}.{number}.unfinished"));
    let written = std::fs::File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)
    });
    if written.is_err() {
        // What a full disk cut off counts for nothing and would count to the most that are kept.
        drop(std::fs::remove_file(&beside));
    }
    written?;
    std::fs::File::open(directory)?.sync_all()
}
