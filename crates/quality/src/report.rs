//! What a run found.

use jiff::Timestamp;
use lingqu_domain::quality::RuleResult;
use serde::{Deserialize, Serialize};

use crate::rule::{Dimension, Rule, Severity};

/// The report of one run. The order of everything in it follows from the rule set, so two runs over the same snapshots
/// at the same moment give the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the rule set.
    pub rule_set: String,
    /// Its version.
    pub version: String,
    /// When the run began, as the caller said; ages are measured from it.
    pub started_at: Timestamp,
    /// When it ended, once the caller has said it with [`Report::finished`].
    pub finished_at: Option<Timestamp>,
    /// The tables, in the order of their first rule.
    pub tables: Vec<TableCount>,
    /// One for each rule, in the order of the set.
    pub findings: Vec<Finding>,
    /// One for each dimension that has a rule, in the order of the standard.
    pub dimensions: Vec<DimensionScore>,
}

/// How many rows a table has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableCount {
    /// The table.
    pub table: String,
    /// Its rows.
    pub row_count: u64,
}

/// What one rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// The dimension.
    pub dimension: Dimension,
    /// The table.
    pub table: String,
    /// The columns.
    pub columns: Vec<String>,
    /// How bad a failing row is.
    pub severity: Severity,
    /// Whether failing rows open a ticket.
    pub opens_ticket: bool,
    /// What is demanded, in Chinese.
    pub sentence: String,
    /// … in English.
    pub sentence_en: String,
    /// Rows that the rule looked at; 1 for a rule about the whole table.
    pub checked_count: u64,
    /// Rows that fail, exact.
    pub failing_count: u64,
    /// Distinct keys among the failing rows, for rules about keys.
    pub failing_key_count: Option<u64>,
    /// Failing rows in a million of those looked at, rounded to the nearest; a share that is not zero is never shown
    /// as zero.
    pub failing_share_ppm: u32,
    /// Age of the newest value in whole days, for rules about age.
    pub age_days: Option<i64>,
    /// Numbers of the first failing rows, at most [`crate::EXAMPLES_MAX`], from 0 in the order of the source.
    pub example_rows: Vec<u64>,
}

/// How well the data does in one dimension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DimensionScore {
    /// The dimension.
    pub dimension: Dimension,
    /// Its name in GB/T 36344-2018.
    pub name: String,
    /// Rules of the dimension.
    pub rule_count: u32,
    /// Rules of the dimension that at least one row fails.
    pub failing_rule_count: u32,
    /// The mean over its rules of the share that passes, in a million, rounded down: every rule counts alike, whatever
    /// the size of its table.
    pub score_ppm: u32,
}

impl Report {
    /// Says when the run ended.
    pub fn finished(self, at: Timestamp) -> Report {
        Report { finished_at: Some(at), ..self }
    }

    /// The results over one table in the form of the command that records a report.
    pub fn results_of(&self, table: &str) -> Vec<RuleResult> {
        let mut results = Vec::new();
        for finding in self.findings.iter().filter(|finding| finding.table == table) {
            results.push(RuleResult {
                rule: finding.rule.clone(),
                dimension: finding.dimension.code().to_owned(),
                column: finding.columns.join(","),
                sentence: finding.sentence.clone(),
                sentence_en: finding.sentence_en.clone(),
                checked_count: finding.checked_count,
                failing_count: finding.failing_count,
                opens_ticket: finding.opens_ticket,
            });
        }
        results
    }

    /// Rows of a table that was looked at.
    pub fn row_count(&self, table: &str) -> Option<u64> {
        self.tables.iter().find(|count| count.table == table).map(|count| count.row_count)
    }
}

impl Finding {
    pub(crate) fn new(rule: &Rule, checked_count: u64, failing_count: u64) -> Finding {
        Finding {
            rule: rule.id.clone(),
            dimension: rule.dimension,
            table: rule.table.clone(),
            columns: rule.columns.iter().map(ToString::to_string).collect(),
            severity: rule.severity,
            opens_ticket: rule.opens_ticket,
            sentence: rule.sentence.clone(),
            sentence_en: rule.sentence_en.clone(),
            checked_count,
            failing_count,
            failing_key_count: None,
            failing_share_ppm: share_ppm(failing_count, checked_count),
            age_days: None,
            example_rows: Vec::new(),
        }
    }
}

/// Scores of the dimensions that occur among the findings.
pub(crate) fn dimension_scores(findings: &[Finding]) -> Vec<DimensionScore> {
    let mut dimensions: Vec<Dimension> = findings.iter().map(|finding| finding.dimension).collect();
    dimensions.sort_unstable();
    dimensions.dedup();
    let mut scores = Vec::with_capacity(dimensions.len());
    for dimension in dimensions {
        let (mut rule_count, mut failing_rule_count, mut passing_ppm) = (0, 0, 0_u64);
        for finding in findings.iter().filter(|finding| finding.dimension == dimension) {
            rule_count += 1;
            failing_rule_count += u32::from(finding.failing_count > 0);
            passing_ppm += u64::from(1_000_000 - finding.failing_share_ppm);
        }
        let score_ppm = u32::try_from(passing_ppm / u64::from(rule_count)).unwrap_or(0);
        let name = dimension.name().to_owned();
        scores.push(DimensionScore { dimension, name, rule_count, failing_rule_count, score_ppm });
    }
    scores
}

/// Parts in a million, rounded to the nearest, but at least 1 where anything fails.
fn share_ppm(failing_count: u64, checked_count: u64) -> u32 {
    if failing_count == 0 || checked_count == 0 {
        return 0;
    }
    let (failing, checked) = (u128::from(failing_count), u128::from(checked_count));
    let share = ((failing * 1_000_000 + checked / 2) / checked).clamp(1, 1_000_000);
    u32::try_from(share).unwrap_or(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::share_ppm;

    #[test]
    fn shares_are_rounded_and_never_hide_a_failure() {
        assert_eq!(share_ppm(0, 0), 0);
        assert_eq!(share_ppm(0, 10), 0);
        assert_eq!(share_ppm(1, 3), 333_333);
        assert_eq!(share_ppm(2, 3), 666_667);
        assert_eq!(share_ppm(1, u64::MAX), 1);
        assert_eq!(share_ppm(u64::MAX, u64::MAX), 1_000_000);
        assert_eq!(share_ppm(8_255, 336_776), 24_512);
    }
}
