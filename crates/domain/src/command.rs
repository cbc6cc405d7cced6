//! Commands: everything that anybody can ask the domain to do, in the order of the life of data.
//!
//! A command is a contract: its serde form is what the control plane's one command endpoint takes
//! (`{"command":"suspend_mandate","mandate":"mdt_…","reason":"…"}`).

use std::collections::BTreeSet;

use lingqu_ledger::Fen;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::access::Duty;
use crate::consent::{ConsentDetails, ConsentLimits};
use crate::erasure::Erasable;
use crate::id::{
    ConsentBatchId, ConsentId, MandateId, MeterId, OrderId, PartyId, PermitId, PlanId, ProductId, RegistrationId,
    ResourceId, ServiceKeyId, SettlementId, SnapshotId, SupplyId, TicketId, UserId,
};
use crate::mandate::MandateDetails;
use crate::marking::KeyCommitments;
use crate::order::OrderDetails;
use crate::party::{Division, PartyDetails, Tier};
use crate::permit::PermitDetails;
use crate::plan::PlanDetails;
use crate::price::{Ceiling, Price};
use crate::privacy::Rho;
use crate::product::ProductDetails;
use crate::quality::RuleResult;
use crate::registration::Registrable;
use crate::resource::{ResourceDetails, Snapshot};
use crate::rulebook::Rulebook;
use crate::scope::{Narrowing, Term};
use crate::settlement::MeterReading;
use crate::trace::TraceDetails;

/// Something that is asked of the domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Brings a node into being with its first data authority.
    InitialiseNode {
        /// Its tier.
        tier: Tier,
        /// Its division.
        division: Division,
        /// The first data authority; its first administrator comes with it.
        authority: PartyDetails,
    },
    /// Proposes another rulebook; a proposal before it is replaced.
    ProposeRulebook {
        /// The rulebook.
        rulebook: Box<Rulebook>,
    },
    /// Puts the proposed rulebook in force.
    AdoptRulebook {
        /// The rulebook as proposed, all of it: what is adopted is what the approver saw.
        rulebook: Box<Rulebook>,
    },
    /// Registers a party.
    RegisterParty {
        /// What is said of it.
        details: PartyDetails,
    },
    /// Adds a user who acts for a party: for the actor's own party, or as the first administrator of one that has none.
    AddUser {
        /// The party.
        party: PartyId,
        /// His posts.
        duties: BTreeSet<Duty>,
    },
    /// Ends a user's power to act.
    DisableUser {
        /// The user.
        user: UserId,
    },
    /// Drafts a catalogue entry.
    DraftResource {
        /// The entry.
        details: Box<ResourceDetails>,
    },
    /// Signs catalogue entry, grades and attributes.
    SignResource {
        /// The resource.
        resource: ResourceId,
    },
    /// Records a snapshot that the node stored.
    RecordSnapshot {
        /// The resource.
        resource: ResourceId,
        /// The snapshot.
        snapshot: Snapshot,
    },
    /// Records a quality report that the node made; findings open tickets.
    RecordQualityReport {
        /// The resource.
        resource: ResourceId,
        /// The snapshot it is about.
        snapshot: SnapshotId,
        /// Results per rule.
        results: Vec<RuleResult>,
    },
    /// The provider answers a ticket.
    AnswerTicket {
        /// The ticket.
        ticket: TicketId,
        /// Cause and what was done.
        answer: String,
    },
    /// Closes an answered ticket.
    CloseTicket {
        /// The ticket.
        ticket: TicketId,
        /// What was verified.
        verification: String,
    },
    /// Applies for the registration of a resource or product, or for its renewal in the last days of a certificate.
    ApplyRegistration {
        /// What is registered.
        object: Registrable,
    },
    /// Accepts an application.
    AcceptRegistration {
        /// The registration.
        registration: RegistrationId,
    },
    /// Returns an application, telling once what is missing.
    ReturnRegistration {
        /// The registration.
        registration: RegistrationId,
        /// What is missing.
        missing: String,
    },
    /// Passes review; publicity begins.
    ReviewRegistration {
        /// The registration.
        registration: RegistrationId,
    },
    /// Issues the certificate after publicity.
    CertifyRegistration {
        /// The registration.
        registration: RegistrationId,
    },
    /// Asks a provider to supply a resource.
    RequestSupply {
        /// The resource.
        resource: ResourceId,
        /// What for.
        need: String,
    },
    /// Confirms a supply.
    ConfirmSupply {
        /// The supply.
        supply: SupplyId,
        /// What of the resource's ceiling.
        narrowing: Box<Narrowing>,
    },
    /// Refuses a supply.
    RefuseSupply {
        /// The supply.
        supply: SupplyId,
        /// The legal basis.
        basis: String,
    },
    /// Withdraws a confirmed supply: every right below ends now.
    WithdrawSupply {
        /// The supply.
        supply: SupplyId,
        /// Why.
        reason: String,
    },
    /// Sets the privacy budget of a confirmed supply, for each consumer: the first, a smaller or a larger one.
    SetPrivacyBudget {
        /// The supply.
        supply: SupplyId,
        /// The budget from now on, as ρ of zCDP; what was spent stays spent.
        rho: Rho,
        /// Why.
        reason: String,
    },
    /// Drafts an implementation plan.
    DraftPlan {
        /// What it says.
        details: Box<PlanDetails>,
    },
    /// Submits a plan after the unit's collective decision.
    SubmitPlan {
        /// The plan.
        plan: PlanId,
        /// Number of the minutes.
        minutes: String,
    },
    /// Approves a plan.
    ApprovePlan {
        /// The plan.
        plan: PlanId,
        /// Number of the approval document.
        document: String,
    },
    /// Returns a plan.
    ReturnPlan {
        /// The plan.
        plan: PlanId,
        /// Why.
        reason: String,
    },
    /// Drafts a mandate with its agreement.
    DraftMandate {
        /// What they say.
        details: Box<MandateDetails>,
    },
    /// Approves the act of authorisation.
    ApproveMandate {
        /// The mandate.
        mandate: MandateId,
    },
    /// Signs the operation agreement for the actor's party.
    SignAgreement {
        /// The mandate.
        mandate: MandateId,
    },
    /// Suspends a mandate: every right below it is shut now.
    SuspendMandate {
        /// The mandate.
        mandate: MandateId,
        /// Why.
        reason: String,
    },
    /// Resumes a mandate.
    ResumeMandate {
        /// The mandate.
        mandate: MandateId,
        /// Why.
        reason: String,
    },
    /// Revokes a mandate for good.
    RevokeMandate {
        /// The mandate.
        mandate: MandateId,
        /// Why.
        reason: String,
    },
    /// Applies for a permit for one scenario.
    ApplyPermit {
        /// What it is for.
        details: Box<PermitDetails>,
    },
    /// A provider confirms a permit.
    ConfirmPermit {
        /// The permit.
        permit: PermitId,
    },
    /// The competent department gives its opinion.
    GiveOpinion {
        /// The permit.
        permit: PermitId,
        /// Whether it agrees.
        agrees: bool,
        /// Its words.
        text: String,
    },
    /// Approves a permit.
    ApprovePermit {
        /// The permit.
        permit: PermitId,
    },
    /// Refuses a permit.
    RefusePermit {
        /// The permit.
        permit: PermitId,
        /// Why.
        reason: String,
    },
    /// Suspends a permit.
    SuspendPermit {
        /// The permit.
        permit: PermitId,
        /// Why.
        reason: String,
    },
    /// Resumes a permit.
    ResumePermit {
        /// The permit.
        permit: PermitId,
        /// Why.
        reason: String,
    },
    /// Drafts a product.
    DraftProduct {
        /// What it is.
        details: Box<ProductDetails>,
    },
    /// Passes the review of a product's output for the actor's party; where several implementers are concerned, it has
    /// passed once each of them has.
    ReviewProductOutput {
        /// The product.
        product: ProductId,
        /// What was looked at.
        findings: String,
    },
    /// Fixes what an operator may earn in a period.
    FixPermittedRevenue {
        /// The operator.
        operator: PartyId,
        /// The period.
        term: Term,
        /// Appraised operating cost.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        cost: Fen,
        /// Permitted profit, as a fraction of the cost.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        profit_rate: Decimal,
        /// Taxes.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        tax: Fen,
        /// Ten-year treasury yield, as a fraction.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        treasury_yield: Decimal,
    },
    /// Sets what a product's price may not exceed; where several implementers are concerned, the lowest binds, once each
    /// of them has set one.
    SetCeiling {
        /// The product.
        product: ProductId,
        /// The ceiling.
        ceiling: Ceiling,
    },
    /// Sets a product's price.
    SetPrice {
        /// The product.
        product: ProductId,
        /// The price.
        price: Price,
    },
    /// Opens a product to orders; given by an implementer that delisted it, agrees that its operator opens it again.
    ListProduct {
        /// The product.
        product: ProductId,
    },
    /// Closes a product to new orders.
    DelistProduct {
        /// The product.
        product: ProductId,
        /// Why.
        reason: String,
    },
    /// Orders a product.
    PlaceOrder {
        /// What is ordered.
        details: Box<OrderDetails>,
    },
    /// Signs the contract for the actor's party.
    SignContract {
        /// The order.
        order: OrderId,
        /// Digest of the terms that the signer saw.
        terms_digest: String,
    },
    /// Issues a service key, which the node makes and shows once.
    IssueServiceKey {
        /// The order.
        order: OrderId,
        /// SHA-256 of the key, hexadecimal: 256 random bits, so the hash tells nothing of it.
        hash: String,
    },
    /// Revokes a service key.
    RevokeServiceKey {
        /// The order.
        order: OrderId,
        /// The key.
        key: ServiceKeyId,
    },
    /// Commits to the keys that an order's copies are marked with, from the shares of a supervising party and the node.
    GiveKeyShares {
        /// The order.
        order: OrderId,
        /// The commitments, which the node makes.
        commitments: Box<KeyCommitments>,
    },
    /// Ends the codes that copies of an order's consumer are marked with, after they were disclosed for a case: the product's
    /// next deliveries to it wait for new shares.
    RenewMarkKeys {
        /// One of the consumer's orders of the product.
        order: OrderId,
        /// Why: the case.
        reason: String,
    },
    /// Suspends an order.
    SuspendOrder {
        /// The order.
        order: OrderId,
        /// Why.
        reason: String,
    },
    /// Resumes an order.
    ResumeOrder {
        /// The order.
        order: OrderId,
        /// Why.
        reason: String,
    },
    /// Ends an order.
    EndOrder {
        /// The order.
        order: OrderId,
        /// Why.
        reason: String,
    },
    /// A subject permits a use.
    GiveConsent {
        /// What is permitted.
        details: Box<ConsentDetails>,
    },
    /// A subject withdraws a consent.
    WithdrawConsent {
        /// The consent.
        consent: ConsentId,
    },
    /// A subject narrows a consent: fewer resources or columns, a shorter term.
    NarrowConsent {
        /// The consent.
        consent: ConsentId,
        /// What is left.
        limits: Box<ConsentLimits>,
    },
    /// Records consents that many subjects gave in the same words.
    RecordConsents {
        /// What each of them permits.
        details: Box<ConsentDetails>,
        /// How many there are.
        count: u32,
        /// Digest of the subjects' ids in order, hexadecimal SHA-256.
        digest: String,
    },
    /// A subject withdraws his consent of a batch.
    WithdrawBatchedConsent {
        /// The batch.
        batch: ConsentBatchId,
        /// His place in it, counted from 0.
        member: u32,
    },
    /// A subject narrows his consent of a batch.
    NarrowBatchedConsent {
        /// The batch.
        batch: ConsentBatchId,
        /// His place in it, counted from 0.
        member: u32,
        /// What is left.
        limits: Box<ConsentLimits>,
    },
    /// Closes a metering window: of every order that used something in it, so that a stop in between loses none.
    CloseMeter {
        /// What was used, one reading per order.
        readings: Vec<MeterReading>,
    },
    /// Proposes to charge a metering window less than it read.
    ProposeMeterCorrection {
        /// The window.
        meter: MeterId,
        /// Chargeable calls, at most those read.
        calls: u64,
        /// Chargeable data sets, at most those read.
        data_sets: u64,
        /// Why.
        reason: String,
    },
    /// An implementer agrees to a proposed correction; it holds once each one concerned has.
    AgreeMeterCorrection {
        /// The window.
        meter: MeterId,
        /// Chargeable calls, as proposed.
        calls: u64,
        /// Chargeable data sets, as proposed.
        data_sets: u64,
    },
    /// Settles the operator's unsettled windows: at most 9,000, the oldest first. While the list of windows still has some in
    /// state `closed`, the same command settles the next of them, at once and for the same period.
    CloseSettlement {
        /// Name of the period.
        period: String,
    },
    /// An implementer confirms a settlement; where several are concerned, it is confirmed once each of them has.
    ConfirmSettlement {
        /// The settlement.
        settlement: SettlementId,
    },
    /// Reverses a settlement to which nothing was paid in; its windows can be settled again.
    ReverseSettlement {
        /// The settlement.
        settlement: SettlementId,
        /// Why.
        reason: String,
    },
    /// Records what was paid in to the treasury.
    RecordVoucher {
        /// The settlement.
        settlement: SettlementId,
        /// Number of the voucher.
        number: String,
        /// How much.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        amount: Fen,
    },
    /// Records a trace that the node ran, before anybody is told what it found.
    RecordTrace {
        /// What was traced, how, and what came of it.
        details: Box<TraceDetails>,
    },
    /// Records that personal data of the vault is erased, before it is done; once for each object.
    RecordErasure {
        /// Of what.
        object: Erasable,
        /// Why. It stays for good, so it holds no personal data.
        reason: String,
    },
}

impl Command {
    /// The command's name, as in JSON and in the permission matrix.
    pub fn name(&self) -> &'static str {
        match self {
            Command::InitialiseNode { .. } => "initialise_node",
            Command::ProposeRulebook { .. } => "propose_rulebook",
            Command::AdoptRulebook { .. } => "adopt_rulebook",
            Command::RegisterParty { .. } => "register_party",
            Command::AddUser { .. } => "add_user",
            Command::DisableUser { .. } => "disable_user",
            Command::DraftResource { .. } => "draft_resource",
            Command::SignResource { .. } => "sign_resource",
            Command::RecordSnapshot { .. } => "record_snapshot",
            Command::RecordQualityReport { .. } => "record_quality_report",
            Command::AnswerTicket { .. } => "answer_ticket",
            Command::CloseTicket { .. } => "close_ticket",
            Command::ApplyRegistration { .. } => "apply_registration",
            Command::AcceptRegistration { .. } => "accept_registration",
            Command::ReturnRegistration { .. } => "return_registration",
            Command::ReviewRegistration { .. } => "review_registration",
            Command::CertifyRegistration { .. } => "certify_registration",
            Command::RequestSupply { .. } => "request_supply",
            Command::ConfirmSupply { .. } => "confirm_supply",
            Command::RefuseSupply { .. } => "refuse_supply",
            Command::WithdrawSupply { .. } => "withdraw_supply",
            Command::SetPrivacyBudget { .. } => "set_privacy_budget",
            Command::DraftPlan { .. } => "draft_plan",
            Command::SubmitPlan { .. } => "submit_plan",
            Command::ApprovePlan { .. } => "approve_plan",
            Command::ReturnPlan { .. } => "return_plan",
            Command::DraftMandate { .. } => "draft_mandate",
            Command::ApproveMandate { .. } => "approve_mandate",
            Command::SignAgreement { .. } => "sign_agreement",
            Command::SuspendMandate { .. } => "suspend_mandate",
            Command::ResumeMandate { .. } => "resume_mandate",
            Command::RevokeMandate { .. } => "revoke_mandate",
            Command::ApplyPermit { .. } => "apply_permit",
            Command::ConfirmPermit { .. } => "confirm_permit",
            Command::GiveOpinion { .. } => "give_opinion",
            Command::ApprovePermit { .. } => "approve_permit",
            Command::RefusePermit { .. } => "refuse_permit",
            Command::SuspendPermit { .. } => "suspend_permit",
            Command::ResumePermit { .. } => "resume_permit",
            Command::DraftProduct { .. } => "draft_product",
            Command::ReviewProductOutput { .. } => "review_product_output",
            Command::FixPermittedRevenue { .. } => "fix_permitted_revenue",
            Command::SetCeiling { .. } => "set_ceiling",
            Command::SetPrice { .. } => "set_price",
            Command::ListProduct { .. } => "list_product",
            Command::DelistProduct { .. } => "delist_product",
            Command::PlaceOrder { .. } => "place_order",
            Command::SignContract { .. } => "sign_contract",
            Command::IssueServiceKey { .. } => "issue_service_key",
            Command::RevokeServiceKey { .. } => "revoke_service_key",
            Command::GiveKeyShares { .. } => "give_key_shares",
            Command::RenewMarkKeys { .. } => "renew_mark_keys",
            Command::SuspendOrder { .. } => "suspend_order",
            Command::ResumeOrder { .. } => "resume_order",
            Command::EndOrder { .. } => "end_order",
            Command::GiveConsent { .. } => "give_consent",
            Command::WithdrawConsent { .. } => "withdraw_consent",
            Command::NarrowConsent { .. } => "narrow_consent",
            Command::RecordConsents { .. } => "record_consents",
            Command::WithdrawBatchedConsent { .. } => "withdraw_batched_consent",
            Command::NarrowBatchedConsent { .. } => "narrow_batched_consent",
            Command::CloseMeter { .. } => "close_meter",
            Command::ProposeMeterCorrection { .. } => "propose_meter_correction",
            Command::AgreeMeterCorrection { .. } => "agree_meter_correction",
            Command::CloseSettlement { .. } => "close_settlement",
            Command::ConfirmSettlement { .. } => "confirm_settlement",
            Command::ReverseSettlement { .. } => "reverse_settlement",
            Command::RecordVoucher { .. } => "record_voucher",
            Command::RecordTrace { .. } => "record_trace",
            Command::RecordErasure { .. } => "record_erasure",
        }
    }
}
