//! Idempotency keys: a request that is sent again with the same key gets the answer it got before, and the same key with
//! another request is refused. The answer is written in the transaction of the append it answers.

use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::error::{AppendError, StoreError};
use crate::identity::{read_sortable, sortable};
use crate::journal::parse_time;
use crate::store::{Store, WriterLock};

/// Most bytes of a remembered answer: it names each event of the append.
pub const RESPONSE_BYTES_MAX: usize = 1024 * 1024;

/// What to remember of a request.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The key, with whatever makes it the caller's own (such as the user's id) in front.
    pub key: String,
    /// SHA-256 of the request.
    pub request_digest: [u8; 32],
    /// The answer as JSON, without secrets and personal data.
    pub response: String,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

impl Store {
    /// The answer that was given to this request under this key, if it isn't forgotten yet.
    ///
    /// # Errors
    /// [`AppendError::KeyReused`] when the key belongs to another request; faults of the database.
    pub async fn idempotent_response(
        &self,
        key: &str,
        request_digest: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<String>, AppendError> {
        find(self.db(), key, request_digest, now).await
    }

    /// Deletes the keys that are forgotten at `now`; gives their number.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn sweep_idempotency(&self, now: Timestamp) -> Result<u64, StoreError> {
        const DOING: &str = "sweeping idempotency keys";
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let delete =
            Query::delete().from_table("idempotency").and_where(Expr::col("expires_at").lte(sortable(now))).take();
        let swept =
            write.db().execute(&delete).await.map_err(|error| StoreError::database(DOING, error))?.rows_affected();
        write.commit(DOING).await?;
        Ok(swept)
    }
}

pub(crate) async fn answered(
    db: &DatabaseTransaction,
    idempotency: &Idempotency,
    at: &str,
) -> Result<Option<String>, AppendError> {
    find(db, &idempotency.key, &idempotency.request_digest, parse_time(at)?).await
}

async fn find<C: ConnectionTrait>(
    db: &C,
    key: &str,
    request_digest: &[u8; 32],
    now: Timestamp,
) -> Result<Option<String>, AppendError> {
    let fault = |error| StoreError::database("reading an idempotency key", error);
    let query = Query::select()
        .columns(["request_digest", "response", "expires_at"])
        .from("idempotency")
        .and_where(Expr::col("key").eq(key))
        .take();
    let Some(row) = db.query_one(&query).await.map_err(fault)? else { return Ok(None) };
    if read_sortable(row.try_get_by_index(2).map_err(fault)?)? <= now {
        return Ok(None);
    }
    let digest: Vec<u8> = row.try_get_by_index(0).map_err(fault)?;
    if digest != request_digest {
        return Err(AppendError::KeyReused);
    }
    Ok(Some(row.try_get_by_index(1).map_err(fault)?))
}

pub(crate) async fn remember(db: &DatabaseTransaction, idempotency: &Idempotency) -> Result<(), StoreError> {
    if idempotency.response.len() > RESPONSE_BYTES_MAX {
        return Err(StoreError::invalid(format!(
            "the answer to remember is larger than {RESPONSE_BYTES_MAX} bytes; remember its id only"
        )));
    }
    let insert = Query::insert()
        .into_table("idempotency")
        .columns(["key", "request_digest", "response", "expires_at"])
        .values_panic([
            idempotency.key.as_str().into(),
            idempotency.request_digest.to_vec().into(),
            idempotency.response.as_str().into(),
            sortable(idempotency.expires_at).into(),
        ])
        // Only a forgotten key can still be there.
        .on_conflict(OnConflict::column("key").update_columns(["request_digest", "response", "expires_at"]).to_owned())
        .take();
    db.execute(&insert).await.map_err(|error| StoreError::database("remembering an answer", error))?;
    Ok(())
}
