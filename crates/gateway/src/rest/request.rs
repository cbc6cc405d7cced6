//! What the handlers share in reading a request.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::problem::refused;
use super::response::{say_weight, say_what_is_left};
use super::{REQUEST_BYTES_MAX, REQUEST_TIME_MAX};
use crate::delivery::{Admission, Deliveries};
use crate::error::GatewayError;

/// Most parameters of an address.
const PARAMETERS_MAX: usize = 256;

/// The words of an address's path.
pub(crate) struct Words<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Words<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = GatewayError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, GatewayError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(words)) => Ok(Words(words)),
            Err(_) => Err(GatewayError::malformed("地址不是 UTF-8 文本", "the address is not text in UTF-8")),
        }
    }
}

/// Admits a request and does its work, or answers why not.
pub(super) async fn admitted<F, Fut>(deliveries: &Deliveries, headers: &HeaderMap, product: &str, work: F) -> Response
where
    F: FnOnce(Admission) -> Fut,
    Fut: Future<Output = Result<Response, GatewayError>>,
{
    let admission = match deliveries.admit(bearer(headers), product, "rest").await {
        Ok(admission) => admission,
        Err(error) => return refused(None, &error),
    };
    let (order, serving) = (admission.order.clone(), Arc::clone(&admission.serving));
    let mut response = match work(admission).await {
        Ok(response) => response,
        Err(error) => refused(Some(&order), &error),
    };
    say_weight(&serving, response.headers_mut());
    say_what_is_left(deliveries, &serving, response.headers_mut()).await;
    response
}

/// The bearer token (RFC 6750 section 2.1; the scheme's name in any case).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

/// What was sent as the body: all of it, or why it can't be had. It is judged only after the key.
pub(crate) struct Sent(Result<Bytes, GatewayError>);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Infallible> {
        let read = tokio::time::timeout(REQUEST_TIME_MAX, Bytes::from_request(request, state)).await;
        Ok(Sent(match read {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(GatewayError::RequestTooLarge { bytes_max: REQUEST_BYTES_MAX })
            }
            Ok(Err(_)) => Err(GatewayError::malformed(
                "请求体未能完整接收，请重新发送",
                "the request's body did not arrive whole; send it again",
            )),
            Err(_) => Err(GatewayError::RequestTooSlow { seconds: REQUEST_TIME_MAX.as_secs() }),
        }))
    }
}

impl Sent {
    /// The body. Errors: `request_too_large`, `request_too_slow`, `malformed_request`.
    pub(crate) fn whole(self) -> Result<Bytes, GatewayError> {
        self.0
    }
}

/// The body as text.
pub(super) fn text(body: &Bytes) -> Result<String, GatewayError> {
    match std::str::from_utf8(body) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(GatewayError::malformed("请求体不是 UTF-8 文本", "the request's body is not text in UTF-8")),
    }
}

/// The body as JSON of a form. The message says where it went wrong and quotes nothing of it.
pub(super) fn json<T: DeserializeOwned>(body: &Bytes, form: &str) -> Result<T, GatewayError> {
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        GatewayError::malformed(
            format!("请求体第 {line} 行第 {column} 列有误；应为 {form}"),
            format!("the request's body is wrong at line {line}, column {column}; it has the form {form}"),
        )
    })
}

/// The parameters of an address, in their order.
pub(crate) fn parameters(query: Option<&str>) -> Result<Vec<(String, String)>, GatewayError> {
    let mut parameters = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if parameters.len() == PARAMETERS_MAX {
            return Err(GatewayError::malformed(
                format!("参数不得超过 {PARAMETERS_MAX} 个"),
                format!("an address has at most {PARAMETERS_MAX} parameters"),
            ));
        }
        parameters.push((name.into_owned(), value.into_owned()));
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_bearer_token_is_a_key() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read("Bearer lqk_x"), Some("lqk_x".to_owned()));
        assert_eq!(read("bearer  lqk_x"), Some("lqk_x".to_owned()));
        assert_eq!(read("Basic lqk_x"), None);
        assert_eq!(read("lqk_x"), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn broken_json_is_placed_and_not_quoted() {
        let error = json::<Vec<u8>>(&Bytes::from_static(b"[1,\n \"secret\"]"), "[…]").unwrap_err();
        let text = error.problem().detail_en;
        assert!(text.contains("line 2, column 9"), "{text}");
        assert!(!text.contains("secret"));
    }
}
