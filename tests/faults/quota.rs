//! `kill -9` while rows and bytes leave that quotas count, about subjects that they count: each account then holds what durable
//! records let out, to the row, to the byte and to the subject, on both databases.

use lingqu_tests::PrivatePostgres;
use lingqu_tests::node::Node;
use reqwest::{Client, Response};

use crate::check::{INTERRUPTED, Records};
use crate::kill::a_minute_passes;
use crate::load::Promises;
use crate::prepared::Prepared;

const KILLS: u64 = 5;
/// Lines of ordinary trips; a vehicle is on one of them.
const LINES: u64 = 5;
/// Every trip.
const ALL: &str = "export?format=ndjson";
/// Enough that a file is larger than what lies between node and client.
const TRIPS: usize = 60_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_leaves_what_was_let_out_on_sqlite() {
    let prepared = Prepared::make(None, TRIPS).await;
    kill_while_it_leaves(&prepared, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_leaves_what_was_let_out_on_postgres() {
    let Some(server) = PrivatePostgres::needed("kills on PostgreSQL") else { return };
    let url = server.create_database().await;
    let prepared = Prepared::make(Some(url.clone()), TRIPS).await;
    kill_while_it_leaves(&prepared, Some(url)).await;
}

/// Kills the node each time that something of two files has arrived, and looks at the accounts after the next start.
async fn kill_while_it_leaves(prepared: &Prepared, database_url: Option<String>) {
    let client = Client::builder().no_proxy().build().expect("a client needs nothing");
    for round in 0..=KILLS {
        if let Some(url) = &database_url {
            a_minute_passes(url).await;
        }
        let node = Node::serve(&prepared.node());
        let records = Records::read(prepared.node(), database_url.clone()).await;
        records.must_hold(&Promises::default());
        records.quotas_are_exact();
        let cut = records.ends().get(INTERRUPTED).copied().unwrap_or(0);
        assert_eq!(cut, 2 * round, "two files were cut off by each kill");
        if round == KILLS {
            let (rows, bytes) = records.let_out_in_part();
            println!("{rows} rows and {bytes} bytes were let out by deliveries that were cut off");
            assert!(rows > 0 && bytes > 0);
            assert!(node.stop().success());
            return;
        }
        let get = async |path: &str| -> Response {
            let url = format!("{}/data/v1/{}/{path}", node.url, prepared.counted.product);
            let response =
                client.get(url).bearer_auth(&prepared.counted.key).send().await.expect("an idle node answers");
            assert_eq!(response.status(), 200);
            response
        };
        // What was whole before counts as it was. Each page is about other vehicles, of which the files have more.
        let of_line = format!("rows?format=csv&columns=trip_id,line&filter=line:eq:L{}&limit=10", round % LINES);
        get(&of_line).await.bytes().await.expect("a page arrives whole");
        let files =
            if round < LINES { format!("export?format=ndjson&filter=line:ne:L{round}") } else { ALL.to_owned() };
        let mut files = [get(&files).await, get(&files).await];
        for file in &mut files {
            let arrived = file.chunk().await.expect("a file begins to arrive");
            assert!(arrived.is_some_and(|arrived| !arrived.is_empty()));
        }
        node.kill();
    }
}
