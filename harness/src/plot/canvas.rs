//! The ground on which charts are drawn, in units finer than a pixel, because plotters places things at whole units. The
//! same drawing goes onto an SVG and onto pixels.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend, IntoDrawingArea, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, RGBColor, ShapeStyle, TextStyle};
use tiny_skia::Pixmap;

use super::palette;
use super::raster::{FONT_FACTOR, Raster};
use crate::failure::Failure;

/// What charts draw on.
pub type Area<B> = DrawingArea<B, Shift>;

/// Units in a pixel.
const UNITS: f64 = 8.0;
/// Pixels of a PNG for each of the drawing: sharp on dense screens, and in print.
const PNG_SCALE: f64 = 2.0;

/// Pixels to units.
pub fn px(pixels: f64) -> i32 {
    (pixels * UNITS).round() as i32
}

/// Something that can be drawn, on either ground.
pub trait Drawing {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);
    /// Draws it.
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Result<(), Failure>;
}

/// The SVG of a drawing, with `title` and `description` for those who cannot see it.
pub fn svg(drawing: &impl Drawing, title: &str, description: &str) -> Result<String, Failure> {
    let ((width, height), units) = (drawing.size(), units(drawing));
    let mut text = String::new();
    paint(drawing, SVGBackend::with_string(&mut text, units))?;
    let Some((_, rest)) = text.split_once('>') else {
        return Err(Failure::Wrong("drawing: the backend wrote no SVG".into()));
    };
    Ok(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{rest}"#,
        units.0,
        units.1,
        escape(title),
        escape(description),
    ))
}

/// The PNG of a drawing.
pub fn png(drawing: &impl Drawing) -> Result<Vec<u8>, Failure> {
    let (width, height) = drawing.size();
    let pixels = |length: u32| (f64::from(length) * PNG_SCALE).round() as u32;
    let mut pixmap = Pixmap::new(pixels(width), pixels(height)).ok_or_else(|| trouble("an empty picture"))?;
    paint(drawing, Raster::new(&mut pixmap, units(drawing), (PNG_SCALE / UNITS) as f32)?)?;
    pixmap.encode_png().map_err(trouble)
}

/// Writes the drawing as `name.svg`, with `title` and `description`, and as `name.png` into `folder`.
pub fn write(drawing: &impl Drawing, folder: &Path, name: &str, title: &str, description: &str) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(Failure::system(format!("making {}", folder.display())))?;
    let save = |ending: &str, bytes: &[u8]| {
        let file = folder.join(format!("{name}.{ending}"));
        std::fs::write(&file, bytes).map_err(Failure::system(format!("writing {}", file.display())))
    };
    save("svg", svg(drawing, title, description)?.as_bytes())?;
    save("png", &png(drawing)?)
}

fn units(drawing: &impl Drawing) -> (u32, u32) {
    let (width, height) = drawing.size();
    (px(f64::from(width)) as u32, px(f64::from(height)) as u32)
}

fn paint(drawing: &impl Drawing, ground: impl DrawingBackend) -> Result<(), Failure> {
    let area = ground.into_drawing_area();
    area.fill(&palette::GROUND).map_err(trouble)?;
    drawing.draw(&area)?;
    area.present().map_err(trouble)
}

/// For `map_err`: what the drawing library says.
pub fn trouble(error: impl std::fmt::Display) -> Failure {
    Failure::Wrong(format!("drawing: {error}"))
}

/// A text style; `size` in pixels, placed by its left, middle or right edge and the middle of its height.
pub fn text(size: f64, colour: RGBColor, bold: bool, edge: HPos) -> TextStyle<'static> {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = ("sans-serif", size * UNITS * FONT_FACTOR, style);
    TextStyle { color: colour.to_backend_color(), ..TextStyle::from(font) }.pos(Pos::new(edge, VPos::Center))
}

/// A line of `width` pixels.
pub fn line(colour: RGBColor, width: f64) -> ShapeStyle {
    colour.stroke_width(px(width) as u32)
}

/// `text` as XML wants it.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no way to write the other control characters.
            control if control.is_control() && control != '\n' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::element::Text;

    struct Word(&'static str);

    impl Drawing for Word {
        fn size(&self) -> (u32, u32) {
            (100, 40)
        }
        fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Result<(), Failure> {
            let style = text(20.0, palette::INK, false, HPos::Left);
            area.draw(&Text::new(self.0, (px(5.0), px(20.0)), style)).map_err(trouble)
        }
    }

    /// Letters must leave ink: a font that is not found draws nothing, and says nothing.
    #[test]
    fn a_png_has_its_signature_its_size_and_its_letters() {
        let inked = |word| {
            let png = png(&Word(word)).unwrap();
            assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
            assert_eq!(&png[16..24], [0, 0, 0, 200, 0, 0, 0, 80], "width and height");
            let decoded = Pixmap::decode_png(&png).unwrap();
            decoded.pixels().iter().filter(|pixel| pixel.red() < 128).count()
        };
        assert_eq!(inked(""), 0);
        assert!(inked("3") > 50 && inked("3 µs") > inked("3 "), "{} {}", inked("3"), inked("3 µs"));
    }

    /// Its middle is where it was asked for: a font without measures of its letters once drew everything too high.
    #[test]
    fn a_text_stands_in_the_middle_of_its_height() {
        let decoded = Pixmap::decode_png(&png(&Word("x")).unwrap()).unwrap();
        let inked =
            |row: u32| (0..decoded.width()).any(|x| decoded.pixel(x, row).is_some_and(|pixel| pixel.red() < 128));
        let rows: Vec<u32> = (0..decoded.height()).filter(|row| inked(*row)).collect();
        let middle = f64::from(rows[0] + rows[rows.len() - 1] + 1) / 2.0;
        assert!((middle - f64::from(decoded.height()) / 2.0).abs() <= 1.5, "{middle} of {}", decoded.height());
    }

    #[test]
    fn an_svg_has_its_size_in_pixels_and_its_words_escaped() {
        let svg = svg(&Word("a < b"), "<title>", "a & b").unwrap();
        assert!(svg.starts_with("<svg xmlns=") && svg.contains(r#"width="100" height="40" viewBox="0 0 800 320""#));
        assert!(svg.contains("a &lt; b") && svg.contains("<desc>a &amp; b</desc>"), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
