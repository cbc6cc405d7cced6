//! What a report says, before it has pages: plain values in the order in which they are read.

/// Most blocks of one document.
pub const BLOCKS_MAX: usize = 20_000;
/// Most rows of one table.
pub const ROWS_MAX: usize = 20_000;
/// Most characters of one text.
pub const TEXT_CHARS_MAX: usize = 20_000;

/// A document: what stands on every page, and the blocks between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its title, which readers show in the window's bar.
    pub title: String,
    /// At the head of every page, left.
    pub header: String,
    /// At the foot of every page, left: set with equal widths, as a digest is.
    pub footer: String,
    /// What names this document in its metadata; two documents with different content have different ones.
    pub identifier: String,
    /// When it was made, as its metadata tell. The layout reads no clock.
    pub made_at: MadeAt,
    /// What it says.
    pub blocks: Vec<Block>,
}

/// A moment in the terms that PDF writes it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeAt {
    /// Year.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Whole hours east of UTC.
    pub offset_hours: i8,
}

/// One part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// The title on the first page, with a line under it.
    Title {
        /// The title.
        text: String,
        /// The line under it.
        subtitle: String,
    },
    /// A heading; level 1 stands in the reader's outline.
    Heading {
        /// 1 or 2.
        level: u8,
        /// Its text.
        text: String,
    },
    /// A paragraph.
    Paragraph(Text),
    /// What the document comes to: a framed text.
    Verdict {
        /// Whether it is good news, which is shown by its colour and told by its words.
        is_good: bool,
        /// Its first line.
        headline: String,
        /// The lines after it.
        lines: Vec<Text>,
    },
    /// Items, numbered or not.
    List {
        /// Whether they are numbered.
        is_numbered: bool,
        /// The items.
        items: Vec<Text>,
    },
    /// Names with what they are.
    Facts(Vec<(String, Text)>),
    /// A table; the line of titles is repeated on every page.
    Table {
        /// The columns: title, and share of the width in proportion to the others.
        columns: Vec<(String, u16)>,
        /// The rows, each with a text for every column.
        rows: Vec<Vec<Text>>,
    },
}

/// How a part of a text is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As text.
    Plain,
    /// As text that stands out.
    Strong,
    /// With equal widths, broken anywhere: digests, keys, ids.
    Code,
}

/// A part of a text in one style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The style.
    pub style: Style,
    /// The text.
    pub text: String,
}

/// A text with parts in different styles. Line breaks in it are spaces; characters that a font lacks are shown by a sign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The parts.
    pub spans: Vec<Span>,
}

impl Text {
    /// A text in one style.
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        Self::default().with(style, text)
    }

    /// As text.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(Style::Plain, text)
    }

    /// As text that stands out.
    pub fn strong(text: impl Into<String>) -> Self {
        Self::new(Style::Strong, text)
    }

    /// With equal widths.
    pub fn code(text: impl Into<String>) -> Self {
        Self::new(Style::Code, text)
    }

    /// The text with another part behind it.
    #[must_use]
    pub fn with(mut self, style: Style, text: impl Into<String>) -> Self {
        self.spans.push(Span { style, text: text.into() });
        self
    }

    /// The characters it has.
    pub(crate) fn chars(&self) -> usize {
        self.spans.iter().map(|span| span.text.chars().count()).sum()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text::plain(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::plain(text)
    }
}
