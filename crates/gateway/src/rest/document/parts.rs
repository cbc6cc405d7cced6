//! Schemas, headers and refusals that operations name.

use lingqu_app::Meanings;
use lingqu_engine::{ColumnType, ColumnView};
use serde_json::{Map, Value, json};

/// Digits that a float keeps whatever they are.
const FLOAT_DIGITS: u8 = 15;

/// The JSON type of a column's values.
pub(super) fn type_of(column_type: ColumnType) -> Value {
    match column_type {
        ColumnType::Integer => json!({"type": "integer", "format": "int64"}),
        ColumnType::Float => json!({"type": "number", "format": "double"}),
        ColumnType::Decimal { precision, scale } => json!({
            "type": "number",
            "description": format!("{precision} digits, {scale} of them after the point"),
        }),
        ColumnType::Date => json!({"type": "string", "format": "date"}),
        ColumnType::LocalTimestamp => {
            json!({"type": "string", "description": "YYYY-MM-DDTHH:MM:SS, without an offset"})
        }
        ColumnType::Timestamp => json!({"type": "string", "format": "date-time"}),
        ColumnType::Boolean => json!({"type": "boolean"}),
        ColumnType::Text => json!({"type": "string"}),
    }
}

/// A made-up value.
pub(super) fn example_of(column_type: ColumnType) -> Value {
    match column_type {
        ColumnType::Integer => json!(42),
        ColumnType::Float => json!(0.5),
        ColumnType::Decimal { scale, .. } if scale <= 0 => json!(1),
        // All its digits may stand behind the point.
        ColumnType::Decimal { precision, scale } if i16::from(precision) <= i16::from(scale) => json!(0.5),
        ColumnType::Decimal { .. } => json!(1.5),
        ColumnType::Date => json!("2026-01-31"),
        ColumnType::LocalTimestamp => json!("2026-01-31T08:00:00"),
        ColumnType::Timestamp => json!("2026-01-31T08:00:00Z"),
        ColumnType::Boolean => json!(true),
        ColumnType::Text => json!("text"),
    }
}

/// The example as it stands in an address.
pub(super) fn example_text(column_type: ColumnType) -> String {
    match example_of(column_type) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The JSON type in which clients send a column's values: as text too, where a float would lose digits.
fn sent_type_of(column_type: ColumnType) -> Value {
    let mut schema = type_of(column_type);
    if matches!(column_type, ColumnType::Decimal { precision, .. } if precision > FLOAT_DIGITS) {
        schema["type"] = json!(["number", "string"]);
    }
    schema
}

fn or_null(mut schema: Value) -> Value {
    let types = match schema["type"].take() {
        Value::Array(types) => types,
        one => vec![one],
    };
    schema["type"] = types.into_iter().chain([json!("null")]).collect();
    schema
}

/// A row: every column is there, and may be null.
pub(super) fn row(columns: &[ColumnView], meanings: &Meanings) -> Value {
    object(columns, meanings, true, |column_type| or_null(type_of(column_type)))
}

/// A row of which columns may have been chosen: any of them may be left out, and one that is there may be null.
pub(super) fn chosen_row(columns: &[ColumnView], meanings: &Meanings) -> Value {
    object(columns, meanings, false, |column_type| or_null(type_of(column_type)))
}

/// What may be claimed of a row: at least one column; null claims that the value is missing.
pub(super) fn claim(columns: &[ColumnView], meanings: &Meanings) -> Value {
    let mut schema = object(columns, meanings, false, |column_type| or_null(sent_type_of(column_type)));
    schema["minProperties"] = json!(1);
    if let Some(first) = columns.iter().find(|column| column.column_type == ColumnType::Boolean).or(columns.last()) {
        schema["examples"] = json!([{first.name.as_str(): example_of(first.column_type)}]);
    }
    schema
}

/// A key: every part is there.
pub(super) fn key(columns: &[ColumnView], meanings: &Meanings) -> Value {
    object(columns, meanings, true, sent_type_of)
}

fn object(
    columns: &[ColumnView],
    meanings: &Meanings,
    all_required: bool,
    schema_of: impl Fn(ColumnType) -> Value,
) -> Value {
    let (mut properties, mut example) = (Map::new(), Map::new());
    for column in columns {
        let mut schema = schema_of(column.column_type);
        if let Some(meaning) = meanings.column(column.name.as_str()) {
            // The form of the type stays behind it.
            schema["description"] = match schema["description"].as_str() {
                Some(form) => json!(format!("{meaning} ({form})")),
                None => json!(meaning),
            };
        }
        properties.insert(column.name.to_string(), schema);
        example.insert(column.name.to_string(), example_of(column.column_type));
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "examples": [example],
    });
    if all_required {
        schema["required"] = columns.iter().map(|column| json!(column.name)).collect();
    }
    schema
}

/// A problem document (RFC 9457).
pub(super) fn problem() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "required": ["type", "status", "code", "title", "detail", "title_en", "detail_en"],
        "properties": {
            "type": {"type": "string", "examples": ["urn:lingqu:problem:quota_exceeded"]},
            "status": {"type": "integer", "examples": [403]},
            "code": {"type": "string", "examples": ["quota_exceeded"]},
            "title": text, "detail": text, "title_en": text, "detail_en": text, "subject": text, "correlation": text,
        },
    })
}

/// Headers of answers.
pub(super) fn headers() -> Value {
    let text = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    json!({
        "Delivery-Receipt": text("交付回执 / the receipt of the answer"),
        "Data-Nature": {
            "description": "数据性质 / nature of the data",
            "schema": {"type": "string", "enum": ["REAL", "SYNTHETIC"]},
        },
        "Answer-Salt": text("回执中答复摘要的盐 / the salt of the digest that the receipt has of the answer"),
        "Next-Cursor": text("下一页的游标 / the cursor that follows a full page"),
        "RateLimit-Policy": text("订单配额 / the order's quota, by unit"),
        "RateLimit": text("剩余配额 / what is left of it, as far as this process knows"),
        "Lingqu-Privacy-Spent": text("本次结果消耗的隐私预算 ρ / what the answer cost of each privacy account, as ρ of zCDP"),
        "Lingqu-Privacy-Remaining": text("剩余隐私预算 ρ / what is left of the privacy account that has least"),
        "ETag": text("同一标签即同一答复 / the same tag stands for the same answer"),
    })
}

/// Refusals.
pub(super) fn responses() -> Value {
    json!({
        "Refused": {
            "description": "拒绝或故障 / a refusal or a fault",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        },
        "NotModified": {"description": "答复未变 / the answer is the one that you have; free of charge"},
    })
}
