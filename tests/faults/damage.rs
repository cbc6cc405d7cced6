//! A file that was damaged under a running node: no answer is made from it, and the log says which file and what to do.

use lingqu_tests::node::Node;

use crate::load::Clients;
use crate::prepared::Prepared;
use crate::start::{parquet_files, truncated};

const TRIPS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_from_a_truncated_product() {
    let prepared = Prepared::make(None, TRIPS).await;
    let node = Node::serve(&prepared.node());
    // Products are made when they are first asked for.
    let verified = Clients::of(&node.url).try_verifications(&prepared.check, 1).await;
    assert_eq!(verified.arrived.len(), 1, "{:?}", verified.refused);
    assert_eq!(node.stop().code(), Some(0));

    let files = parquet_files(&prepared.node().join("products"));
    let name = truncated(files.first().expect("a product is made of files"));
    let node = Node::serve(&prepared.node());
    let verified = Clients::of(&node.url).try_verifications(&prepared.check, 1).await;
    assert_eq!((verified.arrived.len(), verified.refused.get("fault")), (0, Some(&1)));
    let log = node.log_with(&name);
    assert!(log.contains(&name) && log.contains("restore it from a backup"), "{log}");
    assert_eq!(node.stop().code(), Some(0));
}
