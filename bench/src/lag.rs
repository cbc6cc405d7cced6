//! How long a record waits after its answer: until the published log holds it, and until two witnesses have cosigned that. Seen from
//! outside, as an auditor sees it: a node of the demo serves verifications, each of which leaves one receipt, two more nodes witness
//! its log, and the checkpoint is asked for again and again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lingqu_transparency::{Checkpoint, LogEntry, RecordKind, SignedNote, TILE_WIDTH, TilePath, decode_bundle};
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Arguments;
use crate::bench::Bench;
use crate::failure::{BenchError, file_error};
use crate::figures::{median, quantile};
use crate::load::{self, Plan};
use crate::node::{Demo, Node};
use crate::report::{Figures, Goal, Row};
use crate::{orders, program};

/// Longest that 99 of 100 records may wait to be in the published log, and to be cosigned, in seconds.
const GOALS: (f64, f64) = (1.0, 60.0);
/// How many witnesses there are; all must cosign.
const WITNESSES: usize = 2;
/// Pause between two looks at the checkpoint.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the node may take to be witnessed at the beginning, and after the load.
const SETTLED_MAX: Duration = Duration::from_secs(90);
/// How long a program that makes a node may take.
const INIT_MAX: Duration = Duration::from_secs(60);
/// A password of nodes that are thrown away.
const PASSWORD: &str = "a password for the bench\n";

/// What was measured.
#[derive(Debug, Serialize)]
struct Lag {
    records: usize,
    per_second: f64,
    published_p50_s: f64,
    published_p99_s: f64,
    published_worst_s: f64,
    cosigned_p50_s: f64,
    cosigned_p99_s: f64,
    cosigned_worst_s: f64,
    checkpoints: usize,
}

/// A checkpoint, when it was first seen so.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    size: u64,
    is_cosigned: bool,
}

/// The keys of a node, as `lingqu witness key --json` tells them.
#[derive(Debug, Deserialize)]
struct Keys {
    logs: Vec<LogKey>,
    witness: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct LogKey {
    origin: String,
    vkey: String,
}

/// Measures it.
pub async fn measure(bench: &mut Bench) -> Result<Figures, BenchError> {
    let (played, connections, span) = (bench.played().await?, usize::from(bench.arguments.connections), bench.span());
    let setting = Setting::make(&bench.arguments, &played.demo)?;
    let node = Node::serve_by(&bench.arguments.binary, &setting.arguments)?;
    let plan = orders::plans(&node, &played.flights, &played.orders).remove(1);
    let watched = Watched { client: Client::builder().no_proxy().build()?, url: node.url.clone() };
    // What was recorded before is not measured; where it ends, the first of the measured records begins.
    let base = watched.position_at(watched.settled(|seen| seen.is_cosigned).await?.size).await?;
    eprintln!("measuring {} for {} s over {connections} connections, two witnesses", plan.name, span.as_secs());
    let loading = tokio::spawn(answered(Arc::new(plan), connections, span));
    let mut seen = Vec::new();
    while !loading.is_finished() {
        watched.look(&mut seen).await?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let ended = loading.await.map_err(|error| BenchError::Unexpected(format!("the load was lost: {error}")))?;
    let answered = ended?;
    let last = base + answered.len() as u64;
    let (begun, mut positions) = (Instant::now(), BTreeMap::new());
    // Each size once: a bundle can have megabytes, so they are not fetched while the load is on.
    loop {
        watched.look(&mut seen).await?;
        if let Some(newest) = seen.last().filter(|newest| newest.is_cosigned)
            && watched.position_once(newest.size, &mut positions).await? >= last
        {
            break;
        }
        if begun.elapsed() > SETTLED_MAX {
            let most = SETTLED_MAX.as_secs();
            return Err(BenchError::Unexpected(format!("the log was not cosigned within {most} s after the load")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    for seen in &seen {
        watched.position_once(seen.size, &mut positions).await?;
    }
    node.stop()?;
    for witness in setting.witnesses {
        witness.stop()?;
    }
    let position = |seen: &Seen| positions.get(&seen.size).copied().unwrap_or(0);
    let published = waits(&answered, base, seen.iter().map(|seen| (seen.at, position(seen))));
    let cosigned = seen.iter().filter(|seen| seen.is_cosigned).map(|seen| (seen.at, position(seen)));
    let cosigned = waits(&answered, base, cosigned);
    figures(&Lag {
        records: answered.len(),
        per_second: answered.len() as f64 / span.as_secs_f64(),
        published_p50_s: median(&published),
        published_p99_s: quantile(&published, 0.99),
        published_worst_s: quantile(&published, 1.0),
        cosigned_p50_s: median(&cosigned),
        cosigned_p99_s: quantile(&cosigned, 0.99),
        cosigned_worst_s: quantile(&cosigned, 1.0),
        checkpoints: seen.len(),
    })
}

fn figures(lag: &Lag) -> Result<Figures, BenchError> {
    let beside = format!("{:.0} verifications a second, a receipt each", lag.per_second);
    let row = |what: &str, p50: f64, p99: f64, worst: f64, goal: f64| {
        Row::new(
            format!("from a record's answer until {what}, 99 of 100"),
            format!("{p99:.2} s (p50 {p50:.2}, worst {worst:.2})"),
            beside.clone(),
        )
        .goal(Goal::at_most(goal, p99, " s"))
    };
    let rows = vec![
        row("the published log holds it", lag.published_p50_s, lag.published_p99_s, lag.published_worst_s, GOALS.0),
        row("two witnesses cosigned that", lag.cosigned_p50_s, lag.cosigned_p99_s, lag.cosigned_worst_s, GOALS.1),
    ];
    Figures::new(rows, lag)
}

/// The node with two witnesses, which serve.
struct Setting {
    witnesses: Vec<Node>,
    /// How the node is to be served.
    arguments: Vec<OsString>,
}

impl Setting {
    fn make(arguments: &Arguments, demo: &Demo) -> Result<Setting, BenchError> {
        let out = arguments.out.join("lag");
        match fs::remove_dir_all(&out) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(file_error("remove", &out, &error));
            }
            _ => fs::create_dir_all(&out).map_err(|error| file_error("make", &out, &error))?,
        }
        let password = out.join("password");
        write(&password, PASSWORD)?;
        let run = |parts: &[&str], directory: &Path| {
            let mut command = Command::new(&arguments.binary);
            command.args(parts).arg("--dir").arg(directory);
            if parts[0] == "init" {
                command.arg("--password-file").arg(&password);
            }
            program::printed(&mut command, &format!("lag-{}", parts[0]), &arguments.out, INIT_MAX, false)
        };
        let keys = |directory: &Path| -> Result<Keys, BenchError> {
            let printed = run(&["witness", "key", "--json"], directory)?;
            serde_json::from_slice(&printed)
                .map_err(|error| BenchError::Unexpected(format!("a node's keys can't be read: {error}")))
        };
        let witnessed: String = keys(&demo.directory)?
            .logs
            .iter()
            .map(|LogKey { origin, vkey }| format!("[[witness.logs]]\norigin = '{origin}'\nvkeys = ['{vkey}']\n"))
            .collect();
        let (mut witnesses, mut asked) = (Vec::new(), "[log]\n".to_owned());
        for number in 1..=WITNESSES {
            let directory = out.join(format!("witness-{number}"));
            run(&["init", "--tier", "city", "--division", &format!("45{number:02}00")], &directory)?;
            let key = keys(&directory)?.witness;
            append(&directory.join(CONFIGURATION), &witnessed)?;
            let node = Node::serve(&arguments.binary, &directory)?;
            asked += &format!("[[log.witnesses]]\nurl = '{}/witness'\nvkeys = {key:?}\n", node.url);
            witnesses.push(node);
        }
        let node = demo.directory.canonicalize().map_err(|error| file_error("find", &demo.directory, &error))?;
        let file = out.join(CONFIGURATION);
        write(&file, &format!("directory = '{}'\n{asked}", node.display()))?;
        Ok(Setting { witnesses, arguments: vec!["--config".into(), file.into()] })
    }
}

/// Name of a node's configuration.
const CONFIGURATION: &str = "lingqu.toml";

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    fs::write(path, text).map_err(|error| file_error("write", path, &error))
}

fn append(path: &Path, text: &str) -> Result<(), BenchError> {
    let before = fs::read_to_string(path).unwrap_or_default();
    write(path, &format!("{before}\n{text}"))
}

/// The log of a node, from outside.
struct Watched {
    client: Client,
    url: String,
}

impl Watched {
    async fn file(&self, path: &str) -> Result<Vec<u8>, BenchError> {
        let response = self.client.get(format!("{}/log/{path}", self.url)).send().await?.error_for_status()?;
        Ok(response.bytes().await?.to_vec())
    }

    /// Looks at the checkpoint, and keeps it when it is another one than before.
    async fn look(&self, seen: &mut Vec<Seen>) -> Result<(), BenchError> {
        let note = self.file("checkpoint").await?;
        let at = Instant::now();
        let wrong = |problem: String| BenchError::Unexpected(format!("the checkpoint is none: {problem}"));
        let text = String::from_utf8(note).map_err(|error| wrong(error.to_string()))?;
        let note = SignedNote::parse(&text).map_err(|error| wrong(error.to_string()))?;
        let size = Checkpoint::from_text(note.text()).map_err(|error| wrong(error.to_string()))?.size;
        // The log's own line, and one of each witness. What they are worth is not measured here.
        let is_cosigned = note.signatures().len() > WITNESSES;
        if seen.last().is_none_or(|last| (last.size, last.is_cosigned) != (size, is_cosigned)) {
            seen.push(Seen { at, size, is_cosigned });
        }
        Ok(())
    }

    /// Looks until what is seen is as wanted.
    async fn settled(&self, is_wanted: impl Fn(&Seen) -> bool) -> Result<Seen, BenchError> {
        let (begun, mut seen) = (Instant::now(), Vec::new());
        while begun.elapsed() < SETTLED_MAX {
            self.look(&mut seen).await?;
            if let Some(last) = seen.last().filter(|last| is_wanted(last)) {
                return Ok(*last);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(BenchError::Unexpected(format!("the log was not cosigned within {} s", SETTLED_MAX.as_secs())))
    }

    /// [`Watched::position_at`], asked for once.
    async fn position_once(&self, size: u64, known: &mut BTreeMap<u64, u64>) -> Result<u64, BenchError> {
        if let Some(position) = known.get(&size) {
            return Ok(*position);
        }
        let position = self.position_at(size).await?;
        known.insert(size, position);
        Ok(position)
    }

    /// A bundle with so many entries at least, and how many it has: a log may have removed the beginning of one that is full by now
    /// (tlog-tiles, "Partial Tiles").
    async fn bundle(&self, index: u64, width: u16) -> Result<(Vec<u8>, u16), BenchError> {
        match self.file(&TilePath::entries(index, width).to_string()).await {
            Err(BenchError::Http(error))
                if error.status() == Some(StatusCode::NOT_FOUND) && u64::from(width) < TILE_WIDTH =>
            {
                let full = u16::try_from(TILE_WIDTH).unwrap_or(u16::MAX);
                Ok((self.file(&TilePath::entries(index, full).to_string()).await?, full))
            }
            other => Ok((other?, width)),
        }
    }

    /// Position of the last receipt that a log of this size holds; 0 where it holds none.
    async fn position_at(&self, size: u64) -> Result<u64, BenchError> {
        let wrong = |problem: String| BenchError::Unexpected(format!("a bundle of the log is none: {problem}"));
        for index in (0..size.div_ceil(TILE_WIDTH)).rev() {
            let width = (size - index * TILE_WIDTH).min(TILE_WIDTH);
            let width = u16::try_from(width).map_err(|error| wrong(error.to_string()))?;
            let (bundle, held) = self.bundle(index, width).await?;
            let entries = decode_bundle(&bundle, held).map_err(|error| wrong(error.to_string()))?;
            for entry in entries.iter().take(width.into()).rev() {
                if let Ok(entry) = LogEntry::decode(entry)
                    && entry.kind() == RecordKind::Receipt
                {
                    return Ok(entry.first_position() + entry.pairs().len() as u64 - 1);
                }
            }
        }
        Ok(0)
    }
}

/// How long each record waited, in seconds: from its answer until a checkpoint was seen that reaches its position. Records are taken to
/// have the positions in which their answers came; those that were on the way beside one another may differ by a few places. What
/// no checkpoint reaches waits without end.
fn waits(answered: &[Instant], base: u64, seen: impl Iterator<Item = (Instant, u64)>) -> Vec<f64> {
    let seen: Vec<(Instant, u64)> = seen.collect();
    let mut next = 0;
    let wait = |(place, at): (usize, &Instant)| {
        let position = base + place as u64 + 1;
        while seen.get(next).is_some_and(|(_, reached)| *reached < position) {
            next += 1;
        }
        seen.get(next).map_or(f64::INFINITY, |(seen, _)| seen.saturating_duration_since(*at).as_secs_f64())
    };
    answered.iter().enumerate().map(wait).collect()
}

/// Sends the plan's requests over some connections for a while; the instants of the answers, in order.
async fn answered(plan: Arc<Plan>, connections: usize, span: Duration) -> Result<Vec<Instant>, BenchError> {
    let (next, until) = (Arc::new(AtomicUsize::new(0)), Instant::now() + span);
    let mut running = JoinSet::new();
    for _ in 0..connections {
        let (plan, next) = (Arc::clone(&plan), Arc::clone(&next));
        running.spawn(async move {
            let mut stream = TcpStream::connect(&plan.address).await?;
            stream.set_nodelay(true)?;
            let (mut buffer, mut times) = (Vec::with_capacity(16 * 1_024), Vec::new());
            while Instant::now() < until {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let request = &plan.requests[number % plan.requests.len()];
                load::exchange(&mut stream, request, &mut buffer).await?;
                times.push(Instant::now());
            }
            Ok::<_, std::io::Error>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(ended) = running.join_next().await {
        times.extend(ended.map_err(|error| BenchError::Unexpected(format!("a connection was lost: {error}")))??);
    }
    times.sort_unstable();
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_waits_until_a_checkpoint_reaches_it() {
        let begun = Instant::now();
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let answered = [at(0), at(100), at(200), at(900)];
        let found = waits(&answered, 40, [(at(50), 40), (at(300), 42), (at(1_000), 43)].into_iter());
        let expected = [0.3, 0.2, 0.8, f64::INFINITY];
        assert!(
            found.iter().zip(expected).all(|(found, expected)| found == &expected || (found - expected).abs() < 1e-9)
        );
        // One that a checkpoint held before its answer was read has not waited.
        assert_eq!(waits(&[at(500)], 0, [(at(400), 1)].into_iter()), [0.0]);
    }
}
