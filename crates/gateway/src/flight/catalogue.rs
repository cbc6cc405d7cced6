//! What an order may see, for tools that look around: one catalogue with one schema and in it the product's table, with the
//! granted columns and the key.
//!
//! The names of what was not granted do not exist here. No question of this kind reads data or leaves a receipt.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::metadata::GetCatalogsBuilder;
use arrow_flight::sql::{
    CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandGetXdbcTypeInfo,
};
use lingqu_app::{AppError, Meanings};
use lingqu_domain::resource::Nature;
use lingqu_engine::engine::{CATALOG, SCHEMA};
use lingqu_engine::{ColumnType, ColumnView};

use super::sql_info::{SQL_INFO, TYPES};
use crate::delivery::{Admission, Deliveries};
use crate::error::GatewayError;

/// The one type of table.
const TABLE_TYPE: &str = "TABLE";

/// A question about what there is.
#[derive(Clone, Debug)]
pub(super) enum Question {
    SqlInfo(CommandGetSqlInfo),
    TypeInfo(CommandGetXdbcTypeInfo),
    Catalogues,
    Schemas(CommandGetDbSchemas),
    Tables(CommandGetTables),
    TableTypes,
    PrimaryKeys(CommandGetPrimaryKeys),
    /// Keys of other tables that refer to one, or the reverse: there are none, since a session has one table.
    ForeignKeys,
}

/// The answer to a question: one batch, perhaps without rows.
pub(super) async fn answer(
    deliveries: &Deliveries,
    admission: &Admission,
    question: Question,
) -> Result<RecordBatch, GatewayError> {
    let table = admission.serving.details.table.as_str();
    let built = match question {
        Question::SqlInfo(command) => command.into_builder(&SQL_INFO).build(),
        Question::TypeInfo(command) => command.into_builder(&TYPES).build(),
        Question::Catalogues => {
            let mut builder = GetCatalogsBuilder::new();
            builder.append(CATALOG);
            builder.build()
        }
        Question::Schemas(command) => {
            let mut builder = command.into_builder();
            builder.append(CATALOG, SCHEMA);
            builder.build()
        }
        Question::TableTypes => {
            let mut builder = CommandGetTableTypes {}.into_builder();
            builder.append(TABLE_TYPE);
            builder.build()
        }
        Question::Tables(command) => {
            let schema = if command.include_schema {
                let columns = deliveries.columns(admission, admission.shown_mode()).await?;
                table_schema(admission, &columns, &deliveries.app().meanings(&admission.serving))
            } else {
                Schema::empty()
            };
            let mut builder = command.into_builder();
            builder.append(CATALOG, SCHEMA, table, TABLE_TYPE, &schema).map_err(|_| unbuildable())?;
            builder.build()
        }
        Question::PrimaryKeys(command) => {
            let is_asked = command.table == table
                && command.catalog.as_deref().is_none_or(|catalog| catalog == CATALOG)
                && command.db_schema.as_deref().is_none_or(|schema| schema == SCHEMA);
            let key = match is_asked {
                true => admission.key_among(&deliveries.columns(admission, admission.shown_mode()).await?),
                false => Vec::new(),
            };
            return primary_keys(table, &key);
        }
        Question::ForeignKeys => return Ok(RecordBatch::new_empty(foreign_keys_schema())),
    };
    // Types and lengths are the library's own.
    built.map_err(|_| unbuildable().into())
}

/// The columns with what tools want to know of them: the keys that `FlightSql.proto` lists at `CommandGetTables`. The schema
/// stands under two keys, for the specification says `DB_SCHEMA_NAME` and the libraries of Arrow read `SCHEMA_NAME`.
fn table_schema(admission: &Admission, columns: &[ColumnView], meanings: &Meanings) -> Schema {
    let details = &admission.serving.details;
    let mut fields = Vec::with_capacity(columns.len());
    for column in columns {
        let (type_name, precision, scale) = sql_type(column.column_type);
        let mut metadata = HashMap::new();
        for (key, value) in [
            ("CATALOG_NAME", CATALOG.to_owned()),
            ("DB_SCHEMA_NAME", SCHEMA.to_owned()),
            ("SCHEMA_NAME", SCHEMA.to_owned()),
            ("TABLE_NAME", details.table.to_string()),
            ("TYPE_NAME", type_name.to_owned()),
            ("PRECISION", precision.to_string()),
            ("SCALE", scale.to_string()),
            ("IS_AUTO_INCREMENT", "0".to_owned()),
            ("IS_CASE_SENSITIVE", if column.column_type == ColumnType::Text { "1" } else { "0" }.to_owned()),
            ("IS_READ_ONLY", "1".to_owned()),
            ("IS_SEARCHABLE", "1".to_owned()),
        ] {
            metadata.insert(format!("ARROW:FLIGHT:SQL:{key}"), value);
        }
        if let Some(meaning) = meanings.column(column.name.as_str()) {
            metadata.insert("ARROW:FLIGHT:SQL:REMARKS".to_owned(), meaning.to_owned());
        }
        let field = Field::new(column.name.as_str(), column.column_type.arrow(), true);
        fields.push(field.with_metadata(metadata));
    }
    let mut metadata = HashMap::from([
        ("name".to_owned(), details.name.clone()),
        ("name_en".to_owned(), details.name_en.clone()),
        ("summary".to_owned(), details.summary.clone()),
        // Flight SQL has no place for the comment of a table.
        ("comment".to_owned(), meanings.table().to_owned()),
        ("data_nature".to_owned(), nature_of(admission.serving.grant.nature).to_owned()),
    ]);
    // Of a marked copy the same is told as in its OpenAPI document, where programs find it; the comment tells it to people.
    let marked: Vec<String> = admission.serving.marked_columns(None).iter().map(ToString::to_string).collect();
    let told = [
        ("marked_columns", (!marked.is_empty()).then(|| marked.join(","))),
        ("sampling_weight", admission.serving.sampling_weight().map(|weight| weight.to_string())),
        ("decoys_per_million", admission.serving.decoys_per_million().map(|count| count.to_string())),
    ];
    metadata.extend(told.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    Schema::new_with_metadata(fields, metadata)
}

/// Name, precision and scale of a column's type in SQL.
fn sql_type(column_type: ColumnType) -> (&'static str, u32, i32) {
    match column_type {
        ColumnType::Integer => ("BIGINT", 19, 0),
        ColumnType::Float => ("DOUBLE PRECISION", 53, 0),
        ColumnType::Decimal { precision, scale } => ("DECIMAL", u32::from(precision), i32::from(scale)),
        ColumnType::Date => ("DATE", 10, 0),
        ColumnType::LocalTimestamp => ("TIMESTAMP", 26, 6),
        ColumnType::Timestamp => ("TIMESTAMP WITH TIME ZONE", 32, 6),
        ColumnType::Boolean => ("BOOLEAN", 1, 0),
        ColumnType::Text => ("VARCHAR", 0, 0),
    }
}

/// REAL or SYNTHETIC.
pub(super) fn nature_of(nature: Nature) -> &'static str {
    match nature {
        Nature::Real => "REAL",
        Nature::Synthetic => "SYNTHETIC",
    }
}

/// The schema of a primary key's answer (`FlightSql.proto`, `CommandGetPrimaryKeys`).
fn primary_keys(table: &str, key: &[String]) -> Result<RecordBatch, GatewayError> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("key_name", DataType::Utf8, true),
    ]));
    let repeated = |value: &str| Arc::new(StringArray::from_iter_values(key.iter().map(|_| value))) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        repeated(CATALOG),
        repeated(SCHEMA),
        repeated(table),
        Arc::new(StringArray::from_iter_values(key)),
        Arc::new(Int32Array::from_iter_values((1..).take(key.len()))),
        Arc::new(StringArray::from(vec![None::<&str>; key.len()])),
    ];
    RecordBatch::try_new(schema, columns).map_err(|_| unbuildable().into())
}

/// The schema of a foreign key's answer (`FlightSql.proto`, `CommandGetImportedKeys`).
fn foreign_keys_schema() -> SchemaRef {
    let text = |name: &str, is_nullable: bool| Field::new(name, DataType::Utf8, is_nullable);
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}

fn unbuildable() -> AppError {
    AppError::Fault("what there is could not be written as a batch".to_owned())
}
