//! What is drawn of a measurement: a number, its unit, its axis.

use pso_sim::measure::Measurement;

/// Which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Commits a second of all participants.
    Throughput,
    /// 1 where no attempt was in vain.
    AttemptsPerCommit,
    /// Half of the transactions took at most so long, ns.
    LatencyP50,
    /// 99 of 100 took at most so long, ns.
    LatencyP99,
    /// The longest, ns.
    LatencyMax,
    /// Jain's index of the participants' rates.
    Jain,
    /// Rate of the slowest participant over that of the fastest.
    SlowestOverFastest,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number a second: `1.2 M/s`.
    PerSecond,
    /// Time in ns: `3.4 µs`.
    Time,
    /// No unit.
    Plain,
}

impl Quantity {
    /// The number.
    pub fn of(self, measurement: &Measurement) -> f64 {
        match self {
            Self::Throughput => measurement.throughput(),
            Self::AttemptsPerCommit => measurement.attempts_per_commit(),
            Self::LatencyP50 => measurement.latency.p50 as f64,
            Self::LatencyP99 => measurement.latency.p99 as f64,
            Self::LatencyMax => measurement.latency.max as f64,
            Self::Jain => measurement.jain(),
            Self::SlowestOverFastest => measurement.slowest_over_fastest(),
        }
    }

    /// Its short name, as a label beside a curve.
    pub fn short(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::AttemptsPerCommit => "attempts",
            Self::LatencyP50 => "p50",
            Self::LatencyP99 => "p99",
            Self::LatencyMax => "max",
            Self::Jain => "Jain",
            Self::SlowestOverFastest => "slow/fast",
        }
    }

    /// How it is written.
    pub fn unit(self) -> Unit {
        match self {
            Self::Throughput => Unit::PerSecond,
            Self::LatencyP50 | Self::LatencyP99 | Self::LatencyMax => Unit::Time,
            Self::AttemptsPerCommit | Self::Jain | Self::SlowestOverFastest => Unit::Plain,
        }
    }
}

impl Unit {
    /// `number` with three digits and its unit.
    pub fn write(self, number: f64) -> String {
        match self {
            Self::PerSecond => scaled(number, &[(1e9, " G/s"), (1e6, " M/s"), (1e3, " k/s"), (1.0, " /s")]),
            Self::Time => scaled(number, &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")]),
            Self::Plain => digits(number),
        }
    }
}

fn scaled(number: f64, steps: &[(f64, &str)]) -> String {
    if number == 0.0 {
        return "0".into();
    }
    // What would be rounded up to 1,000 of a unit is 1 of the next.
    let fits = |step: f64| number.abs() >= step * 0.9995;
    let (step, unit) = steps.iter().find(|(step, _)| fits(*step)).or(steps.last()).copied().unwrap_or((1.0, ""));
    format!("{}{unit}", digits(number / step))
}

/// Three significant digits, no needless zeros behind the point.
fn digits(number: f64) -> String {
    let places = match number.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 || size == 0.0 => 2,
        _ => 3,
    };
    let text = format!("{number:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_the_unit_that_fits() {
        for (unit, number, text) in [
            (Unit::PerSecond, 1_234_567.0, "1.23 M/s"),
            (Unit::PerSecond, 999_999.0, "1 M/s"),
            (Unit::PerSecond, 12.0, "12 /s"),
            (Unit::Time, 4_000_000.0, "4 ms"),
            (Unit::Time, 1_530.0, "1.53 µs"),
            (Unit::Time, 0.0, "0"),
            (Unit::Plain, 1.0, "1"),
            (Unit::Plain, 0.9987, "0.999"),
            (Unit::Plain, 0.05, "0.05"),
            (Unit::Plain, 1234.5, "1234"),
        ] {
            assert_eq!(unit.write(number), text);
        }
    }
}
