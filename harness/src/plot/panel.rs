//! One pair of axes: participants to the right, a quantity upwards; simulated curves as lines, real runs as points with bars
//! from the lowest to the highest run.
//!
//! Every simulated curve is labelled at its right end with its name, so none is ever drawn without its world. Real points
//! beside them may go without: the key of the figure says what a point is.

use plotters::element::{Circle, PathElement, Polygon};
use plotters::prelude::DrawingBackend;
use plotters::style::{Color, RGBColor};
use pso_sim::measure::World;

use super::axes::{Axes, Label};
use super::axis::{Axis, Floor};
use super::canvas::{Area, line, px, trouble};
use super::group::{Name, Point};
use super::palette;
use super::quantity::Unit;
use crate::failure::Failure;

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

/// Curves are drawn onto them.
struct Painter<'a, B: DrawingBackend>(Axes<'a, B>);

impl Panel {
    /// Draws it onto `area`, a part of `whole`. `most` is the largest count of participants on the axis.
    pub fn draw<B: DrawingBackend>(&self, whole: &Area<B>, area: &Area<B>, most: u32) -> Result<(), Failure> {
        let spreads = || self.curves.iter().flat_map(|curve| &curve.points).map(|point| point.spread);
        let x = Axis::counts(most);
        let y = Axis::fit(spreads().flat_map(|spread| [spread.low, spread.high]), self.floor);
        let mut painter = Painter(Axes::new(whole, area, &self.title, self.unit, x, y)?);
        for curve in self.curves.iter().filter(|curve| curve.name.world() == World::Simulated) {
            painter.simulated(curve)?;
        }
        for curve in self.curves.iter().filter(|curve| curve.name.world() == World::Real) {
            painter.real(curve)?;
        }
        painter.0.labels(&self.labelled().into_iter().filter_map(Curve::at_end).collect::<Vec<_>>())
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

    fn at_end(&self) -> Option<Label> {
        let point = self.points.last()?;
        let end = at(point.participants, point.spread.median);
        Some(Label { text: self.label(), colour: self.colour, end })
    }
}

impl<B: DrawingBackend> Painter<'_, B> {
    /// A line through the medians; a band where runs differ.
    fn simulated(&mut self, curve: &Curve) -> Result<(), Failure> {
        let low = curve.points.iter().map(|point| at(point.participants, point.spread.low));
        let high = curve.points.iter().rev().map(|point| at(point.participants, point.spread.high));
        let band: Vec<(f64, f64)> = low.chain(high).collect();
        if curve.points.iter().any(|point| point.spread.runs > 1) {
            self.0.chart.draw_series([Polygon::new(band, curve.colour.mix(0.18))]).map_err(trouble)?;
        }
        let medians: Vec<_> = curve.points.iter().map(|point| at(point.participants, point.spread.median)).collect();
        self.0.chart.draw_series([PathElement::new(medians.clone(), line(curve.colour, 2.0))]).map_err(trouble)?;
        let dots = medians.into_iter().map(|place| Circle::new(place, px(2.6), curve.colour.filled()));
        self.0.chart.draw_series(dots).map_err(trouble)?;
        Ok(())
    }

    /// A point at the median, a bar from the lowest to the highest run.
    fn real(&mut self, curve: &Curve) -> Result<(), Failure> {
        let bar = line(curve.colour, 1.5);
        for point in &curve.points {
            let place = at(point.participants, point.spread.median);
            let ends = [point.spread.low, point.spread.high].map(|value| at(point.participants, value));
            let pixels = ends.map(|end| self.0.chart.backend_coord(&end));
            self.0.whole.draw(&PathElement::new(pixels.to_vec(), bar)).map_err(trouble)?;
            for (x, y) in pixels {
                let cap = vec![(x - px(4.0), y), (x + px(4.0), y)];
                self.0.whole.draw(&PathElement::new(cap, bar)).map_err(trouble)?;
            }
            // A rim in the colour of the ground keeps it apart from the lines below it.
            let rim = Circle::new(place, px(5.4), palette::GROUND.filled());
            self.0.chart.draw_series([rim]).map_err(trouble)?;
            self.0.chart.draw_series([Circle::new(place, px(4.2), curve.colour.filled())]).map_err(trouble)?;
        }
        Ok(())
    }
}

fn at(participants: u32, value: f64) -> (f64, f64) {
    (f64::from(participants), value)
}
