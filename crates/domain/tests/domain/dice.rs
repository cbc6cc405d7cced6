//! Random commands: right ones, wrong ones and garbage, made from the entities that a life has.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use lingqu_domain::access::{Actor, Duty, PERMISSIONS, permission};
use lingqu_domain::command::Command;
use lingqu_domain::consent::ConsentLimits;
use lingqu_domain::consent_batch::MEMBERS_MAX;
use lingqu_domain::erasure::Erasable;
use lingqu_domain::id::UserId;
use lingqu_domain::mandate::MandateDetails;
use lingqu_domain::order::{DayQuota, OrderDetails, Quota};
use lingqu_domain::party::{Organisation, Role};
use lingqu_domain::permit::PermitDetails;
use lingqu_domain::plan::{PlanDetails, PlanItem};
use lingqu_domain::predicate::{Literal, Predicate};
use lingqu_domain::product::{ProductDetails, SourceColumn};
use lingqu_domain::registration::Registrable;
use lingqu_domain::resource::{Grade, Nature, Openness, ResourceDetails};
use lingqu_domain::rulebook::Rulebook;
use lingqu_domain::scope::{ColumnName, Mode, Narrowing, Precision, Precisions, Purpose, Term};
use lingqu_domain::state::EntityKind;
use rust_decimal::Decimal;

use crate::details;
use crate::life::{Life, terms};
use crate::world::at;

/// A source of choices: a counter that is mixed (SplitMix64), so that a seed stands for a command.
pub struct Dice {
    state: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed % count.max(1) as u64) as usize
    }

    /// True once in `count` times.
    pub fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    pub fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    pub fn some_of<T: Clone + Ord>(&mut self, choices: &[T]) -> BTreeSet<T> {
        choices.iter().filter(|_| self.below(2) == 1).cloned().collect()
    }

    /// The id of an entity in the state, or now and then of none.
    fn id<I: FromStr>(&mut self, life: &Life, kind: EntityKind) -> I {
        let rows = ids(life, kind);
        if rows.is_empty() || self.once_in(40) {
            return life.id("nothing");
        }
        let chosen = self.one_of(&rows);
        chosen.parse().unwrap_or_else(|_| panic!("{chosen} is an id of {kind:?}"))
    }
}

pub fn ids(life: &Life, kind: EntityKind) -> Vec<String> {
    let state = &life.world.state;
    let ids = |map: Vec<&str>| map.into_iter().map(str::to_owned).collect();
    match kind {
        EntityKind::Resource => ids(state.resources.keys().map(|id| id.as_str()).collect()),
        EntityKind::Ticket => ids(state.tickets.keys().map(|id| id.as_str()).collect()),
        EntityKind::Registration => ids(state.registrations.keys().map(|id| id.as_str()).collect()),
        EntityKind::Supply => ids(state.supplies.keys().map(|id| id.as_str()).collect()),
        EntityKind::Plan => ids(state.plans.keys().map(|id| id.as_str()).collect()),
        EntityKind::Mandate => ids(state.mandates.keys().map(|id| id.as_str()).collect()),
        EntityKind::Permit => ids(state.permits.keys().map(|id| id.as_str()).collect()),
        EntityKind::Product => ids(state.products.keys().map(|id| id.as_str()).collect()),
        EntityKind::PermittedRevenue => ids(state.permitted_revenues.keys().map(|id| id.as_str()).collect()),
        EntityKind::Order => ids(state.orders.keys().map(|id| id.as_str()).collect()),
        EntityKind::Consent => ids(state.consents.keys().map(|id| id.as_str()).collect()),
        EntityKind::ConsentBatch => ids(state.consent_batches.keys().map(|id| id.as_str()).collect()),
        EntityKind::Settlement => ids(state.settlements.keys().map(|id| id.as_str()).collect()),
        EntityKind::Party => ids(state.parties.keys().map(|id| id.as_str()).collect()),
        EntityKind::User => ids(state.users.keys().map(|id| id.as_str()).collect()),
        EntityKind::Meter => ids(state.meters.keys().map(|id| id.as_str()).collect()),
        EntityKind::Node | EntityKind::QualityReport | EntityKind::Right | EntityKind::Trace | EntityKind::Erasure => {
            Vec::new()
        }
    }
}

/// What is left of a consent: mostly within what the life's consents permit.
fn consent_limits(dice: &mut Dice, life: &Life) -> ConsentLimits {
    let given = details::consent(life);
    let mut limits = ConsentLimits { resources: given.resources, fields: given.fields, term: given.term };
    if dice.below(2) == 1 {
        let columns = [details::name("licence"), details::name("city")];
        limits.fields.insert(life.id("drivers"), columns.into_iter().take(dice.below(3)).collect());
    }
    if dice.below(2) == 1 {
        limits.term = term(dice);
    }
    limits
}

/// An actor who may give a command at all, or now and then anybody.
pub fn actor(dice: &mut Dice, life: &Life, command: &Command) -> Actor {
    let line = permission(command.name()).unwrap();
    let stray = dice.once_in(12);
    if line.node && !stray {
        return Actor::Node;
    }
    if line.subject && !stray {
        return life.subject();
    }
    if stray && dice.once_in(3) {
        return dice.one_of(&[Actor::Node, life.subject(), Actor::User(life.id::<UserId>("nothing"))]);
    }
    let state = &life.world.state;
    let mut fitting = Vec::new();
    for user in state.users.values().map(|user| &user.value) {
        let roles = &state.parties[&user.party].value.roles;
        let has_role = line.roles.is_empty() || line.roles.iter().any(|role| roles.contains(role));
        let has_duty = line.duties.is_empty() || line.duties.iter().any(|duty| user.duties.contains(duty));
        if stray || (has_role && has_duty) {
            fitting.push(Actor::User(user.id.clone()));
        }
    }
    if fitting.is_empty() { Actor::Node } else { dice.one_of(&fitting) }
}

fn text(dice: &mut Dice) -> String {
    match dice.below(20) {
        18 => "   ".to_owned(),
        19 => "长".repeat(4_001),
        _ => "理由充分".to_owned(),
    }
}

fn precisions(dice: &mut Dice) -> Precisions {
    let texts = ["exact", "exact", "month", "year", "city", "rounded:10", "rounded:4", "pseudonym:consumer", "hidden"];
    let mut made = BTreeMap::new();
    for mode in Mode::ALL {
        if dice.below(4) > 0 {
            made.insert(mode, dice.one_of(&texts).parse::<Precision>().unwrap());
        }
    }
    Precisions(made)
}

const COLUMNS: [&str; 10] =
    ["flight_id", "day", "carrier", "delay", "tail", "crew", "wind", "id_number", "licence", "nowhere"];

fn column(dice: &mut Dice) -> ColumnName {
    details::name(COLUMNS[dice.below(COLUMNS.len())])
}

fn predicate(dice: &mut Dice, depth: usize) -> Predicate {
    match dice.below(if depth == 0 { 3 } else { 6 }) {
        0 => details::condition(column(dice).as_str(), "x"),
        1 => Predicate::IsNull { column: column(dice) },
        2 => Predicate::In { column: column(dice), values: vec![Literal::Integer(3), Literal::Boolean(true)] },
        3 => Predicate::And(vec![predicate(dice, depth - 1), predicate(dice, depth - 1)]),
        4 => Predicate::Or(vec![predicate(dice, depth - 1)]),
        _ => Predicate::Not(Box::new(predicate(dice, depth - 1))),
    }
}

const PURPOSES: [&str; 8] =
    ["any", "insurance", "insurance/claim", "insurance/pricing", "public", "public/licence", "public/study", "credit"];

fn purpose(dice: &mut Dice) -> Purpose {
    details::purpose(PURPOSES[dice.below(PURPOSES.len())])
}

fn purposes(dice: &mut Dice) -> BTreeSet<Purpose> {
    PURPOSES.iter().filter(|_| dice.below(3) == 1).map(|code| details::purpose(code)).collect()
}

fn term(dice: &mut Dice) -> Term {
    let moments = [
        "2026-11-17T01:00:00Z",
        "2026-12-01T00:00:00Z",
        "2026-12-03T00:00:00Z",
        "2027-06-01T00:00:00Z",
        "2028-01-01T00:00:00Z",
        "2031-01-01T00:00:00Z",
        "-009999-01-02T01:59:59Z",
        "9999-12-30T22:00:00Z",
    ];
    let from = dice.one_of(&[moments[0], moments[0], moments[1], moments[2], moments[5], moments[6]]);
    let until = dice.one_of(&[moments[3], moments[3], moments[4], moments[2], moments[0], moments[7]]);
    Term { from: at(from), until: at(until) }
}

pub fn narrowing(dice: &mut Dice) -> Narrowing {
    let mut made = Narrowing::default();
    if dice.once_in(3) {
        let mut columns = BTreeMap::new();
        for name in COLUMNS {
            if dice.below(3) > 0 && name != "nowhere" || dice.once_in(40) {
                let kept = if dice.once_in(3) { Some(precisions(dice)) } else { None };
                columns.insert(details::name(name), kept);
            }
        }
        made.columns = Some(columns);
    }
    if dice.once_in(4) {
        made.rows = vec![predicate(dice, 2)];
    }
    if dice.once_in(4) {
        made.purposes = Some(purposes(dice));
    }
    if dice.once_in(3) {
        made.modes = Some(dice.some_of(&Mode::ALL));
    }
    if dice.once_in(6) {
        made.term = Some(term(dice));
    }
    if dice.once_in(4) {
        made.cohort_floor = Some(dice.one_of(&[0, 5, 10, 50, u32::MAX]));
    }
    if dice.once_in(4) {
        made.consent_required = Some(dice.below(2) == 1);
    }
    made
}

/// Keeps what fits columns of a table, so that narrowings of several tables are not all refused for a strange column.
fn narrowing_of(dice: &mut Dice, columns: &[ColumnName]) -> Narrowing {
    let mut made = narrowing(dice);
    if !dice.once_in(8) {
        if let Some(named) = &mut made.columns {
            named.retain(|name, _| columns.contains(name));
        }
        made.rows.retain(|predicate| predicate.columns().into_iter().all(|name| columns.contains(name)));
    }
    made
}

fn columns_of(life: &Life, resource: &lingqu_domain::id::ResourceId) -> Vec<ColumnName> {
    let found = life.world.state.resources.get(resource);
    found
        .map(|resource| resource.value.details.columns.iter().map(|column| column.name.clone()).collect())
        .unwrap_or_default()
}

fn resource_details(dice: &mut Dice) -> ResourceDetails {
    let mut made = dice.one_of(&[details::flights(), details::weather(), details::drivers()]);
    let serial = dice.below(50);
    made.table = details::name(&format!("table_{serial}"));
    made.openness = dice.one_of(&[Openness::Unconditional, Openness::Conditional, Openness::NotOpen]);
    let grades = [Grade::General1, Grade::General2, Grade::General3, Grade::General4, Grade::Important, Grade::Core];
    if dice.once_in(3) {
        let place = dice.below(made.columns.len());
        made.columns[place].grade = dice.one_of(&grades);
    }
    match dice.below(12) {
        9 => made.columns.clear(),
        10 => made.key = vec![column(dice)],
        11 => made.personal_basis = None,
        _ => {}
    }
    made
}

fn plan_details(dice: &mut Dice, life: &Life) -> PlanDetails {
    let mut made = details::plan(life);
    for (resource, item) in &mut made.items {
        if dice.below(2) == 1 {
            item.narrowing = narrowing_of(dice, &columns_of(life, resource));
        }
    }
    if dice.once_in(4) {
        let resource = dice.id(life, EntityKind::Resource);
        let supply = dice.id(life, EntityKind::Supply);
        made.items.insert(resource, PlanItem { supply, narrowing: Narrowing::default() });
    }
    if dice.once_in(4) {
        made.term = term(dice);
    }
    if dice.once_in(10) {
        made.items.clear();
    }
    made
}

fn mandate_details(dice: &mut Dice, life: &Life) -> MandateDetails {
    let mut made = details::mandate(life);
    made.plan = dice.id(life, EntityKind::Plan);
    for (resource, item) in &mut made.items {
        if dice.below(2) == 1 {
            *item = narrowing_of(dice, &columns_of(life, resource));
        }
    }
    if dice.once_in(5) {
        made.items.insert(dice.id(life, EntityKind::Resource), Narrowing::default());
    }
    if dice.once_in(4) {
        made.term = term(dice);
    }
    if dice.once_in(6) {
        made.operator = dice.id(life, EntityKind::Party);
    }
    let rates = ["0", "0.2", "0.3333333333", "1", "-0.1", "1.5", "-79228162514264337593543950335"];
    if dice.once_in(4) {
        made.revenue.treasury_rate = details::decimal(dice.one_of(&rates));
    }
    if dice.once_in(4) {
        made.revenue.provider_rates.insert(dice.id(life, EntityKind::Party), details::decimal(dice.one_of(&rates)));
    }
    made
}

fn permit_details(dice: &mut Dice, life: &Life) -> PermitDetails {
    let mut made = dice.one_of(&[details::insurance_permit(life), details::licence_permit(life)]);
    made.mandate = dice.id(life, EntityKind::Mandate);
    for (resource, item) in &mut made.items {
        if dice.below(2) == 1 {
            *item = narrowing_of(dice, &columns_of(life, resource));
        }
    }
    if dice.once_in(5) {
        made.items.insert(dice.id(life, EntityKind::Resource), narrowing(dice));
    }
    if dice.once_in(3) {
        made.purposes = purposes(dice);
    }
    made
}

fn product_details(dice: &mut Dice, life: &Life) -> ProductDetails {
    let mut made = dice.one_of(&[details::punctuality(life), details::driver_check(life)]);
    made.table = details::name(&format!("product_{}", dice.below(1_000)));
    for permit in made.inputs.values_mut() {
        if dice.once_in(3) {
            *permit = dice.id(life, EntityKind::Permit);
        }
    }
    if dice.once_in(3) {
        let columns: Vec<ColumnName> = made.shape.columns.iter().map(|column| column.name.clone()).collect();
        made.narrowing = narrowing_of(dice, &columns);
    }
    // What the node found out about the SQL, as wrong as a client could claim it.
    let place = dice.below(made.shape.columns.len());
    let source = SourceColumn { resource: dice.id(life, EntityKind::Resource), column: column(dice) };
    match dice.below(14) {
        7 => made.shape.columns[place].lineage.clear(),
        8 => made.shape.columns[place].computed = true,
        9 => _ = made.shape.columns[place].lineage.insert(source),
        10 => _ = made.shape.conditions.insert(source),
        11 => made.subject = Some(column(dice)),
        12 => made.shape.columns.clear(),
        13 => made.inputs.clear(),
        _ => {}
    }
    made
}

fn order_details(dice: &mut Dice, life: &Life) -> OrderDetails {
    let product = dice.id(life, EntityKind::Product);
    let template = details::order(product, "insurance/claim", &[Mode::Verification]);
    let numbers = [0, 1, 10_000, u64::MAX];
    OrderDetails {
        purpose: purpose(dice),
        modes: if dice.once_in(2) { dice.some_of(&Mode::ALL) } else { template.modes.clone() },
        term: if dice.once_in(4) { term(dice) } else { template.term },
        quota: Quota {
            calls: dice.one_of(&numbers),
            data_sets: dice.one_of(&numbers),
            rows: (dice.below(4) == 0).then(|| dice.one_of(&numbers)),
            per_day: (dice.below(4) == 0).then(|| DayQuota { subjects: Some(5), ..DayQuota::default() }),
            ..Quota::default()
        },
        ..template
    }
}

fn rulebook(dice: &mut Dice) -> Rulebook {
    let mut made = Rulebook { version: format!("rules {}", dice.below(1_000)), ..Rulebook::initial() };
    let numbers = [0, 1, 5, 10, 100, u32::MAX];
    made.cohort_floor = dice.one_of(&numbers);
    made.publicity_days = dice.one_of(&numbers);
    made.product_registration_required = dice.below(2) == 1;
    let years = [3, 3, 3, 1, 100, 0, -5, i16::MIN, i16::MAX];
    made.certificate_years = dice.one_of(&years);
    made.mandate_years_max = dice.one_of(&years);
    made.profit_points_max = dice.one_of(&[Decimal::from(6), Decimal::MAX, Decimal::MIN, Decimal::ZERO]);
    for grade in [Grade::General1, Grade::General2, Grade::General3, Grade::General4, Grade::Important] {
        match dice.below(8) {
            5 => _ = made.grade_modes.remove(&grade),
            6 | 7 => _ = made.grade_modes.insert(grade, dice.some_of(&Mode::ALL).into_iter().collect()),
            _ => {}
        }
    }
    if dice.once_in(4) {
        made.calendar.working_weekends.clear();
        made.calendar.published_through_year = i16::MIN;
    }
    made
}

fn fen(dice: &mut Dice) -> lingqu_ledger::Fen {
    let amounts = ["100000.00", "0.01", "0.00", "-5.00", "488.03", "92233720368547758.07", "-92233720368547758.08"];
    dice.one_of(&amounts).parse().unwrap()
}

pub fn unit_price(dice: &mut Dice) -> lingqu_ledger::UnitPrice {
    dice.one_of(&["0.0325", "0", "0.05", "2400", "0.000001", "999999999"]).parse().unwrap()
}

/// A random command.
pub fn command(dice: &mut Dice, life: &Life) -> Command {
    use Command as C;
    use EntityKind as K;
    let name = PERMISSIONS[dice.below(PERMISSIONS.len())].command;
    match name {
        "initialise_node" => {
            let authority = details::party("又一个主管部门", 77, Organisation::Department, &[Role::DataAuthority]);
            C::InitialiseNode { tier: lingqu_domain::party::Tier::City, division: details::division(), authority }
        }
        "propose_rulebook" => C::ProposeRulebook { rulebook: Box::new(rulebook(dice)) },
        "adopt_rulebook" => {
            let node = life.world.state.node.values().next();
            let proposed = node.and_then(|node| node.value.proposal.clone()).map(|proposal| proposal.rulebook);
            let adopted = proposed.filter(|_| !dice.once_in(8)).unwrap_or_else(|| rulebook(dice));
            C::AdoptRulebook { rulebook: Box::new(adopted) }
        }
        "register_party" => {
            let roles = [
                Role::Provider,
                Role::Implementer,
                Role::DataAuthority,
                Role::Registrar,
                Role::Operator,
                Role::Consumer,
                Role::CompetentDepartment,
                Role::Finance,
            ];
            let mut party = details::party("主体", 100 + dice.below(40) as u32, Organisation::Enterprise, &[]);
            party.roles = if dice.below(2) == 1 { dice.some_of(&roles) } else { [dice.one_of(&roles)].into() };
            if dice.once_in(3) {
                party.ties.insert(dice.id(life, K::Party));
            }
            C::RegisterParty { details: party }
        }
        "add_user" => {
            let duties = [Duty::Administrator, Duty::Handler, Duty::Approver, Duty::ChiefDataOfficer];
            let some = dice.some_of(&duties);
            let duties = if dice.once_in(3) { [Duty::Administrator].into() } else { some };
            C::AddUser { party: dice.id(life, K::Party), duties }
        }
        // Seldom, else soon nobody is left to act.
        "disable_user" if dice.once_in(4) => C::DisableUser { user: dice.id(life, K::User) },
        "disable_user" => C::DisableUser { user: life.id("nothing") },
        "draft_resource" => C::DraftResource { details: Box::new(resource_details(dice)) },
        "sign_resource" => C::SignResource { resource: dice.id(life, K::Resource) },
        "record_snapshot" => {
            let version = dice.below(3) as u64;
            let nature = dice.one_of(&[Nature::Real, Nature::Synthetic]);
            let snapshot = details::snapshot(life, "random", version, nature);
            C::RecordSnapshot { resource: dice.id(life, K::Resource), snapshot }
        }
        "record_quality_report" => {
            let snapshot = details::snapshot(life, "flights", 0, Nature::Real).id;
            C::RecordQualityReport { resource: dice.id(life, K::Resource), snapshot, results: details::results() }
        }
        "record_trace" => {
            let mut details = details::trace();
            let tries = lingqu_domain::trace::tries(&life.world.state, &details.fragment_digest);
            details.tries_before = if dice.once_in(8) { tries + 1 } else { tries };
            C::RecordTrace { details: Box::new(details) }
        }
        "record_erasure" => {
            let number = dice.below(3);
            let object = match dice.below(2) {
                0 => Erasable::Request(format!("rcp_{number:032}").parse().unwrap()),
                _ => Erasable::Subject(format!("sub_{number:032}").parse().unwrap()),
            };
            C::RecordErasure { object, reason: text(dice) }
        }
        "answer_ticket" => C::AnswerTicket { ticket: dice.id(life, K::Ticket), answer: text(dice) },
        "close_ticket" => C::CloseTicket { ticket: dice.id(life, K::Ticket), verification: text(dice) },
        "apply_registration" => {
            let object = if dice.below(2) == 0 {
                Registrable::Resource(dice.id(life, K::Resource))
            } else {
                Registrable::Product(dice.id(life, K::Product))
            };
            C::ApplyRegistration { object }
        }
        "accept_registration" => C::AcceptRegistration { registration: dice.id(life, K::Registration) },
        "return_registration" => {
            C::ReturnRegistration { registration: dice.id(life, K::Registration), missing: text(dice) }
        }
        "review_registration" => C::ReviewRegistration { registration: dice.id(life, K::Registration) },
        "certify_registration" => C::CertifyRegistration { registration: dice.id(life, K::Registration) },
        "request_supply" => C::RequestSupply { resource: dice.id(life, K::Resource), need: text(dice) },
        "confirm_supply" => C::ConfirmSupply { supply: dice.id(life, K::Supply), narrowing: Box::new(narrowing(dice)) },
        "refuse_supply" => C::RefuseSupply { supply: dice.id(life, K::Supply), basis: text(dice) },
        "withdraw_supply" => C::WithdrawSupply { supply: dice.id(life, K::Supply), reason: text(dice) },
        "set_privacy_budget" => {
            let rho = dice.one_of(&["0.5", "0", "1000", "0.000000001"]).parse().unwrap();
            C::SetPrivacyBudget { supply: dice.id(life, K::Supply), rho, reason: text(dice) }
        }
        "draft_plan" => C::DraftPlan { details: Box::new(plan_details(dice, life)) },
        "submit_plan" => C::SubmitPlan { plan: dice.id(life, K::Plan), minutes: text(dice) },
        "approve_plan" => C::ApprovePlan { plan: dice.id(life, K::Plan), document: text(dice) },
        "return_plan" => C::ReturnPlan { plan: dice.id(life, K::Plan), reason: text(dice) },
        "draft_mandate" => C::DraftMandate { details: Box::new(mandate_details(dice, life)) },
        "approve_mandate" => C::ApproveMandate { mandate: dice.id(life, K::Mandate) },
        "sign_agreement" => C::SignAgreement { mandate: dice.id(life, K::Mandate) },
        "suspend_mandate" => C::SuspendMandate { mandate: dice.id(life, K::Mandate), reason: text(dice) },
        "resume_mandate" => C::ResumeMandate { mandate: dice.id(life, K::Mandate), reason: text(dice) },
        "revoke_mandate" => C::RevokeMandate { mandate: dice.id(life, K::Mandate), reason: text(dice) },
        "apply_permit" => C::ApplyPermit { details: Box::new(permit_details(dice, life)) },
        "confirm_permit" => C::ConfirmPermit { permit: dice.id(life, K::Permit) },
        "give_opinion" => {
            C::GiveOpinion { permit: dice.id(life, K::Permit), agrees: !dice.once_in(4), text: text(dice) }
        }
        "approve_permit" => C::ApprovePermit { permit: dice.id(life, K::Permit) },
        "refuse_permit" => C::RefusePermit { permit: dice.id(life, K::Permit), reason: text(dice) },
        "suspend_permit" => C::SuspendPermit { permit: dice.id(life, K::Permit), reason: text(dice) },
        "resume_permit" => C::ResumePermit { permit: dice.id(life, K::Permit), reason: text(dice) },
        "draft_product" => C::DraftProduct { details: Box::new(product_details(dice, life)) },
        "review_product_output" => C::ReviewProductOutput { product: dice.id(life, K::Product), findings: text(dice) },
        "fix_permitted_revenue" => C::FixPermittedRevenue {
            operator: dice.id(life, K::Party),
            term: term(dice),
            cost: fen(dice),
            profit_rate: details::decimal(dice.one_of(&["0.06", "0", "-1", "0.08", "79228162514264337593543950335"])),
            tax: fen(dice),
            treasury_yield: details::decimal(dice.one_of(&["0.0175", "-79228162514264337593543950335", "5"])),
        },
        "set_ceiling" => {
            let ceiling = lingqu_domain::price::Ceiling {
                per_call: unit_price(dice),
                per_data_set: unit_price(dice),
                permitted_revenue: dice.id(life, K::PermittedRevenue),
            };
            C::SetCeiling { product: dice.id(life, K::Product), ceiling }
        }
        "set_price" => {
            let free_purposes = if dice.once_in(4) { purposes(dice) } else { BTreeSet::new() };
            let price = lingqu_domain::price::Price {
                per_call: unit_price(dice),
                per_data_set: unit_price(dice),
                free_purposes,
            };
            C::SetPrice { product: dice.id(life, K::Product), price }
        }
        "list_product" => C::ListProduct { product: dice.id(life, K::Product) },
        "delist_product" => C::DelistProduct { product: dice.id(life, K::Product), reason: text(dice) },
        "place_order" => C::PlaceOrder { details: Box::new(order_details(dice, life)) },
        "sign_contract" => {
            let order: lingqu_domain::id::OrderId = dice.id(life, K::Order);
            let signed = life.world.state.orders.get(&order).map(|order| order.value.contract.terms_digest.clone());
            let terms_digest = signed.filter(|_| !dice.once_in(8)).unwrap_or_else(|| terms(life, "nothing"));
            C::SignContract { order, terms_digest }
        }
        "issue_service_key" => {
            C::IssueServiceKey { order: dice.id(life, K::Order), hash: lingqu_crypto::sha256(b"key").to_string() }
        }
        "revoke_service_key" => {
            let order: lingqu_domain::id::OrderId = dice.id(life, K::Order);
            let keys = life.world.state.orders.get(&order).map(|order| order.value.service_keys.clone());
            let key =
                keys.and_then(|keys| keys.first().map(|key| key.id.clone())).unwrap_or_else(|| life.id("nothing"));
            C::RevokeServiceKey { order, key }
        }
        "give_key_shares" => {
            let digits = dice.below(3);
            let order: lingqu_domain::id::OrderId = dice.id(life, K::Order);
            let mut commitments = details::commitments(digits);
            if let Some(found) = life.world.state.orders.get(&order).filter(|_| !dice.once_in(8)) {
                let (consumer, product) = (&found.value.consumer, &found.value.details.product);
                commitments.code_epoch = lingqu_domain::marking::code_epoch(&life.world.state, consumer, product);
            }
            C::GiveKeyShares { order, commitments: Box::new(commitments) }
        }
        "renew_mark_keys" => C::RenewMarkKeys { order: dice.id(life, K::Order), reason: text(dice) },
        "suspend_order" => C::SuspendOrder { order: dice.id(life, K::Order), reason: text(dice) },
        "resume_order" => C::ResumeOrder { order: dice.id(life, K::Order), reason: text(dice) },
        "end_order" => C::EndOrder { order: dice.id(life, K::Order), reason: text(dice) },
        "give_consent" => {
            let mut consent = details::consent(life);
            consent.consumer = dice.id(life, K::Party);
            consent.purpose = purpose(dice);
            consent.term = term(dice);
            C::GiveConsent { details: Box::new(consent) }
        }
        "withdraw_consent" => C::WithdrawConsent { consent: dice.id(life, K::Consent) },
        "narrow_consent" => {
            C::NarrowConsent { consent: dice.id(life, K::Consent), limits: Box::new(consent_limits(dice, life)) }
        }
        "record_consents" => {
            let details = Box::new(details::consent(life));
            let count = dice.one_of(&[0, 1, 2, MEMBERS_MAX, MEMBERS_MAX + 1]);
            C::RecordConsents { details, count, digest: lingqu_crypto::sha256(b"members").to_string() }
        }
        "withdraw_batched_consent" => C::WithdrawBatchedConsent {
            batch: dice.id(life, K::ConsentBatch),
            member: dice.one_of(&[0, 1, 2, u32::MAX]),
        },
        "narrow_batched_consent" => C::NarrowBatchedConsent {
            batch: dice.id(life, K::ConsentBatch),
            member: dice.one_of(&[0, 1, 2]),
            limits: Box::new(consent_limits(dice, life)),
        },
        "close_meter" => {
            let numbers = [0, 1, 17, 1_000, u64::MAX];
            let mut reading = details::reading(dice.id(life, K::Order), 0, dice.one_of(&numbers), dice.below(4) as u64);
            reading.first_position = 50 * dice.below(30) as u64;
            reading.end_position = reading.first_position + dice.one_of(&[0, 1, 50, 200]);
            C::CloseMeter { readings: vec![reading] }
        }
        "propose_meter_correction" => {
            let meter: lingqu_domain::id::MeterId = dice.id(life, K::Meter);
            let read = life.world.state.meters.get(&meter).map_or((0, 0), |meter| meter.value.charged());
            let calls = dice.one_of(&[0, read.0 / 2, read.0, read.0.saturating_add(1)]);
            C::ProposeMeterCorrection { meter, calls, data_sets: dice.one_of(&[0, read.1]), reason: text(dice) }
        }
        "agree_meter_correction" => {
            let meter: lingqu_domain::id::MeterId = dice.id(life, K::Meter);
            let proposal = life.world.state.meters.get(&meter).and_then(|meter| meter.value.proposal.clone());
            let (calls, data_sets) = proposal.map_or((0, 0), |proposal| (proposal.calls, proposal.data_sets));
            C::AgreeMeterCorrection { meter, calls, data_sets }
        }
        "reverse_settlement" => C::ReverseSettlement { settlement: dice.id(life, K::Settlement), reason: text(dice) },
        "close_settlement" => C::CloseSettlement { period: text(dice) },
        "confirm_settlement" => C::ConfirmSettlement { settlement: dice.id(life, K::Settlement) },
        "record_voucher" => {
            let settlement: lingqu_domain::id::SettlementId = dice.id(life, K::Settlement);
            C::RecordVoucher { settlement, number: text(dice), amount: fen(dice) }
        }
        other => panic!("no random {other}: add one here, so that the properties hold for it too"),
    }
}
