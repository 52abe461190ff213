# SPDX-License-Identifier: BSD-2-Clause
"""The perf buffer of one CPU, mapped: its records, in batches, and the counts of what was lost.

The layout is that of perf_event_open(2): a page (``struct perf_event_mmap_page``) with the positions of the producer
and the consumer, then the data, a power of two of pages. Records have a header of 8 bytes (type, flags, size) and wrap.
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, Any

from rawbpf.errors import RawbpfError
from rawbpf.kernel.streams.batch import Batch
from rawbpf.kernel.streams.memory import equal_cells, make_fence, map_shared, unmap

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawbpf.btf.codec import Codec
    from rawbpf.kernel.fd import Fd

_HEAD, _TAIL = 1024 // 8, 1032 // 8  # data_head and data_tail of the first page, in words
_LOST, _SAMPLE = 2, 9  # PERF_RECORD_*
_HEADER = struct.Struct("=IHH")
_RAW = 12  # bytes before the record proper: the header, and its size


class PerfRing:
    """One CPU's buffer, as a source of a `Reader`.

    A record's size is what the program wrote rounded up so that 4 bytes and it are a multiple of 8: perf does that.

    Attributes:
        cpu: whose.
        lost: records that found no room, as far as the kernel has told: with the next record that finds some.
    """

    armed_by_position = False

    def __init__(
        self,
        fd: Fd,
        cpu: int,
        pages: int,
        *,
        name: str = "",
        codec: Codec | None = None,
        callback: Callable[[Any], object] | None = None,
        lost: Callable[[int, int], object] | None = None,
    ) -> None:
        self.fd = fd
        self.cpu = cpu
        self.lost = 0
        self.name = name
        self.codec = codec
        self.callback = callback
        self._on_lost = lost
        self._memory = map_shared(fd.fileno(), (1 + pages) * mmap.PAGESIZE, writable=True)
        whole = memoryview(self._memory)
        self._positions = whole[: mmap.PAGESIZE].cast("Q")
        self._data = whole[mmap.PAGESIZE :]
        self._cells = self._data.cast("Q")
        self._size = len(self._data)
        self._guess = 1
        self._fence = make_fence()

    def take(self, limit: int) -> Batch | None:
        """The next records of one size, `limit` at most; None where there are none."""
        while True:
            tail = self._positions[_TAIL]
            there = self._positions[_HEAD] - tail
            if not there:
                return None
            self._fence()  # the records are read after the producer's position
            at = tail & (self._size - 1)
            kind, _, size = _HEADER.unpack_from(self._data, at)
            if not 8 <= size <= there <= self._size or size % 8:
                raise RawbpfError(f"{self.name}: the perf buffer of CPU {self.cpu} holds no record where one begins")
            if kind != _SAMPLE:
                if kind == _LOST:
                    self._count_lost(struct.unpack_from("=Q", self._piece(at, size), 16)[0])
                self._positions[_TAIL] = tail + size
                continue
            straight = min(there, self._size - at)
            if size > straight:
                return self._batch(memoryview(self._piece(at, size)), 1, size)
            most = min(straight // size, limit, max(1, self._size // 4 // size))
            count = equal_cells(self._cells, at // 8, size // 8, most, self._guess)
            self._guess = count
            return self._batch(self._data[at : at + count * size], count, size)

    def _piece(self, at: int, size: int) -> bytes:
        # a record that may wrap
        end = at + size
        return bytes(self._data[at:end]) + bytes(self._data[: max(0, end - self._size)])

    def _batch(self, data: memoryview, count: int, size: int) -> Batch:
        return Batch(
            data,
            count,
            skip=_RAW,
            stride=size,
            size=size - _RAW,
            codec=self.codec,
            name=self.name,
            cpu=self.cpu,
        )

    def _count_lost(self, count: int) -> None:
        self.lost += count
        if self._on_lost:
            self._on_lost(self.cpu, count)

    def done(self, batch: Batch, count: int) -> None:
        """The first `count` records of a batch are done with: the kernel may write over them."""
        batch.data.release()
        self._fence()  # nothing is read after the position is told
        self._positions[_TAIL] = self._positions[_TAIL] + count * batch.stride

    def pending(self) -> bool:
        """Whether there is something to read, or to count."""
        return bool(self._positions[_HEAD] != self._positions[_TAIL])

    def close(self) -> None:
        """Unmap it, and close the event."""
        for view in (self._positions, self._cells, self._data):
            view.release()
        unmap(self._memory)
        self.fd.close()
