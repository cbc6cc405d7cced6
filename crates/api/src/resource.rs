//! A resource's snapshots: uploading a source file into a new one, running quality rules over the newest, and all there were.

use axum::Json;
use axum::body::Body as Stream;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use lingqu_domain::id::ResourceId;
use lingqu_domain::resource::Snapshot;
use lingqu_quality::RuleSet;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::entry::limit_of;
use crate::ingestion::{UploadQuery, keep};
use crate::journal::party_of;
use crate::problem::{Body, ProblemDocument, Query};
use crate::session::{Changing, Viewer};
use crate::visibility::Sight;
use crate::{Api, Shared};

/// Snapshots of a page when the request does not say, and at most.
const PAGE_SNAPSHOTS: u32 = 50;
const PAGE_SNAPSHOTS_MAX: u32 = 200;

/// Takes a source file as the body, records it as the resource's next snapshot, and answers when that is done; an ingestion
/// does the same without waiting. The columns of the catalogue entry are demanded of the file by name or meaning, and type; a
/// bad file is refused with line and column.
#[utoipa::path(post, path = "/api/v1/resources/{id}/snapshots", operation_id = "import_snapshot", tag = "commands",
    params(("id" = String, Path, description = "the resource's id"), UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "the file, at most 2 GiB"),
    responses((status = 201, body = Snapshot), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 413, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn import_snapshot(
    State(api): Shared,
    Path(id): Path<String>,
    Query(query): Query<UploadQuery>,
    Changing(viewer): Changing,
    body: Stream,
) -> Result<(StatusCode, Json<Snapshot>), ProblemDocument> {
    let resource = seen(&api, &viewer, &id)?;
    let options = query.options()?;
    let spooled = keep(&api, &viewer, &resource, &query, body).await?;
    let snapshot = api.app.import_spooled(&viewer.actor(), &resource, spooled, options).await?;
    Ok((StatusCode::CREATED, Json(snapshot)))
}

/// The resource, if the viewer may know of it.
pub(crate) fn seen(api: &Api, viewer: &Viewer, id: &str) -> Result<ResourceId, ProblemDocument> {
    let is_seen = api.app.read(|state| Sight::new(viewer, state).sees(id));
    id.parse().ok().filter(|_| is_seen).ok_or_else(|| ProblemDocument::not_found(id))
}

/// A snapshot with who recorded it.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordedSnapshot {
    /// The snapshot.
    snapshot: Snapshot,
    /// Journal position of the event that recorded it.
    position: u64,
    /// Who recorded it: a user's id.
    actor: String,
    /// The party he acted for, in Chinese.
    #[serde(skip_serializing_if = "Option::is_none")]
    party: Option<String>,
    /// … in English.
    #[serde(skip_serializing_if = "Option::is_none")]
    party_en: Option<String>,
}

/// A page of a resource's snapshots.
#[derive(Serialize, ToSchema)]
pub(crate) struct SnapshotPage {
    /// The snapshots, newest first.
    items: Vec<RecordedSnapshot>,
    /// What `before` of the next page is; absent after the last snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_before: Option<u64>,
}

/// Which snapshots are shown.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotQuery {
    /// Only versions before this one.
    before: Option<u64>,
    /// At most so many: 1 to 200.
    limit: Option<u32>,
}

/// Every version of the resource's data, newest first, as the journal recorded them.
#[utoipa::path(get, path = "/api/v1/resources/{id}/snapshots", operation_id = "list_snapshots", tag = "lists",
    params(("id" = String, Path, description = "the resource's id"), SnapshotQuery),
    responses((status = 200, body = SnapshotPage), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn snapshots(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
    Query(query): Query<SnapshotQuery>,
) -> Result<Json<SnapshotPage>, ProblemDocument> {
    let resource = seen(&api, &viewer, &id)?;
    let limit = limit_of(query.limit, PAGE_SNAPSHOTS, PAGE_SNAPSHOTS_MAX)?;
    let mut history = api.app.snapshot_history(&resource).await?;
    history.retain(|(_, snapshot)| query.before.is_none_or(|before| snapshot.version < before));
    let is_full = history.len() > limit as usize;
    history.truncate(limit as usize);
    let next_before = history.last().filter(|_| is_full).map(|(_, snapshot)| snapshot.version);
    let items = api.app.read(|state| {
        let mut items = Vec::new();
        for (event, snapshot) in history {
            let (party, party_en) = party_of(state, &event.actor).unzip();
            items.push(RecordedSnapshot { snapshot, position: event.position, actor: event.actor, party, party_en });
        }
        items
    });
    Ok(Json(SnapshotPage { items, next_before }))
}

/// What a rule set found.
#[derive(Serialize, ToSchema)]
pub(crate) struct QualityOutcome {
    /// The report as it was computed: counts and row numbers per rule, scores per dimension.
    #[schema(value_type = Object)]
    report: lingqu_quality::Report,
}

/// Runs a rule set over the resource's newest snapshot and records the report; its findings open tickets. The body is a
/// rule set: name, version, rules.
#[utoipa::path(post, path = "/api/v1/resources/{id}/quality-reports", operation_id = "run_quality", tag = "commands",
    params(("id" = String, Path, description = "the resource's id")), request_body = Object,
    responses((status = 201, body = QualityOutcome), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn run_quality(
    State(api): Shared,
    Path(id): Path<String>,
    Changing(viewer): Changing,
    Body(rules): Body<RuleSet>,
) -> Result<(StatusCode, Json<QualityOutcome>), ProblemDocument> {
    let resource = seen(&api, &viewer, &id)?;
    let report = api.app.run_quality(&viewer.actor(), &resource, &rules, &mut |_| {}).await?;
    Ok((StatusCode::CREATED, Json(QualityOutcome { report })))
}
