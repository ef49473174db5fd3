//! `report.html`: all figures with their sentences, every number as a table, and where each number comes from. One file that needs
//! nothing else: no script, no font, no address. Light or dark as the reader's system is.

mod page;
mod rows;

pub use page::page;
pub use rows::rows;
