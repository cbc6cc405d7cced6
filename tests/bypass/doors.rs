//! The doors that take statements, each asked through a client that others wrote, and what a refusal looks like at each.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::clients::{python, script};
use crate::served::Guarded;
use lingqu_tests::scenario::Ordered;

/// A door that takes statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Http,
    Flight,
    Postgres,
}

impl Door {
    pub const ALL: [Door; 3] = [Door::Http, Door::Flight, Door::Postgres];
}

/// What came of a statement at a door: rows, or a stable code, what the protocol itself has for it, and everything that was
/// said.
#[derive(Debug)]
pub struct Seen {
    pub rows: Option<Vec<Vec<String>>>,
    pub code: String,
    pub state: String,
    pub said: String,
}

/// When a statement is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// While it is planned: nothing has been read.
    Planned,
    /// When its groups have been counted, and nothing of them has left.
    Counted,
    /// While it ran.
    Run,
}

/// Said of a body that broke off.
const CUT: &str = "the body broke off";

/// Codes of refusals with their stage, and the HTTP status, gRPC status and SQLSTATE of each.
const CODES: &[(&str, Stage, &str, &str, &str)] = &[
    ("column_not_granted", Stage::Planned, "403", "UNAUTHORIZED", "42703"),
    ("table_not_granted", Stage::Planned, "403", "UNAUTHORIZED", "42P01"),
    ("function_not_allowed", Stage::Planned, "422", "INVALID_ARGUMENT", "42883"),
    ("statement_not_understood", Stage::Planned, "422", "INVALID_ARGUMENT", "42601"),
    ("statement_not_allowed", Stage::Planned, "422", "INVALID_ARGUMENT", "0A000"),
    ("statement_too_large", Stage::Planned, "422", "INVALID_ARGUMENT", "54001"),
    ("clause_not_allowed", Stage::Planned, "422", "INVALID_ARGUMENT", "0A000"),
    ("schema_asked_with_data", Stage::Planned, "422", "INVALID_ARGUMENT", "0A000"),
    ("not_an_aggregate", Stage::Planned, "422", "INVALID_ARGUMENT", "0A000"),
    ("dimension_not_declared", Stage::Planned, "422", "INVALID_ARGUMENT", "0A000"),
    ("aggregate_not_allowed", Stage::Planned, "422", "INVALID_ARGUMENT", "0A000"),
    ("domain_not_declared", Stage::Planned, "422", "INVALID_ARGUMENT", "22023"),
    ("privacy_budget_exhausted", Stage::Planned, "403", "UNAUTHORIZED", "42501"),
    ("cohort_too_small", Stage::Counted, "403", "UNAUTHORIZED", "42501"),
    ("difference_too_small", Stage::Counted, "403", "UNAUTHORIZED", "42501"),
    ("query_failed", Stage::Run, "422", "INVALID_ARGUMENT", "22000"),
    ("time_limit_exceeded", Stage::Run, "422", "INVALID_ARGUMENT", "57014"),
    ("rows_limit_exceeded", Stage::Run, "422", "INVALID_ARGUMENT", "54000"),
    ("bytes_limit_exceeded", Stage::Run, "422", "INVALID_ARGUMENT", "54000"),
    ("memory_limit_exceeded", Stage::Run, "422", "INVALID_ARGUMENT", "53200"),
];

/// SQLSTATEs of what PostgreSQL's door alone refuses, none of which reads the order's table: a setting that is not there, a
/// question to the catalogue that is too large, a cursor without a transaction.
const POSTGRES_OWN: [&str; 3] = ["42704", "54000", "25P01"];

impl Seen {
    /// At which stage it was refused; none when it was answered, when its code is unknown, or when the door tells another status
    /// with the code than it has.
    pub fn refused_at(&self, door: Door) -> Option<Stage> {
        if self.rows.is_some() {
            return None;
        }
        if door == Door::Postgres && self.code == "malformed_request" && POSTGRES_OWN.contains(&self.state.as_str()) {
            return Some(Stage::Planned);
        }
        let (_, stage, http, grpc, sqlstate) = CODES.iter().find(|(code, ..)| *code == self.code)?;
        let state = match door {
            Door::Http => http,
            Door::Flight => grpc,
            Door::Postgres => sqlstate,
        };
        (self.state == **state).then_some(*stage)
    }

    /// Whether the body of an answer over HTTP broke off: what fails after something has left can tell nothing more.
    pub fn is_cut(&self) -> bool {
        self.rows.is_none() && self.said.ends_with(CUT)
    }

    /// Whether it says in both languages under which id the node's log has more, and the same id.
    pub fn names_its_log(&self) -> bool {
        let behind = |words: &str| {
            let (_, rest) = self.said.split_once(words)?;
            rest.split(|letter: char| !letter.is_ascii_hexdigit()).next()
        };
        let (english, chinese) = (behind("correlation id "), behind("日志编号 "));
        english == chinese && english.is_some_and(|id| id.len() == 32)
    }

    /// Its beginning, to be shown.
    pub fn short(&self) -> String {
        let said: String = self.said.chars().take(600).collect();
        format!("{} [{}]: {said}", self.code, self.state)
    }
}

/// Asks a door each of some statements with an order's key. Nothing where the door's client is missing.
pub async fn ask(guarded: &Guarded, order: &Ordered, door: Door, statements: &[&str]) -> Option<Vec<Seen>> {
    let seen = match door {
        Door::Http => through_http(guarded, order, statements).await,
        Door::Flight => through_a_client("flight", &guarded.flight, guarded, order, statements).await?,
        Door::Postgres => through_a_client("postgres", &guarded.postgres, guarded, order, statements).await?,
    };
    assert_eq!(seen.len(), statements.len());
    Some(seen)
}

async fn through_http(guarded: &Guarded, order: &Ordered, statements: &[&str]) -> Vec<Seen> {
    let url = format!("{}/data/v1/{}/query", guarded.http, order.product);
    let mut found = Vec::with_capacity(statements.len());
    for statement in statements {
        let request = guarded.client.post(&url).bearer_auth(&order.key).header("content-type", "application/json");
        // One that breaks off at once may take its head along, which the server then had not sent yet.
        let reply = match request.body(json!({ "sql": statement }).to_string()).send().await {
            Ok(reply) => reply,
            Err(error) => {
                assert!(error.is_request() && !error.is_connect() && !error.is_timeout(), "{error:?}");
                found.push(Seen { rows: None, code: String::new(), state: String::new(), said: CUT.to_owned() });
                continue;
            }
        };
        let (status, headers) = (reply.status(), format!("{:?}", reply.headers()));
        // A body that breaks off is an answer that failed while it ran.
        let text = reply.text().await.unwrap_or_else(|_| CUT.to_owned());
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        let rows = value["rows"].as_array().filter(|_| status == StatusCode::OK);
        let rows = rows.map(|rows| rows.iter().map(cells).collect());
        let code = value["code"].as_str().unwrap_or_default().to_owned();
        found.push(Seen { rows, code, state: status.as_str().to_owned(), said: format!("{headers} {text}") });
    }
    found
}

async fn through_a_client(
    door: &str,
    address: &str,
    guarded: &Guarded,
    order: &Ordered,
    statements: &[&str],
) -> Option<Vec<Seen>> {
    let python = python()?;
    let asked = json!({
        "door": door,
        "address": address,
        "order": order.id.to_string(),
        "key": order.key,
        "statements": statements,
    });
    let file = guarded.scenario.directory().join(format!("{door}-statements.json"));
    std::fs::write(&file, asked.to_string()).expect("the scenario's directory is writable");
    let path = file.display().to_string();
    let ended = tokio::task::spawn_blocking(move || script(&python, "../bypass/ask.py", &[&path]));
    let ended = ended.await.expect("the client does not panic");
    let answers: Vec<Value> = serde_json::from_str(&ended.stdout).expect("the script prints JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let seen = answers.iter().map(|answer| Seen {
        rows: answer["rows"].as_array().map(|rows| rows.iter().map(cells).collect()),
        code: text(&answer["code"]),
        state: text(&answer["state"]),
        said: answer.to_string(),
    });
    Some(seen.collect())
}

/// A row's cells as text; rows are objects or arrays by the door.
fn cells(row: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match row {
        Value::Object(cells) => cells.values().map(text).collect(),
        Value::Array(cells) => cells.iter().map(text).collect(),
        other => vec![text(other)],
    }
}
