//! Colours that people with colour-blindness tell apart (Okabe and Ito, 2008, without their yellow, which is too light for
//! a line on white), and the greys of the frame. The report gives each another value on a dark ground, by these very
//! codes: see `report/style.css`.

use plotters::style::RGBColor;

/// Text, and everything real.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Titles of axes and ticks.
pub const QUIET: RGBColor = RGBColor(0x55, 0x55, 0x55);
/// Grid lines.
pub const GRID: RGBColor = RGBColor(0xE4, 0xE4, 0xE4);
/// The frame.
pub const FRAME: RGBColor = RGBColor(0x99, 0x99, 0x99);
/// The ground.
pub const GROUND: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);

/// Blue, vermilion, bluish green, reddish purple, sky blue, orange.
pub const HUES: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0xE6, 0x9F, 0x00),
];

/// The hue of the `number`th curve. Beyond six they repeat: the labels tell them apart.
pub fn hue(number: usize) -> RGBColor {
    HUES[number % HUES.len()]
}
