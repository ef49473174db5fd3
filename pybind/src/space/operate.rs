//! Operations: in the thread's transaction, or each in one of its own.

use std::rc::Rc;

use pso_engine::error::Stop;

use super::{Room, Space, Tx};
use crate::ffi::{Python, Result};
use crate::member::Member;
use crate::transaction::Transaction;

impl Space {
    /// Runs `body` once, as a part of the thread's transaction, or as a transaction of its own as often as it takes.
    ///
    /// What `body` finds is best written to a place that it borrows: results that are larger than a word or two cost as much
    /// to hand up as they cost to find.
    #[inline(always)]
    pub fn operate<T>(&self, py: Python<'_>, mut body: impl FnMut(&mut Tx) -> Result<T, Stop>) -> Result<T> {
        if self.interpreter.is_at_rest()
            && let Some(mut member) = self.spare.take()
        {
            member.attend();
            return match member.participant.run(&mut body) {
                Ok(value) => {
                    self.put_own_member(member);
                    Ok(value)
                }
                Err(stop) => self.operate_again(py, member, stop, &mut body),
            };
        }
        self.operate_anyhow(py, &mut body)
    }

    /// The everyday way was not open. Through a pointer, as below: so `body` is in line once.
    #[inline(never)]
    pub(super) fn operate_anyhow<T>(
        &self,
        py: Python<'_>,
        body: &mut dyn FnMut(&mut Tx) -> Result<T, Stop>,
    ) -> Result<T> {
        self.interpreter.run_left_hooks(py)?;
        match self.interpreter.current(py) {
            None => self.alone(py, None, Room::default(), body)?.map_err(|stop| self.stopped(py, stop)),
            Some(transaction) => self.operate_inside(py, &transaction, body),
        }
    }

    /// A lone operation was stopped: what can be mended is, and it runs again.
    #[cold]
    #[inline(never)]
    fn operate_again<T>(
        &self,
        py: Python<'_>,
        member: Box<Member>,
        stop: Stop,
        body: &mut dyn FnMut(&mut Tx) -> Result<T, Stop>,
    ) -> Result<T> {
        self.put_member(member);
        match stop {
            Stop::Forked => {
                self.rejoin(py)?;
                self.operate_anyhow(py, body)
            }
            stop => {
                let mut room = Room::default();
                let result = match stop.wants_room() && room.may_come(self, py)? {
                    true => self.alone(py, None, room, body)?,
                    false => Err(stop),
                };
                result.map_err(|stop| self.stopped(py, stop))
            }
        }
    }

    /// The same with an end to the waits of a lone operation, in ns of the system's clock. `None`: the time is over.
    pub fn operate_or_time_out<T>(
        &self,
        py: Python<'_>,
        deadline_ns: Option<u64>,
        mut body: impl FnMut(&mut Tx) -> Result<T, Stop>,
    ) -> Result<Option<T>> {
        self.interpreter.run_left_hooks(py)?;
        match self.interpreter.current(py) {
            Some(transaction) => self.operate_inside(py, &transaction, &mut body).map(Some),
            None => match self.alone(py, deadline_ns, Room::default(), &mut body)? {
                Ok(value) => Ok(Some(value)),
                Err(Stop::TimedOut) => Ok(None),
                Err(stop) => Err(self.stopped(py, stop)),
            },
        }
    }

    fn alone<T>(
        &self,
        py: Python<'_>,
        deadline_ns: Option<u64>,
        mut room: Room,
        body: &mut dyn FnMut(&mut Tx) -> Result<T, Stop>,
    ) -> Result<Result<T, Stop>> {
        // Bounded: a fork joins by itself, once, and a full space is cleared up some times.
        loop {
            let mut member = self.take_member(py)?;
            member.attend();
            let result = member.participant.run_until(deadline_ns, &mut *body);
            if matches!(result, Err(Stop::Forked)) {
                // The participant is the parent's: dropped, not given back.
                drop(member);
                self.rejoin(py)?;
                continue;
            }
            self.put_member(member);
            if result.as_ref().is_err_and(Stop::wants_room) && room.may_come(self, py)? {
                continue;
            }
            return Ok(result);
        }
    }

    fn operate_inside<T>(
        &self,
        py: Python<'_>,
        transaction: &Rc<Transaction>,
        body: &mut dyn FnMut(&mut Tx) -> Result<T, Stop>,
    ) -> Result<T> {
        if !transaction.is_in(self) {
            return Err(self.crossed(py));
        }
        // First the participant: a signal handler in the wait of a stopped attempt is told that nobody is there.
        let mut guard = transaction.work(py, self)?;
        if let Some(stop) = transaction.stop() {
            drop(guard);
            return Err(transaction.raise(py, self, stop));
        }
        match body(guard.participant()) {
            Ok(value) => Ok(value),
            Err(stop) => {
                if !matches!(stop, Stop::Conflict | Stop::Retry | Stop::Forked) {
                    // Nothing of the attempt may stay, not even its locks; the body hears of it and ends.
                    guard.participant().abort();
                }
                drop(guard);
                transaction.set_stop(stop.clone());
                Err(transaction.raise(py, self, stop))
            }
        }
    }
}
