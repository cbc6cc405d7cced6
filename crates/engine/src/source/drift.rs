//! Schema drift: how the columns of a source differ from those that are wanted. All differences at once, so that whoever
//! mends the source mends it once.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::columns::{ColumnType, SchemaView};

/// Most columns of one kind of difference that a sentence names.
const NAMED_MAX: usize = 20;

/// How columns differ. Names only, never values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchemaDrift {
    /// Columns that the source has and nobody wants, as the source calls them, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Columns that are wanted and that the source lacks, in the order wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Columns of another type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<TypeChange>,
    /// Whether the columns that both have stand in another order. Columns are told by their names, so this harms nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reordered: bool,
}

/// A column of another type than the wanted one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeChange {
    /// The column.
    pub column: String,
    /// The type that is wanted.
    pub expected: ColumnType,
    /// The type that the source has.
    pub found: ColumnType,
}

impl SchemaDrift {
    /// How the columns of a schema differ from those of another.
    pub fn between(wanted: &SchemaView, found: &SchemaView) -> SchemaDrift {
        let mut drift = SchemaDrift::default();
        for column in &found.columns {
            if wanted.column(&column.name).is_none() {
                drift.added.push(column.name.to_string());
            }
        }
        let mut places = Vec::new();
        for column in &wanted.columns {
            let Some(place) = found.columns.iter().position(|other| other.name == column.name) else {
                drift.missing.push(column.name.to_string());
                continue;
            };
            places.push(place);
            let found_type = found.columns[place].column_type;
            if !fits(column.column_type, found_type) {
                drift.changed.push(TypeChange {
                    column: column.name.to_string(),
                    expected: column.column_type,
                    found: found_type,
                });
            }
        }
        drift.reordered = !places.is_sorted();
        drift
    }

    /// True when nothing differs at all.
    pub fn is_empty(&self) -> bool {
        *self == SchemaDrift::default()
    }

    /// True when the source can't be read as it is wanted. Another order alone harms nothing, and columns too many are
    /// left out when that was asked for.
    pub fn is_breaking(&self, ignores_added: bool) -> bool {
        !self.missing.is_empty() || !self.changed.is_empty() || (!ignores_added && !self.added.is_empty())
    }
}

/// True when every value of a type can be taken into a column of another without loss, or is at least tried one by one.
pub(super) fn fits(wanted: ColumnType, found: ColumnType) -> bool {
    match (wanted, found) {
        (ColumnType::Text, _) => true,
        (ColumnType::Decimal { .. }, ColumnType::Integer | ColumnType::Float | ColumnType::Decimal { .. }) => true,
        (ColumnType::Float, ColumnType::Integer | ColumnType::Decimal { .. }) => true,
        (wanted, found) => wanted == found,
    }
}

impl fmt::Display for SchemaDrift {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            parts.push(format!("missing: {} (add them to the source)", named(&self.missing)));
        }
        if !self.added.is_empty() {
            parts.push(format!(
                "not in the catalogue entry: {} (leave them out of the source, or have extra columns ignored)",
                named(&self.added)
            ));
        }
        if !self.changed.is_empty() {
            let changed: Vec<String> = self
                .changed
                .iter()
                .map(|change| {
                    format!(
                        "{} is {} instead of {}",
                        change.column,
                        change.found.describe(),
                        change.expected.describe()
                    )
                })
                .collect();
            parts.push(format!("of another type: {}", listed(&changed)));
        }
        if self.reordered {
            parts.push("in another order (which harms nothing)".to_owned());
        }
        if parts.is_empty() {
            return formatter.write_str("nothing differs");
        }
        formatter.write_str(&parts.join("; "))
    }
}

fn named(columns: &[String]) -> String {
    let quoted: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
    listed(&quoted)
}

fn listed(parts: &[String]) -> String {
    let shown = parts[..parts.len().min(NAMED_MAX)].join(", ");
    match parts.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
