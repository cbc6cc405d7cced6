//! What an order's table and its columns mean, in the catalogue's words: the comments that every door shows.
//!
//! A column that stands in the product as it stands in its resource means what the resource's entry says of it. One that is
//! computed has no meaning here: nobody has written one, and a sentence made of its sources would tell of columns that
//! the order may not see. The table means what its operator wrote: name and summary. All of it is catalogue text, public
//! before any data is; and of a marked copy it says what its contract does: which columns are changed, how much each row
//! weighs where some are left out, and how many at most are none.

use std::collections::BTreeMap;

use lingqu_domain::product::{ProductColumn, ProductDetails};
use lingqu_domain::resource::Column;
use lingqu_domain::state::State;

use super::Serving;
use crate::app::App;

/// Most characters of a comment. Clients show it beside a name; the whole entry stands in the catalogue.
pub const MEANING_CHARACTERS_MAX: usize = 1_000;
/// Most marked columns that a comment names; `x-marked-columns` of the product's OpenAPI document has all.
const COLUMNS_NAMED_MAX: usize = 8;

/// The comments of an order's table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meanings {
    table: String,
    columns: BTreeMap<String, String>,
}

impl Meanings {
    /// Of the product's columns those with a meaning, whichever of them the order sees: a door asks for the columns that it
    /// shows.
    fn of(state: &State, details: &ProductDetails) -> Meanings {
        let mut columns = BTreeMap::new();
        for column in &details.shape.columns {
            let meaning = source_of(state, details, column).map(|source| bounded(&source.meaning));
            if let Some(meaning) = meaning.filter(|meaning| !meaning.is_empty()) {
                columns.insert(column.name.to_string(), meaning);
            }
        }
        let table = match (details.name.trim(), details.summary.trim()) {
            (name, summary) if summary.is_empty() || summary == name => bounded(name),
            ("", summary) => bounded(summary),
            (name, summary) => bounded(&format!("{name}：{summary}")),
        };
        Meanings { table, columns }
    }

    /// The comments of a table of this name and these columns, for a table that is no product.
    pub fn new<'a>(table: &str, columns: impl IntoIterator<Item = (&'a str, &'a str)>) -> Meanings {
        let columns = columns.into_iter().map(|(name, meaning)| (name.to_owned(), bounded(meaning))).collect();
        Meanings { table: bounded(table), columns }
    }

    /// The same with what a copy's marks do to it, none of which is cut off however long the rest is.
    #[must_use]
    fn with_marks(self, marks: &str) -> Meanings {
        if marks.is_empty() {
            return self;
        }
        let marks = bounded(marks);
        let left = MEANING_CHARACTERS_MAX.saturating_sub(marks.chars().count() + 1);
        let table = if self.table.is_empty() { marks } else { format!("{}；{marks}", cut(&self.table, left)) };
        Meanings { table, ..self }
    }

    /// What the table is.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// What a column means; none where nobody has said it.
    pub fn column(&self, name: &str) -> Option<&str> {
        self.columns.get(name).map(String::as_str)
    }
}

/// The entry of the one column that a product's column is, uncomputed.
fn source_of<'s>(state: &'s State, details: &ProductDetails, column: &ProductColumn) -> Option<&'s Column> {
    if column.computed || column.lineage.len() != 1 {
        return None;
    }
    let source = column.lineage.first()?;
    if !details.inputs.contains_key(&source.resource) {
        return None;
    }
    let resource = &state.resources.get(&source.resource)?.value.details;
    resource.columns.iter().find(|known| known.name == source.column)
}

/// A text on one line, without signs that a client's screen would obey, and no longer than [`MEANING_CHARACTERS_MAX`].
fn bounded(text: &str) -> String {
    let is_shown = |letter: &char| !is_obeyed(*letter);
    let words: Vec<String> = text
        .split(|letter: char| letter.is_whitespace() || letter.is_control())
        .map(|word| word.chars().filter(is_shown).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect();
    cut(&words.join(" "), MEANING_CHARACTERS_MAX)
}

/// At most so many characters of a line.
fn cut(line: &str, characters_max: usize) -> String {
    if line.chars().count() <= characters_max {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(characters_max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// What a copy's marks do to it, for people; nothing of one that is exact.
fn marks_of(serving: &Serving) -> String {
    let mut parts = Vec::new();
    let marked: Vec<String> = serving.marked_columns(None).iter().map(ToString::to_string).collect();
    if !marked.is_empty() {
        let shown: Vec<&str> = marked.iter().take(COLUMNS_NAMED_MAX).map(String::as_str).collect();
        let more = if marked.len() > COLUMNS_NAMED_MAX { " …" } else { "" };
        parts.push(format!("按合同改动的列 marked columns: {}{more}", shown.join(", ")));
    }
    if let Some(weight) = serving.sampling_weight() {
        parts.push(format!("每行抽样权重 sampling weight: {weight}"));
    }
    if let Some(decoys) = serving.decoys_per_million() {
        parts.push(format!("每百万行诱饵至多 decoys per million at most: {decoys}"));
    }
    if parts.is_empty() { String::new() } else { format!("带指纹副本 marked copy ({})", parts.join("; ")) }
}

/// Signs that change the direction of what stands after them (Unicode's bidirectional controls, UAX 9 section 2): with them
/// a comment could rewrite the line that it stands in.
fn is_obeyed(letter: char) -> bool {
    matches!(letter, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl App {
    /// The comments of the table that an order is served.
    pub fn meanings(&self, serving: &Serving) -> Meanings {
        self.read(|state| Meanings::of(state, &serving.details)).with_marks(&marks_of(serving))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meaning_is_one_line_and_bounded() {
        assert_eq!(bounded("  航班\n 日期\t（当地）\u{0}"), "航班 日期 （当地）");
        assert_eq!(bounded("a\u{202e}b"), "ab");
        assert_eq!(bounded(&"字".repeat(MEANING_CHARACTERS_MAX)), "字".repeat(MEANING_CHARACTERS_MAX));
        let cut = bounded(&"字".repeat(MEANING_CHARACTERS_MAX + 1));
        assert_eq!(cut.chars().count(), MEANING_CHARACTERS_MAX);
        assert!(cut.ends_with('…'));
    }

    /// However long a summary is, what a copy's marks do to it is read whole.
    #[test]
    fn what_marks_do_is_never_cut_off() {
        let of = |table: &str| Meanings::new(table, []).with_marks("带指纹副本 (sampling weight: 1.02)").table;
        assert_eq!(of("班次：逐条"), "班次：逐条；带指纹副本 (sampling weight: 1.02)");
        let long = of(&"字".repeat(2 * MEANING_CHARACTERS_MAX));
        assert!(long.ends_with("…；带指纹副本 (sampling weight: 1.02)") && long.starts_with("字字"), "{long}");
        assert_eq!(long.chars().count(), MEANING_CHARACTERS_MAX);
        assert_eq!(Meanings::new("班次", []).with_marks("").table, "班次");
        assert_eq!(of(""), "带指纹副本 (sampling weight: 1.02)");
    }

    #[test]
    fn no_sign_breaks_out_of_its_line() {
        for letter in '\0'..='\u{ffff}' {
            let line = bounded(&format!("a{letter}b"));
            assert!(!line.chars().any(|letter| letter.is_control() || is_obeyed(letter)), "{letter:?}");
            assert_eq!(bounded(&line), line);
        }
    }
}
