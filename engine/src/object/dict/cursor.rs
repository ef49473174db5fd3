//! Going through a whole dict within one attempt.
//!
//! It logs each place, and `used` only where that stood when it began: who inserts before that is no conflict. From there on it goes no further than the
//! dict reached then. (Without that, it might chase who inserts for ever: what comes while the reads before are validated is the next entry.)

use super::Dict;
use super::entry::Entry;
use crate::error::Stop;
use crate::object::block::{glance_at_count, read_count};
use crate::object::vector::MOST_PLACES;
use crate::platform::Platform;
use crate::transaction::Participant;
use crate::word::{Handle, Value};

/// Where somebody is in a dict. For the attempt that made it, and as long as that does not change the dict.
#[derive(Clone, Copy)]
pub struct Cursor {
    dict: Dict,
    place: u64,
    /// Where to look next how many places are used, or all that are.
    end: u64,
    is_end_known: bool,
}

/// A cursor before the first entry.
pub fn cursor<P: Platform>(tx: &mut Participant<P>, handle: Handle) -> Result<Cursor, Stop> {
    let dict = Dict::open(tx, handle)?;
    let end = glance_at_count(tx, dict.used_cell(), MOST_PLACES);
    Ok(Cursor { dict, place: 0, end, is_end_known: false })
}

impl Cursor {
    /// The next key, in the order of insertion, with its value; `None` behind the last. Logs two cells, once one more, and those of the places before
    /// that are absent.
    #[inline]
    pub fn next<P: Platform>(&mut self, tx: &mut Participant<P>) -> Result<Option<(Value, Value)>, Stop> {
        match self.next_entry(tx)? {
            Some(entry) => Ok(Some((entry.key(tx)?, entry.value(tx)?))),
            None => Ok(None),
        }
    }

    /// The next key alone: whoever gives one that is there another value is no conflict.
    #[inline]
    pub fn next_key<P: Platform>(&mut self, tx: &mut Participant<P>) -> Result<Option<Value>, Stop> {
        self.next_entry(tx)?.map(|entry| entry.key(tx)).transpose()
    }

    fn next_entry<P: Platform>(&mut self, tx: &mut Participant<P>) -> Result<Option<Entry>, Stop> {
        // Bound: the places, each of which has memory.
        loop {
            if self.place >= self.end {
                if self.is_end_known {
                    return Ok(None);
                }
                (self.end, self.is_end_known) = (read_count(tx, self.dict.used_cell(), MOST_PLACES)?, true);
                continue;
            }
            let found = match self.is_end_known {
                true => self.dict.entry_at(tx, self.place)?,
                false => match self.dict.entry_if_any(tx, self.place)? {
                    Some(found) => found,
                    None => {
                        // It was a wrong estimate.
                        self.end = self.place;
                        continue;
                    }
                },
            };
            self.place += 1;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
}
