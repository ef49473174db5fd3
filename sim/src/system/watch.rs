//! What a thread's own stores say about its transactions.
//!
//! The simulator watches the words by which the engine announces what it does: the status word of a participant, and locks
//! going into cells. So attempts, commits and who holds what are known of any body that runs, whoever wrote it, and the
//! verdicts "livelocked" and "stuck" rest on the protocol's own truth. Nothing here influences the engine.

use pso_engine::arena::{Layout, PARTICIPANT_WORDS};
use pso_engine::word::{LockWord, ParticipantId, State, Status};

/// Where the words are that mean something.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    participants: u64,
    participants_end: u64,
    root: u64,
    blocks: u64,
}

impl Places {
    /// Those of a space.
    pub fn of(layout: &Layout) -> Self {
        let participants = layout.participant(ParticipantId(0)).map_or(0, |address| address.index());
        let words = layout.geometry().participants * PARTICIPANT_WORDS;
        Self {
            participants,
            participants_end: participants + words,
            root: layout.hot(pso_engine::arena::HotWord::Root).index(),
            blocks: layout.tables_words(),
        }
    }
    #[inline]
    fn is_status(&self, word: u64) -> bool {
        (self.participants..self.participants_end).contains(&word)
            && (word - self.participants).is_multiple_of(PARTICIPANT_WORDS)
    }
    #[inline]
    fn may_be_cell(&self, word: u64) -> bool {
        word >= self.blocks || word == self.root
    }
}

/// One thread's transactions, as they went by. Times in ps.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The status word of the participant that runs on the thread.
    status: u64,
    /// Attempts that began.
    pub attempts: u64,
    /// Transactions that came through.
    pub commits: u64,
    /// Cells that the attempt under way has locked.
    pub locks: u64,
    /// First attempt of the transaction under way.
    pub transaction_since: Option<u64>,
    /// The very first attempt.
    pub began: Option<u64>,
    /// The last commit.
    pub committed: u64,
    /// From the first attempt to the commit, of each transaction, in ns.
    pub latencies: Vec<u64>,
}

impl Watch {
    /// The thread has stored `new` over `old` in `word`. True if a transaction came through.
    #[inline]
    pub fn stored(&mut self, places: &Places, word: u64, old: u64, new: u64, now: u64) -> bool {
        if !places.is_status(word) {
            return false;
        }
        let (Some(old), Some(new)) = (Status::unpack(old), Status::unpack(new)) else { return false };
        match new.state {
            State::Active => {
                self.status = word;
                self.attempts += 1;
                self.locks = 0;
                self.transaction_since.get_or_insert(now);
                self.began.get_or_insert(now);
                false
            }
            // Only the own participant's: a recoverer puts the dead to rest, too.
            State::Idle if word == self.status => self.ended(old.state, now),
            _ => false,
        }
    }

    fn ended(&mut self, from: State, now: u64) -> bool {
        self.locks = 0;
        // An attempt that only read goes from ACTIVE to IDLE.
        let through = matches!(from, State::Committed | State::Active);
        if through && let Some(since) = self.transaction_since.take() {
            self.commits += 1;
            self.committed = now;
            self.latencies.push((now - since) / 1000);
        }
        through
    }

    /// The thread has replaced a word by `new` in one step.
    #[inline]
    pub fn exchanged(&mut self, places: &Places, word: u64, new: u64) {
        if places.may_be_cell(word) && new >> 63 != 0 && matches!(LockWord::unpack(new), LockWord::Locked(_)) {
            self.locks += 1;
        }
    }
}
