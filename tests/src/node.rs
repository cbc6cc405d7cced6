//! The real binary as a child process: starting a node, killing it, and running the commands that end by themselves.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Names another binary than the one beside the tests.
pub const BINARY_VARIABLE: &str = "LINGQU_BINARY";
/// Listening on ports that the system chooses, so that nodes do not meet at the usual ones.
pub const ON_FREE_PORTS: [&str; 8] = [
    "--listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
    "--flight-listen",
    "127.0.0.1:0",
    "--postgres-listen",
    "127.0.0.1:0",
];
/// How long a node may take until it is ready and until it has ended.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a command may take until it ends.
const COMMAND_MAX: Duration = Duration::from_secs(300);
/// Pause between two looks at a child.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a process that was told to halt may take until each of its threads stands still.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The binary `lingqu`: the one that `LINGQU_BINARY` names, else the one of this build.
///
/// # Panics
/// When there is none, or when a source file is newer: a test against yesterday's binary says nothing.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os(BINARY_VARIABLE) {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "{BINARY_VARIABLE} names {}, which is no file", named.display());
        return named;
    }
    let test = std::env::current_exe().expect("a process knows its own file");
    let profile = test.parent().and_then(Path::parent).expect("cargo puts tests into deps/ of the profile's directory");
    let binary = profile.join("lingqu");
    assert!(binary.is_file(), "{} is not built; run `cargo build --workspace` first", binary.display());
    let built_at = modified(&binary).expect("a file has a time");
    // Written by cargo: `BINARY: SOURCE SOURCE …`, every source file of the workspace that went into it.
    let sources = std::fs::read_to_string(profile.join("lingqu.d")).unwrap_or_default();
    for source in sources.split_whitespace().skip(1) {
        let is_newer = modified(Path::new(source)).is_some_and(|time| time > built_at);
        assert!(!is_newer, "{source} is newer than {}; run `cargo build --workspace` first", binary.display());
    }
    binary
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// Runs the binary with arguments until it ends.
pub fn run(arguments: &[&str]) -> Ended {
    let mut command = Command::new(binary());
    command.args(arguments);
    run_command(command)
}

/// Runs a command until it ends.
///
/// # Panics
/// When it can't be run or doesn't end within a minute; it is ended then.
pub fn run_command(mut command: Command) -> Ended {
    let mut child = spawn(&mut command);
    let stdout = collect(child.stdout.take().expect("stdout is a pipe"));
    let stderr = collect(child.stderr.take().expect("stderr is a pipe"));
    let status = wait(&mut child, COMMAND_MAX);
    let status = status.unwrap_or_else(|| {
        end(&mut child);
        panic!("{command:?} did not end within {} s", COMMAND_MAX.as_secs());
    });
    let text = |thread: JoinHandle<String>| thread.join().expect("reading a pipe does not panic");
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// A serving node. Dropping it kills it.
pub struct Node {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Where clients reach it, without a slash at the end.
    pub url: String,
    /// Where its operator reaches it.
    pub admin_url: String,
    /// Where clients of Flight SQL reach it: `grpc://HOST:PORT`.
    pub flight_url: String,
    /// Where clients of the PostgreSQL protocol reach it: `postgres://HOST:PORT/lingqu`.
    pub postgres_url: String,
    /// From starting the process until it said that it is ready.
    pub ready_after: Duration,
}

impl Node {
    /// Serves the node of a directory, on free ports, and waits until it is ready.
    ///
    /// # Panics
    /// When it doesn't become ready; the message holds its log.
    pub fn serve(directory: &Path) -> Node {
        let mut command = Command::new(binary());
        command.args(["serve", "--json"]).args(ON_FREE_PORTS).arg("--dir").arg(directory);
        Node::serve_by(command)
    }

    /// Waits until a command that becomes a serving node says with `--json` that it is ready.
    ///
    /// # Panics
    /// When it doesn't; the message holds its log.
    pub fn serve_by(mut command: Command) -> Node {
        let started = Instant::now();
        let mut child = spawn(&mut command);
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("stderr is a pipe");
        keep(stderr, Arc::clone(&log));
        let (sender, receiver) = mpsc::sync_channel(1);
        let stdout = child.stdout.take().expect("stdout is a pipe");
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            // Nobody waits for it any more when the test has failed.
            let _ = sender.send(read.map(|_| line));
        });
        let line = receiver.recv_timeout(WAIT_MAX);
        let ready_after = started.elapsed();
        let ready: Option<Value> = line.ok().and_then(Result::ok).and_then(|line| serde_json::from_str(&line).ok());
        let url = |name: &str| ready.as_ref().and_then(|ready| ready[name].as_str()).map(str::to_owned);
        let (Some(http), Some(admin)) = (url("url"), url("admin_url")) else {
            end(&mut child);
            // The log's reader has the end of the pipe by now or in a moment.
            std::thread::sleep(Duration::from_millis(100));
            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
            panic!("the node did not become ready: {log}");
        };
        let other = |name: &str| url(name).unwrap_or_default();
        let (flight_url, postgres_url) = (other("flight_url"), other("postgres_url"));
        Node { child, log, url: http, admin_url: admin, flight_url, postgres_url, ready_after }
    }

    /// Ends it as a loss of power would end the process: SIGKILL, no handler runs.
    pub fn kill(mut self) {
        end(&mut self.child);
    }

    /// Asks it to end (SIGTERM) and answers how it did.
    ///
    /// # Panics
    /// When it doesn't end within a minute.
    pub fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().expect("the system has the command kill");
        assert!(asked.success(), "the node was gone before it was asked to end: {}", self.log());
        let ended = wait(&mut self.child, WAIT_MAX);
        ended.unwrap_or_else(|| panic!("the node did not end after SIGTERM: {}", self.log()))
    }

    /// Halts it where it is (SIGSTOP) until [`Node::resume`], and waits until each of its threads stands still: what its files
    /// hold then is of one moment.
    ///
    /// # Panics
    /// When one still runs after ten seconds.
    pub fn pause(&self) {
        self.signal("-STOP");
        let begun = Instant::now();
        while !self.stands_still() {
            assert!(begun.elapsed() < PAUSE_MAX, "a stopped process stands still");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Lets it go on after [`Node::pause`].
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.pid().to_string()]).status();
        assert!(sent.expect("the system has the command kill").success());
    }

    fn stands_still(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it is there");
        // A thread that ended meanwhile has no status left.
        threads.flatten().all(|thread| match std::fs::read_to_string(thread.path().join("status")) {
            Ok(status) => status.lines().any(|line| line.starts_with("State:\tT")),
            Err(_) => true,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same once it has a text, which may come a moment after an answer; after five seconds as it is then.
    pub fn log_with(&self, text: &str) -> String {
        for _ in 0..100 {
            if self.log().contains(text) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.log()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A filter from the caller's environment would change what a test reads there.
    command.env_remove("LINGQU_LOG");
    command.spawn().unwrap_or_else(|error| panic!("{command:?} can't be run: {error}"))
}

fn wait(child: &mut Child, time_max: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < time_max {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return Some(status);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    None
}

fn end(child: &mut Child) {
    // An error means that it has ended by itself.
    let _ = child.kill();
    child.wait().expect("a child can be waited for");
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Moves lines into a log until the pipe ends, so that the child never waits for a full pipe.
fn keep(pipe: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
}
