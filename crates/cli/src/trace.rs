//! `lingqu trace`: from a fragment that was found somewhere to the order whose copy it comes from, on the node's machine; and
//! the check of such evidence by anybody, offline.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lingqu_app::{
    Accused, App, ExplainedBy, HeldAgainst, ProductTrace, SourceTrace, Trace, TraceCheck, TraceReport, TraceSettings,
    TraceVerdict, TraceWatch, sealed_by_place_alone, trace_report_pdf, verify_trace, verify_trace_with,
};
use lingqu_domain::id::ProductId;
use lingqu_engine::source::{Fragment, FragmentOptions, StopSignal, TextEncoding};
use lingqu_transparency::{EvidenceTrust, NoteVerifier};

use crate::audit::font;
use crate::config::{LogFormat, NodeArguments};
use crate::failure::Failure;
use crate::ingest::Encoding;
use crate::node::{self, Access};
use crate::regulator::write_private;
use crate::signals::Signals;
use crate::{audit, output, telemetry};

/// Most bytes that are taken from a pipe (1 GiB).
const PIPE_BYTES_MAX: u64 = 1 << 30;
/// Longest problem of evidence that is shown to people. Whoever made the evidence chose words of it, so they are shown plain.
const PROBLEM_BYTES_MAX: usize = 2_000;
/// Most rows of a list that are shown to people; the JSON has all.
const SHOWN_MAX: usize = 20;

/// Find out whose copy a leaked file comes from, how sure that is, and by which evidence
#[derive(Debug, clap::Args)]
pub struct TraceArguments {
    /// What leaked: CSV, TSV, XLSX, JSON, NDJSON, Parquet, or a pasted table as text; `-` for stdin. The form is found out
    #[arg(value_name = "FILE", required_unless_present = "verify")]
    file: Option<PathBuf>,
    /// The largest probability that anybody innocent is accused, all tests of this case together
    #[arg(long, value_name = "PROBABILITY", default_value_t = 1e-6)]
    bound: f64,
    /// Compare with this product alone: its id or its table name [default: all that were delivered]
    #[arg(long, value_name = "PRODUCT")]
    product: Option<String>,
    /// The case, or who asked for the trace: stands in the journal's record of it, and so in the evidence
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,
    /// The encoding of a text [default: found out]
    #[arg(long)]
    encoding: Option<Encoding>,
    /// The sheet of a workbook [default: the first]
    #[arg(long, value_name = "NAME")]
    sheet: Option<String>,
    /// The first line is a row and names no columns [default: found out]
    #[arg(long)]
    no_header: bool,
    /// Write the evidence of an accusation here. It discloses the keys of the accused for this case
    #[arg(long, value_name = "EVIDENCE")]
    evidence: Option<PathBuf>,
    /// With `--evidence`, write the annex for the court's expert here; with `--verify`, check by it that the evidence shows what
    /// FILE shows. It holds originals and the key of positions: give it to the expert under seal, and to nobody else
    #[arg(long, value_name = "ANNEX")]
    sealed: Option<PathBuf>,
    /// Write the report in Chinese here, as PDF; with `--verify` that of the evidence, with what the check found
    #[arg(long, value_name = "PDF")]
    report: Option<PathBuf>,
    /// Font with Chinese characters (.ttf, .otf, .ttc) for the report [default: the first that is found where systems keep them]
    #[arg(long, value_name = "FILE", requires = "report")]
    report_font: Option<PathBuf>,
    /// Check evidence of a trace instead, with no node and no network; with FILE also that it is about that file
    #[arg(long, value_name = "EVIDENCE", conflicts_with_all = ["evidence", "product", "case", "dir", "config"])]
    verify: Option<PathBuf>,
    /// A log key from a place that is trusted; may be given several times. Without one, evidence is checked by its own key
    #[arg(long, value_name = "VKEY", requires = "verify")]
    key: Vec<String>,
    #[command(flatten)]
    node: NodeArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Traces, or checks evidence. Errors: the file can't be read; it was stopped; the evidence does not verify.
pub async fn run(arguments: TraceArguments) -> Result<(), Failure> {
    match &arguments.verify {
        Some(evidence) => verify(evidence, &arguments),
        None => trace(&arguments).await,
    }
}

async fn trace(arguments: &TraceArguments) -> Result<(), Failure> {
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    // Asked before the work, since each trace of a file leaves less of its bound.
    writable(arguments)?;
    let fragment = fragment_of(arguments, false)?;
    output::tell(&format!(
        "{} rows and {} columns read{}",
        fragment.rows_read,
        fragment.column_names().len(),
        if fragment.rows_read > fragment.row_count() as u64 {
            format!(", of which a sample of {} is traced", fragment.row_count())
        } else {
            String::new()
        }
    ));
    // Asked before the work, which may take minutes.
    let named = arguments.report_font.as_deref().or(configuration.report_font.as_deref());
    let font = arguments.report.is_some().then(|| font_of(named)).transpose()?;
    let app = node::open(&configuration, Access::Reading).await?;
    let outcome = traced(&app, fragment, arguments).await;
    let closed = app.close().await;
    // What was found is shown whatever becomes of the files: to find it again costs a part of the bound.
    let (report, evidence) = outcome?;
    let drawn = match (&arguments.report, font) {
        (Some(path), Some(font)) => draw(&report, font, path),
        _ => Ok(()),
    };
    let shown = if arguments.json { output::print_json(&report) } else { output::print(&words(&report)) };
    shown.and(evidence).and(drawn)?;
    closed?;
    Ok(())
}

/// Writes the report as PDF.
fn draw(report: &TraceReport, font: Vec<u8>, path: &Path) -> Result<(), Failure> {
    audit::write_whole(path, &trace_report_pdf(report, None, font)?)
}

/// A font with Chinese characters. Error: there is none.
fn font_of(named: Option<&Path>) -> Result<Vec<u8>, Failure> {
    font::find(named)?.ok_or_else(|| Failure::Mend(font::HINT.to_owned()))
}

/// Asks whether what was asked for can be written. Error: it can't; an annex lies there already, or would be without its evidence.
fn writable(arguments: &TraceArguments) -> Result<(), Failure> {
    if arguments.sealed.is_some() && arguments.evidence.is_none() {
        return Err(Failure::Mend("`--sealed` writes the annex of evidence; give `--evidence` too".to_owned()));
    }
    if let Some(sealed) = arguments.sealed.as_ref().filter(|sealed| sealed.symlink_metadata().is_ok()) {
        return Err(Failure::Mend(format!(
            "{} is there already and is not overwritten; name another file for the annex",
            sealed.display()
        )));
    }
    let paths: Vec<&PathBuf> =
        [&arguments.evidence, &arguments.sealed, &arguments.report].into_iter().flatten().collect();
    for (place, path) in paths.iter().enumerate() {
        if paths[..place].contains(path) {
            return Err(Failure::Mend(format!(
                "{} is named twice, and one would be written over the other; name a file for each",
                path.display()
            )));
        }
        if path.is_dir() {
            return Err(Failure::Mend(format!("{} is a folder; name a file within it", path.display())));
        }
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        tempfile::tempfile_in(folder).map_err(|error| Failure::file("write", path, error))?;
    }
    Ok(())
}

/// The report, and whether the evidence that was asked for is written.
async fn traced(
    app: &Arc<App>,
    fragment: Fragment,
    arguments: &TraceArguments,
) -> Result<(TraceReport, Result<(), Failure>), Failure> {
    let mut settings = TraceSettings {
        bound: arguments.bound,
        case: arguments.case.clone(),
        keeps_originals: arguments.sealed.is_some(),
        ..TraceSettings::default()
    };
    if let Some(name) = &arguments.product {
        settings.product = Some(product_of(app, name)?);
    }
    let stop = Arc::new(StopSignal::default());
    let watch = TraceWatch::new(output::tell, Arc::clone(&stop));
    let mut signals = Signals::catch()?;
    let tracing = app.trace(fragment, &settings, &watch);
    tokio::pin!(tracing);
    // A stop is obeyed between two batches, so that nothing is left half done.
    let trace = tokio::select! {
        trace = &mut tracing => trace?,
        _ = signals.received() => {
            stop.give();
            tracing.await?
        }
    };
    output::tell(&format!("recorded in the journal as {}", trace.recorded));
    let mut report = trace.report.clone();
    if arguments.evidence.is_some() && report.verdict != TraceVerdict::Accused {
        output::tell("nobody is accused, so no evidence is written and no key is disclosed");
    }
    let mut written = Ok(());
    if let Some(path) = &arguments.evidence
        && report.verdict == TraceVerdict::Accused
    {
        written = write_evidence(app, &trace, path, arguments.sealed.as_deref()).await;
        if written.is_ok() {
            report.evidence = Some(path.display().to_string());
        }
    }
    Ok((report, written))
}

/// Writes the evidence of a trace, and the annex where that is asked for.
async fn write_evidence(app: &Arc<App>, trace: &Trace, path: &Path, sealed: Option<&Path>) -> Result<(), Failure> {
    output::tell("gathering commitments, receipts and proofs");
    let bundle = app.export_trace(trace).await?;
    // What is handed out has been verified as its reader will do it.
    if let Some((item, problem)) = verify_trace(&bundle, &EvidenceTrust::default()).problem() {
        return Err(Failure::Outcome(format!(
            "the evidence does not verify ({item}: {problem}) and was not written; run `lingqu doctor` and `lingqu replay --check`"
        )));
    }
    if let (Some(sealed), Some(annex)) = (sealed, trace.sealed()?) {
        let annex = String::from_utf8(annex).map_err(|error| Failure::Outcome(error.to_string()))?;
        write_private(sealed, &annex)?;
        output::tell(&format!(
            "{} holds originals and the key of positions: give it to the court's expert under seal, and to nobody else",
            sealed.display()
        ));
    }
    audit::write_whole(path, &bundle)?;
    output::tell(
        "the keys of the accused are disclosed by it; let the auditor end them: the command renew_mark_keys of the order, in the console or by POST /api/v1/commands",
    );
    Ok(())
}

fn product_of(app: &App, name: &str) -> Result<ProductId, Failure> {
    let id = name.parse::<ProductId>().ok();
    let found = app.read(|state| {
        let mut products = state.products.values().map(|entity| &entity.value);
        products
            .find(|product| Some(&product.id) == id.as_ref() || product.details.table.as_str() == name)
            .map(|p| p.id.clone())
    });
    found.ok_or_else(|| {
        Failure::Mend(format!(
            "there is no product `{name}`; give its id (prd_…) or its table name, as the console shows them"
        ))
    })
}

fn fragment_of(arguments: &TraceArguments, by_place_alone: bool) -> Result<Fragment, Failure> {
    let options = FragmentOptions {
        encoding: arguments.encoding.map(TextEncoding::from),
        sheet: arguments.sheet.clone(),
        has_header: arguments.no_header.then_some(false),
        by_place_alone,
    };
    let path = arguments.file.clone().unwrap_or_default();
    let read = |path: &Path| Fragment::read(path, &options).map_err(|error| Failure::Mend(error.to_string()));
    if path != Path::new("-") {
        return read(&path);
    }
    // Read twice, to find out the form, so it lies in a file of its own for the while; nobody else may read that.
    let mut file =
        tempfile::NamedTempFile::new().map_err(|error| Failure::file("make", &std::env::temp_dir(), error))?;
    let count = std::io::copy(&mut std::io::stdin().lock().take(PIPE_BYTES_MAX + 1), &mut file);
    let count = count.map_err(|error| Failure::file("write", file.path(), error))?;
    if count > PIPE_BYTES_MAX {
        return Err(Failure::Mend(format!("stdin has more than {PIPE_BYTES_MAX} bytes; give the file by its name")));
    }
    read(file.path())
}

fn verify(evidence: &Path, arguments: &TraceArguments) -> Result<(), Failure> {
    telemetry::start("warn", LogFormat::Text)?;
    let key = |text: &String| {
        text.parse::<NoteVerifier>().map_err(|error| {
            Failure::Mend(format!("`{text}` is no log key ({error}); it looks like lingqu.node/nod_…+0123abcd+A…, as `lingqu doctor` of the node prints it"))
        })
    };
    let keys = arguments.key.iter().map(key).collect::<Result<Vec<NoteVerifier>, Failure>>()?;
    let bundle = audit::read_bounded(evidence)?;
    let trust = EvidenceTrust { keys, policy: None };
    let mut check = match &arguments.sealed {
        None => verify_trace(&bundle, &trust),
        Some(sealed) => {
            if arguments.file.is_none() {
                return Err(Failure::Mend("`--sealed` looks at the file that was traced; give it too".to_owned()));
            }
            let annex = audit::read_bounded(sealed)?;
            let fragment = fragment_of(arguments, sealed_by_place_alone(&annex))?;
            verify_trace_with(&bundle, &trust, Some((&annex, &fragment)))
        }
    };
    if let Some(file) = &arguments.file {
        let digest = Fragment::digest_of(file).map_err(|error| Failure::Mend(error.to_string()))?;
        if check.fragment_digest.as_ref() != Some(&digest) {
            let problem = format!("{} is another file than the evidence is about", file.display());
            check.findings.push(("fragment".to_owned(), problem));
            check.verified = false;
        }
    }
    if let Some(path) = &arguments.report {
        let report = check.report.as_ref();
        let report =
            report.ok_or_else(|| Failure::Outcome("the evidence holds no report that can be read".to_owned()))?;
        let font = font_of(arguments.report_font.as_deref())?;
        audit::write_whole(path, &trace_report_pdf(report, Some(&check), font)?)?;
    }
    if arguments.json {
        output::print_json(&check)?;
    } else {
        output::print(&check_words(&check))?;
    }
    match check.problem() {
        None => Ok(()),
        Some((item, problem)) => Err(Failure::Outcome(format!(
            "{} does not verify: {}; ask for the evidence again where it came from",
            evidence.display(),
            output::plain(&format!("{item}: {problem}"), PROBLEM_BYTES_MAX)
        ))),
    }
}

/// How many of something there are, in words.
fn counted(count: u64, name: &str) -> String {
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}

/// A place in an order, in words.
fn ordinal(number: u64) -> String {
    let ending = match (number % 10, number % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// Lines of a name and a value.
fn line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    text.push_str(&format!("{name:<17}{value}\n"));
}

fn words(report: &TraceReport) -> String {
    let mut text = String::new();
    let verdict = match report.verdict {
        TraceVerdict::Accused => "accused 指认",
        TraceVerdict::Undecided => "undecided 无法指认",
        TraceVerdict::Foreign => "foreign 非本节点数据",
    };
    line(&mut text, "verdict", verdict);
    line(&mut text, "", &report.reason);
    line(&mut text, "", &report.reason_en);
    line(&mut text, "bound", report.bound);
    if let Some(tries) = &report.tries {
        let (number, share) = (ordinal(tries.before + 1), tries.share);
        line(&mut text, "", format!("the {number} trace of this file, which uses {share:.4} of the bound"));
        if tries.of_same_versions > 0 {
            let others = counted(tries.of_same_versions, "trace");
            let told = format!("{others} of other files in {} days were compared with the same versions", tries.days);
            line(&mut text, "", told);
        }
    }
    line(&mut text, "tested", format!("{} codes of recipients ({})", report.tested, report.decoder_version));
    line(&mut text, "fragment", format!("SHA-256 {}", report.fragment.digest));
    line(
        &mut text,
        "",
        format!(
            "{} rows read, {} traced, {} lines left out, {} columns",
            report.fragment.rows_read,
            report.fragment.rows_traced,
            report.fragment.lines_left_out,
            report.fragment.columns
        ),
    );
    line(&mut text, "compared with", format!("{} of products", counted(report.versions_tried as u64, "version")));
    if report.versions_gone > 0 {
        line(&mut text, "", format!("{} versions were delivered and are not here any more", report.versions_gone));
    }
    if report.versions_not_tried > 0 {
        line(&mut text, "", format!("{} older versions were not compared; name a product", report.versions_not_tried));
    }
    if report.snapshots_tried > 0 {
        line(&mut text, "", format!("{} of resources", counted(report.snapshots_tried as u64, "snapshot")));
    }
    if report.snapshots_not_tried > 0 {
        line(&mut text, "", format!("{} older or missing snapshots were not compared", report.snapshots_not_tried));
    }
    if report.deliveries_not_comparable > 0 {
        line(
            &mut text,
            "",
            format!(
                "{} deliveries could not be compared (live data, or an older receipt)",
                report.deliveries_not_comparable
            ),
        );
    }
    for accused in &report.accused {
        text.push_str(&accused_words(accused));
    }
    for product in &report.products {
        text.push_str(&product_words(product));
    }
    for source in &report.sources {
        text.push_str(&source_words(source));
    }
    text.push_str("\nwhat voids this 前提\n");
    for assumption in &report.assumptions {
        text.push_str(&format!("  {}\n  {}\n", assumption.text, assumption.text_en));
    }
    if let Some(evidence) = &report.evidence {
        text.push('\n');
        line(&mut text, "evidence", evidence);
    }
    text
}

/// A number that may be too small to be written.
fn probability(log: f64) -> String {
    if log > -700.0 { format!("{:.2e}", log.exp()) } else { format!("10^{:.0}", log / std::f64::consts::LN_10) }
}

fn accused_words(accused: &Accused) -> String {
    let mut text = "\naccused 被指认的接收方副本\n".to_owned();
    line(&mut text, "  consumer", format!("{} {}", accused.consumer, accused.name));
    line(&mut text, "  product", &accused.product);
    if accused.code_epoch > 0 {
        line(&mut text, "  code", format!("of epoch {} (renewed keys)", accused.code_epoch));
    }
    line(
        &mut text,
        "  p at most",
        format!("{} ({}, pass {})", probability(accused.log_p_value), accused.decoder, accused.pass),
    );
    for order in &accused.orders {
        let told = match order.log_p_value {
            Some(log) => format!("told apart, p at most {}", probability(log)),
            None => "not told apart from the consumer's others".to_owned(),
        };
        let permits: Vec<String> = order.permits.iter().map(ToString::to_string).collect();
        line(&mut text, "  order", format!("{} ({told}); permit {}", order.order, permits.join(", ")));
    }
    for (channel, support) in &accused.channels {
        let columns =
            if support.columns.is_empty() { String::new() } else { format!(" ({})", support.columns.join(", ")) };
        let told = format!("{channel}{columns}: {} positions, score {:+.1}", support.positions, support.score);
        line(&mut text, "  channel", told);
    }
    line(&mut text, "  receipts", format!("name {} rows of it as delivered to this consumer", accused.rows_delivered));
    for delivery in accused.deliveries.iter().take(SHOWN_MAX) {
        line(
            &mut text,
            "  delivery",
            format!(
                "{} at {} under {}, {} by {}: {} rows of it",
                delivery.receipt, delivery.at, delivery.order, delivery.mode, delivery.protocol, delivery.rows
            ),
        );
    }
    let more = accused.deliveries.len().saturating_sub(SHOWN_MAX) as u64 + accused.deliveries_more;
    if more > 0 {
        line(&mut text, "", format!("and {more} more; the JSON lists them"));
    }
    let holders: Vec<String> = accused.keys_held_by.iter().map(ToString::to_string).collect();
    line(&mut text, "  key halves", format!("this node, and {}", holders.join(", ")));
    text
}

fn source_words(source: &SourceTrace) -> String {
    let mut text = format!("\nsource 原始数据 {} {} ({})\n", source.resource, source.name, source.table);
    let told = if source.confirmed { "confirmed by columns that had no part in finding them" } else { "not confirmed" };
    line(&mut text, "  rows", format!("{} of {} of {}, {told}", source.rows, source.originals, source.snapshot));
    let columns: Vec<String> =
        source.columns.iter().map(|column| format!("{}={}", column.place, column.original)).collect();
    line(&mut text, "  columns", columns.join(" "));
    let alone: Vec<String> = source.columns_alone.iter().map(ToString::to_string).collect();
    line(&mut text, "", format!("{} in no product", alone.join(" ")));
    if !source.never_delivered.is_empty() {
        line(&mut text, "  no order had", source.never_delivered.join(" "));
    }
    if !source.marked.is_empty() {
        let products: Vec<String> = source.marked.iter().map(ToString::to_string).collect();
        line(
            &mut text,
            "  marks of",
            format!("{} may be in it: a copy may have been joined to it", products.join(" ")),
        );
    }
    line(&mut text, "  held by", format!("{} {}, and this node", source.provider, source.provider_name));
    for order in source.orders.iter().take(SHOWN_MAX) {
        let columns = order.columns.join(" ");
        line(
            &mut text,
            "  made of it",
            format!("{} of {} under {}: {columns}", order.product, order.consumer, order.order),
        );
    }
    let more = source.orders.len().saturating_sub(SHOWN_MAX) as u64 + source.orders_more;
    if more > 0 {
        line(&mut text, "", format!("and {more} more orders; the JSON lists them"));
    }
    text
}

fn product_words(product: &ProductTrace) -> String {
    let mut text = format!("\nproduct {} {} ({})\n", product.product, product.name, product.table);
    for version in &product.versions {
        let told =
            if version.confirmed { "confirmed by columns that had no part in finding them" } else { "not confirmed" };
        line(
            &mut text,
            "  rows",
            format!("{} of {} of {}, {told}", version.rows, version.originals, version.snapshots.join(", ")),
        );
        let columns: Vec<String> =
            version.columns.iter().map(|column| format!("{}={}", column.place, column.original)).collect();
        line(&mut text, "  columns", columns.join(" "));
        for deed in &version.deeds {
            line(&mut text, "", deed);
        }
    }
    if let Some(marks) = &product.marks {
        let needed = match marks.needed {
            Some(times) => format!(", {times:.2} times as much is needed for a power of 0.99"),
            None => String::new(),
        };
        line(
            &mut text,
            "  marks",
            format!(
                "{} positions of recipients, {} of orders; {} of {} recipients tested; power {:.3}{needed}",
                marks.positions, marks.order_positions, marks.tested, marks.registered, marks.power
            ),
        );
    }
    let receipts = &product.receipts;
    line(
        &mut text,
        "  receipts",
        format!(
            "{} of its {} rows were delivered, to {}",
            receipts.rows - receipts.rows_nobody_had.min(receipts.rows),
            receipts.rows,
            counted(receipts.orders.len() as u64 + receipts.orders_more, "order")
        ),
    );
    if receipts.versions_more > 0 {
        line(&mut text, "", format!("{} further versions have rows of it and are not counted", receipts.versions_more));
    }
    let how = match receipts.explained_by {
        ExplainedBy::Nothing => "nobody had any",
        ExplainedBy::Single => "each of these alone had all of them",
        ExplainedBy::Pair => "none alone had all of them; each of these pairs did",
        ExplainedBy::Greedy => "no two had all of them; these did together (not always the fewest)",
    };
    line(&mut text, "", format!("{how}. This says who had the rows and accuses nobody 仅说明谁曾取得，不构成指认"));
    if !receipts.never_in_clear.is_empty() {
        let columns = receipts.never_in_clear.join(", ");
        line(
            &mut text,
            "",
            format!(
                "{columns}: in clear here, and shown to orders as pseudonyms alone; the file may be from before the masks, such as the provider's own 各订单仅以假名取得该列，片段可能出自提供方自身"
            ),
        );
    }
    for set in receipts.explanations.iter().take(SHOWN_MAX) {
        let orders: Vec<String> = set.orders.iter().map(ToString::to_string).collect();
        let missed = if set.rows_missed > 0 { format!(" ({} rows missing)", set.rows_missed) } else { String::new() };
        line(&mut text, "", format!("{}{missed}", orders.join(" + ")));
    }
    if receipts.explanations.len() > SHOWN_MAX {
        line(&mut text, "", format!("and {} more; the JSON lists them", receipts.explanations.len() - SHOWN_MAX));
    }
    text
}

fn check_words(check: &TraceCheck) -> String {
    let none = || "(none)".to_owned();
    let plain = |words: &str| output::plain(words, PROBLEM_BYTES_MAX);
    let mut text = String::new();
    let verified = match (check.findings.is_empty(), check.held) {
        (true, HeldAgainst::Report) => "yes",
        (true, HeldAgainst::Totals) => "without a record of this report",
        (true, HeldAgainst::Nothing) => "without a record",
        (false, _) => "NO",
    };
    line(&mut text, "verified", verified);
    line(&mut text, "node", check.node.as_deref().map_or_else(none, plain));
    line(
        &mut text,
        "key",
        if check.key_is_trusted { "the one you gave" } else { "the file's own; give --key to prove who wrote it" },
    );
    line(&mut text, "log size", check.log_size);
    line(&mut text, "witnesses", check.witnesses);
    line(&mut text, "fragment", format!("SHA-256 {}", check.fragment_digest.as_deref().map_or_else(none, plain)));
    if let Some(bound) = check.bound {
        line(&mut text, "bound", bound);
    }
    if let Some(tries) = &check.tries {
        let before = counted(tries.before, "trace");
        line(&mut text, "same file", format!("{before} before this one, which left {:.4} of the bound", tries.share));
    }
    let recorded = match (&check.recorded, check.held) {
        (None, _) => "(no record of the trace is in the bundle, or it says otherwise)".to_owned(),
        (Some(record), HeldAgainst::Report) => format!("{record}, which commits to this report and to what was tested"),
        (Some(record), _) => format!("{record}, with the same totals; it commits to no report that is handed out"),
    };
    line(&mut text, "in the journal", recorded);
    if let Some(position) = check.journal_position {
        let between = match check.records_between {
            Some(0) => "the last one before that of the trace: none is left out by the choice of it".to_owned(),
            Some(count) => {
                format!("as the accuser states; {} between it and that of the trace", counted(count, "record"))
            }
            None => "as the accuser states".to_owned(),
        };
        line(
            &mut text,
            "codes",
            format!("those that were committed to by record {position} of the journal, {between}"),
        );
    }
    let observed = match &check.observed {
        Some(found) => format!(
            "{} of the file's {} rows stand beside originals; what they show at {} positions is what the evidence says",
            found.rows, found.rows_traced, found.positions
        ),
        None => "(not looked at again: that takes the sealed annex and the file)".to_owned(),
    };
    line(&mut text, "observations", observed);
    for accused in &check.accused {
        let mut of = accused.order.as_ref().map_or_else(|| "recipient".to_owned(), ToString::to_string);
        if accused.code_epoch > 0 {
            of.push_str(&format!(", epoch {}", accused.code_epoch));
        }
        let seen = match &accused.seen {
            Some(seen) => {
                let whose = if seen.key_is_trusted { "by the key you gave" } else { "by a key of the file" };
                let name = seen.key.split_once('+').map_or(seen.key.as_str(), |(name, _)| name);
                format!("seen there by {} at {} ({whose})", plain(name), seen.at)
            }
            None => "which no witness in the file saw at the time".to_owned(),
        };
        line(
            &mut text,
            "accused",
            format!(
                "{} ({of}) of {}: p at most {} (of {} registered, as the accuser states), key committed to in entry {} at {}, {seen}, other half held by {}",
                accused.consumer,
                accused.product,
                probability(accused.log_p_value),
                accused.registered,
                accused.log_entry,
                plain(&accused.committed_at),
                accused.holder
            ),
        );
    }
    if !check.findings.is_empty() {
        let rows: Vec<Vec<String>> =
            check.findings.iter().map(|(item, problem)| [item, problem].map(|words| plain(words)).to_vec()).collect();
        text.push('\n');
        text.push_str(&output::table(&["where", "what is wrong"], &rows));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        trace: TraceArguments,
    }

    /// Each trace of a file leaves less of its bound, so none is spent on an answer that can't be written.
    #[test]
    fn what_cannot_be_written_is_told_before_the_work() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let (evidence, annex, nowhere) = (path("case.evidence"), path("case.annex"), path("nowhere/case.evidence"));
        let asked = |words: &[&str]| {
            let line = Line::try_parse_from(["trace", "found.csv"].iter().chain(words)).unwrap();
            writable(&line.trace).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(asked(&["--evidence", &evidence, "--sealed", &annex]), Ok(()));
        assert!(asked(&["--evidence", &nowhere]).is_err());
        assert!(asked(&["--report", &path("")]).is_err());
        assert!(asked(&["--sealed", &annex]).unwrap_err().contains("--evidence"));
        assert!(asked(&["--evidence", &evidence, "--report", &evidence]).unwrap_err().contains("twice"));
        std::fs::write(&annex, "another case").unwrap();
        assert!(asked(&["--evidence", &evidence, "--sealed", &annex]).unwrap_err().contains("not overwritten"));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left behind");
    }
}
