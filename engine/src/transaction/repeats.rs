//! Reads of a long attempt that its log has already: a body that goes round and round over the same objects would need a log as long as it runs.
//!
//! From [`MANY`] reads on each is looked up in a table of the participant's own before it is noted. Short attempts pay nothing for it. The table forgets:
//! what it does not know is noted once more. What it knows is in the log of this attempt, and with the same version: so the
//! cell is validated, and what its value names is kept, by the entry that is there. (Where an alternative is undone, entries go, and all is forgotten.)
//! Now and then one is noted all the same: a log that grows is a sign of life.

use crate::word::CellAddress;

/// Reads of an attempt from which on it is asked.
pub(super) const MANY: u64 = 1 << 14;
/// Reads that are remembered, by a hash: half a MiB.
const PLACES: usize = 1 << 15;
/// Of so many that are there one is noted again.
const TO_A_SIGN: u64 = 1 << 12;
/// Fibonacci hashing: 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Cells, and the versions (or what is named) that were noted of them, of one attempt.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    of: u64,
    found: u64,
    places: Vec<(u64, u64)>,
}

impl Repeats {
    /// Whether it was noted by this attempt, and need not be noted again.
    pub fn has(&mut self, seq: u64, cell: CellAddress, what: u64) -> bool {
        let is_there = self.of == seq && self.places.get(place(cell, what)) == Some(&(cell.index(), what));
        self.found += u64::from(is_there);
        is_there && !self.found.is_multiple_of(TO_A_SIGN)
    }

    /// It was, just now.
    pub fn note(&mut self, seq: u64, cell: CellAddress, what: u64) {
        if self.of != seq || self.places.is_empty() {
            self.places.clear();
            // Without memory for it all are noted again and again.
            if self.places.try_reserve_exact(PLACES).is_err() {
                return;
            }
            // No cell lies at 0.
            self.places.resize(PLACES, (0, 0));
            self.of = seq;
        }
        self.places[place(cell, what)] = (cell.index(), what);
    }
}

/// By both: all that is named is noted of one cell.
fn place(cell: CellAddress, what: u64) -> usize {
    ((cell.index() ^ what.rotate_left(20)).wrapping_mul(GOLDEN) >> (u64::BITS - PLACES.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::WordAddress;

    #[test]
    fn what_was_noted_by_another_attempt_or_in_another_version_is_not_known() {
        let mut repeats = Repeats::default();
        let cells = [10, 12].map(|index| CellAddress::new(WordAddress::new(index)));
        assert!(!repeats.has(0, cells[0], 7), "nothing is");
        repeats.note(3, cells[0], 7);
        assert!(repeats.has(3, cells[0], 7));
        assert!(!repeats.has(3, cells[0], 8) && !repeats.has(4, cells[0], 7) && !repeats.has(3, cells[1], 7));
        repeats.note(4, cells[1], 9);
        assert!(repeats.has(4, cells[1], 9));
        assert!(!repeats.has(4, cells[0], 7) && !repeats.has(3, cells[0], 7));
    }
}
