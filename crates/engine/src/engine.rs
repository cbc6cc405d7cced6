//! The engine's runtime: memory, spill space and the session states that queries are planned in.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::catalog::TableProvider;
use datafusion::common::not_impl_datafusion_err;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::TaskContext;
use datafusion::execution::context::SessionContext;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::AggregateUDF;
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::BATCH_ROWS;
use crate::allow;
use crate::execution::EngineError;
use crate::joins;
use crate::memory::{KeptMemory, MERGE_BYTES, QueryMemory, SharedMemory};
use crate::rows_left::RowsLeft;
use crate::rules::{self, FallibleKeys};
use crate::sum;

/// The address under which the engine's own scans reach the local disk. Statements have no way to name it.
pub(crate) const LOCAL_STORE_URL: &str = "lingqu://local";
/// The one catalogue of every session.
pub const CATALOG: &str = "lingqu";
/// The one schema of every session.
pub const SCHEMA: &str = "data";

/// Most bytes on disk for sorting the rows of a product while it is made. A query's share of the space for spilling is far too
/// small for one of ten million rows; a node makes one at a time.
const MAKING_SPILL_BYTES_MAX: u64 = 64 << 30;
/// How long a query waits for its place among those that run, by moderate settings.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// A query that may take longer, as a file whose client is slow does, is a long one.
const SHORT_TIME_MAX: Duration = Duration::from_secs(60);
/// Of the places for running queries, those that long ones leave to the others: one in so many.
const SHORT_PART: usize = 4;

/// How far the threads of queries stand back, as `nice` has it: beside one that serves requests they get a tenth of a processor, and all
/// of it when nobody else wants it. At 0 a node verified a quarter of what it does alone beside a question without an end, at 5 half.
const QUERY_NICENESS: i32 = 10;
/// The most that the system knows.
const NICENESS_MAX: i32 = 19;

/// How long a query may take at most: longer than any limit that a door sets.
const TIME_MAX: Duration = Duration::from_secs(3600);

/// What the engine may use of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Where large sorts and aggregations spill; made readable for the owner alone. Its contents do not outlive the
    /// process.
    pub spill_directory: PathBuf,
    /// Most bytes on disk for spilling, shared out evenly among the queries that run.
    pub spill_bytes_max: u64,
    /// Bytes of memory for the operators of all queries together.
    pub memory_bytes_max: usize,
    /// Most queries that run at one time; others wait. Three quarters of them may be such as can take longer than a minute.
    pub queries_max: usize,
    /// Most queries that run or wait; beyond them a query is refused at once.
    pub admitted_max: usize,
    /// How long a query waits for its place among those that run; then it is refused.
    pub wait_max: Duration,
    /// Longest time of a query once it has its place, whatever its own limit.
    pub time_max: Duration,
    /// Threads that queries compute on, and the most that one of them may use.
    pub partitions: usize,
}

impl EngineSettings {
    /// Moderate settings with a given spill directory: 4 GiB on disk and 1 GiB of memory, four queries a core (16 to 64) of 200
    /// that are admitted, half a minute of waiting, an hour of answering, as many partitions as cores (at most 8).
    pub fn moderate(spill_directory: PathBuf) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            spill_directory,
            spill_bytes_max: 4 << 30,
            memory_bytes_max: 1 << 30,
            queries_max: (4 * cores).clamp(16, 64),
            admitted_max: 200,
            wait_max: WAIT_MAX,
            time_max: TIME_MAX,
            partitions: cores.min(8),
        }
    }
}

/// The engine: one per process.
pub struct Engine {
    runtime: Arc<RuntimeEnv>,
    partitions: usize,
    memory: Arc<SharedMemory>,
    spill_directory: PathBuf,
    /// Of one query.
    spill_bytes_max: u64,
    queries_max: usize,
    wait_max: Duration,
    time_max: Duration,
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
    /// Those of the running ones that long queries may have.
    long: Arc<Semaphore>,
    /// Queries compute here, behind the threads that serve requests, so that a heavy one never holds these up. There until
    /// the engine is dropped.
    threads: Option<Runtime>,
}

impl Engine {
    /// Starts the engine. Errors: [`EngineError::Settings`] when the spill directory can't be made.
    pub fn new(settings: &EngineSettings) -> Result<Engine, EngineError> {
        let settings_error = |reason: String| EngineError::Settings { reason };
        std::fs::create_dir_all(&settings.spill_directory).map_err(|error| {
            let directory = settings.spill_directory.display();
            settings_error(format!(
                "the spill directory {directory} can't be made ({error}); name one that can be written"
            ))
        })?;
        restrict_to_owner(&settings.spill_directory)?;
        if settings.queries_max == 0 || settings.partitions == 0 || settings.admitted_max < settings.queries_max {
            let reason = "queries_max and partitions must be at least 1, and admitted_max at least queries_max";
            return Err(settings_error(reason.to_owned()));
        }
        let runtime = RuntimeEnvBuilder::new()
            .with_temp_file_path(&settings.spill_directory)
            .with_max_temp_directory_size(settings.spill_bytes_max)
            .with_object_store_registry(Arc::new(LocalOnly { store: Arc::new(LocalFileSystem::new()) }))
            .build_arc()
            .map_err(|error| settings_error(error.strip_backtrace()))?;
        let niceness = niceness_of_queries();
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.partitions)
            .thread_name("lingqu-query")
            .on_thread_start(move || stand_back(niceness))
            .enable_all()
            .build()
            .map_err(|error| {
                settings_error(format!("threads for queries can't be started ({error}); lower partitions"))
            })?;
        let running = Arc::new(Semaphore::new(settings.queries_max));
        let long = Arc::new(Semaphore::new(settings.queries_max - settings.queries_max / SHORT_PART));
        Ok(Engine {
            runtime,
            partitions: settings.partitions,
            memory: SharedMemory::new(settings.memory_bytes_max, settings.queries_max),
            spill_directory: settings.spill_directory.clone(),
            spill_bytes_max: settings.spill_bytes_max / settings.queries_max as u64,
            queries_max: settings.queries_max,
            wait_max: settings.wait_max,
            time_max: settings.time_max,
            admitted: Arc::new(Semaphore::new(settings.admitted_max)),
            running,
            long,
            threads: Some(threads),
        })
    }

    /// Longest time of a query.
    pub(crate) fn time_max(&self) -> Duration {
        self.time_max
    }

    /// Waits for a place among the running queries; a query's own time begins when it has one. Errors: [`EngineError::Busy`]
    /// after [`EngineSettings::wait_max`], and at once when too many wait already.
    pub(crate) async fn place(&self) -> Result<Place, EngineError> {
        self.place_within(SHORT_TIME_MAX).await
    }

    /// The same for a query by its limit of time: long ones leave some of the places to the others, so that a few slow clients can't
    /// keep everybody waiting.
    pub(crate) async fn place_within(&self, time_max: Duration) -> Result<Place, EngineError> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| EngineError::Busy)?;
        let taken = async {
            let long =
                if time_max > SHORT_TIME_MAX { Some(Arc::clone(&self.long).acquire_owned().await?) } else { None };
            let running = Arc::clone(&self.running).acquire_owned().await?;
            Ok::<_, AcquireError>((running, long))
        };
        match tokio::time::timeout(self.wait_max, taken).await {
            Ok(Ok((running, long))) => Ok(Place { _running: running, _long: long, _admitted: admitted }),
            _ => Err(EngineError::Busy),
        }
    }

    /// Memory for something that is kept between queries, out of what queries have together. None when there is not so much.
    pub fn keep_memory(&self, bytes: usize) -> Option<KeptMemory> {
        self.memory.keep(bytes)
    }

    /// Queries of which an operator is still there. A query that nobody waits for any more is one until it has stopped.
    pub fn unfinished(&self) -> usize {
        self.memory.queries()
    }

    /// How many queries run now.
    pub fn running(&self) -> usize {
        self.queries_max - self.running.available_permits()
    }

    /// A session state that knows the allowed functions and nothing else: no tables, files, formats, factories.
    pub(crate) fn governed_state(&self, partitions: usize) -> SessionState {
        let scalar = SessionStateDefaults::default_scalar_functions();
        let scalar = scalar.into_iter().filter(|function| allow::is_scalar_allowed(function.name())).collect();
        let aggregate = aggregate_functions();
        let aggregate = aggregate.into_iter().filter(|function| allow::is_aggregate_allowed(function.name())).collect();
        let window = SessionStateDefaults::default_window_functions();
        let window = window.into_iter().filter(|function| allow::is_window_allowed(function.name())).collect();
        SessionStateBuilder::new()
            .with_config(config(partitions.min(self.partitions)))
            .with_runtime_env(Arc::clone(&self.runtime))
            .with_expr_planners(SessionStateDefaults::default_expr_planners())
            .with_scalar_functions(scalar)
            .with_aggregate_functions(aggregate)
            .with_window_functions(window)
            .with_analyzer_rules(rules::analyzer_rules())
            .with_optimizer_rules(rules::logical_rules(FallibleKeys::Early))
            .with_physical_optimizer_rules(joins::physical_rules())
            .build()
    }

    /// A session state with all functions, for trusted code.
    pub(crate) fn trusted_state(&self) -> SessionState {
        SessionStateBuilder::new()
            .with_config(config(self.partitions))
            .with_runtime_env(Arc::clone(&self.runtime))
            .with_expr_planners(SessionStateDefaults::default_expr_planners())
            .with_scalar_functions(SessionStateDefaults::default_scalar_functions())
            .with_aggregate_functions(aggregate_functions())
            .with_window_functions(SessionStateDefaults::default_window_functions())
            .with_analyzer_rules(rules::analyzer_rules())
            .build()
    }

    /// What a plan is executed in: memory and space for spilling of its own, and the record of the rows that leave governed
    /// tables.
    pub(crate) fn task(
        &self,
        state: &SessionState,
        memory_bytes: usize,
        left: &RowsLeft,
    ) -> Result<Arc<TaskContext>, EngineError> {
        // A plan whose joins sort has many operators that can spill.
        let evenly = !state.config().options().optimizer.prefer_hash_join;
        self.task_within(state, self.memory.of_query(memory_bytes, evenly), self.spill_bytes_max, left)
    }

    /// The same for the making of a product: no row leaves, and it has the space that sorting it takes. Its sorts, one for each
    /// partition, have equal parts of the memory: of two that take it as they come, one may leave the other nothing to begin with.
    pub(crate) fn making_task(
        &self,
        state: &SessionState,
        memory_bytes: usize,
    ) -> Result<Arc<TaskContext>, EngineError> {
        let memory = self.memory.of_query(memory_bytes, true);
        self.task_within(state, memory, MAKING_SPILL_BYTES_MAX, &RowsLeft::unread())
    }

    fn task_within(
        &self,
        state: &SessionState,
        memory: Arc<QueryMemory>,
        spill_bytes: u64,
        left: &RowsLeft,
    ) -> Result<Arc<TaskContext>, EngineError> {
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.runtime)
            .with_memory_pool(memory)
            .with_disk_manager_builder(
                DiskManagerBuilder::default()
                    .with_mode(DiskManagerMode::Directories(vec![self.spill_directory.clone()]))
                    .with_max_temp_directory_size(spill_bytes),
            )
            .build_arc()
            .map_err(|error| EngineError::Settings { reason: error.strip_backtrace() })?;
        let config = state.config().clone().with_extension(Arc::new(left.clone()));
        Ok(Arc::new(TaskContext::default().with_session_config(config).with_runtime(runtime)))
    }

    /// Where queries compute.
    pub(crate) fn threads(&self) -> &Handle {
        self.threads.as_ref().expect("the threads are there until the engine is dropped").handle()
    }

    /// The most partitions of a plan.
    pub(crate) fn partitions(&self) -> usize {
        self.partitions
    }
}

/// DataFusion's aggregate functions, with a sum of whole numbers that does not wrap around.
fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    let sum = sum::function();
    let mut functions = SessionStateDefaults::default_aggregate_functions();
    functions.retain(|function| function.name() != sum.name());
    functions.push(sum);
    functions
}

/// What the threads of queries have, by what whoever starts the engine has. A thread inherits from the one that starts it, so it can't
/// be added to what that one has. None where niceness is the whole process's, as it is but on Linux.
fn niceness_of_queries() -> Option<i32> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let own = rustix::process::getpriority_process(None).ok()?;
    Some((own + QUERY_NICENESS).min(NICENESS_MAX))
}

/// Lets the other threads of the process go first where there is too little of the processors for all.
fn stand_back(niceness: Option<i32>) {
    let Some(niceness) = niceness else { return };
    if let Err(error) = rustix::process::setpriority_process(None, niceness) {
        tracing::debug!(%error, "a thread of queries can't stand back; it takes what there is");
    }
}

/// A query's place among those that run. Dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Place {
    _running: OwnedSemaphorePermit,
    _long: Option<OwnedSemaphorePermit>,
    _admitted: OwnedSemaphorePermit,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Waiting for the threads would block, which a drop inside asynchronous code must not.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Engine").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

/// Registers a table in a state's only schema.
pub(crate) fn register(state: &SessionState, name: &str, table: Arc<dyn TableProvider>) -> DataFusionResult<()> {
    let context = SessionContext::new_with_state(state.clone());
    context.register_table(datafusion::common::TableReference::bare(name), table)?;
    Ok(())
}

fn config(partitions: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(BATCH_ROWS)
        .with_information_schema(false)
        .with_create_default_catalog_and_schema(true)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_collect_statistics(false);
    let options = config.options_mut();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.parquet.schema_force_view_types = false;
    // The footers of files that never change are worth keeping; what a predicate reads is not.
    options.execution.parquet.pushdown_filters = false;
    // Conditions made while a query runs: only what joins learn of their keys is of use for governed tables, and the barrier
    // looks at each. The switch for all of them does not reach the single ones when it is set here.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = true;
    // DataFusion (55.2) takes too few rows for windows below a LIMIT, where one window is of another one's values or `lag` looks
    // ahead, and takes a column for the group or the MIN or MAX whose name it has, of which it then keeps the first alone.
    options.optimizer.enable_window_limits = false;
    options.optimizer.enable_topk_aggregation = false;
    // Many small memory pools: the default of 10 MiB a partition would fail sorts in them.
    options.execution.sort_spill_reservation_bytes = MERGE_BYTES;
    config
}

#[cfg(unix)]
fn restrict_to_owner(directory: &std::path::Path) -> Result<(), EngineError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).map_err(|error| EngineError::Settings {
        reason: format!("the spill directory {} can't be closed to others ({error})", directory.display()),
    })
}

#[cfg(not(unix))]
fn restrict_to_owner(_directory: &std::path::Path) -> Result<(), EngineError> {
    Ok(())
}

/// A registry of one store that only the engine's own scans name. There is no `file://` in it, and nothing can be
/// added.
#[derive(Debug)]
struct LocalOnly {
    store: Arc<dyn ObjectStore>,
}

impl ObjectStoreRegistry for LocalOnly {
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        if url.scheme() == "lingqu" && url.host_str() == Some("local") {
            Ok(Arc::clone(&self.store))
        } else {
            let error: DataFusionError = not_impl_datafusion_err!("no such store");
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::MemoryConsumer;

    use super::*;

    /// Of the sorts of a product that is being made none can leave another without memory.
    #[tokio::test]
    async fn sorts_of_a_product_have_equal_parts_of_its_memory() {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
        let task = engine.making_task(&engine.trusted_state(), 1_000).expect("a task");
        let sorts = [0, 1].map(|partition| {
            MemoryConsumer::new(format!("sort {partition}")).with_can_spill(true).register(task.memory_pool())
        });
        sorts[0].try_grow(500).expect("its half");
        assert!(sorts[0].try_grow(1).is_err(), "the other half is the other's");
        sorts[1].try_grow(500).expect("its half");
    }

    /// A query that computes without an end leaves the processor to those who ask for little.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn threads_of_queries_stand_back_and_no_others() {
        let own = || rustix::process::getpriority_process(None).expect("a thread knows its niceness");
        let before = own();
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
        let of_queries = engine.threads().spawn(async move { own() }).await.expect("it runs");
        let helping = engine.threads().spawn(async move { tokio::task::spawn_blocking(own).await });
        let of_their_helpers = helping.await.expect("it runs").expect("it runs");
        let expected = (before + QUERY_NICENESS).min(NICENESS_MAX);
        assert_eq!((of_queries, of_their_helpers, own()), (expected, expected, before));
    }
}
