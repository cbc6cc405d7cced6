//! Answers as HTTP.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use lingqu_crypto::sha256;
use lingqu_domain::id::ReceiptId;
use lingqu_domain::resource::Nature;
use lingqu_engine::RowsExactness;

use crate::delivery::{Admission, Recorded, Streamed};
use crate::encode::Format;

/// The receipt of the answer.
const DELIVERY_RECEIPT: HeaderName = HeaderName::from_static("delivery-receipt");
/// REAL or SYNTHETIC.
const DATA_NATURE: HeaderName = HeaderName::from_static("data-nature");
/// `exact` or `superset`: how the rows that the receipt names relate to those of the answer.
const RECEIPT_ROWS: HeaderName = HeaderName::from_static("receipt-rows");
/// Groups that were left out because they were smaller than the cohort floor.
const GROUPS_SUPPRESSED: HeaderName = HeaderName::from_static("groups-suppressed");
/// The cursor that follows a full page.
const NEXT_CURSOR: HeaderName = HeaderName::from_static("next-cursor");
/// The quota of the order (draft-ietf-httpapi-ratelimit-headers, section 3).
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What names an answer: the order, its rights, consents and snapshots, and the question. The same tag stands for the same
/// answer; only the receipt's id within it differs, so it is a weak one.
pub(super) fn etag(admission: &Admission, question: &str, format: Format) -> String {
    let mut named = Vec::new();
    for part in [admission.order.as_str(), &admission.serving.policy_digest, format.name(), question] {
        named.extend_from_slice(&(part.len() as u64).to_be_bytes());
        named.extend_from_slice(part.as_bytes());
    }
    format!("W/\"{}\"", &sha256(&named).to_string()[..32])
}

/// The answer to a client who has the answer already (RFC 9110 section 13.1.2). Nothing of the data leaves, so it has no
/// receipt and costs nothing. `None`: he has another one, or none.
pub(super) fn not_modified(headers: &HeaderMap, etag: &str) -> Option<Response> {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // `*` stands for whatever there is and would tell a client who has nothing that he has all.
    let is_known =
        known.flat_map(|value| value.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == &etag[2..]);
    if !is_known {
        return None;
    }
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    set(response.headers_mut(), ETAG, etag);
    set(response.headers_mut(), CACHE_CONTROL, "private, no-cache");
    Some(response)
}

/// An answer about a few keys.
pub(super) fn recorded(admission: &Admission, recorded: Recorded, format: Format, etag: Option<&str>) -> Response {
    let mut response = Response::new(Body::from(recorded.body));
    let headers = response.headers_mut();
    label(headers, admission, &recorded.label.receipt, recorded.label.nature, format, etag);
    response
}

/// An answer that is drawn.
pub(super) fn streamed(admission: &Admission, streamed: Streamed, format: Format, etag: Option<&str>) -> Response {
    let Streamed { receipt, nature, exactness, groups_suppressed, body } = streamed;
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    label(headers, admission, &receipt, nature, format, etag);
    let exactness = match exactness {
        RowsExactness::Exact => "exact",
        RowsExactness::Superset => "superset",
    };
    set(headers, RECEIPT_ROWS, exactness);
    if groups_suppressed > 0 {
        set(headers, GROUPS_SUPPRESSED, &groups_suppressed.to_string());
    }
    response
}

/// Names the file that a browser would save.
pub(super) fn as_file(response: &mut Response, table: &str, format: Format) {
    let disposition = format!("attachment; filename=\"{table}.{}\"", format.name());
    set(response.headers_mut(), CONTENT_DISPOSITION, &disposition);
}

/// Says where the next page begins, if this one is full.
pub(super) fn with_next_cursor(response: &mut Response, cursor: &str) {
    set(response.headers_mut(), NEXT_CURSOR, cursor);
}

fn label(
    headers: &mut HeaderMap,
    admission: &Admission,
    receipt: &ReceiptId,
    nature: Nature,
    format: Format,
    etag: Option<&str>,
) {
    set(headers, DELIVERY_RECEIPT, receipt.as_str());
    let nature = match nature {
        Nature::Real => "REAL",
        Nature::Synthetic => "SYNTHETIC",
    };
    set(headers, DATA_NATURE, nature);
    set(headers, CONTENT_TYPE, format.media_type());
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, VARY, "Authorization, Accept");
    match etag {
        Some(etag) => {
            set(headers, ETAG, etag);
            set(headers, CACHE_CONTROL, "private, no-cache");
        }
        None => set(headers, CACHE_CONTROL, "no-store"),
    }
    let quota = &admission.serving.grant.quota;
    set(headers, RATE_LIMIT_POLICY, &format!("\"calls\";q={}, \"data_sets\";q={}", quota.calls, quota.data_sets));
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Every value here is an id, a number, a digest or a word of ours.
    let value = HeaderValue::from_str(value).expect("ids, numbers, digests and words are visible ASCII");
    headers.insert(name, value);
}
