//! Counts of requests for the administrative listener, by part of the node and class of status. Nothing of a request
//! stands in them but that.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

/// Parts of the node, by the beginning of the address; what none matches is the console.
const PLANES: [(&str, &str); 5] =
    [("/data/v1", "data"), ("/api/v1", "control"), ("/log", "log"), ("/witness", "witness"), ("/public", "public")];
/// Name of the rest.
const CONSOLE: &str = "console";
/// Classes of status: 1xx to 5xx.
const CLASSES: usize = 5;

/// Counters of one server.
#[derive(Debug, Default)]
pub struct Counters {
    requests: [[AtomicU64; CLASSES]; PLANES.len() + 1],
    running: AtomicI64,
}

impl Counters {
    /// The counters in the text format of Prometheus.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# HELP lingqu_requests_total Requests answered, by part of the node and class of status.\n\
             # TYPE lingqu_requests_total counter\n",
        );
        for (place, classes) in self.requests.iter().enumerate() {
            let plane = PLANES.get(place).map_or(CONSOLE, |(_, name)| name);
            for (class, count) in classes.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let status = class + 1;
                    text.push_str(&format!(
                        "lingqu_requests_total{{plane=\"{plane}\",status=\"{status}xx\"}} {count}\n"
                    ));
                }
            }
        }
        text.push_str(&format!(
            "# HELP lingqu_requests_running Requests whose answer has not begun.\n# TYPE lingqu_requests_running gauge\n\
             lingqu_requests_running {}\n",
            self.running.load(Ordering::Relaxed)
        ));
        text
    }
}

/// Takes a request out of the running ones, also when its client has gone and its handler is dropped.
struct Running(Arc<Counters>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a request.
pub async fn count(State(counters): State<Arc<Counters>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let place = PLANES.iter().position(|(prefix, _)| path.starts_with(prefix)).unwrap_or(PLANES.len());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let started = Instant::now();
    counters.running.fetch_add(1, Ordering::Relaxed);
    let running = Running(Arc::clone(&counters));
    let response = next.run(request).await;
    drop(running);
    let status = response.status().as_u16();
    let class = usize::from(status / 100).clamp(1, CLASSES) - 1;
    counters.requests[place][class].fetch_add(1, Ordering::Relaxed);
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    tracing::debug!(route, status, elapsed_us = started.elapsed().as_micros() as u64, "request");
    response
}
