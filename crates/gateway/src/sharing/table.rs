//! A table: the version of its data, its columns, its file.
//!
//! The version counts the snapshots that the product is made of, so it grows whenever the data does. A change of rights or
//! consents leaves it and gives the file another id.

use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use lingqu_app::AppError;
use lingqu_crypto::ServiceKey;
use lingqu_domain::scope::Mode;
use lingqu_engine::ColumnView;
use serde_json::{Map, Value, json};

use super::address::address_of;
use super::listing::must_be_table;
use super::place::Place;
use super::refusal::SharingError;
use super::schema::schema_string;
use super::{Named, PROTOCOL, admitted};
use crate::delivery::{Admission, Deliveries, FileRequest, Handed};
use crate::encode::Format;
use crate::error::GatewayError;
use crate::rest::request::{Sent, bearer, parameters};

const VERSION: HeaderName = HeaderName::from_static("delta-table-version");
const CAPABILITIES: HeaderName = HeaderName::from_static("delta-sharing-capabilities");

/// Names of share, schema and table.
type Names = (String, String, String);

pub(super) async fn version(
    State(deliveries): State<Deliveries>,
    Named(names): Named<Names>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, SharingError> {
    let admission = admitted(&deliveries, &headers).await?;
    must_be_table(&admission, &names)?;
    for (name, _) in parameters(query.as_deref())? {
        if name == "startingTimestamp" {
            return Err(no_past().into());
        }
    }
    Ok(lines(&admission, &[]))
}

pub(super) async fn metadata(
    State(deliveries): State<Deliveries>,
    Named(names): Named<Names>,
    headers: HeaderMap,
) -> Result<Response, SharingError> {
    let admission = admitted(&deliveries, &headers).await?;
    must_be_table(&admission, &names)?;
    must_take_parquet(&headers)?;
    let columns = deliveries.columns(&admission, Mode::File).await?;
    Ok(lines(&admission, &opening_lines(&deliveries, &admission, &columns)))
}

pub(super) async fn query(
    State(deliveries): State<Deliveries>,
    Named(names): Named<Names>,
    Place(place): Place,
    headers: HeaderMap,
    body: Sent,
) -> Result<Response, SharingError> {
    let admission = admitted(&deliveries, &headers).await?;
    must_be_table(&admission, &names)?;
    must_take_parquet(&headers)?;
    let form = form_of(&body.whole()?)?;
    must_be_present(&form, version_of(&admission))?;
    let columns = deliveries.columns(&admission, Mode::File).await?;
    let handed = deliveries.hand_out(&admission, request_of(&admission, &columns, &headers)?).await?;
    let mut answer = opening_lines(&deliveries, &admission, &columns);
    answer.push(file_line(&deliveries, &place, &handed));
    let wants_end = wants_end(&headers, &form);
    if wants_end {
        // Told unasked it breaks clients that know files alone.
        answer.push(json!({"endStreamAction": {"minUrlExpirationTimestamp": handed.until.as_millisecond()}}));
    }
    let mut response = lines(&admission, &answer);
    if wants_end {
        let capabilities = HeaderValue::from_static("responseformat=parquet;includeendstreamaction=true");
        response.headers_mut().insert(CAPABILITIES, capabilities);
    }
    Ok(response)
}

/// Changes between versions are not kept.
pub(super) async fn changes(
    State(deliveries): State<Deliveries>,
    Named(names): Named<Names>,
    headers: HeaderMap,
) -> Result<Response, SharingError> {
    let admission = admitted(&deliveries, &headers).await?;
    must_be_table(&admission, &names)?;
    Err(GatewayError::malformed(
        "不提供数据变更（CDF），请查询整表",
        "changes of the data (change data feed) are not shared; query the table as it is",
    )
    .into())
}

/// The whole table as a Parquet file: the same statement, and so the same bytes, as of the export without parameters.
fn request_of(admission: &Admission, columns: &[ColumnView], headers: &HeaderMap) -> Result<FileRequest, GatewayError> {
    let names: Vec<String> = columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    let sql = format!("SELECT {} FROM \"{}\"", names.join(", "), admission.serving.details.table);
    let key = bearer(headers).unwrap_or_default();
    let key = ServiceKey::parse(key).map_err(|_| GatewayError::from(AppError::BadKey))?.hash();
    Ok(FileRequest { sql, format: Format::Parquet, request: format!("{PROTOCOL} query"), key })
}

/// Protocol and metadata, with which metadata and query begin.
fn opening_lines(deliveries: &Deliveries, admission: &Admission, columns: &[ColumnView]) -> Vec<Value> {
    let details = &admission.serving.details;
    let meanings = deliveries.app().meanings(&admission.serving);
    let mut configuration = Map::new();
    if let Some(weight) = admission.serving.sampling_weight() {
        configuration.insert("lingqu.samplingWeight".to_owned(), json!(weight.to_string()));
    }
    if let Some(decoys) = admission.serving.decoys_per_million() {
        configuration.insert("lingqu.decoysPerMillion".to_owned(), json!(decoys.to_string()));
    }
    vec![
        json!({"protocol": {"minReaderVersion": 1}}),
        json!({"metaData": {
            "id": admission.serving.grant.product,
            "name": details.table,
            "description": meanings.table(),
            "format": {"provider": "parquet"},
            "schemaString": schema_string(columns, &meanings),
            "partitionColumns": [],
            "configuration": configuration,
        }}),
    ]
}

fn file_line(deliveries: &Deliveries, place: &str, handed: &Handed) -> Value {
    json!({"file": {
        "url": address_of(deliveries.app(), place, handed),
        "id": handed.name.to_string(),
        "partitionValues": {},
        "size": handed.bytes,
        // Least and greatest values of columns stand in the file itself, after masks; here they would leave without it.
        "stats": json!({"numRecords": handed.answer_rows}).to_string(),
        "expirationTimestamp": handed.until.as_millisecond(),
    }})
}

/// Lines of JSON, without one after the last: clients read an empty line as broken JSON.
fn lines(admission: &Admission, lines: &[Value]) -> Response {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let mut response = lines.join("\n").into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VERSION, HeaderValue::from(version_of(admission)));
    response
}

fn version_of(admission: &Admission) -> u64 {
    admission.serving.grant.inputs.values().map(|input| input.snapshot_version).sum()
}

/// The body of a query; an empty one asks for the table as it is.
fn form_of(body: &[u8]) -> Result<Map<String, Value>, GatewayError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    serde_json::from_slice(body)
        .map_err(|_| GatewayError::malformed("请求体不是 JSON 对象", "the request's body is no JSON object"))
}

/// Refuses what asks for another version than the one that is served. Hints and whatever else a client may say are ignored.
fn must_be_present(form: &Map<String, Value>, current: u64) -> Result<(), GatewayError> {
    let is_given = |name: &str| form.get(name).is_some_and(|value| !value.is_null());
    let is_past = form.get("version").is_some_and(|version| !version.is_null() && version.as_u64() != Some(current))
        || ["timestamp", "startingVersion", "endingVersion", "startingTimestamp", "endingTimestamp"]
            .iter()
            .any(|name| is_given(name));
    if is_past { Err(no_past()) } else { Ok(()) }
}

fn no_past() -> GatewayError {
    GatewayError::malformed(
        "只提供当前版本，请去掉版本与时间参数",
        "only the current version is shared; ask without versions and times",
    )
}

/// Refuses clients that read the Delta form alone.
fn must_take_parquet(headers: &HeaderMap) -> Result<(), GatewayError> {
    let Some(formats) = capability(headers, "responseformat") else { return Ok(()) };
    if formats.split(',').any(|format| format.trim() == "parquet") {
        return Ok(());
    }
    Err(GatewayError::malformed(
        "只提供 parquet 格式，请在 responseformat 中加入 parquet",
        "tables are shared in the parquet form alone; name `parquet` in `responseformat`",
    ))
}

/// Whether the client reads an action at the end.
fn wants_end(headers: &HeaderMap, form: &Map<String, Value>) -> bool {
    let is_capable = capability(headers, "includeendstreamaction").is_some_and(|value| value.trim() == "true");
    is_capable || form.get("includeRefreshToken") == Some(&Value::Bool(true)) || form.contains_key("maxFiles")
}

/// A capability of the client, in small letters.
fn capability(headers: &HeaderMap, name: &str) -> Option<String> {
    let said = headers.get(CAPABILITIES)?.to_str().ok()?.to_ascii_lowercase();
    said.split(';').find_map(|part| {
        let (known, value) = part.split_once('=')?;
        (known.trim() == name).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_parquet_is_served() {
        let served = |said: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CAPABILITIES, HeaderValue::from_str(said).unwrap());
            must_take_parquet(&headers).is_ok()
        };
        assert!(must_take_parquet(&HeaderMap::new()).is_ok());
        assert!(served("responseformat=delta,parquet;readerfeatures=deletionvectors"));
        assert!(served("readerfeatures=x; responseFormat=Parquet"));
        assert!(served("readerfeatures=x"));
        assert!(!served("responseformat=delta;readerfeatures=deletionvectors,columnmapping"));
    }

    #[test]
    fn hints_are_ignored_and_the_past_is_refused() {
        let asked = |body: &str| form_of(body.as_bytes()).and_then(|form| must_be_present(&form, 7)).is_ok();
        for body in [
            "",
            "{}",
            "{\"limitHint\": 1, \"predicateHints\": [\"delay > 5\"], \"jsonPredicateHints\": \"{}\"}",
            "{\"version\": 7}",
            "{\"version\": null, \"timestamp\": null}",
        ] {
            assert!(asked(body), "{body}");
        }
        for body in [
            "{\"version\": 6}",
            "{\"version\": 8}",
            "{\"version\": \"7\"}",
            "{\"timestamp\": \"2025-01-01T00:00:00Z\"}",
            "{\"startingVersion\": 1}",
            "[]",
            "{",
        ] {
            assert!(!asked(body), "{body}");
        }
    }
}
