//! `lingqu ingest`: read a file into a resource's next snapshot, on the node's machine, with progress.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use lingqu_app::{App, IngestionView};
use lingqu_domain::access::Actor;
use lingqu_domain::id::ResourceId;
use lingqu_domain::resource::Snapshot;
use lingqu_domain::scope::ColumnName;
use lingqu_engine::source::{RejectLimit, SourceFormat, SourceOptions, TextEncoding};
use serde::Serialize;

use crate::config::NodeArguments;
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, password, quality, telemetry};

/// Pause between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Read a file into the next snapshot of a resource; one that was interrupted goes on when it is begun again
#[derive(Debug, clap::Args)]
pub struct IngestArguments {
    /// The resource: its id or its table name
    #[arg(value_name = "RESOURCE")]
    resource: String,
    /// The file: .csv, .tsv, .xlsx, .json, .ndjson or .parquet; text files may be compressed as .gz or .zst
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Who brings it in: a handler of the provider
    #[arg(long, value_name = "LOGIN")]
    login: String,
    /// File whose first line is his password, `-` for stdin
    #[arg(long, value_name = "FILE", default_value = "-")]
    password_file: PathBuf,
    /// The format, where the file's name does not tell it
    #[arg(long)]
    format: Option<Format>,
    /// The separator of a CSV or TSV file [default: a comma or a tabulator]
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<char>,
    /// What a CSV or TSV file writes for a missing value, such as NA; may be given several times
    #[arg(long, value_name = "TEXT")]
    null_token: Vec<String>,
    /// The encoding of a text file [default: found out and told]
    #[arg(long)]
    encoding: Option<Encoding>,
    /// The sheet of a workbook [default: the first]
    #[arg(long, value_name = "NAME")]
    sheet: Option<String>,
    /// The row of a sheet that names the columns [default: the first that has a value]
    #[arg(long, value_name = "ROW")]
    header_row: Option<u32>,
    /// Give every cell of a merged area its value
    #[arg(long)]
    fill_merged_cells: bool,
    /// What the file calls a column that is called otherwise in the catalogue; may be given several times
    #[arg(long, value_name = "HEADER=COLUMN", value_parser = header_name)]
    header: Vec<(String, ColumnName)>,
    /// Leave out columns that the catalogue entry does not have
    #[arg(long)]
    ignore_extra_columns: bool,
    /// Rows that may be rejected; without it the first bad row refuses the file
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    rejects_max: u64,
    /// Of a thousand rows at most so many may be rejected
    #[arg(long, value_name = "ROWS", default_value_t = 1_000)]
    rejects_per_mille: u16,
    #[command(flatten)]
    node: NodeArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Csv,
    Tsv,
    Xlsx,
    Json,
    Parquet,
}

/// Encodings of texts, by the names that are asked for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Encoding {
    #[value(name = "utf-8")]
    Utf8,
    #[value(name = "gb18030", alias = "gbk")]
    Gb18030,
    #[value(name = "utf-16le")]
    Utf16Le,
    #[value(name = "utf-16be")]
    Utf16Be,
}

impl From<Encoding> for TextEncoding {
    fn from(encoding: Encoding) -> TextEncoding {
        match encoding {
            Encoding::Utf8 => TextEncoding::Utf8,
            Encoding::Gb18030 => TextEncoding::Gb18030,
            Encoding::Utf16Le => TextEncoding::Utf16Le,
            Encoding::Utf16Be => TextEncoding::Utf16Be,
        }
    }
}

fn header_name(text: &str) -> Result<(String, ColumnName), String> {
    let (header, name) = text.rsplit_once('=').ok_or("write it as HEADER=COLUMN")?;
    Ok((header.to_owned(), ColumnName::new(name).map_err(|error| error.to_string())?))
}

impl IngestArguments {
    fn options(&self) -> SourceOptions {
        SourceOptions {
            format: self.format.map(|format| match format {
                Format::Csv => SourceFormat::Csv,
                Format::Tsv => SourceFormat::Tsv,
                Format::Xlsx => SourceFormat::Xlsx,
                Format::Json => SourceFormat::Json,
                Format::Parquet => SourceFormat::Parquet,
            }),
            delimiter: self.delimiter,
            null_tokens: self.null_token.clone(),
            encoding: self.encoding.map(TextEncoding::from),
            sheet: self.sheet.clone(),
            header_row: self.header_row,
            fill_merged_cells: self.fill_merged_cells,
            header_names: self.header.iter().cloned().collect::<BTreeMap<_, _>>(),
            ignore_extra_columns: self.ignore_extra_columns,
            rejects: RejectLimit { rows_max: self.rejects_max, per_mille_max: self.rejects_per_mille },
            ..SourceOptions::default()
        }
    }
}

/// What is printed.
#[derive(Serialize)]
struct Shown {
    ingestion: String,
    snapshot: String,
    version: u64,
    rows: u64,
    rows_rejected: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejects_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    digest: String,
}

/// Reads the file and waits for its snapshot. Errors: no such resource; who may not; a bad file.
pub async fn run(arguments: IngestArguments) -> Result<(), Failure> {
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    let password = password::read(&arguments.password_file)?;
    let app = node::open(&configuration, Access::Exclusive).await?;
    let resource = quality::find(&app, &arguments.resource)?.id;
    // The snapshot stands in the journal in the name of whoever brought it in, so he says who he is.
    let signed_in = app.sign_in(&arguments.login, &password).await?;
    let actor = Actor::User(signed_in.session.user.clone());
    // Counted only; what an earlier process left open goes on, so that the same file is not refused for it.
    app.sweep_uploads().await?;
    app.resume_ingestions().await?;
    let outcome = import(&app, &actor, &resource, &arguments).await;
    app.sign_out(&signed_in.token).await?;
    let last = newest(&app, &resource).await;
    app.close().await?;
    let last = last?;
    let rejects_file = last.as_ref().filter(|job| job.rows_rejected > 0).and_then(|job| app.rejects_of(&job.id));
    let snapshot = match outcome {
        Ok(snapshot) => snapshot,
        Err(failure) => {
            if let Some(file) = rejects_file {
                output::tell(&format!("what did not fit is told in {}", file.display()));
            }
            return Err(failure);
        }
    };
    show(last, snapshot, rejects_file, arguments.json)
}

fn show(
    last: Option<IngestionView>,
    snapshot: Snapshot,
    rejects_file: Option<PathBuf>,
    is_json: bool,
) -> Result<(), Failure> {
    // The newest job may be another one: the same file is not read again.
    let last = last.filter(|job| job.snapshot.as_ref().is_some_and(|made| made.id == snapshot.id));
    let encoding = last.as_ref().and_then(|job| job.outcome.encoding);
    let shown = Shown {
        ingestion: last.as_ref().map(|job| job.id.to_string()).unwrap_or_default(),
        snapshot: snapshot.id.to_string(),
        version: snapshot.version,
        rows: snapshot.rows,
        rows_rejected: last.map_or(0, |job| job.rows_rejected),
        rejects_file,
        encoding: encoding.map(|found| found.encoding.to_string()),
        digest: snapshot.digest,
    };
    if is_json {
        return output::print_json(&shown);
    }
    let mut text = format!(
        "snapshot  {}, version {}\nrows      {}, rejected {}\ndigest    {}\n",
        shown.snapshot, shown.version, shown.rows, shown.rows_rejected, shown.digest
    );
    if let Some(encoding) = shown.encoding {
        text.push_str(&format!("encoding  {encoding}\n"));
    }
    if let Some(file) = shown.rejects_file {
        text.push_str(&format!("rejects   {}\n", file.display()));
    }
    output::print(&text)
}

/// Imports, and tells every second how far it has come.
async fn import(
    app: &Arc<App>,
    actor: &Actor,
    resource: &ResourceId,
    arguments: &IngestArguments,
) -> Result<Snapshot, Failure> {
    let importing = app.import_snapshot(actor, resource, &arguments.file, arguments.options());
    tokio::pin!(importing);
    loop {
        tokio::select! {
            imported = &mut importing => return Ok(imported?),
            () = tokio::time::sleep(TELL_EVERY) => {
                if let Some(job) = newest(app, resource).await?.filter(|job| job.ended_at.is_none()) {
                    output::tell(&progress_of(&job));
                }
            }
        }
    }
}

fn progress_of(job: &IngestionView) -> String {
    let share = (job.bytes_read * 100).checked_div(job.bytes_total).unwrap_or(0);
    format!("{} {}: {} rows, {share}% of the file, {} rejected", job.id, job.state, job.rows_read, job.rows_rejected)
}

async fn newest(app: &App, resource: &ResourceId) -> Result<Option<IngestionView>, Failure> {
    let jobs = app.ingestions(Some(&BTreeSet::from([resource.clone()])), None, None, 1).await?;
    Ok(jobs.into_iter().next())
}
