//! Delta Sharing: data sets as tables for Spark, pandas and Power BI (the Delta Sharing protocol, PROTOCOL.md of
//! `delta-io/delta-sharing`). Mounted at `/delta-sharing`:
//!
//! ```text
//! GET  /profile                                             the profile file of the order
//! GET  /shares, /shares/{share}                             the order, as a share
//! GET  /shares/{share}/schemas                              `data`
//! GET  /shares/{share}/schemas/{schema}/tables, …/all-tables  the product's table
//! GET  …/tables/{table}/version, GET and HEAD …/tables/{table}  the version of its data
//! GET  …/tables/{table}/metadata                            its columns
//! POST …/tables/{table}/query                               its file
//! GET  /files/{receipt}                                     the file, under a signed address
//! ```
//!
//! For orders with file mode alone. A share is an order; names are the same in any case. The file holds what the grant shows
//! and nothing else: rows, columns and masks are in its bytes. Hints of predicates and limits are accepted and ignored,
//! since what is left out by them would tell of what is there; the past is not served. Its address is good without the
//! key, for as often as one likes, but each request for it asks the grant again. How it is charged is told in
//! [`crate::delivery::Deliveries::hand_out`].

mod address;
mod file;
mod listing;
mod place;
mod profile;
mod refusal;
mod schema;
mod table;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::routing::{get, post};
use lingqu_domain::scope::Mode;
use serde::de::DeserializeOwned;

use crate::delivery::{Admission, Deliveries};
use crate::error::GatewayError;
use crate::rest::REQUEST_BYTES_MAX;
use crate::rest::request::{Words, bearer};
pub use place::OverTls;
use refusal::SharingError;

/// The protocol, for receipts.
const PROTOCOL: &str = "delta_sharing";

/// The routes, for mounting at `/delta-sharing`.
pub fn router(deliveries: Deliveries) -> Router {
    const TABLE: &str = "/shares/{share}/schemas/{schema}/tables/{table}";
    let of_table = |path: &str| format!("{TABLE}{path}");
    Router::new()
        .route("/profile", get(profile::profile))
        .route("/shares", get(listing::shares))
        .route("/shares/{share}", get(listing::share))
        .route("/shares/{share}/schemas", get(listing::schemas))
        .route("/shares/{share}/schemas/{schema}/tables", get(listing::tables))
        .route("/shares/{share}/all-tables", get(listing::all_tables))
        .route(TABLE, get(table::version))
        .route(&of_table("/version"), get(table::version))
        .route(&of_table("/metadata"), get(table::metadata))
        .route(&of_table("/query"), post(table::query))
        .route(&of_table("/changes"), get(table::changes))
        .route("/files/{receipt}", get(file::file).head(file::head))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(deliveries)
}

/// The words of an address's path.
struct Named<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = SharingError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SharingError> {
        Ok(Self(Words::from_request_parts(parts, state).await?.0))
    }
}

/// The order of a request's key, if it may take files.
async fn admitted(deliveries: &Deliveries, headers: &HeaderMap) -> Result<Admission, SharingError> {
    let admission = deliveries.admit_order(bearer(headers), PROTOCOL).await?;
    admission.serving.must_allow(Mode::File).map_err(GatewayError::from)?;
    Ok(admission)
}

async fn no_route() -> SharingError {
    GatewayError::NoRoute.into()
}

async fn no_method() -> SharingError {
    GatewayError::MethodNotAllowed.into()
}
