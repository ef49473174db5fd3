"""The header page of an arena file, to be changed by tests that play an older, a newer or another machine's release."""

import pathlib
import struct

HEADER_WORDS = 34
FORMAT, LAYOUT, FEATURES, BOOT, FENCES, GEOMETRY, CHECKSUM = 1, 2, 3, 6, 9, 10, 31
_MASK = 2**64 - 1


def siphash_1_3(data):
    """SipHash with one round a word, three at the end, and the key 0."""
    state = [0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573]

    def rotated(word, bits):
        return (word << bits | word >> 64 - bits) & _MASK

    def round_():
        a, b, c, d = state
        a = (a + b) & _MASK
        b = rotated(b, 13) ^ a
        a = rotated(a, 32)
        c = (c + d) & _MASK
        d = rotated(d, 16) ^ c
        a = (a + d) & _MASK
        d = rotated(d, 21) ^ a
        c = (c + b) & _MASK
        b = rotated(b, 17) ^ c
        c = rotated(c, 32)
        state[:] = a, b, c, d

    tail = data[len(data) // 8 * 8 :] + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for (word,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8] + tail):
        state[3] ^= word
        round_()
        state[0] ^= word
    state[2] ^= 255
    for _ in range(3):
        round_()
    return state[0] ^ state[1] ^ state[2] ^ state[3]


class ArenaFile:
    """The file of a space in `directory`."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory) / "arena"

    def words(self):
        """The words of the header, checksum included."""
        with self.path.open("rb") as file:
            return list(struct.unpack(f"<{HEADER_WORDS}Q", file.read(8 * HEADER_WORDS)))

    def write(self, words, sign=True):
        """Stores them, with a new checksum unless the test is about that."""
        if sign:
            words[CHECKSUM] = self.checksum(words)
        with self.path.open("r+b") as file:
            file.write(struct.pack(f"<{HEADER_WORDS}Q", *words))

    @staticmethod
    def checksum(words):
        """What belongs there."""
        rest = [word for index, word in enumerate(words) if index != CHECKSUM]
        return siphash_1_3(struct.pack(f"<{len(rest)}Q", *rest))

    def change(self, index, change, sign=True):
        """Changes one word, and gives the words as they were."""
        before = self.words()
        changed = list(before)
        changed[index] = change(changed[index]) & _MASK
        self.write(changed, sign)
        return before
