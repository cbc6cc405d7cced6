//! Columns of tables, brought to the types that are wanted.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use lingqu_domain::scope::ColumnName;

use super::Wanted;
use crate::columns::{ColumnType, ColumnView, SchemaView};
use crate::source::exact::{self, Brought};
use crate::source::{COLUMNS_MAX, REJECTED_CELLS_MAX, SchemaDrift, SourceError, TableBatch};

/// How a table's columns become those that are wanted.
#[derive(Clone, Debug)]
pub(super) struct Typing {
    table: String,
    columns: Vec<ColumnView>,
    /// The place of each in the table.
    places: Vec<usize>,
    schema: SchemaRef,
    drift: SchemaDrift,
}

/// What is wrong with rows of a batch, by their places in it.
pub(super) type BadRows = BTreeMap<usize, Vec<SourceError>>;

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
        Ok(Typing { table: table.to_owned(), columns, places, schema: wanted.schema.arrow(), drift })
    }

    /// The columns.
    pub(super) fn view(&self) -> SchemaView {
        SchemaView { columns: self.columns.clone() }
    }

    /// How the table's columns differ from the wanted ones without harm.
    pub(super) fn drift(&self) -> &SchemaDrift {
        &self.drift
    }

    /// A batch of the table, all columns in their order, as one of the wanted schema, without the rows that do not fit: those
    /// that are known as bad already, and those with a value that would change. `rows_before`: for messages.
    pub(super) fn bring(
        &self,
        arrays: &[ArrayRef],
        rows: usize,
        rows_before: u64,
        mut bad: BadRows,
    ) -> Result<TableBatch, SourceError> {
        let mut brought = Vec::with_capacity(self.columns.len());
        for (column, place) in self.columns.iter().zip(&self.places) {
            let array = arrays.get(*place).ok_or_else(|| self.bad_type(column, "missing"))?;
            brought.push(self.bring_column(array, column, rows_before, &mut bad)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let whole = RecordBatch::try_new_with_options(Arc::clone(&self.schema), brought, &options).map_err(|_| {
            SourceError::Unreadable { file: self.table.clone(), reason: "its columns differ in length".to_owned() }
        })?;
        Ok(TableBatch::sifted(&whole, bad))
    }

    fn bring_column(
        &self,
        array: &ArrayRef,
        column: &ColumnView,
        rows_before: u64,
        bad: &mut BadRows,
    ) -> Result<ArrayRef, SourceError> {
        let bad_type = |_| self.bad_type(column, &array.data_type().to_string());
        let Brought { array: brought, misfits } = exact::bring(array, column.column_type).map_err(bad_type)?;
        if misfits.is_empty() {
            return Ok(brought);
        }
        let mut is_misfit = vec![false; brought.len()];
        for (row, found_kind) in misfits {
            is_misfit[row] = true;
            let errors = bad.entry(row).or_default();
            if errors.len() < REJECTED_CELLS_MAX {
                errors.push(SourceError::BadValue {
                    file: self.table.clone(),
                    line: rows_before + row as u64 + 1,
                    column: column.name.clone(),
                    expected: column.column_type,
                    found_kind,
                    found_length: 0,
                });
            }
        }
        nullif(&brought, &BooleanArray::from(is_misfit)).map_err(bad_type)
    }

    fn bad_type(&self, column: &ColumnView, found: &str) -> SourceError {
        SourceError::BadType { file: self.table.clone(), column: column.name.to_string(), found: found.to_owned() }
    }
}

/// The engine's type of a table's type. A decimal that is wider than the engine's is none of its.
fn column_type_of(data_type: &DataType) -> Option<ColumnType> {
    ColumnType::of_arrow(data_type)
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

    fn wanted(schema: &SchemaView, ignores_added: bool) -> Wanted<'_> {
        Wanted { schema, ignores_added, key: &[] }
    }

    fn bring(array: ArrayRef, column_type: ColumnType) -> TableBatch {
        let schema = Schema::new(vec![Field::new("a", array.data_type().clone(), true)]);
        let view = view(&[("a", column_type)]);
        let typing = Typing::between("t", &schema, wanted(&view, false)).unwrap();
        let rows = array.len();
        typing.bring(&[array], rows, 10, BadRows::new()).unwrap()
    }

    /// The rows that do not fit, as they are numbered.
    fn lines(batch: &TableBatch) -> Vec<u64> {
        let line = |errors: &Vec<SourceError>| match errors.as_slice() {
            [SourceError::BadValue { line, .. }] => *line,
            other => panic!("{other:?}"),
        };
        batch.bad().iter().map(line).collect()
    }

    #[test]
    fn a_row_with_a_value_that_would_change_is_left_out_and_told() {
        let decimal = ColumnType::Decimal { precision: 38, scale: 6 };
        let fine = Decimal128Array::from(vec![Some(15), None]).with_precision_and_scale(5, 1).unwrap();
        assert!(lines(&bring(Arc::new(fine), decimal)).is_empty());
        let cut = Decimal128Array::from(vec![Some(10_000_000), Some(1)]).with_precision_and_scale(20, 7).unwrap();
        let cut = bring(Arc::new(cut), decimal);
        assert_eq!((lines(&cut), cut.rows().num_rows()), (vec![12], 1));
        assert!(cut.others().unwrap().column(0).is_null(0));
        let large = Int64Array::from(vec![(1_i64 << 53) + 1]);
        assert_eq!(lines(&bring(Arc::new(large), ColumnType::Float)), [11]);
        let odd = TimestampNanosecondArray::from(vec![1_500]);
        assert_eq!(lines(&bring(Arc::new(odd), ColumnType::LocalTimestamp)), [11]);
        assert_eq!(lines(&bring(Arc::new(Float64Array::from(vec![f64::NAN, 0.1])), ColumnType::Float)), [11]);
        assert!(lines(&bring(Arc::new(Float64Array::from(vec![0.1])), decimal)).is_empty());
    }

    #[test]
    fn rows_that_are_bad_already_stay_so_and_cells_are_bounded() {
        const COLUMNS: usize = REJECTED_CELLS_MAX + 5;
        let names: Vec<String> = (0..COLUMNS).map(|number| format!("c{number}")).collect();
        let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Float64, true)).collect();
        let columns: Vec<_> = names.iter().map(|name| (name.as_str(), ColumnType::Float)).collect();
        let view = view(&columns);
        let typing = Typing::between("t", &Schema::new(fields), wanted(&view, false)).unwrap();
        let values: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, 1.0, 2.0]));
        let arrays = vec![values; COLUMNS];
        let known = BadRows::from([(2, vec![SourceError::NoColumns { file: "t".to_owned() }])]);
        let batch = typing.bring(&arrays, 3, 0, known).unwrap();
        assert_eq!(batch.rows().num_rows(), 1);
        assert_eq!(batch.bad().iter().map(Vec::len).collect::<Vec<_>>(), [REJECTED_CELLS_MAX, 1]);
    }

    #[test]
    fn what_differs_without_harm_is_told_too() {
        let found = Schema::new(vec![
            Field::new("new", DataType::Utf8, true),
            Field::new("b", DataType::Int64, true),
            Field::new("a", DataType::Int64, true),
        ]);
        let view = view(&[("a", ColumnType::Integer), ("b", ColumnType::Integer)]);
        let typing = Typing::between("t", &found, wanted(&view, true)).unwrap();
        assert_eq!(typing.drift().added, ["new"]);
        assert!(typing.drift().reordered && typing.drift().missing.is_empty());
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
        let other = view(&[("a", ColumnType::Boolean), ("b", ColumnType::Text)]);
        let error = Typing::between("t", &found, wanted(&other, false)).unwrap_err();
        let SourceError::Drift { drift, .. } = error else { panic!("{error}") };
        assert_eq!(drift.missing, ["b"]);
        assert_eq!(drift.added, ["t", "Odd Name", "n"]);
        assert_eq!(drift.changed.len(), 1);
        let nested = view(&[("n", ColumnType::Text)]);
        let error = Typing::between("t", &found, wanted(&nested, true)).unwrap_err();
        assert!(matches!(error, SourceError::BadType { .. }), "{error}");
    }
}
