//! The font: which face of a collection is for simplified Chinese, which glyph a character has and how wide it is.
//!
//! Reads the tables `cmap`, `hhea`, `hmtx`, `head` and `name` of an OpenType file (OpenType 1.9.1, sections of the same
//! names). It is total: bytes that are no font are an error. Shaping and kerning are left out on purpose; Chinese needs
//! neither, and what is measured here is what is drawn.

use std::sync::Arc;

use crate::document::Style;
use crate::error::ReportError;

/// Most faces of a collection that are looked at.
const FACES_MAX: u32 = 64;
/// Most names of a face that are looked at.
const NAMES_MAX: usize = 1_000;
/// Most tables of a face.
const TABLES_MAX: usize = 256;
/// Characters that every report has.
const PROBES: &str = "证据授权链，0Aa";

/// A font with Chinese characters: a face for text, and one with letters of equal widths for code, where the file has it.
#[derive(Clone, Debug)]
pub struct ReportFont {
    bytes: Arc<Vec<u8>>,
    text: Face,
    code: Option<Face>,
}

/// One face of a font file.
#[derive(Clone, Copy, Debug)]
struct Face {
    /// Its number within a collection; 0 for a file with one.
    number: u32,
    units_per_em: f32,
    metrics_count: usize,
    hmtx: usize,
    cmap: CharacterMap,
}

/// Where the mapping of characters stands.
#[derive(Clone, Copy, Debug)]
enum CharacterMap {
    /// Segments of the basic plane.
    Format4(usize),
    /// Groups of all planes.
    Format12(usize),
}

impl ReportFont {
    /// Reads a font file or collection. Of a collection the face for simplified Chinese is taken, else the first.
    ///
    /// # Errors
    /// [`ReportError::Font`], [`ReportError::FontLacksChinese`].
    pub fn new(bytes: Vec<u8>) -> Result<ReportFont, ReportError> {
        let faces = match bytes.get(..4) {
            Some(b"ttcf") => {
                let count = long(&bytes, 8).ok_or(CUT_OFF)?.min(FACES_MAX);
                (0..count).map(|face| long(&bytes, 12 + 4 * face as usize)).collect::<Option<Vec<u32>>>()
            }
            Some(_) => Some(vec![0]),
            None => None,
        };
        let faces: Vec<usize> = faces.ok_or(CUT_OFF)?.into_iter().map(|offset| offset as usize).collect();
        let names: Vec<String> = faces.iter().map(|face| family_name(&bytes, *face).unwrap_or_default()).collect();
        let text = names.iter().position(|name| is_simplified_chinese(name) && !is_monospaced(name)).unwrap_or(0);
        let code = names.iter().position(|name| is_simplified_chinese(name) && is_monospaced(name));
        let read = |number: usize| -> Result<Face, ReportError> {
            let face = Face::read(&bytes, number, *faces.get(number).ok_or(CUT_OFF)?)?;
            let lacks = PROBES.chars().any(|probe| face.glyph(&bytes, probe).is_none());
            if lacks { Err(ReportError::FontLacksChinese) } else { Ok(face) }
        };
        let (text, code) = (read(text)?, code.map(read).transpose()?);
        Ok(ReportFont { text, code, bytes: Arc::new(bytes) })
    }

    /// The faces for text and for code, as the PDF library takes them.
    pub(crate) fn to_pdf(&self) -> Result<(krilla::text::Font, krilla::text::Font), ReportError> {
        let load = |face: &Face| {
            krilla::text::Font::new(Arc::clone(&self.bytes).into(), face.number)
                .ok_or(ReportError::Font { problem: "its outlines can't be read" })
        };
        Ok((load(&self.text)?, load(self.face(Style::Code))?))
    }

    /// Whether letters of code have equal widths by nature; else they are set in cells.
    pub(crate) fn has_code_face(&self) -> bool {
        self.code.is_some()
    }

    /// The glyph of a character; none where the font lacks it.
    pub(crate) fn glyph(&self, style: Style, character: char) -> Option<u32> {
        self.face(style).glyph(&self.bytes, character)
    }

    /// The width of a glyph in ems.
    pub(crate) fn advance(&self, style: Style, glyph: u32) -> f32 {
        self.face(style).advance(&self.bytes, glyph)
    }

    fn face(&self, style: Style) -> &Face {
        match style {
            Style::Code => self.code.as_ref().unwrap_or(&self.text),
            Style::Plain | Style::Strong => &self.text,
        }
    }
}

impl Face {
    fn read(bytes: &[u8], number: usize, offset: usize) -> Result<Face, ReportError> {
        let table =
            |tag: &[u8; 4]| table(bytes, offset, tag).ok_or(ReportError::Font { problem: "a table is missing" });
        let (head, hhea, hmtx, cmap) = (table(b"head")?, table(b"hhea")?, table(b"hmtx")?, table(b"cmap")?);
        let units_per_em = short(bytes, head.saturating_add(18)).filter(|units| *units > 0).ok_or(CUT_OFF)?;
        let metrics_count = short(bytes, hhea.saturating_add(34)).filter(|count| *count > 0).ok_or(CUT_OFF)?;
        let cmap = character_map(bytes, cmap).ok_or(ReportError::Font { problem: "it has no Unicode mapping" })?;
        Ok(Face {
            number: u32::try_from(number).unwrap_or(0),
            units_per_em: f32::from(units_per_em),
            metrics_count: usize::from(metrics_count),
            hmtx,
            cmap,
        })
    }

    fn glyph(&self, bytes: &[u8], character: char) -> Option<u32> {
        let code = u32::from(character);
        let glyph = match self.cmap {
            CharacterMap::Format4(at) => segment_glyph(bytes, at, code),
            CharacterMap::Format12(at) => group_glyph(bytes, at, code),
        };
        glyph.filter(|glyph| *glyph != 0)
    }

    fn advance(&self, bytes: &[u8], glyph: u32) -> f32 {
        let place = (glyph as usize).min(self.metrics_count - 1);
        let units = short(bytes, self.hmtx.saturating_add(4 * place)).unwrap_or_default();
        f32::from(units) / self.units_per_em
    }
}

const CUT_OFF: ReportError = ReportError::Font { problem: "it is cut off" };

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([two[0], two[1]]))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

/// Where a table of a face begins.
fn table(bytes: &[u8], face: usize, tag: &[u8; 4]) -> Option<usize> {
    let count = usize::from(short(bytes, face.checked_add(4)?)?).min(TABLES_MAX);
    (0..count).find_map(|number| {
        let record = face.checked_add(12 + 16 * number)?;
        let found = bytes.get(record..record.checked_add(4)?)?;
        (found == tag).then(|| long(bytes, record + 8)).flatten().map(|offset| offset as usize)
    })
}

/// Whether a family calls itself one for simplified Chinese.
fn is_simplified_chinese(family: &str) -> bool {
    family.split([' ', '-']).any(|word| word == "SC" || word == "CN")
}

/// Whether a family calls itself one with letters of equal widths.
fn is_monospaced(family: &str) -> bool {
    family.split([' ', '-']).any(|word| word == "Mono")
}

/// The family's name in the form that Windows reads (platform 3, UTF-16).
fn family_name(bytes: &[u8], face: usize) -> Option<String> {
    let name = table(bytes, face, b"name")?;
    let count = usize::from(short(bytes, name.checked_add(2)?)?).min(NAMES_MAX);
    let texts = name.checked_add(usize::from(short(bytes, name.checked_add(4)?)?))?;
    (0..count).find_map(|number| {
        let record = name + 6 + 12 * number;
        // English of the United States: the name that does not depend on where the font is used.
        let is_family =
            short(bytes, record)? == 3 && short(bytes, record + 4)? == 0x409 && short(bytes, record + 6)? == 1;
        if !is_family {
            return None;
        }
        let (length, offset) = (usize::from(short(bytes, record + 8)?), usize::from(short(bytes, record + 10)?));
        let begin = texts.checked_add(offset)?;
        let text = bytes.get(begin..begin.checked_add(length)?)?;
        let units: Vec<u16> = text.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect();
        String::from_utf16(&units).ok()
    })
}

/// The mapping to take: all planes where there is one, else the basic plane.
fn character_map(bytes: &[u8], cmap: usize) -> Option<CharacterMap> {
    let count = usize::from(short(bytes, cmap.checked_add(2)?)?).min(TABLES_MAX);
    let mut basic = None;
    for number in 0..count {
        let record = cmap + 4 + 8 * number;
        let (platform, encoding) = (short(bytes, record)?, short(bytes, record + 2)?);
        let at = cmap.checked_add(long(bytes, record + 4)? as usize)?;
        match (platform, encoding, short(bytes, at)) {
            (3, 10, Some(12)) | (0, 4 | 6, Some(12)) => return Some(CharacterMap::Format12(at)),
            (3, 1, Some(4)) | (0, 0..=3, Some(4)) => basic = Some(CharacterMap::Format4(at)),
            _ => {}
        }
    }
    basic
}

/// A glyph by groups (format 12), which stand in the order of their characters.
fn group_glyph(bytes: &[u8], at: usize, code: u32) -> Option<u32> {
    let (mut low, mut high) = (0_u32, long(bytes, at.checked_add(12)?)?);
    while low < high {
        let middle = low + (high - low) / 2;
        let group = at.checked_add(16 + 12 * middle as usize)?;
        let (first, last) = (long(bytes, group)?, long(bytes, group + 4)?);
        if code < first {
            high = middle;
        } else if code > last {
            low = middle + 1;
        } else {
            return long(bytes, group + 8)?.checked_add(code - first);
        }
    }
    None
}

/// A glyph by segments (format 4).
fn segment_glyph(bytes: &[u8], at: usize, code: u32) -> Option<u32> {
    let code = u16::try_from(code).ok()?;
    let doubled = usize::from(short(bytes, at.checked_add(6)?)?);
    let ends = at + 14;
    let segment = (0..doubled / 2).find(|number| short(bytes, ends + 2 * number).is_some_and(|end| end >= code))?;
    let starts = ends + doubled + 2;
    let start = short(bytes, starts + 2 * segment)?;
    if code < start {
        return None;
    }
    let delta = short(bytes, starts + doubled + 2 * segment)?;
    let range_at = starts + 2 * doubled + 2 * segment;
    let glyph = match short(bytes, range_at)? {
        0 => code.wrapping_add(delta),
        range => match short(bytes, range_at + usize::from(range) + 2 * usize::from(code - start))? {
            0 => 0,
            glyph => glyph.wrapping_add(delta),
        },
    };
    Some(u32::from(glyph))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_font_are_refused() {
        for bytes in [&b""[..], b"ttcf", b"ttcf\0\0\0\0\xff\xff\xff\xff", b"OTTO\0\xff", &[0; 64], &[0xff; 4096]] {
            assert!(ReportFont::new(bytes.to_vec()).is_err());
        }
    }

    #[test]
    fn a_damaged_font_is_refused_or_read_and_never_a_panic() {
        let Some(whole) = crate::tests::font_bytes() else { return };
        let head = &whole[..whole.len().min(1 << 16)];
        for length in (0..head.len()).step_by(997) {
            let _ = ReportFont::new(head[..length].to_vec());
        }
    }

    #[test]
    fn chinese_is_as_wide_as_it_is_high() {
        let Some(bytes) = crate::tests::font_bytes() else { return };
        let font = ReportFont::new(bytes).unwrap();
        let width = |style, character| font.advance(style, font.glyph(style, character).unwrap());
        assert_eq!((width(Style::Plain, '证'), width(Style::Code, '证')), (1.0, 1.0));
        assert!(width(Style::Plain, 'i') < width(Style::Plain, 'W'));
        assert_eq!(width(Style::Code, 'i'), width(Style::Code, 'W'));
        assert_eq!(font.glyph(Style::Plain, '\u{e000}'), None);
    }
}
