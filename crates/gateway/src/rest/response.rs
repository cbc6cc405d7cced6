//! Answers as HTTP.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use lingqu_app::{QuotaPlace, Serving};
use lingqu_crypto::sha256;
use lingqu_domain::calendar::beijing;
use lingqu_domain::id::ReceiptId;
use lingqu_domain::resource::Nature;
use lingqu_engine::RowsExactness;
use lingqu_engine::export::file_form;

use crate::delivery::{Admission, Deliveries, Handed, Recorded, Streamed};
use crate::encode::Format;
use crate::range::Asked;

/// Seconds of a day.
const DAY_S: i64 = 24 * 60 * 60;
/// The receipt of the answer.
const DELIVERY_RECEIPT: HeaderName = HeaderName::from_static("delivery-receipt");
/// REAL or SYNTHETIC.
const DATA_NATURE: HeaderName = HeaderName::from_static("data-nature");
/// The salt of the digest that the receipt has of the answer's bytes: with it whoever has the answer can show that it is the one.
const ANSWER_SALT: HeaderName = HeaderName::from_static("answer-salt");
/// `exact` or `superset`: how the rows that the receipt names relate to those of the answer.
const RECEIPT_ROWS: HeaderName = HeaderName::from_static("receipt-rows");
/// Groups that were left out because they were smaller than the cohort floor.
const GROUPS_SUPPRESSED: HeaderName = HeaderName::from_static("groups-suppressed");
/// What statistics with noise cost of each privacy account, as ρ of zCDP; 0 when the same answer was given before.
const PRIVACY_SPENT: HeaderName = HeaderName::from_static("lingqu-privacy-spent");
/// What is left of the privacy account that has least.
const PRIVACY_REMAINING: HeaderName = HeaderName::from_static("lingqu-privacy-remaining");
/// The weight of each row, where the recipient's copy lacks a share of the rows: totals of the whole are his times this.
const SAMPLING_WEIGHT: HeaderName = HeaderName::from_static("lingqu-sampling-weight");
/// The cursor that follows a full page.
const NEXT_CURSOR: HeaderName = HeaderName::from_static("next-cursor");
/// The quota of the order, by unit (draft-ietf-httpapi-ratelimit-headers-10, section 3). Only a quota per day has a window:
/// an order's quota for its term does not come back with time.
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it (section 4), as far as this process of the node knows: see [`lingqu_store::quota::Quota::left`]. A
/// unit of which this process has used nothing yet is left out.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

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

/// The same for a file, whose bytes hold no receipt: the same tag stands for the same bytes, so it is a strong one. Another
/// version of the program, or of what it makes of an answer, may write other bytes.
pub(super) fn file_etag(admission: &Admission, sql: &str, format: Format) -> String {
    let weak = etag(admission, &format!("export {} {sql}", file_form()), format);
    weak.trim_start_matches("W/").to_owned()
}

/// The answer to a client who has the answer already (RFC 9110 section 13.1.2). A tag can't be guessed, so who shows it had
/// the answer, with its receipt; he learns that it still is the answer, none of the data leaves, and so this has no receipt
/// and costs nothing. `None`: he has another one, or none.
pub(super) fn not_modified(headers: &HeaderMap, etag: &str) -> Option<Response> {
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // `*` stands for whatever there is and would tell a client who has nothing that he has all.
    let opaque = etag.trim_start_matches("W/");
    let is_known = known.flat_map(|value| value.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == opaque);
    if !is_known {
        return None;
    }
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    let headers = response.headers_mut();
    set(headers, ETAG, etag);
    // As the answer itself would say (RFC 9110 section 15.4.5).
    set(headers, VARY, "Authorization, Accept");
    set(headers, CACHE_CONTROL, "private, no-cache");
    Some(response)
}

/// An answer about a few keys.
pub(super) fn recorded(recorded: Recorded, format: Format, etag: Option<&str>) -> Response {
    let mut response = Response::new(Body::from(recorded.body));
    let headers = response.headers_mut();
    label(headers, &recorded.label.receipt, recorded.label.nature, format, etag);
    set(headers, ANSWER_SALT, &recorded.answer_salt.to_string());
    response
}

/// An answer that is drawn.
pub(super) fn streamed(streamed: Streamed, format: Format, etag: Option<&str>) -> Response {
    let Streamed { receipt, nature, exactness, groups_suppressed, privacy, answer_salt, body } = streamed;
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    label(headers, &receipt, nature, format, etag);
    set(headers, ANSWER_SALT, &answer_salt.to_string());
    let exactness = match exactness {
        RowsExactness::Exact => "exact",
        RowsExactness::Superset => "superset",
    };
    set(headers, RECEIPT_ROWS, exactness);
    if groups_suppressed > 0 {
        set(headers, GROUPS_SUPPRESSED, &groups_suppressed.to_string());
    }
    if let Some(privacy) = privacy {
        set(headers, PRIVACY_SPENT, &privacy.spent.to_string());
        set(headers, PRIVACY_REMAINING, &privacy.left.to_string());
    }
    response
}

/// An answer that is made of no governed data, so that there is no receipt of it.
pub(super) fn without_receipt(body: Bytes, format: Format) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    set(headers, CONTENT_TYPE, format.media_type());
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, VARY, "Authorization, Accept");
    set(headers, CACHE_CONTROL, "no-store");
    response
}

/// A piece of a file that is handed out, or the whole of it, without its body.
pub(super) fn handed(handed: &Handed, asked: Asked, etag: &str) -> Response {
    let mut response = Body::empty().into_response();
    let headers = response.headers_mut();
    label(headers, &handed.receipt, handed.nature, handed.format, Some(etag));
    set(headers, ANSWER_SALT, &handed.answer_salt.to_string());
    *response.status_mut() = asked.announce(handed.bytes, response.headers_mut());
    response
}

/// Says that pieces of the file can be asked for.
pub(super) fn in_pieces(response: &mut Response) {
    set(response.headers_mut(), ACCEPT_RANGES, "bytes");
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

fn label(headers: &mut HeaderMap, receipt: &ReceiptId, nature: Nature, format: Format, etag: Option<&str>) {
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
}

/// Adds the weight of the rows, where they are not all, to answers and refusals alike.
pub(super) fn say_weight(serving: &Serving, headers: &mut HeaderMap) {
    if let Some(weight) = serving.sampling_weight() {
        set(headers, SAMPLING_WEIGHT, &weight.to_string());
    }
}

/// Adds the order's quota and what is left of it, to answers and refusals alike.
pub(super) async fn say_what_is_left(deliveries: &Deliveries, serving: &Serving, headers: &mut HeaderMap) {
    let (mut policy, mut left) = (Vec::new(), Vec::new());
    let app = deliveries.app();
    let (day, now) = (app.quota_day(serving), app.now());
    // What others used of a quota above the order's own is none of the consumer's business.
    let own = app.quota_places(serving, day).into_iter().filter(|place| !place.is_shared);
    for QuotaPlace { unit, day, account, limit, .. } in own {
        let (unit, window, reset) = match day.map(|day| seconds_left(day, now)) {
            None => (unit.code().to_owned(), String::new(), String::new()),
            Some(seconds) => (format!("{}_per_day", unit.code()), format!(";w={DAY_S}"), format!(";t={seconds}")),
        };
        policy.push(format!("\"{unit}\";q={limit}{window}"));
        let rest = match limit {
            0 => Some(0),
            _ => app.quota().left(&account).await,
        };
        left.extend(rest.map(|rest| format!("\"{unit}\";r={rest}{reset}")));
    }
    set(headers, RATE_LIMIT_POLICY, &policy.join(", "));
    if !left.is_empty() {
        set(headers, RATE_LIMIT, &left.join(", "));
    }
}

/// Seconds until a day in Beijing is over.
fn seconds_left(day: Date, now: Timestamp) -> i64 {
    let end = day.tomorrow().and_then(|next| next.to_datetime(Time::midnight()).to_zoned_datetime(beijing()));
    end.map_or(DAY_S, |end| end.timestamp().duration_since(now).as_secs().clamp(0, DAY_S))
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Every value here is an id, a number, a digest or a word of ours.
    let value = HeaderValue::from_str(value).expect("ids, numbers, digests and words are visible ASCII");
    headers.insert(name, value);
}
