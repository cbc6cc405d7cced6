//! Clients who begin to send and go no further: each is told so in time, and nothing of what it sent is left.
//!
//! Half a minute really passes here: the limit belongs to the machine's clock, which no test can set. How long it took is
//! not asserted; the answer is, and that it comes while the client still holds its line.

use std::time::Duration;

use lingqu_tests::scenario::id_number;
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

/// Sends a request's head and the beginning of its body, then one byte now and then or none, and reads what is answered.
async fn sent_slowly(client: &Client, path: &str, beginning: &str, goes_on: bool) -> String {
    let address = client.base.strip_prefix("http://").unwrap();
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncookie: {}\r\nx-csrf-token: {}\r\nidempotency-key: {}\r\n\
         content-type: application/json\r\ncontent-length: {LENGTH}\r\n\r\n{beginning}",
        client.cookie.as_deref().unwrap(),
        client.csrf.as_deref().unwrap(),
        new_key(),
    );
    writer.write_all(head.as_bytes()).await.unwrap();
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
