//! `pso sim`: a trace on the simulated machine. Every number here is a simulated one, and is called so.

use std::path::Path;

use pso_engine::arena::Geometry;
use pso_sim::fault::{Fault, FaultKind};
use pso_sim::machine::Profile;
use pso_sim::measure::{Manner, Measurement, Verdict};
use pso_sim::system::scheduler;
use pso_sim::trace::{Trace, generate};
use pso_sim::{Played, Report, Setup, simulate};
use serde::Serialize;

use crate::cli::{Pace, SchedulerName, Simulate};
use crate::failure::Failure;
use crate::table::{Table, duration, thousands};
use crate::{calibrate, fault, machine, output, replay, trace};

/// A participant that is slower than that would leave the range of the simulated clock.
const SLOWEST: u64 = 1_000_000;

#[derive(Serialize)]
struct Numbers<'a> {
    measurement: &'a Measurement,
    scheduler: &'static str,
    memory_operations: u64,
    memory_operations_per_second_of_wall_time: f64,
    wall_seconds: f64,
    trace_hash: String,
}

/// The subcommand.
pub fn run(options: &Simulate) -> Result<(), Failure> {
    let played = play(options)?;
    let Played { measurement, report } = &played;
    let numbers = Numbers {
        measurement,
        scheduler: name(options.scheduler),
        memory_operations: report.steps,
        memory_operations_per_second_of_wall_time: speed(report),
        wall_seconds: report.wall.as_secs_f64(),
        trace_hash: format!("{:016x}", report.trace_hash),
    };
    options.out.as_ref().map_or(Ok(()), |file| machine::write_results(file, &numbers))?;
    print(measurement, report)?;
    // Who waits for one that was killed or stopped may wait for ever; the sums hold all the same.
    let is_undisturbed = [&options.kill, &options.stop, &options.slow].iter().all(|faults| faults.is_empty());
    match &measurement.verdict {
        Verdict::Wrong(wrong) => Err(Failure::Wrong(format!("sim: {wrong}"))),
        _ if is_undisturbed => fault::none_in("sim", std::slice::from_ref(measurement)),
        _ => Ok(()),
    }
}

fn play(options: &Simulate) -> Result<Played, Failure> {
    let trace = match &options.file {
        Some(file) => trace::dealt(file, options.participants)?,
        None => {
            trace::affordable(options.kind, options.contention, options.transactions, 1)?;
            let participants = options.participants.unwrap_or(options.cores);
            generate(options.kind, options.contention, participants, options.transactions, options.seed)
        }
    };
    has_room("sim", trace.participants(), "deal the lines to fewer with --participants")?;
    let profile = profile(&options.profile)?;
    output::line(format_args!(
        "sim {}: {} transactions by {} participants on {} simulated cores of {}, scheduler {}, policy {}, seed {}",
        trace.header.name,
        thousands(trace.transactions.len() as u64),
        trace.participants(),
        options.cores,
        profile.name,
        name(options.scheduler),
        options.policy,
        options.seed
    ))?;
    let setup = Setup {
        scheduler: scheduler::by_name(name(options.scheduler), options.seed)
            .ok_or_else(|| Failure::Wrong("there is no such scheduler".into()))?,
        faults: faults(options, trace.participants())?,
        budget: options.budget,
        patience_ns: options.patience_ms.saturating_mul(1_000_000),
        policy: options.policy,
        ..setup(profile, options.cores, options.seed, &trace)?
    };
    let played = simulate(&trace, setup, replay::pacing(options.pace));
    let Played { measurement, report } = played.map_err(|error| Failure::Wrong(format!("sim: {error}")))?;
    let (scheduler, faults) = (Some(name(options.scheduler).into()), words_of_faults(options));
    let manner = Manner { scheduler, faults, ..manner(options.pace) };
    Ok(Played { measurement: Measurement { manner, ..measurement }, report })
}

/// That of a simulated run that nobody disturbs.
pub fn manner(pace: Pace) -> Manner {
    Manner { scheduler: Some(name(SchedulerName::Fair).into()), ..replay::manner(pace) }
}

/// What is done to whom, as on the command line.
fn words_of_faults(options: &Simulate) -> Vec<String> {
    let of = |kind: &'static str, whom: &[String]| -> Vec<String> {
        whom.iter().map(|text| format!("{kind} {text}")).collect()
    };
    [of("kill", &options.kill), of("stop", &options.stop), of("slow", &options.slow)].concat()
}

/// `cores` of the machine of `profile`, and a space as large as that of real players of `trace`. Its memory is taken only as it is touched.
pub fn setup(profile: Profile, cores: u32, seed: u64, trace: &Trace) -> Result<Setup, Failure> {
    let bytes = replay::space_bytes(trace);
    let geometry = Geometry::for_bytes(bytes).ok_or_else(|| {
        Failure::Refused(format!(
            "{}: with all that it allocates it wants a space of {bytes} bytes, and there is none that large",
            trace.header.name
        ))
    })?;
    Ok(Setup { geometry, ..Setup::new(profile, cores as usize, seed) })
}

/// Refuses more participants than such a space has room for, before anything is measured: whoever judges them is one more. Process slots there
/// are as many as it takes.
pub fn has_room(who: &str, participants: u32, instead: &str) -> Result<(), Failure> {
    let most = Geometry::for_bytes(replay::SPACE_BYTES).map_or(0, |geometry| geometry.participants - 1);
    if u64::from(participants) <= most {
        return Ok(());
    }
    let (most, asked) = (thousands(most), thousands(participants.into()));
    Err(Failure::Refused(format!(
        "{who}: a simulated space has room for {most} participants, and {asked} are asked for: {instead}"
    )))
}

/// A built-in profile, the one in a file, or `local`: this machine as it is at this moment.
pub fn profile(name: &str) -> Result<Profile, Failure> {
    if name == "local" {
        return calibrate::measure();
    }
    if let Some(profile) = Profile::built_in(name) {
        return Ok(profile);
    }
    let what =
        format!("reading the profile {name} (there are local, chiplet, mesh, and files that `pso calibrate` writes)");
    let text = std::fs::read_to_string(Path::new(name)).map_err(Failure::system(what))?;
    Profile::parse(&text).map_err(|error| Failure::Wrong(format!("{name}: {error}")))
}

/// What is done to whom. A fault of nobody's would say of an undisturbed run that it was disturbed.
fn faults(options: &Simulate, participants: u32) -> Result<Vec<Fault>, Failure> {
    let mut faults = Vec::new();
    for text in &options.kill {
        let [thread, step] = numbers(text)?;
        faults.push(Fault::kill(thread as usize, step));
    }
    for text in &options.stop {
        let [thread, step, ms] = numbers(text)?;
        faults.push(Fault::stop(thread as usize, step, ms.saturating_mul(1_000_000)));
    }
    for text in &options.slow {
        let [thread, step, times] = numbers(text)?;
        if !(1..=SLOWEST).contains(&times) {
            return Err(Failure::Refused(format!("{text}: a participant is made 1 to {SLOWEST} times as slow")));
        }
        faults.push(Fault { thread: thread as usize, step, kind: FaultKind::Slow(times) });
    }
    match faults.iter().map(|fault| fault.thread).find(|thread| *thread >= participants as usize) {
        Some(nobody) => Err(Failure::Refused(format!(
            "sim: there is no participant {nobody}: there are {participants}, and the first one is 0"
        ))),
        None => Ok(faults),
    }
}

/// The numbers of `1:200:30`.
fn numbers<const COUNT: usize>(text: &str) -> Result<[u64; COUNT], Failure> {
    let parsed: Option<Vec<u64>> = text.split(':').map(|part| part.parse().ok()).collect();
    parsed
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| Failure::Refused(format!("{text}: {COUNT} numbers with colons between them are wanted")))
}

/// As on the command line.
fn name(scheduler: SchedulerName) -> &'static str {
    match scheduler {
        SchedulerName::Fair => "fair",
        SchedulerName::RoundRobin => "round-robin",
        SchedulerName::Adversary => "adversary",
    }
}

/// Memory operations a second of real time.
fn speed(report: &Report) -> f64 {
    report.steps as f64 / report.wall.as_secs_f64().max(1e-9)
}

fn print(measurement: &Measurement, report: &Report) -> Result<(), Failure> {
    let Measurement { latency, verdict, .. } = measurement;
    let mut table = Table::new(["simulated", ""]);
    table.row(["commits/s", &thousands(measurement.throughput().round() as u64)]);
    table.row(["attempts/commit", &format!("{:.3}", measurement.attempts_per_commit())]);
    for (name, ns) in [("p50", latency.p50), ("p99", latency.p99), ("p99.9", latency.p999), ("longest", latency.max)] {
        table.row([name, &duration(ns)]);
    }
    table.row(["Jain's index", &format!("{:.3}", measurement.jain())]);
    table.row(["slowest/fastest", &format!("{:.2}", measurement.slowest_over_fastest())]);
    table.row(["virtual time", &duration(measurement.duration_ns)]);
    table.row(["verdict", replay::word(verdict)]);
    output::line(format_args!("\n{table}"))?;
    output::line(format_args!(
        "  {} memory operations in {:.2} s of wall time: {:.1} million a second; trace {:016x}",
        thousands(report.steps),
        report.wall.as_secs_f64(),
        speed(report) / 1e6,
        report.trace_hash
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pso_sim::trace::{Contention, Kind, Operation};

    /// The danger: a sound trace is called wrong, for its space was full.
    #[test]
    fn the_space_has_room_for_all_that_the_trace_allocates() {
        let allocating = |words| {
            let mut trace = generate(Kind::Counter, Contention::High, 2, 40, 1);
            trace.transactions.iter_mut().for_each(|line| line.operations.push(Operation::Allocate { words }));
            setup(Profile::built_in("chiplet").unwrap(), 2, 1, &trace).map(|setup| setup.geometry.space_words)
        };
        assert!(allocating(1 << 20).unwrap() > 40 << 20);
        assert!(matches!(allocating(1 << 40), Err(Failure::Refused(_))));
    }

    #[test]
    fn faults_are_numbers_with_colons() {
        assert_eq!(numbers::<2>("3:40").unwrap(), [3, 40]);
        assert!(numbers::<2>("3").is_err() && numbers::<2>("3:4:5").is_err() && numbers::<2>("a:4").is_err());
    }
}
