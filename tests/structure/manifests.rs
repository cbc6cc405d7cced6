//! Manifests: names, versions in one place, lints for all, a line for every dependency.

use lingqu_structure::{Repository, hold};
use toml::{Table, Value};

/// Names that say nothing and therefore attract everything.
const EMPTY_NAMES: [&str; 7] = ["utils", "util", "common", "misc", "helpers", "core", "manager"];

fn manifest(repository: &Repository, path: &str) -> Table {
    repository
        .file(path)
        .unwrap_or_else(|| panic!("{path} is missing"))
        .text()
        .parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn names_say_what_is_inside() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for package in repository.packages.values() {
        let last = package.name.rsplit('-').next().unwrap_or(&package.name);
        if EMPTY_NAMES.contains(&last) {
            violations.push(format!("package {}", package.name));
        }
        let folder = package.folder.strip_prefix("crates/").unwrap_or("");
        let expected = if folder == "cli" { "lingqu".to_string() } else { format!("lingqu-{folder}") };
        if !folder.is_empty() && package.name != expected {
            violations.push(format!("{} is named {}, expected {expected}", package.folder, package.name));
        }
    }
    for file in &repository.files {
        let source = ["rs", "ts", "tsx"].iter().any(|e| file.path.ends_with(&format!(".{e}")));
        let mut parts = file.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        if source && parts.any(|part| EMPTY_NAMES.contains(&part)) {
            violations.push(file.path.clone());
        }
    }
    hold(
        "No package, folder or source file is called utils, common, misc, helpers, core or manager; a room's package is \
         lingqu-ROOM.",
        "such a name accepts anything, so everything ends there; name the thing it is about",
        &violations,
    );
}

#[test]
fn versions_stand_in_one_place() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for package in repository.packages.values() {
        let path = format!("{}/Cargo.toml", package.folder);
        let manifest = manifest(&repository, &path);
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(Value::Table(dependencies)) = manifest.get(section) else {
                continue;
            };
            for (name, value) in dependencies {
                let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
                if !inherited {
                    violations.push(format!("{path} [{section}] {name}"));
                }
            }
        }
        let lints = manifest.get("lints").and_then(|l| l.get("workspace")).and_then(Value::as_bool);
        if lints != Some(true) {
            violations.push(format!("{path} lacks [lints] workspace = true"));
        }
        let edition = manifest.get("package").and_then(|p| p.get("edition")).and_then(|e| e.get("workspace"));
        if edition.and_then(Value::as_bool) != Some(true) {
            violations.push(format!("{path} states an edition of its own"));
        }
    }
    hold(
        "Members take dependencies, lints and edition from the root manifest (`workspace = true`).",
        "a version or a lint stated twice drifts apart, and two versions of one crate are two types",
        &violations,
    );
}

#[test]
fn every_dependency_is_explained() {
    let repository = Repository::read();
    let root = manifest(&repository, "Cargo.toml");
    let explained = repository.file("docs/dependencies.md").map_or("", |file| file.text());
    let mut violations = Vec::new();
    let dependencies = root
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(Value::as_table)
        .expect("the root manifest has [workspace.dependencies]");
    for name in dependencies.keys().filter(|name| !name.starts_with("lingqu-")) {
        let row = explained.lines().find(|line| line.starts_with("| ") && line.contains(&format!("`{name}`")));
        if row.is_none() {
            violations.push(format!("{name} has no row in docs/dependencies.md"));
        }
    }
    for line in explained.lines().filter(|line| line.starts_with("| `")) {
        let cell = line.trim_start_matches("| ").split('|').next().unwrap_or("");
        for name in cell.split('`').skip(1).step_by(2) {
            if !dependencies.contains_key(name) {
                violations.push(format!("docs/dependencies.md explains {name}, which the root manifest does not name"));
            }
        }
    }
    hold(
        "docs/dependencies.md has a row for every dependency of the root manifest, and for no other.",
        "what is not explained is not reviewed: say what it replaces, why this one, its licence and what it costs",
        &violations,
    );
}

#[test]
fn package_locks_name_no_host() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for file in repository.files.iter().filter(|file| file.name() == "package-lock.json") {
        for (number, line) in file.text().lines().enumerate() {
            if line.contains("\"resolved\": \"http") {
                violations.push(format!("{}:{}", file.path, number + 1));
            }
        }
    }
    hold(
        "package-lock.json names packages, versions and hashes, and no download addresses.",
        "an address binds every build to one mirror; put omit-lockfile-registry-resolved=true into web/.npmrc and run \
         npm install again",
        &violations,
    );
}
