//! Why a document can't be set.

/// Why a document can't be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The bytes are no font that can be read.
    #[error("the font can't be read: {problem}; name a font with Chinese characters (.otf, .ttf, .ttc)")]
    Font {
        /// What is wrong.
        problem: &'static str,
    },
    /// The font has no Chinese characters.
    #[error("the font has no Chinese characters; name another, such as Noto Sans CJK SC or Source Han Sans")]
    FontLacksChinese,
    /// The document is larger than is set.
    #[error("the report has more than {limit} {what}; make it of less")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The file can't be written by the rules of PDF/A.
    #[error("the report can't be written as PDF/A: {problem}; name another font")]
    Pdf {
        /// What was said.
        problem: String,
    },
}
