//! The synthetic strand through the real engine: its quality findings are the planted ones, and the product's SQL
//! answers for every driver what was planted.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::date;
use lingqu_engine::internal::internal_session;
use lingqu_engine::lineage::describe;
use lingqu_engine::snapshot::SnapshotStore;
use lingqu_engine::source::{Source, SourceOptions};
use lingqu_engine::{Engine, EngineSettings, Limits, TableFiles};

use super::drivers::{Request, TAXI_CHECK_SQL, generate};
use super::{rules, write_real};

#[tokio::test]
async fn the_planted_defects_and_the_planted_truth_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Arc::new(Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).unwrap());
    let store = SnapshotStore::open(&directory.path().join("snapshots")).unwrap();
    let sources = directory.path().join("sources");
    let strand = generate(&Request::standard(1, date(2026, 11, 24))).unwrap();
    let mut files = strand.write(&sources).unwrap();
    files.extend(write_real(&sources).unwrap().into_iter().filter(|file| file.table == "divisions_statistical"));

    let mut tables: Vec<(String, Arc<TableFiles>)> = Vec::new();
    let mut schemas = Vec::new();
    for file in &files {
        let source = Source::open(&file.path, SourceOptions::default()).unwrap();
        let snapshot = store.write_source(&file.table, &source).await.unwrap();
        schemas.push((file.table.clone(), snapshot.schema.clone()));
        tables.push((file.table.clone(), snapshot.files));
    }
    let tables: Vec<(&str, Arc<TableFiles>)> =
        tables.iter().map(|(name, files)| (name.as_str(), Arc::clone(files))).collect();

    let now = "2026-11-24T04:00:00Z".parse().unwrap();
    let set = rules::drivers().unwrap();
    let report = lingqu_quality::run(&engine, &tables, Limits::default(), &set, now, &mut |_| {}).await.unwrap();
    for finding in &report.findings {
        let planted = match finding.rule.as_str() {
            "drivers.home.present" => strand.home_missing_count,
            "offences.division_code.registered" => strand.retired_division_count,
            _ => 0,
        };
        assert_eq!(finding.failing_count, planted as u64, "{}", finding.rule);
    }

    let session = internal_session(&engine, &tables, Limits::default()).unwrap();
    let answer = session
        .query(&format!("SELECT driver_id, CASE WHEN qualified THEN 1 ELSE 0 END AS q FROM ({TAXI_CHECK_SQL})"))
        .await
        .unwrap();
    let mut qualified = BTreeMap::new();
    for batch in &answer {
        let ids = arrow::array::AsArray::as_string::<i32>(batch.column(0));
        let flags = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batch.column(1));
        for (id, flag) in ids.iter().zip(flags.iter()) {
            let before = qualified.insert(id.unwrap().to_owned(), flag.unwrap() == 1);
            assert_eq!(before, None, "one row per driver");
        }
    }
    assert_eq!(qualified.len(), strand.truth.len());
    for truth in &strand.truth {
        assert_eq!(qualified[&truth.driver_id], truth.qualifies(), "{}", truth.driver_id);
    }

    // The same text passes the allow-list and the lineage of products.
    let shape = describe(&engine, TAXI_CHECK_SQL, &schemas).await.unwrap();
    let names: Vec<&str> = shape.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["driver_id", "id_number", "name", "licence_class", "qualified"]);
    assert!(shape.columns[4].computed && !shape.columns[1].computed);
}

#[test]
fn the_rule_sets_of_the_real_strands_can_be_read() {
    assert_eq!(rules::flights().unwrap().rules.len(), 43);
    assert_eq!(rules::divisions().unwrap().rules.len(), 13);
}
