//! `trace`: from a fragment that was found somewhere to the order whose copy it comes from.
//!
//! Which versions of which products were delivered is read from the receipts; the fragment is compared with each of them, and
//! its rows are laid beside their originals. Where the product is marked, what the fragment shows at the secret positions is
//! tested against the code of everybody who ever had a key, with a stated bound on accusing anybody innocent. Whether it is
//! marked or not, the receipts say which orders had these rows, which is no accusation and is told apart from one.
//!
//! A trace changes nothing but the journal, which has a record of it before its report is shown to anybody ([`record`]). It runs inside the node, since the originals and the keys are there; what of the keys
//! leaves with the evidence are those of the accused alone.

mod accusation;
mod borne_out;
mod claimed;
mod codes;
mod confirmed;
mod cover;
#[cfg(test)]
mod damage;
mod evidence;
mod joined;
mod paper;
mod record;
mod report;
mod sealed;
mod search;
mod sources;
mod told;
mod tries;
mod verify;
mod versions;
mod witnessed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lingqu_domain::id::{OrderId, PartyId, ProductId};
use lingqu_domain::product::{ProductDetails, SourceColumn};
use lingqu_domain::trace::{TEXT_CHARS_MAX, is_one_line};
use lingqu_engine::product::ProductError;
use lingqu_engine::source::{Fragment, StopSignal};
use lingqu_engine::{ProductOriginals, StorageError};
use lingqu_fingerprint::{BiasTable, FingerprintError, Marking, Observation, RecipientCode};
use roaring::RoaringTreemap;

use crate::app::App;
use crate::error::AppError;
use crate::fingerprint::MarkedProduct;
use accusation::{Judged, Plan, Recipient};
use sealed::SealedVersion;
use search::{Comparable, Matched, Searched};
use sources::Sources;
use versions::{DeliveredVersion, VersionName, WantedRows};

pub use paper::trace_report_pdf;
pub use report::{
    Accused, AccusedOrder, Assumption, ChannelTrace, ColumnTrace, DeliveryTrace, ExplainedBy, Explanation,
    FragmentFacts, HadRows, MarksTrace, ProductTrace, ReceiptsTrace, SourceOrder, SourceTrace, Support, TraceReport,
    TraceVerdict, TriesTrace, VersionTrace,
};
pub use sealed::{ObservedAgain, sealed_by_place_alone};
pub use sources::TRACED_SNAPSHOTS_MAX;
pub use verify::{CheckedAccusation, HeldAgainst, TraceCheck, verify_trace, verify_trace_with};
pub use witnessed::CommitmentSeen;

/// Most versions that one fragment is compared with: of each product the one that was delivered last, then those before and so on.
pub const TRACED_VERSIONS_MAX: usize = 256;
/// The largest bound of a case.
const BOUND_MAX: f64 = 0.01;
/// Most orders and deliveries that a report lists one by one.
const LISTED_MAX: usize = 100;
/// Rows in a thousand that alignment may take wrongly: a set of orders may miss so many.
const MISTAKEN_PER_MILLE: u64 = 2;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSettings {
    /// The largest probability that anybody innocent is accused by the whole case; above zero, at most one in a hundred.
    pub bound: f64,
    /// Only this product is compared; none: all that were delivered.
    pub product: Option<ProductId>,
    /// Threads that compute at a time.
    pub threads: usize,
    /// The case, or who asked, for the journal's record.
    pub case: Option<String>,
    /// Whether the originals beside which rows are laid are kept, for an expert's annex.
    pub keeps_originals: bool,
}

impl Default for TraceSettings {
    /// One in a million, all products, as many threads as there are processors.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self { bound: 1e-6, product: None, threads, case: None, keeps_originals: false }
    }
}

/// Who is told how far a trace has come, and may end it.
#[derive(Clone)]
pub struct TraceWatch {
    tell: Arc<dyn Fn(&str) + Send + Sync>,
    stop: Arc<StopSignal>,
}

impl TraceWatch {
    /// Tells `tell` in words what is being done, and ends when `stop` is given.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static, stop: Arc<StopSignal>) -> TraceWatch {
        TraceWatch { tell: Arc::new(tell), stop }
    }

    fn tell(&self, doing: &str) {
        (self.tell)(doing);
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_given()
    }

    fn go_on(&self) -> Result<(), AppError> {
        if self.is_stopped() { Err(stopped()) } else { Ok(()) }
    }
}

fn stopped() -> AppError {
    AppError::Invalid("the trace was stopped before it was done; nothing was kept".to_owned())
}

impl From<FingerprintError> for AppError {
    fn from(error: FingerprintError) -> Self {
        match error {
            FingerprintError::Stopped => stopped(),
            FingerprintError::TooMany { .. } | FingerprintError::Setting { .. } => AppError::Invalid(error.to_string()),
            // They name files and columns, never a value.
            other => AppError::Fault(other.to_string()),
        }
    }
}

/// A finished trace: its report, and what its evidence is made of.
#[derive(Debug)]
pub struct Trace {
    /// What was found.
    pub report: TraceReport,
    /// The id of the journal's record of it.
    pub recorded: String,
    keeps_originals: bool,
    /// Whether the fragment's sample hangs on its digest.
    seeded: bool,
    cases: Vec<Case>,
    /// Of each delivery to the accused that is listed the positions of its receipt records: the opening, those that name rows of the
    /// fragment, and the closing.
    receipts: Vec<Vec<u64>>,
}

/// What is kept of one marked product for the evidence.
#[derive(Debug)]
struct Case {
    marked: MarkedProduct,
    plan: Plan,
    observations: Vec<Observation>,
    /// For an expert, where originals are kept.
    sealed: Vec<SealedVersion>,
    recipients: Vec<(Recipient, usize)>,
    /// Those of the recipients whom the test of recipients accuses.
    named: BTreeSet<Recipient>,
}

/// What the threads hand back that compare and observe, before anybody's code is asked.
struct Looked {
    searched: Searched,
    candidates: Vec<Comparable>,
    /// Of each marked product what the fragment shows, and for an expert the originals.
    observed: BTreeMap<ProductId, (Vec<Observation>, Vec<SealedVersion>)>,
    fragment: Fragment,
}

/// What was found, with both verdicts about each marked product.
struct Computed {
    searched: Searched,
    candidates: Vec<Comparable>,
    judged: Vec<(Case, Judged)>,
    fragment: Fragment,
}

impl App {
    /// Traces a fragment. Errors: it was stopped; the bound makes no sense; a data file is damaged; so many rows match that
    /// a sample of the fragment must be traced instead.
    pub async fn trace(
        &self,
        fragment: Fragment,
        settings: &TraceSettings,
        watch: &TraceWatch,
    ) -> Result<Trace, AppError> {
        // Asked here too, so that a bound that makes no sense is refused whether anybody is tested or not.
        if !(settings.bound > 0.0 && settings.bound <= BOUND_MAX) {
            let reason = "the bound must be above zero and at most one in a hundred; one in a million is usual";
            return Err(AppError::Invalid(reason.to_owned()));
        }
        if settings.case.as_deref().is_some_and(|case| !is_one_line(case)) {
            let reason = format!("the case has at most {TEXT_CHARS_MAX} characters in one line");
            return Err(AppError::Invalid(reason));
        }
        self.catch_up().await?;
        let log = self.receipts_now().await?;
        let mut delivered = versions::delivered(&log, watch).await?;
        if let Some(product) = &settings.product {
            delivered.versions.retain(|(found, _), _| found == product);
        }
        let mut names = versions::in_turn(delivered.versions.into_values().collect());
        let deliveries: Vec<DeliveredVersion> = names.iter().cloned().chain(delivered.unnamed.into_values()).collect();
        let versions_not_tried = names.len().saturating_sub(TRACED_VERSIONS_MAX);
        names.truncate(TRACED_VERSIONS_MAX);
        let mut marked: BTreeMap<ProductId, MarkedProduct> = BTreeMap::new();
        for product in names.iter().map(|version| version.name.0.clone()).collect::<BTreeSet<_>>() {
            if let Some(found) = self.marked_product(&product).await? {
                marked.insert(product, found);
            }
        }
        let versions = names.len();
        let candidates = self.comparable(names, &marked)?;
        let versions_tried = candidates.len();
        let versions_gone = versions - versions_tried;
        watch.tell(&format!("comparing {} rows with {versions_tried} versions of products", fragment.row_count()));
        let compared = candidates.iter().map(|candidate| record::compared(&candidate.version.name)).collect();
        let tries = self.tries_of(&self.journal_digest(&fragment.digest), &compared);
        let (bound, threads, watching) = (settings.bound * tries.share, settings.threads.max(1), watch.clone());
        let keeps_originals = settings.keeps_originals;
        let looking = move || look(fragment, candidates, &marked, threads, keeps_originals, &watching);
        let looked = on_a_thread(looking).await?;
        let sources = match settings.product {
            None => {
                let compared = (&looked.searched, looked.candidates.as_slice());
                self.sources_of(&looked.fragment, compared, &deliveries, threads, watch).await?
            }
            Some(_) => Sources::default(),
        };
        watch.tell("asking the receipts who had these rows");
        let had = versions::had(&log, &wanted(&looked), watch).await?;
        let codes = self.codes_of(&looked.observed.keys().cloned().collect(), watch).await?;
        let (taken, watching) = ((codes.position, codes.at), watch.clone());
        let computed = on_a_thread(move || test(looked, codes.marked, bound, threads, &watching)).await?;
        let (journal_position, codes_at) = self.dated(&computed.judged, taken).await?;
        let tried = told::Tried {
            codes_at,
            journal_position,
            bound: settings.bound,
            tries,
            versions: versions_tried,
            versions_not_tried,
            versions_gone,
            deliveries_not_comparable: delivered.not_comparable,
            sources,
        };
        let report = self.report_of(&computed, &had, &tried)?;
        let recorded = self.record_trace(&computed, &report, settings).await?;
        let listed = report.accused.iter().flat_map(|accused| &accused.deliveries);
        let named: BTreeSet<_> = listed.map(|delivery| &delivery.receipt).collect();
        let shown = had.deliveries.all().filter(|delivery| named.contains(&delivery.receipt));
        let receipts = shown.map(|delivery| delivery.positions.clone()).collect();
        let seeded = computed.fragment.seeded;
        let cases = computed.judged.into_iter().map(|(case, _)| case).collect();
        Ok(Trace { report, recorded, keeps_originals, seeded, cases, receipts })
    }

    /// Opens the originals of versions; one whose files this node has no more is left out.
    fn comparable(
        &self,
        versions: Vec<DeliveredVersion>,
        marked: &BTreeMap<ProductId, MarkedProduct>,
    ) -> Result<Vec<Comparable>, AppError> {
        let mut candidates = Vec::with_capacity(versions.len());
        for version in versions {
            let (product, made_from) = &version.name;
            let made = match self.products.get(product.as_str(), made_from) {
                // One that is not here any more keeps no other from being compared.
                Err(ProductError::NotMade { .. } | ProductError::Storage(StorageError::Missing { .. })) => continue,
                made => made?,
            };
            let marking = match marked.get(product) {
                Some(marked) => marked.marking.clone(),
                None => unmarked(made.key.iter().map(ToString::to_string).collect()),
            };
            let decoyed = match self.products.decoyed(product.as_str(), made_from, &made) {
                Err(ProductError::Storage(StorageError::Missing { .. })) => continue,
                decoyed => decoyed?,
            };
            let (originals, decoys) = match decoyed {
                Some(decoyed) => (ProductOriginals::with_decoys(&made, &decoyed), decoyed.numbers()?),
                None => (ProductOriginals::new(&made), RoaringTreemap::new()),
            };
            let plain = self.plain_columns(product);
            candidates.push(Comparable { originals, decoys, marking, plain, version });
        }
        Ok(candidates)
    }

    /// The columns of a product that are a resource's as they stand, each with that one.
    fn plain_columns(&self, product: &ProductId) -> BTreeMap<String, SourceColumn> {
        let columns = self.product_details(product).map(|details| details.shape.columns).unwrap_or_default();
        let plain = columns.into_iter().filter(|column| !column.computed && column.lineage.len() == 1);
        plain.filter_map(|column| Some((column.name.to_string(), column.lineage.into_iter().next()?))).collect()
    }

    fn product_details(&self, product: &ProductId) -> Option<ProductDetails> {
        self.read(|state| state.products.get(product).map(|found| found.value.details.clone()))
    }

    fn consumer_of(&self, order: &OrderId) -> Option<PartyId> {
        self.read(|state| state.orders.get(order).map(|found| found.value.consumer.clone()))
    }

    fn party_name(&self, party: &PartyId) -> String {
        self.read(|state| state.parties.get(party).map(|found| found.value.name.clone())).unwrap_or_default()
    }
}

/// The marking of a product whose columns are all exact.
fn unmarked(key: Vec<String>) -> Marking {
    Marking { key, marks: Vec::new(), order_share: 0, biases: BiasTable::default(), presence: None }
}

/// Computes on a thread that may take its time. Error: that of the work; it broke off.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AppError> + Send + 'static,
) -> Result<T, AppError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| AppError::Fault(format!("the trace ended early: {error}")))?
}

/// Aligns and observes: nearly everything that takes time, with no I/O but the originals.
fn look(
    fragment: Fragment,
    candidates: Vec<Comparable>,
    marked: &BTreeMap<ProductId, MarkedProduct>,
    threads: usize,
    keeps_originals: bool,
    watch: &TraceWatch,
) -> Result<Looked, AppError> {
    let searched = search::search(&fragment, &candidates, threads, watch)?;
    let mut observed = BTreeMap::new();
    for product in products_of(&searched, &candidates) {
        let Some(marked) = marked.get(&product) else { continue };
        let matched: Vec<&Matched> =
            searched.matched.iter().filter(|matched| candidates[matched.place].version.name.0 == product).collect();
        let shown = accusation::observed(marked, &fragment, &matched, &candidates, keeps_originals, watch)?;
        observed.insert(product, shown);
    }
    Ok(Looked { searched, candidates, observed, fragment })
}

/// Tests the codes of the products whose marks were looked for.
fn test(
    looked: Looked,
    mut marked: BTreeMap<ProductId, MarkedProduct>,
    bound: f64,
    threads: usize,
    watch: &TraceWatch,
) -> Result<Computed, AppError> {
    let Looked { searched, candidates, observed, fragment } = looked;
    let count = observed.len();
    let mut judged = Vec::with_capacity(count);
    for (product, (observations, sealed)) in observed {
        let marked = marked.remove(&product);
        let marked = marked.ok_or_else(|| AppError::Fault(format!("the keys of {product} are gone")))?;
        let recipients = accusation::recipients_of(&marked);
        let plan = Plan::new(bound, count, recipients.len() as u64, marked.orders.len() as u64);
        watch.tell(&format!("testing {} recipients at {} positions", recipients.len(), observations.len()));
        let codes: Vec<RecipientCode> =
            recipients.iter().map(|(_, place)| RecipientCode::new(&marked.orders[*place].recipient_key.key)).collect();
        let orders: Vec<RecipientCode> =
            marked.orders.iter().map(|order| RecipientCode::new(&order.order_key.key)).collect();
        let verdicts = accusation::judge(&observations, &codes, &orders, &plan, threads, watch)?;
        let accused = verdicts.recipients.accused.iter();
        let named = accused.filter_map(|found| Some(recipients.get(found.candidate)?.0.clone())).collect();
        judged.push((Case { marked, plan, observations, sealed, recipients, named }, verdicts));
    }
    Ok(Computed { searched, candidates, judged, fragment })
}

/// The products that a fragment comes from, the one with most rows first.
fn products_of(searched: &Searched, candidates: &[Comparable]) -> Vec<ProductId> {
    let mut products: Vec<ProductId> = Vec::new();
    for matched in &searched.matched {
        let product = &candidates[matched.place].version.name.0;
        if !products.contains(product) {
            products.push(product.clone());
        }
    }
    products
}

/// The rows of the fragment that each version has, its own and those that it has in common with others.
fn wanted(looked: &Looked) -> BTreeMap<VersionName, WantedRows> {
    let rows = looked.searched.rows.iter();
    rows.map(|of| (looked.candidates[of.place].version.name.clone(), WantedRows::new(&of.rows))).collect()
}
