//! Receipts as tables, by the million: how fast deliveries that ended get into the table, and how long those who supervise wait for an
//! answer about all of them, about one day, and about one order; and a party, who sees its own orders alone. The receipts are made up.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use lingqu_domain::predicate::{Literal, Predicate};
use lingqu_domain::scope::ColumnName;
use lingqu_engine::receipt_table::{ReceiptRow, ReceiptTable, query_receipts};
use lingqu_engine::{Engine, EngineSettings, Limits};
use serde::Serialize;

use crate::Failed;

/// Receipts that are written at once, as a node does.
const ROWS_AT_ONCE: u64 = 50_000;
/// Days that they are of, orders, and consumers.
const DAYS: u64 = 30;
const ORDERS: u64 = 1_000;
const CONSUMERS: u64 = 50;
/// Orders that a party has part in.
const ORDERS_OF_PARTY: u64 = 10;

/// Measure statements over receipts
#[derive(Debug, clap::Args)]
pub struct ReceiptsArguments {
    /// Where the table and the result go; it is emptied first
    #[arg(long, default_value = "bench/out/receipts")]
    out: PathBuf,
    /// Receipts
    #[arg(long, default_value_t = 3_000_000)]
    receipts: u64,
    /// How often each statement is asked; the best time counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

#[derive(Debug, Serialize)]
struct Asked {
    question: String,
    ms: f64,
}

#[derive(Debug, Serialize)]
struct Measured {
    receipts: u64,
    days: usize,
    bytes: u64,
    rows_per_second: f64,
    asked: Vec<Asked>,
}

/// Measures, prints and writes `receipts.json`.
pub async fn measure(arguments: &ReceiptsArguments) -> Result<(), Failed> {
    let out = std::path::absolute(&arguments.out)?;
    match std::fs::remove_dir_all(&out) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => std::fs::create_dir_all(out.join("spill"))?,
    }
    // Each day and each order has as many receipts as any other.
    let unit = DAYS * ORDERS;
    let count = arguments.receipts.clamp(unit, 100_000_000) / unit * unit;
    let directory = out.join("table");
    let mut table = ReceiptTable::open(&directory)?;
    eprintln!("writing {count} receipts of {DAYS} days");
    let begun = Instant::now();
    let mut first = 0;
    while first < count {
        let next = count.min(first + ROWS_AT_ONCE);
        let rows: Vec<ReceiptRow> = (first..next).map(|number| row(number, count)).collect::<Result<_, Failed>>()?;
        table.append(&rows, next, "made up")?;
        table.settle()?;
        first = next;
    }
    table.settle()?;
    let rows_per_second = count as f64 / begun.elapsed().as_secs_f64();
    let bytes: u64 = table.files().files().iter().map(|file| file.size).sum();
    let days = table.days().len();
    let engine = Arc::new(Engine::new(&EngineSettings::moderate(out.join("spill")))?);
    let mut asked = Vec::new();
    for Question { words, sql, rows, expected } in questions(count)? {
        let mut best = f64::MAX;
        for _ in 0..arguments.runs.clamp(1, 50) {
            let begun = Instant::now();
            let answer = query_receipts(&engine, table.files(), rows.clone(), &sql, Limits::default()).await?;
            best = best.min(begun.elapsed().as_secs_f64() * 1_000.0);
            let found = answer.rows.iter().filter_map(|row| row["count"].as_u64()).sum::<u64>();
            if found != expected {
                return Err(format!("{words}: {found} receipts were counted, not {expected}").into());
            }
        }
        asked.push(Asked { question: words.to_owned(), ms: best });
    }
    let measured = Measured { receipts: count, days, bytes, rows_per_second, asked };
    let mut text = format!(
        "{} receipts of {} days in {} MB, {:.0} written a second\n",
        measured.receipts,
        measured.days,
        measured.bytes / 1_000_000,
        measured.rows_per_second
    );
    for Asked { question, ms } in &measured.asked {
        text += &format!("{question}: {ms:.0} ms\n");
    }
    std::io::stdout().lock().write_all(text.as_bytes())?;
    std::fs::write(out.join("receipts.json"), serde_json::to_string_pretty(&measured)? + "\n")?;
    Ok(())
}

/// A statement, and how many receipts its answer must count.
struct Question {
    words: &'static str,
    sql: String,
    rows: Option<Predicate>,
    expected: u64,
}

fn questions(count: u64) -> Result<Vec<Question>, Failed> {
    let by_consumer = "SELECT consumer, count(*) AS count, sum(rows_left) AS rows FROM receipts";
    let order = order(ORDERS / 2);
    let orders = (0..ORDERS_OF_PARTY).map(|number| Literal::Text(self::order(number))).collect();
    Ok(vec![
        Question {
            words: "all, by consumer",
            sql: format!("{by_consumer} GROUP BY consumer"),
            rows: None,
            expected: count,
        },
        Question {
            words: "one day, by consumer",
            sql: format!("{by_consumer} WHERE day = DATE '2026-11-15' GROUP BY consumer"),
            rows: None,
            expected: count / DAYS,
        },
        Question {
            words: "one order",
            sql: format!("SELECT count(*) AS count, sum(bytes) AS bytes FROM receipts WHERE order_id = '{order}'"),
            rows: None,
            expected: count / ORDERS,
        },
        Question {
            words: "one order on one day",
            sql: format!(
                "SELECT count(*) AS count FROM receipts WHERE order_id = '{order}' AND day = DATE '2026-11-15'"
            ),
            rows: None,
            expected: count / DAYS / ORDERS,
        },
        Question {
            words: "all that a party of ten orders may see, by consumer",
            sql: format!("{by_consumer} GROUP BY consumer"),
            rows: Some(Predicate::In { column: ColumnName::new("order_id")?, values: orders }),
            expected: count / ORDERS * ORDERS_OF_PARTY,
        },
    ])
}

fn order(number: u64) -> String {
    format!("ord_{:032x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// A receipt of so many: as of a verification, in the order in which they ended.
fn row(number: u64, count: u64) -> Result<ReceiptRow, Failed> {
    let begin: Timestamp = "2026-11-01T00:00:00Z".parse()?;
    let of_day = count / DAYS;
    let millis = i64::try_from(number / of_day * 86_400_000 + number % of_day * 86_400_000 / of_day)?;
    let closed_at = begin + SignedDuration::from_millis(millis);
    // Spread over the orders, so that none of them has a stretch of its own.
    let place = number.wrapping_mul(7_919) % ORDERS;
    let digest = format!("{:064x}", number.wrapping_mul(0xd6e8_feb8_6659_fd93));
    Ok(ReceiptRow {
        position: number + 1,
        first_position: number + 1,
        receipt: format!("rcp_{number:032x}"),
        at: closed_at,
        closed_at,
        order: order(place),
        consumer: format!("pty_{:032x}", place % CONSUMERS),
        operator: format!("pty_{:032x}", CONSUMERS + place % 5),
        product: format!("prd_{:032x}", place % 20),
        permits: vec![format!("pmt_{:032x}", place % 20)],
        purpose: "insurance.claims".to_owned(),
        mode: "verification".to_owned(),
        protocol: "rest".to_owned(),
        nature: "SYNTHETIC".to_owned(),
        outcome: "delivered".to_owned(),
        rows: 1,
        answer_rows: 1,
        bytes: 40,
        calls: 1,
        columns: vec!["late_three_hours".to_owned()],
        conditions: vec!["day".to_owned(), "flight".to_owned()],
        snapshots: vec![format!("res_{:032x}@3", place % 20)],
        grant_digest: format!("{place:064x}"),
        rulebook_version: "1".to_owned(),
        request_digest: digest.clone(),
        query_digest: Some(digest),
        node: format!("nod_{:032x}", 1),
        log_entry: Some(number / 500),
        row_set: Some(vec![0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 5, 0]),
        ..ReceiptRow::default()
    })
}
