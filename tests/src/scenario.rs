//! A small node with the life of data behind it: parties, two resources, permits and four listed products, made by the
//! same commands that people give. What a test wants of orders, consents and suspensions it asks for.
//!
//! `trips` is an open resource of any size, with values that follow from the row's number so that a test can tell what it
//! must get; `people` is a personal one, served with consent.

mod by_line;
mod consented;
mod counted;
mod decoyed;
mod live;
mod marked;
mod noised;
mod renumbered;
mod reopened;
mod shared;
mod sighted;
mod visited;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lingqu_app::{App, AppSettings, Clock, NewUser, PasswordCost};
use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::calendar::Calendar;
use lingqu_domain::command::Command;
use lingqu_domain::consent::ConsentDetails;
use lingqu_domain::id::{
    ConsentId, MandateId, OrderId, PartyId, PermitId, PermittedRevenueId, PlanId, ProductId, RegistrationId,
    ResourceId, SupplyId,
};
use lingqu_domain::mandate::{MandateDetails, RevenueTerms};
use lingqu_domain::order::{OrderDetails, Quota};
use lingqu_domain::party::{Division, Organisation, PartyDetails, Role, Tier};
use lingqu_domain::permit::PermitDetails;
use lingqu_domain::plan::{AuthorisationMode, PlanDetails, PlanItem};
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::price::{Ceiling, Price};
use lingqu_domain::privacy::Rho;
use lingqu_domain::product::{ProductDetails, ProductShape};
use lingqu_domain::registration::{Registrable, RegistrationStage};
use lingqu_domain::resource::{Column, DataType, Grade, Nature, Openness, ResourceDetails, Sharing};
use lingqu_domain::scope::{ColumnName, Mode, Narrowing, Precision, Precisions, Purpose, Term};
use lingqu_engine::source::SourceOptions;
use lingqu_ledger::{Fen, UnitPrice};
use rust_decimal::Decimal;
use tempfile::TempDir;
use zeroize::Zeroizing;

pub use by_line::{BUSY_LINES, TRIP_BY_LINE, TRIPS_BY_LINE};
pub use consented::{RIDE_RECORDS, RIDES, rider_of};
pub use counted::{TRIP_VEHICLES, VEHICLES, vehicle_of_row};
pub use decoyed::TRIP_DECOYED;
pub use live::{FLEET_NOW, FLEET_SQL, RESIDENT_NOW};
pub use marked::{TRIP_MARKED, TRIP_MARKED_OMITTED};
pub use noised::{NOISED_LINES, TRIP_NOISED};
pub use renumbered::TRIP_RENUMBERED;
pub use shared::{PERSON_SHARED, TRIP_SHARED, TRIP_SHARED_ROWS};
pub use sighted::{SIGHTED_AT, SIGHTED_EXACT, SIGHTED_FARE, SIGHTED_PLACE, SIGHTED_STREET, SIGHTINGS};
pub use visited::{PERSON_VISITS, VISITORS, VISITS_OF_EACH};

/// Verification of trips: key `trip_id`, columns `line` and `late`.
pub const TRIP_CHECK: &str = "trip_check";
/// Statistics of trips: dimensions `line` and `day`, cohort floor 10.
pub const TRIP_STATISTICS: &str = "trip_statistics";
/// Trips by lookup, rows and file; `vehicle` is a pseudonym of the consumer there.
pub const TRIP_RECORDS: &str = "trip_records";
/// Verification of people with their consent: key `id_number`, column `qualified`.
pub const PERSON_CHECK: &str = "person_check";
/// Trips of line `L1` alone, for the bypass suite (see [`Scenario::open_guarded`]): the other lines are in the product's files and
/// behind its row condition, `day` leaves as its year, `vehicle` as a pseudonym, `note` not at all.
pub const TRIP_GUARDED: &str = "trip_guarded";
/// What the products may be used for.
pub const PURPOSE: &str = "service/check";

/// A party of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// 数据主管部门
    Authority,
    /// 实施机构
    Implementer,
    /// 登记机构
    Registrar,
    /// 运营机构
    Operator,
    /// The provider, an enterprise that is a competent department of nothing.
    Provider,
    /// 行业主管部门
    Competent,
    /// 发展改革
    Price,
    /// 财政
    Treasury,
    /// The first consumer.
    First,
    /// The second consumer.
    Second,
    /// 审计
    Auditor,
}

const PARTIES: [(Who, Organisation, Role); 11] = [
    (Who::Authority, Organisation::Department, Role::DataAuthority),
    (Who::Implementer, Organisation::PublicInstitution, Role::Implementer),
    (Who::Registrar, Organisation::PublicInstitution, Role::Registrar),
    (Who::Operator, Organisation::Enterprise, Role::Operator),
    (Who::Provider, Organisation::Enterprise, Role::Provider),
    (Who::Competent, Organisation::Department, Role::CompetentDepartment),
    (Who::Price, Organisation::Department, Role::PriceAuthority),
    (Who::Treasury, Organisation::Department, Role::Finance),
    (Who::First, Organisation::Enterprise, Role::Consumer),
    (Who::Second, Organisation::Enterprise, Role::Consumer),
    (Who::Auditor, Organisation::Department, Role::Auditor),
];

/// An order with its service key.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// The order.
    pub id: OrderId,
    /// The product's table name.
    pub product: &'static str,
    /// The key, as a client sends it.
    pub key: String,
}

/// One row of `trips`, as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trip {
    /// The key.
    pub trip_id: usize,
    /// `L0` to `L4`; every 1,000th trip is of the small line `L9`.
    pub line: String,
    /// The day.
    pub day: String,
    /// Minutes late; missing for every seventh trip.
    pub delay: Option<i64>,
    /// The vehicle, an identifier.
    pub vehicle: String,
    /// A text of some length.
    pub note: String,
}

impl Trip {
    /// The trip of a number.
    pub fn of(trip_id: usize) -> Trip {
        Trip {
            trip_id,
            line: if trip_id % 1_000 == 999 { "L9".to_owned() } else { format!("L{}", trip_id % 5) },
            day: format!("2025-03-{:02}", trip_id % 28 + 1),
            delay: if trip_id % 7 == 3 { None } else { Some((trip_id % 120) as i64) },
            vehicle: format!("GX-{:05}", trip_id % 300),
            note: format!("行程 {trip_id:08}，{}", "途经各站，无异常。".repeat(12)),
        }
    }
}

/// A node with listed products.
pub struct Scenario {
    /// The node.
    pub app: Arc<App>,
    /// Trips there are.
    pub trips: usize,
    directory: TempDir,
    parties: BTreeMap<Who, PartyId>,
    clerks: BTreeMap<Who, Actor>,
    chiefs: BTreeMap<Who, Actor>,
    resources: BTreeMap<&'static str, ResourceId>,
    mandate: Option<MandateId>,
    permits: BTreeMap<&'static str, PermitId>,
    permitted_revenue: Option<PermittedRevenueId>,
    products: BTreeMap<&'static str, ProductId>,
}

impl Scenario {
    /// A node with `trips` trips on a database (SQLite in its directory when there is no URL).
    pub async fn open(database_url: Option<String>, trips: usize) -> Scenario {
        Scenario::make(database_url, trips, false, None, None).await
    }

    /// The same with the product [`TRIP_GUARDED`], on SQLite.
    pub async fn open_guarded(trips: usize) -> Scenario {
        Scenario::make(None, trips, true, None, None).await
    }

    /// A node whose clock runs some days behind the machine's, so that a test can let time pass. On SQLite.
    pub async fn open_behind(trips: usize, days: u32) -> Scenario {
        Scenario::make_behind(None, trips, false, None, None, days).await
    }

    async fn make(
        database_url: Option<String>,
        trips: usize,
        is_guarded: bool,
        noised: Option<(Rho, Rho)>,
        department_url: Option<&str>,
    ) -> Scenario {
        Scenario::make_behind(database_url, trips, is_guarded, noised, department_url, 0).await
    }

    async fn make_behind(
        database_url: Option<String>,
        trips: usize,
        is_guarded: bool,
        noised: Option<(Rho, Rho)>,
        department_url: Option<&str>,
        days_behind: u32,
    ) -> Scenario {
        let behind = SignedDuration::from_hours(24 * i64::from(days_behind));
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let settings = AppSettings {
            database_url,
            clock: Clock::behind(SignedDuration::from_hours(24 * 400) + behind),
            password_cost: PasswordCost::Least,
            ..AppSettings::of(directory.path().join("node"))
        };
        let app = App::open(settings).await.expect("a fresh node opens");
        let mut scenario = Scenario {
            app,
            trips,
            directory,
            parties: BTreeMap::new(),
            clerks: BTreeMap::new(),
            chiefs: BTreeMap::new(),
            resources: BTreeMap::new(),
            mandate: None,
            permits: BTreeMap::new(),
            permitted_revenue: None,
            products: BTreeMap::new(),
        };
        scenario.assemble().await;
        scenario.bring_in(department_url).await;
        scenario.permits = scenario.authorise().await;
        scenario.offer().await;
        if is_guarded {
            scenario.guard().await;
        }
        if department_url.is_some() {
            scenario.offer_live().await;
        }
        if let Some((budget, rho)) = noised {
            scenario.offer_noised(budget, rho).await;
        }
        // What follows happens at the machine's time, or as far behind it as was wanted.
        let left = scenario.app.clock().advance(SignedDuration::ZERO);
        scenario.app.clock().advance(left - behind);
        scenario
    }

    /// Places an order, signs its contract by both sides and issues a key.
    pub async fn order(&self, consumer: Who, product: &'static str, modes: &[Mode], quota: (u64, u64)) -> Ordered {
        let quota = Quota { calls: quota.0, data_sets: quota.1, ..Quota::default() };
        self.order_with(consumer, product, modes, quota).await
    }

    /// The same with any quota.
    pub async fn order_with(&self, consumer: Who, product: &'static str, modes: &[Mode], quota: Quota) -> Ordered {
        let details = OrderDetails {
            product: self.products[product].clone(),
            purpose: Purpose(PURPOSE.to_owned()),
            modes: modes.iter().copied().collect(),
            term: self.term_days(30),
            quota,
        };
        let place = Command::PlaceOrder { details: Box::new(details) };
        let id: OrderId = self.give(&self.clerks[&consumer], place, "order.placed").await;
        let terms_digest = self.app.read(|state| state.orders[&id].value.contract.terms_digest.clone());
        for party in [consumer, Who::Operator] {
            let sign = Command::SignContract { order: id.clone(), terms_digest: terms_digest.clone() };
            self.act(&self.chiefs[&party], sign).await;
        }
        let key = self.app.issue_service_key(&self.clerks[&consumer], &id, Default::default()).await;
        Ordered { id, product, key: key.expect("the order is active").key.to_string() }
    }

    /// A person's consent to the first consumer.
    pub async fn consent(&self, id_number: &str) -> ConsentId {
        self.app.give_consent(id_number, self.consent_details()).await.expect("a subject may consent")
    }

    /// What such a consent permits.
    pub fn consent_details(&self) -> ConsentDetails {
        ConsentDetails {
            consumer: self.parties[&Who::First].clone(),
            purpose: Purpose(PURPOSE.to_owned()),
            resources: BTreeSet::from([self.resources["people"].clone()]),
            fields: BTreeMap::new(),
            term: self.term_days(1),
            statement: "本人同意核验本人是否符合条件，有效期一天，可随时撤回。".to_owned(),
        }
    }

    /// Suspends the mandate that all products stand on.
    pub async fn suspend_mandate(&self, reason: &str) {
        let mandate = self.mandate.clone().expect("the scenario has a mandate");
        let suspend = Command::SuspendMandate { mandate, reason: reason.to_owned() };
        self.act(&self.chiefs[&Who::Implementer], suspend).await;
    }

    /// Resumes it.
    pub async fn resume_mandate(&self) {
        let mandate = self.mandate.clone().expect("the scenario has a mandate");
        let resume = Command::ResumeMandate { mandate, reason: "已整改".to_owned() };
        self.act(&self.chiefs[&Who::Implementer], resume).await;
    }

    /// A party's handler.
    pub fn clerk(&self, who: Who) -> &Actor {
        &self.clerks[&who]
    }

    /// A party's approver.
    pub fn chief(&self, who: Who) -> &Actor {
        &self.chiefs[&who]
    }

    /// The id of a party.
    pub fn party(&self, who: Who) -> &PartyId {
        &self.parties[&who]
    }

    /// The id of a resource.
    pub fn resource(&self, table: &str) -> &ResourceId {
        &self.resources[table]
    }

    /// The mandate that all products stand on.
    pub fn mandate(&self) -> MandateId {
        self.mandate.clone().expect("the scenario has a mandate")
    }

    /// The id of a product.
    pub fn product(&self, table: &str) -> &ProductId {
        &self.products[table]
    }

    /// The scenario's directory; the node's is in it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Gives a command and answers what it made, by the kind of event.
    pub async fn give<T: FromStr>(&self, actor: &Actor, command: Command, kind: &str) -> T {
        let name = command.name();
        let executed = self.app.execute(actor, command, Default::default()).await;
        let executed = executed.unwrap_or_else(|error| panic!("{name}: {error}"));
        let stream = executed.stream_of(kind).unwrap_or_else(|| panic!("{name} led to no {kind}"));
        stream.parse().unwrap_or_else(|_| panic!("{stream} is not the id of {kind}"))
    }

    /// Gives a command.
    pub async fn act(&self, actor: &Actor, command: Command) {
        let name = command.name();
        if let Err(error) = self.app.execute(actor, command, Default::default()).await {
            panic!("{name}: {error}");
        }
    }

    fn term_days(&self, days: i64) -> Term {
        let from = self.app.now();
        Term { from, until: from.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX) }
    }

    async fn assemble(&mut self) {
        let password = "scenario-password-1";
        let authority = party_details(0, Organisation::Department, Role::DataAuthority);
        let name = Zeroizing::new("管理员".to_owned());
        let admin = self.app.initialise(Tier::Region, division(), authority, "admin", name, password).await;
        let admin = Actor::User(admin.expect("a fresh node can be initialised"));
        for (serial, (who, organisation, role)) in PARTIES.into_iter().enumerate() {
            let party = if who == Who::Authority {
                self.app.read(|state| state.parties.keys().next().cloned()).expect("the node has its authority")
            } else {
                let register = Command::RegisterParty { details: party_details(serial, organisation, role) };
                self.give(&admin, register, "party.registered").await
            };
            self.parties.insert(who, party.clone());
            let add = async |actor: &Actor, word: &str, duties: BTreeSet<Duty>| {
                let new = NewUser {
                    party: party.clone(),
                    duties,
                    login: format!("{word}{serial}"),
                    display_name: Zeroizing::new(format!("{word} {serial}")),
                    password: Zeroizing::new(password.to_owned()),
                };
                Actor::User(self.app.add_user(actor, new, Default::default()).await.expect("the login is free"))
            };
            // The data authority gives each party its first administrator, who adds the others.
            let own_admin = match who {
                Who::Authority => admin.clone(),
                _ => add(&admin, "admin", BTreeSet::from([Duty::Administrator])).await,
            };
            let clerk = BTreeSet::from([Duty::Handler]);
            let chief = match who {
                Who::Provider => BTreeSet::from([Duty::ChiefDataOfficer]),
                _ => BTreeSet::from([Duty::Approver]),
            };
            let (clerk, chief) = (add(&own_admin, "clerk", clerk).await, add(&own_admin, "chief", chief).await);
            self.clerks.insert(who, clerk);
            self.chiefs.insert(who, chief);
        }
    }

    async fn bring_in(&mut self, department_url: Option<&str>) {
        let clerk = self.clerks[&Who::Provider].clone();
        let mut registrations = Vec::new();
        for (details, csv) in [(trips_details(), trips_csv(0..self.trips)), (people_details(), people_csv())] {
            let table = if details.subject.is_some() { "people" } else { "trips" };
            let file = self.directory.path().join(format!("{table}.csv"));
            std::fs::write(&file, csv).expect("the temporary directory is writable");
            let draft = Command::DraftResource { details: Box::new(details) };
            let resource: ResourceId = self.give(&clerk, draft, "resource.drafted").await;
            let imported = self.app.import_snapshot(&clerk, &resource, &file, SourceOptions::default()).await;
            imported.expect("the source is as its catalogue entry says");
            self.act(&self.chiefs[&Who::Provider], Command::SignResource { resource: resource.clone() }).await;
            let apply = Command::ApplyRegistration { object: Registrable::Resource(resource.clone()) };
            registrations.push(self.give(&clerk, apply, "registration.applied").await);
            self.resources.insert(table, resource);
        }
        if let Some(url) = department_url {
            registrations.extend(self.declare_live_tables(url).await);
        }
        self.certify(&registrations).await;
    }

    /// Takes in a newer snapshot of trips.
    async fn replace_trips(&self, csv: String) {
        let file = self.directory.path().join("newer.csv");
        std::fs::write(&file, csv).expect("the temporary directory is writable");
        let (clerk, trips) = (&self.clerks[&Who::Provider], &self.resources["trips"]);
        let imported = self.app.import_snapshot(clerk, trips, &file, SourceOptions::default()).await;
        imported.expect("the source is as its catalogue entry says");
    }

    /// Takes in one resource more, has it certified and authorised, and obtains a permit of it. The scenario's clock must run some
    /// weeks behind.
    async fn add_resource(&mut self, table: &'static str, details: ResourceDetails, csv: String, narrowing: Narrowing) {
        let clerk = self.clerks[&Who::Provider].clone();
        let draft = Command::DraftResource { details: Box::new(details) };
        let resource: ResourceId = self.give(&clerk, draft, "resource.drafted").await;
        let file = self.directory.path().join(format!("{table}.csv"));
        std::fs::write(&file, csv).expect("the temporary directory is writable");
        let imported = self.app.import_snapshot(&clerk, &resource, &file, SourceOptions::default()).await;
        imported.expect("the source is as its catalogue entry says");
        self.act(&self.chiefs[&Who::Provider], Command::SignResource { resource: resource.clone() }).await;
        let apply = Command::ApplyRegistration { object: Registrable::Resource(resource.clone()) };
        let registration: RegistrationId = self.give(&clerk, apply, "registration.applied").await;
        self.certify(&[registration]).await;
        self.resources.insert(table, resource.clone());
        let plan = self.approve_plan([&resource].into_iter()).await;
        let mandate = self.agree_on_mandate(plan, BTreeMap::from([(resource, Narrowing::default())]), 365).await;
        let permit = self.obtain_permit(&mandate, format!("{table} 场景"), table, narrowing).await;
        self.permits.insert(table, permit);
    }

    async fn certify(&self, registrations: &[RegistrationId]) {
        let (clerk, chief) = (&self.clerks[&Who::Registrar], &self.chiefs[&Who::Registrar]);
        for registration in registrations {
            self.act(clerk, Command::AcceptRegistration { registration: registration.clone() }).await;
            self.act(chief, Command::ReviewRegistration { registration: registration.clone() }).await;
        }
        for registration in registrations {
            let mut days = 0;
            while !self.is_publicity_over(registration) {
                // The clock stops at the machine's time.
                assert!(days < 60, "the publicity period of {registration} does not end");
                self.app.clock().advance(SignedDuration::from_hours(24));
                days += 1;
            }
            self.act(chief, Command::CertifyRegistration { registration: registration.clone() }).await;
        }
    }

    fn is_publicity_over(&self, registration: &RegistrationId) -> bool {
        let now = self.app.now();
        self.app.read(|state| match &state.registrations[registration].value.stage {
            RegistrationStage::Publicity { until, .. } => Calendar::has_passed(*until, now),
            _ => false,
        })
    }

    /// Supply, plan, mandate, agreement; then a permit for each resource.
    async fn authorise(&mut self) -> BTreeMap<&'static str, PermitId> {
        let plan = self.approve_plan(self.resources.values()).await;
        let items = self.resources.values().map(|resource| (resource.clone(), Narrowing::default())).collect();
        let mandate = self.agree_on_mandate(plan, items, 800).await;
        self.mandate = Some(mandate.clone());

        let mut permits = BTreeMap::new();
        let narrowings = [
            ("trips", trips_narrowing()),
            ("people", people_narrowing()),
            ("fleet", Scenario::fleet_narrowing()),
            ("residents", Scenario::residents_narrowing()),
        ];
        for (table, narrowing) in narrowings.into_iter().filter(|(table, _)| self.resources.contains_key(table)) {
            let permit = self.obtain_permit(&mandate, format!("{table} 场景"), table, narrowing).await;
            permits.insert(table, permit);
        }
        permits
    }

    /// Has the supply of resources confirmed and a plan over them approved.
    async fn approve_plan<'r>(&self, resources: impl Iterator<Item = &'r ResourceId>) -> PlanId {
        let mut items = BTreeMap::new();
        for resource in resources {
            let request = Command::RequestSupply { resource: resource.clone(), need: "授权运营".to_owned() };
            let supply: SupplyId = self.give(&self.clerks[&Who::Implementer], request, "supply.requested").await;
            let confirm = Command::ConfirmSupply { supply: supply.clone(), narrowing: Box::default() };
            self.act(&self.chiefs[&Who::Provider], confirm).await;
            items.insert(resource.clone(), PlanItem { supply, narrowing: Narrowing::default() });
        }
        let plan = PlanDetails {
            name: "实施方案".to_owned(),
            need: "按场景授权".to_owned(),
            mode: AuthorisationMode::ByScenario,
            items,
            operator_selection: "公开招标".to_owned(),
            term: self.term_days(900),
            products_and_revenue: "核验、统计、数据集".to_owned(),
            security_and_exit: "原始数据不出域".to_owned(),
        };
        let draft = Command::DraftPlan { details: Box::new(plan) };
        let plan: PlanId = self.give(&self.clerks[&Who::Implementer], draft, "plan.drafted").await;
        let implementer = self.chiefs[&Who::Implementer].clone();
        self.act(&implementer, Command::SubmitPlan { plan: plan.clone(), minutes: "会议纪要".to_owned() }).await;
        let approve = Command::ApprovePlan { plan: plan.clone(), document: "同意函".to_owned() };
        self.act(&self.chiefs[&Who::Authority], approve).await;
        plan
    }

    /// Drafts a mandate over a plan's resources and has it approved and signed by both sides.
    async fn agree_on_mandate(&self, plan: PlanId, items: BTreeMap<ResourceId, Narrowing>, days: i64) -> MandateId {
        let implementer = &self.chiefs[&Who::Implementer];
        let mandate = MandateDetails {
            name: "授权".to_owned(),
            plan,
            operator: self.parties[&Who::Operator].clone(),
            items,
            term: self.term_days(days),
            selection: "中标通知书".to_owned(),
            revenue: RevenueTerms {
                treasury: self.parties[&Who::Treasury].clone(),
                treasury_rate: Decimal::new(15, 2),
                provider_rates: BTreeMap::new(),
            },
            clauses: "不得转授权".to_owned(),
        };
        let draft = Command::DraftMandate { details: Box::new(mandate) };
        let mandate: MandateId = self.give(&self.clerks[&Who::Implementer], draft, "mandate.drafted").await;
        self.act(implementer, Command::ApproveMandate { mandate: mandate.clone() }).await;
        self.act(implementer, Command::SignAgreement { mandate: mandate.clone() }).await;
        self.act(&self.chiefs[&Who::Operator], Command::SignAgreement { mandate: mandate.clone() }).await;
        mandate
    }

    /// Applies for a permit of one table under a mandate and has it confirmed, agreed to and approved.
    async fn obtain_permit(
        &self,
        mandate: &MandateId,
        scenario: String,
        table: &str,
        narrowing: Narrowing,
    ) -> PermitId {
        let details = PermitDetails {
            mandate: mandate.clone(),
            scenario,
            competent: self.parties[&Who::Competent].clone(),
            purposes: BTreeSet::from([Purpose("service".to_owned())]),
            items: BTreeMap::from([(self.resources[table].clone(), narrowing)]),
            justification: "最小必要".to_owned(),
        };
        let apply = Command::ApplyPermit { details: Box::new(details) };
        let permit: PermitId = self.give(&self.clerks[&Who::Operator], apply, "permit.applied").await;
        self.act(&self.chiefs[&Who::Provider], Command::ConfirmPermit { permit: permit.clone() }).await;
        let opinion = Command::GiveOpinion { permit: permit.clone(), agrees: true, text: "同意".to_owned() };
        self.act(&self.chiefs[&Who::Competent], opinion).await;
        self.act(&self.chiefs[&Who::Implementer], Command::ApprovePermit { permit: permit.clone() }).await;
        permit
    }

    async fn offer(&mut self) {
        let mut registrations = Vec::new();
        for (name, table, sql, modes) in product_texts() {
            let is_personal = table == "people";
            let narrowing = Narrowing {
                modes: Some(modes.iter().copied().collect()),
                cohort_floor: (name == TRIP_STATISTICS).then_some(10),
                ..Narrowing::default()
            };
            let details = ProductDetails {
                key: vec![column(if is_personal { "id_number" } else { "trip_id" })],
                subject: is_personal.then(|| column("id_number")),
                dimensions: match name {
                    TRIP_STATISTICS => vec![column("line"), column("day")],
                    _ => Vec::new(),
                },
                ..self.product_details(name, table, sql, narrowing)
            };
            registrations.push(self.draft(name, details).await);
        }
        self.certify(&registrations).await;
        self.fix_permitted_revenue().await;
        for product in self.products.values() {
            self.list(product).await;
        }
    }

    /// For a year from now.
    async fn fix_permitted_revenue(&mut self) {
        let fix = Command::FixPermittedRevenue {
            operator: self.parties[&Who::Operator].clone(),
            term: self.term_days(365),
            cost: Fen(80_000_000),
            profit_rate: Decimal::new(6, 2),
            tax: Fen(6_000_000),
            treasury_yield: Decimal::new(175, 4),
        };
        let fixed = self.give(&self.chiefs[&Who::Price], fix, "permitted_revenue.fixed").await;
        self.permitted_revenue = Some(fixed);
    }

    /// Adds the product [`TRIP_GUARDED`].
    async fn guard(&mut self) {
        let mut columns = BTreeMap::new();
        for name in ["trip_id", "line", "delay", "vehicle"] {
            columns.insert(column(name), None);
        }
        columns.insert(column("day"), Some(Precisions::all_of(&Mode::ALL, Precision::Year)));
        columns.insert(column("note"), Some(Precisions::all_of(&[Mode::Compute], Precision::Exact)));
        let narrowing = Narrowing {
            columns: Some(columns),
            rows: vec![Predicate::Compare {
                column: column("line"),
                comparison: Comparison::Equal,
                value: Literal::Text("L1".to_owned()),
            }],
            modes: Some(BTreeSet::from([Mode::Lookup, Mode::Rows, Mode::File])),
            ..Narrowing::default()
        };
        let sql = "SELECT trip_id, line, day, delay, vehicle, note FROM trips";
        let details = self.product_details(TRIP_GUARDED, "trips", sql, narrowing);
        let registration = self.draft(TRIP_GUARDED, details).await;
        self.certify(&[registration]).await;
        self.list(&self.products[TRIP_GUARDED]).await;
    }

    fn product_details(&self, name: &str, table: &str, sql: &str, narrowing: Narrowing) -> ProductDetails {
        ProductDetails {
            name: name.to_owned(),
            name_en: name.to_owned(),
            summary: "测试产品".to_owned(),
            table: column(name),
            inputs: BTreeMap::from([(self.resources[table].clone(), self.permits[table].clone())]),
            sql: sql.to_owned(),
            key: vec![column("trip_id")],
            subject: None,
            dimensions: Vec::new(),
            further_subjects: Vec::new(),
            noise: None,
            marking: None,
            narrowing,
            shape: ProductShape::default(),
        }
    }

    /// Drafts a product and has it reviewed; gives its registration, applied for.
    async fn draft(&mut self, name: &'static str, details: ProductDetails) -> RegistrationId {
        let operator = self.clerks[&Who::Operator].clone();
        let draft = Command::DraftProduct { details: Box::new(details) };
        let product: ProductId = self.give(&operator, draft, "product.drafted").await;
        let review = Command::ReviewProductOutput { product: product.clone(), findings: "未见问题".to_owned() };
        self.act(&self.chiefs[&Who::Implementer], review).await;
        let apply = Command::ApplyRegistration { object: Registrable::Product(product.clone()) };
        self.products.insert(name, product);
        self.give(&operator, apply, "registration.applied").await
    }

    /// Prices and lists a certified product.
    async fn list(&self, product: &ProductId) {
        let permitted_revenue = self.permitted_revenue.clone().expect("it is fixed before anything is listed");
        let ceiling = Ceiling { per_call: price("1"), per_data_set: price("1000"), permitted_revenue };
        let set = Command::SetCeiling { product: product.clone(), ceiling };
        self.act(&self.chiefs[&Who::Implementer], set).await;
        let price = Price { per_call: price("0.5"), per_data_set: price("800"), free_purposes: BTreeSet::new() };
        let chief = &self.chiefs[&Who::Operator];
        self.act(chief, Command::SetPrice { product: product.clone(), price }).await;
        self.act(chief, Command::ListProduct { product: product.clone() }).await;
    }
}

fn product_texts() -> [(&'static str, &'static str, &'static str, &'static [Mode]); 4] {
    [
        (TRIP_CHECK, "trips", "SELECT trip_id, line, delay >= 60 AS late FROM trips", &[Mode::Verification]),
        (TRIP_STATISTICS, "trips", "SELECT trip_id, line, day, delay FROM trips", &[Mode::Statistics]),
        (
            TRIP_RECORDS,
            "trips",
            "SELECT trip_id, line, day, delay, vehicle, note FROM trips",
            &[Mode::Lookup, Mode::Rows, Mode::File],
        ),
        (PERSON_CHECK, "people", "SELECT id_number, points < 12 AS qualified FROM people", &[Mode::Verification]),
    ]
}

/// The vehicle leaves as the consumer's pseudonym.
fn trips_narrowing() -> Narrowing {
    let mut columns = BTreeMap::new();
    for name in ["trip_id", "line", "day", "delay", "note"] {
        columns.insert(column(name), None);
    }
    let mut vehicle = Precisions::all_of(&Mode::IN_DOMAIN, Precision::Exact);
    for mode in [Mode::Lookup, Mode::Rows, Mode::File] {
        vehicle.0.insert(mode, Precision::PseudonymOfConsumer);
    }
    columns.insert(column("vehicle"), Some(vehicle));
    Narrowing { columns: Some(columns), ..Narrowing::default() }
}

fn people_narrowing() -> Narrowing {
    Narrowing {
        columns: Some(["id_number", "points"].map(|name| (column(name), None)).into()),
        modes: Some(BTreeSet::from([Mode::Compute, Mode::Verification])),
        ..Narrowing::default()
    }
}

fn party_details(serial: usize, organisation: Organisation, role: Role) -> PartyDetails {
    PartyDetails {
        name: format!("测试主体{serial}"),
        name_en: format!("Party {serial}"),
        credit_code: format!("TEST45000000000{serial:03}"),
        organisation,
        roles: BTreeSet::from([role]),
        tier: Tier::Region,
        division: division(),
        ties: BTreeSet::new(),
    }
}

fn trips_details() -> ResourceDetails {
    let columns = [
        ("trip_id", DataType::Integer),
        ("line", DataType::Text),
        ("day", DataType::Date),
        ("delay", DataType::Integer),
        ("vehicle", DataType::Text),
        ("note", DataType::Text),
    ];
    let marks = Some(marked::declaration());
    ResourceDetails { marks, ..resource_details("trips", &columns, "trip_id", Nature::Real) }
}

fn people_details() -> ResourceDetails {
    let columns = [("id_number", DataType::Text), ("name", DataType::Text), ("points", DataType::Integer)];
    ResourceDetails {
        subject: Some(column("id_number")),
        key_names_subject: false,
        personal_basis: Some("履行法定职责所必需".to_owned()),
        sharing: Sharing::Conditional { conditions: "须经本人同意".to_owned() },
        openness: Openness::NotOpen,
        ..resource_details("people", &columns, "id_number", Nature::Synthetic)
    }
}

fn resource_details(table: &str, columns: &[(&str, DataType)], key: &str, nature: Nature) -> ResourceDetails {
    let grade = if nature == Nature::Real { Grade::General1 } else { Grade::General3 };
    let columns = columns.iter().map(|(name, data_type)| Column {
        name: column(name),
        data_type: *data_type,
        meaning: format!("{name} 的含义"),
        grade,
    });
    ResourceDetails {
        table: column(table),
        name: format!("测试资源 {table}"),
        name_en: table.to_owned(),
        summary: "测试资源".to_owned(),
        division: division(),
        basis: "测试".to_owned(),
        source: format!("{table}.csv"),
        columns: columns.collect(),
        key: vec![column(key)],
        subject: None,
        key_names_subject: false,
        personal_basis: None,
        sharing: Sharing::Unconditional,
        openness: Openness::Unconditional,
        update_cycle_days: 0,
        nature,
        marks: None,
    }
}

fn trips_csv(trips: impl Iterator<Item = usize>) -> String {
    csv_of(trips.map(Trip::of))
}

fn csv_of(trips: impl Iterator<Item = Trip>) -> String {
    let mut csv = "trip_id,line,day,delay,vehicle,note\n".to_owned();
    for Trip { trip_id, line, day, delay, vehicle, note } in trips {
        let delay = delay.map(|delay| delay.to_string()).unwrap_or_default();
        writeln!(csv, "{trip_id},{line},{day},{delay},{vehicle},{note}").expect("writing into memory can't fail");
    }
    csv
}

/// Person 0 to 9; those with an even number are qualified.
fn people_csv() -> String {
    let mut csv = "id_number,name,points\n".to_owned();
    for person in 0..10 {
        let points = if person % 2 == 0 { 3 } else { 12 };
        writeln!(csv, "{},某人{person},{points}", id_number(person)).expect("writing into memory can't fail");
    }
    csv
}

/// The made-up identity number of a person.
pub fn id_number(person: usize) -> String {
    format!("45000019900101{person:04}")
}

fn column(name: &str) -> ColumnName {
    ColumnName::new(name).expect("the scenario's names are names")
}

fn division() -> Division {
    Division::new("450000").expect("six digits")
}

fn price(text: &str) -> UnitPrice {
    UnitPrice::new(text.parse().expect("a decimal")).expect("a price")
}
