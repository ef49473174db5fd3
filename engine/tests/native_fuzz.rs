//! What a fuzzer calls with inputs that it has searched for, called with a bounded number of random ones, and with those that a search
//! begins with.
//!
//! The danger: shared memory is everybody's. A file that is wrong somewhere must not take along who opens it.

#[path = "../fuzz/entry.rs"]
mod entry;

use entry::{attach_and_use, overwriting, seeds, used_words};
use proptest::prelude::*;

/// Of each so many; `PSO_DAMAGES=20000` looks further.
fn cases() -> ProptestConfig {
    let cases = std::env::var("PSO_DAMAGES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(150);
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) }
}

#[test]
fn the_inputs_that_a_search_begins_with() {
    let attached = seeds().iter().filter(|seed| attach_and_use(seed)).count();
    // Some are wrong in the header, and no file is none.
    assert!(attached > seeds().len() / 2 && attached < seeds().len(), "{attached} of {}", seeds().len());
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn files_of_any_bytes(mut input in prop::collection::vec(any::<u8>(), 0..20_000), header: bool) {
        // Those of a space begin with its header, which is random by no chance.
        if header && let Some(seed) = seeds().get(2) {
            let end = input.len().min(seed.len());
            input[..end].copy_from_slice(&seed[..end]);
        }
        attach_and_use(&input);
    }

    #[test]
    fn spaces_with_wrong_words(
        places in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<u64>(), any::<bool>()), 1..12),
    ) {
        let used = used_words();
        let words: Vec<_> = places
            .into_iter()
            .map(|(at, kind, value, anywhere)| {
                let at = if anywhere { (value >> 16) as u32 & 0xff_ffff } else { used[at.index(used.len())] };
                // Anything; a number; a handle of a block that may be; nothing.
                let word = match kind {
                    0 => value,
                    1 => value & 0xffff,
                    2 => value & 0x1_ffff0 | 4,
                    _ => 0,
                };
                (at, word)
            })
            .collect();
        attach_and_use(&overwriting(&words));
    }
}
