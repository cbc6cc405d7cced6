//! The keys that an order's copies are marked with: what the node asks of the auditor, and the auditor's answer.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use lingqu_app::{KeyRequest, KeyShares};
use lingqu_domain::id::{OrderId, PartyId, ProductId};
use lingqu_domain::marking::{KeyCommitments, MarkProfile};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Shared;
use crate::command::options;
use crate::order::seen;
use crate::problem::{Body, ProblemDocument};
use crate::session::{Changing, Viewer};

/// What the node asks of the half-holder for one order. It holds no secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkKeyRequest {
    /// The order.
    order: OrderId,
    /// Its product.
    product: ProductId,
    /// Its consumer.
    consumer: PartyId,
    /// Which replacement of the product's key of positions.
    epoch: u32,
    /// Which replacement of the consumer's code and of its orders' codes; the first one is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    code_epoch: u32,
    /// The profile of the product's marking.
    profile: MarkProfile,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The half-holder's shares of an order's keys, as `lingqu regulator share` writes them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkKeyShares {
    /// What was asked.
    request: MarkKeyRequest,
    /// Of the key of positions: 64 hexadecimal digits.
    positions: String,
    /// Of the consumer's key.
    recipient: String,
    /// Of the order's key.
    order: String,
}

impl From<KeyRequest> for MarkKeyRequest {
    fn from(request: KeyRequest) -> Self {
        let KeyRequest { order, product, consumer, epoch, code_epoch, profile } = request;
        Self { order, product, consumer, epoch, code_epoch, profile }
    }
}

impl From<MarkKeyRequest> for KeyRequest {
    fn from(request: MarkKeyRequest) -> Self {
        let MarkKeyRequest { order, product, consumer, epoch, code_epoch, profile } = request;
        Self { order, product, consumer, epoch, code_epoch, profile }
    }
}

/// What the node asks of the auditor for an order whose copies are marked.
#[utoipa::path(get, path = "/api/v1/orders/{id}/key-request", operation_id = "get_key_request", tag = "orders",
    params(("id" = String, Path, description = "the order's id")),
    responses((status = 200, body = MarkKeyRequest), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument)))]
pub(crate) async fn request(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Json<MarkKeyRequest>, ProblemDocument> {
    let order = seen(&api, &viewer, &id)?;
    Ok(Json(api.app.key_request(&order)?.into()))
}

/// Gives the auditor's shares of an order's keys. The node seals them and commits to the keys in the journal; deliveries of the
/// order can then begin. The same shares once more change nothing.
#[utoipa::path(post, path = "/api/v1/orders/{id}/key-shares", operation_id = "give_key_shares", tag = "orders",
    params(("id" = String, Path, description = "the order's id"), ("Idempotency-Key" = String, Header, description = "a new one for each change")),
    request_body = MarkKeyShares,
    responses((status = 200, body = KeyCommitments), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn give(
    State(api): Shared,
    Changing(viewer): Changing,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(shares): Body<MarkKeyShares>,
) -> Result<Json<KeyCommitments>, ProblemDocument> {
    let options = options(&headers)?;
    let order = seen(&api, &viewer, &id)?;
    if shares.request.order != order {
        return Err(ProblemDocument::not_found(shares.request.order.as_str()));
    }
    let MarkKeyShares { request, positions, recipient, order } = shares;
    let shares = KeyShares { request: request.into(), positions, recipient, order };
    Ok(Json(api.app.give_key_shares(&viewer.actor(), &shares, options).await?))
}
