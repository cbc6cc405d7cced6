//! The administrative listener: is the process alive, can it serve, and its figures. For the machines of the operator,
//! never for clients, so it stands on an address of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lingqu_app::{App, AppError};

use crate::metrics::Counters;

/// What the administrative listener looks at.
pub struct Admin {
    /// The node.
    pub app: Arc<App>,
    /// Its requests.
    pub counters: Arc<Counters>,
    /// True once the node is shutting down.
    pub stopping: AtomicBool,
}

/// The routes.
pub fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

/// Ready: not shutting down, database and receipts answer, the journal is folded to its head.
async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    if admin.stopping.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match heads(&admin.app).await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "not ready; the log says why\n").into_response()
        }
    }
}

/// Heads of the node's records.
struct Heads {
    journal_position: u64,
    folded_position: u64,
    receipt_position: u64,
}

async fn heads(app: &App) -> Result<Heads, AppError> {
    let journal_position = app.store().head().await?;
    app.refresh().await?;
    let receipt_position = app.receipts().head().await?;
    Ok(Heads { journal_position, folded_position: app.read(|state| state.position), receipt_position })
}

/// The node's figures in the text format of Prometheus (version 0.0.4).
async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut text = admin.counters.text();
    let mut gauge = |name: &str, help: &str, value: u64| {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n"));
    };
    match heads(&admin.app).await {
        Ok(heads) => {
            gauge("lingqu_up", "Whether database and receipts answer.", 1);
            gauge("lingqu_journal_position", "Position of the journal's last event.", heads.journal_position);
            gauge("lingqu_folded_position", "Position that the state in memory has come to.", heads.folded_position);
            gauge("lingqu_receipt_position", "Position of the last receipt record.", heads.receipt_position);
        }
        Err(error) => {
            tracing::warn!(%error, "figures can't be read");
            gauge("lingqu_up", "Whether database and receipts answer.", 0);
        }
    }
    if let Ok(Some(checkpoint)) = admin.app.checkpoint().await {
        gauge("lingqu_log_size", "Entries under the log's published checkpoint.", checkpoint.size);
    }
    if let Some(bytes) = resident_memory_bytes() {
        gauge("process_resident_memory_bytes", "Resident memory size in bytes.", bytes);
    }
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Resident memory of this process as Linux tells it (proc(5), `VmRSS`); `None` elsewhere.
pub fn resident_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
