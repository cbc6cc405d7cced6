//! The report as people read it.

use std::fmt::Write;

use serde_json::Value;

use crate::report::{DemoReport, Step};

fn figure(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One step with its figures.
pub fn print_step(step: &Step) -> String {
    let mark = if step.ok { "✓" } else { "✗" };
    let mut text = format!("{mark} {:>2}. {}\n       {}\n", step.number, step.name, step.name_en);
    for (name, value) in &step.figures {
        let _ = writeln!(text, "         {name}: {}", figure(value));
    }
    text
}

/// What follows the steps: findings, refusals, orders, books, suspension, evidence.
pub fn print_report(report: &DemoReport) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "\n数据质量发现 / Quality findings (exact counts)");
    for finding in &report.quality {
        let _ = writeln!(
            text,
            "  {:>7} / {:<7} {}.{}  {}",
            finding.failing, finding.checked, finding.table, finding.column, finding.sentence
        );
    }
    let _ = writeln!(text, "\n有意展示的拒绝 / Refusals shown on purpose (the problem document the client got)");
    for refusal in &report.refusals {
        let mark = if refusal.expected { "✓" } else { "✗" };
        let _ = writeln!(text, "  {mark} {} → {} {}", refusal.tried, refusal.status, refusal.code);
        let document = serde_json::to_string_pretty(&refusal.problem).unwrap_or_default();
        for line in document.lines() {
            let _ = writeln!(text, "      {line}");
        }
    }
    let _ = writeln!(text, "\n订单 / Orders");
    for order in &report.orders {
        let _ = writeln!(
            text,
            "  {} {} [{}] {} ({})",
            order.id,
            order.product,
            order.nature,
            order.consumer,
            order.modes.join(", ")
        );
    }
    let _ = writeln!(text, "\n账目 / Books: balanced {}", report.ledger.balanced);
    for (name, amount) in &report.ledger.totals {
        let _ = writeln!(text, "  {name:<20} {amount:>14} 元");
    }
    let _ = writeln!(
        text,
        "\n中止 / Suspension: {} answered before, {} refused after ({:.1} ms), {} answered after resumption",
        report.suspension.requests_before,
        report.suspension.refused_after,
        report.suspension.time_to_refusal_ms,
        report.suspension.answered_after_resumption
    );
    let _ = writeln!(
        text,
        "证据 / Evidence: {} (verified {}, {}/{} changed bytes found and named)",
        report.evidence.file, report.evidence.verified, report.evidence.changes_found, report.evidence.changes_tried
    );
    let witness = &report.witness;
    let _ = writeln!(
        text,
        "见证 / Witness: checkpoint of {} entries cosigned in {} logs; a rewritten one refused {}, proof {}",
        witness.log_size, witness.cosigned_logs, witness.rewriting_refused, witness.proof
    );
    let trace = &report.trace;
    let _ = writeln!(
        text,
        "溯源 / Leak: {} → {} {} (an innocent one scores so high with less than {}), cleared {}; {} (verified {}, {}/{} changed bytes found)",
        trace.fragment,
        trace.consumer,
        trace.order,
        trace.p_value_below,
        trace.cleared.join("、"),
        trace.evidence,
        trace.verified,
        trace.changes_found,
        trace.changes_tried
    );
    text
}
