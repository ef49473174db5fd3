//! `space.transactional` and `pso.transactional`: functions that run as transactions.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::body;
use crate::ffi::call::Call;
use crate::ffi::class::{FunctionExtra, METHOD_DESCRIPTOR};
use crate::ffi::slot::Slot;
use crate::ffi::{Any, Arguments, Class, Instance, Kind, Method, Object, Own, Property, Python, Result, Type, Visitor};
use crate::interpreter::Interpreter;
use crate::proxy;
use crate::space::Space;
use crate::transaction::{Limits, run};

/// The function, if one is given, and the options of a decorator.
pub fn options<'a>(py: Python<'_>, name: &str, arguments: Arguments<'a>) -> Result<(Option<&'a Any>, Limits)> {
    let positional = arguments.positional();
    if positional.len() > 1 {
        return Err(Kind::Type.raise(py, format!("{name} expected at most 1 argument, got {}", positional.len())));
    }
    let mut limits = Limits::default();
    for (option, value) in arguments.named() {
        let option = option.text(py)?;
        if !limits.set(py, &option, value)? {
            let message = format!("{name}() got an unexpected keyword argument '{option}'");
            return Err(Kind::Type.raise(py, message));
        }
    }
    Ok((positional.first().copied().filter(|function| !function.is_none()), limits))
}

/// `transactional`, of a space or of the module.
pub fn transactional(
    py: Python<'_>,
    interpreter: &Rc<Interpreter>,
    space: Option<&Instance<Space>>,
    arguments: Arguments<'_>,
) -> Result<Object> {
    match options(py, "transactional", arguments)? {
        (Some(function), limits) => Transactional::decorate(py, interpreter, function, space, limits),
        (None, limits) => Decorator::create(py, interpreter, space, limits, false),
    }
}

/// What `transactional` and `atomically` give for options, or none, without a function.
pub struct Decorator {
    interpreter: Rc<Interpreter>,
    space: Option<Own<Space>>,
    limits: Limits,
    at_once: bool,
}

impl Class for Decorator {
    type Extra = FunctionExtra;
    const COLLECTED: bool = true;

    fn traverse(&self, visitor: &Visitor) {
        if let Some(space) = &self.space {
            visitor.own(space);
        }
    }
}

impl Decorator {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots = vec![Slot::doc(c"A decorator with options. Made by `transactional(...)` and `atomically(...)`.")];
        Type::new(py, module, c"pso._core.Decorator", crate::ffi::class::NOT_CONSTRUCTIBLE, slots)
    }

    /// One with these options; `at_once`: it runs the function.
    pub fn create(
        py: Python<'_>,
        interpreter: &Rc<Interpreter>,
        space: Option<&Instance<Space>>,
        limits: Limits,
        at_once: bool,
    ) -> Result<Object> {
        let value = Self { interpreter: Rc::clone(interpreter), space: space.map(Instance::own), limits, at_once };
        let extra = FunctionExtra::calling::<Self, _>(Self::call);
        Ok(interpreter.types.decorator.create_with(py, extra, value)?.into_object())
    }

    fn call(this: &Instance<Self>, py: Python<'_>, call: Call<'_>) -> Result<Object> {
        let (&[function], []) = (call.positional(), call.named()) else {
            return Err(Kind::Type.raise(py, "a decorator wants one function"));
        };
        match &this.space {
            Some(space) if this.at_once => {
                body::check(py, &this.interpreter, function)?;
                // Nothing else counts how deep it is, where it runs what it runs by way of a `partial`.
                run(py, space, this.limits, |py| py.deeper(c" in a decorated function", || function.call(py, &[])))
            }
            space => Transactional::decorate(py, &this.interpreter, function, space.as_deref(), this.limits),
        }
    }
}

/// Decorations of one function, at most: one in the other, they are called and dropped without a frame of Python's between them, which would count them.
const MOST_NESTED: u32 = 100;

/// Drops functions that decorated ones hold, by turns where one is in the other: with something else between them (a `partial`) they are
/// not counted, and no frame of Python's bounds how deep their ends would be nested.
#[derive(Default)]
pub struct Dropping {
    depth: Cell<u32>,
    left: RefCell<Vec<Object>>,
}

impl Dropping {
    fn drop(&self, function: Object) {
        let depth = self.depth.get();
        if depth == MOST_NESTED {
            self.left.borrow_mut().push(function);
            return;
        }
        self.depth.set(depth + 1);
        drop(function);
        // Another thread may have come in and not be out yet: the last one empties it.
        if self.depth.get() == 1 {
            // The borrow is over before the function is dropped.
            let mut next = self.left.borrow_mut().pop();
            while next.take().is_some() {
                next = self.left.borrow_mut().pop();
            }
        }
        self.depth.set(self.depth.get() - 1);
    }
}

/// A decorated function: calling it runs a transaction.
pub struct Transactional {
    function: Object,
    /// How many decorations are in it, with itself.
    nested: u32,
    /// `None`: found from the arguments of each call.
    space: Option<Own<Space>>,
    interpreter: Rc<Interpreter>,
    limits: Limits,
}

impl Class for Transactional {
    type Extra = FunctionExtra;
    const COLLECTED: bool = true;

    fn traverse(&self, visitor: &Visitor) {
        visitor.object(&self.function);
        if let Some(space) = &self.space {
            visitor.own(space);
        }
    }
}

impl Drop for Transactional {
    fn drop(&mut self) {
        // Something that is there and costs nothing, in its place.
        let function = std::mem::replace(&mut self.function, self.interpreter.errors.base.clone());
        self.interpreter.dropping.drop(function);
    }
}

static METHODS: [Method<Transactional>; 2] =
    [Method::plain(c"__reduce__", Transactional::reduce, c"Pickled by name, as functions are."), Method::END];
static PROPERTIES: [Property<Transactional>; 3] = [
    Property::DICT,
    Property::new(c"space", Transactional::get_space, c"The space, or None where it is found from the arguments."),
    Property::END,
];

impl Transactional {
    /// The type.
    pub fn class(py: Python<'_>, module: &Any) -> Result<Type<Self>> {
        let slots = vec![
            Slot::doc(
                c"A function that runs as one transaction. Made by `space.transactional` and `pso.transactional`.",
            ),
            Slot::methods(&METHODS),
            Slot::properties(&PROPERTIES),
            Slot::describe(Self::describe),
            Slot::repr(Self::repr),
        ];
        let flags = METHOD_DESCRIPTOR | crate::ffi::class::NOT_CONSTRUCTIBLE;
        Type::new(py, module, c"pso._core.Transactional", flags, slots)
    }

    /// The space that it was decorated for.
    pub fn space(&self) -> Option<&Own<Space>> {
        self.space.as_ref()
    }

    /// Decorates `function`.
    pub fn decorate(
        py: Python<'_>,
        interpreter: &Rc<Interpreter>,
        function: &Any,
        space: Option<&Instance<Space>>,
        limits: Limits,
    ) -> Result<Object> {
        body::check(py, interpreter, function)?;
        let nested = 1 + interpreter.types.transactional.cast(function).map_or(0, |inner| inner.nested);
        if nested > MOST_NESTED {
            return Err(Kind::Recursion.raise(py, "a function that is decorated too often"));
        }
        let value = Self {
            function: function.to_object(),
            nested,
            space: space.map(Instance::own),
            interpreter: Rc::clone(interpreter),
            limits,
        };
        let extra = FunctionExtra::calling::<Self, _>(Self::call);
        let made = interpreter.types.transactional.create_with(py, extra, value)?.into_object();
        let helper = interpreter.helpers(py)?.update_wrapper.clone();
        helper.call(py, &[&made, function])
    }

    fn call(this: &Instance<Self>, py: Python<'_>, call: Call<'_>) -> Result<Object> {
        let interpreter = &this.interpreter;
        match &this.space {
            Some(space) => run(py, space, this.limits, |py| this.call_function(py, &call)),
            None => {
                let all = call.positional().iter().chain(call.named());
                let named = all.into_iter().find_map(|argument| proxy::space_of(interpreter, argument));
                // What no argument names is the space of the transaction that it is a part of.
                let space = match named.or_else(|| interpreter.space_of_transaction(py)) {
                    Some(space) => space,
                    None => interpreter.default_space(py)?,
                };
                run(py, &space, this.limits, |py| this.call_function(py, &call))
            }
        }
    }
    fn call_function(&self, py: Python<'_>, call: &Call<'_>) -> Result<Object> {
        py.deeper(c" in a decorated function", || call.pass_to(py, &self.function))
    }

    fn describe(this: &Instance<Self>, py: Python<'_>, instance: Option<&Any>) -> Result<Object> {
        match instance {
            None => Ok(this.as_any().to_object()),
            Some(instance) if instance.is_none() => Ok(this.as_any().to_object()),
            Some(instance) => py.bind(this.as_any(), instance),
        }
    }
    fn repr(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        py.str(&format!("<transactional {}>", this.function.repr_text(py)))
    }
    fn reduce(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        this.function.attribute(py, c"__qualname__")
    }
    fn get_space(this: &Instance<Self>, py: Python<'_>) -> Result<Object> {
        Ok(this.space.as_ref().map_or_else(|| py.none(), |space| space.as_any().to_object()))
    }
}
