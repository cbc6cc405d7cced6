//! What a use of an order debits: an account for each unit that its quota limits, over the whole term and over the day; and
//! those of the links above it that set a quota for all orders below them together.
//!
//! Calls and data sets are reserved before a question is answered; rows and subjects as an answer is about to leave, bytes some
//! ahead, so that nothing leaves that was not debited. All of it is settled by the receipt, also of what a crash cut off: what it
//! says was used stays debited, the rest comes back. Distinct subjects are counted in rows of their own, since no receipt can tell
//! who was new (`subjects`).

mod subjects;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Date;
use lingqu_crypto::IndexKey;
use lingqu_domain::calendar::day_of;
use lingqu_domain::id::OrderId;
use lingqu_domain::order::{Quota, QuotaUnit};
use lingqu_domain::refusal::Refusal;
use lingqu_domain::shared_quota::QuotaLink;
use lingqu_domain::state::State;
use lingqu_engine::product::Product;
use lingqu_engine::{Engine, EngineError, KeptMemory};
use lingqu_store::quota::{CHUNK_MAX, Debit, SubjectDigest};
use roaring::RoaringTreemap;

use crate::app::App;
use crate::error::AppError;
use crate::serving::Serving;

pub(crate) use subjects::CountedSubjects;
pub use subjects::{HeldSubjects, lets_out};

/// The largest chunk of one lease of rows.
const CHUNK_ROWS_MAX: u64 = 100_000;
/// The largest chunk of one lease of bytes.
const CHUNK_BYTES_MAX: u64 = 64 << 20;

/// What is used at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Calls.
    pub calls: u64,
    /// Data sets.
    pub data_sets: u64,
    /// Rows of answers.
    pub rows: u64,
    /// Bytes of answers.
    pub bytes: u64,
}

impl Use {
    fn amount(&self, unit: QuotaUnit) -> u64 {
        match unit {
            QuotaUnit::Calls => self.calls,
            QuotaUnit::DataSets => self.data_sets,
            QuotaUnit::Rows => self.rows,
            QuotaUnit::Bytes => self.bytes,
            // They are counted, not added up.
            QuotaUnit::Subjects => 0,
        }
    }
}

/// A quota account that an order debits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaPlace {
    /// Whether it is of a link above the order, which other orders debit too.
    pub is_shared: bool,
    /// What it counts.
    pub unit: QuotaUnit,
    /// The day that it is for; none: the whole term.
    pub day: Option<Date>,
    /// Its name.
    pub account: String,
    /// Its limit.
    pub limit: u64,
}

/// The name of an account. The owner is an order, or a link above it ([`QuotaLink::owner`]).
pub(crate) fn quota_account(owner: &str, unit: QuotaUnit, day: Option<Date>) -> String {
    match day {
        None => format!("{owner}/{}", unit.code()),
        Some(day) => format!("{owner}/{}/{day}", unit.code()),
    }
}

/// Owner, unit and day of an account's name.
pub(crate) fn parts_of(account: &str) -> Option<(&str, QuotaUnit, Option<Date>)> {
    let (owner, rest) = account.split_once('/')?;
    let (unit, day) = match rest.split_once('/') {
        Some((unit, day)) => (unit, Some(day.parse().ok()?)),
        None => (rest, None),
    };
    let unit = QuotaUnit::ALL.into_iter().find(|known| known.code() == unit)?;
    Some((owner, unit, day))
}

/// The limit of an account of an order with this quota; none where the quota has none.
pub(crate) fn limit_of(quota: &Quota, unit: QuotaUnit, day: Option<Date>) -> Option<u64> {
    if day.is_some() { quota.limit_per_day(unit) } else { quota.limit(unit) }
}

/// Whether an account is of a link above orders, by its name.
pub(crate) fn is_shared(account: &str) -> bool {
    parts_of(account).is_some_and(|(owner, _, _)| owner.parse::<OrderId>().is_err())
}

/// The limit of an account by its name; none where the journal knows nobody who set one.
pub(crate) fn limit_of_account(state: &State, account: &str) -> Option<u64> {
    let (owner, unit, day) = parts_of(account)?;
    match owner.parse::<OrderId>() {
        Ok(order) => limit_of(&state.orders.get(&order)?.value.details.quota, unit, day),
        Err(_) => QuotaLink::set_by(state, owner)?.limit(unit, day.is_some()),
    }
}

/// The accounts that an order debits for a unit, over the whole term or over a day.
pub(crate) fn accounts_of(state: &State, order: &OrderId, unit: QuotaUnit, day: Option<Date>) -> Vec<String> {
    let own = state.orders.get(order).and_then(|found| limit_of(&found.value.details.quota, unit, day));
    let own = own.map(|_| quota_account(order.as_str(), unit, day));
    let shared = QuotaLink::above_order(state, order).into_iter().filter_map(|link| {
        link.quota.limit(unit, day.is_some())?;
        Some(quota_account(&link.owner(), unit, day))
    });
    own.into_iter().chain(shared).collect()
}

impl App {
    /// The day on which a delivery counts that begins now, by the time that its receipts have ([`App::delivery_time`]): whoever adds
    /// up the receipts of a day finds no more than it has. None where neither the order nor a link above it has a quota per day.
    pub fn quota_day(&self, serving: &Serving) -> Option<Date> {
        let grant = &serving.grant;
        let is_by_day =
            grant.quota.per_day.is_some() || grant.shared_quotas.iter().any(|link| link.quota.per_day.is_some());
        is_by_day.then(|| day_of(self.delivery_time()))
    }

    /// The accounts that an order debits, its own first, with those of a day.
    pub fn quota_places(&self, serving: &Serving, day: Option<Date>) -> Vec<QuotaPlace> {
        places_of(serving, day, |_| true)
    }

    /// Whether a quota counts a unit of what an order uses, on a day or in all.
    pub fn is_counted(&self, serving: &Serving, day: Option<Date>, unit: QuotaUnit) -> bool {
        !places_of(serving, day, |wanted| wanted == unit).is_empty()
    }

    /// The quota accounts that a use of an order debits.
    pub fn quota_debits(&self, serving: &Serving, day: Option<Date>, used: &Use) -> Vec<Debit> {
        let mut debits = Vec::new();
        for QuotaPlace { unit, account, limit, .. } in places_of(serving, day, |unit| used.amount(unit) > 0) {
            let amount = used.amount(unit);
            let chunk_max = match unit {
                QuotaUnit::Rows => CHUNK_ROWS_MAX,
                QuotaUnit::Bytes => CHUNK_BYTES_MAX,
                QuotaUnit::Calls | QuotaUnit::DataSets | QuotaUnit::Subjects => CHUNK_MAX,
            };
            debits.push(Debit { account, limit, amount, chunk_max });
        }
        debits
    }

    /// The subjects of rows of a serving's product.
    async fn subjects_of_rows(
        &self,
        serving: &Serving,
        rows: &RoaringTreemap,
    ) -> Result<BTreeSet<SubjectDigest>, AppError> {
        if serving.is_live() {
            return self.subjects_of_live_rows(serving, rows);
        }
        let product = match self.row_subjects(serving).await? {
            SubjectsOfRows::Kept(kept) => return Ok(kept.of(rows)),
            SubjectsOfRows::OnDisk(product) => product,
        };
        let (key, rows) = (self.keys.identity.clone(), rows.clone());
        let read = tokio::task::spawn_blocking(move || subjects_on_disk(&product, &key, &rows)).await;
        read.map_err(|error| AppError::Fault(format!("reading the subjects ended early: {error}")))?
    }

    /// The subjects of live rows. Their names are all that is known of them afterwards; where the rows of a resource are its
    /// subjects, that is enough. Error: `invalid` elsewhere.
    fn subjects_of_live_rows(
        &self,
        serving: &Serving,
        rows: &RoaringTreemap,
    ) -> Result<BTreeSet<SubjectDigest>, AppError> {
        let is_row_a_subject = self.read(|state| {
            serving.grant.inputs.keys().all(|resource| {
                let details = state.resources.get(resource).map(|found| &found.value.details);
                details.is_some_and(|details| details.subject.as_slice() == details.key)
            })
        });
        if !is_row_a_subject || !serving.details.further_subjects.is_empty() {
            return Err(Refusal::invalid(
                "quota",
                "数据不入库且主键不是主体标识的产品不能按主体数限额",
                "subjects of live data can be counted only where the resource's key is its subject; leave this limit out",
            )
            .into());
        }
        let name = |row: u64| {
            let mut digest = SubjectDigest::default();
            digest[..8].copy_from_slice(&row.to_be_bytes());
            digest
        };
        Ok(rows.iter().map(name).collect())
    }

    /// This process's share of the quota accounts.
    pub fn quota(&self) -> &lingqu_store::quota::Quota {
        &self.quota
    }
}

/// The accounts that an order debits for some units, with those of a day.
fn places_of(serving: &Serving, day: Option<Date>, is_wanted: impl Fn(QuotaUnit) -> bool) -> Vec<QuotaPlace> {
    let grant = &serving.grant;
    let periods: &[Option<Date>] = if day.is_some() { &[None, day] } else { &[None] };
    let mut places = Vec::new();
    let mut add = |owner: &str, is_shared: bool, limit_of: &dyn Fn(QuotaUnit, Option<Date>) -> Option<u64>| {
        for unit in QuotaUnit::ALL.into_iter().filter(|unit| is_wanted(*unit)) {
            for day in periods {
                if let Some(limit) = limit_of(unit, *day) {
                    let account = quota_account(owner, unit, *day);
                    places.push(QuotaPlace { is_shared, unit, day: *day, account, limit });
                }
            }
        }
    };
    add(grant.order.as_str(), false, &|unit, day| limit_of(&grant.quota, unit, day));
    for link in &grant.shared_quotas {
        add(&link.owner(), true, &|unit, day| link.quota.limit(unit, day.is_some()));
    }
    places
}

/// The digest under which a subject is counted: the same in every version of a product.
fn subject_digest(key: &IndexKey, name: &str) -> SubjectDigest {
    let digest = key.digest("quota subject", name.trim().as_bytes());
    let mut short = SubjectDigest::default();
    short.copy_from_slice(&digest.0[..size_of::<SubjectDigest>()]);
    short
}

/// The subjects of a product's rows, in memory that queries lend.
pub(crate) struct RowSubjects {
    /// Ordinals by row, a list for each subject column; [`NO_SUBJECT`] for a row without one.
    ordinals: Vec<Vec<u32>>,
    digests: Vec<SubjectDigest>,
    _memory: KeptMemory,
}

/// No ordinal: a product has fewer subjects.
const NO_SUBJECT: u32 = u32::MAX;

impl RowSubjects {
    /// Reads a product's subjects; not on a thread that serves others. None when there is no memory to keep them in: then
    /// they are looked up on the disk ([`subjects_on_disk`]).
    pub(crate) fn read(product: &Product, key: &IndexKey, engine: &Engine) -> Result<Option<RowSubjects>, AppError> {
        let columns = product.subject_column_count();
        let (rows, subjects) = (usize::try_from(product.rows), usize::try_from(product.subjects));
        let (Ok(rows), Ok(subjects)) = (rows, subjects) else { return Ok(None) };
        let ordinals_bytes = rows.saturating_mul(columns).saturating_mul(size_of::<u32>());
        let bytes = ordinals_bytes.saturating_add(subjects.saturating_mul(size_of::<SubjectDigest>()));
        let Some(memory) = engine.keep_memory(bytes) else { return Ok(None) };
        // Exactly as much as is kept, and no more when the product's files have more than its manifest says.
        let mut ordinals: Vec<Vec<u32>> = (0..columns).map(|_| Vec::with_capacity(rows)).collect();
        let visit = &mut |column: usize, ordinal: Option<u32>| {
            if ordinals[column].len() < rows {
                ordinals[column].push(ordinal.unwrap_or(NO_SUBJECT));
            }
        };
        product.visit_row_subjects(None, visit).map_err(EngineError::from)?;
        let mut digests = Vec::with_capacity(subjects);
        let visit = &mut |name: &str| {
            if digests.len() < subjects {
                digests.push(subject_digest(key, name));
            }
        };
        product.visit_subjects(visit).map_err(EngineError::from)?;
        Ok(Some(RowSubjects { ordinals, digests, _memory: memory }))
    }

    /// The subjects of some rows.
    pub(crate) fn of(&self, rows: &RoaringTreemap) -> BTreeSet<SubjectDigest> {
        let mut subjects = BTreeSet::new();
        for row in rows.iter().filter_map(|row| usize::try_from(row).ok()) {
            for ordinals in &self.ordinals {
                let ordinal = ordinals.get(row).filter(|ordinal| **ordinal != NO_SUBJECT);
                subjects.extend(ordinal.and_then(|ordinal| self.digests.get(*ordinal as usize)));
            }
        }
        subjects
    }
}

/// Where the subjects of a product's rows are.
pub(crate) enum SubjectsOfRows {
    /// In memory.
    Kept(Arc<RowSubjects>),
    /// In its files alone.
    OnDisk(Product),
}

/// The subjects of some rows, read from the product's files; not on a thread that serves others. Slower, and in memory are
/// those subjects alone.
fn subjects_on_disk(
    product: &Product,
    key: &IndexKey,
    rows: &RoaringTreemap,
) -> Result<BTreeSet<SubjectDigest>, AppError> {
    let mut ordinals = RoaringTreemap::new();
    let visit = &mut |_: usize, ordinal: Option<u32>| ordinals.extend(ordinal.map(u64::from));
    product.visit_row_subjects(Some(rows), visit).map_err(EngineError::from)?;
    let mut subjects = BTreeSet::new();
    let visit = &mut |name: &str| {
        subjects.insert(subject_digest(key, name));
    };
    product.visit_subjects_of(&ordinals, visit).map_err(EngineError::from)?;
    Ok(subjects)
}

#[cfg(test)]
mod tests {
    use lingqu_domain::scope::{ColumnName, Precision};
    use lingqu_engine::governed::{Governance, GovernedTable};
    use lingqu_engine::product::{ProductSpec, ProductStore};
    use lingqu_engine::snapshot::SnapshotStore;
    use lingqu_engine::source::{Source, SourceOptions};
    use lingqu_engine::{EngineSettings, Limits, PseudonymKeys};

    use super::*;

    #[test]
    fn an_account_is_found_again_by_its_name() {
        let order = format!("ord_{}", "a".repeat(32));
        let permit = format!("pmt_{}.res_{}", "b".repeat(32), "c".repeat(32));
        let day = jiff::civil::date(2026, 11, 28);
        for owner in [&order, &permit] {
            for unit in QuotaUnit::ALL {
                for day in [None, Some(day)] {
                    let account = quota_account(owner, unit, day);
                    assert_eq!(parts_of(&account), Some((owner.as_str(), unit, day)), "{account}");
                }
            }
        }
        for other in ["calls", &format!("{order}/other"), &format!("{order}/calls/today")] {
            assert_eq!(parts_of(other), None, "{other}");
        }
    }

    /// Kept in memory or read from the disk, the subjects of rows are the same.
    #[tokio::test]
    async fn subjects_are_the_same_from_memory_and_from_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut csv = "id,seller,buyer\n".to_owned();
        for id in 0..500 {
            let buyer = if id % 50 == 0 { String::new() } else { format!("person-{}", id / 10) };
            csv.push_str(&format!("{id},person-{},{buyer}\n", id % 37));
        }
        std::fs::write(at("deals.csv"), csv).unwrap();
        let source = Source::open(&at("deals.csv"), SourceOptions::default()).unwrap();
        let snapshots = SnapshotStore::open(&at("snapshots")).unwrap();
        let snapshot = snapshots.write_source("res_deals", &source).await.unwrap();
        let name = |column: &str| ColumnName::new(column).unwrap();
        let governance = Governance {
            name: "deals".to_owned(),
            columns: ["id", "seller", "buyer"].map(|column| (name(column), Precision::Exact)).to_vec(),
            rows: Vec::new(),
            consent: None,
            keys: PseudonymKeys::default(),
            marks: None,
        };
        let table = GovernedTable::new(snapshot.files, &governance).unwrap();
        let settings = EngineSettings::moderate(at("spill"));
        let engine = Arc::new(Engine::new(&settings).unwrap());
        let spec = ProductSpec {
            sql: "select id, seller, buyer from deals".to_owned(),
            key: vec![name("id")],
            subject: Some(name("seller")),
            further_subjects: vec![name("buyer")],
        };
        let products = ProductStore::open(&at("products")).unwrap();
        let product =
            products.materialise(&engine, "prd_1", "set_1", &spec, &[table], Limits::default()).await.unwrap();
        let key = IndexKey::from_bytes([7; 32]);
        let kept = RowSubjects::read(&product, &key, &engine).unwrap().expect("there is room");
        for rows in [vec![], vec![0], vec![49, 50, 51], (0..500).step_by(7).collect(), (0..500).collect::<Vec<u64>>()] {
            let rows: RoaringTreemap = rows.into_iter().collect();
            let found = subjects_on_disk(&product, &key, &rows).unwrap();
            assert_eq!(found, kept.of(&rows), "{rows:?}");
            assert!(rows.is_empty() || !found.is_empty());
        }
        assert_eq!(kept.of(&(0..500).collect()).len() as u64, product.subjects);
        // What is kept is taken out of what queries lend, and where that is too little nothing is kept.
        let spill = at("small");
        let small = EngineSettings { memory_bytes_max: 4_096, spill_directory: spill, ..settings };
        assert!(RowSubjects::read(&product, &key, &Engine::new(&small).unwrap()).unwrap().is_none());
    }
}
