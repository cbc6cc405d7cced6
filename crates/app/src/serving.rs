//! Serving an order: its grant as of now, compiled into governed tables over the materialised product.

mod marks;
mod meanings;
mod recent;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use lingqu_crypto::{Sha256Digest, sha256};
use lingqu_domain::consent::needed;
use lingqu_domain::event::canonical;
use lingqu_domain::grant::{Grant, GrantInput};
use lingqu_domain::id::OrderId;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::receipt::RowNaming;
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::scope::{ColumnName, Mode, Scope};
use lingqu_engine::federation::{LiveLookup, LiveProduct};
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::lookup::{BlockCache, LookupTable, ProductIndex};
use lingqu_engine::product::{Product, ProductSpec};
use lingqu_engine::release::ReleaseRecord;
use lingqu_engine::session::{
    AnswerShape, Contributors, Described, Dominance, GovernedSession, SmallGroups, StatisticsRules,
};
use lingqu_engine::{Limits, PseudonymKeys, RawTable, SchemaView, TableFiles};

use crate::app::App;
use crate::consent::{Epoch, HeldConsents, ProductSubjects, ServedSubjects, Wanted};
use crate::error::AppError;
use crate::fingerprint::Layings;
use crate::privacy::{ConsumerLedger, noised_rules};
use crate::quota::{CountedSubjects, RowSubjects, SubjectsOfRows};
use crate::release::{ConsumerRecord, recipient};
use crate::serving::marks::ServedMarks;
use crate::serving::recent::Recent;

pub use crate::serving::meanings::{MEANING_CHARACTERS_MAX, Meanings};

/// The modes in which live data is delivered: all but the one that hands out a state of the data, since there is none.
const LIVE_MODES: [Mode; 4] = [Mode::Rows, Mode::Statistics, Mode::Lookup, Mode::Verification];
/// What the reading of the rows of some keys of live data may use; where the keys can't be told to the database, that is
/// all rows of the grant.
const LIVE_LOOKUP_ROWS_MAX: u64 = 10_000_000;
/// Orders whose compiled grant is kept: those that asked last.
const SERVINGS_MAX: usize = 16_384;
/// Product indexes that are kept in memory.
const INDEXES_MAX: usize = 16;
/// Most bytes that the sets of consenting subjects of compiled grants take together.
const CONSENT_SETS_BYTES_MAX: usize = 256 << 20;
/// Most bytes that the subjects of products served with consent take together; one product's are kept in any case.
const SUBJECTS_BYTES_MAX: usize = 1 << 30;

/// What is kept between requests.
pub(crate) struct ServingCache {
    servings: Mutex<Recent<OrderId, Arc<Serving>>>,
    indexes: Mutex<BTreeMap<String, Arc<ServedProduct>>>,
    /// Rows of all products that were asked for by key last.
    blocks: Arc<BlockCache>,
    making: tokio::sync::Mutex<()>,
    pub(crate) layings: Layings,
    pub(crate) counted: CountedSubjects,
}

impl Default for ServingCache {
    fn default() -> ServingCache {
        ServingCache {
            servings: Mutex::new(Recent::new(SERVINGS_MAX, CONSENT_SETS_BYTES_MAX)),
            indexes: Mutex::default(),
            blocks: Arc::default(),
            making: tokio::sync::Mutex::default(),
            layings: Layings::default(),
            counted: CountedSubjects::default(),
        }
    }
}

/// What a grant is applied to.
enum ServedData {
    /// A materialised product.
    Made(Product),
    /// A product over data that stays in its department's database, and its columns.
    Live(Arc<LiveProduct>, SchemaView),
}

impl ServedData {
    fn raw(&self) -> RawTable {
        match self {
            ServedData::Made(product) => Arc::clone(&product.files).into(),
            ServedData::Live(product, _) => Arc::clone(product).into(),
        }
    }
}

/// A product with what is read from it once.
struct ServedProduct {
    data: ServedData,
    index: Mutex<Option<Arc<ProductIndex>>>,
    blocks: Arc<BlockCache>,
    /// Its subjects, where it is served with consent.
    subjects: Option<ServedSubjects>,
    /// The subjects of its rows, where a quota counts them.
    row_subjects: tokio::sync::Mutex<Option<Arc<RowSubjects>>>,
}

/// An order's grant as of a moment, ready to be served. Valid for new requests only as long as
/// [`App::serving`] gives the same one; running streams ask [`App::still_granted`] before each batch.
pub struct Serving {
    /// The grant.
    pub grant: Grant,
    /// Its digest: what receipts and ETags carry.
    pub grant_digest: String,
    /// The product.
    pub details: ProductDetails,
    /// Versions of the snapshots, as `resource@version`.
    pub snapshots: Vec<String>,
    /// Digest of rights, snapshots, consents and marks: the same question under the same policy digest has the same answer.
    pub policy_digest: String,
    /// Digest of rights alone: a running stream goes on while it is the same and nobody of `consents` is lost.
    right_digest: String,
    served: Arc<ServedProduct>,
    engine: Arc<lingqu_engine::Engine>,
    keys: PseudonymKeys,
    /// Who consented, where that is required.
    consents: Option<HeldConsents>,
    /// What makes it the consumer's copy, where it delivers rows of a marked product.
    marks: Option<ServedMarks>,
    /// The product's files with decoys, where its copies have some.
    decoyed: Option<Arc<TableFiles>>,
    /// What statistics its consumer was given.
    record: Arc<ConsumerRecord>,
    /// Its privacy accounts and the answers with noise that it was given.
    ledger: Arc<ConsumerLedger>,
    /// Names the data that the grant sees: its snapshots, what of them the product is made from, the consents and the marks.
    data_digest: String,
    /// Names the snapshots and rights that the product is made from.
    made_from: String,
    /// Key of the digests that stand in it.
    contributor_key: [u8; 16],
    lookups: RwLock<BTreeMap<Mode, Arc<LookupTable>>>,
    /// Rows of a copy of the whole, once they were counted.
    rows_of_copy: tokio::sync::OnceCell<Option<u64>>,
    /// Journal position at which the grant was last found unchanged.
    checked_position: AtomicU64,
    /// The first moment at which time alone changes it.
    holds_until: Option<jiff::Timestamp>,
    /// Up to which journal position, and before which moment, running streams were found to go on.
    running: Mutex<(u64, Option<jiff::Timestamp>)>,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Serving").field("order", &self.grant.order).finish_non_exhaustive()
    }
}

impl Serving {
    /// True when nothing was written since the grant was found unchanged and its term, and that of every consent, still
    /// runs.
    fn is_checked_at(&self, position: u64, now: jiff::Timestamp) -> bool {
        self.checked_position.load(Ordering::Acquire) == position
            && self.holds_until.is_none_or(|until| now < until)
            && !self.is_outdated()
    }

    /// True when running streams were found to go on and nothing was written since.
    fn runs_on_at(&self, position: u64, now: jiff::Timestamp) -> bool {
        let (checked, until) = *self.running.lock().unwrap_or_else(PoisonError::into_inner);
        checked == position && until.is_none_or(|until| now < until)
    }

    /// The product's columns.
    pub fn schema(&self) -> &SchemaView {
        match &self.served.data {
            ServedData::Made(product) => &product.schema,
            ServedData::Live(_, schema) => schema,
        }
    }

    /// The product's rows; none where they are not the node's to count.
    pub fn rows(&self) -> Option<u64> {
        match &self.served.data {
            ServedData::Made(product) => Some(product.rows),
            ServedData::Live(..) => None,
        }
    }

    /// How many rows the order's copy of the whole data set has: those that its grant, the consents and its marks leave of this
    /// version. Counted once, when it is first asked for; none of live data, of which there is no copy. Errors: `mode_not_granted`
    /// without the mode of files; `busy`, or what the scan failed of.
    pub async fn rows_of_copy(&self) -> Result<Option<u64>, AppError> {
        let count = || async { Ok::<_, AppError>(self.table(Mode::File)?.count_rows(&self.engine).await?) };
        self.rows_of_copy.get_or_try_init(count).await.copied()
    }

    /// Whether the data stays in its department's database and is read for each answer.
    pub fn is_live(&self) -> bool {
        matches!(self.served.data, ServedData::Live(..))
    }

    /// Whether the department has changed its table since, so that it must be opened again.
    fn is_outdated(&self) -> bool {
        matches!(&self.served.data, ServedData::Live(product, _) if product.is_outdated())
    }

    /// Whether it is of live data that a grant sees in the same way, so that the department need not be asked again.
    fn is_live_data_of(&self, grant: &Grant, details: &ProductDetails) -> bool {
        self.is_live()
            && !self.is_outdated()
            && self.grant.product == grant.product
            && self.details == *details
            && self.grant.scope.consent_required == grant.scope.consent_required
            && inputs_digest(&self.grant.inputs) == inputs_digest(&grant.inputs)
    }

    /// What the product was made from, as its folder is named; none for live data.
    pub fn made_from(&self) -> Option<String> {
        (!self.is_live()).then(|| self.made_from.clone())
    }

    /// What a receipt's row sets hold.
    pub fn rows_named_by(&self) -> RowNaming {
        if self.is_live() { RowNaming::KeyDigest } else { RowNaming::Number }
    }

    /// Bytes that the set of consenting subjects takes.
    fn consent_bytes(&self) -> usize {
        self.consents.as_ref().map_or(0, |consents| consents.set.memory_bytes())
    }

    /// Refuses a mode that the grant does not have.
    pub fn must_allow(&self, mode: Mode) -> Result<(), Refusal> {
        if self.is_live() && !LIVE_MODES.contains(&mode) {
            return Err(Refusal::new(
                RefusalCode::ModeNotGranted,
                mode.code(),
                format!(
                    "数据不入库的产品没有快照，不以 {} 方式交付；请使用 rows、statistics、lookup 或 verification",
                    mode.code()
                ),
                format!(
                    "live data has no snapshot, so it is not delivered in the mode {}; ask for rows, statistics, lookup or verification",
                    mode.code()
                ),
            ));
        }
        if self.grant.scope.modes.contains(&mode) && !self.grant.scope.visible_in(mode).is_empty() {
            return Ok(());
        }
        let modes: Vec<&str> = self.grant.scope.modes.iter().map(|mode| mode.code()).collect();
        Err(Refusal::new(
            RefusalCode::ModeNotGranted,
            mode.code(),
            format!("本订单未授权以 {} 方式交付；已授权：{}", mode.code(), modes.join("、")),
            format!("this order does not grant the mode {}; it grants {}", mode.code(), modes.join(", ")),
        ))
    }

    /// The governed table of a mode.
    fn table(&self, mode: Mode) -> Result<Arc<GovernedTable>, AppError> {
        self.must_allow(mode)?;
        let governance = Governance::of_scope(
            self.details.table.as_str(),
            &self.grant.scope,
            mode,
            self.keys.clone(),
            self.consents.as_ref().map(|consents| Arc::clone(&consents.set)),
        )
        .map_err(lingqu_engine::EngineError::from)?
        .with_marks(self.marks.as_ref().map(|served| Arc::clone(&served.marks)));
        // Keyed access stands on the index of the product alone; a product with decoys has none of these modes.
        let raw = match (&self.decoyed, mode) {
            (Some(files), Mode::Compute | Mode::Rows | Mode::File) => Arc::clone(files).into(),
            _ => self.served.data.raw(),
        };
        let table = match mode {
            Mode::Statistics => GovernedTable::for_statistics(raw, &governance),
            _ => GovernedTable::new(raw, &governance),
        };
        Ok(table.map_err(lingqu_engine::EngineError::from)?)
    }

    /// Keyed access in verification or lookup mode, if it has been opened. It never waits: while it is being opened there is
    /// none.
    pub fn opened_lookup(&self, mode: Mode) -> Option<Arc<LookupTable>> {
        self.lookups.try_read().ok()?.get(&mode).cloned()
    }

    /// Keyed access in verification or lookup mode. The first use reads the product into memory.
    pub fn lookup(&self, mode: Mode) -> Result<Arc<LookupTable>, AppError> {
        self.must_allow(mode)?;
        let mut lookups = self.lookups.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = lookups.get(&mode) {
            return Ok(Arc::clone(lookup));
        }
        let lookup = Arc::new(LookupTable::new(self.served.index()?, self.table(mode)?)?);
        lookups.insert(mode, Arc::clone(&lookup));
        Ok(lookup)
    }

    /// Keyed access in verification or lookup mode to data that stays in its department's database; none where the data is
    /// here and has an index. Error: `mode_not_granted`.
    pub fn live_lookup(&self, mode: Mode) -> Result<Option<LiveLookup>, AppError> {
        if !self.is_live() {
            return Ok(None);
        }
        let limits = Limits { rows_max: LIVE_LOOKUP_ROWS_MAX, ..Limits::default() };
        Ok(Some(LiveLookup::new(&self.engine, self.table(mode)?, &self.details.key, limits)?))
    }

    /// The table as a mode shows it, whatever may be asked of it. Nothing is read. Error: `mode_not_granted`.
    pub async fn table_described(&self, mode: Mode) -> Result<Described, AppError> {
        let session = GovernedSession::new(&self.engine, &[self.table(mode)?], Limits::default(), AnswerShape::Rows)?;
        let schema = session.table_schema(self.details.table.as_str()).await?;
        Ok(Described { schema, parameters: Vec::new() })
    }

    /// How statistics are given: with noise where a right sets a privacy budget, else guarded.
    fn statistics(&self) -> Result<AnswerShape, AppError> {
        self.must_allow(Mode::Statistics)?;
        let contributors = Contributors {
            key: self.details.key.clone(),
            subject: self.details.subject.clone(),
            digest_key: self.contributor_key,
        };
        let noised = noised_rules(&self.grant, &self.details, &self.data_digest, contributors.clone(), &self.ledger)?;
        Ok(match noised {
            Some(rules) => AnswerShape::Noised(Box::new(rules)),
            None => AnswerShape::Statistics(StatisticsRules {
                dimensions: self.details.dimensions.iter().cloned().collect::<BTreeSet<ColumnName>>(),
                cohort_floor: self.grant.scope.cohort_floor,
                small_groups: SmallGroups::Suppress,
                dominance: Dominance::default(),
                contributors,
                record: Arc::clone(&self.record) as Arc<dyn ReleaseRecord>,
            }),
        })
    }

    /// A session that holds this order's table and nothing else.
    pub fn session(&self, mode: Mode, limits: Limits) -> Result<GovernedSession, AppError> {
        let shape = match mode {
            Mode::Statistics => self.statistics()?,
            _ => AnswerShape::Rows,
        };
        Ok(GovernedSession::new(&self.engine, &[self.table(mode)?], limits, shape)?)
    }
}

impl ServedProduct {
    /// The materialised product. Error: there is none, because the data is live.
    fn made(&self) -> Result<&Product, Refusal> {
        match &self.data {
            ServedData::Made(product) => Ok(product),
            ServedData::Live(..) => Err(Refusal::new(
                RefusalCode::ModeNotGranted,
                "live",
                "数据不入库的产品没有物化的数据",
                "live data is not made into files, so this can't be done with it",
            )),
        }
    }

    fn index(&self) -> Result<Arc<ProductIndex>, AppError> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = &*index {
            return Ok(Arc::clone(index));
        }
        let opened = Arc::new(ProductIndex::open(self.made()?, &self.blocks)?);
        *index = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

impl App {
    /// Opens the order of a service key for delivery: the grant as of the journal's head, compiled. Errors:
    /// `bad_service_key`; the refusal that names the link which is not in force.
    pub async fn serving(&self, key: &str) -> Result<Arc<Serving>, AppError> {
        self.refresh().await?;
        let order = self.order_of_key(key).await?;
        self.serving_of(&order).await
    }

    /// Refuses whoever has no service key, by the hash of what he shows, so that no more is read of what he sends. What the holder of one is
    /// served is another question, which is asked when all of it is there. Error: `bad_service_key`.
    pub async fn must_know_key(&self, hash: Sha256Digest) -> Result<(), AppError> {
        if self.order_of_hash(hash).await.is_err() {
            // One that another process issued is known once the journal has been read.
            self.refresh().await?;
            self.order_of_hash(hash).await?;
        }
        Ok(())
    }

    pub(crate) async fn serving_of(&self, order: &OrderId) -> Result<Arc<Serving>, AppError> {
        let kept = self.serving.servings.lock().unwrap_or_else(PoisonError::into_inner).get(order);
        let now = self.delivery_time();
        if let Some(kept) = &kept
            && kept.is_checked_at(self.read(|state| state.position), now)
        {
            return Ok(Arc::clone(kept));
        }
        let (position, grant, details, is_unchanged) = self.read(|state| {
            let grant = Grant::of(state, order, now)?;
            let is_unchanged = kept.as_ref().is_some_and(|kept| {
                kept.has_current_keys(state)
                    && self.is_policy(kept, &grant, now)
                    && grant.digest() == kept.grant_digest
                    && recipient(state, &grant) == *kept.record.recipient()
            });
            let details = match state.products.get(&grant.product) {
                Some(product) => product.value.details.clone(),
                None => return Err(Refusal::not_found(&grant.product)),
            };
            Ok((state.position, grant, details, is_unchanged))
        })?;
        if let Some(kept) = &kept
            && is_unchanged
            && kept.ledger.is_current(&grant).await?
        {
            kept.checked_position.store(position, Ordering::Release);
            if kept.is_checked_at(position, now) {
                return Ok(Arc::clone(kept));
            }
        }
        let serving = Arc::new(self.compile(position, grant, details, kept.as_deref()).await?);
        let mut servings = self.serving.servings.lock().unwrap_or_else(PoisonError::into_inner);
        servings.insert(order.clone(), Arc::clone(&serving), serving.consent_bytes());
        Ok(serving)
    }

    /// Refuses when the grant that a serving was compiled from is not the one in force now. Cheap while nothing was
    /// written.
    pub fn still_granted(&self, serving: &Serving) -> Result<(), Refusal> {
        let now = self.delivery_time();
        self.read(|state| {
            if serving.is_checked_at(state.position, now) || serving.runs_on_at(state.position, now) {
                return Ok(());
            }
            let grant = Grant::of(state, &serving.grant.order, now)?;
            let (is_lost, next_change) = match (&serving.consents, &serving.served.subjects) {
                (Some(held), Some(subjects)) => self.has_lost(held, subjects, now),
                _ => (false, None),
            };
            if is_lost || right_digest(&grant) != serving.right_digest || !serving.has_current_keys(state) {
                return Err(Refusal::new(
                    RefusalCode::GrantSuspended,
                    &serving.grant.order,
                    "授权在交付过程中发生变更，请重新请求",
                    "the grant changed while this was delivered; ask again",
                ));
            }
            let until = [Some(grant.scope.term.until), next_change].into_iter().flatten().min();
            *serving.running.lock().unwrap_or_else(PoisonError::into_inner) = (state.position, until);
            Ok(())
        })
    }

    /// Whether the rights, snapshots and consents that a serving was compiled from are those of a grant now.
    fn is_policy(&self, kept: &Serving, grant: &Grant, now: jiff::Timestamp) -> bool {
        let epoch = match &kept.consents {
            Some(_) => match self.consent_epoch(&grant.consumer, now) {
                Some(epoch) => Some(epoch),
                None => return false,
            },
            None => None,
        };
        // The marks of an order are the same as long as its keys are, which who asks looks at.
        policy_digest(grant, epoch, kept.code_id()) == kept.policy_digest
    }

    async fn compile(
        &self,
        position: u64,
        grant: Grant,
        details: ProductDetails,
        kept: Option<&Serving>,
    ) -> Result<Serving, AppError> {
        self.must_be_by_person(&grant, &details).await?;
        let served = match kept.filter(|kept| kept.is_live_data_of(&grant, &details)) {
            Some(kept) => Arc::clone(&kept.served),
            None => self.served_product(&grant, &details).await?,
        };
        let consents = match &served.subjects {
            Some(subjects) if grant.scope.consent_required => {
                let wanted = Wanted {
                    consumer: grant.consumer.clone(),
                    purpose: grant.purpose.clone(),
                    needed: needed(&details, &grant.scope),
                };
                let previous = kept.filter(|kept| Arc::ptr_eq(&kept.served, &served));
                let previous = previous.and_then(|kept| kept.consents.as_ref());
                Some(self.hold_consents(&wanted, subjects, previous).await?)
            }
            _ => None,
        };
        let marks = match self.fingerprint_keys(&grant.order).await? {
            // A leak is traced by comparing it with the originals, and of live data the node has none.
            Some(_) if matches!(served.data, ServedData::Live(..)) => return Err(live_data_is_exact().into()),
            Some(keys) => Some(ServedMarks::of(&keys)?),
            None => None,
        };
        let decoys_per_million = marks.as_ref().map_or(0, |served| served.decoys_per_million);
        let decoyed = match &served.data {
            ServedData::Made(product) if decoys_per_million > 0 => {
                let inputs = inputs_digest(&grant.inputs);
                Some(self.decoyed(&grant, &inputs, product, decoys_per_million).await?.files)
            }
            _ => None,
        };
        let code_id = marks.as_ref().map(|served| served.code_id.as_str());
        let epoch = consents.as_ref().map(|consents| consents.epoch);
        let next_change = consents.as_ref().and_then(|consents| consents.holds_until);
        let pseudonym = |name: &str| Some(self.keys.pseudonym.digest("pseudonym", name.as_bytes()).0);
        let permit = grant.inputs.values().next().map(|input| input.permit.to_string()).unwrap_or_default();
        let keys = PseudonymKeys {
            permit: pseudonym(&permit),
            consumer: pseudonym(grant.consumer.as_str()),
            order: pseudonym(grant.order.as_str()),
        };
        let recipient = self.read(|state| recipient(state, &grant));
        let mut contributor_key = [0; 16];
        contributor_key.copy_from_slice(&self.keys.pseudonym.digest("released statistics", b"").0[..16]);
        let ledger = ConsumerLedger::open(&self.store, &self.clock, recipient.clone(), &grant).await?;
        let made_from = inputs_digest(&grant.inputs);
        let data_digest = match code_id {
            None => canonical(&(&made_from, epoch)),
            Some(code_id) => canonical(&(&made_from, epoch, code_id)),
        };
        let data_digest = sha256(data_digest.as_bytes()).to_string();
        Ok(Serving {
            grant_digest: grant.digest(),
            snapshots: grant
                .inputs
                .iter()
                .map(|(resource, input)| format!("{resource}@{}", input.snapshot_version))
                .collect(),
            policy_digest: policy_digest(&grant, epoch, code_id),
            right_digest: right_digest(&grant),
            holds_until: [Some(grant.scope.term.until), next_change].into_iter().flatten().min(),
            running: Mutex::default(),
            grant,
            details,
            served,
            engine: Arc::clone(&self.engine),
            keys,
            consents,
            marks,
            decoyed,
            ledger: Arc::new(ledger),
            data_digest,
            made_from,
            record: Arc::new(ConsumerRecord::new(&self.store, &self.clock, recipient)),
            contributor_key,
            lookups: RwLock::new(BTreeMap::new()),
            rows_of_copy: tokio::sync::OnceCell::new(),
            checked_position: AtomicU64::new(position),
        })
    }

    /// The product made from the snapshots and rights of a grant, made now if it never was.
    async fn served_product(&self, grant: &Grant, details: &ProductDetails) -> Result<Arc<ServedProduct>, AppError> {
        if grant.scope.consent_required && details.subject.is_none() {
            return Err(Refusal::invalid(
                "subject",
                "需要本人同意的产品须指明主体字段",
                "a product that needs consent names its subject column",
            )
            .into());
        }
        if let Some((product, schema)) = self.live_product(grant, details).await? {
            return Ok(Arc::new(ServedProduct {
                data: ServedData::Live(product, schema),
                index: Mutex::new(None),
                blocks: Arc::clone(&self.serving.blocks),
                subjects: grant.scope.consent_required.then(|| ServedSubjects::Live(Arc::clone(&self.live_identities))),
                row_subjects: tokio::sync::Mutex::default(),
            }));
        }
        let inputs = inputs_digest(&grant.inputs);
        let name = format!("{}/{inputs}", grant.product);
        let kept = |app: &App| {
            let kept = app.serving.indexes.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
            kept.filter(|served| served.subjects.is_some() || !grant.scope.consent_required)
        };
        if let Some(kept) = kept(self) {
            return Ok(kept);
        }
        // The first requests for a product may come all at once; one of them makes it.
        let _turn = self.serving.making.lock().await;
        if let Some(kept) = kept(self) {
            return Ok(kept);
        }
        let mut tables = Vec::new();
        for (resource_id, input) in &grant.inputs {
            let resource = self.resource(resource_id)?;
            let snapshot = self.snapshots.version(resource_id.as_str(), input.snapshot_version).await?;
            // Inside the domain the product is computed over all rows of the scope; consent is applied to the product's
            // subject column at each delivery.
            let in_domain = Scope { consent_required: false, ..input.scope.clone() };
            let table = resource.details.table.as_str();
            let governance = Governance::of_scope(table, &in_domain, Mode::Compute, PseudonymKeys::default(), None)
                .map_err(lingqu_engine::EngineError::from)?;
            tables.push(GovernedTable::new(snapshot.files, &governance).map_err(lingqu_engine::EngineError::from)?);
        }
        let spec = ProductSpec {
            sql: details.sql.clone(),
            key: details.key.clone(),
            subject: details.subject.clone(),
            further_subjects: details.further_subjects.clone(),
        };
        let product = self
            .products
            .materialise(&self.engine, grant.product.as_str(), &inputs, &spec, &tables, making_limits())
            .await?;
        let subjects = if grant.scope.consent_required {
            let (product, key) = (product.clone(), self.keys.identity.clone());
            let read = tokio::task::spawn_blocking(move || ProductSubjects::read(&product, &key)).await;
            let read = read.map_err(|error| AppError::Fault(format!("reading the subjects ended early: {error}")))?;
            Some(ServedSubjects::Made(read?))
        } else {
            None
        };
        let served = Arc::new(ServedProduct {
            data: ServedData::Made(product),
            index: Mutex::new(None),
            blocks: Arc::clone(&self.serving.blocks),
            subjects,
            row_subjects: tokio::sync::Mutex::default(),
        });
        let mut indexes = self.serving.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        let subjects = indexes.values().filter_map(|served| served.subjects.as_ref());
        if indexes.len() >= INDEXES_MAX
            || subjects.map(ServedSubjects::memory_bytes).sum::<usize>() > SUBJECTS_BYTES_MAX
        {
            indexes.clear();
        }
        indexes.insert(name, Arc::clone(&served));
        Ok(served)
    }

    /// What is known of the subjects of the rows of a serving's product, read once; or where they are read from, when there is
    /// no memory to keep them in.
    pub(crate) async fn row_subjects(&self, serving: &Serving) -> Result<SubjectsOfRows, AppError> {
        let mut kept = serving.served.row_subjects.lock().await;
        if let Some(kept) = &*kept {
            return Ok(SubjectsOfRows::Kept(Arc::clone(kept)));
        }
        let product = serving.served.made()?.clone();
        let (read_from, key, engine) = (product.clone(), self.keys.identity.clone(), Arc::clone(&self.engine));
        let read = tokio::task::spawn_blocking(move || RowSubjects::read(&read_from, &key, &engine)).await;
        let read = read.map_err(|error| AppError::Fault(format!("reading the subjects ended early: {error}")))??;
        Ok(match read {
            Some(read) => SubjectsOfRows::Kept(Arc::clone(kept.insert(Arc::new(read)))),
            None => SubjectsOfRows::OnDisk(product),
        })
    }
}

fn live_data_is_exact() -> Refusal {
    Refusal::invalid(
        "marking",
        "数据不入库的产品无原始数据可比对，不得加水印；请取消水印声明，或改以快照供数",
        "of live data there are no originals to trace a leak by, so its copies are not marked; take the marking out, or take the data in as a snapshot",
    )
}

/// What the making of a product may use: as much as a file of it.
fn making_limits() -> Limits {
    Limits { time_max: Duration::from_secs(3_600), rows_max: 1_000_000_000, bytes_max: 256 << 30, ..Limits::default() }
}

/// Names the set of snapshots and of rights to them that a product is made from.
fn inputs_digest(inputs: &BTreeMap<lingqu_domain::id::ResourceId, GrantInput>) -> String {
    let named: BTreeMap<String, (u64, &Scope)> =
        inputs.iter().map(|(resource, input)| (resource.to_string(), (input.snapshot_version, &input.scope))).collect();
    sha256(canonical(&named).as_bytes()).to_string()[..32].to_owned()
}

pub(crate) fn right_digest(grant: &Grant) -> String {
    let inputs: BTreeMap<&str, &Scope> =
        grant.inputs.iter().map(|(resource, input)| (resource.as_str(), &input.scope)).collect();
    sha256(canonical(&(&grant.scope, inputs)).as_bytes()).to_string()
}

/// `consents` names the state of the consents that the grant needs, `code_id` its marks.
fn policy_digest(grant: &Grant, consents: Option<Epoch>, code_id: Option<&str>) -> String {
    let snapshots: BTreeMap<&str, u64> =
        grant.inputs.iter().map(|(resource, input)| (resource.as_str(), input.snapshot_version)).collect();
    let named = (right_digest(grant), snapshots, consents);
    let named = match code_id {
        None => canonical(&named),
        Some(code_id) => canonical(&(named, code_id)),
    };
    sha256(named.as_bytes()).to_string()
}
