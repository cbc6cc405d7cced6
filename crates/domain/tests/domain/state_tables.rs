//! The state table of every machine: what each of its commands comes to in each of its states, given by the right actor.

use jiff::ToSpan;
use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::command::Command;
use lingqu_domain::consent::ConsentLimits;
use lingqu_domain::consent_batch::members_digest;
use lingqu_domain::erasure::Erasable;
use lingqu_domain::id::{ErasureId, OrderId, RegistrationId, TicketId, TraceId};
use lingqu_domain::party::{Organisation, Role, Tier};
use lingqu_domain::registration::Registrable;
use lingqu_domain::resource::Nature;
use lingqu_domain::rulebook::Rulebook;
use lingqu_domain::scope::{Mode, Term};
use lingqu_domain::trace::{COMPARED_MAX, TraceDetails};

use crate::details;
use crate::golden;
use crate::life::{DUE, Life, other_subject, subject, terms};
use crate::world::{at, created};

/// What may be tried: a label where the command's name does not say all, the actor and the command.
type Try = (&'static str, Actor, Command);

/// A machine: the entity whose states they are, lives in which it stands in each, and its commands.
pub struct Machine {
    pub name: &'static str,
    /// How the life names the entity; empty for the node.
    pub entity: &'static str,
    /// The state's name, with more after a comma where one state has several faces.
    pub states: Vec<(&'static str, Life)>,
    pub tries: fn(&Life) -> Vec<Try>,
}

/// Every machine, in the order of the life of data.
pub fn machines() -> Vec<Machine> {
    vec![
        Machine { name: "node", entity: "", states: nodes(), tries: node_tries },
        Machine { name: "user", entity: "clerk", states: users(), tries: user_tries },
        Machine { name: "resource", entity: "flights", states: resources(), tries: resource_tries },
        Machine { name: "ticket", entity: "ticket", states: tickets(), tries: ticket_tries },
        Machine {
            name: "registration",
            entity: "flights registration",
            states: registrations(),
            tries: registration_tries,
        },
        Machine { name: "supply", entity: "flights supply", states: supplies(), tries: supply_tries },
        Machine { name: "plan", entity: "plan", states: plans(), tries: plan_tries },
        Machine { name: "mandate", entity: "mandate", states: mandates(), tries: mandate_tries },
        Machine { name: "permit", entity: "insurance permit", states: permits(), tries: permit_tries },
        Machine { name: "product", entity: "punctuality", states: products(), tries: product_tries },
        Machine { name: "order", entity: "insurer's order", states: orders(), tries: order_tries },
        Machine { name: "consent", entity: "consent", states: consents(), tries: consent_tries },
        Machine { name: "consent_batch", entity: "consents", states: batches(), tries: batch_tries },
        Machine { name: "meter", entity: "meter", states: meters(), tries: meter_tries },
        Machine { name: "settlement", entity: "settlement", states: settlements(), tries: settlement_tries },
        Machine { name: "trace", entity: "trace", states: traces(), tries: trace_tries },
        Machine { name: "erasure", entity: "erasure", states: erasures(), tries: erasure_tries },
    ]
}

#[test]
fn state_tables_are_as_agreed() {
    let mut text = String::from("# machine / state / command → what happens, or the code of the refusal\n");
    for machine in machines() {
        text.push_str(&format!("\n{}\n", machine.name));
        for (state, life) in &machine.states {
            text.push_str(&format!("  {state}\n"));
            if !machine.entity.is_empty() {
                let row = life.world.state.row(&life.link(machine.entity)).unwrap();
                assert_eq!(state.split(',').next(), Some(row.state.as_str()), "{}", machine.name);
            }
            for (label, actor, command) in (machine.tries)(life) {
                let outcome = match life.world.decide(&actor, &command) {
                    Ok(decision) => {
                        let kinds: Vec<String> = decision.events.iter().map(|new| new.event.kind()).collect();
                        kinds.join(", ")
                    }
                    Err(refusal) => refusal.code.code().to_owned(),
                };
                let name =
                    if label.is_empty() { command.name().to_owned() } else { format!("{} ({label})", command.name()) };
                text.push_str(&format!("    {name:<44} {outcome}\n"));
            }
        }
    }
    golden::check("state_tables.txt", &text);
}

const WHY: &str = "情况说明";

fn why() -> String {
    WHY.to_owned()
}

/// A life in which something more was done.
fn then(mut life: Life, actor: impl Fn(&Life) -> Actor, command: impl Fn(&Life) -> Command) -> Life {
    let (actor, command) = (actor(&life), command(&life));
    life.world.done(&actor, command);
    life
}

fn traces() -> Vec<(&'static str, Life)> {
    let mut life = Life::until("initialised");
    let record = Command::RecordTrace { details: Box::new(details::trace()) };
    let recorded = life.world.done(&Actor::Node, record);
    life.note("trace", created::<TraceId>(&recorded));
    vec![("recorded", life)]
}

fn trace_tries(life: &Life) -> Vec<Try> {
    let record = |details: TraceDetails| Command::RecordTrace { details: Box::new(details) };
    let again = || TraceDetails { tries_before: 1, ..details::trace() };
    let changed = |change: fn(&mut TraceDetails)| {
        let mut details = again();
        change(&mut details);
        record(details)
    };
    vec![
        ("", Actor::Node, record(again())),
        ("as the first try", Actor::Node, record(details::trace())),
        (
            "of another file",
            Actor::Node,
            changed(|details| {
                details.fragment_digest = "0".repeat(64);
                details.tries_before = 0;
            }),
        ),
        ("no digest", Actor::Node, changed(|details| details.report_digest.clear())),
        ("another digest", Actor::Node, changed(|details| details.fragment_digest = "Z".repeat(64))),
        ("a long case", Actor::Node, changed(|details| details.case = Some("案".repeat(201)))),
        ("two lines", Actor::Node, changed(|details| details.case = Some("案\n卷".to_owned()))),
        (
            "too many versions",
            Actor::Node,
            changed(|details| details.compared = (0..=COMPARED_MAX).map(|number| format!("prd_{number}@0")).collect()),
        ),
        ("by a user", life.handler("authority"), record(again())),
    ]
}

fn erasable(receipt: u8) -> Erasable {
    Erasable::Request(format!("rcp_{receipt:032}").parse().unwrap())
}

fn erasures() -> Vec<(&'static str, Life)> {
    let mut life = Life::until("parties");
    let record = Command::RecordErasure { object: erasable(1), reason: why() };
    let recorded = life.world.done(&life.approver("authority"), record);
    life.note("erasure", created::<ErasureId>(&recorded));
    vec![("recorded", life)]
}

fn erasure_tries(life: &Life) -> Vec<Try> {
    let approver = || life.approver("authority");
    let record = |object: Erasable, reason: &str| Command::RecordErasure { object, reason: reason.to_owned() };
    vec![
        ("", approver(), record(erasable(2), WHY)),
        ("of a subject", approver(), record(Erasable::Subject(subject()), WHY)),
        ("again", approver(), record(erasable(1), WHY)),
        ("without a reason", approver(), record(erasable(2), " ")),
        ("by a handler", life.handler("authority"), record(erasable(2), WHY)),
        ("by an operator", life.approver("operator"), record(erasable(2), WHY)),
        ("by the node", Actor::Node, record(erasable(2), WHY)),
    ]
}

fn nodes() -> Vec<(&'static str, Life)> {
    let propose = |_: &Life| Command::ProposeRulebook { rulebook: next_rulebook() };
    let proposed = then(Life::until("initialised"), |life| life.handler("authority"), propose);
    vec![
        ("not initialised", Life::until("empty")),
        ("initialised", Life::until("initialised")),
        ("initialised, with a proposed rulebook", proposed),
    ]
}

fn next_rulebook() -> Box<Rulebook> {
    Box::new(Rulebook { version: "next".to_owned(), ..Rulebook::initial() })
}

fn node_tries(life: &Life) -> Vec<Try> {
    let authority = details::party("数据主管部门", 2, Organisation::Department, &[Role::DataAuthority]);
    let initialise = Command::InitialiseNode { tier: Tier::Region, division: details::division(), authority };
    let party = details::party("新主体", 3, Organisation::Enterprise, &[Role::Consumer]);
    vec![
        ("", Actor::Node, initialise),
        ("", life.handler("authority"), Command::ProposeRulebook { rulebook: next_rulebook() }),
        ("", life.approver("authority"), Command::AdoptRulebook { rulebook: next_rulebook() }),
        ("", life.member("authority").admin, Command::RegisterParty { details: party }),
    ]
}

fn users() -> Vec<(&'static str, Life)> {
    let mut life = Life::until("parties");
    let clerk = life.add_user(&life.party("insurer"), &[Duty::Handler]);
    life.note("clerk", clerk);
    let disabled =
        then(life.clone(), |life| life.member("insurer").admin, |life| Command::DisableUser { user: life.id("clerk") });
    vec![("active", life), ("disabled", disabled)]
}

fn user_tries(life: &Life) -> Vec<Try> {
    let admin = life.member("insurer").admin;
    let add = Command::AddUser { party: life.party("insurer"), duties: [Duty::Approver].into() };
    vec![("", admin.clone(), add), ("", admin, Command::DisableUser { user: life.id("clerk") })]
}

fn resources() -> Vec<(&'static str, Life)> {
    vec![
        ("drafted", Life::until("resources drafted")),
        ("signed", Life::until("resources signed")),
        ("signed, with a snapshot", Life::until("snapshots")),
        ("in_registration", Life::until("registrations applied")),
        ("registered", Life::until("certified")),
    ]
}

fn resource_tries(life: &Life) -> Vec<Try> {
    let resource = || life.id("flights");
    let taken = life.world.state.resources[&resource()].value.snapshot_count;
    let snapshot = details::snapshot(life, "flights", taken, Nature::Real);
    let again = details::snapshot(life, "flights", taken.saturating_sub(1), Nature::Real);
    let report = Command::RecordQualityReport {
        resource: resource(),
        snapshot: details::snapshot(life, "flights", 0, Nature::Real).id,
        results: details::results(),
    };
    let handler = life.handler("airport");
    vec![
        ("", life.officer("airport"), Command::SignResource { resource: resource() }),
        ("", handler.clone(), Command::RecordSnapshot { resource: resource(), snapshot }),
        (
            "the newest version again",
            handler.clone(),
            Command::RecordSnapshot { resource: resource(), snapshot: again },
        ),
        ("", handler.clone(), report),
        ("", handler, Command::ApplyRegistration { object: Registrable::Resource(resource()) }),
        ("", life.handler("implementer"), Command::RequestSupply { resource: resource(), need: why() }),
    ]
}

fn tickets() -> Vec<(&'static str, Life)> {
    let mut life = Life::until("snapshots");
    let snapshot = details::snapshot(&life, "flights", 0, Nature::Real).id;
    let report = Command::RecordQualityReport { resource: life.id("flights"), snapshot, results: details::results() };
    let recorded = life.world.done(&life.handler("airport"), report);
    life.note("ticket", created::<TicketId>(&recorded));
    let answer = |life: &Life| Command::AnswerTicket { ticket: life.id("ticket"), answer: why() };
    let answered = then(life.clone(), |life| life.handler("airport"), answer);
    vec![("open", life), ("answered", answered), ("closed", Life::until("quality"))]
}

fn ticket_tries(life: &Life) -> Vec<Try> {
    let ticket = || life.id("ticket");
    vec![
        ("", life.handler("airport"), Command::AnswerTicket { ticket: ticket(), answer: why() }),
        ("", life.handler("authority"), Command::CloseTicket { ticket: ticket(), verification: why() }),
    ]
}

fn registrations() -> Vec<(&'static str, Life)> {
    let give_back =
        |life: &Life| Command::ReturnRegistration { registration: life.id("flights registration"), missing: why() };
    let returned = then(Life::until("registrations applied"), |life| life.handler("registrar"), give_back);
    let mut ended = Life::until("publicity");
    ended.world.now = at("2026-11-17T01:00:00Z");
    vec![
        ("applied", Life::until("registrations applied")),
        ("returned", returned),
        ("accepted", Life::until("registrations accepted")),
        ("publicity", Life::until("publicity")),
        ("publicity, ended", ended),
        ("certified", Life::until("certified")),
    ]
}

fn registration_tries(life: &Life) -> Vec<Try> {
    let registration = || -> RegistrationId { life.id("flights registration") };
    let again = Command::ApplyRegistration { object: Registrable::Resource(life.id("flights")) };
    let (handler, approver) = (life.handler("registrar"), life.approver("registrar"));
    vec![
        ("", handler.clone(), Command::AcceptRegistration { registration: registration() }),
        ("", handler, Command::ReturnRegistration { registration: registration(), missing: why() }),
        ("", approver.clone(), Command::ReviewRegistration { registration: registration() }),
        ("", approver, Command::CertifyRegistration { registration: registration() }),
        ("again", life.handler("airport"), again),
    ]
}

fn supplies() -> Vec<(&'static str, Life)> {
    let refuse = |life: &Life| Command::RefuseSupply { supply: life.id("flights supply"), basis: why() };
    let withdraw = |life: &Life| Command::WithdrawSupply { supply: life.id("flights supply"), reason: why() };
    let officer = |life: &Life| life.officer("airport");
    vec![
        ("requested", Life::until("supplies requested")),
        ("confirmed", Life::until("supplies confirmed")),
        ("refused", then(Life::until("supplies requested"), officer, refuse)),
        ("withdrawn", then(Life::until("supplies confirmed"), officer, withdraw)),
    ]
}

fn supply_tries(life: &Life) -> Vec<Try> {
    let supply = || life.id("flights supply");
    let officer = life.officer("airport");
    let plan = Command::DraftPlan { details: Box::new(details::plan(life)) };
    vec![
        ("", officer.clone(), Command::ConfirmSupply { supply: supply(), narrowing: Box::default() }),
        ("", officer.clone(), Command::RefuseSupply { supply: supply(), basis: why() }),
        ("", officer.clone(), Command::WithdrawSupply { supply: supply(), reason: why() }),
        ("", officer, Command::SetPrivacyBudget { supply: supply(), rho: details::budget("0.5").rho, reason: why() }),
        ("on it", life.handler("implementer"), plan),
    ]
}

fn plans() -> Vec<(&'static str, Life)> {
    let give_back = |life: &Life| Command::ReturnPlan { plan: life.id("plan"), reason: why() };
    vec![
        ("drafted", Life::until("plan drafted")),
        ("submitted", Life::until("plan submitted")),
        ("approved", Life::until("plan approved")),
        ("returned", then(Life::until("plan submitted"), |life| life.approver("authority"), give_back)),
    ]
}

fn plan_tries(life: &Life) -> Vec<Try> {
    let plan = || life.id("plan");
    let authority = life.approver("authority");
    let mandate = Command::DraftMandate { details: Box::new(details::mandate(life)) };
    vec![
        ("", life.approver("implementer"), Command::SubmitPlan { plan: plan(), minutes: why() }),
        ("", authority.clone(), Command::ApprovePlan { plan: plan(), document: why() }),
        ("", authority, Command::ReturnPlan { plan: plan(), reason: why() }),
        ("under it", life.handler("implementer"), mandate),
    ]
}

fn mandates() -> Vec<(&'static str, Life)> {
    let sign = |life: &Life| Command::SignAgreement { mandate: life.id("mandate") };
    let suspend = |life: &Life| Command::SuspendMandate { mandate: life.id("mandate"), reason: why() };
    let revoke = |life: &Life| Command::RevokeMandate { mandate: life.id("mandate"), reason: why() };
    let implementer = |life: &Life| life.approver("implementer");
    let in_force = || Life::until("agreement signed");
    vec![
        ("drafted", Life::until("mandate drafted")),
        ("approved", Life::until("mandate approved")),
        ("approved, signed by the implementer", then(Life::until("mandate approved"), implementer, sign)),
        ("in_force", in_force()),
        ("suspended", then(in_force(), implementer, suspend)),
        ("suspended, by the data authority", then(in_force(), |life| life.approver("authority"), suspend)),
        ("revoked", then(in_force(), implementer, revoke)),
    ]
}

fn mandate_tries(life: &Life) -> Vec<Try> {
    let mandate = || life.id("mandate");
    let implementer = || life.approver("implementer");
    let permit = Command::ApplyPermit { details: Box::new(details::insurance_permit(life)) };
    vec![
        ("", implementer(), Command::ApproveMandate { mandate: mandate() }),
        ("implementer", implementer(), Command::SignAgreement { mandate: mandate() }),
        ("operator", life.approver("operator"), Command::SignAgreement { mandate: mandate() }),
        ("", implementer(), Command::SuspendMandate { mandate: mandate(), reason: why() }),
        ("", implementer(), Command::ResumeMandate { mandate: mandate(), reason: why() }),
        ("data authority", life.approver("authority"), Command::ResumeMandate { mandate: mandate(), reason: why() }),
        ("", implementer(), Command::RevokeMandate { mandate: mandate(), reason: why() }),
        ("under it", life.handler("operator"), permit),
    ]
}

fn permits() -> Vec<(&'static str, Life)> {
    let permit = |life: &Life| life.id("insurance permit");
    let implementer = |life: &Life| life.approver("implementer");
    let disagree = |life: &Life| Command::GiveOpinion { permit: permit(life), agrees: false, text: why() };
    let refuse = |life: &Life| Command::RefusePermit { permit: permit(life), reason: why() };
    let suspend = |life: &Life| Command::SuspendPermit { permit: permit(life), reason: why() };
    vec![
        ("applied", Life::until("permits applied")),
        ("applied, confirmed by the provider", Life::until("permits confirmed")),
        (
            "applied, the competent department disagrees",
            then(Life::until("permits confirmed"), |life| life.approver("competent"), disagree),
        ),
        ("applied, the competent department agrees", Life::until("opinions")),
        ("approved", Life::until("permits approved")),
        ("refused", then(Life::until("permits applied"), implementer, refuse)),
        ("suspended", then(Life::until("permits approved"), implementer, suspend)),
    ]
}

fn permit_tries(life: &Life) -> Vec<Try> {
    let permit = || life.id("insurance permit");
    let implementer = || life.approver("implementer");
    let product = Command::DraftProduct { details: Box::new(details::punctuality(life)) };
    vec![
        ("", life.officer("airport"), Command::ConfirmPermit { permit: permit() }),
        ("", life.approver("competent"), Command::GiveOpinion { permit: permit(), agrees: true, text: why() }),
        ("", implementer(), Command::ApprovePermit { permit: permit() }),
        ("", implementer(), Command::RefusePermit { permit: permit(), reason: why() }),
        ("", implementer(), Command::SuspendPermit { permit: permit(), reason: why() }),
        ("", implementer(), Command::ResumePermit { permit: permit(), reason: why() }),
        ("on it", life.handler("operator"), product),
    ]
}

fn products() -> Vec<(&'static str, Life)> {
    let delist = |life: &Life| Command::DelistProduct { product: life.id("punctuality"), reason: why() };
    vec![
        ("drafted", Life::until("products drafted")),
        ("reviewed", Life::until("products reviewed")),
        ("reviewed, in registration", Life::until("product registrations")),
        ("reviewed, certified", Life::until("products certified")),
        ("reviewed, certified, with a ceiling", Life::until("ceilings")),
        ("reviewed, certified, with a price", Life::until("prices")),
        ("listed", Life::until("listed")),
        ("delisted", then(Life::until("listed"), |life| life.approver("operator"), delist)),
    ]
}

fn product_tries(life: &Life) -> Vec<Try> {
    let product = || life.id("punctuality");
    let (implementer, operator) = (life.approver("implementer"), life.approver("operator"));
    let mut ceiling = details::ceiling(life);
    // Before the life fixes a permitted revenue there is none to stand within.
    if let Some(revenue) = life.world.state.permitted_revenues.keys().next() {
        ceiling.permitted_revenue = revenue.clone();
    }
    let order = details::order(product(), "insurance/claim", &[Mode::Rows]);
    vec![
        ("", implementer.clone(), Command::ReviewProductOutput { product: product(), findings: why() }),
        ("", life.handler("operator"), Command::ApplyRegistration { object: Registrable::Product(product()) }),
        ("", implementer, Command::SetCeiling { product: product(), ceiling }),
        ("", operator.clone(), Command::SetPrice { product: product(), price: details::price() }),
        ("", operator.clone(), Command::ListProduct { product: product() }),
        ("", operator, Command::DelistProduct { product: product(), reason: why() }),
        ("of it", life.handler("insurer"), Command::PlaceOrder { details: Box::new(order) }),
    ]
}

fn orders() -> Vec<(&'static str, Life)> {
    let order = |life: &Life| -> OrderId { life.id("insurer's order") };
    let operator = |life: &Life| life.approver("operator");
    let sign = |life: &Life| Command::SignContract { order: order(life), terms_digest: terms(life, "insurer's order") };
    let suspend = |life: &Life| Command::SuspendOrder { order: order(life), reason: why() };
    let end = |life: &Life| Command::EndOrder { order: order(life), reason: why() };
    vec![
        ("placed", Life::until("orders placed")),
        ("placed, signed by the consumer", then(Life::until("orders placed"), |life| life.approver("insurer"), sign)),
        ("active", Life::until("contracts signed")),
        ("active, with a key", Life::until("keys")),
        ("suspended", then(Life::until("keys"), operator, suspend)),
        ("ended", then(Life::until("keys"), operator, end)),
    ]
}

fn order_tries(life: &Life) -> Vec<Try> {
    let order = || -> OrderId { life.id("insurer's order") };
    let (operator, consumer) = (life.approver("operator"), life.approver("insurer"));
    let sign = Command::SignContract { order: order(), terms_digest: terms(life, "insurer's order") };
    let keys = &life.world.state.orders[&order()].value.service_keys;
    let key = keys.first().map_or_else(|| life.id("nothing"), |key| key.id.clone());
    let handler = life.handler("insurer");
    vec![
        ("consumer", consumer.clone(), sign.clone()),
        ("operator", operator.clone(), sign),
        (
            "",
            handler.clone(),
            Command::IssueServiceKey { order: order(), hash: lingqu_crypto::sha256(b"key").to_string() },
        ),
        ("", handler, Command::RevokeServiceKey { order: order(), key }),
        ("without marks", life.approver("auditor"), Command::RenewMarkKeys { order: order(), reason: why() }),
        ("", operator.clone(), Command::SuspendOrder { order: order(), reason: why() }),
        ("", operator, Command::ResumeOrder { order: order(), reason: why() }),
        ("", consumer, Command::EndOrder { order: order(), reason: why() }),
        ("", Actor::Node, Command::CloseMeter { readings: vec![details::reading(order(), 5_000, 1, 0)] }),
    ]
}

fn consents() -> Vec<(&'static str, Life)> {
    let withdraw = |life: &Life| Command::WithdrawConsent { consent: life.id("consent") };
    vec![("given", Life::until("consent")), ("withdrawn", then(Life::until("consent"), Life::subject, withdraw))]
}

fn consent_tries(life: &Life) -> Vec<Try> {
    let give = Command::GiveConsent { details: Box::new(details::consent(life)) };
    vec![
        ("another", life.subject(), give),
        ("", life.subject(), Command::WithdrawConsent { consent: life.id("consent") }),
        ("", life.subject(), Command::NarrowConsent { consent: life.id("consent"), limits: shorter(life) }),
    ]
}

/// What is left of the life's consents after their subject took a day off their term.
fn shorter(life: &Life) -> Box<ConsentLimits> {
    let given = details::consent(life);
    let until = given.term.until.checked_sub(24.hours()).unwrap();
    Box::new(ConsentLimits { resources: given.resources, fields: given.fields, term: Term { until, ..given.term } })
}

fn batches() -> Vec<(&'static str, Life)> {
    let withdraw = |member| move |life: &Life| Command::WithdrawBatchedConsent { batch: life.id("consents"), member };
    let given = Life::until("consents recorded");
    let one_less = then(given.clone(), Life::subject, withdraw(0));
    let all_withdrawn = then(one_less.clone(), |_| Actor::Subject(other_subject()), withdraw(1));
    vec![("given", given), ("given, the first member withdrew", one_less), ("withdrawn", all_withdrawn)]
}

fn batch_tries(life: &Life) -> Vec<Try> {
    let batch = || life.id("consents");
    let digest = members_digest(&[subject()]).to_string();
    let another = Command::RecordConsents { details: Box::new(details::consent(life)), count: 1, digest };
    vec![
        ("another", Actor::Node, another),
        ("", life.subject(), Command::WithdrawBatchedConsent { batch: batch(), member: 0 }),
        ("no member", life.subject(), Command::WithdrawBatchedConsent { batch: batch(), member: 2 }),
        ("", life.subject(), Command::NarrowBatchedConsent { batch: batch(), member: 0, limits: shorter(life) }),
    ]
}

fn meters() -> Vec<(&'static str, Life)> {
    let proposed = then(Life::until("metered"), |life| life.handler("operator"), propose_correction);
    let corrected = then(proposed.clone(), |life| life.approver("implementer"), agree_correction);
    vec![
        ("closed", Life::until("metered")),
        ("closed, with a proposed correction", proposed),
        ("closed, corrected", corrected),
        ("settled", Life::until("settled")),
    ]
}

fn propose_correction(life: &Life) -> Command {
    Command::ProposeMeterCorrection { meter: life.id("meter"), calls: 30, data_sets: 0, reason: why() }
}

fn agree_correction(life: &Life) -> Command {
    Command::AgreeMeterCorrection { meter: life.id("meter"), calls: 30, data_sets: 0 }
}

fn meter_tries(life: &Life) -> Vec<Try> {
    let again = Command::CloseMeter { readings: vec![details::reading(life.id("platform's order"), 0, 1, 0)] };
    let close = Command::CloseSettlement { period: "2026-12".to_owned() };
    vec![
        ("the same window", Actor::Node, again),
        ("", life.handler("operator"), propose_correction(life)),
        ("", life.approver("implementer"), agree_correction(life)),
        ("", life.approver("operator"), close),
    ]
}

fn settlements() -> Vec<(&'static str, Life)> {
    let mut states = vec![
        ("closed", Life::until("settled")),
        ("confirmed", Life::until("confirmed")),
        ("paid_in", Life::until("paid in")),
    ];
    for (_, life) in &mut states {
        let second = life.add_user(&life.party("implementer"), &[Duty::Approver]);
        life.note("second approver", second);
    }
    let reversed = then(states[1].1.clone(), second_approver, reverse);
    states.push(("reversed", reversed));
    states
}

fn second_approver(life: &Life) -> Actor {
    Actor::User(life.id("second approver"))
}

fn reverse(life: &Life) -> Command {
    Command::ReverseSettlement { settlement: life.id("settlement"), reason: why() }
}

fn settlement_tries(life: &Life) -> Vec<Try> {
    let settlement = || life.id("settlement");
    let voucher = |amount: &str| Command::RecordVoucher {
        settlement: settlement(),
        number: "非税 0009".to_owned(),
        amount: amount.parse().unwrap(),
    };
    let finance = life.handler("finance");
    vec![
        ("", life.approver("implementer"), Command::ConfirmSettlement { settlement: settlement() }),
        ("who confirmed it", life.approver("implementer"), reverse(life)),
        ("another", second_approver(life), reverse(life)),
        ("in part", finance.clone(), voucher("100")),
        ("all", finance.clone(), voucher(DUE)),
        ("more than is due", finance, voucher("488.04")),
    ]
}
