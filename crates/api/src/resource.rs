//! Uploading a source file into a snapshot, and running quality rules over the newest one.

use std::path::Path as FilePath;

use axum::Json;
use axum::body::Body as Stream;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use futures::StreamExt;
use lingqu_domain::id::ResourceId;
use lingqu_domain::resource::Snapshot;
use lingqu_engine::source::{SourceFormat, SourceOptions};
use lingqu_quality::RuleSet;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use utoipa::{IntoParams, ToSchema};

use crate::Shared;
use crate::problem::{Body, ProblemDocument, Query};
use crate::session::Changing;

/// Largest source file that is taken over HTTP, in bytes (2 GiB). Larger ones are imported on the node itself.
pub(crate) const UPLOAD_BYTES_MAX: u64 = 2 << 30;

/// Formats of a source file.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UploadFormat {
    /// Separated values with a header line.
    Csv,
    /// One JSON object a line, or one array of objects.
    Json,
    /// Apache Parquet.
    Parquet,
}

/// How the body is to be read.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadQuery {
    /// The body's format.
    #[param(inline)]
    format: UploadFormat,
    /// The separator of a CSV file, one ASCII character; a comma unless it is said.
    delimiter: Option<char>,
    /// What a CSV file writes for a missing value, such as `NA`, besides nothing at all.
    null_token: Option<String>,
}

/// Takes a source file as the body and records it as the resource's next snapshot. The columns of the catalogue entry are
/// demanded of the file by name and type; a bad file is refused with line and column.
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
    let resource: ResourceId = id.parse().map_err(|_| ProblemDocument::not_found(&id))?;
    let (format, ending) = match query.format {
        UploadFormat::Csv => (SourceFormat::Csv, ".csv"),
        UploadFormat::Json => (SourceFormat::Json, ".json"),
        UploadFormat::Parquet => (SourceFormat::Parquet, ".parquet"),
    };
    let directory = api.app.directory().join("uploads");
    tokio::fs::create_dir_all(&directory)
        .await
        .map_err(|error| ProblemDocument::fault(format!("can't keep an upload: {error}")))?;
    // The file vanishes with this handle, whatever happens below.
    let file = tempfile::Builder::new()
        .prefix("upload-")
        .suffix(ending)
        .tempfile_in(&directory)
        .map_err(|error| ProblemDocument::fault(format!("can't keep an upload: {error}")))?;
    keep(body, file.path()).await?;
    let options = SourceOptions {
        format: Some(format),
        delimiter: query.delimiter.unwrap_or(','),
        null_tokens: query.null_token.into_iter().collect(),
        declared: None,
    };
    let snapshot = api.app.import_snapshot(&viewer.actor(), &resource, file.path(), options).await?;
    Ok((StatusCode::CREATED, Json(snapshot)))
}

/// Writes the body to a file, never holding more than a chunk of it.
async fn keep(body: Stream, path: &FilePath) -> Result<(), ProblemDocument> {
    let fault = |error: std::io::Error| ProblemDocument::fault(format!("can't keep an upload: {error}"));
    let mut file = tokio::fs::File::create(path).await.map_err(fault)?;
    let mut bytes_left = UPLOAD_BYTES_MAX;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            ProblemDocument::invalid("body", "文件未完整上传，请重新上传", "the upload broke off; send the file again")
        })?;
        let Some(left) = bytes_left.checked_sub(chunk.len() as u64) else {
            return Err(ProblemDocument::too_large(UPLOAD_BYTES_MAX));
        };
        bytes_left = left;
        file.write_all(&chunk).await.map_err(fault)?;
    }
    file.flush().await.map_err(fault)
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
    let resource: ResourceId = id.parse().map_err(|_| ProblemDocument::not_found(&id))?;
    let report = api.app.run_quality(&viewer.actor(), &resource, &rules, &mut |_| {}).await?;
    Ok((StatusCode::CREATED, Json(QualityOutcome { report })))
}
