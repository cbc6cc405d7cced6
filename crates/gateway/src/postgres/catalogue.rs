//! The catalogue: what an order may ask for and what it is called, as clients look it up in `pg_catalog` and
//! `information_schema`.
//!
//! It is answered by a context of its own, which holds the catalogue's tables and an empty table with the columns that the
//! order sees. No governed row can be reached from it, whatever is asked: there is none. So its answers leave no receipt and
//! cost nothing, and what they may use is bounded here.

mod comments;
mod derived;
mod functions;
mod growth;
mod keys;
mod overlay;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemTable, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider,
};
use datafusion::datasource::TableType;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArguments, Join, JoinOperator, SetExpr, Statement as SqlStatement, TableFactor,
    TableWithJoins, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;
use datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::{PgCatalogSchemaProvider, PgCatalogStaticTables, setup_pg_catalog};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use futures::StreamExt;
use lingqu_app::Meanings;
use lingqu_engine::allow::reading::{self, TooMuch};
use lingqu_engine::schema_session::{INFORMATION_SCHEMA, View};
use lingqu_engine::{SchemaView, allow};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use super::refusal::Refused;
use super::statement::{self, DATABASE, SCHEMA};
use crate::information_schema::{ShownTable, views};
use functions::{NO_TEXTS, constant, restricted};
use overlay::Overlaid;

/// Questions that are answered at one time; others wait.
const PLACES: usize = 4;
/// Threads that they are answered on, apart from those that serve.
const THREADS: usize = 2;
/// Stack of each, in bytes, as the other threads that plan statements have it: plans are walked by recursion.
const STACK_BYTES: usize = 8 << 20;
/// Memory of all operators together, in bytes.
const MEMORY_BYTES_MAX: usize = 128 << 20;
/// Most rows and bytes of an answer.
const ROWS_MAX: usize = 100_000;
const BYTES_MAX: usize = 32 << 20;
/// Longest time of an answer, waiting included.
const TIME_MAX: Duration = Duration::from_secs(10);
/// The table of settings.
const SETTINGS: &str = "pg_settings";
/// Orders whose catalogue is kept. One that is made anew is the same to its last number.
const CATALOGUES_MAX: usize = 64;

/// Most rows of a batch. What a join or a function puts into one lies outside the pool that bounds the operators, and a comment
/// may have a few thousand bytes.
const BATCH_ROWS: usize = 512;

/// Parts of questions that the catalogue's tables have no form for, as the clients write them, and what is asked instead.
const ANSWERED_OTHERWISE: &[(&str, &str)] = &[
    // The JDBC driver tells arrays by it; the tables hold the names of functions where PostgreSQL holds their numbers.
    ("'pg_catalog.array_in'::regproc", "'array_in'"),
    // By its number, since it is not among the relations that are shown: what a description is a description of.
    ("'pg_class'::regclass", "'1259'::regclass"),
    ("'pg_class'::pg_catalog.regclass", "'1259'::regclass"),
    ("'pg_catalog.pg_class'::regclass", "'1259'::regclass"),
    ("'pg_catalog.pg_class'::pg_catalog.regclass", "'1259'::regclass"),
    ("'pg_catalog.pg_extension'::pg_catalog.regclass", "'3079'::regclass"),
    // The JDBC driver's keys and indexes: a function of rows of two fields, of which it takes the place of each column, and then
    // those rows where the column is the one at the place.
    ("(information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ", "key_place(i.indkey, a.attnum) AS KEY_SEQ"),
    (
        "(information_schema._pg_expandarray(i.indkey)).n AS ORDINAL_POSITION",
        "unnest(key_places(i.indkey)) AS ORDINAL_POSITION",
    ),
    ("information_schema._pg_expandarray(i.indkey) AS", "i.indkey AS"),
    ("result.A_ATTNUM = (result.KEYS).x", "result.KEY_SEQ IS NOT NULL"),
    ("a.attnum = (i.keys).x", "key_place(i.keys, a.attnum) IS NOT NULL"),
    // Its types: there are none of rows of fields.
    ("(SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid)", "false"),
    // Its types of the user's own: what a domain is made of is one row at most, which the engine believes of a maximum alone.
    ("CASE WHEN t.typtype = 'd' then  (select CASE", "CASE WHEN t.typtype = 'd' then  (select max(CASE"),
    (
        " else 1111 end from pg_type base_type where base_type.oid=t.typbasetype)",
        " else 1111 end) from pg_type base_type where base_type.oid=t.typbasetype)",
    ),
    // Its procedures: columns without a name.
    (
        "NULL, NULL, NULL, d.description AS REMARKS",
        "NULL AS none1, NULL AS none2, NULL AS none3, d.description AS REMARKS",
    ),
    // psql's `\\d` of an index: what is checked later, of which there is nothing.
    (
        "(NOT i.indimmediate) AND EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid = i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x') AND condeferrable)",
        "false",
    ),
    (
        "(NOT i.indimmediate) AND EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid = i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x') AND condeferred)",
        "false",
    ),
    // Nothing is indexed in descending order.
    ("tmp.I_INDOPTION[tmp.ORDINAL_POSITION - 1] & 1::smallint", "0"),
    // psql's `\\d+` of a table: its options, of which there are none.
    (
        "pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from pg_catalog.unnest(tc.reloptions) x), ', ')",
        "''",
    ),
];

/// Tables, and what must stand in the condition, of which nothing is found about what the order sees: enumerations, policies, who is a
/// member of whose role, rights to single columns, and constraints of domains.
const EMPTY: &[(&str, &str)] = &[
    ("pg_enum", ""),
    ("pg_policy", ""),
    ("pg_auth_members", ""),
    ("pg_attribute", "attacl IS NOT NULL"),
    ("pg_constraint", "contypid"),
];

/// Everything that the catalogues of orders share.
pub(super) struct Catalogues {
    base: SessionState,
    tables: Arc<PgCatalogStaticTables>,
    parser: PostgresCompatibilityParser,
    by_order: Mutex<BTreeMap<String, Arc<Catalogue>>>,
    places: Arc<Semaphore>,
    /// There until this is dropped.
    threads: Option<Runtime>,
}

/// The order's table as the catalogue shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OrderTable {
    pub(super) name: String,
    pub(super) schema: SchemaRef,
    /// The columns that identify a row, if all of them are granted.
    pub(super) key: Vec<String>,
    /// What it and its columns mean.
    pub(super) meanings: Meanings,
}

/// The catalogue of an order.
pub(super) struct Catalogue {
    table: OrderTable,
    state: SessionState,
}

/// What a question will be answered with.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) schema: SchemaRef,
    /// Types of the parameters in their order, where the question tells.
    pub(super) parameters: Vec<Option<DataType>>,
}

impl Catalogues {
    /// Reads the parts that are the same for everybody; a few milliseconds.
    pub(super) fn new() -> Result<Catalogues, String> {
        let told = |error: DataFusionError| error.strip_backtrace();
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(MEMORY_BYTES_MAX)))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
            .build_arc()
            .map_err(told)?;
        // No statement can name a file; there is none to be named either.
        let files = Url::parse("file://").map_err(|error| error.to_string())?;
        runtime.deregister_object_store(&files).map_err(told)?;
        let config = SessionConfig::new()
            .with_default_catalog_and_schema(DATABASE, SCHEMA)
            // The engine's own would tell of its settings and functions; the order's stands in its place.
            .with_information_schema(false)
            .with_batch_size(BATCH_ROWS)
            .with_target_partitions(1);
        let context = SessionContext::new_with_config_rt(config, runtime);
        setup_pg_catalog(&context, DATABASE, EmptyContextProvider).map_err(|error| told(*error))?;
        let tables = Arc::new(PgCatalogStaticTables::try_new().map_err(told)?);
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_stack_size(STACK_BYTES)
            .thread_name("lingqu-catalogue")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Catalogues {
            base: restricted(context.state()),
            tables,
            parser: PostgresCompatibilityParser::new(),
            by_order: Mutex::default(),
            places: Arc::new(Semaphore::new(PLACES)),
            threads: Some(threads),
        })
    }

    /// The catalogue of an order that has this table.
    pub(super) async fn of(&self, order: &str, table: OrderTable) -> Result<Arc<Catalogue>, Refused> {
        let kept = self.by_order.lock().unwrap_or_else(PoisonError::into_inner).get(order).cloned();
        if let Some(kept) = kept
            && kept.table == table
        {
            return Ok(kept);
        }
        let made = Arc::new(self.make(order, table).await.map_err(|error| fault(&error))?);
        let mut by_order = self.by_order.lock().unwrap_or_else(PoisonError::into_inner);
        if by_order.len() >= CATALOGUES_MAX {
            by_order.clear();
        }
        by_order.insert(order.to_owned(), Arc::clone(&made));
        Ok(made)
    }

    async fn make(&self, order: &str, table: OrderTable) -> DataFusionResult<Catalogue> {
        let list: Arc<dyn CatalogProviderList> = Arc::new(MemoryCatalogProviderList::new());
        let state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_session_id(order.to_owned())
            .with_catalog_list(Arc::clone(&list))
            .build();
        let context = SessionContext::new_with_state(state);
        let public = MemorySchemaProvider::new();
        public.register_table(table.name.clone(), Arc::new(EmptyTable::new(Arc::clone(&table.schema))))?;
        let info = OneTable { table: table.name.clone(), schema: keys::columns_told(&table) };
        let of_postgres = PgCatalogSchemaProvider::try_new(info, Arc::clone(&self.tables), EmptyContextProvider)?;
        // Objects are numbered when they are first looked at; looked at in this order they always bear the same numbers.
        let relations = overlay::read(&context, &of_postgres, keys::RELATIONS).await?;
        let oid = comments::number_of_table(&relations)?;
        let columns = overlay::read(&context, &of_postgres, keys::COLUMNS).await?;
        let mut own = keys::tables(&self.tables, (&relations, &columns), oid, &table)?;
        own.extend(derived::tables(&self.tables.pg_type, (oid, keys::namespace(&relations)), &table)?);
        own.push(settings(overlay::read(&context, &of_postgres, SETTINGS).await?)?);
        own.push(comments::descriptions(&self.tables.pg_description, oid, &table)?);
        let information = MemorySchemaProvider::new();
        for (name, rows) in views_of(&table)? {
            information
                .register_table(name.to_owned(), Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))?;
        }
        let database = MemoryCatalogProvider::new();
        database.register_schema(SCHEMA, Arc::new(public))?;
        database.register_schema("pg_catalog", Arc::new(Overlaid::new(Arc::new(of_postgres), own)))?;
        database.register_schema(INFORMATION_SCHEMA, Arc::new(information))?;
        list.register_catalog(DATABASE.to_owned(), Arc::new(database));
        context.register_udf(constant("session_user", ScalarValue::from(order)));
        for function in comments::functions(oid, &table).into_iter().chain(keys::functions(&table)) {
            context.register_udf(function);
        }
        Ok(Catalogue { table, state: context.state() })
    }

    /// What a question will be answered with. Error: it is not one of those that are answered.
    pub(super) async fn describe(&self, catalogue: &Arc<Catalogue>, sql: &str) -> Result<Described, Refused> {
        let statement = self.parse(sql)?;
        let catalogue = Arc::clone(catalogue);
        self.worked(async move {
            let plan = plan(&catalogue.state, statement).await?;
            let mut types = plan.get_parameter_types()?;
            let count = types.keys().filter_map(|name| name.strip_prefix('$')?.parse::<usize>().ok()).max();
            let parameters = (1..=count.unwrap_or(0).min(usize::from(u16::MAX)))
                .map(|number| types.remove(&format!("${number}")).flatten())
                .collect();
            let plan = catalogue.state.optimize(&plan).unwrap_or(plan);
            Ok(Described { schema: Arc::new(plan.schema().as_arrow().clone()), parameters })
        })
        .await
    }

    /// Answers a question.
    pub(super) async fn answer(
        &self,
        catalogue: &Arc<Catalogue>,
        sql: &str,
        values: Vec<ScalarValue>,
    ) -> Result<(SchemaRef, Vec<RecordBatch>), Refused> {
        let statement = self.parse(sql)?;
        let catalogue = Arc::clone(catalogue);
        self.worked(async move {
            let plan = plan(&catalogue.state, statement).await?;
            let plan = if values.is_empty() {
                plan
            } else {
                let plan = plan.with_param_values(values)?;
                growth::check(&plan)?;
                plan
            };
            let mut stream = DataFrame::new(catalogue.state.clone(), plan).execute_stream().await?;
            let schema = stream.schema();
            let (mut batches, mut rows, mut bytes) = (Vec::new(), 0, 0);
            while let Some(batch) = stream.next().await.transpose()? {
                rows += batch.num_rows();
                bytes += batch.get_array_memory_size();
                if rows > ROWS_MAX || bytes > BYTES_MAX {
                    return Err(DataFusionError::ResourcesExhausted("an answer of the catalogue".to_owned()));
                }
                batches.push(batch);
            }
            Ok((schema, batches))
        })
        .await
    }

    fn parse(&self, sql: &str) -> Result<SqlStatement, Refused> {
        let mut sql = sql.to_owned();
        for (asked, answered) in ANSWERED_OTHERWISE {
            sql = sql.replace(asked, answered);
        }
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, &sql).tokenize().map_err(|_| not_understood())?;
        reading::check_calls(&tokens).map_err(|TooMuch { found, most }| statement::too_large(found, most))?;
        let mut statements = self.parser.parse(&sql).map_err(|_| not_understood())?;
        match statements.pop() {
            Some(mut statement @ SqlStatement::Query(_)) if statements.is_empty() => {
                put_otherwise(&mut statement);
                Ok(statement)
            }
            _ => Err(not_understood()),
        }
    }

    /// Does work on the catalogue's own threads, in its turn and in time. Dropping it stops it.
    async fn worked<T: Send + 'static>(
        &self,
        work: impl Future<Output = DataFusionResult<T>> + Send + 'static,
    ) -> Result<T, Refused> {
        let threads = self.threads.as_ref().expect("the threads are there until this is dropped");
        let mut tasks = JoinSet::new();
        let timed = tokio::time::timeout(TIME_MAX, async {
            let place = Arc::clone(&self.places).acquire_owned().await;
            let work = async move {
                let _place = place;
                work.await
            };
            tasks.spawn_on(work, threads.handle());
            tasks.join_next().await
        });
        match timed.await {
            Ok(Some(Ok(Ok(done)))) => Ok(done),
            Ok(Some(Ok(Err(error)))) => Err(told(&error)),
            Ok(_) => Err(not_understood()),
            Err(_) => Err(too_much()),
        }
    }
}

impl Drop for Catalogues {
    fn drop(&mut self) {
        // Waiting for the threads would block, which a drop inside asynchronous code must not.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// The settings that clients look up, with the one that the JDBC driver reads keys with.
fn settings(of_library: RecordBatch) -> DataFusionResult<overlay::Named> {
    let schema = of_library.schema();
    let columns_max = keys::INDEX_COLUMNS_MAX.to_string();
    let further =
        overlay::row(&schema, &[("name", "max_index_keys".into()), ("setting", columns_max.as_str().into())])?;
    Ok((SETTINGS, overlay::table_of(schema, vec![of_library, further])?))
}

/// Puts what the engine has no form for in other words, wherever it stands.
fn put_otherwise(statement: &mut SqlStatement) {
    let _ = visit_expressions_mut(statement, |expression| {
        if let Some(call) = type_by_name(expression).or_else(|| array_of_nothing(expression)) {
            let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(&call);
            if let Ok(otherwise) = parsed.and_then(|mut parser| parser.parse_expr()) {
                *expression = otherwise;
            }
        }
        ControlFlow::<()>::Continue(())
    });
}

/// The name of a type where a question casts its number to a text, since the engine casts to the digits: `COLUMN::regtype::text` as a
/// call of `format_type`; none for anything else.
fn type_by_name(expression: &SqlExpr) -> Option<String> {
    let SqlExpr::Cast { expr: inner, data_type, .. } = expression else { return None };
    let SqlExpr::Cast { expr: column, data_type: number, .. } = inner.as_ref() else { return None };
    let is_column = matches!(column.as_ref(), SqlExpr::Identifier(_) | SqlExpr::CompoundIdentifier(_));
    let is_named = |data_type: &str, name: &str| {
        data_type.eq_ignore_ascii_case(name) || data_type.eq_ignore_ascii_case(&format!("pg_catalog.{name}"))
    };
    if !is_column || !is_named(&data_type.to_string(), "text") || !is_named(&number.to_string(), "regtype") {
        return None;
    }
    Some(format!("format_type({column}, -1)"))
}

/// An array of what a query finds in a table that holds nothing about what the order sees, as a call of [`NO_TEXTS`]; none for anything
/// else. The engine makes no arrays of queries.
fn array_of_nothing(expression: &SqlExpr) -> Option<String> {
    let SqlExpr::Function(call) = expression else { return None };
    let FunctionArguments::Subquery(query) = &call.args else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let TableWithJoins { relation: TableFactor::Table { name, .. }, joins } = select.from.first()? else { return None };
    let keeps_nothing = |join: &Join| matches!(join.join_operator, JoinOperator::Join(_) | JoinOperator::Inner(_));
    if !joins.iter().all(keeps_nothing) {
        return None;
    }
    let name = name.0.last()?.as_ident()?.value.to_ascii_lowercase();
    let condition = select.selection.as_ref().map(ToString::to_string).unwrap_or_default();
    let is_empty = EMPTY.iter().any(|(table, condition_part)| *table == name && condition.contains(condition_part));
    (is_empty && call.name.to_string().eq_ignore_ascii_case("array")).then(|| format!("{NO_TEXTS}()"))
}

/// The information schema as this door shows it.
fn views_of(table: &OrderTable) -> DataFusionResult<Vec<View>> {
    let columns = SchemaView::of_arrow(&table.schema).map(|schema| schema.columns).unwrap_or_default();
    let made = views(&ShownTable {
        catalogue: DATABASE,
        schema: SCHEMA,
        further_schemas: &["pg_catalog"],
        name: &table.name,
        columns: &columns,
        key: &table.key,
        meanings: &table.meanings,
    });
    made.map_err(|error| DataFusionError::External(Box::new(error)))
}

async fn plan(state: &SessionState, statement: SqlStatement) -> DataFusionResult<LogicalPlan> {
    let too_large = |_| DataFusionError::ResourcesExhausted("the size of a question to the catalogue".to_owned());
    allow::check_size(&statement).map_err(too_large)?;
    let plan = state.statement_to_plan(EngineStatement::Statement(Box::new(statement))).await?;
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    options.verify_plan(&plan)?;
    growth::check(&plan)?;
    allow::check_conditions(&plan).map_err(too_large)?;
    growth::bounded(plan)
}

/// What PostgreSQL's tables are made from: one database, its schemas, and the order's table.
#[derive(Clone, Debug)]
struct OneTable {
    table: String,
    schema: SchemaRef,
}

#[async_trait]
impl CatalogInfo for OneTable {
    async fn catalog_names(&self) -> DataFusionResult<Vec<String>> {
        Ok(vec![DATABASE.to_owned()])
    }

    async fn schema_names(&self, catalog: &str) -> DataFusionResult<Option<Vec<String>>> {
        let names = ["information_schema", "pg_catalog", SCHEMA];
        Ok((catalog == DATABASE).then(|| names.map(str::to_owned).to_vec()))
    }

    async fn table_names(&self, catalog: &str, schema: &str) -> DataFusionResult<Option<Vec<String>>> {
        Ok((catalog == DATABASE && schema == SCHEMA).then(|| vec![self.table.clone()]))
    }

    async fn table_schema(&self, _: &str, schema: &str, table: &str) -> DataFusionResult<Option<SchemaRef>> {
        Ok((schema == SCHEMA && table == self.table).then(|| Arc::clone(&self.schema)))
    }

    async fn table_type(&self, _: &str, schema: &str, table: &str) -> DataFusionResult<Option<TableType>> {
        Ok((schema == SCHEMA && table == self.table).then_some(TableType::Base))
    }
}

/// What went wrong, in words of ours. The log has the engine's, which are about the catalogue alone.
fn told(error: &DataFusionError) -> Refused {
    tracing::debug!(error = %error.strip_backtrace(), "a question to the catalogue was not answered");
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => too_much(),
        _ => not_understood(),
    }
}

fn not_understood() -> Refused {
    Refused::unsupported(
        "系统目录不支持该查询",
        "the catalogue does not answer this question; ask for less of pg_catalog or information_schema",
    )
}

fn too_much() -> Refused {
    Refused::malformed(
        "54000",
        "对系统目录的查询超出时间、行数或内存上限，请缩小查询；正则表达式须为常量",
        "the question to the catalogue takes too long, or its answer is too large; narrow it, and match constant patterns",
    )
}

fn fault(error: &DataFusionError) -> Refused {
    lingqu_app::AppError::Fault(format!("a catalogue can't be made: {}", error.strip_backtrace())).into()
}

#[cfg(test)]
mod tests;
