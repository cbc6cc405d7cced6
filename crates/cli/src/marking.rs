//! `lingqu marking propose`: which columns of a table could carry marks and how many, and which are tied or determine others.

use clap::Subcommand;
use jiff::Timestamp;
use lingqu_app::MarkingProposal;
use lingqu_domain::marking::{Keeps, MomentBounds, RATE_PER_MILLION_MAX};
use lingqu_fingerprint::{ColumnProposal, Encoding, Finding, MomentBounds as Shares};
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
const HEADERS: [&str; 13] = [
    "column",
    "values",
    "step",
    "least",
    "greatest",
    "deviation",
    "alone",
    "steps",
    "gap",
    "in order",
    "rate",
    "rate at steps",
    "doubt",
];
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

/// Look at the newest rows of a resource or product and say which columns could carry marks, how far these may reach and how many
/// they may be, and which columns are tied or determine others. It tells no value of a row but the least and the greatest, and of
/// texts some that stand in fifty rows or more; the provider decides
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
    /// The bounds that rates are told for, in millionths of a column's deviation.
    moments: MomentBounds,
    columns: Vec<Column>,
    ties: Vec<Tie>,
    /// Columns that others determine. A marking leaves all of them alone, hangs on what determines its column (`by`), or names
    /// them in `keeps.breaks`.
    dependencies: Vec<Dependency>,
    /// How many of them, the last ones, were seen in a sample alone: there were too many to hold against every row.
    dependencies_of_a_sample: usize,
    /// Pairs of columns for which there was no time to look what they determine.
    pairs_left_out: u64,
    /// Pairs of columns that could carry a mark of places.
    places: Vec<Place>,
    /// Columns that could carry a mark of categories.
    categories: Vec<Category>,
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
    /// The smallest distance between two different values; 0 of a constant.
    gap: f64,
    /// The largest amplitude in steps with which rows stay in the order of this column; 0: no mark keeps it.
    amplitude_in_order: u64,
    /// How many cells of a million an amplitude of one step may move within the bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_per_million: Option<u32>,
    /// And the largest amplitude.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_per_million_at_max: Option<u32>,
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
    /// Columns whose total is exact in each row if one mark moves them by steps that cancel, and leaves the sum alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    total: Vec<String>,
}

#[derive(Serialize)]
struct Dependency {
    by: Vec<String>,
    column: String,
    /// Rows whose determinants stood in a row before.
    repeated: u64,
}

#[derive(Serialize)]
struct Place {
    latitude: String,
    longitude: String,
    decimals: u8,
    /// The smallest distance that shows in so many digits.
    metres_least: f64,
}

#[derive(Serialize)]
struct Category {
    column: String,
    /// Texts that are equally frequent and that no other column tells apart.
    sets: Vec<Vec<String>>,
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
        let MarkingProposal { table, rows, findings, sampled_only, moments, personal } = proposed;
        let mut proposal = Self {
            table,
            rows,
            moments,
            columns: Vec::new(),
            ties: Vec::new(),
            dependencies: Vec::new(),
            dependencies_of_a_sample: sampled_only,
            pairs_left_out: 0,
            places: Vec::new(),
            categories: Vec::new(),
            why_exact: (!personal.is_empty()).then_some(EXACT_BY_LAW),
            exact_by_law: personal,
        };
        for finding in findings {
            match finding {
                Finding::Column(column) => proposal.columns.push(Column::of(column, moments)),
                Finding::Sum { first, second, third, modulus, .. } => {
                    let parts = vec![second, third];
                    let total = if modulus.is_none() { parts.clone() } else { Vec::new() };
                    proposal.ties.push(Tie { sum: first, parts, modulus, total });
                }
                Finding::Copy { first, second, .. } => {
                    proposal.ties.push(Tie { sum: first, parts: vec![second], modulus: None, total: Vec::new() });
                }
                Finding::Dependency { by, column, repeated } => {
                    proposal.dependencies.push(Dependency { by, column, repeated });
                }
                Finding::PairsLeftOut(count) => proposal.pairs_left_out = count,
                Finding::Place { latitude, longitude, decimals, metres_least } => {
                    proposal.places.push(Place { latitude, longitude, decimals, metres_least });
                }
                Finding::Category { column, sets } => proposal.categories.push(Category { column, sets }),
            }
        }
        proposal
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
                column.amplitude_max.to_string(),
                column.gap.to_string(),
                column.amplitude_in_order.to_string(),
                of_million(column.rate_per_million),
                of_million(column.rate_per_million_at_max),
                column.doubt.unwrap_or_default().to_owned(),
            ]);
        }
        let mut text = format!("{}: {} rows\n\n{}", self.table, self.rows, output::table(&HEADERS, &rows));
        let MomentBounds { mean_per_million, deviation_per_million, .. } = self.moments;
        text.push_str(&format!(
            "\nrate, and rate at steps: cells of a million that one step, and that many, may move with the mean at most {mean_per_million} and the deviation at most {deviation_per_million} millionths of the deviation off\nin order: steps with which rows stay in the order of the column\n"
        ));
        text.push_str(&self.relations());
        text.push_str(&self.other_carriers());
        if let Some(why) = self.why_exact {
            text.push_str(&format!("\nleft out: {} ({why})\n", self.exact_by_law.join(", ")));
        }
        text.push_str(&format!("\n{CREDIT_DATA}\n"));
        text
    }

    /// What holds between columns.
    fn relations(&self) -> String {
        let mut text = String::new();
        if !self.ties.is_empty() {
            text.push_str("\ntied in every row (but for a constant); a mark moves such columns together:\n");
        }
        for tie in &self.ties {
            let modulus = tie.modulus.map(|modulus| format!(" modulo {modulus}")).unwrap_or_default();
            text.push_str(&format!("  {} = {}{modulus}\n", tie.sum, tie.parts.join(" + ")));
        }
        for tie in self.ties.iter().filter(|tie| !tie.total.is_empty()) {
            let total = tie.total.join(" + ");
            text.push_str(&format!(
                "  the total {total} stays exact if their steps cancel in one mark, and {} is left alone\n",
                tie.sum
            ));
        }
        if !self.dependencies.is_empty() {
            text.push_str("\ndetermined by others; a mark leaves all of these alone, hangs on what determines its column, or names what it breaks:\n");
        }
        for Dependency { by, column, repeated } in &self.dependencies {
            text.push_str(&format!("  {} -> {column} ({repeated} rows)\n", by.join(" + ")));
        }
        if self.dependencies_of_a_sample > 0 {
            text.push_str(&format!(
                "\nthe last {} of these were seen in a sample alone: there are too many to hold against every row\n",
                self.dependencies_of_a_sample
            ));
        }
        if self.pairs_left_out > 0 {
            text.push_str(&format!(
                "\n{} pairs of columns were not looked at for what they determine: there was no time\n",
                self.pairs_left_out
            ));
        }
        text
    }

    /// What could carry marks beside numbers and times.
    fn other_carriers(&self) -> String {
        let mut text = String::new();
        if !self.places.is_empty() {
            text.push_str("\ncould carry places:\n");
        }
        for Place { latitude, longitude, decimals, metres_least } in &self.places {
            text.push_str(&format!(
                "  {latitude}, {longitude} ({decimals} decimals: {metres_least} metres at least)\n"
            ));
        }
        if !self.categories.is_empty() {
            text.push_str("\ncould carry categories, with texts that the provider says are taken for each other:\n");
        }
        for Category { column, sets } in &self.categories {
            let sets: Vec<String> = sets.iter().map(|set| set.join(" = ")).collect();
            let seen = if sets.is_empty() { "no two texts are alike".to_owned() } else { sets.join(", ") };
            text.push_str(&format!("  {column} ({seen})\n"));
        }
        text
    }
}

fn of_million(rate: Option<u32>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string())
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
    fn of(found: ColumnProposal, moments: MomentBounds) -> Self {
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
        let million = f64::from(RATE_PER_MILLION_MAX);
        let shares = Shares {
            mean_shift: f64::from(moments.mean_per_million) / million,
            deviation_change: f64::from(moments.deviation_per_million) / million,
        };
        let rate = |steps| found.rate_within(steps, shares).map(|rate| (rate * million).floor() as u32);
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
            gap: found.gap as f64 / per_one,
            amplitude_in_order: found.steps_in_order(),
            rate_per_million: rate(1),
            rate_per_million_at_max: rate(amplitude_max),
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
        let found = ColumnProposal {
            column: "c".to_owned(),
            rows: 10_000,
            encoding,
            lattice,
            domain: (-50, 1_000),
            gap: 3 * lattice,
            mean: 0.0,
            deviation,
            deviation_given_others: given_others,
            heaping: 0.0,
        };
        Column::of(found, MomentBounds::default())
    }

    #[test]
    fn a_mark_hides_within_a_fifth_of_what_others_leave_open() {
        let tenths = Encoding::Lattice(Step { unscaled: 1, decimals: 1 });
        let column = found(tenths, 5, 400.0, 100.0);
        assert_eq!((column.step, column.amplitude_max), (0.5, 4));
        assert_eq!((column.least, column.greatest), (Bound::Number(-5.0), Bound::Number(100.0)));
        assert_eq!(column.doubt, None);
        // Values three steps apart keep their order when they move by one. A step is an eightieth of the deviation: 10,000 rows
        // bear it in 4.2 % of the cells, four steps in a sixteenth of that.
        assert_eq!((column.gap, column.amplitude_in_order), (1.5, 1));
        assert_eq!((column.rate_per_million, column.rate_per_million_at_max), (Some(42_077), Some(2_629)));
        assert_eq!(found(tenths, 5, 0.0, 0.0).rate_per_million, None);
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
            sampled_only: 0,
            moments: MomentBounds::default(),
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
