//! Keys of floating-point numbers and of moments with a time zone as whole numbers, in the same order and equal where those are.
//!
//! Joins by hashing and by sorting call the same keys equal then. DataFusion (55.2) hashes -0.0 and 0.0 as one number and any two
//! NaN as one if they have the same bits. It sorts -0.0 before 0.0, so that of two keys the second would be out of order; and where it
//! merges it panics at a NaN and refuses time zones.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use datafusion::common::internal_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::{PhysicalExpr, PhysicalExprRef};

/// A key by whose values both sides of a join can be sorted and merged, with the same rows meeting as by hashing. None where there is
/// no such key.
pub(super) fn sortable(key: &PhysicalExprRef, schema: &Schema) -> Option<PhysicalExprRef> {
    match key.data_type(schema).ok()? {
        DataType::Float32 | DataType::Float64 | DataType::Timestamp(_, Some(_)) => {
            Some(Arc::new(OrderedKey { of: Arc::clone(key) }))
        }
        DataType::Timestamp(_, None)
        | DataType::Decimal128(..)
        | DataType::Date32
        | DataType::Date64
        | DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8 => Some(Arc::clone(key)),
        kind if kind.is_integer() => Some(Arc::clone(key)),
        _ => None,
    }
}

/// A key as a whole number.
#[derive(Debug)]
struct OrderedKey {
    of: PhysicalExprRef,
}

impl PartialEq for OrderedKey {
    fn eq(&self, other: &Self) -> bool {
        self.of.as_ref() == other.of.as_ref()
    }
}

impl Eq for OrderedKey {}

impl Hash for OrderedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.of.as_ref().hash(state);
    }
}

impl fmt::Display for OrderedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ordered({})", self.of)
    }
}

impl PhysicalExpr for OrderedKey {
    fn data_type(&self, _schema: &Schema) -> DataFusionResult<DataType> {
        Ok(DataType::Int64)
    }

    fn nullable(&self, schema: &Schema) -> DataFusionResult<bool> {
        self.of.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> DataFusionResult<ColumnarValue> {
        let values = self.of.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(whole(&values)?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.of]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(of) if children.is_empty() => Ok(Arc::new(OrderedKey { of })),
            _ => internal_err!("an ordered key is of one value"),
        }
    }

    fn fmt_sql(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

fn whole(values: &ArrayRef) -> DataFusionResult<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Float64 => {
            let ordered: Int64Array = values.as_primitive::<Float64Type>().unary(ordered);
            Arc::new(ordered)
        }
        DataType::Float32 => {
            let ordered: Int64Array = values.as_primitive::<Float32Type>().unary(ordered_single);
            Arc::new(ordered)
        }
        // The number that a moment is counted by is the same in every zone.
        DataType::Timestamp(..) => cast(values, &DataType::Int64)?,
        other => return internal_err!("no ordered key is made of {other}"),
    })
}

/// The bits of a number such that their order is that of the numbers, with both zeros as one (IEEE 754, totalOrder, but for zeros).
fn ordered(number: f64) -> i64 {
    let bits = i64::from_ne_bytes(if number == 0.0 { 0.0_f64 } else { number }.to_ne_bytes());
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

fn ordered_single(number: f32) -> i64 {
    let bits = i32::from_ne_bytes(if number == 0.0 { 0.0_f32 } else { number }.to_ne_bytes());
    i64::from(if bits < 0 { bits ^ i32::MAX } else { bits })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whole_numbers_are_in_the_order_of_the_numbers_that_they_stand_for(left: f64, right: f64) {
            let same = left.partial_cmp(&right).filter(|order| order.is_eq());
            let expected = same.unwrap_or_else(|| left.total_cmp(&right));
            prop_assert_eq!(ordered(left).cmp(&ordered(right)), expected);
        }

        #[test]
        fn so_are_those_of_single_precision(left: f32, right: f32) {
            let same = left.partial_cmp(&right).filter(|order| order.is_eq());
            let expected = same.unwrap_or_else(|| left.total_cmp(&right));
            prop_assert_eq!(ordered_single(left).cmp(&ordered_single(right)), expected);
        }
    }

    #[test]
    fn zeros_are_one_and_each_nan_is_itself() {
        assert_eq!(ordered(-0.0), ordered(0.0));
        assert_eq!(ordered_single(-0.0), ordered_single(0.0));
        assert_eq!(ordered(f64::NAN), ordered(f64::NAN));
        assert_ne!(ordered(f64::NAN), ordered(-f64::NAN));
        assert!(ordered(f64::NAN) > ordered(f64::INFINITY) && ordered(-f64::NAN) < ordered(f64::NEG_INFINITY));
        assert!(ordered(f64::from_bits(1)) > ordered(0.0) && ordered(-f64::from_bits(1)) < ordered(-0.0));
    }
}
