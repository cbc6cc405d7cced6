//! Which data sets an order has paid for, so that a file taken ten times costs one data set.
//!
//! For each paid file of an order a marker names the receipt by which it was paid. The receipt log is the truth: a marker
//! counts only when that receipt was closed with a charge, so one that a crash left too early is worth nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use lingqu_app::{App, AppError};
use lingqu_crypto::Sha256Digest;
use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::receipt::{ReceiptBody, ReceiptRecord};

use super::finished::{private_directory, private_file};
use super::task_lost;

/// The folder below the node's directory.
const FOLDER: &str = "paid";
/// Longest marker, in bytes; an id is far shorter.
const MARKER_BYTES_MAX: u64 = 256;

/// Whether an order has paid for the file of a name.
pub(super) async fn is_paid(app: &App, order: &OrderId, name: &Sha256Digest) -> Result<bool, AppError> {
    let path = marker(app, order, name);
    let read = tokio::task::spawn_blocking(move || match path.metadata() {
        Ok(metadata) if metadata.len() > MARKER_BYTES_MAX => Ok(None),
        Ok(_) => fs::read_to_string(&path).map(Some).map_err(|error| AppError::file("read", &path, &error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AppError::file("read", &path, &error)),
    });
    let Some(text) = read.await.map_err(|error| task_lost(&error))?? else { return Ok(false) };
    let Ok(receipt) = text.parse::<ReceiptId>() else { return Ok(false) };
    let log = app.receipts();
    // The closing alone is asked for: a large file has more parts than one look at the log returns.
    for position in log.positions_of_receipt_kinds(receipt.as_str(), &["closed"]).await? {
        let Some(stored) = log.read(position).await? else { continue };
        if stored.receipt.order_id != order.as_str() {
            continue;
        }
        let record: ReceiptRecord = serde_json::from_slice(&stored.receipt.record)
            .map_err(|error| AppError::Fault(format!("receipt record {position} can't be read: {error}")))?;
        // A delivery may have been closed as interrupted by one process and then as delivered by the one that served it.
        if matches!(record.body, ReceiptBody::Closed { totals, .. } if totals.data_sets > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes by which receipt an order pays for the file of a name. When this returns, it survives a loss of power.
pub(super) async fn note(app: &App, order: &OrderId, name: &Sha256Digest, receipt: &ReceiptId) -> Result<(), AppError> {
    let path = marker(app, order, name);
    let text = receipt.to_string();
    let written = tokio::task::spawn_blocking(move || {
        let write = || -> io::Result<()> {
            let folder = path.parent().expect("a marker stands in its order's folder");
            private_directory(folder)?;
            let unfinished = path.with_extension("unfinished");
            let mut file = private_file(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| AppError::file("write", &path, &error))
    });
    written.await.map_err(|error| task_lost(&error))?
}

fn marker(app: &App, order: &OrderId, name: &Sha256Digest) -> PathBuf {
    app.directory().join(FOLDER).join(order.as_str()).join(name.to_string())
}
