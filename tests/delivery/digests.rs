//! What a receipt says of the answer itself: its digest, the masks, the node, and the question in its canonical form.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use lingqu_crypto::{Sha256Hasher, sha256};
use lingqu_domain::answer::{AnswerDigest, AnswerForm, AnswerSalt};
use lingqu_domain::receipt::{Opening, Outcome, ReceiptBody};
use lingqu_domain::scope::{ColumnName, Mode};
use lingqu_gateway::delivery::{Admission, BatchRequest, Deliveries, Settings};
use lingqu_store::vault::VaultRead;
use lingqu_tests::scenario::{TRIP_CHECK, TRIP_RECORDS, Who};
use parquet::arrow::ArrowWriter;
use serde_json::json;

use crate::served::{Reply, Served};

const RECORDS: [Mode; 3] = [Mode::Lookup, Mode::Rows, Mode::File];

/// How a delivery began and the digest of its answer.
async fn told(served: &Served, receipt: &str) -> (Opening, Option<AnswerDigest>) {
    served.closed_or_single(receipt).await;
    let records = served.records(receipt).await;
    let digest = match &records.last().unwrap().body {
        ReceiptBody::Closed { totals, .. } | ReceiptBody::Single { totals, .. } => totals.answer.clone(),
        other => panic!("{other:?}"),
    };
    match &records[0].body {
        ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } => (opening.clone(), digest),
        other => panic!("{other:?}"),
    }
}

/// Holds the receipt's digest against the body, with nothing but what came with the answer.
async fn check(served: &Served, reply: &Reply) -> Opening {
    let salt: AnswerSalt = reply.header("answer-salt").expect("a salt").parse().unwrap();
    let (opening, digest) = told(served, reply.header("delivery-receipt").unwrap()).await;
    assert_eq!(digest, Some(salt.digest(AnswerForm::Bytes, &sha256(&reply.body))), "{reply:?}");
    assert_eq!(opening.node, served.scenario.app.node_id());
    assert!(opening.node.is_some());
    opening
}

/// The canonical form of a delivery's question, opened with the vault and held against the receipt.
async fn canonical(served: &Served, receipt: &str) -> String {
    let (opening, _) = told(served, receipt).await;
    let kept = match served.scenario.app.request(&receipt.parse().unwrap()).await.unwrap() {
        VaultRead::Present(kept) => kept.to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(opening.request_digest, sha256(&kept).to_string());
    let (salt, text) = kept.split_at(16);
    let text = text.rsplit(|byte| *byte == 0x1e).next().unwrap();
    assert_eq!(opening.query_digest, Some(sha256(&[salt, text].concat()).to_string()));
    String::from_utf8(text.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_answer_can_show_that_it_is_the_receipt_s() {
    let served = Served::open(None, 3_000).await;
    let check_order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (100, 0)).await;
    let claim = json!({"key": {"trip_id": 60}, "claim": {"late": true}});
    let reply = served.post(&check_order, "/verify", claim).await.ok();
    let opening = check(&served, &reply).await;
    // A verification has a column of the product in it and no row of it.
    assert!(opening.masks.keys().all(|column| opening.lineage.as_ref().unwrap().conditions.contains(column)));

    let order = served.scenario.order(Who::First, TRIP_RECORDS, &RECORDS, (100, 20)).await;
    for path in [
        "/lookup/61",
        "/rows?limit=20&columns=trip_id,vehicle",
        "/rows?limit=20&format=parquet",
        "/rows?limit=20&format=arrow",
        "/rows?filter=trip_id:eq:-1",
        "/export",
        "/export?format=csv",
        "/export?format=ndjson&columns=trip_id",
    ] {
        let reply = served.ok_soon(&order, path).await;
        check(&served, &reply).await;
    }
    let reply = served.post(&order, "/query", json!({"sql": "SELECT count(*) AS n FROM trip_records"})).await.ok();
    let opening = check(&served, &reply).await;
    assert!(opening.masks.is_empty(), "{:?}", opening.masks);
    let vehicle = ColumnName::new("vehicle").unwrap();
    let masked = served.ok_soon(&order, "/rows?limit=1&columns=vehicle").await;
    let opening = check(&served, &masked).await;
    assert_eq!(opening.masks.keys().collect::<Vec<_>>(), [&vehicle]);
    assert_eq!(
        opening.masks[&vehicle],
        served
            .scenario
            .app
            .read(|state| lingqu_domain::grant::Grant::of(state, &order.id, served.scenario.app.now()))
            .unwrap()
            .scope
            .columns[&vehicle]
            .in_mode(Mode::Rows)
    );
    let plain = served.ok_soon(&order, "/rows?limit=1&columns=trip_id").await;
    assert!(check(&served, &plain).await.masks.is_empty());
    // Another body, another salt: it is not the one.
    let (_, digest) = told(&served, plain.header("delivery-receipt").unwrap()).await;
    let salt: AnswerSalt = plain.header("answer-salt").unwrap().parse().unwrap();
    let other: AnswerSalt = masked.header("answer-salt").unwrap().parse().unwrap();
    assert_ne!(digest, Some(salt.digest(AnswerForm::Bytes, &sha256(&masked.body))));
    assert_ne!(digest, Some(other.digest(AnswerForm::Bytes, &sha256(&plain.body))));
    assert!(served.scenario.app.replay_check().await.unwrap().agrees);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_file_in_pieces_the_receipt_has_the_digest_of_the_whole() {
    let served = Served::open(None, 3_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &RECORDS, (100, 20)).await;
    let whole = served.ok_soon(&order, "/export?format=csv").await;
    check(&served, &whole).await;
    let range = format!("bytes=0-{}", whole.body.len() / 2);
    let piece = served.request(reqwest::Method::GET, &order, "/export?format=csv").header("range", range);
    let piece = Reply::of(piece).await;
    assert_eq!(piece.status, 206);
    assert_eq!(whole.body[..piece.body.len()], piece.body[..]);
    let salt: AnswerSalt = piece.header("answer-salt").unwrap().parse().unwrap();
    let (_, digest) = told(&served, piece.header("delivery-receipt").unwrap()).await;
    assert_eq!(digest, Some(salt.digest(AnswerForm::Bytes, &sha256(&whole.body))));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_answer_that_was_cut_off_it_is_the_digest_of_what_left() {
    let served = Served::open(None, 60_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &RECORDS, (100, 20)).await;
    let whole = served.ok_soon(&order, "/export?format=ndjson").await;
    let begun = served.begun(&order, "/export?format=ndjson").await;
    let receipt = crate::served::receipt_of(&begun);
    let salt: AnswerSalt = begun.headers()["answer-salt"].to_str().unwrap().parse().unwrap();
    drop(begun);
    let (_, outcome, totals) = served.closed(&receipt).await;
    let left = usize::try_from(totals.bytes).unwrap();
    if outcome != Outcome::Delivered {
        assert!(left < whole.body.len());
    }
    assert_eq!(totals.answer, Some(salt.digest(AnswerForm::Bytes, &sha256(&whole.body[..left]))));
}

/// What the script without our code that the manual names prints; none where Python with its clients was not set up, which in CI is
/// a failure.
fn scripted(arguments: &[&str]) -> Option<String> {
    const CLIENTS: &str = "LINGQU_TEST_CLIENTS";
    let python = std::env::var_os(CLIENTS).map(|folder| std::path::PathBuf::from(folder).join("bin/python"));
    let Some(python) = python.filter(|python| python.is_file()) else {
        assert!(std::env::var_os("CI").is_none(), "{CLIENTS} names no environment with the clients; run make test");
        eprintln!("\n*** THE CLIENTS ARE MISSING: THE SCRIPT WAS NOT RUN. Run it by `make test`. ***\n");
        return None;
    };
    let mut command = std::process::Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/answer-digest.py")).args(arguments);
    let ended = lingqu_tests::node::run_command(command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    Some(ended.stdout.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_without_our_code_makes_the_same_digests() {
    let served = Served::open(None, 2_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &RECORDS, (100, 20)).await;
    let file = served.scenario.directory().join("answer");
    let file_text = file.to_str().unwrap();
    let reply = served.ok_soon(&order, "/export?format=csv").await;
    std::fs::write(&file, &reply.body).unwrap();
    let (_, digest) = told(&served, reply.header("delivery-receipt").unwrap()).await;
    let Some(printed) = scripted(&[reply.header("answer-salt").unwrap(), file_text]) else { return };
    assert_eq!(Some(printed), digest.map(|digest| digest.sha256));
    // As values: everything that the product has, missing values and pseudonyms too.
    let deliveries = Deliveries::new(served.scenario.app.clone(), Settings::default());
    let admission = deliveries.admit_order(Some(&order.key), "flight").await.unwrap();
    let sql = "SELECT *, delay * 0.5 AS half, delay > 10 AS late FROM trip_records";
    let request = BatchRequest {
        mode: Mode::Rows,
        sql: sql.to_owned(),
        parameters: Vec::new(),
        request: sql.to_owned(),
        limits: Admission::limits(Mode::Rows),
    };
    let answer = deliveries.batches(&admission, request).await.unwrap();
    let (receipt, salt, schema) = (answer.receipt.to_string(), answer.answer_salt, answer.schema.clone());
    let batches: Vec<_> = answer.batches.try_collect().await.unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&file).unwrap(), schema, None).unwrap();
    for batch in &batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
    let (_, digest) = told(&served, &receipt).await;
    let printed = scripted(&[&salt.to_string(), "--value-blocks", file_text]);
    assert_eq!(printed, digest.map(|digest| digest.sha256));
}

/// The digest of one column of integers, made by the manual's words alone.
fn digest_of_integers(name: &str, values: &[i64]) -> lingqu_crypto::Sha256Digest {
    let mut column = Sha256Hasher::default();
    for block in values.chunks(1_024) {
        // The kind, that none is missing, and how many bytes a number of the block takes.
        let bytes = [1_u32, 2, 4, 8]
            .into_iter()
            .find(|bytes| block.iter().all(|value| i128::from(*value).unsigned_abs() < 1 << (8 * bytes - 1)));
        let bytes = bytes.unwrap();
        column.update(&[2, 0, u8::try_from(bytes).unwrap()]);
        for value in block {
            column.update(&value.to_le_bytes()[..bytes as usize]);
        }
    }
    let mut whole = b"lingqu answer value blocks v1\n".to_vec();
    whole.extend_from_slice(&(values.len() as u64).to_be_bytes());
    whole.extend_from_slice(&1_u64.to_be_bytes());
    whole.extend_from_slice(&(name.len() as u64).to_be_bytes());
    whole.extend_from_slice(name.as_bytes());
    whole.extend_from_slice(&column.finish().0);
    sha256(&whole)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_batches_have_a_digest_of_their_values_and_every_question_its_canonical_form() {
    let served = Served::open(None, 9_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &RECORDS, (100, 20)).await;
    let deliveries = Deliveries::new(served.scenario.app.clone(), Settings::default());
    let admission = deliveries.admit_order(Some(&order.key), "flight").await.unwrap();
    let ask = |mode, sql: &str| BatchRequest {
        mode,
        sql: sql.to_owned(),
        parameters: Vec::new(),
        request: sql.to_owned(),
        limits: Admission::limits(mode),
    };
    let sql = "select trip_id\nfrom trip_records -- all\nwhere Trip_Id<8500 order by trip_id";
    let answer = deliveries.batches(&admission, ask(Mode::Rows, sql)).await.unwrap();
    let (receipt, salt) = (answer.receipt.to_string(), answer.answer_salt);
    let batches: Vec<_> = answer.batches.try_collect().await.unwrap();
    let values: Vec<i64> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(values.len(), 8_500);
    let (_, digest) = told(&served, &receipt).await;
    assert_eq!(digest, Some(salt.digest(AnswerForm::ValueBlocks, &digest_of_integers("trip_id", &values))));
    let form = canonical(&served, &receipt).await;
    assert_eq!(form, "SELECT \"trip_id\" FROM \"trip_records\" WHERE \"trip_id\" < 8500 ORDER BY \"trip_id\"");
    // In another spelling by another protocol it is the same question.
    let reply = served.post(&order, "/query", json!({"sql": form})).await.ok();
    assert_eq!(canonical(&served, reply.header("delivery-receipt").unwrap()).await, form);

    // A lookup by statement is one of a key.
    let sql = "SELECT trip_id FROM trip_records WHERE trip_id = 61";
    let answer = deliveries.batches(&admission, ask(Mode::Lookup, sql)).await.unwrap();
    let (receipt, salt) = (answer.receipt.to_string(), answer.answer_salt);
    let (_, digest) = told(&served, &receipt).await;
    assert_eq!(digest, Some(salt.digest(AnswerForm::ValueBlocks, &digest_of_integers("trip_id", &[61]))));
    let keyed = canonical(&served, &receipt).await;
    assert_eq!(keyed, r#"{"lookup":{"columns":["trip_id"],"keys":[[{"integer":61}]]}}"#);
    let by_path = served.get(&order, "/lookup/61").await.ok();
    let by_name = served.get(&order, "/lookup?trip_id=61").await.ok();
    let (by_path, by_name) = (by_path.header("delivery-receipt").unwrap(), by_name.header("delivery-receipt").unwrap());
    assert_eq!(canonical(&served, by_path).await, canonical(&served, by_name).await);
}
