//! Files: their length, their opening, and what must not be left in them.

use lingqu_structure::{Repository, hold};

/// Past about 600 lines one asks whether a second purpose has moved in; past this many the answer is known.
const LINES_MAX: usize = 900;

/// A paragraph that says what a room is for, what it is not, and how data passes through, needs about this many letters.
const OPENING_CHARACTERS_MIN: usize = 200;

/// Files that a program writes: their length is no choice of ours.
const GENERATED: [&str; 2] = ["schema.d.ts", "openapi.d.ts"];

/// Marks of unfinished work. Put together here so that this file does not contain them.
const MARKS: [&str; 7] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("HA", "CK:"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
];

fn is_source(path: &str) -> bool {
    ["rs", "ts", "tsx", "py", "css", "sql"].iter().any(|extension| path.ends_with(&format!(".{extension}")))
        || path.starts_with("scripts/")
}

#[test]
fn files_have_one_purpose() {
    let repository = Repository::read();
    let violations: Vec<String> = repository
        .files
        .iter()
        .filter(|file| is_source(&file.path) && !GENERATED.contains(&file.name()))
        .map(|file| (file.path.as_str(), file.text().lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path} has {lines} lines, {LINES_MAX} at most"))
        .collect();
    hold(
        "A source file holds one purpose.",
        "a file that long has more than one and is read by nobody from top to bottom; split it by what it is about",
        &violations,
    );
}

#[test]
fn rooms_open_with_a_paragraph() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for package in repository.packages.values() {
        let candidates = ["src/lib.rs", "src/main.rs", "lib.rs"];
        let opening = candidates.iter().find_map(|name| repository.file(&format!("{}/{name}", package.folder)));
        let Some(file) = opening else {
            violations.push(format!("{} has no lib.rs or main.rs", package.folder));
            continue;
        };
        let characters: usize = file
            .text()
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .map(|line| line.trim_start_matches("//!").trim().chars().count())
            .sum();
        if characters < OPENING_CHARACTERS_MIN {
            violations.push(format!(
                "{} opens with {characters} characters of documentation, {OPENING_CHARACTERS_MIN} at least",
                file.path
            ));
        }
    }
    hold(
        "A room's lib.rs (the binary's main.rs) opens with a paragraph: what it is for, what it is not, how data passes \
         through.",
        "it is the first thing a newcomer opens, and what keeps the wrong things out",
        &violations,
    );
}

#[test]
fn nothing_is_left_unfinished() {
    let repository = Repository::read();
    let mut violations = Vec::new();
    for file in repository.files.iter().filter(|file| is_source(&file.path)) {
        for (number, line) in file.text().lines().enumerate() {
            for mark in MARKS.iter().filter(|mark| has_word(line, mark)) {
                violations.push(format!("{}:{} {mark}", file.path, number + 1));
            }
        }
    }
    hold(
        "No marks of unfinished work and no ignored tests.",
        "what is missing is an issue with a number, or it is done now; a mark in a file is neither",
        &violations,
    );
}

/// True when the mark stands in the line and is not part of a longer word.
fn has_word(line: &str, mark: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(mark).any(|(at, _)| {
        let joined_before = mark.starts_with(is_name) && line[..at].ends_with(is_name);
        let joined_after = mark.ends_with(is_name) && line[at + mark.len()..].starts_with(is_name);
        !joined_before && !joined_after
    })
}
