//! What passes of a condition that is made while a query runs.

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::Field;
use datafusion::physical_expr::expressions::{CastExpr, NotExpr, lit};

use super::*;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("born", DataType::Date32, true),
        Field::new("code", DataType::Utf8, true),
    ])
}

/// `born` is masked.
fn exact() -> Arc<Columns> {
    Arc::new(Columns::from([("id".to_owned(), DataType::Int64), ("code".to_owned(), DataType::Utf8)]))
}

fn column(name: &str, index: usize) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(name, index))
}

fn id() -> Arc<dyn PhysicalExpr> {
    column("id", 0)
}

fn binary(left: Arc<dyn PhysicalExpr>, op: Operator, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    Arc::new(BinaryExpr::new(left, op, right))
}

fn made_of(children: Vec<Arc<dyn PhysicalExpr>>) -> Arc<DynamicFilterPhysicalExpr> {
    Arc::new(DynamicFilterPhysicalExpr::new(children, lit(true)))
}

#[test]
fn only_conditions_on_exact_columns_as_they_stand_are_let_through() {
    let is_let = |condition: Arc<dyn PhysicalExpr>| is_let_through(&condition, &schema(), &exact());
    assert!(is_let(made_of(vec![id()])));
    assert!(is_let(made_of(vec![id(), column("code", 2)])));
    // Masked, of another table, under another name, of no column at all.
    assert!(!is_let(made_of(vec![column("born", 1)])));
    assert!(!is_let(made_of(vec![id(), column("born", 1)])));
    assert!(!is_let(made_of(vec![column("id", 1)])));
    assert!(!is_let(made_of(vec![column("id", 7)])));
    assert!(!is_let(made_of(vec![column("tenant", 0)])));
    assert!(!is_let(made_of(Vec::new())));
    // Computed.
    let cast: Arc<dyn PhysicalExpr> = Arc::new(CastExpr::new(column("code", 2), DataType::Int64, None));
    assert!(!is_let(made_of(vec![cast])));
    assert!(!is_let(made_of(vec![binary(id(), Operator::Plus, lit(1_i64))])));
    // What the consumer wrote takes another way, or none.
    assert!(!is_let(binary(id(), Operator::Gt, lit(3_i64))));
    assert!(!is_let(id()));
}

fn passed(held: Arc<dyn PhysicalExpr>) -> String {
    let made = made_of(vec![id(), column("code", 2)]);
    let sieve = Sieve { condition: Arc::clone(&made) as Arc<dyn PhysicalExpr>, exact: exact() };
    assert_eq!(sieve.passed().expect("it is read").to_string(), "true");
    made.update(held).expect("it is made");
    sieve.passed().expect("it is read").to_string()
}

#[test]
fn of_what_a_condition_holds_only_that_passes_which_cannot_fail() {
    let (least, most) = (binary(id(), Operator::GtEq, lit(3_i64)), binary(id(), Operator::LtEq, lit(9_i64)));
    let bounds = binary(Arc::clone(&least), Operator::And, Arc::clone(&most));
    assert_eq!(passed(Arc::clone(&bounds)), "id@0 >= 3 AND id@0 <= 9");
    // Each of these may fail, or touches what is not exact.
    let quotient = binary(binary(lit(1_i64), Operator::Divide, id()), Operator::Gt, lit(0_i64));
    let cast: Arc<dyn PhysicalExpr> = Arc::new(CastExpr::new(column("code", 2), DataType::Int64, None));
    let masked = binary(column("born", 1), Operator::Gt, lit(ScalarValue::Date32(Some(1))));
    let hidden = binary(column("tenant", 0), Operator::Eq, lit("b"));
    let other_type = binary(id(), Operator::Eq, lit("3"));
    let two_columns = binary(id(), Operator::Eq, column("code", 2));
    let negated: Arc<dyn PhysicalExpr> = Arc::new(NotExpr::new(Arc::clone(&quotient)));
    for unsafe_part in [quotient, cast, masked, hidden, other_type, two_columns, negated] {
        let both = binary(Arc::clone(&bounds), Operator::And, Arc::clone(&unsafe_part));
        assert_eq!(passed(both), "id@0 >= 3 AND id@0 <= 9", "{unsafe_part}");
        // A half of an OR can't be left out: without it rows would be lost.
        let either = binary(Arc::clone(&bounds), Operator::Or, Arc::clone(&unsafe_part));
        assert_eq!(passed(either), "true", "{unsafe_part}");
        assert_eq!(passed(unsafe_part), "true");
    }
}

#[test]
fn lists_pass_up_to_a_length() {
    let list = |values: ArrayRef, of: Arc<dyn PhysicalExpr>| -> Arc<dyn PhysicalExpr> {
        Arc::new(InListExpr::try_new_from_array(of, values, false, &schema()).expect("a list"))
    };
    let numbers = |count: i64| Arc::new(Int64Array::from_iter_values(0..count)) as ArrayRef;
    assert_ne!(passed(list(numbers(3), id())), "true");
    assert_ne!(passed(list(numbers(1_000), id())), "true");
    assert_eq!(passed(list(numbers(1_001), id())), "true");
    let texts = Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef;
    assert_ne!(passed(list(Arc::clone(&texts), column("code", 2))), "true");
    let concatenated = binary(column("code", 2), Operator::StringConcat, lit("x"));
    assert_eq!(passed(list(texts, concatenated)), "true");
}

#[test]
fn what_a_sieve_evaluates_is_what_passes() {
    let made = made_of(vec![id()]);
    let quotient = binary(binary(lit(1_i64), Operator::Divide, id()), Operator::GtEq, lit(0_i64));
    made.update(binary(binary(id(), Operator::LtEq, lit(1_i64)), Operator::And, quotient)).expect("it is made");
    let sieve = Arc::new(Sieve { condition: made, exact: exact() });
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 2]));
    let narrow = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let batch = RecordBatch::try_new(narrow, vec![ids]).expect("a batch");
    // Evaluated as it stands, it fails on the first row.
    assert!(sieve.condition.evaluate(&batch).is_err());
    let answered = sieve.evaluate(&batch).expect("it does not fail").into_array(3).expect("an array");
    assert_eq!(answered.as_boolean(), &BooleanArray::from(vec![true, true, false]));
    // Rewritten by others it keeps its watch.
    let again = Arc::clone(&sieve).with_new_children(vec![Arc::clone(&sieve.condition)]).expect("a sieve");
    assert!(again.is::<Sieve>() && again.evaluate(&batch).is_ok());
    assert!(sieve.with_new_children(Vec::new()).is_err());
}
