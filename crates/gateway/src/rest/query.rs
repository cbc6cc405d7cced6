//! `POST /{product}/query`: the consumer's own SQL, over the product's table or over the views that tell of it.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use lingqu_domain::scope::Mode;
use serde::Deserialize;

use super::accept::choose;
use super::request::{Sent, Words, admitted, json, text};
use super::response::{streamed, without_receipt};
use crate::delivery::{Admission, Deliveries, StreamRequest};
use crate::encode::{Format, JsonFrame};
use crate::error::GatewayError;

const FORM: &str = "{\"sql\": \"…\", \"mode\": \"rows\" or \"statistics\" (optional), \"format\": \"…\" (optional)}";

/// The modes that a statement may be answered in.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatementMode {
    Rows,
    Statistics,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryForm {
    sql: String,
    mode: Option<StatementMode>,
    format: Option<String>,
}

pub(super) async fn query(
    State(deliveries): State<Deliveries>,
    Words(product): Words<String>,
    headers: HeaderMap,
    body: Sent,
) -> Response {
    admitted(&deliveries, &headers, &product, |admission| answer(&deliveries, admission, &headers, body)).await
}

async fn answer(
    deliveries: &Deliveries,
    admission: Admission,
    headers: &HeaderMap,
    body: Sent,
) -> Result<Response, GatewayError> {
    let body = body.whole()?;
    // A body that is not said to be JSON is the statement itself.
    let form = match is_json(headers) {
        true => json(&body, FORM)?,
        false => QueryForm { sql: text(&body)?, mode: None, format: None },
    };
    let format = choose(headers, form.format.as_deref(), &Format::ALL)?;
    if let Some(question) = deliveries.schema_question(&admission, &form.sql).await? {
        return Ok(without_receipt(question.bytes(format).await?, format));
    }
    let mode = admission.statement_mode(form.mode.map(|mode| match mode {
        StatementMode::Rows => Mode::Rows,
        StatementMode::Statistics => Mode::Statistics,
    }))?;
    let request = StreamRequest {
        mode,
        request: form.sql.clone(),
        sql: form.sql,
        format,
        limits: Admission::limits(mode),
        frame: JsonFrame::default(),
    };
    let answer = deliveries.stream(&admission, request).await?;
    Ok(streamed(answer, format, None))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}
