//! A lull: whoever has starved asks the others not to commit for a moment, and reads invisibly meanwhile.
//!
//! The first thing that an attempt with the token does for a transaction that has lost ten times. To hold what it reads (`visible`)
//! takes each cell's line from the processor that writes it, and gives it back later, and whoever writes sleeps meanwhile. So it is
//! tried first without, by those who read much ([`crate::contention::Limits::lull_reads`]). Who reads little holds it for less than others are put off: where many
//! change one cell each lull costs somebody his attempt, who starves for that, and soon all commits go one by one through the token.
//!
//! **Protocol**
//!
//! 1. The asker, with the token: puts its attempt into the lull's word, begins (F1), and reads and writes as ever; who is in its way is
//!    stopped, for it is privileged. At its end it takes its name out.
//! 2. The others: PREPARED, after F2, they look at the word beside the clock. Somebody is named: back to ACTIVE, keeping all that they
//!    have, and a look at the word again and again, until it changes or [`crate::contention::Limits::lull_ns`] are over (enough to
//!    read some thousand cells). Then they take the name out themselves. They are PREPARED again, with a new version.
//! 3. The asker fails all the same: its next attempt with the token holds what it reads.
//!
//! **Safety does not hang on it.** The asker is an attempt like any other, validated like any other: a lull that is not kept, by whoever was
//! past his look (a Dekker pair, F1 and F2: all others see the name), or whose asker is stopped or dead, costs an attempt or a moment.
//! Nobody sleeps, but where there is one processor only, for then the asker gets no further beside one who spins.

use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use super::Participant;
use crate::contention::Standing;
use crate::error::Stop;
use crate::platform::Platform;
use crate::waiting::Bell;
use crate::word::{AttemptId, State};

/// Turns of a spin between two looks at the clock.
const SPINS_TO_A_LOOK: u32 = 16;

impl<P: Platform> Participant<P> {
    /// Whether the attempt to come is to be one in a lull.
    pub(super) fn wants_lull(&self) -> bool {
        let reads_much = self.most_reads >= self.limits.lull_reads;
        self.standing == Standing::Privileged && !self.had_lull && self.limits.lull_ns != 0 && reads_much
    }

    /// For the attempt to come, which has the token. Once a transaction.
    pub(super) fn ask_for_lull(&mut self) {
        self.had_lull = true;
        // Relaxed: F1 of that attempt orders it.
        self.platform().store(self.arena().layout().lull(), self.me().pack(), Relaxed);
    }

    /// After an attempt with the token: the name that it may have left goes, unless somebody was faster.
    pub(super) fn end_lull(&self) {
        let lull = self.arena().layout().lull();
        let asker = self.platform().load(lull, Relaxed);
        if AttemptId::unpack(asker).is_some_and(|asker| asker.participant == self.id) {
            // Relaxed: nothing is passed on with it. Lost: somebody did not want to wait any longer.
            let _ = self.platform().compare_exchange(lull, asker, 0, Relaxed, Relaxed);
        }
    }

    /// PREPARED, and F2 is behind us: whether somebody asks for a lull.
    #[inline(always)]
    pub(super) fn is_asked_for_lull(&self) -> bool {
        // Relaxed: after F2.
        let asker = self.platform().load(self.arena().layout().lull(), Relaxed);
        asker != 0 && asker != self.me().pack() && !self.takes_out(asker)
    }

    /// With the token nobody is put off: the name is of one who had it before me, and is done, dead, or too late. It goes.
    #[cold]
    fn takes_out(&self, asker: u64) -> bool {
        let goes = self.standing.has_token();
        if goes {
            // Lost: he has done it himself, or somebody else has.
            let _ = self.platform().compare_exchange(self.arena().layout().lull(), asker, 0, Relaxed, Relaxed);
        }
        goes
    }

    /// Back to ACTIVE, and there until the lull is over.
    #[cold]
    #[inline(never)]
    pub(super) fn keep_lull(&mut self) -> Result<(), Stop> {
        let prepared = self.status(State::Prepared);
        if self.platform().compare_exchange(self.slot.status(), prepared, self.active, AcqRel, Relaxed).is_err()
            && !self.still(self.active)
        {
            return Err(self.lost());
        }
        let lull = self.arena().layout().lull();
        let asker = self.platform().load(lull, Relaxed);
        let began = self.platform().now_ns();
        while asker != 0 && self.platform().load(lull, Relaxed) == asker {
            // On one processor the asker needs it. Before the look whether I am stopped: who stops me rings.
            let bell = (self.platform().spin_ns() == 0).then(|| Bell::look(self.arena(), self.slot));
            if !self.still(self.active) {
                return Err(self.lost());
            }
            let rests_ns = self.limits.lull_ns.saturating_sub(self.platform().now_ns().saturating_sub(began));
            if rests_ns == 0 {
                let _ = self.platform().compare_exchange(lull, asker, 0, Relaxed, Relaxed);
                return Ok(());
            }
            match bell.map(|bell| self.sleep(bell, rests_ns)) {
                None => (0..SPINS_TO_A_LOOK).for_each(|_| self.platform().spin_hint()),
                Some(slept) => slept.map_err(|stop| self.fail(stop))?,
            }
        }
        Ok(())
    }
}
