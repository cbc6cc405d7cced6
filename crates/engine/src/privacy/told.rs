//! From noised parts to the columns that the statement asked for. What happens here sees noised numbers alone and so costs
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::internal_err;
use datafusion::error::Result as DataFusionResult;
use lingqu_domain::scope::ColumnName;

use super::question::{Output, Part, Question};
use super::units::{BILLION, UnitBounds, divided, rescaled};

const BILLION_DECIMALS: i32 = 9;

/// The aggregate's own columns, a row for each group: the groupings of the statement, then its aggregates, under the names and
/// in the types of `schema`.
pub(crate) fn batch(
    question: &Question,
    groups: &RecordBatch,
    parts: &BTreeMap<Part, Vec<i64>>,
    schema: &SchemaRef,
) -> DataFusionResult<RecordBatch> {
    let rows = groups.num_rows();
    let all = UInt64Array::from_iter_values(0..rows as u64);
    let places: BTreeMap<&String, usize> = question.groups.keys().zip(0..).collect();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for text in &question.group_texts {
        let Some(place) = places.get(text) else { return internal_err!("a grouping has no column") };
        columns.push(take(groups.column(*place).as_ref(), &all, None)?);
    }
    for output in &question.outputs {
        let wanted = schema.fields().get(columns.len()).map(|field| field.data_type());
        let Some(wanted) = wanted else { return internal_err!("an aggregate has no column") };
        columns.push(column(question, output, parts, wanted)?);
    }
    let mut cut = Vec::with_capacity(columns.len());
    for (column, field) in columns.iter().zip(schema.fields()) {
        cut.push(cast(column, field.data_type())?);
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), cut)?)
}

fn column(
    question: &Question,
    output: &Output,
    parts: &BTreeMap<Part, Vec<i64>>,
    wanted: &DataType,
) -> DataFusionResult<ArrayRef> {
    let numbers = |part: &Part| -> DataFusionResult<&Vec<i64>> {
        match parts.get(part) {
            Some(numbers) => Ok(numbers),
            None => internal_err!("a part was not measured"),
        }
    };
    let bounds = |column: &ColumnName| -> DataFusionResult<&UnitBounds> {
        match question.bounds_of(column) {
            Some(bounds) => Ok(bounds),
            None => internal_err!("a measured column has no bounds"),
        }
    };
    let billionths: Vec<Option<i128>> = match output {
        Output::Count(part) => return Ok(Arc::new(Int64Array::from(numbers(part)?.clone()))),
        Output::Steps(part, column) => {
            let step = bounds(column)?.step;
            numbers(part)?.iter().map(|units| Some(i128::from(*units).saturating_mul(step))).collect()
        }
        Output::Mean(column) => {
            let bounds = bounds(column)?;
            let sums = numbers(&Part::Sum(column.clone()))?;
            let counts = numbers(&Part::Values(column.clone()))?;
            sums.iter().zip(counts).map(|(sum, count)| mean(*sum, *count, bounds)).collect()
        }
    };
    as_type(&billionths, wanted)
}

/// A mean in billionths, within the bounds; none where the noised count says that there is nothing.
fn mean(sum: i64, count: i64, bounds: &UnitBounds) -> Option<i128> {
    if count <= 0 {
        return None;
    }
    let mean = divided(i128::from(sum).saturating_mul(bounds.step), i128::from(count));
    let (lower, upper) = (i128::from(bounds.lower) * bounds.step, i128::from(bounds.upper) * bounds.step);
    Some(mean.clamp(lower, upper))
}

fn as_type(billionths: &[Option<i128>], wanted: &DataType) -> DataFusionResult<ArrayRef> {
    Ok(match wanted {
        DataType::Int64 => Arc::new(Int64Array::from_iter(billionths.iter().map(|value| {
            value.map(|value| {
                let whole = divided(value, BILLION);
                i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX })
            })
        }))),
        #[expect(clippy::cast_precision_loss, reason = "the statement asked for a float")]
        DataType::Float64 => Arc::new(Float64Array::from_iter(
            billionths.iter().map(|value| value.map(|value| value as f64 / BILLION as f64)),
        )),
        DataType::Decimal128(precision, scale) => {
            let most = 10_i128.checked_pow(u32::from(*precision)).map_or(i128::MAX, |power| power - 1);
            let decimals = billionths.iter().map(|value| {
                value.map(|value| rescaled(value, BILLION_DECIMALS, i32::from(*scale)).clamp(-most, most))
            });
            Arc::new(Decimal128Array::from_iter(decimals).with_precision_and_scale(*precision, *scale)?)
        }
        other => return internal_err!("statistics with noise are numbers, not {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_stay_within_bounds_and_need_something_to_be_of() {
        // Steps of 0.5 from -1 to 10.
        let bounds = UnitBounds { lower: -2, upper: 20, step: BILLION / 2, candidates: Vec::new() };
        assert_eq!(mean(30, 4, &bounds), Some(3_750_000_000));
        assert_eq!(mean(-3, 4, &bounds), Some(-375_000_000));
        assert_eq!(mean(1_000, 1, &bounds), Some(10 * BILLION));
        assert_eq!(mean(i64::MIN, 1, &bounds), Some(-BILLION));
        assert_eq!((mean(30, 0, &bounds), mean(30, -5, &bounds)), (None, None));
    }

    #[test]
    fn numbers_take_the_type_that_was_asked_for() {
        let values = [Some(2_500_000_000), Some(-2_500_000_000), None, Some(i128::MAX)];
        let whole = as_type(&values, &DataType::Int64).unwrap();
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), Some(-3), None, Some(i64::MAX)]));
        assert_eq!(&whole, &expected);
        let floats = as_type(&values[..3], &DataType::Float64).unwrap();
        let expected: ArrayRef = Arc::new(Float64Array::from(vec![Some(2.5), Some(-2.5), None]));
        assert_eq!(&floats, &expected);
        let decimals = as_type(&values, &DataType::Decimal128(10, 2)).unwrap();
        let expected = Decimal128Array::from(vec![Some(250), Some(-250), None, Some(9_999_999_999)]);
        let expected: ArrayRef = Arc::new(expected.with_precision_and_scale(10, 2).unwrap());
        assert_eq!(&decimals, &expected);
    }
}
