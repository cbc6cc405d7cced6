//! The life of an ingestion: queued to committed, failed with its rejected rows, cancelled, asked for twice, interrupted and
//! gone on with; and who sees what of it.

use std::time::{Duration, Instant};

use lingqu_app::{App, AppSettings, ConnectionSetting, ConnectionTarget, IngestionView};
use lingqu_domain::command::Command;
use lingqu_domain::id::{IngestionId, ResourceId};
use lingqu_domain::resource::{ResourceDetails, Snapshot};
use lingqu_domain::scope::ColumnName;
use lingqu_store::ingestion::{IngestionBegun, IngestionCounts, NewIngestion};
use lingqu_tests::PrivatePostgres;
use lingqu_tests::scenario::{Scenario, Trip, Who};
use reqwest::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::client::{Client, Reply, Served};

/// How long a job of some thousand rows may take here, where other tests share the machine.
const WAIT_MAX: Duration = Duration::from_secs(120);
const HEADER: &str = "trip_id,line,day,delay,vehicle,note\n";

fn line(trip_id: usize) -> String {
    let Trip { line, day, delay, vehicle, .. } = Trip::of(trip_id);
    let delay = delay.map(|delay| delay.to_string()).unwrap_or_default();
    format!("{trip_id},{line},{day},{delay},{vehicle},备注{trip_id}\n")
}

fn trips(count: usize) -> String {
    HEADER.to_owned() + &(0..count).map(line).collect::<String>()
}

async fn upload(client: &Client, served: &Served, query: &str, body: impl Into<reqwest::Body>) -> Reply {
    let resource = served.scenario.resource("trips");
    let path = format!("/api/v1/resources/{resource}/ingestions?{query}");
    Reply::of(client.request(Method::POST, &path).body(body)).await
}

/// Looks at a job until it has ended.
async fn ended(client: &Client, id: &str) -> Value {
    let begun = Instant::now();
    loop {
        let job = client.get(&format!("/api/v1/ingestions/{id}")).await.json();
        if job["ended_at"].is_string() {
            return job;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{job}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn id_of(reply: &Reply) -> String {
    reply.json()["id"].as_str().unwrap_or_else(|| panic!("{}", reply.text)).to_owned()
}

async fn newest_version(client: &Client, served: &Served) -> u64 {
    let resource = served.scenario.resource("trips");
    let entry = client.get(&format!("/api/v1/resources/{resource}")).await.json();
    entry["body"]["snapshot"]["version"].as_u64().unwrap()
}

#[tokio::test]
async fn a_file_is_queued_read_and_recorded() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    let before = newest_version(&clerk, &served).await;
    let body = in_gb18030(&trips(300));
    let accepted = upload(&clerk, &served, "name=行程.csv", body).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let job = accepted.json();
    assert!(["queued", "running", "committed"].contains(&job["state"].as_str().unwrap()), "{job}");
    assert_eq!(job["source_name"], "行程.csv");
    let job = ended(&clerk, &id_of(&accepted)).await;
    assert_eq!(job["state"], "committed", "{job}");
    assert_eq!((job["rows_read"].as_u64(), job["rows_rejected"].as_u64()), (Some(300), Some(0)));
    assert_eq!(job["bytes_read"], job["bytes_total"]);
    assert_eq!(job["encoding"], json!({ "encoding": "gb18030", "origin": "guessed" }));
    assert_eq!(job["snapshot"]["rows"], 300);
    assert_eq!(job["snapshot"]["source_digest"], job["source_digest"]);
    assert_eq!(newest_version(&clerk, &served).await, before + 1);
    assert_eq!(job["has_rejects"], false);
    // Nothing of the upload stays; it goes when the job has ended.
    let folder = served.scenario.app.directory().join("ingestions").join(id_of(&accepted));
    let begun = Instant::now();
    while folder.exists() {
        assert!(begun.elapsed() < WAIT_MAX, "the upload of an ended job stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Products join by a key that says whose a row is, so two persons can't have the same.
#[tokio::test]
async fn a_key_that_names_persons_does_not_repeat() {
    let served = Served::open().await;
    let scenario = &served.scenario;
    let people = scenario.app.read(|state| state.resources[scenario.resource("people")].value.details.clone());
    let details = ResourceDetails {
        table: ColumnName::new("register").unwrap(),
        key: vec![ColumnName::new("name").unwrap()],
        key_names_subject: true,
        ..people
    };
    let draft = Command::DraftResource { details: Box::new(details) };
    let resource: ResourceId = scenario.give(scenario.clerk(Who::Provider), draft, "resource.drafted").await;
    let clerk = served.sign_in("clerk4").await;
    let submit = async |rows: &str| {
        let path = format!("/api/v1/resources/{resource}/ingestions?name=register.csv");
        let body = format!("id_number,name,points\n{rows}");
        let accepted = Reply::of(clerk.request(Method::POST, &path).body(body)).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        ended(&clerk, &id_of(&accepted)).await
    };
    // A number that is missing is nobody's.
    let job = submit("A,1,0\nB,2,0\nC,,0\nD,,0\n").await;
    assert_eq!((&job["state"], &job["snapshot"]["rows"]), (&json!("committed"), &json!(4)), "{job}");
    let job = submit("A,1,0\nB,2,0\nC,2,0\n").await;
    assert_eq!((&job["state"], &job["failure"]["code"]), (&json!("failed"), &json!("invalid")), "{job}");
    assert!(job["failure"]["detail_en"].as_str().unwrap().contains("2 rows share theirs"), "{job}");
}

/// A table of the department's database is a job like a file: what does not fit is left out and told, and what has not changed makes no
/// new snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_a_job_like_a_file() {
    let Some(server) = PrivatePostgres::needed("tables as jobs") else { return };
    let url = server.create_database().await;
    let admin = sea_orm::Database::connect(&url).await.unwrap();
    let run = async |sql: &str| sea_orm::ConnectionTrait::execute_unprepared(&admin, sql).await.unwrap();
    run("CREATE TABLE public.trips (trip_id int PRIMARY KEY, line text, day date, delay numeric(12,0), vehicle text,
             note text, more text);
         INSERT INTO public.trips SELECT i, 'L0', '2025-03-01', i, 'GX', 'geheim' FROM generate_series(1, 200) i;
         UPDATE public.trips SET delay = 'NaN' WHERE trip_id IN (7, 9)")
    .await;
    let served = Served::open().await;
    let setting = ConnectionSetting {
        provider: served.scenario.party(Who::Provider).clone(),
        target: ConnectionTarget::Database(Zeroizing::new(url)),
    };
    served.scenario.app.set_connections([("civil".parse().unwrap(), setting)].into()).unwrap();
    let clerk = served.sign_in("clerk4").await;
    let path = format!("/api/v1/resources/{}/table-ingestions", served.scenario.resource("trips"));
    let begin = async |rejects_max: u64| {
        let table = json!({ "format": "postgres", "connection": "civil", "schema": "public", "table": "trips" });
        let form = json!({ "table": table, "ignore_extra_columns": true, "rejects_max": rejects_max });
        clerk.post(&path, &form).await
    };
    let take = async |rejects_max: u64| ended(&clerk, &id_of(&begin(rejects_max).await)).await;
    let refused = take(1).await;
    assert_eq!(
        (refused["state"].as_str(), refused["failure"]["code"].as_str()),
        (Some("failed"), Some("bad_source_file"))
    );
    let job = take(2).await;
    assert_eq!((job["state"].as_str(), job["snapshot"]["rows"].as_u64()), (Some("committed"), Some(198)), "{job}");
    assert_eq!((job["rows_rejected"].as_u64(), &job["has_rejects"]), (Some(2), &json!(true)));
    assert_eq!((&job["drift"]["added"], &job["is_unchanged"]), (&json!(["more"]), &json!(false)));
    let rejects = clerk.get(&format!("/api/v1/ingestions/{}/rejects", job["id"].as_str().unwrap())).await;
    let told: Vec<Value> = rejects.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reject =
        |line: u64| json!({ "line": line, "column": "delay", "reason": "wrong_type", "expected": "a whole number" });
    assert_eq!(told, [reject(7), reject(9)]);
    let version = newest_version(&clerk, &served).await;
    run("UPDATE public.trips SET line = line").await;
    let again = take(2).await;
    assert_eq!((&again["is_unchanged"], &again["snapshot"]["id"]), (&json!(true), &job["snapshot"]["id"]), "{again}");
    assert_eq!(newest_version(&clerk, &served).await, version);
    assert_eq!(begin(100_001).await.problem().0, 422);
}

/// By the system's own converter, so that the node's library does not check itself.
fn in_gb18030(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut child = std::process::Command::new("iconv")
        .args(["-f", "UTF-8", "-t", "GB18030"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the system has iconv");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let text = text.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("iconv ends");
    writing.join().expect("writing does not panic").expect("iconv reads");
    assert!(output.status.success());
    output.stdout
}

#[tokio::test]
async fn the_same_file_is_read_once() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    let first = upload(&clerk, &served, "name=a.csv", trips(100)).await;
    ended(&clerk, &id_of(&first)).await;
    let version = newest_version(&clerk, &served).await;
    // Under whatever name.
    let again = upload(&clerk, &served, "name=b.csv", trips(100)).await;
    assert_eq!((again.status, id_of(&again)), (200, id_of(&first)));
    assert_eq!(newest_version(&clerk, &served).await, version);
    // Read in another way it is another ingestion, and so it is when something else has come in since.
    let otherwise = upload(&clerk, &served, "name=a.csv&rejects_max=5", trips(100)).await;
    assert_eq!(otherwise.status, 202);
    ended(&clerk, &id_of(&otherwise)).await;
    let back = upload(&clerk, &served, "name=a.csv", trips(100)).await;
    assert_eq!(back.status, 202, "the newest snapshot is another's");
    let job = ended(&clerk, &id_of(&back)).await;
    assert_eq!(job["state"], "committed");
    assert_eq!(newest_version(&clerk, &served).await, version + 2);
}

#[tokio::test]
async fn rejected_rows_are_told_to_the_provider_alone() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    let version = newest_version(&clerk, &served).await;
    let mut text = trips(50);
    text.push_str("51,L0,geheim,1,GX-00001,x\n52,L0\nsecret-key,L0,2025-03-01,zwei,GX,x\n");
    text.push_str(&line(53));
    let refused = upload(&clerk, &served, "name=a.csv", text.clone()).await;
    let job = ended(&clerk, &id_of(&refused)).await;
    assert_eq!((job["state"].as_str(), job["failure"]["code"].as_str()), (Some("failed"), Some("bad_source_file")));
    assert!(job["failure"]["detail_en"].as_str().unwrap().contains("line 52"), "{job}");
    assert!(job["snapshot"].is_null());
    let changed: Vec<_> = job["drift"]["changed"].as_array().unwrap().iter().map(|one| &one["column"]).collect();
    assert_eq!(changed, ["trip_id", "day", "delay"], "{job}");
    let few = upload(&clerk, &served, "name=a.csv&rejects_max=2", text.clone()).await;
    let few = ended(&clerk, &id_of(&few)).await;
    assert_eq!(few["state"], "failed", "{few}");
    assert_eq!(newest_version(&clerk, &served).await, version, "nothing was recorded");

    let enough = upload(&clerk, &served, "name=a.csv&rejects_max=3", text).await;
    let job = ended(&clerk, &id_of(&enough)).await;
    assert_eq!(job["state"], "committed", "{job}");
    assert_eq!((job["rows_read"].as_u64(), job["rows_rejected"].as_u64()), (Some(54), Some(3)));
    assert_eq!(job["snapshot"]["rows"], 51);
    assert_eq!(job["has_rejects"], true);
    let path = format!("/api/v1/ingestions/{}/rejects", id_of(&enough));
    let rejects = clerk.get(&path).await;
    assert_eq!((rejects.status, rejects.header("content-type")), (200, Some("application/x-ndjson")));
    let told: Vec<Value> = rejects.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let places: Vec<_> = told.iter().map(|one| (one["line"].as_u64().unwrap(), one["column"].as_str())).collect();
    assert_eq!(places, [(52, Some("day")), (53, None), (54, Some("trip_id")), (54, Some("delay"))]);
    for text in [&rejects.text, &job.to_string(), &few.to_string()] {
        for secret in ["geheim", "secret-key", "zwei"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    // The data authority supervises conduct and is not told of rows; others do not learn that there is a job.
    let authority = served.sign_in("chief0").await;
    assert_eq!(authority.get(&format!("/api/v1/ingestions/{}", id_of(&enough))).await.status, 200);
    assert_eq!(authority.get(&path).await.problem().0, 404);
    let consumer = served.sign_in("clerk8").await;
    for address in [format!("/api/v1/ingestions/{}", id_of(&enough)), path] {
        assert_eq!(consumer.get(&address).await.problem(), (404, "not_found".to_owned()));
    }
    assert_eq!(consumer.get("/api/v1/ingestions").await.json()["items"], json!([]));
}

#[tokio::test]
async fn all_differences_of_the_columns_are_reported() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    let drifted = "trip_id,route,day,vehicle,delay,remark\n1,L0,2025-03-01,GX,1,x\n";
    let job = ended(&clerk, &id_of(&upload(&clerk, &served, "format=csv", drifted).await)).await;
    assert_eq!(job["state"], "failed");
    assert_eq!(job["drift"]["missing"], json!(["line", "note"]));
    assert_eq!(job["drift"]["added"], json!(["route", "remark"]));
    assert_eq!(job["drift"]["reordered"], true);
    // A header may be told its column, a column's meaning is one of its names, and what is too much may be ignored.
    let mapped = "trip_id,route,day 的含义,vehicle,delay,remark,weather\n1,L0,2025-03-01,GX,1,x,sunny\n";
    let headers = "%7B%22route%22:%22line%22,%22remark%22:%22note%22%7D";
    let query = format!("format=csv&headers={headers}");
    let job = ended(&clerk, &id_of(&upload(&clerk, &served, &query, mapped).await)).await;
    assert_eq!((job["state"].as_str(), &job["drift"]["added"]), (Some("failed"), &json!(["weather"])), "{job}");
    let query = format!("{query}&ignore_extra_columns=true");
    let job = ended(&clerk, &id_of(&upload(&clerk, &served, &query, mapped).await)).await;
    assert_eq!((job["state"].as_str(), &job["drift"]["added"]), (Some("committed"), &json!(["weather"])), "{job}");
}

#[tokio::test]
async fn what_may_not_be_asked_for_is_refused_before_the_upload() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    for query in ["", "name=a.txt", "format=csv&headers=x", "format=csv&delimeter=x", "format=docx"] {
        assert_eq!(upload(&clerk, &served, query, "x").await.problem().0, 422, "{query}");
    }
    let chief = served.sign_in("chief4").await;
    let consumer = served.sign_in("clerk8").await;
    assert_eq!(upload(&chief, &served, "format=csv", "x").await.problem(), (403, "not_permitted".to_owned()));
    assert_eq!(upload(&consumer, &served, "format=csv", "x").await.problem().0, 403);
    assert_eq!(upload(&served.stranger(), &served, "format=csv", "x").await.problem().0, 401);
    assert!(std::fs::read_dir(served.scenario.app.directory().join("ingestions")).unwrap().flatten().count() == 0);
    // Lists are paged.
    for _ in 0..3 {
        let job = upload(&clerk, &served, "format=csv", "nothing,of,this\n").await;
        ended(&clerk, &id_of(&job)).await;
    }
    let page = clerk.get("/api/v1/ingestions?limit=2&state=failed").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let next = page["next_cursor"].as_str().unwrap();
    let page = clerk.get(&format!("/api/v1/ingestions?limit=2&state=failed&cursor={next}")).await.json();
    assert_eq!((page["items"].as_array().unwrap().len(), page["next_cursor"].as_str()), (1, None));
    for bad in ["limit=0", "limit=201", "cursor=x", "colour=red"] {
        assert_eq!(clerk.get(&format!("/api/v1/ingestions?{bad}")).await.problem(), (422, "invalid".to_owned()));
    }
    for missing in ["nonsense", "ing_00000000000000000000000000000000"] {
        assert_eq!(clerk.get(&format!("/api/v1/ingestions/{missing}")).await.problem().0, 404);
    }
}

/// A job that reads for long enough to be met on its way.
async fn long_job(served: &Served, clerk: &Client) -> String {
    let accepted = upload(clerk, served, "name=long.csv", trips(LONG)).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let id = id_of(&accepted);
    let begun = Instant::now();
    loop {
        let job = clerk.get(&format!("/api/v1/ingestions/{id}")).await.json();
        if job["rows_read"].as_u64().unwrap() > 0 || job["ended_at"].is_string() {
            return id;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{job}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

const LONG: usize = 400_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_be_cancelled_by_its_provider() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    let version = newest_version(&clerk, &served).await;
    let id = long_job(&served, &clerk).await;
    // Another file for the same resource waits for its turn.
    let other = upload(&clerk, &served, "name=other.csv", trips(5)).await;
    assert_eq!(other.problem(), (409, "already_exists".to_owned()));
    assert!(other.text.contains(&id));
    // The same file is the same job.
    let same = upload(&clerk, &served, "name=long.csv", trips(LONG)).await;
    assert_eq!((same.status, id_of(&same)), (200, id.clone()));
    let path = format!("/api/v1/ingestions/{id}");
    let chief = served.sign_in("chief4").await;
    assert_eq!(Reply::of(chief.request(Method::DELETE, &path)).await.problem().0, 403);
    let consumer = served.sign_in("clerk8").await;
    assert_eq!(Reply::of(consumer.request(Method::DELETE, &path)).await.problem().0, 404);
    let cancelled = Reply::of(clerk.request(Method::DELETE, &path)).await;
    assert_eq!(
        (cancelled.status, cancelled.json()["state"].as_str().unwrap()),
        (200, "cancelled"),
        "{}",
        cancelled.text
    );
    assert_eq!(Reply::of(clerk.request(Method::DELETE, &path)).await.problem(), (409, "wrong_state".to_owned()));
    // Its files go as soon as the reader has noticed.
    let node = served.scenario.app.directory();
    let folders =
        [node.join("ingestions").join(&id), node.join("snapshots").join(served.scenario.resource("trips").as_str())];
    let begun = Instant::now();
    let is_left = || {
        let parts = std::fs::read_dir(&folders[1]).unwrap().flatten();
        folders[0].exists() || parts.into_iter().any(|file| file.file_name().to_string_lossy().contains(id.as_str()))
    };
    while is_left() {
        assert!(begun.elapsed() < WAIT_MAX, "the files of a cancelled job stay");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(newest_version(&clerk, &served).await, version);
    let after = upload(&clerk, &served, "name=other.csv", trips(5)).await;
    assert_eq!(ended(&clerk, &id_of(&after)).await["state"], "committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_interrupted_goes_on_when_the_node_is_open_again() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    let id = long_job(&served, &clerk).await;
    let resource = served.scenario.resource("trips").clone();
    let directory = served.scenario.app.directory().to_owned();
    served.scenario.app.close().await.unwrap();
    // A node takes its directory's lock for the life of its `App`, which the served scenario still has: another copy is opened.
    let copy = served.scenario.directory().join("copy");
    copy_tree(&directory, &copy);
    let settings = AppSettings::of(copy);
    let app = App::open(settings).await.unwrap();
    let open = app.ingestion(&id.parse().unwrap()).await.unwrap();
    assert_eq!(open.state, "running", "it is neither lost nor ended");
    app.sweep_uploads().await.unwrap();
    assert_eq!(app.resume_ingestions().await.unwrap(), 1);
    assert_eq!(app.resume_ingestions().await.unwrap(), 0, "it runs already");
    let job = ended_in(&app, &id.parse().unwrap()).await;
    assert_eq!((job.state.as_str(), job.attempts, job.rows_read), ("committed", 2, LONG as u64));
    let newest = app.read(|state| state.resources[&resource].value.snapshot.clone()).unwrap();
    assert_eq!(Some(newest), job.snapshot);
    // What is asked for again has been done.
    let clerk = served.scenario.clerk(Who::Provider);
    assert!(app.cancel_ingestion(clerk, &job.id).await.is_err());
    app.close().await.unwrap();
}

/// A job as an earlier process left it, begun so many times.
async fn left_open(served: &Served, number: u64, digest: &str, starts: u64) -> IngestionId {
    left_open_of(served, served.scenario.resource("trips"), number, digest, starts).await
}

async fn left_open_of(served: &Served, resource: &ResourceId, number: u64, digest: &str, starts: u64) -> IngestionId {
    let app = &served.scenario.app;
    let id = format!("ing_{number:032x}");
    let path = served.scenario.directory().join("trips.csv");
    let new = NewIngestion {
        id: id.clone(),
        resource: resource.to_string(),
        actor: served.scenario.clerk(Who::Provider).to_string(),
        source_name: "trips.csv".to_owned(),
        source_digest: digest.to_owned(),
        options_digest: "o".to_owned(),
        request: json!({ "source": { "kind": "path", "path": path }, "options": {} }).to_string(),
        bytes_total: 1,
        created_at: "2026-03-01T00:00:00Z".to_owned(),
    };
    assert_eq!(app.store().begin_ingestion(&new, 64, |_| true).await.unwrap(), IngestionBegun::Queued);
    for _ in 0..starts {
        assert!(app.store().start_ingestion(&id, "2026-03-01T00:00:01Z").await.unwrap());
    }
    std::fs::create_dir_all(app.directory().join("ingestions").join(&id)).unwrap();
    id.parse().unwrap()
}

async fn ended_in(app: &App, id: &IngestionId) -> IngestionView {
    let begun = Instant::now();
    loop {
        let job = app.ingestion(id).await.unwrap();
        if job.ended_at.is_some() {
            return job;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{job:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_cant_be_gone_on_with_is_given_up() {
    let served = Served::open().await;
    let app = &served.scenario.app;
    // The source is another one by now.
    let changed = left_open(&served, 1, "another digest", 1).await;
    assert_eq!(app.resume_ingestions().await.unwrap(), 1);
    let job = ended_in(app, &changed).await;
    let failure = job.outcome.failure.unwrap();
    assert_eq!((job.state.as_str(), failure.code.as_str()), ("failed", "invalid"));
    assert!(failure.detail_en.contains("was changed"), "{failure:?}");
    // A process died over it again and again.
    let deadly = left_open(&served, 2, "d", 8).await;
    assert_eq!(app.resume_ingestions().await.unwrap(), 1);
    let job = ended_in(app, &deadly).await;
    assert_eq!((job.state.as_str(), job.outcome.failure.unwrap().code.as_str()), ("failed", "limit_exceeded"));
    // The files of another process's jobs are elsewhere.
    let elsewhere = left_open(&served, 3, "d", 1).await;
    std::fs::remove_dir(app.directory().join("ingestions").join(elsewhere.as_str())).unwrap();
    assert_eq!(app.resume_ingestions().await.unwrap(), 0);
    app.cancel_ingestion(served.scenario.clerk(Who::Provider), &elsewhere).await.unwrap();
}

#[tokio::test]
async fn uploads_that_became_nothing_are_removed() {
    let served = Served::open().await;
    let app = &served.scenario.app;
    let folder = app.directory().join("ingestions");
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&folder).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    };
    // Whoever uploads breaks off.
    let mut spool = app.spool(served.scenario.resource("trips"), "trips.csv", None).await.unwrap();
    spool.write(b"trip_id,li").await.unwrap();
    assert_eq!(names().len(), 1);
    app.sweep_uploads().await.unwrap();
    assert_eq!(names().len(), 1, "one that is on its way is left alone");
    drop(spool);
    assert_eq!(names(), [""; 0]);
    // A process died before the job was there; another before the file of an ended job was removed.
    let orphan = folder.join("ing_00000000000000000000000000000009");
    std::fs::create_dir(&orphan).unwrap();
    std::fs::write(orphan.join("trips.csv"), "trip_id").unwrap();
    let ended = left_open(&served, 1, "d", 1).await;
    app.cancel_ingestion(served.scenario.clerk(Who::Provider), &ended).await.unwrap();
    let ended = folder.join(ended.as_str());
    std::fs::create_dir_all(&ended).unwrap();
    std::fs::write(ended.join("trips.csv"), "trip_id").unwrap();
    std::fs::write(ended.join("rejects.ndjson"), "{}").unwrap();
    app.sweep_uploads().await.unwrap();
    assert!(!orphan.exists() && !ended.join("trips.csv").exists());
    assert!(ended.join("rejects.ndjson").exists(), "what was rejected is kept");
}

/// What an ended job's parts are is cleared up at the next start, where its process died before it had done so: those that the
/// recorded version does not have, and no other file.
#[tokio::test]
async fn parts_of_ended_jobs_are_removed_at_the_next_start() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    let app = &served.scenario.app;
    let resource = served.scenario.resource("trips").to_string();
    let done = ended(&clerk, &id_of(&upload(&clerk, &served, "name=a.csv", trips(100)).await)).await;
    assert_eq!(done["state"], "committed", "{done}");
    let done = done["id"].as_str().unwrap().to_owned();
    let given_up = left_open(&served, 1, "d", 1).await;
    app.cancel_ingestion(served.scenario.clerk(Who::Provider), &given_up).await.unwrap();
    let parts = app.directory().join("snapshots").join(&resource);
    let names = |id: &str| {
        let entries = std::fs::read_dir(&parts).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().contains(id)).count()
    };
    let recorded = names(&done);
    assert!(recorded > 0);
    for id in [done.as_str(), given_up.as_str()] {
        std::fs::write(parts.join(format!("{id}-1-00000-0.parquet")), "left").unwrap();
        std::fs::write(parts.join(format!(".{id}-1-00001.unfinished")), "left").unwrap();
        let folder = app.directory().join("ingestions").join(id);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("reading"), "").unwrap();
    }
    let open = left_open(&served, 2, "d", 1).await;
    std::fs::write(parts.join(format!("{open}-00000-0.parquet")), "to be gone on from").unwrap();
    app.sweep_uploads().await.unwrap();
    assert_eq!((names(&done), names(given_up.as_str()), names(open.as_str())), (recorded, 0, 1));
    assert!(!app.directory().join("ingestions").join(&done).exists());
    let newest = app.read(|state| state.resources[served.scenario.resource("trips")].value.snapshot.clone()).unwrap();
    assert_eq!(newest.rows, 100);
    let product = app.snapshot_history(served.scenario.resource("trips")).await.unwrap();
    assert_eq!(product.len(), 2, "nothing was recorded by clearing up");
}

/// One provider's jobs leave half of the queue to others.
#[tokio::test]
async fn a_provider_has_his_share_of_the_queue() {
    const SHARE: u64 = 32;
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    let provider = served.scenario.clerk(Who::Provider);
    let mut open = Vec::new();
    for number in 0..SHARE {
        let details =
            ResourceDetails { table: ColumnName::new(format!("slow_{number}")).unwrap(), ..Scenario::fleet_details() };
        let draft = Command::DraftResource { details: Box::new(details) };
        let resource: ResourceId = served.scenario.give(provider, draft, "resource.drafted").await;
        open.push(left_open_of(&served, &resource, 100 + number, "d", 0).await);
    }
    let refused = upload(&clerk, &served, "name=a.csv", trips(10)).await;
    assert_eq!(refused.problem(), (429, "too_many_own_ingestions".to_owned()));
    assert!(refused.text.contains("cancel one"), "{}", refused.text);
    served.scenario.app.cancel_ingestion(provider, &open[0]).await.unwrap();
    let taken = upload(&clerk, &served, "name=a.csv", trips(10)).await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    assert_eq!(ended(&clerk, &id_of(&taken)).await["state"], "committed");
}

/// A crash after the data was stored: before the event the job records it, after the event it does not do so again.
#[tokio::test]
async fn a_snapshot_is_recorded_once() {
    let served = Served::open().await;
    let app = &served.scenario.app;
    let resource = served.scenario.resource("trips").clone();
    let newest = || app.read(|state| state.resources[&resource].value.snapshot.clone()).unwrap();
    let before = newest();
    let positions = async || app.snapshot_history(&resource).await.unwrap().len();
    assert_eq!(positions().await, 1);
    let settled = Snapshot { id: "snp_00000000000000000000000000000007".parse().unwrap(), version: 7, ..before };
    let id = left_open(&served, 1, "d", 1).await;
    let counts = IngestionCounts { rows_read: 5, rows_rejected: 0, bytes_read: 1 };
    let text = serde_json::to_string(&settled).unwrap();
    assert!(app.store().settle_ingestion(id.as_str(), counts, &text, "{}").await.unwrap());
    assert_eq!(app.resume_ingestions().await.unwrap(), 1);
    let job = ended_in(app, &id).await;
    assert_eq!((job.state.as_str(), job.rows_read, &job.snapshot), ("committed", 5, &Some(settled.clone())));
    assert_eq!((newest(), positions().await), (settled.clone(), 2));
    // As if the process had died between the event and the job's end.
    let again = left_open(&served, 2, "d", 1).await;
    assert!(app.store().settle_ingestion(again.as_str(), counts, &text, "{}").await.unwrap());
    assert_eq!(app.resume_ingestions().await.unwrap(), 1);
    assert_eq!(ended_in(app, &again).await.state, "committed");
    assert_eq!((newest(), positions().await), (settled, 2));
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
