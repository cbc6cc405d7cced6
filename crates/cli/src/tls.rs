//! TLS of the listeners: one certificate for the node, read when it starts, and the protocols' names in the handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::failure::Failure;

/// The names by which clients ask for a protocol in the handshake (ALPN, RFC 7301).
const HTTP: &[u8] = b"http/1.1";
const GRPC: &[u8] = b"h2";
const POSTGRES: &[u8] = b"postgresql";

/// A certificate chain with its private key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The chain, the node's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What each listener needs of TLS; nothing where the node speaks plaintext.
#[derive(Clone, Default)]
pub struct Tls {
    /// For the HTTP listener.
    pub http: Option<Arc<ServerConfig>>,
    /// For Flight SQL.
    pub flight: Option<Arc<ServerConfig>>,
    /// For the PostgreSQL protocol.
    pub postgres: Option<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files. Errors: a file is missing, holds nothing of its kind, or the key is not the certificate's.
    pub fn of(identity: Option<&Identity>) -> Result<Tls, Failure> {
        let Some(identity) = identity else { return Ok(Tls::default()) };
        let chain = certificates(&identity.certificate)?;
        let key =
            PrivateKeyDer::from_pem_file(&identity.key).map_err(|error| unfit("private key", &identity.key, &error))?;
        // TLS 1.2 and 1.3; what is older is not in this library.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| {
                Failure::Mend(format!(
                    "{} and {} can't be used together ({error}); name a certificate chain and the key it was made for",
                    identity.certificate.display(),
                    identity.key.display()
                ))
            })?;
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Some(Arc::new(config))
        };
        Ok(Tls { http: speaking(HTTP), flight: speaking(GRPC), postgres: speaking(POSTGRES) })
    }

    /// Whether clients are spoken to over TLS.
    pub fn is_on(&self) -> bool {
        self.http.is_some()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read.map_err(|error| unfit("certificate", path, &error))?;
    if chain.is_empty() {
        return Err(Failure::Mend(format!(
            "{} holds no certificate; name a PEM file that begins with the node's own",
            path.display()
        )));
    }
    Ok(chain)
}

fn unfit(what: &str, path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Mend(format!("the {what} in {} can't be read ({error}); name a PEM file that may be read", path.display()))
}
