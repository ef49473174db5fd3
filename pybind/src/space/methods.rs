//! What Python sees of a space.

use std::time::Duration;

use pso_engine::arena::HotWord;
use pso_engine::census::census;
use pso_engine::collection;
use pso_engine::fsck::{CLEARING_TRIES, fsck_after_deaths};
use pso_engine::participant::{Claim, Slot as ParticipantSlot};
use pso_engine::platform::Memory;
use pso_engine::platform::Ordering::Relaxed;
use pso_engine::space::Holders;
use pso_engine::word::ParticipantId;

use super::Space;
use crate::body;
use crate::decorate;
use crate::dict::Dict;
use crate::ffi::method::Signature;
use crate::ffi::slot::Slot;
use crate::ffi::{Any, Arguments, Instance, Kind, Method, Object, Own, Property, Python, Result, Type, gil};
use crate::garbage::{self, Share};
use crate::list::List;
use crate::queue::Queue;
use crate::record::Recording;
use crate::registry::Location;
use crate::transaction::{self, Irrevocable, Limits};

/// So long has another process that is clearing up after the dead before `fsck` looks again.
const CLEARING_PAUSE: Duration = Duration::from_millis(5);

static METHODS: [Method<Space>; 18] = [
    Method::plain(c"close", Space::close, c"close($self, /)\n--\n\nClose the space in this interpreter. Its objects raise SpaceClosedError from then on; others keep theirs."),
    Method::many(c"run", Space::run, c"run($self, function, /, *args, timeout=None, retries=None, readonly=False, **kwargs)\n--\n\nRun function as one transaction, as often as it takes, and return what it returns. Inside a transaction it is a part of it; then only readonly counts.\n\nRaises TransactionTimeout after timeout seconds or more than retries further attempts (attempts that others have overtaken count, and those that find the space full; waits by pso.retry() do not), ReadOnlyError if readonly and something in it writes."),
    Method::many(c"transactional", Space::transactional, c"transactional($self, function=None, /, *, timeout=None, retries=None, readonly=False)\n--\n\nDecorate function: each call is one transaction of this space, with the options of run(). Nested calls join. With options only: a decorator."),
    Method::many(c"atomically", Space::atomically, c"atomically($self, function=None, /, *, timeout=None, retries=None, readonly=False)\n--\n\nDecorator that runs function at once as one transaction, with the options of run(). The name becomes what it returns."),
    Method::many(c"transaction", Space::transaction, c"transaction($self, /, *, timeout=None)\n--\n\nA context manager: the block is one transaction, which runs once, is stopped by nobody, and commits unless it raises.\n\nOne at a time in a space has this privilege; what the block touches, also what it only reads, is locked until it ends, and whoever wants it waits. Prefer functions: they run side by side. Raises TransactionTimeout if the block before does not end in timeout seconds."),
    Method::many(c"Dict", Space::make_dict, c"Dict($self, /, *args, **kwargs)\n--\n\nA new shared dict in this space."),
    Method::many(c"List", Space::make_list, c"List($self, iterable=(), /)\n--\n\nA new shared list in this space."),
    Method::many(c"Queue", Space::make_queue, c"Queue($self, maxsize=1024)\n--\n\nA new bounded queue in this space."),
    Method::plain(c"stats", Space::stats, c"stats($self, /)\n--\n\nA dict of numbers. Bytes: size, used, free, backed (with memory behind them, used or not), retired (replaced, and not used again yet); held (objects that processes have proxies of, or have pickled for somebody who has not loaded them yet); collections (looks for what nothing names) begun; participants and processes (places taken, of those that have died also until somebody looks), attempts, commits, stops, sleeps (of each place since it was taken last, written down every 32 attempts: good for rates, no account of all that was ever done); version (of the shared clock, which no commit need move)."),
    Method::plain(c"census", Space::census, c"census($self, /)\n--\n\nWhat the memory of the space is used for: a dict from kinds to dicts of 'objects', 'blocks' and 'bytes'.\n\nKinds: list, dict and queue (with all that makes them up, but not what they hold), tuple, str, bytes, int and float (those that do not fit a word; others take no block); garbage (found to be named by nothing, and not freed yet), waiting (replaced or removed, and kept for those who may still read it), private (made by transactions under way), logs and tables (of those who work), parts. Kinds of which there is nothing are left out.\n\nCost: a look at each block and at each word of a container. Others go on meanwhile, so the numbers are of no one moment."),
    Method::many(c"collect", Space::collect, c"collect($self, /, *, share=1.0)\n--\n\nFree now what nothing in the space names and nobody holds any more: lists, dicts and queues, also those that only name each other, and what this interpreter, or whoever is gone, has replaced or removed. It is done by itself now and then. Memory that is empty then goes back to the system. Returns the number of bytes freed.\n\nshare, from 0.01 to 1, is how much of one processor it takes at most: it pauses every few milliseconds, and leaves the rest to others; to give memory back at the end comes on top. Others go on meanwhile in any case; what a transaction may hold that has begun before stays. Cost: a look at every object of the space. Raises RuntimeError inside a transaction, and CorruptSpaceError where something cannot be read: then what hangs on it is unknown, and no object is freed."),
    Method::plain(c"fsck", Space::fsck, c"fsck($self, /)\n--\n\nCheck the space. Returns a list of sentences, one a finding; empty is well. Other threads go on meanwhile; Ctrl-C is answered when it is over."),
    Method::one(c"record", Space::record, c"record($self, path, /)\n--\n\nRecord the transactions that this process commits in the space, until the Recording that is returned is closed.\n\nUse it as a context manager, or call close(). Each process writes a file of its own, which is emptied if it is there; `pso trace merge` puts them together, `pso replay` runs them again.\n\nRaises OSError if path cannot be written, RuntimeError if this process records the space already."),
    Method::plain(c"_address", Space::address, c"_address($self, /)\n--\n\nHow another process finds this space."),
    Method::plain(c"__enter__", Space::enter, c"__enter__($self, /)\n--\n\nThe space itself."),
    Method::many(c"__exit__", Space::exit, c"__exit__($self, /, *exception)\n--\n\nClose the space, for all in this interpreter who have opened it."),
    Method::plain(c"__reduce__", Space::reduce, c"__reduce__($self, /)\n--\n\nPickled as its address."),
    Method::END,
];
static PROPERTIES: [Property<Space>; 8] = [
    Property::new(c"name", Space::name, c"The name; None for a space in a directory and for an anonymous one."),
    Property::new(c"dir", Space::dir, c"The directory, if it was made in one."),
    Property::new(c"size", Space::size, c"Bytes that it may grow to."),
    Property::new(c"policy", Space::policy, c"Name of the contention policy: who yields when two transactions meet."),
    Property::new(
        c"uuid",
        Space::get_uuid,
        c"Name of this space among all spaces, 16 bytes. Copies of its directory have it, too.",
    ),
    Property::new(c"closed", Space::closed, c"Whether it was closed here."),
    Property::new(c"root", Space::root_dict, c"The dict from which everything in the space is found."),
    Property::END,
];

impl Space {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots = vec![
            Slot::doc(c"A shared space. Made by pso.create(), pso.attach() and pso.open()."),
            Slot::methods(&METHODS),
            Slot::properties(&PROPERTIES),
            Slot::repr(Self::repr),
        ];
        Type::new(py, module, c"pso.Space", crate::ffi::class::NOT_CONSTRUCTIBLE, slots)
    }

    fn close(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        if this.interpreter().current(py).is_some_and(|transaction| transaction.is_in(this)) {
            return Err(Kind::Runtime.raise(py, "a space cannot be closed inside a transaction of its own"));
        }
        this.end();
        Ok(py.none())
    }

    fn run(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        let Some((function, positional)) = arguments.positional().split_first() else {
            return Err(Kind::Type.raise(py, "run() missing 1 required positional argument: 'function'"));
        };
        body::refuse_coroutine(py, this.interpreter(), function)?;
        let mut limits = Limits::default();
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (name, value) in arguments.named() {
            if !limits.set(py, &name.text(py)?, value)? {
                names.push(name);
                values.push(value);
            }
        }
        if names.is_empty() {
            return transaction::run(py, this, limits, |py| function.call(py, positional));
        }
        let names = py.tuple(names)?;
        transaction::run(py, this, limits, |py| function.call_named(py, positional, &values, Some(&names)))
    }

    fn transactional(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        decorate::transactional(py, this.interpreter(), Some(this), arguments)
    }

    fn atomically(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        let (function, limits) = decorate::options(py, "atomically", arguments)?;
        match function {
            None => decorate::Decorator::create(py, this.interpreter(), Some(this), limits, true),
            Some(function) => {
                body::check(py, this.interpreter(), function)?;
                transaction::run(py, this, limits, |py| function.call(py, &[]))
            }
        }
    }

    fn transaction(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const TRANSACTION: Signature<1> =
            Signature { function: "transaction", names: ["timeout"], required: 0, positional: 0 };
        let [timeout] = arguments.take(py, &TRANSACTION)?;
        let timeout = timeout.filter(|timeout| !timeout.is_none()).map(|timeout| timeout.seconds(py)).transpose()?;
        Irrevocable::create(py, this, timeout)
    }

    fn record(this: &Instance<Self>, py: Python<'_>, path: &Any) -> Result<Object> {
        let membership = this.membership(py)?;
        Recording::open(py, this.interpreter(), membership, path).map(Own::into_object)
    }

    fn make_dict(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        Dict::make(py, this, arguments)
    }
    fn make_list(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        List::make(py, this, arguments)
    }
    fn make_queue(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        Queue::make(py, this, arguments)
    }

    fn stats(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let rows = this.with_arena(py, |arena| {
            let usage = pso_engine::allocator::usage(arena);
            let superblock = arena.layout().geometry().superblock_words * 8;
            let (mut participants, mut sums) = (0, [0u64; 5]);
            for number in 0..arena.layout().geometry().participants {
                let Some(slot) = ParticipantSlot::of(arena, ParticipantId(number as u16)) else { continue };
                // Relaxed: numbers for people, a little old.
                participants += u64::from(Claim::unpack(arena.platform().load(slot.claim(), Relaxed)).is_some());
                let words = [slot.attempts(), slot.commits(), slot.stops(), slot.sleeps(), slot.retired_words()];
                for (sum, word) in sums.iter_mut().zip(words) {
                    *sum += arena.platform().load(word, Relaxed);
                }
            }
            let collections = collection::last(arena).number;
            let mut held = 0;
            let _ = pso_engine::holding::for_each_held(arena, &mut |_| held += 1);
            let clock = arena.platform().load(arena.layout().hot(HotWord::VersionClock), Relaxed);
            [
                ("size", arena.layout().geometry().space_words * 8),
                ("used", (usage.small + usage.large) * superblock),
                ("free", (usage.superblocks - usage.small - usage.large - usage.lost) * superblock),
                ("backed", pso_engine::allocator::backed_words(arena) * 8),
                ("retired", sums[4] * 8),
                ("held", held),
                ("participants", participants),
                ("processes", Holders::of_process_slots(arena).slots()),
                ("attempts", sums[0]),
                ("commits", sums[1]),
                ("stops", sums[2]),
                ("sleeps", sums[3]),
                ("version", clock),
                ("collections", collections),
            ]
        })?;
        let stats = py.dict()?;
        for (name, value) in rows {
            py.set_item(&stats, &*py.str(name)?, &*py.unsigned(value)?)?;
        }
        Ok(stats)
    }

    fn census(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let kinds = py.dict()?;
        let membership = this.membership(py)?;
        let (space, mut counts) = (membership.space(), None);
        if !gil::sleep_without_lock(&mut || counts = Some(space.look(|| census(space.arena())))) {
            return Err(garbage::interrupted(py));
        }
        for (class, count) in counts.into_iter().flatten() {
            let row = py.dict()?;
            for (name, value) in [("objects", count.objects), ("blocks", count.blocks), ("bytes", count.bytes)] {
                py.set_item(&row, &*py.str(name)?, &*py.unsigned(value)?)?;
            }
            py.set_item(&kinds, &*py.str(class.name())?, &row)?;
        }
        Ok(kinds)
    }

    fn collect(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const COLLECT: Signature<1> = Signature { function: "collect", names: ["share"], required: 0, positional: 0 };
        let [share] = arguments.take(py, &COLLECT)?;
        let share = share.map(|share| Share::of(py, share)).transpose()?.unwrap_or_default();
        if this.interpreter().current(py).is_some() {
            return Err(Kind::Runtime.raise(py, "collect() inside a transaction, which may hold what it would free"));
        }
        let freed = garbage::collect(py, this, share)?;
        let words = this.with_idle_members(py, |member| {
            let before = member.participant.freed_words();
            member.participant.collect();
            member.participant.give_back_pages();
            member.participant.freed_words() - before
        })?;
        match freed.damage {
            Some(corrupt) => Err(this.stopped(py, corrupt.into())),
            None => py.unsigned(freed.bytes + words * 8),
        }
    }

    fn fsck(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let membership = this.membership(py)?;
        // What a dead process left is not damage: it is cleared up first, as any member would; another may be just at it.
        let mut findings = Vec::new();
        for _ in 0..CLEARING_TRIES {
            let mut is_to_pause = false;
            let mut pause = || {
                is_to_pause = true;
                false
            };
            if !gil::sleep_without_lock(&mut || findings = fsck_after_deaths(membership.space(), &mut pause)) {
                return Err(garbage::interrupted(py));
            }
            if !is_to_pause {
                break;
            }
            garbage::pause(py, CLEARING_PAUSE)?;
        }
        let sentences: Result<Vec<Object>> = findings.iter().map(|finding| py.str(&finding.to_string())).collect();
        py.list(sentences?)
    }

    /// `(kind, uuid, name or directory)`, or `("anonymous", uuid, pid, descriptor)`.
    fn address(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let row = match this.location() {
            Location::Name(name) => vec![py.str("name")?, py.bytes(&this.uuid())?, py.str(&name)?],
            Location::Directory(path) => {
                vec![py.str("dir")?, py.bytes(&this.uuid())?, py.path(&path)?]
            }
            Location::Anonymous => {
                use std::os::fd::AsRawFd;
                let membership = this.membership(py)?;
                let native = membership.native();
                let number = native.descriptor().map_or(-1, |descriptor| i64::from(descriptor.as_raw_fd()));
                let pid = i64::from(std::process::id());
                vec![py.str("anonymous")?, py.bytes(&native.uuid())?, py.int(pid)?, py.int(number)?]
            }
        };
        py.tuple(row)
    }
    fn reduce(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let helper = this.interpreter().helpers(py)?.reduce_space.clone();
        helper.call(py, &[this.as_any()])
    }
    fn enter(this: &Instance<Self>, _py: Python<'_>) -> Result<Object> {
        Ok(this.as_any().to_object())
    }
    fn exit(this: &Instance<Self>, py: Python<'_>, _arguments: Arguments<'_>) -> Result<Object> {
        Self::close(this, py)
    }

    fn name(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        match this.location() {
            Location::Name(name) => py.str(&name),
            _ => Ok(py.none()),
        }
    }
    fn dir(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        match this.location() {
            Location::Directory(path) => py.path(&path),
            _ => Ok(py.none()),
        }
    }
    fn size(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        py.unsigned(this.bytes)
    }
    fn policy(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        py.str(this.policy.name())
    }
    fn get_uuid(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        py.bytes(&this.uuid())
    }
    fn closed(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        Ok(py.bool(this.is_closed()))
    }
    fn root_dict(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        this.membership(py)?;
        let root = this.find_root(py)?;
        Self::dict(this, py, root, None).map(Own::into_object)
    }
    fn repr(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let place = this.location();
        let closed = if this.is_closed() { ", closed" } else { "" };
        py.str(&format!("<pso.Space {place}, {} bytes{closed}>", this.bytes))
    }
}
