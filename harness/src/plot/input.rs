//! The measurements to draw, out of result files of `replay`, `sim` and `sweep`, each with the file that it came from.
//!
//! A result file is what `machine::write_results` writes: `{"provenance": ..., "numbers": {"measurements": [...]}}`, or with
//! one `measurement`. A bare list of measurements, or one alone, is taken as well: its provenance is then shown as unknown,
//! not invented.

use std::path::{Path, PathBuf};

use pso_sim::measure::{Measurement, Verdict, World};
use serde_json::Value;

use crate::failure::Failure;
use crate::machine::Provenance;

/// One file.
pub struct Source {
    /// Its name, without folders.
    pub file: String,
    /// What stands in it, if it does.
    pub provenance: Option<Provenance>,
}

/// One measurement and where it came from.
pub struct Run {
    /// What was measured.
    pub measurement: Measurement,
    /// Index into `Input::sources`.
    pub source: usize,
}

/// All that is drawn.
#[derive(Default)]
pub struct Input {
    /// In the order of the files.
    pub runs: Vec<Run>,
    /// The files.
    pub sources: Vec<Source>,
}

impl Input {
    /// Reads `files`. A file without a measurement is an error: it was named by mistake.
    pub fn read(files: &[PathBuf]) -> Result<Self, Failure> {
        let mut input = Self::default();
        for file in files {
            let text = std::fs::read_to_string(file).map_err(Failure::system(format!("reading {}", file.display())))?;
            input.add(file, &text)?;
        }
        Ok(input)
    }

    /// Takes what `text`, the content of `file`, holds.
    pub fn add(&mut self, file: &Path, text: &str) -> Result<(), Failure> {
        let wrong = |reason: String| Failure::Wrong(format!("{}: {reason}", file.display()));
        let value: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let found = measurements(&value).map_err(|error| wrong(error.to_string()))?;
        if found.is_empty() {
            return Err(wrong("no measurements in it".into()));
        }
        let provenance = value.get("provenance").and_then(|each| serde_json::from_value(each.clone()).ok());
        let name = file.file_name().map_or_else(|| "?".into(), |name| name.to_string_lossy().into_owned());
        let source = self.sources.len();
        self.sources.push(Source { file: name, provenance });
        self.runs.extend(found.into_iter().map(|measurement| Run { measurement, source }));
        Ok(())
    }

    /// Names of the traces, in the order of their first run.
    pub fn traces(&self) -> Vec<&str> {
        let mut traces: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !traces.contains(&run.measurement.trace.as_str()) {
                traces.push(&run.measurement.trace);
            }
        }
        traces
    }

    /// The measurements of one trace.
    pub fn of_trace(&self, trace: &str) -> Vec<&Measurement> {
        self.runs.iter().map(|run| &run.measurement).filter(|each| each.trace == trace).collect()
    }
}

/// The word for a world. Whoever names a simulated number gets its name from here.
pub fn world_word(world: World) -> &'static str {
    match world {
        World::Simulated => "simulated",
        World::Real => "real",
    }
}

/// The words for a verdict.
pub fn verdict_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Ok => "ok".into(),
        Verdict::Stuck => "stuck".into(),
        Verdict::Livelocked => "livelocked".into(),
        Verdict::Wrong(what) => format!("wrong: {what}"),
        Verdict::OutOfBudget => "out of budget".into(),
    }
}

/// Looks where a result file keeps them.
fn measurements(value: &Value) -> Result<Vec<Measurement>, serde_json::Error> {
    match value {
        Value::Array(each) => each.iter().map(|one| serde_json::from_value(one.clone())).collect(),
        Value::Object(fields) if fields.contains_key("world") => Ok(vec![serde_json::from_value(value.clone())?]),
        Value::Object(fields) => {
            match ["measurements", "measurement", "numbers"].iter().find_map(|name| fields.get(*name)) {
                Some(inner) => measurements(inner),
                None => Ok(Vec::new()),
            }
        }
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_result_file_a_list_and_a_single_measurement_are_read() {
        let one = fixture::measurement(World::Real, "bank", 2, 2, 1000.0);
        let text = serde_json::to_string(&one).unwrap();
        let wrapped = format!(
            r#"{{"provenance": {{"command": "pso x", "commit": "c", "date": "d", "machine": {{"processor": "p",
                "processors": 2, "memory_gib": 8, "kernel": "k"}}}}, "numbers": {{"measurements": [{text}, {text}]}}}}"#
        );
        let mut input = Input::default();
        input.add(Path::new("results/one.json"), &text).unwrap();
        input.add(Path::new("list.json"), &format!("[{text}]")).unwrap();
        input.add(Path::new("wrapped.json"), &wrapped).unwrap();
        let simulated = format!(r#"{{"numbers": {{"measurement": {text}, "memory_operations": 7}}}}"#);
        input.add(Path::new("sim.json"), &simulated).unwrap();
        assert_eq!(input.runs.len(), 5);
        assert_eq!(input.traces(), ["bank"]);
        assert_eq!(input.sources[0].file, "one.json");
        assert!(input.sources[0].provenance.is_none());
        assert_eq!(input.sources[2].provenance.as_ref().unwrap().command, "pso x");
        assert_eq!(input.runs[3].source, 2);
    }

    #[test]
    fn a_file_without_measurements_is_named() {
        for text in ["{}", "[]", "3", r#"{"numbers": {"rounds": 5}}"#, "not json", r#"[{"world": "real"}]"#] {
            let said = Input::default().add(Path::new("odd.json"), text).unwrap_err().to_string();
            assert!(said.starts_with("odd.json: "), "{said}");
        }
    }
}
