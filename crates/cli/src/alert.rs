//! The command that a watch calls when something is wrong with a log: once for each kind of problem, and again after a pause for as
//! long as it is there, or when it comes back.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::output;

/// How long the command may take.
const COMMAND_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks whether it has ended.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// The variables in which it finds what was seen, and what is wrong in words.
const SEEN_VARIABLE: &str = "LINGQU_ALERT";
const PROBLEM_VARIABLE: &str = "LINGQU_ALERT_PROBLEM";

/// Calls a command, and remembers what for.
#[derive(Debug)]
pub struct Alert {
    command: Option<String>,
    /// A problem of the same kind is not told again before so long.
    pause: Duration,
    told: BTreeMap<String, Instant>,
}

/// What is told.
#[derive(Debug, Clone)]
pub struct Alarm {
    /// What was seen, in a word: the kind of the problem.
    pub seen: String,
    /// What is wrong, and what to do.
    pub problem: String,
    /// The whole line, as JSON.
    pub json: String,
}

impl Alert {
    /// Calls `command`, if there is one, by the shell; for a problem of one kind at most once in `pause`.
    pub fn new(command: Option<String>, pause: Duration) -> Alert {
        Alert { command, pause, told: BTreeMap::new() }
    }

    /// Calls the command, unless it was called for the same kind of problem a while ago, and waits for it. What goes wrong with
    /// it is said on stderr: a watch goes on watching.
    pub async fn raise(&mut self, alarm: Alarm) {
        let Some(command) = self.command.clone().filter(|_| self.is_due(&alarm.seen, Instant::now())) else { return };
        let called = tokio::task::spawn_blocking(move || call(&command, &alarm, COMMAND_MAX)).await;
        match called {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => output::tell(&format!("the alert command {problem}")),
            Err(_) => output::tell("the alert command was interrupted"),
        }
    }

    /// Whether a problem of this kind is to be told now; it counts as told then.
    fn is_due(&mut self, seen: &str, now: Instant) -> bool {
        let is_known = self.told.get(seen).is_some_and(|at| now.saturating_duration_since(*at) < self.pause);
        if !is_known {
            self.told.insert(seen.to_owned(), now);
        }
        !is_known
    }
}

/// Runs a command with the alarm in its environment and on its input. Error: what to say about it after "the alert command".
fn call(command: &str, alarm: &Alarm, limit: Duration) -> Result<(), String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env(SEEN_VARIABLE, &alarm.seen)
        .env(PROBLEM_VARIABLE, &alarm.problem)
        .stdin(Stdio::piped())
        // What it prints is no result of the watch.
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("can't be started: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A command may end without having read it. The line is far smaller than what a pipe holds, so this waits for nobody.
        drop(input.write_all(format!("{}\n", alarm.json).as_bytes()));
    }
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("failed ({status})")),
            Ok(None) if begun.elapsed() < limit => std::thread::sleep(POLL_EVERY),
            Ok(None) => {
                end(&mut child);
                return Err(format!("did not end within {} seconds and was ended", limit.as_secs()));
            }
            Err(error) => {
                end(&mut child);
                return Err(format!("can't be waited for: {error}"));
            }
        }
    }
}

fn end(child: &mut Child) {
    // An error means that it has ended by itself.
    drop(child.kill());
    drop(child.wait());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(seen: &str) -> Alarm {
        let problem = "it's \"odd\" $(touch owned)".to_owned();
        Alarm { seen: seen.to_owned(), problem, json: format!("{{\"seen\":\"{seen}\"}}") }
    }

    #[test]
    fn a_problem_of_one_kind_is_told_once_in_a_while() {
        let (mut alert, begun) = (Alert::new(None, Duration::from_secs(60)), Instant::now());
        assert!(alert.is_due("older", begun));
        assert!(!alert.is_due("older", begun + Duration::from_secs(59)));
        assert!(alert.is_due("unreachable", begun + Duration::from_secs(1)));
        assert!(alert.is_due("older", begun + Duration::from_secs(60)));
        assert!(!alert.is_due("older", begun + Duration::from_secs(61)));
    }

    #[test]
    fn the_command_gets_the_alarm_as_it_is_and_has_an_end() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("told");
        let command = format!(
            "cd '{}' && {{ printf '%s|%s|' \"$LINGQU_ALERT\" \"$LINGQU_ALERT_PROBLEM\"; cat; }} >told",
            place.path().display()
        );
        call(&command, &alarm("older"), COMMAND_MAX).unwrap();
        let told = std::fs::read_to_string(&file).unwrap();
        assert_eq!(told, "older|it's \"odd\" $(touch owned)|{\"seen\":\"older\"}\n");
        assert!(!place.path().join("owned").exists(), "what is told is no command");
        assert!(call("exit 3", &alarm("older"), COMMAND_MAX).unwrap_err().contains("failed"));
        assert!(
            call("exec sleep 600", &alarm("older"), Duration::from_millis(200)).unwrap_err().contains("did not end")
        );
    }
}
