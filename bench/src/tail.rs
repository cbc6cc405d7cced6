//! The slowest lookups at half of what the node can do. Requests are sent at times fixed beforehand, whether or not the ones
//! before were answered (an open loop), and their time counts from when they should have been sent: a server that stops for a
//! moment is charged with all that should have come meanwhile, not with one request (Gil Tene's coordinated omission).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bench::Bench;
use crate::failure::BenchError;
use crate::figures::{median, quantile, rolled};
use crate::load::{self, ANSWER_BYTES_MAX, Measured, Plan, WARM_UP, whole_bytes};
use crate::machine::sync_times_us;
use crate::manifest::{COVERED_OF, Manifest, ServedOrder};
use crate::node::Node;
use crate::report::{Figures, Goal, Row};
use crate::scale::Scale;

/// Connections over which the requests are sent.
const CONNECTIONS: u32 = 64;
/// Lookups that are written out beforehand and sent in turn.
const LOOKUPS: usize = 100_000;
/// Orders that ask in the second measurement.
const FEW_ORDERS: usize = 100;
/// Most time that a run may last beyond its span; what was not sent by then counts as answered then.
const OVERRUN_MAX: Duration = Duration::from_secs(10);
/// Longest wait for one answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Syncs that are timed before and after each run.
const SYNCS: usize = 1_000;
/// What the goal allows beside two syncs, in milliseconds.
const ALLOWED_MS: f64 = 5.0;

/// What came of an open loop.
#[derive(Debug, Serialize)]
struct Tail {
    /// Orders that asked, each in its turn.
    orders: usize,
    /// What the node answered when each connection asked as fast as it could.
    saturation: Measured,
    /// Requests per second that were sent.
    per_second: f64,
    answers: usize,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    most_ms: f64,
    /// The disk's own, before and after, with nothing else going on.
    sync_p50_ms: f64,
    sync_p99_ms: f64,
    syncs: usize,
}

/// Measures with all orders asking, and with a few of them.
pub async fn measure(bench: &Bench, scale: &Scale) -> Result<Figures, BenchError> {
    let node = Node::serve(&bench.arguments.binary, &scale.many.directory)?;
    let mut seed = bench.arguments.seed;
    let mut tails = Vec::new();
    let all = scale.many.lookups.len();
    for orders in std::iter::once(all).chain((FEW_ORDERS < all).then_some(FEW_ORDERS)) {
        let asking = &scale.many.lookups[..orders];
        tails.push(one(bench, &node, &scale.many, asking, &mut seed).await?);
    }
    node.stop()?;
    let mut rows = Vec::new();
    for tail in &tails {
        let bound_ms = ALLOWED_MS + 2.0 * tail.sync_p99_ms;
        let goal = Goal { text: format!("at most {bound_ms:.2} ms"), verdict: Goal::of(tail.p99_ms <= bound_ms) };
        let asking = if tail.orders == all { "all asking".to_owned() } else { format!("{} asking", tail.orders) };
        rows.push(
            Row::new(
                format!(
                    "/lookup p99 at half of saturation, {} rows, {} orders, {asking}",
                    scale.many.rows, scale.many.orders
                ),
                format!("{:.2} ms", tail.p99_ms),
                format!(
                    "{:.0} of {:.0} per second; p50 {:.2}, p99.9 {:.2} ms; sync p99 {:.2} ms",
                    tail.per_second, tail.saturation.per_second, tail.p50_ms, tail.p999_ms, tail.sync_p99_ms
                ),
            )
            .goal(goal.only_if(scale.is_large_enough())),
        );
    }
    Figures::new(rows, &tails)
}

async fn one(
    bench: &Bench,
    node: &Node,
    made: &Manifest,
    asking: &[ServedOrder],
    seed: &mut u64,
) -> Result<Tail, BenchError> {
    let connections = usize::from(bench.arguments.connections);
    let plan = |requests| Plan { name: "/lookup", address: node.address().to_owned(), requests };
    eprintln!("{} orders ask once", asking.len());
    let once = asking.iter().map(|order| lookup(order, covered(seed, made.rows))).collect();
    load::once(plan(once), connections).await?;
    let mut requests = Vec::with_capacity(LOOKUPS);
    for _ in 0..LOOKUPS {
        let order = &asking[usize::try_from(rolled(seed)).unwrap_or(usize::MAX) % asking.len()];
        requests.push(lookup(order, covered(seed, made.rows)));
    }
    let plan = Arc::new(plan(requests));
    eprintln!("they ask as fast as they are answered, for {} s", bench.span().as_secs());
    let saturation = load::run(&plan, connections, bench.span()).await?;
    let mut syncs_us = sync_times_us(&bench.arguments.out, SYNCS)?;
    let pace = Pace { per_second: saturation.per_second / 2.0, span: bench.span() };
    eprintln!("they ask {:.0} times a second, for {} s", pace.per_second, pace.span.as_secs());
    let times_ms = pace.run(&plan)?;
    syncs_us.extend(sync_times_us(&bench.arguments.out, SYNCS)?);
    Ok(Tail {
        orders: asking.len(),
        per_second: pace.per_second,
        saturation,
        answers: times_ms.len(),
        p50_ms: median(&times_ms),
        p99_ms: quantile(&times_ms, 0.99),
        p999_ms: quantile(&times_ms, 0.999),
        most_ms: quantile(&times_ms, 1.0),
        sync_p50_ms: median(&syncs_us) / 1_000.0,
        sync_p99_ms: quantile(&syncs_us, 0.99) / 1_000.0,
        syncs: syncs_us.len(),
    })
}

/// True for a row of the large product that grants cover, by its key.
fn is_covered(id: u64) -> bool {
    id % COVERED_OF != COVERED_OF - 1
}

/// A row that grants cover, by chance.
fn covered(seed: &mut u64, rows: u64) -> u64 {
    let id = rolled(seed) % rows;
    // Rows that no grant covers stand alone, so the one before is covered.
    if is_covered(id) { id } else { id - 1 }
}

fn lookup(order: &ServedOrder, id: u64) -> Vec<u8> {
    let ServedOrder { product, key } = order;
    format!("GET /data/v1/{product}/lookup/{id} HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {key}\r\n\r\n")
        .into_bytes()
}

/// How fast requests are sent, and for how long after the warm-up.
struct Pace {
    per_second: f64,
    span: Duration,
}

impl Pace {
    /// The moment at which a request should be sent, from the beginning.
    fn due(&self, request: u32) -> Duration {
        Duration::from_secs_f64(f64::from(request) / self.per_second)
    }

    /// Sends, and answers the times of the requests after the warm-up, in milliseconds. A thread for each connection: it
    /// wakes within some tens of microseconds, a timer of an asynchronous runtime within a millisecond.
    fn run(&self, plan: &Plan) -> Result<Vec<f64>, BenchError> {
        if self.per_second < 1.0 {
            return Err(BenchError::Unexpected(format!(
                "{}: {:.2} requests a second are no load",
                plan.name, self.per_second
            )));
        }
        // The same moment for all, when every connection is open.
        let begin = Instant::now() + Duration::from_millis(200);
        let ended = std::thread::scope(|threads| {
            let mut running = Vec::new();
            for number in 0..CONNECTIONS {
                running.push(threads.spawn(move || self.connection(plan, number, begin)));
            }
            running.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
        });
        let mut times_ms = Vec::new();
        for times in ended {
            let times = times.map_err(|_| BenchError::Unexpected("a connection's thread was lost".to_owned()))?;
            times_ms.extend(times.map_err(|error| BenchError::Unexpected(format!("{}: {error}", plan.name)))?);
        }
        Ok(times_ms)
    }

    fn connection(&self, plan: &Plan, number: u32, begin: Instant) -> std::io::Result<Vec<f64>> {
        let mut stream = TcpStream::connect(&plan.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        let (mut buffer, mut times_ms) = (Vec::with_capacity(16 * 1_024), Vec::new());
        let whole = WARM_UP + self.span;
        let mut request = number;
        loop {
            let due = self.due(request);
            if due >= whole {
                return Ok(times_ms);
            }
            let intended = begin + due;
            let given_up = begin + whole + OVERRUN_MAX;
            if Instant::now() < given_up {
                std::thread::sleep(intended.saturating_duration_since(Instant::now()));
                let bytes = &plan.requests[usize::try_from(request).unwrap_or(usize::MAX) % plan.requests.len()];
                stream.write_all(bytes)?;
                read_answer(&mut stream, &mut buffer)?;
            }
            if due >= WARM_UP {
                times_ms.push(intended.elapsed().as_secs_f64() * 1_000.0);
            }
            request += CONNECTIONS;
        }
    }
}

/// Reads one answer whole. Error: it is not 200, or has no length.
fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    let (mut part, mut whole) = ([0; 16 * 1_024], None);
    while whole.is_none_or(|whole| buffer.len() < whole) {
        let count = stream.read(&mut part)?;
        if count == 0 || buffer.len() > ANSWER_BYTES_MAX {
            return Err(std::io::Error::other("the server closed the connection, or answers without an end"));
        }
        buffer.extend_from_slice(&part[..count]);
        whole = whole_bytes(buffer)?;
    }
    load::must_be_answered(buffer)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    /// Answers every request at once, but stops everything for a second after so many.
    fn stopping_server(stop_after: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address").to_string();
        let (answered, stopped_until) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client connects");
                let (answered, stopped_until) = (Arc::clone(&answered), Arc::clone(&stopped_until));
                std::thread::spawn(move || {
                    let mut request = [0; 1_024];
                    while stream.read(&mut request).is_ok_and(|count| count > 0) {
                        let stops = answered.fetch_add(1, Ordering::SeqCst) >= stop_after;
                        let second = || Instant::now() + Duration::from_secs(1);
                        let until =
                            stops.then(|| *stopped_until.lock().expect("no thread panics").get_or_insert_with(second));
                        if let Some(until) = until {
                            std::thread::sleep(until.saturating_duration_since(Instant::now()));
                        }
                        if stream.write_all(ANSWER).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    #[test]
    fn a_server_that_stops_is_charged_with_all_that_should_have_come_meanwhile() {
        // It stops for half of the two seconds that are measured, in which a thousand requests are due.
        let address = stopping_server(700);
        let requests = vec![b"GET / HTTP/1.1\r\n\r\n".to_vec()];
        let plan = Plan { name: "stopping", address, requests };
        let pace = Pace { per_second: 500.0, span: Duration::from_secs(2) };
        let times_ms = pace.run(&plan).expect("it answers in the end");
        assert_eq!(times_ms.len(), 1_000, "every request that was due was sent");
        let late = times_ms.iter().filter(|time| **time > 100.0).count();
        // A closed loop would have met one slow answer on each of its connections.
        assert!(late > 2 * CONNECTIONS as usize, "{late} of 1000 waited");
    }

    #[test]
    fn what_is_asked_for_is_covered() {
        let mut seed = 1;
        assert!((0..10_000).all(|_| is_covered(covered(&mut seed, 14))));
    }
}
