//! A whole container at one moment: its entries, or everything that is reached from it as plain Python objects.
//!
//! Deep copies are taken in one operation, container by container from a list (nesting may be deep), each once, so that
//! cycles and shared parts stay what they are. What is built from them runs no code of shared objects.

use std::collections::HashMap;

use pso_engine::error::Stop;
use pso_engine::object::{dict, list};
use pso_engine::word::{BlockKind, Handle};

use crate::fetch::{Fetched, Look};
use crate::ffi::{Instance, Object, Python, Result};
use crate::holding::{Keep, Shared};
use crate::memory;
use crate::space::{Space, Tx};

/// Key and value.
pub type Entry = (Fetched, Fetched);

/// All entries of a dict, in order.
pub fn dict_entries(py: Python<'_>, look: &mut Look<'_>, tx: &mut Tx, handle: Handle) -> Result<Vec<Entry>, Stop> {
    let mut entries = Vec::new();
    let mut cursor = dict::cursor(tx, handle)?;
    // Bound: places rise, and each has memory.
    while let Some((key, value)) = cursor.next(tx)? {
        let entry = (look.fetch(py, tx, key)?, look.fetch(py, tx, value)?);
        memory::push(py, &mut entries, entry)?;
    }
    Ok(entries)
}

/// All items of a list.
pub fn list_items(py: Python<'_>, look: &mut Look<'_>, tx: &mut Tx, handle: Handle) -> Result<Vec<Fetched>, Stop> {
    let mut items = Vec::new();
    let mut cursor = list::cursor(tx, handle, 0)?;
    // Bound: an item behind the last is absent, and each that is not has memory.
    while let Some(value) = cursor.next(tx)? {
        let item = look.fetch(py, tx, value)?;
        memory::push(py, &mut items, item)?;
    }
    Ok(items)
}

enum Content {
    List(Vec<Fetched>),
    Dict(Vec<Entry>),
}

/// Containers by number, each with its handle and content.
type Contents = Vec<(Handle, Content)>;

/// Everything that is reached from `roots`, at one moment.
fn collect(py: Python<'_>, space: &Space, tx: &mut Tx, roots: &[(BlockKind, Handle)]) -> Result<Contents, Stop> {
    let (mut contents, mut look) = (Contents::new(), Look::in_passing(space));
    let mut known: HashMap<u64, ()> = HashMap::new();
    let mut pending: Vec<(BlockKind, Handle)> = roots.to_vec();
    // Bound: each container once, and each has memory.
    while let Some((kind, handle)) = pending.pop() {
        memory::reserve_key(py, &mut known)?;
        if kind == BlockKind::Queue || known.insert(handle.raw(), ()).is_some() {
            continue;
        }
        let mut has_room = Ok(());
        let mut visit = |kind, handle| {
            if has_room.is_ok() {
                has_room = memory::push(py, &mut pending, (kind, handle));
            }
        };
        let content = if kind == BlockKind::List {
            let items = list_items(py, &mut look, tx, handle)?;
            items.iter().for_each(|item| item.each_shared(&mut visit));
            Content::List(items)
        } else {
            let entries = dict_entries(py, &mut look, tx, handle)?;
            entries.iter().for_each(|(_, value)| value.each_shared(&mut visit));
            Content::Dict(entries)
        };
        has_room?;
        memory::push(py, &mut contents, (handle, content))?;
    }
    Ok(contents)
}

/// Plain copies of containers of one space, all of the same moment. Queues in them stay what they are.
pub fn plain(py: Python<'_>, space: &Instance<Space>, roots: &[(BlockKind, Handle)]) -> Result<Vec<Object>> {
    let contents = space.operate(py, |tx| collect(py, space, tx, roots))?;
    let mut made: HashMap<u64, Object> = HashMap::new();
    for (handle, content) in &contents {
        let empty = match content {
            Content::List(_) => py.list(Vec::new())?,
            Content::Dict(_) => py.dict()?,
        };
        memory::reserve_key(py, &mut made)?;
        made.insert(handle.raw(), empty);
    }
    let mut shared = |object: Shared| match made.get(&object.handle.raw()) {
        Some(made) => Ok(made.clone()),
        None => Space::proxy(space, py, object),
    };
    for (handle, content) in contents {
        let Some(target) = made.get(&handle.raw()) else { continue };
        match content {
            Content::List(items) => {
                for item in items {
                    let item = item.into_object_with(py, space, &mut shared)?;
                    py.append(target, &item)?;
                }
            }
            Content::Dict(entries) => {
                for (key, value) in entries {
                    let key = key.into_object_with(py, space, &mut shared)?;
                    let value = value.into_object_with(py, space, &mut shared)?;
                    py.set_item(target, &key, &value)?;
                }
            }
        }
    }
    let root = |&(kind, handle)| shared(Shared { kind, handle, keep: Keep::Nothing });
    roots.iter().map(root).collect()
}

/// A plain copy of one container.
pub fn plain_one(py: Python<'_>, space: &Instance<Space>, kind: BlockKind, handle: Handle) -> Result<Object> {
    let mut copies = plain(py, space, &[(kind, handle)])?;
    match copies.pop() {
        Some(copy) => Ok(copy),
        None => Space::proxy(space, py, Shared { kind, handle, keep: Keep::Nothing }),
    }
}
