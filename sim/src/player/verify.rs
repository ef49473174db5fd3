//! Whether a space holds what the committed transactions of a trace have added to it.

use std::collections::HashMap;

use pso_engine::error::Stop;
use pso_engine::platform::Platform;
use pso_engine::transaction::Participant;

use super::Part;
use crate::measure::Verdict;
use crate::stage::Stage;
use crate::trace::{Operation, Trace, Transaction};

/// Cells that one transaction reads: nobody writes any more, so one state is not needed, and read logs stay small.
const CELLS_AT_ONCE: u64 = 4096;
/// Of so many transactions in doubt every subset is tried.
const DOUBTS_MAX: usize = 12;

/// Judges the end of a run: all parts, and the cells as they are now. A transaction in flight may be committed or not, but
/// wholly (of more than 12 such, only that every cell lies between none and all of them).
///
/// `Wrong` says what is wrong. `OutOfBudget`: nothing is, and somebody is not through; who knows why says it better.
pub fn verify<P: Platform>(
    participant: &mut Participant<P>,
    stage: &Stage,
    trace: &Trace,
    parts: &[Part],
) -> Result<Verdict, Stop> {
    if let Some((part, wrong)) = parts.iter().find_map(|part| Some((part, part.wrong.as_ref()?))) {
        return Ok(Verdict::Wrong(format!("participant {}: {wrong}", part.participant)));
    }
    let mut surplus = surplus(participant, stage)?;
    let mut doubts = Vec::new();
    for part in parts {
        for (number, line) in trace.lines_of(part.participant).enumerate() {
            match number as u64 {
                number if number < part.commits => subtract(&mut surplus, line),
                number if number == part.commits && part.in_flight => doubts.push(line),
                _ => break,
            }
        }
    }
    surplus.retain(|_, surplus| *surplus != 0);
    if let Some(wrong) = unexplained(surplus, &doubts) {
        return Ok(Verdict::Wrong(wrong));
    }
    let through = parts.iter().all(|part| part.through) && parts.len() as u32 == trace.participants();
    Ok(if through { Verdict::Ok } else { Verdict::OutOfBudget })
}

/// What every cell holds, if not 0.
fn surplus<P: Platform>(participant: &mut Participant<P>, stage: &Stage) -> Result<HashMap<u64, i128>, Stop> {
    let mut surplus = HashMap::new();
    for first in (0..stage.cells()).step_by(CELLS_AT_ONCE as usize) {
        let some = first..stage.cells().min(first + CELLS_AT_ONCE);
        let values: Vec<(u64, i128)> = participant.run(|tx| {
            let numbers = some.clone().filter_map(|number| Some((number, stage.cell(number)?)));
            // A word that is no count differs from everything that could be expected.
            let count = |value: pso_engine::word::Value| value.as_int().map_or(i128::MAX / 2, i128::from);
            numbers.map(|(number, cell)| Ok((number, count(tx.read(cell)?)))).collect()
        })?;
        surplus.extend(values);
    }
    Ok(surplus)
}

fn subtract(surplus: &mut HashMap<u64, i128>, line: &Transaction) {
    for operation in &line.operations {
        if let Operation::Write { cell, add } = *operation {
            *surplus.entry(cell).or_insert(0) -= i128::from(add);
        }
    }
}

/// What is wrong with what is left, unless some of `doubts` explain it.
fn unexplained(surplus: HashMap<u64, i128>, doubts: &[&Transaction]) -> Option<String> {
    let (cell, least) = surplus.iter().min_by_key(|(cell, _)| **cell)?;
    let wrong = format!(
        "{} cells do not hold what committed transactions added; the first is cell {cell}, with {least:+} too much",
        surplus.len()
    );
    if doubts.len() > DOUBTS_MAX {
        return (!surplus.iter().all(|(cell, surplus)| lies_between(*cell, *surplus, doubts))).then_some(wrong);
    }
    let explained = (1_u32..1 << doubts.len()).any(|subset| {
        let mut rest = surplus.clone();
        let members = doubts.iter().enumerate().filter(|(number, _)| subset >> number & 1 == 1);
        members.for_each(|(_, line)| subtract(&mut rest, line));
        rest.values().all(|rest| *rest == 0)
    });
    (!explained).then_some(wrong)
}

fn lies_between(cell: u64, surplus: i128, doubts: &[&Transaction]) -> bool {
    let (mut least, mut most) = (0, 0);
    for line in doubts {
        let mut added = HashMap::from([(cell, 0)]);
        subtract(&mut added, line);
        let added = -added[&cell];
        if added < 0 { least += added } else { most += added }
    }
    (least..=most).contains(&surplus)
}
