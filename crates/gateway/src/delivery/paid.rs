//! Which data sets an order has paid for, so that a file taken ten times costs one data set.
//!
//! For each file of an order the database names the receipts of the deliveries that may have paid for it, for all processes of a node.
//! The receipt log is the truth: a delivery has paid when it was closed with a charge, so one that was noted and then was given up,
//! or that a crash interrupted, is worth nothing, and hides none that has paid.

use std::fs;
use std::io;

use lingqu_app::{App, AppError};
use lingqu_crypto::Sha256Digest;
use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::receipt::ReceiptBody;
use lingqu_store::paid_file::PaidFile;

use super::{receipt, task_lost};

/// The folder below the node's directory in which earlier versions named the one receipt by which a file was paid.
const FOLDER: &str = "paid";
/// Longest such marker, in bytes; an id is far shorter.
const MARKER_BYTES_MAX: u64 = 256;

/// The file of a name, as the database has it.
pub(super) fn file_of(order: &OrderId, name: &Sha256Digest) -> PaidFile {
    PaidFile { order: order.as_str().to_owned(), file: name.to_string() }
}

/// Whether an order has paid for the file of a name.
pub(super) async fn is_paid(app: &App, order: &OrderId, name: &Sha256Digest) -> Result<bool, AppError> {
    for payer in app.store().payers(&file_of(order, name)).await? {
        if paid_by(app, order, &payer).await? == Some(true) {
            return Ok(true);
        }
    }
    match marked(app, order, name).await? {
        Some(payer) => Ok(paid_by(app, order, payer.as_str()).await? == Some(true)),
        None => Ok(false),
    }
}

/// Notes that a delivery may pay for the file of a name, unless another has paid for it. Durable when this returns.
pub(super) async fn note(app: &App, order: &OrderId, name: &Sha256Digest, receipt: &ReceiptId) -> Result<(), AppError> {
    let file = file_of(order, name);
    let mut over = Vec::new();
    for payer in app.store().payers(&file).await? {
        match paid_by(app, order, &payer).await? {
            Some(true) => return Ok(()),
            Some(false) => over.push(payer),
            None => {}
        }
    }
    Ok(app.store().note_payer(&file, receipt.as_str(), &over).await?)
}

/// Forgets that a delivery may pay for the file of a name: it did not begin.
pub(super) async fn forget(app: &App, order: &OrderId, name: &Sha256Digest, receipt: &ReceiptId) {
    if let Err(error) = app.store().forget_payer(&file_of(order, name), receipt.as_str()).await {
        tracing::warn!(%receipt, %error, "a delivery that did not begin stays noted as one that may pay for its file");
    }
}

/// Whether a delivery of an order was charged a data set. None: it has not ended.
async fn paid_by(app: &App, order: &OrderId, receipt: &str) -> Result<Option<bool>, AppError> {
    let mut paid = None;
    for (of, record) in receipt::closings(app, receipt).await? {
        // A delivery may have been closed as interrupted by one process and then as delivered by the one that served it.
        let is_charged = matches!(record.body, ReceiptBody::Closed { totals, .. } if totals.data_sets > 0);
        paid = Some(paid == Some(true) || (is_charged && of == order.as_str()));
    }
    Ok(paid)
}

/// The receipt that an earlier version named.
async fn marked(app: &App, order: &OrderId, name: &Sha256Digest) -> Result<Option<ReceiptId>, AppError> {
    let path = app.directory().join(FOLDER).join(order.as_str()).join(name.to_string());
    let read = tokio::task::spawn_blocking(move || match path.metadata() {
        Ok(metadata) if metadata.len() > MARKER_BYTES_MAX => Ok(None),
        Ok(_) => fs::read_to_string(&path).map(Some).map_err(|error| AppError::file("read", &path, &error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AppError::file("read", &path, &error)),
    });
    let text = read.await.map_err(|error| task_lost(&error))??;
    Ok(text.and_then(|text| text.parse().ok()))
}
