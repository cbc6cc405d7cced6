//! Who takes part: ten parties with their users, and the ways in which they give commands. Everything that the bench's node
//! holds came to be by these commands, decided as any other.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lingqu_app::{App, NewUser};
use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::command::Command;
use lingqu_domain::id::PartyId;
use lingqu_domain::party::{Division, Organisation, PartyDetails, Role, Tier};
use lingqu_domain::scope::Term;
use zeroize::Zeroizing;

use crate::Failed;

/// A party by its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// 数据主管部门
    Authority,
    /// 实施机构
    Implementer,
    /// 登记机构
    Registrar,
    /// 运营机构
    Operator,
    /// 数据提供方
    Provider,
    /// 行业主管部门
    Competent,
    /// 发展改革
    Price,
    /// 财政
    Treasury,
    /// 使用方
    Consumer,
}

const PARTIES: [(Part, Organisation, Role); 9] = [
    (Part::Authority, Organisation::Department, Role::DataAuthority),
    (Part::Implementer, Organisation::PublicInstitution, Role::Implementer),
    (Part::Registrar, Organisation::PublicInstitution, Role::Registrar),
    (Part::Operator, Organisation::Enterprise, Role::Operator),
    (Part::Provider, Organisation::Enterprise, Role::Provider),
    (Part::Competent, Organisation::Department, Role::CompetentDepartment),
    (Part::Price, Organisation::Department, Role::PriceAuthority),
    (Part::Treasury, Organisation::Department, Role::Finance),
    (Part::Consumer, Organisation::Enterprise, Role::Consumer),
];

/// Every user's password; the node holds nothing but made-up data and is removed after the run.
const PASSWORD: &str = "bench-password-1";

/// The parties of a node.
pub struct Cast {
    /// The node.
    pub app: Arc<App>,
    parties: BTreeMap<Part, PartyId>,
    clerks: BTreeMap<Part, Actor>,
    chiefs: BTreeMap<Part, Actor>,
}

impl Cast {
    /// Brings a node into being and registers everybody.
    pub async fn assemble(app: Arc<App>) -> Result<Cast, Failed> {
        let (organisation, role) = (Organisation::Department, Role::DataAuthority);
        let name = Zeroizing::new("管理员".to_owned());
        let authority = details(0, organisation, role)?;
        let admin = app.initialise(Tier::Region, division()?, authority, "admin", name, PASSWORD).await?;
        let admin = Actor::User(admin);
        let mut cast = Cast { app, parties: BTreeMap::new(), clerks: BTreeMap::new(), chiefs: BTreeMap::new() };
        for (serial, (part, organisation, role)) in PARTIES.into_iter().enumerate() {
            let party = if part == Part::Authority {
                let first = cast.app.read(|state| state.parties.keys().next().cloned());
                first.ok_or("a fresh node has no data authority")?
            } else {
                let register = Command::RegisterParty { details: details(serial, organisation, role)? };
                cast.give(&admin, register, "party.registered").await?
            };
            cast.parties.insert(part, party);
            let own_admin = match part {
                Part::Authority => admin.clone(),
                _ => cast.employ(&admin, part, "admin", Duty::Administrator).await?,
            };
            let chief = if part == Part::Provider { Duty::ChiefDataOfficer } else { Duty::Approver };
            let clerk = cast.employ(&own_admin, part, "clerk", Duty::Handler).await?;
            let chief = cast.employ(&own_admin, part, "chief", chief).await?;
            cast.clerks.insert(part, clerk);
            cast.chiefs.insert(part, chief);
        }
        Ok(cast)
    }

    async fn employ(&self, admin: &Actor, part: Part, word: &str, duty: Duty) -> Result<Actor, Failed> {
        let login = format!("{}.{word}", format!("{part:?}").to_lowercase());
        let new = NewUser {
            party: self.party(part)?,
            duties: BTreeSet::from([duty]),
            display_name: Zeroizing::new(login.clone()),
            login,
            password: Zeroizing::new(PASSWORD.to_owned()),
        };
        Ok(Actor::User(self.app.add_user(admin, new, Default::default()).await?))
    }

    /// The id of a party.
    pub fn party(&self, part: Part) -> Result<PartyId, Failed> {
        self.parties.get(&part).cloned().ok_or_else(|| format!("{part:?} takes no part").into())
    }

    /// A party's handler gives a command; the id of what it made, by the kind of event.
    pub async fn clerk<T: FromStr>(&self, part: Part, command: Command, kind: &str) -> Result<T, Failed> {
        let actor = self.clerks.get(&part).ok_or("a party has no handler")?;
        self.give(actor, command, kind).await
    }

    /// A party's handler gives a command.
    pub async fn clerk_does(&self, part: Part, command: Command) -> Result<(), Failed> {
        let actor = self.clerks.get(&part).ok_or("a party has no handler")?;
        self.act(actor, command).await
    }

    /// A party's approver (the provider's chief data officer) gives a command; the id of what it made.
    pub async fn chief<T: FromStr>(&self, part: Part, command: Command, kind: &str) -> Result<T, Failed> {
        let actor = self.chiefs.get(&part).ok_or("a party has no approver")?;
        self.give(actor, command, kind).await
    }

    /// A party's approver gives a command.
    pub async fn chief_does(&self, part: Part, command: Command) -> Result<(), Failed> {
        let actor = self.chiefs.get(&part).ok_or("a party has no approver")?;
        self.act(actor, command).await
    }

    /// A party's handler.
    pub fn handler(&self, part: Part) -> Result<&Actor, Failed> {
        self.clerks.get(&part).ok_or_else(|| format!("{part:?} has no handler").into())
    }

    async fn give<T: FromStr>(&self, actor: &Actor, command: Command, kind: &str) -> Result<T, Failed> {
        let name = command.name();
        let executed = self.app.execute(actor, command, Default::default()).await;
        let executed = executed.map_err(|error| format!("{name}: {error}"))?;
        let stream = executed.stream_of(kind).ok_or_else(|| format!("{name} led to no {kind}"))?;
        stream.parse().map_err(|_| format!("{stream} is no id of what {kind} tells").into())
    }

    async fn act(&self, actor: &Actor, command: Command) -> Result<(), Failed> {
        let name = command.name();
        let executed = self.app.execute(actor, command, Default::default()).await;
        executed.map(|_| ()).map_err(|error| format!("{name}: {error}").into())
    }

    /// A term of days from now.
    pub fn term_days(&self, days: i64) -> Term {
        let from = self.app.now();
        Term { from, until: from.checked_add(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MAX) }
    }
}

fn details(serial: usize, organisation: Organisation, role: Role) -> Result<PartyDetails, Failed> {
    Ok(PartyDetails {
        name: format!("测量主体{serial}（合成）"),
        name_en: format!("Measured party {serial} (synthetic)"),
        credit_code: format!("BNCH45000000000{serial:03}"),
        organisation,
        roles: BTreeSet::from([role]),
        tier: Tier::Region,
        division: division()?,
        ties: BTreeSet::new(),
    })
}

/// The division of everything: 广西.
pub fn division() -> Result<Division, Failed> {
    Ok(Division::new("450000")?)
}
