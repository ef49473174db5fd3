//! A reference to a block, the same in every process: `generation:24 | offset/16:36 | tag:4`.

use super::WordAddress;

/// Names a block. The generation makes a stale handle an error instead of somebody else's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(u64);

impl Handle {
    /// The tag of a handle among values.
    pub const TAG: u64 = 4;
    /// Generations wrap after this many reuses of one block.
    pub const GENERATION_MASK: u64 = (1 << 24) - 1;
    const OFFSET_MASK: u64 = (1 << 36) - 1;

    /// The block that starts at `block`, in this generation.
    #[inline]
    pub const fn new(block: WordAddress, generation: u64) -> Self {
        Self((generation & Self::GENERATION_MASK) << 40 | ((block.index() / 2) & Self::OFFSET_MASK) << 4 | Self::TAG)
    }
    /// The raw word.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.0
    }
    /// A raw word, if its tag is a handle's. That the block exists is another check (`Allocator::check`).
    #[inline]
    pub const fn from_raw(word: u64) -> Option<Self> {
        if word & 15 == Self::TAG { Some(Self(word)) } else { None }
    }
    /// First word of the block's header.
    #[inline]
    pub const fn block(self) -> WordAddress {
        WordAddress::new((self.0 >> 4 & Self::OFFSET_MASK) * 2)
    }
    /// The block's generation when the handle was made.
    #[inline]
    pub const fn generation(self) -> u64 {
        self.0 >> 40
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_handle_survives_packing(block in 0u64..1 << 36, generation in 0u64..1 << 24) {
            let address = WordAddress::new(block * 2);
            let handle = Handle::new(address, generation);
            prop_assert_eq!(handle.block(), address);
            prop_assert_eq!(handle.generation(), generation);
            prop_assert_eq!(Handle::from_raw(handle.raw()), Some(handle));
        }
    }
}
