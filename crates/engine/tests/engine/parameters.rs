//! Parameters: a value does what the literal in its place does, and nothing else. And what is described is what comes.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use lingqu_engine::allow::RefusalCode::{self, ClauseNotAllowed, StatementNotUnderstood, StatementTooLarge};
use lingqu_engine::session::{GovernedSession, told};
use lingqu_engine::{EngineError, KeyedStatement, PARAMETERS_MAX};

use crate::data::{ALL_EXACT, Place, name, rows, tenant_a, text_rows};

async fn people() -> (Place, GovernedSession) {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    (place, session)
}

fn int(value: i64) -> ScalarValue {
    ScalarValue::Int64(Some(value))
}

fn text(value: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(value.to_owned()))
}

async fn rows_with(session: &GovernedSession, sql: &str, values: &[ScalarValue]) -> Vec<String> {
    let answer = session.query_with(sql, values).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    text_rows(&answer.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}")).0)
}

async fn refusal(session: &GovernedSession, sql: &str, values: &[ScalarValue]) -> (RefusalCode, String) {
    match session.query_with(sql, values).await {
        Err(EngineError::Refused(refusal)) => (refusal.code, refusal.what),
        other => panic!("{sql}: {other:?}"),
    }
}

#[tokio::test]
async fn a_value_does_what_the_literal_in_its_place_does() {
    let (_place, session) = people().await;
    let microsecond = |at| ScalarValue::TimestampMicrosecond(Some(at), None);
    for (with, values, without) in [
        ("select id from people where id = $1", vec![int(4)], "select id from people where id = 4"),
        (
            "select id from people where id = ? or id=?",
            vec![int(4), int(8)],
            "select id from people where id in (4, 8)",
        ),
        ("select id from people where id > $1 and id < $1 + 20", vec![int(-5)], "select id from people where id < 15"),
        (
            "select id from people where id = $2 or id = $1",
            vec![int(4), ScalarValue::Int32(Some(8))],
            "select id from people where id in (4, 8)",
        ),
        (
            "select id from people where salary > ?",
            vec![ScalarValue::Float64(Some(3_000.5))],
            "select id from people where salary > 3000.5",
        ),
        (
            "select id from people where division = ?",
            vec![text("450102")],
            "select id from people where division = '450102'",
        ),
        (
            "select id from people where division = ?",
            vec![ScalarValue::LargeUtf8(Some("x' or '1'='1".to_owned()))],
            "select id from people where false",
        ),
        (
            "select id from people where born >= ?",
            vec![ScalarValue::Date32(Some(10_957))],
            "select id from people where born >= date '2000-01-01'",
        ),
        (
            "select id from people where born >= ?",
            vec![ScalarValue::Date64(Some(10_957 * 86_400_000))],
            "select id from people where born >= date '2000-01-01'",
        ),
        (
            "select id from people where born > ?",
            vec![microsecond(10_957 * 86_400_000_000 + 1)],
            "select id from people where born > timestamp '2000-01-01T00:00:00.000001'",
        ),
        (
            "select id from people where balance > ?",
            vec![ScalarValue::Decimal128(Some(12_345), 10, 2)],
            "select id from people where balance > 123.45",
        ),
        (
            "select id from people where active = ?",
            vec![ScalarValue::Boolean(Some(true))],
            "select id from people where active",
        ),
        ("select id from people where id = ?", vec![ScalarValue::Null], "select id from people where id = null"),
        (
            "select id from people where score is not distinct from ?",
            vec![ScalarValue::Float64(None)],
            "select id from people where score is null",
        ),
        (
            "select id from people order by id limit ? offset ?",
            vec![int(3), int(2)],
            "select id from people order by id limit 3 offset 2",
        ),
        // As a value it is no position: all rows are equal by it.
        (
            "select id, salary from people order by ?, id desc limit 3",
            vec![int(1)],
            "select id, salary from people order by id desc limit 3",
        ),
        (
            "select id, '?' as q from people where code like ? order by 1",
            vec![text("%1")],
            "select id, '?' as q from people where code like '%1' order by 1",
        ),
        (
            "select count(*) from people where id in (select id from people where division = ?)",
            vec![text("450102")],
            "select count(*) from people where division = '450102'",
        ),
        (
            "select replace(code, $1, $2) from people where id < 9",
            vec![text("A"), text("b")],
            "select replace(code, 'A', 'b') from people where id < 9",
        ),
    ] {
        assert_eq!(rows_with(&session, with, &values).await, rows(&session, without).await, "{with}");
    }
}

#[tokio::test]
async fn a_value_can_not_do_what_a_literal_can_not() {
    let (_place, session) = people().await;
    let list = ScalarValue::List(ScalarValue::new_list_nullable(&[int(1)], &DataType::Int64));
    for (sql, values, code) in [
        ("select id from people where id = $1", vec![], StatementNotUnderstood),
        ("select id from people where id = $2", vec![int(1)], StatementNotUnderstood),
        ("select id from people where id = $1", vec![int(1), int(2)], StatementNotUnderstood),
        ("select id from people", vec![int(1)], StatementNotUnderstood),
        ("select id from people where id = $0", vec![int(1)], StatementNotUnderstood),
        ("select id from people where id = $name", vec![int(1)], StatementNotUnderstood),
        ("select id from people where id = ? + $1", vec![int(1)], StatementNotUnderstood),
        ("select id from people where id in ($1)", vec![list], StatementNotUnderstood),
        ("select id from people where score = $1", vec![ScalarValue::Float64(Some(f64::NAN))], StatementNotUnderstood),
        ("select id from people where code = $1", vec![ScalarValue::Binary(Some(vec![1]))], StatementNotUnderstood),
        ("select id from people where code = $1", vec![text(&"x".repeat(20_000))], StatementTooLarge),
        ("select id from people where id = $1", vec![int(1); PARAMETERS_MAX + 1], StatementTooLarge),
        ("select replace(code, 'a', $1) from people", vec![text(&"x".repeat(5_000))], StatementTooLarge),
        ("select id from $1", vec![text("people")], StatementNotUnderstood),
        ("select id from people where code similar to $1", vec![text("a")], ClauseNotAllowed),
    ] {
        let (found, what) = refusal(&session, sql, &values).await;
        assert_eq!(found, code, "{sql}: {what}");
        assert!(!what.contains("xxxx"), "{what}");
    }
    // A cast of a hidden row's value does not fail by a parameter either.
    let hidden = "select count(*) from people where cast(code as bigint) > $1";
    let error = session.query_with(hidden, &[int(0)]).await.expect("a plan").collect().await;
    assert!(matches!(error, Err(EngineError::Execution { .. })) || error.is_ok());
}

const STATEMENTS: &[&str] = &[
    "select * from people",
    "select id, salary / 2 as half, salary / 2.0 as exact_half, upper(code) as c from people where active",
    "select count(*), avg(salary), sum(balance), min(born), max(score) from people",
    "select division, count(*) filter (where active) as n from people group by rollup (division) order by 1",
    "select id, sum(salary) over (partition by division order by id) as running, lag(born) over (order by id) as p from people",
    "select a.id, b.code from people a left join people b on a.id = b.salary",
    "select id from people union all select score from people",
    "select case when active then born end as b, coalesce(score, 0) as s, nullif(code, 'x') as n from people",
    "select extract(year from born) as y, date_trunc('month', born) as m, born::timestamp as t from people",
    "select distinct division, 1 as one, null as nothing, true as yes, 'x' as t from people",
    "select balance * 2 as d, round(score) as r, concat(code, '-', division) as c from people order by id limit 5",
    "select q.id from people q where exists (select 1 from people p where p.id = q.id and p.active)",
    "select 1 as n",
];

#[tokio::test]
async fn what_is_described_is_what_comes() {
    let (_place, session) = people().await;
    for sql in STATEMENTS {
        let described = session.describe(sql, None).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let answer = session.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(told(&answer.schema()), described.schema, "{sql}");
        assert!(described.parameters.is_empty());
        assert!(described.schema.fields().iter().all(|field| field.is_nullable()));
    }
    // Parameters may be open, and what the statement tells of them is known.
    for (sql, parameters) in [
        ("select id from people where id = $1", vec![Some(DataType::Int64)]),
        ("select id from people where code = ? and born > ?", vec![Some(DataType::Utf8), Some(DataType::Date32)]),
        ("select id from people where balance between $2 and $1", vec![Some(DataType::Decimal128(10, 2)); 2]),
        ("select $1 as n", vec![None]),
        ("select replace(code, $1, $2) as r from people", vec![None, None]),
    ] {
        let described = session.describe(sql, None).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(described.parameters.len(), parameters.len(), "{sql}");
        for (found, expected) in described.parameters.iter().zip(&parameters) {
            assert!(found == expected || matches!(expected, Some(DataType::Decimal128(..)) | None), "{sql}: {found:?}");
        }
    }
    let bound = session.describe("select $1 as n", Some(&[int(5)])).await.expect("a description");
    assert_eq!(bound.schema.field(0).data_type(), &DataType::Int64);
    // The one catalogue and schema may be named, and no other.
    for sql in [
        "select p.id from lingqu.data.people p",
        "select people.id from public.people",
        "select id from \"data\".\"people\"",
    ] {
        assert_eq!(session.describe(sql, None).await.expect(sql).schema.fields().len(), 1);
    }
    for sql in ["select id from other.people", "select id from other.data.people", "select id from pg_catalog.people"] {
        assert!(session.describe(sql, None).await.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn a_statement_that_asks_for_one_key_is_told_from_all_others() {
    let (_place, session) = people().await;
    let key = [name("division"), name("id")];
    let read = |sql: &'static str, values: Vec<ScalarValue>| {
        let (session, key) = (&session, &key);
        async move { session.keyed(sql, &values, key).await.unwrap_or_else(|error| panic!("{sql}: {error}")) }
    };
    for (sql, values) in [
        ("select id, code as c from people where division = '450102' and id = 4", vec![]),
        ("select id, code as c from people as p where 4 = p.id and p.division = '450102' limit 1", vec![]),
        ("select id, code as c from people where id = ? and division = ?", vec![int(4), text("450102")]),
        ("select p.id, p.code as c from (select * from people) p where p.id = 4 and p.division = '450102'", vec![]),
    ] {
        let Some(KeyedStatement { key, columns, schema }) = read(sql, values).await else {
            // A subquery may stay one: then it is no lookup, which is refused and not answered otherwise.
            assert!(sql.contains("(select *"), "{sql}");
            continue;
        };
        assert_eq!(key, [text("450102"), int(4)], "{sql}");
        assert_eq!(columns, ["id", "code"]);
        assert_eq!(schema.field(1).name(), "c");
    }
    for sql in [
        "select id from people",
        "select id from people where id = 4",
        "select id from people where id = 4 and division = '450102' and active",
        "select id from people where id = 4 and division = '450102' and id = 5",
        "select id from people where id = 4 and division > '450102'",
        "select id from people where id = 4 or division = '450102'",
        "select id from people where not (id = 4 and division = '450102')",
        "select id from people where id = 4 and division = null",
        "select id from people where id = salary and division = '450102'",
        "select id from people where id = 2 + 2 and division = '450102'",
        "select id from people where id = 4 and division = '450102' limit 0",
        "select id from people where id = 4 and division = '450102' limit 1 offset 1",
        "select id from people where id = 4 and division = '450102' order by id",
        "select count(*) from people where id = 4 and division = '450102'",
        "select distinct id from people where id = 4 and division = '450102'",
        "select upper(code) from people where id = 4 and division = '450102'",
        "select a.id from people a join people b on a.id = b.id where a.id = 4 and b.division = '450102'",
        "select id from people where id = 4 and division = '450102' union select id from people",
        "select id from people where id = (select 4) and division = '450102'",
        "select id from people where upper(division) = '450102' and id = 4",
    ] {
        assert_eq!(read(sql, vec![]).await, None, "{sql}");
    }
}
