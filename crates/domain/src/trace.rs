//! Traces (溯源): that somebody looked for whose copy a leaked file comes from, recorded before he is told what was found.
//!
//! The record commits to the report by its digest and names nobody who is accused in it: an accusation is for the case, and the
//! journal is for ever. It says what was compared and tested with which bound, so that nobody can trace one file again and
//! again with other settings, show the one answer that he likes, and be silent about the others.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::access::Actor;
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{ProductId, TraceId};
use crate::refusal::Refusal;
use crate::state::{Listed, Meta, State};

/// Most versions of products that a record names.
pub const COMPARED_MAX: usize = 1_000;
/// Longest word of a record, in characters.
pub const TEXT_CHARS_MAX: usize = 200;
/// Hexadecimal digits of a SHA-256.
const DIGEST_CHARS: usize = 64;

/// What was traced, how, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TraceDetails {
    /// The largest probability that anybody innocent is accused, all tests of the case together, as it was asked for: `1e-6`.
    pub bound: String,
    /// The case, or who asked for it, in the words of who ran it; none where he said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// The versions of products that were compared, as `product@made_from`.
    pub compared: BTreeSet<String>,
    /// By which version of which decoders.
    pub decoder_version: String,
    /// A digest of the file by which the node knows it again, hexadecimal: keyed by the node, as a file of one row could be guessed from its
    /// SHA-256.
    pub fragment_digest: String,
    /// Rows of it.
    pub fragment_rows: u64,
    /// Position of the journal's last event when the codes were taken that were tested: those that were committed to by then, and no
    /// others. None in records from before they had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_position: Option<u64>,
    /// Orders whose keys were tested.
    pub orders_tested: u64,
    /// Recipients whose codes were tested.
    pub recipients_tested: u64,
    /// SHA-256 of the canonical JSON of the report, hexadecimal.
    pub report_digest: String,
    /// SHA-256 of the canonical JSON of the report without the orders of those who are not accused, hexadecimal: of the report as
    /// evidence hands it out. None in records from before they had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_report_digest: Option<String>,
    /// Codes that were tested, product by product, of the marked products that the file comes from: by these numbers the
    /// p-values of evidence are multiplied. Empty in records from before they had it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tested: BTreeMap<ProductId, TestedCodes>,
    /// Traces of the same file that were recorded before: each further one may use a smaller part of the bound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries_before: u64,
}

/// How many codes of a product were tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TestedCodes {
    /// Of orders, each with every epoch of its keys.
    pub orders: u64,
    /// Of recipients, each with every epoch of its code.
    pub recipients: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How many traces of a file the journal has.
pub fn tries(state: &State, fragment_digest: &str) -> u64 {
    let traces = state.traces.values().map(|trace| &trace.value.details);
    traces.filter(|details| details.fragment_digest == fragment_digest).count() as u64
}

/// A trace that was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    /// What was traced, how, and what came of it.
    pub details: TraceDetails,
    /// Who recorded it.
    pub by: Actor,
}

/// What happened to a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceEvent {
    /// It was run.
    Recorded {
        /// What was traced, how, and what came of it.
        details: Box<TraceDetails>,
    },
}

impl Trace {
    pub(crate) fn fold(previous: Option<Self>, id: TraceId, event: &TraceEvent, meta: &Meta) -> Option<Self> {
        let TraceEvent::Recorded { details } = event;
        if previous.is_some() {
            return None;
        }
        Some(Self { id, details: (**details).clone(), by: meta.actor.clone() })
    }
}

impl Listed for Trace {
    fn state(&self) -> &'static str {
        "recorded"
    }
    fn title(&self) -> String {
        self.details.case.clone().unwrap_or_else(|| self.details.fragment_digest.clone())
    }
    fn owner(&self) -> String {
        self.by.to_string()
    }
}

/// Whether a record may hold such a text.
pub fn is_one_line(text: &str) -> bool {
    text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
}

pub(crate) fn record(deciding: &mut Deciding<'_>, details: &TraceDetails) -> Result<(), Refusal> {
    let of_the_accused = details.shown_report_digest.as_ref();
    let digests = [("fragment_digest", &details.fragment_digest), ("report_digest", &details.report_digest)];
    for (name, digest) in digests.into_iter().chain(of_the_accused.map(|digest| ("shown_report_digest", digest))) {
        if digest.len() != DIGEST_CHARS || !digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Refusal::invalid(
                name,
                format!("摘要应为 {DIGEST_CHARS} 位十六进制数"),
                format!("a digest has {DIGEST_CHARS} hexadecimal digits"),
            ));
        }
    }
    let texts = [Some(&details.bound), details.case.as_ref(), Some(&details.decoder_version)];
    let is_empty = details.bound.is_empty() || details.decoder_version.is_empty();
    if is_empty || texts.into_iter().flatten().chain(&details.compared).any(|text| !is_one_line(text)) {
        return Err(Refusal::invalid(
            "details",
            format!("各项文字为 1 至 {TEXT_CHARS_MAX} 字，不含换行"),
            format!("a text has 1 to {TEXT_CHARS_MAX} characters in one line"),
        ));
    }
    if details.compared.len().max(details.tested.len()) > COMPARED_MAX {
        return Err(Refusal::invalid(
            "compared",
            format!("比对的版本至多 {COMPARED_MAX} 个"),
            format!("at most {COMPARED_MAX} versions are compared"),
        ));
    }
    if details.journal_position.is_some_and(|position| position > deciding.state.position) {
        return Err(Refusal::invalid(
            "journal_position",
            "受检密钥所据的日志位置尚不存在；请重新溯源",
            "the journal has no such position yet by which codes were taken; trace the file again",
        ));
    }
    // Two that run side by side would both count as the first.
    deciding.scan();
    if details.tries_before != tries(deciding.state, &details.fragment_digest) {
        return Err(Refusal::invalid(
            "tries_before",
            "同一文件同时另有一次溯源已记入日志；请重新溯源",
            "another trace of the same file was recorded meanwhile; trace it again",
        ));
    }
    let id = TraceId::next(&mut deciding.ids);
    deciding.emit(&id, Event::Trace(TraceEvent::Recorded { details: Box::new(details.clone()) }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"{"bound":"1e-6","compared":["prd_1@0"],"decoder_version":"1","fragment_digest":"aa","fragment_rows":9,"orders_tested":3,"recipients_tested":2,"report_digest":"bb"}"#;

    #[test]
    fn a_record_from_before_it_named_tests_and_position_reads_and_is_written_as_it_was() {
        let mut details: TraceDetails = serde_json::from_str(BEFORE).unwrap();
        assert!(details.shown_report_digest.is_none() && details.tested.is_empty());
        assert!(details.journal_position.is_none());
        assert_eq!(crate::event::canonical(&details), BEFORE);
        details.shown_report_digest = Some("cc".to_owned());
        details.journal_position = Some(7);
        let product: ProductId = format!("prd_{:032}", 1).parse().unwrap();
        details.tested.insert(product, TestedCodes { orders: 3, recipients: 2 });
        let written = crate::event::canonical(&details);
        assert_eq!(serde_json::from_str::<TraceDetails>(&written).unwrap(), details);
    }
}
