//! The documents of the life: catalogue entries, plan, mandate, permits, products, orders.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_crypto::DigestPair;
use lingqu_domain::consent::ConsentDetails;
use lingqu_domain::id::{OrderId, ProductId, ResourceId};
use lingqu_domain::mandate::{MandateDetails, RevenueTerms};
use lingqu_domain::marking::{KeyCommitments, MarkProfile};
use lingqu_domain::order::{OrderDetails, Quota};
use lingqu_domain::party::{Division, Organisation, PartyDetails, Role, Tier};
use lingqu_domain::permit::PermitDetails;
use lingqu_domain::plan::{AuthorisationMode, PlanDetails, PlanItem};
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::price::{Ceiling, Price};
use lingqu_domain::privacy::PrivacyBudget;
use lingqu_domain::product::{ProductColumn, ProductDetails, ProductShape, SourceColumn};
use lingqu_domain::quality::RuleResult;
use lingqu_domain::resource::{Column, DataType, Grade, Nature, Openness, ResourceDetails, Sharing, Snapshot};
use lingqu_domain::scope::{ColumnName, Mode, Narrowing, Precision, Precisions, Purpose, Term};
use lingqu_domain::settlement::MeterReading;
use lingqu_domain::trace::TraceDetails;
use rust_decimal::Decimal;

use crate::life::Life;
use crate::world::at;

pub const FROM: &str = "2026-11-17T01:00:00Z";

pub fn name(text: &str) -> ColumnName {
    ColumnName::new(text).unwrap()
}

pub fn purpose(text: &str) -> Purpose {
    Purpose(text.to_owned())
}

pub fn purposes(texts: &[&str]) -> BTreeSet<Purpose> {
    texts.iter().map(|text| purpose(text)).collect()
}

pub fn term(from: &str, until: &str) -> Term {
    Term { from: at(from), until: at(until) }
}

pub fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub fn division() -> Division {
    Division::new("450000").unwrap()
}

/// Keeps these columns at the precision of the scope above.
pub fn kept(columns: &[&str]) -> BTreeMap<ColumnName, Option<Precisions>> {
    columns.iter().map(|column| (name(column), None)).collect()
}

pub fn party(label: &str, serial: u32, organisation: Organisation, roles: &[Role]) -> PartyDetails {
    PartyDetails {
        name: format!("{label}（测试）"),
        name_en: label.to_owned(),
        credit_code: format!("91450000MA{serial:08}"),
        organisation,
        roles: roles.iter().copied().collect(),
        tier: Tier::Region,
        division: division(),
        ties: BTreeSet::new(),
    }
}

fn columns(list: &[(&str, DataType, Grade)]) -> Vec<Column> {
    let column = |(column, data_type, grade): &(&str, DataType, Grade)| Column {
        name: name(column),
        data_type: *data_type,
        meaning: format!("信息项 {column}"),
        grade: *grade,
    };
    list.iter().map(column).collect()
}

/// An open resource.
pub fn flights() -> ResourceDetails {
    ResourceDetails {
        table: name("flights"),
        name: "航班准点记录".to_owned(),
        name_en: "Flights".to_owned(),
        summary: "每个航班的计划与实际时间".to_owned(),
        division: division(),
        basis: "运行记录，依职责采集".to_owned(),
        source: "flights.csv".to_owned(),
        columns: columns(&[
            ("flight_id", DataType::Text, Grade::General1),
            ("day", DataType::Date, Grade::General1),
            ("carrier", DataType::Text, Grade::General1),
            ("delay", DataType::Integer, Grade::General2),
            ("tail", DataType::Text, Grade::General2),
            ("crew", DataType::Text, Grade::General3),
        ]),
        key: vec![name("flight_id")],
        subject: None,
        key_names_subject: false,
        personal_basis: None,
        sharing: Sharing::Unconditional,
        openness: Openness::Unconditional,
        update_cycle_days: 1,
        nature: Nature::Real,
        marks: None,
    }
}

/// A conditionally open resource.
pub fn weather() -> ResourceDetails {
    ResourceDetails {
        table: name("weather"),
        name: "机场气象观测".to_owned(),
        name_en: "Weather".to_owned(),
        columns: columns(&[("day", DataType::Date, Grade::General1), ("wind", DataType::Float, Grade::General1)]),
        key: vec![name("day")],
        sharing: Sharing::Conditional { conditions: "用于公共服务".to_owned() },
        openness: Openness::Conditional,
        ..flights()
    }
}

/// A resource about persons, not open.
pub fn drivers() -> ResourceDetails {
    ResourceDetails {
        table: name("drivers"),
        name: "驾驶人档案".to_owned(),
        name_en: "Drivers".to_owned(),
        columns: columns(&[
            ("id_number", DataType::Text, Grade::General4),
            ("licence", DataType::Text, Grade::General3),
            ("city", DataType::Text, Grade::General3),
            ("medical", DataType::Text, Grade::Important),
        ]),
        key: vec![name("id_number")],
        subject: Some(name("id_number")),
        key_names_subject: false,
        personal_basis: Some("履行法定职责所必需".to_owned()),
        sharing: Sharing::NotShared { basis: "个人信息保护法".to_owned() },
        openness: Openness::NotOpen,
        nature: Nature::Synthetic,
        ..flights()
    }
}

pub fn snapshot(life: &Life, label: &'static str, version: u64, nature: Nature) -> Snapshot {
    let id = lingqu_crypto::sha256(format!("{label}/{version}").as_bytes()).to_string();
    Snapshot {
        id: format!("snp_{}", &id[..32]).parse().unwrap(),
        version,
        rows: 1_000,
        digest: id.clone(),
        source_digest: id,
        nature,
        taken_at: life.world.now,
        live: None,
    }
}

pub fn results() -> Vec<RuleResult> {
    let clean = RuleResult {
        rule: "flights-key".to_owned(),
        dimension: "consistent".to_owned(),
        column: "flight_id".to_owned(),
        sentence: "航班号唯一".to_owned(),
        sentence_en: "flight ids are unique".to_owned(),
        checked_count: 1_000,
        failing_count: 0,
        opens_ticket: true,
    };
    let failing = |rule: &str, failing_count, opens_ticket| RuleResult {
        rule: rule.to_owned(),
        failing_count,
        opens_ticket,
        ..clean.clone()
    };
    vec![clean.clone(), failing("flights-departure", 8, true), failing("flights-tail", 3, false)]
}

pub fn condition(column: &str, value: &str) -> Predicate {
    Predicate::Compare {
        column: name(column),
        comparison: Comparison::NotEqual,
        value: Literal::Text(value.to_owned()),
    }
}

pub fn plan(life: &Life) -> PlanDetails {
    let item = |supply: &str, narrowing| PlanItem { supply: life.id(supply), narrowing };
    let flights = Narrowing { rows: vec![condition("carrier", "ZZ")], ..Narrowing::default() };
    PlanDetails {
        name: "数据授权运营实施方案".to_owned(),
        need: "保险与出行服务".to_owned(),
        mode: AuthorisationMode::Overall,
        items: BTreeMap::from([
            (life.id("flights"), item("flights supply", flights)),
            (life.id("weather"), item("weather supply", Narrowing::default())),
            (life.id("drivers"), item("drivers supply", Narrowing::default())),
        ]),
        operator_selection: "公开招标".to_owned(),
        term: term(FROM, "2029-01-01T00:00:00Z"),
        products_and_revenue: "核验与统计".to_owned(),
        security_and_exit: "原始数据不出域".to_owned(),
    }
}

pub fn mandate(life: &Life) -> MandateDetails {
    let insurance = Narrowing {
        columns: Some(kept(&["flight_id", "day", "carrier", "delay", "tail"])),
        purposes: Some(purposes(&["insurance", "public"])),
        ..Narrowing::default()
    };
    let weather = Narrowing { purposes: insurance.purposes.clone(), ..Narrowing::default() };
    let drivers = Narrowing {
        columns: Some(kept(&["id_number", "licence", "city"])),
        purposes: Some(purposes(&["public"])),
        cohort_floor: Some(20),
        ..Narrowing::default()
    };
    MandateDetails {
        name: "数据运营授权".to_owned(),
        plan: life.id("plan"),
        operator: life.party("operator"),
        items: BTreeMap::from([
            (life.id("flights"), insurance),
            (life.id("weather"), weather),
            (life.id("drivers"), drivers),
        ]),
        term: term(FROM, "2028-01-01T00:00:00Z"),
        selection: "公开招标，中标通知书 1 号".to_owned(),
        revenue: RevenueTerms {
            treasury: life.party("finance"),
            treasury_rate: decimal("0.2"),
            provider_rates: BTreeMap::from([(life.party("airport"), decimal("0.1"))]),
        },
        clauses: "运营协议条款".to_owned(),
    }
}

/// The scenario that combines flights and weather: tail numbers leave as pseudonyms.
pub fn insurance_permit(life: &Life) -> PermitDetails {
    let pseudonym = Precision::PseudonymOfConsumer;
    let tail = BTreeMap::from([
        (Mode::Compute, Precision::Exact),
        (Mode::Verification, Precision::Exact),
        (Mode::Lookup, pseudonym),
        (Mode::Rows, pseudonym),
        (Mode::File, pseudonym),
    ]);
    let mut columns = kept(&["flight_id", "day", "carrier", "delay"]);
    columns.insert(name("tail"), Some(Precisions(tail)));
    let flights = Narrowing { columns: Some(columns), ..Narrowing::default() };
    let weather = Narrowing { modes: Some(Mode::ALL.into()), ..Narrowing::default() };
    PermitDetails {
        mandate: life.id("mandate"),
        scenario: "航班延误保险".to_owned(),
        competent: life.party("competent"),
        purposes: purposes(&["insurance/claim", "insurance/pricing", "public/study"]),
        items: BTreeMap::from([(life.id("flights"), flights), (life.id("weather"), weather)]),
        justification: "理赔前核验与定价统计".to_owned(),
    }
}

/// The scenario about persons: verification only.
pub fn licence_permit(life: &Life) -> PermitDetails {
    let drivers = Narrowing { modes: Some([Mode::Compute, Mode::Verification].into()), ..Narrowing::default() };
    PermitDetails {
        scenario: "出租汽车驾驶员资格核验".to_owned(),
        purposes: purposes(&["public/licence"]),
        items: BTreeMap::from([(life.id("drivers"), drivers)]),
        justification: "扫脸即办".to_owned(),
        ..insurance_permit(life)
    }
}

fn output(name_: &str, data_type: DataType, resource: &ResourceId, column: &str, computed: bool) -> ProductColumn {
    let source = SourceColumn { resource: resource.clone(), column: name(column) };
    ProductColumn { name: name(name_), data_type, lineage: [source].into(), computed }
}

pub fn punctuality(life: &Life) -> ProductDetails {
    let (flights, weather): (ResourceId, ResourceId) = (life.id("flights"), life.id("weather"));
    let shape = ProductShape {
        columns: vec![
            output("flight_id", DataType::Text, &flights, "flight_id", false),
            output("day", DataType::Date, &flights, "day", false),
            output("delay", DataType::Integer, &flights, "delay", false),
            output("tail", DataType::Text, &flights, "tail", false),
            output("tail_prefix", DataType::Text, &flights, "tail", true),
            output("wind", DataType::Float, &weather, "wind", false),
        ],
        conditions: [
            SourceColumn { resource: flights.clone(), column: name("day") },
            SourceColumn { resource: weather.clone(), column: name("day") },
        ]
        .into(),
        row_by_row: false,
        by_person: false,
    };
    ProductDetails {
        name: "航班准点".to_owned(),
        name_en: "Punctuality".to_owned(),
        summary: "航班准点与气象".to_owned(),
        table: name("punctuality"),
        inputs: BTreeMap::from([(flights, life.id("insurance permit")), (weather, life.id("insurance permit"))]),
        sql: "SELECT f.flight_id, f.day, f.delay, f.tail, substr(f.tail, 1, 1) AS tail_prefix, w.wind \
              FROM flights f JOIN weather w ON f.day = w.day"
            .to_owned(),
        key: vec![name("flight_id")],
        subject: None,
        dimensions: vec![name("day")],
        further_subjects: Vec::new(),
        noise: None,
        marking: None,
        narrowing: Narrowing::default(),
        shape,
    }
}

pub fn driver_check(life: &Life) -> ProductDetails {
    let drivers: ResourceId = life.id("drivers");
    ProductDetails {
        name: "驾驶人资格核验".to_owned(),
        name_en: "Driver check".to_owned(),
        summary: "经本人同意核验".to_owned(),
        table: name("driver_check"),
        inputs: BTreeMap::from([(drivers.clone(), life.id("licence permit"))]),
        sql: "SELECT id_number, licence FROM drivers".to_owned(),
        key: vec![name("id_number")],
        subject: Some(name("id_number")),
        dimensions: Vec::new(),
        further_subjects: Vec::new(),
        noise: None,
        marking: None,
        narrowing: Narrowing { modes: Some([Mode::Verification].into()), ..Narrowing::default() },
        shape: ProductShape {
            columns: vec![
                output("id_number", DataType::Text, &drivers, "id_number", false),
                output("licence", DataType::Text, &drivers, "licence", false),
            ],
            conditions: BTreeSet::new(),
            row_by_row: false,
            by_person: true,
        },
    }
}

pub fn budget(rho: &str) -> PrivacyBudget {
    PrivacyBudget { rho: rho.parse().unwrap() }
}

/// Commitments to keys of the world that a number names.
pub fn commitments(number: usize) -> KeyCommitments {
    let pair = |what: &str| DigestPair::of(format!("{what} {number}").as_bytes());
    KeyCommitments {
        epoch: 0,
        code_epoch: 0,
        profile: MarkProfile::Aes,
        positions: pair("positions"),
        recipient: pair("recipient"),
        order: pair("order"),
    }
}

pub fn ceiling(life: &Life) -> Ceiling {
    Ceiling {
        per_call: "0.05".parse().unwrap(),
        per_data_set: "3000".parse().unwrap(),
        permitted_revenue: life.id("revenue"),
    }
}

pub fn price() -> Price {
    Price { per_call: "0.0325".parse().unwrap(), per_data_set: "2400".parse().unwrap(), free_purposes: BTreeSet::new() }
}

pub fn order(product: ProductId, what: &str, modes: &[Mode]) -> OrderDetails {
    OrderDetails {
        product,
        purpose: purpose(what),
        modes: modes.iter().copied().collect(),
        term: term("2026-12-01T00:00:00Z", "2027-06-01T00:00:00Z"),
        quota: Quota { calls: 10_000, data_sets: 10, ..Quota::default() },
    }
}

pub fn consent(life: &Life) -> ConsentDetails {
    ConsentDetails {
        consumer: life.party("platform"),
        purpose: purpose("public/licence"),
        resources: [life.id("drivers")].into(),
        fields: BTreeMap::new(),
        term: term("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        statement: "同意核验本人驾驶资格".to_owned(),
    }
}

pub fn reading(order: OrderId, first_position: u64, calls: u64, data_sets: u64) -> MeterReading {
    MeterReading {
        order,
        first_position,
        end_position: first_position + 100,
        calls,
        data_sets,
        rows: 500,
        deliveries: calls,
        free_deliveries: 1,
        receipts_digest: lingqu_crypto::sha256(b"receipts").to_string(),
    }
}

/// A trace that somebody ran.
pub fn trace() -> TraceDetails {
    TraceDetails {
        bound: "0.000001".to_owned(),
        case: Some("桂数安〔2026〕7 号".to_owned()),
        compared: ["prd_1@0123456789abcdef".to_owned(), "prd_1@fedcba9876543210".to_owned()].into(),
        decoder_version: "1".to_owned(),
        fragment_digest: lingqu_crypto::sha256(b"a file").to_string(),
        fragment_rows: 1_000,
        journal_position: None,
        orders_tested: 12,
        recipients_tested: 10,
        report_digest: lingqu_crypto::sha256(b"a report").to_string(),
        shown_report_digest: None,
        tested: std::collections::BTreeMap::new(),
        tries_before: 0,
    }
}
