//! Arrows between rooms, and what may be imported where.

use lingqu_structure::{Package, Repository, hold};

/// The rooms from top to bottom, as DESIGN.md and ARCHITECTURE.md list them. A room imports only rooms that stand below
/// it here. A new room is a decision: give it a place in ARCHITECTURE.md and here.
const ROOMS: [&str; 16] = [
    "lingqu",
    "lingqu-demo",
    "lingqu-api",
    "lingqu-gateway",
    "lingqu-peering",
    "lingqu-app",
    "lingqu-quality",
    "lingqu-linkage",
    "lingqu-engine",
    "lingqu-store",
    "lingqu-report",
    "lingqu-fingerprint",
    "lingqu-transparency",
    "lingqu-domain",
    "lingqu-ledger",
    "lingqu-crypto",
];

/// Packages that stand outside the rooms: they import what they like and nothing imports them.
const OUTSIDE: [&str; 3] = ["lingqu-tests", "lingqu-structure", "lingqu-bench"];

/// Packages (and families, by the name before the `-`) that cost minutes to build, and the rooms that may name them.
const HEAVY: [&str; 4] = ["datafusion", "deltalake", "ballista", "opendp"];
const HEAVY_ROOMS: [&str; 3] = ["lingqu-engine", "lingqu-gateway", "lingqu-bench"];

/// What a room is not for, as packages it must not name, with the room that is.
const MISPLACED: [(&str, &[&str], &str); 7] = [
    ("lingqu-api", &["sea-orm", "sqlx", "rusqlite"], "SQL belongs to crates/store"),
    ("lingqu-gateway", &["sea-orm", "sqlx", "rusqlite"], "SQL belongs to crates/store"),
    ("lingqu-app", &["axum", "hyper", "sea-orm", "sqlx", "utoipa"], "HTTP belongs to crates/api, SQL to crates/store"),
    ("lingqu-quality", &["axum", "sea-orm", "sqlx"], "quality runs on sessions of crates/engine"),
    // The engine reads departments' databases through `sqlx`; the node's own is reached through `sea-orm`, in the store.
    ("lingqu-engine", &["axum", "sea-orm"], "the engine knows neither protocols nor the node's database"),
    ("lingqu-store", &["axum", "arrow", "parquet"], "the store knows records and rows, not protocols or governed data"),
    ("lingqu", &["sea-orm", "sqlx", "arrow", "parquet"], "the binary wires the rooms and has no work of its own"),
];

fn place(name: &str) -> Option<usize> {
    ROOMS.iter().position(|room| *room == name)
}

fn ours(name: &str) -> bool {
    name == "lingqu" || name.starts_with("lingqu-")
}

#[test]
fn every_package_has_a_place() {
    let violations: Vec<String> = Repository::read()
        .packages
        .keys()
        .filter(|name| place(name).is_none() && !OUTSIDE.contains(&name.as_str()))
        .map(|name| format!("{name} is in neither ROOMS nor OUTSIDE of tests/structure/arrows.rs"))
        .collect();
    hold(
        "Every package of the workspace is a room with a place in the order, or stands outside the rooms.",
        "what has no place can be imported from anywhere, and the layers dissolve one convenience at a time",
        &violations,
    );
}

#[test]
fn arrows_go_downwards() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for package in repository.packages.values() {
        let Some(from) = place(&package.name) else {
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| ours(&d.name)) {
            match place(&dependency.name) {
                Some(to) if to > from => {}
                _ => violations.push(format!("{} imports {}", package.name, dependency.name)),
            }
        }
    }
    hold(
        "A room imports only rooms below it (test dependencies too).",
        "the rooms below must build, be tested and be understood without those above; if you need something from above, \
         pass it in as an argument or move it down",
        &violations,
    );
}

#[test]
fn heavy_packages_stay_in_their_rooms() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for package in repository.packages.values() {
        if HEAVY_ROOMS.contains(&package.name.as_str()) {
            continue;
        }
        for dependency in &package.dependencies {
            let family = dependency.name.split('-').next().unwrap_or(&dependency.name);
            if HEAVY.contains(&family) {
                violations.push(format!("{} imports {}", package.name, dependency.name));
            }
        }
    }
    hold(
        "DataFusion, Delta, Ballista and OpenDP are named by crates/engine, crates/gateway and bench only.",
        "they take minutes to compile and change their interfaces with every version; the engine's own types keep both \
         away from the rest",
        &violations,
    );
}

#[test]
fn a_room_does_not_do_anothers_work() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for (room, banned, instead) in MISPLACED {
        let Some(package) = repository.packages.get(room) else {
            continue;
        };
        for name in shipped(package).filter(|name| banned.contains(name)) {
            violations.push(format!("{room} imports {name}: {instead}"));
        }
    }
    hold(
        "Each room keeps to its own kind of work.",
        "a handler that runs SQL or a use case that speaks HTTP puts a rule where nobody looks for it",
        &violations,
    );
}

/// Names of the dependencies that end up in the binary.
fn shipped(package: &Package) -> impl Iterator<Item = &str> {
    package.dependencies.iter().filter(|d| !d.dev).map(|d| d.name.as_str())
}
