//! Lines of text: which glyph shows a character, how wide it is, and where a line ends.
//!
//! Composed Hangul and Latin need one glyph per character and pair kerning, no more, so this shapes nothing.

use std::collections::BTreeMap;

use pdf_writer::{Content, Name, Str};
use subsetter::GlyphRemapper;
use ttf_parser::{Face, GlyphId};
use unicode_normalization::UnicodeNormalization;

use crate::error::{Error, Result};

/// More than fits a page at the smallest size; the rest is not even looked at.
const CHARS_MAX: usize = 600;
/// Shown for a character that the fonts lack; their own mark for that is a black bar.
const MISSING: char = '□';
/// Height of a line over the size of its letters: Hangul fills its square, so lines need air.
const LEADING: f32 = 1.36;

/// The first two are the weights; the third has the hanja and kana that they lack.
static FILES: [(&str, &[u8]); 3] = [
    ("AdmitSans-Regular", include_bytes!("../../../web/fonts/AdmitSans-Regular.otf")),
    ("AdmitSans-SemiBold", include_bytes!("../../../web/fonts/AdmitSans-SemiBold.otf")),
    ("AdmitHanja-Bold", include_bytes!("../../../web/fonts/AdmitHanja-Bold.otf")),
];

pub fn lines_height(size: f32, lines: f32) -> f32 {
    size * LEADING * lines
}

#[derive(Clone, Copy)]
pub enum Weight {
    Regular = 0,
    SemiBold = 1,
}

pub struct Font {
    pub name: &'static str,
    pub data: &'static [u8],
    pub face: Face<'static>,
    /// The glyphs in use by their number in the file.
    pub used: GlyphRemapper,
    /// Character and width (in thousandths of the size) by number in the file.
    pub shown: BTreeMap<u16, (char, f32)>,
}

pub struct Fonts(pub Vec<Font>);

#[derive(Clone, Copy)]
struct Glyph {
    font: usize,
    id: GlyphId,
    shows: char,
    /// In thousandths of the size, like the kerning before it.
    advance: f32,
    kern: f32,
}

#[derive(Default)]
struct Line {
    glyphs: Vec<Glyph>,
    width: f32,
}

/// Lines of one size.
pub struct Block {
    lines: Vec<Line>,
    size: f32,
    cut: bool,
}

/// What a document may show: composed, on one line, without what only a machine sees.
pub fn clean(text: &str) -> String {
    let shown =
        text.chars().take(CHARS_MAX).nfc().filter(|c| !hidden(*c)).map(|c| if c.is_control() { ' ' } else { c });
    let shown: String = shown.collect();
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Joiners, marks of direction, variants and tags: without them the text reads the same.
fn hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
}

/// Emoji and dingbats: a box instead of one says nothing.
fn pictorial(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

impl Fonts {
    pub fn load() -> Result<Fonts> {
        let font = |(name, data): &(&'static str, &'static [u8])| -> Result<Font> {
            let face = Face::parse(data, 0).map_err(|e| Error::bug(format!("{name}: {e}")))?;
            Ok(Font { name, data, face, used: GlyphRemapper::new(), shown: BTreeMap::new() })
        };
        Ok(Fonts(FILES.iter().map(font).collect::<Result<_>>()?))
    }

    /// The text at the largest of these sizes at which it fits; what is too much even for the last ends in `…`.
    pub fn fit(&self, text: &str, weight: Weight, sizes: &[f32], width: f32, height: f32) -> Block {
        let text = clean(text);
        let mut block = Block { lines: Vec::new(), size: 1.0, cut: false };
        for size in sizes {
            // At least one line, however low the place; the sum may be off by a rounding.
            let lines_max = ((height / (size * LEADING) + 0.01) as usize).max(1);
            block = self.block(&text, weight, *size, width, lines_max);
            if !block.cut {
                break;
            }
        }
        self.balanced(block, &text, weight, width)
    }

    /// The same lines, as even as they get: a last line of one word looks like a mistake.
    fn balanced(&self, mut block: Block, text: &str, weight: Weight, width: f32) -> Block {
        let words = text.split(' ').map(|word| measure(&self.glyphs(word, weight)) * block.size / 1000.0);
        let widest = words.fold(0.0, f32::max);
        let mut narrower = width * 0.95;
        // A narrower line must not break a word that is whole now.
        while !block.cut && block.lines.len() > 1 && narrower > widest.max(width / 2.0) {
            let next = self.block(text, weight, block.size, narrower, block.lines.len());
            if next.cut {
                break;
            }
            block = next;
            narrower -= width * 0.05;
        }
        block
    }

    fn block(&self, text: &str, weight: Weight, size: f32, width: f32, lines_max: usize) -> Block {
        let width = width * 1000.0 / size;
        let space = self.glyphs(" ", weight);
        let mut lines: Vec<Line> = Vec::new();
        for word in text.split(' ') {
            let word = self.glyphs(word, weight);
            if word.is_empty() {
                continue;
            }
            if lines.len() > lines_max {
                break;
            }
            match lines.last_mut() {
                Some(line) if line.width + measure(&space) + measure(&word) <= width => {
                    line.extend(&space);
                    line.extend(&word);
                }
                _ => lines.extend(broken(&word, width)),
            }
        }
        let cut = lines.len() > lines_max;
        lines.truncate(lines_max);
        if let Some(last) = lines.last_mut().filter(|_| cut) {
            last.end_in(&self.glyphs("…", weight), width);
        }
        Block { lines, size, cut }
    }

    fn glyphs(&self, word: &str, weight: Weight) -> Vec<Glyph> {
        let mut glyphs: Vec<Glyph> = Vec::new();
        for glyph in word.chars().filter_map(|c| self.glyph(c, weight as usize)) {
            let kern = glyphs.last().map_or(0.0, |before| self.kern(before, &glyph));
            glyphs.push(Glyph { kern, ..glyph });
        }
        glyphs
    }

    /// From the wanted font, or else from any that has it.
    fn glyph(&self, c: char, wanted: usize) -> Option<Glyph> {
        let order = std::iter::once(wanted).chain((0..self.0.len()).filter(|at| *at != wanted));
        let find = |c: char| order.clone().find_map(|at| Some((at, self.0.get(at)?.face.glyph_index(c)?, c)));
        let (font, id, shows) = match find(c) {
            None if pictorial(c) => return None,
            found => found.or_else(|| find(MISSING))?,
        };
        let face = &self.0.get(font)?.face;
        let advance = thousandths(face, f32::from(face.glyph_hor_advance(id).unwrap_or_default()));
        Some(Glyph { font, id, shows, advance, kern: 0.0 })
    }

    fn kern(&self, left: &Glyph, right: &Glyph) -> f32 {
        let face = self.0.get(left.font).filter(|_| left.font == right.font).map(|font| &font.face);
        let pair = |face: &Face| face.tables().kern?.subtables.into_iter().next()?.glyphs_kerning(left.id, right.id);
        face.and_then(|face| Some(thousandths(face, f32::from(pair(face)?)))).unwrap_or_default()
    }
}

pub fn thousandths(face: &Face, units: f32) -> f32 {
    units * 1000.0 / f32::from(face.units_per_em())
}

fn measure(glyphs: &[Glyph]) -> f32 {
    glyphs.iter().map(|glyph| glyph.advance + glyph.kern).sum()
}

/// A word on lines of its own; only one wider than a line is broken inside.
fn broken(word: &[Glyph], width: f32) -> Vec<Line> {
    let mut lines = vec![Line::default()];
    for glyph in word {
        let full = lines.last().is_some_and(|line| !line.glyphs.is_empty() && line.width + glyph.advance > width);
        if full {
            lines.push(Line::default());
        }
        if let Some(line) = lines.last_mut() {
            line.extend(&[*glyph]);
        }
    }
    lines
}

impl Line {
    fn extend(&mut self, glyphs: &[Glyph]) {
        self.width += measure(glyphs);
        self.glyphs.extend_from_slice(glyphs);
    }

    fn end_in(&mut self, ellipsis: &[Glyph], width: f32) {
        while self.width + measure(ellipsis) > width || self.glyphs.last().is_some_and(|glyph| glyph.shows == ' ') {
            let Some(last) = self.glyphs.pop() else { break };
            self.width -= last.advance + last.kern;
        }
        self.extend(ellipsis);
    }
}

impl Block {
    pub fn cut(&self) -> bool {
        self.cut
    }

    pub fn height(&self) -> f32 {
        lines_height(self.size, self.lines.len() as f32)
    }

    /// Draws below `top`; the answer is where the block ends.
    pub fn draw(&self, fonts: &mut Fonts, out: &mut Content, x: f32, top: f32, gray: f32) -> f32 {
        // Capitals and Hangul stand in the middle of their line.
        let mut baseline = top - self.size * (LEADING / 2.0 + 0.35);
        for line in &self.lines {
            out.begin_text().set_fill_gray(gray).next_line(x, baseline);
            for run in line.glyphs.chunk_by(|a, b| a.font == b.font) {
                let Some(font) = run.first().and_then(|glyph| fonts.0.get_mut(glyph.font)) else { continue };
                out.set_font(Name(font.name.as_bytes()), self.size);
                font.show(out, run);
            }
            out.end_text();
            baseline -= self.size * LEADING;
        }
        top - self.height()
    }
}

impl Font {
    fn show(&mut self, out: &mut Content, run: &[Glyph]) {
        let mut shown = out.show_positioned();
        let mut items = shown.items();
        let mut codes: Vec<u8> = Vec::with_capacity(2 * run.len());
        for glyph in run {
            if glyph.kern != 0.0 {
                items.show(Str(&codes)).adjust(-glyph.kern);
                codes.clear();
            }
            let id = self.used.remap(glyph.id.0);
            self.shown.insert(id, (glyph.shows, glyph.advance));
            codes.extend(id.to_be_bytes());
        }
        items.show(Str(&codes));
    }
}
