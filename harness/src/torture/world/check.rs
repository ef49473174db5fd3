//! What must hold of the world, and what does not.

use pso_engine::error::Stop;
use pso_engine::object::{View, dict, list, queue, text, view};
use pso_engine::word::{Handle, Value};

use super::{
    ACCOUNTS, BALANCE, BOXES, ITEMS, KEYS, MARKS, NOTES, STRIPE, STRIPES, TOKENS, Tx, World, as_number, belonging,
    handle_of, is_whole_note, key, number,
};

/// What is wrong with the world, a sentence each, and the counts of the writers. All but the field is seen in one state, by a
/// transaction that also writes; the field in another, by one that only reads.
pub fn check(
    tx: &mut Tx,
    world: &World,
    writers: u32,
    deadline_ns: Option<u64>,
) -> Result<(Vec<String>, Vec<u64>), Stop> {
    let mut wrong = survey(tx, world, deadline_ns)?;
    let (more, counts) = tx.run_until(deadline_ns, |tx| {
        let mut wrong = Vec::new();
        check_bank(tx, world, &mut wrong)?;
        check_dicts(tx, world, &mut wrong)?;
        check_lists(tx, world, &mut wrong)?;
        check_boxes(tx, world, &mut wrong)?;
        check_queues(tx, world, &mut wrong)?;
        check_notes(tx, world, &mut wrong)?;
        check_marks(&all_of(tx, world.marks)?, list::len(tx, world.drafts)?, &mut wrong);
        check_decrees(&all_of(tx, world.decrees)?, &mut wrong);
        check_apart(&all_of(tx, world.apart)?, &mut wrong);
        let mut counts = Vec::new();
        for writer in 0..writers {
            counts.push(as_number(list::get(tx, world.counts, writer.into())?)? as u64);
        }
        Ok((wrong, counts))
    })?;
    wrong.extend(more);
    Ok((wrong, counts))
}

/// What is wrong with the field: one large read.
pub fn survey(tx: &mut Tx, world: &World, deadline_ns: Option<u64>) -> Result<Vec<String>, Stop> {
    tx.run_read_only(deadline_ns, |tx| {
        let mut wrong = Vec::new();
        check_field(&all_of(tx, world.field)?, &mut wrong);
        Ok(wrong)
    })
}

/// What is wrong with a part of the world that one small read sees; which part goes by `turn`.
pub fn glance(tx: &mut Tx, world: &World, turn: u64, deadline_ns: Option<u64>) -> Result<Vec<String>, Stop> {
    tx.run_read_only(deadline_ns, |tx| {
        let mut wrong = Vec::new();
        match turn % 4 {
            3 => check_boxes(tx, world, &mut wrong)?,
            0 => check_bank(tx, world, &mut wrong)?,
            1 => check_dicts(tx, world, &mut wrong)?,
            _ => {
                check_lists(tx, world, &mut wrong)?;
                check_marks(&all_of(tx, world.marks)?, list::len(tx, world.drafts)?, &mut wrong);
                check_decrees(&all_of(tx, world.decrees)?, &mut wrong);
            }
        }
        Ok(wrong)
    })
}

fn check_lists(tx: &mut Tx, world: &World, wrong: &mut Vec<String>) -> Result<(), Stop> {
    let near = all_of(tx, world.near)?;
    let far = all_of(tx, world.far)?;
    check_permutation("the lists", near, far, ITEMS, wrong);
    Ok(())
}

fn check_boxes(tx: &mut Tx, world: &World, wrong: &mut Vec<String>) -> Result<(), Stop> {
    let cellar = opened(tx, world.cellar)?;
    let attic = opened(tx, world.attic)?;
    check_permutation("the boxes", cellar, attic, BOXES, wrong);
    Ok(())
}

/// What is in each of the lists of a list.
fn opened(tx: &mut Tx, boxes: Handle) -> Result<Vec<i64>, Stop> {
    let length = list::len(tx, boxes)?;
    (0..length)
        .map(|index| {
            let found = handle_of(list::get(tx, boxes, index)?.unwrap_or(Value::NONE))?;
            as_number(list::get(tx, found, 0)?)
        })
        .collect()
}

/// What an alternative writes is nowhere once it is undone.
fn check_marks(marks: &[i64], drafts: u64, wrong: &mut Vec<String>) {
    if marks.len() as u64 != MARKS || marks.iter().any(|mark| *mark != 0) || drafts != 0 {
        wrong.push(format!("an alternative left something: marks {marks:?}, {drafts} drafts"));
    }
}

/// Each irrevocable transaction counts itself twice.
fn check_decrees(decrees: &[i64], wrong: &mut Vec<String>) {
    let own = decrees.iter().skip(1).sum::<i64>();
    if decrees.first() != Some(&own) {
        wrong.push(format!("irrevocable transactions: {:?} in all, {own} by writers", decrees.first()));
    }
}

fn check_apart(apart: &[i64], wrong: &mut Vec<String>) {
    if apart.len() != 2 || apart[0] != apart[1] {
        wrong.push(format!("what the onlooker writes: {apart:?}"));
    }
}

/// A part of the field is changed as a whole, and never without those before it.
fn check_field(cells: &[i64], wrong: &mut Vec<String>) {
    let mut before = i64::MAX;
    for (stripe, part) in cells.chunks(STRIPE as usize).enumerate() {
        let value = part[0];
        if let Some(torn) = part.iter().position(|cell| *cell != value) {
            wrong.push(format!("the field: part {stripe} has {value} at 0 and {} at {torn}", part[torn]));
        }
        if value > before {
            wrong.push(format!("the field: part {stripe} has {value}, the one before it {before}"));
        }
        before = value;
    }
    if cells.len() as u64 != STRIPES * STRIPE {
        wrong.push(format!("the field: {} cells instead of {}", cells.len(), STRIPES * STRIPE));
    }
}

fn check_bank(tx: &mut Tx, world: &World, wrong: &mut Vec<String>) -> Result<(), Stop> {
    let balances = all_of(tx, world.bank)?;
    let (sum, expected) = (balances.iter().sum::<i64>(), BALANCE * ACCOUNTS as i64);
    if balances.len() as u64 != ACCOUNTS || sum != expected {
        wrong.push(format!("the bank: {} accounts with {sum} instead of {expected}", balances.len()));
    }
    Ok(())
}

fn check_dicts(tx: &mut Tx, world: &World, wrong: &mut Vec<String>) -> Result<(), Stop> {
    for index in 0..KEYS {
        let key = key(tx, index);
        let sides = [dict::get(tx, world.left, &key)?, dict::get(tx, world.right, &key)?];
        let values: Vec<_> = sides.into_iter().flatten().collect();
        if values.len() != 1 || values[0].as_int() != Some(belonging(index)) {
            wrong.push(format!("the dicts: key {index} has {values:?} instead of {}", belonging(index)));
        }
    }
    let total = dict::len(tx, world.left)? + dict::len(tx, world.right)?;
    let walked = walk(tx, world.left)? + walk(tx, world.right)?;
    if (total, walked) != (KEYS as u64, KEYS as u64) {
        wrong.push(format!("the dicts: {total} keys by length and {walked} by iteration instead of {KEYS}"));
    }
    Ok(())
}

fn walk(tx: &mut Tx, dict: Handle) -> Result<u64, Stop> {
    let (mut place, mut count) = (0, 0);
    // At most all keys, twice: more would be a circle.
    while count <= 2 * KEYS as u64 {
        match dict::next(tx, dict, place)? {
            Some((next, _, _)) => place = next,
            None => break,
        }
        count += 1;
    }
    Ok(count)
}

/// The queues cannot be looked into: everything is taken out and put back, in this transaction.
fn check_queues(tx: &mut Tx, world: &World, wrong: &mut Vec<String>) -> Result<(), Stop> {
    let mut sides = [Vec::new(), Vec::new()];
    for (queue, found) in [world.inbox, world.outbox].into_iter().zip(&mut sides) {
        while let Some(token) = queue::try_get(tx, queue)? {
            found.push(as_number(Some(token))?);
        }
        for token in &*found {
            if !queue::try_put(tx, queue, number(*token))? {
                wrong.push(format!("a queue has no room for token {token} that was in it"));
            }
        }
    }
    let [inbox, outbox] = sides;
    check_permutation("the queues", inbox, outbox, TOKENS, wrong);
    Ok(())
}

fn check_notes(tx: &mut Tx, world: &World, wrong: &mut Vec<String>) -> Result<(), Stop> {
    for index in 0..NOTES {
        let value = list::get(tx, world.notes, index)?.unwrap_or(Value::NONE);
        let whole = match view(tx, value)? {
            View::ShortText(text) => std::str::from_utf8(text.as_slice()).is_ok_and(is_whole_note),
            View::Text(handle) => text::with(tx, handle, is_whole_note)?,
            _ => false,
        };
        if !whole {
            wrong.push(format!("note {index} is torn"));
        }
    }
    Ok(())
}

fn all_of(tx: &mut Tx, list: Handle) -> Result<Vec<i64>, Stop> {
    (0..list::len(tx, list)?).map(|index| as_number(list::get(tx, list, index)?)).collect()
}

fn check_permutation(what: &str, one: Vec<i64>, other: Vec<i64>, count: i64, wrong: &mut Vec<String>) {
    let mut all: Vec<i64> = one.iter().chain(&other).copied().collect();
    all.sort_unstable();
    if !all.iter().copied().eq(0..count) {
        wrong.push(format!("{what}: {one:?} and {other:?} instead of 0..{count} among them"));
    }
}

#[cfg(test)]
mod tests {
    use pso_engine::platform::{Memory as _, native};
    use pso_engine::space::Space;
    use pso_engine::word::BLOCK_HEADER_WORDS;

    use super::*;

    type Harm = fn(&mut Tx, &World) -> Result<(), Stop>;

    fn set(tx: &mut Tx, list: Handle, index: u64, value: i64) -> Result<(), Stop> {
        list::set(tx, list, index, number(value)).map(|found| assert!(found))
    }

    /// One for each thing that must hold, and the beginning of the sentence that it is to cause.
    const HARMS: [(&str, Harm); 20] = [
        ("the bank: 48 accounts", |tx, world| set(tx, world.bank, 3, BALANCE - 1)),
        ("the bank: 47 accounts", |tx, world| list::remove(tx, world.bank, 3).map(drop)),
        ("the dicts: key 4 has []", |tx, world| dict::remove(tx, world.left, &key(tx, 4)).map(drop)),
        ("the dicts: key 5 has [", |tx, world| dict::set(tx, world.left, &key(tx, 5), number(belonging(5))).map(drop)),
        ("the dicts: key 7 has [", |tx, world| dict::set(tx, world.right, &key(tx, 7), number(0)).map(drop)),
        ("the dicts: 97 keys", |tx, world| dict::set(tx, world.left, &key(tx, KEYS), number(0)).map(drop)),
        ("the lists", |tx, world| list::remove(tx, world.near, 0).map(drop)),
        ("the lists", |tx, world| list::push(tx, world.far, number(2))),
        ("the boxes", |tx, world| list::remove(tx, world.cellar, 1).map(drop)),
        ("the boxes", |tx, world| {
            let made = super::super::boxed(tx, number(BOXES))?;
            list::push(tx, world.attic, Value::handle(made))
        }),
        ("the queues", |tx, world| queue::try_get(tx, world.inbox).map(drop)),
        ("the queues", |tx, world| queue::put(tx, world.outbox, number(0))),
        ("a queue has no room for token 1", |tx, world| {
            // The first token moves behind the last, to where the queue would begin again if it were not larger all at once.
            let first = queue::get(tx, world.inbox)?;
            queue::put(tx, world.inbox, first)?;
            let capacity = world.inbox.block().offset(BLOCK_HEADER_WORDS);
            tx.arena().platform().store_plain(capacity, TOKENS as u64 + 1);
            Ok(())
        }),
        ("note 2 is torn", |tx, world| {
            let torn = text::encode(tx, "000002x")?;
            list::set(tx, world.notes, 2, torn).map(drop)
        }),
        ("note 7 is torn", |tx, world| list::remove(tx, world.notes, 0).map(drop)),
        ("an alternative left something", |tx, world| set(tx, world.marks, 3, 1)),
        ("an alternative left something", |tx, world| list::push(tx, world.drafts, number(0))),
        ("irrevocable transactions", |tx, world| set(tx, world.decrees, 0, 1)),
        ("what the onlooker writes", |tx, world| set(tx, world.apart, 1, 1)),
        ("the field: part 1", |tx, world| set(tx, world.field, STRIPE + 1, 1)),
    ];

    fn world() -> (Tx, World) {
        let (platform, layout) = native::create_anonymous(32 << 20).unwrap();
        let mut tx = Space::join(platform, layout).unwrap().participant().unwrap();
        let world = World::build(&mut tx, 2).unwrap();
        (tx, world)
    }

    #[test]
    fn whatever_is_wrong_with_the_world_is_said() {
        let (mut tx, sound) = world();
        assert_eq!(check(&mut tx, &sound, 2, None), Ok((vec![], vec![0, 0])));
        for (sentence, harm) in HARMS {
            let (mut tx, world) = world();
            tx.run(|tx| harm(tx, &world)).unwrap();
            let (wrong, _) = check(&mut tx, &world, 2, None).unwrap();
            assert!(wrong.iter().any(|wrong| wrong.starts_with(sentence)), "{sentence}: {wrong:?}");
        }
    }

    /// What small reads look at in turn: all but queues and notes, and what is the onlooker's own.
    #[test]
    fn whatever_is_wrong_with_a_part_is_said_by_a_glance_at_it() {
        let mut said = 0;
        for (sentence, harm) in HARMS {
            let (mut tx, world) = world();
            (0..4).for_each(|turn| assert_eq!(glance(&mut tx, &world, turn, None), Ok(vec![])));
            tx.run(|tx| harm(tx, &world)).unwrap();
            let wrong: Vec<_> = (0..4).flat_map(|turn| glance(&mut tx, &world, turn, None).unwrap()).collect();
            assert!(wrong.iter().all(|wrong| wrong.starts_with(&sentence[..8])), "{sentence}: {wrong:?}");
            said += usize::from(!wrong.is_empty());
        }
        assert_eq!(said, 13);
    }

    #[test]
    fn a_checker_that_cannot_fail_is_a_defect() {
        let mut wrong = Vec::new();
        check_permutation("x", vec![2, 0], vec![1], 3, &mut wrong);
        assert!(wrong.is_empty());
        for (one, other) in [(vec![0, 1], vec![1]), (vec![0, 1], vec![]), (vec![0, 1, 2, 3], vec![])] {
            check_permutation("x", one, other, 3, &mut wrong);
        }
        assert_eq!(wrong.len(), 3);
    }

    /// How many sentences a check has to say.
    fn said(check: impl Fn(&mut Vec<String>)) -> usize {
        let mut wrong = Vec::new();
        check(&mut wrong);
        wrong.len()
    }

    #[test]
    fn what_an_alternative_leaves_is_seen() {
        let mut marks = vec![0; MARKS as usize];
        assert_eq!(said(|wrong| check_marks(&marks, 0, wrong)), 0);
        assert_eq!(said(|wrong| check_marks(&marks, 1, wrong)), 1);
        assert_eq!(said(|wrong| check_marks(&marks[1..], 0, wrong)), 1);
        marks[7] = 1;
        assert_eq!(said(|wrong| check_marks(&marks, 0, wrong)), 1);
    }

    #[test]
    fn half_an_irrevocable_transaction_is_seen() {
        assert_eq!(said(|wrong| check_decrees(&[5, 2, 3], wrong)), 0);
        for torn in [&[5, 2, 2][..], &[4, 2, 3], &[]] {
            assert_eq!(said(|wrong| check_decrees(torn, wrong)), 1, "{torn:?}");
        }
        assert_eq!(said(|wrong| check_apart(&[2, 2], wrong)), 0);
        assert_eq!(said(|wrong| check_apart(&[2, 1], wrong)), 1);
    }

    #[test]
    fn a_hole_in_a_large_transaction_is_seen() {
        let mut field: Vec<i64> = (0..STRIPES * STRIPE).map(|cell| 9 - (cell / STRIPE) as i64).collect();
        let wrong = |field: &[i64]| said(|wrong| check_field(field, wrong));
        assert_eq!(wrong(&field), 0);
        assert_eq!(wrong(&field[1..]), 5, "all parts are torn but the first, and one is missing");
        // A cell beyond 4,096 that was taken for the one 4,096 before it.
        field[5000] += 1;
        assert_eq!(wrong(&field), 1);
        field[5000] -= 1;
        // A whole part that came without those before it.
        field.iter_mut().skip(4800).for_each(|cell| *cell += 2);
        assert_eq!(wrong(&field), 1);
    }
}
