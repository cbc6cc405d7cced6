//! `lingqu audit export`: a node writes the evidence of an order, as one file, as plain files, or as both.

use std::path::PathBuf;

use lingqu_app::{EvidenceOptions, EvidenceReport, verify_evidence};
use lingqu_domain::id::OrderId;
use serde::Serialize;

use super::{files, font, words, write_whole};
use crate::config::NodeArguments;
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, telemetry};

/// Write the evidence of an order: certificates, chain of authorisations, contract, consents, metering, settlements and
/// receipts, with the proofs that the node's signed logs commit to them, the keys, and a report for people
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("into").required(true).multiple(true).args(["output", "directory"])))]
pub struct ExportArguments {
    /// The order (ord_…)
    #[arg(value_name = "ORDER")]
    order: String,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A folder to write the same evidence into as plain files, for tools that others wrote; new or empty
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// Font with Chinese characters for the report (.ttf, .otf, .ttc) [default: `report_font` in lingqu.toml, else the first
    /// that is found where systems keep them]
    #[arg(long, value_name = "FILE")]
    report_font: Option<PathBuf>,
    /// Leave the report for people out
    #[arg(long, conflicts_with = "report_font")]
    no_report: bool,
    /// Leave the records of consents out: they hold the ids of subjects in this node and when each consented
    #[arg(long)]
    no_consents: bool,
    /// Put settlements in whole, though they tell what others used
    #[arg(long)]
    whole_settlements: bool,
    #[command(flatten)]
    node: NodeArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was exported.
#[derive(Serialize)]
struct Exported<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory: Option<String>,
    bytes: usize,
    has_report: bool,
    #[serde(flatten)]
    report: &'a EvidenceReport,
}

/// Exports. Error: there is no such order; the evidence does not verify.
pub async fn run(arguments: ExportArguments) -> Result<(), Failure> {
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    let order: OrderId = arguments.order.parse().map_err(|_| {
        Failure::Mend(format!(
            "`{}` is not the id of an order; it looks like ord_0123…, see the console",
            arguments.order
        ))
    })?;
    if let Some(directory) = &arguments.directory {
        files::must_be_free(directory)?;
    }
    let report_font = if arguments.no_report {
        None
    } else {
        let named = arguments.report_font.as_deref().or(configuration.report_font.as_deref());
        let found = font::find(named)?;
        if found.is_none() {
            output::tell(&format!("the evidence is made without a report for people: {}", font::HINT));
        }
        found
    };
    let has_report = report_font.is_some();
    let app = node::open(&configuration, Access::Reading).await?;
    output::tell("gathering records, receipts and proofs");
    let options = EvidenceOptions {
        report_font,
        has_consents: !arguments.no_consents,
        has_whole_settlements: arguments.whole_settlements,
        extra: Vec::new(),
    };
    let bundle = app.evidence_of(&order, options).await;
    app.close().await?;
    let bundle = bundle?;
    // What is handed out has been verified as its reader will do it.
    let report = verify_evidence(&bundle, None);
    if let Some((item, problem)) = report.findings.first() {
        return Err(Failure::Outcome(format!(
            "the evidence does not verify ({item}: {problem}) and was not written; run `lingqu doctor` and `lingqu replay --check`"
        )));
    }
    if let Some(file) = &arguments.output {
        write_whole(file, &bundle)?;
    }
    if let Some(directory) = &arguments.directory {
        files::unpack(&bundle, directory)?;
    }
    let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let (file, directory) = (shown(&arguments.output), shown(&arguments.directory));
    if arguments.json {
        return output::print_json(&Exported { file, directory, bytes: bundle.len(), has_report, report: &report });
    }
    let mut text = String::new();
    if let Some(file) = file {
        text.push_str(&format!("file             {file} ({} bytes)\n", bundle.len()));
    }
    if let Some(directory) = directory {
        text.push_str(&format!("directory        {directory}\n"));
    }
    text.push_str(&format!("report           {}\n", if has_report { "report.pdf, in the evidence" } else { "(none)" }));
    output::print(&(text + &words(&report)))
}
