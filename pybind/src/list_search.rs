//! The operations of `pso.List` that look for an item, and comparison. They read as far as the answer, in one operation: what is
//! known by content is compared there, and what is not, as objects, after it.

use std::cmp::Ordering;
use std::ops::Range;

use pso_engine::error::Stop;
use pso_engine::object::{self, list};
use pso_engine::word::{BlockKind, Handle, Value};

use crate::equal::{self, Verdict};
use crate::fetch::{Fetched, Look, fetch};
use crate::ffi::method::Signature;
use crate::ffi::natives::Native;
use crate::ffi::slot::Comparison;
use crate::ffi::{Any, Arguments, Instance, Kind, Object, Python, Result};
use crate::list::List;
use crate::memory;
use crate::snapshot;
use crate::space::Tx;
use crate::transaction::{self, Limits};

/// How a list and another one go together, up to the first place where they do not.
enum Met {
    /// All that both have is equal: then their lengths tell.
    Lengths(Ordering),
    /// Items differ, and nobody asks which is less.
    Differ,
    /// These items differ: one that was read, and one of a place of the other list.
    Items(Fetched, Other),
    /// Objects have to be compared that are not known by content.
    Unknown,
}

/// The first place at which is what equals a value by content, and those before it whose items may equal it, too.
struct Looked {
    found: Option<u64>,
    doubtful: Vec<(u64, Fetched)>,
}

/// An item of the other list.
enum Other {
    Place(usize),
    Read(Fetched),
}

impl List {
    /// The place of the first item from `start` to `stop` that equals `value`.
    fn find(&self, py: Python<'_>, value: &Any, start: isize, stop: isize) -> Result<Option<u64>> {
        let space = self.space();
        let named = equal::held_object(space, value);
        // It may equal anything: nothing can be told before all is read.
        if named.is_none() && value.native() == Native::Other {
            return match equal::may_read(space, value) {
                true => equal::of_one_moment(py, space, |py| self.find_by_asking(py, value, start, stop)),
                false => self.find_by_asking(py, value, start, stop),
            };
        }
        let looked = self.look(py, value, start, stop)?;
        if looked.doubtful.is_empty() || space.interpreter().current(py).is_some() {
            return self.settle(py, value, looked);
        }
        equal::of_one_moment(py, space, |py| self.settle(py, value, self.look(py, value, start, stop)?))
    }

    /// Asks those who may equal `value` themselves.
    fn settle(&self, py: Python<'_>, value: &Any, looked: Looked) -> Result<Option<u64>> {
        for (place, item) in looked.doubtful {
            if item.into_object(py, self.space())?.equals(py, value)? {
                return Ok(Some(place));
            }
        }
        Ok(looked.found)
    }

    /// Looks for what is known by content.
    fn look(&self, py: Python<'_>, value: &Any, start: isize, stop: isize) -> Result<Looked> {
        // What is held may not be any more behind this.
        let (space, handle) = (self.space(), self.object(py)?);
        let named = equal::held_object(space, value);
        let mut doubtful: Vec<(u64, Fetched)> = Vec::new();
        let found = space.operate(py, |tx| {
            doubtful.clear();
            let mut look = Look::new(space);
            let places = Self::places(tx, handle, start, stop)?;
            let mut cursor = list::cursor(tx, handle, places.start)?;
            // Bound: an item behind the last is absent, and each that is not has memory.
            for place in places {
                let Some(item) = cursor.next(tx)? else { break };
                let verdict = match named {
                    None => equal::with_object(py, space, tx, item, value)?,
                    Some(named) => equal::with_proxy(tx, item, named)?,
                };
                match verdict {
                    Verdict::Equal => return Ok(Some(place)),
                    Verdict::Differs => {}
                    Verdict::Unknown => {
                        let item = look.fetch(py, tx, item)?;
                        memory::push(py, &mut doubtful, (place, item))?;
                    }
                }
            }
            Ok(None)
        })?;
        Ok(Looked { found, doubtful })
    }

    fn find_by_asking(&self, py: Python<'_>, value: &Any, start: isize, stop: isize) -> Result<Option<u64>> {
        let (space, handle) = (self.space(), self.object(py)?);
        let (first, items) = space.operate(py, |tx| {
            let places = Self::places(tx, handle, start, stop)?;
            let (first, mut items, mut look) = (places.start, Vec::new(), Look::new(space));
            let mut cursor = list::cursor(tx, handle, first)?;
            // Bound: as above.
            for _ in places {
                let Some(item) = cursor.next(tx)? else { break };
                let item = look.fetch(py, tx, item)?;
                memory::push(py, &mut items, item)?;
            }
            Ok((first, items))
        })?;
        for (place, item) in (first..).zip(items) {
            if item.into_object(py, space)?.equals(py, value)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The places between two bounds. Negative ones count from the end; what is behind that is among the places.
    fn places(tx: &mut Tx, handle: Handle, start: isize, stop: isize) -> Result<Range<u64>, Stop> {
        let length = if start < 0 || stop < 0 { list::len(tx, handle)? } else { 0 };
        let clip = |bound: isize| match bound {
            ..0 => length.saturating_sub(bound.unsigned_abs() as u64),
            _ => bound as u64,
        };
        Ok(clip(start)..clip(stop))
    }

    pub(crate) fn contains(this: &Instance<Self>, py: Python<'_>, value: &Any) -> Result<bool> {
        Ok(this.find(py, value, 0, isize::MAX)?.is_some())
    }

    pub(crate) fn count(this: &Instance<Self>, py: Python<'_>, value: &Any) -> Result<Object> {
        let count = |py: Python<'_>| -> Result<i64> {
            let mut count = 0;
            for item in this.objects(py)? {
                count += i64::from(item.equals(py, value)?);
            }
            Ok(count)
        };
        py.int(match equal::may_read(this.space(), value) {
            true => equal::of_one_moment(py, this.space(), count)?,
            false => count(py)?,
        })
    }

    pub(crate) fn index(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const INDEX: Signature<3> = Signature { function: "index", names: ["", "", ""], required: 1, positional: 3 };
        let [value, start, stop] = arguments.take(py, &INDEX)?;
        let Some(value) = value else { return Ok(py.none()) };
        let bound = |bound: &Any| match bound.is_index() {
            true => bound.clipped_index(py),
            false => Err(Kind::Type.raise(py, "slice indices must be integers or have an __index__ method")),
        };
        let start = start.map(bound).transpose()?.unwrap_or(0);
        let stop = stop.map(bound).transpose()?.unwrap_or(isize::MAX);
        match this.find(py, value, start, stop)? {
            Some(place) => py.unsigned(place),
            None => Err(Kind::Value.raise(py, format!("{} is not in list", value.repr_text(py)))),
        }
    }

    pub(crate) fn remove(this: &Instance<Self>, py: Python<'_>, value: &Any) -> Result<Object> {
        let handle = this.object(py)?;
        // Comparing may run Python code, so finding and removing are two operations of one transaction.
        let removed = transaction::run(py, this.space(), Limits::default(), |py| {
            let Some(place) = this.find(py, value, 0, isize::MAX)? else { return Ok(py.bool(false)) };
            this.space().operate(py, |tx| match list::remove(tx, handle, place)? {
                Some(item) => object::discard(tx, item),
                None => Ok(()),
            })?;
            Ok(py.bool(true))
        })?;
        if !removed.is_true_constant() {
            return Err(Kind::Value.raise(py, "list.remove(x): x not in list"));
        }
        this.proxy().wrote(py, -1);
        Ok(py.none())
    }

    pub(crate) fn compare(
        this: &Instance<Self>,
        py: Python<'_>,
        other: &Any,
        comparison: Comparison,
    ) -> Result<Object> {
        let space = this.space();
        if let Some(other) = space.interpreter().types.list.cast(other) {
            if other.space().as_any().is(space.as_any()) {
                let met = this.meet_list(py, other, comparison)?;
                if let Some(result) = this.decide(py, met, &[], comparison)? {
                    return Ok(result);
                }
                let both = [(BlockKind::List, this.object(py)?), (BlockKind::List, other.object(py)?)];
                let copies = snapshot::plain(py, space, &both)?;
                return copies[0].compare(py, &copies[1], comparison);
            }
            let there = snapshot::plain_one(py, other.space(), BlockKind::List, other.object(py)?)?;
            return snapshot::plain_one(py, space, BlockKind::List, this.object(py)?)?.compare(py, &there, comparison);
        }
        if other.native_base() != Native::List {
            return Ok(py.not_implemented());
        }
        // A subclass may compare in a manner of its own.
        if !other.compares_by_itself(Native::List) {
            let mut others = Vec::new();
            let met = this.meet_plain(py, other, &mut others, comparison)?;
            if let Some(result) = this.decide(py, met, &others, comparison)? {
                return Ok(result);
            }
        }
        snapshot::plain_one(py, space, BlockKind::List, this.object(py)?)?.compare(py, other, comparison)
    }

    /// With a plain list. The items that were looked at are kept, for whoever lets go of one may run its finalizer: until the attempt is over.
    fn meet_plain(&self, py: Python<'_>, other: &Any, others: &mut Vec<Object>, comparison: Comparison) -> Result<Met> {
        let (space, handle) = (self.space(), self.object(py)?);
        space.operate(py, |tx| {
            if comparison.is_by_equality() && list::len(tx, handle)? != other.list_len() as u64 {
                return Ok(Met::Differ);
            }
            // An attempt that runs again looks at all items again: the list may be another one by then.
            let base = others.len();
            let mut cursor = list::cursor(tx, handle, 0)?;
            // Bound: an item behind the last is absent, and each that is not has memory.
            for place in 0.. {
                let item = cursor.next(tx)?;
                memory::extend(py, others, other.list_item(place))?;
                let (item, object) = match (item, others.get(base + place)) {
                    (Some(item), Some(object)) => (item, object),
                    (item, object) => return Ok(Met::Lengths(item.is_some().cmp(&object.is_some()))),
                };
                match equal::with_object(py, space, tx, item, object)? {
                    Verdict::Equal => {}
                    Verdict::Unknown => return Ok(Met::Unknown),
                    Verdict::Differs if comparison.is_by_equality() => return Ok(Met::Differ),
                    Verdict::Differs => {
                        let item = self.plain_item(py, tx, item)?;
                        return Ok(item.map_or(Met::Unknown, |item| Met::Items(item, Other::Place(base + place))));
                    }
                }
            }
            Ok(Met::Unknown)
        })
    }

    /// With a list of the same space.
    fn meet_list(&self, py: Python<'_>, other: &Self, comparison: Comparison) -> Result<Met> {
        let (space, one, two) = (self.space(), self.object(py)?, other.object(py)?);
        space.operate(py, |tx| {
            if one == two || comparison.is_by_equality() {
                let order = list::len(tx, one)?.cmp(&list::len(tx, two)?);
                // Of a list and itself each item is the same.
                if one == two || order.is_ne() {
                    return Ok(Met::Lengths(order));
                }
            }
            let (mut first, mut second) = (list::cursor(tx, one, 0)?, list::cursor(tx, two, 0)?);
            // Bound: as above.
            loop {
                let (item, object) = match (first.next(tx)?, second.next(tx)?) {
                    (Some(item), Some(object)) => (item, object),
                    (item, object) => return Ok(Met::Lengths(item.is_some().cmp(&object.is_some()))),
                };
                match equal::of_values(py, space, tx, item, object)? {
                    Verdict::Equal => {}
                    Verdict::Unknown => return Ok(Met::Unknown),
                    Verdict::Differs if comparison.is_by_equality() => return Ok(Met::Differ),
                    Verdict::Differs => {
                        let both = (self.plain_item(py, tx, item)?, self.plain_item(py, tx, object)?);
                        let (Some(item), Some(object)) = both else { return Ok(Met::Unknown) };
                        return Ok(Met::Items(item, Other::Read(object)));
                    }
                }
            }
        })
    }

    /// An item to be compared; `None` for one that is compared as a copy.
    fn plain_item(&self, py: Python<'_>, tx: &mut Tx, item: Value) -> Result<Option<Fetched>, Stop> {
        let fetched = fetch(py, self.space(), tx, item)?;
        Ok((!fetched.names_live_object()).then_some(fetched))
    }

    /// What a comparison gives. `None`: all has to be read.
    fn decide(&self, py: Python<'_>, met: Met, others: &[Object], comparison: Comparison) -> Result<Option<Object>> {
        let space = self.space();
        Ok(Some(match met {
            Met::Lengths(order) => py.bool(comparison.holds(order)),
            Met::Differ => py.bool(comparison == Comparison::NotEqual),
            Met::Items(item, Other::Place(place)) => {
                item.into_object(py, space)?.compare(py, &others[place], comparison)?
            }
            Met::Items(item, Other::Read(other)) => {
                item.into_object(py, space)?.compare(py, &*other.into_object(py, space)?, comparison)?
            }
            Met::Unknown => return Ok(None),
        }))
    }
}
