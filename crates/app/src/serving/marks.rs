//! What makes the table of a serving its consumer's copy.

use std::sync::Arc;

use lingqu_domain::lineage::AnswerLineage;
use lingqu_domain::scope::ColumnName;
use lingqu_engine::marks::Marks;

use super::Serving;
use crate::error::AppError;
use crate::fingerprint::OrderMarks;

/// The marks of an order and what they are called.
pub(super) struct ServedMarks {
    pub(super) marks: Arc<Marks>,
    pub(super) code_id: String,
}

impl ServedMarks {
    /// Error: the declaration, which was checked when the product was made, does not hold together.
    pub(super) fn of(keys: &OrderMarks) -> Result<ServedMarks, AppError> {
        let (secrets, recipient, order) = (keys.secrets.clone(), keys.recipient.clone(), keys.order.clone());
        let marks = Marks::new(keys.marking.clone(), secrets, recipient, order)
            .map_err(|error| AppError::Fault(format!("the product can't be marked: {error}")))?;
        Ok(ServedMarks { marks: Arc::new(marks), code_id: keys.code_id.clone() })
    }
}

impl Serving {
    /// Names the marks that this order's answers carry: the same copy has the same name, which tells nothing of the keys.
    /// None where the product is exact or the order grants no rows.
    pub fn code_id(&self) -> Option<&str> {
        self.marks.as_ref().map(|served| served.code_id.as_str())
    }

    /// The marked columns among those that an answer was made of; among all that are granted where that is not known.
    pub fn marked_columns(&self, lineage: Option<&AnswerLineage>) -> Vec<ColumnName> {
        let Some(served) = &self.marks else { return Vec::new() };
        let bears = |column: &ColumnName| match lineage {
            Some(lineage) => {
                lineage.conditions.contains(column) || lineage.columns.iter().any(|shown| shown.from.contains(column))
            }
            None => true,
        };
        let columns = self.schema().columns.iter().map(|column| &column.name);
        columns.filter(|column| served.marks.is_marked(column.as_str()) && bears(column)).cloned().collect()
    }

    /// The weight of each row, where the consumer's copy lacks a share of the rows: totals of the whole are his totals times
    /// this.
    pub fn sampling_weight(&self) -> Option<f64> {
        self.marks.as_ref().and_then(|served| served.marks.sampling_weight())
    }
}
