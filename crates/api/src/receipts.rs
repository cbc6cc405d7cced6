//! Receipts as a table: questions in SQL over what was delivered.
//!
//! Those who supervise ask about all deliveries, everybody else about those of the orders that he may open. What is left
//! out does not exist for a statement, by the same tables that a consumer's statements run on. There is no governed value
//! in it, no text of a request and no row number.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use lingqu_app::ReceiptSight;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::problem::{Body, ProblemDocument};
use crate::session::Changing;
use crate::visibility::{Sight, Visible};
use crate::{Api, Shared};

/// A question about receipts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiptQuestion {
    /// A statement over the table `receipts`.
    sql: String,
}

/// What it comes to.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReceiptAnswer {
    /// Names of the columns, in their order.
    columns: Vec<String>,
    /// The rows, at most 10,000, each an object by column.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Value>,
    /// Position of the receipt log up to which deliveries that ended are in the answer.
    position: u64,
    /// Position of the log's last record: where it is larger, the rest is taken in within minutes.
    head: u64,
}

/// Asks about deliveries in SQL, over the table `receipts` with a row for each that ended. The data authority and the auditor ask
/// about all, a party about those of orders that it may open. Nothing is changed; it is a POST because a statement may be long.
#[utoipa::path(post, path = "/api/v1/receipts/query", operation_id = "query_receipts", tag = "oversight", request_body = ReceiptQuestion,
    responses((status = 200, body = ReceiptAnswer), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 422, body = ProblemDocument), (status = 503, body = ProblemDocument)))]
pub(crate) async fn query(
    State(api): Shared,
    Changing(viewer): Changing,
    Body(question): Body<ReceiptQuestion>,
) -> Result<Json<ReceiptAnswer>, ProblemDocument> {
    let sight = sight_of(&api, &viewer);
    let answered = api.app.query_receipts(sight, &question.sql).await?;
    Ok(Json(ReceiptAnswer {
        columns: answered.answer.columns,
        rows: answered.answer.rows,
        position: answered.position,
        head: answered.head,
    }))
}

fn sight_of(api: &Api, viewer: &crate::session::Viewer) -> ReceiptSight {
    api.app.read(|state| {
        let sight = Sight::new(viewer, state);
        if sight.is_oversight() {
            return ReceiptSight::All;
        }
        let visible = state.orders.iter().filter(|(_, order)| order.value.is_visible(&sight));
        ReceiptSight::Orders(visible.map(|(id, _)| id.clone()).collect::<BTreeSet<_>>())
    })
}
