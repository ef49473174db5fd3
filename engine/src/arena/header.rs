//! The header page: what a space says of itself, and the reasons to refuse it.
//!
//! ```text
//! word 0       magic                     word 8       maximum size in bytes
//!      1       format major:32 minor:32       9       fence mode
//!      2       layout hash                   10..18   geometry
//!      3       feature bits                  18       contention policy
//!      4, 5    uuid                          19..31   0
//!      6, 7    boot id                       31       checksum of words 0..31 and 32, 33
//!                                            32, 33   key of the space's hash function
//! ```
//! Pure functions. The header is written once, before anybody can attach, and never changes afterwards. Hence:
//!
//! 1. Magic, format and checksum stand at the same words, and the checksum is made the same way, in every format to
//!    come: so an older or newer space is told from a damaged one.
//! 2. Checks run from the outside in: magic, checksum, format, features, fences, policy, layout, boot, geometry, size. Nothing is
//!    trusted that an earlier check has not covered.
//! 3. A geometry that passes cannot make the arithmetic of [`Layout`] overflow, whatever the bits were.

use std::hash::Hasher;
use std::path::Path;

use siphasher::sip::SipHasher13;

use super::{
    ArenaError, Geometry, HASH_KEY_WORD, HEADER_WORDS, HOT_STRIDE, Layout, MAXIMUM_BYTES, MINIMUM_BYTES,
    PARTICIPANT_WORDS, POLICY_WORD, PROCESS_SLOT_WORDS, SUPERBLOCK_HEADER_WORDS,
};
use crate::contention::PolicyId;
use crate::word::{
    BLOCK_HEADER_WORDS, BlockKind, BlockPhase, BlockState, CELL_WORDS, INLINE_BYTES_MAX, ParticipantId, Value, Version,
};

/// Words of the page that the header uses, the hash key included.
pub const HEADER_USED_WORDS: usize = HASH_KEY_WORD.index() as usize + 2;
/// `PSOARENA`, as a little-endian machine stores it.
pub const MAGIC: u64 = u64::from_le_bytes(*b"PSOARENA");
/// Format that this release reads. Raised when an old space can no longer be read.
pub const FORMAT_MAJOR: u32 = 1;
/// Additions that an older release of the same major format may ignore.
pub const FORMAT_MINOR: u32 = 0;
/// Feature bits that this build knows. A bit says: do not touch this space unless you know it.
pub const KNOWN_FEATURES: u64 = 0;
/// How the members of a space order a reader's log entry against its second look (`Memory::light_fence` and `heavy_fence`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Fences {
    /// Both sides fence.
    Full = 0,
    /// Whoever looks at the logs makes all others fence (`membarrier`); readers pay nothing.
    Membarrier = 1,
}

impl Fences {
    /// The last mode that this build knows.
    pub const KNOWN: u64 = Self::Membarrier as u64;

    /// Unpacks the word.
    pub fn from_word(word: u64) -> Option<Self> {
        [Self::Full, Self::Membarrier].into_iter().find(|fences| *fences as u64 == word)
    }
}

const CHECKSUM_WORD: usize = 31;
const GEOMETRY_WORD: usize = 10;

// Words are stored in the machine's own order, and byte offsets in `usize`.
const _: () = assert!(cfg!(target_endian = "little") && cfg!(target_pointer_width = "64"));
const _: () = assert!(HEADER_USED_WORDS == CHECKSUM_WORD + 3 && HEADER_USED_WORDS as u64 <= HEADER_WORDS);

/// Every layout that processes share, in words. Change this text whenever one of them changes in a way that the
/// constants and samples of [`LAYOUT_HASH`] do not show: builds that disagree then refuse each other's spaces.
const LAYOUT_TEXT: &str = "revision 15; \
    header: magic format layout features uuid2 boot2 bytes fences geometry8 policy; \
    geometry: space slots participants buckets superblock region commit log; \
    cell: lock value; block: state:generation24,owner16,kind16,phase8 mark payload; \
    handle: generation24 place36 tag4; lock: version:clock48,writer11,count4 or participant entry seq; \
    attempt: participant16 seq40; clock: version lull collection:underway1,helped1,number56; priority: tick52 tie12; \
    superblock: state:generation24,owner16,detail22,kind2 fresh hints names witness carved, classes: two words, quarters, third, half; \
    process: state pid start looks:generation40,count24 copies:generation40,count24 tickets 16: pieces24; hold: word:held,leaving,put off,exported,expiring ticket; pieces: as large as all before, up to 2^20; \
    queue: ring:first35,turned5,doublings5";

/// Hash of all shared layouts of this build.
pub const LAYOUT_HASH: u64 = {
    let sample = BlockState {
        generation: 0x12_3456,
        owner: ParticipantId(0x789),
        kind: BlockKind::ALL[BlockKind::ALL.len() - 1],
        phase: BlockPhase::Live,
    };
    let constants = [
        HEADER_WORDS,
        HOT_STRIDE,
        PROCESS_SLOT_WORDS,
        PARTICIPANT_WORDS,
        SUPERBLOCK_HEADER_WORDS,
        CELL_WORDS,
        BLOCK_HEADER_WORDS,
        BlockKind::ALL.len() as u64,
        sample.pack(),
        Version::BITS as u64,
        Value::TRUE.raw(),
        INLINE_BYTES_MAX as u64,
    ];
    let mut hash = fnv(0xcbf2_9ce4_8422_2325, LAYOUT_TEXT.as_bytes());
    let mut index = 0;
    while index < constants.len() {
        hash = fnv(hash, &constants[index].to_le_bytes());
        index += 1;
    }
    hash
};

/// FNV-1a, for it is short enough to run in a constant.
const fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    hash
}

/// What a space says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Format, major.
    pub format_major: u32,
    /// Format, minor.
    pub format_minor: u32,
    /// Hash of the shared layouts.
    pub layout_hash: u64,
    /// Features that a member has to know.
    pub features: u64,
    /// Name of this space among all spaces.
    pub uuid: u128,
    /// The boot in which the space was made.
    pub boot_id: u128,
    /// Size of the file.
    pub maximum_bytes: u64,
    /// How the members fence.
    pub fence_mode: u64,
    /// The sizes.
    pub geometry: Geometry,
    /// Number of the contention policy.
    pub policy: u64,
}

/// The used words of a header page.
pub type HeaderWords = [u64; HEADER_USED_WORDS];

impl Header {
    /// The header of a new space.
    pub fn new(geometry: Geometry, policy: PolicyId, fences: Fences, uuid: u128, boot_id: u128) -> Self {
        Self {
            format_major: FORMAT_MAJOR,
            format_minor: FORMAT_MINOR,
            layout_hash: LAYOUT_HASH,
            features: KNOWN_FEATURES,
            uuid,
            boot_id,
            maximum_bytes: geometry.space_words * 8,
            fence_mode: fences as u64,
            geometry,
            policy: policy as u64,
        }
    }

    /// Packs the header, with the hash key that stands behind it and is part of the checksum.
    pub fn encode(&self, hash_key: (u64, u64)) -> HeaderWords {
        let mut words = [0; HEADER_USED_WORDS];
        words[0] = MAGIC;
        words[1] = (self.format_major as u64) << 32 | self.format_minor as u64;
        words[2] = self.layout_hash;
        words[3] = self.features;
        (words[4], words[5]) = halves(self.uuid);
        (words[6], words[7]) = halves(self.boot_id);
        words[8] = self.maximum_bytes;
        words[9] = self.fence_mode;
        let Geometry {
            space_words,
            process_slots,
            participants,
            wait_buckets,
            superblock_words,
            region_superblocks,
            commit_superblocks,
            log_base,
        } = self.geometry;
        words[GEOMETRY_WORD..GEOMETRY_WORD + 8].copy_from_slice(&[
            space_words,
            process_slots,
            participants,
            wait_buckets,
            superblock_words,
            region_superblocks,
            commit_superblocks,
            log_base,
        ]);
        words[POLICY_WORD.index() as usize] = self.policy;
        (words[CHECKSUM_WORD + 1], words[CHECKSUM_WORD + 2]) = hash_key;
        words[CHECKSUM_WORD] = checksum(&words);
        words
    }

    /// Unpacks a header that is one: magic, checksum and format are checked, all else is as it was written.
    pub fn decode(words: &HeaderWords, path: &Path) -> Result<Self, ArenaError> {
        let path = || path.to_path_buf();
        if words[0] != MAGIC {
            return Err(ArenaError::Foreign {
                path: path(),
                found: format!("it begins with {:#018x}, a space with {MAGIC:#018x}", words[0]),
            });
        }
        let expected = checksum(words);
        if words[CHECKSUM_WORD] != expected {
            return Err(ArenaError::Corrupt {
                path: path(),
                what: "its checksum",
                found: words[CHECKSUM_WORD],
                expected,
            });
        }
        let format_major = (words[1] >> 32) as u32;
        if format_major < FORMAT_MAJOR {
            return Err(ArenaError::Older { path: path(), found: format_major, expected: FORMAT_MAJOR });
        }
        if format_major > FORMAT_MAJOR {
            return Err(ArenaError::Newer { path: path(), found: format_major, expected: FORMAT_MAJOR });
        }
        let geometry = &words[GEOMETRY_WORD..GEOMETRY_WORD + 8];
        Ok(Self {
            format_major,
            format_minor: words[1] as u32,
            layout_hash: words[2],
            features: words[3],
            uuid: whole(words[4], words[5]),
            boot_id: whole(words[6], words[7]),
            maximum_bytes: words[8],
            fence_mode: words[9],
            geometry: Geometry {
                space_words: geometry[0],
                process_slots: geometry[1],
                participants: geometry[2],
                wait_buckets: geometry[3],
                superblock_words: geometry[4],
                region_superblocks: geometry[5],
                commit_superblocks: geometry[6],
                log_base: geometry[7],
            },
            policy: words[POLICY_WORD.index() as usize],
        })
    }

    /// Checks all that this build, this boot and the file's size have to agree with, and gives the places.
    pub fn check(&self, boot_id: u128, file_bytes: u64, path: &Path) -> Result<Layout, ArenaError> {
        let path = || path.to_path_buf();
        if self.features & !KNOWN_FEATURES != 0 {
            return Err(ArenaError::OtherFeatures { path: path(), found: self.features, known: KNOWN_FEATURES });
        }
        if Fences::from_word(self.fence_mode).is_none() {
            return Err(ArenaError::OtherFences { path: path(), found: self.fence_mode, known: Fences::KNOWN });
        }
        if PolicyId::from_word(self.policy).is_none() {
            return Err(ArenaError::OtherPolicy { path: path(), found: self.policy });
        }
        if self.layout_hash != LAYOUT_HASH {
            return Err(ArenaError::OtherLayout { path: path(), found: self.layout_hash, expected: LAYOUT_HASH });
        }
        if self.boot_id != boot_id {
            return Err(ArenaError::OtherBoot { path: path(), found: self.boot_id, expected: boot_id });
        }
        let layout = self.checked_layout().map_err(|(what, found, expected)| ArenaError::Corrupt {
            path: path(),
            what,
            found,
            expected,
        })?;
        if file_bytes != self.maximum_bytes {
            return Err(ArenaError::Truncated { path: path(), found: file_bytes, expected: self.maximum_bytes });
        }
        Ok(layout)
    }

    /// The layout, or `(what, found, expected)` for a geometry that no release makes.
    fn checked_layout(&self) -> Result<Layout, (&'static str, u64, u64)> {
        let geometry = &self.geometry;
        let ranges = [
            ("its size", self.maximum_bytes, MINIMUM_BYTES, MAXIMUM_BYTES),
            ("its number of process slots", geometry.process_slots, 1, 1 << 16),
            ("its number of participants", geometry.participants, 1, 2046),
            ("its number of wait buckets", geometry.wait_buckets, 1, 1 << 10),
            ("its superblock size", geometry.superblock_words, HEADER_WORDS, 1 << 24),
            ("its region size", geometry.region_superblocks, 2, 1 << 24),
            ("its commit step", geometry.commit_superblocks, 1, 1 << 24),
            ("its log size", geometry.log_base, 2, 1 << 19),
        ];
        for (what, found, least, most) in ranges {
            if !(least..=most).contains(&found) {
                return Err((what, found, found.clamp(least, most)));
            }
        }
        let powers = [
            ("its number of wait buckets", geometry.wait_buckets),
            ("its superblock size", geometry.superblock_words),
            ("its region size", geometry.region_superblocks),
            ("its commit step", geometry.commit_superblocks),
            ("its log size", geometry.log_base),
        ];
        for (what, found) in powers {
            if !found.is_power_of_two() {
                return Err((what, found, found.next_power_of_two()));
            }
        }
        if geometry.space_words != self.maximum_bytes / 8 || !self.maximum_bytes.is_multiple_of(8) {
            return Err(("its number of words", geometry.space_words, self.maximum_bytes / 8));
        }
        Layout::new(*geometry).ok_or(("its geometry", geometry.space_words, geometry.space_words.saturating_mul(2)))
    }
}

/// SipHash-1-3 with the key 0 over all words but the checksum itself.
fn checksum(words: &HeaderWords) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    for (index, word) in words.iter().enumerate() {
        if index != CHECKSUM_WORD {
            hasher.write(&word.to_le_bytes());
        }
    }
    hasher.finish()
}

const fn halves(whole: u128) -> (u64, u64) {
    (whole as u64, (whole >> 64) as u64)
}

const fn whole(low: u64, high: u64) -> u128 {
    (high as u128) << 64 | low as u128
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOOT: u128 = 0xb007;

    fn path() -> &'static Path {
        Path::new("/a/space")
    }

    fn header() -> Header {
        Header::new(Geometry::for_bytes(4 << 20).unwrap(), PolicyId::WaitDie, Fences::Full, 0x1234, BOOT)
    }

    /// What an attacher makes of these words.
    fn attach(words: &HeaderWords) -> Result<Layout, ArenaError> {
        Header::decode(words, path())?.check(BOOT, 4 << 20, path())
    }

    /// A header that differs from a good one by `change`, with a good checksum.
    fn changed(change: impl FnOnce(&mut Header)) -> HeaderWords {
        let mut header = header();
        change(&mut header);
        header.encode((1, 2))
    }

    /// Handles reach no further: what lay behind would go by the names of what lies at the start.
    #[test]
    fn a_space_that_is_larger_than_handles_reach_is_refused() {
        for (bytes, fits) in [(MAXIMUM_BYTES, true), (MAXIMUM_BYTES + 65_536, false)] {
            let geometry = Geometry { space_words: bytes / 8, ..Geometry::for_bytes(MAXIMUM_BYTES).unwrap() };
            let header = Header::new(geometry, PolicyId::WaitDie, Fences::Full, 0x1234, BOOT);
            let checked = Header::decode(&header.encode((1, 2)), path()).unwrap().check(BOOT, bytes, path());
            assert_eq!(checked.is_ok(), fits, "{bytes}");
            let is_size = |error| matches!(error, ArenaError::Corrupt { what: "its size", .. });
            assert!(fits || checked.is_err_and(is_size));
        }
    }

    #[test]
    fn a_new_header_is_accepted() {
        let layout = attach(&header().encode((1, 2))).unwrap();
        assert_eq!(*layout.geometry(), header().geometry);
    }

    #[test]
    fn each_difference_has_its_own_refusal() {
        let attach = |words: HeaderWords| attach(&words).unwrap_err();
        let mut foreign = header().encode((1, 2));
        foreign[0] = 0;
        assert!(matches!(attach(foreign), ArenaError::Foreign { .. }));
        let mut damaged = header().encode((1, 2));
        damaged[33] ^= 1;
        assert!(matches!(attach(damaged), ArenaError::Corrupt { .. }));
        assert!(matches!(attach(changed(|h| h.format_major -= 1)), ArenaError::Older { found: 0, expected: 1, .. }));
        assert!(matches!(attach(changed(|h| h.format_major += 1)), ArenaError::Newer { found: 2, expected: 1, .. }));
        assert!(matches!(attach(changed(|h| h.layout_hash ^= 1)), ArenaError::OtherLayout { .. }));
        assert!(matches!(attach(changed(|h| h.features = 4)), ArenaError::OtherFeatures { found: 4, .. }));
        assert!(matches!(attach(changed(|h| h.fence_mode = 2)), ArenaError::OtherFences { found: 2, .. }));
        assert!(matches!(attach(changed(|h| h.policy = 6)), ArenaError::OtherPolicy { found: 6, .. }));
        assert!(matches!(attach(changed(|h| h.boot_id = 1)), ArenaError::OtherBoot { found: 1, expected: BOOT, .. }));
        assert!(matches!(attach(changed(|h| h.geometry.superblock_words = 0)), ArenaError::Corrupt { .. }));
        assert!(matches!(attach(changed(|h| h.geometry.space_words /= 2)), ArenaError::Corrupt { .. }));
        for base in [0, 1, 192, 1 << 25] {
            assert!(matches!(attach(changed(|h| h.geometry.log_base = base)), ArenaError::Corrupt { .. }), "{base}");
        }
        let longer = changed(|h| {
            h.maximum_bytes *= 2;
            h.geometry.space_words *= 2;
        });
        assert!(matches!(attach(longer), ArenaError::Truncated { found: 4_194_304, expected: 8_388_608, .. }));
    }

    #[test]
    fn a_minor_addition_is_read() {
        assert!(attach(&changed(|h| h.format_minor += 1)).is_ok());
    }

    proptest! {
        #[test]
        fn a_header_survives_packing(
            layout_hash: u64, features: u64, uuid: u128, boot_id: u128, maximum_bytes: u64, fence_mode: u64,
            format_minor: u32, sizes: [u64; 8], policy: u64, hash_key: (u64, u64),
        ) {
            let geometry = Geometry {
                space_words: sizes[0], process_slots: sizes[1], participants: sizes[2], wait_buckets: sizes[3],
                superblock_words: sizes[4], region_superblocks: sizes[5], commit_superblocks: sizes[6], log_base: sizes[7],
            };
            let header = Header {
                format_major: FORMAT_MAJOR, format_minor, layout_hash, features, uuid, boot_id, maximum_bytes, fence_mode,
                geometry, policy,
            };
            prop_assert_eq!(Header::decode(&header.encode(hash_key), path()).unwrap(), header);
        }

        #[test]
        fn any_other_bits_are_refused(word in 0..HEADER_USED_WORDS, bits in 1u64..) {
            let mut words = header().encode((1, 2));
            words[word] ^= bits;
            prop_assert!(attach(&words).is_err());
        }

        /// Sizes that somebody made up, under a good checksum: an error or a layout that lies inside, never a panic.
        #[test]
        fn any_geometry_is_refused_or_lies_inside_the_file(
            sizes in proptest::array::uniform7(prop_oneof![any::<u64>(), 0u64..3000, (0u32..64).prop_map(|bit| 1 << bit)]),
            words in prop_oneof![any::<u64>(), (17u32..40).prop_map(|bit| 1 << bit)],
        ) {
            let geometry = Geometry {
                space_words: words, process_slots: sizes[0], participants: sizes[1], wait_buckets: sizes[2],
                superblock_words: sizes[3], region_superblocks: sizes[4], commit_superblocks: sizes[5], log_base: sizes[6],
            };
            let mut header = header();
            header.geometry = geometry;
            header.maximum_bytes = words.wrapping_mul(8);
            if let Ok(layout) = header.check(BOOT, header.maximum_bytes, path()) {
                prop_assert!(layout.tables_words() + layout.superblocks() * geometry.superblock_words <= words);
                prop_assert!(layout.superblocks() > layout.header_superblocks());
            }
        }
    }
}
