//! `pso.Queue`: the proxy of a bounded queue, with the methods of `queue.Queue` that a shared one can have.
//!
//! Outside a transaction `put` and `get` are transactions of one operation, which block through `retry`. Inside one they are
//! part of it: a `get` that meets an empty queue gives the whole attempt up until something that it has read changes.

use pso_engine::error::Stop;
use pso_engine::object::{self, queue};
use pso_engine::word::{BlockKind, Handle};

use crate::fetch::{Fetched, fetch_to_remove};
use crate::ffi::method::Signature;
use crate::ffi::slot::Slot;
use crate::ffi::weak::Identity;
use crate::ffi::{
    Any, Arguments, Class, Instance, Kind, Method, Object, Own, Property, Python, Raised, Receiver, Result, Type,
    WeakExtra,
};
use crate::holding::Held;
use crate::plan;
use crate::proxy::{self, Proxy};
use crate::space::{Space, Tx};

/// Room of a queue for which none was named.
const DEFAULT_CAPACITY: u64 = 1024;

/// A shared queue.
pub struct Queue(Proxy<Queue>);

impl Class for Queue {
    type Extra = WeakExtra;
}

static METHODS: [Method<Queue>; 10] = [
    Method::many(c"put", Queue::put, c"put($self, item, block=True, timeout=None)\n--\n\nPut an item in, waiting for room if need be.\n\nRaises queue.Full if there is none at once (block=False) or in timeout seconds; those of a transaction count from its first such wait. RuntimeError at once, instead of a wait, in a with block of space.transaction(), where nobody could make room."),
    Method::many(c"get", Queue::get, c"get($self, block=True, timeout=None)\n--\n\nTake the oldest item out, waiting for one if need be.\n\nRaises queue.Empty if there is none at once (block=False) or in timeout seconds; those of a transaction count from its first such wait. RuntimeError at once, instead of a wait, in a with block of space.transaction(), where nobody could put one in."),
    Method::many(c"put_nowait", Queue::put_nowait, c"put_nowait($self, item)\n--\n\nput(item, block=False)"),
    Method::plain(c"get_nowait", Queue::get_nowait, c"get_nowait($self, /)\n--\n\nget(block=False)"),
    Method::plain(c"qsize", Queue::qsize, c"qsize($self, /)\n--\n\nNumber of items at this moment."),
    Method::plain(c"empty", Queue::empty, c"empty($self, /)\n--\n\nWhether there is no item at this moment."),
    Method::plain(c"full", Queue::full, c"full($self, /)\n--\n\nWhether there is no room at this moment."),
    Method::plain(c"__reduce__", Queue::reduce, c"__reduce__($self, /)\n--\n\nPickled as a handle."),
    Method::class(c"__class_getitem__", Queue::class_getitem, c"__class_getitem__($type, item, /)\n--\n\nSee PEP 585"),
    Method::END,
];
static PROPERTIES: [Property<Queue>; 2] =
    [Property::new(c"maxsize", Queue::maxsize, c"Items that it has room for."), Property::END];

/// Seconds beyond its timeout that an operation takes to find out whether it comes in vain, where others are in its way.
const TO_DECIDE: f64 = 0.1;

/// When a wait ends.
#[derive(Clone, Copy)]
enum Patience {
    Forever,
    No,
    /// From the first time to the second one.
    Until(u64, u64),
}

impl Queue {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots = vec![
            Slot::doc(c"Queue(maxsize=1024)\n--\n\nA bounded queue in shared memory, in the default space (`space.Queue(...)` names one)."),
            Slot::constructor(Self::construct),
            Slot::methods(&METHODS),
            Slot::properties(&PROPERTIES),
            Slot::repr(Self::repr),
        ];
        Type::new(py, module, c"pso.Queue", 0, slots)
    }

    /// A proxy, for the space that makes it.
    pub fn new(space: Own<Space>, identity: Identity<u64, Self>, handle: Handle, held: Option<Held>) -> Self {
        Self(Proxy::new(BlockKind::Queue, space, identity, handle, held))
    }
    /// The common part.
    #[inline]
    pub fn proxy(&self) -> &Proxy<Self> {
        &self.0
    }

    fn construct(class: Receiver<'_>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        let space = crate::MODULE.state_of_class(py, &class)?.default_space(py)?;
        Self::make(py, &space, arguments)
    }

    /// A new shared queue.
    pub fn make(py: Python<'_>, space: &Instance<Space>, arguments: Arguments<'_>) -> Result<Object> {
        const QUEUE: Signature<1> = Signature { function: "Queue", names: ["maxsize"], required: 0, positional: 1 };
        let [capacity] = arguments.take(py, &QUEUE)?;
        let capacity = match capacity {
            None => DEFAULT_CAPACITY,
            Some(capacity) => match u64::try_from(capacity.machine_int(py)?) {
                Ok(capacity) if capacity > 0 => capacity,
                _ => return Err(Kind::Value.raise(py, "'maxsize' must be at least 1: shared queues are bounded")),
            },
        };
        let held = space.operate(py, |tx| {
            let handle = queue::create(tx, capacity)?;
            space.hold(tx, handle)
        })?;
        Space::queue(space, py, held.handle(), Some(held)).map(Own::into_object)
    }

    fn patience(&self, py: Python<'_>, block: Option<&Any>, timeout: Option<&Any>) -> Result<Patience> {
        if !block.map(|block| block.is_true(py)).transpose()?.unwrap_or(true) {
            return Ok(Patience::No);
        }
        match timeout.filter(|timeout| !timeout.is_none()) {
            None => Ok(Patience::Forever),
            Some(timeout) => {
                let (now, deadline) = self.0.space().now_and_deadline(py, timeout.seconds(py)?)?;
                Ok(Patience::Until(now, deadline))
            }
        }
    }

    /// Runs `step` until it gives something; `None` once patience is over. In a transaction the wait is the transaction's.
    fn wait<T>(
        &self,
        py: Python<'_>,
        patience: Patience,
        mut step: impl FnMut(&mut Tx) -> Result<Option<T>, Stop>,
    ) -> Result<Option<T>> {
        let space = self.0.space();
        if let Some(transaction) = space.interpreter().current(py) {
            let found = space.operate(py, &mut step)?;
            if found.is_some() {
                return Ok(found);
            }
            let is_over = match patience {
                Patience::Forever => false,
                Patience::No => true,
                Patience::Until(now, deadline) => transaction.has_waited(now, deadline - now),
            };
            if is_over {
                return Ok(None);
            }
            return Err(crate::transaction::retry(py, space.interpreter()));
        }
        let deadline = match patience {
            Patience::No => return space.operate(py, step),
            Patience::Forever => None,
            Patience::Until(_, deadline) => Some(deadline),
        };
        let waited = space.operate_or_time_out(py, deadline, |tx| step(tx)?.map(Some).ok_or(Stop::Retry))?;
        if deadline.is_none() || waited.is_some() {
            return Ok(waited.flatten());
        }
        // The time may have ended in an attempt that another went before: then it is not known yet whether there is something.
        let deadline = space.deadline(py, TO_DECIDE)?;
        Ok(space.operate_or_time_out(py, Some(deadline), step)?.flatten())
    }

    fn put(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const PUT: Signature<3> =
            Signature { function: "put", names: ["item", "block", "timeout"], required: 1, positional: 3 };
        let [item, block, timeout] = arguments.take(py, &PUT)?;
        let none = py.none();
        this.put_item(py, item.unwrap_or(&none), this.patience(py, block, timeout)?)
    }
    fn put_nowait(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const PUT_NOWAIT: Signature<1> =
            Signature { function: "put_nowait", names: ["item"], required: 1, positional: 1 };
        let [item] = arguments.take(py, &PUT_NOWAIT)?;
        let none = py.none();
        this.put_item(py, item.unwrap_or(&none), Patience::No)
    }
    fn put_item(&self, py: Python<'_>, item: &Any, patience: Patience) -> Result<Object> {
        let space = self.0.space();
        let (plan, draft) = plan::draft(py, space, item, &|| "item of a queue".to_owned())?;
        let handle = self.0.object(py)?;
        let done = self.wait(py, patience, |tx| {
            // Room first: what is made for an item that does not go in would be garbage.
            if !queue::has_room(tx, handle)? {
                return Ok(None);
            }
            let value = plan.carry_out(py, tx)?.value(tx, &draft)?;
            Ok(queue::try_put(tx, handle, value)?.then_some(()))
        })?;
        match done {
            Some(()) => Ok(py.none()),
            None => Err(self.no_luck(py, true)),
        }
    }

    fn get(this: &Instance<Self>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        const GET: Signature<2> =
            Signature { function: "get", names: ["block", "timeout"], required: 0, positional: 2 };
        let [block, timeout] = arguments.take(py, &GET)?;
        this.get_item(py, this.patience(py, block, timeout)?)
    }
    fn get_nowait(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        this.get_item(py, Patience::No)
    }
    fn get_item(&self, py: Python<'_>, patience: Patience) -> Result<Object> {
        let handle = self.0.object(py)?;
        let got: Option<Fetched> = self.wait(py, patience, |tx| match queue::try_get(tx, handle)? {
            Some(value) => {
                let fetched = fetch_to_remove(py, self.0.space(), tx, value)?;
                object::discard(tx, value)?;
                Ok(Some(fetched))
            }
            None => Ok(None),
        })?;
        match got {
            Some(value) => value.into_object(py, self.0.space()),
            None => Err(self.no_luck(py, false)),
        }
    }

    /// `queue.Full` or `queue.Empty`.
    fn no_luck(&self, py: Python<'_>, full: bool) -> Raised {
        let helpers = match self.0.space().interpreter().helpers(py) {
            Ok(helpers) => helpers,
            Err(raised) => return raised,
        };
        crate::ffi::error::raise_call(py, if full { &helpers.full } else { &helpers.empty }, &[])
    }

    fn size_and_room(&self, py: Python<'_>) -> Result<(u64, u64)> {
        let handle = self.0.object(py)?;
        self.0.space().operate(py, |tx| Ok((queue::len(tx, handle)?, queue::capacity(tx, handle)?)))
    }
    fn qsize(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        py.unsigned(this.size_and_room(py)?.0)
    }
    fn empty(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        Ok(py.bool(this.size_and_room(py)?.0 == 0))
    }
    fn full(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let (size, room) = this.size_and_room(py)?;
        Ok(py.bool(size >= room))
    }
    fn maxsize(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        py.unsigned(this.size_and_room(py)?.1)
    }
    fn reduce(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        this.0.reduce(py, this.as_any(), BlockKind::Queue)
    }
    fn class_getitem(class: Receiver<'_>, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
        proxy::class_getitem(class, py, arguments)
    }
    fn repr(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let shown = this.size_and_room(py);
        let shown = shown.and_then(|(size, room)| py.str(&format!("<pso.Queue with {size} of {room} items>")));
        this.0.repr(py, "Queue", shown)
    }
}
