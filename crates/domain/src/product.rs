//! Products (数据产品): what is sold or given, written as SQL over what permits cover.
//!
//! A product stands on one permit per input resource, all of one operator. Its output columns carry their lineage, which
//! the node computes from the SQL; from it follows how far each column may be shown. Before it is listed its output is
//! reviewed by the implementer, it is registered, and it has a ceiling and a price. Where its permits are of several
//! implementers, each of them answers for what leaves of its own resources: the output is reviewed once every one has
//! passed it, and the lowest of their ceilings binds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::chain;
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{PartyId, PermitId, ProductId, RegistrationId, ResourceId};
use crate::marking::{self, Marking};
use crate::price::{self, Ceiling, Price};
use crate::privacy::{self, NoiseRules};
use crate::refusal::Refusal;
use crate::registration::Certificate;
use crate::resource::DataType;
use crate::right::{self, RightKind};
use crate::scope::{ColumnName, Narrowing, Scope};
use crate::shared_quota;
use crate::state::{Listed, Meta};

/// Longest SQL text of a product, in bytes.
pub const PRODUCT_SQL_BYTES_MAX: usize = 20_000;

/// Most further subject columns of a product.
pub const FURTHER_SUBJECTS_MAX: usize = 7;

/// A column of an input resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SourceColumn {
    /// The resource.
    pub resource: ResourceId,
    /// Its column.
    pub column: ColumnName,
}

/// A column of a product's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProductColumn {
    /// Its name.
    pub name: ColumnName,
    /// Its type.
    pub data_type: DataType,
    /// The source columns it was computed from.
    pub lineage: BTreeSet<SourceColumn>,
    /// False where it is a source column as it stands.
    pub computed: bool,
}

/// What the node found out about a product's SQL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProductShape {
    /// Output columns in their order.
    pub columns: Vec<ProductColumn>,
    /// Source columns that decide which rows there are: filters, join keys, groupings.
    pub conditions: BTreeSet<SourceColumn>,
    /// Whether each row is made of one row of one input and of nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub row_by_row: bool,
    /// Whether each row is made of rows of the persons whom the product's subject columns name, and of nobody else's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_person: bool,
}

/// What a product is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProductDetails {
    /// 名称
    pub name: String,
    /// Name in English.
    pub name_en: String,
    /// 摘要
    pub summary: String,
    /// Table name in consumers' SQL; unique in the node.
    pub table: ColumnName,
    /// The permit that each input resource stands on.
    pub inputs: BTreeMap<ResourceId, PermitId>,
    /// SQL over the inputs' table names.
    pub sql: String,
    /// Output columns that identify a row.
    pub key: Vec<ColumnName>,
    /// Output column that names the subject, where rows are about persons.
    pub subject: Option<ColumnName>,
    /// Output columns that name further subjects, where a row is about several persons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_subjects: Vec<ColumnName>,
    /// Output columns by which statistics may group and filter.
    pub dimensions: Vec<ColumnName>,
    /// How statistics are given with noise, which they are where a right above sets a privacy budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoiseRules>,
    /// How copies are marked, within what the rights above allow; none: every column is exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marking: Option<Marking>,
    /// What of the inputs' rights the product offers: modes, precision of output columns.
    #[serde(default)]
    pub narrowing: Narrowing,
    /// What the node found out about the SQL; what a client sends here is replaced.
    #[serde(default)]
    pub shape: ProductShape,
}

impl ProductDetails {
    /// Whether its rows name the persons whom they are about.
    pub fn names_subjects(&self) -> bool {
        self.subject.is_some() || !self.further_subjects.is_empty()
    }
}

/// A product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// Whose.
    pub operator: PartyId,
    /// What it is.
    pub details: ProductDetails,
    /// Who drafted it.
    pub drafted_by: Actor,
    /// Which of several implementers have passed its output, each with who did. Empty with one implementer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub output_agreements: BTreeMap<PartyId, Actor>,
    /// The ceilings of several implementers. Empty with one implementer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ceilings: BTreeMap<PartyId, Ceiling>,
    /// Its registration, if applied for.
    pub registration: Option<RegistrationId>,
    /// Its certificate.
    pub certificate: Option<Certificate>,
    /// What its price may not exceed: of several implementers' ceilings the lowest per unit.
    pub ceiling: Option<Ceiling>,
    /// Its price.
    pub price: Option<Price>,
    /// Where it stands.
    pub stage: ProductStage,
}

/// Where a product stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProductStage {
    /// A draft; the implementer reviews its output.
    Drafted,
    /// Output review passed.
    Reviewed {
        /// What was looked at.
        findings: String,
        /// Who reviewed.
        by: Actor,
    },
    /// Open to orders.
    Listed,
    /// No longer open to orders; running orders go on.
    Delisted {
        /// Why.
        reason: String,
        /// Implementers who delisted it and have not agreed since that it is listed again. Empty: its operator did.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        implementers: BTreeSet<PartyId>,
    },
}

/// What happened to a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductEvent {
    /// It was drafted.
    Drafted {
        /// Whose.
        operator: PartyId,
        /// What it is.
        details: Box<ProductDetails>,
    },
    /// One of several implementers passed its output.
    OutputAgreed {
        /// The implementer.
        implementer: PartyId,
        /// What was looked at.
        findings: String,
    },
    /// Output review passed.
    OutputReviewed {
        /// What was looked at.
        findings: String,
    },
    /// A registration was applied for.
    RegistrationApplied(RegistrationId),
    /// A certificate was issued.
    Certified(Certificate),
    /// One of several implementers set its ceiling.
    CeilingAgreed {
        /// The implementer.
        implementer: PartyId,
        /// Its ceiling.
        ceiling: Ceiling,
    },
    /// Its ceiling was set.
    CeilingSet(Ceiling),
    /// Its price was set.
    PriceSet(Price),
    /// It was listed.
    Listed,
    /// It was delisted.
    Delisted {
        /// Why.
        reason: String,
        /// The implementer that did; none: its operator, or whoever it was before this was recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        implementer: Option<PartyId>,
    },
    /// An implementer that delisted it agreed that it is listed again.
    ListingAgreed {
        /// The implementer.
        implementer: PartyId,
    },
}

impl Product {
    pub(crate) fn fold(previous: Option<Self>, id: ProductId, event: &ProductEvent, meta: &Meta) -> Option<Self> {
        let by = meta.actor.clone();
        let mut product = match (previous, event) {
            (None, ProductEvent::Drafted { operator, details }) => {
                return Some(Self {
                    id,
                    operator: operator.clone(),
                    details: (**details).clone(),
                    drafted_by: by,
                    output_agreements: BTreeMap::new(),
                    ceilings: BTreeMap::new(),
                    registration: None,
                    certificate: None,
                    ceiling: None,
                    price: None,
                    stage: ProductStage::Drafted,
                });
            }
            (Some(product), _) => product,
            (None, _) => return None,
        };
        match (&product.stage, event) {
            (ProductStage::Drafted, ProductEvent::OutputAgreed { implementer, .. })
                if !product.output_agreements.contains_key(implementer) =>
            {
                product.output_agreements.insert(implementer.clone(), by);
            }
            (ProductStage::Drafted, ProductEvent::OutputReviewed { findings }) => {
                product.stage = ProductStage::Reviewed { findings: findings.clone(), by };
            }
            (
                ProductStage::Reviewed { .. } | ProductStage::Listed | ProductStage::Delisted { .. },
                ProductEvent::RegistrationApplied(registration),
            ) if product.registration.as_ref() != Some(registration) => {
                product.registration = Some(registration.clone());
            }
            (_, ProductEvent::Certified(certificate))
                if product.registration.as_ref() == Some(&certificate.registration)
                    && product
                        .certificate
                        .as_ref()
                        .is_none_or(|held| held.registration != certificate.registration) =>
            {
                product.certificate = Some(certificate.clone());
            }
            (_, ProductEvent::CeilingAgreed { implementer, ceiling }) => {
                product.ceilings.insert(implementer.clone(), ceiling.clone());
            }
            (_, ProductEvent::CeilingSet(ceiling)) => product.ceiling = Some(ceiling.clone()),
            (_, ProductEvent::PriceSet(price)) if product.ceiling.is_some() => product.price = Some(price.clone()),
            (ProductStage::Reviewed { .. } | ProductStage::Delisted { .. }, ProductEvent::Listed)
                if product.price.is_some() && product.awaits().is_none() =>
            {
                product.stage = ProductStage::Listed;
            }
            (ProductStage::Listed | ProductStage::Delisted { .. }, ProductEvent::Delisted { reason, implementer })
                if product.may_be_delisted_by(implementer.as_ref()) =>
            {
                let mut implementers = product.awaits().cloned().unwrap_or_default();
                implementers.extend(implementer.clone());
                product.stage = ProductStage::Delisted { reason: reason.clone(), implementers };
            }
            (ProductStage::Delisted { reason, implementers }, ProductEvent::ListingAgreed { implementer })
                if implementers.contains(implementer) =>
            {
                let (reason, mut implementers) = (reason.clone(), implementers.clone());
                implementers.remove(implementer);
                product.stage = ProductStage::Delisted { reason, implementers };
            }
            _ => return None,
        }
        Some(product)
    }

    /// The implementers who delisted it and must agree before it is listed again, if there are any.
    fn awaits(&self) -> Option<&BTreeSet<PartyId>> {
        match &self.stage {
            ProductStage::Delisted { implementers, .. } if !implementers.is_empty() => Some(implementers),
            _ => None,
        }
    }

    /// Whether it may be delisted: by its operator (none) while it is listed; by an implementer also after another has, or its
    /// operator, either of whom could list it again otherwise.
    fn may_be_delisted_by(&self, implementer: Option<&PartyId>) -> bool {
        match &self.stage {
            ProductStage::Listed => true,
            ProductStage::Delisted { implementers, .. } => {
                implementer.is_some_and(|implementer| !implementers.contains(implementer))
            }
            ProductStage::Drafted | ProductStage::Reviewed { .. } => false,
        }
    }
}

impl Listed for Product {
    fn state(&self) -> &'static str {
        match self.stage {
            ProductStage::Drafted => "drafted",
            ProductStage::Reviewed { .. } => "reviewed",
            ProductStage::Listed => "listed",
            ProductStage::Delisted { .. } => "delisted",
        }
    }
    fn title(&self) -> String {
        self.details.name.clone()
    }
    fn owner(&self) -> String {
        self.operator.to_string()
    }
}

pub(crate) fn draft(deciding: &mut Deciding<'_>, acting: &Acting, details: &ProductDetails) -> Result<(), Refusal> {
    let operator = acting.party()?.clone();
    deciding.text("name", &details.name)?;
    deciding.text("summary", &details.summary)?;
    if details.sql.len() > PRODUCT_SQL_BYTES_MAX {
        return Err(Refusal::invalid(
            "sql",
            format!("不超过 {PRODUCT_SQL_BYTES_MAX} 字节"),
            format!("at most {PRODUCT_SQL_BYTES_MAX} bytes"),
        ));
    }
    deciding.scan();
    if deciding.state.products.values().any(|other| other.value.details.table == details.table) {
        return Err(Refusal::invalid("table", "表名已被使用", "this table name is taken"));
    }
    check_inputs(deciding, &operator, details)?;
    check_shape(details)?;
    let base = chain::product_base_scope(deciding, details)?;
    check_subject(deciding, details, &base)?;
    privacy::check_noise(deciding, details)?;
    if details.narrowing.privacy_budget.is_some() {
        return Err(Refusal::invalid(
            "narrowing",
            "隐私预算由供数、方案、授权或场景授权设定，产品只声明每次结果的消耗（noise.rho）",
            "a privacy budget is set by supply, plan, mandate or permit; a product declares what an answer costs (noise.rho)",
        ));
    }
    let scope = base.narrow(&details.narrowing)?;
    marking::check(deciding, details, &scope)?;
    let id = ProductId::next(&mut deciding.ids);
    let details = Box::new(details.clone().with_promises());
    deciding.emit(&id, Event::Product(ProductEvent::Drafted { operator, details }));
    Ok(())
}

fn check_inputs(deciding: &mut Deciding<'_>, operator: &PartyId, details: &ProductDetails) -> Result<(), Refusal> {
    if details.inputs.is_empty() {
        return Err(Refusal::invalid("inputs", "至少一项资源", "at least one resource"));
    }
    let mut scenario = None;
    let mut revenue = None;
    for (resource, permit_id) in &details.inputs {
        right::must_hold(deciding, RightKind::Use, resource.as_str(), operator)?;
        let permit = deciding.permit(permit_id)?;
        if permit.operator != *operator {
            return Err(Refusal::not_permitted(
                permit_id,
                "该场景授权属于其他运营机构",
                "this permit belongs to another operator",
            ));
        }
        let mandate = deciding.mandate(&permit.details.mandate)?;
        if scenario.get_or_insert(&permit.details.scenario) != &&permit.details.scenario {
            return Err(Refusal::invalid(
                "inputs",
                "一个产品的各项场景授权须为同一场景",
                "the permits of one product are for one scenario",
            ));
        }
        if revenue.get_or_insert(&mandate.details.revenue) != &&mandate.details.revenue {
            return Err(Refusal::invalid(
                "inputs",
                "各项授权的收益分配须一致，才能为同一产品结算",
                "the mandates under one product have the same revenue terms, or its fee could not be split",
            ));
        }
    }
    Ok(())
}

fn check_shape(details: &ProductDetails) -> Result<(), Refusal> {
    if details.further_subjects.len() > FURTHER_SUBJECTS_MAX {
        return Err(Refusal::invalid(
            "further_subjects",
            format!("至多 {FURTHER_SUBJECTS_MAX} 个"),
            format!("at most {FURTHER_SUBJECTS_MAX}"),
        ));
    }
    let mut names = BTreeSet::new();
    for column in &details.shape.columns {
        if !names.insert(&column.name) {
            return Err(Refusal::invalid(
                "sql",
                format!("输出列 {} 重复，请用 AS 改名", column.name),
                format!("output column {} appears twice; rename one with AS", column.name),
            ));
        }
        for source in &column.lineage {
            if !details.inputs.contains_key(&source.resource) {
                return Err(Refusal::not_found(&source.resource));
            }
        }
    }
    for name in details.key.iter().chain(&details.subject).chain(&details.further_subjects).chain(&details.dimensions) {
        if !names.contains(name) {
            return Err(Refusal::invalid(
                "key",
                format!("{name} 不是产品的输出列"),
                format!("{name} is not an output column of the product"),
            ));
        }
    }
    Ok(())
}

/// Where consent is needed or persons are counted, it is of the persons whom the product's subject columns name. Each of them must be the
/// subject column of an input as it stands: one that was computed or chosen freely could name somebody who consented. Each row must be
/// made of their rows and of nobody else's, which the node finds out from the statement (`by_person`).
fn check_subject(deciding: &mut Deciding<'_>, details: &ProductDetails, base: &Scope) -> Result<(), Refusal> {
    if !base.consent_required && !shared_quota::counts_subjects(deciding, details)? {
        return Ok(());
    }
    let refused = || {
        Refusal::invalid(
            "subject",
            "需要本人同意或按主体数限额的产品须以某一输入资源的主体字段（未经计算）作为主体字段",
            "a product that needs consent, or under a quota of subjects, names as its subject an output column that is the subject column of an input as it stands",
        )
    };
    if !subject_is_as_it_stands(deciding, details)? {
        return Err(refused());
    }
    for name in &details.further_subjects {
        if !is_as_it_stands(deciding, details, Some(name))? {
            return Err(refused());
        }
    }
    if !details.shape.by_person {
        return Err(Refusal::invalid(
            "further_subjects",
            "每行只能由所列主体本人的数据构成：涉及的每个人须以其主体字段（未经计算）输出并列入 subject 或 further_subjects，\
             或以其主体字段与所列主体的主体字段、或已声明指明主体的主键（key_names_subject）相等方式联接；汇总与窗口须按主体分组，不得用 LIMIT 或涉及个人数据的子查询",
            "each row is made of data of the persons it names alone: output the subject column of everybody whose rows are in it as it \
             stands and name it in subject or further_subjects, or join his rows by their subject column to the subject of one who is named, \
             or to a key that is declared to name him (key_names_subject); group aggregates and windows by person, and use no LIMIT and no subquery over data about persons",
        ));
    }
    Ok(())
}

/// Whether a product names as its subject an output column that is the subject column of an input as it stands.
pub(crate) fn subject_is_as_it_stands(deciding: &mut Deciding<'_>, details: &ProductDetails) -> Result<bool, Refusal> {
    is_as_it_stands(deciding, details, details.subject.as_ref())
}

/// Whether an output column is the subject column of an input as it stands.
fn is_as_it_stands(
    deciding: &mut Deciding<'_>,
    details: &ProductDetails,
    name: Option<&ColumnName>,
) -> Result<bool, Refusal> {
    let found = details.shape.columns.iter().find(|column| Some(&column.name) == name);
    let Some(column) = found.filter(|column| !column.computed && !column.lineage.is_empty()) else {
        return Ok(false);
    };
    for source in &column.lineage {
        if deciding.resource(&source.resource)?.details.subject.as_ref() != Some(&source.column) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn review_output(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &ProductId,
    findings: &str,
) -> Result<(), Refusal> {
    let product = deciding.product(id)?;
    let implementers = implementers(deciding, product)?;
    let implementer = acting.must_act_for_one_of(&implementers)?.clone();
    if !matches!(product.stage, ProductStage::Drafted) {
        return Err(Refusal::wrong_state(id, product.state(), "drafted"));
    }
    let findings = deciding.text("findings", findings)?;
    if implementers.len() > 1 {
        if product.output_agreements.contains_key(&implementer) {
            return Err(Refusal::wrong_state(
                id,
                "passed by this implementer",
                "drafted and not yet passed by this implementer",
            ));
        }
        let agreed = ProductEvent::OutputAgreed { implementer: implementer.clone(), findings: findings.clone() };
        deciding.emit(id, Event::Product(agreed));
        let mut others = implementers.iter().filter(|other| **other != implementer);
        if !others.all(|other| product.output_agreements.contains_key(other)) {
            return Ok(());
        }
    }
    deciding.emit(id, Event::Product(ProductEvent::OutputReviewed { findings }));
    Ok(())
}

/// The implementers whose permits a product stands on.
pub(crate) fn implementers(deciding: &mut Deciding<'_>, product: &Product) -> Result<BTreeSet<PartyId>, Refusal> {
    let mut implementers = BTreeSet::new();
    for permit in product.details.inputs.values() {
        implementers.insert(deciding.permit(permit)?.implementer.clone());
    }
    Ok(implementers)
}

/// Lists a product. What an implementer delisted its operator lists only once that implementer, by the same command, has
/// agreed.
pub(crate) fn list(deciding: &mut Deciding<'_>, acting: &Acting, id: &ProductId) -> Result<(), Refusal> {
    let product = deciding.product(id)?;
    if let Some(awaited) = product.awaits() {
        let party = acting.party()?;
        if awaited.contains(party) {
            let agreed = ProductEvent::ListingAgreed { implementer: party.clone() };
            deciding.emit(id, Event::Product(agreed));
            return Ok(());
        }
        acting.must_act_for(&product.operator)?;
        let names = awaited.iter().map(PartyId::as_str).collect::<Vec<_>>().join(", ");
        return Err(Refusal::not_permitted(
            id,
            format!("该产品由实施机构 {names} 下架，须先由其同意重新上架（list_product），再由运营机构上架"),
            format!(
                "the implementer {names} delisted this product; it agrees first (list_product), then the operator lists it"
            ),
        ));
    }
    acting.must_act_for(&product.operator)?;
    if !matches!(product.stage, ProductStage::Reviewed { .. } | ProductStage::Delisted { .. }) {
        return Err(Refusal::wrong_state(id, product.state(), "reviewed"));
    }
    if deciding.state.rulebook().product_registration_required {
        right::must_hold(deciding, RightKind::Operate, id.as_str(), &product.operator)?;
    }
    price::in_force(id, product)?;
    let scope = chain::product_scope(deciding, id)?;
    marking::check(deciding, &product.details, &scope)?;
    deciding.emit(id, Event::Product(ProductEvent::Listed));
    Ok(())
}

/// A product about which contracts may be made now: it is listed, and its registration has not run out since.
pub(crate) fn open_to_orders<'a>(deciding: &mut Deciding<'a>, id: &ProductId) -> Result<&'a Product, Refusal> {
    let product = deciding.product(id)?;
    if !matches!(product.stage, ProductStage::Listed) {
        return Err(Refusal::wrong_state(id, product.state(), "listed"));
    }
    // One that was listed when none had to be registered goes on without.
    if product.certificate.is_some() && deciding.state.rulebook().product_registration_required {
        right::must_hold(deciding, RightKind::Operate, id.as_str(), &product.operator)?;
    }
    Ok(product)
}

pub(crate) fn delist(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &ProductId,
    reason: &str,
) -> Result<(), Refusal> {
    let product = deciding.product(id)?;
    // Any implementer concerned may shut it: it takes all to open.
    let implementer = acting.must_act_for_one_of(&implementers(deciding, product)?).ok().cloned();
    if implementer.is_none() {
        acting.must_act_for(&product.operator)?;
    }
    if !product.may_be_delisted_by(implementer.as_ref()) {
        let wanted = if implementer.is_some() { "listed, or delisted by others" } else { "listed" };
        return Err(Refusal::wrong_state(id, product.state(), wanted));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Product(ProductEvent::Delisted { reason, implementer }));
    Ok(())
}
