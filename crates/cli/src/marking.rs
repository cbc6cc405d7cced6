//! `lingqu marking propose`: which columns of a table could carry marks, and which are tied.

use clap::Subcommand;
use jiff::Timestamp;
use lingqu_app::MarkingProposal;
use lingqu_domain::marking::{Keeps, RATE_PER_MILLION_MAX};
use lingqu_fingerprint::{ColumnProposal, Encoding, Finding};
use serde::Serialize;

use crate::config::NodeArguments;
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, telemetry};

/// The step that is found for days, in nanoseconds; the engine keeps them as counts of days.
const DAY_NANOSECONDS: i64 = 86_400_000_000_000;
/// The engine keeps moments in microseconds.
const MOMENT_UNITS_PER_SECOND: f64 = 1e6;
/// Above this share of heaped values single steps show.
const HEAPING_MAX: f64 = 0.2;
const SECONDS_PER_DAY: i64 = 86_400;
const MINUTES_PER_HOUR: i64 = 60;
/// Why columns about persons are looked at no further.
const EXACT_BY_LAW: &str = "data about persons takes no declaration: it is accurate and complete by law (PIPL art. 8)";
/// What the node can't tell by itself.
const CREDIT_DATA: &str =
    "Credit data takes no declaration either (Regulation on the Credit Reporting Industry art. 23).";

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
    /// Columns about persons, of which nothing else is told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exact_by_law: Vec<String>,
    /// Why they take no declaration.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_exact: Option<&'static str>,
}

/// A least or greatest value, as the provider knows it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Bound {
    /// A number; a clock time as hours and minutes, 5:17 as 517.
    Number(f64),
    /// A day or a moment in the form of ISO 8601.
    Text(String),
}

#[derive(Serialize)]
struct Column {
    column: String,
    encoding: &'static str,
    /// The step in the column's own unit: seconds of days and moments, minutes of clock times. So are the deviations below.
    step: f64,
    least: Bound,
    greatest: Bound,
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
        let MarkingProposal { table, rows, findings, personal } = proposed;
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
                // Not printed yet (decision 0045).
                Finding::Dependency { .. }
                | Finding::PairsLeftOut(_)
                | Finding::Place { .. }
                | Finding::Category { .. } => {}
            }
        }
        let why_exact = (!personal.is_empty()).then_some(EXACT_BY_LAW);
        Self { table, rows, columns, ties, exact_by_law: personal, why_exact }
    }

    fn text(&self) -> String {
        if let (Some(why), true) = (self.why_exact, self.columns.is_empty()) {
            return format!("{}: {why}\n", self.table);
        }
        let mut rows = Vec::new();
        for column in &self.columns {
            rows.push(vec![
                column.column.clone(),
                column.encoding.to_owned(),
                format!("{}", column.step),
                column.least.to_string(),
                column.greatest.to_string(),
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
        if let Some(why) = self.why_exact {
            text.push_str(&format!("\nleft out: {} ({why})\n", self.exact_by_law.join(", ")));
        }
        text.push_str(&format!("\n{CREDIT_DATA}\n"));
        text
    }
}

impl Bound {
    /// Of a value in units of its encoding, and how many of these make one of the column's own unit.
    fn of(units: i64, encoding: Encoding, per_one: f64) -> Self {
        let number = Self::Number(units as f64 / per_one);
        let text = match encoding {
            Encoding::Lattice(_) => None,
            Encoding::HoursMinutes => {
                return Self::Number((units / MINUTES_PER_HOUR * 100 + units % MINUTES_PER_HOUR) as f64);
            }
            Encoding::Time { nanoseconds: DAY_NANOSECONDS } => units
                .checked_mul(SECONDS_PER_DAY)
                .and_then(|seconds| Timestamp::from_second(seconds).ok())
                .map(|midnight| midnight.strftime("%Y-%m-%d").to_string()),
            Encoding::Time { .. } => Timestamp::from_microsecond(units).ok().map(|moment| moment.to_string()),
        };
        // A time beyond what a calendar names stays a number.
        text.map_or(number, Self::Text)
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Text(text) => formatter.write_str(text),
        }
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
        // How far a marking may reach unless it states more.
        let reach_share = f64::from(Keeps::default().reach_per_million) / f64::from(RATE_PER_MILLION_MAX);
        let reach = reach_share * found.deviation_given_others / step;
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
            least: Bound::of(found.domain.0, found.encoding, per_one),
            greatest: Bound::of(found.domain.1, found.encoding, per_one),
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
        assert_eq!((column.step, column.amplitude_max), (0.5, 4));
        assert_eq!((column.least, column.greatest), (Bound::Number(-5.0), Bound::Number(100.0)));
        assert_eq!(column.doubt, None);
        assert_eq!(found(tenths, 5, 400.0, 1.0).doubt, Some("the other columns tell it"));
        assert_eq!(found(tenths, 5, 0.0, 0.0).doubt, Some("constant"));
        // An hour of a moment and a day of a date, in seconds.
        let moment = found(Encoding::Time { nanoseconds: 1_000_000_000 }, 3_600_000_000, 1e12, 1e12);
        assert_eq!((moment.encoding, moment.step, moment.amplitude_max), ("moment", 3_600.0, 55));
        let day = found(Encoding::Time { nanoseconds: DAY_NANOSECONDS }, 1, 10.0, 10.0);
        assert_eq!((day.encoding, day.step.round(), day.amplitude_max), ("day", 86_400.0, 2));
    }

    #[test]
    fn times_are_told_as_the_provider_knows_them() {
        let moments = Encoding::Time { nanoseconds: 1_000_000_000 };
        let days = Encoding::Time { nanoseconds: DAY_NANOSECONDS };
        for (units, encoding, text) in [
            (317, Encoding::HoursMinutes, "517"),
            (1_440, Encoding::HoursMinutes, "2400"),
            (1_357_034_400_000_000, moments, "2013-01-01T10:00:00Z"),
            (-3_023, days, "1961-09-22"),
            (0, days, "1970-01-01"),
        ] {
            assert_eq!(Bound::of(units, encoding, 1.0).to_string(), text);
        }
        assert_eq!(Bound::of(i64::MAX, days, 1.0), Bound::Number(i64::MAX as f64));
    }

    #[test]
    fn of_persons_the_law_is_told_and_no_value() {
        let proposed = |findings| MarkingProposal {
            table: "drivers".to_owned(),
            rows: 0,
            findings,
            personal: vec!["birth_on".to_owned()],
        };
        let text = Proposal::of(proposed(Vec::new())).text();
        assert!(text.starts_with("drivers: ") && text.contains("PIPL art. 8"), "{text}");
        let tie = Finding::Copy { first: "a".to_owned(), second: "b".to_owned(), constant: 0 };
        let json = serde_json::to_value(Proposal::of(proposed(vec![tie]))).unwrap();
        assert_eq!(json["exact_by_law"], serde_json::json!(["birth_on"]));
        assert_eq!(json["why_exact"], EXACT_BY_LAW);
    }
}
