//! The load generator: requests that were written out beforehand over kept connections, one at a time on each. It reads of
//! an answer only status and length, so that on few cores it measures the server and not itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::failure::BenchError;

/// Answers in this time are not counted: caches fill, products are opened.
const WARM_UP: Duration = Duration::from_secs(1);
/// Longest head and body of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What is sent where.
pub struct Plan {
    /// The route.
    pub name: &'static str,
    /// Host and port.
    pub address: String,
    /// Whole requests, sent in turn.
    pub requests: Vec<Vec<u8>>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// The route.
    pub route: &'static str,
    /// Answers that were counted.
    pub answers: usize,
    /// Answers per second.
    pub per_second: f64,
    /// Median time to an answer, in milliseconds.
    pub p50_ms: f64,
    /// Time that 99 of 100 answers took at most, in milliseconds.
    pub p99_ms: f64,
}

/// Sends for one second and `span`, and counts what was answered in `span`. Error: an answer other than 200.
pub async fn run(plan: Plan, connections: usize, span: Duration) -> Result<Measured, BenchError> {
    let plan = Arc::new(plan);
    let next = Arc::new(AtomicUsize::new(0));
    let counted_from = Instant::now() + WARM_UP;
    let mut running = JoinSet::new();
    for _ in 0..connections {
        running.spawn(connection(Arc::clone(&plan), Arc::clone(&next), counted_from, counted_from + span));
    }
    let mut times_us = Vec::new();
    while let Some(ended) = running.join_next().await {
        let ended = ended.map_err(|error| BenchError::Unexpected(format!("a connection was lost: {error}")))?;
        times_us.extend(ended.map_err(|error| BenchError::Unexpected(format!("{}: {error}", plan.name)))?);
    }
    times_us.sort_unstable();
    let at = |hundredth: usize| {
        let place = (times_us.len() * hundredth / 100).min(times_us.len().saturating_sub(1));
        times_us.get(place).map_or(0.0, |time| f64::from(*time) / 1_000.0)
    };
    Ok(Measured {
        route: plan.name,
        answers: times_us.len(),
        per_second: times_us.len() as f64 / span.as_secs_f64(),
        p50_ms: at(50),
        p99_ms: at(99),
    })
}

/// One connection until the end; answers the times of its counted requests, in microseconds.
async fn connection(
    plan: Arc<Plan>,
    next: Arc<AtomicUsize>,
    counted_from: Instant,
    until: Instant,
) -> std::io::Result<Vec<u32>> {
    let mut stream = TcpStream::connect(&plan.address).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 * 1_024);
    let mut times_us = Vec::new();
    loop {
        let begun = Instant::now();
        if begun >= until {
            return Ok(times_us);
        }
        let request = &plan.requests[next.fetch_add(1, Ordering::Relaxed) % plan.requests.len()];
        stream.write_all(request).await?;
        read_answer(&mut stream, &mut buffer).await?;
        let ended = Instant::now();
        if begun >= counted_from && ended <= until {
            times_us.push(u32::try_from((ended - begun).as_micros()).unwrap_or(u32::MAX));
        }
    }
}

/// Reads one answer whole. Error: it is not 200, or has no length.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    let mut whole_bytes = None;
    while whole_bytes.is_none_or(|whole| buffer.len() < whole) {
        if stream.read_buf(buffer).await? == 0 || buffer.len() > ANSWER_BYTES_MAX {
            return Err(std::io::Error::other("the server closed the connection, or answers without an end"));
        }
        if whole_bytes.is_none()
            && let Some(head) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n")
        {
            whole_bytes = Some(head + 4 + body_bytes(&buffer[..head])?);
        }
    }
    if buffer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(std::io::Error::other(String::from_utf8_lossy(buffer).into_owned()))
}

fn body_bytes(head: &[u8]) -> std::io::Result<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.ok_or_else(|| std::io::Error::other(format!("an answer without a length: {head}")))
}
