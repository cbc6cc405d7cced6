//! Guarded aggregates: declared dimensions, the cohort floor, and nothing that singles subjects out.

use std::sync::Arc;

use lingqu_domain::scope::{Mode, Precision, Precisions, Purpose, Scope, Term};
use lingqu_engine::allow::RefusalCode::{
    self, AggregateNotAllowed, ClauseNotAllowed, CohortTooSmall, ColumnNotGranted, DifferenceTooSmall,
    DimensionNotDeclared, NotAnAggregate, StatementNotUnderstood,
};
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::product::{ProductSpec, ProductStore};
use lingqu_engine::session::{AnswerShape, Contributors, Dominance, GovernedSession, SmallGroups, StatisticsRules};
use lingqu_engine::{EngineError, Limits};

use crate::data::{ALL_EXACT, Place, batches, governance, keys, left, name, rows, tenant_a};
use crate::record::Record;

fn rules(floor: u32, small_groups: SmallGroups, dimensions: &[&str]) -> StatisticsRules {
    StatisticsRules {
        dimensions: dimensions.iter().map(|column| name(column)).collect(),
        cohort_floor: floor,
        small_groups,
        dominance: Dominance::default(),
        contributors: Contributors { key: Vec::new(), subject: None, digest_key: [9; 16] },
        record: Arc::new(Record::default()),
    }
}

fn statistics(place: &Place, table: Arc<GovernedTable>, rules: StatisticsRules) -> GovernedSession {
    GovernedSession::new(&place.engine, &[table], Limits::default(), AnswerShape::Statistics(rules)).expect("a session")
}

#[tokio::test]
async fn one_aggregate_over_declared_dimensions_is_answered() {
    let place = Place::new();
    let people = place.people().await;
    let table = tenant_a(&people, ALL_EXACT);
    let open = place.session(&[Arc::clone(&table)]);
    let guarded = statistics(&place, table, rules(5, SmallGroups::Suppress, &["division", "active", "born"]));
    for sql in [
        "select division, count(*), avg(salary) from people group by division order by division",
        "select count(*) from people",
        "select division, active, sum(balance) as total, avg(score) from people where active group by 1, 2 order by 1",
        "select p.division, count(p.code) from people p where p.division like '4501%' group by p.division order by 1",
        "select division, avg(salary) from people group by division having count(*) > 200 order by 2 desc limit 2",
        "select x.d, x.n * 2 as twice from (select division as d, count(*) as n from people group by division) x order by 1",
        "select extract(year from born) as year, count(score) from people group by 1 order by 1",
    ] {
        assert_eq!(rows(&guarded, sql).await, rows(&open, sql).await, "{sql}");
        assert!(!left(&guarded, sql).await.is_empty(), "{sql}");
    }
}

const REFUSED: &[(&str, RefusalCode)] = &[
    ("select * from people", NotAnAggregate),
    ("select id from people limit 1", NotAnAggregate),
    ("select distinct division from people", NotAnAggregate),
    ("select count(*) from people union all select count(*) from people", NotAnAggregate),
    ("select count(*) from people a join people b on a.id = b.id", NotAnAggregate),
    ("select avg(n) from (select division, count(*) as n from people group by division) x", NotAnAggregate),
    ("select count(*) from (select division from people limit 3) x", NotAnAggregate),
    ("select count(*) from (select salary as division from people) x", NotAnAggregate),
    ("select division, count(*), rank() over (order by count(*)) from people group by division", NotAnAggregate),
    ("select (select max(salary) from people) from people", NotAnAggregate),
    ("select count(*) from people where division in (select division from people where id = 5)", NotAnAggregate),
    ("select count(*) from people where exists (select 1 from people where id = 5)", NotAnAggregate),
    ("select count(*) from people where id = 5", DimensionNotDeclared),
    ("select avg(salary) from people where division = '450102' and salary > 3000", DimensionNotDeclared),
    ("select id, avg(salary) from people group by id", DimensionNotDeclared),
    ("select case when id = 5 then 1 end, count(*) from people group by 1", DimensionNotDeclared),
    ("select division || code, count(*) from people group by 1", DimensionNotDeclared),
    ("select max(salary) from people", AggregateNotAllowed),
    ("select min(salary) from people group by division", AggregateNotAllowed),
    ("select median(salary) from people group by division", AggregateNotAllowed),
    ("select percentile_cont(0.5) within group (order by salary) from people", AggregateNotAllowed),
    ("select var(salary) from people", AggregateNotAllowed),
    ("select var_samp(salary) from people", AggregateNotAllowed),
    ("select var_pop(salary) from people group by division", AggregateNotAllowed),
    ("select stddev(salary) from people", AggregateNotAllowed),
    ("select stddev_samp(salary) from people", AggregateNotAllowed),
    ("select stddev_pop(salary) from people group by division", AggregateNotAllowed),
    ("select count(distinct code) from people", AggregateNotAllowed),
    ("select division, count(*), count(distinct salary) from people group by division", AggregateNotAllowed),
    ("select avg(distinct salary) from people", AggregateNotAllowed),
    ("select count(salary, score) from people", AggregateNotAllowed),
    ("select division, count(1, code) from people group by division", AggregateNotAllowed),
    ("select sum(case when id = 5 then salary end) from people", AggregateNotAllowed),
    ("select sum(salary * active::int) from people", AggregateNotAllowed),
    ("select avg(salary + 1) from people", AggregateNotAllowed),
    ("select sum(salary) filter (where id = 5) from people", AggregateNotAllowed),
    ("select sum(distinct salary) from people", AggregateNotAllowed),
    ("select division, sum(salary) from people group by rollup (division), active", AggregateNotAllowed),
    ("select division, avg(active) from people group by division", StatementNotUnderstood),
    ("select sum(code) from people", StatementNotUnderstood),
    ("select count(*) from people where 1 / (length(division) - 6) > 0", ClauseNotAllowed),
    ("select count(*) from people where division::int = 450102", ClauseNotAllowed),
    ("select cast(division as int), count(*) from people group by 1", ClauseNotAllowed),
    ("select count(*) from people where active and cast('x' as int) = 1", ClauseNotAllowed),
    ("select count(*) from people where active and substr(division, 1, -1) = ''", ClauseNotAllowed),
    ("select count(*) from people where active and division like division", ClauseNotAllowed),
    ("select division, sum(salary) from people group by grouping sets ((division), ())", AggregateNotAllowed),
    ("select division, active, count(*) from people group by cube (division, active)", AggregateNotAllowed),
    ("select bool_or(active) from people", AggregateNotAllowed),
    ("select sum(ssn) from people", ColumnNotGranted),
];

#[tokio::test]
async fn other_statements_are_refused() {
    let place = Place::new();
    let people = place.people().await;
    let table = tenant_a(&people, ALL_EXACT);
    let session = statistics(&place, table, rules(5, SmallGroups::Suppress, &["division", "active"]));
    let mut wrong = Vec::new();
    for (sql, expected) in REFUSED {
        match batches(&session, sql).await {
            Err(EngineError::Refused(refusal)) if refusal.code == *expected => {}
            other => wrong.push(format!("{sql}: expected {expected:?}, got {:?}", other.map(|_| "an answer"))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The refusal says what is given instead.
    let Err(EngineError::Refused(refusal)) = batches(&session, "select stddev(salary) from people").await else {
        panic!("a deviation was given")
    };
    assert_eq!(refusal.what, "stddev is not given; use avg, count, sum. Quantiles are given with noise alone");
}

#[tokio::test]
async fn small_groups_are_left_out_and_counted() {
    let place = Place::new();
    // Group a: 6 rows with 6 values, b: 4 rows, c: 7 rows of which 2 have a value, d: 8 rows without a value, e: 9 rows.
    let mut csv = String::from("kind,amount\n");
    for (kind, count, valued) in [("a", 6, 6), ("b", 4, 4), ("c", 7, 2), ("d", 8, 0), ("e", 9, 9)] {
        for row in 0..count {
            let amount = if row < valued { (row + 10).to_string() } else { String::new() };
            csv.push_str(&format!("{kind},{amount}\n"));
        }
    }
    let snapshot = place.snapshot("res_1", &csv).await;
    let governed = governance("t", &[("kind", "exact"), ("amount", "exact")], vec![], None);
    let table = GovernedTable::new(snapshot.files, &governed).expect("a table");
    let session = statistics(&place, Arc::clone(&table), rules(5, SmallGroups::Suppress, &["kind"]));
    // b is too small, and a goes with it: else the total would tell how small.
    let counted = "select kind, count(*) from t group by kind order by kind";
    assert_eq!(rows(&session, counted).await, ["c|7", "d|8", "e|9"]);
    assert_eq!(session.query(counted).await.expect("an answer").groups_suppressed(), 2);
    // Where the amount is measured, only rows that have it count. What is not counted above is not counted here.
    let measured = "select kind, sum(amount) from t group by kind order by kind";
    assert_eq!(rows(&session, measured).await, ["d|", "e|126"]);
    assert_eq!(session.query(measured).await.expect("an answer").groups_suppressed(), 3);
    // Nor by itself: with the others and the total it would tell of b.
    let by_itself = batches(&session, "select count(*) from t where kind = 'a'").await;
    assert!(matches!(&by_itself, Err(EngineError::Refused(refusal)) if refusal.code == DifferenceTooSmall));
    // HAVING, sort and limit see guarded groups only: no group below the floor can be asked for.
    assert!(rows(&session, "select kind, count(*) from t group by kind having count(*) < 5").await.is_empty());
    assert_eq!(rows(&session, "select count(*) as n from t group by kind order by n limit 1").await, ["7"]);
    // With their total beside them.
    let totals = "select kind, count(*) from t group by rollup (kind) order by kind";
    assert_eq!(rows(&session, totals).await, ["c|7", "d|8", "e|9", "|34"]);
    // A group that is not there reads the same as one that is too small.
    let mut told = Vec::new();
    for nothing_left in [
        "select count(*) from t where kind = 'b'",
        "select kind, count(*) from t where kind = 'b' group by kind",
        "select kind, count(*) from t where kind = 'nothing' group by kind",
        "select count(*) from t where kind = 'nothing'",
    ] {
        match batches(&session, nothing_left).await {
            Err(EngineError::Refused(refusal)) if refusal.code == CohortTooSmall => told.push(refusal.what),
            other => panic!("{nothing_left}: {other:?}"),
        }
    }
    assert!(told.iter().all(|what| *what == told[0]), "{told:?}");
    let strict = statistics(&place, table, rules(5, SmallGroups::Refuse, &["kind"]));
    let refused = batches(&strict, counted).await;
    assert!(matches!(&refused, Err(EngineError::Refused(refusal)) if refusal.code == CohortTooSmall));
}

#[tokio::test]
async fn the_floor_counts_subjects_where_the_table_names_them() {
    let place = Place::new();
    // Kind a: 30 rows of 2 drivers; kinds b and c: 30 rows of 10 and 12 drivers; d: 30 rows of 20.
    let mut csv = String::from("offence,kind,driver\n");
    for offence in 0..120 {
        let (kind, drivers) = [("a", 2), ("b", 10), ("c", 12), ("d", 20)][offence / 30];
        csv.push_str(&format!("{offence},{kind},d{}\n", offence % drivers));
    }
    let snapshot = place.snapshot("res_1", &csv).await;
    let columns = [("offence", "exact"), ("kind", "exact"), ("driver", "exact")];
    let input = GovernedTable::new(snapshot.files, &governance("t", &columns, vec![], None)).expect("a table");
    let spec = ProductSpec {
        sql: "select offence, kind, driver from t".to_owned(),
        key: vec![name("offence")],
        subject: Some(name("driver")),
        further_subjects: Vec::new(),
    };
    let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let product = store.materialise(&place.engine, "prd_1", "set_1", &spec, &[input], Limits::default()).await;
    let governed = governance("p", &[("kind", "exact"), ("offence", "exact")], vec![], None);
    let table = GovernedTable::new(product.expect("a product").files, &governed).expect("a table");
    let session = statistics(&place, table, rules(5, SmallGroups::Suppress, &["kind"]));
    let by_kind = "select kind, count(*) from p group by kind order by kind";
    assert_eq!(rows(&session, by_kind).await, ["c|30", "d|30"]);
    assert_eq!(rows(&session, "select count(*), count(offence) from p").await, ["120|120"]);
}

/// A row that is nobody's is a row: a measure that it alone has in a group is not one that nobody has.
#[tokio::test]
async fn what_the_only_row_of_a_measure_has_is_left_out_also_where_it_is_nobody_s() {
    let place = Place::new();
    let mut csv = String::from("offence,kind,driver,amount\n");
    for offence in 0..120 {
        let kind = ["b", "c", "d", "e"][offence / 30];
        let amount = if kind == "b" { String::new() } else { (offence % 7 + 1).to_string() };
        csv.push_str(&format!("{offence},{kind},d{},{amount}\n", offence % (10 + offence / 30)));
    }
    csv.push_str("500,b,,123\n");
    let snapshot = place.snapshot("res_1", &csv).await;
    let columns = [("offence", "exact"), ("kind", "exact"), ("driver", "exact"), ("amount", "exact")];
    let input = GovernedTable::new(snapshot.files, &governance("t", &columns, vec![], None)).expect("a table");
    let spec = ProductSpec {
        sql: "select offence, kind, driver, amount from t".to_owned(),
        key: vec![name("offence")],
        subject: Some(name("driver")),
        further_subjects: Vec::new(),
    };
    let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let product = store.materialise(&place.engine, "prd_1", "set_1", &spec, &[input], Limits::default()).await;
    let governed = governance("p", &[("kind", "exact"), ("amount", "exact")], vec![], None);
    let table = GovernedTable::new(product.expect("a product").files, &governed).expect("a table");
    let session = statistics(&place, table, rules(5, SmallGroups::Suppress, &["kind"]));
    let shown = rows(&session, "select kind, count(amount), sum(amount) from p group by kind order by kind").await;
    assert!(!shown.is_empty() && shown.iter().all(|row| !row.starts_with('b')), "{shown:?}");
    let counted = rows(&session, "select kind, count(*) from p group by kind order by kind").await;
    assert_eq!(counted, ["b|31", "c|30", "d|30", "e|30"]);
}

/// Rows of nobody do not make up for the few by whom two answers differ, nor for those who are left out.
#[tokio::test]
async fn rows_of_nobody_hide_nobody() {
    let place = Place::new();
    // Three full houses, one with a single tenant beside nine vacant flats, one that is vacant.
    let mut csv = String::from("flat,house,tenant,kwh\n");
    for flat in 0..80 {
        let house = ["a", "b", "c"].get(flat / 20).unwrap_or(if flat < 70 { &"d" } else { &"e" });
        let tenant = if flat <= 60 { format!("t{flat}") } else { String::new() };
        csv.push_str(&format!("{flat},{house},{tenant},{}\n", flat % 7 + 1));
    }
    let snapshot = place.snapshot("res_1", &csv).await;
    let columns = [("flat", "exact"), ("house", "exact"), ("tenant", "exact"), ("kwh", "exact")];
    let input = GovernedTable::new(snapshot.files, &governance("t", &columns, vec![], None)).expect("a table");
    let spec = ProductSpec {
        sql: "select flat, house, tenant, kwh from t".to_owned(),
        key: vec![name("flat")],
        subject: Some(name("tenant")),
        further_subjects: Vec::new(),
    };
    let store = ProductStore::open(&place.directory.path().join("products")).expect("a store");
    let product = store.materialise(&place.engine, "prd_1", "set_1", &spec, &[input], Limits::default()).await;
    let governed = governance("p", &[("house", "exact"), ("kwh", "exact")], vec![], None);
    let table = GovernedTable::new(product.expect("a product").files, &governed).expect("a table");
    let session = statistics(&place, table, rules(10, SmallGroups::Suppress, &["house"]));
    assert_eq!(rows(&session, "select count(kwh) from p").await, ["80"]);
    let but_one = batches(&session, "select sum(kwh) from p where house <> 'd'").await;
    assert!(matches!(&but_one, Err(EngineError::Refused(refusal)) if refusal.code == DifferenceTooSmall));
    assert_eq!(rows(&session, "select count(kwh) from p where house <> 'e'").await, ["70"]);
    let by_house = "select house, count(*) from p group by house order by house";
    assert_eq!(rows(&session, by_house).await, ["b|20", "c|20"]);
}

/// A sum that one contributor makes most of is left out; how many there are is not.
#[tokio::test]
async fn dominated_sums_are_left_out() {
    let place = Place::new();
    let mut csv = String::from("kind,amount\n");
    for (kind, first) in [("a", 1_000), ("b", 50), ("c", 60), ("d", 55)] {
        csv.push_str(&format!("{kind},{first}\n"));
        csv.push_str(&format!("{kind},-40\n").repeat(2));
        csv.push_str(&format!("{kind},30\n").repeat(10));
    }
    csv = csv.replace("a,30", "a,3");
    let snapshot = place.snapshot("res_1", &csv).await;
    let governed = governance("t", &[("kind", "exact"), ("amount", "exact")], vec![], None);
    let table = GovernedTable::new(snapshot.files, &governed).expect("a table");
    let session = statistics(&place, table, rules(5, SmallGroups::Suppress, &["kind"]));
    for function in ["sum", "avg"] {
        let sql = format!("select kind, {function}(amount) from t group by kind order by kind");
        let shown: Vec<String> =
            rows(&session, &sql).await.iter().map(|row| row.split('|').next().unwrap_or_default().to_owned()).collect();
        // b goes with it: the total less the others is the dominated group.
        assert_eq!(shown, ["c", "d"], "{function}");
    }
    let counted = "select kind, count(amount) from t group by kind order by kind";
    assert_eq!(rows(&session, counted).await, ["a|13", "b|13", "c|13", "d|13"]);
    let alone = batches(&session, "select sum(amount) from t where kind = 'a'").await;
    assert!(matches!(&alone, Err(EngineError::Refused(refusal)) if refusal.code == CohortTooSmall));
}

/// The sum of a group that is left out has no room in its type, which is nobody's business.
#[tokio::test]
async fn a_sum_without_room_tells_of_no_group_that_is_left_out() {
    let place = Place::new();
    let mut csv = String::from("kind,amount\n");
    csv.push_str(&"few,9223372036854775807\n".repeat(3));
    for kind in ["b", "c", "d"] {
        csv.push_str(&format!("{kind},30\n").repeat(20));
    }
    let snapshot = place.snapshot("res_1", &csv).await;
    let governed = governance("t", &[("kind", "exact"), ("amount", "exact")], vec![], None);
    let table = GovernedTable::new(snapshot.files, &governed).expect("a table");
    let session = statistics(&place, table, rules(5, SmallGroups::Suppress, &["kind"]));
    let shown = rows(&session, "select kind, sum(amount) from t group by kind order by kind").await;
    assert!(!shown.is_empty() && shown.iter().all(|row| row.ends_with("|600")), "{shown:?}");
}

/// Groups, filters and sums are as coarse as statistics are declared, whatever another mode shows: who asks for a day asks what is
/// shown of its year.
#[tokio::test]
async fn statistics_are_as_coarse_as_they_are_declared() {
    let place = Place::new();
    // Ten visits on each of four days of four years, so that no day is too small to be told.
    let mut csv = String::from("visit,day,amount\n");
    for visit in 0..160 {
        let (year, month) = (2020 + visit / 40, 2 + visit / 10 % 4);
        csv.push_str(&format!("{visit},{year}-0{month}-0{month},19\n"));
    }
    let snapshot = place.snapshot("res_visits", &csv).await;
    let coarser = |precision: &str| {
        let in_statistics: Precision = precision.parse().expect("a precision");
        Precisions([(Mode::Rows, Precision::Exact), (Mode::Statistics, in_statistics)].into())
    };
    let scope = Scope {
        columns: [(name("day"), coarser("year")), (name("amount"), coarser("rounded:10"))].into(),
        rows: Default::default(),
        purposes: [Purpose::any()].into(),
        modes: [Mode::Rows, Mode::Statistics].into(),
        term: Term { from: jiff::Timestamp::MIN, until: jiff::Timestamp::MAX },
        cohort_floor: 5,
        consent_required: false,
        marks: Default::default(),
    };
    let table = |mode| {
        let governed = Governance::of_scope("visits", &scope, mode, keys(), None).expect("a governance");
        GovernedTable::new(Arc::clone(&snapshot.files), &governed).expect("a table")
    };
    // Nobody was told anything before.
    let anew =
        || statistics(&place, table(Mode::Statistics), rules(scope.cohort_floor, SmallGroups::Suppress, &["day"]));
    let of_a_day = "select count(*), sum(amount) from visits where day = '2021-04-04'";
    assert_eq!(rows(&place.session(&[table(Mode::Rows)]), of_a_day).await, ["10|190"], "the data tells days");
    for (sql, expected) in [
        (
            "select day, count(*), sum(amount) from visits group by day order by day",
            "2020-01-01|40|400 2021-01-01|40|400 2022-01-01|40|400 2023-01-01|40|400",
        ),
        ("select extract(month from day) as month, count(*) from visits group by 1", "1|160"),
        (
            "select day, count(*) from visits where day <= '2021-04-04' group by day order by day",
            "2020-01-01|40 2021-01-01|40",
        ),
        ("select count(*) from visits where day > '2021-04-04'", "80"),
        ("select count(*) from visits where day = '2021-01-01'", "40"),
        ("select count(*) from visits where day in ('2021-01-01', '2022-04-04')", "40"),
    ] {
        assert_eq!(rows(&anew(), sql).await.join(" "), expected, "{sql}");
    }
    for sql in [
        of_a_day,
        "select count(*) from visits where day between '2021-02-01' and '2021-12-31'",
        "select count(*) from visits where extract(month from day) = 4",
        "select day, count(*) from visits where extract(day from day) > 1 group by day",
    ] {
        let refused = batches(&anew(), sql).await;
        assert!(
            matches!(&refused, Err(EngineError::Refused(refusal)) if refusal.code == CohortTooSmall),
            "{sql}: {refused:?}"
        );
    }
}
