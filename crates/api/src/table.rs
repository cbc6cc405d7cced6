//! Tables of departments: taking them in as snapshots, and declaring that one stays where it is.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use lingqu_app::TableOptions;
use lingqu_domain::resource::{LiveSource, Snapshot};
use lingqu_domain::scope::ColumnName;
use lingqu_engine::postgres::{AddressUnfit, ConnectionName, TableAddress};
use lingqu_engine::source::RejectLimit;
use lingqu_engine::table_source::{Increment, TableReference};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::ingestion::Ingestion;
use crate::problem::{Body, ProblemDocument};
use crate::resource::seen;
use crate::session::Changing;

/// Most columns of a key.
const KEY_COLUMNS_MAX: usize = 32;

/// A table to take in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableForm {
    /// Which table.
    table: TablePlace,
    /// Whether columns that the catalogue entry does not have are left out; otherwise they refuse the table.
    #[serde(default)]
    ignore_extra_columns: bool,
    /// Rows that may be rejected, up to 100,000; none unless it is said: the first bad row refuses the table.
    rejects_max: Option<u64>,
    /// Of a thousand rows at most so many may be rejected.
    rejects_per_mille: Option<u16>,
}

impl TableForm {
    fn options(&self) -> TableOptions {
        let limit = RejectLimit::default();
        TableOptions {
            ignore_extra_columns: self.ignore_extra_columns,
            rejects: RejectLimit {
                rows_max: self.rejects_max.unwrap_or(limit.rows_max),
                per_mille_max: self.rejects_per_mille.unwrap_or(limit.per_mille_max),
            },
        }
    }
}

/// Where a table is: a connection of the node's configuration, and the place there.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "format", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum TablePlace {
    /// A Delta table in a folder.
    Delta {
        /// The connection.
        connection: String,
        /// The table's directory within its folder.
        directory: String,
        /// The version; none: the newest.
        version: Option<u64>,
    },
    /// An Iceberg table in a folder.
    Iceberg {
        /// The connection.
        connection: String,
        /// The table's directory within its folder, or one of its metadata files.
        directory: String,
        /// The snapshot's id; none: the current one.
        snapshot: Option<i64>,
    },
    /// A table or view of a PostgreSQL database.
    Postgres {
        /// The connection.
        connection: String,
        /// The schema.
        schema: String,
        /// The table.
        table: String,
        /// How only what is new is read; none: the whole table.
        increment: Option<IncrementForm>,
    },
}

/// Reading only what is new, by a column that rises with every change of a row.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IncrementForm {
    /// The column: a whole number, a date or a time.
    watermark: ColumnName,
    /// Columns that identify a row: one with the key of an earlier one replaces it. Empty: rows are only ever added.
    #[serde(default)]
    key: Vec<ColumnName>,
    /// How far behind the last watermark the next reading begins: seconds for times, units for whole numbers. Needs a key.
    #[serde(default)]
    overlap: u64,
}

impl TablePlace {
    fn reference(self) -> Result<TableReference, ProblemDocument> {
        let unfit = |error: AddressUnfit| ProblemDocument::invalid("table", error.to_string(), error.to_string());
        let named = |connection: String| connection.parse::<ConnectionName>().map_err(unfit);
        Ok(match self {
            TablePlace::Delta { connection, directory, version } => {
                TableReference::Delta { connection: named(connection)?, directory, version }
            }
            TablePlace::Iceberg { connection, directory, snapshot } => {
                TableReference::Iceberg { connection: named(connection)?, directory, snapshot }
            }
            TablePlace::Postgres { connection, schema, table, increment } => TableReference::Postgres {
                connection: named(connection)?,
                table: TableAddress::new(&schema, &table).map_err(unfit)?,
                increment: increment.map(IncrementForm::increment).transpose()?,
            },
        })
    }
}

impl IncrementForm {
    fn increment(self) -> Result<Increment, ProblemDocument> {
        let distinct: BTreeSet<&ColumnName> = self.key.iter().collect();
        if self.key.len() > KEY_COLUMNS_MAX || distinct.len() != self.key.len() {
            let (zh, en) = (
                format!("主键至多 {KEY_COLUMNS_MAX} 列，且不得重复"),
                format!("a key has at most {KEY_COLUMNS_MAX} columns, each named once"),
            );
            return Err(ProblemDocument::invalid("key", zh, en));
        }
        Ok(Increment { watermark: self.watermark, key: self.key, overlap: self.overlap })
    }
}

/// Begins to take a table in: a job, as with an uploaded file. The connection must be one of the node's configuration that
/// belongs to the resource's provider.
#[utoipa::path(post, path = "/api/v1/resources/{id}/table-ingestions", operation_id = "begin_table_ingestion", tag = "commands",
    params(("id" = String, Path, description = "the resource's id")), request_body = TableForm,
    responses((status = 202, body = Ingestion), (status = 200, body = Ingestion), (status = 401, body = ProblemDocument),
        (status = 403, body = ProblemDocument), (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument),
        (status = 422, body = ProblemDocument), (status = 429, body = ProblemDocument), (status = 503, body = ProblemDocument)))]
pub(crate) async fn begin(
    State(api): Shared,
    Path(id): Path<String>,
    Changing(viewer): Changing,
    Body(form): Body<TableForm>,
) -> Result<(StatusCode, Json<Ingestion>), ProblemDocument> {
    let resource = seen(&api, &viewer, &id)?;
    let options = form.options();
    let reference = form.table.reference()?;
    let submitted = api.app.submit_table(&viewer.actor(), &resource, reference, options).await?;
    let status = if submitted.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(Ingestion::of(&api, submitted.job))))
}

/// Declares that a resource's data stays in its department's database and is read there for each answer. The table must have the
/// columns of the catalogue entry. What was agreed is recorded as a snapshot without rows.
#[utoipa::path(post, path = "/api/v1/resources/{id}/live", operation_id = "declare_live", tag = "commands",
    params(("id" = String, Path, description = "the resource's id")), request_body = LiveSource,
    responses((status = 201, body = Snapshot), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument), (status = 422, body = ProblemDocument),
        (status = 503, body = ProblemDocument)))]
pub(crate) async fn declare_live(
    State(api): Shared,
    Path(id): Path<String>,
    Changing(viewer): Changing,
    Body(live): Body<LiveSource>,
) -> Result<(StatusCode, Json<Snapshot>), ProblemDocument> {
    let resource = seen(&api, &viewer, &id)?;
    let snapshot = api.app.declare_live(&viewer.actor(), &resource, live).await?;
    Ok((StatusCode::CREATED, Json(snapshot)))
}
