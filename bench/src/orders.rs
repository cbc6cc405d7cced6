//! Orders with room for the load, placed and signed over HTTP by the demo's users, and the requests made under them.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::failure::{BenchError, file_error};
use crate::load::Plan;
use crate::node::{Demo, Node};

/// Calls and data sets: more than any machine uses up in ten minutes.
const QUOTA: (u64, u64) = (1_000_000_000, 1_000_000);
/// Flights that are asked for in turn.
const FLIGHTS_COUNT: usize = 2_000;
/// The route on which claims are verified.
pub const VERIFY: &str = "/verify";

/// An order and its key.
pub struct Order {
    /// The product's table name.
    pub product: &'static str,
    /// The service key.
    pub key: String,
}

/// The orders that are measured.
pub struct Orders {
    /// Verification of claims.
    pub claims: Order,
    /// The data set.
    pub records: Order,
}

struct Session<'a> {
    node: &'a Node,
    client: &'a Client,
    cookie: String,
    csrf: String,
}

/// Places one order for each product, like the demo's first one, and issues a key for it; and for the crowd some more orders of
/// the data set.
pub async fn place(node: &Node, demo: &Demo, crowd: usize) -> Result<(Orders, Vec<Order>), BenchError> {
    let client = Client::builder().no_proxy().build()?;
    let desk = Desk {
        handler: sign_in(node, demo, &client, "insurer.handler").await?,
        consumer: sign_in(node, demo, &client, "insurer.approver").await?,
        operator: sign_in(node, demo, &client, "operator.approver").await?,
    };
    let orders = Orders {
        claims: desk.order(demo, "flight_delay_check").await?,
        records: desk.order(demo, "flight_records").await?,
    };
    let mut more = Vec::with_capacity(crowd);
    for _ in 0..crowd {
        more.push(desk.order(demo, "flight_records").await?);
    }
    Ok((orders, more))
}

/// Those who place and sign orders.
struct Desk<'a> {
    handler: Session<'a>,
    consumer: Session<'a>,
    operator: Session<'a>,
}

impl Desk<'_> {
    async fn order(&self, demo: &Demo, product: &'static str) -> Result<Order, BenchError> {
        let like = demo.orders.iter().find(|order| order.product == product);
        let like = like.ok_or_else(|| BenchError::Unexpected(format!("the demo has no order for {product}")))?;
        let mut details = self.handler.get(&format!("/api/v1/orders/{}", like.id)).await?["body"]["details"].clone();
        details["quota"] = json!({"calls": QUOTA.0, "data_sets": QUOTA.1});
        let made = self.handler.post("/api/v1/commands", json!({"command": "place_order", "details": details})).await?;
        let order = text(&made["events"][0]["stream"])?;
        let seen = self.handler.get(&format!("/api/v1/orders/{order}")).await?;
        let terms_digest = text(&seen["body"]["contract"]["terms_digest"])?;
        for party in [&self.consumer, &self.operator] {
            let sign = json!({"command": "sign_contract", "order": order, "terms_digest": terms_digest});
            party.post("/api/v1/commands", sign).await?;
        }
        let issued = self.handler.post(&format!("/api/v1/orders/{order}/service-keys"), Value::Null).await?;
        Ok(Order { product, key: text(&issued["key"])? })
    }
}

fn text(value: &Value) -> Result<String, BenchError> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| BenchError::Unexpected(format!("a text was expected and there is {value}")))
}

async fn sign_in<'a>(node: &'a Node, demo: &Demo, client: &'a Client, login: &str) -> Result<Session<'a>, BenchError> {
    let known = demo.logins.iter().find(|known| known.login == login);
    let known = known.ok_or_else(|| BenchError::Unexpected(format!("the demo has no login {login}")))?;
    let body = json!({"login": known.login, "password": known.password});
    let request = client.post(format!("{}/api/v1/session", node.url)).header("content-type", "application/json");
    let response = request.body(body.to_string()).send().await?;
    let cookie = response.headers().get("set-cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let session = read(response).await?;
    Ok(Session { node, client, cookie, csrf: text(&session["csrf"])? })
}

impl Session<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.node.url)).header("cookie", &self.cookie)
    }

    async fn get(&self, path: &str) -> Result<Value, BenchError> {
        read(self.request(Method::GET, path).send().await?).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, BenchError> {
        static SENT: AtomicU64 = AtomicU64::new(1);
        let key = format!("bench-{}-{}", std::process::id(), SENT.fetch_add(1, Ordering::Relaxed));
        let request = self.request(Method::POST, path).header("x-csrf-token", &self.csrf);
        let request = request.header("idempotency-key", key).header("content-type", "application/json");
        read(request.body(body.to_string()).send().await?).await
    }
}

async fn read(response: reqwest::Response) -> Result<Value, BenchError> {
    let status = response.status();
    let bytes = response.bytes().await?;
    if !status.is_success() {
        return Err(BenchError::Unexpected(format!("HTTP {status}: {}", String::from_utf8_lossy(&bytes))));
    }
    serde_json::from_slice(&bytes).map_err(|error| BenchError::Unexpected(format!("an answer is no JSON: {error}")))
}

/// What is measured, in this order: the constant route, claims on flights, lookups of flights.
pub fn plans(node: &Node, flights: &[Flight], orders: &Orders) -> Vec<Plan> {
    let constant = vec![b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n".to_vec()];
    let mut claims = Vec::new();
    let mut lookups = Vec::new();
    for Flight { year, month, day, sched_dep_time, carrier, flight, time_hour } in flights {
        let key = json!({"year": year, "month": month, "day": day, "carrier": carrier, "flight": flight,
                         "sched_dep_time": sched_dep_time});
        let body = json!({"key": key, "claim": {"late_three_hours": true}}).to_string();
        claims.push(
            format!(
                "POST /data/v1/{}/verify HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                orders.claims.product,
                orders.claims.key,
                body.len()
            )
            .into_bytes(),
        );
        lookups.push(
            format!(
                "GET /data/v1/{}/lookup/{time_hour},{carrier},{flight} HTTP/1.1\r\nHost: node\r\n\
                 Authorization: Bearer {}\r\n\r\n",
                orders.records.product, orders.records.key
            )
            .into_bytes(),
        );
    }
    let plan =
        |name, url: &str, requests| Plan { name, address: url.trim_start_matches("http://").to_owned(), requests };
    vec![
        plan("/healthz", &node.admin_url, constant),
        plan(VERIFY, &node.url, claims),
        plan("/lookup", &node.url, lookups),
    ]
}

/// A flight that is asked for.
#[derive(Debug)]
pub struct Flight {
    year: i64,
    month: i64,
    day: i64,
    sched_dep_time: i64,
    /// The carrier's code.
    pub carrier: String,
    /// The flight's number.
    pub flight: i64,
    /// Its scheduled hour of departure, as the source writes it.
    pub time_hour: String,
}

/// Flights from all over the year, but for the carrier that no grant has.
pub fn flights(demo: &Demo) -> Result<Vec<Flight>, BenchError> {
    let path = demo.directory.join("sources").join("flights.csv");
    let source = fs::read_to_string(&path).map_err(|error| file_error("read", &path, &error))?;
    let mut lines = source.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let lines: Vec<&str> = lines.collect();
    let mut flights = Vec::new();
    for line in lines.iter().step_by((lines.len() / FLIGHTS_COUNT).max(1)) {
        let fields: Vec<&str> = line.split(',').collect();
        let field = |name: &str| {
            let place = names.iter().position(|found| *found == name);
            let field = place.and_then(|place| fields.get(place)).copied();
            field.ok_or_else(|| BenchError::Unexpected(format!("{} has no {name}", path.display())))
        };
        let number = |name: &str| {
            let wrong = |_| BenchError::Unexpected(format!("{} has a {name} that is no number", path.display()));
            field(name)?.parse::<i64>().map_err(wrong)
        };
        if field("carrier")? == "OO" {
            continue;
        }
        flights.push(Flight {
            year: number("year")?,
            month: number("month")?,
            day: number("day")?,
            sched_dep_time: number("sched_dep_time")?,
            carrier: field("carrier")?.to_owned(),
            flight: number("flight")?,
            time_hour: field("time_hour")?.to_owned(),
        });
    }
    Ok(flights)
}
