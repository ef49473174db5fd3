//! What the demo says at the end: a table, and the closing line or what differs.

use super::shared::SharedRun;
use super::{Manager, Plain, Verdict};
use crate::cli::Demo;
use crate::failure::Failure;
use crate::inspect::Memory;
use crate::output;
use crate::table::{Table, bytes, thousands};

/// Prints the table.
pub fn print(
    plain: &Plain,
    shared: &SharedRun,
    verdict: &Verdict,
    manager: Option<&Manager>,
    memory: &Memory,
    options: &Demo,
) -> Result<(), Failure> {
    let files = plain.files as f64;
    let speedup = |seconds: f64| format!("{:.2}x", plain.seconds / seconds);
    let mut table = Table::new(["", "wall time", "speed-up", "files/s"]);
    let row = |title: String, seconds: f64, note: &str| {
        [title, format!("{seconds:.1} s{note}"), speedup(seconds), format!("{:.0}", files / seconds)]
    };
    table.row(row("one plain process".into(), plain.seconds, ""));
    table.row(row(format!("pso, {} workers", options.workers), shared.seconds, ""));
    if let Some(manager) = manager {
        // By bytes, not by files: the files of the part are not of average size.
        let seconds = manager.seconds * plain.bytes as f64 / manager.bytes as f64;
        table.row(row(format!("Manager, {} workers", options.workers), seconds, " (scaled)"));
    }
    output::line(format_args!("\n{table}"))?;
    if let Some(manager) = manager {
        output::line(format_args!(
            "  Manager ran on {} files ({} of {}); its time is scaled by bytes.",
            manager.files,
            bytes(manager.bytes),
            bytes(plain.bytes)
        ))?;
    }
    let work = &shared.work;
    output::line(format_args!(
        "  {} words ({} distinct), {} identifiers in {} files.",
        thousands(verdict.words),
        thousands(verdict.distinct),
        thousands(verdict.identifiers),
        thousands(verdict.files)
    ))?;
    output::line(format_args!(
        "  Workers that lived to the end: {} transactions, {} attempts.",
        thousands(2 * work.files),
        thousands(work.take + work.done)
    ))?;
    output::line(format_args!(
        "  {} workers killed, {} files put back and done again.",
        shared.killed, shared.put_back
    ))?;
    output::line(format_args!("  Memory of the space: {} in use.", bytes(memory.committed_bytes)))?;
    Ok(())
}

/// The closing line, or an error that says what differs. `found` is what `fsck` and the players of the trace found wrong.
pub fn judge(
    plain: &Plain,
    shared: &SharedRun,
    verdict: &Verdict,
    found: &[String],
    options: &Demo,
) -> Result<(), Failure> {
    let mut wrong = found.to_vec();
    wrong.extend(verdict.differences.iter().cloned());
    let more = verdict.difference_count.saturating_sub(verdict.differences.len() as u64);
    if more > 0 {
        wrong.push(format!("... and {more} more differences"));
    }
    if shared.killed != options.kills {
        wrong.push(format!("{} workers were killed instead of {}", shared.killed, options.kills));
    }
    if (verdict.words, verdict.files) != (plain.words, plain.files) {
        wrong.push(format!(
            "{} words in {} files instead of {} in {}",
            verdict.words, verdict.files, plain.words, plain.files
        ));
    }
    if wrong.is_empty() && verdict.lost == 0 {
        output::line(format_args!(
            "demo: ok, {} words in {} files equal to the single-process result, {} workers killed, 0 updates lost",
            verdict.words, verdict.files, shared.killed
        ))?;
        return Ok(());
    }
    Err(Failure::Wrong(format!("demo: FAILED, {} updates lost\n  {}", verdict.lost, wrong.join("\n  "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict() -> Verdict {
        Verdict {
            words: 10,
            distinct: 5,
            files: 2,
            identifiers: 3,
            lost: 0,
            differences: Vec::new(),
            difference_count: 0,
        }
    }
    fn judged(verdict: &Verdict, damage: &[String], killed: u32) -> Result<(), Failure> {
        let plain = Plain { seconds: 1.0, files: 2, words: 10, bytes: 100 };
        let shared = SharedRun { killed, ..SharedRun::default() };
        let options = Demo {
            workers: 4,
            kills: 3,
            sample: 1.0,
            seed: None,
            python: None,
            no_manager: true,
            keep: false,
            size: "4G".into(),
            out: "results/demo".into(),
            profile: "chiplet".into(),
        };
        judge(&plain, &shared, verdict, damage, &options)
    }

    #[test]
    fn only_equality_in_everything_is_well() {
        assert!(judged(&verdict(), &[], 3).is_ok());
        assert!(judged(&verdict(), &[], 2).is_err(), "a kill that did not happen");
        assert!(judged(&verdict(), &["a lock of nobody".into()], 3).is_err(), "damage");
        assert!(judged(&Verdict { words: 9, ..verdict() }, &[], 3).is_err(), "a word too few");
        assert!(judged(&Verdict { files: 1, ..verdict() }, &[], 3).is_err(), "a file too few");
        assert!(judged(&Verdict { lost: 1, ..verdict() }, &[], 3).is_err(), "a lost update");
        let different = Verdict { differences: vec!["word 'a'".into()], difference_count: 30, ..verdict() };
        let said = judged(&different, &[], 3).unwrap_err().to_string();
        assert!(said.contains("word 'a'") && said.contains("29 more"), "{said}");
    }
}
