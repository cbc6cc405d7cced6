//! Supply, plan, mandate with agreement, and permits: each a narrowing of what stands above it.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::access::Duty;
use lingqu_domain::command::Command;
use lingqu_domain::id::{MandateId, PermitId, PlanId, ResourceId, SupplyId};
use lingqu_domain::mandate::{MandateDetails, RevenueTerms};
use lingqu_domain::permit::PermitDetails;
use lingqu_domain::plan::{AuthorisationMode, PlanDetails, PlanItem};
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::scope::{Mode, Narrowing, Precision, Precisions, Purpose};
use rust_decimal::Decimal;

use crate::cast::{Cast, Part};
use crate::catalogue::{TABLES, column};
use crate::marking;
use crate::resources::Resources;
use crate::stage::Stage;
use crate::{DemoError, Recorder};

/// Purpose of the flight-delay scenario; claims and pricing lie within it.
pub const INSURANCE: &str = "insurance/flight_delay";
/// Purpose of research with the data set.
pub const RESEARCH: &str = "research/aviation";
/// Purpose of telling travellers about flights.
pub const TRAVEL: &str = "travel/flight_information";
/// Purpose of the licence check: public, so free of charge.
pub const LICENCE: &str = "public/taxi_licence";

/// To how many minutes the time in the air is rounded down where rows leave.
const AIR_TIME_MINUTES: u8 = 5;
/// To how many miles the distance is.
const DISTANCE_MILES: u8 = 10;

/// What was authorised.
pub struct Authorised {
    /// The mandate over the flights.
    pub flight_mandate: MandateId,
    /// The permit of the flight-delay scenario.
    pub flight_permit: PermitId,
    /// The permit of the licence check.
    pub licence_permit: PermitId,
}

/// Authorises two scenarios: flight-delay insurance and the licence check.
pub async fn authorise(
    stage: &Stage,
    cast: &Cast,
    resources: &Resources,
    recorder: &mut Recorder<'_>,
) -> Result<Authorised, DemoError> {
    let supplies = supply(stage, cast, resources).await?;
    recorder.step(
        "数据需求与供数确认（首席数据官签署）",
        "Demand and supply confirmed by the chief data officers",
        &[("supplies", supplies.len().into())],
    );
    let flights = [resources.id("flights")];
    let drivers = [resources.id("drivers"), resources.id("offences"), resources.id("dangerous_records")];
    let flight_plan = plan(stage, cast, "航班准点数据授权运营实施方案", &flights, &supplies).await?;
    let driver_plan = plan(stage, cast, "从业资格核验数据授权运营实施方案", &drivers, &supplies).await?;
    recorder.step("实施方案编制、集体决策、批准", "Implementation plans approved", &[("plans", 2.into())]);
    let flight_mandate = mandate(stage, cast, "航班准点数据授权", &flight_plan, &flights, airports_share(cast)).await?;
    let driver_mandate = mandate(stage, cast, "从业资格核验数据授权", &driver_plan, &drivers, BTreeMap::new()).await?;
    recorder.step(
        "授权与运营协议签署生效",
        "Mandates granted, agreements signed by both sides",
        &[("mandates", 2.into()), ("flight_mandate", flight_mandate.as_str().into())],
    );
    let flight_permit = permit(
        stage,
        cast,
        flight_permit_details(stage, cast, resources, &flight_mandate)?,
        &[Part::Airports],
        Part::Finance,
    )
    .await?;
    refuse_widening(stage, cast, resources, &driver_mandate, recorder).await?;
    let licence_permit = permit(
        stage,
        cast,
        licence_permit_details(cast, resources, &driver_mandate)?,
        &[Part::Transport],
        Part::Transport,
    )
    .await?;
    recorder.step(
        "一场景一授权：提供方确认、主管部门意见、实施机构批准",
        "One scenario, one permit: provider, competent department, implementer",
        &[("permits", 2.into()), ("flight_permit", flight_permit.as_str().into())],
    );
    Ok(Authorised { flight_mandate, flight_permit, licence_permit })
}

async fn supply(
    stage: &Stage,
    cast: &Cast,
    resources: &Resources,
) -> Result<BTreeMap<ResourceId, SupplyId>, DemoError> {
    let mut supplies = BTreeMap::new();
    for table in TABLES {
        let resource = resources.id(table.name);
        let need = format!("授权运营所需：{}", table.title);
        let request = Command::RequestSupply { resource: resource.clone(), need };
        let supply: SupplyId =
            stage.give(&cast.user(Part::Implementer, Duty::Handler), request, "supply.requested").await?;
        stage.wait_hours(2);
        let confirm = Command::ConfirmSupply { supply: supply.clone(), narrowing: Box::default() };
        stage.act(&cast.user(table.provider, Duty::ChiefDataOfficer), confirm).await?;
        supplies.insert(resource, supply);
    }
    Ok(supplies)
}

async fn plan(
    stage: &Stage,
    cast: &Cast,
    name: &str,
    listed: &[ResourceId],
    supplies: &BTreeMap<ResourceId, SupplyId>,
) -> Result<PlanId, DemoError> {
    let mut items = BTreeMap::new();
    for resource in listed {
        items
            .insert(resource.clone(), PlanItem { supply: supplies[resource].clone(), narrowing: Narrowing::default() });
    }
    let details = PlanDetails {
        name: name.to_owned(),
        need: "部门数据不敢放、用不上；以核验、统计和数据集三种形式交付，可限、可溯、可结算。".to_owned(),
        mode: AuthorisationMode::ByScenario,
        items,
        operator_selection: "公开招标；资质、安全能力、信用要求见附件。".to_owned(),
        term: stage.term_days(900),
        products_and_revenue: "核验按次、数据集按份收费，公共治理用途免费；收益按协议分配。".to_owned(),
        security_and_exit: "原始数据不出域；每次交付留回执；退出时销毁并出具证明。".to_owned(),
    };
    let implementer = Part::Implementer;
    let draft = Command::DraftPlan { details: Box::new(details) };
    let plan: PlanId = stage.give(&cast.user(implementer, Duty::Handler), draft, "plan.drafted").await?;
    stage.wait_hours(6);
    let submit =
        Command::SubmitPlan { plan: plan.clone(), minutes: "党组会纪要〔2026〕示范 1 号".to_owned() };
    stage.act(&cast.user(implementer, Duty::Approver), submit).await?;
    stage.wait_hours(20);
    let approve = Command::ApprovePlan { plan: plan.clone(), document: "同意函〔2026〕示范 1 号".to_owned() };
    stage.act(&cast.user(Part::Authority, Duty::Approver), approve).await?;
    Ok(plan)
}

/// The airport group is an enterprise and receives a cash share; a department would not.
fn airports_share(cast: &Cast) -> BTreeMap<lingqu_domain::id::PartyId, Decimal> {
    BTreeMap::from([(cast.party(Part::Airports), Decimal::new(25, 2))])
}

async fn mandate(
    stage: &Stage,
    cast: &Cast,
    name: &str,
    plan: &PlanId,
    listed: &[ResourceId],
    provider_rates: BTreeMap<lingqu_domain::id::PartyId, Decimal>,
) -> Result<MandateId, DemoError> {
    let details = MandateDetails {
        name: name.to_owned(),
        plan: plan.clone(),
        operator: cast.party(Part::Operator),
        items: listed.iter().map(|resource| (resource.clone(), Narrowing::default())).collect(),
        term: stage.term_days(720),
        selection: "公开招标，中标通知书〔2026〕示范 1 号".to_owned(),
        revenue: RevenueTerms {
            treasury: cast.party(Part::Treasury),
            treasury_rate: Decimal::new(15, 2),
            provider_rates,
        },
        clauses: "运营环境为本节点；不得转授权；全部交付留存回执并接受审计；退出时处置数据。".to_owned(),
    };
    let draft = Command::DraftMandate { details: Box::new(details) };
    let handler = cast.user(Part::Implementer, Duty::Handler);
    let mandate: MandateId = stage.give(&handler, draft, "mandate.drafted").await?;
    stage.wait_hours(6);
    let implementer = cast.user(Part::Implementer, Duty::Approver);
    stage.act(&implementer, Command::ApproveMandate { mandate: mandate.clone() }).await?;
    stage.act(&implementer, Command::SignAgreement { mandate: mandate.clone() }).await?;
    stage.act(&cast.user(Part::Operator, Duty::Approver), Command::SignAgreement { mandate: mandate.clone() }).await?;
    Ok(mandate)
}

fn flight_permit_details(
    _stage: &Stage,
    cast: &Cast,
    resources: &Resources,
    mandate: &MandateId,
) -> Result<PermitDetails, DemoError> {
    // The aircraft's registration leaves only as a pseudonym of the recipient, minutes in the air and miles flown only
    // rounded down, and a carrier with too few flights to hide in is left out.
    let outgoing = |precision: Precision| {
        let mut precisions = Precisions::all_of(&Mode::IN_DOMAIN, Precision::Exact);
        precisions.0.extend([Mode::Lookup, Mode::Rows, Mode::File].map(|mode| (mode, precision)));
        Some(precisions)
    };
    let mut columns = BTreeMap::new();
    for name in [
        "year",
        "month",
        "day",
        "dep_time",
        "sched_dep_time",
        "dep_delay",
        "arr_time",
        "sched_arr_time",
        "arr_delay",
        "carrier",
        "flight",
        "origin",
        "dest",
        "time_hour",
    ] {
        columns.insert(column(name)?, None);
    }
    columns.insert(column("tailnum")?, outgoing(Precision::PseudonymOfConsumer));
    columns.insert(column("air_time")?, outgoing(Precision::Rounded(AIR_TIME_MINUTES.into())));
    columns.insert(column("distance")?, outgoing(Precision::Rounded(DISTANCE_MILES.into())));
    let small_carrier = Predicate::Compare {
        column: column("carrier")?,
        comparison: Comparison::Equal,
        value: Literal::Text("OO".to_owned()),
    };
    let narrowing = Narrowing {
        columns: Some(columns),
        rows: vec![Predicate::Not(Box::new(small_carrier))],
        marks: Some(marking::permitted()?),
        ..Narrowing::default()
    };
    Ok(PermitDetails {
        mandate: mandate.clone(),
        scenario: "航班延误保险：理赔核验、产品定价与数据集".to_owned(),
        competent: cast.party(Part::Finance),
        purposes: [INSURANCE, RESEARCH, TRAVEL].map(|purpose| Purpose(purpose.to_owned())).into(),
        items: BTreeMap::from([(resources.id("flights"), narrowing)]),
        justification: "理赔只需知道延误是否达三小时；定价只需准点统计；数据集为开放资源。".to_owned(),
    })
}

fn licence_permit_details(cast: &Cast, resources: &Resources, mandate: &MandateId) -> Result<PermitDetails, DemoError> {
    let only = |names: &[&str]| -> Result<Narrowing, DemoError> {
        let mut columns = BTreeMap::new();
        for name in names {
            columns.insert(column(name)?, None);
        }
        let modes = BTreeSet::from([Mode::Compute, Mode::Verification]);
        Ok(Narrowing { columns: Some(columns), modes: Some(modes), ..Narrowing::default() })
    };
    Ok(PermitDetails {
        mandate: mandate.clone(),
        scenario: "出租汽车驾驶员从业资格“扫脸即办”核验".to_owned(),
        competent: cast.party(Part::Transport),
        purposes: BTreeSet::from([Purpose(LICENCE.to_owned())]),
        items: BTreeMap::from([
            (resources.id("drivers"), only(&["driver_id", "id_number", "name", "licence_class", "cycle_number"])?),
            (resources.id("offences"), only(&["driver_id", "cycle_number", "points"])?),
            (resources.id("dangerous_records"), only(&["driver_id"])?),
        ]),
        justification: "窗口只需知道申请人是否符合条件；经本人同意核验，不取回任何记录。".to_owned(),
    })
}

/// A permit that asks for rows of what is not open: refused, because power only narrows.
async fn refuse_widening(
    stage: &Stage,
    cast: &Cast,
    resources: &Resources,
    mandate: &MandateId,
    recorder: &mut Recorder<'_>,
) -> Result<(), DemoError> {
    let mut details = licence_permit_details(cast, resources, mandate)?;
    for narrowing in details.items.values_mut() {
        narrowing.modes = Some(BTreeSet::from([Mode::Compute, Mode::Verification, Mode::Rows]));
    }
    let refusal = stage
        .must_refuse(
            "对不予开放的驾驶员数据申请按行交付",
            &cast.user(Part::Operator, Duty::Handler),
            Command::ApplyPermit { details: Box::new(details) },
            "scope_too_wide",
        )
        .await?;
    recorder.report.refusals.push(refusal);
    Ok(())
}

async fn permit(
    stage: &Stage,
    cast: &Cast,
    details: PermitDetails,
    providers: &[Part],
    competent: Part,
) -> Result<PermitId, DemoError> {
    let apply = Command::ApplyPermit { details: Box::new(details) };
    let permit: PermitId = stage.give(&cast.user(Part::Operator, Duty::Handler), apply, "permit.applied").await?;
    for provider in providers {
        stage.wait_hours(3);
        let confirm = Command::ConfirmPermit { permit: permit.clone() };
        stage.act(&cast.user(*provider, Duty::ChiefDataOfficer), confirm).await?;
    }
    let opinion =
        Command::GiveOpinion {
            permit: permit.clone(), agrees: true, text: "符合场景需要，同意。".to_owned()
        };
    stage.act(&cast.user(competent, Duty::Approver), opinion).await?;
    stage.wait_hours(3);
    let approve = Command::ApprovePermit { permit: permit.clone() };
    stage.act(&cast.user(Part::Implementer, Duty::Approver), approve).await?;
    Ok(permit)
}
