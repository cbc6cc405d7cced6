//! Attacks by more than one question, as a consumer makes them who has every right to ask each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lingqu_engine::allow::RefusalCode::{
    self, CohortTooSmall, DifferenceTooSmall, RefusalsExhausted, ReleaseLimitReached,
};
use lingqu_engine::governed::GovernedTable;
use lingqu_engine::session::{AnswerShape, Contributors, Dominance, GovernedSession, SmallGroups, StatisticsRules};
use lingqu_engine::{EngineError, Limits};

use crate::data::{Place, batches, governance, name, rows, text_rows};
use crate::record::Record;

const FLOOR: u32 = 5;
const DIMENSIONS: [&str; 3] = ["city", "age", "month"];
const COLUMNS: [(&str, &str); 6] = [
    ("id", "exact"),
    ("person", "exact"),
    ("city", "exact"),
    ("age", "exact"),
    ("month", "exact"),
    ("salary", "exact"),
];

/// A row of the table that is attacked.
#[derive(Clone, Debug)]
struct Row {
    id: usize,
    person: usize,
    city: usize,
    age: usize,
    month: usize,
    salary: Option<usize>,
}

fn csv(table: &[Row]) -> String {
    let mut csv = String::from("id,person,city,age,month,salary\n");
    for row in table {
        let salary = row.salary.map(|salary| salary.to_string()).unwrap_or_default();
        csv.push_str(&format!("{},p{},c{},{},{},{salary}\n", row.id, row.person, row.city, row.age, row.month));
    }
    csv
}

/// 200 rows of 200 people in two cities, of ages 20 to 29, 20 of each but for the one who is 99.
fn people() -> Vec<Row> {
    let mut table = Vec::new();
    for id in 0..200 {
        table.push(Row {
            id,
            person: id,
            city: id % 2,
            age: if id == 77 { 99 } else { 20 + id % 10 },
            month: 1 + id % 12,
            salary: (id % 40 != 3).then_some(3_000 + id * 7),
        });
    }
    table
}

struct Attack {
    place: Place,
    record: Arc<Record>,
    by_person: bool,
}

impl Attack {
    fn new(by_person: bool) -> Self {
        Self { place: Place::new(), record: Arc::new(Record::default()), by_person }
    }

    /// A session over a version of the data, with the recipient's record.
    async fn session(&self, version: &str, table: &[Row], columns: &[(&str, &str)]) -> GovernedSession {
        self.session_of(version, &csv(table), columns).await
    }

    async fn session_of(&self, version: &str, csv: &str, columns: &[(&str, &str)]) -> GovernedSession {
        let snapshot = self.place.snapshot(version, csv).await;
        let table = GovernedTable::new(snapshot.files, &governance("t", columns, vec![], None)).expect("a table");
        let rules = StatisticsRules {
            dimensions: DIMENSIONS.map(name).into(),
            cohort_floor: FLOOR,
            small_groups: SmallGroups::Suppress,
            dominance: Dominance::default(),
            contributors: Contributors {
                key: vec![name("id")],
                subject: self.by_person.then(|| name("person")),
                digest_key: [5; 16],
            },
            record: Arc::clone(&self.record) as _,
        };
        let shape = AnswerShape::Statistics(rules);
        GovernedSession::new(&self.place.engine, &[table], Limits::default(), shape).expect("a session")
    }
}

async fn is_refused(session: &GovernedSession, sql: &str, code: RefusalCode) {
    match batches(session, sql).await {
        Err(EngineError::Refused(refusal)) if refusal.code == code => {
            assert!(!refusal.what.chars().any(|letter| letter.is_ascii_digit()) || code != DifferenceTooSmall);
        }
        other => panic!("{sql}: {:?}", other.map(|batches| text_rows(&batches))),
    }
}

#[tokio::test]
async fn a_tracker_learns_nothing() {
    for (first, second) in [
        // All, and all but one.
        ("select count(*) from t", "select count(*) from t where age <> 99"),
        ("select count(*) from t where age < 99", "select count(*) from t"),
        ("select sum(salary) from t", "select sum(salary) from t where age < 50"),
        // The same people by another name, and another measure of the same column.
        ("select avg(salary) from t", "select count(salary) from t where not (age = 99)"),
        // Groups that differ by one, with totals and without.
        ("select city, count(*) from t group by city", "select city, count(*) from t where age < 30 group by city"),
        (
            "select city, count(*) from t group by rollup (city)",
            "select city, count(*) from t where age < 30 group by city",
        ),
        // What can be added up from one answer and is asked for in the other.
        ("select city, count(*) from t where age < 30 group by city", "select count(*) from t"),
        ("select month, city, count(*) from t where age < 30 group by 1, 2", "select city, count(*) from t group by 1"),
        // What HAVING and LIMIT hide has been told of by the condition.
        ("select count(*) from t having count(*) = 199", "select count(*) from t where age < 30"),
        (
            "select city, count(*) from t group by city order by 2 limit 1",
            "select city, count(*) from t where age < 30 group by 1",
        ),
        (
            "select 1 from (select city, count(*) as n from t group by city) x",
            "select city, count(*) from t where age < 30 group by 1",
        ),
    ] {
        for (one, other) in [(first, second), (second, first)] {
            let attack = Attack::new(false);
            let session = attack.session("res_1", &people(), &COLUMNS).await;
            rows(&session, one).await;
            is_refused(&session, other, DifferenceTooSmall).await;
            // Once more is free, and the refusal has changed nothing.
            let known = attack.record.len();
            rows(&session, one).await;
            assert_eq!(attack.record.len(), known);
            is_refused(&session, other, DifferenceTooSmall).await;
            assert_eq!(attack.record.refusals(), 2);
        }
    }
}

/// Everybody is in both answers, but one has a row that is in one of them only.
#[tokio::test]
async fn the_rows_of_one_person_are_a_difference_of_one() {
    let mut table = Vec::new();
    for id in 0..100 {
        let month = if id < 90 { 1 + id % 6 } else { 7 };
        let person = if id < 90 { id % 30 } else { 4 };
        table.push(Row { id, person, city: 0, age: 30, month, salary: Some(1_000 + id) });
    }
    let attack = Attack::new(true);
    let session = attack.session("res_1", &table, &COLUMNS).await;
    assert_eq!(rows(&session, "select count(*) from t").await, ["100"]);
    // Ten rows more or less, of one person.
    is_refused(&session, "select count(*) from t where month < 7", DifferenceTooSmall).await;
    // The same ten rows of ten people would be another matter.
    let by_row = Attack::new(false);
    let session = by_row.session("res_1", &table, &COLUMNS).await;
    assert_eq!(rows(&session, "select count(*) from t").await, ["100"]);
    assert_eq!(rows(&session, "select count(*) from t where month < 7").await, ["90"]);
}

/// Ten rows of one person, whose name has as many blanks before it as there were rows of his.
#[tokio::test]
async fn blanks_around_a_name_make_nobody_else_of_him() {
    let mut table = Vec::new();
    for id in 0..100 {
        let (person, month) = if id < 90 { (id % 30, 1) } else { (50, 7) };
        table.push(Row { id, person, city: 0, age: 30, month, salary: Some(1_000) });
    }
    let mut written = csv(&table);
    for blanks in 0..10 {
        written = written.replacen(",p50,", &format!(",{}p50 ,", " ".repeat(blanks)), 1);
    }
    let attack = Attack::new(true);
    let session = attack.session_of("res_1", &written, &COLUMNS).await;
    is_refused(&session, "select count(*) from t where month = 7", CohortTooSmall).await;
    assert_eq!(rows(&session, "select count(*) from t").await, ["100"]);
    is_refused(&session, "select count(*) from t where month < 7", DifferenceTooSmall).await;
}

/// The next version of the data is compared with what was given from this one, though all row numbers have moved.
#[tokio::test]
async fn a_new_version_is_no_new_beginning() {
    let old = people();
    let sum = "select count(*), sum(salary) from t";
    let (mut one_more, mut one_changed, mut many_more) = (old.clone(), old.clone(), old.clone());
    one_more.insert(0, Row { id: 900, ..old[10].clone() });
    one_changed[10].salary = Some(1);
    for id in 900..920 {
        many_more.insert(0, Row { id, ..old[id - 880].clone() });
    }
    for (new, expected) in
        [(&old, Ok("200|721195")), (&many_more, Ok("220|")), (&one_more, Err(())), (&one_changed, Err(()))]
    {
        let attack = Attack::new(false);
        let session = attack.session("res_1", &old, &COLUMNS).await;
        let before = rows(&session, sum).await;
        let session = attack.session("res_2", new, &COLUMNS).await;
        match expected {
            Ok(start) if start.ends_with('|') => assert!(rows(&session, sum).await[0].starts_with(start)),
            Ok(_) => assert_eq!(rows(&session, sum).await, before),
            Err(()) => is_refused(&session, sum, DifferenceTooSmall).await,
        }
    }
}

/// Another order of the same consumer may see the column at another precision; the people are the same.
#[tokio::test]
async fn another_precision_is_no_new_beginning() {
    let attack = Attack::new(false);
    let mut coarse = COLUMNS;
    coarse[5] = ("salary", "rounded:100");
    let exact = attack.session("res_1", &people(), &COLUMNS).await;
    let coarse = attack.session("res_1", &people(), &coarse).await;
    rows(&exact, "select sum(salary) from t").await;
    is_refused(&coarse, "select sum(salary) from t where age < 30", DifferenceTooSmall).await;
    rows(&coarse, "select sum(salary) from t").await;
}

/// Of two questions that differ by one person one is answered, however they are timed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_questions_at_once_do_not_slip_past_each_other() {
    for round in 0..6 {
        let attack = Attack::new(false);
        let version = format!("res_{round}");
        let session = Arc::new(attack.session(&version, &people(), &COLUMNS).await);
        let mut asked = Vec::new();
        for sql in ["select count(*) from t", "select count(*) from t where age < 30"].repeat(3) {
            let session = Arc::clone(&session);
            asked.push(tokio::spawn(async move { batches(&session, sql).await.map(|batches| text_rows(&batches)) }));
        }
        let mut answers = BTreeSet::new();
        let mut refused = 0;
        for asked in asked {
            match asked.await.expect("a question is asked to its end") {
                Ok(answer) => {
                    answers.insert(answer);
                }
                Err(EngineError::Refused(refusal)) if refusal.code == DifferenceTooSmall => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!((answers.len(), refused), (1, 3), "{answers:?}");
    }
}

/// What can't be compared is not asked, and tells nothing that would be counted.
#[tokio::test]
async fn what_knows_rows_by_something_else_is_not_compared() {
    let attack = Attack::new(false);
    let session = attack.session("res_1", &people(), &COLUMNS).await;
    rows(&session, "select count(*) from t").await;
    attack.record.make_incomparable();
    let known = attack.record.len();
    is_refused(&session, "select count(*) from t where age < 30", DifferenceTooSmall).await;
    assert_eq!((attack.record.len(), attack.record.refusals()), (known, 0));
}

/// What is kept, and how often a consumer may probe, have an end.
#[tokio::test]
async fn limits_are_told() {
    let mut attack = Attack::new(false);
    attack.record = Arc::new(Record::limited(3, 2));
    let session = attack.session("res_1", &people(), &COLUMNS).await;
    // Two cities and their sum.
    let known = "select city, count(*) from t group by city";
    rows(&session, known).await;
    is_refused(&session, "select count(*) from t where city = 'c0' and age < 25", ReleaseLimitReached).await;
    rows(&session, known).await;
    is_refused(&session, "select count(*) from t where age = 99", CohortTooSmall).await;
    is_refused(&session, known, RefusalsExhausted).await;
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).expect("below a usize")
    }
}

/// A condition on a row, in SQL and in Rust.
type Condition = (String, Box<dyn Fn(&Row) -> bool>);

fn condition(dice: &mut Dice) -> Condition {
    let value = dice.roll(4);
    match dice.roll(6) {
        0 => (format!("city = 'c{value}'"), Box::new(move |row| row.city == value)),
        1 => (format!("age <> {value}"), Box::new(move |row| row.age != value)),
        2 => (format!("age <= {value}"), Box::new(move |row| row.age <= value)),
        3 => (format!("month in ({value}, 1)"), Box::new(move |row| row.month == value || row.month == 1)),
        4 => (format!("city <> 'c{value}'"), Box::new(move |row| row.city != value)),
        _ => ("true".to_owned(), Box::new(|_| true)),
    }
}

/// The values of a row by which it is grouped, as they are shown.
fn group_of(row: &Row, dimensions: &[&str]) -> Vec<String> {
    let value = |dimension: &&str| match *dimension {
        "city" => format!("c{}", row.city),
        "age" => row.age.to_string(),
        _ => row.month.to_string(),
    };
    dimensions.iter().map(value).collect()
}

/// What is asked unless another seed is. The law holds for all of them; that enough is answered and refused to show it does not.
const SEED: u64 = 17;

/// Whatever is asked in whatever order: no two numbers that were shown differ by a few contributors.
#[tokio::test]
async fn no_two_shown_numbers_differ_by_a_few() {
    let seed = std::env::var("LINGQU_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    println!("seed {seed}; repeat with LINGQU_SEED={seed}");
    let mut dice = Dice(seed);
    let (mut answered, mut refused) = (0, 0);
    for round in 0..6 {
        let by_person = round % 2 == 0;
        let mut table = Vec::new();
        for id in 0..60 + dice.roll(150) {
            let person = dice.roll(60);
            let (city, age, month) = (dice.roll(2) + dice.roll(3), dice.roll(4), dice.roll(3) + dice.roll(2));
            let salary = (dice.roll(9) > 0).then_some(100 + dice.roll(50));
            table.push(Row { id, person, city, age, month, salary });
        }
        let attack = Attack::new(by_person);
        let session = attack.session(&format!("res_{round}"), &table, &COLUMNS).await;
        // For each family the contributions of each number that was shown: (row, contributor).
        let mut shown: BTreeMap<bool, Vec<BTreeSet<(usize, usize)>>> = BTreeMap::new();
        for _ in 0..25 {
            let (one, other) = (condition(&mut dice), condition(&mut dice));
            let chosen = dice.roll(8);
            let dimensions: Vec<&str> =
                (0..3).filter(|index| chosen & (1 << index) != 0).map(|index| DIMENSIONS[index]).collect();
            let is_salary = dice.roll(2) == 0;
            let measure = if is_salary { "avg(salary)" } else { "count(*)" };
            let groups = dimensions.join(", ");
            let is_rollup = !dimensions.is_empty() && dice.roll(2) == 0;
            let mut sql = format!("select {groups}{} {measure} as n from t", if groups.is_empty() { "" } else { "," });
            sql.push_str(&format!(" where {} and {}", one.0, other.0));
            match (groups.is_empty(), is_rollup) {
                (true, _) => {}
                (false, true) => sql.push_str(&format!(" group by rollup ({groups})")),
                (false, false) => sql.push_str(&format!(" group by {groups}")),
            }
            let answer = match batches(&session, &sql).await {
                Ok(answer) => text_rows(&answer),
                Err(EngineError::Refused(refusal)) => {
                    assert!(matches!(refusal.code, CohortTooSmall | DifferenceTooSmall), "{sql}: {refusal}");
                    refused += u32::from(refusal.code == DifferenceTooSmall);
                    continue;
                }
                Err(other) => panic!("{sql}: {other}"),
            };
            for line in answer {
                answered += 1;
                let values: Vec<&str> = line.split('|').take(dimensions.len()).collect();
                let is_in = |row: &&Row| {
                    let group = group_of(row, &dimensions);
                    let fits = values.iter().zip(&group).all(|(value, own)| value.is_empty() || value == own);
                    fits && (one.1)(row) && (other.1)(row)
                };
                let has_value = |row: &&Row| !is_salary || row.salary.is_some();
                // Of an average those count that have a salary; all rows of the group are counted in secret too.
                for (family, is_counted) in [(true, is_salary), (false, true)] {
                    if !is_counted {
                        continue;
                    }
                    let members = table.iter().filter(is_in).filter(|row| !family || has_value(row));
                    let set = members.map(|row| (row.id, if by_person { row.person } else { row.id })).collect();
                    shown.entry(family).or_default().push(set);
                }
            }
        }
        for sets in shown.values() {
            for (index, one) in sets.iter().enumerate() {
                for other in &sets[..index] {
                    let differing: BTreeSet<usize> =
                        one.symmetric_difference(other).map(|(_, person)| *person).collect();
                    let is_few = !differing.is_empty() && differing.len() < FLOOR as usize;
                    // Of a family of values a group may have none at all.
                    assert!(
                        !is_few || one.is_empty() || other.is_empty(),
                        "seed {seed}: {} and {}",
                        one.len(),
                        other.len()
                    );
                }
            }
        }
    }
    assert!(answered > 100 && refused > 5, "seed {seed}: {answered} numbers were shown, {refused} questions refused");
}
