//! Quality reports and tickets (问题工单): what a rule found is a ticket with the provider, from report to verified
//! rectification.

use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::calendar::Deadline;
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{PartyId, QualityReportId, ResourceId, SnapshotId, TicketId};
use crate::refusal::Refusal;
use crate::state::{Listed, Meta};

/// Most rules of one report.
pub const RULES_MAX: usize = 500;

/// The result of one rule over one snapshot: counts, never values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleResult {
    /// The rule's id.
    pub rule: String,
    /// Dimension of GB/T 36344-2018: normative, complete, accurate, consistent, timely, accessible.
    pub dimension: String,
    /// Columns it looks at, joined by commas.
    pub column: String,
    /// What it demands, in Chinese.
    pub sentence: String,
    /// … in English.
    pub sentence_en: String,
    /// Rows it looked at.
    pub checked_count: u64,
    /// Rows that fail.
    pub failing_count: u64,
    /// Whether a failure opens a ticket.
    pub opens_ticket: bool,
}

/// A quality report over one snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QualityReport {
    /// Its id.
    pub id: QualityReportId,
    /// The resource.
    pub resource: ResourceId,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Results in the order of the rule set.
    pub results: Vec<RuleResult>,
    /// Who ran it.
    pub by: Actor,
}

/// A quality problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ticket {
    /// Its id.
    pub id: TicketId,
    /// The resource.
    pub resource: ResourceId,
    /// The provider who must act.
    pub provider: PartyId,
    /// The report that found it.
    pub report: QualityReportId,
    /// What was found.
    pub result: RuleResult,
    /// By when it must be answered.
    pub deadline: Deadline,
    /// Where it stands.
    pub stage: TicketStage,
}

/// Where a ticket stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TicketStage {
    /// The provider must answer.
    Open,
    /// He answered.
    Answered {
        /// The cause and what was done.
        answer: String,
        /// Who.
        by: Actor,
    },
    /// The rectification, or the reason why none is possible, was verified.
    Closed {
        /// The answer.
        answer: String,
        /// What was verified.
        verification: String,
        /// Who.
        by: Actor,
    },
}

/// What happened to a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QualityReportEvent {
    /// It was recorded.
    Recorded {
        /// The resource.
        resource: ResourceId,
        /// The snapshot.
        snapshot: SnapshotId,
        /// The results.
        results: Vec<RuleResult>,
    },
}

/// What happened to a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketEvent {
    /// It was opened.
    Opened {
        /// The resource.
        resource: ResourceId,
        /// The provider.
        provider: PartyId,
        /// The report.
        report: QualityReportId,
        /// The finding.
        result: RuleResult,
        /// By when.
        deadline: Deadline,
    },
    /// The provider answered.
    Answered {
        /// The answer.
        answer: String,
    },
    /// It was closed.
    Closed {
        /// What was verified.
        verification: String,
    },
}

impl QualityReport {
    pub(crate) fn fold(
        previous: Option<Self>,
        id: QualityReportId,
        event: &QualityReportEvent,
        meta: &Meta,
    ) -> Option<Self> {
        let QualityReportEvent::Recorded { resource, snapshot, results } = event;
        if previous.is_some() {
            return None;
        }
        let (resource, snapshot, results) = (resource.clone(), snapshot.clone(), results.clone());
        Some(Self { id, resource, snapshot, results, by: meta.actor.clone() })
    }
}

impl Ticket {
    pub(crate) fn fold(previous: Option<Self>, id: TicketId, event: &TicketEvent, meta: &Meta) -> Option<Self> {
        match (previous, event) {
            (None, TicketEvent::Opened { resource, provider, report, result, deadline }) => Some(Self {
                id,
                resource: resource.clone(),
                provider: provider.clone(),
                report: report.clone(),
                result: result.clone(),
                deadline: *deadline,
                stage: TicketStage::Open,
            }),
            (Some(ticket), TicketEvent::Answered { answer }) if ticket.stage == TicketStage::Open => {
                let stage = TicketStage::Answered { answer: answer.clone(), by: meta.actor.clone() };
                Some(Self { stage, ..ticket })
            }
            (Some(ticket), TicketEvent::Closed { verification }) => {
                let TicketStage::Answered { answer, .. } = ticket.stage.clone() else { return None };
                let stage = TicketStage::Closed { answer, verification: verification.clone(), by: meta.actor.clone() };
                Some(Self { stage, ..ticket })
            }
            _ => None,
        }
    }
}

impl Listed for QualityReport {
    fn state(&self) -> &'static str {
        if self.results.iter().any(|result| result.failing_count > 0) { "findings" } else { "clean" }
    }
    fn title(&self) -> String {
        self.resource.to_string()
    }
    fn owner(&self) -> String {
        self.resource.to_string()
    }
}

impl Listed for Ticket {
    fn state(&self) -> &'static str {
        match self.stage {
            TicketStage::Open => "open",
            TicketStage::Answered { .. } => "answered",
            TicketStage::Closed { .. } => "closed",
        }
    }
    fn title(&self) -> String {
        self.result.sentence.clone()
    }
    fn owner(&self) -> String {
        self.provider.to_string()
    }
}

pub(crate) fn record(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    resource_id: &ResourceId,
    snapshot: &SnapshotId,
    results: &[RuleResult],
) -> Result<(), Refusal> {
    let resource = deciding.resource(resource_id)?;
    if !acting.roles.contains(&crate::party::Role::DataAuthority) {
        acting.must_act_for(&resource.provider)?;
    }
    if resource.snapshot.as_ref().map(|newest| &newest.id) != Some(snapshot) {
        return Err(Refusal::wrong_state(resource_id, "at another snapshot", "the newest snapshot"));
    }
    if results.is_empty() || results.len() > RULES_MAX {
        return Err(Refusal::invalid(
            "results",
            format!("规则为 1 至 {RULES_MAX} 条"),
            format!("a report has 1 to {RULES_MAX} rules"),
        ));
    }
    let report = QualityReportId::next(&mut deciding.ids);
    let rulebook = deciding.state.rulebook();
    let deadline = rulebook.calendar.working_days_after(deciding.context.now, rulebook.ticket_days);
    deciding.emit(
        &report,
        Event::QualityReport(QualityReportEvent::Recorded {
            resource: resource_id.clone(),
            snapshot: snapshot.clone(),
            results: results.to_vec(),
        }),
    );
    for result in results.iter().filter(|result| result.opens_ticket && result.failing_count > 0) {
        let id = TicketId::next(&mut deciding.ids);
        let opened = TicketEvent::Opened {
            resource: resource_id.clone(),
            provider: resource.provider.clone(),
            report: report.clone(),
            result: result.clone(),
            deadline,
        };
        deciding.emit(&id, Event::Ticket(opened));
    }
    Ok(())
}

pub(crate) fn answer(deciding: &mut Deciding<'_>, acting: &Acting, id: &TicketId, answer: &str) -> Result<(), Refusal> {
    let ticket = deciding.ticket(id)?;
    acting.must_act_for(&ticket.provider)?;
    if !matches!(ticket.stage, TicketStage::Open) {
        return Err(Refusal::wrong_state(id, ticket.state(), "open"));
    }
    let answer = deciding.text("answer", answer)?;
    deciding.emit(id, Event::Ticket(TicketEvent::Answered { answer }));
    Ok(())
}

pub(crate) fn close(deciding: &mut Deciding<'_>, id: &TicketId, verification: &str) -> Result<(), Refusal> {
    let ticket = deciding.ticket(id)?;
    let TicketStage::Answered { by, .. } = &ticket.stage else {
        return Err(Refusal::wrong_state(id, ticket.state(), "answered"));
    };
    // A data authority may be a provider too; nobody verifies his own rectification.
    if *by == deciding.context.actor {
        return Err(Refusal::four_eyes(id));
    }
    let verification = deciding.text("verification", verification)?;
    deciding.emit(id, Event::Ticket(TicketEvent::Closed { verification }));
    Ok(())
}
