//! Functions of windows as they are, but that they look whether their answer is still wanted: at each row, and within what they get at
//! once every few thousand rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::function::{
    AccumulatorArgs, ExpressionArgs, PartitionEvaluatorArgs, StateFieldsArgs, WindowUDFFieldArgs,
};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::window_state::WindowAggState;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, LimitEffect, PartitionEvaluator, ReversedUDAF, ReversedUDWF,
    SetMonotonicity, Signature, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use super::Stop;
use crate::BATCH_ROWS;

pub(super) fn aggregate(function: &Arc<AggregateUDF>, stop: &Stop) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Aggregate { of: Arc::clone(function), stop: stop.clone() }))
}

pub(super) fn window(function: &Arc<WindowUDF>, stop: &Stop) -> Arc<WindowUDF> {
    Arc::new(WindowUDF::new_from_impl(Window { of: Arc::clone(function), stop: stop.clone() }))
}

/// An aggregate function in a window. What is said of it in other places (groups, statistics, the optimiser, which has been there
/// already) is left out.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    of: Arc<AggregateUDF>,
    stop: Stop,
}

impl Aggregate {
    fn looking(&self, of: Box<dyn Accumulator>) -> Box<dyn Accumulator> {
        Box::new(Looking { of, stop: self.stop.clone() })
    }
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.of.name()
    }

    fn signature(&self) -> &Signature {
        self.of.signature()
    }

    fn coerce_types(&self, argument_types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        self.of.coerce_types(argument_types)
    }

    fn return_type(&self, argument_types: &[DataType]) -> DataFusionResult<DataType> {
        self.of.return_type(argument_types)
    }

    fn return_field(&self, argument_fields: &[FieldRef]) -> DataFusionResult<FieldRef> {
        self.of.return_field(argument_fields)
    }

    fn is_nullable(&self) -> bool {
        self.of.is_nullable()
    }

    fn window_function_schema_name(&self, call: &WindowFunctionParams) -> DataFusionResult<String> {
        self.of.window_function_schema_name(call)
    }

    fn window_function_display_name(&self, call: &WindowFunctionParams) -> DataFusionResult<String> {
        self.of.window_function_display_name(call)
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> DataFusionResult<Box<dyn Accumulator>> {
        Ok(self.looking(self.of.accumulator(arguments)?))
    }

    fn create_sliding_accumulator(&self, arguments: AccumulatorArgs) -> DataFusionResult<Box<dyn Accumulator>> {
        Ok(self.looking(self.of.create_sliding_accumulator(arguments)?))
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> DataFusionResult<Vec<FieldRef>> {
        self.of.state_fields(arguments)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.of.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.of.reverse_udf() {
            ReversedUDAF::Reversed(function) => ReversedUDAF::Reversed(aggregate(&function, &self.stop)),
            same => same,
        }
    }

    fn default_value(&self, data_type: &DataType) -> DataFusionResult<ScalarValue> {
        self.of.default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.of.supports_null_handling_clause()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.of.supports_within_group_clause()
    }

    fn is_descending(&self) -> Option<bool> {
        self.of.is_descending()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.of.inner().set_monotonicity(data_type)
    }
}

#[derive(Debug)]
struct Looking {
    of: Box<dyn Accumulator>,
    stop: Stop,
}

impl Accumulator for Looking {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let rows = values.first().map_or(0, |column| column.len());
        for from in (0..rows).step_by(BATCH_ROWS) {
            self.stop.look()?;
            let piece = BATCH_ROWS.min(rows - from);
            let piece: Vec<ArrayRef> = values.iter().map(|column| column.slice(from, piece)).collect();
            self.of.update_batch(&piece)?;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        self.stop.look()?;
        self.of.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.of.supports_retract_batch()
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        self.stop.look()?;
        self.of.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(&self.stop) + self.of.size()
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        self.of.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        self.of.merge_batch(states)
    }
}

/// A function that there is in windows alone.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Window {
    of: Arc<WindowUDF>,
    stop: Stop,
}

impl WindowUDFImpl for Window {
    fn name(&self) -> &str {
        self.of.name()
    }

    fn signature(&self) -> &Signature {
        self.of.signature()
    }

    fn coerce_types(&self, argument_types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        self.of.coerce_types(argument_types)
    }

    fn expressions(&self, arguments: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        self.of.expressions(arguments)
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> DataFusionResult<FieldRef> {
        self.of.field(arguments)
    }

    fn partition_evaluator(&self, arguments: PartitionEvaluatorArgs) -> DataFusionResult<Box<dyn PartitionEvaluator>> {
        let of = self.of.partition_evaluator_factory(arguments)?;
        Ok(Box::new(LookingEvaluator { of, stop: self.stop.clone() }))
    }

    fn sort_options(&self) -> Option<SortOptions> {
        self.of.sort_options()
    }

    fn reverse_expr(&self) -> ReversedUDWF {
        match self.of.reverse_expr() {
            ReversedUDWF::Reversed(function) => ReversedUDWF::Reversed(window(&function, &self.stop)),
            same => same,
        }
    }

    fn limit_effect(&self, arguments: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        self.of.inner().limit_effect(arguments)
    }
}

#[derive(Debug)]
struct LookingEvaluator {
    of: Box<dyn PartitionEvaluator>,
    stop: Stop,
}

impl PartitionEvaluator for LookingEvaluator {
    fn memoize(&mut self, state: &mut WindowAggState) -> DataFusionResult<()> {
        self.of.memoize(state)
    }

    fn get_range(&self, row: usize, rows: usize) -> DataFusionResult<Range<usize>> {
        self.of.get_range(row, rows)
    }

    fn is_causal(&self) -> bool {
        self.of.is_causal()
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> DataFusionResult<ArrayRef> {
        self.stop.look()?;
        self.of.evaluate_all(values, rows)
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> DataFusionResult<ScalarValue> {
        self.stop.look()?;
        self.of.evaluate(values, range)
    }

    fn evaluate_all_with_rank(&self, rows: usize, ranks: &[Range<usize>]) -> DataFusionResult<ArrayRef> {
        self.stop.look()?;
        self.of.evaluate_all_with_rank(rows, ranks)
    }

    fn supports_bounded_execution(&self) -> bool {
        self.of.supports_bounded_execution()
    }

    fn uses_window_frame(&self) -> bool {
        self.of.uses_window_frame()
    }

    fn include_rank(&self) -> bool {
        self.of.include_rank()
    }
}
