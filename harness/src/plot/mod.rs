//! `pso plot`: charts and a report of what runs gave, simulated and real on the same axes.
//!
//! Bottom to top: `quantity`, `spread`, `axis`, `palette`, `labels`, `raster`, `canvas`, `axes` know one idea each; `group` decides what is one
//! curve and gives it its name; `panel` draws a pair of axes, `figure` several; `caption` and `agreement` put numbers into
//! words; `report` makes the page. `validation` and `garbage` are charts of their own, of what `pso validate` and `pso bench garbage` write.

mod agreement;
pub mod axes;
pub mod axis;
pub mod canvas;
mod caption;
mod figure;
#[cfg(test)]
pub mod fixture;
pub(crate) mod garbage;
mod group;
mod input;
mod labels;
pub mod palette;
mod panel;
pub mod quantity;
mod raster;
mod report;
pub mod spread;
pub(crate) mod validation;

use std::path::{Path, PathBuf};

use pso_sim::measure::World;

use crate::cli::Plot;
use crate::failure::Failure;
use crate::machine::read_results;
use crate::output;
use crate::table::Table;
use input::Input;
pub use input::{verdict_words, world_word};
use quantity::Unit;

/// The subcommand.
pub fn run(options: &Plot) -> Result<(), Failure> {
    let title = options.title.as_deref().unwrap_or("pso: simulated and real runs");
    let mut files = Vec::new();
    for file in &options.files {
        if let Some(numbers) = read_results(file)? {
            validation::write(&numbers, &options.out)?;
        } else if let Some(numbers) = read_results(file)? {
            garbage::write(&numbers, &options.out)?;
        } else {
            files.push(file.clone());
        }
    }
    if files.is_empty() { Ok(()) } else { report(&files, Some(&options.out), title, &[]) }
}

/// Prints what is in result files; if there is a folder for it, writes charts and a report.
pub fn report(files: &[PathBuf], folder: Option<&Path>, title: &str, introduction: &[String]) -> Result<(), Failure> {
    let input = Input::read(files)?;
    print_summary(&input)?;
    if let Some(folder) = folder {
        let written = write(&input, folder, title, introduction)?;
        let charts = if written == 1 { "1 chart".into() } else { format!("{written} charts") };
        output::line(format_args!("\n  {charts} (SVG, PNG) and the report: {}", folder.join("report.html").display()))?;
    }
    Ok(())
}

/// Writes every figure as SVG and PNG, and the report, into `folder`. How many figures.
fn write(input: &Input, folder: &Path, title: &str, introduction: &[String]) -> Result<usize, Failure> {
    std::fs::create_dir_all(folder).map_err(Failure::system(format!("making {}", folder.display())))?;
    let save = |name: String, bytes: &[u8]| {
        let file = folder.join(name);
        std::fs::write(&file, bytes).map_err(Failure::system(format!("writing {}", file.display())))
    };
    let figures = figure::figures(input)?;
    for figure in &figures {
        save(format!("{}.svg", figure.file), figure.svg.as_bytes())?;
        save(format!("{}.png", figure.file), &figure.png)?;
    }
    save("report.html".into(), report::page(title, introduction, input, &figures).as_bytes())?;
    Ok(figures.len())
}

/// The main figures of every row, for the terminal.
fn print_summary(input: &Input) -> Result<(), Failure> {
    let headings =
        ["trace", "where", "cores", "participants", "runs", "commits/s", "attempts", "p50", "p99", "Jain", "ended"];
    let mut table = Table::new(headings);
    for row in report::rows(input) {
        let number = |index: usize, unit: Unit| {
            row.spreads[index].map_or_else(|| "–".into(), |spread| unit.write(spread.median))
        };
        table.row([
            row.trace.clone(),
            row.world_word().into(),
            row.cores.to_string(),
            row.participants.to_string(),
            row.runs.to_string(),
            number(0, Unit::PerSecond),
            number(1, Unit::Plain),
            number(2, Unit::Time),
            number(3, Unit::Time),
            number(5, Unit::Plain),
            row.verdict.clone(),
        ]);
    }
    output::line(format_args!("\n{table}"))?;
    if input.runs.iter().any(|run| run.measurement.world == World::Simulated) {
        output::line("  Simulated rows come from the engine on a simulated machine, not from this one.")?;
    }
    Ok(())
}
