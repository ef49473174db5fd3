//! The crate `fast-stm`: the successor of `stm-core`, of the same design (reference-counted values, read and locked at commit,
//! validated by comparing pointers), with less overhead. No contention management: who fails tries again at once.
//!
//! Fair use: its default features, a `TVar<i64>` a variable, `atomically` around each operation, and for a single read
//! `read_atomic`, which its documentation recommends as the more efficient equal. Threads of one process only. A read inside a
//! transaction may see two states at once (it is not opaque), which costs nothing here, for bodies only add.

super::stm::contestant!(FastStm, fast_stm);
