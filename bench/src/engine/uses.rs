//! How long a person waits for a page of the uses of his data, over 100 million delivered rows.
//!
//! The node, its product of a million vehicles with their number plates as subjects, and its order are made by the commands that
//! people give. The receipts are made up by a seed and written through the node's own receipt log: whole exports in parts,
//! samples of a quarter, batches of a thousand keys and single lookups. What is measured is [`App::uses_of`], proofs included:
//! the first page of a node that was just opened, and pages of other persons after that. The files are in the machine's cache.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use lingqu_app::{App, AppSettings, Serving, row_set_text};
use lingqu_domain::receipt::{Opening, Outcome, ReceiptBody, ReceiptRecord, Totals};
use lingqu_domain::scope::Mode;
use serde::Serialize;

use crate::Failed;
use crate::manifest::Manifest;
use crate::node::{NodeArguments, made, manifest_of};

/// Rows of the product.
const ROWS: u64 = 1_000_000;
/// Rows that one part of a delivery names.
const PART_ROWS: u64 = 131_072;
/// Whole exports, samples of a quarter, batches of a thousand keys, single lookups: together 100 million rows and some.
const EXPORTS: u64 = 60;
const SAMPLES: u64 = 40;
const BATCHES: u64 = 30_000;
const LOOKUPS: u64 = 200_000;
/// What they name at least, whatever the seed.
const DELIVERED_AT_LEAST: u64 = EXPORTS * ROWS + BATCHES * BATCH_KEYS + LOOKUPS + SAMPLES * ROWS / 5;
/// Keys of a batch.
const BATCH_KEYS: u64 = 1_000;
/// Receipts that wait for the disk at a time.
const WAITING: usize = 2_000;
/// Persons who ask, after the first.
const PERSONS: u64 = 50;
/// Uses of a page.
const PAGE: usize = 50;

/// Measure a page of the uses of a person's data
#[derive(Debug, clap::Args)]
pub struct UsesArguments {
    /// Where the node and the result go
    #[arg(long, default_value = "bench/out/uses")]
    out: PathBuf,
    /// Moves what is delivered and who asks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ask the node of the run before, without delivering anew
    #[arg(long)]
    again: bool,
}

#[derive(Debug, Serialize)]
struct Measured {
    delivered_rows: u64,
    records: u64,
    index_bytes: u64,
    index_seconds: f64,
    first_ms: f64,
    middle_ms: f64,
    worst_ms: f64,
    uses_of_first: usize,
}

/// Measures, prints and writes `uses.json`.
pub async fn measure(arguments: &UsesArguments) -> Result<(), Failed> {
    let out = std::path::absolute(&arguments.out)?;
    if !arguments.again {
        // Another run's deliveries would count as well.
        match std::fs::remove_dir_all(&out) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => std::fs::create_dir_all(&out)?,
        }
    }
    let arguments_of_node = NodeArguments::with_subjects(out.join("made"), ROWS, arguments.seed);
    let manifest = if arguments.again { manifest_of(&arguments_of_node)? } else { made(&arguments_of_node).await? };
    let manifest: Manifest = serde_json::from_str(&std::fs::read_to_string(manifest)?)?;
    let settings = || AppSettings::of(manifest.directory.clone());
    let app = App::open(settings()).await?;
    let order = manifest.lookups.first().ok_or("the node has no order for the large product")?;
    let serving = app.serving(&order.key).await?;
    let delivered_rows =
        if arguments.again { DELIVERED_AT_LEAST } else { deliver(&app, &serving, arguments.seed).await? };
    let records = app.receipts().head().await?;
    let begun = Instant::now();
    while app.follow_uses().await? > 0 {}
    let index_seconds = begun.elapsed().as_secs_f64();
    app.publish_log().await?;
    drop(serving);
    app.close().await?;
    drop(app);
    let app = App::open(settings()).await?;
    let mut dice = arguments.seed | 1;
    let (first, uses_of_first) = page(&app, &plate(&mut dice, arguments.seed)).await?;
    let mut times = Vec::new();
    for _ in 0..PERSONS {
        times.push(page(&app, &plate(&mut dice, arguments.seed)).await?.0);
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let measured = Measured {
        delivered_rows,
        records,
        index_bytes: bytes_in(&manifest.directory.join("uses"))?,
        index_seconds,
        first_ms: ms(first),
        middle_ms: ms(times[times.len() / 2]),
        worst_ms: ms(times[times.len() - 1]),
        uses_of_first,
    };
    app.close().await?;
    report(&measured, &out)
}

fn report(measured: &Measured, out: &std::path::Path) -> Result<(), Failed> {
    let text = format!(
        "{} rows delivered in {} receipt records; indexed in {:.0} s, {} MiB\n\
         a page of {} uses with proofs: {:.1} ms in a node that was just opened, then {:.1} ms in the middle, {:.1} ms at worst of {PERSONS} persons\n\
         (goal: below 1,000 ms)\n",
        measured.delivered_rows,
        measured.records,
        measured.index_seconds,
        measured.index_bytes >> 20,
        measured.uses_of_first,
        measured.first_ms,
        measured.middle_ms,
        measured.worst_ms,
    );
    std::io::stdout().lock().write_all(text.as_bytes())?;
    std::fs::write(out.join("uses.json"), serde_json::to_string_pretty(measured)? + "\n")?;
    Ok(())
}

/// Asks for a person's first page; answers how long that took and how many uses are on it.
async fn page(app: &Arc<App>, plate: &str) -> Result<(Duration, usize), Failed> {
    let begun = Instant::now();
    let page = app.uses_of(plate, None, PAGE).await?;
    let taken = begun.elapsed();
    if page.uses.is_empty() || page.proofs.is_empty() {
        return Err("a person has no uses, or they have no proofs".into());
    }
    Ok((taken, page.uses.len()))
}

/// The number plate of a vehicle that the grant covers, as the made-up data has it.
fn plate(dice: &mut u64, seed: u64) -> String {
    let vehicle = roll(dice) % ROWS;
    format!("GX{:010}", (vehicle * 7_919 + seed) % 1_000_000_007)
}

/// Writes the receipts of many deliveries; gives the rows that they name.
async fn deliver(app: &Arc<App>, serving: &Arc<Serving>, seed: u64) -> Result<u64, Failed> {
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let rows_max = serving.rows().ok_or("the product has no rows")?;
    let mut order = Vec::new();
    order.extend((0..EXPORTS).map(|_| Kind::Export));
    order.extend((0..SAMPLES).map(|_| Kind::Sample));
    order.extend((0..BATCHES).map(|_| Kind::Batch));
    order.extend((0..LOOKUPS).map(|_| Kind::Lookup));
    for at in (1..order.len()).rev() {
        order.swap(at, usize::try_from(roll(&mut dice))? % (at + 1));
    }
    let mut delivered = 0;
    let mut waiting: Vec<ReceiptRecord> = Vec::new();
    for (done, kind) in order.iter().enumerate() {
        delivered += kind.records(app, serving, rows_max, &mut dice, &mut waiting)?;
        if waiting.len() >= WAITING || done + 1 == order.len() {
            let writes = waiting.drain(..).map(|record| {
                let (app, order) = (Arc::clone(app), serving.grant.order.clone());
                async move { app.write_receipt(&order, &record).await }
            });
            // Handed in one after another, durable together.
            let mut written = futures::stream::iter(writes).buffered(WAITING);
            while let Some(position) = written.next().await {
                position?;
            }
        }
    }
    Ok(delivered)
}

#[derive(Clone, Copy)]
enum Kind {
    Export,
    Sample,
    Batch,
    Lookup,
}

impl Kind {
    /// The records of one delivery; answers how many rows they name.
    fn records(
        self,
        app: &App,
        serving: &Serving,
        rows_max: u64,
        dice: &mut u64,
        records: &mut Vec<ReceiptRecord>,
    ) -> Result<u64, Failed> {
        let receipt = app.new_receipt_id()?;
        let mut push = |body| records.push(ReceiptRecord { at: app.now(), body, receipt: receipt.clone() });
        if matches!(self, Kind::Batch | Kind::Lookup) {
            let keys = if matches!(self, Kind::Batch) { BATCH_KEYS } else { 1 };
            let rows: Vec<(u64, u64)> = (0..keys).map(|_| roll(dice) % rows_max).map(|row| (row, row)).collect();
            let totals = Totals { rows: keys, answer_rows: keys, calls: keys, ..Totals::default() };
            push(ReceiptBody::Single { opening: opening(serving, Mode::Lookup), row_set: row_set_text(rows), totals });
            return Ok(keys);
        }
        push(ReceiptBody::Opened(opening(serving, Mode::File)));
        let (mut first, mut number, mut named) = (0, 0, 0);
        while first < rows_max {
            let last = (first + PART_ROWS).min(rows_max) - 1;
            let (rows, row_set) = match self {
                Kind::Sample => {
                    let chosen: Vec<(u64, u64)> =
                        (first..=last).filter(|_| roll(dice) & 3 == 0).map(|row| (row, row)).collect();
                    (chosen.len() as u64, row_set_text(chosen))
                }
                _ => (last + 1 - first, row_set_text([(first, last)])),
            };
            push(ReceiptBody::Part { answer_rows: rows, bytes_reserved: 0, number, row_set, rows });
            (first, number, named) = (last + 1, number + 1, named + rows);
        }
        let totals = Totals { rows: named, answer_rows: named, data_sets: 1, ..Totals::default() };
        push(ReceiptBody::Closed { outcome: Outcome::Delivered, totals });
        Ok(named)
    }
}

fn opening(serving: &Serving, mode: Mode) -> Opening {
    let grant = &serving.grant;
    Opening {
        code_id: None,
        consumer: grant.consumer.clone(),
        day: None,
        grant_digest: serving.grant_digest.clone(),
        lineage: None,
        made_from: serving.made_from(),
        marked: Vec::new(),
        masks: std::collections::BTreeMap::new(),
        mode,
        nature: grant.nature,
        node: None,
        order: grant.order.clone(),
        process: None,
        product: grant.product.clone(),
        protocol: "rest".to_owned(),
        purpose: grant.purpose.clone(),
        query_digest: None,
        request_digest: "0".repeat(64),
        rho_spent: None,
        rows_named_by: serving.rows_named_by(),
        rulebook_version: grant.rulebook_version.clone(),
        snapshots: serving.snapshots.clone(),
    }
}

fn bytes_in(folder: &std::path::Path) -> Result<u64, Failed> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// The next of numbers that follow from a seed (xorshift64*).
fn roll(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}
