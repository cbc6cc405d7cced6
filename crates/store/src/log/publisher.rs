//! The publisher: takes entries in order, grows the tiles of both logs, signs, and writes the checkpoints last.

use std::cmp::Ordering;
use std::sync::Arc;

use lingqu_crypto::Suite;
use lingqu_transparency::{
    Checkpoint, NoteSigner, SignedNote, TILE_WIDTH, TileKind, TreeState, TwinLog, entry_from_tiles, outgrown_tiles,
};
use tokio::task::{JoinError, JoinHandle};

use super::catch_up::catch_up;
use super::entries::read_entries;
use super::reader::TWIN_PREFIX;
use super::roots::{insert_roots, last_roots, last_roots_until};
use super::sequencer::Sequencer;
use super::trees::{Files, Trees, load_twin};
use super::twin_start::begin_twin;
use super::{CHECKPOINT_PATH, LogError, LogFiles, LogReader, Published, blocking};
use crate::store::Store;

/// Where it is noted how far the beginnings of full tiles were removed, below the log's prefix. It is never served.
const TIDIED_PATH: &str = "tidied";

/// What signs a node's checkpoints.
#[derive(Debug)]
pub struct LogKeys {
    /// The key of the log over SHA-256, named as the log.
    pub international: NoteSigner,
    /// The key of the twin over SM3, named as [`lingqu_transparency::twin_origin`] says; `None`: no twin is published.
    pub national: Option<NoteSigner>,
}

/// The heads of a log and its twin at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Of the log over SHA-256.
    pub international: Published,
    /// Of the twin.
    pub national: Option<Published>,
}

impl Heads {
    /// How many entries they cover.
    pub fn size(&self) -> u64 {
        self.international.checkpoint.size
    }
}

/// Publishes the log of a node, and its twin. One at a time: see [`LogPublisher::open`].
pub struct LogPublisher {
    store: Store,
    reader: LogReader,
    twin: Option<LogReader>,
    keys: Arc<LogKeys>,
    state: tokio::sync::Mutex<State>,
    /// Held for as long as the publisher lives.
    sequencer: Sequencer,
}

struct State {
    trees: Trees,
    published: Option<Heads>,
    tidying: Tidying,
}

/// The removal of tiles' beginnings, beside publishing.
#[derive(Default)]
struct Tidying {
    /// Of what was full at this size no beginning is left.
    cleared: u64,
    /// The pass that may still run; it gives the size to which it came.
    running: Option<JoinHandle<Result<u64, LogError>>>,
    /// Where the last pass failed, what was published then.
    failed_at: Option<u64>,
}

impl Tidying {
    /// Notes how far a pass came. `size` is published.
    fn end(&mut self, pass: Result<Result<u64, LogError>, JoinError>, size: u64) {
        let problem = match pass {
            Ok(Ok(cleared)) => {
                self.cleared = cleared;
                self.failed_at = None;
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        // Each bundle tries again; once is enough to say it.
        if self.failed_at.replace(size).is_none() {
            tracing::warn!(
                error = %problem,
                "unfinished tiles of the log that are full by now can't be removed; they take space only"
            );
        }
    }
}

impl LogPublisher {
    /// Takes up a published log where it was left, or begins one. The checkpoints' signatures, the tiles of the right edges and
    /// the last published entry are compared with the database. Where a log has no twin yet, the twin is made from its
    /// bundles, which takes a while for a long one.
    ///
    /// On SQLite the lock of a directory lets one publisher in. On PostgreSQL the database does: processes that share the
    /// directory or the object store may be on several machines.
    ///
    /// Where a crash left one of both checkpoints out, it is signed and published at once, without others' lines. Where an earlier
    /// one is served than was published last, nothing is published: the next one is as large as the last at least. Where the size
    /// that was published last isn't known, which is so on SQLite of a log that an earlier version left, such a log is refused.
    ///
    /// # Errors
    /// [`LogError::InUse`] or [`LogError::NotSequencer`], [`LogError::DatabaseBehind`], [`LogError::EntryDiffers`],
    /// [`LogError::RootDiffers`], [`LogError::FilesBehind`], [`LogError::TwinLeftOut`], [`LogError::Log`] with the file's name.
    pub async fn open(store: &Store, files: LogFiles, keys: LogKeys) -> Result<LogPublisher, LogError> {
        let (publisher, unfinished) = LogPublisher::take_up(store, files, keys).await?;
        if let Some(heads) = unfinished
            && let Err(error) = publisher.release(heads).await
        {
            leave(&publisher.sequencer).await;
            return Err(error);
        }
        Ok(publisher)
    }

    /// The same for one who asks for others' lines: where a crash left one of both checkpoints out, nothing is published, and the
    /// heads of that size come along. They are to be released before anything else is signed.
    ///
    /// # Errors
    /// Those of [`LogPublisher::open`].
    pub async fn take_up(
        store: &Store,
        files: LogFiles,
        keys: LogKeys,
    ) -> Result<(LogPublisher, Option<Heads>), LogError> {
        let sequencer = Sequencer::claim(store, &files).await?;
        let opened = take_up(store, &files, &keys, &sequencer).await;
        let (reader, twin, state, unfinished) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                leave(&sequencer).await;
                return Err(error);
            }
        };
        let publisher = LogPublisher {
            store: store.clone(),
            reader,
            twin,
            keys: Arc::new(keys),
            state: tokio::sync::Mutex::new(state),
            sequencer,
        };
        let mut state = publisher.state.lock().await;
        publisher.tidy(&mut state).await;
        drop(state);
        Ok((publisher, unfinished))
    }

    /// The reader of the same log.
    pub fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// The reader of its twin, where one is published.
    pub fn twin_reader(&self) -> Option<&LogReader> {
        self.twin.as_ref()
    }

    /// Publishes every entry that was in the database when the call began, and gives the checkpoint, which is durable then.
    ///
    /// # Errors
    /// Those of [`LogPublisher::sign`] and [`LogPublisher::release`].
    pub async fn publish(&self) -> Result<Published, LogError> {
        let heads = self.sign().await?;
        let international = heads.international.clone();
        self.release(heads).await?;
        Ok(international)
    }

    /// Grows the tiles of both logs by every entry that was in the database when the call began, makes them durable, and signs
    /// the checkpoints. Nobody sees those before [`LogPublisher::release`]. With nothing new it gives the published heads, with
    /// all lines that they have.
    ///
    /// # Errors
    /// [`LogError::FileDiffers`] when a file of the log has another content; [`LogError::SequencerLost`]; faults. The log
    /// stays as it was then, and the next call tries again.
    pub async fn sign(&self) -> Result<Heads, LogError> {
        let mut state = self.state.lock().await;
        let mut target = self.store.log_size().await?;
        if let Some(published) = &state.published
            && published.size() == target
        {
            return Ok(published.clone());
        }
        if state.trees.size() < target
            && let Some(roots) = state.trees.roots_entry()
        {
            insert_roots(&self.store, &self.sequencer, roots).await?;
            target = self.store.log_size().await?;
        }
        let mut trees = state.trees.clone();
        while trees.size() < target {
            // A long backlog takes longer than a place is kept for one who is silent.
            self.sequencer.keep().await?;
            // A step ends where a bundle is full.
            let count = (TILE_WIDTH - trees.size() % TILE_WIDTH).min(target - trees.size());
            let entries = read_entries(&self.store, trees.size(), count).await?;
            if entries.len() as u64 != count {
                return Err(LogError::DatabaseBehind {
                    published: trees.size(),
                    database: trees.size() + entries.len() as u64,
                });
            }
            let grown = trees.append(&entries)?;
            self.write(grown.international, grown.national).await?;
            trees = grown.trees;
        }
        self.write(trees.edge_files(Suite::International), trees.edge_files(Suite::National)).await?;
        let heads = sign(&trees, &self.keys)?;
        state.trees = trees;
        Ok(heads)
    }

    /// Publishes heads that [`LogPublisher::sign`] gave last, with whatever signature lines were added to their notes since:
    /// the checkpoints are durable then. Heads of the published size may come again with more lines.
    ///
    /// After a fault or [`LogError::SequencerLost`] the publisher is over, as it isn't known which checkpoints were written: give
    /// its place back and open the log again, which finds out.
    ///
    /// # Errors
    /// [`LogError::Superseded`] when another size was signed since; [`LogError::Log`] when a note is not this log's checkpoint any
    /// more; [`LogError::SequencerLost`]; faults.
    pub async fn release(&self, heads: Heads) -> Result<(), LogError> {
        let mut state = self.state.lock().await;
        if state.published.as_ref() == Some(&heads) {
            return Ok(());
        }
        let (first, second) = state.trees.checkpoints(self.reader.verifier.name())?;
        let is_same = first == Checkpoint::open(&heads.international.note, &self.reader.verifier)?
            && heads.national.is_some() == second.is_some();
        if !is_same {
            return Err(LogError::Superseded { size: heads.size() });
        }
        if let (Some(national), Some(twin), Some(second)) = (&heads.national, &self.twin, &second)
            && Checkpoint::open(&national.note, &twin.verifier)? != *second
        {
            return Err(LogError::Superseded { size: heads.size() });
        }
        let is_larger = state.published.as_ref().is_none_or(|published| published.size() < heads.size());
        if is_larger && !self.sequencer.is_fenced() {
            self.reader.announce(&heads.international).await?;
        }
        write_checkpoints(&self.reader, self.twin.as_ref(), &self.sequencer, &heads).await?;
        state.trees.set_published()?;
        state.published = Some(heads);
        self.tidy(&mut state).await;
        Ok(())
    }

    /// Begins to remove the beginnings of tiles that are published full: a bundle is written again with each checkpoint while it
    /// grows, many times what it holds in the end. Nothing depends on it and nobody waits for it. A pass takes so many tiles and no
    /// more ([`outgrown_tiles`]), one runs at a time, and how far it came is kept beside the log: however many have become full
    /// since, while witnesses were waited for or by a process that was killed, the passes come to them. Where a store does not let
    /// files be removed, they stay; it is asked again with each bundle.
    async fn tidy(&self, state: &mut State) {
        let State { published, tidying, .. } = state;
        let size = published.as_ref().map_or(0, Heads::size);
        if let Some(pass) = tidying.running.take_if(|pass| pass.is_finished()) {
            tidying.end(pass.await, size);
        }
        let has_failed = tidying.failed_at.is_some_and(|failed| failed / TILE_WIDTH == size / TILE_WIDTH);
        let (full, until) = outgrown_tiles(tidying.cleared, size);
        if tidying.running.is_some() || has_failed || full.is_empty() {
            return;
        }
        let (files, twin) = (self.reader.files.clone(), self.twin.clone());
        tidying.running = Some(tokio::task::spawn_blocking(move || {
            files.drop_beginnings(&full)?;
            if let Some(twin) = twin {
                let hashes: Vec<_> =
                    full.iter().filter(|path| matches!(path.kind, TileKind::Hashes { .. })).copied().collect();
                twin.files.drop_beginnings(&hashes)?;
            }
            files.write_note(TIDIED_PATH, &format!("{}\n", until - until % TILE_WIDTH))?;
            Ok(until)
        }));
    }

    /// Waits until the pass that removes beginnings of full tiles is through, where one runs.
    pub async fn tidied(&self) {
        let mut state = self.state.lock().await;
        let size = state.published.as_ref().map_or(0, Heads::size);
        if let Some(pass) = state.tidying.running.take() {
            state.tidying.end(pass.await, size);
        }
    }

    /// Keeps the publisher's place while there is nothing to publish, goes on removing what is outgrown, and sees to it that the
    /// checkpoints that are served are those that were published last: an earlier one of this log is replaced. Call it every second
    /// or so.
    ///
    /// # Errors
    /// [`LogError::SequencerLost`]; [`LogError::RootDiffers`] when the checkpoint that is served is of another history and no
    /// database says who publishes; faults.
    pub async fn keep(&self) -> Result<(), LogError> {
        let is_due = self.sequencer.keep().await?;
        let mut state = self.state.lock().await;
        self.tidy(&mut state).await;
        if !is_due {
            return Ok(());
        }
        // A process that lost its place in the middle of writing may have put an older checkpoint back, and so may a request to an
        // object store that arrives late.
        let Some(heads) = &state.published else { return Ok(()) };
        let mut shown = vec![(self.reader.clone(), heads.international.clone())];
        shown.extend(self.twin.clone().zip(heads.national.clone()));
        let is_fenced = self.sequencer.is_fenced();
        let is_served = blocking(move || {
            let mut is_served = true;
            for (reader, published) in shown {
                let served = reader.read_published()?;
                if served.as_ref().is_some_and(|served| served.note == published.note) {
                    continue;
                }
                is_served = false;
                if let Some(served) = served
                    && !is_fenced
                {
                    check_earlier(&reader, &served.checkpoint, &published.checkpoint)?;
                }
            }
            Ok(is_served)
        });
        if !is_served.await? {
            tracing::warn!(
                size = heads.size(),
                "another checkpoint was served than was published last; putting that back"
            );
            write_checkpoints(&self.reader, self.twin.as_ref(), &self.sequencer, heads).await?;
        }
        Ok(())
    }

    /// Gives the publisher's place up, so that another process need not wait for it.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn give_back(&self) -> Result<(), LogError> {
        self.sequencer.give_back().await
    }

    /// Makes tiles of both logs durable.
    async fn write(&self, international: Files, national: Files) -> Result<(), LogError> {
        let files = self.reader.files.clone();
        let twin = self.twin.clone();
        blocking(move || {
            files.write_tiles(&international)?;
            let Some(twin) = twin else { return Ok(()) };
            twin.files.write_tiles(&national).map_err(|error| twin.named(error))
        })
        .await
    }
}

/// Gives the place up after a fault. What went wrong first is what must be mended; a place that is not given back runs out.
async fn leave(sequencer: &Sequencer) {
    if let Err(error) = sequencer.give_back().await {
        tracing::warn!(%error, "the publisher's place can't be given back");
    }
}

fn sign(trees: &Trees, keys: &LogKeys) -> Result<Heads, LogError> {
    let (first, second) = trees.checkpoints(keys.international.verifier().name())?;
    let national = match (second, &keys.national) {
        (Some(checkpoint), Some(key)) => Some(Published { note: checkpoint.sign(key)?, checkpoint }),
        _ => None,
    };
    Ok(Heads { international: Published { note: first.sign(&keys.international)?, checkpoint: first }, national })
}

/// Writes both checkpoints, the twin's first: who sees the first log's finds the twin's. Before each the place must be held.
async fn write_checkpoints(
    reader: &LogReader,
    twin: Option<&LogReader>,
    sequencer: &Sequencer,
    heads: &Heads,
) -> Result<(), LogError> {
    let fence = sequencer.fence(heads.size()).await?;
    let mut notes = Vec::new();
    notes.extend(twin.zip(heads.national.as_ref()));
    notes.push((reader, &heads.international));
    for (reader, head) in notes {
        let (files, note) = (reader.files.clone(), head.note.clone());
        fence.during(blocking(move || files.write_checkpoint(&note))).await?;
    }
    fence.end().await
}

/// The published log as it was left, compared with the database, and the heads of which a crash left one checkpoint out.
async fn take_up(
    store: &Store,
    files: &LogFiles,
    keys: &LogKeys,
    sequencer: &Sequencer,
) -> Result<(LogReader, Option<LogReader>, State, Option<Heads>), LogError> {
    let reader = LogReader::new(files.clone(), keys.international.verifier().clone());
    let twin = keys.national.as_ref().map(|key| LogReader::twin(files.clone(), key.verifier().clone()));
    let first = reader.published().await?;
    let second = match &twin {
        Some(twin) => twin.published().await?,
        None => {
            check_without_twin(store, files).await?;
            None
        }
    };
    let size = first.iter().chain(&second).map(|published| published.checkpoint.size).max();
    compare_with_database(store, &reader, size).await?;
    let roots = last_roots(store).await?;
    let announced = if sequencer.is_fenced() { None } else { reader.announced().await? };
    let announced_size = announced.as_ref().map_or(sequencer.published_size(), |head| head.checkpoint.size);
    let known = roots.unwrap_or(0).max(announced_size);
    let is_behind = size.map_or(known > 0 || roots.is_some(), |size| size < known);
    if is_behind && !sequencer.is_fenced() && announced_size < known {
        // The last size of which an entry of both roots speaks may not be the last that was published.
        return Err(LogError::FilesBehind { published: size.unwrap_or(0), database: known });
    }
    // A twin that has not begun has no tiles to catch up with: it begins where the log has come to.
    let begins_behind = is_behind && second.is_none() && roots.is_none();
    let begun = twin.as_ref().filter(|_| !begins_behind);
    let from = match size {
        // Of what was put back no entry of both roots need speak.
        Some(size) if is_behind && begun.is_some() => last_roots_until(store, size).await?,
        size => size,
    };
    let mut trees = match (begun, from) {
        (None, None) => Trees::Single(TreeState::empty()),
        (None, Some(size)) => load_single(&reader, size).await?,
        (Some(_), None) => Trees::Twin(Box::new(TwinLog::empty(reader.verifier.name())?)),
        (Some(twin), Some(size)) => {
            let log = match second {
                Some(_) => {
                    let (first, second) = (reader.clone(), twin.clone());
                    blocking(move || load_twin(&first, &second, size)).await?
                }
                None => begin_twin(store, sequencer, &reader, twin, size).await?,
            };
            Trees::Twin(Box::new(log))
        }
    };
    if is_behind {
        trees = catch_up(store, sequencer, &reader, begun, trees, (size.unwrap_or(0), known)).await?;
    }
    if begins_behind && let Some(twin) = &twin {
        let root = trees.root(Suite::International);
        trees = Trees::Twin(Box::new(begin_twin(store, sequencer, &reader, twin, known).await?));
        if trees.root(Suite::International) != root {
            return Err(LogError::RootDiffers { size: known });
        }
        trees.set_published()?;
    }
    for (reader, published) in [(Some(&reader), &first), (Some(&reader), &announced), (twin.as_ref(), &second)] {
        if let (Some(reader), Some(published)) = (reader, published) {
            compare_root(reader, &trees, &published.checkpoint).await?;
        }
    }
    let (published, unfinished) = if is_behind || size.is_none() {
        (None, None)
    } else {
        let (heads, is_complete) = complete(&trees, keys, first, second)?;
        trees.set_published()?;
        // Of the other one the lines of others are lost.
        if is_complete { (Some(heads), None) } else { (None, Some(heads)) }
    };
    let mut state = State { trees, published, tidying: Tidying::default() };
    // Of the tiles before the edge a process that lost its place may have written some again.
    state.tidying.cleared = read_tidied(&reader).await?.min(state.trees.size().saturating_sub(TILE_WIDTH));
    Ok((reader, twin, state, unfinished))
}

/// The size up to which beginnings of tiles were removed; 0 where nobody has noted one.
async fn read_tidied(reader: &LogReader) -> Result<u64, LogError> {
    let files = reader.files.clone();
    let noted = blocking(move || Ok(files.read(TIDIED_PATH)?)).await?;
    let noted = noted.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok());
    Ok(noted.unwrap_or(0))
}

/// Whether a log may be published without its twin: only while it never had one.
///
/// # Errors
/// [`LogError::TwinLeftOut`]; faults of database and disk.
pub async fn check_without_twin(store: &Store, files: &LogFiles) -> Result<(), LogError> {
    let files = files.below(TWIN_PREFIX);
    let Some(bytes) = blocking(move || Ok(files.read(CHECKPOINT_PATH)?)).await? else {
        return match last_roots(store).await? {
            Some(size) => Err(LogError::TwinLeftOut { size }),
            None => Ok(()),
        };
    };
    // Its key is not at hand; the size is for the message alone.
    let size = std::str::from_utf8(&bytes).ok().and_then(|note| {
        let note = SignedNote::parse(note).ok()?;
        Some(Checkpoint::from_text(note.text()).ok()?.size)
    });
    Err(LogError::TwinLeftOut { size: size.unwrap_or(0) })
}

/// Compares the last published entry with the database's. Each entry holds digests with random salts, or roots over such, so
/// two histories never share one.
async fn compare_with_database(store: &Store, reader: &LogReader, size: Option<u64>) -> Result<(), LogError> {
    let Some((size, index)) = size.and_then(|size| Some((size, size.checked_sub(1)?))) else { return Ok(()) };
    let last = reader.clone();
    let entry = blocking(move || last.with_tiles(|read| entry_from_tiles(read, index, size))).await?;
    let database = store.log_size().await?;
    if database <= index {
        return Err(LogError::DatabaseBehind { published: size, database });
    }
    if read_entries(store, index, 1).await?.first() != Some(&entry) {
        return Err(LogError::EntryDiffers { index });
    }
    Ok(())
}

async fn load_single(reader: &LogReader, size: u64) -> Result<Trees, LogError> {
    let reader = reader.clone();
    blocking(move || Ok(Trees::Single(reader.with_tiles(|read| TreeState::load(read, size))?))).await
}

/// Compares a checkpoint with the trees, whose size it has or had.
async fn compare_root(reader: &LogReader, trees: &Trees, checkpoint: &Checkpoint) -> Result<(), LogError> {
    let (size, earlier) = (trees.size(), checkpoint.size);
    let found = if size == earlier {
        trees.root(reader.suite())
    } else {
        let reader = reader.clone();
        Some(blocking(move || reader.root_at(size, earlier)).await?)
    };
    if found == Some(checkpoint.root) { Ok(()) } else { Err(LogError::RootDiffers { size: earlier }) }
}

/// That a checkpoint that is served is of the log that was published last, or of its beginning.
fn check_earlier(reader: &LogReader, served: &Checkpoint, published: &Checkpoint) -> Result<(), LogError> {
    let found = match served.size.cmp(&published.size) {
        Ordering::Less => Some(reader.root_at(published.size, served.size)?),
        Ordering::Equal => Some(published.root),
        Ordering::Greater => None,
    };
    if found == Some(served.root) { Ok(()) } else { Err(LogError::RootDiffers { size: served.size }) }
}

/// The heads of a size, of which a crash between the writes of both checkpoints, the twin's first day, or a lost file left one
/// behind or out; and whether all were there. The tiles of both trees were durable before either checkpoint was signed.
fn complete(
    trees: &Trees,
    keys: &LogKeys,
    first: Option<Published>,
    second: Option<Published>,
) -> Result<(Heads, bool), LogError> {
    let signed = sign(trees, keys)?;
    let at_size = |published: Option<Published>| published.filter(|found| found.checkpoint.size == trees.size());
    let (first, second) = (at_size(first), at_size(second));
    let is_complete = first.is_some() && second.is_some() == signed.national.is_some();
    let heads = Heads { international: first.unwrap_or(signed.international), national: second.or(signed.national) };
    Ok((heads, is_complete))
}
