//! The one word that decides an attempt's fate: `seq:40 | state:4`.

/// What an attempt is doing.
///
/// ```text
/// owner only   Idle -> Active <-> Waiting, Active -> Prepared -> Committed, an end state -> Idle with seq + 1
/// anybody      Active | Waiting | Prepared -> Aborted        Committed and Aborted are final for their seq
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Between attempts.
    Idle = 0,
    /// Running.
    Active = 1,
    /// Running, but asleep until somebody else is over. Its locks may be taken.
    Waiting = 2,
    /// Validating; decided within nanoseconds.
    Prepared = 3,
    /// The writes exist; they are being copied into their cells.
    Committed = 4,
    /// Stopped by somebody or by itself. Its locks mean nothing.
    Aborted = 5,
}

/// An attempt number and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The attempt's number.
    pub seq: u64,
    /// What it does.
    pub state: State,
}

impl Status {
    const STATE_BITS: u32 = 4;

    /// Packs the word.
    #[inline]
    pub const fn pack(self) -> u64 {
        self.seq << Self::STATE_BITS | self.state as u64
    }

    /// Unpacks the word; `None` for a state that does not exist.
    #[inline]
    pub const fn unpack(word: u64) -> Option<Self> {
        let state = match word & ((1 << Self::STATE_BITS) - 1) {
            0 => State::Idle,
            1 => State::Active,
            2 => State::Waiting,
            3 => State::Prepared,
            4 => State::Committed,
            5 => State::Aborted,
            _ => return None,
        };
        Some(Self { seq: word >> Self::STATE_BITS & ((1 << 40) - 1), state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_packing() {
        for state in [State::Idle, State::Active, State::Waiting, State::Prepared, State::Committed, State::Aborted] {
            for seq in [0, 1, (1 << 40) - 1] {
                let status = Status { seq, state };
                assert_eq!(Status::unpack(status.pack()), Some(status));
            }
        }
        assert_eq!(Status::unpack(9), None);
    }
}
