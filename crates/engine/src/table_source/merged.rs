//! New rows put together with those that a resource has already.
//!
//! With a key both come in its order, the new ones sorted by the database and the older ones as they lie ([`super::older`]), and
//! they are merged into one stream in that order: a new row with the key of an older one takes its place. What is in memory is a
//! batch of each and the last key, however many rows are new. The same rows are the same stream, whatever was new. A new row that
//! does not fit takes the place of the older one too, which is no longer so: as if the table had been read whole, there is none
//! with its key until it fits. Without a key rows are only ever added, and the new ones stand first.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, interleave_record_batch};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use futures::StreamExt;
use lingqu_domain::scope::ColumnName;

use super::older::{Older, OlderRows};
use crate::columns::SchemaView;
use crate::postgres::PostgresError;
use crate::source::{BatchStream, SourceError, TableBatch};

/// How new rows are put together with older ones.
#[derive(Debug)]
pub(super) struct Merged {
    table: String,
    schema: SchemaView,
    /// Places of the key's columns; none: rows are only ever added.
    key: Vec<usize>,
    older: Option<Older>,
}

impl Merged {
    /// Errors: the key is not among the columns; the older rows have other columns.
    pub(super) fn new(
        table: &str,
        schema: &SchemaView,
        key: &[ColumnName],
        older: Option<Older>,
    ) -> Result<Merged, SourceError> {
        if let Some(older) = &older
            && SchemaView::of_arrow(&older.files.arrow_schema()).as_ref() != Some(schema)
        {
            let reason =
                "the resource's columns have changed since the last reading; read the table whole once".to_owned();
            return Err(SourceError::BadOptions { reason });
        }
        let mut places = Vec::with_capacity(key.len());
        for name in key {
            let Some(place) = schema.columns.iter().position(|column| &column.name == name) else {
                let reason = format!("the key column `{name}` is not a column of the resource");
                return Err(SourceError::BadOptions { reason });
            };
            places.push(place);
        }
        Ok(Merged { table: table.to_owned(), schema: schema.clone(), key: places, older })
    }

    /// All rows. `new` gives the new ones, in the order of the key where there is one. Errors of the stream: those of either
    /// side; a key that comes twice among the new rows or has a part that is missing.
    pub(super) fn stream(self, mut new: BatchStream) -> BatchStream {
        Box::pin(async_stream::try_stream! {
            let Merged { table, schema, key, older } = self;
            let mut older_rows = older.map_or_else(OlderRows::none, |older| older.read(&schema, &key));
            if key.is_empty() {
                while let Some(batch) = new.next().await {
                    yield batch?;
                }
                while let Some(batch) = older_rows.next().await? {
                    yield TableBatch::of(batch);
                }
                return;
            }
            let empty = RecordBatch::new_empty(schema.arrow());
            let mut order = Order::of(&table, &schema, &key)?;
            let mut older_order = Order::of(&table, &schema, &key)?;
            let (mut fresh, mut kept): (Option<Side>, Option<Side>) = (None, None);
            // Of as many as may be rejected.
            let mut outdated = HashSet::new();
            loop {
                while fresh.is_none() {
                    let Some(batch) = new.next().await else { break };
                    let batch = batch?;
                    outdated.extend(order.keys_of_others(&batch, &schema));
                    let (rows, bad) = batch.into_parts();
                    if !bad.is_empty() {
                        yield TableBatch::bad_alone(empty.clone(), bad);
                    }
                    fresh = order.side(rows).map_err(|misplaced| misplaced.among_new(&table))?;
                }
                while kept.is_none() {
                    let Some(batch) = older_rows.next().await? else { break };
                    kept = older_order.side(batch).map_err(|_| out_of_order(&table))?;
                }
                match (fresh.take(), kept.take()) {
                    (None, None) => break,
                    (Some(side), None) => yield TableBatch::of(side.rest()),
                    (None, Some(side)) => yield TableBatch::of(side.rest_without(&outdated)),
                    (Some(mut new_side), Some(mut old_side)) => {
                        yield TableBatch::of(merge(&table, &mut new_side, &mut old_side, &outdated)?);
                        fresh = Some(new_side).filter(|side| !side.is_at_end());
                        kept = Some(old_side).filter(|side| !side.is_at_end());
                    }
                }
            }
        })
    }
}

/// Rows of one side, from a place on.
struct Side {
    batch: RecordBatch,
    keys: Rows,
    at: usize,
}

impl Side {
    fn is_at_end(&self) -> bool {
        self.at >= self.batch.num_rows()
    }

    fn rest(&self) -> RecordBatch {
        self.batch.slice(self.at, self.batch.num_rows() - self.at)
    }

    /// The same without the rows with one of these keys.
    fn rest_without(&self, keys: &HashSet<OwnedRow>) -> RecordBatch {
        let rest = self.rest();
        if keys.is_empty() {
            return rest;
        }
        let stays = |at: usize| Some(!keys.contains(&self.keys.row(at).owned()));
        let stay: BooleanArray = (self.at..self.batch.num_rows()).map(stays).collect();
        filter_record_batch(&rest, &stay).expect("the mask has an entry for each row")
    }

    /// Whether all that is left stands before what is left of another side.
    fn is_before(&self, other: &Side) -> bool {
        self.keys.row(self.batch.num_rows() - 1) < other.keys.row(other.at)
    }
}

/// Merges until one side is at its end. Neither is when it begins. Older rows with an outdated key are left out.
fn merge(
    table: &str,
    new: &mut Side,
    old: &mut Side,
    outdated: &HashSet<OwnedRow>,
) -> Result<RecordBatch, SourceError> {
    // Mostly little is new, and stretches of older rows go through as they are.
    if old.is_before(new) {
        let rest = old.rest_without(outdated);
        old.at = old.batch.num_rows();
        return Ok(rest);
    }
    if new.is_before(old) {
        let rest = new.rest();
        new.at = new.batch.num_rows();
        return Ok(rest);
    }
    let mut chosen: Vec<(usize, usize)> = Vec::new();
    while !new.is_at_end() && !old.is_at_end() {
        let order = new.keys.row(new.at).cmp(&old.keys.row(old.at));
        if order.is_le() {
            chosen.push((0, new.at));
            new.at += 1;
        }
        if order.is_gt() && (outdated.is_empty() || !outdated.contains(&old.keys.row(old.at).owned())) {
            chosen.push((1, old.at));
        }
        if order.is_ge() {
            old.at += 1;
        }
    }
    interleave_record_batch(&[&new.batch, &old.batch], &chosen).map_err(|_| out_of_order(table))
}

/// Sees to it that keys rise from row to row.
struct Order {
    places: Vec<usize>,
    converter: RowConverter,
    last: Option<OwnedRow>,
}

/// What is wrong with a key.
enum Misplaced {
    /// A part is missing, or it comes twice.
    NoKey,
    /// It stands behind a greater one.
    Behind,
}

impl Misplaced {
    fn among_new(&self, table: &str) -> SourceError {
        let reason = match self {
            Misplaced::NoKey => format!(
                "{table}: the columns of the key do not tell rows apart (a key comes twice or has a part that is missing); name other columns"
            ),
            Misplaced::Behind => format!(
                "{table}: the database sorts the columns of the key otherwise than their values are sorted here; offer a view that gives them as text"
            ),
        };
        SourceError::BadOptions { reason }
    }
}

impl Order {
    fn of(table: &str, schema: &SchemaView, key: &[usize]) -> Result<Order, SourceError> {
        let fields = key.iter().map(|place| SortField::new(schema.columns[*place].column_type.arrow())).collect();
        let converter = RowConverter::new(fields).map_err(|_| Misplaced::NoKey.among_new(table))?;
        Ok(Order { places: key.to_vec(), converter, last: None })
    }

    /// The keys of a batch's rows that do not fit, as far as the key itself does.
    fn keys_of_others(&self, batch: &TableBatch, schema: &SchemaView) -> Vec<OwnedRow> {
        let Some(others) = batch.others() else { return Vec::new() };
        let columns: Vec<ArrayRef> = self.places.iter().map(|place| Arc::clone(others.column(*place))).collect();
        let Ok(keys) = self.converter.convert_columns(&columns) else { return Vec::new() };
        let is_of_key = |name: &str| self.places.iter().any(|place| schema.columns[*place].name.as_str() == name);
        let may_be_of_key = |error: &SourceError| match error {
            SourceError::BadValue { column, .. } => is_of_key(column.as_str()),
            SourceError::Database(PostgresError::BadValue { column, .. }) => is_of_key(column),
            _ => true,
        };
        let mut found = Vec::new();
        for (place, errors) in batch.bad().iter().enumerate() {
            // Not all of a row's bad cells are told, but all of them are missing.
            if !errors.iter().any(may_be_of_key) && columns.iter().all(|column| column.is_valid(place)) {
                found.push(keys.row(place).owned());
            }
        }
        found
    }

    /// A batch with the keys of its rows; none when it has no row.
    fn side(&mut self, batch: RecordBatch) -> Result<Option<Side>, Misplaced> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = self.places.iter().map(|place| Arc::clone(batch.column(*place))).collect();
        if columns.iter().any(|column| column.null_count() > 0) {
            return Err(Misplaced::NoKey);
        }
        let keys = self.converter.convert_columns(&columns).map_err(|_| Misplaced::NoKey)?;
        for place in 0..batch.num_rows() {
            let key = keys.row(place);
            let order = match (place, &self.last) {
                (0, None) => std::cmp::Ordering::Less,
                (0, Some(last)) => last.row().cmp(&key),
                _ => keys.row(place - 1).cmp(&key),
            };
            match order {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Err(Misplaced::NoKey),
                std::cmp::Ordering::Greater => return Err(Misplaced::Behind),
            }
        }
        self.last = Some(keys.row(batch.num_rows() - 1).owned());
        Ok(Some(Side { batch, keys, at: 0 }))
    }
}

fn out_of_order(table: &str) -> SourceError {
    let reason = format!(
        "{table}: what the resource has of it is not in the order of the key; read the table whole once, without an increment"
    );
    SourceError::BadOptions { reason }
}

#[cfg(test)]
mod tests;
