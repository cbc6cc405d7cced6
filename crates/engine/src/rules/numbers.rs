//! Decimals beside floating-point numbers: a number that is written out is the decimal that it says, and what is computed or stored
//! as a float is compared as a float, as PostgreSQL does.
//!
//! The planner reads `1234567.89` as a float, and DataFusion (55.2) compares a decimal with a float by making decimals of fifteen
//! places of both. The float next to 1234567.89 is 1234567.889999999795200 then, and `amount = 1234567.89` finds nothing. Nor is
//! such a condition pushed down, since the column is converted; and a float that has no room as a decimal fails the statement.
//!
//! So before types are brought together a constant beside decimals is written as a decimal of their own type. Its value is that of
//! its shortest text, and of `0.06 + 0.01` the sum of the two texts. Where it has more places than the decimals an order takes the
//! next that they have: `amount >= 9.995` is `amount >= 10.00`. Where it has no place among them, and beside every float that is no
//! constant, the decimals are compared as floats. Of a constant that is exact as well: no decimal rounds to a float whose shortest
//! text has more places than the decimal.
//!
//! What COALESCE, GREATEST, LEAST, NULLIF and the branches of CASE give is brought together in the same way, but loses no digit for a
//! constant: decimals of a wider type are made of both, and where there is no room for that DataFusion's way stays.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::{InList, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::expr_schema::cast_subquery;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Expr, ExprSchemable, Join, LogicalPlan, Operator, cast, lit,
};
use datafusion::optimizer::AnalyzerRule;

use super::fallible::is_logical;

/// Functions that bring their arguments to one type.
const ALIKE: [&str; 4] = ["coalesce", "greatest", "least", "nullif"];
/// Most digits of a decimal.
const DIGITS_MAX: i32 = DECIMAL128_MAX_PRECISION as i32;

/// The rule, which comes before the one that brings types together.
#[derive(Debug)]
pub(super) struct Numbers;

impl AnalyzerRule for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        let mut is_changed = false;
        let written = plan.transform_up_with_subqueries(|node| {
            let node = in_node(node)?;
            is_changed |= node.transformed;
            // A column may have another type than before.
            if is_changed { node.map_data(LogicalPlan::recompute_schema) } else { Ok(node) }
        });
        written.data()
    }
}

fn in_node(node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    let schema = merge_schema(&node.inputs());
    let names = NamePreserver::new(&node);
    let written = node.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|part| in_part(part, &schema))?.update_data(|expr| name.restore(expr)))
    })?;
    Ok(match written.data {
        LogicalPlan::Join(mut join) => {
            let is_changed = in_keys(&mut join) || written.transformed;
            Transformed::new_transformed(LogicalPlan::Join(join), is_changed)
        }
        data => Transformed::new_transformed(data, written.transformed),
    })
}

/// The keys of USING and of INTERSECT and EXCEPT, which stand in pairs.
fn in_keys(join: &mut Join) -> bool {
    let mut is_changed = false;
    for (left, right) in &mut join.on {
        if let (Ok(one), Ok(other)) = (left.get_type(join.left.schema()), right.get_type(join.right.schema())) {
            is_changed |= together(&mut [left, right], &[one, other], Use::Compared);
        }
    }
    is_changed
}

fn in_part(mut part: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    let is_changed = match &mut part {
        Expr::BinaryExpr(binary) if is_logical(binary.op) => compared(binary, schema),
        Expr::Between(between) => within(between, schema),
        Expr::InList(list) => among(list, schema),
        Expr::InSubquery(asked) => among_rows(asked, schema)?,
        Expr::Case(case) => branched(case, schema),
        Expr::ScalarFunction(call) if ALIKE.contains(&call.name()) => {
            alike(call.args.iter_mut().collect(), schema, Use::Given)
        }
        _ => false,
    };
    Ok(Transformed::new_transformed(part, is_changed))
}

fn compared(binary: &mut BinaryExpr, schema: &DFSchema) -> bool {
    let BinaryExpr { left, op, right } = binary;
    // Nothing of AND and OR is a number.
    if matches!(op, Operator::And | Operator::Or) {
        return false;
    }
    let Some(types) = types_of([&**left, &**right], schema) else { return false };
    let rounding = match op {
        Operator::Lt | Operator::GtEq => Rounding::Up,
        Operator::LtEq | Operator::Gt => Rounding::Down,
        _ => Rounding::None,
    };
    for (constant, of, beside, rounding) in
        [(&mut *right, &types[1], &types[0], rounding), (&mut *left, &types[0], &types[1], rounding.opposite())]
    {
        if of.is_floating()
            && let Some(placed) = Exact::read(constant).and_then(|exact| exact.among(beside, rounding))
        {
            **constant = placed;
            return true;
        }
    }
    together(&mut [&mut **left, &mut **right], &types, Use::Compared)
}

fn within(between: &mut Between, schema: &DFSchema) -> bool {
    let Between { expr, low, high, .. } = between;
    let Some(types) = types_of([&**expr, &**low, &**high], schema) else { return false };
    let placed = |bound: &Expr, of: &DataType, rounding| {
        if of.is_floating() { Exact::read(bound)?.among(&types[0], rounding) } else { Some(bound.clone()) }
    };
    let is_mixed = matches!(types[0], DataType::Decimal128(..)) && types.iter().any(DataType::is_floating);
    match (is_mixed, placed(low, &types[1], Rounding::Up), placed(high, &types[2], Rounding::Down)) {
        (true, Some(lowest), Some(highest)) => {
            (**low, **high) = (lowest, highest);
            true
        }
        _ => together(&mut [&mut **expr, &mut **low, &mut **high], &types, Use::Compared),
    }
}

fn among(list: &mut InList, schema: &DFSchema) -> bool {
    let Some(types) = types_of(std::iter::once(&*list.expr).chain(&list.list), schema) else { return false };
    // What equals no decimal of the type says nothing, if something else is in the list.
    let can_equal = |(of, item): (&DataType, &Expr)| match Exact::read(item) {
        Some(exact) if of.is_floating() => exact.among(&types[0], Rounding::None).is_some(),
        _ => true,
    };
    let mut is_changed = false;
    if matches!(types[0], DataType::Decimal128(..)) {
        let kept: Vec<bool> = types[1..].iter().zip(&list.list).map(can_equal).collect();
        if kept.contains(&true) && kept.contains(&false) {
            let mut kept = kept.into_iter();
            list.list.retain(|_| kept.next().unwrap_or(true));
            is_changed = true;
        }
    }
    let operands = std::iter::once(&mut *list.expr).chain(&mut list.list).collect();
    alike(operands, schema, Use::Compared) || is_changed
}

fn among_rows(asked: &mut InSubquery, schema: &DFSchema) -> DataFusionResult<bool> {
    let Ok(of) = asked.expr.get_type(schema) else { return Ok(false) };
    let rows = asked.subquery.subquery.schema().field(0).data_type().clone();
    match (&of, &rows) {
        (DataType::Decimal128(..), rows) if rows.is_floating() => as_float(&mut asked.expr),
        (of, DataType::Decimal128(..)) if of.is_floating() => {
            match Exact::read(&asked.expr).and_then(|exact| exact.among(&rows, Rounding::None)) {
                Some(placed) => *asked.expr = placed,
                None => asked.subquery = cast_subquery(asked.subquery.clone(), &DataType::Float64)?,
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn branched(case: &mut Case, schema: &DFSchema) -> bool {
    let (mut asked, mut given): (Vec<&mut Expr>, Vec<&mut Expr>) = (Vec::new(), Vec::new());
    for (when, then) in &mut case.when_then_expr {
        asked.push(when);
        given.push(then);
    }
    given.extend(case.else_expr.as_deref_mut());
    let is_given = alike(given, schema, Use::Given);
    match case.expr.as_deref_mut() {
        Some(base) => {
            asked.push(base);
            alike(asked, schema, Use::Compared) || is_given
        }
        None => is_given,
    }
}

/// The types of expressions. None where one is not known yet.
fn types_of<'a>(operands: impl IntoIterator<Item = &'a Expr>, schema: &DFSchema) -> Option<Vec<DataType>> {
    operands.into_iter().map(|operand| operand.get_type(schema).ok()).collect()
}

fn alike(mut operands: Vec<&mut Expr>, schema: &DFSchema, used: Use) -> bool {
    types_of(operands.iter().map(|operand| &**operand), schema)
        .is_some_and(|types| together(&mut operands, &types, used))
}

/// What becomes of operands that are brought to one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// They are compared, and nothing else.
    Compared,
    /// They are what is given.
    Given,
}

/// Brings operands together of which some are decimals and some floats. Whether any of them is another now.
fn together(operands: &mut [&mut Expr], types: &[DataType], used: Use) -> bool {
    let is_decimal = |of: &DataType| matches!(of, DataType::Decimal128(..));
    if !types.iter().any(is_decimal) || !types.iter().any(DataType::is_floating) {
        return false;
    }
    let number = |(operand, of): (&&mut Expr, &DataType)| if of.is_floating() { Exact::read(operand) } else { None };
    let numbers: Vec<Option<Exact>> = operands.iter().zip(types).map(number).collect();
    let is_computed = numbers.iter().zip(types).any(|(number, of)| of.is_floating() && number.is_none());
    if !is_computed {
        let own = types.iter().filter_map(Room::of_type);
        let room = match used {
            Use::Compared => own.reduce(Room::wider),
            Use::Given => own.chain(numbers.iter().flatten().map(Exact::room)).reduce(Room::wider),
        };
        let room = room.and_then(Room::data_type);
        let placed = |number: &Option<Exact>| number.as_ref()?.among(room.as_ref()?, Rounding::None);
        let placed: Vec<Option<Expr>> = numbers.iter().map(placed).collect();
        if placed.iter().zip(types).all(|(placed, of)| placed.is_some() || !of.is_floating()) {
            for (operand, placed) in operands.iter_mut().zip(placed) {
                if let Some(placed) = placed {
                    **operand = placed;
                }
            }
            return true;
        }
        if used == Use::Given {
            return false;
        }
    }
    for (operand, of) in operands.iter_mut().zip(types) {
        if is_decimal(of) {
            as_float(operand);
        }
    }
    true
}

fn as_float(operand: &mut Expr) {
    *operand = cast(std::mem::take(operand), DataType::Float64);
}

/// Digits before and behind the point.
#[derive(Clone, Copy, Debug)]
struct Room {
    whole: i32,
    places: i32,
}

impl Room {
    fn of_type(data_type: &DataType) -> Option<Room> {
        let DataType::Decimal128(digits, places) = data_type else { return None };
        Some(Room { whole: i32::from(*digits) - i32::from(*places), places: i32::from(*places) })
    }

    fn wider(self, other: Room) -> Room {
        Room { whole: self.whole.max(other.whole), places: self.places.max(other.places) }
    }

    fn data_type(self) -> Option<DataType> {
        let digits = self.whole + self.places;
        let is_type = (1..=DIGITS_MAX).contains(&digits);
        is_type.then_some(DataType::Decimal128(u8::try_from(digits).ok()?, i8::try_from(self.places).ok()?))
    }
}

/// What is taken of a number that has more places than there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rounding {
    /// Nothing: it must have no more.
    None,
    /// The next below.
    Down,
    /// The next above.
    Up,
}

impl Rounding {
    fn opposite(self) -> Rounding {
        match self {
            Rounding::None => Rounding::None,
            Rounding::Down => Rounding::Up,
            Rounding::Up => Rounding::Down,
        }
    }
}

/// A number as it is written: units of a power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exact {
    units: i128,
    exponent: i32,
}

impl Exact {
    /// A number that is written out, or a sum, difference or product of such. None for what must be computed, and for one that has
    /// more digits than a decimal.
    fn read(expr: &Expr) -> Option<Exact> {
        match expr {
            Expr::Literal(ScalarValue::Float64(Some(value)), _) => Self::of_float(*value),
            Expr::Literal(ScalarValue::Int64(Some(value)), _) => Some(Exact { units: i128::from(*value), exponent: 0 }),
            Expr::Literal(ScalarValue::UInt64(Some(value)), _) => {
                Some(Exact { units: i128::from(*value), exponent: 0 })
            }
            Expr::Negative(of) => {
                let of = Self::read(of)?;
                Some(Exact { units: -of.units, ..of })
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
                Self::read(left)?.plus(Self::read(right)?)
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
                let right = Self::read(right)?;
                Self::read(left)?.plus(Exact { units: -right.units, ..right })
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Multiply, right }) => {
                let (left, right) = (Self::read(left)?, Self::read(right)?);
                Self::of(left.units.checked_mul(right.units)?, left.exponent + right.exponent)
            }
            _ => None,
        }
    }

    /// The shortest text that is read as this float again.
    fn of_float(value: f64) -> Option<Exact> {
        let text = format!("{value:e}");
        // Infinity and what is no number have no exponent.
        let (digits, exponent) = text.split_once('e')?;
        let places = digits.split_once('.').map_or(0, |(_, places)| places.len());
        let units = digits.replace('.', "").parse().ok()?;
        Self::of(units, exponent.parse::<i32>().ok()? - i32::try_from(places).ok()?)
    }

    /// Without zeros at the end, of no more digits than a decimal has.
    fn of(mut units: i128, mut exponent: i32) -> Option<Exact> {
        while units != 0 && units % 10 == 0 {
            units /= 10;
            exponent += 1;
        }
        let is_held = units.unsigned_abs() < 10_u128.pow(u32::from(DECIMAL128_MAX_PRECISION));
        is_held.then_some(Exact { units, exponent: if units == 0 { 0 } else { exponent } })
    }

    fn plus(self, other: Exact) -> Option<Exact> {
        let exponent = self.exponent.min(other.exponent);
        let (one, other) = (self.in_units_of(exponent)?, other.in_units_of(exponent)?);
        Self::of(one.checked_add(other)?, exponent)
    }

    /// In units of a smaller power of ten.
    fn in_units_of(self, exponent: i32) -> Option<i128> {
        self.units.checked_mul(power(self.exponent - exponent)?)
    }

    fn room(&self) -> Room {
        let digits = self.units.unsigned_abs().checked_ilog10().map_or(0, |power| power.cast_signed() + 1);
        Room { whole: (digits + self.exponent).max(0), places: (-self.exponent).max(0) }
    }

    /// The number as a decimal of a type. Rounded it may be the least or largest there is, where the number lies beyond and an order
    /// that rounds this way is the same of both. None for another type, and where it has no place there.
    fn among(&self, data_type: &DataType, rounding: Rounding) -> Option<Expr> {
        let DataType::Decimal128(digits, places) = data_type else { return None };
        let largest = power(i32::from(*digits))? - 1;
        let shift = self.exponent + i32::from(*places);
        let units = if shift >= 0 {
            // Beyond 128 bits is beyond every decimal.
            power(shift).and_then(|power| self.units.checked_mul(power)).unwrap_or(self.units.signum() * i128::MAX)
        } else {
            // A power of ten beyond 128 bits is larger than any number.
            let (whole, rest) = match power(-shift) {
                Some(power) => (self.units.div_euclid(power), self.units.rem_euclid(power)),
                None => (if self.units < 0 { -1 } else { 0 }, self.units.abs()),
            };
            match rounding {
                _ if rest == 0 => whole,
                Rounding::None => return None,
                Rounding::Down => whole,
                Rounding::Up => whole + 1,
            }
        };
        let placed = match rounding {
            Rounding::Down => units.min(largest),
            Rounding::Up => units.max(-largest),
            Rounding::None => units,
        };
        let has_place = placed.unsigned_abs() <= largest.unsigned_abs();
        has_place.then(|| lit(ScalarValue::Decimal128(Some(placed), *digits, *places)))
    }
}

/// A power of ten. None beyond 128 bits, and for a negative one.
fn power(exponent: i32) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

#[cfg(test)]
mod tests;
