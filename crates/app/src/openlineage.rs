//! What the node did to data as events of OpenLineage 2-0-2, for the tools that draw lineage across systems.
//!
//! A snapshot that was taken and a delivery are runs; a product is a job, told when it was drafted. Events are made from the
//! journal and the receipts when they are asked for, in the order of the journal and then of the receipts: nothing is kept
//! for them. They hold names of organisations, tables and columns, counts and codes; no personal data, no statement, no
//! literal, no alias of a consumer.

mod event;
mod facet;

use std::str::FromStr;

use jiff::Timestamp;
use lingqu_domain::event::Event;
use lingqu_domain::id::{OrderId, ProductId};
use lingqu_domain::product::ProductEvent;
use lingqu_domain::receipt::ReceiptBody;
use lingqu_domain::resource::ResourceEvent;
use lingqu_store::receipt::READ_LIMIT_MAX as RECEIPTS_READ_MAX;
use serde_json::Value;

use crate::app::{App, recorded};
use crate::error::AppError;
use crate::receipts::parse;
use event::Teller;

/// Records of journal or receipts that one page looks at.
const LOOKED_AT_MAX: usize = 5_000;
/// Events of the journal that are read at a time.
const JOURNAL_READ_MAX: u32 = 500;

/// Where a page of events begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCursor {
    /// The journal was looked at up to here.
    journal: u64,
    /// The receipts were looked at up to here.
    receipts: u64,
}

impl std::fmt::Display for EventCursor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.journal, self.receipts)
    }
}

/// Text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is the next_cursor of a page")]
pub struct BadCursor;

impl FromStr for EventCursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (journal, receipts) = text.split_once('-').ok_or(BadCursor)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| BadCursor);
        Ok(EventCursor { journal: number(journal)?, receipts: number(receipts)? })
    }
}

/// Which time events are of: from a moment on, before another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// Not before this moment.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
}

impl TimeRange {
    /// Whether a moment is in the range.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }
}

/// A page of events.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Value>,
    /// Where the next page begins; none after the last event there is now.
    pub next: Option<EventCursor>,
}

impl App {
    /// Events after a cursor, about `limit`: a record that makes two events is never cut in two. A page may be shorter,
    /// even empty, and have a next one.
    pub async fn lineage_events(
        &self,
        cursor: EventCursor,
        range: TimeRange,
        limit: usize,
    ) -> Result<EventPage, AppError> {
        self.refresh().await?;
        let mut page = Page { events: Vec::new(), limit, looked_at: 0, cursor };
        if !self.journal_events(&mut page, range).await? {
            return Ok(EventPage { events: page.events, next: Some(page.cursor) });
        }
        let is_over = self.receipt_events(&mut page, range).await?;
        Ok(EventPage { events: page.events, next: (!is_over).then_some(page.cursor) })
    }

    /// Events of the journal. True when it was looked at to its head.
    async fn journal_events(&self, page: &mut Page, range: TimeRange) -> Result<bool, AppError> {
        loop {
            let records = self.store.read_after(page.cursor.journal, JOURNAL_READ_MAX).await?;
            if records.is_empty() {
                return Ok(true);
            }
            for record in &records {
                if page.is_full() {
                    return Ok(false);
                }
                page.cursor.journal = record.position;
                page.looked_at += 1;
                let recorded = recorded(record)?;
                if !range.covers(recorded.at) {
                    continue;
                }
                let told = self.read(|state| {
                    let teller = Teller::new(state);
                    match &recorded.event {
                        Event::Resource(ResourceEvent::SnapshotTaken(snapshot)) => {
                            let resource = recorded.stream.parse().ok()?;
                            teller.snapshot(&resource, snapshot, recorded.at)
                        }
                        Event::Product(ProductEvent::Drafted { details, .. }) => {
                            let product: ProductId = recorded.stream.parse().ok()?;
                            Some(vec![teller.product(&product, details, recorded.at)])
                        }
                        _ => None,
                    }
                });
                page.events.extend(told.into_iter().flatten());
            }
        }
    }

    /// Events of the receipts. True when they were looked at to their head.
    async fn receipt_events(&self, page: &mut Page, range: TimeRange) -> Result<bool, AppError> {
        let receipts = self.receipts_now().await?;
        loop {
            let stored = receipts.read_after(page.cursor.receipts, RECEIPTS_READ_MAX).await?;
            if stored.is_empty() {
                return Ok(true);
            }
            for receipt in &stored {
                if page.is_full() {
                    return Ok(false);
                }
                page.cursor.receipts = receipt.position;
                page.looked_at += 1;
                // Parts are the bulk of the log and say nothing of this.
                if receipt.receipt.kind == "part" {
                    continue;
                }
                let record = parse(receipt)?;
                if !range.covers(record.at) {
                    continue;
                }
                let order: Option<OrderId> = receipt.receipt.order_id.parse().ok();
                let told = self.read(|state| {
                    let teller = Teller::new(state);
                    match &record.body {
                        ReceiptBody::Opened(opening) => {
                            Some(vec![teller.delivery_begun(&record.receipt, opening, record.at)])
                        }
                        ReceiptBody::Single { opening, totals, .. } => Some(vec![
                            teller.delivery_begun(&record.receipt, opening, record.at),
                            teller.delivery_ended(&record.receipt, &opening.order, None, totals, record.at)?,
                        ]),
                        ReceiptBody::Closed { outcome, totals } => {
                            let ended = teller.delivery_ended(
                                &record.receipt,
                                order.as_ref()?,
                                Some(outcome),
                                totals,
                                record.at,
                            )?;
                            Some(vec![ended])
                        }
                        ReceiptBody::Part { .. } => None,
                    }
                });
                page.events.extend(told.into_iter().flatten());
            }
        }
    }
}

/// A page being filled.
struct Page {
    events: Vec<Value>,
    limit: usize,
    looked_at: usize,
    cursor: EventCursor,
}

impl Page {
    fn is_full(&self) -> bool {
        self.events.len() >= self.limit || self.looked_at >= LOOKED_AT_MAX
    }
}
