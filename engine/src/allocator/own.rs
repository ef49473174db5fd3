//! What a participant remembers of its superblocks, so that a free of a small block looks at no header.
//!
//! A superblock of mine is of its class and stays mine until I give it back, or am recovered. So what is noted while it is mine is true
//! until then; giving it back strikes it, as it strikes entries of magazines. What is not remembered is looked up. (A header that damage
//! has changed meanwhile is not noticed here; the sweep and `fsck` do.)

use crate::arena::Layout;
use crate::word::WordAddress;

use super::class::SizeClass;
use super::superblock::Superblock;

/// Superblocks that are remembered, one for each remainder of their places: 8 KiB, which know 64 MiB of neighbours.
const PLACES: usize = 1024;

/// Superblocks of small blocks, all mine.
#[derive(Debug)]
pub struct Own {
    places: Box<[Noted; PLACES]>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Noted {
    /// The place in the space, counted in superblocks.
    place: u32,
    /// Words from its start in which blocks start. 0: nothing is noted.
    words: u16,
    class: SizeClass,
}

impl Default for Own {
    fn default() -> Self {
        // Made where it stays, as magazines are.
        let nothing = Noted { place: 0, words: 0, class: SizeClass::SMALLEST };
        let places: Box<[Noted]> = std::iter::repeat_n(nothing, PLACES).collect();
        Self { places: places.try_into().unwrap_or_else(|_| unreachable!("one for each remainder")) }
    }
}

impl Own {
    /// The class of a block that starts here, if the superblock is remembered.
    #[inline(always)]
    pub fn class_of(&self, layout: &Layout, block: WordAddress) -> Option<SizeClass> {
        let (place, offset) = layout.place_of(block);
        let noted = &self.places[place as usize % PLACES];
        let starts_here =
            u64::from(noted.place) == place && offset < u64::from(noted.words) && noted.class.starts_at(offset);
        starts_here.then_some(noted.class)
    }

    /// Notes a superblock of mine.
    pub fn note(&mut self, layout: &Layout, superblock: &Superblock, class: SizeClass) {
        let (place, _) = layout.place_of(superblock.first);
        // Superblocks are of 8,192 words; one so large that it does not fit is looked up.
        let words = class.blocks(layout.geometry()) * class.words();
        if let (Ok(place), Ok(words)) = (u32::try_from(place), u16::try_from(words)) {
            self.places[place as usize % PLACES] = Noted { place, words, class };
        }
    }

    /// Forgets one that is mine no more.
    pub fn forget(&mut self, layout: &Layout, superblock: &Superblock) {
        let (place, _) = layout.place_of(superblock.first);
        let noted = &mut self.places[place as usize % PLACES];
        if u64::from(noted.place) == place {
            noted.words = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Geometry;

    fn layout() -> Layout {
        Layout::new(Geometry::for_bytes(256 << 20).unwrap()).unwrap()
    }

    #[test]
    fn a_noted_superblock_has_blocks_where_its_class_has_them_and_nowhere_else() {
        let layout = layout();
        for number in 0..SizeClass::COUNT as u64 {
            let class = SizeClass::from_number(number, layout.geometry()).unwrap();
            let superblock = Superblock::at(&layout, 100 + number).unwrap();
            let mut own = Own::default();
            own.note(&layout, &superblock, class);
            for offset in 0..layout.geometry().superblock_words {
                let is_start = offset % class.words() == 0 && offset / class.words() < class.blocks(layout.geometry());
                let found = own.class_of(&layout, superblock.first.offset(offset));
                assert_eq!(found, is_start.then_some(class), "{class:?} at {offset}");
            }
        }
    }

    #[test]
    fn one_that_is_too_large_is_looked_up() {
        let geometry = Geometry { superblock_words: 1 << 17, ..Geometry::for_bytes(256 << 20).unwrap() };
        let layout = Layout::new(geometry).unwrap();
        let superblock = Superblock::at(&layout, 10).unwrap();
        let mut own = Own::default();
        own.note(&layout, &superblock, SizeClass::SMALLEST);
        assert_eq!(own.class_of(&layout, superblock.first), None);
    }

    #[test]
    fn what_is_forgotten_or_was_never_noted_is_not_known() {
        let layout = layout();
        let mut own = Own::default();
        assert_eq!(own.class_of(&layout, WordAddress::new(0)), None, "the space begins with tables");
        let [one, same_remainder, other] =
            [100, 100 + PLACES as u64, 101].map(|number| Superblock::at(&layout, number).unwrap());
        own.note(&layout, &one, SizeClass::SMALLEST);
        own.forget(&layout, &same_remainder);
        own.forget(&layout, &other);
        assert_eq!(own.class_of(&layout, one.first), Some(SizeClass::SMALLEST));
        assert_eq!(own.class_of(&layout, same_remainder.first), None);
        own.note(&layout, &same_remainder, SizeClass::SMALLEST);
        assert_eq!(own.class_of(&layout, one.first), None, "another one is noted in its place");
        own.forget(&layout, &same_remainder);
        assert_eq!(own.class_of(&layout, same_remainder.first), None);
    }
}
