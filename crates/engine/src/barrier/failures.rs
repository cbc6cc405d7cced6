//! With the rules of the optimiser off a statement fails on a governed table if and only if it fails on one that holds nothing
//! but the visible rows: nothing is evaluated on a hidden row, and nothing is spared that the statement says. The random
//! statements are those of the tests of whole sessions, which compare the answers and have the rules on.
//!
//! The seeds are fixed; `LINGQU_SEED` takes another one.

#[path = "../../tests/engine/statements.rs"]
mod statements;

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::collect;
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::scope::{ColumnName, Precision as Shown};

use self::statements::Statements;
use crate::allow::{self, Granted};
use crate::engine::{Engine, EngineSettings, register};
use crate::governed::{Governance, GovernedTable, HiddenColumns};
use crate::rows_left::RowsLeft;
use crate::snapshot::SnapshotStore;
use crate::source::{DeclaredColumn, Source, SourceOptions};
use crate::{ColumnType, PseudonymKeys};

/// What is run unless another seed is asked for.
const SEEDS: [u64; 2] = [1, 64_017];
const STATEMENTS: usize = 250;
const PEOPLE: usize = 120;
const MEMORY_BYTES: usize = 64 << 20;
const TYPES: &[(&str, ColumnType)] = &[
    ("id", ColumnType::Integer),
    ("tenant", ColumnType::Text),
    ("code", ColumnType::Text),
    ("divisor", ColumnType::Integer),
    ("salary", ColumnType::Integer),
    ("division", ColumnType::Text),
    ("born", ColumnType::Date),
    ("balance", ColumnType::Decimal { precision: 12, scale: 2 }),
    ("score", ColumnType::Float),
    ("active", ColumnType::Boolean),
];

/// Every third is hidden: his code is no number and his divisor is 0.
fn people() -> String {
    let mut csv = String::from("id,tenant,code,divisor,salary,division,born,balance,score,active\n");
    for id in 0..PEOPLE {
        let is_hidden = id % 3 == 0;
        let (tenant, divisor) = if is_hidden { ("b", 0) } else { ("a", 1 + id % 7) };
        let code = if is_hidden { format!("S{id}-secret") } else { format!("x{id}").split_off(id % 2) };
        let (salary, division) = (3_000 + id * 3, ["450102", "450103", "450202"][id % 3]);
        let (born, is_active) = (format!("{}-02-03", 1_960 + id % 40), id % 2 == 0);
        writeln!(csv, "{id},{tenant},{code},{divisor},{salary},{division},{born},{id}.25,{}.5,{is_active}", id % 100)
            .expect("writing into memory can't fail");
    }
    csv
}

/// Runs a statement. None where it has no plan without the rules, or is refused: then nothing was evaluated.
///
/// Without the rules some functions can't be computed at all. Where one branch of a UNION holds such a function and the other
/// fails on a row, either may end the statement first: so None and false both say only that it was not answered.
async fn is_answered(engine: &Engine, state: &SessionState, sql: &str, granted: &Granted) -> Option<bool> {
    let plan = allow::plan(state, sql, granted).await.ok()?;
    let physical = state.create_physical_plan(&plan).await.ok()?;
    let task = engine.task(state, MEMORY_BYTES, &RowsLeft::default()).expect("a task");
    match collect(physical, task).await {
        Ok(_) => Some(true),
        Err(error) => match error.find_root() {
            DataFusionError::Internal(_) | DataFusionError::NotImplemented(_) | DataFusionError::Plan(_) => None,
            _ => Some(false),
        },
    }
}

#[tokio::test]
async fn with_the_rules_off_a_statement_fails_here_if_and_only_if_it_fails_on_the_visible_rows_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
    let path = directory.path().join("people.csv");
    std::fs::write(&path, people()).expect("written");
    let declared = TYPES.iter().map(|(header, column_type)| DeclaredColumn {
        header: (*header).to_owned(),
        aliases: Vec::new(),
        name: ColumnName::new(*header).expect("a name"),
        column_type: *column_type,
    });
    let options = SourceOptions { declared: Some(declared.collect()), ..SourceOptions::default() };
    let source = Source::open(&path, options).expect("a source");
    let store = SnapshotStore::open(&directory.path().join("snapshots")).expect("a store");
    let snapshot = store.write_source("res_1", &source).await.expect("a snapshot");
    let name = |text: &str| ColumnName::new(text).expect("a name");
    let rows = vec![Predicate::Compare {
        column: name("tenant"),
        comparison: Comparison::Equal,
        value: Literal::Text("a".to_owned()),
    }];
    let granted = TYPES.iter().filter(|(column, _)| *column != "tenant");
    let columns = granted.map(|(column, _)| (name(column), Shown::Exact)).collect();
    let keys = PseudonymKeys::default();
    let governance = Governance { name: "people".to_owned(), columns, rows, consent: None, keys, marks: None };
    let table = GovernedTable::new(snapshot.files, &governance).expect("a table");
    let granted = Granted::from([("people".to_owned(), table.column_names())]);
    let without_rules = || {
        SessionStateBuilder::new_from_existing(engine.governed_state(1))
            .with_optimizer_rules(Vec::new())
            .with_physical_optimizer_rules(Vec::new())
            .build()
    };

    // What is visible, as a table of its own. Its columns are as the masks would leave them: there are none.
    let governed = without_rules();
    register(&governed, "people", table.provider(HiddenColumns::None)).expect("a new name");
    let all = allow::plan(&governed, "select * from people", &granted).await.expect("it is allowed");
    let all = governed.create_physical_plan(&all).await.expect("it is planned");
    let (schema, task) = (all.schema(), engine.task(&governed, MEMORY_BYTES, &RowsLeft::default()).expect("a task"));
    let visible = collect(all, task).await.expect("it is answered");
    assert_eq!(visible.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), PEOPLE / 3 * 2);
    let plain = without_rules();
    let physical = MemTable::try_new(schema, vec![visible]).expect("a table");
    register(&plain, "people", Arc::new(physical)).expect("a new name");

    let asked = std::env::var("LINGQU_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    for seed in asked.map_or(SEEDS.to_vec(), |seed| vec![seed]) {
        fails_alike(&engine, (&governed, &plain), &granted, seed).await;
    }
}

/// Compares what becomes of the statements of one seed on the governed table and on the plain one.
async fn fails_alike(engine: &Engine, tables: (&SessionState, &SessionState), granted: &Granted, seed: u64) {
    let (governed, plain) = tables;
    let mut statements = Statements::new(seed);
    let (mut answered, mut failed) = (0, 0);
    for _ in 0..STATEMENTS {
        let sql = statements.statement();
        let here = is_answered(engine, governed, &sql, granted).await;
        let there = is_answered(engine, plain, &sql, granted).await;
        let (is_here, is_there) = (here == Some(true), there == Some(true));
        assert_eq!(
            is_here, is_there,
            "answered on the governed table, answered on the plain one\nLINGQU_SEED={seed}\n{sql}"
        );
        answered += usize::from(here == Some(true));
        failed += usize::from(here == Some(false));
    }
    println!("{answered} answered, {failed} failed (LINGQU_SEED={seed})");
    assert!(answered * 4 > STATEMENTS, "only {answered} were answered; LINGQU_SEED={seed}");
    assert!(failed * 40 > STATEMENTS, "only {failed} failed; LINGQU_SEED={seed}");
}
