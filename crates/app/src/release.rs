//! The record of released statistics of one order's consumer: durable, shared by all nodes, kept by consumer and set of
//! resources and seen with every set that has a resource in common, so that neither another order nor another product of a
//! resource nor another protocol nor a newer version of the data begins anew.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::tz::Offset;
use lingqu_crypto::sha256;
use lingqu_domain::event::canonical;
use lingqu_domain::grant::Grant;
use lingqu_domain::id::{PartyId, ResourceId};
use lingqu_domain::product::{ProductDetails, SourceColumn};
use lingqu_domain::scope::{ColumnName, Mode, Precision};
use lingqu_domain::state::State;
use lingqu_engine::EngineError;
use lingqu_engine::release::{Added, Cell, CellRange, RecordedCell, ReleaseRecord};
use lingqu_store::Store;
use lingqu_store::release::{Recipient, Release, ReleasedNumber, ReleasedRange};

use crate::clock::Clock;

/// Most released numbers that one consumer may have of one set of resources. Each is compared with each new one of a set that
/// has a resource in common.
const NUMBERS_MAX: u64 = 20_000;
/// Most questions of one consumer about one set of resources, and those that have a resource in common with it, that are
/// refused on one day (UTC) for what their answers would have told. Each such refusal tells that a group or difference is small.
const REFUSALS_PER_DAY_MAX: u64 = 200;

/// The record of one consumer.
#[derive(Clone)]
pub(crate) struct ConsumerRecord {
    store: Store,
    clock: Clock,
    recipient: Recipient,
}

impl std::fmt::Debug for ConsumerRecord {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConsumerRecord").field("recipient", &self.recipient).finish_non_exhaustive()
    }
}

/// Whose record a grant's statistics belong to: its consumer's, seen together with those of all that are tied to it,
/// directly or through others, and with what they were given of other products that a resource of the grant is in.
pub(crate) fn recipient(state: &State, grant: &Grant) -> Recipient {
    let mut together = BTreeSet::from([&grant.consumer]);
    let mut waiting: Vec<&PartyId> = vec![&grant.consumer];
    while let Some(party) = waiting.pop().and_then(|id| state.parties.get(id)) {
        for other in state.parties.values() {
            if party.value.is_tied_to(&other.value) && together.insert(&other.value.id) {
                waiting.push(&other.value.id);
            }
        }
    }
    let affiliates =
        together.iter().copied().filter(|party| **party != grant.consumer).map(ToString::to_string).collect();
    let resources = grant.resources();
    let of_products = state.products.values().map(|product| &product.value.details.inputs);
    let overlapping: BTreeSet<String> = of_products
        .filter(|inputs| inputs.keys().any(|resource| resources.contains(resource)))
        .map(|inputs| inputs.keys().cloned().collect::<BTreeSet<ResourceId>>())
        .filter(|set| *set != resources)
        .map(|set| digest(&set))
        .collect();
    let named = |details: &ProductDetails| {
        let is_subject = |source: &SourceColumn| {
            let resource = state.resources.get(&source.resource);
            resource.is_some_and(|resource| resource.value.details.subject.as_ref() == Some(&source.column))
        };
        naming(details, is_subject, |source| seen_coarser(grant, source))
    };
    let naming = state.products.get(&grant.product).map(|product| named(&product.value.details)).unwrap_or_default();
    // Numbers of earlier versions may be of each order that ever had a service key; they are taken for what the first of these gives, so
    // that no order that is placed now decides it. There are many orders, and most are for something else.
    let is_asked = grant.scope.modes.contains(&Mode::Statistics);
    let mut by_first: BTreeMap<(String, String), bool> = BTreeMap::new();
    for order in state.orders.values().map(|order| &order.value).filter(|_| is_asked) {
        let may_have_asked = order.details.modes.contains(&Mode::Statistics) && !order.service_keys.is_empty();
        if !may_have_asked || !together.contains(&order.consumer) {
            continue;
        }
        let Some(product) = state.products.get(&order.details.product) else { continue };
        let details = &product.value.details;
        if details.inputs.keys().any(|resource| resources.contains(resource)) {
            let set = digest(&details.inputs.keys().cloned().collect());
            by_first.entry((set, order.consumer.to_string())).or_insert_with(|| named(details) == naming);
        }
    }
    Recipient {
        unnamed: by_first.into_iter().filter_map(|(pair, is_alike)| is_alike.then_some(pair)).collect(),
        resources: digest(&resources),
        overlapping: overlapping.into_iter().collect(),
        consumer: grant.consumer.to_string(),
        affiliates,
        naming,
    }
}

/// Names by what a product knows rows and contributors. Products of one name have the same digest of the same row and of the same
/// person: they know them by the persons whom a resource's subject column names (consents and quotas take those of all resources for
/// names of one kind, and so does this), by other source columns as they stand, or by what one statement makes of them.
///
/// `coarser` is as what a source column is seen, where that is not exactly.
fn naming(
    details: &ProductDetails,
    is_subject: impl Fn(&SourceColumn) -> bool,
    coarser: impl Fn(&SourceColumn) -> Option<String>,
) -> String {
    // By other permits one statement makes something else, of other rows.
    let statement = canonical(&(&details.sql, &details.inputs));
    let named = |name: &ColumnName| {
        let found = details.shape.columns.iter().find(|column| column.name == *name);
        let Some(column) = found.filter(|column| !column.computed && !column.lineage.is_empty()) else {
            return canonical(&(name, &statement));
        };
        let sources = column.lineage.iter();
        let named_by = sources.map(|source| (Some(source).filter(|source| !is_subject(source)), coarser(source)));
        canonical(&(column.data_type, named_by.collect::<BTreeSet<_>>()))
    };
    let key: Vec<String> = match details.key.as_slice() {
        // Rows are known by their numbers, which the statement gives.
        [] => vec![statement.clone()],
        key => key.iter().map(named).collect(),
    };
    let named = canonical(&(key, details.subject.as_ref().map(named)));
    sha256(named.as_bytes()).to_string()
}

/// As what a product made under a grant sees a source column; none where it sees it exactly, or not by this grant.
fn seen_coarser(grant: &Grant, source: &SourceColumn) -> Option<String> {
    let input = grant.inputs.get(&source.resource)?;
    let precision = input.scope.visible_in(Mode::Compute).get(&source.column).copied()?;
    (precision != Precision::Exact).then(|| precision.to_string())
}

/// Names a set of resources.
fn digest(resources: &BTreeSet<ResourceId>) -> String {
    sha256(canonical(resources).as_bytes()).to_string()
}

impl ConsumerRecord {
    pub(crate) fn new(store: &Store, clock: &Clock, recipient: Recipient) -> Self {
        Self { store: store.clone(), clock: clock.clone(), recipient }
    }

    pub(crate) fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    fn today(&self) -> String {
        Offset::UTC.to_datetime(self.clock.now()).date().to_string()
    }
}

#[async_trait]
impl ReleaseRecord for ConsumerRecord {
    async fn head(&self) -> Result<u64, EngineError> {
        self.store.released_head(&self.recipient).await.map_err(EngineError::record)
    }

    async fn cells(&self, range: &CellRange) -> Result<Vec<RecordedCell>, EngineError> {
        let range = ReleasedRange {
            family: range.family.clone(),
            contributors: range.contributors.clone(),
            after: range.after,
            until: range.until,
        };
        let released = self.store.released(&self.recipient, &range).await.map_err(EngineError::record)?;
        let recorded = released.into_iter().map(|(position, number)| RecordedCell {
            position,
            cell: Cell {
                family: number.family,
                contributors_min: number.contributors_min,
                contributors_max: number.contributors_max,
                sketch: number.sketch,
            },
        });
        Ok(recorded.collect())
    }

    async fn add(&self, head: u64, cells: &[Cell]) -> Result<Added, EngineError> {
        let numbers: Vec<ReleasedNumber> = cells
            .iter()
            .map(|cell| ReleasedNumber {
                family: cell.family.clone(),
                contributors_min: cell.contributors_min,
                contributors_max: cell.contributors_max,
                sketch: cell.sketch.clone(),
            })
            .collect();
        let release = self.store.release(&self.recipient, head, &numbers, NUMBERS_MAX).await;
        Ok(match release.map_err(EngineError::record)? {
            Release::Recorded => Added::Recorded,
            Release::Moved => Added::Moved,
            Release::Full => Added::Full,
            Release::Incomparable => Added::Incomparable,
        })
    }

    async fn is_comparable(&self) -> Result<bool, EngineError> {
        self.store.released_comparably(&self.recipient).await.map_err(EngineError::record)
    }

    async fn may_ask(&self) -> Result<bool, EngineError> {
        let refused = self.store.release_refusals(&self.recipient, &self.today()).await;
        Ok(refused.map_err(EngineError::record)? < REFUSALS_PER_DAY_MAX)
    }

    async fn count_refusal(&self) -> Result<(), EngineError> {
        self.store.count_release_refusal(&self.recipient, &self.today()).await.map_err(EngineError::record)
    }
}

#[cfg(test)]
mod tests {
    use lingqu_domain::id::PermitId;
    use lingqu_domain::product::{ProductColumn, ProductShape};
    use lingqu_domain::resource::DataType;

    use super::*;

    fn name(text: &str) -> ColumnName {
        ColumnName::new(text).expect("a name")
    }

    fn source(resource: u8, column: &str) -> SourceColumn {
        let resource: ResourceId = format!("{}_{resource:032}", ResourceId::PREFIX).parse().expect("an id");
        SourceColumn { resource, column: name(column) }
    }

    /// A product with a key and maybe a subject: output columns, each made of a column of a resource, computed or not.
    fn product(sql: &str, columns: &[(&str, (u8, &str), bool)], key: &[&str], subject: Option<&str>) -> ProductDetails {
        let columns = columns.iter().map(|(output, (resource, column), computed)| ProductColumn {
            name: name(output),
            data_type: DataType::Text,
            lineage: BTreeSet::from([source(*resource, column)]),
            computed: *computed,
        });
        let shape = ProductShape { columns: columns.collect(), ..ProductShape::default() };
        let details = serde_json::json!({
            "name": "", "name_en": "", "summary": "", "table": "t", "inputs": {}, "sql": sql, "key": key, "subject": subject,
            "dimensions": [], "shape": shape,
        });
        serde_json::from_value(details).expect("a product")
    }

    /// `person` is the subject column of both resources.
    fn named(details: &ProductDetails) -> String {
        naming(details, |source| source.column == name("person"), |_| None)
    }

    #[test]
    fn rows_and_contributors_are_named_by_what_they_are_made_of() {
        let visit = ("visit", (1, "visit_id"), false);
        let visits = named(&product("select 1", &[visit], &["visit"], None));
        // Under another output name, and by another statement.
        let renamed = product("select 2", &[("v", (1, "visit_id"), false)], &["v"], None);
        assert_eq!(named(&renamed), visits);
        let otherwise = [
            product("select 1", &[("visit", (1, "number"), false)], &["visit"], None),
            product("select 1", &[("visit", (2, "visit_id"), false)], &["visit"], None),
            product("select 1", &[("visit", (1, "visit_id"), true)], &["visit"], None),
            product("select 1", &[visit], &[], None),
            product("select 1", &[visit, ("who", (1, "person"), false)], &["visit"], Some("who")),
        ];
        for other in &otherwise {
            assert_ne!(named(other), visits, "{other:?}");
        }
        // What is computed has the name of its statement.
        let computed = |sql| named(&product(sql, &[("visit", (1, "visit_id"), true)], &["visit"], None));
        assert_eq!(computed("select 1"), named(&otherwise[2]));
        assert_ne!(computed("select 2"), computed("select 1"));
        // By another permit a statement numbers other rows, and what stands in a column as it stands is the same.
        let permitted = |details: &ProductDetails| {
            let permit = format!("{}_{:032}", PermitId::PREFIX, 1).parse().expect("an id");
            let inputs = BTreeMap::from([(source(1, "visit_id").resource, permit)]);
            named(&ProductDetails { inputs, ..details.clone() })
        };
        for (details, is_same) in [(&renamed, true), (&otherwise[2], false), (&otherwise[3], false)] {
            assert_eq!(permitted(details) == named(details), is_same, "{details:?}");
        }
        let mut numbered = renamed;
        numbered.shape.columns[0].data_type = DataType::Integer;
        assert_ne!(named(&numbered), visits, "digests are of typed values");
    }

    #[test]
    fn persons_are_the_same_whichever_resource_names_them() {
        let by = |resource, column: &'static str| {
            let columns = [("visit", (1, "visit_id"), false), ("who", (resource, column), false)];
            product("select 1", &columns, &["visit"], Some("who"))
        };
        assert_eq!(named(&by(1, "person")), named(&by(2, "person")));
        assert_ne!(named(&by(1, "doctor")), named(&by(2, "doctor")));
        assert_ne!(named(&by(1, "doctor")), named(&by(1, "person")));
        // Seen coarser, several are one.
        let coarser =
            naming(&by(1, "person"), |source| source.column == name("person"), |_| Some("rounded:10".to_owned()));
        assert_ne!(coarser, named(&by(1, "person")));
    }
}
