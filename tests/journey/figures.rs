//! The figures of the report: those that are known from elsewhere, and the golden file with all that do not depend on the
//! day of the run.

use std::collections::BTreeMap;
use std::fmt::Write;

use lingqu_demo::DemoReport;
use serde_json::Value;

/// Figures that are other ones in every run: ids, times, sizes of what holds random bytes, dates.
const CHANGING: [&str; 25] = [
    "bytes",
    "cells_unlike_between_consumers",
    "cells_unlike_between_orders_of_one",
    "checkpoint",
    "csv_bytes",
    "csv_milliseconds",
    "example",
    "first_code",
    "flight_mandate",
    "flight_permit",
    "innocent_scores_so_high_below",
    "log_entries",
    "marked_positions",
    "milliseconds",
    "order",
    "other_order_scores_so_high_below",
    "parquet_bytes",
    "parquet_milliseconds",
    "publicity_calendar_days",
    "receipt",
    "receipt_records",
    "rows_found_again",
    "tailnum_for_insurer",
    "tailnum_for_institute",
    "time_to_refusal_ms",
];

/// Failing rows and rows looked at, as `demo/data/count.py` counts them with nothing but Python's csv module.
const COUNTED_ELSEWHERE: [(&str, u64, u64); 12] = [
    ("flights.dep_time.present", 8_255, 336_776),
    ("flights.tailnum.present", 2_512, 336_776),
    ("flights.tailnum.registered", 50_094, 334_264),
    ("flights.dest.registered", 7_602, 336_776),
    ("flights.arr_delay.present", 9_430, 336_776),
    ("weather.local_hour.unique", 6, 26_115),
    ("planes.year.present", 70, 3_322),
    ("airports.tzone.present", 3, 1_458),
    ("divisions_statistical.code.in_gb2260", 9, 111),
    ("divisions_gb2260.code.in_statistical", 8, 110),
    ("divisions_gb2260.heading.in_statistical", 14, 14),
    ("divisions_gb2260.code.in_force", 6, 145),
];

/// Every step and refusal came out as it should, with the figures that are known from elsewhere.
pub fn are_as_known(report: &DemoReport) {
    assert!(report.is_good(), "{:?}", report.refusals.iter().filter(|refusal| !refusal.expected).collect::<Vec<_>>());
    for (place, step) in report.steps.iter().enumerate() {
        assert_eq!(step.number, place + 1);
        assert!(step.ok, "{}", step.name_en);
    }
    let found: BTreeMap<_, _> = report.quality.iter().map(|finding| (finding.rule.as_str(), finding)).collect();
    for (rule, failing, checked) in COUNTED_ELSEWHERE {
        let finding = found.get(rule).unwrap_or_else(|| panic!("no finding by {rule}"));
        assert_eq!((finding.failing, finding.checked), (failing, checked), "{rule}");
    }
    // 336,776 flights, of which SkyWest (OO) has 32, whom the permit leaves out.
    assert_eq!(figure(report, "flights"), 336_776);
    assert_eq!(figure(report, "csv_rows"), 336_776 - 32);
    // Half of the applicants qualify by the truth that the generator planted, and the node says so of each.
    assert_eq!((figure(report, "applicants"), figure(report, "qualified")), (Value::from(20), Value::from(10)));
    assert_eq!(figure(report, "truth_agrees"), true);
    // Of an applicant who has not consented, or not any more, the node tells as little as of nobody.
    assert_eq!(
        (figure(report, "before_consent"), figure(report, "after_withdrawal")),
        ("not_found".into(), "not_found".into())
    );
    // A fifth of 655,000 positions, each of two cells, is marked; bits of two consumers differ in a fifth to three tenths of them,
    // those of two orders of one consumer in as many of the tenth that hangs on the order.
    let count = |name: &str| figure(report, name).as_u64().unwrap_or_else(|| panic!("{name} is a count"));
    assert!((52_000..79_000).contains(&count("cells_unlike_between_consumers")));
    assert!((5_200..8_200).contains(&count("cells_unlike_between_orders_of_one")));
    // Without its key a flight is found again unless another one looks like it, or too many of its cells are marked.
    assert!((2_500..=5_000).contains(&count("rows_found_again")) && count("marked_positions") > 1_000);
    for name in ["innocent_scores_so_high_below", "other_order_scores_so_high_below"] {
        let told = figure(report, name);
        assert!(told.as_str().and_then(|told| told.parse::<f64>().ok()).is_some_and(|bound| bound < 1e-6), "{told}");
    }
    // The mandate's suspension shuts every order under it, and its resumption opens them again.
    let suspension = &report.suspension;
    assert_eq!((suspension.requests_before, suspension.refused_after, suspension.answered_after_resumption), (7, 7, 7));
}

fn figure(report: &DemoReport, name: &str) -> Value {
    let found = report.steps.iter().find_map(|step| step.figures.get(name));
    found.unwrap_or_else(|| panic!("no step has the figure {name}")).clone()
}

/// All that does not depend on the day: steps with figures, findings, refusals, books.
pub fn are_the_golden_ones(report: &DemoReport) {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("writing into memory can't fail");
    for step in &report.steps {
        line(format!("step {} {}", step.number, step.name_en));
        for (name, value) in step.figures.iter().filter(|(name, _)| !CHANGING.contains(&name.as_str())) {
            line(format!("  {name} {value}"));
        }
    }
    for finding in &report.quality {
        line(format!("finding {} {}/{} {}", finding.rule, finding.failing, finding.checked, finding.column));
    }
    for refusal in &report.refusals {
        line(format!("refusal {} {} {}", refusal.status, refusal.code, refusal.tried));
    }
    for (name, amount) in &report.ledger.totals {
        line(format!("ledger {name} {amount}"));
    }
    for order in &report.orders {
        line(format!("order {} {} {}", order.product, order.nature, order.modes.join(",")));
    }
    let path = format!("{}/journey/golden/report.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("LINGQU_GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::write(&path, &text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "the demo's report differs from {path}");
}
