//! The operations of `pso.List` on many items at once. Items that stay keep their words; only what is new is encoded.

use std::collections::{HashMap, HashSet, VecDeque};

use pso_engine::error::Stop;
use pso_engine::object::{self, list};
use pso_engine::word::{BlockKind, Handle, Value};

use crate::fetch::{Fetched, Look};
use crate::ffi::method::Signature;
use crate::ffi::natives::{Native, Range};
use crate::ffi::slot::Comparison;
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
    let mut words = Vec::new();
    // Bound: an item behind the last is absent, and each that is not has memory.
    while let Some(value) = list::get(tx, handle, words.len() as u64)? {
        memory::push(py, &mut words, value)?;
    }
    Ok(words)
}

/// Makes the items those: writes what differs, appends or takes away what is behind, and discards what is there no more.
fn replace(py: Python<'_>, tx: &mut Tx, handle: Handle, before: &[Value], after: &[Value]) -> Result<(), Stop> {
    let mut taken = Vec::new();
    for place in (after.len()..before.len()).rev() {
        let item = list::remove(tx, handle, place as u64)?;
        memory::extend(py, &mut taken, item)?;
    }
    for (place, (old, new)) in before.iter().zip(after).enumerate() {
        if old != new {
            let item = list::exchange(tx, handle, place as u64, *new)?;
            memory::extend(py, &mut taken, item)?;
        }
    }
    for value in after.iter().skip(before.len()) {
        list::push(tx, handle, *value)?;
    }
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
        let handle = self.handle();
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
            let handle = this.handle();
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
        let handle = this.handle();
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
            let handle = self.handle();
            let (range, change) = self.space().operate(py, |tx| {
                let before = words(py, tx, handle)?;
                let range = slice.of(before.len());
                if range.step != 1 && range.count != drafts.len() {
                    return Ok((range, None));
                }
                let values = encode_all(py, tx, &plan, &drafts)?;
                let mut after = memory::copy(py, &before)?;
                if range.step == 1 {
                    let start = range.start.unsigned_abs();
                    memory::reserve(py, &mut after, values.len())?;
                    after.splice(start..start + range.count, values);
                } else {
                    range.places().zip(values).for_each(|(place, value)| after[place as usize] = value);
                }
                replace(py, tx, handle, &before, &after)?;
                Ok((range, Some(after.len() as i64 - before.len() as i64)))
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
        let handle = self.handle();
        let removed = self.space().operate(py, |tx| {
            let before = words(py, tx, handle)?;
            let range: Range = slice.of(before.len());
            let mut after = memory::copy(py, &before)?;
            // A word that no item is.
            range.places().for_each(|place| after[place as usize] = Value::ABSENT);
            after.retain(|word| !word.is_absent());
            replace(py, tx, handle, &before, &after)?;
            Ok(range.count)
        })?;
        self.proxy().wrote(py, -(removed as i64));
        Ok(())
    }

    /// The place of the first item in `start..stop` that equals `value`.
    fn find(&self, py: Python<'_>, value: &Any, start: usize, stop: usize) -> Result<Option<usize>> {
        let items = self.fetched(py)?;
        for (place, item) in items.into_iter().enumerate().take(stop).skip(start) {
            if item.into_object(py, self.space())?.equals(py, value)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    pub(crate) fn contains(this: &Instance<Self>, py: Python<'_>, value: &Any) -> Result<bool> {
        Ok(this.find(py, value, 0, usize::MAX)?.is_some())
    }

    pub(crate) fn count(this: &Instance<Self>, py: Python<'_>, value: &Any) -> Result<Object> {
        let mut count = 0;
        for item in this.objects(py)? {
            count += i64::from(item.equals(py, value)?);
        }
        py.int(count)
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
        let items = this.objects(py)?;
        let clip = |index: isize| {
            let index = if index < 0 { index.saturating_add_unsigned(items.len()) } else { index };
            index.clamp(0, isize::MAX).unsigned_abs()
        };
        for (place, item) in items.iter().enumerate().take(clip(stop)).skip(clip(start)) {
            if item.equals(py, value)? {
                return py.unsigned(place as u64);
            }
        }
        Err(Kind::Value.raise(py, format!("{} is not in list", value.repr_text(py))))
    }

    pub(crate) fn remove(this: &Instance<Self>, py: Python<'_>, value: &Any) -> Result<Object> {
        let handle = this.handle();
        // Comparing runs Python code, so finding and removing are two operations of one transaction.
        let removed = transaction::run(py, this.space(), Limits::default(), |py| {
            let Some(place) = this.find(py, value, 0, usize::MAX)? else { return Ok(py.bool(false)) };
            this.space().operate(py, |tx| match list::remove(tx, handle, place as u64)? {
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

    pub(crate) fn reverse(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        this.rearrange(py, |items| items.reverse())?;
        Ok(py.none())
    }

    fn rearrange(&self, py: Python<'_>, arrange: impl Fn(&mut [Value])) -> Result<()> {
        let handle = self.handle();
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
        let handle = this.handle();
        transaction::run(py, this.space(), Limits::default(), |py| {
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
        let handle = this.handle();
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
        let handle = this.handle();
        let change = this.space().operate(py, |tx| {
            let before = words(py, tx, handle)?;
            if times == 0 {
                list::truncate(tx, handle, 0)?;
                return Ok(-(before.len() as i64));
            }
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

    pub(crate) fn compare(
        this: &Instance<Self>,
        py: Python<'_>,
        other: &Any,
        comparison: Comparison,
    ) -> Result<Object> {
        let space = this.space();
        if let Some(other) = space.interpreter().types.list.cast(other) {
            if other.space().as_any().is(space.as_any()) {
                let both = [(BlockKind::List, this.handle()), (BlockKind::List, other.handle())];
                let copies = snapshot::plain(py, space, &both)?;
                return copies[0].compare(py, &copies[1], comparison);
            }
            let there = snapshot::plain_one(py, other.space(), BlockKind::List, other.handle())?;
            return snapshot::plain_one(py, space, BlockKind::List, this.handle())?.compare(py, &there, comparison);
        }
        if other.native_base() != Native::List {
            return Ok(py.not_implemented());
        }
        snapshot::plain_one(py, space, BlockKind::List, this.handle())?.compare(py, other, comparison)
    }
}
