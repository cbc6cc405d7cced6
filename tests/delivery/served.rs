//! A scenario that is served, a client of it, and a look at its receipts.

use std::time::Duration;

use axum::Router;
use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord, Totals};
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::scenario::{Ordered, Scenario};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

/// A served scenario.
pub struct Served {
    pub scenario: Scenario,
    pub base: String,
    /// Where Delta Sharing answers.
    pub sharing: String,
    pub client: reqwest::Client,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub async fn of(request: RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The answer, when it is one.
    pub fn ok(self) -> Reply {
        let Reply { status, headers, body } = &self;
        assert_eq!(*status, 200, "answered {status}: {}\n{headers:?}", String::from_utf8_lossy(body));
        self
    }

    /// Status and code of a problem document, whose form is checked.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        let code = problem["code"].as_str().unwrap().to_owned();
        assert_eq!(problem["type"], format!("urn:lingqu:problem:{code}"));
        for field in ["title", "detail", "title_en", "detail_en"] {
            assert!(!problem[field].as_str().unwrap().is_empty(), "{problem}");
        }
        assert!(self.header("delivery-receipt").is_none());
        (self.status, code)
    }
}

impl Served {
    pub async fn open(database_url: Option<String>, trips: usize) -> Served {
        Served::open_with(database_url, trips, Settings::default()).await
    }

    pub async fn open_with(database_url: Option<String>, trips: usize, settings: Settings) -> Served {
        show_log();
        Served::of(Scenario::open(database_url, trips).await, settings).await
    }

    /// Serves a scenario.
    pub async fn of(scenario: Scenario, settings: Settings) -> Served {
        show_log();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut served = Served { scenario, base: String::new(), sharing: String::new(), client };
        served.serve_anew(settings).await;
        served
    }

    /// Serves the scenario by a new delivery path, as the next process of the node would.
    pub async fn serve_anew(&mut self, settings: Settings) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let deliveries = Deliveries::new(self.scenario.app.clone(), settings);
        let router = Router::new()
            .nest("/data/v1", lingqu_gateway::router_on(deliveries.clone()))
            .nest("/delta-sharing", lingqu_gateway::sharing::router(deliveries));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        self.base = format!("http://{address}/data/v1");
        self.sharing = format!("http://{address}/delta-sharing");
    }

    /// A request to a product with an order's key; `path` begins after the product.
    pub fn request(&self, method: Method, order: &Ordered, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/{}{path}", self.base, order.product)).bearer_auth(&order.key)
    }

    pub async fn get(&self, order: &Ordered, path: &str) -> Reply {
        Reply::of(self.request(Method::GET, order, path)).await
    }

    pub async fn post(&self, order: &Ordered, path: &str, body: Value) -> Reply {
        let request = self.request(Method::POST, order, path);
        Reply::of(request.header("content-type", "application/json").body(body.to_string())).await
    }

    /// An answer, once a place is free: the task that closed a delivery frees its place a moment later.
    pub async fn ok_soon(&self, order: &Ordered, path: &str) -> Reply {
        for _ in 0..1_000 {
            let reply = self.get(order, path).await;
            if reply.status != 429 {
                return reply.ok();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no place came free within twenty seconds");
    }

    /// An answer whose body has not been read.
    pub async fn begun(&self, order: &Ordered, path: &str) -> Response {
        let response = self.request(Method::GET, order, path).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response
    }

    pub async fn receipt_head(&self) -> u64 {
        self.scenario.app.receipts().head().await.unwrap()
    }

    /// The records of a delivery, in order.
    pub async fn records(&self, receipt: &str) -> Vec<ReceiptRecord> {
        let log = self.scenario.app.receipts();
        let mut records = Vec::new();
        for position in log.positions_of_receipt(receipt).await.unwrap() {
            let stored = log.read(position).await.unwrap().unwrap();
            records.push(serde_json::from_slice(&stored.receipt.record).unwrap());
        }
        records
    }

    /// The records of a delivery whose closing may still be under way, once it is closed.
    pub async fn closed(&self, receipt: &str) -> (Vec<ReceiptRecord>, Outcome, Totals) {
        for _ in 0..200 {
            let records = self.records(receipt).await;
            if let Some(ReceiptBody::Closed { outcome, totals }) = records.last().map(|record| record.body.clone()) {
                return (records, outcome, totals);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{receipt} was not closed within ten seconds");
    }

    /// Waits until a delivery is over, whichever form its records have.
    pub async fn closed_or_single(&self, receipt: &str) {
        if !matches!(self.records(receipt).await[0].body, ReceiptBody::Single { .. }) {
            self.closed(receipt).await;
        }
    }
}

/// A failed test shows what the node said; of several tests in one process the first one sets it up.
fn show_log() {
    drop(
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .with_test_writer()
            .try_init(),
    );
}

/// Rows that the parts of a delivery name.
pub fn rows_named(records: &[ReceiptRecord]) -> u64 {
    records.iter().map(|record| if let ReceiptBody::Part { rows, .. } = &record.body { *rows } else { 0 }).sum()
}

/// The receipt's id of an answer that has begun.
pub fn receipt_of(response: &Response) -> String {
    response.headers()["delivery-receipt"].to_str().unwrap().to_owned()
}
