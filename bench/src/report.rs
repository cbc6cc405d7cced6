//! The table for people and the object for programs. A goal that is missed is told, not hidden; it is no error. What could
//! not be measured is one.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::failure::{BenchError, file_error};
use crate::machine::Machine;
use crate::section::Section;

/// What a figure is held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The figure keeps the goal.
    Met,
    /// It does not.
    Missed,
    /// What was measured is smaller than what the goal speaks of.
    NotJudged,
}

/// A goal and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Goal {
    /// In words, such as `at least 0.5`.
    pub text: String,
    /// Whether it is kept.
    pub verdict: Verdict,
}

impl Goal {
    /// A figure must not exceed a bound.
    pub fn at_most(bound: f64, figure: f64, unit: &str) -> Goal {
        Goal { text: format!("at most {bound}{unit}"), verdict: Goal::of(figure <= bound) }
    }

    /// A figure must reach a bound.
    pub fn at_least(bound: f64, figure: f64, unit: &str) -> Goal {
        Goal { text: format!("at least {bound}{unit}"), verdict: Goal::of(figure >= bound) }
    }

    /// Kept or not.
    pub fn of(is_met: bool) -> Verdict {
        if is_met { Verdict::Met } else { Verdict::Missed }
    }

    /// The same goal, not judged unless what was measured is as large as it says.
    pub fn only_if(self, is_large_enough: bool) -> Goal {
        if is_large_enough { self } else { Goal { verdict: Verdict::NotJudged, ..self } }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The figure.
    pub figure: String,
    /// What it stands beside.
    pub beside: String,
    /// The ratio of the two, where there is one.
    pub ratio: Option<f64>,
    /// The goal, where there is one.
    pub goal: Option<Goal>,
}

impl Row {
    /// A figure with what belongs to it.
    pub fn new(what: impl Into<String>, figure: impl Into<String>, beside: impl Into<String>) -> Row {
        Row { what: what.into(), figure: figure.into(), beside: beside.into(), ratio: None, goal: None }
    }

    /// With the ratio to what it stands beside.
    pub fn ratio(self, ratio: f64) -> Row {
        Row { ratio: Some(ratio), ..self }
    }

    /// With its goal.
    pub fn goal(self, goal: Goal) -> Row {
        Row { goal: Some(goal), ..self }
    }
}

/// What a section measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Lines of the table.
    pub rows: Vec<Row>,
    /// Everything that was measured.
    pub measured: Value,
    /// What of the section could not be measured, and why.
    pub missing: BTreeMap<String, String>,
}

impl Figures {
    /// Lines with what they were made of.
    pub fn new(rows: Vec<Row>, measured: &impl Serialize) -> Result<Figures, BenchError> {
        let measured = serde_json::to_value(measured).map_err(|error| BenchError::Unexpected(error.to_string()))?;
        Ok(Figures { rows, measured, missing: BTreeMap::new() })
    }
}

/// Everything of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// How it was asked for.
    pub arguments: Value,
    /// What each section measured.
    pub sections: BTreeMap<Section, Figures>,
    /// What could not be measured, and why.
    pub failures: BTreeMap<String, String>,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// Whether everything that was asked for was measured.
    pub fn is_whole(&self) -> bool {
        self.failures.is_empty() && self.sections.values().all(|figures| figures.missing.is_empty())
    }

    /// Prints the machine and the table.
    pub fn print(&self) -> Result<(), BenchError> {
        let mut out = std::io::stdout().lock();
        let printed = out.write_all(self.text().as_bytes());
        printed.map_err(|error| BenchError::Unexpected(format!("can't print: {error}")))
    }

    /// Writes table and object.
    pub fn write(&self, out: &Path) -> Result<(), BenchError> {
        let json = serde_json::to_string_pretty(self).map_err(|error| BenchError::Unexpected(error.to_string()))?;
        for (name, text) in [("result.json", json + "\n"), ("result.txt", self.text())] {
            let path = out.join(name);
            std::fs::write(&path, text).map_err(|error| file_error("write", &path, &error))?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "Lingqu, measured on this machine in one run of {:.0} s\n{}, {} cores, {}, {}\n{}, {}; profile {}\n\
             4 KiB made durable in {:.0} µs (median), {:.0} µs (p99)\n\n",
            self.seconds,
            machine.processor,
            machine.cores,
            mebibytes(machine.memory_bytes),
            machine.system,
            machine.version,
            machine.rustc,
            machine.profile,
            machine.sync_us,
            machine.sync_p99_us,
        );
        let mut lines = vec![["measured", "lingqu", "beside", "ratio", "goal", ""].map(str::to_owned)];
        let (mut met, mut missed) = (0, 0);
        for row in self.sections.values().flat_map(|figures| &figures.rows) {
            let (goal, verdict) = match &row.goal {
                None => (String::new(), ""),
                Some(Goal { text, verdict: Verdict::Met }) => {
                    met += 1;
                    (text.clone(), "met")
                }
                Some(Goal { text, verdict: Verdict::Missed }) => {
                    missed += 1;
                    (text.clone(), "MISSED")
                }
                Some(Goal { text, verdict: Verdict::NotJudged }) => (text.clone(), "not judged"),
            };
            let ratio = row.ratio.map(ratio_text).unwrap_or_default();
            lines.push([row.what.clone(), row.figure.clone(), row.beside.clone(), ratio, goal, verdict.to_owned()]);
        }
        text += &aligned(&lines);
        text += &format!("\n{met} goals met, {missed} missed\n");
        let missing = self.sections.values().flat_map(|figures| &figures.missing);
        for (what, why) in missing.chain(&self.failures) {
            text += &format!("NOT MEASURED: {what}: {why}\n");
        }
        text
    }
}

fn ratio_text(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.3}") } else { format!("{ratio:.2}") }
}

/// Bytes for people.
pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn aligned<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines {
        let mut cells = String::new();
        for (width, cell) in widths.iter().zip(line) {
            cells.push_str(cell);
            cells.push_str(&" ".repeat(width + 2 - cell.chars().count()));
        }
        text.push_str(cells.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rows: Vec<Row>, missing: BTreeMap<String, String>) -> Report {
        let figures = Figures { rows, measured: Value::Null, missing };
        Report {
            machine: Machine::default(),
            arguments: Value::Null,
            sections: BTreeMap::from([(Section::Keyed, figures)]),
            failures: BTreeMap::new(),
            seconds: 1.0,
        }
    }

    #[test]
    fn a_missed_goal_is_told_and_is_no_failure() {
        let rows = vec![
            Row::new("a", "1 ms", "2 ms").ratio(0.5).goal(Goal::at_least(0.5, 0.5, "")),
            Row::new("b", "3 ms", "2 ms").ratio(1.5).goal(Goal::at_most(1.1, 1.5, "")),
            Row::new("c", "3 ms", "").goal(Goal::at_most(1.1, 1.5, " ms").only_if(false)),
        ];
        let report = report(rows, BTreeMap::new());
        assert!(report.is_whole());
        let text = report.text();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(" ms")).collect();
        assert!(lines[0].ends_with("0.50   at least 0.5    met"), "{}", lines[0]);
        assert!(lines[1].ends_with("1.50   at most 1.1     MISSED"), "{}", lines[1]);
        assert!(lines[2].ends_with("at most 1.1 ms  not judged"), "{}", lines[2]);
        assert!(text.contains("1 goals met, 1 missed"));
    }

    #[test]
    fn what_was_not_measured_is_a_failure_with_its_reason() {
        let missing = BTreeMap::from([("ROAPI".to_owned(), "it did not listen".to_owned())]);
        let report = report(Vec::new(), missing);
        assert!(!report.is_whole());
        assert!(report.text().contains("NOT MEASURED: ROAPI: it did not listen"));
    }
}
