//! The chart of `pso bench garbage`: memory in use over time, with nobody stopped and with one who is, on the same axes.

use std::path::Path;

use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};

use super::axes::{Axes, Label, SIZE};
use super::axis::{Axis, Floor};
use super::canvas::{self, Area, Drawing, line, px, text, trouble};
use super::palette;
use super::quantity::Unit;
use crate::bench::garbage::{Churn, Numbers, mebibytes};
use crate::failure::Failure;
use crate::output;

const TITLE: &str = "MiB in use; four processes replace values, one is killed each second";
/// Beside the moment of the stop.
const STOP: &str = "one is stopped";
const STOPPED_COLOUR: RGBColor = palette::HUES[1];
/// Wider than other panels: time has many points.
const WIDTH: u32 = 760;
/// Room above the curves, for the word at the stop.
const HEADROOM: f64 = 1.15;

/// Writes `garbage.svg` and `garbage.png` into `folder`.
pub fn write(numbers: &Numbers, folder: &Path) -> Result<(), Failure> {
    canvas::write(&Sheet { numbers }, folder, "garbage", TITLE, &describe(numbers))?;
    output::line(format_args!("  chart (SVG, PNG): {}", folder.join("garbage.svg").display()))?;
    Ok(())
}

/// In words, for those who cannot see it.
fn describe(numbers: &Numbers) -> String {
    let churn = |churn: &Churn| {
        let [first, second] = churn.halves();
        let stop = if churn.stopped { format!(" (stopped after {} s)", churn.half()) } else { String::new() };
        format!("{}{stop}: at most {first:.1} MiB in the first half, {second:.1} MiB in the second", churn.name())
    };
    let Numbers { churn: nobody, churn_stopped: one, .. } = numbers;
    format!(
        "Memory in use at the end of each of {} seconds. Two curves: {}; {}.",
        nobody.used.len(),
        churn(nobody),
        churn(one)
    )
}

struct Sheet<'a> {
    numbers: &'a Numbers,
}

impl Drawing for Sheet<'_> {
    fn size(&self) -> (u32, u32) {
        (WIDTH, SIZE.1)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Result<(), Failure> {
        let Numbers { churn: nobody, churn_stopped: one, .. } = self.numbers;
        let curves = [(nobody, palette::INK), (one, STOPPED_COLOUR)];
        let values = curves.iter().flat_map(|(churn, _)| points(churn)).map(|(_, used)| used);
        let highest = values.clone().fold(0.0, f64::max);
        let x = Axis::seconds(nobody.used.len().max(one.used.len()));
        let y = Axis::fit(values.chain([highest * HEADROOM]), Floor::At(0.0));
        let mut axes = Axes::new(area, area, TITLE, Unit::Plain, x, y)?;
        if !one.used.is_empty() {
            mark(&axes, one.half())?;
        }
        for (churn, colour) in curves {
            let line = PathElement::new(points(churn).collect::<Vec<_>>(), line(colour, 1.8));
            axes.chart.draw_series([line]).map_err(trouble)?;
            let dots = points(churn).map(|place| Circle::new(place, px(2.2), colour.filled()));
            axes.chart.draw_series(dots).map_err(trouble)?;
        }
        let label = |(churn, colour): (&Churn, RGBColor)| {
            let text = if churn.stopped { "one stopped" } else { "nobody stopped" };
            points(churn).last().map(|end| Label { text: text.into(), colour, end })
        };
        axes.labels(&curves.into_iter().filter_map(label).collect::<Vec<_>>())
    }
}

/// Seconds and MiB: what is in use after a second stands at 1.
fn points(churn: &Churn) -> impl Iterator<Item = (f64, f64)> + Clone {
    churn.used.iter().enumerate().map(|(second, used)| ((second + 1) as f64, mebibytes(*used as f64)))
}

/// A stroke from top to bottom at the moment of the stop, with its word.
fn mark<B: DrawingBackend>(axes: &Axes<'_, B>, second: usize) -> Result<(), Failure> {
    let (_, rows) = axes.chart.plotting_area().get_pixel_range();
    let (column, _) = axes.chart.backend_coord(&(second as f64, 0.0));
    let stroke = PathElement::new(vec![(column, rows.start), (column, rows.end)], line(STOPPED_COLOUR, 1.0));
    axes.whole.draw(&stroke).map_err(trouble)?;
    let style = text(11.5, STOPPED_COLOUR, false, HPos::Left);
    axes.whole.draw(&Text::new(STOP, (column + px(6.0), rows.start + px(10.0)), style)).map_err(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::garbage::tests::numbers;
    use crate::cli::Plot;
    use roxmltree::Document;

    fn drawn(numbers: &Numbers) -> String {
        let folder = tempfile::tempdir().unwrap();
        write(numbers, folder.path()).unwrap();
        let png = std::fs::read(folder.path().join("garbage.png")).unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        std::fs::read_to_string(folder.path().join("garbage.svg")).unwrap()
    }

    #[test]
    fn both_series_the_stop_and_what_is_shown_are_there() {
        let svg = drawn(&numbers(&[12, 14, 13, 15, 14, 16], &[12, 13, 14, 18, 17, 19]));
        let document = Document::parse(&svg).unwrap();
        let texts: Vec<&str> = document.descendants().filter_map(|each| each.text()).map(str::trim).collect();
        for wanted in ["nobody stopped", "one stopped", STOP, "seconds", TITLE] {
            assert!(texts.contains(&wanted), "{wanted} is not in {texts:?}");
        }
        let description = texts.iter().find(|each| each.starts_with("Memory in use")).unwrap();
        for wanted in ["each of 6 seconds", "14.0 MiB in the first half, 16.0", "stopped after 3 s", "19.0 MiB"] {
            assert!(description.contains(wanted), "{wanted} is not in {description}");
        }
        // A dot a second and churn.
        assert_eq!(svg.matches("<circle").count(), 12);
    }

    #[test]
    fn a_file_is_drawn_again() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = numbers(&[12, 14], &[12, 13]);
        let (file, out) = (folder.path().join("of-a-run.json"), folder.path().join("charts"));
        crate::machine::write_results(&file, &numbers).unwrap();
        super::super::run(&Plot { files: vec![file], out: out.clone(), title: None }).unwrap();
        assert_eq!(std::fs::read_to_string(out.join("garbage.svg")).unwrap(), drawn(&numbers));
    }

    #[test]
    fn nothing_one_second_and_a_full_space_are_drawn_without_a_panic() {
        for numbers in [numbers(&[], &[]), numbers(&[1], &[]), numbers(&[0, 0], &[0]), numbers(&[9; 60], &[254; 60])] {
            let svg = drawn(&numbers);
            assert!(Document::parse(&svg).is_ok() && !svg.contains("NaN"), "{svg}");
        }
    }
}
