//! Pickles of a space's objects that are out: this interpreter has made them, and nobody has loaded them, as far as it has looked.
//!
//! Each holds its object by an export, which whoever loads it takes out. Some are never loaded (a pickle that was only measured, stored or
//! dropped, one that failed further on), and nobody can tell. So that they do not fill the table of what the process holds, an object of which
//! many are out gets a *lasting* export: it is named by all further pickles of the object, and nobody takes it out. However many load them,
//! and whenever, the object is held until the process has left the space.
//!
//! Exports are compared with the table whenever it matters. So nothing is to be done here when a space is closed, or in the child of a
//! fork: what was noted before names an entry that is empty, or somebody else's.

use std::collections::HashMap;

use pso_engine::holding::Export;
use pso_engine::word::Handle;

/// More pickles of one object than that are many. One pipe has room for fewer.
const MANY: usize = 512;
/// Exports that are noted at least, before all are looked through.
const LOOK: usize = 8 * MANY;

/// By what a pickle holds its object.
#[derive(Clone, Copy)]
pub struct Sent {
    /// The entry.
    pub export: Export,
    /// Whether it stays when the pickle has been loaded.
    pub lasts: bool,
}

enum Out {
    Each(Vec<Export>),
    Lasting(Export),
}

/// The exports of this interpreter, by the objects that they hold.
pub struct Exports {
    objects: HashMap<u64, Out>,
    /// How many are noted until the next look at all.
    left: usize,
}

impl Default for Exports {
    fn default() -> Self {
        Self { objects: HashMap::new(), left: LOOK }
    }
}

impl Exports {
    /// The lasting export of an object, if it has one that is out.
    pub fn lasting(&self, handle: Handle, is_out: impl Fn(Export) -> bool) -> Option<Export> {
        match self.objects.get(&handle.raw()) {
            Some(Out::Lasting(export)) => Some(*export).filter(|export| is_out(*export)),
            _ => None,
        }
    }

    /// Notes a new export. True: it is to last.
    ///
    /// Cost: two loads of entries on the average.
    pub fn note(&mut self, handle: Handle, export: Export, is_out: impl Fn(Export) -> bool) -> bool {
        self.look(&is_out);
        let object = self.objects.entry(handle.raw()).or_insert_with(|| Out::Each(Vec::new()));
        let Out::Each(each) = object else {
            // The lasting one of before is none any more.
            *object = Out::Each(vec![export]);
            return false;
        };
        each.push(export);
        // With twice as many as are many: a look at them is paid for by as many pickles.
        if each.len() < 2 * MANY {
            return false;
        }
        each.retain(|export| is_out(*export));
        let lasts = each.len() > MANY;
        if lasts {
            *object = Out::Lasting(export);
        }
        lasts
    }

    /// Forgets what is no longer out, once so many are new as there were.
    fn look(&mut self, is_out: impl Fn(Export) -> bool) {
        self.left -= 1;
        if self.left != 0 {
            return;
        }
        let mut out = 0;
        self.objects.retain(|_, object| {
            let left = match object {
                Out::Each(each) => {
                    each.retain(|export| is_out(*export));
                    each.len()
                }
                Out::Lasting(export) => usize::from(is_out(*export)),
            };
            out += left;
            left != 0
        });
        self.left = out.max(LOOK);
    }
}
