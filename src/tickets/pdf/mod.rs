//! The tickets of an order as a PDF for printing or keeping: one A5 page each, the QR as vector squares. Pure.
//!
//! Promises: the same sheet gives the same bytes; whatever a name holds, it stays on its page (it wraps, then gets
//! smaller, then ends in `…`), and nothing in it panics; text can be searched and copied; the fonts travel inside, cut
//! down to the letters in use. Control characters count as spaces, emoji are left out, any other character that the
//! fonts lack is shown as a box. Refuses an empty sheet and more pages than an order has tickets.
//!
//! Takes 4 ms of one core for one ticket and 25 for ten, most of it for the QR, so a handler calls it off the async
//! threads.

mod file;
mod text;

use pdf_writer::Content;

use super::picture;
use crate::error::{Error, Result};
use text::{Block, Fonts, Weight};

/// All pages of one file. Every text is already in the reader's language.
pub struct Sheet<'a> {
    /// `ko` or `en`: how a screen reader speaks the text.
    pub language: &'a str,
    /// What a viewer shows as the name of the document.
    pub title: &'a str,
    pub exhibition: &'a str,
    pub pages: &'a [Page<'a>],
    /// The line at the foot of a page with a code.
    pub note: &'a str,
}

pub struct Page<'a> {
    /// `Ticket 1 of 3`
    pub heading: &'a str,
    /// Product, visit, venue, order number, each with its label; one without a value is left out.
    pub facts: [Fact<'a>; 4],
    pub mark: Mark<'a>,
}

#[derive(Clone, Copy, Default)]
pub struct Fact<'a> {
    pub label: &'a str,
    pub value: &'a str,
}

#[derive(Clone, Copy)]
pub enum Mark<'a> {
    /// What the QR says.
    Code(&'a str),
    /// Why there is none: used, or no longer valid.
    Words(&'a str),
}

/// More than any order has; a file of this many takes under a second.
pub const PAGES_MAX: usize = 200;

// Lengths in points, 1/72 inch. A5: two fit a sheet of A4, and the code is wide enough for any scanner.
const PAGE_W: f32 = 419.53;
const PAGE_H: f32 = 595.28;
const MARGIN: f32 = 48.0;
const MARGIN_Y: f32 = 42.0;
const TEXT_W: f32 = PAGE_W - 2.0 * MARGIN;
/// Values and the code share one left edge.
const VALUE_X: f32 = MARGIN + 100.0;
const LABEL_W: f32 = 90.0;
const VALUE_W: f32 = PAGE_W - MARGIN - VALUE_X;
/// Dark part of the code, as wide as the values: 7.9 cm. The quiet zone lies outside it, on white paper.
const CODE_W: f32 = VALUE_W;
const NOTE_H: f32 = 24.0;
/// Between the code and the note: more than the quiet zone.
const CODE_BOTTOM: f32 = MARGIN_Y + NOTE_H + 26.0;
/// At most this wide, so that a short code, whose modules are large, keeps it off the text. Ours has 18 points.
const QUIET_ZONE_W: f32 = 24.0;
const FACTS_BOTTOM: f32 = CODE_BOTTOM + CODE_W + QUIET_ZONE_W;
const FACT_GAP: f32 = 5.0;
const TITLE_H: f32 = 78.0;

const INK: f32 = 0.0;
/// 5.7:1 on white: quieter than the values, and still read by weak eyes and weak printers.
const QUIET: f32 = 0.4;

const HEADING: &[f32] = &[9.0, 7.5];
const TITLE: &[f32] = &[22.0, 19.0, 16.0, 13.5, 11.0, 9.5];
const FACTS: &[f32] = &[10.0, 9.0, 8.0, 7.0];
/// At which values end in `…`.
const FACTS_CUT: f32 = 7.0;
const NOTE: &[f32] = &[8.0, 7.0];
const WORDS: &[f32] = &[16.0, 12.0];

pub fn tickets(sheet: &Sheet) -> Result<Vec<u8>> {
    if sheet.pages.is_empty() || sheet.pages.len() > PAGES_MAX {
        return Err(Error::bug(format!("a PDF of {} tickets", sheet.pages.len())));
    }
    let mut fonts = Fonts::load()?;
    let contents = sheet.pages.iter().map(|page| draw(&mut fonts, sheet, page)).collect::<Result<Vec<_>>>()?;
    file::write(sheet.language, &text::clean(sheet.title), (PAGE_W, PAGE_H), contents, fonts)
}

fn draw(fonts: &mut Fonts, sheet: &Sheet, page: &Page) -> Result<Content> {
    let mut out = Content::new();
    let mut y = PAGE_H - MARGIN_Y;

    let heading = fonts.fit(page.heading, Weight::Regular, HEADING, TEXT_W, 12.0);
    y = heading.draw(fonts, &mut out, MARGIN, y, QUIET) - 10.0;
    let title = fonts.fit(sheet.exhibition, Weight::SemiBold, TITLE, TEXT_W, TITLE_H);
    y = title.draw(fonts, &mut out, MARGIN, y, INK) - 12.0;

    out.set_line_width(0.5).set_stroke_gray(INK);
    out.move_to(MARGIN, y).line_to(PAGE_W - MARGIN, y).stroke();
    y -= 14.0;

    for (label, value) in facts(fonts, &page.facts, y - FACTS_BOTTOM) {
        let below = label.draw(fonts, &mut out, MARGIN, y, QUIET);
        y = value.draw(fonts, &mut out, VALUE_X, y, INK).min(below) - FACT_GAP;
    }

    match page.mark {
        Mark::Code(code) => {
            draw_code(&mut out, code)?;
            let note = fonts.fit(sheet.note, Weight::Regular, NOTE, TEXT_W, NOTE_H);
            note.draw(fonts, &mut out, MARGIN, MARGIN_Y + note.height(), QUIET);
        }
        Mark::Words(words) => {
            let words = fonts.fit(words, Weight::SemiBold, WORDS, VALUE_W, CODE_W);
            words.draw(fonts, &mut out, VALUE_X, CODE_BOTTOM + CODE_W, INK);
        }
    }
    Ok(out)
}

/// Labels and values, all of one size: the largest that shows everything, else the one that shows most.
fn facts(fonts: &Fonts, facts: &[Fact], height: f32) -> Vec<(Block, Block)> {
    let facts: Vec<&Fact> = facts.iter().filter(|fact| !text::clean(fact.value).is_empty()).collect();
    let height = height - FACT_GAP * facts.len() as f32;
    let set = |size: f32, height: f32| -> Vec<(Block, Block)> {
        let fit = |text: &str, width: f32| fonts.fit(text, Weight::Regular, &[size], width, height);
        facts.iter().map(|fact| (fit(fact.label, LABEL_W), fit(fact.value, VALUE_W))).collect()
    };
    let fits = |blocks: &[(Block, Block)]| {
        blocks.iter().map(|(label, value)| label.height().max(value.height())).sum::<f32>() <= height
    };
    let mut whole = FACTS.iter().map(|size| set(*size, height));
    let whole = whole.find(|all| fits(all) && !all.iter().any(|(label, value)| label.cut() || value.cut()));
    let short =
        || [3.0, 2.0].iter().map(|lines| set(FACTS_CUT, text::lines_height(FACTS_CUT, *lines))).find(|all| fits(all));
    whole.or_else(short).unwrap_or_else(|| set(FACTS_CUT, 0.0))
}

fn draw_code(out: &mut Content, code: &str) -> Result<()> {
    let qr = picture::encode(code)?;
    let quiet = picture::QUIET_ZONE as f32;
    let module = (CODE_W / qr.width() as f32).min(QUIET_ZONE_W / quiet);
    let side = qr.width() as f32 + 2.0 * quiet;
    out.save_state();
    // From here on one unit is one module, and y grows downwards.
    out.transform([module, 0.0, 0.0, -module, VALUE_X, CODE_BOTTOM + CODE_W]);
    // Viewers with a dark background paint the page as they like, but not this.
    out.set_fill_gray(1.0).rect(-quiet, -quiet, side, side).fill_nonzero();
    out.set_fill_gray(0.0);
    for (x, y, length) in picture::runs(&qr) {
        out.rect(x as f32, y as f32, length as f32, 1.0);
    }
    // One fill for all: squares filled one by one show hairlines between them.
    out.fill_nonzero();
    out.restore_state();
    Ok(())
}

#[cfg(test)]
mod tests;
