//! A disk that fills while the node serves: what can't be kept is refused, nothing acknowledged is lost, and after room
//! was made the node goes on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lingqu_tests::node::{self, Node, ON_FREE_PORTS};

use crate::check::Records;
use crate::confined::{Filling, on_small_disk};
use crate::load::{Clients, Promises};
use crate::prepared::{Prepared, copy_tree};

const TRIPS: usize = 2_000;
const DISK_BYTES: u64 = 48 << 20;
/// Requests that are sent to a node on a full disk.
const REQUESTS: usize = 40;
/// What room is made for the way on.
const ROOM_MAX: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_costs_nothing_that_was_acknowledged() {
    let prepared = Prepared::make(None, TRIPS).await;
    let place = prepared.beside("small");
    let binary = node::binary().display().to_string();
    let text = place.display().to_string();
    let program = [&[binary.as_str(), "serve", "--json"][..], &ON_FREE_PORTS, &["--dir", &text]].concat();
    let node = Node::serve_by(on_small_disk(&place, DISK_BYTES, &prepared.node(), Filling::Roomy, &program));
    // The disk as the node sees it, through its own root.
    let disk =
        PathBuf::from(format!("/proc/{}/root", node.pid())).join(place.strip_prefix("/").expect("it is absolute"));
    let clients = Clients::of(&node.url);
    let users = clients.sign_in().await;

    let mut promises = Promises::default();
    promises.add(clients.try_commands(&users, &prepared.place_order, REQUESTS).await);
    promises.add(clients.try_verifications(&prepared.check, REQUESTS).await);
    assert_eq!(promises.refused, BTreeMap::new(), "there is room");
    assert_eq!((promises.acknowledged.len(), promises.arrived.len()), (REQUESTS, REQUESTS));

    fill(&disk);
    let mut full = clients.try_commands(&users, &prepared.place_order, REQUESTS).await;
    full.add(clients.try_verifications(&prepared.check, REQUESTS).await);
    assert!(full.refused.values().sum::<u64>() > 0, "the disk is full and everything was kept: {full:?}");
    // The client is told that it passes, and in the log the operator is told what to do about it.
    assert_eq!(full.refused.keys().collect::<Vec<_>>(), ["storage_unavailable"]);
    promises.add(full);
    assert!(node.log_with("free some").contains("free some"), "the log says what to do: {}", node.log());

    fs::remove_file(disk.join("filler")).expect("the filler is there");
    // What a failed sync left on the disk is unknown, so the receipts may ask for a restart; a command must not.
    let again = clients.try_commands(&users, &prepared.place_order, 1).await;
    assert_eq!(again.acknowledged.len(), 1, "there is room again: {:?}; {}", again.refused, node.log());
    promises.add(again);
    let saved = prepared.beside("saved");
    // The disk goes with the process, so it is copied before; a copy beside a running publisher would hold files of two moments.
    node.pause();
    copy_tree(&disk, &saved);
    node.kill();
    goes_on(&prepared, &saved, promises).await;
}

/// A restart on a roomy disk serves again and has everything.
async fn goes_on(prepared: &Prepared, saved: &Path, mut promises: Promises) {
    let node = Node::serve(saved);
    let clients = Clients::of(&node.url);
    let verified = tokio::time::timeout(ROOM_MAX, clients.try_verifications(&prepared.check, 1)).await;
    let verified = verified.expect("a node with room answers");
    assert_eq!(verified.arrived.len(), 1, "{:?}", verified.refused);
    promises.add(verified);
    let records = Records::read(saved.to_owned(), None).await;
    records.must_hold(&promises);
    assert_eq!(node.stop().code(), Some(0));
}

/// Writes until nothing more fits.
fn fill(disk: &Path) {
    let mut file = fs::File::create(disk.join("filler")).expect("there is room yet");
    let block = [0u8; 4_096];
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
}
