//! The crate `stm-core`: transactional memory by variables behind reference counts, read and locked at commit, validated by
//! comparing pointers. No contention management: who fails tries again at once.
//!
//! Fair use: a `TVar<i64>` a variable, `atomically` around each operation, and for a single read `read_atomic`, which its
//! documentation recommends as the more efficient equal. Threads of one process only. A read inside a transaction may see two
//! states at once (it is not opaque), which costs nothing here, for bodies only add.

super::stm::contestant!(StmCore, stm_core);
