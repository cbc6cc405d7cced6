//! What a broken source tells: its provider learns line, column and reason, and nobody learns a value. A consumer learns neither
//! that there was such a file nor, at the doors of his own table, anything of it.

use std::time::Duration;

use lingqu_api::ApiSettings;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::doors::{Door, ask};
use crate::served::{Guarded, told};

/// What stands in the cells of the broken files and in nothing else.
const SECRET: &str = "geheim-4501";
/// How often a job is looked at, and how many times at most.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOKS_MAX: usize = 3_000;

/// Broken files: a name, the query of the upload, the text with `SECRET` in it, and how the job must end.
const FILES: &[(&str, &str, &str, &str)] = &[
    ("number.csv", "", "trip_id,line,day,delay,vehicle,note\n1,L1,2025-03-01,SECRET,GX-00001,x\n", "failed"),
    ("date.csv", "", "trip_id,line,day,delay,vehicle,note\n1,L1,SECRET,1,GX-00001,x\n", "failed"),
    ("key.csv", "", "trip_id,line,day,delay,vehicle,note\nSECRET,L1,2025-03-01,1,GX-00001,x\n", "failed"),
    ("quote.csv", "", "trip_id,line,day,delay,vehicle,note\n1,\"SECRET,2025-03-01,1,GX-00001,x\n", "failed"),
    ("fields.csv", "", "trip_id,line,day,delay,vehicle,note\n1,L1,2025-03-01,1,GX-00001,x,SECRET\n", "failed"),
    ("number.tsv", "", "trip_id\tline\tday\tdelay\tvehicle\tnote\n1\tL1\t2025-03-01\tSECRET\tGX-00001\tx\n", "failed"),
    (
        "some.csv",
        "&rejects_max=3",
        "trip_id,line,day,delay,vehicle,note\n1,L1,2025-03-01,1,GX-00001,x\n2,L1,SECRET,1,GX-00001,x\n6,L1,2025-03-02,SECRET,GX-00001,x\n",
        "committed",
    ),
    (
        "number.json",
        "",
        r#"[{"trip_id":1,"line":"L1","day":"2025-03-01","delay":"SECRET","vehicle":"GX-00001","note":"x"}]"#,
        "failed",
    ),
    (
        "cut.json",
        "",
        r#"[{"trip_id":1,"line":"L1","day":"2025-03-01","delay":1,"vehicle":"GX-00001","note":"SECRET"#,
        "failed",
    ),
    (
        "word.json",
        "",
        r#"[{"trip_id":1,"line":"L1","day":"2025-03-01","delay":SECRET,"vehicle":"GX-00001","note":"x"}]"#,
        "failed",
    ),
    (
        "nested.json",
        "",
        r#"[{"trip_id":1,"line":"L1","day":"2025-03-01","delay":{"SECRET":1},"vehicle":"GX-00001","note":"x"}]"#,
        "failed",
    ),
    (
        "some.ndjson",
        "&rejects_max=3",
        "{\"trip_id\":1,\"line\":\"L1\",\"day\":\"2025-03-01\",\"delay\":2,\"vehicle\":\"GX-00001\",\"note\":\"x\"}\n{\"trip_id\":\"SECRET\",\"line\":\"L1\"\n{\"trip_id\":7,\"line\":\"L1\",\"day\":\"SECRET\",\"delay\":2,\"vehicle\":\"GX-00001\",\"note\":\"x\"}\n",
        "committed",
    ),
    ("no.parquet", "", "PAR1SECRETPAR1", "failed"),
    ("no.xlsx", "", "PK\u{3}\u{4}SECRET", "failed"),
];

/// Somebody who is signed in at the control plane.
struct User {
    base: String,
    http: reqwest::Client,
    cookie: String,
    csrf: String,
}

impl User {
    async fn sign_in(base: &str, login: &str) -> User {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let form = json!({ "login": login, "password": "scenario-password-1" }).to_string();
        let request = http.post(format!("{base}/api/v1/session")).header("content-type", "application/json").body(form);
        let reply = request.send().await.expect("an answer");
        let cookie = reply.headers()["set-cookie"].to_str().expect("text").split(';').next().map(str::to_owned);
        let session: Value = serde_json::from_slice(&reply.bytes().await.expect("a body")).expect("JSON");
        let csrf = session["csrf"].as_str().expect("a session has a token").to_owned();
        User { base: base.to_owned(), http, cookie: cookie.expect("a session has a cookie"), csrf }
    }

    /// Status and everything that was answered.
    async fn ask(&self, method: Method, path: &str, body: Option<String>) -> (u16, String) {
        let request = self.http.request(method, format!("{}/api/v1/{path}", self.base));
        let request = request.header("cookie", &self.cookie).header("x-csrf-token", &self.csrf);
        let reply = request.body(body.unwrap_or_default()).send().await.expect("an answer");
        let (status, headers) = (reply.status().as_u16(), format!("{:?}", reply.headers()));
        (status, format!("{headers}\n{}", reply.text().await.expect("a body")))
    }

    async fn get(&self, path: &str) -> (u16, String) {
        self.ask(Method::GET, path, None).await
    }
}

fn body(text: &str) -> Value {
    text.split_once('\n').and_then(|(_, body)| serde_json::from_str(body).ok()).unwrap_or_default()
}

/// A job when it has ended.
async fn ended(provider: &User, id: &str) -> String {
    for _ in 0..LOOKS_MAX {
        let (status, job) = provider.get(&format!("ingestions/{id}")).await;
        assert_eq!(status, 200, "{job}");
        if body(&job)["ended_at"].is_string() {
            return job;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("{id} did not end within a minute");
}

/// Has a file read that is broken, and answers what its provider is told: the job, and its rejected rows if there are any.
async fn brought_in(guarded: &Guarded, provider: &User, file: (&str, &str, &str, &str)) -> (String, String, String) {
    let (name, query, text, state) = file;
    let path = format!("resources/{}/ingestions?name={name}{query}", guarded.scenario.resource("trips"));
    let (status, accepted) = provider.ask(Method::POST, &path, Some(text.replace("SECRET", SECRET))).await;
    if status != 202 {
        // Refused before there was a job.
        assert!(state == "failed" && status == 422, "{name}: {status} {accepted}");
        return (String::new(), accepted, String::new());
    }
    let id = body(&accepted)["id"].as_str().expect("a job has an id").to_owned();
    let job = ended(provider, &id).await;
    assert_eq!(body(&job)["state"], state, "{name}: {job}");
    let (status, rejects) = provider.get(&format!("ingestions/{id}/rejects")).await;
    assert_eq!(status == 200, body(&job)["has_rejects"] == true, "{name}: {rejects}");
    (id, job, rejects)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_source_tells_no_value_and_no_outsider() {
    let guarded = Guarded::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    let base = format!("http://{}", listener.local_addr().expect("it has one"));
    let router = lingqu_api::router(guarded.scenario.app.clone(), ApiSettings::default());
    tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    let provider = User::sign_in(&base, "clerk4").await;
    let consumer = User::sign_in(&base, "clerk8").await;
    let statements = [
        "SELECT * FROM trip_guarded",
        "SELECT max(vehicle), max(line), count(*) FROM trip_guarded",
        "SELECT CAST(line AS BIGINT) FROM trip_guarded",
        "SELECT note FROM trip_guarded",
        "EXPLAIN SELECT * FROM trip_guarded",
    ];
    let mut wrong = Vec::new();
    let mut jobs = 0;
    for file in FILES {
        let (id, job, rejects) = brought_in(&guarded, &provider, *file).await;
        // Not even he whose file it is: what he is told ends up in tickets and letters.
        for said in [&job, &rejects] {
            if said.contains(SECRET) || said.contains("GX-") {
                wrong.push(format!("{}: the provider is told a value: {said}", file.0));
            }
        }
        let mut outside = vec![consumer.get("ingestions").await];
        if !id.is_empty() {
            jobs += 1;
            for path in [format!("ingestions/{id}"), format!("ingestions/{id}/rejects")] {
                let answer = consumer.get(&path).await;
                assert_eq!((answer.0, &body(&answer.1)["code"]), (404, &json!("not_found")), "{}", answer.1);
                outside.push(answer);
            }
            outside.push(consumer.ask(Method::DELETE, &format!("ingestions/{id}"), None).await);
        }
        outside.push(consumer.get(&format!("resources/{}", guarded.scenario.resource("trips"))).await);
        assert_eq!(body(&outside[0].1)["items"], json!([]), "{}", outside[0].1);
        for (_, said) in outside {
            // A refusal may name what was asked for, and nothing else.
            if said.contains(SECRET) || said.contains(file.0) {
                wrong.push(format!("{}: the consumer is told of it: {said}", file.0));
            }
        }
    }
    // What of them was taken in is served, and what was not is nowhere.
    for door in Door::ALL {
        let Some(seen) = ask(&guarded, &guarded.order, door, &statements).await else { continue };
        assert!(seen[0].rows.as_ref().is_some_and(|rows| rows.len() == 1), "{door:?}: {}", seen[0].short());
        for (statement, seen) in statements.iter().zip(&seen) {
            let told = told(&seen.said, statement);
            if seen.said.contains(SECRET) || !told.is_empty() {
                wrong.push(format!("{door:?}: {statement} tells {told}: {}", seen.short()));
            }
        }
    }
    assert!(jobs >= 10, "only {jobs} files came as far as a job");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
