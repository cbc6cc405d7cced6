//! Column types of the engine and the schema as people see it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use lingqu_domain::scope::ColumnName;
use serde::{Deserialize, Serialize};

use crate::{DECOY_COLUMN, ROW_COLUMN, SUBJECT_COLUMN};

/// The types a column of governed data may have. Everything read from a source is brought to one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// A whole number of 64 bits.
    Integer,
    /// A floating-point number of 64 bits.
    Float,
    /// An exact decimal.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// A day.
    Date,
    /// A time of day on a day, in microseconds, without an offset.
    LocalTimestamp,
    /// A point in time, in microseconds, kept in UTC.
    Timestamp,
    /// True or false.
    Boolean,
    /// UTF-8 text.
    Text,
}

impl ColumnType {
    /// The Arrow type that holds it.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::Integer => DataType::Int64,
            ColumnType::Float => DataType::Float64,
            ColumnType::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            ColumnType::Date => DataType::Date32,
            ColumnType::LocalTimestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnType::Boolean => DataType::Boolean,
            ColumnType::Text => DataType::Utf8,
        }
    }

    /// The type that an Arrow type is brought to, or nothing for a type that governed data can't have (nested,
    /// binary, intervals).
    pub fn of_arrow(data_type: &DataType) -> Option<ColumnType> {
        Some(match data_type {
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64 => ColumnType::Integer,
            DataType::Float16 | DataType::Float32 | DataType::Float64 => ColumnType::Float,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale) => ColumnType::Decimal { precision: *precision, scale: *scale },
            DataType::Date32 | DataType::Date64 => ColumnType::Date,
            DataType::Timestamp(_, None) => ColumnType::LocalTimestamp,
            DataType::Timestamp(_, Some(_)) => ColumnType::Timestamp,
            DataType::Boolean => ColumnType::Boolean,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
            DataType::Dictionary(_, values) => return ColumnType::of_arrow(values),
            _ => return None,
        })
    }

    /// What people call it, for messages.
    pub fn describe(self) -> &'static str {
        match self {
            ColumnType::Integer => "a whole number",
            ColumnType::Float => "a number",
            ColumnType::Decimal { .. } => "an exact decimal",
            ColumnType::Date => "a date (YYYY-MM-DD)",
            ColumnType::LocalTimestamp => "a time (YYYY-MM-DD HH:MM:SS)",
            ColumnType::Timestamp => "a time with offset (YYYY-MM-DDTHH:MM:SSZ)",
            ColumnType::Boolean => "true or false",
            ColumnType::Text => "text",
        }
    }
}

/// One column of a schema as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnView {
    /// The name in Lingqu.
    pub name: ColumnName,
    /// The type.
    pub column_type: ColumnType,
}

/// A schema as people see it: the visible columns in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaView {
    /// The columns.
    pub columns: Vec<ColumnView>,
}

impl SchemaView {
    /// The Arrow schema of the visible columns; every column may be missing a value.
    pub fn arrow(&self) -> SchemaRef {
        let mut fields = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            fields.push(Field::new(column.name.as_str(), column.column_type.arrow(), true));
        }
        Arc::new(Schema::new(fields))
    }

    /// The view of an Arrow schema, without the hidden columns; nothing when a column has a name or type that
    /// governed data can't have.
    pub fn of_arrow(schema: &Schema) -> Option<SchemaView> {
        let mut columns = Vec::new();
        for field in schema.fields() {
            if is_hidden(field.name()) {
                continue;
            }
            let name = ColumnName::new(field.name().as_str()).ok()?;
            columns.push(ColumnView { name, column_type: ColumnType::of_arrow(field.data_type())? });
        }
        Some(SchemaView { columns })
    }

    /// The column of a name.
    pub fn column(&self, name: &ColumnName) -> Option<&ColumnView> {
        self.columns.iter().find(|column| &column.name == name)
    }
}

/// True for the names of the engine's own columns.
pub(crate) fn is_hidden(name: &str) -> bool {
    name == ROW_COLUMN || name == DECOY_COLUMN || name.starts_with(SUBJECT_COLUMN)
}

/// The hidden column of a row's subject by the number of the declared column that names it, from 0.
pub(crate) fn subject_column(number: usize) -> String {
    if number == 0 { SUBJECT_COLUMN.to_owned() } else { format!("{SUBJECT_COLUMN}_{}", number + 1) }
}

/// The hidden columns of a row's subjects that a table has.
pub(crate) fn subject_columns(schema: &Schema) -> Vec<String> {
    (0..schema.fields().len()).map(subject_column).take_while(|name| schema.column_with_name(name).is_some()).collect()
}

/// The field of the number of a decoy.
pub(crate) fn decoy_field() -> Field {
    Field::new(DECOY_COLUMN, DataType::Int64, true)
}

/// The field of the row number.
pub(crate) fn row_field() -> Field {
    // Signed, since the Delta format has no unsigned integers.
    Field::new(ROW_COLUMN, DataType::Int64, false)
}
