//! Holds what a restarted node has against what its clients were promised.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use lingqu_app::{App, AppSettings, lets_out};
use lingqu_crypto::sha256;
use lingqu_domain::id::OrderId;
use lingqu_domain::order::{Quota, QuotaUnit};
use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord, Totals};
use lingqu_store::journal::{READ_LIMIT_MAX, Record};
use lingqu_store::vault::VaultRead;
use lingqu_tests::scenario::vehicle_of_row;
use roaring::RoaringTreemap;

use crate::load::{Arrived, Promises};

/// The code of a delivery that a crash cut off.
pub const INTERRUPTED: &str = "interrupted";

/// Deliveries whose kept request is compared with the receipt: more than a node has under way at a time.
const REQUESTS_CHECKED: usize = 150;

/// A node's records, read beside the process that serves it.
pub struct Records {
    /// The journal.
    pub journal: Vec<Record>,
    /// The receipt records of each delivery, in order.
    pub deliveries: BTreeMap<String, Vec<ReceiptRecord>>,
    /// Chargeable calls by order.
    pub calls: BTreeMap<String, u64>,
    /// Quota accounts: what is used of each, and what processes hold of it beside.
    pub accounts: BTreeMap<String, (u64, u64)>,
    /// Quotas by order.
    pub quotas: BTreeMap<OrderId, Quota>,
}

impl Records {
    /// Reads everything, and replays the journal.
    pub async fn read(directory: PathBuf, database_url: Option<String>) -> Records {
        let settings = AppSettings { database_url, exclusive: false, ..AppSettings::of(directory) };
        let app = App::open(settings).await.expect("a node can be read beside the process that serves it");
        let replay = app.replay_check().await.expect("the journal can be folded");
        assert!(replay.agrees, "journal and tables differ: {:?}", replay.differences);
        let journal = read_journal(&app).await;
        assert_eq!(replay.events, journal.len() as u64);
        let (deliveries, calls) = read_receipts(&app).await;
        requests_are_kept(&app, &deliveries).await;
        let accounts = read_accounts(&app).await;
        let quotas = app.read(|state| {
            state.orders.iter().map(|(id, order)| (id.clone(), order.value.details.quota.clone())).collect()
        });
        app.close().await.expect("a reader closes");
        Records { journal, deliveries, calls, accounts, quotas }
    }

    /// Nothing acknowledged is lost, nothing was carried out twice, no byte left without its receipt.
    pub fn must_hold(&self, promises: &Promises) {
        self.commands_are_there(promises);
        for arrived in &promises.arrived {
            self.delivery_is_there(arrived);
        }
        for (receipt, records) in &self.deliveries {
            is_well_formed(receipt, records);
        }
    }

    /// Each quota account of an idle node holds what durable receipts say was let out: no more, no less, and nobody has leased
    /// anything of it. None is missing of which they say something.
    pub fn quotas_are_exact(&self) {
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        // Whom answers were about, which a delivery tells of all its rows.
        let mut about: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for records in self.deliveries.values() {
            for (order, lets_out, totals) in totals_of(records) {
                for day in std::iter::once(None).chain(totals.day.map(Some)) {
                    for unit in QuotaUnit::ALL.into_iter().filter(|unit| self.is_limited(order, *unit, day)) {
                        let period = day.map(|day| format!("/{day}")).unwrap_or_default();
                        let account = format!("{order}/{}{period}", unit.code());
                        match used_of(totals, unit) {
                            Some(used) => *expected.entry(account).or_default() += used,
                            None if lets_out => {
                                about
                                    .entry(account)
                                    .or_default()
                                    .extend(rows_named(records).iter().map(vehicle_of_row));
                            }
                            None => {}
                        }
                    }
                }
            }
        }
        expected.extend(about.into_iter().map(|(account, subjects)| (account, subjects.len() as u64)));
        for (account, held) in &self.accounts {
            let receipts = expected.remove(account).unwrap_or(0);
            assert_eq!(*held, (receipts, 0), "{account} holds otherwise than the receipts say");
        }
        expected.retain(|_, receipts| *receipts > 0);
        assert!(expected.is_empty(), "there are no accounts of what the receipts say: {expected:?}");
    }

    fn is_limited(&self, order: &OrderId, unit: QuotaUnit, day: Option<Date>) -> bool {
        let Some(quota) = self.quotas.get(order) else { panic!("{order} is not in the journal") };
        let limit = if day.is_some() { quota.limit_per_day(unit) } else { quota.limit(unit) };
        limit.is_some()
    }

    /// Rows and bytes that were let out to be counted by deliveries that a stop of the node cut off.
    pub fn let_out_in_part(&self) -> (u64, u64) {
        let (mut rows, mut bytes) = (0, 0);
        for record in self.deliveries.values().flatten() {
            if let ReceiptBody::Closed { outcome: Outcome::Stopped { code }, totals } = &record.body
                && code == INTERRUPTED
                && totals.bytes > 0
            {
                rows += totals.answer_rows;
                bytes += totals.bytes;
            }
        }
        (rows, bytes)
    }

    fn commands_are_there(&self, promises: &Promises) {
        let mut by_command: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
        for record in &self.journal {
            by_command.entry(&record.command_id).or_default().push((record.stream.clone(), record.kind.clone()));
        }
        let mut distinct = BTreeSet::new();
        for command in &promises.acknowledged {
            let found = by_command.get(command.command_id.as_str());
            assert_eq!(found, Some(&command.events), "{} was acknowledged", command.command_id);
            assert!(distinct.insert(&command.command_id), "{} answered two different requests", command.command_id);
        }
    }

    fn delivery_is_there(&self, arrived: &Arrived) {
        let Some(records) = self.deliveries.get(&arrived.receipt) else {
            panic!("{} bytes arrived without a receipt: {arrived:?}", arrived.bytes)
        };
        if let Some((found, expected)) = &arrived.result {
            assert_eq!(found, expected, "{}", arrived.receipt);
        }
        let named = rows_named(records);
        let unnamed = &arrived.rows - &named;
        assert!(unnamed.is_empty(), "{}: rows arrived that no receipt names: {unnamed:?}", arrived.receipt);
        if !arrived.is_whole {
            return;
        }
        let last = records.last().expect("a delivery has a record");
        let totals = match &last.body {
            ReceiptBody::Single { totals, .. } | ReceiptBody::Closed { outcome: Outcome::Delivered, totals } => totals,
            other => panic!("{} arrived whole and its record ends with {other:?}", arrived.receipt),
        };
        assert_eq!(totals.bytes, arrived.bytes, "{}", arrived.receipt);
        assert_eq!(totals.answer_rows, arrived.rows.len(), "{}", arrived.receipt);
    }

    /// How many deliveries ended by a code, or `delivered`.
    pub fn ends(&self) -> BTreeMap<String, u64> {
        let mut ends = BTreeMap::new();
        for records in self.deliveries.values() {
            let end = match records.last().map(|record| &record.body) {
                Some(ReceiptBody::Closed { outcome: Outcome::Stopped { code }, .. }) => code.as_str(),
                _ => "delivered",
            };
            *ends.entry(end.to_owned()).or_default() += 1;
        }
        ends
    }
}

/// What a delivery used, of which order, and whether it let anything out, by each record that closes it.
fn totals_of(records: &[ReceiptRecord]) -> Vec<(&OrderId, bool, &Totals)> {
    let order = match records.first().map(|record| &record.body) {
        Some(ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. }) => &opening.order,
        _ => return Vec::new(),
    };
    let totals = records.iter().filter_map(|record| match &record.body {
        ReceiptBody::Single { totals, .. } => Some((order, true, totals)),
        ReceiptBody::Closed { outcome, totals } => Some((order, lets_out(outcome, totals), totals)),
        ReceiptBody::Opened(_) | ReceiptBody::Part { .. } => None,
    });
    totals.collect()
}

/// What a delivery used of a unit that receipts tell.
fn used_of(totals: &Totals, unit: QuotaUnit) -> Option<u64> {
    match unit {
        QuotaUnit::Calls => Some(totals.calls),
        QuotaUnit::DataSets => Some(totals.data_sets),
        QuotaUnit::Rows => Some(totals.answer_rows),
        QuotaUnit::Bytes => Some(totals.bytes),
        QuotaUnit::Subjects => None,
    }
}

async fn read_accounts(app: &Arc<App>) -> BTreeMap<String, (u64, u64)> {
    let mut accounts = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let view = app.store().snapshot().await.expect("the database can be read");
        let page = view.quota_accounts(after.as_deref()).await.expect("the database can be read");
        let Some(last) = page.last() else { return accounts };
        after = Some(last.account.clone());
        accounts.extend(page.into_iter().map(|account| (account.account, (account.used, account.leased))));
    }
}

async fn read_journal(app: &Arc<App>) -> Vec<Record> {
    let mut journal: Vec<Record> = Vec::new();
    loop {
        let page = app.store().read_after(journal.len() as u64, READ_LIMIT_MAX).await.expect("the journal can be read");
        if page.is_empty() {
            break;
        }
        journal.extend(page);
    }
    for (place, record) in journal.iter().enumerate() {
        assert_eq!(record.position, place as u64 + 1, "the journal has a gap");
    }
    journal
}

async fn read_receipts(app: &Arc<App>) -> (BTreeMap<String, Vec<ReceiptRecord>>, BTreeMap<String, u64>) {
    let mut deliveries: BTreeMap<String, Vec<ReceiptRecord>> = BTreeMap::new();
    let mut calls: BTreeMap<String, u64> = BTreeMap::new();
    let mut position = 0;
    loop {
        let limit = lingqu_store::receipt::READ_LIMIT_MAX;
        let page = app.receipts().read_after(position, limit).await.expect("receipts can be read");
        if page.is_empty() {
            return (deliveries, calls);
        }
        for stored in page {
            position += 1;
            assert_eq!(stored.position, position, "the receipt log has a gap");
            let record: ReceiptRecord = serde_json::from_slice(&stored.receipt.record).expect("a record is JSON");
            if let ReceiptBody::Single { totals, .. } | ReceiptBody::Closed { totals, .. } = &record.body {
                *calls.entry(stored.receipt.order_id).or_default() += totals.calls;
            }
            deliveries.entry(record.receipt.to_string()).or_default().push(record);
        }
    }
}

/// The text of a request is durable with its receipt: the receipt's digest is of what is kept.
/// Those deliveries are looked at that may have been under way when the node was killed; ids begin with the time.
async fn requests_are_kept(app: &Arc<App>, deliveries: &BTreeMap<String, Vec<ReceiptRecord>>) {
    for (receipt, records) in deliveries.iter().rev().take(REQUESTS_CHECKED) {
        let opening = match &records[0].body {
            ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } => opening,
            other => panic!("{receipt} begins with {other:?}"),
        };
        let id = receipt.parse().expect("a delivery is named by a receipt's id");
        let VaultRead::Present(salted) = app.request(&id).await.expect("a request can be read") else {
            panic!("the request of {receipt} is not kept")
        };
        assert_eq!(sha256(&salted).to_string(), opening.request_digest, "{receipt}");
    }
}

/// A delivery is one single record, or an opening, parts in order, and one closing. Nothing stays open.
fn is_well_formed(receipt: &str, records: &[ReceiptRecord]) {
    let [first, rest @ ..] = records else { panic!("{receipt} has no record") };
    if matches!(first.body, ReceiptBody::Single { .. }) {
        assert!(rest.is_empty(), "{receipt} is a single record with something after it");
        return;
    }
    let ReceiptBody::Opened(opening) = &first.body else { panic!("{receipt} begins with {:?}", first.body) };
    let Some((last, parts)) = rest.split_last() else { panic!("{receipt} stays open") };
    for (place, part) in parts.iter().enumerate() {
        let ReceiptBody::Part { number, .. } = &part.body else { panic!("{receipt} has {:?} inside", part.body) };
        assert_eq!(*number, place as u64, "{receipt} lacks a part");
    }
    let ReceiptBody::Closed { outcome, totals } = &last.body else { panic!("{receipt} stays open") };
    if let Outcome::Stopped { code } = outcome {
        assert_eq!((totals.calls, totals.data_sets), (0, 0), "{receipt} was stopped and costs something");
        if code == INTERRUPTED {
            let counted = Totals { day: opening.day, ..let_out(parts) };
            assert_eq!(*totals, counted, "{receipt} was counted otherwise than its parts let out");
        }
    }
}

/// What the parts of a delivery that was cut off let out.
fn let_out(parts: &[ReceiptRecord]) -> Totals {
    let mut totals = Totals::default();
    for part in parts {
        if let ReceiptBody::Part { answer_rows, bytes_reserved, rows, .. } = &part.body {
            totals.answer_rows += answer_rows;
            totals.bytes += bytes_reserved;
            totals.rows += rows;
        }
    }
    totals
}

fn rows_named(records: &[ReceiptRecord]) -> RoaringTreemap {
    let mut named = RoaringTreemap::new();
    for record in records {
        if let ReceiptBody::Part { row_set, .. } | ReceiptBody::Single { row_set, .. } = &record.body {
            let bytes = STANDARD.decode(row_set).expect("a row set is base64");
            named |= RoaringTreemap::deserialize_from(&bytes[..]).expect("a row set is a bitmap");
        }
    }
    named
}
