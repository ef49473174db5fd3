//! What whoever looks for objects in use is told of those that processes take hold of meanwhile.

use crate::arena::Arena;
use crate::platform::Platform;
use crate::word::Handle;

/// A process has written down that it holds `handle` (see `holding`). Called inside the attempt that found the handle: the start of
/// its participant is not 0, and the entry is in the table. Nobody looks for what is in use yet, so nobody is told.
#[inline]
pub fn note_held<P: Platform>(_arena: &Arena<P>, _handle: Handle) {}
