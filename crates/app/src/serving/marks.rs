//! What makes the table of a serving its consumer's copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use lingqu_domain::lineage::AnswerLineage;
use lingqu_domain::scope::{ColumnName, Mode, Precision};
use lingqu_domain::state::State;
use lingqu_engine::marks::Marks;

use super::Serving;
use crate::error::AppError;
use crate::fingerprint::OrderMarks;

/// The marks of an order and what they are called.
pub(super) struct ServedMarks {
    pub(super) marks: Arc<Marks>,
    pub(super) code_id: String,
    /// Which replacement of the consumer's code.
    code_epoch: u32,
    /// How many decoys are laid among a million rows, at most.
    pub(super) decoys_per_million: u32,
}

impl ServedMarks {
    /// Error: the declaration, which was checked when the product was made, does not hold together.
    pub(super) fn of(keys: &OrderMarks) -> Result<ServedMarks, AppError> {
        let (secrets, recipient, order) = (keys.secrets.clone(), keys.recipient.clone(), keys.order.clone());
        let marks = Marks::new(keys.marking.clone(), secrets, recipient, order)
            .map_err(|error| AppError::Fault(format!("the product can't be marked: {error}")))?;
        let decoys_per_million = keys.decoys_per_million;
        let marks = if decoys_per_million > 0 { marks.with_decoys() } else { marks };
        let (code_id, code_epoch) = (keys.code_id.clone(), keys.code_epoch);
        Ok(ServedMarks { marks: Arc::new(marks), code_id, code_epoch, decoys_per_million })
    }
}

impl Serving {
    /// Whether copies of its order are still marked by the keys that it has.
    pub(super) fn has_current_keys(&self, state: &State) -> bool {
        let Some(served) = &self.marks else { return true };
        let keys = state.orders.get(&self.grant.order).and_then(|order| order.value.mark_keys.as_ref());
        keys.is_some_and(|keys| keys.commitments.code_epoch == served.code_epoch)
    }

    /// Names the marks that this order's answers carry: the same copy has the same name, which tells nothing of the keys.
    /// None where the product is exact or the order grants no rows.
    pub fn code_id(&self) -> Option<&str> {
        self.marks.as_ref().map(|served| served.code_id.as_str())
    }

    /// The marked columns among those that an answer was made of; among all that are granted where that is not known.
    pub fn marked_columns(&self, lineage: Option<&AnswerLineage>) -> Vec<ColumnName> {
        let Some(served) = &self.marks else { return Vec::new() };
        let columns = self.schema().columns.iter().map(|column| &column.name);
        columns.filter(|column| served.marks.is_marked(column.as_str()) && bears(lineage, column)).cloned().collect()
    }

    /// How many rows of a million, at most, do not exist in the consumer's copy; none where all do. The contract says it.
    pub fn decoys_per_million(&self) -> Option<u32> {
        self.marks.as_ref().map(|served| served.decoys_per_million).filter(|count| *count > 0)
    }

    /// The masks that a mode puts on the columns that an answer was made of; on all that are granted where that is not known.
    /// A column that it shows as it is is not among them.
    pub fn masks(&self, mode: Mode, lineage: Option<&AnswerLineage>) -> BTreeMap<ColumnName, Precision> {
        let mut masks = BTreeMap::new();
        for (column, precision) in self.grant.scope.visible_in(mode) {
            if precision != Precision::Exact && bears(lineage, column) {
                masks.insert(column.clone(), precision);
            }
        }
        masks
    }

    /// The weight of each row, where the consumer's copy lacks a share of the rows: totals of the whole are his totals times
    /// this.
    pub fn sampling_weight(&self) -> Option<f64> {
        self.marks.as_ref().and_then(|served| served.marks.sampling_weight())
    }
}

/// Whether a column bears on an answer; that of an answer of which it is not known every one does.
fn bears(lineage: Option<&AnswerLineage>, column: &ColumnName) -> bool {
    lineage.is_none_or(|lineage| {
        lineage.conditions.contains(column) || lineage.columns.iter().any(|shown| shown.from.contains(column))
    })
}
