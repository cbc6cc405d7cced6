//! Documents: those that must be there, decisions in their form, and paths that lead somewhere.

use lingqu_structure::{Repository, hold};

/// Documents that a newcomer looks for, and the checklists for each kind of extension.
const REQUIRED: [&str; 14] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs/dependencies.md",
    "docs/how-to/add-a-command.md",
    "docs/how-to/add-an-endpoint.md",
    "docs/how-to/add-a-source.md",
    "docs/how-to/add-a-quality-rule.md",
    "docs/how-to/add-a-mask.md",
    "docs/how-to/add-a-page.md",
    ".ci/run",
];

/// The parts of a decision record, in this order.
const DECISION_SECTIONS: [&str; 4] = ["## Context", "## Decision", "## Alternatives", "## Consequence"];

/// Folders whose paths in documents are looked up.
const TOP_FOLDERS: [&str; 7] = ["crates/", "docs/", "tests/", "scripts/", "demo/", "web/", "bench/"];

#[test]
fn required_documents_are_there() {
    let repository = Repository::read();
    let mut violations: Vec<String> = REQUIRED
        .iter()
        .filter(|path| repository.file(path).is_none_or(|file| file.text().trim().is_empty()))
        .map(|path| format!("{path} is missing or empty"))
        .collect();
    let architecture = repository.file("ARCHITECTURE.md").map_or("", |file| file.text());
    for package in repository.packages.values() {
        if !architecture.contains(&format!("`{}`", package.folder)) {
            violations.push(format!("ARCHITECTURE.md says nothing of `{}`", package.folder));
        }
    }
    hold(
        "The documents of the house are there, and ARCHITECTURE.md names every package's folder.",
        "a room that the map does not show is not found by the next person",
        &violations,
    );
}

#[test]
fn decisions_have_their_form() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    let mut numbers = Vec::new();
    for file in repository.files.iter().filter(|file| file.path.starts_with("docs/decisions/")) {
        let number: Option<u32> = file.name().get(..4).and_then(|digits| digits.parse().ok());
        let (Some(number), true) = (number, file.name().get(4..5) == Some("-")) else {
            violations.push(format!("{} is not named NNNN-title.md", file.path));
            continue;
        };
        numbers.push(number);
        let text = file.text();
        if !text.starts_with(&format!("# {number:04}: ")) {
            violations.push(format!("{} does not begin with `# {number:04}: `", file.path));
        }
        let mut from = 0;
        for section in DECISION_SECTIONS {
            let heading = format!("\n{section}\n");
            match text[from..].find(&heading) {
                Some(at) => from += at + heading.len() - 1,
                None => violations.push(format!("{} lacks `{section}`, or has it out of order", file.path)),
            }
        }
    }
    numbers.sort_unstable();
    for (index, number) in numbers.iter().enumerate() {
        if *number as usize != index + 1 {
            violations.push(format!("decision {:04} is missing or {number:04} is there twice", index + 1));
            break;
        }
    }
    hold(
        "A decision record is docs/decisions/NNNN-title.md with Context, Decision, Alternatives and Consequence, numbered \
         without gaps.",
        "without the alternatives the next person tries them again; without the consequence nobody knows what was paid",
        &violations,
    );
}

#[test]
fn paths_in_documents_lead_somewhere() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for file in repository.with_extension("md") {
        // A decision speaks of the day it was taken on, a changelog of the release it describes.
        if file.path.starts_with("docs/decisions/") || file.path == "CHANGELOG.md" {
            continue;
        }
        for (number, line) in file.text().lines().enumerate() {
            for quoted in line.split('`').skip(1).step_by(2) {
                let is_path = TOP_FOLDERS.iter().any(|folder| quoted.starts_with(folder))
                    && quoted.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
                // Built, never committed.
                let built = quoted.starts_with("web/dist") || quoted.starts_with("web/node_modules");
                if is_path && !built && !repository.has(quoted) {
                    violations.push(format!("{}:{} `{quoted}`", file.path, number + 1));
                }
            }
        }
    }
    hold(
        "A path in a document leads to a file or folder that is there.",
        "a document that points nowhere is trusted once; write a placeholder in capitals as <ENTITY>, it is not looked up",
        &violations,
    );
}
