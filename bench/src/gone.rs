//! How soon work stops when the client is gone: a question that would compute for long is asked, its connection is closed, and the
//! processor time of the node is looked at from outside, as its operator would.

use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use serde::Serialize;
use serde_json::json;

use crate::bench::Bench;
use crate::failure::BenchError;
use crate::figures::{median, quantile};
use crate::node::Node;
use crate::report::{Figures, Goal, Row};

/// Compares each pair of flights with each flight: beyond any time that a bench has, and within memory.
const ENDLESS: &str = "SELECT count(*) AS n FROM flight_records c JOIN \
    (SELECT a.dest AS dest FROM flight_records a JOIN flight_records b ON a.dest < b.dest) d ON c.dest < d.dest";
/// The median of the flights from each flight on: one step of a window that takes minutes.
const WINDOW: &str = "SELECT max(m) AS m FROM (SELECT median(distance) OVER \
    (ORDER BY time_hour ROWS BETWEEN 1 PRECEDING AND UNBOUNDED FOLLOWING) AS m FROM flight_records) w";
/// What is asked, and the words for it.
const QUESTIONS: [(&str, &str); 2] = [("a join", ENDLESS), ("a window", WINDOW)];
/// Longest from the client's end to the end of work, in milliseconds.
const GONE_MS_MAX: f64 = 100.0;
/// So long after its start a node has indexed what was delivered before, which takes a processor as a query does.
pub const SETTLED_AFTER: Duration = Duration::from_secs(13);
/// How often the client goes.
const TIMES: usize = 20;
/// How long the question has run when the client goes.
const RUNS_FOR: Duration = Duration::from_millis(700);
/// Between two looks at the processor time.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Processor time is counted in ticks of 10 ms. A query takes one after the other; one that comes so long after the one before is of
/// a job of the node's own, such as publishing its log.
const APART: Duration = Duration::from_millis(30);
/// So long after its last tick a query is over.
const IDLE_FOR: Duration = Duration::from_millis(150);
/// What the question takes at least until the client goes, so that there is something to stop.
const WORK_TICKS_MIN: u64 = 30;
/// Longest wait for the end of work.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize)]
struct Gone {
    question: &'static str,
    /// From the client's end to the last tick of processor time that followed it closely, in milliseconds.
    stopped_ms: Vec<f64>,
}

/// Measures it some times, one after another.
pub async fn measure(bench: &mut Bench) -> Result<Figures, BenchError> {
    let played = bench.played().await?;
    let node = Node::serve(&bench.arguments.binary, &played.demo.directory)?;
    tokio::time::sleep(SETTLED_AFTER).await;
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for (question, sql) in QUESTIONS {
        eprintln!("asking what has no end, {question}, and leaving, {TIMES} times");
        let mut stopped_ms = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            stopped_ms.push(leave(&node, &played.orders.records.key, sql).await?);
        }
        let (middle, most) = (median(&stopped_ms), quantile(&stopped_ms, 1.0));
        let row = Row::new(
            format!(
                "client gone from {question}: until its query takes no processor time any more, the latest of {TIMES}"
            ),
            format!("{most:.0} ms"),
            format!("median {middle:.0} ms, seen in ticks of 10 ms"),
        );
        rows.push(row.goal(Goal::at_most(GONE_MS_MAX, most, " ms")));
        all.push(Gone { question, stopped_ms });
    }
    node.stop()?;
    Figures::new(rows, &all)
}

/// A question of an order of flights that would compute for hours.
pub fn question(client: &Client, node: &Node, key: &str) -> RequestBuilder {
    asked(client, node, key, ENDLESS)
}

fn asked(client: &Client, node: &Node, key: &str, sql: &str) -> RequestBuilder {
    let question = client.post(format!("{}/data/v1/flight_records/query", node.url)).bearer_auth(key);
    question.header("Content-Type", "application/json").body(json!({"sql": sql}).to_string())
}

async fn leave(node: &Node, key: &str, sql: &str) -> Result<f64, BenchError> {
    let client = Client::builder().no_proxy().build()?;
    let asking = tokio::spawn(asked(&client, node, key, sql).send());
    let before = node.processor_ticks()?;
    tokio::time::sleep(RUNS_FOR).await;
    let worked = node.processor_ticks()? - before;
    if asking.is_finished() || worked < WORK_TICKS_MIN {
        return Err(BenchError::Unexpected(format!("the question without an end took {worked} ticks and ended")));
    }
    asking.abort();
    // The connection belongs to the client.
    drop(client);
    let left = Instant::now();
    let (mut ticks, mut last_tick, mut worked_until) = (node.processor_ticks()?, left, left);
    while worked_until.elapsed() < IDLE_FOR {
        if left.elapsed() > PATIENCE {
            return Err(BenchError::Unexpected(format!("the node still worked {} s later", PATIENCE.as_secs())));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let seen = node.processor_ticks()?;
        if seen > ticks {
            let now = Instant::now();
            if now - last_tick < APART {
                worked_until = now;
            }
            (ticks, last_tick) = (seen, now);
        }
    }
    Ok((worked_until - left).as_secs_f64() * 1_000.0)
}
