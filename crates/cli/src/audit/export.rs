//! `lingqu audit export`: a node writes the evidence of an order, as one file, as plain files, or as both.

use std::path::{Path, PathBuf};

use lingqu_app::{AppError, EvidenceOptions, EvidenceParts, EvidenceReport, PART_RECEIPTS, verify_evidence};
use lingqu_domain::id::OrderId;
use lingqu_transparency::EvidenceTrust;
use serde::Serialize;

use super::{FILE_BYTES_MAX, files, font, words, write_whole};
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
    /// Most receipts of one file. With more of them the evidence is written in parts, `NAME.part-1-of-N`, which are verified
    /// together
    #[arg(long, value_name = "COUNT", default_value_t = PART_RECEIPTS, value_parser = receipts_max)]
    part_receipts: usize,
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
    bytes: u64,
    /// The parts, where it is more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
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
    let mut written = Written::new(&arguments);
    let exported = app
        .evidence_in_parts(&order, &options, arguments.part_receipts, &mut |number, of, bundle| {
            written.put(number, of, &bundle).map_err(|failure| AppError::Invalid(failure.to_string()))
        })
        .await;
    app.close().await?;
    let report = match exported {
        Ok(_) => written.checked(),
        Err(error) => Err(error.into()),
    };
    let report = match report {
        Ok(report) => report,
        Err(failure) => {
            written.remove();
            return Err(failure);
        }
    };
    let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let is_one = written.of == 1;
    let file = shown(&arguments.output).filter(|_| is_one);
    let directory = shown(&arguments.directory);
    let files: Vec<String> = written.files.iter().map(|file| file.display().to_string()).collect();
    let files = if is_one { Vec::new() } else { files };
    if arguments.json {
        let exported = Exported { file, directory, bytes: written.bytes, files, has_report, report: &report };
        return output::print_json(&exported);
    }
    let mut text = String::new();
    if let Some(file) = file {
        text.push_str(&format!("file             {file} ({} bytes)\n", written.bytes));
    }
    for file in files {
        text.push_str(&format!("part             {file}\n"));
    }
    if let Some(directory) = directory {
        text.push_str(&format!("directory        {directory}\n"));
    }
    text.push_str(&format!("report           {}\n", if has_report { "report.pdf, in the evidence" } else { "(none)" }));
    output::print(&(text + &words(&report)))
}

/// Reads a count of receipts.
fn receipts_max(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=PART_RECEIPTS).contains(&count) => Ok(count),
        _ => Err(format!("a part has 1 to {PART_RECEIPTS} receipts")),
    }
}

/// What was written so far, one bundle after the other, and what its reader will find.
struct Written<'a> {
    arguments: &'a ExportArguments,
    of: usize,
    bytes: u64,
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    parts: EvidenceParts,
    whole: Option<EvidenceReport>,
}

impl Written<'_> {
    fn new(arguments: &ExportArguments) -> Written<'_> {
        let (files, folders, parts) = (Vec::new(), Vec::new(), EvidenceParts::default());
        Written { arguments, of: 0, bytes: 0, files, folders, parts, whole: None }
    }

    /// Writes a bundle. What is handed out is verified as its reader will do it.
    fn put(&mut self, number: usize, of: usize, bundle: &[u8]) -> Result<(), Failure> {
        if bundle.len() as u64 > FILE_BYTES_MAX {
            return Err(Failure::Mend(format!(
                "part {number} of {of} would have {} bytes, more than is read of evidence; ask for fewer receipts in each part \
                 (`--part-receipts`)",
                bundle.len()
            )));
        }
        self.of = of;
        self.bytes += bundle.len() as u64;
        if of == 1 {
            let report = verify_evidence(bundle, None);
            must_hold(&report)?;
            self.whole = Some(report);
        } else {
            self.parts.add(bundle, &EvidenceTrust::default());
            output::tell(&format!("part {number} of {of}"));
        }
        if let Some(file) = &self.arguments.output {
            let file = if of == 1 { file.clone() } else { part_of(file, number, of) };
            write_whole(&file, bundle)?;
            self.files.push(file);
        }
        if let Some(directory) = &self.arguments.directory {
            let folder = if of == 1 { directory.clone() } else { directory.join(format!("part-{number}-of-{of}")) };
            if of > 1 {
                std::fs::create_dir_all(directory).map_err(|error| Failure::file("make", directory, error))?;
            }
            files::unpack(bundle, &folder)?;
            self.folders.push(folder);
        }
        Ok(())
    }

    /// What all that was written comes to. Error: it does not verify.
    fn checked(&mut self) -> Result<EvidenceReport, Failure> {
        let report = match self.whole.take() {
            Some(report) => Some(report),
            None => std::mem::take(&mut self.parts).finish(),
        };
        let report = report.ok_or_else(|| Failure::Outcome("no evidence was made; run `lingqu doctor`".to_owned()))?;
        must_hold(&report)?;
        Ok(report)
    }

    /// Removes what was written, as it is not whole. What can't be removed stays and does not verify.
    fn remove(&self) {
        for file in &self.files {
            drop(std::fs::remove_file(file));
        }
        for folder in &self.folders {
            drop(std::fs::remove_dir_all(folder));
        }
    }
}

fn must_hold(report: &EvidenceReport) -> Result<(), Failure> {
    match report.findings.first() {
        None => Ok(()),
        Some((item, problem)) => Err(Failure::Outcome(format!(
            "the evidence does not verify ({item}: {problem}) and was not written; run `lingqu doctor` and `lingqu replay --check`"
        ))),
    }
}

/// The name of a part: before the last ending of the whole's name.
fn part_of(file: &Path, number: usize, of: usize) -> PathBuf {
    let (stem, ending) = (file.file_stem().unwrap_or_default(), file.extension());
    let mut name = stem.to_os_string();
    name.push(format!(".part-{number}-of-{of}"));
    if let Some(ending) = ending {
        name.push(".");
        name.push(ending);
    }
    file.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_keeps_the_ending_of_the_whole() {
        assert_eq!(part_of(Path::new("a/order.evidence"), 2, 3), Path::new("a/order.part-2-of-3.evidence"));
        assert_eq!(part_of(Path::new("order"), 1, 2), Path::new("order.part-1-of-2"));
        assert!(receipts_max("0").is_err() && receipts_max("20001").is_err() && receipts_max("7") == Ok(7));
    }
}
