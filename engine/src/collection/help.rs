//! Help for whoever collects: any other process may trace what is grey, as long as he admits it.

use super::colour::colour;
use super::passes::{for_each_of_many_names, next_superblock};
use super::role::{Right, Seat};
use super::trace::{Share, Tracer};
use crate::allocator;
use crate::platform::Platform;
use crate::word::Colour;

/// Superblocks that one step looks at, at most.
const LOOKED_AT_ONCE: u64 = 8;

/// What one step of helping has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// There may be more to do.
    Went,
    /// Nothing is grey that this participant could take just now.
    Idle,
    /// Nobody is to be helped, or not any more.
    Over,
}

/// One participant's help in one collection. What it leaves grey others find.
#[derive(Debug)]
pub struct Helping {
    claim: u64,
    right: Right,
    tracer: Tracer,
    /// The next superblock to look at, and how many have been looked at in a row where nothing was grey.
    superblock: u64,
    in_vain: u64,
}

impl Helping {
    /// Says that this participant would help whoever collects. `None`: nobody collects who admits anybody, or not yet.
    pub(crate) fn offer<P: Platform>(seat: &Seat<'_, P>) -> Option<Self> {
        let cycle = seat.wish_to_help()?;
        let used = allocator::superblocks_used(seat.arena);
        let participants = seat.arena.layout().geometry().participants;
        Some(Self {
            claim: seat.claim.pack(),
            right: Right::new(cycle),
            tracer: Tracer::default(),
            // Helpers begin at different places.
            superblock: used * u64::from(seat.id.0) / participants,
            in_vain: 0,
        })
    }

    /// Traces some of what is grey: `most` words, or somewhat more.
    pub(crate) fn step<P: Platform>(&mut self, seat: &Seat<'_, P>, most: u64) -> Help {
        // The child of a fork has a copy of it, and another claim.
        if self.claim != seat.claim.pack() || self.tracer.has_to_end() || !self.right.is_valid(seat) {
            return Help::Over;
        }
        seat.enter();
        if self.tracer.is_done() {
            self.look(seat);
        }
        let goes_on = !self.tracer.is_done();
        if goes_on {
            self.tracer.trace(seat, &self.right, Share::Rest, most);
        }
        seat.leave();
        let has_looked_at_all = self.in_vain >= allocator::superblocks_used(seat.arena);
        if goes_on || !has_looked_at_all { Help::Went } else { Help::Idle }
    }

    /// Looks for something grey.
    fn look<P: Platform>(&mut self, seat: &Seat<'_, P>) {
        let arena = seat.arena;
        let used = allocator::superblocks_used(arena);
        for _ in 0..LOOKED_AT_ONCE {
            let superblock = next_superblock(arena, self.superblock);
            self.in_vain += superblock + 1 - self.superblock;
            self.superblock = if superblock < used { superblock + 1 } else { 0 };
            if superblock < used {
                for_each_of_many_names(arena, superblock, |handle| {
                    if colour(arena, handle, self.right.cycle) == Colour::Grey && !seat.is_large_of_another(handle) {
                        self.tracer.push(handle);
                    }
                });
            }
            if !self.tracer.is_done() {
                self.in_vain = 0;
                return;
            }
        }
    }
}
