//! What the handlers share in reading a request.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::StreamExt;
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

/// What was sent as the body: all of it, or why it can't be had. It is judged only after the key, and kept only where there is one.
pub(crate) struct Sent(Result<Bytes, GatewayError>);

impl FromRequest<Deliveries> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, deliveries: &Deliveries) -> Result<Self, Infallible> {
        let too_slow = |_| GatewayError::RequestTooSlow { seconds: REQUEST_TIME_MAX.as_secs() };
        let read = tokio::time::timeout(REQUEST_TIME_MAX, kept(request, deliveries)).await;
        Ok(Sent(read.map_err(too_slow).and_then(|read| read)))
    }
}

/// The body of whoever has a key. Anybody may open connections by the thousand.
async fn kept(request: Request, deliveries: &Deliveries) -> Result<Bytes, GatewayError> {
    let key = bearer(request.headers()).map(str::to_owned);
    if let Err(error) = deliveries.must_know(key.as_deref()).await {
        pass_over(request.into_body()).await;
        return Err(error);
    }
    match Bytes::from_request(request, deliveries).await {
        Ok(bytes) => Ok(bytes),
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(GatewayError::RequestTooLarge { bytes_max: REQUEST_BYTES_MAX })
        }
        Err(_) => Err(GatewayError::malformed(
            "请求体未能完整接收，请重新发送",
            "the request's body did not arrive whole; send it again",
        )),
    }
}

/// Takes a body, as far as one may be long, and keeps nothing of it: most clients read why they are refused only after they have sent all.
async fn pass_over(body: Body) {
    let mut pieces = body.into_data_stream();
    let mut bytes = 0;
    while let Some(Ok(piece)) = pieces.next().await {
        bytes += piece.len();
        if bytes > REQUEST_BYTES_MAX {
            return;
        }
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
    use std::sync::atomic::{AtomicUsize, Ordering};

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

    /// A piece of a body, counted as long as it is kept.
    struct Piece(Arc<AtomicUsize>);

    impl AsRef<[u8]> for Piece {
        fn as_ref(&self) -> &[u8] {
            &[0; 1024]
        }
    }

    impl Drop for Piece {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_body_is_passed_over_and_not_kept() {
        let kept: Arc<AtomicUsize> = Arc::default();
        let (of_pieces, sent) = (Arc::clone(&kept), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&sent);
        let pieces = futures::stream::iter(0..10_000).map(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            assert!(of_pieces.fetch_add(1, Ordering::SeqCst) <= 1, "what came before is kept");
            Ok::<_, Infallible>(Bytes::from_owner(Piece(Arc::clone(&of_pieces))))
        });
        pass_over(Body::from_stream(pieces)).await;
        assert_eq!(sent.load(Ordering::SeqCst), REQUEST_BYTES_MAX / 1024 + 1, "no further than a body may be long");
        assert_eq!(kept.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn broken_json_is_placed_and_not_quoted() {
        let error = json::<Vec<u8>>(&Bytes::from_static(b"[1,\n \"secret\"]"), "[…]").unwrap_err();
        let text = error.problem().detail_en;
        assert!(text.contains("line 2, column 9"), "{text}");
        assert!(!text.contains("secret"));
    }
}
