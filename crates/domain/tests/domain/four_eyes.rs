//! Four eyes are two persons: who a party's users are is decided by that party alone, and what one of them applied for or
//! opined on another approves.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::command::Command;
use lingqu_domain::event::{Event, Recorded};
use lingqu_domain::id::{PartyId, PermitId, UserId};
use lingqu_domain::party::{Organisation, PartyEvent, Role, UserEvent};
use lingqu_domain::refusal::RefusalCode;
use lingqu_domain::rulebook::Rulebook;
use lingqu_domain::state::EntityKind;
use proptest::prelude::*;

use crate::details;
use crate::dice::{self, Dice};
use crate::life::Life;
use crate::scopes::seeded;
use crate::world::created;

const DUTIES: [Duty; 4] = [Duty::Administrator, Duty::Handler, Duty::Approver, Duty::ChiefDataOfficer];

struct Known {
    party: PartyId,
    duties: BTreeSet<Duty>,
    active: bool,
}

impl Known {
    fn administers(&self, party: &PartyId) -> bool {
        self.active && self.party == *party && self.duties.contains(&Duty::Administrator)
    }
}

/// How many users came from outside their party, and how many were disabled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub first_administrators: u64,
    pub disabled: u64,
}

/// Told again from the journal alone: users are added and disabled by an administrator of their own party, but for the
/// first administrator; and a party that had an administrator keeps one.
pub fn users_are_their_partys(journal: &[Recorded]) -> Counted {
    let mut roles: BTreeMap<PartyId, BTreeSet<Role>> = BTreeMap::new();
    let mut users: BTreeMap<UserId, Known> = BTreeMap::new();
    let mut counted = Counted::default();
    for recorded in journal {
        match &recorded.event {
            Event::Party(PartyEvent::Registered(details)) => {
                roles.insert(recorded.stream.parse().unwrap(), details.roles.clone());
            }
            Event::User(UserEvent::Added { party, duties }) => {
                if let Actor::User(actor) = &recorded.actor {
                    let actor = &users[actor];
                    assert!(actor.administers(&actor.party), "no administrator added a user");
                    if actor.party != *party {
                        counted.first_administrators += 1;
                        assert!(roles[&actor.party].contains(&Role::DataAuthority), "a foreign user was added");
                        assert_eq!(*duties, [Duty::Administrator].into(), "a foreign user who acts was added");
                        assert!(!users.values().any(|user| user.administers(party)), "not the first administrator");
                    }
                } else {
                    assert!(users.is_empty(), "the node brings up its first user and no other");
                }
                let known = Known { party: party.clone(), duties: duties.clone(), active: true };
                users.insert(recorded.stream.parse().unwrap(), known);
            }
            Event::User(UserEvent::Disabled) => {
                counted.disabled += 1;
                let id: UserId = recorded.stream.parse().unwrap();
                let Actor::User(actor) = &recorded.actor else { panic!("a user was disabled by none") };
                let party = users[&id].party.clone();
                assert!(users[actor].administers(&party), "a user was disabled from outside");
                users.get_mut(&id).unwrap().active = false;
                assert!(users.values().any(|user| user.administers(&party)), "{party} has lost its administrators");
            }
            _ => {}
        }
    }
    counted
}

fn random_command(dice: &mut Dice, life: &Life) -> Command {
    let parties = dice::ids(life, EntityKind::Party);
    let users = dice::ids(life, EntityKind::User);
    match dice.below(8) {
        0 => {
            let role = dice.one_of(&[Role::Consumer, Role::DataAuthority, Role::Provider]);
            let details = details::party("新主体", 200 + dice.below(500) as u32, Organisation::Enterprise, &[role]);
            Command::RegisterParty { details }
        }
        1..=4 => {
            let some = dice.some_of(&DUTIES);
            let duties = if dice.below(2) == 1 { [Duty::Administrator].into() } else { some };
            // Often a party that has no user yet.
            let mut parties: Vec<PartyId> = parties.iter().map(|id| id.parse().unwrap()).collect();
            let new = |party: &PartyId| life.world.state.users.values().all(|user| user.value.party != *party);
            if dice.below(2) == 1 && parties.iter().any(new) {
                parties.retain(new);
            }
            Command::AddUser { party: dice.one_of(&parties), duties }
        }
        _ => Command::DisableUser { user: dice.one_of(&users).parse().unwrap() },
    }
}

#[test]
fn no_sequence_gives_anybody_a_user_of_another_party_but_its_first_administrator() {
    let total = std::cell::Cell::new(Counted::default());
    let refusals = std::cell::Cell::new(0_u64);
    proptest::test_runner::TestRunner::new(seeded(200))
        .run(&proptest::collection::vec(any::<u64>(), 1..=80), |turns| {
            let mut life = Life::until("parties");
            for seed in turns {
                let mut dice = Dice::new(seed);
                let command = random_command(&mut dice, &life);
                let actor = if dice.once_in(4) {
                    Actor::User(dice.one_of(&dice::ids(&life, EntityKind::User)).parse().unwrap())
                } else {
                    dice::actor(&mut dice, &life, &command)
                };
                if life.world.give(&actor, command).is_err() {
                    refusals.set(refusals.get() + 1);
                }
            }
            let counted = users_are_their_partys(&life.world.journal);
            let before = total.get();
            total.set(Counted {
                // The eleven of the life itself are not of chance.
                first_administrators: before.first_administrators + counted.first_administrators - 11,
                disabled: before.disabled + counted.disabled - 1,
            });
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let total = total.get();
    assert!(
        total.first_administrators > 50 && total.disabled > 50 && refusals.get() > 1_000,
        "too little was seen to show anything: {total:?}, {} refused",
        refusals.get()
    );
}

#[test]
fn the_data_authority_can_t_put_its_own_people_into_another_party() {
    let mut life = Life::until("parties");
    let authority = life.member("authority").admin;
    let insurer = life.party("insurer");
    let add = |party: &PartyId, duties: &[Duty]| Command::AddUser {
        party: party.clone(),
        duties: duties.iter().copied().collect(),
    };
    let refused = |life: &Life, command: Command| {
        let refusal = life.world.refused(&authority, &command);
        assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::NotPermitted, insurer.as_str()));
        refusal.en
    };
    for duties in [&[Duty::Handler][..], &[Duty::Approver], &[Duty::ChiefDataOfficer], &[Duty::Administrator]] {
        assert!(refused(&life, add(&insurer, duties)).contains("its own administrator"));
    }
    // Nor can it make room for an administrator of its choice.
    let Actor::User(user) = life.member("insurer").admin else { unreachable!("a user") };
    refused(&life, Command::DisableUser { user });

    // A party that was just registered gets one administrator, and no other duty with it.
    let party = details::party("new", 80, Organisation::Enterprise, &[Role::Consumer]);
    let new: PartyId = created(&life.world.done(&authority, Command::RegisterParty { details: party }));
    for duties in [&[Duty::Handler][..], &[Duty::Administrator, Duty::Handler], &[Duty::Administrator, Duty::Approver]]
    {
        assert_eq!(life.world.refused(&authority, &add(&new, duties)).code, RefusalCode::NotPermitted);
    }
    let other = life.member("operator").admin;
    let refusal = life.world.refused(&other, &add(&new, &[Duty::Administrator]));
    assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::NotPermitted, new.as_str()));
    let first = add(&new, &[Duty::Administrator]);
    // Two at once: each has read the journal's last position, so the second append is a conflict and is decided again.
    let decision = life.world.decide(&authority, &first).unwrap();
    assert_eq!(decision.reads.get("journal"), Some(&life.world.state.position));
    let admin = Actor::User(created::<UserId>(&life.world.done(&authority, first.clone())));
    assert_eq!(life.world.refused(&authority, &first).code, RefusalCode::NotPermitted);
    for duties in [&[Duty::Handler][..], &[Duty::Approver], &[Duty::Administrator]] {
        life.world.done(&admin, add(&new, duties));
    }
}

#[test]
fn the_last_administrator_names_a_successor_before_he_goes() {
    let mut life = Life::until("parties");
    let insurer = life.party("insurer");
    let first = life.member("insurer").admin;
    let Actor::User(user) = first.clone() else { unreachable!("a user") };
    let leave = Command::DisableUser { user: user.clone() };
    let refusal = life.world.refused(&first, &leave);
    assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::WrongState, user.as_str()));
    assert!(refusal.en.contains("successor") && refusal.zh.contains("继任"), "{refusal}");
    let second = life.add_user(&insurer, &[Duty::Administrator]);
    // Each has read the other, so two who disable each other at the same time conflict.
    let Actor::User(successor) = second.clone() else { unreachable!("a user") };
    let decision = life.world.decide(&first, &leave).unwrap();
    assert_eq!(decision.reads.get(successor.as_str()), Some(&1));
    life.world.done(&first, leave);
    assert_eq!(life.world.refused(&second, &Command::DisableUser { user: successor }).code, RefusalCode::WrongState);
    let add = Command::AddUser { party: insurer, duties: [Duty::Handler].into() };
    assert_eq!(life.world.refused(&first, &add).code, RefusalCode::NotPermitted);
    assert!(life.world.decide(&second, &add).is_ok());
}

#[test]
fn one_person_does_not_take_two_steps_of_a_permit() {
    // A department that is provider, competent department and implementer at once; one user of it holds every post.
    let mut life = Life::until("parties");
    let roles = [Role::Provider, Role::CompetentDepartment, Role::Implementer];
    let department = details::party("department", 81, Organisation::Enterprise, &roles);
    life.admit("airport", department);
    life.stand_in("implementer", "airport");
    life.stand_in("competent", "airport");
    let all = life.add_user(&life.party("airport"), &[Duty::Approver, Duty::ChiefDataOfficer]);
    life.walk("parties", "permits applied");
    let permit: PermitId = life.id("insurance permit");
    let confirm = Command::ConfirmPermit { permit: permit.clone() };
    let opinion = Command::GiveOpinion { permit: permit.clone(), agrees: true, text: "同意".to_owned() };
    let approve = Command::ApprovePermit { permit };
    let officer = life.officer("airport");
    let approver = life.approver("airport");
    let mut confirmed = life.clone();
    confirmed.world.done(&all, confirm.clone());
    assert_eq!(confirmed.world.refused(&all, &opinion).code, RefusalCode::FourEyes);
    confirmed.world.done(&approver, opinion.clone());
    assert_eq!(confirmed.world.refused(&all, &approve).code, RefusalCode::FourEyes);
    assert_eq!(confirmed.world.refused(&approver, &approve).code, RefusalCode::FourEyes);
    let third = confirmed.add_user(&confirmed.party("airport"), &[Duty::Approver]);
    confirmed.world.done(&third, approve.clone());

    life.world.done(&officer, confirm);
    life.world.done(&all, opinion);
    assert_eq!(life.world.refused(&all, &approve).code, RefusalCode::FourEyes);
    assert!(life.world.decide(&approver, &approve).is_ok());
}

#[test]
fn a_rulebook_is_proposed_by_one_and_adopted_by_another() {
    let mut life = Life::until("parties");
    let next = Box::new(Rulebook { version: "next".to_owned(), ..Rulebook::initial() });
    let propose = Command::ProposeRulebook { rulebook: next.clone() };
    let adopt = Command::AdoptRulebook { rulebook: next.clone() };
    let approver = life.approver("authority");
    assert_eq!(life.world.refused(&approver, &adopt).code, RefusalCode::WrongState);
    assert_eq!(life.world.refused(&approver, &propose).code, RefusalCode::NotPermitted);
    let both = life.add_user(&life.party("authority"), &[Duty::Handler, Duty::Approver]);
    life.world.done(&both, propose);
    assert_eq!(life.world.refused(&both, &adopt).code, RefusalCode::FourEyes);
    // What is adopted is what was proposed, to the letter.
    let mut other = next;
    other.publicity_days = 0;
    let refusal = life.world.refused(&approver, &Command::AdoptRulebook { rulebook: other });
    assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::Invalid, "rulebook"));
    life.world.done(&approver, adopt.clone());
    let node = &life.world.state.node.values().next().unwrap().value;
    assert_eq!((node.rulebook.version.as_str(), node.proposal.as_ref()), ("next", None));
    assert_eq!(life.world.refused(&approver, &adopt).subject, "version");
}
