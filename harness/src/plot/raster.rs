//! A ground of pixels for plotters, for PNGs: the same charts as in the SVG, drawn by tiny-skia with smooth edges, and text in
//! a font that comes along, so that the picture is the same on every machine, with or without fonts of its own.

use std::convert::Infallible;

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontStyle,
};
use tiny_skia::{FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};
use ttf_parser::{Face, OutlineBuilder};

use crate::failure::Failure;

/// plotters writes sizes of fonts so much larger than the letters shall be; its SVG backend divides by the same.
pub const FONT_FACTOR: f64 = 1.24;

/// From the top of a text to its base line, in em: what plotters' SVG backend takes.
const TOP: f32 = 0.76;
/// Height of a small letter of DejaVu Sans, in em (the font itself has it in no table).
const X_HEIGHT: f32 = 0.547;

/// Pixels in the making, for one drawing.
pub struct Raster<'a> {
    pixels: &'a mut Pixmap,
    size: (u32, u32),
    scale: f32,
    regular: Face<'static>,
    bold: Face<'static>,
}

impl<'a> Raster<'a> {
    /// Draws onto `pixels`; a unit of the drawing is `scale` pixels.
    pub fn new(pixels: &'a mut Pixmap, size: (u32, u32), scale: f32) -> Result<Self, Failure> {
        let face = |font| Face::parse(font, 0).map_err(|error| Failure::Wrong(format!("the font: {error}")));
        let (regular, bold) = (face(dejavu::sans::regular())?, face(dejavu::sans::bold())?);
        Ok(Self { pixels, size, scale, regular, bold })
    }

    fn fill(&mut self, path: Option<Path>, colour: BackendColor) {
        if let Some(path) = path {
            let transform = Transform::from_scale(self.scale, self.scale);
            self.pixels.fill_path(&path, &paint(colour), FillRule::Winding, transform, None);
        }
    }

    fn stroke(&mut self, path: Option<Path>, style: &impl BackendStyle) {
        if let Some(path) = path {
            let stroke = Stroke {
                width: style.stroke_width() as f32,
                line_cap: LineCap::Butt,
                line_join: LineJoin::Round,
                ..Stroke::default()
            };
            let transform = Transform::from_scale(self.scale, self.scale);
            self.pixels.stroke_path(&path, &paint(style.color()), &stroke, transform, None);
        }
    }
}

fn paint(colour: BackendColor) -> Paint<'static> {
    let (red, green, blue) = colour.rgb;
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(red, green, blue, (colour.alpha * 255.0).round() as u8);
    paint
}

/// A path through `points`, if there are two.
fn through(points: impl IntoIterator<Item = BackendCoord>, closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (x, y) in points {
        let (x, y) = (x as f32, y as f32);
        if builder.is_empty() { builder.move_to(x, y) } else { builder.line_to(x, y) }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Raster<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, colour: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &colour, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S, fill: bool) -> Drawn {
        let rect = Rect::from_ltrb(from.0 as f32, from.1 as f32, to.0 as f32, to.1 as f32);
        let path = rect.map(PathBuilder::from_rect);
        if fill {
            self.fill(path, style.color())
        } else {
            self.stroke(path, style)
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.stroke(through(path, false), style);
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, (x, y): BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        let path = PathBuilder::from_circle(x as f32, y as f32, radius as f32);
        if fill {
            self.fill(path, style.color())
        } else {
            self.stroke(path, style)
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, corners: I, style: &S) -> Drawn {
        self.fill(through(corners, true), style.color());
        Ok(())
    }

    /// Letters one after the other, without kerning; never turned: no chart of ours has turned text.
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let face = if matches!(style.style(), FontStyle::Bold) { &self.bold } else { &self.regular };
        let size = (style.size() / FONT_FACTOR) as f32 / f32::from(face.units_per_em());
        let glyphs: Vec<_> = text.chars().map(|letter| face.glyph_index(letter).unwrap_or_default()).collect();
        let advance = |glyph| f32::from(face.glyph_hor_advance(glyph).unwrap_or(0)) * size;
        let width: f32 = glyphs.iter().map(|glyph| advance(*glyph)).sum();
        let left = match style.anchor().h_pos {
            HPos::Left => x as f32,
            HPos::Center => x as f32 - width / 2.0,
            HPos::Right => x as f32 - width,
        };
        let em = f32::from(face.units_per_em()) * size;
        let base = match style.anchor().v_pos {
            VPos::Top => y as f32 + TOP * em,
            VPos::Center => y as f32 + X_HEIGHT * em / 2.0,
            VPos::Bottom => y as f32 - X_HEIGHT * em / 2.0,
        };
        let mut outline = Outline { builder: PathBuilder::new(), left, base, size };
        for glyph in glyphs {
            // A letter without an outline is a space.
            let _ = face.outline_glyph(glyph, &mut outline);
            outline.left += advance(glyph);
        }
        self.fill(outline.builder.finish(), style.color());
        Ok(())
    }
}

/// A text's letters as one path. Fonts count upwards, pixels downwards.
struct Outline {
    builder: PathBuilder,
    left: f32,
    base: f32,
    size: f32,
}

impl Outline {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.left + x * self.size, self.base - y * self.size)
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.move_to(x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.line_to(x, y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }
    fn close(&mut self) {
        self.builder.close();
    }
}
