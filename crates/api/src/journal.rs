//! The journal as it stands, for those who supervise: every decision with who made it. It holds no personal data.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::Shared;
use crate::problem::{ProblemDocument, Query};
use crate::session::Viewer;
use crate::visibility::OVERSIGHT;

/// Events of a page when the request does not say, and at most.
const PAGE_EVENTS: u32 = 100;
const PAGE_EVENTS_MAX: u32 = 500;

/// An event of the journal.
#[derive(Serialize, ToSchema)]
pub(crate) struct JournalEvent {
    /// Its place, from 1, without gaps.
    position: u64,
    /// When, RFC 3339.
    at: String,
    /// Who gave the command.
    actor: String,
    /// The command's id.
    command_id: String,
    /// The entity it happened to.
    stream: String,
    /// Version of the entity after it.
    stream_version: u64,
    /// Its kind, such as `mandate.suspended`.
    kind: String,
    /// What happened, in the journal's canonical form.
    #[schema(value_type = Object)]
    body: Value,
}

/// A page of the journal.
#[derive(Serialize, ToSchema)]
pub(crate) struct JournalPage {
    /// The events, oldest first.
    items: Vec<JournalEvent>,
    /// What `after` of the next page is; absent at the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<u64>,
}

/// Which events are shown.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct JournalQuery {
    /// Only events after this position.
    after: Option<u64>,
    /// At most so many: 1 to 500.
    limit: Option<u32>,
}

/// Events of the journal, for the data authority and the auditor.
#[utoipa::path(get, path = "/api/v1/journal", operation_id = "list_journal", tag = "oversight", params(JournalQuery),
    responses((status = 200, body = JournalPage), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn journal(
    State(api): Shared,
    viewer: Viewer,
    Query(query): Query<JournalQuery>,
) -> Result<Json<JournalPage>, ProblemDocument> {
    if !viewer.has_role(&OVERSIGHT) {
        return Err(ProblemDocument::not_permitted(
            "日志由数据主管部门和审计查阅",
            "the journal is read by the data authority and the auditor",
        ));
    }
    let limit = query.limit.unwrap_or(PAGE_EVENTS);
    if limit == 0 || limit > PAGE_EVENTS_MAX {
        return Err(ProblemDocument::invalid(
            "limit",
            format!("limit 为 1 至 {PAGE_EVENTS_MAX}"),
            format!("limit is 1 to {PAGE_EVENTS_MAX}"),
        ));
    }
    let records = api.app.store().read_after(query.after.unwrap_or(0), limit).await;
    let records = records.map_err(lingqu_app::AppError::from)?;
    let is_full = records.len() == limit as usize;
    let mut items = Vec::new();
    for record in records {
        let body = serde_json::from_str(&record.body)
            .map_err(|error| ProblemDocument::fault(format!("event {} can't be read: {error}", record.position)))?;
        items.push(JournalEvent {
            position: record.position,
            at: record.at,
            actor: record.actor,
            command_id: record.command_id,
            stream: record.stream,
            stream_version: record.stream_version,
            kind: record.kind,
            body,
        });
    }
    let next_after = if is_full { items.last().map(|item| item.position) } else { None };
    Ok(Json(JournalPage { items, next_after }))
}
