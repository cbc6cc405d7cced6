use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{CryptoError, constant_time_equal, sha256};

/// Rounds of PBKDF2: the least that RFC 7677 section 4 allows. A service key has 256 random bits, which nobody tries all,
/// so more rounds would only cost every client more time at each connection.
pub const SCRAM_ITERATIONS: u32 = 4_096;

/// What a server keeps to verify a secret by SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677): StoredKey and ServerKey. The
/// secret is in neither, and neither lets anybody log in.
#[derive(Clone)]
pub struct ScramVerifier {
    keys: Zeroizing<[u8; 64]>,
}

impl ScramVerifier {
    /// The verifier of a secret under a salt, by [`SCRAM_ITERATIONS`] rounds. The secret must be printable ASCII, which
    /// SASLprep (RFC 4013) leaves as it is.
    pub fn of(secret: &str, salt: &[u8]) -> Self {
        let salted = salted_password(secret.as_bytes(), salt, SCRAM_ITERATIONS);
        let client_key = Zeroizing::new(hmac(&salted[..], b"Client Key"));
        let mut keys = Zeroizing::new([0; 64]);
        keys[..32].copy_from_slice(&sha256(&client_key[..]).0);
        keys[32..].copy_from_slice(&hmac(&salted[..], b"Server Key"));
        Self { keys }
    }

    /// StoredKey and after it ServerKey, for sealing.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 64]> {
        self.keys.clone()
    }

    /// Reads what [`ScramVerifier::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] unless it is 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CryptoError> {
        match <[u8; 64]>::try_from(bytes) {
            Ok(bytes) => Ok(Self { keys: Zeroizing::new(bytes) }),
            Err(_) => Err(CryptoError::Malformed { what: "a SCRAM verifier", expected: "64 bytes" }),
        }
    }

    /// The server's signature when the proof is that of who holds the secret; else nothing. `authentication` is the
    /// AuthMessage: client-first-message-bare, server-first-message and client-final-message-without-proof, joined by
    /// commas.
    pub fn verify(&self, authentication: &[u8], proof: &[u8; 32]) -> Option<[u8; 32]> {
        let (stored_key, server_key) = self.keys.split_at(32);
        let client_signature = hmac(stored_key, authentication);
        let mut client_key = Zeroizing::new([0; 32]);
        for (byte, (signed, proved)) in client_key.iter_mut().zip(client_signature.iter().zip(proof)) {
            *byte = signed ^ proved;
        }
        constant_time_equal(&sha256(&client_key[..]).0, stored_key).then(|| hmac(server_key, authentication))
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ScramVerifier(hidden)")
    }
}

/// `Hi` of RFC 5802 section 2.2, which is PBKDF2 with HMAC-SHA-256 and one block.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
    let keyed = Hmac::<Sha256>::new_from_slice(password).expect("HMAC takes a key of any length");
    let mut round = keyed.clone();
    round.update(salt);
    round.update(&1u32.to_be_bytes());
    let mut last: Zeroizing<[u8; 32]> = Zeroizing::new(round.finalize().into_bytes().into());
    let mut sum = last.clone();
    for _ in 1..iterations {
        let mut round = keyed.clone();
        round.update(&last[..]);
        *last = round.finalize().into_bytes().into();
        for (byte, next) in sum.iter_mut().zip(last.iter()) {
            *byte ^= next;
        }
    }
    sum
}

fn hmac(key: &[u8], value: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(value);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// RFC 7677 section 3: user `user`, password `pencil`.
    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const AUTHENTICATION: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
        r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
        c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SIGNATURE: &str = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn bytes(text: &str) -> Vec<u8> {
        STANDARD.decode(text).unwrap()
    }

    #[test]
    fn known_answer_of_the_rfc() {
        let verifier = ScramVerifier::of("pencil", &bytes(SALT));
        let proof: [u8; 32] = bytes(PROOF).try_into().unwrap();
        let signature = verifier.verify(AUTHENTICATION.as_bytes(), &proof).unwrap();
        assert_eq!(STANDARD.encode(signature), SIGNATURE);
        let kept = ScramVerifier::from_bytes(&verifier.to_bytes()[..]).unwrap();
        assert!(kept.verify(AUTHENTICATION.as_bytes(), &proof).is_some());
        assert_eq!(format!("{verifier:?}"), "ScramVerifier(hidden)");
    }

    #[test]
    fn another_secret_salt_message_or_proof_is_refused() {
        let proof: [u8; 32] = bytes(PROOF).try_into().unwrap();
        let message = AUTHENTICATION.as_bytes();
        assert!(ScramVerifier::of("pencils", &bytes(SALT)).verify(message, &proof).is_none());
        assert!(ScramVerifier::of("pencil", b"other").verify(message, &proof).is_none());
        let verifier = ScramVerifier::of("pencil", &bytes(SALT));
        assert!(verifier.verify(&message[1..], &proof).is_none());
        let mut other = proof;
        other[31] ^= 1;
        assert!(verifier.verify(message, &other).is_none());
        // What the server keeps is no proof.
        let kept = verifier.to_bytes();
        assert!(verifier.verify(message, kept[..32].try_into().unwrap()).is_none());
        assert!(ScramVerifier::from_bytes(&[0; 63]).is_err());
    }
}
