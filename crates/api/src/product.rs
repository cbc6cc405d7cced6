//! What a product offers now: its columns with the precision in each mode, and where each column comes from.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use lingqu_domain::chain;
use lingqu_domain::decide::Reader;
use lingqu_domain::id::ProductId;
use lingqu_domain::permit::Permit;
use lingqu_domain::product::SourceColumn;
use lingqu_domain::resource::{DataType, Grade};
use lingqu_domain::scope::Mode;
use lingqu_domain::state::{Listed, State as Folded};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::catalogue::{MarketItem, item};
use crate::choice::{CommandChoice, order_choice};
use crate::problem::ProblemDocument;
use crate::session::Viewer;
use crate::visibility::Sight;

/// A source column with what its catalogue entry says.
#[derive(Serialize, ToSchema)]
pub(crate) struct LineageItem {
    /// The resource's id.
    resource: String,
    /// Its name.
    resource_name: String,
    /// Its table.
    table: String,
    /// The column.
    column: String,
    /// What it means.
    meaning: String,
    /// Its grade.
    #[serde(skip_serializing_if = "Option::is_none")]
    grade: Option<Grade>,
}

/// An output column.
#[derive(Serialize, ToSchema)]
pub(crate) struct OfferedColumn {
    /// Its name.
    name: String,
    /// Its type.
    data_type: DataType,
    /// False where it is a source column as it stands.
    computed: bool,
    /// Its precision in each mode that shows it at all.
    #[schema(value_type = BTreeMap<String, String>)]
    precisions: BTreeMap<Mode, String>,
    /// The source columns it is computed from.
    lineage: Vec<LineageItem>,
}

/// A permit that the product stands on.
#[derive(Serialize, ToSchema)]
pub(crate) struct OfferPermit {
    /// Its id.
    id: String,
    /// The scenario.
    scenario: String,
    /// Where it stands.
    state: String,
    /// The mandate above it.
    mandate: String,
    /// The mandate's name.
    mandate_name: String,
    /// Where the mandate stands.
    mandate_state: String,
    /// Whether the viewer may open the permit.
    permit_open: bool,
    /// Whether the viewer may open the mandate.
    mandate_open: bool,
    /// The resource that it permits for this product.
    resource: String,
    /// That resource's name.
    resource_name: String,
}

/// A product with all that a consumer needs to decide.
#[derive(Serialize, ToSchema)]
pub(crate) struct Offer {
    /// As the market shows it.
    item: MarketItem,
    /// Output columns that identify a row.
    key: Vec<String>,
    /// Output columns in their order.
    columns: Vec<OfferedColumn>,
    /// Source columns that decide which rows there are.
    conditions: Vec<LineageItem>,
    /// The permits.
    permits: Vec<OfferPermit>,
    /// Placing an order, with a draft to begin from; absent while the product's chain is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<CommandChoice>,
}

/// What a product offers now.
#[utoipa::path(get, path = "/api/v1/products/{id}/offer", operation_id = "get_offer", tag = "market",
    params(("id" = String, Path, description = "the product's id")),
    responses((status = 200, body = Offer), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn offer(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Json<Offer>, ProblemDocument> {
    let now = api.app.now();
    let offer = api.app.read(|state| {
        let sight = Sight::new(&viewer, state);
        let id: ProductId = id.parse().ok().filter(|_| sight.sees(&id))?;
        describe(&sight, &id, now)
    });
    offer.map(Json).ok_or_else(|| ProblemDocument::not_found(&id))
}

fn describe(sight: &Sight<'_>, id: &ProductId, now: jiff::Timestamp) -> Option<Offer> {
    let state = sight.state;
    let entity = state.products.get(id)?;
    let details = &entity.value.details;
    let scope = chain::product_scope(&mut Reader::new(state, now), id).ok();
    let mut columns = Vec::new();
    for column in &details.shape.columns {
        let mut precisions = BTreeMap::new();
        if let Some(scope) = &scope {
            for mode in &scope.modes {
                if let Some(precision) = scope.visible_in(*mode).get(&column.name) {
                    precisions.insert(*mode, precision.to_string());
                }
            }
        }
        columns.push(OfferedColumn {
            name: column.name.to_string(),
            data_type: column.data_type,
            computed: column.computed,
            precisions,
            lineage: column.lineage.iter().map(|source| lineage_item(state, source)).collect(),
        });
    }
    let mut permits = Vec::new();
    for (resource, permit) in &details.inputs {
        let Some(permit) = state.permits.get(permit) else { continue };
        permits.push(offer_permit(sight, &permit.value, resource.as_str()));
    }
    Some(Offer {
        item: item(state, &|link| sight.sees(link), entity, now),
        key: details.key.iter().map(ToString::to_string).collect(),
        columns,
        conditions: details.shape.conditions.iter().map(|source| lineage_item(state, source)).collect(),
        permits,
        order: scope.map(|scope| order_choice(sight, id, &scope, now)),
    })
}

fn offer_permit(sight: &Sight<'_>, permit: &Permit, resource: &str) -> OfferPermit {
    let state = sight.state;
    let mandate = state.mandates.get(&permit.details.mandate).map(|mandate| &mandate.value);
    let named = resource.parse().ok().and_then(|id| state.resources.get(&id));
    OfferPermit {
        id: permit.id.to_string(),
        scenario: permit.details.scenario.clone(),
        state: permit.state().to_owned(),
        mandate: permit.details.mandate.to_string(),
        mandate_name: mandate.map(|mandate| mandate.details.name.clone()).unwrap_or_default(),
        mandate_state: mandate.map(|mandate| mandate.state().to_owned()).unwrap_or_default(),
        permit_open: sight.sees(permit.id.as_str()),
        mandate_open: sight.sees(permit.details.mandate.as_str()),
        resource: resource.to_owned(),
        resource_name: named.map(|resource| resource.value.details.name.clone()).unwrap_or_default(),
    }
}

pub(crate) fn lineage_item(state: &Folded, source: &SourceColumn) -> LineageItem {
    let resource = state.resources.get(&source.resource).map(|resource| &resource.value.details);
    let column = resource.and_then(|resource| resource.columns.iter().find(|column| column.name == source.column));
    LineageItem {
        resource: source.resource.to_string(),
        resource_name: resource.map(|resource| resource.name.clone()).unwrap_or_default(),
        table: resource.map(|resource| resource.table.to_string()).unwrap_or_default(),
        column: source.column.to_string(),
        meaning: column.map(|column| column.meaning.clone()).unwrap_or_default(),
        grade: column.map(|column| column.grade),
    }
}
