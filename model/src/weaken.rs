//! A lens that weakens one ordering at one call site: an access becomes Relaxed, a fence nothing.
//!
//! Run the scenes once per site. A site whose weakening no scene notices is stronger than it need be, or not covered; both are
//! findings, and the table of sites (`model/expected/weaken.json`) holds a sentence for each.
//!
//! Sites are found, not listed, in two ways that must agree: in the text of the source ([`sites`]), and by the platform when it is
//! called from one (`#[track_caller]` on the trait `Memory` and on the engine's thin wrappers). A site's name is file, function, the
//! word called there and its ordinal in the function, so that edits elsewhere do not rename it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use pso_engine::platform::{Ordering, Ordering::Relaxed, Platform};

use crate::lens::{Access, Lens, Operation};

/// A place in the source that names an ordering.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// As the compiler names it: from the root of the workspace.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// What stands there: `Acquire`, `AcqRel`, `SeqCst fence`.
    pub strength: String,
}

impl Site {
    fn new(location: &Location<'_>, strength: String) -> Self {
        Self { file: location.file().to_owned(), line: location.line(), column: location.column(), strength }
    }

    fn is_at(&self, location: &Location<'_>) -> bool {
        self.line == location.line() && self.column == location.column() && self.file == location.file()
    }

    /// `file function word#ordinal strength`, given the file's text. `None` if the text is of another build.
    pub fn name(&self, text: &str) -> Option<String> {
        let lines: Vec<&str> = text.lines().collect();
        let site = lines.get(self.line as usize - 1)?.get(self.column as usize - 1..)?;
        let word = called_word(site);
        let (first, function) =
            (0..self.line as usize).rev().find_map(|line| Some((line, function_name(lines[line])?)))?;
        let before = lines[first..self.line as usize - 1].iter().map(|line| calls(line, word).count()).sum::<usize>();
        let in_line = calls(&lines[self.line as usize - 1][..self.column as usize - 1], word).count();
        let file = self.file.rsplit('/').next()?;
        Some(format!("{file} {function} {word}#{} {}", before + in_line + 1, self.strength))
    }
}

/// What orders in one of the engine's files: calls that name an ordering, fences, and the calls of wrappers that load with
/// acquire. All of them, met by a scene or not, in the order of the text.
pub fn sites(file: &str, text: &str) -> Vec<Site> {
    let lines: Vec<&str> = text.lines().collect();
    let (mut passes_on, mut inside) = (false, false);
    let mut sites = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        passes_on |= line.trim() == "#[track_caller]";
        if function_name(line).is_some() {
            // What stands in such a function counts where it is called from.
            inside = std::mem::take(&mut passes_on);
        }
        if inside {
            continue;
        }
        for word in ORDERING_WORDS.iter().chain(&ACQUIRING_WRAPPERS) {
            for column in calls(line, word) {
                let strength = strength(word, &arguments(&lines[number..], column));
                let (line, column) = (number as u32 + 1, column as u32 + 1);
                sites.extend(strength.map(|strength| Site { file: file.to_owned(), line, column, strength }));
            }
        }
    }
    sites.sort();
    sites
}

/// What names an ordering, or is one.
const ORDERING_WORDS: [&str; 10] = [
    "load",
    "store",
    "swap",
    "compare_exchange",
    "fetch_add",
    "fetch_or",
    "fetch_and",
    "fence",
    "light_fence",
    "heavy_fence",
];
/// Loads of a status with acquire.
const ACQUIRING_WRAPPERS: [&str; 3] = ["status_of", "is_over", "still"];

/// The text between the parentheses of the call that begins at `column` of the first line.
fn arguments(lines: &[&str], column: usize) -> String {
    let mut depth = 0;
    let mut arguments = String::new();
    for letter in lines[0][column..].chars().chain(lines[1..].iter().flat_map(|line| line.chars())) {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth > 0 {
            arguments.push(letter);
        } else if letter == ')' {
            break;
        }
    }
    arguments
}

/// `None`: it orders nothing.
fn strength(word: &str, arguments: &str) -> Option<String> {
    if ACQUIRING_WRAPPERS.contains(&word) {
        return Some(format!("{:?}", Ordering::Acquire));
    }
    if word == "light_fence" {
        return Some("light fence".into());
    }
    if word == "heavy_fence" {
        return Some("heavy fence".into());
    }
    // Of a compare-exchange the first counts: what it orders when it succeeds.
    let mut words = arguments.split(|letter: char| !letter.is_alphanumeric());
    // A fence has no other arguments.
    let is_order = |name: &&str| ["Relaxed", "Acquire", "Release", "AcqRel"].contains(name);
    let order = words.find(|name| is_order(name) || (word == "fence" && !name.is_empty()))?;
    match (word, order) {
        (_, "Relaxed") => None,
        ("fence", order) => Some(format!("{order} fence")),
        (_, order) => Some(order.to_owned()),
    }
}

/// Where the site of a name stands in the file's text: the inverse of [`Site::name`]. `None` if it is not there.
pub fn find(file: &str, name: &str, text: &str) -> Option<Site> {
    sites(file, text).into_iter().find(|site| site.name(text).as_deref() == Some(name))
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The last name of the path that begins here.
fn called_word(text: &str) -> &str {
    let end = text.find(|letter: char| !is_of_name(letter) && letter != ':').unwrap_or(text.len());
    text[..end].rsplit(':').next().unwrap_or_default()
}

/// The function that begins in this line. Functions of ours begin at most one level deep.
fn function_name(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let at = if code.starts_with("fn ") { 0 } else { code.starts_with("pub").then(|| code.find(" fn "))?? + 1 };
    Some(called_word(&code[at + 3..]))
}

/// Where in the code of a line the function is called: columns of the beginnings of its path, from 0.
fn calls<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(word).filter_map(move |(at, _)| {
        let before = &code[..at];
        let whole = !before.ends_with(is_of_name) && code[at + word.len()..].starts_with('(');
        let start = before.trim_end_matches(|letter| is_of_name(letter) || letter == ':').len();
        (whole && !before.ends_with("fn ")).then_some(start)
    })
}

/// What to weaken, and where the platform was called from.
#[derive(Debug, Default)]
pub struct Weakening {
    targets: Vec<Site>,
    met: Mutex<BTreeMap<&'static Location<'static>, String>>,
    weakened: AtomicU64,
}

impl Weakening {
    /// Weakens all `targets`; without any it only remembers.
    pub fn of(targets: Vec<Site>) -> Arc<Self> {
        Arc::new(Self { targets, ..Self::default() })
    }

    /// The sites met so far whose ordering could be weaker.
    pub fn met(&self) -> BTreeSet<Site> {
        self.met.lock().unwrap().iter().map(|(location, strength)| Site::new(location, strength.clone())).collect()
    }

    /// How often a target was met.
    pub fn weakened(&self) -> u64 {
        self.weakened.load(Relaxed)
    }

    /// Whether this call is to be weakened.
    fn applies(&self, location: &'static Location<'static>, strength: impl FnOnce() -> String) -> bool {
        if self.targets.is_empty() {
            self.met.lock().unwrap().entry(location).or_insert_with(strength);
            return false;
        }
        let here = self.targets.iter().any(|target| target.is_at(location));
        self.weakened.fetch_add(u64::from(here), Relaxed);
        here
    }

    fn order(&self, location: &'static Location<'static>, order: Ordering) -> Ordering {
        let weak = order != Relaxed && self.applies(location, || format!("{order:?}"));
        if weak { Relaxed } else { order }
    }
}

impl<P: Platform> Lens<P> for Arc<Weakening> {
    fn access(&self, inner: &P, mut access: Access) -> Result<u64, u64> {
        access.operation = match access.operation {
            Operation::Load(order) => Operation::Load(self.order(access.site, order)),
            Operation::Store(value, order) => Operation::Store(value, self.order(access.site, order)),
            Operation::Swap(value, order) => Operation::Swap(value, self.order(access.site, order)),
            Operation::CompareExchange(words, [success, failure]) => {
                let weak = self.order(access.site, success);
                Operation::CompareExchange(words, [weak, if weak == success { failure } else { Relaxed }])
            }
            Operation::FetchAdd(value, order) => Operation::FetchAdd(value, self.order(access.site, order)),
            Operation::FetchOr(bits, order) => Operation::FetchOr(bits, self.order(access.site, order)),
            Operation::FetchAnd(bits, order) => Operation::FetchAnd(bits, self.order(access.site, order)),
            Operation::Fence(order) if self.applies(access.site, || format!("{order:?} fence")) => return Ok(0),
            Operation::LightFence if self.applies(access.site, || "light fence".into()) => return Ok(0),
            // It says that it could be had.
            Operation::HeavyFence if self.applies(access.site, || "heavy fence".into()) => return Ok(1),
            other => other,
        };
        access.on(inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
impl X {
    pub(super) fn first(&self) {
        self.load(a, Acquire);
    }
    fn second(&self) {
        self.load(a, Acquire); self.load(b, Relaxed);
        self.preload(c, Acquire); // not load(c, Acquire)
        self.platform()
            .load(c, Acquire);
        crate::participant::status_of(d);
        self.compare_exchange(e, (f, g),
            AcqRel, Relaxed);
    }
    #[track_caller]
    fn still(&self) {
        self.load(h, Acquire);
        self.fence(Release);
    }
    fn third(&self) {
        self.fence(Acquire); self.still();
    }
}";

    /// The danger: a table keyed by line numbers is a new table after every edit; a site that is not found is not checked.
    #[test]
    fn sites_are_found_and_named_by_their_function_and_their_ordinal_there() {
        let found = sites("engine/src/x.rs", SOURCE);
        let names: Vec<_> = found.iter().map(|site| site.name(SOURCE).unwrap()).collect();
        let expected = [
            "x.rs first load#1 Acquire",
            "x.rs second load#1 Acquire",
            "x.rs second load#3 Acquire",
            "x.rs second status_of#1 Acquire",
            "x.rs second compare_exchange#1 AcqRel",
            "x.rs third fence#1 Acquire fence",
            "x.rs third still#1 Acquire",
        ];
        assert_eq!(names, expected);
        for (site, name) in found.iter().zip(names) {
            assert_eq!(find("engine/src/x.rs", &name, SOURCE).as_ref(), Some(site));
        }
        assert_eq!(Site { line: 99, ..found[0].clone() }.name(SOURCE), None);
    }
}
