//! `GET /{product}/openapi.json`: what the order of a key may ask of its product, as an OpenAPI 3.1 document.
//!
//! It holds the granted columns alone, with the types that each mode shows and what they mean, so that a consumer can generate his client. Its
//! examples are made up by type; no value of the data stands in it, so it leaves no receipt and costs nothing.

mod operations;
mod parts;

use axum::body::Body;
use axum::extract::{OriginalUri, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use lingqu_app::Meanings;
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::Mode;
use lingqu_engine::ColumnView;
use serde_json::{Map, Value, json};

use super::request::{Words, admitted};
use crate::delivery::{Admission, Deliveries};
use crate::error::GatewayError;

/// What a document is written from: the columns of each granted mode, and the key.
struct Offer<'a> {
    table: &'a str,
    /// The parts of the key, as the product has them.
    key: Vec<ColumnView>,
    modes: Vec<(Mode, Vec<ColumnView>)>,
    /// What the columns mean.
    meanings: Meanings,
    /// Whether statistics are given with noise, from privacy accounts.
    has_privacy_accounts: bool,
}

impl Offer<'_> {
    fn columns(&self, mode: Mode) -> Option<&[ColumnView]> {
        self.modes.iter().find(|(known, _)| *known == mode).map(|(_, columns)| &columns[..])
    }
}

pub(super) async fn document(
    State(deliveries): State<Deliveries>,
    Words(product): Words<String>,
    OriginalUri(address): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let server = address.path().strip_suffix("/openapi.json").unwrap_or_default();
    admitted(&deliveries, &headers, &product, |admission| answer(&deliveries, admission, server)).await
}

async fn answer(deliveries: &Deliveries, admission: Admission, server: &str) -> Result<Response, GatewayError> {
    let document = written(deliveries, &admission, server).await?;
    let body = serde_json::to_vec_pretty(&document).expect("texts, numbers and lists are JSON");
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

async fn written(deliveries: &Deliveries, admission: &Admission, server: &str) -> Result<Value, GatewayError> {
    let details = &admission.serving.details;
    let grant = &admission.serving.grant;
    let schema = admission.serving.schema();
    let mut modes = Vec::new();
    for mode in &grant.scope.modes {
        // A mode in which nothing is visible is not offered.
        if admission.serving.must_allow(*mode).is_ok() && *mode != Mode::Compute {
            modes.push((*mode, deliveries.columns(admission, *mode).await?));
        }
    }
    let key = details.key.iter().filter_map(|name| schema.column(name).cloned()).collect();
    let has_privacy_accounts = !grant.privacy_accounts.is_empty() && grant.scope.modes.contains(&Mode::Statistics);
    let meanings = deliveries.app().meanings(&admission.serving);
    let offer = Offer { table: details.table.as_str(), key, modes, meanings, has_privacy_accounts };
    let nature = match grant.nature {
        Nature::Real => "REAL",
        Nature::Synthetic => "SYNTHETIC",
    };
    let mut info = json!({
        "title": format!("{} / {}", details.name, details.name_en),
        "description": details.summary,
        "version": admission.serving.snapshots.join(", "),
        "x-data-nature": nature,
        "x-purpose": grant.purpose,
    });
    // Of a marked product the contract says by how much which values may differ; here is which they are.
    let marked = admission.serving.marked_columns(None);
    if !marked.is_empty() {
        info["x-marked-columns"] = json!(marked);
    }
    // An answer does not say that somebody has not consented, so that one asks first is said here.
    if grant.scope.consent_required {
        info["x-consent-required"] = json!(true);
    }
    if let Some(weight) = admission.serving.sampling_weight() {
        info["x-sampling-weight"] = json!(weight);
    }
    // How many rows at most are none, as the contract says; which they are nobody is told.
    if let Some(decoys) = admission.serving.decoys_per_million() {
        info["x-decoys-per-million"] = json!(decoys);
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": info,
        "servers": [{"url": server}],
        "security": [{"serviceKey": []}],
        "paths": operations::paths(&offer),
        "components": {
            "securitySchemes": {
                "serviceKey": {"type": "http", "scheme": "bearer", "description": "订单的服务密钥 / the order's service key"},
            },
            "schemas": schemas(&offer),
            "headers": parts::headers(),
            "responses": parts::responses(),
        },
    }))
}

fn schemas(offer: &Offer<'_>) -> Value {
    let mut schemas = Map::new();
    schemas.insert("Problem".to_owned(), parts::problem());
    schemas.insert("Key".to_owned(), parts::key(&offer.key, &offer.meanings));
    for (mode, columns) in &offer.modes {
        let (name, schema) = match mode {
            Mode::Verification => ("Claim", parts::claim(columns, &offer.meanings)),
            Mode::Lookup => ("LookupRow", parts::row(columns, &offer.meanings)),
            Mode::Rows => ("Row", parts::chosen_row(columns, &offer.meanings)),
            Mode::File => ("FileRow", parts::chosen_row(columns, &offer.meanings)),
            // Answers have the columns that the statement makes.
            Mode::Statistics | Mode::Compute => continue,
        };
        schemas.insert(name.to_owned(), schema);
    }
    Value::Object(schemas)
}
