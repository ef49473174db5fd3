//! What the blocks of a space are: how many objects of which kind, with all blocks that only they own.

use std::collections::{BTreeMap, HashSet};

use crate::allocator;
use crate::arena::Arena;
use crate::fsck::doomed;
use crate::platform::Platform;
use crate::reclamation::for_each_part;
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, BlockPhase, Handle};

/// What a block is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Lists, with the arrays that hold their cells.
    List,
    /// Dicts, with arrays, buckets and entries.
    Dict,
    /// Queues, with the arrays that hold their cells.
    Queue,
    /// Tuples.
    Tuple,
    /// Texts that do not fit a word.
    Text,
    /// Bytes that do not fit a word.
    Bytes,
    /// Ints that do not fit a word.
    Int,
    /// Floats that do not fit a word.
    Float,
    /// Parts of containers whose container was not met: it is being made, or has gone meanwhile.
    Parts,
    /// Found by a collection to be named by nothing, with all that only it owns; not freed yet.
    Garbage,
    /// Replaced or removed, and kept for those who may still read it.
    Waiting,
    /// Made by an attempt that is under way.
    Private,
    /// Records and read logs of participants.
    Logs,
    /// Tables of what processes hold.
    Tables,
}

impl Class {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 14] = [
        Self::List,
        Self::Dict,
        Self::Queue,
        Self::Tuple,
        Self::Text,
        Self::Bytes,
        Self::Int,
        Self::Float,
        Self::Parts,
        Self::Garbage,
        Self::Waiting,
        Self::Private,
        Self::Logs,
        Self::Tables,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Dict => "dict",
            Self::Queue => "queue",
            Self::Tuple => "tuple",
            Self::Text => "str",
            Self::Bytes => "bytes",
            Self::Int => "int",
            Self::Float => "float",
            Self::Parts => "parts",
            Self::Garbage => "garbage",
            Self::Waiting => "waiting",
            Self::Private => "private",
            Self::Logs => "logs",
            Self::Tables => "tables",
        }
    }

    fn of(kind: BlockKind) -> Self {
        match kind {
            BlockKind::List => Self::List,
            BlockKind::Dict => Self::Dict,
            BlockKind::Queue => Self::Queue,
            BlockKind::Tuple => Self::Tuple,
            BlockKind::Text => Self::Text,
            BlockKind::Bytes => Self::Bytes,
            BlockKind::Int => Self::Int,
            BlockKind::Float => Self::Float,
            BlockKind::Log => Self::Logs,
            BlockKind::Holds => Self::Tables,
            _ => Self::Parts,
        }
    }
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Objects; of what is no object, blocks.
    pub objects: u64,
    /// Blocks.
    pub blocks: u64,
    /// Their bytes: what their size class has room for, headers included.
    pub bytes: u64,
}

/// Counts all blocks in use. What fits a word (short texts, ints, floats, `None`) has no block and is not counted.
///
/// Cost: a look at each block, one at each word of a container that may name a part of it, and a few words of memory for each part. Others go on
/// meanwhile; the numbers are of no one moment. Called within [`crate::space::Space::look`].
pub fn census<P: Platform>(arena: &Arena<P>) -> BTreeMap<Class, Count> {
    let garbage = doomed::all(arena);
    let mut counts: BTreeMap<Class, Count> = BTreeMap::new();
    let mut counted: HashSet<u64> = HashSet::new();
    let mut parts = Vec::new();
    let mut count = |class, handle, is_object: bool| {
        let count: &mut Count = counts.entry(class).or_default();
        count.objects += u64::from(is_object);
        count.blocks += 1;
        count.bytes += allocator::payload_words(arena, handle).map_or(0, |words| (words + BLOCK_HEADER_WORDS) * 8);
    };
    allocator::for_each_block(arena, |handle, state| match (state.phase, state.kind) {
        (BlockPhase::Retired, _) if !garbage.contains(&handle.raw()) => count(Class::Waiting, handle, true),
        _ if garbage.contains(&handle.raw()) => count(Class::Garbage, handle, true),
        (BlockPhase::Private, _) => count(Class::Private, handle, true),
        (_, kind) if is_part(kind) => parts.push(handle),
        (_, kind) => {
            count(Class::of(kind), handle, true);
            if kind.is_container() {
                for_each_own(arena, handle, &mut counted, &mut |part| count(Class::of(kind), part, false));
            }
        }
    });
    parts.retain(|part| !counted.contains(&part.raw()));
    parts.into_iter().for_each(|part| count(Class::Parts, part, true));
    counts
}

fn is_part(kind: BlockKind) -> bool {
    matches!(kind, BlockKind::Cells | BlockKind::DictEntry | BlockKind::DictTable | BlockKind::DictBucket)
}

/// The blocks that a container is made of, each once.
fn for_each_own<P: Platform>(
    arena: &Arena<P>,
    container: Handle,
    counted: &mut HashSet<u64>,
    visit: &mut impl FnMut(Handle),
) {
    let mut pending = vec![container];
    // Bound: a part is entered once.
    while let Some(whole) = pending.pop() {
        for_each_part(arena, whole, &mut |part| {
            let kind = allocator::check_fully(arena, part).map(|state| state.kind);
            if kind.is_ok_and(is_part) && counted.insert(part.raw()) {
                visit(part);
                pending.push(part);
            }
        });
    }
}
