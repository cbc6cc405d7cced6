//! Refusals as HTTP: problem documents (RFC 9457), logged without a value of the request.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use lingqu_domain::id::OrderId;

use crate::error::GatewayError;

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
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lingqu\""));
    }
    if let Some(seconds) = problem.retry_after_s() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        refused(None, &self)
    }
}

#[cfg(test)]
mod tests {
    use lingqu_app::AppError;
    use lingqu_store::StoreError;

    use super::*;

    #[test]
    fn a_full_disk_says_when_to_come_back() {
        let error = GatewayError::from(AppError::Store(StoreError::Full { doing: "writing receipts" }));
        let response = refused(None, &error);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "30");
        let response = refused(None, &GatewayError::TooManyDeliveries { limit: 4 });
        assert_eq!(
            (response.status(), &response.headers()[RETRY_AFTER]),
            (StatusCode::TOO_MANY_REQUESTS, &HeaderValue::from(1))
        );
    }
}
