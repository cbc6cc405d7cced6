//! The quality rule sets of the three strands. They are data (`demo/data/rules/*.json`), as a node would be given them.

use lingqu_quality::{QualityError, RuleSet};

/// Flights, weather, aircraft, airports and airlines; the tables bear the names of their files.
pub fn flights() -> Result<RuleSet, QualityError> {
    RuleSet::from_json(include_str!("../../data/rules/flights.json"))
}

/// The division codes of Guangxi in both systems: tables `divisions_statistical` and `divisions_gb2260`.
pub fn divisions() -> Result<RuleSet, QualityError> {
    RuleSet::from_json(include_str!("../../data/rules/divisions.json"))
}

/// The synthetic drivers: tables `drivers`, `offences`, `dangerous_records` and, for codes, `divisions_statistical`.
pub fn drivers() -> Result<RuleSet, QualityError> {
    RuleSet::from_json(include_str!("../../data/rules/drivers.json"))
}
