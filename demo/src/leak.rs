//! Marked copies, a leak of one of them, and the trace that names the order it came from.

use std::f64::consts::LN_10;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lingqu_app::{RegulatorHalf, Trace, TraceSettings, TraceVerdict, TraceWatch, verify_trace};
use lingqu_domain::access::Duty;
use lingqu_engine::source::{Fragment, FragmentOptions, StopSignal};
use lingqu_transparency::EvidenceTrust;
use serde_json::Value;

use crate::cast::{Cast, Part, name_of};
use crate::market::{Ordered, Orders};
use crate::report::TraceShown;
use crate::stage::{Stage, shown_reply};
use crate::{DemoError, Recorder};

/// Rows of the copy that leak.
const LEAKED_ROWS: usize = 5_000;
/// Rows that are too few to accuse anybody.
const SCRAP_ROWS: usize = 20;
/// Columns that leak, by their places in the copy, under the names that the leak gives them: no key, no departure delay.
const LEAKED_COLUMNS: [(usize, &str); 6] =
    [(1, "航司"), (4, "目的地"), (5, "计划起飞"), (6, "实际起飞"), (9, "实际到达"), (10, "晚点")];
/// Places of what is tied: the actual time, the scheduled one and the delay between them.
const TIED: [[usize; 3]; 2] = [[6, 5, 7], [9, 8, 10]];
/// Minutes of a day.
const DAY_MINUTES: i64 = 1_440;
/// Bytes of the evidence that are changed, one at a time.
const CHANGES_TRIED: usize = 12;

fn unexpected(text: impl Into<String>) -> DemoError {
    DemoError::Unexpected(text.into())
}

/// Nothing marked leaves before the auditor has given its half of the order's keys; then each order takes its copy.
pub async fn copies(
    stage: &Stage,
    cast: &Cast,
    orders: &Orders,
    recorder: &mut Recorder<'_>,
) -> Result<Vec<MarkedCopy>, DemoError> {
    let [travel, leaking, other] = &orders.copies;
    let early = stage.send("GET", &export(travel), Some(&travel.key), None).await?;
    recorder.report.refusals.push(shown_reply("审计机关尚未给出密钥份额即取带水印的副本", &early, "mark_keys_missing"));
    // The auditor keeps its half away from the node; here it lies beside it, so that further orders can be tried by hand.
    let text = RegulatorHalf::generate()?;
    let file = stage.app.directory().join("auditor-half.key");
    write(&file, text.as_bytes())?;
    let half = RegulatorHalf::read(&text).ok_or_else(|| unexpected("a new half can't be read"))?;
    let auditor = cast.user(Part::Audit, Duty::Approver);
    for order in &orders.copies {
        let request = stage.app.key_request(&order.id)?;
        stage.app.give_key_shares(&auditor, &half.answer(request), Default::default()).await?;
    }
    let mut copies = Vec::new();
    for order in [travel, leaking, other] {
        let reply = stage.send("GET", &export(order), Some(&order.key), None).await?.answered("a marked copy")?;
        copies.push(MarkedCopy::read(reply.body)?);
    }
    let apart = |one: usize, another: usize| -> Value { copies[one].cells_unlike(&copies[another]).into() };
    recorder.step(
        "带指纹水印的副本：每份只属于一个订单（REAL）",
        "Marked copies: each is one order's and nobody else's (REAL)",
        &[
            ("orders", orders.copies.len().into()),
            ("auditor_shares_of_keys", orders.copies.len().into()),
            ("rows_each", copies[0].lines().count().into()),
            ("rows_that_add_up", copies.iter().map(MarkedCopy::rows_that_add_up).min().unwrap_or(0).into()),
            ("cells_unlike_between_consumers", apart(0, 1)),
            ("cells_unlike_between_orders_of_one", apart(1, 2)),
        ],
    );
    Ok(copies)
}

fn export(order: &Ordered) -> String {
    format!("/data/v1/{}/export?format=csv", order.product)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), DemoError> {
    std::fs::write(path, bytes).map_err(|error| unexpected(format!("can't write {}: {error}", path.display())))
}

/// A copy as its recipient has it.
pub struct MarkedCopy(String);

impl MarkedCopy {
    fn read(bytes: Vec<u8>) -> Result<MarkedCopy, DemoError> {
        Ok(MarkedCopy(String::from_utf8(bytes).map_err(|_| unexpected("a CSV export is no UTF-8"))?))
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.lines().skip(1)
    }

    /// Cells that another copy has otherwise, row by row: both have the same rows in the same order.
    fn cells_unlike(&self, other: &MarkedCopy) -> usize {
        let unlike = |(one, another): (&str, &str)| {
            one.split(',').zip(another.split(',')).filter(|(one, another)| one != another).count()
        };
        self.lines().zip(other.lines()).filter(|(one, another)| one != another).map(unlike).sum()
    }

    /// Rows in which scheduled time and delay still make the actual time.
    fn rows_that_add_up(&self) -> usize {
        self.lines().filter(|line| adds_up(line)).count()
    }

    /// What leaks of it: some rows, in another order, without the key and under other names.
    fn leaked(&self, rows: usize) -> String {
        let lines: Vec<&str> = self.lines().collect();
        let every = (lines.len() / rows).max(1);
        let mut picked: Vec<(u64, &str)> = lines
            .iter()
            .step_by(every)
            .take(rows)
            .zip(1u64..)
            .map(|(line, number)| (number.wrapping_mul(0x9E37_79B9_7F4A_7C15), *line))
            .collect();
        picked.sort_unstable();
        let names: Vec<&str> = LEAKED_COLUMNS.iter().map(|(_, name)| *name).collect();
        let mut text = names.join(",") + "\n";
        for (_, line) in picked {
            let cells: Vec<&str> = line.split(',').collect();
            let kept: Vec<&str> =
                LEAKED_COLUMNS.iter().map(|(place, _)| cells.get(*place).copied().unwrap_or("")).collect();
            text.push_str(&kept.join(","));
            text.push('\n');
        }
        text
    }
}

fn adds_up(line: &str) -> bool {
    let cells: Vec<&str> = line.split(',').collect();
    TIED.iter().all(|places| {
        let [time, scheduled, delay] = places.map(|place| cells.get(place).and_then(|cell| cell.parse::<i64>().ok()));
        let minutes = |clock: i64| clock / 100 * 60 + clock % 100;
        match (time, scheduled, delay) {
            (Some(time), Some(scheduled), Some(delay)) => {
                (minutes(scheduled) + delay - minutes(time)).rem_euclid(DAY_MINUTES) == 0
            }
            // A flight that did not take place has no time to add up.
            _ => true,
        }
    })
}

/// A part of the consultancy's copy turns up; the node finds the order, and hands over what anybody can check.
pub async fn trace(
    stage: &Stage,
    orders: &Orders,
    copies: &[MarkedCopy],
    recorder: &mut Recorder<'_>,
) -> Result<(), DemoError> {
    let leaking = &orders.copies[1];
    let copy = copies.get(1).ok_or_else(|| unexpected("there is no copy to leak"))?;
    let file = stage.app.directory().join("leaked.csv");
    write(&file, copy.leaked(LEAKED_ROWS).as_bytes())?;
    let scrap_file = stage.app.directory().join("leaked-scrap.csv");
    write(&scrap_file, copy.leaked(SCRAP_ROWS).as_bytes())?;
    let scrap = traced(stage, scrap_file).await?.report;
    if scrap.verdict != TraceVerdict::Undecided || !scrap.accused.is_empty() {
        return Err(unexpected(format!("{SCRAP_ROWS} rows accuse somebody: {:?}", scrap.accused)));
    }
    let trace = traced(stage, file.clone()).await?;
    let report = &trace.report;
    let [accused] = &report.accused[..] else {
        return Err(unexpected(format!("the trace accuses {} consumers instead of one", report.accused.len())));
    };
    let named = accused.orders.first().filter(|order| order.log_p_value.is_some() && order.order == leaking.id);
    let named = named.ok_or_else(|| unexpected(format!("the trace does not name {}", leaking.id)))?;
    let bundle = stage.app.export_trace(&trace).await?;
    let evidence = stage.app.directory().join("leak.evidence");
    write(&evidence, &bundle)?;
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    if !check.verified || check.fragment_digest.as_ref() != Some(&report.fragment.digest) {
        return Err(unexpected(format!("the evidence of the leak does not verify: {:?}", check.findings)));
    }
    let changed = |change: usize| {
        let mut copy = bundle.clone();
        let at = change * (copy.len() - 1) / (CHANGES_TRIED - 1);
        copy[at] ^= 0x01;
        !verify_trace(&copy, &EvidenceTrust::default()).verified
    };
    let cleared: Vec<String> = [Part::Travel, Part::Consultancy]
        .map(name_of)
        .into_iter()
        .filter(|name| *name != accused.name)
        .map(str::to_owned)
        .collect();
    let exponent = |log_p_value: f64| format!("1e{}", (log_p_value / LN_10).ceil());
    let shown = TraceShown {
        fragment: file.display().to_string(),
        evidence: evidence.display().to_string(),
        rows: report.fragment.rows_read,
        columns: report.fragment.columns,
        consumer: accused.name.clone(),
        order: named.order.to_string(),
        bound: report.bound,
        p_value_below: exponent(accused.log_p_value),
        cleared,
        verified: check.verified,
        changes_tried: CHANGES_TRIED,
        changes_found: (0..CHANGES_TRIED).filter(|change| changed(*change)).count(),
    };
    let product = report.products.iter().find(|product| product.product == accused.product);
    recorder.step(
        "泄露溯源：无主键、改列名、乱序的片段指向订单（REAL）",
        "A leak is traced: a fragment without keys, renamed and shuffled, names its order (REAL)",
        &[
            ("fragment_rows", shown.rows.into()),
            ("fragment_columns", shown.columns.into()),
            ("rows_found_again", product.and_then(|found| found.versions.first()).map_or(0, |found| found.rows).into()),
            (
                "marked_positions",
                product.and_then(|found| found.marks.as_ref()).map_or(0, |found| found.positions).into(),
            ),
            ("consumer", shown.consumer.clone().into()),
            ("order", shown.order.clone().into()),
            ("order_told_from_its_other_one", true.into()),
            ("innocent_scores_so_high_below", shown.p_value_below.clone().into()),
            ("other_order_scores_so_high_below", named.log_p_value.map(exponent).into()),
            ("bound_of_the_case", shown.bound.into()),
            ("recipients_tested", report.tested.into()),
            ("cleared", shown.cleared.join("、").into()),
            ("scrap_of_20_rows", "nobody is accused".into()),
        ],
    );
    recorder.step(
        "溯源证据离线验证：密钥承诺先于泄露入日志",
        "The leak's evidence verified offline: the keys were committed to before anything left",
        &[
            ("log_entries", check.log_size.into()),
            ("keys_disclosed", check.accused.len().into()),
            ("half_of_keys_held_by", name_of(Part::Audit).into()),
            ("bytes", bundle.len().into()),
            ("changed_bytes_found", format!("{}/{}", shown.changes_found, shown.changes_tried).into()),
        ],
    );
    recorder.report.trace = shown;
    Ok(())
}

/// Traces a file as `lingqu trace` does.
async fn traced(stage: &Stage, file: PathBuf) -> Result<Trace, DemoError> {
    let read = tokio::task::spawn_blocking(move || Fragment::read(&file, &FragmentOptions::default())).await;
    let fragment =
        read.map_err(|error| unexpected(error.to_string()))?.map_err(|error| unexpected(error.to_string()))?;
    let watch = TraceWatch::new(|_| {}, Arc::new(StopSignal::default()));
    Ok(stage.app.trace(fragment, &TraceSettings::default(), &watch).await?)
}
