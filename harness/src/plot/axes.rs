//! A pair of axes on a part of a drawing: participants or seconds to the right, a quantity upwards, and names at the ends of curves.

use plotters::chart::{ChartBuilder, ChartContext, LabelAreaPosition, MeshStyle};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::element::{PathElement, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;
use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::canvas::{Area, line, px, text, trouble};
use super::labels;
use super::palette;
use super::quantity::Unit;
use crate::failure::Failure;

/// Size of a panel in pixels.
pub const SIZE: (u32, u32) = (500, 300);
const TITLE_HEIGHT: f64 = 34.0;
const LEFT: f64 = 66.0;
/// Below the name of the horizontal axis.
const MARGIN_BOTTOM: f64 = 10.0;
const BOTTOM: f64 = 38.0;
/// Room for the labels at the ends of the curves.
const RIGHT: f64 = 156.0;
const LABEL_HEIGHT: f64 = 14.0;
const LABEL_SIZE: f64 = 11.5;
/// From the frame to the labels.
const LABEL_GAP: f64 = 16.0;

/// The axes, and the whole drawing for what they would clip.
pub struct Axes<'a, B: DrawingBackend> {
    /// The drawing.
    pub whole: &'a Area<B>,
    /// The axes.
    pub chart: ChartContext<'a, B, Cartesian2d<Axis, Axis>>,
}

/// What stands at the end of a curve.
pub struct Label {
    /// Its name.
    pub text: String,
    /// The colour of the curve.
    pub colour: RGBColor,
    /// Where the curve ends.
    pub end: (f64, f64),
}

impl<'a, B: DrawingBackend> Axes<'a, B> {
    /// Axes with their title on `area`, a part of `whole`.
    pub fn new(whole: &'a Area<B>, area: &Area<B>, title: &str, unit: Unit, x: Axis, y: Axis) -> Result<Self, Failure> {
        let scale = if y.is_logarithmic() { ", logarithmic" } else { "" };
        let title = format!("{title}{scale}");
        let title = Text::new(title, (px(14.0), px(17.0)), text(13.0, palette::INK, true, HPos::Left));
        area.draw(&title).map_err(trouble)?;
        let name = x.name();
        let chart = ChartBuilder::on(area)
            .margin_top(px(TITLE_HEIGHT))
            .margin_right(px(RIGHT))
            .margin_bottom(px(MARGIN_BOTTOM))
            .set_label_area_size(LabelAreaPosition::Left, px(LEFT))
            .set_label_area_size(LabelAreaPosition::Bottom, px(BOTTOM))
            .build_cartesian_2d(x, y)
            .map_err(trouble)?;
        let mut axes = Self { whole, chart };
        axes.frame(name, unit)?;
        Ok(axes)
    }

    fn frame(&mut self, name: &str, unit: Unit) -> Result<(), Failure> {
        quiet(&mut self.chart.configure_mesh())
            .axis_desc_style(text(11.5, palette::QUIET, false, HPos::Center))
            .x_label_formatter(&|value| Unit::Plain.write(*value))
            .y_label_formatter(&|value| unit.write(*value))
            .x_desc(name)
            .draw()
            .map_err(trouble)
    }

    /// Names at the right end, each with a thin line from the end of its curve.
    pub fn labels(&self, labels: &[Label]) -> Result<(), Failure> {
        let (columns, rows) = self.chart.plotting_area().get_pixel_range();
        let ends: Vec<(i32, i32)> = labels.iter().map(|label| self.chart.backend_coord(&label.end)).collect();
        let places: Vec<f64> = ends.iter().map(|end| f64::from(end.1)).collect();
        let height = f64::from(px(LABEL_HEIGHT));
        let moved = labels::spread(&places, height, f64::from(rows.start), f64::from(rows.end));
        for ((label, end), moved) in labels.iter().zip(ends).zip(moved) {
            let place = (columns.end + px(LABEL_GAP), moved.round() as i32);
            let leader = vec![(end.0 + px(4.0), end.1), (place.0 - px(3.0), place.1)];
            self.whole.draw(&PathElement::new(leader, line(label.colour, 0.8))).map_err(trouble)?;
            let style = text(LABEL_SIZE, palette::INK, false, HPos::Left);
            self.whole.draw(&Text::new(label.text.clone(), place, style)).map_err(trouble)?;
        }
        Ok(())
    }
}

/// A mesh in the background: grey lines at values only.
pub fn quiet<'m, 'a, 'b, X, Y, B>(mesh: &'m mut MeshStyle<'a, 'b, X, Y, B>) -> &'m mut MeshStyle<'a, 'b, X, Y, B>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    B: DrawingBackend,
{
    mesh.disable_x_mesh()
        .max_light_lines(0)
        .bold_line_style(line(palette::GRID, 1.0))
        .axis_style(line(palette::FRAME, 1.0))
        .set_all_tick_mark_size(px(4.0))
        .label_style(text(11.5, palette::QUIET, false, HPos::Center))
}
