//! Participants that are not at work, and what they are good for meanwhile.

use pso_engine::platform::System;
use pso_engine::space::JoinError;

use super::{Room, Space};
use crate::ffi::{Python, Result};
use crate::garbage::{self, Share};
use crate::member::Member;

/// So many wait for the next who works, beside the one that costs nothing.
const IDLE: usize = 7;

impl Space {
    /// A participant that is not at work.
    pub fn take_member(&self, py: Python<'_>) -> Result<Box<Member>> {
        if let Some(mut member) = self.take_idle_member() {
            member.attend();
            return Ok(member);
        }
        let membership = self.membership(py)?;
        if membership.native().forked() {
            self.rejoin(py)?;
        }
        let mut room = Room::default();
        // Bounded by the tries of `room`. No place for another one: somebody of ours may be through meanwhile.
        loop {
            match Member::join(&membership, &self.closed) {
                Err(JoinError::Full(_)) if room.may_come_by_others(self, py, false)? => {}
                Err(error) => return Err(self.interpreter.errors.not_joined(py, &error)),
                Ok(mut member) => {
                    member.participant.set_names_in_doubt(self.names_in_doubt.get());
                    // The next one may come when the space is full.
                    membership.space().keep_place_ready();
                    return Ok(member);
                }
            }
            if let Some(member) = self.take_idle_member() {
                return Ok(member);
            }
        }
    }
    #[inline]
    fn take_idle_member(&self) -> Option<Box<Member>> {
        // In the child of a fork that no handler has told the parent's are there.
        let mut next = || self.spare.take().or_else(|| self.others.borrow_mut().pop());
        std::iter::from_fn(&mut next).find(|member| !member.is_foreign())
    }
    /// Gives it back; but for one that a signal handler has forked with, which is the parent's.
    pub fn put_member(&self, member: Box<Member>) {
        if !member.is_foreign() {
            self.put_own_member(member);
        }
    }
    /// The same for whoever knows that it is this process's.
    #[inline]
    pub fn put_own_member(&self, mut member: Box<Member>) {
        if self.garbage.is_due(&mut member) {
            self.garbage.go_on(&mut member);
        } else {
            // A piece keeps pace with what one operation makes, not with all since the last piece.
            member.note_piece();
        }
        if let Some(other) = self.spare.replace(Some(member)) {
            self.put_other(other);
        }
        if self.ended.get() {
            self.dismiss();
        }
    }
    /// Others keep at most [`IDLE`]: places are for all processes, and a burst of threads would keep one for each.
    fn put_other(&self, member: Box<Member>) {
        let mut others = self.others.borrow_mut();
        if others.len() < IDLE {
            others.push(member);
        } else {
            drop(others);
            member.leave();
        }
    }
    #[cold]
    pub(super) fn dismiss(&self) {
        for member in self.spare.take().into_iter().chain(self.others.take()) {
            member.leave();
        }
    }
    /// Runs `visit` with each participant that is not at work, or with a new one where there is none. Gives the sum.
    pub fn with_idle_members(&self, py: Python<'_>, mut visit: impl FnMut(&mut Member) -> u64) -> Result<u64> {
        let first = self.take_member(py)?;
        let mut members: Vec<Box<Member>> = self.others.take();
        members.push(first);
        let mut sum = 0;
        for mut member in members {
            sum += visit(&mut member);
            self.put_member(member);
        }
        Ok(sum)
    }

    /// In a full space: what dead processes held is free again, what nothing names any more, and what the participants that are not at work have
    /// at hand. False: there was none.
    #[cold]
    pub fn make_room(&self, py: Python<'_>) -> Result<bool> {
        let recovered = self.membership(py)?.space().recover_dead() > 0;
        let freed = garbage::collect(py, self, Share::default())?.bytes > 0;
        let retired = self.with_idle_members(py, |member| {
            member.participant.trim_logs();
            member.participant.collect()
        })? > 0;
        // Blocks that are free in memory of somebody are for that one alone: what has no owner is for whoever asks first.
        let idle = self.others.take();
        let left = !idle.is_empty();
        idle.into_iter().for_each(|member| member.leave());
        Ok(recovered || freed || retired || left || self.garbage.wait_for_collectors(py)?)
    }
}
