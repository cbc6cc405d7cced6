//! `POST /{product}/verify`: a claim in; match, mismatch or not found out, and nothing else. Of somebody who has not consented, where
//! consent is required, the same is said as of somebody who is not there: not found.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use lingqu_app::AppError;
use lingqu_domain::predicate::Literal;
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::Mode;
use lingqu_engine::ColumnView;
use lingqu_engine::lookup::{LookupError, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::request::{Sent, Words, admitted, json, text};
use super::response::recorded;
use crate::delivery::{Admission, Claim, Deliveries, Label};
use crate::encode::Format;
use crate::error::GatewayError;
use crate::value;

const FORM: &str = "{\"key\": {…}, \"claim\": {…}} or {\"claims\": [{\"key\": {…}, \"claim\": {…}}, …]}";

/// Values by name, as they are written: through a float a number would lose digits.
pub(super) type Members = BTreeMap<String, Box<RawValue>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimForm {
    key: Members,
    claim: Members,
}

/// One claim, or a list of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyForm {
    key: Option<Members>,
    claim: Option<Members>,
    claims: Option<Vec<ClaimForm>>,
}

#[derive(Serialize)]
struct OneResult<'a> {
    result: Verdict,
    receipt: &'a str,
    nature: Nature,
}

#[derive(Serialize)]
struct Results<'a> {
    results: &'a [Verdict],
    receipt: &'a str,
    nature: Nature,
}

pub(super) async fn verify(
    State(deliveries): State<Deliveries>,
    Words(product): Words<String>,
    headers: HeaderMap,
    body: Sent,
) -> Response {
    admitted(&deliveries, &headers, &product, |admission| answer(&deliveries, admission, body)).await
}

async fn answer(deliveries: &Deliveries, admission: Admission, body: Sent) -> Result<Response, GatewayError> {
    let keyed = deliveries.keyed(admission, Mode::Verification).await?;
    let body = body.whole()?;
    let (forms, is_batch) = match json(&body, FORM)? {
        VerifyForm { key: Some(key), claim: Some(claim), claims: None } => (vec![ClaimForm { key, claim }], false),
        VerifyForm { key: None, claim: None, claims: Some(claims) } => (claims, true),
        _ => {
            return Err(GatewayError::malformed(format!("请求体应为 {FORM}"), format!("the body has the form {FORM}")));
        }
    };
    let (key, columns) = (keyed.key(), keyed.columns());
    let mut claims = Vec::with_capacity(forms.len());
    for form in &forms {
        claims.push(Claim { key: key_of(&key, &form.key)?, values: values_of(columns, &form.claim)? });
    }
    let encode = |label: &Label, verdicts: &[Verdict]| written(label, verdicts, is_batch);
    let answer = deliveries.verify(&keyed, &claims, text(&body)?, encode).await?;
    Ok(recorded(answer, Format::Json, None))
}

fn written(label: &Label, verdicts: &[Verdict], is_batch: bool) -> Result<Vec<u8>, AppError> {
    let (receipt, nature) = (label.receipt.as_str(), label.nature);
    let body = match verdicts {
        [result] if !is_batch => serde_json::to_vec(&OneResult { result: *result, receipt, nature }),
        results => serde_json::to_vec(&Results { results, receipt, nature }),
    };
    body.map_err(|error| AppError::Fault(format!("verdicts could not be written as JSON: {error}")))
}

/// The parts of a key in their order. Errors name the parts, never their values.
pub(super) fn key_of(key: &[&ColumnView], form: &Members) -> Result<Vec<Literal>, GatewayError> {
    let mut parts = Vec::with_capacity(key.len());
    for column in key {
        if let Some(value) = form.get(column.name.as_str()) {
            // A key has no missing parts, so null finds nothing and is an error of the request.
            parts.extend(value::from_json(column, value)?);
        }
    }
    if parts.len() != key.len() || form.len() != key.len() {
        let names = key.iter().map(|column| column.name.to_string()).collect();
        return Err(LookupError::KeyParts { found: parts.len(), expected: key.len(), names }.into());
    }
    Ok(parts)
}

fn values_of(columns: &[ColumnView], form: &Members) -> Result<BTreeMap<String, Option<Literal>>, GatewayError> {
    let mut values = BTreeMap::new();
    for (name, value) in form {
        let Some(column) = columns.iter().find(|column| column.name.as_str() == name) else {
            let granted = columns.iter().map(|column| column.name.to_string()).collect();
            return Err(LookupError::ColumnNotGranted { column: name.chars().take(64).collect(), granted }.into());
        };
        values.insert(name.clone(), value::from_json(column, value)?);
    }
    Ok(values)
}
