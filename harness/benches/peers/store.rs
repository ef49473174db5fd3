//! The file of results: a section for each workload, each with its own provenance, a row a line.

use std::path::Path;

use clap::ValueEnum;
use pso_harness::failure::Failure;
use pso_harness::machine::write_whole;
use serde::{Deserialize, Serialize};

use crate::figures::Section;
use crate::workload::Workload;

#[derive(Deserialize)]
struct Stored {
    sections: Vec<Section>,
}

/// What `file` holds; nothing if it does not exist.
pub fn read(file: &Path) -> Result<Vec<Section>, Failure> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::system(format!("reading {}", file.display()))(error)),
    };
    serde_json::from_str::<Stored>(&text)
        .map(|stored| stored.sections)
        .map_err(|error| Failure::Wrong(format!("{}: {error}", file.display())))
}

/// `new` takes the place of the section of its workload, or comes to the others, in the order of all workloads.
pub fn put(sections: &mut Vec<Section>, new: Section) {
    sections.retain(|old| old.workload != new.workload);
    sections.push(new);
    sections.sort_by_key(|section| Workload::value_variants().iter().position(|each| *each == section.workload));
}

/// Writes all of `file` anew.
pub fn write(file: &Path, sections: &[Section]) -> Result<(), Failure> {
    let sections: Vec<String> = sections.iter().map(section).collect::<Result<_, _>>()?;
    let text = format!("{{\"sections\": [\n{}\n]}}\n", sections.join(",\n"));
    write_whole(file, &text)
}

fn section(section: &Section) -> Result<String, Failure> {
    let Section { workload, seconds, rounds, seed, provenance, rows } = section;
    let rows: Vec<String> = rows.iter().map(json).collect::<Result<_, _>>()?;
    Ok(format!(
        "{{\"workload\": {}, \"seconds\": {seconds}, \"rounds\": {rounds}, \"seed\": {seed},\n\"provenance\": {},\n\"rows\": [\n{}\n]}}",
        json(workload)?,
        json(provenance)?,
        rows.join(",\n")
    ))
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Wrong(format!("writing numbers: {error}")))
}
