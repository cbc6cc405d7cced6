//! `GET` and `HEAD /files/{receipt}?expires=…&signature=…`: a file or a piece of it, without a key.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use lingqu_app::Serving;
use lingqu_domain::id::ReceiptId;
use lingqu_domain::resource::Nature;
use std::sync::Arc;

use super::Named;
use super::address::check;
use super::refusal::SharingError;
use crate::delivery::{Deliveries, Handed};
use crate::error::GatewayError;
use crate::range::Asked;
use crate::rest::request::parameters;

const DELIVERY_RECEIPT: HeaderName = HeaderName::from_static("delivery-receipt");
const DATA_NATURE: HeaderName = HeaderName::from_static("data-nature");
const ANSWER_SALT: HeaderName = HeaderName::from_static("answer-salt");

/// The file, or the piece that `Range` names. The first byte closes the delivery and charges it.
pub(super) async fn file(
    State(deliveries): State<Deliveries>,
    Named(receipt): Named<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, SharingError> {
    let (handed, serving) = found(&deliveries, &receipt, query.as_deref()).await?;
    let (mut response, asked) = announced(&handed, &headers);
    let (start, length) = asked.bytes(handed.bytes);
    if response.status() != StatusCode::RANGE_NOT_SATISFIABLE {
        *response.body_mut() = Body::from_stream(deliveries.take(&handed, serving, start, length).await?);
    }
    Ok(response)
}

/// What a `GET` would answer, without a byte of it: nothing is closed or charged.
pub(super) async fn head(
    State(deliveries): State<Deliveries>,
    Named(receipt): Named<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, SharingError> {
    let (handed, _) = found(&deliveries, &receipt, query.as_deref()).await?;
    Ok(announced(&handed, &headers).0)
}

/// The file of an address. What is wrong with an address is not told.
async fn found(
    deliveries: &Deliveries,
    receipt: &str,
    query: Option<&str>,
) -> Result<(Arc<Handed>, Arc<Serving>), GatewayError> {
    let given = parameters(query)?;
    let value = |name: &str| given.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
    let receipt: ReceiptId = receipt.parse().map_err(|_| GatewayError::FileAddressNotValid)?;
    let handed = deliveries.handed(&receipt)?;
    check(deliveries.app(), &handed, value("expires"), value("signature"))?;
    // Asked after the signature, so that a guess learns nothing of the grant.
    let serving = deliveries.readmit(&handed).await?;
    Ok((handed, serving))
}

fn announced(handed: &Handed, request: &HeaderMap) -> (Response, Asked) {
    let etag = format!("\"{}\"", handed.name);
    let asked = Asked::of(request, handed.bytes, &etag);
    let mut response = Body::empty().into_response();
    let headers = response.headers_mut();
    let status = asked.announce(handed.bytes, headers);
    let nature = match handed.nature {
        Nature::Real => "REAL",
        Nature::Synthetic => "SYNTHETIC",
    };
    headers.insert(DATA_NATURE, HeaderValue::from_static(nature));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(handed.format.media_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let answer_salt = handed.answer_salt.to_string();
    for (name, text) in
        [(ETAG, etag.as_str()), (DELIVERY_RECEIPT, handed.receipt.as_str()), (ANSWER_SALT, answer_salt.as_str())]
    {
        headers.insert(name, HeaderValue::from_str(text).expect("ids and digests are visible ASCII"));
    }
    *response.status_mut() = status;
    (response, asked)
}
