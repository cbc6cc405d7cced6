//! Asking other nodes and logs over HTTP: bounded in time and size, no redirects, nothing of the asker in a request but what it
//! is about.

use std::io::Read;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a request may take from its beginning to the last byte of its answer.
const REQUEST_MAX: Duration = Duration::from_secs(20);

/// The compression that is understood (RFC 9110, 8.4.1.3).
const GZIP: &str = "gzip";
/// So much of another's name is repeated.
const ENCODING_CHARS_MAX: usize = 32;

/// A client of others' addresses.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    client: Client,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why nothing was answered. The text names neither the address nor anything that was sent.
#[derive(Debug, thiserror::Error)]
pub enum RemoteFault {
    /// Nobody can be asked from here.
    #[error("nobody can be asked over HTTP ({0}); see that the system's certificates (ca-certificates) are installed")]
    NoClient(String),
    /// No answer came.
    #[error("no answer came ({0}); see that it runs and can be reached from here")]
    NoAnswer(String),
    /// The answer did not come whole in time.
    #[error("the answer took longer than {} seconds", REQUEST_MAX.as_secs())]
    TooSlow,
    /// The answer is larger than it may be.
    #[error("the answer has more than {bytes_max} bytes")]
    TooLarge {
        /// How large it may be.
        bytes_max: usize,
    },
    /// The answer is compressed in a way that was not asked for.
    #[error("the answer is compressed as `{0}`; ask its operator to serve it plain or as gzip")]
    Encoding(String),
    /// The answer is not what its compression says.
    #[error("the answer is no gzip, though it says so; ask its operator")]
    NotGzip,
}

impl Remote {
    /// A client of its own.
    pub(crate) fn new() -> Result<Remote, RemoteFault> {
        let client = Client::builder()
            .connect_timeout(CONNECT_MAX)
            .timeout(REQUEST_MAX)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("lingqu/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Remote { client: client.map_err(|error| RemoteFault::NoClient(error.to_string()))? })
    }

    /// Fetches what lies at an address, plain or as gzip: some logs have their bundles compressed alone (tlog-tiles, "Log Entries").
    pub(crate) async fn get(&self, url: &str, bytes_max: usize) -> Result<Fetched, RemoteFault> {
        read(self.client.get(url).header(ACCEPT_ENCODING, GZIP), bytes_max).await
    }

    /// Sends a text to an address.
    pub(crate) async fn post(&self, url: &str, body: String, bytes_max: usize) -> Result<Fetched, RemoteFault> {
        let request = self.client.post(url).header("content-type", "text/plain; charset=utf-8").body(body);
        read(request, bytes_max).await
    }
}

impl Fetched {
    pub(crate) fn is_ok(&self) -> bool {
        self.status == StatusCode::OK.as_u16()
    }
}

async fn read(request: RequestBuilder, bytes_max: usize) -> Result<Fetched, RemoteFault> {
    let mut response = request.send().await.map_err(fault)?;
    let status = response.status().as_u16();
    let encoding = response.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").to_owned());
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(fault)? {
        if body.len() + piece.len() > bytes_max {
            return Err(RemoteFault::TooLarge { bytes_max });
        }
        body.extend_from_slice(&piece);
    }
    // Of an answer that is no file only the status counts.
    let body = if status == StatusCode::OK.as_u16() { plain(body, encoding.as_deref(), bytes_max)? } else { body };
    Ok(Fetched { status, body })
}

/// What was compressed, of at most so many bytes, however few it was compressed to.
fn plain(body: Vec<u8>, encoding: Option<&str>, bytes_max: usize) -> Result<Vec<u8>, RemoteFault> {
    match encoding.map(str::trim) {
        None | Some("" | "identity") => Ok(body),
        Some(name) if name.eq_ignore_ascii_case(GZIP) || name.eq_ignore_ascii_case("x-gzip") => {
            let mut found = Vec::new();
            let most = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
            let read = MultiGzDecoder::new(body.as_slice()).take(most).read_to_end(&mut found);
            read.map_err(|_| RemoteFault::NotGzip)?;
            if found.len() > bytes_max { Err(RemoteFault::TooLarge { bytes_max }) } else { Ok(found) }
        }
        Some(other) => Err(RemoteFault::Encoding(other.chars().take(ENCODING_CHARS_MAX).collect())),
    }
}

fn fault(error: reqwest::Error) -> RemoteFault {
    if error.is_timeout() {
        return RemoteFault::TooSlow;
    }
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    // The outermost error may name the address; the innermost says what the system said.
    match innermost.downcast_ref::<reqwest::Error>() {
        Some(_) => RemoteFault::NoAnswer("the request failed".to_owned()),
        None => RemoteFault::NoAnswer(innermost.to_string()),
    }
}

/// An address as it is written in a configuration: http or https, without a slash at its end.
pub(crate) fn check_prefix(url: &str) -> Result<String, String> {
    let url = url.trim_end_matches('/');
    let parsed = reqwest::Url::parse(url).map_err(|error| format!("`{url}` is no URL ({error})"))?;
    let is_plain = parsed.query().is_none() && parsed.fragment().is_none();
    if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() && is_plain {
        return Ok(url.to_owned());
    }
    Err(format!("`{url}` is not the address of a web server; write http://… or https://… without query"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::{RemoteFault, check_prefix, plain};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_compressed_is_read_and_bounded_by_what_it_holds() {
        let bytes = vec![7; 100_000];
        let small = gzip(&bytes);
        assert!(small.len() < 1_000);
        assert_eq!(plain(small.clone(), Some("gzip"), 100_000).unwrap(), bytes);
        assert_eq!(plain(small.clone(), Some("GZIP"), 200_000).unwrap(), bytes);
        assert!(matches!(plain(small.clone(), Some("gzip"), 99_999), Err(RemoteFault::TooLarge { bytes_max: 99_999 })));
        // In two pieces, as some servers put files together.
        assert_eq!(plain([gzip(b"a"), gzip(b"b")].concat(), Some("x-gzip"), 10).unwrap(), b"ab");
        assert_eq!(plain(small.clone(), None, 10).unwrap(), small, "nothing is guessed");
        for wrong in [&b"no gzip"[..], b"", &small[..small.len() - 9]] {
            assert!(matches!(plain(wrong.to_vec(), Some("gzip"), 200_000), Err(RemoteFault::NotGzip)), "{wrong:?}");
        }
        assert!(matches!(plain(small, Some("br"), 10), Err(RemoteFault::Encoding(name)) if name == "br"));
    }

    #[test]
    fn addresses_are_of_web_servers() {
        assert_eq!(check_prefix("https://log.example/a/").unwrap(), "https://log.example/a");
        assert_eq!(check_prefix("http://127.0.0.1:8080/witness").unwrap(), "http://127.0.0.1:8080/witness");
        for wrong in ["", "log.example", "ftp://log.example", "file:///etc", "https://log.example/?a=b", "https://"] {
            assert!(check_prefix(wrong).is_err(), "{wrong}");
        }
    }
}
