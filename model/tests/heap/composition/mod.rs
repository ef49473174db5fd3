//! Putting transactions together: alternatives, parts that only read, deadlines, hooks.

mod fallen;
mod irrevocable;
mod retry;
mod undone;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::support::{MIB, MS, Tx, cells, contents, integer, space_of, stop, version};
use pso_engine::allocator;
use pso_engine::arena::Geometry;
use pso_engine::error::Stop;
use pso_engine::fsck::fsck;
use pso_engine::object::{list, queue};
use pso_engine::participant::Slot;
use pso_engine::platform::{Memory, System};
use pso_engine::space::Space;
use pso_engine::word::{BlockKind, BlockPhase, CellAddress, State, Status, Value};
use pso_model::heap::Heap;
use pso_model::interpose::Interposed;

// --- Alternatives ----------------------------------------------------------------------------------------------------

#[test]
fn an_alternative_that_goes_through_is_a_part_of_the_transaction() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 3);
    let chosen = one.run(|tx| {
        tx.write(cells[0], integer(1))?;
        let chosen = tx.or_else(
            |tx| {
                tx.write(cells[0], integer(2))?;
                tx.write(cells[1], integer(2))?;
                Ok("first")
            },
            |_| panic!("nobody asked to wait"),
        )?;
        tx.write(cells[2], integer(3))?;
        Ok(chosen)
    });
    assert_eq!(chosen, Ok("first"));
    assert_eq!(contents(&mut one, &cells), [2, 2, 3]);
}

#[test]
fn nothing_of_an_alternative_that_asks_to_wait_is_left() {
    // What there is to undo: a write over an own write, a write of a new cell, one over that, a block, cells in the block.
    let (heap, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 4);
    let before = version(&heap, cells[1]);
    let sees = |tx: &mut Tx| -> Result<Vec<i64>, Stop> {
        cells.iter().map(|&cell| Ok(tx.read(cell)?.as_int().unwrap())).collect()
    };
    let root = space.arena().root();
    let held = one.run(|tx| tx.read(root)).unwrap();
    one.run(|tx| {
        tx.write(cells[0], integer(1))?;
        tx.or_else(
            |tx| {
                tx.write(cells[0], integer(-1))?;
                tx.write(cells[1], integer(-1))?;
                tx.write(cells[1], integer(-2))?;
                let list = list::create(tx)?;
                list::push(tx, list, integer(5))?;
                assert_eq!(list::get(tx, list, 0)?, Some(integer(5)));
                tx.write(root, Value::handle(list))?;
                assert_eq!(sees(tx)?, [-1, -2, 0, 0]);
                Err(Stop::Retry)
            },
            |tx| {
                assert_eq!(sees(tx)?, [1, 0, 0, 0]);
                assert_eq!(tx.read(root)?, held);
                // Takes the memory that the first had.
                let list = list::create(tx)?;
                list::push(tx, list, integer(6))?;
                tx.write(cells[2], integer(7))
            },
        )
    })
    .unwrap();
    assert_eq!(contents(&mut one, &cells), [1, 0, 7, 0]);
    assert_eq!(version(&heap, cells[1]), before, "a cell that nobody changed has a new version");
    one.leave();
    assert_eq!(fsck(&space), vec![]);
}

#[test]
fn alternatives_nest_and_each_undoes_only_its_own() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 4);
    let wait = |tx: &mut Tx, cell: CellAddress| -> Result<&str, Stop> {
        let seen = tx.read(cell)?.as_int().unwrap();
        tx.write(cell, integer(seen + 1))?;
        Err(Stop::Retry)
    };
    let chosen = one.run(|tx| {
        tx.or_else(
            |tx| {
                tx.write(cells[3], integer(9))?;
                tx.or_else(|tx| wait(tx, cells[0]), |tx| wait(tx, cells[1]))
            },
            |tx| {
                tx.or_else(
                    |tx| wait(tx, cells[0]),
                    |tx| {
                        // Held since the alternatives before: a write of this one.
                        tx.write(cells[1], integer(5))?;
                        tx.or_else(
                            |tx| {
                                tx.write(cells[1], integer(6))?;
                                wait(tx, cells[2])
                            },
                            |tx| {
                                tx.write(cells[2], integer(4))?;
                                Ok("third")
                            },
                        )
                    },
                )
            },
        )
    });
    assert_eq!(chosen, Ok("third"));
    assert_eq!(contents(&mut one, &cells), [0, 5, 4, 0]);
}

#[test]
fn only_a_wish_to_wait_leads_to_the_second() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 1);
    let refused: Result<(), Stop> = one.or_else(
        |tx| {
            tx.write(cells[0], integer(1))?;
            Err(Stop::Interrupted)
        },
        |_| panic!("nobody asked to wait"),
    );
    assert_eq!(refused, Err(Stop::Interrupted));
    assert_eq!(contents(&mut one, &cells), [0]);
}

#[test]
fn a_transaction_waits_for_what_any_alternative_has_read() {
    // Queues of one place: the first alternative writes before it finds its queue empty, so there is something to undo.
    const ITEMS: i64 = 300;
    let (_, space) = space_of(16 * MIB);
    let mut one = space.participant().unwrap();
    let counter = cells(&mut one, 1)[0];
    let queues = one.run(|tx| Ok([queue::create(tx, 1)?, queue::create(tx, 1)?])).unwrap();
    let putters: Vec<_> = queues
        .into_iter()
        .map(|to| {
            let space = Arc::clone(&space);
            std::thread::spawn(move || {
                let mut putter = space.participant().unwrap();
                for item in 1..=ITEMS {
                    putter.run(|tx| queue::put(tx, to, integer(item))).unwrap();
                }
            })
        })
        .collect();
    let mut next = [1, 1];
    for _ in 0..2 * ITEMS {
        let take = |tx: &mut Tx, from: usize| {
            let count = tx.read(counter)?.as_int().unwrap();
            tx.write(counter, integer(count + 1))?;
            Ok((from, queue::get(tx, queues[from])?))
        };
        let (from, item) = one.or_else(|tx| take(tx, 0), |tx| take(tx, 1)).unwrap();
        assert_eq!(item, integer(next[from]), "an item of queue {from} is lost or comes twice");
        next[from] += 1;
    }
    putters.into_iter().for_each(|putter| putter.join().unwrap());
    assert_eq!(contents(&mut one, &[counter]), [2 * ITEMS], "an alternative that was undone counted");
}

#[test]
fn an_alternative_of_many_thousand_cells_is_undone_whole() {
    // More entries than a lock word can number (4,096): the residues of two entries are the same.
    let (_, space) = space_of(64 * MIB);
    let mut one = space.participant().unwrap();
    let all: Vec<CellAddress> = (0..20).flat_map(|_| cells(&mut one, 512)).collect();
    one.or_else(
        |tx| {
            for &cell in &all {
                tx.write(cell, integer(-1))?;
            }
            Err(Stop::Retry)
        },
        |tx| {
            for (number, &cell) in all.iter().enumerate() {
                assert_eq!(tx.read(cell)?, integer(0));
                if number % 2 == 0 {
                    tx.write(cell, integer(number as i64))?;
                }
            }
            Ok(())
        },
    )
    .unwrap();
    let expected: Vec<i64> = (0..all.len() as i64).map(|number| if number % 2 == 0 { number } else { 0 }).collect();
    assert_eq!(contents(&mut one, &all), expected);
}

#[test]
fn a_stopped_attempt_runs_no_second_alternative() {
    // Somebody older takes the lock while the first alternative runs: the whole body is run again, from its first alternative.
    let (heap, space) = space_of(4 * MIB);
    let mut old = space.participant().unwrap();
    let cells = cells(&mut old, 2);
    old.begin().unwrap();
    let mut young = Space::join(heap.process(), *space.arena().layout()).unwrap().participant().unwrap();
    let mut firsts = 0;
    let result = young.or_else(
        |tx| {
            firsts += 1;
            tx.write(cells[0], integer(1))?;
            if firsts == 1 {
                // By hand: what `conflict` does to the younger.
                let slot = pso_engine::participant::Slot::of(tx.arena(), tx.id()).unwrap();
                stop(&heap, slot);
                return Err(Stop::Retry);
            }
            Ok("first")
        },
        |_| panic!("the attempt is over"),
    );
    assert_eq!((result, firsts), (Ok("first"), 2));
    old.abort();
    assert_eq!(contents(&mut old, &cells), [1, 0]);
}

/// The danger: an alternative has disowned its blocks, and is stopped before it has freed them.
#[test]
fn an_alternative_that_is_stopped_while_it_is_undone_leaves_no_block() {
    for step in 0.. {
        let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
        let mut old = Space::join(heap.process(), layout).unwrap().participant().unwrap();
        let cells = cells(&mut old, 4);
        let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
        let mut young = space.participant().unwrap();
        let slot = Slot::of(space.arena(), young.id()).unwrap();
        let mut firsts = 0;
        let result = young.or_else(
            |tx| {
                firsts += 1;
                if firsts == 2 {
                    return Ok(());
                }
                tx.allocate(BlockKind::Cells, 40)?;
                cells.iter().try_for_each(|cell| tx.write(*cell, integer(1)))?;
                let heap = heap.clone();
                // What `conflict` does to the younger.
                space.arena().platform().at(step, move || {
                    let active = heap.load(slot.status(), Relaxed);
                    if let Some(Status { seq, state: State::Active }) = Status::unpack(active) {
                        heap.store(slot.status(), Status { seq, state: State::Aborted }.pack(), Relaxed);
                    }
                });
                Err(Stop::Retry)
            },
            |_| Ok(()),
        );
        let through = space.arena().platform().forget();
        assert_eq!(result, Ok(()));
        let mut left = Vec::new();
        allocator::for_each_block(space.arena(), |handle, state| {
            if state.phase == BlockPhase::Private {
                left.push(handle);
            }
        });
        assert_eq!(left, [], "stopped at step {step}");
        if through {
            assert!(step > 20, "the second alternative after {step} accesses");
            break;
        }
    }
}

// --- Parts that only read --------------------------------------------------------------------------------------------

#[test]
fn a_transaction_that_only_reads_refuses_to_write() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 2);
    let sum = one.run_read_only(None, |tx| Ok(tx.read(cells[0])?.as_int().unwrap() + 1));
    assert_eq!(sum, Ok(1));
    assert_eq!(one.run_read_only(None, |tx| tx.write(cells[0], integer(1))), Err(Stop::ReadOnly));
    assert_eq!(one.run_read_only(None, |tx| tx.allocate(BlockKind::Cells, 8).map(drop)), Err(Stop::ReadOnly));
    // Joined: what a part of it writes is refused, too, and the promise ends with it.
    assert_eq!(one.run_read_only(None, |tx| tx.run(|tx| tx.write(cells[0], integer(1)))), Err(Stop::ReadOnly));
    one.run(|tx| tx.write(cells[0], integer(2))).unwrap();
    assert_eq!(contents(&mut one, &cells), [2, 0]);
}

#[test]
fn a_part_that_only_reads_sees_what_is_around_it_and_refuses_to_write() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 2);
    one.run(|tx| {
        tx.write(cells[0], integer(1))?;
        assert_eq!(tx.run_read_only(None, |tx| tx.read(cells[0]))?, integer(1));
        tx.write(cells[1], integer(2))
    })
    .unwrap();
    for cell in [0, 1] {
        // One that was written before is not written over either.
        let refused = one.run(|tx| {
            tx.write(cells[0], integer(3))?;
            tx.run_read_only(None, |tx| tx.write(cells[cell], integer(4)))
        });
        assert_eq!(refused, Err(Stop::ReadOnly));
    }
    assert_eq!(contents(&mut one, &cells), [1, 2]);
}

// --- Deadlines -------------------------------------------------------------------------------------------------------

/// Runs a writer of `cell` against an owner that goes on and on, and gives how it ended and after how many ns.
fn blocked(body: impl Fn(&mut Tx, CellAddress) -> Result<(), Stop>) -> (Result<(), Stop>, u64) {
    let (heap, space) = space_of(4 * MIB);
    let mut owner = space.participant().unwrap();
    let cells = cells(&mut owner, 2);
    owner.begin().unwrap();
    owner.write(cells[0], integer(1)).unwrap();
    let other = Space::join(heap.process(), *space.arena().layout()).unwrap();
    let cell = cells[0];
    let mut writer = other.participant().unwrap();
    let began = heap.now_ns();
    let ended = writer.run_until(Some(began + 30 * MS), |tx| {
        tx.write(cells[1], integer(5))?;
        body(tx, cell)
    });
    let took = heap.now_ns() - began;
    assert!(!writer.in_attempt());
    // Nothing is locked: the owner takes what the other had, and commits.
    owner.write(cells[1], integer(2)).unwrap();
    owner.commit().unwrap();
    assert_eq!(contents(&mut writer, &cells), [1, 2]);
    (ended, took)
}

#[test]
fn a_blocked_transaction_ends_at_its_deadline_and_holds_nothing() {
    let (ended, took) = blocked(|tx, cell| tx.write(cell, integer(6)));
    assert_eq!(ended, Err(Stop::TimedOut));
    assert!((30 * MS..90 * MS).contains(&took), "{took} ns");
}

#[test]
fn a_transaction_whose_alternatives_wait_ends_at_its_deadline_and_holds_nothing() {
    let wait = |tx: &mut Tx, cell| tx.read(cell).and(Err(Stop::Retry));
    let (ended, took) = blocked(|tx, cell| tx.or_else(|tx| wait(tx, cell), |tx| wait(tx, cell)));
    assert_eq!(ended, Err(Stop::TimedOut));
    assert!((30 * MS..90 * MS).contains(&took), "{took} ns");
}

#[test]
fn a_transaction_that_loses_again_and_again_ends_at_its_deadline() {
    // No wait at all in it: only between attempts is there time to look.
    let (ended, took) = blocked(|_, _| Err(Stop::Conflict));
    assert_eq!(ended, Err(Stop::TimedOut));
    assert!((30 * MS..90 * MS).contains(&took), "{took} ns");
}

// --- Hooks -----------------------------------------------------------------------------------------------------------

/// Notes what happens, in order.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<&'static str>>>);

impl Diary {
    fn note(&self, what: &'static str) -> impl FnOnce() + Send + use<> {
        let notes = Arc::clone(&self.0);
        move || notes.lock().unwrap().push(what)
    }
    fn read(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn hooks_run_once_after_the_end_and_never_for_an_attempt_that_is_run_again() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let diary = Diary::default();
    let mut attempts = 0;
    one.run(|tx| {
        attempts += 1;
        tx.on_commit(diary.note("one"));
        tx.run(|tx| {
            tx.on_abort(diary.note("aborted"));
            tx.on_commit(diary.note("two"));
            Ok(())
        })?;
        assert_eq!(diary.read(), Vec::<&str>::new(), "before the commit");
        if attempts == 1 { Err(Stop::Conflict) } else { Ok(()) }
    })
    .unwrap();
    assert_eq!(diary.read(), ["one", "two"]);
    one.run(|_| Ok(())).unwrap();
    assert_eq!(diary.read(), Vec::<&str>::new());
    let ended: Result<(), Stop> = one.run(|tx| {
        tx.on_commit(diary.note("committed"));
        tx.on_abort(diary.note("one"));
        tx.on_abort(diary.note("two"));
        Err(Stop::Interrupted)
    });
    assert_eq!((ended, diary.read()), (Err(Stop::Interrupted), vec!["one", "two"]));
}

#[test]
fn hooks_of_an_abort_run_when_a_wait_ends_at_its_deadline() {
    let (heap, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 1);
    let diary = Diary::default();
    let deadline = Some(heap.now_ns() + 5 * MS);
    let ended: Result<(), Stop> = one.run_until(deadline, |tx| {
        tx.on_abort(diary.note("aborted"));
        tx.read(cells[0]).and(Err(Stop::Retry))
    });
    assert_eq!((ended, diary.read()), (Err(Stop::TimedOut), vec!["aborted"]));
}

#[test]
fn the_hooks_of_an_alternative_go_with_it() {
    let (_, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let diary = Diary::default();
    one.run(|tx| {
        tx.on_commit(diary.note("before"));
        tx.or_else(
            |tx| {
                tx.on_commit(diary.note("undone"));
                Err(Stop::Retry)
            },
            |tx| {
                tx.on_commit(diary.note("second"));
                Ok(())
            },
        )
    })
    .unwrap();
    assert_eq!(diary.read(), ["before", "second"]);
}

#[test]
fn a_hook_runs_outside_of_the_transaction() {
    // Another participant sees what was committed, and nothing is locked.
    let (heap, space) = space_of(4 * MIB);
    let mut one = space.participant().unwrap();
    let cells = cells(&mut one, 1);
    let mut other = Space::join(heap.process(), *space.arena().layout()).unwrap().participant().unwrap();
    let cell = cells[0];
    let seen = Arc::new(AtomicU64::new(0));
    let told = Arc::new(AtomicBool::new(false));
    let (note, tell) = (Arc::clone(&seen), Arc::clone(&told));
    let other = Arc::new(Mutex::new(move || {
        other.run(|tx| {
            let value = tx.read(cell)?.as_int().unwrap();
            note.store(value as u64, Relaxed);
            tx.write(cell, integer(value + 1))
        })
    }));
    one.run(move |tx| {
        tx.write(cell, integer(7))?;
        let (other, tell) = (Arc::clone(&other), Arc::clone(&tell));
        tx.on_commit(move || tell.store((other.lock().unwrap())().is_ok(), Relaxed));
        Ok(())
    })
    .unwrap();
    assert!(told.load(Relaxed) && seen.load(Relaxed) == 7);
    assert_eq!(contents(&mut one, &cells), [8]);
}
