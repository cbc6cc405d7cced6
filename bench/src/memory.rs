//! Memory while a product of ten million rows is exported as 10 GB of JSON lines, which are drained and thrown away, and then
//! as Parquet. It is looked at all the time: what counts is the most above the idle node, and that it does not rise with what
//! was delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde::Serialize;

use crate::bench::Bench;
use crate::failure::BenchError;
use crate::figures::{mean, slope};
use crate::manifest::ServedOrder;
use crate::node::{IDLE_AFTER, Node, resident_bytes};
use crate::report::{Figures, Goal, Row, mebibytes};
use crate::scale::Scale;

/// What the goal speaks of.
const GIGABYTES: f64 = 10.0;
/// Most memory above the idle node, in MiB.
const ABOVE_MEBIBYTES_MAX: f64 = 512.0;
/// Memory is flat when its mean in the last quarter of an export is at most so much above that in the second, in MiB.
const RISE_MEBIBYTES_MAX: f64 = 64.0;
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The formats, with whether a goal is about them.
const FORMATS: [(&str, bool); 2] = [("ndjson", true), ("parquet", false)];

/// One look at the node while it delivers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Look {
    /// Delivered so far, in bytes.
    delivered: u64,
    /// Memory, in bytes.
    resident: u64,
}

/// What came of one export.
#[derive(Debug, Serialize)]
struct Exported {
    format: &'static str,
    bytes: u64,
    seconds: f64,
    idle_bytes: u64,
    most_bytes: u64,
    /// Mean of the last quarter less that of the second, in MiB; none where a quarter was too short to be looked at.
    rise_mebibytes: Option<f64>,
    /// Of the second half, in MiB for each gigabyte.
    slope_mebibytes: f64,
    looks: Vec<Look>,
}

/// Exports on a fresh node for each format.
pub async fn measure(bench: &Bench, scale: &Scale) -> Result<Figures, BenchError> {
    let order = scale.many.export.as_ref();
    let order =
        order.ok_or_else(|| BenchError::Unexpected("there is no large product; name some --rows".to_owned()))?;
    let (mut rows, mut exports) = (Vec::new(), Vec::new());
    for (format, has_goal) in FORMATS {
        let node = Node::serve(&bench.arguments.binary, &scale.many.directory)?;
        tokio::time::sleep(IDLE_AFTER).await;
        let export = drained(&node, order, format).await?;
        node.stop()?;
        rows.extend(lines(&export, has_goal));
        exports.push(export);
    }
    Figures::new(rows, &exports)
}

fn lines(export: &Exported, has_goal: bool) -> Vec<Row> {
    let gigabytes = export.bytes as f64 / 1e9;
    let size = if gigabytes < 1.0 { format!("{:.1} MB", gigabytes * 1e3) } else { format!("{gigabytes:.1} GB") };
    let name = format!("export of {size} ({})", export.format);
    let above = export.most_bytes.saturating_sub(export.idle_bytes) as f64 / f64::from(1 << 20);
    let is_large_enough = gigabytes >= GIGABYTES;
    let most = Row::new(
        format!("most memory above idle, {name}"),
        format!("{above:.0} MiB"),
        format!("idle {}, {} looks in {:.0} s", mebibytes(export.idle_bytes), export.looks.len(), export.seconds),
    );
    if !has_goal {
        return vec![most];
    }
    let rise = Row::new(
        format!("rise of memory, {name}"),
        export.rise_mebibytes.map_or("too short to say".to_owned(), |rise| format!("{rise:.1} MiB")),
        format!("mean of the last quarter less that of the second; slope {:.2} MiB for 1 GB", export.slope_mebibytes),
    );
    let flat = Goal {
        text: format!("flat: at most {RISE_MEBIBYTES_MAX:.0} MiB"),
        verdict: Goal::of(export.rise_mebibytes.is_some_and(|rise| rise <= RISE_MEBIBYTES_MAX)),
    };
    vec![
        most.goal(Goal::at_most(ABOVE_MEBIBYTES_MAX, above, " MiB").only_if(is_large_enough)),
        rise.goal(flat.only_if(is_large_enough)),
    ]
}

async fn drained(node: &Node, order: &ServedOrder, format: &'static str) -> Result<Exported, BenchError> {
    let idle_bytes = node.resident_bytes()?;
    eprintln!("exporting {} as {format}", order.product);
    let (delivered, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let looking = {
        let (delivered, ended, process) = (Arc::clone(&delivered), Arc::clone(&ended), node.process());
        std::thread::spawn(move || look(process, &delivered, &ended))
    };
    let begun = Instant::now();
    let drained = drain(node, order, format, &delivered).await;
    let seconds = begun.elapsed().as_secs_f64();
    ended.store(true, Ordering::Release);
    let looks = looking.join().map_err(|_| BenchError::Unexpected("the looks at memory were lost".to_owned()))??;
    drained?;
    let (rise_mebibytes, slope_mebibytes) = course(&looks);
    Ok(Exported {
        format,
        bytes: delivered.load(Ordering::Acquire),
        seconds,
        idle_bytes,
        most_bytes: looks.iter().map(|look| look.resident).max().unwrap_or(idle_bytes),
        rise_mebibytes,
        slope_mebibytes,
        looks,
    })
}

async fn drain(node: &Node, order: &ServedOrder, format: &str, delivered: &AtomicU64) -> Result<(), BenchError> {
    let ServedOrder { product, key } = order;
    let url = format!("{}/data/v1/{product}/export?format={format}", node.url);
    let client = Client::builder().no_proxy().build()?;
    let mut response = client.get(url).bearer_auth(key).send().await?;
    if response.status() != 200 {
        let problem = response.text().await?;
        return Err(BenchError::Unexpected(format!("the export was refused: {problem}")));
    }
    while let Some(chunk) = response.chunk().await? {
        delivered.fetch_add(chunk.len() as u64, Ordering::AcqRel);
    }
    Ok(())
}

fn look(process: u32, delivered: &AtomicU64, ended: &AtomicBool) -> Result<Vec<Look>, BenchError> {
    let mut looks = Vec::new();
    while !ended.load(Ordering::Acquire) {
        let resident = resident_bytes(process)?;
        looks.push(Look { delivered: delivered.load(Ordering::Acquire), resident });
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(looks)
}

/// How much memory rises from the second quarter of what was delivered to the last, in MiB, and in the second half for each
/// gigabyte. The rise is none where one of these quarters was not looked at.
fn course(looks: &[Look]) -> (Option<f64>, f64) {
    let whole = looks.iter().map(|look| look.delivered).max().unwrap_or(0);
    let mebibytes = |look: &Look| look.resident as f64 / f64::from(1 << 20);
    let quarter = |number: u64| {
        let part = looks.iter().filter(|look| {
            let quarter = u128::from(look.delivered) * 4;
            quarter >= u128::from(whole) * u128::from(number) && quarter <= u128::from(whole) * u128::from(number + 1)
        });
        let part: Vec<f64> = part.map(mebibytes).collect();
        (!part.is_empty()).then(|| mean(part))
    };
    let rise = quarter(3).zip(quarter(1)).map(|(last, second)| last - second);
    let half = looks.iter().filter(|look| look.delivered >= whole / 2);
    let points: Vec<(f64, f64)> = half.map(|look| (look.delivered as f64 / 1e9, mebibytes(look))).collect();
    (rise, slope(&points))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(resident_mebibytes: impl Fn(u64) -> u64) -> Vec<Look> {
        let look = |step: u64| Look { delivered: step * 100_000_000, resident: resident_mebibytes(step) << 20 };
        (0..=100).map(look).collect()
    }

    #[test]
    fn memory_that_grows_with_what_is_delivered_is_not_flat() {
        let (rise, slope) = course(&looks(|step| 100 + 10 * step));
        assert!(rise.is_some_and(|rise| (rise - 500.0).abs() < 10.0), "{rise:?}");
        assert!((slope - 100.0).abs() < 1e-6, "{slope} MiB for each gigabyte");
    }

    #[test]
    fn memory_that_rises_in_the_beginning_and_stays_is_flat() {
        let (rise, slope) = course(&looks(|step| if step < 10 { 100 + 20 * step } else { 300 }));
        assert_eq!((rise, slope), (Some(0.0), 0.0));
    }

    #[test]
    fn an_export_that_was_hardly_looked_at_is_not_called_flat() {
        let begin = Look { delivered: 0, resident: 1 << 20 };
        assert_eq!(course(&[begin, Look { delivered: 100, ..begin }]).0, None);
        assert_eq!(course(&[]), (None, 0.0));
    }
}
