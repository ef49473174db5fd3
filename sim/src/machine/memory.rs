//! The words of the simulated machine and the state of their lines, in pages that exist once they are touched.

use super::line::Line;

const LINE_WORDS: usize = 8;
const PAGE_LINES: usize = 64;
const PAGE_WORDS: usize = LINE_WORDS * PAGE_LINES;

struct Page {
    words: [u64; PAGE_WORDS],
    lines: [Line; PAGE_LINES],
}

/// Zeroed words.
pub struct Memory {
    pages: Vec<Option<Box<Page>>>,
    words: u64,
}

impl Memory {
    /// `words` words, all 0 and untouched.
    pub fn new(words: u64) -> Self {
        let pages = (words as usize).div_ceil(PAGE_WORDS);
        Self { pages: std::iter::repeat_with(|| None).take(pages).collect(), words }
    }

    /// A word and its line. Panics beyond the end: no address of the engine's leads there.
    #[inline]
    pub fn at(&mut self, index: u64) -> (&mut u64, &mut Line) {
        assert!(index < self.words, "word {index} of {}", self.words);
        let index = index as usize;
        let page = self.pages[index / PAGE_WORDS].get_or_insert_with(Self::page);
        let within = index % PAGE_WORDS;
        (&mut page.words[within], &mut page.lines[within / LINE_WORDS])
    }

    #[cold]
    fn page() -> Box<Page> {
        Box::new(Page { words: [0; PAGE_WORDS], lines: [Line::default(); PAGE_LINES] })
    }

    /// Number of words.
    pub fn words(&self) -> u64 {
        self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_zero_until_written_and_eight_share_a_line() {
        let mut memory = Memory::new(10_000);
        assert_eq!(*memory.at(9_999).0, 0);
        *memory.at(1_024).0 = 7;
        assert_eq!((*memory.at(1_024).0, *memory.at(1_025).0), (7, 0));
        let line = |memory: &mut Memory, index| std::ptr::from_mut(memory.at(index).1).addr();
        assert_eq!(line(&mut memory, 8), line(&mut memory, 15));
        assert_ne!(line(&mut memory, 15), line(&mut memory, 16));
    }
}
