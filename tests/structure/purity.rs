//! Pure rooms take time, randomness and keys as arguments and perform no I/O.

use lingqu_structure::{File, Repository, code_only, hold, without_tests};

const PURE_ROOMS: [&str; 6] = ["crypto", "domain", "fingerprint", "ledger", "report", "transparency"];

/// Rooms whose results are folded again on replay: they must come out the same in every process.
const REPLAYED_ROOMS: [&str; 2] = ["domain", "ledger"];

/// Code that reaches outside the arguments, with what it reaches for. Looked for as text in code without comments,
/// literals and tests.
const OUTSIDE: [(&str, &str); 21] = [
    ("std::fs", "files"),
    ("std::io::stdin", "input"),
    ("std::net", "the network"),
    ("std::env", "the environment"),
    ("std::process", "other processes"),
    ("std::thread", "threads"),
    ("println!", "output: return what there is to say"),
    ("eprintln!", "output: return what there is to say"),
    ("SystemTime", "the clock"),
    ("Instant", "the clock"),
    ("::now(", "the clock"),
    ("now_v7(", "the clock"),
    ("new_v4(", "randomness"),
    ("tokio", "an async runtime"),
    ("async fn", "async: nothing here waits"),
    ("async move", "async: nothing here waits"),
    ("OsRng", "randomness"),
    ("thread_rng", "randomness"),
    ("rand::", "randomness"),
    ("getrandom", "randomness"),
    ("tracing::", "the log: return what there is to say"),
];

/// Packages that do nothing but reach outside.
const OUTSIDE_PACKAGES: [&str; 14] = [
    "tokio",
    "futures",
    "async-trait",
    "async-stream",
    "rand",
    "getrandom",
    "fastrand",
    "sea-orm",
    "sqlx",
    "axum",
    "object_store",
    "tempfile",
    "tracing",
    "reqwest",
];

/// The sources of the package in a folder with their code, tests left out.
fn shipped_code(repository: &Repository, package_folder: &str) -> Vec<(File, String)> {
    let mut files = Vec::new();
    let mut test_files = Vec::new();
    for file in repository.rust_below(&format!("{package_folder}/src")) {
        let (code, test_modules) = without_tests(&code_only(file.text()));
        // Whole files of tests, under whatever attribute they are included.
        if file.name() == "tests.rs" || file.name().ends_with("_tests.rs") {
            continue;
        }
        // `mod x;` in `a/lib.rs`, `a/main.rs` or `a/mod.rs` is `a/x.rs`; in `a/b.rs` it is `a/b/x.rs`.
        let stem = file.path.trim_end_matches(".rs");
        let folder = match file.name() {
            "lib.rs" | "main.rs" | "mod.rs" => stem.rsplit_once('/').map_or("", |(folder, _)| folder),
            _ => stem,
        };
        for module in test_modules {
            test_files.push(format!("{folder}/{module}.rs"));
            test_files.push(format!("{folder}/{module}/mod.rs"));
        }
        files.push((file.clone(), code));
    }
    files.retain(|(file, _)| !test_files.contains(&file.path));
    files
}

/// Places where one of the tokens stands and is not the tail or the head of a longer name.
fn places(path: &str, code: &str, token: &str, what: &str) -> Vec<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for (at, _) in line.match_indices(token) {
            let joined_before = token.starts_with(is_name) && line[..at].ends_with(is_name);
            let joined_after = token.ends_with(is_name) && line[at + token.len()..].starts_with(is_name);
            if !joined_before && !joined_after {
                found.push(format!("{path}:{} `{token}` reaches for {what}", number + 1));
            }
        }
    }
    found
}

#[test]
fn pure_rooms_reach_for_nothing_outside() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for room in PURE_ROOMS {
        for (file, code) in shipped_code(&repository, &format!("crates/{room}")) {
            for (token, what) in OUTSIDE {
                violations.extend(places(&file.path, &code, token, what));
            }
        }
        if let Some(package) = repository.packages.get(&format!("lingqu-{room}")) {
            for dependency in package.dependencies.iter().filter(|d| !d.dev) {
                if OUTSIDE_PACKAGES.contains(&dependency.name.as_str()) {
                    violations.push(format!("crates/{room}/Cargo.toml names {}", dependency.name));
                }
            }
        }
    }
    hold(
        "domain, ledger, transparency, crypto and fingerprint do no I/O, read no clock and draw no randomness.",
        "so they can be tested by the million, give the same answer on replay, and never fail for outside reasons; take \
         the time, the random bytes and the file's content as arguments",
        &violations,
    );
}

#[test]
fn replayed_rooms_have_one_order() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for room in REPLAYED_ROOMS {
        for (file, code) in shipped_code(&repository, &format!("crates/{room}")) {
            for (token, what) in [("HashMap", "an order seeded at random"), ("HashSet", "an order seeded at random")] {
                violations.extend(places(&file.path, &code, token, what));
            }
            for (token, what) in [("f32", "inexact numbers"), ("f64", "inexact numbers")] {
                violations.extend(places(&file.path, &code, token, what));
            }
        }
    }
    hold(
        "domain and ledger use BTreeMap and BTreeSet, and no floating point.",
        "replay must arrive at the same bytes: a hash map is iterated in another order in every process, and a float is \
         rounded",
        &violations,
    );
}

/// Files that may read the system's clock (`Instant` is free: it measures how long something took and decides nothing).
const CLOCK_READERS: [(&str, &str); 3] = [
    ("crates/app/src/clock.rs", "it is the node's clock"),
    ("crates/engine/src/snapshot.rs", "the modification time of a file, as the Delta format states it"),
    ("crates/store/src/quota.rs", "whether another process of the node is alive"),
];

#[test]
fn one_clock() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for package in repository.packages.values().filter(|package| !package.folder.starts_with("tests")) {
        for (file, code) in shipped_code(&repository, &package.folder) {
            if CLOCK_READERS.iter().any(|(path, _)| *path == file.path) {
                continue;
            }
            for token in ["SystemTime::now", "Timestamp::now", "Zoned::now", "Utc::now", "Local::now"] {
                violations.extend(places(&file.path, &code, token, "a second clock"));
            }
        }
    }
    hold(
        "The system's clock is read by the node's clock (crates/app/src/clock.rs) and the files of CLOCK_READERS.",
        "publicity periods, terms and deadlines hang on the node's clock, which the demo sets back; a second clock would \
         contradict it. Take the time as an argument",
        &violations,
    );
}

#[test]
fn one_place_reads_the_environment() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for package in repository.packages.values() {
        if package.folder.starts_with("tests") || ["crates/cli", "bench"].contains(&package.folder.as_str()) {
            continue;
        }
        for (file, code) in shipped_code(&repository, &package.folder) {
            for token in ["env::var", "env::var_os", "env::vars", "env::args"] {
                violations.extend(places(&file.path, &code, token, "the environment"));
            }
        }
    }
    hold(
        "Only crates/cli reads the environment and the arguments.",
        "configuration has one way in, where it is checked and shown by `lingqu doctor`; take a typed setting as an \
         argument",
        &violations,
    );
}

#[test]
fn nothing_is_unwrapped_silently() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for package in repository.packages.values().filter(|package| !package.folder.starts_with("tests")) {
        for (file, code) in shipped_code(&repository, &package.folder) {
            violations.extend(places(&file.path, &code, ".unwrap()", "a panic without a word"));
        }
    }
    // Clippy's own lint for this takes helper functions of test files for shipped code, so the law is held here.
    hold(
        "Outside tests there is no `unwrap`.",
        "use `?`, or `expect` with the reason why it holds: who reads the panic then knows which belief was wrong",
        &violations,
    );
}

/// Packages that talk to a person on a terminal.
const TALKING: [&str; 5] = ["lingqu", "lingqu-demo", "lingqu-tests", "lingqu-structure", "lingqu-bench"];

#[test]
fn rooms_do_not_print() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for package in repository.packages.values() {
        let Some(room) = package.folder.strip_prefix("crates/") else {
            continue;
        };
        if TALKING.contains(&package.name.as_str()) {
            continue;
        }
        for (file, code) in shipped_code(&repository, &format!("crates/{room}")) {
            for token in ["print!", "println!", "eprint!", "eprintln!"] {
                violations.extend(places(&file.path, &code, token, "the terminal"));
            }
        }
    }
    hold(
        "Only the command line and the demo print.",
        "what a room prints goes past the log's levels and past the rule that no governed data stands in a log",
        &violations,
    );
}
