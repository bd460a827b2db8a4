//! The picture of an exhibition: whatever an admin sends is read, turned upright, cut down to two widths and written anew
//! as JPEG, so that nothing of the camera's (place, owner, thumbnails) and nothing hidden in a file is ever served.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage, Rgba};

use crate::error::{Error, Result};
use crate::platform::secrets::{hex, sha256};

/// As pages show it, on a wide screen and on a phone. [px]
pub const WIDE: u32 = 1280;
pub const NARROW: u32 = 640;
/// Largest file. [bytes]
pub const BYTES_MAX: usize = 8 * 1024 * 1024;
/// A side of what is sent, at most. [px]
const SIDE_MAX: u32 = 10_000;
/// What good cameras make, and no more. [px]
const PIXELS_MAX: u64 = 40_000_000;
/// What is read of one, in memory; turning it upright and making it small takes as much again. [bytes]
const MEMORY_MAX: u64 = 200 * 1024 * 1024;
/// A banner at the flattest, a poster at the tallest: height by width.
const FLATTEST: f64 = 0.25;
const TALLEST: f64 = 1.5;
const QUALITY: u8 = 80;

/// Ready to be stored.
pub struct Picture {
    pub digest: String,
    /// At the larger width. [px]
    pub height: u32,
    pub wide: Vec<u8>,
    pub narrow: Vec<u8>,
}

/// Where it is served.
pub fn path(digest: &str, width: u32) -> String {
    format!("/pictures/{digest}-{width}.jpg")
}

/// The inverse of `path`'s last part.
pub fn parse(file: &str) -> Option<(&str, u32)> {
    let (digest, width) = file.strip_suffix(".jpg")?.split_once('-')?;
    let width = [WIDE, NARROW].into_iter().find(|known| known.to_string() == width)?;
    (digest.len() == 32 && digest.bytes().all(|b| b.is_ascii_hexdigit())).then_some((digest, width))
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::invalid("picture.unreadable").because(error)
}

fn out_of_bounds(width: u32, height: u32) -> Error {
    Error::invalid("picture.out_of_bounds").with("width", width).with("height", height)
}

/// JPEG knows nothing of what is transparent: it lies on paper.
fn on_white(image: &DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let image = image.to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let Rgba([r, g, b, a]) = *image.get_pixel(x, y);
        let over = |part: u8| ((u32::from(part) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
        Rgb([over(r), over(g), over(b)])
    })
}

/// Takes seconds of a core and some 400 MB for the largest: on a thread of its own, one at a time.
pub fn prepare(file: &[u8]) -> Result<Picture> {
    let format = image::guess_format(file).map_err(unreadable)?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP) {
        return Err(unreadable("neither JPEG nor PNG nor WebP"));
    }
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE_MAX), Some(SIDE_MAX));
    limits.max_alloc = Some(MEMORY_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    // The limits are for what a decoder needs beside the picture; the picture itself is ours to bound.
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX || decoder.total_bytes() > MEMORY_MAX {
        return Err(out_of_bounds(width, height));
    }
    // A profile of another kind of colours than those that are written would be a lie.
    let profile = decoder.icc_profile().map_err(unreadable)?.filter(|profile| profile.get(16..20) == Some(b"RGB "));
    let orientation = decoder.orientation().map_err(unreadable)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width(), image.height());
    let shape = f64::from(height) / f64::from(width.max(1));
    if width < NARROW || !(FLATTEST..=TALLEST).contains(&shape) {
        return Err(out_of_bounds(width, height));
    }
    let at = |width: u32| -> Result<(Vec<u8>, u32)> {
        let height = (f64::from(width) * shape).round() as u32;
        let scaled = on_white(&image.resize_exact(width, height, FilterType::Lanczos3));
        let mut out = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut out, QUALITY);
        if let Some(profile) = profile.clone() {
            encoder.set_icc_profile(profile).map_err(Error::bug)?;
        }
        encoder.encode_image(&scaled).map_err(Error::bug)?;
        Ok((out, height))
    };
    let (wide, height) = at(WIDE)?;
    let (narrow, _) = at(NARROW)?;
    Ok(Picture { digest: hex(&sha256(&[&wide])[..16]), height, wide, narrow })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 90]));
        let mut out = Cursor::new(Vec::new());
        image.write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    #[test]
    fn every_format_becomes_two_jpegs() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let picture = prepare(&encoded(1600, 900, format)).unwrap();
            assert_eq!(picture.height, 720);
            for (bytes, width) in [(&picture.wide, WIDE), (&picture.narrow, NARROW)] {
                let read = image::load_from_memory_with_format(bytes, ImageFormat::Jpeg).unwrap();
                assert_eq!((read.width(), read.height()), (width, width * 9 / 16));
            }
            assert_eq!(parse(&path(&picture.digest, NARROW)[10..]), Some((picture.digest.as_str(), NARROW)));
        }
    }

    #[test]
    fn what_a_camera_writes_beside_the_picture_is_gone_and_it_stands_upright() {
        let plain = encoded(900, 700, ImageFormat::Jpeg);
        // An Exif block: little-endian TIFF, one entry, orientation 6 (turn right), and a name.
        let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
        exif.extend_from_slice(b"Seoul 37.5");
        let mut file = plain[..2].to_vec();
        file.extend_from_slice(&[0xff, 0xe1]);
        file.extend_from_slice(&u16::try_from(exif.len() + 2).unwrap().to_be_bytes());
        file.extend_from_slice(&exif);
        file.extend_from_slice(&plain[2..]);
        let picture = prepare(&file).unwrap();
        assert_eq!(picture.height, WIDE * 9 / 7 + 1);
        assert!(!picture.wide.windows(5).any(|bytes| bytes == b"Seoul"));
    }

    #[test]
    fn what_is_no_picture_or_of_no_use_is_refused() {
        for file in [&b""[..], b"<svg xmlns='x'/>", b"GIF89a\x01\0\x01\0", b"\x89PNG\r\n\x1a\n garbage"] {
            assert_eq!(prepare(file).err().unwrap().code, "picture.unreadable");
        }
        let whole = encoded(1600, 900, ImageFormat::Png);
        assert_eq!(prepare(&whole[..whole.len() / 2]).err().unwrap().code, "picture.unreadable");
        for (width, height) in [(639, 400), (2_000, 100), (700, 1_400)] {
            assert_eq!(prepare(&encoded(width, height, ImageFormat::Png)).err().unwrap().code, "picture.out_of_bounds");
        }
        // Some bytes that would be a gigabyte of pixels, or four hundred megabytes; refused before anything is read.
        for (side, depth, code) in [
            (60_000, png::BitDepth::Eight, "picture.unreadable"),
            (9_000, png::BitDepth::Eight, "picture.out_of_bounds"),
            (6_000, png::BitDepth::Sixteen, "picture.out_of_bounds"),
        ] {
            let mut bomb = Vec::new();
            let mut writer = png::Encoder::new(&mut bomb, side, side);
            writer.set_color(png::ColorType::Rgba);
            writer.set_depth(depth);
            let mut writer = writer.write_header().unwrap();
            writer.write_chunk(png::chunk::IDAT, &[]).unwrap();
            drop(writer);
            assert_eq!(prepare(&bomb).err().unwrap().code, code, "{side}");
        }
    }

    #[test]
    fn what_is_transparent_lies_on_white() {
        let mut out = Cursor::new(Vec::new());
        let clear = image::RgbaImage::from_fn(800, 800, |x, _| Rgba([0, 0, 0, if x < 400 { 0 } else { 255 }]));
        clear.write_to(&mut out, ImageFormat::Png).unwrap();
        let picture = prepare(&out.into_inner()).unwrap();
        let read = image::load_from_memory(&picture.narrow).unwrap().to_rgb8();
        assert!(read.get_pixel(10, 10).0[0] > 250 && read.get_pixel(630, 10).0[0] < 5);
    }

    #[test]
    fn only_our_own_names_are_read() {
        for file in [
            "",
            "x.jpg",
            "../../etc-640.jpg",
            &format!("{}-641.jpg", "a".repeat(32)),
            &format!("{}-0640.jpg", "a".repeat(32)),
        ] {
            assert_eq!(parse(file), None, "{file}");
        }
    }
}
