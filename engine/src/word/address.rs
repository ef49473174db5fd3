//! Where a word is: an index of 64-bit words from the start of the space, the same in every process.

/// Index of a 64-bit word in the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WordAddress(u64);

impl WordAddress {
    /// The word with this index. The caller has checked that it lies inside the space.
    #[inline]
    pub const fn new(index: u64) -> Self {
        Self(index)
    }
    /// Index of the word.
    #[inline]
    pub const fn index(self) -> u64 {
        self.0
    }
    /// Offset in bytes from the start of the space.
    #[inline]
    pub const fn byte_offset(self) -> u64 {
        self.0 * 8
    }
    /// The word `words` further on.
    #[inline]
    pub const fn offset(self, words: u64) -> Self {
        Self(self.0 + words)
    }
}

/// Words of a cell.
pub const CELL_WORDS: u64 = 2;

/// A mutable cell: two words, version or lock, then value. Always at an even word, so that a cell never straddles a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellAddress(u64);

impl CellAddress {
    /// The cell whose first word is `first`.
    #[inline]
    pub const fn new(first: WordAddress) -> Self {
        Self(first.index())
    }
    /// Version or lock.
    #[inline]
    pub const fn lock_word(self) -> WordAddress {
        WordAddress::new(self.0)
    }
    /// The committed value.
    #[inline]
    pub const fn value_word(self) -> WordAddress {
        WordAddress::new(self.0 + 1)
    }
    /// The cell `cells` further on in an array of cells.
    #[inline]
    pub const fn offset(self, cells: u64) -> Self {
        Self(self.0 + cells * CELL_WORDS)
    }
    /// Index of the first word: what a record entry and a read log keep.
    #[inline]
    pub const fn index(self) -> u64 {
        self.0
    }
}
