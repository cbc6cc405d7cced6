//! Rules as they are declared: data, checked when they are read.

use std::collections::BTreeSet;

use lingqu_domain::scope::ColumnName;
use serde::{Deserialize, Serialize};

use crate::QualityError;

/// Most rules of a set; a report of the domain holds no more.
pub const RULES_MAX: usize = lingqu_domain::quality::RULES_MAX;
/// Most columns of one rule.
pub const COLUMNS_MAX: usize = 16;
/// Most values of one code list.
pub const VALUES_MAX: usize = 10_000;
/// Most bytes of a pattern, value, table name or sentence.
pub const TEXT_BYTES_MAX: usize = 1_000;

/// Rules over one or more tables that are run together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSet {
    /// Name, for people.
    pub name: String,
    /// Version; a change of any rule is a new version, so that two reports can be compared.
    pub version: String,
    /// The rules; the report keeps their order.
    pub rules: Vec<Rule>,
}

/// One demand on the rows of one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique in the set: letters, digits, dot, dash and underscore.
    pub id: String,
    /// The dimension it speaks of.
    pub dimension: Dimension,
    /// The table.
    pub table: String,
    /// The columns that it looks at.
    pub columns: Vec<ColumnName>,
    /// How bad a failing row is.
    pub severity: Severity,
    /// Whether failing rows open a ticket with the provider; a rule without only informs.
    pub opens_ticket: bool,
    /// What it demands, in Chinese.
    pub sentence: String,
    /// … in English.
    pub sentence_en: String,
    /// The demand.
    pub demand: Demand,
    /// It looks only at rows for which all of these hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_where: Vec<Condition>,
}

/// The evaluation indicators of GB/T 36344-2018.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// 规范性.
    Normative,
    /// 完整性.
    Complete,
    /// 准确性, to which the standard counts uniqueness.
    Accurate,
    /// 一致性.
    Consistent,
    /// 时效性.
    Timely,
    /// 可访问性.
    Accessible,
}

impl Dimension {
    /// The code, as in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Dimension::Normative => "normative",
            Dimension::Complete => "complete",
            Dimension::Accurate => "accurate",
            Dimension::Consistent => "consistent",
            Dimension::Timely => "timely",
            Dimension::Accessible => "accessible",
        }
    }

    /// The name in the standard.
    pub fn name(self) -> &'static str {
        match self {
            Dimension::Normative => "规范性",
            Dimension::Complete => "完整性",
            Dimension::Accurate => "准确性",
            Dimension::Consistent => "一致性",
            Dimension::Timely => "时效性",
            Dimension::Accessible => "可访问性",
        }
    }
}

/// How bad a failing row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Limits some use.
    Medium,
    /// Makes answers wrong.
    High,
}

/// What is demanded. All but `not_null`, `newest_within` and `rows_at_least` look only at rows in which every column of
/// the rule has a value: a missing value is the business of `not_null` alone, so no row is counted for two reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Demand {
    /// Every column has a value.
    NotNull,
    /// No two rows have the same values in the columns; every row of a group of equals fails.
    Unique,
    /// The column's value lies between the bounds, which belong to the range.
    InRange {
        /// The least value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<Bound>,
        /// The greatest value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<Bound>,
    },
    /// The whole text of the column matches a regular expression.
    Matches {
        /// In the syntax of the `regex` crate, without anchors.
        pattern: String,
    },
    /// The column's text is one of a code list.
    OneOf {
        /// The codes.
        values: Vec<String>,
    },
    /// The column's text can be read as a value of a type.
    OfType {
        /// The type.
        of: ValueType,
    },
    /// The column's text is a number with a valid check character.
    CheckCharacter {
        /// By which standard.
        scheme: Scheme,
    },
    /// The column compares with another column of the same row.
    Compares {
        /// How.
        operator: Operator,
        /// With which.
        to: ColumnName,
    },
    /// The values of the columns stand together in a row of a table, which may be the same table.
    ExistsIn {
        /// The other table.
        table: String,
        /// Its columns, as many as the rule's.
        columns: Vec<ColumnName>,
        /// Only its rows for which all of these hold count.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        only_where: Vec<Condition>,
    },
    /// The newest day or time of the column is at most so many days before the run. Checks the table, not its rows.
    NewestWithin {
        /// The days.
        days: u32,
    },
    /// The table can be read and has rows, of those that the rule looks at. Checks the table, not its rows; takes no
    /// columns.
    RowsAtLeast {
        /// How many.
        count: u64,
    },
}

/// A bound of a range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// A number.
    Number(serde_json::Number),
    /// A day or a moment: `2013-01-01`, `2013-01-01T00:00:00Z`.
    Time(String),
    /// The moment of the run.
    Now,
}

/// A type that text can be read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// A whole number of 64 bits.
    Integer,
    /// A number.
    Number,
    /// A day.
    Date,
    /// A moment.
    Timestamp,
}

/// A standard for check characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Identity number of a citizen, GB 11643-1999.
    CitizenIdentity,
    /// Unified social credit code, GB 32100-2015.
    SocialCredit,
}

/// How two columns compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Equal.
    Equal,
    /// Less.
    Less,
    /// Less or equal.
    AtMost,
    /// Greater.
    Greater,
    /// Greater or equal.
    AtLeast,
}

/// Which rows a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The column.
    pub column: ColumnName,
    /// What must hold for it.
    pub is: Test,
}

/// What a condition tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// It has no value.
    Null,
    /// It has a value.
    NotNull,
    /// Its text is one of these.
    OneOf(Vec<String>),
    /// Its text is none of these; a missing value is not one either, and passes.
    NoneOf(Vec<String>),
    /// Its whole text matches a regular expression.
    Matches(String),
}

impl RuleSet {
    /// Reads a rule set from JSON and checks it. Errors: [`QualityError::BadRuleSet`] or [`QualityError::BadRule`].
    pub fn from_json(text: &str) -> Result<RuleSet, QualityError> {
        let rule_set: RuleSet = serde_json::from_str(text).map_err(|error| QualityError::BadRuleSet {
            rule_set: "being read".to_owned(),
            reason: error.to_string(),
        })?;
        rule_set.check()?;
        Ok(rule_set)
    }

    /// Checks limits, ids and the form of every rule. Whether tables and columns exist is known only when it is run.
    pub fn check(&self) -> Result<(), QualityError> {
        let wrong = |reason: String| QualityError::BadRuleSet { rule_set: self.name.clone(), reason };
        if self.rules.is_empty() || self.rules.len() > RULES_MAX {
            return Err(wrong(format!("it has {} rules; declare 1 to {RULES_MAX}", self.rules.len())));
        }
        let mut ids = BTreeSet::new();
        for rule in &self.rules {
            if !ids.insert(rule.id.as_str()) {
                return Err(wrong(format!("two rules have the id {}; give each its own", rule.id)));
            }
            rule.check()?;
        }
        Ok(())
    }

    /// The tables that rules look at, in the order of their first rule.
    pub fn tables(&self) -> Vec<&str> {
        let mut tables = Vec::new();
        for rule in &self.rules {
            if !tables.contains(&rule.table.as_str()) {
                tables.push(rule.table.as_str());
            }
        }
        tables
    }
}

impl Rule {
    fn check(&self) -> Result<(), QualityError> {
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if self.id.is_empty() || self.id.len() > 100 || !self.id.bytes().all(is_id) {
            return Err(self.wrong("its id must be 1 to 100 letters, digits, dots, dashes or underscores"));
        }
        self.check_text("table", &self.table)?;
        self.check_text("Chinese sentence", &self.sentence)?;
        self.check_text("English sentence", &self.sentence_en)?;
        let count = self.columns.len();
        let fits = match &self.demand {
            Demand::NotNull | Demand::Unique | Demand::ExistsIn { .. } => (1..=COLUMNS_MAX).contains(&count),
            Demand::RowsAtLeast { .. } => count == 0,
            _ => count == 1,
        };
        if !fits {
            return Err(self.wrong("its number of columns does not fit its demand; see the description of the demand"));
        }
        match &self.demand {
            Demand::InRange { min: None, max: None } => return Err(self.wrong("its range needs `min` or `max`")),
            Demand::InRange { min, max } => self.check_bounds(min.as_ref(), max.as_ref())?,
            Demand::Matches { pattern } => self.check_pattern(pattern)?,
            Demand::OneOf { values } => self.check_values(values)?,
            Demand::ExistsIn { table, columns, only_where } => {
                self.check_text("other table", table)?;
                self.check_conditions(only_where)?;
                if columns.len() != count {
                    return Err(self.wrong("it must name as many columns of the other table as of its own"));
                }
            }
            _ => {}
        }
        self.check_conditions(&self.only_where)
    }

    fn check_conditions(&self, conditions: &[Condition]) -> Result<(), QualityError> {
        if conditions.len() > COLUMNS_MAX {
            return Err(self.wrong(&format!("it has more than {COLUMNS_MAX} conditions; join them or leave some out")));
        }
        for condition in conditions {
            match &condition.is {
                Test::Null | Test::NotNull => {}
                Test::OneOf(values) | Test::NoneOf(values) => self.check_values(values)?,
                Test::Matches(pattern) => self.check_pattern(pattern)?,
            }
        }
        Ok(())
    }

    fn check_pattern(&self, pattern: &str) -> Result<(), QualityError> {
        self.check_text("pattern", pattern)?;
        // Alone too: unbalanced parentheses could otherwise close the group that anchors the pattern.
        match regex::Regex::new(pattern).and_then(|_| regex::Regex::new(&whole_text(pattern))) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.wrong("its pattern is not a regular expression; write it without anchors")),
        }
    }

    fn check_bounds(&self, min: Option<&Bound>, max: Option<&Bound>) -> Result<(), QualityError> {
        let is_number = |bound: &Bound| matches!(bound, Bound::Number(_));
        if let (Some(min), Some(max)) = (min, max)
            && is_number(min) != is_number(max)
        {
            return Err(self.wrong("both bounds must be numbers, or both times"));
        }
        for bound in [min, max].into_iter().flatten() {
            if let Bound::Time(text) = bound
                && text.parse::<jiff::civil::Date>().is_err()
                && text.parse::<jiff::Timestamp>().is_err()
            {
                return Err(self.wrong("a time is written as 2013-01-01 or 2013-01-01T00:00:00Z"));
            }
        }
        Ok(())
    }

    fn check_values(&self, values: &[String]) -> Result<(), QualityError> {
        if values.is_empty() || values.len() > VALUES_MAX {
            return Err(self.wrong(&format!("a list of values has 1 to {VALUES_MAX} of them")));
        }
        values.iter().try_for_each(|value| self.check_text("value", value))
    }

    fn check_text(&self, what: &str, text: &str) -> Result<(), QualityError> {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.contains('\0') {
            return Err(self.wrong(&format!("its {what} must be text of 1 to {TEXT_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    pub(crate) fn wrong(&self, reason: &str) -> QualityError {
        QualityError::BadRule { rule: self.id.clone(), reason: reason.to_owned() }
    }
}

/// A pattern that the whole text must match, line breaks included.
pub(crate) fn whole_text(pattern: &str) -> String {
    format!("\\A(?:{pattern})\\z")
}
