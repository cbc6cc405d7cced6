//! Decimals beside plain numbers. What is expected is counted here, over whole numbers of the last place: no engine is asked.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::common::ScalarValue;
use lingqu_engine::governed::GovernedTable;
use lingqu_engine::session::GovernedSession;
use lingqu_engine::source::{DeclaredColumn, Source, SourceOptions};
use lingqu_engine::{ColumnType, EngineError};

use crate::data::{Numbers, Place, batches, governance, name, rows};

const AMOUNTS: usize = 1_000;
const ASKED_EVERY: usize = 4;
/// Conditions of one statement.
const ASKED_AT_ONCE: usize = 40;

/// Amounts in hundredths, of one digit before the point to seven, and the floats that lie next to half of them.
fn amounts() -> Vec<i64> {
    let mut numbers = Numbers(71);
    (0..AMOUNTS).map(|at| 1 + numbers.below(10_usize.pow(3 + u32::try_from(at % 7).expect("small"))) as i64).collect()
}

fn text(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
}

/// A session over a table `bills` of the amounts, as decimals of many places and of two, as floats and as text.
async fn bills(place: &Place, amounts: &[i64]) -> GovernedSession {
    let columns = [
        ("id", ColumnType::Integer),
        ("amount", ColumnType::Decimal { precision: 38, scale: 6 }),
        ("price", ColumnType::Decimal { precision: 10, scale: 2 }),
        ("measured", ColumnType::Float),
    ];
    let mut csv = "id,amount,price,measured\n".to_owned();
    for (id, amount) in amounts.iter().enumerate() {
        let amount = text(*amount);
        // Every other float is the amount's, the others are far beyond any decimal.
        let measured = if id % 2 == 0 { amount.clone() } else { format!("{id}e290") };
        csv.push_str(&format!("{id},{amount},{amount},{measured}\n"));
    }
    let declared = columns.map(|(column, column_type)| DeclaredColumn {
        header: column.to_owned(),
        aliases: Vec::new(),
        name: name(column),
        column_type,
    });
    let options = SourceOptions { declared: Some(declared.to_vec()), ..SourceOptions::default() };
    let source = Source::open(&place.file("bills.csv", &csv), options).expect("the source is good");
    let snapshot = place.snapshots.write_source("res_bills", &source).await.expect("the snapshot is written");
    let granted = columns.map(|(column, _)| (column, "exact"));
    let table = GovernedTable::new(Arc::clone(&snapshot.files), &governance("bills", &granted, Vec::new(), None));
    place.session(&[table.expect("a governed table")])
}

/// The whole numbers of the first row.
async fn counts(session: &GovernedSession, sql: &str) -> Vec<i64> {
    let found = batches(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let first = &found[0];
    first.columns().iter().map(|column| column.as_primitive::<Int64Type>().value(0)).collect()
}

/// A condition in words, with `#x` for a decimal column, and which amounts meet it.
type Asked = (String, Box<dyn Fn(i64) -> bool>);

fn conditions(amount: i64, other: i64) -> Vec<Asked> {
    let (low, high) = (amount.min(other), amount.max(other));
    let (x, y) = (text(amount), text(other));
    // Between two amounts, which have two places.
    let above = format!("{x}5");
    vec![
        (format!("#x = {x}"), Box::new(move |it| it == amount)),
        (format!("{x} <> #x"), Box::new(move |it| it != amount)),
        (format!("#x IN ({x}, {y}, {above})"), Box::new(move |it| it == amount || it == other)),
        (format!("#x BETWEEN {} AND {}", text(low), text(high)), Box::new(move |it| (low..=high).contains(&it))),
        (format!("#x NOT BETWEEN {} AND {}", text(low), text(high)), Box::new(move |it| !(low..=high).contains(&it))),
        (format!("#x <= {x}"), Box::new(move |it| it <= amount)),
        (format!("{x} <= #x"), Box::new(move |it| it >= amount)),
        (format!("#x < {above}"), Box::new(move |it| it <= amount)),
        (format!("#x >= {above}"), Box::new(move |it| it > amount)),
        (format!("#x BETWEEN -0.005 AND {above}"), Box::new(move |it| it <= amount)),
        (format!("#x = {above}"), Box::new(|_| false)),
        (format!("#x > -{x} AND #x < 1e300"), Box::new(|_| true)),
        (
            format!("CASE #x WHEN {y} THEN false WHEN {x} THEN true END"),
            Box::new(move |it| it == amount && it != other),
        ),
        (format!("nullif(#x, {x}) IS NULL"), Box::new(move |it| it == amount)),
        (format!("#x IS NOT DISTINCT FROM {} + 0.01", text(amount - 1)), Box::new(move |it| it == amount)),
        (format!("greatest(#x, {x}) = {x}"), Box::new(move |it| it <= amount)),
        (format!("#x IN (SELECT {x})"), Box::new(move |it| it == amount)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decimals_are_found_by_the_numbers_that_they_are() {
    let place = Place::new();
    let amounts = amounts();
    let session = bills(&place, &amounts).await;
    let mut wrong = Vec::new();
    let mut hold = |found: Vec<i64>, asked: &[(String, i64)]| {
        assert_eq!(found.len(), asked.len());
        for (found, (condition, expected)) in found.iter().zip(asked) {
            if found != expected {
                wrong.push(format!("{condition}: {found} rows of {expected}"));
            }
        }
    };
    // Every fourth amount by the first form and one of the others.
    let mut waiting: Vec<(String, i64)> = Vec::new();
    for (at, amount) in amounts.iter().step_by(ASKED_EVERY).enumerate() {
        let asked = conditions(*amount, amounts[(at * 7 + 3) % AMOUNTS]);
        let counted = |of: &Asked| amounts.iter().filter(|amount| of.1(**amount)).count() as i64;
        for number in [0, 1 + at % (asked.len() - 2)] {
            let column = if (at + number) % 2 == 0 { "amount" } else { "price" };
            waiting.push((asked[number].0.replace("#x", column), counted(&asked[number])));
        }
        if waiting.len() >= ASKED_AT_ONCE || at + 1 == AMOUNTS / ASKED_EVERY {
            let asked = std::mem::take(&mut waiting);
            let filtered = asked.iter().enumerate();
            let filtered =
                filtered.map(|(number, (condition, _))| format!("count(*) FILTER (WHERE {condition}) AS c{number}"));
            let filtered = filtered.collect::<Vec<_>>().join(", ");
            hold(counts(&session, &format!("SELECT {filtered} FROM bills")).await, &asked);
        }
        // As conditions on rows, which go below the barrier.
        if at % 50 == 0 {
            for asked in &asked {
                let condition = asked.0.replace("#x", if at % 100 == 0 { "amount" } else { "price" });
                let sql = format!("SELECT count(*) AS c FROM bills WHERE {condition}");
                hold(counts(&session, &sql).await, &[(condition, counted(asked))]);
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

/// A float is the decimal's if the decimal rounds to it, and a float beyond every decimal is no reason to fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floats_and_decimals_are_compared_as_floats() {
    let place = Place::new();
    let amounts = amounts();
    let session = bills(&place, &amounts).await;
    // Rows whose float is the amount, and of these the pairs of equal ones.
    let measured: Vec<i64> = amounts.iter().copied().step_by(2).collect();
    let equal = |others: &[i64]| {
        amounts.iter().map(|it| others.iter().filter(|other| *other == it).count() as i64).sum::<i64>()
    };
    let among = amounts.iter().filter(|amount| measured.contains(amount)).count() as i64;
    for (sql, expected) in [
        ("SELECT count(*) AS c FROM bills WHERE amount = measured", measured.len() as i64),
        ("SELECT count(*) AS c FROM bills WHERE price <> measured", (AMOUNTS - measured.len()) as i64),
        ("SELECT count(*) AS c FROM bills WHERE measured > price", (AMOUNTS - measured.len()) as i64),
        ("SELECT count(*) AS c FROM bills WHERE amount BETWEEN 0.5 AND measured", {
            amounts.iter().enumerate().filter(|(_, amount)| **amount >= 50).count() as i64
        }),
        ("SELECT count(*) AS c FROM bills b JOIN bills m ON b.amount = m.measured", equal(&measured)),
        (
            "SELECT count(*) AS c FROM (SELECT price AS x FROM bills) b JOIN (SELECT measured AS x FROM bills) m USING (x)",
            { equal(&measured) },
        ),
        ("SELECT count(*) AS c FROM bills WHERE price IN (SELECT measured FROM bills)", among),
        ("SELECT count(*) AS c FROM bills WHERE price NOT IN (SELECT measured FROM bills)", AMOUNTS as i64 - among),
        ("SELECT count(*) AS c FROM bills WHERE measured IN (SELECT amount FROM bills)", measured.len() as i64),
        ("SELECT count(*) AS c FROM bills b WHERE EXISTS (SELECT 1 FROM bills m WHERE m.measured = b.price)", among),
    ] {
        assert_eq!(counts(&session, sql).await, [expected], "{sql}");
    }
    // The given values, of which one is twice there where an amount is.
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    for (at, amount) in amounts.iter().enumerate().step_by(40) {
        let decimal = ScalarValue::Decimal128(Some(i128::from(*amount)), 38, 2);
        let float = ScalarValue::Float64(Some(text(*amount).parse().expect("a number")));
        for (column, value, others) in [
            ("measured", decimal.clone(), &measured),
            ("measured", float.clone(), &measured),
            ("amount", float, &amounts),
            ("amount", decimal, &amounts),
        ] {
            let sql = format!("SELECT count(*) AS c FROM bills WHERE {column} = $1");
            let answer = session.query_with(&sql, &[value]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            let (batches, _) = answer.collect().await.expect("an answer");
            found.push((at, column, batches[0].column(0).as_primitive::<Int64Type>().value(0)));
            expected.push((at, column, others.iter().filter(|other| *other == amount).count() as i64));
        }
    }
    assert_eq!(found, expected);
    // A parameter is of the type of what it stands beside.
    for (sql, of) in [
        ("SELECT id FROM bills WHERE amount IN ($1, 1.5)", "Decimal128(38, 6)"),
        ("SELECT id FROM bills WHERE price BETWEEN 0.5 AND $1", "Decimal128(10, 2)"),
        ("SELECT id FROM bills WHERE measured > $1", "Float64"),
    ] {
        let described = session.describe(sql, None).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let types: Vec<String> = described.parameters.iter().flatten().map(ToString::to_string).collect();
        assert_eq!(types, [of], "{sql}");
    }
}

/// What is given beside a constant keeps its digits and its type.
#[tokio::test]
async fn what_is_given_beside_a_number_is_exact() {
    let place = Place::new();
    let session = bills(&place, &[123_456_789, 5]).await;
    for (given, expected) in [
        ("coalesce(nullif(price, 1234567.89), 7654321.89)", ["7654321.89", "0.05"]),
        ("CASE WHEN id = 0 THEN 7654321.89 ELSE amount END", ["7654321.890000", "0.050000"]),
        ("greatest(price, 0.125)", ["1234567.890", "0.125"]),
        ("least(price, measured)", ["1234567.89", "0.05"]),
    ] {
        let sql = format!("SELECT {given} AS given FROM bills ORDER BY id");
        assert_eq!(rows(&session, &sql).await, expected, "{given}");
    }
}

/// A sum that passes 64 bits would be another number.
#[tokio::test]
async fn sums_of_whole_numbers_do_not_wrap_around() {
    let place = Place::new();
    let csv = "kind,amount\na,9223372036854775807\na,1\nb,9223372036854775807\nb,1\nb,-2\n";
    let snapshot = place.snapshot("res_large", csv).await;
    let governed = governance("large", &[("kind", "exact"), ("amount", "exact")], Vec::new(), None);
    let session = place.session(&[GovernedTable::new(snapshot.files, &governed).expect("a governed table")]);
    let held = "select sum(amount), sum(distinct amount) from large where kind = 'b'";
    assert_eq!(rows(&session, held).await, ["9223372036854775806|9223372036854775806"]);
    let wide = "select kind, sum(cast(amount as decimal(20, 0))) from large group by kind order by kind";
    assert_eq!(rows(&session, wide).await, ["a|9223372036854775808", "b|9223372036854775806"]);
    for sql in [
        "select sum(amount) from large where kind = 'a'",
        "select kind, sum(amount) from large group by kind",
        "select kind, sum(distinct amount), count(distinct amount) from large group by kind",
        "select sum(amount) over (partition by kind order by amount) from large",
        "select sum(amount) over (partition by kind rows between 1 preceding and current row) from large",
    ] {
        let failed = batches(&session, sql).await;
        assert!(matches!(&failed, Err(EngineError::Execution { .. })), "{sql}: {failed:?}");
    }
}
