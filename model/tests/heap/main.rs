//! The engine on ordinary memory, on real threads or one alone: what each part of it must do, with processes that die at their
//! n-th access.
//!
//! One program for all of them: the engine is built for this platform once. The tools that explore schedules, and the crash stage
//! that two of them share, have programs of their own beside it.

mod allocator;
mod before;
mod buckets;
mod collection;
mod composition;
mod damaged_record;
mod forgotten;
mod forked;
mod fsck;
mod history;
mod holding;
mod large_death;
mod long_attempts;
mod million;
mod object;
mod one_preemption;
mod passed;
mod patience;
mod readers;
mod reclamation;
mod repair;
mod repair_alone;
mod scenes_on_threads;
mod silence;
mod standings;
mod support;
mod transaction;
mod undecided;
mod wild_words;
mod written_back;
