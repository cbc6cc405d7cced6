//! A place in an object store that speaks the protocol of S3, for files that are written once and served as they are: those of
//! the published log. Snapshots and products lie on this machine, which reads them over and over.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

/// How long a connection to the store may take to be made, and a request to be answered.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// How often a request is sent again by itself, and how long this may go on: whoever publishes tries again soon, and a process that
/// is silent for longer loses its place.
const RETRIES_MAX: usize = 2;
const RETRY_MAX: Duration = Duration::from_secs(5);
/// The region where none is named; stores outside of Amazon's take any.
const REGION: &str = "us-east-1";

/// Where a place is and what opens it.
#[derive(Clone)]
pub struct ObjectPlaceSetting {
    /// `s3://BUCKET/PREFIX`.
    pub url: String,
    /// The store's address; none: Amazon's, by the region.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The id of the access key.
    pub access_key_id: String,
    /// The access key.
    pub secret_access_key: String,
    /// The token of a key that is valid for a time.
    pub session_token: Option<String>,
    /// Whether the store may be asked without TLS.
    pub allow_http: bool,
}

impl fmt::Debug for ObjectPlaceSetting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ObjectPlaceSetting").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why a place can't be opened. The text holds no key.
#[derive(Debug, thiserror::Error)]
pub enum ObjectPlaceError {
    /// The address of the place is none.
    #[error("`{url}` is no place in an object store; write s3://BUCKET/PREFIX")]
    NotAPlace {
        /// What was written.
        url: String,
    },
    /// The address of the store is none.
    #[error("`{endpoint}` is no address of an object store; write https://HOST, or http://HOST with allow_http = true")]
    NotAnEndpoint {
        /// What was written.
        endpoint: String,
    },
    /// The store's client can't be made.
    #[error("no client of the object store can be made: {0}")]
    NoClient(#[from] object_store::Error),
}

/// A place that is open. Nothing was asked of the store yet.
#[derive(Clone)]
pub struct ObjectPlace {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// What the names of the files begin with, without a slash at either end.
    pub prefix: String,
}

impl fmt::Debug for ObjectPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ObjectPlace").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl ObjectPlace {
    /// Opens a place.
    ///
    /// # Errors
    /// [`ObjectPlaceError`], with what to correct.
    pub fn open(setting: &ObjectPlaceSetting) -> Result<ObjectPlace, ObjectPlaceError> {
        let (bucket, prefix) = parts(&setting.url)?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(setting.region.as_deref().unwrap_or(REGION))
            .with_access_key_id(&setting.access_key_id)
            .with_secret_access_key(&setting.secret_access_key)
            .with_allow_http(setting.allow_http)
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY_MAX,
            })
            .with_client_options(
                ClientOptions::new()
                    .with_connect_timeout(CONNECT_MAX)
                    .with_timeout(REQUEST_MAX)
                    .with_allow_http(setting.allow_http),
            );
        if let Some(token) = &setting.session_token {
            builder = builder.with_token(token);
        }
        if let Some(endpoint) = &setting.endpoint {
            check_endpoint(endpoint, setting.allow_http)?;
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        Ok(ObjectPlace { store: Arc::new(builder.build()?), prefix })
    }
}

/// Bucket and prefix of `s3://BUCKET/PREFIX`.
fn parts(url: &str) -> Result<(String, String), ObjectPlaceError> {
    let wrong = || ObjectPlaceError::NotAPlace { url: url.to_owned() };
    let parsed = Url::parse(url).map_err(|_| wrong())?;
    let bucket = parsed.host_str().filter(|bucket| !bucket.is_empty()).ok_or_else(wrong)?;
    let prefix = parsed.path().trim_matches('/');
    let is_plain = parsed.query().is_none()
        && parsed.fragment().is_none()
        && parsed.port().is_none()
        && parsed.username().is_empty()
        && prefix.split('/').all(|part| {
            !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
        });
    if parsed.scheme() == "s3" && is_plain { Ok((bucket.to_owned(), prefix.to_owned())) } else { Err(wrong()) }
}

fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<(), ObjectPlaceError> {
    let parsed = Url::parse(endpoint).ok();
    let is_one = parsed.is_some_and(|parsed| {
        let is_allowed = parsed.scheme() == "https" || (allow_http && parsed.scheme() == "http");
        is_allowed && parsed.has_host() && parsed.query().is_none() && parsed.fragment().is_none()
    });
    if is_one { Ok(()) } else { Err(ObjectPlaceError::NotAnEndpoint { endpoint: endpoint.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(url: &str, endpoint: Option<&str>, allow_http: bool) -> ObjectPlaceSetting {
        ObjectPlaceSetting {
            url: url.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            region: None,
            access_key_id: "id".to_owned(),
            secret_access_key: "geheim".to_owned(),
            session_token: None,
            allow_http,
        }
    }

    #[test]
    fn a_place_is_a_bucket_and_a_prefix() {
        let place = ObjectPlace::open(&setting("s3://logs/nanning/log/", None, false)).unwrap();
        assert_eq!(place.prefix, "nanning/log");
        for wrong in [
            "",
            "logs/nanning",
            "s3://",
            "s3://logs",
            "s3://logs/",
            "https://logs/a",
            "s3://logs/a?b=c",
            "s3://logs/a//b",
            "s3://u@logs/a",
        ] {
            let refused = ObjectPlace::open(&setting(wrong, None, false)).unwrap_err();
            assert!(matches!(refused, ObjectPlaceError::NotAPlace { .. }), "{wrong}: {refused}");
        }
    }

    #[test]
    fn a_store_is_asked_without_tls_only_where_that_is_allowed() {
        let open = |endpoint, allow_http| ObjectPlace::open(&setting("s3://logs/a", Some(endpoint), allow_http));
        assert!(open("https://store.example", false).is_ok());
        assert!(open("http://127.0.0.1:9000", true).is_ok());
        for (wrong, allow_http) in
            [("http://127.0.0.1:9000", false), ("store.example", true), ("ftp://store.example", true)]
        {
            assert!(matches!(open(wrong, allow_http), Err(ObjectPlaceError::NotAnEndpoint { .. })), "{wrong}");
        }
    }

    #[test]
    fn keys_are_never_printed() {
        assert!(!format!("{:?}", setting("s3://logs/a", None, false)).contains("geheim"));
    }
}
