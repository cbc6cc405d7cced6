//! `lingqu audit`: evidence of an order, written by its node and checked by anybody, offline.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use lingqu_app::{EvidenceReport, verify_evidence};
use lingqu_domain::id::OrderId;
use lingqu_transparency::NoteVerifier;
use serde::Serialize;

use crate::config::{LogFormat, NodeArguments};
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, telemetry};

/// Largest evidence file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Export the evidence of an order, or verify one offline
#[derive(Debug, clap::Args)]
pub struct AuditArguments {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    Export(ExportArguments),
    Verify(VerifyArguments),
}

/// Write the evidence of an order: certificates, chain of authorisations, contract, metering and receipts, with the proofs
/// that the node's signed log commits to them
#[derive(Debug, clap::Args)]
struct ExportArguments {
    /// The order (ord_…)
    #[arg(value_name = "ORDER")]
    order: String,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    node: NodeArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Verify the evidence of an order, with no node and no network
#[derive(Debug, clap::Args)]
struct VerifyArguments {
    /// The evidence
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The node's log key, from a place that is trusted; without it the file's own key is used, which proves that nothing
    /// was changed, but not who wrote it
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was exported.
#[derive(Serialize)]
struct Exported<'a> {
    file: String,
    bytes: usize,
    #[serde(flatten)]
    report: &'a EvidenceReport,
}

/// Exports or verifies. Error: the evidence does not verify; there is no such order.
pub async fn run(arguments: AuditArguments) -> Result<(), Failure> {
    match arguments.command {
        AuditCommand::Export(arguments) => export(arguments).await,
        AuditCommand::Verify(arguments) => verify(&arguments),
    }
}

async fn export(arguments: ExportArguments) -> Result<(), Failure> {
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    let order: OrderId = arguments.order.parse().map_err(|_| {
        Failure::Mend(format!(
            "`{}` is not the id of an order; it looks like ord_0123…, see the console",
            arguments.order
        ))
    })?;
    let app = node::open(&configuration, Access::Reading).await?;
    output::tell("gathering records, receipts and proofs");
    let bundle = app.export_evidence(&order).await;
    app.close().await?;
    let bundle = bundle?;
    // What is handed out has been verified as its reader will do it.
    let report = verify_evidence(&bundle, None);
    if let Some((item, problem)) = report.findings.first() {
        return Err(Failure::Outcome(format!(
            "the evidence does not verify ({item}: {problem}) and was not written; run `lingqu doctor` and `lingqu replay --check`"
        )));
    }
    write_whole(&arguments.output, &bundle)?;
    if arguments.json {
        let file = arguments.output.display().to_string();
        return output::print_json(&Exported { file, bytes: bundle.len(), report: &report });
    }
    output::print(&format!(
        "file             {} ({} bytes)\n{}",
        arguments.output.display(),
        bundle.len(),
        words(&report)
    ))
}

/// Writes a file that is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
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
    let key = match &arguments.key {
        None => None,
        Some(text) => Some(text.parse::<NoteVerifier>().map_err(|error| {
            Failure::Mend(format!("`{text}` is no log key ({error}); it looks like lingqu.node/nod_…+0123abcd+A…, as `lingqu doctor` of the node prints it"))
        })?),
    };
    let bundle = read_bounded(&arguments.file)?;
    let report = verify_evidence(&bundle, key.as_ref());
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&words(&report))?;
    }
    match report.findings.first() {
        None => Ok(()),
        Some((item, problem)) => Err(Failure::Outcome(format!(
            "{} does not verify: {item}: {problem}; ask for the evidence again where it came from",
            arguments.file.display()
        ))),
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Failure> {
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
    let mut text = format!(
        "verified         {}\norder            {}\nnode             {}\nkey              {}\nlog size         {}\n\
         journal records  {}\nreceipt records  {}\nmetering         {}\nnot yet metered  {} deliveries\nstill open       {} deliveries\n\
         nature           {}\n",
        if report.verified { "yes" } else { "NO" },
        report.order.as_ref().unwrap_or(&none),
        report.node.as_ref().unwrap_or(&none),
        if report.key_is_trusted { "the one you gave" } else { "the file's own; give --key to prove who wrote it" },
        report.log_size,
        report.journal_records,
        report.receipt_records,
        match &report.metered_until {
            Some(until) => format!("{} windows until {until}, recounted from the receipts", report.metering_windows),
            None => "no window was closed".to_owned(),
        },
        report.receipts_not_yet_metered,
        report.deliveries_open,
        report.nature.as_ref().unwrap_or(&none),
    );
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
