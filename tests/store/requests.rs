//! Requests that are kept with their receipts: both or neither, opened by nobody else, erased for good, and found where older
//! programs kept them.

use std::path::{Path, PathBuf};

use lingqu_crypto::SealKey;
use lingqu_store::receipt::{NewReceipt, READ_LIMIT_MAX, REQUEST_BYTES_MAX, ReceiptLog};
use lingqu_store::vault::{VaultItem, VaultRead};
use lingqu_store::{Backend, Store, StoreConfig, StoreError};
use lingqu_tests::{StoreFactory, both};

use crate::sample::append;

const AT: &str = "2026-03-02T10:00:00+08:00";

fn receipt(number: u64, kind: &str) -> NewReceipt {
    NewReceipt {
        receipt_id: format!("rcp_{number}"),
        order_id: "ord_1".into(),
        kind: kind.into(),
        record: format!("{{\"n\":{number}}}").into_bytes(),
    }
}

fn text(number: u64) -> Vec<u8> {
    format!("身份证 45010019800101{number:03}X").into_bytes()
}

fn present(number: u64) -> VaultRead {
    VaultRead::Present(text(number).into())
}

fn erased() -> VaultRead {
    VaultRead::Erased { erased_at: AT.into() }
}

/// Deliveries `0..count`, each with a request; every second one has a record more.
async fn deliver(log: &ReceiptLog, count: u64) {
    for number in 0..count {
        log.append_with_request(receipt(number, "opened"), &text(number)).await.unwrap();
        if number % 2 == 1 {
            log.append(receipt(number, "closed")).await.unwrap();
        }
    }
}

fn segment(factory: &StoreFactory, number: u64) -> PathBuf {
    factory.directory().join(format!("receipts/{number:08}.seg"))
}

/// A segment to the end of its last frame, without the zeros that are written ahead of the next.
fn written(factory: &StoreFactory) -> Vec<u8> {
    let mut bytes = std::fs::read(segment(factory, 1)).unwrap();
    let mut end = 20;
    while bytes[end..].starts_with(b"LQRG") {
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        end += 20 + number(end + 4) + number(end + 8) + number(end + 12);
    }
    assert!(bytes[end..].iter().all(|byte| *byte == 0));
    bytes.truncate(end);
    bytes
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn a_request_is_read_back_and_erased_while_its_receipt_stays() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        deliver(&log, 6).await;
        let receipts = log.read_after(0, READ_LIMIT_MAX).await.unwrap();
        assert_eq!(receipts.len(), 9);
        for number in 0..3 {
            assert_eq!(log.request(&format!("rcp_{number}")).await.unwrap(), present(number));
        }
        log.erase_request("rcp_1", AT).await.unwrap();
        // After the follower has been there it is found by the index.
        log.commit_to_log().await.unwrap();
        log.erase_request("rcp_4", AT).await.unwrap();
        log.erase_request("rcp_4", "2026-03-05T10:00:00+08:00").await.unwrap();
        assert_eq!(log.request("rcp_9").await.unwrap(), VaultRead::Unknown);
        log.close().await;
        assert!(matches!(log.erase_request("rcp_0", AT).await, Err(StoreError::Invalid { .. })));

        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        let reader = ReceiptLog::open_for_reading(&store, factory.directory()).await.unwrap();
        for log in [&log, &reader] {
            for number in 0..6 {
                let expected = if [1, 4].contains(&number) { erased() } else { present(number) };
                assert_eq!(log.request(&format!("rcp_{number}")).await.unwrap(), expected, "{number}");
            }
            assert_eq!(log.read_after(0, READ_LIMIT_MAX).await.unwrap(), receipts);
        }
        assert!(matches!(reader.erase_request("rcp_0", AT).await, Err(StoreError::Invalid { .. })));
        assert!(matches!(
            reader.append_with_request(receipt(9, "opened"), b"x").await,
            Err(StoreError::Invalid { .. })
        ));
    })
    .await;
}

#[tokio::test]
async fn another_vault_key_opens_no_request_and_one_that_is_too_large_is_refused() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        deliver(&log, 2).await;
        let large = log.append_with_request(receipt(9, "opened"), &vec![0; REQUEST_BYTES_MAX + 1]).await;
        assert!(matches!(large, Err(StoreError::Invalid { .. })), "{large:?}");
        assert_eq!(log.head().await.unwrap(), 3);
        log.append_with_request(receipt(9, "opened"), &vec![b'x'; REQUEST_BYTES_MAX]).await.unwrap();
        let config = StoreConfig { vault_key: SealKey::from_bytes([8; 32]), ..factory.config() };
        let other = Store::open(config).await.unwrap();
        let reader = ReceiptLog::open_for_reading(&other, factory.directory()).await.unwrap();
        assert!(matches!(reader.request("rcp_1").await, Err(StoreError::Sealed { .. })));
        assert_eq!(log.request("rcp_9").await.unwrap(), VaultRead::Present(vec![b'x'; REQUEST_BYTES_MAX].into()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_of_requests_each_keeps_its_own() {
    const CALLERS: u64 = 200;
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        let mut callers = tokio::task::JoinSet::new();
        for number in 0..CALLERS {
            let log = log.clone();
            callers.spawn(async move {
                if number % 3 == 0 {
                    log.append(receipt(number, "closed")).await.unwrap();
                    return;
                }
                log.append_with_request(receipt(number, "single"), &text(number)).await.unwrap();
                if number % 5 == 0 {
                    log.erase_request(&format!("rcp_{number}"), AT).await.unwrap();
                }
            });
        }
        callers.join_all().await;
        for number in 0..CALLERS {
            let expected = match number {
                _ if number % 3 == 0 => VaultRead::Unknown,
                _ if number % 5 == 0 => erased(),
                _ => present(number),
            };
            assert_eq!(log.request(&format!("rcp_{number}")).await.unwrap(), expected, "{number}");
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_of_a_request_is_in_the_clear_and_erased_bytes_are_overwritten() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    log.append_with_request(receipt(1, "single"), &text(1)).await.unwrap();
    let before = written(&factory);
    assert!(!holds(&before, &text(1)));
    log.erase_request("rcp_1", AT).await.unwrap();
    let after = written(&factory);
    assert_eq!(before.len(), after.len());
    // The slot comes first, at a multiple of its size; what was sealed is the end of the frame.
    let sealed_at = before.len() - (12 + text(1).len() + 16);
    let slot_at = sealed_at - 64;
    assert_eq!(slot_at % 64, 0);
    assert_eq!(before[..slot_at], after[..slot_at], "the receipt has changed");
    assert!(!holds(&after, &before[slot_at + 1..slot_at + 33]), "the secret is still there");
    assert_eq!(after[sealed_at..], vec![0; before.len() - sealed_at], "the sealed bytes are still there");
    assert_eq!(log.request("rcp_1").await.unwrap(), erased());
    assert_eq!(log.read(1).await.unwrap().unwrap().receipt, receipt(1, "single"));
}

#[tokio::test]
async fn an_erasure_that_a_crash_cut_off_is_ended_by_asking_again() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    deliver(&log, 1).await;
    let before = written(&factory);
    log.erase_request("rcp_0", AT).await.unwrap();
    log.close().await;
    // The slot was overwritten, the sealed bytes were not.
    let mut half = std::fs::read(segment(&factory, 1)).unwrap();
    let sealed_at = before.len() - (12 + text(0).len() + 16);
    half[sealed_at..].copy_from_slice(&before[sealed_at..]);
    std::fs::write(segment(&factory, 1), &half).unwrap();
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    assert_eq!(log.head().await.unwrap(), 1, "an erased request is no torn end");
    assert_eq!(log.request("rcp_0").await.unwrap(), erased());
    log.erase_request("rcp_0", "2026-03-05T10:00:00+08:00").await.unwrap();
    assert_eq!(log.request("rcp_0").await.unwrap(), erased());
    assert!(std::fs::read(segment(&factory, 1)).unwrap()[sealed_at..].iter().all(|byte| *byte == 0));
}

/// What a crash leaves of a group that was never synced may be any part of it. A receipt whose request did not reach the disk
/// whole is cut off with it.
#[tokio::test]
async fn a_receipt_is_not_there_without_its_request_wherever_the_end_was_torn() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    deliver(&log, 3).await;
    log.close().await;
    let file = segment(&factory, 1);
    let whole = std::fs::read(&file).unwrap();
    let last_begins = whole.windows(4).rposition(|window| window == b"LQRG").unwrap();
    let is_padding = |at: usize| {
        let slot_at = whole.len() - (12 + text(2).len() + 16) - 64;
        (slot_at - 64..slot_at).contains(&at) && whole[at] == 0
    };
    for at in last_begins..whole.len() {
        // The file ends early; or a stretch of it was not written.
        let mut torn = vec![whole[..at].to_vec()];
        let mut gap = whole.clone();
        gap[at..(at + 40).min(whole.len())].fill(0);
        if gap != whole {
            torn.push(gap);
        }
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        if !is_padding(at) {
            torn.push(changed);
        }
        for torn in torn {
            std::fs::write(&file, &torn).unwrap();
            let reader = ReceiptLog::open_for_reading(&store, factory.directory()).await.unwrap();
            assert_eq!(reader.head().await.unwrap(), 3, "torn at {at}");
            assert_eq!(std::fs::read(&file).unwrap(), torn, "a reader changed the file");
            let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
            assert_eq!(log.head().await.unwrap(), 3, "torn at {at}");
            log.close().await;
            assert_eq!(std::fs::read(&file).unwrap(), whole[..last_begins]);
        }
    }
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    log.append_with_request(receipt(7, "single"), &text(7)).await.unwrap();
    assert_eq!(log.request("rcp_7").await.unwrap(), present(7));
    assert_eq!(log.request("rcp_1").await.unwrap(), present(1));
    assert_eq!(log.request("rcp_2").await.unwrap(), VaultRead::Unknown);
}

#[tokio::test]
async fn a_request_that_was_changed_is_told_by_place_and_never_shown() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    deliver(&log, 3).await;
    let file = segment(&factory, 1);
    let mut changed = std::fs::read(&file).unwrap();
    let second = changed.windows(4).enumerate().filter(|(_, window)| *window == b"LQRG").nth(1).unwrap().0;
    // The last byte of the first request's tag.
    changed[second - 1] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    assert!(matches!(log.request("rcp_0").await, Err(StoreError::Sealed { .. })));
    assert_eq!(log.request("rcp_1").await.unwrap(), present(1));
    let receipts = log.read_after(0, READ_LIMIT_MAX).await.unwrap();
    log.close().await;
    // It is no evidence and may be erased, so receipts do not depend on it: the node starts and has them all.
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    assert_eq!(log.read_after(0, READ_LIMIT_MAX).await.unwrap(), receipts);
    assert!(matches!(log.request("rcp_0").await, Err(StoreError::Sealed { .. })));
    assert_eq!(log.request("rcp_2").await.unwrap(), present(2));
    log.append_with_request(receipt(7, "single"), &text(7)).await.unwrap();
    log.erase_request("rcp_0", AT).await.unwrap();
    assert_eq!(log.request("rcp_0").await.unwrap(), erased());
}

/// The last group, which nothing follows: once the log commits to its receipts nothing of it is cut off any more.
#[tokio::test]
async fn what_the_log_commits_to_is_no_torn_end() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    deliver(&log, 3).await;
    log.commit_to_log().await.unwrap();
    let receipts = log.read_after(0, READ_LIMIT_MAX).await.unwrap();
    log.close().await;
    let file = segment(&factory, 1);
    let whole = std::fs::read(&file).unwrap();
    let last_begins = whole.windows(4).rposition(|window| window == b"LQRG").unwrap();
    // A byte of the sealed text, or of its slot: the receipts are all there, the request is not.
    let sealed_at = whole.len() - (12 + text(2).len() + 16);
    for at in [whole.len() - 1, sealed_at - 64] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&file, &changed).unwrap();
        let reader = ReceiptLog::open_for_reading(&store, factory.directory()).await.unwrap();
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        for log in [&reader, &log] {
            assert_eq!(log.read_after(0, READ_LIMIT_MAX).await.unwrap(), receipts);
            assert!(matches!(log.request("rcp_2").await, Err(StoreError::Sealed { .. })), "{at}");
        }
        log.close().await;
        assert_eq!(std::fs::read(&file).unwrap(), changed);
    }
    // A byte of a receipt: it is told, and left for whoever can mend it.
    let mut changed = whole.clone();
    changed[last_begins + 40] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    let message = ReceiptLog::open(&store, factory.directory()).await.err().unwrap().to_string();
    assert!(message.contains("00000001.seg is damaged") && message.contains(&format!("offset {last_begins};")));
    assert_eq!(std::fs::read(&file).unwrap(), changed);
    std::fs::write(&file, &whole).unwrap();
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    assert_eq!(log.request("rcp_2").await.unwrap(), present(2));
}

#[tokio::test]
async fn what_was_erased_before_it_was_there_is_not_read() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
    log.erase_request("rcp_1", AT).await.unwrap();
    log.append_with_request(receipt(1, "single"), &text(1)).await.unwrap();
    assert_eq!(log.request("rcp_1").await.unwrap(), erased());
}

/// A node's directory as a program left it that kept requests in the vault: plain frames in a segment of the first form.
#[tokio::test]
async fn a_directory_from_before_is_read_written_to_and_erased_from() {
    for count in [0, 3] {
        let factory = StoreFactory::sqlite();
        let store = factory.open().await;
        write_plain_segment(&segment(&factory, 1), count);
        let mut with_requests = append("csn_1", 0, "consent_given");
        with_requests.vault = (0..count).map(old_request).collect();
        store.append(with_requests).await.unwrap();
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        assert_eq!(log.head().await.unwrap(), count);
        for number in 0..count {
            assert_eq!(log.read(number + 1).await.unwrap().unwrap().receipt, receipt(number, "single"));
            assert_eq!(log.request(&format!("rcp_{number}")).await.unwrap(), present(number));
        }
        let old = std::fs::read(segment(&factory, 1)).unwrap();
        log.append_with_request(receipt(7, "single"), &text(7)).await.unwrap();
        assert_eq!(log.commit_to_log().await.unwrap(), count + 1);
        log.close().await;
        // An old program would take the new frames for a torn end; a new segment it refuses whole.
        if count > 0 {
            assert_eq!(std::fs::read(segment(&factory, 1)).unwrap(), old);
        }
        let last = std::fs::read(segment(&factory, if count > 0 { 2 } else { 1 })).unwrap();
        assert!(last.starts_with(b"LQRSEG02"));
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        assert!(!segment(&factory, if count > 0 { 3 } else { 2 }).exists());
        assert_eq!(log.read_after(0, READ_LIMIT_MAX).await.unwrap().len() as u64, count + 1);
        assert_eq!(log.request("rcp_7").await.unwrap(), present(7));
        if count > 0 {
            log.erase_request("rcp_1", AT).await.unwrap();
            assert_eq!(log.request("rcp_1").await.unwrap(), erased());
            assert_eq!(log.request("rcp_2").await.unwrap(), present(2));
        }
    }
}

fn old_request(number: u64) -> VaultItem {
    VaultItem {
        id: format!("vlt_{number}"),
        subject: format!("rcp_{number}"),
        kind: "request".into(),
        plaintext: text(number).into(),
        index: None,
    }
}

/// A segment of the first form with receipts `0..count`, each in a frame of its own.
fn write_plain_segment(file: &Path, count: u64) {
    let mut bytes = b"LQRSEG01".to_vec();
    bytes.extend(1u64.to_be_bytes());
    bytes.extend(crc32c(&bytes).to_be_bytes());
    for number in 0..count {
        let NewReceipt { receipt_id, order_id, kind, record } = receipt(number, "single");
        let mut group = (number + 1).to_be_bytes().to_vec();
        group.extend(1u16.to_be_bytes());
        group.extend([number as u8; 16]);
        for id in [kind, order_id, receipt_id] {
            group.push(id.len() as u8);
            group.extend(id.as_bytes());
        }
        group.extend((record.len() as u32).to_be_bytes());
        group.extend(record);
        let length = (group.len() as u32).to_be_bytes();
        bytes.extend(b"LQRG");
        bytes.extend(length);
        bytes.extend(crc32c(&[&length[..], &group].concat()).to_be_bytes());
        bytes.extend(group);
    }
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, bytes).unwrap();
}

/// CRC-32C (RFC 3720, appendix B.4), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[tokio::test]
async fn postgres_keeps_requests_in_the_transaction_of_their_receipts() {
    both(async |factory: StoreFactory| {
        if factory.backend() == Backend::Sqlite {
            return;
        }
        let store = factory.open().await;
        let log = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        let raw = factory.raw().await;
        let rename = async |sql: &str| sea_orm::ConnectionTrait::execute_unprepared(&raw, sql).await.unwrap();
        rename("ALTER TABLE vault_item RENAME TO vault_away").await;
        let failed = log.append_with_request(receipt(1, "single"), &text(1)).await;
        assert!(matches!(failed, Err(StoreError::Database { .. })), "{failed:?}");
        assert_eq!(log.head().await.unwrap(), 0);
        rename("ALTER TABLE vault_away RENAME TO vault_item").await;
        assert_eq!(log.append_with_request(receipt(1, "single"), &text(1)).await.unwrap(), 1);
        assert_eq!(log.request("rcp_1").await.unwrap(), present(1));
    })
    .await;
}
