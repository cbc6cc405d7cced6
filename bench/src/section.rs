//! What can be measured, each alone: `--only NAME`.

use clap::ValueEnum;
use serde::Serialize;

/// A part of the bench, in the order in which they are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// Start until ready, and memory of an idle node
    Start,
    /// Verifications and lookups beside a constant route of the same server
    Keyed,
    /// A governed Parquet export beside copies by DataFusion and DuckDB
    Export,
    /// A governed Arrow Flight stream beside plain DataFusion
    Stream,
    /// Thousands of idle connections and 200 queries at once
    Crowd,
    /// How soon work stops when the client is gone
    Gone,
    /// Claims beside a neighbour's question without an end
    Neighbour,
    /// Verifications and lookups beside services without governance
    Peers,
    /// The slowest lookups at half of what the node can do, 10 million rows and 10,000 orders
    LookupTail,
    /// The first answer of an order among 10,000 orders and 1,000 products, beside 10 orders
    ColdSession,
    /// Memory while 10 GB are exported
    ExportMemory,
    /// The 22 queries of TPC-H over governed tables beside plain DataFusion
    Tpch,
    /// Scans with the consent of ten million subjects beside scans without
    Consent,
    /// Marked cells a second, and a marked Parquet file beside the same one unmarked
    Marks,
    /// Durable receipts with both logs published beside plain writes, proofs in a log of 10^8 entries, cost as a log grows
    Log,
    /// How long a record waits for the published log and for two witnesses, under load
    Lag,
    /// Statements over three million receipts as a table: all, a day, an order, a party's
    Receipts,
    /// A person's page of the uses of his data, over 100 million delivered rows
    Uses,
    /// A leak of 100,000 rows traced among 10,000 recipients
    Trace,
}

impl Section {
    /// The name by which it is asked for.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether it needs the node with many orders.
    pub fn needs_scale(self) -> bool {
        matches!(self, Section::LookupTail | Section::ColdSession | Section::ExportMemory)
    }

    /// About how long it takes with a release binary on two cores, in seconds, where each route is measured for `span`
    /// seconds and what is repeated is repeated `runs` times. A section is not begun when less is left of the time.
    pub fn seconds(self, span: u64, runs: u64) -> u64 {
        match self {
            Section::Start => 10 + runs,
            Section::Keyed => 10 + 3 * (span + 1),
            Section::Export | Section::Stream => 5 + 3 * runs,
            Section::Crowd => 60,
            Section::Gone => 45,
            Section::Neighbour => 20 + 2 * (span + 1),
            Section::Peers => 30 + 3 * (span + 1),
            Section::LookupTail => 20 + 4 * (span + 1),
            Section::ColdSession => 10 + 6 * runs,
            Section::ExportMemory => 120,
            Section::Tpch => 60 + 22 * runs,
            Section::Consent => 90 + 6 * runs,
            Section::Marks => 20 + 2 * runs,
            Section::Log => 180 + 2 * span + 4 * runs,
            Section::Lag => 30 + 2 * span,
            Section::Receipts => 60 + 2 * runs,
            Section::Uses => 150,
            Section::Trace => 80,
        }
    }
}

/// What is measured when nothing is named: everything.
pub fn chosen(only: &[Section]) -> Vec<Section> {
    Section::value_variants().iter().copied().filter(|section| only.is_empty() || only.contains(section)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_named_as_they_are_asked_for_and_keep_their_order() {
        assert_eq!(Section::LookupTail.name(), "lookup-tail");
        for section in Section::value_variants() {
            assert_eq!(Section::from_str(&section.name(), false).as_ref(), Ok(section));
            assert_eq!(serde_json::to_value(section).ok(), Some(section.name().into()));
        }
        assert_eq!(chosen(&[]).len(), 19);
        assert_eq!(chosen(&[Section::Tpch, Section::Start]), [Section::Start, Section::Tpch]);
    }

    #[test]
    fn everything_fits_into_the_time_that_it_has_unless_it_is_told_otherwise() {
        let whole: u64 = Section::value_variants().iter().map(|section| section.seconds(10, 5)).sum();
        assert!(whole + crate::scale::MAKING_SECONDS <= 60 * crate::BUDGET_MINUTES, "{whole} s");
    }
}
