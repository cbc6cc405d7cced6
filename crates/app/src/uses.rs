//! The uses of a person's data: every delivery that named a row of his, when, to whom, why and under which permits, each with
//! what others can check it by.
//!
//! A person is tied to row numbers of the products that he is in ([`SubjectRows`]), and these to the records that name them
//! ([`UseIndex`]). Both are hints: what they find is held against the receipts and the product before it is told. A page is
//! bounded work whatever was delivered.

mod entries;
mod found;
mod index;
mod pass;
mod places;
pub(crate) mod row_set;
mod segment;
mod subject_rows;
mod tables;
mod tail;

#[cfg(test)]
mod index_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use lingqu_crypto::{DigestPair, Salt};
use lingqu_domain::id::{ProductId, ReceiptId};
use lingqu_domain::receipt::{Opening, ReceiptBody};
use lingqu_store::log::LogReader;
use lingqu_store::receipt::{ReceiptCommit, ReceiptLog};
use roaring::RoaringTreemap;
use zeroize::Zeroizing;

use crate::app::App;
use crate::error::AppError;
use crate::receipts::parse;
use found::{Found, Hit};
use index::{Wanted, is_live};
use tables::PersonTables;

pub(crate) use index::{UseIndex, blocking, digest_of};
pub use pass::{PASS_LIFE, Person, PersonPass};
pub use row_set::row_set_text;

/// What the names of tables of live rows begin with; those of made products begin with the product's id.
pub(crate) const LIVE_TABLES: &str = "live/";
/// Most uses of a page.
pub const PAGE_USES_MAX: usize = 100;
/// Records that a page takes into the index before it looks; with more of them the node is behind.
const FOLLOW_ON_PAGE_MAX: u64 = 50_000;
/// Records that the background job takes in at once.
const FOLLOW_AT_ONCE: u64 = 50_000;
/// Tables that a page looks for the person in before it ends at the next stretch of the log.
const TABLES_PER_PAGE: usize = 4_096;
/// How often a page begins anew because the index moved on below it.
const ATTEMPTS_MAX: usize = 4;

/// A delivery with rows of a person.
#[derive(Clone, Debug)]
pub struct PersonUse {
    /// Position of the record that it began with.
    pub position: u64,
    /// The delivery.
    pub receipt: ReceiptId,
    /// When it began.
    pub at: Timestamp,
    /// What was known then: who, which order, for what purpose.
    pub opening: Opening,
    /// How many rows of his left the product, by the records below.
    pub rows: u64,
    /// Whether there are more records with rows of his than are shown.
    pub is_cut: bool,
    /// The record that it began with and those that name rows of his.
    pub records: Vec<UseRecord>,
}

/// A record of the receipt log, as far as a person may see it.
#[derive(Clone, Debug)]
pub struct UseRecord {
    /// Its position.
    pub position: u64,
    /// `opened`, `part` or `single`.
    pub kind: String,
    /// Its salted digests, as they stand in the log entry.
    pub digests: DigestPair,
    /// Where the transparency log commits to it; none before that was done.
    pub commit: Option<ReceiptCommit>,
    /// Salt and canonical text; none where the record names rows of others.
    pub told: Option<(Salt, String)>,
}

/// A page of uses.
#[derive(Clone, Debug, Default)]
pub struct UsePage {
    /// Newest first.
    pub uses: Vec<PersonUse>,
    /// The `tlog-proof` of each log entry that commits to a record of the page, by the entry's index; those that the
    /// published checkpoint has.
    pub proofs: BTreeMap<u64, String>,
    /// The same in the twin log over SM3, where the node publishes one.
    pub twin_proofs: BTreeMap<u64, String>,
    /// Products of which the node can't tell whose rows were delivered: live data whose key is not the person, products whose
    /// files are gone, and those with more rows of him than are looked for.
    pub not_tied: BTreeSet<ProductId>,
    /// Records from before receipts told what their rows are numbers of.
    pub untold: u64,
    /// What the next page begins before; none after the last.
    pub next: Option<u64>,
}

/// The table that an opening's rows are of: `product/made from` or `live/product`. None in records from before that was told.
fn table_of(opening: &Opening) -> Option<String> {
    if is_live(opening) {
        return Some(format!("{LIVE_TABLES}{}", opening.product));
    }
    opening.made_from.as_ref().map(|made_from| format!("{}/{made_from}", opening.product))
}

/// What a search came to.
struct Searched {
    hits: Vec<(u64, Hit)>,
    next: Option<u64>,
    not_tied: BTreeSet<ProductId>,
    untold: u64,
}

impl App {
    /// The uses of the data of the person with an identity that the caller has authenticated: those that began before a
    /// position of the receipt log, newest first, at most `limit` (capped at [`PAGE_USES_MAX`]). A page may be short; [`UsePage::next`] says whether there may be more.
    ///
    /// Errors: `behind` while the index is far from the log's end.
    pub async fn uses_of(
        self: &Arc<Self>,
        identity: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<UsePage, AppError> {
        self.must_be_exclusive()?;
        if self.uses.follow(&self.receipts, FOLLOW_ON_PAGE_MAX).await? > 0 {
            return Err(AppError::Behind);
        }
        let limit = limit.clamp(1, PAGE_USES_MAX);
        let mut attempts_left = ATTEMPTS_MAX;
        let searched = loop {
            attempts_left -= 1;
            let (app, identity) = (Arc::clone(self), Zeroizing::new(identity.to_owned()));
            let search = move || search(&app, &identity, before.unwrap_or(u64::MAX), limit);
            match blocking(search).await {
                Err(AppError::Behind) if attempts_left > 0 => {}
                searched => break searched?,
            }
        };
        let mut page =
            UsePage { not_tied: searched.not_tied, untold: searched.untold, next: searched.next, ..UsePage::default() };
        for (position, hit) in searched.hits {
            match use_of(&self.receipts, position, &hit).await? {
                Some(found) => page.uses.push(found),
                None => tracing::warn!(position, "the index of uses names a delivery that the receipts do not"),
            }
        }
        self.prove(&mut page).await?;
        Ok(page)
    }

    /// Takes into the index some of what the receipt log has beyond it; once nothing is left, makes ready the tables that persons
    /// are looked for in. Answers how many records are left.
    pub async fn follow_uses(self: &Arc<Self>) -> Result<u64, AppError> {
        self.must_be_exclusive()?;
        let left = self.uses.follow(&self.receipts, FOLLOW_AT_ONCE).await?;
        if left == 0 {
            let app = Arc::clone(self);
            blocking(move || tables::prepare(&app)).await?;
        }
        Ok(left)
    }

    /// Adds the proofs of the log entries that commit to the records of a page, under the published checkpoints.
    async fn prove(&self, page: &mut UsePage) -> Result<(), AppError> {
        let Some(head) = self.checkpoint().await? else { return Ok(()) };
        let records = page.uses.iter().flat_map(|found| &found.records);
        let entries: BTreeSet<u64> = records.filter_map(|record| Some(record.commit?.log_entry)).collect();
        page.proofs = proofs_of(&self.log_reader()?, &entries, head.size, &head.note).await?;
        if let (Some(twin), Some(reader)) = (&head.twin, self.twin_reader()?) {
            page.twin_proofs = proofs_of(&reader, &entries, twin.size, &twin.note).await?;
        }
        Ok(())
    }
}

/// The proofs of those entries that a checkpoint has.
async fn proofs_of(
    reader: &LogReader,
    entries: &BTreeSet<u64>,
    size: u64,
    note: &str,
) -> Result<BTreeMap<u64, String>, AppError> {
    let indexes: Vec<u64> = entries.range(..size).copied().collect();
    let proofs = reader.proofs_under(&indexes, note).await?;
    Ok(proofs.into_iter().map(|proof| (proof.index, proof.to_text())).collect())
}

/// Looks for a person's deliveries. Blocking.
fn search(app: &App, identity: &str, before: u64, limit: usize) -> Result<Searched, AppError> {
    let mut tables = PersonTables::new(app, identity);
    let mut found = Found::new(before, limit);
    let (mut untold, mut stopped_at) = (0, None);
    for stretch in app.uses.stretches() {
        untold += stretch.untold;
        if stopped_at.is_some() || stretch.least_opening >= before || found.is_enough_from(stretch.after()) {
            continue;
        }
        for table in &stretch.tables {
            let Some(rows) = tables.rows_in(table)? else { continue };
            if !rows.is_empty() {
                app.uses.look(&stretch, &Wanted { table, rows }, &mut found)?;
            }
        }
        if tables.looked_at() > TABLES_PER_PAGE && found.may_stop_at(stretch.first) {
            stopped_at = Some(stretch.first);
        }
    }
    let (mut hits, next) = found.finish(stopped_at);
    for (_, hit) in &mut hits {
        tables.confirm(hit)?;
    }
    hits.retain(|(_, hit)| !hit.rows.is_empty());
    Ok(Searched { hits, next, not_tied: tables.not_tied(), untold })
}

/// A delivery that the index found, held against the receipts; none when they do not say so.
async fn use_of(log: &ReceiptLog, position: u64, hit: &Hit) -> Result<Option<PersonUse>, AppError> {
    let Some(first) = log.read(position).await? else { return Ok(None) };
    let begun = parse(&first)?;
    let opening = match &begun.body {
        ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } => opening.clone(),
        ReceiptBody::Part { .. } | ReceiptBody::Closed { .. } => return Ok(None),
    };
    if table_of(&opening).as_ref() != Some(&hit.table) {
        return Ok(None);
    }
    let mut own = RoaringTreemap::new();
    let mut records = Vec::new();
    let mut positions = hit.positions.clone();
    if !positions.contains(&position) {
        positions.push(position);
    }
    positions.sort_unstable();
    for at in positions {
        let Some(stored) = log.read(at).await? else { continue };
        let record = parse(&stored)?;
        let is_told = match &record.body {
            _ if record.receipt != begun.receipt => continue,
            ReceiptBody::Opened(_) => true,
            ReceiptBody::Part { row_set, .. } | ReceiptBody::Single { row_set, .. } => {
                let rows = row_set::rows_of(row_set).unwrap_or_default();
                let of_person = &rows & &hit.rows;
                if of_person.is_empty() {
                    continue;
                }
                let is_of_him_alone = of_person == rows;
                own |= of_person;
                is_of_him_alone
            }
            ReceiptBody::Closed { .. } => continue,
        };
        let text = String::from_utf8(stored.receipt.record.clone());
        records.push(UseRecord {
            position: at,
            kind: record.kind().to_owned(),
            digests: DigestPair::of_salted(&stored.salt, &stored.receipt.record),
            commit: log.commit_of(at).await?,
            told: text.ok().filter(|_| is_told).map(|text| (stored.salt, text)),
        });
    }
    if own.is_empty() {
        return Ok(None);
    }
    let Hit { is_cut, .. } = hit;
    let (receipt, at) = (begun.receipt, begun.at);
    Ok(Some(PersonUse { position, receipt, at, opening, rows: own.len(), is_cut: *is_cut, records }))
}
