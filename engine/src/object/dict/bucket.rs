//! The buckets of a dict: which entries have a hash that ends so.
//!
//! The buckets are a `vector`; the bucket of a hash is `hash & (count - 1)`. A bucket cell holds
//! ```text
//! absent                 below 8: empty. Else: not split yet, its entries are still in bucket i - count/2
//! None                   empty
//! handle of DictEntry    one entry
//! handle of DictBucket   several
//! ```
//! Growing doubles the count and touches no bucket. From then on each of the new, upper half is filled by *splitting* the
//! bucket below it when an insertion comes to it, and by whoever inserts, four in a row from the
//! cell `split` on (Shalev and Shavit's split-ordered lists do the same without an order of their own, JACM 2006).
//!
//! 1. The count is doubled only when all buckets are split: an unsplit bucket is in the upper half, and what it waits for
//!    is split. So a lookup goes one step at most.
//! 2. A bucket from 8 on that is split never becomes absent again, but by `clear`, which empties all and starts at 8.
//! 3. The bucket below an unsplit one holds the entries of both. Changing it is always right; changing an unsplit one
//!    is not, so it is split first. A removal changes the one below: it makes no cells, for which a full space has no room.

use super::Dict;
use super::entry::Entry;
use crate::allocator::is_small_in_use;
use crate::error::Stop;
use crate::object::block::{
    corrupt, fill_plain, fits, handle_of, open_part, plain, read_count, within_space, write_count,
};
use crate::object::key::Key;
use crate::object::memory;
use crate::object::vector::MOST_PLACES;
use crate::platform::Platform;
use crate::shape::{BUCKET_PAIR_WORDS, BUCKET_PREFIX_WORDS};
use crate::transaction::Participant;
use crate::word::{BLOCK_HEADER_WORDS, BlockKind, CellAddress, Handle, Value, WordAddress};

/// Buckets of a dict that gets its first key.
const FIRST_BUCKETS: u64 = 8;
/// Buckets that an insertion splits: two would do to be done before the next doubling.
const SPLITS_PER_STEP: u64 = 4;
/// An empty bucket that is split.
const EMPTY: Value = Value::NONE;

/// Up to so many pairs a bucket is read without asking for the room of its block: damage within that bound shows words of
/// a neighbour, which are looked at as carefully as its own. Hardly any bucket of an undamaged dict has more.
const SHORT_BUCKET: u64 = 4;

/// An entry in a bucket.
#[derive(Clone, Copy, Debug)]
struct Pair {
    hash: u64,
    entry: Handle,
}

/// The entry of `key` among those of a bucket of `dict`.
#[inline(always)]
pub(super) fn search<P: Platform>(
    tx: &Participant<P>,
    dict: Dict,
    bucket: Value,
    key: &Key,
) -> Result<Option<Entry>, Stop> {
    if bucket.is_absent() || bucket == EMPTY {
        return Ok(None);
    }
    let handle = handle_of(bucket, dict.bucket_count_cell())?;
    if let Some(entry) = Entry::if_in_use(tx, handle) {
        let found = entry.hash(tx) == key.hash() && key.matches(tx, entry.raw_key(tx))?;
        return Ok(found.then_some(entry));
    }
    if let Some((first, count)) = short(tx, handle) {
        return search_pairs(tx, first, count, key);
    }
    search_slowly(tx, handle, key)
}

/// What a bucket names is damaged, or too large for a quick look.
#[cold]
#[inline(never)]
fn search_slowly<P: Platform>(tx: &Participant<P>, handle: Handle, key: &Key) -> Result<Option<Entry>, Stop> {
    match tx.kind(handle)? {
        BlockKind::DictEntry => {
            let entry = Entry::open(tx, handle)?;
            let found = entry.hash(tx) == key.hash() && key.matches(tx, entry.raw_key(tx))?;
            Ok(found.then_some(entry))
        }
        BlockKind::DictBucket => {
            let (first, count) = several(tx, handle)?;
            search_pairs(tx, first, count, key)
        }
        other => Err(corrupt("what a bucket names", handle.block(), other as u64)),
    }
}

#[inline(always)]
fn search_pairs<P: Platform>(
    tx: &Participant<P>,
    first: WordAddress,
    count: u64,
    key: &Key,
) -> Result<Option<Entry>, Stop> {
    // Bound: the room of the block.
    for index in 0..count {
        let pair = first.offset(index * BUCKET_PAIR_WORDS);
        if plain(tx, pair) != key.hash() {
            continue;
        }
        let entry = Entry::open(tx, pair_entry(tx, pair)?)?;
        if key.matches(tx, entry.raw_key(tx))? {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// The same for a block of no more than [`SHORT_BUCKET`] pairs, as nearly all are.
#[inline(always)]
fn short<P: Platform>(tx: &Participant<P>, bucket: Handle) -> Option<(WordAddress, u64)> {
    let words = BUCKET_PREFIX_WORDS + SHORT_BUCKET * BUCKET_PAIR_WORDS;
    if !is_small_in_use(tx.arena(), bucket, BlockKind::DictBucket, words) {
        return None;
    }
    let payload = bucket.block().offset(BLOCK_HEADER_WORDS);
    let count = plain(tx, payload);
    (count <= SHORT_BUCKET).then_some((payload.offset(BUCKET_PREFIX_WORDS), count))
}

/// The first pair of a bucket block and their number, checked against the block.
fn several<P: Platform>(tx: &Participant<P>, bucket: Handle) -> Result<(WordAddress, u64), Stop> {
    let payload = open_part(tx, bucket, BlockKind::DictBucket, BUCKET_PREFIX_WORDS)?;
    let count = plain(tx, payload);
    if count <= SHORT_BUCKET {
        // What is looked at, and no more: the block may be the last one of the space, and hold fewer.
        within_space(tx, payload, BUCKET_PREFIX_WORDS + count * BUCKET_PAIR_WORDS)?;
    } else {
        let words = count.checked_mul(BUCKET_PAIR_WORDS).and_then(|words| words.checked_add(BUCKET_PREFIX_WORDS));
        fits(tx, bucket, payload, words)?;
    }
    Ok((payload.offset(BUCKET_PREFIX_WORDS), count))
}

#[inline(always)]
fn pair_entry<P: Platform>(tx: &Participant<P>, pair: WordAddress) -> Result<Handle, Stop> {
    let word = plain(tx, pair.offset(1));
    match Handle::from_raw(word) {
        Some(entry) => Ok(entry),
        None => Err(corrupt("an entry of a bucket", pair.offset(1), word)),
    }
}

/// All entries of what `cell` holds.
fn pairs<P: Platform>(tx: &mut Participant<P>, cell: CellAddress, bucket: Value) -> Result<Vec<Pair>, Stop> {
    if bucket.is_absent() || bucket == EMPTY {
        return Ok(Vec::new());
    }
    let handle = handle_of(bucket, cell)?;
    if tx.kind(handle)? != BlockKind::DictBucket {
        let entry = Entry::open(tx, handle)?;
        return Ok(vec![Pair { hash: entry.hash(tx), entry: handle }]);
    }
    let (first, count) = several(tx, handle)?;
    let mut pairs = Vec::new();
    // One more for who adds one. (Beside none or one it is a few words.)
    memory::reserve(tx, &mut pairs, count as usize + 1)?;
    for index in 0..count {
        let pair = first.offset(index * BUCKET_PAIR_WORDS);
        pairs.push(Pair { hash: plain(tx, pair), entry: pair_entry(tx, pair)? });
    }
    Ok(pairs)
}

/// Whether a bucket of `dict` names an entry.
pub(super) fn names<P: Platform>(
    tx: &mut Participant<P>,
    dict: Dict,
    bucket: Value,
    entry: Handle,
) -> Result<bool, Stop> {
    let pairs = pairs(tx, dict.bucket_count_cell(), bucket)?;
    Ok(pairs.iter().any(|pair| pair.entry == entry))
}

/// What a bucket cell holds for these entries. Where there is no room for a block of several, one of the size of `before` will do, which the
/// cell has held so far.
fn value_of<P: Platform>(tx: &mut Participant<P>, pairs: &[Pair], before: Value) -> Result<Value, Stop> {
    match pairs {
        [] => Ok(EMPTY),
        [one] => Ok(Value::handle(one.entry)),
        several => {
            let count = several.len() as u64;
            let words = BUCKET_PREFIX_WORDS + count * BUCKET_PAIR_WORDS;
            let handle = tx.allocate_in_place_of(before.as_handle(), BlockKind::DictBucket, words)?;
            let payload = handle.block().offset(BLOCK_HEADER_WORDS);
            fill_plain(tx, payload, std::iter::once(count));
            for (index, pair) in several.iter().enumerate() {
                let at = payload.offset(BUCKET_PREFIX_WORDS + index as u64 * BUCKET_PAIR_WORDS);
                fill_plain(tx, at, [pair.hash, pair.entry.raw()].into_iter());
            }
            Ok(Value::handle(handle))
        }
    }
}

/// Gives back the block of what a bucket cell held before: several entries had one of their own.
fn discard_bucket<P: Platform>(tx: &mut Participant<P>, cell: CellAddress, bucket: Value) -> Result<(), Stop> {
    if bucket.is_absent() || bucket == EMPTY {
        return Ok(());
    }
    let handle = handle_of(bucket, cell)?;
    if tx.kind(handle)? == BlockKind::DictBucket { tx.discard(handle) } else { Ok(()) }
}

/// The highest bit of a bucket's number: what tells it from the bucket that it is split from.
#[inline]
fn split_bit(bucket: u64) -> u64 {
    1 << bucket.ilog2()
}

impl Dict {
    /// Number of buckets; 0 before the first key.
    #[inline(always)]
    pub(super) fn bucket_count<P: Platform>(self, tx: &mut Participant<P>) -> Result<u64, Stop> {
        let cell = self.bucket_count_cell();
        let count = read_count(tx, cell, MOST_PLACES)?;
        if count != 0 && (!count.is_power_of_two() || count < FIRST_BUCKETS) {
            return Err(corrupt("the number of buckets of a dict", cell.value_word(), count));
        }
        Ok(count)
    }

    /// What the bucket of `hash` holds, its own or that of the bucket that it waits to be split from.
    #[inline(always)]
    pub(super) fn bucket_of<P: Platform>(self, tx: &mut Participant<P>, count: u64, hash: u64) -> Result<Value, Stop> {
        let bucket = hash & (count - 1);
        let value = self.buckets().read(tx, bucket)?;
        if !value.is_absent() || bucket < FIRST_BUCKETS {
            return Ok(value);
        }
        self.bucket_below(tx, bucket)
    }

    #[inline(never)]
    fn bucket_below<P: Platform>(self, tx: &mut Participant<P>, bucket: u64) -> Result<Value, Stop> {
        self.buckets().read(tx, bucket - split_bit(bucket))
    }

    /// The cell of the bucket of `hash`, split, with what it holds.
    fn split_bucket_of<P: Platform>(
        self,
        tx: &mut Participant<P>,
        count: u64,
        hash: u64,
    ) -> Result<(CellAddress, Value), Stop> {
        let bucket = hash & (count - 1);
        self.split(tx, bucket)?;
        let cell = self.buckets().ensure(tx, bucket)?;
        Ok((cell, tx.read(cell)?))
    }

    /// The cell of the bucket of `hash`, or of the one below that waits to be split, with what it holds.
    fn bucket_to_remove_from<P: Platform>(
        self,
        tx: &mut Participant<P>,
        count: u64,
        hash: u64,
    ) -> Result<(CellAddress, Value), Stop> {
        // Damage may have made the count 0.
        let bucket = hash & count.wrapping_sub(1);
        if let Some(cell) = self.buckets().find(tx, bucket)? {
            let value = tx.read(cell)?;
            if !value.is_absent() || bucket < FIRST_BUCKETS {
                return Ok((cell, value));
            }
        }
        if bucket < FIRST_BUCKETS {
            return Err(missing(self.bucket_count_cell(), bucket));
        }
        let below = bucket - split_bit(bucket);
        match self.buckets().find(tx, below)? {
            Some(cell) => Ok((cell, tx.read(cell)?)),
            None => Err(missing(self.bucket_count_cell(), below)),
        }
    }

    /// Fills a bucket with what is its own in the bucket below it, unless that was done.
    fn split<P: Platform>(self, tx: &mut Participant<P>, bucket: u64) -> Result<(), Stop> {
        if bucket < FIRST_BUCKETS {
            return Ok(());
        }
        let upper = self.buckets().ensure(tx, bucket)?;
        if !tx.read(upper)?.is_absent() {
            return Ok(());
        }
        let bit = split_bit(bucket);
        let lower = self.buckets().ensure(tx, bucket - bit)?;
        let both = tx.read(lower)?;
        let mut down = pairs(tx, lower, both)?;
        let mut up = Vec::new();
        memory::reserve(tx, &mut up, down.len())?;
        up.extend(down.extract_if(.., |pair| pair.hash & bit != 0));
        if !up.is_empty() && !down.is_empty() {
            let value = value_of(tx, &down, both)?;
            tx.write(lower, value)?;
            discard_bucket(tx, lower, both)?;
        } else if !up.is_empty() {
            tx.write(lower, EMPTY)?;
            // All move: the block, if there is one, serves as it is.
            return tx.write(upper, both);
        }
        let value = value_of(tx, &up, both)?;
        tx.write(upper, value)
    }

    /// The bucket below which all are split, of `count`.
    fn split_so_far<P: Platform>(self, tx: &mut Participant<P>, count: u64) -> Result<u64, Stop> {
        let split = read_count(tx, self.split_cell(), count)?;
        if split < FIRST_BUCKETS.max(count / 2) {
            return Err(corrupt("the splitting of a dict", self.split_cell().value_word(), split));
        }
        Ok(split)
    }

    /// Makes the first buckets, or twice as many once three of four have a key, or splits a few of those that wait for
    /// it. Gives the number of buckets.
    pub(super) fn grow_buckets<P: Platform>(self, tx: &mut Participant<P>, keys: u64) -> Result<u64, Stop> {
        let count = self.bucket_count(tx)?;
        if count == 0 {
            write_count(tx, self.split_cell(), FIRST_BUCKETS)?;
            write_count(tx, self.bucket_count_cell(), FIRST_BUCKETS)?;
            return Ok(FIRST_BUCKETS);
        }
        let split = self.split_so_far(tx, count)?;
        if split < count {
            let end = count.min(split + SPLITS_PER_STEP);
            for bucket in split..end {
                self.split(tx, bucket)?;
            }
            write_count(tx, self.split_cell(), end)?;
        } else if keys >= count / 4 * 3 && count * 2 <= MOST_PLACES {
            write_count(tx, self.bucket_count_cell(), count * 2)?;
            return Ok(count * 2);
        }
        Ok(count)
    }

    /// Names an entry in the bucket of `hash`.
    pub(super) fn add_to_bucket<P: Platform>(
        self,
        tx: &mut Participant<P>,
        count: u64,
        hash: u64,
        entry: Handle,
    ) -> Result<(), Stop> {
        let (cell, bucket) = self.split_bucket_of(tx, count, hash)?;
        let mut all = pairs(tx, cell, bucket)?;
        all.push(Pair { hash, entry });
        let value = value_of(tx, &all, bucket)?;
        tx.write(cell, value)?;
        discard_bucket(tx, cell, bucket)
    }

    /// Names an entry no more.
    pub(super) fn remove_from_bucket<P: Platform>(
        self,
        tx: &mut Participant<P>,
        count: u64,
        entry: Entry,
    ) -> Result<(), Stop> {
        let hash = entry.hash(tx);
        let (cell, bucket) = self.bucket_to_remove_from(tx, count, hash)?;
        let mut all = pairs(tx, cell, bucket)?;
        let before = all.len();
        all.retain(|pair| pair.entry != entry.handle());
        if all.len() == before {
            return Err(corrupt("a bucket that does not name its entry", cell.value_word(), bucket.raw()));
        }
        let value = value_of(tx, &all, bucket)?;
        tx.write(cell, value)?;
        discard_bucket(tx, cell, bucket)
    }

    /// Empties all buckets and starts again with the first ones.
    pub(super) fn clear_buckets<P: Platform>(self, tx: &mut Participant<P>) -> Result<(), Stop> {
        let count = self.bucket_count(tx)?;
        if count == 0 {
            return Ok(());
        }
        let split = self.split_so_far(tx, count)?;
        // Bound: each bucket below `split` has memory, and no more wait behind it. Some of those were split out of turn.
        for bucket in 0..count {
            match self.buckets().find(tx, bucket)? {
                Some(cell) => {
                    let bucket_value = tx.read(cell)?;
                    if !bucket_value.is_absent() {
                        tx.write(cell, Value::ABSENT)?;
                        discard_bucket(tx, cell, bucket_value)?;
                    }
                }
                None if bucket < FIRST_BUCKETS || bucket >= split => {}
                None => return Err(missing(self.bucket_count_cell(), bucket)),
            }
        }
        write_count(tx, self.split_cell(), FIRST_BUCKETS)?;
        write_count(tx, self.bucket_count_cell(), FIRST_BUCKETS)
    }
}

#[cold]
fn missing(count_cell: CellAddress, bucket: u64) -> Stop {
    corrupt("a dict with more buckets than memory for them", count_cell.value_word(), bucket)
}
