//! The statements over which the rules are tried.
//!
//! Each asks something that fails on the hidden rows, where the divisor is 0 and the code no number, and that is marked by
//! [`UNSAFE_MARK`]; some also ask what may be evaluated below the barrier, with another number.

/// The number in every condition that must stay above the barrier.
pub(super) const UNSAFE_MARK: &str = "424242";

/// A statement and how many scans of governed tables its plans have.
pub(super) struct Question {
    pub(super) sql: &'static str,
    /// Before any rule.
    pub(super) scans: usize,
    /// The fewest that rules may leave: fewer than `scans` only where a part of the statement has no rows, whatever the
    /// data, where it is answered without data, or where the two halves of a union are read by one scan.
    pub(super) fewest: usize,
}

const fn question(sql: &'static str, scans: usize) -> Question {
    Question { sql, scans, fewest: scans }
}

const fn eliminated(sql: &'static str, scans: usize, fewest: usize) -> Question {
    Question { sql, scans, fewest }
}

pub(super) const QUESTIONS: &[Question] = &[
    // Plain.
    question("select * from people where 1 / divisor < 424242", 1),
    question("select id from people where cast(code as bigint) < 424242", 1),
    question("select id from people where id < 17171717 and 1 / divisor < 424242", 1),
    question("select id from people where id < 17171717 or 1 / divisor < 424242", 1),
    question("select id from people where not (1 / divisor >= 424242) and code is not null", 1),
    question("select id from people where born < date '2999-01-01' and 1 / divisor < 424242", 1),
    question("select id, 1 / divisor + 424242 as q from people where id in (1, 2, 3, 17171717)", 1),
    question("select id from people where id between 0 and 17171717 and 424242 % divisor < 424242", 1),
    question("select id from people where case when id > 0 then 1 / divisor else 0 end < 424242", 1),
    question("select id from people where coalesce(1 / divisor, 0) < 424242", 1),
    question("select id from people where nullif(cast(code as bigint), 424242) is not null", 1),
    question("select id from people where concat(code, '424242') <> code", 1),
    question("select id from people where cast(code as decimal(10, 2)) in (1.5, 424242.25) and id < 17171717", 1),
    question("select id from people where cast(code as decimal(10, 2)) between 0.005 and 424242.25", 1),
    question("select id from people where code like '%424242%' or cast(code as bigint) < 424242", 1),
    question("select id from people where code like '1%' and code not like '424242%x' and 1 / divisor < 424242", 1),
    question("select id from people where code like '1_424242%' and starts_with(code, '1')", 1),
    // Order, limits, duplicates.
    question("select id from people where 1 / divisor < 424242 limit 2", 1),
    question("select id from people where 1 / divisor < 424242 order by code desc limit 2 offset 1", 1),
    question("select id from people order by cast(code as bigint) % 424242, id", 1),
    question("select distinct divisor from people where 1 / divisor < 424242", 1),
    question("select distinct on (divisor) divisor, id from people where 1 / divisor < 424242 order by divisor, id", 1),
    question("select id from (select * from people order by id limit 3) p where 1 / divisor < 424242", 1),
    question("select id from (select distinct * from people) p where cast(code as bigint) < 424242", 1),
    // Aggregates: what an exact number of rows or an exact least value would answer without reading.
    question("select count(*) from people", 1),
    question("select min(id), max(id), count(code) from people", 1),
    question("select count(*) from people where 1 / divisor < 424242", 1),
    question("select divisor, sum(id) from people where 1 / divisor < 424242 group by divisor", 1),
    question("select divisor from people group by divisor having max(1 / divisor) < 424242", 1),
    question("select count(distinct code), count(distinct divisor) from people where cast(code as bigint) < 424242", 1),
    question("select sum(case when 1 / divisor < 424242 then id else 0 end) from people", 1),
    question("select count(*) filter (where 1 / divisor < 424242) from people", 1),
    question("select divisor, count(*) from people where 1 / divisor < 424242 group by rollup (divisor)", 1),
    question("select divisor, max(id) from people group by divisor order by max(id) desc limit 1", 1),
    // Windows.
    question(
        "select id, row_number() over (partition by divisor order by id) from people where 1 / divisor < 424242",
        1,
    ),
    question(
        "select * from (select id, row_number() over (partition by divisor order by id) n from people where 1 / divisor < 424242) p where n = 1",
        1,
    ),
    question("select sum(1 / divisor) over (order by id) + 424242 as s from people", 1),
    question("select lag(cast(code as bigint)) over (order by id) % 424242 as before from people limit 2", 1),
    // Joins.
    question("select a.id from people a join people b on a.id = b.id where 1 / b.divisor < 424242", 2),
    question("select a.id from people a left join people b on a.id = b.id and 1 / b.divisor < 424242", 2),
    question("select a.id from people a left join people b on a.id = b.divisor where 1 / b.divisor < 424242", 2),
    question("select count(*) from people a full join people b on a.id = b.divisor and a.id < 17171717", 2),
    question("select a.id from people a, people b where a.id = b.id and cast(a.code as bigint) < 424242", 2),
    question(
        "select a.id from people a join people b on cast(a.code as bigint) = cast(b.code as bigint) + 424242 - 424242",
        2,
    ),
    question("select a.id from people a cross join people b where a.id + b.id < 424242 and 1 / a.divisor < 424242", 2),
    question(
        "select a.id from people a join people b using (id) join people c using (id) where 1 / c.divisor < 424242",
        3,
    ),
    question("select a.id from people a join people b on a.id < b.id where 1 / (a.divisor * b.divisor) < 424242", 2),
    // Subqueries.
    question(
        "select id from people where id in (select cast(code as bigint) from people where 1 / divisor < 424242)",
        2,
    ),
    question("select id from people where id not in (select id + 424242 from people where 1 / divisor < 424242)", 2),
    question(
        "select id from people p where exists (select 1 from people q where q.id = p.id and 1 / q.divisor < 424242)",
        2,
    ),
    question(
        "select id from people p where not exists (select 1 from people q where q.id = p.id + 424242 / q.divisor)",
        2,
    ),
    question(
        "select id, (select max(q.id) from people q where q.divisor = p.divisor and 1 / q.divisor < 424242) from people p",
        2,
    ),
    question(
        "select id from people where id = (select max(cast(code as bigint)) from people where 1 / divisor < 424242)",
        2,
    ),
    question(
        "with p as (select id, 1 / divisor as q from people) select a.id from p a join p b on a.id = b.id where a.q < 424242",
        2,
    ),
    // Unions and their like.
    question("select id from people where 1 / divisor < 424242 union all select id from people where id < 17171717", 2),
    eliminated(
        "select id from people where 1 / divisor < 424242 union select id from people where id < 17171717",
        2,
        1,
    ),
    question("select id from people except select id from people where 1 / divisor >= 424242", 2),
    question("select id from people intersect select cast(code as bigint) from people where 1 / divisor < 424242", 2),
    question(
        "select count(*) from (select * from people union all select * from people) p where 1 / divisor < 424242",
        2,
    ),
    // Parts that have no rows whatever the data.
    eliminated("select id from people where false and 1 / divisor < 424242", 1, 0),
    eliminated("select id from people where 1 / divisor < 424242 limit 0", 1, 0),
    eliminated("select a.id from people a join people b on 1 = 0 where 1 / b.divisor < 424242", 2, 0),
    eliminated("select id from people where 1 / divisor < 424242 union all select id from people where 1 = 2", 2, 1),
    eliminated("select id from people where id in (select id from people where false) and 1 / divisor < 424242", 2, 0),
];
