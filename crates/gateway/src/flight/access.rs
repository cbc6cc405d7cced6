//! Who calls: the service key as a bearer token, or a handshake with user and password that answers one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use lingqu_domain::scope::Mode;
use tonic::metadata::MetadataMap;

use crate::delivery::Admission;
use crate::error::GatewayError;

/// The header by which a client chooses among the granted modes: `rows`, `statistics`, `lookup` or `file`.
pub(super) const MODE_HEADER: &str = "delivery-mode";
/// Failed handshakes of one address within [`ATTEMPTS_WINDOW`].
const ATTEMPTS_MAX: u32 = 30;
const ATTEMPTS_WINDOW: Duration = Duration::from_secs(60);
/// Addresses whose failures are remembered.
const ADDRESSES_MAX: usize = 4_096;
/// Clients differ in whether they pad.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bearer token (RFC 6750 section 2.1; the scheme's name in any case).
pub(super) fn bearer(metadata: &MetadataMap) -> Option<&str> {
    credentials(metadata, "bearer")
}

/// User and password of a handshake (RFC 7617; the scheme's name in any case).
pub(super) fn user_and_password(metadata: &MetadataMap) -> Option<(String, String)> {
    let encoded = credentials(metadata, "basic")?;
    let decoded = LENIENT.decode(encoded).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn credentials<'a>(metadata: &'a MetadataMap, wanted: &str) -> Option<&'a str> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then(|| credentials.trim_start_matches(' '))
}

/// Whether a user's name is one by which the key's order goes: its id, or its product's table or id.
pub(super) fn names_order(user: &str, admission: &Admission) -> bool {
    let serving = &admission.serving;
    [admission.order.as_str(), serving.details.table.as_str(), serving.grant.product.as_str()].contains(&user)
}

/// The mode that a client asks for. Error: `malformed_request` for one that answers no statements.
pub(super) fn wanted_mode(metadata: &MetadataMap) -> Result<Option<Mode>, GatewayError> {
    let Some(value) = metadata.get(MODE_HEADER) else { return Ok(None) };
    let word = value.to_str().unwrap_or_default();
    let modes = [Mode::Rows, Mode::Statistics, Mode::Lookup, Mode::File];
    match modes.into_iter().find(|mode| mode.code() == word) {
        Some(mode) => Ok(Some(mode)),
        None => Err(GatewayError::malformed(
            format!("请求头 {MODE_HEADER} 应为 rows、statistics、lookup 或 file"),
            format!("the header {MODE_HEADER} is rows, statistics, lookup or file"),
        )),
    }
}

/// Failed handshakes by address. Keys are too long to be guessed; what is bounded is the work that guessing makes.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failed: Mutex<BTreeMap<IpAddr, (Instant, u32)>>,
}

impl Attempts {
    /// Refuses an address that has failed too often. Error: `too_many_attempts`.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), GatewayError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failed.get(&address) {
            Some((since, count)) if *count >= ATTEMPTS_MAX && since.elapsed() < ATTEMPTS_WINDOW => {
                Err(GatewayError::TooManyAttempts { seconds: ATTEMPTS_WINDOW.as_secs() })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a failure.
    pub(super) fn failed(&self, address: IpAddr) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, (since, _)| since.elapsed() < ATTEMPTS_WINDOW);
        if failed.len() >= ADDRESSES_MAX && !failed.contains_key(&address) {
            failed.clear();
        }
        failed.entry(address).or_insert_with(|| (Instant::now(), 0)).1 += 1;
    }
}

/// The header that a client sends from now on: the key itself as a bearer token.
pub(super) fn bearer_header(key: &str) -> String {
    format!("Bearer {key}")
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn metadata(value: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", value.parse().unwrap());
        metadata
    }

    #[test]
    fn credentials_are_read_in_both_forms() {
        assert_eq!(bearer(&metadata("bearer  lqk_x")), Some("lqk_x"));
        assert_eq!(bearer(&metadata("Basic lqk_x")), None);
        assert_eq!(bearer(&MetadataMap::new()), None);
        let basic = format!("Basic {}", STANDARD.encode("ord_1:lqk_a:b"));
        assert_eq!(user_and_password(&metadata(&basic)), Some(("ord_1".to_owned(), "lqk_a:b".to_owned())));
        let unpadded = basic.trim_end_matches('=').to_owned();
        assert!(user_and_password(&metadata(&unpadded)).is_some());
        assert_eq!(user_and_password(&metadata("Basic !")), None);
    }

    #[test]
    fn an_address_that_fails_too_often_is_refused_alone() {
        let attempts = Attempts::default();
        let (one, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..ATTEMPTS_MAX {
            attempts.check(one).unwrap();
            attempts.failed(one);
        }
        assert!(matches!(attempts.check(one), Err(GatewayError::TooManyAttempts { .. })));
        attempts.check(other).unwrap();
    }

    #[test]
    fn a_mode_that_answers_no_statements_is_refused() {
        let read = |word: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert(MODE_HEADER, word.parse().unwrap());
            wanted_mode(&metadata)
        };
        assert_eq!(read("file").unwrap(), Some(Mode::File));
        assert!(read("verification").is_err());
        assert!(read("compute").is_err());
        assert_eq!(wanted_mode(&MetadataMap::new()).unwrap(), None);
    }
}
