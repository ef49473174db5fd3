//! `pso fsck`: walks a space and reports damage.

use pso_engine::fsck;
use pso_engine::platform::native::Native;
use pso_engine::space::Space;

use crate::cli::SpaceChoice;
use crate::failure::Failure;
use crate::place;

/// So many findings are shown.
const SHOWN: usize = 50;

/// The subcommand.
pub fn run(choice: &SpaceChoice) -> Result<(), Failure> {
    let joined = place::attach(&place::chosen(choice))?;
    let findings = findings(&joined.space);
    for finding in findings.iter().take(SHOWN) {
        println!("{finding}");
    }
    if findings.len() > SHOWN {
        println!("... and {} more", findings.len() - SHOWN);
    }
    if findings.is_empty() {
        println!("fsck: {} is clean", joined.title);
        return Ok(());
    }
    Err(Failure::Wrong(format!("fsck: {} findings in {}", findings.len(), joined.title)))
}

/// What is wrong with a space, a sentence each. Others may be at work in it.
pub fn findings(space: &Space<Native>) -> Vec<String> {
    fsck::fsck(space).iter().map(ToString::to_string).collect()
}

/// The same where nobody is at work: every lock and every private block is a finding then.
pub fn findings_at_rest(space: &Space<Native>) -> Vec<String> {
    fsck::fsck_at_rest(space).iter().map(ToString::to_string).collect()
}
