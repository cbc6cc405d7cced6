//! Recounting: what receipts come to, for metering and for everybody who holds its windows against the receipts.

use std::collections::{BTreeMap, VecDeque};

use jiff::civil::Date;
use lingqu_crypto::Sha256Hasher;
use lingqu_domain::id::{MeterId, OrderId, ReceiptId};
use lingqu_domain::order::QuotaUnit;
use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord};
use lingqu_domain::settlement::MeterReading;
use lingqu_domain::state::State;

use crate::quota::Use;

/// Why a delivery stopped that was open when the node did.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// Deliveries that are followed at a time: far more than a node has open.
const DELIVERIES_MAX: usize = 1_000_000;

/// What is counted of one order's deliveries. A delivery counts by its closing record, whatever it was charged.
#[derive(Default)]
pub(crate) struct Count {
    calls: u64,
    data_sets: u64,
    rows: u64,
    deliveries: u64,
    free_deliveries: u64,
    receipt_ids: Sha256Hasher,
    /// What quotas count, over the whole term.
    used: Use,
    /// The same by the day.
    used_by_day: BTreeMap<Date, Use>,
    /// Whether a delivery was cut off by a stop of the node and its closing record does not tell its rows and bytes.
    is_interrupted: bool,
}

impl Count {
    /// Counts a record that closes a delivery; others count nothing. Sums stop at the largest number: in a file that
    /// somebody made up they may be anything.
    pub(crate) fn add(&mut self, record: &ReceiptRecord) {
        // What is charged was decided when the delivery was closed.
        let (is_delivered, totals) = match &record.body {
            ReceiptBody::Single { totals, .. } => (true, totals),
            ReceiptBody::Closed { outcome, totals } => (*outcome == Outcome::Delivered, totals),
            ReceiptBody::Opened(_) | ReceiptBody::Part { .. } => return,
        };
        self.receipt_ids.update(record.receipt.as_str().as_bytes());
        self.receipt_ids.update(b"\n");
        self.rows = self.rows.saturating_add(totals.rows);
        self.calls = self.calls.saturating_add(totals.calls);
        self.data_sets = self.data_sets.saturating_add(totals.data_sets);
        let of_day = totals.day.map(|day| self.used_by_day.entry(day).or_default());
        for used in [Some(&mut self.used), of_day].into_iter().flatten() {
            used.calls = used.calls.saturating_add(totals.calls);
            used.data_sets = used.data_sets.saturating_add(totals.data_sets);
            used.rows = used.rows.saturating_add(totals.answer_rows);
            used.bytes = used.bytes.saturating_add(totals.bytes);
        }
        if is_delivered {
            self.deliveries += 1;
        } else {
            self.free_deliveries += 1;
        }
    }

    /// Notes that the closing record of a delivery that named rows does not tell them: it was cut off before such records had
    /// what the parts let out.
    pub(crate) fn add_untold(&mut self, record: &ReceiptRecord) {
        if let ReceiptBody::Closed { outcome: Outcome::Stopped { code }, totals } = &record.body
            && code == INTERRUPTED
            && totals.rows == 0
        {
            self.is_interrupted = true;
        }
    }

    /// What was used of a unit, on a day or in all. None for subjects, of whom receipts don't tell who was new.
    pub(crate) fn used(&self, unit: QuotaUnit, day: Option<Date>) -> Option<u64> {
        let used = match day {
            None => self.used,
            Some(day) => self.used_by_day.get(&day).copied().unwrap_or_default(),
        };
        match unit {
            QuotaUnit::Calls => Some(used.calls),
            QuotaUnit::DataSets => Some(used.data_sets),
            QuotaUnit::Rows => Some(used.rows),
            QuotaUnit::Bytes => Some(used.bytes),
            QuotaUnit::Subjects => None,
        }
    }

    /// The days on which something was used that a quota per day counts.
    pub(crate) fn days(&self) -> impl Iterator<Item = Date> {
        self.used_by_day.keys().copied()
    }

    /// Whether the receipts tell all that was used of a unit.
    pub(crate) fn is_whole(&self, unit: QuotaUnit) -> bool {
        match unit {
            // What a stop of the node cut off is free of charge, and its rows and bytes are counted as far as they were let out.
            QuotaUnit::Calls | QuotaUnit::DataSets => true,
            QuotaUnit::Rows | QuotaUnit::Bytes | QuotaUnit::Subjects => !self.is_interrupted,
        }
    }

    /// What a window of an order comes to.
    pub(crate) fn reading(self, order: OrderId, first_position: u64, end_position: u64) -> MeterReading {
        MeterReading {
            order,
            first_position,
            end_position,
            calls: self.calls,
            data_sets: self.data_sets,
            rows: self.rows,
            deliveries: self.deliveries,
            free_deliveries: self.free_deliveries,
            receipts_digest: self.receipt_ids.finish().to_string(),
        }
    }
}

/// A closed metering window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) id: MeterId,
    pub(crate) reading: MeterReading,
}

impl Window {
    /// How reports name it.
    pub(crate) fn name(&self) -> String {
        let (first, end) = (self.reading.first_position, self.reading.end_position);
        format!("metering window {} (receipts {first} to {})", self.id, end.saturating_sub(1))
    }

    /// How the window differs from what the receipts come to.
    pub(crate) fn difference(&self, count: Count) -> Option<String> {
        let metered = &self.reading;
        let counted = count.reading(metered.order.clone(), metered.first_position, metered.end_position);
        if counted == *metered {
            return None;
        }
        let mut differing = Vec::new();
        for (what, of_window, of_receipts) in [
            ("deliveries", metered.deliveries, counted.deliveries),
            ("free deliveries", metered.free_deliveries, counted.free_deliveries),
            ("calls", metered.calls, counted.calls),
            ("data sets", metered.data_sets, counted.data_sets),
            ("rows", metered.rows, counted.rows),
        ] {
            if of_window != of_receipts {
                differing.push(format!("{of_window} {what} and the receipts come to {of_receipts}"));
            }
        }
        if differing.is_empty() {
            return Some("it counted other receipts than these".to_owned());
        }
        Some(format!("it counted {}", differing.join(", ")))
    }
}

/// The windows of every order, in the order of receipts.
pub(crate) fn windows_of(state: &State) -> BTreeMap<OrderId, Vec<Window>> {
    let mut windows: BTreeMap<OrderId, Vec<Window>> = BTreeMap::new();
    for meter in state.meters.values().map(|meter| &meter.value) {
        let window = Window { id: meter.id.clone(), reading: meter.reading.clone() };
        windows.entry(meter.reading.order.clone()).or_default().push(window);
    }
    for of_order in windows.values_mut() {
        of_order.sort_by_key(|window| window.reading.first_position);
    }
    windows
}

/// Holds the windows of one order against its receipts, which are told in order.
pub(crate) struct Windows {
    waiting: VecDeque<Window>,
    open: Option<(Window, Count)>,
    /// Position up to which windows were closed.
    end: u64,
    /// Closing records outside of every window.
    pub(crate) not_metered: usize,
}

impl Windows {
    /// The windows of an order, in their order.
    pub(crate) fn new(windows: Vec<Window>) -> Windows {
        Windows { waiting: windows.into(), open: None, end: 1, not_metered: 0 }
    }

    /// Adds windows that come after those that were told. They must be there before any record that they could count.
    pub(crate) fn extend(&mut self, windows: Vec<Window>) {
        self.waiting.extend(windows);
    }

    /// Counts a record of the order; `find` is told what is wrong with the windows that end before it: where, and what.
    pub(crate) fn add(&mut self, position: u64, record: &ReceiptRecord, find: &mut dyn FnMut(String, String)) {
        if matches!(record.body, ReceiptBody::Opened(_) | ReceiptBody::Part { .. }) {
            return;
        }
        self.advance(Some(position), find);
        match &mut self.open {
            Some((window, count)) if position >= window.reading.first_position => count.add(record),
            Some(_) | None => self.not_metered += 1,
        }
    }

    /// Closes what is left; there are no more receipts.
    pub(crate) fn finish(&mut self, find: &mut dyn FnMut(String, String)) {
        self.advance(None, find);
    }

    /// Closes the windows that end at or before a position, or all.
    fn advance(&mut self, position: Option<u64>, find: &mut dyn FnMut(String, String)) {
        loop {
            if let Some((window, _)) = &self.open
                && position.is_some_and(|position| position < window.reading.end_position)
            {
                return;
            }
            if let Some((window, count)) = self.open.take()
                && let Some(difference) = window.difference(count)
            {
                find(window.name(), difference);
            }
            let Some(next) = self.waiting.pop_front() else { return };
            let first = next.reading.first_position;
            if first > self.end {
                find(
                    next.name(),
                    format!(
                        "the window before it is missing: nothing counts the receipts {} to {}",
                        self.end,
                        first - 1
                    ),
                );
            } else if first < self.end {
                find(next.name(), format!("it overlaps another one, which counted up to receipt {}", self.end - 1));
            }
            self.end = self.end.max(next.reading.end_position);
            self.open = Some((next, Count::default()));
        }
    }
}

/// A delivery that has begun and not ended.
struct Begun {
    order: OrderId,
    parts: u64,
    rows: u64,
    /// Closed as interrupted, perhaps by one process while another one still served it.
    is_interrupted: bool,
}

/// Follows deliveries from record to record, which are told in order.
#[derive(Default)]
pub(crate) struct Deliveries {
    begun: BTreeMap<ReceiptId, Begun>,
}

impl Deliveries {
    /// The order of a record, and what is wrong with it as the next one of its delivery.
    pub(crate) fn follow(&mut self, record: &ReceiptRecord) -> (Option<OrderId>, Option<String>) {
        match &record.body {
            ReceiptBody::Opened(opening) => {
                if self.begun.len() >= DELIVERIES_MAX {
                    let problem =
                        format!("more than {DELIVERIES_MAX} deliveries are open, and this one is not followed");
                    return (Some(opening.order.clone()), Some(problem));
                }
                let begun = Begun { order: opening.order.clone(), parts: 0, rows: 0, is_interrupted: false };
                let is_again = self.begun.insert(record.receipt.clone(), begun).is_some();
                (Some(opening.order.clone()), is_again.then(|| format!("{} begins a second time", record.receipt)))
            }
            ReceiptBody::Single { opening, .. } => (Some(opening.order.clone()), None),
            ReceiptBody::Part { number, rows, .. } => {
                let Some(begun) = self.begun.get_mut(&record.receipt) else { return self.lost(record) };
                let expected = begun.parts;
                begun.parts = number.saturating_add(1);
                begun.rows = begun.rows.saturating_add(*rows);
                let problem = (*number != expected)
                    .then(|| format!("part {expected} of {} is missing: part {number} follows", record.receipt));
                (Some(begun.order.clone()), problem)
            }
            ReceiptBody::Closed { outcome, totals } => {
                let Some(mut begun) = self.begun.remove(&record.receipt) else { return self.lost(record) };
                let order = Some(begun.order.clone());
                match outcome {
                    // Each part is counted once it is durable, so a delivery that went well has them all.
                    Outcome::Delivered if totals.rows != begun.rows => {
                        let problem = format!(
                            "the parts of {} name {} rows, and its closing record {}",
                            record.receipt, begun.rows, totals.rows
                        );
                        (order, Some(problem))
                    }
                    Outcome::Stopped { .. } if totals.rows > begun.rows => {
                        let problem = format!(
                            "the parts of {} name {} rows, fewer than the {} of its closing record",
                            record.receipt, begun.rows, totals.rows
                        );
                        (order, Some(problem))
                    }
                    Outcome::Stopped { code } if code == INTERRUPTED => {
                        begun.is_interrupted = true;
                        self.begun.insert(record.receipt.clone(), begun);
                        (order, None)
                    }
                    Outcome::Delivered | Outcome::Stopped { .. } => (order, None),
                }
            }
        }
    }

    /// Deliveries without a closing record.
    pub(crate) fn open_count(&self) -> usize {
        self.begun.values().filter(|begun| !begun.is_interrupted).count()
    }

    fn lost(&self, record: &ReceiptRecord) -> (Option<OrderId>, Option<String>) {
        (None, Some(format!("the opening record of {} is missing", record.receipt)))
    }
}
