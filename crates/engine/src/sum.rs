//! The sum of whole numbers, which does not wrap around.
//!
//! DataFusion's `sum` (55.2) adds numbers of 64 bits in 64 bits, and where they pass them the answer is another number, without a
//! word. Here they are added as decimals of 38 digits, by DataFusion's own accumulators: no table is large enough to pass these, in
//! whatever order and parts its rows come. A sum that 64 bits hold keeps its type; any other ends the query. Sums of all other types
//! are DataFusion's.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature,
};

/// What whole numbers are added as.
const WIDE: DataType = DataType::Decimal128(38, 0);

/// The aggregate function, under the name of the one in whose place it stands.
pub(crate) fn function() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(WholeSum { of_datafusion: Sum::new() }))
}

/// What it does not do of what DataFusion's does: it is not computed from another sum and a count (`sum(a + 1)` from `sum(a)`), where
/// whole numbers wrap around and a count must fit into the digits of the constant, nor from statistics.
#[derive(Debug, PartialEq, Eq, Hash)]
struct WholeSum {
    of_datafusion: Sum,
}

impl AggregateUDFImpl for WholeSum {
    fn name(&self) -> &str {
        self.of_datafusion.name()
    }

    fn signature(&self) -> &Signature {
        self.of_datafusion.signature()
    }

    fn return_type(&self, argument_types: &[DataType]) -> DataFusionResult<DataType> {
        self.of_datafusion.return_type(argument_types)
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> DataFusionResult<Box<dyn Accumulator>> {
        let Some(whole) = Whole::of(arguments.return_type()) else { return self.of_datafusion.accumulator(arguments) };
        let wide = self.of_datafusion.accumulator(widely(arguments))?;
        Ok(Box::new(Narrowed { wide, whole }))
    }

    fn create_sliding_accumulator(&self, arguments: AccumulatorArgs) -> DataFusionResult<Box<dyn Accumulator>> {
        let Some(whole) = Whole::of(arguments.return_type()) else {
            return self.of_datafusion.create_sliding_accumulator(arguments);
        };
        let wide: Box<dyn Accumulator> = match arguments.is_distinct {
            true => Box::new(SlidingDistinct::default()),
            false => self.of_datafusion.create_sliding_accumulator(widely(arguments))?,
        };
        Ok(Box::new(Narrowed { wide, whole }))
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        self.of_datafusion.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        let Some(whole) = Whole::of(arguments.return_type()) else {
            return self.of_datafusion.create_groups_accumulator(arguments);
        };
        let wide = self.of_datafusion.create_groups_accumulator(widely(arguments))?;
        Ok(Box::new(NarrowedGroups { wide, whole }))
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> DataFusionResult<Vec<FieldRef>> {
        let return_field = match Whole::of(arguments.return_type()) {
            Some(_) => wide_field(&arguments.return_field),
            None => Arc::clone(&arguments.return_field),
        };
        self.of_datafusion.state_fields(StateFieldsArgs { return_field, ..arguments })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.of_datafusion.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.of_datafusion.order_sensitivity()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.of_datafusion.set_monotonicity(data_type)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.of_datafusion.documentation()
    }
}

fn wide_field(narrow: &Field) -> FieldRef {
    Arc::new(narrow.clone().with_data_type(WIDE))
}

fn widely(arguments: AccumulatorArgs<'_>) -> AccumulatorArgs<'_> {
    let return_field = wide_field(&arguments.return_field);
    AccumulatorArgs { return_field, ..arguments }
}

/// The types of whole numbers that a sum can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    Signed,
    Unsigned,
}

impl Whole {
    fn of(data_type: &DataType) -> Option<Whole> {
        match data_type {
            DataType::Int64 => Some(Whole::Signed),
            DataType::UInt64 => Some(Whole::Unsigned),
            _ => None,
        }
    }

    fn value(self, sum: &ScalarValue) -> DataFusionResult<ScalarValue> {
        let ScalarValue::Decimal128(sum, ..) = sum else { return internal_err!("a sum of whole numbers is a decimal") };
        Ok(match self {
            Whole::Signed => ScalarValue::Int64(sum.map(narrowed).transpose()?),
            Whole::Unsigned => ScalarValue::UInt64(sum.map(narrowed).transpose()?),
        })
    }

    fn values(self, sums: &ArrayRef) -> DataFusionResult<ArrayRef> {
        let Some(sums) = sums.as_primitive_opt::<Decimal128Type>() else {
            return internal_err!("sums of whole numbers are decimals");
        };
        let whole: ArrayRef = match self {
            Whole::Signed => Arc::new(sums.try_unary::<_, Int64Type, DataFusionError>(narrowed)?),
            Whole::Unsigned => Arc::new(sums.try_unary::<_, UInt64Type, DataFusionError>(narrowed)?),
        };
        Ok(whole)
    }
}

fn narrowed<N: TryFrom<i128>>(sum: i128) -> DataFusionResult<N> {
    let too_large = |_| {
        let what = "a sum of whole numbers passes 64 bits; cast what is added up to DECIMAL";
        ArrowError::ArithmeticOverflow(what.to_owned()).into()
    };
    N::try_from(sum).map_err(too_large)
}

/// The arguments of a sum as what they are added as.
fn widened(arguments: &[ArrayRef]) -> DataFusionResult<Vec<ArrayRef>> {
    let mut wide = Vec::with_capacity(arguments.len());
    for argument in arguments {
        wide.push(match argument.data_type() {
            DataType::Int64 => widened_values(argument.as_primitive::<Int64Type>()),
            DataType::UInt64 => widened_values(argument.as_primitive::<UInt64Type>()),
            _ => cast(argument, &WIDE)?,
        });
    }
    Ok(wide)
}

fn widened_values<T>(values: &PrimitiveArray<T>) -> ArrayRef
where
    T: ArrowPrimitiveType,
    i128: From<T::Native>,
{
    Arc::new(values.unary::<_, Decimal128Type>(i128::from).with_data_type(WIDE))
}

/// A sum that is added up widely. Its parts stay wide until they are together.
#[derive(Debug)]
struct Narrowed {
    wide: Box<dyn Accumulator>,
    whole: Whole,
}

impl Accumulator for Narrowed {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.wide.update_batch(&widened(values)?)
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        self.whole.value(&self.wide.evaluate()?)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.wide.size()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        self.wide.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        self.wide.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.wide.retract_batch(&widened(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.wide.supports_retract_batch()
    }
}

/// The same of many groups.
struct NarrowedGroups {
    wide: Box<dyn GroupsAccumulator>,
    whole: Whole,
}

impl fmt::Debug for NarrowedGroups {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NarrowedGroups").field("whole", &self.whole).finish_non_exhaustive()
    }
}

impl GroupsAccumulator for NarrowedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> DataFusionResult<()> {
        self.wide.update_batch(&widened(values)?, group_indices, filter, group_count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DataFusionResult<ArrayRef> {
        self.whole.values(&self.wide.evaluate(emit_to)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> DataFusionResult<Vec<ArrayRef>> {
        self.wide.state(emit_to)
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        group_indices: &[usize],
        group_count: usize,
    ) -> DataFusionResult<()> {
        self.wide.merge_batch(states, group_indices, group_count)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> DataFusionResult<Vec<ArrayRef>> {
        self.wide.convert_to_state(&widened(values)?, filter)
    }

    fn size(&self) -> usize {
        self.wide.size()
    }
}

/// The sum of the different values in a window that slides, of which DataFusion has one in 64 bits alone.
#[derive(Debug, Default)]
struct SlidingDistinct {
    rows_of: HashMap<i128, u64>,
    sum: i128,
}

impl Accumulator for SlidingDistinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        for value in values[0].as_primitive::<Decimal128Type>().iter().flatten() {
            let rows = self.rows_of.entry(value).or_insert(0);
            if *rows == 0 {
                self.sum += value;
            }
            *rows += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        for value in values[0].as_primitive::<Decimal128Type>().iter().flatten() {
            let Some(rows) = self.rows_of.get_mut(&value) else { continue };
            *rows -= 1;
            if *rows == 0 {
                self.rows_of.remove(&value);
                self.sum -= value;
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        let sum = (!self.rows_of.is_empty()).then_some(self.sum);
        Ok(ScalarValue::Decimal128(sum, 38, 0))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.rows_of.capacity() * (size_of::<(i128, u64)>() + 1)
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        internal_err!("a window is not computed in parts")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> DataFusionResult<()> {
        internal_err!("a window is not computed in parts")
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, RecordBatch, UInt64Array};
    use arrow::datatypes::Schema;
    use datafusion::datasource::MemTable;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    /// In two partitions: of group 1 a sum of all that 64 bits hold, of which one partition has more, of group 2 one that they
    /// don't hold, and ten rows of group 3.
    fn context() -> SessionContext {
        let config = SessionConfig::new().with_target_partitions(2).with_batch_size(2);
        let context = SessionContext::new_with_config(config);
        context.register_udaf(function().as_ref().clone());
        let fields = [("g", DataType::Int64), ("v", DataType::Int64), ("u", DataType::UInt64)];
        let fields: Vec<Field> = fields.into_iter().map(|(name, of)| Field::new(name, of, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let mut one: Vec<(i64, i64, u64)> =
            vec![(1, i64::MAX, u64::MAX), (1, 1, 0), (2, i64::MAX, u64::MAX), (2, 1, 1)];
        one.extend([(3, 5, 5); 10]);
        let partitions = [one, vec![(1, -1, 0)]].map(|rows| {
            let groups: Int64Array = rows.iter().map(|(group, ..)| *group).collect();
            let signed: Int64Array = rows.iter().map(|(_, value, _)| *value).collect();
            let unsigned: UInt64Array = rows.iter().map(|(.., value)| *value).collect();
            let columns: Vec<ArrayRef> = vec![Arc::new(groups), Arc::new(signed), Arc::new(unsigned)];
            vec![RecordBatch::try_new(Arc::clone(&schema), columns).expect("of these types")]
        });
        let table = MemTable::try_new(schema, partitions.into()).expect("a table");
        context.register_table("t", Arc::new(table)).expect("a new name");
        context
    }

    /// The values of an answer of one row, each with its type.
    async fn answered(context: &SessionContext, sql: &str) -> DataFusionResult<Vec<ScalarValue>> {
        let mut values = Vec::new();
        for batch in context.sql(sql).await?.collect().await? {
            for column in batch.columns() {
                for row in 0..batch.num_rows() {
                    values.push(ScalarValue::try_from_array(column, row)?);
                }
            }
        }
        Ok(values)
    }

    #[tokio::test]
    async fn a_sum_that_64_bits_hold_is_right_whatever_its_parts_are() {
        let context = context();
        let (signed, unsigned) = (ScalarValue::Int64(Some(i64::MAX)), ScalarValue::UInt64(Some(u64::MAX)));
        let slides = "over (order by v rows between 2 preceding and current row)";
        for (sql, expected) in [
            ("select sum(v), sum(u) from t where g = 1".to_owned(), vec![signed.clone(), unsigned.clone()]),
            ("select sum(v), sum(u) from t where g = 1 group by g".to_owned(), vec![signed.clone(), unsigned.clone()]),
            ("select sum(distinct v) from t where g = 1".to_owned(), vec![signed.clone()]),
            (
                "select sum(distinct v), sum(distinct u) from t where g = 1 group by g".to_owned(),
                vec![signed.clone(), unsigned.clone()],
            ),
            ("select sum(v) filter (where g = 1) from t".to_owned(), vec![signed.clone()]),
            (format!("select max(s) from (select sum(v) {slides} as s from t where g = 1)"), vec![signed.clone()]),
            (format!("select max(s) from (select sum(distinct v) {slides} as s from t where g = 1)"), vec![signed]),
            (format!("select max(s) from (select sum(distinct u) {slides} as s from t where g = 1)"), vec![unsigned]),
            (
                "select max(s) from (select sum(distinct v) over (order by u rows 1 preceding) as s from t where g = 3)"
                    .to_owned(),
                vec![ScalarValue::Int64(Some(5))],
            ),
            ("select sum(v), sum(u) from t where g = 4".to_owned(), vec![ScalarValue::Int64(None), ScalarValue::UInt64(None)]),
            (
                "select sum(v + 1), sum(v + 2) from t where g = 3".to_owned(),
                vec![ScalarValue::Int64(Some(60)), ScalarValue::Int64(Some(70))],
            ),
        ] {
            let found = answered(&context, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(found, expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn a_sum_beyond_64_bits_is_an_error_and_none_of_decimals() {
        let context = context();
        for sum in
            ["sum(v)", "sum(u)", "sum(distinct v)", "sum(distinct u)", "sum(v) over ()", "sum(u) over (order by v)"]
        {
            for grouped in ["", " group by g"] {
                if sum.contains("over") && !grouped.is_empty() {
                    continue;
                }
                let sql = format!("select {sum} from t where g = 2{grouped}");
                let error = answered(&context, &sql).await.expect_err("it has no room").strip_backtrace();
                assert!(error.contains("cast what is added up to DECIMAL"), "{sql}: {error}");
            }
        }
        let wide = answered(&context, "select sum(cast(v as decimal(20, 0))) from t where g = 2").await;
        let expected = ScalarValue::Decimal128(Some(i128::from(i64::MAX) + 1), 30, 0);
        assert_eq!(wide.expect("it has room"), [expected]);
    }

    /// DataFusion writes these as a sum, and the constant times a count that has its type.
    #[tokio::test]
    async fn constants_that_are_added_within_sums_stay_there() {
        let added = |whole: u32| format!("sum(cast(v as decimal(10, 1)) + cast({whole}.5 as decimal(2, 1)))");
        let sql = format!("select {}, {} from t where g = 3", added(1), added(2));
        let found = answered(&context(), &sql).await.expect("ten are not too many");
        let tenths = found.iter().map(|value| match value {
            ScalarValue::Decimal128(tenths, _, 1) => *tenths,
            other => panic!("{other:?}"),
        });
        assert_eq!(tenths.collect::<Vec<_>>(), [Some(650), Some(750)]);
    }
}
