//! What becomes of numbers beside decimals. That answers are right is seen where the oracle is not DataFusion: `tests/engine/numbers.rs`.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::SessionContext;

use super::*;

#[test]
fn a_number_is_what_its_shortest_text_says() {
    let exact = |units, exponent| Some(Exact { units, exponent });
    assert_eq!(Exact::of_float(1_234_567.89), exact(123_456_789, -2));
    assert_eq!(Exact::of_float(-0.5), exact(-5, -1));
    assert_eq!(Exact::of_float(25_000.0), exact(25, 3));
    assert_eq!(Exact::of_float(-0.0), exact(0, 0));
    assert_eq!(Exact::of_float(0.1 + 0.2), exact(30_000_000_000_000_004, -17));
    assert_eq!(Exact::of_float(5e-324), exact(5, -324));
    assert_eq!(Exact::of_float(f64::MAX), exact(17_976_931_348_623_157, 292));
    assert_eq!(Exact::of_float(f64::NAN), None);
    assert_eq!(Exact::of_float(f64::INFINITY), None);

    assert_eq!(Exact::read(&(lit(0.1) + lit(0.2))), exact(3, -1));
    assert_eq!(Exact::read(&(lit(0.06) - lit(0.01))), exact(5, -2));
    assert_eq!(Exact::read(&(lit(0.1) * lit(3_i64))), exact(3, -1));
    assert_eq!(Exact::read(&Expr::Negative(Box::new(lit(2.5)))), exact(-25, -1));
    assert_eq!(Exact::read(&(lit(1e300) + lit(1e-300))), None);
    assert_eq!(Exact::read(&(lit(1.0) / lit(3.0))), None);
}

#[test]
fn a_number_is_placed_among_decimals_by_the_order() {
    let places = |value: f64, digits, scale, rounding| {
        let placed = Exact::of_float(value).expect("a number").among(&DataType::Decimal128(digits, scale), rounding)?;
        match placed {
            Expr::Literal(ScalarValue::Decimal128(units, ..), _) => units,
            other => panic!("{other} is no decimal"),
        }
    };
    for (value, none, down, up) in [
        (9.99, Some(999), Some(999), Some(999)),
        (9.995, None, Some(999), Some(1_000)),
        (-9.995, None, Some(-1_000), Some(-999)),
        (1e-300, None, Some(0), Some(1)),
        (-1e-300, None, Some(-1), Some(0)),
        (0.0, Some(0), Some(0), Some(0)),
        (99.994, None, Some(9_999), None),
        (1e300, None, Some(9_999), None),
        (-1e300, None, None, Some(-9_999)),
    ] {
        let found = [Rounding::None, Rounding::Down, Rounding::Up].map(|rounding| places(value, 4, 2, rounding));
        assert_eq!(found, [none, down, up], "{value}");
    }
    assert_eq!(places(1_234_567.89, 38, 6, Rounding::None), Some(1_234_567_890_000));
    assert_eq!(places(1e31, 38, 6, Rounding::None), Some(10_i128.pow(37)));
    assert_eq!(places(1e32, 38, 6, Rounding::None), None);
}

/// Each statement's condition or column after the rule alone, before types are brought together.
#[tokio::test]
async fn constants_become_decimals_and_other_floats_make_floats() {
    let decimal = |digits, scale| DataType::Decimal128(digits, scale);
    let fields = [("a", decimal(10, 2)), ("w", decimal(38, 6)), ("f", DataType::Float64), ("i", DataType::Int64)];
    let fields: Vec<Field> = fields.into_iter().map(|(name, of)| Field::new(name, of, true)).collect();
    let context = SessionContext::new();
    context.register_table("t", Arc::new(EmptyTable::new(Arc::new(Schema::new(fields))))).expect("a new name");
    for (written, expected) in [
        ("a = 1.5", "t.a = Decimal128(1.50,10,2)"),
        ("-1.5 < a", "Decimal128(-1.50,10,2) < t.a"),
        ("a >= 9.995", "t.a >= Decimal128(10.00,10,2)"),
        ("9.995 >= a", "Decimal128(9.99,10,2) >= t.a"),
        ("a = 9.995", "CAST(t.a AS Float64) = Float64(9.995)"),
        ("a < 1e12", "CAST(t.a AS Float64) < Float64(1000000000000)"),
        ("a <= 1e12", "t.a <= Decimal128(99999999.99,10,2)"),
        ("w = 1234567.89", "t.w = Decimal128(1234567.890000,38,6)"),
        ("a = f", "CAST(t.a AS Float64) = t.f"),
        ("f = CAST('1.5' AS DECIMAL(2,1))", "t.f = CAST(CAST(Utf8(\"1.5\") AS Decimal128(2, 1)) AS Float64)"),
        ("a IS DISTINCT FROM 0.06 + 0.01", "t.a IS DISTINCT FROM Decimal128(0.07,10,2)"),
        ("a BETWEEN 0.005 AND 2.5", "t.a BETWEEN Decimal128(0.01,10,2) AND Decimal128(2.50,10,2)"),
        ("a BETWEEN 1 AND 2.5", "t.a BETWEEN Int64(1) AND Decimal128(2.50,10,2)"),
        ("a BETWEEN 1.5 AND f", "CAST(t.a AS Float64) BETWEEN Float64(1.5) AND t.f"),
        ("a IN (1.5, 0.001)", "t.a IN ([Decimal128(1.50,10,2)])"),
        ("a NOT IN (0.001)", "CAST(t.a AS Float64) NOT IN ([Float64(0.001)])"),
        ("a IN (1.5, f)", "CAST(t.a AS Float64) IN ([Float64(1.5), t.f])"),
        ("f IN (1.5, 2.5)", "t.f IN ([Float64(1.5), Float64(2.5)])"),
        ("i < 2.5", "t.i < Float64(2.5)"),
        ("f = i", "t.f = t.i"),
        ("a = w", "t.a = t.w"),
    ] {
        let sql = format!("SELECT i FROM t WHERE {written}");
        let plan = context.state().create_logical_plan(&sql).await.expect("it is planned");
        let plan = Numbers.analyze(plan, &ConfigOptions::default()).expect("it is written");
        let shown = plan.display_indent().to_string();
        assert!(shown.contains(&format!("Filter: {expected}\n")), "{written}: {shown}");
    }
    for (written, expected) in [
        ("CASE a WHEN 1.5 THEN 1 END", DataType::Int64),
        ("nullif(a, 1.5)", decimal(10, 2)),
        ("coalesce(a, 1.234)", decimal(11, 3)),
        ("greatest(a, f)", DataType::Float64),
        ("CASE WHEN i = 1 THEN a ELSE 1.5 END", decimal(10, 2)),
        ("CASE WHEN i = 1 THEN a ELSE f END", DataType::Float64),
        // DataFusion's way, for which there is room.
        ("coalesce(w, 0.1234567)", decimal(38, 15)),
        ("coalesce(f, 1.5)", DataType::Float64),
    ] {
        let plan =
            context.state().create_logical_plan(&format!("SELECT {written} FROM t")).await.expect("it is planned");
        let name = plan.schema().field(0).name().clone();
        let plan = Numbers.analyze(plan, &ConfigOptions::default()).expect("it is written");
        let analysed = context.state().analyzer().execute_and_check(plan, &ConfigOptions::default(), |_, _| {});
        let analysed = analysed.expect("its types are brought together");
        assert_eq!(*analysed.schema().field(0).data_type(), expected, "{written}");
        assert_eq!(*analysed.schema().field(0).name(), name, "{written}");
    }
}
