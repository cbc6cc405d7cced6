//! Serving an order: its grant as of now, compiled into governed tables over the materialised product.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use lingqu_crypto::{KeyedDigest, sha256};
use lingqu_domain::event::canonical;
use lingqu_domain::grant::{Grant, GrantInput};
use lingqu_domain::id::{OrderId, SubjectId};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::scope::{ColumnName, Mode, Scope};
use lingqu_domain::state::State;
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::lookup::{LookupTable, ProductIndex};
use lingqu_engine::product::{Product, ProductSpec};
use lingqu_engine::release::ReleaseRecord;
use lingqu_engine::session::{AnswerShape, Contributors, Dominance, GovernedSession, SmallGroups, StatisticsRules};
use lingqu_engine::{Limits, PseudonymKeys};
use lingqu_store::quota::Debit;
use roaring::RoaringTreemap;

use crate::app::App;
use crate::consent::SubjectDigests;
use crate::error::AppError;
use crate::release::{ConsumerRecord, recipient};

/// Orders whose compiled grant is kept.
const SERVINGS_MAX: usize = 256;
/// Product indexes that are kept in memory.
const INDEXES_MAX: usize = 16;
/// Most bytes of one product index.
const INDEX_BYTES_MAX: usize = 2 << 30;

/// What is kept between requests.
#[derive(Default)]
pub(crate) struct ServingCache {
    servings: Mutex<BTreeMap<OrderId, Arc<Serving>>>,
    indexes: Mutex<BTreeMap<String, Arc<ServedProduct>>>,
    making: tokio::sync::Mutex<()>,
    pub(crate) subjects: SubjectDigests,
}

/// A materialised product with what is read from it once.
struct ServedProduct {
    product: Product,
    index: Mutex<Option<Arc<ProductIndex>>>,
    /// Digest of each subject's identity to his ordinal.
    ordinals: BTreeMap<KeyedDigest, u64>,
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
    /// Digest of rights, snapshots and consents: the same question under the same policy digest has the same answer.
    pub policy_digest: String,
    /// Digest of rights and consents alone: a running stream goes on while it is the same.
    right_digest: String,
    served: Arc<ServedProduct>,
    engine: Arc<lingqu_engine::Engine>,
    keys: PseudonymKeys,
    consent: Option<Arc<RoaringTreemap>>,
    /// What statistics its consumer was given.
    record: Arc<ConsumerRecord>,
    /// Key of the digests that stand in it.
    contributor_key: [u8; 16],
    lookups: RwLock<BTreeMap<Mode, Arc<LookupTable>>>,
    /// Journal position at which the grant was last found unchanged.
    checked_position: AtomicU64,
    /// The first moment at which time alone changes it.
    holds_until: Option<jiff::Timestamp>,
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
        self.checked_position.load(Ordering::Acquire) == position && self.holds_until.is_none_or(|until| now < until)
    }

    /// The materialised product.
    pub fn product(&self) -> &Product {
        &self.served.product
    }

    /// Whether rows exist only with their subject's consent.
    pub fn needs_consent(&self) -> bool {
        self.grant.scope.consent_required
    }

    /// Refuses a mode that the grant does not have.
    pub fn must_allow(&self, mode: Mode) -> Result<(), Refusal> {
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
            self.consent.clone(),
        )
        .map_err(lingqu_engine::EngineError::from)?;
        let files = Arc::clone(&self.served.product.files);
        Ok(GovernedTable::new(files, &governance).map_err(lingqu_engine::EngineError::from)?)
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

    /// A session that holds this order's table and nothing else.
    pub fn session(&self, mode: Mode, limits: Limits) -> Result<GovernedSession, AppError> {
        let shape = match mode {
            Mode::Statistics => AnswerShape::Statistics(StatisticsRules {
                dimensions: self.details.dimensions.iter().cloned().collect::<BTreeSet<ColumnName>>(),
                cohort_floor: self.grant.scope.cohort_floor,
                small_groups: SmallGroups::Suppress,
                dominance: Dominance::default(),
                contributors: Contributors {
                    key: self.details.key.clone(),
                    subject: self.details.subject.clone(),
                    digest_key: self.contributor_key,
                },
                record: Arc::clone(&self.record) as Arc<dyn ReleaseRecord>,
            }),
            _ => AnswerShape::Rows,
        };
        Ok(GovernedSession::new(&self.engine, &[self.table(mode)?], limits, shape)?)
    }
}

impl ServedProduct {
    fn index(&self) -> Result<Arc<ProductIndex>, AppError> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = &*index {
            return Ok(Arc::clone(index));
        }
        let opened = Arc::new(ProductIndex::open(&self.product, INDEX_BYTES_MAX)?);
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

    pub(crate) async fn serving_of(&self, order: &OrderId) -> Result<Arc<Serving>, AppError> {
        let kept = self.serving.servings.lock().unwrap_or_else(PoisonError::into_inner).get(order).cloned();
        let now = self.clock.now();
        if let Some(kept) = &kept
            && kept.is_checked_at(self.read(|state| state.position), now)
        {
            return Ok(Arc::clone(kept));
        }
        let (position, grant, details) = self.read(|state| {
            let grant = Grant::of(state, order, now)?;
            if let Some(kept) = &kept
                && policy_digest(&grant, &consenting(state, &grant, now)) == kept.policy_digest
                && grant.digest() == kept.grant_digest
                && recipient(state, &grant) == *kept.record.recipient()
            {
                kept.checked_position.store(state.position, Ordering::Release);
            }
            let details = match state.products.get(&grant.product) {
                Some(product) => product.value.details.clone(),
                None => return Err(Refusal::not_found(&grant.product)),
            };
            Ok((state.position, grant, details))
        })?;
        if let Some(kept) = kept
            && kept.is_checked_at(position, now)
        {
            return Ok(kept);
        }
        let serving = Arc::new(self.compile(position, grant, details).await?);
        let mut servings = self.serving.servings.lock().unwrap_or_else(PoisonError::into_inner);
        if servings.len() >= SERVINGS_MAX {
            servings.clear();
        }
        servings.insert(order.clone(), Arc::clone(&serving));
        Ok(serving)
    }

    /// Refuses when the grant that a serving was compiled from is not the one in force now. Cheap while nothing was
    /// written.
    pub fn still_granted(&self, serving: &Serving) -> Result<(), Refusal> {
        let now = self.clock.now();
        self.read(|state| {
            if serving.is_checked_at(state.position, now) {
                return Ok(());
            }
            let grant = Grant::of(state, &serving.grant.order, now)?;
            if right_digest(&grant, &consenting(state, &grant, now)) != serving.right_digest {
                return Err(Refusal::new(
                    RefusalCode::GrantSuspended,
                    &serving.grant.order,
                    "授权在交付过程中发生变更，请重新请求",
                    "the grant changed while this was delivered; ask again",
                ));
            }
            Ok(())
        })
    }

    async fn compile(&self, position: u64, grant: Grant, details: ProductDetails) -> Result<Serving, AppError> {
        let served = self.served_product(&grant, &details).await?;
        let now = self.clock.now();
        let subjects = self.read(|state| consenting(state, &grant, now));
        let consent = if grant.scope.consent_required {
            let mut ordinals = RoaringTreemap::new();
            for subject in &subjects {
                let digest = self.digest_of_subject(subject).await?;
                if let Some(ordinal) = digest.and_then(|digest| served.ordinals.get(&digest)) {
                    ordinals.insert(*ordinal);
                }
            }
            Some(Arc::new(ordinals))
        } else {
            None
        };
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
        Ok(Serving {
            grant_digest: grant.digest(),
            snapshots: grant
                .inputs
                .iter()
                .map(|(resource, input)| format!("{resource}@{}", input.snapshot_version))
                .collect(),
            policy_digest: policy_digest(&grant, &subjects),
            right_digest: right_digest(&grant, &subjects),
            holds_until: self.read(|state| first_change(state, &grant, now)),
            grant,
            details,
            served,
            engine: Arc::clone(&self.engine),
            keys,
            consent,
            record: Arc::new(ConsumerRecord::new(&self.store, &self.clock, recipient)),
            contributor_key,
            lookups: RwLock::new(BTreeMap::new()),
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
        let inputs = inputs_digest(&grant.inputs);
        let name = format!("{}/{inputs}", grant.product);
        let kept = |app: &App| app.serving.indexes.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
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
        let spec = ProductSpec { sql: details.sql.clone(), key: details.key.clone(), subject: details.subject.clone() };
        let product = self
            .products
            .materialise(&self.engine, grant.product.as_str(), &inputs, &spec, &tables, Limits::default())
            .await?;
        let mut ordinals = BTreeMap::new();
        if grant.scope.consent_required {
            let names = product.subject_names().map_err(lingqu_engine::EngineError::from)?;
            for (ordinal, name) in names.iter().enumerate() {
                ordinals.insert(self.identity_digest(name), ordinal as u64);
            }
        }
        let served = Arc::new(ServedProduct { product, index: Mutex::new(None), ordinals });
        let mut indexes = self.serving.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        if indexes.len() >= INDEXES_MAX {
            indexes.clear();
        }
        indexes.insert(name, Arc::clone(&served));
        Ok(served)
    }

    /// The quota accounts that a use of an order debits.
    pub fn quota_debits(&self, serving: &Serving, calls: u64, data_sets: u64) -> Vec<Debit> {
        let order = &serving.grant.order;
        let mut debits = Vec::new();
        for (unit, limit, amount) in
            [("calls", serving.grant.quota.calls, calls), ("data_sets", serving.grant.quota.data_sets, data_sets)]
        {
            if amount > 0 {
                debits.push(Debit { account: quota_account(order, unit), limit, amount });
            }
        }
        debits
    }

    /// This process's share of the quota accounts.
    pub fn quota(&self) -> &lingqu_store::quota::Quota {
        &self.quota
    }
}

/// Name of an order's quota account.
pub(crate) fn quota_account(order: &OrderId, unit: &str) -> String {
    format!("{order}/{unit}")
}

/// Subjects with a consent in force that covers the grant.
fn consenting(state: &State, grant: &Grant, now: jiff::Timestamp) -> BTreeSet<SubjectId> {
    if !grant.scope.consent_required {
        return BTreeSet::new();
    }
    state.consenting_subjects(&grant.consumer, &grant.purpose, &grant.resources(), now)
}

/// Names the set of snapshots and of rights to them that a product is made from.
fn inputs_digest(inputs: &BTreeMap<lingqu_domain::id::ResourceId, GrantInput>) -> String {
    let named: BTreeMap<String, (u64, &Scope)> =
        inputs.iter().map(|(resource, input)| (resource.to_string(), (input.snapshot_version, &input.scope))).collect();
    sha256(canonical(&named).as_bytes()).to_string()[..32].to_owned()
}

/// The first moment at which a term that the grant depends on begins or ends: of the grant, or of a consent.
fn first_change(state: &State, grant: &Grant, now: jiff::Timestamp) -> Option<jiff::Timestamp> {
    let mut moments = vec![grant.scope.term.until];
    if grant.scope.consent_required {
        for consent in state.consents.values().filter(|consent| consent.value.details.consumer == grant.consumer) {
            moments.extend([consent.value.details.term.from, consent.value.details.term.until]);
        }
    }
    moments.into_iter().filter(|moment| *moment > now).min()
}

fn right_digest(grant: &Grant, subjects: &BTreeSet<SubjectId>) -> String {
    let inputs: BTreeMap<&str, &Scope> =
        grant.inputs.iter().map(|(resource, input)| (resource.as_str(), &input.scope)).collect();
    sha256(canonical(&(&grant.scope, inputs, subjects)).as_bytes()).to_string()
}

fn policy_digest(grant: &Grant, subjects: &BTreeSet<SubjectId>) -> String {
    let snapshots: BTreeMap<&str, u64> =
        grant.inputs.iter().map(|(resource, input)| (resource.as_str(), input.snapshot_version)).collect();
    sha256(canonical(&(right_digest(grant, subjects), snapshots)).as_bytes()).to_string()
}
