//! A table for people: columns as wide as they must be, the first to the left, the others to the right.

use std::fmt::{Display, Formatter, Result};

/// Rows of cells under a row of headings.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its headings.
    pub fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![headings.into_iter().map(Into::into).collect()] }
    }
    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl Display for Table {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                let padded = if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
                line.push_str(&padded);
            }
            writeln!(formatter, "  {}", line.trim_end())?;
            if number == 0 {
                writeln!(formatter, "  {}", "-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)))?;
            }
        }
        Ok(())
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as people read them.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Nanoseconds as people read them.
pub fn duration(ns: u64) -> String {
    const UNITS: [(&str, f64); 4] = [("ns", 1e3), ("us", 1e6), ("ms", 1e9), ("s", f64::INFINITY)];
    let number = ns as f64;
    let (unit, end) = UNITS.into_iter().find(|(_, end)| number < *end).unwrap_or(UNITS[3]);
    match unit {
        "ns" => format!("{ns} ns"),
        "s" => format!("{:.2} s", number / 1e9),
        unit => format!("{:.1} {unit}", number * 1e3 / end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        for (number, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (4 << 30, "4.0 GiB")] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        let cases = [(0, "0 ns"), (999, "999 ns"), (1500, "1.5 us"), (2_000_000, "2.0 ms"), (1_500_000_000, "1.50 s")];
        for (number, text) in cases {
            assert_eq!(duration(number), text);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["what", "n"]);
        table.row(["a", "100"]);
        assert_eq!(table.to_string(), "  what    n\n  ---------\n  a     100\n");
    }
}
