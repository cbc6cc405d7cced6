//! The first answer of an order that a process has not served before: its key, its grant, its product and its session are all
//! looked up and made for it. On a node with many orders and products beside one with few, over the same small products.

use std::time::Instant;

use reqwest::Client;
use serde::Serialize;

use crate::bench::Bench;
use crate::failure::BenchError;
use crate::figures::median;
use crate::manifest::{Manifest, ServedOrder};
use crate::node::Node;
use crate::report::{Figures, Goal, Row};
use crate::scale::Scale;

/// How many times as long the first answer may take where there are many orders.
const TIMES_MAX: f64 = 1.2;

/// First answers of one node, over all its starts.
#[derive(Debug, Default, Serialize)]
struct FirstAnswers {
    orders: usize,
    products: usize,
    /// Each start until ready, in milliseconds.
    ready_ms: Vec<f64>,
    /// The first answer of a process, which makes what all others share, in milliseconds.
    process_ms: Vec<f64>,
    /// The first answers of other orders to a query, in milliseconds.
    query_ms: Vec<f64>,
    /// The same to a lookup.
    lookup_ms: Vec<f64>,
}

/// Starts both nodes in turn, and asks once for each order.
pub async fn measure(bench: &Bench, scale: &Scale) -> Result<Figures, BenchError> {
    let [mut many, mut few] = [&scale.many, &scale.few].map(|made| FirstAnswers {
        orders: made.orders,
        products: made.products,
        ..FirstAnswers::default()
    });
    // The first start of each publishes what is left of its log, and is not counted.
    for made in [&scale.many, &scale.few] {
        one(bench, made, &mut FirstAnswers::default()).await?;
    }
    for run in 0..bench.runs() {
        // Neither is always the one that comes first.
        let mut turns = [(&scale.many, &mut many), (&scale.few, &mut few)];
        if run % 2 == 1 {
            turns.reverse();
        }
        for (made, answers) in turns {
            one(bench, made, answers).await?;
        }
    }
    let mut rows = Vec::new();
    let goal = |times: f64| Goal::at_most(TIMES_MAX, times, "").only_if(scale.has_enough_orders());
    for (what, here, there, has_goal) in [
        ("first answer on a cold session, query", &many.query_ms, &few.query_ms, true),
        ("first answer on a cold session, lookup", &many.lookup_ms, &few.lookup_ms, true),
        ("first answer of a new process", &many.process_ms, &few.process_ms, false),
        ("start until ready", &many.ready_ms, &few.ready_ms, false),
    ] {
        let (here, there) = (median(here), median(there));
        let row = Row::new(
            format!("{what}, {} orders, {} products, median", many.orders, many.products),
            format!("{here:.2} ms"),
            format!("{} orders, {} products: {there:.2} ms", few.orders, few.products),
        );
        let row = row.ratio(here / there);
        rows.push(if has_goal { row.goal(goal(here / there)) } else { row });
    }
    Figures::new(rows, &(&many, &few))
}

/// Starts a node and asks it once for each of its cold orders: those at even places a query, the others a lookup.
async fn one(bench: &Bench, made: &Manifest, answers: &mut FirstAnswers) -> Result<(), BenchError> {
    let node = Node::serve(&bench.arguments.binary, &made.directory)?;
    answers.ready_ms.push(node.ready_after.as_secs_f64() * 1_000.0);
    let client = Client::builder().no_proxy().build()?;
    // The connection is there before anything is timed.
    client.get(format!("{}/public", node.url)).send().await?.bytes().await?;
    for (place, order) in made.cold.iter().enumerate() {
        let ms = ask(&client, &node, order, place % 2 == 0).await?;
        match place {
            0 => answers.process_ms.push(ms),
            _ if place % 2 == 0 => answers.query_ms.push(ms),
            _ => answers.lookup_ms.push(ms),
        }
    }
    node.stop()
}

async fn ask(client: &Client, node: &Node, order: &ServedOrder, is_query: bool) -> Result<f64, BenchError> {
    let ServedOrder { product, key } = order;
    let request = if is_query {
        let sql = format!("SELECT id, name, city FROM {product} WHERE id < 10");
        let request = client.post(format!("{}/data/v1/{product}/query", node.url));
        request.header("content-type", "application/json").body(serde_json::json!({ "sql": sql }).to_string())
    } else {
        client.get(format!("{}/data/v1/{product}/lookup/7", node.url))
    };
    let begun = Instant::now();
    let response = request.bearer_auth(key).send().await?;
    let status = response.status();
    let answer = response.text().await?;
    let ms = begun.elapsed().as_secs_f64() * 1_000.0;
    if status != 200 {
        return Err(BenchError::Unexpected(format!("{product}: HTTP {status}: {answer}")));
    }
    Ok(ms)
}
