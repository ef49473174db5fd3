//! The chart of `pso validate`: real beside simulated, for each workload and number of processes. Each run is a dot, a box
//! goes from quartile to quartile, a stroke is the median; behind them lies the band within which the simulated median should
//! be, and above them stands by how much it is off.

use std::path::Path;

use plotters::chart::{ChartBuilder, ChartContext, LabelAreaPosition};
use plotters::coord::cartesian::Cartesian2d;
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};

use super::axes;
use super::axis::{Axis, Floor};
use super::canvas::{self, Area, Drawing, line, px, text, trouble};
use super::caption::{percent, signed_percent};
use super::palette;
use super::quantity::Unit;
use crate::failure::Failure;
use crate::machine::median;
use crate::output;
use crate::validate::case::{Case, Numbers, TOLERANCE, quantile};

const WIDTH: u32 = 1000;
const HEIGHT: u32 = 440;
const HEADER: f64 = 68.0;
/// Middles of the title and of the key below it.
const TITLE_ROW: f64 = 22.0;
const KEY_ROW: f64 = 50.0;
const TITLE: &str = "Commits a second: real processes and the simulated machine";
/// Below the axis: processes, and attempts a commit.
const BOTTOM: f64 = 66.0;
/// Parts of the width of a case: how far each world stands from its middle, and half the width of a box.
const APART: f64 = 0.17;
const HALF_BOX: f64 = 0.085;
/// Half the width of the band.
const HALF_BAND: f64 = 0.42;
/// Room above the highest run, for the error.
const HEADROOM: f64 = 1.14;

/// Writes `validate.svg` and `validate.png` into `folder`.
pub fn write(numbers: &Numbers, folder: &Path) -> Result<(), Failure> {
    let sheet = Sheet { workloads: workloads(numbers) };
    canvas::write(&sheet, folder, "validate", TITLE, &describe(numbers))?;
    output::line(format_args!("  chart (SVG, PNG): {}", folder.join("validate.svg").display()))?;
    Ok(())
}

/// Cases by workload, in their order.
fn workloads(numbers: &Numbers) -> Vec<(&str, Vec<&Case>)> {
    let mut found: Vec<(&str, Vec<&Case>)> = Vec::new();
    for case in &numbers.cases {
        match found.iter_mut().find(|(name, _)| *name == case.workload) {
            Some((_, cases)) => cases.push(case),
            None => found.push((&case.workload, vec![case])),
        }
    }
    found
}

/// In words, for those who cannot see it.
fn describe(numbers: &Numbers) -> String {
    let case = |case: &Case| {
        let (real, simulated) = (median(&case.real), median(&case.simulated));
        let (real, simulated) = (Unit::PerSecond.write(real), Unit::PerSecond.write(simulated));
        let Case { workload, processes, error, .. } = case;
        format!(
            "{workload}, {}: real {real}, simulated {simulated}, {}",
            processes_in_words(*processes),
            signed_percent(*error)
        )
    };
    let cases: Vec<String> = numbers.cases.iter().map(case).collect();
    format!("Medians of {} runs of each. {}.", numbers.rounds, cases.join("; "))
}

fn processes_in_words(processes: u32) -> String {
    if processes == 1 { "1 process".into() } else { format!("{processes} processes") }
}

/// A panel for each workload.
struct Sheet<'a> {
    workloads: Vec<(&'a str, Vec<&'a Case>)>,
}

impl Drawing for Sheet<'_> {
    fn size(&self) -> (u32, u32) {
        (WIDTH, HEIGHT)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Result<(), Failure> {
        let (header, body) = area.split_vertically(px(HEADER));
        let style = text(15.0, palette::INK, true, HPos::Left);
        header.draw(&Text::new(TITLE, (px(14.0), px(TITLE_ROW)), style)).map_err(trouble)?;
        key(&header)?;
        let places = body.split_evenly((1, self.workloads.len().max(1)));
        for ((name, cases), place) in self.workloads.iter().zip(places) {
            Panel::new(area, &place, name, cases)?.draw(cases)?;
        }
        Ok(())
    }
}

/// What the colours mean.
fn key<B: DrawingBackend>(header: &Area<B>) -> Result<(), Failure> {
    let row = px(KEY_ROW);
    let samples = [
        ("real", palette::INK, 0.3, 14.0),
        ("simulated", palette::HUES[0], 0.3, 84.0),
        ("dot: a run, box: quartiles, stroke: median", palette::GROUND, 0.0, 190.0),
    ];
    for (name, colour, strength, left) in samples {
        let ends = [(px(left), row - px(6.0)), (px(left + 14.0), row + px(6.0))];
        header.draw(&Rectangle::new(ends, colour.mix(strength).filled())).map_err(trouble)?;
        let style = text(12.0, palette::INK, false, HPos::Left);
        let gap = if strength > 0.0 { 20.0 } else { 0.0 };
        header.draw(&Text::new(name, (px(left + gap), row), style)).map_err(trouble)?;
    }
    let band = [(px(470.0), row - px(7.0)), (px(484.0), row + px(7.0))];
    header.draw(&Rectangle::new(band, palette::GRID.filled())).map_err(trouble)?;
    let within = format!("{} of the real median; above it: error of the simulated median", percent(TOLERANCE));
    let style = text(12.0, palette::INK, false, HPos::Left);
    header.draw(&Text::new(format!("within {within}"), (px(490.0), row), style)).map_err(trouble)
}

type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<Axis, Axis>>;

/// One workload: the axes, and the whole drawing for what the axes would clip.
struct Panel<'a, B: DrawingBackend> {
    whole: &'a Area<B>,
    chart: Chart<'a, B>,
}

impl<'a, B: DrawingBackend> Panel<'a, B> {
    fn new(whole: &'a Area<B>, area: &Area<B>, name: &str, cases: &[&Case]) -> Result<Self, Failure> {
        let title = Text::new(name.to_owned(), (px(14.0), px(12.0)), text(13.0, palette::INK, true, HPos::Left));
        area.draw(&title).map_err(trouble)?;
        let runs = cases.iter().flat_map(|case| case.real.iter().chain(&case.simulated));
        let bands = cases.iter().map(|case| median(&case.real) * (1.0 + TOLERANCE));
        let highest = runs.copied().chain(bands).filter(|run| run.is_finite()).fold(0.0, f64::max);
        let chart = ChartBuilder::on(area)
            .margin_top(px(24.0))
            .margin_right(px(14.0))
            .set_label_area_size(LabelAreaPosition::Left, px(66.0))
            .set_label_area_size(LabelAreaPosition::Bottom, px(BOTTOM))
            .build_cartesian_2d(Axis::places(cases.len()), Axis::fit([highest * HEADROOM], Floor::At(0.0)))
            .map_err(trouble)?;
        Ok(Self { whole, chart })
    }

    fn draw(&mut self, cases: &[&Case]) -> Result<(), Failure> {
        axes::quiet(&mut self.chart.configure_mesh())
            .x_label_formatter(&|_| String::new())
            .y_label_formatter(&|value| Unit::PerSecond.write(*value))
            .draw()
            .map_err(trouble)?;
        for (place, case) in cases.iter().enumerate() {
            self.case(place as f64 + 0.5, case)?;
        }
        Ok(())
    }

    fn case(&mut self, middle: f64, case: &Case) -> Result<(), Failure> {
        let real = median(&case.real);
        let ends = [(middle - HALF_BAND, real * (1.0 - TOLERANCE)), (middle + HALF_BAND, real * (1.0 + TOLERANCE))];
        self.chart.draw_series([Rectangle::new(ends, palette::GRID.filled())]).map_err(trouble)?;
        self.runs(middle - APART, &case.real, palette::INK)?;
        self.runs(middle + APART, &case.simulated, palette::HUES[0])?;
        let runs = case.real.iter().chain(&case.simulated).copied();
        let highest = runs.filter(|run| run.is_finite()).fold(real * (1.0 + TOLERANCE), f64::max);
        let above = self.chart.backend_coord(&(middle, highest));
        let error = Text::new(
            signed_percent(case.error),
            (above.0, above.1 - px(12.0)),
            text(13.0, palette::INK, true, HPos::Center),
        );
        self.whole.draw(&error).map_err(trouble)?;
        let attempts = [&case.real_attempts_per_commit, &case.simulated_attempts_per_commit];
        let [real, simulated] = attempts.map(|runs| format!("{:.2}", median(runs)));
        let below = self.chart.backend_coord(&(middle, 0.0));
        for (row, words, size, colour) in [
            (17.0, processes_in_words(case.processes), 12.0, palette::INK),
            (34.0, "attempts a commit:".into(), 11.0, palette::QUIET),
            (50.0, format!("real {real}, simulated {simulated}"), 11.0, palette::QUIET),
        ] {
            let style = text(size, colour, false, HPos::Center);
            self.whole.draw(&Text::new(words, (below.0, below.1 + px(row)), style)).map_err(trouble)?;
        }
        Ok(())
    }

    /// Box, median, and a dot for each run, side by side in the order of the rounds.
    fn runs(&mut self, middle: f64, runs: &[f64], colour: RGBColor) -> Result<(), Failure> {
        let corner = |part: f64, side: f64| (middle + side * HALF_BOX, quantile(runs, part));
        let quartiles = [corner(0.25, -1.0), corner(0.75, 1.0)];
        self.chart.draw_series([Rectangle::new(quartiles, colour.mix(0.3).filled())]).map_err(trouble)?;
        let step = 2.0 * HALF_BOX / (runs.len().max(2) - 1) as f64;
        let dot = |(number, run): (usize, &f64)| {
            let place = (middle - HALF_BOX + number as f64 * step, *run);
            Circle::new(place, px(1.8), colour.mix(0.75).filled())
        };
        self.chart.draw_series(runs.iter().enumerate().map(dot)).map_err(trouble)?;
        let at = median(runs);
        let stroke = vec![(middle - 1.25 * HALF_BOX, at), (middle + 1.25 * HALF_BOX, at)];
        self.chart.draw_series([PathElement::new(stroke, line(colour, 3.0))]).map_err(trouble)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roxmltree::Document;

    fn case(workload: &str, processes: u32, real: f64, simulated: f64) -> Case {
        let mut case = Case::new(workload, processes);
        let noise = |run: u32| 1.0 + f64::from(run * 7 % 15) / 100.0;
        case.real = (0..15).map(|run| real * noise(run)).collect();
        case.simulated = (0..15).map(|run| simulated * noise(run + 3)).collect();
        case.real_attempts_per_commit = vec![1.25; 15];
        case.simulated_attempts_per_commit = vec![1.0; 15];
        case.settle();
        case
    }

    fn numbers(cases: Vec<Case>) -> Numbers {
        Numbers { rounds: 15, transactions: 1000, seed: 1, cases }
    }

    #[test]
    fn every_case_has_both_worlds_its_error_and_its_attempts() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = numbers(vec![
            case("bank-1000", 1, 4.7e6, 4.8e6),
            case("bank-1000", 2, 7.1e6, 8.0e6),
            case("counter", 1, 5.1e6, 5.0e6),
            case("counter", 2, 3.1e6, 5.9e6),
        ]);
        write(&numbers, folder.path()).unwrap();
        let svg = std::fs::read_to_string(folder.path().join("validate.svg")).unwrap();
        let document = Document::parse(&svg).unwrap();
        let texts: Vec<&str> = document
            .descendants()
            .filter(|each| each.is_text())
            .filter_map(|each| each.text())
            .map(str::trim)
            .collect();
        for wanted in
            ["bank-1000", "counter", "+2 %", "+13 %", "−2 %", "+90 %", "1 process", "2 processes", "simulated"]
        {
            assert!(texts.contains(&wanted), "{wanted} is not in {texts:?}");
        }
        assert_eq!(texts.iter().filter(|each| **each == "real 1.25, simulated 1.00").count(), 4);
        // A dot a run and world.
        assert_eq!(svg.matches("<circle").count(), 4 * 2 * 15);
        let png = std::fs::read(folder.path().join("validate.png")).unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    }

    #[test]
    fn nothing_and_single_runs_are_drawn_without_a_panic() {
        let mut single = case("counter", 1, 1.0, 1.0);
        (single.real, single.simulated) = (vec![3.0], vec![f64::NAN]);
        for numbers in [numbers(vec![]), numbers(vec![Case::new("counter", 1)]), numbers(vec![single])] {
            let folder = tempfile::tempdir().unwrap();
            write(&numbers, folder.path()).unwrap();
            assert!(Document::parse(&std::fs::read_to_string(folder.path().join("validate.svg")).unwrap()).is_ok());
        }
    }
}
