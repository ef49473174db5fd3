//! One axis: its range, whether it is logarithmic, its ticks; for plotters a coordinate.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// How an axis begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Floor {
    /// At this value, if it is linear.
    At(f64),
    /// Always logarithmic: there is no smallest value.
    Logarithmic,
    /// Exactly this range, linear.
    Fixed(f64, f64),
}

/// Values further apart than this factor get a logarithmic axis.
const LINEAR_FACTOR: f64 = 10.0;
/// A linear axis that does not begin at 0 goes at least so far, times its begin: ticks that differ by less look alike.
const ROOM: f64 = 1.5;
/// At most so many ticks on a linear axis.
const TICKS_MAX: f64 = 6.0;
/// Up to so many decades have ticks at 2 and 5 as well.
const FINE_DECADES: f64 = 2.5;
/// More decades than so get a tick at every second or third only.
const DECADES_MAX: usize = 7;

/// A range with its ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What stands below it; nothing if the title says it.
    name: &'static str,
    logarithmic: bool,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// The axis that shows all `values`. Of none it shows the range from 0 to 1.
    pub fn fit(values: impl IntoIterator<Item = f64>, floor: Floor) -> Self {
        if let Floor::Fixed(low, high) = floor {
            return Self::linear(low, high);
        }
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let (smallest, largest) = (positive().fold(f64::INFINITY, f64::min), positive().fold(0.0, f64::max));
        if largest == 0.0 {
            return Self::linear(0.0, 1.0);
        }
        match floor {
            Floor::At(low) if largest / smallest <= LINEAR_FACTOR => Self::linear(low, largest.max(low * ROOM)),
            _ => Self::log(smallest, largest),
        }
    }

    /// Powers of two from 1 to at least `most`: participants.
    pub fn counts(most: u32) -> Self {
        let high = most.max(2).next_power_of_two();
        let ticks = (0..=high.ilog2()).map(|power| f64::from(1u32 << power)).collect();
        // Half a step of room on both sides, so that no point sits on the frame.
        Self { name: "participants", logarithmic: true, low: 0.84, high: f64::from(high) * 1.19, ticks }
    }

    /// Seconds, from 0 to at least `most`.
    pub fn seconds(most: usize) -> Self {
        Self { name: "seconds", ..Self::linear(0.0, most as f64) }
    }

    /// From 0 to `count`, a step of 1 for each thing that stands side by side. No ticks: they have names.
    pub fn places(count: usize) -> Self {
        Self { name: "", logarithmic: false, low: 0.0, high: count.max(1) as f64, ticks: Vec::new() }
    }

    fn linear(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let raw = (high - low) / (TICKS_MAX - 1.0);
        let power = 10f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= raw * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let steps = ((high - low) / step - 1e-9).ceil().max(1.0);
        let ticks = (0..=steps as u32).map(|number| low + f64::from(number) * step).collect();
        // A little room above, for points at the top and their bars.
        Self { name: "", logarithmic: false, low, high: low + steps * step * 1.04, ticks }
    }

    fn log(smallest: f64, largest: f64) -> Self {
        let fine = (largest / smallest).log10() <= FINE_DECADES;
        let factors: &[f64] = if fine { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let decades = smallest.log10().floor() as i32 - 1..=largest.log10().ceil() as i32 + 1;
        let all: Vec<f64> =
            decades.flat_map(|power| factors.iter().map(move |factor| factor * 10f64.powi(power))).collect();
        // The last tick that is not above the smallest value, and the first that is not below the largest.
        let first = all.iter().rposition(|tick| *tick <= smallest * 1.001).unwrap_or(0);
        let last = all.iter().position(|tick| *tick >= largest * 0.999).unwrap_or(all.len() - 1).max(first + 1);
        let every = if fine { 1 } else { (last - first).div_ceil(DECADES_MAX) };
        let ticks = all[first..=last].iter().copied().step_by(every).collect();
        Self { name: "", logarithmic: true, low: all[first] / 1.04, high: all[last] * 1.04, ticks }
    }

    /// Where a value stands, in a space of equal steps. Values outside stand at the edge: nothing is drawn outside the frame.
    fn place(&self, value: f64) -> f64 {
        let value = if value.is_nan() { self.low } else { value.clamp(self.low, self.high) };
        if self.logarithmic { value.ln() } else { value }
    }

    /// What stands below it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether equal distances mean equal factors.
    pub fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let (low, high) = (self.place(self.low), self.place(self.high));
        let part = (self.place(*value) - low) / (high - low);
        from + (part * f64::from(to - from)).round() as i32
    }

    /// The ticks; there are no finer lines between them.
    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

/// Whoever draws gives a formatter of its own, which knows the unit.
impl ValueFormatter<f64> for Axis {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_inside_and_some_ticks_too() {
        let sets: [&[f64]; 8] = [
            &[1.0, 3.0],
            &[1.0, 1e7],
            &[5.0],
            &[1e-3, 2e12],
            &[7e5, 8e5],
            &[0.0, 4.0],
            &[1.0, 1.0],
            &[999.0, 1001.0, 31_000.0],
        ];
        for values in sets {
            for floor in [Floor::At(0.0), Floor::At(1.0), Floor::Logarithmic] {
                let axis = Axis::fit(values.iter().copied(), floor);
                let range = axis.range();
                assert!(range.start.is_finite() && range.start < range.end, "{values:?} {axis:?}");
                assert!((2..=12).contains(&axis.ticks.len()), "{values:?} {axis:?}");
                assert!(axis.ticks.iter().all(|tick| range.contains(tick)), "{values:?} {axis:?}");
                for value in values.iter().filter(|value| **value > 0.0) {
                    assert!(range.contains(value) || floor == Floor::At(1.0), "{value} in {axis:?}");
                    assert!((0..=1000).contains(&axis.map(value, (0, 1000))), "{value} in {axis:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_and_nonsense_still_have_an_axis() {
        for values in [vec![], vec![0.0], vec![f64::NAN, f64::INFINITY], vec![-1.0]] {
            let axis = Axis::fit(values, Floor::Logarithmic);
            assert!(axis.range().start < axis.range().end);
            assert_eq!((axis.map(&f64::NAN, (0, 9)), axis.map(&f64::INFINITY, (0, 9))), (0, 9));
        }
    }

    #[test]
    fn ticks_can_be_told_apart_where_values_hardly_differ() {
        let axis = Axis::fit([1.0, 1.0001], Floor::At(1.0));
        assert!(axis.ticks.windows(2).all(|pair| pair[1] - pair[0] > 0.09), "{axis:?}");
    }

    #[test]
    fn participants_stand_at_powers_of_two() {
        assert_eq!(Axis::counts(64).ticks, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]);
        assert_eq!(Axis::counts(5).ticks.last(), Some(&8.0));
        assert_eq!(Axis::counts(0).ticks, [1.0, 2.0]);
    }

    #[test]
    fn seconds_begin_at_none_and_reach_the_last() {
        assert_eq!(Axis::seconds(60).ticks, [0.0, 20.0, 40.0, 60.0]);
        assert!(Axis::seconds(0).range().start < Axis::seconds(0).range().end);
        assert_eq!([Axis::seconds(1).name(), Axis::counts(1).name()], ["seconds", "participants"]);
    }
}
