//! `GET /{product}/export`: the data set as a file.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use lingqu_domain::scope::Mode;

use super::accept::choose;
use super::request::{Words, admitted, parameters};
use super::response::{as_file, etag, not_modified, streamed};
use super::selection::{Selection, only, parameter};
use crate::delivery::{Admission, Deliveries, StreamRequest};
use crate::encode::{Format, JsonFrame};
use crate::error::GatewayError;

/// Formats of files, the one that is given unasked first.
const FORMATS: [Format; 4] = [Format::Parquet, Format::Csv, Format::Ndjson, Format::Arrow];
const PARAMETERS: [&str; 3] = ["columns", "filter", "format"];

pub(super) async fn export(
    State(deliveries): State<Deliveries>,
    Words(product): Words<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    admitted(&deliveries, &headers, &product, |admission| answer(&deliveries, admission, &headers, query)).await
}

async fn answer(
    deliveries: &Deliveries,
    admission: Admission,
    headers: &HeaderMap,
    query: Option<String>,
) -> Result<Response, GatewayError> {
    let granted = deliveries.columns(&admission, Mode::File).await?;
    let given = parameters(query.as_deref())?;
    only(&given, &PARAMETERS)?;
    let table = admission.serving.details.table.as_str();
    let sql = Selection::read(table, &granted, &[], &given)?.sql(None);
    let format = choose(headers, parameter(&given, "format"), &FORMATS)?;
    let etag = etag(&admission, &format!("export {sql}"), format);
    if let Some(response) = not_modified(headers, &etag) {
        return Ok(response);
    }
    let request = StreamRequest {
        mode: Mode::File,
        request: format!("export?{}", query.unwrap_or_default()),
        sql,
        format,
        limits: Admission::limits(Mode::File),
        frame: JsonFrame::default(),
    };
    let file = deliveries.stream(&admission, request).await?;
    let mut response = streamed(&admission, file, format, Some(&etag));
    as_file(&mut response, table, format);
    Ok(response)
}
