//! Processes that live, die, stop, fork and wake each other.
//!
//! The danger: a dead member taken for living holds everybody up; a living one taken for dead is robbed in mid-write.

mod native_support;

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use native_support::forks::{exit_code, exit_now, fork};
use native_support::{BYTES, Helper, PATIENCE, Scratch, eventually, role, say, wait_for_parent};
use pso_engine::arena::{HotWord, Layout};
use pso_engine::error::Stop;
use pso_engine::participant::Slot;
use pso_engine::platform::native::{self, Native, Place};
use pso_engine::platform::{Liveness, Memory, Ordering, ProcessIdentity, System, WaitOutcome};
use pso_engine::space::Space;
use pso_engine::transaction::Participant;
use pso_engine::word::{ProcessSlotId, Value, WordAddress};

const SLOT: ProcessSlotId = ProcessSlotId(3);

/// The process that started this one.
fn parent() -> ProcessIdentity {
    let pid = std::os::unix::process::parent_id();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Field 22; the name of the program, in brackets, may hold anything.
    let start_time = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
    ProcessIdentity { pid, start_time }
}

/// What the child processes of this file do.
#[test]
#[ignore = "run by the other tests, in processes of its own"]
fn child_role() {
    let Some((role, path)) = role() else { return };
    if role == "fill_the_file_system" {
        return fill_the_file_system(&path);
    }
    let (space, layout) = native::attach(&Place::Directory(path)).unwrap();
    if role == "fork_in_an_attempt" {
        return fork_in_an_attempt(space, layout);
    }
    let identity = space.identity();
    let introduce = || say(format!("{} {}", identity.pid, identity.start_time));
    match role.as_str() {
        "hold" => {
            assert!(space.claim_liveness(SLOT));
            introduce();
            wait_for_parent();
            space.release_liveness(SLOT);
            say("released");
            wait_for_parent();
            drop(space);
            say("closed");
            wait_for_parent();
        }
        "hold_and_start_another_program" => {
            assert!(space.claim_liveness(SLOT));
            introduce();
            wait_for_parent();
            panic!("{}", Command::new("cat").exec());
        }
        "hold_and_start_this_program_again" => {
            assert!(space.claim_liveness(SLOT));
            let mut again = Command::new(std::env::current_exe().unwrap());
            panic!("{}", again.args(std::env::args().skip(1)).env("PSO_TEST_ROLE", "look_at_itself").exec());
        }
        "hold_and_fork" => {
            assert!(space.claim_liveness(SLOT));
            // The child keeps all descriptors and lives until the test ends.
            if fork() == 0 {
                while wait_for_parent() {}
                exit_now(0);
            }
            introduce();
            wait_for_parent();
        }
        "fork_and_rejoin" => fork_and_rejoin(&space, layout.hot(HotWord::Root)),
        "look" | "look_at_itself" => {
            introduce();
            let whose = if role == "look" { parent() } else { identity };
            while wait_for_parent() {
                say(format!("{:?}", space.liveness(SLOT, whose)));
            }
        }
        "sleep" => {
            let bell = layout.hot(HotWord::Root);
            say("sleeping");
            let start = Instant::now();
            let outcome = space.wait(bell, 0, PATIENCE.as_nanos() as u64);
            say(format!("{outcome:?} {}", start.elapsed() < PATIENCE / 2));
        }
        other => panic!("no such role: {other}"),
    }
}

fn identity(said: &str) -> ProcessIdentity {
    let (pid, start_time) = said.split_once(' ').unwrap();
    ProcessIdentity { pid: pid.parse().unwrap(), start_time: start_time.parse().unwrap() }
}

#[test]
fn a_killed_process_is_dead_and_its_byte_free_before_anybody_has_waited_for_it() {
    let scratch = Scratch::new();
    let (space, _) = scratch.space("space");
    let mut child = Helper::start("hold", &scratch.path("space"));
    let holder = identity(&child.hear());
    assert_eq!(space.liveness(SLOT, holder), Liveness::Alive);
    assert!(!space.claim_liveness(SLOT), "its byte is its own");

    child.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(space.liveness(SLOT, holder), Liveness::Alive, "stopped is not dead");

    child.signal(libc::SIGKILL);
    let start = Instant::now();
    eventually("dead", || space.liveness(SLOT, holder) == Liveness::Dead);
    eprintln!("a killed process was seen as dead after {:?}", start.elapsed());
    assert!(space.claim_liveness(SLOT));
    // Now the byte is ours and the process slot with it, so whoever asks for it hears of us.
    assert_eq!(space.liveness(SLOT, holder), Liveness::Alive);
    space.release_liveness(SLOT);
    child.process.wait().unwrap();
    assert_eq!(space.liveness(SLOT, holder), Liveness::Dead);
}

#[test]
fn a_process_that_lost_its_byte_is_fenced_while_it_lives() {
    let scratch = Scratch::new();
    let (space, _) = scratch.space("space");
    let mut child = Helper::start("hold", &scratch.path("space"));
    let holder = identity(&child.hear());
    child.go_on();
    assert_eq!(child.hear(), "released");
    assert_eq!(space.liveness(SLOT, holder), Liveness::Fenced);
    let predecessor = ProcessIdentity { start_time: holder.start_time - 1, ..holder };
    assert_eq!(space.liveness(SLOT, predecessor), Liveness::Dead, "the number of a process is used again");
    child.go_on();
    assert_eq!(child.hear(), "closed");
    assert_eq!(space.liveness(SLOT, holder), Liveness::Dead, "it lives, but cannot reach the space any more");
}

/// After `exec` a process has the same number and start time, and would be fenced for as long as it lives.
#[test]
fn a_process_that_started_another_program_is_dead_to_the_space() {
    let scratch = Scratch::new();
    let (space, _) = scratch.space("space");
    let mut child = Helper::start("hold_and_start_another_program", &scratch.path("space"));
    let holder = identity(&child.hear());
    assert_eq!(space.liveness(SLOT, holder), Liveness::Alive);
    child.go_on();
    eventually("dead", || space.liveness(SLOT, holder) == Liveness::Dead);
    assert!(child.process.try_wait().unwrap().is_none(), "it is the living that this is about");
}

/// The same, and what it has started attaches the space again: neither it nor anybody else is to take the first one for living.
#[test]
fn a_process_that_started_its_own_program_anew_is_dead_to_the_space_as_what_it_was() {
    let scratch = Scratch::new();
    let (space, _) = scratch.space("space");
    let mut child = Helper::start("hold_and_start_this_program_again", &scratch.path("space"));
    let holder = identity(&child.hear());
    child.go_on();
    assert_eq!(child.hear(), "Dead", "in its own eyes");
    // It has the space mapped again, so for others it may be in the middle of something.
    assert_eq!(space.liveness(SLOT, holder), Liveness::Fenced);
}

/// flock and OFD locks would stay with the child, and the dead parent would count as living for as long as that runs.
#[test]
fn a_forked_child_does_not_keep_its_parent_alive() {
    let scratch = Scratch::new();
    let (space, _) = scratch.space("space");
    let mut child = Helper::start("hold_and_fork", &scratch.path("space"));
    let holder = identity(&child.hear());
    assert_eq!(space.liveness(SLOT, holder), Liveness::Alive);
    child.signal(libc::SIGKILL);
    eventually("dead", || space.liveness(SLOT, holder) == Liveness::Dead);
}

/// Closing any descriptor of a file ends all classic locks of the process on it. A second mapping of the same space in
/// the process, closed again, must not take the liveness of the first away.
#[test]
fn a_second_mapping_in_the_process_does_not_end_the_liveness_of_the_first() {
    let scratch = Scratch::new();
    let (first, _) = scratch.space("space");
    assert!(first.claim_liveness(SLOT));
    let mut child = Helper::start("look", &scratch.path("space"));
    child.hear();
    let (second, _) = native::attach(&scratch.place("space")).unwrap();
    assert!(!second.claim_liveness(SLOT), "a slot is held once, in one process, too");
    assert_eq!(second.liveness(SLOT, first.identity()), Liveness::Alive);
    drop(second);
    child.go_on();
    assert_eq!(child.hear(), "Alive");
    first.release_liveness(SLOT);
    child.go_on();
    assert_eq!(child.hear(), "Fenced");
}

/// The same for a descriptor that arrives twice, which is what unpickling two handles does.
#[test]
fn a_descriptor_handed_over_twice_does_not_end_the_liveness() {
    let (first, _) = native::create_anonymous(BYTES).unwrap();
    assert!(first.claim_liveness(SLOT));
    let duplicate = || first.descriptor().unwrap().try_clone_to_owned().unwrap();
    drop(native::attach_descriptor(duplicate()).unwrap());
    let handed = duplicate();
    rustix::io::fcntl_setfd(&handed, rustix::io::FdFlags::empty()).unwrap();
    let number = handed.as_raw_fd();
    let (second, _) = native::attach_descriptor(handed).unwrap();
    assert!(!second.claim_liveness(SLOT));
    // SAFETY: it is kept, beside the first one.
    let kept = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).unwrap();
    assert!(kept.contains(rustix::io::FdFlags::CLOEXEC), "who is started by exec does not inherit it");
    // Only another process can see our lock.
    let pid = fork();
    if pid == 0 {
        let lock =
            rustix::process::Flock { start: SLOT.0 as u64, length: 1, ..rustix::process::FlockType::WriteLock.into() };
        let held = rustix::process::fcntl_getlk(first.descriptor().unwrap(), &lock);
        exit_now(if matches!(held, Ok(Some(_))) { 0 } else { 1 });
    }
    assert_eq!(exit_code(pid), 0, "the lock is gone");
}

#[test]
fn a_fork_notices_that_it_is_one_and_joins_by_itself() {
    let scratch = Scratch::new();
    scratch.space("space");
    let mut child = Helper::start("fork_and_rejoin", &scratch.path("space"));
    assert_eq!(child.hear(), "code 0");
}

fn fork_and_rejoin(space: &Native, signal: WordAddress) {
    assert!(!space.forked());
    assert!(space.claim_liveness(SLOT));
    let parent = space.identity();
    let pid = fork();
    if pid == 0 {
        let step = |number: i32, holds: bool| {
            if !holds {
                exit_now(number)
            }
        };
        step(1, space.forked());
        step(2, space.identity() != parent);
        step(3, space.rejoin_after_fork().is_ok());
        space.has_joined();
        step(4, !space.forked());
        step(5, space.identity().pid == std::process::id());
        // The parent's byte is the parent's, and is seen as such now that it is not taken for ours.
        step(6, !space.claim_liveness(SLOT));
        step(7, space.liveness(SLOT, parent) == Liveness::Alive);
        step(8, space.claim_liveness(ProcessSlotId(4)));
        step(9, space.liveness(ProcessSlotId(4), space.identity()) == Liveness::Alive);
        space.store(signal, 1, Ordering::Release);
        space.wake(signal);
        let deadline = Instant::now() + PATIENCE;
        while space.liveness(SLOT, parent) != Liveness::Fenced {
            step(10, Instant::now() < deadline);
        }
        exit_now(0);
    }
    while space.load(signal, Ordering::Acquire) == 0 {
        // Or the child has ended with the number of a step.
        space.wait(signal, 0, 1_000_000);
        if has_ended(pid) {
            break;
        }
    }
    space.release_liveness(SLOT);
    say(format!("code {}", exit_code(pid)));
    assert!(!space.forked(), "the parent is not");
}

/// The danger: a child that goes on with its parent's attempt writes the parent's logs. It must be refused by each kind of
/// access, also once it has joined by itself and is no fork any more.
#[test]
fn a_child_cannot_go_on_with_an_attempt_of_its_parent() {
    let scratch = Scratch::new();
    scratch.space("space");
    assert_eq!(Helper::start("fork_in_an_attempt", &scratch.path("space")).hear(), "codes [0, 0, 0, 0, 0, 0, 0, 0]");
}

fn fork_in_an_attempt(native: Native, layout: Layout) {
    type Access = fn(&mut Participant<Native>) -> Result<(), Stop>;
    let accesses: [Access; 4] = [
        |tx| tx.read(tx.arena().root()).map(drop),
        |tx| tx.write(tx.arena().root(), Value::TRUE),
        |tx| tx.commit(),
        |tx| tx.wait_for_change(None),
    ];
    let space = Space::join(native, layout).unwrap();
    let mut tx = space.participant().unwrap();
    let slot = Slot::of(space.arena(), tx.id()).unwrap();
    let words = |space: &Space<Native>| {
        let load = |word| space.arena().platform().load(word, Ordering::Relaxed);
        [slot.status(), slot.read_log_length(), slot.entries_reserved(), slot.waiting_for()].map(load)
    };
    tx.begin().unwrap();
    tx.read(space.arena().root()).unwrap();
    let before = words(&space);
    let mut codes = Vec::new();
    for joins in [false, true] {
        for access in accesses {
            let pid = fork();
            if pid == 0 {
                if joins {
                    if space.arena().platform().rejoin_after_fork().is_err() {
                        exit_now(1);
                    }
                    space.arena().platform().has_joined();
                }
                let refused = access(&mut tx) == Err(Stop::Forked);
                exit_now(if !refused {
                    2
                } else if words(&space) != before {
                    3
                } else {
                    0
                });
            }
            codes.push(exit_code(pid));
        }
    }
    assert_eq!(words(&space), before);
    tx.write(space.arena().root(), Value::TRUE).unwrap();
    tx.commit().unwrap();
    say(format!("codes {codes:?}"));
}

#[test]
fn a_sleeper_is_woken_by_another_thread() {
    let scratch = Scratch::new();
    let (space, layout) = scratch.space("space");
    let bell = layout.hot(HotWord::Root);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let start = Instant::now();
            assert_eq!(space.wait(bell, 0, PATIENCE.as_nanos() as u64), WaitOutcome::Woken);
            start.elapsed()
        });
        std::thread::sleep(Duration::from_millis(50));
        space.store(bell, 1, Ordering::Release);
        space.wake(bell);
        assert!(sleeper.join().unwrap() < PATIENCE / 2);
    });
    assert_eq!(space.wait(bell, 0, u64::MAX), WaitOutcome::Woken, "the word has changed: no sleep");
    let start = Instant::now();
    // Only the lower half counts.
    space.store(bell, 0xffff_ffff_0000_0005, Ordering::Release);
    assert_eq!(space.wait(bell, 5, 5_000_000), WaitOutcome::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(5));
}

/// A private futex would sleep until the time is over: the other process has the word at another address.
#[test]
fn a_sleeper_is_woken_by_another_process() {
    let scratch = Scratch::new();
    let (space, layout) = scratch.space("space");
    let bell = layout.hot(HotWord::Root);
    let mut child = Helper::start("sleep", &scratch.path("space"));
    assert_eq!(child.hear(), "sleeping");
    std::thread::sleep(Duration::from_millis(100));
    space.store(bell, 1, Ordering::Release);
    space.wake(bell);
    assert_eq!(child.hear(), "Woken true");
}

/// Each transaction asks for the coarse time and whether it is in a fork: both must do without a system call.
#[test]
fn what_every_transaction_asks_costs_no_system_call() {
    let scratch = Scratch::new();
    let (space, _) = scratch.space("space");
    let cost = |call: &dyn Fn() -> u64| {
        let batch = |_| {
            let start = Instant::now();
            for _ in 0..1000 {
                std::hint::black_box(call());
            }
            start.elapsed().as_nanos() as f64 / 1000.0
        };
        (0..50).map(batch).fold(f64::MAX, f64::min)
    };
    let system_call = cost(&|| rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get() as u64));
    let coarse = cost(&|| space.coarse_ns());
    let exact = cost(&|| space.now_ns());
    let forked = cost(&|| space.forked().into());
    eprintln!("ns: coarse {coarse:.1}, exact {exact:.1}, forked {forked:.1}, a system call {system_call:.1}");
    assert!(coarse < system_call / 2.0, "{coarse} ns");
    assert!(forked < system_call / 2.0, "{forked} ns");
    let (before, now, later) = (space.now_ns(), space.coarse_ns(), space.now_ns());
    assert!(now <= later && before.abs_diff(now) < 1_000_000_000, "both clocks count from the same moment");
    assert_ne!(space.entropy(), space.entropy());
    assert_ne!(space.thread_number(), 0);
}

/// A full file system is an error of `commit_pages`, never a SIGBUS in a store; and what exists goes on.
#[test]
fn a_full_file_system_is_an_error_and_not_a_crash() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("mount")).unwrap();
    let mount = scratch.path("mount");
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c"]);
    command.arg(
        "mount -t tmpfs -o size=3m none \"$PSO_TEST_PLACE\" || { echo 'child: cannot mount'; exit; }; exec \"$@\"",
    );
    command.arg("sh").arg(std::env::current_exe().unwrap());
    if Command::new("unshare").arg("--version").output().is_err() {
        return eprintln!("NOT SHOWN: a full file system, for there is no unshare command");
    }
    match Helper::run(command, "fill_the_file_system", &mount).hear().as_str() {
        "done" => {}
        other => eprintln!("NOT SHOWN: a full file system, for this system lets us mount none: {other}"),
    }
}

fn fill_the_file_system(mount: &std::path::Path) {
    let place = Place::Directory(mount.join("space"));
    let (space, layout) = native::create(&place, 16 << 20).unwrap();
    let word = layout.superblock(layout.header_superblocks());
    space.commit_pages(word, 8192).unwrap();
    space.store(word, 7, Ordering::Relaxed);
    let error = space.commit_pages(word, 8 << 17).unwrap_err();
    assert_eq!(error.errno, libc::ENOSPC);
    assert_eq!(space.load(word, Ordering::Relaxed), 7);
    let (attached, _) = native::attach(&place).unwrap();
    assert_eq!(attached.load(word, Ordering::Relaxed), 7);

    // What is left of the failed piece was given back, so something else has to take the room.
    assert!(std::fs::write(mount.join("ballast"), vec![1; 4 << 20]).is_err());
    let refused = native::create(&Place::Directory(mount.join("another")), 16 << 20).unwrap_err();
    assert!(matches!(refused, pso_engine::arena::ArenaError::FileSystemFull { .. }), "{refused:?}");
    assert_eq!(std::fs::read_dir(mount).unwrap().count(), 2, "the draft is gone");
    say("done");
}

/// Whether a child has ended; it can still be waited for.
fn has_ended(pid: i32) -> bool {
    // SAFETY: siginfo_t is plain numbers, for which zeros are a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: looks at a child of this process and writes to a live variable, whose pid stays 0 while the child runs.
    unsafe { libc::waitid(libc::P_PID, pid as u32, &mut info, options) == 0 && info.si_pid() != 0 }
}
