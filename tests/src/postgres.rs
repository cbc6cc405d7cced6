//! A private PostgreSQL server: its own data directory, socket and loopback port, stopped when it is dropped. Where
//! `LINGQU_TEST_POSTGRES` names one that the test command has started, that one is shared, since each test may be a process
//! of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, UNIX_EPOCH};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;

/// How long a server may take to accept connections.
const START_MAX: Duration = Duration::from_secs(60);
/// Another process may take a free port before the server does.
const PORT_ATTEMPTS_MAX: u32 = 5;
/// How long something may take until it waits for a lock.
const LOCK_REACHED_MAX: Duration = Duration::from_secs(60);

/// A running server. One is shared by the tests of a process that run at the same time.
pub struct PrivatePostgres {
    server: Server,
}

enum Server {
    /// Started here and stopped when this is dropped.
    Own {
        child: Child,
        port: u16,
        // Dropped after the server has stopped.
        directory: TempDir,
    },
    /// Started by the test command: its URL up to the database's name.
    Given(String),
}

static SHARED: Mutex<Weak<PrivatePostgres>> = Mutex::new(Weak::new());

impl PrivatePostgres {
    /// The server of this process, started when none runs, for a test that needs one. Where the machine has no PostgreSQL it
    /// says loudly what is not tested, as `untested` names it, and gives `None`.
    ///
    /// # Panics
    /// In CI, where the machine has none; and when there is one that doesn't start.
    pub fn needed(untested: &str) -> Option<Arc<PrivatePostgres>> {
        let found = PrivatePostgres::shared();
        if found.is_none() {
            tell_missing(untested);
        }
        found
    }

    /// The same as a server that nobody else has: with a log of its own, whose settings may be changed.
    ///
    /// # Panics
    /// As [`PrivatePostgres::needed`].
    pub fn needed_alone(untested: &str) -> Option<PrivatePostgres> {
        let found = PrivatePostgres::start();
        if found.is_none() {
            tell_missing(untested);
        }
        found
    }

    /// The server of this process, started when none runs; `None` when the machine has no PostgreSQL.
    fn shared() -> Option<Arc<PrivatePostgres>> {
        if let Ok(url) = std::env::var("LINGQU_TEST_POSTGRES") {
            let (base, _) = url.rsplit_once('/').expect("LINGQU_TEST_POSTGRES ends in the name of a database");
            return Some(Arc::new(PrivatePostgres { server: Server::Given(base.to_owned()) }));
        }
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Arc::new(PrivatePostgres::start()?);
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    /// Makes a data directory and starts a server on it; `None` when the machine has no PostgreSQL.
    ///
    /// # Panics
    /// When there is a PostgreSQL but it doesn't start; the message holds its log.
    fn start() -> Option<PrivatePostgres> {
        let binaries = find_binaries()?;
        let directory =
            tempfile::Builder::new().prefix("lingqu-pg-").tempdir().expect("the temporary directory is writable");
        let user = server_user(directory.path());
        initialise(&binaries, directory.path(), user);
        for _ in 0..PORT_ATTEMPTS_MAX {
            let port = free_port();
            let mut child = spawn(&binaries, directory.path(), user, port);
            if wait_until_ready(&mut child, directory.path()) {
                let server = Server::Own { child, port, directory };
                return Some(PrivatePostgres { server });
            }
        }
        panic!("PostgreSQL doesn't start: {}", fs::read_to_string(directory.path().join("log")).unwrap_or_default());
    }

    /// Creates a new, empty database and gives its URL (by the unix socket).
    pub async fn create_database(&self) -> String {
        // Several processes may share a server, and one process may hold several of these.
        static NAMED: AtomicU32 = AtomicU32::new(0);
        // A server that is kept sees the numbers of processes again.
        let now = UNIX_EPOCH.elapsed().expect("a time of today").as_nanos();
        let name = format!("test_{now}_{}_{}", std::process::id(), NAMED.fetch_add(1, Ordering::Relaxed));
        let admin = Database::connect(self.url("postgres")).await.expect("the private server accepts connections");
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("a new name is free");
        admin.close().await.expect("the connection closes");
        self.url(&name)
    }

    /// The URL of a database, by the unix socket where the server is our own.
    pub fn url(&self, database: &str) -> String {
        match &self.server {
            Server::Own { port, directory, .. } => {
                format!("postgres://lingqu@localhost:{port}/{database}?host={}", directory.path().display())
            }
            Server::Given(base) => format!("{base}/{database}"),
        }
    }

    /// What the server has written into its log, where it is our own.
    pub fn log(&self) -> Option<String> {
        match &self.server {
            Server::Own { directory, .. } => Some(fs::read_to_string(directory.path().join("log")).unwrap_or_default()),
            Server::Given(_) => None,
        }
    }

    /// The URL of a database by the loopback port.
    pub fn loopback_url(&self, database: &str) -> String {
        match &self.server {
            Server::Own { port, .. } => format!("postgres://lingqu@127.0.0.1:{port}/{database}"),
            Server::Given(base) => format!("{base}/{database}"),
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // The shell that started the server waits for its input to end and then stops the server by its own pid. The same
        // happens when the test process dies, so that no server is ever left behind.
        if let Server::Own { child, .. } = &mut self.server {
            drop(child.stdin.take());
            drop(child.wait());
        }
    }
}

/// Says what is not tested without a PostgreSQL.
fn tell_missing(untested: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "no initdb and postgres found in PATH or /usr/lib/postgresql/*/bin; install PostgreSQL: CI tests {untested}"
    );
    eprintln!("\n*** NO POSTGRESQL FOUND, NOT TESTED: {untested}. Install PostgreSQL to test it. ***\n");
}

/// The directory with `initdb` and `postgres`.
fn find_binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut packaged: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    packaged.sort();
    packaged.reverse();
    directories.extend(packaged);
    directories.into_iter().find(|directory| directory.join("initdb").is_file() && directory.join("postgres").is_file())
}

/// PostgreSQL refuses to run as root; then the system's user `postgres` runs it and owns the directory.
fn server_user(directory: &Path) -> Option<&'static str> {
    let is_root = output(Command::new("id").arg("-u")).trim() == "0";
    if !is_root {
        return None;
    }
    let uid = output(Command::new("id").args(["-u", "postgres"]))
        .trim()
        .parse()
        .expect("root needs a system user postgres to run the server");
    std::os::unix::fs::chown(directory, Some(uid), None).expect("root may give a directory away");
    Some("postgres")
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("the system has the command id");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn initialise(binaries: &Path, directory: &Path, user: Option<&str>) {
    let made = as_user(user, &binaries.join("initdb"))
        .arg("--pgdata")
        .arg(directory.join("data"))
        .args(["--username=lingqu", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--wal-segsize=1"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("initdb can be run");
    assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
}

fn spawn(binaries: &Path, directory: &Path, user: Option<&str>, port: u16) -> Child {
    const RUN: &str = "\"$0\" \"$@\" >log 2>&1 & pid=$!; cat >/dev/null; kill -INT $pid; wait $pid";
    as_user(user, Path::new("/bin/sh"))
        .args(["-c", RUN])
        .arg(binaries.join("postgres"))
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"])
        .args(["-c", "shared_buffers=16MB", "-c", &format!("unix_socket_directories={}", directory.display())])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell can be run")
}

fn as_user(user: Option<&str>, program: &Path) -> Command {
    match user {
        Some(user) => {
            let mut command = Command::new("runuser");
            command.args(["-u", user, "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Whether the server accepts connections; `false` when it ended instead.
fn wait_until_ready(child: &mut Child, directory: &Path) -> bool {
    let begin = Instant::now();
    let pid_file = directory.join("data/postmaster.pid");
    while begin.elapsed() < START_MAX {
        // The last line of the file tells the state (see PostgreSQL's miscadmin.h, LOCK_FILE_LINE_PM_STATUS).
        let state = fs::read_to_string(&pid_file).unwrap_or_default();
        if state.lines().last().is_some_and(|line| line.trim() == "ready") {
            return true;
        }
        let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
        if log.contains("FATAL:") {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(child.stdin.take());
    drop(child.wait());
    false
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback address has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// Waits until so many sessions of a connection's database wait for a lock.
///
/// # Panics
/// When they don't come to it.
pub async fn until_waiting(admin: &DatabaseConnection, count: i64) {
    let sql = "SELECT count(DISTINCT pid) AS n FROM pg_locks JOIN pg_stat_activity USING (pid) \
               WHERE NOT granted AND datname = current_database()";
    let begun = Instant::now();
    loop {
        let row = admin.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
        let row = row.expect("the statement is right").expect("a count is one row");
        if row.try_get::<i64>("", "n").expect("a count is a number") >= count {
            return;
        }
        assert!(begun.elapsed() < LOCK_REACHED_MAX, "{count} sessions do not wait for a lock");
        // The server waits, so that whoever shares this task goes on.
        admin.execute_unprepared("SELECT pg_sleep(0.02)").await.expect("the statement is right");
    }
}
