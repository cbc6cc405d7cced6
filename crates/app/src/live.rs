//! Live resources: what is agreed about their table, and products over them.

use std::sync::Arc;

use lingqu_crypto::sha256;
use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::event::canonical;
use lingqu_domain::grant::Grant;
use lingqu_domain::id::{CommandId, IdSource, ResourceId, SnapshotId};
use lingqu_domain::product::{ProductDetails, ProductShape};
use lingqu_domain::refusal::Refusal;
use lingqu_domain::resource::{LiveSource, Resource, Snapshot};
use lingqu_domain::scope::{ColumnName, Mode, Scope};
use lingqu_engine::federation::{LiveProduct, LiveProductUnfit, LiveSubjects, LiveTable, RowNames, SubjectNumbers};
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::postgres::{AddressUnfit, ConnectionName, PostgresError, TableAddress};
use lingqu_engine::source::SourceError;
use lingqu_engine::{ColumnView, EngineError, PseudonymKeys, SchemaView};

use crate::app::App;
use crate::command::{CommandOptions, Extras};
use crate::data::column_type_of;
use crate::error::AppError;
use crate::keys::random;

impl App {
    /// Records that a resource's data stays in its department's database. The table is looked at first: it must have the
    /// columns of the catalogue entry. Errors: the refusal of an actor who may not; a connection that is not the
    /// provider's; a table that can't be read or has other columns.
    pub async fn declare_live(
        &self,
        actor: &Actor,
        resource_id: &ResourceId,
        live: LiveSource,
    ) -> Result<Snapshot, AppError> {
        let resource = self.resource(resource_id)?;
        let now = self.clock.now();
        let version = resource.snapshot.as_ref().map_or(0, |newest| newest.version + 1);
        let agreed =
            sha256(canonical(&(&live, &resource.details.columns, &resource.details.key)).as_bytes()).to_string();
        let snapshot = Snapshot {
            id: SnapshotId::next(&mut IdSource::new(CommandId::of_random(now, random()?), now)),
            version,
            rows: 0,
            digest: agreed.clone(),
            source_digest: agreed,
            nature: resource.details.nature,
            taken_at: now,
            live: Some(live.clone()),
        };
        let command = Command::RecordSnapshot { resource: resource_id.clone(), snapshot: snapshot.clone() };
        // Before the department's database is asked anything.
        self.must_be_accepted(actor, &command)?;
        self.open_live(&resource, &live).await?;
        self.carry_out(actor, &command, CommandOptions::default(), Extras::default()).await?;
        Ok(snapshot)
    }

    /// The table of a live resource, as it is now.
    async fn open_live(&self, resource: &Resource, live: &LiveSource) -> Result<Arc<LiveTable>, AppError> {
        let unfit = |error: AddressUnfit| AppError::Invalid(error.to_string());
        let connection: ConnectionName = live.connection.parse().map_err(unfit)?;
        let address = TableAddress::new(&live.schema, &live.table).map_err(unfit)?;
        let places = self.places_for(&resource.provider, &connection)?;
        let mut columns = Vec::new();
        for column in &resource.details.columns {
            columns.push(ColumnView { name: column.name.clone(), column_type: column_type_of(column.data_type) });
        }
        let wanted = SchemaView { columns };
        let secret = self.keys.pseudonym.digest("names of live rows", resource.id.as_str().as_bytes()).0;
        let key = &resource.details.key;
        let opened =
            LiveTable::open(&places.databases, &connection, &address, &wanted, key, RowNames::new(secret)).await;
        Ok(opened?)
    }

    /// Refuses early a product over live data that does more than choose. Whether its conditions are plain is known only with
    /// a grant, when it is served.
    pub(crate) fn must_choose_over_live(&self, details: &ProductDetails, shape: &ProductShape) -> Result<(), Refusal> {
        let is_live = self.read(|state| {
            let of = |id: &ResourceId| state.resources.get(id)?.value.snapshot.as_ref();
            details.inputs.keys().filter_map(of).any(|snapshot| snapshot.live.is_some())
        });
        let is_plain =
            details.inputs.len() == 1 && shape.row_by_row && shape.columns.iter().all(|column| !column.computed);
        if is_live && !is_plain {
            return Err(not_over_live(
                "a product over live data chooses columns and rows of one table and computes nothing; take the data in as a \
                 snapshot for anything else",
            ));
        }
        Ok(())
    }

    /// The product of a grant over a live resource; none where all of its inputs are stored. What is wrong with the
    /// department's database is for the log, not for the consumer.
    pub(crate) async fn live_product(
        &self,
        grant: &Grant,
        details: &ProductDetails,
    ) -> Result<Option<(Arc<LiveProduct>, SchemaView)>, AppError> {
        let mut found = None;
        for (resource_id, input) in &grant.inputs {
            let resource = self.resource(resource_id)?;
            let live = resource.snapshot.as_ref().filter(|snapshot| snapshot.id == input.snapshot);
            if let Some(live) = live.and_then(|snapshot| snapshot.live.clone()) {
                found = Some((resource, input, live));
            }
        }
        let Some((resource, input, live)) = found else { return Ok(None) };
        if grant.inputs.len() > 1 {
            return Err(not_over_live("a product over a live resource has that one input").into());
        }
        let table = self.open_live(&resource, &live).await.map_err(|error| unavailable(&error))?;
        let in_domain = Scope { consent_required: false, ..input.scope.clone() };
        let governance = Governance::of_scope(
            resource.details.table.as_str(),
            &in_domain,
            Mode::Compute,
            PseudonymKeys::default(),
            None,
        )
        .map_err(EngineError::from)?;
        let input = GovernedTable::new(table, &governance).map_err(EngineError::from)?;
        let columns: Vec<ColumnName> = details.subject.iter().chain(&details.further_subjects).cloned().collect();
        let numbers = Arc::clone(&self.live_identities) as Arc<dyn SubjectNumbers>;
        let subjects = (!columns.is_empty()).then_some(LiveSubjects { columns, numbers });
        let product =
            LiveProduct::new(&self.engine, &details.sql, input, subjects).await.map_err(|error| match error {
                LiveProductUnfit::Statement(error) => AppError::from(error),
                other => not_over_live(&other.to_string()).into(),
            })?;
        let schema = product.schema_view();
        // What was registered is what is served.
        if details.shape.columns.iter().any(|column| schema.column(&column.name).is_none()) {
            return Err(not_over_live("it no longer has the columns that were registered").into());
        }
        Ok(Some((product, schema)))
    }
}

fn not_over_live(what: &str) -> Refusal {
    Refusal::invalid("sql", format!("数据不入库的产品定义有误：{what}"), what.to_owned())
}

/// What a consumer is told when the department's database can't be read as agreed; the log has the rest.
fn unavailable(error: &AppError) -> EngineError {
    let correlation = random::<8>().map_or_else(|_| "none".to_owned(), hex::encode);
    let (reason, is_changed) = match error {
        AppError::Source(SourceError::Database(error)) => {
            (error.to_string(), matches!(error, PostgresError::BadType { .. } | PostgresError::Changed { .. }))
        }
        AppError::Source(error @ SourceError::Drift { .. }) => (error.to_string(), true),
        other => (other.to_string(), false),
    };
    tracing::warn!(correlation, reason, "a live resource could not be opened");
    if is_changed { EngineError::SourceChanged { correlation } } else { EngineError::SourceUnavailable { correlation } }
}
