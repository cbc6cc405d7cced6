//! `GET /profile`: the file by which a client finds the share (PROTOCOL.md, section "Profile File Format", version 1).

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;

use super::admitted;
use super::place::Place;
use super::refusal::SharingError;
use crate::delivery::Deliveries;
use crate::rest::request::bearer;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile<'a> {
    share_credentials_version: u32,
    endpoint: &'a str,
    bearer_token: &'a str,
    expiration_time: String,
}

/// The profile of the order whose key asks, with that key in it; it expires with the order's term.
pub(super) async fn profile(
    State(deliveries): State<Deliveries>,
    Place(place): Place,
    headers: HeaderMap,
) -> Result<Response, SharingError> {
    let admission = admitted(&deliveries, &headers).await?;
    let profile = Profile {
        share_credentials_version: 1,
        endpoint: &place,
        bearer_token: bearer(&headers).unwrap_or_default(),
        expiration_time: to_milliseconds(admission.serving.grant.scope.term.until),
    };
    let body = serde_json::to_vec_pretty(&profile).expect("texts and numbers are JSON");
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let disposition = format!("attachment; filename=\"{}.share\"", admission.order);
    let disposition = HeaderValue::from_str(&disposition).expect("an id is visible ASCII");
    headers.insert(CONTENT_DISPOSITION, disposition);
    Ok(response)
}

/// RFC 3339 in UTC with three digits of fraction, which every client reads.
fn to_milliseconds(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_of_fraction() {
        for (moment, text) in [
            ("2026-12-24T08:00:00+08:00", "2026-12-24T00:00:00.000Z"),
            ("2026-12-24T00:00:00.123456Z", "2026-12-24T00:00:00.123Z"),
        ] {
            assert_eq!(to_milliseconds(moment.parse().unwrap()), text);
        }
    }
}
