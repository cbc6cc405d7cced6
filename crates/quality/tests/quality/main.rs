//! The quality room against the real engine: small tables whose counts are known by hand, and the real data of the
//! demo whose counts were taken by `demo/data/count.py` with Python's csv module.

mod declared;
mod real;
mod small;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use lingqu_engine::snapshot::SnapshotStore;
use lingqu_engine::source::{Source, SourceOptions};
use lingqu_engine::{Engine, EngineSettings, Limits, TableFiles};
use lingqu_quality::{Finding, QualityError, Report, RuleSet, run};

/// A node's engine with some tables, in a directory that goes when it is dropped.
struct Bench {
    directory: tempfile::TempDir,
    engine: Arc<Engine>,
    tables: Vec<(String, Arc<TableFiles>)>,
}

impl Bench {
    fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).unwrap();
        Bench { directory, engine: Arc::new(engine), tables: Vec::new() }
    }

    /// Imports a CSV given as text.
    async fn table(&mut self, name: &str, csv: &str) {
        let path = self.directory.path().join(format!("{name}.csv"));
        fs::write(&path, csv).unwrap();
        self.import(name, &path, &[]).await;
    }

    /// Imports a file as a snapshot; `null_tokens` are what it writes for a missing value.
    async fn import(&mut self, name: &str, path: &Path, null_tokens: &[&str]) {
        let null_tokens = null_tokens.iter().map(|token| (*token).to_owned()).collect();
        let source = Source::open(path, SourceOptions { null_tokens, ..SourceOptions::default() }).unwrap();
        let store = SnapshotStore::open(&self.directory.path().join("snapshots")).unwrap();
        let snapshot = store.write_source(name, &source).await.unwrap();
        self.tables.push((name.to_owned(), snapshot.files));
    }

    async fn run(&self, rule_set: &RuleSet, now: &str) -> Result<Report, QualityError> {
        let tables: Vec<(&str, Arc<TableFiles>)> =
            self.tables.iter().map(|(name, files)| (name.as_str(), Arc::clone(files))).collect();
        let now: Timestamp = now.parse().unwrap();
        run(&self.engine, &tables, Limits::default(), rule_set, now, &mut |_| {}).await
    }
}

fn by_rule(report: &Report) -> BTreeMap<&str, &Finding> {
    report.findings.iter().map(|finding| (finding.rule.as_str(), finding)).collect()
}
