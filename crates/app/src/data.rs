//! Data coming in: source files into snapshots, snapshots into quality reports, SQL into the shape of a product.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lingqu_crypto::Sha256Digest;
use lingqu_domain::access::Actor;
use lingqu_domain::chain;
use lingqu_domain::command::Command;
use lingqu_domain::decide::{Context, Reader, decide};
use lingqu_domain::id::{CommandId, IdSource, ResourceId, SnapshotId};
use lingqu_domain::product::{ProductColumn, ProductDetails, ProductShape, SourceColumn};
use lingqu_domain::refusal::Refusal;
use lingqu_domain::resource::{DataType, Resource, Snapshot};
use lingqu_domain::scope::Mode;
use lingqu_engine::source::{DeclaredColumn, Source, SourceOptions};
use lingqu_engine::{ColumnType, ColumnView, Limits, SchemaView, TableFiles, lineage};
use lingqu_quality::{Progress, Report, RuleSet};
use std::sync::Arc;

use crate::app::App;
use crate::command::{CommandOptions, Extras};
use crate::error::AppError;
use crate::keys::random;

impl App {
    /// The schema of a source file, worked out over all of its rows. Nothing is stored.
    pub fn inspect_source(&self, file: &Path, options: SourceOptions) -> Result<SchemaView, AppError> {
        Ok(Source::open(file, options)?.schema().clone())
    }

    /// Reads a source file into a new snapshot of a resource and records it. The catalogue entry's columns are demanded
    /// of the file by name and type, unless the options declare others. Errors: the refusal of an actor who may not; a
    /// bad file, with line and column.
    pub async fn import_snapshot(
        &self,
        actor: &Actor,
        resource_id: &ResourceId,
        file: &Path,
        options: SourceOptions,
    ) -> Result<Snapshot, AppError> {
        let resource = self.resource(resource_id)?;
        let now = self.clock.now();
        let probe = self.snapshot_record(&resource, now, u64::MAX, 0, String::new(), String::new())?;
        self.must_be_accepted(actor, &Command::RecordSnapshot { resource: resource_id.clone(), snapshot: probe })?;
        let mut options = options;
        if options.declared.is_none() {
            options.declared = Some(declared_columns(&resource));
        }
        let path = file.to_owned();
        let (source, source_digest) = tokio::task::spawn_blocking(move || -> Result<_, AppError> {
            let digest = file_digest(&path)?;
            Ok((Source::open(&path, options)?, digest))
        })
        .await
        .map_err(|error| AppError::Fault(error.to_string()))??;
        let stored = self.snapshots.write_source(resource_id.as_str(), &source).await?;
        let snapshot = self.snapshot_record(
            &resource,
            now,
            stored.version,
            stored.rows,
            stored.digest,
            source_digest.to_string(),
        )?;
        let command = Command::RecordSnapshot { resource: resource_id.clone(), snapshot: snapshot.clone() };
        self.carry_out(actor, &command, CommandOptions::default(), Extras::default()).await?;
        Ok(snapshot)
    }

    fn snapshot_record(
        &self,
        resource: &Resource,
        taken_at: jiff::Timestamp,
        version: u64,
        rows: u64,
        digest: String,
        source_digest: String,
    ) -> Result<Snapshot, AppError> {
        let id = SnapshotId::next(&mut IdSource::new(CommandId::of_random(taken_at, random()?), taken_at));
        Ok(Snapshot { id, version, rows, digest, source_digest, nature: resource.details.nature, taken_at })
    }

    /// Runs a rule set and records the report of one resource; its findings open tickets. Rules may name other tables of
    /// the node, which they are checked against.
    pub async fn run_quality(
        &self,
        actor: &Actor,
        resource_id: &ResourceId,
        rules: &RuleSet,
        progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Report, AppError> {
        let resource = self.resource(resource_id)?;
        let Some(snapshot) = &resource.snapshot else {
            return Err(Refusal::wrong_state(resource_id, "without a snapshot", "a snapshot").into());
        };
        let tables = self.tables_with_snapshots().await?;
        let named: Vec<(&str, Arc<TableFiles>)> =
            tables.iter().map(|(name, files)| (name.as_str(), Arc::clone(files))).collect();
        let table = resource.details.table.to_string();
        let own = rules.rules.iter().filter(|rule| rule.table == table).cloned().collect();
        let own = RuleSet { rules: own, ..rules.clone() };
        let report =
            lingqu_quality::run(&self.engine, &named, Limits::default(), &own, self.clock.now(), progress).await?;
        let report = report.finished(self.clock.now());
        let command = Command::RecordQualityReport {
            resource: resource_id.clone(),
            snapshot: snapshot.id.clone(),
            results: report.results_of(&table),
        };
        self.carry_out(actor, &command, CommandOptions::default(), Extras::default()).await?;
        Ok(report)
    }

    /// Every resource's newest snapshot, by table name.
    async fn tables_with_snapshots(&self) -> Result<BTreeMap<String, Arc<TableFiles>>, AppError> {
        let wanted = self.read(|state| {
            let mut wanted = Vec::new();
            for resource in state.resources.values() {
                if let Some(snapshot) = &resource.value.snapshot {
                    wanted.push((
                        resource.value.details.table.to_string(),
                        resource.value.id.clone(),
                        snapshot.version,
                    ));
                }
            }
            wanted
        });
        let mut tables = BTreeMap::new();
        for (table, resource, version) in wanted {
            tables.insert(table, self.snapshots.version(resource.as_str(), version).await?.files);
        }
        Ok(tables)
    }

    /// Replaces a product draft's shape by what the node finds out about its SQL. The SQL sees only columns that the
    /// permits cover, so one that names another is refused here.
    pub(crate) async fn with_shape(&self, details: ProductDetails) -> Result<Box<ProductDetails>, AppError> {
        self.refresh().await?;
        let now = self.clock.now();
        let (inputs, by_table) = self.read(|state| -> Result<_, Refusal> {
            let mut reader = Reader::new(state, now);
            let mut inputs = Vec::new();
            let mut by_table = BTreeMap::new();
            for (resource_id, scope) in chain::input_scopes(&mut reader, &details)? {
                let resource = reader.resource(&resource_id)?;
                let covered = scope.visible_in(Mode::Compute);
                let mut columns = Vec::new();
                for column in resource.details.columns.iter().filter(|column| covered.contains_key(&column.name)) {
                    columns
                        .push(ColumnView { name: column.name.clone(), column_type: column_type_of(column.data_type) });
                }
                let table = resource.details.table.to_string();
                inputs.push((table.clone(), SchemaView { columns }));
                by_table.insert(table, resource_id);
            }
            Ok((inputs, by_table))
        })?;
        let shape = lineage::describe(&self.engine, &details.sql, &inputs).await?;
        let sources = |columns: &BTreeSet<lineage::InputColumn>| -> BTreeSet<SourceColumn> {
            columns
                .iter()
                .filter_map(|source| {
                    let resource = by_table.get(&source.table)?.clone();
                    Some(SourceColumn { resource, column: source.column.clone() })
                })
                .collect()
        };
        let mut columns = Vec::new();
        for column in &shape.columns {
            columns.push(ProductColumn {
                name: column.name.clone(),
                data_type: data_type_of(column.column_type),
                lineage: sources(&column.lineage),
                computed: column.computed,
            });
        }
        let shape = ProductShape { columns, conditions: sources(&shape.conditions) };
        Ok(Box::new(ProductDetails { shape, ..details }))
    }

    pub(crate) fn resource(&self, id: &ResourceId) -> Result<Resource, AppError> {
        let found = self.read(|state| state.resources.get(id).map(|entity| entity.value.clone()));
        found.ok_or_else(|| Refusal::not_found(id).into())
    }

    /// Refuses early what would be refused after the work: the command is decided and thrown away.
    fn must_be_accepted(&self, actor: &Actor, command: &Command) -> Result<(), AppError> {
        let now = self.clock.now();
        let context = Context { now, actor: actor.clone(), command_id: CommandId::of_random(now, random()?) };
        self.read(|state| decide(state, command, &context).map(|_| ())).map_err(AppError::from)
    }
}

fn declared_columns(resource: &Resource) -> Vec<DeclaredColumn> {
    let columns = &resource.details.columns;
    columns
        .iter()
        .map(|column| DeclaredColumn {
            header: column.name.to_string(),
            name: column.name.clone(),
            column_type: column_type_of(column.data_type),
        })
        .collect()
}

fn file_digest(path: &Path) -> Result<Sha256Digest, AppError> {
    let bytes = std::fs::read(path).map_err(|error| AppError::file("read", path, &error))?;
    Ok(lingqu_crypto::sha256(&bytes))
}

pub(crate) fn column_type_of(data_type: DataType) -> ColumnType {
    match data_type {
        DataType::Text => ColumnType::Text,
        DataType::Integer => ColumnType::Integer,
        DataType::Float => ColumnType::Float,
        DataType::Decimal => ColumnType::Decimal { precision: 38, scale: 6 },
        DataType::Boolean => ColumnType::Boolean,
        DataType::Date => ColumnType::Date,
        DataType::LocalTimestamp => ColumnType::LocalTimestamp,
        DataType::Timestamp => ColumnType::Timestamp,
    }
}

pub(crate) fn data_type_of(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Text => DataType::Text,
        ColumnType::Integer => DataType::Integer,
        ColumnType::Float => DataType::Float,
        ColumnType::Decimal { .. } => DataType::Decimal,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Date => DataType::Date,
        ColumnType::LocalTimestamp => DataType::LocalTimestamp,
        ColumnType::Timestamp => DataType::Timestamp,
    }
}
