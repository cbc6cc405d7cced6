//! Comments of the order's table and its columns, where PostgreSQL's tools look for them: as rows of `pg_description` and by
//! `obj_description` and `col_description`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::common::internal_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Signature, SimpleScalarUDF, TypeSignature, Volatility};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use datafusion_pg_catalog::pg_catalog::ArrowTable;

use super::OrderTable;

/// The table of descriptions.
const DESCRIPTIONS: &str = "pg_description";
/// The table of relations, and its number in every PostgreSQL.
const RELATIONS: &str = "pg_class";
const RELATIONS_OID: i32 = 1259;

/// PostgreSQL's tables, with the comments of the order's table among the descriptions of PostgreSQL's own objects.
#[derive(Debug)]
pub(super) struct WithComments {
    of_postgres: Arc<dyn SchemaProvider>,
    descriptions: Arc<dyn TableProvider>,
}

impl WithComments {
    pub(super) fn new(of_postgres: Arc<dyn SchemaProvider>, descriptions: Arc<dyn TableProvider>) -> WithComments {
        WithComments { of_postgres, descriptions }
    }
}

#[async_trait]
impl SchemaProvider for WithComments {
    fn table_names(&self) -> Vec<String> {
        self.of_postgres.table_names()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if name.eq_ignore_ascii_case(DESCRIPTIONS) {
            return Ok(Some(Arc::clone(&self.descriptions)));
        }
        self.of_postgres.table(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.of_postgres.table_exist(name)
    }
}

/// The number of the one relation that there is.
pub(super) async fn number_of_table(
    context: &SessionContext,
    of_postgres: &dyn SchemaProvider,
) -> DataFusionResult<i32> {
    let Some(relations) = of_postgres.table(RELATIONS).await? else { return internal_err!("there are no relations") };
    for batch in context.read_table(relations)?.collect().await? {
        let numbers = batch.column_by_name("oid").and_then(|column| column.as_primitive_opt::<Int32Type>());
        if let Some(number) = numbers.and_then(|numbers| numbers.iter().flatten().next()) {
            return Ok(number);
        }
    }
    internal_err!("the order's table is no relation")
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
pub(super) fn descriptions(
    of_postgres: &ArrowTable,
    oid: i32,
    table: &OrderTable,
) -> DataFusionResult<Arc<dyn TableProvider>> {
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
    Ok(Arc::new(MemTable::try_new(schema, vec![batches])?))
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

type Describe = Arc<dyn Fn(&[ArrayRef], usize) -> Option<String> + Send + Sync>;

fn describing(name: &str, signature: Signature, describe: Describe) -> ScalarUDF {
    let answer = move |arguments: &[ColumnarValue]| {
        let is_constant = arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arguments = ColumnarValue::values_to_arrays(arguments)?;
        let rows = arguments.first().map_or(0, |argument| argument.len());
        let texts: StringArray = (0..rows).map(|row| describe(&arguments, row)).collect();
        Ok(if is_constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&texts, 0)?)
        } else {
            ColumnarValue::Array(Arc::new(texts))
        })
    };
    ScalarUDF::from(SimpleScalarUDF::new_with_signature(name, signature, DataType::Utf8, Arc::new(answer)))
}

/// A number, whatever type it has; none where it is none.
fn number_at(column: &ArrayRef, row: usize) -> Option<i64> {
    let one = cast(&column.slice(row, 1), &DataType::Int64).ok()?;
    let one = one.as_primitive_opt::<Int64Type>()?;
    one.is_valid(0).then(|| one.value(0))
}

fn text_at(column: &ArrayRef, row: usize) -> Option<String> {
    let one = cast(&column.slice(row, 1), &DataType::Utf8).ok()?;
    let one = one.as_string_opt::<i32>()?;
    one.is_valid(0).then(|| one.value(0).to_owned())
}
