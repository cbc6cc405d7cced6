//! Certificates end, and are renewed by the steps by which they were issued.

use lingqu_domain::access::Actor;
use lingqu_domain::chain;
use lingqu_domain::command::Command;
use lingqu_domain::decide::Reader;
use lingqu_domain::id::RegistrationId;
use lingqu_domain::refusal::RefusalCode;
use lingqu_domain::registration::Registrable;
use lingqu_domain::right::RightKind;
use lingqu_domain::scope::Mode;

use crate::details;
use crate::life::Life;
use crate::world::{at, created};

fn ceiling_code(life: &Life) -> Option<RefusalCode> {
    let mut reader = Reader::new(&life.world.state, life.world.now);
    chain::resource_scope(&mut reader, &life.id("flights")).err().map(|refusal| refusal.code)
}

fn apply(life: &Life) -> Command {
    Command::ApplyRegistration { object: Registrable::Resource(life.id("flights")) }
}

fn refused(life: &Life, actor: &Actor, command: &Command) -> (RefusalCode, String) {
    let refusal = life.world.refused(actor, command);
    (refusal.code, refusal.en)
}

fn publicity(life: &mut Life, registration: &RegistrationId) {
    let registrar = life.member("registrar");
    life.world.done(&registrar.handler, Command::AcceptRegistration { registration: registration.clone() });
    life.world.done(&registrar.approver, Command::ReviewRegistration { registration: registration.clone() });
}

#[test]
fn a_certificate_is_renewed_in_its_last_sixty_days() {
    let mut life = Life::whole();
    let provider = life.handler("airport");
    let first = life.world.state.resources[&life.id("flights")].value.certificate.clone().unwrap();
    // Three years after 17 November 2026, and sixty days before that, in Beijing.
    assert_eq!(first.valid_until, at("2029-11-16T16:00:00Z"));
    life.world.now = at("2029-09-17T15:59:59Z");
    let (code, words) = refused(&life, &provider, &apply(&life));
    assert_eq!(code, RefusalCode::AlreadyExists);
    assert!(words.contains("from 2029-09-18 on"), "{words}");
    life.world.now = at("2029-09-17T16:00:00Z");
    let command = apply(&life);
    let returned: RegistrationId = created(&life.world.done(&provider, command));
    assert_eq!(refused(&life, &provider, &apply(&life)).0, RefusalCode::AlreadyExists, "one at a time");

    // Returned, it is as before: the first certificate holds, and an application starts afresh.
    let give_back = Command::ReturnRegistration { registration: returned, missing: "数据样例".to_owned() };
    life.world.done(&life.handler("registrar"), give_back);
    assert_eq!(life.world.state.resources[&life.id("flights")].value.certificate, Some(first.clone()));
    let command = apply(&life);
    let registration: RegistrationId = created(&life.world.done(&provider, command));
    publicity(&mut life, &registration);

    // The first certificate holds to its end, whatever is under way; then nothing does until the second.
    life.world.now = at("2029-11-16T15:59:59Z");
    assert_eq!(ceiling_code(&life), None);
    life.world.now = first.valid_until;
    assert_eq!(ceiling_code(&life), Some(RefusalCode::GrantEnded));
    let certify = Command::CertifyRegistration { registration };
    assert_eq!(refused(&life, &life.handler("registrar"), &certify).0, RefusalCode::NotPermitted);
    life.world.done(&life.approver("registrar"), certify);
    assert_eq!(ceiling_code(&life), None);
    let second = life.world.state.resources[&life.id("flights")].value.certificate.clone().unwrap();
    assert!(second.code != first.code && second.valid_until > first.valid_until);
    let mut rights = life.world.state.rights.values().map(|right| &right.value);
    let holds = rights.any(|right| {
        right.kind == RightKind::Hold && right.object == life.link("flights") && right.holds_at(life.world.now)
    });
    assert!(holds, "the position in the register is renewed with the certificate");
}

#[test]
fn a_product_that_is_on_the_market_is_renewed_too() {
    let mut life = Life::whole();
    let product = || Registrable::Product(life.id("punctuality"));
    let command = Command::ApplyRegistration { object: product() };
    let operator = life.handler("operator");
    assert_eq!(refused(&life, &operator, &command).0, RefusalCode::AlreadyExists);
    life.world.now = at("2030-01-10T00:00:00Z");
    // What was listed with a certificate is not sold without one.
    let order = details::order(life.id("punctuality"), "insurance/claim", &[Mode::Rows]);
    let place = Command::PlaceOrder { details: Box::new(order) };
    assert_eq!(refused(&life, &life.handler("insurer"), &place).0, RefusalCode::RightMissing);
    let delist = Command::DelistProduct { product: life.id("punctuality"), reason: "续展".to_owned() };
    life.world.done(&life.approver("operator"), delist);
    let list = Command::ListProduct { product: life.id("punctuality") };
    assert_eq!(refused(&life, &life.approver("operator"), &list).0, RefusalCode::RightMissing, "it has ended");
    let registration: RegistrationId = created(&life.world.done(&operator, command));
    publicity(&mut life, &registration);
    life.world.now = at("2030-02-10T00:00:00Z");
    life.world.done(&life.approver("registrar"), Command::CertifyRegistration { registration });
    // The right to operate is there again; what is missing now is the mandate, whose term is over.
    assert_ne!(refused(&life, &life.approver("operator"), &list).0, RefusalCode::RightMissing);
}
