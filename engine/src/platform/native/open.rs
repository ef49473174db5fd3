//! Creating and attaching: from a place, or a descriptor, to a mapped space that may be trusted.
//!
//! Create: make the files under a temporary name (or a memfd), give them their full length, map them, commit the pages
//! that every member relies on, format, write the header, publish. Attach: open without following links, check owner,
//! header and length, and only then map. Nothing that a check refuses is ever mapped, and no check trusts a word that an
//! earlier one has not covered.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::fs::{
    FileType, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create,
    open, openat,
};
use rustix::io::{Errno, FdFlags, fcntl_setfd, pread};
use rustix::process::Resource;

use super::descriptor::{Descriptor, FileKey, Opened, key_of};
use super::live::Membership;
use super::place::{ARENA, Draft, LIVE, Place, check_owner, has_arena, open_directory};
use super::{Joined, Native, fences, fork, limit, mapping, process, system};
use crate::arena::header::{Fences, HEADER_USED_WORDS, Header, HeaderWords};
use crate::arena::{self, ArenaError, Geometry, HASH_KEY_WORD, HEADER_WORDS, Layout, MAXIMUM_BYTES, MINIMUM_BYTES};
use crate::contention::PolicyId;
use crate::platform::{Memory, System};
use crate::word::WordAddress;

/// What an anonymous space is called in messages, and its memfd in `/proc`.
const ANONYMOUS: &str = "pso-anonymous";
/// With these nobody can take pages away under a member, or unseal.
const SEALS: SealFlags = SealFlags::GROW.union(SealFlags::SHRINK).union(SealFlags::SEAL);

/// What is chosen when a space is made, for good. A number of bytes is enough.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Size of the space, rounded up to whole superblocks.
    pub bytes: u64,
    /// Who yields in conflicts.
    pub policy: PolicyId,
}

impl From<u64> for Choice {
    fn from(bytes: u64) -> Self {
        Self { bytes, policy: PolicyId::default() }
    }
}

/// Makes a new space.
pub fn create(place: &Place, choice: impl Into<Choice>) -> Result<(Native, Layout), ArenaError> {
    let choice = choice.into();
    let path = place.directory()?;
    let layout = layout_for(choice.bytes)?;
    // Only to spare the work: the rename below decides.
    if fs::symlink_metadata(path.join(ARENA)).is_ok() {
        return Err(ArenaError::AlreadyExists { path });
    }
    let draft = Draft::begin(&path)?;
    let arena = draft.file(ARENA)?;
    set_length(arena.as_fd(), &layout, &path)?;
    let live = Membership::adopt(draft.file(LIVE)?).map_err(failed("open", &path))?;
    let native = fill(Some(arena), live, &layout, choice.policy, path.clone())?;
    // Else it would be of use to nobody.
    native.joined.live.try_lock().map_err(failed("lock", &path.join(LIVE)))?;
    draft.publish(&path)?;
    Ok((native, layout))
}

/// Attaches to a space that exists.
pub fn attach(place: &Place) -> Result<(Native, Layout), ArenaError> {
    let path = place.directory()?;
    let directory = open_directory(&path)?;
    let arena_path = path.join(ARENA);
    let arena = open_file(directory.as_fd(), ARENA, OFlags::RDWR, &arena_path)?;
    let (header, layout) = read_header(arena.as_fd(), &arena_path)?;

    let live_path = path.join(LIVE);
    let (found, key) = find_live(directory.as_fd(), &live_path).map_err(|error| match error {
        // Not being removed just now: then `arena` goes first.
        ArenaError::NotFound { .. } if has_arena(directory.as_fd()) => {
            ArenaError::Foreign { path: path.clone(), found: "it has an `arena` and no `live`".into() }
        }
        ArenaError::NotFound { .. } => ArenaError::NotFound { path: arena_path },
        error => error,
    })?;
    let live = Membership::join(key, || open_found(&found)).map_err(failed("open", &live_path))?;
    Ok((join(Some(arena), live, &layout, &header, path)?, layout))
}

/// The lock file of a space, not opened yet, and which it is. O_PATH: closing such a descriptor ends no locks, and it names the one file whatever happens to the name.
fn find_live(directory: BorrowedFd<'_>, path: &Path) -> Result<(OwnedFd, FileKey), ArenaError> {
    let found = open_file(directory, LIVE, OFlags::PATH, path)?;
    let key = key_of(found.as_fd()).map_err(failed("look at", path))?;
    Ok((found, key))
}

fn open_found(found: &OwnedFd) -> io::Result<OwnedFd> {
    open(name_of(found), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| match errno {
        // Not the file: it is there.
        Errno::NOENT => io::Error::other("there is no /proc/self/fd"),
        errno => errno.into(),
    })
}

fn name_of(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Opens the lock file of the space at `path` once more, if it is this one still: somebody has closed it.
pub(super) fn open_live_again(path: &Path, key: FileKey) -> io::Result<OwnedFd> {
    let gone = |_| io::Error::from(io::ErrorKind::NotFound);
    let directory = open_directory(path).map_err(gone)?;
    let (found, now) = find_live(directory.as_fd(), &path.join(LIVE)).map_err(gone)?;
    if now == key { open_found(&found) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Opens the arena of the space at `path` once more, if it is this one still. Bad number (EBADF): there is none to be had.
pub(super) fn open_arena_again(path: &Path, key: FileKey) -> io::Result<OwnedFd> {
    let closed = || io::Error::from_raw_os_error(libc::EBADF);
    let refused = |error| match error {
        // No number left, say.
        ArenaError::System { source, .. } => source,
        _ => closed(),
    };
    let directory = open_directory(path).map_err(refused)?;
    let arena = open_file(directory.as_fd(), ARENA, OFlags::RDWR, path).map_err(refused)?;
    if key_of(arena.as_fd())? == key { Ok(arena) } else { Err(closed()) }
}

/// Makes a new space without a name, to be handed over by [`Native::descriptor`].
pub fn create_anonymous(choice: impl Into<Choice>) -> Result<(Native, Layout), ArenaError> {
    let choice = choice.into();
    let path = Path::new(ANONYMOUS);
    let layout = layout_for(choice.bytes)?;
    let file = memfd_create(ANONYMOUS, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let file = file.map_err(|errno| failed("make", path)(errno.into()))?;
    set_length(file.as_fd(), &layout, path)?;
    fcntl_add_seals(&file, SEALS).map_err(|errno| failed("seal", path)(errno.into()))?;
    let live = Membership::adopt(file).map_err(failed("open", path))?;
    Ok((fill(None, live, &layout, choice.policy, path.to_path_buf())?, layout))
}

/// Opens what may be an anonymous space's descriptor in some process: `/proc/PID/fd/N`. What is not called like one by the kernel is not opened: by now
/// the number may be that of any file, and to close a file ends the locks that this process has on it.
pub fn open_anonymous(path: &Path) -> Result<OwnedFd, ArenaError> {
    let found = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| failed("open", path)(errno.into()))?;
    let link = fs::read_link(name_of(&found)).map_err(failed("look at", path))?;
    if !link.to_string_lossy().starts_with(&format!("/memfd:{ANONYMOUS}")) {
        return Err(ArenaError::Foreign { path: path.to_path_buf(), found: "not a memfd".into() });
    }
    open_found(&found).map_err(failed("open", path))
}

/// Attaches to an anonymous space that another process has handed over.
pub fn attach_descriptor(descriptor: OwnedFd) -> Result<(Native, Layout), ArenaError> {
    let path = Path::new(ANONYMOUS);
    // This very one, which is kept beside the one that is open already, if there is one.
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC).map_err(|errno| failed("open", path)(errno.into()))?;
    // Before all checks: a refusal that closed a duplicate would end the locks of this process on the first one.
    let live = Membership::adopt(descriptor).map_err(failed("look at", path))?;
    let file = live.file().get().ok_or_else(|| failed("look at", path)(Errno::BADF.into()))?;
    check_owner(file, path)?;
    let seals = match fcntl_get_seals(file) {
        Ok(seals) => seals,
        Err(_) => return Err(ArenaError::Foreign { path: path.to_path_buf(), found: "not a memfd".into() }),
    };
    if !seals.contains(SealFlags::GROW | SealFlags::SHRINK) {
        return Err(ArenaError::NotSealed { found: seals.bits(), expected: SEALS.bits() });
    }
    let (header, layout) = read_header(file, path)?;
    Ok((join(None, live, &layout, &header, path.to_path_buf())?, layout))
}

fn layout_for(bytes: u64) -> Result<Layout, ArenaError> {
    let too_small = ArenaError::TooSmall { bytes, minimum: MINIMUM_BYTES };
    match Geometry::for_bytes(bytes) {
        Some(geometry) => Layout::new(geometry).ok_or(too_small),
        None if bytes > MAXIMUM_BYTES => Err(ArenaError::TooLarge { bytes, maximum: MAXIMUM_BYTES }),
        None => Err(too_small),
    }
}

fn set_length(file: BorrowedFd<'_>, layout: &Layout, path: &Path) -> Result<(), ArenaError> {
    let bytes = layout.geometry().space_words * 8;
    limit::refused_quietly(|| ftruncate(file, bytes)).map_err(|errno| match errno {
        Errno::FBIG => ArenaError::FileLimit { path: path.to_path_buf(), bytes, limit: limit::of(Resource::Fsize) },
        errno => failed("enlarge", path)(errno.into()),
    })
}

/// Opens a file of a space; it has to be a plain one and this user's.
fn open_file(directory: BorrowedFd<'_>, name: &str, access: OFlags, path: &Path) -> Result<OwnedFd, ArenaError> {
    // NONBLOCK: so that a FIFO of this name is refused and not waited for.
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat(directory, name, flags, Mode::empty()).map_err(|errno| failed("open", path)(errno.into()))?;
    let stat = fstat(&file).map_err(|errno| failed("look at", path)(errno.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(ArenaError::Foreign { path: path.to_path_buf(), found: "not a plain file".into() });
    }
    check_owner(file.as_fd(), path)?;
    Ok(file)
}

/// The header of a file, with all checks.
fn read_header(file: BorrowedFd<'_>, path: &Path) -> Result<(Header, Layout), ArenaError> {
    let bytes = fstat(file).map_err(|errno| failed("look at", path)(errno.into()))?.st_size as u64;
    if bytes < HEADER_WORDS * 8 {
        return Err(ArenaError::Truncated { path: path.to_path_buf(), found: bytes, expected: HEADER_WORDS * 8 });
    }
    let mut buffer = [0u8; HEADER_USED_WORDS * 8];
    let read = pread(file, &mut buffer, 0).map_err(|errno| failed("read", path)(errno.into()))?;
    if read < buffer.len() {
        return Err(ArenaError::Truncated { path: path.to_path_buf(), found: read as u64, expected: HEADER_WORDS * 8 });
    }
    let mut words: HeaderWords = [0; HEADER_USED_WORDS];
    for (word, bytes) in words.iter_mut().zip(buffer.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let header = Header::decode(&words, path)?;
    let layout = header.check(boot_id()?, bytes, path)?;
    Ok((header, layout))
}

/// Maps the file of a space that exists.
fn join(
    arena: Option<OwnedFd>,
    live: Membership,
    layout: &Layout,
    header: &Header,
    path: PathBuf,
) -> Result<Native, ArenaError> {
    // Checked with the header.
    let fences = Fences::from_word(header.fence_mode).unwrap_or(Fences::Full);
    if !fences::is_ready_for(fences) {
        return Err(ArenaError::NoMembarrier { path });
    }
    map(arena, live, layout, (header.uuid, fences), path)
}

/// Maps a file of the right length.
fn map(
    arena: Option<OwnedFd>,
    live: Membership,
    layout: &Layout,
    (uuid, fences): (u128, Fences),
    path: PathBuf,
) -> Result<Native, ArenaError> {
    let words = layout.geometry().space_words;
    let identity = process::myself_or_why()?;
    let arena = arena.map(Descriptor::new).transpose().map_err(failed("look at", &path))?.map(Opened::new);
    let file = arena.as_ref().map_or_else(|| live.file(), Opened::file).get();
    let file = file.ok_or_else(|| failed("map", &path)(Errno::BADF.into()))?;
    let bytes = words * 8;
    let mapping = mapping::Mapping::new(file, bytes, system::entropy()).map_err(|errno| match errno {
        Errno::NOMEM => ArenaError::NoAddresses { path: path.clone(), bytes, limit: limit::of(Resource::As) },
        errno => failed("map", &path)(errno.into()),
    })?;
    let (base, fork) = (mapping.base(), fork::ForkMark::armed());
    let page = fork.reach();
    let joined = Joined {
        fork,
        spin_ns: system::spin_ns(),
        pid: AtomicU32::new(0),
        start_time: AtomicU64::new(0),
        uuid,
        path,
        arena,
        live,
        _mapping: mapping,
    };
    let native = Native { base, words, fork: page, fences, joined: Arc::new(joined) };
    native.set_identity(identity);
    Ok(native)
}

/// Maps an empty file and makes a space of it, header last.
fn fill(
    arena: Option<OwnedFd>,
    live: Membership,
    layout: &Layout,
    policy: PolicyId,
    path: PathBuf,
) -> Result<Native, ArenaError> {
    let (uuid, fences) = (random_uuid(), fences::best());
    let header = Header::new(*layout.geometry(), policy, fences, uuid, boot_id()?);
    let native = map(arena, live, layout, (uuid, fences), path)?;
    let commit = |address, words| {
        let committed = native.commit_pages(address, words);
        committed.map_err(|error| failed("allocate", &native.joined.path)(io::Error::from_raw_os_error(error.errno)))
    };
    commit(WordAddress::new(0), layout.tables_words())?;
    commit(layout.superblock(0), layout.header_superblocks() * layout.geometry().superblock_words)?;
    arena::format(&native, layout, policy);
    let hash_key = (native.load_plain(HASH_KEY_WORD), native.load_plain(HASH_KEY_WORD.offset(1)));
    for (index, word) in header.encode(hash_key).into_iter().enumerate() {
        native.store_plain(WordAddress::new(index as u64), word);
    }
    Ok(native)
}

/// A random (version 4) UUID.
fn random_uuid() -> u128 {
    let random = (system::entropy() as u128) << 64 | system::entropy() as u128;
    (random & !(0xf << 76) & !(0x3 << 62)) | 0x4 << 76 | 0x2 << 62
}

/// Which run of the system this is.
fn boot_id() -> Result<u128, ArenaError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = fs::read_to_string(path).map_err(|error| ArenaError::from_proc(path, error))?;
    u128::from_str_radix(&text.trim().replace('-', ""), 16)
        .map_err(|error| failed("read", path)(io::Error::new(io::ErrorKind::InvalidData, error)))
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> ArenaError {
    move |error| ArenaError::from_system(action, path, error)
}
