//! The administrative listener: is the process alive, can it serve, and its figures. For the machines of the operator,
//! never for clients, so it stands on an address of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lingqu_app::{App, AppError, WitnessStanding};

use crate::metrics::Counters;
use crate::tls::Certificate;

/// What the administrative listener looks at.
pub struct Admin {
    /// The node.
    pub app: Arc<App>,
    /// Its requests.
    pub counters: Arc<Counters>,
    /// What its listeners present; none where they speak plaintext.
    pub certificate: Option<Arc<Certificate>>,
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
        if let Some(twin) = checkpoint.twin {
            gauge("lingqu_log_twin_size", "Entries under the published checkpoint of the twin over SM3.", twin.size);
        }
    }
    if let Ok(lag) = admin.app.log_lag().await {
        let help = "Receipt records that no log entry commits to yet.";
        gauge("lingqu_log_receipts_uncommitted", help, lag.receipts_uncommitted);
        gauge("lingqu_log_entries_unpublished", "Log entries that no checkpoint covers yet.", lag.entries_unpublished);
        let help = "Milliseconds since the published log held everything that was recorded.";
        gauge("lingqu_log_behind_milliseconds", help, lag.behind_ms);
    }
    if let Some(at) = admin.certificate.as_ref().and_then(|certificate| certificate.expires_at()) {
        let help = "When the certificate in use expires, in seconds since 1970.";
        gauge("lingqu_tls_certificate_expires_at_seconds", help, u64::try_from(at.as_second()).unwrap_or_default());
    }
    if let Some(bytes) = resident_memory_bytes() {
        gauge("process_resident_memory_bytes", "Resident memory size in bytes.", bytes);
    }
    text.push_str(&witness_figures(&admin.app.witness_standings(), admin.app.now().as_second()));
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// How far each witness is behind the published log; nothing where none is asked.
fn witness_figures(standings: &[WitnessStanding], now: i64) -> String {
    if standings.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    for (name, help) in [
        ("lingqu_witness_entries_behind", "Entries that are published and that a witness has not cosigned."),
        (
            "lingqu_witness_cosigned_seconds_ago",
            "Seconds since the last cosignature of a witness; it grows while nothing is new, so alert on entries_behind too.",
        ),
    ] {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for standing in standings {
            let value = match name {
                "lingqu_witness_entries_behind" => Some(standing.behind),
                _ => standing.cosigned_at.map(|at| u64::try_from(now).unwrap_or_default().saturating_sub(at)),
            };
            let log = if standing.of_twin { "twin" } else { "log" };
            // The addresses of witnesses are the configuration's and may hold anything.
            let url = standing.url.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ");
            if let Some(value) = value {
                text.push_str(&format!("{name}{{url=\"{url}\",log=\"{log}\"}} {value}\n"));
            }
        }
    }
    text
}

/// Resident memory of this process as Linux tells it (proc(5), `VmRSS`); `None` elsewhere.
pub fn resident_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_witnesses_are_one_line_each_whatever_their_address() {
        let standing = WitnessStanding {
            url: "https://w.example/\"x\\".to_owned(),
            vkey: "w".to_owned(),
            of_twin: true,
            size: Some(7),
            cosigned_at: Some(100),
            behind: 3,
            outcome: None,
            answer: None,
        };
        let never = WitnessStanding { size: None, cosigned_at: None, of_twin: false, ..standing.clone() };
        assert_eq!(witness_figures(&[], 5), "");
        let text = witness_figures(&[standing, never], 160);
        let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(values.len(), 3, "a witness that never cosigned has no time: {text}");
        assert_eq!(values[0], r#"lingqu_witness_entries_behind{url="https://w.example/\"x\\",log="twin"} 3"#);
        assert!(values[2].ends_with(" 60"), "{text}");
    }
}
