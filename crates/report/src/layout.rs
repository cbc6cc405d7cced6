//! Setting blocks on pages: where each line, rule and ground stands.

use crate::document::{BLOCKS_MAX, Block, Document, ROWS_MAX, Style, TEXT_CHARS_MAX, Text};
use crate::error::ReportError;
use crate::font::ReportFont;
use crate::lines::{Line, Setting, break_lines, line_width};

/// Most pages of a document.
pub const PAGES_MAX: usize = 2_000;

/// A4, in points.
pub(crate) const PAGE_WIDTH: f32 = 595.28;
pub(crate) const PAGE_HEIGHT: f32 = 841.89;
pub(crate) const MARGIN_SIDE: f32 = 68.0;
const MARGIN_TOP: f32 = 82.0;
const MARGIN_BOTTOM: f32 = 78.0;
const WIDTH: f32 = PAGE_WIDTH - 2.0 * MARGIN_SIDE;
const BOTTOM: f32 = PAGE_HEIGHT - MARGIN_BOTTOM;

const BODY: f32 = 10.5;
const SMALL: f32 = 9.0;
const LEADING: f32 = 1.62;
const TABLE_LEADING: f32 = 1.45;
/// A heading is not set where no more than this would stand below it on the page.
const KEEP_WITH_NEXT: f32 = 58.0;
const PADDING: f32 = 4.5;
const LABEL_WIDTH: f32 = 96.0;
const INDENT: f32 = 20.0;

/// The colours of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Text,
    Faint,
    Accent,
    Good,
    Bad,
    Ground,
    GoodGround,
    BadGround,
    Hairline,
}

/// Something on a page.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    Line { x: f32, baseline: f32, size: f32, ink: Ink, line: Line },
    Rectangle { x: f32, y: f32, width: f32, height: f32, ink: Ink },
}

/// A page.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) marks: Vec<Mark>,
}

/// A heading that the outline names: its text, page and height.
#[derive(Debug)]
pub(crate) struct Bookmark {
    pub(crate) text: String,
    pub(crate) page: usize,
    pub(crate) y: f32,
}

/// A document on pages.
#[derive(Debug)]
pub(crate) struct Laid {
    pub(crate) sheets: Vec<Sheet>,
    pub(crate) bookmarks: Vec<Bookmark>,
}

/// Sets a document. Error: it is larger than is set.
pub(crate) fn lay_out(font: &ReportFont, document: &Document) -> Result<Laid, ReportError> {
    check_size(document)?;
    let mut setter = Setter { font, sheets: vec![Sheet::default()], bookmarks: Vec::new(), y: MARGIN_TOP };
    for block in &document.blocks {
        setter.block(block)?;
    }
    let count = setter.sheets.len();
    for number in 0..count {
        setter.furnish(number, count, document);
    }
    Ok(Laid { sheets: setter.sheets, bookmarks: setter.bookmarks })
}

fn check_size(document: &Document) -> Result<(), ReportError> {
    if document.blocks.len() > BLOCKS_MAX {
        return Err(ReportError::TooLarge { what: "parts", limit: BLOCKS_MAX });
    }
    for block in &document.blocks {
        let (texts, rows): (Vec<&Text>, usize) = match block {
            Block::Paragraph(text) => (vec![text], 0),
            Block::Verdict { lines, .. } => (lines.iter().collect(), lines.len()),
            Block::List { items, .. } => (items.iter().collect(), items.len()),
            Block::Facts(facts) => (facts.iter().map(|(_, text)| text).collect(), facts.len()),
            Block::Table { rows, .. } => (rows.iter().flatten().collect(), rows.len()),
            Block::Title { .. } | Block::Heading { .. } => (Vec::new(), 0),
        };
        if rows > ROWS_MAX {
            return Err(ReportError::TooLarge { what: "rows in a table", limit: ROWS_MAX });
        }
        if texts.iter().any(|text| text.chars() > TEXT_CHARS_MAX) {
            return Err(ReportError::TooLarge { what: "characters in a text", limit: TEXT_CHARS_MAX });
        }
    }
    Ok(())
}

struct Setter<'a> {
    font: &'a ReportFont,
    sheets: Vec<Sheet>,
    bookmarks: Vec<Bookmark>,
    /// Where the next block begins.
    y: f32,
}

impl Setter<'_> {
    fn block(&mut self, block: &Block) -> Result<(), ReportError> {
        match block {
            Block::Title { text, subtitle } => self.title(text, subtitle),
            Block::Heading { level, text } => self.heading(*level, text),
            Block::Paragraph(text) => {
                self.text(text, 0.0, BODY, Ink::Text, true)?;
                self.y += 5.0;
                Ok(())
            }
            Block::Verdict { is_good, headline, lines } => self.verdict(*is_good, headline, lines),
            Block::List { is_numbered, items } => self.list(*is_numbered, items),
            Block::Facts(facts) => self.facts(facts),
            Block::Table { columns, rows } => self.table(columns, rows),
        }
    }

    fn mark(&mut self, mark: Mark) {
        if let Some(sheet) = self.sheets.last_mut() {
            sheet.marks.push(mark);
        }
    }

    fn next_page(&mut self) -> Result<(), ReportError> {
        if self.sheets.len() == PAGES_MAX {
            return Err(ReportError::TooLarge { what: "pages", limit: PAGES_MAX });
        }
        self.sheets.push(Sheet::default());
        self.y = MARGIN_TOP;
        Ok(())
    }

    /// Begins a page unless this much is left of this one.
    fn need(&mut self, height: f32) -> Result<(), ReportError> {
        if self.y + height > BOTTOM && self.y > MARGIN_TOP { self.next_page() } else { Ok(()) }
    }

    fn broken(&self, text: &Text, size: f32, width: f32, is_justified: bool) -> Vec<Line> {
        break_lines(self.font, text, Setting { size, width, is_justified })
    }

    /// Sets lines of text from the current height on.
    fn text(&mut self, text: &Text, indent: f32, size: f32, ink: Ink, is_justified: bool) -> Result<(), ReportError> {
        let height = size * LEADING;
        let lines = self.broken(text, size, WIDTH - indent, is_justified);
        // A paragraph leaves no line of it alone at the end of a page.
        if lines.len() > 1 {
            self.need(2.0 * height)?;
        }
        for line in lines {
            self.need(height)?;
            let baseline = self.y + height * 0.72;
            self.mark(Mark::Line { x: MARGIN_SIDE + indent, baseline, size, ink, line });
            self.y += height;
        }
        Ok(())
    }

    fn title(&mut self, text: &str, subtitle: &str) -> Result<(), ReportError> {
        self.text(&Text::strong(text), 0.0, 20.0, Ink::Accent, false)?;
        self.text(&Text::plain(subtitle), 0.0, BODY, Ink::Faint, false)?;
        self.y += 6.0;
        self.mark(Mark::Rectangle { x: MARGIN_SIDE, y: self.y, width: WIDTH, height: 1.2, ink: Ink::Accent });
        self.y += 14.0;
        Ok(())
    }

    fn heading(&mut self, level: u8, text: &str) -> Result<(), ReportError> {
        let (size, above) = if level == 1 { (14.0, 13.0) } else { (11.5, 7.0) };
        self.need(above + size * LEADING + KEEP_WITH_NEXT)?;
        if self.y > MARGIN_TOP {
            self.y += above;
        }
        if level == 1 {
            let page = self.sheets.len() - 1;
            self.bookmarks.push(Bookmark { text: text.to_owned(), page, y: self.y });
        }
        self.text(&Text::strong(text), 0.0, size, Ink::Accent, false)?;
        self.y += 3.0;
        Ok(())
    }

    fn verdict(&mut self, is_good: bool, headline: &str, lines: &[Text]) -> Result<(), ReportError> {
        let (ink, ground) = if is_good { (Ink::Good, Ink::GoodGround) } else { (Ink::Bad, Ink::BadGround) };
        let inner = WIDTH - 26.0;
        let mut set: Vec<(f32, Ink, Line)> = Vec::new();
        for line in self.broken(&Text::strong(headline), 13.0, inner, false) {
            set.push((13.0, ink, line));
        }
        for text in lines {
            for line in self.broken(text, BODY, inner, true) {
                set.push((BODY, Ink::Text, line));
            }
        }
        let height: f32 = set.iter().map(|(size, ..)| size * LEADING).sum();
        self.need((height + 20.0).min(BOTTOM - MARGIN_TOP))?;
        let pad = |setter: &mut Self, height: f32| {
            let (x, y) = (MARGIN_SIDE, setter.y);
            setter.mark(Mark::Rectangle { x, y, width: WIDTH, height, ink: ground });
            setter.mark(Mark::Rectangle { x, y, width: 4.0, height, ink });
        };
        pad(self, 9.0);
        self.y += 9.0;
        for (size, ink, line) in set {
            let height = size * LEADING;
            self.need(height)?;
            // The ground overlaps the next line's a little, so that no seam shows.
            pad(self, height + 0.4);
            self.mark(Mark::Line { x: MARGIN_SIDE + 15.0, baseline: self.y + height * 0.72, size, ink, line });
            self.y += height;
        }
        pad(self, 9.0);
        self.y += 21.0;
        Ok(())
    }

    fn list(&mut self, is_numbered: bool, items: &[Text]) -> Result<(), ReportError> {
        for (number, item) in items.iter().enumerate() {
            self.need(BODY * LEADING)?;
            let sign = if is_numbered { format!("{}.", number + 1) } else { "·".to_owned() };
            if let Some(line) = self.broken(&Text::plain(sign), BODY, INDENT, false).into_iter().next() {
                let x = if is_numbered { MARGIN_SIDE } else { MARGIN_SIDE + 6.0 };
                self.mark(Mark::Line {
                    x,
                    baseline: self.y + BODY * LEADING * 0.72,
                    size: BODY,
                    ink: Ink::Accent,
                    line,
                });
            }
            self.text(item, INDENT, BODY, Ink::Text, true)?;
            self.y += 2.0;
        }
        self.y += 4.0;
        Ok(())
    }

    fn facts(&mut self, facts: &[(String, Text)]) -> Result<(), ReportError> {
        for (label, text) in facts {
            let labels = self.broken(&Text::plain(label), SMALL, LABEL_WIDTH - 8.0, false);
            let values = self.broken(text, SMALL + 0.5, WIDTH - LABEL_WIDTH - 8.0, false);
            self.row(&[(0.0, SMALL, Ink::Faint, labels), (LABEL_WIDTH, SMALL + 0.5, Ink::Text, values)], None)?;
        }
        self.y += 8.0;
        Ok(())
    }

    fn table(&mut self, columns: &[(String, u16)], rows: &[Vec<Text>]) -> Result<(), ReportError> {
        let shares: f32 = columns.iter().map(|(_, share)| f32::from(*share)).sum::<f32>().max(1.0);
        let mut places = Vec::new();
        let mut x = 0.0;
        for (_, share) in columns {
            let width = WIDTH * f32::from(*share) / shares;
            places.push((x, width - 8.0));
            x += width;
        }
        let titles: Vec<Cell> = columns
            .iter()
            .zip(&places)
            .map(|((title, _), (x, width))| {
                (*x, SMALL, Ink::Accent, self.broken(&Text::strong(title), SMALL, *width, false))
            })
            .collect();
        self.need(KEEP_WITH_NEXT)?;
        self.head(&titles)?;
        for row in rows {
            let cells: Vec<Cell> = row
                .iter()
                .zip(&places)
                .map(|(text, (x, width))| (*x, SMALL, Ink::Text, self.broken(text, SMALL, *width, false)))
                .collect();
            self.row(&cells, Some(&titles))?;
        }
        self.y += 9.0;
        Ok(())
    }

    /// The titles of a table, on a ground.
    fn head(&mut self, titles: &[Cell]) -> Result<(), ReportError> {
        let height = row_height(titles);
        self.mark(Mark::Rectangle { x: MARGIN_SIDE, y: self.y, width: WIDTH, height, ink: Ink::Ground });
        self.row(titles, None)
    }

    /// A row with a hairline below. One that does not fit begins on the next page, under the titles; one that is higher than
    /// a page is cut between lines.
    fn row(&mut self, cells: &[Cell], titles: Option<&[Cell]>) -> Result<(), ReportError> {
        if self.y + row_height(cells) > BOTTOM && self.y > MARGIN_TOP {
            self.next_page_of_table(titles)?;
        }
        let mut lines: Vec<std::vec::IntoIter<Line>> = cells.iter().map(|cell| cell.3.clone().into_iter()).collect();
        self.y += PADDING;
        loop {
            let mut set = Vec::new();
            for ((x, size, ink, _), lines) in cells.iter().zip(&mut lines) {
                set.extend(lines.next().map(|line| (*x, *size, *ink, line)));
            }
            let Some(height) = set.iter().map(|(_, size, ..)| size * TABLE_LEADING).reduce(f32::max) else { break };
            if self.y + height > BOTTOM {
                self.next_page_of_table(titles)?;
                self.y += PADDING;
            }
            for (x, size, ink, line) in set {
                let baseline = self.y + height * 0.72;
                self.mark(Mark::Line { x: MARGIN_SIDE + 4.0 + x, baseline, size, ink, line });
            }
            self.y += height;
        }
        self.y += PADDING;
        self.mark(Mark::Rectangle { x: MARGIN_SIDE, y: self.y, width: WIDTH, height: 0.4, ink: Ink::Hairline });
        Ok(())
    }

    fn next_page_of_table(&mut self, titles: Option<&[Cell]>) -> Result<(), ReportError> {
        self.next_page()?;
        titles.map_or(Ok(()), |titles| self.head(titles))
    }

    /// Head and foot of a page.
    fn furnish(&mut self, number: usize, count: usize, document: &Document) {
        let faint = |text: Text| self.broken(&text, 8.0, WIDTH, false).into_iter().next().unwrap_or_default();
        let header = faint(Text::plain(&document.header));
        let footer = faint(Text::code(&document.footer));
        let pages = faint(Text::plain(format!("第 {} 页，共 {count} 页", number + 1)));
        let right = MARGIN_SIDE + WIDTH - line_width(&pages);
        let marks = [
            Mark::Line { x: MARGIN_SIDE, baseline: 50.0, size: 8.0, ink: Ink::Faint, line: header },
            Mark::Line { x: right, baseline: 50.0, size: 8.0, ink: Ink::Faint, line: pages },
            Mark::Rectangle { x: MARGIN_SIDE, y: 57.0, width: WIDTH, height: 0.4, ink: Ink::Hairline },
            Mark::Rectangle { x: MARGIN_SIDE, y: PAGE_HEIGHT - 56.0, width: WIDTH, height: 0.4, ink: Ink::Hairline },
            Mark::Line { x: MARGIN_SIDE, baseline: PAGE_HEIGHT - 43.0, size: 8.0, ink: Ink::Faint, line: footer },
        ];
        self.sheets[number].marks.extend(marks);
    }
}

/// A cell: place, size, colour and lines.
type Cell = (f32, f32, Ink, Vec<Line>);

fn row_height(cells: &[Cell]) -> f32 {
    let lines = cells.iter().map(|(_, size, _, lines)| lines.len() as f32 * size * TABLE_LEADING);
    lines.fold(0.0, f32::max) + 2.0 * PADDING
}

/// Strong text is drawn with an outline of this share of its size, as the font has one weight.
pub(crate) fn outline_of(style: Style, size: f32) -> Option<f32> {
    (style == Style::Strong).then_some(size * 0.028)
}
