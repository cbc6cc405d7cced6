//! Documents through the whole room, with a font of the machine where there is one.

use crate::{Block, Document, MadeAt, ROWS_MAX, ReportError, ReportFont, Style, Text, write_pdf};

const FONT: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";

/// The font that `make setup` installs; in CI it must be there.
pub(crate) fn font_bytes() -> Option<Vec<u8>> {
    let bytes = std::fs::read(FONT).ok();
    assert!(bytes.is_some() || std::env::var_os("CI").is_none(), "{FONT} is missing; run make setup");
    bytes
}

pub(crate) fn font() -> Option<ReportFont> {
    Some(ReportFont::new(font_bytes()?).unwrap())
}

fn document(blocks: Vec<Block>) -> Document {
    Document {
        title: "证据报告".to_owned(),
        header: "灵渠 · 证据报告".to_owned(),
        footer: "sha256 0123456789abcdef".to_owned(),
        identifier: "0123".to_owned(),
        made_at: MadeAt { year: 2026, month: 11, day: 29, hour: 8, minute: 0, second: 0, offset_hours: 8 },
        blocks,
    }
}

fn pages(pdf: &[u8]) -> usize {
    let needle = b"/Type/Page/";
    let loose = b"/Type /Page\n";
    pdf.windows(needle.len()).filter(|window| *window == needle).count()
        + pdf.windows(loose.len()).filter(|window| window == loose).count()
}

#[test]
fn the_same_document_gives_the_same_bytes() {
    let Some(font) = font() else { return };
    let table = Block::Table {
        columns: vec![("时间".to_owned(), 2), ("行数".to_owned(), 1)],
        rows: (0..120).map(|row| vec![Text::plain(format!("第 {row} 次")), Text::code(row.to_string())]).collect(),
    };
    let blocks = vec![
        Block::Title { text: "证据报告".to_owned(), subtitle: "副题".to_owned() },
        Block::Verdict { is_good: true, headline: "可以核验".to_owned(), lines: vec!["一句话。".into()] },
        Block::Heading { level: 1, text: "一、结论".to_owned() },
        Block::Paragraph(Text::plain("编号 ").with(Style::Code, "ord_0123").with(Style::Strong, " 重点")),
        Block::List { is_numbered: true, items: vec!["甲".into(), "乙".into()] },
        Block::Facts(vec![("名称".to_owned(), "值".into())]),
        table,
    ];
    let first = write_pdf(&document(blocks.clone()), &font).unwrap();
    assert_eq!(first, write_pdf(&document(blocks), &font).unwrap());
    assert!(first.starts_with(b"%PDF-1.7"));
    assert!(pages(&first) > 1, "{} pages", pages(&first));
    let text = String::from_utf8_lossy(&first);
    assert!(text.contains("pdfaid:part>2<") && text.contains("pdfaid:conformance>U<"));
    assert!(first.len() < 400_000, "the font is embedded in part: {} bytes", first.len());
}

#[test]
fn a_row_that_is_higher_than_a_page_is_cut_and_not_lost() {
    let Some(font) = font() else { return };
    let long = Text::plain("很长的一段文字，".repeat(2_000));
    let blocks = vec![Block::Table {
        columns: vec![("甲".to_owned(), 1), ("乙".to_owned(), 1)],
        rows: vec![vec![long.clone(), long]],
    }];
    let pdf = write_pdf(&document(blocks), &font).unwrap();
    assert!(pages(&pdf) > 5);
}

#[test]
fn limits_are_told() {
    let Some(font) = font() else { return };
    let rows = vec![vec![Text::default()]; ROWS_MAX + 1];
    let blocks = vec![Block::Table { columns: vec![("甲".to_owned(), 1)], rows }];
    let refused = write_pdf(&document(blocks), &font).unwrap_err();
    assert!(matches!(refused, ReportError::TooLarge { what: "rows in a table", .. }), "{refused}");
}

#[test]
fn an_empty_document_has_one_page() {
    let Some(font) = font() else { return };
    assert_eq!(pages(&write_pdf(&document(Vec::new()), &font).unwrap()), 1);
}
