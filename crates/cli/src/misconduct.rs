//! `lingqu audit verify-misconduct`: checks the proof that a log lied, with nothing but the log's key.

use std::io::Read;
use std::path::{Path, PathBuf};

use lingqu_transparency::{MISCONDUCT_BYTES_MAX, Misconduct};
use serde::Serialize;

use crate::config::LogFormat;
use crate::failure::Failure;
use crate::watch::{log_key, named};
use crate::{output, telemetry};

/// Check a file that proves that a log lied, offline, with nothing but the log's key
#[derive(Debug, clap::Args)]
pub struct VerifyMisconductArguments {
    /// The proof (….log-misconduct)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The log's key, from a place that is trusted
    #[arg(long, value_name = "VKEY")]
    vkey: String,
    /// The log's name, the first line of its checkpoints, where its key has another name [default: that of the key]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    /// The key of its twin log, for proofs that are about both
    #[arg(long, value_name = "VKEY")]
    twin_vkey: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    proven: bool,
    kind: &'a str,
    origin: &'a str,
    size: u64,
    roots: [String; 2],
}

/// Checks. Error: the file proves nothing about this log.
pub fn run(arguments: &VerifyMisconductArguments) -> Result<(), Failure> {
    telemetry::start("warn", LogFormat::Text)?;
    let log = named(log_key(&arguments.vkey)?, arguments.origin.as_deref());
    let twin = arguments.twin_vkey.as_deref().map(log_key).transpose()?;
    let text = read_bounded(&arguments.file)?;
    let nothing = |error: lingqu_transparency::TransparencyError| {
        Failure::Outcome(format!("{} proves nothing about {}: {error}", arguments.file.display(), log.origin()))
    };
    let misconduct = Misconduct::from_text(&text).map_err(nothing)?;
    let conviction = misconduct.verify(&log, twin.as_ref()).map_err(nothing)?;
    let kind = match misconduct {
        Misconduct::Fork { .. } => "fork",
        Misconduct::Rewrite { .. } => "rewrite",
        Misconduct::TwinDiffers { .. } => "twin",
    };
    let roots = conviction.roots.map(|root| root.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    if arguments.json {
        let (origin, size) = (conviction.origin.as_str(), conviction.size);
        return output::print_json(&Shown { proven: true, kind, origin, size, roots });
    }
    let words = match kind {
        "fork" => "it signed two checkpoints of one size",
        "rewrite" => "its later checkpoint continues another tree than the earlier one signs",
        _ => "it signs another root than its twin holds for it",
    };
    let [one, other] = roots;
    output::print(&format!(
        "proven           yes: {words}\nlog              {}\nsize             {}\none root         {one}\nother root       {other}\n",
        conviction.origin, conviction.size
    ))
}

fn read_bounded(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MISCONDUCT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::file("read", path, error))?;
    String::from_utf8(bytes).map_err(|_| Failure::Outcome(format!("{} proves nothing: it is no text", path.display())))
}
