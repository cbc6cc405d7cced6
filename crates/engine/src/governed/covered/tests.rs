use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{Operator, lit};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit as constant};
use datafusion::physical_plan::collect;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter_pushdown::PushedDown;
use proptest::prelude::*;

use super::*;
use crate::predicate::column;

/// A subject, another and a number.
type Row = (Option<i64>, Option<i64>, Option<i64>);

fn batch(rows: &[Row], first_number: usize) -> RecordBatch {
    let texts = (first_number..first_number + rows.len()).map(|row| format!("row {row}"));
    let columns: [(&str, ArrayRef, bool); 4] = [
        ("text", Arc::new(StringArray::from_iter_values(texts)), false),
        ("first", Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()), true),
        ("second", Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()), true),
        ("number", Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
}

/// The texts of the rows that a scan of `text` lets out, and the batches they came in.
fn let_out(
    batches: Vec<RecordBatch>,
    consent: Option<&NeededConsent<'_>>,
    condition: Option<Expr>,
) -> DataFusionResult<(Vec<String>, Vec<RecordBatch>)> {
    let raw = MemTable::try_new(batches[0].schema(), vec![batches])?;
    let rows = CoveredRows::of(Arc::new(raw), consent, condition, 1.0)?;
    let context = SessionContext::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let batches = runtime.block_on(async {
        let plan = rows.scan(&context.state(), Some(&vec![0]), &[], None).await?;
        collect(plan, context.task_ctx()).await
    })?;
    let mut texts = Vec::new();
    for batch in &batches {
        assert_eq!(batch.num_columns(), 1, "what was read to decide is not shown");
        texts.extend(batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    Ok((texts, batches))
}

fn rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let value = || proptest::option::weighted(0.9, 0_i64..6);
    proptest::collection::vec(proptest::collection::vec((value(), value(), value()), 1..40), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What is let out are the rows all of whose subjects are members and of which the condition is true, in their order.
    #[test]
    fn rows_are_those_that_exist(
        rows in rows(),
        members in proptest::collection::btree_set(0_u32..6, 0..7),
        needs_consent: bool,
        below in proptest::option::of(0_i64..7),
    ) {
        let set: Arc<ConsentSet> = Arc::new(members.iter().copied().collect());
        let is_member = |subject: Option<i64>| {
            subject.is_some_and(|subject| u32::try_from(subject).is_ok_and(|subject| members.contains(&subject)))
        };
        let (mut batches, mut expected, mut number) = (Vec::new(), Vec::new(), 0);
        for rows in &rows {
            batches.push(batch(rows, number));
            for (first, second, value) in rows {
                let consented = !needs_consent || (is_member(*first) && is_member(*second));
                if consented && below.is_none_or(|below| value.is_some_and(|value| value < below)) {
                    expected.push(format!("row {number}"));
                }
                number += 1;
            }
        }
        let subjects = ["first".to_owned(), "second".to_owned()];
        let needed = NeededConsent { members: &set, subjects: &subjects, coverage: None };
        let consent = needs_consent.then_some(&needed);
        let condition = below.map(|below| column("number").lt(lit(below)));
        let (texts, _) = let_out(batches, consent, condition)?;
        prop_assert_eq!(texts, expected);
    }
}

#[test]
fn without_subjects_there_is_no_consent() -> DataFusionResult<()> {
    let everybody: Arc<ConsentSet> = Arc::new((0..6).collect());
    let needed = NeededConsent { members: &everybody, subjects: &[], coverage: None };
    let (texts, _) = let_out(vec![batch(&[(Some(1), Some(1), None)], 0)], Some(&needed), None)?;
    assert!(texts.is_empty(), "{texts:?}");
    Ok(())
}

#[test]
fn conditions_go_on_to_the_scan() -> DataFusionResult<()> {
    let fields = vec![Field::new("number", DataType::Int64, true), Field::new("subject", DataType::Int64, true)];
    let input = Arc::new(EmptyExec::new(Arc::new(Schema::new(fields))));
    let number: Arc<dyn PhysicalExpr> = Arc::new(Column::new("number", 0));
    let less = |than: i64| -> Arc<dyn PhysicalExpr> {
        Arc::new(BinaryExpr::new(Arc::clone(&number), Operator::Lt, constant(than)))
    };
    let members = Arc::new((0..8).collect::<ConsentSet>());
    let consent = Some(Consent::BySubjects { members, subjects: vec![1], learnt: None });
    let covering = Covering { consent, condition: Some(less(3)), shown: 1 };
    let covered = CoveredExec::new(input, covering)?;
    let phase = FilterPushdownPhase::Pre;
    let passed = covered.gather_filters_for_pushdown(phase, vec![less(5)], &ConfigOptions::new())?;
    let (above, own) = (passed.parent_filters(), passed.self_filters());
    assert!(
        matches!(above[0][0].discriminant, PushedDown::Yes),
        "without it nothing is skipped by what is asked above"
    );
    assert_eq!(own[0].len(), 1, "without it nothing is skipped by the row filter");
    Ok(())
}

#[test]
fn a_batch_of_rows_that_all_exist_is_passed_on_as_it_is() -> DataFusionResult<()> {
    let set: Arc<ConsentSet> = Arc::new((0..8).collect());
    let whole = batch(&[(Some(0), Some(1), Some(2)); 5], 0);
    let pointer = |batch: &RecordBatch| batch.column(0).as_string::<i32>().values().as_ptr();
    let given = pointer(&whole);
    let subjects = ["first".to_owned(), "second".to_owned()];
    let condition = column("number").lt(lit(3_i64));
    let needed = NeededConsent { members: &set, subjects: &subjects, coverage: None };
    let (_, batches) = let_out(vec![whole], Some(&needed), Some(condition))?;
    assert_eq!((batches.len(), pointer(&batches[0])), (1, given), "nothing was copied");
    Ok(())
}

#[test]
fn what_little_is_kept_of_many_batches_comes_in_few() -> DataFusionResult<()> {
    let rows: Vec<Row> = (0..100).map(|number| (None, None, Some(number))).collect();
    let batches: Vec<RecordBatch> = (0..50).map(|place| batch(&rows, place * 100)).collect();
    let (texts, batches) = let_out(batches, None, Some(column("number").lt(lit(10_i64))))?;
    assert_eq!((texts.len(), batches.len()), (500, 1));
    Ok(())
}

/// Three blocks of rows, the last of them short, with their numbers; every third row's subject consents, and one row has none.
fn numbered() -> (Vec<RecordBatch>, Arc<ConsentSet>, usize) {
    let rows = 2 * BATCH_ROWS + 500;
    let mut batches = Vec::new();
    for begin in (0..rows).step_by(BATCH_ROWS) {
        let numbers: Vec<i64> =
            (begin..rows.min(begin + BATCH_ROWS)).map(|row| i64::try_from(row).expect("few")).collect();
        let subjects: Int64Array = numbers.iter().map(|row| (*row != 9_000).then_some(row % 3)).collect();
        let columns: [(&str, ArrayRef, bool); 3] = [
            ("text", Arc::new(StringArray::from_iter_values(numbers.iter().map(|row| format!("row {row}")))), false),
            ("first", Arc::new(subjects), true),
            (ROW_COLUMN, Arc::new(Int64Array::from(numbers)), false),
        ];
        batches.push(RecordBatch::try_from_iter_with_nullable(columns).expect("a batch"));
    }
    (batches, Arc::new([0_u32].into_iter().collect()), rows)
}

/// The texts that a scan of some columns lets out, and the columns that it read.
fn scanned(
    raw: &Arc<MemTable>,
    needed: &NeededConsent<'_>,
    shown: &[usize],
) -> DataFusionResult<(Vec<String>, Vec<String>)> {
    let raw = Arc::clone(raw) as Arc<dyn TableProvider>;
    let rows = CoveredRows::of(raw, Some(needed), None, 1.0)?;
    let context = SessionContext::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (batches, read) = runtime.block_on(async {
        let plan = rows.scan(&context.state(), Some(&shown.to_vec()), &[], None).await?;
        let read = plan.children()[0].schema();
        Ok::<_, datafusion::error::DataFusionError>((collect(plan, context.task_ctx()).await?, read))
    })?;
    let texts = |batch: &RecordBatch| batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect();
    let read = read.fields().iter().map(|field| field.name().clone()).collect();
    Ok((batches.iter().flat_map(|batch| -> Vec<String> { texts(batch) }).collect(), read))
}

#[test]
fn what_scans_found_of_every_row_is_not_asked_again() -> DataFusionResult<()> {
    let (batches, members, rows) = numbered();
    let raw = Arc::new(MemTable::try_new(batches[0].schema(), vec![batches])?);
    let coverage = Coverage::of_rows(rows).expect("room");
    let subjects = ["first".to_owned()];
    let needed = NeededConsent { members: &members, subjects: &subjects, coverage: Some(&coverage) };
    let expected: Vec<String> =
        (0..rows).step_by(3).filter(|row| *row != 9_000).map(|row| format!("row {row}")).collect();

    // A scan that does not read the numbers remembers nothing.
    let (texts, read) = scanned(&raw, &needed, &[0])?;
    assert_eq!((texts, coverage.is_whole()), (expected.clone(), false));
    assert_eq!(read, ["text", "first"]);

    let (texts, read) = scanned(&raw, &needed, &[0, 2])?;
    assert_eq!((texts, coverage.is_whole()), (expected.clone(), true));
    assert_eq!(read, ["text", ROW_COLUMN, "first"]);

    // From then on subjects are not read, whether the numbers are shown or not.
    for shown in [&[0, 2][..], &[0]] {
        let (texts, read) = scanned(&raw, &needed, shown)?;
        assert_eq!(texts, expected);
        assert_eq!(read, ["text", ROW_COLUMN]);
    }
    Ok(())
}

/// What is remembered is of one table and one set: others are asked for themselves.
#[test]
fn another_set_is_asked_for_itself() -> DataFusionResult<()> {
    let (batches, members, rows) = numbered();
    let raw = Arc::new(MemTable::try_new(batches[0].schema(), vec![batches])?);
    let subjects = ["first".to_owned()];
    let nobody = Arc::new(ConsentSet::default());
    for (members, expected) in [(&members, rows.div_ceil(3) - 1), (&nobody, 0)] {
        let coverage = Coverage::of_rows(rows).expect("room");
        let needed = NeededConsent { members, subjects: &subjects, coverage: Some(&coverage) };
        for _ in 0..2 {
            assert_eq!(scanned(&raw, &needed, &[0, 2])?.0.len(), expected);
        }
    }
    Ok(())
}
