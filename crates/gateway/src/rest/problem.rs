//! Refusals as HTTP: problem documents (RFC 9457), logged without a value of the request.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use lingqu_domain::id::OrderId;

use crate::error::GatewayError;

/// Seconds after which a request that found no place may be sent again.
const RETRY_AFTER_SECONDS: u64 = 1;

/// A refusal of an order's request.
pub(super) fn refused(order: Option<&OrderId>, error: &GatewayError) -> Response {
    let problem = error.problem();
    let order = order.map_or("none", OrderId::as_str);
    tracing::info!(order, code = problem.code, status = problem.status, "a data request was refused");
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&problem).expect("a problem is texts and numbers");
    let mut response = (status, Body::from(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lingqu\""));
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        _ => {}
    }
    response
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        refused(None, &self)
    }
}
