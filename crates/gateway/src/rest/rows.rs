//! `GET /{product}/rows`: pages of rows.
//!
//! Pages follow the table's own order, or `sort` with the granted parts of the key behind it. Where that leaves rows equal the engine
//! orders them by their number, so that pages together are the table once. A full page says where the next one begins
//! (`next_cursor` in JSON, the header `Next-Cursor` in every format); a page with fewer rows than its `limit` is the last.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use lingqu_domain::scope::Mode;

use super::accept::choose;
use super::cursor::CursorBinding;
use super::request::{Words, admitted, parameters};
use super::response::{etag, not_modified, streamed, with_next_cursor};
use super::selection::{Selection, Slice, only, parameter};
use crate::delivery::{Admission, CALL_ROWS_MAX, Deliveries, StreamRequest};
use crate::encode::{Format, JsonFrame};
use crate::error::GatewayError;

/// Rows of a page when nothing is said.
pub(super) const PAGE_ROWS: u64 = 100;
const PARAMETERS: [&str; 6] = ["columns", "filter", "sort", "limit", "cursor", "format"];

pub(super) async fn rows(
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
    let granted = deliveries.columns(&admission, Mode::Rows).await?;
    let given = parameters(query.as_deref())?;
    only(&given, &PARAMETERS)?;
    let details = &admission.serving.details;
    let key: Vec<&str> = details.key.iter().map(|name| name.as_str()).collect();
    let mut selection = Selection::read(details.table.as_str(), &granted, &key, &given)?;
    let is_live = admission.serving.is_live();
    if is_live {
        // Live data comes in no order of its own. Where nothing of the key is granted the engine has one.
        selection.sort_by_key(&granted, &key);
    }
    let limit = limit_of(parameter(&given, "limit"))?;
    let binding = CursorBinding::of(&admission, &selection.sql(None));
    let offset = parameter(&given, "cursor").map_or(Ok(0), |cursor| binding.offset(cursor))?;
    let format = choose(headers, parameter(&given, "format"), &Format::ALL)?;
    let sql = selection.sql(Some(Slice { offset, limit }));
    // Live data may change at any time, and nothing tells of it.
    let etag = (!is_live).then(|| etag(&admission, &sql, format));
    if let Some(response) = etag.as_deref().and_then(|etag| not_modified(headers, etag)) {
        return Ok(response);
    }
    let next_cursor = binding.cursor(offset.saturating_add(limit));
    let request = StreamRequest {
        mode: Mode::Rows,
        request: format!("rows?{}", query.unwrap_or_default()),
        sql,
        format,
        limits: Admission::limits(Mode::Rows),
        frame: JsonFrame::page(limit, next_cursor.clone()),
    };
    let page = deliveries.stream(&admission, request).await?;
    let mut response = streamed(page, format, etag.as_deref());
    with_next_cursor(&mut response, &next_cursor);
    Ok(response)
}

fn limit_of(text: Option<&str>) -> Result<u64, GatewayError> {
    let Some(text) = text else { return Ok(PAGE_ROWS) };
    match text.parse() {
        Ok(limit) if (1..=CALL_ROWS_MAX).contains(&limit) => Ok(limit),
        _ => Err(GatewayError::malformed(
            format!("limit 应为 1 至 {CALL_ROWS_MAX}"),
            format!("`limit` is a number from 1 to {CALL_ROWS_MAX}"),
        )),
    }
}
