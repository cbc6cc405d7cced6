//! What is shared with an order: itself as a share, one schema, one table.
//!
//! Each listing is one line, since clients read the first line and no more.

use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::refusal::SharingError;
use super::{Named, admitted};
use crate::delivery::{Admission, Deliveries};
use crate::error::GatewayError;
use crate::rest::request::parameters;

/// The only schema of a share.
const SCHEMA: &str = "data";
/// The token of a page after one that was asked to be empty.
const PAGE: &str = "1";

pub(super) async fn shares(
    State(deliveries): State<Deliveries>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, SharingError> {
    let admission = admitted(&deliveries, &headers).await?;
    page(query.as_deref(), share_of(&admission))
}

pub(super) async fn share(
    State(deliveries): State<Deliveries>,
    Named(share): Named<String>,
    headers: HeaderMap,
) -> Result<Response, SharingError> {
    let admission = admitted(&deliveries, &headers).await?;
    must_be_share(&admission, &share)?;
    Ok(one_line(&json!({"share": share_of(&admission)})))
}

pub(super) async fn schemas(
    State(deliveries): State<Deliveries>,
    Named(share): Named<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, SharingError> {
    let admission = admitted(&deliveries, &headers).await?;
    must_be_share(&admission, &share)?;
    page(query.as_deref(), json!({"name": SCHEMA, "share": admission.order}))
}

pub(super) async fn tables(
    State(deliveries): State<Deliveries>,
    Named((share, schema)): Named<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, SharingError> {
    let admission = admitted(&deliveries, &headers).await?;
    must_be_share(&admission, &share)?;
    must_be(&schema, SCHEMA)?;
    page(query.as_deref(), table_of(&admission))
}

pub(super) async fn all_tables(
    State(deliveries): State<Deliveries>,
    Named(share): Named<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, SharingError> {
    let admission = admitted(&deliveries, &headers).await?;
    must_be_share(&admission, &share)?;
    page(query.as_deref(), table_of(&admission))
}

/// Refuses names of anything but the order's own table.
pub(super) fn must_be_table(
    admission: &Admission,
    (share, schema, table): &(String, String, String),
) -> Result<(), GatewayError> {
    must_be_share(admission, share)?;
    must_be(schema, SCHEMA)?;
    must_be(table, admission.serving.details.table.as_str())
}

fn must_be_share(admission: &Admission, share: &str) -> Result<(), GatewayError> {
    must_be(share, admission.order.as_str())
}

/// Names are the same in any case.
fn must_be(name: &str, known: &str) -> Result<(), GatewayError> {
    if name.eq_ignore_ascii_case(known) { Ok(()) } else { Err(GatewayError::NotShared) }
}

fn share_of(admission: &Admission) -> Value {
    json!({"name": admission.order, "id": admission.order})
}

fn table_of(admission: &Admission) -> Value {
    json!({
        "name": admission.serving.details.table,
        "schema": SCHEMA,
        "share": admission.order,
        "shareId": admission.order,
        "id": admission.serving.grant.product,
    })
}

/// A page of the one thing that there is.
fn page(query: Option<&str>, item: Value) -> Result<Response, SharingError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        items: Vec<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_page_token: Option<&'static str>,
    }
    let mut is_empty = false;
    for (name, value) in parameters(query)? {
        match name.as_str() {
            "maxResults" => match value.parse::<u32>() {
                Ok(count) => is_empty = count == 0,
                Err(_) => {
                    return Err(GatewayError::malformed(
                        "maxResults 应为非负整数",
                        "`maxResults` is a whole number from 0",
                    )
                    .into());
                }
            },
            "pageToken" if !value.is_empty() && value != PAGE => {
                return Err(GatewayError::malformed(
                    "pageToken 无效，请不带 pageToken 从头开始",
                    "the page token is not one of ours; begin without one",
                )
                .into());
            }
            _ => {}
        }
    }
    let page = match is_empty {
        true => Page { items: Vec::new(), next_page_token: Some(PAGE) },
        false => Page { items: vec![item], next_page_token: None },
    };
    Ok(one_line(&page))
}

fn one_line(content: &impl Serialize) -> Response {
    let body = serde_json::to_vec(content).expect("texts and lists are JSON");
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
