//! The demo's picture, painted here so that no file of somebody else's has to come along: hills in morning light.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

use crate::error::{Error, Result};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 640;
const SKY: [[f32; 3]; 2] = [[232.0, 214.0, 186.0], [246.0, 238.0, 222.0]];
const SUN: [f32; 3] = [226.0, 148.0, 88.0];
/// From far to near: colour, height of the ridge, its waves.
const HILLS: [([f32; 3], f32, f32); 4] = [
    ([188.0, 196.0, 178.0], 0.52, 1.3),
    ([142.0, 166.0, 146.0], 0.62, 2.1),
    ([88.0, 128.0, 110.0], 0.74, 1.7),
    ([38.0, 84.0, 72.0], 0.86, 2.6),
];

fn mix(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    let t = t.clamp(0.0, 1.0);
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

fn colour(x: f32, y: f32) -> [f32; 3] {
    let mut colour = mix(SKY[0], SKY[1], y * 1.6);
    let from_sun = ((x * 2.0 - 1.3).powi(2) + (y - 0.34).powi(2)).sqrt();
    // A soft edge, and a glow around it.
    colour = mix(colour, SUN, (0.16 - from_sun) * 90.0 + 0.5);
    colour = mix(colour, SUN, 0.35 * (1.0 - from_sun / 0.6).max(0.0).powi(2));
    for (n, (hill, height, waves)) in HILLS.into_iter().enumerate() {
        let at = x * std::f32::consts::TAU * waves + n as f32 * 2.4;
        let ridge = height + 0.05 * at.sin() + 0.02 * (at * 2.7 + 1.0).sin();
        colour = mix(colour, mix(hill, SKY[1], 0.25 * (1.0 - (y - ridge) * 4.0)), (y - ridge) * HEIGHT as f32 + 0.5);
    }
    colour
}

/// As a file, for the same way as everybody's.
pub fn file() -> Result<Vec<u8>> {
    let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        Rgb(colour(x as f32 / WIDTH as f32, y as f32 / HEIGHT as f32).map(|part| part as u8))
    });
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, ImageFormat::Png).map_err(Error::bug)?;
    Ok(out.into_inner())
}
