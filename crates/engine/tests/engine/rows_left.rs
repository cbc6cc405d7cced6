//! What a receipt names: exact for filter, projection, sort and limit, a superset elsewhere.

use lingqu_engine::RowsExactness;
use roaring::RoaringTreemap;

use crate::data::{ALL_EXACT, Place, left, tenant_a};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linear_statements_name_exactly_the_rows_of_the_answer() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let covered = |keep: &dyn Fn(u64) -> bool| -> RoaringTreemap {
        (0..1_000_u64).filter(|id| id % 10 != 0 && keep(*id)).collect()
    };
    let cases: Vec<(&str, RoaringTreemap)> = vec![
        ("select * from people", covered(&|_| true)),
        ("select salary from people", covered(&|_| true)),
        ("select id from people where id < 100", covered(&|id| id < 100)),
        ("select id + 1 as next from people where id % 2 = 1", covered(&|id| id % 2 == 1)),
        ("select id from people where cast(code as bigint) > 900", covered(&|id| id > 900)),
        ("select id from people order by id desc limit 5", [999, 998, 997, 996, 995].into_iter().collect()),
        ("select id from people order by salary limit 3 offset 2", [3, 4, 5].into_iter().collect()),
        ("select id from people limit 4", [1, 2, 3, 4].into_iter().collect()),
        (
            "select p.id from (select id, salary from people where active) p where p.salary > 5900",
            covered(&|id| id % 2 == 0 && 3_000 + id * 3 > 5_900),
        ),
        ("select id from people where false", RoaringTreemap::new()),
        (
            "select id from (select id from people order by id limit 50) p where id > 40",
            covered(&|id| id > 40 && id <= 55),
        ),
    ];
    for (sql, expected) in cases {
        let answer = session.query(sql).await.expect("an answer");
        assert_eq!(answer.rows_exactness(), RowsExactness::Exact, "{sql}");
        drop(answer);
        assert_eq!(left(&session, sql).await, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_statements_name_every_row_that_crossed_the_barrier() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let all: RoaringTreemap = (0..1_000_u64).filter(|id| id % 10 != 0).collect();
    let below_100: RoaringTreemap = (0..100_u64).filter(|id| id % 10 != 0).collect();
    for (sql, expected) in [
        ("select count(*) from people", &all),
        ("select division, avg(salary) from people group by division", &all),
        // A condition that can't tell by failing is evaluated below the barrier, so its rows are all that cross.
        ("select count(*) from people where id < 100", &below_100),
        ("select count(*) from people where id between 0 and 99 and tenant in ('a', 'b')", &below_100),
        // One that could is not.
        ("select count(*) from people where id + 0 < 100", &all),
        ("select distinct division from people where id < 100", &below_100),
        ("select a.id from people a join people b on a.id = b.id where a.id < 100", &all),
    ] {
        let answer = session.query(sql).await.expect("an answer");
        assert_eq!(answer.rows_exactness(), RowsExactness::Superset, "{sql}");
        drop(answer);
        let named = left(&session, sql).await;
        assert!(expected.is_subset(&named) || sql.contains("join"), "{sql}");
        assert!(named.is_subset(&all), "{sql}");
        if !sql.contains("join") {
            assert_eq!(&named, expected, "{sql}");
        }
    }
}

#[tokio::test]
async fn rows_are_named_no_later_than_the_batch_that_reveals_them() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let mut answer = session.query("select id from people where id >= 500").await.expect("an answer");
    let mut named = RoaringTreemap::new();
    let mut seen = 0;
    while let Some(part) = answer.next().await {
        let part = part.expect("a part");
        seen += part.answer_rows();
        for rows in part.rows.into_values() {
            named |= rows;
        }
        assert!(named.len() >= seen);
    }
    assert_eq!(named.len(), 450);
    // An aggregate that finds nothing has still looked at rows.
    let mut answer = session.query("select count(*) from people where id + 0 = -1").await.expect("an answer");
    let first = answer.next().await.expect("a part").expect("no error");
    assert_eq!(first.answer_rows(), 1);
    assert_eq!(first.rows["people"].len(), 900);
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn the_same_question_gets_the_same_answer() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let first = crate::data::rows(&session, "select id from people where active limit 7").await;
    for _ in 0..5 {
        assert_eq!(crate::data::rows(&session, "select id from people where active limit 7").await, first);
    }
}
