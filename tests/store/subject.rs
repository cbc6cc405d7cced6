//! Distinct subjects of quotas, held by deliveries until their records tell what became of them, on both databases.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_store::quota::{Holder, Quota, QuotaError, SubjectAccount, SubjectDigest, SubjectSettlement};
use lingqu_store::{Backend, Store};
use lingqu_tests::{Dice, StoreFactory, both};
use sea_orm::{ConnectionTrait, Statement};

fn digests(numbers: std::ops::Range<u8>) -> BTreeSet<SubjectDigest> {
    numbers.map(|number| [number; 16]).collect()
}

fn account(name: &str, limit: u64) -> SubjectAccount {
    SubjectAccount { account: name.to_owned(), limit, over: None }
}

fn holder(receipt: &str, part: u64) -> Holder {
    Holder { receipt: receipt.to_owned(), process: None, part }
}

fn settlement(receipt: &str, parts: u64, is_ended: bool) -> SubjectSettlement {
    SubjectSettlement { receipt: receipt.to_owned(), parts, is_ended }
}

/// What is used of each account.
async fn used(store: &Store) -> Vec<u64> {
    let accounts = store.snapshot().await.unwrap().quota_accounts(None).await.unwrap();
    accounts.into_iter().map(|account| account.used).collect()
}

/// Rows of a table of subjects that an account has.
async fn count(factory: &StoreFactory, table: &str, account: &str) -> u64 {
    let rows = factory.raw().await;
    let count = format!("SELECT CAST(count(*) AS text) FROM {table} WHERE account = '{account}'");
    let row = rows.query_one_raw(Statement::from_string(rows.get_database_backend(), count)).await.unwrap().unwrap();
    row.try_get_by_index::<String>(0).unwrap().parse().unwrap()
}

#[tokio::test]
async fn subjects_are_counted_once_by_however_many_at_once() {
    both(async |factory: StoreFactory| {
        let stores = [factory.open().await, factory.open().await];
        let mut tasks = tokio::task::JoinSet::new();
        // Sixteen ask for overlapping tens; 25 are counted, and no more.
        for task in 0..16_u8 {
            let store = stores[usize::from(task % 2)].clone();
            tasks.spawn(async move {
                let wanted = digests(task * 3..task * 3 + 10);
                let holder = holder(&format!("rcp_{task}"), 0);
                match store.hold_subjects(&holder, &[], &[account("ord_1/subjects", 25)], &wanted).await {
                    Ok(()) => wanted,
                    Err(QuotaError::Exhausted { account, limit }) => {
                        assert_eq!((account.as_str(), limit), ("ord_1/subjects", 25));
                        BTreeSet::new()
                    }
                    Err(error) => panic!("{error}"),
                }
            });
        }
        let mut counted = BTreeSet::new();
        while let Some(told) = tasks.join_next().await {
            counted.extend(told.unwrap());
        }
        assert!(counted.len() >= 10 && counted.len() <= 25, "{}", counted.len());
        assert_eq!(used(&stores[0]).await, [counted.len() as u64]);
        // They are counted for another process too, and cost nothing again.
        let all = [account("ord_1/subjects", counted.len() as u64)];
        stores[1].hold_subjects(&holder("rcp_99", 0), &[], &all, &counted).await.unwrap();
        // When none of them left anything, nobody was counted.
        let ended: Vec<_> = stores[1].holders(None).await.unwrap();
        let ended: Vec<_> = ended.iter().map(|receipt| settlement(receipt, 0, true)).collect();
        stores[0].settle_subjects(&ended).await.unwrap();
        assert_eq!(used(&stores[0]).await, [0]);
        assert_eq!(count(&factory, "quota_subject", "ord_1/subjects").await, 0);
    })
    .await;
}

/// Subjects of a day that is over are forgotten when no delivery of it can be open any more.
#[tokio::test]
async fn a_day_forgets_the_days_before_the_last_and_nothing_else() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let of = |day: u64, limit| {
            let name = |day: u64| format!("ord_1/subjects/2026-01-0{day}");
            let over = Some("ord_1/subjects/".to_owned()..name(day - 1));
            [account("ord_1/subjects", 10), SubjectAccount { over, ..account(&name(day), limit) }]
        };
        let hold = async |day: u64, accounts: &[SubjectAccount], wanted| {
            store.hold_subjects(&holder(&format!("rcp_{day}"), 0), &[], accounts, &wanted).await
        };
        hold(9, &[account("ord_2/subjects/2026-01-02", 5)], digests(0..5)).await.unwrap();
        hold(2, &of(2, 5), digests(0..5)).await.unwrap();
        let refused = hold(2, &of(2, 5), digests(4..6)).await.unwrap_err();
        assert!(matches!(refused, QuotaError::Exhausted { limit: 5, .. }), "{refused}");
        // Nobody was counted in the first account either.
        hold(3, &of(3, 5), digests(3..8)).await.unwrap();
        assert_eq!(used(&store).await, [8, 5, 5, 5]);
        assert_eq!(count(&factory, "quota_subject", "ord_1/subjects/2026-01-02").await, 5, "one may still be open");
        hold(4, &of(4, 5), digests(3..4)).await.unwrap();
        for (account, expected) in [
            ("ord_1/subjects", 8),
            ("ord_1/subjects/2026-01-02", 0),
            ("ord_1/subjects/2026-01-03", 5),
            ("ord_1/subjects/2026-01-04", 1),
            ("ord_2/subjects/2026-01-02", 5),
        ] {
            assert_eq!(count(&factory, "quota_subject", account).await, expected, "{account}");
        }
        // Who was held on a day that is forgotten gives nothing back of it.
        store.settle_subjects(&[settlement("rcp_2", 0, true)]).await.unwrap();
        assert_eq!(used(&store).await, [5, 5, 5, 1, 5]);
    })
    .await;
}

/// What an account should hold: of each subject who holds him and for which part; nobody holds who is used for good.
type Model = BTreeMap<u8, BTreeMap<u64, u64>>;

/// Whatever deliveries reserve, let out and end, in whatever order: an account holds whom a delivery let out or may still let out, and
/// nobody else; and never more than its limit.
#[tokio::test]
async fn an_account_holds_whom_deliveries_let_out_or_may_let_out() {
    const LIMIT: u64 = 30;
    const STEPS: u64 = 200;
    /// How often the rows are looked at beside the account.
    const LOOK_EVERY: u64 = 20;
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let mut dice = Dice(seed);
        let mut model = Model::new();
        // Deliveries that go on, and how many parts each has.
        let mut open: BTreeMap<u64, u64> = BTreeMap::new();
        let mut waiting: Vec<SubjectSettlement> = Vec::new();
        for step in 0..STEPS {
            let delivery = dice.below(6) + 10 * (step / 50);
            match dice.below(5) {
                0..=2 => {
                    let parts = open.entry(delivery).or_default();
                    let first = dice.below(60) as u8;
                    let wanted = first..first + 1 + dice.below(8) as u8;
                    let (holder, accounts) = (holder(&format!("rcp_{delivery:03}"), *parts), [account("a", LIMIT)]);
                    let told = store.hold_subjects(&holder, &waiting, &accounts, &digests(wanted.clone())).await;
                    waiting.clear();
                    let fresh = wanted.clone().filter(|subject| !model.contains_key(subject)).count();
                    let fits = model.len() + fresh <= LIMIT as usize || fresh == 0;
                    assert_eq!(told.is_ok(), fits, "step {step}: {told:?}");
                    if fits {
                        for subject in wanted {
                            let is_fresh = !model.contains_key(&subject);
                            let holders = model.entry(subject).or_default();
                            if is_fresh || !holders.is_empty() {
                                holders.entry(delivery).or_insert(*parts);
                            }
                        }
                        *parts += 1;
                    }
                }
                kind => {
                    let Some(parts) = open.get(&delivery).copied() else { continue };
                    let (is_ended, let_out) = (kind == 3, dice.below(parts + 1));
                    for holders in model.values_mut() {
                        if holders.get(&delivery).is_some_and(|part| *part < let_out) {
                            holders.clear();
                        }
                    }
                    if is_ended {
                        open.remove(&delivery);
                        model.retain(|_, holders| {
                            let was_held = holders.remove(&delivery).is_some();
                            !(was_held && holders.is_empty())
                        });
                    }
                    let settled = settlement(&format!("rcp_{delivery:03}"), let_out, is_ended);
                    if is_ended || dice.below(2) == 0 {
                        waiting.push(settled);
                        store.settle_subjects(&waiting).await.unwrap();
                        waiting.clear();
                    } else {
                        waiting.push(settled);
                    }
                }
            }
            let held = used(&store).await.first().copied().unwrap_or(0);
            assert_eq!(held, model.len() as u64, "step {step}: {model:?}");
            if step % LOOK_EVERY == 0 {
                assert_eq!(count(&factory, "quota_subject", "a").await, held, "step {step}");
            }
        }
        assert!(model.len() > 5, "hardly anybody is left: {model:?}");
        let ended: Vec<_> = open.keys().map(|delivery| settlement(&format!("rcp_{delivery:03}"), 0, true)).collect();
        waiting.extend(ended);
        store.settle_subjects(&waiting).await.unwrap();
        assert_eq!(store.holders(None).await.unwrap(), Vec::<String>::new());
        let for_good = model.values().filter(|holders| holders.is_empty()).count();
        assert_eq!(used(&store).await, [for_good as u64]);
    })
    .await;
}

/// A process that was taken for dead holds nobody any more, so whom it holds can be settled once and for all.
#[tokio::test]
async fn the_dead_hold_nobody_any_more() {
    both(async |factory: StoreFactory| {
        if factory.backend() == Backend::Sqlite {
            // A node on SQLite has one process at a time.
            return;
        }
        let store = factory.open().await;
        let (dead, living) =
            (Quota::register(&store, false).await.unwrap(), Quota::register(&store, false).await.unwrap());
        let of =
            |quota: &Quota, receipt: &str| Holder { process: Some(quota.process().to_string()), ..holder(receipt, 0) };
        let accounts = [account("ord_1/subjects", 10)];
        let hold = async |holder: Holder, wanted| store.hold_subjects(&holder, &[], &accounts, &digests(wanted)).await;
        hold(of(&dead, "rcp_1"), 0..3).await.unwrap();
        hold(of(&living, "rcp_2"), 2..4).await.unwrap();
        let stale = format!("UPDATE quota_process SET seen_at_unix = 1 WHERE process = '{}'", dead.process());
        factory.raw().await.execute_unprepared(&stale).await.unwrap();
        assert_eq!(living.bury().await.unwrap().len(), 1);
        let refused = hold(of(&dead, "rcp_3"), 5..6).await.unwrap_err();
        assert!(refused.to_string().contains("taken for dead"), "{refused}");
        assert_eq!(store.holders(Some(&dead.process())).await.unwrap(), ["rcp_1"]);
        store.settle_subjects(&[settlement("rcp_1", 0, true)]).await.unwrap();
        assert_eq!(used(&store).await, [2], "the living one holds two");
        assert_eq!(store.holders(Some(&dead.process())).await.unwrap(), Vec::<String>::new());
        assert_eq!(store.holders(Some(&living.process())).await.unwrap(), ["rcp_2"]);
    })
    .await;
}
