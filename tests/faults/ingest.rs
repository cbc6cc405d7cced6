//! `kill -9` in the middle of an ingestion: the next start goes on after the last finished part, by itself.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use lingqu_tests::node::{self, Node};
use serde_json::{Value, json};

use crate::prepared::{PASSWORD, Prepared};

/// More than one part of a snapshot, so that a finished one is there when the node is killed; and so much more that the rest takes a while.
const ROWS: usize = 1_600_000;
pub const PART_ROWS: u64 = 1_048_576;
/// The whole file is read twice here, by an unoptimised build beside other tests.
pub const WAIT_MAX: Duration = Duration::from_secs(400);

pub struct Clerk {
    http: reqwest::Client,
    url: String,
    cookie: String,
    csrf: String,
}

impl Clerk {
    /// The handler of the provider of trips.
    pub async fn of(node: &Node) -> Clerk {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let body = json!({ "login": "clerk4", "password": PASSWORD }).to_string();
        let request = http.post(format!("{}/api/v1/session", node.url)).header("content-type", "application/json");
        let response = request.body(body).send().await.expect("the node answers");
        let cookie =
            response.headers()["set-cookie"].to_str().expect("text").split(';').next().expect("a cookie").to_owned();
        let session: Value = serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
        let csrf = session["csrf"].as_str().expect("a token").to_owned();
        Clerk { http, url: node.url.clone(), cookie, csrf }
    }

    pub async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.url)).header("cookie", &self.cookie);
        let text = request.send().await.expect("the node answers").text().await.expect("a body");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
    }

    async fn upload(&self, path: &str, body: String) -> Value {
        let request = self.http.post(format!("{}{path}", self.url)).header("cookie", &self.cookie);
        let response = request.header("x-csrf-token", &self.csrf).body(body).send().await.expect("the node answers");
        serde_json::from_str(&response.text().await.expect("a body")).expect("JSON")
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.http.post(format!("{}{path}", self.url)).header("cookie", &self.cookie);
        let request = request.header("x-csrf-token", &self.csrf).header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.expect("the node answers");
        serde_json::from_str(&response.text().await.expect("a body")).expect("JSON")
    }

    /// The id of the resource with trips.
    pub async fn trips(&self) -> String {
        let resources = self.get("/api/v1/resources").await;
        let mut entries = resources["items"].as_array().expect("a list").iter();
        let trips = entries.find(|entry| entry["body"]["details"]["table"] == "trips").expect("there are trips");
        trips["id"].as_str().expect("an id").to_owned()
    }

    /// Looks at a job until a look at it is satisfied.
    pub async fn until(&self, id: &str, node: &Node, is_done: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let job = self.get(&format!("/api/v1/ingestions/{id}")).await;
            if is_done(&job) {
                return job;
            }
            assert!(begun.elapsed() < WAIT_MAX, "{job}; {}", node.log());
            assert_ne!(job["state"], "failed", "{job}; {}", node.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The finished parts of a job, with when they were written.
pub fn parts(snapshots: &Path, id: &str) -> Vec<(String, SystemTime)> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(snapshots).expect("the resource has a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // One that is given up may be removed between the two looks.
        if name.starts_with(id)
            && let Ok(written) = entry.metadata().and_then(|metadata| metadata.modified())
        {
            parts.push((name, written));
        }
    }
    parts.sort();
    parts
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingestion_goes_on_after_a_kill() {
    let prepared = Prepared::make(None, 20).await;
    let node = Node::serve(&prepared.node());
    let clerk = Clerk::of(&node).await;
    let trips = clerk.trips().await;
    let mut csv = "trip_id,line,day,delay,vehicle,note\n".to_owned();
    for trip_id in 0..ROWS {
        csv.push_str(&format!("{trip_id},L{},2025-03-01,,GX,n\n", trip_id % 5));
    }
    let job = clerk.upload(&format!("/api/v1/resources/{trips}/ingestions?name=trips.csv"), csv).await;
    let id = job["id"].as_str().unwrap_or_else(|| panic!("{job}")).to_owned();
    let snapshots = prepared.node().join("snapshots").join(&trips);
    clerk.until(&id, &node, |_| !parts(&snapshots, &id).is_empty()).await;
    let kept = parts(&snapshots, &id);
    node.kill();
    assert_eq!(kept.len(), 1);

    let node = Node::serve(&prepared.node());
    let clerk = Clerk::of(&node).await;
    let job = clerk.until(&id, &node, |job| job["ended_at"].is_string()).await;
    assert_eq!((job["state"].as_str(), job["attempts"].as_u64()), (Some("committed"), Some(2)), "{job}");
    assert_eq!(job["snapshot"]["rows"].as_u64(), Some(ROWS as u64));
    assert_eq!(job["rows_read"].as_u64(), Some(ROWS as u64));
    let written = parts(&snapshots, &id);
    assert_eq!(written.len() as u64, (ROWS as u64).div_ceil(PART_ROWS));
    assert_eq!(written[0], kept[0], "the finished part was not written again");
    let upload = prepared.node().join("ingestions").join(&id);
    let begun = Instant::now();
    while upload.exists() {
        assert!(begun.elapsed() < WAIT_MAX, "the upload of an ended job stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let entry = clerk.get(&format!("/api/v1/resources/{trips}")).await;
    assert_eq!(entry["body"]["snapshot"], job["snapshot"]);
    assert_eq!(node.stop().code(), Some(0));
    let replay = node::run(&["replay", "--check", "--dir", &prepared.node().display().to_string()]);
    assert_eq!(replay.code, Some(0), "{replay:?}");
}

/// The same on the command line, where the interrupted file is given once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_brought_in_on_the_command_line() {
    let prepared = Prepared::make(None, 20).await;
    let directory = prepared.node().display().to_string();
    let password = prepared.beside("password");
    fs::write(&password, PASSWORD).expect("written");
    let password = password.display().to_string();
    let file = prepared.beside("trips.csv");
    let ingest = |more: &[&str]| {
        let file = file.display().to_string();
        let given = ["ingest", "trips", &file, "--login", "clerk4", "--password-file", &password, "--dir", &directory];
        node::run(&[&given, more].concat())
    };
    let mut csv = "trip_id,line,day,delay,vehicle,note\n1,L0,2025-03-01,,GX,n\n2,L0,never,,GX,n\n".to_owned();
    fs::write(&file, &csv).expect("written");
    let refused = ingest(&[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(refused.stderr.contains("line 3, column `day`") && !refused.stderr.contains("never"), "{refused:?}");
    let taken = ingest(&["--rejects-max", "1", "--json"]);
    assert_eq!(taken.code, Some(0), "{taken:?}");
    let shown: Value = serde_json::from_str(&taken.stdout).expect("one JSON object");
    assert_eq!((shown["rows"].as_u64(), shown["rows_rejected"].as_u64()), (Some(1), Some(1)));
    assert_eq!(shown["encoding"], "UTF-8");
    let rejects = fs::read_to_string(shown["rejects_file"].as_str().expect("a path")).expect("it is there");
    assert!(rejects.starts_with("{\"line\":3,\"column\":\"day\"") && !rejects.contains("never"), "{rejects}");
    // Once more is the same snapshot.
    let again: Value =
        serde_json::from_str(&ingest(&["--rejects-max", "1", "--json"]).stdout).expect("one JSON object");
    assert_eq!((&again["snapshot"], &again["version"]), (&shown["snapshot"], &shown["version"]));

    for trip_id in 3..ROWS {
        csv.push_str(&format!("{trip_id},L{},2025-03-01,,GX,n\n", trip_id % 5));
    }
    fs::write(&file, &csv).expect("written");
    let snapshots = prepared.node().join("snapshots");
    let mut child = std::process::Command::new(node::binary())
        .args(["ingest", "trips", &file.display().to_string(), "--login", "clerk4", "--password-file", &password])
        .args(["--rejects-max", "1", "--dir", &directory])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary runs");
    let begun = Instant::now();
    let first_parts = || {
        let resources = fs::read_dir(&snapshots).expect("snapshots").flatten();
        let files = resources.flat_map(|resource| fs::read_dir(resource.path()).into_iter().flatten().flatten());
        files.filter(|file| file.metadata().is_ok_and(|metadata| metadata.len() > 1_000_000)).count()
    };
    while first_parts() == 0 {
        assert!(
            begun.elapsed() < WAIT_MAX && child.try_wait().expect("it can be asked").is_none(),
            "no part was finished"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    child.kill().expect("it runs");
    child.wait().expect("it ended");
    let resumed = ingest(&["--rejects-max", "1", "--json"]);
    let shown: Value = serde_json::from_str(&resumed.stdout).unwrap_or_else(|_| panic!("{resumed:?}"));
    // The header is no row, row 3 is rejected, and numbers 0 and 2 are missing.
    assert_eq!(shown["rows"].as_u64(), Some(ROWS as u64 - 2), "{shown}");
    assert!(resumed.stderr.contains("rows"), "progress is told: {}", resumed.stderr);
}
