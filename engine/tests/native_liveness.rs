//! Liveness bytes of a process that does with its descriptors what it likes, and what a dump of it takes.

mod native_support;

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use native_support::forks::{exit_code, exit_now, fork};
use native_support::{BYTES, PATIENCE, Scratch};
use pso_engine::arena::HotWord;
use pso_engine::platform::native;
use pso_engine::platform::{Liveness, Memory, Ordering, ProcessIdentity, System};
use pso_engine::space::{Holders, JoinError, Space};
use pso_engine::word::ProcessSlotId;

const NOBODY: ProcessIdentity = ProcessIdentity { pid: 1 << 23, start_time: 1 };

/// How many ranges of bytes this process has locked.
fn locks() -> usize {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    locks.lines().filter(|line| line.contains(&format!(" {} ", std::process::id()))).count()
}

/// The numbers of the arena and of the lock file, as this process has them open.
fn files_of_the_space(scratch: &Scratch) -> Vec<i32> {
    let of_ours = |number: &i32| {
        let file = fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
        file.starts_with(scratch.path("space"))
    };
    let numbers: Vec<i32> = (0..256).filter(of_ours).collect();
    assert_eq!(numbers.len(), 2);
    numbers
}

/// The danger: who closes all descriptors of a process, to become a daemon, gets our numbers for files of its own.
#[test]
fn what_has_the_number_of_a_file_of_ours_by_now_is_left_alone() {
    let scratch = Scratch::new();
    let (space, layout) = native::create(&scratch.place("space"), BYTES).unwrap();
    assert!(space.claim_liveness(ProcessSlotId(1)));
    let content = vec![0xaa; BYTES as usize];
    fs::write(scratch.path("mine"), &content).unwrap();
    let mine = fs::OpenOptions::new().read(true).write(true).open(scratch.path("mine")).unwrap();
    let numbers = files_of_the_space(&scratch);
    for number in &numbers {
        // SAFETY: two numbers; that the space's files are gone is what this is about.
        assert_eq!(unsafe { libc::dup2(mine.as_raw_fd(), *number) }, *number);
    }
    let memory = layout.superblock(0);
    space.punch_pages(memory, layout.geometry().superblock_words);
    space.commit_pages(memory, layout.geometry().superblock_words).unwrap();
    assert_eq!(fs::read(scratch.path("mine")).unwrap(), content);
    assert!(!space.claim_liveness(ProcessSlotId(2)));
    let elsewhere = scratch.path("elsewhere");
    fs::rename(scratch.path("space"), &elsewhere).unwrap();
    assert_eq!(space.liveness(ProcessSlotId(2), NOBODY), Liveness::Alive, "whoever holds it: it cannot be known");
    fs::rename(&elsewhere, scratch.path("space")).unwrap();
    // Who asks who lives opens the file anew; so does who joins, and both have it as their own.
    assert_eq!(space.liveness(ProcessSlotId(2), NOBODY), Liveness::Dead);
    let (again, _) = native::attach(&scratch.place("space")).unwrap();
    assert!(again.claim_liveness(ProcessSlotId(2)));
    assert_eq!(again.liveness(ProcessSlotId(1), space.identity()), Liveness::Alive);
    // And so it is for others: both bytes are locked.
    assert_eq!(locks(), 1, "two bytes side by side");
    drop(space);
    assert_eq!(again.liveness(ProcessSlotId(2), NOBODY), Liveness::Alive);
    for number in numbers {
        // SAFETY: asks for flags.
        assert_ne!(unsafe { libc::fcntl(number, libc::F_GETFD) }, -1, "closed");
    }
}

/// The danger: the number of the lock file is that of the one that is only looked at while the space is attached again, and so it counts as open.
#[test]
fn who_attaches_again_after_all_was_closed_has_its_locks_again() {
    let scratch = Scratch::new();
    let (space, _) = native::create(&scratch.place("space"), BYTES).unwrap();
    assert!(space.claim_liveness(ProcessSlotId(1)));
    assert_eq!(locks(), 1);
    for number in files_of_the_space(&scratch) {
        // SAFETY: that the space's files are gone is what this is about.
        unsafe { libc::close(number) };
    }
    assert_eq!(locks(), 0);
    let (again, _) = native::attach(&scratch.place("space")).unwrap();
    assert_eq!(locks(), 1);
    assert!(again.claim_liveness(ProcessSlotId(3)));
    assert_eq!(locks(), 2);
}

/// The danger: who copies the folder of a space opens the lock file and closes it, and every lock of his on it ends: he is fenced for as long as he lives.
#[test]
fn who_reads_the_lock_file_by_himself_has_his_locks_again_when_he_asks_or_joins() {
    let scratch = Scratch::new();
    let (space, _) = native::create(&scratch.place("space"), BYTES).unwrap();
    assert!(space.claim_liveness(ProcessSlotId(1)));
    let read = || fs::read(scratch.path("space").join("live")).unwrap();
    read();
    assert_eq!(locks(), 0);
    assert_eq!(space.liveness(ProcessSlotId(2), NOBODY), Liveness::Dead);
    assert_eq!(locks(), 1);
    read();
    let _again = native::attach(&scratch.place("space")).unwrap();
    assert_eq!(locks(), 1);
    space.release_liveness(ProcessSlotId(1));
    assert_eq!(space.liveness(ProcessSlotId(2), NOBODY), Liveness::Dead);
    assert_eq!(locks(), 0, "what was given back stays so");
}

/// The danger: a process without a descriptor left, or without `/proc`, sees no death, and waits for ever.
#[test]
fn who_has_no_descriptor_left_sees_who_is_dead() {
    let scratch = Scratch::new();
    let (space, _) = native::create(&scratch.place("space"), BYTES).unwrap();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = rustix::process::WaitId::Pid(rustix::process::Pid::from_child(&child));
    let end = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
    rustix::process::waitid(pid, end).unwrap().expect("it ends");
    let mut all = Vec::new();
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: Some(64), maximum: Some(64) },
    )
    .unwrap();
    while let Ok(file) = fs::File::open("/dev/null") {
        all.push(file);
    }
    assert_eq!(space.liveness(ProcessSlotId(2), NOBODY), Liveness::Dead);
    // A child that nobody has waited for.
    let zombie = ProcessIdentity { pid: child.id(), start_time: 1 };
    assert_eq!(space.liveness(ProcessSlotId(2), zombie), Liveness::Dead);
    let parent = ProcessIdentity { pid: std::os::unix::process::parent_id(), start_time: 1 };
    assert_eq!(space.liveness(ProcessSlotId(2), parent), Liveness::Fenced, "who is there may be anybody");
    drop(all);
    assert_eq!(space.liveness(ProcessSlotId(2), parent), Liveness::Dead);
    child.wait().unwrap();
}

/// The danger: a dump of one crash reads every hole of the space, and the system is out of memory.
#[test]
fn a_dump_leaves_the_space_out() {
    let (space, _) = native::create_anonymous(BYTES).unwrap();
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let flags = |size: u64| {
        let of_size = format!("{} kB", size >> 10);
        let mut areas = maps.split("VmFlags:").collect::<Vec<_>>().into_iter().zip(maps.split("VmFlags:").skip(1));
        areas
            .find(|(area, _)| area.contains(&of_size) && area.contains("memfd"))
            .map(|(_, flags)| flags.lines().next().unwrap().to_owned())
    };
    let flags = flags(BYTES).expect("the space is mapped");
    assert!(flags.split(' ').any(|flag| flag == "dd"), "{flags}");
    drop(space);
}

/// In a child of a fork: the number of the first step that does not hold, 0 for none.
fn in_a_child(steps: impl FnOnce() -> Result<(), i32>) -> i32 {
    let pid = fork();
    if pid == 0 {
        exit_now(steps().err().unwrap_or(0));
    }
    pid
}

fn step(number: i32, holds: bool) -> Result<(), i32> {
    if holds { Ok(()) } else { Err(number) }
}

/// The danger: a thread repairs a space and has the bytes of all slots while another one forks. The child takes them for its own, and can never join.
#[test]
fn a_child_whose_parent_had_all_bytes_attaches_and_joins() {
    let scratch = Scratch::new();
    let (space, layout) = native::create(&scratch.place("space"), BYTES).unwrap();
    let slots = || (0..layout.geometry().process_slots).map(|slot| ProcessSlotId(slot as u16));
    assert!(slots().all(|slot| space.claim_liveness(slot)));
    let root = layout.hot(HotWord::Root);
    let pid = in_a_child(|| {
        let deadline = Instant::now() + PATIENCE;
        while space.load(root, Ordering::Acquire) != 1 {
            step(1, Instant::now() < deadline)?;
        }
        let (again, layout) = native::attach(&scratch.place("space")).map_err(|_| 2)?;
        let joined = Space::join(again, layout).map_err(|_| 3)?;
        step(4, joined.participant().is_ok())
    });
    slots().for_each(|slot| space.release_liveness(slot));
    space.store(root, 1, Ordering::Release);
    assert_eq!(exit_code(pid), 0);
}

/// The danger: the child forgets the slot that it has just taken with the parent's, and calls itself dead.
#[test]
fn a_child_that_attaches_before_it_rejoins_keeps_its_slot() {
    let scratch = Scratch::new();
    let (space, _) = native::create(&scratch.place("space"), BYTES).unwrap();
    assert!(space.claim_liveness(ProcessSlotId(1)));
    let pid = in_a_child(|| {
        let (again, _) = native::attach(&scratch.place("space")).map_err(|_| 1)?;
        step(2, again.claim_liveness(ProcessSlotId(2)))?;
        step(3, space.rejoin_after_fork().is_ok())?;
        step(4, again.liveness(ProcessSlotId(2), again.identity()) == Liveness::Alive)?;
        step(5, !again.claim_liveness(ProcessSlotId(2)))
    });
    assert_eq!(exit_code(pid), 0);
}

/// The danger: another interpreter of the child finds it no fork any more, and takes a place in the name of the parent. When that leaves, the place is robbed.
#[test]
fn a_child_is_a_fork_until_it_has_a_slot_of_its_own() {
    let scratch = Scratch::new();
    let (native, layout) = native::create(&scratch.place("space"), BYTES).unwrap();
    let space = Space::join(native, layout).unwrap();
    let parent = space.claim();
    let pid = in_a_child(|| {
        step(1, space.arena().platform().rejoin_after_fork().is_ok())?;
        step(2, space.participant().is_err_and(|error| error == JoinError::Forked))?;
        step(3, space.rejoin().is_ok())?;
        step(4, space.claim() != parent && !space.arena().platform().forked())?;
        step(5, space.participant().is_ok())
    });
    assert_eq!(exit_code(pid), 0);
}

/// The danger: each of two interpreters of a child takes a slot, and one of the slots is nobody's for as long as the child lives.
#[test]
fn two_threads_of_a_child_that_rejoin_take_one_slot() {
    let scratch = Scratch::new();
    let (native, layout) = native::create(&scratch.place("space"), BYTES).unwrap();
    let space = Space::join(native, layout).unwrap();
    for _ in 0..50 {
        let pid = in_a_child(|| {
            let start = std::sync::Barrier::new(2);
            let rejoin = || {
                start.wait();
                let joined = space.arena().platform().rejoin_after_fork().is_ok() && space.rejoin().is_ok();
                let participant = space.participant();
                joined && participant.is_ok()
            };
            let both = std::thread::scope(|scope| {
                let other = scope.spawn(rejoin);
                rejoin() & other.join().unwrap_or(false)
            });
            step(1, both)?;
            step(2, Holders::of_process_slots(space.arena()).slots() == 2)
        });
        assert_eq!(exit_code(pid), 0);
        space.recover_dead();
    }
}

/// The danger: who became a daemon gets no memory for his space any more, and is told that the system has none.
#[test]
fn who_has_closed_the_arena_opens_it_again_by_its_name_or_is_told() {
    let scratch = Scratch::new();
    let (space, layout) = native::create(&scratch.place("space"), BYTES).unwrap();
    let (anonymous, _) = native::create_anonymous(BYTES).unwrap();
    let memory = layout.superblock(layout.header_superblocks());
    let words = layout.geometry().superblock_words;
    for number in files_of_the_space(&scratch) {
        // SAFETY: that the space's files are gone is what this is about.
        unsafe { libc::close(number) };
    }
    let elsewhere = scratch.path("elsewhere");
    fs::rename(scratch.path("space"), &elsewhere).unwrap();
    let told = "somebody has closed the file of the space";
    let refused = space.commit_pages(memory, words).unwrap_err().to_string();
    assert!(refused.contains(told), "{refused}");
    // Another one in its place is not it.
    let (other, _) = native::create(&scratch.place("space"), BYTES).unwrap();
    let refused = space.commit_pages(memory, words).unwrap_err().to_string();
    assert!(refused.contains(told), "{refused}");
    assert_eq!(space.committed_bytes(), 0, "not to be known");
    drop(other);
    fs::remove_dir_all(scratch.path("space")).unwrap();
    fs::rename(&elsewhere, scratch.path("space")).unwrap();
    let before = fs::metadata(scratch.path("space").join("arena")).unwrap().blocks();
    space.commit_pages(memory, words).unwrap();
    assert_eq!(fs::metadata(scratch.path("space").join("arena")).unwrap().blocks(), before + words * 8 / 512);

    // SAFETY: as above.
    unsafe { libc::close(anonymous.descriptor().unwrap().as_raw_fd()) };
    let refused = anonymous.commit_pages(memory, words).unwrap_err().to_string();
    assert!(refused.contains(told), "{refused}");
}

/// The danger: where `/proc` counts the processes of another namespace, a living one that has lost its byte is taken for dead, and robbed.
#[test]
fn what_proc_says_of_a_stranger_proves_no_death() {
    let scratch = Scratch::new();
    const REFUSED: i32 = 99;
    let pid = in_a_child(|| {
        // SAFETY: plain numbers. The children of this process are numbered anew, and `/proc` stays what it was.
        step(REFUSED, unsafe { libc::unshare(libc::CLONE_NEWPID) } == 0)?;
        let first = in_a_child(|| {
            let (space, layout) = native::create(&scratch.place("space"), BYTES).map_err(|_| 1)?;
            let root = layout.hot(HotWord::Root);
            let slot = ProcessSlotId(1);
            let second = fork();
            if second == 0 {
                let holds = space.rejoin_after_fork().is_ok() && space.claim_liveness(slot);
                // Whoever reads the file by himself loses the byte.
                drop(fs::read(scratch.path("space").join("live")));
                space.store(root, if holds { space.identity().start_time } else { 1 }, Ordering::Release);
                std::thread::sleep(PATIENCE);
                exit_now(0);
            }
            let deadline = Instant::now() + PATIENCE;
            while space.load(root, Ordering::Acquire) == 0 {
                step(2, Instant::now() < deadline)?;
            }
            let start_time = space.load(root, Ordering::Acquire);
            let lives = ProcessIdentity { pid: second as u32, start_time };
            let found = space.liveness(slot, lives);
            // SAFETY: a child of ours.
            unsafe { libc::kill(second, libc::SIGKILL) };
            let killed = exit_code(second) == -1;
            let then = space.liveness(slot, lives);
            step(3, start_time != 1 && killed)?;
            step(4, found == Liveness::Fenced)?;
            step(5, then == Liveness::Dead)
        });
        match exit_code(first) {
            0 => Ok(()),
            number => Err(number),
        }
    });
    match exit_code(pid) {
        REFUSED => eprintln!("NOT SHOWN: a /proc of another namespace, for this system lets us make none"),
        number => assert_eq!(number, 0),
    }
}
