//! What lookups are compared with: services over the same rows that know no governance and leave no receipt.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde::Deserialize;

use crate::Arguments;
use crate::bench::Bench;
use crate::export::{self, GOVERNED};
use crate::failure::BenchError;
use crate::load::{self, Measured, Plan};
use crate::node::Node;
use crate::orders::Flight;
use crate::report::{Figures, Goal, Row};

/// How many times as many requests per second a governed node should answer.
const TIMES_MIN: f64 = 5.0;

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

/// Measures each peer with the requests that the node got, one peer at a time. `keyed`: what the node did, the constant route
/// first. Those that can't be started or fail are told.
pub async fn measure(bench: &mut Bench, keyed: &[Measured]) -> Result<Figures, BenchError> {
    let (played, file) = (bench.played().await?, bench.arguments.out.join(GOVERNED));
    if !file.exists() {
        let node = Node::serve(&bench.arguments.binary, &played.demo.directory)?;
        export::draw(&node, &played, &file).await?;
        node.stop()?;
    }
    let (measured, missing) = all(&file, &played.flights, bench).await?;
    let mut rows = Vec::new();
    for route in keyed.iter().skip(1) {
        for peer in &measured {
            let times = route.per_second / peer.per_second;
            let row = Row::new(
                format!("{} per second, durable receipt each", route.route),
                format!("{:.0}, p99 {:.2} ms", route.per_second, route.p99_ms),
                format!("{}, ungoverned, {:.0}, p99 {:.2} ms", peer.route, peer.per_second, peer.p99_ms),
            );
            rows.push(row.ratio(times).goal(Goal::at_least(TIMES_MIN, times, "")));
        }
    }
    Ok(Figures { missing, ..Figures::new(rows, &measured)? })
}

async fn all(
    file: &Path,
    flights: &[Flight],
    bench: &Bench,
) -> Result<(Vec<Measured>, BTreeMap<String, String>), BenchError> {
    let (connections, span) = (usize::from(bench.arguments.connections), bench.span());
    let peers = Peers::start(file, &bench.arguments)?;
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
        let plan = Arc::new(Plan { name, address: address.clone(), requests });
        match load::run(&plan, connections, span).await {
            Ok(figures) => measured.push(figures),
            Err(error) => drop(skipped.insert(name.to_owned(), error.to_string())),
        }
    }
    Ok((measured, skipped))
}
