//! `lingqu marking propose`: which columns of a table could carry marks, and which are tied.

use clap::Subcommand;
use lingqu_app::MarkingProposal;
use lingqu_fingerprint::{ColumnProposal, Encoding, Finding};
use serde::Serialize;

use crate::config::NodeArguments;
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, telemetry};

/// A mark that reaches farther than this share of what the other columns leave open can be found by whoever knows how they hang
/// together.
const REACH_SHARE: f64 = 0.2;
/// The step that is found for days, in nanoseconds; the engine keeps them as counts of days.
const DAY_NANOSECONDS: i64 = 86_400_000_000_000;
/// The engine keeps moments in microseconds.
const MOMENT_UNITS_PER_SECOND: f64 = 1e6;
/// Above this share of heaped values single steps show.
const HEAPING_MAX: f64 = 0.2;

/// Marks in copies
#[derive(Debug, clap::Args)]
pub struct MarkingArguments {
    #[command(subcommand)]
    command: MarkingCommand,
}

#[derive(Debug, Subcommand)]
enum MarkingCommand {
    Propose(ProposeArguments),
}

/// Look at the newest rows of a resource or product and say which columns could carry marks, how far these may reach, and which
/// columns are tied. It tells no value of a row but the least and the greatest; the provider decides
#[derive(Debug, clap::Args)]
struct ProposeArguments {
    /// The resource or product: its id or its table name
    #[arg(value_name = "RESOURCE|PRODUCT")]
    name: String,
    #[command(flatten)]
    node: NodeArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Proposal {
    table: String,
    rows: u64,
    columns: Vec<Column>,
    ties: Vec<Tie>,
}

#[derive(Serialize)]
struct Column {
    column: String,
    encoding: &'static str,
    /// The step in the column's own unit: seconds of days and moments, minutes of clock times. So are the numbers below; moments count
    /// from 1970.
    step: f64,
    least: f64,
    greatest: f64,
    deviation: f64,
    deviation_given_others: f64,
    heaping: f64,
    /// The largest amplitude in steps that hides among the other columns; 0: the column can't carry marks.
    amplitude_max: u32,
    /// Why it should rather not.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubt: Option<&'static str>,
}

#[derive(Serialize)]
struct Tie {
    /// The column that is the sum of the others.
    sum: String,
    parts: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modulus: Option<i64>,
}

/// Carries out the subcommand.
pub async fn run(arguments: MarkingArguments) -> Result<(), Failure> {
    let MarkingCommand::Propose(arguments) = arguments.command;
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    let app = node::open(&configuration, Access::Reading).await?;
    let proposed = app.propose_marking(&arguments.name).await;
    app.close().await?;
    let proposal = Proposal::of(proposed?);
    if arguments.json { output::print_json(&proposal) } else { output::print(&proposal.text()) }
}

impl Proposal {
    fn of(proposed: MarkingProposal) -> Self {
        let MarkingProposal { table, rows, findings } = proposed;
        let (mut columns, mut ties) = (Vec::new(), Vec::new());
        for finding in findings {
            match finding {
                Finding::Column(column) => columns.push(Column::of(column)),
                Finding::Sum { first, second, third, modulus, .. } => {
                    ties.push(Tie { sum: first, parts: vec![second, third], modulus });
                }
                Finding::Copy { first, second, .. } => {
                    ties.push(Tie { sum: first, parts: vec![second], modulus: None })
                }
            }
        }
        Self { table, rows, columns, ties }
    }

    fn text(&self) -> String {
        let mut rows = Vec::new();
        for column in &self.columns {
            rows.push(vec![
                column.column.clone(),
                column.encoding.to_owned(),
                format!("{}", column.step),
                format!("{}", column.least),
                format!("{}", column.greatest),
                format!("{:.3}", column.deviation),
                format!("{:.3}", column.deviation_given_others),
                format!("{}", column.amplitude_max),
                column.doubt.unwrap_or_default().to_owned(),
            ]);
        }
        let headers = ["column", "values", "step", "least", "greatest", "deviation", "alone", "steps", "doubt"];
        let mut text = format!("{}: {} rows\n\n{}", self.table, self.rows, output::table(&headers, &rows));
        if !self.ties.is_empty() {
            text.push_str("\ntied in every row (but for a constant); a mark moves such columns together:\n");
        }
        for tie in &self.ties {
            let modulus = tie.modulus.map(|modulus| format!(" modulo {modulus}")).unwrap_or_default();
            text.push_str(&format!("  {} = {}{modulus}\n", tie.sum, tie.parts.join(" + ")));
        }
        text
    }
}

impl Column {
    fn of(found: ColumnProposal) -> Self {
        // Units of the encoding, and how many make one of the column's own unit.
        let (encoding, per_one) = match found.encoding {
            Encoding::Lattice(step) => ("number", 10f64.powi(i32::from(step.decimals))),
            Encoding::Time { nanoseconds: DAY_NANOSECONDS } => ("day", 1.0 / 86_400.0),
            Encoding::Time { .. } => ("moment", MOMENT_UNITS_PER_SECOND),
            Encoding::HoursMinutes => ("hours and minutes", 1.0),
        };
        let step = found.lattice as f64;
        let reach = REACH_SHARE * found.deviation_given_others / step;
        // Saturates: a reach beyond what fits is as good as any.
        let amplitude_max = if reach.is_finite() { reach.floor() as u32 } else { 0 };
        let doubt = if found.deviation == 0.0 {
            Some("constant")
        } else if found.heaping > HEAPING_MAX {
            Some("heaped on round numbers: single steps show")
        } else if amplitude_max == 0 {
            Some("the other columns tell it")
        } else {
            None
        };
        Self {
            column: found.column,
            encoding,
            step: step / per_one,
            least: found.domain.0 as f64 / per_one,
            greatest: found.domain.1 as f64 / per_one,
            deviation: found.deviation / per_one,
            deviation_given_others: found.deviation_given_others / per_one,
            heaping: found.heaping,
            amplitude_max,
            doubt,
        }
    }
}

#[cfg(test)]
mod tests {
    use lingqu_fingerprint::Step;

    use super::*;

    fn found(encoding: Encoding, lattice: i64, deviation: f64, given_others: f64) -> Column {
        Column::of(ColumnProposal {
            column: "c".to_owned(),
            encoding,
            lattice,
            domain: (-50, 1_000),
            gap: lattice,
            mean: 0.0,
            deviation,
            deviation_given_others: given_others,
            heaping: 0.0,
        })
    }

    #[test]
    fn a_mark_hides_within_a_fifth_of_what_others_leave_open() {
        let tenths = Encoding::Lattice(Step { unscaled: 1, decimals: 1 });
        let column = found(tenths, 5, 400.0, 100.0);
        assert_eq!((column.step, column.least, column.greatest, column.amplitude_max), (0.5, -5.0, 100.0, 4));
        assert_eq!(column.doubt, None);
        assert_eq!(found(tenths, 5, 400.0, 1.0).doubt, Some("the other columns tell it"));
        assert_eq!(found(tenths, 5, 0.0, 0.0).doubt, Some("constant"));
        // An hour of a moment and a day of a date, in seconds.
        let moment = found(Encoding::Time { nanoseconds: 1_000_000_000 }, 3_600_000_000, 1e12, 1e12);
        assert_eq!((moment.encoding, moment.step, moment.amplitude_max), ("moment", 3_600.0, 55));
        let day = found(Encoding::Time { nanoseconds: DAY_NANOSECONDS }, 1, 10.0, 10.0);
        assert_eq!((day.encoding, day.step.round(), day.amplitude_max), ("day", 86_400.0, 2));
    }
}
