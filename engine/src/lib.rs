//! The shared heap of pso: mutable objects in memory that several processes map, changed in transactions.
//!
//! One engine, four worlds: everything here is generic over [`platform::Platform`], so the source that ships is the source
//! that models check and the simulator runs. From bottom to top, each module above all that it uses:
//!
//! [`word`] bit layouts · [`platform`] memory, time, the kernel · [`arena`] where things are · [`shape`] where the references of
//! a block are · [`allocator`] blocks · [`participant`] who runs transactions · [`waiting`] bells and buckets · [`contention`]
//! who yields · [`reclamation`] what was replaced · [`collection`] what nothing names any more · [`holding`] what processes
//! hold · [`recovery`] what the dead left · [`transaction`] the protocol · [`object`] dict, list, queue and
//! values · [`space`] the face · [`mod@fsck`] what must hold · [`waits`] who waits for whom · [`mod@census`] what
//! the blocks are · [`trace`] transactions
//! written down.
//!
//! # Words with one meaning
//!
//! **participant** who runs transactions; a slot in the arena, belongs to a process, borrowed by a thread. **transaction** a
//! body until it commits. **attempt** one run of it. **cell** 16 bytes: version or lock, value. **record** an attempt's
//! writes, in the participant's ring. **read log** the cells an attempt has read. **version** the stamp of a cell's commit: time on
//! the version clock, writer, count. **seq** a participant's attempt number. **generation** of a block's reuse, or of a slot's. **tick** the
//! coarse shared time that priority is made of. **bell** the one word that a participant sleeps on.
pub mod allocator;
pub mod arena;
pub mod census;
pub mod collection;
pub mod contention;
pub mod error;
pub mod fsck;
pub mod holding;
pub mod object;
pub mod participant;
pub mod platform;
pub mod reclamation;
pub mod recovery;
pub mod shape;
pub mod space;
pub mod trace;
pub mod transaction;
pub mod waiting;
pub mod waits;
pub mod word;
