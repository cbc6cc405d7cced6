//! Breaking texts into lines, by the rules of Chinese typesetting (CLREQ, W3C: prohibitions at the beginning and end of a
//! line, hanging punctuation, space between Chinese and Latin).

use crate::document::{Style, Text};
use crate::font::ReportFont;

/// What stands where the font lacks a character: the geta sign, or a question mark in fonts that lack that too.
const SUBSTITUTES: [char; 3] = ['〓', '□', '?'];
/// Width of every letter set as code, in ems, where the font has no face for it.
const CODE_ADVANCE: f32 = 0.6;
/// Code is set a little smaller than the text around it.
pub(crate) const CODE_SCALE: f32 = 0.92;
/// Space between Chinese and Latin, in ems.
const MIXED_SPACE: f32 = 0.18;
/// How much of a line may be filled up by moving its characters apart, in ems. What is more is left ragged.
const JUSTIFY_EMS_MAX: f32 = 2.5;

const NOT_AT_BEGINNING: &str = "，。、；：！？）》」』】〕〉〗”’…—·～％%,.;:!?)]}";
const NOT_AT_END: &str = "（《「『【〔〈〖“‘([{";
const HANGING: &str = "，。、；：";

/// A character with its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) character: char,
    pub(crate) glyph: u32,
    pub(crate) style: Style,
    /// Width with the space behind it, in points.
    pub(crate) advance: f32,
    /// Where the glyph stands within its width, in points.
    pub(crate) offset: f32,
}

/// A line of characters.
pub(crate) type Line = Vec<Placed>;

/// How a text is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Size in points.
    pub(crate) size: f32,
    /// Width of a line in points.
    pub(crate) width: f32,
    /// Whether full lines end at the same place.
    pub(crate) is_justified: bool,
}

/// Breaks a text into lines; an empty one has none.
pub(crate) fn break_lines(font: &ReportFont, text: &Text, setting: Setting) -> Vec<Line> {
    let placed = place(font, text, setting.size);
    let mut lines = Vec::new();
    let mut begin = 0;
    while begin < placed.len() {
        let end = line_end(&placed, begin, setting);
        let mut line = placed[begin..end].to_vec();
        while line.last().is_some_and(|last| last.character == ' ') {
            line.pop();
        }
        if setting.is_justified && end < placed.len() {
            justify(&mut line, setting);
        }
        lines.push(line);
        begin = end;
        while placed.get(begin).is_some_and(|next| next.character == ' ') {
            begin += 1;
        }
    }
    lines
}

/// The width of a line in points.
pub(crate) fn line_width(line: &[Placed]) -> f32 {
    line.iter().map(|placed| placed.advance).sum()
}

/// The characters with their widths, one behind the other.
fn place(font: &ReportFont, text: &Text, size: f32) -> Line {
    let mut line: Line = Vec::new();
    for span in &text.spans {
        for character in span.text.chars() {
            let character = if character.is_whitespace() || character.is_control() { ' ' } else { character };
            if character == ' ' && span.style != Style::Code && line.last().is_some_and(|last| last.character == ' ') {
                continue;
            }
            let found = std::iter::once(character)
                .chain(SUBSTITUTES)
                .find_map(|shown| Some((shown, font.glyph(span.style, shown)?)));
            let Some((shown, glyph)) = found else { continue };
            let natural = font.advance(span.style, glyph);
            let (advance, offset) = match span.style {
                Style::Code if !is_wide(shown) && !font.has_code_face() => {
                    let cell = CODE_ADVANCE * size * CODE_SCALE;
                    (cell, (cell - natural * size * CODE_SCALE) / 2.0)
                }
                Style::Code => (natural * size * CODE_SCALE, 0.0),
                Style::Plain | Style::Strong => (natural * size, 0.0),
            };
            if let Some(last) = line.last_mut()
                && needs_space(last.character, shown)
            {
                last.advance += MIXED_SPACE * size;
            }
            line.push(Placed { character: shown, glyph, style: span.style, advance, offset });
        }
    }
    line
}

/// Where the line that begins at a place ends.
fn line_end(placed: &[Placed], begin: usize, setting: Setting) -> usize {
    let mut width = 0.0;
    let mut last_chance = None;
    for (place, next) in placed.iter().enumerate().skip(begin) {
        if place > begin && may_break(&placed[place - 1], next) {
            last_chance = Some(place);
        }
        // A space may stand outside, and so may punctuation, whose ink is in the left half of its square.
        let hangs = next.character == ' ' || HANGING.contains(next.character) && next.style != Style::Code;
        let needed = if hangs { 0.0 } else { next.advance };
        if width + needed > setting.width + 0.01 && place > begin {
            // A word that is longer than a line is broken where the line ends.
            return last_chance.unwrap_or(place);
        }
        width += next.advance;
    }
    placed.len()
}

fn may_break(before: &Placed, after: &Placed) -> bool {
    if after.character == ' ' || NOT_AT_BEGINNING.contains(after.character) && after.style != Style::Code {
        return false;
    }
    if NOT_AT_END.contains(before.character) && before.style != Style::Code {
        return false;
    }
    let is_inside_code = before.style == Style::Code && after.style == Style::Code;
    is_inside_code
        || before.character == ' '
        || is_wide(before.character)
        || is_wide(after.character)
        || matches!(before.character, '/' | '_')
        // A date is not broken at its dashes.
        || before.character == '-' && !after.character.is_ascii_digit()
}

/// Characters as wide as they are high, between any two of which a line may be broken.
fn is_wide(character: char) -> bool {
    matches!(u32::from(character), 0x2e80..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0xfe30..=0xfe4f | 0xff00..=0xffef | 0x20000..=0x3ffff)
}

/// Ideographs: wide characters that are no punctuation.
fn is_ideograph(character: char) -> bool {
    matches!(u32::from(character), 0x3400..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

fn needs_space(before: char, after: char) -> bool {
    is_ideograph(before) && after.is_ascii_alphanumeric() || before.is_ascii_alphanumeric() && is_ideograph(after)
}

/// Moves the characters of a full line apart so that it ends where the others do. Code stays as it is.
fn justify(line: &mut [Placed], setting: Setting) {
    let hangs = line.last().filter(|last| HANGING.contains(last.character)).map_or(0.0, |last| last.advance);
    let left = setting.width - (line_width(line) - hangs);
    if left <= 0.0 || left > JUSTIFY_EMS_MAX * setting.size {
        return;
    }
    let gaps: Vec<usize> = (1..line.len())
        .filter(|place| {
            let (before, after) = (&line[place - 1], &line[*place]);
            let is_loose = |placed: &Placed| is_wide(placed.character) || placed.character == ' ';
            (is_loose(before) || is_loose(after)) && !(before.style == Style::Code && after.style == Style::Code)
        })
        .collect();
    let share = left / gaps.len().max(1) as f32;
    for place in gaps {
        line[place - 1].advance += share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &Text, ems: f32) -> Option<Vec<String>> {
        let font = crate::tests::font()?;
        let setting = Setting { size: 10.0, width: ems * 10.0, is_justified: true };
        let lines = break_lines(&font, text, setting);
        for line in &lines {
            assert!(line_width(line) <= ems * 10.0 + 10.01, "a line is too wide");
        }
        Some(lines.iter().map(|line| line.iter().map(|placed| placed.character).collect()).collect())
    }

    fn joined(parts: &[&str]) -> Option<Vec<String>> {
        Some(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    #[test]
    fn punctuation_hangs_and_never_begins_a_line() {
        let Some(found) = lines(&"一二三四，五六七八".into(), 4.0) else { return };
        assert_eq!(found, ["一二三四，", "五六七八"], "a comma hangs outside");
        for line in &found {
            assert!(!line.starts_with('，'), "{found:?}");
        }
        let Some(found) = lines(&"一二三（四五六）七".into(), 4.0) else { return };
        for line in &found {
            assert!(!line.ends_with('（') && !line.starts_with('）'), "{found:?}");
        }
    }

    #[test]
    fn words_are_whole_and_digests_wrap_anywhere() {
        let found = lines(&"见 checkpoint 文件".into(), 6.2);
        if found.is_some() {
            assert_eq!(found, joined(&["见", "checkpoint", "文件"]));
        }
        let Some(found) = lines(&Text::code("0123456789abcdef0123456789abcdef"), 10.0) else { return };
        assert_eq!(found.concat(), "0123456789abcdef0123456789abcdef");
        assert!(found.len() > 1);
        let Some(found) = lines(&"supercalifragilistic".into(), 3.0) else { return };
        assert_eq!(found.concat(), "supercalifragilistic", "a word that no line holds is broken, not lost");
    }

    #[test]
    fn dates_are_whole() {
        let Some(found) = lines(&"至 2029-08-18".into(), 6.0) else { return };
        assert_eq!(found, ["至", "2029-08-18"]);
    }

    #[test]
    fn what_the_font_lacks_is_shown_by_a_sign() {
        let Some(found) = lines(&"甲\u{e000}乙\n丙\u{0}".into(), 40.0) else { return };
        assert_eq!(found, ["甲〓乙 丙"]);
    }
}
