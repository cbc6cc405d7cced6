//! A served scenario and a client with a session.

use std::sync::atomic::{AtomicU64, Ordering};

use lingqu_api::ApiSettings;
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_CHECK, Who};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// The password of every user of the scenario.
pub const PASSWORD: &str = "scenario-password-1";

static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

/// A scenario with an order of the first consumer, served.
pub struct Served {
    pub scenario: Scenario,
    pub order: Ordered,
    pub base: String,
}

impl Served {
    pub async fn open() -> Served {
        Served::of(Scenario::open(None, 200).await).await
    }

    pub async fn of(scenario: Scenario) -> Served {
        let order = scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (100, 0)).await;
        let router = lingqu_api::router(scenario.app.clone(), ApiSettings::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Served { scenario, order, base }
    }

    /// A client that is not signed in.
    pub fn stranger(&self) -> Client {
        Client {
            base: self.base.clone(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            cookie: None,
            csrf: None,
        }
    }

    /// A client that is signed in.
    pub async fn sign_in(&self, login: &str) -> Client {
        let mut client = self.stranger();
        let reply = client.post("/api/v1/session", &json!({ "login": login, "password": PASSWORD })).await;
        assert_eq!(reply.status, 200, "{login}: {}", reply.text);
        let cookie = reply.header("set-cookie").unwrap();
        for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(part), "{cookie} lacks {part}");
        }
        client.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        client.csrf = Some(reply.json()["csrf"].as_str().unwrap().to_owned());
        client
    }
}

/// A client of the control plane.
pub struct Client {
    pub base: String,
    pub http: reqwest::Client,
    pub cookie: Option<String>,
    pub csrf: Option<String>,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Reply {
    pub async fn of(request: RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status and code of a problem document, whose form is checked.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        for field in ["type", "title", "detail", "title_en", "detail_en"] {
            assert!(!problem[field].as_str().unwrap().is_empty(), "{problem}");
        }
        (self.status, problem["code"].as_str().unwrap().to_owned())
    }
}

impl Client {
    /// A request with the session's cookie and, for a change, its token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let (Some(csrf), true) = (&self.csrf, method != Method::GET) {
            request = request.header("x-csrf-token", csrf);
        }
        request
    }

    pub async fn get(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::GET, path)).await
    }

    /// A change with a new idempotency key.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.posting(path, body).header("idempotency-key", new_key())).await
    }

    pub fn posting(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).header("content-type", "application/json").body(body.to_string())
    }
}

pub fn new_key() -> String {
    format!("test-{}", NEXT_KEY.fetch_add(1, Ordering::Relaxed))
}
