//! `kill -9` while answers with noise are given: no answer that somebody saw is ever given otherwise, nothing is paid twice,
//! and no account is overdrawn.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lingqu_domain::scope::Mode;
use lingqu_tests::node::{self, Node};
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_NOISED, Who};
use lingqu_tests::{StoreFactory, both};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::prepared::copy_tree;

/// How often the node is killed on each database.
const KILLS: u64 = 8;
/// Clients that ask at the same time.
const CLIENTS: u64 = 4;
/// How long a round waits for its first answer before it kills all the same.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(20);
/// What an answer costs, and how many the budget pays for.
const RHO: &str = "0.001";
const ANSWERS: u64 = 150;
const BUDGET: &str = "0.15";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_give_nobody_two_noises() {
    both(async |factory: StoreFactory| {
        let url = factory.config().url;
        let scenario = Scenario::open_noised(Some(url.clone()), 500, BUDGET, RHO).await;
        let order = scenario.order(Who::First, TRIP_NOISED, &[Mode::Statistics], (1_000_000, 0)).await;
        scenario.app.publish_log().await.expect("the log of a new node can be published");
        scenario.app.close().await.expect("an idle node closes");
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let place = directory.path().join("node");
        copy_tree(scenario.app.directory(), &place);
        fs::write(place.join("lingqu.toml"), format!("database = {url:?}\n")).expect("the copy is writable");

        let mut seen: BTreeMap<u64, i64> = BTreeMap::new();
        let mut cut = 0;
        for round in 0..KILLS {
            let node = Node::serve(&place);
            // What was seen before is still the answer.
            for (question, number) in seen.iter().take(3) {
                assert_eq!(
                    ask(&node.url, &order, *question).await,
                    Asked::Told { number: *number, spent: "0".to_owned() }
                );
            }
            let mut clients = JoinSet::new();
            let first = Arc::new(AtomicU64::new(0));
            for client in 0..CLIENTS {
                let (url, order, first) = (node.url.clone(), order.clone(), Arc::clone(&first));
                clients.spawn(async move {
                    let mut told = Vec::new();
                    // Two clients each ask the same questions, so that they race for them.
                    for question in (round * 100 + client / 2 * 50).. {
                        match ask(&url, &order, question).await {
                            Asked::Told { number, .. } => {
                                first.fetch_add(1, Ordering::SeqCst);
                                told.push((question, number));
                            }
                            Asked::Refused(code) => {
                                assert_eq!(code, "privacy_budget_exhausted");
                                return (told, false);
                            }
                            Asked::Gone => return (told, true),
                        }
                    }
                    (told, false)
                });
            }
            // Moments that are not in time with anything, once the first answer is there: the first of all waits for the
            // product to be made.
            let began = Instant::now();
            while first.load(Ordering::SeqCst) == 0 && began.elapsed() < FIRST_ANSWER_MAX {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(3 + round * 41)).await;
            node.kill();
            while let Some(client) = clients.join_next().await {
                let (told, is_cut) = client.expect("a client does not panic");
                cut += u32::from(is_cut);
                for (question, number) in told {
                    assert_eq!(*seen.entry(question).or_insert(number), number, "question {question} has one answer");
                }
            }
        }
        assert!(cut > 0, "no client was cut off");
        assert!(!seen.is_empty(), "nobody was told anything");

        let node = Node::serve(&place);
        for (question, number) in &seen {
            assert_eq!(ask(&node.url, &order, *question).await, Asked::Told { number: *number, spent: "0".to_owned() });
        }
        // The budget pays for as many answers as it did at first: none was paid twice, and none was not paid.
        let mut paid = spent(&node.url, &order).await;
        assert!(paid >= seen.len() as u64 && paid <= ANSWERS, "{paid} for {}", seen.len());
        for question in 1_000_000.. {
            match ask(&node.url, &order, question).await {
                Asked::Told { spent, .. } => assert_eq!(spent, RHO),
                Asked::Refused(code) => {
                    assert_eq!(code, "privacy_budget_exhausted");
                    break;
                }
                Asked::Gone => panic!("an idle node is gone: {}", node.log()),
            }
            paid += 1;
        }
        assert_eq!((paid, spent(&node.url, &order).await), (ANSWERS, ANSWERS));
        node.stop();
        let replay = node::run(&["replay", "--check", "--dir", &place.display().to_string()]);
        assert_eq!(replay.code, Some(0), "{replay:?}");
    })
    .await;
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Told {
        number: i64,
        spent: String,
    },
    Refused(String),
    /// The node was killed.
    Gone,
}

async fn ask(url: &str, order: &Ordered, question: u64) -> Asked {
    loop {
        match ask_once(url, order, question).await {
            // The task that closed a delivery frees its place a moment later.
            Asked::Refused(code) if code == "too_many_deliveries" => tokio::time::sleep(Duration::from_millis(5)).await,
            asked => return asked,
        }
    }
}

async fn ask_once(url: &str, order: &Ordered, question: u64) -> Asked {
    let sql = format!("SELECT count(*) AS n FROM trip_noised WHERE line = 'L1' OR line = 'Q{question}'");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.post(format!("{url}/data/v1/{TRIP_NOISED}/query")).bearer_auth(&order.key);
    let request = request.header("content-type", "application/json").body(json!({ "sql": sql }).to_string());
    let Ok(reply) = request.send().await else { return Asked::Gone };
    let spent = reply.headers().get("lingqu-privacy-spent").and_then(|spent| spent.to_str().ok()).map(str::to_owned);
    let Ok(body) = reply.bytes().await else { return Asked::Gone };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (body["rows"][0]["n"].as_i64(), body["code"].as_str(), spent) {
        (Some(number), _, Some(spent)) => Asked::Told { number, spent },
        (_, Some(code), _) => Asked::Refused(code.to_owned()),
        // Cut off in the middle of the body.
        _ => Asked::Gone,
    }
}

/// How many answers were paid for.
async fn spent(url: &str, order: &Ordered) -> u64 {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.get(format!("{url}/data/v1/{TRIP_NOISED}/privacy")).bearer_auth(&order.key);
    let body = request.send().await.expect("an answer").bytes().await.expect("a body");
    let standing: Value = serde_json::from_slice(&body).expect("JSON");
    let spent = standing["accounts"][0]["spent"].as_str().expect("an amount").parse::<f64>().expect("a number");
    (spent / RHO.parse::<f64>().expect("a number")).round() as u64
}
