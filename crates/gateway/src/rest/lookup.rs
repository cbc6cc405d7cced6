//! `GET /{product}/lookup/{key}`, `GET /{product}/lookup?col=…`, `POST /{product}/lookup`: the rows of keys, as an object with
//! its receipt and a null for each key that was not found, or in a format of tables without those keys.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use lingqu_app::AppError;
use lingqu_domain::predicate::Literal;
use lingqu_domain::scope::Mode;
use lingqu_engine::ColumnView;
use lingqu_engine::export::{ExportFormat, file_of};
use lingqu_engine::lookup::{LookupError, joined};
use serde::Deserialize;

use super::accept::choose;
use super::request::{Sent, Words, admitted, json, parameters, text};
use super::response::{etag, not_modified, recorded};
use super::verify::{Members, key_of};
use crate::delivery::{Admission, Deliveries, Keyed, Label, LookedUp};
use crate::encode::{Format, arrow_stream, json_rows};
use crate::error::GatewayError;
use crate::value;

const FORM: &str = "{\"keys\": [{…}, …]}";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupForm {
    keys: Vec<Members>,
}

/// The key's parts joined by `,`. A part that has a comma in it must be given by name.
pub(super) async fn by_key(
    State(deliveries): State<Deliveries>,
    Words((product, key)): Words<(String, String)>,
    headers: HeaderMap,
) -> Response {
    admitted(&deliveries, &headers, &product, |admission| row_of_parts(&deliveries, admission, &key, &headers)).await
}

/// The key's parts by name.
pub(super) async fn by_columns(
    State(deliveries): State<Deliveries>,
    Words(product): Words<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    admitted(&deliveries, &headers, &product, |admission| row_of_columns(&deliveries, admission, &query, &headers))
        .await
}

/// Up to 1,000 keys.
pub(super) async fn batch(
    State(deliveries): State<Deliveries>,
    Words(product): Words<String>,
    headers: HeaderMap,
    body: Sent,
) -> Response {
    admitted(&deliveries, &headers, &product, |admission| rows_of_keys(&deliveries, admission, &headers, body)).await
}

async fn row_of_parts(
    deliveries: &Deliveries,
    admission: Admission,
    key: &str,
    headers: &HeaderMap,
) -> Result<Response, GatewayError> {
    let keyed = deliveries.keyed(admission.clone(), Mode::Lookup).await?;
    let columns = keyed.key();
    let texts: Vec<&str> = key.split(',').collect();
    if texts.len() != columns.len() {
        return Err(wrong_parts(&columns, texts.len()));
    }
    let mut parts = Vec::with_capacity(columns.len());
    for (column, text) in columns.iter().zip(texts) {
        parts.push(value::from_text(column, text)?);
    }
    row_of(deliveries, &admission, &keyed, parts, format!("lookup/{key}"), headers).await
}

async fn row_of_columns(
    deliveries: &Deliveries,
    admission: Admission,
    query: &str,
    headers: &HeaderMap,
) -> Result<Response, GatewayError> {
    let keyed = deliveries.keyed(admission.clone(), Mode::Lookup).await?;
    let columns = keyed.key();
    let given = parameters(Some(query))?;
    let mut parts = Vec::with_capacity(columns.len());
    for column in &columns {
        if let Some((_, text)) = given.iter().find(|(name, _)| name == column.name.as_str()) {
            parts.push(value::from_text(column, text)?);
        }
    }
    if parts.len() != columns.len() || given.len() != columns.len() {
        return Err(wrong_parts(&columns, given.len()));
    }
    row_of(deliveries, &admission, &keyed, parts, format!("lookup?{query}"), headers).await
}

async fn rows_of_keys(
    deliveries: &Deliveries,
    admission: Admission,
    headers: &HeaderMap,
    body: Sent,
) -> Result<Response, GatewayError> {
    let keyed = deliveries.keyed(admission.clone(), Mode::Lookup).await?;
    let format = choose(headers, None, &Format::ALL)?;
    let body = body.whole()?;
    let form: LookupForm = json(&body, FORM)?;
    let columns = keyed.key();
    let mut keys = Vec::with_capacity(form.keys.len());
    for key in &form.keys {
        keys.push(key_of(&columns, key)?);
    }
    let encode = |label: &Label, found: &LookedUp| written(label, found, format);
    let answer = deliveries.look_up(&keyed, &keys, text(&body)?, encode).await?;
    Ok(recorded(answer, format, None))
}

fn wrong_parts(columns: &[&ColumnView], found: usize) -> GatewayError {
    let names = columns.iter().map(|column| column.name.to_string()).collect();
    LookupError::KeyParts { found, expected: columns.len(), names }.into()
}

async fn row_of(
    deliveries: &Deliveries,
    admission: &Admission,
    keyed: &Keyed,
    key: Vec<Literal>,
    asked: String,
    headers: &HeaderMap,
) -> Result<Response, GatewayError> {
    let format = choose(headers, None, &Format::ALL)?;
    // Live data may change at any time, and nothing tells of it.
    let etag = (!admission.serving.is_live()).then(|| etag(admission, &asked, format));
    if let Some(response) = etag.as_deref().and_then(|etag| not_modified(headers, etag)) {
        return Ok(response);
    }
    let encode = |label: &Label, found: &LookedUp| written(label, found, format);
    let answer = deliveries.look_up(keyed, &[key], asked, encode).await?;
    Ok(recorded(answer, format, etag.as_deref()))
}

/// `{"receipt", "nature", "rows"}` with the rows in the order of the keys, null where there is none; or a table of the rows
/// that there are.
fn written(label: &Label, found: &LookedUp, format: Format) -> Result<Vec<u8>, AppError> {
    let table = |format| Ok(file_of(&joined(&found.schema, &found.rows)?, format)?.to_vec());
    match format {
        Format::Json => {}
        Format::Arrow => return arrow_stream(&joined(&found.schema, &found.rows)?),
        Format::Ndjson => return table(ExportFormat::Ndjson),
        Format::Csv => return table(ExportFormat::Csv),
        Format::Parquet => return table(ExportFormat::Parquet),
    }
    let nature = serde_json::to_string(&label.nature)
        .map_err(|error| AppError::Fault(format!("a nature could not be written as JSON: {error}")))?;
    let mut body = format!("{{\"receipt\":\"{}\",\"nature\":{nature},\"rows\":[", label.receipt).into_bytes();
    for (at, row) in found.rows.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        match row {
            Some(row) => body.extend_from_slice(&json_rows(&row.values)?),
            None => body.extend_from_slice(b"null"),
        }
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}
