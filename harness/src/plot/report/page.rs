//! The HTML of the report.

use std::fmt::Write;

use pso_sim::measure::World;

use super::rows::{QUANTITIES, Row, rows};
use crate::plot::agreement::agreements;
use crate::plot::canvas::escape;
use crate::plot::caption::signed_percent;
use crate::plot::figure::Figure;
use crate::plot::input::Input;
use crate::plot::quantity::{Quantity, Unit};

const STYLE: &str = include_str!("style.css");
/// In HTML an inline SVG needs no namespace, and without it the page holds no address at all.
const NAMESPACE: &str = r#" xmlns="http://www.w3.org/2000/svg""#;
/// More seeds than so are told as a range.
const SEEDS_MAX: usize = 4;

/// The whole page. `introduction` is plain text, one paragraph an item.
pub fn page(title: &str, introduction: &[String], input: &Input, figures: &[Figure]) -> String {
    let mut html = String::new();
    // Writing to a string cannot fail.
    let mut put = |text: String| html.push_str(&text);
    put(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
        escape(title)
    ));
    for paragraph in introduction {
        put(format!("<p>{}</p>\n", escape(paragraph)));
    }
    put("<p>Simulated numbers come from the engine itself on a simulated machine in virtual time; they are always called simulated. \
         Real numbers come from processes on the machine named below.</p>\n"
        .into());
    put("<h2>Charts</h2>\n".into());
    for figure in figures {
        put(chart(figure));
    }
    put(agreement_table(input));
    put(summary_table(&rows(input)));
    put(provenance_table(input));
    put("</body>\n</html>\n".into());
    html
}

fn chart(figure: &Figure) -> String {
    let lacks = match figure.caption.lacks.as_str() {
        "" => String::new(),
        text => format!("<p class=\"lacks\"><b>What it does not show.</b> {}</p>\n", escape(text)),
    };
    format!(
        "<figure id=\"{}\" aria-label=\"{}\">\n{}\n<figcaption>\n<p><b>What it shows.</b> {}</p>\n{lacks}</figcaption>\n</figure>\n",
        figure.file,
        escape(&figure.title),
        figure.svg.replacen(NAMESPACE, "", 1).trim_end(),
        escape(&figure.caption.shows),
    )
}

fn agreement_table(input: &Input) -> String {
    let mut body = String::new();
    for trace in input.traces() {
        for each in agreements(&input.of_trace(trace)) {
            let cells = [
                each.policy.clone(),
                each.cores.to_string(),
                each.participants.to_string(),
                each.real.runs.to_string(),
                each.real.write(|number| Unit::PerSecond.write(number)),
                each.simulated.write(|number| Unit::PerSecond.write(number)),
                signed_percent(each.deviation()),
            ];
            row(&mut body, "", &[trace], &cells);
        }
    }
    if body.is_empty() {
        return String::new();
    }
    let headings = [
        "policy",
        "cores",
        "participants",
        "real runs",
        "real commits/s",
        "simulated commits/s",
        "simulated is off by",
    ];
    table(
        "How near the simulated numbers are to the real ones",
        "Throughput where both exist: median (lowest to highest run). The machine profile comes from micro-benchmarks alone.",
        &["trace"],
        &headings,
        &body,
    )
}

fn summary_table(rows: &[Row]) -> String {
    let mut body = String::new();
    for each in rows {
        let mut cells = vec![each.cores.to_string(), each.participants.to_string(), each.runs.to_string()];
        for (quantity, spread) in QUANTITIES.iter().zip(&each.spreads) {
            let text = match (quantity, spread) {
                (_, None) => "–".into(),
                (Quantity::Throughput, Some(spread)) => spread.write(|number| quantity.unit().write(number)),
                (_, Some(spread)) => quantity.unit().write(spread.median),
            };
            cells.push(text);
        }
        cells.push(each.verdict.clone());
        cells.push(seeds(&each.seeds));
        cells.push(each.sources.iter().map(|source| (source + 1).to_string()).collect::<Vec<_>>().join(", "));
        let class = match (each.world, each.verdict.as_str()) {
            (World::Simulated, "ok") => "simulated",
            (World::Real, "ok") => "",
            (World::Simulated, _) => "simulated bad",
            (World::Real, _) => "bad",
        };
        row(&mut body, class, &[&each.trace, &each.place(), &each.policy], &cells);
    }
    let headings = [
        "cores",
        "participants",
        "runs",
        "commits/s",
        "attempts per commit",
        "p50",
        "p99",
        "max",
        "Jain",
        "slowest / fastest",
        "ended",
        "seeds",
        "source",
    ];
    table(
        "All numbers",
        "Medians of the runs that ended well; throughput with its lowest and highest run. Sources are numbered as in the last table.",
        &["trace", "where", "policy"],
        &headings,
        &body,
    )
}

fn provenance_table(input: &Input) -> String {
    let mut body = String::new();
    for (number, source) in input.sources.iter().enumerate() {
        let [command, commit, machine, date] = match &source.provenance {
            Some(each) => [each.command.clone(), each.commit.clone(), each.machine.describe(), each.date.clone()],
            None => ["unknown"; 4].map(String::from),
        };
        let number = (number + 1).to_string();
        let _ = write!(body, "<tr><td class=\"text\">{number}</td><td class=\"text\">{}</td>", escape(&source.file));
        let _ = write!(body, "<td class=\"text\"><code>{}</code></td>", escape(&command));
        for text in [commit, machine, date] {
            let _ = write!(body, "<td class=\"text\">{}</td>", escape(&text));
        }
        body.push_str("</tr>\n");
    }
    table(
        "Where the numbers come from",
        "Seeds stand in the table above. A commit “with changes” was measured on a working copy.",
        &["source", "file", "command", "commit", "machine class", "date"],
        &[],
        &body,
    )
}

fn seeds(seeds: &[u64]) -> String {
    match seeds {
        [first, .., last] if seeds.len() > SEEDS_MAX => format!("{first} to {last}"),
        _ => seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn row(body: &mut String, class: &str, texts: &[&str], numbers: &[String]) {
    body.push_str(&if class.is_empty() { "<tr>".into() } else { format!("<tr class=\"{class}\">") });
    for text in texts {
        let _ = write!(body, "<td class=\"text\">{}</td>", escape(text));
    }
    for number in numbers {
        let _ = write!(body, "<td>{}</td>", escape(number));
    }
    body.push_str("</tr>\n");
}

fn table(title: &str, note: &str, texts: &[&str], numbers: &[&str], body: &str) -> String {
    let texts: String = texts.iter().map(|each| format!("<th class=\"text\">{each}</th>")).collect();
    let numbers: String = numbers.iter().map(|each| format!("<th>{each}</th>")).collect();
    format!(
        "<h2>{title}</h2>\n<div class=\"wide\"><table>\n<caption>{note}</caption>\n<thead><tr>{texts}{numbers}</tr></thead>\n\
         <tbody>\n{body}</tbody>\n</table></div>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::figures;
    use crate::plot::fixture::sweep;
    use pso_sim::measure::Measurement;
    use roxmltree::Document;

    fn input() -> Input {
        let mut runs: Vec<Measurement> = sweep("bank <1,000>");
        runs.extend(sweep("counter"));
        let text = serde_json::to_string(&runs).unwrap();
        let mut input = Input::default();
        input.add(std::path::Path::new("folder/sweep.json"), &text).unwrap();
        input
    }

    #[test]
    fn the_report_has_every_chart_and_no_address() {
        let input = input();
        let figures = figures(&input).unwrap();
        let html = page("Report", &["One & two.".into()], &input, &figures);
        for figure in &figures {
            assert!(html.contains(&format!("<figure id=\"{}\" ", figure.file)), "{}", figure.file);
        }
        assert_eq!(html.matches("<svg").count(), figures.len());
        assert_eq!(html.matches("What it does not show.").count(), figures.len());
        for outside in ["http", "src=", "href", "url(", "@import", "<script", "<link", "file:", "//"] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("One &amp; two.") && html.contains("bank &lt;1,000&gt;"));
        assert!(html.contains("sweep.json") && !html.contains("folder/"));
    }

    /// Well-formed as XML, once the parts are taken off that only HTML may leave open.
    #[test]
    fn every_tag_is_closed() {
        let input = input();
        let html = page("Report", &[], &input, &figures(&input).unwrap());
        let body = html.split_once("<body>").unwrap().1.split_once("</body>").unwrap().0;
        Document::parse(&format!("<body>{body}</body>")).unwrap();
    }

    #[test]
    fn the_numbers_of_the_table_are_those_of_the_measurements() {
        let text = serde_json::to_string(&[
            crate::plot::fixture::measurement(World::Real, "one", 2, 2, 123_400.0),
            crate::plot::fixture::measurement(World::Simulated, "one", 2, 2, 234_500.0),
        ]);
        let mut input = Input::default();
        input.add(std::path::Path::new("x.json"), &text.unwrap()).unwrap();
        let html = page("Report", &[], &input, &[]);
        for (number, run) in input.runs.iter().enumerate() {
            let wanted: Vec<String> =
                QUANTITIES.iter().map(|quantity| quantity.unit().write(quantity.of(&run.measurement))).collect();
            let cells: String = wanted.iter().map(|each| format!("<td>{each}</td>")).collect();
            let place = html.find(&cells).unwrap_or_else(|| panic!("{cells}"));
            let line = html[..place].rsplit("<tr").next().unwrap();
            assert_eq!(line.contains("simulated"), number == 1, "{line}");
        }
        assert!(html.contains("<td>+90 %</td>"), "the deviation");
    }

    #[test]
    fn a_report_of_nothing_is_a_page() {
        let html = page("Nothing", &[], &Input::default(), &[]);
        assert!(html.ends_with("</html>\n"));
    }
}
