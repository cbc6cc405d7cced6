//! Appends: positions, refusals, what the database itself refuses, rows and postings beside the records.

use lingqu_store::idempotency::Idempotency;
use lingqu_store::journal::{Appended, NewRecord};
use lingqu_store::posting::{NewPosting, PostingFilter};
use lingqu_store::receipt::{NewReceipt, ReceiptLog};
use lingqu_store::row::RowFilter;
use lingqu_store::service_key::ServiceKeyChange;
use lingqu_store::{AppendError, Backend, StoreError};
use lingqu_tests::{PrivatePostgres, StoreFactory, both};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::json;

use crate::sample::{append, append_new, row};

#[tokio::test]
async fn records_get_gap_free_positions_and_stream_versions() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        assert_eq!(store.head().await.unwrap(), 0);
        let mut first = append("mdt_1", 0, "mandate_drafted");
        first.records.push(NewRecord { stream: "pmt_1".into(), kind: "permit_drafted".into(), body: json!({}) });
        first.records.push(NewRecord {
            stream: "mdt_1".into(),
            kind: "mandate_granted".into(),
            body: json!({"b": 1, "a": [1, null]}),
        });
        assert_eq!(store.append(first).await.unwrap(), Appended::New { positions: 1..4, log_entries: 0..1 });
        assert_eq!(
            store.append(append("mdt_1", 2, "mandate_suspended")).await.unwrap(),
            Appended::New { positions: 4..5, log_entries: 1..2 }
        );

        let records = store.read_after(0, 10).await.unwrap();
        let seen: Vec<_> = records
            .iter()
            .map(|record| (record.position, record.stream.as_str(), record.stream_version, record.log_entry))
            .collect();
        assert_eq!(seen, [(1, "mdt_1", 1, 0), (2, "pmt_1", 1, 0), (3, "mdt_1", 2, 0), (4, "mdt_1", 3, 1)]);
        assert_eq!(records[2].body, r#"{"a":[1,null],"b":1}"#);
        assert_ne!(records[0].salt, records[1].salt);
        assert_eq!(store.read_after(2, 1).await.unwrap(), records[2..3]);
        assert_eq!(store.read_stream("mdt_1", 1, 10).await.unwrap(), [records[2].clone(), records[3].clone()]);
        let versions = store.stream_versions(&["mdt_1", "pmt_1", "none"]).await.unwrap();
        assert_eq!(
            versions.into_iter().collect::<Vec<_>>(),
            [("mdt_1".into(), 3), ("none".into(), 0), ("pmt_1".into(), 1)]
        );
    })
    .await;
}

#[tokio::test]
async fn an_append_of_many_records_makes_several_log_entries() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let mut many = append("csn_0", 0, "consent_given");
        many.records = (0..2_500)
            .map(|n| NewRecord { stream: format!("csn_{n}"), kind: "consent_given".into(), body: json!({"n": n}) })
            .collect();
        assert_eq!(store.append(many).await.unwrap(), Appended::New { positions: 1..2_501, log_entries: 0..3 });
        assert_eq!(store.read_after(2_499, 10).await.unwrap()[0].log_entry, 2);
    })
    .await;
}

#[tokio::test]
async fn a_moved_stream_is_a_conflict_and_leaves_nothing() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        append_new(&store, append("mdt_1", 0, "mandate_granted")).await;
        append_new(&store, append("mdt_1", 1, "mandate_suspended")).await;
        let mut permit = append("pmt_1", 0, "permit_granted");
        permit.reads.push(("mdt_1".into(), 1));
        permit.rows.push(row("mdt_9", 1, "active"));
        match store.append(permit).await {
            Err(AppendError::Conflict { stream, expected: 1, found: 2 }) => assert_eq!(stream, "mdt_1"),
            other => panic!("{other:?}"),
        }
        // A stream that was not read must be new.
        let mut blind = append("pmt_2", 0, "permit_granted");
        blind.records.push(NewRecord { stream: "mdt_1".into(), kind: "mandate_resumed".into(), body: json!({}) });
        assert!(matches!(store.append(blind).await, Err(AppendError::Conflict { expected: 0, found: 2, .. })));
        assert_eq!(store.head().await.unwrap(), 2);
        assert_eq!(store.row("mandate", "mdt_9").await.unwrap(), None);
        assert_eq!(append_new(&store, append("pmt_1", 0, "permit_granted")).await, 3);
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_runs_back_is_refused() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        append_new(&store, append("mdt_1", 0, "mandate_granted")).await;
        let mut earlier = append("mdt_2", 0, "mandate_granted");
        earlier.at = "2026-03-02T00:59:59Z".into();
        match store.append(earlier).await {
            Err(AppendError::ClockRanBack { at, last }) => {
                assert_eq!((at.as_str(), last.as_str()), ("2026-03-02T00:59:59Z", "2026-03-02T09:00:00+08:00"));
            }
            other => panic!("{other:?}"),
        }
        // The same instant with another offset is not before it.
        let mut same = append("mdt_2", 0, "mandate_granted");
        same.at = "2026-03-02T01:00:00Z".into();
        append_new(&store, same).await;
        let mut wrong = append("mdt_3", 0, "mandate_granted");
        wrong.at = "yesterday".into();
        assert!(matches!(store.append(wrong).await, Err(AppendError::Store(StoreError::Invalid { .. }))));
    })
    .await;
}

#[tokio::test]
async fn the_database_itself_refuses_changes_gaps_and_replacements() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let mut first = append("mdt_1", 0, "mandate_granted");
        first.postings = transfer("txn_1", 100);
        append_new(&store, first).await;
        let before = store.read_after(0, 10).await.unwrap();
        let raw = factory.raw().await;
        let values = "'2026-03-02T09:00:00+08:00','c','a','mdt_1'";
        let rest = "'k','2026-1','{}',X'00',0";
        let rest = if factory.backend() == Backend::Postgres { rest.replace("X'00'", "'\\x00'::bytea") } else { rest.to_owned() };
        let columns = "position, at, command_id, actor, stream, stream_version, kind, rulebook_version, body, salt, log_entry";
        let mut attempts = vec![
            "UPDATE journal SET body = '{}'".to_owned(),
            "DELETE FROM journal".to_owned(),
            "DELETE FROM journal WHERE position = 1".to_owned(),
            "UPDATE log_entry SET idx = 5".to_owned(),
            "DELETE FROM log_entry".to_owned(),
            "UPDATE posting SET debit_fen = 1".to_owned(),
            "DELETE FROM posting".to_owned(),
            // A gap, a position that exists, a stream version that exists.
            format!("INSERT INTO journal ({columns}) VALUES (3,{values},2,{rest})"),
            format!("INSERT INTO journal ({columns}) VALUES (1,{values},2,{rest})"),
            format!("INSERT INTO journal ({columns}) VALUES (2,{values},1,{rest})"),
            format!("INSERT INTO journal ({columns}) VALUES (2,{values},0,{rest})"),
        ];
        match factory.backend() {
            Backend::Postgres => {
                attempts.push("TRUNCATE journal CASCADE".to_owned());
                attempts.push("TRUNCATE log_entry CASCADE".to_owned());
                attempts.push(format!(
                    "INSERT INTO journal ({columns}) VALUES (2,{values},1,{rest}) ON CONFLICT (stream, stream_version) DO UPDATE SET body = '{{}}'"
                ));
            }
            Backend::Sqlite => {
                attempts.push(format!("INSERT OR REPLACE INTO journal ({columns}) VALUES (1,{values},2,{rest})"));
                attempts.push(format!("INSERT OR REPLACE INTO journal ({columns}) VALUES (2,{values},1,{rest})"));
                attempts.push("REPLACE INTO posting SELECT * FROM posting".to_owned());
            }
        }
        for attempt in attempts {
            assert!(raw.execute_unprepared(&attempt).await.is_err(), "not refused: {attempt}");
        }
        assert_eq!(store.read_after(0, 10).await.unwrap(), before);
        assert_eq!(store.postings(&PostingFilter { limit: 10, ..PostingFilter::default() }).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_answer_and_writes_nothing() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let with_key = |stream: &str, version, digest: u8, at: &str| {
            let mut request = append(stream, version, "mandate_granted");
            request.at = at.into();
            request.idempotency = Some(Idempotency {
                key: "usr_1/key-1".into(),
                request_digest: [digest; 32],
                response: format!(r#"{{"id":"{stream}"}}"#),
                expires_at: "2026-03-03T01:00:00Z".parse().unwrap(),
            });
            request
        };
        let today = "2026-03-02T09:00:00+08:00";
        assert!(matches!(store.append(with_key("mdt_1", 0, 1, today)).await.unwrap(), Appended::New { .. }));
        // Sent again: the same answer, though the stream has moved on.
        let again = store.append(with_key("mdt_1", 0, 1, today)).await.unwrap();
        assert_eq!(again, Appended::Repeated { response: r#"{"id":"mdt_1"}"#.into() });
        assert!(matches!(store.append(with_key("mdt_2", 0, 2, today)).await, Err(AppendError::KeyReused)));
        assert_eq!(store.head().await.unwrap(), 1);
        let now = "2026-03-02T02:00:00Z".parse().unwrap();
        assert_eq!(
            store.idempotent_response("usr_1/key-1", &[1; 32], now).await.unwrap(),
            Some(r#"{"id":"mdt_1"}"#.into())
        );
        assert_eq!(store.idempotent_response("usr_1/key-2", &[1; 32], now).await.unwrap(), None);
        // Forgotten after its time, and free for another request.
        assert!(matches!(
            store.append(with_key("mdt_2", 0, 2, "2026-03-03T09:00:00+08:00")).await.unwrap(),
            Appended::New { .. }
        ));
        assert_eq!(store.sweep_idempotency("2026-03-04T00:00:00Z".parse().unwrap()).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn rows_are_replaced_listed_and_paged() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let mut first = append("mdt_1", 0, "mandate_granted");
        first.rows =
            (1..=7).map(|n| row(&format!("mdt_{n}"), 1, if n % 2 == 0 { "active" } else { "draft" })).collect();
        append_new(&store, first).await;
        let mut second = append("mdt_1", 1, "mandate_suspended");
        second.rows.push(row("mdt_1", 2, "suspended"));
        append_new(&store, second).await;

        let changed = store.row("mandate", "mdt_1").await.unwrap().unwrap();
        assert_eq!((changed.state.as_str(), changed.stream_version, changed.position), ("suspended", 2, 2));
        assert_eq!(changed.body, r#"{"id":"mdt_1","state":"suspended"}"#);
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let page = store
                .rows("mandate", &RowFilter { after: after.clone(), limit: 3, ..RowFilter::default() })
                .await
                .unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 3);
            after = Some(last.id.clone());
            ids.extend(page.into_iter().map(|row| row.id));
        }
        assert_eq!(ids, ["mdt_1", "mdt_2", "mdt_3", "mdt_4", "mdt_5", "mdt_6", "mdt_7"]);
        let active =
            RowFilter { state: Some("active".into()), owner: Some("pty_1".into()), limit: 500, ..RowFilter::default() };
        assert_eq!(store.rows("mandate", &active).await.unwrap().len(), 3);
        let others = RowFilter { owner: Some("pty_2".into()), limit: 500, ..RowFilter::default() };
        assert_eq!(store.rows("mandate", &others).await.unwrap(), []);
        assert!(matches!(store.rows("journal", &others).await, Err(StoreError::Invalid { .. })));

        let mut twice = append("mdt_2", 0, "mandate_granted");
        twice.rows = vec![row("mdt_2", 1, "active"), row("mdt_2", 1, "draft")];
        assert!(matches!(store.append(twice).await, Err(AppendError::Store(StoreError::Invalid { .. }))));
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_sees_one_moment() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let mut first = append("mdt_1", 0, "mandate_granted");
        first.rows.push(row("mdt_1", 1, "active"));
        append_new(&store, first).await;
        let snapshot = store.snapshot().await.unwrap();
        assert_eq!(snapshot.head().await.unwrap(), 1);
        let mut second = append("mdt_1", 1, "mandate_suspended");
        second.rows.push(row("mdt_1", 2, "suspended"));
        append_new(&store, second).await;
        assert_eq!(snapshot.head().await.unwrap(), 1);
        assert_eq!(
            snapshot.rows("mandate", &RowFilter { limit: 5, ..RowFilter::default() }).await.unwrap()[0].state,
            "active"
        );
        assert_eq!(snapshot.read_after(0, 5).await.unwrap().len(), 1);
        drop(snapshot);
        assert_eq!(store.snapshot().await.unwrap().head().await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn postings_balance_and_are_summed() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let mut first = append("stl_1", 0, "settlement_closed");
        first.postings = [transfer("txn_1", 12_345), transfer("txn_2", 5)].concat();
        append_new(&store, first).await;
        let balances = store.balances(None).await.unwrap();
        let seen: Vec<_> =
            balances.iter().map(|balance| (balance.account.as_str(), balance.debit_fen, balance.credit_fen)).collect();
        assert_eq!(seen, [("cash", 12_350, 0), ("revenue", 0, 12_350)]);
        assert_eq!(store.balances(Some("pty_1")).await.unwrap().len(), 1);
        let page = store
            .postings(&PostingFilter { after: Some(("txn_1".into(), 1)), limit: 10, ..PostingFilter::default() })
            .await
            .unwrap();
        let seen: Vec<_> = page
            .iter()
            .map(|posting| (posting.line.transaction_id.as_str(), posting.line.line, posting.position))
            .collect();
        assert_eq!(seen, [("txn_1", 2, 1), ("txn_2", 1, 1), ("txn_2", 2, 1)]);
        let of_order = PostingFilter {
            order_id: Some("ord_1".into()),
            settlement: Some("stl_1".into()),
            limit: 10,
            ..PostingFilter::default()
        };
        assert_eq!(store.postings(&of_order).await.unwrap().len(), 4);

        for wrong in [vec![transfer("txn_3", 7).remove(0)], {
            let mut both_sides = transfer("txn_3", 7);
            both_sides[0].credit_fen = 7;
            both_sides
        }] {
            let mut append = append("stl_2", 0, "settlement_closed");
            append.postings = wrong;
            assert!(matches!(store.append(append).await, Err(AppendError::Store(StoreError::Invalid { .. }))));
        }
        // The same transaction again.
        let mut again = append("stl_2", 0, "settlement_closed");
        again.postings = transfer("txn_1", 1);
        assert!(matches!(store.append(again).await, Err(AppendError::Store(StoreError::Constraint { .. }))));
        assert_eq!(store.head().await.unwrap(), 1);
    })
    .await;
}

fn issue_key(hash: [u8; 32], last_four: &str) -> ServiceKeyChange {
    ServiceKeyChange::Issue {
        hash,
        order_id: "ord_1".into(),
        last_four: last_four.into(),
        scram_sealed: format!("sealed {last_four}").into_bytes(),
    }
}

#[tokio::test]
async fn service_keys_are_issued_and_revoked_with_their_events() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let mut issue = append("ord_1", 0, "key_issued");
        issue.service_keys = vec![issue_key([1; 32], "abcd"), issue_key([2; 32], "efgh")];
        append_new(&store, issue).await;
        let mut revoke = append("ord_1", 1, "key_revoked");
        revoke.service_keys = vec![ServiceKeyChange::Revoke { hash: [1; 32] }];
        append_new(&store, revoke).await;
        assert_eq!(
            store.service_key(&[1; 32]).await.unwrap().unwrap().revoked_at.as_deref(),
            Some("2026-03-02T09:00:00+08:00")
        );
        let second = store.service_key(&[2; 32]).await.unwrap().unwrap();
        assert_eq!((second.order_id.as_str(), second.last_four.as_str(), second.revoked_at), ("ord_1", "efgh", None));
        assert_eq!(second.scram_sealed.as_deref(), Some(&b"sealed efgh"[..]));
        let mut revoke_all = append("ord_1", 2, "order_ended");
        revoke_all.service_keys = vec![ServiceKeyChange::RevokeAll { order_id: "ord_1".into() }];
        append_new(&store, revoke_all).await;
        assert!(store.service_keys_of("ord_1").await.unwrap().iter().all(|key| key.revoked_at.is_some()));
        assert_eq!(store.service_key(&[3; 32]).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        append_new(&store, append("mdt_1", 0, "mandate_granted")).await;
        let before = store.read_after(0, 10).await.unwrap();
        store.close().await.unwrap();
        assert!(store.head().await.is_err());
        let store = factory.open().await;
        assert_eq!(store.read_after(0, 10).await.unwrap(), before);
    })
    .await;
}

/// A database whose administrator set it to answer before its log is synced: records and receipts wait for the sync all the same.
#[tokio::test]
async fn a_database_that_answers_early_does_not_to_us() {
    let Some(server) = PrivatePostgres::needed("a database that answers before its log is synced") else { return };
    let factory = StoreFactory::postgres(server).await;
    let early = "DO $$ BEGIN
          EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());
        END $$";
    factory.raw().await.execute_unprepared(early).await.unwrap();
    let store = factory.open().await;
    let raw = factory.raw().await;
    let texts = async |sql: &str| {
        let rows = raw.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts("SELECT current_setting('synchronous_commit')").await, ["off"], "to others it does");
    let noted = "CREATE TABLE noted (by_table text, setting text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          INSERT INTO noted VALUES (TG_TABLE_NAME, current_setting('synchronous_commit'));
          RETURN NULL;
        END $$;
        CREATE TRIGGER note AFTER INSERT ON journal FOR EACH STATEMENT EXECUTE FUNCTION note();
        CREATE TRIGGER note AFTER INSERT ON receipt_block FOR EACH STATEMENT EXECUTE FUNCTION note()";
    raw.execute_unprepared(noted).await.unwrap();
    append_new(&store, append("mdt_1", 0, "mandate_granted")).await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    let receipt = NewReceipt {
        receipt_id: "rcp_1".into(),
        order_id: "ord_1".into(),
        kind: "single".into(),
        record: b"{}".to_vec(),
    };
    log.append(receipt).await.unwrap();
    let seen = texts("SELECT DISTINCT by_table || ' ' || setting FROM noted ORDER BY 1").await;
    assert_eq!(seen, ["journal on", "receipt_block on"]);
}

fn transfer(transaction: &str, fen: i64) -> Vec<NewPosting> {
    let line = |line, account: &str, owner: &str, debit_fen, credit_fen| NewPosting {
        transaction_id: transaction.into(),
        line,
        account: account.into(),
        owner: owner.into(),
        debit_fen,
        credit_fen,
        memo: "使用费".into(),
        settlement: Some("stl_1".into()),
        order_id: Some("ord_1".into()),
    };
    vec![line(1, "cash", "pty_1", fen, 0), line(2, "revenue", "pty_2", 0, fen)]
}
