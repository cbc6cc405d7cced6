//! Clients who begin to send and go no further: each is told so in time, and nothing of what it sent is left.
//!
//! Half a minute really passes where nothing is sent: that limit belongs to the machine's clock, which no test can set. The hour
//! that a whole upload may take is the node's, and its clock is stepped. How long it took is not asserted; the answer is, and
//! that it comes while the client still holds its line.

use std::time::Duration;

use jiff::SignedDuration;
use lingqu_tests::scenario::{Scenario, id_number};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, Served, new_key};
use crate::consents::party;

/// What every one of these clients says it will send, and never does.
const LENGTH: usize = 100_000;
/// How often a client that does not stop sends one more byte.
const BYTE_EVERY: Duration = Duration::from_secs(1);
/// More bytes, sent so, than a body may have seconds.
const BYTES_MAX: usize = 300;
/// Bytes of an answer that are taken at once.
const ANSWER_BYTES: usize = 1 << 16;
/// The code of the problem.
const TOLD: &str = r#""code":"body_too_slow""#;

/// A line on which a request's head and the beginning of its body were sent.
async fn begun(client: &Client, path: &str, beginning: &str) -> TcpStream {
    let address = client.base.strip_prefix("http://").unwrap();
    let mut line = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncookie: {}\r\nx-csrf-token: {}\r\nidempotency-key: {}\r\n\
         content-type: application/json\r\ncontent-length: {LENGTH}\r\n\r\n{beginning}",
        client.cookie.as_deref().unwrap(),
        client.csrf.as_deref().unwrap(),
        new_key(),
    );
    line.write_all(head.as_bytes()).await.unwrap();
    line
}

/// Sends a request's head and the beginning of its body, then one byte now and then or none, and reads what is answered.
async fn sent_slowly(client: &Client, path: &str, beginning: &str, goes_on: bool) -> String {
    let (mut reader, mut writer) = begun(client, path, beginning).await.into_split();
    let mut answer = Vec::new();
    for _ in 0..BYTES_MAX {
        let mut piece = vec![0; ANSWER_BYTES];
        match tokio::time::timeout(BYTE_EVERY, reader.read(&mut piece)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(count)) => answer.extend_from_slice(&piece[..count]),
            // The line may be closed by now; the answer tells.
            Err(_) if goes_on => drop(writer.write_all(b"x").await),
            Err(_) => {}
        }
        let text = String::from_utf8_lossy(&answer);
        if text.contains(TOLD) && text.ends_with('}') {
            break;
        }
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_sending_is_told_and_leaves_nothing() {
    let served = Served::open().await;
    let app = &served.scenario.app;
    let provider = served.sign_in("clerk4").await;
    let (login, _) = party(&served, 1, &["consent_agent"], &[]).await;
    let agent = served.sign_in(&login).await;
    let uploads = || std::fs::read_dir(app.directory().join("ingestions")).map_or(0, Iterator::count);
    let jobs_before = app.ingestions(None, None, None, 10).await.unwrap().len();
    let uploads_before = uploads();

    let upload = format!("/api/v1/resources/{}/ingestions?name=a.csv", served.scenario.resource("trips"));
    let batch = "/api/v1/consents/batches";
    let people = format!(r#"{{"identities": ["{}", ""#, id_number(0));
    let kept = async {
        // It is on its way, and takes its room.
        while uploads() == uploads_before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (stopped, batch_stopped, batch_drips, ()) = tokio::join!(
        sent_slowly(&provider, &upload, "trip_id,line,day", false),
        sent_slowly(&agent, batch, &people, false),
        // A body that is no file has its time as a whole, however it comes.
        sent_slowly(&agent, batch, &people, true),
        kept
    );
    for answer in [&stopped, &batch_stopped, &batch_drips] {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        assert!(answer.contains(TOLD), "{answer}");
        assert!(!answer.contains(&id_number(0)) && !answer.contains("trip_id"), "{answer}");
    }
    assert_eq!(uploads(), uploads_before, "what was sent of the file is gone");
    assert_eq!(app.ingestions(None, None, None, 10).await.unwrap().len(), jobs_before);
    assert!(app.read(|state| state.consent_batches.is_empty() && state.consents.is_empty()));
    // The agent may begin again at once.
    let details = serde_json::to_value(served.scenario.consent_details()).unwrap();
    let form = serde_json::json!({"identities": [id_number(0), id_number(1)], "details": details});
    assert_eq!(agent.post(batch, &form).await.status, 201);
}

/// Whoever sends a little all the time holds room that others wait for: after an hour he is told to begin again.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_takes_more_than_an_hour_is_refused_and_leaves_nothing() {
    let served = Served::of(Scenario::open_behind(200, 1).await).await;
    let app = &served.scenario.app;
    let provider = served.sign_in("clerk4").await;
    let folder = app.directory().join("ingestions");
    let uploads = || -> Vec<_> {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let jobs_before = app.ingestions(None, None, None, 10).await.unwrap().len();
    let uploads_before = uploads();
    let upload = format!("/api/v1/resources/{}/ingestions?name=a.csv", served.scenario.resource("trips"));
    let beginning = "trip_id,line,day";
    let mut line = begun(&provider, &upload, beginning).await;
    // What of it is kept by now: a write is on its way to the disk for a moment.
    let kept = async |bytes: usize| {
        for _ in 0..500 {
            let new = uploads().into_iter().find(|path| !uploads_before.contains(path));
            let file = new.map(|folder| folder.join("a.csv")).and_then(|file| std::fs::read(file).ok());
            if file.is_some_and(|file| file.len() == bytes) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{bytes} bytes were not kept within ten seconds: {:?}", uploads());
    };
    kept(beginning.len()).await;
    // The hour is not over: what comes is taken.
    app.clock().advance(SignedDuration::from_mins(59));
    line.write_all(b",").await.unwrap();
    kept(beginning.len() + 1).await;
    app.clock().advance(SignedDuration::from_mins(2));
    line.write_all(b"d").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let mut piece = vec![0; ANSWER_BYTES];
        let count = tokio::time::timeout(Duration::from_secs(20), line.read(&mut piece)).await.expect("it is answered");
        let count = count.unwrap();
        assert_ne!(count, 0, "the line was closed after {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..count]);
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"code\":\"upload_too_long\"") && answer.contains("60 minutes"), "{answer}");
    assert!(!answer.contains("trip_id"), "{answer}");
    assert_eq!(uploads(), uploads_before, "what was sent of the file is gone");
    assert_eq!(app.ingestions(None, None, None, 10).await.unwrap().len(), jobs_before);
}
