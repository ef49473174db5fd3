//! A word is damaged, and a collection comes by. What hangs on the word is not found any more, and is no garbage: whoever repairs the space, or knows better what the word was, finds
//! all of it as it was. (A word that was changed to another one that may stand there is no damage that anybody could know of.)

use std::fmt::Debug;

use super::*;
use pso_engine::error::Corrupt;
use pso_engine::participant::{PIECES, ProcessSlot};
use pso_engine::shape::references;
use pso_engine::word::{BLOCK_HEADER_WORDS, BlockKind, BlockState, Mark, WordAddress};

/// What nothing of ours writes into a cell, a table or a slot: tag 7.
const NONSENSE: u64 = 0x1234_5678_9ab7;
/// Of a handle: another generation.
const ANOTHER_GENERATION: u64 = 1 << 50;

/// A word, and what damage makes of it.
struct Damage {
    what: String,
    at: WordAddress,
    words: Vec<u64>,
}

/// A space with one of everything, in which something is only held, and something only known to who is in the middle of an attempt.
struct Scene {
    heap: Heap,
    space: Arc<Space<Heap>>,
    collector: Tx,
    holder: Tx,
    reader: Tx,
    treasure: Handle,
    /// What no cell names: the treasure, and what is held. That it is another one by now would be nothing new.
    unnamed: Vec<Handle>,
}

fn scene() -> Scene {
    // Small logs: the table has more than one piece.
    let (heap, layout) = Heap::space(Geometry { log_base: 2, ..Geometry::for_bytes(4 * MIB).unwrap() });
    let space = Space::join(heap.clone(), layout).unwrap();
    let mut collector = space.participant().unwrap();
    let root = root_list(&mut collector);
    let treasure = collector
        .run(|tx| {
            let all = menagerie(tx)?;
            list::push(tx, root, Value::handle(all))?;
            let inner = list_of(tx, &[integer(7)])?;
            let pair = tuple::encode(tx, &[Value::handle(inner), integer(8)])?;
            tx.share(pair.as_handle().unwrap());
            (0..20).try_for_each(|_| list::push(tx, root, pair))?;
            let treasure = list_of(tx, &[Value::handle(all)])?;
            list::push(tx, root, Value::handle(treasure))?;
            Ok(treasure)
        })
        .unwrap();
    let mut holder = another(&heap, &space).participant().unwrap();
    let hold = |tx: &mut Tx| {
        let inner = list_of(tx, &[integer(9)])?;
        let held = list_of(tx, &[Value::handle(inner)])?;
        tx.hold(held)?;
        Ok(held)
    };
    let mut unnamed: Vec<Handle> = (0..12).map(|_| holder.run(hold).unwrap()).collect();
    unnamed.push(treasure);
    let mut reader = another(&heap, &space).participant().unwrap();
    reader.begin().unwrap();
    let last = list::len(&mut reader, root).unwrap() - 1;
    assert_eq!(item(&mut reader, root, last).unwrap(), treasure);
    collector.run(|tx| list::truncate(tx, root, last)).unwrap();
    Scene { heap, space, collector, holder, reader, treasure, unnamed }
}

impl Scene {
    fn now(&self, at: WordAddress) -> u64 {
        self.heap.load(at, Relaxed)
    }

    fn damage(&self, what: impl Debug, at: WordAddress, words: &[u64]) -> Damage {
        Damage { what: format!("{what:?}"), at, words: words.to_vec() }
    }

    /// Of a word that holds a value.
    fn value(&self, what: impl Debug, at: WordAddress) -> Damage {
        let word = self.now(at);
        match Value::from_raw(word).as_handle() {
            Some(_) => self.damage(what, at, &[NONSENSE, word ^ ANOTHER_GENERATION, word | 15]),
            None => self.damage(what, at, &[NONSENSE]),
        }
    }

    /// Of the headers and counts of the blocks, and the values in them.
    fn in_blocks(&self) -> Vec<Damage> {
        let arena = self.space.arena();
        let mut damages = vec![self.value("root", arena.root().value_word())];
        let mut blocks = Vec::new();
        allocator::for_each_block(arena, |handle, state| blocks.push((handle, state)));
        for (handle, state) in blocks {
            // A piece of a log, or of a table, is read by its owner, who knows where it is.
            if matches!(state.kind, BlockKind::Log | BlockKind::Holds) {
                continue;
            }
            let (block, kind) = (handle.block(), state.kind);
            let of_kind = |kind| BlockState { kind, ..state }.pack();
            let of_phase = |phase| BlockState { phase, ..state }.pack();
            let words = [state.pack() | 0xff, of_kind(BlockKind::Log), of_kind(BlockKind::None)];
            let another =
                [state.pack() ^ ANOTHER_GENERATION, of_phase(BlockPhase::Free), of_phase(BlockPhase::Retired)];
            damages.push(self.damage((kind, "state"), block, &words));
            if !self.unnamed.contains(&handle) {
                damages.push(self.damage((kind, "state"), block, &another));
            }
            if kind.is_container() {
                let later = Mark { cycle: 1 << 50, ..Mark::NEW }.pack();
                damages.push(self.damage((kind, "mark"), block.offset(1), &[NONSENSE << 1, later]));
            }
            if matches!(kind, BlockKind::Tuple | BlockKind::Cells) {
                damages.push(self.damage((kind, "count"), block.offset(BLOCK_HEADER_WORDS), &[1 << 40, u64::MAX]));
            }
            let room = allocator::payload_words(arena, handle).unwrap();
            let mut words = Vec::new();
            references(arena, handle, kind, room, &mut |reference| words.push(reference.word())).unwrap();
            damages.extend(words.into_iter().map(|at| self.value(kind, at)));
        }
        damages
    }

    /// Of what is beside the blocks: headers of superblocks, and the slots of who holds and of who reads.
    fn beside_blocks(&self) -> Vec<Damage> {
        let (arena, layout) = (self.space.arena(), self.space.arena().layout());
        let used = (0..allocator::superblocks_used(arena)).filter(|number| !layout.is_header_superblock(*number));
        let mut damages: Vec<Damage> = used
            .map(|number| layout.superblock_header(number))
            .map(|at| self.damage("header", at, &[self.now(at) | 0x3f_fff0 << 2]))
            .collect();
        let holder = ProcessSlot::of(arena, self.holder.space().process()).unwrap();
        for piece in (0..PIECES).map(|piece| holder.holds_piece(piece)).filter(|at| self.now(*at) != 0) {
            damages.push(self.damage("piece of a table", piece, &[NONSENSE, self.now(piece) ^ ANOTHER_GENERATION]));
            let first = Handle::from_raw(self.now(piece)).unwrap().block().offset(BLOCK_HEADER_WORDS);
            damages.push(self.damage("entry of a table", first, &[NONSENSE]));
        }
        let reader = Slot::of(arena, self.reader.id()).unwrap();
        damages.push(self.damage("status", reader.status(), &[u64::MAX]));
        for piece in (0..PIECES).map(|piece| reader.read_log_piece(piece)).filter(|at| self.now(*at) != 0) {
            damages.push(self.damage("piece of a log", piece, &[0, NONSENSE]));
        }
        damages
    }

    /// A collection beside each damage. What is LIVE stays LIVE.
    fn collects_beside(&mut self, damages: &[Damage]) -> u64 {
        let arena = self.space.arena();
        let mut kept = Vec::new();
        allocator::for_each_block(arena, |handle, state| {
            kept.extend((state.phase == BlockPhase::Live).then_some(handle))
        });
        let mut noticed = 0;
        for Damage { what, at, words } in damages {
            for word in words {
                let before = self.now(*at);
                self.heap.store(*at, *word, Relaxed);
                let end = self.collector.collect_objects(NO_PATIENCE).unwrap();
                let CollectionEnd::Finished(collected) = end else { panic!("nobody is at work: {end:?}") };
                assert_eq!(collected.objects, 0, "{what} at {at:?}: {word:#x} for {before:#x}");
                noticed += u64::from(collected.damage.is_some());
                self.heap.store(*at, before, Relaxed);
                for handle in &kept {
                    let state = allocator::check_fully(self.space.arena(), *handle);
                    assert!(state.is_ok_and(|state| state.phase == BlockPhase::Live), "{what} at {at:?}: {handle:?}");
                }
            }
        }
        noticed
    }
}

/// The danger: a list whose name cannot be read is garbage for the next collection.
#[test]
fn nothing_is_freed_for_a_word_in_a_block_that_cannot_be_read() {
    let mut scene = scene();
    assert_eq!(collected(&mut scene.collector), 0);
    let damages = scene.in_blocks();
    let words: usize = damages.iter().map(|damage| damage.words.len()).sum();
    assert!(words > 1000, "{words}");
    let noticed = scene.collects_beside(&damages);
    // Not what no collection comes by: tables of buckets, counters, what is in texts.
    assert!(noticed > words as u64 / 3, "{noticed} of {words}");
    scene.ends_well();
}

/// The same with what is only held, and what is only known to an attempt.
#[test]
fn nothing_is_freed_for_a_header_a_table_or_a_log_that_cannot_be_read() {
    let mut scene = scene();
    assert_eq!(collected(&mut scene.collector), 0);
    let damages = scene.beside_blocks();
    assert!(damages.len() > 10, "{}", damages.len());
    scene.collects_beside(&damages);
    scene.ends_well();
}

impl Scene {
    /// What was kept is there, and what is garbage goes.
    fn ends_well(mut self) {
        assert_eq!(collected(&mut self.collector), 0);
        assert_eq!(self.reader.commit(), Ok(()));
        assert_eq!(collected(&mut self.collector), 1);
        assert!(allocator::check_fully(self.space.arena(), self.treasure).is_err());
        assert_eq!(fsck_at_rest(&self.space), vec![]);
    }
}

/// Of a collection that has found out only by and by: what it says then.
#[test]
fn whoever_collects_is_told_what_and_where() {
    let (heap, space) = space_of(4 * MIB);
    let mut tx = space.participant().unwrap();
    let root = root_list(&mut tx);
    tx.run(|tx| {
        let inner = list_of(tx, &[integer(1)])?;
        list::push(tx, root, Value::handle(inner))
    })
    .unwrap();
    garbage(&mut tx);
    let at = space.arena().root().value_word();
    let word = heap.load(at, Relaxed);
    heap.store(at, NONSENSE, Relaxed);
    let CollectionEnd::Finished(found) = tx.collect_objects(NO_PATIENCE).unwrap() else { panic!("nobody is at work") };
    let damage = Corrupt { what: "a value that leads nowhere", byte_offset: at.byte_offset(), word: NONSENSE };
    assert_eq!((found.objects, found.damage), (0, Some(damage)));
    heap.store(at, word, Relaxed);
    assert_eq!(collected(&mut tx), 3);
}

/// The danger: a value that somebody replaces between the two looks at it is called damage, and nothing is freed where much is replaced.
#[test]
fn what_is_replaced_at_any_step_is_no_damage() {
    let (heap, layout) = Heap::space(Geometry::for_bytes(4 * MIB).unwrap());
    let space = Space::join(Interposed::new(heap.clone()), layout).unwrap();
    let others = Space::join(heap.process(), layout).unwrap();
    let (mut collector, mut founder) = (space.participant().unwrap(), others.participant().unwrap());
    let root = root_list(&mut founder);
    let all = founder.run(|tx| {
        let all = menagerie(tx)?;
        list::push(tx, root, Value::handle(all)).map(|()| all)
    });
    let (all, other) = (all.unwrap(), Arc::new(Mutex::new(others.participant().unwrap())));
    // A text, and a tuple with a text in it, in entries of the dict and in a place of the list.
    let replace = move |tx: &mut Tx| {
        let fresh = |tx: &mut Tx| {
            let long = text::encode(tx, LONG)?;
            tuple::encode(tx, &[long, integer(1)])
        };
        tx.run(|tx| {
            for number in 0..40 {
                let name = format!("number {number}");
                let key = text_key(tx, &name);
                let value = if number % 2 == 0 { text::encode(tx, LONG)? } else { fresh(tx)? };
                if let Some(old) = dict::set(tx, all, &key, value)? {
                    object::discard(tx, old)?;
                }
            }
            let value = fresh(tx)?;
            list::truncate(tx, root, 1)?;
            list::push(tx, root, value)
        })
        .unwrap();
        tx.collect();
    };
    replace(&mut founder);
    for step in 0.. {
        let replacer = Arc::clone(&other);
        space.arena().platform().at(step, move || replace(&mut replacer.lock().unwrap()));
        let end = collector.collect_objects(NO_PATIENCE).unwrap();
        let CollectionEnd::Finished(found) = end else { panic!("nobody is at work: {end:?}") };
        assert_eq!(found.damage, None, "step {step}");
        if space.arena().platform().forget() {
            assert!(step > 1000, "only {step} accesses");
            break;
        }
    }
    assert_eq!(fsck_at_rest(&others), vec![]);
}

/// The danger: what was dropped is taken apart by what it says, and one wrong word of it says the log of somebody who lives.
#[test]
fn what_is_taken_apart_takes_no_log_with_it() {
    let (heap, space) = space_of(2 * MIB);
    let [mut tx, victim] = [(); 2].map(|()| space.participant().unwrap());
    let text = tx
        .run(|tx| {
            let text = text::encode(tx, &"a text that is too long for a word".repeat(3))?;
            list_of(tx, &[text]).map(|_| text)
        })
        .unwrap();
    let log = heap.load(Slot::of(space.arena(), victim.id()).unwrap().read_log_piece(0), Relaxed);
    let log = Handle::from_raw(log).unwrap();
    let layout = *space.arena().layout();
    let named = (layout.tables_words()..layout.geometry().space_words)
        .map(pso_engine::word::WordAddress::new)
        .filter(|word| heap.load_optimistic(*word) == text.raw());
    let named: Vec<_> = named.collect();
    assert!(!named.is_empty());
    named.iter().for_each(|word| heap.store_plain(*word, Value::handle(log).raw()));
    let _ = tx.collect_objects(MS);
    tx.collect();
    assert_eq!(allocator::check(space.arena(), log).unwrap().phase, BlockPhase::Live);
    drop(victim);
}
