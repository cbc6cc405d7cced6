//! The stage on which the demo plays: the node, its addresses, its clock, and an HTTP client that knows only what a
//! consumer knows.

use std::str::FromStr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lingqu_app::{App, AppError};
use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::scope::Term;
use serde_json::Value;

use crate::DemoError;
use crate::report::RefusalShown;

/// The node and the ways to it.
pub struct Stage {
    /// The node.
    pub app: Arc<App>,
    /// Where its listener answers, without a slash at the end.
    pub base_url: String,
    client: reqwest::Client,
}

/// An answer of the data plane.
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The `Delivery-Receipt` header.
    pub receipt: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body, when the request was answered. Error: names the problem.
    pub fn answered(self, what: &str) -> Result<Reply, DemoError> {
        if self.status == 200 {
            return Ok(self);
        }
        Err(DemoError::Unexpected(format!("{what}: HTTP {} {}", self.status, String::from_utf8_lossy(&self.body))))
    }
}

impl Stage {
    /// A stage over a node that answers at an address.
    pub fn new(app: Arc<App>, base_url: &str) -> Result<Stage, DemoError> {
        let client =
            reqwest::Client::builder().no_proxy().build().map_err(|error| DemoError::Http(error.to_string()))?;
        Ok(Stage { app, base_url: base_url.trim_end_matches('/').to_owned(), client })
    }

    /// Gives a command and answers the id of what it made, by the kind of the event.
    pub async fn give<T: FromStr>(&self, actor: &Actor, command: Command, kind: &str) -> Result<T, DemoError> {
        let name = command.name();
        let executed = self.app.execute(actor, command, Default::default()).await?;
        let stream = executed
            .events
            .iter()
            .find(|event| event.kind == kind)
            .ok_or_else(|| DemoError::Unexpected(format!("{name} led to no {kind}")))?;
        stream.stream.parse().map_err(|_| DemoError::Unexpected(format!("{} is no id of {kind}", stream.stream)))
    }

    /// Gives a command whose result is not needed.
    pub async fn act(&self, actor: &Actor, command: Command) -> Result<(), DemoError> {
        self.app.execute(actor, command, Default::default()).await?;
        Ok(())
    }

    /// Gives a command that must be refused, and shows how.
    pub async fn must_refuse(
        &self,
        tried: &str,
        actor: &Actor,
        command: Command,
        code: &str,
    ) -> Result<RefusalShown, DemoError> {
        match self.app.execute(actor, command, Default::default()).await {
            Ok(_) => Err(DemoError::Unexpected(format!("{tried} was not refused"))),
            Err(error) => Ok(shown_error(tried, &error, code)),
        }
    }

    /// Sends a request to the data plane.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<Value>,
    ) -> Result<Reply, DemoError> {
        let url = format!("{}{path}", self.base_url);
        let mut request = match method {
            "POST" => self.client.post(url),
            _ => self.client.get(url),
        };
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        reply_to(request).await
    }

    /// Posts a text to any address.
    pub async fn post_text(&self, url: &str, text: String) -> Result<Reply, DemoError> {
        reply_to(self.client.post(url).body(text)).await
    }

    /// Moves the node's clock forward by working hours of its day, to make the next step plausible.
    pub fn wait_hours(&self, hours: i64) {
        self.app.clock().advance(SignedDuration::from_hours(hours));
    }

    /// Moves the clock forward day by day until a look at the state is satisfied, at most a year.
    pub fn wait_until(&self, mut satisfied: impl FnMut(Timestamp) -> bool) -> Result<i64, DemoError> {
        for days in 0..366 {
            if satisfied(self.app.now()) {
                return Ok(days);
            }
            self.app.clock().advance(SignedDuration::from_hours(24));
        }
        Err(DemoError::Unexpected("a deadline did not pass within a year".to_owned()))
    }

    /// A term of days from now.
    pub fn term_days(&self, days: i64) -> Term {
        let from = self.app.now();
        Term { from, until: from.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX) }
    }
}

async fn reply_to(request: reqwest::RequestBuilder) -> Result<Reply, DemoError> {
    let response = request.send().await.map_err(|error| DemoError::Http(error.to_string()))?;
    let status = response.status().as_u16();
    let receipt = response.headers().get("delivery-receipt").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = response.bytes().await.map_err(|error| DemoError::Http(error.to_string()))?.to_vec();
    Ok(Reply { status, receipt, body })
}

/// A refused request to the data plane, as shown.
pub fn shown_reply(tried: &str, reply: &Reply, code: &str) -> RefusalShown {
    let problem = reply.json();
    let found = problem["code"].as_str().unwrap_or("").to_owned();
    RefusalShown {
        tried: tried.to_owned(),
        status: reply.status,
        expected: reply.status >= 400 && found == code,
        code: found,
        problem,
    }
}

fn shown_error(tried: &str, error: &AppError, code: &str) -> RefusalShown {
    let problem = error.problem();
    RefusalShown {
        tried: tried.to_owned(),
        status: problem.status,
        expected: problem.code == code,
        code: problem.code.clone(),
        problem: serde_json::to_value(&problem).unwrap_or(Value::Null),
    }
}
