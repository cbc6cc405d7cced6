//! Deliveries, consents and money in words.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::event::Event;
use lingqu_domain::id::ReceiptId;
use lingqu_domain::order::OrderEvent;
use lingqu_domain::receipt::{Opening, Outcome, ReceiptBody, Totals};
use lingqu_report::{Block, Style, Text};

use crate::evidence::check::Checked;
use crate::evidence::words;

/// Most lines of each table; what is beyond stands in the records.
const LINES_MAX: usize = 300;

/// One delivery, put together from its records.
struct Delivery<'a> {
    opening: &'a Opening,
    at: jiff::Timestamp,
    positions: Vec<u64>,
    totals: Option<&'a Totals>,
    stopped: Option<&'a str>,
}

fn gathered(checked: &Checked) -> Vec<(&ReceiptId, Delivery<'_>)> {
    let mut found: BTreeMap<&ReceiptId, Delivery<'_>> = BTreeMap::new();
    for (position, record) in &checked.receipts {
        match &record.body {
            ReceiptBody::Opened(opening) => {
                let delivery =
                    Delivery { opening, at: record.at, positions: vec![*position], totals: None, stopped: None };
                found.entry(&record.receipt).or_insert(delivery);
            }
            ReceiptBody::Single { opening, totals, .. } => {
                let delivery = Delivery {
                    opening,
                    at: record.at,
                    positions: vec![*position],
                    totals: Some(totals),
                    stopped: None,
                };
                found.entry(&record.receipt).or_insert(delivery);
            }
            ReceiptBody::Part { .. } => {
                if let Some(delivery) = found.get_mut(&record.receipt) {
                    delivery.positions.push(*position);
                }
            }
            ReceiptBody::Closed { outcome, totals } => {
                if let Some(delivery) = found.get_mut(&record.receipt) {
                    delivery.positions.push(*position);
                    delivery.totals = Some(totals);
                    delivery.stopped = match outcome {
                        Outcome::Delivered => None,
                        Outcome::Stopped { code } => Some(code),
                    };
                }
            }
        }
    }
    let mut all: Vec<_> = found.into_iter().collect();
    all.sort_by_key(|(_, delivery)| delivery.positions.first().copied());
    all
}

/// Every delivery: when, by which mode, how much, of which columns.
pub(super) fn deliveries(checked: &Checked) -> Vec<Block> {
    let all = gathered(checked);
    let mut blocks = vec![Block::Heading { level: 1, text: "四、交付".to_owned() }];
    let (Some((_, first)), Some((_, last))) = (all.first(), all.last()) else {
        blocks.push(Block::Paragraph(
            "包内没有交付回执。最后一个计量区间之后是否有过交付，本证据包不能证明，见第一节。".into(),
        ));
        return blocks;
    };
    let rows: u64 = all.iter().filter_map(|(_, one)| one.totals).fold(0, |sum, totals| sum.saturating_add(totals.rows));
    let stopped = all.iter().filter(|(_, one)| one.stopped.is_some()).count();
    let marked = all.iter().filter(|(_, one)| one.opening.code_id.is_some()).count();
    let mut text = format!(
        "共 {} 次交付，第一次在 {}，最近一次在 {}；取自产品的数据合计 {rows} 行次。",
        all.len(),
        words::instant(first.at),
        words::instant(last.at)
    );
    if stopped > 0 {
        text += &format!("其中 {stopped} 次中途停止，不收费。");
    }
    if marked > 0 {
        text += &format!("其中 {marked} 次的数据带有使用方专属的指纹（{}）。", commitment_words(checked, &all));
    }
    blocks.push(Block::Paragraph(text.into()));
    blocks.push(Block::Paragraph(
        "“取自行数”是从产品读出、进入计算的行数，“结果行数”是发给使用方的行数；具体是哪些行，由回执中的行号位图逐行记明。请求的原文封存在节点\
         的保险库内，回执只记其加盐摘要。"
            .into(),
    ));
    blocks.push(Block::Table {
        columns: [
            ("时间", 20),
            ("方式", 8),
            ("取自行数", 10),
            ("结果行数", 10),
            ("涉及字段", 18),
            ("回执", 23),
            ("结果", 9),
        ]
        .map(|(title, share)| (title.to_owned(), share))
        .into(),
        rows: all.iter().take(LINES_MAX).map(|(receipt, one)| delivery_row(checked, receipt, one)).collect(),
    });
    if all.len() > LINES_MAX {
        blocks.push(Block::Paragraph(format!("此处列出最早的 {LINES_MAX} 次，其余见包内回执记录。").into()));
    }
    blocks
}

/// Whether the keys of what was marked were committed to before, as far as the records tell.
fn commitment_words(checked: &Checked, all: &[(&ReceiptId, Delivery<'_>)]) -> &'static str {
    let commitments = checked.events.iter().filter(|event| {
        checked.order.as_ref().is_some_and(|order| event.stream == order.as_str())
            && matches!(event.event, Event::Order(OrderEvent::MarkKeysCommitted { .. }))
    });
    let first = commitments.map(|event| event.at).min();
    let mut marked = all.iter().map(|(_, one)| one).filter(|one| one.opening.code_id.is_some());
    if marked.all(|one| first.is_some_and(|first| first <= one.at)) {
        "指纹密钥的承诺在交付之前已记入业务日志"
    } else {
        "其中有的交付之前，业务日志中没有本订单指纹密钥的承诺"
    }
}

fn delivery_row(checked: &Checked, receipt: &ReceiptId, delivery: &Delivery<'_>) -> Vec<Text> {
    let number =
        |of: fn(&Totals) -> u64| delivery.totals.map_or_else(|| "—".to_owned(), |totals| of(totals).to_string());
    let columns = match &delivery.opening.lineage {
        Some(lineage) => {
            let made: BTreeSet<&str> =
                lineage.columns.iter().flat_map(|column| &column.from).map(|name| name.as_str()).collect();
            let product = checked.state.products.get(&delivery.opening.product);
            let all = product.map_or(0, |product| product.value.details.shape.columns.len());
            let text = if made.is_empty() {
                "（仅计数）".to_owned()
            } else if made.len() == all && all > 1 {
                format!("产品的全部 {all} 个字段")
            } else {
                made.into_iter().collect::<Vec<_>>().join("、")
            };
            if lineage.at_most { format!("至多 {text}") } else { text }
        }
        None => "（未记）".to_owned(),
    };
    let columns = if delivery.opening.code_id.is_some() { format!("{columns}（含指纹）") } else { columns };
    let outcome = match (delivery.totals, delivery.stopped) {
        // Another part may have its end.
        (None, _) if checked.report.part.is_some() => "本部分未载结束".to_owned(),
        (None, _) => "尚未结束".to_owned(),
        (Some(_), None) => "已交付".to_owned(),
        (Some(_), Some(code)) => format!("中途停止（{code}）"),
    };
    let positions = match delivery.positions[..] {
        [one] => format!("第 {one} 号"),
        [first, .., last] => format!("第 {first} 至 {last} 号"),
        [] => String::new(),
    };
    vec![
        words::instant(delivery.at).into(),
        words::mode(delivery.opening.mode).into(),
        number(|totals| totals.rows).into(),
        number(|totals| totals.answer_rows).into(),
        columns.into(),
        Text::code(words::short(receipt.as_str())).with(Style::Plain, format!(" {positions}")),
        outcome.into(),
    ]
}

/// Consents of subjects, as far as the bundle has them.
pub(super) fn consents(checked: &Checked) -> Vec<Block> {
    let mut blocks = vec![Block::Heading { level: 1, text: "五、数据主体的同意".to_owned() }];
    let state = &checked.state;
    if checked.report.consents == 0 {
        let text = match &checked.grant {
            Some(grant) if grant.scope.consent_required => {
                "本订单须经数据主体同意才能取得其数据，而同意的记录未收入本证据包。节点在每次交付时只放行同意在有效期内的主体；\
                 需要查验时，请向节点要求附有同意记录的证据包。"
            }
            Some(_) => "按权利链，本订单的交付不以数据主体同意为前提；包内没有同意的记录。",
            None => "包内没有同意的记录。",
        };
        blocks.push(Block::Paragraph(text.into()));
        return blocks;
    }
    blocks.push(Block::Paragraph(
        format!(
            "包内收有与本订单的使用方、用途和资源相符的同意 {} 项（含批量）。数据主体只以编号出现，其身份封存在节点的保险库内。",
            checked.report.consents
        )
        .into(),
    ));
    let single = state.consents.values().map(|consent| &consent.value).map(|consent| {
        let end = consent.withdrawn_at.map_or_else(
            || format!("至 {}", words::day(consent.details.term.until)),
            |at| format!("{} 撤回", words::instant(at)),
        );
        let who = Text::code(words::short(consent.subject.as_str()));
        vec![who, consent.details.purpose.0.as_str().into(), words::instant(consent.given_at).into(), end.into()]
    });
    let batches = state.consent_batches.values().map(|batch| &batch.value).map(|batch| {
        let who = Text::plain(format!("批量 {} 人，现存 {} 人", batch.count, batch.standing()));
        let until = format!("至 {}", words::day(batch.details.term.until));
        vec![who, batch.details.purpose.0.as_str().into(), words::instant(batch.given_at).into(), until.into()]
    });
    let columns = [("数据主体", 4), ("用途", 4), ("同意时间", 4), ("有效期或撤回", 4)];
    blocks.push(Block::Table {
        columns: columns.map(|(title, share)| (title.to_owned(), share)).into(),
        rows: batches.chain(single).take(LINES_MAX).collect(),
    });
    if checked.report.consents > LINES_MAX {
        blocks.push(Block::Paragraph(format!("此处列出 {LINES_MAX} 项，其余见包内记录。").into()));
    }
    blocks
}

/// Metering windows, settlements, and who receives what.
pub(super) fn money(checked: &Checked) -> Vec<Block> {
    let state = &checked.state;
    let mut blocks = vec![Block::Heading { level: 1, text: "六、计量与费用".to_owned() }];
    let mut meters: Vec<_> = state.meters.values().map(|meter| &meter.value).collect();
    meters.sort_by_key(|meter| meter.reading.first_position);
    let has_all_windows = checked.report.part.is_none_or(|part| !part.has_own_windows);
    if meters.is_empty() {
        let none = if has_all_windows {
            "尚未关闭任何计量区间，没有费用。"
        } else {
            "没有计量区间起于本部分所载的回执之间；计量与费用见其余部分。"
        };
        blocks.push(Block::Paragraph(none.into()));
        return blocks;
    }
    // Only what was found is said, and only of what was looked at.
    let recounted = match (checked.report.verified, &checked.report.part) {
        (true, None) => "核验时已由包内回执重新计数，各区间首尾相接，没有空档。",
        (true, Some(_)) => "本证据包只载部分回执，未由回执重新计数：须将全部各部分一并核验。",
        (false, _) => "与回执是否相符，以所列问题为准。",
    };
    blocks.push(Block::Paragraph(
        format!("节点定期把一段连续的回执合计为一个计量区间，记入业务日志。{recounted}").into(),
    ));
    let rows = meters.iter().take(LINES_MAX).map(|meter| {
        let reading = &meter.reading;
        let (calls, data_sets) = meter.charged();
        let charged = if meter.correction.is_some() { "（经更正）" } else { "" };
        vec![
            Text::plain(format!("第 {} 至 {} 号", reading.first_position, reading.end_position.saturating_sub(1))),
            words::instant(meter.closed_at).into(),
            format!("{}（另有未完成 {}）", reading.deliveries, reading.free_deliveries).into(),
            format!("{calls} 次，{data_sets} 个数据集{charged}").into(),
            meter.settlement.as_ref().map_or_else(|| Text::plain("未结算"), |id| Text::code(words::short(id.as_str()))),
        ]
    });
    let columns = [("回执", 4), ("关闭时间", 4), ("交付次数", 3), ("计费数量", 4), ("结算", 3)];
    blocks.push(Block::Table {
        columns: columns.map(|(title, share)| (title.to_owned(), share)).into(),
        rows: rows.collect(),
    });
    if checked.settled.is_empty() {
        blocks.push(Block::Paragraph("本订单的计量区间尚未结算。".into()));
        return blocks;
    }
    let rows = checked.settled.iter().map(|settled| {
        let source = if settled.is_whole {
            "结算记录全文在包内"
        } else {
            "包内为本订单的一行，期间与状态为节点所述，全文由日志条目承诺"
        };
        let confirmed = if settled.is_confirmed { "已确认" } else { "待确认" };
        vec![
            Text::plain(&settled.period),
            Text::code(words::short(settled.settlement.as_str())),
            format!("{} 次，{} 个数据集", settled.calls, settled.data_sets).into(),
            Text::strong(settled.fee.to_string()),
            format!("{confirmed}；{source}").into(),
        ]
    });
    let columns = [("结算期", 3), ("结算", 3), ("计费数量", 4), ("费用（元）", 3), ("状态", 5)];
    blocks.push(Block::Table {
        columns: columns.map(|(title, share)| (title.to_owned(), share)).into(),
        rows: rows.collect(),
    });
    let computed = match (checked.report.verified, has_all_windows) {
        (true, true) => "每笔费用均已按合同价格与计费数量重新计算并相符；",
        (true, false) => {
            "每笔费用均已按合同价格与结算所列数量重新计算并相符，所列数量是否为各计量区间之和，须将全部各部分一并核验；"
        }
        (false, _) => "费用按合同价格与计费数量重新计算，是否相符以所列问题为准；",
    };
    blocks.push(Block::Paragraph(
        format!(
            "{computed}用途属于免费用途的，数量照计，费用为零。一次结算涉及该运营机构的全部订单，为不泄露他人的用量，包内只收本订单的一行，\
             并附承诺其全文的日志条目：需要时可责令节点出示全文，与该条目比对。"
        )
        .into(),
    ));
    let mut shares = Vec::new();
    for mandate in state.mandates.values().map(|mandate| &mandate.value) {
        let revenue = &mandate.details.revenue;
        let mut parts = vec![format!(
            "财政（{}）{}",
            words::party(state, &revenue.treasury),
            words::percent(&revenue.treasury_rate)
        )];
        for (party, rate) in &revenue.provider_rates {
            parts.push(format!("数据提供方（{}）{}", words::party(state, party), words::percent(rate)));
        }
        parts.push(format!("运营机构（{}）其余部分", words::party(state, &mandate.details.operator)));
        shares.push(Text::plain(format!("{}：{}。", mandate.details.name, parts.join("，"))));
    }
    blocks.push(Block::Heading { level: 2, text: "收益分配的约定".to_owned() });
    blocks.push(Block::List { is_numbered: false, items: shares });
    blocks
}
