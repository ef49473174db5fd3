//! Iterators over dicts and lists.
//!
//! An iterator reads a few entries ahead, each batch at one moment. A change by this interpreter makes it throw away what it
//! has read ahead, and so does the begin and the end of a transaction: what was read in one is of no other. So who changes something
//! in each turn of a loop has them read one by one. Changes of size
//! by this interpreter raise as the builtin does; those by others are met or missed, and never torn. Inside a transaction
//! nothing changes but by the body itself.
//!
//! Others may move what is left of a dict, too, so an iterator over one remembers which entry comes next, and the last that it has given. It goes on with the first that is still
//! there, and gives no more entries than there were when it began: what was inserted since comes behind all of those. So it gives once what is there all the time, and has
//! an end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use pso_engine::error::Stop;
use pso_engine::object::dict::Met;
use pso_engine::object::{dict, list};
use pso_engine::word::{Handle, Value};

use crate::dict::Dict;
use crate::fetch::{Fetched, fetch};
use crate::ffi::slot::Slot;
use crate::ffi::{Any, Class, Instance, Kind, Method, NoExtra, Object, Own, Python, Result, Type};
use crate::list::List;
use crate::snapshot::Entry;
use crate::space::{Space, Tx};
use crate::transaction::Growth;

/// Entries read ahead, at most.
const BATCH: usize = 32;
/// Of so many entries it is remembered that they were given, the last ones. If others take all of them out between two batches, and the one that comes next, and move the rest,
/// it begins anew: what is left of those that were given before is given twice, and as much is left out at the end. (Or, if what stood last is gone, too, goes on at its place.)
const REMEMBERED: usize = 512;

/// What an iterator over a dict gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Keys.
    Keys,
    /// Values.
    Values,
    /// Pairs.
    Items,
}

impl Part {
    /// What it gives of an entry.
    pub fn of(self, py: Python<'_>, space: &Instance<Space>, (key, value): Entry) -> Result<Object> {
        match self {
            Self::Keys => key.into_object(py, space),
            Self::Values => value.into_object(py, space),
            Self::Items => py.tuple(vec![key.into_object(py, space)?, value.into_object(py, space)?]),
        }
    }
}

/// What that which was read ahead holds for: changes by this interpreter so far; the attempt, and what was undone in it.
type Seen = (u64, (u64, u64));

/// What was read ahead.
struct Ahead<T> {
    items: RefCell<VecDeque<T>>,
    seen: Cell<Seen>,
    /// How many were asked for last, and what that held for. `None`: nothing was read yet.
    asked: Cell<Option<(usize, Seen)>>,
}

impl<T> Ahead<T> {
    fn new(writes: u64) -> Self {
        Self { items: RefCell::default(), seen: Cell::new((writes, (0, 0))), asked: Cell::new(None) }
    }

    /// How many are read next: one after something has changed, for that may go on; then more and more.
    fn ask(&self, seen: Seen) -> usize {
        let count = match self.asked.get() {
            None => BATCH,
            Some((_, before)) if before != seen => 1,
            Some((count, _)) => BATCH.min(2 * count),
        };
        self.asked.set(Some((count, seen)));
        count
    }

    /// The next item. `given`: another number after each. `now`: what is read holds for that. `read`: reads what comes next, so many at most.
    fn next(
        &self,
        given: &Cell<u64>,
        now: impl Fn() -> Result<Seen>,
        read: impl Fn(u64, usize) -> Result<Vec<T>>,
    ) -> Result<Option<T>> {
        // Each turn after the first follows on a change by somebody else.
        loop {
            let seen = now()?;
            if self.seen.replace(seen) != seen {
                // Outside of the borrow: what goes may be the last reference to a proxy, and somebody may be told of that.
                drop(self.items.take());
            }
            let next = self.items.borrow_mut().pop_front();
            if next.is_some() {
                return Ok(next);
            }
            let before = given.get();
            let batch = read(before, self.ask(seen))?;
            // It may have slept: another thread, or the handler of a signal, may have gone on from there.
            if now()? != seen || given.get() != before || !self.items.borrow().is_empty() {
                continue;
            }
            if batch.is_empty() {
                return Ok(None);
            }
            self.items.borrow_mut().extend(batch);
        }
    }
}

/// An entry that was read.
struct Item {
    met: Met,
    /// The one behind it.
    coming: Option<Met>,
    key: Fetched,
    value: Fetched,
}

/// An iterator over a dict.
pub struct DictIterator {
    /// `None` once it is exhausted.
    dict: RefCell<Option<Own<Dict>>>,
    part: Part,
    reverse: bool,
    place: Cell<u64>,
    given: Cell<u64>,
    /// So many are given at most: as there were when it began. Known with the first batch, or at once by who goes backwards.
    most: Cell<u64>,
    /// What stood last then, for who goes forwards and has more than a batch before him.
    end: Cell<Option<Met>>,
    /// What came next when the last one was read.
    coming: Cell<Option<Met>>,
    /// The last ones that were given, the very last one first.
    met: RefCell<VecDeque<Met>>,
    ahead: Ahead<Item>,
    growth: Growth,
}

impl Class for DictIterator {
    type Extra = NoExtra;

    fn retire(&self, _this: &Any) {
        if let Some(dict) = self.dict.borrow().as_ref() {
            dict.proxy().iterated(false);
        }
    }
}

static DICT_METHODS: [Method<DictIterator>; 2] =
    [Method::plain(c"__length_hint__", DictIterator::length_hint, c"How many are left, about."), Method::END];
static LIST_METHODS: [Method<ListIterator>; 2] =
    [Method::plain(c"__length_hint__", ListIterator::length_hint, c"How many are left, about."), Method::END];

impl DictIterator {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots = vec![Slot::iterates_itself(), Slot::next(Self::next), Slot::methods(&DICT_METHODS)];
        Type::new(py, module, c"pso._core.DictIterator", crate::ffi::class::NOT_CONSTRUCTIBLE, slots)
    }

    /// A new one, at the start (or the end).
    pub fn start(py: Python<'_>, dict: &Instance<Dict>, part: Part, reverse: bool) -> Result<Object> {
        // Before the end is looked up: what changes after is noticed.
        let growth = dict.proxy().growth(py);
        let (last, most) = match reverse {
            true => Self::end_of(py, dict)?,
            false => (None, u64::MAX),
        };
        let value = Self {
            dict: RefCell::new(Some(dict.own())),
            part,
            reverse,
            place: Cell::new(last.map_or(0, |last| last.place() + 1)),
            given: Cell::new(0),
            most: Cell::new(most),
            end: Cell::new(None),
            coming: Cell::new(last),
            met: RefCell::default(),
            ahead: Ahead::new(dict.proxy().writes()),
            growth,
        };
        dict.proxy().iterated(true);
        let types = &dict.proxy().space().interpreter().types;
        Ok(types.dict_iterator.create(py, value)?.into_object())
    }

    /// The last entry, from which to go backwards, and how many there are.
    fn end_of(py: Python<'_>, dict: &Instance<Dict>) -> Result<(Option<Met>, u64)> {
        let handle = dict.proxy().object(py)?;
        dict.proxy().space().operate(py, |tx| {
            let last = dict::meet_previous_key(tx, handle, u64::MAX)?.map(|(met, _)| met);
            Ok((last, dict::len(tx, handle)?))
        })
    }

    fn next(this: &Instance<Self>, py: Python<'_>) -> Result<Option<Object>> {
        let Some(dict) = this.dict.borrow().clone() else { return Ok(None) };
        let proxy = dict.proxy();
        let now = || match proxy.growth(py).is_none_since(this.growth) {
            true => Ok((proxy.writes(), proxy.space().interpreter().attempt(py))),
            false => Err(Kind::Runtime.raise(py, "dictionary changed size during iteration")),
        };
        let next = match this.given.get() < this.most.get() {
            true => this.ahead.next(&this.given, now, |_, count| this.read_ahead(py, &dict, count))?,
            false => now().map(|_| None)?,
        };
        let Some(Item { met, coming, key, value }) = next else {
            // Once, though another thread may have come to the end meanwhile.
            let exhausted = this.dict.take();
            this.met.take();
            if exhausted.is_some() {
                dict.proxy().iterated(false);
            }
            return Ok(None);
        };
        this.remember(met, coming);
        this.part.of(py, proxy.space(), (key, value)).map(Some)
    }

    fn length_hint(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let Some(dict) = this.dict.borrow().clone() else { return py.int(0) };
        py.unsigned(dict.length(py)?.saturating_sub(this.given.get()))
    }

    /// One is given.
    fn remember(&self, met: Met, coming: Option<Met>) {
        self.place.set(self.behind_of(&met));
        self.given.set(self.given.get() + 1);
        self.coming.set(coming);
        let mut remembered = self.met.borrow_mut();
        remembered.truncate(REMEMBERED - 1);
        // Where there is no memory for one more, the oldest is forgotten.
        if remembered.try_reserve(1).is_err() && remembered.pop_back().is_none() {
            return;
        }
        remembered.push_front(met);
    }

    /// Where to look for the one behind an entry.
    fn behind_of(&self, met: &Met) -> u64 {
        if self.reverse { met.place() } else { met.place() + 1 }
    }

    fn read_ahead(&self, py: Python<'_>, dict: &Dict, count: usize) -> Result<Vec<Item>> {
        let (reverse, part) = (self.reverse, self.part);
        let handle = dict.proxy().object(py)?;
        let space = dict.proxy().space();
        let (batch, most, end) = space.operate(py, |tx| {
            let mut batch: Vec<Item> = Vec::with_capacity(count);
            let anew = reverse && self.begins_anew(tx, handle)?;
            let mut place = if anew { u64::MAX } else { self.goes_on_from(tx, handle)? };
            let (mut most, mut end) = (self.most.get(), self.end.get());
            if anew {
                most = dict::len(tx, handle)?;
            }
            if most == u64::MAX {
                most = dict::len(tx, handle)?;
                if most > BATCH as u64 {
                    end = dict::meet_previous_key(tx, handle, u64::MAX)?.map(|(met, _)| met);
                }
            }
            loop {
                // Who wants keys reads no value: another one for a key is no conflict. Nor is one for what comes next.
                let found = match part == Part::Keys || batch.len() == count {
                    true if reverse => dict::meet_previous_key(tx, handle, place)?.map(|(met, key)| (met, key, None)),
                    true => dict::meet_next_key(tx, handle, place)?.map(|(met, key)| (met, key, None)),
                    false if reverse => dict::meet_previous(tx, handle, place)?.map(with_value),
                    false => dict::meet_next(tx, handle, place)?.map(with_value),
                };
                let Some((met, key, value)) = found else {
                    // All of them in one batch: one that comes after a change may be smaller.
                    if !reverse && self.most.get() == u64::MAX {
                        end = batch.last().map(|last| last.met);
                    }
                    break;
                };
                if let Some(last) = batch.last_mut() {
                    last.coming = Some(met);
                }
                if batch.len() == count {
                    break;
                }
                let key = if part == Part::Values { Fetched::None } else { fetch(py, space, tx, key)? };
                let value = value.map_or(Ok(Fetched::None), |value| fetch(py, space, tx, value))?;
                place = self.behind_of(&met);
                batch.push(Item { met, coming: None, key, value });
            }
            Ok((batch, most, end))
        })?;
        // Of two threads that have begun at once the one may have seen less than the other: then nothing is left out.
        self.most.set(match self.most.get() {
            u64::MAX => most,
            known => known.max(most),
        });
        self.end.set(end);
        Ok(batch)
    }

    /// Whether what stood last when somebody began to go backwards was taken out before his first step: then nothing tells him where it stood, and what stands last by now is
    /// where he begins.
    fn begins_anew(&self, tx: &mut Tx, handle: Handle) -> std::result::Result<bool, Stop> {
        let first = self.coming.get().filter(|_| self.given.get() == 0);
        Ok(first.is_some() && dict::place_of_met(tx, handle, first)?.is_none())
    }

    /// Where those begin that were not given.
    fn goes_on_from(&self, tx: &mut Tx, handle: Handle) -> std::result::Result<u64, Stop> {
        if let Some(place) = dict::place_of_met(tx, handle, self.coming.get())? {
            return Ok(if self.reverse { place + 1 } else { place });
        }
        // One at a time: whoever reads may sleep, and another thread go on with this iterator.
        let met = (0..).map_while(|number| self.met.borrow().get(number).copied());
        Ok(match dict::place_of_met(tx, handle, met)? {
            Some(place) if self.reverse => place,
            Some(place) => place + 1,
            // What was given is gone, as far as that is remembered, and not all that there was: nothing that is left was given, unless much was, and what was given first
            // has outlived what was given last.
            None if dict::place_of_met(tx, handle, self.end.get())?.is_some() => 0,
            // What moves down is not missed by who goes down; who goes up may miss what has moved past.
            None => self.place.get(),
        })
    }
}

fn with_value((met, key, value): (Met, Value, Value)) -> (Met, Value, Option<Value>) {
    (met, key, Some(value))
}

/// An iterator over a list.
pub struct ListIterator {
    list: RefCell<Option<Own<List>>>,
    reverse: bool,
    /// The next index; when going backwards, one more than it.
    place: Cell<u64>,
    ahead: Ahead<Fetched>,
}

impl Class for ListIterator {
    type Extra = NoExtra;
}

impl ListIterator {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots = vec![Slot::iterates_itself(), Slot::next(Self::next), Slot::methods(&LIST_METHODS)];
        Type::new(py, module, c"pso._core.ListIterator", crate::ffi::class::NOT_CONSTRUCTIBLE, slots)
    }

    /// A new one, at the start (or the end).
    pub fn start(py: Python<'_>, list: &Instance<List>, reverse: bool) -> Result<Object> {
        let place = if reverse { list.length(py)? } else { 0 };
        let value = Self {
            list: RefCell::new(Some(list.own())),
            reverse,
            place: Cell::new(place),
            ahead: Ahead::new(list.proxy().writes()),
        };
        let types = &list.proxy().space().interpreter().types;
        Ok(types.list_iterator.create(py, value)?.into_object())
    }

    fn next(this: &Instance<Self>, py: Python<'_>) -> Result<Option<Object>> {
        let Some(list) = this.list.borrow().clone() else { return Ok(None) };
        let proxy = list.proxy();
        let now = || Ok((proxy.writes(), proxy.space().interpreter().attempt(py)));
        let next = this.ahead.next(&this.place, now, |place, count| this.read_ahead(py, &list, place, count))?;
        let Some(item) = next else {
            drop(this.list.take());
            return Ok(None);
        };
        let place = this.place.get();
        this.place.set(if this.reverse { place - 1 } else { place + 1 });
        item.into_object(py, proxy.space()).map(Some)
    }

    fn read_ahead(&self, py: Python<'_>, list: &List, start: u64, count: usize) -> Result<Vec<Fetched>> {
        let reverse = self.reverse;
        let handle = list.proxy().object(py)?;
        let space = list.proxy().space();
        space.operate(py, |tx| {
            let mut batch = Vec::with_capacity(count);
            let mut place = start;
            while batch.len() < count && !(reverse && place == 0) {
                let index = if reverse { place - 1 } else { place };
                let Some(value) = list::get(tx, handle, index)? else { break };
                batch.push(fetch(py, space, tx, value)?);
                place = if reverse { place - 1 } else { place + 1 };
            }
            Ok(batch)
        })
    }

    fn length_hint(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let Some(list) = this.list.borrow().clone() else { return py.int(0) };
        let length = list.length(py)?;
        let left = if this.reverse { this.place.get().min(length) } else { length.saturating_sub(this.place.get()) };
        py.unsigned(left)
    }
}
