//! The receipt log: durable and in order, torn ends, damage that is named, and exactly one log entry for each receipt.

use std::path::PathBuf;
use std::time::Instant;

use lingqu_store::paid_file::PaidFile;
use lingqu_store::quota::Quota;
use lingqu_store::receipt::{
    CLOSED, ENTRY_RECEIPTS, Fence, NewReceipt, READ_LIMIT_MAX, Receipt, ReceiptCommit, ReceiptLog, Seen, check_receipts,
};
use lingqu_store::{Backend, Store, StoreError};
use lingqu_tests::{StoreFactory, both};
use sea_orm::ConnectionTrait;

use crate::sample::{append, append_new};

fn receipt(number: u64) -> NewReceipt {
    NewReceipt {
        receipt_id: format!("rcp_{}", number / 3),
        order_id: format!("ord_{}", number % 4),
        kind: ["opening", "part", "closing"][(number % 3) as usize].into(),
        record: format!("{{\"n\":{number}}}").into_bytes(),
    }
}

async fn append_many(log: &ReceiptLog, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(log.append(receipt(number)).await.unwrap(), number + 1);
    }
}

#[tokio::test]
async fn receipts_are_read_back_by_position_order_and_delivery() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        assert_eq!(log.head().await.unwrap(), 0);
        assert_eq!(log.read(1).await.unwrap(), None);
        append_many(&log, 0..20).await;
        assert_eq!(log.head().await.unwrap(), 20);
        let read = log.read_after(4, 3).await.unwrap();
        assert_eq!(read.iter().map(|found| found.position).collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!(read[0].receipt, receipt(4));
        assert_eq!(log.read(20).await.unwrap().unwrap().receipt, receipt(19));
        assert_eq!(log.read(21).await.unwrap(), None);
        assert_eq!(log.read(0).await.unwrap(), None);
        // Before the follower has come, after it has, and when it has come half-way.
        for round in 0..3 {
            if round == 1 {
                assert_eq!(log.commit_to_log().await.unwrap(), 20);
                assert_eq!(log.commit_to_log().await.unwrap(), 0);
            }
            if round == 2 {
                append_many(&log, 20..24).await;
            }
            let all: Vec<u64> =
                [2, 6, 10, 14, 18, 22].into_iter().filter(|position| round == 2 || *position < 20).collect();
            assert_eq!(log.positions_of_order("ord_1", 0, 100).await.unwrap(), all);
            assert_eq!(log.positions_of_order("ord_1", 6, 2).await.unwrap(), [10, 14]);
            assert_eq!(log.positions_of_receipt("rcp_5").await.unwrap(), [16, 17, 18]);
            let closings = log.positions_of_receipt_kinds("rcp_5", &["closing", "opening"]).await.unwrap();
            assert_eq!(closings, [16, 18]);
            let of_kinds = async |kinds: &[&str], after, limit| {
                log.positions_of_kinds("ord_1", kinds, after, limit).await.unwrap()
            };
            let openings: Vec<u64> = [10, 22].into_iter().filter(|position| round == 2 || *position < 20).collect();
            assert_eq!(of_kinds(&["opening"], 0, 100).await, openings);
            assert_eq!(of_kinds(&["opening", "closing"], 6, 2).await, [10, 18]);
            assert_eq!(of_kinds(&["single"], 0, 100).await, Vec::<u64>::new());
            assert_eq!(of_kinds(&[], 0, 100).await, all);
            assert_eq!(log.positions_of_order("ord_9", 0, 100).await.unwrap(), Vec::<u64>::new());
        }
        log.close().await;
        assert!(matches!(log.append(receipt(99)).await, Err(StoreError::Invalid { .. })));
        let again = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        append_many(&again, 24..26).await;
        assert_eq!(again.read(24).await.unwrap().unwrap().receipt, receipt(23));
    })
    .await;
}

/// A busy node commits to receipts while they come, in whole entries; what fills none is the publisher's.
#[tokio::test]
async fn receipts_are_committed_to_as_they_fill_entries() {
    // Of several transactions.
    const ENTRIES: u64 = 81;
    const ENTRY: u64 = ENTRY_RECEIPTS as u64;
    const RECEIPTS: u64 = ENTRIES * ENTRY + 30;
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        let append = async |count: u64| {
            let waiting = (0..count).map(|number| log.append(receipt(number)));
            futures::future::try_join_all(waiting).await.unwrap();
        };
        append(ENTRY - 1).await;
        assert_eq!(log.commit_full_entries().await.unwrap(), 0);
        append(RECEIPTS + 1 - ENTRY).await;
        for committed in [ENTRIES * ENTRY, 0] {
            assert_eq!(log.commit_full_entries().await.unwrap(), committed);
        }
        assert_eq!(store.log_size().await.unwrap(), ENTRIES);
        for (receipt, log_entry, place) in
            [(1, 0, 0), (ENTRY, 0, ENTRY - 1), (80 * ENTRY + 1, 80, 0), (ENTRIES * ENTRY, 80, ENTRY - 1)]
        {
            let commit = log.commit_of(receipt).await.unwrap();
            assert_eq!(commit, Some(ReceiptCommit { log_entry, place }), "receipt {receipt}");
        }
        assert_eq!(log.commit_of(RECEIPTS).await.unwrap(), None);
        assert_eq!(log.commit_to_log().await.unwrap(), 30);
        assert_eq!(store.log_size().await.unwrap(), ENTRIES + 1);
        // Another log over the same records begins with what the database says.
        let beside = ReceiptLog::open_for_reading(&store, factory.directory()).await.unwrap();
        assert_eq!(beside.commit_full_entries().await.unwrap(), 0);
    })
    .await;
}

/// However many parts a delivery has, its closing is found.
#[tokio::test]
async fn the_closing_of_a_long_delivery_is_found() {
    const PARTS: usize = READ_LIMIT_MAX + 100;
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        let of_kind = |kind: &str| NewReceipt { kind: kind.to_owned(), ..receipt(0) };
        let mut waiting = Vec::with_capacity(PARTS);
        for _ in 0..PARTS {
            waiting.push(log.append(of_kind("part")));
        }
        futures::future::try_join_all(waiting).await.unwrap();
        let closing = log.append(of_kind("closing")).await.unwrap();
        assert_eq!(closing, PARTS as u64 + 1);
        for _ in 0..2 {
            assert_eq!(log.positions_of_receipt("rcp_0").await.unwrap().len(), READ_LIMIT_MAX);
            assert_eq!(log.positions_of_receipt_kinds("rcp_0", &["closing"]).await.unwrap(), [closing]);
            log.commit_to_log().await.unwrap();
        }
    })
    .await;
}

/// Where several processes write, one that was taken for dead writes nothing any more, and what it left is closed once.
#[tokio::test]
async fn who_was_taken_for_dead_writes_nothing_and_what_he_left_is_closed_once() {
    both(async |factory: StoreFactory| {
        if factory.backend() == Backend::Sqlite {
            // A node on SQLite has one process at a time.
            return;
        }
        let store = factory.open().await;
        let (dead, living) =
            (Quota::register(&store, false).await.unwrap(), Quota::register(&store, false).await.unwrap());
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        let other = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        let record = |delivery: u64, kind: &str| NewReceipt {
            receipt_id: format!("rcp_{delivery}"),
            kind: kind.to_owned(),
            ..receipt(0)
        };
        let alive = |process: &Quota| Some(Fence::Alive(process.process().to_string()));
        log.hand_in(record(1, "opened"), b"asked", alive(&dead)).await.unwrap().durable().await.unwrap();
        log.hand_in_next(record(1, "part"), alive(&dead)).await.unwrap().durable().await.unwrap();
        let raw = factory.raw().await;
        let stale =
            format!("UPDATE quota_process SET seen_at_unix = seen_at_unix - 61 WHERE process = '{}'", dead.process());
        raw.execute_unprepared(&stale).await.unwrap();
        // Not seen for a minute, but nobody has taken it for dead yet.
        log.hand_in_next(record(1, "part"), alive(&dead)).await.unwrap().durable().await.unwrap();
        assert_eq!(living.bury().await.unwrap().len(), 1);
        // Handed in together with somebody else's: these are written, in order and without a gap.
        let own = log.hand_in_next(record(1, "part"), alive(&dead)).await.unwrap();
        let first = log.hand_in(record(2, "opened"), b"asked", alive(&living)).await.unwrap();
        let late = log.hand_in(record(3, "opened"), b"asked", alive(&dead)).await.unwrap();
        let second = log.hand_in_next(record(2, "closed"), alive(&living)).await.unwrap();
        assert!(matches!(own.durable().await, Err(StoreError::Invalid { .. })));
        assert!(matches!(late.durable().await, Err(StoreError::Invalid { .. })));
        assert_eq!((first.durable().await.unwrap(), second.durable().await.unwrap()), (4, 5));
        // Two find what it left at the same time, and each tries twice.
        let mut closed = 0;
        for log in [&log, &other] {
            let closings =
                [record(1, CLOSED), record(1, CLOSED)].map(|record| log.hand_in_next(record, Some(Fence::Open)));
            for closing in closings {
                closed += u64::from(closing.await.unwrap().durable().await.is_ok());
            }
        }
        assert_eq!((closed, log.head().await.unwrap()), (1, 6));
        log.close().await;
        other.close().await;
    })
    .await;
}

/// Of deliveries that would pay for one file one pays, whichever processes serve them.
#[tokio::test]
async fn of_two_who_would_pay_for_one_file_one_pays() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let file = |name: &str| PaidFile { order: "ord_1".to_owned(), file: name.to_owned() };
        assert_eq!(store.payers(&file("a")).await.unwrap(), Vec::<String>::new());
        for receipt in ["rcp_2", "rcp_1", "rcp_2"] {
            store.note_payer(&file("a"), receipt, &[]).await.unwrap();
        }
        assert_eq!(store.payers(&file("a")).await.unwrap(), ["rcp_1", "rcp_2"]);
        assert_eq!(store.payers(&file("b")).await.unwrap(), Vec::<String>::new());
        store.note_payer(&file("a"), "rcp_3", &["rcp_1".to_owned()]).await.unwrap();
        assert_eq!(store.payers(&file("a")).await.unwrap(), ["rcp_2", "rcp_3"]);
        // One that did not begin, and those of an order that has ended.
        store.note_payer(&file("a"), "rcp_7", &[]).await.unwrap();
        store.forget_payer(&file("a"), "rcp_7").await.unwrap();
        store.note_payer(&PaidFile { order: "ord_2".to_owned(), ..file("a") }, "rcp_8", &[]).await.unwrap();
        assert_eq!(store.orders_with_payers().await.unwrap().len(), 2);
        store.forget_payers("ord_2").await.unwrap();
        assert_eq!(store.orders_with_payers().await.unwrap(), ["ord_1"]);
        assert_eq!(store.payers(&file("a")).await.unwrap(), ["rcp_2", "rcp_3"]);
        if factory.backend() == Backend::Sqlite {
            // A node on SQLite has one process at a time.
            return;
        }
        let processes = [Quota::register(&store, false).await.unwrap(), Quota::register(&store, false).await.unwrap()];
        let logs = [
            ReceiptLog::open(&store, factory.directory()).await.unwrap(),
            ReceiptLog::open(&store, factory.directory()).await.unwrap(),
        ];
        let closing =
            |delivery: u64| NewReceipt { receipt_id: format!("rcp_{delivery}"), kind: CLOSED.to_owned(), ..receipt(0) };
        let paying = |process: &Quota, name: &str| {
            Some(Fence::Paying { process: process.process().to_string(), file: file(name) })
        };
        // At once, by two processes and twice by one.
        let mut closings = Vec::new();
        for (log, process) in logs.iter().zip(&processes) {
            for delivery in [2, 3] {
                closings.push(log.hand_in_next(closing(delivery), paying(process, "a")).await.unwrap());
            }
        }
        let mut paid = 0;
        for closing in closings {
            paid += u64::from(closing.durable().await.is_ok());
        }
        assert_eq!((paid, logs[0].head().await.unwrap()), (1, 1));
        // Another file is nobody's business.
        store.note_payer(&file("b"), "rcp_4", &[]).await.unwrap();
        logs[1].hand_in_next(closing(4), paying(&processes[1], "b")).await.unwrap().durable().await.unwrap();
        // An export that is noted ends as any delivery does, and pays. While the first of these is written the others wait together.
        for receipt in ["rcp_5", "rcp_6"] {
            store.note_payer(&file("c"), receipt, &[]).await.unwrap();
        }
        let name = processes[0].process().to_string();
        let part = NewReceipt { kind: "part".to_owned(), ..closing(5) };
        let part = logs[0].hand_in_next(part, Some(Fence::Alive(name.clone()))).await.unwrap();
        let export = logs[0].hand_in_next(closing(5), Some(Fence::Alive(name.clone()))).await.unwrap();
        let file_of_it = logs[0].hand_in_next(closing(6), paying(&processes[0], "c")).await.unwrap();
        assert!(part.durable().await.is_ok() && export.durable().await.is_ok());
        assert!(matches!(file_of_it.durable().await, Err(StoreError::Invalid { .. })));
        // One that costs nothing more is closed once too, whoever heard of the first record.
        let mut closed = Vec::new();
        for _ in 0..2 {
            let once = Some(Fence::AliveAndOpen(name.clone()));
            closed.push(logs[0].hand_in_next(closing(6), once).await.unwrap().durable().await.is_ok());
        }
        assert_eq!(closed, [true, false]);
        for log in &logs {
            log.close().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn crowds_share_a_sync_and_positions_have_no_gap() {
    const CALLERS: u64 = 64;
    const EACH: u64 = 40;
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        let begin = Instant::now();
        let mut callers = Vec::new();
        for caller in 0..CALLERS {
            let log = log.clone();
            callers.push(tokio::spawn(async move {
                let mut positions = Vec::new();
                for number in 0..EACH {
                    let position = log.append(receipt(caller * EACH + number)).await.unwrap();
                    // Acknowledged means that it can be read.
                    assert_eq!(log.read(position).await.unwrap().unwrap().receipt, receipt(caller * EACH + number));
                    positions.push(position);
                }
                positions
            }));
        }
        let mut positions = Vec::new();
        for caller in callers {
            positions.extend(caller.await.unwrap());
        }
        println!(
            "{:?}: {} receipts, written and read back, in {:?}",
            factory.backend(),
            positions.len(),
            begin.elapsed()
        );
        positions.sort_unstable();
        assert_eq!(positions, (1..=CALLERS * EACH).collect::<Vec<_>>());
        assert_eq!(log.commit_to_log().await.unwrap(), CALLERS * EACH);
        let entry = ENTRY_RECEIPTS as u64;
        for position in [1, entry, entry + 1, 1_001, CALLERS * EACH] {
            let (log_entry, place) = ((position - 1) / entry, (position - 1) % entry);
            assert_eq!(log.commit_of(position).await.unwrap(), Some(ReceiptCommit { log_entry, place }));
        }
        assert_eq!(log.commit_of(CALLERS * EACH + 1).await.unwrap(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_followers_and_the_journal_commit_each_receipt_once() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        append_many(&log, 0..30).await;
        let mut tasks = Vec::new();
        for follower in 0..3u64 {
            let log = log.clone();
            let store = factory.open().await;
            tasks.push(tokio::spawn(async move {
                log.commit_to_log().await.unwrap();
                append_new(&store, append(&format!("tkt_{follower}"), 0, "ticket_opened")).await;
                log.append(receipt(30)).await.unwrap();
                log.commit_to_log().await.unwrap();
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let raw = factory.raw().await;
        let backend = raw.get_database_backend();
        let query = |sql: &str| sea_orm::Statement::from_string(backend, sql);
        let rows = raw
            .query_all_raw(query("SELECT first_position, \"count\", log_entry FROM receipt_commit ORDER BY 1"))
            .await
            .unwrap();
        let mut next = 1;
        let mut entries = Vec::new();
        for row in rows {
            assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), next);
            next += row.try_get_by_index::<i64>(1).unwrap();
            entries.push(row.try_get_by_index::<i64>(2).unwrap());
        }
        assert_eq!(next, 34);
        let rows = raw.query_all_raw(query("SELECT DISTINCT log_entry FROM journal")).await.unwrap();
        entries.extend(rows.iter().map(|row| row.try_get_by_index::<i64>(0).unwrap()));
        entries.sort_unstable();
        assert_eq!(entries, (0..entries.len() as i64).collect::<Vec<_>>(), "log entries have a gap or serve twice");
    })
    .await;
}

#[tokio::test]
async fn postgres_refuses_to_change_receipts() {
    both(async |factory: StoreFactory| {
        if factory.backend() == Backend::Sqlite {
            return;
        }
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        append_many(&log, 0..3).await;
        log.commit_to_log().await.unwrap();
        let raw = factory.raw().await;
        for attempt in [
            "UPDATE receipt_block SET block = ''",
            "DELETE FROM receipt_block",
            "TRUNCATE receipt_block",
            "UPDATE receipt_commit SET log_entry = 0",
            "DELETE FROM receipt_commit",
            "INSERT INTO receipt_block (first_position, \"count\", block) VALUES (9, 1, '')",
        ] {
            assert!(raw.execute_unprepared(attempt).await.is_err(), "not refused: {attempt}");
        }
    })
    .await;
}

/// A SQLite node with some receipts, each in a group of its own, and its only segment file.
async fn segment_with(count: u64) -> (StoreFactory, PathBuf, Vec<Receipt>) {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    append_many(&log, 0..count).await;
    let receipts = log.read_after(0, 1_000).await.unwrap();
    log.close().await;
    let file = factory.directory().join("receipts/00000001.seg");
    (factory, file, receipts)
}

#[tokio::test]
async fn a_torn_end_is_cut_off_wherever_it_was_torn() {
    let (factory, file, receipts) = segment_with(4).await;
    let store = factory.open().await;
    let whole = std::fs::read(&file).unwrap();
    let last_begins = begin_of_last_frame(&whole);
    for length in last_begins..whole.len() {
        // The file may end early, be as long as it should with the end not written, or go on with the zeros that are written ahead.
        for zeros in [0, whole.len() - length, whole.len() - length + 5_000] {
            let mut torn = whole[..length].to_vec();
            torn.extend(std::iter::repeat_n(0, zeros));
            if torn.starts_with(&whole) {
                continue;
            }
            std::fs::write(&file, &torn).unwrap();
            let reader = ReceiptLog::open_for_reading(&store, factory.directory()).await.unwrap();
            assert_eq!(reader.head().await.unwrap(), 3, "torn at {length}");
            assert_eq!(std::fs::read(&file).unwrap(), torn, "a reader changed the file");
            let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
            assert_eq!(log.read_after(0, 10).await.unwrap(), receipts[..3], "torn at {length}");
            log.close().await;
            assert_eq!(std::fs::read(&file).unwrap(), whole[..last_begins]);
        }
    }
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    append_many(&log, 3..6).await;
    assert_eq!(log.head().await.unwrap(), 6);
}

/// Zeros are written ahead of the frames: they are there while it is appended, and after a crash, and are no damage.
#[tokio::test]
async fn zeros_ahead_of_the_frames_are_no_damage() {
    let (factory, file, receipts) = segment_with(3).await;
    let store = factory.open().await;
    let whole = std::fs::read(&file).unwrap();
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    append_many(&log, 3..4).await;
    let ahead = std::fs::read(&file).unwrap();
    assert!(ahead.starts_with(&whole) && ahead.ends_with(&[0; 1_024]));
    append_many(&log, 4..6).await;
    assert_eq!(std::fs::read(&file).unwrap().len(), ahead.len(), "the length was made durable anew");
    log.close().await;
    // As a killed process leaves it.
    std::fs::write(&file, &ahead).unwrap();
    let reader = ReceiptLog::open_for_reading(&store, factory.directory()).await.unwrap();
    assert_eq!(reader.read_after(0, 3).await.unwrap(), receipts);
    assert_eq!(reader.head().await.unwrap(), 4);
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    append_many(&log, 4..5).await;
    assert_eq!(log.read(5).await.unwrap().map(|found| found.receipt), Some(receipt(4)));
    log.close().await;
    let ended = std::fs::read(&file).unwrap();
    assert!(ended.len() < ahead.len() && !ended.ends_with(&[0; 1_024]), "it ends with its last frame");
    // Zeros over what the log commits to are.
    log.commit_to_log().await.unwrap();
    let last_begins = begin_of_last_frame(&ended);
    let mut zeroed = ended.clone();
    zeroed[last_begins..].fill(0);
    std::fs::write(&file, &zeroed).unwrap();
    let message = ReceiptLog::open(&store, factory.directory()).await.err().unwrap().to_string();
    assert!(message.contains(&format!("00000001.seg is damaged at offset {last_begins};")), "{message}");
}

/// Zeros behind a large frame would be overwritten by the next one: twice the bytes for nothing.
#[tokio::test]
async fn no_zeros_are_written_behind_a_large_frame() {
    let (factory, file, _) = segment_with(3).await;
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    let large = |number| NewReceipt { record: vec![b'x'; 100_000], ..receipt(number) };
    for number in 3..5 {
        log.append(large(number)).await.unwrap();
        assert!(std::fs::read(&file).unwrap().ends_with(b"xx"), "something follows receipt {number}");
    }
    append_many(&log, 5..6).await;
    assert!(std::fs::read(&file).unwrap().ends_with(&[0; 1_024]));
    assert_eq!(log.read(5).await.unwrap().map(|found| found.receipt), Some(large(4)));
    log.close().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    assert_eq!(log.head().await.unwrap(), 6);
}

fn begin_of_last_frame(segment: &[u8]) -> usize {
    segment.windows(4).rposition(|window| window == b"LQRG").unwrap()
}

#[tokio::test]
async fn damage_before_the_end_is_named_by_file_and_offset() {
    let (factory, file, _) = segment_with(4).await;
    let store = factory.open().await;
    let whole = std::fs::read(&file).unwrap();
    let frames: Vec<usize> = (0..whole.len()).filter(|at| whole[*at..].starts_with(b"LQRG")).collect();
    for at in 0..frames[3] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&file, &damaged).unwrap();
        let offset = frames.iter().rev().find(|begin| **begin <= at).copied().unwrap_or(0);
        for result in [
            ReceiptLog::open(&store, factory.directory()).await.err(),
            ReceiptLog::open_for_reading(&store, factory.directory()).await.err(),
        ] {
            let message = result.unwrap_or_else(|| panic!("a changed byte at {at} was not found")).to_string();
            assert!(
                message.contains("00000001.seg is damaged") && message.contains(&format!("offset {offset};")),
                "{at}: {message}"
            );
        }
    }
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(ReceiptLog::open(&store, factory.directory()).await.unwrap().head().await.unwrap(), 4);
}

#[tokio::test]
async fn damage_after_opening_is_found_when_it_is_read() {
    let (factory, file, _) = segment_with(4).await;
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    let mut damaged = std::fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    assert!(matches!(log.read_after(0, 10).await, Err(StoreError::Unreadable { .. })));
}

#[tokio::test]
async fn segments_follow_each_other_and_a_missing_one_is_named() {
    const RECORD: usize = 900 * 1024;
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    let large = |number: u64| NewReceipt { record: vec![b'a' + (number % 26) as u8; RECORD], ..receipt(number) };
    for number in 0..80 {
        log.append(large(number)).await.unwrap();
    }
    log.close().await;
    let directory = factory.directory().join("receipts");
    assert!(directory.join("00000002.seg").is_file() && !directory.join("00000003.seg").exists());
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    for position in [1, 72, 73, 74, 75, 80] {
        assert_eq!(log.read(position).await.unwrap().unwrap().receipt, large(position - 1));
    }
    // Large receipts come fewer at a time, and the follower still commits to all of them.
    assert!(log.read_after(0, 100).await.unwrap().len() < 20);
    assert_eq!(log.commit_to_log().await.unwrap(), 80);
    log.close().await;

    // A crash right after a segment was created leaves an empty file.
    std::fs::write(directory.join("00000003.seg"), b"LQR").unwrap();
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    assert_eq!(log.append(large(80)).await.unwrap(), 81);
    log.close().await;
    std::fs::remove_file(directory.join("00000001.seg")).unwrap();
    let message = ReceiptLog::open(&store, factory.directory()).await.err().unwrap().to_string();
    assert!(message.contains("before") && message.contains("00000002.seg is missing"), "{message}");
}

#[tokio::test]
async fn one_process_at_a_time_appends() {
    let (factory, _, _) = segment_with(1).await;
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    let message = ReceiptLog::open(&store, factory.directory()).await.err().unwrap().to_string();
    assert!(message.contains("another lingqu process"), "{message}");
    assert_eq!(ReceiptLog::open_for_reading(&store, factory.directory()).await.unwrap().head().await.unwrap(), 1);
    log.close().await;
    ReceiptLog::open(&store, factory.directory()).await.unwrap();
}

#[tokio::test]
async fn lost_segments_are_told_when_the_log_has_committed_to_them() {
    let (factory, file, _) = segment_with(4).await;
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    log.commit_to_log().await.unwrap();
    log.close().await;
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..begin_of_last_frame(&whole)]).unwrap();
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    let message = log.commit_to_log().await.unwrap_err().to_string();
    assert!(message.contains("entries for 4 receipts but only 3"), "{message}");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        let large = NewReceipt { record: vec![b'x'; lingqu_store::receipt::RECORD_BYTES_MAX + 1], ..receipt(0) };
        assert!(matches!(log.append(large).await, Err(StoreError::Invalid { .. })));
        append_many(&log, 0..1).await;
    })
    .await;
}

/// Positions visited, and differences as `table id`.
async fn checked(store: &Store, log: &ReceiptLog) -> (Vec<u64>, Vec<String>) {
    let view = store.snapshot().await.unwrap();
    let (mut visited, mut differences) = (Vec::new(), Vec::new());
    let count = check_receipts(&view, log, &mut |seen| match seen {
        Seen::Receipt(receipt) => visited.push(receipt.position),
        Seen::Difference { table, id, .. } => differences.push(format!("{table} {id}")),
    })
    .await
    .unwrap();
    assert_eq!(count, visited.len() as u64);
    (visited, differences)
}

#[tokio::test]
async fn a_check_visits_each_receipt_once_and_names_what_differs() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        append_many(&log, 0..20).await;
        log.commit_to_log().await.unwrap();
        append_new(&store, append("tkt_1", 0, "ticket_opened")).await;
        append_many(&log, 20..30).await;
        log.commit_to_log().await.unwrap();
        // On PostgreSQL these have rows in the index, on SQLite they get them with their entry.
        append_many(&log, 30..35).await;
        let all: Vec<u64> = (1..=35).collect();
        assert_eq!(checked(&store, &log).await, (all.clone(), Vec::new()));

        let raw = factory.raw().await;
        raw.execute_unprepared("DELETE FROM receipt_index WHERE position IN (7, 25)").await.unwrap();
        raw.execute_unprepared("UPDATE receipt_index SET kind = 'single' WHERE position = 8").await.unwrap();
        let differences = ["receipt_index 7", "receipt_index 8", "receipt_index 25"].map(str::to_owned).to_vec();
        assert_eq!(checked(&store, &log).await, (all, differences));
    })
    .await;
}

#[tokio::test]
async fn a_check_names_receipts_that_are_lost_or_damaged() {
    let (factory, file, _) = segment_with(4).await;
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    log.commit_to_log().await.unwrap();
    log.close().await;
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..begin_of_last_frame(&whole)]).unwrap();
    let log = ReceiptLog::open_for_reading(&store, factory.directory()).await.unwrap();
    let lost = ["receipt 4", "receipt_index 4"].map(str::to_owned).to_vec();
    assert_eq!(checked(&store, &log).await, (vec![1, 2, 3], lost));
    // Damage that comes after the log was opened: what follows it can't be read in order, and is not guessed at.
    std::fs::write(&file, &whole).unwrap();
    let log = ReceiptLog::open_for_reading(&store, factory.directory()).await.unwrap();
    let mut damaged = whole.clone();
    let second = whole.windows(4).enumerate().filter(|(_, window)| *window == b"LQRG").nth(1).unwrap().0;
    damaged[second + 20] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let (visited, differences) = checked(&store, &log).await;
    assert_eq!((visited.len(), differences.len()), (0, 1), "{differences:?}");
}
