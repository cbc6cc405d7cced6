//! Who consented: each subject has an ordinal, given once with his first consent and without gaps, and the members of a
//! batch of consents are rows by ordinal. Ordinals are what sets of subjects are made of; who a subject is stands in the
//! vault alone.
//!
//! Both are written in the transaction of the event that they belong to, under the journal's lock.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::error::StoreError;
use crate::journal::INSERT_ROWS_MAX;
use crate::snapshot::Snapshot;
use crate::store::{Store, from_sql, to_sql};

/// Most subjects of one append.
pub const SUBJECTS_MAX: usize = 10_000;
/// Most batches whose members are read at once.
pub const SETS_AT_ONCE_MAX: usize = 100;
/// Most subjects of one page.
pub const PAGE_SUBJECTS_MAX: u64 = 20_000;
/// Most places that are told of one subject.
pub const PLACES_MAX: u64 = 1_000;
/// Bytes of an ordinal in a stored set.
const ORDINAL_BYTES: usize = 4;

/// The subjects of a consent or of a batch of consents, in the order of members. Each appears once.
#[derive(Clone, Debug, Default)]
pub struct Consenting {
    /// The batch of which they are the members; none for a consent of its own.
    pub batch: Option<String>,
    /// Their ids.
    pub subjects: Vec<String>,
}

/// A member of a batch as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// His place.
    pub member: u64,
    /// His ordinal.
    pub ordinal: u32,
    /// His id.
    pub subject: String,
}

impl Store {
    /// The ordinals of subjects; those who never consented have none.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn consent_ordinals(&self, subjects: &[String]) -> Result<BTreeMap<String, u32>, StoreError> {
        ordinals(self.db(), subjects).await
    }

    /// The ordinals of the members of batches, in the order of members. At most [`SETS_AT_ONCE_MAX`] batches.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for too many; [`StoreError::Unreadable`] for a damaged set; faults of the database.
    pub async fn consent_sets(&self, batches: &[String]) -> Result<BTreeMap<String, Vec<u32>>, StoreError> {
        if batches.len() > SETS_AT_ONCE_MAX {
            let problem = format!("{} batches were asked for at once; the most is {SETS_AT_ONCE_MAX}", batches.len());
            return Err(StoreError::invalid(problem));
        }
        let fault = |error| StoreError::database("reading batches of consents", error);
        let query = Query::select()
            .columns(["batch", "ordinals"])
            .from("consent_set")
            .and_where(Expr::col("batch").is_in(batches.iter().map(String::as_str)))
            .take();
        let mut sets = BTreeMap::new();
        for row in self.db().query_all(&query).await.map_err(fault)? {
            let bytes: Vec<u8> = row.try_get_by_index(1).map_err(fault)?;
            sets.insert(row.try_get_by_index(0).map_err(fault)?, decoded(&bytes)?);
        }
        Ok(sets)
    }

    /// The place of a subject in a batch, if he is a member.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn consent_place(&self, batch: &str, subject: &str) -> Result<Option<u32>, StoreError> {
        const DOING: &str = "finding a member of a batch";
        let fault = |error| StoreError::database(DOING, error);
        let query = Query::select()
            .column(("consent_row", "member"))
            .from("consent_row")
            .inner_join("consent_subject", of_subject())
            .and_where(Expr::col(("consent_row", "batch")).eq(batch))
            .and_where(Expr::col(("consent_subject", "subject")).eq(subject))
            .take();
        let Some(row) = self.db().query_one(&query).await.map_err(fault)? else { return Ok(None) };
        Ok(Some(ordinal_of(row.try_get_by_index(0).map_err(fault)?)?))
    }

    /// The batches that a subject is a member of, with his places, the newest first, at most [`PLACES_MAX`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn consent_places(&self, subject: &str) -> Result<Vec<(String, u32)>, StoreError> {
        let fault = |error| StoreError::database("listing a subject's consents", error);
        let query = Query::select()
            .column(("consent_row", "batch"))
            .column(("consent_row", "member"))
            .from("consent_row")
            .inner_join("consent_subject", of_subject())
            .and_where(Expr::col(("consent_subject", "subject")).eq(subject))
            .order_by(("consent_row", "batch"), Order::Desc)
            .limit(PLACES_MAX)
            .take();
        let mut places = Vec::new();
        for row in self.db().query_all(&query).await.map_err(fault)? {
            places
                .push((row.try_get_by_index(0).map_err(fault)?, ordinal_of(row.try_get_by_index(1).map_err(fault)?)?));
        }
        Ok(places)
    }

    /// Ordinals from `first` on with the keyed digests of the subjects' identities, at most [`PAGE_SUBJECTS_MAX`], and how
    /// many ordinals there are. Whose data is erased is left out.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn consent_digests(&self, first: u32) -> Result<(Vec<(u32, [u8; 32])>, u32), StoreError> {
        const DOING: &str = "reading the subjects of consents";
        let fault = |error| StoreError::database(DOING, error);
        let view = self.snapshot().await?;
        let end = next_ordinal(view.db()).await?;
        let query = Query::select()
            .column(("consent_subject", "ordinal"))
            .column(("vault_index", "digest"))
            .from("consent_subject")
            .inner_join("vault_index", Expr::col(("vault_index", "subject")).equals(("consent_subject", "subject")))
            .and_where(Expr::col(("consent_subject", "ordinal")).gte(i64::from(first)))
            .order_by(("consent_subject", "ordinal"), Order::Asc)
            .limit(PAGE_SUBJECTS_MAX)
            .take();
        let mut digests = Vec::new();
        for row in view.db().query_all(&query).await.map_err(fault)? {
            let digest: Vec<u8> = row.try_get_by_index(1).map_err(fault)?;
            let digest = digest.try_into().map_err(|_| StoreError::Unreadable {
                what: "the blind index",
                problem: "a digest isn't 32 bytes".to_owned(),
            })?;
            digests.push((ordinal_of(row.try_get_by_index(0).map_err(fault)?)?, digest));
        }
        Ok((digests, end))
    }
}

impl Snapshot {
    /// Members of a batch after a place, in their order, at most [`PAGE_SUBJECTS_MAX`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn consent_members(&self, batch: &str, first: u64) -> Result<Vec<Member>, StoreError> {
        const DOING: &str = "reading a batch of consents";
        let fault = |error| StoreError::database(DOING, error);
        let query = Query::select()
            .column(("consent_row", "member"))
            .column(("consent_row", "ordinal"))
            .column(("consent_subject", "subject"))
            .from("consent_row")
            .inner_join("consent_subject", of_subject())
            .and_where(Expr::col(("consent_row", "batch")).eq(batch))
            .and_where(Expr::col(("consent_row", "member")).gte(to_sql(first)))
            .order_by(("consent_row", "member"), Order::Asc)
            .limit(PAGE_SUBJECTS_MAX)
            .take();
        let mut members = Vec::new();
        for row in self.db().query_all(&query).await.map_err(fault)? {
            members.push(Member {
                member: from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)?,
                ordinal: ordinal_of(row.try_get_by_index(1).map_err(fault)?)?,
                subject: row.try_get_by_index(2).map_err(fault)?,
            });
        }
        Ok(members)
    }

    /// The stored set of a batch, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] for a damaged set; faults of the database.
    pub async fn consent_set(&self, batch: &str) -> Result<Option<Vec<u32>>, StoreError> {
        let fault = |error| StoreError::database("reading a batch of consents", error);
        let query =
            Query::select().column("ordinals").from("consent_set").and_where(Expr::col("batch").eq(batch)).take();
        let Some(row) = self.db().query_one(&query).await.map_err(fault)? else { return Ok(None) };
        let bytes: Vec<u8> = row.try_get_by_index(0).map_err(fault)?;
        decoded(&bytes).map(Some)
    }

    /// The subjects with an ordinal, in the order of their ids, after one, at most [`PAGE_SUBJECTS_MAX`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn consent_subjects(&self, after: Option<&str>) -> Result<Vec<(String, u32)>, StoreError> {
        let fault = |error| StoreError::database("reading the subjects of consents", error);
        let query = Query::select()
            .columns(["subject", "ordinal"])
            .from("consent_subject")
            .and_where_option(after.map(|after| Expr::col("subject").gt(after)))
            .order_by("subject", Order::Asc)
            .limit(PAGE_SUBJECTS_MAX)
            .take();
        let mut subjects = Vec::new();
        for row in self.db().query_all(&query).await.map_err(fault)? {
            subjects
                .push((row.try_get_by_index(0).map_err(fault)?, ordinal_of(row.try_get_by_index(1).map_err(fault)?)?));
        }
        Ok(subjects)
    }

    /// The ordinals of subjects; those who never consented have none.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn consent_ordinals(&self, subjects: &[String]) -> Result<BTreeMap<String, u32>, StoreError> {
        ordinals(self.db(), subjects).await
    }

    /// Which of some subjects are in the vault's blind index.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn indexed_subjects(&self, subjects: &[String]) -> Result<Vec<String>, StoreError> {
        let fault = |error| StoreError::database("reading the blind index", error);
        let mut found = Vec::new();
        for chunk in subjects.chunks(INSERT_ROWS_MAX) {
            let query = Query::select()
                .column("subject")
                .from("vault_index")
                .and_where(Expr::col("subject").is_in(chunk.iter().map(String::as_str)))
                .take();
            for row in self.db().query_all(&query).await.map_err(fault)? {
                found.push(row.try_get_by_index(0).map_err(fault)?);
            }
        }
        Ok(found)
    }

    /// How many ordinals there are. They have no gaps while this is one more than the largest of them.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn consent_subject_count(&self) -> Result<(u64, u32), StoreError> {
        const DOING: &str = "counting the subjects of consents";
        let fault = |error| StoreError::database(DOING, error);
        let count = Query::select().expr(Expr::col("ordinal").count()).from("consent_subject").take();
        let row = self.db().query_one(&count).await.map_err(fault)?;
        let count: i64 = row.map(|row| row.try_get_by_index(0)).transpose().map_err(fault)?.unwrap_or(0);
        Ok((from_sql(DOING, count)?, next_ordinal(self.db()).await?))
    }
}

/// Refuses what is malformed or beyond a limit.
pub(crate) fn check(consenting: &[Consenting]) -> Result<(), StoreError> {
    let count: usize = consenting.iter().map(|consenting| consenting.subjects.len()).sum();
    if count > SUBJECTS_MAX {
        let problem = format!("the append has {count} consenting subjects; split it, the most is {SUBJECTS_MAX}");
        return Err(StoreError::invalid(problem));
    }
    Ok(())
}

/// Gives new subjects their ordinals and writes the rows of batches. The rows of the batches' own table stand already.
pub(crate) async fn insert(db: &DatabaseTransaction, consenting: &[Consenting]) -> Result<(), StoreError> {
    for Consenting { batch, subjects } in consenting {
        let ordinals = with_new_ordinals(db, subjects).await?;
        let Some(batch) = batch else { continue };
        let mut set = Vec::with_capacity(subjects.len() * ORDINAL_BYTES);
        let mut members = Vec::with_capacity(subjects.len());
        for (member, subject) in subjects.iter().enumerate() {
            let ordinal = ordinals.get(subject).copied().ok_or_else(|| StoreError::Unreadable {
                what: "the subjects of consents",
                problem: "a subject that was just written is not there".to_owned(),
            })?;
            set.extend_from_slice(&ordinal.to_le_bytes());
            members.push((member as u64, ordinal));
        }
        let fault = |error| StoreError::database("writing a batch of consents", error);
        for chunk in members.chunks(INSERT_ROWS_MAX) {
            let mut insert = Query::insert().into_table("consent_row").columns(["batch", "member", "ordinal"]).take();
            for (member, ordinal) in chunk {
                insert.values_panic([batch.as_str().into(), to_sql(*member).into(), i64::from(*ordinal).into()]);
            }
            db.execute(&insert).await.map_err(fault)?;
        }
        let insert = Query::insert()
            .into_table("consent_set")
            .columns(["batch", "ordinals"])
            .values_panic([batch.as_str().into(), set.into()])
            .take();
        db.execute(&insert).await.map_err(fault)?;
    }
    Ok(())
}

async fn with_new_ordinals(db: &DatabaseTransaction, subjects: &[String]) -> Result<BTreeMap<String, u32>, StoreError> {
    let mut known = ordinals(db, subjects).await?;
    let mut next = next_ordinal(db).await?;
    let mut fresh = Vec::new();
    for subject in subjects {
        if known.contains_key(subject) {
            continue;
        }
        known.insert(subject.clone(), next);
        fresh.push((subject.as_str(), next));
        next = next.checked_add(1).ok_or_else(|| StoreError::invalid("there are no more ordinals for subjects"))?;
    }
    for chunk in fresh.chunks(INSERT_ROWS_MAX) {
        let mut insert = Query::insert().into_table("consent_subject").columns(["subject", "ordinal"]).take();
        for (subject, ordinal) in chunk {
            insert.values_panic([(*subject).into(), i64::from(*ordinal).into()]);
        }
        db.execute(&insert).await.map_err(|error| StoreError::database("writing the subjects of consents", error))?;
    }
    Ok(known)
}

async fn ordinals<C: ConnectionTrait>(db: &C, subjects: &[String]) -> Result<BTreeMap<String, u32>, StoreError> {
    let fault = |error| StoreError::database("reading the subjects of consents", error);
    let mut found = BTreeMap::new();
    for chunk in subjects.chunks(INSERT_ROWS_MAX) {
        let query = Query::select()
            .columns(["subject", "ordinal"])
            .from("consent_subject")
            .and_where(Expr::col("subject").is_in(chunk.iter().map(String::as_str)))
            .take();
        for row in db.query_all(&query).await.map_err(fault)? {
            let subject: String = row.try_get_by_index(0).map_err(fault)?;
            found.insert(subject, ordinal_of(row.try_get_by_index(1).map_err(fault)?)?);
        }
    }
    Ok(found)
}

async fn next_ordinal<C: ConnectionTrait>(db: &C) -> Result<u32, StoreError> {
    let fault = |error| StoreError::database("reading the subjects of consents", error);
    let query = Query::select().expr(Expr::col("ordinal").max()).from("consent_subject").take();
    let row = db.query_one(&query).await.map_err(fault)?;
    let last: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose().map_err(fault)?.flatten();
    last.map_or(Ok(0), |last| ordinal_of(last.saturating_add(1)))
}

fn of_subject() -> Expr {
    Expr::col(("consent_subject", "ordinal")).equals(("consent_row", "ordinal"))
}

fn ordinal_of(stored: i64) -> Result<u32, StoreError> {
    u32::try_from(stored).map_err(|_| StoreError::Unreadable {
        what: "the subjects of consents",
        problem: format!("{stored} is no ordinal"),
    })
}

fn decoded(bytes: &[u8]) -> Result<Vec<u32>, StoreError> {
    let (ordinals, rest) = bytes.as_chunks::<ORDINAL_BYTES>();
    if !rest.is_empty() {
        let problem = "its length is not that of whole ordinals".to_owned();
        return Err(StoreError::Unreadable { what: "a set of consents", problem });
    }
    Ok(ordinals.iter().map(|ordinal| u32::from_le_bytes(*ordinal)).collect())
}
