//! Who may give which command: one table of command × role × duty, printed as the golden permission matrix.
//!
//! The table says which kind of party and which post may give a command at all. Whether the party is *the* party of
//! the entity (its own resource, its own mandate) and whether the user is another than the applicant is said by the
//! entity's own `decide`.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decide::Deciding;
use crate::id::{PartyId, SubjectId, UserId};
use crate::party::{Party, Role};
use crate::refusal::{Refusal, RefusalCode};

/// Who gives a command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A user for his party.
    User(UserId),
    /// A data subject for himself.
    Subject(SubjectId),
    /// A data subject for himself, before a user of a consent agent, who vouches for it that it is he.
    SubjectBefore {
        /// The subject.
        subject: SubjectId,
        /// The user.
        user: UserId,
    },
    /// The node's own jobs: metering windows, settlements that fall due.
    Node,
}

impl Actor {
    /// The data subject who acts for himself, if it is one.
    pub fn subject(&self) -> Option<&SubjectId> {
        match self {
            Actor::Subject(subject) | Actor::SubjectBefore { subject, .. } => Some(subject),
            Actor::User(_) | Actor::Node => None,
        }
    }

    /// The user who acts, or who vouches for the subject.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Actor::User(user) | Actor::SubjectBefore { user, .. } => Some(user),
            Actor::Subject(_) | Actor::Node => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::User(id) => id.fmt(formatter),
            Actor::Subject(id) => id.fmt(formatter),
            Actor::SubjectBefore { subject, user } => write!(formatter, "{subject}/{user}"),
            Actor::Node => formatter.write_str("node"),
        }
    }
}

impl std::str::FromStr for Actor {
    type Err = crate::id::BadId;

    /// Reads what [`fmt::Display`] wrote.
    fn from_str(text: &str) -> Result<Self, crate::id::BadId> {
        if text == "node" {
            return Ok(Actor::Node);
        }
        if text.starts_with(SubjectId::PREFIX) {
            return match text.split_once('/') {
                Some((subject, user)) => Ok(Actor::SubjectBefore { subject: subject.parse()?, user: user.parse()? }),
                None => text.parse().map(Actor::Subject),
            };
        }
        text.parse().map(Actor::User)
    }
}

/// A post within a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// 系统管理: parties and users.
    Administrator,
    /// 经办: drafts and applies.
    Handler,
    /// 审批: approves what another drafted.
    Approver,
    /// 首席数据官: signs catalogue, grades and supply.
    ChiefDataOfficer,
}

/// One line of the permission matrix.
#[derive(Clone, Copy, Debug)]
pub struct Permission {
    /// The command's name.
    pub command: &'static str,
    /// Roles of which the actor's party needs one; empty: any party.
    pub roles: &'static [Role],
    /// Duties of which the user needs one; empty: any user.
    pub duties: &'static [Duty],
    /// Whether a data subject may give it for himself, also before a handler of a consent agent.
    pub subject: bool,
    /// Whether the node's jobs may give it.
    pub node: bool,
    /// Whether only a use case of the node gives it (it carries facts that the node itself establishes), never a
    /// client directly.
    pub internal: bool,
}

const fn by(command: &'static str, roles: &'static [Role], duties: &'static [Duty]) -> Permission {
    Permission { command, roles, duties, subject: false, node: false, internal: false }
}

const fn internal(command: &'static str, roles: &'static [Role], duties: &'static [Duty]) -> Permission {
    Permission { command, roles, duties, subject: false, node: false, internal: true }
}

const HANDLER: &[Duty] = &[Duty::Handler];
const APPROVER: &[Duty] = &[Duty::Approver];
const OFFICER: &[Duty] = &[Duty::ChiefDataOfficer];
const ADMINISTRATOR: &[Duty] = &[Duty::Administrator];

/// The permission matrix, in the order of the life of data.
pub const PERMISSIONS: &[Permission] = &[
    Permission { command: "initialise_node", roles: &[], duties: &[], subject: false, node: true, internal: true },
    by("propose_rulebook", &[Role::DataAuthority], HANDLER),
    by("adopt_rulebook", &[Role::DataAuthority], APPROVER),
    by("register_party", &[Role::DataAuthority], ADMINISTRATOR),
    // Made together with the login; an administrator without one would lock his party out.
    internal("add_user", &[], ADMINISTRATOR),
    by("disable_user", &[], ADMINISTRATOR),
    by("draft_resource", &[Role::Provider], HANDLER),
    by("sign_resource", &[Role::Provider], OFFICER),
    internal("record_snapshot", &[Role::Provider], HANDLER),
    internal("record_quality_report", &[Role::Provider, Role::DataAuthority], HANDLER),
    by("answer_ticket", &[Role::Provider], HANDLER),
    by("close_ticket", &[Role::DataAuthority], HANDLER),
    by("apply_registration", &[Role::Provider, Role::Operator], HANDLER),
    by("accept_registration", &[Role::Registrar], HANDLER),
    by("return_registration", &[Role::Registrar], HANDLER),
    by("review_registration", &[Role::Registrar], APPROVER),
    by("certify_registration", &[Role::Registrar], APPROVER),
    by("request_supply", &[Role::Implementer], HANDLER),
    by("confirm_supply", &[Role::Provider], OFFICER),
    by("refuse_supply", &[Role::Provider], OFFICER),
    by("withdraw_supply", &[Role::Provider], OFFICER),
    by("set_privacy_budget", &[Role::Provider], OFFICER),
    by("draft_plan", &[Role::Implementer], HANDLER),
    by("submit_plan", &[Role::Implementer], APPROVER),
    by("approve_plan", &[Role::DataAuthority], APPROVER),
    by("return_plan", &[Role::DataAuthority], APPROVER),
    by("draft_mandate", &[Role::Implementer], HANDLER),
    by("approve_mandate", &[Role::Implementer], APPROVER),
    by("sign_agreement", &[Role::Implementer, Role::Operator], APPROVER),
    by("suspend_mandate", &[Role::Implementer, Role::DataAuthority], APPROVER),
    by("resume_mandate", &[Role::Implementer, Role::DataAuthority], APPROVER),
    by("revoke_mandate", &[Role::Implementer], APPROVER),
    by("apply_permit", &[Role::Operator], HANDLER),
    by("confirm_permit", &[Role::Provider], OFFICER),
    by("give_opinion", &[Role::CompetentDepartment], APPROVER),
    by("approve_permit", &[Role::Implementer], APPROVER),
    by("refuse_permit", &[Role::Implementer], APPROVER),
    by("suspend_permit", &[Role::Implementer], APPROVER),
    by("resume_permit", &[Role::Implementer], APPROVER),
    by("draft_product", &[Role::Operator], HANDLER),
    by("review_product_output", &[Role::Implementer], APPROVER),
    by("fix_permitted_revenue", &[Role::PriceAuthority], APPROVER),
    by("set_ceiling", &[Role::Implementer], APPROVER),
    by("set_price", &[Role::Operator], APPROVER),
    by("list_product", &[Role::Operator, Role::Implementer], APPROVER),
    by("delist_product", &[Role::Operator, Role::Implementer], APPROVER),
    by("place_order", &[Role::Consumer], HANDLER),
    by("sign_contract", &[Role::Operator, Role::Consumer], APPROVER),
    internal("issue_service_key", &[Role::Consumer], HANDLER),
    by("revoke_service_key", &[Role::Consumer, Role::Operator], HANDLER),
    // The auditor looks at conduct and runs nothing: with its half of the keys the node alone can make nobody's copy.
    internal("give_key_shares", &[Role::Auditor], APPROVER),
    by("renew_mark_keys", &[Role::Auditor], APPROVER),
    by("suspend_order", &[Role::Operator], APPROVER),
    by("resume_order", &[Role::Operator], APPROVER),
    by("end_order", &[Role::Consumer, Role::Operator], APPROVER),
    Permission { command: "give_consent", roles: &[], duties: &[], subject: true, node: false, internal: false },
    Permission { command: "withdraw_consent", roles: &[], duties: &[], subject: true, node: false, internal: false },
    Permission { command: "narrow_consent", roles: &[], duties: &[], subject: true, node: false, internal: false },
    // Who records a batch has authenticated every subject of it and taken his consent: a consent agent, or a front end that is
    // built into the node.
    Permission {
        command: "record_consents",
        roles: &[Role::ConsentAgent],
        duties: HANDLER,
        subject: false,
        node: true,
        internal: true,
    },
    // That the subject is the member at a place stands in the rows of the batch, which the node has read.
    Permission {
        command: "withdraw_batched_consent",
        roles: &[],
        duties: &[],
        subject: true,
        node: false,
        internal: true,
    },
    Permission {
        command: "narrow_batched_consent",
        roles: &[],
        duties: &[],
        subject: true,
        node: false,
        internal: true,
    },
    Permission { command: "close_meter", roles: &[], duties: &[], subject: false, node: true, internal: true },
    by("propose_meter_correction", &[Role::Operator], HANDLER),
    by("agree_meter_correction", &[Role::Implementer], APPROVER),
    by("close_settlement", &[Role::Operator], APPROVER),
    by("confirm_settlement", &[Role::Implementer], APPROVER),
    by("reverse_settlement", &[Role::Implementer], APPROVER),
    by("record_voucher", &[Role::Finance], HANDLER),
    // Whoever runs a trace stands at the node's machine and is no user of it.
    Permission { command: "record_trace", roles: &[], duties: &[], subject: false, node: true, internal: true },
    // What is erased can't be brought back, and the record says who answers for it.
    internal("record_erasure", &[Role::DataAuthority], APPROVER),
];

/// The matrix line of a command.
pub fn permission(command: &str) -> Option<&'static Permission> {
    PERMISSIONS.iter().find(|permission| permission.command == command)
}

/// The party and the user behind a command, once the matrix allows it. For a subject or the node there is none.
#[derive(Clone, Debug)]
pub struct Acting {
    /// The actor.
    pub actor: Actor,
    /// His party, for a user.
    pub party: Option<PartyId>,
    /// The roles of his party.
    pub roles: BTreeSet<Role>,
}

impl Acting {
    /// The user's party. Error: `not_permitted` for an actor without one.
    pub fn party(&self) -> Result<&PartyId, Refusal> {
        self.party.as_ref().ok_or_else(|| {
            Refusal::not_permitted(&self.actor, "此操作须由主体的用户办理", "this is done by a user of a party")
        })
    }

    /// The user's party, which is one of some. Error: `not_permitted`.
    pub fn must_act_for_one_of(&self, parties: &BTreeSet<PartyId>) -> Result<&PartyId, Refusal> {
        let own = self.party()?;
        if parties.contains(own) {
            return Ok(own);
        }
        let names = parties.iter().map(PartyId::as_str).collect::<Vec<_>>().join(", ");
        Err(Refusal::not_permitted(
            &names,
            format!("此操作只能由 {names} 的用户办理"),
            format!("only a user of {names} may do this"),
        ))
    }

    /// Refuses a user whose party is not `party`.
    pub fn must_act_for(&self, party: &PartyId) -> Result<(), Refusal> {
        if self.party.as_ref() == Some(party) {
            return Ok(());
        }
        Err(Refusal::not_permitted(
            party,
            format!("此操作只能由 {party} 的用户办理"),
            format!("only a user of {party} may do this"),
        ))
    }
}

/// Checks a command against the matrix. Errors: `not_permitted`, and `not_found` for an unknown user.
pub fn check(deciding: &mut Deciding<'_>, command: &'static str) -> Result<Acting, Refusal> {
    let actor = deciding.context.actor.clone();
    let Some(permission) = permission(command) else {
        return Err(Refusal::not_permitted(command, "没有此命令", "there is no such command"));
    };
    let (roles, duties) = (codes(permission.roles), codes(permission.duties));
    let refused = || {
        Refusal::new(
            RefusalCode::NotPermitted,
            command,
            format!("{actor} 无权办理 {command}；可办理的角色：{roles}；岗位：{duties}"),
            format!("{actor} may not give {command}; it takes one of the roles {roles} and of the duties {duties}"),
        )
    };
    let user = match &actor {
        Actor::Node if permission.node => return Ok(Acting { actor, party: None, roles: BTreeSet::new() }),
        Actor::Subject(_) if permission.subject => {
            return Ok(Acting { actor, party: None, roles: BTreeSet::new() });
        }
        Actor::SubjectBefore { user, .. } if permission.subject => {
            must_take_consents(deciding, user, command)?;
            return Ok(Acting { actor, party: None, roles: BTreeSet::new() });
        }
        // A line that names subjects or the node and no role is theirs alone.
        Actor::User(user) if !((permission.subject || permission.node) && permission.roles.is_empty()) => user,
        _ => return Err(refused()),
    };
    let user = deciding.user(user)?;
    let party = deciding.party(&user.party)?;
    let roles = party.roles_in(deciding.state);
    let is_one_of =
        |held: &BTreeSet<Role>| permission.roles.is_empty() || permission.roles.iter().any(|role| held.contains(role));
    let has_duty = permission.duties.is_empty() || permission.duties.iter().any(|duty| user.duties.contains(duty));
    if user.disabled || !is_one_of(&party.roles) || !has_duty {
        return Err(refused());
    }
    if !is_one_of(&roles) {
        return Err(not_of_the_node(party, command));
    }
    Ok(Acting { actor, party: Some(user.party.clone()), roles })
}

/// Why a party that has the role does not act in it: it is of a division within the node's.
fn not_of_the_node(party: &Party, command: &'static str) -> Refusal {
    let (id, division) = (&party.id, party.division.as_str());
    Refusal::new(
        RefusalCode::NotPermitted,
        command,
        format!(
            "{id} 是 {division} 的单位，不能行使及于本节点全部数据的职责（数据主管部门、登记、价格、审计）；\
             请由数据主管部门登记本节点区划的单位（register_party）办理"
        ),
        format!(
            "{id} is an office of {division}; data authority, registrar, price authority and auditor act for all of the node's \
             division: have the node's data authority register an office of it (register_party)"
        ),
    )
}

/// Refuses a user before whom no data subject acts. Error: `not_permitted`.
fn must_take_consents(deciding: &mut Deciding<'_>, user: &UserId, command: &'static str) -> Result<(), Refusal> {
    let found = deciding.user(user)?;
    let party = deciding.party(&found.party)?;
    if !found.disabled && found.duties.contains(&Duty::Handler) && party.roles.contains(&Role::ConsentAgent) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::NotPermitted,
        command,
        format!("{user} 不能受理本人授权；须为个人授权受理机构的经办人员"),
        format!("{user} takes no consents; that is done by a handler of a consent_agent"),
    ))
}

/// Codes as in JSON, joined by commas; `any` for none.
fn codes<T: Serialize>(values: &[T]) -> String {
    let codes: Vec<String> =
        values.iter().map(|value| crate::event::canonical(value).trim_matches('"').to_owned()).collect();
    if codes.is_empty() { "any".to_owned() } else { codes.join(", ") }
}
