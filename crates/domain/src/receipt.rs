//! Receipts (交付回执): the durable record of one answer that left, in its canonical form.
//!
//! A delivery of a stream has an opening record, parts that name the rows of each batch before the batch leaves, and a
//! closing record with totals or the reason it stopped. A verification or lookup is a single record. Fees are computed
//! from closed receipts alone. No record holds personal data: keys and claims are salted digests, query texts are
//! references into the vault.
//!
//! Fields stand in the order of their names: see [`ReceiptRecord::canonical`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::answer::AnswerDigest;
use crate::id::{NodeId, OrderId, PartyId, ProductId, ReceiptId};
use crate::lineage::AnswerLineage;
use crate::privacy::Rho;
use crate::resource::Nature;
use crate::scope::{ColumnName, Mode, Precision, Purpose};

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything left.
    Delivered,
    /// It stopped: a stable code, such as `grant_suspended`, `cancelled`, `interrupted`.
    Stopped {
        /// Why.
        code: String,
    },
}

/// What the numbers in a delivery's row sets are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RowNaming {
    /// Numbers of rows in the product that was made from the snapshots.
    #[default]
    Number,
    /// The first 63 bits of a digest of the row's key under a secret of the node: the rows of live data, which have no
    /// number that lasts.
    KeyDigest,
}

impl RowNaming {
    /// True for numbers of rows.
    fn is_number(&self) -> bool {
        *self == RowNaming::Number
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What is known when a delivery begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Opening {
    /// Names the marks that the answer carries, hexadecimal: of what is marked how, and the logged commitments to the keys. None
    /// where nothing is marked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_id: Option<String>,
    /// The recipient.
    pub consumer: PartyId,
    /// The day on whose quota a delivery counts that has more records than this one, where it counts on one: a delivery that a
    /// stop of the node cuts off is counted by what it had written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub day: Option<jiff::civil::Date>,
    /// Digest of the grant it was made under.
    pub grant_digest: String,
    /// Where the answer comes from. None in records from before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<AnswerLineage>,
    /// What the product was made from, as its folder is named: with the product it says of which table the row sets hold
    /// the numbers. None for live data and in records from before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_from: Option<String>,
    /// The marked columns among those that the answer was made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marked: Vec<ColumnName>,
    /// The masks of the columns that the answer was made of, in its mode: columns that stand in it as they are are left out.
    /// Empty too in records from before it was recorded, which have no node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Precision>))]
    pub masks: BTreeMap<ColumnName, Precision>,
    /// The mode.
    pub mode: Mode,
    /// REAL or SYNTHETIC.
    pub nature: Nature,
    /// The node that delivers. None in records from before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The order.
    pub order: OrderId,
    /// Which of several processes serves it, by a name that says nothing else: what one leaves that dies is known by it. None
    /// where a node has one process at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// The product.
    pub product: ProductId,
    /// The protocol: `rest`.
    pub protocol: String,
    /// The purpose.
    pub purpose: Purpose,
    /// SHA-256 of the request's salt and the canonical form of what was asked, hexadecimal: the same question has the same
    /// form, however it was written and by whatever protocol it came. None in records from before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_digest: Option<String>,
    /// SHA-256 of a salt of 16 bytes and the request (claim, key or SQL) as it was sent, with its canonical form behind it
    /// where that is another, hexadecimal. Salt and text stand in the vault under the receipt's id; once they are erased the
    /// digest tells nothing.
    pub request_digest: String,
    /// For statistics with noise what the answer cost of each privacy account: 0 when the same answer was given before. None
    /// for every other answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rho_spent: Option<Rho>,
    /// What its row sets hold; not written where they hold numbers of rows.
    #[serde(default, skip_serializing_if = "RowNaming::is_number")]
    pub rows_named_by: RowNaming,
    /// Rulebook version.
    pub rulebook_version: String,
    /// Versions of the snapshots it was made from, as `resource@version`, in order.
    pub snapshots: Vec<String>,
}

/// Totals of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Totals {
    /// Digest of what was sent, all `bytes` of it. None where nothing was, and in records from before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerDigest>,
    /// Rows of the answer.
    pub answer_rows: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Chargeable calls: 1, or the size of a batch.
    pub calls: u64,
    /// Chargeable data sets: 1 for a finished file.
    pub data_sets: u64,
    /// The day on whose quota it counts, where the order has a quota per day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub day: Option<jiff::civil::Date>,
    /// Rows of the governed table that left it into the plan.
    pub rows: u64,
}

/// What a receipt record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReceiptBody {
    /// A delivery begins.
    Opened(Opening),
    /// The rows of one batch, before the batch leaves, and what quotas count of it. One that names no rows says that more bytes
    /// may leave.
    Part {
        /// Rows of the answer that leave with it; not written where there are none, and in records from before it was recorded.
        #[serde(default, skip_serializing_if = "is_zero")]
        answer_rows: u64,
        /// Bytes of the answer that may leave from here on beyond those of the parts before; written where a quota counts
        /// bytes. The closing record has those that did.
        #[serde(default, skip_serializing_if = "is_zero")]
        bytes_reserved: u64,
        /// Counted from 0.
        number: u64,
        /// Row numbers of the governed table: a Roaring bitmap in the portable 64-bit form, base64.
        row_set: String,
        /// Rows that the batch names.
        rows: u64,
    },
    /// The delivery ended.
    Closed {
        /// How.
        outcome: Outcome,
        /// Totals.
        totals: Totals,
    },
    /// A verification or lookup: opening and closing in one.
    Single {
        /// What is known of it.
        opening: Opening,
        /// Row numbers that were looked at, as in a part.
        row_set: String,
        /// Totals.
        totals: Totals,
    },
}

/// One record of the receipt log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReceiptRecord {
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub at: Timestamp,
    /// What.
    pub body: ReceiptBody,
    /// The delivery.
    pub receipt: ReceiptId,
}

impl ReceiptRecord {
    /// The canonical bytes that are stored and committed to the log: those of [`crate::event::canonical`], written at once.
    /// They are the same because what a record holds declares its fields in the order of their names.
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).expect("domain types serialise to JSON")
    }

    /// Short name of the record's kind.
    pub fn kind(&self) -> &'static str {
        match self.body {
            ReceiptBody::Opened(_) => "opened",
            ReceiptBody::Part { .. } => "part",
            ReceiptBody::Closed { .. } => "closed",
            ReceiptBody::Single { .. } => "single",
        }
    }
}
