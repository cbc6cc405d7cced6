//! Tables taken in as jobs of a node: by connections of its configuration, going on where the last reading stopped.

use lingqu_app::{ConnectionSetting, ConnectionTarget, IngestionView, TableOptions};
use lingqu_domain::command::Command;
use lingqu_domain::id::ResourceId;
use lingqu_domain::resource::{Column, DataType, Grade, ResourceDetails};
use lingqu_domain::scope::ColumnName;
use lingqu_engine::postgres::TableAddress;
use lingqu_engine::snapshot::{Ingest, IngestControl, SnapshotStore};
use lingqu_engine::source::{Reject, RejectLimit, RejectReason, Source, SourceOptions};
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
    let Some(department) = Department::new().await else { return };
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
        let error = scenario
            .app
            .import_table(clerk, &resource, reference(connection), TableOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.problem().code, "not_found", "{error}");
    }
    let first = scenario.app.import_table(clerk, &resource, reference("civil"), TableOptions::default()).await.unwrap();
    assert_eq!((first.version, first.rows), (0, 20_000));

    department
        .run(
            "UPDATE public.events SET note = 'y', changed_at = '2024-02-01Z' WHERE id <= 10;
             INSERT INTO public.events VALUES (30000, 'late', '2024-01-01Z'), (30001, 'new', '2024-02-01Z')",
        )
        .await;
    let second =
        scenario.app.import_table(clerk, &resource, reference("civil"), TableOptions::default()).await.unwrap();
    assert_eq!((second.version, second.rows), (1, 20_002));
    let jobs = scenario.app.ingestions(None, Some("committed"), None, 10).await.unwrap();
    let job = jobs.iter().find(|job| job.snapshot.as_ref().is_some_and(|snapshot| snapshot.id == second.id)).unwrap();
    let position = job.outcome.position.clone().unwrap();
    assert!(position.starts_with("timestamp:"), "{position}");
    assert!(!job.source_name.contains("postgres://") && job.source_name.contains("civil"), "{}", job.source_name);

    // What differs is told at once, and nothing is recorded.
    department.run("ALTER TABLE public.events ADD COLUMN extra int; ALTER TABLE public.events DROP COLUMN note").await;
    let error =
        scenario.app.import_table(clerk, &resource, reference("civil"), TableOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("`note`") && error.to_string().contains("`extra`"), "{error}");
    let newest = scenario.app.read(|state| state.resources[&resource].value.snapshot.clone()).unwrap();
    assert_eq!(newest.id, second.id);
}

/// A process died after it had written a version and before that was recorded: the table is read anew, what is recorded is that
/// reading, and nothing of the other one stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_read_anew_after_a_crash_and_nothing_is_left_over() {
    let Some(department) = Department::new().await else { return };
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
    // Nothing has changed since: the next reading is of the same snapshot.
    let next = app.import_table(scenario.clerk(Who::Provider), &resource, reference, TableOptions::default());
    assert_eq!(next.await.unwrap().id, snapshot.id);
}

/// A table of the connection `civil`.
fn table(name: &str, increment: Option<Increment>) -> TableReference {
    TableReference::Postgres {
        connection: "civil".parse().unwrap(),
        table: TableAddress::new("public", name).unwrap(),
        increment,
    }
}

/// A node whose provider has one resource, taken from the database.
async fn node(department: &Department, columns: &[(&str, DataType)]) -> (Scenario, ResourceId) {
    let scenario = Scenario::open(None, 10).await;
    connect(&scenario, vec![("civil", Who::Provider, database(&department.url))]);
    let resource = draft(&scenario, details("events", columns)).await;
    (scenario, resource)
}

/// The newest job.
async fn newest_job(scenario: &Scenario) -> IngestionView {
    scenario.app.ingestions(None, None, None, 1).await.unwrap().remove(0)
}

/// A file of the node's machine that is written to while its job waits or reads is not what the snapshot would say that it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_changed_after_it_was_submitted_is_refused() {
    let scenario = Scenario::open(None, 10).await;
    let app = &scenario.app;
    let columns = [("id", DataType::Integer), ("note", DataType::Text)];
    let resource = draft(&scenario, details("lines", &columns)).await;
    let file = scenario.directory().join("lines.csv");
    std::fs::write(&file, "id,note\n1,x\n2,late\n").unwrap();
    let id = format!("ing_{:032x}", 7);
    let new = NewIngestion {
        id: id.clone(),
        resource: resource.to_string(),
        actor: scenario.clerk(Who::Provider).to_string(),
        source_name: "lines.csv".to_owned(),
        source_digest: "of the file without its last line".to_owned(),
        options_digest: "o".to_owned(),
        request: serde_json::json!({ "source": { "kind": "path", "path": file }, "options": {} }).to_string(),
        bytes_total: 1,
        created_at: "2026-03-01T00:00:00Z".to_owned(),
    };
    // It waits for its turn, and was never begun before.
    assert_eq!(app.store().begin_ingestion(&new, 9, |_| true).await.unwrap(), IngestionBegun::Queued);
    std::fs::create_dir_all(app.directory().join("ingestions").join(&id)).unwrap();
    assert_eq!(app.resume_ingestions().await.unwrap(), 1);
    let begun = std::time::Instant::now();
    let job = loop {
        let job = app.ingestion(&id.parse().unwrap()).await.unwrap();
        if job.ended_at.is_some() {
            break job;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(120), "{job:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!((job.state.as_str(), job.attempts), ("failed", 1));
    let failure = job.outcome.failure.unwrap().detail_en;
    assert!(failure.contains("was changed after the ingestion was submitted"), "{failure}");
    assert!(job.snapshot.is_none());
    assert!(app.read(|state| state.resources[&resource].value.snapshot.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_holds_the_same_makes_no_new_snapshot() {
    let Some(department) = Department::new().await else { return };
    department
        .run(
            "CREATE TABLE public.events (id int PRIMARY KEY, note text, changed_at timestamptz);
             INSERT INTO public.events SELECT i, 'x' || i, '2024-01-01Z' FROM generate_series(1, 20000) i",
        )
        .await;
    let columns = [("id", DataType::Integer), ("note", DataType::Text), ("changed_at", DataType::Timestamp)];
    let increment = Increment { watermark: name("changed_at"), key: vec![name("id")], overlap: 0 };
    for increment in [None, Some(increment)] {
        let (scenario, resource) = node(&department, &columns).await;
        let clerk = scenario.clerk(Who::Provider);
        let take =
            || scenario.app.import_table(clerk, &resource, table("events", increment.clone()), TableOptions::default());
        let first = take().await.unwrap();
        assert!(!newest_job(&scenario).await.outcome.is_unchanged);
        // The same rows lie in another order: half of them are written again behind the others.
        department.run("UPDATE public.events SET note = note WHERE id % 2 = 0").await;
        let again = take().await.unwrap();
        assert_eq!(again, first);
        let job = newest_job(&scenario).await;
        assert!(job.outcome.is_unchanged && job.state == "committed", "{job:?}");
        assert_eq!(job.snapshot.unwrap().id, first.id);
        let versions = std::fs::read_dir(scenario.app.directory().join("snapshots").join(resource.as_str())).unwrap();
        let files = versions.flatten().filter(|entry| entry.path().is_file()).count();
        assert_eq!(files, 1, "what was read a second time is not kept");
        department.run("UPDATE public.events SET note = 'y', changed_at = '2024-01-02Z' WHERE id = 7").await;
        let changed = take().await.unwrap();
        assert_eq!((changed.version, changed.rows), (1, 20_000));
        assert_ne!(changed.digest, first.digest);
        department.run("UPDATE public.events SET note = 'x7', changed_at = '2024-01-01Z' WHERE id = 7").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_database_that_do_not_fit_are_left_out_and_told() {
    let Some(department) = Department::new().await else { return };
    department
        .run(
            "CREATE TABLE public.events (id int PRIMARY KEY, amount numeric, score float8, day date, extra text);
             INSERT INTO public.events SELECT i, i, i, '2024-01-01' FROM generate_series(1, 1000) i;
             UPDATE public.events SET amount = 4.1234567 WHERE id = 10;
             UPDATE public.events SET amount = 'NaN', day = 'infinity' WHERE id = 20;
             UPDATE public.events SET score = 'NaN' WHERE id = 30;
             UPDATE public.events SET score = '-Infinity' WHERE id = 40",
        )
        .await;
    let columns =
        [("id", DataType::Integer), ("score", DataType::Float), ("amount", DataType::Decimal), ("day", DataType::Date)];
    let (scenario, resource) = node(&department, &columns).await;
    let clerk = scenario.clerk(Who::Provider);
    let take = async |rows_max, per_mille_max| {
        let options = TableOptions { ignore_extra_columns: true, rejects: RejectLimit { rows_max, per_mille_max } };
        scenario.app.import_table(clerk, &resource, table("events", None), options).await
    };
    let error = take(0, 1_000).await.unwrap_err().to_string();
    assert!(error.contains("row 10") && error.contains("`amount`") && !error.contains("4.12"), "{error}");
    for limits in [(3, 1_000), (100, 3)] {
        let error = take(limits.0, limits.1).await.unwrap_err().to_string();
        assert!(error.contains("4 of ") && error.contains("do not fit"), "{error}");
    }
    assert!(take(100_001, 1_000).await.is_err(), "more than anybody may allow");
    let snapshot = take(4, 4).await.unwrap();
    assert_eq!(snapshot.rows, 996);
    let job = newest_job(&scenario).await;
    assert_eq!((job.rows_read, job.rows_rejected), (1_000, 4));
    let drift = job.outcome.drift.unwrap();
    assert!(drift.added == ["extra"] && drift.reordered, "{drift}");
    let text = std::fs::read_to_string(scenario.app.rejects_of(&job.id).unwrap()).unwrap();
    let told: Vec<Reject> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        told.iter().map(|reject| (reject.line, reject.column.as_deref().unwrap(), reject.reason)).collect();
    let wrong = RejectReason::WrongType;
    assert_eq!(
        told,
        [(10, "amount", wrong), (20, "amount", wrong), (20, "day", wrong), (30, "score", wrong), (40, "score", wrong)]
    );
    assert!(!text.contains("4.12"), "{text}");
}

/// The database closes the connection while a table is read. The job is not lost: it says what it waits for, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_database_is_away_waits_and_goes_on() {
    let Some(department) = Department::new().await else { return };
    department
        .run(
            "CREATE TABLE public.kept (id int PRIMARY KEY, note text);
             INSERT INTO public.kept SELECT i, 'x' FROM generate_series(1, 500) i;
             CREATE VIEW public.events AS SELECT id, note FROM public.kept CROSS JOIN (SELECT pg_sleep(300)) AS s",
        )
        .await;
    let columns = [("id", DataType::Integer), ("note", DataType::Text)];
    let (scenario, resource) = node(&department, &columns).await;
    let (app, clerk) = (&scenario.app, scenario.clerk(Who::Provider));
    let submit = || app.submit_table(clerk, &resource, table("events", None), TableOptions::default());
    let submitted = submit().await.unwrap();
    let id = submitted.job.id;
    let until = async |is_so: &dyn Fn(&IngestionView) -> bool| {
        let begun = std::time::Instant::now();
        loop {
            let job = app.ingestion(&id).await.unwrap();
            if is_so(&job) {
                return job;
            }
            assert!(begun.elapsed() < std::time::Duration::from_secs(120), "{job:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    // Waits until the rows are asked for.
    let cut = "DO $$ BEGIN
        FOR attempt IN 1..3000 LOOP
            PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
                AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%\"events\" ORDER BY%';
            EXIT WHEN FOUND;
            PERFORM pg_sleep(0.02);
            PERFORM pg_stat_clear_snapshot();
        END LOOP; END $$";
    department.run(cut).await;
    let job = until(&|job| job.outcome.waiting.is_some()).await;
    let waiting = job.outcome.waiting.unwrap();
    assert_eq!((job.state.as_str(), waiting.times, waiting.reason.code.as_str()), ("queued", 1, "source_unavailable"));
    assert!(waiting.retry_at > app.now() && job.ended_at.is_none());
    // Not before it is time, unless somebody asks for it again.
    assert_eq!(app.resume_ingestions().await.unwrap(), 0);
    department.run("CREATE OR REPLACE VIEW public.events AS SELECT id, note FROM public.kept").await;
    let again = submit().await.unwrap();
    assert!(!again.is_new && again.job.id == id);
    let job = until(&|job| job.ended_at.is_some()).await;
    assert_eq!((job.state.as_str(), job.attempts, job.snapshot.unwrap().rows), ("committed", 2, 500));
    assert!(job.outcome.waiting.is_none() && job.outcome.failure.is_none());
    // Whoever does not want to wait gives it up.
    department
        .run("CREATE OR REPLACE VIEW public.events AS SELECT id, note FROM public.kept CROSS JOIN (SELECT pg_sleep(300)) AS s")
        .await;
    let other = submit().await.unwrap();
    assert!(other.is_new);
    let id = other.job.id;
    department.run(cut).await;
    let begun = std::time::Instant::now();
    while app.ingestion(&id).await.unwrap().outcome.waiting.is_none() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(120));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(app.cancel_ingestion(clerk, &id).await.unwrap().state, "cancelled");
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
    let first = scenario.app.import_table(clerk, &resource, delta(Some(0)), TableOptions::default()).await.unwrap();
    assert_eq!((first.version, first.rows), (0, 6));
    let again = scenario.app.submit_table(clerk, &resource, delta(Some(0)), TableOptions::default()).await.unwrap();
    assert!(!again.is_new && again.job.snapshot.unwrap().id == first.id);
    let newest = scenario.app.import_table(clerk, &resource, delta(None), TableOptions::default()).await.unwrap();
    assert_eq!((newest.version, newest.rows), (1, 7));
    // The newest by its number is the same.
    assert!(
        !scenario.app.submit_table(clerk, &resource, delta(Some(2)), TableOptions::default()).await.unwrap().is_new
    );
    let outside = TableReference::Delta {
        connection: "lake".parse().unwrap(),
        directory: "../tables/delta/people".to_owned(),
        version: None,
    };
    let error = scenario.app.import_table(clerk, &resource, outside, TableOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("without `..`"), "{error}");
}
