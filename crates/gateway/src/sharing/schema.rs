//! Columns as a Delta schema (the Delta transaction log protocol, section "Schema Serialization Format").

use lingqu_app::Meanings;
use lingqu_engine::{ColumnType, ColumnView};
use serde_json::{Value, json};

/// The schema as the JSON text that stands in a table's metadata. What a column means is its `comment`, as Spark and Delta have
/// it.
pub(super) fn schema_string(columns: &[ColumnView], meanings: &Meanings) -> String {
    let mut fields: Vec<Value> = Vec::with_capacity(columns.len());
    for column in columns {
        let metadata = match meanings.column(column.name.as_str()) {
            Some(meaning) => json!({"comment": meaning}),
            None => json!({}),
        };
        fields.push(json!({
            "name": column.name,
            "type": type_name(column.column_type),
            "nullable": true,
            "metadata": metadata,
        }));
    }
    json!({"type": "struct", "fields": fields}).to_string()
}

fn type_name(column_type: ColumnType) -> String {
    match column_type {
        ColumnType::Integer => "long".to_owned(),
        ColumnType::Float => "double".to_owned(),
        ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ColumnType::Date => "date".to_owned(),
        // `timestamp_ntz` is not known to clients of the parquet form (delta-sharing 1.4.2 refuses the whole table); the
        // file itself says that the time has no offset.
        ColumnType::LocalTimestamp | ColumnType::Timestamp => "timestamp".to_owned(),
        ColumnType::Boolean => "boolean".to_owned(),
        ColumnType::Text => "string".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use lingqu_domain::scope::ColumnName;

    use super::*;

    #[test]
    fn every_type_has_its_name() {
        let names = [
            (ColumnType::Integer, "long"),
            (ColumnType::Float, "double"),
            (ColumnType::Decimal { precision: 12, scale: 2 }, "decimal(12,2)"),
            (ColumnType::Date, "date"),
            (ColumnType::LocalTimestamp, "timestamp"),
            (ColumnType::Timestamp, "timestamp"),
            (ColumnType::Boolean, "boolean"),
            (ColumnType::Text, "string"),
        ];
        for (column_type, name) in names {
            let column = ColumnView { name: ColumnName::new("c").unwrap(), column_type };
            let schema: Value = serde_json::from_str(&schema_string(&[column], &Meanings::default())).unwrap();
            let field = json!({"name": "c", "type": name, "nullable": true, "metadata": {}});
            assert_eq!(schema, json!({"type": "struct", "fields": [field]}));
        }
    }
    #[test]
    fn a_meaning_is_the_comment_of_its_column() {
        let column = |name: &str| ColumnView { name: ColumnName::new(name).unwrap(), column_type: ColumnType::Text };
        let meanings = Meanings::new("表", [("a", "名称 \"甲\""), ("hidden", "未授权")]);
        let text = schema_string(&[column("a"), column("b")], &meanings);
        let schema: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(schema["fields"][0]["metadata"], json!({"comment": "名称 \"甲\""}));
        assert_eq!(schema["fields"][1]["metadata"], json!({}));
        assert!(!text.contains("未授权"), "{text}");
    }
}
