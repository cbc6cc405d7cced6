//! The log in an object store that others wrote: PyPI's `localbucket`, which speaks the protocol of S3 and keeps buckets as folders.
//! What the node publishes is looked at as files there.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lingqu_domain::scope::Mode;
use lingqu_tests::node::{Ended, Node, run};
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_RECORDS, Who};
use lingqu_tests::{PrivatePostgres, free_port};
use serde_json::Value;

use crate::clients::python;
use crate::node::{copy, played};

const BUCKET: &str = "logs";
const PREFIX: &str = "nanning/log";
/// How long the server may take to listen, and a receipt to be published.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The server, ended when it is dropped.
struct Store {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Store {
    fn serve(python: &Path) -> Store {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let port = free_port();
        let mut command = Command::new(python);
        command.args(["-m", "localbucket", "--port", &port.to_string()]).arg(folder.path());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Python runs");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the object store does not listen; see that localbucket is installed");
            std::thread::sleep(LOOK_EVERY);
        }
        Store { child, folder, port }
    }

    /// Where the log's files are, as the server keeps them.
    fn log(&self) -> PathBuf {
        self.folder.path().join(BUCKET).join(PREFIX)
    }

    fn configuration(&self) -> String {
        format!(
            "[log.objects]\nurl = 's3://{BUCKET}/{PREFIX}'\nendpoint = 'http://127.0.0.1:{}'\nallow_http = true\n\
             access_key_id = 'lingqu'\nsecret_access_key = 'geheim'\n",
            self.port
        )
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Moves the log's files into the store, as the manual says it is done once; not the lock.
fn move_log(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            move_log(&entry.path(), &target);
        } else if entry.file_name() != "lock" {
            fs::copy(entry.path(), target).unwrap();
        }
    }
    fs::remove_dir_all(from).unwrap();
}

fn size(checkpoint: &str) -> u64 {
    checkpoint.lines().nth(1).and_then(|line| line.parse().ok()).expect("a checkpoint has a size")
}

async fn checkpoint(node: &Node) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("{}/log/checkpoint", node.url)).send().await.unwrap().text().await.unwrap()
}

/// A page of rows, which leaves a receipt.
async fn read(node: &Node, product: &str, key: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/data/v1/{product}/rows?limit=1", node.url);
    let answer = client.get(url).bearer_auth(key).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

async fn grown(node: &Node, from: u64) -> String {
    let begun = Instant::now();
    loop {
        let found = checkpoint(node).await;
        if size(&found) > from {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing was published: {}", node.log());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The verifier key of a node's log.
fn vkey(directory: &Path) -> String {
    let keys = run(&["witness", "key", "--json", "--dir", &directory.display().to_string()]);
    assert_eq!(keys.code, Some(0), "{}", keys.stderr);
    let keys: Value = serde_json::from_str(&keys.stdout).unwrap();
    keys["logs"][0]["vkey"].as_str().unwrap().to_owned()
}

fn watched(node: &Node, vkey: &str, state: &Path) -> Ended {
    let state = state.display().to_string();
    run(&["audit", "watch", &format!("{}/log", node.url), "--vkey", vkey, "--once", "--entries", "--state", &state])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_s_log_lies_in_an_object_store() {
    let Some(python) = python() else { return };
    let (store, order) = (Store::serve(&python), played().order_by("rows"));
    let served = played().serve_with(|directory| {
        move_log(&directory.join("log"), &store.log());
        let file = directory.join("lingqu.toml");
        let before = fs::read_to_string(&file).unwrap_or_default();
        fs::write(&file, format!("{before}\n{}", store.configuration())).unwrap();
    });
    let directory = served.directory.path().to_owned();
    let first = checkpoint(&served.node).await;
    read(&served.node, &order.product, &order.key).await;
    let second = grown(&served.node, size(&first)).await;
    assert_eq!(fs::read_to_string(store.log().join("checkpoint")).unwrap(), second);
    assert!(!directory.join("log").exists(), "the log has one place");
    // It is the log that it was, to whoever followed it before and reads every entry and tile.
    let vkey = vkey(&directory);
    let state = directory.join("watch");
    let seen = watched(&served.node, &vkey, &state);
    assert_eq!(seen.code, Some(0), "{}{}", seen.stdout, seen.stderr);
    // A killed node goes on where it was.
    let node = served.node;
    read(&node, &order.product, &order.key).await;
    node.kill();
    let node = Node::serve(&directory);
    read(&node, &order.product, &order.key).await;
    grown(&node, size(&second)).await;
    let seen = watched(&node, &vkey, &state);
    assert_eq!(seen.code, Some(0), "{}{}", seen.stdout, seen.stderr);
    assert!(node.stop().success());
    let check = || run(&["replay", "--check", "--dir", &directory.display().to_string()]);
    let agrees = check();
    assert_eq!(agrees.code, Some(0), "{}{}", agrees.stdout, agrees.stderr);
    // A file of the store that was changed is found, and named as it is named there.
    let partial = fs::read_dir(store.log().join("tile/entries/000.p"));
    let whole = store.log().join("tile/entries/000");
    let file = if whole.exists() { whole } else { partial.unwrap().next().unwrap().unwrap().path() };
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let differs = check();
    assert_eq!(differs.code, Some(1), "{}", differs.stdout);
    assert!(!format!("{}{}", differs.stdout, differs.stderr).contains("geheim"));
}

/// A node on PostgreSQL that two processes will serve, each from a directory of its own, with its log in the store.
async fn on_postgres(url: &str, store: &Store, beside: &Path) -> ([PathBuf; 2], Ordered) {
    let scenario = Scenario::open(Some(url.to_owned()), 1_000).await;
    let order = scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (1_000, 0)).await;
    scenario.app.publish_log().await.unwrap();
    scenario.app.close().await.unwrap();
    let directories = ["first", "second"].map(|name| beside.join(name));
    copy(scenario.app.directory(), &directories[0]);
    move_log(&directories[0].join("log"), &store.log());
    let text = format!("database = {url:?}\n\n{}", store.configuration());
    fs::write(directories[0].join("lingqu.toml"), text).unwrap();
    copy(&directories[0], &directories[1]);
    (directories, order)
}

/// Waits until the store serves this checkpoint or a larger one.
async fn served_again(store: &Store, newest: &str) {
    let begun = Instant::now();
    loop {
        let found = fs::read_to_string(store.log().join("checkpoint")).unwrap_or_default();
        if found.lines().nth(1).and_then(|line| line.parse().ok()).is_some_and(|found: u64| found >= size(newest)) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "an earlier checkpoint stays: {found}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Which of two processes publishes the database says, and nothing in the store. The one that does is killed, the other takes its
/// place, and to those who follow the log and hold evidence nothing has happened.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_postgresql_publish_one_log_into_the_store() {
    let Some(python) = python() else { return };
    let Some(server) = PrivatePostgres::needed("a log in an object store on PostgreSQL") else { return };
    let (url, store) = (server.create_database().await, Store::serve(&python));
    let beside = tempfile::tempdir().unwrap();
    let ([first_directory, second_directory], order) = on_postgres(&url, &store, beside.path()).await;
    let (product, key) = (order.product, order.key.as_str());
    let first = Node::serve(&first_directory);
    let prepared = checkpoint(&first).await;
    read(&first, product, key).await;
    let published = grown(&first, size(&prepared)).await;
    let vkey = vkey(&first_directory);
    let state = beside.path().join("watch");
    let seen = watched(&first, &vkey, &state);
    assert_eq!(seen.code, Some(0), "{}{}", seen.stdout, seen.stderr);

    let second = Node::serve(&second_directory);
    read(&second, product, key).await;
    first.kill();
    read(&second, product, key).await;
    let taken_over = grown(&second, size(&published)).await;
    let seen = watched(&second, &vkey, &state);
    assert_eq!(seen.code, Some(0), "{}{}", seen.stdout, seen.stderr);
    // What the killed one had put on its way arrives: a checkpoint from before.
    fs::write(store.log().join("checkpoint"), &published).unwrap();
    served_again(&store, &taken_over).await;

    let first = Node::serve(&first_directory);
    read(&first, product, key).await;
    let both = grown(&first, size(&taken_over)).await;
    assert!(second.stop().success());
    read(&first, product, key).await;
    grown(&first, size(&both)).await;
    let seen = watched(&first, &vkey, &state);
    assert_eq!(seen.code, Some(0), "{}{}", seen.stdout, seen.stderr);
    for directory in [&first_directory, &second_directory] {
        assert!(!directory.join("log").exists(), "the log has one place");
    }
    // Evidence from beside the running node, over entries that both of them published.
    let directory = first_directory.display().to_string();
    let file = beside.path().join("order.evidence").display().to_string();
    let made = run(&["audit", "export", order.id.as_str(), "--dir", &directory, "-o", &file]);
    assert_eq!(made.code, Some(0), "{}{}", made.stdout, made.stderr);
    let verified = run(&["audit", "verify", &file, "--vkey", &vkey, "--json"]);
    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
    let verified: Value = serde_json::from_str(&verified.stdout).unwrap();
    assert!(verified["key_is_trusted"] == true && verified["twin"].is_object(), "{verified}");
    assert!(first.stop().success());
    let agrees = run(&["replay", "--check", "--dir", &directory]);
    assert_eq!(agrees.code, Some(0), "{}{}", agrees.stdout, agrees.stderr);
}

#[test]
fn a_store_that_is_not_there_is_told_and_its_key_is_not() {
    let served = played().copied();
    let node = served.path().join("node");
    let port = free_port();
    let file = node.join("lingqu.toml");
    let before = fs::read_to_string(&file).unwrap_or_default();
    let objects = format!(
        "[log.objects]\nurl = 's3://logs/a'\nendpoint = 'http://127.0.0.1:{port}'\nallow_http = true\n\
         access_key_id = 'lingqu'\nsecret_access_key = 'geheim'\n"
    );
    fs::write(&file, format!("{before}\n{objects}")).unwrap();
    let ended = run(&["replay", "--check", "--dir", &node.display().to_string()]);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert!(told.contains("checkpoint") && !told.contains("geheim"), "{told}");
}
