//! Lineage: where a product, an order's data or one delivery came from, and who received what came from a column.
//!
//! Upward nothing is shown that the entity itself does not show already. Downward a viewer sees what he may open: whoever
//! provides or supervises the resource sees every order and delivery with its consumer, a consumer those of his own orders.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use lingqu_app::{BegunDelivery, EventCursor, TimeRange};
use lingqu_domain::chain;
use lingqu_domain::decide::Reader;
use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::lineage::ColumnUse;
use lingqu_domain::product::{ProductColumn, ProductDetails, SourceColumn};
use lingqu_domain::refusal::Refusal;
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::{ColumnName, Mode};
use lingqu_domain::state::{Listed, State as Folded};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::entry::limit_of;
use crate::problem::{ProblemDocument, Query};
use crate::product::{LineageItem, lineage_item};
use crate::session::Viewer;
use crate::visibility::Sight;
use crate::{Api, Shared};

/// Items of a page when the request does not say, and at most.
const PAGE_ITEMS: u32 = 50;
const PAGE_ITEMS_MAX: u32 = 200;
/// Deliveries that one page looks at, and orders, which may have none; a page that finds fewer of what is asked for goes on in
/// the next.
const LOOKED_AT_MAX: usize = 500;
/// Events of a page when the request does not say, and at most.
const PAGE_EVENTS: u32 = 100;
const PAGE_EVENTS_MAX: u32 = 500;

/// A product's column with the source columns it is made of.
#[derive(Serialize, ToSchema)]
pub(crate) struct TracedColumn {
    /// Its name.
    name: String,
    /// False where it is a source column as it stands.
    computed: bool,
    /// The source columns.
    from: Vec<LineageItem>,
}

/// Where a product comes from.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProductLineage {
    /// The product.
    product: String,
    /// Its name.
    product_name: String,
    /// Its columns in their order.
    columns: Vec<TracedColumn>,
    /// Source columns that decide which rows there are.
    conditions: Vec<LineageItem>,
}

/// A column that an order has, with where it comes from.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderedColumn {
    /// The column.
    #[serde(flatten)]
    column: TracedColumn,
    /// Its precision in each mode that shows it now.
    #[schema(value_type = BTreeMap<String, String>)]
    precisions: BTreeMap<Mode, String>,
}

/// Where an order's data comes from.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderLineage {
    /// The order.
    order: String,
    /// Its product.
    product: String,
    /// Whether it has a grant now; without one no column is shown.
    granted: bool,
    /// The columns that its grant shows.
    columns: Vec<OrderedColumn>,
    /// Source columns that decide which rows there are.
    conditions: Vec<LineageItem>,
}

/// A column of an answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct AnsweredColumn {
    /// False where it is a column of the product as it stands.
    computed: bool,
    /// The product's columns that it is made of.
    from: Vec<TracedColumn>,
}

/// Where one delivery came from.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReceiptLineage {
    /// The receipt.
    receipt: String,
    /// When it began, RFC 3339.
    at: String,
    /// The order.
    order: String,
    /// The product.
    product: String,
    /// The consumer.
    consumer: String,
    /// The mode.
    mode: Mode,
    /// The protocol.
    protocol: String,
    /// REAL or SYNTHETIC.
    nature: Nature,
    /// Versions of the snapshots, as `resource@version`.
    snapshots: Vec<String>,
    /// False where the record is from before lineage was recorded; the order's lineage then bounds it.
    recorded: bool,
    /// True where no more is known than which columns may have been used.
    at_most: bool,
    /// The answer's columns in their order. Their names are the consumer's own and are not kept.
    columns: Vec<AnsweredColumn>,
    /// The product's columns that the consumer chose rows by.
    conditions: Vec<TracedColumn>,
    /// Source columns that decide which rows the product has.
    product_conditions: Vec<LineageItem>,
}

/// A product that uses a column, with an order for it or, where there is none that the viewer may open, alone.
#[derive(Serialize, ToSchema)]
pub(crate) struct DownstreamItem {
    /// The product.
    product: String,
    /// Its name.
    product_name: String,
    /// Where it stands.
    product_state: String,
    /// Its columns that are made of the column.
    columns: Vec<String>,
    /// Whether the column decides which rows the product has.
    condition: bool,
    /// The order.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    /// Where the order stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_state: Option<String>,
    /// The order's consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<String>,
    /// Its name, in Chinese.
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_name: Option<String>,
    /// … in English.
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_name_en: Option<String>,
}

/// A page of products and orders.
#[derive(Serialize, ToSchema)]
pub(crate) struct DownstreamPage {
    /// The items, by product and order.
    items: Vec<DownstreamItem>,
    /// Where the next page begins; absent after the last item.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A delivery that used a column.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveredItem {
    /// The receipt.
    receipt: String,
    /// When it began, RFC 3339.
    at: String,
    /// The order.
    order: String,
    /// The product.
    product: String,
    /// Who received it.
    consumer: String,
    /// Its name, in Chinese.
    consumer_name: String,
    /// … in English.
    consumer_name_en: String,
    /// For which purpose.
    purpose: String,
    /// The mode.
    mode: Mode,
    /// The protocol.
    protocol: String,
    /// REAL or SYNTHETIC.
    nature: Nature,
    /// The product's columns by which the column was used.
    columns: Vec<String>,
    /// Whether values of the answer were made of it.
    values: bool,
    /// Whether rows of the answer were chosen by it.
    condition: bool,
    /// True where no more is known than that it may have been used so.
    at_most: bool,
}

/// A page of deliveries.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveredPage {
    /// The deliveries, order by order, each order's oldest first.
    items: Vec<DeliveredItem>,
    /// Where the next page begins; absent at the end. A page may be shorter than its limit, even empty, and have a next
    /// one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A page of OpenLineage events.
#[derive(Serialize, ToSchema)]
pub(crate) struct LineageEventPage {
    /// The events (OpenLineage 2-0-2).
    #[schema(value_type = Vec<Object>)]
    items: Vec<Value>,
    /// Where the next page begins; absent at the end. A page may be shorter than its limit, even empty, and have a next
    /// one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Which items a page shows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// At most so many items: 1 to 200.
    limit: Option<u32>,
}

/// Which deliveries or events a page shows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimedQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// At most so many: deliveries 1 to 200, events 1 to 500.
    limit: Option<u32>,
    /// Not before this moment, RFC 3339 with offset.
    from: Option<String>,
    /// Before this moment, RFC 3339 with offset.
    to: Option<String>,
}

impl TimedQuery {
    fn range(&self) -> Result<TimeRange, ProblemDocument> {
        let moment = |name: &str, text: &Option<String>| {
            let parsed = text.as_ref().map(|text| text.parse::<jiff::Timestamp>()).transpose();
            parsed.map_err(|_| {
                let (zh, en) =
                    (format!("{name} 须为带时区的 RFC 3339 时间"), format!("`{name}` is RFC 3339 with an offset"));
                ProblemDocument::invalid(name, zh, en)
            })
        };
        Ok(TimeRange { from: moment("from", &self.from)?, to: moment("to", &self.to)? })
    }
}

fn bad_cursor() -> ProblemDocument {
    ProblemDocument::invalid("cursor", "cursor 须取自上一页的 next_cursor", "a cursor is the next_cursor of a page")
}

fn traced(state: &Folded, column: &ProductColumn) -> TracedColumn {
    TracedColumn {
        name: column.name.to_string(),
        computed: column.computed,
        from: column.lineage.iter().map(|source| lineage_item(state, source)).collect(),
    }
}

/// A product's column by name; one that the product does not have any more is told without where it comes from.
fn traced_by_name(state: &Folded, product: &ProductDetails, name: &ColumnName) -> TracedColumn {
    match product.shape.columns.iter().find(|column| column.name == *name) {
        Some(column) => traced(state, column),
        None => TracedColumn { name: name.to_string(), computed: false, from: Vec::new() },
    }
}

fn conditions(state: &Folded, product: &ProductDetails) -> Vec<LineageItem> {
    product.shape.conditions.iter().map(|source| lineage_item(state, source)).collect()
}

/// Where a product comes from.
#[utoipa::path(get, path = "/api/v1/lineage/products/{id}", operation_id = "get_product_lineage", tag = "lineage",
    params(("id" = String, Path, description = "the product's id")),
    responses((status = 200, body = ProductLineage), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn of_product(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Json<ProductLineage>, ProblemDocument> {
    let found = api.app.read(|state| {
        let sight = Sight::new(&viewer, state);
        let product = id.parse().ok().filter(|_| sight.sees(&id)).and_then(|id| state.products.get(&id))?;
        let details = &product.value.details;
        Some(ProductLineage {
            product: product.value.id.to_string(),
            product_name: details.name.clone(),
            columns: details.shape.columns.iter().map(|column| traced(state, column)).collect(),
            conditions: conditions(state, details),
        })
    });
    found.map(Json).ok_or_else(|| ProblemDocument::not_found(&id))
}

/// Where the data of an order comes from.
#[utoipa::path(get, path = "/api/v1/lineage/orders/{id}", operation_id = "get_order_lineage", tag = "lineage",
    params(("id" = String, Path, description = "the order's id")),
    responses((status = 200, body = OrderLineage), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn of_order(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Json<OrderLineage>, ProblemDocument> {
    let now = api.app.now();
    let found = api.app.read(|state| {
        let sight = Sight::new(&viewer, state);
        let id: OrderId = id.parse().ok().filter(|_| sight.sees(&id))?;
        let order = &state.orders.get(&id)?.value;
        let details = &state.products.get(&order.details.product)?.value.details;
        let scope = chain::order_scope(&mut Reader::new(state, now), &id).ok();
        let mut columns = Vec::new();
        for column in &details.shape.columns {
            let mut precisions = BTreeMap::new();
            for mode in scope.iter().flat_map(|scope| &scope.modes) {
                let shown = scope.as_ref().and_then(|scope| scope.visible_in(*mode).get(&column.name).copied());
                precisions.extend(shown.map(|precision| (*mode, precision.to_string())));
            }
            if !precisions.is_empty() {
                columns.push(OrderedColumn { column: traced(state, column), precisions });
            }
        }
        Some(OrderLineage {
            order: id.to_string(),
            product: order.details.product.to_string(),
            granted: scope.is_some(),
            columns,
            conditions: conditions(state, details),
        })
    });
    found.map(Json).ok_or_else(|| ProblemDocument::not_found(&id))
}

/// Where one delivery came from.
#[utoipa::path(get, path = "/api/v1/lineage/receipts/{id}", operation_id = "get_receipt_lineage", tag = "lineage",
    params(("id" = String, Path, description = "the receipt's id")),
    responses((status = 200, body = ReceiptLineage), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn of_receipt(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Json<ReceiptLineage>, ProblemDocument> {
    let not_found = || ProblemDocument::not_found(&id);
    let receipt: ReceiptId = id.parse().map_err(|_| not_found())?;
    let delivery = api.app.delivery(&receipt).await?.ok_or_else(not_found)?;
    let found = api.app.read(|state| {
        let sight = Sight::new(&viewer, state);
        let product = state.products.get(&delivery.opening.product)?;
        sight.sees(delivery.opening.order.as_str()).then(|| receipt_lineage(state, &delivery, &product.value.details))
    });
    found.map(Json).ok_or_else(not_found)
}

fn receipt_lineage(state: &Folded, delivery: &BegunDelivery, product: &ProductDetails) -> ReceiptLineage {
    let opening = &delivery.opening;
    let lineage = opening.lineage.clone().unwrap_or_default();
    let by_name = |name: &ColumnName| traced_by_name(state, product, name);
    let columns = lineage
        .columns
        .iter()
        .map(|column| AnsweredColumn { computed: column.computed, from: column.from.iter().map(by_name).collect() });
    ReceiptLineage {
        receipt: delivery.receipt.to_string(),
        at: delivery.at.to_string(),
        order: opening.order.to_string(),
        product: opening.product.to_string(),
        consumer: opening.consumer.to_string(),
        mode: opening.mode,
        protocol: opening.protocol.clone(),
        nature: opening.nature,
        snapshots: opening.snapshots.clone(),
        recorded: opening.lineage.is_some(),
        at_most: lineage.at_most || opening.lineage.is_none(),
        columns: columns.collect(),
        conditions: lineage.conditions.iter().map(by_name).collect(),
        product_conditions: conditions(state, product),
    }
}

/// A column of a resource, if the viewer may know of it.
fn source_of(sight: &Sight<'_>, resource: &str, column: &str) -> Result<SourceColumn, ProblemDocument> {
    let found = resource.parse().ok().filter(|_| sight.sees(resource)).and_then(|id| sight.state.resources.get(&id));
    let found = found.ok_or_else(|| ProblemDocument::not_found(resource))?;
    let known = found.value.details.columns.iter().find(|known| known.name.as_str() == column);
    let known = known.ok_or_else(|| ProblemDocument::not_found(column))?;
    Ok(SourceColumn { resource: found.value.id.clone(), column: known.name.clone() })
}

/// The products and orders that use a column of a resource: all of them for its provider and for those who supervise, for
/// everybody else the products that are public and his own orders.
#[utoipa::path(get, path = "/api/v1/lineage/resources/{id}/columns/{column}/downstream", operation_id = "list_downstream", tag = "lineage",
    params(("id" = String, Path, description = "the resource's id"), ("column" = String, Path, description = "the column"), PageQuery),
    responses((status = 200, body = DownstreamPage), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn downstream(
    State(api): Shared,
    viewer: Viewer,
    Path((id, column)): Path<(String, String)>,
    Query(query): Query<PageQuery>,
) -> Result<Json<DownstreamPage>, ProblemDocument> {
    let limit = limit_of(query.limit, PAGE_ITEMS, PAGE_ITEMS_MAX)? as usize;
    api.app.read(|state| {
        let sight = Sight::new(&viewer, state);
        let source = source_of(&sight, &id, &column)?;
        let mut items = downstream_items(&sight, &source);
        items.retain(|(place, _)| query.cursor.as_ref().is_none_or(|cursor| place > cursor));
        let is_more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| is_more).map(|(place, _)| place.clone());
        Ok(Json(DownstreamPage { items: items.into_iter().map(|(_, item)| item).collect(), next_cursor }))
    })
}

/// What uses a column and may be seen, each with its place in the list.
fn downstream_items(sight: &Sight<'_>, source: &SourceColumn) -> Vec<(String, DownstreamItem)> {
    let state = sight.state;
    let mut items = Vec::new();
    for product in state.products.values().map(|product| &product.value) {
        let Some(used) = ColumnUse::by_product(&product.details, source) else { continue };
        if !sight.sees(product.id.as_str()) {
            continue;
        }
        let item = || DownstreamItem {
            product: product.id.to_string(),
            product_name: product.details.name.clone(),
            product_state: product.state().to_owned(),
            columns: used.columns.iter().map(ToString::to_string).collect(),
            condition: used.condition,
            order: None,
            order_state: None,
            consumer: None,
            consumer_name: None,
            consumer_name_en: None,
        };
        let of_product =
            state.orders.values().map(|order| &order.value).filter(|order| order.details.product == product.id);
        let count = items.len();
        for order in of_product.filter(|order| sight.sees(order.id.as_str())) {
            let consumer = state.parties.get(&order.consumer).map(|party| &party.value);
            items.push((
                format!("{}/{}", product.id, order.id),
                DownstreamItem {
                    order: Some(order.id.to_string()),
                    order_state: Some(order.state().to_owned()),
                    consumer: Some(order.consumer.to_string()),
                    consumer_name: consumer.map(|consumer| consumer.name.clone()),
                    consumer_name_en: consumer.map(|consumer| consumer.name_en.clone()),
                    ..item()
                },
            ));
        }
        if items.len() == count {
            items.push((format!("{}/", product.id), item()));
        }
    }
    items
}

/// Who received what came from a column of a resource: the deliveries that used it, of the orders that the viewer may open.
#[utoipa::path(get, path = "/api/v1/lineage/resources/{id}/columns/{column}/deliveries", operation_id = "list_deliveries_of_column", tag = "lineage",
    params(("id" = String, Path, description = "the resource's id"), ("column" = String, Path, description = "the column"), TimedQuery),
    responses((status = 200, body = DeliveredPage), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn deliveries(
    State(api): Shared,
    viewer: Viewer,
    Path((id, column)): Path<(String, String)>,
    Query(query): Query<TimedQuery>,
) -> Result<Json<DeliveredPage>, ProblemDocument> {
    let limit = limit_of(query.limit, PAGE_ITEMS, PAGE_ITEMS_MAX)? as usize;
    let range = query.range()?;
    let begin = query.cursor.as_deref().map(read_place).transpose()?;
    let (source, orders) = api.app.read(|state| {
        let sight = Sight::new(&viewer, state);
        let source = source_of(&sight, &id, &column)?;
        let mut orders = Vec::new();
        for order in state.orders.values().map(|order| &order.value) {
            let product = state.products.get(&order.details.product).map(|product| &product.value.details);
            let uses = product.is_some_and(|product| ColumnUse::by_product(product, &source).is_some());
            if uses && begin.as_ref().is_none_or(|(first, _)| order.id >= *first) && sight.sees(order.id.as_str()) {
                orders.push(order.id.clone());
            }
        }
        Ok::<_, ProblemDocument>((source, orders))
    })?;
    let mut page = DeliveredPage { items: Vec::new(), next_cursor: None };
    let mut looked_at = 0;
    let mut orders = orders.into_iter().peekable();
    while let Some(order) = orders.next() {
        let mut after = begin.as_ref().filter(|(first, _)| *first == order).map_or(0, |(_, after)| *after);
        loop {
            let wanted = limit.min(LOOKED_AT_MAX - looked_at);
            let found = api.app.deliveries_of(&order, after, wanted).await?;
            let is_last = found.len() < wanted;
            for delivery in found {
                after = delivery.position;
                looked_at += 1;
                if range.covers(delivery.at) {
                    page.items.extend(delivered_item(&api, &source, &delivery));
                }
                if page.items.len() >= limit || looked_at >= LOOKED_AT_MAX {
                    page.next_cursor = Some(format!("{order}:{after}"));
                    return Ok(Json(page));
                }
            }
            if is_last {
                break;
            }
        }
        looked_at += 1;
        if looked_at >= LOOKED_AT_MAX && orders.peek().is_some() {
            page.next_cursor = Some(format!("{order}:{after}"));
            break;
        }
    }
    Ok(Json(page))
}

fn read_place(cursor: &str) -> Result<(OrderId, u64), ProblemDocument> {
    let (order, after) = cursor.split_once(':').ok_or_else(bad_cursor)?;
    Ok((order.parse().map_err(|_| bad_cursor())?, after.parse().map_err(|_| bad_cursor())?))
}

fn delivered_item(api: &Api, source: &SourceColumn, delivery: &BegunDelivery) -> Option<DeliveredItem> {
    let opening = &delivery.opening;
    api.app.read(|state| {
        let product = &state.products.get(&opening.product)?.value.details;
        let used = ColumnUse::by_answer(product, opening.lineage.as_ref(), source)?;
        let consumer = state.parties.get(&opening.consumer).map(|party| &party.value);
        Some(DeliveredItem {
            receipt: delivery.receipt.to_string(),
            at: delivery.at.to_string(),
            order: opening.order.to_string(),
            product: opening.product.to_string(),
            consumer: opening.consumer.to_string(),
            consumer_name: consumer.map(|consumer| consumer.name.clone()).unwrap_or_default(),
            consumer_name_en: consumer.map(|consumer| consumer.name_en.clone()).unwrap_or_default(),
            purpose: opening.purpose.0.clone(),
            mode: opening.mode,
            protocol: opening.protocol.clone(),
            nature: opening.nature,
            columns: used.columns.iter().map(ToString::to_string).collect(),
            values: used.values,
            condition: used.condition,
            at_most: used.at_most,
        })
    })
}

/// What the node did to data, as events of OpenLineage; for the data authority and the auditor.
#[utoipa::path(get, path = "/api/v1/lineage/events", operation_id = "list_lineage_events", tag = "lineage", params(TimedQuery),
    responses((status = 200, body = LineageEventPage), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn events(
    State(api): Shared,
    viewer: Viewer,
    Query(query): Query<TimedQuery>,
) -> Result<Json<LineageEventPage>, ProblemDocument> {
    if !viewer.has_role(&crate::visibility::OVERSIGHT) {
        let refusal = Refusal::not_permitted(
            "lineage_events",
            "全域血缘事件仅供数据主管部门与审计机构查阅；请改查本单位资源、产品或订单的血缘",
            "lineage events of the whole node are for the data authority and the auditor; ask for the lineage of a resource, product or order",
        );
        return Err(refusal.into());
    }
    let limit = limit_of(query.limit, PAGE_EVENTS, PAGE_EVENTS_MAX)? as usize;
    let range = query.range()?;
    let cursor = match &query.cursor {
        None => EventCursor::default(),
        Some(text) => text.parse().map_err(|_| bad_cursor())?,
    };
    let page = api.app.lineage_events(cursor, range, limit).await?;
    Ok(Json(LineageEventPage { items: page.events, next_cursor: page.next.map(|next| next.to_string()) }))
}
