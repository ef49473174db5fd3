//! A system that refuses what a space needs in passing: `/proc`, locks, descriptors. Each is told as what it is, and leaves nothing behind.

mod native_support;

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use native_support::{BYTES, Helper, Scratch, role, say};
use pso_engine::arena::ArenaError;
use pso_engine::platform::native::{self, Place};
use pso_engine::space::Space;

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

/// This thread gets no record locks any more: ENOLCK.
fn refuse_locks() {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let give = libc::BPF_RET | libc::BPF_K;
    // Number of the call, and the lower half of its second argument, as seccomp_data has them.
    let mut filter = [
        statement(load, 0, 0, 0),
        statement(equal, 0, 3, libc::SYS_fcntl as u32),
        statement(load, 0, 0, 24),
        statement(equal, 0, 1, libc::F_SETLK as u32),
        statement(give, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOLCK as u32),
        statement(give, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: both read their arguments, which live through the calls.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program), 0);
    }
}

/// The danger: processes that are not there are blamed, and what was made stays behind, of use to nobody.
#[test]
fn who_gets_no_locks_is_told_so_and_makes_nothing() {
    let scratch = Scratch::new();
    scratch.space("space");
    let no_locks = std::io::Error::from_raw_os_error(libc::ENOLCK).to_string();
    let refused = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            refuse_locks();
            let (native, layout) = native::attach(&scratch.place("space")).unwrap();
            let joined = Space::join(native, layout).unwrap_err().to_string();
            (joined, native::create(&scratch.place("another"), BYTES).map(drop).unwrap_err())
        });
        thread.join().unwrap()
    });
    assert!(refused.0.contains(&no_locks) && !refused.0.contains("living"), "{}", refused.0);
    assert!(refused.1.to_string().contains(&no_locks), "{}", refused.1);
    assert_eq!(fs::read_dir(scratch.path("")).unwrap().count(), 1, "the draft is gone");
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
