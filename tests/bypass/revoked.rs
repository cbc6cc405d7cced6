//! Statements that were prepared while there was a right to their answer, and executed after it was taken away.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command as Program, Stdio};

use serde_json::{Value, json};

use crate::clients::python;
use crate::served::{Guarded, told};
use lingqu_domain::command::Command;
use lingqu_tests::scenario::Who;

const STATEMENTS: &[&str] = &[
    "SELECT * FROM trip_guarded",
    "SELECT count(*) FROM trip_guarded",
    "SELECT trip_id FROM trip_guarded WHERE trip_id = 1",
];

/// How a right is taken away, and what each attempt is refused with then.
#[derive(Clone, Copy, Debug)]
enum Taking {
    Suspension,
    Revocation,
    End,
}

impl Taking {
    async fn take(self, guarded: &Guarded) {
        let (scenario, order) = (&guarded.scenario, guarded.order.id.clone());
        match self {
            Taking::Suspension => scenario.suspend_mandate("数据召回").await,
            Taking::Revocation => {
                let key = scenario.app.read(|state| state.orders[&order].value.service_keys[0].id.clone());
                scenario.act(scenario.clerk(Who::First), Command::RevokeServiceKey { order, key }).await;
            }
            Taking::End => {
                let end = Command::EndOrder { order, reason: "不再需要".to_owned() };
                scenario.act(scenario.chief(Who::First), end).await;
            }
        }
    }

    fn codes(self) -> &'static [&'static str] {
        match self {
            Taking::Suspension => &["grant_suspended"],
            Taking::Revocation => &["bad_service_key"],
            // Ending an order revokes its keys.
            Taking::End => &["bad_service_key", "grant_ended"],
        }
    }
}

async fn prepared_before(door: &'static str, taking: Taking) {
    let Some(python) = python() else { return };
    let guarded = Guarded::open().await;
    let address = if door == "flight" { &guarded.flight } else { &guarded.postgres };
    let asked = json!({
        "door": door,
        "address": address,
        "order": guarded.order.id.to_string(),
        "key": guarded.order.key,
        "statements": STATEMENTS,
    });
    let file = guarded.scenario.directory().join("prepared.json");
    std::fs::write(&file, asked.to_string()).expect("the scenario's directory is writable");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bypass/revoked.py");
    let mut command = Program::new(python);
    command.arg(script).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the client runs");
    let mut output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let (line, output) = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        output.read_line(&mut line).expect("the client writes");
        (line, output)
    })
    .await
    .expect("reading does not panic");
    assert_eq!(line.trim(), "ready", "{:?}", child.wait_with_output());
    taking.take(&guarded).await;
    child.stdin.take().expect("stdin is a pipe").write_all(b"go\n").expect("the client waits");
    let (answers, errors) = tokio::task::spawn_blocking(move || {
        let mut output = output;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut output, &mut text).expect("the client writes text");
        (text, child.wait_with_output())
    })
    .await
    .expect("reading does not panic");
    let answers: Vec<Value> = serde_json::from_str(&answers).unwrap_or_else(|_| panic!("{errors:?}"));
    assert!(answers.len() >= STATEMENTS.len() * 2, "{answers:?}");
    for answer in answers {
        let said = answer["said"].as_str().unwrap_or_else(|| panic!("{door}, {taking:?}: it was answered: {answer}"));
        // A connection may also have been closed on the client.
        let is_closed = door == "postgres" && said.contains("closed");
        assert!(is_closed || taking.codes().iter().any(|code| said.contains(code)), "{door}, {taking:?}: {said}");
        assert!(told(said, "").is_empty(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_prepared_over_flight_sql_is_refused_after_a_suspension() {
    prepared_before("flight", Taking::Suspension).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_prepared_over_flight_sql_is_refused_after_a_revocation_and_an_end() {
    prepared_before("flight", Taking::Revocation).await;
    prepared_before("flight", Taking::End).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_prepared_over_postgres_is_refused_after_a_suspension() {
    prepared_before("postgres", Taking::Suspension).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_prepared_over_postgres_is_refused_after_a_revocation_and_an_end() {
    prepared_before("postgres", Taking::Revocation).await;
    prepared_before("postgres", Taking::End).await;
}
