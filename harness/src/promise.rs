//! What the project has promised itself, set beside what was measured.

use serde::{Deserialize, Serialize};

use crate::table::Table;

/// One promise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Promise {
    /// Of what.
    pub what: String,
    /// Where the number has to lie.
    pub wanted: Bound,
    /// Where it lies.
    pub measured: f64,
}

/// Where a number has to lie.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Not below.
    AtLeast(f64),
    /// Not above.
    AtMost(f64),
}

impl Promise {
    /// Whether it is kept.
    pub fn holds(&self) -> bool {
        match self.wanted {
            Bound::AtLeast(least) => self.measured >= least,
            Bound::AtMost(most) => self.measured <= most,
        }
    }
}

/// A line for each.
pub fn table(promises: &[Promise]) -> Table {
    let mut table = Table::new(["promise", "wanted", "measured", ""]);
    for promise in promises {
        let wanted = match promise.wanted {
            Bound::AtLeast(least) => format!(">= {least}"),
            Bound::AtMost(most) => format!("<= {most}"),
        };
        let measured = promise.measured;
        let measured = if measured < 0.1 { format!("{measured:.4}") } else { format!("{measured:.2}") };
        table.row([promise.what.clone(), wanted, measured, if promise.holds() { "ok" } else { "MISSED" }.into()]);
    }
    table
}
