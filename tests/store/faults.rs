//! Faults of disk and database give one clear sentence, and nothing of a refused operation is kept.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lingqu_crypto::SealKey;
use lingqu_store::receipt::{NewReceipt, ReceiptLog};
use lingqu_store::{AppendError, Backend, Store, StoreConfig, StoreError};
use lingqu_tests::{PrivatePostgres, StoreFactory, both, until_waiting};
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::sample::{append, append_new};

async fn open_error(url: &str) -> String {
    let config = StoreConfig { url: url.into(), vault_key: SealKey::from_bytes([7; 32]), connections_max: 2 };
    Store::open(config).await.err().expect("the store must not open").to_string()
}

#[tokio::test]
async fn wrong_urls_say_what_to_write_and_show_no_password() {
    for url in
        ["mysql://root:secret@host/db", "sqlite::memory:", "sqlite:", "postgres://user:secret@host", "nonsense secret"]
    {
        let message = open_error(url).await;
        assert!(message.contains("sqlite:FILE") && !message.contains("secret"), "{message}");
    }
    let message = open_error("postgres://user:secret@127.0.0.1:1/db").await;
    assert!(message.contains("no server answers") && !message.contains("secret"), "{message}");
}

#[tokio::test]
async fn a_database_file_that_cannot_be_opened_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing/lingqu.db");
    let message = open_error(&format!("sqlite:{}", missing.display())).await;
    assert!(message.contains("missing is no directory; create it"), "{message}");
    let message = open_error(&format!("sqlite:{}", directory.path().display())).await;
    assert!(message.contains("this is a directory"), "{message}");
    let text = directory.path().join("text.db");
    std::fs::write(&text, "this is no database, only a text that is long enough to be taken for one".repeat(20))
        .unwrap();
    let message = open_error(&format!("sqlite:{}", text.display())).await;
    assert!(message.contains("no SQLite database or damaged"), "{message}");
}

#[tokio::test]
async fn a_missing_postgres_database_says_so() {
    let Some(server) = PrivatePostgres::needed("a missing database of PostgreSQL") else { return };
    let message = open_error(&server.loopback_url("nowhere")).await;
    assert!(message.contains("no such database; create it with createdb"), "{message}");
}

#[tokio::test]
async fn a_database_that_another_program_locks_says_so() {
    both(async |factory: StoreFactory| {
        let store = Store::open_with_lock_wait(factory.config(), Duration::from_millis(200)).await.unwrap();
        let raw = factory.raw().await;
        let holding = raw.begin().await.unwrap();
        let hold = match factory.backend() {
            Backend::Sqlite => "UPDATE quota_account SET used = 0",
            Backend::Postgres => "LOCK TABLE journal IN EXCLUSIVE MODE",
        };
        holding.execute_unprepared(hold).await.unwrap();
        let refused = store.append(append("mdt_1", 0, "mandate_granted")).await;
        match refused {
            Err(AppendError::Store(StoreError::Locked { doing })) => assert!(!doing.is_empty()),
            other => panic!("{other:?}"),
        }
        // Readers go on meanwhile, and writers afterwards.
        assert_eq!(store.head().await.unwrap(), 0);
        holding.rollback().await.unwrap();
        append_new(&store, append("mdt_1", 0, "mandate_granted")).await;
    })
    .await;
}

/// A process that is stopped within its transaction holds the writer's lock. The server ends that after a while, so the others go on.
/// When it goes on itself, what it was about to write is refused, and it may try again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_stopped_keeps_nobody_out_and_acknowledges_nothing() {
    /// The lock of whoever writes the journal, among PostgreSQL's advisory locks.
    const JOURNAL_LOCK: i64 = 0x4c51_0001;
    const PATIENCE: Duration = Duration::from_secs(60);
    let Some(server) = PrivatePostgres::needed("a writer that is stopped") else { return };
    let factory = StoreFactory::postgres(server).await;
    let (store, raw, config) = (factory.open().await, factory.raw().await, factory.config());
    let (opened, is_opened) = tokio::sync::oneshot::channel();
    let (begin, begins) = std::sync::mpsc::sync_channel(1);
    let (stop, stops) = tokio::sync::oneshot::channel();
    let (stopped, is_stopped) = tokio::sync::oneshot::channel();
    let (go_on, goes_on) = std::sync::mpsc::sync_channel(1);
    // A runtime of one thread, which waits within: nothing of this process goes on meanwhile.
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(config).await.unwrap();
            opened.send(()).unwrap();
            begins.recv_timeout(PATIENCE).unwrap();
            let (refused, ()) = tokio::join!(store.append(append("mdt_1", 0, "mandate_granted")), async {
                stops.await.unwrap();
                stopped.send(()).unwrap();
                goes_on.recv_timeout(PATIENCE).unwrap();
            });
            (refused, store.append(append("mdt_1", 0, "mandate_granted")).await)
        })
    });
    is_opened.await.unwrap();
    // It waits for the lock, and gets it once it is stopped.
    let holding = raw.begin().await.unwrap();
    holding.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({JOURNAL_LOCK})")).await.unwrap();
    begin.send(()).unwrap();
    until_waiting(&raw, 1).await;
    stop.send(()).unwrap();
    is_stopped.await.unwrap();
    holding.rollback().await.unwrap();
    let begun = Instant::now();
    append_new(&store, append("mdt_2", 0, "mandate_granted")).await;
    assert!(begun.elapsed() > Duration::from_secs(5), "the one that was stopped did not hold the lock");

    go_on.send(()).unwrap();
    let (refused, again) = process.join().unwrap();
    assert!(matches!(refused, Err(AppendError::Store(StoreError::Unreachable { .. }))), "{refused:?}");
    assert!(again.is_ok(), "{again:?}");
    assert_eq!(store.head().await.unwrap(), 2);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    both(async |factory: StoreFactory| {
        factory.open().await.close().await.unwrap();
        let raw = factory.raw().await;
        raw.execute_unprepared("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)")
            .await
            .unwrap();
        let message = Store::open(factory.config()).await.err().unwrap().to_string();
        assert!(message.contains("run the newer version"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn many_processes_may_open_a_new_database_at_once() {
    both(async |factory: StoreFactory| {
        let mut opening = Vec::new();
        for _ in 0..4 {
            opening.push(tokio::spawn(Store::open(factory.config())));
        }
        for opened in opening {
            assert_eq!(opened.await.unwrap().unwrap().head().await.unwrap(), 0);
        }
    })
    .await;
}

/// A file system of 6 MiB, unmounted when dropped. Only root can make one; elsewhere the tests that need it use what they
/// can do without.
struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
            .arg(directory.path())
            .output()
            .ok()?;
        mounted.status.success().then_some(SmallDisk { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn remount_read_only(&self) {
        let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(self.path()).status().unwrap();
        assert!(remounted.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.path()).status());
    }
}

fn config_in(directory: &Path) -> StoreConfig {
    StoreConfig {
        url: format!("sqlite:{}", directory.join("lingqu.db").display()),
        vault_key: SealKey::from_bytes([7; 32]),
        connections_max: 1,
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_everything_acknowledged_stays() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("*** no right to mount a small file system: the test of a full disk did not run ***");
        return;
    };
    let reserve = disk.path().join("reserve");
    std::fs::write(&reserve, vec![0; 2 * 1024 * 1024]).unwrap();
    let store = Store::open(config_in(disk.path())).await.unwrap();
    append_new(&store, append("mdt_0", 0, "mandate_granted")).await;
    let log = ReceiptLog::open(&store, disk.path()).await.unwrap();
    let receipt = |bytes: usize| NewReceipt {
        receipt_id: "rcp_1".into(),
        order_id: "ord_1".into(),
        kind: "single".into(),
        record: vec![b'x'; bytes],
    };
    let mut acknowledged = 0;
    let refused = loop {
        match log.append(receipt(50_000)).await {
            Ok(position) => acknowledged = position,
            Err(refused) => break refused,
        }
        assert!(acknowledged < 100, "the disk never fills");
    };
    assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}");
    assert_eq!(log.head().await.unwrap(), acknowledged);
    let mut journal_refused = None;
    for number in 1..200 {
        if let Err(refused) = store.append(append(&format!("mdt_{number}"), 0, "mandate_granted")).await {
            journal_refused = Some((number, refused));
            break;
        }
    }
    let (appended, refused) = journal_refused.expect("the disk is full");
    assert!(matches!(refused, AppendError::Store(StoreError::Full { .. })), "{refused:?}");
    // With space again both go on where they were.
    std::fs::remove_file(&reserve).unwrap();
    assert_eq!(log.append(receipt(10)).await.unwrap(), acknowledged + 1);
    assert_eq!(append_new(&store, append("mdt_x", 0, "mandate_granted")).await, appended + 1);
    assert_eq!(log.read_after(0, 1_000).await.unwrap().len() as u64, acknowledged + 1);
    log.close().await;
    store.close().await.unwrap();

    disk.remount_read_only();
    let message = Store::open(config_in(disk.path())).await.err().unwrap().to_string();
    assert!(message.contains("can't write in") && message.contains("right to write"), "{message}");
}

#[tokio::test]
async fn a_read_only_directory_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(config_in(directory.path())).await.unwrap();
    // Not even root can create files here.
    let read_only = PathBuf::from("/proc/self");
    let message = ReceiptLog::open(&store, &read_only).await.err().unwrap().to_string();
    assert!(message.contains("can't create /proc/self/receipts"), "{message}");
    let message = open_error("sqlite:/proc/self/lingqu.db").await;
    assert!(message.contains("can't write in /proc/self"), "{message}");
}
