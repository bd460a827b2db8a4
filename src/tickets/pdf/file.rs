//! The file around the pages: page tree, fonts cut down to what is shown, and what a viewer tells about itself.

use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr};
use ttf_parser::{RawFace, Tag};

use super::text::{Font, Fonts, thousandths};
use crate::error::{Error, Result};

/// Above 6 a page shrinks no further.
const COMPRESSION: u8 = 6;
const UNICODE: SystemInfo = SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"UCS"), supplement: 0 };
const IDENTITY: SystemInfo = SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };

struct Refs(i32);

impl Refs {
    fn next(&mut self) -> Ref {
        self.0 += 1;
        Ref::new(self.0)
    }
}

pub fn write(language: &str, title: &str, size: (f32, f32), contents: Vec<Content>, fonts: Fonts) -> Result<Vec<u8>> {
    let mut pdf = Pdf::new();
    let mut refs = Refs(0);
    let (catalog, info, tree) = (refs.next(), refs.next(), refs.next());

    let mut named = Vec::new();
    for font in fonts.0.iter().filter(|font| !font.shown.is_empty()) {
        named.push((font.name, embed(&mut pdf, &mut refs, font)?));
    }

    let mut pages = Vec::with_capacity(contents.len());
    for content in contents {
        let (page, stream) = (refs.next(), refs.next());
        pdf.stream(stream, &compress_to_vec_zlib(&content.finish(), COMPRESSION)).filter(Filter::FlateDecode);
        let mut writer = pdf.page(page);
        writer.parent(tree).media_box(Rect::new(0.0, 0.0, size.0, size.1)).contents(stream);
        let mut resources = writer.resources();
        let mut dictionary = resources.fonts();
        for (name, font) in &named {
            dictionary.pair(Name(name.as_bytes()), *font);
        }
        pages.push(page);
    }
    pdf.pages(tree).count(i32::try_from(pages.len()).map_err(Error::bug)?).kids(pages);

    let mut writer = pdf.catalog(catalog);
    writer.pages(tree).lang(TextStr(language));
    writer.viewer_preferences().display_doc_title(true);
    writer.finish();
    // No date: the same tickets give the same file.
    pdf.document_info(info).title(TextStr(title)).producer(TextStr("Admit"));
    Ok(pdf.finish())
}

/// Writes the font and answers its number.
fn embed(pdf: &mut Pdf, refs: &mut Refs, font: &Font) -> Result<Ref> {
    let bug = |e: &dyn std::fmt::Display| Error::bug(format!("{}: {e}", font.name));
    let subset = subsetter::subset(font.data, 0, &font.used).map_err(|e| bug(&e))?;
    let raw = RawFace::parse(&subset, 0).map_err(|e| bug(&e))?;
    let outlines = raw.table(Tag::from_bytes(b"CFF ")).ok_or_else(|| bug(&"no outlines"))?;

    let (type0, cid, descriptor, unicode, file) = (refs.next(), refs.next(), refs.next(), refs.next(), refs.next());
    let base = format!("{}+{}", tag(font), font.name);
    pdf.type0_font(type0)
        .base_font(Name(format!("{base}-Identity-H").as_bytes()))
        .encoding_predefined(Name(b"Identity-H"))
        .descendant_font(cid)
        .to_unicode(unicode);

    let mut writer = pdf.cid_font(cid);
    writer.subtype(CidFontType::Type0).base_font(Name(base.as_bytes())).system_info(IDENTITY);
    writer.font_descriptor(descriptor).default_width(0.0);
    let mut widths = writer.widths();
    for (id, (_, width)) in &font.shown {
        widths.consecutive(*id, [*width]);
    }
    widths.finish();
    writer.finish();

    let face = &font.face;
    let bounds = face.global_bounding_box();
    let scaled = |units: i16| thousandths(face, f32::from(units));
    pdf.font_descriptor(descriptor)
        .name(Name(base.as_bytes()))
        .flags(FontFlags::SYMBOLIC)
        .bbox(Rect::new(scaled(bounds.x_min), scaled(bounds.y_min), scaled(bounds.x_max), scaled(bounds.y_max)))
        .italic_angle(0.0)
        .ascent(scaled(face.ascender()))
        .descent(scaled(face.descender()))
        .cap_height(scaled(face.capital_height().unwrap_or_else(|| face.ascender())))
        // A guess that only a viewer without this font would use.
        .stem_v(if face.is_bold() { 120.0 } else { 80.0 })
        .font_file3(file);

    let mut cmap = UnicodeCmap::new(Name(b"Shown"), UNICODE);
    for (id, (shows, _)) in &font.shown {
        cmap.pair(*id, *shows);
    }
    pdf.cmap(unicode, &compress_to_vec_zlib(&cmap.finish(), COMPRESSION)).filter(Filter::FlateDecode);
    pdf.stream(file, &compress_to_vec_zlib(outlines, COMPRESSION))
        .filter(Filter::FlateDecode)
        .pair(Name(b"Subtype"), Name(b"CIDFontType0C"));
    Ok(type0)
}

/// Six letters that differ between subsets, as the format asks, so that joined files keep them apart.
fn tag(font: &Font) -> String {
    let mut hash = font
        .used
        .remapped_gids()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, id| (hash ^ u64::from(id)).wrapping_mul(0x0100_0000_01b3));
    let mut letters = String::with_capacity(6);
    for _ in 0..6 {
        letters.push(char::from(b'A' + (hash % 26) as u8));
        hash /= 26;
    }
    letters
}
