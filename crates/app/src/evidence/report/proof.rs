//! Why the proof holds, in plain words; keys and checkpoints; how to check it independently; on what it rests.

use jiff::Timestamp;
use lingqu_report::{Block, Style, Text};

use crate::evidence::check::Checked;
use crate::evidence::words;

/// What is said about witnesses, first of all.
pub(super) fn witness_words(checked: &Checked) -> Text {
    let seen = checked.report.cosigned.iter().filter(|cosigned| !cosigned.is_of_twin).count();
    if seen == 0 {
        return Text::plain(
            "日志头没有已知见证方的联署：本证据包能证明记录未被改动，但不能排除节点向不同的人出示过不同的日志。",
        );
    }
    let trusted = checked.report.cosigned.iter().filter(|cosigned| !cosigned.is_of_twin && cosigned.key_is_trusted);
    let trusted = trusted.count();
    let rest = if trusted < seen { "，公钥取自证据包的，须另行核对" } else { "" };
    Text::plain(format!(
        "日志头另有 {seen} 家见证方联署（其中 {trusted} 家的公钥由核验人提供{rest}）：联署方各自确认，此前看到的日志没有被改写。"
    ))
}

/// The chain of proof in plain words.
pub(super) fn reasons() -> Vec<Block> {
    let item = |name: &str, text: &str| Text::strong(format!("{name}　")).with(Style::Plain, text);
    vec![
        Block::Heading { level: 1, text: "七、为什么可以相信：证明的道理".to_owned() },
        Block::List {
            is_numbered: true,
            items: vec![
                item(
                    "哈希（摘要）。",
                    "把任意长的内容算成一个固定长度的数，内容改动一个字节，结果就面目全非；已知结果，也造不出另一份同样结果的内容。\
                     因此只要摘要相符，内容就是原来那一份。每条记录先加一段随机的“盐”再算摘要，单看摘要猜不出内容。",
                ),
                item(
                    "日志。",
                    "每一组记录的摘要成为存证日志的一个条目。条目两两相并、逐层求摘要，最后得到一个根（默克尔树）。改动、增加或抽走任何一个旧\
                     条目，根都会改变。从一个条目到根只需几十个摘要，这就是包内每份 .tlog-proof 文件的内容：按它逐层计算，能算到日志头上的根，\
                     就证明该条目确实在日志里。",
                ),
                item(
                    "签名。",
                    "节点用私钥对“日志名、条目数、根”签名，称为日志头（检查点）。没有私钥签不出来，有公钥人人都能验。节点签出的日志头若前后矛盾，\
                     两份并列就是它失信的证据。",
                ),
                item(
                    "见证。",
                    "其他机构在看到日志头时，先验证它确实是在自己上次看到的日志后面接着写的，再附上自己的签名和时间（联署）。这样，节点想改写历史\
                     或对不同的人出示不同的日志，就须全体见证方一起作假。",
                ),
                item(
                    "孪生日志。",
                    "同样的条目另用国家密码标准 SM3 求摘要、SM2 签名，成为第二份日志。两套算法各自独立成证；每次发布前，两份日志互相写入对方的根，\
                     一份被改写，另一份就会露出来。",
                ),
                item(
                    "重新推演。",
                    "核验不只比对摘要，还把包内的业务记录从头推演一遍：每一环是否有权、是否在期、是否超出上一环，每次交付所依据的授权（回执记有其摘要）是否正是当时推演所得，计量是否与回执相符，费用是否与价格相符。",
                ),
            ],
        },
    ]
}

/// Keys and checkpoints.
pub(super) fn keys(checked: &Checked) -> Vec<Block> {
    let report = &checked.report;
    let origin = |is_trusted: bool| {
        if is_trusted { "由核验人提供" } else { "取自证据包，须从可信渠道核对" }
    };
    let mut facts: Vec<(String, Text)> = Vec::new();
    let mut fact = |name: &str, text: Text| facts.push((name.to_owned(), text));
    if let Some(node) = &report.node {
        fact("日志名称", Text::code(node));
    }
    if let Some(key) = &report.key {
        fact("节点公钥", Text::code(key).with(Style::Plain, format!("　{}", origin(report.key_is_trusted))));
    }
    fact("日志头", Text::plain(format!("条目 {} 个，其中 {} 个在包内得到证明", report.log_size, report.log_entries)));
    if let Some(root) = root_of(checked, "checkpoint") {
        fact("根（SHA-256）", Text::code(root));
    }
    if let Some(twin) = &report.twin {
        fact("孪生日志公钥", Text::code(&twin.key).with(Style::Plain, format!("　{}", origin(twin.key_is_trusted))));
        let text = format!("条目 {} 个，其中 {} 个在包内得到证明", twin.log_size, twin.log_entries);
        fact("孪生日志头", Text::plain(text));
        if let Some(root) = root_of(checked, "checkpoint.sm3") {
            fact("根（SM3）", Text::code(root));
        }
    }
    for cosigned in &report.cosigned {
        let at = cosigned.at.parse::<Timestamp>().map_or_else(|_| cosigned.at.clone(), words::instant);
        let of = if cosigned.is_of_twin { "见证方（孪生日志）" } else { "见证方" };
        let words = format!("　{at} 联署，公钥{}", origin(cosigned.key_is_trusted));
        fact(of, Text::code(&cosigned.key).with(Style::Plain, words));
    }
    if let Some(digest) = &report.contents_digest {
        fact("证据内容摘要", Text::code(digest).with(Style::Plain, "　除本报告以外全部内容，与页脚一致"));
    }
    vec![Block::Heading { level: 1, text: "八、密钥与日志头".to_owned() }, Block::Facts(facts)]
}

/// The root in a checkpoint as it stands in the note.
fn root_of(checked: &Checked, item: &str) -> Option<String> {
    let item = checked.evidence.as_ref()?.item(item)?;
    std::str::from_utf8(&item.bytes).ok()?.lines().nth(2).map(str::to_owned)
}

/// How to check it independently.
pub(super) fn steps(checked: &Checked) -> Vec<Block> {
    let key = checked.report.key.clone().unwrap_or_else(|| "节点公钥".to_owned());
    vec![
        Block::Heading { level: 1, text: "九、怎样独立核验".to_owned() },
        Block::List {
            is_numbered: true,
            items: vec![
                Text::plain("用本平台的开源程序，离线、无需任何配置：").with(Style::Code, "lingqu audit verify 证据包"),
                Text::plain("先从节点公示页面、见证方或主管部门取得节点公钥，再坚持用它核验：")
                    .with(Style::Code, format!("lingqu audit verify 证据包 --vkey {key}")),
                Text::plain("不用本平台的任何程序：").with(Style::Code, "lingqu audit unpack 证据包 目录").with(
                    Style::Plain,
                    " 把证据包展开为普通文件（格式公开，可自行编程展开），再用通用工具（sha256sum、openssl 或约百行的 Python 脚本）\
                     核对签名、摘要与默克尔路径；步骤见展开目录中的 readme.txt 和使用手册。",
                ),
                Text::plain("重新生成本报告并逐字节比对：").with(Style::Code, "lingqu audit report 证据包 -o 报告.pdf"),
                Text::plain("向见证方查询其联署过的日志头，与第八节的条目数和根比对。"),
            ],
        },
    ]
}

/// On what all of it rests.
pub(super) fn limits(checked: &Checked) -> Vec<Block> {
    let mut items: Vec<Text> = vec![
        "密码学前提：SHA-256（孪生日志为 SM3）找不到碰撞，Ed25519（孪生日志为 SM2）签名不可伪造。".into(),
        "私钥前提：节点与各见证方的签名私钥没有泄露。私钥泄露后签出的日志头，须靠他人保存的旧日志头来排除。".into(),
        "时间：记录中的时间取自节点的时钟；只有见证方联署的时间由第三方给出。日志只保证先后次序和“不晚于联署时间”。"
            .into(),
        "最近一次交付之后的决定若被漏收，本证据包不能发现；此前的决定若被漏收，其后如实写成的回执所记的授权摘要就与推演不符，节点自始写入旧摘要的除外。"
            .into(),
        "用户编号与自然人的对应、合同纸质文本、数据本身不在包内；数据只以快照摘要和行号出现。".into(),
        "节点与其全部见证方一致作假，或在任何人看到日志之前就已分叉的，本证据包不能发现。".into(),
    ];
    if checked.report.cosigned.is_empty() {
        items.push(Text::strong("本证据包没有已知见证方的联署，因此上一条的“全部见证方”在此等于没有。"));
    }
    vec![Block::Heading { level: 1, text: "十、前提与局限".to_owned() }, Block::List { is_numbered: true, items }]
}
