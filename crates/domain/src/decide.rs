//! `decide(state, command) -> events`: the only way by which anything changes. Pure and deterministic: time, author and
//! randomness come in with the [`Context`].
//!
//! While a command is decided, every entity it reads is noted with its version. The append that follows fails when one of
//! them has moved, so a permit can't slip past a suspension that commits at the same time.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Deref, DerefMut};

use jiff::Timestamp;

use crate::access::{self, Actor};
use crate::command::Command;
use crate::event::{Event, NewEvent};
use crate::id::{CommandId, IdSource};
use crate::node::{NODE_STREAM, Node};
use crate::refusal::Refusal;
use crate::state::State;
use crate::{
    consent, consent_batch, correction, erasure, mandate, marking, node, order, party, permit, plan, price, product,
    quality, registration, resource,
};
use crate::{settlement, supply, trace};

/// The stream whose version is the journal's last position: read by commands that look through whole collections.
pub const JOURNAL_STREAM: &str = "journal";

/// Longest free text of a command, in characters.
pub const TEXT_CHARS_MAX: usize = 4_000;

/// Who gives a command, when, and under which id.
#[derive(Clone, Debug)]
pub struct Context {
    /// The time of the decision.
    pub now: Timestamp,
    /// The author.
    pub actor: Actor,
    /// The command's id.
    pub command_id: CommandId,
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens, in order.
    pub events: Vec<NewEvent>,
    /// Every stream that was read, with the version that was seen.
    pub reads: BTreeMap<String, u64>,
}

/// Reads entities and notes what was read.
pub struct Reader<'a> {
    /// The state that is read.
    pub state: &'a State,
    /// The time as of which it is read.
    pub now: Timestamp,
    reads: BTreeMap<String, u64>,
}

impl<'a> Reader<'a> {
    /// A reader that has read nothing yet.
    pub fn new(state: &'a State, now: Timestamp) -> Self {
        Self { state, now, reads: BTreeMap::new() }
    }

    /// Notes that a stream was read.
    pub(crate) fn note(&mut self, stream: &str, version: u64) {
        self.reads.insert(stream.to_owned(), version);
    }

    /// Notes that whole collections were read: any event that slips in is then a conflict.
    pub(crate) fn scan(&mut self) {
        let position = self.state.position;
        self.note(JOURNAL_STREAM, position);
    }

    /// The node, if it is initialised.
    pub fn node_if_initialised(&mut self) -> Option<&'a Node> {
        let entity = self.state.node.get(NODE_STREAM);
        self.note(NODE_STREAM, entity.map_or(0, |entity| entity.version));
        entity.map(|entity| &entity.value)
    }

    /// What was read.
    pub fn into_reads(self) -> BTreeMap<String, u64> {
        self.reads
    }
}

/// A command that is being decided.
pub struct Deciding<'a> {
    /// Who, when, under which id.
    pub context: &'a Context,
    pub(crate) ids: IdSource,
    reader: Reader<'a>,
    events: Vec<NewEvent>,
}

impl<'a> Deref for Deciding<'a> {
    type Target = Reader<'a>;

    fn deref(&self) -> &Reader<'a> {
        &self.reader
    }
}

impl<'a> DerefMut for Deciding<'a> {
    fn deref_mut(&mut self) -> &mut Reader<'a> {
        &mut self.reader
    }
}

impl Deciding<'_> {
    /// Adds an event to a stream and notes the stream as read.
    pub(crate) fn emit(&mut self, stream: &impl Display, event: Event) {
        let stream = stream.to_string();
        let version = self.state.version(&stream);
        self.note(&stream, version);
        self.events.push(NewEvent { stream, event });
    }

    /// Checks a free text: not blank, at most [`TEXT_CHARS_MAX`] characters. Answers it trimmed. Error: `invalid`.
    pub(crate) fn text(&self, field: &str, text: &str) -> Result<String, Refusal> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > TEXT_CHARS_MAX {
            return Err(Refusal::invalid(
                field,
                format!("须填写，且不超过 {TEXT_CHARS_MAX} 字"),
                format!("needs 1 to {TEXT_CHARS_MAX} characters"),
            ));
        }
        Ok(text.to_owned())
    }
}

/// Decides a command. Errors: the [`Refusal`] that says what to do; nothing has then changed.
pub fn decide(state: &State, command: &Command, context: &Context) -> Result<Decision, Refusal> {
    let ids = IdSource::new(context.command_id.clone(), context.now);
    let reader = Reader::new(state, context.now);
    let mut deciding = Deciding { context, ids, reader, events: Vec::new() };
    // The rulebook is part of every decision.
    deciding.node_if_initialised();
    let acting = access::check(&mut deciding, command.name())?;
    let (d, a) = (&mut deciding, &acting);
    use Command as C;
    match command {
        C::InitialiseNode { tier, division, authority } => node::initialise(d, *tier, division, authority),
        C::ProposeRulebook { rulebook } => node::propose_rulebook(d, rulebook),
        C::AdoptRulebook { rulebook } => node::adopt_rulebook(d, a, rulebook),
        C::RegisterParty { details } => party::register(d, details),
        C::AddUser { party, duties } => party::add_user(d, a, party, duties),
        C::DisableUser { user } => party::disable_user(d, a, user),
        C::DraftResource { details } => resource::draft(d, a, details),
        C::SignResource { resource } => resource::sign(d, a, resource),
        C::RecordSnapshot { resource, snapshot } => resource::record_snapshot(d, a, resource, snapshot),
        C::RecordQualityReport { resource, snapshot, results } => quality::record(d, a, resource, snapshot, results),
        C::AnswerTicket { ticket, answer } => quality::answer(d, a, ticket, answer),
        C::CloseTicket { ticket, verification } => quality::close(d, ticket, verification),
        C::ApplyRegistration { object } => registration::apply(d, a, object),
        C::AcceptRegistration { registration } => registration::accept(d, a, registration),
        C::ReturnRegistration { registration, missing } => registration::give_back(d, a, registration, missing),
        C::ReviewRegistration { registration } => registration::review(d, a, registration),
        C::CertifyRegistration { registration } => registration::certify(d, a, registration),
        C::RequestSupply { resource, need } => supply::request(d, a, resource, need),
        C::ConfirmSupply { supply, narrowing } => supply::confirm(d, a, supply, narrowing),
        C::RefuseSupply { supply, basis } => supply::refuse(d, a, supply, basis),
        C::WithdrawSupply { supply, reason } => supply::withdraw(d, a, supply, reason),
        C::SetPrivacyBudget { supply, rho, reason } => supply::set_budget(d, a, supply, *rho, reason),
        C::DraftPlan { details } => plan::draft(d, a, details),
        C::SubmitPlan { plan, minutes } => plan::submit(d, a, plan, minutes),
        C::ApprovePlan { plan, document } => plan::approve(d, plan, document),
        C::ReturnPlan { plan, reason } => plan::give_back(d, plan, reason),
        C::DraftMandate { details } => mandate::draft(d, a, details),
        C::ApproveMandate { mandate } => mandate::approve(d, a, mandate),
        C::SignAgreement { mandate } => mandate::sign_agreement(d, a, mandate),
        C::SuspendMandate { mandate, reason } => mandate::suspend(d, a, mandate, reason),
        C::ResumeMandate { mandate, reason } => mandate::resume(d, a, mandate, reason),
        C::RevokeMandate { mandate, reason } => mandate::revoke(d, a, mandate, reason),
        C::ApplyPermit { details } => permit::apply(d, a, details),
        C::ConfirmPermit { permit } => permit::confirm(d, a, permit),
        C::GiveOpinion { permit, agrees, text } => permit::give_opinion(d, a, permit, *agrees, text),
        C::ApprovePermit { permit } => permit::approve(d, a, permit),
        C::RefusePermit { permit, reason } => permit::refuse(d, a, permit, reason),
        C::SuspendPermit { permit, reason } => permit::suspend(d, a, permit, reason),
        C::ResumePermit { permit, reason } => permit::resume(d, a, permit, reason),
        C::DraftProduct { details } => product::draft(d, a, details),
        C::ReviewProductOutput { product, findings } => product::review_output(d, a, product, findings),
        C::FixPermittedRevenue { operator, term, cost, profit_rate, tax, treasury_yield } => {
            price::fix_permitted_revenue(d, operator, *term, *cost, *profit_rate, *tax, *treasury_yield)
        }
        C::SetCeiling { product, ceiling } => price::set_ceiling(d, a, product, ceiling),
        C::SetPrice { product, price } => price::set_price(d, a, product, price),
        C::ListProduct { product } => product::list(d, a, product),
        C::DelistProduct { product, reason } => product::delist(d, a, product, reason),
        C::PlaceOrder { details } => order::place(d, a, details),
        C::SignContract { order, terms_digest } => order::sign_contract(d, a, order, terms_digest),
        C::IssueServiceKey { order, hash } => order::issue_key(d, a, order, hash),
        C::RevokeServiceKey { order, key } => order::revoke_key(d, a, order, key),
        C::GiveKeyShares { order, commitments } => marking::give_shares(d, a, order, commitments),
        C::RenewMarkKeys { order, reason } => marking::renew_keys(d, a, order, reason),
        C::SuspendOrder { order, reason } => order::suspend(d, a, order, reason),
        C::ResumeOrder { order, reason } => order::resume(d, a, order, reason),
        C::EndOrder { order, reason } => order::end(d, a, order, reason),
        C::GiveConsent { details } => consent::give(d, a, details),
        C::WithdrawConsent { consent } => consent::withdraw(d, a, consent),
        C::NarrowConsent { consent, limits } => consent::narrow(d, a, consent, limits),
        C::RecordConsents { details, count, digest } => consent_batch::record(d, a, details, *count, digest),
        C::WithdrawBatchedConsent { batch, member } => consent_batch::withdraw(d, a, batch, *member),
        C::NarrowBatchedConsent { batch, member, limits } => consent_batch::narrow(d, a, batch, *member, limits),
        C::CloseMeter { readings } => settlement::close_meters(d, readings),
        C::ProposeMeterCorrection { meter, calls, data_sets, reason } => {
            correction::propose(d, a, meter, (*calls, *data_sets), reason)
        }
        C::AgreeMeterCorrection { meter, calls, data_sets } => correction::agree(d, a, meter, (*calls, *data_sets)),
        C::CloseSettlement { period } => settlement::close(d, a, period),
        C::ConfirmSettlement { settlement } => settlement::confirm(d, a, settlement),
        C::ReverseSettlement { settlement, reason } => correction::reverse(d, a, settlement, reason),
        C::RecordTrace { details } => trace::record(d, details),
        C::RecordErasure { object, reason } => erasure::record(d, object, reason),
        C::RecordVoucher { settlement, number, amount } => {
            settlement::record_voucher(d, a, settlement, number, *amount)
        }
    }?;
    Ok(Decision { events: deciding.events, reads: deciding.reader.reads })
}
