//! What can go wrong at the database and the disk, each with one sentence that says what to do.
//!
//! No variant carries a value that was stored: driver messages name tables, columns and constraints only.

use std::path::PathBuf;
use std::sync::Arc;

use sea_orm::DbErr;
use sea_orm::sqlx;

use crate::migration::sqlite_unique_name;

/// A fault of the database or the disk below the store. `doing` names the operation that failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is neither SQLite nor PostgreSQL, or can't be parsed. The URL itself may hold a password and is not shown.
    #[error("the database URL can't be used ({problem}); write `sqlite:FILE` or `postgres://USER@HOST/DATABASE`")]
    BadUrl {
        /// What is wrong with it.
        problem: String,
    },
    /// The database can't be opened or reached.
    #[error("can't open the database {database}: {problem}")]
    CannotOpen {
        /// The database without password.
        database: String,
        /// What is wrong and what to do about it.
        problem: String,
    },
    /// The schema was written by a newer program.
    #[error(
        "the database {database} has a schema this program doesn't know ({problem}); run the newer version of lingqu"
    )]
    NewerSchema {
        /// The database without password.
        database: String,
        /// What the migration runner said.
        problem: String,
    },
    /// No space is left.
    #[error("no space left while {doing}; free some disk space, nothing of this operation was kept")]
    Full {
        /// The operation.
        doing: &'static str,
    },
    /// The database, directory or file system can only be read.
    #[error(
        "can't write while {doing}: the database or its directory is read-only; give the program's user the right to write"
    )]
    ReadOnly {
        /// The operation.
        doing: &'static str,
    },
    /// Another writer held the database for longer than the configured wait.
    #[error("the database stayed locked while {doing}; end the other program that holds it, or try again")]
    Locked {
        /// The operation.
        doing: &'static str,
    },
    /// The connection is gone or none became free in time.
    #[error("the database can't be reached while {doing}; see that its server runs and accepts connections")]
    Unreachable {
        /// The operation.
        doing: &'static str,
    },
    /// The database file is damaged.
    #[error("the database is damaged (found while {doing}); restore it from a backup")]
    Damaged {
        /// The operation.
        doing: &'static str,
        /// The driver's error.
        #[source]
        source: DbErr,
    },
    /// A named constraint refused the change. The caller that knows the rule translates it.
    #[error("the constraint {name} refused the change while {doing}")]
    Constraint {
        /// Name of the constraint, the same on both databases.
        name: String,
        /// The operation.
        doing: &'static str,
    },
    /// What was read back is not what the store writes.
    #[error("{what} in the database isn't what the store writes: {problem}; run `lingqu replay --check`")]
    Unreadable {
        /// Which thing.
        what: &'static str,
        /// What is wrong with it, without its content.
        problem: String,
    },
    /// A file operation failed.
    #[error("can't {doing} {path}: {source}")]
    File {
        /// The operation as a verb.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// An earlier sync failed, so it is unknown what reached the disk.
    #[error("{doing} has stopped because the disk failed earlier; mend the disk and restart the node")]
    Stopped {
        /// The operation.
        doing: &'static str,
    },
    /// The system gives no random bytes.
    #[error("the operating system gives no random bytes ({problem}); see that /dev/urandom exists")]
    NoRandom {
        /// The system's message.
        problem: String,
    },
    /// Sealing or opening failed: the vault key is not the one that sealed.
    #[error("can't open sealed data while {doing}: the vault key is another one or the data was changed")]
    Sealed {
        /// The operation.
        doing: &'static str,
    },
    /// An argument is beyond a stated limit or malformed.
    #[error("{problem}")]
    Invalid {
        /// What is wrong, in one sentence.
        problem: String,
    },
    /// Anything else the driver reports.
    #[error("the database failed while {doing}: {source}")]
    Database {
        /// The operation.
        doing: &'static str,
        /// The driver's error.
        #[source]
        source: DbErr,
    },
}

/// Why an append to the journal was refused or failed. Nothing of a refused append is kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// A stream that the decision read has moved since. Load again and decide anew.
    #[error(
        "{stream} has changed since it was read (version {expected} was read, {found} is there now); load it again"
    )]
    Conflict {
        /// The stream that moved.
        stream: String,
        /// Version the decision saw.
        expected: u64,
        /// Version found.
        found: u64,
    },
    /// The append's time is before the journal's last record.
    #[error("the clock ran back: {at} is before the journal's last record at {last}; set the system's clock right")]
    ClockRanBack {
        /// Time of the append, RFC 3339.
        at: String,
        /// Time of the last record, RFC 3339.
        last: String,
    },
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used for another request; send a new key with a new request")]
    KeyReused,
    /// A vault item was to be written for a subject whose data has been erased.
    #[error("the data of {subject} has been erased; nothing can be stored for it any more")]
    Erased {
        /// The subject's id (a reference, no personal data).
        subject: String,
    },
    /// The database or the disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoreError {
    /// A malformed argument.
    pub(crate) fn invalid(problem: impl Into<String>) -> StoreError {
        StoreError::Invalid { problem: problem.into() }
    }

    /// A file operation that failed; a full or read-only disk is told apart.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> StoreError {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full { doing },
            std::io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { doing },
            _ => StoreError::File { doing, path: path.into(), source: Arc::new(source) },
        }
    }

    /// Classes a driver error by the codes of SQLite (<https://www.sqlite.org/rescode.html>) and PostgreSQL
    /// (appendix A of its manual).
    pub(crate) fn database(doing: &'static str, source: DbErr) -> StoreError {
        if matches!(source, DbErr::ConnectionAcquire(_)) {
            return StoreError::Unreachable { doing };
        }
        match sqlx_error(&source) {
            Some(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default().into_owned();
                let constraint = constraint_name(error.as_ref());
                class_of_code(doing, &code, constraint, source)
            }
            Some(
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed,
            ) => StoreError::Unreachable { doing },
            _ => StoreError::Database { doing, source },
        }
    }
}

/// The driver's error inside a [`DbErr`], if it came from the driver.
pub(crate) fn sqlx_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(sea_orm::RuntimeErr::SqlxError(inner))
        | DbErr::Exec(sea_orm::RuntimeErr::SqlxError(inner))
        | DbErr::Query(sea_orm::RuntimeErr::SqlxError(inner)) => Some(inner),
        _ => None,
    }
}

fn class_of_code(doing: &'static str, code: &str, constraint: Option<String>, source: DbErr) -> StoreError {
    if let Some(name) = constraint {
        return StoreError::Constraint { name, doing };
    }
    // SQLite's extended codes carry the primary code in the low byte.
    let sqlite_primary = code.parse::<u32>().ok().filter(|_| code.len() < 5).map(|extended| extended & 0xff);
    match (sqlite_primary, code) {
        (Some(13), _) | (_, "53100") => StoreError::Full { doing },
        (Some(8), _) | (_, "25006") => StoreError::ReadOnly { doing },
        (Some(5 | 6), _) | (_, "55P03" | "57014") => StoreError::Locked { doing },
        (Some(11 | 26), _) | (_, "XX001" | "XX002") => StoreError::Damaged { doing, source },
        // Of these 25P03 ends a writer that was silent for too long.
        (_, "57P01" | "57P02" | "57P03" | "53300" | "25P03") => StoreError::Unreachable { doing },
        _ => StoreError::Database { doing, source },
    }
}

/// The name of the constraint that refused, the same for both databases. SQLite names CHECKs and the columns of UNIQUEs,
/// but no foreign keys.
fn constraint_name(error: &dyn sqlx::error::DatabaseError) -> Option<String> {
    if let Some(name) = error.constraint() {
        return Some(name.to_owned());
    }
    let message = error.message();
    if let Some(columns) = message.strip_prefix("UNIQUE constraint failed: ") {
        return Some(sqlite_unique_name(columns).unwrap_or_else(|| columns.to_owned()));
    }
    if let Some(name) = message.strip_prefix("CHECK constraint failed: ") {
        return Some(name.to_owned());
    }
    if message.starts_with("FOREIGN KEY constraint failed") {
        return Some("foreign_key".to_owned());
    }
    // The append-only and gap-free triggers raise `NAME: sentence` on both databases.
    message
        .split_once(": ")
        .map(|(name, _)| name)
        .filter(|name| name.ends_with("_append_only") || name.ends_with("_gap_free"))
        .map(str::to_owned)
}
