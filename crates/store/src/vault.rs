//! The erasable vault: personal data, sealed per subject. Each subject has a data key of its own, wrapped by the node's
//! vault key; erasing a subject deletes its key and items, and what is left anywhere of the sealed bytes opens no more.
//! Journal, receipts and log only refer to items by id.
//!
//! A blind index finds a subject by a keyed digest of its identity without storing the identity.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_crypto::{KeyedDigest, SealKey};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Order, Query};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use zeroize::Zeroizing;

use crate::error::{AppendError, StoreError};
use crate::journal::INSERT_ROWS_MAX;
use crate::store::{Backend, Store, WriterLock, random};

/// Most bytes of one item before sealing.
pub const ITEM_BYTES_MAX: usize = 1024 * 1024;
/// Most item references that a list of one subject returns.
pub const LIST_MAX: u64 = 1_000;

/// An item to seal. `Debug` never shows its content.
#[derive(Clone)]
pub struct VaultItem {
    /// Id by which journal and receipts refer to it; unique.
    pub id: String,
    /// Id of the subject whose data it is; no personal data itself.
    pub subject: String,
    /// What it is, such as `name`, `contact`, `request`.
    pub kind: String,
    /// The data.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// Keyed digest of the subject's identity, when the subject is to be found by it.
    pub index: Option<KeyedDigest>,
}

impl std::fmt::Debug for VaultItem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("VaultItem").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// What a read of the vault finds.
#[derive(Debug, PartialEq, Eq)]
pub enum VaultRead {
    /// The item.
    Present(Zeroizing<Vec<u8>>),
    /// The subject's data has been erased; this is no fault.
    Erased {
        /// When, RFC 3339.
        erased_at: String,
    },
    /// No such item was ever stored.
    Unknown,
}

impl Store {
    /// Opens one item of a subject.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] when the vault key is another one; faults of the database.
    pub async fn vault_get(&self, subject: &str, id: &str) -> Result<VaultRead, StoreError> {
        const DOING: &str = "reading the vault";
        let fault = |error| StoreError::database(DOING, error);
        let query = Query::select()
            .column(("vault_item", "kind"))
            .column(("vault_item", "sealed"))
            .column(("vault_key", "wrapped"))
            .from("vault_item")
            .inner_join("vault_key", Expr::col(("vault_item", "subject")).equals(("vault_key", "subject")))
            .and_where(Expr::col(("vault_item", "id")).eq(id))
            .and_where(Expr::col(("vault_item", "subject")).eq(subject))
            .take();
        let Some(row) = self.db().query_one(&query).await.map_err(fault)? else {
            return Ok(match erased_at(self.db(), subject).await? {
                Some(erased_at) => VaultRead::Erased { erased_at },
                None => VaultRead::Unknown,
            });
        };
        let kind: String = row.try_get_by_index(0).map_err(fault)?;
        let sealed: Vec<u8> = row.try_get_by_index(1).map_err(fault)?;
        let wrapped: Vec<u8> = row.try_get_by_index(2).map_err(fault)?;
        let key = unwrap_key(self.vault_key(), subject, &wrapped)?;
        let plaintext = key
            .open(item_context(subject, &kind, id).as_bytes(), &sealed)
            .map_err(|_| StoreError::Sealed { doing: DOING })?;
        Ok(VaultRead::Present(plaintext))
    }

    /// Ids and kinds of a subject's items, in the order of ids, at most [`LIST_MAX`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn vault_items(&self, subject: &str) -> Result<Vec<(String, String)>, StoreError> {
        let fault = |error| StoreError::database("listing vault items", error);
        let query = Query::select()
            .columns(["id", "kind"])
            .from("vault_item")
            .and_where(Expr::col("subject").eq(subject))
            .order_by("id", Order::Asc)
            .limit(LIST_MAX)
            .take();
        let rows = self.db().query_all(&query).await.map_err(fault)?;
        rows.iter()
            .map(|row| Ok((row.try_get_by_index(0).map_err(fault)?, row.try_get_by_index(1).map_err(fault)?)))
            .collect()
    }

    /// The subject with this keyed digest of its identity, if it is in the index.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn vault_subject(&self, digest: &KeyedDigest) -> Result<Option<String>, StoreError> {
        let fault = |error| StoreError::database("searching the blind index", error);
        let query = Query::select()
            .column("subject")
            .from("vault_index")
            .and_where(Expr::col("digest").eq(digest.0.to_vec()))
            .take();
        let row = self.db().query_one(&query).await.map_err(fault)?;
        row.map(|row| row.try_get_by_index(0).map_err(fault)).transpose()
    }

    /// The subjects with some keyed digests of their identities; who is not in the index is left out.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn vault_subjects(&self, digests: &[KeyedDigest]) -> Result<BTreeMap<KeyedDigest, String>, StoreError> {
        let fault = |error| StoreError::database("searching the blind index", error);
        let mut found = BTreeMap::new();
        for chunk in digests.chunks(INSERT_ROWS_MAX) {
            let query = Query::select()
                .columns(["digest", "subject"])
                .from("vault_index")
                .and_where(Expr::col("digest").is_in(chunk.iter().map(|digest| digest.0.to_vec())))
                .take();
            for row in self.db().query_all(&query).await.map_err(fault)? {
                let digest: Vec<u8> = row.try_get_by_index(0).map_err(fault)?;
                let digest = digest.try_into().map_err(|_| StoreError::Unreadable {
                    what: "the blind index",
                    problem: "a digest isn't 32 bytes".to_owned(),
                })?;
                found.insert(KeyedDigest(digest), row.try_get_by_index(1).map_err(fault)?);
            }
        }
        Ok(found)
    }

    /// Erases a subject for good: its key, its items and its places in the index. Erasing twice changes nothing.
    ///
    /// The database is then asked to let go of the freed bytes (SQLite overwrites them and empties its log, PostgreSQL
    /// vacuums); a reader that is busy at this moment can put that off until the next time. Backups and archived logs of the server keep sealed bytes until they expire.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn vault_erase(&self, subject: &str, at: &str) -> Result<(), StoreError> {
        const DOING: &str = "erasing a subject";
        let fault = |error| StoreError::database(DOING, error);
        let write = self.begin_write(WriterLock::Vault, DOING).await?;
        for table in ["vault_index", "vault_item", "vault_key"] {
            let delete = Query::delete().from_table(table).and_where(Expr::col("subject").eq(subject)).take();
            write.db().execute(&delete).await.map_err(fault)?;
        }
        let insert = Query::insert()
            .into_table("vault_erased")
            .columns(["subject", "erased_at"])
            .values_panic([subject.into(), at.into()])
            .on_conflict(OnConflict::column("subject").do_nothing().to_owned())
            .take();
        write.db().execute(&insert).await.map_err(fault)?;
        write.commit(DOING).await?;
        let cleaning = match self.backend() {
            Backend::Sqlite => "PRAGMA wal_checkpoint(TRUNCATE)",
            Backend::Postgres => "VACUUM vault_key, vault_item, vault_index",
        };
        self.db().execute_unprepared(cleaning).await.map_err(fault)?;
        Ok(())
    }
}

/// Seals and inserts items, all or none, making data keys for subjects that have none.
pub(crate) async fn insert(
    db: &DatabaseTransaction,
    vault_key: &SealKey,
    items: &[VaultItem],
) -> Result<(), AppendError> {
    let fault = |error| StoreError::database("sealing into the vault", error);
    for item in items {
        check_bytes(&item.id, item.plaintext.len())?;
    }
    let keys = data_keys(db, vault_key, items).await?;
    insert_items(db, &keys, items).await?;
    let mut digests = BTreeMap::new();
    for item in items {
        if let Some(digest) = &item.index {
            digests.insert(digest.0.to_vec(), item.subject.as_str());
        }
    }
    let digests: Vec<(Vec<u8>, &str)> = digests.into_iter().collect();
    for chunk in digests.chunks(INSERT_ROWS_MAX) {
        let mut insert = Query::insert().into_table("vault_index").columns(["digest", "subject"]).take();
        for (digest, subject) in chunk {
            insert.values_panic([digest.clone().into(), (*subject).into()]);
        }
        // The same subject may be indexed again; another one under the same digest is refused by check_index.
        insert.on_conflict(OnConflict::column("digest").do_nothing().to_owned());
        db.execute(&insert).await.map_err(fault)?;
        check_index(db, chunk).await?;
    }
    Ok(())
}

/// Refuses an item that is too large. `what` names it.
fn check_bytes(what: &str, bytes: usize) -> Result<(), StoreError> {
    if bytes > ITEM_BYTES_MAX {
        let problem = format!("the vault item of {what} is larger than {ITEM_BYTES_MAX} bytes; store less");
        return Err(StoreError::invalid(problem));
    }
    Ok(())
}

/// Seals and inserts items whose subjects all have a key among `keys`.
async fn insert_items(
    db: &DatabaseTransaction,
    keys: &BTreeMap<String, SealKey>,
    items: &[VaultItem],
) -> Result<(), StoreError> {
    for chunk in items.chunks(INSERT_ROWS_MAX) {
        let mut insert = Query::insert().into_table("vault_item").columns(["id", "subject", "kind", "sealed"]).take();
        for item in chunk {
            let context = item_context(&item.subject, &item.kind, &item.id);
            let sealed = keys[item.subject.as_str()].seal(random()?, context.as_bytes(), &item.plaintext);
            insert.values_panic([
                item.id.as_str().into(),
                item.subject.as_str().into(),
                item.kind.as_str().into(),
                sealed.into(),
            ]);
        }
        db.execute(&insert).await.map_err(|error| StoreError::database("sealing into the vault", error))?;
    }
    Ok(())
}

async fn check_index(db: &DatabaseTransaction, wanted: &[(Vec<u8>, &str)]) -> Result<(), StoreError> {
    let fault = |error| StoreError::database("writing the blind index", error);
    let query = Query::select()
        .columns(["digest", "subject"])
        .from("vault_index")
        .and_where(Expr::col("digest").is_in(wanted.iter().map(|(digest, _)| digest.clone())))
        .take();
    let wanted: BTreeMap<&[u8], &str> = wanted.iter().map(|(digest, subject)| (digest.as_slice(), *subject)).collect();
    for row in db.query_all(&query).await.map_err(fault)? {
        let digest: Vec<u8> = row.try_get_by_index(0).map_err(fault)?;
        let subject: String = row.try_get_by_index(1).map_err(fault)?;
        if wanted.get(digest.as_slice()) != Some(&subject.as_str()) {
            return Err(StoreError::Constraint {
                name: "vault_index_digest_unique".to_owned(),
                doing: "writing the blind index",
            });
        }
    }
    Ok(())
}

/// The data keys of the items' subjects; new ones are made and wrapped. An erased subject gets none.
async fn data_keys(
    db: &DatabaseTransaction,
    vault_key: &SealKey,
    items: &[VaultItem],
) -> Result<BTreeMap<String, SealKey>, AppendError> {
    const DOING: &str = "reading data keys";
    let fault = |error| StoreError::database(DOING, error);
    let subjects: BTreeSet<&str> = items.iter().map(|item| item.subject.as_str()).collect();
    let subjects: Vec<&str> = subjects.into_iter().collect();
    let mut keys = BTreeMap::new();
    for chunk in subjects.chunks(INSERT_ROWS_MAX) {
        let of_chunk = || Expr::col("subject").is_in(chunk.iter().copied());
        let erased = Query::select().column("subject").from("vault_erased").and_where(of_chunk()).take();
        if let Some(row) = db.query_one(&erased).await.map_err(fault)? {
            return Err(AppendError::Erased { subject: row.try_get_by_index(0).map_err(fault)? });
        }
        let wrapped = Query::select().columns(["subject", "wrapped"]).from("vault_key").and_where(of_chunk()).take();
        for row in db.query_all(&wrapped).await.map_err(fault)? {
            let subject: String = row.try_get_by_index(0).map_err(fault)?;
            let wrapped: Vec<u8> = row.try_get_by_index(1).map_err(fault)?;
            let key = unwrap_key(vault_key, &subject, &wrapped)?;
            keys.insert(subject, key);
        }
        let mut insert = Query::insert().into_table("vault_key").columns(["subject", "wrapped"]).take();
        let mut new_count = 0;
        for subject in chunk {
            if keys.contains_key(*subject) {
                continue;
            }
            let bytes = Zeroizing::new(random::<32>()?);
            let wrapped = vault_key.seal(random()?, key_context(subject).as_bytes(), &bytes[..]);
            insert.values_panic([(*subject).into(), wrapped.into()]);
            keys.insert((*subject).to_owned(), SealKey::from_bytes(*bytes));
            new_count += 1;
        }
        if new_count > 0 {
            db.execute(&insert).await.map_err(fault)?;
        }
    }
    Ok(keys)
}

async fn erased_at<C: ConnectionTrait>(db: &C, subject: &str) -> Result<Option<String>, StoreError> {
    let fault = |error| StoreError::database("reading the vault", error);
    let query =
        Query::select().column("erased_at").from("vault_erased").and_where(Expr::col("subject").eq(subject)).take();
    let row = db.query_one(&query).await.map_err(fault)?;
    row.map(|row| row.try_get_by_index(0).map_err(fault)).transpose()
}

fn unwrap_key(vault_key: &SealKey, subject: &str, wrapped: &[u8]) -> Result<SealKey, StoreError> {
    let sealed = || StoreError::Sealed { doing: "unwrapping a data key" };
    let bytes = vault_key.open(key_context(subject).as_bytes(), wrapped).map_err(|_| sealed())?;
    let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| sealed())?;
    Ok(SealKey::from_bytes(bytes))
}

/// What a wrapped key is bound to, so that it can't be moved to another subject.
fn key_context(subject: &str) -> String {
    format!("lingqu vault key\n{subject}")
}

/// What a sealed item is bound to. The parts are ids and kinds, which hold no line feed.
fn item_context(subject: &str, kind: &str, id: &str) -> String {
    format!("lingqu vault item\n{subject}\n{kind}\n{id}")
}

pub(crate) fn hex_text(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
