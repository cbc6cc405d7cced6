//! Golden files: contracts that are committed, compared, and rewritten only on purpose.

use std::path::PathBuf;

/// Compares a text with a golden file of the crate. `UPDATE_GOLDEN=1` rewrites the file instead, but never in CI.
pub fn check(name: &str, text: &str) {
    let path = path(name);
    if is_set("UPDATE_GOLDEN") {
        assert!(!is_set("CI"), "golden files are not rewritten in CI: run this at your desk and review the difference");
        std::fs::write(&path, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if kept == text {
        return;
    }
    let mut difference = String::new();
    let (kept, made): (Vec<&str>, Vec<&str>) = (kept.lines().collect(), text.lines().collect());
    let missing = kept.iter().filter(|line| !made.contains(line)).map(|line| format!("- {line}\n"));
    let added = made.iter().filter(|line| !kept.contains(line)).map(|line| format!("+ {line}\n"));
    difference.extend(missing.chain(added).take(20));
    panic!(
        "{} differs from what the code says:\n{difference}This is a contract. If the change is meant, run \
         `UPDATE_GOLDEN=1 cargo test -p lingqu-domain --test domain` and commit the difference.",
        path.display()
    );
}

/// The text of a golden file as it is committed.
pub fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// Whether to rewrite golden files is asked of the one who runs the tests.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty() && value != "0" && value != "false")
}
