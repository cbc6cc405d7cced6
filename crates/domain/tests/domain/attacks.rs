//! Ways to get more than was granted that were looked for, some of which once worked.

use std::collections::BTreeMap;

use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::id::{MandateId, PermitId};
use lingqu_domain::mandate::RevenueTerms;
use lingqu_domain::party::{Organisation, Role};
use lingqu_domain::permit::PermitDetails;
use lingqu_domain::product::{ProductDetails, SourceColumn};
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::resource::Grade;
use lingqu_domain::rulebook::Rulebook;
use lingqu_domain::scope::{Mode, Narrowing, Precision, Precisions};

use crate::details::{self, name, purposes, term};
use crate::life::Life;
use crate::world::created;

fn product_refused(life: &Life, details: ProductDetails) -> Refusal {
    let command = Command::DraftProduct { details: Box::new(details) };
    life.world.refused(&life.handler("operator"), &command)
}

fn adopt(life: &mut Life, change: impl FnOnce(&mut Rulebook)) {
    let mut rulebook = Rulebook { version: "adopted".to_owned(), ..Rulebook::initial() };
    change(&mut rulebook);
    put_in_force(life, rulebook);
}

/// Proposed by one of the data authority, adopted by another.
fn put_in_force(life: &mut Life, rulebook: Rulebook) {
    let rulebook = Box::new(rulebook);
    life.world.done(&life.handler("authority"), Command::ProposeRulebook { rulebook: rulebook.clone() });
    life.world.done(&life.approver("authority"), Command::AdoptRulebook { rulebook });
}

#[test]
fn an_item_keeps_the_shorter_term_and_the_fewer_purposes_that_it_states() {
    // The plan's, mandate's and permit's own parts bound every item; they once replaced what an item said.
    let mut life = Life::until("plan approved");
    let mut mandate = details::mandate(&life);
    let short = term(details::FROM, "2026-12-25T00:00:00Z");
    mandate.items.get_mut(&life.id("flights")).unwrap().term = Some(short);
    let recorded = life.world.done(&life.handler("implementer"), Command::DraftMandate { details: Box::new(mandate) });
    life.note("mandate", created::<lingqu_domain::id::MandateId>(&recorded));
    life.walk("mandate drafted", "agreement signed");
    let mut permit = details::insurance_permit(&life);
    permit.items.get_mut(&life.id("flights")).unwrap().purposes = Some(purposes(&["insurance/claim"]));
    let recorded = life.world.done(&life.handler("operator"), Command::ApplyPermit { details: Box::new(permit) });
    life.note("insurance permit", created::<lingqu_domain::id::PermitId>(&recorded));
    let licence = Command::ApplyPermit { details: Box::new(details::licence_permit(&life)) };
    let recorded = life.world.done(&life.handler("operator"), licence);
    life.note("licence permit", created::<lingqu_domain::id::PermitId>(&recorded));
    life.walk("permits applied", "listed");
    let place = |what: &str, until: &str| {
        let mut order = details::order(life.id("punctuality"), what, &[Mode::Rows]);
        order.term.until = crate::world::at(until);
        Command::PlaceOrder { details: Box::new(order) }
    };
    let refused = |command: Command| life.world.refused(&life.handler("insurer"), &command).code;
    assert_eq!(refused(place("insurance/pricing", "2026-12-20T00:00:00Z")), RefusalCode::PurposeNotPermitted);
    assert_eq!(refused(place("insurance/claim", "2027-01-01T00:00:00Z")), RefusalCode::ScopeTooWide);
    let within = place("insurance/claim", "2026-12-25T00:00:00Z");
    assert!(life.world.decide(&life.handler("insurer"), &within).is_ok());
}

#[test]
fn a_product_can_t_choose_whose_consent_it_asks_for() {
    let life = Life::until("permits approved");
    let change = |change: &dyn Fn(&mut ProductDetails)| {
        let mut product = details::driver_check(&life);
        change(&mut product);
        product_refused(&life, product)
    };
    let refused = [
        change(&|product| product.subject = None),
        // Any other column, though its values were those of somebody who consented.
        change(&|product| product.subject = Some(name("licence"))),
        change(&|product| product.shape.columns[0].computed = true),
        change(&|product| product.shape.columns[0].lineage.clear()),
        change(&|product| {
            let other = SourceColumn { resource: life.id("drivers"), column: name("licence") };
            product.shape.columns[0].lineage.insert(other);
        }),
    ];
    for refusal in refused {
        assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::Invalid, "subject"), "{}", refusal.en);
    }
}

/// Two inputs about persons: each row is about one of either, and nobody is left out by not being named.
#[test]
fn a_product_asks_the_subjects_of_every_input() {
    let mut life = Life::until("permits approved");
    for (resource, subject) in [("flights", "tail"), ("weather", "wind")] {
        let id: lingqu_domain::id::ResourceId = life.id(resource);
        let entity = life.world.state.resources.get_mut(&id).expect("it is drafted");
        entity.value.details.subject = Some(name(subject));
    }
    let drafted = |change: &dyn Fn(&mut ProductDetails)| {
        let mut product = ProductDetails { subject: Some(name("tail")), ..details::punctuality(&life) };
        change(&mut product);
        let command = Command::DraftProduct { details: Box::new(product) };
        let decided = life.world.decide(&life.handler("operator"), &command);
        decided.map(drop).map_err(|refusal| (refusal.code, refusal.subject))
    };
    let refused = |subject: &str| Err((RefusalCode::Invalid, subject.to_owned()));
    // That both are named does not say that nobody else's rows are in it.
    assert_eq!(drafted(&|_| ()), refused("further_subjects"));
    assert_eq!(drafted(&|product| product.further_subjects = vec![name("wind")]), refused("further_subjects"));
    let by_person = |further: &'static [&'static str]| {
        drafted(&move |product| {
            product.further_subjects = further.iter().copied().map(name).collect();
            product.shape.by_person = true;
        })
    };
    assert_eq!(by_person(&["wind"]), Ok(()));
    // Joined by person.
    assert_eq!(by_person(&[]), Ok(()));
    // Named, but computed: it could name anybody.
    let computed = drafted(&|product| {
        product.further_subjects = vec![name("wind")];
        product.shape.columns[5].computed = true;
        product.shape.by_person = true;
    });
    assert_eq!(computed, refused("subject"));
    // Another column than the one that names persons.
    assert_eq!(by_person(&["delay"]), refused("subject"));
    assert_eq!(by_person(&["elsewhere"]), refused("key"));
    assert_eq!(by_person(&["wind"; 8]), refused("further_subjects"));
    // That a person's column decides which rows there are names nobody.
    let filtered = drafted(&|product| {
        let source = SourceColumn { resource: life.id("weather"), column: name("wind") };
        product.shape.conditions.insert(source);
    });
    assert_eq!(filtered, refused("further_subjects"));
}

#[test]
fn a_product_stands_on_permits_of_its_operator_for_its_resources() {
    let life = Life::until("permits approved");
    let drivers: lingqu_domain::id::ResourceId = life.id("drivers");
    let mut product = details::driver_check(&life);
    product.inputs.insert(drivers.clone(), life.id("insurance permit"));
    assert_eq!(product_refused(&life, product).code, RefusalCode::ScopeTooWide);
    // A lineage into a resource that is no input.
    let mut product = details::driver_check(&life);
    let stray = SourceColumn { resource: life.id("flights"), column: name("tail") };
    product.shape.columns[1].lineage.insert(stray.clone());
    assert_eq!(product_refused(&life, product).code, RefusalCode::NotFound);
    let mut product = details::driver_check(&life);
    product.shape.conditions.insert(stray);
    assert_eq!(product_refused(&life, product).code, RefusalCode::NotFound);
    // A filter on a column that the mandate left out.
    let mut product = details::driver_check(&life);
    product.shape.conditions.insert(SourceColumn { resource: drivers, column: name("medical") });
    let refusal = product_refused(&life, product);
    assert_eq!(refusal.code, RefusalCode::ScopeTooWide);
    assert!(refusal.en.contains("medical"), "{refusal}");
}

/// A second mandate of the same plan, in force, whose revenue terms are changed.
fn second_mandate(life: &mut Life, change: impl FnOnce(&mut RevenueTerms)) -> MandateId {
    let mut mandate = details::mandate(life);
    mandate.name = "第二项数据运营授权".to_owned();
    change(&mut mandate.revenue);
    let draft = Command::DraftMandate { details: Box::new(mandate) };
    let recorded = life.world.done(&life.handler("implementer"), draft);
    let mandate: MandateId = created(&recorded);
    life.world.done(&life.approver("implementer"), Command::ApproveMandate { mandate: mandate.clone() });
    for party in ["implementer", "operator"] {
        life.world.done(&life.approver(party), Command::SignAgreement { mandate: mandate.clone() });
    }
    mandate
}

/// The permit for flights and weather, approved, under a mandate and for a scenario.
fn permit_under(life: &mut Life, mandate: MandateId, scenario: &str) -> PermitId {
    let permit = PermitDetails { mandate, scenario: scenario.to_owned(), ..details::insurance_permit(life) };
    let recorded = life.world.done(&life.handler("operator"), Command::ApplyPermit { details: Box::new(permit) });
    let permit: PermitId = created(&recorded);
    life.world.done(&life.officer("airport"), Command::ConfirmPermit { permit: permit.clone() });
    let opinion = Command::GiveOpinion { permit: permit.clone(), agrees: true, text: "同意".to_owned() };
    life.world.done(&life.approver("competent"), opinion);
    life.world.done(&life.approver("implementer"), Command::ApprovePermit { permit: permit.clone() });
    permit
}

#[test]
fn a_product_over_several_mandates_names_a_permit_of_the_same_scenario_in_each() {
    let mut life = Life::until("permits approved");
    let scenario = details::insurance_permit(&life).scenario;
    let equal = second_mandate(&mut life, |_| ());
    let other = second_mandate(&mut life, |revenue| revenue.treasury_rate = details::decimal("0.21"));
    // Flights stand on the first mandate's permit, weather on each of these in turn.
    let same_scenario = permit_under(&mut life, equal.clone(), &scenario);
    let other_scenario = permit_under(&mut life, equal, "航班延误统计");
    let other_revenue = permit_under(&mut life, other, &scenario);
    let drafted = |permit: PermitId| {
        let mut product = details::punctuality(&life);
        assert_ne!(product.inputs.insert(life.id("weather"), permit.clone()), Some(permit), "it was another's");
        let command = Command::DraftProduct { details: Box::new(product) };
        let decided = life.world.decide(&life.handler("operator"), &command);
        decided.map(drop).map_err(|refusal| (refusal.code, refusal.en))
    };
    let refused = |why: &str| Err((RefusalCode::Invalid, format!("inputs: {why}")));
    assert_eq!(drafted(same_scenario), Ok(()));
    assert_eq!(drafted(other_scenario), refused("the permits of one product are for one scenario"));
    let why = "the mandates under one product have the same revenue terms, or its fee could not be split";
    assert_eq!(drafted(other_revenue), refused(why));
}

#[test]
fn a_computed_column_shows_nothing_of_a_coarsened_one() {
    let life = Life::whole();
    let grant = life.grant("insurer's order").unwrap();
    let prefix = &grant.scope.columns[&name("tail_prefix")];
    for mode in [Mode::Statistics, Mode::Lookup, Mode::Rows, Mode::File] {
        assert_eq!(prefix.in_mode(mode), Precision::Hidden);
    }
    // Nor can the product's own narrowing ask for it.
    let life = Life::until("permits approved");
    for column in ["tail", "tail_prefix"] {
        let asked = Precisions::all_of(&[Mode::Rows], Precision::Exact);
        let mut product = details::punctuality(&life);
        product.narrowing.columns = Some(BTreeMap::from([(name(column), Some(asked))]));
        assert_eq!(product_refused(&life, product).code, RefusalCode::ScopeTooWide);
    }
}

#[test]
fn a_rulebook_that_coarsens_a_column_shuts_the_rights_that_look_at_it() {
    // The plan's row condition looks at `carrier`, which another rulebook no longer shows in rows: with the condition
    // the rows would tell it, without the condition there would be more rows.
    let mut life = Life::whole();
    adopt(&mut life, |rulebook| {
        rulebook.grade_modes.insert(Grade::General1, Mode::IN_DOMAIN.to_vec());
    });
    let refusal = life.grant("insurer's order").unwrap_err();
    assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::NotInForce, life.link("plan").as_str()));
    assert!(refusal.en.contains("`carrier`"), "{refusal}");
    // The product's join looks at `day`, which may then be used for statistics alone.
    let mut life = Life::whole();
    adopt(&mut life, |rulebook| {
        rulebook.grade_modes.insert(Grade::General1, vec![Mode::Statistics]);
        rulebook.grade_modes.insert(Grade::General2, vec![Mode::Statistics]);
        rulebook.grade_modes.insert(Grade::General3, vec![Mode::Statistics]);
    });
    let refusal = life.grant("insurer's order").unwrap_err();
    assert!(refusal.en.contains("`day`"), "{refusal}");
    // Back to the old rules, back to the old right.
    let before = Life::whole().grant("insurer's order").unwrap();
    let mut rulebook = Rulebook::initial();
    rulebook.version = "adopted again".to_owned();
    put_in_force(&mut life, rulebook);
    assert_eq!(life.grant("insurer's order").unwrap().scope, before.scope);
}

#[test]
fn a_rulebook_that_allows_more_adds_no_rows_to_a_permit_that_names_none() {
    let mut life = Life::until("parties");
    adopt(&mut life, |rulebook| {
        rulebook.grade_modes.insert(Grade::General1, Mode::IN_DOMAIN.to_vec());
        rulebook.grade_modes.insert(Grade::General2, Mode::IN_DOMAIN.to_vec());
    });
    life.walk("parties", "agreement signed");
    let mut permit = details::insurance_permit(&life);
    permit.items = BTreeMap::from([(life.id("weather"), Narrowing::default())]);
    let recorded = life.world.done(&life.handler("operator"), Command::ApplyPermit { details: Box::new(permit) });
    let permit: lingqu_domain::id::PermitId = created(&recorded);
    life.world.done(&life.officer("airport"), Command::ConfirmPermit { permit: permit.clone() });
    let opinion = Command::GiveOpinion { permit: permit.clone(), agrees: true, text: "同意".to_owned() };
    life.world.done(&life.approver("competent"), opinion);
    life.world.done(&life.approver("implementer"), Command::ApprovePermit { permit: permit.clone() });
    put_in_force(&mut life, Rulebook::initial());
    let mut reader = lingqu_domain::decide::Reader::new(&life.world.state, life.world.now);
    let resource = life.id("weather");
    let mandate = lingqu_domain::chain::mandate_scope(&mut reader, &life.id("mandate"), &resource).unwrap();
    assert!(mandate.modes.contains(&Mode::Rows), "the mandate has grown with the rules");
    let scope = lingqu_domain::chain::permit_scope(&mut reader, &permit, &resource).unwrap();
    assert_eq!(scope.modes, Mode::IN_DOMAIN.into());
}

#[test]
fn a_lowered_ceiling_binds_products_that_are_listed() {
    let mut life = Life::until("listed");
    let mut ceiling = details::ceiling(&life);
    ceiling.per_call = "0.01".parse().unwrap();
    let command = Command::SetCeiling { product: life.id("punctuality"), ceiling };
    life.world.done(&life.approver("implementer"), command);
    let order = details::order(life.id("punctuality"), "insurance/claim", &[Mode::Rows]);
    let place = Command::PlaceOrder { details: Box::new(order) };
    assert_eq!(life.world.refused(&life.handler("insurer"), &place).code, RefusalCode::PriceAboveCeiling);
    let delist = Command::DelistProduct { product: life.id("punctuality"), reason: "调价".to_owned() };
    life.world.done(&life.approver("operator"), delist);
    let list = Command::ListProduct { product: life.id("punctuality") };
    assert_eq!(life.world.refused(&life.approver("operator"), &list).code, RefusalCode::PriceAboveCeiling);
    let mut price = details::price();
    price.per_call = "0.01".parse().unwrap();
    life.world.done(&life.approver("operator"), Command::SetPrice { product: life.id("punctuality"), price });
    life.world.done(&life.approver("operator"), list);
    assert!(life.world.decide(&life.handler("insurer"), &place).is_ok());
}

#[test]
fn a_contract_that_waits_is_signed_about_what_is_open_to_orders_at_a_price_that_is_allowed() {
    let placed = Life::until("orders placed");
    let terms_digest = crate::life::terms(&placed, "insurer's order");
    let sign = Command::SignContract { order: placed.id("insurer's order"), terms_digest };
    let refused = |life: &Life| life.world.refused(&life.approver("insurer"), &sign).code;
    assert!(placed.world.decide(&placed.approver("insurer"), &sign).is_ok());

    let mut life = placed.clone();
    let mut ceiling = details::ceiling(&life);
    ceiling.per_call = "0.01".parse().unwrap();
    let command = Command::SetCeiling { product: life.id("punctuality"), ceiling };
    life.world.done(&life.approver("implementer"), command);
    assert_eq!(refused(&life), RefusalCode::PriceAboveCeiling);

    let mut life = placed.clone();
    let delist = Command::DelistProduct { product: life.id("punctuality"), reason: "复核".to_owned() };
    life.world.done(&life.approver("operator"), delist);
    assert_eq!(refused(&life), RefusalCode::WrongState);
    life.world.done(&life.approver("operator"), Command::ListProduct { product: life.id("punctuality") });
    assert!(life.world.decide(&life.approver("insurer"), &sign).is_ok());
}

#[test]
fn publicity_that_crosses_into_a_year_lasts_over_the_holidays_that_are_published_for_it() {
    let mut life = Life::until("registrations accepted");
    life.world.now = crate::world::at("2026-12-24T01:00:00Z");
    let registration = || life.id("drivers registration");
    let (review, certify) = (
        Command::ReviewRegistration { registration: registration() },
        Command::CertifyRegistration { registration: registration() },
    );
    let registrar = life.approver("registrar");
    life.world.done(&registrar, review);
    // Ten working days, if 1 January were one.
    let mut before = life.clone();
    before.world.now = crate::world::at("2027-01-08T01:00:00Z");
    assert!(before.world.decide(&registrar, &certify).is_ok());
    adopt(&mut life, |rulebook| {
        rulebook.calendar.version = "2027".to_owned();
        rulebook.calendar.published_through_year = 2027;
        rulebook.calendar.holidays.insert("2027-01-01".parse().unwrap());
    });
    life.world.now = crate::world::at("2027-01-08T01:00:00Z");
    let refusal = life.world.refused(&registrar, &certify);
    assert_eq!(refusal.code, RefusalCode::TooEarly);
    assert!(refusal.en.contains("through 2027-01-08"), "{refusal}");
    life.world.now = crate::world::at("2027-01-09T01:00:00Z");
    assert!(life.world.decide(&registrar, &certify).is_ok());
}

#[test]
fn a_mandate_that_is_revoked_before_its_term_begins_leaves_no_right_to_use() {
    let mut life = Life::until("plan approved");
    let mut mandate = details::mandate(&life);
    mandate.term = term("2027-06-01T00:00:00Z", "2028-01-01T00:00:00Z");
    let recorded = life.world.done(&life.handler("implementer"), Command::DraftMandate { details: Box::new(mandate) });
    let mandate: MandateId = created(&recorded);
    life.world.done(&life.approver("implementer"), Command::ApproveMandate { mandate: mandate.clone() });
    for party in ["implementer", "operator"] {
        life.world.done(&life.approver(party), Command::SignAgreement { mandate: mandate.clone() });
    }
    let held = |life: &Life| {
        let rights = life.world.state.rights.values().map(|right| &right.value);
        let of_mandate = rights.filter(|right| right.basis == mandate.as_str());
        of_mandate.filter(|right| right.holds_at(crate::world::at("2027-07-01T00:00:00Z"))).count()
    };
    assert_eq!(held(&life), 3);
    let revoke = Command::RevokeMandate { mandate: mandate.clone(), reason: "违约".to_owned() };
    life.world.done(&life.approver("implementer"), revoke);
    assert_eq!(held(&life), 0);
}

#[test]
fn an_operator_is_neither_its_own_competent_department_nor_its_own_price_authority() {
    let mut life = Life::until("parties");
    let roles = [Role::Operator, Role::CompetentDepartment, Role::PriceAuthority];
    life.admit("operator", details::party("all three", 82, Organisation::Enterprise, &roles));
    life.walk("parties", "agreement signed");
    let apply = |competent: &str| {
        let permit = PermitDetails { competent: life.party(competent), ..details::insurance_permit(&life) };
        Command::ApplyPermit { details: Box::new(permit) }
    };
    let refused = |competent: &str| life.world.refused(&life.handler("operator"), &apply(competent)).code;
    assert_eq!((refused("operator"), refused("insurer")), (RefusalCode::RelatedParties, RefusalCode::Invalid));
    assert!(life.world.decide(&life.handler("operator"), &apply("competent")).is_ok());
    let fix = |operator: &str| Command::FixPermittedRevenue {
        operator: life.party(operator),
        term: term("2026-11-30T16:00:00Z", "2027-12-31T16:00:00Z"),
        cost: "100000".parse().unwrap(),
        profit_rate: details::decimal("0.06"),
        tax: "3000".parse().unwrap(),
        treasury_yield: details::decimal("0.0175"),
    };
    let own = life.world.refused(&life.approver("operator"), &fix("operator"));
    assert_eq!(own.code, RefusalCode::RelatedParties);
    assert!(life.world.decide(&life.approver("price"), &fix("operator")).is_ok());
}

#[test]
fn a_voucher_is_recorded_once() {
    let mut life = Life::until("confirmed");
    let voucher = |number: &str| Command::RecordVoucher {
        settlement: life.id("settlement"),
        number: number.to_owned(),
        amount: "1".parse().unwrap(),
    };
    let (first, second) = (voucher("非税 2"), voucher("非税 3"));
    life.world.done(&life.handler("finance"), first.clone());
    assert_eq!(life.world.refused(&life.handler("finance"), &first).code, RefusalCode::AlreadyExists);
    life.world.done(&life.handler("finance"), second);
}

#[test]
fn extreme_numbers_are_refused_and_never_panic() {
    let life = Life::until("plan approved");
    for rate in ["-79228162514264337593543950335", "79228162514264337593543950335", "1.1", "-0.1"] {
        let mut mandate = details::mandate(&life);
        mandate.revenue.treasury_rate = details::decimal(rate);
        let command = Command::DraftMandate { details: Box::new(mandate) };
        let refusal = life.world.refused(&life.handler("implementer"), &command);
        assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::Invalid, "revenue"), "{rate}");
    }
    for years in [i16::MIN, -1, 0, 101, i16::MAX] {
        for field in ["certificate_years", "mandate_years_max"] {
            let mut rulebook = Rulebook { version: "x".to_owned(), ..Rulebook::initial() };
            match field {
                "certificate_years" => rulebook.certificate_years = years,
                _ => rulebook.mandate_years_max = years,
            }
            let command = Command::ProposeRulebook { rulebook: Box::new(rulebook) };
            let refusal = life.world.refused(&life.handler("authority"), &command);
            assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::Invalid, field));
        }
    }
    // More calls than money can hold: the period is refused as a whole, and nothing is settled in part.
    let mut life = Life::until("keys");
    let reading = details::reading(life.id("insurer's order"), 0, u64::MAX, u64::MAX);
    life.world.done(&Actor::Node, Command::CloseMeter { readings: vec![reading] });
    let close = Command::CloseSettlement { period: "2026-12".to_owned() };
    assert_eq!(life.world.refused(&life.approver("operator"), &close).code, RefusalCode::Invalid);
}

#[test]
fn nothing_is_metered_before_the_contract_is_signed() {
    let life = Life::until("orders placed");
    let reading = details::reading(life.id("insurer's order"), 0, 5, 0);
    let refusal = life.world.refused(&Actor::Node, &Command::CloseMeter { readings: vec![reading] });
    assert_eq!(refusal.code, RefusalCode::WrongState);
}

#[test]
fn who_receives_part_of_a_fee_can_t_block_a_settlement_by_owing_it() {
    let mut life = Life::until("parties");
    // An airport that is a consumer too takes the place of the plain one.
    let mut airport = details::party("airport as consumer", 95, lingqu_domain::party::Organisation::Enterprise, &[]);
    airport.roles = [lingqu_domain::party::Role::Provider, lingqu_domain::party::Role::Consumer].into();
    life.admit("airport", airport);
    life.walk("parties", "listed");
    let place = |what: &str| {
        let order = details::order(life.id("punctuality"), what, &[Mode::Rows]);
        Command::PlaceOrder { details: Box::new(order) }
    };
    let refusal = life.world.refused(&life.handler("airport"), &place("insurance/claim"));
    assert_eq!(refusal.code, RefusalCode::RelatedParties);
    assert!(life.world.decide(&life.handler("airport"), &place("public/study")).is_ok());
}

#[test]
fn a_finance_department_receives_no_providers_part() {
    let mut life = Life::until("plan approved");
    let mut treasury = details::party("treasury two", 96, lingqu_domain::party::Organisation::Enterprise, &[]);
    treasury.roles = [lingqu_domain::party::Role::Finance, lingqu_domain::party::Role::Provider].into();
    life.admit("second treasury", treasury);
    let mut mandate = details::mandate(&life);
    mandate.revenue.provider_rates.insert(life.party("second treasury"), details::decimal("0.1"));
    let command = Command::DraftMandate { details: Box::new(mandate) };
    let refusal = life.world.refused(&life.handler("implementer"), &command);
    assert_eq!(refusal.subject, "revenue.provider_rates");
}

#[test]
fn registrations_of_one_credit_code_conflict() {
    // Two at once: each reads the journal's last position, so the second append is a conflict.
    let life = Life::until("parties");
    let party = details::party(
        "x",
        97,
        lingqu_domain::party::Organisation::Enterprise,
        &[lingqu_domain::party::Role::Consumer],
    );
    let command = Command::RegisterParty { details: party };
    let decision = life.world.decide(&life.member("authority").admin, &command).unwrap();
    assert_eq!(decision.reads.get("journal"), Some(&life.world.state.position));
}
