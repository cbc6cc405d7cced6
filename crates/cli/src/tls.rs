//! TLS of the listeners: one certificate for the node, and the protocols' names in the handshake.
//!
//! The certificate's files are looked at while the node runs, and what they hold then is what the next handshake presents: whoever
//! renews it writes the files and has nothing more to do. Connections that are open go on. Files that don't fit change nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use lingqu_app::Clock;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::expiry::{begins_at, expires_at};
use crate::failure::Failure;

/// The names by which clients ask for a protocol in the handshake (ALPN, RFC 7301).
const HTTP: &[u8] = b"http/1.1";
const GRPC: &[u8] = b"h2";
const POSTGRES: &[u8] = b"postgresql";

/// How often the certificate's files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Looks in a row after which the log tells of files that don't fit: at one alone they may just be being written.
const LOOKS_UNTIL_TOLD: u32 = 2;

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
    /// What all of them present.
    pub certificate: Option<Arc<Certificate>>,
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
        let certificate = Arc::new(Certificate::read(identity)?);
        // TLS 1.2 and 1.3; what is older is not in this library.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Mend(format!("TLS can't be spoken ({error}); report it, this build is broken")))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Certificate>::clone(&certificate));
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Some(Arc::new(config))
        };
        let (http, flight, postgres) = (speaking(HTTP), speaking(GRPC), speaking(POSTGRES));
        Ok(Tls { certificate: Some(certificate), http, flight, postgres })
    }

    /// Whether clients are spoken to over TLS.
    pub fn is_on(&self) -> bool {
        self.certificate.is_some()
    }
}

/// The certificate that handshakes present: as its files held it when they last fitted.
#[derive(Debug)]
pub struct Certificate {
    identity: Identity,
    in_use: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    fn read(identity: &Identity) -> Result<Certificate, Failure> {
        let in_use = RwLock::new(Arc::new(certified(identity)?));
        Ok(Certificate { identity: identity.clone(), in_use })
    }

    fn in_use(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.in_use.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// When it expires; none where that can't be read.
    pub fn expires_at(&self) -> Option<Timestamp> {
        expires_at(self.in_use().cert.first()?)
    }

    /// Takes what the files hold now, and tells whether that is another certificate. Errors: as when the node starts, or it has expired;
    /// the certificate stays as it was.
    fn renew(&self, now: Timestamp) -> Result<bool, Failure> {
        let found = certified(&self.identity)?;
        if found.cert == self.in_use().cert {
            return Ok(false);
        }
        let (own, path) = (found.cert.first(), self.identity.certificate.display());
        if let Some(at) = own.and_then(|own| begins_at(own)).filter(|at| *at > now) {
            return Err(Failure::Mend(format!(
                "the certificate in {path} is not valid before {at}; it is taken then, if it still is there"
            )));
        }
        if let Some(at) = own.and_then(|own| expires_at(own)).filter(|at| *at <= now) {
            return Err(Failure::Mend(format!(
                "the certificate in {path} has expired at {at}; put one there that is valid"
            )));
        }
        *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
        Ok(true)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_use())
    }
}

/// Looks at the files every so often until the server stops.
pub async fn follow(certificate: Arc<Certificate>, clock: Clock, mut stopped: watch::Receiver<bool>) -> &'static str {
    let (mut problem, mut looks) = (String::new(), 0);
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopped.wait_for(|is_stopped| *is_stopped) => return "certificate's renewal",
        }
        let (looked, now) = (Arc::clone(&certificate), clock.now());
        let renewed = tokio::task::spawn_blocking(move || looked.renew(now)).await;
        match renewed {
            Ok(Ok(is_other)) => {
                if is_other {
                    let expires_at = certificate.expires_at().map(|at| at.to_string());
                    tracing::info!(expires_at, "the certificate was renewed");
                }
                looks = 0;
            }
            Ok(Err(failure)) => {
                let found = failure.to_string();
                looks = if found == problem { looks + 1 } else { 1 };
                problem = found;
                if looks == LOOKS_UNTIL_TOLD {
                    tracing::warn!("the certificate is not renewed and stays as it was: {problem}");
                }
            }
            Err(error) => tracing::error!(%error, "the certificate's files could not be looked at"),
        }
    }
}

/// The chain and the key of the files, which belong together.
fn certified(identity: &Identity) -> Result<CertifiedKey, Failure> {
    let chain = certificates(&identity.certificate)?;
    let key =
        PrivateKeyDer::from_pem_file(&identity.key).map_err(|error| unfit("private key", &identity.key, &error))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
        Failure::Mend(format!(
            "{} and {} can't be used together ({error}); name a certificate chain and the key it was made for",
            identity.certificate.display(),
            identity.key.display()
        ))
    })
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

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Valid until 2126.
    pub const FIRST: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBITCByKADAgECAhQKQBQk5uZjJhfWvBS3qcL66ZchQjAKBggqhkjOPQQDAjAQ\n\
MQ4wDAYDVQQDDAVmaXJzdDAgFw0yNjAxMDEwMDAwMDBaGA8yMTI2MDEwMTAwMDAw\n\
MFowEDEOMAwGA1UEAwwFZmlyc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASO\n\
EzLr2ylSHbCZqqNmWLr4Q4pI97+FrD+6gKAiZWzuppo9LabDuzxMdsJjznTTMeaW\n\
Jv2EEeHBaT4gS3UqAxLZMAoGCCqGSM49BAMCA0gAMEUCIQDG4onkoQPXDcq95Cmy\n\
OpRiY8aKrtYz1J6y0rTvJl7X7gIgUU4c9Xw7Kr1pyA+L3ShKgL+m66ko1/v4J+Gw\n\
QWd65wg=\n\
-----END CERTIFICATE-----\n";
    const FIRST_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgVg/8LQpDqgyfSEkC\n\
xm/VKz+AToQ8HXcNN2SDsxqhe3WhRANCAASOEzLr2ylSHbCZqqNmWLr4Q4pI97+F\n\
rD+6gKAiZWzuppo9LabDuzxMdsJjznTTMeaWJv2EEeHBaT4gS3UqAxLZ\n\
-----END PRIVATE KEY-----\n";
    /// Valid until the end of 2049.
    pub const RENEWED: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBIzCByqADAgECAhRSh+a7imH++//ksz6D+Br/YFd6hzAKBggqhkjOPQQDAjAS\n\
MRAwDgYDVQQDDAdyZW5ld2VkMB4XDTI2MDYwMTAwMDAwMFoXDTQ5MTIzMTIzNTk1\n\
OVowEjEQMA4GA1UEAwwHcmVuZXdlZDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA\n\
BJMkM/gfdCK2oiNl9HKTcHz9zTW6keeQPB//ke86mZYqbbW4K6CKyWSYseUZAVAh\n\
v6xNZBX2gduVTrrgeaT1/yQwCgYIKoZIzj0EAwIDSAAwRQIhAP4FxE1M0o17GJla\n\
gsA9WSK8wHJBOhhLAPSW6Ek0AYnZAiBU7xF0HQIn/8CAw2SHDHmIDVjgW3ZmGTzS\n\
CJdgTI9XiQ==\n\
-----END CERTIFICATE-----\n";
    const RENEWED_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgHMvcIIEwbDpmdkUQ\n\
pAamOK8Bs+3G2ABqn01Z//btuzmhRANCAASTJDP4H3QitqIjZfRyk3B8/c01upHn\n\
kDwf/5HvOpmWKm21uCugislkmLHlGQFQIb+sTWQV9oHblU664Hmk9f8k\n\
-----END PRIVATE KEY-----\n";
    /// Of the renewed key, expired in 2021.
    const EXPIRED: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBIzCByqADAgECAhQd3dj5FYnw83QlD2vaRZ2Azcp94jAKBggqhkjOPQQDAjAS\n\
MRAwDgYDVQQDDAdleHBpcmVkMB4XDTIwMDEwMTAwMDAwMFoXDTIxMDEwMTAwMDAw\n\
MFowEjEQMA4GA1UEAwwHZXhwaXJlZDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA\n\
BJMkM/gfdCK2oiNl9HKTcHz9zTW6keeQPB//ke86mZYqbbW4K6CKyWSYseUZAVAh\n\
v6xNZBX2gduVTrrgeaT1/yQwCgYIKoZIzj0EAwIDSAAwRQIhANUw1dQEmLc8Z4IS\n\
juc6f6ia5WmO+PpihDSjKCbkEu5uAiBWDIAdCksjS6h8p/wUix2xNuG55uvE2TAO\n\
UZ2T3T8ZJQ==\n\
-----END CERTIFICATE-----\n";

    /// The first certificate of a text in DER.
    pub fn der(pem: &str) -> Vec<u8> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
    }

    #[test]
    fn what_fits_is_taken_and_what_does_not_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity { certificate: folder.path().join("node.pem"), key: folder.path().join("node.key") };
        let put = |certificate: &str, key: &str| {
            std::fs::write(&identity.certificate, certificate).unwrap();
            std::fs::write(&identity.key, key).unwrap();
        };
        let now: Timestamp = "2026-11-29T00:00:00Z".parse().unwrap();
        put(FIRST, FIRST_KEY);
        let certificate = Certificate::read(&identity).unwrap();
        let presents = |pem: &str| certificate.in_use().cert[0].to_vec() == der(pem);
        assert!(!certificate.renew(now).unwrap() && presents(FIRST));
        for (written, key, says) in [
            (RENEWED, FIRST_KEY, "name a certificate chain and the key it was made for"),
            (FIRST, RENEWED_KEY, "name a certificate chain and the key it was made for"),
            (&RENEWED[..RENEWED.len() / 2], RENEWED_KEY, "name a PEM file"),
            ("", RENEWED_KEY, "name a PEM file"),
            (RENEWED, "", "name a PEM file"),
            (RENEWED, &RENEWED_KEY[..40], "name a PEM file"),
            (EXPIRED, RENEWED_KEY, "has expired at 2021-01-01T00:00:00Z; put one there that is valid"),
        ] {
            put(written, key);
            let told = certificate.renew(now).unwrap_err().to_string();
            assert!(told.contains(says), "{told}");
            assert!(presents(FIRST), "{told}");
        }
        std::fs::remove_file(&identity.key).unwrap();
        assert!(certificate.renew(now).is_err() && presents(FIRST));
        put(RENEWED, RENEWED_KEY);
        let told = certificate.renew("2026-05-31T23:59:59Z".parse().unwrap()).unwrap_err().to_string();
        assert!(told.contains("is not valid before 2026-06-01T00:00:00Z") && presents(FIRST), "{told}");
        assert!(certificate.renew(now).unwrap() && presents(RENEWED));
        assert_eq!(certificate.expires_at().unwrap().to_string(), "2049-12-31T23:59:59Z");
        assert!(!certificate.renew(now).unwrap());
        // Of a chain each part counts.
        put(&format!("{RENEWED}{FIRST}"), RENEWED_KEY);
        assert!(certificate.renew(now).unwrap() && presents(RENEWED));
        assert_eq!(certificate.in_use().cert.len(), 2);
    }
}
