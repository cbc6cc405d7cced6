//! Writing pages as PDF/A-2u: an archive's form, with the text of every glyph, so that a court can search and copy it. The
//! same document and font give the same bytes.

use krilla::Document as PdfDocument;
use krilla::SerializeSettings;
use krilla::color::rgb;
use krilla::configure::{Archival, ConfigurationBuilder};
use krilla::destination::XyzDestination;
use krilla::error::KrillaError;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::outline::{Outline, OutlineNode};
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke};
use krilla::surface::Surface;
use krilla::text::{Font, GlyphId, KrillaGlyph};

use crate::document::{Document, MadeAt, Style};
use crate::error::ReportError;
use crate::font::ReportFont;
use crate::layout::{Ink, Laid, Mark, PAGE_HEIGHT, PAGE_WIDTH, lay_out, outline_of};
use crate::lines::{CODE_SCALE, Line, Placed};

/// Sets a document and writes it as PDF.
///
/// # Errors
/// The document is larger than is set; the font can't be embedded.
pub fn write_pdf(document: &Document, font: &ReportFont) -> Result<Vec<u8>, ReportError> {
    let laid = lay_out(font, document)?;
    let configuration = ConfigurationBuilder::new()
        .with_archival_validator(Archival::A2_U)
        .finish()
        .map_err(|error| ReportError::Pdf { problem: format!("{error:?}") })?;
    let mut pdf = PdfDocument::new_with(SerializeSettings { configuration, ..SerializeSettings::default() });
    pdf.set_metadata(
        Metadata::new()
            .title(document.title.clone())
            .language("zh-CN".to_owned())
            .creator("Lingqu".to_owned())
            .producer("Lingqu".to_owned())
            .document_id(document.identifier.clone())
            .creation_date(date(document.made_at)),
    );
    pdf.set_outline(outline(&laid));
    let embedded = font.to_pdf()?;
    for sheet in &laid.sheets {
        let settings = PageSettings::from_wh(PAGE_WIDTH, PAGE_HEIGHT)
            .ok_or(ReportError::Pdf { problem: "the page has no size".to_owned() })?;
        let mut page = pdf.start_page_with(settings);
        let mut surface = page.surface();
        for mark in &sheet.marks {
            draw(&mut surface, &embedded, mark);
        }
        surface.finish();
        page.finish();
    }
    pdf.finish().map_err(|error| match error {
        KrillaError::Validation(problems) => {
            let first = problems.first().map(|(problem, _)| format!("{problem:?}")).unwrap_or_default();
            ReportError::Pdf { problem: first.chars().take(200).collect() }
        }
        other => ReportError::Pdf { problem: other.to_string() },
    })
}

fn date(at: MadeAt) -> DateTime {
    DateTime::new(at.year)
        .month(at.month)
        .day(at.day)
        .hour(at.hour)
        .minute(at.minute)
        .second(at.second)
        .utc_offset_hour(at.offset_hours)
        .utc_offset_minute(0)
}

fn outline(laid: &Laid) -> Outline {
    let mut outline = Outline::new();
    for bookmark in &laid.bookmarks {
        let place = XyzDestination::new(bookmark.page, Point::from_xy(0.0, bookmark.y));
        outline.push_child(OutlineNode::new(bookmark.text.clone(), place));
    }
    outline
}

fn colour(ink: Ink) -> rgb::Color {
    let (red, green, blue) = match ink {
        Ink::Text => (0x1c, 0x1f, 0x23),
        Ink::Faint => (0x5f, 0x67, 0x70),
        Ink::Accent => (0x1d, 0x3b, 0x5e),
        Ink::Good => (0x1f, 0x6b, 0x45),
        Ink::Bad => (0x9b, 0x1c, 0x1c),
        Ink::Ground => (0xed, 0xf1, 0xf5),
        Ink::GoodGround => (0xec, 0xf5, 0xf0),
        Ink::BadGround => (0xfb, 0xee, 0xee),
        Ink::Hairline => (0xc9, 0xd0, 0xd6),
    };
    rgb::Color::new(red, green, blue)
}

fn fill(ink: Ink) -> Fill {
    Fill { paint: colour(ink).into(), opacity: NormalizedF32::ONE, ..Fill::default() }
}

fn draw(surface: &mut Surface<'_>, (font, code): &(Font, Font), mark: &Mark) {
    match mark {
        Mark::Rectangle { x, y, width, height, ink } => {
            let Some(rectangle) = Rect::from_xywh(*x, *y, *width, *height) else { return };
            let mut path = PathBuilder::new();
            path.push_rect(rectangle);
            if let Some(path) = path.finish() {
                surface.set_stroke(None);
                surface.set_fill(Some(fill(*ink)));
                surface.draw_path(&path);
            }
        }
        Mark::Line { x, baseline, size, ink, line } => {
            surface.set_fill(Some(fill(*ink)));
            let mut x = *x;
            for part in same_style(line) {
                let style = part.first().map_or(Style::Plain, |placed| placed.style);
                let outline = outline_of(style, *size);
                surface.set_stroke(outline.map(|width| Stroke {
                    paint: colour(*ink).into(),
                    width,
                    ..Stroke::default()
                }));
                let size = if style == Style::Code { size * CODE_SCALE } else { *size };
                let font = if style == Style::Code { code } else { font };
                let (text, glyphs) = glyphs(part, size);
                surface.draw_glyphs(Point::from_xy(x, *baseline), &glyphs, font.clone(), &text, size, false);
                x += part.iter().map(|placed| placed.advance).sum::<f32>();
            }
        }
    }
}

/// The parts of a line in one style each.
fn same_style(line: &Line) -> impl Iterator<Item = &[Placed]> {
    line.chunk_by(|left, right| left.style == right.style)
}

/// The glyphs of a part, with the text that each stands for. Widths are in ems there.
fn glyphs(part: &[Placed], size: f32) -> (String, Vec<KrillaGlyph>) {
    let mut text = String::new();
    let mut glyphs = Vec::new();
    for placed in part {
        let begin = text.len();
        text.push(placed.character);
        glyphs.push(KrillaGlyph {
            glyph_id: GlyphId::new(placed.glyph),
            text_range: begin..text.len(),
            x_advance: placed.advance / size,
            x_offset: placed.offset / size,
            y_offset: 0.0,
            y_advance: 0.0,
            location: None,
        });
    }
    (text, glyphs)
}
