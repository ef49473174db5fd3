//! Figures that README and papers take from tables and results: whoever makes these anew is told which sentence to look at.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: &str) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Each of the sentences stands in the text, whatever its lines are.
fn says(path: &str, sentences: &[String]) {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = words(&text(path));
    let missing: Vec<_> = sentences.iter().filter(|sentence| !text.contains(&words(sentence))).collect();
    assert!(missing.is_empty(), "{path} does not say {missing:#?}");
}

/// A number below a hundred at the beginning of a sentence.
fn spelled(number: usize) -> String {
    const SMALL: [&str; 20] = [
        "None",
        "One",
        "Two",
        "Three",
        "Four",
        "Five",
        "Six",
        "Seven",
        "Eight",
        "Nine",
        "Ten",
        "Eleven",
        "Twelve",
        "Thirteen",
        "Fourteen",
        "Fifteen",
        "Sixteen",
        "Seventeen",
        "Eighteen",
        "Nineteen",
    ];
    const TENS: [&str; 8] = ["Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety"];
    if let Some(word) = SMALL.get(number) {
        return (*word).into();
    }
    let tens = TENS[number / 10 - 2];
    if number.is_multiple_of(10) { tens.into() } else { format!("{tens}-{}", SMALL[number % 10].to_lowercase()) }
}

#[test]
fn all_faults_of_the_table_are_counted() {
    let faults = json("model/expected/mutants.json").as_object().unwrap().len();
    assert_eq!(faults, pso_model::mutant::Fault::ALL.len());
    says("README.md", &[format!("{} deliberate faults of the protocol", spelled(faults))]);
    let paper = [
        format!("| {faults} faults, 19 of them"),
        format!("makes {faults} faults of the protocol"),
        format!("Each of the {faults} is caught"),
    ];
    says("papers/verification.md", &paper);
}

#[test]
fn all_orderings_of_the_table_are_counted() {
    let table: BTreeMap<String, Value> = serde_json::from_value(json("model/expected/weaken.json")).unwrap();
    let of = |verdict: &str| table.values().filter(|site| site["verdict"] == verdict).count();
    let with = table.values().filter(|site| site.get("with").is_some()).count();
    let paper = [
        format!("has a verdict for each of the {}", table.len()),
        format!("| noticed by a play | {}:", of("killed")),
        format!("| survives all plays that come by, with a reason | {} |", of("survives")),
        format!("| met by no play, with a reason | {} |", of("unmet")),
        format!("{} of the reasons name another site", spelled(with)),
    ];
    says("papers/verification.md", &paper);
}

#[test]
fn the_times_after_a_kill_are_those_of_the_file() {
    let numbers = &json("results/kill.json")["numbers"];
    let waits = |at: &str| {
        let of = |key: &str| numbers[at]["goes_on"][key].as_f64().unwrap();
        (of("p50_ms"), of("p99_ms"))
    };
    let [(a, b), (c, d), (e, f)] = ["transaction", "collection", "commit"].map(waits);
    let paper = format!(
        "{a:.1} and {b:.1} ms in a transaction, {c:.1} and {d:.1} ms beside a collection, {e:.1} and {f:.1} ms"
    );
    says("papers/memory.md", &[paper]);
}

#[test]
fn the_longest_operations_beside_a_collection_are_those_of_the_file() {
    let ring = &json("results/garbage.json")["numbers"]["ring"];
    let [meanwhile, before] = ["meanwhile", "before"].map(|at| ring[at]["longest_cpu_ms"].as_f64().unwrap());
    says("papers/memory.md", &[format!("is {meanwhile:.2} ms ({before:.2} ms before")]);
}

#[test]
fn no_promise_of_the_allocator_is_left_out() {
    let paper = text("papers/memory.md");
    let cells: Vec<&str> = paper
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split(['|', ',']))
        .map(|cell| cell.trim_matches([' ', '*']))
        .collect();
    for file in ["allocator", "allocator-intel"] {
        for promise in json(&format!("results/{file}.json"))["numbers"]["promises"].as_array().unwrap() {
            let measured = promise["measured"].as_f64().unwrap();
            // Below 0: what two runs differ by, and more.
            let quoted = [format!("{measured:.1}"), format!("{measured:.2}"), format!("{measured:.2}: noise")];
            let is_quoted = quoted.iter().any(|ratio| cells.contains(&ratio.as_str()));
            assert!(is_quoted, "papers/memory.md leaves out {promise}");
        }
    }
}

#[test]
fn the_engines_that_were_measured_beside_peers_are_named() {
    for file in ["peers", "peers-long-reader", "peers-crowd", "peers-targets"] {
        for section in json(&format!("results/{file}.json"))["sections"].as_array().unwrap() {
            let commit = section["provenance"]["commit"].as_str().unwrap();
            says("papers/evaluation.md", &[commit[..7].to_owned()]);
        }
    }
}

#[test]
fn the_rates_of_the_peers_are_those_of_the_file() {
    let file = json("results/peers.json");
    let section = |workload: &str| file["sections"].as_array().unwrap().iter().find(|one| one["workload"] == workload);
    // Of the best of them, in millions, with 1, 2 and 8 participants.
    let rates = |workload: &str, names: &[&str]| {
        let rows = section(workload).unwrap()["rows"].as_array().unwrap();
        let best = |participants: u64| {
            let of = |row: &&Value| {
                row["participants"] == participants && names.contains(&row["contestant"].as_str().unwrap())
            };
            let medians = rows.iter().filter(of).map(|row| {
                let mut rates: Vec<f64> =
                    row["runs"].as_array().unwrap().iter().map(|run| run["per_second"].as_f64().unwrap()).collect();
                rates.sort_by(f64::total_cmp);
                rates[rates.len() / 2]
            });
            format!("{:.1}", medians.fold(0.0, f64::max) / 1e6)
        };
        [1, 2, 8].map(best).join(", ")
    };
    let row = |workload| {
        let groups: [&[&str]; 5] = [
            &["pso, threads"],
            &["pso, processes"],
            &["stm-core", "fast-stm", "async-stm"],
            &["std Mutex"],
            &["parking_lot Mutex", "parking_lot RwLock"],
        ];
        format!("| `{workload}` | {} |", groups.map(|names| rates(workload, names)).join(" | "))
    };
    says("papers/evaluation.md", &["counter", "bank-1000", "bank-4", "map", "crossing-pairs"].map(row));
}
