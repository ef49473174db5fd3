//! What is done to a simulated thread, and when: kill -9, SIGSTOP with a later SIGCONT, a slow processor.

/// When a fault strikes and what it is. A step is one memory operation of the thread, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Number of the thread, in the order of [`crate::Simulation::spawn`].
    pub thread: usize,
    /// It strikes before this step.
    pub step: u64,
    /// What happens.
    pub kind: FaultKind,
}

/// What happens to a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Its process dies. It makes no further step.
    Kill,
    /// It stands still for so many ns, holding what it holds.
    Stop(u64),
    /// Everything takes so many times as long from here on; 1 ends it.
    Slow(u64),
}

impl Fault {
    /// The thread's process dies before the step.
    pub fn kill(thread: usize, step: u64) -> Self {
        Self { thread, step, kind: FaultKind::Kill }
    }
    /// The thread stands still for `ns`.
    pub fn stop(thread: usize, step: u64, ns: u64) -> Self {
        Self { thread, step, kind: FaultKind::Stop(ns) }
    }
    /// The thread becomes slow.
    pub fn slow(thread: usize, step: u64, times: u64) -> Self {
        Self { thread, step, kind: FaultKind::Slow(times) }
    }
}
