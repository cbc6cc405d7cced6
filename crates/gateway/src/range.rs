//! Pieces of files over HTTP: `Range` and `If-Range` (RFC 9110 section 14).
//!
//! One range of bytes is served; several at once, and whatever is not understood, are answered with the whole, as the
//! specification allows.

use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, IF_RANGE, RANGE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};

/// What of a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it.
    Whole,
    /// Some bytes of it.
    Part {
        /// The first.
        start: u64,
        /// How many; at least one.
        length: u64,
    },
    /// Bytes that it does not have.
    Nothing,
}

impl Asked {
    /// Reads what a request asks of a file of a size, known by a strong entity tag. A `Range` under another tag or under a
    /// date asks for the whole.
    pub(crate) fn of(headers: &HeaderMap, size: u64, etag: &str) -> Asked {
        let (Some(range), None) = one(headers, &RANGE) else { return Asked::Whole };
        if let (Some(tag), _) = one(headers, &IF_RANGE)
            && tag.trim() != etag
        {
            return Asked::Whole;
        }
        parse(range, size)
    }

    /// Which bytes are to be sent of a file of a size: the first and how many.
    pub(crate) fn bytes(self, size: u64) -> (u64, u64) {
        match self {
            Asked::Whole => (0, size),
            Asked::Part { start, length } => (start, length),
            Asked::Nothing => (0, 0),
        }
    }

    /// The status, and the headers that say what is sent of a file of a size.
    pub(crate) fn announce(self, size: u64, headers: &mut HeaderMap) -> StatusCode {
        let (start, length) = self.bytes(size);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        let (status, range) = match self {
            Asked::Whole => return StatusCode::OK,
            Asked::Part { .. } => (StatusCode::PARTIAL_CONTENT, format!("bytes {start}-{}/{size}", start + length - 1)),
            Asked::Nothing => (StatusCode::RANGE_NOT_SATISFIABLE, format!("bytes */{size}")),
        };
        headers.insert(CONTENT_RANGE, HeaderValue::from_str(&range).expect("numbers and signs are visible ASCII"));
        status
    }
}

/// True when a request asks for a piece of a file that is known by a strong tag.
pub(crate) fn is_asked(headers: &HeaderMap, etag: &str) -> bool {
    // The size decides what a piece is, not whether one is meant.
    Asked::of(headers, u64::MAX, etag) != Asked::Whole
}

/// A header's value as text, and another value of it if there is one.
fn one<'a>(headers: &'a HeaderMap, name: &axum::http::HeaderName) -> (Option<&'a str>, Option<&'a HeaderValue>) {
    let mut values = headers.get_all(name).iter();
    (values.next().and_then(|value| value.to_str().ok()), values.next())
}

fn parse(range: &str, size: u64) -> Asked {
    let Some(range) = range.trim().strip_prefix("bytes=") else { return Asked::Whole };
    let Some((first, last)) = range.split_once('-') else { return Asked::Whole };
    let number = |text: &str| -> Option<u64> {
        let text = text.trim();
        // A plus sign would be read as well, and two ranges have a comma.
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    let (start, end) = match (first.trim(), last.trim()) {
        ("", _) => match number(last) {
            Some(0) => return Asked::Nothing,
            Some(length) => (size.saturating_sub(length), size),
            None => return Asked::Whole,
        },
        (_, "") => match number(first) {
            Some(start) => (start, size),
            None => return Asked::Whole,
        },
        _ => match (number(first), number(last)) {
            (Some(start), Some(last)) if start <= last => (start, last.saturating_add(1).min(size)),
            _ => return Asked::Whole,
        },
    };
    if start >= end {
        return Asked::Nothing;
    }
    Asked::Part { start, length: end - start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_read_and_everything_else_asks_for_the_whole() {
        let part = |start, length| Asked::Part { start, length };
        for (range, expected) in [
            ("bytes=0-1023", part(0, 1000)),
            ("bytes=0-0", part(0, 1)),
            ("bytes=999-", part(999, 1)),
            ("bytes=-4", part(996, 4)),
            ("bytes=-4000", part(0, 1000)),
            ("bytes= 5 - 9 ", part(5, 5)),
            ("bytes=10-99999999999999999999", Asked::Whole),
            ("bytes=10-18446744073709551615", part(10, 990)),
            ("bytes=1000-", Asked::Nothing),
            ("bytes=1000-1001", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=0-1,5-6", Asked::Whole),
            ("bytes=5-4", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("rows=1-2", Asked::Whole),
        ] {
            assert_eq!(parse(range, 1000), expected, "{range}");
        }
        assert_eq!(parse("bytes=0-", 0), Asked::Nothing);
    }

    #[test]
    fn a_range_under_another_tag_asks_for_the_whole() {
        let asked = |if_range: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_static("bytes=0-9"));
            headers.insert(IF_RANGE, HeaderValue::from_str(if_range).unwrap());
            Asked::of(&headers, 100, "\"a\"")
        };
        assert_eq!(asked("\"a\""), Asked::Part { start: 0, length: 10 });
        for other in ["\"b\"", "W/\"a\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(asked(other), Asked::Whole, "{other}");
        }
    }
}
