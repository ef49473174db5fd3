//! One pair of axes: participants to the right, a quantity upwards; simulated curves as lines, real runs as points with bars
//! from the lowest to the highest run.
//!
//! Every simulated curve is labelled at its right end with its name, so none is ever drawn without its world. Real points
//! beside them may go without: the key of the figure says what a point is.

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};
use pso_sim::measure::World;

use super::axis::{Axis, Floor};
use super::canvas::{Area, line, px, text, trouble};
use super::group::{Name, Point};
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
/// More letters than so do not fit beside a curve; the rest is cut. The world comes first and stays.
const LABEL_LETTERS: usize = 23;

/// A curve or a row of points.
pub struct Curve {
    /// What it is called.
    pub name: Name,
    /// Its colour.
    pub colour: RGBColor,
    /// By participants, ascending.
    pub points: Vec<Point>,
}

/// What stands on one pair of axes.
pub struct Panel {
    /// What is shown.
    pub title: String,
    /// How numbers are written.
    pub unit: Unit,
    /// Where the axis begins.
    pub floor: Floor,
    /// What is drawn.
    pub curves: Vec<Curve>,
}

type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<Axis, Axis>>;

/// A panel with its axes and its place on the whole drawing.
struct Painter<'a, B: DrawingBackend> {
    whole: &'a Area<B>,
    chart: Chart<'a, B>,
}

impl Panel {
    /// Draws it onto `area`, a part of `whole`. `most` is the largest count of participants on the axis.
    pub fn draw<B: DrawingBackend>(&self, whole: &Area<B>, area: &Area<B>, most: u32) -> Result<(), Failure> {
        let spreads = || self.curves.iter().flat_map(|curve| &curve.points).map(|point| point.spread);
        let x = Axis::counts(most);
        let y = Axis::fit(spreads().flat_map(|spread| [spread.low, spread.high]), self.floor);
        let scale = if y.is_logarithmic() { ", logarithmic" } else { "" };
        let title = format!("{}{scale}", self.title);
        let title = Text::new(title, (px(14.0), px(17.0)), text(13.0, palette::INK, true, HPos::Left));
        area.draw(&title).map_err(trouble)?;
        let chart = ChartBuilder::on(area)
            .margin_top(px(TITLE_HEIGHT))
            .margin_right(px(RIGHT))
            .margin_bottom(px(MARGIN_BOTTOM))
            .set_label_area_size(plotters::chart::LabelAreaPosition::Left, px(LEFT))
            .set_label_area_size(plotters::chart::LabelAreaPosition::Bottom, px(BOTTOM))
            .build_cartesian_2d(x, y)
            .map_err(trouble)?;
        let mut painter = Painter { whole, chart };
        painter.frame(self.unit)?;
        for curve in self.curves.iter().filter(|curve| curve.name.world() == World::Simulated) {
            painter.simulated(curve)?;
        }
        for curve in self.curves.iter().filter(|curve| curve.name.world() == World::Real) {
            painter.real(curve)?;
        }
        painter.labels(&self.labelled())
    }

    /// Curves with a label: all simulated ones; a real one unless it is the only one beside simulated ones, or a simulated one
    /// has its colour and detail, and with it the label.
    pub fn labelled(&self) -> Vec<&Curve> {
        let of = |world: World| self.curves.iter().filter(move |curve| curve.name.world() == world);
        let alone = of(World::Real).count() == 1 && of(World::Simulated).count() > 0;
        let twin = |curve: &Curve| {
            of(World::Simulated)
                .any(|each| each.colour == curve.colour && each.name.with_world_of(&curve.name) == curve.name)
        };
        let wanted = |curve: &&Curve| match curve.name.world() {
            World::Simulated => true,
            World::Real => !alone && !twin(curve),
        };
        self.curves.iter().filter(wanted).filter(|curve| !curve.points.is_empty()).collect()
    }
}

impl Curve {
    /// Its label: the name, cut to the room that is there.
    pub fn label(&self) -> String {
        let name = self.name.text();
        if name.chars().count() <= LABEL_LETTERS {
            return name;
        }
        name.chars().take(LABEL_LETTERS - 1).chain(['…']).collect()
    }
}

impl<B: DrawingBackend> Painter<'_, B> {
    fn frame(&mut self, unit: Unit) -> Result<(), Failure> {
        self.chart
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(0)
            .bold_line_style(line(palette::GRID, 1.0))
            .axis_style(line(palette::FRAME, 1.0))
            .set_all_tick_mark_size(px(4.0))
            .label_style(text(11.5, palette::QUIET, false, HPos::Center))
            .axis_desc_style(text(11.5, palette::QUIET, false, HPos::Center))
            .x_label_formatter(&|count| format!("{count:.0}"))
            .y_label_formatter(&|value| unit.write(*value))
            .x_desc("participants")
            .draw()
            .map_err(trouble)
    }

    /// A line through the medians; a band where runs differ.
    fn simulated(&mut self, curve: &Curve) -> Result<(), Failure> {
        let low = curve.points.iter().map(|point| at(point.participants, point.spread.low));
        let high = curve.points.iter().rev().map(|point| at(point.participants, point.spread.high));
        let band: Vec<(f64, f64)> = low.chain(high).collect();
        if curve.points.iter().any(|point| point.spread.runs > 1) {
            self.chart.draw_series([Polygon::new(band, curve.colour.mix(0.18))]).map_err(trouble)?;
        }
        let medians: Vec<_> = curve.points.iter().map(|point| at(point.participants, point.spread.median)).collect();
        self.chart.draw_series([PathElement::new(medians.clone(), line(curve.colour, 2.0))]).map_err(trouble)?;
        let dots = medians.into_iter().map(|place| Circle::new(place, px(2.6), curve.colour.filled()));
        self.chart.draw_series(dots).map_err(trouble)?;
        Ok(())
    }

    /// A point at the median, a bar from the lowest to the highest run.
    fn real(&mut self, curve: &Curve) -> Result<(), Failure> {
        let bar = line(curve.colour, 1.5);
        for point in &curve.points {
            let place = at(point.participants, point.spread.median);
            let ends = [point.spread.low, point.spread.high].map(|value| at(point.participants, value));
            let pixels = ends.map(|end| self.chart.backend_coord(&end));
            self.whole.draw(&PathElement::new(pixels.to_vec(), bar)).map_err(trouble)?;
            for (x, y) in pixels {
                let cap = vec![(x - px(4.0), y), (x + px(4.0), y)];
                self.whole.draw(&PathElement::new(cap, bar)).map_err(trouble)?;
            }
            // A rim in the colour of the ground keeps it apart from the lines below it.
            let rim = Circle::new(place, px(5.4), palette::GROUND.filled());
            self.chart.draw_series([rim]).map_err(trouble)?;
            self.chart.draw_series([Circle::new(place, px(4.2), curve.colour.filled())]).map_err(trouble)?;
        }
        Ok(())
    }

    /// Names at the right end, each with a thin line from the end of its curve.
    fn labels(&self, curves: &[&Curve]) -> Result<(), Failure> {
        let (columns, rows) = self.chart.plotting_area().get_pixel_range();
        let mut ends = Vec::new();
        for curve in curves {
            if let Some(point) = curve.points.last() {
                let end = self.chart.backend_coord(&at(point.participants, point.spread.median));
                ends.push((*curve, end));
            }
        }
        let places: Vec<f64> = ends.iter().map(|(_, end)| f64::from(end.1)).collect();
        let height = f64::from(px(LABEL_HEIGHT));
        let moved = labels::spread(&places, height, f64::from(rows.start), f64::from(rows.end));
        for ((curve, end), moved) in ends.into_iter().zip(moved) {
            let label = (columns.end + px(LABEL_GAP), moved.round() as i32);
            let leader = vec![(end.0 + px(4.0), end.1), (label.0 - px(3.0), label.1)];
            self.whole.draw(&PathElement::new(leader, line(curve.colour, 0.8))).map_err(trouble)?;
            let style = text(LABEL_SIZE, palette::INK, false, HPos::Left);
            self.whole.draw(&Text::new(curve.label(), label, style)).map_err(trouble)?;
        }
        Ok(())
    }
}

fn at(participants: u32, value: f64) -> (f64, f64) {
    (f64::from(participants), value)
}
