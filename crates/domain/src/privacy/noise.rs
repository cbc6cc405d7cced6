//! What a product declares of statistics with noise (加噪统计): how much an answer costs, how much one subject can weigh in
//! it, and which groups and values there may be. All of it is public and chosen without looking at the data: what is
//! drawn from the data, such as the groups that occur or the largest value, would tell of it past any noise.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Rho;
use crate::decide::Deciding;
use crate::predicate::Literal;
use crate::product::{ProductDetails, subject_is_as_it_stands};
use crate::refusal::Refusal;
use crate::resource::DataType;
use crate::scope::ColumnName;

/// Most rows of one subject that an answer may use. Noise grows with it.
pub const ROWS_PER_SUBJECT_MAX: u32 = 1_000;
/// Most measured columns.
pub const MEASURES_MAX: usize = 32;
/// Most candidates for a quantile of one column.
pub const CANDIDATES_MAX: usize = 1_000;
/// Most values of one dimension.
pub const DOMAIN_VALUES_MAX: usize = 1_000;
/// Most steps that a bound may lie from zero, so that sums over any number of rows that fits on disk stay exact.
pub const UNITS_MAX: i64 = 1_000_000_000;

/// Longest text of a dimension's value, in characters.
const VALUE_CHARS_MAX: usize = 200;
/// Most decimals of a bound or step.
const DECIMALS_MAX: u32 = 9;
/// The largest bound or step.
const VALUE_MAX: i64 = 1_000_000_000_000;

/// How statistics of a product are given with noise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NoiseRules {
    /// What each new answer costs: ρ of zero-concentrated differential privacy.
    pub rho: Rho,
    /// Most rows of one subject that an answer uses; of more, some are chosen by a key. 1 where the product names no subject:
    /// then each row stands for itself.
    pub rows_per_subject_max: u32,
    /// The columns that may be measured, with their bounds.
    #[serde(default)]
    pub measures: BTreeMap<ColumnName, MeasureBounds>,
    /// The values of each dimension by which may be grouped. Rows with another value, or none, are in no group.
    #[serde(default)]
    pub domains: BTreeMap<ColumnName, Vec<Literal>>,
}

/// The bounds of a measured column. Values beyond are taken for the bound; values between two steps for the nearer one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MeasureBounds {
    /// The smallest value, a multiple of the step.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub lower: Decimal,
    /// The largest value, a multiple of the step.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub upper: Decimal,
    /// The step: values are counted in multiples of it, so that all arithmetic is of whole numbers.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub step: Decimal,
    /// The values of which a quantile is one, multiples of the step, ascending; none: no quantiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub candidates: Vec<Decimal>,
}

impl MeasureBounds {
    /// A value in steps; none when it is no multiple of the step, or further than [`UNITS_MAX`] steps from zero.
    pub fn in_units(&self, value: Decimal) -> Option<i64> {
        let (value, step) = (billionths(value)?, billionths(self.step)?);
        if step <= 0 || value % step != 0 {
            return None;
        }
        i64::try_from(value / step).ok().filter(|units| units.abs() <= UNITS_MAX)
    }

    /// Lower and upper bound in steps. None when they are not what [`check`] lets through.
    pub fn units(&self) -> Option<(i64, i64)> {
        let (lower, upper) = (self.in_units(self.lower)?, self.in_units(self.upper)?);
        (lower < upper).then_some((lower, upper))
    }

    /// The candidates in steps, strictly ascending and within the bounds. None when they are not what [`check`] lets through.
    pub fn candidate_units(&self) -> Option<Vec<i64>> {
        let (lower, upper) = self.units()?;
        let units: Option<Vec<i64>> = self.candidates.iter().map(|candidate| self.in_units(*candidate)).collect();
        let units = units?;
        let is_ascending = units.windows(2).all(|pair| pair[0] < pair[1]);
        let is_within = units.iter().all(|candidate| (lower..=upper).contains(candidate));
        (is_ascending && is_within).then_some(units)
    }
}

/// A decimal as a whole number of its ninth decimal. None where it is finer, or beyond [`VALUE_MAX`].
fn billionths(value: Decimal) -> Option<i128> {
    let value = value.normalize();
    if value.scale() > DECIMALS_MAX || value.abs() > Decimal::from(VALUE_MAX) {
        return None;
    }
    value.mantissa().checked_mul(10_i128.pow(DECIMALS_MAX - value.scale()))
}

/// Checks the noise rules of a product that is drafted. Errors: `invalid`, with what to mend.
pub(crate) fn check(deciding: &mut Deciding<'_>, details: &ProductDetails) -> Result<(), Refusal> {
    let Some(noise) = &details.noise else { return Ok(()) };
    check_shape(deciding, details)?;
    if noise.rho.is_zero() {
        return Err(refused("rho 须大于 0", "rho is more than 0"));
    }
    if !(1..=ROWS_PER_SUBJECT_MAX).contains(&noise.rows_per_subject_max) {
        return Err(refused(
            &format!("rows_per_subject_max 须为 1 至 {ROWS_PER_SUBJECT_MAX}"),
            &format!("rows_per_subject_max is 1 to {ROWS_PER_SUBJECT_MAX}"),
        ));
    }
    if details.subject.is_none() && noise.rows_per_subject_max != 1 {
        return Err(refused(
            "未指明主体字段时每行各为一个单位，rows_per_subject_max 须为 1",
            "without a subject column each row stands for itself; rows_per_subject_max is 1 then",
        ));
    }
    check_measures(details, noise)?;
    check_domains(details, noise)
}

/// What the guarantee is about are the subjects of the resource. It reaches through a product only where a row of the
/// product is made of one row of one resource, and names that row's subject.
fn check_shape(deciding: &mut Deciding<'_>, details: &ProductDetails) -> Result<(), Refusal> {
    if !details.shape.row_by_row || details.inputs.len() != 1 {
        return Err(refused(
            "加噪统计的产品须由一项资源逐行得出（只用选列、计算列和行筛选，不用连接、汇总、去重、窗口、子查询和 LIMIT）",
            "a product with noise is made of one resource row by row: columns, computed columns and row filters, without joins, aggregates, DISTINCT, windows, subqueries and LIMIT",
        ));
    }
    if !details.further_subjects.is_empty() {
        return Err(refused(
            "加噪统计的产品每行只能涉及一个主体，不得列 further_subjects",
            "a row of a product with noise is about one subject; it names no further_subjects",
        ));
    }
    for resource in details.inputs.keys() {
        if deciding.resource(resource)?.details.subject.is_some() && !subject_is_as_it_stands(deciding, details)? {
            return Err(refused(
                "该资源有主体字段，加噪统计的产品须以其（未经计算）作为主体字段",
                "the resource names its subjects: a product with noise names as its subject an output column that is the resource's subject column as it stands",
            ));
        }
    }
    Ok(())
}

fn check_measures(details: &ProductDetails, noise: &NoiseRules) -> Result<(), Refusal> {
    if noise.measures.len() > MEASURES_MAX {
        return Err(refused(
            &format!("度量字段不超过 {MEASURES_MAX} 个"),
            &format!("at most {MEASURES_MAX} measured columns"),
        ));
    }
    for (name, bounds) in &noise.measures {
        let is_number =
            matches!(data_type(details, name), Some(DataType::Integer | DataType::Float | DataType::Decimal));
        if !is_number {
            return Err(refused(
                &format!("度量字段 {name} 不是产品的数值输出列"),
                &format!("the measured column {name} is not a numeric output column of the product"),
            ));
        }
        if bounds.units().is_none() {
            return Err(refused(
                &format!(
                    "{name} 的 lower 须小于 upper，二者为 step 的整数倍且不超过 {UNITS_MAX} 倍，step 大于 0，至多 {DECIMALS_MAX} 位小数"
                ),
                &format!(
                    "of {name}, lower is below upper, both are whole multiples of step and at most {UNITS_MAX} times as large, step is above 0, all with at most {DECIMALS_MAX} decimals"
                ),
            ));
        }
        if bounds.candidates.len() > CANDIDATES_MAX || bounds.candidate_units().is_none() {
            return Err(refused(
                &format!("{name} 的 candidates 须为上下限之间 step 的整数倍，由小到大，不超过 {CANDIDATES_MAX} 个"),
                &format!(
                    "the candidates of {name} are multiples of step within the bounds, ascending, at most {CANDIDATES_MAX}"
                ),
            ));
        }
    }
    Ok(())
}

fn check_domains(details: &ProductDetails, noise: &NoiseRules) -> Result<(), Refusal> {
    for (name, values) in &noise.domains {
        if !details.dimensions.contains(name) {
            return Err(refused(
                &format!("{name} 不是产品的统计维度"),
                &format!("{name} is not a dimension of the product"),
            ));
        }
        let distinct: BTreeSet<&Literal> = values.iter().collect();
        if values.is_empty() || values.len() > DOMAIN_VALUES_MAX || distinct.len() != values.len() {
            return Err(refused(
                &format!("维度 {name} 的取值须为 1 至 {DOMAIN_VALUES_MAX} 个，不得重复"),
                &format!("the dimension {name} has 1 to {DOMAIN_VALUES_MAX} values, each once"),
            ));
        }
        if !values.iter().all(|value| fits(value, data_type(details, name))) {
            return Err(refused(
                &format!("维度 {name} 的取值须与字段类型一致，文本不超过 {VALUE_CHARS_MAX} 字，不支持小数"),
                &format!(
                    "the values of the dimension {name} are of its column's type, texts have at most {VALUE_CHARS_MAX} characters, and decimal columns have no values"
                ),
            ));
        }
    }
    Ok(())
}

fn data_type(details: &ProductDetails, name: &ColumnName) -> Option<DataType> {
    details.shape.columns.iter().find(|column| column.name == *name).map(|column| column.data_type)
}

/// Whether a literal is a value of a column. A mask may turn the values into text (pseudonyms, divisions), so text fits
/// where the column is text; where it does not fit what is shown in the end, the engine refuses the grouping.
fn fits(value: &Literal, data_type: Option<DataType>) -> bool {
    match (value, data_type) {
        (Literal::Text(text), Some(DataType::Text)) => text.chars().count() <= VALUE_CHARS_MAX,
        (Literal::Integer(_), Some(DataType::Integer))
        | (Literal::Boolean(_), Some(DataType::Boolean))
        | (Literal::Date(_), Some(DataType::Date)) => true,
        _ => false,
    }
}

fn refused(zh: &str, en: &str) -> Refusal {
    Refusal::invalid("noise", zh, en)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(lower: &str, upper: &str, step: &str, candidates: &[&str]) -> MeasureBounds {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        MeasureBounds {
            lower: decimal(lower),
            upper: decimal(upper),
            step: decimal(step),
            candidates: candidates.iter().map(|text| decimal(text)).collect(),
        }
    }

    #[test]
    fn bounds_are_whole_numbers_of_steps() {
        assert_eq!(bounds("0", "120", "1", &[]).units(), Some((0, 120)));
        assert_eq!(bounds("-0.50", "10", "0.05", &[]).units(), Some((-10, 200)));
        assert_eq!(bounds("0", "1000000000", "1", &[]).units(), Some((0, UNITS_MAX)));
        for (lower, upper, step) in [
            ("0", "0", "1"),
            ("1", "0", "1"),
            ("0", "1", "0"),
            ("0", "1", "-1"),
            ("0.5", "1", "1"),
            ("0", "1000000001", "1"),
            ("-1000000001", "0", "1"),
            ("0", "1", "0.0000000001"),
            ("0", "79228162514264337593543950335", "1"),
        ] {
            assert_eq!(bounds(lower, upper, step, &[]).units(), None, "{lower} {upper} {step}");
        }
    }

    #[test]
    fn candidates_ascend_within_the_bounds() {
        assert_eq!(bounds("0", "10", "0.5", &["0", "2.5", "10"]).candidate_units(), Some(vec![0, 5, 20]));
        assert_eq!(bounds("0", "10", "1", &[]).candidate_units(), Some(Vec::new()));
        for candidates in [&["1", "1"][..], &["2", "1"], &["11"], &["-1"], &["0.5"]] {
            assert_eq!(bounds("0", "10", "1", candidates).candidate_units(), None, "{candidates:?}");
        }
    }
}
