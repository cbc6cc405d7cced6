//! When a certificate begins to be valid and when it expires: what the node asks about it and the TLS library does not tell.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Tags of DER (X.690, section 8.1.2) in a certificate.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The `notAfter` of a certificate in DER (RFC 5280, section 4.1.2.5); none where it has none or it can't be read.
pub fn expires_at(certificate: &[u8]) -> Option<Timestamp> {
    validity(certificate)?.1
}

/// The `notBefore` of a certificate in DER; none where it has none or it can't be read.
pub fn begins_at(certificate: &[u8]) -> Option<Timestamp> {
    validity(certificate)?.0
}

fn validity(certificate: &[u8]) -> Option<(Option<Timestamp>, Option<Timestamp>)> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    // Its number, how it is signed, and who issued it stand before.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        rest = element(rest, tag)?.1;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (not_before, rest) = time(validity)?;
    Some((not_before, time(rest)?.0))
}

/// The content of the element that bytes begin with, and what stands behind it; none where it has another tag.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        length @ 0..=0x7f => (length, rest),
        // The length of the length.
        of @ 0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(of - 0x80)?;
            (length.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (*found == tag).then_some(())?;
    rest.split_at_checked(length)
}

/// The time that bytes begin with, where it is one that is reckoned with here, and what stands behind it.
fn time(bytes: &[u8]) -> Option<(Option<Timestamp>, &[u8])> {
    let (text, rest) = match element(bytes, UTC_TIME) {
        Some((text, rest)) => {
            let text = std::str::from_utf8(text).ok()?;
            let year: u32 = text.get(..2)?.parse().ok()?;
            (format!("{}{text}", if year < 50 { 20 } else { 19 }), rest)
        }
        None => {
            let (text, rest) = element(bytes, GENERALIZED_TIME)?;
            (std::str::from_utf8(text).ok()?.to_owned(), rest)
        }
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok();
    // The last second of 9999 stands for no end (RFC 5280, section 4.1.2.5) and lies beyond what is reckoned with here.
    Some((time.map(|time| Offset::UTC.to_timestamp(time).unwrap_or(Timestamp::MAX)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::tests::{FIRST, RENEWED, der};

    #[test]
    fn both_forms_of_a_time_are_read_and_no_damage_ends_in_a_panic() {
        let told = |text: &str| expires_at(&der(text)).map(|at| at.to_string());
        assert_eq!(told(FIRST).as_deref(), Some("2126-01-01T00:00:00Z"));
        assert_eq!(told(RENEWED).as_deref(), Some("2049-12-31T23:59:59Z"));
        let (_, rest) = element(b"\x18\x0f99991231235959Z!", GENERALIZED_TIME).unwrap();
        assert_eq!((time(b"\x18\x0f99991231235959Z!"), rest), (Some((Some(Timestamp::MAX), &b"!"[..])), &b"!"[..]));
        assert!(begins_at(&der(FIRST)) < expires_at(&der(FIRST)) && begins_at(&der(FIRST)).is_some());
        let whole = der(FIRST);
        for at in 0..whole.len() {
            expires_at(&whole[..at]);
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                expires_at(&damaged);
            }
        }
    }
}
