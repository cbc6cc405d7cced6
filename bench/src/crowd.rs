//! A crowd: connections that do nothing, and queries that all come at once.

use std::time::Duration;

use reqwest::Client;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::failure::BenchError;
use crate::node::Node;
use crate::orders::Order;
use crate::report::{Figures, Goal, Row, mebibytes};

/// Connections that do nothing.
pub const IDLE_CONNECTIONS: usize = 2_000;
/// Queries at once, shared out among the orders.
pub const QUERIES: usize = 200;
/// Queries of one order at a time, which is what a node allows.
pub const QUERIES_PER_ORDER: usize = 4;
/// Most memory that they may take, in MiB.
const MEMORY_MEBIBYTES_MAX: u32 = 2_048;
/// Longest time until the last query is answered or told to come again.
const TIME_MAX: Duration = Duration::from_secs(180);
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A sort of the whole table: much memory, few rows.
const SQL: &str = "SELECT * FROM flight_records ORDER BY distance, arr_delay, time_hour, flight LIMIT 10";

/// What a crowd made of the node.
#[derive(Debug, Serialize)]
pub struct Crowded {
    /// Connections that were open and idle.
    pub idle_connections: usize,
    /// Memory with them, in bytes.
    pub idle_bytes: u64,
    /// Queries that were answered.
    pub answered: usize,
    /// Queries that were told to come again.
    pub refused: usize,
    /// The most memory while they ran, in bytes.
    pub most_bytes: u64,
    /// Until the last was answered, in seconds.
    pub seconds: f64,
}

/// Measures a crowd on the demo's node.
pub async fn measure(bench: &mut Bench) -> Result<Figures, BenchError> {
    let played = bench.played().await?;
    let node = Node::serve(&bench.arguments.binary, &played.demo.directory)?;
    let crowded = crowd(&node, &played.crowd).await?;
    node.stop()?;
    let most = crowded.most_bytes as f64 / f64::from(1 << 20);
    let memory = Row::new(
        "memory with a crowd, most",
        mebibytes(crowded.most_bytes),
        format!(
            "{} idle connections ({}), {QUERIES} queries at once",
            crowded.idle_connections,
            mebibytes(crowded.idle_bytes)
        ),
    );
    // Little memory is no merit where it is little because queries were sent away.
    let answered = Row::new(
        "queries of the crowd that were answered",
        crowded.answered.to_string(),
        format!("{} told to come again, {:.1} s", crowded.refused, crowded.seconds),
    );
    let rows = vec![
        memory.goal(Goal::at_most(f64::from(MEMORY_MEBIBYTES_MAX), most, " MiB")),
        answered.goal(Goal::at_least(QUERIES as f64, crowded.answered as f64, "")),
    ];
    Figures::new(rows, &crowded)
}

/// Opens the connections, then asks all queries at once. Error: a connection is refused, an answer is neither 200 nor a refusal
/// for want of room, or the last takes longer than [`TIME_MAX`].
async fn crowd(node: &Node, orders: &[Order]) -> Result<Crowded, BenchError> {
    let mut idle = Vec::with_capacity(IDLE_CONNECTIONS);
    for _ in 0..IDLE_CONNECTIONS {
        let mut stream = TcpStream::connect(node.address()).await?;
        // One answer, so that it is known to be served.
        stream.write_all(b"GET /public HTTP/1.1\r\nHost: node\r\n\r\n").await?;
        let mut first = [0; 12];
        stream.read_exact(&mut first).await?;
        idle.push(stream);
    }
    let idle_bytes = node.resident_bytes()?;
    let client = Client::builder().no_proxy().timeout(TIME_MAX).build()?;
    let begun = std::time::Instant::now();
    let mut asked = JoinSet::new();
    for number in 0..QUERIES {
        let order = &orders[number / QUERIES_PER_ORDER % orders.len()];
        let request = client
            .post(format!("{}/data/v1/{}/query", node.url, order.product))
            .bearer_auth(&order.key)
            .header("content-type", "application/json")
            .body(serde_json::json!({ "sql": SQL }).to_string());
        asked.spawn(async move {
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok::<_, reqwest::Error>((status, response.text().await?))
        });
    }
    let (mut answered, mut refused, mut most_bytes) = (0, 0, idle_bytes);
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            ended = asked.join_next() => match ended {
                None => break,
                Some(ended) => match ended.map_err(|error| BenchError::Unexpected(error.to_string()))?? {
                    (200, _) => answered += 1,
                    (429 | 503, _) => refused += 1,
                    (status, body) => return Err(BenchError::Unexpected(format!("HTTP {status}: {body}"))),
                }
            },
            _ = look.tick() => most_bytes = most_bytes.max(node.resident_bytes()?),
        }
    }
    Ok(Crowded {
        idle_connections: idle.len(),
        idle_bytes,
        answered,
        refused,
        most_bytes,
        seconds: begun.elapsed().as_secs_f64(),
    })
}
