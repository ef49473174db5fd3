//! Owners that show no sign of life: stopped (SIGSTOP), in a debugger, or lost in a computation. Nobody waits for one for long.
//!
//! Whoever sleeps for somebody else's sake remembers what that one's words said and since when ([`Watch`]), and looks again after each sleep: in the place at an owner, in
//! the second row, and before the privilege token. If they have said the same for as long as the other may be silent, its attempt is stopped, and its locks are void: ACTIVE or
//! WAITING. Who is PREPARED is left alone for `prepared_ns` only, by whoever meets him at a cell; here he is pushed back, if he has the token and nobody need meet him at one. Who is COMMITTED
//! is stopped by nobody, and nor is who is irrevocable.
//!
//! A sign of life is a cell that was not read or locked before (or one of some thousand reads of such as were), a step of the status, a sleep. (Not: to read or write a cell again that is locked already. Who does that alone for so long is stopped
//! like one who computes; and his patience grows in the same way.)

use std::sync::atomic::Ordering::Relaxed;

use super::Participant;
use crate::participant::{Slot, status_of};
use crate::platform::Platform;
use crate::word::{AttemptId, State, Status};

/// An attempt that somebody waits for: what it has last shown, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    owner: AttemptId,
    sign: [u64; 4],
    since_ns: u64,
}

/// What somebody remembers who tries again, and never waits at one owner.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watches {
    /// The owner at whom the policy has him try again.
    pub retried: Option<Watch>,
    /// Who has the token that he cannot have, though he starves.
    pub holder: Option<Watch>,
    /// How long he himself might be silent before he had the token, in ns.
    pub limit_before_ns: u64,
    /// How many attempts the transaction had lost when it last began to wait for a change.
    pub lost_before_wait: u64,
}

impl Watch {
    /// Who is watched.
    pub(super) fn owner(&self) -> AttemptId {
        self.owner
    }
}

impl<P: Platform> Participant<P> {
    /// Begins to watch an attempt of the participant with this slot.
    pub(super) fn watch(&self, slot: Slot, owner: AttemptId) -> Watch {
        Watch { owner, sign: self.sign_of_life(slot), since_ns: self.platform().now_ns() }
    }

    /// After a sleep: goes on with a watch, or begins another one where it was of another attempt; and stops who has been silent for as long as he may.
    pub(super) fn go_on_watching(&mut self, watch: Option<Watch>, slot: Slot, owner: AttemptId) -> Watch {
        let Some(mut watch) = watch.filter(|watch| watch.owner == owner) else { return self.watch(slot, owner) };
        self.stop_if_silent(&mut watch, slot);
        watch
    }

    /// The same for one who is watched.
    pub(super) fn stop_if_silent(&mut self, watch: &mut Watch, slot: Slot) {
        let (sign, now) = (self.sign_of_life(slot), self.platform().now_ns());
        if sign != watch.sign {
            (watch.sign, watch.since_ns) = (sign, now);
        } else if now.saturating_sub(watch.since_ns) >= self.platform().load(slot.hung_limit(), Relaxed) {
            self.stop_hung(slot, watch.owner);
        }
    }

    /// An owner without any sign of life for long: its locks are taken. Its patience doubles, so that a body that computes for
    /// long finishes in the end.
    fn stop_hung(&mut self, slot: Slot, owner: AttemptId) {
        // First the status, with acquire: whoever has begun meanwhile has said before what standing he has.
        let Ok(status) = status_of(self.arena(), slot) else { return };
        if status.seq != owner.seq {
            return;
        }
        let contender = self.contender_at(slot);
        if contender.irrevocable {
            return;
        }
        match status.state {
            State::Active | State::Waiting => {
                // First its patience, for its next attempt begins at once; back, if nobody has stopped it. Lost: another has doubled it, or it is done and has set it anew.
                let (arena, word) = (self.arena(), slot.hung_limit());
                let limit = arena.platform().load(word, Relaxed);
                let doubled = limit.saturating_mul(2).max(1);
                let is_doubled = arena.platform().compare_exchange(word, limit, doubled, Relaxed, Relaxed).is_ok();
                // With the token it is in nobody's way any more, and waits for nobody: he may be irrevocable, and want none of its cells.
                let name = if contender.privileged { 0 } else { self.me().pack() };
                let is_stopped = self.stop_as(name, slot, owner, status.state) || self.is_stopped(slot, owner);
                if is_doubled && !is_stopped {
                    let _ = self.platform().compare_exchange(word, doubled, limit, Relaxed, Relaxed);
                }
            }
            State::Prepared if contender.privileged => self.push_back(slot, owner),
            State::Idle | State::Prepared | State::Committed | State::Aborted => {}
        }
    }

    /// Whether somebody has stopped it, and it has not gone on since.
    fn is_stopped(&self, slot: Slot, owner: AttemptId) -> bool {
        let aborted = Status { seq: owner.seq, state: State::Aborted }.pack();
        self.platform().load(slot.status(), Relaxed) == aborted
    }

    /// Changes with all that counts as a sign of life.
    fn sign_of_life(&self, slot: Slot) -> [u64; 4] {
        [slot.status(), slot.entries_reserved(), slot.read_log_length(), slot.sleeps()]
            .map(|word| self.platform().load(word, Relaxed))
    }
}
