//! Since when the commitments to disclosed keys stand in the log, by the time of somebody else: each is proven under the first
//! checkpoint after it that the node kept with the line of a witness.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lingqu_domain::id::OrderId;
use lingqu_store::journal::READ_LIMIT_MAX;
use lingqu_store::log::{LogReader, witnessed_day};
use lingqu_transparency::{Evidence, EvidenceBuilder, EvidenceTrust, LogPolicy, LogProof, NoteVerifier, SignedNote};
use serde::Serialize;

use super::evidence::fault;
use crate::app::App;
use crate::error::AppError;
use crate::evidence::Provers;

/// How the items begin that hold the proofs; the number of the log's entry follows.
const WITNESSED: &str = "trace/witnessed.";
/// How the items begin that hold the keys of witnesses.
const WITNESS: &str = "witness/";
/// The kind of the journal's records that commit to keys.
const COMMITTED: &str = "order.mark_keys_committed";

/// Who saw a commitment in the log, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommitmentSeen {
    /// The key of the witness.
    pub key: String,
    /// Whether the key came from the reader.
    pub key_is_trusted: bool,
    /// When it cosigned a checkpoint of the log that has the commitment, as it says.
    pub at: Timestamp,
}

impl App {
    /// Adds to a bundle when the commitments to the keys of some orders were seen, as far as checkpoints were kept.
    pub(super) async fn add_witnessed(
        &self,
        builder: &mut EvidenceBuilder,
        orders: &BTreeSet<&OrderId>,
        provers: &Provers<'_>,
    ) -> Result<(), AppError> {
        let mut added = BTreeSet::new();
        for order in orders {
            let mut version = 0;
            loop {
                let page = self.store.read_stream(order.as_str(), version, READ_LIMIT_MAX).await?;
                let Some(last) = page.last() else { break };
                version = last.stream_version;
                for record in page.iter().filter(|record| record.kind == COMMITTED) {
                    let (entry, Ok(at)) = (record.log_entry, record.at.parse::<Timestamp>()) else { continue };
                    if entry >= provers.checkpoint.size || !added.insert(entry) {
                        continue;
                    }
                    if let Some(proof) = self.first_witnessed(&provers.log, entry, at).await? {
                        let name = format!("{WITNESSED}{entry}");
                        builder.item(&name, proof.to_text().as_bytes()).map_err(fault)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The proof of an entry under the first kept checkpoint that has it.
    async fn first_witnessed(
        &self,
        log: &LogReader,
        entry: u64,
        recorded_at: Timestamp,
    ) -> Result<Option<LogProof>, AppError> {
        // The clocks of a node's processes may differ: the day may be the one before or after.
        let (from, to) = (witnessed_day(recorded_at), witnessed_day(self.now()));
        let (from, to) = (from.yesterday().unwrap_or(from), to.tomorrow().unwrap_or(to));
        match log.first_witnessed(entry, from, to).await? {
            Some(kept) => Ok(Some(log.prove_under(entry, &kept.note).await?.1)),
            None => Ok(None),
        }
    }
}

/// Who saw the log with an entry, by the proof in the bundle: of the witnesses that signed, the one with the latest time, so that one
/// with a slow clock makes nothing older. None where there is none. Error: the proof is wrong.
pub(super) fn seen(
    evidence: &Evidence,
    trust: &EvidenceTrust,
    log: &NoteVerifier,
    entry: u64,
) -> Result<Option<CommitmentSeen>, (String, String)> {
    let item = format!("{WITNESSED}{entry}");
    let Some(found) = evidence.item(&item) else { return Ok(None) };
    let wrong = |problem: String| (item.clone(), problem);
    let text = std::str::from_utf8(&found.bytes).map_err(|error| wrong(error.to_string()))?;
    let proof = LogProof::from_text(text).map_err(|error| wrong(error.to_string()))?;
    let bytes = evidence.item(&format!("entry/{entry}")).map(|item| item.bytes.as_slice()).unwrap_or_default();
    if proof.index != entry {
        return Err(wrong("it proves another entry".to_owned()));
    }
    proof.verify(bytes, log).map_err(|error| wrong(error.to_string()))?;
    let note = SignedNote::parse(&proof.checkpoint).map_err(|error| wrong(error.to_string()))?;
    let of_policy = trust.policy.iter().flat_map(LogPolicy::witnesses).map(|witness| &witness.verifier);
    let trusted: Vec<NoteVerifier> =
        trust.keys.iter().filter(|key| key.key_type().is_cosignature()).chain(of_policy).cloned().collect();
    let items = evidence.items.iter().filter(|item| item.name.starts_with(WITNESS));
    let own = items.filter_map(|item| std::str::from_utf8(&item.bytes).ok()?.trim_end().parse::<NoteVerifier>().ok());
    let own: Vec<NoteVerifier> = own.filter(|key| key.key_type().is_cosignature()).collect();
    for (known, key_is_trusted) in [(trusted, true), (own, false)] {
        let lines = note.signatures();
        let is_by =
            |key: &NoteVerifier| lines.iter().any(|line| line.name == key.name() && line.key_id == key.key_id());
        let known: Vec<NoteVerifier> = known.into_iter().filter(is_by).collect();
        if known.is_empty() {
            continue;
        }
        let signed = note.verify_signatures(&known).map_err(|error| wrong(error.to_string()))?;
        let times = signed.into_iter().filter_map(|signed| Some((signed.cosigned_at?, signed.verifier)));
        if let Some((at, key)) = times.max_by_key(|(at, _)| *at) {
            let at = i64::try_from(at).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
            let at = at.ok_or_else(|| wrong("its time is out of the calendar's range".to_owned()))?;
            return Ok(Some(CommitmentSeen { key: key.to_string(), key_is_trusted, at }));
        }
    }
    Ok(None)
}
