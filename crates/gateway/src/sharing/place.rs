//! Where the client reaches this server, for the addresses in answers.
//!
//! It is what the client itself said: the host it asked, and the path before the router. The scheme is the one that the proxy
//! in front names, and `https` where the node itself ends TLS ([`OverTls`]). Answers go to nobody else and are not cached, so
//! who lies about it misleads himself.

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::HeaderName;
use axum::http::header::HOST;
use axum::http::request::Parts;

use super::refusal::SharingError;
use crate::error::GatewayError;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Longest name of a host, with its port.
const HOST_BYTES_MAX: usize = 300;

/// Laid by a listener that speaks TLS to each of its requests ([`axum::Extension`]). Addresses that began with `http` there would make
/// clients send their keys in the clear before they are refused.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

/// The address of this router, without a slash at the end, such as `https://data.example/delta-sharing`.
pub(super) struct Place(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = SharingError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SharingError> {
        let original = match OriginalUri::from_request_parts(parts, state).await {
            Ok(OriginalUri(uri)) => uri,
            Err(never) => match never {},
        };
        let named = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = named.or_else(|| original.authority().map(|authority| authority.as_str())).unwrap_or_default();
        if !is_host(host) {
            return Err(GatewayError::malformed("请求未指明主机", "the request names no host").into());
        }
        let is_forwarded = parts.headers.get(FORWARDED_PROTO).is_some_and(|scheme| scheme == "https");
        let is_secure = is_forwarded || parts.extensions.get::<OverTls>().is_some();
        let scheme = if is_secure { "https" } else { "http" };
        let prefix = original.path().strip_suffix(parts.uri.path()).unwrap_or_default();
        Ok(Place(format!("{scheme}://{host}{prefix}")))
    }
}

/// A name or address and perhaps a port; nothing that would move the rest of an address elsewhere.
fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= HOST_BYTES_MAX
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn place(host: &str, proto: Option<&str>) -> Option<String> {
        place_over(host, proto, None).await
    }

    async fn place_over(host: &str, proto: Option<&str>, tls: Option<OverTls>) -> Option<String> {
        let mut request = Request::builder().uri("/shares").header(HOST, host);
        if let Some(proto) = proto {
            request = request.header(FORWARDED_PROTO, proto);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(OriginalUri("/delta-sharing/shares".parse().unwrap()));
        if let Some(tls) = tls {
            parts.extensions.insert(tls);
        }
        Place::from_request_parts(&mut parts, &()).await.ok().map(|place| place.0)
    }

    #[tokio::test]
    async fn it_is_where_the_client_asked() {
        let expected = |address: &str| Some(address.to_owned());
        assert_eq!(place("localhost:8080", None).await, expected("http://localhost:8080/delta-sharing"));
        assert_eq!(place("data.example", Some("https")).await, expected("https://data.example/delta-sharing"));
        assert_eq!(place("[::1]:80", Some("ftp")).await, expected("http://[::1]:80/delta-sharing"));
        for proto in [None, Some("http"), Some("https")] {
            let place = place_over("data.example", proto, Some(OverTls)).await;
            assert_eq!(place, expected("https://data.example/delta-sharing"));
        }
        for host in ["", "a/b", "a@b", "a b", "a?b", "a#b", "a\"b"] {
            assert_eq!(place(host, None).await, None, "{host}");
        }
    }
}
