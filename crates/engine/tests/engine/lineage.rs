//! Lineage, case by case.

use std::collections::BTreeSet;

use lingqu_engine::lineage::{InputColumn, ProductShape, describe};
use lingqu_engine::{ColumnType, ColumnView, EngineError, SchemaView};

use crate::data::{Place, name};

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
