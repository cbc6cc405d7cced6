//! `GET /{product}/privacy`: the privacy accounts that the order's statistics debit, and what is left of them.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use lingqu_app::{PRIVACY_DELTA, PrivacyStanding};
use serde_json::{Value, json};

use super::request::{Words, admitted};
use crate::delivery::Deliveries;

pub(super) async fn privacy(
    State(deliveries): State<Deliveries>,
    Words(product): Words<String>,
    headers: HeaderMap,
) -> Response {
    admitted(&deliveries, &headers, &product, async |admission| {
        let standing = deliveries.privacy(&admission).await?;
        let mut response = Response::new(Body::from(told(&standing).to_string()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    })
    .await
}

fn told(standing: &PrivacyStanding) -> Value {
    let accounts: Vec<Value> = standing
        .accounts
        .iter()
        .map(|account| {
            json!({
                "link": account.link,
                "resource": account.resource,
                "budget": account.budget,
                "spent": account.spent,
                "left": account.left(),
                "epsilon_budget": account.epsilon_budget(),
                "epsilon_spent": account.epsilon_spent(),
            })
        })
        .collect();
    json!({
        "rho_per_answer": standing.rho_per_answer,
        "answers_left": standing.answers_left(),
        "delta": PRIVACY_DELTA,
        "accounts": accounts,
    })
}
