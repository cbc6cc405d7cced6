//! The demo's data and the node that serves it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::failure::{BenchError, file_error};

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

/// Plays the demo into a new directory below `out`.
pub fn play_demo(binary: &Path, out: &Path) -> Result<Demo, BenchError> {
    let directory = out.join("node");
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(file_error("remove", &directory, &error));
        }
        _ => {}
    }
    let failed = |reason: String| BenchError::Program { program: "lingqu demo".to_owned(), reason };
    let output = Command::new(binary)
        .args(["demo", "--json", "--dir"])
        .arg(&directory)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(format!("its JSON can't be read: {error}")))
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
                "--dir",
            ])
            .arg(directory)
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

    /// Memory that the process holds now, in bytes (proc(5), `VmRSS`).
    pub fn resident_bytes(&self) -> Result<u64, BenchError> {
        let path = PathBuf::from(format!("/proc/{}/status", self.child.id()));
        let status = fs::read_to_string(&path).map_err(|error| file_error("read", &path, &error))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        let kibibytes = kibibytes.ok_or_else(|| BenchError::Unexpected(format!("{} has no VmRSS", path.display())))?;
        Ok(kibibytes * 1_024)
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
