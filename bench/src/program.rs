//! Programs that are run to their end: the demo, copies by others, the engine's own measurements.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{BenchError, file_error};

/// How often it is looked whether a program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Of what a program said last, so many characters are told when it fails.
const SAID_CHARS_MAX: usize = 2_000;

/// Runs a program to its end and answers what it printed. What it tells goes to `NAME.log` below `out`, and to the terminal
/// when it is `shown`. Error: it can't be run, fails, or takes longer than the limit and is ended.
pub fn printed(
    command: &mut Command,
    name: &str,
    out: &Path,
    limit: Duration,
    shown: bool,
) -> Result<Vec<u8>, BenchError> {
    let failed = |reason: String| BenchError::Program { program: name.to_owned(), reason };
    let log = out.join(format!("{name}.log"));
    let told = File::create(&log).map_err(|error| file_error("write", &log, &error))?;
    let told = if shown { Stdio::inherit() } else { Stdio::from(told) };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(told)
        .spawn()
        .map_err(|error| failed(format!("it can't be started: {error}")))?;
    let mut stdout = child.stdout.take().ok_or_else(|| failed("it has no stdout".to_owned()))?;
    // Read beside the waiting, so that a program that prints much is not held up.
    let reading = std::thread::spawn(move || {
        let mut printed = Vec::new();
        stdout.read_to_end(&mut printed).map(|_| printed)
    });
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| failed(error.to_string()))? {
            Some(status) => break status,
            None if begun.elapsed() > limit => {
                child.kill().and_then(|()| child.wait()).map_err(|error| failed(error.to_string()))?;
                return Err(failed(format!("it was ended after {} s, which is all the time it has", limit.as_secs())));
            }
            None => std::thread::sleep(LOOK_EVERY),
        }
    };
    let printed = reading.join().map_err(|_| failed("its output can't be read".to_owned()))?;
    let printed = printed.map_err(|error| failed(format!("its output can't be read: {error}")))?;
    if status.success() {
        return Ok(printed);
    }
    let said = if shown { "see above".to_owned() } else { last_of(&log) };
    Err(failed(format!("{status}: {said}")))
}

fn last_of(log: &Path) -> String {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let said: Vec<char> = said.trim().chars().collect();
    said[said.len().saturating_sub(SAID_CHARS_MAX)..].iter().collect()
}
