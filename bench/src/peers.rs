//! What lookups are compared with: services over the same rows that know no governance and leave no receipt.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use crate::Arguments;
use crate::failure::BenchError;
use crate::load::{self, Measured, Plan};
use crate::orders::Flight;

/// The running peers. Dropping it ends them.
struct Peers {
    child: Child,
    started: Started,
}

#[derive(Deserialize)]
struct Started {
    roapi: Option<String>,
    fastapi_duckdb: Option<String>,
    fastapi_postgres: Option<String>,
    skipped: BTreeMap<String, String>,
}

impl Peers {
    fn start(file: &Path, arguments: &Arguments) -> Result<Peers, BenchError> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join("serve.py");
        let failed = |reason: String| BenchError::Program { program: script.display().to_string(), reason };
        let mut child = Command::new(&arguments.python)
            .arg(&script)
            .args([file, arguments.out.as_path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|error| failed(error.to_string()))?;
        }
        match serde_json::from_str(&line) {
            Ok(started) => Ok(Peers { child, started }),
            Err(error) => {
                drop(child.stdin.take());
                drop(child.wait());
                Err(failed(format!("it did not tell its addresses: {error}")))
            }
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // The end of its input is the sign to end everything; a peer that is left over is only a nuisance.
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// Measures each peer with the requests that the node got, one peer at a time. Those that can't be started or fail are told.
pub async fn measure(
    file: &Path,
    flights: &[Flight],
    arguments: &Arguments,
    connections: usize,
    span: Duration,
) -> Result<(Vec<Measured>, BTreeMap<String, String>), BenchError> {
    let peers = Peers::start(file, arguments)?;
    let mut skipped = peers.started.skipped.clone();
    let mut measured = Vec::new();
    let get = |flight: &Flight| -> Vec<u8> {
        let Flight { time_hour, carrier, flight, .. } = flight;
        format!("GET /lookup/{time_hour},{carrier},{flight} HTTP/1.1\r\nHost: peer\r\n\r\n").into_bytes()
    };
    let sql = |flight: &Flight| {
        let Flight { time_hour, carrier, flight, .. } = flight;
        let sql = format!(
            "SELECT * FROM flights WHERE time_hour = '{time_hour}' AND carrier = '{carrier}' AND flight = {flight}"
        );
        format!("POST /api/sql HTTP/1.1\r\nHost: peer\r\nContent-Length: {}\r\n\r\n{sql}", sql.len()).into_bytes()
    };
    let plans = [
        ("ROAPI", &peers.started.roapi, flights.iter().map(sql).collect()),
        ("FastAPI + DuckDB", &peers.started.fastapi_duckdb, flights.iter().map(get).collect()),
        ("FastAPI + PostgreSQL", &peers.started.fastapi_postgres, flights.iter().map(get).collect()),
    ];
    for (name, address, requests) in plans {
        let Some(address) = address else { continue };
        eprintln!("measuring {name} for {} s over {connections} connections", span.as_secs());
        match load::run(Plan { name, address: address.clone(), requests }, connections, span).await {
            Ok(figures) => measured.push(figures),
            Err(error) => drop(skipped.insert(name.to_owned(), error.to_string())),
        }
    }
    Ok((measured, skipped))
}
