//! Every rule of the pinned optimiser, ours among them, and those that ours stand for, over governed plans: alone, twice, in pairs,
//! all of them, all but one.
//!
//! A rule is a chance to move something across the barrier, to answer from statistics what should be read, or to drop the
//! barrier from the plan. After each the plan is looked at: as many barriers as the statement has tables (or, where a part
//! has no rows whatever the data, fewer), no other leaf that has data, nothing of the consumer's conditions below but what
//! can't fail, nothing hidden in the plan's text, statistics that say nothing. Plans that are whole are run as well, over
//! hidden rows on which the conditions fail. All of it is done twice: over the table, and over one recipient's copy of it, with a
//! marked column that conditions stop at as well. A version of DataFusion that brings a new rule brings it into this test.
//!
//! The tests at the end try the same rules on a table that is open to them: there the look finds fault.

mod questions;

use std::sync::Arc;

use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Statistics};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, TableProviderFilterPushDown, TableType};
use datafusion::optimizer::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{collect, displayable};
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::scope::{ColumnName, Precision as Shown};
use lingqu_fingerprint::{
    BiasTable, Carrier, Mark, MarkKey, Marking, PositionSecrets, Presence, Profile, RATE_ONE, RecipientCode,
};
use tempfile::TempDir;

use self::questions::{QUESTIONS, Question, UNSAFE_MARK};
use super::*;
use crate::allow::{self, Granted};
use crate::engine::{Engine, EngineSettings, register};
use crate::governed::{Governance, GovernedProvider, GovernedTable, HiddenColumns};
use crate::joins;
use crate::marks::Marks;
use crate::mask::PseudonymKeys;
use crate::rules::{self, FallibleKeys, logical_rules};
use crate::snapshot::SnapshotStore;
use crate::source::{Source, SourceOptions};

/// Rules of DataFusion 55.2, and of the analyser's one of ours. A later version may have more; one that has fewer has moved them
/// elsewhere.
const ANALYZER_RULES_MIN: usize = 3;
const LOGICAL_RULES_MIN: usize = 25;
const PHYSICAL_RULES_MIN: usize = 21;
/// Every pair of rules is tried on one statement in so many; which one moves on from pair to pair.
const PAIRS_EVERY: usize = 12;
const MEMORY_BYTES: usize = 64 << 20;
/// Rows of the table that are visible.
const VISIBLE: usize = 3;

const PEOPLE: &str = "id,tenant,code,divisor,born\n\
     1,hospital-visible,11,1,2000-01-02\n2,hospital-visible,12,2,2001-01-02\n3,hospital-visible,13,3,2002-01-02\n\
     4,hospital-hidden,S4-secret,0,1943-07-08\n5,hospital-hidden,S5-secret,0,1944-07-08\n";
/// What no plan may show: the row condition, the columns that are not granted, values of hidden rows, what is read.
const SECRETS: &[&str] =
    &["hospital", "tenant", "secret", "1943", "1944", "DataSource", ".parquet", "mask", "raw", "MarkExec", "__mark"];
/// The columns that are neither masked nor hidden.
const EXACT: &[&str] = &["id", "code", "divisor"];
/// Those of them that are not marked either, in the recipient's copy.
const UNMARKED: &[&str] = &["id", "divisor"];

/// A governed table `people` of which the first three rows are visible.
struct Stand {
    _directory: TempDir,
    engine: Arc<Engine>,
    table: Arc<GovernedTable>,
    granted: Granted,
    /// The columns that conditions may go below on.
    exact: Columns,
}

/// Names of columns.
type Columns = &'static [&'static str];

impl Stand {
    async fn new() -> Stand {
        Self::of(None, EXACT).await
    }

    async fn both() -> [Stand; 2] {
        [Self::new().await, Self::copy().await]
    }

    /// One recipient's copy of it, in which every code is one of two and rows may lack.
    async fn copy() -> Stand {
        let code = |number: u32| (number + 10).to_string();
        let sets = (1..=3).map(|number| vec![code(number), code(number + 10)]).collect();
        let carrier = Carrier::Category { column: "code".to_owned(), sets };
        let marking = Marking {
            key: vec!["id".to_owned()],
            marks: vec![Mark { name: "code".to_owned(), rate: RATE_ONE, by: Vec::new(), carrier }],
            order_share: 6_554,
            biases: BiasTable::default(),
            presence: Some(Presence::of_share(0.1)),
        };
        let key = |byte| MarkKey::from_bytes(Profile::Aes, [byte; 32]);
        let (recipient, order) = (RecipientCode::new(&key(2)), RecipientCode::new(&key(3)));
        let marks = Marks::new(marking, PositionSecrets::new(&key(1)), recipient, order).expect("a good marking");
        Self::of(Some(Arc::new(marks)), UNMARKED).await
    }

    async fn of(marks: Option<Arc<Marks>>, exact: Columns) -> Stand {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
        let path = directory.path().join("people.csv");
        std::fs::write(&path, PEOPLE).expect("written");
        let source = Source::open(&path, SourceOptions::default()).expect("a source");
        let store = SnapshotStore::open(&directory.path().join("snapshots")).expect("a store");
        let snapshot = store.write_source("res_1", &source).await.expect("a snapshot");
        let name = |text: &str| ColumnName::new(text).expect("a name");
        let mut columns: Vec<_> = EXACT.iter().map(|column| (name(column), Shown::Exact)).collect();
        columns.push((name("born"), Shown::Year));
        let rows = vec![Predicate::Compare {
            column: name("tenant"),
            comparison: Comparison::Equal,
            value: Literal::Text("hospital-visible".to_owned()),
        }];
        let keys = PseudonymKeys::default();
        let governance = Governance { name: "people".to_owned(), columns, rows, consent: None, keys, marks };
        let table = GovernedTable::new(snapshot.files, &governance).expect("a table");
        let granted = Granted::from([("people".to_owned(), table.column_names())]);
        Stand { _directory: directory, engine: Arc::new(engine), table, granted, exact }
    }

    /// A state as sessions have it, with the governed table.
    fn state(&self) -> SessionState {
        let state = self.engine.governed_state(2);
        register(&state, "people", self.table.provider(HiddenColumns::None)).expect("a new name");
        state
    }

    /// The same with everything switched on that a rule may do, dynamic filters included.
    fn eager(&self) -> SessionState {
        let state = self.state();
        // The catalogue is there already; made again it would be empty.
        let mut config = state.config().clone().with_create_default_catalog_and_schema(false);
        let optimizer = &mut config.options_mut().optimizer;
        optimizer.enable_dynamic_filter_pushdown = true;
        optimizer.filter_null_join_keys = true;
        optimizer.enable_window_topn = true;
        optimizer.enable_unions_to_filter = true;
        optimizer.enable_physical_uncorrelated_scalar_subquery = false;
        optimizer.prefer_existing_sort = true;
        config.options_mut().execution.hash_join_buffering_capacity = 1 << 20;
        config.options_mut().execution.collect_statistics = true;
        SessionStateBuilder::new_from_existing(state).with_config(config).build()
    }

    async fn analysed(&self, state: &SessionState, question: &Question) -> LogicalPlan {
        let planned = allow::plan_with(state, question.sql, allow::Parameters::Values(&[]), &self.granted).await;
        planned.unwrap_or_else(|error| panic!("{}: {error}", question.sql)).analysed
    }

    /// Plans and runs; the conditions fail on hidden rows.
    async fn run(&self, state: &SessionState, plan: &LogicalPlan, seen: &mut Seen) {
        let physical = match state.create_physical_plan(plan).await {
            Ok(physical) => physical,
            // Without a rule that it needs a statement has no physical plan, and answers nothing.
            Err(_) => return,
        };
        look_at_physical(&physical, seen);
        if has_requirement(&physical) {
            return;
        }
        let left = RowsLeft::default();
        let task = self.engine.task(state, MEMORY_BYTES, &left).expect("a task");
        match collect(physical, task).await {
            Ok(_) => seen.runs += 1,
            Err(error) => match error.find_root() {
                // Plans without the rules that repair distribution may be refused by an operator.
                DataFusionError::Internal(_) | DataFusionError::Plan(_) => {}
                root => seen.wrong.push(format!("it fails, so a hidden row was evaluated: {root}")),
            },
        }
        if left.total().values().any(|rows| rows.max().is_some_and(|row| row > 2)) {
            seen.wrong.push("a hidden row crossed the barrier".to_owned());
        }
    }
}

/// Whether a plan has what only rules read and what can't be run: a requirement is left where the rule is that takes it out,
/// a join whose mode is open where the rule is that chooses it.
fn has_requirement(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_open = plan.downcast_ref::<HashJoinExec>().is_some_and(|join| *join.partition_mode() == PartitionMode::Auto);
    is_open || plan.name() == "OutputRequirementExec" || plan.children().into_iter().any(has_requirement)
}

/// What a look at a plan finds.
struct Seen {
    exact: Columns,
    barriers: usize,
    runs: usize,
    /// Conditions made at run time that went below a barrier.
    let_through: usize,
    wrong: Vec<String>,
}

impl Seen {
    fn nothing(exact: Columns) -> Seen {
        Seen { exact, barriers: 0, runs: 0, let_through: 0, wrong: Vec::new() }
    }

    fn judge(mut self, question: &Question, rules: &str, faults: &mut Vec<String>) -> usize {
        if !(question.fewest..=question.scans).contains(&self.barriers) {
            let what = format!("{} barriers, {} to {} expected", self.barriers, question.fewest, question.scans);
            self.wrong.push(what);
        }
        for wrong in &self.wrong {
            faults.push(format!("{rules}: {}\n  {wrong}", question.sql));
        }
        self.runs
    }
}

/// Whether a provider is a governed table; the self-checks put another in its place.
type IsGoverned = fn(&dyn TableProvider) -> bool;

fn is_governed(provider: &dyn TableProvider) -> bool {
    provider.is::<GovernedProvider>()
}

fn look_at_logical(plan: &LogicalPlan, is_governed: IsGoverned, exact: Columns) -> Seen {
    let mut seen = Seen::nothing(exact);
    let walked = plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) => {
                if source_as_provider(&scan.source).is_ok_and(|provider| is_governed(provider.as_ref())) {
                    seen.barriers += 1;
                } else {
                    seen.wrong.push(format!("`{}` is read past the barrier", scan.table_name));
                }
                for filter in scan.filters.iter().filter(|filter| !is_harmless(filter, exact)) {
                    seen.wrong.push(format!("this goes below the barrier: {filter}"));
                }
            }
            LogicalPlan::EmptyRelation(_) => {}
            leaf if leaf.inputs().is_empty() => seen.wrong.push(format!("another leaf: {}", leaf.display())),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the visit itself does not fail");
    no_secrets(&plan.display_indent_schema().to_string(), &mut seen);
    seen
}

/// Judged anew, not by the code that lets conditions through.
fn is_harmless(filter: &Expr, exact: Columns) -> bool {
    let mut is_harmless = true;
    let walked = filter.apply(|part| {
        is_harmless &= match part {
            Expr::Column(column) => exact.contains(&column.name.as_str()),
            Expr::BinaryExpr(binary) => matches!(
                binary.op,
                Operator::And
                    | Operator::Or
                    | Operator::Eq
                    | Operator::NotEq
                    | Operator::Lt
                    | Operator::LtEq
                    | Operator::Gt
                    | Operator::GtEq
            ),
            Expr::Like(like) => {
                let pattern = like.pattern.to_string();
                !like.case_insensitive && pattern.ends_with("%\")") && pattern.matches(['%', '_', '\\']).count() == 1
            }
            Expr::Literal(..) | Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) => true,
            Expr::Between(_) | Expr::InList(_) => true,
            _ => false,
        };
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the visit itself does not fail");
    is_harmless
}

fn look_at_physical(plan: &Arc<dyn ExecutionPlan>, seen: &mut Seen) {
    look_below(plan, seen);
    no_secrets(&displayable(plan.as_ref()).set_show_statistics(true).indent(true).to_string(), seen);
}

fn look_below(node: &Arc<dyn ExecutionPlan>, seen: &mut Seen) {
    if let Some(barrier) = node.downcast_ref::<BarrierExec>() {
        seen.barriers += 1;
        look_at_barrier(barrier, seen);
        return;
    }
    let children = node.children();
    if children.is_empty() && !matches!(node.name(), "EmptyExec" | "PlaceholderRowExec") {
        seen.wrong.push(format!("another leaf: {}", node.name()));
    }
    for child in children {
        look_below(child, seen);
    }
}

fn look_at_barrier(barrier: &BarrierExec, seen: &mut Seen) {
    let inner = displayable(barrier.inner.as_ref()).indent(true).to_string();
    if inner.contains(UNSAFE_MARK) || inner.contains("2999-01-01") {
        seen.wrong.push(format!("a condition of the consumer is below the barrier:\n{inner}"));
    }
    let is_filtered = inner.lines().any(|line| line.contains("CoveredExec") && line.contains("hospital-visible"));
    // A scan of which the consumer's own conditions leave nothing has no filter any more, and no file.
    if !is_filtered && inner.contains("DataSourceExec") {
        seen.wrong.push(format!("the row condition is not in the plan below the barrier:\n{inner}"));
    }
    // Nothing that is computed of a value for the consumer stands below the node that leaves rows out, where it would be
    // computed of hidden rows as well.
    if inner.split_once("CoveredExec").is_some_and(|(_, below)| below.contains("mask(") || below.contains("MarkExec")) {
        seen.wrong.push(format!("a mask or a mark is below the node that leaves rows out:\n{inner}"));
    }
    // What is made at run time, only on exact columns and only behind its sieve.
    let mut touched = barrier.conditions.iter().flat_map(collect_columns);
    if let Some(column) = touched.find(|column| !seen.exact.contains(&column.name())) {
        seen.wrong.push(format!("a filter that is made at run time touches {column} below the barrier:\n{inner}"));
    }
    if inner.replace("sieve(DynamicFilter", "").contains("DynamicFilter") {
        seen.wrong.push(format!("a filter that is made at run time is below the barrier without a sieve:\n{inner}"));
    }
    seen.let_through += barrier.conditions.len();
    let properties = barrier.properties().eq_properties.clone();
    if !properties.oeq_class().is_empty() || !properties.constants().is_empty() {
        seen.wrong.push("the barrier tells an order or a constant".to_owned());
    }
    let statistics = StatisticsContext::new().compute(barrier, &StatisticsArgs::new());
    let statistics = statistics.expect("statistics can be asked for");
    // A guess at the size helps to order joins; nothing may be answered from it, it is never of hidden rows, and nothing of
    // any column is told.
    let is_guess = matches!(statistics.num_rows, Precision::Absent | Precision::Inexact(0..=VISIBLE))
        && !matches!(statistics.total_byte_size, Precision::Exact(_))
        && statistics.column_statistics == Statistics::unknown_column(&barrier.schema());
    if !is_guess {
        seen.wrong.push(format!("the barrier tells statistics: {statistics:?}"));
    }
}

fn no_secrets(text: &str, seen: &mut Seen) {
    for secret in SECRETS.iter().filter(|secret| text.contains(**secret)) {
        seen.wrong.push(format!("the plan shows `{secret}`:\n{text}"));
    }
}

type LogicalRule = Arc<dyn OptimizerRule + Send + Sync>;
type PhysicalRule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

fn names(rules: &[&LogicalRule]) -> String {
    rules.iter().map(|rule| rule.name()).collect::<Vec<_>>().join(", ")
}

/// Ways to apply rules, by index: each alone, each twice, each pair in both orders on some statements.
fn combinations(rules: usize, statement: usize) -> Vec<Vec<usize>> {
    let mut combined = Vec::new();
    for first in 0..rules {
        combined.push(vec![first]);
        for second in 0..rules {
            if first == second || (first * rules + second + statement).is_multiple_of(PAIRS_EVERY) {
                combined.push(vec![first, second]);
            }
        }
    }
    combined
}

fn hold(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
}

#[tokio::test]
async fn the_statements_are_many_and_each_has_the_barriers_it_says() {
    for stand in Stand::both().await {
        statements(&stand).await;
    }
}

async fn statements(stand: &Stand) {
    assert!(QUESTIONS.len() >= 40, "{}", QUESTIONS.len());
    let mut faults = Vec::new();
    for question in QUESTIONS {
        let plan = stand.analysed(&stand.state(), question).await;
        let seen = look_at_logical(&plan, is_governed, stand.exact);
        assert_eq!(seen.barriers, question.scans, "{}", question.sql);
        seen.judge(question, "no rule", &mut faults);
    }
    hold(&faults);
}

#[tokio::test]
async fn no_rule_of_the_analyzer_passes_the_barrier() {
    for stand in Stand::both().await {
        analyzer_rules(&stand).await;
    }
}

async fn analyzer_rules(stand: &Stand) {
    let rules = rules::analyzer_rules();
    let known: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
    assert!(rules.len() >= ANALYZER_RULES_MIN, "the analyzer's rules are {known:?}");
    let mut faults = Vec::new();
    for question in QUESTIONS {
        let state = stand.eager();
        let plan = allow::plan(&state, question.sql, &stand.granted).await.expect("an allowed statement");
        for combined in combinations(rules.len(), 0) {
            let mut plan = Ok(plan.clone());
            for index in &combined {
                plan = plan.and_then(|plan: LogicalPlan| rules[*index].analyze(plan, state.config_options()));
            }
            // A rule may need another before it.
            let Ok(plan) = plan else { continue };
            let named: Vec<&str> = combined.iter().map(|index| known[*index]).collect();
            look_at_logical(&plan, is_governed, stand.exact).judge(question, &named.join(", "), &mut faults);
        }
    }
    hold(&faults);
}

#[tokio::test]
async fn no_logical_rule_passes_the_barrier_alone_twice_or_in_pairs() {
    for stand in Stand::both().await {
        logical_rules_apart(&stand).await;
    }
}

/// Ours, and of DataFusion's those that ours stand for.
fn every_logical_rule() -> Vec<LogicalRule> {
    let mut rules = logical_rules(FallibleKeys::Early);
    let ours: Vec<String> = rules.iter().map(|rule| format!("{rule:?}")).collect();
    rules.extend(Optimizer::new().rules.into_iter().filter(|rule| !ours.contains(&format!("{rule:?}"))));
    rules
}

async fn logical_rules_apart(stand: &Stand) {
    let rules = every_logical_rule();
    let known = names(&rules.iter().collect::<Vec<_>>());
    assert!(rules.len() >= LOGICAL_RULES_MIN, "the logical rules are {known}");
    let (mut faults, mut applied) = (Vec::new(), 0);
    for (number, question) in QUESTIONS.iter().enumerate() {
        let state = stand.eager();
        let plan = stand.analysed(&state, question).await;
        for combined in combinations(rules.len(), number) {
            let chosen: Vec<&LogicalRule> = combined.iter().map(|index| &rules[*index]).collect();
            let optimizer = Optimizer::with_rules(chosen.iter().map(|rule| Arc::clone(rule)).collect());
            // A rule may need another before it.
            let Ok(optimised) = optimizer.optimize(plan.clone(), &state, |_, _| {}) else { continue };
            applied += 1;
            look_at_logical(&optimised, is_governed, stand.exact).judge(question, &names(&chosen), &mut faults);
        }
    }
    hold(&faults);
    assert!(applied > QUESTIONS.len() * rules.len() * 2, "only {applied} plans were made");
}

/// The rules without the one at a place; all of them where there is none.
fn all_but<T: ?Sized>(rules: &[Arc<T>], left_out: usize) -> Vec<Arc<T>> {
    let kept = rules.iter().enumerate().filter(|(place, _)| *place != left_out);
    kept.map(|(_, rule)| Arc::clone(rule)).collect()
}

#[tokio::test]
async fn all_logical_rules_and_all_but_one_keep_the_barrier_and_run() {
    logical_rules_together(&Stand::new().await).await;
}

#[tokio::test]
async fn all_logical_rules_and_all_but_one_keep_the_barrier_and_run_over_a_copy() {
    logical_rules_together(&Stand::copy().await).await;
}

async fn logical_rules_together(stand: &Stand) {
    let (ours, theirs) = (logical_rules(FallibleKeys::Early), Optimizer::new().rules);
    let literal = logical_rules(FallibleKeys::Reached);
    let (mut faults, mut plans, mut runs) = (Vec::new(), 0, 0);
    // As sessions are: with all rules. With everything switched on: with all but each as well. The barrier holds whether or not
    // rules are kept from what can fail.
    for (rules, base, first) in [
        (&ours, stand.state(), ours.len()),
        (&ours, stand.eager(), 0),
        (&literal, stand.state(), literal.len()),
        (&theirs, stand.state(), theirs.len()),
        (&theirs, stand.eager(), theirs.len()),
    ] {
        for left_out in first..=rules.len() {
            let kept = all_but(rules, left_out);
            let what =
                rules.get(left_out).map_or("all logical rules".to_owned(), |rule| format!("all but {}", rule.name()));
            let state = SessionStateBuilder::new_from_existing(base.clone()).with_optimizer_rules(kept).build();
            for question in QUESTIONS {
                let plan = stand.analysed(&state, question).await;
                // Without a rule that another needs, some statements have no plan, and no answer.
                let Ok(optimised) = state.optimize(&plan) else { continue };
                plans += 1;
                look_at_logical(&optimised, is_governed, stand.exact).judge(question, &what, &mut faults);
                let mut seen = Seen::nothing(stand.exact);
                stand.run(&state, &plan, &mut seen).await;
                if seen.barriers > 0 || seen.runs > 0 {
                    runs += seen.judge(question, &what, &mut faults);
                }
            }
        }
    }
    hold(&faults);
    assert!(plans > QUESTIONS.len() * ours.len() * 9 / 10, "only {plans} plans were made");
    assert!(runs > QUESTIONS.len() * ours.len() / 2, "only {runs} plans were run");
}

#[tokio::test]
async fn no_physical_rule_passes_the_barrier_alone_twice_or_in_pairs() {
    for stand in Stand::both().await {
        physical_rules_apart(&stand).await;
    }
}

async fn physical_rules_apart(stand: &Stand) {
    let rules = joins::every_rule();
    let known: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
    assert!(rules.len() >= PHYSICAL_RULES_MIN, "the physical rules are {known:?}");
    let eager = stand.eager();
    let without = SessionStateBuilder::new_from_existing(eager).with_physical_optimizer_rules(Vec::new()).build();
    let (mut faults, mut applied) = (Vec::new(), 0);
    for (number, question) in QUESTIONS.iter().enumerate() {
        let plan = stand.analysed(&without, question).await;
        let planned = without.create_physical_plan(&plan).await;
        let planned = planned.unwrap_or_else(|error| panic!("{}: {error}", question.sql));
        for combined in combinations(rules.len(), number) {
            let mut optimised = Ok(Arc::clone(&planned));
            for index in &combined {
                optimised = optimised.and_then(|plan| rules[*index].optimize(plan, without.config_options()));
            }
            // A rule may need another before it.
            let Ok(optimised) = optimised else { continue };
            applied += 1;
            let named: Vec<&str> = combined.iter().map(|index| known[*index]).collect();
            let mut seen = Seen::nothing(stand.exact);
            look_at_physical(&optimised, &mut seen);
            seen.judge(question, &named.join(", "), &mut faults);
        }
    }
    hold(&faults);
    assert!(applied > QUESTIONS.len() * rules.len() * 2, "only {applied} plans were made");
}

#[tokio::test]
async fn all_physical_rules_and_all_but_one_keep_the_barrier_and_run() {
    physical_rules_together(&Stand::new().await).await;
}

#[tokio::test]
async fn all_physical_rules_and_all_but_one_keep_the_barrier_and_run_over_a_copy() {
    physical_rules_together(&Stand::copy().await).await;
}

async fn physical_rules_together(stand: &Stand) {
    let rules: Vec<PhysicalRule> = joins::physical_rules();
    let (mut faults, mut runs, mut let_through) = (Vec::new(), 0, 0);
    for left_out in 0..=rules.len() {
        let kept = all_but(&rules, left_out);
        let what =
            rules.get(left_out).map_or("all physical rules".to_owned(), |rule| format!("all but {}", rule.name()));
        let state = SessionStateBuilder::new_from_existing(stand.eager()).with_physical_optimizer_rules(kept).build();
        for question in QUESTIONS {
            let plan = stand.analysed(&state, question).await;
            let mut seen = Seen::nothing(stand.exact);
            stand.run(&state, &plan, &mut seen).await;
            let_through += seen.let_through;
            if seen.barriers > 0 || seen.runs > 0 {
                runs += seen.judge(question, &what, &mut faults);
            }
        }
    }
    hold(&faults);
    assert!(let_through > rules.len(), "only {let_through} conditions were let through");
    assert!(runs > QUESTIONS.len() * rules.len() / 2, "only {runs} plans were run");
}

/// What a governed table would be without its barrier: takes every condition, and yields the inner plan as it is.
#[derive(Debug)]
struct Open {
    provider: Arc<GovernedProvider>,
}

#[async_trait::async_trait]
impl TableProvider for Open {
    fn schema(&self) -> SchemaRef {
        self.provider.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let scanned = self.provider.scan(state, projection, &[], limit).await?;
        let barrier = scanned.downcast_ref::<BarrierExec>().expect("a governed table is scanned behind a barrier");
        Ok(Arc::clone(&barrier.inner))
    }
}

#[tokio::test]
async fn the_look_finds_fault_with_a_table_that_takes_every_condition() {
    let stand = Stand::new().await;
    // Ours would keep from it what can fail.
    let state = SessionStateBuilder::new_from_existing(stand.engine.governed_state(2))
        .with_optimizer_rules(Optimizer::new().rules)
        .with_physical_optimizer_rules(PhysicalOptimizer::new().rules)
        .build();
    let open: Arc<dyn TableProvider> = Arc::new(Open { provider: stand.table.provider(HiddenColumns::None) });
    register(&state, "people", open).expect("a new name");
    let (mut logical, mut physical) = (Vec::new(), Vec::new());
    for question in QUESTIONS {
        let plan = stand.analysed(&state, question).await;
        let optimised = state.optimize(&plan).expect("it is optimised");
        look_at_logical(&optimised, |provider| provider.is::<Open>(), stand.exact).judge(question, "all", &mut logical);
        let mut seen = Seen::nothing(stand.exact);
        if let Ok(planned) = state.create_physical_plan(&plan).await {
            look_at_physical(&planned, &mut seen);
            seen.judge(question, "all", &mut physical);
        }
    }
    let below = logical.iter().filter(|fault| fault.contains("below the barrier")).count();
    assert!(below >= 20, "{below} of {} statements", QUESTIONS.len());
    assert!(physical.iter().any(|fault| fault.contains("another leaf: DataSourceExec")), "{physical:?}");
    assert!(physical.iter().any(|fault| fault.contains("the plan shows `hospital`")), "{physical:?}");
}

#[tokio::test]
async fn the_look_finds_fault_with_a_view() {
    let stand = Stand::new().await;
    let state = stand.engine.trusted_state();
    register(&state, "raw_people", stand.table.raw().provider(None)).expect("a new name");
    let view =
        state.create_logical_plan("select id, code, divisor, born from raw_people where tenant = 'hospital-visible'");
    let view = datafusion::catalog::view::ViewTable::new(view.await.expect("a view"), None);
    register(&state, "people", Arc::new(view)).expect("a new name");
    let (mut faults, mut failed) = (Vec::new(), 0);
    for question in QUESTIONS {
        let plan = state.create_logical_plan(question.sql).await.expect("it is planned");
        let optimised = state.optimize(&plan).expect("it is optimised");
        look_at_logical(&optimised, is_governed, stand.exact).judge(question, "all", &mut faults);
        let Ok(physical) = state.create_physical_plan(&plan).await else { continue };
        let task = stand.engine.task(&state, MEMORY_BYTES, &RowsLeft::default()).expect("a task");
        failed += usize::from(collect(physical, task).await.is_err());
    }
    assert!(faults.iter().any(|fault| fault.contains("read past the barrier")));
    assert!(faults.iter().any(|fault| fault.contains("the plan shows `tenant`")));
    assert!(failed > 0, "no rule moved a condition before the row condition of a view");
}
