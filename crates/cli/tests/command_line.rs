//! The real binary, as people and programs run it: its help, its exit codes, and one clear sentence for everything that
//! whoever runs it can mend.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const PASSWORD: &str = "a password for tests";

fn lingqu() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lingqu"));
    command.env_remove("LINGQU_LOG").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    lingqu().args(arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// Runs a command that must fail with exit code 1 and one sentence on stderr; answers the sentence.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
    let last = stderr.lines().last().unwrap_or_default().to_owned();
    let sentence = last.strip_prefix("lingqu: ").unwrap_or_else(|| panic!("{arguments:?} said: {stderr}"));
    assert!(!stderr.contains("panicked"), "{stderr}");
    sentence.to_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Brings a node into being and answers what `init --json` printed.
fn init(directory: &Path) -> serde_json::Value {
    let mut child = lingqu()
        .args(["init", "--tier", "county", "--division", "450323", "--authority-code", "11450323MB1234567X"])
        .args(["--authority-name", "灵川县数据主管部门", "--password-file", "-", "--json", "--dir", path(directory)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(format!("{PASSWORD}\n").as_bytes()).expect("stdin takes the password");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object on stdout")
}

/// Serving on ports that the system chooses, so that nodes do not meet at the usual ones.
const SERVE_BY_ITSELF: &[&str] = &[
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
    "--flight-listen",
    "127.0.0.1:0",
    "--postgres-listen",
    "127.0.0.1:0",
];

/// A node that serves; killed when dropped.
struct Serving {
    child: Child,
    url: String,
    admin_url: String,
}

impl Serving {
    fn start(directory: &Path) -> Serving {
        let mut child = lingqu()
            .args(SERVE_BY_ITSELF)
            .args(["--json", "--dir", path(directory)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut line).expect("a line");
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            let mut stderr = String::new();
            child.stderr.take().expect("stderr is piped").read_to_string(&mut stderr).expect("stderr can be read");
            panic!("{error}: {line:?} {stderr}")
        });
        let address = |name: &str| ready[name].as_str().expect("an address").trim_start_matches("http://").to_owned();
        Serving { child, url: address("url"), admin_url: address("admin_url") }
    }

    /// Asks it to end and answers its exit code.
    fn end(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status line and body of a GET.
fn get(address: &str, target: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

#[test]
fn the_help_is_the_golden_one() {
    const COMMANDS: &[&[&str]] = &[
        &[],
        &["demo"],
        &["init"],
        &["serve"],
        &["doctor"],
        &["replay"],
        &["ingest"],
        &["quality"],
        &["quality", "run"],
        &["quality", "report"],
        &["audit"],
        &["audit", "export"],
        &["audit", "verify"],
        &["audit", "unpack"],
        &["audit", "report"],
        &["audit", "watch"],
        &["audit", "verify-misconduct"],
        &["witness"],
        &["witness", "key"],
        &["lineage"],
        &["lineage", "export"],
        &["trace"],
        &["marking"],
        &["marking", "propose"],
        &["regulator"],
        &["regulator", "init"],
        &["regulator", "request"],
        &["regulator", "share"],
        &["erase"],
        &["erase", "request"],
        &["erase", "subject"],
        &["openapi"],
    ];
    let mut found = String::new();
    for command in COMMANDS.iter().copied() {
        let output = lingqu().args(command).arg("--help").output().expect("the binary runs");
        assert!(output.status.success(), "{command:?}");
        found.push_str(&format!(
            "$ lingqu {}\n\n{}\n",
            [command, &["--help"]].concat().join(" "),
            text(&output.stdout)
        ));
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join("help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &found).expect("the golden file can be written");
    }
    let expected = std::fs::read_to_string(&golden).expect("golden/help.txt is there; UPDATE_GOLDEN=1 writes it");
    assert!(found == expected, "the help has changed; look at it and run with UPDATE_GOLDEN=1\n{found}");
}

#[test]
fn wrong_usage_exits_with_2_and_success_with_0() {
    for arguments in [
        &["nonsense"][..],
        &["init", "--tier", "village", "--division", "450000"],
        &["replay"],
        &["audit", "export", "ord_1"],
        &["trace"],
        &["erase", "request", "rcp_1", "--login", "chief"],
        &["erase", "subject", "--why", "x", "--login", "chief"],
        &["serve", "--dir", "a", "--config", "b"],
        &["serve", "--listen", "somewhere"],
        &[],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(run(&["--version"]).status.code(), Some(0));
}

#[test]
fn openapi_prints_the_document() {
    let output = run(&["openapi"]);
    assert_eq!(output.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn a_wrong_configuration_key_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("lingqu.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\nlistn = \"127.0.0.1:0\"\n").expect("a file");
    for arguments in [["serve", "--dir", path(directory.path())], ["doctor", "--config", path(&file)]] {
        let sentence = refused(&arguments);
        assert!(sentence.contains("lingqu.toml, line 2: the key `listn` is not known; known keys: "), "{sentence}");
        assert!(sentence.contains("`listen`"), "{sentence}");
    }
    let sentence = refused(&["serve", "--config", path(&directory.path().join("none.toml"))]);
    assert!(sentence.contains("can't read the configuration") && sentence.contains("check the path"), "{sentence}");
}

#[test]
fn a_directory_without_a_node_is_left_as_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    for arguments in [&["replay", "--check", "--dir"][..], &[SERVE_BY_ITSELF, &["--dir"]].concat()] {
        let sentence = refused(&[arguments, &[path(directory.path())]].concat());
        assert!(sentence.contains("holds no node; run `lingqu init` first"), "{sentence}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[test]
fn a_busy_port_is_named_with_the_option_that_helps() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let sentence = refused(&["serve", "--listen", &address, "--dir", path(directory.path())]);
    assert_eq!(
        sentence,
        format!("{address} is in use by another program; stop it, or name another address with --listen")
    );
    let demo = directory.path().join("demo");
    let sentence = refused(&["demo", "--listen", &address, "--dir", path(&demo)]);
    assert!(sentence.contains("is in use by another program"), "{sentence}");
    assert!(!demo.exists(), "nothing is made before the port is had");
}

/// At every door, one by one.
#[test]
fn plain_http_stays_on_this_machine() {
    const DOORS: [&str; 4] = ["--listen", "--admin-listen", "--flight-listen", "--postgres-listen"];
    /// An address that no machine has (RFC 5737), so that nothing can be reached there.
    const ELSEWHERE: &str = "192.0.2.1:0";
    let directory = tempfile::tempdir().expect("a directory");
    let refused_at = |door: &str| {
        let mut arguments = SERVE_BY_ITSELF.to_vec();
        let place = arguments.iter().position(|argument| *argument == door).expect("it serves there");
        arguments[place + 1] = ELSEWHERE;
        refused(&[&arguments[..], &["--dir", path(directory.path())]].concat())
    };
    for door in DOORS {
        let sentence = refused_at(door);
        assert!(sentence.contains(ELSEWHERE) && sentence.contains("allow_plaintext = true"), "{door}: {sentence}");
    }
    // Where it is configured the address is tried.
    std::fs::write(directory.path().join("lingqu.toml"), "allow_plaintext = true\n").expect("a file");
    for door in DOORS {
        let sentence = refused_at(door);
        assert!(!sentence.contains("allow_plaintext"), "{door}: {sentence}");
    }
    let sentence = refused(&["demo", "--listen", "0.0.0.0:0"]);
    assert!(sentence.contains("name an address of 127.0.0.1 with --listen"), "{sentence}");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "x").expect("a file");
    // A path through a file can be written by nobody, not even by root. `/proc` is a file system that takes no files.
    for place in [file.join("node"), Path::new("/proc/lingqu-node").to_owned()] {
        for arguments in [&["init", "--tier", "city", "--division", "450300", "--dir"][..], &["demo", "--dir"]] {
            let sentence = refused(&[arguments, &[path(&place)]].concat());
            assert!(sentence.contains(path(&place)), "{sentence}");
        }
    }
    let evidence = file.join("evidence");
    let node = directory.path().join("node");
    init(&node);
    let sentence = refused(&["audit", "export", "ord_1", "-o", path(&evidence), "--dir", path(&node)]);
    assert!(sentence.contains("is not the id of an order"), "{sentence}");
}

#[test]
fn a_directory_that_is_not_empty_is_no_place_for_a_demo() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("thesis.txt"), "x").expect("a file");
    let sentence = refused(&["demo", "--dir", path(directory.path())]);
    assert!(sentence.contains("is not empty") && sentence.contains("--dir"), "{sentence}");
}

#[test]
fn garbage_is_no_evidence() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("evidence");
    for garbage in [&b""[..], b"not evidence at all\n", &[0xff; 4_096]] {
        std::fs::write(&file, garbage).expect("a file");
        let sentence = refused(&["audit", "verify", path(&file)]);
        assert!(sentence.contains("does not verify"), "{sentence}");
        let output = run(&["audit", "verify", path(&file), "--json"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["verified"], false);
    }
    let sentence = refused(&["audit", "verify", path(&file), "--key", "nonsense"]);
    assert!(sentence.contains("is no log key"), "{sentence}");
    let sentence = refused(&["audit", "verify", path(&directory.path().join("none"))]);
    assert!(sentence.contains("check the path"), "{sentence}");
}

#[test]
fn a_fragment_is_traced_and_what_is_none_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = directory.path().join("node");
    init(&node);
    let file = directory.path().join("found");
    let secret = "450102199001011234";
    std::fs::write(&file, format!("name,number\n甲,{secret}\n乙,{secret}\n")).expect("a file");
    let output = run(&["trace", path(&file), "--dir", path(&node), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // Nothing was ever delivered by this node.
    assert_eq!((&report["verdict"], &report["tested"]), (&"foreign".into(), &0.into()));
    assert_eq!((&report["bound"], &report["fragment"]["rows_read"]), (&1e-6.into(), &2.into()));
    assert!(report["accused"].as_array().is_some_and(Vec::is_empty));
    assert!(!text(&output.stdout).contains(secret) && !text(&output.stderr).contains(secret));
    // A pasted table, for people.
    let mut child = lingqu()
        .args(["trace", "-", "--dir", path(&node)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(b"| a | b |\n|---|---|\n| 1 | 2 |\n").expect("stdin takes the table");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(text(&output.stdout).starts_with("verdict          foreign"), "{}", text(&output.stdout));
    let sentence = refused(&["trace", path(&directory.path().join("none.csv")), "--dir", path(&node)]);
    assert!(sentence.contains("none.csv can't be read"), "{sentence}");
    let sentence = refused(&["trace", path(&file), "--dir", path(&node), "--product", "nothing"]);
    assert!(sentence.contains("there is no product `nothing`"), "{sentence}");
    let sentence = refused(&["trace", path(&file), "--dir", path(&node), "--bound", "2"]);
    assert!(sentence.contains("bound"), "{sentence}");
    let sentence = refused(&["trace", "--verify", path(&file)]);
    assert!(sentence.contains("does not verify"), "{sentence}");
}

#[test]
fn a_node_lives() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = directory.path();
    let made = init(node);
    assert_eq!(made["tier"], "county");
    assert_eq!(made["division"], "450323");
    assert!(made["generated_password"].is_null());
    let key = made["log_key"].as_str().expect("a key").to_owned();

    let again = refused(&["init", "--tier", "county", "--division", "450323", "--dir", path(node)]);
    assert!(again.contains("is there already"), "{again}");

    let serving = Serving::start(node);
    assert_eq!(get(&serving.admin_url, "/healthz"), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    assert_eq!(get(&serving.admin_url, "/readyz"), ("HTTP/1.1 200 OK".to_owned(), "ready\n".to_owned()));
    let (status, _) = get(&serving.url, "/");
    assert_eq!(status, "HTTP/1.1 200 OK");
    let (status, checkpoint) = get(&serving.url, "/log/checkpoint");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(key.starts_with(checkpoint.lines().next().expect("an origin")), "{key} {checkpoint}");
    let (status, _) = get(&serving.url, "/data/v1/anything/rows");
    assert_eq!(status, "HTTP/1.1 401 Unauthorized");
    let (status, _) = get(&serving.url, "/api/v1/orders");
    assert_eq!(status, "HTTP/1.1 401 Unauthorized");
    let (_, metrics) = get(&serving.admin_url, "/metrics");
    for line in [
        "lingqu_requests_total{plane=\"data\",status=\"4xx\"} 1",
        "lingqu_requests_total{plane=\"control\",status=\"4xx\"} 1",
        "lingqu_requests_total{plane=\"log\",status=\"2xx\"} 1",
        "lingqu_requests_total{plane=\"console\",status=\"2xx\"} 1",
        "lingqu_up 1",
        "lingqu_receipt_position 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }

    // Beside the running node: looking is allowed, a second server is not.
    let second = refused(&[SERVE_BY_ITSELF, &["--dir", path(node)]].concat());
    assert!(second.contains("is in use by another lingqu process"), "{second}");
    let output = run(&["replay", "--check", "--json", "--dir", path(node)]);
    let replay: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &replay["agrees"]), (Some(0), &true.into()));
    assert!(replay["events"].as_u64().expect("a count") >= 3, "{replay}");
    let output = run(&["doctor", "--json", "--dir", path(node)]);
    let doctor: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &doctor["healthy"]), (Some(0), &true.into()), "{doctor}");
    let nobody =
        refused(&["audit", "export", "ord_019fa450c4957001beed315826df1869", "-o", "/dev/null", "--dir", path(node)]);
    assert!(!nobody.is_empty());

    assert_eq!(serving.end("-TERM"), Some(0));
    let serving = Serving::start(node);
    assert_eq!(serving.end("-INT"), Some(0));
}

#[test]
fn the_doctor_says_what_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    init(directory.path());
    let secret = directory.path().join("keys").join("node.secret");
    let mut permissions = std::fs::metadata(&secret).expect("the secret").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&secret, permissions).expect("its mode can be set");
    let output = run(&["doctor", "--dir", path(directory.path())]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("chmod 600"), "{}", text(&output.stdout));
}

#[test]
fn the_demo_leaves_a_node_whose_damage_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = directory.path().join("demo");
    let output = run(&["demo", "--json", "--dir", path(&node)]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    the_report_is_what_programs_rely_on(&report);

    let evidence = report["evidence"]["file"].as_str().expect("a file");
    assert_eq!(run(&["audit", "verify", evidence]).status.code(), Some(0));
    let order = report["orders"][0]["id"].as_str().expect("an id");
    let exported = directory.path().join("evidence");
    assert_eq!(run(&["audit", "export", order, "-o", path(&exported), "--dir", path(&node)]).status.code(), Some(0));
    let mut bytes = std::fs::read(&exported).expect("the evidence");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&exported, bytes).expect("the evidence can be changed");
    assert!(refused(&["audit", "verify", path(&exported)]).contains("does not verify"));

    let output = run(&["quality", "report", "flights", "--json", "--dir", path(&node)]);
    let quality: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(quality["table"], "flights");
    let sentence = refused(&["quality", "report", "no_such_table", "--dir", path(&node)]);
    assert!(sentence.contains("there is no resource `no_such_table`"), "{sentence}");

    let snapshot = largest_snapshot_file(&node.join("snapshots"));
    let file = std::fs::File::options().write(true).open(&snapshot).expect("the snapshot");
    file.set_len(1_000).expect("it can be truncated");
    let sentence = refused(&[SERVE_BY_ITSELF, &["--dir", path(&node)]].concat());
    assert!(sentence.contains("has 1000 bytes where") && sentence.contains("restore it from a backup"), "{sentence}");
}

/// The parts of `lingqu demo --json` that the design names.
fn the_report_is_what_programs_rely_on(report: &serde_json::Value) {
    for step in report["steps"].as_array().expect("steps") {
        assert!(step["number"].is_u64() && step["name"].is_string() && step["figures"].is_object(), "{step}");
        assert_eq!(step["ok"], true, "{step}");
    }
    for refusal in report["refusals"].as_array().expect("refusals") {
        assert!(refusal["tried"].is_string() && refusal["status"].is_u64() && refusal["code"].is_string(), "{refusal}");
    }
    for finding in report["quality"].as_array().expect("findings") {
        assert!(finding["rule"].is_string() && finding["failing"].is_u64(), "{finding}");
    }
    for order in report["orders"].as_array().expect("orders") {
        assert!(matches!(order["nature"].as_str(), Some("REAL" | "SYNTHETIC")), "{order}");
        assert!(order["key"].is_string() && order["modes"].is_array(), "{order}");
    }
    assert_eq!(report["ledger"]["balanced"], true);
    assert_eq!(report["evidence"]["verified"], true);
    assert!(report["suspension"]["refused_after"].as_u64() > Some(0));
    for url in ["console", "data", "flight", "postgres", "delta_sharing", "log"] {
        assert!(report["urls"].get(url).is_some(), "{url}");
    }
}

fn largest_snapshot_file(directory: &Path) -> std::path::PathBuf {
    let mut largest = (0, directory.to_owned());
    for resource in std::fs::read_dir(directory).expect("snapshots") {
        for file in std::fs::read_dir(resource.expect("an entry").path()).expect("a resource") {
            let file = file.expect("an entry");
            let length = file.metadata().expect("its size").len();
            if file.path().extension().is_some_and(|extension| extension == "parquet") && length > largest.0 {
                largest = (length, file.path());
            }
        }
    }
    largest.1
}

#[test]
fn a_generated_password_is_shown_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = run(&["init", "--tier", "region", "--division", "450000", "--dir", path(directory.path())]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("(shown this once)"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("placeholder"), "{}", text(&output.stderr));
    let sentence = refused(&["init", "--tier", "region", "--division", "45", "--dir", "elsewhere"]);
    assert!(sentence.contains("six digits"), "{sentence}");
}
