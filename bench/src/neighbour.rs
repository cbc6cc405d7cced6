//! What a consumer feels of a neighbour who asks for more than a node can compute: claims of one order alone, and beside the question of
//! another.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use serde::Serialize;

use crate::bench::Bench;
use crate::failure::BenchError;
use crate::gone;
use crate::load::{self, Measured};
use crate::node::Node;
use crate::orders;
use crate::report::{Figures, Goal, Row};

/// Of the claims that are answered alone, so many at least should be beside the question: two ask.
const SHARE_MIN: f64 = 0.5;
/// How long the question has run before claims are sent.
const RUNS_FOR: Duration = Duration::from_millis(700);

#[derive(Debug, Serialize)]
struct Neighbours {
    alone: Measured,
    beside: Measured,
}

/// Measures claims over the connections of any load, then again while another order's question without an end is computed.
pub async fn measure(bench: &mut Bench) -> Result<Figures, BenchError> {
    let (played, connections, span) = (bench.played().await?, usize::from(bench.arguments.connections), bench.span());
    let node = Node::serve(&bench.arguments.binary, &played.demo.directory)?;
    tokio::time::sleep(gone::SETTLED_AFTER).await;
    let plans = orders::plans(&node, &played.flights, &played.orders);
    let claims = plans.into_iter().find(|plan| plan.name == orders::VERIFY);
    let claims = Arc::new(claims.ok_or_else(|| BenchError::Unexpected("there are no claims to send".to_owned()))?);
    eprintln!("measuring {} alone, and beside a question without an end, for {} s each", claims.name, span.as_secs());
    let alone = load::run(&claims, connections, span).await?;
    let client = Client::builder().no_proxy().build()?;
    let asking = tokio::spawn(gone::question(&client, &node, &played.orders.records.key).send());
    tokio::time::sleep(RUNS_FOR).await;
    let beside = load::run(&claims, connections, span).await?;
    if asking.is_finished() {
        return Err(BenchError::Unexpected("the question without an end ended".to_owned()));
    }
    asking.abort();
    node.stop()?;
    let share = beside.per_second / alone.per_second;
    let row = Row::new(
        format!("{} per second beside a question without an end", claims.name),
        format!("{:.0}, p50 {:.2}, p99 {:.2} ms", beside.per_second, beside.p50_ms, beside.p99_ms),
        format!("alone {:.0}, p50 {:.2}, p99 {:.2} ms", alone.per_second, alone.p50_ms, alone.p99_ms),
    );
    let row = row.ratio(share).goal(Goal::at_least(SHARE_MIN, share, ""));
    Figures::new(vec![row], &Neighbours { alone, beside })
}
