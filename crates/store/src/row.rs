//! Read tables: one SQL table per kind of entity, a projection of the folded journal. A row holds what lists filter and
//! sort by, and the entity itself as canonical JSON.

use std::cmp::min;
use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Order, Query};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use serde_json::Value;

use crate::canonical::canonical_json;
use crate::error::StoreError;
use crate::journal::INSERT_ROWS_MAX;
use crate::store::{Store, from_sql, to_sql};

pub use crate::migration::READ_TABLES;

/// Most rows of one page.
pub const PAGE_ROWS_MAX: u32 = 500;

/// A row to insert or replace. Its position is that of the append's last record.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange {
    /// One of [`READ_TABLES`].
    pub table: String,
    /// The entity's id.
    pub id: String,
    /// Version of the entity's stream after the append.
    pub stream_version: u64,
    /// State of its machine.
    pub state: String,
    /// What people know it by; no personal data.
    pub title: String,
    /// The party it belongs to.
    pub owner: String,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// The entity.
    pub body: Value,
}

/// A row as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The entity's id.
    pub id: String,
    /// Version of the entity's stream.
    pub stream_version: u64,
    /// State of its machine.
    pub state: String,
    /// What people know it by.
    pub title: String,
    /// The party it belongs to.
    pub owner: String,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// Journal position of the append that wrote it.
    pub position: u64,
    /// The entity as canonical JSON.
    pub body: String,
}

/// Which rows a list shows: in the order of ids, which is the order of creation.
#[derive(Clone, Debug, Default)]
pub struct RowFilter {
    /// Only rows after this id.
    pub after: Option<String>,
    /// Only rows of this owner.
    pub owner: Option<String>,
    /// Only rows in this state.
    pub state: Option<String>,
    /// At most so many, capped at [`PAGE_ROWS_MAX`].
    pub limit: u32,
}

impl Store {
    /// One row, if it exists.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when `table` is no read table; faults of the database.
    pub async fn row(&self, table: &str, id: &str) -> Result<Option<Row>, StoreError> {
        let query = select_rows(table)?.and_where(Expr::col("id").eq(id)).take();
        let row = self.db().query_one(&query).await.map_err(|error| StoreError::database("reading a row", error))?;
        row.as_ref().map(row_of).transpose()
    }

    /// One page of rows. The next page begins after the last id of this one.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when `table` is no read table; faults of the database.
    pub async fn rows(&self, table: &str, filter: &RowFilter) -> Result<Vec<Row>, StoreError> {
        page(self.db(), table, filter).await
    }
}

pub(crate) async fn page<C: ConnectionTrait>(db: &C, table: &str, filter: &RowFilter) -> Result<Vec<Row>, StoreError> {
    let query = select_rows(table)?
        .and_where_option(filter.after.as_deref().map(|after| Expr::col("id").gt(after)))
        .and_where_option(filter.owner.as_deref().map(|owner| Expr::col("owner").eq(owner)))
        .and_where_option(filter.state.as_deref().map(|state| Expr::col("state").eq(state)))
        .order_by("id", Order::Asc)
        .limit(u64::from(min(filter.limit, PAGE_ROWS_MAX)))
        .take();
    let rows = db.query_all(&query).await.map_err(|error| StoreError::database("listing rows", error))?;
    rows.iter().map(row_of).collect()
}

/// Refuses unknown tables and a row that is changed twice, which PostgreSQL would refuse with less to say.
pub(crate) fn check(rows: &[RowChange]) -> Result<(), StoreError> {
    let mut seen = BTreeSet::new();
    for row in rows {
        read_table(&row.table)?;
        if !seen.insert((&row.table, &row.id)) {
            return Err(StoreError::invalid(format!("the append changes {} twice; write its last state only", row.id)));
        }
    }
    Ok(())
}

const COLUMNS: [&str; 9] =
    ["id", "stream_version", "state", "title", "owner", "created_at", "updated_at", "position", "body"];

pub(crate) async fn upsert(db: &DatabaseTransaction, rows: &[RowChange], position: u64) -> Result<(), StoreError> {
    let mut by_table: BTreeMap<&'static str, Vec<&RowChange>> = BTreeMap::new();
    for row in rows {
        by_table.entry(read_table(&row.table)?).or_default().push(row);
    }
    for (table, rows) in by_table {
        for chunk in rows.chunks(INSERT_ROWS_MAX) {
            let mut insert = Query::insert().into_table(table).columns(COLUMNS).take();
            for row in chunk {
                let body =
                    canonical_json(&row.body).map_err(|error| StoreError::invalid(format!("{}: {error}", row.id)))?;
                insert.values_panic([
                    row.id.as_str().into(),
                    to_sql(row.stream_version).into(),
                    row.state.as_str().into(),
                    row.title.as_str().into(),
                    row.owner.as_str().into(),
                    row.created_at.as_str().into(),
                    row.updated_at.as_str().into(),
                    to_sql(position).into(),
                    body.into(),
                ]);
            }
            insert.on_conflict(OnConflict::column("id").update_columns(COLUMNS.into_iter().skip(1)).to_owned());
            db.execute(&insert).await.map_err(|error| StoreError::database("writing rows", error))?;
        }
    }
    Ok(())
}

fn select_rows(table: &str) -> Result<sea_orm::sea_query::SelectStatement, StoreError> {
    Ok(Query::select().columns(COLUMNS).from(read_table(table)?).take())
}

fn read_table(name: &str) -> Result<&'static str, StoreError> {
    let found = READ_TABLES.iter().find(|table| **table == name);
    found
        .copied()
        .ok_or_else(|| StoreError::invalid(format!("{name} is no read table; name one of {}", READ_TABLES.join(", "))))
}

fn row_of(row: &QueryResult) -> Result<Row, StoreError> {
    const WHAT: &str = "a read-table row";
    let fault = |error| StoreError::database("reading a row", error);
    Ok(Row {
        id: row.try_get_by_index(0).map_err(fault)?,
        stream_version: from_sql(WHAT, row.try_get_by_index(1).map_err(fault)?)?,
        state: row.try_get_by_index(2).map_err(fault)?,
        title: row.try_get_by_index(3).map_err(fault)?,
        owner: row.try_get_by_index(4).map_err(fault)?,
        created_at: row.try_get_by_index(5).map_err(fault)?,
        updated_at: row.try_get_by_index(6).map_err(fault)?,
        position: from_sql(WHAT, row.try_get_by_index(7).map_err(fault)?)?,
        body: row.try_get_by_index(8).map_err(fault)?,
    })
}
