//! `lingqu audit watch`: follows a log of ours or anybody's and says when it lies.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lingqu_app::{Audited, LogWatch, TwinSetting, WatchError, WatchSetting, misconduct_path, write_misconduct};
use lingqu_transparency::{LogPolicy, Misconduct, NoteVerifier, Observation, POLICY_BYTES_MAX, TransparencyError};
use serde::Serialize;

use crate::alert::{Alarm, Alert};
use crate::config::LogFormat;
use crate::failure::Failure;
use crate::{output, telemetry};

/// How often a log is looked at unless told otherwise, in seconds.
const INTERVAL_S: u64 = 60;
/// The longest pause between two looks, in seconds: a day.
const INTERVAL_S_MAX: u64 = 86_400;

/// Pause between two calls of the alert command for one kind of problem unless told otherwise, and the longest, in seconds: an hour
/// and 30 days.
const ALERT_PAUSE_S: u64 = 3_600;
const ALERT_PAUSE_S_MAX: u64 = 2_592_000;
/// So much of a problem is told, in bytes: a log may put its name of any length and with anything in it into one.
const PROBLEM_BYTES_MAX: usize = 4_096;
/// Pause between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Follow a transparency log, ours or anybody's (C2SP tlog-tiles), and check at each look that it continues what was seen before
#[derive(Debug, clap::Args)]
pub struct WatchArguments {
    /// Where the log's files lie, without `/checkpoint`: http://127.0.0.1:8080/log
    #[arg(value_name = "URL")]
    url: String,
    /// The log's key, from a place that is trusted
    #[arg(long, value_name = "VKEY", required_unless_present = "policy")]
    vkey: Option<String>,
    /// The log's name, the first line of its checkpoints, where its key has another name [default: that of the key]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// A policy (C2SP tlog-policy): its witnesses must have seen a checkpoint before it counts; without --vkey its only log is
    /// the one that is watched
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The file in which the last checkpoint is remembered from run to run
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Pause between two looks, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = INTERVAL_S, value_parser = clap::value_parser!(u64).range(1..=INTERVAL_S_MAX))]
    interval: u64,
    /// Look once and end, for a timer of the system
    #[arg(long, requires = "state")]
    once: bool,
    /// The directory for the proof, if the log lies
    #[arg(long, value_name = "DIR", default_value = ".")]
    proof_dir: PathBuf,
    /// Read every entry and every tile of hashes, too: whether they are those that the log signs, and whether its entries of both
    /// roots hold
    #[arg(long)]
    entries: bool,
    /// The key of the twin log, against which --entries holds those entries as well
    #[arg(long, value_name = "VKEY", requires = "entries")]
    twin_vkey: Option<String>,
    /// Where the twin's files lie [default: the log's with /sm3 behind it]
    #[arg(long, value_name = "URL", requires = "twin_vkey")]
    twin_url: Option<String>,
    /// Call this by the shell when something is wrong: $LINGQU_ALERT says what was seen, $LINGQU_ALERT_PROBLEM what to do, and its
    /// input is the line as JSON
    #[arg(long, value_name = "COMMAND")]
    alert_command: Option<String>,
    /// Call it again for the same kind of problem after so many seconds, if that is still there
    #[arg(long, value_name = "SECONDS", default_value_t = ALERT_PAUSE_S, requires = "alert_command", value_parser = clap::value_parser!(u64).range(1..=ALERT_PAUSE_S_MAX))]
    alert_pause: u64,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// What a look comes to when the log lied.
const MISCONDUCT: &str = "misconduct";

/// What a look came to.
#[derive(Debug, Default, Serialize)]
struct Line<'a> {
    /// `begun`, `grown`, `unchanged`, `entries`, `older`, `not_witnessed`, `not_proven`, `twin_behind`, `unreachable` or `misconduct`
    seen: &'a str,
    log: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// What is wrong, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// The proof that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
}

/// Watches until told to end. Error: the log lied; with --once also that it can't be seen or does not hold.
pub async fn run(arguments: WatchArguments) -> Result<(), Failure> {
    telemetry::start("warn", LogFormat::Text)?;
    let (log, policy) = keys(&arguments)?;
    let setting = WatchSetting { url: arguments.url.clone(), log, policy, state: arguments.state.clone() };
    let mut watch = LogWatch::begin(setting).map_err(mend)?;
    // A proof that can't be written is found out before there is one.
    if !arguments.proof_dir.is_dir() {
        let problem =
            format!("{} is no directory; make it or name another with --proof-dir", arguments.proof_dir.display());
        return Err(Failure::Mend(problem));
    }
    let twin = twin(&arguments)?;
    let mut alert = Alert::new(arguments.alert_command.clone(), Duration::from_secs(arguments.alert_pause));
    let (mut told, mut told_of_entries) = (String::new(), String::new());
    let interval = Duration::from_secs(arguments.interval);
    let mut reading: Option<Progress> = None;
    loop {
        let looked = watch.look().await;
        let mut outcome = judge(&watch, looked, &arguments, &mut told, &mut alert).await?;
        if arguments.entries && outcome.is_none() {
            // However long the entries take, the log is looked at in time: reading them goes on after that.
            let mut progress = reading.take().unwrap_or_else(Progress::begin);
            let mut tell = |done, of| progress.tell(done, of);
            let audited = watch.audit_entries_for(interval, twin.as_ref(), &mut tell).await;
            if matches!(audited, Ok(Audited::Part { .. })) {
                reading = Some(progress);
                continue;
            }
            outcome = judge_entries(&watch, audited, &arguments, &mut told_of_entries, &mut alert).await?;
        }
        if arguments.once {
            return outcome.map_or(Ok(()), |problem| Err(Failure::Outcome(problem)));
        }
        tokio::time::sleep(interval).await;
    }
}

/// How far the entries were read, said on stderr now and then: of a long log this takes minutes.
struct Progress {
    said_at: Instant,
}

impl Progress {
    fn begin() -> Progress {
        Progress { said_at: Instant::now() }
    }

    fn tell(&mut self, done: u64, of: u64) {
        if self.said_at.elapsed() >= PROGRESS_EVERY {
            output::tell(&format!("{done} of {of} entries read"));
            self.said_at = Instant::now();
        }
    }
}

/// Says what was seen, once for as long as it stays the same. What is wrong comes back. Error: the log lied.
async fn judge(
    watch: &LogWatch,
    looked: Result<Observation, WatchError>,
    arguments: &WatchArguments,
    told: &mut String,
    alert: &mut Alert,
) -> Result<Option<String>, Failure> {
    let name = watch.log().origin().to_owned();
    let mut line = Line { log: &name, ..Line::default() };
    match looked {
        Ok(Observation::Grown { from: 0, to }) => (line.seen, line.size) = ("begun", Some(to)),
        Ok(Observation::Grown { to, .. }) => (line.seen, line.size) = ("grown", Some(to)),
        Ok(Observation::Unchanged) => line.seen = "unchanged",
        Ok(Observation::Older { size }) => {
            (line.seen, line.size) = ("older", Some(size));
            line.problem = Some(format!(
                "the log shows {size} entries and signed more before: an old copy, or it was set back; ask its operator"
            ));
        }
        Ok(Observation::Misconduct(misconduct)) => return Err(convict(watch, &misconduct, arguments, alert).await),
        Err(error) => (line.seen, line.problem) = amiss(error)?,
    }
    say_once(line, arguments.json, told, alert).await
}

/// The same of the entries.
async fn judge_entries(
    watch: &LogWatch,
    audited: Result<Audited, WatchError>,
    arguments: &WatchArguments,
    told: &mut String,
    alert: &mut Alert,
) -> Result<Option<String>, Failure> {
    let name = watch.log().origin().to_owned();
    let mut line = Line { log: &name, ..Line::default() };
    match audited {
        Ok(Audited::Whole { size, .. }) => (line.seen, line.size) = ("entries", Some(size)),
        Ok(Audited::Part { .. }) => return Ok(None),
        Ok(Audited::Misconduct(misconduct)) => return Err(convict(watch, &misconduct, arguments, alert).await),
        Err(error) => (line.seen, line.problem) = amiss(error)?,
    }
    say_once(line, arguments.json, told, alert).await
}

/// What is wrong without being proven. Error: nothing can be remembered, so nothing that follows would be a watch.
fn amiss(error: WatchError) -> Result<(&'static str, Option<String>), Failure> {
    Ok(match error {
        WatchError::Log(TransparencyError::NotWitnessed { .. }) => ("not_witnessed", Some(error.to_string())),
        WatchError::Log(_) | WatchError::RootsDiffer { .. } | WatchError::TwinOfOthers { .. } => {
            let problem = format!("what the log shows does not hold, which proves nothing to others: {error}");
            ("not_proven", Some(problem))
        }
        WatchError::TwinBehind { .. } => ("twin_behind", Some(error.to_string())),
        WatchError::Unreachable { .. } | WatchError::Status { .. } | WatchError::TooSlow { .. } => {
            ("unreachable", Some(error.to_string()))
        }
        WatchError::BadUrl(_) | WatchError::NoClient(_) | WatchError::State { .. } | WatchError::Interrupted => {
            return Err(mend(error));
        }
    })
}

/// Writes the proof that the log lied and says where it is.
async fn convict(watch: &LogWatch, misconduct: &Misconduct, arguments: &WatchArguments, alert: &mut Alert) -> Failure {
    let name = watch.log().origin();
    let twin = match twin(arguments) {
        Ok(twin) => twin.map(|twin| twin.key),
        Err(failure) => return failure,
    };
    let path = misconduct_path(&arguments.proof_dir, misconduct, watch.log(), twin.as_ref());
    if let Err(error) = write_misconduct(&path, misconduct) {
        let problem = tidy(&format!("the log {name} contradicts what it signed, and the proof can't be kept: {error}"));
        let line = Line { seen: MISCONDUCT, log: name, problem: Some(problem.clone()), ..Line::default() };
        call(&line, alert).await;
        return Failure::Mend(problem);
    }
    let problem = tidy(&format!(
        "the log {name} contradicts what it signed before; the proof is {}, which anyone checks with `lingqu audit verify-misconduct`",
        path.display()
    ));
    let line = Line {
        seen: MISCONDUCT,
        log: name,
        size: None,
        problem: Some(problem.clone()),
        proof: Some(path.display().to_string()),
    };
    let said = say(&line, arguments.json);
    call(&line, alert).await;
    match said {
        Ok(()) => Failure::Outcome(problem),
        Err(failure) => failure,
    }
}

/// Says a line unless it was the last one. What is wrong comes back.
async fn say_once(
    mut line: Line<'_>,
    is_json: bool,
    told: &mut String,
    alert: &mut Alert,
) -> Result<Option<String>, Failure> {
    line.problem = line.problem.as_deref().map(tidy);
    let this = format!("{} {:?} {:?}", line.seen, line.size, line.problem);
    if *told != this {
        say(&line, is_json)?;
        *told = this;
    }
    call(&line, alert).await;
    Ok(line.problem)
}

/// A problem as it may be printed, given to a program, and put into its environment.
fn tidy(problem: &str) -> String {
    output::plain(problem, PROBLEM_BYTES_MAX)
}

/// Calls the alert command for a line that tells of a problem.
async fn call(line: &Line<'_>, alert: &mut Alert) {
    let (Some(problem), Ok(json)) = (line.problem.clone(), serde_json::to_string(line)) else { return };
    alert.raise(Alarm { seen: line.seen.to_owned(), problem, json }).await;
}

/// The twin of the log, where its key is given.
fn twin(arguments: &WatchArguments) -> Result<Option<TwinSetting>, Failure> {
    let Some(vkey) = &arguments.twin_vkey else { return Ok(None) };
    let url = match &arguments.twin_url {
        Some(url) => url.clone(),
        None => format!("{}/sm3", arguments.url.trim_end_matches('/')),
    };
    Ok(Some(TwinSetting { url, key: log_key(vkey)? }))
}

fn say(line: &Line<'_>, is_json: bool) -> Result<(), Failure> {
    if is_json {
        let text = serde_json::to_string(line).map_err(|error| Failure::Mend(error.to_string()))?;
        return output::print(&format!("{text}\n"));
    }
    let size = line.size.map(|size| format!(" {size} entries")).unwrap_or_default();
    match &line.problem {
        None => output::print(&format!("{} {}{size}\n", line.log, line.seen)),
        Some(problem) => output::print(&format!("{} ALERT {}: {problem}\n", line.log, line.seen)),
    }
}

/// The key of the log and, where one is given, the policy.
fn keys(arguments: &WatchArguments) -> Result<(NoteVerifier, Option<LogPolicy>), Failure> {
    let policy = arguments.policy.as_deref().map(read_policy).transpose()?;
    let log = match (&arguments.vkey, &policy) {
        (Some(vkey), _) => log_key(vkey)?,
        (None, Some(policy)) => match policy.logs() {
            [log] => log.verifier.clone(),
            logs => {
                let problem = format!("the policy names {} logs; say with --vkey which one is watched", logs.len());
                return Err(Failure::Mend(problem));
            }
        },
        (None, None) => return Err(Failure::Mend("give the log's key with --vkey, or a policy".to_owned())),
    };
    Ok((named(log, arguments.origin.as_deref()), policy))
}

/// The key for a log of another name, where one is given.
pub fn named(log: NoteVerifier, origin: Option<&str>) -> NoteVerifier {
    match origin {
        Some(origin) => log.of_log(origin),
        None => log,
    }
}

/// Reads the key of a log.
pub fn log_key(text: &str) -> Result<NoteVerifier, Failure> {
    let wrong = |problem: String| {
        Failure::Mend(format!(
            "`{text}` is no log key ({problem}); it looks like lingqu.node/nod_…+0123abcd+A…, as `lingqu doctor` of the node prints it"
        ))
    };
    let key: NoteVerifier = text.parse().map_err(|error: TransparencyError| wrong(error.to_string()))?;
    if key.key_type().is_cosignature() {
        return Err(wrong("it is a witness's".to_owned()));
    }
    Ok(key)
}

fn read_policy(path: &Path) -> Result<LogPolicy, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(POLICY_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::file("read", path, error))?;
    let wrong = |problem: String| Failure::Mend(format!("{}: {problem}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is no text; a policy is UTF-8".to_owned()))?;
    LogPolicy::parse(&text).map_err(|error| wrong(error.to_string()))
}

fn mend(error: WatchError) -> Failure {
    Failure::Mend(tidy(&error.to_string()))
}
