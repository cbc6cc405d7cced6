//! Columns of tables, brought to the types that are wanted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::util::display::FormatOptions;
use lingqu_domain::scope::ColumnName;

use super::Wanted;
use crate::columns::{ColumnType, ColumnView, SchemaView};
use crate::source::{COLUMNS_MAX, FoundKind, SchemaDrift, SourceError};

/// How a table's columns become those that are wanted.
#[derive(Clone, Debug)]
pub(super) struct Typing {
    table: String,
    columns: Vec<ColumnView>,
    /// The place of each in the table.
    places: Vec<usize>,
    schema: SchemaRef,
}

impl Typing {
    /// Compares a table's columns with those that are wanted. Errors: they differ; a wanted one has a type that governed
    /// data can't have.
    pub(super) fn between(table: &str, found: &Schema, wanted: Wanted<'_>) -> Result<Typing, SourceError> {
        if found.fields().len() > COLUMNS_MAX {
            return Err(SourceError::TooManyColumns { file: table.to_owned(), found: found.fields().len() });
        }
        let mut known = Vec::new();
        // A column that no catalogue entry can have, by its name or type, can only be one too many.
        let mut strange = Vec::new();
        for field in found.fields() {
            let name = ColumnName::new(field.name().as_str()).ok();
            let column_type = column_type_of(field.data_type());
            match (name, column_type) {
                (Some(name), Some(column_type)) => known.push(ColumnView { name, column_type }),
                (Some(name), None) if wanted.schema.column(&name).is_some() => {
                    return Err(SourceError::BadType {
                        file: table.to_owned(),
                        column: name.to_string(),
                        found: field.data_type().to_string(),
                    });
                }
                _ => strange.push(field.name().clone()),
            }
        }
        let mut drift = SchemaDrift::between(wanted.schema, &SchemaView { columns: known });
        drift.added.extend(strange);
        if drift.is_breaking(wanted.ignores_added) {
            return Err(SourceError::Drift { file: table.to_owned(), drift: Box::new(drift) });
        }
        let columns = wanted.schema.columns.clone();
        let mut places = Vec::with_capacity(columns.len());
        for column in &columns {
            let place = found.index_of(column.name.as_str()).map_err(|_| SourceError::BadType {
                file: table.to_owned(),
                column: column.name.to_string(),
                found: "unknown".to_owned(),
            })?;
            places.push(place);
        }
        Ok(Typing { table: table.to_owned(), columns, places, schema: wanted.schema.arrow() })
    }

    /// The columns.
    pub(super) fn view(&self) -> SchemaView {
        SchemaView { columns: self.columns.clone() }
    }

    /// A batch of the table, all columns in their order, as one of the wanted schema. `rows_before`: for messages.
    pub(super) fn bring(&self, arrays: &[ArrayRef], rows: usize, rows_before: u64) -> Result<RecordBatch, SourceError> {
        let mut brought = Vec::with_capacity(self.columns.len());
        for (column, place) in self.columns.iter().zip(&self.places) {
            let array = arrays.get(*place).ok_or_else(|| self.bad_type(column, "missing"))?;
            brought.push(self.bring_column(array, column, rows_before)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), brought, &options).map_err(|_| {
            SourceError::Unreadable { file: self.table.clone(), reason: "its columns differ in length".to_owned() }
        })
    }

    /// Casts a column. A value that changes by it is refused with its row: there and back must give the same.
    fn bring_column(&self, array: &ArrayRef, column: &ColumnView, rows_before: u64) -> Result<ArrayRef, SourceError> {
        let wanted = column.column_type.arrow();
        if array.data_type() == &wanted {
            return Ok(Arc::clone(array));
        }
        let bad_type = |_| self.bad_type(column, &array.data_type().to_string());
        let options = CastOptions { safe: true, format_options: FormatOptions::default() };
        let cast = cast_with_options(array, &wanted, &options).map_err(bad_type)?;
        let kept = if column.column_type == ColumnType::Text {
            // A text holds every digit of what is written; only a value that became none was lost.
            (0..array.len()).find(|row| cast.is_null(*row) != is_null(array, *row))
        } else {
            let back = cast_with_options(&cast, array.data_type(), &options).map_err(bad_type)?;
            let same = not_distinct(&back, array).map_err(bad_type)?;
            (0..same.len()).find(|row| !same.value(*row))
        };
        match kept {
            None => Ok(cast),
            Some(row) => Err(SourceError::BadValue {
                file: self.table.clone(),
                line: rows_before + row as u64 + 1,
                column: column.name.clone(),
                expected: column.column_type,
                found_kind: if array.data_type().is_numeric() { FoundKind::Number } else { FoundKind::Text },
                found_length: 0,
            }),
        }
    }

    fn bad_type(&self, column: &ColumnView, found: &str) -> SourceError {
        SourceError::BadType { file: self.table.clone(), column: column.name.to_string(), found: found.to_owned() }
    }
}

/// The engine's type of a table's type. A decimal that is wider than the engine's is none of its.
fn column_type_of(data_type: &DataType) -> Option<ColumnType> {
    ColumnType::of_arrow(data_type)
}

fn is_null(array: &ArrayRef, row: usize) -> bool {
    array.logical_nulls().is_some_and(|nulls| nulls.is_null(row))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, TimestampNanosecondArray};
    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    fn view(columns: &[(&str, ColumnType)]) -> SchemaView {
        let columns = columns
            .iter()
            .map(|(name, column_type)| ColumnView { name: ColumnName::new(*name).unwrap(), column_type: *column_type });
        SchemaView { columns: columns.collect() }
    }

    fn bring(array: ArrayRef, wanted: ColumnType) -> Result<RecordBatch, SourceError> {
        let schema = Schema::new(vec![Field::new("a", array.data_type().clone(), true)]);
        let wanted = view(&[("a", wanted)]);
        let typing = Typing::between("t", &schema, Wanted { schema: &wanted, ignores_added: false })?;
        let rows = array.len();
        typing.bring(&[array], rows, 10)
    }

    #[test]
    fn a_value_that_would_change_is_refused_with_its_row() {
        let decimal = ColumnType::Decimal { precision: 38, scale: 6 };
        let fine = Decimal128Array::from(vec![Some(15), None]).with_precision_and_scale(5, 1).unwrap();
        assert!(bring(Arc::new(fine), decimal).is_ok());
        let cut = Decimal128Array::from(vec![Some(10_000_000), Some(1)]).with_precision_and_scale(20, 7).unwrap();
        let error = bring(Arc::new(cut), decimal).unwrap_err();
        assert!(matches!(error, SourceError::BadValue { line: 12, .. }), "{error}");
        let large = Int64Array::from(vec![(1_i64 << 53) + 1]);
        assert!(matches!(bring(Arc::new(large), ColumnType::Float), Err(SourceError::BadValue { line: 11, .. })));
        let odd = TimestampNanosecondArray::from(vec![1_500]);
        let error = bring(Arc::new(odd), ColumnType::LocalTimestamp).unwrap_err();
        assert!(matches!(error, SourceError::BadValue { .. }), "{error}");
        assert!(bring(Arc::new(Float64Array::from(vec![0.1])), decimal).is_ok());
    }

    #[test]
    fn all_differences_are_told_at_once_and_nested_columns_by_name() {
        let nested = DataType::Struct(vec![Field::new("x", DataType::Int64, true)].into());
        let found = Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("Odd Name", DataType::Int64, true),
            Field::new("n", nested.clone(), true),
            Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ]);
        let wanted = view(&[("a", ColumnType::Boolean), ("b", ColumnType::Text)]);
        let error = Typing::between("t", &found, Wanted { schema: &wanted, ignores_added: false }).unwrap_err();
        let SourceError::Drift { drift, .. } = error else { panic!("{error}") };
        assert_eq!(drift.missing, ["b"]);
        assert_eq!(drift.added, ["t", "Odd Name", "n"]);
        assert_eq!(drift.changed.len(), 1);
        let wanted = view(&[("n", ColumnType::Text)]);
        let error = Typing::between("t", &found, Wanted { schema: &wanted, ignores_added: true }).unwrap_err();
        assert!(matches!(error, SourceError::BadType { .. }), "{error}");
    }
}
