//! Objects on transactions.
