//! The governed table: one table of data as one grant allows it to be seen.
//!
//! A statement is planned against a schema that holds the granted columns and nothing else. When the table is
//! scanned, it plans itself: a scan that lets out nothing but the rows that row filter and consent set leave in
//! ([`covered`]), then masks, then the recipient's marks. The finished plan is put behind a [`BarrierExec`](crate::barrier::BarrierExec), a leaf
//! that no rule of the optimiser can look into or move anything across. Of the consumer's own conditions only those go
//! below it that can't tell anything by failing.

mod covered;
mod expected;
pub(crate) mod visible;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use lingqu_domain::predicate::Predicate;
use lingqu_domain::scope::{ColumnName, Mode, Precision, Scope};

use crate::barrier::BarrierExec;
use crate::columns::{ColumnType, ColumnView, SchemaView, row_field, subject_columns};
use crate::consent::ConsentSet;
use crate::marks::{Copying, MarkExec, Marks, RememberedMarks};
use crate::mask::{Mask, MaskUnfit, PseudonymKeys};
use crate::predicate::{column, compile, is_leak_proof};
use crate::raw::RawTable;
use crate::{DECOY_COLUMN, ROW_COLUMN};
use covered::{Coverage, CoveredRows, NeededConsent};

/// Why a grant can't be applied to a table. The table is then not served at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GovernError {
    /// A granted column is not in the table any more.
    #[error("column `{column}` was granted, but this version of the data does not have it (schema_changed)")]
    SchemaChanged {
        /// The column.
        column: String,
    },
    /// A precision that the column's type does not have.
    #[error("column `{column}` of type {data_type} has no precision {precision}; correct the scope")]
    PrecisionUnfit {
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
        /// The precision.
        precision: String,
    },
    /// A row condition compares a column with a constant that its type can't hold.
    #[error(
        "a row condition compares column `{column}` of type {data_type} with a constant of another type; correct the scope"
    )]
    LiteralUnfit {
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
    },
    /// A pseudonym needs a key that was not given.
    #[error("column `{column}` is to be a pseudonym, but the key for it was not given")]
    KeyMissing {
        /// The column.
        column: String,
    },
    /// Consent is required but no set of consenting subjects was given, or the table does not know its subjects.
    #[error("consent is required for `{table}`, but {missing}")]
    ConsentUnknown {
        /// The table.
        table: String,
        /// What is missing.
        missing: &'static str,
    },
    /// A marked column is shown masked.
    #[error(
        "column `{column}` is marked and shown at a coarser precision, by which its marks could be found; grant it exact in every mode that shows it, or take it out of the marking"
    )]
    MarkedNotExact {
        /// The column.
        column: String,
    },
    /// A row condition asks for a marked column.
    #[error(
        "a row condition asks for column `{column}`, which is marked, so that which rows exist would tell its true value; take it out of the condition or out of the marking"
    )]
    MarkedInCondition {
        /// The column.
        column: String,
    },
    /// The declared marks can't be laid into the table.
    #[error("the marks of `{table}` can't be laid into it: {reason}")]
    MarksUnfit {
        /// The table.
        table: String,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// Nothing is visible.
    #[error("`{table}` has no column that may be seen in this mode")]
    NothingVisible {
        /// The table.
        table: String,
    },
}

/// What a grant allows of one table in one mode.
#[derive(Clone, Debug)]
pub struct Governance {
    /// The name that statements use.
    pub name: String,
    /// The columns that can be seen, with their precision; [`Precision::Hidden`] is the same as absence.
    pub columns: Vec<(ColumnName, Precision)>,
    /// Conditions that all hold for a row that exists.
    pub rows: Vec<Predicate>,
    /// Ordinals of the subjects who consented; rows of others do not exist. None: consent is not required.
    pub consent: Option<Arc<ConsentSet>>,
    /// Keys of pseudonyms.
    pub keys: PseudonymKeys,
    /// What makes the table the recipient's copy; none for a grant that delivers no rows, and where nothing is marked.
    pub marks: Option<Arc<Marks>>,
}

impl Governance {
    /// What a scope allows in a mode, without marks. `consent` must be given where the scope requires it and is ignored
    /// elsewhere.
    /// Errors: [`GovernError::ConsentUnknown`], [`GovernError::NothingVisible`].
    pub fn of_scope(
        name: &str,
        scope: &Scope,
        mode: Mode,
        keys: PseudonymKeys,
        consent: Option<Arc<ConsentSet>>,
    ) -> Result<Governance, GovernError> {
        if scope.consent_required && consent.is_none() {
            let missing = "the set of consenting subjects was not given";
            return Err(GovernError::ConsentUnknown { table: name.to_owned(), missing });
        }
        let mut columns = Vec::new();
        for (column, precision) in scope.visible_in(mode) {
            columns.push((column.clone(), precision));
        }
        if columns.is_empty() {
            return Err(GovernError::NothingVisible { table: name.to_owned() });
        }
        Ok(Governance {
            name: name.to_owned(),
            columns,
            rows: scope.rows.iter().cloned().collect(),
            consent: if scope.consent_required { consent } else { None },
            keys,
            marks: None,
        })
    }

    /// The same for one recipient.
    #[must_use]
    pub fn with_marks(self, marks: Option<Arc<Marks>>) -> Governance {
        Governance { marks, ..self }
    }
}

/// A visible column of a governed table.
#[derive(Clone, Debug)]
pub(crate) struct GovernedColumn {
    pub(crate) name: ColumnName,
    pub(crate) raw_index: usize,
    pub(crate) mask: Option<Mask>,
    pub(crate) data_type: DataType,
}

/// A table as one grant allows it to be seen in one mode.
#[derive(Debug)]
pub struct GovernedTable {
    name: String,
    raw: RawTable,
    columns: Vec<GovernedColumn>,
    /// The row conditions over raw columns; none: every row.
    row_filter: Option<Expr>,
    consent: Option<Arc<ConsentSet>>,
    marks: Option<Arc<Marks>>,
    /// The columns that conditions of the consumer may be evaluated on below the barrier: neither masked nor marked.
    exact_columns: HashMap<String, DataType>,
    /// Whether they are evaluated there at all.
    takes_conditions: bool,
    /// The hidden columns that name the subjects of a row.
    subject_columns: Vec<String>,
    /// Whether the raw table holds decoys, of which the recipient's copy has his own.
    gives_decoys: bool,
    /// How many rows exist under the grant, once they were counted.
    counted: OnceLock<usize>,
    /// Which rows have everybody's consent, as far as scans have found it out; none where there is no room to remember it.
    coverage: OnceLock<Option<Arc<Coverage>>>,
    /// Marks that were drawn before.
    drawn: RememberedMarks,
}

impl GovernedTable {
    /// Compiles a grant for the data of a table. The visible columns stand in the order of the table.
    pub fn new(raw: impl Into<RawTable>, governance: &Governance) -> Result<Arc<GovernedTable>, GovernError> {
        Self::compile(raw.into(), governance, true)
    }

    fn compile(
        raw: RawTable,
        governance: &Governance,
        may_take_conditions: bool,
    ) -> Result<Arc<GovernedTable>, GovernError> {
        let raw_schema = raw.arrow_schema();
        let mut columns = Vec::with_capacity(governance.columns.len());
        let mut exact_columns = HashMap::new();
        for (name, precision) in &governance.columns {
            if *precision == Precision::Hidden {
                continue;
            }
            let Some((raw_index, field)) = raw_schema.column_with_name(name.as_str()) else {
                return Err(GovernError::SchemaChanged { column: name.to_string() });
            };
            let mask = match Mask::of(*precision, field.data_type(), &governance.keys) {
                Ok(mask) => mask,
                Err(MaskUnfit::KeyMissing) => return Err(GovernError::KeyMissing { column: name.to_string() }),
                Err(MaskUnfit::Type) => {
                    return Err(GovernError::PrecisionUnfit {
                        column: name.to_string(),
                        data_type: field.data_type().to_string(),
                        precision: precision.to_string(),
                    });
                }
            };
            let is_marked = governance.marks.as_ref().is_some_and(|marks| marks.is_marked(name.as_str()));
            if mask.is_none() && !is_marked {
                exact_columns.insert(name.to_string(), field.data_type().clone());
            }
            let data_type = mask.as_ref().map_or_else(|| field.data_type().clone(), |mask| mask.output().clone());
            columns.push(GovernedColumn { name: name.clone(), raw_index, mask, data_type });
        }
        if columns.is_empty() {
            return Err(GovernError::NothingVisible { table: governance.name.clone() });
        }
        columns.sort_by_key(|column| column.raw_index);
        let subject_columns = subject_columns(&raw_schema);
        if governance.consent.is_some() && subject_columns.is_empty() {
            let missing = "the table does not name its subjects; declare the product's subject column";
            return Err(GovernError::ConsentUnknown { table: governance.name.clone(), missing });
        }
        let holds_decoys = raw_schema.column_with_name(DECOY_COLUMN).is_some();
        let gives_decoys = holds_decoys && governance.marks.as_ref().is_some_and(|marks| marks.gives_decoys());
        // Rows that do not exist are there for copies that are marked with them, and for nobody else.
        let mut row_filter = (holds_decoys && !gives_decoys).then(|| column(DECOY_COLUMN).is_null());
        for predicate in &governance.rows {
            let condition = compile(predicate, &raw_schema)?;
            row_filter = Some(match row_filter {
                None => condition,
                Some(conditions) => conditions.and(condition),
            });
        }
        if let Some(marks) = &governance.marks {
            let masked = columns.iter().filter(|column| column.mask.is_some()).map(|column| column.name.as_str());
            marks.must_fit(&governance.name, &raw_schema, masked, &governance.rows)?;
        }
        let takes_conditions =
            may_take_conditions && raw.takes_conditions(row_filter.as_ref(), governance.consent.is_some());
        Ok(Arc::new(GovernedTable {
            name: governance.name.clone(),
            takes_conditions,
            raw,
            columns,
            row_filter,
            consent: governance.consent.clone(),
            marks: governance.marks.clone(),
            exact_columns,
            subject_columns,
            gives_decoys,
            counted: OnceLock::new(),
            coverage: OnceLock::new(),
            drawn: RememberedMarks::default(),
        }))
    }

    /// The same for statistics: no condition of a consumer goes below the barrier, so every answer names all rows that exist for
    /// the grant. Named by condition, the rows of a receipt would tell what floor, suppression and noise withhold.
    pub fn for_statistics(
        raw: impl Into<RawTable>,
        governance: &Governance,
    ) -> Result<Arc<GovernedTable>, GovernError> {
        Self::compile(raw.into(), governance, false)
    }

    /// The name that statements use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The visible columns.
    pub fn schema_view(&self) -> SchemaView {
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let column_type = ColumnType::of_arrow(&column.data_type)
                .expect("snapshots and products hold only columns of the engine's types, and masks keep to them");
            columns.push(ColumnView { name: column.name.clone(), column_type });
        }
        SchemaView { columns }
    }

    pub(crate) fn columns(&self) -> &[GovernedColumn] {
        &self.columns
    }

    pub(crate) fn column_names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.to_string()).collect()
    }

    pub(crate) fn row_filter(&self) -> Option<&Expr> {
        self.row_filter.as_ref()
    }

    pub(crate) fn consent(&self) -> Option<&Arc<ConsentSet>> {
        self.consent.as_ref()
    }

    pub(crate) fn marks(&self) -> Option<&Arc<Marks>> {
        self.marks.as_ref()
    }

    pub(crate) fn has_subject(&self) -> bool {
        !self.subject_columns.is_empty()
    }

    /// The hidden columns that name the subjects of a row; each of them must have consented.
    pub(crate) fn subject_columns(&self) -> &[String] {
        &self.subject_columns
    }

    pub(crate) fn raw(&self) -> &RawTable {
        &self.raw
    }

    pub(crate) fn exact_columns(&self) -> &HashMap<String, DataType> {
        &self.exact_columns
    }

    /// Whether conditions of the consumer are evaluated below the barrier at all.
    pub(crate) fn takes_conditions(&self) -> bool {
        self.takes_conditions
    }

    /// The raw rows that exist under the grant and meet some safe conditions: what stands below the masks. `base`: which
    /// of the conditions hold for every row that is wanted, whoever asks.
    pub(crate) fn rows(&self, base: &[Expr], conditions: &[Expr]) -> DataFusionResult<LogicalPlanBuilder> {
        let base = self.row_filter.iter().chain(base).cloned().reduce(Expr::and);
        let mut raw = self.raw.provider(base.as_ref());
        let mut asked = self.row_filter.clone();
        for condition in conditions {
            debug_assert!(is_leak_proof(condition, &self.exact_columns), "only safe conditions were accepted");
            let condition = unqualified(condition.clone())?;
            asked = Some(match asked {
                Some(asked) => asked.and(condition),
                None => condition,
            });
        }
        let consent = self.consent.as_ref().map(|members| NeededConsent {
            members,
            subjects: &self.subject_columns,
            coverage: self.coverage(),
        });
        if consent.is_some() || asked.is_some() {
            raw = CoveredRows::of(raw, consent.as_ref(), asked, expected::share_of(conditions))?;
        }
        LogicalPlanBuilder::scan("raw", provider_as_source(raw), None)
    }

    /// What is remembered of which rows have everybody's consent.
    fn coverage(&self) -> Option<&Arc<Coverage>> {
        self.coverage.get_or_init(|| Coverage::of_rows(self.rows_of_files()?)).as_ref()
    }

    /// How many rows there are whose numbers never change; none of a live table.
    fn rows_of_files(&self) -> Option<usize> {
        match &self.raw {
            RawTable::Files(files) => usize::try_from(files.rows()).ok(),
            RawTable::Live(_) | RawTable::Chosen(_) => None,
        }
    }

    /// The expression that yields a visible column from the raw table.
    pub(crate) fn shown(&self, index: usize) -> DataFusionResult<Expr> {
        let governed = &self.columns[index];
        let raw = column(governed.name.as_str());
        // Rows that do not exist can't come here: the scan below lets nothing of them out, and is no filter of the
        // optimiser's, which could move this below it.
        let shown = match &governed.mask {
            Some(mask) => mask.expr(raw),
            None => raw,
        };
        Ok(shown.alias(governed.name.as_str()))
    }

    /// The physical plan that yields `outputs` of the rows that exist, as the recipient's copy has them, and last the row number.
    /// What goes on above the masks is put on the finished plan, where no rule comes by.
    pub(crate) async fn planned(
        &self,
        state: &dyn Session,
        rows: LogicalPlanBuilder,
        mut outputs: Vec<Expr>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let copying = self.marks.as_ref().and_then(|marks| {
            let shown: Vec<String> = outputs.iter().map(|output| output.schema_name().to_string()).collect();
            let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
            Copying::of(marks, &shown, self.gives_decoys).map(Arc::new)
        });
        for read in copying.iter().flat_map(|copying| copying.read()) {
            outputs.push(column(read).alias(Copying::read_name(read)));
        }
        // The row number always comes last, for the barrier to record; under a name of its own, since the consumer's
        // plan may read it too.
        outputs.push(column(ROW_COLUMN).alias(BARRIER_ROW_COLUMN));
        let plan = state.create_physical_plan(&rows.project(outputs)?.build()?).await?;
        Ok(match copying {
            Some(copying) => {
                let before = self.rows_of_files().and_then(|rows| self.drawn.of(copying.marks(), rows));
                Arc::new(MarkExec::new(plan, copying, before)?)
            }
            None => plan,
        })
    }

    /// The table for planning; `hidden` adds engine columns after the visible ones.
    pub(crate) fn provider(self: &Arc<Self>, hidden: HiddenColumns) -> Arc<GovernedProvider> {
        let mut fields: Vec<Field> = Vec::with_capacity(self.columns.len() + 1);
        for column in &self.columns {
            fields.push(Field::new(column.name.as_str(), column.data_type.clone(), true));
        }
        match &hidden {
            HiddenColumns::None => {}
            HiddenColumns::Row => fields.push(row_field()),
            HiddenColumns::Made(made) => fields.extend(made.iter().map(|(field, _)| field.clone())),
        }
        Arc::new(GovernedProvider { table: Arc::clone(self), hidden, schema: Arc::new(Schema::new(fields)) })
    }
}

/// The engine columns that a rewritten plan reads, never a consumer's own.
#[derive(Clone, Debug)]
pub(crate) enum HiddenColumns {
    None,
    /// The row's number.
    Row,
    /// Made of raw columns behind the barrier. They must have a value for every row and tell nothing of it.
    Made(Arc<Vec<(Field, Expr)>>),
}

/// A governed table as the planner sees it. It gives no logical plan (else the planner would inline it), no
/// definition, no statistics and no constraints.
#[derive(Debug)]
pub(crate) struct GovernedProvider {
    table: Arc<GovernedTable>,
    hidden: HiddenColumns,
    schema: SchemaRef,
}

impl GovernedProvider {
    pub(crate) fn table(&self) -> &Arc<GovernedTable> {
        &self.table
    }

    /// The expression that yields a column of the provider's schema from the raw table.
    fn output_expr(&self, index: usize) -> DataFusionResult<Expr> {
        if index < self.table.columns.len() {
            return self.table.shown(index);
        }
        Ok(match &self.hidden {
            HiddenColumns::None | HiddenColumns::Row => column(ROW_COLUMN),
            HiddenColumns::Made(made) => {
                let (field, expression) = &made[index - self.table.columns.len()];
                expression.clone().alias(field.name())
            }
        })
    }
}

#[async_trait]
impl TableProvider for GovernedProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let mut supported = Vec::with_capacity(filters.len());
        for filter in filters {
            let is_safe = self.table.takes_conditions && is_leak_proof(filter, &self.table.exact_columns);
            supported.push(if is_safe {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Unsupported
            });
        }
        Ok(supported)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let rows = self.table.rows(&[], filters)?;
        let indices: Vec<usize> = match projection {
            Some(indices) => indices.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let mut outputs = Vec::with_capacity(indices.len() + 1);
        for index in &indices {
            outputs.push(self.output_expr(*index)?);
        }
        let inner = self.table.planned(state, rows, outputs).await?;
        let schema = Arc::new(self.schema.project(&indices)?);
        Ok(Arc::new(BarrierExec::new(&self.table, inner, schema).asked(expected::share_of(filters))))
    }
}

/// The row number on its way to the barrier.
pub(crate) const BARRIER_ROW_COLUMN: &str = "__left_row";

fn unqualified(expr: Expr) -> DataFusionResult<Expr> {
    expr.transform(|part| {
        Ok(match part {
            Expr::Column(qualified) => Transformed::yes(column(&qualified.name)),
            other => Transformed::no(other),
        })
    })
    .data()
}
