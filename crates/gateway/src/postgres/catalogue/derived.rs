//! What PostgreSQL makes of a table by itself, where tools look for it: its line in the views `pg_tables` and `pg_indexes`, the type of its
//! rows, and the type of their arrays.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::Result as DataFusionResult;
use datafusion::scalar::ScalarValue;
use datafusion_pg_catalog::pg_catalog::ArrowTable;

use super::OrderTable;
use super::keys::index_of;
use super::overlay::{Named, row, table_of};
use crate::postgres::statement::{DATABASE, SCHEMA};

/// The views.
const TABLES: &str = "pg_tables";
const INDEXES: &str = "pg_indexes";
/// The table of types.
const TYPES: &str = "pg_type";

/// The numbers of the type of the table's rows and of that of their arrays, beside those of index and constraint.
pub(super) const ROW_TYPE_OID: i32 = 90_003;
const ARRAY_TYPE_OID: i32 = 90_004;
/// The number of who owns everything, as the library's types have it.
const OWNER_OID: i32 = 10;

/// The views and the table of types for an order's table, which has this number in the schema of that one.
pub(super) fn tables(
    of_postgres: &ArrowTable,
    (oid, namespace): (i32, i32),
    table: &OrderTable,
) -> DataFusionResult<Vec<Named>> {
    Ok(vec![view_of_table(table)?, view_of_index(table)?, types_with(of_postgres, (oid, namespace), table)?])
}

fn view_of_table(table: &OrderTable) -> DataFusionResult<Named> {
    let schema = schema_of(
        &["schemaname", "tablename", "tableowner", "tablespace"],
        &["hasindexes", "hasrules", "hastriggers", "rowsecurity"],
    );
    let line = row(
        &schema,
        &[
            ("schemaname", SCHEMA.into()),
            ("tablename", table.name.as_str().into()),
            ("tableowner", DATABASE.into()),
            ("hasindexes", index_of(table).is_some().into()),
            ("hasrules", false.into()),
            ("hastriggers", false.into()),
            ("rowsecurity", false.into()),
        ],
    )?;
    Ok((TABLES, table_of(schema, vec![line])?))
}

fn view_of_index(table: &OrderTable) -> DataFusionResult<Named> {
    let schema = schema_of(&["schemaname", "tablename", "indexname", "tablespace", "indexdef"], &[]);
    let mut lines = Vec::new();
    if let Some(index) = index_of(table) {
        lines.push(row(
            &schema,
            &[
                ("schemaname", SCHEMA.into()),
                ("tablename", table.name.as_str().into()),
                ("indexname", index.name.as_str().into()),
                ("indexdef", index.definition.as_str().into()),
            ],
        )?);
    }
    Ok((INDEXES, table_of(schema, lines)?))
}

/// Columns of texts, and of what is so or is not.
fn schema_of(texts: &[&str], booleans: &[&str]) -> SchemaRef {
    let of = |data_type: DataType| move |name: &&str| Field::new(*name, data_type.clone(), true);
    let fields = texts.iter().map(of(DataType::Utf8)).chain(booleans.iter().map(of(DataType::Boolean)));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn types_with(of_postgres: &ArrowTable, (oid, namespace): (i32, i32), table: &OrderTable) -> DataFusionResult<Named> {
    let schema = of_postgres.schema();
    let mut types = of_postgres.data().to_vec();
    let array_name = format!("_{}", table.name);
    // As PostgreSQL writes them: what differs between the two, and what does not.
    let of_row: [(&str, ScalarValue); 11] = [
        ("oid", ROW_TYPE_OID.into()),
        ("typname", table.name.as_str().into()),
        ("typtype", "c".into()),
        ("typcategory", "C".into()),
        ("typrelid", oid.into()),
        ("typsubscript", "-".into()),
        ("typarray", ARRAY_TYPE_OID.into()),
        ("typinput", "record_in".into()),
        ("typoutput", "record_out".into()),
        ("typreceive", "record_recv".into()),
        ("typsend", "record_send".into()),
    ];
    let of_array: [(&str, ScalarValue); 11] = [
        ("oid", ARRAY_TYPE_OID.into()),
        ("typname", array_name.as_str().into()),
        ("typtype", "b".into()),
        ("typcategory", "A".into()),
        ("typelem", ROW_TYPE_OID.into()),
        ("typsubscript", "array_subscript_handler".into()),
        ("typanalyze", "array_typanalyze".into()),
        ("typinput", "array_in".into()),
        ("typoutput", "array_out".into()),
        ("typreceive", "array_recv".into()),
        ("typsend", "array_send".into()),
    ];
    for of_one in [of_row, of_array] {
        let mut values = of_one.to_vec();
        values.extend([
            ("typnamespace", namespace.into()),
            ("typowner", OWNER_OID.into()),
            ("typlen", (-1_i32).into()),
            ("typisdefined", true.into()),
            ("typdelim", ",".into()),
            ("typmodin", "-".into()),
            ("typmodout", "-".into()),
            ("typanalyze", "-".into()),
            ("typalign", "d".into()),
            ("typstorage", "x".into()),
            ("typtypmod", (-1_i32).into()),
        ]);
        types.push(row(&schema, &values)?);
    }
    Ok((TYPES, table_of(schema, types)?))
}
