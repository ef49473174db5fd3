//! The operations of `pso.List` on many items at once. Items that stay keep their words; only what is new is encoded.

use std::collections::{HashMap, HashSet, VecDeque};

use pso_engine::error::Stop;
use pso_engine::object::{self, list};
use pso_engine::word::{Handle, Value};

use crate::fetch::{Fetched, Look};
use crate::ffi::natives::Native;
use crate::ffi::slice::Range;
use crate::ffi::{Any, Arguments, Instance, Kind, Object, Own, Python, Result};
use crate::list::List;
use crate::memory;
use crate::plan::{self, Draft, Plan};
use crate::snapshot;
use crate::source::{self, Whole};
use crate::space::{Space, Tx};
use crate::transaction::{self, Limits};

/// The words of all items.
fn words(py: Python<'_>, tx: &mut Tx, handle: Handle) -> Result<Vec<Value>, Stop> {
    words_from(py, tx, handle, 0)
}

/// The words of the items from `start` on.
fn words_from(py: Python<'_>, tx: &mut Tx, handle: Handle, start: u64) -> Result<Vec<Value>, Stop> {
    let mut words = Vec::new();
    let mut cursor = list::cursor(tx, handle, start)?;
    // Bound: an item behind the last is absent, and each that is not has memory.
    while let Some(value) = cursor.next(tx)? {
        memory::push(py, &mut words, value)?;
    }
    Ok(words)
}

/// Makes the items those: writes what differs, appends or takes away what is behind, and discards what is there no more.
fn replace(py: Python<'_>, tx: &mut Tx, handle: Handle, before: &[Value], after: &[Value]) -> Result<(), Stop> {
    replace_from(py, tx, handle, 0, before, after)
}

/// The same for the items from `start` on.
fn replace_from(
    py: Python<'_>,
    tx: &mut Tx,
    handle: Handle,
    start: u64,
    before: &[Value],
    after: &[Value],
) -> Result<(), Stop> {
    let mut taken = Vec::new();
    for place in (after.len()..before.len()).rev() {
        let item = list::remove(tx, handle, start + place as u64)?;
        memory::extend(py, &mut taken, item)?;
    }
    for (place, (old, new)) in (start..).zip(before.iter().zip(after)) {
        if old != new {
            let item = list::exchange(tx, handle, place, *new)?;
            memory::extend(py, &mut taken, item)?;
        }
    }
    for value in after.iter().skip(before.len()) {
        list::push(tx, handle, *value)?;
    }
    discard_taken(py, tx, taken, after)
}

/// Discards what was taken out and does not stay.
fn discard_taken(py: Python<'_>, tx: &mut Tx, mut taken: Vec<Value>, after: &[Value]) -> Result<(), Stop> {
    taken.retain(|value| value.as_handle().is_some());
    if taken.is_empty() {
        return Ok(());
    }
    let mut stay = HashSet::new();
    for value in after {
        memory::insert(py, &mut stay, value.raw())?;
    }
    taken.into_iter().filter(|value| !stay.contains(&value.raw())).try_for_each(|value| object::discard(tx, value))
}

/// Gives the items of a slice other values, as many as there are places. Reads and writes nothing else.
fn replace_each(py: Python<'_>, tx: &mut Tx, handle: Handle, range: Range, values: &[Value]) -> Result<(), Stop> {
    let mut taken = Vec::new();
    for (place, value) in range.places().zip(values) {
        if list::get(tx, handle, place)? != Some(*value) {
            let item = list::exchange(tx, handle, place, *value)?;
            memory::extend(py, &mut taken, item)?;
        }
    }
    discard_taken(py, tx, taken, values)
}

/// Copies of items, for other places.
fn copies(py: Python<'_>, tx: &mut Tx, items: &[Value]) -> Result<Vec<Value>, Stop> {
    memory::collect(py, items.iter().map(|item| object::copy(tx, *item)))
}

fn encode_all(py: Python<'_>, tx: &mut Tx, plan: &Plan, drafts: &[Draft]) -> Result<Vec<Value>, Stop> {
    let made = plan.carry_out(py, tx)?;
    memory::collect(py, drafts.iter().map(|draft| made.value(tx, draft)))
}

impl List {
    /// The items of any iterable. Runs Python code, but for lists and tuples; what is shared is read at one moment.
    pub(crate) fn collect(py: Python<'_>, space: &Space, source: &Any) -> Result<Vec<Object>> {
        match source.native() {
            Native::List => return source.list_items(py),
            Native::Tuple => return source.tuple_items(py),
            _ => {}
        }
        if let Some(whole) = Whole::of(py, space.interpreter(), source)? {
            return whole.objects(py);
        }
        let mut items = Vec::new();
        let iterator = source.iterate(py)?;
        while let Some(item) = iterator.next(py)? {
            memory::push(py, &mut items, item)?;
        }
        Ok(items)
    }

    /// Runs `body` as one transaction if `source` is read as a whole in the same space, and in the same one, else as it is.
    fn with_source(&self, py: Python<'_>, source: &Any, body: impl Fn(Vec<Object>) -> Result<()>) -> Result<()> {
        let space = self.space();
        if !source::is_beside(py, space, source)? {
            return body(Self::collect(py, space, source)?);
        }
        transaction::run(py, space, Limits::default(), |py| {
            body(Self::collect(py, space, source)?)?;
            Ok(py.none())
        })
        .map(drop)
    }

    /// A new shared list.
    pub(crate) fn make_from(py: Python<'_>, space: &Instance<Space>, items: &[Object]) -> Result<Object> {
        let (plan, drafts) = plan::drafts(py, space, items, &|number| format!("list[{number}]"))?;
        let held = space.operate(py, |tx| {
            let handle = list::create(tx)?;
            let values = encode_all(py, tx, &plan, &drafts)?;
            replace(py, tx, handle, &[], &values)?;
            space.hold(tx, handle)
        })?;
        Space::list(space, py, held.handle(), Some(held)).map(Own::into_object)
    }

    /// What one of several new items is called in messages: where it comes to stand is not known yet.
    fn new_item(&self, number: usize) -> String {
        format!("item {number} of what is put into {}", self.proxy().name("list"))
    }

    fn fetched(&self, py: Python<'_>) -> Result<Vec<Fetched>> {
        let handle = self.object(py)?;
        self.space().operate(py, |tx| snapshot::list_items(py, &mut Look::new(self.space()), tx, handle))
    }
    fn as_objects(&self, py: Python<'_>, items: Vec<Fetched>) -> Result<Vec<Object>> {
        memory::collect(py, items.into_iter().map(|item| item.into_object(py, self.space())))
    }
    /// The items, live, of one moment.
    pub(crate) fn objects(&self, py: Python<'_>) -> Result<Vec<Object>> {
        let items = self.fetched(py)?;
        self.as_objects(py, items)
    }

    pub(crate) fn extend(this: &Instance<Self>, py: Python<'_>, source: &Any) -> Result<Object> {
        this.with_source(py, source, |items| {
            let (plan, drafts) = plan::drafts(py, this.space(), &items, &|number| this.new_item(number))?;
            let handle = this.object(py)?;
            this.space().operate(py, |tx| {
                for value in encode_all(py, tx, &plan, &drafts)? {
                    list::push(tx, handle, value)?;
                }
                Ok(())
            })?;
            this.proxy().wrote(py, items.len() as i64);
            Ok(())
        })?;
        Ok(py.none())
    }

    pub(crate) fn get_slice(this: &Instance<Self>, py: Python<'_>, slice: &Any) -> Result<Object> {
        let slice = slice.slice(py)?;
        let handle = this.object(py)?;
        let items = this.space().operate(py, |tx| {
            let length = list::len(tx, handle)?;
            let (mut items, mut look) = (Vec::new(), Look::new(this.space()));
            for place in slice.of(length as usize).places() {
                match list::get(tx, handle, place)? {
                    Some(value) => memory::push(py, &mut items, look.fetch(py, tx, value)?)?,
                    None => break,
                }
            }
            Ok(items)
        })?;
        py.list(this.as_objects(py, items)?)
    }

    pub(crate) fn set_slice(&self, py: Python<'_>, index: &Any, value: &Any) -> Result<()> {
        let slice = index.slice(py)?;
        let types = &self.space().interpreter().types;
        if !types.list.is_instance(value)
            && !value.has_attribute(py, c"__iter__")?
            && !value.has_attribute(py, c"__getitem__")?
        {
            let plain = slice.step == 1;
            let message = if plain { "can only assign an iterable" } else { "must assign iterable to extended slice" };
            return Err(Kind::Type.raise(py, message));
        }
        self.with_source(py, value, |items| {
            let (plan, drafts) = plan::drafts(py, self.space(), &items, &|number| self.new_item(number))?;
            let handle = self.object(py)?;
            let (range, change) = self.space().operate(py, |tx| {
                let range = slice.of(list::len(tx, handle)? as usize);
                if range.step != 1 && range.count != drafts.len() {
                    return Ok((range, None));
                }
                let values = encode_all(py, tx, &plan, &drafts)?;
                if range.count == values.len() {
                    replace_each(py, tx, handle, range, &values)?;
                } else {
                    // What is behind moves, and nothing before.
                    let start = range.start.unsigned_abs() as u64;
                    let before = words_from(py, tx, handle, start)?;
                    let mut after = values;
                    memory::extend(py, &mut after, before.iter().skip(range.count).copied())?;
                    replace_from(py, tx, handle, start, &before, &after)?;
                }
                Ok((range, Some(drafts.len() as i64 - range.count as i64)))
            })?;
            match change {
                Some(change) => self.proxy().wrote(py, change),
                None => {
                    let (given, wanted) = (drafts.len(), range.count);
                    let message =
                        format!("attempt to assign sequence of size {given} to extended slice of size {wanted}");
                    return Err(Kind::Value.raise(py, message));
                }
            }
            Ok(())
        })
    }

    pub(crate) fn delete_slice(&self, py: Python<'_>, index: &Any) -> Result<()> {
        let slice = index.slice(py)?;
        let handle = self.object(py)?;
        let removed = self.space().operate(py, |tx| {
            let range = slice.of(list::len(tx, handle)? as usize);
            // What is behind the first of them moves, and nothing before.
            let mut places = range.places();
            let ends = places.next().into_iter().chain(places.next_back());
            let Some(start) = ends.min() else { return Ok(0) };
            let before = words_from(py, tx, handle, start)?;
            let mut after = memory::copy(py, &before)?;
            for place in range.places() {
                if let Some(word) = after.get_mut((place - start) as usize) {
                    // A word that no item is.
                    *word = Value::ABSENT;
                }
            }
            after.retain(|word| !word.is_absent());
            replace_from(py, tx, handle, start, &before, &after)?;
            Ok(range.count)
        })?;
        self.proxy().wrote(py, -(removed as i64));
        Ok(())
    }

    pub(crate) fn reverse(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        this.rearrange(py, |items| items.reverse())?;
        Ok(py.none())
    }

    fn rearrange(&self, py: Python<'_>, arrange: impl Fn(&mut [Value])) -> Result<()> {
        let handle = self.object(py)?;
        let change = self.space().operate(py, |tx| {
            let before = words(py, tx, handle)?;
            let mut after = memory::copy(py, &before)?;
            arrange(&mut after);
            replace(py, tx, handle, &before, &after)?;
            Ok(after.len() as i64 - before.len() as i64)
        })?;
        self.proxy().wrote(py, change);
        Ok(())
    }

    pub(crate) fn sort(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        if !arguments.positional().is_empty() {
            return Err(Kind::Type.raise(py, "sort() takes no positional arguments"));
        }
        transaction::run(py, this.space(), Limits::default(), |py| {
            let handle = this.object(py)?;
            let (before, items) = this.space().operate(py, |tx| {
                let (before, mut look) = (words(py, tx, handle)?, Look::new(this.space()));
                let items = memory::collect(py, before.iter().map(|word| look.fetch(py, tx, *word)))?;
                Ok((before, items))
            })?;
            let objects = this.as_objects(py, items)?;
            // Where one object stands for several items, they are equal; each has a word of its own.
            let mut words_by_address: HashMap<usize, VecDeque<Value>> = HashMap::new();
            for (object, word) in objects.iter().zip(&before) {
                memory::reserve_key(py, &mut words_by_address)?;
                words_by_address.entry(object.address()).or_default().push_back(*word);
            }
            let sorted = py.list(objects)?;
            sorted.attribute(py, c"sort")?.call_like(py, &[], &arguments)?;
            let mut word_of = |item: &Object| words_by_address.get_mut(&item.address())?.pop_front();
            let mut after = memory::with_capacity(py, before.len())?;
            memory::extend(py, &mut after, sorted.list_items(py)?.iter().filter_map(&mut word_of))?;
            let modified = this.space().operate(py, |tx| {
                let now = words(py, tx, handle)?;
                let modified = now != before;
                // What was taken out meanwhile is discarded, and comes back as a copy.
                let after = if modified { copies(py, tx, &after)? } else { memory::copy(py, &after)? };
                replace(py, tx, handle, &now, &after)?;
                Ok(modified)
            })?;
            if modified {
                return Err(Kind::Value.raise(py, "list modified during sort"));
            }
            Ok(py.none())
        })?;
        this.proxy().wrote(py, 0);
        Ok(py.none())
    }

    pub(crate) fn copy(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let handle = this.object(py)?;
        let made = this.space().operate(py, |tx| {
            let items = words(py, tx, handle)?;
            let items = copies(py, tx, &items)?;
            let made = list::create(tx)?;
            replace(py, tx, made, &[], &items)?;
            this.space().hold(tx, made)
        })?;
        Space::list(this.space(), py, made.handle(), Some(made)).map(Own::into_object)
    }

    pub(crate) fn concat(this: &Instance<Self>, py: Python<'_>, other: &Any) -> Result<Object> {
        let space = this.space();
        let is_shared = space.interpreter().types.list.is_instance(other);
        if !is_shared && other.native_base() != Native::List {
            let message = format!("can only concatenate list (not \"{}\") to list", other.class_name());
            return Err(Kind::Type.raise(py, message));
        }
        let both = || {
            let mut items = this.objects(py)?;
            memory::extend(py, &mut items, Self::collect(py, space, other)?)?;
            py.list(items)
        };
        match source::is_beside(py, space, other)? {
            true => transaction::run(py, space, Limits::default(), |_| both()),
            false => both(),
        }
    }

    pub(crate) fn inplace_concat(this: &Instance<Self>, py: Python<'_>, other: &Any) -> Result<Object> {
        Self::extend(this, py, other)?;
        Ok(this.as_any().to_object())
    }

    pub(crate) fn repeat(this: &Instance<Self>, py: Python<'_>, times: isize) -> Result<Object> {
        let items = this.objects(py)?;
        let times = usize::try_from(times).unwrap_or(0);
        let mut repeated = Vec::new();
        if items.len().checked_mul(times).is_none_or(|total| repeated.try_reserve_exact(total).is_err()) {
            return Err(Kind::Memory.raise(py, "the list would be too large"));
        }
        (0..times).for_each(|_| repeated.extend_from_slice(&items));
        py.list(repeated)
    }

    pub(crate) fn inplace_repeat(this: &Instance<Self>, py: Python<'_>, times: isize) -> Result<Object> {
        let times = usize::try_from(times).unwrap_or(0);
        let length = this.length(py)? as usize;
        if length.checked_mul(times).is_none_or(|total| total > isize::MAX as usize / 16) {
            return Err(Kind::Memory.raise(py, "the list would be too large"));
        }
        if times == 1 {
            return Ok(this.as_any().to_object());
        }
        let handle = this.object(py)?;
        let change = this.space().operate(py, |tx| {
            if times == 0 {
                let length = list::len(tx, handle)?;
                list::truncate(tx, handle, 0)?;
                return Ok(-(length as i64));
            }
            let before = words(py, tx, handle)?;
            if before.is_empty() {
                return Ok(0);
            }
            // Pushed one by one, so that a space that is too small says so before memory runs out here.
            for _ in 1..times {
                for word in &before {
                    let copied = object::copy(tx, *word)?;
                    list::push(tx, handle, copied)?;
                }
            }
            Ok((before.len() * (times - 1)) as i64)
        })?;
        this.proxy().wrote(py, change);
        Ok(this.as_any().to_object())
    }
}
