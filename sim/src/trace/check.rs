//! Whether a trace can be played to its end: else a run would be judged for what its trace is to blame for.
//!
//! *Values.* Any order of the attempts leaves each cell with the sum of some of what is added to it: if all of that, without its
//! signs, fits in place, every value does.
//!
//! *Hand-overs* all come to pass, whatever the speed of the participants. Two rules make it so (see the grammar). Every wait is satisfied in the order of the lines; and who writes a cell that
//! anybody waits for has waited for it first and adds more than 0, so its values come in exactly this order. Then the
//! first line of all that is not through can always go on.

use std::collections::{HashMap, HashSet};

use pso_engine::word::INT_MAX;

use super::{Operation, Transaction};

/// Why a trace cannot be played to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transaction {transaction}: {what}")]
pub struct Unplayable {
    /// Its number, from 0.
    pub transaction: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Checks values and hand-overs. Cost: a few passes over the operations.
pub(super) fn playable(transactions: &[Transaction]) -> Result<(), Unplayable> {
    values(transactions)?;
    hand_overs(transactions)
}

/// What each cell comes to at most fits in place.
fn values(transactions: &[Transaction]) -> Result<(), Unplayable> {
    let most = INT_MAX.unsigned_abs();
    let all = transactions.iter().flat_map(added).fold(0_u64, |sum, (_, add)| sum.saturating_add(add));
    if all <= most {
        return Ok(());
    }
    let mut sums: HashMap<u64, u64> = HashMap::new();
    for (transaction, line) in transactions.iter().enumerate() {
        for (cell, add) in added(line) {
            let sum = sums.entry(cell).or_insert(0);
            *sum = sum.saturating_add(add);
            if *sum > most {
                let what = format!("with it up to {sum} is added to cell {cell}, which holds {most} at most");
                return Err(Unplayable { transaction, what });
            }
        }
    }
    Ok(())
}

/// Cells, and what is added to them, without its sign.
fn added(line: &Transaction) -> impl Iterator<Item = (u64, u64)> {
    line.operations.iter().filter_map(|operation| match *operation {
        Operation::Write { cell, add } => Some((cell, add.unsigned_abs())),
        _ => None,
    })
}

/// Both rules.
fn hand_overs(transactions: &[Transaction]) -> Result<(), Unplayable> {
    let waited: HashSet<u64> = transactions.iter().flat_map(|line| &line.operations).filter_map(awaited).collect();
    if waited.is_empty() {
        return Ok(());
    }
    let mut values: HashMap<u64, i64> = HashMap::new();
    for (transaction, line) in transactions.iter().enumerate() {
        let mut own = HashSet::new();
        for operation in &line.operations {
            step(operation, &waited, &mut own, &mut values).map_err(|what| Unplayable { transaction, what })?;
        }
    }
    Ok(())
}

fn awaited(operation: &Operation) -> Option<u64> {
    if let Operation::Await { cell, .. } = operation { Some(*cell) } else { None }
}

fn step(
    operation: &Operation,
    waited: &HashSet<u64>,
    own: &mut HashSet<u64>,
    values: &mut HashMap<u64, i64>,
) -> Result<(), String> {
    match *operation {
        Operation::Await { cell, value } => {
            let holds = values.get(&cell).copied().unwrap_or(0);
            if holds != value {
                return Err(format!(
                    "waits for cell {cell} to hold {value}, but after all lines before it holds {holds}"
                ));
            }
            own.insert(cell);
        }
        Operation::Write { cell, add } if waited.contains(&cell) => {
            if add <= 0 {
                return Err(format!("adds {add} to cell {cell}, for which others wait: it has to grow"));
            }
            if !own.contains(&cell) {
                return Err(format!("writes cell {cell}, for which others wait, without having waited for it first"));
            }
            let value = values.entry(cell).or_insert(0);
            *value = value.checked_add(add).ok_or_else(|| format!("cell {cell} grows too large"))?;
        }
        _ => {}
    }
    Ok(())
}
