//! Which format a client gets: `?format=` first, else the best of `Accept` (RFC 9110 section 12.5.1), else the first that
//! is offered.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

use crate::encode::Format;
use crate::error::GatewayError;

/// Most ranges of an `Accept` header that are looked at.
const RANGES_MAX: usize = 64;

/// Chooses among `offered`, the one that is given unasked first. Error: `not_acceptable`.
pub(super) fn choose(headers: &HeaderMap, wanted: Option<&str>, offered: &[Format]) -> Result<Format, GatewayError> {
    let refused = || {
        let offered = offered.iter().map(|format| format.essence()).collect::<Vec<_>>().join(", ");
        GatewayError::NotAcceptable { offered }
    };
    if let Some(name) = wanted {
        return offered.iter().find(|format| format.name() == name).copied().ok_or_else(refused);
    }
    let mut accept = String::new();
    for value in headers.get_all(ACCEPT) {
        // What is not text asks for nothing.
        let Ok(value) = value.to_str() else { continue };
        if !accept.is_empty() {
            accept.push(',');
        }
        accept.push_str(value);
    }
    if accept.trim().is_empty() {
        return offered.first().copied().ok_or_else(refused);
    }
    let mut best: Option<(Format, u32)> = None;
    for format in offered {
        let quality = quality_of(&accept, format.essence());
        // Of equals the one that is offered first.
        if quality > best.map_or(0, |(_, quality)| quality) {
            best = Some((*format, quality));
        }
    }
    best.map(|(format, _)| format).ok_or_else(refused)
}

/// Quality of a media type in thousandths: that of the most specific range that it falls in.
fn quality_of(accept: &str, essence: &str) -> u32 {
    let family = essence.split('/').next().unwrap_or_default();
    let mut found = (0, 0);
    for range in accept.split(',').take(RANGES_MAX) {
        let mut parts = range.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let specificity = if name.eq_ignore_ascii_case(essence) {
            3
        } else if name.strip_suffix("/*").is_some_and(|name| name.eq_ignore_ascii_case(family)) {
            2
        } else if name == "*/*" {
            1
        } else {
            continue;
        };
        let quality = parts
            .filter_map(|part| part.trim().strip_prefix("q="))
            .find_map(|text| text.parse::<f32>().ok())
            .filter(|quality| quality.is_finite())
            .unwrap_or(1.0)
            .clamp(0.0, 1.0);
        if specificity > found.0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
            let thousandths = (quality * 1000.0) as u32;
            found = (specificity, thousandths);
        }
    }
    found.1
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn chosen(accept: &str) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        choose(&headers, None, &Format::ALL).ok()
    }

    #[test]
    fn the_best_that_is_offered_is_given() {
        assert_eq!(choose(&HeaderMap::new(), None, &Format::ALL).unwrap(), Format::Json);
        assert_eq!(chosen("*/*"), Some(Format::Json));
        assert_eq!(chosen("text/csv"), Some(Format::Csv));
        assert_eq!(chosen("Text/*"), Some(Format::Csv));
        assert_eq!(chosen("application/json;q=0.5, application/vnd.apache.parquet"), Some(Format::Parquet));
        assert_eq!(chosen("application/json;q=0, */*;q=0.1"), Some(Format::Ndjson));
        assert_eq!(chosen("application/vnd.apache.arrow.stream"), Some(Format::Arrow));
        assert_eq!(chosen("text/html"), None);
        assert_eq!(chosen("text/csv;q=0"), None);
        assert_eq!(choose(&HeaderMap::new(), Some("ndjson"), &Format::ALL).unwrap(), Format::Ndjson);
        let problem = choose(&HeaderMap::new(), Some("xml"), &[Format::Json]).unwrap_err().problem();
        assert_eq!((problem.status, problem.detail.contains("application/json")), (406, true));
    }
}
