//! The allow-list, as a table of statements and refusals.

use lingqu_engine::EngineError;
use lingqu_engine::allow::RefusalCode::{
    self, ClauseNotAllowed, ColumnNotGranted, FunctionNotAllowed, StatementNotAllowed, StatementNotUnderstood,
    StatementTooLarge, TableNotGranted,
};

use crate::data::{ALL_EXACT, Place, batches, rows, tenant_a};

const REFUSED: &[(&str, RefusalCode)] = &[
    ("", StatementNotUnderstood),
    ("select", StatementNotUnderstood),
    ("selec id from people", StatementNotUnderstood),
    ("select id from people; select id from people", StatementNotAllowed),
    ("select id from people; drop table people", StatementNotAllowed),
    ("drop table people", StatementNotAllowed),
    ("create table t as select * from people", StatementNotAllowed),
    ("create view v as select * from people", StatementNotAllowed),
    ("create external table t stored as csv location '/etc/passwd'", StatementNotAllowed),
    ("create schema s", StatementNotAllowed),
    ("create function f(bigint) returns bigint return $1", StatementNotAllowed),
    ("insert into people values (1)", StatementNotAllowed),
    ("update people set id = 1", StatementNotAllowed),
    ("delete from people", StatementNotAllowed),
    ("copy people to '/tmp/out.csv'", StatementNotAllowed),
    ("copy (select * from people) to '/tmp/out.parquet'", StatementNotAllowed),
    ("explain analyze select id from people", StatementNotAllowed),
    ("explain verbose select id from people", StatementNotAllowed),
    ("describe people", StatementNotAllowed),
    ("show tables", StatementNotAllowed),
    ("show columns from people", StatementNotAllowed),
    ("show all", StatementNotAllowed),
    ("show create table people", StatementNotAllowed),
    ("set datafusion.execution.batch_size = 1", StatementNotAllowed),
    ("begin", StatementNotAllowed),
    ("prepare p as select id from people", StatementNotAllowed),
    ("deallocate p", StatementNotAllowed),
    ("truncate table people", StatementNotAllowed),
    ("select * from information_schema.tables", TableNotGranted),
    ("select * from information_schema.columns", TableNotGranted),
    ("select * from pg_catalog.pg_tables", TableNotGranted),
    ("select * from lingqu.other.people", TableNotGranted),
    ("select * from raw", TableNotGranted),
    ("select * from '/etc/passwd'", TableNotGranted),
    ("select * from 'file:///etc/passwd'", TableNotGranted),
    ("select id from people where id in (select id from orders)", TableNotGranted),
    ("select * from range(1, 1000000000)", TableNotGranted),
    ("select * from generate_series(1, 1000000000)", TableNotGranted),
    ("select id from people where division > 5 and born like '1%'", StatementNotUnderstood),
    ("select sum(tenant) from people", StatementNotUnderstood),
    ("select ssn from people", ColumnNotGranted),
    ("select people.ssn from people", ColumnNotGranted),
    ("select id from people where ssn = '1'", ColumnNotGranted),
    ("select id from people order by ssn", ColumnNotGranted),
    ("select __row from people", ColumnNotGranted),
    ("select id as __row from people", ClauseNotAllowed),
    ("select p.x from (select id as __subject, id as x from people) p", ClauseNotAllowed),
    ("select id into t from people", ClauseNotAllowed),
    ("with gone as (delete from people returning id) select * from gone", StatementNotUnderstood),
    ("select id from people cross join lateral unnest(array[1, 2])", StatementNotUnderstood),
    ("values (1), (2)", ClauseNotAllowed),
    ("select * from (values (1), (2)) v", ClauseNotAllowed),
    ("with recursive n as (select 1 as i union all select i + 1 from n) select * from n", ClauseNotAllowed),
    ("select random() from people", FunctionNotAllowed),
    ("select now() from people", FunctionNotAllowed),
    ("select uuid() from people", FunctionNotAllowed),
    ("select version()", FunctionNotAllowed),
    ("select arrow_cast(code, 'Int32') from people", FunctionNotAllowed),
    ("select arrow_typeof(code) from people", FunctionNotAllowed),
    ("select repeat('a', 1073741824) from people", FunctionNotAllowed),
    ("select rpad('a', 1073741824) from people", FunctionNotAllowed),
    ("select lpad(code, 1073741824) from people", FunctionNotAllowed),
    ("select array_agg(id) from people", FunctionNotAllowed),
    ("select string_agg(code, ',') from people", FunctionNotAllowed),
    ("select count(*) from people where exists (select repeat('a', 9) from people)", FunctionNotAllowed),
    ("select id from people where id in (select cast(random() as bigint) from people)", FunctionNotAllowed),
    ("select (select max(uuid()) from people)", FunctionNotAllowed),
    ("select approx_percentile_cont(salary, 0.5) from people", FunctionNotAllowed),
    ("select nth_value(id, 3) over (order by id) from people", FunctionNotAllowed),
    ("select id from people where code ~ '.*'", ClauseNotAllowed),
    ("select id from people where code similar to 'a'", ClauseNotAllowed),
    // Each row would have a pattern of its own to compile.
    ("select id from people where code ilike replace(code, 'a', '_______')", ClauseNotAllowed),
    ("select id from people where code not like '%' || division || '%'", ClauseNotAllowed),
    ("select id from people p where exists (select 1 from people q where q.code like p.code)", ClauseNotAllowed),
    ("select division from people group by division having max(code) like min(code)", ClauseNotAllowed),
    ("select id from people where code like (select '4_' from people limit 1)", ClauseNotAllowed),
    ("select id from (select id, code, '4_' as p from people) q where code like p", ClauseNotAllowed),
    ("select id from people where id = $1", StatementNotUnderstood),
    ("select replace(code, 'a', code) from people", ClauseNotAllowed),
    // What looks at several rows, or at none, between the row outside and what is asked of it.
    ("select id from people p where exists (select 1 from people q where q.divisor = p.id offset 1)", ClauseNotAllowed),
    (
        "select p.id from people p, lateral (select row_number() over (order by q.id) as n from people q
         where q.divisor = p.id) l where l.n = 1",
        ClauseNotAllowed,
    ),
    (
        "select id from people p where 1 = (select max(n) from (select row_number() over (order by q.id) as n
         from people q where q.divisor = p.id) l)",
        ClauseNotAllowed,
    ),
    (
        "select id from people p where exists (select 1 from people a left join
         (select * from people q where q.divisor = p.id) b on a.id = b.id)",
        ClauseNotAllowed,
    ),
    (
        "select id from people p where exists (select 1 from people q where q.divisor = p.id group by rollup (q.division))",
        ClauseNotAllowed,
    ),
    (
        "select id from people p where exists (select count(*) from people q where q.divisor = p.id having count(*) = 0)",
        ClauseNotAllowed,
    ),
    (
        "select id from people p where exists (select 1 from (select * from people q where q.divisor = p.id limit 1) a
         join people b on a.id = b.divisor)",
        ClauseNotAllowed,
    ),
    (
        "select id from people p where exists (select 1 from (select * from people q where q.divisor = p.id) a
         join (select id from people order by id limit 3) b on a.id = b.id)",
        ClauseNotAllowed,
    ),
    (
        "select p.id, l.c from people p, lateral (select count(*) as c from people q where q.divisor = p.id
         having count(*) > 5) l",
        ClauseNotAllowed,
    ),
    (
        "select p.id, l.m from people p, lateral (select b.m from (select * from people q where q.divisor = p.id) a
         cross join (select max(id) as m from people) b) l",
        ClauseNotAllowed,
    ),
    (
        "select id, (select count(*) from people q where cast(q.balance as bigint) = p.id) from people p",
        ClauseNotAllowed,
    ),
    ("select p.id, l.d from people p, lateral (select distinct division as d from people q where q.divisor > p.id) l", ClauseNotAllowed),
    (
        "select id, (select max(c) from (select count(*) as c from people q where q.divisor = p.id) x) from people p",
        ClauseNotAllowed,
    ),
    (
        "select id, (select count(*) from people q where q.divisor = p.id having count(*) > p.salary) from people p",
        ClauseNotAllowed,
    ),
    ("select lead(salary, 2) ignore nulls over (order by id) from people", ClauseNotAllowed),
    ("select lag(salary) ignore nulls over (order by id) from people", ClauseNotAllowed),
    ("select division from people except all select division from people where id < 5", ClauseNotAllowed),
    ("select 1 from people union (select id from people intersect all select divisor from people)", ClauseNotAllowed),
    ("select id from people a right join people b using (id)", ClauseNotAllowed),
    ("select id from (people a natural full join people b) cross join people c", ClauseNotAllowed),
    ("select * from people b left join (select id from people where id < 5) a using (id)", ClauseNotAllowed),
    ("select * from people b natural left join people a", ClauseNotAllowed),
    ("select id from people with ordinality", ClauseNotAllowed),
    ("select abs(id) over (partition by division) from people", ClauseNotAllowed),
    ("select upper(code) filter (where active) from people", ClauseNotAllowed),
    ("select length(distinct code) from people", ClauseNotAllowed),
    ("select row_number() filter (where active) over (order by id) from people", StatementNotUnderstood),
    ("select lag(distinct salary) over (order by id) from people", ClauseNotAllowed),
    ("select corr(distinct salary, score) from people", ClauseNotAllowed),
    ("select id from people order by max(id) over w", StatementNotUnderstood),
    (
        "select sum(id) over (w partition by active) from people window w as (partition by division)",
        StatementNotUnderstood,
    ),
    ("select (select max(id) over w from people) from people window w as (order by id)", StatementNotUnderstood),
    (
        "select code||code||code||code||code||code||code||code||code||code||code||code||code||code from people",
        StatementTooLarge,
    ),
    (
        "select 1 from people a, people b, people c, people d, people e, people f, people g, people h, people i, people j,
         people k, people l, people m, people n, people o, people p, people q",
        StatementTooLarge,
    ),
];

#[tokio::test]
async fn refusals_are_those_of_the_table() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let mut wrong = Vec::new();
    for (sql, expected) in REFUSED {
        match batches(&session, sql).await {
            Err(EngineError::Refused(refusal)) if refusal.code == *expected => {
                assert!(!refusal.what.is_empty());
            }
            Err(other) => wrong.push(format!("{sql}: expected {expected:?}, got {other:?}")),
            Ok(_) => wrong.push(format!("{sql}: expected {expected:?}, got an answer")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn long_and_deep_statements_are_refused() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let long = format!("select id from people where code = '{}'", "x".repeat(20_000));
    let refused = batches(&session, &long).await;
    assert!(matches!(&refused, Err(EngineError::Refused(refusal)) if refusal.code == StatementTooLarge));
    let deep = format!("select {}1{} from people", "(".repeat(500), ")".repeat(500));
    let refused = batches(&session, &deep).await;
    assert!(matches!(&refused, Err(EngineError::Refused(refusal)) if refusal.code == StatementNotUnderstood));
}

/// Each of these took the whole process down: the parser builds such a chain in a loop, whatever its length, and the tree
/// is then as deep as the chain is long.
#[tokio::test]
async fn chains_of_operators_are_refused_before_they_use_the_stack() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    for (head, link, tail) in [
        ("select 1", "+1", " from people"),
        ("select 'a'", "||'a'", " from people"),
        ("select salary", "+salary", " from people"),
        ("select id", "::int", " from people"),
        ("select id is null", " is null", " from people"),
        ("select id from people where id=1", " and id=1", ""),
        ("select id from people where id=1", " or id=1", ""),
        ("select ", "- ", "id from people"),
        ("select ", "not ", "active from people"),
        ("select id from people limit 1", "+1", ""),
        ("select 1", " union select 1", ""),
    ] {
        let statement = format!("{head}{}{tail}", link.repeat(900));
        let refused = batches(&session, &statement).await;
        let is_refused = matches!(&refused, Err(EngineError::Refused(refusal)) if refusal.code == StatementTooLarge);
        assert!(is_refused, "900 times `{link}`");
    }
    let list = format!("select id from people where id in (1{})", ", 1".repeat(2_000));
    assert!(batches(&session, &list).await.is_ok(), "a long list is no chain");
}

/// What stands within thirty of these stands a thousand million times in a plan.
#[tokio::test]
async fn what_doubles_while_it_is_planned_is_refused_where_it_is_deep() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let nested = |opening: &str, innermost: &str, closing: &str, levels: usize| {
        format!("{}{innermost}{}", opening.repeat(levels), closing.repeat(levels))
    };
    // The parser itself goes no deeper than some twenty pairs of brackets.
    for (opening, innermost, closing, deep) in [
        ("coalesce(", "salary", ", 1)", 30),
        ("nvl(", "salary", ", 1)", 30),
        ("ifnull(", "salary", ", 1)", 30),
        ("(", "active", " between false and true)", 16),
    ] {
        let expression = |levels| nested(opening, innermost, closing, levels);
        for sql in [
            format!("select {} as c from people", expression(deep)),
            format!("select id from people where {} is null", expression(deep)),
            format!(
                "select count(*) as c from people p join people q on p.id = q.id and {} is null",
                expression(9).replace(innermost, &format!("p.{innermost}"))
            ),
        ] {
            let refused = batches(&session, &sql).await;
            let is_refused =
                matches!(&refused, Err(EngineError::Refused(refusal)) if refusal.code == StatementTooLarge);
            assert!(is_refused, "{sql}: {:?}", refused.err());
        }
        let sql = format!("select {} as c from people", expression(8));
        assert!(batches(&session, &sql).await.is_ok(), "{sql}");
    }
    // The last argument stands once, and side by side nothing is multiplied.
    let chained = nested("coalesce(salary, ", "1", ")", 10);
    let beside: Vec<String> = (0..40).map(|at| format!("coalesce(salary, {at}) as c{at}")).collect();
    for sql in [format!("select {chained} as c from people"), format!("select {} from people", beside.join(", "))] {
        assert!(batches(&session, &sql).await.is_ok(), "{sql}");
    }
}

/// Forty names of WITH, each of which uses the one before twice, as it is written there, with something behind each.
fn doubling(name: &str, used: &str, beside: &str) -> String {
    let at = |text: &str, level: usize| text.replace('#', &level.to_string());
    let step = |level: usize| {
        let before = at(used, level - 1);
        format!(", {} as (select x.v from {before} x, {before} y){}", at(name, level), at(beside, level))
    };
    let steps: String = (1..=40).map(step).collect();
    format!("with {} as (select 1 as v){steps} select v from {}", at(name, 0), at(used, 40))
}

/// A chain of names of WITH, each of which is made of the one before.
fn chain(first: &str, step: &str, levels: usize, last: &str) -> String {
    let steps = (1..=levels).map(|level| format!(", c{level} as ({})", step.replace('#', &format!("c{}", level - 1))));
    format!("with c0 as ({first}){} {}", steps.collect::<String>(), last.replace('#', &format!("c{levels}")))
}

/// What a name stands for is in the plan as often as it is used. Each of these is a few hundred bytes, and was a plan of more nodes than there
/// is memory for, made before anybody looked at it.
#[tokio::test]
async fn what_doubles_with_each_name_is_refused_before_it_is_planned() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let from_people = "select id as v from people";
    let list = |part: &str, count: usize| vec![part; count].join(", ");
    let names: Vec<String> = (0..60).map(|at| format!("id + {at} as c{at}")).collect();
    let columns: Vec<String> = (0..60).map(|at| format!("c{at}")).collect();
    for sql in [
        chain("select 1 as v", "select x.v from # x, # y", 40, "select * from #"),
        chain(from_people, "select x.v from # x join # y on x.v = y.v", 40, "select * from #"),
        chain("select 1 as v", "select v from # union all select v from #", 40, "select * from #"),
        chain("select 1 as v", "select v from # where v in (select v from #)", 40, "select * from #"),
        chain("select 1 as v", "select (select max(v) from #) + (select min(v) from #) as v", 40, "select * from #"),
        // Deep enough to use up the stack.
        chain("select 1 as v", "select v from #", 300, "select * from #"),
        // A name that is used nowhere is planned all the same.
        chain("select 1 as v", "select x.v from # x, # y", 40, "select 1"),
        // Conditions grow on their way down through what computes their columns.
        chain(from_people, "select v + v as v from #", 28, "select count(*) as c from # where v > 0"),
        chain(from_people, "select case v when 1 then v else v end as v from #", 28, "select * from # where v > 0"),
        chain(from_people, "select greatest(v, v, v) as v from #", 28, "select x.v from # x join # y on x.v = y.v"),
        chain(
            from_people,
            "select case when v in (1, 2, 3) then 1 else 2 end as v from #",
            28,
            "select * from # where v > 0",
        ),
        chain(
            from_people,
            "select case when floor(v) = 1 then 1 else 2 end as v from #",
            28,
            "select * from # where v > 0",
        ),
        // Only letters of ASCII have a small form.
        doubling("Ä#", "\"Ä#\"", ""),
        doubling("Ä#", "Ä#", ", ä# as (select 1 as v)"),
        chain(
            "select active as v from people",
            "select (v and v) or (v and v) as v from # union all select v from people where id < 0",
            12,
            "select * from # where v",
        )
        .replace("select v from people", "select active from people"),
        // Grouping sets, and names of columns and windows.
        format!(
            "select 1 as n from (select {} from people) t group by cube ({})",
            names.join(", "),
            columns.join(", ")
        ),
        format!("select 1 as n from people group by {}", list("rollup (id, code)", 20)),
        format!("select greatest({}) as d from people group by {}", list("id", 1_500), list("d", 1_500)),
        format!("select greatest({}) as d from people group by {}", list("id", 1_500), list("1", 1_500)),
        format!("select {} from people window w as (partition by {})", list("sum(id) over w", 400), list("id", 1_500)),
        // A CASE of truth values asks its condition three times.
        format!(
            "select id from people where {}active{}",
            "case when ".repeat(12),
            " then active else id > 3 end".repeat(12)
        ),
        // A subquery that stands in what doubles, and subqueries one within another.
        format!(
            "select {}1{} as n",
            "coalesce(coalesce(coalesce((select max(id) from people where id < ".repeat(3),
            "), 1), 1), 1)".repeat(3)
        ),
        format!("select {}1{} as n", "(select max(id) from people where id < ".repeat(6), ")".repeat(6)),
    ] {
        let refused = batches(&session, &sql).await;
        let is_refused = matches!(&refused, Err(EngineError::Refused(refusal)) if refusal.code == StatementTooLarge);
        assert!(is_refused, "{sql}: {:?}", refused.map(|_| ()));
    }
    for sql in [
        chain("select 1 as v", "select x.v from # x, # y", 6, "select * from #"),
        format!("select {}1{} as n", "(select max(id) from people where id < ".repeat(5), ")".repeat(5)),
        chain(from_people, "select v from #", 30, "select count(*) as c from #"),
        ["select 1 as v"; 60].join(" union all "),
        chain(from_people, "select v + v as v from #", 9, "select count(*) as c from # where v > 0"),
        chain(from_people, "select v + 1 as v from #", 30, "select count(*) as c from # where v > 0"),
        // Nothing is multiplied where no condition goes down.
        chain(from_people, "select v + v as v from #", 28, "select count(v) as c from #"),
        "select division, active, count(*) from people group by cube (division, active, born)".to_owned(),
        "select sum(id) over w as a, min(id) over w as b from people window w as (partition by division)".to_owned(),
        "select case when id > 3 then case when active then 'a' else 'b' end else 'c' end as d, count(*) from people \
         group by d order by d"
            .to_owned(),
    ] {
        if let Err(error) = batches(&session, &sql).await {
            panic!("{sql}: {error}");
        }
    }
}

/// Each of these DataFusion (55.2) would answer with other rows or values.
#[tokio::test]
async fn what_the_planner_mistakes_is_answered_as_it_is_written() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    let ahead = |of: &str| format!("sum({of}) over (order by id rows between current row and 2 following)");
    for (sql, expected) in [
        // A window that is made of another one, and windows by name outside the columns.
        (
            "select id, sum(id) over (w order by id) from people where id < 6 window w as (partition by active) order by id"
                .to_owned(),
            "1|1 2|2 3|4 4|6 5|9",
        ),
        (
            "select id from people where id < 6 window v as (partition by active), w as (v) qualify id = max(id) over w \
             order by id"
                .to_owned(),
            "4 5",
        ),
        (
            "select id from people where id < 6 window w as (partition by active) order by sum(id) over w, id".to_owned(),
            "2 4 1 3 5",
        ),
        // Five rows are looked at for two, not four.
        (
            format!("select id, {} from (select id, {} as s from people) p order by id limit 2", ahead("s"), ahead("id")),
            "1|27 2|36",
        ),
        // What is sorted bears the name of the group and is not it.
        ("select -id as id from (select distinct id from people) p order by id limit 3".to_owned(), "-999 -998 -997"),
        (
            "select k as top, m as k from (select divisor as k, max(id) as m from people group by divisor) p order by top desc \
             limit 2".to_owned(),
            "7|993 6|999",
        ),
        (
            "select division::varchar(4) as city, count(*) from people where cast(id as varchar(2)) = '12' group by city order by city"
                .to_owned(),
            "4501|6 4502|2 4503|2",
        ),
        (
            "select id, rank() over (order by id) - row_number() over (order by id desc) as moved from people where id < 4 \
             order by id"
                .to_owned(),
            "1|-2 2|0 3|2",
        ),
        ("select cast(salary * 100000 + 0.25 as float) from people where id = 1".to_owned(), "300300000.25"),
        ("select cast(12345 as varchar(3)), cast(12 as varchar(3)), cast('abcd' as varchar(3))".to_owned(), "123|12|abc"),
        (
            "select id from people a left join (select id from people where id < 3) b using (id) where a.id < 5 order by a.id"
                .to_owned(),
            "1 2 3 4",
        ),
        ("select * from (select id from people where id < 4) a left join (select id from people where id > 2) b using (id) order by a.id".to_owned(), "1 2 3"),
    ] {
        assert_eq!(rows(&session, &sql).await.join(" "), expected, "{sql}");
    }
}

#[tokio::test]
async fn ordinary_statements_are_answered() {
    let place = Place::new();
    let people = place.people().await;
    let session = place.session(&[tenant_a(&people, ALL_EXACT)]);
    for sql in [
        "select 1",
        "SELECT ID FROM People",
        "select p.id, p.salary * 2 as double from people as p where p.salary between 3100 and 3200",
        "select division, count(*), avg(salary), stddev(score) from people group by division order by 2 desc",
        "select division, sum(salary) from people group by rollup (division)",
        "select extract(year from born) as year, count(*) from people group by 1",
        "select date_trunc('month', born), upper(trim(code)), substring(code from 1 for 2) from people limit 3",
        "select id, rank() over (partition by division order by salary desc) as place from people limit 3",
        "select a.id from people a join people b on a.id = b.id + 1 where b.active",
        "select id from people where division like '4501%' and score is not null",
        "select id from people where upper(code) ilike concat('%', lower('A'), '%') or cast(id as text) not like '1' || '_'",
        "select case when salary > 4000 then 'high' else 'low' end as band, count(*) from people group by 1",
        "select round(balance, 0), floor(score), cast(id as text) from people",
        "select concat(division, '-', code) from people",
        "select distinct on (division) division, id from people order by division, id",
        "with top as (select id, salary from people order by salary desc limit 10) select avg(salary) from top",
    ] {
        if let Err(error) = batches(&session, sql).await {
            panic!("{sql}: {error}");
        }
    }
}

#[tokio::test]
async fn limits_end_a_query_with_an_error_of_their_own() {
    use lingqu_engine::session::{AnswerShape, GovernedSession};
    use lingqu_engine::{Engine, EngineSettings, Limits};
    use std::sync::Arc;
    use std::time::Duration;
    let place = Place::new();
    let people = place.people().await;
    let table = tenant_a(&people, ALL_EXACT);
    let with = |limits: Limits| {
        GovernedSession::new(&place.engine, std::slice::from_ref(&table), limits, AnswerShape::Rows).expect("a session")
    };
    let few_rows = with(Limits { rows_max: 10, ..Limits::default() });
    assert!(matches!(
        batches(&few_rows, "select id from people").await,
        Err(EngineError::TooManyRows { rows_max: 10 })
    ));
    let few_bytes = with(Limits { bytes_max: 100, ..Limits::default() });
    assert!(matches!(batches(&few_bytes, "select id from people").await, Err(EngineError::TooManyBytes { .. })));
    let little_memory = with(Limits { memory_bytes_max: 4_096, ..Limits::default() });
    let grouped = "select code, count(*) from people group by code";
    assert!(matches!(batches(&little_memory, grouped).await, Err(EngineError::OutOfMemory)));
    let short = with(Limits { time_max: Duration::from_millis(300), ..Limits::default() });
    let same_tenant = "select sum(a.id + b.id - c.id) from people a join people b on a.tenant = b.tenant \
        join people c on b.tenant = c.tenant";
    let began = std::time::Instant::now();
    let ended = batches(&short, same_tenant).await;
    assert!(matches!(ended, Err(EngineError::TimedOut { .. })), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(60), "the query ran on after its time");
    // What was cut off does not go on computing: the only thread of this engine is free for the next query.
    let settings = EngineSettings { partitions: 1, ..EngineSettings::moderate(place.directory.path().join("spill")) };
    let narrow = Arc::new(Engine::new(&settings).expect("an engine"));
    let narrow_with = |limits: Limits| {
        GovernedSession::new(&narrow, std::slice::from_ref(&table), limits, AnswerShape::Rows).expect("a session")
    };
    let session = narrow_with(Limits { time_max: Duration::from_secs(3), ..Limits::default() });
    assert!(matches!(batches(&session, same_tenant).await, Err(EngineError::TimedOut { .. })));
    let patient = narrow_with(Limits::default());
    batches(&patient, "select count(*) from people").await.expect("the thread is free");
    // A join of everything with everything ends in one of these ways, and not by a panic.
    let crossed = "select count(*) from people a, people b, people c, people d where a.id + b.id + c.id + d.id < 0";
    let ended = batches(&short, crossed).await;
    assert!(
        matches!(ended, Err(EngineError::TimedOut { .. } | EngineError::OutOfMemory | EngineError::Execution { .. })),
        "{ended:?}"
    );
}
