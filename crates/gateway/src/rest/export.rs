//! `GET /{product}/export`: the data set as a file.
//!
//! The whole file is streamed as it is computed. A piece of it (`Range`) is taken from the finished file, which is made for
//! it if it is not there: the same bytes, known by the same strong tag, so a download that broke can be gone on with.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use lingqu_app::AppError;
use lingqu_crypto::ServiceKey;
use lingqu_domain::scope::Mode;

use super::accept::choose;
use super::request::{Words, admitted, bearer, parameters};
use super::response::{as_file, file_etag, handed, in_pieces, not_modified, streamed};
use super::selection::{Selection, only, parameter};
use crate::delivery::{Admission, Deliveries, FileRequest, StreamRequest};
use crate::encode::{Format, JsonFrame};
use crate::error::GatewayError;
use crate::range::{self, Asked};

/// Formats of files, the one that is given unasked first.
pub(super) const FORMATS: [Format; 4] = [Format::Parquet, Format::Csv, Format::Ndjson, Format::Arrow];
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
    let etag = file_etag(&admission, &sql, format);
    if let Some(response) = not_modified(headers, &etag) {
        return Ok(response);
    }
    let asked = format!("export?{}", query.unwrap_or_default());
    let piece = match range::is_asked(headers, &etag) {
        true => piece(deliveries, &admission, headers, &sql, format, &asked, &etag).await?,
        false => None,
    };
    let mut response = match piece {
        Some(piece) => piece,
        None => whole(deliveries, &admission, sql, format, asked, &etag).await?,
    };
    as_file(&mut response, table, format);
    Ok(response)
}

async fn whole(
    deliveries: &Deliveries,
    admission: &Admission,
    sql: String,
    format: Format,
    asked: String,
    etag: &str,
) -> Result<Response, GatewayError> {
    let request = StreamRequest {
        mode: Mode::File,
        request: asked,
        sql,
        format,
        limits: Admission::limits(Mode::File),
        frame: JsonFrame::default(),
    };
    let file = deliveries.stream(admission, request).await?;
    let mut response = streamed(file, format, Some(etag));
    in_pieces(&mut response);
    Ok(response)
}

/// A piece of the finished file. Nothing when the file is too large to be kept, or when it has no such piece and is not paid
/// for, since where a file ends tells what is in it: the whole is sent then, as one may (RFC 9110 section 14.2).
async fn piece(
    deliveries: &Deliveries,
    admission: &Admission,
    headers: &HeaderMap,
    sql: &str,
    format: Format,
    asked: &str,
    etag: &str,
) -> Result<Option<Response>, GatewayError> {
    let key = ServiceKey::parse(bearer(headers).unwrap_or_default()).map_err(|_| AppError::BadKey)?.hash();
    let request = FileRequest { sql: sql.to_owned(), format, request: asked.to_owned(), key };
    let file = match deliveries.hand_out(admission, request).await {
        Ok(file) => file,
        Err(GatewayError::FileTooLarge { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let asked = Asked::of(headers, file.bytes, etag);
    if asked == Asked::Nothing && !deliveries.is_paid(&file).await? {
        return Ok(None);
    }
    let mut response = handed(&file, asked, etag);
    if response.status() != StatusCode::RANGE_NOT_SATISFIABLE {
        let (start, length) = asked.bytes(file.bytes);
        let body = deliveries.take(&file, admission.serving.clone(), start, length).await?;
        *response.body_mut() = Body::from_stream(body);
    }
    Ok(Some(response))
}
