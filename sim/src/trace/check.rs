//! Whether the hand-overs of a dense trace can all come to pass, whatever the speed of its participants.
//!
//! Two rules make it so (see the grammar). Every wait is satisfied in the order of the lines; and who writes a cell that
//! anybody waits for has waited for it first and adds more than 0, so its values come in exactly this order. Then the
//! first line of all that is not through can always go on.

use std::collections::{HashMap, HashSet};

use super::{Operation, Transaction};

/// Why a trace would wait for ever.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transaction {transaction}: {what}")]
pub struct HandOverError {
    /// Its number, from 0.
    pub transaction: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Checks both rules. Cost: one pass over the operations, twice.
pub(super) fn hand_overs(transactions: &[Transaction]) -> Result<(), HandOverError> {
    let waited: HashSet<u64> = transactions.iter().flat_map(|line| &line.operations).filter_map(awaited).collect();
    if waited.is_empty() {
        return Ok(());
    }
    let mut values: HashMap<u64, i64> = HashMap::new();
    for (transaction, line) in transactions.iter().enumerate() {
        let mut own = HashSet::new();
        for operation in &line.operations {
            step(operation, &waited, &mut own, &mut values).map_err(|what| HandOverError { transaction, what })?;
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
