//! A table or view as the database's catalogue describes it.

use lingqu_domain::scope::ColumnName;
use sqlx::Row;

use super::address::{TableAddress, must_be_identifier, quoted};
use super::connections::{PostgresError, Reading};
use super::parameter::Parameter;
use super::value::WireType;
use crate::columns::ColumnType;
use crate::source::COLUMNS_MAX;

/// The table of a schema and name. Tables, views, materialised views, partitioned and foreign tables.
const FIND: &str = "SELECT c.oid::bigint, pg_catalog.pg_encoding_to_char(d.encoding)::text, c.relkind::text, \
    c.reltuples::bigint \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    CROSS JOIN pg_catalog.pg_database d \
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'v', 'm', 'p', 'f') \
    AND d.datname = pg_catalog.current_database() \
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')";

/// Its columns in order, a domain resolved to the type below it. `collisdeterministic`: equal means equal bytes.
const DESCRIBE: &str = "WITH RECURSIVE base(place, name, oid, modifier, coll, required, depth) AS ( \
    SELECT a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull, 0 FROM pg_catalog.pg_attribute a \
    WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped \
    UNION ALL \
    SELECT b.place, b.name, t.typbasetype, CASE WHEN t.typtypmod = -1 THEN b.modifier ELSE t.typtypmod END, \
    b.coll, b.required, b.depth + 1 \
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.oid WHERE t.typtype = 'd' AND b.depth < 16) \
    SELECT b.name::text, b.oid::bigint, b.modifier, t.typtype::text, \
    pg_catalog.format_type(b.oid, b.modifier), coalesce(c.collisdeterministic, true), b.required \
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.oid \
    LEFT JOIN pg_catalog.pg_collation c ON c.oid = b.coll \
    WHERE t.typtype <> 'd' ORDER BY b.place";

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelationColumn {
    /// Its name in the database.
    pub(crate) remote: String,
    /// What Lingqu calls it: the same name, which must be one of Lingqu's too.
    pub(crate) name: Option<ColumnName>,
    /// Its type; none when governed data can't have it.
    pub(crate) wire: Option<WireType>,
    /// Its type as the database writes it.
    pub(crate) type_name: String,
    /// Whether equality of texts is equality of their bytes.
    pub(crate) is_deterministic: bool,
    /// Whether the table refuses rows without a value in it. Never so for a view.
    pub(crate) is_required: bool,
}

impl RelationColumn {
    /// As it stands in a statement.
    pub(crate) fn quoted(&self) -> String {
        quoted(&self.remote)
    }
}

/// A table or view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    /// Where it lies.
    pub(crate) address: TableAddress,
    /// Its columns in order.
    pub(crate) columns: Vec<RelationColumn>,
    /// Whether the database keeps text as UTF-8, so that the order of bytes is the order of characters.
    pub(crate) is_utf8: bool,
    /// Whether it is of a kind that a reader can hold as it is, see [`Connections::read_held`](super::Connections).
    pub(crate) can_be_held: bool,
    /// Whether it keeps its rows itself, so that it is held with all of them: what a view shows may lie elsewhere.
    pub(crate) is_table: bool,
    /// How many rows it had when the database last counted them; none where it never did, and for a view.
    pub(crate) rows_estimate: Option<u64>,
}

impl Relation {
    /// Looks a table up. Errors: there is none that the user may read; more columns than a source may have.
    pub(crate) async fn find(reading: &mut Reading, address: &TableAddress) -> Result<Relation, PostgresError> {
        let connection = reading.name().clone();
        let fault = |error: sqlx::Error| PostgresError::of(&connection, &error);
        let missing = || PostgresError::NoSuchTable { connection: connection.clone(), table: address.clone() };
        let (schema, table) = (Parameter::text(address.schema()), Parameter::text(address.table()));
        let (Some(schema), Some(table)) = (schema, table) else { return Err(missing()) };
        let found = sqlx::query(FIND)
            .bind(schema)
            .bind(table)
            .persistent(false)
            .fetch_optional(reading.connection())
            .await
            .map_err(fault)?;
        let Some(found) = found else { return Err(missing()) };
        let oid: i64 = found.try_get(0).map_err(fault)?;
        let encoding: String = found.try_get(1).map_err(fault)?;
        let kind: String = found.try_get(2).map_err(fault)?;
        let counted: i64 = found.try_get(3).map_err(fault)?;
        let rows = sqlx::query(DESCRIBE)
            .bind(Parameter::integer(oid))
            .persistent(false)
            .fetch_all(reading.connection())
            .await
            .map_err(fault)?;
        if rows.len() > COLUMNS_MAX {
            let reason = format!(
                "{address} has {} columns, at most {COLUMNS_MAX} can be taken; offer a view with fewer",
                rows.len()
            );
            return Err(PostgresError::Settings { reason });
        }
        let mut columns = Vec::with_capacity(rows.len());
        for row in &rows {
            let remote: String = row.try_get(0).map_err(fault)?;
            must_be_identifier(&remote, "column")?;
            let oid: i64 = row.try_get(1).map_err(fault)?;
            let modifier: i32 = row.try_get(2).map_err(fault)?;
            let kind: String = row.try_get(3).map_err(fault)?;
            columns.push(RelationColumn {
                name: ColumnName::new(remote.as_str()).ok(),
                wire: u32::try_from(oid).ok().and_then(|oid| WireType::of(oid, modifier, &kind)),
                type_name: row.try_get(4).map_err(fault)?,
                is_deterministic: row.try_get(5).map_err(fault)?,
                is_required: row.try_get(6).map_err(fault)?,
                remote,
            });
        }
        let is_table = matches!(kind.as_str(), "r" | "p");
        let can_be_held = is_table || kind == "v";
        let rows_estimate = u64::try_from(counted).ok().filter(|rows| *rows > 0);
        let is_utf8 = encoding == "UTF8";
        Ok(Relation { address: address.clone(), columns, is_utf8, can_be_held, is_table, rows_estimate })
    }

    /// The column that Lingqu calls so.
    pub(crate) fn column(&self, name: &ColumnName) -> Option<&RelationColumn> {
        self.columns.iter().find(|column| column.name.as_ref() == Some(name))
    }

    /// A column with its type. Errors: there is none; governed data can't have its type.
    pub(crate) fn typed(
        &self,
        name: &ColumnName,
        needed_as: &'static str,
    ) -> Result<(&RelationColumn, WireType), PostgresError> {
        let Some(column) = self.column(name) else {
            return Err(PostgresError::NoSuchColumn {
                table: self.address.clone(),
                column: name.to_string(),
                needed_as,
            });
        };
        match column.wire {
            Some(wire) => Ok((column, wire)),
            None => Err(self.bad_type(column)),
        }
    }

    pub(crate) fn bad_type(&self, column: &RelationColumn) -> PostgresError {
        PostgresError::BadType {
            table: self.address.clone(),
            column: column.remote.clone(),
            found: column.type_name.clone(),
        }
    }

    /// The type that a column is read as: the wanted one where its values can be brought to it.
    pub(crate) fn type_for(wire: WireType, wanted: ColumnType) -> ColumnType {
        if wire.fits(wanted) { wanted } else { wire.natural() }
    }
}
