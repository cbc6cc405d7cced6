//! Ingestions: uploading a source file, and looking at the job that reads it into a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::{Body as Stream, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use lingqu_app::{AppError, IngestionFailure, IngestionView, Spooled, data_type_of};
use lingqu_domain::id::{IngestionId, ResourceId};
use lingqu_domain::resource::{DataType, Snapshot};
use lingqu_domain::scope::ColumnName;
use lingqu_engine::source::{
    EncodingOrigin, FoundEncoding, RejectLimit, SchemaDrift, SourceFormat, SourceOptions, TextEncoding,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use utoipa::{IntoParams, ToSchema};

use crate::entry::limit_of;
use crate::problem::{ProblemDocument, Query};
use crate::resource::seen;
use crate::session::{Changing, Viewer};
use crate::visibility::Sight;
use crate::{Api, BODY_TIME_MAX, Shared};

/// Largest source file that is taken over HTTP, in bytes (2 GiB). Larger ones are imported on the node itself.
const UPLOAD_BYTES_MAX: u64 = 2 << 30;
/// Longest name of an uploaded file, in characters.
const NAME_CHARS_MAX: usize = 200;
/// Jobs of a page when the request does not say, and at most.
const PAGE_JOBS: u32 = 50;
const PAGE_JOBS_MAX: u32 = 200;
/// Bytes of a rejects file that are read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Formats of a source file.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UploadFormat {
    /// Separated values with a header line.
    Csv,
    /// The same with tabulators between the values.
    Tsv,
    /// A sheet of a workbook.
    Xlsx,
    /// One JSON object a line, or one array of objects.
    Json,
    /// Apache Parquet.
    Parquet,
}

/// Encodings of a text file.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UploadEncoding {
    /// UTF-8.
    Utf8,
    /// GB 18030, of which GBK and GB 2312 are parts.
    #[serde(alias = "gbk", alias = "gb2312")]
    Gb18030,
    /// UTF-16, the lower byte first.
    Utf16Le,
    /// UTF-16, the higher byte first.
    Utf16Be,
}

/// How the body is to be read.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadQuery {
    /// The file's name. Its ending tells the format unless that is said, and `.gz` or `.zst` that a text is compressed.
    name: Option<String>,
    /// The body's format.
    #[param(inline)]
    format: Option<UploadFormat>,
    /// The separator of a CSV or TSV file, one ASCII character; a comma or a tabulator unless it is said.
    delimiter: Option<char>,
    /// What a CSV or TSV file writes for a missing value, such as `NA`, besides nothing at all.
    null_token: Option<String>,
    /// The encoding of a text file; found out unless it is said, and told with the job.
    #[param(inline)]
    encoding: Option<UploadEncoding>,
    /// The sheet of a workbook; the first unless it is said.
    sheet: Option<String>,
    /// The row of a sheet that names the columns, from 1; the first with a value unless it is said.
    header_row: Option<u32>,
    /// Whether every cell of a merged area has its value; otherwise merged cells are bad values.
    fill_merged_cells: Option<bool>,
    /// Whether columns that the catalogue entry does not have are left out; otherwise they refuse the file.
    ignore_extra_columns: Option<bool>,
    /// Rows that may be rejected, up to 100,000; none unless it is said: the first bad row refuses the file.
    rejects_max: Option<u64>,
    /// Of a thousand rows at most so many may be rejected.
    rejects_per_mille: Option<u16>,
    /// What the file calls columns that it calls otherwise than by their names: a JSON object from its header to the column. A
    /// column's meaning in the catalogue entry is known without.
    headers: Option<String>,
}

impl UploadQuery {
    fn format(&self) -> Option<SourceFormat> {
        Some(match self.format? {
            UploadFormat::Csv => SourceFormat::Csv,
            UploadFormat::Tsv => SourceFormat::Tsv,
            UploadFormat::Xlsx => SourceFormat::Xlsx,
            UploadFormat::Json => SourceFormat::Json,
            UploadFormat::Parquet => SourceFormat::Parquet,
        })
    }

    /// The same for the engine. Error: headers that are no such object.
    pub(crate) fn options(&self) -> Result<SourceOptions, ProblemDocument> {
        let header_names: BTreeMap<String, ColumnName> = match &self.headers {
            None => BTreeMap::new(),
            Some(text) => serde_json::from_str(text).map_err(|_| {
                ProblemDocument::invalid(
                    "headers",
                    "headers 须为 JSON 对象：文件中的列名对应本资源的信息项名称",
                    "headers is a JSON object from the file's header to the column's name",
                )
            })?,
        };
        let limit = RejectLimit::default();
        Ok(SourceOptions {
            format: self.format(),
            delimiter: self.delimiter,
            null_tokens: self.null_token.iter().cloned().collect(),
            encoding: self.encoding.map(|encoding| match encoding {
                UploadEncoding::Utf8 => TextEncoding::Utf8,
                UploadEncoding::Gb18030 => TextEncoding::Gb18030,
                UploadEncoding::Utf16Le => TextEncoding::Utf16Le,
                UploadEncoding::Utf16Be => TextEncoding::Utf16Be,
            }),
            sheet: self.sheet.clone(),
            header_row: self.header_row,
            fill_merged_cells: self.fill_merged_cells.unwrap_or(false),
            header_names,
            ignore_extra_columns: self.ignore_extra_columns.unwrap_or(false),
            rejects: RejectLimit {
                rows_max: self.rejects_max.unwrap_or(limit.rows_max),
                per_mille_max: self.rejects_per_mille.unwrap_or(limit.per_mille_max),
            },
            ..SourceOptions::default()
        })
    }
}

/// Keeps the body as a file of the node, never holding more than a chunk of it. Who may not bring in data is refused before the
/// first byte.
pub(crate) async fn keep(
    api: &Api,
    viewer: &Viewer,
    resource: &ResourceId,
    query: &UploadQuery,
    body: Stream,
) -> Result<Spooled, ProblemDocument> {
    api.app.may_ingest(&viewer.actor(), resource)?;
    let name = query.name.as_deref().unwrap_or("upload");
    if name.chars().count() > NAME_CHARS_MAX {
        let (zh, en) =
            (format!("文件名不超过 {NAME_CHARS_MAX} 字"), format!("a name has at most {NAME_CHARS_MAX} characters"));
        return Err(ProblemDocument::invalid("name", zh, en));
    }
    if query.format.is_none() && SourceFormat::of_name(name).is_none() {
        return Err(ProblemDocument::invalid(
            "format",
            "无法从文件名判断格式，请给出 format 或以 .csv、.tsv、.xlsx、.json、.ndjson、.parquet 结尾的 name",
            "the name tells no format: send `format`, or a `name` that ends in .csv, .tsv, .xlsx, .json, .ndjson or .parquet",
        ));
    }
    let mut spool = api.app.spool(resource, name, query.format()).await?;
    let mut bytes_left = UPLOAD_BYTES_MAX;
    let mut chunks = body.into_data_stream();
    loop {
        let next = tokio::time::timeout(BODY_TIME_MAX, chunks.next()).await.map_err(|_| ProblemDocument::too_slow())?;
        let Some(chunk) = next else { break };
        let chunk = chunk.map_err(|_| {
            ProblemDocument::invalid("body", "文件未完整上传，请重新上传", "the upload broke off; send the file again")
        })?;
        let Some(left) = bytes_left.checked_sub(chunk.len() as u64) else {
            return Err(ProblemDocument::too_large(UPLOAD_BYTES_MAX));
        };
        bytes_left = left;
        spool.write(&chunk).await?;
    }
    Ok(spool.finish().await?)
}

/// A job that reads a source into a snapshot.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ingestion {
    /// Its id.
    id: IngestionId,
    /// The resource.
    resource: ResourceId,
    /// Who asked for it: a user's id.
    actor: String,
    /// What the source is called.
    source_name: String,
    /// SHA-256 of the source, hexadecimal; empty where there is none.
    source_digest: String,
    /// `queued`, `running`, `committed`, `failed` or `cancelled`.
    state: String,
    /// Rows read so far, with the rejected ones.
    rows_read: u64,
    /// About how many rows there are to read, while they are read; 0 where that is not known.
    rows_expected: u64,
    /// Rows rejected so far.
    rows_rejected: u64,
    /// Bytes of the source read so far.
    bytes_read: u64,
    /// Bytes of the source; 0 when they are not known.
    bytes_total: u64,
    /// How often it was begun: more than once after an interruption.
    attempts: u64,
    /// When it was asked for, RFC 3339.
    created_at: String,
    /// When it began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    /// When it ended, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    /// The snapshot, once it is committed.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<Snapshot>,
    /// The encoding of a text file and how it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<SourceEncoding>,
    /// How the source's columns differ from the catalogue entry's.
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<Drift>,
    /// How the columns differ from those of the resource's last snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    drift_since_last: Option<Drift>,
    /// True when a database's table held the same as the newest snapshot: `snapshot` is that one, and no new one was made.
    is_unchanged: bool,
    /// What became of the rows that an interrupted reading of a database's table had finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    resumption: Option<IngestionResumption>,
    /// Why a queued job waits until its source can be reached again.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<IngestionWait>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    /// Whether its rejected rows can be downloaded.
    has_rejects: bool,
}

/// An encoding that was declared or found out.
#[derive(Serialize, ToSchema)]
pub(crate) struct SourceEncoding {
    /// The encoding.
    encoding: UploadEncoding,
    /// How it is known: `declared`, `byte_order_mark`, `valid` (every byte is of it), or `guessed`: see whether the texts read
    /// well, and declare it if they do not.
    origin: &'static str,
}

/// How columns differ. Names and types, never values.
#[derive(Serialize, ToSchema)]
pub(crate) struct Drift {
    /// Columns that only the source has.
    added: Vec<String>,
    /// Columns that the source lacks.
    missing: Vec<String>,
    /// Columns of another type.
    changed: Vec<ColumnChange>,
    /// Whether the columns stand in another order, which harms nothing.
    reordered: bool,
}

/// A column of another type.
#[derive(Serialize, ToSchema)]
pub(crate) struct ColumnChange {
    /// The column.
    column: String,
    /// The type wanted.
    expected: DataType,
    /// The type found.
    found: DataType,
}

/// How far a reading could be gone on from. All rows are read again; from the first difference on everything is written anew.
#[derive(Serialize, ToSchema)]
pub(crate) struct IngestionResumption {
    /// Rows that had been finished.
    finished_rows: u64,
    /// Those of them that were kept: the table still holds the same there.
    kept_rows: u64,
}

/// Why a job waits.
#[derive(Serialize, ToSchema)]
pub(crate) struct IngestionWait {
    /// What is wrong with its source.
    reason: Failure,
    /// How often it was put off.
    times: u64,
    /// When it is tried again, RFC 3339; asking for the same again has it tried at once.
    retry_at: String,
}

/// Why a job failed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Failure {
    /// The stable code.
    code: String,
    /// What to do, in Chinese.
    detail: String,
    /// … in English.
    detail_en: String,
}

impl Ingestion {
    pub(crate) fn of(api: &Api, job: IngestionView) -> Self {
        let outcome = job.outcome;
        Self {
            has_rejects: job.rows_rejected > 0 && api.app.rejects_of(&job.id).is_some(),
            id: job.id,
            resource: job.resource,
            actor: job.actor,
            source_name: job.source_name,
            source_digest: job.source_digest,
            state: job.state,
            rows_read: job.rows_read,
            rows_expected: job.rows_expected,
            rows_rejected: job.rows_rejected,
            bytes_read: job.bytes_read,
            bytes_total: job.bytes_total,
            attempts: job.attempts,
            created_at: job.created_at,
            started_at: job.started_at,
            ended_at: job.ended_at,
            snapshot: job.snapshot,
            encoding: outcome.encoding.map(SourceEncoding::from),
            drift: outcome.drift.map(Drift::from),
            drift_since_last: outcome.drift_since_last.map(Drift::from),
            is_unchanged: outcome.is_unchanged,
            resumption: outcome.resumption.map(|resumption| IngestionResumption {
                finished_rows: resumption.finished_rows,
                kept_rows: resumption.kept_rows,
            }),
            waiting: outcome.waiting.map(|waiting| IngestionWait {
                reason: Failure::from(waiting.reason),
                times: waiting.times,
                retry_at: waiting.retry_at.to_string(),
            }),
            failure: outcome.failure.map(Failure::from),
        }
    }
}

impl From<IngestionFailure> for Failure {
    fn from(failure: IngestionFailure) -> Self {
        Failure { code: failure.code, detail: failure.detail, detail_en: failure.detail_en }
    }
}

impl From<FoundEncoding> for SourceEncoding {
    fn from(found: FoundEncoding) -> Self {
        let encoding = match found.encoding {
            TextEncoding::Utf8 => UploadEncoding::Utf8,
            TextEncoding::Gb18030 => UploadEncoding::Gb18030,
            TextEncoding::Utf16Le => UploadEncoding::Utf16Le,
            TextEncoding::Utf16Be => UploadEncoding::Utf16Be,
        };
        let origin = match found.origin {
            EncodingOrigin::Declared => "declared",
            EncodingOrigin::ByteOrderMark => "byte_order_mark",
            EncodingOrigin::Valid => "valid",
            EncodingOrigin::Guessed => "guessed",
        };
        Self { encoding, origin }
    }
}

impl From<SchemaDrift> for Drift {
    fn from(drift: SchemaDrift) -> Self {
        let changed = drift.changed.into_iter().map(|change| ColumnChange {
            column: change.column,
            expected: data_type_of(change.expected),
            found: data_type_of(change.found),
        });
        Self { added: drift.added, missing: drift.missing, changed: changed.collect(), reordered: drift.reordered }
    }
}

/// Takes a source file as the body and queues its reading into the resource's next snapshot: 202 with the job. The columns of the
/// catalogue entry are demanded of the file by name or meaning, and type. The same file read in the same way, while its snapshot is
/// still the newest or its job under way, answers that job: 200.
#[utoipa::path(post, path = "/api/v1/resources/{id}/ingestions", operation_id = "begin_ingestion", tag = "commands",
    params(("id" = String, Path, description = "the resource's id"), UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "the file, at most 2 GiB"),
    responses((status = 202, body = Ingestion), (status = 200, body = Ingestion), (status = 401, body = ProblemDocument),
        (status = 403, body = ProblemDocument), (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument),
        (status = 413, body = ProblemDocument), (status = 422, body = ProblemDocument), (status = 429, body = ProblemDocument),
        (status = 503, body = ProblemDocument)))]
pub(crate) async fn begin(
    State(api): Shared,
    Path(id): Path<String>,
    Query(query): Query<UploadQuery>,
    Changing(viewer): Changing,
    body: Stream,
) -> Result<(StatusCode, Json<Ingestion>), ProblemDocument> {
    let resource = seen(&api, &viewer, &id)?;
    let options = query.options()?;
    let spooled = keep(&api, &viewer, &resource, &query, body).await?;
    let submitted = api.app.submit_ingestion(&viewer.actor(), &resource, spooled, options).await?;
    let status = if submitted.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(Ingestion::of(&api, submitted.job))))
}

/// A page of jobs.
#[derive(Serialize, ToSchema)]
pub(crate) struct IngestionPage {
    /// The jobs, newest first.
    items: Vec<Ingestion>,
    /// Where the next page begins; absent after the last job.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Which jobs are shown.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct IngestionQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// At most so many: 1 to 200.
    limit: Option<u32>,
    /// Only jobs of this resource, by id.
    resource: Option<String>,
    /// Only jobs in this state.
    state: Option<String>,
}

/// Jobs, newest first: a provider's own, and all of them for those who supervise.
#[utoipa::path(get, path = "/api/v1/ingestions", operation_id = "list_ingestions", tag = "lists", params(IngestionQuery),
    responses((status = 200, body = IngestionPage), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn list(
    State(api): Shared,
    viewer: Viewer,
    Query(query): Query<IngestionQuery>,
) -> Result<Json<IngestionPage>, ProblemDocument> {
    let limit = limit_of(query.limit, PAGE_JOBS, PAGE_JOBS_MAX)?;
    let before = match &query.cursor {
        None => None,
        Some(text) => Some(text.parse::<IngestionId>().map_err(|_| {
            ProblemDocument::invalid(
                "cursor",
                "cursor 须取自上一页的 next_cursor",
                "a cursor is the next_cursor of a page",
            )
        })?),
    };
    let resources = match &query.resource {
        Some(id) => {
            let resource = seen(&api, &viewer, id)?;
            if !may_see_jobs(&api, &viewer, &resource) {
                return Ok(Json(IngestionPage { items: Vec::new(), next_cursor: None }));
            }
            Some(BTreeSet::from([resource]))
        }
        None => own_resources(&api, &viewer),
    };
    let mut jobs = api.app.ingestions(resources.as_ref(), query.state.as_deref(), before.as_ref(), limit + 1).await?;
    let is_full = jobs.len() > limit as usize;
    jobs.truncate(limit as usize);
    let next_cursor = jobs.last().filter(|_| is_full).map(|job| job.id.to_string());
    Ok(Json(IngestionPage { items: jobs.into_iter().map(|job| Ingestion::of(&api, job)).collect(), next_cursor }))
}

/// The resources whose jobs the viewer sees; none: all of them.
fn own_resources(api: &Api, viewer: &Viewer) -> Option<BTreeSet<ResourceId>> {
    api.app.read(|state| {
        let sight = Sight::new(viewer, state);
        let own = || state.resources.values().filter(|resource| sight.is_own(&resource.value.provider));
        (!sight.is_oversight()).then(|| own().map(|resource| resource.value.id.clone()).collect())
    })
}

/// A provider sees the jobs of its own resources, and those who supervise see all.
fn may_see_jobs(api: &Api, viewer: &Viewer, resource: &ResourceId) -> bool {
    api.app.read(|state| {
        let sight = Sight::new(viewer, state);
        let provider = state.resources.get(resource).map(|resource| &resource.value.provider);
        sight.is_oversight() || provider.is_some_and(|provider| sight.is_own(provider))
    })
}

/// The job, if the viewer may know of it.
async fn seen_job(api: &Api, viewer: &Viewer, id: &str) -> Result<IngestionView, ProblemDocument> {
    let not_found = || ProblemDocument::not_found(id);
    let job = api.app.ingestion(&id.parse().map_err(|_| not_found())?).await?;
    if may_see_jobs(api, viewer, &job.resource) { Ok(job) } else { Err(not_found()) }
}

/// A job with how far it has come by now.
#[utoipa::path(get, path = "/api/v1/ingestions/{id}", operation_id = "get_ingestion", tag = "lists",
    params(("id" = String, Path, description = "its id")),
    responses((status = 200, body = Ingestion), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn get(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Json<Ingestion>, ProblemDocument> {
    let job = seen_job(&api, &viewer, &id).await?;
    Ok(Json(Ingestion::of(&api, job)))
}

/// Cancels a job that has not ended; what was read of it is thrown away.
#[utoipa::path(delete, path = "/api/v1/ingestions/{id}", operation_id = "cancel_ingestion", tag = "commands",
    params(("id" = String, Path, description = "its id")),
    responses((status = 200, body = Ingestion), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument)))]
pub(crate) async fn cancel(
    State(api): Shared,
    Path(id): Path<String>,
    Changing(viewer): Changing,
) -> Result<Json<Ingestion>, ProblemDocument> {
    let job = seen_job(&api, &viewer, &id).await?;
    let job = api.app.cancel_ingestion(&viewer.actor(), &job.id).await?;
    Ok(Json(Ingestion::of(&api, job)))
}

/// The rejected rows of a job, one JSON object a line: `line`, `column`, `reason`, what was `expected`, what kind was `found` and how
/// long it was. The values are not told. For users of the provider alone.
#[utoipa::path(get, path = "/api/v1/ingestions/{id}/rejects", operation_id = "ingestion_rejects", tag = "lists",
    params(("id" = String, Path, description = "the job's id")),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn rejects(
    State(api): Shared,
    viewer: Viewer,
    Path(id): Path<String>,
) -> Result<Response, ProblemDocument> {
    let job = seen_job(&api, &viewer, &id).await?;
    let is_own = api.app.read(|state| {
        let provider = state.resources.get(&job.resource).map(|resource| &resource.value.provider);
        provider.is_some_and(|provider| Sight::new(&viewer, state).is_own(provider))
    });
    // Of a reading that ended before any row was rejected there may be an empty file.
    let has_some = job.rows_rejected > 0 && job.ended_at.is_some();
    let path = api.app.rejects_of(&job.id).filter(|_| is_own && has_some);
    let path = path.ok_or_else(|| ProblemDocument::not_found(&id))?;
    let file = tokio::fs::File::open(&path).await.map_err(|error| AppError::file("read", &path, &error))?;
    let pieces = futures::stream::unfold(file, |mut file| async move {
        let mut piece = vec![0; PIECE_BYTES];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(count) => {
                piece.truncate(count);
                Some((Ok(Bytes::from(piece)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    let name = format!("attachment; filename=\"{}-rejects.ndjson\"", job.id);
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, Stream::from_stream(pieces)).into_response())
}
