//! `lingqu replay --check`: does everything that the journal determines agree with it, and where not.

use crate::config::NodeArguments;
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, telemetry};

/// Fold the journal again from nothing and compare: read tables, postings, keys, quotas, receipts, metering and the
/// published log
#[derive(Debug, clap::Args)]
pub struct ReplayArguments {
    #[command(flatten)]
    node: NodeArguments,
    /// Compare, and change nothing
    #[arg(long, required = true)]
    check: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Checks a node, also beside a running one. Error: something differs.
pub async fn run(arguments: ReplayArguments) -> Result<(), Failure> {
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    let app = node::open(&configuration, Access::Reading).await?;
    output::tell("folding the journal from nothing, reading every receipt and log entry");
    let report = app.replay_check().await;
    app.close().await?;
    let report = report?;
    if arguments.json {
        output::print_json(&report)?;
    } else {
        let mut text = String::new();
        for (what, count) in [
            ("events", report.events),
            ("rows", report.rows),
            ("postings", report.postings),
            ("service keys", report.service_keys),
            ("keys of marks", report.mark_keys),
            ("receipts", report.receipts),
            ("metering windows", report.metering_windows),
            ("log entries", report.log_entries),
        ] {
            text.push_str(&format!("{what:<18}{count}\n"));
        }
        if !report.differences.is_empty() {
            let rows: Vec<Vec<String>> = report
                .differences
                .iter()
                .map(|difference| vec![difference.table.clone(), difference.id.clone(), difference.problem.clone()])
                .collect();
            text.push('\n');
            text.push_str(&output::table(&["table", "row", "difference"], &rows));
        }
        text.push_str(if report.agrees { "they agree\n" } else { "they differ\n" });
        output::print(&text)?;
    }
    if report.agrees {
        return Ok(());
    }
    Err(Failure::Outcome(
        "journal, tables, receipts or log differ: stop the node, keep a copy of its directory and database, and restore what \
         differs from a backup"
            .to_owned(),
    ))
}
