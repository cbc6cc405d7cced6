//! Tables and views of PostgreSQL: whole, or what is new by a watermark.
//!
//! Opening a table begins the transaction in which it is read, and fixes in it the highest watermark: what is read is one
//! state of the database, and the position is exact for it. The database sorts the rows, so that the same rows always come
//! in the same order. A reading that goes on from an earlier one puts the new rows together with those that the resource has
//! already ([`super::merged`]).
//!
//! To a state that is older than a change which fills the table anew (`TRUNCATE`, an `ALTER TABLE` that rewrites it) the table is
//! empty. Tables and views are therefore held before the state is fixed. Materialised views and foreign tables can't be held,
//! nor what of them a view shows: where anything but a table gives no row, it is asked once more in a later state, and must be
//! empty there too.

use arrow::datatypes::{Field, Schema};
use lingqu_domain::scope::ColumnName;
use tokio::sync::mpsc;

use super::increment::{Bounds, Watermark};
use super::merged::Merged;
use super::older::Older;
use super::typed::{BadRows, Typing};
use super::{Increment, Previous, Wanted};
use crate::columns::{ColumnView, SchemaView};
use crate::postgres::{
    ConnectionName, Connections, Parameter, PostgresError, ReadRows, Reading, ReadingTime, Relation, Statement,
    TableAddress, WireType, read_rows,
};
use crate::source::{BatchStream, SchemaDrift, SourceError, SourceIdentity, TableSource};

/// Batches that wait for whoever takes them.
const BATCHES_AHEAD: usize = 2;
/// At the end of a position: the version that was written with it lies in the order of the key.
const BY_KEY: &str = "/by-key";
/// Texts in the order of their bytes.
const BYTES: &str = " COLLATE pg_catalog.\"C\"";

/// A table of a database, its reading begun.
#[derive(Debug)]
pub(super) struct PostgresTable {
    name: String,
    typing: Typing,
    view: SchemaView,
    drift: SchemaDrift,
    /// What is asked; none: nothing is new.
    statement: Option<Statement>,
    reading: Reading,
    /// Where it is asked once more if it gives no row. None: it is held with its rows.
    again: Option<Again>,
    position: Option<String>,
    merged: Option<Merged>,
    /// About how many rows there are, where all of them are read.
    rows: Option<u64>,
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
        let (reading, relation) = begin(connections, connection, table).await?;
        let again = Again { connections: connections.clone(), connection: connection.clone() };
        let name = table.to_string();
        let (typing, drift, columns) = typing(&relation, &name, wanted)?;
        let mut opened = Self {
            name,
            view: typing.view(),
            typing,
            drift,
            statement: Some(select(&relation, &columns)),
            reading,
            again: Some(again).filter(|_| !relation.is_table),
            position: None,
            merged: None,
            rows: relation.rows_estimate.filter(|_| increment.is_none()),
        };
        if let Some(increment) = increment {
            opened.restrict(&relation, increment, previous).await?;
        }
        let order = match increment {
            Some(increment) if !increment.key.is_empty() => order_by_bytes(&relation, &increment.key)?,
            _ => order_of_all(&relation, &columns, wanted.key),
        };
        if let Some(statement) = &mut opened.statement {
            statement.text = format!("{}{order}", statement.text);
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
        let has_key = !increment.key.is_empty();
        let earlier = previous.as_ref().map(|previous| match previous.position.strip_suffix(BY_KEY) {
            Some(position) => (position, true),
            None => (previous.position.as_str(), false),
        });
        let last = match earlier {
            Some((position, _)) => Some(watermark.parse(position).ok_or_else(|| PostgresError::Settings {
                reason: "the position of the last reading is not one of this watermark column; read the table whole once".to_owned(),
            })?),
            None => None,
        };
        let quoted = column.quoted();
        let highest = self.highest(&quoted, watermark).await?;
        let Bounds { lower, upper, position } = watermark.bounds(last, highest, increment);
        let marked = if has_key { BY_KEY } else { "" };
        self.position = position.map(|position| format!("{}{marked}", watermark.print(position)));
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
        if previous.is_some() || has_key {
            let is_in_order = earlier.is_some_and(|(_, is_by_key)| is_by_key);
            let older = previous.as_ref().map(|previous| Older::new(previous.files.clone(), is_in_order));
            self.merged = Some(Merged::new(&self.name, &self.view, &increment.key, older)?);
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
        let highest = watermark.read_one(&mut self.reading, text.clone()).await?;
        if highest.is_none() && self.again.is_some() {
            // Of a state in which there is nothing to read nothing else is asked.
            self.reading.begin_later(ReadingTime::Ingestion).await?;
            if watermark.read_one(&mut self.reading, text).await?.is_some() {
                return Err(PostgresError::Refilled { table: statement.table.clone() });
            }
        }
        Ok(highest)
    }
}

/// Begins the reading in which a table is read, and looks the table up in it.
async fn begin(
    connections: &Connections,
    connection: &ConnectionName,
    table: &TableAddress,
) -> Result<(Reading, Relation), PostgresError> {
    let mut reading = connections.read(connection, ReadingTime::Ingestion).await?;
    let relation = Relation::find(&mut reading, table).await?;
    if !relation.can_be_held {
        return Ok((reading, relation));
    }
    reading.end().await?;
    let mut reading = connections.read_held(connection, ReadingTime::Ingestion, Some(table)).await?;
    let relation = Relation::find(&mut reading, table).await?;
    Ok((reading, relation))
}

/// Where what is no table of its own is asked in a later state.
#[derive(Debug)]
struct Again {
    connections: Connections,
    connection: ConnectionName,
}

impl Again {
    /// Error: a statement that gave no row gives one now.
    async fn must_give_nothing(&self, mut statement: Statement) -> Result<(), PostgresError> {
        let mut reading = self.connections.read(&self.connection, ReadingTime::Ingestion).await?;
        statement.text.push_str(" LIMIT 1");
        let row = statement.query().fetch_optional(reading.connection()).await;
        let row = row.map_err(|error| PostgresError::of(&self.connection, &error))?;
        reading.end().await?;
        if row.is_some() { Err(PostgresError::Refilled { table: statement.table }) } else { Ok(()) }
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

/// How the table's columns become the wanted ones, how they differ from them without harm, and which of them are read as
/// what.
fn typing(
    relation: &Relation,
    name: &str,
    wanted: Wanted<'_>,
) -> Result<(Typing, SchemaDrift, Vec<ReadColumn>), SourceError> {
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
    let drift = Typing::between(name, &Schema::new(fields), wanted)?.drift().clone();
    let read: Vec<Field> =
        columns.iter().map(|(_, _, view)| Field::new(view.name.as_str(), view.column_type.arrow(), true)).collect();
    Ok((Typing::between(name, &Schema::new(read), wanted)?, drift, columns))
}

/// Sorts by a key as its values are sorted here: numbers and times by their size, texts by their bytes.
fn order_by_bytes(relation: &Relation, key: &[ColumnName]) -> Result<String, SourceError> {
    let mut sorted = Vec::with_capacity(key.len());
    for name in key {
        let (column, wire) = relation.typed(name, "a column of the key")?;
        let quoted = column.quoted();
        sorted.push(match wire {
            WireType::Text | WireType::BlankPadded | WireType::Label | WireType::Jsonb if !relation.is_utf8 => {
                format!("pg_catalog.convert_to(({quoted})::pg_catalog.text, 'UTF8')")
            }
            WireType::Text => format!("{quoted}{BYTES}"),
            WireType::BlankPadded | WireType::Label | WireType::Jsonb => format!("({quoted})::pg_catalog.text{BYTES}"),
            _ => quoted,
        });
    }
    Ok(format!(" ORDER BY {}", sorted.join(", ")))
}

/// Sorts by the key that the catalogue entry declares, which an index may have ready, and by all other columns: the same rows come
/// in the same order even where that key does not tell them apart.
fn order_of_all(relation: &Relation, columns: &[ReadColumn], key: &[ColumnName]) -> String {
    let of_key = key.iter().filter_map(|name| columns.iter().find(|(_, _, view)| &view.name == name));
    let others = columns.iter().filter(|(_, _, view)| !key.contains(&view.name));
    let sorted: Vec<String> = of_key
        .chain(others)
        .map(|(quoted, wire, view)| {
            let is_told_apart = relation.column(&view.name).is_some_and(|column| column.is_deterministic);
            match wire {
                // Equal texts of such a collation may differ.
                WireType::Text | WireType::BlankPadded if !is_told_apart => format!("{quoted}{BYTES}"),
                // Not all of these can be sorted as they are.
                WireType::Label => format!("({quoted})::pg_catalog.text{BYTES}"),
                _ => quoted.clone(),
            }
        })
        .collect();
    if sorted.is_empty() { String::new() } else { format!(" ORDER BY {}", sorted.join(", ")) }
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

    fn rows_hint(&self) -> Option<u64> {
        self.rows
    }

    fn position(&self) -> Option<String> {
        self.position.clone()
    }

    fn drift(&self) -> SchemaDrift {
        self.drift.clone()
    }

    fn into_batches(self: Box<Self>) -> BatchStream {
        let PostgresTable { name, typing, statement, reading, again, merged, .. } = *self;
        let new: BatchStream = Box::pin(async_stream::try_stream! {
            let Some(statement) = statement else {
                reading.end().await?;
                return;
            };
            let (sent, mut taken) = mpsc::channel(BATCHES_AHEAD);
            let reader = tokio::spawn(read_rows(reading, statement.clone(), sent));
            let mut rows_before = 0_u64;
            while let Some(read) = taken.recv().await {
                let ReadRows { batch, bad } = read?;
                let rows = batch.num_rows();
                let bad: BadRows = bad
                    .into_iter()
                    .map(|(row, errors)| (row, errors.into_iter().map(SourceError::from).collect()))
                    .collect();
                yield typing.bring(batch.columns(), rows, rows_before, bad)?;
                rows_before += rows as u64;
            }
            // A reader that ended early would look like the end of the rows.
            reader.await.map_err(|_| SourceError::Unreadable { file: name, reason: "its reader ended early".to_owned() })?;
            if let (Some(again), 0) = (again, rows_before) {
                again.must_give_nothing(statement).await?;
            }
        });
        match merged {
            Some(merged) => merged.stream(new),
            None => new,
        }
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
        let asked = Wanted { schema: &schema, ignores_added: false, key: &[] };
        let name = |name: &str| lingqu_domain::scope::ColumnName::new(name).unwrap();
        let mut increment = Increment { watermark: name("at"), key: vec![], overlap: 60 };
        assert!(must_make_sense(&increment, asked).is_err());
        increment.key = vec![name("id")];
        assert!(must_make_sense(&increment, asked).is_ok());
        increment.key = vec![name("other")];
        assert!(must_make_sense(&increment, asked).is_err());
    }
}
