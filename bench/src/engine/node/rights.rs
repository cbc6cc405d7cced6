//! From source files to permits: resources with snapshots and certificates, supply, plan, mandate with agreement, and one
//! permit over all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::SignedDuration;
use lingqu_domain::calendar::Calendar;
use lingqu_domain::command::Command;
use lingqu_domain::id::{MandateId, PermitId, PlanId, RegistrationId, ResourceId, SupplyId};
use lingqu_domain::mandate::{MandateDetails, RevenueTerms};
use lingqu_domain::permit::PermitDetails;
use lingqu_domain::plan::{AuthorisationMode, PlanDetails, PlanItem};
use lingqu_domain::registration::{Registrable, RegistrationStage};
use lingqu_domain::resource::{Column, DataType, Grade, Nature, Openness, ResourceDetails, Sharing};
use lingqu_domain::scope::{ColumnName, Mode, Narrowing, Precision, Precisions, Purpose};
use lingqu_engine::source::SourceOptions;
use rust_decimal::Decimal;

use super::cast::{Cast, Part, division};
use super::data::{INSPECTION_ITEMS, item};
use crate::Failed;

/// What everything may be used for.
pub const PURPOSE: &str = "service";
/// The large table.
pub const VEHICLES: &str = "vehicles";
/// The small table.
pub const STATIONS: &str = "stations";

/// Most days that publicity may last.
const PUBLICITY_DAYS_MAX: usize = 60;

/// A table of the node with its source.
pub struct Table<'a> {
    /// [`VEHICLES`] or [`STATIONS`].
    pub name: &'static str,
    /// Its Parquet file.
    pub file: &'a Path,
}

impl Table<'_> {
    fn columns(&self) -> Vec<(String, DataType)> {
        let mut columns = vec![("id".to_owned(), DataType::Integer)];
        if self.name == STATIONS {
            columns.push(("name".to_owned(), DataType::Text));
            columns.push(("city".to_owned(), DataType::Text));
            return columns;
        }
        columns.push(("plate".to_owned(), DataType::Text));
        columns.push(("city".to_owned(), DataType::Text));
        columns.push(("mileage".to_owned(), DataType::Integer));
        columns.push(("inspected_on".to_owned(), DataType::Date));
        columns.extend((0..INSPECTION_ITEMS).map(|number| (item(number), DataType::Boolean)));
        columns
    }

    fn details(&self) -> Result<ResourceDetails, Failed> {
        let mut columns = Vec::new();
        for (name, data_type) in self.columns() {
            let meaning = format!("{name}（合成）");
            columns.push(Column { name: ColumnName::new(name)?, data_type, meaning, grade: Grade::General1 });
        }
        Ok(ResourceDetails {
            table: ColumnName::new(self.name)?,
            name: format!("测量用合成数据 {}", self.name),
            name_en: format!("Synthetic data for measurements: {}", self.name),
            summary: "由带种子的程序生成，不含任何真实车辆或个人".to_owned(),
            division: division()?,
            basis: "合成数据".to_owned(),
            source: format!("{}.parquet", self.name),
            columns,
            key: vec![ColumnName::new("id")?],
            subject: None,
            key_names_subject: false,
            personal_basis: None,
            sharing: Sharing::Unconditional,
            openness: Openness::Unconditional,
            update_cycle_days: 0,
            nature: Nature::Synthetic,
            marks: None,
        })
    }
}

/// Catalogues, imports and registers the tables; their ids by name.
pub async fn bring_in(cast: &Cast, tables: &[Table<'_>]) -> Result<BTreeMap<&'static str, ResourceId>, Failed> {
    let (mut resources, mut registrations) = (BTreeMap::new(), Vec::new());
    for table in tables {
        let draft = Command::DraftResource { details: Box::new(table.details()?) };
        let resource: ResourceId = cast.clerk(Part::Provider, draft, "resource.drafted").await?;
        let (clerk, options) = (cast.handler(Part::Provider)?, SourceOptions::default());
        cast.app.import_snapshot(clerk, &resource, table.file, options).await?;
        cast.chief_does(Part::Provider, Command::SignResource { resource: resource.clone() }).await?;
        let apply = Command::ApplyRegistration { object: Registrable::Resource(resource.clone()) };
        registrations.push(cast.clerk(Part::Provider, apply, "registration.applied").await?);
        resources.insert(table.name, resource);
    }
    certify(cast, &registrations).await?;
    Ok(resources)
}

/// Takes registrations through publicity to their certificates. The node's clock moves forward for it.
pub async fn certify(cast: &Cast, registrations: &[RegistrationId]) -> Result<(), Failed> {
    for registration in registrations {
        let accept = Command::AcceptRegistration { registration: registration.clone() };
        cast.clerk_does(Part::Registrar, accept).await?;
        let review = Command::ReviewRegistration { registration: registration.clone() };
        cast.chief_does(Part::Registrar, review).await?;
    }
    for registration in registrations {
        let mut days = 0;
        while !is_publicity_over(cast, registration) {
            if days == PUBLICITY_DAYS_MAX {
                return Err(format!("the publicity period of {registration} does not end").into());
            }
            cast.app.clock().advance(SignedDuration::from_hours(24));
            days += 1;
        }
        let certify = Command::CertifyRegistration { registration: registration.clone() };
        cast.chief_does(Part::Registrar, certify).await?;
    }
    Ok(())
}

fn is_publicity_over(cast: &Cast, registration: &RegistrationId) -> bool {
    let now = cast.app.now();
    cast.app.read(|state| match state.registrations.get(registration).map(|registration| &registration.value.stage) {
        Some(RegistrationStage::Publicity { until, .. }) => Calendar::has_passed(*until, now),
        _ => false,
    })
}

/// Authorises one scenario over all resources.
pub async fn authorise(cast: &Cast, resources: &BTreeMap<&'static str, ResourceId>) -> Result<PermitId, Failed> {
    let plan = plan(cast, resources).await?;
    let mandate = mandate(cast, resources, plan).await?;
    let mut items = BTreeMap::new();
    for (table, resource) in resources {
        items.insert(resource.clone(), narrowing(table)?);
    }
    let details = PermitDetails {
        mandate,
        scenario: "数据平面测量".to_owned(),
        competent: cast.party(Part::Competent)?,
        purposes: BTreeSet::from([Purpose(PURPOSE.to_owned())]),
        items,
        justification: "合成数据，仅供测量".to_owned(),
    };
    let apply = Command::ApplyPermit { details: Box::new(details) };
    let permit: PermitId = cast.clerk(Part::Operator, apply, "permit.applied").await?;
    cast.chief_does(Part::Provider, Command::ConfirmPermit { permit: permit.clone() }).await?;
    let opinion = Command::GiveOpinion { permit: permit.clone(), agrees: true, text: "同意".to_owned() };
    cast.chief_does(Part::Competent, opinion).await?;
    cast.chief_does(Part::Implementer, Command::ApprovePermit { permit: permit.clone() }).await?;
    Ok(permit)
}

async fn plan(cast: &Cast, resources: &BTreeMap<&'static str, ResourceId>) -> Result<PlanId, Failed> {
    let mut items = BTreeMap::new();
    for resource in resources.values() {
        let request = Command::RequestSupply { resource: resource.clone(), need: "授权运营".to_owned() };
        let supply: SupplyId = cast.clerk(Part::Implementer, request, "supply.requested").await?;
        let confirm = Command::ConfirmSupply { supply: supply.clone(), narrowing: Box::default() };
        cast.chief_does(Part::Provider, confirm).await?;
        items.insert(resource.clone(), PlanItem { supply, narrowing: Narrowing::default() });
    }
    let details = PlanDetails {
        name: "测量实施方案".to_owned(),
        need: "按场景授权".to_owned(),
        mode: AuthorisationMode::ByScenario,
        items,
        operator_selection: "公开招标".to_owned(),
        term: cast.term_days(900),
        products_and_revenue: "查询、数据集".to_owned(),
        security_and_exit: "原始数据不出域".to_owned(),
    };
    let draft = Command::DraftPlan { details: Box::new(details) };
    let plan: PlanId = cast.clerk(Part::Implementer, draft, "plan.drafted").await?;
    let submit = Command::SubmitPlan { plan: plan.clone(), minutes: "会议纪要".to_owned() };
    cast.chief_does(Part::Implementer, submit).await?;
    let approve = Command::ApprovePlan { plan: plan.clone(), document: "同意函".to_owned() };
    cast.chief_does(Part::Authority, approve).await?;
    Ok(plan)
}

async fn mandate(
    cast: &Cast,
    resources: &BTreeMap<&'static str, ResourceId>,
    plan: PlanId,
) -> Result<MandateId, Failed> {
    let details = MandateDetails {
        name: "测量授权".to_owned(),
        plan,
        operator: cast.party(Part::Operator)?,
        items: resources.values().map(|resource| (resource.clone(), Narrowing::default())).collect(),
        term: cast.term_days(800),
        selection: "中标通知书".to_owned(),
        revenue: RevenueTerms {
            treasury: cast.party(Part::Treasury)?,
            treasury_rate: Decimal::new(15, 2),
            provider_rates: BTreeMap::new(),
        },
        clauses: "不得转授权".to_owned(),
    };
    let draft = Command::DraftMandate { details: Box::new(details) };
    let mandate: MandateId = cast.clerk(Part::Implementer, draft, "mandate.drafted").await?;
    cast.chief_does(Part::Implementer, Command::ApproveMandate { mandate: mandate.clone() }).await?;
    for party in [Part::Implementer, Part::Operator] {
        cast.chief_does(party, Command::SignAgreement { mandate: mandate.clone() }).await?;
    }
    Ok(mandate)
}

/// The number plate leaves as the consumer's pseudonym; everything else as it is.
fn narrowing(table: &str) -> Result<Narrowing, Failed> {
    if table != VEHICLES {
        return Ok(Narrowing::default());
    }
    let mut columns = BTreeMap::new();
    for name in ["id", "city", "mileage", "inspected_on"] {
        columns.insert(ColumnName::new(name)?, None);
    }
    for number in 0..INSPECTION_ITEMS {
        columns.insert(ColumnName::new(item(number))?, None);
    }
    let mut plate = Precisions::all_of(&Mode::IN_DOMAIN, Precision::Exact);
    plate.0.extend([Mode::Lookup, Mode::Rows, Mode::File].map(|mode| (mode, Precision::PseudonymOfConsumer)));
    columns.insert(ColumnName::new("plate")?, Some(plate));
    Ok(Narrowing { columns: Some(columns), ..Narrowing::default() })
}
