//! `lingqu audit`: evidence of an order, written by its node and checked by anybody, offline.

mod export;
mod files;
pub mod font;
mod report;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use lingqu_app::{EvidenceReport, verify_evidence_with};
use lingqu_domain::answer::AnswerSalt;
use lingqu_transparency::{EvidenceTrust, LogPolicy, NoteVerifier, POLICY_BYTES_MAX};
use serde::Serialize;

use crate::config::LogFormat;
use crate::failure::Failure;
use crate::misconduct::VerifyMisconductArguments;
use crate::watch::WatchArguments;
use crate::{misconduct, output, telemetry, watch};

/// Largest evidence file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Most files that are named as no part of the evidence.
const STRANGERS_MAX: usize = 20;

/// Export the evidence of an order, verify one offline, or watch a log
#[derive(Debug, clap::Args)]
pub struct AuditArguments {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    Export(export::ExportArguments),
    Verify(VerifyArguments),
    Unpack(files::UnpackArguments),
    Report(report::ReportArguments),
    Watch(WatchArguments),
    VerifyMisconduct(VerifyMisconductArguments),
}

/// Verify the evidence of an order, with no node, no network and no configuration
#[derive(Debug, clap::Args)]
struct VerifyArguments {
    /// The evidence: a file, or a folder that it was unpacked into; of evidence in parts all of them, in any order
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A key that must have signed, from a place that is trusted: the log's, its twin's, a witness's; may stand more than once.
    /// Without the log's, the evidence's own key is used, which proves that nothing was changed, but not who wrote it
    #[arg(long = "vkey", visible_alias = "key", value_name = "VKEY")]
    keys: Vec<String>,
    /// A policy (C2SP tlog-policy): which logs are trusted, and which witnesses must have cosigned
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A file that was received: say of which receipt it is the answer, byte for byte
    #[arg(long, value_name = "FILE", requires = "salt")]
    answer: Option<PathBuf>,
    /// What came with that file as `Answer-Salt`
    #[arg(long, value_name = "SALT", requires = "answer")]
    salt: Option<AnswerSalt>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was verified.
#[derive(Serialize)]
struct Verified<'a> {
    #[serde(flatten)]
    report: &'a EvidenceReport,
    /// Files of the folder that are no part of the evidence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    strangers: Vec<String>,
    /// The receipt of the file that was given as its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer_of: Option<String>,
}

/// Exports or verifies. Error: the evidence does not verify; there is no such order.
pub async fn run(arguments: AuditArguments) -> Result<(), Failure> {
    match arguments.command {
        AuditCommand::Export(arguments) => export::run(arguments).await,
        AuditCommand::Verify(arguments) => verify(&arguments),
        AuditCommand::Unpack(arguments) => files::run(&arguments),
        AuditCommand::Report(arguments) => report::run(&arguments),
        AuditCommand::Watch(arguments) => watch::run(arguments).await,
        AuditCommand::VerifyMisconduct(arguments) => misconduct::run(&arguments),
    }
}

/// Writes a file that is there whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let beside = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(beside)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        std::fs::File::open(beside)?.sync_all()
    };
    write().map_err(|error| Failure::file("write", path, error))
}

fn verify(arguments: &VerifyArguments) -> Result<(), Failure> {
    telemetry::start("warn", LogFormat::Text)?;
    let trust = trust(arguments)?;
    let (report, strangers) = match &arguments.files[..] {
        [folder] if !files::parts_in(folder).is_empty() => {
            (files::verify_parts(&files::parts_in(folder), &trust)?, Vec::new())
        }
        [folder] if folder.is_dir() => files::verify(folder, &trust),
        [file] => (verify_evidence_with(&read_bounded(file)?, &trust), Vec::new()),
        parts => (files::verify_parts(parts, &trust)?, Vec::new()),
    };
    let named = match &arguments.files[..] {
        [file] => file.display().to_string(),
        parts => format!("the evidence in {} parts", parts.len()),
    };
    let answer_of = match (&arguments.answer, &arguments.salt) {
        (Some(file), Some(salt)) => {
            let found = std::fs::File::open(file).and_then(|mut opened| report.receipt_of_answer(salt, &mut opened));
            Some((file, found.map_err(|error| Failure::file("read", file, error))?.map(ToString::to_string)))
        }
        _ => None,
    };
    if arguments.json {
        let answer_of = answer_of.as_ref().and_then(|(_, found)| found.clone());
        output::print_json(&Verified { report: &report, strangers, answer_of })?;
    } else {
        let mut text = words(&report);
        if trust.policy.is_some() && report.verified {
            text.push_str("policy           satisfied\n");
        }
        if let Some((file, Some(receipt))) = &answer_of {
            text.push_str(&format!("answer           {} is that of {receipt}, byte for byte\n", file.display()));
        }
        if !strangers.is_empty() {
            text.push_str("no part of the evidence, and not looked at\n");
            for stranger in strangers.iter().take(STRANGERS_MAX) {
                text.push_str(&format!("  {stranger}\n"));
            }
        }
        output::print(&text)?;
    }
    match report.findings.first() {
        None => match answer_of {
            Some((file, None)) => Err(Failure::Outcome(format!(
                "{} with this salt is the answer of no receipt in {}; check that it is as it was received and that the salt came with it",
                file.display(),
                named
            ))),
            _ => Ok(()),
        },
        Some((item, problem)) => Err(Failure::Outcome(format!(
            "{named} does not verify: {item}: {problem}; ask for the evidence again where it came from"
        ))),
    }
}

/// What the reader brings along.
fn trust(arguments: &VerifyArguments) -> Result<EvidenceTrust, Failure> {
    let mut trust = EvidenceTrust::default();
    for text in &arguments.keys {
        trust.keys.push(text.parse::<NoteVerifier>().map_err(|error| {
            Failure::Mend(format!("`{text}` is no log key ({error}); it looks like lingqu.node/nod_…+0123abcd+A…, as `lingqu doctor` of the node prints it"))
        })?);
    }
    if let Some(path) = &arguments.policy {
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(POLICY_BYTES_MAX as u64 + 1).read_to_string(&mut text))
            .map_err(|error| Failure::file("read", path, error))?;
        let policy = LogPolicy::parse(&text)
            .map_err(|error| Failure::Mend(format!("{} is no policy ({error}); mend that line", path.display())))?;
        trust.policy = Some(policy);
    }
    Ok(trust)
}

/// Reads a file that is no larger than evidence is.
pub fn read_bounded(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::file("read", path, error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::Mend(format!(
            "{} is larger than {FILE_BYTES_MAX} bytes, which no evidence is; check the path",
            path.display()
        )));
    }
    Ok(bytes)
}

fn words(report: &EvidenceReport) -> String {
    let none = "(none)".to_owned();
    let whose = |is_trusted: bool| if is_trusted { "the one you gave" } else { "the evidence's own" };
    let mut text = format!(
        "verified         {}\norder            {}\nnode             {}\nmade             {}\ncontents         {}\n\
         key              {}\n                 {}{}\n",
        if report.verified { "yes" } else { "NO" },
        report.order.as_ref().unwrap_or(&none),
        report.node.as_ref().unwrap_or(&none),
        report.created_at.as_ref().unwrap_or(&none),
        report.contents_digest.as_ref().unwrap_or(&none),
        report.key.as_ref().unwrap_or(&none),
        whose(report.key_is_trusted),
        if report.key_is_trusted { "" } else { "; give --vkey to prove who wrote it" },
    );
    if let Some(part) = &report.part {
        text.push_str(&format!(
            "part             {} of {}: give all parts to have the receipts recounted against the metering\n",
            part.number, part.of
        ));
    }
    if report.parts > 0 {
        text.push_str(&format!("parts            {}, verified together\n", report.parts));
    }
    text.push_str(&format!("log              {} entries, {} proven here\n", report.log_size, report.log_entries));
    match &report.twin {
        Some(twin) => text.push_str(&format!(
            "twin log         {} entries, {} proven here\n                 {}\n                 {}\n",
            twin.log_size,
            twin.log_entries,
            twin.key,
            whose(twin.key_is_trusted)
        )),
        None => text.push_str("twin log         (none)\n"),
    }
    for cosigned in &report.cosigned {
        text.push_str(&format!(
            "cosigned         {} {}\n                 {}; key: {}\n",
            cosigned.at,
            if cosigned.is_of_twin { "(twin log)" } else { "" },
            cosigned.key,
            whose(cosigned.key_is_trusted)
        ));
    }
    if report.cosigned.is_empty() {
        text.push_str("cosigned         by no witness whose key is known here\n");
    }
    let deliveries = |count: usize| match &report.part {
        Some(_) => "not counted: this is a part".to_owned(),
        None => format!("{count} deliveries"),
    };
    text.push_str(&format!(
        "journal records  {}\nreceipt records  {}\nmetering         {}\nnot yet metered  {}\nstill open       {}\n\
         consents         {}\nnature           {}\n",
        report.journal_records,
        report.receipt_records,
        match &report.metered_until {
            Some(until) if report.part.is_some() => {
                format!("{} windows until {until}, not recounted: this is a part", report.metering_windows)
            }
            Some(until) => format!("{} windows until {until}, recounted from the receipts", report.metering_windows),
            None if report.part.is_some_and(|part| part.has_own_windows) => {
                "no window begins among the receipts of this part".to_owned()
            }
            None => "no window was closed".to_owned(),
        },
        deliveries(report.receipts_not_yet_metered),
        deliveries(report.deliveries_open),
        report.consents,
        report.nature.as_ref().unwrap_or(&none),
    ));
    let computed = match &report.part {
        Some(part) if part.has_own_windows => "by the contract's price; its windows are not summed up: this is a part",
        _ => "computed again",
    };
    for settled in &report.settlements {
        text.push_str(&format!(
            "settled          {} yuan for {} calls and {} data sets{}, {computed}; {}\n",
            settled.fee_yuan,
            settled.calls,
            settled.data_sets,
            if settled.is_free { " of a purpose that is free" } else { "" },
            settled.settlement
        ));
    }
    if !report.links.is_empty() {
        text.push_str("chain of rights\n");
        for link in &report.links {
            text.push_str(&format!("  {link}\n"));
        }
    }
    if !report.findings.is_empty() {
        let rows: Vec<Vec<String>> =
            report.findings.iter().map(|(item, problem)| vec![item.clone(), problem.clone()]).collect();
        text.push('\n');
        text.push_str(&output::table(&["where", "what is wrong"], &rows));
    }
    text
}
