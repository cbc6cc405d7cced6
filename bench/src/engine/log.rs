//! What the transparency log costs, with both suites: receipts that are durable in a second while the log is published, beside plain
//! writes of as many bytes in groups of the same size, each synced; a proof in a log of 10^8 entries and its verification; what an entry costs in logs
//! of 10^5 to 10^8 entries; how long an auditor takes for ten million, from the disk and over HTTP.
//!
//! The logs in which proofs are made and an entry's cost is measured are made up: all their entries are alike, so each tile follows
//! from its place, and only the tiles that are asked for are written. Trees and proofs have the shape of real ones. The ten million
//! entries that are audited are there, each another, in bundles on the disk, with their tiles of hashes and a signed checkpoint.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lingqu_crypto::{DigestPair, SealKey, SigningKey, Suite};
use lingqu_store::log::{LogFiles, LogKeys, LogPublisher, check_log};
use lingqu_store::receipt::{NewReceipt, ReceiptLog};
use lingqu_store::{Store, StoreConfig};
use lingqu_transparency::{
    Hash, LogEntry, NoteSigner, RecordKind, TILE_WIDTH, TileKind, TilePath, TiledTree, TreeHasher, TwinAudit, TwinLog,
    decode_bundle, encode_bundle, twin_origin,
};
use rustix::fs::{Advice, fadvise};
use serde::Serialize;

use crate::{Failed, watched};

/// The name of the measured log.
const ORIGIN: &str = "lingqu.example/bench";
/// Receipts that wait for the disk at a time.
const WAITING: usize = 2_000;
/// Bytes of a receipt: about what a verification leaves.
const RECEIPT_BYTES: usize = 600;
/// How often the log is published, as a serving node does.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);
/// Sizes at which an entry's cost is measured.
const SIZES: [u64; 4] = [100_000, 1_000_000, 10_000_000, 100_000_000];
/// Entries that are appended at each, in groups of a bundle.
const APPENDED: u64 = 1 << 16;
/// Proofs that are made.
const PROOFS: u64 = 200;
/// Receipts for which the time of a check is told by its rate.
const RECEIPTS_OF_LONG_LOG: f64 = 1e7;

/// Measure the transparency log with both suites
#[derive(Debug, clap::Args)]
pub struct LogArguments {
    /// Where the store, the log and the result go; it is emptied first
    #[arg(long, default_value = "bench/out/log")]
    out: PathBuf,
    /// For how many seconds receipts are appended, and plain writes are made
    #[arg(long, default_value_t = 10)]
    span: u64,
    /// How often what can be repeated is repeated; the best counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Entries that are audited, in whole bundles
    #[arg(long, default_value_t = 10_000_000)]
    audited: u64,
}

#[derive(Debug, Serialize)]
struct Cost {
    entries: u64,
    ns_per_entry: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    appends_per_second: f64,
    plain_per_second: f64,
    ratio: f64,
    appended: u64,
    /// Receipts that were made durable at a time, and bytes for each, on average.
    group_receipts: f64,
    receipt_bytes: f64,
    published_entries: u64,
    check_ms: f64,
    proof_ms_worst: f64,
    proof_ms_middle: f64,
    verify_ms_worst: f64,
    costs: Vec<Cost>,
    cost_ratio: f64,
    audited_entries: u64,
    audited_bytes: u64,
    audit_seconds: f64,
    watched_files: u64,
    watch_seconds: f64,
}

/// Measures, prints and writes `log.json`.
pub async fn measure(arguments: &LogArguments) -> Result<(), Failed> {
    if arguments.out.exists() {
        fs::remove_dir_all(&arguments.out)?;
    }
    fs::create_dir_all(&arguments.out)?;
    let span = Duration::from_secs(arguments.span.clamp(1, 600));
    let runs = arguments.runs.clamp(1, 50);
    let appends = appends(&arguments.out.join("node"), span).await?;
    let plain_per_second = plain(&arguments.out.join("plain"), span, &appends)?;
    let (proof_ms_worst, proof_ms_middle, verify_ms_worst) = proofs(&arguments.out.join("tiles"))?;
    let mut costs = Vec::new();
    for size in SIZES {
        costs.push(Cost { entries: size, ns_per_entry: cost_at(size, runs)? });
    }
    let least = costs.iter().map(|cost| cost.ns_per_entry).fold(f64::MAX, f64::min);
    let last = costs.last().map_or(f64::MAX, |cost| cost.ns_per_entry);
    let first = costs.first().map_or(least, |cost| cost.ns_per_entry);
    let directory = arguments.out.join("audited");
    let audited = audit(&directory, arguments.audited.clamp(1, 100_000_000).div_ceil(TILE_WIDTH))?;
    let followed = watched::follow(&directory, keys()?.international.verifier(), arguments.out.join("watched")).await?;
    if followed.entries != audited.entries {
        return Err("the watch read another number of entries than there are".into());
    }
    let measured = Measured {
        appends_per_second: appends.per_second,
        plain_per_second,
        ratio: appends.per_second / plain_per_second,
        appended: appends.count,
        group_receipts: appends.group_receipts,
        receipt_bytes: appends.receipt_bytes,
        published_entries: appends.entries,
        check_ms: appends.check_ms,
        proof_ms_worst,
        proof_ms_middle,
        verify_ms_worst,
        costs,
        cost_ratio: last / first,
        audited_entries: audited.entries,
        audited_bytes: audited.bytes,
        audit_seconds: audited.seconds,
        watched_files: followed.files,
        watch_seconds: followed.seconds,
    };
    let mut text = format!(
        "{:.0} receipts durable a second with both logs published, {:.2} of plain group-committed writes, {:.0} a second (goal: 50,000 and 0.5)\n\
         groups of {:.0} receipts with {:.0} bytes each; {} receipts in {} entries checked against files of both logs in {:.0} ms, at which rate ten million take {:.0} s\n\
         a cold proof in 10^8 entries: {:.3} ms in the middle, {:.3} ms at worst (goal: 20); its verification {:.3} ms at worst (goal: 1)\n",
        measured.appends_per_second,
        measured.ratio,
        measured.plain_per_second,
        measured.group_receipts,
        measured.receipt_bytes,
        measured.appended,
        measured.published_entries,
        measured.check_ms,
        measured.check_ms / 1_000.0 * RECEIPTS_OF_LONG_LOG / (measured.appended.max(1) as f64),
        proof_ms_middle,
        proof_ms_worst,
        verify_ms_worst,
    );
    for cost in &measured.costs {
        text += &format!("an entry in a log of {}: {:.0} ns\n", cost.entries, cost.ns_per_entry);
    }
    text += &format!(
        "{:.2} times as much at 10^8 as at 10^5 (goal: at most 1.2)\n{} entries, {} MB in bundles, audited in both suites in {:.0} s\n\
         the same entries and their tiles of hashes, {} files, followed over HTTP in {:.0} s\n",
        measured.cost_ratio,
        measured.audited_entries,
        measured.audited_bytes / 1_000_000,
        measured.audit_seconds,
        measured.watched_files,
        measured.watch_seconds
    );
    std::io::stdout().lock().write_all(text.as_bytes())?;
    fs::write(arguments.out.join("log.json"), serde_json::to_string_pretty(&measured)? + "\n")?;
    Ok(())
}

fn keys() -> Result<LogKeys, Failed> {
    Ok(LogKeys {
        international: NoteSigner::new(ORIGIN, SigningKey::from_seed([1; 32]))?,
        national: Some(NoteSigner::new(&twin_origin(ORIGIN), SigningKey::national_from_seed([2; 32])?)?),
    })
}

struct Appends {
    per_second: f64,
    count: u64,
    entries: u64,
    check_ms: f64,
    group_receipts: f64,
    receipt_bytes: f64,
}

/// Appends from many callers at once, as deliveries do, while a publisher commits to them and publishes.
async fn appends(directory: &Path, span: Duration) -> Result<Appends, Failed> {
    fs::create_dir_all(directory)?;
    let url = format!("sqlite:{}", directory.join("node.db").display());
    let store = Store::open(StoreConfig { url, vault_key: SealKey::from_bytes([3; 32]), connections_max: 4 }).await?;
    let receipts = ReceiptLog::open(&store, directory).await?;
    let publisher = Arc::new(LogPublisher::open(&store, LogFiles::Directory(directory.join("log")), keys()?).await?);
    let (done, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut callers = tokio::task::JoinSet::new();
    // Ids of receipts rise with time, as a node's do: an index over ids by chance would be another one.
    let ids = Arc::new(AtomicU64::new(0));
    for _ in 0..WAITING {
        let (receipts, done, ids) = (receipts.clone(), Arc::clone(&done), Arc::clone(&ids));
        callers.spawn(async move {
            while begun.elapsed() < span {
                let receipt = NewReceipt {
                    receipt_id: format!("rcp_{:032x}", ids.fetch_add(1, Ordering::Relaxed)),
                    order_id: "ord_1".to_owned(),
                    kind: "single".to_owned(),
                    record: vec![b'x'; RECEIPT_BYTES],
                };
                receipts.append(receipt).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), Failed>(())
        });
    }
    while begun.elapsed() < span {
        tokio::time::sleep(PUBLISH_EVERY).await;
        receipts.commit_to_log().await?;
        publisher.publish().await?;
    }
    let (count, taken) = (done.load(Ordering::Relaxed), begun.elapsed());
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    receipts.commit_to_log().await?;
    let entries = publisher.publish().await?.checkpoint.size;
    let checked = Instant::now();
    check_log(&store, publisher.reader(), publisher.twin_reader()).await?;
    let check_ms = ms(checked.elapsed());
    receipts.close().await;
    store.close().await?;
    let (frames, bytes) = frames(&directory.join("receipts"))?;
    let written = ids.load(Ordering::Relaxed) as f64;
    Ok(Appends {
        per_second: count as f64 / taken.as_secs_f64(),
        count,
        entries,
        check_ms,
        group_receipts: written / frames as f64,
        receipt_bytes: bytes as f64 / written,
    })
}

/// How many groups the segments hold, and their bytes: a frame has a header of 20 bytes, which says how long its three parts are.
fn frames(directory: &Path) -> Result<(u64, u64), Failed> {
    const HEADER_BYTES: usize = 20;
    let (mut frames, mut bytes) = (0, 0);
    for path in files_below(directory)?.iter().filter(|path| path.extension().is_some_and(|found| found == "seg")) {
        let segment = fs::read(path)?;
        let mut rest = segment.get(HEADER_BYTES..).unwrap_or_default();
        while let Some(header) = rest.get(..HEADER_BYTES).filter(|header| header.starts_with(b"LQRG")) {
            let parts = header[4..16].as_chunks::<4>().0.iter().map(|length| u32::from_be_bytes(*length) as usize);
            let frame_bytes = HEADER_BYTES + parts.sum::<usize>();
            rest = rest.get(frame_bytes..).ok_or("a frame is longer than its segment")?;
            frames += 1;
            bytes += frame_bytes as u64;
        }
    }
    Ok((frames, bytes))
}

/// The same bytes in groups of the same size, each synced, by a program that does nothing else; in receipts a second.
fn plain(directory: &Path, span: Duration, appends: &Appends) -> Result<f64, Failed> {
    fs::create_dir_all(directory)?;
    let mut file = File::create(directory.join("plain"))?;
    let group = vec![b'x'; (appends.group_receipts * appends.receipt_bytes) as usize];
    let (begun, mut groups) = (Instant::now(), 0_u64);
    while begun.elapsed() < span {
        file.write_all(&group)?;
        file.sync_data()?;
        groups += 1;
    }
    Ok(groups as f64 * appends.group_receipts / begun.elapsed().as_secs_f64())
}

/// An entry as a group commit of one receipt leaves it.
fn entry() -> Result<Vec<u8>, Failed> {
    Ok(LogEntry::new(RecordKind::Receipt, 1, vec![DigestPair::of(b"receipt")])?.encode())
}

/// A log of like entries.
struct Made {
    entry: Vec<u8>,
    size: u64,
    /// The hash of a complete subtree at each level of tiles.
    levels: Vec<Hash>,
}

impl Made {
    fn new(hasher: TreeHasher, size: u64) -> Result<Made, Failed> {
        let entry = entry()?;
        let mut levels = vec![hasher.leaf_hash(&entry)];
        for level in 0..7 {
            levels.push(hasher.root(&vec![levels[level]; TILE_WIDTH as usize]));
        }
        Ok(Made { entry, size, levels })
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let path: TilePath = path.parse().ok()?;
        let level = match path.kind {
            TileKind::Entries => 0,
            TileKind::Hashes { level } => level,
        };
        let count = self.size.checked_shr(8 * u32::from(level))?;
        let width = count.saturating_sub(path.index * TILE_WIDTH).min(TILE_WIDTH);
        if width != u64::from(path.width) {
            return None;
        }
        match path.kind {
            TileKind::Entries => encode_bundle(&vec![self.entry.clone(); usize::from(path.width)]).ok(),
            TileKind::Hashes { .. } => Some(vec![self.levels[usize::from(level)]; usize::from(path.width)].concat()),
        }
    }
}

/// The worst and the middle time of a cold proof, its entry included, and the worst of a verification, in milliseconds, over SM3, the
/// slower of the two. Nothing is held from one proof to the next, and before each the system forgets what it keeps of the files.
fn proofs(directory: &Path) -> Result<(f64, f64, f64), Failed> {
    let hasher = TreeHasher::SM3;
    let size = SIZES[SIZES.len() - 1];
    let made = Made::new(hasher, size)?;
    let root = TiledTree::new(hasher, &|path| made.read(path), size).root()?;
    let indexes: Vec<u64> = (0..PROOFS).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size).collect();
    let write = |path: &str| {
        let bytes = made.read(path)?;
        let file = directory.join(path);
        let written = fs::create_dir_all(file.parent()?).and_then(|()| fs::write(&file, &bytes));
        written.is_ok().then_some(bytes)
    };
    for index in &indexes {
        let mut tree = TiledTree::new(hasher, &write, size);
        tree.entry(*index)?;
        tree.inclusion_proof(*index)?;
    }
    let files = files_below(directory)?;
    for file in &files {
        File::open(file)?.sync_all()?;
    }
    let read = |path: &str| fs::read(directory.join(path)).ok();
    let (mut proving, mut verifying) = (Vec::new(), Vec::new());
    for index in indexes {
        for file in &files {
            fadvise(File::open(file)?, 0, None, Advice::DontNeed)?;
        }
        let begun = Instant::now();
        let mut tree = TiledTree::new(hasher, &read, size);
        let entry = tree.entry(index)?;
        let proof = tree.inclusion_proof(index)?;
        proving.push(ms(begun.elapsed()));
        let begun = Instant::now();
        hasher.verify_inclusion(&hasher.leaf_hash(&entry), index, size, &proof, &root)?;
        verifying.push(ms(begun.elapsed()));
    }
    proving.sort_by(f64::total_cmp);
    verifying.sort_by(f64::total_cmp);
    let last = |times: &[f64]| times.last().copied().unwrap_or(f64::MAX);
    Ok((last(&proving), proving[proving.len() / 2], last(&verifying)))
}

/// What an entry costs in both logs, from its bytes to the tiles that are to be written, in a log of this size.
fn cost_at(size: u64, runs: usize) -> Result<f64, Failed> {
    let (first, second) = (Made::new(TreeHasher::SHA256, size)?, Made::new(TreeHasher::SM3, size)?);
    let loaded = TwinLog::load(ORIGIN, &|path| first.read(path), &|path| second.read(path), size)?;
    let group = vec![entry()?; TILE_WIDTH as usize];
    let mut best = f64::MAX;
    for _ in 0..runs {
        let (begun, mut log) = (Instant::now(), loaded.clone());
        for _ in 0..APPENDED / TILE_WIDTH {
            log = std::hint::black_box(log.append(&group)?).log;
        }
        best = best.min(begun.elapsed().as_secs_f64());
    }
    Ok(best * 1e9 / APPENDED as f64)
}

fn files_below(directory: &Path) -> Result<Vec<PathBuf>, Failed> {
    let (mut files, mut directories) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for found in fs::read_dir(directory)? {
            let path = found?.path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}

struct Audited {
    entries: u64,
    bytes: u64,
    seconds: f64,
}

/// Writes a log of so many bundles, each entry another, and reads it from the disk as an auditor does: every entry, into both trees,
/// whose roots must be those that were published. The tiles of hashes and the checkpoint of the log over SHA-256 are written, too.
fn audit(directory: &Path, bundles: u64) -> Result<Audited, Failed> {
    eprintln!("writing {} entries to be audited", bundles * TILE_WIDTH);
    let (mut log, mut paths, mut bytes) = (TwinLog::empty(ORIGIN)?, Vec::new(), 0);
    for bundle in 0..bundles {
        let numbers = bundle * TILE_WIDTH..(bundle + 1) * TILE_WIDTH;
        let entries = numbers.map(|number| {
            LogEntry::new(RecordKind::Receipt, number + 1, vec![DigestPair::of(&number.to_le_bytes())])
                .map(|entry| entry.encode())
        });
        let growth = log.append(&entries.collect::<Result<Vec<_>, _>>()?)?;
        for (path, content) in growth.international {
            let tile: TilePath = path.parse()?;
            // What is unfinished on the way grows into what is full.
            if tile.is_full() {
                let file = write_file(directory, &path, &content)?;
                if tile.kind == TileKind::Entries {
                    bytes += u64::try_from(content.len())?;
                    paths.push(file);
                }
            }
        }
        log = growth.log;
    }
    for (path, content) in log.edge_files(Suite::International) {
        write_file(directory, &path, &content)?;
    }
    let [checkpoint, _] = log.checkpoints()?;
    write_file(directory, "checkpoint", checkpoint.sign(&keys()?.international)?.as_bytes())?;
    let (begun, mut audit) = (Instant::now(), TwinAudit::begin(ORIGIN)?);
    for path in &paths {
        for entry in decode_bundle(&fs::read(path)?, u16::try_from(TILE_WIDTH)?)? {
            audit.read(&entry)?;
        }
    }
    for suite in [Suite::International, Suite::National] {
        if audit.root(suite) != log.root(suite) {
            return Err("the audited log has another root than the written one".into());
        }
    }
    Ok(Audited { entries: audit.size(), bytes, seconds: begun.elapsed().as_secs_f64() })
}

fn write_file(directory: &Path, path: &str, content: &[u8]) -> Result<PathBuf, Failed> {
    let file = directory.join(path);
    fs::create_dir_all(file.parent().ok_or("a file lies in a directory")?)?;
    fs::write(&file, content)?;
    Ok(file)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
