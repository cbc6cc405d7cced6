//! Products on the market, and the orders for them.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use lingqu_domain::access::Duty;
use lingqu_domain::command::Command;
use lingqu_domain::id::{OrderId, PermittedRevenueId, ProductId, RegistrationId, ResourceId};
use lingqu_domain::order::{OrderDetails, Quota};
use lingqu_domain::price::{Ceiling, Price};
use lingqu_domain::product::{ProductDetails, ProductShape};
use lingqu_domain::registration::Registrable;
use lingqu_domain::scope::{Mode, Narrowing, Purpose};
use lingqu_ledger::{Fen, UnitPrice};
use rust_decimal::Decimal;

use crate::authorise::{Authorised, INSURANCE, LICENCE, RESEARCH, TRAVEL};
use crate::cast::{Cast, Part, name_of};
use crate::catalogue::column;
use crate::data::drivers::TAXI_CHECK_SQL;
use crate::marking;
use crate::report::OrderShown;
use crate::resources::{Resources, certify};
use crate::stage::Stage;
use crate::{DemoError, Recorder};

/// Verification of a claim on a flight.
pub const DELAY_CHECK: &str = "flight_delay_check";
/// Statistics of punctuality.
pub const PUNCTUALITY: &str = "flight_punctuality";
/// The data set.
pub const RECORDS: &str = "flight_records";
/// The times of flights in marked copies.
pub const TIMES: &str = "flight_times";
/// Verification of an applicant.
pub const LICENCE_CHECK: &str = "taxi_licence_check";

struct Draft {
    table: &'static str,
    name: &'static str,
    name_en: &'static str,
    summary: &'static str,
    sql: String,
    key: &'static [&'static str],
    subject: Option<&'static str>,
    dimensions: &'static [&'static str],
    modes: &'static [Mode],
    cohort_floor: Option<u32>,
    /// Prices in yuan: per call, per data set.
    price: (&'static str, &'static str),
}

fn drafts() -> Vec<Draft> {
    vec![
        Draft {
            table: DELAY_CHECK,
            name: "航班延误三小时核验",
            name_en: "Was this flight at least three hours late?",
            summary: "输入航班与主张，只回答一致、不一致或未找到；用于航延险理赔前核验。",
            sql: "SELECT year, month, day, carrier, flight, sched_dep_time, origin, dest, \
                  arr_delay >= 180 AS late_three_hours, dep_time IS NULL AS cancelled FROM flights"
                .to_owned(),
            key: &["year", "month", "day", "carrier", "flight", "sched_dep_time"],
            subject: None,
            dimensions: &[],
            modes: &[Mode::Verification],
            cohort_floor: None,
            price: ("0.5", "0"),
        },
        Draft {
            table: PUNCTUALITY,
            name: "航班准点统计",
            name_en: "Punctuality statistics",
            summary: "按月份、承运人、机场的准点统计，群组不少于 30 个航班；用于航延险定价。",
            sql: "SELECT year, month, day, carrier, flight, sched_dep_time, origin, dest, arr_delay, dep_delay, \
                  arr_delay >= 180 AS late_three_hours FROM flights"
                .to_owned(),
            key: &["year", "month", "day", "carrier", "flight", "sched_dep_time"],
            subject: None,
            dimensions: &["month", "carrier", "origin", "dest"],
            modes: &[Mode::Statistics],
            cohort_floor: Some(30),
            price: ("2", "0"),
        },
        Draft {
            table: RECORDS,
            name: "航班准点数据集",
            name_en: "Flight punctuality data set",
            summary: "2013 年离港航班明细；飞机注册号为使用方专属假名，空中时间、航距分别向下取整到 5 分钟、10 英里。",
            sql: "SELECT time_hour, carrier, flight, year, month, day, sched_dep_time, dep_time, dep_delay, \
                  sched_arr_time, arr_time, arr_delay, tailnum, origin, dest, air_time, distance FROM flights"
                .to_owned(),
            key: &["time_hour", "carrier", "flight"],
            subject: None,
            dimensions: &[],
            modes: &[Mode::Lookup, Mode::Rows, Mode::File],
            cohort_floor: None,
            price: ("0.032500", "2999.99"),
        },
        Draft {
            table: TIMES,
            name: "航班时刻数据集（带指纹水印）",
            name_en: "Flight times, each copy marked for its recipient",
            summary: "2013 年离港航班的计划与实际时刻；约五分之一的实际时刻偏移一分钟，使每份副本各不相同，可溯至订单。",
            sql: "SELECT time_hour, carrier, flight, origin, dest, sched_dep_time, dep_time, dep_delay, \
                  sched_arr_time, arr_time, arr_delay FROM flights"
                .to_owned(),
            key: &["time_hour", "carrier", "flight"],
            subject: None,
            dimensions: &[],
            modes: &[Mode::Rows, Mode::File],
            cohort_floor: None,
            price: ("0.040000", "1200"),
        },
        Draft {
            table: LICENCE_CHECK,
            name: "出租汽车驾驶员从业资格核验（合成数据）",
            name_en: "Taxi-driver licence check (synthetic data)",
            summary: "经申请人同意，核验其是否符合从业条件；不返回任何记录。",
            sql: TAXI_CHECK_SQL.to_owned(),
            key: &["id_number"],
            subject: Some("id_number"),
            dimensions: &[],
            modes: &[Mode::Verification],
            cohort_floor: None,
            price: ("0.2", "0"),
        },
    ]
}

fn price(text: &str) -> Result<UnitPrice, DemoError> {
    let decimal = Decimal::from_str(text).map_err(|error| DemoError::Unexpected(error.to_string()))?;
    UnitPrice::new(decimal).map_err(|error| DemoError::Unexpected(error.to_string()))
}

/// Drafts, reviews, registers, prices and lists the products. Answers their ids by table name.
pub async fn offer(
    stage: &Stage,
    cast: &Cast,
    resources: &Resources,
    authorised: &Authorised,
    recorder: &mut Recorder<'_>,
) -> Result<BTreeMap<&'static str, ProductId>, DemoError> {
    let operator = cast.user(Part::Operator, Duty::Handler);
    let mut products = BTreeMap::new();
    let mut registrations = Vec::new();
    for draft in drafts() {
        let mut inputs: BTreeMap<ResourceId, _> = BTreeMap::new();
        if draft.table == LICENCE_CHECK {
            for table in ["drivers", "offences", "dangerous_records"] {
                inputs.insert(resources.id(table), authorised.licence_permit.clone());
            }
        } else {
            inputs.insert(resources.id("flights"), authorised.flight_permit.clone());
        }
        let details = details_of(&draft, inputs)?;
        let command = Command::DraftProduct { details: Box::new(details) };
        let product: ProductId = stage.give(&operator, command, "product.drafted").await?;
        stage.wait_hours(4);
        let findings = "核对输出列、血缘与最小群组，未见可还原个体或超出授权的内容。".to_owned();
        let review = Command::ReviewProductOutput { product: product.clone(), findings };
        stage.act(&cast.user(Part::Implementer, Duty::Approver), review).await?;
        let object = Registrable::Product(product.clone());
        let registration: RegistrationId =
            stage.give(&operator, Command::ApplyRegistration { object }, "registration.applied").await?;
        registrations.push(registration);
        products.insert(draft.table, product);
    }
    let lineage = stage.app.read(|state| {
        let product = state.products.get(&products[LICENCE_CHECK])?;
        let column = product.value.details.shape.columns.iter().find(|column| column.name.as_str() == "qualified")?;
        Some(column.lineage.len())
    });
    recorder.step(
        "产品开发（SQL 与血缘）与输出审查",
        "Products as SQL with lineage, output reviewed",
        &[("products", products.len().into()), ("lineage_of_qualified", lineage.unwrap_or(0).into())],
    );
    certify(stage, cast, &registrations).await?;
    recorder.step("产品登记发证", "Products registered", &[("certificates", registrations.len().into())]);
    set_prices(stage, cast, &products, recorder).await?;
    Ok(products)
}

fn details_of(
    draft: &Draft,
    inputs: BTreeMap<ResourceId, lingqu_domain::id::PermitId>,
) -> Result<ProductDetails, DemoError> {
    let names = |names: &[&str]| names.iter().map(|name| column(name)).collect::<Result<Vec<_>, _>>();
    Ok(ProductDetails {
        name: draft.name.to_owned(),
        name_en: draft.name_en.to_owned(),
        summary: draft.summary.to_owned(),
        table: column(draft.table)?,
        inputs,
        sql: draft.sql.clone(),
        key: names(draft.key)?,
        subject: draft.subject.map(column).transpose()?,
        dimensions: names(draft.dimensions)?,
        further_subjects: Vec::new(),
        noise: None,
        marking: (draft.table == TIMES).then(marking::chosen).transpose()?,
        narrowing: Narrowing {
            modes: Some(draft.modes.iter().copied().collect()),
            cohort_floor: draft.cohort_floor,
            ..Narrowing::default()
        },
        shape: ProductShape::default(),
    })
}

async fn set_prices(
    stage: &Stage,
    cast: &Cast,
    products: &BTreeMap<&'static str, ProductId>,
    recorder: &mut Recorder<'_>,
) -> Result<(), DemoError> {
    let fix = Command::FixPermittedRevenue {
        operator: cast.party(Part::Operator),
        term: stage.term_days(365),
        cost: Fen(80_000_000),
        profit_rate: Decimal::new(6, 2),
        tax: Fen(6_000_000),
        treasury_yield: Decimal::new(175, 4),
    };
    let permitted_revenue: PermittedRevenueId =
        stage.give(&cast.user(Part::Price, Duty::Approver), fix, "permitted_revenue.fixed").await?;
    let operator = cast.user(Part::Operator, Duty::Approver);
    for draft in drafts() {
        let product = products[draft.table].clone();
        let ceiling = Ceiling {
            per_call: price("2.5")?,
            per_data_set: price("5000")?,
            permitted_revenue: permitted_revenue.clone(),
        };
        let set = Command::SetCeiling { product: product.clone(), ceiling };
        stage.act(&cast.user(Part::Implementer, Duty::Approver), set).await?;
        let (per_call, per_data_set) = draft.price;
        if draft.table == RECORDS {
            let too_high =
                Price { per_call: price(per_call)?, per_data_set: price("5000.01")?, free_purposes: BTreeSet::new() };
            let command = Command::SetPrice { product: product.clone(), price: too_high };
            let refusal =
                stage.must_refuse("数据集定价 5000.01 元，高于上限", &operator, command, "price_above_ceiling").await?;
            recorder.report.refusals.push(refusal);
        }
        let price =
            Price { per_call: price(per_call)?, per_data_set: price(per_data_set)?, free_purposes: BTreeSet::new() };
        stage.act(&operator, Command::SetPrice { product: product.clone(), price }).await?;
        stage.act(&operator, Command::ListProduct { product }).await?;
    }
    recorder.step(
        "准许收入、上限收费标准、定价、上架",
        "Permitted revenue, ceilings, prices, listing",
        &[("permitted_revenue_yuan", "908000.00".into()), ("listed", products.len().into())],
    );
    Ok(())
}

/// An order of the demo with its key.
#[derive(Clone)]
pub struct Ordered {
    /// Its id.
    pub id: OrderId,
    /// Table name of the product.
    pub product: &'static str,
    /// The service key.
    pub key: String,
}

/// The orders of the demo.
pub struct Orders {
    /// The insurer's verification.
    pub claims: Ordered,
    /// The insurer's statistics.
    pub pricing: Ordered,
    /// The insurer's data set.
    pub insurer_set: Ordered,
    /// The second consumer's data set.
    pub researcher_set: Ordered,
    /// A verification with a quota of three calls.
    pub trial: Ordered,
    /// The licence check.
    pub licence: Ordered,
    /// Marked copies: the travel platform's, and two of the consultancy's, for one client each.
    pub copies: [Ordered; 3],
}

impl Orders {
    /// Every order over the flights.
    pub fn of_flights(&self) -> impl Iterator<Item = &Ordered> {
        let exact = [&self.claims, &self.pricing, &self.insurer_set, &self.researcher_set, &self.trial];
        exact.into_iter().chain(&self.copies)
    }
}

/// Places the orders, signs the contracts, issues the keys.
pub async fn order(
    stage: &Stage,
    cast: &Cast,
    _resources: &Resources,
    products: &BTreeMap<&'static str, ProductId>,
    recorder: &mut Recorder<'_>,
) -> Result<Orders, DemoError> {
    let insurer = Part::Insurer;
    let claim = format!("{INSURANCE}/claim");
    let wrong = details(stage, products, DELAY_CHECK, "marketing", &[Mode::Verification], 10, 0);
    let refusal = stage
        .must_refuse(
            "为营销目的订购理赔核验产品",
            &cast.user(insurer, Duty::Handler),
            Command::PlaceOrder { details: Box::new(wrong) },
            "purpose_not_permitted",
        )
        .await?;
    recorder.report.refusals.push(refusal);
    let own = details(stage, products, DELAY_CHECK, &claim, &[Mode::Verification], 1_000, 0);
    let set = [Mode::Lookup, Mode::Rows, Mode::File];
    let claims = place(stage, cast, insurer, own.clone(), DELAY_CHECK, recorder).await?;
    let pricing = details(stage, products, PUNCTUALITY, &format!("{INSURANCE}/pricing"), &[Mode::Statistics], 200, 0);
    let pricing = place(stage, cast, insurer, pricing, PUNCTUALITY, recorder).await?;
    let insurer_set = details(stage, products, RECORDS, &format!("{INSURANCE}/pricing"), &set, 500, 5);
    let insurer_set = place(stage, cast, insurer, insurer_set, RECORDS, recorder).await?;
    let researcher_set = details(stage, products, RECORDS, RESEARCH, &set, 500, 5);
    let researcher_set = place(stage, cast, Part::Researcher, researcher_set, RECORDS, recorder).await?;
    let trial = OrderDetails { quota: Quota { calls: 3, ..Quota::default() }, ..own };
    let trial = place(stage, cast, Part::Researcher, trial, DELAY_CHECK, recorder).await?;
    let licence = details(stage, products, LICENCE_CHECK, LICENCE, &[Mode::Verification], 1_000, 0);
    let licence = place(stage, cast, Part::LicenceOffice, licence, LICENCE_CHECK, recorder).await?;
    let marked = |purpose: &str| details(stage, products, TIMES, purpose, &[Mode::Rows, Mode::File], 500, 5);
    let copies = [
        place(stage, cast, Part::Travel, marked(TRAVEL), TIMES, recorder).await?,
        place(stage, cast, Part::Consultancy, marked(RESEARCH), TIMES, recorder).await?,
        place(stage, cast, Part::Consultancy, marked(RESEARCH), TIMES, recorder).await?,
    ];
    recorder.step(
        "下单、双方签约、发放服务密钥",
        "Orders placed, contracts signed by both sides, keys issued",
        &[("orders", recorder.report.orders.len().into())],
    );
    Ok(Orders { claims, pricing, insurer_set, researcher_set, trial, licence, copies })
}

fn details(
    stage: &Stage,
    products: &BTreeMap<&'static str, ProductId>,
    table: &str,
    purpose: &str,
    modes: &[Mode],
    calls: u64,
    data_sets: u64,
) -> OrderDetails {
    OrderDetails {
        product: products[table].clone(),
        purpose: Purpose(purpose.to_owned()),
        modes: modes.iter().copied().collect(),
        term: stage.term_days(300),
        quota: Quota { calls, data_sets, ..Quota::default() },
    }
}

async fn place(
    stage: &Stage,
    cast: &Cast,
    consumer: Part,
    details: OrderDetails,
    product: &'static str,
    recorder: &mut Recorder<'_>,
) -> Result<Ordered, DemoError> {
    let modes = details.modes.iter().map(|mode| mode.code().to_owned()).collect();
    let handler = cast.user(consumer, Duty::Handler);
    let id: OrderId = stage.give(&handler, Command::PlaceOrder { details: Box::new(details) }, "order.placed").await?;
    stage.wait_hours(1);
    let terms = stage.app.read(|state| state.orders.get(&id).map(|order| order.value.contract.terms_digest.clone()));
    let terms_digest = terms.ok_or_else(|| DemoError::Unexpected(format!("{id} is not there")))?;
    for party in [consumer, Part::Operator] {
        let sign = Command::SignContract { order: id.clone(), terms_digest: terms_digest.clone() };
        stage.act(&cast.user(party, Duty::Approver), sign).await?;
    }
    let key = stage.app.issue_service_key(&handler, &id, Default::default()).await?;
    let nature = if product == LICENCE_CHECK { "SYNTHETIC" } else { "REAL" };
    recorder.report.orders.push(OrderShown {
        id: id.to_string(),
        consumer: name_of(consumer).to_owned(),
        product: product.to_owned(),
        modes,
        key: key.key.to_string(),
        nature: nature.to_owned(),
    });
    Ok(Ordered { id, product, key: key.key.to_string() })
}
