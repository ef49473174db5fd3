//! `pso.Transaction`: the transaction that a thread is in, for those who want to know of it.
//!
//! It is good for the thread and the transaction that it was got in, and says so elsewhere.

use std::rc::Rc;

use crate::ffi::class::NOT_CONSTRUCTIBLE;
use crate::ffi::slot::{Comparison, Slot};
use crate::ffi::{Any, Class, Instance, Kind, Method, NoExtra, Object, Property, Python, Result, Type};
use crate::interpreter::Interpreter;
use crate::transaction::Transaction;

/// A transaction under way, or one that was.
pub struct Current {
    interpreter: Rc<Interpreter>,
    transaction: Rc<Transaction>,
}

impl Class for Current {
    type Extra = NoExtra;
}

static METHODS: [Method<Current>; 3] = [
    Method::one(c"on_commit", Current::on_commit, c"on_commit($self, function, /)\n--\n\nCall function once when the transaction has committed, outside of it. Forgotten if this attempt is run again. An exception of it is reported, and the transaction stays committed."),
    Method::one(c"on_abort", Current::on_abort, c"on_abort($self, function, /)\n--\n\nCall function once if the transaction ends without a commit, outside of it. Forgotten if this attempt is run again."),
    Method::END,
];
static PROPERTIES: [Property<Current>; 2] =
    [Property::new(c"attempt", Current::attempt, c"Which attempt this is, from 1."), Property::END];

impl Current {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots = vec![
            Slot::doc(c"A transaction under way. Got by pso.current()."),
            Slot::methods(&METHODS),
            Slot::properties(&PROPERTIES),
            Slot::repr(Self::repr),
            Slot::compare(Self::compare),
            Slot::hash(Self::hash),
        ];
        Type::new(py, module, c"pso.Transaction", NOT_CONSTRUCTIBLE, slots)
    }

    /// That of this thread; `None` outside.
    pub fn of(py: Python<'_>, interpreter: &Rc<Interpreter>) -> Result<Object> {
        match interpreter.current(py) {
            None => Ok(py.none()),
            Some(transaction) => {
                let value = Self { interpreter: Rc::clone(interpreter), transaction };
                Ok(interpreter.types.current.create(py, value)?.into_object())
            }
        }
    }

    fn under_way(&self, py: Python<'_>) -> Option<&Transaction> {
        let current = self.interpreter.current(py)?;
        Rc::ptr_eq(&current, &self.transaction).then_some(&self.transaction)
    }

    fn add_hook(&self, py: Python<'_>, committed: bool, function: &Any) -> Result<Object> {
        if !function.is_callable() {
            let message = format!("a function is wanted, not '{}'", function.class_name());
            return Err(Kind::Type.raise(py, message));
        }
        match self.under_way(py) {
            Some(transaction) => {
                transaction.add_hook(committed, function.to_object());
                Ok(py.none())
            }
            None => Err(Kind::Runtime.raise(py, "the transaction is over, or another thread's")),
        }
    }
    fn on_commit(this: &Instance<Self>, py: Python<'_>, function: &Any) -> Result<Object> {
        this.add_hook(py, true, function)
    }
    fn on_abort(this: &Instance<Self>, py: Python<'_>, function: &Any) -> Result<Object> {
        this.add_hook(py, false, function)
    }
    fn attempt(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        py.unsigned(this.transaction.attempt())
    }
    /// It is one for each time that it is asked for: equal where they are of one transaction.
    fn compare(this: &Instance<Self>, py: Python<'_>, other: &Any, comparison: Comparison) -> Result<Object> {
        let Some(other) = this.interpreter.types.current.cast(other) else { return Ok(py.not_implemented()) };
        let same = Rc::ptr_eq(&this.transaction, &other.transaction);
        match comparison {
            Comparison::Equal => Ok(py.bool(same)),
            Comparison::NotEqual => Ok(py.bool(!same)),
            _ => Ok(py.not_implemented()),
        }
    }
    fn hash(this: &Instance<Self>, _py: Python<'_>) -> Result<usize> {
        Ok(Rc::as_ptr(&this.transaction).addr())
    }
    fn repr(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let over = if this.under_way(py).is_some() { "" } else { ", over" };
        py.str(&format!("<pso.Transaction, attempt {}{over}>", this.transaction.attempt()))
    }
}
