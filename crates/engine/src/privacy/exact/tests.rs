//! Neighbouring tables: whatever one person adds, the exact parts move by no more than is noised for.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use lingqu_domain::predicate::Literal;
use lingqu_domain::privacy::{MeasureBounds, NoiseRules};

use super::*;
use crate::EngineSettings;
use crate::allow::{self, Granted};
use crate::engine::register;
use crate::governed::Governance;
use crate::guard::contributor::Contributors;
use crate::mask::PseudonymKeys;
use crate::privacy::{Exhausted, Given, PrivacyLedger, public};
use crate::rows_left::RowsLeft;
use crate::snapshot::SnapshotStore;
use crate::source::{Source, SourceOptions};

/// Nobody's accounts: exact parts are never given.
#[derive(Debug)]
struct Nobody;

#[async_trait::async_trait]
impl PrivacyLedger for Nobody {
    async fn answer(&self, _question: &str) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(None)
    }

    async fn exhausted(&self, _cost: lingqu_domain::privacy::Rho) -> Result<Option<Exhausted>, EngineError> {
        Ok(None)
    }

    async fn give(
        &self,
        _question: &str,
        _cost: lingqu_domain::privacy::Rho,
        _answer: &[u8],
    ) -> Result<Given, EngineError> {
        Ok(Given::Full)
    }
}

/// A source of choices that a seed stands for (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % count
    }
}

#[derive(Clone)]
struct Visit {
    id: u64,
    person: Option<u64>,
    kind: &'static str,
    amount: Option<i64>,
}

/// Visits of eight persons; those of person 0 are the ones that come and go.
fn visits(dice: &mut Dice) -> Vec<Visit> {
    let mut visits = Vec::new();
    for id in 0..20 + dice.below(60) {
        let person = dice.below(9);
        let kinds = ["a", "b", "c", "undeclared"];
        let amounts = [-100_000, -11, -5, 0, 3, 7, 50, 100_000];
        visits.push(Visit {
            id,
            // Person 0 has more than the others, so that the bound bites.
            person: if person == 8 { None } else { Some(if dice.below(3) == 0 { 0 } else { person }) },
            kind: kinds[usize::try_from(dice.below(4)).expect("small")],
            amount: if dice.below(6) == 0 {
                None
            } else {
                Some(amounts[usize::try_from(dice.below(8)).expect("small")])
            },
        });
    }
    visits
}

struct Place {
    _directory: tempfile::TempDir,
    engine: Engine,
    snapshots: SnapshotStore,
    path: std::path::PathBuf,
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
        let snapshots = SnapshotStore::open(&directory.path().join("snapshots")).expect("a store");
        let path = directory.path().join("visits.csv");
        Place { _directory: directory, engine, snapshots, path }
    }

    async fn exact(&self, resource: &str, visits: &[Visit], sql: &str, rules: &NoisedRules) -> (Question, Exact) {
        let mut csv = "id,person,kind,amount\n".to_owned();
        for visit in visits {
            // Blanks around a name make nobody else of him.
            let blank = if visit.id % 2 == 1 { " " } else { "" };
            let person = visit.person.map(|person| format!("{blank}p{person}")).unwrap_or_default();
            let amount = visit.amount.map(|amount| amount.to_string()).unwrap_or_default();
            writeln!(csv, "{},{person},{},{amount}", visit.id, visit.kind).expect("memory");
        }
        std::fs::write(&self.path, csv).expect("written");
        let source = Source::open(&self.path, SourceOptions::default()).expect("a source");
        let snapshot = self.snapshots.write_source(resource, &source).await.expect("a snapshot");
        let columns = ["id", "person", "kind", "amount"];
        let governance = Governance {
            name: "visits".to_owned(),
            columns: columns.map(|name| (column_name(name), lingqu_domain::scope::Precision::Exact)).to_vec(),
            rows: Vec::new(),
            consent: None,
            keys: PseudonymKeys::default(),
            marks: None,
        };
        let table = GovernedTable::new(snapshot.files, &governance).expect("a table");
        let state = self.engine.governed_state(2);
        register(&state, "visits", table.provider(HiddenColumns::None)).expect("registered");
        let granted = Granted::from([("visits".to_owned(), table.column_names())]);
        let plan = allow::plan(&state, sql, &granted).await.expect("an allowed statement");
        let question = Question::of(&state, &plan, rules).expect("a question");
        let limits = Limits::default();
        let task = self.engine.task(&state, limits.memory_bytes_max, &RowsLeft::default()).expect("a task");
        let deadline = Instant::now() + Duration::from_secs(60);
        let within = (&limits, deadline);
        let groups = public::groups(&self.engine, &state, &task, &question, rules, &table, within).await;
        let groups = groups.expect("groups");
        let running = Running { engine: &self.engine, state: &state, task: &task, limits: &limits, deadline };
        let exact = parts(&running, &question, rules, &table, &groups).await.expect("exact parts");
        (question, exact)
    }
}

fn column_name(name: &str) -> ColumnName {
    ColumnName::new(name).expect("a name")
}

fn rules(rows: u32, subject: Option<&str>) -> NoisedRules {
    let amount = MeasureBounds {
        lower: (-10).into(),
        upper: 50.into(),
        step: 1.into(),
        candidates: vec![(-10).into(), 0.into(), 3.into(), 40.into()],
    };
    let kinds = ["a", "b", "c"].map(|kind| Literal::Text(kind.to_owned())).to_vec();
    NoisedRules {
        dimensions: BTreeSet::from([column_name("kind")]),
        noise: NoiseRules {
            rho: "1".parse().expect("an amount"),
            rows_per_subject_max: rows,
            measures: BTreeMap::from([(column_name("amount"), amount)]),
            domains: BTreeMap::from([(column_name("kind"), kinds)]),
        },
        contributors: Contributors {
            key: vec![column_name("id")],
            subject: subject.map(column_name),
            digest_key: [3; 16],
        },
        context: String::new(),
        ledger: Arc::new(Nobody),
    }
}

/// The Euclidean distance squared, and the sum of distances.
fn distances(one: &[i64], other: &[i64]) -> (u64, u64) {
    let differences = one.iter().zip(other).map(|(one, other)| one.abs_diff(*other));
    differences.fold((0, 0), |(squares, sum), difference| (squares + difference * difference, sum + difference))
}

const SQL: [&str; 2] = [
    "select kind, count(*), count(amount), count(distinct amount), sum(amount), median(amount) from visits group by kind",
    "select count(*), count(amount), count(distinct amount), sum(amount), median(amount) from visits where kind <> 'c'",
];

#[tokio::test]
async fn one_person_moves_no_part_further_than_is_noised_for() {
    let place = Place::new();
    let mut farthest: BTreeMap<Part, u64> = BTreeMap::new();
    for seed in 0..40_u64 {
        let mut dice = Dice(seed);
        let all = visits(&mut dice);
        let rows = [1, 2, 5][usize::try_from(dice.below(3)).expect("small")];
        // By subjects, and each row for itself: then the neighbour lacks one row.
        let (rules, without): (NoisedRules, Vec<Visit>) = if seed % 4 == 3 {
            (rules(1, None), all.iter().filter(|visit| visit.id != 7).cloned().collect())
        } else {
            (rules(rows, Some("person")), all.iter().filter(|visit| visit.person != Some(0)).cloned().collect())
        };
        let rows = rules.noise.rows_per_subject_max;
        for (number, sql) in SQL.iter().enumerate() {
            let (question, with) = place.exact(&format!("res_{seed}_{number}_with"), &all, sql, &rules).await;
            let (_, without) = place.exact(&format!("res_{seed}_{number}_without"), &without, sql, &rules).await;
            for (part, numbers) in &with.numbers {
                let (squares, sum) = distances(numbers, &without.numbers[part]);
                let most = Exact::sensitivity(part, rows, &question);
                assert!(
                    squares <= most * most,
                    "seed {seed}, {sql}, {part:?}: {numbers:?} {:?}",
                    without.numbers[part]
                );
                let seen = farthest.entry(part.clone()).or_default();
                *seen = (*seen).max(sum);
            }
            for (part, groups) in &with.positions {
                let mut moved = 0;
                for (one, other) in groups.iter().zip(&without.positions[part]) {
                    moved += one.iter().zip(other).map(|(one, other)| one.abs_diff(*other)).sum::<u64>();
                }
                assert!(moved <= u64::from(rows), "seed {seed}, {sql}, {part:?}");
            }
        }
    }
    // The bounds are reached, so the test would see them exceeded: five rows of one person, and the furthest value of each.
    assert_eq!(farthest[&Part::Rows], 5);
    assert!(farthest[&Part::Sum(column_name("amount"))] > 50, "{farthest:?}");
}

/// The same choice of a person's rows every time, whoever else there is.
#[tokio::test]
async fn a_persons_rows_are_chosen_by_themselves() {
    let place = Place::new();
    let all = visits(&mut Dice(4));
    let own: Vec<Visit> = all.iter().filter(|visit| visit.person == Some(0)).cloned().collect();
    assert!(own.len() > 5, "the bound bites");
    let rules = rules(3, Some("person"));
    let others: Vec<Visit> = all.iter().filter(|visit| visit.person != Some(0)).cloned().collect();
    let (_, alone) = place.exact("res_alone", &own, SQL[0], &rules).await;
    let (_, with) = place.exact("res_with", &all, SQL[0], &rules).await;
    let (_, without) = place.exact("res_without", &others, SQL[0], &rules).await;
    for part in [Part::Rows, Part::Sum(column_name("amount"))] {
        for group in 0..3 {
            let difference = with.numbers[&part][group] - without.numbers[&part][group];
            assert_eq!(difference, alone.numbers[&part][group], "{part:?}");
        }
    }
}
