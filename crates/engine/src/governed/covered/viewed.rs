//! Texts that are read as views: sixteen bytes for each row, which hold the first bytes of its text and say where the whole is.
//!
//! A text of its own for each row of a file is copied out of the file's dictionary, also where it is only compared with a constant,
//! or where its row is left out. So a column that is read to decide alone is read as views, and where the consumer's own
//! conditions are expected to leave few rows, every column of texts. **No view leaves the scan**: it refers to texts of rows that
//! do not exist. What is kept is copied into texts of its own, and nothing of any other row with it.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Like, Operator};

use super::kept::Kept;

/// Texts that are passed on are read as views where conditions of the consumer are expected to leave less than this share.
const SHARE_BELOW: f64 = 1.0 / 2.0;

/// What is read as views, and the condition with constants of their type.
pub(super) struct Viewed {
    /// Places of the columns in the raw table.
    pub(super) columns: Vec<usize>,
    pub(super) condition: Expr,
}

impl Viewed {
    /// For a scan of some columns, the first `shown` of which are passed on. `share`: what conditions of the consumer are expected
    /// to leave. None where nothing is read so.
    pub(super) fn of(condition: &Expr, raw: &Schema, read: &[usize], shown: usize, share: f64) -> Option<Viewed> {
        let mut columns = Vec::new();
        for (place, column) in read.iter().enumerate() {
            if raw.field(*column).data_type() == &DataType::Utf8 && (place >= shown || share < SHARE_BELOW) {
                columns.push(*column);
            }
        }
        if columns.is_empty() {
            return None;
        }
        let names = columns.iter().map(|column| raw.field(*column).name().as_str()).collect();
        let condition = over_views(condition, &names)?;
        Some(Viewed { columns, condition })
    }
}

/// The columns of texts among those that are read.
pub(super) fn texts_among(raw: &Schema, read: &[usize]) -> Vec<usize> {
    read.iter().copied().filter(|column| raw.field(*column).data_type() == &DataType::Utf8).collect()
}

/// Whether a schema has views.
fn has_views(schema: &Schema) -> bool {
    schema.fields().iter().any(|field| field.data_type() == &DataType::Utf8View)
}

/// A schema with texts where it has views: raw tables have none of their own.
pub(super) fn without_views(schema: &Schema) -> Schema {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8View => field.as_ref().clone().with_data_type(DataType::Utf8),
        _ => field.as_ref().clone(),
    };
    let fields: Vec<Field> = schema.fields().iter().map(field).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// A batch with texts of its own where it has views.
pub(super) fn in_texts(batch: RecordBatch, schema: &SchemaRef) -> DataFusionResult<RecordBatch> {
    if !has_views(batch.schema_ref()) {
        return Ok(batch);
    }
    let (all, mut columns) = (Kept::all(batch.num_rows()), Vec::with_capacity(batch.num_columns()));
    for column in batch.columns() {
        columns.push(match column.data_type() {
            DataType::Utf8View => all.of_views(column)?,
            _ => Arc::clone(column),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// The condition where some columns are views: what they are compared with is of their type. None where such a column stands in
/// anything but a comparison with constants or with another of them.
fn over_views(condition: &Expr, viewed: &HashSet<&str>) -> Option<Expr> {
    let is_viewed = |part: &Expr| matches!(part, Expr::Column(column) if viewed.contains(column.name.as_str()));
    let over = |part: &Expr| over_views(part, viewed).map(Box::new);
    Some(match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            Expr::BinaryExpr(BinaryExpr { left: over(left)?, op: *op, right: over(right)? })
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_viewed(left) != is_viewed(right) => {
            let (left, right) = if is_viewed(left) {
                (left.clone(), Box::new(constant(right)?))
            } else {
                (Box::new(constant(left)?), right.clone())
            };
            Expr::BinaryExpr(BinaryExpr { left, op: *op, right })
        }
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) if is_viewed(left) && is_viewed(right) => condition.clone(),
        Expr::Not(part) => Expr::Not(over(part)?),
        Expr::IsNull(part) | Expr::IsNotNull(part) if is_viewed(part) => condition.clone(),
        Expr::Between(Between { expr, negated, low, high }) if is_viewed(expr) => Expr::Between(Between {
            expr: expr.clone(),
            negated: *negated,
            low: Box::new(constant(low)?),
            high: Box::new(constant(high)?),
        }),
        Expr::InList(InList { expr, list, negated }) if is_viewed(expr) => {
            let list = list.iter().map(constant).collect::<Option<Vec<_>>>()?;
            Expr::InList(InList { expr: expr.clone(), list, negated: *negated })
        }
        Expr::Like(like) if is_viewed(&like.expr) => {
            Expr::Like(Like { pattern: Box::new(constant(&like.pattern)?), ..like.clone() })
        }
        _ if condition.column_refs().iter().any(|column| viewed.contains(column.name.as_str())) => return None,
        _ => condition.clone(),
    })
}

/// A constant text as one of the type of views.
fn constant(text: &Expr) -> Option<Expr> {
    match text {
        Expr::Literal(ScalarValue::Utf8(text), metadata) => {
            Some(Expr::Literal(ScalarValue::Utf8View(text.clone()), metadata.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use datafusion::logical_expr::lit;
    use datafusion::physical_plan::collect;

    use super::*;
    use crate::engine::Engine;
    use crate::governed::covered::CoveredRows;
    use crate::predicate::column;
    use crate::rows_left::RowsLeft;
    use crate::snapshot::SnapshotStore;
    use crate::source::{Source, SourceOptions};
    use crate::{EngineSettings, Limits};

    fn text(value: &str) -> Expr {
        lit(value)
    }

    fn view(value: &str) -> Expr {
        Expr::Literal(ScalarValue::Utf8View(Some(value.to_owned())), None)
    }

    #[test]
    fn every_constant_that_a_view_is_compared_with_is_one() {
        let viewed = HashSet::from(["a", "b"]);
        for (condition, expected) in [
            (column("a").eq(text("x")), column("a").eq(view("x"))),
            (text("x").lt(column("a")), view("x").lt(column("a"))),
            (column("a").eq(column("b")), column("a").eq(column("b"))),
            (column("c").eq(text("x")), column("c").eq(text("x"))),
            (column("n").gt(lit(3_i64)), column("n").gt(lit(3_i64))),
            (column("a").between(text("x"), text("y")), column("a").between(view("x"), view("y"))),
            (
                column("a").in_list(vec![text("x"), text("y")], true),
                column("a").in_list(vec![view("x"), view("y")], true),
            ),
            (column("a").like(text("x%")), column("a").like(view("x%"))),
            (column("a").is_null(), column("a").is_null()),
            (
                Expr::Not(Box::new(column("a").not_eq(text("x")).or(column("c").eq(text("y"))))),
                Expr::Not(Box::new(column("a").not_eq(view("x")).or(column("c").eq(text("y"))))),
            ),
        ] {
            assert_eq!(over_views(&condition, &viewed), Some(expected));
        }
        for condition in [
            column("a").eq(column("c")),
            column("n").gt(lit(3_i64)).and(column("a").eq(lit(3_i64))),
            Expr::IsTrue(Box::new(column("a"))),
            column("a").eq(Expr::Negative(Box::new(column("n")))),
        ] {
            assert_eq!(over_views(&condition, &viewed), None, "{condition}");
        }
    }

    #[test]
    fn texts_are_read_as_views_where_they_are_only_asked_for_or_few_are_kept() {
        let fields = [("n", DataType::Int64), ("a", DataType::Utf8), ("b", DataType::Utf8)];
        let raw = Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec());
        let condition = column("b").eq(text("x"));
        let columns = |read: &[usize], shown, share| {
            Viewed::of(&condition, &raw, read, shown, share).map(|viewed| viewed.columns)
        };
        assert_eq!(columns(&[0, 1, 2], 2, 1.0), Some(vec![2]));
        assert_eq!(columns(&[0, 1, 2], 2, 0.1), Some(vec![1, 2]));
        assert_eq!(columns(&[0, 1, 2], 3, 1.0), None);
        // One that is compared with another which is read as texts.
        let condition = column("a").eq(column("b"));
        assert!(Viewed::of(&condition, &raw, &[1, 2], 1, 1.0).is_none());
    }

    /// The batches of a scan of the names, with what the scan below reads them as.
    async fn scanned(share: f64) -> (Vec<RecordBatch>, Vec<DataType>) {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
        let path = directory.path().join("people.csv");
        let rows = (0..20_000).map(|row| format!("{row},name of row {row},{}\n", ["north", "south"][row % 2]));
        std::fs::write(&path, format!("id,name,side\n{}", rows.collect::<String>())).expect("written");
        let source = Source::open(&path, SourceOptions::default()).expect("a source");
        let store = SnapshotStore::open(&directory.path().join("snapshots")).expect("a store");
        let files = store.write_source("res_1", &source).await.expect("a snapshot").files;
        let name = files.arrow_schema().index_of("name").expect("a column");
        let condition = column("side").eq(text("south")).and(column("name").not_eq(text("name of row 7")));
        let rows = CoveredRows::of(files, None, Some(condition), share).expect("rows");
        let state = engine.governed_state(1);
        let plan = rows.scan(&state, Some(&vec![name]), &[], None).await.expect("a plan");
        let read = plan.children()[0].schema().fields().iter().map(|field| field.data_type().clone()).collect();
        let task = engine.task(&state, Limits::default().memory_bytes_max, &RowsLeft::default()).expect("a task");
        (collect(plan, task).await.expect("rows"), read)
    }

    #[tokio::test]
    async fn no_view_leaves_the_scan_and_nothing_of_a_row_that_is_left_out() {
        for (share, read_as) in
            [(1.0, [DataType::Utf8, DataType::Utf8View]), (0.1, [DataType::Utf8View, DataType::Utf8View])]
        {
            let (batches, read) = scanned(share).await;
            assert_eq!(read, read_as);
            let mut names = Vec::new();
            for batch in &batches {
                let texts = batch.column(0).as_string_opt::<i32>().expect("texts, not views");
                let held = std::str::from_utf8(texts.value_data()).expect("texts");
                assert_eq!(
                    held.len(),
                    texts.iter().flatten().map(str::len).sum::<usize>(),
                    "other rows' texts are held"
                );
                names.extend(texts.iter().flatten().map(str::to_owned));
            }
            let expected: Vec<String> =
                (0..20_000).filter(|row| row % 2 == 1 && *row != 7).map(|row| format!("name of row {row}")).collect();
            assert_eq!(names, expected);
        }
    }
}
