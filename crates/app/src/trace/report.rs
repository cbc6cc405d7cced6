//! What a trace found, as it is printed and kept.

use std::collections::BTreeMap;

use lingqu_domain::id::{OrderId, PartyId, PermitId, ProductId, ReceiptId, ResourceId};
use lingqu_engine::source::{FoundEncoding, FragmentForm};
use serde::{Deserialize, Serialize};

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceVerdict {
    /// Somebody's copy went into the fragment, beyond the bound.
    Accused,
    /// It comes from here, and nobody is accused.
    Undecided,
    /// It does not come from anything that was delivered here.
    Foreign,
}

/// Everything that a trace found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceReport {
    /// The answer.
    pub verdict: TraceVerdict,
    /// Why, in Chinese.
    pub reason: String,
    /// Why, in English.
    pub reason_en: String,
    /// Whose copies went into it, the surest first.
    pub accused: Vec<Accused>,
    /// The largest probability that anybody innocent is accused by this case, all tests counted.
    pub bound: f64,
    /// How often the file was tried before, and which part of the bound was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<TriesTrace>,
    /// Codes of recipients that were tested, over all products: one for each epoch of a recipient's code.
    pub tested: usize,
    /// Decoders that were tried, by the name of their version.
    pub decoder_version: String,
    /// When the codes that were tested were all that there are: at the end of the test, and where others came meanwhile, when they were
    /// taken. In a report without a position, when the trace began: the codes of that time were tested.
    pub traced_at: String,
    /// Position of the journal's last event at that time: codes that were committed to by then were tested, and no others. None in
    /// reports from before they had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_position: Option<u64>,
    /// The node.
    pub node: String,
    /// The fragment.
    pub fragment: FragmentFacts,
    /// The products that it comes from.
    pub products: Vec<ProductTrace>,
    /// Snapshots of resources that it is rows of, in columns that no product explains: where no copy can have gone into it besides, it
    /// is the source itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceTrace>,
    /// Versions of products that were compared.
    pub versions_tried: usize,
    /// Versions that were not compared, because there are too many; older ones.
    pub versions_not_tried: usize,
    /// Versions that were delivered and whose files this node has no more, so that they were not compared.
    #[serde(default)]
    pub versions_gone: usize,
    /// Deliveries that could not be compared: of live data, or from before receipts named the version that they number.
    pub deliveries_not_comparable: u64,
    /// Snapshots of resources that were compared; none where products explain every column of it.
    #[serde(default)]
    pub snapshots_tried: usize,
    /// Snapshots that were not compared: too many, or not here any more.
    #[serde(default)]
    pub snapshots_not_tried: usize,
    /// What voids the answer.
    pub assumptions: Vec<Assumption>,
    /// The evidence that was written.
    #[serde(default)]
    pub evidence: Option<String>,
}

/// How often a file was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriesTrace {
    /// Traces of the same file that the journal had.
    pub before: u64,
    /// The part of the bound that this one used: 1 / k (k + 1) for the k-th.
    pub share: f64,
    /// Traces of other files, within the last so many days, that were compared with one of the same versions. Each is a case of
    /// its own with its own bound: they are told, and not paid for.
    pub of_same_versions: u64,
    /// How many days.
    pub days: u32,
}

/// What is known of the fragment. No value of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FragmentFacts {
    /// SHA-256 of the file.
    pub digest: String,
    /// What keeps the report from being guessed by its digest in the journal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub salt: String,
    /// The form that it was found in.
    pub form: FragmentForm,
    /// The encoding of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<FoundEncoding>,
    /// Rows that were read.
    pub rows_read: u64,
    /// Rows that were traced: all, or a sample by their places.
    pub rows_traced: u64,
    /// Lines that did not fit and were left out.
    pub lines_left_out: u64,
    /// Columns.
    pub columns: usize,
}

/// A product that the fragment comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductTrace {
    /// The product.
    pub product: ProductId,
    /// Its name.
    pub name: String,
    /// Its table's name.
    pub table: String,
    /// The versions whose rows it holds, the one with most rows first.
    pub versions: Vec<VersionTrace>,
    /// What the marks show; none for a product that is exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<MarksTrace>,
    /// What the receipts show.
    pub receipts: ReceiptsTrace,
}

/// A snapshot of a resource that a fragment is rows of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceTrace {
    /// The resource.
    pub resource: ResourceId,
    /// Its name.
    pub name: String,
    /// Its table's name.
    pub table: String,
    /// The snapshot, as `resource@version`.
    pub snapshot: String,
    /// Its rows.
    pub originals: u64,
    /// Rows of the fragment that are rows of it.
    pub rows: u64,
    /// Whether columns that had no part in finding the rows confirm that they are.
    pub confirmed: bool,
    /// Which column of the fragment is which of the resource.
    pub columns: Vec<ColumnTrace>,
    /// Places in the fragment, from 1, of columns that no product explains.
    pub columns_alone: Vec<usize>,
    /// Of the resource's columns in the fragment those of which nothing that was ever delivered is made: no order had them.
    pub never_delivered: Vec<String>,
    /// Products that were delivered with marks in these columns, or in such as may stand in the fragment unknown: a copy of theirs
    /// may have gone into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marked: Vec<ProductId>,
    /// The party that holds the resource and gave the file that the snapshot was taken from.
    pub provider: PartyId,
    /// Its name.
    pub provider_name: String,
    /// Orders that were delivered something made of these columns of this snapshot. Which rows of it is not told here.
    pub orders: Vec<SourceOrder>,
    /// Orders that are not listed.
    pub orders_more: u64,
}

/// An order that was delivered something made of a snapshot's columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceOrder {
    /// The order.
    pub order: OrderId,
    /// The consumer.
    pub consumer: PartyId,
    /// The product.
    pub product: ProductId,
    /// The resource's columns in the fragment of which the product's columns are made.
    pub columns: Vec<String>,
}

/// A version of a product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionTrace {
    /// Names the snapshots and the rights to them that it was made from.
    pub made_from: String,
    /// The snapshots, as `resource@version`.
    pub snapshots: Vec<String>,
    /// Its rows.
    pub originals: u64,
    /// Rows of the fragment that are rows of it.
    pub rows: u64,
    /// Whether columns that had no part in finding the rows confirm that they are.
    pub confirmed: bool,
    /// Natural logarithm of the odds that the fragment comes from it, where that was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_odds: Option<f64>,
    /// Which column of the fragment is which of the product.
    pub columns: Vec<ColumnTrace>,
    /// What was done to it, as far as it shows.
    pub deeds: Vec<String>,
    /// The same in Chinese.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deeds_zh: Vec<String>,
}

/// A column of the fragment and its original.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnTrace {
    /// Its place in the fragment, from 1.
    pub place: usize,
    /// Its name in the product.
    pub original: String,
    /// What its numbers were multiplied by to be compared.
    pub factor: f64,
    /// The step that it was rounded to; 0 for none.
    pub rounded_to: f64,
    /// Agreement beyond chance where it had no part in finding the rows: 1 for all, 0 for chance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
}

/// What marks show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarksTrace {
    /// Which replacement of the key of positions.
    pub epoch: u32,
    /// Marked positions that the fragment shows, each once: of recipients, and of orders.
    pub positions: usize,
    /// The same of orders.
    pub order_positions: usize,
    /// Codes of recipients tested.
    pub tested: usize,
    /// Codes that recipients ever had a key of: one for each recipient and epoch of its code.
    pub registered: u64,
    /// Whether anybody could be accused by so much.
    pub possible: bool,
    /// The probability that somebody who leaked alone is accused by so much.
    pub power: f64,
    /// How many times as much is needed for a power of 0.99; none where no size would do, or nothing was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<f64>,
    /// What happened to the marks on the way, channel by channel.
    pub channels: BTreeMap<String, ChannelTrace>,
}

/// What happened to the marks of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelTrace {
    /// Standard deviation of noise in units of the mark's reach.
    pub noise: f64,
    /// Share of bits that show as the other one.
    pub flipped: f64,
    /// Share of values that have nothing to do with what was delivered.
    pub replaced: f64,
}

/// A consumer whose copy went into the fragment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accused {
    /// The consumer.
    pub consumer: PartyId,
    /// Its name.
    pub name: String,
    /// The product.
    pub product: ProductId,
    /// Which replacement of its code went into it; the first one is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub code_epoch: u32,
    /// The consumer's orders of the product that had keys of that epoch, those that are told apart first.
    pub orders: Vec<AccusedOrder>,
    /// Upper bound on the probability that anybody innocent of all registered scores that high, everything that was tried
    /// counted: recipients or orders, decoders, passes, both tests of each marked product, and tries of the file. It is at
    /// most [`TraceReport::bound`]. Zero below the smallest number that can be written: see the logarithm.
    pub p_value: f64,
    /// Its natural logarithm.
    pub log_p_value: f64,
    /// Which decoder.
    pub decoder: String,
    /// In which pass, from 0; later ones know those of earlier ones.
    pub pass: u32,
    /// What supports it, channel by channel.
    pub channels: BTreeMap<String, Support>,
    /// Deliveries to the consumer, marked by this code, whose receipts name rows of the fragment, those with most rows first.
    pub deliveries: Vec<DeliveryTrace>,
    /// Further such deliveries.
    pub deliveries_more: u64,
    /// Of the fragment's rows those that the receipts say the consumer had, in copies by whichever of its codes.
    pub rows_delivered: u64,
    /// Who held the halves of the keys.
    pub keys_held_by: Vec<PartyId>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What one channel says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Support {
    /// The product's columns that carry it; none for rows that are there at all.
    pub columns: Vec<String>,
    /// Positions.
    pub positions: u64,
    /// Its part of the score.
    pub score: f64,
}

/// An order of an accused consumer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccusedOrder {
    /// The order.
    pub order: OrderId,
    /// The permits that its product stands on.
    pub permits: Vec<PermitId>,
    /// By the positions that tell orders apart: as [`Accused::p_value`]. None where they don't say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// Its natural logarithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_p_value: Option<f64>,
}

/// A delivery whose receipt names rows of the fragment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeliveryTrace {
    /// The receipt.
    pub receipt: ReceiptId,
    /// The order.
    pub order: OrderId,
    /// When it began.
    pub at: String,
    /// How.
    pub mode: String,
    /// By which protocol.
    pub protocol: String,
    /// Rows of the fragment among its rows.
    pub rows: u64,
}

/// Who had these rows, by the receipts: no accusation, since nothing in the fragment tells one who had them from another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReceiptsTrace {
    /// Rows of the fragment that are rows of the product's versions.
    pub rows: u64,
    /// Further versions that have rows of it and whose deliveries are not counted, being too many.
    pub versions_more: u64,
    /// Of the rows those of which some cell was in nothing that any order had in any version: they came another way, or were matched
    /// wrongly.
    pub rows_nobody_had: u64,
    /// Orders that had some of them with all of their cells, those with most rows first.
    pub orders: Vec<HadRows>,
    /// Further such orders.
    pub orders_more: u64,
    /// Orders that had rows of it, and none with all of its cells: they never had one of the fragment's columns. They are left out,
    /// but for sets of orders whose columns together are the fragment's.
    pub orders_without_columns: u64,
    /// Columns that stand in the fragment in clear and that the product, by its terms of today, shows nobody but as
    /// pseudonyms: no order had them so, and the file may be from before the masks, such as the provider's own.
    #[serde(default)]
    pub never_in_clear: Vec<String>,
    /// The smallest sets of orders that together had all rows that anybody had; where columns of several were joined, those that had
    /// all cells of these rows.
    pub explanations: Vec<Explanation>,
    /// How the sets were found.
    pub explained_by: ExplainedBy,
    /// Rows that a set may miss: alignment takes up to so many wrongly.
    pub rows_missed_max: u64,
}

/// How many of the fragment's rows an order had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HadRows {
    /// The order.
    pub order: OrderId,
    /// Whose.
    pub consumer: PartyId,
    /// Rows.
    pub rows: u64,
}

/// Orders that together explain the fragment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The orders.
    pub orders: Vec<OrderId>,
    /// Rows that none of them had.
    pub rows_missed: u64,
}

/// How sets of orders were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExplainedBy {
    /// Nobody had any of the rows.
    #[default]
    Nothing,
    /// Every single order that suffices.
    Single,
    /// No single order suffices; every pair that does.
    Pair,
    /// No pair suffices, or there were too many to look at all: one set, each time the order that adds most. It has at most
    /// 1 + ln(rows) times as many orders as the smallest (Chvátal 1979).
    Greedy,
}

/// Something that the answer rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assumption {
    /// In Chinese.
    pub text: String,
    /// In English.
    pub text_en: String,
}
