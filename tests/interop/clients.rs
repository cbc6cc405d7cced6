//! Clients that others wrote, and how their scripts are run.

use std::path::{Path, PathBuf};
use std::process::Command;

use lingqu_tests::node::{Ended, run_command};

/// Names the folder of the Python environment that `make setup` makes from `requirements.txt`.
const VARIABLE: &str = "LINGQU_TEST_CLIENTS";

/// The Python that has the clients; none where it was not set up, which in CI is a failure.
///
/// # Panics
/// In CI, when the clients are missing.
pub fn python() -> Option<PathBuf> {
    let found = std::env::var_os(VARIABLE).map(|folder| PathBuf::from(folder).join("bin/python"));
    let found = found.filter(|python| python.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{VARIABLE} names no environment with the clients; run make test");
        eprintln!("\n*** THE CLIENTS ARE MISSING: THIS PROTOCOL WAS NOT TESTED. Run it by `make test`. ***\n");
    }
    found
}

/// Runs a script that stands beside this file with arguments.
///
/// # Panics
/// When it fails: the message holds what it said.
pub fn script(python: &Path, name: &str, arguments: &[&str]) -> Ended {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop").join(name);
    let mut command = Command::new(python);
    command.arg(path).args(arguments);
    let ended = run_command(command);
    assert_eq!(ended.code, Some(0), "{name} failed:\n{}\n{}", ended.stdout, ended.stderr);
    ended
}
