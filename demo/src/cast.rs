//! Who takes part: parties and their users. All are made up for the demonstration and say so in their names.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_app::NewUser;
use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::command::Command;
use lingqu_domain::id::PartyId;
use lingqu_domain::party::{Division, Organisation, PartyDetails, Role, Tier};
use zeroize::Zeroizing;

use crate::DemoError;
use crate::report::LoginShown;
use crate::stage::Stage;

/// The password of every demo login.
pub const DEMO_PASSWORD: &str = "lingqu-demo-2026";

/// A party of the demo by its short name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The data authority.
    Authority,
    /// The implementer.
    Implementer,
    /// The registrar.
    Registrar,
    /// The operator.
    Operator,
    /// Provider of the flights: an enterprise, so it may receive cash.
    Airports,
    /// Provider of the drivers' records: a department.
    Transport,
    /// Provider of the divisions: a department.
    CivilAffairs,
    /// The competent department of insurance.
    Finance,
    /// The price authority.
    Price,
    /// The treasury.
    Treasury,
    /// The insurer.
    Insurer,
    /// The second consumer of the data set.
    Researcher,
    /// The licence office.
    LicenceOffice,
    /// A consumer of marked copies.
    Travel,
    /// Another one, with two orders.
    Consultancy,
    /// The auditor, who holds the other half of the keys of marks.
    Audit,
    /// Before whose clerks persons give consent and ask where their data went.
    ConsentDesk,
}

struct Casting {
    part: Part,
    login: &'static str,
    name: &'static str,
    name_en: &'static str,
    organisation: Organisation,
    roles: &'static [Role],
    duties: &'static [Duty],
}

const HANDLER: Duty = Duty::Handler;
const APPROVER: Duty = Duty::Approver;
const OFFICER: Duty = Duty::ChiefDataOfficer;

const CAST: &[Casting] = &[
    casting(
        Part::Authority,
        "authority",
        "自治区数据主管部门（示范）",
        "Data authority (demo)",
        Organisation::Department,
        &[Role::DataAuthority],
        &[HANDLER, APPROVER],
    ),
    casting(
        Part::Implementer,
        "implementer",
        "公共数据授权实施机构（示范）",
        "Implementer (demo)",
        Organisation::PublicInstitution,
        &[Role::Implementer],
        &[HANDLER, APPROVER],
    ),
    casting(
        Part::Registrar,
        "registrar",
        "公共数据登记机构（示范）",
        "Registrar (demo)",
        Organisation::PublicInstitution,
        &[Role::Registrar],
        &[HANDLER, APPROVER],
    ),
    casting(
        Part::Operator,
        "operator",
        "公共数据运营机构（示范）",
        "Operator (demo)",
        Organisation::Enterprise,
        &[Role::Operator],
        &[HANDLER, APPROVER],
    ),
    casting(
        Part::Airports,
        "airports",
        "机场集团（示范，企业）",
        "Airport group (demo, enterprise)",
        Organisation::Enterprise,
        &[Role::Provider],
        &[HANDLER, OFFICER],
    ),
    casting(
        Part::Transport,
        "transport",
        "交通运输部门（示范）",
        "Transport department (demo)",
        Organisation::Department,
        &[Role::Provider, Role::CompetentDepartment],
        &[HANDLER, OFFICER, APPROVER],
    ),
    casting(
        Part::CivilAffairs,
        "civil",
        "民政部门（示范）",
        "Civil affairs department (demo)",
        Organisation::Department,
        &[Role::Provider],
        &[HANDLER, OFFICER],
    ),
    casting(
        Part::Finance,
        "regulator",
        "金融监管部门（示范）",
        "Financial supervision (demo)",
        Organisation::Department,
        &[Role::CompetentDepartment],
        &[APPROVER],
    ),
    casting(
        Part::Price,
        "price",
        "发展改革部门（示范）",
        "Development and reform (demo)",
        Organisation::Department,
        &[Role::PriceAuthority],
        &[APPROVER],
    ),
    casting(
        Part::Treasury,
        "treasury",
        "财政部门（示范）",
        "Finance department (demo)",
        Organisation::Department,
        &[Role::Finance],
        &[HANDLER],
    ),
    casting(
        Part::Insurer,
        "insurer",
        "航延险保险公司（示范）",
        "Flight-delay insurer (demo)",
        Organisation::Enterprise,
        &[Role::Consumer],
        &[HANDLER, APPROVER],
    ),
    casting(
        Part::Researcher,
        "researcher",
        "民航研究院（示范）",
        "Aviation institute (demo)",
        Organisation::PublicInstitution,
        &[Role::Consumer],
        &[HANDLER, APPROVER],
    ),
    casting(
        Part::LicenceOffice,
        "licence",
        "从业资格办理窗口（示范）",
        "Licence office (demo)",
        Organisation::PublicInstitution,
        &[Role::Consumer],
        &[HANDLER, APPROVER],
    ),
    casting(
        Part::Travel,
        "travel",
        "航旅服务平台（示范）",
        "Travel platform (demo)",
        Organisation::Enterprise,
        &[Role::Consumer],
        &[HANDLER, APPROVER],
    ),
    casting(
        Part::Consultancy,
        "consultancy",
        "民航咨询公司（示范）",
        "Aviation consultancy (demo)",
        Organisation::Enterprise,
        &[Role::Consumer],
        &[HANDLER, APPROVER],
    ),
    casting(
        Part::Audit,
        "audit",
        "审计机关（示范）",
        "Audit office (demo)",
        Organisation::Department,
        &[Role::Auditor],
        &[APPROVER],
    ),
    casting(
        Part::ConsentDesk,
        "consent",
        "个人授权受理机构（示范）",
        "Consent desk (demo)",
        Organisation::PublicInstitution,
        &[Role::ConsentAgent],
        &[HANDLER],
    ),
];

const fn casting(
    part: Part,
    login: &'static str,
    name: &'static str,
    name_en: &'static str,
    organisation: Organisation,
    roles: &'static [Role],
    duties: &'static [Duty],
) -> Casting {
    Casting { part, login, name, name_en, organisation, roles, duties }
}

/// Parties and their users.
#[derive(Debug, Default)]
pub struct Cast {
    parties: BTreeMap<Part, PartyId>,
    users: BTreeMap<(Part, Duty), Actor>,
    /// Logins for the console.
    pub logins: Vec<LoginShown>,
}

impl Cast {
    /// The id of a party.
    pub fn party(&self, part: Part) -> PartyId {
        self.parties[&part].clone()
    }

    /// Adds a user to a party with a post.
    async fn employ(
        &mut self,
        stage: &Stage,
        admin: &Actor,
        casting: &Casting,
        duty: Duty,
    ) -> Result<Actor, DemoError> {
        let word = match duty {
            Duty::Administrator => "administrator",
            Duty::Handler => "handler",
            Duty::Approver => "approver",
            Duty::ChiefDataOfficer => "officer",
        };
        let login = format!("{}.{word}", casting.login);
        let new = NewUser {
            party: self.party(casting.part),
            duties: BTreeSet::from([duty]),
            login: login.clone(),
            display_name: Zeroizing::new(format!("{}{word}", casting.name)),
            password: Zeroizing::new(DEMO_PASSWORD.to_owned()),
        };
        let user = Actor::User(stage.app.add_user(admin, new, Default::default()).await?);
        self.users.insert((casting.part, duty), user.clone());
        self.logins.push(LoginShown {
            login,
            password: DEMO_PASSWORD.to_owned(),
            party: casting.name.to_owned(),
            duties: vec![word.to_owned()],
        });
        Ok(user)
    }

    /// The user of a party with a post.
    pub fn user(&self, part: Part, duty: Duty) -> Actor {
        self.users[&(part, duty)].clone()
    }
}

/// Name of a party for the report.
pub fn name_of(part: Part) -> &'static str {
    CAST.iter().find(|casting| casting.part == part).map_or("", |casting| casting.name)
}

fn details(casting: &Casting, serial: usize) -> Result<PartyDetails, DemoError> {
    Ok(PartyDetails {
        name: casting.name.to_owned(),
        name_en: casting.name_en.to_owned(),
        credit_code: format!("DEMO45000000000{serial:03}"),
        organisation: casting.organisation,
        roles: casting.roles.iter().copied().collect(),
        tier: Tier::Region,
        division: Division::new("450000")?,
        ties: BTreeSet::new(),
    })
}

/// Brings the node into being and registers everybody: the data authority's administrator gives each party its first
/// administrator, who adds the others.
pub async fn assemble(stage: &Stage) -> Result<Cast, DemoError> {
    let mut cast = Cast::default();
    let app = &stage.app;
    let authority = details(&CAST[0], 0)?;
    let admin = app
        .initialise(
            Tier::Region,
            Division::new("450000")?,
            authority,
            "admin",
            Zeroizing::new("示范管理员".to_owned()),
            DEMO_PASSWORD,
        )
        .await?;
    let admin = Actor::User(admin);
    cast.logins.push(LoginShown {
        login: "admin".to_owned(),
        password: DEMO_PASSWORD.to_owned(),
        party: CAST[0].name.to_owned(),
        duties: vec!["administrator".to_owned()],
    });
    for (serial, casting) in CAST.iter().enumerate() {
        let party = if casting.part == Part::Authority {
            app.read(|state| state.parties.keys().next().cloned())
                .ok_or_else(|| DemoError::Unexpected("the node has no party".to_owned()))?
        } else {
            let command = Command::RegisterParty { details: details(casting, serial)? };
            stage.give(&admin, command, "party.registered").await?
        };
        cast.parties.insert(casting.part, party);
        let own_admin = match casting.part {
            Part::Authority => admin.clone(),
            _ => cast.employ(stage, &admin, casting, Duty::Administrator).await?,
        };
        for duty in casting.duties {
            cast.employ(stage, &own_admin, casting, *duty).await?;
        }
    }
    Ok(cast)
}
