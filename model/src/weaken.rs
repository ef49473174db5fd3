//! A platform around another one that weakens one ordering at one call site: an access becomes Relaxed, a fence nothing.
//!
//! Run the scenes once per site. A site whose weakening no scene notices is stronger than it need be, or not covered; both are
//! findings, and the table of sites (`model/expected/weaken.json`) holds a sentence for each.
//!
//! Sites are found, not listed: whoever wraps a platform with nothing to weaken learns where it was called from
//! (`#[track_caller]` on the trait `Memory` and on the engine's thin wrappers). A site's name is file, function, the word called there
//! and its ordinal in the function, so that edits elsewhere do not rename it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::sync::{Arc, Mutex};

use pso_engine::platform::{Ordering, Ordering::Relaxed, Platform};

use crate::lens::{Access, Lens, Operation, ProcessLens, Through};

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
        let word = leading_word(site);
        let (first, function) =
            (0..self.line as usize).rev().find_map(|line| Some((line, function_name(lines[line])?)))?;
        let call = format!("{word}(");
        let before = lines[first..self.line as usize - 1].iter().map(|line| count_calls(line, &call)).sum::<usize>();
        let in_line = count_calls(&lines[self.line as usize - 1][..self.column as usize - 1], &call);
        let file = self.file.rsplit('/').next()?;
        Some(format!("{file} {function} {word}#{} {}", before + in_line + 1, self.strength))
    }
}

/// Where the site of a name stands in the file's text: the inverse of [`Site::name`]. `None` if it is not there.
pub fn find(file: &str, name: &str, text: &str) -> Option<Site> {
    let mut parts = name.splitn(4, ' ');
    let (_, function, call, strength) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (word, ordinal) = call.split_once('#')?;
    let call = format!("{word}(");
    let mut left: usize = ordinal.parse().ok()?;
    let begins = text.lines().position(|line| function_name(line) == Some(function))?;
    for (number, line) in text.lines().enumerate().skip(begins) {
        if number > begins && function_name(line).is_some() {
            return None;
        }
        for column in calls(line, &call) {
            left -= 1;
            if left == 0 {
                let (line, column) = (number as u32 + 1, column as u32 + 1);
                return Some(Site { file: file.to_owned(), line, column, strength: strength.to_owned() });
            }
        }
    }
    None
}

fn leading_word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    &text[..end]
}

/// The function that begins in this line. Functions of ours begin at most one level deep.
fn function_name(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let at = if code.starts_with("fn ") { 0 } else { code.starts_with("pub").then(|| code.find(" fn "))?? + 1 };
    Some(leading_word(&code[at + 3..]))
}

fn count_calls(line: &str, call: &str) -> usize {
    calls(line, call).count()
}

/// Where in the code of a line the call stands.
fn calls<'a>(line: &'a str, call: &'a str) -> impl Iterator<Item = usize> + 'a {
    let code = line.split("//").next().unwrap_or_default();
    let starts_word = |at: usize| !code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    code.match_indices(call).map(|(at, _)| at).filter(move |at| starts_word(*at))
}

/// What to weaken, and where the platform was called from.
#[derive(Debug, Default)]
pub struct Weakening {
    target: Option<Site>,
    met: Mutex<BTreeMap<&'static Location<'static>, String>>,
}

impl Weakening {
    /// Weakens `target`; with `None` it only remembers.
    pub fn of(target: Option<Site>) -> Arc<Self> {
        Arc::new(Self { target, met: Mutex::default() })
    }

    /// The sites met so far whose ordering could be weaker.
    pub fn met(&self) -> BTreeSet<Site> {
        self.met.lock().unwrap().iter().map(|(location, strength)| Site::new(location, strength.clone())).collect()
    }

    /// Whether this call is to be weakened.
    fn applies(&self, location: &'static Location<'static>, strength: impl FnOnce() -> String) -> bool {
        match &self.target {
            Some(target) => target.is_at(location),
            None => {
                self.met.lock().unwrap().entry(location).or_insert_with(strength);
                false
            }
        }
    }

    fn order(&self, location: &'static Location<'static>, order: Ordering) -> Ordering {
        let weak = order != Relaxed && self.applies(location, || format!("{order:?}"));
        if weak { Relaxed } else { order }
    }
}

/// The platform `P`, with one ordering weakened.
pub type Weaken<P> = Through<P, Arc<Weakening>>;

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
            other => other,
        };
        access.on(inner)
    }
}

impl<P: Platform> ProcessLens<P> for Arc<Weakening> {
    fn another(&self) -> Self {
        Arc::clone(self)
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
        self.load(a, Acquire); self.load(b, Acquire);
        self.preload(c);
        self.platform()
            .load(c, Acquire);
    }
}";

    fn name(line: u32, column: u32) -> Option<String> {
        let site = Site { file: "engine/src/x.rs".into(), line, column, strength: "Acquire".into() };
        let name = site.name(SOURCE)?;
        assert_eq!(find("engine/src/x.rs", &name, SOURCE), Some(site));
        Some(name)
    }

    /// The danger: a table keyed by line numbers is a new table after every edit.
    #[test]
    fn a_site_is_named_by_its_function_and_its_ordinal_there() {
        assert_eq!(name(3, 14).as_deref(), Some("x.rs first load#1 Acquire"));
        assert_eq!(name(6, 14).as_deref(), Some("x.rs second load#1 Acquire"));
        assert_eq!(name(6, 37).as_deref(), Some("x.rs second load#2 Acquire"));
        assert_eq!(name(9, 14).as_deref(), Some("x.rs second load#3 Acquire"));
        assert_eq!(name(99, 1), None);
    }
}
