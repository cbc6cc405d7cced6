//! A node that can't start says in one sentence why and what to do, and ends with exit code 1.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use lingqu_tests::node::{self, Ended, ON_FREE_PORTS};

use crate::confined::{Filling, on_read_only, on_small_disk};
use crate::prepared::{Prepared, copy_tree};

/// The tests look at messages, not at data.
const TRIPS: usize = 200;
/// Twice the prepared node.
const DISK_BYTES: u64 = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_node_from_starting_is_said_in_one_sentence() {
    let prepared = Prepared::make(None, TRIPS).await;
    a_busy_port(&prepared);
    a_wrong_configuration_key(&prepared);
    a_log_without_one_of_its_suites(&prepared);
    a_directory_without_a_node(&prepared);
    a_node_that_is_in_use(&prepared);
    a_read_only_directory(&prepared);
    a_full_disk(&prepared);
    a_truncated_snapshot(&prepared);
}

fn serve(directory: &Path, listen: &str) -> Ended {
    let directory = directory.display().to_string();
    let [option, _, others @ ..] = ON_FREE_PORTS;
    node::run(&[&["serve", option, listen], &others[..], &["--dir", &directory]].concat())
}

/// A full disk while a node is made leaves nothing behind that the next attempt would stumble over.
#[test]
fn a_node_that_found_no_room_can_be_made_when_there_is_some() {
    const SCRIPT: &str = "\"$1\" init --tier region --division 450000 --dir \"$2/node\"; echo \"first $?\"; \
        rm \"$2/filler\"; \"$1\" init --tier region --division 450000 --dir \"$2/node\" && \"$1\" replay --check --dir \"$2/node\"";
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let (empty, place) = (directory.path().join("empty"), directory.path().join("small"));
    fs::create_dir(&empty).expect("the temporary directory is writable");
    let (binary, text) = (node::binary().display().to_string(), place.display().to_string());
    let program = ["sh", "-c", SCRIPT, "sh", &binary, &text];
    let ended = node::run_command(on_small_disk(&place, DISK_BYTES, &empty, Filling::Full, &program));
    assert!(ended.stdout.starts_with("first 1\n"), "{ended:?}");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let sentences: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("lingqu: ")).collect();
    assert!(matches!(sentences[..], [sentence] if sentence.contains("free some space")), "{ended:?}");
}

/// One sentence on stderr with each of the words, nothing on stdout, exit code 1.
fn says(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    let sentences: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("lingqu: ")).collect();
    let [sentence] = sentences[..] else { panic!("one sentence was expected: {ended:?}") };
    assert_eq!(ended.stderr.lines().last(), Some(sentence), "the sentence stands last, where it is seen");
    for word in words {
        assert!(sentence.contains(word), "{sentence:?} does not say {word:?}");
    }
    for trace in ["panicked", "RUST_BACKTRACE", "Os {", "DbErr", "Error("] {
        assert!(!ended.stderr.contains(trace), "{}", ended.stderr);
    }
}

fn a_busy_port(prepared: &Prepared) {
    let taken = TcpListener::bind("127.0.0.1:0").expect("the loopback address has a free port");
    let address = taken.local_addr().expect("a bound listener has an address").to_string();
    says(&serve(&prepared.node(), &address), &[&address, "in use", "--listen"]);
}

fn a_wrong_configuration_key(prepared: &Prepared) {
    let directory = prepared.beside("misspelt");
    copy_tree(&prepared.node(), &directory);
    fs::write(directory.join("lingqu.toml"), "meter_minutes = 5\nlisten_adress = \"127.0.0.1:0\"\n")
        .expect("the copy is writable");
    says(&serve(&directory, "127.0.0.1:0"), &["lingqu.toml, line 2", "listen_adress", "not known", "`listen`"]);
}

fn a_log_without_one_of_its_suites(prepared: &Prepared) {
    let directory = prepared.beside("suites");
    copy_tree(&prepared.node(), &directory);
    let configured = |suites: &str| {
        fs::write(directory.join("lingqu.toml"), format!("[log]\nsuites = {suites}\n")).expect("the copy is writable");
        serve(&directory, "127.0.0.1:0")
    };
    // The prepared node has published its twin.
    says(&configured("[\"international\"]"), &["twin log over SM3", "can't end", "put \"national\" back"]);
    says(&configured("[\"national\"]"), &["`suites` under `[log]`", "must hold \"international\""]);
}

fn a_directory_without_a_node(prepared: &Prepared) {
    let directory = prepared.beside("empty");
    fs::create_dir(&directory).expect("the temporary directory is writable");
    says(&serve(&directory, "127.0.0.1:0"), &[&directory.display().to_string(), "lingqu init"]);
    assert_eq!(fs::read_dir(&directory).expect("it is there").count(), 0, "nothing was made in it");
}

fn a_node_that_is_in_use(prepared: &Prepared) {
    let running = node::Node::serve(&prepared.node());
    says(&serve(&prepared.node(), "127.0.0.1:0"), &["in use by another lingqu process", "stop it"]);
    assert_eq!(running.stop().code(), Some(0));
}

fn a_read_only_directory(prepared: &Prepared) {
    let directory = prepared.node();
    let binary = node::binary().display().to_string();
    let text = directory.display().to_string();
    let program = [&[binary.as_str(), "serve"][..], &ON_FREE_PORTS, &["--dir", &text]].concat();
    let ended = node::run_command(on_read_only(&directory, &program));
    says(&ended, &[&text, "read-only", "give the user that runs lingqu the right to it"]);
}

fn a_full_disk(prepared: &Prepared) {
    let place = prepared.beside("small");
    let binary = node::binary().display().to_string();
    let text = place.display().to_string();
    let program = [&[binary.as_str(), "serve"][..], &ON_FREE_PORTS, &["--dir", &text]].concat();
    let ended = node::run_command(on_small_disk(&place, DISK_BYTES, &prepared.node(), Filling::Full, &program));
    says(&ended, &["free some", "space"]);
}

fn a_truncated_snapshot(prepared: &Prepared) {
    let directory = prepared.beside("truncated-snapshot");
    copy_tree(&prepared.node(), &directory);
    for file in parquet_files(&directory.join("snapshots")) {
        let name = truncated(&file);
        says(&serve(&directory, "127.0.0.1:0"), &[&name, "bytes", "restore it from a backup"]);
        fs::copy(prepared.node().join(file.strip_prefix(&directory).expect("it is inside")), &file)
            .expect("the copy is writable");
    }
}

/// Cuts the last hundred bytes off a file and answers its name.
pub fn truncated(path: &Path) -> String {
    let file = fs::File::options().write(true).open(path).expect("the copy is writable");
    let length = file.metadata().expect("a file has a length").len();
    file.set_len(length - 100).expect("the copy is writable");
    path.file_name().expect("a file has a name").to_string_lossy().into_owned()
}

/// The data files below a directory.
pub fn parquet_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the copy is readable") {
        let path = entry.expect("the copy is readable").path();
        if path.is_dir() {
            found.extend(parquet_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    found
}
