//! A session: the tables of one order and nothing else.
//!
//! A session's catalogue is built from governed tables only. A statement is checked and planned in [`crate::allow`];
//! then either its plan carries the row numbers up to the answer (filter, projection, sort and limit over one table:
//! the receipt is exact), or the rows that crossed the barriers are named (everything else), or it is a guarded
//! aggregate ([`crate::guard`]). Batches come one by one, each with the rows to be written into the receipt before the
//! batch may leave.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    Expr, Filter, Limit, LogicalPlan, Projection, Sort, SortExpr, SubqueryAlias, TableScanBuilder,
};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, SendableRecordBatchStream};
use futures::{FutureExt, StreamExt};
use lingqu_domain::lineage::AnswerLineage;
use lingqu_domain::privacy::Rho;
use lingqu_domain::scope::ColumnName;
use tokio::time::Instant;

use crate::ROW_COLUMN;
use crate::allow::{self, Granted, Parameters, Planned, Refusal, RefusalCode};
use crate::engine::{Engine, register};
use crate::execution::{EngineError, LimitedBatches, Limits, sanitise, timed_out};
use crate::governed::visible::count_visible;
use crate::governed::{GovernedProvider, GovernedTable, HiddenColumns};
use crate::keyed::{self, KeyedStatement};
use crate::privacy::NoisedRules;
use crate::raw::RawTable;
use crate::release::ReleaseRecord;
use crate::rows_left::{RowsExactness, RowsLeft};
use crate::stop::Stop;
use crate::{attempts, explain, guard, held, lineage, parameters, privacy, texts};

pub use crate::answer::{Answer, AnswerPart, named};
pub use crate::guard::contributor::Contributors;
pub use crate::guard::dominance::Dominance;

/// Batches computed ahead of the receiver.
const BATCHES_AHEAD: usize = 2;

/// What to do with groups below the cohort floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmallGroups {
    /// Leave them out and say how many; refuse when nothing is left.
    Suppress,
    /// Refuse the whole answer.
    Refuse,
}

/// What a statistics session may ask, and what its answers are compared with.
#[derive(Clone, Debug)]
pub struct StatisticsRules {
    /// The columns by which answers may be grouped and filtered.
    pub dimensions: BTreeSet<ColumnName>,
    /// The smallest number of subjects (of rows where the table names no subjects) that an answer may describe.
    pub cohort_floor: u32,
    /// What to do with smaller groups.
    pub small_groups: SmallGroups,
    /// When one or two subjects make too much of a sum.
    pub dominance: Dominance,
    /// How subjects and rows are known in every version of the data.
    pub contributors: Contributors,
    /// What the recipient was given before.
    pub record: Arc<dyn ReleaseRecord>,
}

/// The kind of answers a session gives.
#[derive(Clone, Debug)]
pub enum AnswerShape {
    /// Any allowed statement over the granted columns (modes rows and file, and in-domain computing).
    Rows,
    /// One aggregate over declared dimensions (mode statistics).
    Statistics(StatisticsRules),
    /// The same with noise, paid for from privacy accounts.
    Noised(Box<NoisedRules>),
}

/// What a statement would answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// The columns of the answer: names and types, all of them nullable.
    pub schema: SchemaRef,
    /// The types of its parameters in their order, where the statement tells them; empty when values were given.
    pub parameters: Vec<Option<DataType>>,
}

/// What is known of a statement before it is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// From which columns of the session's table the answer's values are made, and by which its rows are chosen.
    pub lineage: AnswerLineage,
    /// Its canonical form: printed as it was parsed, its parameters written into it.
    pub canonical: String,
    /// True where the text of a plan is asked for, which is no data.
    pub is_explained: bool,
}

/// A schema as it is told before the answer is there: names and types. Whether a column can be without a value is known only
/// to the plan that answers, and is never promised.
pub fn told(schema: &Schema) -> SchemaRef {
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        fields.push(Field::new(field.name(), field.data_type().clone(), true));
    }
    Arc::new(Schema::new(fields))
}

/// The session of one order.
pub struct GovernedSession {
    engine: Arc<Engine>,
    granted: Granted,
    limits: Limits,
    shape: AnswerShape,
    /// The product of the tables' weights, where copies lack rows.
    sampling_weight: Option<f64>,
    /// Plans aggregates and joins, on several threads.
    wide: SessionState,
    /// Plans what keeps the order of the table, so that a LIMIT without ORDER BY always gives the same rows.
    ordered: SessionState,
}

impl GovernedSession {
    /// Builds a session, whose queries take no longer than those of the engine may. Table names must differ. Errors:
    /// [`EngineError::Settings`].
    pub fn new(
        engine: &Arc<Engine>,
        tables: &[Arc<GovernedTable>],
        limits: Limits,
        shape: AnswerShape,
    ) -> Result<GovernedSession, EngineError> {
        let wide = engine.governed_state(engine.partitions());
        let ordered = engine.governed_state(1);
        let mut granted = Granted::new();
        for table in tables {
            if granted.insert(table.name().to_owned(), table.column_names()).is_some() {
                let reason = format!("two tables of a session are named `{}`", table.name());
                return Err(EngineError::Settings { reason });
            }
            for state in [&wide, &ordered] {
                register(state, table.name(), table.provider(HiddenColumns::None))
                    .map_err(|error| EngineError::Settings { reason: error.strip_backtrace() })?;
            }
        }
        let weights = tables.iter().filter_map(|table| table.marks()?.sampling_weight());
        let sampling_weight = weights.reduce(|weight, other| weight * other);
        let limits = Limits { time_max: limits.time_max.min(engine.time_max()), ..limits };
        Ok(GovernedSession { engine: Arc::clone(engine), granted, limits, shape, sampling_weight, wide, ordered })
    }

    /// The columns of a table as the session shows them, whatever may be asked of it.
    pub async fn table_schema(&self, table: &str) -> Result<SchemaRef, EngineError> {
        let sql = format!("SELECT * FROM \"{table}\"");
        let planned = allow::plan_with(&self.wide, &sql, Parameters::Values(&[]), &self.granted).await?;
        Ok(told(planned.analysed.schema().as_arrow()))
    }

    /// What a statement would answer, without answering it: it is planned and checked, nothing is read. `values` stand in the
    /// places of its parameters; without them the types of the parameters are told as far as the statement tells them.
    pub async fn describe(&self, sql: &str, values: Option<&[ScalarValue]>) -> Result<Described, EngineError> {
        let parameters = values.map_or(Parameters::Open, Parameters::Values);
        let planned = allow::plan_with(&self.wide, sql, parameters, &self.granted).await?;
        let open = parameters::types_of(&planned.analysed)?;
        if open.is_empty() {
            // What can't be answered is refused before anybody is told how its answer would look.
            self.check_shape(&planned.plan)?;
        }
        let answering = planned.explained.as_ref().unwrap_or(&planned.analysed);
        Ok(Described { schema: told(answering.schema().as_arrow()), parameters: open })
    }

    /// Refuses a statement that this kind of session does not answer, whatever the data. Nothing is read.
    fn check_shape(&self, plan: &LogicalPlan) -> Result<(), Refusal> {
        match &self.shape {
            AnswerShape::Rows => Ok(()),
            AnswerShape::Statistics(rules) => guard::check(&self.wide, plan, rules),
            AnswerShape::Noised(rules) => privacy::check(&self.wide, plan, rules),
        }
    }

    /// The key and columns of a statement that asks for the row of one key and for nothing else; none for any other. Nothing
    /// is read.
    pub async fn keyed(
        &self,
        sql: &str,
        values: &[ScalarValue],
        key: &[ColumnName],
    ) -> Result<Option<KeyedStatement>, EngineError> {
        let planned = allow::plan_with(&self.wide, sql, Parameters::Values(values), &self.granted).await?;
        if planned.explained.is_some() {
            return Ok(None);
        }
        let schema = told(planned.analysed.schema().as_arrow());
        Ok(keyed::read(&self.wide, &planned.analysed, key, schema))
    }

    /// Where the answer of a statement without parameters comes from. Nothing is read.
    pub async fn lineage(&self, sql: &str) -> Result<AnswerLineage, EngineError> {
        Ok(self.question(sql).await?.lineage)
    }

    /// What is known of a statement without parameters before it is answered. Nothing is read.
    pub async fn question(&self, sql: &str) -> Result<Question, EngineError> {
        let planned = allow::plan_with(&self.wide, sql, Parameters::Values(&[]), &self.granted).await?;
        Ok(self.question_of(planned))
    }

    fn question_of(&self, planned: Planned) -> Question {
        let (lineage, is_explained) = (self.lineage_of(&planned), planned.explained.is_some());
        Question { lineage, canonical: planned.canonical, is_explained }
    }

    fn lineage_of(&self, planned: &Planned) -> AnswerLineage {
        match &planned.explained {
            Some(_) => explain::lineage(),
            None => lineage::of_answer(&planned.plan, &self.granted),
        }
    }

    /// Answers a statement without parameters. Planning and, for statistics, the guarded aggregate happen before this
    /// returns; the rest as the answer is drawn.
    pub async fn query(&self, sql: &str) -> Result<Answer, EngineError> {
        self.query_with(sql, &[]).await
    }

    /// Answers a statement, with `values` in the places of its parameters.
    pub async fn query_with(&self, sql: &str, values: &[ScalarValue]) -> Result<Answer, EngineError> {
        let place = self.engine.place_within(self.limits.time_max).await?;
        let deadline = Instant::now() + self.limits.time_max;
        let prepared = tokio::time::timeout_at(deadline, self.prepare(sql, values, deadline)).await;
        let (question, prepared) = match prepared {
            Ok(prepared) => prepared?,
            Err(_) => return Err(timed_out(&self.limits)),
        };
        let Prepared { stream, exactness, groups_suppressed, rho_spent, left, carried_from } = prepared;
        let mut fields = stream.schema().fields().to_vec();
        if carried_from.is_some() {
            fields.pop();
        }
        Ok(Answer {
            schema: Arc::new(Schema::new(fields)),
            exactness,
            groups_suppressed,
            rho_spent,
            lineage: question.lineage,
            is_explained: question.is_explained,
            canonical: question.canonical,
            batches: Some(LimitedBatches::new(stream, self.limits, deadline)),
            left,
            carried_from,
            sampling_weight: self.sampling_weight,
            threads: self.engine.threads().clone(),
            _place: place,
        })
    }

    async fn prepare(
        &self,
        sql: &str,
        values: &[ScalarValue],
        deadline: Instant,
    ) -> Result<(Question, Prepared), EngineError> {
        let planned = allow::plan_with(&self.wide, sql, Parameters::Values(values), &self.granted).await?;
        let prepared = match &planned.explained {
            Some(explained) => {
                self.check_shape(&planned.plan)?;
                self.prepare_text(explained).await?
            }
            None => self.prepare_plan(&planned.plan, deadline).await?,
        };
        Ok((self.question_of(planned), prepared))
    }

    /// An answer that is made of no table.
    async fn prepare_text(&self, plan: &LogicalPlan) -> Result<Prepared, EngineError> {
        let left = RowsLeft::default();
        let task = self.engine.task(&self.ordered, self.limits.memory_bytes_max, &left)?;
        let stream = start(&self.engine, &self.ordered, plan, task).await?;
        let exactness = RowsExactness::Exact;
        Ok(Prepared { stream, exactness, groups_suppressed: 0, rho_spent: None, left, carried_from: None })
    }

    async fn prepare_plan(&self, plan: &LogicalPlan, deadline: Instant) -> Result<Prepared, EngineError> {
        match &self.shape {
            AnswerShape::Statistics(rules) => {
                let left = RowsLeft::default();
                let task = self.engine.task(&self.wide, self.limits.memory_bytes_max, &left)?;
                let guarded =
                    guard::answer(&self.engine, &self.wide, &task, plan, rules, &self.limits, deadline).await?;
                let stream = start(&self.engine, &self.ordered, &guarded.plan, task).await?;
                Ok(Prepared {
                    stream,
                    exactness: RowsExactness::Superset,
                    groups_suppressed: guarded.groups_suppressed,
                    rho_spent: None,
                    left,
                    carried_from: None,
                })
            }
            AnswerShape::Noised(rules) => {
                let left = RowsLeft::default();
                let task = self.engine.task(&self.wide, self.limits.memory_bytes_max, &left)?;
                let within = (&self.limits, deadline);
                let noised = privacy::answer(&self.engine, &self.wide, &task, &left, plan, rules, within).await?;
                let stream = start(&self.engine, &self.ordered, &noised.plan, task).await?;
                let exactness = RowsExactness::Superset;
                let rho_spent = Some(noised.rho_spent);
                Ok(Prepared { stream, exactness, groups_suppressed: 0, rho_spent, left, carried_from: None })
            }
            AnswerShape::Rows => {
                let left = RowsLeft::default();
                if let Some(table) = linear_table(plan) {
                    let carrying = carry_row(plan).map_err(|error| sanitise(&error))?;
                    // What crosses the barrier is not recorded: the rows are those of the answer.
                    let crossed = RowsLeft::unread();
                    let task = self.engine.task(&self.ordered, self.limits.memory_bytes_max, &crossed)?;
                    let stream = start(&self.engine, &self.ordered, &carrying, task).await?;
                    let exactness = RowsExactness::Exact;
                    Ok(Prepared {
                        stream,
                        exactness,
                        groups_suppressed: 0,
                        rho_spent: None,
                        left,
                        carried_from: Some(table),
                    })
                } else {
                    let (stream, left) = self.start_wide(plan).await?;
                    let exactness = RowsExactness::Superset;
                    Ok(Prepared { stream, exactness, groups_suppressed: 0, rho_spent: None, left, carried_from: None })
                }
            }
        }
    }

    /// Starts a plan that is not linear, in whichever way it can be answered.
    async fn start_wide(&self, plan: &LogicalPlan) -> Result<(SendableRecordBatchStream, RowsLeft), EngineError> {
        count_visible(&self.engine, &self.wide, plan, self.limits.memory_bytes_max).await;
        let task = |state: &SessionState| -> Result<_, EngineError> {
            let left = RowsLeft::default();
            Ok((self.engine.task(state, self.limits.memory_bytes_max, &left)?, left))
        };
        attempts::started(&self.engine, &self.wide, plan, task).await
    }

    /// The tables and columns of the session.
    pub fn granted(&self) -> &BTreeMap<String, Vec<String>> {
        &self.granted
    }
}

impl fmt::Debug for GovernedSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GovernedSession").field("granted", &self.granted).finish_non_exhaustive()
    }
}

struct Prepared {
    stream: SendableRecordBatchStream,
    exactness: RowsExactness,
    groups_suppressed: u64,
    rho_spent: Option<Rho>,
    left: RowsLeft,
    carried_from: Option<String>,
}

/// Plans physically and starts computing on the engine's own threads, a few batches ahead of the receiver. Dropping the
/// stream stops it.
pub(crate) async fn start(
    engine: &Engine,
    state: &SessionState,
    plan: &LogicalPlan,
    task: Arc<TaskContext>,
) -> Result<SendableRecordBatchStream, EngineError> {
    let (state, task) = texts::narrowed(state, plan, task);
    let stop = Stop::default();
    let physical = planned(&state, plan, &stop).await.map_err(|error| match error.find_root() {
        // Said of the form of the statement; no data was read.
        DataFusionError::NotImplemented(_) | DataFusionError::Plan(_) | DataFusionError::Internal(_) => {
            tracing::debug!("a plan of an allowed statement could not be made");
            let what = "the engine can't run this combination of clauses; compute a part of it in a subquery, or write a subquery as a join";
            Refusal::new(RefusalCode::ClauseNotAllowed, what).into()
        }
        _ => sanitise(&error),
    })?;
    Ok(stop.on_drop(running(engine, physical, task)))
}

/// The physical plan of what can be stopped wherever it is.
async fn planned(state: &SessionState, plan: &LogicalPlan, stop: &Stop) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let plan = stop.seen_by_windows(state.optimize(plan)?)?;
    state.query_planner().create_physical_plan(&plan, state).await.and_then(yielding)
}

/// Starts computing a physical plan in the same way.
pub(crate) fn running(
    engine: &Engine,
    physical: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
) -> SendableRecordBatchStream {
    let single: Arc<dyn ExecutionPlan> = if physical.output_partitioning().partition_count() == 1 {
        physical
    } else {
        Arc::new(CoalescePartitionsExec::new(physical))
    };
    let mut ahead = RecordBatchReceiverStream::builder(single.schema(), BATCHES_AHEAD);
    let sender = ahead.tx();
    let computing = async move {
        let mut batches = single.execute(0, task)?;
        // Operators may panic where they should fail: a nested loop join that runs out of memory (55.2) reads its
        // input twice, which a repartitioned input can't bear. The query ends with an error then, like any other.
        while let Some(batch) = AssertUnwindSafe(batches.next())
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Some(Err(DataFusionError::Internal("an operator panicked".to_owned()))))
        {
            let is_last = batch.is_err();
            // When the receiver is gone, nobody wants the rest.
            if sender.send(batch).await.is_err() || is_last {
                break;
            }
        }
        Ok(())
    };
    ahead.spawn_on(computing, engine.threads());
    ahead.build()
}

/// Lets a plan be stopped inside its joins. Operators yield where they read; a join that makes millions of rows of one
/// batch would otherwise hold its thread until it is through with it. Windows have their memory counted.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if let Some(counted) = held::counted(&node)? {
            return Ok(Transformed::yes(counted));
        }
        Ok(if node.name().ends_with("JoinExec") {
            Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)
        } else {
            Transformed::no(node)
        })
    })
    .data()
}

/// The name of the governed table when a plan is nothing but filters, projections, sorts, limits and aliases over it.
fn linear_table(plan: &LogicalPlan) -> Option<String> {
    let has_subquery = |expressions: Vec<Expr>| {
        expressions.iter().any(|expression| {
            expression
                .exists(|part| Ok(matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_))))
                .unwrap_or(true)
        })
    };
    let mut node = plan;
    loop {
        if has_subquery(node.expressions()) {
            return None;
        }
        node = match node {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::Sort(sort) => &sort.input,
            LogicalPlan::Limit(limit) => &limit.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source).ok()?;
                return provider.downcast_ref::<GovernedProvider>().map(|governed| governed.table().name().to_owned());
            }
            _ => return None,
        };
    }
}

/// The same linear plan with the row number as its last column.
fn carry_row(plan: &LogicalPlan) -> DataFusionResult<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::TableScan(_) => with_hidden(plan, HiddenColumns::Row)?,
        LogicalPlan::Filter(filter) => {
            LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(carry_row(&filter.input)?))?)
        }
        LogicalPlan::Projection(projection) => {
            let input = carry_row(&projection.input)?;
            let (qualifier, field) = input.schema().qualified_field_with_unqualified_name(ROW_COLUMN)?;
            let mut expressions = projection.expr.clone();
            expressions.push(Expr::Column(Column::from((qualifier, field))));
            LogicalPlan::Projection(Projection::try_new(expressions, Arc::new(input))?)
        }
        LogicalPlan::Sort(sort) => by_row(sort.expr.clone(), Arc::new(carry_row(&sort.input)?), sort.fetch)?,
        LogicalPlan::Limit(limit) => {
            let mut input = carry_row(&limit.input)?;
            if limit.skip.is_some() && is_live_unsorted(&limit.input) {
                input = by_row(Vec::new(), Arc::new(input), None)?;
            }
            LogicalPlan::Limit(Limit { skip: limit.skip.clone(), fetch: limit.fetch.clone(), input: Arc::new(input) })
        }
        LogicalPlan::SubqueryAlias(alias) => {
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(carry_row(&alias.input)?), alias.alias.clone())?)
        }
        _ => return datafusion::common::internal_err!("only linear plans carry row numbers"),
    })
}

/// A plan that carries row numbers, sorted by expressions and where they are equal by the row: parts of one order, each asked for by
/// itself, are together the whole.
fn by_row(mut sort: Vec<SortExpr>, input: Arc<LogicalPlan>, fetch: Option<usize>) -> DataFusionResult<LogicalPlan> {
    let (qualifier, field) = input.schema().qualified_field_with_unqualified_name(ROW_COLUMN)?;
    sort.push(Expr::Column(Column::from((qualifier, field))).sort(true, false));
    Ok(LogicalPlan::Sort(Sort { expr: sort, input, fetch }))
}

/// Whether a linear plan reads a live table, which comes in no order of its own, and does not sort it.
fn is_live_unsorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => false,
        LogicalPlan::TableScan(scan) => source_as_provider(&scan.source).is_ok_and(|provider| {
            let governed = provider.downcast_ref::<GovernedProvider>();
            governed.is_some_and(|governed| !matches!(governed.table().raw(), RawTable::Files(_)))
        }),
        other => other.inputs().into_iter().all(is_live_unsorted),
    }
}

/// A scan of a governed table that also yields an engine column.
pub(crate) fn with_hidden(scan: &LogicalPlan, hidden: HiddenColumns) -> DataFusionResult<LogicalPlan> {
    let LogicalPlan::TableScan(scan) = scan else {
        return datafusion::common::internal_err!("a table scan was expected");
    };
    let provider = source_as_provider(&scan.source)?;
    let Some(governed) = provider.downcast_ref::<GovernedProvider>() else {
        return datafusion::common::internal_err!("a governed table was expected");
    };
    let source = provider_as_source(governed.table().provider(hidden));
    Ok(LogicalPlan::TableScan(TableScanBuilder::new(scan.table_name.clone(), source).build()?))
}

/// Visits every expression of a node until one is found that a check refuses.
pub(crate) fn first_refused<E>(node: &LogicalPlan, mut check: impl FnMut(&Expr) -> Result<(), E>) -> Option<E> {
    let mut refused = None;
    let walked = node.apply_expressions(|expression| {
        expression.apply(|part| {
            Ok(match check(part) {
                Ok(()) => TreeNodeRecursion::Continue,
                Err(found) => {
                    refused = Some(found);
                    TreeNodeRecursion::Stop
                }
            })
        })
    });
    debug_assert!(walked.is_ok(), "the visit itself does not fail");
    refused
}

#[cfg(test)]
mod tests {
    //! What a consumer's plan shows of a governed table: a name and columns. Checked on every shape of plan, since
    //! each rule of the optimiser is a chance to move something across the barrier.

    use datafusion::physical_plan::displayable;
    use lingqu_domain::predicate::{Comparison, Literal, Predicate};
    use lingqu_domain::scope::Precision;

    use super::*;
    use crate::governed::Governance;
    use crate::mask::PseudonymKeys;
    use crate::snapshot::SnapshotStore;
    use crate::source::{Source, SourceOptions};
    use crate::{EngineSettings, Limits};

    #[tokio::test]
    async fn plans_show_nothing_of_what_lies_behind_the_barrier() {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
        let engine = Arc::new(engine);
        let path = directory.path().join("people.csv");
        std::fs::write(&path, "id,tenant,born\n1,acme,2000-01-02\n2,other,2001-01-02\n").expect("written");
        let source = Source::open(&path, SourceOptions::default()).expect("a source");
        let store = SnapshotStore::open(&directory.path().join("snapshots")).expect("a store");
        let snapshot = store.write_source("res_1", &source).await.expect("a snapshot");
        let name = |text: &str| ColumnName::new(text).expect("a name");
        let governance = Governance {
            name: "people".to_owned(),
            columns: vec![(name("id"), Precision::Exact), (name("born"), Precision::Year)],
            rows: vec![Predicate::Compare {
                column: name("tenant"),
                comparison: Comparison::Equal,
                value: Literal::Text("acme".to_owned()),
            }],
            consent: None,
            keys: PseudonymKeys::default(),
            marks: None,
        };
        let table = GovernedTable::new(snapshot.files, &governance).expect("a table");
        let session = GovernedSession::new(&engine, &[table], Limits::default(), AnswerShape::Rows);
        let session = session.expect("a session");
        for (sql, barrier) in [
            ("select * from people", "BarrierExec: table=people, columns=[id, born]"),
            ("select id from people where id > 1 limit 1", "BarrierExec: table=people, columns=[id]"),
            ("select count(*) from people", "BarrierExec: table=people, columns=[]"),
            (
                "select max(id) from people where cast(born as text) like '2%'",
                "BarrierExec: table=people, columns=[id, born]",
            ),
            ("select born from people order by id desc limit 3", "BarrierExec: table=people, columns=[id, born]"),
            ("select distinct born from people", "BarrierExec: table=people, columns=[born]"),
            ("select a.id from people a join people b on a.id = b.id", "BarrierExec: table=people, columns=[id]"),
            (
                "select id from people union select id from people where id = 3",
                "BarrierExec: table=people, columns=[id]",
            ),
            ("select id, sum(id) over (order by born) from people", "BarrierExec: table=people, columns=[id, born]"),
            ("select id from people where id in (select id from people)", "BarrierExec: table=people, columns=[id]"),
        ] {
            let plan = allow::plan(&session.wide, sql, &session.granted).await.expect("an allowed statement");
            let mut plans = vec![(&session.wide, plan.clone())];
            if linear_table(&plan).is_some() {
                plans.push((&session.ordered, carry_row(&plan).expect("a linear plan")));
            }
            for (state, plan) in plans {
                let physical = state.create_physical_plan(&plan).await.expect("a physical plan");
                let shown = displayable(physical.as_ref()).indent(true).to_string();
                let shown_exactly = shown.contains(barrier) || shown.contains(&barrier.replace(']', ", __row]"));
                assert!(shown_exactly, "{sql}\n{shown}");
                for secret in ["tenant", "acme", "DataSource", "raw", "mask", ".parquet", "snapshots"] {
                    assert!(!shown.contains(secret), "{sql} shows {secret}\n{shown}");
                }
            }
        }
    }
}
