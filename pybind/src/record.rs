//! `pso.Recording`: what `Space.record(path)` gives. The recording itself is in [`crate::recording`].

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use crate::ffi::class::{NOT_CONSTRUCTIBLE, NoExtra};
use crate::ffi::slot::Slot;
use crate::ffi::{Any, Arguments, Class, Instance, Kind, Method, Object, Own, Property, Python, Result, Type};
use crate::interpreter::Interpreter;
use crate::recording;
use crate::registry::Membership;

static METHODS: [Method<Recording>; 4] = [
    Method::plain(c"close", Recording::close, c"close($self, /)\n--\n\nEnd the recording: the file is whole then. Closing it again does nothing; neither does a child of a fork.\n\nRaises OSError if something could not be written."),
    Method::plain(c"__enter__", Recording::enter, c"__enter__($self, /)\n--\n\nThe recording itself."),
    Method::many(c"__exit__", Recording::exit, c"__exit__($self, /, *exception)\n--\n\nEnd the recording."),
    Method::END,
];
static PROPERTIES: [Property<Recording>; 4] = [
    Property::new(c"path", Recording::path, c"The file, as it was named."),
    Property::new(c"transactions", Recording::transactions, c"How many transactions are recorded so far."),
    Property::new(c"closed", Recording::closed, c"Whether it was closed here."),
    Property::END,
];

/// A file and the membership whose transactions go there.
pub struct Recording {
    interpreter: Rc<Interpreter>,
    /// Not a share of it: a space can be left while a recording of it is open.
    membership: Weak<Membership>,
    recording: Arc<recording::Recording>,
    path: PathBuf,
    closed: std::cell::Cell<bool>,
}

impl Class for Recording {
    type Extra = NoExtra;

    fn retire(&self, _this: &Any) {
        self.end();
    }
}

impl Recording {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots = vec![
            Slot::doc(c"A recording of the transactions of this process in a space. Made by Space.record()."),
            Slot::methods(&METHODS),
            Slot::properties(&PROPERTIES),
            Slot::repr(Self::repr),
        ];
        Type::new(py, module, c"pso.Recording", NOT_CONSTRUCTIBLE, slots)
    }

    /// Begins one.
    pub fn open(
        py: Python<'_>,
        interpreter: &Rc<Interpreter>,
        membership: Arc<Membership>,
        path: &Any,
    ) -> Result<Own<Self>> {
        let path = path.path(py)?;
        let begun = membership.recordings().begin(membership.space(), &membership.uuid(), &path);
        let recording = match begun {
            Ok(Some(recording)) => recording,
            Ok(None) => {
                return Err(Kind::Runtime.raise(py, "this process records the transactions of the space already"));
            }
            Err(error) => return Err(interpreter.errors.file(py, &error, &path)),
        };
        let recording = Self {
            interpreter: Rc::clone(interpreter),
            membership: Arc::downgrade(&membership),
            recording,
            path,
            closed: std::cell::Cell::new(false),
        };
        interpreter.types.recording.create(py, recording)
    }

    /// No transaction that begins from here on is recorded.
    fn end(&self) {
        if let Some(membership) = self.membership.upgrade() {
            membership.recordings().end(&self.recording);
        }
    }

    fn close(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        this.closed.set(true);
        this.end();
        match this.recording.close() {
            Ok(()) => Ok(py.none()),
            Err(error) => Err(this.interpreter.errors.file(py, &error, &this.path)),
        }
    }
    fn enter(this: &Instance<Self>, _py: Python<'_>) -> Result<Object> {
        Ok(this.as_any().to_object())
    }
    fn exit(this: &Instance<Self>, py: Python<'_>, _arguments: Arguments<'_>) -> Result<Object> {
        Self::close(this, py)
    }
    fn path(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        py.path(&this.path)
    }
    fn transactions(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        py.unsigned(this.recording.transactions())
    }
    fn closed(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        Ok(py.bool(this.closed.get()))
    }
    fn repr(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        let closed = if this.closed.get() { ", closed" } else { "" };
        let path = this.path.display().to_string();
        py.str(&format!("<pso.Recording {path:?}, {} transactions{closed}>", this.recording.transactions()))
    }
}
