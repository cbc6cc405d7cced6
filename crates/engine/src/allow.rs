//! The allow-list: what a statement may be made of.
//!
//! A statement is parsed to exactly one query, planned against the session's tables, and its plan is walked, subqueries
//! included: every node, expression, operator and function must be on the list. What is not is refused by a code; a
//! column or table that was not granted reads the same as one that does not exist. What would grow beyond all bounds while it is
//! planned or optimised is refused before: [`written_out`] looks at the words, [`inlined`] at the plan; and the text is read within
//! bounds ([`reading`]). What the planner would pass over or mistake is refused ([`clauses`]) or written as it takes it rightly
//! ([`windows`], [`casts`]).

mod casts;
mod clauses;
mod inlined;
pub mod reading;
mod windows;
mod written_out;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue, SchemaError};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunctionDefinition};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{Ident, Statement as SqlStatement, Visit, visit_relations_mut};
use datafusion::sql::sqlparser::tokenizer::Tokenizer;
use serde::Serialize;

use crate::allow::clauses::Clauses;
use crate::allow::reading::{BoundedPostgres, TooMuch};
use crate::engine::{CATALOG, SCHEMA};
use crate::{canonical, correlated, explain, membership, parameters};

/// The name by which tools of PostgreSQL know the schema.
const POSTGRES_SCHEMA: &str = "public";

/// Longest statement, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 16_384;
/// Most table references of a statement.
pub const TABLES_MAX: usize = 16;
/// Largest factor by which text-building functions of one statement may multiply a text. Their memory is outside the
/// pool that bounds the operators.
const TEXT_GROWTH_MAX: u64 = 4_096;
/// Largest factor by which a part of a statement may be multiplied while it is planned: eight times COALESCE, NVL or BETWEEN of one another,
/// or five times a CASE of truth values in a WHEN of another.
/// Their memory is that of planning, which no pool bounds.
const COPIES_MAX: u64 = 256;

const SCALAR_FUNCTIONS: &[&str] = &[
    "abs",
    "btrim",
    "ceil",
    "character_length",
    "coalesce",
    "concat",
    "date_part",
    "date_trunc",
    "exp",
    "floor",
    "greatest",
    "least",
    "left",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "nullif",
    "nvl",
    "power",
    "replace",
    "reverse",
    "right",
    "round",
    "rtrim",
    "signum",
    "split_part",
    "sqrt",
    "starts_with",
    "strpos",
    "substr",
    "trunc",
    "upper",
];
// DISTINCT ON is planned as first_value.
pub(crate) const AGGREGATE_FUNCTIONS: &[&str] = &[
    "avg",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "first_value",
    "last_value",
    "max",
    "median",
    "min",
    "percentile_cont",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];
pub(crate) const WINDOW_FUNCTIONS: &[&str] =
    &["dense_rank", "first_value", "lag", "last_value", "lead", "ntile", "percent_rank", "rank", "row_number"];

/// True for scalar functions that are pure, total in memory and of use.
pub(crate) fn is_scalar_allowed(name: &str) -> bool {
    SCALAR_FUNCTIONS.contains(&name)
}

/// True for aggregate functions that keep a bounded state a group (the median keeps its values, within the query's
/// memory).
pub(crate) fn is_aggregate_allowed(name: &str) -> bool {
    AGGREGATE_FUNCTIONS.contains(&name)
}

/// True for window functions.
pub(crate) fn is_window_allowed(name: &str) -> bool {
    WINDOW_FUNCTIONS.contains(&name)
}

/// Why a statement is refused, as a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// Longer than [`STATEMENT_BYTES_MAX`], or too many tables.
    StatementTooLarge,
    /// Not SQL, or SQL that makes no sense.
    StatementNotUnderstood,
    /// Not exactly one query.
    StatementNotAllowed,
    /// A clause or expression that is not on the list.
    ClauseNotAllowed,
    /// A function that is not on the list.
    FunctionNotAllowed,
    /// A column that was not granted or does not exist.
    ColumnNotGranted,
    /// A table that was not granted or does not exist.
    TableNotGranted,
    /// Statistics: not one aggregate over declared dimensions.
    NotAnAggregate,
    /// Statistics: grouping or filtering by a column that is not a declared dimension.
    DimensionNotDeclared,
    /// Statistics: an aggregate that could tell of single subjects.
    AggregateNotAllowed,
    /// Statistics with noise: grouping by a dimension whose values the product does not declare.
    DomainNotDeclared,
    /// Statistics: no group can be shown, or one can't where all must be.
    CohortTooSmall,
    /// Statistics: the answer differs from an earlier one by fewer contributors than the floor.
    DifferenceTooSmall,
    /// Statistics: as many different answers were given as are compared with.
    ReleaseLimitReached,
    /// Statistics: too many questions were refused on one day for what their answers would have told.
    RefusalsExhausted,
}

impl RefusalCode {
    /// The code as text.
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalCode::StatementTooLarge => "statement_too_large",
            RefusalCode::StatementNotUnderstood => "statement_not_understood",
            RefusalCode::StatementNotAllowed => "statement_not_allowed",
            RefusalCode::ClauseNotAllowed => "clause_not_allowed",
            RefusalCode::FunctionNotAllowed => "function_not_allowed",
            RefusalCode::ColumnNotGranted => "column_not_granted",
            RefusalCode::TableNotGranted => "table_not_granted",
            RefusalCode::NotAnAggregate => "not_an_aggregate",
            RefusalCode::DimensionNotDeclared => "dimension_not_declared",
            RefusalCode::AggregateNotAllowed => "aggregate_not_allowed",
            RefusalCode::DomainNotDeclared => "domain_not_declared",
            RefusalCode::CohortTooSmall => "cohort_too_small",
            RefusalCode::DifferenceTooSmall => "difference_too_small",
            RefusalCode::ReleaseLimitReached => "release_limit_reached",
            RefusalCode::RefusalsExhausted => "refusals_exhausted",
        }
    }
}

/// A refused statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The code.
    pub code: RefusalCode,
    /// What was refused and what can be done instead, in one sentence. May quote the statement, never data.
    pub what: String,
    /// For [`RefusalCode::ColumnNotGranted`] the columns, for [`RefusalCode::TableNotGranted`] the tables, for
    /// [`RefusalCode::DimensionNotDeclared`] the dimensions that may be used; else empty.
    pub granted: Vec<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}

impl Refusal {
    pub(crate) fn new(code: RefusalCode, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), granted: Vec::new() }
    }

    pub(crate) fn granting(mut self, granted: Vec<String>) -> Self {
        self.granted = granted;
        self
    }
}

/// The tables of a session with their visible columns.
pub(crate) type Granted = BTreeMap<String, Vec<String>>;

const ONLY_SELECT: &str = "only a SELECT statement is allowed";
/// Most operators of a statement; each may make its tree one deeper.
const OPERATORS_MAX: usize = 256;
/// What stands in the places of a statement's parameters.
#[derive(Clone, Copy)]
pub(crate) enum Parameters<'a> {
    /// Values, one for each.
    Values(&'a [ScalarValue]),
    /// Nothing yet: the statement is described, not answered.
    Open,
}

/// A statement that may be answered, or, where its parameters are open, described.
pub(crate) struct Planned {
    /// Its plan, not optimised, with questions for membership as they are answered ([`membership`]).
    pub(crate) plan: LogicalPlan,
    /// Its plan as it was written, with its types brought together: what it has for a schema is the schema of the answer.
    pub(crate) analysed: LogicalPlan,
    /// For an `EXPLAIN` of the statement what is answered instead: the text of its plan.
    pub(crate) explained: Option<LogicalPlan>,
    /// Its canonical form.
    pub(crate) canonical: String,
}

/// Parses, plans and checks a statement without parameters that is to be run: no `EXPLAIN`. The plan is not optimised.
pub(crate) async fn plan(state: &SessionState, sql: &str, granted: &Granted) -> Result<LogicalPlan, Refusal> {
    let planned = plan_with(state, sql, Parameters::Values(&[]), granted).await?;
    if planned.explained.is_some() {
        return Err(Refusal::new(RefusalCode::StatementNotAllowed, ONLY_SELECT));
    }
    Ok(planned.plan)
}

/// Parses a statement, writes its parameters into it, plans and checks it.
pub(crate) async fn plan_with(
    state: &SessionState,
    sql: &str,
    parameters: Parameters<'_>,
    granted: &Granted,
) -> Result<Planned, Refusal> {
    plan_in(state, sql, parameters, granted, &[SCHEMA, POSTGRES_SCHEMA]).await
}

/// The same where the tables of the session are known by other names of their one schema.
pub(crate) async fn plan_in(
    state: &SessionState,
    sql: &str,
    parameters: Parameters<'_>,
    granted: &Granted,
    schemas: &[&str],
) -> Result<Planned, Refusal> {
    let (mut statement, is_explained) = parse(state, sql)?;
    if let Parameters::Values(values) = parameters {
        parameters::bind(&mut statement, values)?;
    }
    unqualify(&mut statement, schemas);
    let canonical = canonical::text(&statement, is_explained);
    check_tables(state, &statement, granted)?;
    if let Statement::Statement(statement) = &mut statement {
        check_size(statement)?;
        windows::written_out(statement)?;
        casts::written_out(statement);
    }
    let plan = state.statement_to_plan(statement).await.map_err(|error| planning_refusal(&error, granted))?;
    check_plan(&plan)?;
    if let Parameters::Values(_) = parameters
        && !parameters::types_of(&plan)?.is_empty()
    {
        return Err(Refusal::new(RefusalCode::ClauseNotAllowed, "a parameter can't stand at that place"));
    }
    let analysed = analyse(state, &plan, granted)?;
    let explained = match is_explained {
        true => Some(explain::told(state, &plan, &analysed).map_err(|error| planning_refusal(&error, granted))?),
        false => None,
    };
    let written = membership::written_out(plan)?;
    correlated::check(&written.data)?;
    if written.transformed {
        check_conditions(&written.data)?;
    }
    Ok(Planned { plan: written.data, analysed, explained, canonical })
}

/// Types that do not fit together, found here where the planner's message is about the statement alone. Later errors
/// are not told, since they may be about the governed tables' own plans.
fn analyse(state: &SessionState, plan: &LogicalPlan, granted: &Granted) -> Result<LogicalPlan, Refusal> {
    let analysed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {});
    analysed.map_err(|error| planning_refusal(&error, granted))
}

/// Drops the names of the one catalogue and schema there is from the names of tables: tools write
/// `"lingqu"."data"."trips"`, and those of PostgreSQL `public.trips`.
fn unqualify(statement: &mut Statement, schemas: &[&str]) {
    let Statement::Statement(statement) = statement else { return };
    let walked: ControlFlow<()> = visit_relations_mut(statement.as_mut(), |name| {
        let parts: Option<Vec<&Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
        let schema = match parts.as_deref() {
            Some([schema, _]) => Some(*schema),
            Some([catalog, schema, _]) if is_named(catalog, CATALOG) => Some(*schema),
            _ => None,
        };
        if schema.is_some_and(|schema| schemas.iter().any(|known| is_named(schema, known))) {
            name.0.drain(..name.0.len() - 1);
        }
        ControlFlow::Continue(())
    });
    debug_assert!(walked.is_continue(), "the visit goes through to its end");
}

/// Whether a word of a statement is a name: in any case, or between quotes as it is.
fn is_named(word: &Ident, name: &str) -> bool {
    match word.quote_style {
        None => word.value.eq_ignore_ascii_case(name),
        Some(_) => word.value == name,
    }
}

/// Reads one statement, within the bounds of [`reading`].
fn read(sql: &str, depth_max: usize) -> Result<Statement, Refusal> {
    let too_large = |what: String| Refusal::new(RefusalCode::StatementTooLarge, what);
    let unreadable = |error: &str| {
        let what = format!("the statement can't be read: {}", first_line(error));
        Refusal::new(RefusalCode::StatementNotUnderstood, what)
    };
    let dialect = BoundedPostgres::default();
    let tokens =
        Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|error| unreadable(&error.to_string()))?;
    reading::check(tokens.iter().map(|token| &token.token), OPERATORS_MAX).map_err(|TooMuch { found, most }| {
        too_large(format!("the statement has {found}, at most {most} are allowed"))
    })?;
    let parser = DFParserBuilder::new(tokens).with_dialect(&dialect).with_recursion_limit(depth_max).build();
    let mut statements = parser.and_then(|mut parser| parser.parse_statements()).map_err(|error| {
        if dialect.is_ended() {
            return too_large("the statement takes too many steps to read; nest fewer calls and subqueries".to_owned());
        }
        match error.find_root() {
            // Words of SQL that are known to be none of a query.
            DataFusionError::NotImplemented(_) => Refusal::new(RefusalCode::StatementNotAllowed, ONLY_SELECT),
            root => unreadable(&root.strip_backtrace()),
        }
    })?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (None, _) => Err(unreadable("there is none; give one SELECT statement")),
        (Some(_), false) => Err(Refusal::new(RefusalCode::StatementNotAllowed, "give exactly one SELECT statement")),
    }
}

/// Reads one query, or the one that an `EXPLAIN` is of, and whether it was that.
pub(crate) fn parse(state: &SessionState, sql: &str) -> Result<(Statement, bool), Refusal> {
    if sql.len() > STATEMENT_BYTES_MAX {
        let what = format!("the statement has {} bytes, at most {STATEMENT_BYTES_MAX} are allowed", sql.len());
        return Err(Refusal::new(RefusalCode::StatementTooLarge, what));
    }
    let sql = parameters::numbered(sql)?;
    let statement = read(&sql, state.config_options().sql_parser.recursion_limit.get())?;
    let (statement, is_explained) = explain::taken_out(statement)?;
    match &statement {
        Statement::Statement(inner) if matches!(inner.as_ref(), SqlStatement::Query(_)) => {
            match inner.visit(&mut Clauses { functions: state.scalar_functions() }) {
                ControlFlow::Break(refusal) => Err(refusal),
                ControlFlow::Continue(()) => Ok((statement, is_explained)),
            }
        }
        _ => Err(Refusal::new(RefusalCode::StatementNotAllowed, ONLY_SELECT)),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn check_tables(state: &SessionState, statement: &Statement, granted: &Granted) -> Result<(), Refusal> {
    let references = state.resolve_table_references(statement).map_err(|error| planning_refusal(&error, granted))?;
    if references.len() > TABLES_MAX {
        let what = format!("the statement names {} tables, at most {TABLES_MAX} are allowed", references.len());
        return Err(Refusal::new(RefusalCode::StatementTooLarge, what));
    }
    for reference in references {
        let is_own_schema = reference.catalog().is_none() && reference.schema().is_none();
        if !is_own_schema || !granted.contains_key(reference.table()) {
            let tables: Vec<String> = granted.keys().cloned().collect();
            let what = format!("there is no table `{reference}`; you have {}", tables.join(", "));
            return Err(Refusal::new(RefusalCode::TableNotGranted, what).granting(tables));
        }
    }
    Ok(())
}

/// What a planning error means. These errors are about the statement and the granted schema; no data was read.
fn planning_refusal(error: &DataFusionError, granted: &Granted) -> Refusal {
    match error.find_root() {
        DataFusionError::SchemaError(error, _) if let SchemaError::FieldNotFound { field, .. } = error.as_ref() => {
            let mut columns: Vec<String> = granted.values().flatten().cloned().collect();
            columns.sort();
            columns.dedup();
            let what = format!("there is no column `{}`; you have {}", field.name, columns.join(", "));
            Refusal::new(RefusalCode::ColumnNotGranted, what).granting(columns)
        }
        root => {
            let message = root.strip_backtrace();
            let message = first_line(&message);
            if message.contains("Invalid function") || message.contains("Invalid window function") {
                let what = format!("a function of the statement is not allowed: {}", function_named_in(message));
                return Refusal::new(RefusalCode::FunctionNotAllowed, what);
            }
            Refusal::new(RefusalCode::StatementNotUnderstood, format!("the statement can't be planned: {message}"))
        }
    }
}

fn function_named_in(message: &str) -> &str {
    message.split('\'').nth(1).unwrap_or("unknown")
}

/// Refuses a query that is too large once everything that it names is written out, before it is planned. For a door that plans
/// questions of its own.
pub fn check_size(statement: &SqlStatement) -> Result<(), Refusal> {
    written_out::check(statement)
}

/// Refuses a plan that the optimiser would make too large, as [`check_size`] does before it is planned.
pub fn check_conditions(plan: &LogicalPlan) -> Result<(), Refusal> {
    inlined::check(plan)
}

/// Walks a plan, subqueries included.
pub(crate) fn check_plan(plan: &LogicalPlan) -> Result<(), Refusal> {
    let mut refusal: Option<Refusal> = None;
    let mut tables = 0;
    let mut growth: u64 = 1;
    let walked = plan.apply_with_subqueries(|node| {
        let checked = check_node(node, &mut tables).and_then(|()| check_expressions(node, &mut growth));
        Ok(match checked {
            Ok(()) => TreeNodeRecursion::Continue,
            Err(found) => {
                refusal = Some(found);
                TreeNodeRecursion::Stop
            }
        })
    });
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    if walked.is_err() {
        return Err(Refusal::new(RefusalCode::StatementNotUnderstood, "the statement can't be walked; simplify it"));
    }
    check_conditions(plan)
}

/// How often the innermost part of an expression stands in its plan, at most.
fn copies(expr: &Expr) -> DataFusionResult<u64> {
    let mut largest = 1;
    let mut place = 0;
    expr.apply_children(|child| {
        largest = copies(child)?.saturating_mul(inlined::copied(expr, place)).max(largest);
        place += 1;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(largest)
}

fn check_node(node: &LogicalPlan, tables: &mut usize) -> Result<(), Refusal> {
    let clause = match node {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_) => None,
        LogicalPlan::TableScan(_) => {
            *tables += 1;
            if *tables > TABLES_MAX {
                let what = format!("the statement reads more than {TABLES_MAX} tables");
                return Err(Refusal::new(RefusalCode::StatementTooLarge, what));
            }
            None
        }
        LogicalPlan::Repartition(_) => Some("repartitioning"),
        LogicalPlan::Statement(_) => Some("session statements"),
        LogicalPlan::Values(_) => Some("VALUES"),
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => Some("EXPLAIN"),
        LogicalPlan::Extension(_) => Some("extensions"),
        LogicalPlan::Dml(_) => Some("changing data"),
        LogicalPlan::Ddl(_) => Some("defining data"),
        LogicalPlan::Copy(_) => Some("COPY"),
        LogicalPlan::DescribeTable(_) => Some("DESCRIBE"),
        LogicalPlan::Unnest(_) => Some("UNNEST"),
        LogicalPlan::RecursiveQuery(_) => Some("WITH RECURSIVE"),
    };
    if let Some(clause) = clause {
        return Err(Refusal::new(RefusalCode::ClauseNotAllowed, format!("{clause} is not allowed")));
    }
    // The planner's own name for which grouping set a row is of; only a projection or alias is the user's naming.
    let is_planners = |name: &str| {
        name == "__grouping_id" && !matches!(node, LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_))
    };
    for field in node.schema().fields() {
        if field.name().starts_with("__") && !is_planners(field.name()) {
            return Err(Refusal::new(RefusalCode::ClauseNotAllowed, "names that begin with __ are reserved"));
        }
    }
    Ok(())
}

fn check_expressions(node: &LogicalPlan, growth: &mut u64) -> Result<(), Refusal> {
    let mut refusal = None;
    let walked: DataFusionResult<TreeNodeRecursion> = node.apply_expressions(|expression| {
        if copies(expression)? > COPIES_MAX {
            let what = "the statement has too many of COALESCE, NVL, BETWEEN and conditions of CASE one within another; compute some in a subquery";
            refusal = Some(Refusal::new(RefusalCode::StatementTooLarge, what));
            return Ok(TreeNodeRecursion::Stop);
        }
        expression.apply(|part| {
            Ok(match check_expression(part, growth) {
                Ok(()) => TreeNodeRecursion::Continue,
                Err(found) => {
                    refusal = Some(found);
                    TreeNodeRecursion::Stop
                }
            })
        })
    });
    match (refusal, walked) {
        (Some(refusal), _) => Err(refusal),
        (None, Ok(_)) => Ok(()),
        (None, Err(_)) => {
            Err(Refusal::new(RefusalCode::StatementNotUnderstood, "the statement can't be walked; simplify it"))
        }
    }
}

fn check_expression(part: &Expr, growth: &mut u64) -> Result<(), Refusal> {
    let not_allowed = |what: &str| Err(Refusal::new(RefusalCode::ClauseNotAllowed, format!("{what} is not allowed")));
    match part {
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::Literal(..)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::InList(_)
        | Expr::Exists(_)
        | Expr::InSubquery(_)
        | Expr::ScalarSubquery(_)
        | Expr::OuterReferenceColumn(..)
        | Expr::GroupingSet(_)
        // There are none left but in a statement that is only described.
        | Expr::Placeholder(_) => Ok(()),
        Expr::Like(like) => check_pattern(&like.pattern),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::Plus
            | Operator::Minus
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo
            | Operator::And
            | Operator::Or
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => Ok(()),
            Operator::StringConcat => grow(growth, changing_count(&[left.as_ref(), right.as_ref()])),
            other => not_allowed(&format!("the operator {other}")),
        },
        Expr::ScalarFunction(call) => {
            let name = call.func.name();
            if !is_scalar_allowed(name) {
                return Err(function_refusal(name));
            }
            let arguments: Vec<&Expr> = call.args.iter().collect();
            match name {
                "concat" => grow(growth, changing_count(&arguments)),
                "replace" => match arguments.get(2) {
                    Some(Expr::Literal(value, _)) => {
                        grow(growth, value.try_as_str().flatten().map_or(1, str::len) as u64)
                    }
                    Some(Expr::Placeholder(_)) => Ok(()),
                    _ => not_allowed("replace() by anything but a constant"),
                },
                _ => Ok(()),
            }
        }
        // DataFusion (55.2) correlates equal pairs as often as they are there all the same.
        Expr::AggregateFunction(call) if call.func.name() == "corr" && call.params.distinct => {
            not_allowed("DISTINCT within corr()")
        }
        Expr::AggregateFunction(call) if is_aggregate_allowed(call.func.name()) => Ok(()),
        Expr::AggregateFunction(call) => Err(function_refusal(call.func.name())),
        Expr::WindowFunction(call) => {
            let is_allowed = match &call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => is_aggregate_allowed(function.name()),
                WindowFunctionDefinition::WindowUDF(function) => is_window_allowed(function.name()),
            };
            // DataFusion (55.2) loses values that come after several missing ones, and those behind a LIMIT.
            let looks_ahead = matches!(call.fun.name(), "lead" | "lag");
            if looks_ahead && call.params.null_treatment == Some(NullTreatment::IgnoreNulls) {
                return not_allowed("IGNORE NULLS with lead() or lag()");
            }
            // These have neither, and DataFusion leaves them out.
            let is_of_window = matches!(call.fun, WindowFunctionDefinition::WindowUDF(_));
            if is_of_window && (call.params.filter.is_some() || call.params.distinct) {
                return not_allowed(&format!("FILTER or DISTINCT with {}()", call.fun.name()));
            }
            if call.fun.name() == "corr" && call.params.distinct {
                return not_allowed("DISTINCT within corr()");
            }
            if is_allowed { Ok(()) } else { Err(function_refusal(call.fun.name())) }
        }
        Expr::ScalarVariable(..) => not_allowed("a variable"),
        Expr::SimilarTo(_) => not_allowed("SIMILAR TO"),
        Expr::SetComparison(_) => not_allowed("ANY or ALL"),
        Expr::Unnest(_) => not_allowed("UNNEST"),
        _ => not_allowed("this kind of expression"),
    }
}

/// Refuses a pattern that is made of a row. Each that is not plain is compiled, and nothing ends a query within a batch: thousands of
/// them would take it far beyond its time.
fn check_pattern(pattern: &Expr) -> Result<(), Refusal> {
    let is_of_row = pattern.exists(|part| {
        Ok(matches!(
            part,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
        ))
    });
    if matches!(is_of_row, Ok(false)) {
        return Ok(());
    }
    let what = "LIKE by a pattern that is made of a column or a subquery is not allowed; write the pattern out or give it as a parameter, \
                or look for one text in another by strpos() or starts_with()";
    Err(Refusal::new(RefusalCode::ClauseNotAllowed, what))
}

fn function_refusal(name: &str) -> Refusal {
    Refusal::new(RefusalCode::FunctionNotAllowed, format!("a function of the statement is not allowed: {name}"))
}

fn changing_count(arguments: &[&Expr]) -> u64 {
    arguments.iter().filter(|argument| !matches!(argument, Expr::Literal(..))).count() as u64
}

fn grow(growth: &mut u64, factor: u64) -> Result<(), Refusal> {
    *growth = growth.saturating_mul(factor.max(1));
    if *growth > TEXT_GROWTH_MAX {
        let what = "the statement builds too much text; use fewer concat, || and replace";
        return Err(Refusal::new(RefusalCode::StatementTooLarge, what));
    }
    Ok(())
}
