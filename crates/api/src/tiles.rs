//! The transparency log as static files, as C2SP tlog-tiles asks: `checkpoint`, `tile/<L>/<N>[.p/<W>]` and
//! `tile/entries/<N>[.p/<W>]`; the twin over SM3 in the same form below `sm3/`. A tile's content never changes; the checkpoint
//! does. Bundles are not compressed: they hold digests, which nothing makes shorter.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::Shared;
use crate::problem::ProblemDocument;

/// Answers a file of the log. A path that the specification doesn't know finds nothing.
pub(crate) async fn file(State(api): Shared, Path(path): Path<String>) -> Result<Response, ProblemDocument> {
    let found = api.app.log_file(&path).await?;
    let bytes = found.ok_or_else(|| ProblemDocument::not_found(&path))?;
    let (content_type, cache) = if path.ends_with("checkpoint") {
        ("text/plain; charset=utf-8", "no-cache")
    } else {
        ("application/octet-stream", "public, max-age=31536000, immutable")
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    Ok((headers, bytes).into_response())
}
