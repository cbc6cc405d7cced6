//! Whether a fragment is the source itself: rows of a snapshot of a resource, in columns that no delivered version explains.
//!
//! Who leaked such a file had it from its provider or from the node, so nobody is accused by it. What can be said is which snapshot
//! it is, who holds it, and which orders were delivered anything that was made of the columns in it. That no order's copy went into
//! it is said only where no marked product may have: columns of a source are joined to a copy as easily as those of a product.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::id::{OrderId, ProductId, ResourceId};
use lingqu_domain::product::ProductDetails;
use lingqu_engine::ProductOriginals;
use lingqu_engine::source::Fragment;
use lingqu_fingerprint::{Alignment, FingerprintError, Marking, MatchedColumn, Provenance};

use super::confirmed::Varying;
use super::report::{ColumnTrace, SourceOrder, SourceTrace};
use super::search::{Beside, Comparable, SAMPLE_ROWS, Searched, align_each};
use super::versions::DeliveredVersion;
use super::{LISTED_MAX, TraceWatch, unmarked};
use crate::app::App;
use crate::error::AppError;

/// Most snapshots that one fragment is compared with, the newest of each resource first.
pub const TRACED_SNAPSHOTS_MAX: usize = 256;
/// Most snapshots that one fragment is taken to be of: a file may be put together from several resources.
const SOURCES_MAX: usize = 4;
/// Of snapshots that explain as many rows but for so many in a thousand, the one that explains most columns is taken.
const EQUAL_PER_MILLE: usize = 5;

/// So many rows have to be found of a snapshot that no column confirms.
const UNVERIFIED_ROWS_MIN: usize = 20;

/// A snapshot that can be compared.
struct Candidate {
    resource: ResourceId,
    version: u64,
    originals: ProductOriginals,
    marking: Marking,
}

/// A snapshot whose rows the fragment has.
struct Found {
    resource: ResourceId,
    version: u64,
    alignment: Alignment,
    /// Places of columns in the fragment that no version of a product explains.
    alone: BTreeSet<usize>,
    /// The snapshot's columns that are confirmed to stand in the fragment.
    confirmed: BTreeSet<String>,
    /// Whether the fragment has columns that are none of the snapshot's, or not as it has them, or not surely.
    leaves_columns: bool,
}

/// What was delivered of the columns of a snapshot.
struct DeliveredOf {
    /// The orders that were delivered anything made of them.
    orders: Vec<SourceOrder>,
    /// Which of them any order was.
    columns: BTreeSet<String>,
    /// Products that mark what may stand in the fragment.
    marked: BTreeSet<ProductId>,
}

/// What was found out about sources.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) found: Vec<SourceTrace>,
    pub(super) tried: usize,
    pub(super) not_tried: usize,
    pub(super) gone: usize,
}

/// A snapshot's name, as receipts have it.
fn name_of(resource: &ResourceId, version: u64) -> String {
    format!("{resource}@{version}")
}

/// The places of a fragment's columns that versions of products explain.
fn explained(searched: &Searched) -> BTreeSet<usize> {
    searched.matched.iter().flat_map(|matched| &matched.alignment.columns).map(|column| column.place).collect()
}

impl App {
    /// Compares a fragment with the snapshots of resources, where the delivered versions leave columns of it unexplained: with those
    /// that the versions were made of, and where there is no such version with all. `deliveries` are the versions that were ever
    /// delivered, also those that can't be compared.
    pub(super) async fn sources_of(
        &self,
        fragment: &Fragment,
        (searched, versions): (&Searched, &[Comparable]),
        deliveries: &[DeliveredVersion],
        threads: usize,
        watch: &TraceWatch,
    ) -> Result<Sources, AppError> {
        let explained = explained(searched);
        if explained.len() >= fragment.column_names().len() {
            return Ok(Sources::default());
        }
        let matched = searched.matched.iter().filter_map(|matched| versions.get(matched.place));
        let made_of: BTreeSet<String> = matched.flat_map(|version| version.version.snapshots.iter().cloned()).collect();
        let (candidates, mut sources) = self.snapshots_to_compare(&made_of).await;
        watch.tell(&format!("comparing with {} snapshots of resources", candidates.len()));
        // A row may be of several products.
        let rows = searched.matched.iter().flat_map(|matched| &matched.alignment.rows);
        let rows_of_products = rows.map(|row| row.leaked).collect::<BTreeSet<u32>>().len();
        let (fragment, watching) = (fragment.clone(), watch.clone());
        let comparing = move || compared(&fragment, candidates, &explained, rows_of_products, threads, &watching);
        let compared = tokio::task::spawn_blocking(comparing).await;
        let found = compared.map_err(|error| AppError::Fault(format!("the trace ended early: {error}")))??;
        sources.found = found.into_iter().filter_map(|found| self.source_trace(found, deliveries)).collect();
        Ok(sources)
    }

    /// The snapshots that are here, the newest of each resource first, then those before and so on; of some names, where any is
    /// given.
    async fn snapshots_to_compare(&self, names: &BTreeSet<String>) -> (Vec<Candidate>, Sources) {
        let mut wanted: Vec<(u64, u64, ResourceId, Vec<String>)> = self.read(|state| {
            let resources = state.resources.values().map(|resource| &resource.value);
            let stored = resources.filter_map(|resource| {
                let snapshot = resource.snapshot.as_ref().filter(|snapshot| snapshot.live.is_none())?;
                let key: Vec<String> = resource.details.key.iter().map(ToString::to_string).collect();
                Some((resource.id.clone(), snapshot.version, key))
            });
            let most = TRACED_SNAPSHOTS_MAX as u64;
            let each = stored.flat_map(move |(id, newest, key)| {
                (0..=newest.min(most)).map(move |age| (age, newest - age, id.clone(), key.clone()))
            });
            each.collect()
        });
        wanted.retain(|(_, version, id, _)| names.is_empty() || names.contains(&name_of(id, *version)));
        wanted.sort();
        let mut sources =
            Sources { not_tried: wanted.len().saturating_sub(TRACED_SNAPSHOTS_MAX), ..Sources::default() };
        wanted.truncate(TRACED_SNAPSHOTS_MAX);
        let mut candidates = Vec::with_capacity(wanted.len());
        for (_, version, resource, key) in wanted {
            // One that is not here any more, or not whole, keeps no other from being compared.
            match self.snapshots.version(resource.as_str(), version).await {
                Ok(snapshot) => candidates.push(Candidate {
                    originals: ProductOriginals::of_snapshot(&snapshot),
                    marking: unmarked(key),
                    resource,
                    version,
                }),
                Err(_) => sources.gone += 1,
            }
        }
        sources.tried = candidates.len();
        (candidates, sources)
    }

    /// What is told of a snapshot; none of a resource that is not in the catalogue.
    fn source_trace(&self, found: Found, deliveries: &[DeliveredVersion]) -> Option<SourceTrace> {
        let Found { resource, version, alignment, alone, confirmed, leaves_columns } = found;
        let snapshot = name_of(&resource, version);
        let matched: BTreeSet<&str> = alignment.columns.iter().map(|column| column.original.as_str()).collect();
        let of_it = self.delivered_of((&resource, &snapshot), &matched, leaves_columns, deliveries);
        let DeliveredOf { orders, columns: delivered, marked } = of_it;
        let never = confirmed.into_iter().filter(|column| !delivered.contains(column)).collect();
        let orders_more = orders.len().saturating_sub(LISTED_MAX) as u64;
        let (name, table, provider) = self.read(|state| {
            let resource = &state.resources.get(&resource)?.value;
            Some((resource.details.name.clone(), resource.details.table.to_string(), resource.provider.clone()))
        })?;
        let columns = alignment.columns.iter().map(|column| ColumnTrace {
            place: column.place + 1,
            original: column.original.clone(),
            factor: column.factor,
            rounded_to: column.rounded_to,
            agreement: column.agreement.beyond_chance(),
        });
        Some(SourceTrace {
            name,
            table,
            snapshot,
            originals: alignment.originals,
            rows: alignment.rows.len() as u64,
            confirmed: matches!(alignment.provenance, Provenance::Inside(_)),
            columns: columns.collect(),
            columns_alone: alone.into_iter().map(|place| place + 1).collect(),
            never_delivered: never,
            marked: marked.into_iter().collect(),
            provider_name: self.party_name(&provider),
            provider,
            resource,
            orders: orders.into_iter().take(LISTED_MAX).collect(),
            orders_more,
        })
    }

    /// What was delivered of these columns of a snapshot. A column that a product marks may stand in the fragment unknown, since a
    /// marked value is not the source's: where the fragment has any that the snapshot does not explain, all marked ones count.
    fn delivered_of(
        &self,
        (resource, snapshot): (&ResourceId, &str),
        columns: &BTreeSet<&str>,
        leaves_columns: bool,
        deliveries: &[DeliveredVersion],
    ) -> DeliveredOf {
        let mut orders: BTreeMap<&OrderId, (&ProductId, BTreeSet<String>)> = BTreeMap::new();
        let (mut delivered, mut marked) = (BTreeSet::new(), BTreeSet::new());
        for version in deliveries {
            let product = &version.name.0;
            let Some(details) = self.product_details(product) else { continue };
            let mut from: BTreeSet<String> = BTreeSet::new();
            for column in &details.shape.columns {
                let sources = column.lineage.iter().filter(|source| source.resource == *resource);
                for source in sources {
                    let is_here = columns.contains(source.column.as_str());
                    if is_here {
                        from.insert(source.column.to_string());
                    }
                    if (is_here || leaves_columns) && is_marked(&details, column.name.as_str()) {
                        marked.insert(product.clone());
                    }
                }
            }
            if from.is_empty() {
                continue;
            }
            if version.snapshots.iter().any(|name| name == snapshot) {
                for order in &version.orders {
                    orders.entry(order).or_insert_with(|| (product, BTreeSet::new())).1.extend(from.iter().cloned());
                }
            }
            delivered.extend(from);
        }
        let told = orders.into_iter().filter_map(|(order, (product, columns))| {
            Some(SourceOrder {
                consumer: self.consumer_of(order)?,
                order: order.clone(),
                product: product.clone(),
                columns: columns.into_iter().collect(),
            })
        });
        DeliveredOf { orders: told.collect(), columns: delivered, marked }
    }
}

/// Whether copies of a product bear marks in a column. Rows that are left out or made up mark all of them.
fn is_marked(details: &ProductDetails, column: &str) -> bool {
    details.marking.as_ref().is_some_and(|marking| {
        let marks_rows = marking.omitted_per_million > 0 || marking.decoys_per_million > 0;
        marks_rows || marking.marks.iter().any(|mark| mark.columns().iter().any(|marked| marked.as_str() == column))
    })
}

/// The snapshots that explain columns which no product explains, the one that explains most first.
fn compared(
    fragment: &Fragment,
    candidates: Vec<Candidate>,
    explained: &BTreeSet<usize>,
    rows_of_products: usize,
    threads: usize,
    watch: &TraceWatch,
) -> Result<Vec<Found>, FingerprintError> {
    let sample_places = fragment.sample(SAMPLE_ROWS);
    let sample = fragment.rows(&sample_places);
    let beside: Vec<Beside<'_>> = candidates
        .iter()
        .map(|Candidate { resource, originals, marking, .. }| Beside { originals, marking, name: resource.to_string() })
        .collect();
    let all: Vec<usize> = (0..candidates.len()).collect();
    let tried = align_each(&sample, &beside, &all, threads, watch)?;
    let (mut explained, varying) = (explained.clone(), Varying::of(&sample));
    // What a product explains as well is not taken for the source by a few rows.
    let share = sample_places.len() as f64 / (fragment.row_count() as f64).max(1.0);
    let rows_min = ((rows_of_products as f64 * share / 2.0) as usize).max(1);
    let mut chosen: Vec<(usize, BTreeSet<usize>)> = Vec::new();
    while chosen.len() < SOURCES_MAX {
        let alone = |place: usize| -> BTreeSet<usize> {
            let alignment = &tried[place];
            let columns: Vec<&MatchedColumn> = match alignment.provenance {
                // Nothing is confirmed of it, and nothing is concluded from that it is alone.
                Provenance::Unverified => alignment.columns.iter().collect(),
                _ => varying.confirmed(alignment).collect(),
            };
            columns.into_iter().map(|column| column.place).filter(|at| !explained.contains(at)).collect()
        };
        let is_source = |place: &usize| {
            let alignment = &tried[*place];
            let rows = alignment.rows.len();
            let is_known = match alignment.provenance {
                Provenance::Inside(_) => true,
                // Nothing else explains it, and this does most of it.
                Provenance::Unverified => {
                    rows_of_products == 0 && rows >= UNVERIFIED_ROWS_MIN && 2 * rows >= sample_places.len()
                }
                Provenance::Outside(_) => false,
            };
            is_known && rows >= rows_min && !alone(*place).is_empty()
        };
        let possible: Vec<usize> = all.iter().copied().filter(is_source).collect();
        let most = possible.iter().map(|place| tried[*place].rows.len()).max().unwrap_or_default();
        let is_equal = |place: &&usize| tried[**place].rows.len() * 1_000 >= most * (1_000 - EQUAL_PER_MILLE);
        // The candidates stand with the newest first, so of equals the first is taken.
        let best = possible
            .iter()
            .filter(is_equal)
            .rev()
            .max_by_key(|place| (alone(**place).len(), tried[**place].columns.len(), tried[**place].rows.len()));
        let Some(best) = best.copied() else { break };
        let columns = alone(best);
        explained.extend(columns.iter().copied());
        chosen.push((best, columns));
    }
    let places: Vec<usize> = chosen.iter().map(|(place, _)| *place).collect();
    let whole: Vec<Alignment> = if sample_places.len() == fragment.row_count() {
        places.iter().map(|place| tried[*place].clone()).collect()
    } else {
        align_each(fragment, &beside, &places, threads, watch)?
    };
    let found = chosen.into_iter().zip(whole).map(|((place, alone), alignment)| Found {
        resource: candidates[place].resource.clone(),
        version: candidates[place].version,
        confirmed: varying.confirmed(&alignment).map(|column| column.original.clone()).collect(),
        leaves_columns: varying.exceed(&alignment),
        alignment,
        alone,
    });
    Ok(found.filter(|found| !found.alignment.rows.is_empty()).collect())
}
