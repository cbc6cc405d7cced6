//! The records of a delivery.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lingqu_app::{App, AppError, SaltedRequest};
use lingqu_domain::id::ReceiptId;
use lingqu_domain::lineage::AnswerLineage;
use lingqu_domain::receipt::{Opening, ReceiptBody, ReceiptRecord};
use lingqu_domain::scope::Mode;
use lingqu_store::paid_file::PaidFile;
use lingqu_store::receipt::{Appending, CLOSED};
use roaring::RoaringTreemap;

use super::Admission;

/// Most bytes of a bitmap in one record; its base64 form stays well below what the receipt log takes.
const ROW_SET_BYTES_MAX: usize = 512 * 1024;

/// What is known of a delivery when it begins.
pub(super) fn opening(
    app: &App,
    admission: &Admission,
    mode: Mode,
    request: &SaltedRequest,
    lineage: Option<AnswerLineage>,
) -> Opening {
    let grant = &admission.serving.grant;
    Opening {
        order: grant.order.clone(),
        consumer: grant.consumer.clone(),
        day: None,
        process: admission.process.clone(),
        product: grant.product.clone(),
        purpose: grant.purpose.clone(),
        mode,
        protocol: admission.protocol.to_owned(),
        grant_digest: admission.serving.grant_digest.clone(),
        rulebook_version: grant.rulebook_version.clone(),
        nature: grant.nature,
        snapshots: admission.serving.snapshots.clone(),
        query_digest: Some(request.query_digest.clone()),
        request_digest: request.request_digest.clone(),
        code_id: admission.serving.code_id().map(str::to_owned),
        marked: admission.serving.marked_columns(lineage.as_ref()),
        masks: admission.serving.masks(mode, lineage.as_ref()),
        node: app.node_id(),
        lineage,
        made_from: admission.serving.made_from(),
        rho_spent: None,
        rows_named_by: admission.serving.rows_named_by(),
    }
}

/// Writes the delivery's first record and with it the salted request that it has the digest of: both are durable when this
/// returns, and a receipt never names a text that is not there.
pub(super) async fn begin(
    app: &App,
    admission: &Admission,
    receipt: &ReceiptId,
    salted: &[u8],
    body: ReceiptBody,
) -> Result<(), AppError> {
    let record = app.receipt_record(receipt, body);
    app.write_first_receipt(&admission.order, &record, salted).await?;
    Ok(())
}

/// The same for a record that is all of its delivery, in two steps: when this returns, the record is on its way to the disk and
/// gets there whoever waits for it.
pub(super) async fn hand_in(
    app: &App,
    admission: &Admission,
    receipt: &ReceiptId,
    salted: &[u8],
    body: ReceiptBody,
) -> Result<Appending, AppError> {
    let record = app.receipt_record(receipt, body);
    app.hand_in_receipt(&admission.order, &record, salted).await
}

/// Writes a record; it is durable when this returns.
pub(super) async fn write(
    app: &App,
    admission: &Admission,
    receipt: &ReceiptId,
    body: ReceiptBody,
) -> Result<(), AppError> {
    hand_in_next(app, admission, receipt, body).await?.durable().await?;
    Ok(())
}

/// Writes the record that closes a delivery. It is not written where one is there, whoever heard of that.
pub(super) async fn write_only_closing(
    app: &App,
    admission: &Admission,
    receipt: &ReceiptId,
    body: ReceiptBody,
) -> Result<(), AppError> {
    let record = app.receipt_record(receipt, body);
    let process = admission.process.as_deref();
    app.hand_in_only_closing(&admission.order, &record, process).await?.durable().await?;
    Ok(())
}

/// Writes the record that closes a delivery which pays for a file and is noted for it. It is not written either when another process
/// has served a delivery meanwhile that paid for it.
pub(super) async fn write_paying(
    app: &App,
    admission: &Admission,
    receipt: &ReceiptId,
    body: ReceiptBody,
    file: PaidFile,
) -> Result<(), AppError> {
    let record = app.receipt_record(receipt, body);
    let process = admission.process.as_deref();
    app.hand_in_paying_receipt(&admission.order, &record, process, file).await?.durable().await?;
    Ok(())
}

/// The records that closed a delivery, each with the order that it is of. The closings alone are asked for: a large file has more parts
/// than one look at the log returns.
pub(super) async fn closings(app: &App, receipt: &str) -> Result<Vec<(String, ReceiptRecord)>, AppError> {
    let log = app.receipts();
    let mut closings = Vec::new();
    for position in log.positions_of_receipt_kinds(receipt, &[CLOSED]).await? {
        let Some(stored) = log.read(position).await? else { continue };
        let record = serde_json::from_slice(&stored.receipt.record)
            .map_err(|error| AppError::Fault(format!("receipt record {position} can't be read: {error}")))?;
        closings.push((stored.receipt.order_id, record));
    }
    Ok(closings)
}

/// A further record in two steps, as [`hand_in`].
pub(super) async fn hand_in_next(
    app: &App,
    admission: &Admission,
    receipt: &ReceiptId,
    body: ReceiptBody,
) -> Result<Appending, AppError> {
    let record = app.receipt_record(receipt, body);
    app.hand_in_next_receipt(&admission.order, &record, admission.process.as_deref()).await
}

/// The rows of the one table that a session has.
pub(super) fn rows_of(tables: BTreeMap<String, RoaringTreemap>) -> RoaringTreemap {
    let mut rows = RoaringTreemap::new();
    for (_, of_table) in tables {
        rows |= of_table;
    }
    rows
}

/// Rows as they stand in records: how many, and the bitmap as base64. More than one where the bitmap is too large for one
/// record; none where there is no row.
pub(super) fn row_sets(rows: RoaringTreemap) -> Vec<(u64, String)> {
    let mut sets = Vec::new();
    let mut waiting = vec![rows];
    while let Some(mut rows) = waiting.pop() {
        let count = rows.len();
        if count == 0 {
            continue;
        }
        rows.optimize();
        if rows.serialized_size() <= ROW_SET_BYTES_MAX {
            sets.push((count, encode(&rows)));
            continue;
        }
        let middle = rows.select(count / 2).expect("half the count is below the count");
        let mut low = rows.clone();
        low.remove_range(middle..);
        rows.remove_range(..middle);
        waiting.push(rows);
        waiting.push(low);
    }
    sets
}

/// A bitmap as base64 of the portable 64-bit form.
pub(super) fn encode(rows: &RoaringTreemap) -> String {
    let mut bytes = Vec::with_capacity(rows.serialized_size());
    rows.serialize_into(&mut bytes).expect("writing into memory can't fail");
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> RoaringTreemap {
        RoaringTreemap::deserialize_from(&STANDARD.decode(text).unwrap()[..]).unwrap()
    }

    #[test]
    fn a_run_of_rows_is_small_and_comes_back() {
        let rows: RoaringTreemap = (0..336_776).collect();
        let sets = row_sets(rows.clone());
        assert_eq!(sets.len(), 1);
        assert_eq!(sets[0].0, 336_776);
        assert!(sets[0].1.len() < 200, "{}", sets[0].1.len());
        assert_eq!(decode(&sets[0].1), rows);
        assert_eq!(row_sets(RoaringTreemap::new()), []);
    }

    #[test]
    fn a_large_bitmap_is_cut_into_records_that_together_hold_it() {
        // Every third row of 12 million can't be written as runs: about 8 KiB for each 65,536 rows.
        let rows: RoaringTreemap = (0..12_000_000).step_by(3).collect();
        let sets = row_sets(rows.clone());
        assert!(sets.len() > 1);
        let mut joined = RoaringTreemap::new();
        for (count, text) in &sets {
            assert!(text.len() < 900 * 1024);
            let part = decode(text);
            assert_eq!(part.len(), *count);
            assert!(part.is_disjoint(&joined));
            joined |= part;
        }
        assert_eq!(joined, rows);
    }
}
