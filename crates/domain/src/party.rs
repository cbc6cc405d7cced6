//! Parties (主体): organisations that take part, with the roles they hold; and the users who act for them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::access::{Acting, Duty};
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{PartyId, UserId};
use crate::node::NODE_STREAM;
use crate::refusal::{Refusal, RefusalCode};
use crate::state::{Listed, Meta, State};

/// What a party may be in the life of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// 数据提供方
    Provider,
    /// 实施机构
    Implementer,
    /// 数据主管部门
    DataAuthority,
    /// 登记机构
    Registrar,
    /// 运营机构
    Operator,
    /// 使用方
    Consumer,
    /// 行业主管部门
    CompetentDepartment,
    /// 发展改革（价格）
    PriceAuthority,
    /// 财政
    Finance,
    /// 审计
    Auditor,
    /// 个人授权受理机构: its front end knows which data subject is before it and takes his consents.
    ConsentAgent,
}

/// The roles that no party holds two of: implementer, data authority and operator are pairwise different (OP-27) and
/// the operator is not the registration institution (REG-26); Lingqu keeps all four apart.
pub const DISTINCT_ROLES: [Role; 4] = [Role::Implementer, Role::DataAuthority, Role::Operator, Role::Registrar];

/// The roles that no consent agent holds: whoever gets data about persons, or sells it, does not say who permitted it.
pub const INTERESTED_IN_CONSENT: [Role; 2] = [Role::Consumer, Role::Operator];

/// The roles that decide and see over all that a node holds, whoever's it is. On a node that serves many divisions an office of one
/// of them would rule the others: these roles are for the node's own division and those that it lies in. A treasury collects for
/// its own division, so finance is not among them.
pub const NODE_WIDE_ROLES: [Role; 4] = [Role::DataAuthority, Role::Registrar, Role::PriceAuthority, Role::Auditor];

/// 层级
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// 自治区
    Region,
    /// 设区市
    City,
    /// 县
    County,
}

/// What kind of organisation a party is; an administrative unit receives no cash share of revenue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Organisation {
    /// 行政机关
    Department,
    /// 事业单位
    PublicInstitution,
    /// 企业
    Enterprise,
}

/// A GB/T 2260 division code: six digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(transparent)]
pub struct Division(String);

impl Division {
    /// Checks and wraps a code. Error: `invalid`.
    pub fn new(code: &str) -> Result<Self, Refusal> {
        if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(code.to_owned()))
        } else {
            Err(Refusal::invalid(
                "division",
                "行政区划代码是六位数字（GB/T 2260）",
                "a division code has six digits (GB/T 2260)",
            ))
        }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether another division is this one or lies in it: 450000 contains 450100, which contains 450102 (GB/T 2260: two digits each
    /// for province, city and county, zeros where it is none).
    pub fn contains(&self, other: &Division) -> bool {
        let mut own = self.0.as_str();
        while let Some(shorter) = own.strip_suffix("00") {
            own = shorter;
        }
        other.0.starts_with(own)
    }
}

impl<'de> Deserialize<'de> for Division {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Division::new(&String::deserialize(deserializer)?).map_err(|refusal| serde::de::Error::custom(refusal.en))
    }
}

/// What is said of a party when it is registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PartyDetails {
    /// Name in Chinese.
    pub name: String,
    /// Name in English, for the English console.
    pub name_en: String,
    /// 统一社会信用代码, 18 characters (GB 32100).
    pub credit_code: String,
    /// Kind of organisation.
    pub organisation: Organisation,
    /// Roles.
    pub roles: BTreeSet<Role>,
    /// Tier.
    pub tier: Tier,
    /// Division.
    pub division: Division,
    /// Declared equity ties to other parties.
    #[serde(default)]
    pub ties: BTreeSet<PartyId>,
}

/// A registered party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Party {
    /// Its id.
    pub id: PartyId,
    /// Name in Chinese.
    pub name: String,
    /// Name in English.
    pub name_en: String,
    /// 统一社会信用代码.
    pub credit_code: String,
    /// Kind of organisation.
    pub organisation: Organisation,
    /// Roles.
    pub roles: BTreeSet<Role>,
    /// Tier.
    pub tier: Tier,
    /// Division.
    pub division: Division,
    /// Declared equity ties.
    pub ties: BTreeSet<PartyId>,
}

/// A user; login name, display name and password stand outside the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The party he acts for.
    pub party: PartyId,
    /// His posts.
    pub duties: BTreeSet<Duty>,
    /// Whether he may act no more.
    pub disabled: bool,
}

/// What happened to a party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyEvent {
    /// It was registered.
    Registered(PartyDetails),
}

/// What happened to a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserEvent {
    /// He was added.
    Added {
        /// The party he acts for.
        party: PartyId,
        /// His posts.
        duties: BTreeSet<Duty>,
    },
    /// He may act no more.
    Disabled,
}

impl Party {
    pub(crate) fn fold(previous: Option<Self>, id: PartyId, event: &PartyEvent, _meta: &Meta) -> Option<Self> {
        match (previous, event) {
            (None, PartyEvent::Registered(details)) => {
                let PartyDetails { name, name_en, credit_code, organisation, roles, tier, division, ties } =
                    details.clone();
                Some(Self { id, name, name_en, credit_code, organisation, roles, tier, division, ties })
            }
            _ => None,
        }
    }

    /// The roles that it acts in: those it is registered with, without the [`NODE_WIDE_ROLES`] where its division does not contain
    /// the node's. Nodes have parties that were registered before that was asked.
    pub fn roles_in(&self, state: &State) -> BTreeSet<Role> {
        let is_of_node = state.node.get(NODE_STREAM).is_none_or(|node| self.division.contains(&node.value.division));
        self.roles.iter().filter(|role| is_of_node || !NODE_WIDE_ROLES.contains(role)).copied().collect()
    }

    /// Ties to another party, declared by either.
    pub fn is_tied_to(&self, other: &Party) -> bool {
        self.id == other.id || self.ties.contains(&other.id) || other.ties.contains(&self.id)
    }
}

impl User {
    pub(crate) fn fold(previous: Option<Self>, id: UserId, event: &UserEvent, _meta: &Meta) -> Option<Self> {
        match (previous, event) {
            (None, UserEvent::Added { party, duties }) => {
                Some(Self { id, party: party.clone(), duties: duties.clone(), disabled: false })
            }
            (Some(user), UserEvent::Disabled) if !user.disabled => Some(Self { disabled: true, ..user }),
            _ => None,
        }
    }
}

impl Listed for Party {
    fn state(&self) -> &'static str {
        "registered"
    }
    fn title(&self) -> String {
        self.name.clone()
    }
    fn owner(&self) -> String {
        self.id.to_string()
    }
}

impl Listed for User {
    fn state(&self) -> &'static str {
        if self.disabled { "disabled" } else { "active" }
    }
    fn title(&self) -> String {
        self.id.to_string()
    }
    fn owner(&self) -> String {
        self.party.to_string()
    }
}

/// Checks what is said of a party. Errors: `invalid`, `roles_not_distinct`.
pub(crate) fn check_details(details: &PartyDetails) -> Result<(), Refusal> {
    if details.name.trim().is_empty() || details.name.chars().count() > 120 {
        return Err(Refusal::invalid("name", "名称为 1 至 120 个字", "a name has 1 to 120 characters"));
    }
    let code = details.credit_code.as_bytes();
    if code.len() != 18 || !code.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) {
        return Err(Refusal::invalid(
            "credit_code",
            "统一社会信用代码为 18 位数字或大写字母（GB 32100）",
            "a unified social credit code has 18 digits or capital letters (GB 32100)",
        ));
    }
    if details.roles.is_empty() {
        return Err(Refusal::invalid("roles", "至少一个角色", "at least one role"));
    }
    let held: Vec<Role> = DISTINCT_ROLES.iter().filter(|role| details.roles.contains(role)).copied().collect();
    if held.len() > 1 {
        return Err(Refusal::new(
            RefusalCode::RolesNotDistinct,
            &details.credit_code,
            "实施机构、数据主管部门、运营机构、登记机构须为不同主体",
            "implementer, data authority, operator and registrar are different parties",
        ));
    }
    if details.roles.contains(&Role::ConsentAgent)
        && INTERESTED_IN_CONSENT.iter().any(|role| details.roles.contains(role))
    {
        return Err(Refusal::new(
            RefusalCode::RolesNotDistinct,
            &details.credit_code,
            "个人授权受理机构不得同时为使用方或运营机构",
            "a consent agent is neither a consumer nor an operator",
        ));
    }
    Ok(())
}

/// Refused where the details name one of [`NODE_WIDE_ROLES`] for a division that does not contain the node's.
pub(crate) fn must_be_of_the_division(details: &PartyDetails, node: &Division) -> Result<(), Refusal> {
    if details.division.contains(node) || NODE_WIDE_ROLES.iter().all(|role| !details.roles.contains(role)) {
        return Ok(());
    }
    let (own, node) = (details.division.as_str(), node.as_str());
    Err(Refusal::invalid(
        "roles",
        format!(
            "数据主管部门、登记、价格和审计的职责及于本节点（{node}）全部数据，不能由 {own} 的单位承担；请去掉这些角色，或另设节点"
        ),
        format!(
            "data authority, registrar, price authority and auditor act for all of the node's division ({node}), not for \
             {own} within it; leave these roles out, or run a node of its own"
        ),
    ))
}

pub(crate) fn register(deciding: &mut Deciding<'_>, details: &PartyDetails) -> Result<(), Refusal> {
    check_details(details)?;
    if let Some(node) = deciding.node_if_initialised() {
        must_be_of_the_division(details, &node.division)?;
    }
    // Another registration of the same code that slips in is a conflict.
    deciding.scan();
    if let Some(twin) = deciding.state.parties.values().find(|party| party.value.credit_code == details.credit_code) {
        return Err(Refusal::new(
            RefusalCode::AlreadyExists,
            &twin.value.id,
            format!("该统一社会信用代码已登记为 {}", twin.value.id),
            format!("this credit code is already registered as {}", twin.value.id),
        ));
    }
    for tie in &details.ties {
        deciding.party(tie)?;
    }
    let id = PartyId::next(&mut deciding.ids);
    deciding.emit(&id, Event::Party(PartyEvent::Registered(details.clone())));
    Ok(())
}

/// Adds a user. A party's users are added by its own administrator. Of another party the data authority adds the first
/// administrator and nobody else, for whoever added a handler and an approver there would act for that party alone.
pub(crate) fn add_user(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    party: &PartyId,
    duties: &BTreeSet<Duty>,
) -> Result<(), Refusal> {
    deciding.party(party)?;
    if duties.is_empty() {
        return Err(Refusal::invalid("duties", "至少一个岗位", "at least one duty"));
    }
    if acting.party()? != party {
        if !acting.roles.contains(&Role::DataAuthority) {
            acting.must_act_for(party)?;
        }
        // An administrator who is added at the same time is a conflict, so there is only one first.
        deciding.scan();
        let has_administrator = active_administrators(deciding.state, party).next().is_some();
        if has_administrator || *duties != BTreeSet::from([Duty::Administrator]) {
            return Err(Refusal::not_permitted(
                party,
                format!(
                    "{party} 的用户由其自己的管理员添加；数据主管部门只能为没有管理员的主体添加一名仅任系统管理的用户"
                ),
                format!(
                    "users of {party} are added by its own administrator; the data authority only gives a party \
                     without an administrator its first, with no other duty"
                ),
            ));
        }
    }
    let id = UserId::next(&mut deciding.ids);
    deciding.emit(&id, Event::User(UserEvent::Added { party: party.clone(), duties: duties.clone() }));
    Ok(())
}

/// Disables a user of the actor's own party. Nobody else's: the data authority could else make room for a first
/// administrator of its choice. For the same reason a party's last administrator stays until there is a successor.
pub(crate) fn disable_user(deciding: &mut Deciding<'_>, acting: &Acting, id: &UserId) -> Result<(), Refusal> {
    let user = deciding.user(id)?;
    acting.must_act_for(&user.party)?;
    if user.disabled {
        return Err(Refusal::wrong_state(id, "disabled", "active"));
    }
    if user.duties.contains(&Duty::Administrator) {
        let successor = active_administrators(deciding.state, &user.party).find(|other| other.id != *id);
        let Some(successor) = successor else {
            return Err(Refusal::new(
                RefusalCode::WrongState,
                id,
                format!("{id} 是本主体唯一的管理员，请先指定继任的管理员"),
                format!("{id} is the only administrator of its party; name a successor first"),
            ));
        };
        // Read as an entity, so that two administrators who disable each other at the same time conflict.
        deciding.user(&successor.id)?;
    }
    deciding.emit(id, Event::User(UserEvent::Disabled));
    Ok(())
}

fn active_administrators<'a>(state: &'a State, party: &PartyId) -> impl Iterator<Item = &'a User> {
    let of_party = state.users.values().map(|user| &user.value).filter(move |user| user.party == *party);
    of_party.filter(|user| !user.disabled && user.duties.contains(&Duty::Administrator))
}
