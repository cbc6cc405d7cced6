//! A replay after one row or one byte was changed.

use std::fs;
use std::path::{Path, PathBuf};

use lingqu_app::verify_evidence;
use lingqu_domain::id::OrderId;
use lingqu_store::Backend;
use lingqu_tests::scenario::id_number;
use lingqu_tests::{StoreFactory, both};

use crate::tampered::{Tampered, rewrite_segment};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_node_agrees_and_a_changed_row_is_named() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        node.scenario.consent(&id_number(0)).await;
        node.scenario.consent(&id_number(2)).await;
        let people = [id_number(2), id_number(3), id_number(4)];
        let identities: Vec<&str> = people.iter().map(String::as_str).collect();
        let names = node.app().give_consents(&identities, node.scenario.consent_details()).await.unwrap();
        node.app().withdraw_consent(&people[1], &names[1]).await.unwrap();
        let (subjects, keys) = (4, 2);
        node.app().publish_log().await.unwrap();
        let honest = node.replay().await;
        assert!(honest.agrees, "{:?}", honest.differences);
        assert_eq!(honest.receipts, node.app().receipts().head().await.unwrap());
        assert_eq!((honest.metering_windows, honest.service_keys), (4, keys));
        assert_eq!(node.value("SELECT CAST(count(*) AS text) FROM vault_index").await, subjects.to_string());

        index_and_commits(&node).await;
        keys_and_accounts(&node).await;
        consents(&node).await;
        vault(&node).await;
        the_log_s_own_rows(&node).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_between_two_windows_of_one_run_loses_no_order_and_counts_none_twice() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        // What no window counts yet: claims, rows and a file, and once more the same.
        node.use_both().await;
        let head = node.app().receipts().head().await.unwrap();
        let first = node.app().meter_orders(1).await.unwrap();
        assert_eq!(first.len(), 1);
        assert!(first[0].end_position <= head, "the other order's receipts are left");
        // As if the node had stopped here.
        let rest = node.meter().await;
        assert!(rest.iter().all(|reading| reading.end_position == head + 1), "{rest:?}");
        let deliveries = |order: &OrderId| {
            let of_order = first.iter().chain(&rest).filter(|reading| reading.order == *order);
            of_order.map(|reading| reading.deliveries).sum::<u64>()
        };
        for order in [&node.check.id, &node.records.id] {
            assert_eq!(deliveries(order), 4, "{order}: {first:?} {rest:?}");
        }
        assert!(node.meter().await.is_empty());
        // Each window counts what the receipts come to, and none is missing between two.
        node.app().publish_log().await.unwrap();
        let report = node.replay().await;
        assert!(report.agrees, "{:?}", report.differences);
        for order in [&node.check.id, &node.records.id] {
            let report = verify_evidence(&node.app().export_evidence(order).await.unwrap(), None);
            assert!(report.verified, "{:?}", report.findings);
        }
    })
    .await;
}

async fn index_and_commits(node: &Tampered) {
    let (order, other) = (&node.records.id, &node.check.id);
    let deleted = node.position(&node.records, "closed", 0).await;
    node.sql(&format!("DELETE FROM receipt_index WHERE position = {deleted}")).await;
    node.replay_names("receipt_index", &deleted.to_string(), "is missing").await;
    let moved = node.position(&node.records, "part", deleted).await;
    node.sql(&format!("UPDATE receipt_index SET order_id = '{other}' WHERE position = {moved}")).await;
    node.replay_names("receipt_index", &moved.to_string(), "order_id is not the receipt's").await;
    let added = "INSERT INTO receipt_index (position, order_id, receipt_id, kind) VALUES";
    node.sql(&format!("{added} (9999, '{order}', 'rcp_1', 'single')")).await;
    node.replay_names("receipt_index", "9999", "no such receipt").await;

    node.sql("UPDATE receipt_commit SET \"count\" = \"count\" + 1 WHERE first_position = 1").await;
    node.replay_names("receipt_commit", "1", "and log entry").await;
    node.sql("DELETE FROM receipt_commit WHERE first_position = 1").await;
    node.replay_names("receipt_commit", "1", "is missing").await;
}

async fn keys_and_accounts(node: &Tampered) {
    let (order, other) = (&node.records.id, &node.check.id);
    let hash_of = async |order: &str| {
        let hash = if node.factory.backend() == Backend::Sqlite { "lower(hex(hash))" } else { "encode(hash, 'hex')" };
        node.value(&format!("SELECT {hash} FROM service_key WHERE order_id = '{order}'")).await
    };
    let (hash, other_hash) = (hash_of(order.as_str()).await, hash_of(other.as_str()).await);
    node.sql(&format!("UPDATE service_key SET revoked_at = 'x' WHERE order_id = '{order}'")).await;
    node.replay_names("service_key", &hash, "revoked_at is not what the journal leads to").await;
    node.sql(&format!("UPDATE service_key SET order_id = '{order}' WHERE order_id = '{other}'")).await;
    node.replay_names("service_key", &other_hash, "order_id is not what the journal leads to").await;
    let swapped = if node.factory.backend() == Backend::Sqlite { "x'00'" } else { "'\\x00'" };
    node.sql(&format!("DELETE FROM service_key WHERE hash > {swapped} AND revoked_at IS NULL")).await;
    node.replay_names("service_key", &other_hash, "is missing").await;
    let unknown = "00".repeat(32);
    let literal =
        if node.factory.backend() == Backend::Sqlite { format!("x'{unknown}'") } else { format!("'\\x{unknown}'") };
    let added = "INSERT INTO service_key (hash, order_id, last_four, created_at) VALUES";
    node.sql(&format!("{added} ({literal}, '{order}', 'abcd', 'x')")).await;
    node.replay_names("service_key", &unknown, "issued no such key").await;

    let account = format!("{order}/calls");
    node.sql(&format!("UPDATE quota_account SET used = 5000 WHERE account = '{account}'")).await;
    node.replay_names("quota_account", &account, "of a quota of 1000").await;
    node.sql(&format!("UPDATE quota_account SET used = 0 WHERE account = '{account}'")).await;
    node.sql(&format!("DELETE FROM quota_lease WHERE account = '{account}'")).await;
    node.replay_names("quota_account", &account, "it holds 0, and the receipts come to 3").await;
    node.sql(&format!("DELETE FROM quota_account WHERE account = '{account}'")).await;
    node.replay_names("quota_account", &account, "the row is missing").await;
    node.sql("INSERT INTO quota_account (account, used) VALUES ('ord_1/calls', 1)").await;
    node.replay_names("quota_account", "ord_1/calls", "no such order").await;
}

async fn consents(node: &Tampered) {
    let batch = node.value("SELECT id FROM consent_batch").await;
    let set = if node.factory.backend() == Backend::Sqlite { "x'00000000'" } else { "'\\x00000000'" };
    node.sql(&format!("UPDATE consent_set SET ordinals = {set}")).await;
    node.replay_names("consent_set", &batch, "not that of the members").await;
    // He who is at the second place withdrew; now another stands there.
    node.sql("UPDATE consent_row SET ordinal = 0 WHERE member = 1").await;
    node.replay_names("consent_row", &batch, "not those of the digest").await;
    node.replay_names("consent_row", &batch, "at place 1 withdrew for him").await;
    node.sql("DELETE FROM consent_row WHERE member = 1").await;
    node.replay_names("consent_row", &batch, "place 1 is missing").await;
    let alone = node.value("SELECT subject FROM consent_subject WHERE ordinal = 0").await;
    node.sql("DELETE FROM consent_subject WHERE ordinal = 0").await;
    node.replay_names("consent_subject", &alone, "he consented").await;
    node.replay_names("consent_subject", "ordinal", "have the ordinals below").await;
    node.sql(&format!("INSERT INTO consent_subject (subject, ordinal) VALUES ('{alone}', 0)")).await;
}

async fn vault(node: &Tampered) {
    let digests = if node.factory.backend() == Backend::Sqlite { "x'01'" } else { "'\\x01'" };
    let first = node.value("SELECT min(subject) FROM vault_index").await;
    node.sql(&format!("UPDATE vault_index SET digest = {digests} WHERE subject = '{first}'")).await;
    node.replay_names("vault_index", &first, "not that of his identity").await;
    node.sql(&format!("DELETE FROM vault_index WHERE subject = '{first}'")).await;
    node.replay_names("vault_index", &first, "the row is missing").await;
    let second = node.value("SELECT min(subject) FROM vault_index").await;
    node.sql(&format!("UPDATE vault_item SET kind = 'other' WHERE subject = '{second}'")).await;
    node.replay_names("vault_index", &second, "does not open").await;
}

async fn the_log_s_own_rows(node: &Tampered) {
    // The journal's last record, a metering window, is taken away with what stands on it.
    let head = node.app().store().head().await.unwrap();
    let stream = node.value("SELECT stream FROM journal ORDER BY position DESC LIMIT 1").await;
    let kind = node.value("SELECT kind FROM journal ORDER BY position DESC LIMIT 1").await;
    let table = kind.split_once('.').unwrap().0;
    node.sql(&format!("UPDATE \"{table}\" SET position = 1 WHERE id = '{stream}'")).await;
    node.sql(&format!("DELETE FROM journal WHERE position = {head}")).await;
    node.replay_names("journal", &head.to_string(), "log entries commit to records up to").await;
    // An entry that the published log has.
    let entry = node.value("SELECT CAST(max(log_entry) AS text) FROM receipt_commit").await;
    node.sql(&format!("DELETE FROM receipt_commit WHERE log_entry = {entry}")).await;
    node.sql(&format!("DELETE FROM log_entry WHERE idx = {entry}")).await;
    node.replay_names("log_entry", &entry, "missing").await;
    node.replay_names("log_entry", "log", "another one than in the database").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_that_were_changed_or_cut_off_are_named() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        let head = node.app().receipts().head().await.unwrap();
        if node.factory.backend() == Backend::Postgres {
            node.sql(
                "DELETE FROM receipt_block WHERE first_position = (SELECT max(first_position) FROM receipt_block)",
            )
            .await;
            node.replay_names("receipt", "", "commits to receipts up to").await;
            node.replay_names("receipt_index", &head.to_string(), "no such receipt").await;
            node.sql("DELETE FROM receipt_block WHERE first_position = 1").await;
            node.replay_names("receipt", "1", "are missing").await;
            return;
        }
        let segment = node.segment();
        let whole = fs::read(&segment).unwrap();
        // A charge taken back, with a checksum that fits.
        rewrite_segment(&segment, b"\"calls\":1", b"\"calls\":0");
        node.replay_names("receipt", "1", "not what log entry").await;
        node.replay_names("meter", node.check.id.as_str(), "calls and the receipts come to").await;
        fs::write(&segment, &whole).unwrap();
        // A receipt that is kept under another order, where neither search nor metering would look for it.
        rewrite_segment(&segment, node.check.id.as_str().as_bytes(), node.records.id.as_str().as_bytes());
        node.replay_names("receipt", "1", "is not its own").await;
        fs::write(&segment, &whole).unwrap();
        // The last group, as if it had never been synced.
        let last = whole.windows(4).rposition(|window| window == b"LQRG").unwrap();
        fs::write(&segment, &whole[..last]).unwrap();
        node.replay_names("receipt", "", "commits to receipts up to").await;
        fs::write(&segment, &whole).unwrap();
        assert!(node.replay().await.agrees);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_byte_in_any_file_of_the_log_is_named() {
    let node = Tampered::open(StoreFactory::sqlite()).await;
    assert!(node.replay().await.agrees);
    let log = node.app().directory().join("log");
    let files = files_below(&log);
    assert!(files.iter().any(|file| file.ends_with("checkpoint")) && files.len() >= 3, "{files:?}");
    for file in files {
        let whole = fs::read(&file).unwrap();
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&file, &changed).unwrap();
        let report = node.replay().await;
        let name = file.strip_prefix(&log).unwrap().to_str().unwrap();
        let is_named = report.differences.iter().any(|found| {
            found.table == "log_entry" && (found.problem.contains(name) || found.problem.contains("entry "))
        });
        assert!(is_named, "{name}: {:?}", report.differences);
        fs::write(&file, &whole).unwrap();
    }
    assert!(node.replay().await.agrees);
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.file_name().unwrap() != "lock" {
            files.push(path);
        }
    }
    files
}
