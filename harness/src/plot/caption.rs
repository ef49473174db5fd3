//! The sentences below a chart: what it shows and what it does not, made of the very numbers that it draws.

use pso_sim::measure::{Measurement, World};

use super::agreement::agreements;
use super::group::{Group, ended_well, groups};
use super::input::{verdict_words, world_word};
use super::quantity::Quantity;

/// So many runs that did not end well are told one by one.
const BAD_MAX: usize = 6;

/// The sentences below one chart.
pub struct Caption {
    /// What it shows.
    pub shows: String,
    /// What it does not.
    pub lacks: String,
}

/// For the chart of one trace.
pub fn of_trace(measurements: &[&Measurement]) -> Caption {
    let groups = groups(measurements);
    let mut shows: Vec<String> = [World::Real, World::Simulated]
        .into_iter()
        .filter_map(|world| worlds(&groups, world))
        .map(|text| format!("{text}."))
        .collect();
    if groups.is_empty() {
        shows.push("No run ended well, so there is nothing to draw.".into());
    }
    shows.extend(nearness(measurements));
    shows.extend(gain(&groups));
    let mut lacks = bad_runs(measurements);
    lacks.extend(beyond(measurements));
    Caption { shows: shows.join(" "), lacks: lacks.join(" ") }
}

/// For the chart of the throughput of all traces.
pub fn of_overview(traces: &[Vec<&Measurement>]) -> Caption {
    let mut deviations: Vec<f64> = Vec::new();
    for measurements in traces {
        deviations.extend(agreements(measurements).iter().map(|each| each.deviation().abs()));
    }
    deviations.sort_by(f64::total_cmp);
    let mut shows = format!("Throughput of {} traces on the same horizontal axis; vertical axes differ.", traces.len());
    if let (Some(worst), middle) = (deviations.last(), crate::machine::median(&deviations)) {
        shows.push_str(&format!(
            " Where a simulated and a real run of the same cores and participants exist ({} points), the simulated throughput is off \
             the real median by {} in the middle and {} at worst.",
            deviations.len(),
            percent(middle),
            percent(*worst)
        ));
    }
    let all: Vec<&Measurement> = traces.iter().flatten().copied().collect();
    let mut lacks = bad_runs(&all);
    lacks.extend(beyond(&all));
    Caption { shows, lacks: lacks.join(" ") }
}

/// `12 %`.
pub fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

/// `+12 %` or `−3 %`.
pub fn signed_percent(part: f64) -> String {
    let rounded = (part * 100.0).round();
    if rounded < 0.0 { format!("−{:.0} %", -rounded) } else { format!("+{:.0} %", rounded + 0.0) }
}

/// `1, 2 and 8`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn worlds(groups: &[Group<'_>], world: World) -> Option<String> {
    let of_world: Vec<&Group<'_>> = groups.iter().filter(|group| group.name.world() == world).collect();
    let points: Vec<_> = of_world.iter().flat_map(|group| group.points(Quantity::Throughput)).collect();
    let (fewest, most) =
        (points.iter().map(|each| each.spread.runs).min()?, points.iter().map(|each| each.spread.runs).max()?);
    let runs = if fewest == most { format!("{most}") } else { format!("{fewest} to {most}") };
    let runs = if most == 1 { "one run".into() } else { format!("{runs} runs") };
    let counts = |pick: fn(u32, u32) -> u32| points.iter().map(|each| each.participants).reduce(pick).unwrap_or(0);
    let (low, high) = (counts(u32::min), counts(u32::max));
    let participants =
        if low == high { format!("{low} participants") } else { format!("{low} to {high} participants") };
    let names: Vec<String> = of_world.iter().map(|group| group.name.text()).collect();
    let what = match world {
        World::Real => "Points are real processes, medians with a bar from the lowest to the highest run",
        World::Simulated => "Lines are simulated",
    };
    Some(format!("{what} ({}; {participants}, {runs} a point)", names.join("; ")))
}

fn nearness(measurements: &[&Measurement]) -> Option<String> {
    let found = agreements(measurements);
    if found.is_empty() {
        return None;
    }
    let at: Vec<String> = found.iter().map(|each| each.participants.to_string()).collect();
    let off: Vec<String> = found.iter().map(|each| signed_percent(each.deviation())).collect();
    let cores = found[0].cores;
    Some(format!(
        "On {cores} cores the simulated throughput differs from the real median by {} at {} participants.",
        list(&off),
        list(&at)
    ))
}

/// What the curve with the most points does from its first to its last point.
fn gain(groups: &[Group<'_>]) -> Option<String> {
    let widest = groups.iter().max_by_key(|group| group.points(Quantity::Throughput).len())?;
    let points = widest.points(Quantity::Throughput);
    let (first, last) = (points.first()?, points.last()?);
    if first.participants == last.participants || first.spread.median == 0.0 {
        return None;
    }
    Some(format!(
        "From {} to {} participants throughput changes by a factor of {:.1} ({}).",
        first.participants,
        last.participants,
        last.spread.median / first.spread.median,
        widest.name.text()
    ))
}

fn bad_runs(measurements: &[&Measurement]) -> Vec<String> {
    let tell = |each: &Measurement| {
        let Measurement { trace, cores, participants, seed, .. } = each;
        let (world, what) = (world_word(each.world), verdict_words(&each.verdict));
        format!("{trace}, {world}, {cores} cores, {participants} participants, seed {seed}: {what}")
    };
    let bad: Vec<&&Measurement> = measurements.iter().filter(|each| !ended_well(each)).collect();
    if bad.is_empty() {
        return Vec::new();
    }
    let more = bad.len().saturating_sub(BAD_MAX);
    let more = if more > 0 { format!("; and {more} more, see the table") } else { String::new() };
    let first: Vec<String> = bad.into_iter().take(BAD_MAX).map(|each| tell(each)).collect();
    vec![format!("Not drawn, because they did not end well: {}{more}.", first.join("; "))]
}

/// What the numbers do not reach.
fn beyond(measurements: &[&Measurement]) -> Vec<String> {
    let most = |world: World, of: fn(&Measurement) -> u32| {
        measurements.iter().filter(|each| each.world == world).map(|each| of(each)).max()
    };
    let real = most(World::Real, |each| each.cores);
    let simulated = most(World::Simulated, |each| each.cores);
    match (real, simulated) {
        (Some(real), Some(simulated)) if simulated > real => vec![format!(
            "No real machine with more than {real} cores was measured: beyond that the simulated curves are a prediction of the \
             machine profile, not a result."
        )],
        (Some(real), Some(_)) => vec![format!("Nothing is said about machines with more than {real} cores.")],
        (Some(real), None) => vec![format!("Nothing was simulated, and nothing is said about more than {real} cores.")],
        (None, Some(_)) => {
            vec!["No real run stands beside the simulated curves: nothing here says how near they are.".into()]
        }
        (None, None) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{measurement, sweep};
    use super::*;
    use pso_sim::measure::Verdict;

    #[test]
    fn the_sentences_name_worlds_runs_and_limits() {
        let runs = sweep("bank");
        let caption = of_trace(&runs.iter().collect::<Vec<_>>());
        assert!(caption.shows.contains("15 runs a point"), "{}", caption.shows);
        assert!(caption.shows.contains("differs from the real median by +16 %"), "{}", caption.shows);
        assert!(caption.lacks.contains("more than 2 cores"), "{}", caption.lacks);
    }

    #[test]
    fn runs_that_did_not_end_well_are_told() {
        let mut bad = measurement(World::Simulated, "bank", 2, 2, 5.0);
        bad.verdict = Verdict::Livelocked;
        let caption = of_trace(&[&bad]);
        assert!(caption.shows.contains("nothing to draw"), "{}", caption.shows);
        assert!(caption.lacks.contains("livelocked") && caption.lacks.contains("seed 7"), "{}", caption.lacks);
        assert!(of_trace(&[]).shows.contains("nothing to draw"));
    }

    #[test]
    fn percents_have_their_sign() {
        let percents = [0.124, -0.031, 0.001, -0.001].map(signed_percent);
        assert_eq!(percents, ["+12 %", "−3 %", "+0 %", "+0 %"]);
    }
}
