//! The data plane over HTTP. Mounted at `/data/v1`:
//!
//! ```text
//! POST /{product}/verify          a claim, or up to 1,000           → match, mismatch, not_found
//! POST /{product}/query           the consumer's own SQL            → rows, or statistics
//! GET  /{product}/lookup/{key}    one key, its parts joined by `,`  → its row
//! GET  /{product}/lookup?col=…    one key, its parts by name        → its row
//! POST /{product}/lookup          up to 1,000 keys                  → their rows
//! GET  /{product}/rows            columns, filters, order, cursor   → a page
//! GET  /{product}/export          columns, filters, format          → a file
//! ```
//!
//! `{product}` is the product's table name or id. The service key goes in `Authorization: Bearer`. Answers carry
//! `Delivery-Receipt` and `Data-Nature`; refusals are problem documents. An answer that had begun and was stopped is cut
//! off: its chunked body has no end, so that no client takes it for whole.

mod accept;
mod cursor;
mod export;
mod lookup;
mod problem;
mod query;
mod request;
mod response;
mod rows;
mod selection;
mod verify;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use lingqu_app::App;

use crate::delivery::{Deliveries, Settings};
use crate::error::GatewayError;

/// Most bytes of a request's body.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// The routes of the data plane, for mounting at `/data/v1`: `Router::new().nest("/data/v1", router(app))`.
pub fn router(app: Arc<App>) -> Router {
    router_with(app, Settings::default())
}

/// The same with other settings.
pub fn router_with(app: Arc<App>, settings: Settings) -> Router {
    // A HEAD request would make a delivery and throw its body away, so it is not answered by GET's handlers.
    Router::new()
        .route("/{product}/verify", post(verify::verify))
        .route("/{product}/query", post(query::query))
        .route("/{product}/lookup", get(lookup::by_columns).head(no_method).post(lookup::batch))
        .route("/{product}/lookup/{key}", get(lookup::by_key).head(no_method))
        .route("/{product}/rows", get(rows::rows).head(no_method))
        .route("/{product}/export", get(export::export).head(no_method))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(Deliveries::new(app, settings))
}

async fn no_route() -> GatewayError {
    GatewayError::NoRoute
}

async fn no_method() -> GatewayError {
    GatewayError::MethodNotAllowed
}
