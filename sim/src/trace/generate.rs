//! Traces made by rule: the same seed gives the same text, on every machine and build.
//!
//! | name | one transaction |
//! | --- | --- |
//! | `counter` | adds 1 to the only cell |
//! | `bank-1000`, `bank-4` | moves 1 between two accounts drawn alike |
//! | `long-reader` | participant 0 reads all cells, the others move 1 between two of them |
//! | `crossing-pairs` | adds 1 to each cell of a pair's own array, one of the pair upwards, the other downwards |
//! | `queue` | a producer fills a slot, a consumer empties it: each waits by retry for its turn |
//!
//! Contention is how many meet how often: participants and the mean of the think time between two transactions of one
//! participant (drawn evenly from 0 to twice the mean), and for three kinds also the number of cells.
//!
//! | | low | medium | high |
//! | --- | --- | --- | --- |
//! | participants | 2 | 4 | 8 |
//! | think time, mean | 20 us | 5 us | 0 |
//! | `long-reader`: cells that are read | 64 | 256 | 1,024 |
//! | `crossing-pairs`: cells of each pair | 2 | 8 | 32 |
//! | `queue`: slots | 64 | 8 | 1 |
//!
//! Rates of a `long-reader`'s participants are not to be compared: one transaction of the reader is longer than many of the
//! writers'. The committed traces are short, for tests; make longer ones (10^5 transactions) for figures.

use super::{Header, Operation, Trace, Transaction};

/// The reader of a `long-reader` does one of so many transactions.
const ONE_READ_OF: u64 = 16;

/// What the transactions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One cell.
    Counter,
    /// Transfers among 1,000 accounts.
    Bank1000,
    /// Transfers among 4 accounts.
    Bank4,
    /// One who reads everything, and transfers.
    LongReader,
    /// Two who write the same cells in opposite orders, and more such pairs.
    CrossingPairs,
    /// Producers and consumers.
    Queue,
}

/// How many meet how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Contention {
    /// Conflicts are rare.
    Low,
    /// Now and then.
    Medium,
    /// All the time.
    High,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Counter, Self::Bank1000, Self::Bank4, Self::LongReader, Self::CrossingPairs, Self::Queue];

    /// As in commands and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Bank1000 => "bank-1000",
            Self::Bank4 => "bank-4",
            Self::LongReader => "long-reader",
            Self::CrossingPairs => "crossing-pairs",
            Self::Queue => "queue",
        }
    }

    /// How many operations so many transactions have together.
    pub fn operations(self, contention: Contention, transactions: u64) -> u64 {
        match self {
            Self::Counter | Self::Queue => 2 * transactions,
            Self::Bank1000 | Self::Bank4 => 4 * transactions,
            Self::LongReader => {
                let reads = transactions.div_ceil(ONE_READ_OF);
                reads * self.cells(contention) + 4 * (transactions - reads)
            }
            Self::CrossingPairs => 2 * self.cells(contention) * transactions,
        }
    }

    /// Accounts, cells that are read, cells of a pair, slots.
    fn cells(self, contention: Contention) -> u64 {
        match self {
            Self::Counter => 1,
            Self::Bank1000 => 1000,
            Self::Bank4 => 4,
            Self::LongReader => contention.choose([64, 256, 1024]),
            Self::CrossingPairs => contention.choose([2, 8, 32]),
            Self::Queue => contention.choose([64, 8, 1]),
        }
    }

    /// The fewest participants that make sense.
    fn participants_min(self) -> u32 {
        match self {
            Self::Counter | Self::Bank1000 | Self::Bank4 => 1,
            Self::LongReader | Self::CrossingPairs | Self::Queue => 2,
        }
    }
}

impl Contention {
    /// All.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// As in commands and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Participants, unless others are asked for.
    pub fn participants(self) -> u32 {
        self.choose([2, 4, 8])
    }

    fn choose<T: Copy>(self, [low, medium, high]: [T; 3]) -> T {
        match self {
            Self::Low => low,
            Self::Medium => medium,
            Self::High => high,
        }
    }
}

/// Makes a trace of `transactions` transactions of all participants together. Fewer participants than the kind needs become
/// so many as it needs; a queue has as many takes as puts, crossing pairs are whole pairs.
pub fn generate(kind: Kind, contention: Contention, participants: u32, transactions: u64, seed: u64) -> Trace {
    let participants = participants.max(kind.participants_min());
    let participants = if kind == Kind::CrossingPairs { participants.next_multiple_of(2) } else { participants };
    let mut making = Making {
        random: Random(seed),
        think_mean_ns: contention.choose([20_000, 5_000, 0]),
        participants,
        lines: Vec::new(),
    };
    let cells = kind.cells(contention);
    let cells = match kind {
        Kind::Counter => making.counter(transactions),
        Kind::Bank1000 | Kind::Bank4 => making.bank(transactions, cells),
        Kind::LongReader => making.long_reader(transactions, cells),
        Kind::CrossingPairs => making.crossing_pairs(transactions, cells),
        Kind::Queue => making.queue(transactions, cells),
    };
    let header = Header {
        name: format!("{}-{}", kind.name(), contention.name()),
        from: format!("generated: {}, contention {}", kind.name(), contention.name()),
        participants: Some(participants),
        cells: Some(cells),
        seed,
        start_ns: 0,
    };
    Trace { header, transactions: making.lines, whole: true }
}

struct Making {
    random: Random,
    think_mean_ns: u64,
    participants: u32,
    lines: Vec<Transaction>,
}

impl Making {
    fn line(&mut self, participant: u32, operations: Vec<Operation>) {
        let think_ns = if self.think_mean_ns == 0 { 0 } else { self.random.below(2 * self.think_mean_ns + 1) };
        self.lines.push(Transaction { participant, arrival_ns: 0, think_ns, operations });
    }

    fn counter(&mut self, transactions: u64) -> u64 {
        for number in 0..transactions {
            self.line((number % u64::from(self.participants)) as u32, vec![read(0), add(0, 1)]);
        }
        1
    }

    fn bank(&mut self, transactions: u64, accounts: u64) -> u64 {
        for number in 0..transactions {
            let transfer = self.transfer(accounts);
            self.line((number % u64::from(self.participants)) as u32, transfer);
        }
        accounts
    }

    /// From one account to another one.
    fn transfer(&mut self, accounts: u64) -> Vec<Operation> {
        let from = self.random.below(accounts);
        let to = (from + 1 + self.random.below(accounts - 1)) % accounts;
        vec![read(from), add(from, -1), read(to), add(to, 1)]
    }

    /// The reader is busy all the time, and so are the writers.
    fn long_reader(&mut self, transactions: u64, cells: u64) -> u64 {
        let writers = u64::from(self.participants - 1);
        // Where the reader's transactions would be those of the same writers each time, these had none: then transfers alone are dealt. Other traces
        // stay what they were.
        let deal = |number| if writers % ONE_READ_OF == 0 { number - number / ONE_READ_OF - 1 } else { number };
        for number in 0..transactions {
            if number % ONE_READ_OF == 0 {
                self.line(0, (0..cells).map(read).collect());
            } else {
                let transfer = self.transfer(cells);
                self.line(1 + (deal(number) % writers) as u32, transfer);
            }
        }
        cells
    }

    fn crossing_pairs(&mut self, transactions: u64, cells: u64) -> u64 {
        for number in 0..transactions {
            let participant = (number % u64::from(self.participants)) as u32;
            let own = u64::from(participant / 2) * cells..u64::from(participant / 2 + 1) * cells;
            let both = |cell| [read(cell), add(cell, 1)];
            let operations = if participant.is_multiple_of(2) {
                own.flat_map(both).collect()
            } else {
                own.rev().flat_map(both).collect()
            };
            self.line(participant, operations);
        }
        u64::from(self.participants / 2) * cells
    }

    /// A slot is empty at even values and filled at odd ones; the value is the turn, so each item is taken exactly once.
    fn queue(&mut self, transactions: u64, slots: u64) -> u64 {
        let producers = u64::from(self.participants / 2);
        let consumers = u64::from(self.participants) - producers;
        for item in 0..transactions / 2 {
            let (slot, turn) = (item % slots, (item / slots * 2) as i64);
            let take_turn = |value| vec![Operation::Await { cell: slot, value }, add(slot, 1)];
            self.line((item % producers) as u32, take_turn(turn));
            self.line((producers + item % consumers) as u32, take_turn(turn + 1));
        }
        slots
    }
}

fn read(cell: u64) -> Operation {
    Operation::Read { cell }
}

fn add(cell: u64, add: i64) -> Operation {
    Operation::Write { cell, add }
}

/// SplitMix64 (Steele, Lea, Flood, 2014): a trace does not change with a library.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// Evenly from 0 to `end - 1`, by the upper half of a product (the bias is below 1 in 2^40 here).
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}
