//! Replay: fold the journal from nothing and hold against it everything that it determines: read tables, postings, service
//! keys, quota accounts, the vault's index and what was to be erased; then the receipts against log, index and metering
//! windows, and the published log against the database. It holds the folded state and a page of each thing at a time.

mod consents;
mod erasures;
mod keys;
mod marks;
mod receipts;

use std::collections::BTreeMap;

use lingqu_crypto::DigestPair;
use lingqu_domain::event::Recorded;
use lingqu_domain::state::{EntityKind, State};
use lingqu_store::Store;
use lingqu_store::journal::{READ_LIMIT_MAX, Record, committed_bytes};
use lingqu_store::posting::{NewPosting, PAGE_POSTINGS_MAX, PostingFilter};
use lingqu_store::row::{PAGE_ROWS_MAX, RowFilter};
use lingqu_transparency::{LogEntry, RecordKind};
use serde::Serialize;

use crate::app::{App, recorded};
use crate::command::postings_of;
use crate::error::AppError;

/// Most differences that are listed.
const DIFFERENCES_MAX: usize = 100;

/// Where journal and tables disagree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The row.
    pub id: String,
    /// How it differs.
    pub problem: String,
}

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// True when journal, tables, postings, keys, receipts and log agree.
    pub agrees: bool,
    /// Events folded.
    pub events: u64,
    /// Rows compared.
    pub rows: u64,
    /// Postings compared.
    pub postings: u64,
    /// Receipt records compared with log entries and index, and followed from opening to closing.
    pub receipts: u64,
    /// Metering windows recounted from the receipts.
    pub metering_windows: u64,
    /// Service keys compared.
    pub service_keys: u64,
    /// Commitments to keys of marks that were opened with the stored shares.
    pub mark_keys: u64,
    /// Entries of the published log that were compared with the database, and with its tiles.
    pub log_entries: u64,
    /// Where they differ, at most a hundred.
    pub differences: Vec<Difference>,
}

impl App {
    /// Folds the journal from nothing, in one consistent view of the database, and compares.
    pub async fn replay_check(&self) -> Result<ReplayReport, AppError> {
        let view = self.store.snapshot().await?;
        let mut state = State::default();
        let mut postings: BTreeMap<(String, u64), NewPosting> = BTreeMap::new();
        let mut service_keys = keys::Keys::default();
        let mut withdrawals = consents::Withdrawals::default();
        let mut committed = CommittedEntry::default();
        let mut report = ReplayReport::default();
        loop {
            let records = view.read_after(state.position, READ_LIMIT_MAX).await?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                if let Some(problem) = committed.problem_of(&self.store, record).await? {
                    report.add("journal", &record.position.to_string(), problem);
                }
                let recorded: Recorded = recorded(record)?;
                for posting in postings_of(&recorded.stream, &recorded.event) {
                    postings.insert((posting.transaction_id.clone(), posting.line), posting);
                }
                service_keys.fold(record, &recorded);
                withdrawals.fold(&recorded);
                state.apply(&recorded)?;
            }
        }
        report.events = state.position;
        for kind in EntityKind::ALL {
            compare_table(&view, &state, *kind, &mut report).await?;
        }
        compare_postings(&view, postings, &mut report).await?;
        service_keys.compare(&view, &mut report).await?;
        self.compare_mark_shares(&view, &state, &mut report).await?;
        self.compare_consents(&view, &state, &withdrawals, &mut report).await?;
        self.compare_erasures(&state, &mut report).await?;
        let used = self.compare_receipts(&view, &state, &mut report).await?;
        drop(view);
        self.compare_quota(&used, &mut report).await?;
        match lingqu_store::log::check_log(&self.store, &self.log_reader()?, self.twin_reader()?.as_ref()).await {
            Ok(entries) => report.log_entries = entries,
            Err(error) => report.add("log_entry", "log", error.to_string()),
        }
        report.agrees = report.differences.is_empty();
        Ok(report)
    }
}

/// The log entry that the records at hand are committed by; most share one with their neighbours.
#[derive(Default)]
struct CommittedEntry {
    index: Option<u64>,
    entry: Option<LogEntry>,
}

impl CommittedEntry {
    /// What is wrong with a record as the log's entry has it: a journal that was rewritten consistently with its tables
    /// still differs from what was committed.
    async fn problem_of(&mut self, store: &Store, record: &Record) -> Result<Option<String>, AppError> {
        if self.index != Some(record.log_entry) {
            let bytes = store.log_entry(record.log_entry).await?;
            self.entry = bytes.and_then(|bytes| LogEntry::decode(&bytes).ok());
            self.index = Some(record.log_entry);
        }
        let digests = DigestPair::of_salted(&record.salt, &committed_bytes(record));
        let is_committed = self.entry.as_ref().is_some_and(|entry| {
            entry.kind() == RecordKind::Journal && entry.pair_at(record.position) == Some(&digests)
        });
        let problem = || format!("the record is not what log entry {} committed to", record.log_entry);
        Ok((!is_committed).then(problem))
    }
}

impl ReplayReport {
    fn add(&mut self, table: &str, id: &str, problem: impl Into<String>) {
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(Difference { table: table.to_owned(), id: id.to_owned(), problem: problem.into() });
        }
    }
}

async fn compare_table(
    view: &lingqu_store::snapshot::Snapshot,
    state: &State,
    kind: EntityKind,
    report: &mut ReplayReport,
) -> Result<(), AppError> {
    let table = kind.table();
    let mut expected: BTreeMap<String, lingqu_domain::state::Row> =
        state.rows(kind).into_iter().map(|row| (row.id.clone(), row)).collect();
    let mut after = None;
    loop {
        let filter = RowFilter { after: after.clone(), limit: PAGE_ROWS_MAX, ..RowFilter::default() };
        let page = view.rows(table, &filter).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for row in page {
            report.rows += 1;
            let Some(folded) = expected.remove(&row.id) else {
                report.add(table, &row.id, "the table has a row that the journal does not lead to");
                continue;
            };
            let fields = [
                ("body", row.body == folded.body),
                ("stream_version", row.stream_version == folded.stream_version),
                ("state", row.state == folded.state),
                ("title", row.title == folded.title),
                ("owner", row.owner == folded.owner),
                ("created_at", row.created_at == folded.created_at.to_string()),
                ("updated_at", row.updated_at == folded.updated_at.to_string()),
            ];
            for (field, is_same) in fields {
                if !is_same {
                    report.add(table, &row.id, format!("{field} is not what the journal leads to"));
                }
            }
        }
    }
    for id in expected.into_keys() {
        report.add(table, &id, "the journal leads to a row that the table does not have");
    }
    Ok(())
}

async fn compare_postings(
    view: &lingqu_store::snapshot::Snapshot,
    mut expected: BTreeMap<(String, u64), NewPosting>,
    report: &mut ReplayReport,
) -> Result<(), AppError> {
    let mut after = None;
    loop {
        let filter = PostingFilter { after: after.clone(), limit: PAGE_POSTINGS_MAX, ..PostingFilter::default() };
        let page = view.postings(&filter).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.line.transaction_id.clone(), last.line.line));
        for posting in page {
            report.postings += 1;
            let key = (posting.line.transaction_id.clone(), posting.line.line);
            if expected.remove(&key).as_ref() != Some(&posting.line) {
                report.add("posting", &format!("{}#{}", key.0, key.1), "the line is not what the journal leads to");
            }
        }
    }
    for (transaction, line) in expected.into_keys() {
        report.add(
            "posting",
            &format!("{transaction}#{line}"),
            "the journal leads to a line that the table does not have",
        );
    }
    Ok(())
}
