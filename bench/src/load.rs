//! The load generator: requests that were written out beforehand over kept connections, one at a time on each. It reads of
//! an answer only status and length, so that on few cores it measures the server and not itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::failure::BenchError;
use crate::figures::{median, quantile};
use crate::node::Node;
use crate::orders;
use crate::report::{Figures, Goal, Row, mebibytes};

/// Answers in this time are not counted: caches fill, products are opened.
pub const WARM_UP: Duration = Duration::from_secs(1);
/// Longest head and body of an answer.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longest time for requests that are each sent once.
const ONCE_TIME_MAX: Duration = Duration::from_secs(300);
/// Of a constant route's requests per second so many at least should be governed answers.
const SHARE_MIN: f64 = 0.5;

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
#[derive(Clone, Debug, Serialize)]
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

/// Measures the constant route of the node, then verifications and lookups of flights; what each of them gave is answered too.
pub async fn measure(bench: &mut Bench) -> Result<(Figures, Vec<Measured>), BenchError> {
    let (played, connections, span) = (bench.played().await?, usize::from(bench.arguments.connections), bench.span());
    let node = Node::serve(&bench.arguments.binary, &played.demo.directory)?;
    let mut routes = Vec::new();
    for plan in orders::plans(&node, &played.flights, &played.orders) {
        eprintln!("measuring {} for {} s over {connections} connections", plan.name, span.as_secs());
        routes.push(run(&Arc::new(plan), connections, span).await?);
    }
    let loaded_bytes = node.resident_bytes()?;
    node.stop()?;
    let mut rows = Vec::new();
    if let Some((constant, governed)) = routes.split_first() {
        for route in governed {
            let share = route.per_second / constant.per_second;
            let beside = format!("{} {:.0}, p99 {:.2} ms", constant.route, constant.per_second, constant.p99_ms);
            rows.push(
                Row::new(
                    format!("{} per second, durable receipt each", route.route),
                    format!("{:.0}, p50 {:.2}, p99 {:.2} ms", route.per_second, route.p50_ms, route.p99_ms),
                    beside,
                )
                .ratio(share)
                .goal(Goal::at_least(SHARE_MIN, share, "")),
            );
        }
    }
    rows.push(Row::new("memory after this load", mebibytes(loaded_bytes), ""));
    Ok((Figures::new(rows, &(&routes, loaded_bytes))?, routes))
}

/// Sends for one second and `span`, and counts what was answered in `span`. Error: an answer other than 200.
pub async fn run(plan: &Arc<Plan>, connections: usize, span: Duration) -> Result<Measured, BenchError> {
    let from = Instant::now() + WARM_UP;
    let sending = Sending {
        plan: Arc::clone(plan),
        next: AtomicUsize::new(0),
        requests_max: usize::MAX,
        from,
        until: from + span,
    };
    let times_ms = sending.over(connections).await?;
    if times_ms.is_empty() {
        return Err(BenchError::Unexpected(format!("{}: nothing was answered in {} s", plan.name, span.as_secs())));
    }
    Ok(Measured {
        route: plan.name,
        answers: times_ms.len(),
        per_second: times_ms.len() as f64 / span.as_secs_f64(),
        p50_ms: median(&times_ms),
        p99_ms: quantile(&times_ms, 0.99),
    })
}

/// Sends every request once, and waits for all answers. Error: one other than 200.
pub async fn once(plan: Plan, connections: usize) -> Result<(), BenchError> {
    let (requests_max, from) = (plan.requests.len(), Instant::now());
    let until = from + ONCE_TIME_MAX;
    let sending = Sending { plan: Arc::new(plan), next: AtomicUsize::new(0), requests_max, from, until };
    sending.over(connections).await.map(|_| ())
}

/// Requests that are sent in turn, at most so many, for as long as there is time.
struct Sending {
    plan: Arc<Plan>,
    next: AtomicUsize,
    requests_max: usize,
    /// What is begun from then on is counted.
    from: Instant,
    /// Nothing is begun after it, and what is answered after it is not counted.
    until: Instant,
}

impl Sending {
    /// Sends over some connections; the times of the answers that count, in milliseconds.
    async fn over(self, connections: usize) -> Result<Vec<f64>, BenchError> {
        let sending = Arc::new(self);
        let mut running = JoinSet::new();
        for _ in 0..connections {
            running.spawn(connection(Arc::clone(&sending)));
        }
        let mut times_ms = Vec::new();
        while let Some(ended) = running.join_next().await {
            let ended = ended.map_err(|error| BenchError::Unexpected(format!("a connection was lost: {error}")))?;
            times_ms.extend(ended.map_err(|error| BenchError::Unexpected(format!("{}: {error}", sending.plan.name)))?);
        }
        Ok(times_ms)
    }
}

async fn connection(sending: Arc<Sending>) -> std::io::Result<Vec<f64>> {
    let Sending { plan, next, requests_max, from, until } = &*sending;
    let mut stream = TcpStream::connect(&plan.address).await?;
    stream.set_nodelay(true)?;
    let (mut buffer, mut times_ms) = (Vec::with_capacity(16 * 1_024), Vec::new());
    loop {
        let (begun, number) = (Instant::now(), next.fetch_add(1, Ordering::Relaxed));
        if begun >= *until || number >= *requests_max {
            return Ok(times_ms);
        }
        exchange(&mut stream, &plan.requests[number % plan.requests.len()], &mut buffer).await?;
        let ended = Instant::now();
        if begun >= *from && ended <= *until {
            times_ms.push((ended - begun).as_secs_f64() * 1_000.0);
        }
    }
}

/// Sends a request and reads its answer whole. Error: it is not 200, or has no length.
pub async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> std::io::Result<()> {
    stream.write_all(request).await?;
    read_answer(stream, buffer).await
}

/// Reads one answer whole. Error: it is not 200, or has no length.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    let mut whole = None;
    while whole.is_none_or(|whole| buffer.len() < whole) {
        if stream.read_buf(buffer).await? == 0 || buffer.len() > ANSWER_BYTES_MAX {
            return Err(std::io::Error::other("the server closed the connection, or answers without an end"));
        }
        if whole.is_none() {
            whole = whole_bytes(buffer)?;
        }
    }
    must_be_answered(buffer)
}

/// How long an answer is with its head, once the head is there. Error: it tells no length.
pub fn whole_bytes(buffer: &[u8]) -> std::io::Result<Option<usize>> {
    let Some(head) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    match length {
        Some(length) => Ok(Some(head + 4 + length)),
        None => Err(std::io::Error::other(format!("an answer without a length: {text}"))),
    }
}

/// Error: the answer is not 200; what it says.
pub fn must_be_answered(answer: &[u8]) -> std::io::Result<()> {
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(std::io::Error::other(String::from_utf8_lossy(answer).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_it_says() {
        let length = |bytes: &[u8]| whole_bytes(bytes).expect("it tells its length");
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nConte"), None);
        assert_eq!(length(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"), Some(51));
        assert!(whole_bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(must_be_answered(b"HTTP/1.1 200 OK\r\n").is_ok());
        assert!(must_be_answered(b"HTTP/1.1 2000 \r\n").is_err());
        assert!(must_be_answered(b"HTTP/1.1 429 Too Many Requests\r\n").is_err());
    }
}
