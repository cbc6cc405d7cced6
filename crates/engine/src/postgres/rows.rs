//! The rows of a statement, batch by batch.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use sqlx::postgres::{PgArguments, PgRow, PgValueFormat, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Column, Row, ValueRef};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

use super::address::TableAddress;
use super::connections::{PostgresError, Reading};
use super::parameter::Parameter;
use super::value::{WireColumn, WireType};
use crate::BATCH_ROWS;
use crate::columns::ColumnView;
use crate::source::REJECTED_CELLS_MAX;

/// Bytes of values after which a batch is handed over even if it has few rows.
const BATCH_BYTES: usize = 8 << 20;

/// A statement: words and quoted names of this room, and the values of its parameters.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    /// The table, for messages.
    pub(crate) table: TableAddress,
    /// The text. Made of nothing but fixed words, quoted names and `$1`, `$2`, …
    pub(crate) text: String,
    /// The values.
    pub(crate) parameters: Vec<Parameter>,
    /// What each column of the answer is in the database and becomes here.
    pub(crate) columns: Vec<(WireType, ColumnView)>,
    /// The schema of the batches, of as many fields.
    pub(crate) schema: SchemaRef,
}

/// Rows of an answer.
#[derive(Debug)]
pub(crate) struct ReadRows {
    /// All of them. A value that can't be kept as it is is missing.
    pub(crate) batch: RecordBatch,
    /// The rows with such values, by their places, and what is wrong with each.
    pub(crate) bad: BTreeMap<usize, Vec<PostgresError>>,
}

impl ReadRows {
    /// The rows, if all of their values could be kept. Error: the first that could not.
    pub(crate) fn whole(self) -> Result<RecordBatch, PostgresError> {
        match self.bad.into_values().flatten().next() {
            Some(error) => Err(error),
            None => Ok(self.batch),
        }
    }
}

impl Statement {
    /// Ready to be run, its values bound.
    pub(crate) fn query(&self) -> Query<'_, Postgres, PgArguments> {
        // To learn of an enumeration the driver asks the database between preparing and running, which a statement without
        // a name does not survive.
        let is_named = self.columns.iter().any(|(wire, _)| *wire == WireType::Label);
        let mut query = sqlx::query(AssertSqlSafe(self.text.as_str())).persistent(is_named);
        for parameter in &self.parameters {
            query = query.bind(parameter.clone());
        }
        query
    }
}

/// Runs a statement and hands its rows over in batches of at most [`BATCH_ROWS`] rows, then ends the reading. Only what
/// is being handed over is in memory. Stops, closing the connection, when the receiver is gone.
pub(crate) async fn read_rows(
    mut reading: Reading,
    statement: Statement,
    batches: mpsc::Sender<Result<ReadRows, PostgresError>>,
) {
    let read = async {
        send_rows(&mut reading, &statement, &batches).await?;
        reading.end().await
    };
    let outcome = tokio::select! {
        outcome = read => outcome,
        () = batches.closed() => return,
    };
    if let Err(error) = outcome {
        // When nobody is there any more, nobody needs to know.
        drop(batches.send(Err(error)).await);
    }
}

async fn send_rows(
    reading: &mut Reading,
    statement: &Statement,
    batches: &mpsc::Sender<Result<ReadRows, PostgresError>>,
) -> Result<(), PostgresError> {
    let connection = reading.name().clone();
    let mut columns: Vec<WireColumn> =
        statement.columns.iter().map(|(wire, view)| WireColumn::new(*wire, view.column_type)).collect();
    let mut rows = statement.query().fetch(reading.connection());
    let (mut rows_before, mut waiting, mut bytes) = (0_u64, 0_usize, 0_usize);
    let mut bad: BTreeMap<usize, Vec<PostgresError>> = BTreeMap::new();
    loop {
        let row = rows.try_next().await.map_err(|error| PostgresError::of(&connection, &error))?;
        let is_last = row.is_none();
        if let (Some(first), 0, 0) = (&row, rows_before, waiting) {
            must_be_announced_as_expected(statement, first)?;
        }
        if let Some(row) = row {
            let (row_bytes, errors) = append(statement, &mut columns, &row, rows_before + waiting as u64 + 1)?;
            bytes += row_bytes;
            if !errors.is_empty() {
                bad.insert(waiting, errors);
            }
            waiting += 1;
        }
        let is_full = waiting == BATCH_ROWS || bytes >= BATCH_BYTES;
        if waiting > 0 && (is_full || is_last) {
            let arrays = columns.iter_mut().map(WireColumn::finish).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(waiting));
            let batch = RecordBatch::try_new_with_options(Arc::clone(&statement.schema), arrays, &options)
                .expect("the columns were made for the fields of the schema");
            let read = ReadRows { batch, bad: std::mem::take(&mut bad) };
            if batches.send(Ok(read)).await.is_err() {
                return Ok(());
            }
            rows_before += waiting as u64;
            (waiting, bytes) = (0, 0);
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Compares the types that an answer announces with those that its values would be read as: four bytes of a number are a
/// date just as well. All rows of an answer have the types of its first.
fn must_be_announced_as_expected(statement: &Statement, row: &PgRow) -> Result<(), PostgresError> {
    let mut changes = Vec::new();
    for (index, (wire, view)) in statement.columns.iter().enumerate() {
        let announced = row.try_column(index).ok().and_then(|column| column.type_info().oid());
        if !announced.is_some_and(|oid| wire.is_sent_as(oid.0)) {
            changes.push(format!("column `{}` comes as another type", view.name));
        }
    }
    if changes.is_empty() { Ok(()) } else { Err(PostgresError::Changed { table: statement.table.clone(), changes }) }
}

/// Appends a row; answers how many bytes its values have, and what is wrong with those that can't be kept as they are.
fn append(
    statement: &Statement,
    columns: &mut [WireColumn],
    row: &PgRow,
    number: u64,
) -> Result<(usize, Vec<PostgresError>), PostgresError> {
    let mut bytes = 0;
    let mut errors = Vec::new();
    for (index, (column, (_, view))) in columns.iter_mut().zip(&statement.columns).enumerate() {
        let bad = || PostgresError::BadValue {
            table: statement.table.clone(),
            row: number,
            column: view.name.to_string(),
            expected: view.column_type,
        };
        let value = row.try_get_raw(index).map_err(|_| bad())?;
        let raw = if value.is_null() {
            None
        } else if value.format() == PgValueFormat::Binary {
            Some(value.as_bytes().map_err(|_| bad())?)
        } else {
            return Err(bad());
        };
        bytes += raw.map_or(0, <[u8]>::len);
        if column.append(raw).is_err() {
            // The columns stay of one length; whoever takes the rows leaves this one out, or takes none.
            column.append(None).map_err(|_| bad())?;
            if errors.len() < REJECTED_CELLS_MAX {
                errors.push(bad());
            }
        }
    }
    Ok((bytes, errors))
}
