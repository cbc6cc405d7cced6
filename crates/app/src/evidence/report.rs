//! The report of a bundle that a judge can read: made of the bundle alone, as whoever verifies it would make it. The same
//! bundle and font give the same bytes, so that the report need not be believed either.

mod chain;
mod deliveries;
mod proof;

use jiff::Timestamp;
use jiff::civil::DateTime;
use lingqu_domain::calendar::beijing;
use lingqu_report::{Block, Document, MadeAt, ReportError, ReportFont, Style, Text, write_pdf};
use lingqu_transparency::EvidenceTrust;

use super::check::{Checked, check};
use super::words;
use crate::error::AppError;

/// The item that holds the report.
pub const REPORT_ITEM: &str = "report.pdf";

/// Most findings that a report lists.
const FINDINGS_MAX: usize = 100;

/// The report of a bundle, made of the bundle alone with a font of the reader's. Without keys of the reader's and with the same
/// font it is byte for byte the report that stands in the bundle. Error: the font can't be read.
pub fn evidence_report(bundle: &[u8], trust: &EvidenceTrust, font: Vec<u8>) -> Result<Vec<u8>, AppError> {
    let font = ReportFont::new(font).map_err(super::report_fault)?;
    write(bundle, trust, &font).map_err(super::report_fault)
}

/// The report of a bundle.
pub(super) fn write(bundle: &[u8], trust: &EvidenceTrust, font: &ReportFont) -> Result<Vec<u8>, ReportError> {
    let checked = check(lingqu_transparency::verify_evidence_with(bundle, trust));
    write_pdf(&document(&checked), font)
}

fn document(checked: &Checked) -> Document {
    let report = &checked.report;
    let order = report.order.clone().unwrap_or_else(|| "（无法识别）".to_owned());
    let made = report.created_at.as_ref().and_then(|at| at.parse::<Timestamp>().ok());
    let made_words = made.map_or_else(|| "（无法识别）".to_owned(), words::instant);
    let digest = report.contents_digest.clone().unwrap_or_default();
    let mut blocks = vec![
        Block::Title { text: "公共数据授权运营证据报告".to_owned(), subtitle: format!("订单 {order}") },
        Block::Paragraph(format!("证据包制作于 {made_words}。本报告中的时间均为北京时间。").into()),
    ];
    if let Some(part) = &report.part {
        let parted = if part.has_own_windows { "交付回执及起于其间的计量区间" } else { "交付回执" };
        let text = format!(
            "本证据包是该订单证据的第 {} 部分，共 {} 部分；各部分的权利链相同，{parted}依次分载。",
            part.number, part.of
        );
        blocks.push(Block::Paragraph(text.into()));
    }
    blocks.push(verdict(checked));
    blocks.extend(findings(checked));
    blocks.extend(conclusion(checked));
    blocks.extend(chain::parties(checked));
    blocks.extend(chain::links(checked));
    blocks.extend(deliveries::deliveries(checked));
    blocks.extend(deliveries::consents(checked));
    blocks.extend(deliveries::money(checked));
    blocks.extend(proof::reasons());
    blocks.extend(proof::keys(checked));
    blocks.extend(proof::steps(checked));
    blocks.extend(proof::limits(checked));
    Document {
        title: format!("公共数据授权运营证据报告 {order}"),
        header: "灵渠 · 公共数据授权运营证据报告".to_owned(),
        footer: format!("证据内容摘要 SHA-256 {digest}"),
        identifier: digest,
        made_at: made_at(made.unwrap_or(Timestamp::UNIX_EPOCH)),
        blocks,
    }
}

/// A moment as a document has it, in Beijing.
pub(crate) fn made_at(at: Timestamp) -> MadeAt {
    let civil: DateTime = at.to_zoned_datetime(beijing()).datetime();
    let small = |number: i8| u8::try_from(number).unwrap_or_default();
    MadeAt {
        year: u16::try_from(civil.year()).unwrap_or_default(),
        month: small(civil.month()),
        day: small(civil.day()),
        hour: small(civil.hour()),
        minute: small(civil.minute()),
        second: small(civil.second()),
        offset_hours: 8,
    }
}

/// What the check came to.
fn verdict(checked: &Checked) -> Block {
    let report = &checked.report;
    if !report.verified {
        return Block::Verdict {
            is_good: false,
            headline: "核验未通过".to_owned(),
            lines: vec![
                Text::plain(format!("共发现 {} 处问题，逐项列于下文。", report.findings.len()))
                    .with(Style::Strong, "在问题得到解释之前，本证据包不能用来证明任何事项。"),
            ],
        };
    }
    let mut lines = vec![Text::plain(format!(
        "包内 {} 条业务记录与 {} 条交付回执，每一条都已逐一证明在日志头签发之前就写入了节点的存证日志，此后未被改动；由这些记录重新推演，\
         权利链自数据资源至订单完整，每次交付都在权利范围之内。",
        report.journal_records, report.receipt_records
    ))];
    lines.push(match &report.twin {
        Some(twin) => Text::plain(format!(
            "同一批 {} 个日志条目另由国密套件（SM3 摘要、SM2 签名）的孪生日志独立证明。",
            twin.log_entries
        )),
        None => Text::plain("本证据包没有孪生日志：全部证明只依据 SHA-256 与 Ed25519。"),
    });
    lines.push(proof::witness_words(checked));
    if !report.key_is_trusted {
        lines.push(Text::strong("须另行核对：").with(
            Style::Plain,
            "核验使用的公钥取自证据包本身。该公钥确属该节点，应从证据包以外的可信渠道核对，见第八节。",
        ));
    }
    // Whether a part is complete shows only together with the others.
    let headline = match &report.part {
        None => "核验通过：记录完整，前后一致",
        Some(_) => "核验通过：本部分所载记录前后一致",
    };
    Block::Verdict { is_good: true, headline: headline.to_owned(), lines }
}

/// What is wrong, where something is.
fn findings(checked: &Checked) -> Vec<Block> {
    let all = &checked.report.findings;
    if all.is_empty() {
        return Vec::new();
    }
    let rows = all.iter().take(FINDINGS_MAX).map(|(item, problem)| vec![Text::code(item), Text::plain(problem)]);
    let mut blocks = vec![
        Block::Heading { level: 1, text: "发现的问题".to_owned() },
        Block::Table {
            columns: vec![("所在".to_owned(), 2), ("问题（程序原文）".to_owned(), 5)],
            rows: rows.collect(),
        },
    ];
    if all.len() > FINDINGS_MAX {
        blocks.push(Block::Paragraph(format!("另有 {} 处未列出。", all.len() - FINDINGS_MAX).into()));
    }
    blocks
}

/// What the bundle proves and what it does not.
fn conclusion(checked: &Checked) -> Vec<Block> {
    let report = &checked.report;
    let metered = match &report.metered_until {
        _ if report.part.is_some() => {
            "本证据包只是该订单证据的一部分：计量区间是否由回执重新计数相符、回执有无遗漏，须将全部各部分一并核验。"
                .to_owned()
        }
        Some(until) => {
            let until = until.parse::<Timestamp>().map_or_else(|_| until.clone(), words::instant);
            format!(
                "截至 {until} 的 {} 个计量区间首尾相接，均已由回执重新计数并与业务日志相符：在此之前凡有回执的交付，一次也没有遗漏。",
                report.metering_windows
            )
        }
        None => "尚未关闭任何计量区间，因此不能证明回执没有遗漏。".to_owned(),
    };
    let is_fee_recounted = report.part.is_none_or(|part| !part.has_own_windows);
    let fee = if is_fee_recounted {
        "费用：按合同价格和计量结果重新计算，与结算相符（第六节）。"
    } else {
        "费用：按合同价格和结算所列数量重新计算，与结算相符（第六节）；所列数量是否为各计量区间之和，须将全部各部分一并核验。"
    };
    // Of a part they are not counted.
    let not_metered = match &report.part {
        Some(_) => "最后一个计量区间之后的交付是否齐全：要待下一次计量才能证明。".to_owned(),
        None => format!(
            "最后一个计量区间之后的交付（包内 {} 次，另有 {} 次尚未结束）是否齐全：要待下一次计量才能证明。",
            report.receipts_not_yet_metered, report.deliveries_open
        ),
    };
    let proven: Vec<Text> = if report.verified {
        vec![
            "谁在何时准许了谁，对哪些数据、为何种用途、以何种方式、到何时为止：第三节所列各环节均有记录，且逐级不超出上一级的范围。".into(),
            "每次交付的时间、依据、方式、行数和字段：第四节所列均有回执，回执先于数据离域写入。".into(),
            metered.into(),
            fee.into(),
            "上述记录自日志头签发以来未被增删、改动或倒填。".into(),
        ]
    } else {
        vec!["核验未通过，暂不作任何结论。".into()]
    };
    let unproven: Vec<Text> = vec![
        "记录的内容在现实中属实：证据证明的是“当时这样记录了”，而不是“事实就是这样”。".into(),
        "用户编号背后是哪一个自然人：登录账号与身份资料不在日志之内，须向有关单位另行取证。".into(),
        "使用方收到数据以后做了什么。".into(),
        "节点没有在不写回执的情况下交出数据：“先写回执、后出数据”由节点的程序保证，没有回执的交付在日志里不留空档。"
            .into(),
        not_metered.into(),
        "节点在任何人看到其日志之前没有另造一份日志：对此只能依靠见证方的联署和他人保存的日志头。".into(),
    ];
    vec![
        Block::Heading { level: 1, text: "一、结论".to_owned() },
        Block::Heading { level: 2, text: "本证据包证明的事项".to_owned() },
        Block::List { is_numbered: true, items: proven },
        Block::Heading { level: 2, text: "本证据包不证明的事项".to_owned() },
        Block::List { is_numbered: true, items: unproven },
        Block::Paragraph(
            Text::plain("本报告由程序依据同一证据包自动生成；任何人以同样的证据包和字体可以生成逐字节相同的报告。")
                .with(Style::Strong, "报告的文字与记录不一致时，以记录为准。"),
        ),
    ]
}
