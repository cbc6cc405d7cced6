//! The one delivery path, whatever the protocol.
//!
//! [`Deliveries::admit`] authenticates a service key and meets its order's grant. Then either one record is written and an
//! answer about a few keys is handed out ([`Deliveries::verify`], [`Deliveries::look_up`]), or an answer is drawn batch by
//! batch between an opening and a closing record, as bytes ([`Deliveries::stream`]) or as batches of Arrow
//! ([`Deliveries::batches`]). In both, quota is reserved before the question is answered and comes back when nothing left. A data set that a client takes in pieces is written into a file first
//! ([`Deliveries::hand_out`]). A question about what the order may ask for reads no governed data: it is answered without a
//! record (`schema`).
//!
//! A record that was handed in is written whoever waits for it, and what is done around the records of a stream is done in a
//! task of its own, so that a client who hangs up can stop neither a record that is being written nor the closing of one that
//! was opened.

mod batches;
mod digest;
mod finished;
mod handed;
mod key;
mod keyed_statement;
mod paid;
mod parts;
mod pieces;
mod place;
mod privacy;
mod receipt;
mod reservation;
mod schema;
mod single;
mod stream;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use lingqu_app::{App, AppError, Serving};
use lingqu_crypto::{ServiceKey, Sha256Digest};
use lingqu_domain::id::OrderId;
use lingqu_domain::scope::Mode;
use lingqu_engine::Limits;

use crate::error::GatewayError;
use finished::FinishedFiles;
use handed::HandOuts;
use key::Key;
use place::Places;
use waiting::Waiting;

pub use batches::{BatchRequest, Batches, Described, StreamedBatches};
pub use handed::{FileRequest, Handed};
pub use privacy::PrivacyTold;
pub use single::{Claim, Keyed, Label, LookedUp, Recorded};
pub use stream::{Body, Cut, StreamRequest, Streamed};
pub(crate) use waiting::{Wait, memory_of};

/// Most rows of an answer that is one call: what a page of rows may have too.
pub const CALL_ROWS_MAX: u64 = 10_000;

/// How much of the node one order may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most streams (queries, pages, exports) of one order at a time. Each holds one of the engine's places.
    pub streams_per_order_max: u32,
    /// Most verifications and lookups of one order at a time.
    pub singles_per_order_max: u32,
    /// Most files that are handed out to one order at a time.
    pub handed_per_order_max: u32,
    /// Most answers of one order that lie with its connections and were not taken to their end, those that were given up
    /// included: until a connection lets go of one, it has some pieces of it.
    pub untaken_per_order_max: u32,
    /// How long a client may leave a piece of an answer (at most 256 KiB of bytes, about 1 MiB of batches) untaken.
    pub receiver_patience: Duration,
    /// Most bytes of finished files on the node's disk.
    pub finished_bytes_max: u64,
    /// How long a file that was handed out can be taken.
    pub address_life: Duration,
}

impl Default for Settings {
    /// 4 streams, 256 verifications and lookups, 256 files, 256 answers, a minute, 8 GiB, an hour.
    fn default() -> Self {
        Self {
            streams_per_order_max: 4,
            singles_per_order_max: 256,
            handed_per_order_max: 256,
            untaken_per_order_max: 256,
            receiver_patience: Duration::from_secs(60),
            finished_bytes_max: 8 << 30,
            address_life: Duration::from_secs(3600),
        }
    }
}

/// The delivery path of a node. Cheap to clone; clones count places together.
#[derive(Clone, Debug)]
pub struct Deliveries {
    app: Arc<App>,
    settings: Settings,
    streams: Arc<Places>,
    singles: Arc<Places>,
    untaken: Arc<Places>,
    waiting: Arc<Waiting>,
    hand_outs: Arc<HandOuts>,
}

/// An authenticated order with its grant as of the journal's head.
#[derive(Clone)]
pub struct Admission {
    /// The order.
    pub order: OrderId,
    /// What it may be served.
    pub serving: Arc<Serving>,
    /// What it was asked with.
    key: Key,
    /// The protocol, for receipts.
    pub protocol: &'static str,
    /// Which of several processes serves it ([`App::serving_process`]).
    pub process: Option<String>,
}

impl Deliveries {
    /// The delivery path of a node.
    pub fn new(app: Arc<App>, settings: Settings) -> Self {
        let streams = Arc::new(Places::new(settings.streams_per_order_max));
        let singles = Arc::new(Places::new(settings.singles_per_order_max));
        let untaken = Arc::new(Places::new(settings.untaken_per_order_max));
        let files = FinishedFiles::new(app.directory(), settings.finished_bytes_max);
        let (waiting, hand_outs) = (Arc::default(), Arc::new(HandOuts::new(files)));
        Self { app, settings, streams, singles, untaken, waiting, hand_outs }
    }

    /// Authenticates a key and meets its order's grant. `product` is the product's table name or id.
    ///
    /// Errors: `service_key_missing`, `bad_service_key`; the refusal of the first link of the grant that is not in force;
    /// `order_product_mismatch` when the order is for another product, and the same when there is no such product at all.
    pub async fn admit(
        &self,
        key: Option<&str>,
        product: &str,
        protocol: &'static str,
    ) -> Result<Admission, GatewayError> {
        let admission = self.admit_order(key, protocol).await?;
        let serving = &admission.serving;
        if product != serving.details.table.as_str() && product != serving.grant.product.as_str() {
            return Err(GatewayError::OrderProductMismatch);
        }
        Ok(admission)
    }

    /// Authenticates a key to its order without naming a product, for the protocols whose key is all that is said: Flight
    /// SQL, PostgreSQL, Delta Sharing. Errors are those of [`Deliveries::admit`] but for the product.
    pub async fn admit_order(&self, key: Option<&str>, protocol: &'static str) -> Result<Admission, GatewayError> {
        self.admit_hash(hash_of(key)?, protocol).await
    }

    /// The same by the hash of a key that its holder has proved.
    pub(crate) async fn admit_hash(
        &self,
        key: Sha256Digest,
        protocol: &'static str,
    ) -> Result<Admission, GatewayError> {
        let serving = self.app.serving_of_hash(key).await?;
        let process = self.app.serving_process().await?;
        Ok(Admission { order: serving.grant.order.clone(), serving, key: Key::new(key), protocol, process })
    }

    /// Refuses whoever has no service key at all: what he sends is not kept in memory. Errors: `service_key_missing`, `bad_service_key`.
    pub(crate) async fn must_know(&self, key: Option<&str>) -> Result<(), GatewayError> {
        Ok(self.app.must_know_key(hash_of(key)?).await?)
    }

    /// Counts an answer that lies in memory whole until its client has taken it, as long as what this gives is kept. Error: `busy`.
    pub(crate) fn waits(&self, order: &str, bytes: usize) -> Result<Wait, GatewayError> {
        self.waiting.take(order, bytes)
    }

    /// The node whose data this is.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }
}

impl Admission {
    /// Refuses when the grant is not the one in force now, or the key that it was met by is revoked. Cheap while nothing was
    /// written. Errors: those of [`App::still_granted`]; `bad_service_key`.
    fn must_stand(&self, app: &App) -> Result<(), AppError> {
        app.still_granted(&self.serving)?;
        self.key.must_be_in_force(app, &self.order)
    }

    /// The mode by which a statement is answered: `wanted`, or else rows where they are granted, else statistics. Error:
    /// `mode_not_granted`.
    pub fn statement_mode(&self, wanted: Option<Mode>) -> Result<Mode, GatewayError> {
        let granted = &self.serving.grant.scope.modes;
        let mode = match wanted {
            Some(mode) => mode,
            None if granted.contains(&Mode::Rows) => Mode::Rows,
            None => Mode::Statistics,
        };
        self.serving.must_allow(mode)?;
        Ok(mode)
    }

    /// Limits of an answer in a mode. The time includes waiting for the receiver, so a file has longer.
    pub fn limits(mode: Mode) -> Limits {
        match mode {
            Mode::File => Limits {
                time_max: Duration::from_secs(900),
                rows_max: 1_000_000_000,
                bytes_max: 256 << 30,
                ..Limits::default()
            },
            // A call is a call's price; the data set has its own, and its own mode.
            _ => Limits { rows_max: CALL_ROWS_MAX, bytes_max: 64 << 20, ..Limits::default() },
        }
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Admission").field("order", &self.order).finish_non_exhaustive()
    }
}

/// The hash of a service key. Errors: `service_key_missing`; `bad_service_key` for what has no such form.
fn hash_of(key: Option<&str>) -> Result<Sha256Digest, GatewayError> {
    let key = ServiceKey::parse(key.ok_or(GatewayError::NoKey)?).map_err(|_| AppError::BadKey)?;
    Ok(key.hash())
}

/// The error for a task that ended without its result, which only a panic or the end of the process brings about.
fn task_lost(error: &tokio::task::JoinError) -> AppError {
    AppError::Fault(format!("a delivery's task ended early: {error}"))
}
