//! `lingqu lineage export`: what the node did to data, as events of OpenLineage for other tools.

use clap::Subcommand;
use jiff::Timestamp;
use lingqu_app::{EventCursor, TimeRange};

use crate::config::NodeArguments;
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, telemetry};

/// Events that are made at a time.
const PAGE_EVENTS: usize = 500;

/// Export lineage
#[derive(Debug, clap::Args)]
pub struct LineageArguments {
    #[command(subcommand)]
    command: LineageCommand,
}

#[derive(Debug, Subcommand)]
enum LineageCommand {
    Export(ExportArguments),
}

/// Print snapshots, products and deliveries as events of OpenLineage, one JSON object a line. They hold no personal data and
/// no text of a query
#[derive(Debug, clap::Args)]
struct ExportArguments {
    /// Only events from this moment on (RFC 3339, such as 2026-11-01T00:00:00+08:00)
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only events before this moment
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    #[command(flatten)]
    node: NodeArguments,
}

/// Exports, also beside a running node.
pub async fn run(arguments: LineageArguments) -> Result<(), Failure> {
    let LineageCommand::Export(arguments) = arguments.command;
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    let app = node::open(&configuration, Access::Reading).await?;
    let range = TimeRange { from: arguments.from, to: arguments.to };
    let (mut cursor, mut count) = (EventCursor::default(), 0);
    let exported = loop {
        let page = match app.lineage_events(cursor, range, PAGE_EVENTS).await {
            Ok(page) => page,
            Err(error) => break Err(Failure::from(error)),
        };
        count += page.events.len();
        if let Some(failed) = page.events.iter().find_map(|event| output::print_json(event).err()) {
            break Err(failed);
        }
        match page.next {
            Some(next) => cursor = next,
            None => break Ok(()),
        }
    };
    app.close().await?;
    exported?;
    output::tell(&format!("{count} events"));
    Ok(())
}
