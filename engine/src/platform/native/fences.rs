//! Who pays for the order between a reader's log entry and its second look: the reader, by a fence, or whoever looks at the logs, by `membarrier`.
//!
//! `membarrier(2)` with `GLOBAL_EXPEDITED` makes all processors that run a thread of a registered process fence, wherever they are, in a microsecond
//! or so. Each process of a space that fences so has to be registered before it reads. A fork registers when it joins; what exec starts, when it attaches.

use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

use crate::arena::header::Fences;

/// The cheapest that this system has; this process is ready for it.
pub(super) fn best() -> Fences {
    if is_ready_for(Fences::Membarrier) { Fences::Membarrier } else { Fences::Full }
}

/// Gets this process ready for a space's fences. False: it cannot take part.
pub(super) fn is_ready_for(fences: Fences) -> bool {
    let needed = MembarrierQuery::GLOBAL_EXPEDITED | MembarrierQuery::REGISTER_GLOBAL_EXPEDITED;
    fences == Fences::Full
        || membarrier_query().contains(needed) && membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// Makes all processors fence that run a thread of a registered process. False: the system refuses it, as it may from one moment to the next, to a
/// process that has been put into a sandbox.
pub(super) fn everywhere() -> bool {
    membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}
