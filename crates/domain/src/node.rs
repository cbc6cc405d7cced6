//! The node itself: its tier, division, first data authority and rulebook.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor, Duty};
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{NodeId, PartyId, UserId};
use crate::party::{Division, PartyDetails, PartyEvent, Role, Tier, UserEvent, check_details, must_be_of_the_division};
use crate::refusal::{Refusal, RefusalCode};
use crate::rulebook::Rulebook;
use crate::state::{Listed, Meta};

/// The stream that every node's own events are in.
pub const NODE_STREAM: &str = "node";

/// A running Lingqu of one tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its tier.
    pub tier: Tier,
    /// Its division.
    pub division: Division,
    /// The rulebook in force.
    pub rulebook: Rulebook,
    /// The rulebook that is proposed, until it or another is adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<RulebookProposal>,
}

/// A rulebook that somebody else has yet to adopt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RulebookProposal {
    /// The rulebook.
    pub rulebook: Rulebook,
    /// Who proposed it.
    pub by: Actor,
}

/// What happened to the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeEvent {
    /// It was initialised.
    Initialised {
        /// Its id.
        id: NodeId,
        /// Its tier.
        tier: Tier,
        /// Its division.
        division: Division,
        /// The first rulebook.
        rulebook: Box<Rulebook>,
    },
    /// Another rulebook was proposed.
    RulebookProposed(Box<Rulebook>),
    /// Another rulebook came into force.
    RulebookAdopted(Box<Rulebook>),
}

impl Node {
    pub(crate) fn fold(previous: Option<Self>, event: &NodeEvent, meta: &Meta) -> Option<Self> {
        match (previous, event) {
            (None, NodeEvent::Initialised { id, tier, division, rulebook }) => Some(Self {
                id: id.clone(),
                tier: *tier,
                division: division.clone(),
                rulebook: (**rulebook).clone(),
                proposal: None,
            }),
            (Some(node), NodeEvent::RulebookProposed(rulebook)) => {
                let proposal = RulebookProposal { rulebook: (**rulebook).clone(), by: meta.actor.clone() };
                Some(Self { proposal: Some(proposal), ..node })
            }
            (Some(node), NodeEvent::RulebookAdopted(rulebook)) => {
                let proposal = node.proposal.filter(|proposal| proposal.rulebook == **rulebook)?;
                Some(Self { rulebook: proposal.rulebook, proposal: None, ..node })
            }
            _ => None,
        }
    }
}

impl Listed for Node {
    fn state(&self) -> &'static str {
        "initialised"
    }
    fn title(&self) -> String {
        self.division.as_str().to_owned()
    }
    fn owner(&self) -> String {
        self.id.to_string()
    }
}

pub(crate) fn initialise(
    deciding: &mut Deciding<'_>,
    tier: Tier,
    division: &Division,
    authority: &PartyDetails,
) -> Result<(), Refusal> {
    if deciding.node_if_initialised().is_some() {
        return Err(Refusal::new(
            RefusalCode::NodeState,
            NODE_STREAM,
            "节点已初始化",
            "this node is already initialised",
        ));
    }
    check_details(authority)?;
    if !authority.roles.contains(&Role::DataAuthority) {
        return Err(Refusal::invalid(
            "authority",
            "第一个主体须为数据主管部门",
            "the first party is the data authority",
        ));
    }
    // Nobody could act for the node.
    must_be_of_the_division(authority, division)?;
    let id = NodeId::next(&mut deciding.ids);
    let rulebook = Box::new(Rulebook::initial());
    let initialised = NodeEvent::Initialised { id, tier, division: division.clone(), rulebook };
    deciding.emit(&NODE_STREAM, Event::Node(initialised));
    let party = PartyId::next(&mut deciding.ids);
    deciding.emit(&party, Event::Party(PartyEvent::Registered(authority.clone())));
    let user = UserId::next(&mut deciding.ids);
    let duties = BTreeSet::from([Duty::Administrator]);
    deciding.emit(&user, Event::User(UserEvent::Added { party, duties }));
    Ok(())
}

pub(crate) fn propose_rulebook(deciding: &mut Deciding<'_>, rulebook: &Rulebook) -> Result<(), Refusal> {
    check_rulebook(deciding, rulebook)?;
    deciding.emit(&NODE_STREAM, Event::Node(NodeEvent::RulebookProposed(Box::new(rulebook.clone()))));
    Ok(())
}

pub(crate) fn adopt_rulebook(deciding: &mut Deciding<'_>, acting: &Acting, rulebook: &Rulebook) -> Result<(), Refusal> {
    let node = check_rulebook(deciding, rulebook)?;
    let Some(proposal) = &node.proposal else {
        return Err(Refusal::wrong_state(NODE_STREAM, "without a proposed rulebook", "a proposed rulebook"));
    };
    if proposal.rulebook != *rulebook {
        return Err(Refusal::invalid(
            "rulebook",
            format!("与所提出的规则手册 {} 不一致，请重新打开核对", proposal.rulebook.version),
            format!("this is not the proposed rulebook {}; open it again", proposal.rulebook.version),
        ));
    }
    if proposal.by == acting.actor {
        return Err(Refusal::four_eyes(NODE_STREAM));
    }
    deciding.emit(&NODE_STREAM, Event::Node(NodeEvent::RulebookAdopted(Box::new(rulebook.clone()))));
    Ok(())
}

fn check_rulebook<'a>(deciding: &mut Deciding<'a>, rulebook: &Rulebook) -> Result<&'a Node, Refusal> {
    let Some(node) = deciding.node_if_initialised() else {
        return Err(Refusal::new(
            RefusalCode::NodeState,
            NODE_STREAM,
            "节点尚未初始化",
            "this node is not initialised",
        ));
    };
    if node.rulebook.version == rulebook.version {
        return Err(Refusal::invalid(
            "version",
            "新规则手册须有新的版本号",
            "another rulebook has another version name",
        ));
    }
    rulebook.check()?;
    Ok(node)
}
