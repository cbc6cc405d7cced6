//! Refusals as the protocol has them: `{"errorCode", "message"}`.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::GatewayError;

/// Why a request of Delta Sharing got nothing.
#[derive(Debug)]
pub(super) struct SharingError(GatewayError);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused<'a> {
    error_code: &'a str,
    /// Clients show it as it stands, so it has both languages.
    message: String,
}

impl<E: Into<GatewayError>> From<E> for SharingError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for SharingError {
    fn into_response(self) -> Response {
        let problem = self.0.problem();
        tracing::info!(code = problem.code, status = problem.status, "a request of Delta Sharing was refused");
        let message = format!("{} / {}", problem.detail, problem.detail_en);
        let body = serde_json::to_vec(&Refused { error_code: &problem.code, message }).expect("texts are JSON");
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Body::from(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lingqu\""));
        }
        if let Some(seconds) = problem.retry_after_s() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use lingqu_app::AppError;
    use lingqu_engine::EngineError;

    use super::*;

    #[tokio::test]
    async fn what_the_log_has_more_of_is_named_in_the_message() {
        let correlation = "0123456789abcdef0123456789abcdef";
        let error = EngineError::SourceUnavailable { correlation: correlation.to_owned() };
        let response = SharingError::from(AppError::Engine(error)).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(told["errorCode"], "source_unavailable");
        assert!(told["message"].as_str().unwrap().contains(correlation), "{told}");
    }
}
