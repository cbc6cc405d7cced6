//! Ingestions from tables: Delta and Iceberg tables in a folder of the node's machine, tables of a department's database.
//!
//! A job keeps the reference alone: which connection and which table. What a table of a database gives changes under the
//! reader, so such a job that was interrupted reads all rows again, under a name of its own for each attempt, and keeps the parts in
//! which nothing has changed; data and position are always those of one and the same reading. What holds the same as the newest
//! snapshot makes no new one. The next incremental reading goes on from the position of the newest job that read the same table
//! in the same way, as long as its snapshot is still the newest.

use std::sync::Arc;

use lingqu_crypto::sha256;
use lingqu_domain::access::Actor;
use lingqu_domain::event::canonical;
use lingqu_domain::id::ResourceId;
use lingqu_domain::refusal::Refusal;
use lingqu_domain::resource::{Resource, Snapshot};
use lingqu_engine::source::{RejectLimit, SourceIdentity, SourceOptions, TableSource};
use lingqu_engine::table_source::{Previous, TableReference, Wanted, open};
use lingqu_engine::{ColumnView, SchemaView};
use lingqu_store::ingestion::StoredIngestion;

use super::request::{JobRequest, JobSource};
use super::{App, Begin, Ended, IngestionOutcome, Submitted};
use crate::data::column_type_of;
use crate::error::AppError;
use crate::keys::random;

/// How a table is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// Whether columns that the catalogue entry does not have are left out; otherwise they refuse the table.
    pub ignore_extra_columns: bool,
    /// How many rows may be rejected.
    pub rejects: RejectLimit,
}

impl App {
    /// Queues the reading of a table. Errors: the refusal of an actor who may not; a connection that is not the provider's; a
    /// table that can't be read or has other columns; another ingestion of the resource under way; too many in the queue.
    pub async fn submit_table(
        self: &Arc<Self>,
        actor: &Actor,
        resource: &ResourceId,
        reference: TableReference,
        options: TableOptions,
    ) -> Result<Submitted, AppError> {
        Ok(self.submit_reading(actor, resource, reference, options).await?.0)
    }

    /// The same, waiting until the snapshot is recorded.
    pub async fn import_table(
        self: &Arc<Self>,
        actor: &Actor,
        resource: &ResourceId,
        reference: TableReference,
        options: TableOptions,
    ) -> Result<Snapshot, AppError> {
        let (submitted, waiting) = self.submit_reading(actor, resource, reference, options).await?;
        self.wait_for(submitted, waiting).await
    }

    async fn submit_reading(
        self: &Arc<Self>,
        actor: &Actor,
        resource_id: &ResourceId,
        reference: TableReference,
        options: TableOptions,
    ) -> Result<(Submitted, Option<Ended>), AppError> {
        // Before a department's database is asked anything.
        self.may_ingest(actor, resource_id)?;
        let resource = self.resource(resource_id)?;
        let TableOptions { ignore_extra_columns, rejects } = options;
        rejects.check()?;
        let options = SourceOptions { ignore_extra_columns, rejects, ..SourceOptions::default() };
        let wanted = wanted_of(&resource);
        let table = self.open_table(&resource, &reference, &wanted, ignore_extra_columns, None).await?;
        let begin = Begin {
            id: self.next_ingestion_id()?,
            actor: actor.clone(),
            resource: resource_id.clone(),
            name: format!("{} {}", reference.connection(), table.name()),
            digest: digest_of(&reference, table.as_ref())?,
            source: JobSource::Table { reference },
            bytes: 0,
            options,
        };
        drop(table);
        self.begin_ingestion(begin, None).await
    }

    /// Opens a job's table and notes what was found out about it.
    pub(super) async fn table_of_job(
        &self,
        job: &StoredIngestion,
        request: &JobRequest,
        reference: &TableReference,
        outcome: &mut IngestionOutcome,
    ) -> Result<Box<dyn TableSource>, AppError> {
        let id = job.new.resource.parse().map_err(|_| AppError::Fault("an ingestion has no resource".to_owned()))?;
        let resource = self.resource(&id)?;
        let previous = self.previous_of(&resource, reference).await?;
        let wanted = match &request.options.declared {
            Some(declared) => {
                let columns = declared
                    .iter()
                    .map(|column| ColumnView { name: column.name.clone(), column_type: column.column_type });
                SchemaView { columns: columns.collect() }
            }
            None => wanted_of(&resource),
        };
        let ignores = request.options.ignore_extra_columns;
        let table = self.open_table(&resource, reference, &wanted, ignores, previous).await?;
        if matches!(table.identity(), SourceIdentity::Fixed(_))
            && digest_of(reference, table.as_ref())? != job.new.source_digest
        {
            return Err(Refusal::invalid(
                "source",
                "来源表在提交汇入后有了新版本，请指明版本或重新提交汇入",
                "the table has got a newer version since the ingestion was submitted; name the version, or submit it anew",
            )
            .into());
        }
        outcome.position = table.position();
        Ok(table)
    }

    async fn open_table(
        &self,
        resource: &Resource,
        reference: &TableReference,
        wanted: &SchemaView,
        ignores_added: bool,
        previous: Option<Previous>,
    ) -> Result<Box<dyn TableSource>, AppError> {
        let places = self.places_for(&resource.provider, reference.connection())?;
        let wanted = Wanted { schema: wanted, ignores_added, key: &resource.details.key };
        Ok(open(reference, &places, wanted, previous).await?)
    }

    /// Where the last reading of the same table stopped, and what the resource has from it. None when something else was taken
    /// in since: then everything is read.
    async fn previous_of(&self, resource: &Resource, reference: &TableReference) -> Result<Option<Previous>, AppError> {
        let TableReference::Postgres { increment: Some(_), .. } = reference else { return Ok(None) };
        let Some(newest) = &resource.snapshot else { return Ok(None) };
        let Some(last) = self.store.last_committed_ingestion(resource.id.as_str()).await? else { return Ok(None) };
        let is_same = match JobRequest::of_text(&last.new.request)?.source {
            JobSource::Table { reference: earlier } => is_continued(&earlier, reference),
            JobSource::Spooled { .. } | JobSource::Path { .. } => false,
        };
        let job = self.view(last)?;
        let is_newest = job.snapshot.as_ref().is_some_and(|snapshot| snapshot.id == newest.id);
        match job.outcome.position {
            Some(position) if is_same && is_newest => {
                let files = self.snapshots.version(resource.id.as_str(), newest.version).await?.files;
                Ok(Some(Previous { position, files }))
            }
            _ => Ok(None),
        }
    }
}

/// Whether a reading goes on where another one stopped: the same table, watermark and key, whatever the overlap.
fn is_continued(earlier: &TableReference, reference: &TableReference) -> bool {
    let plain = |reference: &TableReference| {
        let mut reference = reference.clone();
        if let TableReference::Postgres { increment: Some(increment), .. } = &mut reference {
            increment.overlap = 0;
        }
        reference
    };
    plain(earlier) == plain(reference)
}

/// The columns of a catalogue entry.
fn wanted_of(resource: &Resource) -> SchemaView {
    let mut columns = Vec::with_capacity(resource.details.columns.len());
    for column in &resource.details.columns {
        columns.push(ColumnView { name: column.name.clone(), column_type: column_type_of(column.data_type) });
    }
    SchemaView { columns }
}

/// What tells two readings apart. A table that changes under the reader is never the same twice.
fn digest_of(reference: &TableReference, table: &dyn TableSource) -> Result<String, AppError> {
    let identity = match table.identity() {
        SourceIdentity::Fixed(digest) => digest,
        SourceIdentity::Live => hex::encode(random::<16>()?),
    };
    // A newest version that is named is the same as one that is not.
    let place = match reference {
        TableReference::Delta { connection, directory, .. } => canonical(&(connection, directory)),
        TableReference::Iceberg { connection, directory, .. } => canonical(&(connection, directory)),
        TableReference::Postgres { connection, table, increment } => canonical(&(connection, table, increment)),
    };
    Ok(sha256(canonical(&(place, identity)).as_bytes()).to_string())
}
