//! The memory of queries: one pool for all, of which each running query has a part that nobody else can take.
//!
//! Half of the pool is divided evenly among the places for running queries. The other half is lent to whoever needs more
//! than that, up to the query's own limit. So a large query is as large as the rest leaves room for, and then spills or
//! ends, while its neighbours go on with what is theirs. What is kept between queries is borrowed from there too, and never
//! more than half of it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::resources_datafusion_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// Of what is lent, the part that may be kept between queries: one in so many.
const KEPT_PART: usize = 2;

/// What DataFusion calls the part of a sort that merges what it spilled, ahead of the number of its partition.
const MERGE: &str = "ExternalSorterMerge";

/// What a sort keeps ready for its merge from the beginning on.
pub(crate) const MERGE_BYTES: usize = 1 << 20;

/// The memory of all queries.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    /// What each running query has for itself.
    own_max: usize,
    /// What is lent beyond that, together.
    lent_max: usize,
    lent: AtomicUsize,
    /// What is kept between queries; counted in `lent` too.
    kept: AtomicUsize,
    /// Queries of which an operator is still there.
    queries: AtomicUsize,
}

/// Memory for something that is kept between queries. Dropped, it is given back.
#[derive(Debug)]
pub struct KeptMemory {
    shared: Arc<SharedMemory>,
    bytes: usize,
}

impl Drop for KeptMemory {
    fn drop(&mut self) {
        self.shared.lent.fetch_sub(self.bytes, Ordering::SeqCst);
        self.shared.kept.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

impl SharedMemory {
    pub(crate) fn new(bytes_max: usize, queries_max: usize) -> Arc<SharedMemory> {
        let own_max = bytes_max / 2 / queries_max.max(1);
        let lent_max = bytes_max.saturating_sub(own_max.saturating_mul(queries_max));
        Arc::new(SharedMemory {
            own_max,
            lent_max,
            lent: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            queries: AtomicUsize::new(0),
        })
    }

    /// Memory to keep; none when there is not so much to lend, or when so much may not be kept.
    pub(crate) fn keep(self: &Arc<Self>, bytes: usize) -> Option<KeptMemory> {
        let may_keep = |kept: usize| kept.checked_add(bytes).filter(|kept| *kept <= self.lent_max / KEPT_PART);
        self.kept.fetch_update(Ordering::SeqCst, Ordering::SeqCst, may_keep).ok()?;
        if self.borrow(bytes) {
            return Some(KeptMemory { shared: Arc::clone(self), bytes });
        }
        self.kept.fetch_sub(bytes, Ordering::SeqCst);
        None
    }

    /// The memory of one query, which has at most `bytes_max`. Its operators take it as they come; with `evenly` those that
    /// can spill have equal parts of it, so that of many sorts none starves the others.
    pub(crate) fn of_query(self: &Arc<Self>, bytes_max: usize, evenly: bool) -> Arc<QueryMemory> {
        self.queries.fetch_add(1, Ordering::SeqCst);
        let parts = evenly.then(|| EvenParts::new(bytes_max));
        Arc::new(QueryMemory { shared: Arc::clone(self), bytes_max, parts, used: Mutex::new(0) })
    }

    /// Queries of which an operator is still there: each of them holds its query's memory.
    pub(crate) fn queries(&self) -> usize {
        self.queries.load(Ordering::SeqCst)
    }

    /// Borrows for a query; false when there is not so much.
    fn borrow(&self, bytes: usize) -> bool {
        let taken = |lent: usize| lent.checked_add(bytes).filter(|lent| *lent <= self.lent_max);
        self.lent.fetch_update(Ordering::SeqCst, Ordering::SeqCst, taken).is_ok()
    }
}

/// Equal parts for the operators of one query that can spill.
///
/// DataFusion's own parts count what can spill and leave the rest to whoever comes first. A sort that merges what it spilled counts
/// as the rest, and takes what it can get: more files at once are fewer passes. Of two sorts, one that merges early would leave the
/// other too little for a single batch. So a merge has a sort's part of the memory and no more; with less, it takes more passes.
#[derive(Debug)]
struct EvenParts {
    pool: FairSpillPool,
    bytes_max: usize,
    /// Sorts of which something is still there: each of them merges last.
    sorts: AtomicUsize,
}

impl EvenParts {
    fn new(bytes_max: usize) -> EvenParts {
        EvenParts { pool: FairSpillPool::new(bytes_max), bytes_max, sorts: AtomicUsize::new(0) }
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if is_merge(consumer) {
            self.sorts.fetch_add(1, Ordering::SeqCst);
        }
        self.pool.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if is_merge(consumer) {
            self.sorts.fetch_sub(1, Ordering::SeqCst);
        }
        self.pool.unregister(consumer);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DataFusionResult<()> {
        if is_merge(reservation.consumer()) {
            let part = self.bytes_max / self.sorts.load(Ordering::SeqCst).max(1);
            if reservation.size().saturating_add(additional) > part.max(MERGE_BYTES) {
                return Err(resources_datafusion_err!("a sort's part of a query's memory"));
            }
        }
        self.pool.try_grow(reservation, additional)
    }
}

fn is_merge(consumer: &MemoryConsumer) -> bool {
    consumer.name().starts_with(MERGE)
}

/// The memory of one query.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    shared: Arc<SharedMemory>,
    bytes_max: usize,
    parts: Option<EvenParts>,
    used: Mutex<usize>,
}

impl Drop for QueryMemory {
    fn drop(&mut self) {
        self.shared.queries.fetch_sub(1, Ordering::SeqCst);
    }
}

impl QueryMemory {
    fn borrowed(&self, used: usize) -> usize {
        used.saturating_sub(self.shared.own_max)
    }

    /// Sets what is used. False, and nothing is changed, when it may not be so much; `must` overrules that.
    fn set(&self, used: &mut usize, wanted: usize, must: bool) -> bool {
        let (before, after) = (self.borrowed(*used), self.borrowed(wanted));
        if after > before {
            let is_within = wanted <= self.bytes_max && self.shared.borrow(after - before);
            if !is_within && !must {
                return false;
            }
            if !is_within {
                self.shared.lent.fetch_add(after - before, Ordering::SeqCst);
            }
        } else {
            if wanted > self.bytes_max && wanted > *used && !must {
                return false;
            }
            self.shared.lent.fetch_sub(before - after, Ordering::SeqCst);
        }
        *used = wanted;
        true
    }
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if let Some(parts) = &self.parts {
            parts.register(consumer);
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if let Some(parts) = &self.parts {
            parts.unregister(consumer);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        if let Some(parts) = &self.parts {
            parts.pool.grow(reservation, additional);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = used.saturating_add(additional);
        self.set(&mut used, wanted, true);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        if let Some(parts) = &self.parts {
            parts.pool.shrink(reservation, shrink);
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = used.saturating_sub(shrink);
        self.set(&mut used, wanted, true);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DataFusionResult<()> {
        if let Some(parts) = &self.parts {
            parts.try_grow(reservation, additional)?;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = used.saturating_add(additional);
        if self.set(&mut used, wanted, false) {
            return Ok(());
        }
        if let Some(parts) = &self.parts {
            parts.pool.shrink(reservation, additional);
        }
        Err(resources_datafusion_err!("a query's memory"))
    }

    fn reserved(&self) -> usize {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes_max)
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "query(used: {}, limit: {})", self.reserved(), self.bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
    use datafusion::physical_plan::ExecutionPlan;
    use datafusion::physical_plan::expressions::col;
    use datafusion::physical_plan::sorts::sort::SortExec;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use futures::TryStreamExt;
    use proptest::prelude::*;

    use super::*;

    fn reservation(memory: &Arc<QueryMemory>) -> MemoryReservation {
        let pool: Arc<dyn MemoryPool> = Arc::clone(memory) as Arc<dyn MemoryPool>;
        MemoryConsumer::new("test").register(&pool)
    }

    #[test]
    fn a_greedy_query_leaves_its_neighbours_what_is_theirs() {
        // 100 for each of four, 400 to lend.
        let shared = SharedMemory::new(800, 4);
        let queries: Vec<_> = (0..4).map(|_| shared.of_query(10_000, false)).collect();
        let greedy = reservation(&queries[0]);
        greedy.try_grow(500).expect("its own and all that is lent");
        assert!(greedy.try_grow(1).is_err());
        for neighbour in &queries[1..] {
            let reservation = reservation(neighbour);
            reservation.try_grow(100).expect("what is its own");
            assert!(reservation.try_grow(1).is_err(), "nothing is left to lend");
            drop(reservation);
        }
        let neighbour = reservation(&queries[1]);
        greedy.shrink(300);
        neighbour.try_grow(400).expect("what came back is lent again");
        drop((greedy, neighbour));
        assert_eq!(shared.lent.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn what_is_kept_is_borrowed_and_leaves_queries_their_part() {
        // 400 to lend, of which 200 may be kept.
        let shared = SharedMemory::new(800, 4);
        let kept = shared.keep(150).expect("there is room");
        assert!(shared.keep(51).is_none());
        let query = reservation(&shared.of_query(10_000, false));
        query.try_grow(350).expect("its own and what is left to lend");
        assert!(query.try_grow(1).is_err());
        assert!(shared.keep(1).is_none(), "nothing is left to lend");
        drop(kept);
        query.try_grow(150).expect("what was kept");
        drop(query);
        assert!(shared.keep(200).is_some());
        assert_eq!((shared.lent.load(Ordering::SeqCst), shared.kept.load(Ordering::SeqCst)), (0, 0));
    }

    proptest! {
        /// Whatever queries take and give back, in the end nothing is lost and nothing was made up.
        #[test]
        fn memory_is_conserved(steps in proptest::collection::vec((0_usize..4, 0_usize..300, 0_u8..3), 1..200)) {
            let shared = SharedMemory::new(800, 4);
            let queries = [false, true, false, true].map(|evenly| shared.of_query(350, evenly));
            let reservations = queries.each_ref().map(reservation);
            for (query, bytes, step) in steps {
                let taken = &reservations[query];
                match step {
                    0 => drop(taken.try_grow(bytes)),
                    1 => taken.shrink(bytes.min(taken.size())),
                    _ => taken.grow(bytes / 16),
                }
                let beyond: usize = queries.iter().map(|query| query.reserved().saturating_sub(100)).sum();
                prop_assert_eq!(shared.lent.load(Ordering::SeqCst), beyond);
            }
            drop(reservations);
            prop_assert_eq!(shared.lent.load(Ordering::SeqCst), 0);
        }
    }

    #[test]
    fn a_query_s_own_limit_holds_below_and_above_its_part() {
        let shared = SharedMemory::new(800, 4);
        for limit in [50, 250] {
            let memory = shared.of_query(limit, false);
            let reservation = reservation(&memory);
            reservation.try_grow(limit).expect("up to its limit");
            assert!(reservation.try_grow(1).is_err(), "{limit}");
            // What must be is counted, and paid back.
            reservation.grow(1_000);
            assert!(reservation.try_grow(1).is_err());
            drop(reservation);
            assert_eq!((memory.reserved(), shared.lent.load(Ordering::SeqCst)), (0, 0));
        }
    }

    const BATCH_ROWS: usize = 1_024;

    /// Rows for a sort by `id`, in so many batches of 130 kB.
    fn unsorted(batches: usize) -> Vec<RecordBatch> {
        let batch = |number: usize| {
            let ids = (0..BATCH_ROWS).map(|row| ((number * BATCH_ROWS + row) * 7_919 % 150_001) as i64);
            let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
            let texts: ArrayRef =
                Arc::new(StringArray::from_iter_values((0..BATCH_ROWS).map(|row| format!("{row:0>120}"))));
            RecordBatch::try_from_iter([("id", ids), ("text", texts)]).expect("a batch")
        };
        (0..batches).map(batch).collect()
    }

    /// A sort that merges keeps its memory until its last row is read. Here the other sort of the plan begins when the first merges
    /// already, in one pass after another: of so many sizes, some leave files for a last pass that would take all there is.
    #[tokio::test]
    async fn a_sort_that_merges_leaves_a_later_one_its_part() {
        for early_batches in (20..=48).step_by(4) {
            let memory = SharedMemory::new(64 << 20, 1).of_query(4 << 20, true);
            let runtime =
                RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&memory) as Arc<dyn MemoryPool>).build_arc();
            let config =
                SessionConfig::new().with_batch_size(BATCH_ROWS).with_sort_spill_reservation_bytes(MERGE_BYTES);
            let context = SessionContext::new_with_config_rt(config, runtime.expect("a runtime"));
            let partitions = [unsorted(early_batches), unsorted(32)];
            let schema = partitions[0][0].schema();
            let source = MemorySourceConfig::try_new_exec(&partitions, Arc::clone(&schema), None).expect("a source");
            let by_id = PhysicalSortExpr::new_default(col("id", &schema).expect("a column"));
            let by_id = LexOrdering::new([by_id]).expect("an order");
            let sorted = SortExec::new(by_id, source).with_preserve_partitioning(true);
            let mut early = sorted.execute(0, context.task_ctx()).expect("starts");
            let late = sorted.execute(1, context.task_ctx()).expect("starts");
            let first = early.try_next().await.expect("merges").expect("a batch").num_rows();
            let later: Result<Vec<RecordBatch>, _> = late.try_collect().await;
            let later = later.unwrap_or_else(|error| panic!("after {early_batches} batches, {memory}: {error}"));
            assert_eq!(later.iter().map(RecordBatch::num_rows).sum::<usize>(), 32 * BATCH_ROWS);
            let rest: Vec<RecordBatch> = early.try_collect().await.expect("the rest");
            assert_eq!(first + rest.iter().map(RecordBatch::num_rows).sum::<usize>(), early_batches * BATCH_ROWS);
            assert_eq!(memory.reserved(), 0, "all is given back");
        }
    }
}
