//! Passwords of the people who log in to the console: argon2id (RFC 9106), stored as PHC strings.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::CryptoError;

/// The longest accepted password in bytes; longer ones would only cost time.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Memory in KiB, passes and lanes: the first choice of the OWASP password storage cheat sheet.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What a stored hash may ask for at most, so that a tampered row can't exhaust the node.
const MEMORY_KIB_MAX: u32 = 262_144;
const PASSES_MAX: u32 = 10;
const LANES_MAX: u32 = 4;

/// How much work a hash is to whoever makes it, and to whoever guesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cost {
    /// 19 MiB twice, some tens of milliseconds.
    #[default]
    Recommended,
    /// The least that the algorithm knows, for passwords that protect nothing: those of the users of tests.
    Least,
}

/// Hashes a password with 16 random bytes of salt into a PHC string, `$argon2id$v=19$m=19456,t=2,p=1$…`.
///
/// Takes some tens of milliseconds and 19 MiB unless it costs less; run it where it may block.
///
/// # Errors
/// [`CryptoError::PasswordLength`] for an empty or too long password.
pub fn hash(password: &str, salt: [u8; 16], cost: Cost) -> Result<String, CryptoError> {
    check_length(password)?;
    let hash: PasswordHash = hasher(cost)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .expect("the parameters are constants within the algorithm's limits and the salt has 16 bytes");
    Ok(hash.to_string())
}

/// Whether `password` is the one that `phc` was made from. The work is the one named in `phc`.
///
/// # Errors
/// [`CryptoError::PasswordHashRefused`] when `phc` is no argon2id string or asks for more than 256 MiB, 10 passes or
/// 4 lanes. A password of a length that [`hash`] refuses is simply wrong.
pub fn verify(password: &str, phc: &str) -> Result<bool, CryptoError> {
    if check_length(password).is_err() {
        return Ok(false);
    }
    let stored = PasswordHash::new(phc).map_err(|_| CryptoError::PasswordHashRefused)?;
    let params = Params::try_from(&stored).map_err(|_| CryptoError::PasswordHashRefused)?;
    let bounded = params.m_cost() <= MEMORY_KIB_MAX && params.t_cost() <= PASSES_MAX && params.p_cost() <= LANES_MAX;
    if stored.algorithm.as_str() != "argon2id" || !bounded {
        return Err(CryptoError::PasswordHashRefused);
    }
    match hasher(Cost::Recommended).verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(HashError::PasswordInvalid) => Ok(false),
        Err(_) => Err(CryptoError::PasswordHashRefused),
    }
}

fn hasher(cost: Cost) -> Argon2<'static> {
    let (memory_kib, passes, lanes) = match cost {
        Cost::Recommended => (MEMORY_KIB, PASSES, LANES),
        Cost::Least => (Params::MIN_M_COST, Params::MIN_T_COST, Params::MIN_P_COST),
    };
    let params = Params::new(memory_kib, passes, lanes, Some(Params::DEFAULT_OUTPUT_LEN))
        .expect("the parameters are constants within the algorithm's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn check_length(password: &str) -> Result<(), CryptoError> {
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(CryptoError::PasswordLength { bytes_max: PASSWORD_BYTES_MAX });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_answer() {
        // Computed with OpenSSL's argon2id through Python's `cryptography` 48.
        let salt = std::array::from_fn(|i| i as u8);
        let phc = hash("灵渠 canal", salt, Cost::Recommended).unwrap();
        assert_eq!(
            phc,
            "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$r2w1iXsZrx7sdQ2WFI05C5wQUnzzryT/ZzgsG9Heo6k"
        );
        assert_eq!(verify("灵渠 canal", &phc), Ok(true));
        assert_eq!(verify("灵渠 Canal", &phc), Ok(false));
        assert_eq!(verify("", &phc), Ok(false));
    }

    #[test]
    fn what_costs_least_is_verified_and_is_nobody_s_choice_unless_he_names_it() {
        let phc = hash("灵渠 canal", [7; 16], Cost::Least).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{phc}");
        assert_eq!((verify("灵渠 canal", &phc), verify("灵渠 Canal", &phc)), (Ok(true), Ok(false)));
        assert_eq!(Cost::default(), Cost::Recommended);
    }

    #[test]
    fn lengths_are_bounded() {
        let refused = Err(CryptoError::PasswordLength { bytes_max: 1024 });
        assert_eq!(hash("", [0; 16], Cost::Recommended), refused);
        assert_eq!(hash(&"a".repeat(1025), [0; 16], Cost::Recommended), refused);
    }

    #[test]
    fn costly_and_foreign_hashes_are_refused() {
        let tail = "$AAECAwQFBgcICQoLDA0ODw$r2w1iXsZrx7sdQ2WFI05C5wQUnzzryT/ZzgsG9Heo6k";
        let heads = [
            "$argon2id$v=19$m=4194304,t=2,p=1",
            "$argon2id$v=19$m=19456,t=4000000000,p=1",
            "$argon2id$v=19$m=19456,t=2,p=64",
            "$argon2i$v=19$m=19456,t=2,p=1",
            "$argon2id$v=3$m=19456,t=2,p=1",
        ];
        for head in heads {
            let phc = format!("{head}{tail}");
            assert_eq!(verify("a", &phc), Err(CryptoError::PasswordHashRefused), "{phc}");
        }
    }

    proptest! {
        #[test]
        fn reading_a_stored_hash_never_panics(phc in "[$a-z0-9=,/+ .-]{0,100}") {
            let _ = verify("password", &phc);
        }
    }
}
