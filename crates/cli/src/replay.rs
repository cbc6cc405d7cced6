//! `lingqu replay --check`: do journal and read tables agree, and where not.

use crate::config::NodeArguments;
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, telemetry};

/// Fold the journal again from nothing and compare: read tables, postings and the published log
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
    output::tell("folding the journal from nothing");
    let report = app.replay_check().await;
    app.close().await?;
    let report = report?;
    if arguments.json {
        output::print_json(&report)?;
    } else {
        let mut text = format!(
            "events       {}\nrows         {}\npostings     {}\nlog entries  {}\n",
            report.events, report.rows, report.postings, report.log_entries
        );
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
        "journal and tables differ: stop the node, keep a copy of its database and restore it from a backup".to_owned(),
    ))
}
