//! Spaces with wrong words, checked and repaired.
//!
//! The danger: a checker or a repairer that follows a wrong word dies of it, or never ends; or it frees what somebody still needs, for it
//! took a wrong word for a right one.

mod native_support;

use std::collections::HashSet;

use native_support::damage::{Damage, any_damage, made_anew, precious, sound, space_of};
use proptest::prelude::*;
use pso_engine::arena::{Arena, Layout};
use pso_engine::fsck::{Finding, Mended, Repaired, fsck, fsck_at_rest, repair};
use pso_engine::platform::native::Native;
use pso_engine::platform::{Memory, Ordering::Relaxed};
use pso_engine::space::Space;

fn findings(platform: &Native, layout: Layout) -> Vec<Finding> {
    let space = Space::join(platform.clone(), layout).unwrap();
    fsck(&space);
    let findings = fsck_at_rest(&space);
    space.leave();
    findings
}

fn repaired(platform: &Native, layout: Layout) -> Repaired {
    let repaired = repair(platform.clone(), layout).unwrap();
    // Each has a sentence.
    repaired.mended.iter().for_each(|mended| assert!(!mended.to_string().is_empty()));
    repaired.left.iter().for_each(|left| assert!(!left.to_string().is_empty()));
    repaired
}

fn damaged_and_repaired(damages: &[Damage]) {
    damaged_and_repaired_in(precious(), damages);
}

fn damaged_and_repaired_in(words: &[u64], damages: &[Damage]) {
    let (platform, layout) = space_of(words);
    let mut broken = HashSet::new();
    for damage in damages {
        let (at, word) = damage.of(&layout, words);
        platform.store(at, word, Relaxed);
        broken.insert(at.index());
    }
    let arena = Arena::new(platform.clone(), layout);
    let before = sound(&arena, &broken);
    findings(&platform, layout);
    let first = repaired(&platform, layout);
    assert_eq!(findings(&platform, layout), first.left, "a second check says what the repair said");
    let mended: Vec<_> = first.mended.iter().filter(|mended| !matches!(mended, Mended::Freed { .. })).collect();
    for (at, word) in before {
        let now = platform.load(at, Relaxed);
        assert_eq!(now, word, "word {} was reachable and whole: {mended:?}, left {:?}", at.index(), first.left);
    }
    let second = repaired(&platform, layout);
    assert_eq!((&second.mended, &second.left), (&vec![], &first.left), "after {mended:?}");
}

#[test]
fn a_whole_space_loses_what_nothing_names_and_nothing_else() {
    let (platform, layout) = space_of(precious());
    assert_eq!(findings(&platform, layout), []);
    let before = sound(&Arena::new(platform.clone(), layout), &HashSet::new());
    assert!(before.len() > 20_000, "{} words are reachable", before.len());
    let first = repaired(&platform, layout);
    assert_eq!((first.left, first.unnamed), (vec![], None));
    assert!(!first.mended.is_empty(), "two dicts were replaced, and nobody has collected them");
    assert!(before.iter().all(|(at, word)| platform.load(*at, Relaxed) == *word));
    assert_eq!(repaired(&platform, layout), Repaired::default());
}

/// The danger: a header that says that a run begins there makes one block of many, and what lies behind the first is taken for its words.
#[test]
fn what_a_wrong_header_makes_one_block_of_is_not_written_to() {
    let damage = |part, place, kind, value| Damage { part, place, kind, value };
    for _ in 0..20 {
        damaged_and_repaired_in(
            &made_anew(),
            &[
                // Superblocks of small blocks become runs of 25 and of 15.
                damage(4, 4_349_315_354_798_151_397, 0, 62),
                damage(4, 6_402_773_993_423_490_737, 4, 828_622_697_438_278_596),
                // The first block there becomes one of cells.
                damage(6, 9_421_299_974_536_122_584, 1, 6_184_456_629_909_882_186),
            ],
        );
    }
}

/// Of each property so many; `PSO_DAMAGES=20000` looks further.
fn cases() -> ProptestConfig {
    let cases = std::env::var("PSO_DAMAGES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400);
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn one_wrong_word_is_mended_or_left_and_costs_nothing_else(damage in any_damage()) {
        damaged_and_repaired(&[damage]);
    }

    #[test]
    fn many_wrong_words_are_mended_or_left_and_cost_nothing_else(damages in prop::collection::vec(any_damage(), 2..24)) {
        damaged_and_repaired(&damages);
    }
}
