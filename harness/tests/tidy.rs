//! The repository's rules, as a test. Each failure names file and line.

use std::path::{Path, PathBuf};

/// A file that outgrows this is two ideas. Taste says 400; the test stops at what nobody can call taste.
const LINES_MAX: usize = 500;
/// Unsafe code lives here and nowhere else.
const UNSAFE: [&str; 5] = [
    "engine/src/platform/native/",
    "model/src/heap",
    "sim/src/fiber/",
    "pybind/src/ffi/",
    // Calls of a library in C, which the benchmark measures.
    "harness/benches/memory/heap/mimalloc.rs",
];
/// Folders in which every module says what it is for.
const DOCUMENTED: [&str; 6] = ["engine/src", "model/src", "sim/src", "harness/src", "harness/benches", "pybind/src"];
/// What no file of the repository may mention: places of one machine. In two parts, so that this file does not.
const MACHINE_PATHS: [(&str, &str); 4] = [("/ro", "ot/"), ("/ho", "me/"), ("/wo", "rk/"), ("/Us", "ers/")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Files of the repository with one of these endings: path from the root, and text.
fn files(endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root(), endings, &mut found);
    assert!(found.len() > 5, "the walk finds the repository");
    found.sort();
    found
}

fn collect(folder: &Path, endings: &[&str], found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap_or_default().to_owned();
        if path.is_dir() {
            let generated = matches!(name.as_str(), "target" | "__pycache__" | "node_modules");
            if !generated && (!name.starts_with('.') || matches!(name.as_str(), ".github" | ".ci")) {
                collect(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push((relative, std::fs::read_to_string(&path).unwrap_or_default()));
        }
    }
}

fn none(rule: &str, breaches: Vec<String>) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

/// `file:line` of each line of code (comments excluded) that `breaks` the rule.
fn lines(files: &[(String, String)], breaks: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, text) in files {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if breaks(path, code) {
                breaches.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    breaches
}

#[test]
fn files_are_short() {
    let long = files(&[".rs", ".py", ".sh", ".pyi"])
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    none(&format!("files have at most {LINES_MAX} lines"), long);
}

#[test]
fn sequential_consistency_is_asked_of_fences_only() {
    // loom takes a SeqCst access for AcqRel: what rests on one would be checked nowhere.
    let engine = |path: &str| path.starts_with("engine/src") || path.starts_with("model/src");
    let files: Vec<_> = files(&[".rs"])
        .into_iter()
        .filter(|(path, _)| engine(path))
        .map(|(path, text)| (path, without_uses(&text)))
        .collect();
    let breaches = lines(&files, |path, code| {
        code.contains("SeqCst") && !code.contains("fence(") && !is_ordering_match(path, code)
    });
    none("SeqCst appears in fences only", breaches);
}

/// The text with its `use` declarations blanked out.
fn without_uses(text: &str) -> String {
    let mut within = false;
    let mut rest = String::new();
    for line in text.lines() {
        let begins = ["use ", "pub use ", "pub(crate) use "].iter().any(|word| line.trim_start().starts_with(word));
        within |= begins;
        rest.push_str(if within { "" } else { line });
        rest.push('\n');
        within &= !line.trim_end().ends_with(';');
    }
    rest
}

/// A platform turns the ordering that it is given into what its world has.
fn is_ordering_match(path: &str, code: &str) -> bool {
    path.contains("platform") && code.contains("=>")
}

#[test]
fn unsafe_code_lives_where_it_may() {
    let breaches = lines(&files(&[".rs"]), |path, code| {
        let word = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == "unsafe");
        word && !UNSAFE.iter().any(|allowed| path.starts_with(allowed))
            && !path.contains("/tests/")
            && !code.contains('"')
    });
    none("unsafe only in the platforms and in the safe layer of pybind", breaches);
}

#[test]
fn no_file_knows_a_machine() {
    let endings = [".rs", ".py", ".pyi", ".md", ".toml", ".sh", ".yml", ".json", "Makefile", "run"];
    let mut breaches = Vec::new();
    for (path, text) in files(&endings) {
        for (number, line) in text.lines().enumerate() {
            // A path begins behind a character that no path has before its slash: `a/home/b` is somebody's folder.
            let names = MACHINE_PATHS.iter().map(|(one, other)| format!("{one}{other}"));
            for name in names {
                let begins = line.match_indices(&name).any(|(place, _)| {
                    line[..place].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && before != '.')
                });
                if begins {
                    breaches.push(format!("{path}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    none("no paths of one machine", breaches);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = files(&[".rs"])
        .into_iter()
        .filter(|(path, _)| DOCUMENTED.iter().any(|folder| path.starts_with(folder)))
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path)
        .collect();
    none("a module opens with its purpose", silent);
}

#[test]
fn every_script_says_what_it_is_for() {
    let silent = files(&[".py"])
        .into_iter()
        .filter(|(path, text)| !text.trim_start().starts_with(['"', '#', 'r']) && !path.ends_with("__init__.py"))
        .map(|(path, _)| path)
        .collect();
    none("a script opens with its purpose", silent);
}

#[test]
fn nothing_waits_for_another_day() {
    let marks = ["todo!(", "unimplemented!(", "dbg!("];
    none(
        "no unfinished code",
        lines(&files(&[".rs"]), |_, code| marks.iter().any(|mark| code.contains(mark)) && !code.contains('"')),
    );
}
