//! Lineage, case by case.

use std::collections::BTreeSet;

use datafusion::scalar::ScalarValue;
use lingqu_domain::lineage::ANSWER_COLUMNS_MAX;
use lingqu_domain::scope::ColumnName;
use lingqu_engine::lineage::{InputColumn, PersonColumns, Persons, ProductShape, describe, describe_with_persons};
use lingqu_engine::{ColumnType, ColumnView, EngineError, SchemaView};

use crate::data::{ALL_EXACT, Place, name, tenant_a};

fn inputs() -> Vec<(String, SchemaView)> {
    let schema = |columns: &[(&str, ColumnType)]| SchemaView {
        columns: columns
            .iter()
            .map(|(column, column_type)| ColumnView { name: name(column), column_type: *column_type })
            .collect(),
    };
    vec![
        (
            "flights".to_owned(),
            schema(&[
                ("carrier", ColumnType::Text),
                ("tailnum", ColumnType::Text),
                ("dest", ColumnType::Text),
                ("delay", ColumnType::Float),
                ("day", ColumnType::Date),
            ]),
        ),
        ("planes".to_owned(), schema(&[("tailnum", ColumnType::Text), ("year", ColumnType::Integer)])),
    ]
}

async fn shape(sql: &str) -> Result<ProductShape, EngineError> {
    describe(&Place::new().engine, sql, &inputs()).await
}

fn set(columns: &str) -> BTreeSet<InputColumn> {
    let mut found = BTreeSet::new();
    for column in columns.split_whitespace() {
        let (table, column) = column.split_once('.').expect("table.column");
        found.insert(InputColumn { table: table.to_owned(), column: name(column) });
    }
    found
}

/// SQL, output columns as (name, sources, computed), conditions.
type Case = (&'static str, &'static [(&'static str, &'static str, bool)], &'static str);

#[tokio::test]
async fn columns_are_traced_to_their_inputs() {
    let cases: &[Case] = &[
        (
            "select carrier, delay from flights",
            &[("carrier", "flights.carrier", false), ("delay", "flights.delay", false)],
            "",
        ),
        ("select delay as late from flights where dest = 'NNG'", &[("late", "flights.delay", false)], "flights.dest"),
        (
            "select delay * 60 as seconds, 1 as one from flights",
            &[("seconds", "flights.delay", true), ("one", "", true)],
            "",
        ),
        (
            "select case when delay >= 180 then carrier else dest end as mix from flights",
            &[("mix", "flights.delay flights.carrier flights.dest", true)],
            "",
        ),
        (
            "select carrier, avg(delay) as mean from flights group by carrier",
            &[("carrier", "flights.carrier", false), ("mean", "flights.delay", true)],
            "flights.carrier",
        ),
        ("select count(*) as flights from flights where delay > 0", &[("flights", "", true)], "flights.delay"),
        (
            "select f.carrier, p.year from flights f join planes p on f.tailnum = p.tailnum and p.year > 2000",
            &[("carrier", "flights.carrier", false), ("year", "planes.year", false)],
            "flights.tailnum planes.tailnum planes.year",
        ),
        (
            "select f.carrier from flights f left join planes p using (tailnum)",
            &[("carrier", "flights.carrier", false)],
            "flights.tailnum planes.tailnum",
        ),
        (
            "select x.a from (select carrier || dest as a, day from flights) x where x.day > date '2013-06-01'",
            &[("a", "flights.carrier flights.dest", true)],
            "flights.day",
        ),
        (
            "with late as (select tailnum, delay from flights) select tailnum from late order by delay limit 3",
            &[("tailnum", "flights.tailnum", false)],
            "flights.delay",
        ),
        (
            "select tailnum from flights union all select tailnum from planes",
            &[("tailnum", "flights.tailnum planes.tailnum", true)],
            "",
        ),
        ("select distinct carrier from flights", &[("carrier", "flights.carrier", false)], "flights.carrier"),
        (
            "select carrier from flights where tailnum in (select tailnum from planes where year < 1990)",
            &[("carrier", "flights.carrier", false)],
            "flights.tailnum planes.tailnum planes.year",
        ),
        (
            "select carrier from flights f where exists (select 1 from planes p where p.tailnum = f.tailnum)",
            &[("carrier", "flights.carrier", false)],
            "flights.tailnum planes.tailnum",
        ),
        (
            "select carrier, (select max(year) from planes p where p.tailnum = f.tailnum) as newest from flights f",
            &[("carrier", "flights.carrier", false), ("newest", "planes.year", true)],
            "flights.tailnum planes.tailnum",
        ),
        (
            "select carrier, rank() over (partition by dest order by delay) as place from flights",
            &[("carrier", "flights.carrier", false), ("place", "flights.dest flights.delay", true)],
            "",
        ),
        (
            "select carrier, sum(delay) filter (where dest = 'NNG') as total from flights group by carrier having max(delay) > 5",
            &[("carrier", "flights.carrier", false), ("total", "flights.delay flights.dest", true)],
            "flights.carrier flights.delay",
        ),
        (
            "select carrier, dest, count(*) as flights from flights group by rollup (carrier, dest)",
            &[
                ("carrier", "flights.carrier flights.dest", true),
                ("dest", "flights.carrier flights.dest", true),
                ("flights", "", true),
            ],
            "flights.carrier flights.dest",
        ),
        (
            "select cast(day as text) as day, abs(delay) as size from flights",
            &[("day", "flights.day", true), ("size", "flights.delay", true)],
            "",
        ),
        (
            "select distinct on (carrier) carrier, delay from flights order by carrier, day",
            &[("carrier", "flights.carrier", false), ("delay", "flights.delay", false)],
            "flights.carrier flights.day",
        ),
    ];
    for (sql, columns, conditions) in cases {
        let shape = shape(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let found: Vec<_> = shape
            .columns
            .iter()
            .map(|column| (column.name.to_string(), column.lineage.clone(), column.computed))
            .collect();
        let expected: Vec<_> =
            columns.iter().map(|(name, sources, computed)| ((*name).to_owned(), set(sources), *computed)).collect();
        assert_eq!(found, expected, "{sql}");
        assert_eq!(shape.conditions, set(conditions), "conditions of {sql}");
    }
}

#[tokio::test]
async fn what_has_no_name_type_or_origin_is_refused() {
    for sql in [
        "select delay + 1 from flights",
        "select delay as \"Delay\" from flights",
        "select carrier, dest as carrier from flights",
        "select interval '1 day' as span from flights",
        "select carrier from nothing",
        "select nothing from flights",
        "select * from flights f join planes p on f.tailnum = p.tailnum",
    ] {
        assert!(matches!(shape(sql).await, Err(EngineError::Refused(_))), "{sql}");
    }
}

/// SQL, the answer's columns as (sources, computed), conditions. Over `people` of the tests' data.
type AnswerCase = (&'static str, &'static [(&'static str, bool)], &'static str);

fn columns(text: &str) -> BTreeSet<ColumnName> {
    text.split_whitespace().map(name).collect()
}

#[tokio::test]
async fn an_answer_tells_what_it_is_made_of_and_chosen_by_and_nothing_that_was_written() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let cases: &[AnswerCase] = &[
        (
            "select id, salary from people where division = 'secret-4711'",
            &[("id", false), ("salary", false)],
            "division",
        ),
        ("select id as \"secret-4711\", salary * 4711 as y from people", &[("id", false), ("salary", true)], ""),
        ("select 'secret-4711' as x, count(*) from people", &[("", true), ("", true)], ""),
        (
            "select division, avg(salary) from people group by division",
            &[("division", false), ("salary", true)],
            "division",
        ),
        ("select id from people order by score limit 3", &[("id", false)], "score"),
        ("select a.id from people a join people b on a.code = b.code where b.active", &[("id", false)], "active code"),
        ("select id from people where salary > (select avg(balance) from people)", &[("id", false)], "balance salary"),
        (
            "select id, rank() over (partition by division order by born) from people",
            &[("id", false), ("born division", true)],
            "",
        ),
        ("select case when active then code else division end from people", &[("active code division", true)], ""),
        ("select id from people union select divisor from people", &[("divisor id", true)], "divisor id"),
    ];
    for (sql, expected, conditions) in cases {
        let answer = session.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let lineage = answer.lineage().clone();
        let found: Vec<_> = lineage.columns.iter().map(|column| (column.from.clone(), column.computed)).collect();
        let expected: Vec<_> = expected.iter().map(|(from, computed)| (columns(from), *computed)).collect();
        assert_eq!((found, lineage.conditions.clone()), (expected, columns(conditions)), "{sql}");
        assert!(!lineage.at_most, "{sql}");
        assert!(!format!("{lineage:?}").contains("4711"), "{lineage:?}");
        assert_eq!(session.lineage(sql).await.expect("an allowed statement"), lineage, "{sql}");
    }
    // Values of parameters change nothing.
    let asked = session.query_with("select id from people where salary = $1", &[ScalarValue::Int64(Some(4711))]);
    let lineage = asked.await.expect("an answer").lineage().clone();
    assert_eq!(lineage.conditions, columns("salary"));
}

#[tokio::test]
async fn an_answer_of_many_columns_has_a_bounded_lineage() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let many: Vec<String> = (0..600).map(|number| format!("id as c{number}")).collect();
    let sql = format!("select {}, salary as last from people", many.join(","));
    let lineage = session.lineage(&sql).await.expect("an allowed statement");
    assert_eq!(lineage.columns.len(), ANSWER_COLUMNS_MAX);
    assert!(lineage.is_made_of(&name("salary")));
}

/// Tables about persons: `people` and `visits` name them by `id`, and `offences` by the number that `people` have, which is declared to
/// say who it is; that of `visits` is a mere number of rows. `places` are about nobody.
fn about_persons(named: &[&str]) -> (Vec<(String, SchemaView)>, Persons) {
    let table = |name_: &str, columns: &[&str]| {
        let columns = columns.iter().map(|column| ColumnView { name: name(column), column_type: ColumnType::Text });
        (name_.to_owned(), SchemaView { columns: columns.collect() })
    };
    let inputs = vec![
        table("people", &["number", "id", "spouse_id", "name"]),
        table("visits", &["number", "id", "diagnosis"]),
        table("offences", &["person", "points"]),
        table("places", &["number", "name"]),
    ];
    let of = |subject: &str, key: Option<&str>| PersonColumns { subject: name(subject), key: key.map(name) };
    let persons = [("people", of("id", Some("number"))), ("visits", of("id", None)), ("offences", of("person", None))];
    let persons = persons.into_iter().map(|(table, columns)| (table.to_owned(), columns)).collect();
    (inputs, Persons { inputs: persons, named: named.iter().copied().map(name).collect() })
}

async fn is_by_person(sql: &str, named: &[&str]) -> bool {
    let (inputs, persons) = about_persons(named);
    let described = describe_with_persons(&Place::new().engine, sql, &inputs, &persons).await;
    described.unwrap_or_else(|error| panic!("{sql}: {error}")).1
}

/// Nobody's rows are in a row but those of the persons whom it names.
#[tokio::test]
async fn rows_are_of_the_persons_they_name() {
    let of_the_named: &[(&str, &[&str])] = &[
        ("select id, name from people where name <> 'x' order by name", &["id"]),
        ("select p.id, v.diagnosis from people p join visits v on v.id = p.id", &["id"]),
        ("select p.id, v.diagnosis from people p, visits v where v.id = p.id and v.diagnosis <> 'x'", &["id"]),
        ("select p.id, v.diagnosis from people p left join visits v on v.id = p.id", &["id"]),
        (
            "select p.id, s.id as spouse, s.name from people p left join people s on s.id = p.spouse_id",
            &["id", "spouse"],
        ),
        ("select p.id, o.points from people p join offences o on o.person = p.number", &["id"]),
        ("select p.id, q.name from people p join people q on q.number = p.number", &["id"]),
        (
            "select p.id, n from people p join (select person, count(*) n from offences group by person) o on o.person = p.number",
            &["id"],
        ),
        ("select id, max(diagnosis) over (partition by id) as d from visits", &["id"]),
        ("select id, max(diagnosis) as d from visits group by id", &["id"]),
        ("select distinct id, diagnosis from visits", &["id"]),
        ("select distinct on (id) id, diagnosis from visits order by id, number desc", &["id"]),
        (
            "select distinct on (p.id) p.id, v.diagnosis from people p join visits v on v.id = p.id order by p.id, v.number",
            &["id"],
        ),
        (
            "select p.id, u.d from people p join (select id, diagnosis d from visits union all select person, points from offences) u on u.id = p.id",
            &["id"],
        ),
        ("select p.id, l.name from people p join places l on l.number = p.name", &["id"]),
        ("select id from people where name in (select name from places)", &["id"]),
        ("select p.id from people p left semi join visits v on v.id = p.id", &["id"]),
        ("select p.id from people p left anti join visits v on v.id = p.id", &["id"]),
        ("select number, name from places limit 3", &[]),
    ];
    for (sql, named) in of_the_named {
        let by_person = is_by_person(sql, named).await;
        // A limit is not looked into, even where there is nobody.
        assert_eq!(by_person, !sql.contains("limit"), "{sql}");
    }
    let of_others: &[(&str, &[&str])] = &[
        ("select id, name from people", &[]),
        ("select spouse_id, name from people", &["spouse_id"]),
        ("select p.id, v.diagnosis from people p join visits v on v.id = p.spouse_id", &["id"]),
        ("select p.id, v.diagnosis from people p join visits v on v.id = p.spouse_id where v.id is not null", &["id"]),
        ("select p.id, v.diagnosis from people p join visits v on v.id = p.id or v.id = p.spouse_id", &["id"]),
        ("select p.id, v.diagnosis from people p join visits v on v.number = p.number", &["id"]),
        ("select p.id, v.diagnosis from people p join visits v on v.number = p.id", &["id"]),
        (
            "select p.id, v.diagnosis from people p join offences o on o.person = p.number join visits v on v.number = o.person",
            &["id"],
        ),
        ("select id, max(name) over (partition by number) as d from people", &["id"]),
        (
            "select p.id, d.name from people p join (select distinct number, name from people) d on d.number = p.number",
            &["id"],
        ),
        ("select p.id, v.diagnosis from people p cross join visits v", &["id"]),
        ("select p.id, q.name from people p join people q on q.id = p.spouse_id", &["id"]),
        // His row is there whether or not the other one is.
        ("select v.id, p.name from people p left join visits v on v.id = p.id", &["id"]),
        ("select p.id, v.diagnosis from people p full join visits v on v.id = p.id", &["id"]),
        (
            "select p.id, v.diagnosis from people p left join people q on q.id = p.spouse_id left join visits v on v.id = q.id",
            &["id"],
        ),
        ("select id, lag(diagnosis) over (order by id) as d from visits", &["id"]),
        ("select id, max(diagnosis) over (partition by number) as d, max(diagnosis) over () as e from visits", &["id"]),
        ("select max(id) as id, diagnosis from visits group by diagnosis", &["id"]),
        // Whether somebody's row is there depends on others' then.
        ("select distinct on (diagnosis) id, diagnosis from visits order by diagnosis, id", &["id"]),
        ("select distinct on (p.id) p.id, v.diagnosis from people p join visits v on v.id = p.spouse_id", &["id"]),
        ("select id, max(diagnosis) as d from visits group by grouping sets ((id), ())", &["id"]),
        (
            "select p.id, d.diagnosis from people p join (select distinct diagnosis from visits) d on d.diagnosis = p.name",
            &["id"],
        ),
        ("select id, (select max(diagnosis) from visits) as d from people", &["id"]),
        ("select id from people p where exists (select 1 from visits v where v.id = p.spouse_id)", &["id"]),
        (
            "select id from people where name in (select name from places where name in (select diagnosis from visits))",
            &["id"],
        ),
        ("select p.id from people p left anti join visits v on v.id = p.spouse_id", &["id"]),
        // Of a part of the union the column is another's.
        (
            "select p.id, u.d from people p join (select id, name d from people union all select spouse_id, name from people) u on u.id = p.id",
            &["id"],
        ),
        (
            "select p.id, u.d from people p join (select v.id as one, v.id as other, v.diagnosis d from visits v \
             union all select v.id, q.id, q.name from visits v cross join people q) u on u.one = p.id",
            &["id"],
        ),
    ];
    for (sql, named) in of_others {
        assert!(!is_by_person(sql, named).await, "{sql}");
    }
    let both = "select u.one, u.other, u.d from (select v.id as one, v.id as other, v.diagnosis d from visits v \
                union all select v.id, q.id, q.name from visits v cross join people q) u";
    assert!(is_by_person(both, &["one", "other"]).await);
    assert!(!is_by_person(both, &["one"]).await);
}
