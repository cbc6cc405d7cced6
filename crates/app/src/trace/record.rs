//! The journal's record of a trace: written before anybody sees the report.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_crypto::sha256;
use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::event::canonical;
use lingqu_domain::id::ProductId;
use lingqu_domain::trace::{TestedCodes, TraceDetails};

use super::evidence::of_the_accused;
use super::report::TraceReport;
use super::versions::VersionName;
use super::{Computed, TraceSettings};
use crate::app::App;
use crate::command::{CommandOptions, Extras};
use crate::error::AppError;

/// The context of the digest by which the journal knows a file. It is keyed: a file of one row may be guessed from a plain one.
const FRAGMENT: &str = "lingqu traced fragment v1";
/// The context of a report's salt.
const REPORT: &str = "lingqu trace report v1";

/// How a record names a version that was compared.
pub(super) fn compared((product, made_from): &VersionName) -> String {
    format!("{product}@{made_from}")
}

impl App {
    /// By what the journal knows a file again.
    pub(super) fn journal_digest(&self, fragment_digest: &str) -> String {
        self.keys.traces.digest(FRAGMENT, fragment_digest.as_bytes()).to_string()
    }

    /// What keeps a report from being guessed by its digest: the same words for the same file at the same moment, known to who has the
    /// report.
    pub(super) fn report_salt(&self, fragment_digest: &str, traced_at: &str) -> String {
        self.keys.traces.digest(REPORT, format!("{traced_at} {fragment_digest}").as_bytes()).to_string()
    }

    /// Records that a trace was run and commits to its report; answers the record's id. Error: the journal can't be written.
    pub(super) async fn record_trace(
        &self,
        computed: &Computed,
        report: &TraceReport,
        settings: &TraceSettings,
    ) -> Result<String, AppError> {
        let compared: BTreeSet<String> =
            computed.candidates.iter().map(|candidate| self::compared(&candidate.version.name)).collect();
        let tested = computed.judged.iter().map(|(case, _)| {
            let (orders, recipients) = (case.marked.orders.len() as u64, case.recipients.len() as u64);
            (case.marked.product.clone(), TestedCodes { orders, recipients })
        });
        let tested: BTreeMap<ProductId, TestedCodes> = tested.collect();
        let details = TraceDetails {
            bound: format!("{:e}", settings.bound),
            case: settings.case.clone(),
            compared,
            decoder_version: report.decoder_version.clone(),
            fragment_digest: self.journal_digest(&report.fragment.digest),
            fragment_rows: computed.fragment.row_count() as u64,
            journal_position: report.journal_position,
            orders_tested: tested.values().map(|codes| codes.orders).sum(),
            recipients_tested: report.tested as u64,
            report_digest: sha256(canonical(report).as_bytes()).to_string(),
            shown_report_digest: Some(sha256(canonical(&of_the_accused(report)).as_bytes()).to_string()),
            tested,
            tries_before: report.tries.map_or(0, |tries| tries.before),
        };
        let command = Command::RecordTrace { details: Box::new(details) };
        let executed = self.carry_out(&Actor::Node, &command, CommandOptions::default(), Extras::default()).await?;
        let recorded = executed.events.into_iter().next().map(|event| event.stream);
        recorded.ok_or_else(|| AppError::Fault("a trace was recorded without an event".to_owned()))
    }
}
