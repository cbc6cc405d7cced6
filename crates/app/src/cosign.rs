//! Asking others to cosign the node's log. A checkpoint that needs a quorum is signed, kept, and published once k of n witnesses
//! have cosigned it; without a quorum it is published at once. Lines that come later are added to what is published.

mod ask;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Date;
use lingqu_crypto::Suite;
use lingqu_store::log::{Heads, LogPublisher, LogReader, Published, witnessed_day};
use lingqu_transparency::{CosignerPolicy, NoteVerifier, SignedNote, TransparencyError};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::app::App;
use crate::error::AppError;
use crate::log::give_back;
use crate::remote::{Remote, check_prefix};
use crate::witness::wrong_setting;
use ask::AskedWitness;

/// How long a checkpoint that is to be published waits for witnesses before it is put off.
const QUORUM_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long lines are waited for that are added to what is published. Those that came are added then, so a witness that does not
/// answer puts off the others' by so much: what is published is to be witnessed within a minute.
const LINES_WAIT_MAX: Duration = Duration::from_secs(20);

/// When lines were cosigned and could not be added for so long, because each time something newer was published meanwhile,
/// publishing waits for one round of asking: what is published is to be witnessed within a minute.
const PASSED_BY_MAX: Duration = Duration::from_secs(20);

/// A witness that the node asks.
#[derive(Clone, Debug)]
pub struct AskedWitnessSetting {
    /// Its submission prefix: the address that has `/add-checkpoint` behind it.
    pub url: String,
    /// Its keys: one for the log over SHA-256, one for the twin, or both.
    pub keys: Vec<NoteVerifier>,
}

/// Whom the node asks, and how many must have cosigned before a checkpoint counts as published.
#[derive(Clone, Debug, Default)]
pub struct CosigningSetting {
    /// The witnesses.
    pub witnesses: Vec<AskedWitnessSetting>,
    /// How many must have cosigned the log over SHA-256; 0: it is published at once.
    pub quorum: usize,
    /// The same of the twin log; none: as many as of the other.
    pub twin_quorum: Option<usize>,
}

/// How a witness stands to one of the node's logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WitnessStanding {
    /// Its submission prefix.
    pub url: String,
    /// The key with which it cosigns.
    pub vkey: String,
    /// Whether it cosigns the twin log.
    pub of_twin: bool,
    /// The size that it cosigned last; none before the first.
    pub size: Option<u64>,
    /// When it says that it cosigned, in seconds since 1970.
    pub cosigned_at: Option<u64>,
    /// Entries that are published and that it has not cosigned.
    pub behind: u64,
    /// What its last answer came to: `cosigned`, `unreachable`, `unknown_log`, `not_trusted`, `ahead`, `inconsistent`,
    /// `no_proof` or `other`; none before it was asked.
    pub outcome: Option<&'static str>,
    /// The same in words, with what to do.
    pub answer: Option<String>,
}

/// The witnesses of one log.
struct LogWitnesses {
    policy: CosignerPolicy,
    asked: Vec<AskedWitness>,
}

/// Whom the node asks, and what it waits for.
pub(crate) struct Cosigning {
    remote: Remote,
    international: Arc<LogWitnesses>,
    national: Arc<LogWitnesses>,
    /// What was signed and waits for its quorum. It is signed once: what is asked for again is the same note.
    waiting: Mutex<Option<Heads>>,
    /// What was published last.
    released: Mutex<Option<Heads>>,
    /// The last day of which a checkpoint with a witness's line was kept.
    kept_of: Mutex<Option<Date>>,
    /// Since when lines were gathered that something newer passed by before they could be added; none: they could.
    passed_by: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Cosigning {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Cosigning")
    }
}

/// How long the witnesses are waited for. One that failed a moment ago is not asked again yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Until enough have answered.
    UntilQuorum,
    /// Until all have.
    All,
    /// Until all have, while nothing newer is published.
    AllBeforeNewer,
}

impl Asked {
    /// Publishing is not held up for longer: a process that is silent loses its place as the publisher.
    fn wait_max(self) -> Duration {
        match self {
            Asked::UntilQuorum | Asked::AllBeforeNewer => QUORUM_WAIT_MAX,
            Asked::All => LINES_WAIT_MAX,
        }
    }
}

/// What became of a checkpoint that was to be published.
pub(crate) enum Release {
    /// It is published.
    Done(Heads),
    /// Too few witnesses have cosigned it; it is kept and asked for again.
    Waiting { found: usize, required: usize },
}

impl App {
    /// Tells the node whom to ask for cosignatures, once, after it was opened. Errors: an address that is none, keys that are
    /// no witness's, a quorum that can't be reached.
    pub fn ask_witnesses(&self, setting: CosigningSetting) -> Result<(), AppError> {
        // Nobody cosigns a twin that is not published.
        let national = match self.twin_signer()? {
            Some(_) => setting.twin_quorum.unwrap_or(setting.quorum),
            None => 0,
        };
        let international = log_witnesses(&setting, Suite::International, setting.quorum)?;
        let national = log_witnesses(&setting, Suite::National, national)?;
        if setting.witnesses.is_empty() {
            return Ok(());
        }
        let cosigning = Cosigning {
            remote: Remote::new().map_err(|fault| AppError::Invalid(fault.to_string()))?,
            international: Arc::new(international),
            national: Arc::new(national),
            waiting: Mutex::new(None),
            released: Mutex::new(None),
            kept_of: Mutex::new(None),
            passed_by: Mutex::new(None),
        };
        self.cosigning.set(cosigning).map_err(|_| AppError::Fault("the witnesses were named twice".to_owned()))
    }

    /// The keys of the witnesses that the node asks, of both logs.
    pub(crate) fn witness_keys(&self) -> Vec<NoteVerifier> {
        let Some(cosigning) = self.cosigning.get() else { return Vec::new() };
        let of = |log: &LogWitnesses| log.policy.cosigners().to_vec();
        [of(&cosigning.international), of(&cosigning.national)].concat()
    }

    /// Signs what the log has and publishes it, once enough witnesses have cosigned it.
    ///
    /// # Errors
    /// Those of signing and publishing, after which the publisher is not to be used again.
    pub(crate) async fn sign_and_release(&self, publisher: &LogPublisher) -> Result<Release, AppError> {
        let Some(cosigning) = self.cosigning.get() else {
            let heads = publisher.sign().await?;
            check_signed(publisher, &heads).await?;
            publisher.release(heads.clone()).await?;
            return Ok(Release::Done(heads));
        };
        loop {
            let waiting = lock(&cosigning.waiting).take();
            let was_waiting = waiting.is_some();
            let signed = match waiting {
                Some(heads) => heads,
                None => cosigning.keep_signed(publisher, publisher.sign().await?).await?,
            };
            let heads = cosigning.gather(&Readers::of(publisher), signed, Asked::UntilQuorum).await?;
            if let Some((found, required)) = cosigning.short_of(&heads) {
                *lock(&cosigning.waiting) = Some(heads);
                return Ok(Release::Waiting { found, required });
            }
            publisher.release(heads.clone()).await?;
            cosigning.keep_witnessed(publisher.reader(), &heads.international, self.now()).await;
            *lock(&cosigning.released) = Some(heads.clone());
            // What was recorded while it waited is not under it. Nothing waits now, so the next round is the last.
            if !was_waiting {
                return Ok(Release::Done(heads));
            }
        }
    }

    /// Publishes heads of which a crash left one out, if there are any; with witnesses they wait for their quorum like others, and
    /// nothing else does: what waited when this process published last may be passed by. Heads smaller than what witnesses were
    /// shown since are passed by as well: nothing is signed any more below that.
    ///
    /// # Errors
    /// Those of [`App::sign_and_release`].
    pub(crate) async fn release_unfinished(
        &self,
        publisher: &LogPublisher,
        unfinished: Option<Heads>,
    ) -> Result<(), AppError> {
        let unfinished = match unfinished {
            Some(heads) if heads.size() >= signed_size(publisher).await? => Some(heads),
            _ => None,
        };
        let Some(cosigning) = self.cosigning.get() else {
            let Some(heads) = unfinished else { return Ok(()) };
            check_signed(publisher, &heads).await?;
            return Ok(publisher.release(heads).await?);
        };
        let kept = match unfinished {
            Some(heads) => Some(cosigning.keep_signed(publisher, heads).await?),
            None => None,
        };
        *lock(&cosigning.waiting) = kept;
        Ok(())
    }

    /// Asks the witnesses whose lines are missing under what is published, and adds what they answer. A log that grows faster than
    /// its witnesses answer would never show their lines; so, when that has gone on for a while, nothing newer is published until
    /// one round of asking is over.
    ///
    /// # Errors
    /// Faults of the disk.
    pub async fn add_cosignatures(&self) -> Result<(), AppError> {
        let Some(cosigning) = self.cosigning.get() else { return Ok(()) };
        let is_held = lock(&cosigning.passed_by).is_some_and(|since| since.elapsed() >= PASSED_BY_MAX);
        let held = if is_held { Some(self.publishing.lock().await) } else { None };
        let released = lock(&cosigning.released).clone();
        let Some(released) = released.filter(|heads| cosigning.lacks_lines(heads)) else {
            *lock(&cosigning.passed_by) = None;
            return Ok(());
        };
        let readers = Readers { international: self.log_reader()?, national: self.twin_reader()? };
        let asked = if is_held { Asked::AllBeforeNewer } else { Asked::All };
        let heads = cosigning.gather(&readers, released.clone(), asked).await?;
        if heads == released {
            // Nobody answered: nothing is waited for that does not come.
            *lock(&cosigning.passed_by) = None;
            return Ok(());
        }
        let mut publishing = match held {
            Some(held) => held,
            None => self.publishing.lock().await,
        };
        // What was published meanwhile has its own lines to gather; what waits for its quorum must not be passed by.
        let is_latest = *lock(&cosigning.released) == Some(released) && lock(&cosigning.waiting).is_none();
        if !is_latest {
            lock(&cosigning.passed_by).get_or_insert_with(Instant::now);
            return Ok(());
        }
        // As in publishing: a publisher that failed is not used again.
        let Some(publisher) = publishing.take() else { return Ok(()) };
        if let Err(error) = publisher.release(heads.clone()).await {
            give_back(&publisher).await;
            return Err(error.into());
        }
        cosigning.keep_witnessed(publisher.reader(), &heads.international, self.now()).await;
        *publishing = Some(publisher);
        *lock(&cosigning.released) = Some(heads);
        *lock(&cosigning.passed_by) = None;
        Ok(())
    }

    /// How each witness that the node asks stands to its logs.
    pub fn witness_standings(&self) -> Vec<WitnessStanding> {
        let Some(cosigning) = self.cosigning.get() else { return Vec::new() };
        let released = lock(&cosigning.released).clone();
        let of = |log: &LogWitnesses, published: Option<&Published>| -> Vec<WitnessStanding> {
            log.asked.iter().map(|witness| witness_standing(witness, published)).collect()
        };
        let mut standings = of(&cosigning.international, released.as_ref().map(|heads| &heads.international));
        standings.extend(of(&cosigning.national, released.as_ref().and_then(|heads| heads.national.as_ref())));
        standings
    }
}

impl Cosigning {
    /// Keeps what was signed before any witness sees it. What is published at once needs no such thing. Where that size was kept
    /// before, it is the same note again, with the witnesses' lines that stand under either.
    async fn keep_signed(&self, publisher: &LogPublisher, signed: Heads) -> Result<Heads, AppError> {
        if self.short_of(&signed).is_none() {
            check_signed(publisher, &signed).await?;
            return Ok(signed);
        }
        let kept = publisher.reader().keep_signed(signed.international.clone()).await?;
        let international = self.international.joined(kept, &signed.international);
        let national = match (signed.national, publisher.twin_reader()) {
            (Some(head), Some(reader)) => {
                let kept = reader.keep_signed(head.clone()).await?;
                Some(self.national.joined(kept, &head))
            }
            (head, _) => head,
        };
        Ok(Heads { international, national })
    }

    /// Keeps the first checkpoint of each day that a witness cosigned: it shows what stood in the log that day, by another's time.
    /// The day is the node's, since a witness may have any clock. What is published does not wait for it.
    async fn keep_witnessed(&self, reader: &LogReader, head: &Published, now: Timestamp) {
        let day = witnessed_day(now);
        if *lock(&self.kept_of) == Some(day) || !self.international.is_cosigned(&head.note) {
            return;
        }
        match reader.keep_witnessed(day, &head.note).await {
            Ok(()) => *lock(&self.kept_of) = Some(day),
            Err(error) => {
                tracing::warn!(%error, %day, "the day's witnessed checkpoint can't be kept; the next one is tried");
            }
        }
    }

    /// Asks for the lines that are missing under both heads.
    async fn gather(&self, readers: &Readers, heads: Heads, asked: Asked) -> Result<Heads, AppError> {
        let national = async {
            match (heads.national, &readers.national) {
                (Some(head), Some(reader)) => Ok(Some(self.ask_all(&self.national, reader, head, asked).await?)),
                (head, _) => Ok::<_, AppError>(head),
            }
        };
        let international = self.ask_all(&self.international, &readers.international, heads.international, asked);
        let (international, national) = tokio::join!(international, national);
        let (international, national) = (international?, national?);
        Ok(Heads { international, national })
    }

    /// Asks the witnesses of one log at the same time, and adds what they answer to the note.
    async fn ask_all(
        &self,
        log: &Arc<LogWitnesses>,
        reader: &LogReader,
        head: Published,
        asked: Asked,
    ) -> Result<Published, AppError> {
        let mut gathered = SignedNote::parse(&head.note).map_err(|error| AppError::Fault(error.to_string()))?;
        let is_enough = |note: &SignedNote| asked == Asked::UntilQuorum && log.policy.check(note).is_ok();
        if is_enough(&gathered) {
            return Ok(head);
        }
        let now = Instant::now();
        let mut tasks = JoinSet::new();
        let mut unanswered = BTreeSet::new();
        for (place, witness) in log.asked.iter().enumerate() {
            if witness.signed(&gathered) || !witness.is_due(now) {
                continue;
            }
            let (log, remote, reader) = (Arc::clone(log), self.remote.clone(), reader.clone());
            let note = head.note.clone();
            unanswered.insert(place);
            tasks.spawn(async move { (place, log.asked[place].ask(&remote, &reader, &note).await) });
        }
        let until = tokio::time::Instant::now() + asked.wait_max();
        while !tasks.is_empty() {
            let Ok(done) = tokio::time::timeout_at(until, tasks.join_next()).await else {
                unanswered.iter().for_each(|place| log.asked[*place].did_not_answer(asked.wait_max(), &head.note));
                break;
            };
            // What a witness answered was verified, so that it fits the note.
            if let Some(Ok((place, lines))) = done {
                unanswered.remove(&place);
                if let Some(more) = lines.and_then(|lines| log.policy.gather(&gathered, &lines).ok()) {
                    gathered = more;
                }
            }
            // Those who have not answered yet are asked again for their lines when the checkpoint is published.
            if is_enough(&gathered) {
                break;
            }
        }
        Ok(Published { checkpoint: head.checkpoint, note: gathered.to_text() })
    }

    /// How many have cosigned and how many must have, of the log that lacks the most; none when both have enough.
    fn short_of(&self, heads: &Heads) -> Option<(usize, usize)> {
        let national = heads.national.as_ref().and_then(|head| self.national.short_of(&head.note));
        [self.international.short_of(&heads.international.note), national]
            .into_iter()
            .flatten()
            .max_by_key(|(found, required)| required - found)
    }

    fn lacks_lines(&self, heads: &Heads) -> bool {
        let national = heads.national.as_ref().is_some_and(|head| self.national.lacks_lines(&head.note));
        national || self.international.lacks_lines(&heads.international.note)
    }
}

impl LogWitnesses {
    fn short_of(&self, note: &str) -> Option<(usize, usize)> {
        let checked = SignedNote::parse(note).and_then(|note| self.policy.check(&note).map(|_| ()));
        match checked {
            Ok(()) => None,
            Err(TransparencyError::NotWitnessed { found, required }) => Some((found, required)),
            Err(_) => Some((0, self.policy.required())),
        }
    }

    /// A checkpoint with the lines of witnesses that another note of it has as well, each for itself: one that does not verify takes
    /// no other with it.
    fn joined(&self, head: Published, other: &Published) -> Published {
        if head.note == other.note {
            return head;
        }
        let (Ok(mut note), Ok(other)) = (SignedNote::parse(&head.note), SignedNote::parse(&other.note)) else {
            return head;
        };
        for line in other.signatures() {
            if let Ok(more) = self.policy.gather(&note, &line.to_line()) {
                note = more;
            }
        }
        Published { checkpoint: head.checkpoint, note: note.to_text() }
    }

    /// Whether a witness cosigned a checkpoint.
    fn is_cosigned(&self, note: &str) -> bool {
        let Ok(note) = SignedNote::parse(note) else { return false };
        let signed = note.verify_signatures(self.policy.cosigners());
        signed.is_ok_and(|signed| signed.iter().any(|signature| signature.cosigned_at.is_some()))
    }

    fn lacks_lines(&self, note: &str) -> bool {
        match SignedNote::parse(note) {
            Ok(note) => self.asked.iter().any(|witness| !witness.signed(&note)),
            Err(_) => false,
        }
    }
}

/// What reads the files of both logs.
struct Readers {
    international: LogReader,
    national: Option<LogReader>,
}

impl Readers {
    fn of(publisher: &LogPublisher) -> Readers {
        Readers { international: publisher.reader().clone(), national: publisher.twin_reader().cloned() }
    }
}

/// Whatever is configured now: what was shown to witnesses before is not contradicted.
async fn check_signed(publisher: &LogPublisher, heads: &Heads) -> Result<(), AppError> {
    publisher.reader().check_signed(heads.size()).await?;
    if let (Some(reader), Some(head)) = (publisher.twin_reader(), &heads.national) {
        reader.check_signed(head.checkpoint.size).await?;
    }
    Ok(())
}

/// The largest size that was signed and kept, which witnesses may have seen; 0 where none was.
async fn signed_size(publisher: &LogPublisher) -> Result<u64, AppError> {
    let international = publisher.reader().signed_size().await?;
    let national = match publisher.twin_reader() {
        Some(reader) => reader.signed_size().await?,
        None => None,
    };
    Ok(international.max(national).unwrap_or(0))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn log_witnesses(setting: &CosigningSetting, suite: Suite, required: usize) -> Result<LogWitnesses, AppError> {
    let mut asked = Vec::new();
    for witness in &setting.witnesses {
        let url = check_prefix(&witness.url).map_err(|problem| {
            AppError::Invalid(format!("a witness's address: {problem}; correct `[log]` in lingqu.toml"))
        })?;
        for key in witness.keys.iter().filter(|key| key.key_type().suite() == suite) {
            asked.push(AskedWitness::new(url.clone(), key.clone()));
        }
    }
    let keys = asked.iter().map(|witness| witness.key.clone()).collect();
    let policy = CosignerPolicy::new(keys, required).map_err(|error| match suite {
        Suite::International => wrong_setting(&error),
        Suite::National => {
            AppError::Invalid(format!("of the twin log: {error}; correct `[log]` in lingqu.toml, or set `twin_quorum`"))
        }
    })?;
    Ok(LogWitnesses { policy, asked })
}

fn witness_standing(witness: &AskedWitness, published: Option<&Published>) -> WitnessStanding {
    let known = witness.known();
    let published_size = published.map_or(0, |published| published.checkpoint.size);
    // After a restart nothing is known but what stands under the checkpoint.
    let under = published.and_then(|published| {
        let note = SignedNote::parse(&published.note).ok()?;
        let at = note.verify_signatures(std::slice::from_ref(&witness.key)).ok()?.first()?.cosigned_at?;
        Some((published_size, at))
    });
    let cosigned = known.cosigned.max(under);
    WitnessStanding {
        url: witness.url.clone(),
        vkey: witness.key.to_string(),
        of_twin: witness.key.key_type().suite() == Suite::National,
        size: cosigned.map(|(size, _)| size),
        cosigned_at: cosigned.map(|(_, at)| at),
        behind: published_size.saturating_sub(cosigned.map_or(0, |(size, _)| size)),
        outcome: known.answer.as_ref().map(|(code, _)| *code),
        answer: known.answer.map(|(_, words)| words),
    }
}
