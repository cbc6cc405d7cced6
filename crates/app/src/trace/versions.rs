//! Which versions of which products were ever delivered, and which of a fragment's rows each order had: both from the receipts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use lingqu_domain::id::{OrderId, ProductId, ReceiptId};
use lingqu_domain::receipt::{Opening, ReceiptBody, ReceiptRecord, RowNaming};
use lingqu_domain::scope::Mode;
use lingqu_store::receipt::{READ_LIMIT_MAX, ReceiptLog};
use roaring::RoaringTreemap;

use super::{LISTED_MAX, TraceWatch};
use crate::error::AppError;
use crate::receipts::parse;
use crate::uses::row_set::rows_of;

/// Deliveries with rows of a fragment that are kept one by one until those with fewer rows are only counted: of each order as many
/// as a report lists, and fewer where orders are many.
const DELIVERIES_MAX: usize = 100_000;
/// Most records of one delivery that evidence shows.
const RECORDS_MAX: usize = 1_000;
/// Every so many receipts the progress is told.
const TELL_EVERY: u64 = 100_000;

/// A version of a product: its id, and what names the snapshots and rights that it was made from.
pub(super) type VersionName = (ProductId, String);

/// A version of which rows were delivered.
#[derive(Clone, Debug)]
pub(super) struct DeliveredVersion {
    pub(super) name: VersionName,
    pub(super) snapshots: Vec<String>,
    /// When its last delivery began.
    pub(super) last_at: Timestamp,
    /// The orders that rows of it were delivered to.
    pub(super) orders: BTreeSet<OrderId>,
}

/// What was delivered at all.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) versions: BTreeMap<VersionName, DeliveredVersion>,
    /// What was delivered of products by receipts that name no version that could be compared, by product and snapshots.
    pub(super) unnamed: BTreeMap<VersionName, DeliveredVersion>,
    /// Deliveries of rows whose version can't be told.
    pub(super) not_comparable: u64,
}

/// One delivery that named rows of the fragment.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) receipt: ReceiptId,
    pub(super) product: ProductId,
    pub(super) order: OrderId,
    pub(super) at: Timestamp,
    pub(super) mode: Mode,
    pub(super) protocol: String,
    /// What its copy was marked with; none where a receipt does not tell.
    pub(super) code_id: Option<String>,
    pub(super) rows: u64,
    /// Positions of its records that evidence shows: the opening, the parts that name rows of the fragment, the closing.
    pub(super) positions: Vec<u64>,
}

/// What an order had of the fragment.
#[derive(Clone, Debug, Default)]
pub(super) struct Had {
    /// Places of rows in the fragment.
    pub(super) rows: RoaringTreemap,
    /// The product's columns that its answers were made of; none where a receipt does not tell.
    pub(super) columns: Option<BTreeSet<String>>,
}

/// What all orders had of the fragment, product by product.
#[derive(Debug, Default)]
pub(super) struct AllHad {
    pub(super) orders: BTreeMap<ProductId, BTreeMap<OrderId, Had>>,
    pub(super) deliveries: Deliveries,
}

/// Deliveries with rows of a fragment, apart for each order and what its copies were marked with: however many small ones there
/// are of others, none is missed of whoever is accused.
#[derive(Debug)]
pub(super) struct Deliveries {
    of: BTreeMap<(OrderId, Option<String>), OfOrder>,
    kept: usize,
    kept_max: usize,
}

impl Default for Deliveries {
    fn default() -> Self {
        Deliveries { of: BTreeMap::new(), kept: 0, kept_max: DELIVERIES_MAX }
    }
}

/// Those of one order by one code.
#[derive(Debug, Default)]
pub(super) struct OfOrder {
    pub(super) kept: Vec<Delivery>,
    /// Further ones, with no more rows than any of these.
    pub(super) more: u64,
}

impl Deliveries {
    fn add(&mut self, delivery: Delivery) {
        let key = (delivery.order.clone(), delivery.code_id.clone());
        self.of.entry(key).or_default().kept.push(delivery);
        self.kept += 1;
        if self.kept <= self.kept_max {
            return;
        }
        let each = (self.kept_max / 2 / self.of.len()).clamp(1, LISTED_MAX);
        self.of.values_mut().for_each(|of| of.thin(each));
        self.kept = self.of.values().map(|of| of.kept.len()).sum();
        // Of very many orders one each is more than that.
        self.kept_max = self.kept_max.max(2 * self.kept);
    }

    /// Those that are kept.
    pub(super) fn all(&self) -> impl Iterator<Item = &Delivery> {
        self.of.values().flat_map(|of| &of.kept)
    }

    /// By orders and what their copies were marked with.
    pub(super) fn by_order(&self) -> impl Iterator<Item = (&OrderId, Option<&String>, &OfOrder)> {
        self.of.iter().map(|((order, code_id), of)| (order, code_id.as_ref(), of))
    }
}

impl OfOrder {
    /// Keeps those with most rows, of equals the earlier.
    fn thin(&mut self, kept_max: usize) {
        self.kept.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.at.cmp(&b.at)));
        self.more += self.kept.len().saturating_sub(kept_max) as u64;
        self.kept.truncate(kept_max);
    }
}

/// The rows of a version that a fragment holds.
#[derive(Clone, Debug, Default)]
pub(super) struct WantedRows {
    /// The originals' numbers.
    pub(super) originals: RoaringTreemap,
    /// For each of them the rows of the fragment.
    pub(super) leaked: HashMap<u64, Vec<u32>>,
}

impl Had {
    /// Whether no answer that it got was made of a column, as far as receipts tell.
    pub(super) fn lacks(&self, column: &str) -> bool {
        self.columns.as_ref().is_some_and(|known| !known.contains(column))
    }
}

impl WantedRows {
    pub(super) fn new(rows: &[(u64, u32)]) -> WantedRows {
        let mut wanted = WantedRows::default();
        for (original, leaked) in rows {
            wanted.originals.insert(*original);
            wanted.leaked.entry(*original).or_default().push(*leaked);
        }
        wanted
    }
}

/// Rows leave in these modes. Statistics name all rows that they are made of and hand out none; a verification hands out an
/// answer to a claim.
fn hands_out_rows(opening: &Opening) -> bool {
    matches!(opening.mode, Mode::Rows | Mode::File | Mode::Lookup)
}

fn version_of(opening: &Opening) -> Option<VersionName> {
    let made_from = opening.made_from.clone()?;
    (opening.rows_named_by == RowNaming::Number).then(|| (opening.product.clone(), made_from))
}

/// Reads the receipts from the first to the last, once.
async fn visit(
    log: &ReceiptLog,
    watch: &TraceWatch,
    visitor: &mut dyn FnMut(u64, ReceiptRecord) -> Result<(), AppError>,
    wants: &dyn Fn(&str) -> bool,
) -> Result<(), AppError> {
    let (mut position, mut told) = (0, 0);
    loop {
        watch.go_on()?;
        let page = log.read_after(position, READ_LIMIT_MAX).await?;
        let Some(last) = page.last() else { return Ok(()) };
        position = last.position;
        for receipt in page.iter().filter(|receipt| wants(&receipt.receipt.kind)) {
            visitor(receipt.position, parse(receipt)?)?;
        }
        if position - told >= TELL_EVERY {
            told = position;
            watch.tell(&format!("{position} receipt records read"));
        }
    }
}

/// The versions that rows were delivered of.
pub(super) async fn delivered(log: &ReceiptLog, watch: &TraceWatch) -> Result<Delivered, AppError> {
    let mut found = Delivered::default();
    let mut visitor = |_, ReceiptRecord { at, body, .. }: ReceiptRecord| {
        let (ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. }) = body else { return Ok(()) };
        if !hands_out_rows(&opening) {
            return Ok(());
        }
        let (versions, name) = match version_of(&opening) {
            Some(name) => (&mut found.versions, name),
            None => {
                found.not_comparable += 1;
                (&mut found.unnamed, (opening.product.clone(), opening.snapshots.join(" ")))
            }
        };
        let version = versions.entry(name.clone()).or_insert_with(|| DeliveredVersion {
            name,
            snapshots: opening.snapshots.clone(),
            last_at: at,
            orders: BTreeSet::new(),
        });
        version.last_at = version.last_at.max(at);
        version.orders.insert(opening.order.clone());
        Ok(())
    };
    visit(log, watch, &mut visitor, &|kind| kind == "opened" || kind == "single").await?;
    Ok(found)
}

/// Versions in the order in which they are compared: of each product the one that was delivered last, then those before and so on. A
/// product that has a new version each day leaves none of the others out.
pub(super) fn in_turn(mut versions: Vec<DeliveredVersion>) -> Vec<DeliveredVersion> {
    versions.sort_by_key(|version| Reverse(version.last_at));
    let mut later: BTreeMap<ProductId, u64> = BTreeMap::new();
    let turn = |version: DeliveredVersion| {
        let later = later.entry(version.name.0.clone()).or_default();
        *later += 1;
        (*later, version)
    };
    let mut in_turn: Vec<(u64, DeliveredVersion)> = versions.into_iter().map(turn).collect();
    in_turn.sort_by_key(|(turn, _)| *turn);
    in_turn.into_iter().map(|(_, version)| version).collect()
}

/// What each order had of the rows that are wanted. Memory hangs on the wanted rows and the orders that had some, not on what was
/// delivered.
pub(super) async fn had(
    log: &ReceiptLog,
    wanted: &BTreeMap<VersionName, WantedRows>,
    watch: &TraceWatch,
) -> Result<AllHad, AppError> {
    let mut found = AllHad::default();
    // Deliveries that have begun and not ended.
    let mut open: HashMap<ReceiptId, (VersionName, Delivery)> = HashMap::new();
    let begun = |position: u64, receipt: &ReceiptId, at: Timestamp, opening: &Opening, found: &mut AllHad| {
        let name = version_of(opening).filter(|name| hands_out_rows(opening) && wanted.contains_key(name))?;
        let orders = found.orders.entry(name.0.clone()).or_default();
        let is_new = !orders.contains_key(&opening.order);
        let had = orders.entry(opening.order.clone()).or_default();
        let columns = opening.lineage.as_ref().map(|lineage| {
            lineage.columns.iter().flat_map(|column| &column.from).map(ToString::to_string).collect::<BTreeSet<_>>()
        });
        had.columns = match (had.columns.take(), columns) {
            (_, columns) if is_new => columns,
            (Some(known), Some(columns)) => Some(known.into_iter().chain(columns).collect()),
            _ => None,
        };
        let delivery = Delivery {
            receipt: receipt.clone(),
            product: opening.product.clone(),
            order: opening.order.clone(),
            at,
            mode: opening.mode,
            protocol: opening.protocol.clone(),
            code_id: opening.code_id.clone(),
            rows: 0,
            positions: vec![position],
        };
        Some((name, delivery))
    };
    let add =
        |name: &VersionName, delivery: &mut Delivery, row_set: &str, found: &mut AllHad| -> Result<u64, AppError> {
            let Some(wanted) = wanted.get(name) else { return Ok(0) };
            let Some(named) = rows_of(row_set) else {
                return Err(AppError::Fault(format!(
                    "the rows of receipt {} can't be read; run `lingqu replay --check`",
                    delivery.receipt
                )));
            };
            let common = named & &wanted.originals;
            let leaked = common.iter().filter_map(|row| wanted.leaked.get(&row)).flatten();
            let leaked: RoaringTreemap = leaked.map(|place| u64::from(*place)).collect();
            delivery.rows += leaked.len();
            if let Some(had) =
                found.orders.get_mut(&delivery.product).and_then(|orders| orders.get_mut(&delivery.order))
            {
                had.rows |= &leaked;
            }
            Ok(leaked.len())
        };
    let ended = |delivery: Delivery, found: &mut AllHad| match delivery.rows {
        0 => {}
        _ => found.deliveries.add(delivery),
    };
    let mut visitor = |position: u64, ReceiptRecord { at, body, receipt }: ReceiptRecord| {
        match body {
            ReceiptBody::Opened(opening) => {
                if let Some(delivery) = begun(position, &receipt, at, &opening, &mut found) {
                    open.insert(receipt, delivery);
                }
            }
            ReceiptBody::Part { row_set, .. } => {
                if let Some((name, delivery)) = open.get_mut(&receipt)
                    && add(name, delivery, &row_set, &mut found)? > 0
                    && delivery.positions.len() < RECORDS_MAX
                {
                    delivery.positions.push(position);
                }
            }
            ReceiptBody::Closed { .. } => {
                if let Some((_, mut delivery)) = open.remove(&receipt) {
                    delivery.positions.push(position);
                    ended(delivery, &mut found);
                }
            }
            ReceiptBody::Single { opening, row_set, .. } => {
                if let Some((name, mut delivery)) = begun(position, &receipt, at, &opening, &mut found) {
                    add(&name, &mut delivery, &row_set, &mut found)?;
                    ended(delivery, &mut found);
                }
            }
        }
        Ok(())
    };
    visit(log, watch, &mut visitor, &|_| true).await?;
    for (_, delivery) in open.into_values() {
        ended(delivery, &mut found);
    }
    for orders in found.orders.values_mut() {
        orders.retain(|_, had| !had.rows.is_empty());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(order: u8, number: u64, rows: u64) -> Delivery {
        Delivery {
            receipt: format!("rcp_{number:032x}").parse().unwrap(),
            product: format!("prd_{:032x}", 1).parse().unwrap(),
            order: format!("ord_{order:032x}").parse().unwrap(),
            at: Timestamp::UNIX_EPOCH,
            mode: Mode::Lookup,
            protocol: "http".to_owned(),
            code_id: None,
            rows,
            positions: vec![number],
        }
    }

    #[test]
    fn a_product_with_many_versions_leaves_none_of_the_others_out() {
        let version = |product: u8, name: &str, day: i64| DeliveredVersion {
            name: (format!("prd_{product:032x}").parse().unwrap(), name.to_owned()),
            snapshots: Vec::new(),
            last_at: Timestamp::from_second(day * 86_400).unwrap(),
            orders: BTreeSet::new(),
        };
        let versions = vec![version(1, "a", 7), version(2, "old", 1), version(1, "c", 9), version(1, "b", 8)];
        let names: Vec<String> = in_turn(versions).into_iter().map(|version| version.name.1).collect();
        assert_eq!(names, ["c", "old", "b", "a"]);
    }

    /// Who looks up each row by itself hides no delivery of anybody else.
    #[test]
    fn many_small_deliveries_of_one_order_leave_those_of_another() {
        let mut found = Deliveries { kept_max: 400, ..Deliveries::default() };
        (0..5_000).for_each(|number| found.add(delivery(1, number, 1 + number % 3)));
        found.add(delivery(2, 5_000, 900));
        let told: Vec<(u64, u64)> = found
            .by_order()
            .map(|(_, _, of)| (of.kept.len() as u64 + of.more, of.kept.iter().map(|kept| kept.rows).max().unwrap()))
            .collect();
        assert_eq!(told, [(5_000, 3), (1, 900)]);
        assert!(found.all().count() <= 400);
    }
}
