//! The life of data, step by step: from an empty node to money paid in to the treasury.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::OnceLock;

use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::command::Command;
use lingqu_domain::consent_batch::members_digest;
use lingqu_domain::grant::Grant;
use lingqu_domain::id::{PartyId, SubjectId, UserId};
use lingqu_domain::party::{Organisation, PartyDetails, Role, Tier};
use lingqu_domain::refusal::Refusal;
use lingqu_domain::registration::Registrable;
use lingqu_domain::resource::{Nature, ResourceDetails};
use lingqu_domain::scope::{Mode, Term};

use crate::details;
use crate::world::{World, at, created};

/// The users of a party, one post each.
#[derive(Clone)]
pub struct Member {
    pub party: PartyId,
    pub admin: Actor,
    pub handler: Actor,
    pub approver: Actor,
    pub officer: Actor,
}

/// A node somewhere in the life of data. Parties and entities are found by the names the steps give them; what does not
/// exist yet has an id that is well formed and belongs to nothing.
#[derive(Clone)]
pub struct Life {
    pub world: World,
    members: BTreeMap<&'static str, Member>,
    ids: BTreeMap<&'static str, String>,
}

type Step = (&'static str, fn(&mut Life));

/// The steps in their order; each leaves the node in a state of its own.
pub const STEPS: &[Step] = &[
    ("empty", |_| {}),
    ("initialised", initialise),
    ("parties", parties),
    ("resources drafted", draft_resources),
    ("resources signed", sign_resources),
    ("snapshots", snapshots),
    ("quality", quality),
    ("registrations applied", apply_registrations),
    ("registrations accepted", |life| registrations(life, Stage::Accept, RESOURCES)),
    ("publicity", |life| registrations(life, Stage::Review, RESOURCES)),
    ("certified", certify_resources),
    ("supplies requested", request_supplies),
    ("supplies confirmed", confirm_supplies),
    ("plan drafted", draft_plan),
    ("plan submitted", submit_plan),
    ("plan approved", approve_plan),
    ("mandate drafted", draft_mandate),
    ("mandate approved", approve_mandate),
    ("agreement signed", sign_agreement),
    ("permits applied", apply_permits),
    ("permits confirmed", confirm_permits),
    ("opinions", give_opinions),
    ("permits approved", approve_permits),
    ("products drafted", draft_products),
    ("products reviewed", review_products),
    ("product registrations", register_products),
    ("products certified", certify_products),
    ("ceilings", set_ceilings),
    ("prices", set_prices),
    ("listed", list_products),
    ("orders placed", place_orders),
    ("contracts signed", sign_contracts),
    ("keys", issue_keys),
    ("consent", give_consent),
    ("consents recorded", record_consents),
    ("metered", close_meters),
    ("settled", close_settlement),
    ("confirmed", confirm_settlement),
    ("paid in", record_voucher),
];

const RESOURCES: &[&str] = &["flights", "weather", "drivers"];
const PRODUCTS: &[&str] = &["punctuality", "driver check"];
const ORDERS: &[&str] = &["insurer's order", "platform's order"];

impl Life {
    /// The life up to and including a step. The whole life is lived once; this is a copy from it.
    pub fn until(step: &str) -> Life {
        let index =
            STEPS.iter().position(|(name, _)| *name == step).unwrap_or_else(|| panic!("there is no step {step}"));
        Life::after(index).clone()
    }

    /// The whole life.
    pub fn whole() -> Life {
        Life::after(STEPS.len() - 1).clone()
    }

    /// The life after the step with an index.
    pub fn after(index: usize) -> &'static Life {
        static STAGES: OnceLock<Vec<Life>> = OnceLock::new();
        let stages = STAGES.get_or_init(|| {
            let mut life =
                Life { world: World::new("2026-11-02T01:00:00Z"), members: BTreeMap::new(), ids: BTreeMap::new() };
            let mut stages = Vec::new();
            for (_, step) in STEPS {
                step(&mut life);
                stages.push(life.clone());
            }
            stages
        });
        &stages[index]
    }

    /// The id of a named entity.
    pub fn id<I: FromStr>(&self, name: &str) -> I {
        if let Some(id) = self.ids.get(name) {
            return id.parse().unwrap_or_else(|_| panic!("{name} is {id}, of another kind"));
        }
        for prefix in [
            "pty", "res", "snp", "tkt", "reg", "rgt", "sup", "pln", "mdt", "pmt", "prd", "prv", "ord", "key", "cst",
            "csb", "stl", "mtr", "usr",
        ] {
            if let Ok(id) = format!("{prefix}_{:032}", 0).parse() {
                return id;
            }
        }
        panic!("{name} has an id of an unknown kind")
    }

    /// The id of a named entity that exists, as text.
    pub fn link(&self, name: &str) -> String {
        self.ids.get(name).cloned().unwrap_or_else(|| panic!("{name} does not exist yet"))
    }

    pub fn note(&mut self, name: &'static str, id: impl ToString) {
        self.ids.insert(name, id.to_string());
    }

    pub fn member(&self, name: &str) -> Member {
        let nobody = || {
            let user = Actor::User(self.id::<UserId>("nobody"));
            Member {
                party: self.id("nothing"),
                admin: user.clone(),
                handler: user.clone(),
                approver: user.clone(),
                officer: user,
            }
        };
        self.members.get(name).cloned().unwrap_or_else(nobody)
    }

    pub fn party(&self, name: &str) -> PartyId {
        self.member(name).party
    }

    pub fn handler(&self, name: &str) -> Actor {
        self.member(name).handler
    }

    pub fn approver(&self, name: &str) -> Actor {
        self.member(name).approver
    }

    pub fn officer(&self, name: &str) -> Actor {
        self.member(name).officer
    }

    /// The grant of a named order now.
    pub fn grant(&self, order: &str) -> Result<Grant, Refusal> {
        Grant::of(&self.world.state, &self.id(order), self.world.now)
    }

    /// Registers a party, whose first administrator gives it a user per post.
    pub fn admit(&mut self, name: &'static str, details: PartyDetails) {
        let authority = self.member("authority");
        let party: PartyId = created(&self.world.done(&authority.admin, Command::RegisterParty { details }));
        self.staff(name, party, &authority.admin);
    }

    /// Lets the users of one party take the part of another in the steps that follow.
    pub fn stand_in(&mut self, part: &'static str, name: &str) {
        self.members.insert(part, self.member(name));
    }

    /// Lives on from one step through others of the life.
    pub fn walk(&mut self, after: &str, through: &str) {
        let place = |wanted: &str| STEPS.iter().position(|(step, _)| *step == wanted).unwrap();
        for (_, step) in &STEPS[place(after) + 1..=place(through)] {
            step(self);
        }
    }

    fn staff(&mut self, name: &'static str, party: PartyId, first: &Actor) {
        let admin = self.add_user_as(first, &party, &[Duty::Administrator]);
        let mut post = |duty| self.add_user_as(&admin, &party, &[duty]);
        let (handler, approver, officer) = (post(Duty::Handler), post(Duty::Approver), post(Duty::ChiefDataOfficer));
        self.members.insert(name, Member { party, admin, handler, approver, officer });
    }

    /// Adds a user with some posts, by the party's administrator.
    pub fn add_user(&mut self, party: &PartyId, duties: &[Duty]) -> Actor {
        let admin =
            self.members.values().find(|member| member.party == *party).expect("a party of the life").admin.clone();
        self.add_user_as(&admin, party, duties)
    }

    fn add_user_as(&mut self, admin: &Actor, party: &PartyId, duties: &[Duty]) -> Actor {
        let duties: BTreeSet<Duty> = duties.iter().copied().collect();
        let command = Command::AddUser { party: party.clone(), duties };
        Actor::User(created(&self.world.done(admin, command)))
    }

    pub fn subject(&self) -> Actor {
        Actor::Subject(subject())
    }

    /// The provider of a named resource.
    pub fn provider_of(&self, resource: &str) -> Member {
        self.member(if resource == "drivers" { "traffic" } else { "airport" })
    }

    /// The consumer of a named order.
    pub fn consumer_of(&self, order: &str) -> Member {
        self.member(if order == "insurer's order" { "insurer" } else { "platform" })
    }

    fn draft_resource(&mut self, name: &'static str, details: ResourceDetails) {
        let handler = self.provider_of(name).handler;
        let command = Command::DraftResource { details: Box::new(details) };
        let id: lingqu_domain::id::ResourceId = created(&self.world.done(&handler, command));
        self.note(name, id);
    }
}

pub fn other_subject() -> SubjectId {
    "sub_00000000000000000000000000000002".parse().unwrap()
}

pub fn subject() -> SubjectId {
    "sub_00000000000000000000000000000001".parse().unwrap()
}

fn initialise(life: &mut Life) {
    let authority = details::party("数据主管部门", 1, Organisation::Department, &[Role::DataAuthority]);
    let command = Command::InitialiseNode { tier: Tier::Region, division: details::division(), authority };
    let recorded = life.world.done(&Actor::Node, command);
    let admin = Actor::User(created(&recorded));
    let party: PartyId = created(&recorded);
    let member = Member {
        party: party.clone(),
        admin: admin.clone(),
        handler: admin.clone(),
        approver: admin.clone(),
        officer: admin.clone(),
    };
    life.members.insert("authority", member);
    life.staff("authority", party, &admin);
}

fn parties(life: &mut Life) {
    use Organisation::{Department, Enterprise, PublicInstitution};
    for (serial, (name, organisation, role)) in [
        ("implementer", PublicInstitution, Role::Implementer),
        ("registrar", PublicInstitution, Role::Registrar),
        ("operator", Enterprise, Role::Operator),
        ("airport", Enterprise, Role::Provider),
        ("traffic", Department, Role::Provider),
        ("competent", Department, Role::CompetentDepartment),
        ("price", Department, Role::PriceAuthority),
        ("finance", Department, Role::Finance),
        ("insurer", Enterprise, Role::Consumer),
        ("platform", Enterprise, Role::Consumer),
        ("auditor", Department, Role::Auditor),
    ]
    .into_iter()
    .enumerate()
    {
        life.admit(name, details::party(name, 10 + serial as u32, organisation, &[role]));
    }
    let spare = life.add_user(&life.party("auditor"), &[Duty::Handler]);
    let Actor::User(user) = spare else { unreachable!("add_user makes a user") };
    life.world.done(&life.member("auditor").admin, Command::DisableUser { user });
}

fn draft_resources(life: &mut Life) {
    life.draft_resource("flights", details::flights());
    life.draft_resource("weather", details::weather());
    life.draft_resource("drivers", details::drivers());
}

fn sign_resources(life: &mut Life) {
    for name in RESOURCES {
        let resource = life.id(name);
        life.world.done(&life.provider_of(name).officer, Command::SignResource { resource });
    }
}

fn snapshots(life: &mut Life) {
    for name in RESOURCES {
        let nature = if *name == "drivers" { Nature::Synthetic } else { Nature::Real };
        let snapshot = details::snapshot(life, name, 0, nature);
        let resource = life.id(name);
        life.world.done(&life.provider_of(name).handler, Command::RecordSnapshot { resource, snapshot });
    }
}

fn quality(life: &mut Life) {
    let snapshot = details::snapshot(life, "flights", 0, Nature::Real).id;
    let report = Command::RecordQualityReport { resource: life.id("flights"), snapshot, results: details::results() };
    let recorded = life.world.done(&life.handler("airport"), report);
    life.note("ticket", created::<lingqu_domain::id::TicketId>(&recorded));
    let answer =
        Command::AnswerTicket { ticket: life.id("ticket"), answer: "取消的航班没有起飞时间".to_owned() };
    life.world.done(&life.handler("airport"), answer);
    let close = Command::CloseTicket { ticket: life.id("ticket"), verification: "抽查属实".to_owned() };
    life.world.done(&life.handler("authority"), close);
}

/// Applies for the registration of a named resource or product and notes it under `as_name`.
pub fn apply_registration(life: &mut Life, actor: &Actor, object: Registrable, as_name: &'static str) {
    let recorded = life.world.done(actor, Command::ApplyRegistration { object });
    life.note(as_name, created::<lingqu_domain::id::RegistrationId>(&recorded));
}

fn apply_registrations(life: &mut Life) {
    for (resource, registration) in
        RESOURCES.iter().zip(["flights registration", "weather registration", "drivers registration"])
    {
        let object = Registrable::Resource(life.id(resource));
        apply_registration(life, &life.provider_of(resource).handler, object, registration);
    }
}

#[derive(Clone, Copy)]
enum Stage {
    Accept,
    Review,
    Certify,
}

fn registrations(life: &mut Life, stage: Stage, names: &[&str]) {
    for name in names {
        let registration = life.id(&format!("{name} registration"));
        let registrar = life.member("registrar");
        match stage {
            Stage::Accept => life.world.done(&registrar.handler, Command::AcceptRegistration { registration }),
            Stage::Review => life.world.done(&registrar.approver, Command::ReviewRegistration { registration }),
            Stage::Certify => life.world.done(&registrar.approver, Command::CertifyRegistration { registration }),
        };
    }
}

fn certify_resources(life: &mut Life) {
    // Ten working days of publicity after Monday, 2 November end with the 16th.
    life.world.now = at("2026-11-17T01:00:00Z");
    registrations(life, Stage::Certify, RESOURCES);
}

fn request_supplies(life: &mut Life) {
    for (resource, supply) in RESOURCES.iter().zip(["flights supply", "weather supply", "drivers supply"]) {
        let command = Command::RequestSupply { resource: life.id(resource), need: format!("用于 {resource}") };
        let recorded = life.world.done(&life.handler("implementer"), command);
        life.note(supply, created::<lingqu_domain::id::SupplyId>(&recorded));
    }
}

fn confirm_supplies(life: &mut Life) {
    for name in RESOURCES {
        let supply = life.id(&format!("{name} supply"));
        let command = Command::ConfirmSupply { supply, narrowing: Box::default() };
        life.world.done(&life.provider_of(name).officer, command);
    }
}

fn draft_plan(life: &mut Life) {
    let command = Command::DraftPlan { details: Box::new(details::plan(life)) };
    let recorded = life.world.done(&life.handler("implementer"), command);
    life.note("plan", created::<lingqu_domain::id::PlanId>(&recorded));
}

fn submit_plan(life: &mut Life) {
    let command = Command::SubmitPlan { plan: life.id("plan"), minutes: "会议纪要 7 号".to_owned() };
    life.world.done(&life.approver("implementer"), command);
}

fn approve_plan(life: &mut Life) {
    let command = Command::ApprovePlan { plan: life.id("plan"), document: "批复 12 号".to_owned() };
    life.world.done(&life.approver("authority"), command);
}

fn draft_mandate(life: &mut Life) {
    let command = Command::DraftMandate { details: Box::new(details::mandate(life)) };
    let recorded = life.world.done(&life.handler("implementer"), command);
    life.note("mandate", created::<lingqu_domain::id::MandateId>(&recorded));
}

fn approve_mandate(life: &mut Life) {
    let command = Command::ApproveMandate { mandate: life.id("mandate") };
    life.world.done(&life.approver("implementer"), command);
}

fn sign_agreement(life: &mut Life) {
    for party in ["implementer", "operator"] {
        let command = Command::SignAgreement { mandate: life.id("mandate") };
        life.world.done(&life.approver(party), command);
    }
}

fn apply_permits(life: &mut Life) {
    let documents =
        [("insurance permit", details::insurance_permit(life)), ("licence permit", details::licence_permit(life))];
    for (name, details) in documents {
        let command = Command::ApplyPermit { details: Box::new(details) };
        let recorded = life.world.done(&life.handler("operator"), command);
        life.note(name, created::<lingqu_domain::id::PermitId>(&recorded));
    }
}

fn confirm_permits(life: &mut Life) {
    for (permit, provider) in [("insurance permit", "airport"), ("licence permit", "traffic")] {
        life.world.done(&life.officer(provider), Command::ConfirmPermit { permit: life.id(permit) });
    }
}

fn give_opinions(life: &mut Life) {
    for permit in ["insurance permit", "licence permit"] {
        let command = Command::GiveOpinion { permit: life.id(permit), agrees: true, text: "同意".to_owned() };
        life.world.done(&life.approver("competent"), command);
    }
}

fn approve_permits(life: &mut Life) {
    for permit in ["insurance permit", "licence permit"] {
        life.world.done(&life.approver("implementer"), Command::ApprovePermit { permit: life.id(permit) });
    }
}

fn draft_products(life: &mut Life) {
    for (name, details) in PRODUCTS.iter().zip([details::punctuality(life), details::driver_check(life)]) {
        let command = Command::DraftProduct { details: Box::new(details) };
        let recorded = life.world.done(&life.handler("operator"), command);
        life.note(name, created::<lingqu_domain::id::ProductId>(&recorded));
    }
}

fn review_products(life: &mut Life) {
    for name in PRODUCTS {
        let command =
            Command::ReviewProductOutput { product: life.id(name), findings: "输出不含原始数据".to_owned() };
        life.world.done(&life.approver("implementer"), command);
    }
}

fn register_products(life: &mut Life) {
    for (product, registration) in PRODUCTS.iter().zip(["punctuality registration", "driver check registration"]) {
        let object = Registrable::Product(life.id(product));
        apply_registration(life, &life.handler("operator"), object, registration);
    }
    registrations(life, Stage::Accept, PRODUCTS);
    registrations(life, Stage::Review, PRODUCTS);
}

fn certify_products(life: &mut Life) {
    life.world.now = at("2026-12-02T01:00:00Z");
    registrations(life, Stage::Certify, PRODUCTS);
}

fn set_ceilings(life: &mut Life) {
    let fix = Command::FixPermittedRevenue {
        operator: life.party("operator"),
        term: Term { from: at("2026-11-30T16:00:00Z"), until: at("2027-12-31T16:00:00Z") },
        cost: "100000".parse().unwrap(),
        profit_rate: details::decimal("0.06"),
        tax: "3000".parse().unwrap(),
        treasury_yield: details::decimal("0.0175"),
    };
    let recorded = life.world.done(&life.approver("price"), fix);
    life.note("revenue", created::<lingqu_domain::id::PermittedRevenueId>(&recorded));
    for name in PRODUCTS {
        let command = Command::SetCeiling { product: life.id(name), ceiling: details::ceiling(life) };
        life.world.done(&life.approver("implementer"), command);
    }
}

fn set_prices(life: &mut Life) {
    for name in PRODUCTS {
        let command = Command::SetPrice { product: life.id(name), price: details::price() };
        life.world.done(&life.approver("operator"), command);
    }
}

fn list_products(life: &mut Life) {
    for name in PRODUCTS {
        life.world.done(&life.approver("operator"), Command::ListProduct { product: life.id(name) });
    }
}

fn place_orders(life: &mut Life) {
    let served = [Mode::Verification, Mode::Statistics, Mode::Lookup, Mode::Rows, Mode::File];
    let orders = [
        details::order(life.id("punctuality"), "insurance/claim", &served),
        details::order(life.id("driver check"), "public/licence", &[Mode::Verification]),
    ];
    for (name, details) in ORDERS.iter().zip(orders) {
        let command = Command::PlaceOrder { details: Box::new(details) };
        let recorded = life.world.done(&life.consumer_of(name).handler, command);
        life.note(name, created::<lingqu_domain::id::OrderId>(&recorded));
    }
}

/// The digest of the terms of a named order.
pub fn terms(life: &Life, order: &str) -> String {
    let orders = &life.world.state.orders;
    orders.get(&life.id(order)).map(|order| order.value.contract.terms_digest.clone()).unwrap_or_default()
}

fn sign_contracts(life: &mut Life) {
    for name in ORDERS {
        let command = Command::SignContract { order: life.id(name), terms_digest: terms(life, name) };
        life.world.done(&life.consumer_of(name).approver, command.clone());
        life.world.done(&life.approver("operator"), command);
    }
}

fn issue_keys(life: &mut Life) {
    for name in ORDERS {
        life.world.done(
            &life.consumer_of(name).handler,
            Command::IssueServiceKey { order: life.id(name), hash: lingqu_crypto::sha256(b"key").to_string() },
        );
    }
}

fn give_consent(life: &mut Life) {
    let command = Command::GiveConsent { details: Box::new(details::consent(life)) };
    let recorded = life.world.done(&life.subject(), command);
    life.note("consent", created::<lingqu_domain::id::ConsentId>(&recorded));
}

fn record_consents(life: &mut Life) {
    let details = Box::new(details::consent(life));
    let digest = members_digest(&[subject(), other_subject()]).to_string();
    let recorded = life.world.done(&Actor::Node, Command::RecordConsents { details, count: 2, digest });
    life.note("consents", created::<lingqu_domain::id::ConsentBatchId>(&recorded));
}

fn close_meters(life: &mut Life) {
    for reading in [
        details::reading(life.id("insurer's order"), 0, 1_234, 1),
        details::reading(life.id("insurer's order"), 100, 1, 0),
        details::reading(life.id("platform's order"), 0, 40, 0),
    ] {
        let recorded = life.world.done(&Actor::Node, Command::CloseMeter { readings: vec![reading] });
        life.note("meter", created::<lingqu_domain::id::MeterId>(&recorded));
    }
}

fn close_settlement(life: &mut Life) {
    let recorded =
        life.world.done(&life.approver("operator"), Command::CloseSettlement { period: "2026-12".to_owned() });
    life.note("settlement", created::<lingqu_domain::id::SettlementId>(&recorded));
}

fn confirm_settlement(life: &mut Life) {
    let command = Command::ConfirmSettlement { settlement: life.id("settlement") };
    life.world.done(&life.approver("implementer"), command);
}

/// The fee of the insurer is 1,235 calls at 0.0325 yuan, rounded once, and one data set: 40.14 + 2,400 = 2,440.14 yuan;
/// a fifth of it is the treasury's.
pub const DUE: &str = "488.03";

fn record_voucher(life: &mut Life) {
    let command = Command::RecordVoucher {
        settlement: life.id("settlement"),
        number: "非税 0001".to_owned(),
        amount: DUE.parse().unwrap(),
    };
    life.world.done(&life.handler("finance"), command);
}
