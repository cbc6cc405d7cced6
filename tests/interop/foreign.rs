//! A log that a program without code of ours wrote, served as files by a plain web server: it is watched like our own, and
//! convicted when it rewrites what it signed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lingqu_tests::node::{Ended, binary, run_command};
use serde_json::Value;

use crate::clients::{python, script};

/// A web server of Python, ended when it is dropped.
struct Served {
    child: Child,
    url: String,
}

impl Served {
    fn of(python: &Path, folder: &Path) -> Served {
        let mut command = Command::new(python);
        command.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"]).arg(folder);
        Served::by(command)
    }

    /// The same with the bundles compressed alone.
    fn compressed(python: &Path, folder: &Path) -> Served {
        let mut command = Command::new(python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/gzip_files.py")).arg(folder);
        Served::by(command)
    }

    fn by(mut command: Command) -> Served {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("Python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says where it is");
        // "Serving HTTP on 127.0.0.1 port 43210 (http://127.0.0.1:43210/) ..."
        let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1).expect("it names its port");
        Served { child, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn watched(url: &str, place: &Path, further: &[&str]) -> Ended {
    let mut command = Command::new(binary());
    command.args(["audit", "watch", url, "--once", "--entries", "--json", "--state"]).arg(place.join("state"));
    command.arg("--proof-dir").arg(place).args(further);
    run_command(command)
}

/// What the lines of a watch say was seen.
fn seen(ended: &Ended) -> Vec<(String, Option<u64>)> {
    let lines = ended.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("one object a line"));
    lines.map(|line| (line["seen"].as_str().expect("a word").to_owned(), line["size"].as_u64())).collect()
}

#[test]
fn a_log_of_somebody_else_is_followed_and_convicted() {
    let Some(python) = python() else { return };
    let (files, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let make = |arguments: &[&str]| {
        let folder = files.path().to_str().expect("the temporary directory has a plain name");
        script(&python, "foreign_log.py", &[&[folder], arguments].concat()).stdout
    };
    let told = make(&["300"]);
    let [origin, vkey] = told.lines().collect::<Vec<_>>()[..] else { panic!("{told}") };
    let served = Served::of(&python, files.path());
    // The key does not have the log's name, so without that it vouches for nothing.
    let nameless = watched(&served.url, place.path(), &["--vkey", vkey]);
    assert_eq!(nameless.code, Some(1), "{}", nameless.stdout);
    let known = ["--vkey", vkey, "--origin", origin];
    let begun = watched(&served.url, place.path(), &known);
    assert_eq!(begun.code, Some(0), "{}{}", begun.stdout, begun.stderr);
    assert_eq!(seen(&begun), [("begun".to_owned(), Some(300)), ("entries".to_owned(), Some(300))]);
    // Of the sizes on the way there never was a checkpoint, and there are no tiles of them.
    make(&["140000"]);
    let grown = watched(&served.url, place.path(), &known);
    assert_eq!(grown.code, Some(0), "{}{}", grown.stdout, grown.stderr);
    assert_eq!(seen(&grown), [("grown".to_owned(), Some(140_000)), ("entries".to_owned(), Some(140_000))]);
    assert_eq!(seen(&watched(&served.url, place.path(), &known))[0].0, "unchanged");
    // A policy may name the log by a key of another name as well.
    let (policy, fresh) = (place.path().join("policy"), tempfile::tempdir().unwrap());
    std::fs::write(&policy, format!("log {vkey}\nquorum none\n")).unwrap();
    let by_policy = ["--policy", policy.to_str().expect("a plain name"), "--origin", origin];
    let followed = watched(&served.url, fresh.path(), &by_policy);
    assert_eq!(followed.code, Some(0), "{}{}", followed.stdout, followed.stderr);
    // One entry of long ago is another one now.
    make(&["140100", "7"]);
    let lied = watched(&served.url, place.path(), &known);
    assert_eq!(lied.code, Some(1), "{}", lied.stdout);
    let line: Value = serde_json::from_str(lied.stdout.lines().next().expect("a line")).unwrap();
    assert_eq!((&line["seen"], &line["log"]), (&"misconduct".into(), &origin.into()));
    let proof = line["proof"].as_str().expect("a proof was written");
    let verify = |further: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["audit", "verify-misconduct", proof, "--vkey", vkey, "--json"]).args(further);
        run_command(command)
    };
    let proven = verify(&["--origin", origin]);
    assert_eq!(proven.code, Some(0), "{}", proven.stderr);
    let proven: Value = serde_json::from_str(&proven.stdout).unwrap();
    assert_eq!((&proven["kind"], &proven["size"]), (&"rewrite".into(), &140_000.into()));
    assert_eq!(verify(&[]).code, Some(1), "of a log of the key's name it proves nothing");
}

#[test]
fn bundles_that_are_compressed_alone_are_read() {
    let Some(python) = python() else { return };
    let (files, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = files.path().to_str().expect("the temporary directory has a plain name");
    let told = script(&python, "foreign_log.py", &[folder, "700"]).stdout;
    let [origin, vkey] = told.lines().collect::<Vec<_>>()[..] else { panic!("{told}") };
    let served = Served::compressed(&python, files.path());
    let ended = watched(&served.url, place.path(), &["--vkey", vkey, "--origin", origin]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(seen(&ended), [("begun".to_owned(), Some(700)), ("entries".to_owned(), Some(700))]);
}
