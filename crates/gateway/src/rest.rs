//! The data plane over HTTP. Mounted at `/data/v1`:
//!
//! ```text
//! POST /{product}/verify          a claim, or up to 1,000           → match, mismatch, not_found
//! POST /{product}/query           the consumer's own SQL            → rows, or statistics
//! GET  /{product}/lookup/{key}    one key, its parts joined by `,`  → its row
//! GET  /{product}/lookup?col=…    one key, its parts by name        → its row
//! POST /{product}/lookup          up to 1,000 keys                  → their rows
//! GET  /{product}/rows            columns, filters, order, cursor   → a page
//! GET  /{product}/export          columns, filters, format, range   → a file, or a piece of it
//! GET  /{product}/privacy         the order's privacy accounts      → what is left of them
//! GET  /{product}/openapi.json    what the key's order may ask      → an OpenAPI document
//! ```
//!
//! `{product}` is the product's table name or id. The service key goes in `Authorization: Bearer`. Answers carry
//! `Delivery-Receipt`, `Data-Nature` and `Answer-Salt`; refusals are problem documents. Both carry `RateLimit-Policy` and `RateLimit`: the
//! order's quota and what is left of it as far as this process knows. A request's body has at most 1 MiB and arrives within
//! 30 seconds. Rows and statistics begin to leave when all of them or 1 MiB are there; what stops an answer before that is a
//! refusal like any other. One that had begun and was stopped is cut off: its chunked body has no end, so that no client takes it
//! for whole. HTTP/1.0 has no such end, so in it `query`, `rows` and `export` are refused.

mod accept;
mod cursor;
mod document;
mod export;
mod lookup;
mod privacy;
mod problem;
mod query;
pub(crate) mod request;
mod response;
mod rows;
mod selection;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::Version;
use axum::http::header::ALLOW;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use lingqu_app::App;

use crate::delivery::{Deliveries, Settings};
use crate::error::GatewayError;

/// Most bytes of a request's body.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// How long a request's body may take to arrive: at least 35 KiB a second for the largest.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// The routes of the data plane, for mounting at `/data/v1`: `Router::new().nest("/data/v1", router(app))`.
pub fn router(app: Arc<App>) -> Router {
    router_with(app, Settings::default())
}

/// The same with other settings.
pub fn router_with(app: Arc<App>, settings: Settings) -> Router {
    router_on(Deliveries::new(app, settings))
}

/// The same on a delivery path that other protocols share, so that an order's places are counted over all of them.
pub fn router_on(deliveries: Deliveries) -> Router {
    // A HEAD request would make a delivery and throw its body away, so it is not answered by GET's handlers.
    Router::new()
        .route("/{product}/query", post(query::query))
        .route("/{product}/rows", get(rows::rows).head(no_method))
        .route("/{product}/export", get(export::export).head(no_method))
        .route_layer(from_fn(with_an_end))
        .route("/{product}/verify", post(verify::verify))
        .route("/{product}/lookup", get(lookup::by_columns).head(no_method).post(lookup::batch))
        .route("/{product}/lookup/{key}", get(lookup::by_key).head(no_method))
        .route("/{product}/privacy", get(privacy::privacy).head(no_method))
        .route("/{product}/openapi.json", get(document::document))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(deliveries)
}

/// Refuses streams in HTTP/1.0, where a body without a length ends with its connection (RFC 1945 section 7.2.2).
async fn with_an_end(request: Request, next: Next) -> Response {
    if request.version() < Version::HTTP_11 {
        return GatewayError::HttpTooOld.into_response();
    }
    next.run(request).await
}

async fn no_route() -> GatewayError {
    GatewayError::NoRoute
}

/// Tells which methods there are (RFC 9110, section 15.5.6).
async fn no_method(matched: Option<MatchedPath>) -> Response {
    let path = matched.as_ref().map_or("", MatchedPath::as_str);
    let allowed = match path.rsplit('/').next() {
        Some("verify" | "query") => "POST",
        Some("lookup") => "GET, POST",
        Some("openapi.json") => "GET, HEAD",
        _ => "GET",
    };
    ([(ALLOW, allowed)], GatewayError::MethodNotAllowed).into_response()
}
