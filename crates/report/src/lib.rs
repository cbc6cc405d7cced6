//! Documents for people: a report in Chinese as PDF, from plain values.
//!
//! A [`Document`] of blocks and a [`ReportFont`] come in; lines are broken by the rules of Chinese typesetting, blocks are set
//! on pages of A4, and [`write_pdf`] hands out a PDF/A-2u with the used part of the font inside. This room is for laying out
//! text; it does not know what a record means, where a font lies or who may read it. It performs no I/O and reads no
//! clock: the same document and font give the same bytes, so that anyone can make a report again and compare.

mod document;
mod error;
mod font;
mod layout;
mod lines;
mod pdf;
#[cfg(test)]
mod tests;

pub use document::{BLOCKS_MAX, Block, Document, MadeAt, ROWS_MAX, Span, Style, TEXT_CHARS_MAX, Text};
pub use error::ReportError;
pub use font::ReportFont;
pub use layout::PAGES_MAX;
pub use pdf::write_pdf;
