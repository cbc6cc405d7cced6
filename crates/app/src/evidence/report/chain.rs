//! The parties, and the chain of rights in words: who allowed whom what, when, until when.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::id::{MandateId, OrderId, PartyId, PlanId, ProductId, ResourceId, SupplyId};
use lingqu_domain::order::QuotaUnit;
use lingqu_domain::party::Role;
use lingqu_domain::plan::PlanStage;
use lingqu_domain::registration::{Registrable, RegistrationStage};
use lingqu_domain::scope::Purpose;
use lingqu_domain::state::State;
use lingqu_report::{Block, Style, Text};

use crate::evidence::check::Checked;
use crate::evidence::words;

/// Names with what they are.
type Facts = Vec<(String, Text)>;

fn fact(facts: &mut Facts, name: &str, text: impl Into<Text>) {
    facts.push((name.to_owned(), text.into()));
}

fn purposes<'a>(all: impl IntoIterator<Item = &'a Purpose>) -> String {
    words::join(all.into_iter().map(|purpose| purpose.0.clone()))
}

/// The parties with what they are in this case.
pub(super) fn parties(checked: &Checked) -> Vec<Block> {
    let state = &checked.state;
    let mut named: Vec<(&PartyId, &str)> = Vec::new();
    for order in state.orders.values().map(|order| &order.value) {
        named.extend([(&order.consumer, "使用方"), (&order.operator, "运营机构")]);
    }
    named.extend(state.resources.values().map(|resource| (&resource.value.provider, "数据提供方")));
    for mandate in state.mandates.values().map(|mandate| &mandate.value) {
        named.extend([(&mandate.implementer, "实施机构"), (&mandate.details.revenue.treasury, "财政部门")]);
    }
    named.extend(state.permits.values().map(|permit| (&permit.value.details.competent, "行业主管部门")));
    let registrars = state.registrations.values().filter_map(|registration| registration.value.registrar.as_ref());
    named.extend(registrars.map(|registrar| (registrar, "登记机构")));
    let mut standing: BTreeMap<&PartyId, Vec<&str>> = BTreeMap::new();
    for (party, role) in named {
        let roles = standing.entry(party).or_default();
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    // Whose people acted without the party being one of the above: they approve, fix ceilings, see to it.
    for party in state.parties.values().map(|party| &party.value) {
        let is_authority = party.roles.contains(&Role::DataAuthority);
        standing.entry(&party.id).or_insert(vec![if is_authority {
            "数据主管部门"
        } else {
            "有人员参与办理"
        }]);
    }
    let rows = state.parties.values().map(|party| &party.value).filter_map(|party| {
        let roles = standing.get(&party.id)?;
        let name = Text::plain(&party.name).with(Style::Plain, "　").with(Style::Code, words::short(party.id.as_str()));
        Some(vec![Text::plain(roles.join("、")), name, Text::code(&party.credit_code)])
    });
    let columns = vec![("在本案中".to_owned(), 3), ("名称".to_owned(), 7), ("统一社会信用代码".to_owned(), 4)];
    vec![Block::Heading { level: 1, text: "二、当事各方".to_owned() }, Block::Table { columns, rows: rows.collect() }]
}

/// Every link from resource to order.
pub(super) fn links(checked: &Checked) -> Vec<Block> {
    let mut blocks = vec![
        Block::Heading { level: 1, text: "三、权利链".to_owned() },
        Block::Paragraph(
            "数据从提供方到使用方，须经登记、供数确认、实施方案、授权、场景授权、产品、订单各环节；每一环只能缩小、不能扩大上一环的权限。\
             以下逐环说明谁准许了谁、准许什么、何时起止，并注明可据以查对的业务日志序号。"
                .into(),
        ),
    ];
    let Some(order) = checked.order.as_ref().and_then(|order| checked.state.orders.get(order)) else {
        blocks.push(Block::Paragraph(Text::strong("包内没有订单的记录，权利链无从说明。")));
        return blocks;
    };
    let product = checked.state.products.get(&order.value.details.product).map(|product| &product.value);
    let inputs = product.map(|product| product.details.inputs.clone()).unwrap_or_default();
    // Several resources may stand on one plan, mandate or permit, which is told once.
    let mut told = BTreeSet::new();
    for (resource, permit_id) in &inputs {
        blocks.extend(resource_link(checked, resource));
        let Some(permit) = checked.state.permits.get(permit_id).map(|permit| &permit.value) else { continue };
        let mandate = checked.state.mandates.get(&permit.details.mandate).map(|mandate| &mandate.value);
        let plan = mandate.and_then(|mandate| checked.state.plans.get(&mandate.details.plan));
        if let Some(plan) = plan.map(|plan| &plan.value) {
            if let Some(item) = plan.details.items.get(resource) {
                blocks.extend(supply_link(checked, &item.supply));
            }
            if told.insert(plan.id.to_string()) {
                blocks.extend(plan_link(checked, &plan.id));
            }
        }
        if told.insert(permit.details.mandate.to_string()) {
            blocks.extend(mandate_link(checked, &permit.details.mandate));
        }
        if !told.insert(permit.id.to_string()) {
            continue;
        }
        let mut facts = Facts::new();
        fact(&mut facts, "应用场景", permit.details.scenario.as_str());
        let (allowing, allowed) =
            (words::party(&checked.state, &permit.implementer), words::party(&checked.state, &permit.operator));
        fact(&mut facts, "准许", format!("{allowing}准许{allowed}在本场景内使用上述资源"));
        fact(&mut facts, "用途", purposes(&permit.details.purposes));
        fact(&mut facts, "提供方确认", checked.done_each(permit.id.as_str(), "permit.confirmed"));
        let opinion = match &permit.opinion {
            Some(opinion) => {
                let word = if opinion.agrees { "同意" } else { "不同意" };
                format!("{word}：{}（{}）", opinion.text, checked.done_each(permit.id.as_str(), "permit.opinion_given"))
            }
            None => "（无）".to_owned(),
        };
        fact(&mut facts, "行业主管部门意见", opinion);
        fact(&mut facts, "批准", checked.done_each(permit.id.as_str(), "permit.approved"));
        stops(checked, &mut facts, permit.id.as_str(), "permit");
        fact(&mut facts, "查对", ids(checked, permit.id.as_str()));
        blocks.extend(link("场景授权（一场景一授权）", facts));
    }
    blocks.extend(product_link(checked, &order.value.details.product));
    blocks.extend(order_link(checked, &order.value.id));
    blocks.extend(reach(checked));
    blocks
}

fn link(title: &str, facts: Facts) -> [Block; 2] {
    [Block::Heading { level: 2, text: title.to_owned() }, Block::Facts(facts)]
}

/// The id of an entity and its places in the journal.
fn ids(checked: &Checked, stream: &str) -> Text {
    Text::code(stream).with(Style::Plain, format!("　{}", checked.positions(stream)))
}

/// Suspensions and ends of a link, where there were any.
fn stops(checked: &Checked, facts: &mut Facts, stream: &str, entity: &str) {
    for (kind, name) in
        [("suspended", "中止"), ("resumed", "恢复"), ("revoked", "撤销"), ("withdrawn", "撤回"), ("ended", "终止")]
    {
        let kind = format!("{entity}.{kind}");
        if checked.first(stream, &kind).is_some() {
            fact(facts, name, Text::strong(checked.done_each(stream, &kind)));
        }
    }
}

/// Certificates of a resource or product.
fn certificates(state: &State, facts: &mut Facts, object: &Registrable) {
    for registration in state.registrations.values().map(|registration| &registration.value) {
        let RegistrationStage::Certified(certificate) = &registration.stage else { continue };
        if registration.object != *object {
            continue;
        }
        let registrar =
            registration.registrar.as_ref().map_or("（无）".to_owned(), |party| words::party(state, party));
        let text = Text::code(&certificate.code).with(
            Style::Plain,
            format!(
                "　{registrar} {} 颁发，有效期至 {}",
                words::day(certificate.issued_at),
                words::day(certificate.valid_until)
            ),
        );
        fact(facts, "登记凭证", text);
    }
}

fn resource_link(checked: &Checked, id: &ResourceId) -> Vec<Block> {
    let Some(resource) = checked.state.resources.get(id).map(|resource| &resource.value) else { return Vec::new() };
    let details = &resource.details;
    let mut facts = Facts::new();
    fact(&mut facts, "提供方", words::party(&checked.state, &resource.provider));
    fact(&mut facts, "来源与依据", format!("{}；{}", details.basis, details.source));
    let openness = words::openness(details.openness);
    fact(&mut facts, "开放属性", format!("{openness}；{}", words::nature(details.nature)));
    if let Some(basis) = &details.personal_basis {
        fact(&mut facts, "个人信息处理依据", basis.as_str());
    }
    fact(&mut facts, "目录签发", checked.done_each(id.as_str(), "resource.signed"));
    certificates(&checked.state, &mut facts, &Registrable::Resource(id.clone()));
    if let Some(snapshot) = &resource.snapshot {
        let taken = words::instant(snapshot.taken_at);
        let text = Text::plain(format!("第 {} 版，{} 行，{taken}，摘要 ", snapshot.version, snapshot.rows));
        fact(&mut facts, "最近快照", text.with(Style::Code, &snapshot.digest));
    }
    fact(&mut facts, "查对", ids(checked, id.as_str()));
    link(&format!("公共数据资源：{}", details.name), facts).into()
}

fn supply_link(checked: &Checked, id: &SupplyId) -> Vec<Block> {
    let Some(supply) = checked.state.supplies.get(id).map(|supply| &supply.value) else { return Vec::new() };
    let mut facts = Facts::new();
    let (provider, implementer) =
        (words::party(&checked.state, &supply.provider), words::party(&checked.state, &supply.implementer));
    fact(&mut facts, "准许", format!("{provider}确认向{implementer}供数"));
    fact(&mut facts, "需求", format!("{}（{}）", supply.need, checked.done(id.as_str(), "supply.requested")));
    fact(&mut facts, "确认", checked.done_each(id.as_str(), "supply.confirmed"));
    stops(checked, &mut facts, id.as_str(), "supply");
    fact(&mut facts, "查对", ids(checked, id.as_str()));
    link("供数确认", facts).into()
}

fn plan_link(checked: &Checked, id: &PlanId) -> Vec<Block> {
    let Some(plan) = checked.state.plans.get(id).map(|plan| &plan.value) else { return Vec::new() };
    let mut facts = Facts::new();
    fact(&mut facts, "名称", plan.details.name.as_str());
    fact(&mut facts, "实施机构", words::party(&checked.state, &plan.implementer));
    fact(&mut facts, "授权运营模式", words::authorisation_mode(plan.details.mode));
    fact(&mut facts, "期限", words::term(&plan.details.term));
    fact(&mut facts, "集体决策后报送", checked.done_each(id.as_str(), "plan.submitted"));
    let document = match &plan.stage {
        PlanStage::Approved { document, .. } => format!("批准文件 {document}："),
        PlanStage::Drafted | PlanStage::Submitted { .. } | PlanStage::Returned { .. } => String::new(),
    };
    fact(&mut facts, "批准", format!("{document}{}", checked.done_each(id.as_str(), "plan.approved")));
    fact(&mut facts, "查对", ids(checked, id.as_str()));
    link("实施方案", facts).into()
}

fn mandate_link(checked: &Checked, id: &MandateId) -> Vec<Block> {
    let Some(mandate) = checked.state.mandates.get(id).map(|mandate| &mandate.value) else { return Vec::new() };
    let mut facts = Facts::new();
    fact(&mut facts, "名称", mandate.details.name.as_str());
    let (implementer, operator) =
        (words::party(&checked.state, &mandate.implementer), words::party(&checked.state, &mandate.details.operator));
    fact(&mut facts, "准许", format!("{implementer}授权{operator}运营"));
    fact(&mut facts, "期限", words::term(&mandate.details.term));
    fact(&mut facts, "运营机构遴选", mandate.details.selection.as_str());
    fact(&mut facts, "批准", checked.done_each(id.as_str(), "mandate.approved"));
    fact(&mut facts, "协议签署", checked.done_each(id.as_str(), "mandate.signed"));
    fact(&mut facts, "生效", checked.done_each(id.as_str(), "mandate.entered_force"));
    stops(checked, &mut facts, id.as_str(), "mandate");
    fact(&mut facts, "查对", ids(checked, id.as_str()));
    link("授权与运营协议", facts).into()
}

fn product_link(checked: &Checked, id: &ProductId) -> Vec<Block> {
    let Some(product) = checked.state.products.get(id).map(|product| &product.value) else { return Vec::new() };
    let mut facts = Facts::new();
    fact(&mut facts, "名称", product.details.name.as_str());
    fact(&mut facts, "运营机构", words::party(&checked.state, &product.operator));
    fact(&mut facts, "产品定义", Text::plain(&product.details.sql));
    fact(&mut facts, "出域审核", checked.done_each(id.as_str(), "product.output_reviewed"));
    certificates(&checked.state, &mut facts, &Registrable::Product(id.clone()));
    fact(&mut facts, "上架", checked.done_each(id.as_str(), "product.listed"));
    fact(&mut facts, "查对", ids(checked, id.as_str()));
    link("数据产品", facts).into()
}

fn order_link(checked: &Checked, id: &OrderId) -> Vec<Block> {
    let Some(order) = checked.state.orders.get(id).map(|order| &order.value) else { return Vec::new() };
    let details = &order.details;
    let mut facts = Facts::new();
    let (operator, consumer) =
        (words::party(&checked.state, &order.operator), words::party(&checked.state, &order.consumer));
    fact(&mut facts, "准许", format!("{operator}向{consumer}提供上述产品"));
    fact(&mut facts, "用途", details.purpose.0.as_str());
    fact(&mut facts, "交付方式", words::modes(&details.modes));
    fact(&mut facts, "期限", words::term(&details.term));
    let limits = QuotaUnit::ALL.into_iter().filter_map(|unit| {
        let limit = details.quota.limit(unit)?;
        Some(format!("{limit} {}", words::quota_unit(unit)))
    });
    fact(&mut facts, "配额", words::join(limits));
    let price = &order.contract.price;
    let free =
        if price.is_free_for(&details.purpose) { "；本订单的用途属于免费用途，不收费" } else { "" };
    fact(&mut facts, "价格", format!("每次调用 {} 元，每个数据集 {} 元{free}", price.per_call, price.per_data_set));
    fact(&mut facts, "合同条款摘要", Text::code(&order.contract.terms_digest));
    fact(&mut facts, "下单", checked.done(id.as_str(), "order.placed"));
    fact(&mut facts, "双方签署", checked.done_each(id.as_str(), "order.signed"));
    stops(checked, &mut facts, id.as_str(), "order");
    fact(&mut facts, "查对", ids(checked, id.as_str()));
    link("订单与合同", facts).into()
}

/// What the order may see, as of the last record.
fn reach(checked: &Checked) -> Vec<Block> {
    let heading = Block::Heading { level: 2, text: "使用方据此取得的权限".to_owned() };
    let Some(grant) = &checked.grant else {
        let text = "按包内最后一条记录，本订单没有有效的使用授权（已经中止或终止，按现行规则不再有效，或尚无数据快照）：节点拒绝一切取数请求。";
        return vec![heading, Block::Paragraph(Text::strong(text))];
    };
    let scope = &grant.scope;
    let rows = scope.columns.keys().map(|column| {
        let each = scope.modes.iter().map(|mode| {
            let precision = scope.visible_in(*mode).get(column).copied();
            let shown = precision.map_or_else(|| "不可见".to_owned(), words::precision);
            format!("{}：{shown}", words::mode(*mode))
        });
        vec![Text::code(column.as_str()), Text::plain(each.collect::<Vec<_>>().join("；"))]
    });
    let consent = if scope.consent_required { "须经数据主体同意" } else { "不以数据主体同意为前提" };
    let columns = vec![("字段".to_owned(), 2), ("各交付方式下的精度（脱敏）".to_owned(), 5)];
    vec![
        heading,
        Block::Paragraph(
            format!(
                "以下是把上述各环节的范围逐级取交集的结果（以包内最后一条记录为准；合同期限尚未开始的，为期限开始时的权限）。用途：{}；统计结果的最小群组为 {}；{consent}。",
                grant.purpose.0, scope.cohort_floor
            )
            .into(),
        ),
        Block::Table { columns, rows: rows.collect() },
    ]
}
