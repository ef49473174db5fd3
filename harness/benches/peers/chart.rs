//! A chart for each workload: four panels, a line for each contestant through the medians, a bar from the lowest to the highest
//! run. All of it is real: no simulated number comes here.

use std::path::Path;

use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};
use pso_harness::failure::Failure;
use pso_harness::plot::axes::{Axes, Label, SIZE};
use pso_harness::plot::axis::{Axis, Floor};
use pso_harness::plot::canvas::{self, Area, Drawing, line, px, text, trouble};
use pso_harness::plot::palette;
use pso_harness::plot::quantity::Unit;
use pso_harness::plot::spread::Spread;

use crate::CONTESTANTS;
use crate::figures::{Figures, Section};
use crate::workload::{Kind, Workload};

/// Room for the title.
const HEADER: u32 = 40;
const COLUMNS: u32 = 2;
const ROWS: u32 = 2;
/// One more than the palette has hues: both of the engine's are ink and blue.
const COLOURS: [RGBColor; 8] = [
    palette::INK,
    palette::HUES[0],
    palette::HUES[1],
    palette::HUES[2],
    palette::HUES[3],
    palette::HUES[4],
    palette::HUES[5],
    palette::FRAME,
];

/// Of a run; none of one that does not have it.
type Figure = fn(&Figures) -> Option<f64>;

/// One pair of axes: which number of whom.
struct Panel {
    title: &'static str,
    unit: Unit,
    floor: Floor,
    kind: Kind,
    figure: Figure,
}

/// The drawing of one workload.
struct Sheet<'a> {
    section: &'a Section,
    panels: Vec<Panel>,
}

/// One contestant on one panel: by participants, ascending.
struct Curve<'a> {
    name: &'a str,
    colour: RGBColor,
    points: Vec<(u32, Spread)>,
}

/// Writes the charts of all workloads with several numbers of participants into `folder`.
pub fn write(sections: &[Section], folder: &Path) -> Result<(), Failure> {
    for section in sections.iter().filter(|section| section.workload != Workload::Small) {
        let sheet = Sheet { section, panels: panels(section.workload) };
        canvas::write(&sheet, folder, section.workload.name(), &sheet.title(), &sheet.description())?;
    }
    Ok(())
}

fn panels(workload: Workload) -> Vec<Panel> {
    let panel = |title, unit, floor, kind, figure| Panel { title, unit, floor, kind, figure };
    let rate: Figure = |figures| Some(figures.per_second);
    let p99: Figure = |figures| figures.p99_ns.map(|ns| ns as f64);
    let (zero, log) = (Floor::At(0.0), Floor::Logarithmic);
    if workload == Workload::LongReader {
        return vec![
            panel("Sums of 1,000 a second, all readers", Unit::PerSecond, zero, Kind::Reader, rate),
            panel("99 of 100 sums take at most", Unit::Time, log, Kind::Reader, p99),
            panel("Transfers a second of the writer", Unit::PerSecond, zero, Kind::Writer, rate),
            panel("Longest sum at most", Unit::Time, log, Kind::Reader, |figures| Some(figures.longest_ns as f64)),
        ];
    }
    let attempts: Figure = |figures| Some(figures.attempts_per_commit);
    let fair: Figure = |figures| Some(figures.slowest_over_fastest);
    vec![
        panel("Operations a second", Unit::PerSecond, zero, Kind::Alike, rate),
        panel("99 of 100 operations take at most", Unit::Time, log, Kind::Alike, p99),
        panel("Attempts per commit", Unit::Plain, Floor::At(1.0), Kind::Alike, attempts),
        panel("Slowest over fastest participant", Unit::Plain, Floor::Fixed(0.0, 1.0), Kind::Alike, fair),
    ]
}

impl Panel {
    fn curves<'a>(&self, section: &'a Section) -> Vec<Curve<'a>> {
        let mut curves: Vec<Curve<'a>> = Vec::new();
        for row in section.rows.iter().filter(|row| row.kind == self.kind) {
            let Some(spread) = Spread::of(row.runs.iter().filter_map(self.figure)) else { continue };
            let place = CONTESTANTS.iter().position(|(name, _)| *name == row.contestant).unwrap_or(0);
            let colour = COLOURS[place % COLOURS.len()];
            match curves.iter_mut().find(|curve| curve.name == row.contestant) {
                Some(curve) => curve.points.push((row.participants, spread)),
                None => curves.push(Curve { name: &row.contestant, colour, points: vec![(row.participants, spread)] }),
            }
        }
        curves.iter_mut().for_each(|curve| curve.points.sort_by_key(|(participants, _)| *participants));
        curves
    }

    fn draw<B: DrawingBackend>(&self, whole: &Area<B>, area: &Area<B>, section: &Section) -> Result<(), Failure> {
        let curves = self.curves(section);
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let most = points().map(|(participants, _)| *participants).max().unwrap_or(1);
        let y = Axis::fit(points().flat_map(|(_, spread)| [spread.low, spread.high]), self.floor);
        let mut axes = Axes::new(whole, area, self.title, self.unit, Axis::counts(most), y)?;
        // The engine last: it lies above.
        for curve in curves.iter().rev() {
            curve.draw(&mut axes)?;
        }
        axes.labels(&curves.iter().filter_map(Curve::label).collect::<Vec<_>>())
    }
}

impl Curve<'_> {
    fn draw<B: DrawingBackend>(&self, axes: &mut Axes<'_, B>) -> Result<(), Failure> {
        let place = |(participants, spread): &(u32, Spread)| (f64::from(*participants), spread.median);
        let medians: Vec<(f64, f64)> = self.points.iter().map(place).collect();
        for (participants, spread) in &self.points {
            let end = |value| axes.chart.backend_coord(&(f64::from(*participants), value));
            let bar = vec![end(spread.low), end(spread.high)];
            axes.whole.draw(&PathElement::new(bar, line(self.colour, 1.2))).map_err(trouble)?;
        }
        axes.chart.draw_series([PathElement::new(medians.clone(), line(self.colour, 1.8))]).map_err(trouble)?;
        let dots = medians.into_iter().map(|place| Circle::new(place, px(3.0), self.colour.filled()));
        axes.chart.draw_series(dots).map_err(trouble)?;
        Ok(())
    }

    fn label(&self) -> Option<Label> {
        let (participants, spread) = self.points.last()?;
        Some(Label { text: self.name.into(), colour: self.colour, end: (f64::from(*participants), spread.median) })
    }
}

impl Sheet<'_> {
    fn title(&self) -> String {
        let Section { workload, seconds, rounds, .. } = self.section;
        format!("{}: real runs of {seconds} s, medians of {rounds}, lowest to highest", workload.name())
    }

    /// In words, for those who cannot see it.
    fn description(&self) -> String {
        let mut sentences = Vec::new();
        for panel in &self.panels {
            for curve in panel.curves(self.section) {
                let values: Vec<String> = curve
                    .points
                    .iter()
                    .map(|(participants, spread)| format!("{participants}: {}", panel.unit.write(spread.median)))
                    .collect();
                sentences.push(format!("{}, {}, by participants {}.", panel.title, curve.name, values.join(", ")));
            }
        }
        sentences.join(" ")
    }
}

impl Drawing for Sheet<'_> {
    fn size(&self) -> (u32, u32) {
        (SIZE.0 * COLUMNS, SIZE.1 * ROWS + HEADER)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Result<(), Failure> {
        let (header, body) = area.split_vertically(px(f64::from(HEADER)));
        let style = text(15.0, palette::INK, true, HPos::Left);
        let title = Text::new(self.title(), (px(14.0), px(f64::from(HEADER) / 2.0)), style);
        header.draw(&title).map_err(trouble)?;
        let places = body.split_evenly((ROWS as usize, COLUMNS as usize));
        for (panel, place) in self.panels.iter().zip(places) {
            panel.draw(area, &place, self.section)?;
        }
        Ok(())
    }
}
