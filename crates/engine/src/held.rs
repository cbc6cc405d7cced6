//! The memory of windows.
//!
//! DataFusion (55.2) counts none of the rows that a window keeps. One over all rows of a part keeps them until the last one has come, then
//! puts them together; one that goes along with its rows keeps those that wait for their frame, and those behind that a later frame reaches.
//! So they are counted on their way in: in the first case until the window has ended, in the other until they were handed on and lie behind
//! every frame to come.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, internal_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::window::{PlainAggregateWindowExpr, StandardWindowExpr, WindowExpr};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties, replace_children_if_necessary,
};
use futures::{StreamExt, stream};

use crate::execution::slice_bytes;

/// How often a window has its rows at one time: as they came, and put together.
const TIMES_HELD: u64 = 2;
/// What a window that goes along with its rows is never refused: some batches, whatever a sort below it has taken.
const ALONG_BYTES: usize = 8 << 20;

/// A step with what counts around it, where it is a window; else none.
pub(crate) fn counted(step: &Arc<dyn ExecutionPlan>) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
    let (input, keeps) = if let Some(window) = step.downcast_ref::<WindowAggExec>() {
        (window.input(), Keeps::All)
    } else if let Some(window) = step.downcast_ref::<BoundedWindowAggExec>() {
        (window.input(), Keeps::of(window))
    } else {
        return Ok(None);
    };
    let window = Arc::new(Window { keeps, held: Mutex::default() });
    let input = HeldExec::around(Arc::clone(input), &window, Side::Input);
    let step = replace_children_if_necessary(Arc::clone(step), vec![input])?;
    Ok(Some(HeldExec::around(step, &window, Side::Output)))
}

/// What a window keeps of the rows that it gets.
#[derive(Debug)]
enum Keeps {
    /// All of them, until it has ended.
    All,
    /// Those that it has not handed on, and those that are reached from there.
    Reached(Reached),
}

impl Keeps {
    fn of(window: &BoundedWindowAggExec) -> Keeps {
        let functions = window.window_expr();
        match (functions.first(), &window.input_order_mode) {
            (Some(first), InputOrderMode::Sorted) => Keeps::Reached(Reached {
                partition_by: first.partition_by().to_vec(),
                order_by: first.order_by().first().cloned(),
                behind: functions.iter().map(behind).collect(),
            }),
            _ => Keeps::All,
        }
    }
}

/// How far behind the rows that it hands on a window reaches.
#[derive(Debug)]
struct Reached {
    partition_by: Vec<Arc<dyn PhysicalExpr>>,
    order_by: Option<PhysicalSortExpr>,
    /// By its functions.
    behind: Vec<Behind>,
}

/// How far behind a row a function reaches in the row's partition.
#[derive(Debug)]
enum Behind {
    /// So many rows.
    Rows(u64),
    /// Rows whose value is no farther away.
    Values(ScalarValue),
    /// All of the partition.
    Partition,
}

fn behind(function: &Arc<dyn WindowExpr>) -> Behind {
    let (frame, any) = (function.get_window_frame(), function.as_any());
    if let Some(standard) = any.downcast_ref::<StandardWindowExpr>() {
        let Some(function) = standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>() else {
            return Behind::Partition;
        };
        return match function.fun().name() {
            "lag" | "lead" => shifted(function.args()),
            // Where it passes over missing values it keeps all that its frame has.
            "last_value" if frame.start_bound.is_unbounded() => Behind::Partition,
            "first_value" | "last_value" => framed(frame),
            // Ranks and numbers of rows.
            _ => Behind::Rows(0),
        };
    }
    if let Some(plain) = any.downcast_ref::<PlainAggregateWindowExpr>() {
        // These keep values themselves.
        let aggregate = plain.get_aggregate_expr();
        if aggregate.is_distinct() || matches!(aggregate.fun().name(), "median" | "percentile_cont") {
            return Behind::Partition;
        }
    }
    framed(frame)
}

/// What `lag` reaches by its arguments, and `lead` by a number below zero.
fn shifted(arguments: &[Arc<dyn PhysicalExpr>]) -> Behind {
    let Some(offset) = arguments.get(1) else { return Behind::Rows(1) };
    let number = offset.downcast_ref::<Literal>().and_then(|literal| literal.value().cast_to(&DataType::Int64).ok());
    match number {
        Some(ScalarValue::Int64(number)) => Behind::Rows(number.map_or(1, i64::unsigned_abs)),
        _ => Behind::Partition,
    }
}

/// Of a frame that begins with its partition nothing is kept but from its end on: what lies before is summed up.
fn framed(frame: &WindowFrame) -> Behind {
    let farthest = if frame.start_bound.is_unbounded() { &frame.end_bound } else { &frame.start_bound };
    match (farthest, frame.units) {
        (WindowFrameBound::CurrentRow | WindowFrameBound::Following(_), _) => Behind::Rows(0),
        (WindowFrameBound::Preceding(ScalarValue::UInt64(Some(rows))), WindowFrameUnits::Rows) => Behind::Rows(*rows),
        (WindowFrameBound::Preceding(distance), WindowFrameUnits::Range) => Behind::Values(distance.clone()),
        (WindowFrameBound::Preceding(_), _) => Behind::Partition,
    }
}

/// Where rows stand: in which partition, and at which value of the first column that they are sorted by.
#[derive(Debug)]
struct Standing {
    partition: Vec<ScalarValue>,
    value: Option<ScalarValue>,
}

impl Reached {
    /// Where the last row of a batch stands. What a window hands on begins with the columns that it got.
    fn last_of(&self, batch: &RecordBatch) -> DataFusionResult<Standing> {
        let row = batch.slice(batch.num_rows() - 1, 1);
        let value = |expression: &Arc<dyn PhysicalExpr>| {
            let array = expression.evaluate(&row)?.into_array(1)?;
            ScalarValue::try_from_array(&array, 0)
        };
        let partition = self.partition_by.iter().map(value).collect::<DataFusionResult<_>>()?;
        let value = self.order_by.as_ref().map(|sort| value(&sort.expr)).transpose()?;
        Ok(Standing { partition, value })
    }

    /// Whether no frame reaches a batch any more, once `gone` rows were handed on and one that stands at `now`.
    fn is_past(&self, batch: &Came, gone: u64, now: &Standing) -> bool {
        if batch.rows_until > gone {
            return false;
        }
        batch.last.partition != now.partition
            || self.behind.iter().all(|behind| match behind {
                Behind::Rows(rows) => batch.rows_until.saturating_add(*rows) <= gone,
                Behind::Values(distance) => self.is_farther(&batch.last, now, distance),
                Behind::Partition => false,
            })
    }

    /// Whether rows lie behind by more than a distance; false where it can't be told.
    fn is_farther(&self, rows: &Standing, now: &Standing, distance: &ScalarValue) -> bool {
        let (Some(sort), Some(value), Some(now)) = (&self.order_by, &rows.value, &now.value) else { return false };
        // Rows are sorted: those without a value stand together, and no frame reaches from them to the others.
        if value.is_null() || now.is_null() {
            return value.is_null() != now.is_null();
        }
        let (edge, beyond) = if sort.options.descending {
            (now.add_checked(distance), Ordering::Greater)
        } else {
            (now.sub_checked(distance), Ordering::Less)
        };
        edge.is_ok_and(|edge| value.partial_cmp(&edge) == Some(beyond))
    }
}

/// A batch that a window got.
#[derive(Debug)]
struct Came {
    /// Rows that came until its last one.
    rows_until: u64,
    bytes: usize,
    last: Standing,
}

/// What is counted for one partition of a plan.
#[derive(Debug)]
struct Counted {
    memory: MemoryReservation,
    /// Batches that are counted, where they may be let go of before the end.
    came: VecDeque<Came>,
    rows_come: u64,
    rows_gone: u64,
}

impl Counted {
    fn come(&mut self, batch: &RecordBatch, keeps: &Keeps) -> DataFusionResult<()> {
        let bytes = usize::try_from(slice_bytes(batch).saturating_mul(TIMES_HELD)).unwrap_or(usize::MAX);
        let Keeps::Reached(reached) = keeps else { return self.memory.try_grow(bytes) };
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.memory.size().saturating_add(bytes) <= ALONG_BYTES {
            self.memory.grow(bytes);
        } else {
            self.memory.try_grow(bytes)?;
        }
        self.rows_come += batch.num_rows() as u64;
        self.came.push_back(Came { rows_until: self.rows_come, bytes, last: reached.last_of(batch)? });
        Ok(())
    }

    /// Lets go of what no frame reaches any more. What the last batch before this one had may still be reached: the frame of its last row
    /// is there until the next one's begins.
    fn go(&mut self, batch: &RecordBatch, keeps: &Keeps) -> DataFusionResult<()> {
        let Keeps::Reached(reached) = keeps else { return Ok(()) };
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let now = reached.last_of(batch)?;
        let gone = self.rows_gone;
        self.rows_gone += batch.num_rows() as u64;
        while let Some(first) = self.came.front()
            && reached.is_past(first, gone, &now)
        {
            self.memory.shrink(first.bytes);
            self.came.pop_front();
        }
        Ok(())
    }
}

/// A window and what is counted for it, by partition of the plan, until its output has it.
#[derive(Debug)]
struct Window {
    keeps: Keeps,
    held: Mutex<BTreeMap<usize, Arc<Mutex<Counted>>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy, Debug)]
enum Side {
    /// Counts what the window gets.
    Input,
    /// Keeps what was counted as long as the window has the rows.
    Output,
}

/// A batch in pieces of so many rows at most. Each is a copy: whoever keeps a slice counts all that it is a slice of.
fn pieces(
    batch: DataFusionResult<RecordBatch>,
    rows_max: usize,
) -> Box<dyn Iterator<Item = DataFusionResult<RecordBatch>> + Send> {
    match batch {
        Ok(batch) if batch.num_rows() > rows_max => {
            let starts = (0..batch.num_rows()).step_by(rows_max);
            Box::new(starts.map(move |from| {
                let rows = rows_max.min(batch.num_rows() - from);
                let places = UInt64Array::from_iter_values(from as u64..(from + rows) as u64);
                Ok(take_record_batch(&batch, &places)?)
            }))
        }
        whole => Box::new(std::iter::once(whole)),
    }
}

/// One side of a window.
#[derive(Debug)]
struct HeldExec {
    input: Arc<dyn ExecutionPlan>,
    window: Arc<Window>,
    side: Side,
}

impl HeldExec {
    fn around(input: Arc<dyn ExecutionPlan>, window: &Arc<Window>, side: Side) -> Arc<dyn ExecutionPlan> {
        Arc::new(HeldExec { input, window: Arc::clone(window), side })
    }
}

impl DisplayAs for HeldExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HeldExec")
    }
}

impl ExecutionPlan for HeldExec {
    fn name(&self) -> &'static str {
        "HeldExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(HeldExec::around(input, &self.window, self.side)),
            _ => internal_err!("one step is counted"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let schema = self.input.schema();
        let window = Arc::clone(&self.window);
        match self.side {
            Side::Input => {
                let memory = MemoryConsumer::new("window").register(context.memory_pool());
                let counted = Counted { memory, came: VecDeque::new(), rows_come: 0, rows_gone: 0 };
                let counted = Arc::new(Mutex::new(counted));
                let batches = self.input.execute(partition, context)?;
                locked(&window.held).insert(partition, Arc::clone(&counted));
                let batches = batches.map(move |batch| {
                    let batch = batch?;
                    locked(&counted).come(&batch, &window.keeps)?;
                    Ok(batch)
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
            }
            Side::Output => {
                let rows_max = context.session_config().batch_size();
                let batches = self.input.execute(partition, context)?;
                let counted = locked(&window.held).remove(&partition);
                // Given back with the stream.
                let batches = stream::unfold((batches, counted, window), |(mut batches, counted, window)| async move {
                    let batch = batches.next().await?.and_then(|batch| {
                        if let Some(counted) = &counted {
                            locked(counted).go(&batch, &window.keeps)?;
                        }
                        Ok(batch)
                    });
                    Some((batch, (batches, counted, window)))
                });
                // One over all rows hands on a single batch of them.
                let batches = batches.flat_map(move |batch| stream::iter(pieces(batch, rows_max)));
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
            }
        }
    }
}
