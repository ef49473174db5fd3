//! The repository's rules, as a test. Each failure names file and line.
//!
//! Each rule is a function over texts, so that [`each_rule_can_be_broken`] can give it one that breaks it.

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

/// What no code may hold. In two parts likewise, and no line is let off: what stands in a text may stand in code beside one.
const UNFINISHED: [(&str, &str); 3] = [("todo", "!("), ("unimplemented", "!("), ("dbg", "!(")];
/// The word for code that the compiler does not check.
const UNSAFE_WORD: (&str, &str) = ("un", "safe");

/// Path from the root, and text.
type File = (String, String);

fn joined((one, other): (&str, &str)) -> String {
    format!("{one}{other}")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Files of the repository with one of these endings.
fn files(endings: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    collect(&root(), endings, &mut found);
    assert!(found.len() > 5, "the walk finds the repository");
    found.sort();
    found
}

fn collect(folder: &Path, endings: &[&str], found: &mut Vec<File>) {
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
fn lines(files: &[File], breaks: impl Fn(&str, &str) -> bool) -> Vec<String> {
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

fn long(files: &[File]) -> Vec<String> {
    let lengths = files.iter().map(|(path, text)| (path, text.lines().count()));
    lengths.filter(|(_, lines)| *lines > LINES_MAX).map(|(path, lines)| format!("{path}: {lines} lines")).collect()
}

#[test]
fn files_are_short() {
    none(&format!("files have at most {LINES_MAX} lines"), long(&files(&[".rs", ".py", ".sh", ".pyi"])));
}

fn sequentially_consistent(files: &[File]) -> Vec<String> {
    let engine = |path: &str| path.starts_with("engine/src") || path.starts_with("model/src");
    let files = files.iter().filter(|(path, _)| engine(path));
    let files: Vec<_> = files.map(|(path, text)| (path.clone(), without_uses(text))).collect();
    lines(&files, |path, code| code.contains("SeqCst") && !code.contains("fence(") && !is_ordering_match(path, code))
}

#[test]
fn sequential_consistency_is_asked_of_fences_only() {
    // loom takes a SeqCst access for AcqRel: what rests on one would be checked nowhere.
    none("SeqCst appears in fences only", sequentially_consistent(&files(&[".rs"])));
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

fn unchecked(files: &[File]) -> Vec<String> {
    let mark = joined(UNSAFE_WORD);
    lines(files, |path, code| {
        let word = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == mark);
        word && !UNSAFE.iter().any(|allowed| path.starts_with(allowed)) && !path.contains("/tests/")
    })
}

#[test]
fn unsafe_code_lives_where_it_may() {
    none("unsafe only in the platforms and in the safe layer of pybind", unchecked(&files(&[".rs"])));
}

fn of_one_machine(files: &[File]) -> Vec<String> {
    let mut breaches = Vec::new();
    for (path, text) in files {
        for (number, line) in text.lines().enumerate() {
            // A path begins behind a character that no path has before its slash: `a/home/b` is somebody's folder.
            for name in MACHINE_PATHS.map(joined) {
                let begins = line.match_indices(&name).any(|(place, _)| {
                    line[..place].chars().next_back().is_none_or(|before| !before.is_alphanumeric() && before != '.')
                });
                if begins {
                    breaches.push(format!("{path}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    breaches
}

#[test]
fn no_file_knows_a_machine() {
    let endings = [".rs", ".py", ".pyi", ".md", ".toml", ".sh", ".yml", ".json", "Makefile", "run"];
    none("no paths of one machine", of_one_machine(&files(&endings)));
}

fn silent_modules(files: &[File]) -> Vec<String> {
    let modules = files.iter().filter(|(path, _)| DOCUMENTED.iter().any(|folder| path.starts_with(folder)));
    modules.filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path.clone()).collect()
}

#[test]
fn every_module_says_what_it_is_for() {
    none("a module opens with its purpose", silent_modules(&files(&[".rs"])));
}

fn silent_scripts(files: &[File]) -> Vec<String> {
    let is_silent = |text: &str| !text.trim_start().starts_with(['"', '#', 'r']);
    let silent = files.iter().filter(|(path, text)| is_silent(text) && !path.ends_with("__init__.py"));
    silent.map(|(path, _)| path.clone()).collect()
}

#[test]
fn every_script_says_what_it_is_for() {
    none("a script opens with its purpose", silent_scripts(&files(&[".py"])));
}

fn unfinished(files: &[File]) -> Vec<String> {
    let marks = UNFINISHED.map(joined);
    lines(files, |_, code| marks.iter().any(|mark| code.contains(mark)))
}

#[test]
fn nothing_waits_for_another_day() {
    none("no unfinished code", unfinished(&files(&[".rs"])));
}

/// The danger: a rule that no text breaks says nothing.
#[test]
fn each_rule_can_be_broken() {
    let is_broken = |rule: fn(&[File]) -> Vec<String>, path: &str, text: &str| {
        let found = rule(&[(path.to_owned(), text.to_owned())]);
        assert!(found.iter().all(|breach| breach.starts_with(path)), "{found:?}");
        !found.is_empty()
    };
    assert!(is_broken(long, "x.rs", &"\n".repeat(LINES_MAX + 1)));
    assert!(!is_broken(long, "x.rs", &"\n".repeat(LINES_MAX)));

    let engine = "engine/src/x.rs";
    assert!(is_broken(sequentially_consistent, engine, "word.load(SeqCst);"));
    assert!(is_broken(sequentially_consistent, engine, "use x::SeqCst;\nword.load(SeqCst);"));
    assert!(is_broken(sequentially_consistent, engine, "SeqCst => 1,"));
    for allowed in ["fence(SeqCst);", "use x::{\n    SeqCst,\n};", "// SeqCst"] {
        assert!(!is_broken(sequentially_consistent, engine, allowed), "{allowed}");
    }

    for rest in [" {}", " { puts(\"text\") }", " extern \"C\" fn f() {}"] {
        let text = joined(UNSAFE_WORD) + rest;
        assert!(is_broken(unchecked, engine, &text), "{text}");
        assert!(!is_broken(unchecked, "sim/src/fiber/x.rs", &text), "{text}");
        assert!(!is_broken(unchecked, engine, &format!("// {text}\n{}_code", joined(UNSAFE_WORD))), "{text}");
    }

    for path in MACHINE_PATHS.map(joined) {
        assert!(is_broken(of_one_machine, "x.md", &format!("in {path}x")), "{path}");
        assert!(!is_broken(of_one_machine, "x.md", &format!("in a{path}x")), "{path}");
    }

    assert!(is_broken(silent_modules, engine, "use x;\n//! Late."));
    assert!(!is_broken(silent_modules, engine, "//! A module."));
    assert!(is_broken(silent_scripts, "x.py", "import x"));
    assert!(!is_broken(silent_scripts, "x.py", "\"\"\"A script.\"\"\""));

    for mark in UNFINISHED.map(joined) {
        for rest in [")", "\"later\")"] {
            assert!(is_broken(unfinished, engine, &format!("{mark}{rest}")), "{mark}{rest}");
        }
    }
    assert!(!is_broken(unfinished, engine, "done!(1)"));
}
