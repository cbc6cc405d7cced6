//! The node as a witness of others' logs (C2SP tlog-witness v1.0.0), without login: who asks shows by a log's signature that he
//! may. Submission and monitoring prefix are the same, `/witness`.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lingqu_app::AppError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::pace::Caller;
use crate::problem::ProblemDocument;
use crate::session::Viewer;
use crate::{BODY_TIME_MAX, Shared};

/// The largest request, in bytes: what the witness reads at most.
pub(crate) const REQUEST_BYTES_MAX: usize = 256 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";

/// `POST /witness/add-checkpoint`: cosigns a checkpoint, with the statuses and bodies of the specification; beside them 408, 413
/// and 429 for bodies that come too slowly, are too large, or too many.
pub(crate) async fn add_checkpoint(State(api): Shared, request: Request) -> Response {
    let Caller(from) = Caller::of(request.extensions());
    if let Err(seconds) = api.witness_pace.begin(from, Instant::now()) {
        let headers = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
        return (headers, plain(StatusCode::TOO_MANY_REQUESTS, "too many requests; wait and ask again\n"))
            .into_response();
    }
    let body = match tokio::time::timeout(BODY_TIME_MAX, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "a request has at most 262144 bytes\n"),
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time; send it again\n"),
    };
    match api.app.cosign_checkpoint(body.into()).await {
        Ok(Some(answer)) => {
            let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type()))];
            (status, headers, answer.body()).into_response()
        }
        Ok(None) => plain(StatusCode::NOT_FOUND, "this node is no witness\n"),
        Err(error) => fault(error),
    }
}

/// `GET /witness/<SHA-256 of the origin>/checkpoint`: the last checkpoint of a log that was cosigned.
pub(crate) async fn checkpoint(State(api): Shared, Path(origin_hash): Path<String>) -> Response {
    match api.app.cosigned_checkpoint(&origin_hash).await {
        Ok(Some(note)) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static(TEXT)),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
                (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
            ];
            (headers, note).into_response()
        }
        Ok(None) => plain(StatusCode::NOT_FOUND, "no checkpoint of this log was cosigned here\n"),
        Err(error) => fault(error),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static(TEXT))], text).into_response()
}

/// A fault of the node. Witnesses answer in plain text, so its sentence stays in the node's log.
fn fault(error: AppError) -> Response {
    let document = ProblemDocument::from(error);
    let status = StatusCode::from_u16(document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    plain(status, "the witness can't answer now; try again later\n")
}

/// A log that the node witnesses.
#[derive(Serialize, ToSchema)]
pub(crate) struct WitnessedLog {
    /// The first line of its checkpoints.
    origin: String,
    /// The size of the last checkpoint that this node cosigned; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Whether the configuration still names it.
    is_watched: bool,
}

/// A witness that the node asks to cosign one of its logs.
#[derive(Serialize, ToSchema)]
pub(crate) struct AskedWitness {
    /// Where it is asked.
    url: String,
    /// The key with which it cosigns (C2SP signed-note).
    vkey: String,
    /// Whether it cosigns the twin log instead of the log over SHA-256.
    of_twin: bool,
    /// The size of the log that it cosigned last; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// When it says that it cosigned, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    cosigned_at: Option<u64>,
    /// Entries that are published and that it has not cosigned.
    behind: u64,
    /// What its last answer came to: `cosigned`, `unreachable`, `unknown_log`, `not_trusted`, `ahead`, `inconsistent`, `no_proof`
    /// or `other`; absent before it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// The same in words, with what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

/// Who cosigns this node's logs, and whose this node cosigns.
#[derive(Serialize, ToSchema)]
#[schema(as = Witnessing)]
pub(crate) struct Witnessing {
    /// Witnesses that this node asks.
    asked: Vec<AskedWitness>,
    /// Logs that this node cosigns or has cosigned.
    watched: Vec<WitnessedLog>,
}

/// Who cosigns this node's logs, how far each has come, and the logs that this node cosigns.
#[utoipa::path(get, path = "/api/v1/witnesses", operation_id = "get_witnesses", tag = "node",
    responses((status = 200, body = Witnessing), (status = 401, body = ProblemDocument)))]
pub(crate) async fn standing(State(api): Shared, _viewer: Viewer) -> Result<Json<Witnessing>, ProblemDocument> {
    let logs = api.app.witnessed_logs().await?;
    let watched = logs.into_iter().map(|log| {
        let lingqu_app::WitnessedLog { origin, size, is_watched } = log;
        WitnessedLog { origin, size, is_watched }
    });
    let asked = api.app.witness_standings().into_iter().map(|standing| {
        let lingqu_app::WitnessStanding { url, vkey, of_twin, size, cosigned_at, behind, outcome, answer } = standing;
        AskedWitness { url, vkey, of_twin, size, cosigned_at, behind, outcome, answer }
    });
    Ok(Json(Witnessing { asked: asked.collect(), watched: watched.collect() }))
}
