//! The log in an object store that others wrote: PyPI's `localbucket`, which speaks the protocol of S3 and keeps buckets as folders.
//! What the node publishes is looked at as files there.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lingqu_tests::node::{Ended, Node, run};
use serde_json::Value;

use crate::clients::python;
use crate::node::{Order, played};

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
        // Given back at once; what listens on it next is the server.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
async fn read(node: &Node, order: &Order) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/data/v1/{}/rows?limit=1", node.url, order.product);
    let answer = client.get(url).bearer_auth(&order.key).send().await.unwrap();
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
    read(&served.node, &order).await;
    let second = grown(&served.node, size(&first)).await;
    assert_eq!(fs::read_to_string(store.log().join("checkpoint")).unwrap(), second);
    assert!(!directory.join("log").exists(), "the log has one place");
    // It is the log that it was, to whoever followed it before and reads every entry and tile.
    let keys = run(&["witness", "key", "--json", "--dir", &directory.display().to_string()]);
    assert_eq!(keys.code, Some(0), "{}", keys.stderr);
    let keys: Value = serde_json::from_str(&keys.stdout).unwrap();
    let vkey = keys["logs"][0]["vkey"].as_str().unwrap().to_owned();
    let state = directory.join("watch");
    let seen = watched(&served.node, &vkey, &state);
    assert_eq!(seen.code, Some(0), "{}{}", seen.stdout, seen.stderr);
    // A killed node goes on where it was.
    let node = served.node;
    read(&node, &order).await;
    node.kill();
    let node = Node::serve(&directory);
    read(&node, &order).await;
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

#[test]
fn a_store_that_is_not_there_is_told_and_its_key_is_not() {
    let served = played().copied();
    let node = served.path().join("node");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
