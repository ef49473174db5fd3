//! Participants that die, or sleep, at every step of allocation and of recovery.

use super::*;
use crate::support::unless_killed;

/// What a killed one was doing.
fn work(arena: &Arena<Heap>, me: ParticipantId, live: &mut Vec<Handle>) {
    let mut cache = BlockCache::default();
    let small = cache.allocate(arena, me, BlockKind::Text, 14).unwrap();
    allocator::publish(arena, small);
    live.push(small);
    let large = cache.allocate(arena, me, BlockKind::Text, 180).unwrap();
    allocator::publish(arena, large);
    let private = cache.allocate(arena, me, BlockKind::Text, 2).unwrap();
    cache.free(arena, me, large);
    cache.allocate(arena, me, BlockKind::Text, 100).unwrap();
    cache.free(arena, me, private);
    for _ in 0..6 {
        cache.allocate(arena, me, BlockKind::Text, 14).unwrap();
    }
    give_back(arena, me, &mut cache);
    // Over what was punched.
    let large = cache.allocate(arena, me, BlockKind::Text, 300).unwrap();
    cache.free(arena, me, large);
    allocator::recover(arena, me);
    give_back(arena, me, &mut cache);
}

/// The same with blocks of which a superblock has two or three: what is given back at once, one half of what is LIVE, what is adopted.
fn work_with_shares(arena: &Arena<Heap>, me: ParticipantId, live: &mut Vec<Handle>) {
    let mut cache = BlockCache::default();
    let halves = [0; 3].map(|_| cache.allocate(arena, me, BlockKind::Text, HALF).unwrap());
    allocator::publish(arena, halves[0]);
    live.push(halves[0]);
    allocator::publish(arena, halves[2]);
    assert!([halves[2], halves[1]].into_iter().all(|half| cache.free(arena, me, half)));
    let thirds = [0; 4].map(|_| cache.allocate(arena, me, BlockKind::Text, THIRD).unwrap());
    allocator::publish(arena, thirds[1]);
    live.push(thirds[1]);
    assert!([thirds[3], thirds[0], thirds[2]].into_iter().all(|third| cache.free(arena, me, third)));
    let other = (0..2).map(|_| cache.allocate(arena, me, BlockKind::Text, HALF).unwrap()).next();
    allocator::recover(arena, me);
    // Another participant of the dead one's process, say, before anybody else has the number.
    let mut anew = BlockCache::default();
    assert!(other.is_some_and(|freed| !anew.free(arena, me, freed)));
    anew.allocate(arena, me, BlockKind::Text, THIRD).unwrap();
    give_back(arena, me, &mut anew);
}

/// kill -9 between any two accesses of a participant that allocates, publishes, frees, takes runs apart and leaves; and
/// of whoever recovers it, at every access too. Afterwards no block is lost and none is in two hands.
#[test]
fn killed_at_any_step_and_recovered_by_one_who_is_killed_too() {
    let steps = kill_at_each_step(tiny(), 14, work);
    assert!(steps > 200, "the work takes {steps} accesses");
}

#[test]
fn killed_at_any_step_with_blocks_of_a_third_and_of_a_half() {
    let steps = kill_at_each_step(native(), HALF, work_with_shares);
    assert!(steps > 200, "the work takes {steps} accesses");
}

/// Gives how many accesses the work takes. `fill_words`: payloads of which a space is full.
fn kill_at_each_step(
    geometry: Geometry,
    fill_words: u64,
    work: fn(&Arena<Heap>, ParticipantId, &mut Vec<Handle>),
) -> u64 {
    for step in 0.. {
        let (heap, arena) = arena(geometry);
        let full = { capacity(&arena, ME, fill_words) };
        let mut live = Vec::new();
        let killed = kill_at(&heap, &arena, step, |arena| work(arena, OTHER, &mut live));
        // A recoverer dies too, at a step that moves along with the other.
        kill_at(&heap, &arena, step * 7 % 97, |arena| {
            allocator::recover(arena, OTHER);
        });
        allocator::recover(&arena, OTHER);
        assert_eq!(damage(&arena, |id| id == ME), vec![], "killed at step {step}");
        let mut left = Vec::new();
        allocator::for_each_block(&arena, |handle, state| left.push((handle, state.phase)));
        // Published and then killed: LIVE for ever (a record or its recovery would know it). Nothing else may be left.
        assert!(left.iter().all(|(_, phase)| *phase == BlockPhase::Live), "step {step}: {left:?}");
        assert!(left.len() <= 2 && live.iter().all(|block| left.iter().any(|(handle, _)| handle == block)));
        let mut cache = BlockCache::default();
        left.iter().for_each(|(block, _)| assert!(cache.free(&arena, ME, *block)));
        allocator::recover(&arena, ME);
        assert_eq!(capacity(&arena, ME, fill_words), full, "killed at step {step}: memory is lost");
        if !killed {
            return step;
        }
    }
    unreachable!("it ends at some step")
}

fn kill_at(heap: &Heap, arena: &Arena<Heap>, step: u64, work: impl FnOnce(&Arena<Heap>)) -> bool {
    let (process, arena) = another(heap, arena);
    process.die_after(step);
    unless_killed(|| work(&arena)).is_none()
}

/// A recoverer slept while another finished and the number was given to somebody new. It wakes between any two of its
/// accesses: the newcomer's blocks and superblocks must be left alone.
#[test]
fn a_recoverer_that_slept_leaves_the_newcomer_alone() {
    for step in 0.. {
        let (_, arena) = arena(tiny());
        let mut dead = BlockCache::default();
        for words in [2, 2, 14, 100] {
            dead.allocate(&arena, OTHER, BlockKind::Text, words).unwrap();
        }
        let asked = Cell::new(0);
        let newcomer = RefCell::new((BlockCache::default(), Vec::new()));
        // The sleep falls between the answer "still dead" and the change that was asked for.
        allocator::recover_while(&arena, OTHER, || {
            asked.set(asked.get() + 1);
            if asked.get() == step + 1 {
                allocator::recover(&arena, OTHER);
                let (cache, blocks) = &mut *newcomer.borrow_mut();
                for words in [2, 14, 100, 2] {
                    blocks.push(cache.allocate(&arena, OTHER, BlockKind::Text, words).unwrap());
                }
            }
            asked.get() <= step + 1
        });
        for block in &newcomer.borrow().1 {
            assert!(allocator::check_fully(&arena, *block).is_ok(), "slept at question {step}");
        }
        assert_eq!(damage(&arena, |_| true), vec![], "slept at question {step}");
        if asked.get() <= step {
            assert!(step > 4, "only {step} questions");
            break;
        }
    }
}
