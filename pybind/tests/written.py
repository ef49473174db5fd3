"""Which pages of a mapping this process writes: told by the kernel, without a signal and without changing what is written.

Two ways. Soft-dirty bits: all are cleared (`clear_refs`), a write sets them. Or write protection by userfaultfd in its asynchronous
mode, Linux 6.7: the pages are protected, the first write takes the protection off. Either way `pagemap` says which.
"""

import ctypes
import fcntl
import mmap
import os
import platform
import struct

PAGE = os.sysconf("SC_PAGE_SIZE")
USERFAULTFD = {"x86_64": 323, "aarch64": 282}
UFFD_API, UFFD_USER_MODE_ONLY = 0xAA, 1
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_WRITEPROTECT = 0xC018AA3F, 0xC020AA00, 0xC018AA06
# Shared memory; pages that are not there yet; no messages.
UFFD_FEATURES = 1 << 12 | 1 << 13 | 1 << 15
REGISTER_WRITE_PROTECTED, WRITE_PROTECT = 2, 1
# Bits of an entry of `pagemap`.
SOFT_DIRTY, PROTECTED = 1 << 55, 1 << 57


class SoftDirty:
    """Soft-dirty bits."""

    def __init__(self, start, end):
        self.start, self.end = start, end
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("4")

    def pages(self):
        """Numbers of the pages written since, from the start of the mapping on."""
        return [number for number, word in enumerate(_pagemap(self.start, self.end)) if word & SOFT_DIRTY]


class Protection:
    """Write protection."""

    def __init__(self, start, end):
        self.start, self.end = start, end
        call = ctypes.CDLL(None, use_errno=True).syscall
        self.file = call(USERFAULTFD[platform.machine()], os.O_CLOEXEC | UFFD_USER_MODE_ONLY)
        if self.file < 0:
            raise OSError(ctypes.get_errno(), "userfaultfd")
        fcntl.ioctl(self.file, UFFDIO_API, struct.pack("<3Q", UFFD_API, UFFD_FEATURES, 0))
        fcntl.ioctl(self.file, UFFDIO_REGISTER, struct.pack("<4Q", start, end - start, REGISTER_WRITE_PROTECTED, 0))
        fcntl.ioctl(self.file, UFFDIO_WRITEPROTECT, struct.pack("<3Q", start, end - start, WRITE_PROTECT))

    def pages(self):
        """As above."""
        return [number for number, word in enumerate(_pagemap(self.start, self.end)) if not word & PROTECTED]


def _pagemap(start, end):
    with open("/proc/self/pagemap", "rb") as pagemap:
        pagemap.seek(start // PAGE * 8)
        return [word for (word,) in struct.iter_unpack("<Q", pagemap.read((end - start) // PAGE * 8))]


def way():
    """The class that works here, tried on a mapping of which one page is written. `None`: neither does."""
    for kind in [SoftDirty, Protection]:
        tried = mmap.mmap(-1, 4 * PAGE)
        tried[:] = b"x" * (4 * PAGE)
        first = ctypes.addressof(ctypes.c_char.from_buffer(tried))
        try:
            watch = kind(first, first + 4 * PAGE)
            assert tried[2 * PAGE] == ord("x")
            tried[PAGE] = 7
            if watch.pages() == [1]:
                return kind
        except (OSError, KeyError):
            pass
    return None


def mapping_of(file):
    """First address, and the one behind the last, of what this process maps of the file."""
    with open("/proc/self/maps") as maps:
        ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in maps if file in line]
    return min(start for start, _ in ranges), max(end for _, end in ranges)
