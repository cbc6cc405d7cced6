//! Tables taken in as jobs of a node: by connections of its configuration, going on where the last reading stopped.

use lingqu_app::{ConnectionSetting, ConnectionTarget};
use lingqu_domain::command::Command;
use lingqu_domain::id::ResourceId;
use lingqu_domain::resource::{Column, DataType, Grade, ResourceDetails};
use lingqu_domain::scope::ColumnName;
use lingqu_engine::postgres::TableAddress;
use lingqu_engine::snapshot::{Ingest, IngestControl, SnapshotStore};
use lingqu_engine::source::{Source, SourceOptions};
use lingqu_engine::table_source::{Increment, TableReference};
use lingqu_store::ingestion::{IngestionBegun, NewIngestion};
use lingqu_tests::scenario::{Scenario, Who};
use zeroize::Zeroizing;

use crate::Department;

fn name(text: &str) -> ColumnName {
    ColumnName::new(text).unwrap()
}

fn details(table: &str, columns: &[(&str, DataType)]) -> ResourceDetails {
    let columns = columns.iter().map(|(column, data_type)| Column {
        name: name(column),
        data_type: *data_type,
        meaning: "测试".to_owned(),
        grade: Grade::General1,
    });
    ResourceDetails {
        table: name(table),
        columns: columns.collect(),
        key: vec![name("id")],
        ..Scenario::fleet_details()
    }
}

async fn draft(scenario: &Scenario, details: ResourceDetails) -> ResourceId {
    let draft = Command::DraftResource { details: Box::new(details) };
    scenario.give(scenario.clerk(Who::Provider), draft, "resource.drafted").await
}

fn connect(scenario: &Scenario, connections: Vec<(&str, Who, ConnectionTarget)>) {
    let settings = connections.into_iter().map(|(name, who, target)| {
        (name.parse().unwrap(), ConnectionSetting { provider: scenario.party(who).clone(), target })
    });
    scenario.app.set_connections(settings.collect()).unwrap();
}

fn database(url: &str) -> ConnectionTarget {
    ConnectionTarget::Database(Zeroizing::new(url.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_taken_in_again_from_where_the_last_job_stopped() {
    let Some(department) = Department::new().await else {
        assert!(std::env::var_os("CI").is_none(), "continuous integration has a PostgreSQL");
        return;
    };
    department
        .run(
            "CREATE TABLE public.events (id int PRIMARY KEY, note text, changed_at timestamptz);
             INSERT INTO public.events SELECT i, 'x', '2024-01-01Z' FROM generate_series(1, 20000) i",
        )
        .await;
    let scenario = Scenario::open(None, 10).await;
    connect(
        &scenario,
        vec![
            ("civil", Who::Provider, database(&department.url)),
            ("elsewhere", Who::Competent, database(&department.url)),
        ],
    );
    let clerk = scenario.clerk(Who::Provider);
    let columns = [("id", DataType::Integer), ("note", DataType::Text), ("changed_at", DataType::Timestamp)];
    let resource = draft(&scenario, details("events", &columns)).await;
    let reference = |connection: &str| TableReference::Postgres {
        connection: connection.parse().unwrap(),
        table: TableAddress::new("public", "events").unwrap(),
        increment: Some(Increment { watermark: name("changed_at"), key: vec![name("id")], overlap: 0 }),
    };
    for connection in ["elsewhere", "nowhere"] {
        let error = scenario.app.import_table(clerk, &resource, reference(connection), false).await.unwrap_err();
        assert_eq!(error.problem().code, "not_found", "{error}");
    }
    let first = scenario.app.import_table(clerk, &resource, reference("civil"), false).await.unwrap();
    assert_eq!((first.version, first.rows), (0, 20_000));

    department
        .run(
            "UPDATE public.events SET note = 'y', changed_at = '2024-02-01Z' WHERE id <= 10;
             INSERT INTO public.events VALUES (30000, 'late', '2024-01-01Z'), (30001, 'new', '2024-02-01Z')",
        )
        .await;
    let second = scenario.app.import_table(clerk, &resource, reference("civil"), false).await.unwrap();
    assert_eq!((second.version, second.rows), (1, 20_002));
    let jobs = scenario.app.ingestions(None, Some("committed"), None, 10).await.unwrap();
    let job = jobs.iter().find(|job| job.snapshot.as_ref().is_some_and(|snapshot| snapshot.id == second.id)).unwrap();
    let position = job.outcome.position.clone().unwrap();
    assert!(position.starts_with("timestamp:"), "{position}");
    assert!(!job.source_name.contains("postgres://") && job.source_name.contains("civil"), "{}", job.source_name);

    // What differs is told at once, and nothing is recorded.
    department.run("ALTER TABLE public.events ADD COLUMN extra int; ALTER TABLE public.events DROP COLUMN note").await;
    let error = scenario.app.import_table(clerk, &resource, reference("civil"), false).await.unwrap_err();
    assert!(error.to_string().contains("`note`") && error.to_string().contains("`extra`"), "{error}");
    let newest = scenario.app.read(|state| state.resources[&resource].value.snapshot.clone()).unwrap();
    assert_eq!(newest.id, second.id);
}

/// A process died after it had written a version and before that was recorded: the table is read anew, what is recorded is that
/// reading, and nothing of the other one stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_read_anew_after_a_crash_and_nothing_is_left_over() {
    let Some(department) = Department::new().await else {
        assert!(std::env::var_os("CI").is_none(), "continuous integration has a PostgreSQL");
        return;
    };
    let filled = "CREATE TABLE public.events (id int PRIMARY KEY, note text);
                  INSERT INTO public.events SELECT i, 'new' FROM generate_series(1, 500) i";
    department.run(filled).await;
    let scenario = Scenario::open(None, 10).await;
    connect(&scenario, vec![("civil", Who::Provider, database(&department.url))]);
    let app = &scenario.app;
    let columns = [("id", DataType::Integer), ("note", DataType::Text)];
    let resource = draft(&scenario, details("events", &columns)).await;
    let reference = TableReference::Postgres {
        connection: "civil".parse().unwrap(),
        table: TableAddress::new("public", "events").unwrap(),
        increment: None,
    };
    let id = format!("ing_{:032x}", 7);
    let new = NewIngestion {
        id: id.clone(),
        resource: resource.to_string(),
        actor: scenario.clerk(Who::Provider).to_string(),
        source_name: "civil public.events".to_owned(),
        source_digest: "d".to_owned(),
        options_digest: "o".to_owned(),
        request: serde_json::json!({ "source": { "kind": "table", "reference": reference }, "options": {} })
            .to_string(),
        bytes_total: 0,
        created_at: "2026-03-01T00:00:00Z".to_owned(),
    };
    assert_eq!(app.store().begin_ingestion(&new, 9, |_| true).await.unwrap(), IngestionBegun::Queued);
    assert!(app.store().start_ingestion(&id, "2026-03-01T00:00:01Z").await.unwrap());
    std::fs::create_dir_all(app.directory().join("ingestions").join(&id)).unwrap();
    // What the process wrote: a version of an earlier state, and a part of a reading before that.
    let snapshots = app.directory().join("snapshots");
    let file = scenario.directory().join("earlier.csv");
    std::fs::write(&file, "id,note\n1,old\n2,old\n").unwrap();
    let earlier = Ingest::File(Source::open(&file, SourceOptions::default()).unwrap());
    let store = SnapshotStore::open(&snapshots).unwrap();
    let lost = store.ingest(resource.as_str(), &format!("{id}-1"), earlier, IngestControl::default()).await.unwrap();
    assert_eq!((lost.version, lost.rows), (0, 2));
    let parts = snapshots.join(resource.as_str());
    std::fs::write(parts.join(format!("{id}-0-00000-left.parquet")), "left").unwrap();

    app.sweep_uploads().await.unwrap();
    assert_eq!(app.resume_ingestions().await.unwrap(), 1);
    let id = id.parse().unwrap();
    let begun = std::time::Instant::now();
    let job = loop {
        let job = app.ingestion(&id).await.unwrap();
        if job.ended_at.is_some() && !app.directory().join("ingestions").join(id.as_str()).exists() {
            break job;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(120), "{job:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let snapshot = job.snapshot.unwrap();
    assert_eq!((job.state.as_str(), job.attempts, snapshot.version, snapshot.rows), ("committed", 2, 1, 500));
    let names = std::fs::read_dir(&parts).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let names: Vec<_> = names.filter(|name| name.contains(id.as_str())).collect();
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with(&format!("{id}-2-"))), "{names:?}");
    // The next reading goes on from there.
    let next = app.import_table(scenario.clerk(Who::Provider), &resource, reference, false).await.unwrap();
    assert_eq!((next.version, next.rows), (2, 500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_version_of_a_delta_table_is_taken_in_once() {
    let scenario = Scenario::open(None, 10).await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/engine/tests/engine/fixtures/tables");
    connect(&scenario, vec![("lake", Who::Provider, ConnectionTarget::Folder(folder))]);
    let clerk = scenario.clerk(Who::Provider);
    let columns = [
        ("id", DataType::Integer),
        ("name", DataType::Text),
        ("city", DataType::Text),
        ("amount", DataType::Decimal),
        ("born", DataType::Date),
        ("seen", DataType::Timestamp),
        ("score", DataType::Float),
        ("active", DataType::Boolean),
    ];
    let resource = draft(&scenario, details("lake_people", &columns)).await;
    let delta = |version| TableReference::Delta {
        connection: "lake".parse().unwrap(),
        directory: "delta/people".to_owned(),
        version,
    };
    let first = scenario.app.import_table(clerk, &resource, delta(Some(0)), false).await.unwrap();
    assert_eq!((first.version, first.rows), (0, 6));
    let again = scenario.app.submit_table(clerk, &resource, delta(Some(0)), false).await.unwrap();
    assert!(!again.is_new && again.job.snapshot.unwrap().id == first.id);
    let newest = scenario.app.import_table(clerk, &resource, delta(None), false).await.unwrap();
    assert_eq!((newest.version, newest.rows), (1, 7));
    // The newest by its number is the same.
    assert!(!scenario.app.submit_table(clerk, &resource, delta(Some(2)), false).await.unwrap().is_new);
    let outside = TableReference::Delta {
        connection: "lake".parse().unwrap(),
        directory: "../tables/delta/people".to_owned(),
        version: None,
    };
    let error = scenario.app.import_table(clerk, &resource, outside, false).await.unwrap_err();
    assert!(error.to_string().contains("without `..`"), "{error}");
}
