//! Ways to an original value. In this table every salary is a multiple of three and moved by one, so that no salary of a copy is
//! one, and a division by the rest fails on an original.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use futures::StreamExt;
use lingqu_engine::EngineError;
use lingqu_engine::export::{ExportFormat, export};
use lingqu_engine::session::GovernedSession;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::statistics::Statistics;

use super::{marking, member, number, people_of};
use crate::barrier::SHAPES;
use crate::data::{ALL_EXACT, Place, rows};

/// Each fails or holds on an original value, and on no other.
const PROBES: &[&str] = &[
    "1 / (salary % 3) <> 7",
    "100 % (salary % 3) >= 0",
    "cast(case when salary % 3 = 0 then concat('x', code) else '1' end as bigint) > 0",
    "1 / (cast(cast(salary as text) as bigint) % 3) <> 7",
    "id >= 0 and 1 / (salary % 3) <> 7",
    "salary in (select salary from people where 1 / (salary % 3) <> 7)",
];

/// Statements of one column of numbers that come from salaries.
const TRICKS: &[&str] = &[
    "select salary from people",
    "select salary + 0 from people",
    "select cast(cast(salary as text) as bigint) from people",
    "select cast(cast(salary as double) as bigint) from people",
    "select min(salary) from people",
    "select max(salary) from people",
    "select max(salary) from people group by division, divisor",
    "select distinct salary from people",
    "select salary from people order by salary desc limit 7",
    "select salary from people order by id limit 7 offset 100",
    "select a.salary from people a join people b on a.salary = b.salary",
    "select b.salary from people a join people b on a.id = b.id and a.id < 50",
    "select a.salary from people a left join people b on a.salary = b.salary + 3000000",
    "select lag(salary) over (order by id) from people where id < 100",
    "select first_value(salary) over (partition by division order by id) from people",
    "select coalesce(nullif(salary, 3), 4) from people",
    "select case when salary >= 3000 then salary end from people",
    "select salary from people where salary between 3000 and 3300",
    "select salary from people union select salary from people where id = 1",
    "select (select max(salary) from people) from people where id = 1",
    "select salary from people where id in (select id from people where salary > 5900)",
    "select avg(cast(salary as double)) from people group by id",
    "select sum(salary) from people group by id",
    "select median(salary) from people group by id",
];

async fn session(place: &Place) -> GovernedSession {
    let people = place.people().await;
    let marking = marking(&["id"], vec![number("salary", vec![member("salary", 1, 0)], 1)], None);
    place.session(&[people_of(&people, ALL_EXACT, &marking, 2, 3)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_meets_an_original_value() {
    let place = Place::new();
    let session = session(&place).await;
    let mut answered = 0;
    for shape in SHAPES {
        for probe in PROBES {
            let sql = shape.replace("PROBE", probe);
            match session.query(&sql).await {
                Ok(answer) => {
                    let failed = answer.collect().await.err();
                    assert!(failed.is_none(), "an original value was met: {sql}");
                    answered += 1;
                }
                Err(EngineError::Refused(_)) => {}
                Err(error) => panic!("{sql}: {error}"),
            }
        }
    }
    assert!(answered * 4 > SHAPES.len() * PROBES.len() * 3, "only {answered} were answered");
    // The probes do fail where originals are met.
    let people = place.people().await;
    let exact = place.session(&[crate::data::tenant_a(&people, ALL_EXACT)]);
    let answer = exact.query("select count(*) from people where 1 / (salary % 3) <> 7").await;
    assert!(answer.expect("it is planned").collect().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_trick_shows_an_original_value() {
    let place = Place::new();
    let session = session(&place).await;
    let mut shown = 0;
    for sql in TRICKS {
        let answer = match session.query(sql).await {
            Ok(answer) => answer,
            Err(EngineError::Refused(_)) => continue,
            Err(error) => panic!("{sql}: {error}"),
        };
        let (batches, _) = answer.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        for batch in batches {
            let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Int64).expect("numbers");
            for value in column.as_primitive::<Int64Type>().iter().flatten() {
                // What `coalesce` puts in place of a null is none.
                assert!(value % 3 != 0 || value == 4, "{sql} shows {value}");
                shown += 1;
            }
        }
    }
    assert!(shown > 5_000, "only {shown} values were shown");
    // What it is asked for by value, in the scan's own terms, is not there, and what is delivered is found by its value, even above
    // the greatest original.
    for sql in ["salary % 3 = 0", "salary in (3003, 3006, 3009)", "salary = 5997", "salary is null"] {
        assert_eq!(rows(&session, &format!("select count(*) from people where {sql}")).await, ["0"], "{sql}");
    }
    for sql in ["select max(salary) from people", "select min(salary) from people", "select salary from people limit 1"]
    {
        let delivered = &rows(&session, sql).await[0];
        let found = rows(&session, &format!("select count(*) from people where salary = {delivered}")).await;
        assert_eq!(found, ["1"], "{delivered}");
    }
    let least_and_most = rows(&session, "select min(salary), max(salary) from people").await;
    let bounds: Vec<i64> = least_and_most[0].split('|').map(|bound| bound.parse().expect("a number")).collect();
    assert!(bounds[0] < 3_006 && bounds[1] > 5_992, "{bounds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_plan_nor_an_error_tells_of_marks() {
    let place = Place::new();
    let session = session(&place).await;
    let plan = rows(&session, "explain select salary from people where salary > 3000 and id = 7").await.join("\n");
    assert!(plan.contains("salary"), "{plan}");
    for secret in ["ark", "__", "3021", "3020", "3022"] {
        assert!(!plan.contains(secret), "{secret} in {plan}");
    }
    for sql in [
        "select cast(concat('x', cast(salary as text)) as bigint) from people where id = 7",
        "select 1 / (salary - salary) from people where id = 7",
    ] {
        let failed = session.query(sql).await.expect("it is planned").collect().await.expect_err("it fails");
        let told = format!("{failed} {failed:?}");
        for value in ["3021", "3020", "3022"] {
            assert!(!told.contains(value), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_holds_no_original_value_in_pages_dictionaries_or_statistics() {
    let place = Place::new();
    let session = session(&place).await;
    let answer = session.query("select id, salary from people").await.expect("an answer");
    let stream = export(answer, ExportFormat::Parquet, |_| async { Ok::<(), std::convert::Infallible>(()) });
    let mut bytes = Vec::new();
    futures::pin_mut!(stream);
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.expect("bytes").bytes);
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a Parquet file");
    let metadata = Arc::clone(reader.metadata());
    let mut told = 0;
    for group in metadata.row_groups() {
        if let Some(Statistics::Int64(statistics)) = group.column(1).statistics() {
            for bound in statistics.min_opt().into_iter().chain(statistics.max_opt()) {
                assert!(bound % 3 != 0, "the footer tells {bound}");
                told += 1;
            }
        }
    }
    assert!(told > 0, "the footer tells bounds");
    let mut read = 0;
    for batch in reader.build().expect("a reader") {
        let batch = batch.expect("a batch");
        let salaries = batch.column(1).as_primitive::<Int64Type>().values().iter();
        read += salaries.inspect(|salary| assert!(*salary % 3 != 0, "{salary}")).count();
    }
    // A dictionary's values are those of its pages: were one more in it, a reader of the column alone would not meet it, but no
    // encoder here ever saw an original.
    assert_eq!(read, 900);
}
