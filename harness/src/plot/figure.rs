//! Figures: several panels on one drawing. One figure for the throughput of all traces, one for all that is known of
//! each trace.

use plotters::element::{Circle, PathElement, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::Color;
use plotters::style::text_anchor::HPos;
use pso_sim::measure::{Measurement, World};

use super::axes::SIZE;
use super::axis::Floor;
use super::canvas::{self, Area, Drawing, line, px, text, trouble};
use super::caption::{self, Caption};
use super::group::{Group, groups, pair};
use super::input::Input;
use super::palette;
use super::panel::{Curve, Panel};
use super::quantity::Quantity;
use crate::failure::Failure;

/// Room for the title and the key.
const HEADER: u32 = 40;
const COLUMNS: usize = 2;

/// A drawing with its sentences.
pub struct Figure {
    /// Name of its files, without ending.
    pub file: String,
    /// What it is about.
    pub title: String,
    /// The sentences below it.
    pub caption: Caption,
    /// The drawing.
    pub svg: String,
    /// The same in pixels.
    pub png: Vec<u8>,
}

/// All figures of `input`: the overview first, if there are two traces or more.
pub fn figures(input: &Input) -> Result<Vec<Figure>, Failure> {
    let traces = input.traces();
    let by_trace: Vec<Vec<&Measurement>> = traces.iter().map(|trace| input.of_trace(trace)).collect();
    let mut figures = Vec::new();
    if traces.len() > 1 {
        let panels =
            traces.iter().zip(&by_trace).map(|(trace, runs)| throughput(trace, &groups(runs))).collect::<Vec<_>>();
        let caption = caption::of_overview(&by_trace);
        figures.push(draw("overview".into(), "Throughput of all traces".into(), &panels, caption)?);
    }
    for (trace, runs) in traces.iter().zip(&by_trace) {
        let file = unique(&figures, &slug(trace));
        figures.push(draw(file, format!("Trace {trace}"), &panels(&groups(runs)), caption::of_trace(runs))?);
    }
    Ok(figures)
}

fn panels(groups: &[Group<'_>]) -> Vec<Panel> {
    let latencies = [Quantity::LatencyP50, Quantity::LatencyP99, Quantity::LatencyMax];
    vec![
        throughput("Throughput, commits/s", groups),
        by_group("Attempts per commit", Quantity::AttemptsPerCommit, Floor::At(1.0), groups),
        by_quantity("Latency of a transaction", &latencies, Floor::Logarithmic, groups),
        by_quantity(
            "Fairness: Jain, slowest/fastest",
            &[Quantity::Jain, Quantity::SlowestOverFastest],
            Floor::Fixed(0.0, 1.0),
            groups,
        ),
    ]
}

fn throughput(title: &str, groups: &[Group<'_>]) -> Panel {
    by_group(title, Quantity::Throughput, Floor::At(0.0), groups)
}

/// One quantity, a curve for each group: simulated ones in hues, real ones in ink.
fn by_group(title: &str, quantity: Quantity, floor: Floor, groups: &[Group<'_>]) -> Panel {
    let mut hues = 0;
    let mut curves = Vec::new();
    for group in groups {
        let colour = match group.name.world() {
            World::Real if curves.is_empty() => palette::INK,
            World::Real | World::Simulated => {
                hues += 1;
                palette::hue(hues - 1)
            }
        };
        curves.push(Curve { name: group.name.clone(), colour, points: group.points(quantity) });
    }
    Panel { title: title.into(), unit: quantity.unit(), floor, curves }
}

/// Several quantities, a hue each, of the real group and of the simulated one that is most like it.
fn by_quantity(title: &str, quantities: &[Quantity], floor: Floor, groups: &[Group<'_>]) -> Panel {
    let (real, simulated) = pair(groups);
    let mut curves = Vec::new();
    for group in [simulated, real].into_iter().flatten() {
        for (number, quantity) in quantities.iter().enumerate() {
            let name = group.name.with(quantity.short());
            curves.push(Curve { name, colour: palette::hue(number), points: group.points(*quantity) });
        }
    }
    let unit = quantities.first().map_or(super::quantity::Unit::Plain, |quantity| quantity.unit());
    Panel { title: title.into(), unit, floor, curves }
}

/// Panels under a title.
struct Sheet<'a> {
    title: &'a str,
    panels: &'a [Panel],
}

fn draw(file: String, title: String, panels: &[Panel], caption: Caption) -> Result<Figure, Failure> {
    let sheet = Sheet { title: &title, panels };
    let svg = canvas::svg(&sheet, &title, &caption.shows)?;
    let png = canvas::png(&sheet)?;
    Ok(Figure { file, title, caption, svg, png })
}

impl Sheet<'_> {
    fn columns(&self) -> usize {
        self.panels.len().clamp(1, COLUMNS)
    }

    fn rows(&self) -> usize {
        self.panels.len().div_ceil(self.columns()).max(1)
    }

    /// What a line and a point mean, to the right of the title. Only what is there.
    fn key<B: DrawingBackend>(&self, header: &Area<B>) -> Result<(), Failure> {
        let is_there = |world: World| {
            let mut curves = self.panels.iter().flat_map(|panel| &panel.curves);
            curves.any(|curve| curve.name.world() == world && !curve.points.is_empty())
        };
        let style = || text(12.0, palette::INK, false, HPos::Left);
        let mut left = f64::from(self.size().0) - 20.0;
        let row = px(f64::from(HEADER) / 2.0);
        if is_there(World::Real) {
            left -= 252.0;
            header.draw(&Circle::new((px(left), row), px(4.2), palette::INK.filled())).map_err(trouble)?;
            let what = Text::new("real: median, lowest to highest run", (px(left + 12.0), row), style());
            header.draw(&what).map_err(trouble)?;
        }
        if is_there(World::Simulated) {
            left -= 120.0;
            let sample = vec![(px(left - 14.0), row), (px(left + 10.0), row)];
            header.draw(&PathElement::new(sample, line(palette::HUES[0], 2.0))).map_err(trouble)?;
            header.draw(&Text::new("simulated", (px(left + 18.0), row), style())).map_err(trouble)?;
        }
        Ok(())
    }
}

impl Drawing for Sheet<'_> {
    fn size(&self) -> (u32, u32) {
        (SIZE.0 * self.columns() as u32, SIZE.1 * self.rows() as u32 + HEADER)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Result<(), Failure> {
        let points = self.panels.iter().flat_map(|panel| &panel.curves).flat_map(|curve| &curve.points);
        let most = points.map(|point| point.participants).max().unwrap_or(1);
        let (header, body) = area.split_vertically(px(f64::from(HEADER)));
        let style = text(15.0, palette::INK, true, HPos::Left);
        let title = Text::new(self.title, (px(14.0), px(f64::from(HEADER) / 2.0)), style);
        header.draw(&title).map_err(trouble)?;
        self.key(&header)?;
        for (panel, place) in self.panels.iter().zip(body.split_evenly((self.rows(), self.columns()))) {
            panel.draw(area, &place, most)?;
        }
        Ok(())
    }
}

/// A name for files: letters, digits and dashes of `name`.
fn slug(name: &str) -> String {
    let mut slug: String = name
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' })
        .collect();
    while slug.contains("--") {
        slug = slug.replace("--", "-");
    }
    let slug = slug.trim_matches('-');
    if slug.is_empty() { "trace".into() } else { slug.into() }
}

/// `file`, or the first of `file-2`, `file-3`, ... that no figure has.
fn unique(figures: &[Figure], file: &str) -> String {
    let taken = |name: &str| figures.iter().any(|figure| figure.file == name);
    let numbered = (2..).map(|number| format!("{file}-{number}"));
    std::iter::once(file.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{measurement, sweep};
    use super::super::input::Run;
    use super::*;
    use roxmltree::Document;

    fn input(runs: Vec<Measurement>) -> Input {
        Input { runs: runs.into_iter().map(|measurement| Run { measurement, source: 0 }).collect(), ..Input::default() }
    }

    #[test]
    fn every_figure_is_an_svg_with_the_names_of_all_its_curves_and_becomes_a_png() {
        let mut runs = sweep("bank of 1,000, <high> & \"odd\"");
        runs.extend(sweep("counter"));
        let input = input(runs);
        let figures = figures(&input).unwrap();
        assert_eq!(
            figures.iter().map(|each| each.file.as_str()).collect::<Vec<_>>(),
            ["overview", "bank-of-1-000-high-odd", "counter"]
        );
        for figure in &figures {
            let document = Document::parse(&figure.svg).unwrap();
            let root = document.root_element();
            assert_eq!(root.tag_name().name(), "svg");
            let texts: Vec<&str> = root
                .descendants()
                .filter(|each| each.has_tag_name((root.tag_name().namespace().unwrap(), "text")))
                .filter_map(|each| each.text())
                .map(str::trim)
                .collect();
            for wanted in ["simulated, 2 cores", "simulated, a core each", "participants", "64", "simulated"] {
                assert!(texts.contains(&wanted), "{}: {wanted} is not in {texts:?}", figure.file);
            }
            assert!(figure.svg.contains("<polyline") && figure.svg.contains("<circle"));
            assert!(!figure.svg.contains("NaN") && !figure.svg.contains("inf"));
            assert_eq!(&figure.png[..8], b"\x89PNG\r\n\x1a\n");
        }
    }

    #[test]
    fn every_simulated_curve_carries_the_word_on_the_drawing() {
        let mut runs = sweep("bank");
        for run in &mut runs {
            run.policy = "real, measured on this very machine".into();
        }
        let all: Vec<&Measurement> = runs.iter().collect();
        for panel in panels(&groups(&all)) {
            let labelled: Vec<&Curve> = panel.labelled();
            for curve in panel.curves.iter().filter(|curve| curve.name.world() == World::Simulated) {
                assert!(labelled.iter().any(|each| std::ptr::eq(*each, curve)), "{}", panel.title);
                assert!(curve.label().starts_with("simulated"), "{}", curve.label());
            }
        }
    }

    #[test]
    fn nothing_one_point_and_zeros_are_drawn_without_a_panic() {
        let mut zero = measurement(World::Simulated, "zero", 1, 1, 1.0);
        (zero.duration_ns, zero.attempts, zero.commits, zero.rates) = (0, 0, vec![0], vec![0.0]);
        zero.latency = Default::default();
        let mut nobody = zero.clone();
        (nobody.participants, nobody.commits, nobody.rates) = (0, Vec::new(), Vec::new());
        let mut odd = measurement(World::Real, "odd", 2, 300, 1e12);
        odd.rates = vec![f64::NAN, f64::INFINITY];
        let sets = [vec![], vec![zero.clone()], vec![nobody.clone()], vec![odd.clone()], vec![zero, nobody, odd]];
        for runs in sets {
            for figure in figures(&input(runs)).unwrap() {
                assert!(Document::parse(&figure.svg).is_ok(), "{}", figure.svg);
                assert!(!figure.svg.contains("NaN"), "{}", figure.svg);
            }
        }
    }

    #[test]
    fn files_have_names_of_their_own() {
        let runs = ["a b", "a-b", "", "µ"].map(|trace| measurement(World::Real, trace, 2, 2, 10.0));
        let names: Vec<String> = figures(&input(runs.to_vec())).unwrap().into_iter().map(|each| each.file).collect();
        assert_eq!(names, ["overview", "a-b", "a-b-2", "trace", "trace-2"]);
    }
}
