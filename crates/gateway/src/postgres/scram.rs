//! The messages of SCRAM-SHA-256 (RFC 5802 section 7, RFC 7677), the server's side. Channel binding is not offered: the
//! listener may stand behind a proxy that ends TLS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lingqu_app::ScramKey;
use lingqu_crypto::{SCRAM_ITERATIONS, Sha256Digest};

/// The mechanism's name.
pub(super) const MECHANISM: &str = "SCRAM-SHA-256";
/// Longest nonce of a client, in bytes.
const NONCE_BYTES_MAX: usize = 256;

/// An exchange after the client's first message.
#[derive(Debug)]
pub(super) struct Exchange {
    /// `n,,` or `y,,`, in base64, as the client must repeat it.
    binding: String,
    first_bare: String,
    nonce: String,
    server_first: String,
}

/// A proved key with what proves the server to the client.
#[derive(Debug)]
pub(super) struct Proved {
    pub(super) hash: Sha256Digest,
    pub(super) server_final: String,
}

impl Exchange {
    /// Reads the client's first message. The user's name in it is not looked at: the connection's is the one that counts, as
    /// in PostgreSQL. Nothing when the message is malformed, or binds to a channel.
    pub(super) fn begin(client_first: &[u8], server_nonce: &[u8], salt: &[u8]) -> Option<Exchange> {
        let text = std::str::from_utf8(client_first).ok()?;
        let mut parts = text.splitn(3, ',');
        let (flag, authorised, bare) = (parts.next()?, parts.next()?, parts.next()?);
        if !matches!(flag, "n" | "y") || !authorised.is_empty() {
            return None;
        }
        let mut attributes = bare.split(',');
        attributes.next()?.strip_prefix("n=")?;
        let client_nonce = attributes.next()?.strip_prefix("r=")?;
        // Printable and without a comma (section 7, `printable`).
        let is_printable = client_nonce.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        if client_nonce.is_empty() || client_nonce.len() > NONCE_BYTES_MAX || !is_printable {
            return None;
        }
        let nonce = format!("{client_nonce}{}", STANDARD.encode(server_nonce));
        let server_first = format!("r={nonce},s={},i={SCRAM_ITERATIONS}", STANDARD.encode(salt));
        Some(Exchange {
            binding: STANDARD.encode(format!("{flag},,")),
            first_bare: bare.to_owned(),
            nonce,
            server_first,
        })
    }

    /// The server's first message.
    pub(super) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Reads the client's final message and finds the key that it proves. Nothing when it proves none.
    pub(super) fn finish(&self, client_final: &[u8], keys: &[ScramKey]) -> Option<Proved> {
        let text = std::str::from_utf8(client_final).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next()?.strip_prefix("c=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if binding != self.binding || nonce != self.nonce {
            return None;
        }
        let proof: [u8; 32] = STANDARD.decode(proof).ok()?.try_into().ok()?;
        let authentication = format!("{},{},{without_proof}", self.first_bare, self.server_first);
        keys.iter().find_map(|key| {
            let signature = key.verifier.verify(authentication.as_bytes(), &proof)?;
            Some(Proved { hash: key.hash, server_final: format!("v={}", STANDARD.encode(signature)) })
        })
    }
}

#[cfg(test)]
mod tests {
    use lingqu_crypto::{ScramVerifier, sha256};
    use proptest::prelude::*;

    use super::*;

    /// RFC 7677 section 3, whose server nonce is the text after the client's.
    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";

    fn exchange() -> Exchange {
        let mut exchange = Exchange::begin(CLIENT_FIRST, b"", &STANDARD.decode(SALT).unwrap()).unwrap();
        exchange.nonce.push_str("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
        exchange.server_first = format!("r={},s={SALT},i=4096", exchange.nonce);
        exchange
    }

    fn keys(secrets: &[&str]) -> Vec<ScramKey> {
        let key = |secret: &&str| ScramKey {
            hash: sha256(secret.as_bytes()),
            verifier: ScramVerifier::of(secret, &STANDARD.decode(SALT).unwrap()),
        };
        secrets.iter().map(key).collect()
    }

    const CLIENT_FINAL: &str =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn the_exchange_of_the_rfc_proves_the_right_key_among_several() {
        let proved = exchange().finish(CLIENT_FINAL.as_bytes(), &keys(&["other", "pencil"])).unwrap();
        assert_eq!(proved.hash, sha256(b"pencil"));
        assert_eq!(proved.server_final, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(exchange().finish(CLIENT_FINAL.as_bytes(), &keys(&["other"])).is_none());
        assert!(exchange().finish(CLIENT_FINAL.as_bytes(), &[]).is_none());
    }

    #[test]
    fn another_nonce_binding_or_form_is_refused() {
        let keys = keys(&["pencil"]);
        for other in [
            CLIENT_FINAL.replace("c=biws", "c=eSws"),
            CLIENT_FINAL.replace("r=r", "r=s"),
            CLIENT_FINAL.replace(",p=", ",q="),
            CLIENT_FINAL.replace("dHzb", "d"),
        ] {
            assert!(exchange().finish(other.as_bytes(), &keys).is_none(), "{other}");
        }
        for other in ["p=tls-server-end-point,,n=,r=a", "n,a=other,n=,r=a", "n,,n=,r=", "n,,r=a", "n,,n=,r=\u{7f}", ""]
        {
            assert!(Exchange::begin(other.as_bytes(), b"1", b"2").is_none(), "{other}");
        }
        let begun = Exchange::begin(b"y,,n=*,r=abc", b"\x00", b"salt").unwrap();
        assert_eq!(begun.server_first(), "r=abcAA==,s=c2FsdA==,i=4096");
    }

    proptest! {
        #[test]
        fn reading_never_panics(first: Vec<u8>, last: Vec<u8>, text: String) {
            let _ = Exchange::begin(&first, b"1", b"2");
            let _ = Exchange::begin(format!("n,,n=,r={text}").as_bytes(), b"1", b"2");
            let _ = exchange().finish(&last, &[]);
            let _ = exchange().finish(format!("c=biws,{text},p={text}").as_bytes(), &[]);
        }
    }
}
