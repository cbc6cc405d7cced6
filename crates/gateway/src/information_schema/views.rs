//! The views and their rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use lingqu_app::{AppError, Meanings};
use lingqu_engine::schema_session::{INFORMATION_SCHEMA, View};
use lingqu_engine::{ColumnType, ColumnView};

/// The order's table as a door shows it.
pub(crate) struct ShownTable<'a> {
    /// The one catalogue.
    pub(crate) catalogue: &'a str,
    /// The schema under which the door knows the table.
    pub(crate) schema: &'a str,
    /// What other schemas the door has, beside the information schema: none of them holds a table of data.
    pub(crate) further_schemas: &'a [&'a str],
    /// Its name.
    pub(crate) name: &'a str,
    /// The granted columns.
    pub(crate) columns: &'a [ColumnView],
    /// The columns that identify a row, if all of them are granted.
    pub(crate) key: &'a [String],
    /// What it and its columns mean.
    pub(crate) meanings: &'a Meanings,
}

/// The views by their names.
pub(crate) fn views(table: &ShownTable<'_>) -> Result<Vec<View>, AppError> {
    Ok(vec![
        ("schemata", schemata(table).batch()?),
        ("tables", tables(table).batch()?),
        ("columns", columns(table).batch()?),
        ("table_constraints", table_constraints(table).batch()?),
        ("key_column_usage", key_column_usage(table).batch()?),
        ("constraint_column_usage", constraint_column_usage(table).batch()?),
        ("views", empty(&VIEWS)?),
        ("referential_constraints", empty(&REFERENTIAL_CONSTRAINTS)?),
        ("routines", empty(&ROUTINES)?),
        ("parameters", empty(&PARAMETERS)?),
        ("triggers", empty(&TRIGGERS)?),
        ("sequences", empty(&SEQUENCES)?),
    ])
}

/// There is no view, no reference to another table, no routine, no trigger and no sequence.
const VIEWS: [&str; 6] =
    ["table_catalog", "table_schema", "table_name", "view_definition", "check_option", "is_updatable"];
const REFERENTIAL_CONSTRAINTS: [&str; 9] = [
    "constraint_catalog",
    "constraint_schema",
    "constraint_name",
    "unique_constraint_catalog",
    "unique_constraint_schema",
    "unique_constraint_name",
    "match_option",
    "update_rule",
    "delete_rule",
];
const ROUTINES: [&str; 9] = [
    "specific_catalog",
    "specific_schema",
    "specific_name",
    "routine_catalog",
    "routine_schema",
    "routine_name",
    "routine_type",
    "data_type",
    "routine_definition",
];
const PARAMETERS: [&str; 6] =
    ["specific_catalog", "specific_schema", "specific_name", "parameter_mode", "parameter_name", "data_type"];
const TRIGGERS: [&str; 6] = [
    "trigger_catalog",
    "trigger_schema",
    "trigger_name",
    "event_manipulation",
    "event_object_schema",
    "event_object_table",
];
const SEQUENCES: [&str; 4] = ["sequence_catalog", "sequence_schema", "sequence_name", "data_type"];

fn schemata(table: &ShownTable<'_>) -> Written {
    let mut schemas = vec![table.schema];
    schemas.extend(table.further_schemas);
    schemas.push(INFORMATION_SCHEMA);
    let mut view = Written::of(schemas.len());
    view.same("catalog_name", Some(table.catalogue));
    view.texts("schema_name", schemas.into_iter().map(Some));
    view.same("schema_owner", Some(table.catalogue));
    for name in
        ["default_character_set_catalog", "default_character_set_schema", "default_character_set_name", "sql_path"]
    {
        view.same(name, None);
    }
    view
}

fn tables(table: &ShownTable<'_>) -> Written {
    let mut view = Written::of(1);
    view.same("table_catalog", Some(table.catalogue));
    view.same("table_schema", Some(table.schema));
    view.same("table_name", Some(table.name));
    view.same("table_type", Some("BASE TABLE"));
    for name in [
        "self_referencing_column_name",
        "reference_generation",
        "user_defined_type_catalog",
        "user_defined_type_schema",
        "user_defined_type_name",
    ] {
        view.same(name, None);
    }
    view.same("is_insertable_into", Some("NO"));
    view.same("is_typed", Some("NO"));
    view.same("commit_action", None);
    view.same("table_comment", Some(table.meanings.table()).filter(|comment| !comment.is_empty()));
    view
}

fn columns(table: &ShownTable<'_>) -> Written {
    let columns = table.columns;
    let types: Vec<SqlType> = columns.iter().map(|column| SqlType::of(column.column_type)).collect();
    let mut view = Written::of(columns.len());
    view.same("table_catalog", Some(table.catalogue));
    view.same("table_schema", Some(table.schema));
    view.same("table_name", Some(table.name));
    view.texts("column_name", columns.iter().map(|column| Some(column.name.as_str())));
    view.numbers("ordinal_position", (1..).take(columns.len()).map(Some));
    view.same("column_default", None);
    let is_of_key = |column: &ColumnView| table.key.iter().any(|part| part == column.name.as_str());
    view.texts("is_nullable", columns.iter().map(|column| Some(if is_of_key(column) { "NO" } else { "YES" })));
    view.texts("data_type", types.iter().map(|found| Some(found.name)));
    view.numbers("character_maximum_length", columns.iter().map(|_| None));
    view.numbers("character_octet_length", columns.iter().map(|_| None));
    view.numbers("numeric_precision", types.iter().map(|found| found.precision));
    view.numbers("numeric_precision_radix", types.iter().map(|found| found.radix));
    view.numbers("numeric_scale", types.iter().map(|found| found.scale));
    view.numbers("datetime_precision", types.iter().map(|found| found.fraction));
    for name in ["character_set_name", "collation_name", "domain_name"] {
        view.same(name, None);
    }
    view.same("udt_catalog", Some(table.catalogue));
    view.same("udt_schema", Some("pg_catalog"));
    view.texts("udt_name", types.iter().map(|found| Some(found.short)));
    view.same("is_identity", Some("NO"));
    view.same("is_generated", Some("NEVER"));
    view.same("generation_expression", None);
    view.same("is_updatable", Some("NO"));
    view.texts("column_comment", columns.iter().map(|column| table.meanings.column(column.name.as_str())));
    view
}

/// The name of the key, as PostgreSQL would make it.
fn key_name(table: &ShownTable<'_>) -> String {
    format!("{}_pkey", table.name)
}

fn table_constraints(table: &ShownTable<'_>) -> Written {
    let mut view = Written::of(usize::from(!table.key.is_empty()));
    view.same("constraint_catalog", Some(table.catalogue));
    view.same("constraint_schema", Some(table.schema));
    view.same("constraint_name", Some(&key_name(table)));
    view.same("table_catalog", Some(table.catalogue));
    view.same("table_schema", Some(table.schema));
    view.same("table_name", Some(table.name));
    view.same("constraint_type", Some("PRIMARY KEY"));
    view.same("is_deferrable", Some("NO"));
    view.same("initially_deferred", Some("NO"));
    view.same("enforced", Some("YES"));
    view
}

fn key_column_usage(table: &ShownTable<'_>) -> Written {
    let mut view = Written::of(table.key.len());
    view.same("constraint_catalog", Some(table.catalogue));
    view.same("constraint_schema", Some(table.schema));
    view.same("constraint_name", Some(&key_name(table)));
    view.same("table_catalog", Some(table.catalogue));
    view.same("table_schema", Some(table.schema));
    view.same("table_name", Some(table.name));
    view.texts("column_name", table.key.iter().map(|part| Some(part.as_str())));
    view.numbers("ordinal_position", (1..).take(table.key.len()).map(Some));
    view.numbers("position_in_unique_constraint", table.key.iter().map(|_| None));
    view
}

fn constraint_column_usage(table: &ShownTable<'_>) -> Written {
    let mut view = Written::of(table.key.len());
    view.same("table_catalog", Some(table.catalogue));
    view.same("table_schema", Some(table.schema));
    view.same("table_name", Some(table.name));
    view.texts("column_name", table.key.iter().map(|part| Some(part.as_str())));
    view.same("constraint_catalog", Some(table.catalogue));
    view.same("constraint_schema", Some(table.schema));
    view.same("constraint_name", Some(&key_name(table)));
    view
}

/// A type as PostgreSQL names it and as the standard measures it.
struct SqlType {
    name: &'static str,
    short: &'static str,
    precision: Option<i32>,
    radix: Option<i32>,
    scale: Option<i32>,
    /// Digits of a second's fraction.
    fraction: Option<i32>,
}

impl SqlType {
    fn of(column_type: ColumnType) -> SqlType {
        let plain = |name, short| SqlType { name, short, precision: None, radix: None, scale: None, fraction: None };
        match column_type {
            ColumnType::Integer => {
                SqlType { precision: Some(64), radix: Some(2), scale: Some(0), ..plain("bigint", "int8") }
            }
            ColumnType::Float => SqlType { precision: Some(53), radix: Some(2), ..plain("double precision", "float8") },
            ColumnType::Decimal { precision, scale } => SqlType {
                precision: Some(i32::from(precision)),
                radix: Some(10),
                scale: Some(i32::from(scale)),
                ..plain("numeric", "numeric")
            },
            ColumnType::Date => SqlType { fraction: Some(0), ..plain("date", "date") },
            ColumnType::LocalTimestamp => {
                SqlType { fraction: Some(6), ..plain("timestamp without time zone", "timestamp") }
            }
            ColumnType::Timestamp => SqlType { fraction: Some(6), ..plain("timestamp with time zone", "timestamptz") },
            ColumnType::Boolean => plain("boolean", "bool"),
            ColumnType::Text => plain("text", "text"),
        }
    }
}

/// A view being written, column by column.
struct Written {
    rows: usize,
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Written {
    fn of(rows: usize) -> Written {
        Written { rows, fields: Vec::new(), arrays: Vec::new() }
    }

    /// A column of texts, one for each row.
    fn texts<'t>(&mut self, name: &str, values: impl Iterator<Item = Option<&'t str>>) {
        self.fields.push(Field::new(name, DataType::Utf8, true));
        self.arrays.push(Arc::new(values.collect::<StringArray>()));
    }

    /// A column of numbers, one for each row.
    fn numbers(&mut self, name: &str, values: impl Iterator<Item = Option<i32>>) {
        self.fields.push(Field::new(name, DataType::Int32, true));
        self.arrays.push(Arc::new(values.collect::<Int32Array>()));
    }

    /// A column that has the same text in each row.
    fn same(&mut self, name: &str, value: Option<&str>) {
        self.texts(name, std::iter::repeat_n(value, self.rows));
    }

    fn batch(self) -> Result<RecordBatch, AppError> {
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)
            .map_err(|_| AppError::Fault("a view of the information schema could not be written".to_owned()))
    }
}

/// A view without rows.
fn empty(columns: &[&str]) -> Result<RecordBatch, AppError> {
    let mut view = Written::of(0);
    for name in columns {
        view.same(name, None);
    }
    view.batch()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use lingqu_domain::scope::ColumnName;

    use super::*;

    fn view_of<'v>(views: &'v [View], name: &str) -> &'v RecordBatch {
        &views.iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
        let column = batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
        column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn views_tell_of_the_granted_columns_and_their_words() {
        let column = |name: &str, column_type| ColumnView { name: ColumnName::new(name).unwrap(), column_type };
        let columns = [
            column("id", ColumnType::Integer),
            column("price", ColumnType::Decimal { precision: 12, scale: 2 }),
            column("at", ColumnType::Timestamp),
        ];
        let meanings = Meanings::new("出行记录", [("id", "编号"), ("hidden", "未授权")]);
        let shown = |key: &[String]| {
            views(&ShownTable {
                catalogue: "lingqu",
                schema: "data",
                further_schemas: &[],
                name: "trips",
                columns: &columns,
                key,
                meanings: &meanings,
            })
            .unwrap()
        };
        let made = shown(&["id".to_owned()]);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(texts(view_of(&made, "schemata"), "schema_name"), [some("data"), some("information_schema")]);
        assert_eq!(texts(view_of(&made, "tables"), "table_comment"), [some("出行记录")]);
        let of_columns = view_of(&made, "columns");
        assert_eq!(texts(of_columns, "column_comment"), [some("编号"), None, None]);
        let types = [some("bigint"), some("numeric"), some("timestamp with time zone")];
        assert_eq!(texts(of_columns, "data_type"), types);
        // What identifies a row is never missing.
        assert_eq!(texts(of_columns, "is_nullable"), [some("NO"), some("YES"), some("YES")]);
        let precisions = of_columns.column_by_name("numeric_precision").unwrap();
        let precisions = precisions.as_primitive::<arrow::datatypes::Int32Type>();
        assert_eq!((precisions.value(0), precisions.value(1), precisions.is_null(2)), (64, 12, true));
        assert_eq!(texts(view_of(&made, "key_column_usage"), "column_name"), [some("id")]);
        assert_eq!(texts(view_of(&made, "table_constraints"), "constraint_name"), [some("trips_pkey")]);
        // Without a key that is granted as a whole there is none.
        let made = shown(&[]);
        assert_eq!(view_of(&made, "table_constraints").num_rows(), 0);
        for (name, batch) in &made {
            assert!(!format!("{batch:?}").contains("未授权"), "{name}");
        }
    }
}
