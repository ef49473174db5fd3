//! The faults that there are, and what each of them breaks.

/// Which fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// None: what must not be found.
    None,
    /// 1: no fence F1 between the clock and the first read, nor between the clock and the validation of an extension.
    NoFenceAtBegin,
    /// 2: no fence F2 between PREPARED and the clock.
    NoFenceWhenPrepared,
    /// 3: the commit's version is the clock from before PREPARED.
    ClockBeforePrepared,
    /// 4: a read passes a PREPARED lock as if it were ACTIVE.
    ReadsPastPrepared,
    /// 5: `<=` for `<` against the snapshot.
    SnapshotIncludesTheClock,
    /// 6: an extension takes a snapshot that is newer than what it validates.
    ExtendsBeyondTheClock,
    /// 7: an extension does not look at locked cells.
    ExtensionSkipsLocked,
    /// Who locks a cell takes the last read for one of it, whatever was read.
    SettlesAnyRead,
    /// 8: no second look at the cell after the read was logged.
    NoSecondLook,
    /// 9: the value is stored after the lock is free.
    ValueAfterFree,
    /// 10: IDLE, and with it the record's reuse, before the cells are free.
    IdleBeforeFree,
    /// 11: a lock is cleared without comparing whose it is.
    ClearsBlindly,
    /// 12: an entry is counted after its lock is taken.
    CountsAfterLocking,
    /// 13: everybody may recover at once.
    ManyRecoverers,
    /// 14: whoever was waited for in vain counts as dead.
    DeathByTimeOut,
    /// 15: recovery rolls a committed attempt back.
    RollsCommittedBack,
    /// 15: recovery rolls an undecided attempt forward.
    RollsUndecidedForward,
    /// Whoever finishes one cell of a commit of the dead frees it as it was.
    CellWithoutItsValue,
    /// 16: a COMMITTED attempt can be stopped.
    StopsCommitted,
    /// 17: a thief notes its own snapshot as the version before, not the victim's.
    StealsWithItsOwnVersion,
    /// What somebody commits is stamped as its neighbour's, who takes it for its own.
    WriterMistaken,
    /// What somebody commits twice at one time of the clock has one version.
    StampsRepeat,
    /// 18: no fence F3 between WAITING and the look at the owner.
    NoFenceWhenWaiting,
    /// 20: a PREPARED attempt waits for another that is PREPARED.
    PreparedWaitsForPrepared,
    /// 22: the reads of the privileged stay invisible.
    HoldsNothing,
    /// 27: a commit looks for its waiter before its cells are free and it is IDLE. (Free cells alone are enough for who waits.)
    RingsBeforeOver,
    /// 28: a retry makes itself known after its last look.
    ArmsAfterLooking,
    /// 31: whoever frees does not see the start of an attempt that goes on.
    StartUnseen,
    /// What was retired at the number that an attempt began with is taken for older.
    StartCountsAsLater,
    /// A commit says nothing of what it overwrites while somebody collects.
    OverwritesUnshaded,
    /// What a commit has made while somebody collects looks as if nothing named it.
    MadeWhite,
    /// 32: whoever frees looks at no log.
    LogsUnread,
    /// Whoever collects and takes over does not see what the other one is about to change.
    HazardUnseen,
    /// Whoever helps with a collection does not see that he has been dismissed.
    DismissedGoesOn,
    /// Whoever collects looks at no commit that may not know of it.
    CommitsUnread,
    /// No fence between COMMITTED and the look whether somebody collects.
    NoFenceWhenCommitted,
    /// 34: the own status is looked at before the cell, not after it.
    StatusBeforeLoads,
    /// 35: nobody is rung after IDLE.
    NoRingAfterIdle,
    /// 36: who has begun to wait does not look whether somebody waits for it.
    OwnQueueUnseen,
    /// 37: a waiter whose place was taken sleeps on.
    DisplacedSleepsOn,
    /// 38: whoever has privilege is stopped for being PREPARED too long.
    StopsThePrivileged,
    /// 40: who was stopped does not learn by whom.
    NoStopper,
    /// 48: who meets a waiter waits for it.
    SleepsOnASleeper,
    /// A block that is freed keeps its generation.
    GenerationNotRaised,
    /// A superblock whose memory goes back to the system forgets its generation.
    GenerationLostWhenPunched,
    /// A free of a LIVE block is a store: it does not look whether somebody else was faster.
    FreedByAStore,
    /// A superblock of nobody's is taken without a comparison.
    AdoptedWithoutExchange,
    /// A superblock says that a block was used only after it is.
    UsedBeforeCounted,
    /// What an attempt writes into a block is there only after its commit.
    PublishedBeforeFilled,
    /// A block becomes LIVE after the cells that name it are free.
    LiveAfterFree,
    /// Memory goes back to the system without a look at attempts in which somebody may be checking a handle there.
    PunchedBesideAttempts,
    /// The same without a look at the counts of those who check one outside of attempts.
    PunchedBesideLooks,
    /// No fence between the header that says a superblock is empty, and the look at those two.
    NoFenceWhenPunching,
    /// No fence between the count of those who look and what they look at.
    NoFenceWhenLooking,
    /// What a process lets go of is gone at once, though a child of a fork has still to copy it.
    PutOffClearedAtOnce,
    /// An export stands in the table before its ticket does.
    ExportedBeforeItsTicket,
    /// What a process takes hold of while somebody collects looks as if nothing named it.
    HeldUnshaded,
    /// What a process lets go of while somebody collects does, too.
    ReleasedUnshaded,
    /// Whoever is about to sleep does not look whether the bell has rung meanwhile.
    SleepsAfterTheCheck,
    /// Whoever takes a slot over leaves its bell as it was.
    BellStaysAsleep,
    /// Who has lost its byte of the lock file counts as dead.
    TrustsTheByteAlone,
    /// Who is dead counts as alive, for its number is another's by now.
    TrustsTheNumberAlone,
}

impl Fault {
    /// All that are one.
    pub const ALL: [Self; 62] = [
        Self::NoFenceAtBegin,
        Self::NoFenceWhenPrepared,
        Self::ClockBeforePrepared,
        Self::ReadsPastPrepared,
        Self::SnapshotIncludesTheClock,
        Self::ExtendsBeyondTheClock,
        Self::ExtensionSkipsLocked,
        Self::SettlesAnyRead,
        Self::NoSecondLook,
        Self::ValueAfterFree,
        Self::IdleBeforeFree,
        Self::ClearsBlindly,
        Self::CountsAfterLocking,
        Self::ManyRecoverers,
        Self::DeathByTimeOut,
        Self::RollsCommittedBack,
        Self::RollsUndecidedForward,
        Self::CellWithoutItsValue,
        Self::StopsCommitted,
        Self::StealsWithItsOwnVersion,
        Self::WriterMistaken,
        Self::StampsRepeat,
        Self::NoFenceWhenWaiting,
        Self::PreparedWaitsForPrepared,
        Self::HoldsNothing,
        Self::RingsBeforeOver,
        Self::ArmsAfterLooking,
        Self::StartUnseen,
        Self::StartCountsAsLater,
        Self::OverwritesUnshaded,
        Self::MadeWhite,
        Self::LogsUnread,
        Self::HazardUnseen,
        Self::DismissedGoesOn,
        Self::CommitsUnread,
        Self::NoFenceWhenCommitted,
        Self::StatusBeforeLoads,
        Self::NoRingAfterIdle,
        Self::OwnQueueUnseen,
        Self::DisplacedSleepsOn,
        Self::StopsThePrivileged,
        Self::NoStopper,
        Self::SleepsOnASleeper,
        Self::GenerationNotRaised,
        Self::GenerationLostWhenPunched,
        Self::FreedByAStore,
        Self::AdoptedWithoutExchange,
        Self::UsedBeforeCounted,
        Self::PublishedBeforeFilled,
        Self::LiveAfterFree,
        Self::PunchedBesideAttempts,
        Self::PunchedBesideLooks,
        Self::NoFenceWhenPunching,
        Self::NoFenceWhenLooking,
        Self::PutOffClearedAtOnce,
        Self::ExportedBeforeItsTicket,
        Self::HeldUnshaded,
        Self::ReleasedUnshaded,
        Self::SleepsAfterTheCheck,
        Self::BellStaysAsleep,
        Self::TrustsTheByteAlone,
        Self::TrustsTheNumberAlone,
    ];
}
