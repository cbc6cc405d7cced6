//! The report of a trace for people, in Chinese as PDF: what was found, how sure that is, who held the keys, what voids it, and
//! what to do next. It is made of the report alone, whose digest stands on every page, and of the check of its evidence where
//! there is one; it holds no value and no key.

use jiff::Timestamp;
use lingqu_crypto::sha256;
use lingqu_domain::event::canonical;
use lingqu_engine::source::FragmentForm;
use lingqu_fingerprint::DECODERS;
use lingqu_report::{Block, Document, ReportFont, Style, Text, write_pdf};

use super::report::{Accused, ExplainedBy, ProductTrace, SourceTrace, TraceReport, TraceVerdict};
use super::verify::{HeldAgainst, TraceCheck};
use crate::error::AppError;
use crate::evidence::words::instant;
use crate::evidence::{made_at, report_fault};

/// Most rows of a table of deliveries, orders or sets; the JSON has all.
const ROWS_SHOWN_MAX: usize = 30;
/// Most findings of a check that are listed.
const FINDINGS_MAX: usize = 50;

/// A trace's report as PDF/A; with the check of its evidence where that was made. The same report, check and font give the same
/// bytes. Error: the font can't be read.
pub fn trace_report_pdf(report: &TraceReport, check: Option<&TraceCheck>, font: Vec<u8>) -> Result<Vec<u8>, AppError> {
    let font = ReportFont::new(font).map_err(report_fault)?;
    write_pdf(&document(report, check), &font).map_err(report_fault)
}

fn document(report: &TraceReport, check: Option<&TraceCheck>) -> Document {
    // The name of a file that was written is nothing that was found.
    let report = &TraceReport { evidence: None, ..report.clone() };
    let digest = sha256(canonical(report).as_bytes()).to_string();
    let traced = report.traced_at.parse::<Timestamp>().ok();
    let at = traced.map_or_else(|| report.traced_at.clone(), instant);
    let mut blocks = vec![
        Block::Title {
            text: "数据泄露溯源报告".to_owned(),
            subtitle: format!("文件 SHA-256 {}", report.fragment.digest),
        },
        Block::Paragraph(
            Text::plain(format!("溯源时间 {at}（北京时间），溯源节点 "))
                .with(Style::Code, &report.node)
                .with(Style::Plain, "。报告不含数据的任何取值，也不含任何密钥。"),
        ),
        verdict(report),
    ];
    blocks.extend(checked(check));
    blocks.extend(file(report));
    blocks.extend(report.accused.iter().enumerate().flat_map(|(number, accused)| of_accused(number + 1, accused)));
    blocks.extend(bound(report));
    blocks.extend(report.products.iter().flat_map(of_product));
    blocks.extend(report.sources.iter().flat_map(of_source));
    blocks.extend(voids(report));
    blocks.extend(next(report));
    Document {
        title: "数据泄露溯源报告".to_owned(),
        header: "灵渠 · 数据泄露溯源报告".to_owned(),
        footer: format!("溯源报告摘要 SHA-256 {digest}"),
        identifier: digest,
        made_at: made_at(traced.unwrap_or(Timestamp::UNIX_EPOCH)),
        blocks,
    }
}

fn heading(text: impl Into<String>) -> Block {
    Block::Heading { level: 1, text: text.into() }
}

fn subheading(text: impl Into<String>) -> Block {
    Block::Heading { level: 2, text: text.into() }
}

fn columns(titles: &[(&str, u16)]) -> Vec<(String, u16)> {
    titles.iter().map(|(title, share)| ((*title).to_owned(), *share)).collect()
}

/// A number that may be too small to be written, rounded up.
fn at_most(log: f64) -> String {
    let exponent = (log / std::f64::consts::LN_10).ceil();
    if exponent >= 0.0 { "1".to_owned() } else { format!("10^{exponent:.0}") }
}

fn verdict(report: &TraceReport) -> Block {
    let headline = match report.verdict {
        TraceVerdict::Accused => "结论：指认",
        TraceVerdict::Undecided => "结论：无法指认任何人",
        TraceVerdict::Foreign => "结论：不是本节点交付的数据",
    };
    let mut lines = vec![Text::plain(&report.reason)];
    for accused in &report.accused {
        let name = if accused.name.is_empty() { accused.consumer.to_string() } else { accused.name.clone() };
        lines.push(
            Text::strong(name)
                .with(Style::Plain, "　其副本进入了该文件；无辜者得分如此之高的概率不超过 ")
                .with(Style::Code, at_most(accused.log_p_value)),
        );
    }
    if report.verdict == TraceVerdict::Accused {
        lines.push(Text::plain("所指的是“该接收方的副本”，不等于该接收方本人：副本可能被盗。见“什么会使结论不成立”。"));
    }
    Block::Verdict { is_good: report.verdict == TraceVerdict::Accused, headline: headline.to_owned(), lines }
}

/// The name in a key of a witness.
fn name_of(key: &str) -> &str {
    key.split_once('+').map_or(key, |(name, _)| name)
}

/// What the check of the evidence came to.
fn checked(check: Option<&TraceCheck>) -> Vec<Block> {
    let Some(check) = check else { return Vec::new() };
    let mut blocks = vec![heading("证据包核验")];
    let mut facts: Vec<(String, Text)> = Vec::new();
    let mut fact = |name: &str, text: Text| facts.push((name.to_owned(), text));
    fact(
        "结果",
        Text::strong(match (check.findings.is_empty(), check.held) {
            (true, HeldAgainst::Report) => "核验通过",
            (true, _) => "未见错误，但没有日志记录印证这份报告：登记总数、尝试次数和报告内容仅凭出具者所述",
            (false, _) => "核验未通过：在问题得到解释之前不能采信",
        }),
    );
    let whose =
        if check.key_is_trusted { "由核验人提供" } else { "取自证据包本身，须从可信渠道核对" };
    fact("日志公钥", Text::plain(whose));
    fact("日志头", Text::plain(format!("{} 个条目，{} 家见证方联署", check.log_size, check.witnesses)));
    let recorded = match &check.recorded {
        Some(record) if check.held == HeldAgainst::Report => {
            Text::code(record).with(Style::Plain, "　先于报告写入，与报告逐字一致，各产品受检密钥数相同")
        }
        Some(record) => Text::code(record)
            .with(Style::Plain, "　各项总数相同；该记录早于“记录对外报告摘要”的版本，不能证明是这份报告"),
        None => Text::plain("包内没有本次溯源的日志记录，或其内容与报告不一致"),
    };
    fact("溯源记录", recorded);
    if let Some(position) = check.journal_position {
        let between = match check.records_between {
            Some(0) => "；其后一条即本次溯源的记录，其间并无遗漏".to_owned(),
            Some(count) => format!("；与本次溯源的记录之间另有 {count} 条日志"),
            None => String::new(),
        };
        fact("登记总数", format!("计至日志位置 {position}：此前承诺的密钥都受检验，此后的都不计{between}").into());
    }
    let observed = match &check.observed {
        Some(found) => format!(
            "已由专家附件和原文件逐处重新观察：{} 行中的 {} 行与原始数据对齐，{} 处指纹位置与证据一致，无伪造、无遗漏",
            found.rows_traced, found.rows, found.positions
        ),
        None => "未核对（需要封存的专家附件和原文件）".to_owned(),
    };
    fact("观察结果", observed.into());
    for accused in &check.accused {
        let of = match &accused.order {
            Some(order) => format!("订单 {order}"),
            None => format!("接收方 {}", accused.consumer),
        };
        let seen = match &accused.seen {
            Some(seen) => {
                let whose = if seen.key_is_trusted {
                    "公钥由核验人提供"
                } else {
                    "公钥取自证据包，须另行核对"
                };
                format!("，见证方 {} 于 {} 联署的日志头已含此条目（{whose}）", name_of(&seen.key), instant(seen.at))
            }
            None => "，包内没有见证方当时的联署".to_owned(),
        };
        let text = format!(
            "{of}（密钥第 {} 期）：由公开的密钥重新计算，概率不超过 {}，登记总数 {}；密钥承诺在日志第 {} 号条目，记于 {}{seen}",
            accused.code_epoch,
            at_most(accused.log_p_value),
            accused.registered,
            accused.log_entry,
            accused.committed_at
        );
        fact("重新计算", text.into());
    }
    blocks.push(Block::Facts(facts));
    if !check.findings.is_empty() {
        let rows = check.findings.iter().take(FINDINGS_MAX);
        let rows = rows.map(|(item, problem)| vec![Text::code(item), Text::plain(problem)]).collect();
        blocks.push(Block::Table { columns: columns(&[("所在", 2), ("问题（程序原文）", 5)]), rows });
    }
    blocks
}

/// The file.
fn file(report: &TraceReport) -> Vec<Block> {
    let fragment = &report.fragment;
    let form = match fragment.form {
        FragmentForm::Separated => "分隔符文本（CSV 等）",
        FragmentForm::Xlsx => "Excel 工作簿（XLSX）",
        FragmentForm::Json => "JSON",
        FragmentForm::Parquet => "Parquet",
        FragmentForm::Bars => "带竖线的文本表格",
        FragmentForm::Blanks => "以空白对齐的文本表格",
    };
    let rows = format!(
        "读到 {} 行，溯源 {} 行，{} 行不成表格而略去；{} 列",
        fragment.rows_read, fragment.rows_traced, fragment.lines_left_out, fragment.columns
    );
    let mut compared = format!("{} 个产品版本", report.versions_tried);
    if report.versions_not_tried > 0 {
        compared.push_str(&format!("；另有 {} 个较早的版本未比对", report.versions_not_tried));
    }
    if report.versions_gone > 0 {
        compared.push_str(&format!("；{} 个版本的数据文件已不在本节点", report.versions_gone));
    }
    if report.deliveries_not_comparable > 0 {
        compared.push_str(&format!("；{} 次交付无法比对（实时数据或较早的回执）", report.deliveries_not_comparable));
    }
    vec![
        heading("被溯源的文件"),
        Block::Facts(vec![
            ("SHA-256".to_owned(), Text::code(&fragment.digest)),
            ("形式".to_owned(), form.into()),
            ("行与列".to_owned(), rows.into()),
            ("比对范围".to_owned(), compared.into()),
        ]),
    ]
}

/// Who is accused, and what supports it.
fn of_accused(number: usize, accused: &Accused) -> Vec<Block> {
    let mut facts: Vec<(String, Text)> = Vec::new();
    let mut fact = |name: &str, text: Text| facts.push((name.to_owned(), text));
    fact(
        "接收方",
        Text::strong(&accused.name).with(Style::Plain, "　").with(Style::Code, accused.consumer.to_string()),
    );
    fact("产品", Text::code(accused.product.to_string()));
    fact("密钥", Text::plain(format!("第 {} 期（期数自 0 起，每次在案件中公开后更换）", accused.code_epoch)));
    let sure = Text::code(at_most(accused.log_p_value));
    fact("误指概率上限", sure.with(Style::Plain, "　全案合计：全部登记的接收方、解码器、轮次、检验和历次溯源"));
    fact("解码器", Text::plain(format!("{}，第 {} 轮", accused.decoder, accused.pass + 1)));
    for order in &accused.orders {
        let told = match order.log_p_value {
            Some(log) => format!("　由订单自身的指纹指认，概率不超过 {}", at_most(log)),
            None => "　与该接收方的其他订单无法区分".to_owned(),
        };
        fact("订单", Text::code(order.order.to_string()).with(Style::Plain, told));
        for permit in &order.permits {
            fact("场景授权", Text::code(permit.to_string()));
        }
    }
    let holders: Vec<String> = accused.keys_held_by.iter().map(ToString::to_string).collect();
    fact(
        "密钥持有",
        Text::plain("一半在本节点，另一半由 ").with(Style::Code, holders.join("、")).with(Style::Plain, " 持有"),
    );
    let mut blocks = vec![heading(format!("指认之{number}：{}", accused.name)), Block::Facts(facts)];
    let rows = accused.channels.iter().map(|(channel, support)| {
        let what = match channel.as_str() {
            "presence" => "缺行指纹：他人的副本所缺、文件所有的行".to_owned(),
            "decoy" => "诱饵行：不存在而出现的行".to_owned(),
            _ => format!("取值指纹：{}", support.columns.join("、")),
        };
        vec![
            Text::code(channel),
            what.into(),
            support.positions.to_string().into(),
            format!("{:+.1}", support.score).into(),
        ]
    });
    blocks.push(subheading("支持指认的观察，分通道"));
    blocks.push(Block::Table {
        columns: columns(&[("通道", 3), ("内容", 6), ("位置数", 2), ("得分", 2)]),
        rows: rows.collect(),
    });
    blocks.push(subheading("交付回执佐证"));
    blocks.push(Block::Paragraph(
        format!("回执载明，文件中的 {} 行曾交付给该接收方。回执本身不构成指认。", accused.rows_delivered).into(),
    ));
    if !accused.deliveries.is_empty() {
        let rows = accused.deliveries.iter().take(ROWS_SHOWN_MAX).map(|delivery| {
            let at = delivery.at.parse::<Timestamp>().map_or_else(|_| delivery.at.clone(), instant);
            vec![
                Text::code(delivery.receipt.to_string()),
                at.into(),
                Text::code(&delivery.protocol),
                delivery.rows.to_string().into(),
            ]
        });
        blocks.push(Block::Table {
            columns: columns(&[("回执", 5), ("时间", 3), ("协议", 2), ("行数", 2)]),
            rows: rows.collect(),
        });
    }
    let more = accused.deliveries.len().saturating_sub(ROWS_SHOWN_MAX) as u64 + accused.deliveries_more;
    if more > 0 {
        blocks.push(Block::Paragraph(format!("另有 {more} 次交付未列出。").into()));
    }
    blocks
}

/// Where the bound comes from.
fn bound(report: &TraceReport) -> Vec<Block> {
    let mut items: Vec<Text> = vec![
        Text::plain("本案所设上限：任何无辜接收方被误指的概率，全部检验合计不超过 ")
            .with(Style::Code, report.bound.to_string()),
        format!(
            "检验了 {} 个接收方密钥（同一接收方的每一期各算一个）。各项概率已按登记总数、{DECODERS} 种解码器、轮次、检验项数（每个加指纹的产品两项）和本文件的溯源次序放大，可直接与上限相比。",
            report.tested
        )
        .into(),
    ];
    if let Some(tries) = &report.tries {
        items.push(
            format!(
                "本文件此前已溯源 {} 次，本次为第 {} 次，只使用上限的 {:.4}（第 k 次使用 1/k(k+1)，无论试多少次，合计不超过上限）。",
                tries.before,
                tries.before + 1,
                tries.share
            )
            .into(),
        );
        items.push(
            format!(
                "最近 {} 天内，另有 {} 次对其他文件的溯源比对过相同的版本；各为一案，各有上限，未计入本案。",
                tries.days, tries.of_same_versions
            )
            .into(),
        );
    }
    items.push(
        Text::plain("解码器版本 ")
            .with(Style::Code, &report.decoder_version)
            .with(Style::Plain, "；每次溯源在报告出示之前都已记入业务日志，其中有溯源结果的摘要。"),
    );
    vec![heading("误指概率的上限从何而来"), Block::List { is_numbered: false, items }]
}

/// What was found of one product.
fn of_product(product: &ProductTrace) -> Vec<Block> {
    let mut blocks = vec![heading(format!("文件中的产品：{}（{}）", product.name, product.table))];
    let rows = product.versions.iter().map(|version| {
        let told = if version.confirmed { "已由未参与查找的列印证" } else { "未能印证" };
        vec![
            Text::code(version.snapshots.join(" ")),
            format!("{} / {}", version.rows, version.originals).into(),
            told.into(),
            Text::plain(version.deeds_zh.join("；")),
        ]
    });
    blocks.push(Block::Table {
        columns: columns(&[("快照版本", 4), ("文件中 / 全部行", 2), ("出处", 2), ("看得出的改动", 5)]),
        rows: rows.collect(),
    });
    if let Some(marks) = &product.marks {
        let mut text = format!(
            "文件显示接收方指纹 {} 处、订单指纹 {} 处；登记密钥 {} 个；单独泄露者被指认的把握 {:.1}%。",
            marks.positions,
            marks.order_positions,
            marks.registered,
            marks.power * 100.0
        );
        if let Some(times) = marks.needed.filter(|times| *times > 1.0) {
            text.push_str(&format!("约需 {times:.1} 倍的片段才有 99% 的把握。"));
        }
        blocks.push(Block::Paragraph(text.into()));
        let rows = marks.channels.iter().map(|(name, channel)| {
            let share = |share: f64| Text::plain(format!("{:.1}%", share * 100.0));
            vec![
                Text::code(name),
                format!("{:.2}", channel.noise).into(),
                share(channel.flipped),
                share(channel.replaced),
            ]
        });
        blocks.push(Block::Table {
            columns: columns(&[("通道", 3), ("噪声（以指纹幅度计）", 3), ("翻转", 2), ("被替换", 2)]),
            rows: rows.collect(),
        });
    }
    let receipts = &product.receipts;
    blocks.push(subheading("谁曾取得这些行：仅据回执，不构成指认"));
    let how = match receipts.explained_by {
        ExplainedBy::Nothing => "没有任何订单取得过这些行。",
        _ if receipts.explanations.is_empty() => "取得者均不是被指认的订单，此处不列。",
        ExplainedBy::Single => "下列每个订单单独即已取得全部这些行。",
        ExplainedBy::Pair => "没有一个订单取得全部；下列每两个订单合起来取得全部。",
        ExplainedBy::Greedy => "没有两个订单合起来取得全部；下列订单合起来取得（未必最少）。",
    };
    let text =
        format!("产品的 {} 行在文件中，其中 {} 行未曾交付给任何订单。{how}", receipts.rows, receipts.rows_nobody_had);
    blocks.push(Block::Paragraph(text.into()));
    let sets = receipts.explanations.iter().take(ROWS_SHOWN_MAX).map(|set| {
        let orders: Vec<String> = set.orders.iter().map(ToString::to_string).collect();
        Text::code(orders.join(" + "))
    });
    let sets: Vec<Text> = sets.collect();
    if !sets.is_empty() {
        blocks.push(Block::List { is_numbered: false, items: sets });
    }
    if !receipts.never_in_clear.is_empty() {
        let text = format!(
            "{}：文件中为原值，而各订单仅以假名取得；该文件可能出自脱敏之前，例如提供方自身。",
            receipts.never_in_clear.join("、")
        );
        blocks.push(Block::Paragraph(Text::strong(text)));
    }
    blocks
}

/// A snapshot of a resource that the file is rows of.
fn of_source(source: &SourceTrace) -> Vec<Block> {
    let mut facts: Vec<(String, Text)> = Vec::new();
    let mut fact = |name: &str, text: Text| facts.push((name.to_owned(), text));
    let provider = Text::strong(&source.provider_name).with(Style::Plain, "　");
    fact("数据提供方", provider.with(Style::Code, source.provider.to_string()));
    fact("快照版本", Text::code(&source.snapshot));
    let told = if source.confirmed { "已由未参与查找的列印证" } else { "未能印证" };
    fact("文件中 / 全部行", Text::plain(format!("{} / {}，{told}", source.rows, source.originals)));
    if !source.never_delivered.is_empty() {
        let text = format!("{}：由其制成的产品从未交付过这些列，没有订单取得过", source.never_delivered.join("、"));
        fact("从未交付的列", Text::strong(text));
    }
    if !source.marked.is_empty() {
        let products = source.marked.iter().map(ToString::to_string).collect::<Vec<_>>().join("、");
        fact("加指纹的产品", Text::plain(format!("{products}：其副本可能已拼入文件，不能排除")));
    }
    for order in source.orders.iter().take(ROWS_SHOWN_MAX) {
        let text = format!("　取得过由 {} 制成的数据；是哪些行，此处未作比对", order.columns.join("、"));
        fact("订单", Text::code(order.order.to_string()).with(Style::Plain, text));
    }
    let more = source.orders.len().saturating_sub(ROWS_SHOWN_MAX) as u64 + source.orders_more;
    if more > 0 {
        fact("其他订单", Text::plain(format!("另有 {more} 个未列出")));
    }
    vec![
        heading(format!("文件中有数据资源的原始数据：{}（{}）", source.name, source.table)),
        Block::Paragraph(
            "文件含有任何产品都不能解释的列，而与下列快照相符：可能出自提供方或本节点内部。这不构成指认。".into(),
        ),
        Block::Facts(facts),
    ]
}

fn voids(report: &TraceReport) -> Vec<Block> {
    let items = report.assumptions.iter().map(|assumption| Text::plain(&assumption.text)).collect();
    vec![heading("什么会使结论不成立"), Block::List { is_numbered: true, items }]
}

fn next(report: &TraceReport) -> Vec<Block> {
    let mut items: Vec<Text> = match report.verdict {
        TraceVerdict::Accused => vec![
            "向第三方取证佐证：该接收方的交付回执、下载时间，以及他人（见证方、监看日志者）留存的日志头，是否都早于泄露。".into(),
            "独立核验证据包，离线、无需任何配置；命令见下。".into(),
            "由法院指定的专家核对观察结果，须另有封存的附件（含原始取值与位置密钥，只交专家）；命令见下。".into(),
            Text::plain("证据包公开了被指认者的密钥：由持有另一半密钥的审计机构发出 ")
                .with(Style::Code, "renew_mark_keys")
                .with(Style::Plain, "，此后交付给该接收方的副本改用下一期密钥；旧副本仍可溯源。"),
            "位置密钥一经交给专家，该产品应重新起草，另立位置密钥。".into(),
        ],
        TraceVerdict::Undecided => vec![
            "收集更多的行或列后再行溯源；同一文件反复溯源只会使上限越来越小。".into(),
            "产品不加指纹的，只能据回执缩小范围，不得据此指认。".into(),
        ],
        TraceVerdict::Foreign => vec![
            "向数据提供方和其他节点查询；本节点未经回执流出的数据不在比对之列。".into(),
            "有未比对的版本或交付的，补齐后再行溯源。".into(),
        ],
    };
    items.push("本报告由程序依据溯源结果自动生成；文字与溯源结果（JSON）不一致时，以后者为准。".into());
    let mut blocks = vec![heading("下一步"), Block::List { is_numbered: true, items }];
    if report.verdict == TraceVerdict::Accused {
        blocks.push(Block::Facts(vec![
            ("独立核验".to_owned(), Text::code("lingqu trace --verify 证据包 文件 --key 日志公钥")),
            ("专家核对".to_owned(), Text::code("lingqu trace --verify 证据包 文件 --sealed 附件 --key 日志公钥")),
            ("另一程序".to_owned(), Text::code("scripts/trace-evidence.py 证据包")),
        ]));
    }
    blocks
}
