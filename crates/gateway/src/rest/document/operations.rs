//! Paths: one for each thing that the granted modes allow.

use lingqu_domain::scope::Mode;
use lingqu_engine::ColumnView;
use lingqu_engine::lookup::KEYS_MAX;
use serde_json::{Map, Value, json};

use super::Offer;
use super::parts::{example_text, type_of};
use crate::delivery::CALL_ROWS_MAX;
use crate::encode::Format;
use crate::rest::export::FORMATS;
use crate::rest::rows::PAGE_ROWS;

/// The paths below the product's address.
pub(super) fn paths(offer: &Offer<'_>) -> Value {
    let mut paths = Map::new();
    if offer.columns(Mode::Verification).is_some() {
        paths.insert("/verify".to_owned(), json!({"post": verify()}));
    }
    if offer.columns(Mode::Lookup).is_some() {
        paths.insert("/lookup".to_owned(), json!({"get": lookup(offer), "post": lookup_batch()}));
    }
    if let Some(columns) = offer.columns(Mode::Rows) {
        paths.insert("/rows".to_owned(), json!({"get": rows(columns)}));
    }
    let statement_modes: Vec<&str> = [(Mode::Rows, "rows"), (Mode::Statistics, "statistics")]
        .into_iter()
        .filter(|(mode, _)| offer.columns(*mode).is_some())
        .map(|(_, name)| name)
        .collect();
    if !statement_modes.is_empty() {
        paths.insert("/query".to_owned(), json!({"post": query(offer, &statement_modes)}));
    }
    if offer.has_privacy_accounts {
        paths.insert("/privacy".to_owned(), json!({"get": privacy()}));
    }
    if let Some(columns) = offer.columns(Mode::File) {
        paths.insert("/export".to_owned(), json!({"get": export(columns)}));
    }
    Value::Object(paths)
}

fn verify() -> Value {
    let one = json!({
        "type": "object",
        "required": ["key", "claim"],
        "additionalProperties": false,
        "properties": {"key": reference("Key"), "claim": reference("Claim")},
    });
    let results = json!({"type": "string", "enum": ["match", "mismatch", "not_found"]});
    let answers = json!({"oneOf": [
        labelled("result", &results),
        labelled("results", &json!({"type": "array", "items": results})),
    ]});
    let several = json!({"type": "array", "minItems": 1, "maxItems": KEYS_MAX, "items": one});
    json!({
        "operationId": "verify",
        "summary": "核验 / Is what is claimed of a row so?",
        "requestBody": json_body(json!({"oneOf": [
            one,
            {"type": "object", "required": ["claims"], "additionalProperties": false, "properties": {"claims": several}},
        ]})),
        "responses": answered(json!({"application/json": {"schema": answers}}), &[], false),
    })
}

fn lookup(offer: &Offer<'_>) -> Value {
    let mut parameters = Vec::with_capacity(offer.key.len());
    for part in &offer.key {
        let mut parameter = json!({
            "name": part.name,
            "in": "query",
            "required": true,
            "schema": type_of(part.column_type),
            "example": example_text(part.column_type),
        });
        if let Some(meaning) = offer.meanings.column(part.name.as_str()) {
            parameter["description"] = json!(meaning);
        }
        parameters.push(parameter);
    }
    json!({
        "operationId": "lookup",
        "summary": "查询 / The row of a key; also at /lookup/{key}, the parts joined by commas",
        "parameters": parameters,
        "responses": answered(formats(&Format::ALL, labelled_rows("LookupRow")), &["ETag"], true),
    })
}

fn lookup_batch() -> Value {
    let keys = json!({"type": "array", "minItems": 1, "maxItems": KEYS_MAX, "items": reference("Key")});
    json!({
        "operationId": "lookupBatch",
        "summary": "批量查询 / The rows of several keys, in their order",
        "requestBody": json_body(json!({
            "type": "object", "required": ["keys"], "additionalProperties": false, "properties": {"keys": keys},
        })),
        "responses": answered(formats(&Format::ALL, labelled_rows("LookupRow")), &[], false),
    })
}

fn rows(columns: &[ColumnView]) -> Value {
    let mut parameters = selection(columns);
    let mut sorts = names(columns);
    sorts.extend(columns.iter().map(|column| json!(format!("-{}", column.name))));
    parameters.push(listed("sort", "排序，减号为降序 / order; with a minus sign falling", &sorts));
    parameters.push(json!({
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": CALL_ROWS_MAX, "default": PAGE_ROWS},
    }));
    parameters.push(json!({
        "name": "cursor",
        "in": "query",
        "description": "上一页给出的游标 / the cursor that the page before gave",
        "schema": {"type": "string"},
    }));
    parameters.push(format_parameter(&Format::ALL));
    let next = json!({"next_cursor": {"type": ["string", "null"]}});
    json!({
        "operationId": "rows",
        "summary": "数据行 / A page of rows",
        "parameters": parameters,
        "responses": answered(formats(&Format::ALL, table(reference("Row"), &next)), &["ETag", "Next-Cursor"], true),
    })
}

fn query(offer: &Offer<'_>, modes: &[&str]) -> Value {
    let table_name = offer.table;
    let sql = format!("SELECT count(*) AS n FROM {table_name}");
    let form = json!({
        "type": "object",
        "required": ["sql"],
        "additionalProperties": false,
        "properties": {
            "sql": {"type": "string", "examples": [sql]},
            "mode": {"type": "string", "enum": modes},
            "format": {"type": "string", "enum": format_names(&Format::ALL)},
        },
    });
    let mut rows = table(json!({"type": "object"}), &json!({}));
    rows["properties"]["receipt"] = json!({
        "type": ["string", "null"],
        "description": "查询 information_schema 时为 null / null for an answer from the views of information_schema",
    });
    let mut body = json_body(form);
    body["content"]["text/plain"] = json!({"schema": {"type": "string"}, "example": sql});
    json!({
        "operationId": "query",
        "summary": "SQL 查询 / The consumer's own SQL over the granted columns, or over information_schema",
        "requestBody": body,
        "responses": answered(
            formats(&Format::ALL, rows),
            if offer.has_privacy_accounts { &["Lingqu-Privacy-Spent", "Lingqu-Privacy-Remaining"] } else { &[] },
            false,
        ),
    })
}

fn privacy() -> Value {
    let (amount, number) = (json!({"type": "string", "examples": ["0.05"]}), json!({"type": ["number", "null"]}));
    let account = json!({
        "type": "object",
        "required": ["link", "resource", "budget", "spent", "left", "epsilon_budget", "epsilon_spent"],
        "properties": {
            "link": {"type": "string"}, "resource": {"type": "string"},
            "budget": amount, "spent": amount, "left": amount,
            "epsilon_budget": number, "epsilon_spent": number,
        },
    });
    let standing = json!({
        "type": "object",
        "required": ["rho_per_answer", "answers_left", "delta", "accounts"],
        "properties": {
            "rho_per_answer": {"type": ["string", "null"]},
            "answers_left": {"type": ["integer", "null"], "minimum": 0},
            "delta": {"type": "number"},
            "accounts": {"type": "array", "items": account},
        },
    });
    json!({
        "operationId": "privacy",
        "summary": "隐私预算 / What is left of the privacy budgets that statistics with noise debit",
        "responses": {
            "200": {"description": "答复 / the answer", "content": {"application/json": {"schema": standing}}},
            "default": {"$ref": "#/components/responses/Refused"},
        },
    })
}

fn export(columns: &[ColumnView]) -> Value {
    let mut parameters = selection(columns);
    parameters.push(format_parameter(&FORMATS));
    parameters.push(json!({
        "name": "Range",
        "in": "header",
        "description": "断点续传 / a piece of the file",
        "schema": {"type": "string"},
        "example": "bytes=0-1023",
    }));
    let mut responses = answered(formats(&FORMATS, json!({})), &["ETag"], true);
    responses["206"] = json!({
        "description": "文件片段 / the piece that was asked for",
        "content": formats(&FORMATS, json!({})),
        "headers": header_references(&["ETag"]),
    });
    responses["416"] = json!({"description": "文件没有所请求的片段 / the file has no such piece"});
    json!({
        "operationId": "export",
        "summary": "导出 / The data set as a file",
        "parameters": parameters,
        "responses": responses,
    })
}

/// `columns` and `filter`.
fn selection(columns: &[ColumnView]) -> Vec<Value> {
    let names_joined: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut parameters =
        vec![listed("columns", "字段，缺省为全部 / which columns; all when not given", &names(columns))];
    let mut filter = json!({
        "name": "filter",
        "in": "query",
        "description": "字段:运算:值，可重复 / column:operator:value, as often as needed; all must hold",
        "style": "form",
        "explode": true,
        "schema": {"type": "array", "items": {
            "type": "string",
            "pattern": format!("^({}):((eq|ne|lt|le|gt|ge|in):.*|null|notnull)$", names_joined.join("|")),
        }},
    });
    if let Some(first) = columns.first() {
        filter["example"] = json!([format!("{}:eq:{}", first.name, example_text(first.column_type))]);
    }
    parameters.push(filter);
    parameters
}

fn names(columns: &[ColumnView]) -> Vec<Value> {
    columns.iter().map(|column| json!(column.name)).collect()
}

/// A parameter that is a list with commas of known words.
fn listed(name: &str, description: &str, words: &[Value]) -> Value {
    json!({
        "name": name,
        "in": "query",
        "description": description,
        "style": "form",
        "explode": false,
        "schema": {"type": "array", "items": {"type": "string", "enum": words}},
    })
}

fn format_parameter(offered: &[Format]) -> Value {
    json!({
        "name": "format",
        "in": "query",
        "description": "优先于 Accept / goes before `Accept`",
        "schema": {"type": "string", "enum": format_names(offered)},
    })
}

fn format_names(offered: &[Format]) -> Vec<&'static str> {
    offered.iter().map(|format| format.name()).collect()
}

/// The media types of an answer; `rows` is the schema of the one in JSON.
fn formats(offered: &[Format], rows: Value) -> Value {
    let mut content = Map::new();
    for format in offered {
        let described = match format {
            Format::Json => json!({"schema": rows}),
            Format::Ndjson | Format::Csv => json!({"schema": {"type": "string"}}),
            // Bytes have no schema (OpenAPI 3.1, section "Considerations for File Uploads").
            Format::Arrow | Format::Parquet => json!({}),
        };
        content.insert(format.essence().to_owned(), described);
    }
    Value::Object(content)
}

/// Rows with what stands around them, and more members.
fn table(row: Value, more: &Value) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["receipt", "nature", "groups_suppressed", "columns", "rows", "row_count"],
        "properties": {
            "receipt": {"type": "string"},
            "nature": nature(),
            "groups_suppressed": {"type": "integer", "minimum": 0},
            "columns": {"type": "array", "items": {"type": "string"}},
            "rows": {"type": "array", "items": row},
            "row_count": {"type": "integer", "minimum": 0},
        },
    });
    if let (Some(properties), Some(more)) = (schema["properties"].as_object_mut(), more.as_object()) {
        properties.extend(more.clone());
    }
    schema
}

/// Rows of keys; null for a key that was not found.
fn labelled_rows(row: &str) -> Value {
    labelled("rows", &json!({"type": "array", "items": {"oneOf": [reference(row), {"type": "null"}]}}))
}

fn labelled(name: &str, content: &Value) -> Value {
    json!({
        "type": "object",
        "required": [name, "receipt", "nature"],
        "properties": {name: content, "receipt": {"type": "string"}, "nature": nature()},
    })
}

fn nature() -> Value {
    json!({"type": "string", "enum": ["REAL", "SYNTHETIC"]})
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn json_body(schema: Value) -> Value {
    json!({"required": true, "content": {"application/json": {"schema": schema}}})
}

/// An answer with the headers that each has and some more, and what may come instead.
fn answered(content: Value, more: &[&str], may_be_known: bool) -> Value {
    let mut responses = json!({
        "200": {"description": "答复 / the answer", "content": content, "headers": header_references(more)},
        "default": {"$ref": "#/components/responses/Refused"},
    });
    if may_be_known {
        responses["304"] = json!({"$ref": "#/components/responses/NotModified"});
    }
    responses
}

fn header_references(more: &[&str]) -> Value {
    let mut headers = Map::new();
    let all = ["Delivery-Receipt", "Data-Nature", "Answer-Salt", "RateLimit-Policy", "RateLimit"];
    for name in all.iter().chain(more) {
        headers.insert((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    }
    Value::Object(headers)
}
