//! `pso sweep` and `pso plot` as people meet them: both worlds are measured, and what is drawn opens without anything else.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use pso_sim::measure::{Measurement, Verdict, World};

fn pso(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    command.args(arguments).stdin(Stdio::null()).output().expect("pso starts")
}

/// A small sweep: each real point as often as asked for, each simulated one once, all as they must be; then the charts of it.
#[test]
fn a_sweep_measures_both_worlds_and_draws_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (results, charts) = (path("sweep.json"), path("charts"));
    let small =
        ["--contention", "high", "--participants", "1,2", "--cores", "1,2,4", "--transactions", "400", "--runs", "2"];
    let mut arguments = vec!["sweep", "--traces", "counter,queue", "--out", &results, "--plot", &charts];
    arguments.extend(small);
    let output = pso(&arguments);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    let told = |trace: &str, world: &str| said.lines().any(|line| line.contains(trace) && line.contains(world));
    assert!(told("counter-high", " simulated ") && told("queue-high", " real "), "{said}");

    let value: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&results).unwrap()).unwrap();
    assert!(value["provenance"]["command"].as_str().unwrap().contains("sweep --traces counter,queue"));
    let measurements: Vec<Measurement> = serde_json::from_value(value["numbers"]["measurements"].clone()).unwrap();
    assert!(measurements.iter().all(|each| each.verdict == Verdict::Ok), "{measurements:?}");
    let count = |world: World, trace: &str| {
        measurements.iter().filter(|each| (each.world, each.trace.as_str()) == (world, trace)).count()
    };
    // A queue needs two: its only real point is 2 participants.
    assert_eq!((count(World::Real, "counter-high"), count(World::Real, "queue-high")), (4, 2));
    assert!(count(World::Simulated, "counter-high") >= 3);

    for name in ["overview", "counter-high", "queue-high"] {
        let png = std::fs::read(path(&format!("charts/{name}.png"))).unwrap();
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let svg = std::fs::read_to_string(path(&format!("charts/{name}.svg"))).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        assert!(
            document.descendants().filter_map(|node| node.text()).any(|text| text.trim().starts_with("simulated, "))
        );
    }
    let html = std::fs::read_to_string(path("charts/report.html")).unwrap();
    assert_eq!(html.matches("<svg").count(), 3);
    for outside in ["http", "src=", "href", "url(", "<script"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

/// The danger: what took hours to measure is lost, for nobody is there to be told of it.
#[test]
fn a_sweep_that_nobody_listens_to_any_more_leaves_what_it_has_measured() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("sweep.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pso"));
    let small = ["--participants", "1", "--cores", "1", "--transactions", "400", "--runs", "1", "--profile", "chiplet"];
    command.args(["sweep", "--traces", "counter", "--contention", "high", "--out"]).arg(&results).args(small);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("sweep: 1 traces"));
    drop(lines);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("cannot write the output"), "{output:?}");
    let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&results).unwrap()).unwrap();
    assert!(value["numbers"]["measurements"].as_array().is_some_and(|all| all.len() >= 2), "{value}");
}

#[test]
fn a_file_that_is_no_result_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd.json");
    std::fs::write(&file, "{}").unwrap();
    let output = pso(&["plot", file.to_str().unwrap(), "-o", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("odd.json: no measurements in it"), "{said}");
    assert!(!folder.path().join("report.html").exists());
}
