//! Masks: the functions that bring a column to a precision. They are total: no value makes them fail, so that they
//! can't tell of a value by failing, and a value that can't be coarsened becomes a missing one.

mod pseudonym;

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::internal_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use lingqu_domain::scope::Precision;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use pseudonym::Pseudonyms;

const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// The keys of pseudonyms: within one key the same value has the same pseudonym, across keys nothing can be joined.
#[derive(Clone, Default)]
pub struct PseudonymKeys {
    /// The permit's key.
    pub permit: Option<[u8; 32]>,
    /// The consumer's key.
    pub consumer: Option<[u8; 32]>,
    /// The order's key.
    pub order: Option<[u8; 32]>,
}

impl fmt::Debug for PseudonymKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PseudonymKeys")
    }
}

/// A mask for a column of one type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mask {
    kind: MaskKind,
    output: DataType,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum MaskKind {
    Month,
    Year,
    County,
    City,
    RoundedInteger(i64),
    /// The step as text, since floats have no equality.
    RoundedFloat(String),
    RoundedDecimal(i128),
    Pseudonym(Pseudonyms),
}

/// Why a column can't be brought to a precision.
pub(crate) enum MaskUnfit {
    /// The column's type has no such precision.
    Type,
    /// The key for the pseudonym was not given.
    KeyMissing,
}

impl Mask {
    /// The mask that brings a column of a type to a precision; none for [`Precision::Exact`].
    pub(crate) fn of(
        precision: Precision,
        data_type: &DataType,
        keys: &PseudonymKeys,
    ) -> Result<Option<Mask>, MaskUnfit> {
        let is_calendar = matches!(data_type, DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _));
        let is_code = matches!(data_type, DataType::Utf8 | DataType::Int64);
        let kind = match precision {
            Precision::Exact => return Ok(None),
            Precision::Month if is_calendar => MaskKind::Month,
            Precision::Year if is_calendar => MaskKind::Year,
            Precision::County if is_code => MaskKind::County,
            Precision::City if is_code => MaskKind::City,
            Precision::Rounded(step) => rounding(step, data_type).ok_or(MaskUnfit::Type)?,
            Precision::PseudonymOfPermit => pseudonym(keys.permit)?,
            Precision::PseudonymOfConsumer => pseudonym(keys.consumer)?,
            Precision::PseudonymOfOrder => pseudonym(keys.order)?,
            _ => return Err(MaskUnfit::Type),
        };
        let output = match kind {
            MaskKind::Pseudonym(_) => DataType::Utf8,
            _ => data_type.clone(),
        };
        Ok(Some(Mask { kind, output }))
    }

    /// The type of masked values.
    pub(crate) fn output(&self) -> &DataType {
        &self.output
    }

    /// The mask as an expression over a raw column. What it keeps while it works is gone with the expression.
    pub(crate) fn expr(&self, column: Expr) -> Expr {
        let kind = match &self.kind {
            MaskKind::Pseudonym(pseudonyms) => MaskKind::Pseudonym(pseudonyms.keeping()),
            other => other.clone(),
        };
        let mask = Mask { kind, output: self.output.clone() };
        let function = MaskFunction { mask, signature: Signature::any(1, Volatility::Immutable) };
        ScalarUDF::new_from_impl(function).call(vec![column])
    }

    /// The masked values.
    pub(crate) fn apply(&self, values: &ArrayRef) -> DataFusionResult<ArrayRef> {
        Ok(match (&self.kind, values.data_type()) {
            (MaskKind::Month | MaskKind::Year, DataType::Date32) => {
                let is_year = self.kind == MaskKind::Year;
                let cut: Date32Array = values
                    .as_primitive::<Date32Type>()
                    .unary_opt(|days| i32::try_from(first_day(i64::from(days), is_year)).ok());
                Arc::new(cut)
            }
            (MaskKind::Month | MaskKind::Year, DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
                let is_year = self.kind == MaskKind::Year;
                let cut: TimestampMicrosecondArray =
                    values.as_primitive::<TimestampMicrosecondType>().unary_opt(|moment| {
                        first_day(moment.div_euclid(DAY_MICROSECONDS), is_year).checked_mul(DAY_MICROSECONDS)
                    });
                Arc::new(cut.with_timezone_opt(zone.clone()))
            }
            (MaskKind::County | MaskKind::City, DataType::Utf8) => {
                let kept = if self.kind == MaskKind::City { 4 } else { 6 };
                let mut cut = StringBuilder::with_capacity(values.len(), values.len() * 6);
                for code in values.as_string::<i32>() {
                    cut.append_option(code.and_then(|code| cut_code(code, kept)));
                }
                Arc::new(cut.finish())
            }
            (MaskKind::County | MaskKind::City, DataType::Int64) => {
                let kept = if self.kind == MaskKind::City { 4 } else { 6 };
                let cut: Int64Array = values
                    .as_primitive::<Int64Type>()
                    .unary_opt(|code| cut_code(&code.to_string(), kept).and_then(|code| code.parse().ok()));
                Arc::new(cut)
            }
            (MaskKind::RoundedInteger(step), DataType::Int64) => {
                let rounded: Int64Array = values
                    .as_primitive::<Int64Type>()
                    .unary_opt(|value| value.checked_div_euclid(*step)?.checked_mul(*step));
                Arc::new(rounded)
            }
            (MaskKind::RoundedFloat(step), DataType::Float64) => {
                let step: f64 = step.parse().unwrap_or(f64::INFINITY);
                let rounded: Float64Array = values
                    .as_primitive::<Float64Type>()
                    .unary_opt(|value| Some((value / step).floor() * step).filter(|rounded| rounded.is_finite()));
                Arc::new(rounded)
            }
            (MaskKind::RoundedDecimal(step), DataType::Decimal128(precision, scale)) => {
                let bound = 10_i128.pow(u32::from(*precision));
                let rounded: Decimal128Array = values
                    .as_primitive::<Decimal128Type>()
                    .unary_opt(|value| rounded_down(value, *step).filter(|rounded| rounded.abs() < bound));
                Arc::new(rounded.with_precision_and_scale(*precision, *scale)?)
            }
            (MaskKind::Pseudonym(pseudonyms), _) => pseudonyms.of(values)?,
            (kind, data_type) => return internal_err!("mask {kind:?} was made for another type than {data_type}"),
        })
    }
}

fn rounding(step: Decimal, data_type: &DataType) -> Option<MaskKind> {
    if step <= Decimal::ZERO {
        return None;
    }
    match data_type {
        DataType::Int64 if step.fract().is_zero() => step.to_i64().map(MaskKind::RoundedInteger),
        DataType::Float64 => Some(MaskKind::RoundedFloat(step.to_string())),
        DataType::Decimal128(_, scale) => {
            let step = step.normalize();
            let missing = u32::try_from(*scale).ok()?.checked_sub(step.scale())?;
            step.mantissa().checked_mul(10_i128.checked_pow(missing)?).map(MaskKind::RoundedDecimal)
        }
        _ => None,
    }
}

fn pseudonym(key: Option<[u8; 32]>) -> Result<MaskKind, MaskUnfit> {
    key.map(|key| MaskKind::Pseudonym(Pseudonyms::new(key))).ok_or(MaskUnfit::KeyMissing)
}

/// The largest multiple of the step that is not above a value. Down and not to the nearest: then what a coarser step shows
/// follows from what a finer step of the same chain shows, so a child never tells anything that its parent does not.
fn rounded_down(value: i128, step: i128) -> Option<i128> {
    value.div_euclid(step).checked_mul(step)
}

/// A division code cut to its first digits and filled with zeros to six. Codes of townships and villages have 9 or 12
/// digits. What is not a code has no coarser form here and becomes missing.
fn cut_code(code: &str, kept: usize) -> Option<String> {
    let is_code = code.len() >= 2 && code.len() <= 12 && code.bytes().all(|byte| byte.is_ascii_digit());
    if !is_code {
        return None;
    }
    let kept = &code[..kept.min(code.len())];
    Some(format!("{kept:0<6}"))
}

/// The first day of the month or year that a day (counted from 1970-01-01) lies in. The calendar arithmetic is that of
/// H. Hinnant, “chrono-compatible low-level date algorithms”, which counts years from March so that leap days come last.
fn first_day(days: i64, of_year: bool) -> i64 {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    if !of_year {
        return days - (day_of_year - (153 * march_month + 2) / 5);
    }
    // January and February belong to the March-based year before; their civil year began 306 days into it.
    if march_month >= 10 {
        days - (day_of_year - 306)
    } else {
        let march_year = year_of_era + era * 400;
        let is_leap = march_year % 4 == 0 && (march_year % 100 != 0 || march_year % 400 == 0);
        days - day_of_year - if is_leap { 60 } else { 59 }
    }
}

/// A mask inside a plan.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MaskFunction {
    mask: Mask,
    signature: Signature,
}

impl ScalarUDFImpl for MaskFunction {
    fn name(&self) -> &'static str {
        "mask"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _argument_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.mask.output.clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let values = arguments.args[0].to_array(arguments.number_rows)?;
        Ok(ColumnarValue::Array(self.mask.apply(&values)?))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    fn mask(precision: &str, data_type: &DataType) -> Mask {
        let keys = PseudonymKeys { permit: Some([1; 32]), consumer: Some([2; 32]), order: Some([3; 32]) };
        let precision = precision.parse().expect("a precision");
        match Mask::of(precision, data_type, &keys) {
            Ok(Some(mask)) => mask,
            _ => panic!("no mask"),
        }
    }

    #[test]
    fn calendar_masks_agree_with_the_calendar() {
        for days in (-800_000_i32..800_000).step_by(17) {
            let epoch = jiff::civil::date(1970, 1, 1);
            let date = epoch.checked_add(jiff::Span::new().days(i64::from(days))).expect("in range");
            let month = i64::from(days) - i64::from(date.day()) + 1;
            let year = i64::from(days) - i64::from(date.day_of_year()) + 1;
            assert_eq!(first_day(i64::from(days), false), month, "{date}");
            assert_eq!(first_day(i64::from(days), true), year, "{date}");
        }
    }

    #[test]
    fn codes_are_cut_and_what_is_no_code_is_hidden() {
        let codes: ArrayRef =
            Arc::new(StringArray::from(vec![Some("450102001001"), Some("4501"), Some("45"), Some("南宁"), None]));
        let county = mask("county", &DataType::Utf8).apply(&codes).expect("total");
        let expected = vec![Some("450102"), Some("450100"), Some("450000"), None, None];
        assert_eq!(county.as_string::<i32>(), &StringArray::from(expected));
        let city = mask("city", &DataType::Utf8).apply(&codes).expect("total");
        assert_eq!(city.as_string::<i32>().value(0), "450100");
    }

    #[test]
    fn numbers_are_rounded_down_to_a_multiple_of_the_step() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![4, 5, -5, -4, i64::MAX]));
        let rounded = mask("rounded:10", &DataType::Int64).apply(&numbers).expect("total");
        assert_eq!(rounded.as_primitive::<Int64Type>(), &Int64Array::from(vec![0, 0, -10, -10, i64::MAX - 7]));
        let amounts: ArrayRef = Arc::new(
            Decimal128Array::from(vec![1_249, 1_250, 9_999]).with_precision_and_scale(4, 2).expect("a decimal type"),
        );
        let rounded = mask("rounded:0.5", &DataType::Decimal128(4, 2)).apply(&amounts).expect("total");
        let values: Vec<_> = rounded.as_primitive::<Decimal128Type>().iter().collect();
        assert_eq!(values, vec![Some(1_200), Some(1_250), Some(9_950)]);
    }

    #[test]
    fn a_coarser_step_tells_nothing_that_a_finer_one_of_its_chain_does_not() {
        let numbers: ArrayRef = Arc::new(Int64Array::from((-100..100).collect::<Vec<i64>>()));
        let fine = mask("rounded:10", &DataType::Int64).apply(&numbers).expect("total");
        let coarse = mask("rounded:20", &DataType::Int64).apply(&numbers).expect("total");
        let coarse_of_fine = mask("rounded:20", &DataType::Int64).apply(&fine).expect("total");
        assert_eq!(coarse.as_primitive::<Int64Type>(), coarse_of_fine.as_primitive::<Int64Type>());
    }

    #[test]
    fn pseudonyms_are_stable_within_a_key_and_differ_across_keys() {
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
        let permit = mask("pseudonym:permit", &DataType::Utf8).apply(&names).expect("total");
        let order = mask("pseudonym:order", &DataType::Utf8).apply(&names).expect("total");
        let (permit, order) = (permit.as_string::<i32>(), order.as_string::<i32>());
        assert_eq!(permit.value(0), permit.value(2));
        assert_ne!(permit.value(0), permit.value(1));
        assert_ne!(permit.value(0), order.value(0));
        assert_eq!(permit.value(0).len(), pseudonym::PSEUDONYM_BYTES);
    }
}
