//! Who publishes, of several processes on one database: the sequencer.
//!
//! On PostgreSQL it is the process that the table `sequencer` names. Taking over raises the epoch in that row, and whatever a
//! publisher writes (an entry of both roots, a checkpoint) it writes in a transaction that holds the row and finds its own epoch there.
//! A process that was stopped and goes on later finds another epoch and writes nothing. How long a silent holder keeps its place
//! is measured by the database's clock and decides only when another may take over, never what may be written. One that was seen
//! later than now, because that clock was set back, counts as silent too. One that is stopped within such a transaction keeps the
//! row no longer than that: the server ends the session, and with it the transaction, which can't be committed any more.
//!
//! A file that was under way then is written all the same when the process goes on. So the row says which size is about to be
//! published before any file says it, and whoever comes next begins there, whatever earlier checkpoint stands in the files.
//! On SQLite the lock of the log's directory says who publishes, and a note beside the log what ([`super::signed`]).

use std::fs::File;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::sqlx;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, TransactionTrait};

use super::{LogError, LogFiles, blocking};
use crate::error::{StoreError, sqlx_error};
use crate::store::{Backend, Store, from_sql, random, to_sql};

/// How long a sequencer may be silent before another process may take its place.
pub const LEASE: Duration = Duration::from_secs(10);
/// How long a sequencer that has nothing to publish, or whose files take long, waits before it says that it is there; and how long
/// a transaction waits for the row.
const RENEW_AFTER: Duration = Duration::from_secs(3);
/// What PostgreSQL says to a session that it ended because its transaction was silent for too long.
const SILENT_TRANSACTION: &str = "25P03";

const KEEPING: &str = "keeping the sequencer's place";
const PUBLISHING: &str = "publishing a checkpoint";

/// The database's clock in milliseconds.
const NOW_MS: &str = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint";

/// The right to publish, for as long as it is held.
pub(super) enum Sequencer {
    /// By the lock of a directory; an object store beside SQLite has none.
    Directory {
        /// Held until this is dropped.
        _lock: Option<File>,
        /// When it was last looked what an object store serves: a request that arrives late is undone by nothing else there.
        looked_at: Option<Mutex<Instant>>,
    },
    /// By the row of the database.
    Row(Holder),
}

/// The place, held until this ends.
pub(super) struct Fence<'a> {
    /// The transaction that holds the row; none where a directory's lock is held.
    row: Option<(&'a Holder, DatabaseTransaction)>,
}

/// A place in the row.
pub(super) struct Holder {
    store: Store,
    epoch: u64,
    /// Says its own from every other process, also from an earlier one of this machine.
    name: String,
    /// What was or may have been published when the place was taken.
    published_size: u64,
    renewed_at: Mutex<Instant>,
}

impl Sequencer {
    /// Takes the place, when it is free or its holder is silent.
    pub(super) async fn claim(store: &Store, files: &LogFiles) -> Result<Sequencer, LogError> {
        if store.backend() == Backend::Sqlite {
            let files = files.clone();
            let looked_at = matches!(files, LogFiles::Objects { .. }).then(|| Mutex::new(Instant::now()));
            return Ok(Sequencer::Directory { _lock: blocking(move || files.lock()).await?, looked_at });
        }
        const DOING: &str = "taking the sequencer's place";
        let elsewhere = || LogError::NotSequencer { seconds: LEASE.as_secs() };
        // Whoever holds the row is publishing, also where he began to between the look and the claim.
        let fault = |error| match StoreError::database(DOING, error) {
            StoreError::Locked { .. } => elsewhere(),
            error => error.into(),
        };
        // The row is not waited for, since his files may take long.
        let look = "SELECT epoch FROM sequencer WHERE id = 1 FOR UPDATE NOWAIT";
        let look = Statement::from_string(DbBackend::Postgres, look);
        store.db().query_one_raw(look).await.map_err(fault)?;
        let name = format!("{:032x}", u128::from_be_bytes(random()?));
        let lease_ms = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        let claim = format!(
            "INSERT INTO sequencer (id, epoch, holder, seen_at_unix_ms, published_size) VALUES (1, 1, $1, {NOW_MS}, 0) \
             ON CONFLICT (id) DO UPDATE SET epoch = sequencer.epoch + 1, holder = $1, seen_at_unix_ms = {NOW_MS} \
             WHERE sequencer.holder = '' OR sequencer.seen_at_unix_ms < {NOW_MS} - $2 \
             OR sequencer.seen_at_unix_ms > {NOW_MS} + $2 \
             RETURNING epoch, published_size"
        );
        let claim = Statement::from_sql_and_values(DbBackend::Postgres, claim, [name.as_str().into(), lease_ms.into()]);
        let Some(row) = store.db().query_one_raw(claim).await.map_err(fault)? else {
            return Err(elsewhere());
        };
        let epoch = from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)?;
        let published_size = from_sql(DOING, row.try_get_by_index(1).map_err(fault)?)?;
        let renewed_at = Mutex::new(Instant::now());
        Ok(Sequencer::Row(Holder { store: store.clone(), epoch, name, published_size, renewed_at }))
    }

    /// Sees to it that the place is held until the transaction ends.
    pub(super) async fn check(&self, db: &DatabaseTransaction) -> Result<(), LogError> {
        match self {
            Sequencer::Directory { .. } => Ok(()),
            Sequencer::Row(holder) => holder.hold(db).await,
        }
    }

    /// The largest size that was published, or was about to be, by any process when this one took the place; 0 where the database
    /// does not say.
    pub(super) fn published_size(&self) -> u64 {
        match self {
            Sequencer::Directory { .. } => 0,
            Sequencer::Row(holder) => holder.published_size,
        }
    }

    /// Says durably that checkpoints of a size are about to be published, never of a smaller one than before, and holds the place
    /// from then on.
    pub(super) async fn fence(&self, size: u64) -> Result<Fence<'_>, LogError> {
        let Sequencer::Row(holder) = self else { return Ok(Fence { row: None }) };
        holder.announce(size).await?;
        let begun = holder.store.db().begin().await;
        let transaction = begun.map_err(|error| StoreError::database(PUBLISHING, error))?;
        holder.hold(&transaction).await?;
        Ok(Fence { row: Some((holder, transaction)) })
    }

    /// Whether the database says who publishes, so that whatever else is written is not the log's.
    pub(super) fn is_fenced(&self) -> bool {
        matches!(self, Sequencer::Row(_))
    }

    /// Says that the holder is there, when it has not for a while. True when what is served is to be looked at as well: every few
    /// seconds, but for a directory beside SQLite, where nothing arrives late.
    pub(super) async fn keep(&self) -> Result<bool, LogError> {
        match self {
            Sequencer::Directory { looked_at: None, .. } => Ok(false),
            Sequencer::Directory { looked_at: Some(looked_at), .. } => {
                let mut looked_at = looked_at.lock().unwrap_or_else(PoisonError::into_inner);
                let is_due = looked_at.elapsed() >= RENEW_AFTER;
                if is_due {
                    *looked_at = Instant::now();
                }
                Ok(is_due)
            }
            Sequencer::Row(holder) => {
                if holder.renewed_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < RENEW_AFTER {
                    return Ok(false);
                }
                holder.renew(holder.store.db()).await?;
                Ok(true)
            }
        }
    }

    /// Gives the place up, so that another process need not wait.
    pub(super) async fn give_back(&self) -> Result<(), LogError> {
        let Sequencer::Row(holder) = self else { return Ok(()) };
        let give = "UPDATE sequencer SET holder = '' WHERE id = 1 AND epoch = $1 AND holder = $2";
        let fault = |error| StoreError::database("giving the sequencer's place back", error);
        holder.store.db().execute_raw(holder.statement(give)).await.map_err(fault)?;
        Ok(())
    }
}

impl Fence<'_> {
    /// Waits for a write that begins only while the place is held, however long it takes: meanwhile the process says that it is
    /// there. Where it lost its place the write is waited for all the same, so that nothing newer is overtaken by it here.
    pub(super) async fn during<T>(&self, write: impl Future<Output = Result<T, LogError>>) -> Result<T, LogError> {
        let Some((holder, transaction)) = &self.row else { return write.await };
        holder.renew(transaction).await?;
        let mut write = pin!(write);
        loop {
            if let Ok(written) = tokio::time::timeout(RENEW_AFTER, write.as_mut()).await {
                return written;
            }
            if let Err(lost) = holder.renew(transaction).await {
                write.await?;
                return Err(lost);
            }
        }
    }

    /// Lets the place go on without being held. An error says that it was lost in between.
    pub(super) async fn end(self) -> Result<(), LogError> {
        let Some((_, transaction)) = self.row else { return Ok(()) };
        transaction.commit().await.map_err(|error| fault(PUBLISHING, error))
    }
}

impl Holder {
    /// Holds the place until a transaction ends. The server ends it when this process is silent for as long as a place is kept,
    /// and whoever waits for the row meanwhile, perhaps with other locks, gives up earlier.
    async fn hold(&self, db: &DatabaseTransaction) -> Result<(), LogError> {
        let bound =
            "SELECT set_config('idle_in_transaction_session_timeout', $1, true), set_config('lock_timeout', $2, true)";
        let times = [LEASE, RENEW_AFTER].map(|time| format!("{}ms", time.as_millis()).into());
        let bound = Statement::from_sql_and_values(DbBackend::Postgres, bound, times);
        db.query_one_raw(bound).await.map_err(|error| fault(KEEPING, error))?;
        self.renew(db).await
    }

    /// Says that checkpoints of a size are about to be published. It is durable before any of their files, so that what a process
    /// may still write that was stopped in the middle is known to the next one. The log never goes back: once a size was announced, a
    /// holder who says a smaller one is refused as if he had lost his place.
    async fn announce(&self, size: u64) -> Result<(), LogError> {
        let announce = format!(
            "UPDATE sequencer SET seen_at_unix_ms = {NOW_MS}, published_size = $3 \
             WHERE id = 1 AND epoch = $1 AND holder = $2 AND published_size <= $3"
        );
        let values = [to_sql(self.epoch).into(), self.name.as_str().into(), to_sql(size).into()];
        let announce = Statement::from_sql_and_values(DbBackend::Postgres, announce, values);
        self.update(self.store.db(), announce).await
    }

    /// Renews the place; within a transaction the row is held until it ends.
    async fn renew<C: ConnectionTrait>(&self, db: &C) -> Result<(), LogError> {
        let renew =
            format!("UPDATE sequencer SET seen_at_unix_ms = {NOW_MS} WHERE id = 1 AND epoch = $1 AND holder = $2");
        self.update(db, self.statement(&renew)).await
    }

    /// Changes the row, while it is this process's.
    async fn update<C: ConnectionTrait>(&self, db: &C, update: Statement) -> Result<(), LogError> {
        let renewed = db.execute_raw(update).await.map_err(|error| fault(KEEPING, error))?;
        if renewed.rows_affected() == 0 {
            return Err(LogError::SequencerLost);
        }
        *self.renewed_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(())
    }

    fn statement(&self, sql: &str) -> Statement {
        let values = [to_sql(self.epoch).into(), self.name.as_str().into()];
        Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
    }
}

/// A fault of a transaction that holds the row. One that the server ended no longer keeps anybody else out.
fn fault(doing: &'static str, error: DbErr) -> LogError {
    let is_cut_off = match sqlx_error(&error) {
        Some(sqlx::Error::Database(error)) => error.code().as_deref() == Some(SILENT_TRANSACTION),
        _ => false,
    };
    if is_cut_off { LogError::SequencerLost } else { StoreError::database(doing, error).into() }
}
