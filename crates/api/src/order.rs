//! What belongs to one order beyond the entity itself: its journey, its receipts, its evidence, its service keys.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lingqu_app::PRIVACY_DELTA;
use lingqu_domain::id::OrderId;
use lingqu_domain::privacy::Rho;
use lingqu_domain::receipt::ReceiptRecord;
use lingqu_domain::refusal::{Refusal, RefusalCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::command::options;
use crate::entry::limit_of;
use crate::journal::party_of;
use crate::problem::{ProblemDocument, Query};
use crate::session::{Changing, Viewer};
use crate::visibility::Sight;
use crate::{Api, Shared};

/// Receipt records of a page when the request does not say, and at most.
const PAGE_RECORDS: u32 = 100;
const PAGE_RECORDS_MAX: u32 = 500;

/// One link of an order's journey.
#[derive(Serialize, ToSchema)]
pub(crate) struct JourneyStep {
    /// The kind of entity, such as `mandate`.
    kind: String,
    /// Its id.
    id: String,
    /// Its title.
    title: String,
    /// Its state.
    state: String,
    /// Whether the viewer may open it.
    open: bool,
    /// What happened to it, in order.
    events: Vec<JourneyEvent>,
}

/// One event of a link.
#[derive(Serialize, ToSchema)]
pub(crate) struct JourneyEvent {
    /// Its place in the journal.
    position: u64,
    /// When, RFC 3339.
    at: String,
    /// Its kind, such as `mandate.suspended`.
    kind: String,
    /// Who gave the command: a user's id, a subject's id or `node`.
    actor: String,
    /// The party he acted for, in Chinese; absent for subjects and the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    party: Option<String>,
    /// … in English.
    #[serde(skip_serializing_if = "Option::is_none")]
    party_en: Option<String>,
}

/// An order's way from the resources it is made of to the settlement of what it used.
#[derive(Serialize, ToSchema)]
pub(crate) struct Journey {
    /// The order.
    order: String,
    /// Whether it has a grant now.
    granted: bool,
    /// Why not, in Chinese.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    /// … in English.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal_en: Option<String>,
    /// Which link is not in force, by id.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_link: Option<String>,
    /// The links in the order of the life of data.
    steps: Vec<JourneyStep>,
}

/// A receipt record with its place in the receipt log.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlacedReceipt {
    /// Its place.
    position: u64,
    /// The record.
    record: ReceiptRecord,
}

/// A page of receipt records.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReceiptPage {
    /// The records, oldest first.
    items: Vec<PlacedReceipt>,
    /// What `after` of the next page is; absent after the last record.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<u64>,
}

/// Which records are shown.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiptQuery {
    /// Only records after this position.
    after: Option<u64>,
    /// At most so many: 1 to 500.
    limit: Option<u32>,
}

/// One privacy account that an order's statistics debit. Amounts are ρ of zero-concentrated differential privacy.
#[derive(Serialize, ToSchema)]
pub(crate) struct PrivacyAccountView {
    /// The link that set the budget: a supply, plan, mandate or permit.
    link: String,
    /// The resource.
    resource: String,
    /// The budget.
    budget: Rho,
    /// What the consumer and those tied to it have spent.
    spent: Rho,
    /// What is left.
    left: Rho,
    /// What the budget means as ε, rounded up; absent where it can't be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    epsilon_budget: Option<f64>,
    /// What was spent, in the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    epsilon_spent: Option<f64>,
}

/// The privacy accounts of an order.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderPrivacy {
    /// What each new answer costs; absent where the product declares no noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    rho_per_answer: Option<Rho>,
    /// How many new answers are left; absent without accounts or noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers_left: Option<u64>,
    /// The δ at which ε is told.
    delta: f64,
    /// The accounts; none where no right above the order sets a budget.
    accounts: Vec<PrivacyAccountView>,
}

/// A service key, shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServiceKey {
    /// Its id.
    id: String,
    /// The key itself. It is kept nowhere.
    key: String,
    /// Its last four characters, by which it is told from others later.
    last_four: String,
}

/// The order, if the viewer may know of it.
pub(crate) fn seen(api: &Api, viewer: &Viewer, id: &str) -> Result<OrderId, ProblemDocument> {
    let visible = api.app.read(|state| {
        let order = id.parse().ok().and_then(|id| state.orders.get(&id))?;
        Sight::new(viewer, state).sees(id).then(|| order.value.id.clone())
    });
    visible.ok_or_else(|| ProblemDocument::not_found(id))
}

/// The way of an order, link by link, with what happened to each and who did it.
#[utoipa::path(get, path = "/api/v1/orders/{id}/journey", operation_id = "get_journey", tag = "orders",
    params(("id" = String, Path, description = "the order's id")),
    responses((status = 200, body = Journey), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn journey(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Json<Journey>, ProblemDocument> {
    let order = seen(&api, &viewer, &id)?;
    let found = api.app.journey(&order).await?;
    Ok(Json(api.app.read(|state| describe(&Sight::new(&viewer, state), found))))
}

/// Names the parties in both languages, and says which links the viewer may open.
fn describe(sight: &Sight<'_>, found: lingqu_app::Journey) -> Journey {
    let state = sight.state;
    let mut steps = Vec::new();
    for step in found.steps {
        let mut events = Vec::new();
        for event in step.events {
            let (party, party_en) = party_of(state, &event.actor).unzip();
            events.push(JourneyEvent {
                position: event.position,
                at: event.at,
                kind: event.kind,
                actor: event.actor,
                party,
                party_en,
            });
        }
        let open = sight.sees(&step.id);
        steps.push(JourneyStep { kind: step.kind, id: step.id, title: step.title, state: step.state, open, events });
    }
    Journey {
        order: found.order,
        granted: found.in_force,
        refusal: found.refusal.as_ref().map(|refusal| refusal.zh.clone()),
        refused_link: found.refusal.as_ref().map(|refusal| refusal.subject.clone()),
        refusal_en: found.refusal.map(|refusal| refusal.en),
        steps,
    }
}

/// The order's receipt records, oldest first. They hold no personal data.
#[utoipa::path(get, path = "/api/v1/orders/{id}/receipts", operation_id = "list_receipts", tag = "orders",
    params(("id" = String, Path, description = "the order's id"), ReceiptQuery),
    responses((status = 200, body = ReceiptPage), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn receipts(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(query): Query<ReceiptQuery>,
) -> Result<Json<ReceiptPage>, ProblemDocument> {
    let order = seen(&api, &viewer, &id)?;
    let limit = limit_of(query.limit, PAGE_RECORDS, PAGE_RECORDS_MAX)?;
    let limit = limit as usize;
    let records = api.app.order_receipts(&order, query.after.unwrap_or(0), limit).await?;
    let is_full = records.len() == limit;
    let mut items = Vec::new();
    for (position, record) in records {
        items.push(PlacedReceipt { position, record });
    }
    let next_after = if is_full { items.last().map(|item| item.position) } else { None };
    Ok(Json(ReceiptPage { items, next_after }))
}

/// The privacy accounts that the order's statistics debit, and what is left of them.
#[utoipa::path(get, path = "/api/v1/orders/{id}/privacy", operation_id = "get_order_privacy", tag = "orders",
    params(("id" = String, Path, description = "the order's id")),
    responses((status = 200, body = OrderPrivacy), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn privacy(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Json<OrderPrivacy>, ProblemDocument> {
    let order = seen(&api, &viewer, &id)?;
    let standing = api.app.privacy_standing(&order).await?;
    let mut accounts = Vec::new();
    for account in &standing.accounts {
        accounts.push(PrivacyAccountView {
            link: account.link.clone(),
            resource: account.resource.to_string(),
            budget: account.budget,
            spent: account.spent,
            left: account.left(),
            epsilon_budget: account.epsilon_budget(),
            epsilon_spent: account.epsilon_spent(),
        });
    }
    let (rho_per_answer, answers_left) = (standing.rho_per_answer, standing.answers_left());
    Ok(Json(OrderPrivacy { rho_per_answer, answers_left, delta: PRIVACY_DELTA, accounts }))
}

/// The order's evidence as a file that anyone can check offline with `lingqu audit verify`.
#[utoipa::path(get, path = "/api/v1/orders/{id}/evidence", operation_id = "export_evidence", tag = "orders",
    params(("id" = String, Path, description = "the order's id")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument)))]
pub(crate) async fn evidence(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, ProblemDocument> {
    let order = seen(&api, &viewer, &id)?;
    // It holds the rights above the order, which an order that one side alone wants does not open.
    if !api.app.read(|state| state.orders.get(&order).is_some_and(|order| order.value.is_signed())) {
        let zh = format!("{order} 尚未由双方签订，没有可举证的合同；请先签订");
        let en = format!("{order} has not been signed by both sides, so there is no contract to prove; sign it first");
        return Err(Refusal::new(RefusalCode::WrongState, &order, zh, en).into());
    }
    let bytes = api.app.export_evidence(&order).await?;
    let disposition = format!("attachment; filename=\"{order}.evidence\"");
    let disposition = HeaderValue::from_str(&disposition)
        .map_err(|_| ProblemDocument::fault("an order id is not fit for a header"))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, bytes).into_response())
}

/// Issues a service key of the order. It is shown in this answer and never again.
#[utoipa::path(post, path = "/api/v1/orders/{id}/service-keys", operation_id = "issue_service_key", tag = "orders",
    params(("id" = String, Path, description = "the order's id"), ("Idempotency-Key" = String, Header, description = "a new one for each change")),
    responses((status = 201, body = ServiceKey), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn issue_service_key(
    State(api): Shared,
    Changing(viewer): Changing,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<ServiceKey>), ProblemDocument> {
    let options = options(&headers)?;
    let order = seen(&api, &viewer, &id)?;
    let issued = api.app.issue_service_key(&viewer.actor(), &order, options).await?;
    let key = ServiceKey { id: issued.id.to_string(), key: issued.key.to_string(), last_four: issued.last_four };
    Ok((StatusCode::CREATED, Json(key)))
}
