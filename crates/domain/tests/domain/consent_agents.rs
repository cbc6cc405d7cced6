//! Consent agents: before whom a data subject acts, what they vouch for, and in whose matters they may not.

use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::command::Command;
use lingqu_domain::consent::ConsentLimits;
use lingqu_domain::consent_batch::members_digest;
use lingqu_domain::id::ConsentId;
use lingqu_domain::party::{Organisation, PartyDetails, Role};
use lingqu_domain::refusal::RefusalCode;

use crate::details;
use crate::life::{Life, other_subject, subject};
use crate::world::created;

/// The life with a consent agent.
fn with_agent(ties: &[&str]) -> Life {
    let mut life = Life::whole();
    let agent = details::party("agent", 77, Organisation::PublicInstitution, &[Role::ConsentAgent]);
    let ties = ties.iter().map(|name| life.party(name)).collect();
    life.admit("agent", PartyDetails { ties, ..agent });
    life
}

fn before(user: &Actor) -> Actor {
    let Actor::User(user) = user else { panic!("{user} is no user") };
    Actor::SubjectBefore { subject: subject(), user: user.clone() }
}

fn give(life: &Life) -> Command {
    Command::GiveConsent { details: Box::new(details::consent(life)) }
}

fn batch(life: &Life) -> Command {
    let digest = members_digest(&[subject(), other_subject()]).to_string();
    Command::RecordConsents { details: Box::new(details::consent(life)), count: 2, digest }
}

#[test]
fn a_subject_acts_before_a_handler_of_an_agent_and_stays_the_author() {
    let mut life = with_agent(&[]);
    let actor = before(&life.handler("agent"));
    let recorded = life.world.done(&actor, give(&life));
    assert_eq!(recorded[0].actor, actor);
    let text = actor.to_string();
    assert!(text.starts_with("sub_") && text.contains("/usr_"), "{text}");
    assert_eq!(text.parse::<Actor>().unwrap(), actor);
    let consent: ConsentId = created(&recorded);
    assert_eq!(life.world.state.consents[&consent].value.subject, subject());
    // What one gave before an agent he narrows by himself, and withdraws before another one.
    let mut limits = details::consent(&life);
    limits.term = details::term("2026-12-01T00:00:00Z", "2026-12-15T00:00:00Z");
    let limits = ConsentLimits { resources: limits.resources, fields: limits.fields, term: limits.term };
    let narrow = Command::NarrowConsent { consent: consent.clone(), limits: Box::new(limits) };
    life.world.done(&life.subject(), narrow);
    let second = details::party("second agent", 78, Organisation::PublicInstitution, &[Role::ConsentAgent]);
    life.admit("second agent", second);
    let withdraw = Command::WithdrawConsent { consent };
    life.world.done(&before(&life.handler("second agent")), withdraw);
    // Of another subject's consent nobody learns, before whomever.
    let Actor::User(user) = life.handler("agent") else { panic!("a handler is a user") };
    let recorded = life.world.done(&life.subject(), give(&life));
    let stranger = Actor::SubjectBefore { subject: other_subject(), user };
    let refusal = life.world.refused(&stranger, &Command::WithdrawConsent { consent: created(&recorded) });
    assert_eq!(refusal.code, RefusalCode::NotFound);
}

#[test]
fn nobody_else_vouches_for_a_subject() {
    let mut life = with_agent(&[]);
    for name in ["authority", "implementer", "platform", "insurer", "traffic"] {
        for actor in [life.handler(name), life.approver(name)] {
            assert_eq!(life.world.refused(&before(&actor), &give(&life)).code, RefusalCode::NotPermitted, "{name}");
            assert_eq!(life.world.refused(&actor, &batch(&life)).code, RefusalCode::NotPermitted, "{name}");
            assert_eq!(life.world.refused(&actor, &give(&life)).code, RefusalCode::NotPermitted, "{name}");
        }
    }
    // Of an agent its handlers alone, and none who was disabled.
    let agent = life.party("agent");
    for actor in [life.approver("agent"), life.member("agent").admin] {
        assert_eq!(life.world.refused(&before(&actor), &give(&life)).code, RefusalCode::NotPermitted);
    }
    let spare = life.add_user(&agent, &[Duty::Handler]);
    life.world.done(&before(&spare), give(&life));
    let Actor::User(user) = spare.clone() else { panic!("a handler is a user") };
    life.world.done(&life.member("agent").admin, Command::DisableUser { user });
    assert_eq!(life.world.refused(&before(&spare), &give(&life)).code, RefusalCode::NotPermitted);
    // A subject gives nothing but what subjects give.
    let suspend = Command::SuspendMandate { mandate: life.id("mandate"), reason: "检查".to_owned() };
    let refusal = life.world.refused(&before(&life.handler("agent")), &suspend);
    assert_eq!(refusal.code, RefusalCode::NotPermitted);
}

#[test]
fn an_agent_records_a_batch_under_its_own_name() {
    let mut life = with_agent(&[]);
    let handler = life.handler("agent");
    let recorded = life.world.done(&handler, batch(&life));
    assert_eq!(recorded[0].actor, handler);
    // A front end that is built into the node does so as before.
    life.world.done(&Actor::Node, batch(&life));
}

#[test]
fn an_agent_is_disinterested() {
    let life = with_agent(&["platform"]);
    let refusal = life.world.refused(&before(&life.handler("agent")), &give(&life));
    assert_eq!((refusal.code, refusal.en.contains("tied")), (RefusalCode::NotPermitted, true), "{refusal}");
    let refusal = life.world.refused(&life.handler("agent"), &batch(&life));
    assert_eq!((refusal.code, refusal.en.contains("tied")), (RefusalCode::NotPermitted, true), "{refusal}");
    for role in [Role::Consumer, Role::Operator] {
        let both = details::party("both", 79, Organisation::Enterprise, &[Role::ConsentAgent, role]);
        let refusal = life.world.refused(&life.member("authority").admin, &Command::RegisterParty { details: both });
        assert_eq!(refusal.code, RefusalCode::RolesNotDistinct);
    }
}
