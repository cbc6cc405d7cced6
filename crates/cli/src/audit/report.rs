//! `lingqu audit report`: the report of a bundle made anew, by whoever has the bundle.

use std::path::PathBuf;

use lingqu_app::evidence_report;
use lingqu_transparency::EvidenceTrust;

use super::{font, read_bounded, write_whole};
use crate::config::LogFormat;
use crate::failure::Failure;
use crate::{output, telemetry};

/// Make the report of a bundle anew, to read it or to compare it byte for byte with the one in the bundle
#[derive(Debug, clap::Args)]
pub struct ReportArguments {
    /// The evidence
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Font with Chinese characters (.ttf, .otf, .ttc); the same one gives the same bytes [default: the first that is found
    /// where systems keep them]
    #[arg(long, value_name = "FILE")]
    report_font: Option<PathBuf>,
}

/// Writes the report. Error: there is no font.
pub fn run(arguments: &ReportArguments) -> Result<(), Failure> {
    telemetry::start("warn", LogFormat::Text)?;
    let Some(font) = font::find(arguments.report_font.as_deref())? else {
        return Err(Failure::Mend(font::HINT.to_owned()));
    };
    let bundle = read_bounded(&arguments.file)?;
    let pdf = evidence_report(&bundle, &EvidenceTrust::default(), font)?;
    write_whole(&arguments.output, &pdf)?;
    output::print(&format!("{} ({} bytes)\n", arguments.output.display(), pdf.len()))
}
