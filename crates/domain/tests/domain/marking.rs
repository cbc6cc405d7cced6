//! Marks: who may declare and choose them, what is exact by law or by rule, and who holds the other half of the keys.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::command::Command;
use lingqu_domain::id::{OrderId, PermitId, ProductId, ResourceId};
use lingqu_domain::marking::{
    Carrier, Encoding, KeyCommitments, Mark, MarkDeclaration, MarkLimits, MarkProfile, Marking, Member, Tolerance,
};
use lingqu_domain::party::{Organisation, Role};
use lingqu_domain::permit::PermitStage;
use lingqu_domain::predicate::Predicate;
use lingqu_domain::product::{ProductDetails, SourceColumn};
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::resource::{DataType, LiveSource, ResourceDetails};
use lingqu_domain::scope::{Mode, Narrowing, Precision, Precisions};
use rust_decimal::Decimal;

use crate::details::{self, commitments, decimal, name};
use crate::life::{Life, terms};
use crate::world::{World, created};

/// Minutes of delay may be off by ten, and copies may lack half a per cent of the rows.
pub fn limits() -> MarkLimits {
    MarkLimits {
        tolerances: BTreeMap::from([(name("delay"), Tolerance::Number(decimal("10")))]),
        omitted_per_million: 5_000,
        ..MarkLimits::default()
    }
}

pub fn declared(details: ResourceDetails, limits: MarkLimits) -> ResourceDetails {
    ResourceDetails { marks: Some(MarkDeclaration { credit_data: false, limits }), ..details }
}

pub fn member(column: &str, coefficient: i32) -> Member {
    Member {
        column: name(column),
        encoding: Encoding::Lattice { step: Decimal::ONE },
        coefficient,
        least: None,
        greatest: None,
    }
}

pub fn number(members: Vec<Member>, amplitude: u32) -> Mark {
    Mark {
        name: name("delay"),
        rate_per_million: 500_000,
        by: Default::default(),
        carrier: Carrier::Number { members, amplitude },
    }
}

fn marking() -> Marking {
    let marks = vec![number(vec![member("delay", 1)], 5)];
    Marking { profile: MarkProfile::Aes, marks, omitted_per_million: 0, decoys_per_million: 0, keeps: None }
}

/// A life with permits over flights whose delays may be marked.
pub fn permitted() -> Life {
    let mut life = Life::until("parties");
    let flights = declared(details::flights(), limits());
    for (name, details) in [("flights", flights), ("weather", details::weather()), ("drivers", details::drivers())] {
        let draft = Command::DraftResource { details: Box::new(details) };
        let resource: ResourceId = created(&life.world.done(&life.provider_of(name).handler, draft));
        life.note(name, resource);
    }
    life.walk("resources drafted", "permits approved");
    life
}

pub fn marked_product(life: &Life) -> ProductDetails {
    ProductDetails { marking: Some(marking()), ..details::punctuality(life) }
}

/// The life with a marked product, through the contracts.
fn contracted() -> Life {
    let mut life = permitted();
    for (name, details) in [("punctuality", marked_product(&life)), ("driver check", details::driver_check(&life))] {
        let draft = Command::DraftProduct { details: Box::new(details) };
        let product: ProductId = created(&life.world.done(&life.handler("operator"), draft));
        life.note(name, product);
    }
    life.walk("products drafted", "contracts signed");
    life
}

fn give(life: &Life, order: &str, commitments: KeyCommitments) -> Command {
    Command::GiveKeyShares { order: life.id(order), commitments: Box::new(commitments) }
}

fn renew(life: &Life, order: &str) -> Command {
    Command::RenewMarkKeys { order: life.id(order), reason: "密钥已在案件中公开".to_owned() }
}

/// Keys of an epoch of a consumer's code: other codes, and the positions where they were.
fn of_epoch(code_epoch: u32) -> KeyCommitments {
    KeyCommitments {
        code_epoch,
        positions: commitments(0).positions,
        ..commitments(10 + usize::try_from(code_epoch).unwrap())
    }
}

/// A world in which an order's keys were committed to, renewed, and committed to again.
pub fn whole() -> World {
    let mut life = contracted();
    let first = give(&life, "insurer's order", commitments(0));
    life.world.done(&life.approver("auditor"), first);
    let renewed = renew(&life, "insurer's order");
    life.world.done(&life.approver("auditor"), renewed);
    let second = give(&life, "insurer's order", of_epoch(1));
    life.world.done(&life.approver("auditor"), second);
    life.world
}

/// Another order of the marked product, signed by both.
fn another(life: &mut Life, consumer: &'static str, label: &'static str) {
    let order = details::order(life.id("punctuality"), "insurance/claim", &[Mode::Rows]);
    let place = Command::PlaceOrder { details: Box::new(order) };
    let order: OrderId = created(&life.world.done(&life.handler(consumer), place));
    life.note(label, order.clone());
    let sign = Command::SignContract { order, terms_digest: terms(life, label) };
    life.world.done(&life.approver(consumer), sign.clone());
    life.world.done(&life.approver("operator"), sign);
}

pub fn draft(life: &Life, details: ProductDetails) -> Result<(), Refusal> {
    let command = Command::DraftProduct { details: Box::new(details) };
    life.world.decide(&life.handler("operator"), &command).map(|_| ())
}

fn declare(details: ResourceDetails) -> Result<(), Refusal> {
    let life = Life::until("parties");
    let command = Command::DraftResource { details: Box::new(details) };
    life.world.decide(&life.handler("airport"), &command).map(|_| ())
}

#[test]
fn personal_and_credit_data_are_exact_by_law() {
    assert_eq!(declare(declared(details::flights(), limits())), Ok(()));
    let personal = MarkLimits {
        tolerances: BTreeMap::from([(
            name("city"),
            Tolerance::Texts([["A".to_owned(), "B".to_owned()].into()].into()),
        )]),
        omitted_per_million: 0,
        ..MarkLimits::default()
    };
    let sampled = MarkLimits { omitted_per_million: 1, ..MarkLimits::default() };
    for limits in [personal, sampled, MarkLimits::default()] {
        let refusal = declare(declared(details::drivers(), limits)).unwrap_err();
        assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::Invalid, "marks"));
        assert!(refusal.en.contains("PIPL art. 8") && refusal.zh.contains("个人信息保护法第八条"), "{refusal}");
    }
    // A row that names somebody is about him, with whatever stands in it.
    let life = permitted();
    let product = marked_product(&life);
    let key = product.key.first().cloned();
    for named in [
        ProductDetails { subject: key.clone(), ..product.clone() },
        ProductDetails { further_subjects: key.into_iter().collect(), ..product },
    ] {
        let refusal = draft(&life, named).unwrap_err();
        assert!(refusal.subject == "marking" && refusal.en.contains("PIPL art. 8"), "{refusal}");
    }
    let marks = Some(MarkDeclaration { credit_data: true, limits: limits() });
    let refusal = declare(ResourceDetails { marks, ..details::flights() }).unwrap_err();
    assert!(refusal.en.contains("Credit Reporting") && refusal.zh.contains("征信业管理条例"), "{refusal}");
}

#[test]
fn a_declaration_fits_its_columns() {
    let with = |column: &str, tolerance| {
        let tolerances = BTreeMap::from([(name(column), tolerance)]);
        declare(declared(details::flights(), MarkLimits { tolerances, ..MarkLimits::default() }))
    };
    assert_eq!(with("day", Tolerance::Seconds(decimal("86400"))), Ok(()));
    assert_eq!(with("delay", Tolerance::Minutes(5)), Ok(()));
    for (column, tolerance) in [
        ("nowhere", Tolerance::Number(Decimal::ONE)),
        ("flight_id", Tolerance::Texts([["A".to_owned(), "B".to_owned()].into()].into())),
        ("day", Tolerance::Number(Decimal::ONE)),
        ("delay", Tolerance::Metres(5)),
        ("delay", Tolerance::Number(Decimal::ZERO)),
        ("delay", Tolerance::Number(decimal("-1"))),
        ("delay", Tolerance::Number(decimal("0.0000000000001"))),
        ("delay", Tolerance::Minutes(721)),
        ("tail", Tolerance::Texts(BTreeSet::new())),
        ("tail", Tolerance::Texts([["A".to_owned()].into()].into())),
    ] {
        let refusal = with(column, tolerance.clone()).expect_err(&format!("{column} {tolerance:?}"));
        assert_eq!(refusal.code, RefusalCode::Invalid);
    }
    let rows = MarkLimits { omitted_per_million: 100_001, ..MarkLimits::default() };
    assert!(declare(declared(details::flights(), rows)).is_err());
    assert!(declare(declared(ResourceDetails { key: Vec::new(), ..details::flights() }, limits())).is_err());
}

#[test]
fn a_product_marks_within_its_rights() {
    let life = permitted();
    assert_eq!(draft(&life, marked_product(&life)), Ok(()));
    let with = |change: &dyn Fn(&mut ProductDetails)| {
        let mut details = marked_product(&life);
        change(&mut details);
        draft(&life, details).map_err(|refusal| refusal.code)
    };
    let marks = |marks: Vec<Mark>| with(&|details| details.marking.as_mut().unwrap().marks = marks.clone());
    let wide = Err(RefusalCode::ScopeTooWide);
    let invalid = Err(RefusalCode::Invalid);
    // The tolerance is ten minutes.
    assert_eq!(marks(vec![number(vec![member("delay", 1)], 10)]), Ok(()));
    assert_eq!(marks(vec![number(vec![member("delay", 1)], 11)]), wide);
    // A column that no tolerance was declared for, one of another input, and rows where the other input allows none.
    let mut wind = member("wind", 1);
    wind.encoding = Encoding::Lattice { step: decimal("0.1") };
    assert_eq!(marks(vec![number(vec![wind], 1)]), wide);
    assert_eq!(with(&|details| details.marking.as_mut().unwrap().omitted_per_million = 1), wide);
    // Keys, dimensions, strangers, doubles and nothing at all.
    assert_eq!(marks(vec![number(vec![member("flight_id", 1)], 1)]), invalid);
    assert_eq!(marks(vec![number(vec![member("nowhere", 1)], 1)]), invalid);
    assert_eq!(marks(vec![number(vec![member("delay", 1), member("delay", 1)], 1)]), invalid);
    assert_eq!(marks(vec![number(vec![member("delay", 1)], 1), number(vec![member("delay", 1)], 1)]), invalid);
    assert_eq!(marks(vec![number(vec![member("delay", 2)], 1)]), invalid);
    assert_eq!(marks(Vec::new()), invalid);
    assert_eq!(with(&|details| details.key.clear()), invalid);
    assert_eq!(with(&|details| details.dimensions.push(name("delay"))), invalid);
    // Where no values leave there is nobody to mark for.
    let in_domain = Narrowing { modes: Some(Mode::IN_DOMAIN.into()), ..Narrowing::default() };
    assert_eq!(with(&|details| details.narrowing = in_domain.clone()), invalid);
    // What the product itself narrows binds its marking as well.
    let less = MarkLimits {
        tolerances: BTreeMap::from([(name("delay"), Tolerance::Number(decimal("4")))]),
        omitted_per_million: 0,
        ..MarkLimits::default()
    };
    assert_eq!(with(&|details| details.narrowing.marks = Some(less.clone())), wide);
    assert_eq!(with(&|details| details.narrowing.marks = Some(MarkLimits::default())), wide);
}

/// Beside a second column of the same source, or rows chosen by it, a mark would show.
#[test]
fn nothing_else_in_a_product_tells_what_is_marked() {
    let life = permitted();
    let copy = |computed: bool| {
        let mut details = marked_product(&life);
        let mut copied = details.shape.columns.iter().find(|column| column.name == name("delay")).unwrap().clone();
        copied.name = name("delay_again");
        copied.computed = computed;
        details.shape.columns.push(copied);
        details
    };
    for computed in [false, true] {
        let refusal = draft(&life, copy(computed)).unwrap_err();
        assert!(refusal.en.contains("delay_again"), "{refusal}");
    }
    let mut tied = copy(false);
    tied.marking.as_mut().unwrap().marks = vec![number(vec![member("delay", 1), member("delay_again", 1)], 5)];
    assert_eq!(draft(&life, tied), Ok(()));
    let mut chosen = marked_product(&life);
    let source = chosen.shape.columns.iter().find(|column| column.name == name("delay")).unwrap().lineage.clone();
    chosen.shape.conditions.extend(source);
    assert!(draft(&life, chosen).unwrap_err().en.contains("decides which rows"));
    // By a condition of the product itself, and by one of a right above it.
    let late = Predicate::IsNull { column: name("delay") };
    let mut narrowed = marked_product(&life);
    narrowed.narrowing.rows = vec![late.clone()];
    assert!(draft(&life, narrowed).unwrap_err().en.contains("decides which rows"));
    let mut above = life.clone();
    let permit: PermitId = above.id("insurance permit");
    let flights: ResourceId = above.id("flights");
    let permit = &mut above.world.state.permits.get_mut(&permit).unwrap().value;
    permit.details.items.get_mut(&flights).unwrap().rows = vec![late];
    assert!(draft(&above, marked_product(&above)).unwrap_err().en.contains("decides which rows"));
}

/// Of live data the node has no originals that a leaked copy could be held against.
#[test]
fn live_data_is_not_marked() {
    let mut life = permitted();
    let flights: ResourceId = life.id("flights");
    let snapshot = life.world.state.resources.get_mut(&flights).unwrap().value.snapshot.as_mut().unwrap();
    let (connection, schema, table) = ("c".to_owned(), "s".to_owned(), "t".to_owned());
    snapshot.live = Some(LiveSource { connection, schema, table });
    let refusal = draft(&life, marked_product(&life)).unwrap_err();
    assert!(refusal.subject == "marking" && refusal.en.contains("originals"), "{refusal}");
}

/// A coarsened value carries no mark, in whatever mode it is shown.
#[test]
fn what_is_coarsened_is_not_marked() {
    let life = permitted();
    for (mode, precision, allowed) in [
        (Mode::Rows, "rounded:10", false),
        (Mode::Rows, "hidden", false),
        (Mode::Statistics, "rounded:10", false),
        (Mode::Statistics, "hidden", true),
        (Mode::Compute, "rounded:10", true),
    ] {
        let mut details = marked_product(&life);
        let mut delay = Precisions::all_of(&Mode::ALL, Precision::Exact);
        delay.0.insert(mode, precision.parse().unwrap());
        let mut columns = details::kept(&["flight_id", "day", "tail", "tail_prefix", "wind"]);
        columns.insert(name("delay"), Some(delay));
        details.narrowing.columns = Some(columns);
        assert_eq!(draft(&life, details).is_ok(), allowed, "{mode:?} {precision}");
    }
}

/// A tolerance that any link left out is gone below it.
#[test]
fn every_link_may_take_a_tolerance_away() {
    for exact in ["supply", "permit"] {
        let mut life = Life::until("parties");
        let flights = declared(details::flights(), limits());
        for (name, details) in [("flights", flights), ("weather", details::weather()), ("drivers", details::drivers())]
        {
            let draft = Command::DraftResource { details: Box::new(details) };
            let resource: ResourceId = created(&life.world.done(&life.provider_of(name).handler, draft));
            life.note(name, resource);
        }
        life.walk("resources drafted", "supplies requested");
        let nothing = Narrowing { marks: Some(MarkLimits::default()), ..Narrowing::default() };
        if exact == "supply" {
            for resource in ["flights", "weather", "drivers"] {
                let supply = life.id(&format!("{resource} supply"));
                let confirm = Command::ConfirmSupply { supply, narrowing: Box::new(nothing.clone()) };
                life.world.done(&life.provider_of(resource).officer, confirm);
            }
            life.walk("supplies confirmed", "permits approved");
        } else {
            life.walk("supplies requested", "permits approved");
            let permit: PermitId = life.id("insurance permit");
            let flights: ResourceId = life.id("flights");
            let permit = &mut life.world.state.permits.get_mut(&permit).unwrap().value;
            permit.details.items.get_mut(&flights).unwrap().marks = nothing.marks;
        }
        let refusal = draft(&life, marked_product(&life)).unwrap_err();
        assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::ScopeTooWide, "delay"), "{exact}");
    }
}

/// A life with permits over flights and weather among which decoys may stand, fewer of them in the weather.
fn permitted_decoys() -> Life {
    let mut life = Life::until("parties");
    let decoys = |decoys_per_million| MarkLimits { decoys_per_million, ..MarkLimits::default() };
    let flights = declared(details::flights(), decoys(1_000));
    let weather = declared(details::weather(), decoys(500));
    for (name, details) in [("flights", flights), ("weather", weather), ("drivers", details::drivers())] {
        let draft = Command::DraftResource { details: Box::new(details) };
        let resource: ResourceId = created(&life.world.done(&life.provider_of(name).handler, draft));
        life.note(name, resource);
    }
    life.walk("resources drafted", "permits approved");
    life
}

#[test]
fn decoys_stand_in_rows_and_files_alone_and_never_beyond_what_was_declared() {
    for (decoys_per_million, allowed) in [(1_000, true), (1_001, false)] {
        let limits = MarkLimits { decoys_per_million, ..MarkLimits::default() };
        assert_eq!(declare(declared(details::flights(), limits.clone())).is_ok(), allowed);
        let refusal = declare(declared(details::drivers(), limits)).unwrap_err();
        assert!(refusal.en.contains("PIPL art. 8"), "{refusal}");
    }
    let decoyed = |life: &Life, decoys_per_million, modes: &[Mode]| {
        let modes = Some(modes.iter().copied().collect());
        let mut product = details::punctuality(life);
        product.shape.conditions.clear();
        product.shape.row_by_row = true;
        ProductDetails {
            marking: Some(Marking { marks: Vec::new(), decoys_per_million, ..marking() }),
            narrowing: Narrowing { modes, ..product.narrowing.clone() },
            ..product
        }
    };
    let leaving = [Mode::Rows, Mode::File];
    let mut life = permitted_decoys();
    // The plan leaves out the flights of some carriers, which exist all the same.
    let refusal = draft(&life, decoyed(&life, 500, &leaving)).unwrap_err();
    assert!(refusal.code == RefusalCode::Invalid && refusal.en.contains("carrier"), "{refusal}");
    for plan in life.world.state.plans.values_mut() {
        plan.value.details.items.values_mut().for_each(|item| item.narrowing.rows.clear());
    }
    assert_eq!(draft(&life, decoyed(&life, 500, &leaving)), Ok(()));
    // Of two inputs the one that allows less.
    let refusal = draft(&life, decoyed(&life, 501, &leaving)).unwrap_err();
    assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::ScopeTooWide, "decoys"));
    for mode in [Mode::Verification, Mode::Statistics, Mode::Lookup] {
        let refusal = draft(&life, decoyed(&life, 500, &[Mode::Rows, mode])).unwrap_err();
        assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::Invalid, "marking"));
        assert!(refusal.en.contains(mode.code()) && refusal.zh.contains(mode.code()), "{refusal}");
    }
    // So do rows that the product's own statement leaves out.
    let mut chosen = decoyed(&life, 500, &leaving);
    chosen.shape.conditions.insert(SourceColumn { resource: life.id("flights"), column: name("day") });
    let refusal = draft(&life, chosen).unwrap_err();
    assert!(refusal.code == RefusalCode::Invalid && refusal.en.contains("day"), "{refusal}");
    let mut limited = decoyed(&life, 500, &leaving);
    limited.shape.row_by_row = false;
    let refusal = draft(&life, limited).unwrap_err();
    assert!(refusal.code == RefusalCode::Invalid && refusal.en.contains("one row of one resource"), "{refusal}");
    let mut keyed = decoyed(&life, 500, &leaving);
    keyed.key.push(name("tail"));
    let refusal = draft(&life, keyed).unwrap_err();
    assert!(refusal.code == RefusalCode::Invalid && refusal.en.contains("tail is no column"), "{refusal}");
    // Where none were declared there are none.
    let exact = permitted();
    let product = ProductDetails {
        marking: Some(Marking { decoys_per_million: 1, ..marking() }),
        narrowing: Narrowing { modes: Some(leaving.into()), ..Narrowing::default() },
        ..details::punctuality(&exact)
    };
    assert_eq!(draft(&exact, product).unwrap_err().code, RefusalCode::ScopeTooWide);
    // A marking without decoys is written as it was before there was a word for them.
    let written = serde_json::to_value(marking()).unwrap();
    assert!(written.get("decoys_per_million").is_none(), "{written}");
}

#[test]
fn one_consumer_does_not_hold_rows_with_decoys_and_without() {
    let mut life = contracted();
    let first: OrderId = life.id("insurer's order");
    let mut product = details::punctuality(&life);
    product.table = name("decoyed");
    product.shape.columns.retain(|column| column.name != name("delay"));
    let decoyed = offer(&mut life, "decoyed", product);
    assert_eq!(place(&life, "insurer", "decoyed", &[Mode::Rows]), Ok(()), "nothing of it tells a delay");
    let details = &mut life.world.state.products.get_mut(&decoyed).unwrap().value.details;
    details.marking = Some(Marking { marks: Vec::new(), decoys_per_million: 500, ..marking() });
    let refusal = place(&life, "insurer", "decoyed", &[Mode::Rows]).unwrap_err();
    assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::MarkedAndExact, first.as_str()));
    assert_eq!(place(&life, "platform", "decoyed", &[Mode::Rows]), Ok(()), "another consumer may");
}

#[test]
fn no_link_declares_a_tolerance_that_the_provider_did_not() {
    let life = Life::until("supplies requested");
    let narrowing = Narrowing { marks: Some(limits()), ..Narrowing::default() };
    let confirm = Command::ConfirmSupply { supply: life.id("flights supply"), narrowing: Box::new(narrowing) };
    let refusal = life.world.refused(&life.officer("airport"), &confirm);
    assert_eq!(refusal.code, RefusalCode::ScopeTooWide);
    assert!(refusal.en.contains("`delay`"), "{refusal}");
}

#[test]
fn the_contract_states_the_marking() {
    let marked = contracted();
    let exact = Life::until("contracts signed");
    let order = |life: &Life| life.world.state.orders[&life.id::<OrderId>("insurer's order")].value.clone();
    assert_ne!(order(&marked).contract.terms_digest, order(&exact).contract.terms_digest);
}

#[test]
fn one_consumer_does_not_hold_a_column_marked_and_exact() {
    let mut life = contracted();
    let first: OrderId = life.id("insurer's order");
    // More of the same marked values is fine; verification alone would show the exact ones.
    assert_eq!(place(&life, "insurer", "punctuality", &[Mode::Rows, Mode::Verification]), Ok(()));
    for modes in [&[Mode::Verification][..], &[Mode::Statistics]] {
        let refusal = place(&life, "insurer", "punctuality", modes).unwrap_err();
        assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::MarkedAndExact, first.as_str()));
        assert!(refusal.en.contains(first.as_str()) && refusal.zh.contains(first.as_str()), "{refusal}");
        // Another consumer may.
        assert_eq!(place(&life, "platform", "punctuality", modes), Ok(()));
    }
    // An exact product over the same source, or one that is chosen by it, or computed from it.
    let mut exact = details::punctuality(&life);
    exact.table = name("exact");
    let product = offer(&mut life, "exact", exact);
    assert_eq!(place(&life, "insurer", "exact", &[Mode::Rows]).unwrap_err().code, RefusalCode::MarkedAndExact);
    assert_eq!(place(&life, "platform", "exact", &[Mode::Rows]), Ok(()));
    let shape = |life: &mut Life, change: &dyn Fn(&mut ProductDetails)| {
        change(&mut life.world.state.products.get_mut(&product).unwrap().value.details);
    };
    shape(&mut life, &|details| {
        let delay = details.shape.columns.iter().position(|column| column.name == name("delay")).unwrap();
        let column = details.shape.columns.remove(delay);
        details.shape.conditions.extend(column.lineage);
    });
    assert_eq!(place(&life, "insurer", "exact", &[Mode::Rows]).unwrap_err().code, RefusalCode::MarkedAndExact);
    shape(&mut life, &|details| details.shape.conditions.clear());
    assert_eq!(place(&life, "insurer", "exact", &[Mode::Rows]), Ok(()), "other columns may be exact");
    // Rows left out of one and not of the other.
    let sampled = Marking { marks: Vec::new(), omitted_per_million: 5_000, ..marking() };
    shape(&mut life, &|details| details.marking = Some(sampled.clone()));
    assert_eq!(place(&life, "insurer", "exact", &[Mode::Rows]).unwrap_err().code, RefusalCode::MarkedAndExact);
    // What has ended is held no more.
    let end = Command::EndOrder { order: first, reason: "不再需要".to_owned() };
    life.world.done(&life.approver("insurer"), end);
    assert_eq!(place(&life, "insurer", "punctuality", &[Mode::Verification]), Ok(()));
}

/// Drafts a product and lets it be ordered on the terms of the one that the life lists.
fn offer(life: &mut Life, label: &'static str, details: ProductDetails) -> ProductId {
    let draft = Command::DraftProduct { details: Box::new(details) };
    let product: ProductId = created(&life.world.done(&life.handler("operator"), draft));
    life.note(label, product.clone());
    let listed = life.world.state.products[&life.id::<ProductId>("punctuality")].value.clone();
    let offered = &mut life.world.state.products.get_mut(&product).unwrap().value;
    // As one that was listed when none had to be registered: it has no certificate.
    (offered.stage, offered.price, offered.ceiling) = (listed.stage, listed.price, listed.ceiling);
    product
}

fn place(life: &Life, consumer: &str, product: &str, modes: &[Mode]) -> Result<(), Refusal> {
    let order = details::order(life.id(product), "insurance/claim", modes);
    life.world.decide(&life.handler(consumer), &Command::PlaceOrder { details: Box::new(order) }).map(|_| ())
}

/// Two products have two keys of positions: where the copy of one is marked, the other's mostly shows the original.
#[test]
fn one_consumer_does_not_hold_a_column_marked_by_two_products() {
    let mut life = contracted();
    let first: OrderId = life.id("insurer's order");
    let rarely = Mark { rate_per_million: 50_000, ..number(vec![member("delay", 1)], 1) };
    let twin = ProductDetails {
        table: name("twin"),
        marking: Some(Marking { marks: vec![rarely], ..marking() }),
        ..marked_product(&life)
    };
    let twin = offer(&mut life, "twin", twin);
    let refusal = place(&life, "insurer", "twin", &[Mode::Rows]).unwrap_err();
    assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::MarkedAndExact, first.as_str()));
    assert!(refusal.en.contains("twice") && refusal.en.contains(first.as_str()), "{refusal}");
    assert!(refusal.zh.contains("两个产品") && refusal.zh.contains(first.as_str()), "{refusal}");
    assert_eq!(place(&life, "insurer", "punctuality", &[Mode::File]), Ok(()), "the same product has the same key");
    assert_eq!(place(&life, "platform", "twin", &[Mode::Rows]), Ok(()), "another consumer may");
    // Rows that two products leave out are told by each other too.
    let sampled = Marking { marks: Vec::new(), omitted_per_million: 5_000, ..marking() };
    for product in [life.id("punctuality"), twin] {
        let details = &mut life.world.state.products.get_mut(&product).unwrap().value.details;
        details.marking = Some(sampled.clone());
    }
    let refusal = place(&life, "insurer", "twin", &[Mode::Rows]).unwrap_err();
    assert!(refusal.code == RefusalCode::MarkedAndExact && refusal.en.contains("twice"), "{refusal}");
    assert_eq!(place(&life, "insurer", "punctuality", &[Mode::File]), Ok(()));
}

/// Which rows a right has tells on which side of its condition the original lies, whoever made the condition.
#[test]
fn a_condition_of_a_right_above_shows_a_marked_column() {
    let mut life = contracted();
    let flights: ResourceId = life.id("flights");
    // The same permit once more, for the product that doesn't show delays.
    let narrower: PermitId = format!("pmt_{:032}", 7).parse().unwrap();
    let permit = life.world.state.permits[&life.id::<PermitId>("insurance permit")].clone();
    life.world.state.permits.insert(narrower.clone(), permit);
    let mut bare = details::punctuality(&life);
    bare.table = name("bare");
    bare.inputs.insert(flights.clone(), narrower.clone());
    bare.shape.columns.retain(|column| column.name != name("delay"));
    offer(&mut life, "bare", bare);
    assert_eq!(place(&life, "insurer", "bare", &[Mode::Rows]), Ok(()), "nothing of it tells a delay");
    let item = |life: &mut Life, change: &dyn Fn(&mut Narrowing)| {
        let permit = &mut life.world.state.permits.get_mut(&narrower).unwrap().value;
        change(permit.details.items.get_mut(&flights).unwrap());
    };
    item(&mut life, &|narrowing| narrowing.rows = vec![Predicate::IsNull { column: name("delay") }]);
    let refusal = place(&life, "insurer", "bare", &[Mode::Rows]).unwrap_err();
    assert!(refusal.code == RefusalCode::MarkedAndExact && refusal.en.contains("exact"), "{refusal}");
    // In the other order, and when the right that has the condition is suspended by then.
    assert_eq!(place(&life, "platform", "punctuality", &[Mode::Rows]), Ok(()));
    let order = details::order(life.id("bare"), "insurance/claim", &[Mode::Rows]);
    let held = Command::PlaceOrder { details: Box::new(order) };
    let held: OrderId = created(&life.world.done(&life.handler("platform"), held));
    let permit = &mut life.world.state.permits.get_mut(&narrower).unwrap().value;
    let PermitStage::Approved { by } = permit.stage.clone() else { panic!("the permit is approved") };
    permit.stage = PermitStage::Suspended { reason: "核查".to_owned(), by };
    let refusal = place(&life, "platform", "punctuality", &[Mode::Rows]).unwrap_err();
    assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::MarkedAndExact, held.as_str()));
}

/// A consumer's affiliate is the same hand.
#[test]
fn those_tied_to_a_consumer_count_with_it() {
    let mut life = contracted();
    let mut affiliate = details::party("affiliate", 80, Organisation::Enterprise, &[Role::Consumer]);
    affiliate.ties = [life.party("insurer")].into();
    life.admit("affiliate", affiliate);
    let order = details::order(life.id("punctuality"), "insurance/claim", &[Mode::Verification]);
    let place = Command::PlaceOrder { details: Box::new(order) };
    assert_eq!(life.world.refused(&life.handler("affiliate"), &place).code, RefusalCode::MarkedAndExact);
}

#[test]
fn the_auditor_gives_its_shares_once_for_an_order_in_force() {
    let mut life = contracted();
    let command = give(&life, "insurer's order", commitments(0));
    // Nobody else, and nobody without the duty.
    for stranger in ["authority", "operator", "insurer", "implementer"] {
        assert_eq!(
            life.world.refused(&life.approver(stranger), &command).code,
            RefusalCode::NotPermitted,
            "{stranger}"
        );
    }
    assert_eq!(life.world.refused(&life.handler("auditor"), &command).code, RefusalCode::NotPermitted);
    // Not for an order without marks.
    let unmarked = give(&life, "platform's order", commitments(0));
    assert_eq!(life.world.refused(&life.approver("auditor"), &unmarked).code, RefusalCode::WrongState);
    let other = KeyCommitments { profile: MarkProfile::Sm4, ..commitments(0) };
    let other = give(&life, "insurer's order", other);
    assert_eq!(life.world.refused(&life.approver("auditor"), &other).code, RefusalCode::Invalid);
    life.world.done(&life.approver("auditor"), command.clone());
    assert_eq!(life.world.refused(&life.approver("auditor"), &command).code, RefusalCode::WrongState, "once");
    let order = &life.world.state.orders[&life.id::<OrderId>("insurer's order")].value;
    let keys = order.mark_keys.as_ref().unwrap();
    assert_eq!((&keys.holder, &keys.commitments), (&life.party("auditor"), &commitments(0)));
}

#[test]
fn shares_wait_for_the_contract() {
    let mut life = permitted();
    let draft = Command::DraftProduct { details: Box::new(marked_product(&life)) };
    let product: ProductId = created(&life.world.done(&life.handler("operator"), draft));
    life.note("punctuality", product);
    let draft = Command::DraftProduct { details: Box::new(details::driver_check(&life)) };
    let product: ProductId = created(&life.world.done(&life.handler("operator"), draft));
    life.note("driver check", product);
    life.walk("products drafted", "orders placed");
    let command = give(&life, "insurer's order", commitments(0));
    assert_eq!(life.world.refused(&life.approver("auditor"), &command).code, RefusalCode::WrongState);
}

/// Who holds a half is tied to neither side and does not run the node.
#[test]
fn a_half_holder_stands_apart() {
    let mut life = contracted();
    for (name, serial, roles, tied) in [
        ("tied auditor", 81, &[Role::Auditor][..], Some("insurer")),
        ("operator's auditor", 82, &[Role::Auditor], Some("operator")),
        ("running auditor", 83, &[Role::Auditor, Role::DataAuthority], None),
    ] {
        let mut party = details::party(name, serial, Organisation::Department, roles);
        party.ties = tied.map(|side| life.party(side)).into_iter().collect();
        life.admit(name, party);
        let refusal = life.world.refused(&life.approver(name), &give(&life, "insurer's order", commitments(0)));
        assert_eq!(refusal.code, RefusalCode::NotPermitted, "{name}");
    }
}

/// A second order of the same product has the same key of positions, one of the same consumer the same recipient's key.
#[test]
fn orders_of_one_product_share_what_they_must() {
    let mut life = contracted();
    another(&mut life, "insurer", "again");
    another(&mut life, "platform", "elsewhere");
    let first = give(&life, "insurer's order", commitments(0));
    life.world.done(&life.approver("auditor"), first);
    let (old, new) = (commitments(0), commitments(1));
    let strange_positions = give(&life, "elsewhere", new.clone());
    assert_eq!(life.world.refused(&life.approver("auditor"), &strange_positions).code, RefusalCode::Invalid);
    let strange_recipient = KeyCommitments { positions: old.positions, ..new.clone() };
    let command = give(&life, "again", strange_recipient.clone());
    assert_eq!(life.world.refused(&life.approver("auditor"), &command).code, RefusalCode::Invalid);
    let command = give(&life, "elsewhere", strange_recipient);
    life.world.done(&life.approver("auditor"), command);
    let command = give(&life, "again", KeyCommitments { order: new.order, ..old });
    life.world.done(&life.approver("auditor"), command);
    // Another auditor has another half.
    let other = details::party("other auditor", 84, Organisation::Department, &[Role::Auditor]);
    life.admit("other auditor", other);
    another(&mut life, "platform", "third");
    let command = give(&life, "third", KeyCommitments { order: commitments(2).order, ..commitments(0) });
    assert_eq!(life.world.refused(&life.approver("other auditor"), &command).code, RefusalCode::Invalid);
}

/// After a disclosure all of a consumer's codes for the product end at once, and only who holds the half ends them.
#[test]
fn codes_that_were_disclosed_end_for_all_orders_of_the_consumer() {
    let mut life = contracted();
    for (consumer, label) in
        [("insurer", "again"), ("insurer", "ended"), ("insurer", "bare"), ("platform", "elsewhere")]
    {
        another(&mut life, consumer, label);
    }
    let auditor = life.approver("auditor");
    // What was never committed to can't be renewed.
    assert_eq!(life.world.refused(&auditor, &renew(&life, "insurer's order")).code, RefusalCode::WrongState);
    let (old, other) = (commitments(0), commitments(1));
    for (label, commitments) in [
        ("insurer's order", old.clone()),
        ("again", KeyCommitments { order: other.order, ..old.clone() }),
        ("ended", KeyCommitments { order: commitments(2).order, ..old.clone() }),
        ("elsewhere", KeyCommitments { positions: old.positions, ..other }),
    ] {
        let give = give(&life, label, commitments);
        life.world.done(&auditor, give);
    }
    let end = Command::EndOrder { order: life.id("ended"), reason: "到期".to_owned() };
    life.world.done(&life.approver("insurer"), end);
    for stranger in ["authority", "operator", "insurer", "implementer"] {
        let refusal = life.world.refused(&life.approver(stranger), &renew(&life, "again"));
        assert_eq!(refusal.code, RefusalCode::NotPermitted, "{stranger}");
    }
    let party = details::party("other auditor", 84, Organisation::Department, &[Role::Auditor]);
    life.admit("other auditor", party);
    let refusal = life.world.refused(&life.approver("other auditor"), &renew(&life, "again"));
    assert_eq!(refusal.code, RefusalCode::NotPermitted, "the half is another's");

    let renewed = renew(&life, "again");
    assert_eq!(life.world.done(&auditor, renewed).len(), 2);
    let order = |life: &Life, label: &str| life.world.state.orders[&life.id::<OrderId>(label)].value.clone();
    for label in ["insurer's order", "again"] {
        let order = order(&life, label);
        assert_eq!((order.mark_keys, order.mark_keys_before.len(), order.code_epoch), (None, 1, 1), "{label}");
    }
    // What has ended delivers no more, and another consumer's codes are nobody else's.
    for label in ["ended", "elsewhere"] {
        assert!(order(&life, label).mark_keys.is_some_and(|keys| keys.commitments.code_epoch == 0), "{label}");
    }
    // Once is enough, until there are new ones.
    assert_eq!(life.world.refused(&auditor, &renew(&life, "again")).code, RefusalCode::WrongState);
    // The next keys are of the next epoch, also those of an order that had none, and the positions stay where they are.
    for wrong in [
        old.clone(),
        KeyCommitments { code_epoch: 2, ..of_epoch(1) },
        KeyCommitments { code_epoch: 1, ..commitments(3) },
    ] {
        let give = give(&life, "again", wrong);
        assert_eq!(life.world.refused(&auditor, &give).code, RefusalCode::Invalid);
    }
    let bare = give(&life, "bare", KeyCommitments { order: old.order, ..old.clone() });
    assert_eq!(life.world.refused(&auditor, &bare).code, RefusalCode::Invalid);
    let again = give(&life, "again", of_epoch(1));
    life.world.done(&auditor, again);
    let strange = KeyCommitments { recipient: old.recipient, ..of_epoch(1) };
    let bare = give(&life, "bare", strange);
    assert_eq!(life.world.refused(&auditor, &bare).code, RefusalCode::Invalid, "one consumer has one code in an epoch");
    let bare = give(&life, "bare", KeyCommitments { order: commitments(4).order, ..of_epoch(1) });
    life.world.done(&auditor, bare);
    assert_eq!(order(&life, "bare").code_epoch, 1);
    // By an order that has ended the others are found as well.
    let renewed = renew(&life, "ended");
    assert_eq!(life.world.done(&auditor, renewed).len(), 3);
    assert_eq!(order(&life, "bare").code_epoch, 2);
}

/// Steps fit the types that they move.
#[test]
fn a_mark_fits_the_type_of_its_column() {
    let life = permitted();
    let with = |encoding: Encoding, data_type: DataType, tolerance: Tolerance| {
        let mut details = marked_product(&life);
        let mut member = member("delay", 1);
        member.encoding = encoding;
        details.marking.as_mut().unwrap().marks = vec![number(vec![member], 1)];
        for column in &mut details.shape.columns {
            if column.name == name("delay") {
                column.data_type = data_type;
            }
        }
        let mut life = life.clone();
        let resource = life.id::<ResourceId>("flights");
        let resource = &mut life.world.state.resources.get_mut(&resource).unwrap().value;
        let declared = resource.details.marks.as_mut().unwrap();
        declared.limits.tolerances.insert(name("delay"), tolerance);
        draft(&life, details).map_err(|refusal| refusal.code)
    };
    let lattice = |step: &str| Encoding::Lattice { step: decimal(step) };
    let time = |step: &str| Encoding::Time { step: decimal(step) };
    let (ten, day) = (Tolerance::Number(decimal("10")), Tolerance::Seconds(decimal("86400")));
    assert_eq!(with(lattice("0.5"), DataType::Float, ten.clone()), Ok(()));
    assert_eq!(with(lattice("0.5"), DataType::Integer, ten.clone()), Err(RefusalCode::Invalid));
    assert_eq!(with(lattice("1"), DataType::Text, ten.clone()), Err(RefusalCode::Invalid));
    assert_eq!(with(time("86400"), DataType::Date, day.clone()), Ok(()));
    assert_eq!(with(time("3600"), DataType::Date, day.clone()), Err(RefusalCode::Invalid));
    assert_eq!(with(time("0.001"), DataType::Timestamp, day), Ok(()));
    assert_eq!(with(Encoding::HoursMinutes, DataType::Integer, Tolerance::Minutes(1)), Ok(()));
    assert_eq!(with(Encoding::HoursMinutes, DataType::Integer, ten), Err(RefusalCode::ScopeTooWide));
}
