//! Limits: a query keeps within its own, its neighbours do not feel it, and what stops it leaves nothing behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lingqu_engine::governed::GovernedTable;
use lingqu_engine::session::{AnswerShape, GovernedSession};
use lingqu_engine::{Engine, EngineError, EngineSettings, Limits};

use crate::data::{Place, governance, text_rows};

/// Two tables that are joined: many wide rows on either side.
const ROWS: usize = 300_000;
const JOIN: &str = "select a.id, a.text, b.text as other from wide a join wide b on a.id = b.id order by a.id";

async fn wide(place: &Place) -> Arc<GovernedTable> {
    let mut csv = String::from("id,text\n");
    for id in 0..ROWS {
        csv.push_str(&format!("{},{id:0>100}\n", (id * 7_919) % ROWS));
    }
    let snapshot = place.snapshot("res_wide", &csv).await;
    let governed = governance("wide", &[("id", "exact"), ("text", "exact")], vec![], None);
    GovernedTable::new(snapshot.files, &governed).expect("a table")
}

fn session(engine: &Arc<Engine>, table: &Arc<GovernedTable>, memory_bytes_max: usize) -> GovernedSession {
    let limits = Limits { memory_bytes_max, time_max: Duration::from_secs(600), ..Limits::default() };
    GovernedSession::new(engine, &[Arc::clone(table)], limits, AnswerShape::Rows).expect("a session")
}

/// The rows of an answer, and how many rows of the table it names.
async fn told(session: &GovernedSession, sql: &str) -> (Vec<String>, u64) {
    let answer = session.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let (batches, rows) = answer.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    (text_rows(&batches), rows["wide"].len())
}

fn spilled(place: &Place) -> usize {
    let directory = place.directory.path().join("spill");
    let entries = std::fs::read_dir(directory).expect("the spill directory");
    entries.map(|entry| std::fs::read_dir(entry.expect("an entry").path()).map_or(0, Iterator::count)).sum()
}

#[tokio::test]
async fn a_join_that_does_not_fit_into_memory_is_made_all_the_same() {
    let place = Place::new();
    let table = wide(&place).await;
    let whole = session(&place.engine, &table, 512 << 20).query(JOIN).await.expect("an answer");
    let (expected, _) = whole.collect().await.expect("batches");
    // Each side alone is 32 MB.
    let little = session(&place.engine, &table, 24 << 20);
    let answer = little.query(JOIN).await.expect("an answer");
    let (batches, rows) = answer.collect().await.expect("batches");
    assert_eq!(text_rows(&batches), text_rows(&expected));
    assert_eq!(rows["wide"].len(), ROWS as u64);
    assert_eq!(spilled(&place), 0, "spill files outlive the query");
    little.query("select count(*) from wide").await.expect("the session still has its tables");
}

/// Numbers among which are zeros of either sign and some that are none.
const FLOATING: &str = "(select id, text, case when id % 3000 = 0 then 0.0 * -1.0 when id % 3000 = 1 then 0.0 \
    when id % 3000 = 2 then cast(0 as double) / cast(0 as double) else cast(id as double) / 4 end as k from wide)";

/// Keys that are not merged as they are, and `NOT IN` over what may be missing.
#[tokio::test]
async fn joins_of_other_keys_that_do_not_fit_are_made_all_the_same() {
    let place = Place::new();
    let table = wide(&place).await;
    let (much, little) = (session(&place.engine, &table, 512 << 20), session(&place.engine, &table, 24 << 20));
    let counted = "select count(*) as c, sum(a.id * 3 + b.id) as s, max(a.text) as l, max(b.text) as r from";
    let moments =
        |name: &str| format!("(select id, text, cast(id / 2 as timestamp with time zone) as k from wide) {name}");
    let not_in = |value: &str, among: &str| {
        format!("select count(*) as c, sum(id) as s, max(text) as l from wide where {value} not in (select {among})")
    };
    for (sql, count) in [
        (format!("{counted} {FLOATING} a join {FLOATING} b on a.k = b.k"), None),
        (format!("{counted} {FLOATING} a full join {FLOATING} b on a.k = b.k and a.id < b.id"), None),
        (format!("{counted} {} join {} on a.k = b.k", moments("a"), moments("b")), Some("600000")),
        (not_in("id", "id from wide where id % 3 <> 0"), Some("100000")),
        (not_in("nullif(id, 6)", "id from wide where id % 3 <> 0"), Some("99999")),
        (not_in("id", "nullif(id, 4) from wide where id % 3 <> 0"), Some("0")),
        (not_in("nullif(id, 6)", "id from wide where id < 0"), Some("300000")),
    ] {
        let (expected, found) = (told(&much, &sql).await, told(&little, &sql).await);
        assert_eq!(found, expected, "{sql}");
        if let Some(count) = count {
            assert_eq!(found.0[0].split('|').next(), Some(count), "{sql}");
        }
    }
    assert_eq!(spilled(&place), 0, "spill files outlive the query");
}

/// Where nothing tells which rows go together each is compared with each. Where no side fits into memory they are compared block by
/// block: no row is answered twice, and each is named by one reading.
#[tokio::test]
async fn pairs_that_do_not_fit_into_memory_are_compared_block_by_block() {
    let place = Place::new();
    let table = wide(&place).await;
    // The left side alone is 7 MB.
    let (much, little) = (session(&place.engine, &table, 512 << 20), session(&place.engine, &table, 3 << 20));
    let (many, few) = ("(select * from wide where id < 60000) a", "(select * from wide where id < 30) b");
    let counted = "select count(*) as c, sum(a.id) as s, sum(b.id) as t, max(a.text) as l from";
    let alone = "select count(*) as c, sum(a.id) as s, max(a.text) as l from";
    let meets = "a.text < b.text and a.id % 5 <> b.id % 3";
    for sql in [
        format!("{counted} {many} join {few} on {meets}"),
        format!("{counted} {many} left join {few} on {meets}"),
        format!("{counted} {many} right join {few} on {meets} and b.id > 2"),
        format!("{counted} {many} full join {few} on {meets} and b.id > 2"),
        format!("{counted} {many} cross join {few}"),
        format!("{alone} {many} where exists (select 1 from {few} where {meets})"),
        format!("{alone} {many} where not exists (select 1 from {few} where {meets})"),
        // First its key fails, on a row that it does not reach, and then the pairs do not fit.
        format!("{alone} {many} left join (select * from wide where id < 0) b on 7 / (a.id - 7) = b.id"),
    ] {
        let (expected, found) = (told(&much, &sql).await, told(&little, &sql).await);
        assert_eq!(found, expected, "{sql}");
        assert_eq!(found.1, 60_000, "{sql}");
    }
    assert_eq!(spilled(&place), 0, "spill files outlive the query");
}

/// The other side goes to disk on the way, within the query's part of the space there.
#[tokio::test]
async fn pairs_of_which_the_other_side_does_not_fit_on_disk_end_a_query() {
    let place = Place::new();
    let table = wide(&place).await;
    // Either side is 340 kB.
    let sql = "select count(*) as c, max(a.text) as l from (select * from wide where id < 3000) a \
        left join (select * from wide where id < 3000) b on a.text > b.text and a.id < b.id + 10";
    let answered = async |spill_bytes_max: u64| {
        let spill = place.directory.path().join(format!("spill-{spill_bytes_max}"));
        let settings = EngineSettings { queries_max: 1, spill_bytes_max, ..EngineSettings::moderate(spill) };
        let engine = Arc::new(Engine::new(&settings).expect("an engine"));
        let (batches, _) = session(&engine, &table, 200 << 10).query(sql).await?.collect().await?;
        Ok::<_, EngineError>(text_rows(&batches))
    };
    let narrow = answered(64 << 10).await;
    assert!(matches!(narrow, Err(EngineError::OutOfMemory)), "{narrow:?}");
    let (expected, _) = told(&session(&place.engine, &table, 512 << 20), sql).await;
    assert_eq!(answered(16 << 20).await.expect("an answer"), expected);
}

#[tokio::test]
async fn a_query_out_of_memory_says_so_and_its_neighbour_answers() {
    let place = Place::new();
    let table = wide(&place).await;
    let starved = session(&place.engine, &table, 1 << 10);
    let refused = async { starved.query("select text, count(*) from wide group by text").await?.collect().await };
    let neighbour = async { session(&place.engine, &table, 512 << 20).query(JOIN).await?.collect().await };
    let (refused, answered) = tokio::join!(refused, neighbour);
    assert!(matches!(refused, Err(EngineError::OutOfMemory)), "{refused:?}");
    let (batches, _) = answered.expect("an answer");
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), ROWS);
}

/// Space for spilling is divided as memory is: one that uses up its part ends, its neighbour spills and answers, and neither
/// leaves anything behind.
#[tokio::test]
async fn a_query_out_of_temporary_space_says_so_and_its_neighbour_answers() {
    let place = Place::new();
    let table = wide(&place).await;
    let spill = place.directory.path().join("spill");
    let settings = EngineSettings { queries_max: 2, spill_bytes_max: 8 << 20, ..EngineSettings::moderate(spill) };
    let engine = Arc::new(Engine::new(&settings).expect("an engine"));
    // 32 MB to sort with 24 MiB of memory and 4 MiB on disk; ids alone are 2 MB.
    let large = async { session(&engine, &table, 24 << 20).query(JOIN).await?.collect().await };
    let small =
        async { session(&engine, &table, 24 << 20).query("select id from wide order by id").await?.collect().await };
    let (refused, answered) = tokio::join!(large, small);
    assert!(matches!(refused, Err(EngineError::OutOfMemory)), "{:?}", refused.map(|_| ()));
    let (batches, _) = answered.expect("an answer");
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), ROWS);
    // The parts of a plan that were stopped drop their files a moment later.
    let cleared = async {
        while spilled(&place) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cleared).await.expect("spill files outlive the query");
}

/// A window over all rows keeps them until the last one has come.
#[tokio::test]
async fn rows_that_wait_for_a_window_are_within_a_query_s_memory() {
    let place = Place::new();
    let table = wide(&place).await;
    // They are 32 MB.
    let sql = "select max(n) as n, max(text) as t from (select text, count(*) over () as n from wide) q";
    let starved = async { session(&place.engine, &table, 24 << 20).query(sql).await?.collect().await };
    let refused = starved.await;
    assert!(matches!(refused, Err(EngineError::OutOfMemory)), "{:?}", refused.map(|_| ()));
    let (found, named) = told(&session(&place.engine, &table, 512 << 20), sql).await;
    assert_eq!(found, [format!("{ROWS}|{:0>100}", ROWS - 1)]);
    assert_eq!(named, ROWS as u64);
}

/// A window that goes along with its rows keeps those that its frames reach and those that wait for theirs, and is refused for no others.
#[tokio::test]
async fn rows_that_the_frames_of_a_window_reach_are_within_a_query_s_memory() {
    let place = Place::new();
    let table = wide(&place).await;
    // All rows are 32 MB, which a window has twice.
    let (much, little) = (session(&place.engine, &table, 512 << 20), session(&place.engine, &table, 56 << 20));
    let over =
        |window: &str| format!("select max(v) as v, max(text) as t from (select text, {window} as v from wide) q");
    for window in [
        "sum(id) over (order by id rows between 100000000 preceding and current row)",
        "sum(id) over (order by id rows between unbounded preceding and 100000000 preceding)",
        "sum(id) over (order by id range between 100000000 preceding and current row)",
        "sum(id) over (order by id groups between 100000000 preceding and current row)",
        "sum(id) over (order by id / 1000000)",
        "lag(id, 100000000) over (order by id)",
        "lead(id, 100000000) over (order by id)",
    ] {
        let refused = async { little.query(&over(window)).await?.collect().await }.await;
        assert!(matches!(refused, Err(EngineError::OutOfMemory)), "{window}: {:?}", refused.map(|_| ()));
    }
    for window in [
        "row_number() over (order by id)",
        "sum(id) over (order by id)",
        "sum(id) over (order by id / 1000)",
        "sum(id) over (order by id desc rows between 1000 preceding and 1000 following)",
        "sum(id) over (order by id range between 1000 preceding and current row)",
        "sum(id) over (order by id desc range between 1000 preceding and current row)",
        "lag(id, 1000) over (order by id)",
        "first_value(id) over (order by id)",
        "sum(id) over (partition by id / 1000 order by id rows between 100000000 preceding and current row)",
    ] {
        let (found, expected) = (told(&little, &over(window)).await, told(&much, &over(window)).await);
        assert_eq!(found, expected, "{window}");
        assert_eq!(found.1, ROWS as u64, "{window}");
    }
}

/// What functions build is in nobody's memory: the longer texts become, the fewer rows are worked on at a time. In one batch these would
/// be 2.4 GB, more than a column of texts can have.
#[tokio::test]
async fn texts_that_grow_long_are_built_a_few_rows_at_a_time() {
    let place = Place::new();
    let rows = 6_000_u64;
    let csv = (0..rows).fold(String::from("id,text\n"), |csv, id| csv + &format!("{id},{id:0>100}\n"));
    let snapshot = place.snapshot("res_long", &csv).await;
    let governed = governance("wide", &[("id", "exact"), ("text", "exact")], vec![], None);
    let table = GovernedTable::new(snapshot.files, &governed).expect("a table");
    let session = session(&place.engine, &table, 64 << 20);
    let eightfold = "concat(t, t, t, t, t, t, t, t)";
    let long = (0..4)
        .fold("select text as t from wide".to_owned(), |sql, _| format!("select {eightfold} as t from ({sql}) q"));
    let (found, named) = told(&session, &format!("select sum(character_length(t)) as c from ({long}) q")).await;
    assert_eq!((found, named), (vec![(rows * 100 * 4_096).to_string()], rows));
    let listed = told(&session, "select text || '-' || text as t from wide where id < 3 order by id").await;
    assert_eq!(listed.0.iter().map(String::len).collect::<Vec<_>>(), [201; 3]);
}

#[tokio::test]
async fn queries_beyond_those_admitted_are_refused_and_the_others_wait() {
    let place = Place::new();
    let table = wide(&place).await;
    let spill = place.directory.path().join("few");
    let settings = EngineSettings { queries_max: 1, admitted_max: 2, ..EngineSettings::moderate(spill) };
    let engine = Arc::new(Engine::new(&settings).expect("an engine"));
    let session = session(&engine, &table, 64 << 20);
    let running = session.query("select id from wide").await.expect("the first runs");
    assert_eq!(engine.running(), 1);
    let waiting = session.query("select id from wide");
    tokio::pin!(waiting);
    // Polled once, so that it has taken its place in the queue.
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    let beyond = session.query("select id from wide").await;
    assert!(matches!(beyond, Err(EngineError::Busy)), "{beyond:?}");
    drop(running);
    let second = waiting.await.expect("the second runs when the first has ended");
    drop(second);
    assert_eq!(engine.running(), 0);
}

/// Whoever waits for a place is told in the end, and has given back what he held of the queue.
#[tokio::test]
async fn a_query_that_waited_for_its_place_too_long_is_refused() {
    let place = Place::new();
    let table = wide(&place).await;
    let spill = place.directory.path().join("patient");
    let wait_max = Duration::from_millis(100);
    let settings = EngineSettings { queries_max: 1, admitted_max: 2, wait_max, ..EngineSettings::moderate(spill) };
    let engine = Arc::new(Engine::new(&settings).expect("an engine"));
    let session = session(&engine, &table, 64 << 20);
    let running = session.query("select id from wide").await.expect("the first runs");
    // As often as one likes: none of them leaves anything behind in the queue of one.
    for _ in 0..3 {
        let waited = session.query("select id from wide").await;
        assert!(matches!(waited, Err(EngineError::Busy)), "{waited:?}");
        assert_eq!(engine.running(), 1, "the first still runs");
    }
    let waiting = session.query("select id from wide");
    tokio::pin!(waiting);
    assert!(futures::poll!(waiting.as_mut()).is_pending(), "it waits, and is not refused at once");
    drop(running);
    waiting.await.expect("its place came free in time");
}

/// Files, whose clients may take them slowly, leave a quarter of the places to the others.
#[tokio::test]
async fn long_queries_leave_places_to_the_others() {
    let place = Place::new();
    let table = wide(&place).await;
    let wait_max = Duration::from_millis(100);
    let spill = place.directory.path().join("long");
    let settings = EngineSettings { queries_max: 4, wait_max, ..EngineSettings::moderate(spill) };
    let engine = Arc::new(Engine::new(&settings).expect("an engine"));
    let long = session(&engine, &table, 64 << 20);
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(long.query("select id from wide").await.expect("a file"));
    }
    let beyond = long.query("select id from wide").await;
    assert!(matches!(beyond, Err(EngineError::Busy)), "{beyond:?}");
    assert_eq!(engine.running(), 3, "who waited in vain holds nothing");
    let short = GovernedSession::new(&engine, &[Arc::clone(&table)], Limits::default(), AnswerShape::Rows);
    let short = short.expect("a session");
    let answer = short.query("select id from wide").await.expect("the place that is left");
    let beyond = short.query("select id from wide").await;
    assert!(matches!(beyond, Err(EngineError::Busy)), "{beyond:?}");
    drop(answer);
    slow.clear();
    let mut quick = Vec::new();
    for _ in 0..4 {
        quick.push(short.query("select id from wide").await.expect("short ones may have all places"));
    }
    drop(quick);
    long.query("select id from wide").await.expect("a file again");
}

#[tokio::test]
async fn who_drops_an_answer_stops_its_query() {
    let place = Place::new();
    let table = wide(&place).await;
    // 160 thousand million pairs: it would take hours.
    let endless = "select count(*) from wide a join wide b on a.id < b.id or a.text < b.text";
    let session = session(&place.engine, &table, 512 << 20);
    let asked =
        tokio::time::timeout(Duration::from_millis(300), async { session.query(endless).await?.collect().await });
    assert!(asked.await.is_err(), "it was expected to take longer");
    let stopped = async {
        while place.engine.running() > 0 || spilled(&place) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), stopped).await.expect("it stops");
}

/// A window computes one row after another without a pause, and each of these looks at all rows before or after it.
#[tokio::test]
async fn who_drops_an_answer_stops_its_windows() {
    let place = Place::new();
    let table = wide(&place).await;
    let session = session(&place.engine, &table, 512 << 20);
    for window in [
        "median(id) over (order by id rows between 1 preceding and unbounded following)",
        "median(id) over (order by id rows between 100000000 preceding and current row)",
        "first_value(nullif(id, id)) ignore nulls over (order by id rows between 1 preceding and unbounded following)",
    ] {
        let sql = format!("select max(v) as v from (select {window} as v from wide) q");
        let asked = async { session.query(&sql).await?.collect().await };
        let asked = tokio::time::timeout(Duration::from_secs(3), asked).await;
        assert!(asked.is_err(), "{window}: it was expected to take longer");
        let gone = Instant::now();
        while place.engine.unfinished() > 0 {
            assert!(gone.elapsed() < Duration::from_secs(60), "{window}: it still works");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        eprintln!("{window}: stopped after {} ms", gone.elapsed().as_millis());
    }
}
