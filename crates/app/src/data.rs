//! Data inside: snapshots into quality reports, SQL into the shape of a product. How it comes in is `ingestion`'s.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::access::Actor;
use lingqu_domain::chain;
use lingqu_domain::command::Command;
use lingqu_domain::decide::{Context, Reader, decide};
use lingqu_domain::id::{CommandId, ResourceId};
use lingqu_domain::product::{ProductColumn, ProductDetails, ProductShape, SourceColumn};
use lingqu_domain::quality::RuleResult;
use lingqu_domain::refusal::Refusal;
use lingqu_domain::resource::{DataType, Grade, Openness, Resource};
use lingqu_domain::rulebook::Rulebook;
use lingqu_domain::scope::Mode;
use lingqu_engine::lineage::{self, PersonColumns, Persons};
use lingqu_engine::{ColumnType, ColumnView, Limits, SchemaView, TableFiles};
use lingqu_quality::{Progress, Report, RuleSet};
use std::sync::Arc;

use crate::app::App;
use crate::command::{CommandOptions, Extras};
use crate::error::AppError;
use crate::keys::random;

impl App {
    /// Runs a rule set and records the report of one resource; its findings open tickets. Rules may check it against other
    /// tables of its provider and against open data; any other table is unknown to them. Who may not record the report is
    /// refused before a row is read.
    pub async fn run_quality(
        &self,
        actor: &Actor,
        resource_id: &ResourceId,
        rules: &RuleSet,
        progress: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<Report, AppError> {
        self.refresh().await?;
        let resource = self.resource(resource_id)?;
        let Some(snapshot) = resource.snapshot.as_ref().filter(|snapshot| snapshot.live.is_none()) else {
            return Err(Refusal::wrong_state(resource_id, "without a snapshot", "a snapshot").into());
        };
        let record = |results: Vec<RuleResult>| Command::RecordQualityReport {
            resource: resource_id.clone(),
            snapshot: snapshot.id.clone(),
            results,
        };
        self.must_be_accepted(actor, &record(vec![untold_result()]))?;
        let rulebook = self.read(|state| state.rulebook().into_owned());
        let may_name = |other: &Resource| other.provider == resource.provider || is_open(other, &rulebook);
        let tables = self.tables_with_snapshots(may_name).await?;
        let named: Vec<(&str, Arc<TableFiles>)> =
            tables.iter().map(|(name, files)| (name.as_str(), Arc::clone(files))).collect();
        let table = resource.details.table.to_string();
        let own = rules.rules.iter().filter(|rule| rule.table == table).cloned().collect();
        let own = RuleSet { rules: own, ..rules.clone() };
        let report =
            lingqu_quality::run(&self.engine, &named, Limits::default(), &own, self.clock.now(), progress).await?;
        let report = report.finished(self.clock.now());
        let command = record(report.results_of(&table));
        self.carry_out(actor, &command, CommandOptions::default(), Extras::default()).await?;
        Ok(report)
    }

    /// The newest stored snapshots by table name, of those resources alone that a statement may name: of the others it
    /// learns nothing, not even that they are there.
    pub(crate) async fn tables_with_snapshots(
        &self,
        may_name: impl Fn(&Resource) -> bool,
    ) -> Result<BTreeMap<String, Arc<TableFiles>>, AppError> {
        let wanted = self.read(|state| {
            let mut wanted = Vec::new();
            for resource in state.resources.values().map(|resource| &resource.value) {
                // Live data is not the node's to measure.
                let stored = resource.snapshot.as_ref().filter(|snapshot| snapshot.live.is_none());
                if let Some(snapshot) = stored.filter(|_| may_name(resource)) {
                    wanted.push((resource.details.table.to_string(), resource.id.clone(), snapshot.version));
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
        let named = details.subject.iter().chain(&details.further_subjects).cloned().collect();
        let (inputs, by_table, persons) = self.read(|state| -> Result<_, Refusal> {
            let mut reader = Reader::new(state, now);
            let mut inputs = Vec::new();
            let mut by_table = BTreeMap::new();
            let mut persons = Persons { inputs: BTreeMap::new(), named };
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
                if let Some(subject) = resource.details.subject.clone() {
                    let key = resource.details.key.first().filter(|_| resource.details.key_names_subject).cloned();
                    persons.inputs.insert(table.clone(), PersonColumns { subject, key });
                }
                by_table.insert(table, resource_id);
            }
            Ok((inputs, by_table, persons))
        })?;
        let (shape, by_person) = lineage::describe_with_persons(&self.engine, &details.sql, &inputs, &persons).await?;
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
        let conditions = sources(&shape.conditions);
        let shape = ProductShape { columns, conditions, row_by_row: shape.row_by_row, by_person };
        self.must_choose_over_live(&details, &shape)?;
        Ok(Box::new(ProductDetails { shape, ..details }))
    }

    pub(crate) fn resource(&self, id: &ResourceId) -> Result<Resource, AppError> {
        let found = self.read(|state| state.resources.get(id).map(|entity| entity.value.clone()));
        found.ok_or_else(|| Refusal::not_found(id).into())
    }

    /// Refuses early what would be refused after the work: the command is decided and thrown away.
    pub(crate) fn must_be_accepted(&self, actor: &Actor, command: &Command) -> Result<(), AppError> {
        let now = self.clock.now();
        let context = Context { now, actor: actor.clone(), command_id: CommandId::of_random(now, random()?) };
        self.read(|state| decide(state, command, &context).map(|_| ())).map_err(AppError::from)
    }
}

/// Whether anybody may have the resource's rows: its chief data officer has signed that they are open without conditions,
/// they are about no person, and the grade of every column lets rows leave.
fn is_open(resource: &Resource, rulebook: &Rulebook) -> bool {
    let details = &resource.details;
    let may_leave = |grade: &Grade| rulebook.grade_modes.get(grade).is_some_and(|modes| modes.contains(&Mode::Rows));
    resource.signed_by.is_some()
        && details.openness == Openness::Unconditional
        && details.subject.is_none()
        && details.columns.iter().all(|column| may_leave(&column.grade))
}

/// A result in place of those that are not known before the run: with it is asked whether there may be a report.
fn untold_result() -> RuleResult {
    RuleResult {
        rule: String::new(),
        dimension: String::new(),
        column: String::new(),
        sentence: String::new(),
        sentence_en: String::new(),
        checked_count: 0,
        failing_count: 0,
        opens_ticket: false,
    }
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

/// The domain's name for a type of the engine.
pub fn data_type_of(column_type: ColumnType) -> DataType {
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
