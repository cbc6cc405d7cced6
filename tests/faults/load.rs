//! Clients that hammer a node until it is gone, and remember what they were promised.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lingqu_domain::command::Command;
use lingqu_tests::scenario::{Ordered, Trip};
use reqwest::{Client, RequestBuilder, Response};
use roaring::RoaringTreemap;
use serde_json::{Value, json};

use crate::prepared::{PASSWORD, Prepared};

/// Longest time that one client goes on after the node is gone.
pub const CLIENT_TIME_MAX: Duration = Duration::from_secs(30);

static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

/// A signed-in user; the session outlives the processes that serve it.
#[derive(Clone, Debug)]
pub struct User {
    cookie: String,
    csrf: String,
}

/// The users who give commands.
#[derive(Clone, Debug)]
pub struct Users {
    /// Handler of the consumer.
    pub clerk: User,
    /// Approver of the consumer.
    pub chief: User,
    /// Approver of the operator.
    pub operator: User,
}

/// A change that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    user: User,
    path: String,
    body: Value,
    idempotency_key: String,
}

impl Sent {
    fn new(user: &User, path: &str, body: Value) -> Sent {
        let number = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        let idempotency_key = format!("fault-{}-{number}", std::process::id());
        Sent { user: user.clone(), path: path.to_owned(), body, idempotency_key }
    }
}

/// A command whose answer arrived whole.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The command's id in the journal.
    pub command_id: String,
    /// Stream and kind of its events.
    pub events: Vec<(String, String)>,
}

/// A delivery of which at least the head arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The receipt that its head names.
    pub receipt: String,
    /// Numbers of the rows of which at least a byte arrived.
    pub rows: RoaringTreemap,
    /// Bytes of the body that arrived.
    pub bytes: u64,
    /// Whether the body came to its end.
    pub is_whole: bool,
    /// What a verification said and what it should have said.
    pub result: Option<(String, &'static str)>,
}

/// What clients were promised.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// Commands that were acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// Changes whose answer never came.
    pub unanswered: Vec<Sent>,
    /// Service keys that were shown.
    pub service_keys: Vec<(String, String)>,
    /// Deliveries that arrived, whole or in part.
    pub arrived: Vec<Arrived>,
    /// Answers that said no, by code.
    pub refused: BTreeMap<String, u64>,
}

impl Promises {
    /// Adds another client's.
    pub fn add(&mut self, other: Promises) {
        self.acknowledged.extend(other.acknowledged);
        self.unanswered.extend(other.unanswered);
        self.service_keys.extend(other.service_keys);
        self.arrived.extend(other.arrived);
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
    }
}

/// A node's clients.
#[derive(Clone, Debug)]
pub struct Clients {
    url: String,
    http: Client,
}

impl Clients {
    /// Clients of the node at an address.
    pub fn of(url: &str) -> Clients {
        let http = Client::builder().no_proxy().build().expect("a client needs nothing");
        Clients { url: url.to_owned(), http }
    }

    /// Signs everybody in.
    pub async fn sign_in(&self) -> Users {
        Users {
            clerk: self.sign_in_as("clerk8").await,
            chief: self.sign_in_as("chief8").await,
            operator: self.sign_in_as("chief3").await,
        }
    }

    async fn sign_in_as(&self, login: &str) -> User {
        let request = self.http.post(format!("{}/api/v1/session", self.url)).header("content-type", "application/json");
        let response = request.body(json!({"login": login, "password": PASSWORD}).to_string()).send().await;
        let response = response.expect("an idle node answers");
        assert_eq!(response.status(), 200, "{login} can't sign in");
        let cookie = response.headers()["set-cookie"].to_str().expect("cookies are text").to_owned();
        let session: Value = json_of(response).await.expect("an idle node answers whole");
        User {
            cookie: cookie.split(';').next().unwrap_or_default().to_owned(),
            csrf: session["csrf"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Sends a change that was sent before, once more and with the same key. Answers what came of it.
    pub async fn send_again(&self, sent: &Sent) -> Outcome {
        self.send(sent).await
    }

    async fn send(&self, sent: &Sent) -> Outcome {
        let request = self
            .http
            .post(format!("{}{}", self.url, sent.path))
            .header("cookie", &sent.user.cookie)
            .header("x-csrf-token", &sent.user.csrf)
            .header("content-type", "application/json")
            .header("idempotency-key", &sent.idempotency_key)
            .body(sent.body.to_string());
        let Ok(response) = request.send().await else { return Outcome::Gone };
        let status = response.status().as_u16();
        match json_of(response).await {
            Some(answer) if status < 300 => Outcome::Done(answer),
            Some(problem) => Outcome::Refused(code_of(&problem)),
            None => Outcome::Gone,
        }
    }

    /// Gives commands until the node is gone: orders, both signatures, a service key, a verification under it.
    pub async fn give_commands(self, users: Users, place_order: Command) -> Promises {
        let mut promises = Promises::default();
        let place = serde_json::to_value(&place_order).expect("a command can be written as JSON");
        while self.one_order(&users, &place, &mut promises).await.is_some() {}
        promises
    }

    async fn one_order(&self, users: &Users, place: &Value, promises: &mut Promises) -> Option<()> {
        let commands = "/api/v1/commands";
        let placed = self.give(&users.clerk, commands, place.clone(), promises).await?;
        let order = placed["events"][0]["stream"].as_str().expect("an order was placed").to_owned();
        let request = self.http.get(format!("{}/api/v1/orders/{order}", self.url));
        let seen = json_of(request.header("cookie", &users.clerk.cookie).send().await.ok()?).await?;
        let terms_digest = seen["body"]["contract"]["terms_digest"].clone();
        assert!(terms_digest.is_string(), "an acknowledged order is not there: {seen}");
        let sign = json!({"command": "sign_contract", "order": order, "terms_digest": terms_digest});
        self.give(&users.chief, commands, sign.clone(), promises).await?;
        self.give(&users.operator, commands, sign, promises).await?;
        let path = format!("/api/v1/orders/{order}/service-keys");
        let issued = self.give(&users.clerk, &path, Value::Null, promises).await?;
        let key = issued["key"].as_str().expect("an issued key is shown").to_owned();
        promises.service_keys.push((order.clone(), key.clone()));
        self.verify_one(&key, 1, promises).await
    }

    /// Sends a change and remembers what came of it; none when the node is gone.
    async fn give(&self, user: &User, path: &str, body: Value, promises: &mut Promises) -> Option<Value> {
        let sent = Sent::new(user, path, body);
        match self.send(&sent).await {
            Outcome::Done(answer) => {
                promises.acknowledged.extend(acknowledged_of(&answer));
                Some(answer)
            }
            Outcome::Refused(code) => panic!("{} {} was refused: {code}", sent.path, sent.body),
            Outcome::Gone => {
                promises.unanswered.push(sent);
                None
            }
        }
    }

    /// Verifies until the node is gone.
    pub async fn verify(self, order: Ordered, trips: usize, start: usize) -> Promises {
        let mut promises = Promises::default();
        let mut trip = start;
        while self.verify_one(&order.key, trip % trips, &mut promises).await.is_some() {
            trip += 7;
        }
        promises
    }

    async fn verify_one(&self, key: &str, trip: usize, promises: &mut Promises) -> Option<()> {
        let claim = json!({"key": {"trip_id": trip}, "claim": {"late": true}});
        let request = self.http.post(format!("{}/data/v1/trip_check/verify", self.url));
        let request = request.bearer_auth(key).header("content-type", "application/json").body(claim.to_string());
        let expected = if Trip::of(trip).delay.is_some_and(|delay| delay >= 60) { "match" } else { "mismatch" };
        let response = admitted(request, promises).await?;
        let Some(mut response) = response else { return Some(()) };
        let mut arrived = Arrived::of(&response);
        // A verification tells of its row with its first byte, or with its head.
        arrived.rows.insert(trip as u64);
        let mut body = Vec::new();
        arrived.is_whole = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        arrived.bytes = body.len() as u64;
        let is_whole = arrived.is_whole;
        if is_whole {
            let answer: Value = serde_json::from_slice(&body).expect("a whole answer is JSON");
            arrived.result = Some((answer["result"].as_str().unwrap_or_default().to_owned(), expected));
        }
        promises.arrived.push(arrived);
        is_whole.then_some(())
    }

    /// Draws pages, files and parts of files until the node is gone.
    pub async fn draw(self, order: Ordered, paths: &'static [&'static str]) -> Promises {
        let mut promises = Promises::default();
        for path in paths.iter().cycle() {
            let request =
                self.http.get(format!("{}/data/v1/{}/{path}", self.url, order.product)).bearer_auth(&order.key);
            let Some(response) = admitted(request, &mut promises).await else { break };
            let Some(response) = response else { continue };
            let arrived = draw_csv(response).await;
            let is_whole = arrived.is_whole;
            promises.arrived.push(arrived);
            if !is_whole {
                break;
            }
        }
        promises
    }

    /// Places orders; what is refused is remembered.
    pub async fn try_commands(&self, users: &Users, place_order: &Command, count: usize) -> Promises {
        let mut promises = Promises::default();
        let place = serde_json::to_value(place_order).expect("a command can be written as JSON");
        for _ in 0..count {
            match self.send(&Sent::new(&users.clerk, "/api/v1/commands", place.clone())).await {
                Outcome::Done(answer) => promises.acknowledged.extend(acknowledged_of(&answer)),
                Outcome::Refused(code) => *promises.refused.entry(code).or_default() += 1,
                Outcome::Gone => panic!("the node is gone"),
            }
        }
        promises
    }

    /// Verifies; what is refused is remembered.
    pub async fn try_verifications(&self, order: &Ordered, count: usize) -> Promises {
        let mut promises = Promises::default();
        for trip in 0..count {
            let body = json!({"key": {"trip_id": trip}, "claim": {"late": true}}).to_string();
            let request = self.http.post(format!("{}/data/v1/{}/verify", self.url, order.product));
            let request = request.bearer_auth(&order.key).header("content-type", "application/json").body(body);
            let response = request.send().await.expect("the node is there");
            if response.status() == 200 {
                let mut arrived = Arrived::of(&response);
                arrived.rows.insert(trip as u64);
                arrived.bytes = response.bytes().await.expect("the node is there").len() as u64;
                arrived.is_whole = true;
                promises.arrived.push(arrived);
            } else {
                let problem = json_of(response).await.expect("the node is there");
                *promises.refused.entry(code_of(&problem)).or_default() += 1;
            }
        }
        promises
    }

    /// Sends a batch of claims. Answers the problem's code when it is refused.
    pub async fn verify_batch(&self, key: &str, count: u64) -> Result<(), String> {
        let claims: Vec<Value> =
            (0..count).map(|trip| json!({"key": {"trip_id": trip}, "claim": {"late": true}})).collect();
        let request = self.http.post(format!("{}/data/v1/trip_check/verify", self.url));
        let request = request.bearer_auth(key).header("content-type", "application/json");
        let response =
            request.body(json!({ "claims": claims }).to_string()).send().await.expect("an idle node answers");
        let status = response.status().as_u16();
        let answer = json_of(response).await.expect("an idle node answers whole");
        if status == 200 { Ok(()) } else { Err(code_of(&answer)) }
    }

    /// Whether a service key is taken.
    pub async fn is_key_taken(&self, key: &str) -> bool {
        let mut promises = Promises::default();
        self.verify_one(key, 1, &mut promises).await.expect("an idle node answers");
        !promises.refused.contains_key("bad_service_key")
    }
}

impl Prepared {
    /// Every kind of load at once.
    pub fn hammer(&self, clients: &Clients, users: &Users, round: usize) -> tokio::task::JoinSet<Promises> {
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..2 {
            running.spawn(clients.clone().give_commands(users.clone(), self.place_order.clone()));
        }
        running.spawn(clients.clone().verify(self.check.clone(), self.trips, round * 131));
        running.spawn(clients.clone().verify(self.capped.clone(), self.trips, round * 17 + 1));
        running.spawn(clients.clone().draw(self.records.clone(), &["export?format=csv"]));
        let paths = &[
            "rows?format=csv&columns=trip_id,line&limit=5000",
            "rows?format=csv&filter=line:eq:L9&limit=100",
            "export?format=csv&columns=trip_id&filter=delay:ge:100",
        ];
        running.spawn(clients.clone().draw(self.records.clone(), paths));
        let counted = &["export?format=csv", "rows?format=csv&columns=trip_id,line&limit=5000"];
        running.spawn(clients.clone().draw(self.counted.clone(), counted));
        running
    }
}

/// What came of a change.
pub enum Outcome {
    /// It was carried out: the answer.
    Done(Value),
    /// It was refused: the code.
    Refused(String),
    /// No whole answer came.
    Gone,
}

/// The command of an answer, when it tells one.
pub fn acknowledged_of(answer: &Value) -> Option<Acknowledged> {
    let events = answer["events"].as_array()?.iter().map(|event| {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        (text("stream"), text("kind"))
    });
    Some(Acknowledged { command_id: answer["command_id"].as_str()?.to_owned(), events: events.collect() })
}

impl Arrived {
    fn of(response: &Response) -> Arrived {
        let receipt = response.headers().get("delivery-receipt").and_then(|value| value.to_str().ok());
        Arrived {
            receipt: receipt.expect("every answer names its receipt").to_owned(),
            rows: RoaringTreemap::new(),
            bytes: 0,
            is_whole: false,
            result: None,
        }
    }
}

/// Sends a request. None: the node is gone; none inside: it said no, which is remembered. A fault of the node fails the test.
async fn admitted(request: RequestBuilder, promises: &mut Promises) -> Option<Option<Response>> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    if status == 200 {
        return Some(Some(response));
    }
    let problem = json_of(response).await?;
    assert!(status < 500, "the node failed: {problem}");
    *promises.refused.entry(code_of(&problem)).or_default() += 1;
    Some(None)
}

/// Reads a CSV whose first column is `trip_id`. A row counts as soon as its number is complete.
async fn draw_csv(mut response: Response) -> Arrived {
    let mut arrived = Arrived::of(&response);
    let mut number = String::new();
    let mut is_first_field = true;
    let mut is_header = true;
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => {
                arrived.is_whole = true;
                return arrived;
            }
            Err(_) => return arrived,
        };
        arrived.bytes += chunk.len() as u64;
        for byte in chunk {
            match byte {
                b',' | b'\n' => {
                    if is_first_field && !is_header {
                        let trip = number.parse().unwrap_or_else(|_| panic!("{number:?} is no number of a trip"));
                        assert!(arrived.rows.insert(trip), "trip {trip} came twice in one answer");
                    }
                    number.clear();
                    is_first_field = byte == b'\n';
                    is_header &= byte == b',';
                }
                _ if is_first_field => number.push(byte as char),
                _ => {}
            }
        }
    }
}

async fn json_of(response: Response) -> Option<Value> {
    let bytes = response.bytes().await.ok()?;
    Some(serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&bytes))))
}

fn code_of(problem: &Value) -> String {
    problem["code"].as_str().unwrap_or("a problem without a code").to_owned()
}
