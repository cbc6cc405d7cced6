//! What the node cosigned as a witness: the last checkpoint of each log, replaced in one durable transaction that compares the
//! size first. A cosignature that left is never contradicted by what stands here, whatever crashed or crossed.

use lingqu_transparency::{Checkpoint, NOTE_BYTES_MAX, Witnessed};
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};

use crate::error::StoreError;
use crate::store::{Store, WriterLock, from_sql, to_sql};

/// The longest note that is kept of a log, in bytes; a request for a cosignature is far shorter.
pub const WITNESSED_NOTE_BYTES_MAX: usize = 1024 * 1024;
const _: () = assert!(WITNESSED_NOTE_BYTES_MAX <= NOTE_BYTES_MAX);

/// The largest size of a log that is kept: what the database's numbers hold.
pub const WITNESSED_SIZE_MAX: u64 = i64::MAX as u64;

/// The most logs that [`Store::witnessed_logs`] tells of.
pub const WITNESSED_LIST_MAX: u64 = 10_000;

impl Store {
    /// The last checkpoint of a log that was cosigned.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn witnessed(&self, origin: &str) -> Result<Option<Witnessed>, StoreError> {
        read_one(self.db(), Expr::col("origin").eq(origin)).await
    }

    /// The same by what monitors ask with: SHA-256 of the origin, in hexadecimal.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn witnessed_by_hash(&self, origin_hash: &str) -> Result<Option<Witnessed>, StoreError> {
        read_one(self.db(), Expr::col("origin_hash").eq(origin_hash)).await
    }

    /// The last checkpoints of all logs, by origin, [`WITNESSED_LIST_MAX`] at most.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn witnessed_logs(&self) -> Result<Vec<Witnessed>, StoreError> {
        let query = Query::select()
            .columns(COLUMNS)
            .from("witnessed")
            .order_by("origin", Order::Asc)
            .limit(WITNESSED_LIST_MAX)
            .take();
        let rows = self.db().query_all(&query).await.map_err(|error| StoreError::database(READING, error))?;
        rows.iter().map(row_of).collect()
    }

    /// Replaces the last checkpoint of the log `to.checkpoint.origin` if its size still is `from` (0 when there is none), in
    /// one transaction that is durable when this returns. `false` when another size stands there; nothing is changed then.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a note or a size beyond the limits, a checkpoint that is smaller than `from`, and another
    /// root for the size that stands there; faults of the database, after which the checkpoint may have been replaced or not.
    pub async fn advance_witnessed(&self, from: u64, to: &Witnessed) -> Result<bool, StoreError> {
        const DOING: &str = "remembering a cosigned checkpoint";
        let fault = |error| StoreError::database(DOING, error);
        let Checkpoint { origin, size, root } = &to.checkpoint;
        if to.note.len() > WITNESSED_NOTE_BYTES_MAX || *size > WITNESSED_SIZE_MAX {
            return Err(StoreError::invalid(format!(
                "a cosigned checkpoint has at most {WITNESSED_NOTE_BYTES_MAX} bytes and {WITNESSED_SIZE_MAX} entries"
            )));
        }
        if *size < from {
            return Err(StoreError::invalid("a witness never cosigns a checkpoint smaller than the last one"));
        }
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let before = read_one(write.db(), Expr::col("origin").eq(origin.as_str())).await?;
        if before.as_ref().map_or(0, |before| before.checkpoint.size) != from {
            return Ok(false);
        }
        if before.as_ref().is_some_and(|before| before.checkpoint.size == *size && before.checkpoint.root != *root) {
            return Err(StoreError::invalid("a witness never cosigns two roots of one size"));
        }
        if before.is_some() {
            let update = Query::update()
                .table("witnessed")
                .value("size", to_sql(*size))
                .value("root", root.to_vec())
                .value("note", to.note.as_str())
                .and_where(Expr::col("origin").eq(origin.as_str()))
                .take();
            write.db().execute(&update).await.map_err(fault)?;
        } else {
            let insert = Query::insert()
                .into_table("witnessed")
                .columns(["origin", "origin_hash", "size", "root", "note"])
                .values_panic([
                    origin.as_str().into(),
                    lingqu_crypto::sha256(origin.as_bytes()).to_string().into(),
                    to_sql(*size).into(),
                    root.to_vec().into(),
                    to.note.as_str().into(),
                ])
                .take();
            write.db().execute(&insert).await.map_err(fault)?;
        }
        write.commit(DOING).await?;
        Ok(true)
    }
}

const READING: &str = "reading what was cosigned";
const COLUMNS: [&str; 4] = ["origin", "size", "root", "note"];

async fn read_one(db: &impl ConnectionTrait, condition: Expr) -> Result<Option<Witnessed>, StoreError> {
    let query = Query::select().columns(COLUMNS).from("witnessed").and_where(condition).limit(1).take();
    let row = db.query_one(&query).await.map_err(|error| StoreError::database(READING, error))?;
    row.as_ref().map(row_of).transpose()
}

fn row_of(row: &sea_orm::QueryResult) -> Result<Witnessed, StoreError> {
    let fault = |error| StoreError::database(READING, error);
    let root: Vec<u8> = row.try_get_by_index(2).map_err(fault)?;
    let root = root.try_into().map_err(|_| StoreError::Unreadable {
        what: "a cosigned checkpoint",
        problem: "its root isn't 32 bytes".to_owned(),
    })?;
    Ok(Witnessed {
        checkpoint: Checkpoint {
            origin: row.try_get_by_index(0).map_err(fault)?,
            size: from_sql("a cosigned checkpoint", row.try_get_by_index(1).map_err(fault)?)?,
            root,
        },
        note: row.try_get_by_index(3).map_err(fault)?,
    })
}
