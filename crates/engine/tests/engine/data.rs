//! The data that the tests share: 1,000 people of two tenants. Tenant `b`, every tenth row, holds values that make
//! casts and divisions fail, so that any evaluation on its rows shows.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::scope::{ColumnName, Precision};
use lingqu_engine::consent::ConsentSet;
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::session::{AnswerShape, GovernedSession};
use lingqu_engine::snapshot::{Snapshot, SnapshotStore};
use lingqu_engine::source::{DeclaredColumn, Source, SourceOptions};
use lingqu_engine::{ColumnType, Engine, EngineError, EngineSettings, Limits, PseudonymKeys};
use roaring::RoaringTreemap;
use tempfile::TempDir;

pub const PEOPLE: i64 = 1_000;

/// An engine with its directories.
pub struct Place {
    pub directory: TempDir,
    pub engine: Arc<Engine>,
    pub snapshots: SnapshotStore,
}

impl Place {
    pub fn new() -> Place {
        let directory = TempDir::new().expect("a temporary directory");
        let settings = EngineSettings::moderate(directory.path().join("spill"));
        let engine = Arc::new(Engine::new(&settings).expect("the engine starts"));
        let snapshots = SnapshotStore::open(&directory.path().join("snapshots")).expect("the store opens");
        Place { directory, engine, snapshots }
    }

    pub fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, contents).expect("a file is written");
        path
    }

    pub async fn snapshot(&self, resource: &str, csv: &str) -> Snapshot {
        let path = self.file(&format!("{resource}.csv"), csv);
        let source = Source::open(&path, SourceOptions::default()).expect("the source is good");
        self.snapshots.write_source(resource, &source).await.expect("the snapshot is written")
    }

    pub async fn people(&self) -> Snapshot {
        let path = self.file("people.csv", &people_csv());
        let mut declared = Vec::new();
        for (column, column_type) in PEOPLE_TYPES {
            declared.push(DeclaredColumn {
                header: (*column).to_owned(),
                aliases: Vec::new(),
                name: name(column),
                column_type: *column_type,
            });
        }
        let options = SourceOptions { declared: Some(declared), ..SourceOptions::default() };
        let source = Source::open(&path, options).expect("the source is good");
        self.snapshots.write_source("res_people", &source).await.expect("the snapshot is written")
    }

    pub fn session(&self, tables: &[Arc<GovernedTable>]) -> GovernedSession {
        GovernedSession::new(&self.engine, tables, Limits::default(), AnswerShape::Rows).expect("a session")
    }
}

const PEOPLE_TYPES: &[(&str, ColumnType)] = &[
    ("id", ColumnType::Integer),
    ("tenant", ColumnType::Text),
    ("code", ColumnType::Text),
    ("divisor", ColumnType::Integer),
    ("salary", ColumnType::Integer),
    ("division", ColumnType::Text),
    ("born", ColumnType::Date),
    ("balance", ColumnType::Decimal { precision: 12, scale: 2 }),
    ("score", ColumnType::Float),
    ("active", ColumnType::Boolean),
];

/// Tenant `b` owns the ids that end in 0; their code is no number and their divisor is 0.
pub fn people_csv() -> String {
    let mut csv = String::from("id,tenant,code,divisor,salary,division,born,balance,score,active\n");
    for id in 0..PEOPLE {
        let hidden = id % 10 == 0;
        let (tenant, divisor) = if hidden { ("b", 0) } else { ("a", 1 + id % 7) };
        let code = if hidden { format!("S{id:05}-secret") } else { id.to_string() };
        let division = ["450102", "450103", "450202", "450305"][usize::try_from(id % 4).expect("small")];
        let (year, month, day) = (1960 + id % 40, 1 + id % 12, 1 + id % 28);
        let score = if id % 9 == 0 { String::new() } else { format!("{}.5", id % 100) };
        csv.push_str(&format!(
            "{id},{tenant},{code},{divisor},{},{division},{year}-{month:02}-{day:02},{}.{:02},{score},{}\n",
            3_000 + id * 3,
            id,
            id % 100,
            id % 2 == 0,
        ));
    }
    csv
}

pub fn name(column: &str) -> ColumnName {
    ColumnName::new(column).expect("a column name")
}

pub fn equals(column: &str, text: &str) -> Predicate {
    Predicate::Compare { column: name(column), comparison: Comparison::Equal, value: Literal::Text(text.to_owned()) }
}

pub fn keys() -> PseudonymKeys {
    PseudonymKeys { permit: Some([1; 32]), consumer: Some([2; 32]), order: Some([3; 32]) }
}

/// A governed table `people` with columns at precisions, where tenant is `a`.
pub fn tenant_a(snapshot: &Snapshot, columns: &[(&str, &str)]) -> Arc<GovernedTable> {
    let governance = governance("people", columns, vec![equals("tenant", "a")], None);
    GovernedTable::new(Arc::clone(&snapshot.files), &governance).expect("a governed table")
}

pub fn governance(
    table: &str,
    columns: &[(&str, &str)],
    rows: Vec<Predicate>,
    consent: Option<Arc<ConsentSet>>,
) -> Governance {
    let mut governed = Vec::new();
    for (column, precision) in columns {
        let precision: Precision = precision.parse().expect("a precision");
        governed.push((name(column), precision));
    }
    Governance { name: table.to_owned(), columns: governed, rows, consent, keys: keys(), marks: None }
}

pub const ALL_EXACT: &[(&str, &str)] = &[
    ("id", "exact"),
    ("tenant", "exact"),
    ("code", "exact"),
    ("divisor", "exact"),
    ("salary", "exact"),
    ("division", "exact"),
    ("born", "exact"),
    ("balance", "exact"),
    ("score", "exact"),
    ("active", "exact"),
];

pub async fn batches(session: &GovernedSession, sql: &str) -> Result<Vec<RecordBatch>, EngineError> {
    Ok(session.query(sql).await?.collect().await?.0)
}

/// The answer as text, one line a row, cells joined by `|`.
pub async fn rows(session: &GovernedSession, sql: &str) -> Vec<String> {
    let batches = batches(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    text_rows(&batches)
}

pub fn text_rows(batches: &[RecordBatch]) -> Vec<String> {
    if batches.is_empty() {
        return Vec::new();
    }
    let table = pretty_format_batches(batches).expect("the answer prints").to_string();
    let mut rows = Vec::new();
    for line in table.lines().filter(|line| line.starts_with('|')).skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        rows.push(cells.join("|"));
    }
    rows
}

/// Rows left of the only table.
pub async fn left(session: &GovernedSession, sql: &str) -> RoaringTreemap {
    let answer = session.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let (_, left) = answer.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    left.into_values().next().unwrap_or_default()
}

pub fn claim(values: &[(&str, Literal)]) -> BTreeMap<String, Option<Literal>> {
    values.iter().map(|(column, value)| ((*column).to_owned(), Some(value.clone()))).collect()
}

/// Numbers that follow from a seed (xorshift64*, Vigna 2016).
pub struct Numbers(pub u64);

impl Numbers {
    /// One of 0 to `limit` less one.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}
