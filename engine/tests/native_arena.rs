//! Spaces and their files: a name leads to a complete space or to a sentence that says why not.
//!
//! The danger: half-made spaces, two creators that both believe to have won, and headers that somebody damaged, trusted.

mod native_support;

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Barrier;

use native_support::{BYTES, Scratch, change_header};
use pso_engine::arena::header::{HEADER_USED_WORDS, Header};
use pso_engine::arena::{ArenaError, HotWord, Layout};
use pso_engine::platform::native::{self, Native, Place};
use pso_engine::platform::{Memory, Ordering::Relaxed, System};
use pso_engine::word::WordAddress;
use rand::{Rng, SeedableRng};

/// A refusal, or a panic that tells what was accepted.
fn refusal(attempt: Result<(Native, Layout), ArenaError>) -> ArenaError {
    match attempt {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => error,
    }
}

/// Asserts the kind of a refusal and that its sentence names the path and all of `parts`.
macro_rules! assert_refused {
    ($attempt:expr, $pattern:pat, $($part:expr),*) => {
        let error = refusal($attempt);
        assert!(matches!(error, $pattern), "{error:?}");
        let sentence = error.to_string();
        $(assert!(sentence.contains(&$part.to_string()), "{:?} is not in {sentence:?}", $part);)*
    };
}

#[test]
fn what_one_mapping_stores_another_loads() {
    let scratch = Scratch::new();
    let (creator, layout) = scratch.space("space");
    let (attached, attached_layout) = native::attach(&scratch.place("space")).unwrap();
    assert_eq!(layout.geometry(), attached_layout.geometry());
    assert_eq!(creator.uuid(), attached.uuid());
    assert_eq!(creator.load(layout.hot(HotWord::VersionClock), Relaxed), 1);

    let word = layout.hot(HotWord::Root);
    creator.store(word, 4711, Relaxed);
    assert_eq!(attached.load(word, Relaxed), 4711);
    let payload = layout.superblock(layout.header_superblocks());
    creator.commit_pages(payload, 8192).unwrap();
    creator.store_plain(payload.offset(1), u64::MAX);
    creator.write_payload(payload, b"hello world");
    attached.with_payload(payload, 11, |bytes| assert_eq!(bytes, b"hello world"));
    assert_eq!(attached.load_plain(payload.offset(1)) >> 24, u64::MAX >> 24, "the tail of the last word is kept");
}

/// Not only in shared memory: a directory on an ordinary disk does, if its file system can allocate ahead.
#[test]
fn a_directory_on_a_disk_works_the_same() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = Place::Directory(directory.path().join("space"));
    match native::create(&place, BYTES) {
        Ok((creator, layout)) => {
            creator.store(layout.hot(HotWord::Root), 3, Relaxed);
            let (attached, _) = native::attach(&place).unwrap();
            assert_eq!(attached.load(layout.hot(HotWord::Root), Relaxed), 3);
            native::unlink(&place).unwrap();
        }
        Err(error) => eprintln!("NOT SHOWN: {error}"),
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_space_outlives_its_members_until_it_is_unlinked() {
    let scratch = Scratch::new();
    let place = scratch.place("space");
    let (creator, layout) = scratch.space("space");
    creator.store(layout.hot(HotWord::Root), 1, Relaxed);
    drop(creator);
    let (member, _) = native::attach(&place).unwrap();
    native::unlink(&place).unwrap();
    assert!(!scratch.path("space").exists());
    assert_eq!(member.load(layout.hot(HotWord::Root), Relaxed), 1, "members keep what they have");
    assert!(matches!(native::unlink(&place), Err(ArenaError::NotFound { .. })));
    assert_refused!(native::attach(&place), ArenaError::NotFound { .. }, scratch.path("space").display());
    scratch.space("space");
}

#[test]
fn a_named_space_is_found_by_name_and_is_nobody_elses() {
    let name = format!("test {}", std::process::id());
    let place = Place::Name(name.clone());
    let (space, _) = native::create(&place, BYTES).unwrap();
    let directory = space.path().unwrap();
    assert_eq!(directory, Path::new("/dev/shm").join(format!("pso.{name}")));
    assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(directory.join("arena")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(directory.join("live")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(native::list_spaces().contains(&name));
    assert_refused!(native::create(&place, BYTES), ArenaError::AlreadyExists { .. }, directory.display());
    native::attach(&place).unwrap();
    native::unlink(&place).unwrap();
    assert!(!native::list_spaces().contains(&name));
}

#[test]
fn an_anonymous_space_is_handed_over_by_descriptor() {
    let (creator, layout) = native::create_anonymous(BYTES).unwrap();
    let handed = creator.descriptor().unwrap().try_clone_to_owned().unwrap();
    let (attached, _) = native::attach_descriptor(handed).unwrap();
    assert_eq!(creator.uuid(), attached.uuid());
    assert!(attached.path().is_none());
    creator.store(layout.hot(HotWord::Root), 5, Relaxed);
    assert_eq!(attached.load(layout.hot(HotWord::Root), Relaxed), 5);
    let handed = File::from(creator.descriptor().unwrap().try_clone_to_owned().unwrap());
    assert!(handed.set_len(0).is_err(), "nobody can take the pages away");

    let plain = tempfile::tempfile().unwrap();
    assert_refused!(native::attach_descriptor(plain.into()), ArenaError::Foreign { .. }, "not a memfd");
    let unsealed: OwnedFd = rustix::fs::memfd_create("unsealed", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    assert_refused!(native::attach_descriptor(unsealed), ArenaError::NotSealed { found: 0, .. }, "0x0");
}

#[test]
fn sizes_outside_the_limits_are_refused() {
    let scratch = Scratch::new();
    let create = |bytes| native::create(&scratch.place("space"), bytes);
    assert_refused!(create(1000), ArenaError::TooSmall { bytes: 1000, .. }, 1000, 1 << 20);
    assert_refused!(create(u64::MAX), ArenaError::TooLarge { .. }, u64::MAX, 1u64 << 40);
    assert_refused!(native::create_anonymous(0), ArenaError::TooSmall { bytes: 0, .. }, 1 << 20);
    assert_eq!(create((1 << 20) + 4096).unwrap().0.bytes(), (1 << 20) + (64 << 10));
    assert_eq!(fs::read_dir(scratch.path("")).unwrap().count(), 1, "nothing is left of the refused");
}

#[test]
fn a_place_that_is_taken_is_refused_and_left_as_it_is() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("full")).unwrap();
    fs::write(scratch.path("full").join("mine"), "precious").unwrap();
    fs::write(scratch.path("file"), "precious").unwrap();
    for name in ["full", "file"] {
        assert_refused!(
            native::create(&scratch.place(name), BYTES),
            ArenaError::AlreadyExists { .. },
            scratch.path(name).display()
        );
    }
    assert_eq!(fs::read(scratch.path("full").join("mine")).unwrap(), b"precious");
    assert_eq!(fs::read(scratch.path("file")).unwrap(), b"precious");
    fs::create_dir(scratch.path("empty")).unwrap();
    native::create(&scratch.place("empty"), BYTES).unwrap();
    assert_refused!(
        native::create(&scratch.place("no/such/parent"), BYTES),
        ArenaError::System { .. },
        scratch.path("no/such").display()
    );
}

#[test]
fn unlink_leaves_the_users_own_files() {
    let scratch = Scratch::new();
    scratch.space("space");
    fs::write(scratch.path("space").join("mine"), "precious").unwrap();
    fs::write(scratch.path("space").join("wake.1"), "").unwrap();
    native::unlink(&scratch.place("space")).unwrap();
    let left: Vec<_> = fs::read_dir(scratch.path("space")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mine"]);
}

/// Not even if they are called like ours.
#[test]
fn what_only_has_a_name_of_ours_is_not_removed() {
    let scratch = Scratch::new();
    let theirs = ["live", "wake.mp3", "arena"];
    fs::create_dir(scratch.path("clips")).unwrap();
    for count in 1..=theirs.len() {
        let there = &theirs[..count];
        there.iter().for_each(|name| fs::write(scratch.path("clips").join(name), "precious").unwrap());
        assert!(matches!(native::create(&scratch.place("clips"), BYTES), Err(ArenaError::AlreadyExists { .. })));
        match native::unlink(&scratch.place("clips")).unwrap_err() {
            ArenaError::NotFound { .. } => assert!(count < theirs.len()),
            ArenaError::Foreign { path, .. } => assert_eq!(path, scratch.path("clips").join("arena")),
            other => panic!("{other:?}"),
        }
        for name in there {
            assert_eq!(fs::read(scratch.path("clips").join(name)).unwrap(), b"precious", "{name} of {there:?}");
        }
    }
    // Beside a space, too.
    scratch.space("space");
    fs::write(scratch.path("space").join("wake.mp3"), "precious").unwrap();
    native::unlink(&scratch.place("space")).unwrap();
    assert_eq!(fs::read(scratch.path("space").join("wake.mp3")).unwrap(), b"precious");
    assert!(!scratch.path("space").join("live").exists());
}

/// The danger: two processes both call `create`, both get a space, and each talks to itself.
#[test]
fn of_many_creators_one_wins_and_attachers_see_all_or_nothing() {
    const CREATORS: usize = 4;
    for round in 0..10 {
        let scratch = Scratch::new();
        let place = scratch.place("space");
        let barrier = Barrier::new(CREATORS + 1);
        std::thread::scope(|scope| {
            let creators: Vec<_> = (0..CREATORS)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        native::create(&place, BYTES)
                    })
                })
                .collect();
            barrier.wait();
            let (attached, _) = loop {
                match native::attach(&place) {
                    Ok(attached) => break attached,
                    Err(ArenaError::NotFound { .. }) => {}
                    Err(error) => panic!("round {round}: {error:?}"),
                }
            };
            let outcomes: Vec<_> = creators.into_iter().map(|creator| creator.join().unwrap()).collect();
            let winners: Vec<_> = outcomes.iter().flatten().collect();
            assert_eq!(winners.len(), 1, "round {round}");
            assert_eq!(winners[0].0.uuid(), attached.uuid());
            for loser in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
                assert!(matches!(loser, ArenaError::AlreadyExists { .. }), "{loser:?}");
            }
        });
        assert_eq!(fs::read_dir(scratch.path("")).unwrap().count(), 1, "drafts of the losers are gone");
    }
}

/// What is left of a process that was killed while it made or removed a space must not block the place for ever.
#[test]
fn leftovers_of_the_killed_are_cleared_by_the_next_creator() {
    let scratch = Scratch::new();
    // Process numbers end at 2^22, so nobody has this one. Of another pid namespace that says nothing.
    let here = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    let [draft, elsewhere] =
        [here, here + 1].map(|space| scratch.path(&format!(".pso-{space}.8388608.1.0000000000000001")));
    for draft in [&draft, &elsewhere] {
        fs::create_dir(draft).unwrap();
        fs::write(draft.join("arena"), "half").unwrap();
    }
    fs::create_dir(scratch.path("space")).unwrap();
    fs::write(scratch.path("space").join("live"), "").unwrap();
    scratch.space("space");
    assert!(!draft.exists());
    assert!(elsewhere.join("arena").exists());
}

#[test]
fn each_difference_has_its_own_refusal() {
    let refused = |change: fn(&mut Header)| {
        let scratch = Scratch::new();
        scratch.space("space");
        change_header(&scratch.arena("space"), change);
        native::attach(&scratch.place("space"))
    };
    assert_refused!(refused(|h| h.format_major = 0), ArenaError::Older { .. }, "older format 0", "reads format 1");
    assert_refused!(refused(|h| h.format_major = 9), ArenaError::Newer { .. }, "newer format 9", "reads format 1");
    assert_refused!(refused(|h| h.layout_hash = 7), ArenaError::OtherLayout { .. }, "0x0000000000000007");
    assert_refused!(refused(|h| h.features = 8), ArenaError::OtherFeatures { .. }, "0x8");
    assert_refused!(refused(|h| h.fence_mode = 2), ArenaError::OtherFences { .. }, "fence mode 2");
    assert_refused!(refused(|h| h.boot_id = 10), ArenaError::OtherBoot { .. }, "boot 0000000000000000000000000000000a");
    assert_refused!(refused(|h| h.geometry.participants = 1 << 40), ArenaError::Corrupt { .. }, "participants");
    assert_refused!(refused(|h| h.geometry.superblock_words = 8191), ArenaError::Corrupt { .. }, "superblock size");

    let scratch = Scratch::new();
    scratch.space("space");
    let file = scratch.arena("space");
    let attach = || native::attach(&scratch.place("space"));
    for length in [BYTES + 4096, BYTES - 4096, 4096, 100, 0] {
        file.set_len(length).unwrap();
        assert_refused!(attach(), ArenaError::Truncated { .. }, scratch.path("space/arena").display(), length);
    }
    file.set_len(BYTES).unwrap();
    file.write_all_at(b"GIF89a", 0).unwrap();
    assert_refused!(attach(), ArenaError::Foreign { .. }, "not a space");
}

#[test]
fn links_and_other_things_are_not_followed() {
    let scratch = Scratch::new();
    scratch.space("real");
    symlink(scratch.path("real"), scratch.path("link")).unwrap();
    assert_refused!(native::attach(&scratch.place("link")), ArenaError::Foreign { .. }, scratch.path("link").display());
    // With a slash, as shells complete names, the system itself would follow it.
    for link in ["link", "link/", "link//.", "./link/"] {
        assert!(matches!(native::attach(&scratch.place(link)), Err(ArenaError::Foreign { .. })), "{link}");
        assert!(matches!(native::unlink(&scratch.place(link)), Err(ArenaError::Foreign { .. })), "{link}");
    }
    native::attach(&scratch.place("real/")).unwrap();

    scratch.space("inner");
    fs::rename(scratch.path("inner/arena"), scratch.path("arena")).unwrap();
    symlink(scratch.path("arena"), scratch.path("inner/arena")).unwrap();
    assert_refused!(native::attach(&scratch.place("inner")), ArenaError::Foreign { .. }, "symbolic link");
    fs::remove_file(scratch.path("inner/arena")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        scratch.path("inner/arena"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    assert_refused!(native::attach(&scratch.place("inner")), ArenaError::Foreign { .. }, "not a plain file");
    fs::remove_file(scratch.path("real/live")).unwrap();
    assert_refused!(native::attach(&scratch.place("real")), ArenaError::Foreign { .. }, "live");
}

#[test]
fn a_space_of_another_user_is_refused() {
    let scratch = Scratch::new();
    scratch.space("space");
    if fs::metadata(scratch.path("space")).unwrap().uid() != 0 {
        // Not root: then somebody else's directory is at hand.
        assert_refused!(
            native::attach(&Place::Directory("/etc".into())),
            ArenaError::NotOwner { owner: 0, .. },
            "/etc"
        );
        fs::set_permissions(scratch.path("space"), PermissionsExt::from_mode(0o000)).unwrap();
        assert_refused!(native::attach(&scratch.place("space")), ArenaError::Permission { .. }, "open");
        return;
    }
    eprintln!("NOT SHOWN: missing permission, for root has them all");
    std::os::unix::fs::chown(scratch.path("space/arena"), Some(12345), None).unwrap();
    assert_refused!(native::attach(&scratch.place("space")), ArenaError::NotOwner { .. }, "user 12345", "user 0");
    std::os::unix::fs::chown(scratch.path("space"), Some(12345), None).unwrap();
    assert_refused!(native::attach(&scratch.place("space")), ArenaError::NotOwner { .. }, "user 12345", "user 0");
    assert!(matches!(native::unlink(&scratch.place("space")), Err(ArenaError::NotOwner { .. })));
}

/// A thousand random bytes of the header page, damaged one after the other: attach refuses or opens, and what it opens
/// can be read. Every used byte is covered by the checksum, so damage there is always refused.
#[test]
fn random_damage_of_the_header_is_refused_or_harmless() {
    let mut random = rand::rngs::StdRng::seed_from_u64(1);
    let scratch = Scratch::new();
    scratch.space("space");
    let file = scratch.arena("space");
    let (mut refused, mut opened) = (0, 0);
    for round in 0..1000 {
        let used = round % 2 == 0;
        let offset = random.random_range(0..if used { HEADER_USED_WORDS as u64 * 8 } else { 4096 });
        let mut kept = [0];
        file.read_exact_at(&mut kept, offset).unwrap();
        file.write_all_at(&[kept[0] ^ random.random_range(1..=255)], offset).unwrap();
        match native::attach(&scratch.place("space")) {
            Err(_) => refused += 1,
            Ok((space, layout)) => {
                assert!(offset >= HEADER_USED_WORDS as u64 * 8, "damage at byte {offset} was not seen");
                assert_eq!(space.load(layout.hot(HotWord::VersionClock), Relaxed), 1);
                opened += 1;
            }
        }
        file.write_all_at(&kept, offset).unwrap();
    }
    assert!(refused >= 500 && opened > 100, "{refused} refused, {opened} opened");
    native::attach(&scratch.place("space")).unwrap();
}

#[test]
fn pages_are_committed_and_given_back() {
    let scratch = Scratch::new();
    let (space, layout) = native::create(&scratch.place("space"), 64 << 20).unwrap();
    let before = space.committed_bytes();
    assert!(before >= layout.tables_words() * 8 && before < 8 << 20, "{before} of {} bytes", space.bytes());
    let (start, words) = (layout.superblock(100), 200 * 8192);
    space.commit_pages(start, words).unwrap();
    assert_eq!(space.committed_bytes() - before, words * 8);
    space.commit_pages(start, words).unwrap();
    assert_eq!(space.committed_bytes() - before, words * 8, "committing again is harmless");
    space.store(start, 7, Relaxed);
    space.punch_pages(start, words);
    assert_eq!(space.committed_bytes(), before);
    assert_eq!(space.load(start, Relaxed), 0);
    assert!(space.commit_pages(WordAddress::new(space.bytes() / 8), 1).is_err(), "beyond the end is an error");
    assert!(space.commit_pages(start, u64::MAX).is_err());
}

/// The mapping lies between guards and not twice at the same place.
#[test]
fn mappings_lie_apart_at_random_places_between_guards() {
    let scratch = Scratch::new();
    scratch.space("space");
    let arena = scratch.path("space/arena").display().to_string();
    let lines = || {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().map(String::from).collect::<Vec<_>>()
    };
    let mut starts = Vec::new();
    for _ in 0..4 {
        let (space, _) = native::attach(&scratch.place("space")).unwrap();
        let lines = lines();
        let at = lines.iter().position(|line| line.ends_with(&arena)).unwrap();
        for neighbour in [&lines[at - 1], &lines[at + 1]] {
            assert!(neighbour.contains("---p"), "no guard: {neighbour}");
        }
        assert!(lines[at].contains("rw-s"));
        starts.push(lines[at].split('-').next().unwrap().to_string());
        drop(space);
        assert!(!self::lines_contain(&arena), "dropped and still mapped");
    }
    starts.sort();
    starts.dedup();
    assert!(starts.len() > 1, "always at {starts:?}");
}

fn lines_contain(arena: &str) -> bool {
    fs::read_to_string("/proc/self/maps").unwrap().lines().any(|line| line.ends_with(arena))
}

#[test]
fn sizes_of_descriptors_say_what_is_named() {
    let scratch = Scratch::new();
    let (named, _) = scratch.space("space");
    assert!(named.descriptor().is_none());
    assert_eq!(named.path(), Some(scratch.path("space").as_path()));
    let (anonymous, _) = native::create_anonymous(BYTES).unwrap();
    assert_eq!(rustix::fs::fstat(anonymous.descriptor().unwrap().as_fd()).unwrap().st_size as u64, BYTES);
    assert_ne!(named.uuid(), anonymous.uuid());
    assert_eq!(named.uuid()[6] >> 4, 4, "a random UUID");
}
