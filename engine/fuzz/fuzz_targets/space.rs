//! The entry for libFuzzer: `scripts/fuzz.sh`. What it does is in `entry.rs`, which an ordinary test calls, too.

#![no_main]

#[path = "../entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    entry::attach_and_use(input);
});
