//! What comes of comparing rows of one side with rows of the other.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use datafusion::common::{JoinSide, JoinType, internal_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};

use super::blocks::{Left, Met};

/// Most pairs that are compared at once.
pub(super) const PAIRS_AT_ONCE: usize = 8_192;

/// How rows are compared, and what is made of them.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) kind: JoinType,
    /// None where each row goes with each.
    pub(super) filter: Option<JoinFilter>,
    /// Where the columns of the answer come from.
    pub(super) columns: Vec<ColumnIndex>,
    pub(super) schema: SchemaRef,
}

impl Comparison {
    /// Whether pairs are answered, and not rows of one side alone.
    fn gives_pairs(&self) -> bool {
        matches!(self.kind, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full)
    }

    /// Whether something is answered of the right side when all is compared.
    pub(super) fn keeps_right(&self) -> bool {
        matches!(
            self.kind,
            JoinType::Right | JoinType::Full | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark
        )
    }

    /// Where to go on comparing two batches; none when they are compared.
    pub(super) fn pairs_left(&self, left: &Left, right: &RecordBatch, next: usize) -> Option<usize> {
        (next < left.batch.num_rows().saturating_mul(right.num_rows())).then_some(next)
    }

    /// Compares up to [`PAIRS_AT_ONCE`] pairs from a place on: pair n is row n / r of the left batch with row n % r of the right,
    /// which has r rows. Returns what is to be answered now, and the place after the last pair.
    pub(super) fn compare(
        &self,
        left: &mut Left,
        right: &RecordBatch,
        right_met: &mut Met,
        from: usize,
    ) -> DataFusionResult<(Option<RecordBatch>, usize)> {
        let (lefts, rights, until) = self.chosen(left, right, right_met, from);
        if lefts.is_empty() {
            return Ok((None, until));
        }
        let (lefts, rights) = (UInt32Array::from(lefts), UInt32Array::from(rights));
        let met = self.asked(&left.batch, right, &lefts, &rights)?;
        let (mut found_left, mut found_right) = (Vec::new(), Vec::new());
        for (pair, (of_left, of_right)) in lefts.values().iter().zip(rights.values()).enumerate() {
            if met.as_ref().is_some_and(|met| met.is_null(pair) || !met.value(pair)) {
                continue;
            }
            left.met.set(row(*of_left));
            right_met.set(row(*of_right));
            if self.gives_pairs() {
                found_left.push(*of_left);
                found_right.push(*of_right);
            }
        }
        if found_left.is_empty() {
            return Ok((None, until));
        }
        let (found_left, found_right) = (UInt32Array::from(found_left), UInt32Array::from(found_right));
        let columns = self.columns.iter().map(|column| match column.side {
            JoinSide::Left => Ok(take(left.batch.column(column.index), &found_left, None)?),
            JoinSide::Right => Ok(take(right.column(column.index), &found_right, None)?),
            JoinSide::None => internal_err!("a pair has no mark"),
        });
        let columns = columns.collect::<DataFusionResult<Vec<ArrayRef>>>()?;
        Ok((Some(self.answer(columns, found_left.len())?), until))
    }

    /// The next pairs of which something is still to be known. Where rows are only asked whether they meet any, one that did is passed over.
    fn chosen(&self, left: &Left, right: &RecordBatch, right_met: &Met, from: usize) -> (Vec<u32>, Vec<u32>, usize) {
        let knows_left = matches!(self.kind, JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark);
        let knows_right = matches!(self.kind, JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark);
        let (left_rows, right_rows) = (left.batch.num_rows(), right.num_rows());
        let (mut of_left, mut of_right) = (from / right_rows, from % right_rows);
        let (mut lefts, mut rights) = (Vec::new(), Vec::new());
        while of_left < left_rows && lefts.len() < PAIRS_AT_ONCE {
            if knows_left && left.met.has(of_left) {
                (of_left, of_right) = (of_left + 1, 0);
                continue;
            }
            let until = right_rows.min(of_right + PAIRS_AT_ONCE - lefts.len());
            for candidate in of_right..until {
                if !(knows_right && right_met.has(candidate)) {
                    lefts.push(number(of_left));
                    rights.push(number(candidate));
                }
            }
            (of_left, of_right) = if until == right_rows { (of_left + 1, 0) } else { (of_left, until) };
        }
        (lefts, rights, of_left * right_rows + of_right)
    }

    /// Of each pair whether it meets the condition; none where there is no condition.
    fn asked(
        &self,
        left: &RecordBatch,
        right: &RecordBatch,
        lefts: &UInt32Array,
        rights: &UInt32Array,
    ) -> DataFusionResult<Option<BooleanArray>> {
        let Some(filter) = &self.filter else { return Ok(None) };
        let columns = filter.column_indices().iter().map(|column| match column.side {
            JoinSide::Left => Ok(take(left.column(column.index), lefts, None)?),
            JoinSide::Right => Ok(take(right.column(column.index), rights, None)?),
            JoinSide::None => internal_err!("a condition asks no mark"),
        });
        let columns = columns.collect::<DataFusionResult<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(lefts.len()));
        let pairs = RecordBatch::try_new_with_options(Arc::clone(filter.schema()), columns, &options)?;
        let met = filter.expression().evaluate(&pairs)?.into_array(lefts.len())?;
        match met.as_boolean_opt() {
            Some(met) => Ok(Some(met.clone())),
            None => internal_err!("a condition is true or false"),
        }
    }

    /// What is answered of rows of the left side when all of the right was compared with them.
    pub(super) fn rest_of_left(&self, left: &Left) -> DataFusionResult<Option<RecordBatch>> {
        match self.kind {
            JoinType::Left | JoinType::Full | JoinType::LeftAnti => {
                self.rows(&left.batch, JoinSide::Left, &left.met.rows(false))
            }
            JoinType::LeftSemi => self.rows(&left.batch, JoinSide::Left, &left.met.rows(true)),
            JoinType::LeftMark => self.marked(&left.batch, JoinSide::Left, &left.met).map(Some),
            _ => Ok(None),
        }
    }

    /// The same of the right side, when the last of the left was compared with them.
    pub(super) fn rest_of_right(&self, right: &RecordBatch, met: &Met) -> DataFusionResult<Option<RecordBatch>> {
        match self.kind {
            JoinType::Right | JoinType::Full | JoinType::RightAnti => {
                self.rows(right, JoinSide::Right, &met.rows(false))
            }
            JoinType::RightSemi => self.rows(right, JoinSide::Right, &met.rows(true)),
            JoinType::RightMark => self.marked(right, JoinSide::Right, met).map(Some),
            _ => Ok(None),
        }
    }

    /// Rows of one side; columns of the other have no values.
    fn rows(&self, batch: &RecordBatch, side: JoinSide, rows: &UInt32Array) -> DataFusionResult<Option<RecordBatch>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let columns = self.columns.iter().zip(self.schema.fields()).map(|(column, field)| {
            if column.side == side {
                Ok(take(batch.column(column.index), rows, None)?)
            } else {
                Ok(new_null_array(field.data_type(), rows.len()))
            }
        });
        let columns = columns.collect::<DataFusionResult<Vec<ArrayRef>>>()?;
        self.answer(columns, rows.len()).map(Some)
    }

    /// All rows of one side, each with whether it met one of the other.
    fn marked(&self, batch: &RecordBatch, side: JoinSide, met: &Met) -> DataFusionResult<RecordBatch> {
        let columns = self.columns.iter().map(|column| {
            if column.side == side { Arc::clone(batch.column(column.index)) } else { Arc::new(met.marks()) as ArrayRef }
        });
        self.answer(columns.collect(), batch.num_rows())
    }

    fn answer(&self, columns: Vec<ArrayRef>, rows: usize) -> DataFusionResult<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// A batch has far fewer rows than this.
fn number(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}

fn row(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
