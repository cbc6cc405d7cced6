//! Tables and views of PostgreSQL: whole, or what is new by a watermark.
//!
//! Opening a table begins the transaction in which it is read, and fixes in it the highest watermark: what is read is one
//! state of the database, and the position is exact for it. A reading that goes on from an earlier one gives the new
//! rows first and then those that the resource has already, without the ones that were replaced.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use tokio::sync::mpsc;

use super::increment::{Bounds, Merged, Watermark};
use super::typed::Typing;
use super::{Increment, Previous, Wanted};
use crate::columns::{ColumnView, SchemaView};
use crate::postgres::{
    ConnectionName, Connections, Parameter, PostgresError, Reading, ReadingTime, Relation, Statement, TableAddress,
    WireType, read_rows,
};
use crate::source::{BatchStream, SourceError, SourceIdentity, TableSource};

/// Batches that wait for whoever takes them.
const BATCHES_AHEAD: usize = 2;

/// A table of a database, its reading begun.
#[derive(Debug)]
pub(super) struct PostgresTable {
    name: String,
    typing: Typing,
    view: SchemaView,
    /// What is asked; none: nothing is new.
    statement: Option<Statement>,
    reading: Reading,
    position: Option<String>,
    merged: Option<Merged>,
}

impl PostgresTable {
    pub(super) async fn open(
        connections: &Connections,
        connection: &ConnectionName,
        table: &TableAddress,
        increment: Option<&Increment>,
        wanted: Wanted<'_>,
        previous: Option<Previous>,
    ) -> Result<Self, SourceError> {
        if let Some(increment) = increment {
            must_make_sense(increment, wanted)?;
        }
        let mut reading = connections.read(connection, ReadingTime::Ingestion).await?;
        let relation = Relation::find(&mut reading, table).await?;
        let name = table.to_string();
        let (typing, columns) = typing(&relation, &name, wanted)?;
        let mut opened = Self {
            name,
            view: typing.view(),
            typing,
            statement: Some(select(&relation, &columns)),
            reading,
            position: None,
            merged: None,
        };
        if let Some(increment) = increment {
            opened.restrict(&relation, increment, previous).await?;
        }
        Ok(opened)
    }

    /// Restricts the reading to what is new, and fixes where the next one goes on.
    async fn restrict(
        &mut self,
        relation: &Relation,
        increment: &Increment,
        previous: Option<Previous>,
    ) -> Result<(), SourceError> {
        let (column, wire) = relation.typed(&increment.watermark, "the watermark")?;
        let watermark = Watermark::of(wire).ok_or_else(|| PostgresError::Settings {
            reason: format!(
                "column `{}` can't be the watermark: take one that is a whole number, a timestamp or a date and rises with every change",
                increment.watermark
            ),
        })?;
        let last = match &previous {
            Some(previous) => Some(watermark.parse(&previous.position).ok_or_else(|| PostgresError::Settings {
                reason: "the position of the last reading is not one of this watermark column; read the table whole once".to_owned(),
            })?),
            None => None,
        };
        let quoted = column.quoted();
        let highest = self.highest(&quoted, watermark).await?;
        let Bounds { lower, upper, position } = watermark.bounds(last, highest, increment);
        self.position = position.map(|position| watermark.print(position));
        let Some(statement) = &mut self.statement else { return Ok(()) };
        let mut conditions = Vec::new();
        let mut parameters = Vec::new();
        for bound in [lower, upper].into_iter().flatten() {
            let parameter = watermark.parameter(bound.value).ok_or_else(|| PostgresError::Settings {
                reason: format!("the watermark column `{}` has a value out of range", increment.watermark),
            })?;
            parameters.push(parameter);
            conditions.push(format!("{quoted} {} ${}", bound.operator, parameters.len()));
        }
        if upper.is_none() {
            // No row has a watermark.
            self.statement = None;
        } else {
            statement.text = format!("{} WHERE {}", statement.text, conditions.join(" AND "));
            statement.parameters = parameters;
        }
        if let Some(previous) = previous {
            self.merged = Some(Merged::new(&self.name, &self.view, &increment.key, previous.files)?);
        } else if !increment.key.is_empty() {
            self.merged = Some(Merged::beginning(&self.name, &self.view, &increment.key)?);
        }
        Ok(())
    }

    /// The highest watermark in this state of the database.
    async fn highest(&mut self, quoted: &str, watermark: Watermark) -> Result<Option<i64>, PostgresError> {
        let Some(statement) = &self.statement else { return Ok(None) };
        // Infinite times are no watermarks: everything later would be behind them.
        let finite =
            if watermark.has_infinity() { format!(" WHERE pg_catalog.isfinite({quoted})") } else { String::new() };
        let text = format!("SELECT pg_catalog.max({quoted}) FROM {}{finite}", statement.table.quoted());
        watermark.read_one(&mut self.reading, text).await
    }
}

/// Refuses settings that contradict themselves.
fn must_make_sense(increment: &Increment, wanted: Wanted<'_>) -> Result<(), SourceError> {
    let bad = |reason: &str| Err(SourceError::BadOptions { reason: reason.to_owned() });
    if increment.overlap > 0 && increment.key.is_empty() {
        return bad("an overlap reads rows a second time, so the columns of a key must be named that tell them");
    }
    for key in &increment.key {
        if wanted.schema.column(key).is_none() {
            return bad(&format!("the key column `{key}` is not a column of the resource"));
        }
    }
    Ok(())
}

/// A column that is read: its quoted name, how it comes, and what it becomes.
type ReadColumn = (String, WireType, ColumnView);

/// How the table's columns become the wanted ones, and which of them are read as what.
fn typing(relation: &Relation, name: &str, wanted: Wanted<'_>) -> Result<(Typing, Vec<ReadColumn>), SourceError> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    let mut strange = Vec::new();
    for column in &relation.columns {
        let (Some(known), Some(wire)) = (&column.name, column.wire) else {
            if let Some(known) = &column.name
                && wanted.schema.column(known).is_some()
            {
                return Err(relation.bad_type(column).into());
            }
            strange.push(column.remote.clone());
            continue;
        };
        let Some(asked) = wanted.schema.column(known) else {
            // Only there to be told as one too many; it is not read.
            fields.push(Field::new(known.as_str(), wire.natural().arrow(), true));
            continue;
        };
        let column_type = Relation::type_for(wire, asked.column_type);
        fields.push(Field::new(known.as_str(), column_type.arrow(), true));
        columns.push((column.quoted(), wire, ColumnView { name: known.clone(), column_type }));
    }
    for column in strange {
        fields.push(Field::new(column, arrow::datatypes::DataType::Null, true));
    }
    // Compared with all of its columns, brought from those that are read.
    Typing::between(name, &Schema::new(fields), wanted)?;
    let read: Vec<Field> =
        columns.iter().map(|(_, _, view)| Field::new(view.name.as_str(), view.column_type.arrow(), true)).collect();
    Ok((Typing::between(name, &Schema::new(read), wanted)?, columns))
}

/// The statement that reads columns of a table.
fn select(relation: &Relation, columns: &[(String, WireType, ColumnView)]) -> Statement {
    let names: Vec<&str> = columns.iter().map(|(quoted, _, _)| quoted.as_str()).collect();
    let views = columns.iter().map(|(_, _, view)| view.clone()).collect();
    Statement {
        table: relation.address.clone(),
        text: format!("SELECT {} FROM {}", names.join(", "), relation.address.quoted()),
        parameters: Vec::<Parameter>::new(),
        schema: SchemaView { columns: views }.arrow(),
        columns: columns.iter().map(|(_, wire, view)| (*wire, view.clone())).collect(),
    }
}

impl TableSource for PostgresTable {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> &SchemaView {
        &self.view
    }

    fn identity(&self) -> SourceIdentity {
        SourceIdentity::Live
    }

    fn position(&self) -> Option<String> {
        self.position.clone()
    }

    fn into_batches(self: Box<Self>, _skip_rows: u64) -> BatchStream {
        let PostgresTable { name, typing, statement, reading, mut merged, .. } = *self;
        Box::pin(async_stream::try_stream! {
            if let Some(statement) = statement {
                let (sent, mut taken) = mpsc::channel(BATCHES_AHEAD);
                let reader = tokio::spawn(read_rows(reading, statement, sent));
                let mut rows_before = 0_u64;
                while let Some(batch) = taken.recv().await {
                    let batch: RecordBatch = batch?;
                    let rows = batch.num_rows();
                    let arrays: &[ArrayRef] = batch.columns();
                    let brought = typing.bring(arrays, rows, rows_before)?;
                    rows_before += rows as u64;
                    if let Some(merged) = &mut merged {
                        merged.see(&brought)?;
                    }
                    yield brought;
                }
                // A reader that ended early would look like the end of the rows.
                reader.await.map_err(|_| SourceError::Unreadable { file: name, reason: "its reader ended early".to_owned() })?;
            } else {
                reading.end().await?;
            }
            if let Some(merged) = merged {
                let mut kept = Box::pin(merged.rest());
                while let Some(batch) = futures::StreamExt::next(&mut kept).await {
                    yield batch?;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(names: &[&str]) -> SchemaView {
        let columns = names.iter().map(|name| ColumnView {
            name: lingqu_domain::scope::ColumnName::new(*name).unwrap(),
            column_type: crate::ColumnType::Integer,
        });
        SchemaView { columns: columns.collect() }
    }

    #[test]
    fn settings_that_lose_rows_or_contradict_themselves_are_refused() {
        let schema = wanted(&["id", "at"]);
        let asked = Wanted { schema: &schema, ignores_added: false };
        let name = |name: &str| lingqu_domain::scope::ColumnName::new(name).unwrap();
        let mut increment = Increment { watermark: name("at"), key: vec![], overlap: 60 };
        assert!(must_make_sense(&increment, asked).is_err());
        increment.key = vec![name("id")];
        assert!(must_make_sense(&increment, asked).is_ok());
        increment.key = vec![name("other")];
        assert!(must_make_sense(&increment, asked).is_err());
    }
}
