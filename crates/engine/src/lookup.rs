//! Lookup and verification: questions about one key of a product, answered without planning SQL.
//!
//! A [`ProductIndex`] finds the row of a key; a [`LookupTable`] is one grant's view of it.
//! Row filter, consent, masks and marks apply as in a governed table: a row that the grant does not cover, or that the
//! recipient's copy lacks, is not found.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, Scalar, new_empty_array};
use arrow::compute::{concat, kernels::cmp};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use lingqu_domain::predicate::Literal;
use lingqu_fingerprint::FingerprintError;

use crate::ROW_COLUMN;
use crate::columns::SchemaView;
use crate::execution::EngineError;
use crate::federation::FetchedRows;
use crate::files::StorageError;
use crate::governed::GovernedTable;
use crate::marks::Copying;
use crate::mask::Mask;
use crate::predicate::literal_for;

mod index;

pub use index::{BlockCache, ProductIndex};

/// Most keys of one batch.
pub const KEYS_MAX: usize = 1_000;

/// Why a lookup can't be served.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A key with too few or too many parts.
    #[error("the key has {found} parts, {expected} were expected: {}", names.join(", "))]
    KeyParts {
        /// Parts given.
        found: usize,
        /// Parts of the key.
        expected: usize,
        /// Names of the parts.
        names: Vec<String>,
    },
    /// A key part or claimed value of another type than its column.
    #[error("`{column}` is {expected}")]
    WrongType {
        /// The column.
        column: String,
        /// What it is.
        expected: String,
    },
    /// A claim about a column that was not granted or does not exist.
    #[error("there is no column `{column}`; you have {}", granted.join(", "))]
    ColumnNotGranted {
        /// The column.
        column: String,
        /// The granted columns.
        granted: Vec<String>,
    },
    /// A claim about nothing.
    #[error("the claim is empty; state at least one column and its value")]
    EmptyClaim,
    /// Too many keys.
    #[error("{found} keys were asked for at once, at most {KEYS_MAX} are allowed")]
    TooManyKeys {
        /// Keys given.
        found: usize,
    },
}

pub(crate) fn typed(literal: &Literal, data_type: &DataType, name: &str) -> Result<ScalarValue, LookupError> {
    literal_for(literal, data_type, name).map_err(|_| LookupError::WrongType {
        column: name.to_owned(),
        expected: crate::ColumnType::of_arrow(data_type)
            .map_or("of another type", crate::ColumnType::describe)
            .to_owned(),
    })
}

/// What is claimed of a row: for each column its value, or none where the value is said to be missing.
pub type Claim = BTreeMap<String, Option<Literal>>;

/// What comes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The row exists and every claimed value is its value.
    Match,
    /// The row exists and a claimed value is not its value.
    Mismatch,
    /// There is no such row for this grant.
    NotFound,
}

/// A verdict and the row that it tells of, for the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The verdict.
    pub verdict: Verdict,
    /// The row; none when it was not found.
    pub row: Option<u64>,
}

/// A row found by its key.
#[derive(Clone, Debug)]
pub struct Found {
    /// The row's number, for the receipt.
    pub row: u64,
    /// One row of the granted, masked columns.
    pub values: RecordBatch,
}

/// One grant's view of a product, for lookup or verification.
pub struct LookupTable {
    rows: KeyedRows,
    table: Arc<GovernedTable>,
    row_filter: Option<Arc<dyn PhysicalExpr>>,
    view: SchemaView,
    schema: SchemaRef,
    row_column: usize,
    subject_columns: Vec<usize>,
    by_name: HashMap<String, usize>,
    copy: Option<RowCopy>,
}

/// How a row is turned into the recipient's.
struct RowCopy {
    copying: Copying,
    /// The visible columns, then those that are read for the marks.
    schema: SchemaRef,
    /// Places of the latter among the raw columns.
    read: Vec<usize>,
}

/// Where the row of a key is found.
enum KeyedRows {
    /// In the index of a product.
    Indexed(Arc<ProductIndex>),
    /// Among rows that were fetched for this question.
    Fetched(FetchedRows),
}

/// A row before masks, where it stands: only what is asked of it is taken out.
struct RawRow {
    rows: RecordBatch,
    at: usize,
}

impl KeyedRows {
    fn find(&self, key: &[Literal]) -> Result<Option<RawRow>, LookupError> {
        match self {
            KeyedRows::Indexed(index) => {
                Ok(index.find(key)?.map(|(block, at)| RawRow { rows: block.rows.clone(), at }))
            }
            KeyedRows::Fetched(rows) => Ok(rows.find(key)?.map(|rows| RawRow { rows, at: 0 })),
        }
    }
}

impl RawRow {
    /// One column of it.
    fn value(&self, column: usize) -> ArrayRef {
        self.rows.column(column).slice(self.at, 1)
    }
}

impl LookupTable {
    /// Joins an index and a governed table over the same product.
    pub fn new(index: Arc<ProductIndex>, table: Arc<GovernedTable>) -> Result<LookupTable, LookupError> {
        Self::over(KeyedRows::Indexed(index), table)
    }

    /// Joins rows that were fetched for some keys and the governed table that they are of.
    pub(crate) fn fetched(rows: FetchedRows, table: Arc<GovernedTable>) -> Result<LookupTable, LookupError> {
        Self::over(KeyedRows::Fetched(rows), table)
    }

    fn over(rows: KeyedRows, table: Arc<GovernedTable>) -> Result<LookupTable, LookupError> {
        let raw = table.raw().arrow_schema();
        let fault = |error: DataFusionError| LookupError::Engine(crate::execution::sanitise(&error));
        let row_filter = match table.row_filter() {
            None => None,
            Some(condition) => {
                let schema = DFSchema::try_from(raw.as_ref().clone()).map_err(fault)?;
                Some(
                    create_physical_expr(
                        condition,
                        &schema,
                        &ExecutionProps::new(),
                        &PhysicalPlanningContext::default(),
                    )
                    .map_err(fault)?,
                )
            }
        };
        let view = table.schema_view();
        let schema = view.arrow();
        let by_name = table.columns().iter().enumerate().map(|(at, column)| (column.name.to_string(), at)).collect();
        let row_column = raw.index_of(ROW_COLUMN).expect("a product has row numbers");
        let mut subject_columns = Vec::new();
        for name in table.subject_columns() {
            subject_columns.push(raw.index_of(name).expect("a table's subject columns are among its columns"));
        }
        let copy = RowCopy::of(&table, &raw, &schema);
        Ok(LookupTable { rows, table, row_filter, view, schema, row_column, subject_columns, by_name, copy })
    }

    /// The visible columns.
    pub fn schema_view(&self) -> &SchemaView {
        &self.view
    }

    /// The schema of [`Found::values`].
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The row of a key, if the grant covers it.
    pub fn lookup(&self, key: &[Literal]) -> Result<Option<Found>, LookupError> {
        let Some(raw) = self.covered_row(key)? else { return Ok(None) };
        let Some(columns) = self.shown(&raw, &(0..self.table.columns().len()).collect::<Vec<_>>())? else {
            return Ok(None);
        };
        let values = RecordBatch::try_new(self.schema(), columns).expect("masks keep to the governed schema");
        Ok(Some(Found { row: self.row_number(&raw), values }))
    }

    /// The rows of up to [`KEYS_MAX`] keys, in their order.
    pub fn lookup_batch(&self, keys: &[Vec<Literal>]) -> Result<Vec<Option<Found>>, LookupError> {
        check_count(keys.len())?;
        keys.iter().map(|key| self.lookup(key)).collect()
    }

    /// Compares a claim, equality on granted columns at their granted precision, with the row of a key.
    pub fn verify(&self, key: &[Literal], claim: &Claim) -> Result<Verified, LookupError> {
        if claim.is_empty() {
            return Err(LookupError::EmptyClaim);
        }
        // The claim is checked whole before the row is looked for, so that a wrong claim fails the same way for every
        // key.
        let mut wanted = Vec::with_capacity(claim.len());
        for (name, value) in claim {
            let Some(at) = self.by_name.get(name) else {
                let granted = self.table.column_names();
                return Err(LookupError::ColumnNotGranted { column: name.clone(), granted });
            };
            let data_type = &self.table.columns()[*at].data_type;
            let value = value.as_ref().map(|value| typed(value, data_type, name)).transpose()?;
            wanted.push((*at, value));
        }
        let not_found = Verified { verdict: Verdict::NotFound, row: None };
        let Some(raw) = self.covered_row(key)? else { return Ok(not_found) };
        let places: Vec<usize> = wanted.iter().map(|(at, _)| *at).collect();
        let Some(shown) = self.shown(&raw, &places)? else { return Ok(not_found) };
        let mut verdict = Verdict::Match;
        for (shown, (_, value)) in shown.into_iter().zip(wanted) {
            let is_same = match value {
                None => shown.is_null(0),
                Some(_) if shown.is_null(0) => false,
                Some(value) => equals(&shown, &value)?,
            };
            if !is_same {
                verdict = Verdict::Mismatch;
            }
        }
        Ok(Verified { verdict, row: Some(self.row_number(&raw)) })
    }

    /// The verdicts on up to [`KEYS_MAX`] claims, in their order.
    pub fn verify_batch(&self, claims: &[(Vec<Literal>, Claim)]) -> Result<Vec<Verified>, LookupError> {
        check_count(claims.len())?;
        claims.iter().map(|(key, claim)| self.verify(key, claim)).collect()
    }

    /// The raw row of a key, if row filter and consent let it exist.
    fn covered_row(&self, key: &[Literal]) -> Result<Option<RawRow>, LookupError> {
        let Some(raw) = self.rows.find(key)? else { return Ok(None) };
        if let Some(condition) = &self.row_filter {
            let covered = condition
                .evaluate(&raw.rows.slice(raw.at, 1))
                .and_then(|value| value.into_array(1))
                .map_err(|error| crate::execution::sanitise(&error))?;
            let covered = covered.as_boolean();
            if covered.is_null(0) || !covered.value(0) {
                return Ok(None);
            }
        }
        if let Some(subjects) = self.table.consent() {
            for column in &self.subject_columns {
                if !subjects.covered(raw.value(*column).as_primitive::<Int64Type>()).value(0) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(raw))
    }

    /// Granted columns of a raw row as the recipient has them; none where his copy lacks the row.
    fn shown(&self, raw: &RawRow, places: &[usize]) -> Result<Option<Vec<ArrayRef>>, LookupError> {
        let Some(copy) = &self.copy else {
            let shown: Result<Vec<ArrayRef>, LookupError> = places.iter().map(|at| self.precise(raw, *at)).collect();
            return shown.map(Some);
        };
        // A mark may hang on columns that were not asked for, so the whole row is copied.
        let visible = self.table.columns().len();
        let mut columns = Vec::with_capacity(copy.schema.fields().len());
        for at in 0..visible {
            columns.push(self.precise(raw, at)?);
        }
        columns.extend(copy.read.iter().map(|place| raw.value(*place)));
        let copied = RecordBatch::try_new(Arc::clone(&copy.schema), columns)
            .map_err(|error| crate::execution::sanitise(&error.into()))
            .and_then(|row| copy.copying.of_row(&row, visible).map_err(not_marked))?;
        Ok(copied.map(|copied| places.iter().map(|at| Arc::clone(&copied[*at])).collect()))
    }

    /// A granted column of a raw row at its precision.
    fn precise(&self, raw: &RawRow, at: usize) -> Result<ArrayRef, LookupError> {
        let column = &self.table.columns()[at];
        let value = raw.value(column.raw_index);
        match &column.mask {
            Some(mask) => Ok(masked(mask, &value)?),
            None => Ok(value),
        }
    }

    fn row_number(&self, raw: &RawRow) -> u64 {
        let number = raw.rows.column(self.row_column).as_primitive::<Int64Type>().value(raw.at);
        u64::try_from(number).expect("row numbers are counted from 0")
    }
}

impl std::fmt::Debug for LookupTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LookupTable").field("table", &self.table.name()).finish_non_exhaustive()
    }
}

impl RowCopy {
    /// None: the table's rows are the same for everybody.
    fn of(table: &GovernedTable, raw: &Schema, visible: &Schema) -> Option<RowCopy> {
        let names = table.column_names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // The index of a product holds its rows without decoys.
        let copying = Copying::of(table.marks()?, &names, false)?;
        let (mut fields, mut read) = (visible.fields().to_vec(), Vec::new());
        for name in copying.read() {
            let (place, field) = raw.column_with_name(name).expect("that the marks fit the table was checked with it");
            fields.push(Arc::new(field.clone().with_name(Copying::read_name(name)).with_nullable(true)));
            read.push(place);
        }
        Some(RowCopy { copying, schema: Arc::new(Schema::new(fields)), read })
    }
}

fn not_marked(error: FingerprintError) -> EngineError {
    tracing::warn!(%error, "a row could not be marked, so nothing of it left");
    crate::execution::sanitise(&DataFusionError::External(Box::new(error)))
}

fn masked(mask: &Mask, value: &ArrayRef) -> Result<ArrayRef, EngineError> {
    mask.apply(value).map_err(|error| crate::execution::sanitise(&error))
}

fn equals(shown: &ArrayRef, value: &ScalarValue) -> Result<bool, EngineError> {
    let wanted = value.to_array().map_err(|error| crate::execution::sanitise(&error))?;
    let same: BooleanArray =
        cmp::eq(shown, &Scalar::new(wanted)).map_err(|error| crate::execution::sanitise(&error.into()))?;
    Ok(same.value(0))
}

fn check_count(found: usize) -> Result<(), LookupError> {
    if found > KEYS_MAX { Err(LookupError::TooManyKeys { found }) } else { Ok(()) }
}

/// Joins found rows into one batch, for encoders; missing keys are left out.
pub fn joined(schema: &SchemaRef, found: &[Option<Found>]) -> Result<RecordBatch, EngineError> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        let values: Vec<&dyn Array> = found.iter().flatten().map(|found| found.values.column(at).as_ref()).collect();
        let column = if values.is_empty() {
            new_empty_array(field.data_type())
        } else {
            concat(&values).map_err(|error| crate::execution::sanitise(&error.into()))?
        };
        columns.push(column);
    }
    let schema: Arc<Schema> = Arc::clone(schema);
    RecordBatch::try_new(schema, columns).map_err(|error| crate::execution::sanitise(&error.into()))
}
