//! Comments of the order's table and its columns, where PostgreSQL's tools look for them: as rows of `pg_description` and by
//! `obj_description` and `col_description`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::Int32Type;
use datafusion::common::internal_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{ScalarUDF, Signature, TypeSignature, Volatility};
use datafusion_pg_catalog::pg_catalog::ArrowTable;

use super::OrderTable;
use super::functions::{describing, number_at, text_at};
use super::keys::RELATIONS;
use super::overlay::{Named, table_of};

/// The table of descriptions.
const DESCRIPTIONS: &str = "pg_description";
/// The number of the table of relations in every PostgreSQL.
const RELATIONS_OID: i32 = 1259;

/// The number of the one relation that there is.
pub(super) fn number_of_table(relations: &RecordBatch) -> DataFusionResult<i32> {
    let numbers = relations.column_by_name("oid").and_then(|column| column.as_primitive_opt::<Int32Type>());
    match numbers.and_then(|numbers| numbers.iter().flatten().next()) {
        Some(number) => Ok(number),
        None => internal_err!("the order's table is no relation"),
    }
}

/// The comments by the number of what they are about within the table: 0 for itself, then its columns from 1.
fn comments_of(table: &OrderTable) -> Vec<(i32, String)> {
    let mut comments = Vec::new();
    if !table.meanings.table().is_empty() {
        comments.push((0, table.meanings.table().to_owned()));
    }
    for (number, field) in (1..).zip(table.schema.fields()) {
        if let Some(meaning) = table.meanings.column(field.name()) {
            comments.push((number, meaning.to_owned()));
        }
    }
    comments
}

/// The table of descriptions: PostgreSQL's own, and the comments.
pub(super) fn descriptions(of_postgres: &ArrowTable, oid: i32, table: &OrderTable) -> DataFusionResult<Named> {
    let comments = comments_of(table);
    let schema = of_postgres.schema();
    let numbers = |number: i32| Arc::new(Int32Array::from(vec![number; comments.len()])) as ArrayRef;
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let column = match field.name().as_str() {
            "objoid" => numbers(oid),
            "classoid" => numbers(RELATIONS_OID),
            "objsubid" => {
                Arc::new(comments.iter().map(|(number, _)| Some(*number)).collect::<Int32Array>()) as ArrayRef
            }
            _ => Arc::new(comments.iter().map(|(_, text)| Some(text.as_str())).collect::<StringArray>()) as ArrayRef,
        };
        columns.push(cast(&column, field.data_type())?);
    }
    let mut batches = of_postgres.data().to_vec();
    batches.push(RecordBatch::try_new(Arc::clone(&schema), columns)?);
    Ok((DESCRIPTIONS, table_of(schema, batches)?))
}

/// `obj_description` and `col_description`, which know the order's table and nothing else.
pub(super) fn functions(oid: i32, table: &OrderTable) -> [ScalarUDF; 2] {
    let comments: Arc<[(i32, String)]> = comments_of(table).into();
    let of_table = comments.iter().find(|(number, _)| *number == 0).map(|(_, text)| text.clone());
    let object = move |arguments: &[ArrayRef], row: usize| {
        let is_relation = match arguments.get(1) {
            Some(catalogue) => text_at(catalogue, row).is_some_and(|name| name == RELATIONS),
            None => true,
        };
        if is_relation && number_at(arguments.first()?, row)? == i64::from(oid) { of_table.clone() } else { None }
    };
    let column = move |arguments: &[ArrayRef], row: usize| {
        if number_at(arguments.first()?, row)? != i64::from(oid) {
            return None;
        }
        let wanted = number_at(arguments.get(1)?, row)?;
        let found = comments.iter().find(|(number, _)| *number != 0 && i64::from(*number) == wanted);
        found.map(|(_, text)| text.clone())
    };
    let one_or_two = vec![TypeSignature::Any(1), TypeSignature::Any(2)];
    [
        describing("obj_description", Signature::one_of(one_or_two, Volatility::Immutable), Arc::new(object)),
        describing("col_description", Signature::any(2, Volatility::Immutable), Arc::new(column)),
    ]
}
