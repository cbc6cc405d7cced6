//! The node in memory: its store, its folded state, its engine and keys.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use lingqu_crypto::IndexKey;
use lingqu_crypto::password::Cost as PasswordCost;
use lingqu_domain::event::{Event, Recorded};
use lingqu_domain::state::State;
use lingqu_engine::product::ProductStore;
use lingqu_engine::snapshot::SnapshotStore;
use lingqu_engine::{Engine, EngineSettings};
use lingqu_store::journal::{READ_LIMIT_MAX, Record};
use lingqu_store::log::LogPublisher;
use lingqu_store::quota::Quota;
use lingqu_store::receipt::ReceiptLog;
use lingqu_store::{Backend, Store, StoreConfig};

use crate::clock::Clock;
use crate::connections::NodeConnections;
use crate::consent::{ConsentIndex, LiveIdentities};
use crate::cosign::Cosigning;
use crate::error::AppError;
use crate::fingerprint::Surveys;
use crate::identity::{KnownKeys, PasswordWork};
use crate::ingestion::Ingestions;
use crate::keys::NodeKeys;
use crate::log::LogRole;
use crate::receipt_tables::ReceiptTables;
use crate::serving::ServingCache;
use crate::spill;
use crate::uses::UseIndex;
use crate::witness::WitnessRole;

/// How long a request waits for the node to catch up with the journal.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);
/// Connections to the database.
const CONNECTIONS_MAX: u32 = 8;

/// How a node is opened.
#[derive(Clone, Debug)]
pub struct AppSettings {
    /// The node's directory: keys, data, receipts, log and, by default, the database.
    pub directory: PathBuf,
    /// The database; none: SQLite in the directory.
    pub database_url: Option<String>,
    /// The clock.
    pub clock: Clock,
    /// False opens a node beside a running one to look at it; receipts can then be read but not written.
    pub exclusive: bool,
    /// How much work the passwords of users who are added are to guess.
    pub password_cost: PasswordCost,
}

impl AppSettings {
    /// A node that works in a directory, with SQLite and the machine's time.
    pub fn of(directory: impl Into<PathBuf>) -> AppSettings {
        AppSettings {
            directory: directory.into(),
            database_url: None,
            clock: Clock::system(),
            exclusive: true,
            password_cost: PasswordCost::default(),
        }
    }
}

/// Appends that were given up between their beginning and the folding of their events, because the client hung up or the
/// database failed: whether they are in the journal has to be seen there.
#[derive(Default)]
pub(crate) struct GivenUp {
    /// How many there were.
    count: AtomicU64,
    /// How many of them the state has caught up with.
    settled: AtomicU64,
}

/// An append under way. Dropped before [`Appending::folded`] it counts as given up.
pub(crate) struct Appending<'a> {
    given_up: &'a GivenUp,
    is_open: bool,
}

impl GivenUp {
    pub(crate) fn watch(&self) -> Appending<'_> {
        Appending { given_up: self, is_open: true }
    }
}

impl Appending<'_> {
    /// The state has what was appended, or nothing was.
    pub(crate) fn folded(mut self) {
        self.is_open = false;
    }
}

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.given_up.count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A node. Shared as `Arc<App>`.
pub struct App {
    pub(crate) directory: PathBuf,
    pub(crate) store: Store,
    pub(crate) state: RwLock<State>,
    /// How many times the node began to catch up with the journal.
    catch_ups_begun: AtomicU64,
    /// Held while it catches up: the last time that came to its end.
    pub(crate) catch_up_ended: tokio::sync::Mutex<u64>,
    pub(crate) keys: NodeKeys,
    pub(crate) clock: Clock,
    pub(crate) engine: Arc<Engine>,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) products: ProductStore,
    pub(crate) receipts: ReceiptLog,
    pub(crate) quota: Quota,
    pub(crate) serving: ServingCache,
    pub(crate) consents: ConsentIndex,
    pub(crate) live_identities: Arc<LiveIdentities>,
    pub(crate) known_keys: KnownKeys,
    pub(crate) password_cost: PasswordCost,
    pub(crate) password_work: PasswordWork,
    /// Where data of departments is taken from; named after the node was opened.
    pub(crate) connections: OnceLock<NodeConnections>,
    pub(crate) ingestions: Arc<Ingestions>,
    pub(crate) metering: tokio::sync::Mutex<()>,
    pub(crate) uses: Arc<UseIndex>,
    pub(crate) receipt_tables: ReceiptTables,
    pub(crate) surveys: Surveys,
    pub(crate) publishing: tokio::sync::Mutex<Option<LogPublisher>>,
    pub(crate) log: LogRole,
    /// What the node witnesses; told after it was opened.
    pub(crate) witness: OnceLock<WitnessRole>,
    /// Whom the node asks for cosignatures; told after it was opened.
    pub(crate) cosigning: OnceLock<Cosigning>,
    /// True when no other process can write the journal, so that the state falls behind only by commands of its own.
    pub(crate) is_only_writer: bool,
    pub(crate) given_up: GivenUp,
    /// Held for the life of the process.
    _lock: Option<File>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("App").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl App {
    /// Opens a node: makes what is missing in its directory, brings the schema up to date, folds the journal, closes
    /// deliveries that a crash left open. Errors say what to mend.
    pub async fn open(settings: AppSettings) -> Result<Arc<App>, AppError> {
        App::open_with(settings, |engine| engine).await
    }

    /// The same with an engine of other than moderate settings, which it is given to change.
    pub async fn open_with(
        settings: AppSettings,
        engine: impl FnOnce(EngineSettings) -> EngineSettings,
    ) -> Result<Arc<App>, AppError> {
        let directory = settings.directory;
        make_private(&directory).map_err(|error| AppError::file("make", &directory, &error))?;
        let lock = if settings.exclusive { Some(lock(&directory)?) } else { None };
        let keys = NodeKeys::open(&directory)?;
        let url = settings.database_url.unwrap_or_else(|| format!("sqlite:{}", directory.join("node.db").display()));
        let config = StoreConfig { url, vault_key: keys.vault.clone(), connections_max: CONNECTIONS_MAX };
        let store = Store::open(config).await?;
        let receipts = if settings.exclusive {
            ReceiptLog::open(&store, &directory).await?
        } else {
            ReceiptLog::open_for_reading(&store, &directory).await?
        };
        let is_only_writer = settings.exclusive && store.backend() == Backend::Sqlite;
        let quota = Quota::register(&store, is_only_writer).await?;
        let ingestions = Ingestions::new(&directory);
        let spill_directory = spill::directory(&directory, settings.exclusive)?;
        let live_identities = Arc::new(LiveIdentities::new(keys.identity.clone()));
        let uses = Arc::new(UseIndex::new(&directory));
        let receipt_tables = ReceiptTables::new(&directory);
        let app = App {
            engine: Arc::new(Engine::new(&engine(EngineSettings::moderate(spill_directory)))?),
            snapshots: SnapshotStore::open(&directory.join("snapshots"))?,
            products: ProductStore::open(&directory.join("products"))?,
            directory,
            store,
            state: RwLock::new(State::default()),
            catch_ups_begun: AtomicU64::new(0),
            catch_up_ended: tokio::sync::Mutex::new(0),
            keys,
            clock: settings.clock,
            receipts,
            quota,
            serving: ServingCache::default(),
            consents: ConsentIndex::default(),
            live_identities,
            known_keys: KnownKeys::default(),
            password_cost: settings.password_cost,
            password_work: PasswordWork::new(),
            connections: OnceLock::new(),
            ingestions,
            metering: tokio::sync::Mutex::new(()),
            uses,
            receipt_tables,
            surveys: Surveys::new(),
            publishing: tokio::sync::Mutex::new(None),
            log: LogRole::new(),
            witness: OnceLock::new(),
            cosigning: OnceLock::new(),
            is_only_writer,
            given_up: GivenUp::default(),
            _lock: lock,
        };
        app.catch_up().await?;
        if settings.exclusive {
            app.close_interrupted().await?;
            if is_only_writer {
                app.settle_held_subjects(None).await?;
            }
            app.take_up_abandoned().await?;
            app.reconcile_quota().await?;
        }
        Ok(Arc::new(app))
    }

    /// Refuses what only the process that holds the node's directory does.
    pub(crate) fn must_be_exclusive(&self) -> Result<(), AppError> {
        if self._lock.is_some() {
            return Ok(());
        }
        Err(AppError::Invalid(
            "a node that was opened beside a running one does not do this; ask the running one".to_owned(),
        ))
    }

    /// The node's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The node's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Queries of which an operator is still there, whether somebody waits for them or not.
    pub fn unfinished_queries(&self) -> usize {
        self.engine.unfinished()
    }

    /// What signs the addresses of files that the node hands out.
    pub fn address_key(&self) -> &IndexKey {
        &self.keys.address
    }

    /// The node's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The node's store, for read tables and the like.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Looks at the folded state. The look is short and does not wait for anything.
    pub fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Brings the state to the journal's head when it may have fallen behind. Error: `behind` when that takes longer than a
    /// second; a state of unknown age is not served from.
    pub async fn refresh(&self) -> Result<(), AppError> {
        let given_up = self.given_up.count.load(Ordering::SeqCst);
        if self.is_only_writer && self.given_up.settled.load(Ordering::SeqCst) >= given_up {
            return Ok(());
        }
        let catch_up = async {
            if self.is_only_writer {
                self.store.settled().await?;
            }
            self.catch_up().await
        };
        match tokio::time::timeout(CATCH_UP_MAX, catch_up).await {
            Ok(caught_up) => caught_up?,
            Err(_) => return Err(AppError::Behind),
        }
        self.given_up.settled.fetch_max(given_up, Ordering::SeqCst);
        Ok(())
    }

    /// Folds what the journal has beyond the state. Of a crowd that waits for its turn one reads for all: what it reads
    /// after they came is what each of them would have read.
    pub(crate) async fn catch_up(&self) -> Result<(), AppError> {
        let begun_before = self.catch_ups_begun.load(Ordering::SeqCst);
        let mut ended = self.catch_up_ended.lock().await;
        if *ended > begun_before {
            return Ok(());
        }
        let mine = self.catch_ups_begun.fetch_add(1, Ordering::SeqCst) + 1;
        loop {
            let position = self.read(|state| state.position);
            let records = self.store.read_after(position, READ_LIMIT_MAX).await?;
            if records.is_empty() {
                *ended = mine;
                return Ok(());
            }
            let mut folded = Vec::with_capacity(records.len());
            for record in &records {
                folded.push(recorded(record)?);
            }
            let fed = self.feed(&folded).await?;
            let now = self.clock.now();
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            for recorded in &folded {
                self.consents.follow(&state, recorded, &fed, now);
                state.apply(recorded)?;
            }
        }
    }

    /// Ends the node's work in order: what was leased comes back, the receipt log is closed.
    pub async fn close(&self) -> Result<(), AppError> {
        self.stop_ingestions().await;
        self.stop_publishing().await;
        self.settle_quota().await?;
        self.receipts.close().await;
        self.store.close().await?;
        Ok(())
    }
}

/// Makes a node's directory, which nobody but its owner may enter: everything in it is governed.
fn make_private(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Takes the node directory's lock, so that two processes never write one node's receipts.
fn lock(directory: &Path) -> Result<File, AppError> {
    let path = directory.join("node.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| AppError::file("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AppError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(AppError::file("lock", &path, &error)),
    }
}

/// Reads a journal record back into the domain's form.
pub(crate) fn recorded(record: &Record) -> Result<Recorded, AppError> {
    let unreadable = |what: &str, problem: String| {
        AppError::Fold(lingqu_domain::state::FoldError {
            position: record.position,
            problem: format!("{what} can't be read: {problem}"),
        })
    };
    let event: Event =
        serde_json::from_str(&record.body).map_err(|error| unreadable("the event", error.to_string()))?;
    Ok(Recorded {
        position: record.position,
        at: record.at.parse().map_err(|error: jiff::Error| unreadable("the time", error.to_string()))?,
        actor: record
            .actor
            .parse()
            .map_err(|error: lingqu_domain::id::BadId| unreadable("the actor", error.to_string()))?,
        stream: record.stream.clone(),
        stream_version: record.stream_version,
        event,
    })
}

/// The versions after some events, for excerpts of the state.
pub(crate) fn next_versions(state: &State, streams: &[String]) -> Vec<u64> {
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    let mut next = Vec::with_capacity(streams.len());
    for stream in streams {
        let version = versions.entry(stream).or_insert_with(|| state.version(stream));
        *version += 1;
        next.push(*version);
    }
    next
}
