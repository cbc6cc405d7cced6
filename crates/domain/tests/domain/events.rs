//! Every variant of events and commands, by exhaustive matches: a new variant does not compile before it stands here, and
//! what stands here needs an example in the golden files.

use lingqu_domain::command::Command;
use lingqu_domain::consent::ConsentEvent;
use lingqu_domain::consent_batch::ConsentBatchEvent;
use lingqu_domain::erasure::ErasureEvent;
use lingqu_domain::event::Event;
use lingqu_domain::mandate::MandateEvent;
use lingqu_domain::node::NodeEvent;
use lingqu_domain::order::OrderEvent;
use lingqu_domain::party::{PartyEvent, UserEvent};
use lingqu_domain::permit::PermitEvent;
use lingqu_domain::plan::PlanEvent;
use lingqu_domain::price::PermittedRevenueEvent;
use lingqu_domain::product::ProductEvent;
use lingqu_domain::quality::{QualityReportEvent, TicketEvent};
use lingqu_domain::receipt::ReceiptBody;
use lingqu_domain::registration::RegistrationEvent;
use lingqu_domain::resource::ResourceEvent;
use lingqu_domain::right::RightEvent;
use lingqu_domain::settlement::{MeterEvent, SettlementEvent};
use lingqu_domain::supply::SupplyEvent;
use lingqu_domain::trace::TraceEvent;

macro_rules! events {
    ($($entity:ident($inner:ident) => [$($variant:ident $(($hole:tt))? $({$fields:tt})? = $kind:literal,)+];)*) => {
        /// Every kind of event.
        pub const EVENT_KINDS: &[&str] = &[$($($kind,)+)*];

        /// The kind of an event, told without the encoding.
        pub fn event_kind(event: &Event) -> &'static str {
            match event {$(Event::$entity(inner) => match inner {
                $($inner::$variant $(($hole))? $({$fields})? => $kind,)+
            },)*}
        }
    };
}

events! {
    Node(NodeEvent) => [
        Initialised {..} = "node.initialised", RulebookProposed(_) = "node.rulebook_proposed",
        RulebookAdopted(_) = "node.rulebook_adopted",];
    Party(PartyEvent) => [ Registered(_) = "party.registered",];
    User(UserEvent) => [ Added {..} = "user.added", Disabled = "user.disabled",];
    Resource(ResourceEvent) => [
        Drafted {..} = "resource.drafted", Signed = "resource.signed", SnapshotTaken(_) = "resource.snapshot_taken",
        RegistrationApplied(_) = "resource.registration_applied", Certified(_) = "resource.certified",];
    QualityReport(QualityReportEvent) => [ Recorded {..} = "quality_report.recorded",];
    Ticket(TicketEvent) => [
        Opened {..} = "ticket.opened", Answered {..} = "ticket.answered", Closed {..} = "ticket.closed",];
    Registration(RegistrationEvent) => [
        Applied {..} = "registration.applied", Accepted {..} = "registration.accepted",
        Returned {..} = "registration.returned", Publicised {..} = "registration.publicised",
        Certified(_) = "registration.certified",];
    Right(RightEvent) => [ Recorded {..} = "right.recorded", Ended = "right.ended",];
    Supply(SupplyEvent) => [
        Requested {..} = "supply.requested", Confirmed {..} = "supply.confirmed", Refused {..} = "supply.refused",
        Withdrawn {..} = "supply.withdrawn", BudgetSet {..} = "supply.budget_set",];
    Plan(PlanEvent) => [
        Drafted {..} = "plan.drafted", Submitted {..} = "plan.submitted", Approved {..} = "plan.approved",
        Returned {..} = "plan.returned",];
    Mandate(MandateEvent) => [
        Drafted {..} = "mandate.drafted", Approved = "mandate.approved", Signed {..} = "mandate.signed",
        EnteredForce = "mandate.entered_force", Suspended {..} = "mandate.suspended", Resumed {..} = "mandate.resumed",
        Revoked {..} = "mandate.revoked",];
    Permit(PermitEvent) => [
        Applied {..} = "permit.applied", Confirmed {..} = "permit.confirmed", OpinionGiven {..} = "permit.opinion_given",
        Approved = "permit.approved", Refused {..} = "permit.refused", Suspended {..} = "permit.suspended",
        Resumed {..} = "permit.resumed",];
    Product(ProductEvent) => [
        Drafted {..} = "product.drafted", OutputAgreed {..} = "product.output_agreed",
        OutputReviewed {..} = "product.output_reviewed",
        RegistrationApplied(_) = "product.registration_applied", Certified(_) = "product.certified",
        CeilingAgreed {..} = "product.ceiling_agreed", CeilingSet(_) = "product.ceiling_set", PriceSet(_) = "product.price_set", Listed = "product.listed",
        Delisted {..} = "product.delisted", ListingAgreed {..} = "product.listing_agreed",];
    PermittedRevenue(PermittedRevenueEvent) => [
        Fixed {..} = "permitted_revenue.fixed", Earned {..} = "permitted_revenue.earned",
        Returned {..} = "permitted_revenue.returned",];
    Order(OrderEvent) => [
        Placed {..} = "order.placed", Signed {..} = "order.signed", Activated = "order.activated",
        KeyIssued {..} = "order.key_issued", KeyRevoked {..} = "order.key_revoked",
        MarkKeysCommitted {..} = "order.mark_keys_committed", MarkKeysRenewed {..} = "order.mark_keys_renewed", Suspended {..} = "order.suspended",
        Resumed {..} = "order.resumed", Ended {..} = "order.ended",];
    Consent(ConsentEvent) => [
        Given {..} = "consent.given", Withdrawn = "consent.withdrawn", Narrowed {..} = "consent.narrowed",];
    Meter(MeterEvent) => [
        Closed(_) = "meter.closed", Settled {..} = "meter.settled",
        CorrectionProposed {..} = "meter.correction_proposed", CorrectionAgreed {..} = "meter.correction_agreed",
        Corrected = "meter.corrected", Released {..} = "meter.released",];
    Settlement(SettlementEvent) => [
        Closed {..} = "settlement.closed", Agreed {..} = "settlement.agreed", Confirmed = "settlement.confirmed",
        Reversed {..} = "settlement.reversed", VoucherRecorded {..} = "settlement.voucher_recorded",];
    ConsentBatch(ConsentBatchEvent) => [
        Recorded {..} = "consent_batch.recorded", MemberWithdrawn {..} = "consent_batch.member_withdrawn",];
    Trace(TraceEvent) => [ Recorded {..} = "trace.recorded",];
    Erasure(ErasureEvent) => [ Recorded {..} = "erasure.recorded",];
}

macro_rules! commands {
    ($($variant:ident = $name:literal,)*) => {
        /// Every command's name.
        pub const COMMAND_NAMES: &[&str] = &[$($name,)*];

        /// The name of a command, told without the encoding.
        pub fn command_name(command: &Command) -> &'static str {
            match command {$(Command::$variant { .. } => $name,)*}
        }
    };
}

commands! {
    InitialiseNode = "initialise_node",
    ProposeRulebook = "propose_rulebook",
    AdoptRulebook = "adopt_rulebook",
    RegisterParty = "register_party",
    AddUser = "add_user",
    DisableUser = "disable_user",
    DraftResource = "draft_resource",
    SignResource = "sign_resource",
    RecordSnapshot = "record_snapshot",
    RecordQualityReport = "record_quality_report",
    AnswerTicket = "answer_ticket",
    CloseTicket = "close_ticket",
    ApplyRegistration = "apply_registration",
    AcceptRegistration = "accept_registration",
    ReturnRegistration = "return_registration",
    ReviewRegistration = "review_registration",
    CertifyRegistration = "certify_registration",
    RequestSupply = "request_supply",
    ConfirmSupply = "confirm_supply",
    RefuseSupply = "refuse_supply",
    WithdrawSupply = "withdraw_supply",
    SetPrivacyBudget = "set_privacy_budget",
    DraftPlan = "draft_plan",
    SubmitPlan = "submit_plan",
    ApprovePlan = "approve_plan",
    ReturnPlan = "return_plan",
    DraftMandate = "draft_mandate",
    ApproveMandate = "approve_mandate",
    SignAgreement = "sign_agreement",
    SuspendMandate = "suspend_mandate",
    ResumeMandate = "resume_mandate",
    RevokeMandate = "revoke_mandate",
    ApplyPermit = "apply_permit",
    ConfirmPermit = "confirm_permit",
    GiveOpinion = "give_opinion",
    ApprovePermit = "approve_permit",
    RefusePermit = "refuse_permit",
    SuspendPermit = "suspend_permit",
    ResumePermit = "resume_permit",
    DraftProduct = "draft_product",
    ReviewProductOutput = "review_product_output",
    FixPermittedRevenue = "fix_permitted_revenue",
    SetCeiling = "set_ceiling",
    SetPrice = "set_price",
    ListProduct = "list_product",
    DelistProduct = "delist_product",
    PlaceOrder = "place_order",
    SignContract = "sign_contract",
    IssueServiceKey = "issue_service_key",
    RevokeServiceKey = "revoke_service_key",
    GiveKeyShares = "give_key_shares",
    RenewMarkKeys = "renew_mark_keys",
    SuspendOrder = "suspend_order",
    ResumeOrder = "resume_order",
    EndOrder = "end_order",
    GiveConsent = "give_consent",
    WithdrawConsent = "withdraw_consent",
    NarrowConsent = "narrow_consent",
    RecordConsents = "record_consents",
    WithdrawBatchedConsent = "withdraw_batched_consent",
    NarrowBatchedConsent = "narrow_batched_consent",
    CloseMeter = "close_meter",
    ProposeMeterCorrection = "propose_meter_correction",
    AgreeMeterCorrection = "agree_meter_correction",
    CloseSettlement = "close_settlement",
    ConfirmSettlement = "confirm_settlement",
    ReverseSettlement = "reverse_settlement",
    RecordVoucher = "record_voucher",
    RecordTrace = "record_trace",
    RecordErasure = "record_erasure",
}

/// Every kind of receipt record.
pub const RECEIPT_KINDS: &[&str] = &["opened", "part", "closed", "single"];

/// The kind of a receipt record, told without the encoding.
pub fn receipt_kind(body: &ReceiptBody) -> &'static str {
    match body {
        ReceiptBody::Opened(_) => "opened",
        ReceiptBody::Part { .. } => "part",
        ReceiptBody::Closed { .. } => "closed",
        ReceiptBody::Single { .. } => "single",
    }
}
