//! The functions of the module: opening spaces, and what the Python part of the package asks of the compiled one.

use std::rc::Rc;

use pso_engine::arena::ArenaError;
use pso_engine::contention::{PolicyId, UnknownPolicy};
use pso_engine::holding::Export;
use pso_engine::platform::native::{self, Choice, children};
use pso_engine::word::ProcessSlotId;

use crate::alternatives;
use crate::current::Current;
use crate::decorate;
use crate::exports::Sent;
use crate::ffi::method::{OfModule, Signature};
use crate::ffi::natives::{Integer, Native};
use crate::ffi::{Any, Arguments, Instance, Kind, Method, Object, Own, Python, Raised, Result};
use crate::interpreter::Interpreter;
use crate::proxy;
use crate::registry::{self, Location, OpenError};
use crate::repair::repair;
use crate::space::{Space, crossed, open_failed};
use crate::transaction;

/// Size of a space for which none was named.
const DEFAULT_BYTES: u64 = 64 << 20;

/// The table.
pub static TABLE: &[Method<OfModule>] = &[
    Method::function(c"create", create, c"create(name=None, *, dir=None, size='64M', exist_ok=False, policy=None)\n--\n\nMake a space and open it. Without name and dir it is anonymous: for this process and its children. dir is made; what it is in has to be there.\nexist_ok opens one that is there, which keeps the size that it has: size is for a new one.\npolicy says who yields when two transactions meet: 'damped' (that of a new space, if none is named), 'wound-wait', 'wait-die', 'one-step', 'backoff' or 'immediate'.\n\nRaises FileExistsError (unless exist_ok), ValueError for a size, name or policy that cannot be, or a policy that the space which is there does not have."),
    Method::function(c"attach", attach, c"attach(name=None, *, dir=None)\n--\n\nOpen a space that exists. All who open one in this process get the same Space: who closes it, or leaves a with block of it, closes it for all.\n\nRaises FileNotFoundError, PermissionError, ForeignFileError, CorruptSpaceError, VersionError, OtherBootError; NoPlaceError, NoAddressesError or ArenaFull where it cannot join."),
    Method::function(c"open", open, c"open(name=None, *, dir=None, size='64M')\n--\n\nOpen a space, made if it is not there. One that is there keeps the size that it has: size is for a new one.\n\nAll who open one space in this process get the same Space: who closes it, or leaves a with block of it, closes it for all."),
    Method::function(c"unlink", unlink, c"unlink(name=None, *, dir=None)\n--\n\nRemove the name of a space; of one in a directory, that too, unless other files are in it. Processes that have it open keep it until they close it."),
    Method::function(c"repair", repair, c"repair(name=None, *, dir=None)\n--\n\nRepair a space that no process has open: free what nothing names, mend what has one answer, leave all else.\n\nReturns two lists of sentences: what was done, and what is left (empty is well). If a word that is in use is damaged, nothing is freed: what it meant may be among what nothing names. Values are never changed. It may be killed and run again; Ctrl-C ends it before its next step. Cost: a look at each word of the space that may lead on, three or four times.\n\nRaises InUseError if a process has the space open, this one included, and what attach() raises."),
    Method::function(c"list_spaces", list_spaces, c"list_spaces()\n--\n\nNames of the spaces of this user."),
    Method::function(c"use", use_space, c"use(space, /)\n--\n\nMake space the default one of this interpreter."),
    Method::function(c"retry", retry, c"retry()\n--\n\nGive the attempt up until something that it has read changes, then run it again.\n\nRaises RuntimeError outside a transaction, and where nobody could change anything: in a with block, and where the transaction has read nothing of the space."),
    Method::function(c"or_else", or_else, c"or_else(function, /, *others)\n--\n\nCall the functions in turn, as parts of this transaction, until one does not ask to wait, and return what it returns. What one did before it asked to wait is undone.\n\nIf all ask, so does the transaction: it waits until something changes that any of them has read. Outside a transaction it is one, in the space of the first bound method of a shared object or decorated function or method, else in the default one."),
    Method::function(c"current", current, c"current()\n--\n\nThe Transaction that this thread is in, or None."),
    Method::function(c"transactional", transactional, c"transactional(function=None, /, *, timeout=None, retries=None, readonly=False)\n--\n\nDecorate function: each call is one transaction, in the space of its first shared argument. With options only: a decorator."),
    Method::function(c"_open_object", open_object, c"_open_object(space, kind, handle, export=None, /)\n--\n\nThe proxy behind a pickled handle."),
    Method::function(c"_attach_descriptor", attach_descriptor, c"_attach_descriptor(uuid, pid, descriptor, /)\n--\n\nOpen the anonymous space with this uuid."),
    Method::function(c"_attach_again", attach_again, c"_attach_again(uuid, name, dir, /)\n--\n\nAttach the space with this uuid."),
    Method::function(c"_opened", opened, c"_opened(uuid, /)\n--\n\nThe open spaces with this uuid: one, its copies, or none."),
    Method::function(c"_before_fork", before_fork, c"_before_fork()\n--\n\nWhat this process holds of its open spaces stays until a child has copied it."),
    Method::function(c"_after_fork", after_fork, c"_after_fork()\n--\n\nIn the parent after a fork, also if it has failed."),
    Method::function(c"_forked", forked, c"_forked()\n--\n\nJoin all open spaces anew, in the child of a fork."),
    Method::function(c"_finalize", finalize, c"_finalize()\n--\n\nBefore the interpreter ends."),
    Method::END,
];

pub fn interpreter<'a>(py: Python<'_>, module: &'a Any) -> Result<&'a Rc<Interpreter>> {
    crate::MODULE.state(py, module).map(|core| &**core)
}

/// Name or directory, not both.
pub fn location(py: Python<'_>, name: Option<&Any>, dir: Option<&Any>) -> Result<Location> {
    let given = |argument: Option<&'_ Any>| argument.is_some_and(|argument| !argument.is_none());
    match (given(name), given(dir)) {
        (true, true) => Err(Kind::Type.raise(py, "a space has a name or a dir, not both")),
        (true, false) => match name {
            Some(name) if name.native() == Native::Str => match name.text(py)? {
                // What would come of it is no other directory, but is called like one.
                dots if dots == "." || dots == ".." => {
                    Err(Kind::Value.raise(py, format!("{dots:?} cannot be the name of a space")))
                }
                name => Ok(Location::Name(name)),
            },
            _ => Err(Kind::Type.raise(py, "the name of a space is a str")),
        },
        (false, true) => {
            let Some(dir) = dir else { return Ok(Location::Anonymous) };
            let path = dir.path(py)?;
            if path.as_os_str().is_empty() {
                return Err(Kind::Value.raise(py, "the dir of a space cannot be ''"));
            }
            match std::path::absolute(path) {
                Ok(path) => Ok(Location::Directory(path)),
                Err(error) => Err(Kind::Os.raise(py, error.to_string())),
            }
        }
        (false, false) => Ok(Location::Anonymous),
    }
}

/// A contention policy by its name.
fn policy(py: Python<'_>, argument: Option<&Any>) -> Result<Option<PolicyId>> {
    let parsed = argument.filter(|argument| !argument.is_none()).map(|name| name.text(py)).transpose()?;
    let parsed = parsed.map(|name| name.parse()).transpose();
    parsed.map_err(|unknown: UnknownPolicy| Kind::Value.raise(py, unknown.to_string()))
}

/// Bytes: an int, or digits with K, M, G or T.
fn size(py: Python<'_>, argument: Option<&Any>) -> Result<u64> {
    let Some(argument) = argument.filter(|argument| !argument.is_none()) else { return Ok(DEFAULT_BYTES) };
    if argument.native() != Native::Str {
        let bytes = argument.to_int(py)?;
        return match bytes.integer(py)? {
            Integer::Small(bytes) => {
                u64::try_from(bytes).map_err(|_| Kind::Value.raise(py, "the size of a space is not negative"))
            }
            Integer::Large { .. } => {
                Err(Kind::Value.raise(py, format!("no space can have {} bytes", bytes.repr_text(py))))
            }
        };
    }
    let text = argument.text(py)?;
    let wrong = || Kind::Value.raise(py, format!("not a size: {text:?} (an int, or digits with K, M, G or T)"));
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn create(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    const CREATE: Signature<5> = Signature {
        function: "create",
        names: ["name", "dir", "size", "exist_ok", "policy"],
        required: 0,
        positional: 1,
    };
    let [name, dir, bytes, exist_ok, policy] = arguments.take(py, &CREATE)?;
    let interpreter = interpreter(py, module)?;
    let location = location(py, name, dir)?;
    let policy = self::policy(py, policy)?;
    let choice = Choice { bytes: size(py, bytes)?, policy: policy.unwrap_or_default() };
    let exist_ok = exist_ok.map(|exist_ok| exist_ok.is_true(py)).transpose()?.unwrap_or(false);
    // An anonymous one is always another one.
    if exist_ok && location.place().is_some() {
        open_or_make(py, interpreter, location, choice, policy)
    } else {
        make(py, interpreter, location, choice)
    }
}

/// A space that is still to be made is another one than that of the thread's transaction: refused before anything is made.
fn refuse_inside(py: Python<'_>, interpreter: &Interpreter) -> Result<()> {
    if interpreter.current(py).is_some() { Err(crossed(py, interpreter)) } else { Ok(()) }
}

/// Why there is no space at `location`.
#[cold]
pub fn refused(py: Python<'_>, interpreter: &Interpreter, location: &Location, error: &OpenError) -> Raised {
    match (location, error) {
        (Location::Directory(dir), OpenError::Arena(error)) => interpreter.errors.directory(py, dir, error),
        _ => None,
    }
    .unwrap_or_else(|| open_failed(py, interpreter, error))
}

fn make(py: Python<'_>, interpreter: &Rc<Interpreter>, location: Location, choice: Choice) -> Result<Object> {
    refuse_inside(py, interpreter)?;
    match registry::create(&location, choice) {
        Ok(membership) => Space::open(py, interpreter, membership, location).map(Own::into_object),
        Err(error) => Err(refused(py, interpreter, &location, &error)),
    }
}

/// `uuid`: of the space that it has to be, if it has to be a certain one, and `policy`: what it has to have. Another one is not opened.
fn attach_at(
    py: Python<'_>,
    interpreter: &Rc<Interpreter>,
    location: Location,
    uuid: Option<&[u8]>,
    policy: Option<PolicyId>,
) -> Result<Result<Object, OpenError>> {
    let Some(place) = location.place() else {
        return Err(Kind::Type.raise(py, "which space? Give its name or its dir"));
    };
    match registry::attach(&place) {
        Ok(membership) if uuid.is_some_and(|uuid| uuid != membership.uuid()) => {
            let message = format!("the space was removed; that at {location} is another one");
            Err(Raised::with(py, &interpreter.errors.stale, message))
        }
        Ok(membership) => {
            let has = membership.space().arena().policy();
            if let Some(wanted) = policy.filter(|wanted| *wanted != has) {
                let (has, wanted) = (has.name(), wanted.name());
                let message = format!("the space at {location} is there, with the policy '{has}' and not '{wanted}'");
                return Err(Kind::Value.raise(py, message));
            }
            Space::open(py, interpreter, membership, location).map(Own::into_object).map(Ok)
        }
        Err(error) => Ok(Err(error)),
    }
}

fn attach(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    const ATTACH: Signature<2> = Signature { function: "attach", names: ["name", "dir"], required: 0, positional: 1 };
    let [name, dir] = arguments.take(py, &ATTACH)?;
    let interpreter = interpreter(py, module)?;
    let location = location(py, name, dir)?;
    attach_at(py, interpreter, location.clone(), None, None)?
        .map_err(|error| refused(py, interpreter, &location, &error))
}

/// Attaches what a pickle names.
fn attach_again(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    const ATTACH: Signature<3> =
        Signature { function: "_attach_again", names: ["", "", ""], required: 3, positional: 3 };
    let [uuid, name, dir] = arguments.take(py, &ATTACH)?;
    let interpreter = interpreter(py, module)?;
    let location = location(py, name, dir)?;
    let uuid = uuid.filter(|uuid| uuid.native() == Native::Bytes).map_or(&[][..], Any::bytes);
    attach_at(py, interpreter, location.clone(), Some(uuid), None)?
        .map_err(|error| refused(py, interpreter, &location, &error))
}

fn open(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    const OPEN: Signature<3> =
        Signature { function: "open", names: ["name", "dir", "size"], required: 0, positional: 1 };
    let [name, dir, bytes] = arguments.take(py, &OPEN)?;
    let interpreter = interpreter(py, module)?;
    let location = location(py, name, dir)?;
    open_or_make(py, interpreter, location, size(py, bytes)?.into(), None)
}

/// Attaches or creates, whichever works: of several who do this at once one makes the space.
fn open_or_make(
    py: Python<'_>,
    interpreter: &Rc<Interpreter>,
    location: Location,
    choice: Choice,
    policy: Option<PolicyId>,
) -> Result<Object> {
    // A creator and an unlinker may take turns; so often in a row that is no accident.
    const TRIES: u32 = 8;
    let mut taken = None;
    for _ in 0..TRIES {
        match attach_at(py, interpreter, location.clone(), None, policy)? {
            Ok(space) => return Ok(space),
            Err(OpenError::Arena(ArenaError::NotFound { .. })) => {}
            Err(error) => return Err(refused(py, interpreter, &location, &error)),
        }
        refuse_inside(py, interpreter)?;
        match registry::create(&location, choice) {
            Ok(membership) => return Space::open(py, interpreter, membership, location).map(Own::into_object),
            Err(error @ OpenError::Arena(ArenaError::AlreadyExists { .. })) => taken = Some(error),
            Err(error) => return Err(refused(py, interpreter, &location, &error)),
        }
    }
    if let Some(OpenError::Arena(error @ ArenaError::AlreadyExists { path })) = &taken {
        // Of a named space, too, files may be left that are not ours.
        let dir = if let Location::Directory(dir) = &location { dir } else { path };
        if let Some(raised) = interpreter.errors.directory(py, dir, error) {
            return Err(raised);
        }
    }
    Err(Kind::Os.raise(py, "the space is made and removed again and again by somebody else"))
}

fn unlink(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    const UNLINK: Signature<2> = Signature { function: "unlink", names: ["name", "dir"], required: 0, positional: 1 };
    let [name, dir] = arguments.take(py, &UNLINK)?;
    let interpreter = interpreter(py, module)?;
    let location = location(py, name, dir)?;
    let Some(place) = location.place() else {
        return Err(Kind::Type.raise(py, "which space? Give its name or its dir"));
    };
    match native::unlink(&place) {
        Ok(()) => Ok(py.none()),
        Err(error) => Err(refused(py, interpreter, &location, &error.into())),
    }
}

/// Of a function that takes none.
fn no_arguments(py: Python<'_>, function: &'static str, arguments: &Arguments<'_>) -> Result<()> {
    let signature = Signature::<0> { function, names: [], required: 0, positional: 0 };
    arguments.take(py, &signature).map(|_| ())
}

fn list_spaces(_module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    no_arguments(py, "list_spaces", &arguments)?;
    let names: Result<Vec<Object>> = native::list_spaces().iter().map(|name| py.str(name)).collect();
    py.list(names?)
}

/// The one positional argument, a space.
fn one_space<'a>(
    interpreter: &Interpreter,
    py: Python<'_>,
    function: &'static str,
    argument: Option<&'a Any>,
) -> Result<&'a Instance<Space>> {
    argument.and_then(|argument| interpreter.types.space.cast(argument)).ok_or_else(|| {
        let found = argument.map_or_else(|| "nothing".to_owned(), Any::class_name);
        Kind::Type.raise(py, format!("{function}() wants a Space, not {found}"))
    })
}

fn use_space(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    const USE: Signature<1> = Signature { function: "use", names: [""], required: 1, positional: 1 };
    let [space] = arguments.take(py, &USE)?;
    let interpreter = interpreter(py, module)?;
    let space = one_space(interpreter, py, "use", space)?;
    space.membership(py)?;
    interpreter.set_default(space, false);
    Ok(py.none())
}

fn retry(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    no_arguments(py, "retry", &arguments)?;
    Err(transaction::retry(py, interpreter(py, module)?))
}

fn or_else(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    if arguments.named_len() != 0 {
        return Err(Kind::Type.raise(py, "or_else() takes no keyword arguments"));
    }
    alternatives::or_else(py, interpreter(py, module)?, arguments.positional())
}

fn current(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    no_arguments(py, "current", &arguments)?;
    Current::of(py, interpreter(py, module)?)
}

fn transactional(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    decorate::transactional(py, interpreter(py, module)?, None, arguments)
}

fn open_object(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    const OPEN_OBJECT: Signature<4> =
        Signature { function: "_open_object", names: ["", "", "", ""], required: 3, positional: 4 };
    let [space, kind, handle, export] = arguments.take(py, &OPEN_OBJECT)?;
    let interpreter = interpreter(py, module)?;
    let space = one_space(interpreter, py, "_open_object", space)?;
    let kind = kind.map(|kind| kind.index(py)).transpose()?.unwrap_or(-1);
    // Handles use all 64 bits; they are pickled as decimal text of the unsigned number.
    let handle = handle.map(|handle| handle.text(py)).transpose()?.and_then(|text| text.parse().ok()).unwrap_or(0);
    let sent = export.filter(|export| !export.is_none()).map(|export| export_of(py, export)).transpose()?;
    proxy::from_outside(py, space, kind as i64, handle, sent)
}

/// The three numbers of an export; behind those of one that lasts stands that it does.
fn export_of(py: Python<'_>, export: &Any) -> Result<Sent> {
    let wrong = || Kind::Value.raise(py, "not an export");
    if export.native() != Native::Tuple {
        return Err(wrong());
    }
    let items = export.tuple_items(py)?;
    let (process, index, ticket, lasts) = match &items[..] {
        [process, index, ticket] => (process, index, ticket, false),
        [process, index, ticket, lasts] => (process, index, ticket, lasts.is_true(py)?),
        _ => return Err(wrong()),
    };
    let process = u16::try_from(process.index(py)?).map(ProcessSlotId).map_err(|_| wrong())?;
    let index = u32::try_from(index.index(py)?).map_err(|_| wrong())?;
    let export = Export { process, index, ticket: ticket.unsigned(py)? };
    Ok(Sent { export, lasts })
}

fn attach_descriptor(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    const ATTACH: Signature<3> =
        Signature { function: "_attach_descriptor", names: ["", "", ""], required: 3, positional: 3 };
    let [uuid, pid, descriptor] = arguments.take(py, &ATTACH)?;
    let interpreter = interpreter(py, module)?;
    let wrong = || Kind::Value.raise(py, "not the address of an anonymous space");
    let uuid = uuid.filter(|uuid| uuid.native() == Native::Bytes).map(Any::bytes);
    let uuid: [u8; 16] = uuid.and_then(|uuid| uuid.try_into().ok()).ok_or_else(wrong)?;
    let number = |argument: Option<&Any>| argument.map(|argument| argument.index(py)).transpose();
    let pid = number(pid)?.and_then(|pid| u32::try_from(pid).ok()).ok_or_else(wrong)?;
    let descriptor = number(descriptor)?.and_then(|descriptor| i32::try_from(descriptor).ok()).ok_or_else(wrong)?;
    let membership = match registry::known_anonymous(&uuid) {
        Some(known) => known,
        None => match registry::attach_descriptor(pid, descriptor) {
            Ok(membership) if membership.uuid() == uuid => membership,
            Err(error @ OpenError::Arena(ArenaError::Permission { .. } | ArenaError::NotOwner { .. })) => {
                return Err(open_failed(py, interpreter, &error));
            }
            Err(error @ OpenError::Join(_)) => return Err(open_failed(py, interpreter, &error)),
            // The process is gone, or has closed the space; what stands in its place is something else.
            Ok(_) | Err(OpenError::Arena(_)) => {
                let message = format!("the anonymous space is gone: process {pid} had it, and no longer has");
                return Err(Raised::with(py, &interpreter.errors.stale, message));
            }
        },
    };
    Space::open(py, interpreter, membership, Location::Anonymous).map(Own::into_object)
}

fn opened(module: &Any, py: Python<'_>, arguments: Arguments<'_>) -> Result<Object> {
    const OPENED: Signature<1> = Signature { function: "_opened", names: [""], required: 1, positional: 1 };
    let [uuid] = arguments.take(py, &OPENED)?;
    let uuid = uuid.filter(|uuid| uuid.native() == Native::Bytes).map(Any::bytes);
    let spaces = interpreter(py, module)?.spaces.all(py).into_iter();
    let open = spaces.filter(|space| uuid.is_some_and(|uuid| space.uuid() == uuid) && !space.is_closed());
    py.tuple(open.map(Own::into_object).collect())
}

fn before_fork(module: &Any, py: Python<'_>, _arguments: Arguments<'_>) -> Result<Object> {
    registry::settle_children();
    // First: what is counted below is counted for a child that is expected.
    children::expect_child();
    for space in interpreter(py, module)?.spaces.all(py) {
        if !space.is_closed() {
            space.membership(py)?.space().before_fork();
        }
    }
    Ok(py.none())
}

/// In the parent. There may be no child.
fn after_fork(module: &Any, py: Python<'_>, _arguments: Arguments<'_>) -> Result<Object> {
    children::let_child_go();
    for space in interpreter(py, module)?.spaces.all(py) {
        if !space.is_closed() {
            space.membership(py)?.space().after_fork();
        }
    }
    registry::settle_children();
    Ok(py.none())
}

/// In the child. A space that it cannot join hinders no other; whoever uses the space tries again.
fn forked(module: &Any, py: Python<'_>, _arguments: Arguments<'_>) -> Result<Object> {
    crate::ffi::gil::forked(py);
    let interpreter = interpreter(py, module)?;
    interpreter.forked(py);
    let mut result = Ok(py.none());
    for space in interpreter.spaces.all(py) {
        if space.is_closed() {
            continue;
        }
        result = match result {
            Ok(done) => space.rejoin(py).map(|()| done),
            // The first one is told.
            Err(raised) => Err(raised.aside(py, || space.rejoin(py).unwrap_or_else(|another| another.clear(py))).0),
        };
    }
    children::arrive();
    result
}

fn finalize(module: &Any, py: Python<'_>, _arguments: Arguments<'_>) -> Result<Object> {
    crate::ffi::gil::finalize(py);
    let interpreter = interpreter(py, module)?;
    for space in interpreter.spaces.all(py) {
        // A transaction that is under way now is a daemon thread's, which ends with the process.
        if interpreter.transactions_in(&space).is_empty() {
            space.end();
        }
    }
    Ok(py.none())
}
