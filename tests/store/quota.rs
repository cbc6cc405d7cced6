//! Quota accounts are never exceeded, and what a dead process had leased comes back.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use lingqu_store::quota::{CHUNK_MAX, DeadProcess, Debit, Quota, QuotaError};
use lingqu_store::{Backend, Store};
use lingqu_tests::{StoreFactory, both};
use sea_orm::{ConnectionTrait, Statement};

fn debit(account: &str, limit: u64, amount: u64) -> Debit {
    Debit { account: account.into(), limit, amount, chunk_max: CHUNK_MAX }
}

/// Makes all processes such as earlier versions registered: ones that their receipts do not name.
async fn of_an_earlier_version(factory: &StoreFactory) {
    let sql = "UPDATE quota_process SET receipts_before = NULL";
    factory.raw().await.execute_unprepared(sql).await.unwrap();
}

/// Used and leased of the only account.
async fn used_and_leased(store: &Store) -> (u64, u64) {
    let accounts = store.snapshot().await.unwrap().quota_accounts(None).await.unwrap();
    assert_eq!(accounts.len(), 1, "{accounts:?}");
    (accounts[0].used, accounts[0].leased)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_processes_never_exceed_a_limit() {
    const LIMIT: u64 = 400;
    both(async |factory: StoreFactory| {
        let spent = Arc::new(AtomicU64::new(0));
        let mut processes = Vec::new();
        for process in 0..8u64 {
            let store = factory.open().await;
            let spent = spent.clone();
            processes.push(tokio::spawn(async move {
                let quota = Quota::register(&store, false).await.unwrap();
                for use_number in 0..200 {
                    let amount = 1 + (process + use_number) % 3;
                    match quota.spend(&[debit("ord_1/2026-03", LIMIT, amount)]).await {
                        Ok(_) => {
                            let before = spent.fetch_add(amount, Ordering::SeqCst);
                            assert!(before + amount <= LIMIT, "the quota was exceeded");
                        }
                        Err(QuotaError::Exhausted { account, limit }) => {
                            assert_eq!((account.as_str(), limit), ("ord_1/2026-03", LIMIT))
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
                quota.give_back().await.unwrap();
            }));
        }
        for process in processes {
            process.await.unwrap();
        }
        // All leases are back, so a last process can spend exactly the rest.
        let spent = spent.load(Ordering::SeqCst);
        let store = factory.open().await;
        let quota = Quota::register(&store, false).await.unwrap();
        assert!(spent >= LIMIT / 2, "only {spent} of {LIMIT} were spent");
        quota.spend(&[debit("ord_1/2026-03", LIMIT, LIMIT - spent)]).await.unwrap();
        assert!(matches!(quota.spend(&[debit("ord_1/2026-03", LIMIT, 1)]).await, Err(QuotaError::Exhausted { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_refused_use_debits_no_account() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let quota = Quota::register(&store, true).await.unwrap();
        let both_accounts = |amount| [debit("mdt_1", 100, amount), debit("ord_1", 10, amount)];
        quota.spend(&both_accounts(6)).await.unwrap();
        match quota.spend(&both_accounts(6)).await {
            Err(QuotaError::Exhausted { account, limit: 10 }) => assert_eq!(account, "ord_1"),
            other => panic!("{other:?}"),
        }
        quota.spend(&[debit("mdt_1", 100, 94)]).await.unwrap();
        quota.refund(&quota.process(), &[debit("mdt_1", 100, 94)]).await;
        // A limit that is lowered holds from the next use on.
        assert!(quota.spend(&[debit("mdt_1", 10, 5)]).await.is_err());
        quota.spend(&[debit("mdt_1", 10, 4)]).await.unwrap();
    })
    .await;
}

/// Far more than a use needs.
const WAITS_MAX: usize = 1_000;

/// Waits for something so many times and no longer.
async fn waited<T>(future: impl Future<Output = T>, waits: usize) -> Option<T> {
    let (mut future, mut left) = (pin!(future), waits);
    let told = poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(told) => Poll::Ready(Some(told)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    });
    told.await
}

/// What was given back as used is counted once, also where it is not known whether the giving back succeeded; and so is what was
/// taken back after it.
#[tokio::test]
async fn a_giving_back_that_nobody_waits_for_is_counted_once() {
    const DONE: usize = 3;
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let quota = Quota::register(&store, false).await.unwrap();
        let calls = |amount| [debit("ord_1", 100_000, amount)];
        let (mut used, mut done) = (0, 0);
        for waits in 0..WAITS_MAX {
            let process = quota.spend(&calls(5)).await.unwrap();
            // Of a lease, and of one that holds nothing any more.
            for taken_back in [1, 2] {
                done += usize::from(waited(quota.give_back(), waits).await.is_some());
                quota.refund(&process, &calls(taken_back)).await;
            }
            done += usize::from(waited(quota.give_back(), waits).await.is_some());
            quota.give_back().await.unwrap();
            used += 2;
            assert_eq!(used_and_leased(&store).await, (used, 0), "after {waits} waits");
            if done >= 3 * DONE {
                return;
            }
        }
        panic!("a giving back was waited for to the end {done} times");
    })
    .await;
}

/// What was taken back after its lease had been given back, because the limit changed, is in no account when the process dies then: the
/// next start finds it.
#[tokio::test]
async fn what_a_dead_process_took_back_of_a_lease_that_it_had_given_back_is_found() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let quota = Quota::register(&store, true).await.unwrap();
        let process = quota.spend(&[debit("ord_1", 100, 5)]).await.unwrap();
        // Nothing is free under the new limit, so nothing is leased again.
        assert!(matches!(quota.spend(&[debit("ord_1", 5, 1)]).await, Err(QuotaError::Exhausted { .. })));
        assert_eq!(used_and_leased(&store).await, (5, 0));
        quota.refund(&process, &[debit("ord_1", 5, 3)]).await;
        drop(quota);
        of_an_earlier_version(&factory).await;
        let next = Quota::register(&store, true).await.unwrap();
        assert_eq!(next.dead_accounts().await.unwrap(), ["ord_1"]);
        next.reconcile("ord_1", 2, true).await.unwrap();
        assert_eq!(used_and_leased(&store).await, (2, 0));
        assert!(next.dead_accounts().await.unwrap().is_empty());
        // A process that ends in order leaves nothing to look at.
        next.spend(&[debit("ord_1", 5, 1)]).await.unwrap();
        next.give_back().await.unwrap();
        drop(next);
        of_an_earlier_version(&factory).await;
        let last = Quota::register(&store, true).await.unwrap();
        assert_eq!(used_and_leased(&store).await, (3, 0));
        if store.backend() == Backend::Sqlite {
            assert!(last.dead_accounts().await.unwrap().is_empty());
        }
    })
    .await;
}

/// A use says under which name it was debited: this process may have got another one just then, and by the one that it had nothing
/// is taken back.
#[tokio::test]
async fn a_use_is_taken_back_by_the_name_that_it_was_debited_under() {
    const ROUNDS: usize = 20;
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let quota = Quota::register(&store, true).await.unwrap();
        let raw = factory.raw().await;
        let name = quota.process();
        // At which wait it falls between the two depends on the machine, so all are tried, and more than once.
        for round in 0..ROUNDS * WAITS_MAX {
            let waits = round % WAITS_MAX;
            let seen_at = |at: &str| format!("UPDATE quota_process SET seen_at_unix = {at} WHERE process = '{name}'");
            raw.execute_unprepared(&seen_at("0")).await.unwrap();
            // What becomes of a lease that nobody waits for is not known, so this process shows itself before the next.
            drop(waited(quota.spend(&[debit(&format!("ord_{round}/other"), 100, 1)]), waits).await);
            let process = quota.spend(&[debit("ord_1/calls", 100, 4)]).await.unwrap();
            quota.refund(&process, &[debit("ord_1/calls", 100, 4)]).await;
            if process != name {
                assert_eq!(process, quota.process());
                quota.give_back().await.unwrap();
                let accounts = store.snapshot().await.unwrap().quota_accounts(None).await.unwrap();
                let calls = accounts.iter().find(|account| account.account == "ord_1/calls").unwrap();
                assert_eq!(calls.used, 0, "{calls:?}");
                return;
            }
            raw.execute_unprepared(&seen_at("4000000000")).await.unwrap();
        }
        panic!("it was never taken for dead");
    })
    .await;
}

/// Whoever stops waiting for a use, wherever it stands, has debited none of its accounts.
#[tokio::test]
async fn a_use_that_nobody_waits_for_debits_no_account() {
    const DONE: u64 = 3;
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let quota = Quota::register(&store, true).await.unwrap();
        let debits = [debit("ord_1/calls", 1_000, 5), debit("pmt_1/calls", 1_000, 5)];
        let mut done = 0;
        for waits in 0..WAITS_MAX {
            if let Some(told) = waited(quota.spend(&debits), waits).await {
                told.unwrap();
                done += 1;
            }
            // The next one has to lease again.
            quota.give_back().await.unwrap();
            for held in store.snapshot().await.unwrap().quota_accounts(None).await.unwrap() {
                assert_eq!((held.used, held.leased), (5 * done, 0), "{} after {waits} waits", held.account);
            }
            if done == DONE {
                return;
            }
        }
        panic!("{done} uses were waited for to the end");
    })
    .await;
}

#[tokio::test]
async fn leases_of_the_dead_come_back_with_their_true_use() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let dead = Quota::register(&store, true).await.unwrap();
        assert_eq!(dead.lease("ord_1", 100, 80).await.unwrap(), 80);
        dead.spend(&[debit("ord_1", 100, 30)]).await.unwrap();
        drop(dead);

        // Another process that is not alone must wait: the lease may still be spent.
        let careful = Quota::register(&store, false).await.unwrap();
        assert_eq!(careful.dead_accounts().await.unwrap(), Vec::<String>::new());
        assert!(careful.spend(&[debit("ord_1", 100, 21)]).await.is_err());
        careful.spend(&[debit("ord_1", 100, 5)]).await.unwrap();

        // One that holds the node's lock need not.
        of_an_earlier_version(&factory).await;
        let next = Quota::register(&store, true).await.unwrap();
        assert_eq!(next.dead_accounts().await.unwrap(), ["ord_1"]);
        next.reconcile("ord_1", 35, true).await.unwrap();
        assert_eq!(next.dead_accounts().await.unwrap(), Vec::<String>::new());
        next.spend(&[debit("ord_1", 100, 65)]).await.unwrap();
        assert!(matches!(next.spend(&[debit("ord_1", 100, 1)]).await, Err(QuotaError::Exhausted { .. })));
    })
    .await;
}

/// What receipts don't tell whole is charged as far as it was leased: too much rather than too little.
#[tokio::test]
async fn what_is_not_known_of_the_dead_is_charged_whole() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let rows = |amount| Debit { chunk_max: 40, ..debit("ord_1/rows", 1_000, amount) };
        let dead = Quota::register(&store, true).await.unwrap();
        dead.spend(&[rows(100)]).await.unwrap();
        dead.spend(&[rows(1)]).await.unwrap();
        drop(dead);
        of_an_earlier_version(&factory).await;
        let next = Quota::register(&store, true).await.unwrap();
        let leased = store.snapshot().await.unwrap().quota_accounts(None).await.unwrap()[0].leased;
        assert!((101..=141).contains(&leased), "{leased}");
        // The receipts name 60 of them; the rest may have left or not.
        next.reconcile("ord_1/rows", 60, false).await.unwrap();
        let account = store.snapshot().await.unwrap().quota_accounts(None).await.unwrap().remove(0);
        assert_eq!((account.used, account.leased), (leased, 0));
        // A second time nothing is charged again.
        next.reconcile("ord_1/rows", 60, false).await.unwrap();
        next.spend(&[rows(1_000 - leased)]).await.unwrap();
        assert!(matches!(next.spend(&[rows(1)]).await, Err(QuotaError::Exhausted { .. })));
    })
    .await;
}

#[tokio::test]
async fn folding_back_beside_the_living_never_frees_too_much() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let dead = Quota::register(&store, true).await.unwrap();
        let living = Quota::register(&store, false).await.unwrap();
        dead.lease("ord_1", 100, 40).await.unwrap();
        dead.spend(&[debit("ord_1", 100, 10)]).await.unwrap();
        living.lease("ord_1", 100, 40).await.unwrap();
        living.spend(&[debit("ord_1", 100, 20)]).await.unwrap();
        let raw = factory.raw().await;
        let bury = format!("UPDATE quota_process SET seen_at_unix = 0 WHERE process = '{}'", dead.process());
        raw.execute_unprepared(&bury).await.unwrap();

        let next = Quota::register(&store, false).await.unwrap();
        of_an_earlier_version(&factory).await;
        next.reconcile("ord_1", 30, true).await.unwrap();
        // 30 used in truth; the 20 that the living one spent are counted twice until it gives back: never not at all.
        let mut free = 0;
        while next.spend(&[debit("ord_1", 100, 1)]).await.is_ok() {
            free += 1;
        }
        assert_eq!(free, 30);
        next.give_back().await.unwrap();
        living.give_back().await.unwrap();
        next.reconcile("ord_1", 30 + free, true).await.unwrap();
        next.spend(&[debit("ord_1", 100, 70 - free)]).await.unwrap();
        assert!(next.spend(&[debit("ord_1", 100, 1)]).await.is_err());
    })
    .await;
}

/// What a dead process used is folded back exactly, whatever the living lease, spend and give back meanwhile; and one that comes
/// back is another.
#[tokio::test]
async fn folding_back_a_process_is_exact_beside_the_living() {
    both(async |factory: StoreFactory| {
        if factory.backend() == Backend::Sqlite {
            // A node on SQLite has one process at a time.
            return;
        }
        let store = factory.open().await;
        let (dead, living) =
            (Quota::register(&store, false).await.unwrap(), Quota::register(&store, false).await.unwrap());
        let name = dead.process();
        let rows = |amount| debit("ord_1", 1_000, amount);
        // Of 70 that were used 40 were given back as used, and 5 of these were taken back afterwards.
        dead.spend(&[rows(40)]).await.unwrap();
        dead.give_back().await.unwrap();
        dead.refund(&name, &[rows(5)]).await;
        dead.spend(&[rows(35)]).await.unwrap();
        living.spend(&[rows(100)]).await.unwrap();
        assert_eq!(living.bury().await.unwrap(), []);
        let raw = factory.raw().await;
        let stale = format!("UPDATE quota_process SET seen_at_unix = seen_at_unix - 61 WHERE process = '{name}'");
        raw.execute_unprepared(&stale).await.unwrap();
        let buried = living.bury().await.unwrap();
        assert_eq!(buried, [DeadProcess { process: name.to_string(), receipts_before: 0 }]);
        living.give_back().await.unwrap();
        living.spend(&[rows(7)]).await.unwrap();
        // In the middle of somebody else's use; twice, and by two.
        let used = BTreeMap::from([("ord_1".to_owned(), 70)]);
        let third = Quota::register(&store, false).await.unwrap();
        living.fold(&name, &used).await.unwrap();
        third.fold(&name, &used).await.unwrap();
        assert_eq!(third.bury().await.unwrap(), []);
        living.give_back().await.unwrap();
        let account = store.snapshot().await.unwrap().quota_accounts(None).await.unwrap().remove(0);
        assert_eq!((account.used, account.leased), (177, 0));
        let again = Quota::register(&store, false).await.unwrap();
        again.fold(&again.process(), &used).await.unwrap();
        let account = store.snapshot().await.unwrap().quota_accounts(None).await.unwrap().remove(0);
        assert_eq!(account.used, 177, "who is not taken for dead is not folded back");
    })
    .await;
}

/// Who died with deliveries open is not forgotten by a start: these are closed first, and then he is charged what they let out.
#[tokio::test]
async fn a_start_leaves_who_may_have_deliveries_open() {
    both(async |factory: StoreFactory| {
        if factory.backend() == Backend::Sqlite {
            // A node on SQLite has one process at a time, whose deliveries are closed before its leases are folded back.
            return;
        }
        let store = factory.open().await;
        let dead = Quota::register(&store, false).await.unwrap();
        dead.spend(&[debit("ord_1", 1_000, 30)]).await.unwrap();
        let before = used_and_leased(&store).await;
        assert!(before.0 == 0 && before.1 >= 30, "{before:?}");
        let raw = factory.raw().await;
        raw.execute_unprepared("UPDATE quota_process SET seen_at_unix = seen_at_unix - 61").await.unwrap();

        let next = Quota::register(&store, false).await.unwrap();
        assert_eq!(next.dead_accounts().await.unwrap(), Vec::<String>::new());
        // Even where it is told to fold: no receipt tells the end of a delivery yet.
        next.reconcile("ord_1", 0, true).await.unwrap();
        assert_eq!(used_and_leased(&store).await, before);
        let buried = next.bury().await.unwrap();
        assert_eq!(buried, [DeadProcess { process: dead.process().to_string(), receipts_before: 0 }]);
        next.reconcile("ord_1", 0, true).await.unwrap();
        assert_eq!(next.bury().await.unwrap(), buried, "buried he is not forgotten either");
        next.fold(&dead.process(), &BTreeMap::from([("ord_1".to_owned(), 30)])).await.unwrap();
        assert_eq!(used_and_leased(&store).await, (30, 0));
        assert_eq!(next.bury().await.unwrap(), []);
    })
    .await;
}

/// What a process of an earlier version left is charged as far as it was leased where others have given back as used what no
/// receipt tells yet: too much rather than too little.
#[tokio::test]
async fn who_is_not_named_is_charged_whole_beside_one_who_is() {
    both(async |factory: StoreFactory| {
        if factory.backend() == Backend::Sqlite {
            // A node on SQLite has one process at a time.
            return;
        }
        let store = factory.open().await;
        let rows = |amount| debit("ord_1", 1_000, amount);
        let earlier = Quota::register(&store, false).await.unwrap();
        earlier.spend(&[rows(10)]).await.unwrap();
        of_an_earlier_version(&factory).await;
        let (_, leased) = used_and_leased(&store).await;
        // Its delivery goes on, so of the 37 that it used the receipts tell none.
        let named = Quota::register(&store, false).await.unwrap();
        named.spend(&[rows(30)]).await.unwrap();
        named.give_back().await.unwrap();
        named.spend(&[rows(7)]).await.unwrap();
        let raw = factory.raw().await;
        raw.execute_unprepared("UPDATE quota_process SET seen_at_unix = seen_at_unix - 61").await.unwrap();

        let next = Quota::register(&store, false).await.unwrap();
        assert_eq!(next.dead_accounts().await.unwrap(), ["ord_1"]);
        next.reconcile("ord_1", 10, true).await.unwrap();
        assert_eq!(next.dead_accounts().await.unwrap(), Vec::<String>::new());
        let buried = next.bury().await.unwrap();
        assert_eq!(buried, [DeadProcess { process: named.process().to_string(), receipts_before: 0 }]);
        next.fold(&named.process(), &BTreeMap::from([("ord_1".to_owned(), 37)])).await.unwrap();
        assert_eq!(used_and_leased(&store).await, (leased + 37, 0));
        assert!(leased >= 10);
    })
    .await;
}

/// What is left is what this process may still spend and what was free when it last leased.
#[tokio::test]
async fn what_is_left_goes_down_with_use_and_up_with_a_refund() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let (quota, other) =
            (Quota::register(&store, true).await.unwrap(), Quota::register(&store, false).await.unwrap());
        assert_eq!(quota.left("ord_1").await, None);
        quota.spend(&[debit("ord_1", 160, 7)]).await.unwrap();
        assert_eq!(quota.left("ord_1").await, Some(153));
        quota.refund(&quota.process(), &[debit("ord_1", 160, 2)]).await;
        assert_eq!(quota.left("ord_1").await, Some(155));
        // Another process's lease counts as used whole, from the next lease on.
        let leased = other.lease("ord_1", 160, 100).await.unwrap();
        assert_eq!(quota.left("ord_1").await, Some(155));
        quota.spend(&[debit("ord_1", 160, 10)]).await.unwrap();
        assert_eq!(quota.left("ord_1").await, Some(155 - leased - 10));
        // A refusal leaves what is left, and tells it.
        assert!(matches!(quota.spend(&[debit("ord_1", 160, 100)]).await, Err(QuotaError::Exhausted { .. })));
        assert_eq!(quota.left("ord_1").await, Some(155 - leased - 10));
        assert!(matches!(quota.spend(&[debit("ord_2", 3, 4)]).await, Err(QuotaError::Exhausted { .. })));
        assert_eq!(quota.left("ord_2").await, Some(3));
    })
    .await;
}

/// Thousands of processes that no receipt names hide none that one does, and those that hold nothing are forgotten with a start. What
/// looks for the dead several times a minute is told of none of them, so it reads no receipt for their sake.
#[tokio::test]
async fn thousands_of_unnamed_processes_are_not_looked_at() {
    const UNNAMED: usize = 2_500;
    const WITH_LEASE: usize = 1_200;
    both(async |factory: StoreFactory| {
        if factory.backend() == Backend::Sqlite {
            // A node on SQLite has one process at a time.
            return;
        }
        let store = factory.open().await;
        let raw = factory.raw().await;
        let made = format!(
            "INSERT INTO quota_process (process, seen_at_unix) \
             SELECT 'earlier_' || lpad(CAST(n AS text), 6, '0'), 1 FROM generate_series(1, {UNNAMED}) AS n; \
             INSERT INTO quota_account (account, used) VALUES ('ord_9', 0); \
             INSERT INTO quota_lease (account, process, granted) \
             SELECT 'ord_9', 'earlier_' || lpad(CAST(n AS text), 6, '0'), 1 FROM generate_series(1, {WITH_LEASE}) AS n"
        );
        raw.execute_unprepared(&made).await.unwrap();
        let named = Quota::register(&store, false).await.unwrap();
        let living = Quota::register(&store, false).await.unwrap();
        let stale = format!("UPDATE quota_process SET seen_at_unix = 1 WHERE process = '{}'", named.process());
        raw.execute_unprepared(&stale).await.unwrap();
        for _ in 0..2 {
            let buried = living.bury().await.unwrap();
            assert_eq!(buried, [DeadProcess { process: named.process().to_string(), receipts_before: 0 }]);
        }
        living.fold(&named.process(), &BTreeMap::new()).await.unwrap();
        assert_eq!(living.bury().await.unwrap(), []);
        let left = async || -> i64 {
            let count = "SELECT count(*) FROM quota_process WHERE process LIKE 'earlier_%'".to_owned();
            let row = raw.query_one_raw(Statement::from_string(raw.get_database_backend(), count)).await.unwrap();
            row.unwrap().try_get_by_index(0).unwrap()
        };
        assert_eq!(left().await, WITH_LEASE as i64, "what they leased is folded back first");
        living.reconcile("ord_9", 0, true).await.unwrap();
        assert_eq!(left().await, 0);
    })
    .await;
}
