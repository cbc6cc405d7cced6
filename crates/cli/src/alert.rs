//! The command that a watch calls when something is wrong with a log: once for each kind of problem, and again after a pause for as
//! long as it is there, or when it comes back.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::CommandExt;
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
        let now = Instant::now();
        let Some(command) = self.command.clone().filter(|_| self.is_due(&alarm.seen, now)) else { return };
        let seen = alarm.seen.clone();
        let called = tokio::task::spawn_blocking(move || call(&command, &alarm, COMMAND_MAX)).await;
        // Of what could not even be started nobody has heard: it is tried again at the next look.
        if !matches!(called, Ok(Err(Trouble::NotStarted(_)))) {
            self.told.insert(seen, now);
        }
        match called {
            Ok(Ok(())) => {}
            Ok(Err(Trouble::NotStarted(problem) | Trouble::Ended(problem))) => {
                output::tell(&format!("the alert command {problem}"));
            }
            Err(_) => output::tell("the alert command was interrupted"),
        }
    }

    /// Whether a problem of this kind is to be told now.
    fn is_due(&self, seen: &str, now: Instant) -> bool {
        self.told.get(seen).is_none_or(|at| now.saturating_duration_since(*at) >= self.pause)
    }
}

/// Why a call came to nothing: what to say about it after "the alert command".
#[derive(Debug)]
enum Trouble {
    NotStarted(String),
    /// It was started, and failed or was ended.
    Ended(String),
}

/// Runs a command with the alarm in its environment and on its input.
fn call(command: &str, alarm: &Alarm, limit: Duration) -> Result<(), Trouble> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env(SEEN_VARIABLE, &alarm.seen)
        .env(PROBLEM_VARIABLE, &alarm.problem)
        .stdin(Stdio::piped())
        // What it prints is no result of the watch.
        .stdout(Stdio::null())
        // A group of its own, so that what it started ends with it.
        .process_group(0)
        .spawn()
        .map_err(|error| Trouble::NotStarted(format!("can't be started: {error}")))?;
    let begun = Instant::now();
    if let Some(mut input) = child.stdin.take() {
        // A command may end without having read it, and one that reads nothing lets only this thread wait: until it is ended.
        let line = format!("{}\n", alarm.json);
        let write = move || drop(input.write_all(line.as_bytes()));
        if let Err(error) = std::thread::Builder::new().name("alert-input".to_owned()).spawn(write) {
            end(&mut child);
            return Err(Trouble::NotStarted(format!("can't be given its input: {error}")));
        }
    }
    wait(&mut child, begun, limit).map_err(Trouble::Ended)
}

fn wait(child: &mut Child, begun: Instant, limit: Duration) -> Result<(), String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("failed ({status})")),
            Ok(None) if begun.elapsed() < limit => std::thread::sleep(POLL_EVERY),
            Ok(None) => {
                end(child);
                return Err(format!("did not end within {} seconds and was ended", limit.as_secs()));
            }
            Err(error) => {
                end(child);
                return Err(format!("can't be waited for: {error}"));
            }
        }
    }
}

/// Ends a command and whatever it started in its group. The shell's `kill` does it, which is in every shell.
fn end(child: &mut Child) {
    let group = format!("-{}", child.id());
    // The child is not waited for yet, so its number is nobody else's.
    let killed = Command::new("sh").args(["-c", "kill -s KILL -- \"$1\"", "sh", &group]).stderr(Stdio::null()).status();
    drop(killed);
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

    fn ended(called: Result<(), Trouble>) -> String {
        match called {
            Err(Trouble::Ended(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_problem_of_one_kind_is_told_once_in_a_while() {
        let (mut alert, begun) = (Alert::new(None, Duration::from_secs(60)), Instant::now());
        assert!(alert.is_due("older", begun));
        alert.told.insert("older".to_owned(), begun);
        assert!(!alert.is_due("older", begun + Duration::from_secs(59)));
        assert!(alert.is_due("unreachable", begun + Duration::from_secs(1)));
        assert!(alert.is_due("older", begun + Duration::from_secs(60)));
    }

    #[tokio::test]
    async fn what_could_not_be_started_was_not_told() {
        let place = tempfile::tempdir().unwrap();
        let told = place.path().join("told");
        let command = format!("echo >>'{}'", told.display());
        let mut alert = Alert::new(Some(command), Duration::from_secs(3_600));
        // The system gives no program such a variable.
        alert.raise(Alarm { problem: "a\0b".to_owned(), ..alarm("older") }).await;
        assert!(!told.exists());
        for _ in 0..2 {
            alert.raise(alarm("older")).await;
            assert_eq!(std::fs::read_to_string(&told).unwrap(), "\n");
        }
    }

    #[test]
    fn a_command_that_reads_nothing_is_ended_with_what_it_started() {
        let place = tempfile::tempdir().unwrap();
        let started = place.path().join("started");
        // More than a pipe holds.
        let large = Alarm { json: "x".repeat(1 << 20), ..alarm("older") };
        let command = format!("sleep 600 & echo $! >'{}'; wait", started.display());
        let problem = ended(call(&command, &large, Duration::from_secs(3)));
        assert!(problem.contains("did not end"), "{problem}");
        let started = std::fs::read_to_string(started).unwrap();
        // Whoever takes up orphans takes it up in a moment.
        let is_gone = (0..200).any(|_| {
            std::thread::sleep(POLL_EVERY);
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", started.trim())).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
        assert!(is_gone, "what it started goes on");
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
        assert!(ended(call("exit 3", &alarm("older"), COMMAND_MAX)).contains("failed"));
        assert!(ended(call("exec sleep 600", &alarm("older"), Duration::from_millis(200))).contains("did not end"));
    }
}
