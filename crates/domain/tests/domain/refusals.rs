//! Each refusal occurs where it should, with the code that clients rely on and a message that says what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan;
use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::command::Command;
use lingqu_domain::consent::ConsentLimits;
use lingqu_domain::event::{Event, Recorded};
use lingqu_domain::party::{Division, NODE_WIDE_ROLES, Organisation, PartyEvent, Role, Tier, UserEvent};
use lingqu_domain::refusal::RefusalCode as Code;
use lingqu_domain::registration::Registrable;
use lingqu_domain::resource::{Grade, Nature};
use lingqu_domain::scope::{Mode, Narrowing, Precision, Precisions};

use crate::details::{self, decimal, kept, name, purposes, term};
use crate::life::{Life, terms};

/// Asserts that a command is refused with a code and that the English message names something.
fn refuses(life: &Life, actor: &Actor, command: Command, code: Code, names: &str) {
    let refusal = life.world.refused(actor, &command);
    assert_eq!(refusal.code, code, "{} → {refusal}", command.name());
    assert!(refusal.en.contains(names), "{}: `{}` does not name `{names}`", command.name(), refusal.en);
    assert!(refusal.zh.chars().any(|character| character as u32 > 0x4e00), "no Chinese: {}", refusal.zh);
}

fn boxed<T>(mut value: T, change: impl FnOnce(&mut T)) -> Box<T> {
    change(&mut value);
    Box::new(value)
}

#[test]
fn roles_are_distinct_and_everybody_keeps_to_his_own() {
    let life = Life::until("parties");
    let admin = life.member("authority").admin;
    let register =
        |roles: &[Role]| Command::RegisterParty { details: details::party("x", 99, Organisation::Enterprise, roles) };
    let distinct = [Role::Implementer, Role::DataAuthority, Role::Operator, Role::Registrar];
    for (place, one) in distinct.iter().enumerate() {
        for other in &distinct[place + 1..] {
            refuses(&life, &admin, register(&[*one, *other]), Code::RolesNotDistinct, "different parties");
        }
    }
    refuses(&life, &admin, register(&[]), Code::Invalid, "roles");
    // On a node of many divisions an office of one of them does not decide about the others.
    let of_division = |code: &str, role: Role| {
        let mut details = details::party("x", 97, Organisation::Department, &[role]);
        details.division = Division::new(code).unwrap();
        Command::RegisterParty { details }
    };
    for role in NODE_WIDE_ROLES {
        refuses(
            &life,
            &admin,
            of_division("450100", role),
            Code::Invalid,
            "act for all of the node's division (450000)",
        );
        refuses(
            &life,
            &admin,
            of_division("440000", role),
            Code::Invalid,
            "act for all of the node's division (450000)",
        );
        assert!(life.world.decide(&admin, &of_division("450000", role)).is_ok());
    }
    for role in [Role::Provider, Role::Implementer, Role::Operator, Role::Consumer, Role::Finance] {
        assert!(life.world.decide(&admin, &of_division("450102", role)).is_ok(), "{role:?}");
    }
    let twin = details::party("twin", 12, Organisation::Enterprise, &[Role::Consumer]);
    refuses(
        &life,
        &admin,
        Command::RegisterParty { details: twin },
        Code::AlreadyExists,
        life.party("operator").as_str(),
    );
    refuses(&life, &life.handler("authority"), register(&[Role::Consumer]), Code::NotPermitted, "administrator");
    refuses(&life, &life.member("operator").admin, register(&[Role::Consumer]), Code::NotPermitted, "data_authority");
    let add = |party: &str| Command::AddUser { party: life.party(party), duties: [Duty::Handler].into() };
    refuses(&life, &life.member("operator").admin, add("insurer"), Code::NotPermitted, life.party("insurer").as_str());
    assert!(life.world.decide(&life.member("insurer").admin, &add("insurer")).is_ok());
    let authority = details::party("x", 98, Organisation::Department, &[Role::DataAuthority]);
    let again = Command::InitialiseNode { tier: Tier::Region, division: details::division(), authority };
    refuses(&life, &Actor::Node, again.clone(), Code::NodeState, "already");
    refuses(&life, &admin, again, Code::NotPermitted, "initialise_node");
    let mut disabled = life.clone();
    let Actor::User(user) = life.handler("insurer") else { unreachable!() };
    disabled.world.done(&life.member("insurer").admin, Command::DisableUser { user });
    let order = Command::PlaceOrder { details: Box::new(details::order(life.id("none"), "public", &[Mode::Rows])) };
    refuses(&disabled, &life.handler("insurer"), order, Code::NotPermitted, "place_order");
}

/// Offices of a county that were registered before their division was asked: the journal replays, and they act for themselves alone.
#[test]
fn an_office_of_a_division_does_not_act_for_the_node() {
    let life = Life::until("registrations applied");
    let all = [Role::Registrar, Role::PriceAuthority, Role::Auditor, Role::Provider];
    for (code, is_refused) in [("450102", true), ("440000", true), ("450000", false)] {
        for roles in [&all[..], &[Role::DataAuthority]] {
            let mut life = life.clone();
            let mut details = details::party("old", 96, Organisation::Department, roles);
            details.division = Division::new(code).unwrap();
            let (party, user) = (format!("pty_{:032}", 96), format!("usr_{:032}", 96));
            let duties = [Duty::Administrator, Duty::Handler, Duty::Approver].into();
            let added = UserEvent::Added { party: party.parse().unwrap(), duties };
            recorded(&mut life, &party, Event::Party(PartyEvent::Registered(details)));
            recorded(&mut life, &user, Event::User(added));
            let actor = Actor::User(user.parse().unwrap());
            let commands = if roles.contains(&Role::DataAuthority) {
                let details = details::party("x", 95, Organisation::Enterprise, &[Role::Consumer]);
                vec![Command::RegisterParty { details }]
            } else {
                let fix = Command::FixPermittedRevenue {
                    operator: life.party("operator"),
                    term: term("2026-11-30T16:00:00Z", "2027-12-31T16:00:00Z"),
                    cost: "100000".parse().unwrap(),
                    profit_rate: decimal("0.06"),
                    tax: "3000".parse().unwrap(),
                    treasury_yield: decimal("0.0175"),
                };
                vec![Command::AcceptRegistration { registration: life.id("drivers registration") }, fix]
            };
            for command in commands {
                if is_refused {
                    refuses(&life, &actor, command, Code::NotPermitted, "register_party");
                } else {
                    assert!(life.world.decide(&actor, &command).is_ok(), "{command:?}");
                }
            }
            if roles.contains(&Role::Provider) {
                let entry = boxed(details::drivers(), |entry| entry.table = name("other_drivers"));
                assert!(life.world.decide(&actor, &Command::DraftResource { details: entry }).is_ok(), "{code}");
            }
        }
    }
    // No node begins with an authority that could not act for it.
    let mut authority = details::party("x", 98, Organisation::Department, &[Role::DataAuthority]);
    authority.division = Division::new("450100").unwrap();
    let initialise = Command::InitialiseNode { tier: Tier::Region, division: details::division(), authority };
    refuses(
        &Life::until("empty"),
        &Actor::Node,
        initialise,
        Code::Invalid,
        "act for all of the node's division (450000)",
    );
}

/// Folds an event as a journal has it, whatever would be decided today.
fn recorded(life: &mut Life, stream: &str, event: Event) {
    let state = &mut life.world.state;
    let recorded = Recorded {
        position: state.position + 1,
        at: life.world.now,
        actor: Actor::Node,
        stream: stream.to_owned(),
        stream_version: state.version(stream) + 1,
        event,
    };
    state.apply(&recorded).expect("the journal replays");
}

#[test]
fn catalogue_entries_are_graded_signed_and_published_in_time() {
    let life = Life::until("parties");
    let draft = |change: fn(&mut lingqu_domain::resource::ResourceDetails)| Command::DraftResource {
        details: boxed(details::drivers(), change),
    };
    let handler = life.handler("traffic");
    refuses(&life, &handler, draft(|entry| entry.columns[1].grade = Grade::Core), Code::GradeRefused, "licence");
    refuses(&life, &handler, draft(|entry| entry.personal_basis = None), Code::Invalid, "PIPL");
    refuses(&life, &handler, draft(|entry| entry.subject = Some(name("nobody"))), Code::Invalid, "nobody");
    refuses(&life, &handler, draft(|entry| entry.columns.push(entry.columns[0].clone())), Code::Invalid, "id_number");
    refuses(&life, &life.handler("operator"), draft(|_| ()), Code::NotPermitted, "provider");

    let life = Life::until("resources drafted");
    let again = Command::DraftResource { details: Box::new(details::drivers()) };
    refuses(&life, &handler, again, Code::AlreadyExists, &life.link("drivers"));
    let sign = Command::SignResource { resource: life.id("drivers") };
    refuses(&life, &life.officer("airport"), sign, Code::NotPermitted, life.party("traffic").as_str());
    let snapshot = Command::RecordSnapshot {
        resource: life.id("drivers"),
        snapshot: details::snapshot(&life, "drivers", 0, Nature::Real),
    };
    refuses(&life, &handler, snapshot, Code::Invalid, "REAL or SYNTHETIC");
    let apply = Command::ApplyRegistration { object: Registrable::Resource(life.id("drivers")) };
    refuses(&life, &handler, apply.clone(), Code::WrongState, "signed, with a snapshot");

    let mut life = Life::until("publicity");
    refuses(&life, &handler, apply, Code::AlreadyExists, &life.link("drivers registration"));
    let certify = Command::CertifyRegistration { registration: life.id("drivers registration") };
    refuses(&life, &life.approver("registrar"), certify.clone(), Code::TooEarly, "2026-11-16");
    life.world.now = crate::world::at("2026-11-16T15:59:59Z");
    refuses(&life, &life.approver("registrar"), certify.clone(), Code::TooEarly, "2026-11-16");
    life.world.now = crate::world::at("2026-11-16T16:00:00Z");
    assert!(life.world.decide(&life.approver("registrar"), &certify).is_ok(), "publicity ends with the day in Beijing");
    let supply = Command::RequestSupply { resource: life.id("drivers"), need: "核验".to_owned() };
    refuses(&life, &life.handler("implementer"), supply, Code::WrongState, "registered");
}

#[test]
fn nobody_approves_his_own_application() {
    // Parties whose one user holds every post: the matrix allows all, four eyes must not.
    let posts = [Duty::Handler, Duty::Approver, Duty::ChiefDataOfficer];
    let mut life = Life::until("snapshots");
    let all = life.add_user(&life.party("airport"), &posts);
    let draft = boxed(details::flights(), |entry| entry.table = name("other"));
    let recorded = life.world.done(&all, Command::DraftResource { details: draft });
    let sign = Command::SignResource { resource: crate::world::created(&recorded) };
    refuses(&life, &all, sign, Code::FourEyes, "another user");

    let mut life = Life::until("registrations applied");
    let all = life.add_user(&life.party("registrar"), &posts);
    life.world.done(&all, Command::AcceptRegistration { registration: life.id("flights registration") });
    let review = Command::ReviewRegistration { registration: life.id("flights registration") };
    refuses(&life, &all, review, Code::FourEyes, "another user");

    let mut life = Life::until("supplies confirmed");
    let all = life.add_user(&life.party("implementer"), &posts);
    let recorded = life.world.done(&all, Command::DraftPlan { details: Box::new(details::plan(&life)) });
    let submit = Command::SubmitPlan { plan: crate::world::created(&recorded), minutes: "纪要".to_owned() };
    refuses(&life, &all, submit, Code::FourEyes, "another user");

    let mut life = Life::until("plan approved");
    let all = life.add_user(&life.party("implementer"), &posts);
    let recorded = life.world.done(&all, Command::DraftMandate { details: Box::new(details::mandate(&life)) });
    let approve = Command::ApproveMandate { mandate: crate::world::created(&recorded) };
    refuses(&life, &all, approve, Code::FourEyes, "another user");

    let mut life = Life::until("listed");
    let all = life.add_user(&life.party("insurer"), &posts);
    let order = details::order(life.id("punctuality"), "insurance/claim", &[Mode::Rows]);
    let recorded = life.world.done(&all, Command::PlaceOrder { details: Box::new(order) });
    let order: lingqu_domain::id::OrderId = crate::world::created(&recorded);
    let terms_digest = life.world.state.orders[&order].value.contract.terms_digest.clone();
    refuses(&life, &all, Command::SignContract { order, terms_digest }, Code::FourEyes, "another user");
}

#[test]
fn nobody_approves_his_own_application_in_a_party_of_two_roles() {
    // A department that is implementer for its own resources, and a registrar that holds a resource of its own.
    let posts = [Duty::Handler, Duty::Approver, Duty::ChiefDataOfficer];
    let mut life = Life::until("parties");
    for (name, serial, roles) in [
        ("both", 90, [Role::Provider, Role::Implementer]),
        ("office", 91, [Role::Provider, Role::Registrar]),
        ("bureau", 92, [Role::Provider, Role::DataAuthority]),
    ] {
        life.admit(name, details::party(name, serial, Organisation::Department, &roles));
    }
    for (name, table) in [("both", "own_table"), ("office", "office_table"), ("bureau", "bureau_table")] {
        let all = life.add_user(&life.party(name), &posts);
        let draft = boxed(details::flights(), |entry| entry.table = details::name(table));
        let recorded = life.world.done(&life.handler(name), Command::DraftResource { details: draft });
        let resource: lingqu_domain::id::ResourceId = crate::world::created(&recorded);
        life.world.done(&life.officer(name), Command::SignResource { resource: resource.clone() });
        let snapshot = details::snapshot(&life, table_label(name), 0, Nature::Real);
        let record = Command::RecordSnapshot { resource: resource.clone(), snapshot: snapshot.clone() };
        life.world.done(&life.handler(name), record);
        let report = Command::RecordQualityReport {
            resource: resource.clone(),
            snapshot: snapshot.id,
            results: details::results(),
        };
        let recorded = life.world.done(&all, report);
        let ticket: lingqu_domain::id::TicketId = crate::world::created(&recorded);
        let answer = Command::AnswerTicket { ticket: ticket.clone(), answer: "已改".to_owned() };
        life.world.done(&all, answer);
        if name == "bureau" {
            let close = Command::CloseTicket { ticket, verification: "属实".to_owned() };
            refuses(&life, &all, close.clone(), Code::FourEyes, "another user");
            life.world.done(&life.handler("bureau"), close);
        }
        let apply = Command::ApplyRegistration { object: Registrable::Resource(resource.clone()) };
        let recorded = life.world.done(&all, apply);
        let registration: lingqu_domain::id::RegistrationId = crate::world::created(&recorded);
        let accept = Command::AcceptRegistration { registration: registration.clone() };
        let review = Command::ReviewRegistration { registration: registration.clone() };
        let certify = Command::CertifyRegistration { registration };
        if name == "office" {
            refuses(&life, &all, accept.clone(), Code::FourEyes, "another user");
        }
        let registrar = if name == "office" { "office" } else { "registrar" };
        life.world.done(&life.handler(registrar), accept);
        if name == "office" {
            refuses(&life, &all, review.clone(), Code::FourEyes, "another user");
        }
        life.world.done(&life.approver(registrar), review);
        life.world.now = life.world.now.saturating_add(jiff::ToSpan::hours(24 * 30)).unwrap();
        if name == "office" {
            refuses(&life, &all, certify.clone(), Code::FourEyes, "another user");
        }
        life.world.done(&life.approver(registrar), certify);
        if name == "both" {
            let request = Command::RequestSupply { resource, need: "自用".to_owned() };
            let recorded = life.world.done(&all, request);
            let supply: lingqu_domain::id::SupplyId = crate::world::created(&recorded);
            let confirm = Command::ConfirmSupply { supply, narrowing: Box::default() };
            refuses(&life, &all, confirm.clone(), Code::FourEyes, "another user");
            life.world.done(&life.officer("both"), confirm);
        }
    }
}

fn table_label(name: &str) -> &'static str {
    match name {
        "both" => "own table",
        "office" => "office table",
        _ => "bureau table",
    }
}

#[test]
fn plans_mandates_and_permits_stay_within_what_is_above_them() {
    let life = Life::until("supplies confirmed");
    let plan = |change: &dyn Fn(&mut lingqu_domain::plan::PlanDetails)| Command::DraftPlan {
        details: boxed(details::plan(&life), |plan| change(plan)),
    };
    let handler = life.handler("implementer");
    refuses(
        &life,
        &handler,
        plan(&|plan| plan.term.until = crate::world::at("2031-01-01T00:00:00Z")),
        Code::ScopeTooWide,
        "term",
    );
    refuses(&life, &handler, plan(&|plan| plan.items.clear()), Code::Invalid, "items");
    let swap = |plan: &mut lingqu_domain::plan::PlanDetails| {
        plan.items.get_mut(&life.id("flights")).unwrap().supply = life.id("drivers supply");
    };
    refuses(&life, &handler, plan(&swap), Code::Invalid, &life.link("drivers supply"));

    let life = Life::until("plan approved");
    let handler = life.handler("implementer");
    let mandate = |change: &dyn Fn(&mut lingqu_domain::mandate::MandateDetails)| Command::DraftMandate {
        details: boxed(details::mandate(&life), |mandate| change(mandate)),
    };
    let item = |narrowing: Narrowing| {
        mandate(&|mandate| {
            mandate.items.insert(life.id("drivers"), narrowing.clone());
        })
    };
    let columns = |names: &[&str]| item(Narrowing { columns: Some(kept(names)), ..Narrowing::default() });
    refuses(&life, &handler, columns(&["id_number", "phone"]), Code::ScopeTooWide, "`phone`");
    let exact = [(name("medical"), Some(Precisions::all_of(&[Mode::Verification], Precision::Exact)))];
    let medical = item(Narrowing { columns: Some(exact.into()), ..Narrowing::default() });
    refuses(&life, &handler, medical, Code::ScopeTooWide, "`medical`");
    let modes = item(Narrowing { modes: Some([Mode::Rows].into()), ..Narrowing::default() });
    refuses(&life, &handler, modes, Code::ScopeTooWide, "mode rows");
    let floor = item(Narrowing { cohort_floor: Some(9), ..Narrowing::default() });
    refuses(&life, &handler, floor, Code::ScopeTooWide, "at least 10");
    let consent = item(Narrowing { consent_required: Some(false), ..Narrowing::default() });
    refuses(&life, &handler, consent, Code::ScopeTooWide, "consent");
    let oracle = item(Narrowing { rows: vec![details::condition("medical", "x")], ..Narrowing::default() });
    refuses(&life, &handler, oracle, Code::ScopeTooWide, "`medical`");
    refuses(
        &life,
        &handler,
        mandate(&|mandate| mandate.term = term(details::FROM, "2032-01-01T00:00:00Z")),
        Code::Invalid,
        "at most 5 years",
    );
    refuses(
        &life,
        &handler,
        mandate(&|mandate| mandate.term = term(details::FROM, "2030-01-01T00:00:00Z")),
        Code::ScopeTooWide,
        "term",
    );
    refuses(
        &life,
        &handler,
        mandate(&|mandate| mandate.term = term(details::FROM, "2020-01-01T00:00:00Z")),
        Code::ScopeTooWide,
        "empty",
    );
    refuses(&life, &handler, mandate(&|mandate| mandate.operator = life.party("insurer")), Code::Invalid, "operator");
    let department = |mandate: &mut lingqu_domain::mandate::MandateDetails| {
        mandate.revenue.provider_rates.insert(life.party("traffic"), decimal("0.1"));
    };
    refuses(&life, &handler, mandate(&department), Code::Invalid, "no cash share");
    refuses(
        &life,
        &handler,
        mandate(&|mandate| mandate.revenue.treasury = life.party("traffic")),
        Code::Invalid,
        "finance department",
    );

    let life = Life::until("agreement signed");
    let handler = life.handler("operator");
    let permit = |change: &dyn Fn(&mut lingqu_domain::permit::PermitDetails)| Command::ApplyPermit {
        details: boxed(details::insurance_permit(&life), |permit| change(permit)),
    };
    refuses(&life, &handler, permit(&|permit| permit.purposes = purposes(&["credit"])), Code::ScopeTooWide, "`credit`");
    refuses(&life, &handler, permit(&|permit| permit.purposes = purposes(&["any"])), Code::ScopeTooWide, "`any`");
    let crew = |permit: &mut lingqu_domain::permit::PermitDetails| {
        permit.items.insert(life.id("flights"), Narrowing { columns: Some(kept(&["crew"])), ..Narrowing::default() });
    };
    refuses(&life, &handler, permit(&crew), Code::ScopeTooWide, "`crew`");
    let unnamed = |permit: &mut lingqu_domain::permit::PermitDetails| {
        permit.items.insert(life.id("weather"), Narrowing::default());
    };
    refuses(&life, &handler, permit(&unnamed), Code::Invalid, "name the delivery modes");
    let outside = |permit: &mut lingqu_domain::permit::PermitDetails| {
        permit.items.insert(life.id("nothing"), Narrowing::default());
    };
    refuses(&life, &handler, permit(&outside), Code::NotFound, "there is no");
}

#[test]
fn ties_bar_what_the_rules_bar() {
    let mut life = Life::until("plan approved");
    let mut affiliate = details::party("affiliate", 93, Organisation::Enterprise, &[Role::Consumer]);
    affiliate.ties.insert(life.party("operator"));
    life.admit("affiliate", affiliate);
    let mut tied = details::party("tied", 94, Organisation::Enterprise, &[Role::Operator]);
    tied.ties.insert(life.party("implementer"));
    life.admit("tied", tied);
    let mandate = boxed(details::mandate(&life), |mandate| mandate.operator = life.party("tied"));
    refuses(
        &life,
        &life.handler("implementer"),
        Command::DraftMandate { details: mandate },
        Code::RelatedParties,
        "tied",
    );

    let mut life = Life::until("listed");
    let mut affiliate = details::party("affiliate", 93, Organisation::Enterprise, &[Role::Consumer]);
    affiliate.ties.insert(life.party("operator"));
    life.admit("affiliate", affiliate);
    let order = details::order(life.id("punctuality"), "insurance/claim", &[Mode::Rows]);
    refuses(
        &life,
        &life.handler("affiliate"),
        Command::PlaceOrder { details: Box::new(order) },
        Code::RelatedParties,
        "own authorisation",
    );
}

#[test]
fn prices_stay_under_their_ceilings() {
    let life = Life::until("products certified");
    let fix = |rate: &str| Command::FixPermittedRevenue {
        operator: life.party("operator"),
        term: term("2026-11-30T16:00:00Z", "2027-12-31T16:00:00Z"),
        cost: "1000".parse().unwrap(),
        profit_rate: decimal(rate),
        tax: "0".parse().unwrap(),
        treasury_yield: decimal("0.0175"),
    };
    refuses(&life, &life.approver("price"), fix("0.0776"), Code::Invalid, "0.0775");
    refuses(&life, &life.approver("price"), fix("-0.01"), Code::Invalid, "profit rate");
    let price = Command::SetPrice { product: life.id("punctuality"), price: details::price() };
    refuses(&life, &life.approver("operator"), price, Code::WrongState, "ceiling");

    let life = Life::until("ceilings");
    let price = |per_call: &str, per_data_set: &str| {
        let mut price = details::price();
        price.per_call = per_call.parse().unwrap();
        price.per_data_set = per_data_set.parse().unwrap();
        Command::SetPrice { product: life.id("punctuality"), price }
    };
    refuses(&life, &life.approver("operator"), price("0.050001", "1"), Code::PriceAboveCeiling, "per_call");
    refuses(&life, &life.approver("operator"), price("0.05", "3000.01"), Code::PriceAboveCeiling, "per_data_set");
    assert!(life.world.decide(&life.approver("operator"), &price("0.05", "3000")).is_ok());
    let mut ceiling = details::ceiling(&life);
    ceiling.per_data_set = "110000".parse().unwrap();
    let command = Command::SetCeiling { product: life.id("punctuality"), ceiling };
    refuses(&life, &life.approver("implementer"), command, Code::PriceAboveCeiling, "permitted revenue");
}

#[test]
fn orders_stay_within_their_product() {
    let life = Life::until("listed");
    let handler = life.handler("insurer");
    let place = |product: &str, what: &str, modes: &[Mode]| Command::PlaceOrder {
        details: Box::new(details::order(life.id(product), what, modes)),
    };
    refuses(&life, &handler, place("punctuality", "credit", &[Mode::Rows]), Code::PurposeNotPermitted, "credit");
    refuses(&life, &handler, place("punctuality", "insurance", &[Mode::Rows]), Code::PurposeNotPermitted, "insurance");
    for mode in [Mode::Statistics, Mode::Lookup, Mode::Rows, Mode::File] {
        refuses(&life, &handler, place("driver check", "public/licence", &[mode]), Code::ScopeTooWide, mode.code());
    }
    refuses(&life, &handler, place("punctuality", "insurance/claim", &[]), Code::Invalid, "modes");
    refuses(&life, &handler, place("punctuality", "insurance/claim", &[Mode::Compute]), Code::Invalid, "modes");
    refuses(&life, &handler, place("nothing", "insurance/claim", &[Mode::Rows]), Code::NotFound, "there is no");
    let long = boxed(details::order(life.id("punctuality"), "insurance/claim", &[Mode::Rows]), |order| {
        order.term = term("2026-12-01T00:00:00Z", "2030-01-01T00:00:00Z");
    });
    refuses(&life, &handler, Command::PlaceOrder { details: long }, Code::ScopeTooWide, "2028-01-01");
    let unlisted = Life::until("prices");
    refuses(&unlisted, &handler, place("punctuality", "insurance/claim", &[Mode::Rows]), Code::WrongState, "listed");
    let list = Command::ListProduct { product: life.id("punctuality") };
    refuses(
        &Life::until("product registrations"),
        &life.approver("operator"),
        list,
        Code::RightMissing,
        "right to operate",
    );

    let life = Life::until("orders placed");
    let sign = |digest: String| Command::SignContract { order: life.id("insurer's order"), terms_digest: digest };
    refuses(&life, &life.approver("insurer"), sign(terms(&life, "platform's order")), Code::Invalid, "not the terms");
    refuses(
        &life,
        &life.approver("platform"),
        sign(terms(&life, "insurer's order")),
        Code::NotPermitted,
        "consumer and operator",
    );
    let key =
        Command::IssueServiceKey { order: life.id("insurer's order"), hash: lingqu_crypto::sha256(b"key").to_string() };
    refuses(&life, &handler, key.clone(), Code::WrongState, "active");
    assert_eq!(life.grant("insurer's order").unwrap_err().code, Code::NotInForce);

    let mut life = Life::until("contracts signed");
    for _ in 0..10 {
        life.world.done(&handler, key.clone());
    }
    refuses(&life, &handler, key, Code::LimitExceeded, "at most 10");
}

#[test]
fn rights_end_with_their_terms_and_what_they_stand_on() {
    let mut life = Life::whole();
    life.world.now = crate::world::at("2027-06-01T00:00:00Z");
    assert_eq!(life.grant("insurer's order").unwrap_err().code, Code::GrantEnded);
    life.world.now = crate::world::at("2026-11-20T00:00:00Z");
    assert_eq!(life.grant("insurer's order").unwrap_err().code, Code::NotInForce);

    let life = Life::whole();
    let ended = |actor: &Actor, command: Command, order: &str, subject: &str| {
        let mut life = life.clone();
        life.world.done(actor, command);
        let refusal = life.grant(order).unwrap_err();
        assert_eq!((refusal.code, refusal.subject), (Code::GrantEnded, life.link(subject)));
    };
    let withdraw = Command::WithdrawSupply { supply: life.id("weather supply"), reason: "召回".to_owned() };
    ended(&life.officer("airport"), withdraw, "insurer's order", "weather supply");
    let revoke = Command::RevokeMandate { mandate: life.id("mandate"), reason: "违约".to_owned() };
    ended(&life.approver("implementer"), revoke, "platform's order", "mandate");
    let end = Command::EndOrder { order: life.id("insurer's order"), reason: "不再需要".to_owned() };
    ended(&life.approver("insurer"), end, "insurer's order", "insurer's order");
}

#[test]
fn consent_is_the_subjects_alone() {
    let life = Life::whole();
    let other = Actor::Subject("sub_00000000000000000000000000000002".parse().unwrap());
    let withdraw = Command::WithdrawConsent { consent: life.id("consent") };
    refuses(&life, &other, withdraw.clone(), Code::NotFound, "there is no");
    refuses(&life, &life.handler("platform"), withdraw.clone(), Code::NotPermitted, "withdraw_consent");
    refuses(&life, &Actor::Node, withdraw, Code::NotPermitted, "withdraw_consent");
    let give = |change: &dyn Fn(&mut lingqu_domain::consent::ConsentDetails)| Command::GiveConsent {
        details: boxed(details::consent(&life), |consent| change(consent)),
    };
    refuses(&life, &life.handler("platform"), give(&|_| ()), Code::NotPermitted, "give_consent");
    refuses(&life, &other, give(&|consent| consent.consumer = life.party("operator")), Code::Invalid, "consumer");
    refuses(&life, &other, give(&|consent| consent.purpose = details::purpose("any")), Code::Invalid, "purpose");
    refuses(&life, &other, give(&|consent| consent.resources.clear()), Code::Invalid, "resources");
    refuses(&life, &other, give(&|consent| consent.statement = " ".to_owned()), Code::Invalid, "statement");
    let column = |text: &str| BTreeSet::from([details::name(text)]);
    let of_drivers = |text: &str| BTreeMap::from([(life.id("drivers"), column(text))]);
    refuses(&life, &other, give(&|consent| consent.fields = of_drivers("no_such")), Code::Invalid, "no column no_such");
    let elsewhere = BTreeMap::from([(life.id("flights"), column("tail"))]);
    refuses(&life, &other, give(&|consent| consent.fields = elsewhere.clone()), Code::Invalid, "named resources");
    let none = BTreeMap::from([(life.id("drivers"), BTreeSet::new())]);
    refuses(&life, &other, give(&|consent| consent.fields = none.clone()), Code::Invalid, "at least one");
}

#[test]
fn a_consent_is_only_ever_narrowed() {
    let life = Life::whole();
    let given = details::consent(&life);
    let column = |names: &[&str]| names.iter().map(|name| details::name(name)).collect::<BTreeSet<_>>();
    let narrow = |change: &dyn Fn(&mut ConsentLimits)| {
        let (resources, fields, term) = (given.resources.clone(), given.fields.clone(), given.term);
        let mut limits = ConsentLimits { resources, fields, term };
        change(&mut limits);
        Command::NarrowConsent { consent: life.id("consent"), limits: Box::new(limits) }
    };
    let subject = life.subject();
    let other = Actor::Subject("sub_00000000000000000000000000000002".parse().unwrap());
    refuses(&life, &other, narrow(&|_| ()), Code::NotFound, "there is no");
    refuses(&life, &life.handler("platform"), narrow(&|_| ()), Code::NotPermitted, "narrow_consent");
    refuses(&life, &subject, narrow(&|_| ()), Code::Invalid, "narrows nothing");
    refuses(&life, &subject, narrow(&|limits| limits.resources.clear()), Code::Invalid, "resources");
    let flights = life.id::<lingqu_domain::id::ResourceId>("flights");
    refuses(
        &life,
        &subject,
        narrow(&|limits| limits.resources.extend([flights.clone()])),
        Code::ScopeTooWide,
        "within",
    );
    let later = given.term.until.checked_add(1.second()).unwrap();
    refuses(&life, &subject, narrow(&|limits| limits.term.until = later), Code::ScopeTooWide, "within");
    refuses(&life, &subject, narrow(&|limits| limits.term.until = limits.term.from), Code::Invalid, "term");

    // Once columns are named, the rest does not come back.
    let mut narrower = life.clone();
    let drivers = life.id::<lingqu_domain::id::ResourceId>("drivers");
    let columns: Vec<String> = {
        let resource = &life.world.state.resources[&drivers].value.details;
        resource.columns.iter().map(|column| column.name.to_string()).collect()
    };
    let (first, second) = (columns[0].as_str(), columns[1].as_str());
    let some = narrow(&|limits| drop(limits.fields.insert(drivers.clone(), column(&[first]))));
    narrower.world.done(&subject, some.clone());
    refuses(&narrower, &subject, some, Code::Invalid, "narrows nothing");
    refuses(&narrower, &subject, narrow(&|_| ()), Code::ScopeTooWide, "within");
    let more = narrow(&|limits| drop(limits.fields.insert(drivers.clone(), column(&[first, second]))));
    refuses(&narrower, &subject, more, Code::ScopeTooWide, "within");
    let consent = &narrower.world.state.consents[&life.id("consent")].value;
    assert_eq!(consent.details.fields[&drivers], column(&[first]));
}

#[test]
fn a_batch_is_recorded_by_the_node_and_left_by_its_members() {
    let life = Life::whole();
    let record = |count, digest: &str| Command::RecordConsents {
        details: Box::new(details::consent(&life)),
        count,
        digest: digest.to_owned(),
    };
    let digest = lingqu_crypto::sha256(b"members").to_string();
    for actor in [life.handler("platform"), life.approver("operator"), life.subject()] {
        refuses(&life, &actor, record(1, &digest), Code::NotPermitted, "record_consents");
    }
    refuses(&life, &Actor::Node, record(0, &digest), Code::Invalid, "1 to 10000");
    refuses(&life, &Actor::Node, record(10_001, &digest), Code::Invalid, "1 to 10000");
    refuses(&life, &Actor::Node, record(1, "members"), Code::Invalid, "SHA-256");
    let withdraw = |member| Command::WithdrawBatchedConsent { batch: life.id("consents"), member };
    refuses(&life, &life.handler("platform"), withdraw(0), Code::NotPermitted, "withdraw_batched_consent");
    refuses(&life, &Actor::Node, withdraw(0), Code::NotPermitted, "withdraw_batched_consent");
    refuses(&life, &life.subject(), withdraw(2), Code::NotFound, "there is no");
    let mut left = life.clone();
    left.world.done(&life.subject(), withdraw(0));
    refuses(&left, &life.subject(), withdraw(0), Code::WrongState, "withdrawn");
    assert_eq!(left.world.state.consent_batches[&life.id("consents")].value.standing(), 1);
}

#[test]
fn settlements_take_each_window_once() {
    let life = Life::until("metered");
    let overlap = Command::CloseMeter { readings: vec![details::reading(life.id("insurer's order"), 199, 1, 0)] };
    refuses(&life, &Actor::Node, overlap, Code::Invalid, "overlaps");
    let mut empty = details::reading(life.id("insurer's order"), 500, 1, 0);
    empty.end_position = 500;
    refuses(&life, &Actor::Node, Command::CloseMeter { readings: vec![empty] }, Code::Invalid, "empty");
    let by_hand = Command::CloseMeter { readings: vec![details::reading(life.id("insurer's order"), 900, 1, 0)] };
    refuses(&life, &life.approver("operator"), by_hand, Code::NotPermitted, "close_meter");
    let life = Life::until("settled");
    let again = Command::CloseSettlement { period: "2026-12".to_owned() };
    refuses(&life, &life.approver("operator"), again, Code::Invalid, "unsettled");
    let voucher = |amount: &str| Command::RecordVoucher {
        settlement: life.id("settlement"),
        number: "非税 2".to_owned(),
        amount: amount.parse().unwrap(),
    };
    refuses(&life, &life.handler("finance"), voucher("1"), Code::WrongState, "confirmed");
    let life = Life::until("confirmed");
    for amount in ["488.04", "0", "-1"] {
        refuses(&life, &life.handler("finance"), voucher(amount), Code::Invalid, "488.03");
    }
    let confirm = Command::ConfirmSettlement { settlement: life.id("settlement") };
    refuses(&life, &life.approver("implementer"), confirm, Code::WrongState, "closed");
}
