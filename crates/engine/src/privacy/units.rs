//! Values as whole numbers of steps within bounds. Whatever stands in a row, what comes out lies within the bounds: that, and
//! nothing about the arithmetic on the way, is what the noise relies on.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::internal_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use lingqu_domain::privacy::MeasureBounds;

/// Billionths in one.
pub(crate) const BILLION: i128 = 1_000_000_000;
const BILLION_DECIMALS: u32 = 9;

/// The bounds of a measured column in steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UnitBounds {
    /// The smallest value, in steps.
    pub(crate) lower: i64,
    /// The largest value, in steps.
    pub(crate) upper: i64,
    /// The step, in billionths.
    pub(crate) step: i128,
    /// The candidates for quantiles, in steps, ascending.
    pub(crate) candidates: Vec<i64>,
}

impl UnitBounds {
    /// The bounds as a product declares them. None when they are malformed, which the domain lets no product be.
    pub(crate) fn of(bounds: &MeasureBounds) -> Option<UnitBounds> {
        let (lower, upper) = bounds.units()?;
        let step = bounds.step.normalize();
        let decimals = BILLION_DECIMALS.checked_sub(step.scale())?;
        let step = step.mantissa().checked_mul(10_i128.pow(decimals))?;
        Some(UnitBounds { lower, upper, step, candidates: bounds.candidate_units()? })
    }

    /// How far a value may be from zero, in steps: what one row can add to a sum.
    pub(crate) fn reach(&self) -> u64 {
        self.lower.unsigned_abs().max(self.upper.unsigned_abs())
    }

    /// The value of each row in steps; none where there is no value.
    pub(crate) fn units(&self, column: Expr) -> Expr {
        self.function(Purpose::Units).call(vec![column])
    }

    /// The position of each row's value among the candidates: 0 below the first, 1 equal to it, 2 between it and the next,
    /// and so on; none where there is no value.
    pub(crate) fn position(&self, column: Expr) -> Expr {
        self.function(Purpose::Position).call(vec![column])
    }

    fn function(&self, purpose: Purpose) -> ScalarUDF {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::new_from_impl(InUnits { bounds: self.clone(), purpose, signature })
    }

    /// A number of billionths in steps, to the nearest, within the bounds.
    fn of_billionths(&self, billionths: i128) -> i64 {
        let units = divided(billionths, self.step);
        // Within the bounds, which are 64 bits wide.
        units.clamp(i128::from(self.lower), i128::from(self.upper)) as i64
    }

    fn of_float(&self, value: f64) -> Option<i64> {
        if value.is_nan() {
            return None;
        }
        let units = (value / (self.step as f64 / BILLION as f64)).round();
        Some(units.clamp(self.lower as f64, self.upper as f64) as i64)
    }

    fn position_of(&self, units: i64) -> i64 {
        let below = self.candidates.partition_point(|candidate| *candidate < units);
        let is_equal = self.candidates.get(below) == Some(&units);
        (below * 2 + usize::from(is_equal)) as i64
    }
}

/// A quotient to the nearest whole number, halves away from zero. The divisor is above zero.
pub(crate) fn divided(number: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (number / divisor, number % divisor);
    if rest.unsigned_abs() >= (divisor.unsigned_abs()).div_ceil(2) { quotient + rest.signum() } else { quotient }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Purpose {
    Units,
    Position,
}

/// Total: it has a value for every row that has one.
#[derive(Debug, PartialEq, Eq, Hash)]
struct InUnits {
    bounds: UnitBounds,
    purpose: Purpose,
    signature: Signature,
}

impl ScalarUDFImpl for InUnits {
    fn name(&self) -> &'static str {
        match self.purpose {
            Purpose::Units => "privacy_units",
            Purpose::Position => "privacy_position",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _argument_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let values = arguments.args[0].to_array(arguments.number_rows)?;
        let mut units = self.units_of(&values)?;
        if self.purpose == Purpose::Position {
            units = units.iter().map(|units| units.map(|units| self.bounds.position_of(units))).collect();
        }
        Ok(ColumnarValue::Array(Arc::new(units)))
    }
}

impl InUnits {
    fn units_of(&self, values: &ArrayRef) -> DataFusionResult<Int64Array> {
        let bounds = &self.bounds;
        Ok(match values.data_type() {
            DataType::Int64 => values
                .as_primitive::<Int64Type>()
                .iter()
                .map(|value| value.map(|value| bounds.of_billionths(i128::from(value) * BILLION)))
                .collect(),
            DataType::Float64 => {
                values.as_primitive::<Float64Type>().iter().map(|value| bounds.of_float(value?)).collect()
            }
            DataType::Decimal128(_, scale) => {
                let scale = i32::from(*scale);
                values
                    .as_primitive::<Decimal128Type>()
                    .iter()
                    .map(|value| {
                        value.map(|value| bounds.of_billionths(rescaled(value, scale, BILLION_DECIMALS as i32)))
                    })
                    .collect()
            }
            other => return internal_err!("a measured column is a number, not {other}"),
        })
    }
}

/// A decimal's whole number under another count of decimals, to the nearest; cut at the ends of 128 bits.
pub(crate) fn rescaled(number: i128, scale: i32, wanted: i32) -> i128 {
    let difference = wanted - scale;
    let Some(factor) = 10_i128.checked_pow(difference.unsigned_abs()) else {
        // Beyond 38 decimals nothing is left of a number, or nothing fits.
        return if difference < 0 { 0 } else { number.signum().saturating_mul(i128::MAX) };
    };
    if difference >= 0 { number.saturating_mul(factor) } else { divided(number, factor) }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Float64Array};
    use proptest::prelude::*;

    use super::*;

    fn bounds(lower: i64, upper: i64, step: i128, candidates: &[i64]) -> UnitBounds {
        UnitBounds { lower, upper, step, candidates: candidates.to_vec() }
    }

    fn units(bounds: &UnitBounds, values: ArrayRef) -> Vec<Option<i64>> {
        let function = InUnits {
            bounds: bounds.clone(),
            purpose: Purpose::Units,
            signature: Signature::any(1, Volatility::Immutable),
        };
        function.units_of(&values).unwrap().iter().collect()
    }

    #[test]
    fn values_are_counted_in_steps_within_bounds() {
        // Half-yuan steps from -1 to 10.
        let half = bounds(-2, 20, BILLION / 2, &[]);
        let whole = units(&half, Arc::new(Int64Array::from(vec![Some(3), Some(99), Some(i64::MIN), None])));
        assert_eq!(whole, [Some(6), Some(20), Some(-2), None]);
        let floats = [0.24, 0.25, -0.25, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300];
        let floats = units(&half, Arc::new(Float64Array::from(floats.to_vec())));
        assert_eq!(floats, [Some(0), Some(1), Some(-1), Some(20), Some(-2), None, Some(20)]);
        let decimals = Decimal128Array::from(vec![Some(124), Some(125), Some(i128::MAX), None])
            .with_precision_and_scale(38, 2)
            .unwrap();
        assert_eq!(units(&half, Arc::new(decimals)), [Some(2), Some(3), Some(20), None]);
        let fine = Decimal128Array::from(vec![Some(i128::MAX), Some(1)]).with_precision_and_scale(38, 37).unwrap();
        assert_eq!(units(&half, Arc::new(fine)), [Some(20), Some(0)]);
    }

    #[test]
    fn positions_tell_gaps_from_candidates() {
        let found = bounds(0, 100, BILLION, &[10, 20]);
        let positions: Vec<i64> = [0, 10, 11, 20, 21].iter().map(|value| found.position_of(*value)).collect();
        assert_eq!(positions, [0, 1, 2, 3, 4]);
    }

    proptest! {
        /// What the noise relies on.
        #[test]
        fn nothing_lies_beyond_the_bounds(
            whole: i64, float: f64, decimal: i128, scale in -5_i8..=38, lower in -1_000_i64..0, upper in 1_i64..1_000, step in 1_i128..10_000_000_000,
        ) {
            let bounds = bounds(lower, upper, step, &[]);
            let decimals = Decimal128Array::from(vec![decimal]).with_data_type(DataType::Decimal128(38, scale));
            let arrays: [ArrayRef; 3] =
                [Arc::new(Int64Array::from(vec![whole])), Arc::new(Float64Array::from(vec![float])), Arc::new(decimals)];
            for array in arrays {
                for units in units(&bounds, array).into_iter().flatten() {
                    prop_assert!((lower..=upper).contains(&units), "{}", units);
                }
            }
        }
    }
}
