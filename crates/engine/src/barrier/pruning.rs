//! Whether scans below the barrier skip what can't be in the answer, and only by what may be asked there. Read off the counts
//! that the scans keep: row groups by their least and greatest values and by their filters of texts, pages by their index,
//! and all of it by what a join learns. The columns that are masked or marked are the counter-examples.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::scope::{ColumnName, Precision as Shown};
use lingqu_fingerprint::{
    BiasTable, Carrier, Encoding, Mark, MarkKey, Marking, Member, PositionSecrets, Presence, Profile, RATE_ONE,
    RecipientCode, Step,
};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::BarrierExec;
use crate::PseudonymKeys;
use crate::allow::{self, Granted};
use crate::engine::{Engine, EngineSettings, register};
use crate::governed::visible::count_visible;
use crate::governed::{Governance, GovernedTable, HiddenColumns};
use crate::marks::Marks;
use crate::rows_left::RowsLeft;
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::source::{Source, SourceOptions};

/// Three row groups and a little.
const TRIPS: i64 = 400_000;
const MEMORY_BYTES: usize = 256 << 20;

/// Trips in the order of their ids and days, with plates in no order; every other one is visible.
fn trips(count: i64) -> RecordBatch {
    let days = |id: i64| i32::try_from(id / 40).expect("some years");
    // A step that has no factor with the count visits every plate once.
    let plates = (0..count).map(|id| format!("P{:06}", id * 7_919 % count));
    let tenants = (0..count).map(|id| if id % 2 == 0 { "visible" } else { "hidden" });
    // As many hundredths as the id is.
    let fares = Decimal128Array::from_iter_values((0..count).map(i128::from));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..count))),
        ("day", Arc::new(Date32Array::from_iter_values((0..count).map(days)))),
        ("plate", Arc::new(StringArray::from_iter_values(plates))),
        ("tenant", Arc::new(StringArray::from_iter_values(tenants))),
        ("doubled", Arc::new(Int64Array::from_iter_values((0..count).map(|id| id * 2)))),
        ("fare", Arc::new(fares.with_precision_and_scale(10, 2).expect("they fit"))),
    ];
    RecordBatch::try_from_iter(columns).expect("a batch")
}

struct Stand {
    _directory: TempDir,
    engine: Arc<Engine>,
    snapshot: Snapshot,
}

impl Stand {
    async fn new(batch: &RecordBatch) -> Stand {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
        let path = directory.path().join("trips.parquet");
        let file = std::fs::File::create(&path).expect("a file");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
        writer.write(batch).expect("written");
        writer.close().expect("closed");
        let source = Source::open(&path, SourceOptions::default()).expect("a source");
        let store = SnapshotStore::open(&directory.path().join("snapshots")).expect("a store");
        let snapshot = store.write_source("res_1", &source).await.expect("a snapshot");
        Stand { _directory: directory, engine: Arc::new(engine), snapshot }
    }

    /// The table with `day` and `plate` at some precision, and a state that knows it.
    fn table(&self, day: Shown, plate: Shown) -> (Arc<GovernedTable>, SessionState) {
        self.table_with(day, plate, None)
    }

    /// One recipient's copy of it: days and numbers are one off, and a plate may be its neighbour's.
    fn copy(&self, presence: Option<Presence>) -> (Arc<GovernedTable>, SessionState) {
        let number = |column: &str, encoding| {
            let member = Member { column: column.to_owned(), encoding, coefficient: 1, domain: None };
            Carrier::Number { members: vec![member], amplitude: 1, tolerance: 1 }
        };
        let mark = |name: &str, carrier| Mark { name: name.to_owned(), rate: RATE_ONE, by: Vec::new(), carrier };
        let sets = vec![vec!["P250000".to_owned(), "P250002".to_owned()]];
        let marking = Marking {
            key: vec!["id".to_owned()],
            marks: vec![
                mark("day", number("day", Encoding::Time { nanoseconds: 86_400_000_000_000 })),
                mark("doubled", number("doubled", Encoding::Lattice(Step { unscaled: 1, decimals: 0 }))),
                mark("plate", Carrier::Category { column: "plate".to_owned(), sets }),
            ],
            order_share: 6_554,
            biases: BiasTable::default(),
            presence,
        };
        let key = |byte| MarkKey::from_bytes(Profile::Aes, [byte; 32]);
        let (recipient, order) = (RecipientCode::new(&key(2)), RecipientCode::new(&key(3)));
        let marks = Marks::new(marking, PositionSecrets::new(&key(1)), recipient, order).expect("a good marking");
        self.table_with(Shown::Exact, Shown::Exact, Some(Arc::new(marks)))
    }

    fn table_with(&self, day: Shown, plate: Shown, marks: Option<Arc<Marks>>) -> (Arc<GovernedTable>, SessionState) {
        let name = |text: &str| ColumnName::new(text).expect("a name");
        let mut columns = vec![
            (name("id"), Shown::Exact),
            (name("day"), day),
            (name("plate"), plate),
            (name("doubled"), Shown::Exact),
        ];
        if self.snapshot.files.arrow_schema().column_with_name("fare").is_some() {
            columns.push((name("fare"), Shown::Exact));
        }
        let rows = vec![Predicate::Compare {
            column: name("tenant"),
            comparison: Comparison::Equal,
            value: Literal::Text("visible".to_owned()),
        }];
        let keys = PseudonymKeys { permit: Some([1; 32]), consumer: Some([2; 32]), order: Some([3; 32]) };
        let governance = Governance { name: "trips".to_owned(), columns, rows, consent: None, keys, marks };
        let table = GovernedTable::new(Arc::clone(&self.snapshot.files), &governance).expect("a table");
        let state = self.engine.governed_state(2);
        register(&state, "trips", table.provider(HiddenColumns::None)).expect("a new name");
        (table, state)
    }

    /// The only number of an answer, and the plan that has answered.
    async fn ask(
        &self,
        (table, state): &(Arc<GovernedTable>, SessionState),
        sql: &str,
    ) -> (i64, Arc<dyn ExecutionPlan>) {
        let granted = Granted::from([("trips".to_owned(), table.column_names())]);
        let plan = allow::plan(state, sql, &granted).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        count_visible(&self.engine, state, &plan, MEMORY_BYTES).await;
        let physical = state.create_physical_plan(&plan).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let task = self.engine.task(state, MEMORY_BYTES, &RowsLeft::default()).expect("a task");
        let batches = collect(Arc::clone(&physical), task).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let number = batches.iter().find(|batch| batch.num_rows() > 0).expect("one row");
        (number.column(0).as_primitive::<Int64Type>().value(0), physical)
    }
}

/// How much the scans below the barriers of a plan have skipped, by the name of the count.
fn skipped(plan: &Arc<dyn ExecutionPlan>, counted: &str) -> usize {
    let inner = plan.downcast_ref::<BarrierExec>().map(|barrier| &barrier.inner);
    let mut count = inner.map_or(0, |inner| skipped(inner, counted));
    for metric in plan.metrics().iter().flat_map(|metrics| metrics.iter()) {
        count += match metric.value() {
            MetricValue::PruningMetrics { name, pruning_metrics } if name == counted => pruning_metrics.pruned(),
            MetricValue::Count { name, count } if name == counted => count.value(),
            _ => 0,
        };
    }
    plan.children().into_iter().map(|child| skipped(child, counted)).sum::<usize>() + count
}

const BY_STATISTICS: &str = "row_groups_pruned_statistics";
const BY_TEXTS: &str = "row_groups_pruned_bloom_filter";
const BY_PAGES: &str = "page_index_rows_pruned";

#[tokio::test]
async fn what_is_exact_skips_row_groups_and_pages_and_what_is_masked_skips_nothing() {
    let stand = Stand::new(&trips(TRIPS)).await;
    let exact = stand.table(Shown::Exact, Shown::Exact);
    let masked = stand.table(Shown::Year, Shown::PseudonymOfOrder);

    // Least and greatest of a row group.
    let (count, plan) = stand.ask(&exact, "select count(*) from trips where id < 100").await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (50, 3));
    let (count, plan) = stand.ask(&exact, "select count(*) from trips where plate like 'Q%'").await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (0, 4));
    let by_day = "select count(*) from trips where day < date '1971-01-01'";
    let (count, plan) = stand.ask(&exact, by_day).await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (365 * 20, 3));
    let (count, plan) = stand.ask(&masked, by_day).await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS), skipped(&plan, BY_PAGES)), (365 * 20, 0, 0));

    // Pages within a row group.
    let (count, plan) = stand.ask(&exact, "select count(*) from trips where id between 60000 and 60009").await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (5, 3));
    assert!(skipped(&plan, BY_PAGES) > 50_000, "{}", skipped(&plan, BY_PAGES));

    // Filters of texts. A plate lies in one row group, and between the least and the greatest of each.
    let by_plate = "select count(*) from trips where plate = 'P250000'";
    let (count, plan) = stand.ask(&exact, by_plate).await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (1, 0));
    assert!(skipped(&plan, BY_TEXTS) >= 2, "{}", skipped(&plan, BY_TEXTS));
    let (count, plan) = stand.ask(&masked, by_plate).await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS), skipped(&plan, BY_TEXTS)), (0, 0, 0));

    // Decimals by numbers that are written plainly, of more places than they have as well.
    for (condition, expected) in [
        ("fare < 1.0", 50),
        ("fare = 600.04", 1),
        ("fare in (600.04, 600.045, 0.001)", 1),
        ("fare between 600.035 and 600.064999", 2),
        ("3999.975 <= fare", 1),
        ("fare <= 0.06 + 0.01", 4),
    ] {
        let (count, plan) = stand.ask(&exact, &format!("select count(*) from trips where {condition}")).await;
        assert_eq!((count, skipped(&plan, BY_STATISTICS)), (expected, 3), "{condition}");
    }

    // What can fail skips nothing, whatever it stands beside.
    let (count, plan) = stand.ask(&exact, "select count(*) from trips where 1000 / (id + 1) >= 10").await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (50, 0));
}

#[tokio::test]
async fn what_is_marked_skips_nothing_and_what_is_not_skips_as_before() {
    let stand = Stand::new(&trips(TRIPS)).await;
    let copy = stand.copy(None);
    let (count, plan) = stand.ask(&copy, "select count(*) from trips where id < 100").await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (50, 3));
    // A number that is one off may be on the other side of the bound; so may the days of two days of trips.
    for (condition, least, most) in [
        ("doubled < 200", 50, 51),
        ("doubled = 200", 0, 0),
        ("doubled in (400, 402)", 0, 0),
        ("day < date '1971-01-01'", 364 * 20, 366 * 20),
        ("plate = 'P250000'", 0, 2),
    ] {
        let (count, plan) = stand.ask(&copy, &format!("select count(*) from trips where {condition}")).await;
        assert!((least..=most).contains(&count), "{condition}: {count}");
        for counted in [BY_STATISTICS, BY_PAGES, BY_TEXTS] {
            assert_eq!(skipped(&plan, counted), 0, "{condition} skips {counted}");
        }
    }
    // What a join learns of a marked column stays above; what it learns of another one goes below, by which the copy is not changed.
    let by_key = |key: &str, on: &str| {
        format!("select count(*) from (select {key} as k from trips where id < 1000) few join trips t on {on} = few.k")
    };
    let (count, plan) = stand.ask(&copy, &by_key("max(doubled)", "t.doubled")).await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (1, 3), "{}", displayable(plan.as_ref()).indent(true));
    let (count, plan) = stand.ask(&copy, &by_key("max(id)", "t.id")).await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (1, 6), "{}", displayable(plan.as_ref()).indent(true));
}

#[tokio::test]
async fn of_a_copy_that_lacks_rows_the_size_that_is_told_is_its_own() {
    let stand = Stand::new(&trips(20_000)).await;
    let copy = stand.copy(Some(Presence::of_share(0.05)));
    let (rows, _) = stand.ask(&copy, "select count(*) from trips").await;
    assert!((9_300..9_700).contains(&rows), "{rows} of the 10,000 that the grant covers");
    assert_eq!(copy.0.rows_visible(), None, "read in one place, nothing is counted");
    let (joined, _) = stand.ask(&copy, "select count(*) from trips a join trips b on a.id = b.id").await;
    assert_eq!((joined, copy.0.rows_visible()), (rows, usize::try_from(rows).ok()));
}

#[tokio::test]
async fn what_a_join_learns_skips_on_exact_columns_alone() {
    let stand = Stand::new(&trips(TRIPS)).await;
    let exact = stand.table(Shown::Exact, Shown::Exact);
    let masked = stand.table(Shown::Year, Shown::Exact);
    // The few keys are known when the query runs, and not before.
    let by_key = |key: &str, on: &str| {
        format!("select count(*) from (select {key} as k from trips where id < 1000) few join trips t on {on} = few.k")
    };
    let by_id = by_key("max(doubled)", "t.id");
    let (count, plan) = stand.ask(&exact, &by_id).await;
    let alone = 3;
    assert_eq!(count, 1, "{}", displayable(plan.as_ref()).indent(true));
    // Three by the condition on the ids of the few, and as many in the other scan.
    assert_eq!(skipped(&plan, BY_STATISTICS), alone + 3, "{}", displayable(plan.as_ref()).indent(true));
    assert!(!displayable(plan.as_ref()).indent(true).to_string().contains("sieve"));
    // The day, masked to its year: as many rows, and nothing skipped by it.
    let (count, plan) = stand.ask(&masked, &by_key("max(day)", "t.day")).await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (365 * 20, alone));
    // The same where the day is exact.
    let (count, plan) = stand.ask(&exact, &by_key("max(day)", "t.day")).await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (20, alone + 3));
    // A key that is computed of an exact column.
    let (count, plan) = stand.ask(&exact, &by_key("max(doubled) + 1", "t.id + 1")).await;
    assert_eq!((count, skipped(&plan, BY_STATISTICS)), (1, alone));
}

/// What is learned of a key of one table says nothing of another table's column of the same name, above which it passes by.
#[tokio::test]
async fn what_a_join_learns_is_not_taken_for_what_another_column_is() {
    let stand = Stand::new(&trips(TRIPS)).await;
    let exact = stand.table(Shown::Exact, Shown::Exact);
    let few = "(select max(id) as k from trips where id <= 300000) few";
    let three = "(select a.id as a, b.id as b, c.id as c from trips a join trips b on a.doubled = b.id \
        join trips c on c.doubled = b.doubled) j";
    let (found, plan) = stand.ask(&exact, &format!("select j.a from {few} join {three} on j.b = few.k")).await;
    assert_eq!(found, 150_000, "{}", displayable(plan.as_ref()).indent(true));
    let both = "(select id, doubled from trips union all select doubled, id from trips where id < 100) u";
    let (count, plan) = stand.ask(&exact, &format!("select count(*) from {few} join {both} on u.id = few.k")).await;
    assert_eq!(count, 1, "{}", displayable(plan.as_ref()).indent(true));
    let few = "(select max(id) as k from trips where id <= 100) few";
    let (count, plan) = stand.ask(&exact, &format!("select count(*) from {few} join {both} on u.id = few.k")).await;
    assert_eq!(count, 2, "{}", displayable(plan.as_ref()).indent(true));
    let kept = "(select id from trips t where exists (select 1 from trips o where o.doubled = t.id and o.id < t.id)) k";
    let (count, plan) = stand.ask(&exact, &format!("select count(*) from {few} join {kept} on k.id = few.k")).await;
    assert_eq!(count, 1, "{}", displayable(plan.as_ref()).indent(true));
}

#[tokio::test]
async fn the_side_of_which_less_is_asked_for_is_thought_the_smaller_by_its_conditions_alone() {
    let stand = Stand::new(&trips(4_000)).await;
    let table = stand.table(Shown::Exact, Shown::Exact);
    for sql in [
        "select count(*) from trips a join trips few on a.id = few.doubled where few.plate = 'P000001'",
        "select count(*) from trips few join trips a on a.id = few.doubled where few.plate = 'P000001'",
    ] {
        let (_, plan) = stand.ask(&table, sql).await;
        let text = shown(&plan);
        // The plate is read on the side that is asked for it alone, and that side is hashed: it comes first.
        let sides: Vec<&str> = text.lines().filter(|line| line.contains("BarrierExec")).collect();
        assert_eq!(sides.len(), 2, "{text}");
        assert!(sides[0].contains("columns=[doubled]") && sides[0].contains("Rows=Inexact(200)"), "{text}");
        assert!(sides[1].contains("columns=[id]") && sides[1].contains("Rows=Inexact(2000)"), "{text}");
    }
    // Two columns of one type are compared where they are read: what does not meet it does not leave.
    let (count, plan) = stand.ask(&table, "select count(*) from trips where id >= doubled").await;
    assert_eq!((count, shown(&plan).contains("FilterExec")), (1, false), "{}", shown(&plan));
}

/// A plan as text, with everything that is told of sizes.
fn shown(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).set_show_statistics(true).indent(true).to_string()
}

#[tokio::test]
async fn the_sizes_that_are_told_are_those_of_what_is_visible() {
    // The same three visible rows among three, thirty and three hundred thousand hidden ones.
    let mut told = Vec::new();
    for hidden in [3, 30, 300_000] {
        let ids = (0..3).chain(1_000..1_000 + hidden);
        let tenants = (0..3).map(|_| "visible").chain((0..hidden).map(|_| "hidden"));
        let fields = vec![
            Field::new("id", DataType::Int64, true),
            Field::new("day", DataType::Date32, true),
            Field::new("plate", DataType::Utf8, true),
            Field::new("tenant", DataType::Utf8, true),
            Field::new("doubled", DataType::Int64, true),
        ];
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
        let rows = ids.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::clone(&ids),
            Arc::new(Date32Array::from(vec![7; rows])),
            Arc::new(StringArray::from(vec!["P"; rows])),
            Arc::new(StringArray::from_iter_values(tenants)),
            ids,
        ];
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch");
        let stand = Stand::new(&batch).await;
        let table = stand.table(Shown::Exact, Shown::Exact);
        // Of one place nothing is counted, and nothing is told.
        let (count, plan) = stand.ask(&table, "select count(*) from trips").await;
        assert_eq!((count, table.0.rows_visible()), (3, None));
        let mut texts = vec![shown(&plan)];
        for sql in [
            "select count(*) from trips a join trips b on a.id = b.doubled",
            "select count(*) from trips a join (select id from trips limit 100) b on a.id = b.id",
            "select count(*) from (select id from trips limit 100) b join trips a on a.id = b.id",
            "select count(*) from trips where id in (select doubled from trips)",
        ] {
            let (_, plan) = stand.ask(&table, sql).await;
            texts.push(shown(&plan));
        }
        assert_eq!(table.0.rows_visible(), Some(3));
        assert!(texts[1].contains("Rows=Inexact(3)"), "{}", texts[1]);
        told.push(texts);
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0], told[2]);
}
