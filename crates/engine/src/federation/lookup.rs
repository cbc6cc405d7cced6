//! Rows of a live product by their keys: what verification and lookup ask of data that has no index here.
//!
//! The database is asked for the rows of the keys where it decides their equality as the engine does and only rows can come
//! that exist for the grant: its whole row filter goes along, and where consent is needed the key names the subject and is
//! left out unless he consents. Otherwise it is asked for all rows of the grant, as for any question, and the keys are
//! compared here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{and, take_record_batch};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};
use lingqu_domain::predicate::Literal;
use lingqu_domain::scope::ColumnName;
use tokio::time::Instant;

use super::subjects::numbers_of;
use crate::engine::Engine;
use crate::execution::{EngineError, LimitedBatches, Limits, sanitise};
use crate::governed::{GovernError, GovernedTable};
use crate::lookup::{KEYS_MAX, LookupError, LookupTable, typed};
use crate::predicate::column;
use crate::raw::RawTable;
use crate::rows_left::RowsLeft;
use crate::session::start;

/// One grant's view of a live product, for lookup or verification.
pub struct LiveLookup {
    engine: Arc<Engine>,
    table: Arc<GovernedTable>,
    key: Vec<ColumnName>,
    key_types: Vec<DataType>,
    limits: Limits,
}

/// The rows that were fetched for some keys, by their keys.
pub(crate) struct FetchedRows {
    key: Vec<ColumnName>,
    key_types: Vec<DataType>,
    converter: RowConverter,
    rows: HashMap<Box<[u8]>, RecordBatch>,
}

impl LiveLookup {
    /// Keyed access to a governed live product. Error: a part of the key is not a column of the data.
    pub fn new(
        engine: &Arc<Engine>,
        table: Arc<GovernedTable>,
        key: &[ColumnName],
        limits: Limits,
    ) -> Result<LiveLookup, EngineError> {
        let schema = table.raw().arrow_schema();
        let mut key_types = Vec::with_capacity(key.len());
        for name in key {
            let (_, field) = schema
                .column_with_name(name.as_str())
                .ok_or_else(|| GovernError::SchemaChanged { column: name.to_string() })?;
            key_types.push(field.data_type().clone());
        }
        Ok(LiveLookup { engine: Arc::clone(engine), table, key: key.to_vec(), key_types, limits })
    }

    /// A view without any row, for what can be said of the columns alone.
    pub fn empty(&self) -> Result<LookupTable, LookupError> {
        LookupTable::fetched(self.rows()?, Arc::clone(&self.table))
    }

    /// Reads the rows of up to [`KEYS_MAX`] keys. The view answers for these keys and no others. Errors: those of a
    /// lookup; the database can't be read; a key has several rows.
    pub async fn fetch(&self, keys: &[&[Literal]]) -> Result<LookupTable, LookupError> {
        if keys.len() > KEYS_MAX {
            return Err(LookupError::TooManyKeys { found: keys.len() });
        }
        let mut fetched = self.rows()?;
        let mut wanted = Vec::with_capacity(keys.len());
        for key in keys {
            wanted.push(fetched.typed(key)?);
        }
        if !wanted.is_empty() {
            self.read(&wanted, &mut fetched).await?;
        }
        LookupTable::fetched(fetched, Arc::clone(&self.table))
    }

    fn rows(&self) -> Result<FetchedRows, LookupError> {
        let fields = self.key_types.iter().map(|data_type| SortField::new(data_type.clone())).collect();
        let converter = RowConverter::new(fields).map_err(|error| sanitise(&error.into()))?;
        let (key, key_types) = (self.key.clone(), self.key_types.clone());
        Ok(FetchedRows { key, key_types, converter, rows: HashMap::new() })
    }

    async fn read(&self, wanted: &[Vec<ScalarValue>], fetched: &mut FetchedRows) -> Result<(), LookupError> {
        let mut missing: HashSet<Box<[u8]>> = HashSet::with_capacity(wanted.len());
        for key in wanted {
            missing.insert(fetched.encoded(key)?);
        }
        let base = match self.asked(wanted)? {
            Some(asked) if asked.is_empty() => return Ok(()),
            Some(asked) => vec![self.condition(&asked)],
            None => Vec::new(),
        };
        let fault = |error: datafusion::error::DataFusionError| sanitise(&error);
        let plan = self.table.rows(&base, &[]).and_then(|rows| rows.build()).map_err(fault)?;
        let _place = self.engine.place().await?;
        let deadline = Instant::now() + self.limits.time_max;
        let state = self.engine.trusted_state();
        let task = self.engine.task(&state, self.limits.memory_bytes_max, &RowsLeft::default())?;
        let stream = start(&self.engine, &state, &plan, task).await?;
        let mut batches = LimitedBatches::new(stream, self.limits, deadline);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let encoded = fetched.encoded_rows(&batch)?;
            let (mut places, mut keys) = (Vec::new(), Vec::new());
            for (place, key) in (0_u32..).zip(encoded.iter()) {
                let key: &[u8] = key.as_ref();
                if missing.contains(key) {
                    places.push(place);
                    keys.push(Box::<[u8]>::from(key));
                }
            }
            if keys.len() > wanted.len() {
                return Err(several_rows(self.table.name()).into());
            }
            // Copied out: a slice would keep its whole batch, of which there may be as many as keys.
            let kept =
                take_record_batch(&batch, &UInt32Array::from(places)).map_err(|error| sanitise(&error.into()))?;
            for (at, key) in keys.into_iter().enumerate() {
                if fetched.rows.insert(key, kept.slice(at, 1)).is_some() {
                    return Err(several_rows(self.table.name()).into());
                }
            }
        }
        Ok(())
    }

    /// The keys that the database is asked for; none when it is asked for all rows of the grant. A value that can't be read
    /// ends the answer, so which rows come may depend on a key only if all of them exist for the grant.
    fn asked<'a>(&self, wanted: &'a [Vec<ScalarValue>]) -> Result<Option<Vec<&'a [ScalarValue]>>, EngineError> {
        let raw = self.table.raw();
        if !raw.takes_conditions(self.table.row_filter(), false) {
            return Ok(None);
        }
        let all = wanted.iter().map(Vec::as_slice);
        let Some(consents) = self.table.consent() else { return Ok(Some(all.collect())) };
        let RawTable::Chosen(product) = raw else { return Ok(None) };
        let Some(subjects) = product.subjects() else { return Ok(None) };
        let mut consenting = BooleanArray::from(vec![true; wanted.len()]);
        for subject in &subjects.columns {
            let Some(place) = self.key.iter().position(|part| part == subject) else { return Ok(None) };
            let named = ScalarValue::iter_to_array(wanted.iter().map(|key| key[place].clone()))
                .map_err(|error| sanitise(&error))?;
            let numbers = numbers_of(subjects.numbers.as_ref(), &named).map_err(|error| sanitise(&error))?;
            let covered = consents.covered(&numbers);
            consenting = and(&consenting, &covered).map_err(|error| sanitise(&error.into()))?;
        }
        Ok(Some(all.enumerate().filter(|(at, _)| consenting.value(*at)).map(|(_, key)| key).collect()))
    }

    /// The condition that a row has one of some keys.
    fn condition(&self, wanted: &[&[ScalarValue]]) -> Expr {
        if let [name] = self.key.as_slice() {
            let list = wanted.iter().map(|key| lit(key[0].clone())).collect();
            return column(name.as_str()).in_list(list, false);
        }
        let mut conditions = Vec::with_capacity(wanted.len());
        for key in wanted {
            let parts = self.key.iter().zip(*key).map(|(name, value)| column(name.as_str()).eq(lit(value.clone())));
            conditions.push(parts.reduce(Expr::and).unwrap_or_else(|| lit(false)));
        }
        // Joined pair by pair, so that a thousand keys are ten levels deep and not a thousand.
        while conditions.len() > 1 {
            let mut pairs = Vec::with_capacity(conditions.len().div_ceil(2));
            let mut single = conditions.into_iter();
            while let Some(first) = single.next() {
                pairs.push(match single.next() {
                    Some(second) => first.or(second),
                    None => first,
                });
            }
            conditions = pairs;
        }
        conditions.pop().unwrap_or_else(|| lit(false))
    }
}

impl std::fmt::Debug for LiveLookup {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LiveLookup").field("table", &self.table.name()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for FetchedRows {
    /// How many, never what is in them.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("FetchedRows").field("len", &self.rows.len()).finish_non_exhaustive()
    }
}

impl FetchedRows {
    /// The raw row of a key.
    pub(crate) fn find(&self, key: &[Literal]) -> Result<Option<RecordBatch>, LookupError> {
        let key = self.encoded(&self.typed(key)?)?;
        Ok(self.rows.get(&key).cloned())
    }

    fn typed(&self, key: &[Literal]) -> Result<Vec<ScalarValue>, LookupError> {
        if key.len() != self.key.len() {
            let names = self.key.iter().map(ToString::to_string).collect();
            return Err(LookupError::KeyParts { found: key.len(), expected: self.key.len(), names });
        }
        let parts = key.iter().zip(&self.key).zip(&self.key_types);
        parts.map(|((part, name), data_type)| typed(part, data_type, name.as_str())).collect()
    }

    fn encoded(&self, key: &[ScalarValue]) -> Result<Box<[u8]>, LookupError> {
        let mut parts: Vec<ArrayRef> = Vec::with_capacity(key.len());
        for part in key {
            parts.push(part.to_array().map_err(|error| sanitise(&error))?);
        }
        let rows = self.converter.convert_columns(&parts).map_err(|error| sanitise(&error.into()))?;
        Ok(rows.row(0).as_ref().into())
    }

    fn encoded_rows(&self, batch: &RecordBatch) -> Result<arrow::row::Rows, LookupError> {
        let mut parts: Vec<ArrayRef> = Vec::with_capacity(self.key.len());
        for name in &self.key {
            let part = batch.column_by_name(name.as_str());
            parts.push(Arc::clone(part.expect("that the data has the key's columns was checked when it was opened")));
        }
        Ok(self.converter.convert_columns(&parts).map_err(|error| sanitise(&error.into()))?)
    }
}

/// Nobody here sees to it that a key of live data is one; a row that is one of several would be an answer by chance.
fn several_rows(table: &str) -> EngineError {
    let correlation = uuid::Uuid::now_v7().simple().to_string();
    tracing::warn!(
        %correlation,
        table,
        "a key of a live product has several rows; have its table or view made unique by the product's key"
    );
    EngineError::SourceChanged { correlation }
}
