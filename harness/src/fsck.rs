//! `pso fsck`: walks a space and reports damage; with `--repair` it frees what nothing names and mends what has one answer.

use std::fmt::Display;
use std::time::Duration;

use pso_engine::fsck::{self, Repaired};
use pso_engine::participant::{ProcessPhase, ProcessSlot, ProcessState};
use pso_engine::platform::native::{self, Native};
use pso_engine::platform::{Memory as _, Ordering};
use pso_engine::space::Space;
use pso_engine::word::ProcessSlotId;

use crate::cli::{Fsck, SpaceChoice};
use crate::failure::Failure;
use crate::output;
use crate::place;

/// So many findings are shown, and so many things that were mended.
const SHOWN: usize = 50;
/// So long has another process that is clearing up after the dead before all is looked at again.
const CLEARING_PAUSE: Duration = Duration::from_millis(10);

/// The subcommand.
pub fn run(options: &Fsck) -> Result<(), Failure> {
    if options.repair { repair(&options.space) } else { check(&options.space) }
}

fn check(choice: &SpaceChoice) -> Result<(), Failure> {
    let joined = place::attach(&place::chosen(choice)).map_err(|failure| Failure::NotLookedAt(failure.to_string()))?;
    let (findings, manner) = look(&joined.space, || {
        std::thread::sleep(CLEARING_PAUSE);
        true
    });
    if findings.is_empty() {
        return output::line(format_args!("fsck: {} is clean ({manner})", joined.title));
    }
    // Whoever has read enough of it is not to take the space for clean.
    let _ = show(&findings);
    Err(Failure::Wrong(format!("fsck: {} findings in {} ({manner})", findings.len(), joined.title)))
}

/// The stricter check of the two, wherever it may be made, and which one it was.
fn look(space: &Space<Native>, pause: impl FnMut() -> bool) -> (Vec<String>, &'static str) {
    // Who is dead and not cleared up after would count as being there.
    space.recover_dead();
    if let Some(before) = alone(space) {
        let findings = findings_at_rest(space);
        // Nothing of the check is read after this.
        space.arena().platform().fence(Ordering::Acquire);
        if alone(space) == Some(before) {
            return (findings, "checked at rest: no other process has it open");
        }
    }
    (findings(space, pause), "checked live: other processes have it open, so leaks are not looked for")
}

/// The states of all process slots, if nobody has one but this process. Each who joins raises the generation of his: if they are the same
/// later, nobody has been there in between. Nobody is kept from joining.
fn alone(space: &Space<Native>) -> Option<Vec<ProcessState>> {
    let arena = space.arena();
    let ids = (0..arena.layout().geometry().process_slots).map(|number| ProcessSlotId(number as u16));
    let states = ids.filter_map(|id| Some((id, ProcessSlot::of(arena, id)?.state(arena))));
    states.map(|(id, state)| (id == space.process() || state.phase == ProcessPhase::Free).then_some(state)).collect()
}

fn repair(choice: &SpaceChoice) -> Result<(), Failure> {
    let place = place::chosen(choice);
    let title = place::title(&place);
    let cannot = |reason: String| Failure::NotLookedAt(format!("{title}: {reason}"));
    let (platform, layout) = native::attach(&place).map_err(|error| cannot(error.to_string()))?;
    let Repaired { mended, left, unnamed, .. } =
        fsck::repair(platform, layout).map_err(|error| cannot(error.to_string()))?;
    let told = tell(&mended, &left, unnamed);
    if left.is_empty() {
        return told
            .and_then(|()| output::line(format_args!("fsck: {title} is clean; {} things mended", mended.len())));
    }
    Err(Failure::Wrong(format!("fsck: {} things mended in {title}, {} findings left", mended.len(), left.len())))
}

/// What a repair has done, and what it has not.
fn tell(mended: &[impl Display], left: &[impl Display], unnamed: Option<impl Display>) -> Result<(), Failure> {
    show(mended)?;
    if !left.is_empty() {
        output::line("left as it is:")?;
        show(left)?;
    }
    unnamed.map_or(Ok(()), output::line)
}

/// A sentence a line.
fn show(sentences: &[impl Display]) -> Result<(), Failure> {
    sentences.iter().take(SHOWN).try_for_each(output::line)?;
    if sentences.len() > SHOWN {
        output::line(format_args!("... and {} more", sentences.len() - SHOWN))?;
    }
    Ok(())
}

/// What is wrong with a space, a sentence each. Others may be at work in it, and die: what they leave is cleared up, and `pause` gives
/// time to another who is just at it.
fn findings(space: &Space<Native>, pause: impl FnMut() -> bool) -> Vec<String> {
    fsck::fsck_after_deaths(space, pause).iter().map(ToString::to_string).collect()
}

/// The same where nobody is at work: every lock and every private block is a finding then.
pub fn findings_at_rest(space: &Space<Native>) -> Vec<String> {
    fsck::fsck_at_rest(space).iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pso_engine::participant::Slot;
    use pso_engine::platform::{Ordering::Relaxed, System as _};

    /// The danger: a process dies after the checker has joined, or somebody is at it and not through. Neither is damage.
    #[test]
    fn who_dies_while_a_sound_space_is_checked_is_no_finding() {
        let (platform, layout) = native::create_anonymous(8 << 20).unwrap();
        let join = || Space::join(platform.clone(), layout).unwrap();
        let (checker, other, doomed) = (join(), join(), join());
        let victim = doomed.participant().unwrap();
        let recoverer = Slot::of(checker.arena(), victim.id()).unwrap().recoverer();
        platform.store(recoverer, other.claim().pack(), Relaxed);
        // Whoever was there is gone, and not this process.
        let process = layout.process_slot(doomed.process());
        (1..3).for_each(|word| platform.store(process.offset(word), 0, Relaxed));
        platform.release_liveness(doomed.process());
        let mut pauses = 0;
        let found = findings(&checker, || {
            pauses += 1;
            platform.store(recoverer, 0, Relaxed);
            true
        });
        assert_eq!((found, pauses), (vec![], 1));
    }

    /// The danger: who joins and leaves while a space is checked as one at rest.
    #[test]
    fn whoever_was_there_in_between_is_told_from_nobody() {
        let (platform, layout) = native::create_anonymous(8 << 20).unwrap();
        let join = || Space::join(platform.clone(), layout).unwrap();
        let checker = join();
        let before = alone(&checker).unwrap();
        assert_eq!(alone(&checker).as_ref(), Some(&before));
        let other = join();
        assert_eq!(alone(&checker), None);
        other.leave();
        assert!(alone(&checker).is_some_and(|after| after != before));
    }
}
