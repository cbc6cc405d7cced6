//! Opening the database, and the one way to write to it: a transaction that holds the writer's lock from before its
//! first read.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lingqu_crypto::SealKey;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    IsolationLevel, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use tokio::sync::{Mutex, MutexGuard};

use crate::error::{StoreError, sqlx_error};
use crate::migration::Migrator;

/// How long a writer waits for another one before it gives up.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// How long a writer of PostgreSQL may be silent within its transaction: a process that was stopped there keeps the other ones out no
/// longer, and whoever waits meanwhile is still waiting.
const WRITER_SILENCE: Duration = Duration::from_secs(10);
/// How long a caller waits for a free connection.
const CONNECTION_WAIT: Duration = Duration::from_secs(30);
/// How long to wait before a busy SQLite file is opened again.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How long a server may take to answer when the store is opened.
const PROBE_WAIT: Duration = Duration::from_secs(10);

/// Where the database is and what it is sealed with.
#[derive(Clone)]
pub struct StoreConfig {
    /// `sqlite:FILE` (the file is created) or `postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE`.
    pub url: String,
    /// The node's vault key; it wraps the data key of every subject.
    pub vault_key: SealKey,
    /// Most connections at a time, at least 1. Writers use one of them.
    pub connections_max: u32,
}

/// Which database the store runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// An embedded SQLite file.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

/// An open database with the current schema. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    connection: DatabaseConnection,
    backend: Backend,
    vault_key: SealKey,
    journal_writer: Mutex<()>,
    receipt_writer: Mutex<()>,
    vault_writer: Mutex<()>,
}

/// The locks of the store, by their numbers among PostgreSQL's advisory locks. SQLite has one lock for the whole file.
#[derive(Clone, Copy)]
pub(crate) enum WriterLock {
    /// Journal, read tables, log entries and everything beside receipts and vault.
    Journal = 0x4c51_0001,
    /// Receipt blocks, so that deliveries never wait for decisions.
    Receipts = 0x4c51_0002,
    /// The vault, for the same reason. A decision that writes to it takes this lock after the journal's, never before.
    Vault = 0x4c51_0003,
}

/// A transaction that holds a writer's lock. Dropped without [`WriteTransaction::commit`] it rolls back.
pub(crate) struct WriteTransaction<'a> {
    // Declared first: the rollback is queued before the next writer of this process is let in.
    transaction: DatabaseTransaction,
    _turn: MutexGuard<'a, ()>,
}

impl Store {
    /// Opens the database and brings its schema up to date, in one transaction under the writer's lock.
    ///
    /// # Errors
    /// [`StoreError::BadUrl`], [`StoreError::CannotOpen`] with what to mend, [`StoreError::NewerSchema`], or the class of
    /// fault that the migration met.
    pub async fn open(config: StoreConfig) -> Result<Store, StoreError> {
        Store::open_with_lock_wait(config, LOCK_WAIT).await
    }

    /// As [`Store::open`], with the time that a writer waits for writers of other processes before it answers
    /// [`StoreError::Locked`]; 30 seconds otherwise.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with_lock_wait(config: StoreConfig, lock_wait: Duration) -> Result<Store, StoreError> {
        if config.connections_max == 0 {
            return Err(StoreError::invalid("connections_max is 0; set it to at least 1"));
        }
        let target = Target::parse(&config.url)?;
        let database = target.description();
        let cannot_open = |problem| StoreError::CannotOpen { database: database.clone(), problem };
        target.probe().await.map_err(cannot_open)?;
        let connection =
            connect(&target, &config, lock_wait).await.map_err(|error| cannot_open(target.explain(&error)))?;
        let store = Store {
            inner: Arc::new(Inner {
                connection,
                backend: target.backend(),
                vault_key: config.vault_key,
                journal_writer: Mutex::new(()),
                receipt_writer: Mutex::new(()),
                vault_writer: Mutex::new(()),
            }),
        };
        let write = store.begin_write(WriterLock::Journal, "bringing the schema up to date").await?;
        if let Err(error) = Migrator::up(write.db(), None).await {
            return Err(match error {
                DbErr::Custom(problem) => StoreError::NewerSchema { database, problem },
                other => StoreError::database("bringing the schema up to date", other),
            });
        }
        write.commit("bringing the schema up to date").await?;
        Ok(store)
    }

    /// Which database this is.
    pub fn backend(&self) -> Backend {
        self.inner.backend
    }

    /// Closes all connections. Calls after this answer [`StoreError::Unreachable`].
    ///
    /// # Errors
    /// When the driver can't finish its connections.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.inner.connection.close_by_ref().await.map_err(|error| StoreError::database("closing the database", error))
    }

    pub(crate) fn db(&self) -> &DatabaseConnection {
        &self.inner.connection
    }

    pub(crate) fn vault_key(&self) -> &SealKey {
        &self.inner.vault_key
    }

    /// Begins a transaction that may write. Writers of this process take turns in order; against other processes SQLite
    /// takes the file's write lock at once and PostgreSQL an advisory lock before anything is read, so what the
    /// transaction reads can't change before it commits. PostgreSQL ends the session of a writer that is silent for too long, and the
    /// transaction with it: it can't be committed any more, so nothing of it is ever acknowledged.
    pub(crate) async fn begin_write(
        &self,
        lock: WriterLock,
        doing: &'static str,
    ) -> Result<WriteTransaction<'_>, StoreError> {
        let fault = |error| StoreError::database(doing, error);
        let turn = match (self.inner.backend, lock) {
            (Backend::Sqlite, _) | (_, WriterLock::Journal) => self.inner.journal_writer.lock().await,
            (Backend::Postgres, WriterLock::Receipts) => self.inner.receipt_writer.lock().await,
            (Backend::Postgres, WriterLock::Vault) => self.inner.vault_writer.lock().await,
        };
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.db().begin_with_options(options).await.map_err(fault)?;
        let write = WriteTransaction { transaction, _turn: turn };
        write.take(lock, doing).await?;
        Ok(write)
    }

    /// Begins a transaction whose reads all see one moment.
    pub(crate) async fn begin_read(&self, doing: &'static str) -> Result<DatabaseTransaction, StoreError> {
        let isolation_level = (self.inner.backend == Backend::Postgres).then_some(IsolationLevel::RepeatableRead);
        let options = TransactionOptions {
            isolation_level,
            sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
            ..TransactionOptions::default()
        };
        self.db().begin_with_options(options).await.map_err(|error| StoreError::database(doing, error))
    }
}

impl WriteTransaction<'_> {
    pub(crate) fn db(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Takes a lock for the rest of the transaction, from the other processes; SQLite's one lock it has already.
    pub(crate) async fn take(&self, lock: WriterLock, doing: &'static str) -> Result<(), StoreError> {
        let backend = self.transaction.get_database_backend();
        if backend == DbBackend::Postgres {
            let values = [format!("{}ms", WRITER_SILENCE.as_millis()).into(), (lock as i64).into()];
            let take = "SELECT set_config('idle_in_transaction_session_timeout', $1, true), pg_advisory_xact_lock($2)";
            let take = Statement::from_sql_and_values(backend, take, values);
            self.transaction.execute_raw(take).await.map_err(|error| StoreError::database(doing, error))?;
        }
        Ok(())
    }

    /// Makes the transaction durable: both databases answer only after their log is synced.
    pub(crate) async fn commit(self, doing: &'static str) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(|error| StoreError::database(doing, error))
    }
}

/// Fills an array with random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

/// Fills bytes that are to be so many, at one call of the system.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes).map_err(|error| StoreError::NoRandom { problem: error.to_string() })
}

/// A position or count as SQL holds it. Positions start at 1 and grow by one, so they never leave the range.
pub(crate) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).expect("positions and counts stay below 2^63")
}

/// A position or count read from SQL, where CHECKs keep it from being negative.
pub(crate) fn from_sql(what: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Unreadable { what, problem: "a position is negative".to_owned() })
}

/// A parsed database URL.
enum Target {
    Sqlite { file: PathBuf },
    Postgres { server: Box<PgConnectOptions>, description: String },
}

impl Target {
    fn parse(url: &str) -> Result<Target, StoreError> {
        let bad = |problem: &str| StoreError::BadUrl { problem: problem.to_owned() };
        if let Some(rest) = url.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() || path.contains(":memory:") || path.contains('?') {
                return Err(bad("SQLite needs the path of a file, without parameters"));
            }
            return Ok(Target::Sqlite { file: PathBuf::from(path) });
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = PgConnectOptions::from_str(url).map_err(|_| bad("it isn't a valid PostgreSQL URL"))?;
            let name = options.get_database().ok_or_else(|| bad("it names no database"))?;
            let description = format!("{name} at {}:{}", options.get_host(), options.get_port());
            return Ok(Target::Postgres { server: Box::new(options), description });
        }
        Err(bad("it begins with neither sqlite: nor postgres:"))
    }

    fn backend(&self) -> Backend {
        match self {
            Target::Sqlite { .. } => Backend::Sqlite,
            Target::Postgres { .. } => Backend::Postgres,
        }
    }

    fn description(&self) -> String {
        match self {
            Target::Sqlite { file } => file.display().to_string(),
            Target::Postgres { description, .. } => description.clone(),
        }
    }

    /// Tries a server once: a pool would go on trying a server that isn't there for all of [`CONNECTION_WAIT`].
    async fn probe(&self) -> Result<(), String> {
        let Target::Postgres { server, .. } = self else { return Ok(()) };
        match tokio::time::timeout(PROBE_WAIT, server.connect()).await {
            Ok(Ok(connection)) => {
                // What matters is known; an error at the farewell says nothing more.
                drop(connection.close().await);
                Ok(())
            }
            Ok(Err(error)) => Err(explain_server(&error)),
            Err(_) => Err("no server answers in time; start it or correct the URL".to_owned()),
        }
    }

    fn options(&self, config: &StoreConfig, lock_wait: Duration) -> ConnectOptions {
        let url = match self {
            // The path is set below on the driver's own options: a URL would have to escape it.
            Target::Sqlite { .. } => "sqlite://lingqu".to_owned(),
            Target::Postgres { .. } => config.url.clone(),
        };
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(config.connections_max)
            .acquire_timeout(CONNECTION_WAIT)
            .sqlx_logging(false)
            // Spans would carry statements into traces; values never are in them, and table names say nothing new.
            .record_stmt_in_spans(false);
        match self {
            Target::Sqlite { file } => {
                let file = file.clone();
                options.map_sqlx_sqlite_opts(move |sqlite: SqliteConnectOptions| {
                    sqlite
                        .filename(&file)
                        .create_if_missing(true)
                        .journal_mode(SqliteJournalMode::Wal)
                        .synchronous(SqliteSynchronous::Full)
                        .foreign_keys(true)
                        .busy_timeout(lock_wait)
                        // Erased vault items must not stay in free pages.
                        .pragma("secure_delete", "ON")
                });
                // A full disk makes SQLite end a transaction by itself, after which the driver still believes in it and would
                // make every later one a savepoint inside it. Such a connection is closed when it is wanted again.
                options.map_sqlx_sqlite_pool_opts(|pool| {
                    pool.before_acquire(|connection, _| {
                        let is_clean = !connection.is_in_transaction();
                        Box::pin(async move { Ok(is_clean) })
                    })
                });
            }
            Target::Postgres { .. } => {
                options.set_application_name("lingqu");
                options.map_sqlx_postgres_opts(move |postgres: PgConnectOptions| {
                    // A server set to answer before its log is synced would break "nothing answers ok before it is durable".
                    let lock_wait = format!("{}ms", lock_wait.as_millis());
                    postgres.options([("synchronous_commit", "on"), ("lock_timeout", lock_wait.as_str())])
                });
            }
        }
        options
    }

    /// One sentence about why the database can't be opened.
    fn explain(&self, error: &DbErr) -> String {
        match self {
            Target::Sqlite { file } => explain_file(file, error),
            Target::Postgres { .. } => match sqlx_error(error) {
                Some(error) => explain_server(error),
                None => "the connection failed; see that the URL is right".to_owned(),
            },
        }
    }
}

/// Connects. Several programs that make a new SQLite file at once stand in each other's way when they switch it to write-ahead
/// logging, and SQLite does not wait there as it does elsewhere; so they come again until the time for locks is over.
async fn connect(target: &Target, config: &StoreConfig, lock_wait: Duration) -> Result<DatabaseConnection, DbErr> {
    let begun = Instant::now();
    loop {
        match Database::connect(target.options(config, lock_wait)).await {
            Err(error) if is_sqlite_busy(target, &error) && begun.elapsed() < lock_wait => {
                tokio::time::sleep(CONNECT_AGAIN_AFTER).await;
            }
            ended => return ended,
        }
    }
}

fn is_sqlite_busy(target: &Target, error: &DbErr) -> bool {
    let Target::Sqlite { .. } = target else { return false };
    let Some(sqlx::Error::Database(error)) = sqlx_error(error) else { return false };
    // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_BUSY_RECOVERY, SQLITE_BUSY_SNAPSHOT.
    matches!(error.code().as_deref(), Some("5" | "6" | "261" | "517"))
}

/// SQLite says only "unable to open database file"; the reason is in the file system.
fn explain_file(file: &Path, error: &DbErr) -> String {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if !directory.is_dir() {
        return format!("{} is no directory; create it or name another one", directory.display());
    }
    if file.is_dir() {
        return "this is a directory; name a file in it".to_owned();
    }
    // SQLite writes its log beside the file, so the directory must be writable too.
    let probe = directory.join(format!(".lingqu-write-probe-{}", std::process::id()));
    match std::fs::File::create(&probe) {
        Ok(_) => drop(std::fs::remove_file(&probe)),
        Err(io) if io.kind() == std::io::ErrorKind::StorageFull => {
            return format!("no space left in {}; free some disk space", directory.display());
        }
        Err(io) => {
            return format!(
                "can't write in {} ({io}); give the program's user the right to write",
                directory.display()
            );
        }
    }
    match std::fs::OpenOptions::new().read(true).append(true).open(file) {
        Err(io) if io.kind() != std::io::ErrorKind::NotFound => {
            return format!("can't write the file ({io}); give the program's user the right to write");
        }
        _ => {}
    }
    match sqlx_error(error) {
        Some(sqlx::Error::Database(database)) => match database.code().as_deref() {
            Some("5" | "6" | "261" | "517") => "another program holds it locked; end that program".to_owned(),
            Some("11" | "26") => "it is no SQLite database or damaged; restore it from a backup".to_owned(),
            Some("13") => "no space left; free some disk space".to_owned(),
            Some("8" | "264" | "520" | "776" | "1032" | "1288" | "1544") => {
                "it is read-only; give the program's user the right to write".to_owned()
            }
            _ => database.message().to_owned(),
        },
        _ => error.to_string(),
    }
}

fn explain_server(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => match database.code().as_deref() {
            Some("28P01" | "28000") => "the server refuses this user or password; correct the URL".to_owned(),
            Some("3D000") => "the server has no such database; create it with createdb".to_owned(),
            Some("53300") => "the server has no free connection; raise its max_connections".to_owned(),
            Some("57P03") => "the server is starting up or shutting down; try again in a moment".to_owned(),
            _ => database.message().to_owned(),
        },
        sqlx::Error::Io(io) => format!("no server answers ({io}); start it or correct the URL"),
        sqlx::Error::Tls(_) => {
            "the server and this program can't agree on TLS; set sslmode and sslrootcert in the URL".to_owned()
        }
        sqlx::Error::PoolTimedOut => "no server answers in time; start it or correct the URL".to_owned(),
        _ => "the connection failed; see that the URL is right".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What answers a commit of SQLite only after its log is synced is set on each connection by itself.
    #[tokio::test]
    async fn every_connection_to_sqlite_syncs_what_it_commits() {
        const CONNECTIONS: u32 = 3;
        let directory = std::env::temp_dir().join(format!("lingqu-connections-{}", std::process::id()));
        // One that failed may have left it behind.
        drop(std::fs::remove_dir_all(&directory));
        std::fs::create_dir(&directory).unwrap();
        let url = format!("sqlite:{}", directory.join("lingqu.db").display());
        let vault_key = SealKey::from_bytes([7; 32]);
        let store = Store::open(StoreConfig { url, vault_key, connections_max: CONNECTIONS }).await.unwrap();
        // All at once, so that each is another one.
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(store.begin_read("reading settings").await.unwrap());
        }
        for connection in &held {
            let asked = async |pragma: &str| {
                let ask = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {pragma}"));
                connection.query_one_raw(ask).await.unwrap().unwrap()
            };
            // 2 is FULL: the write-ahead log is synced with each commit; with NORMAL, 1, it is not.
            assert_eq!(asked("synchronous").await.try_get_by_index::<i32>(0).unwrap(), 2);
            assert_eq!(asked("journal_mode").await.try_get_by_index::<String>(0).unwrap(), "wal");
        }
        drop(held);
        store.close().await.unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
