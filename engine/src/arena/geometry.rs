//! The sizes of a space, chosen once when it is created, and the places that follow from them.
//!
//! ```text
//! 0        header page (see `header`)
//! 4 KiB    hot words, 128 B apart
//! 64 KiB   process slots, participants, wait buckets, then (at the next superblock) the regions
//! region   superblock headers (128 B each), padded to whole superblocks, then superblocks
//! ```
//! Models choose a few dozen words for everything; nothing in the engine knows a size by heart.

use crate::word::{CellAddress, ParticipantId, ProcessSlotId, WordAddress};

/// Sizes in words unless the name says otherwise; all powers of two but the counts of regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Words of the whole space.
    pub space_words: u64,
    /// Entries of the process table.
    pub process_slots: u64,
    /// Entries of the participant table, at most 2,046.
    pub participants: u64,
    /// Wait buckets.
    pub wait_buckets: u64,
    /// Words of a superblock.
    pub superblock_words: u64,
    /// Superblocks of a region, header superblocks included.
    pub region_superblocks: u64,
    /// Pages are committed in steps of so many superblocks.
    pub commit_superblocks: u64,
    /// Units (4 words) of the first piece of a record ring; entries of the first piece of a read log.
    pub log_base: u64,
}

/// Words of the header page.
pub const HEADER_WORDS: u64 = 512;
/// Distance of hot words: two cache lines, for processors that fetch pairs.
pub const HOT_STRIDE: u64 = 16;
/// Words of a process slot.
pub const PROCESS_SLOT_WORDS: u64 = 48;
/// Words of a participant.
pub const PARTICIPANT_WORDS: u64 = 128;
/// Words of a superblock header.
pub const SUPERBLOCK_HEADER_WORDS: u64 = 16;
/// The smallest space that is any use.
pub const MINIMUM_BYTES: u64 = 1 << 20;
/// The largest: what 36 bits of handle offset reach.
pub const MAXIMUM_BYTES: u64 = 1 << 40;

impl Geometry {
    /// The sizes for a space of about `bytes` (rounded up to whole superblocks of 64 KiB). Small spaces have small tables.
    pub fn for_bytes(bytes: u64) -> Option<Self> {
        if !(MINIMUM_BYTES..=MAXIMUM_BYTES).contains(&bytes) {
            return None;
        }
        let superblock_words: u64 = 8192;
        let large = bytes >= 32 << 20;
        Some(Self {
            space_words: (bytes / 8).next_multiple_of(superblock_words),
            process_slots: if large { 256 } else { 32 },
            participants: if large { 1024 } else { 64 },
            wait_buckets: if large { 256 } else { 64 },
            superblock_words,
            region_superblocks: if large { 1024 } else { 512 },
            commit_superblocks: if large { 16 } else { 1 },
            log_base: 128,
        })
    }
}

/// The places that a geometry implies. Pure arithmetic, no memory access.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    geometry: Geometry,
    process_slots: u64,
    participants: u64,
    wait_buckets: u64,
    bucket_words: u64,
    summary_words: u64,
    regions: u64,
    superblocks: u64,
    header_superblocks: u64,
    small_words: u64,
    // Superblocks are located for every block that is freed, and a division costs as much as all the rest.
    superblock_shift: u32,
}

/// A word that many touch, alone on its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum HotWord {
    /// The version clock. Starts at 1.
    VersionClock = 0,
    /// The coarse shared time, raised by compare-exchange only.
    Tick = 1,
    /// Batch number of reclamation.
    Batch = 2,
    /// Whose process collects (a claim), or did last; then since when nothing was heard of it.
    Collector = 4,
    /// The privilege token.
    PrivilegeToken = 5,
    /// Not 0: damage was found; the number says of what kind.
    Poison = 6,
    /// Superblocks handed out so far: all from here on are untouched.
    SuperblockFrontier = 7,
    /// Superblocks whose pages are committed.
    CommittedSuperblocks = 8,
    /// The root cell (two words).
    Root = 9,
    /// Hint: 1 + the lowest superblock below the frontier that may be unused; 0: none is known.
    FreeSuperblockHint = 10,
    /// One bit a wait bucket that may have waiters (up to 16 words).
    WaitSummary = 11,
}

/// No more than these are asked of a block whose place is checked by one comparison, its header included.
pub const SMALL_WORDS: u64 = 32;

impl Layout {
    /// Places for `geometry`; `None` if the tables alone do not fit.
    pub fn new(geometry: Geometry) -> Option<Self> {
        if !geometry.superblock_words.is_power_of_two() || !geometry.region_superblocks.is_power_of_two() {
            return None;
        }
        let tables = HEADER_WORDS.checked_mul(16)?;
        let participants = tables.checked_add(geometry.process_slots.checked_mul(PROCESS_SLOT_WORDS)?)?;
        let wait_buckets = participants.checked_add(geometry.participants.checked_mul(PARTICIPANT_WORDS)?)?;
        let bucket_words = geometry.participants.div_ceil(64);
        let tables_end = wait_buckets.checked_add(geometry.wait_buckets.checked_mul(bucket_words)?)?;
        let regions = tables_end.next_multiple_of(geometry.superblock_words);
        let header_words = geometry.region_superblocks.checked_mul(SUPERBLOCK_HEADER_WORDS)?;
        let layout = Self {
            geometry,
            process_slots: tables,
            participants,
            wait_buckets,
            bucket_words,
            summary_words: geometry.wait_buckets.div_ceil(64),
            regions,
            superblocks: geometry.space_words.saturating_sub(regions) / geometry.superblock_words,
            header_superblocks: header_words.div_ceil(geometry.superblock_words),
            small_words: geometry.space_words.saturating_sub(regions + SMALL_WORDS),
            superblock_shift: geometry.superblock_words.trailing_zeros(),
        };
        let least = regions.checked_add((layout.header_superblocks() + 2) * geometry.superblock_words)?;
        (least <= geometry.space_words
            && geometry.participants <= 2046
            && layout.header_superblocks() < geometry.region_superblocks)
            .then_some(layout)
    }

    /// The sizes.
    #[inline]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }
    /// A hot word.
    #[inline]
    pub fn hot(&self, word: HotWord) -> WordAddress {
        WordAddress::new(HEADER_WORDS + word as u64 * HOT_STRIDE)
    }
    /// Who asks the others not to commit for a moment. In the line of the clock, for it is looked at with the clock.
    #[inline]
    pub fn lull(&self) -> WordAddress {
        self.hot(HotWord::VersionClock).offset(1)
    }
    /// Number of the last collection, and whether it is under way (`word::Cycle`). In the same line, for whoever commits looks at it next.
    #[inline]
    pub fn collection(&self) -> WordAddress {
        self.hot(HotWord::VersionClock).offset(2)
    }
    /// First word of a process slot.
    #[inline]
    pub fn process_slot(&self, id: ProcessSlotId) -> WordAddress {
        debug_assert!((id.0 as u64) < self.geometry.process_slots);
        WordAddress::new(self.process_slots + id.0 as u64 * PROCESS_SLOT_WORDS)
    }
    /// First word of a participant; `None` for one that cannot be (a damaged lock word).
    #[inline]
    pub fn participant(&self, id: ParticipantId) -> Option<WordAddress> {
        ((id.0 as u64) < self.geometry.participants)
            .then(|| WordAddress::new(self.participants + id.0 as u64 * PARTICIPANT_WORDS))
    }
    /// Number of the wait bucket of a cell.
    #[inline]
    pub fn wait_bucket_of(&self, cell: CellAddress) -> u64 {
        // Fibonacci hashing: neighbouring cells fall into different buckets.
        let spread = (cell.index() / 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        spread & (self.geometry.wait_buckets - 1)
    }
    /// A wait bucket: `(first word, words)`, one bit a participant.
    #[inline]
    pub fn wait_bucket(&self, bucket: u64) -> (WordAddress, u64) {
        debug_assert!(bucket < self.geometry.wait_buckets);
        (WordAddress::new(self.wait_buckets + bucket * self.bucket_words), self.bucket_words)
    }
    /// The summary of the wait buckets: `(first word, words)`, one bit a bucket.
    #[inline]
    pub fn wait_summary(&self) -> (WordAddress, u64) {
        (self.hot(HotWord::WaitSummary), self.summary_words)
    }
    /// Words before the first region: what is committed when a space is made.
    #[inline]
    pub fn tables_words(&self) -> u64 {
        self.regions
    }
    /// Words from the first region on of which each has [`SMALL_WORDS`] more of the space behind it.
    #[inline]
    pub fn small_words(&self) -> u64 {
        self.small_words
    }
    /// Words of one region.
    #[inline]
    pub fn region_words(&self) -> u64 {
        self.geometry.region_superblocks * self.geometry.superblock_words
    }
    /// Superblocks at the start of each region that hold the headers of the region.
    #[inline]
    pub fn header_superblocks(&self) -> u64 {
        self.header_superblocks
    }
    /// Superblocks of all regions, header superblocks included. They are numbered from 0 through all regions.
    #[inline]
    pub fn superblocks(&self) -> u64 {
        self.superblocks
    }
    /// First word of a superblock.
    #[inline]
    pub fn superblock(&self, number: u64) -> WordAddress {
        debug_assert!(number < self.superblocks());
        WordAddress::new(self.regions + (number << self.superblock_shift))
    }
    /// True for a superblock that holds headers.
    #[inline]
    pub fn is_header_superblock(&self, number: u64) -> bool {
        number & (self.geometry.region_superblocks - 1) < self.header_superblocks
    }
    /// First word of a superblock's header.
    #[inline]
    pub fn superblock_header(&self, number: u64) -> WordAddress {
        let within = number & (self.geometry.region_superblocks - 1);
        let region = (number - within) << self.superblock_shift;
        WordAddress::new(self.regions + region + within * SUPERBLOCK_HEADER_WORDS)
    }
    /// Where a word lies: superblocks before it from the start of the space on, and words from the start of its own. Superblocks and what
    /// is before them are laid out in units of a superblock.
    #[inline]
    pub fn place_of(&self, address: WordAddress) -> (u64, u64) {
        let index = address.index();
        (index >> self.superblock_shift, index & (self.geometry.superblock_words - 1))
    }
    /// The superblock in which a word lies; `None` for a word outside all superblocks.
    #[inline]
    pub fn superblock_of(&self, address: WordAddress) -> Option<u64> {
        let number = address.index().checked_sub(self.regions)? >> self.superblock_shift;
        (number < self.superblocks).then_some(number)
    }
}
