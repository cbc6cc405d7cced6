//! The journal of decisions: append-only, one writer at a time, gap-free positions in commit order.
//!
//! An [`Append`] is what one decision writes, and it is written whole or not at all: records, read-table rows, postings,
//! vault items, logins, keys, the idempotency answer, and the log entries that commit to the records. A decision names
//! the streams it read with the versions it saw; under the writer's lock nothing can move between that check and the
//! commit, so a permit can't slip past a suspension that commits at the same time.

use std::cmp::min;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::Timestamp;
use lingqu_crypto::{DigestPair, Salt};
use lingqu_transparency::{ENTRY_PAIRS_MAX, LogEntry, RecordKind};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Order, Query};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use serde_json::Value;

use crate::canonical::{canonical_json, canonical_string};
use crate::consent::{self, Consenting};
use crate::error::{AppendError, StoreError};
use crate::idempotency::{self, Idempotency};
use crate::identity::{self, NewLogin};
use crate::log::{insert_entry, next_entry_index};
use crate::mark_share::{self, MarkShare};
use crate::posting::{self, NewPosting};
use crate::row::{self, RowChange};
use crate::service_key::{self, ServiceKeyChange};
use crate::store::{Store, WriterLock, from_sql, random, to_sql};
use crate::vault::{self, VaultItem};

/// The stream that stands for the whole journal among an append's reads: its version is the last position. A decision that
/// looked through a collection names it, so that whatever is appended meanwhile is a conflict.
pub const JOURNAL_STREAM: &str = "journal";
/// Most records of one append.
pub const RECORDS_MAX: usize = 10_000;
/// Most streams that one append may name as read.
pub const READS_MAX: usize = 40_000;
/// Most rows, and likewise postings and vault items, of one append.
pub const ITEMS_MAX: usize = 20_000;
/// Most records that one read returns.
pub const READ_LIMIT_MAX: u32 = 1_000;
/// Most bytes of one record's canonical body.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rows per INSERT: far below the drivers' limits of bound values (32,766 in SQLite).
pub(crate) const INSERT_ROWS_MAX: usize = 500;

/// What one decision writes, in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Append {
    /// The command that was decided.
    pub command_id: String,
    /// Who gave it: an id, never a name.
    pub actor: String,
    /// When, RFC 3339 with offset. Not before the journal's last record.
    pub at: String,
    /// The rulebook and calendar version that decided.
    pub rulebook_version: String,
    /// The streams that were read, with the version seen; 0 for a stream that does not exist yet.
    pub reads: Vec<(String, u64)>,
    /// The events, at least one. A stream that isn't among `reads` must be new.
    pub records: Vec<NewRecord>,
    /// Rows of the read tables to insert or replace; each at most once.
    pub rows: Vec<RowChange>,
    /// Lines of balanced ledger transactions.
    pub postings: Vec<NewPosting>,
    /// Personal data, sealed before it is written.
    pub vault: Vec<VaultItem>,
    /// Who consents by the records.
    pub consenting: Vec<Consenting>,
    /// Logins to create.
    pub logins: Vec<NewLogin>,
    /// Service keys to issue or revoke.
    pub service_keys: Vec<ServiceKeyChange>,
    /// Shares of the keys that an order's copies are marked with; those that are there already stay as they are.
    pub mark_shares: Vec<MarkShare>,
    /// The key under which a repeated request gets the same answer.
    pub idempotency: Option<Idempotency>,
}

/// An event to be appended to a stream.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The stream, by the id of its entity.
    pub stream: String,
    /// The kind of event.
    pub kind: String,
    /// The event. No personal data: references into the vault and salted digests stand for it.
    pub body: Value,
}

/// What became of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is durable.
    New {
        /// Positions of its records.
        positions: Range<u64>,
        /// Indexes of the log entries that commit to them.
        log_entries: Range<u64>,
    },
    /// The same request with the same idempotency key was appended before; nothing was written now.
    Repeated {
        /// The answer given then.
        response: String,
    },
}

/// A record as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Position in the journal, from 1, without gaps.
    pub position: u64,
    /// When, RFC 3339 with offset.
    pub at: String,
    /// The command that was decided.
    pub command_id: String,
    /// Who gave it.
    pub actor: String,
    /// The stream.
    pub stream: String,
    /// Version of the stream that this record makes, from 1.
    pub stream_version: u64,
    /// The kind of event.
    pub kind: String,
    /// The rulebook and calendar version that decided.
    pub rulebook_version: String,
    /// The event as canonical JSON.
    pub body: String,
    /// Salt of the digests in the log.
    pub salt: Salt,
    /// The log entry that holds the record's digests.
    pub log_entry: u64,
}

/// The bytes of a record that the log commits to, after its salt: the canonical JSON (RFC 8785) of an object with the
/// members `actor`, `at`, `body`, `command_id`, `kind`, `position`, `rulebook_version`, `stream` and `stream_version`.
/// This encoding is a contract with everyone who holds evidence and never changes.
pub fn committed_bytes(record: &Record) -> Vec<u8> {
    let text = format!(
        "{{\"actor\":{},\"at\":{},\"body\":{},\"command_id\":{},\"kind\":{},\"position\":{},\"rulebook_version\":{},\"stream\":{},\"stream_version\":{}}}",
        canonical_string(&record.actor),
        canonical_string(&record.at),
        record.body,
        canonical_string(&record.command_id),
        canonical_string(&record.kind),
        record.position,
        canonical_string(&record.rulebook_version),
        canonical_string(&record.stream),
        record.stream_version,
    );
    text.into_bytes()
}

impl Store {
    /// Appends one decision. When this returns [`Appended::New`], it is durable.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] when a stream moved, [`AppendError::ClockRanBack`], [`AppendError::KeyReused`],
    /// [`AppendError::Erased`]; [`StoreError::Invalid`] when the append itself is malformed or beyond a limit. After an
    /// error nothing is kept, except that after [`StoreError::Unreachable`] the commit may have reached the server: send it
    /// again with the same idempotency key.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        const DOING: &str = "appending to the journal";
        let bodies = check(&append)?;
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let db = write.db();
        if let Some(idempotency) = &append.idempotency
            && let Some(response) = idempotency::answered(db, idempotency, &append.at).await?
        {
            return Ok(Appended::Repeated { response });
        }
        let versions = check_reads(db, &append).await?;
        let last = last_position_and_time(db).await?;
        check_clock(&append.at, last.as_ref())?;

        let first_position = last.map_or(1, |(position, _)| position + 1);
        let first_entry = next_entry_index(db).await?;
        let records = number_records(&append, bodies, versions, first_position, first_entry)?;
        let log_entries = insert_log_entries(db, &records, first_entry).await?;
        insert_records(db, &records).await?;
        bump_streams(db, &records).await?;
        let last_position = first_position + records.len() as u64 - 1;
        row::upsert(db, &append.rows, last_position).await?;
        posting::insert(db, &append.postings, last_position).await?;
        consent::insert(db, &append.consenting).await?;
        if !append.vault.is_empty() {
            write.take(WriterLock::Vault, DOING).await?;
            vault::insert(db, self.vault_key(), &append.vault).await?;
        }
        identity::insert_logins(db, self.vault_key(), &append.logins, &append.at).await?;
        service_key::apply(db, &append.service_keys, &append.at).await?;
        mark_share::insert(db, &append.mark_shares, &append.at).await?;
        if let Some(idempotency) = &append.idempotency {
            idempotency::remember(db, idempotency).await?;
        }
        write.commit(DOING).await?;
        Ok(Appended::New { positions: first_position..last_position + 1, log_entries })
    }

    /// Waits until each append of this process that was given up before the call is either in the journal or will never be:
    /// a commit that nobody waits for any more still comes to its end.
    ///
    /// # Errors
    /// [`StoreError::Locked`]; faults of the database.
    pub async fn settled(&self) -> Result<(), StoreError> {
        // Whoever has the writer's lock has it after them.
        self.begin_write(WriterLock::Journal, "waiting for the writer").await.map(drop)
    }

    /// Position of the last record; 0 when the journal is empty.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn head(&self) -> Result<u64, StoreError> {
        head(self.db()).await
    }

    /// At most `limit` records after `position`, in order; `limit` is capped at [`READ_LIMIT_MAX`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn read_after(&self, position: u64, limit: u32) -> Result<Vec<Record>, StoreError> {
        read_after(self.db(), position, limit).await
    }

    /// All records of one stream after `version`, in order, at most `limit` (capped at [`READ_LIMIT_MAX`]).
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn read_stream(&self, stream: &str, version: u64, limit: u32) -> Result<Vec<Record>, StoreError> {
        let query = select_records()
            .and_where(Expr::col("stream").eq(stream))
            .and_where(Expr::col("stream_version").gt(to_sql(version)))
            .order_by("stream_version", Order::Asc)
            .limit(u64::from(min(limit, READ_LIMIT_MAX)))
            .take();
        records_of(self.db(), &query).await
    }

    /// The versions of `streams`; those that don't exist are 0. At most [`READS_MAX`] names.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for too many names; faults of the database.
    pub async fn stream_versions(&self, streams: &[&str]) -> Result<BTreeMap<String, u64>, StoreError> {
        if streams.len() > READS_MAX {
            return Err(StoreError::invalid(format!(
                "{} streams were asked for at once; ask for at most {READS_MAX}",
                streams.len()
            )));
        }
        stream_versions(self.db(), streams).await
    }
}

/// Checks limits and form before the database is touched; gives the canonical bodies.
fn check(append: &Append) -> Result<Vec<String>, StoreError> {
    if append.records.is_empty() {
        return Err(StoreError::invalid("the append has no record; a state changes only by an event"));
    }
    for (what, count, max) in [
        ("records", append.records.len(), RECORDS_MAX),
        ("streams read", append.reads.len(), READS_MAX),
        ("rows", append.rows.len(), ITEMS_MAX),
        ("postings", append.postings.len(), ITEMS_MAX),
        ("vault items", append.vault.len(), ITEMS_MAX),
        ("shares of keys", append.mark_shares.len(), mark_share::SHARES_MAX),
    ] {
        if count > max {
            return Err(StoreError::invalid(format!("the append has {count} {what}; split it, the most is {max}")));
        }
    }
    row::check(&append.rows)?;
    posting::check(&append.postings)?;
    consent::check(&append.consenting)?;
    let mut bodies = Vec::with_capacity(append.records.len());
    for record in &append.records {
        let body =
            canonical_json(&record.body).map_err(|error| StoreError::invalid(format!("{}: {error}", record.kind)))?;
        if body.len() > BODY_BYTES_MAX {
            return Err(StoreError::invalid(format!(
                "{} has a body of {} bytes; the most is {BODY_BYTES_MAX}",
                record.kind,
                body.len()
            )));
        }
        bodies.push(body);
    }
    Ok(bodies)
}

/// Checks that nothing the decision read has moved; gives the versions of all streams it read or writes.
async fn check_reads(db: &DatabaseTransaction, append: &Append) -> Result<BTreeMap<String, u64>, AppendError> {
    let mut names: BTreeSet<&str> = append.reads.iter().map(|(stream, _)| stream.as_str()).collect();
    names.extend(append.records.iter().map(|record| record.stream.as_str()));
    let names: Vec<&str> = names.into_iter().collect();
    let mut versions = stream_versions(db, &names).await?;
    for (stream, expected) in &append.reads {
        let found = if stream == JOURNAL_STREAM { head(db).await? } else { versions[stream] };
        if found != *expected {
            return Err(AppendError::Conflict { stream: stream.clone(), expected: *expected, found });
        }
    }
    let read: BTreeSet<&str> = append.reads.iter().map(|(stream, _)| stream.as_str()).collect();
    for record in &append.records {
        let found = versions[&record.stream];
        if found != 0 && !read.contains(record.stream.as_str()) {
            return Err(AppendError::Conflict { stream: record.stream.clone(), expected: 0, found });
        }
    }
    let written: BTreeSet<&str> = append.records.iter().map(|record| record.stream.as_str()).collect();
    versions.retain(|stream, _| written.contains(stream.as_str()));
    Ok(versions)
}

fn check_clock(at: &str, last: Option<&(u64, String)>) -> Result<(), AppendError> {
    let now: Timestamp = parse_time(at)?;
    let Some((_, last_at)) = last else { return Ok(()) };
    if now < parse_time(last_at)? {
        return Err(AppendError::ClockRanBack { at: at.to_owned(), last: last_at.clone() });
    }
    Ok(())
}

/// Reads an RFC 3339 time with offset.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, StoreError> {
    text.parse()
        .map_err(|_| StoreError::invalid("a time isn't RFC 3339 with an offset, such as 2026-01-31T09:00:00+08:00"))
}

fn number_records(
    append: &Append,
    bodies: Vec<String>,
    mut versions: BTreeMap<String, u64>,
    first_position: u64,
    first_entry: u64,
) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::with_capacity(bodies.len());
    for (index, (new, body)) in append.records.iter().zip(bodies).enumerate() {
        let version = versions.get_mut(&new.stream).expect("check_reads returns every written stream");
        *version += 1;
        records.push(Record {
            position: first_position + index as u64,
            at: append.at.clone(),
            command_id: append.command_id.clone(),
            actor: append.actor.clone(),
            stream: new.stream.clone(),
            stream_version: *version,
            kind: new.kind.clone(),
            rulebook_version: append.rulebook_version.clone(),
            body,
            salt: Salt(random()?),
            log_entry: first_entry + (index / ENTRY_PAIRS_MAX) as u64,
        });
    }
    Ok(records)
}

async fn insert_log_entries(
    db: &DatabaseTransaction,
    records: &[Record],
    first_entry: u64,
) -> Result<Range<u64>, StoreError> {
    let mut index = first_entry;
    for chunk in records.chunks(ENTRY_PAIRS_MAX) {
        let digests =
            chunk.iter().map(|record| DigestPair::of_salted(&record.salt, &committed_bytes(record))).collect();
        let entry = LogEntry::new(RecordKind::Journal, chunk[0].position, digests)
            .map_err(|error| StoreError::invalid(format!("a log entry can't be made: {error}")))?;
        insert_entry(db, index, &entry).await?;
        index += 1;
    }
    Ok(first_entry..index)
}

const RECORD_COLUMNS: [&str; 11] = [
    "position",
    "at",
    "command_id",
    "actor",
    "stream",
    "stream_version",
    "kind",
    "rulebook_version",
    "body",
    "salt",
    "log_entry",
];

async fn insert_records(db: &DatabaseTransaction, records: &[Record]) -> Result<(), StoreError> {
    for chunk in records.chunks(INSERT_ROWS_MAX) {
        let mut insert = Query::insert().into_table("journal").columns(RECORD_COLUMNS).take();
        for record in chunk {
            insert.values_panic([
                to_sql(record.position).into(),
                record.at.as_str().into(),
                record.command_id.as_str().into(),
                record.actor.as_str().into(),
                record.stream.as_str().into(),
                to_sql(record.stream_version).into(),
                record.kind.as_str().into(),
                record.rulebook_version.as_str().into(),
                record.body.as_str().into(),
                record.salt.0.to_vec().into(),
                to_sql(record.log_entry).into(),
            ]);
        }
        db.execute(&insert).await.map_err(|error| StoreError::database("writing records", error))?;
    }
    Ok(())
}

async fn bump_streams(db: &DatabaseTransaction, records: &[Record]) -> Result<(), StoreError> {
    let versions: BTreeMap<&str, u64> =
        records.iter().map(|record| (record.stream.as_str(), record.stream_version)).collect();
    let versions: Vec<(&str, u64)> = versions.into_iter().collect();
    for chunk in versions.chunks(INSERT_ROWS_MAX) {
        let mut insert = Query::insert().into_table("stream").columns(["stream", "version"]).take();
        for (stream, version) in chunk {
            insert.values_panic([(*stream).into(), to_sql(*version).into()]);
        }
        insert.on_conflict(OnConflict::column("stream").update_column("version").to_owned());
        db.execute(&insert).await.map_err(|error| StoreError::database("writing stream versions", error))?;
    }
    Ok(())
}

async fn stream_versions<C: ConnectionTrait>(db: &C, streams: &[&str]) -> Result<BTreeMap<String, u64>, StoreError> {
    const DOING: &str = "reading stream versions";
    let fault = |error| StoreError::database(DOING, error);
    let mut versions: BTreeMap<String, u64> = streams.iter().map(|stream| ((*stream).to_owned(), 0)).collect();
    for chunk in streams.chunks(INSERT_ROWS_MAX) {
        let query = Query::select()
            .columns(["stream", "version"])
            .from("stream")
            .and_where(Expr::col("stream").is_in(chunk.iter().copied()))
            .take();
        for row in db.query_all(&query).await.map_err(fault)? {
            let stream: String = row.try_get_by_index(0).map_err(fault)?;
            versions.insert(stream, from_sql(DOING, row.try_get_by_index(1).map_err(fault)?)?);
        }
    }
    Ok(versions)
}

async fn last_position_and_time<C: ConnectionTrait>(db: &C) -> Result<Option<(u64, String)>, StoreError> {
    const DOING: &str = "reading the journal's head";
    let fault = |error| StoreError::database(DOING, error);
    let query =
        Query::select().columns(["position", "at"]).from("journal").order_by("position", Order::Desc).limit(1).take();
    let Some(row) = db.query_one(&query).await.map_err(fault)? else { return Ok(None) };
    Ok(Some((from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)?, row.try_get_by_index(1).map_err(fault)?)))
}

pub(crate) async fn head<C: ConnectionTrait>(db: &C) -> Result<u64, StoreError> {
    Ok(last_position_and_time(db).await?.map_or(0, |(position, _)| position))
}

pub(crate) async fn read_after<C: ConnectionTrait>(
    db: &C,
    position: u64,
    limit: u32,
) -> Result<Vec<Record>, StoreError> {
    let query = select_records()
        .and_where(Expr::col("position").gt(to_sql(position)))
        .order_by("position", Order::Asc)
        .limit(u64::from(min(limit, READ_LIMIT_MAX)))
        .take();
    records_of(db, &query).await
}

fn select_records() -> sea_orm::sea_query::SelectStatement {
    Query::select().columns(RECORD_COLUMNS).from("journal").take()
}

async fn records_of<C: ConnectionTrait>(
    db: &C,
    query: &sea_orm::sea_query::SelectStatement,
) -> Result<Vec<Record>, StoreError> {
    let rows = db.query_all(query).await.map_err(|error| StoreError::database("reading the journal", error))?;
    rows.iter().map(record_of).collect()
}

fn record_of(row: &QueryResult) -> Result<Record, StoreError> {
    const WHAT: &str = "a journal record";
    let fault = |error| StoreError::database("reading a journal record", error);
    let salt: Vec<u8> = row.try_get_by_index(9).map_err(fault)?;
    let salt = salt
        .try_into()
        .map_err(|_| StoreError::Unreadable { what: WHAT, problem: "its salt isn't 16 bytes".to_owned() })?;
    Ok(Record {
        position: from_sql(WHAT, row.try_get_by_index(0).map_err(fault)?)?,
        at: row.try_get_by_index(1).map_err(fault)?,
        command_id: row.try_get_by_index(2).map_err(fault)?,
        actor: row.try_get_by_index(3).map_err(fault)?,
        stream: row.try_get_by_index(4).map_err(fault)?,
        stream_version: from_sql(WHAT, row.try_get_by_index(5).map_err(fault)?)?,
        kind: row.try_get_by_index(6).map_err(fault)?,
        rulebook_version: row.try_get_by_index(7).map_err(fault)?,
        body: row.try_get_by_index(8).map_err(fault)?,
        salt: Salt(salt),
        log_entry: from_sql(WHAT, row.try_get_by_index(10).map_err(fault)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_bytes_are_the_golden_ones() {
        let body = canonical_json(&serde_json::json!({"to": "sus\"pended", "from": "active", "why": "检查"})).unwrap();
        let record = Record {
            position: 7,
            at: "2026-03-02T09:00:00+08:00".into(),
            command_id: "cmd_1".into(),
            actor: "usr_1".into(),
            stream: "mdt_1".into(),
            stream_version: 2,
            kind: "mandate_suspended".into(),
            rulebook_version: "2026-1".into(),
            body,
            salt: Salt([0; 16]),
            log_entry: 3,
        };
        let golden = include_str!("../golden/committed_record.json");
        assert_eq!(String::from_utf8(committed_bytes(&record)).unwrap(), golden.trim_end());
    }
}
