//! A code as a picture: an SVG of one path for pages, a PNG for mail, which blocks SVG. Pure.

use qrcode::{Color, EcLevel, QrCode};

use crate::error::{Error, Result};

/// Empty modules around the code, as the standard asks; scanners need them on dark screens.
pub(super) const QUIET_ZONE: usize = 4;
/// Pixels of one module: 57 modules are 456 pixels wide, sharp on a phone and small in a mail.
const MODULE_PX: usize = 8;
// The PNG has one bit per pixel and writes a module as one byte.
const _: () = assert!(MODULE_PX == 8);

/// Medium error correction survives a crack across the screen; higher would need more, smaller modules.
pub(super) fn encode(code: &str) -> Result<QrCode> {
    QrCode::with_error_correction_level(code, EcLevel::M).map_err(|e| Error::bug(format!("QR: {e}")))
}

/// Horizontal runs of dark modules: (x, y, length), without the quiet zone.
pub(super) fn runs(qr: &QrCode) -> Vec<(usize, usize, usize)> {
    let width = qr.width();
    let mut runs = Vec::new();
    for (y, row) in qr.to_colors().chunks(width).enumerate() {
        let mut x = 0;
        while x < width {
            let length = row[x..].iter().take_while(|c| **c == Color::Dark).count();
            if length > 0 {
                runs.push((x, y, length));
            }
            x += length.max(1);
        }
    }
    runs
}

pub fn svg(code: &str) -> Result<String> {
    use std::fmt::Write;
    let qr = encode(code)?;
    let side = qr.width() + 2 * QUIET_ZONE;
    let mut path = String::with_capacity(8 * 1024);
    for (x, y, length) in runs(&qr) {
        let (x, y) = (x + QUIET_ZONE, y + QUIET_ZONE);
        write!(path, "M{x} {y}h{length}v1h-{length}z").map_err(Error::bug)?;
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" width=\"{px}\" height=\"{px}\" \
         shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"QR\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path d=\"{path}\"/></svg>",
        px = side * MODULE_PX,
    ))
}

pub fn png(code: &str) -> Result<Vec<u8>> {
    let qr = encode(code)?;
    let side_px = (qr.width() + 2 * QUIET_ZONE) * MODULE_PX;
    let row_bytes = side_px.div_ceil(8);
    // 1 is white.
    let mut pixels = vec![0xff_u8; row_bytes * side_px];
    for (x, y, length) in runs(&qr) {
        for line in 0..MODULE_PX {
            let start = ((y + QUIET_ZONE) * MODULE_PX + line) * row_bytes + x + QUIET_ZONE;
            pixels[start..start + length].fill(0);
        }
    }
    let side = u32::try_from(side_px).map_err(Error::bug)?;
    let mut out = Vec::with_capacity(2 * 1024);
    let mut encoder = png::Encoder::new(&mut out, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().map_err(Error::bug)?;
    writer.write_image_data(&pixels).map_err(Error::bug)?;
    writer.finish().map_err(Error::bug)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use qrcode::Version;

    use super::super::code;
    use super::*;

    fn a_code() -> String {
        code::write(&[0x5a; code::SIGNED_BYTES], &[0xc3; code::SIGNATURE_BYTES])
    }

    #[test]
    fn a_code_fits_version_8() {
        let qr = encode(&a_code()).unwrap();
        assert!(matches!(qr.version(), Version::Normal(1..=8)), "{:?}", qr.version());
        assert_eq!(qr.error_correction_level(), EcLevel::M);
    }

    #[test]
    fn runs_cover_exactly_the_dark_modules() {
        let qr = encode(&a_code()).unwrap();
        let mut drawn = vec![false; qr.width() * qr.width()];
        for (x, y, length) in runs(&qr) {
            drawn[y * qr.width() + x..][..length].fill(true);
        }
        let colors = qr.to_colors();
        assert!(drawn.iter().zip(&colors).all(|(dark, color)| *dark == (*color == qrcode::Color::Dark)));
        assert_eq!(drawn.len(), colors.len());
    }

    #[test]
    fn the_svg_is_two_paths_inside_its_box() {
        let svg = svg(&a_code()).unwrap();
        assert_eq!(svg.matches("<path").count(), 2);
        assert!(svg.contains("viewBox=\"0 0 57 57\"") && svg.len() < 30_000, "{}", svg.len());
    }

    /// Reads the picture with the program that people have.
    #[test]
    fn zbarimg_reads_the_png() {
        let file = std::env::temp_dir().join(format!("admit-qr-{}.png", std::process::id()));
        std::fs::write(&file, png(&a_code()).unwrap()).unwrap();
        let output = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(&file).output();
        let _ = std::fs::remove_file(&file);
        match output {
            Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), a_code()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                assert!(std::env::var_os("CI").is_none(), "zbarimg is missing");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
