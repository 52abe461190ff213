# SPDX-License-Identifier: BSD-2-Clause
"""The elements of a map as bytes, thousands in a call (``BPF_MAP_*_BATCH``, since Linux 5.6)."""

from __future__ import annotations

import struct
from errno import EINVAL, ENOENT, ENOSPC
from typing import TYPE_CHECKING

from rawbpf.errors import ENOTSUPP
from rawbpf.kernel.gate import Prepared, address
from rawbpf.uapi import Cmd, MapType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.maps.elements import Refuse

WALKED = frozenset(
    {
        MapType.HASH,
        MapType.LRU_HASH,
        MapType.PERCPU_HASH,
        MapType.LRU_PERCPU_HASH,
        MapType.HASH_OF_MAPS,
        MapType.ARRAY,
        MapType.PERCPU_ARRAY,
        MapType.ARRAY_OF_MAPS,
    }
)
"""Where a batch is the better walk: a hash map hands out whole buckets, so that what is deleted meanwhile disturbs
nothing. An LPM trie has batches too, but starts again when the key is gone on which the walk stands."""
WRITTEN = WALKED | {MapType.LPM_TRIE, MapType.RHASH}
"""Where elements may be written in batches."""

_BATCH = struct.Struct("=QQQQIIQQ")  # in_batch, out_batch, keys, values, count, map_fd, elem_flags, flags
_COUNT = struct.Struct("=32xI")
_CHUNK = 1 << 20  # bytes
_NO_BATCH = (ENOTSUPP, EINVAL)  # this type of map has none; the kernel has none (or something else is wrong as well)


class NoBatch(Exception):
    """The kernel has no batch for this type of map, and nothing was done."""


class Batch:
    """The elements of a map by the thousand.

    Args:
        fd: the map.
        key_size, room: bytes of a key, and of a value as the kernel writes it.
        max_entries: of the map.
        refuse: makes the error of a command that failed.
    """

    def __init__(self, fd: Fd, key_size: int, room: int, max_entries: int, refuse: Refuse) -> None:
        self._fd = fd
        self._key_size = key_size
        self._room = room
        self._max_entries = max_entries
        self._refuse = refuse

    @property
    def chunk(self) -> int:
        """How many elements are worth a call."""
        return max(1, _CHUNK // (self._key_size + self._room))

    def walk(self, command: Cmd = Cmd.MAP_LOOKUP_BATCH) -> Iterator[tuple[memoryview, memoryview]]:
        """All elements, chunk by chunk: their keys and their values, which are good until the next chunk.

        With `MAP_LOOKUP_AND_DELETE_BATCH` they are deleted. Raises `NoBatch`.
        """
        count = min(self.chunk, max(self._max_entries, 1))
        keys, values = self._buffers(count)
        before, after = (bytearray(max(self._key_size, 4)) for _ in range(2))
        start = 0  # where the kernel's cursor is; 0 for the beginning
        number = 0
        while number != ENOENT:
            at = start, address(after), address(keys), address(values)
            number, found = self._call(command, *at, count)
            if number in _NO_BATCH and not start:
                raise NoBatch
            if number == ENOSPC and not found:  # a bucket of a hash map has more elements than there is room for
                count *= 2
                keys, values = self._buffers(count)
                continue
            if number not in (0, ENOENT):
                raise self._refuse(command, number, b"")
            if found:
                yield memoryview(keys)[: found * self._key_size], memoryview(values)[: found * self._room]
            before, after = after, before
            start = address(before)

    def update(self, keys: bytes, values: bytes, count: int, flags: int = 0) -> None:
        """Set `count` elements. Raises `NoBatch`, or the error of the element at fault; those before it are set."""
        number, done = self._call(Cmd.MAP_UPDATE_BATCH, 0, 0, address(keys), address(values), count, flags)
        if number in _NO_BATCH and not done:
            raise NoBatch
        if number:
            raise self._refuse(Cmd.MAP_UPDATE_BATCH, number, keys[done * self._key_size :][: self._key_size])

    def delete(self, keys: bytes, start: int = 0) -> int:
        """Delete elements, from that byte of `keys` up to the first that is missing: how many. Raises `NoBatch`."""
        count = (len(keys) - start) // self._key_size
        number, done = self._call(Cmd.MAP_DELETE_BATCH, 0, 0, address(keys) + start, 0, count)
        if number in _NO_BATCH and not done:
            raise NoBatch
        if number not in (0, ENOENT):
            raise self._refuse(Cmd.MAP_DELETE_BATCH, number, keys[start + done * self._key_size :][: self._key_size])
        return done

    def _buffers(self, count: int) -> tuple[bytearray, bytearray]:
        return bytearray(count * self._key_size), bytearray(count * self._room)

    def _call(
        self, command: Cmd, start: int, end: int, keys: int, values: int, count: int, flags: int = 0
    ) -> tuple[int, int]:
        # The errno, and how many elements were done (a kernel that refuses at once leaves the number as it was)
        attr = bytearray(_BATCH.pack(start, end, keys, values, count, self._fd.fileno(), flags, 0))
        number = Prepared(command, attr, len(attr))()
        (done,) = _COUNT.unpack_from(attr)
        return number, 0 if done == count and number not in (0, ENOENT) else done
