//! What several runs of one point gave: the middle and how far they lie apart.

use crate::machine::median;

/// Lowest, median and highest of some runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The lowest.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The highest.
    pub high: f64,
    /// How many runs.
    pub runs: usize,
}

impl Spread {
    /// That of `values`; none of none. What is not a number is left out.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        if values.is_empty() {
            return None;
        }
        Some(Self {
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            median: median(&values),
            high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            runs: values.len(),
        })
    }

    /// As text: the median, and the range if there is more than one run.
    pub fn write(&self, write: impl Fn(f64) -> String) -> String {
        let (low, middle, high) = (write(self.low), write(self.median), write(self.high));
        if self.runs == 1 || (low == middle && high == middle) { middle } else { format!("{middle} ({low} to {high})") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_goes_from_the_lowest_to_the_highest() {
        let spread = Spread::of([3.0, 1.0, f64::NAN, 10.0]).unwrap();
        assert_eq!(spread, Spread { low: 1.0, median: 3.0, high: 10.0, runs: 3 });
        assert_eq!(spread.write(|number| number.to_string()), "3 (1 to 10)");
        assert_eq!(Spread::of([2.0]).unwrap().write(|number| number.to_string()), "2");
        assert_eq!(Spread::of([]), None);
    }
}
