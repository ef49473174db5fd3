//! A system that refuses what a space needs in passing: `/proc`, descriptors. Each is told as what it is, and leaves nothing behind.

mod native_support;

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use native_support::{BYTES, Helper, Scratch, role, say};
use pso_engine::arena::ArenaError;
use pso_engine::platform::native::{self, Place};

#[test]
#[ignore = "run by the other tests, in processes of its own"]
fn child_role() {
    let Some((_, path)) = role() else { return };
    let attached = native::attach(&Place::Directory(path.join("space"))).map(drop);
    let made = native::create(&Place::Directory(path.join("another")), BYTES).map(drop);
    for error in [attached, made].map(Result::unwrap_err) {
        say(format!("{} {error}", matches!(error, ArenaError::System { .. })));
    }
}

/// The danger: who has a space there is told that there is none, and makes another one.
#[test]
fn without_proc_a_space_is_not_said_to_be_missing() {
    let scratch = Scratch::new();
    scratch.space("space");
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c"]);
    command.arg("program=$(readlink -f \"$0\"); mount -t tmpfs none /proc || { echo 'child: cannot mount'; exit; }; exec \"$program\" \"$@\"");
    command.arg(std::env::current_exe().unwrap());
    if Command::new("unshare").arg("--version").output().is_err() {
        return eprintln!("NOT SHOWN: a system without /proc, for there is no unshare command");
    }
    let mut child = Helper::run(command, "", &scratch.path(""));
    let attached = child.hear();
    if attached == "cannot mount" {
        return eprintln!("NOT SHOWN: a system without /proc, for this one lets us mount nothing");
    }
    for told in [attached, child.hear()] {
        assert!(told.starts_with("true") && told.contains("/proc/"), "{told}");
    }
}

/// The danger: who opens or makes it finds none, and finds one, in turns, and blames somebody else.
#[test]
fn a_space_without_its_lock_file_is_none_and_not_missing() {
    let scratch = Scratch::new();
    scratch.space("space");
    let place = scratch.place("space");
    fs::remove_file(scratch.path("space").join("live")).unwrap();
    let refused = native::attach(&place).unwrap_err();
    assert!(matches!(refused, ArenaError::Foreign { .. }), "{refused:?}");
    assert!(refused.to_string().contains("`live`"), "{refused}");
    // In the middle of an unlink.
    fs::remove_file(scratch.path("space").join("arena")).unwrap();
    assert!(matches!(native::attach(&place), Err(ArenaError::NotFound { .. })));
}

/// The danger: half a draft that nobody clears away while its maker lives; a space that is unlinked and has not gone.
#[test]
fn who_runs_out_of_descriptors_in_the_middle_leaves_nothing_half_done() {
    let scratch = Scratch::new();
    let place = scratch.place("space");
    let arena = scratch.path("space").join("arena");
    let names = || fs::read_dir(scratch.path("")).map(|names| names.count());
    let limit = rustix::process::Rlimit { current: Some(32), maximum: Some(32) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let mut all = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        all.push(file);
    }
    // Another thread has the last ones by turns: all that there are, or nearly.
    all.truncate(all.len() - 3);
    let (ends, mut refusals) = (AtomicBool::new(false), [0; 2]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Relaxed) {
                drop([(); 3].map(|()| fs::File::open("/dev/null")));
            }
        });
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..6000 {
                if round % 2000 == 1999 {
                    all.pop();
                }
                let made = native::create(&place, BYTES);
                match made {
                    Ok(_) => {}
                    Err(ArenaError::System { .. }) => refusals[0] += 1,
                    Err(error) => panic!("{error:?}"),
                }
                let is_made = arena.exists();
                assert_eq!(made.is_ok(), is_made);
                drop(made);
                while is_made && native::unlink(&place).is_err() {
                    assert!(arena.exists(), "it has gone, and the unlink has failed");
                    refusals[1] += 1;
                }
                loop {
                    if let Ok(left) = names() {
                        assert_eq!(left, 0);
                        break;
                    }
                }
            }
        }));
        ends.store(true, Relaxed);
        end.unwrap();
    });
    eprintln!("refused: {refusals:?}");
}
