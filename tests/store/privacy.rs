//! Privacy accounts: never overdrawn, and one answer to one question, whoever asks at the same moment or is cut off.

use std::collections::BTreeMap;
use std::time::Duration;

use lingqu_store::privacy::{ANSWER_BYTES_MAX, ANSWERS_MAX, Given, PrivacyAccount, PrivacyQuestion};
use lingqu_store::{Backend, Store, StoreError};
use lingqu_tests::{StoreFactory, both};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use zeroize::Zeroizing;

const AT: &str = "2026-03-01T00:00:00Z";

fn question(consumer: &str, affiliates: &[&str], question: &str) -> PrivacyQuestion {
    PrivacyQuestion {
        consumer: consumer.to_owned(),
        affiliates: affiliates.iter().map(|party| (*party).to_owned()).collect(),
        question: question.to_owned(),
    }
}

fn account(link: &str, budget_nano: u64) -> PrivacyAccount {
    PrivacyAccount { link: link.to_owned(), resource: "res_1".to_owned(), budget_nano }
}

fn before(answer: &[u8]) -> Given {
    Given::Before(Zeroizing::new(answer.to_vec()))
}

async fn spent(store: &Store, parties: &[&str], accounts: &[PrivacyAccount]) -> Vec<u64> {
    let parties: Vec<String> = parties.iter().map(|party| (*party).to_owned()).collect();
    store.privacy_spent(&parties, accounts).await.unwrap()
}

#[tokio::test]
async fn an_answer_is_given_once_and_repeated_for_nothing() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let accounts = [account("sup_1", 10), account("pmt_1", 25)];
        let first = question("pty_1", &[], "q1");
        assert_eq!(store.privacy_answer(&first).await.unwrap(), None);
        assert_eq!(
            store.give_privacy_answer(&first, &accounts, 4, b"secret numbers", AT).await.unwrap(),
            Given::Stored
        );
        // Another process, with noise of its own: it gets what was given.
        let store = factory.open().await;
        let again = store.give_privacy_answer(&first, &accounts, 4, b"other numbers", AT).await.unwrap();
        assert_eq!(again, before(b"secret numbers"));
        assert_eq!(store.privacy_answer(&first).await.unwrap().unwrap().as_slice(), b"secret numbers");
        assert_eq!(spent(&store, &["pty_1"], &accounts).await, [4, 4]);
        for (party, resource, was_spent) in
            [("pty_1", "res_1", true), ("pty_1", "res_2", false), ("pty_2", "res_1", false)]
        {
            assert_eq!(store.privacy_was_spent(&[party.to_owned()], &[resource.to_owned()]).await.unwrap(), was_spent);
        }

        // The first account that is too low refuses, and says what is left; then nothing was debited anywhere.
        let second = question("pty_1", &[], "q2");
        assert_eq!(store.give_privacy_answer(&second, &accounts, 6, b"2", AT).await.unwrap(), Given::Stored);
        let third = question("pty_1", &[], "q3");
        let refused = store.give_privacy_answer(&third, &accounts, 1, b"3", AT).await.unwrap();
        assert_eq!(refused, Given::Exhausted { account: 0, left_nano: 0 });
        assert_eq!(store.privacy_answer(&third).await.unwrap(), None);
        assert_eq!(spent(&store, &["pty_1"], &accounts).await, [10, 10]);
        // What was given is given again even so.
        assert_eq!(store.give_privacy_answer(&second, &accounts, 6, b"x", AT).await.unwrap(), before(b"2"));
        // A larger budget pays again; what was spent stays spent.
        let raised = [account("sup_1", 11), account("pmt_1", 25)];
        assert_eq!(store.give_privacy_answer(&third, &raised, 1, b"3", AT).await.unwrap(), Given::Stored);
        assert_eq!(spent(&store, &["pty_1"], &raised).await, [11, 11]);
        // A smaller one has nothing left, and nothing goes below zero.
        let lowered = [account("sup_1", 3)];
        let refused = store.give_privacy_answer(&question("pty_1", &[], "q4"), &lowered, 1, b"4", AT).await.unwrap();
        assert_eq!(refused, Given::Exhausted { account: 0, left_nano: 0 });
    })
    .await;
}

#[tokio::test]
async fn accounts_are_of_a_consumer_with_those_tied_to_it() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let accounts = [account("sup_1", 10)];
        let give = async |consumer: &str, affiliates: &[&str], name: &str, rho: u64| {
            store.give_privacy_answer(&question(consumer, affiliates, name), &accounts, rho, b"a", AT).await.unwrap()
        };
        assert_eq!(give("pty_1", &["pty_2"], "q1", 6).await, Given::Stored);
        assert_eq!(give("pty_2", &["pty_1"], "q2", 6).await, Given::Exhausted { account: 0, left_nano: 4 });
        // The same question of the other has an answer, and a price, of its own.
        assert_eq!(give("pty_2", &["pty_1"], "q1", 4).await, Given::Stored);
        assert_eq!(give("pty_1", &["pty_2"], "q3", 1).await, Given::Exhausted { account: 0, left_nano: 0 });
        // A stranger has the whole budget, and so has another resource of the same link.
        assert_eq!(give("pty_3", &[], "q1", 10).await, Given::Stored);
        let other = [PrivacyAccount { resource: "res_2".to_owned(), ..account("sup_1", 10) }];
        let given = store.give_privacy_answer(&question("pty_1", &["pty_2"], "q4"), &other, 10, b"a", AT).await;
        assert_eq!(given.unwrap(), Given::Stored);
    })
    .await;
}

/// Eight processes with noise of their own answer the same question at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_for_one_question_has_one_answer_and_one_price() {
    both(async |factory: StoreFactory| {
        let mut processes = Vec::new();
        for process in 0..8_u8 {
            let store = factory.open().await;
            processes.push(tokio::spawn(async move {
                let mut seen = Vec::new();
                for name in 0..10 {
                    let asked = question("pty_1", &[], &format!("q{name}"));
                    let own = [process, name];
                    let given = store.give_privacy_answer(&asked, &[account("sup_1", 1_000)], 3, &own, AT).await;
                    seen.push(match given.unwrap() {
                        Given::Stored => own.to_vec(),
                        Given::Before(answer) => answer.to_vec(),
                        other => panic!("{other:?}"),
                    });
                }
                seen
            }));
        }
        let mut all = Vec::new();
        for process in processes {
            all.push(process.await.unwrap());
        }
        assert!(all.iter().all(|seen| *seen == all[0]), "{all:?}");
        assert_eq!(spent(&factory.open().await, &["pty_1"], &[account("sup_1", 1_000)]).await, [30]);
    })
    .await;
}

/// Eight processes spend from one account until it is empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_account_is_overdrawn() {
    both(async |factory: StoreFactory| {
        let accounts = [account("sup_1", 100), account("pmt_1", 1_000)];
        let mut processes = Vec::new();
        for process in 0..8_u64 {
            let store = factory.open().await;
            let accounts = accounts.clone();
            processes.push(tokio::spawn(async move {
                let mut stored = 0;
                for number in 0..12 {
                    let asked = question("pty_1", &[], &format!("q{process}/{number}"));
                    match store.give_privacy_answer(&asked, &accounts, 7, b"a", AT).await.unwrap() {
                        Given::Stored => stored += 1,
                        Given::Exhausted { account: 0, left_nano } => assert!(left_nano < 7),
                        other => panic!("{other:?}"),
                    }
                }
                stored
            }));
        }
        let mut stored = 0;
        for process in processes {
            stored += process.await.unwrap();
        }
        assert_eq!(stored, 14);
        assert_eq!(spent(&factory.open().await, &["pty_1"], &accounts).await, [98, 98]);
    })
    .await;
}

/// Whoever is cut off in the middle leaves the whole of an answer with all its debits, or nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_cut_off_is_whole_or_nothing() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let accounts = [account("sup_1", 1_000), account("pmt_1", 1_000)];
        for number in 0..60_u64 {
            let (store, accounts) = (store.clone(), accounts.clone());
            let task = tokio::spawn(async move {
                let asked = question("pty_1", &[], &format!("q{number}"));
                drop(store.give_privacy_answer(&asked, &accounts, 5, b"a", AT).await);
            });
            // From cut off before it began to done, by steps that are not in time with anything.
            tokio::time::sleep(Duration::from_micros(number * 97 % 2_900)).await;
            task.abort();
            drop(task.await);
        }
        let raw = factory.raw().await;
        let answers = counts(&raw, "SELECT question, 1 FROM privacy_answer").await;
        let debits = counts(&raw, "SELECT question, count(*) FROM privacy_debit GROUP BY question").await;
        assert_eq!(answers.keys().collect::<Vec<_>>(), debits.keys().collect::<Vec<_>>());
        assert!(debits.values().all(|count| *count == 2), "{debits:?}");
        // What was left out can still be asked, and what is there is not paid for twice.
        for number in 0..60_u64 {
            let asked = question("pty_1", &[], &format!("q{number}"));
            store.give_privacy_answer(&asked, &accounts, 5, b"a", AT).await.unwrap();
        }
        assert_eq!(spent(&store, &["pty_1"], &accounts).await, [300, 300]);
    })
    .await;
}

async fn counts(raw: &DatabaseConnection, sql: &str) -> BTreeMap<String, i64> {
    let rows = raw.query_all_raw(Statement::from_string(raw.get_database_backend(), sql)).await.unwrap();
    let mut counts = BTreeMap::new();
    for row in rows {
        let count = row.try_get_by_index::<i64>(1).or_else(|_| row.try_get_by_index::<i32>(1).map(i64::from));
        counts.insert(row.try_get_by_index::<String>(0).unwrap(), count.unwrap());
    }
    counts
}

#[tokio::test]
async fn what_was_spent_is_never_changed_and_answers_are_sealed() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let accounts = [account("sup_1", 10)];
        let asked = question("pty_1", &[], "q1");
        store.give_privacy_answer(&asked, &accounts, 4, b"noised numbers of Nanning", AT).await.unwrap();
        let raw = factory.raw().await;
        for sql in [
            "UPDATE privacy_debit SET rho_nano = 1",
            "DELETE FROM privacy_debit",
            "UPDATE privacy_debit SET consumer = 'pty_9' WHERE consumer = 'pty_1'",
        ] {
            let error = raw.execute_unprepared(sql).await.expect_err(sql).to_string();
            assert!(error.contains("never"), "{sql}: {error}");
        }
        if factory.backend() == Backend::Sqlite {
            let replace = "INSERT OR REPLACE INTO privacy_debit (consumer, question, link, resource, rho_nano) \
                           VALUES ('pty_1', 'q1', 'sup_1', 'res_1', 1)";
            assert!(raw.execute_unprepared(replace).await.is_err());
        }
        let sql = "SELECT sealed FROM privacy_answer";
        let row = raw.query_one_raw(Statement::from_string(raw.get_database_backend(), sql)).await.unwrap().unwrap();
        let sealed: Vec<u8> = row.try_get_by_index(0).unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"Nanning"));
        // One that the disk changed, wherever, does not open either: nothing reads what it holds.
        let kept = async |bytes: Vec<u8>| {
            let sql = "UPDATE privacy_answer SET sealed = $1";
            let statement = Statement::from_sql_and_values(raw.get_database_backend(), sql, [bytes.into()]);
            raw.execute_raw(statement).await.unwrap();
            store.privacy_answer(&asked).await
        };
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(matches!(kept(changed).await, Err(StoreError::Sealed { .. })), "{at}");
        }
        assert!(matches!(kept(sealed[..sealed.len() - 1].to_vec()).await, Err(StoreError::Sealed { .. })));
        assert!(kept(sealed.clone()).await.unwrap().is_some());
        // An answer moved to another question or consumer opens no more.
        raw.execute_unprepared("UPDATE privacy_answer SET question = 'q2'").await.unwrap();
        assert!(store.privacy_answer(&question("pty_1", &[], "q2")).await.is_err());
        // An answer that is lost is a new question: it costs again, and what was spent stays spent.
        raw.execute_unprepared("DELETE FROM privacy_answer").await.unwrap();
        let again = question("pty_1", &[], "q3");
        assert_eq!(store.give_privacy_answer(&again, &accounts, 4, b"a", AT).await.unwrap(), Given::Stored);
        assert_eq!(spent(&store, &["pty_1"], &accounts).await, [8]);
    })
    .await;
}

#[tokio::test]
async fn answers_are_bounded_in_size_and_number() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let accounts = [account("sup_1", 1_000_000)];
        let large = vec![0; ANSWER_BYTES_MAX + 1];
        assert!(store.give_privacy_answer(&question("pty_1", &[], "q"), &accounts, 1, &large, AT).await.is_err());
        assert!(store.give_privacy_answer(&question("pty_1", &[], "q"), &[], 1, b"a", AT).await.is_err());
        let raw = factory.raw().await;
        let (blob, from) = match factory.backend() {
            Backend::Sqlite => (
                "x'00'",
                "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT i FROM n)",
            ),
            Backend::Postgres => ("'\\x00'::bytea", "generate_series(1, {}) AS n(i)"),
        };
        let from = from.replace("{}", &(ANSWERS_MAX - 1).to_string());
        let fill = format!(
            "INSERT INTO privacy_answer (consumer, question, rho_nano, answered_at, sealed) \
             SELECT 'pty_1', 'filled' || i, 1, '{AT}', {blob} FROM {from}"
        );
        raw.execute_unprepared(&fill).await.unwrap();
        let give = async |consumer: &str, name: &str| {
            store.give_privacy_answer(&question(consumer, &[], name), &accounts, 1, b"a", AT).await.unwrap()
        };
        assert_eq!(give("pty_1", "last").await, Given::Stored);
        assert_eq!(give("pty_1", "beyond").await, Given::Full);
        assert_eq!(give("pty_1", "last").await, before(b"a"));
        assert_eq!(give("pty_2", "beyond").await, Given::Stored);
        assert_eq!(spent(&store, &["pty_1"], &accounts).await, [1]);
    })
    .await;
}
