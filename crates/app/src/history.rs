//! Looking back: the journal in either direction, and what snapshots a resource had.

use lingqu_domain::event::Event;
use lingqu_domain::id::ResourceId;
use lingqu_domain::resource::{ResourceEvent, Snapshot};
use lingqu_store::journal::{READ_LIMIT_MAX, Record};

use crate::app::{App, recorded};
use crate::error::AppError;

/// Events that one walk looks at; a longer one is begun again where it stopped.
const LOOKED_AT_MAX: usize = 20_000;

/// An event as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalView {
    /// Its place, from 1, without gaps.
    pub position: u64,
    /// When, RFC 3339.
    pub at: String,
    /// Who gave the command: a user's id, a subject's id or `node`.
    pub actor: String,
    /// The command's id.
    pub command_id: String,
    /// The entity it happened to.
    pub stream: String,
    /// Version of the entity after it.
    pub stream_version: u64,
    /// Its kind, such as `mandate.suspended`.
    pub kind: String,
    /// What happened, as canonical JSON.
    pub body: String,
}

impl From<Record> for JournalView {
    fn from(record: Record) -> Self {
        let Record { position, at, command_id, actor, stream, stream_version, kind, body, .. } = record;
        Self { position, at, actor, command_id, stream, stream_version, kind, body }
    }
}

/// From which place a walk goes in which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first, from after a position; 0: from the beginning.
    After(u64),
    /// Newest first, from before a position; none: from the head.
    Before(Option<u64>),
}

/// A walk through the journal, or through the events of one entity.
#[derive(Debug)]
pub struct JournalWalk<'a> {
    app: &'a App,
    stream: Option<String>,
    newest_first: bool,
    /// Oldest first: everything up to here was looked at. Newest first: everything from here on was.
    place: u64,
    looked_at: usize,
    is_over: bool,
}

impl JournalWalk<'_> {
    /// The next events in the order of the walk; none when it is over, or long enough.
    pub async fn next(&mut self) -> Result<Option<Vec<JournalView>>, AppError> {
        if self.is_over || self.looked_at >= LOOKED_AT_MAX {
            return Ok(None);
        }
        let mut records = match self.stream.take() {
            Some(stream) => {
                self.is_over = true;
                self.whole_stream(&stream).await?
            }
            None => self.stretch().await?,
        };
        if self.newest_first {
            records.reverse();
        }
        let Some(last) = records.last() else {
            self.is_over = true;
            return Ok(None);
        };
        self.place = last.position;
        self.looked_at += records.len();
        Ok(Some(records.into_iter().map(JournalView::from).collect()))
    }

    /// Where a walk that is not over goes on; none when it is over.
    pub fn unfinished(&self) -> Option<u64> {
        (!self.is_over).then_some(self.place)
    }

    /// The next stretch of the journal, oldest first.
    async fn stretch(&self) -> Result<Vec<Record>, AppError> {
        if !self.newest_first {
            return Ok(self.app.store.read_after(self.place, READ_LIMIT_MAX).await?);
        }
        // Positions have no gaps, so the events before a place are counted back from it.
        let last = self.place.saturating_sub(1);
        let first = last.saturating_sub(u64::from(READ_LIMIT_MAX));
        let count = u32::try_from(last - first).unwrap_or(READ_LIMIT_MAX);
        if count == 0 {
            return Ok(Vec::new());
        }
        Ok(self.app.store.read_after(first, count).await?)
    }

    /// The events of one entity on the wanted side of the place, oldest first.
    async fn whole_stream(&self, stream: &str) -> Result<Vec<Record>, AppError> {
        let mut records = self.app.whole_stream(stream).await?;
        records.retain(|record| match self.newest_first {
            true => record.position < self.place,
            false => record.position > self.place,
        });
        Ok(records)
    }
}

impl App {
    /// Begins a walk through the journal, or through the events of one entity.
    pub fn walk_journal(&self, stream: Option<String>, direction: Direction) -> JournalWalk<'_> {
        let head = self.read(|state| state.position);
        let (newest_first, place) = match direction {
            Direction::After(position) => (false, position),
            Direction::Before(position) => (true, position.unwrap_or(u64::MAX).min(head + 1)),
        };
        JournalWalk { app: self, stream, newest_first, place, looked_at: 0, is_over: false }
    }

    /// Every snapshot of a resource, newest first, each with the event that recorded it.
    pub async fn snapshot_history(&self, resource: &ResourceId) -> Result<Vec<(JournalView, Snapshot)>, AppError> {
        let mut history = Vec::new();
        for record in self.whole_stream(resource.as_str()).await? {
            if let Event::Resource(ResourceEvent::SnapshotTaken(snapshot)) = recorded(&record)?.event {
                history.push((JournalView::from(record), snapshot));
            }
        }
        history.reverse();
        Ok(history)
    }

    /// All events of an entity, oldest first.
    async fn whole_stream(&self, stream: &str) -> Result<Vec<Record>, AppError> {
        let mut records: Vec<Record> = Vec::new();
        loop {
            let version = records.last().map_or(0, |record| record.stream_version);
            let page = self.store.read_stream(stream, version, READ_LIMIT_MAX).await?;
            if page.is_empty() || records.len() >= LOOKED_AT_MAX {
                return Ok(records);
            }
            records.extend(page);
        }
    }
}
