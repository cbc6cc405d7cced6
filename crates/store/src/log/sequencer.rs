//! Who publishes, of several processes on one database: the sequencer.
//!
//! On PostgreSQL it is the process that the table `sequencer` names. Taking over raises the epoch in that row, and whatever a
//! publisher writes (an entry of both roots, a checkpoint) it writes in a transaction that holds the row and finds its own epoch there.
//! A process that was stopped and goes on later finds another epoch and writes nothing. How long a silent holder keeps its place
//! is measured by the database's clock and decides only when another may take over, never what may be written. One that was seen
//! later than now, because that clock was set back, counts as silent too.
//! On SQLite the lock of the log's directory does the same.

use std::fs::File;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement, TransactionTrait};

use super::{LogError, LogFiles, blocking};
use crate::error::StoreError;
use crate::store::{Backend, Store, from_sql, random, to_sql};

/// How long a sequencer may be silent before another process may take its place.
pub const LEASE: Duration = Duration::from_secs(10);
/// How long a sequencer that has nothing to publish waits before it says that it is there.
const RENEW_AFTER: Duration = Duration::from_secs(3);

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

/// A place in the row.
pub(super) struct Holder {
    store: Store,
    epoch: u64,
    /// Says its own from every other process, also from an earlier one of this machine.
    name: String,
    /// What had been published when the place was taken.
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
        let fault = |error| StoreError::database(DOING, error);
        let Some(row) = store.db().query_one_raw(claim).await.map_err(fault)? else {
            return Err(LogError::NotSequencer { seconds: LEASE.as_secs() });
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
            Sequencer::Row(holder) => holder.renew(db).await,
        }
    }

    /// The size that was published by any process when this one took the place; 0 where the database does not say.
    pub(super) fn published_size(&self) -> u64 {
        match self {
            Sequencer::Directory { .. } => 0,
            Sequencer::Row(holder) => holder.published_size,
        }
    }

    /// Begins a transaction that holds the place until it ends, and says with its commit that checkpoints of a size are published;
    /// none is needed where a directory's lock is held.
    pub(super) async fn fence(&self, size: u64) -> Result<Option<DatabaseTransaction>, LogError> {
        let Sequencer::Row(holder) = self else { return Ok(None) };
        let fault = |error| StoreError::database("publishing a checkpoint", error);
        let transaction = holder.store.db().begin().await.map_err(fault)?;
        holder.renew(&transaction).await?;
        let published = "UPDATE sequencer SET published_size = $1 WHERE id = 1";
        let published = Statement::from_sql_and_values(DbBackend::Postgres, published, [to_sql(size).into()]);
        transaction.execute_raw(published).await.map_err(fault)?;
        Ok(Some(transaction))
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

impl Holder {
    /// Renews the place; within a transaction the row is held until it ends.
    async fn renew<C: ConnectionTrait>(&self, db: &C) -> Result<(), LogError> {
        let renew =
            format!("UPDATE sequencer SET seen_at_unix_ms = {NOW_MS} WHERE id = 1 AND epoch = $1 AND holder = $2");
        let fault = |error| StoreError::database("keeping the sequencer's place", error);
        let renewed = db.execute_raw(self.statement(&renew)).await.map_err(fault)?;
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
