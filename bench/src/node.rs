//! The demo's data and the node that serves it.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::Arguments;
use crate::bench::Bench;
use crate::failure::{BenchError, file_error};
use crate::figures::{median, quantile};
use crate::program;
use crate::report::{Figures, Row, mebibytes};

/// How long a node is left alone before its memory counts as idle.
pub const IDLE_AFTER: Duration = Duration::from_secs(5);
/// How long a node may take to end.
const STOP_MAX: Duration = Duration::from_secs(30);

/// What `lingqu demo --json` prints, as far as it is needed.
#[derive(Debug, Deserialize)]
pub struct Demo {
    /// The node's directory.
    pub directory: PathBuf,
    /// Orders that were placed.
    pub orders: Vec<DemoOrder>,
    /// Who can log in.
    pub logins: Vec<DemoLogin>,
}

/// An order of the demo.
#[derive(Debug, Deserialize)]
pub struct DemoOrder {
    /// Its id.
    pub id: String,
    /// The product's table name.
    pub product: String,
}

/// A login of the demo.
#[derive(Debug, Deserialize)]
pub struct DemoLogin {
    /// The name.
    pub login: String,
    /// The password.
    pub password: String,
}

/// Starts the demo's node again and again, and looks at its memory when it is idle.
pub async fn measure(bench: &mut Bench) -> Result<Figures, BenchError> {
    let played = bench.played().await?;
    let mut ready_ms = Vec::new();
    for _ in 0..bench.runs() {
        let node = Node::serve(&bench.arguments.binary, &played.demo.directory)?;
        ready_ms.push(node.ready_after.as_secs_f64() * 1_000.0);
        node.stop()?;
    }
    let node = Node::serve(&bench.arguments.binary, &played.demo.directory)?;
    tokio::time::sleep(IDLE_AFTER).await;
    let idle_bytes = node.resident_bytes()?;
    node.stop()?;
    let (least, most) = (quantile(&ready_ms, 0.0), quantile(&ready_ms, 1.0));
    let rows = vec![
        Row::new(
            "start until ready, median",
            format!("{:.0} ms", median(&ready_ms)),
            format!("{} starts: {least:.0} to {most:.0} ms", ready_ms.len()),
        ),
        Row::new("memory, idle", mebibytes(idle_bytes), format!("{} s after it was ready", IDLE_AFTER.as_secs())),
    ];
    Figures::new(rows, &(ready_ms, idle_bytes))
}

/// Plays the demo into a new directory below `out`.
pub fn play_demo(arguments: &Arguments, limit: Duration) -> Result<Demo, BenchError> {
    let directory = arguments.out.join("node");
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(file_error("remove", &directory, &error));
        }
        _ => {}
    }
    let mut command = Command::new(&arguments.binary);
    command.args(["demo", "--json", "--dir"]).arg(&directory);
    let printed = program::printed(&mut command, "demo", &arguments.out, limit, false)?;
    serde_json::from_slice(&printed).map_err(|error| BenchError::Program {
        program: "lingqu demo".to_owned(),
        reason: format!("its JSON can't be read: {error}"),
    })
}

/// A serving node. Dropping it kills it.
pub struct Node {
    child: Child,
    /// Where clients reach it, without a slash at the end.
    pub url: String,
    /// Where its operator reaches it.
    pub admin_url: String,
    /// Where clients of Flight SQL reach it.
    pub flight_url: String,
    /// From starting the process until it said that it is ready.
    pub ready_after: Duration,
}

#[derive(Deserialize)]
struct Ready {
    url: String,
    admin_url: String,
    flight_url: String,
}

impl Node {
    /// Serves a node on free ports and waits until it is ready.
    pub fn serve(binary: &Path, directory: &Path) -> Result<Node, BenchError> {
        Node::serve_by(binary, &["--dir".into(), directory.into()])
    }

    /// The same of the node that these arguments name.
    pub fn serve_by(binary: &Path, arguments: &[OsString]) -> Result<Node, BenchError> {
        let failed = |reason: String| BenchError::Program { program: "lingqu serve".to_owned(), reason };
        let begun = Instant::now();
        let mut child = Command::new(binary)
            .args([
                "serve",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--flight-listen",
                "127.0.0.1:0",
                "--postgres-listen",
                "127.0.0.1:0",
            ])
            .args(arguments)
            .env("LINGQU_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let stdout = child.stdout.take().ok_or_else(|| failed("it has no stdout".to_owned()))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|error| failed(error.to_string()))?;
        let ready_after = begun.elapsed();
        let ready: Ready =
            serde_json::from_str(&line).map_err(|_| failed("it did not become ready; see above".to_owned()))?;
        Ok(Node { child, url: ready.url, admin_url: ready.admin_url, flight_url: ready.flight_url, ready_after })
    }

    /// Host and port of its listener.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Memory that the process holds now, in bytes.
    pub fn resident_bytes(&self) -> Result<u64, BenchError> {
        resident_bytes(self.child.id())
    }

    /// Processor time that the process took so far, in ticks of the system (100 a second).
    pub fn processor_ticks(&self) -> Result<u64, BenchError> {
        let path = PathBuf::from(format!("/proc/{}/stat", self.child.id()));
        let stat = fs::read_to_string(&path).map_err(|error| file_error("read", &path, &error))?;
        // Behind the name, which may hold anything, user and system time are the 12th and 13th field (proc_pid_stat(5)).
        let behind_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: Vec<u64> = behind_name.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
        match ticks[..] {
            [user, system] => Ok(user + system),
            _ => Err(BenchError::Unexpected(format!("{} has another form", path.display()))),
        }
    }

    /// Asks it to end, as an operator does, and waits.
    pub fn stop(mut self) -> Result<(), BenchError> {
        let failed = |reason: String| BenchError::Program { program: "lingqu serve".to_owned(), reason };
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        asked.map_err(|error| failed(error.to_string()))?;
        let begun = Instant::now();
        while begun.elapsed() < STOP_MAX {
            if self.child.try_wait().map_err(|error| failed(error.to_string()))?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(failed(format!("it did not end within {} s", STOP_MAX.as_secs())))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Memory that a process holds now, in bytes (proc(5), `VmRSS`).
pub fn resident_bytes(process: u32) -> Result<u64, BenchError> {
    let path = PathBuf::from(format!("/proc/{process}/status"));
    let status = fs::read_to_string(&path).map_err(|error| file_error("read", &path, &error))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let kibibytes = kibibytes.ok_or_else(|| BenchError::Unexpected(format!("{} has no VmRSS", path.display())))?;
    Ok(kibibytes * 1_024)
}
