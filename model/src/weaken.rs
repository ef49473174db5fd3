//! A platform around another one that weakens one ordering at one call site: an access becomes Relaxed, a fence nothing.
//!
//! Run the scenes once per site. A site whose weakening no scene notices is stronger than it need be, or not covered; both are
//! findings, and the table of sites (`model/expected/weaken.json`) holds a sentence for each.
//!
//! Sites are found, not listed: whoever wraps a platform with nothing to weaken learns where it was called from
//! (`#[track_caller]` on [`Memory`] and on the engine's thin wrappers). A site's name is file, function, the word called there
//! and its ordinal in the function, so that edits elsewhere do not rename it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;
use std::sync::{Arc, Mutex};

use pso_engine::platform::{
    Liveness, Memory, Ordering, Ordering::Relaxed, OutOfPages, ProcessIdentity, System, WaitOutcome, WordKind,
};
use pso_engine::word::{ProcessSlotId, WordAddress};

use crate::scenario::World;

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
    pub fn new(target: Option<Site>) -> Arc<Self> {
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

/// The platform `inner`, with one ordering weakened.
#[derive(Clone)]
pub struct Weaken<P> {
    inner: P,
    weakening: Arc<Weakening>,
}

impl<P> Weaken<P> {
    /// Wraps a platform.
    pub fn new(inner: P, weakening: Arc<Weakening>) -> Self {
        Self { inner, weakening }
    }
}

impl<P: World> World for Weaken<P> {
    fn process(&self) -> Self {
        Self { inner: self.inner.process(), weakening: Arc::clone(&self.weakening) }
    }
    fn kill_process(&self, slot: ProcessSlotId) {
        self.inner.kill_process(slot);
    }
}

impl<P: Memory> Memory for Weaken<P> {
    fn load(&self, address: WordAddress, order: Ordering) -> u64 {
        self.inner.load(address, self.weakening.order(Location::caller(), order))
    }
    fn store(&self, address: WordAddress, value: u64, order: Ordering) {
        self.inner.store(address, value, self.weakening.order(Location::caller(), order));
    }
    fn swap(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.inner.swap(address, value, self.weakening.order(Location::caller(), order))
    }
    fn compare_exchange(
        &self,
        address: WordAddress,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        let order = self.weakening.order(Location::caller(), success);
        let failure = if order == success { failure } else { Relaxed };
        self.inner.compare_exchange(address, current, new, order, failure)
    }
    fn fetch_add(&self, address: WordAddress, value: u64, order: Ordering) -> u64 {
        self.inner.fetch_add(address, value, self.weakening.order(Location::caller(), order))
    }
    fn fetch_or(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.inner.fetch_or(address, bits, self.weakening.order(Location::caller(), order))
    }
    fn fetch_and(&self, address: WordAddress, bits: u64, order: Ordering) -> u64 {
        self.inner.fetch_and(address, bits, self.weakening.order(Location::caller(), order))
    }
    fn load_plain(&self, address: WordAddress) -> u64 {
        self.inner.load_plain(address)
    }
    fn store_plain(&self, address: WordAddress, value: u64) {
        self.inner.store_plain(address, value);
    }
    fn with_payload<R>(&self, address: WordAddress, length: usize, reader: impl FnOnce(&[u8]) -> R) -> R {
        self.inner.with_payload(address, length, reader)
    }
    fn write_payload(&self, address: WordAddress, bytes: &[u8]) {
        self.inner.write_payload(address, bytes);
    }
    fn retype(&self, address: WordAddress, words: u64, kind: WordKind) {
        self.inner.retype(address, words, kind);
    }
    fn fence(&self, order: Ordering) {
        if !self.weakening.applies(Location::caller(), || format!("{order:?} fence")) {
            self.inner.fence(order);
        }
    }
    fn light_fence(&self) {
        if !self.weakening.applies(Location::caller(), || "light fence".into()) {
            self.inner.light_fence();
        }
    }
    fn heavy_fence(&self) {
        if !self.weakening.applies(Location::caller(), || "heavy fence".into()) {
            self.inner.heavy_fence();
        }
    }
}

impl<P: System> System for Weaken<P> {
    fn now_ns(&self) -> u64 {
        self.inner.now_ns()
    }
    fn coarse_ns(&self) -> u64 {
        self.inner.coarse_ns()
    }
    fn spin_hint(&self) {
        self.inner.spin_hint();
    }
    fn spin_ns(&self) -> u64 {
        self.inner.spin_ns()
    }
    fn wait(&self, bell: WordAddress, expected: u32, timeout_ns: u64) -> WaitOutcome {
        self.inner.wait(bell, expected, timeout_ns)
    }
    fn wake(&self, bell: WordAddress) {
        self.inner.wake(bell);
    }
    fn commit_pages(&self, address: WordAddress, words: u64) -> Result<(), OutOfPages> {
        self.inner.commit_pages(address, words)
    }
    fn punch_pages(&self, address: WordAddress, words: u64) {
        self.inner.punch_pages(address, words);
    }
    fn claim_liveness(&self, slot: ProcessSlotId) -> bool {
        self.inner.claim_liveness(slot)
    }
    fn release_liveness(&self, slot: ProcessSlotId) {
        self.inner.release_liveness(slot);
    }
    fn liveness(&self, slot: ProcessSlotId, identity: ProcessIdentity) -> Liveness {
        self.inner.liveness(slot, identity)
    }
    fn identity(&self) -> ProcessIdentity {
        self.inner.identity()
    }
    fn thread_number(&self) -> u64 {
        self.inner.thread_number()
    }
    fn forked(&self) -> bool {
        self.inner.forked()
    }
    fn entropy(&self) -> u64 {
        self.inner.entropy()
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
