//! Transfers between accounts: the sum is kept, in every state that anybody sees.

use pso_engine::error::Stop;
use pso_engine::platform::Platform;
use pso_engine::transaction::Participant;
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockKind, CELL_WORDS, CellAddress, Handle, Value};

/// What every account starts with.
const START: i64 = 100;
/// A `Cells` block begins with the number of its cells.
const PREFIX_WORDS: u64 = 2;

/// Accounts in one block of cells, found through the root cell.
#[derive(Clone, Copy, Debug)]
pub struct Bank {
    first: CellAddress,
    accounts: u64,
}

impl Bank {
    /// Makes the accounts and puts them into the root cell, in one transaction.
    pub fn found<P: Platform>(participant: &mut Participant<P>, accounts: u64) -> Result<Self, Stop> {
        participant.run(|tx| {
            let handle = tx.allocate(BlockKind::Cells, PREFIX_WORDS + accounts * CELL_WORDS)?;
            let bank = Self::at(handle, accounts);
            tx.arena().platform().store_plain(handle.block().offset(BLOCK_HEADER_WORDS), accounts);
            for account in 0..accounts {
                tx.initialize(bank.account(account), integer(START));
            }
            let root = tx.arena().root();
            tx.write(root, Value::handle(handle))?;
            Ok(bank)
        })
    }

    /// The accounts that another process has founded.
    pub fn find<P: Platform>(participant: &mut Participant<P>, accounts: u64) -> Result<Option<Self>, Stop> {
        participant.run(|tx| {
            let root = tx.arena().root();
            Ok(tx.read(root)?.as_handle().map(|handle| Self::at(handle, accounts)))
        })
    }

    fn at(handle: Handle, accounts: u64) -> Self {
        Self { first: CellAddress::new(handle.block().offset(BLOCK_HEADER_WORDS + PREFIX_WORDS)), accounts }
    }

    /// The cell of an account.
    pub fn account(&self, number: u64) -> CellAddress {
        self.first.offset(number % self.accounts)
    }

    /// Moves `amount` inside an attempt.
    pub fn transfer_in<P: Platform>(
        &self,
        tx: &mut Participant<P>,
        from: u64,
        to: u64,
        amount: i64,
    ) -> Result<(), Stop> {
        let balance = balance(tx, self.account(from))?;
        tx.write(self.account(from), integer(balance - amount))?;
        let balance = self::balance(tx, self.account(to))?;
        tx.write(self.account(to), integer(balance + amount))
    }

    /// Moves `amount` in a transaction.
    pub fn transfer<P: Platform>(
        &self,
        participant: &mut Participant<P>,
        from: u64,
        to: u64,
        amount: i64,
    ) -> Result<(), Stop> {
        participant.run(|tx| self.transfer_in(tx, from, to, amount))
    }

    /// The sum inside an attempt. It must be right in attempts that abort, too (opacity).
    pub fn sum_in<P: Platform>(&self, tx: &mut Participant<P>) -> Result<i64, Stop> {
        let mut sum = 0;
        for account in 0..self.accounts {
            sum += balance(tx, self.account(account))?;
        }
        Ok(sum)
    }

    /// The sum in a transaction.
    pub fn sum<P: Platform>(&self, participant: &mut Participant<P>) -> Result<i64, Stop> {
        participant.run(|tx| self.sum_in(tx))
    }

    /// What the sum must be.
    pub fn expected(&self) -> i64 {
        START * self.accounts as i64
    }
}

fn balance<P: Platform>(tx: &mut Participant<P>, cell: CellAddress) -> Result<i64, Stop> {
    Ok(tx.read(cell)?.as_int().unwrap_or(i64::MIN / 4))
}

fn integer(value: i64) -> Value {
    Value::int(value).unwrap_or(Value::NONE)
}
