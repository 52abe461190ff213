# SPDX-License-Identifier: BSD-2-Clause
"""One ring buffer of the kernel (``BPF_MAP_TYPE_RINGBUF``), mapped: its records, in batches.

The kernel's side is kernel/bpf/ringbuf.c. A page with the consumer's position, a page with the producer's, and the data
twice in a row, so that a record that wraps is contiguous. Positions only grow. A record is a header of 8 bytes (length
with two bits, and where it is) and the data, together a multiple of 8.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from rawbpf.errors import RawbpfError, SpecError
from rawbpf.kernel.streams.batch import Batch
from rawbpf.kernel.streams.memory import equal_cells, make_fence, map_shared, unmap
from rawbpf.kernel.streams.source import expect_type
from rawbpf.uapi import RINGBUF_BUSY_BIT, RINGBUF_DISCARD_BIT, RINGBUF_HDR_SZ, MapFlag, MapType

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rawbpf.btf.codec import Codec
    from rawbpf.kernel.maps import Map

_LENGTH = ~(RINGBUF_BUSY_BIT | RINGBUF_DISCARD_BIT)
_FEW = 8  # records of one size that are worth a batch of their own
_MIXED = 512  # records of different sizes in a batch


class RingMemory:
    """The pages of a ring buffer, and the walk over its records.

    Args:
        consumer: the page with the consumer's position, writable.
        producer: the page with the producer's.
        data: the data, twice in a row.
        name: for messages.
        codec: of the records, or None.
    """

    def __init__(
        self,
        consumer: memoryview,
        producer: memoryview,
        data: memoryview,
        *,
        name: str = "",
        codec: Codec | None = None,
    ) -> None:
        self.name = name
        self.codec = codec
        self._consumer = consumer.cast("L")
        self._producer = producer.cast("L")
        self._data = data
        self._cells = data.cast("I")
        self._size = len(data) // 2
        self._mask = (1 << 8 * self._consumer.itemsize) - 1
        self._chunk = self._size // 4  # the most in a batch, so that the kernel gets room while it is worked on
        self._guess = 1
        self._fence = make_fence()

    def take(self, limit: int) -> Batch | None:
        """The next records, `limit` at most; None where there are none. They stay the next ones until `done`.

        Records that the program gave up (discarded) are passed over.
        """
        while True:
            position = self._consumer[0]
            there = (self._producer[0] - position) & self._mask
            if not there:
                return None
            self._fence()  # the headers are read after the producer's position, ...
            at = position & (self._size - 1)
            head = self._cells[at >> 2]
            if head & RINGBUF_BUSY_BIT:
                return None
            stride = _stride(head)
            if not stride <= there <= self._size:
                raise RawbpfError(
                    f"{self.name}: there is no record at the consumer's position",
                    hint="another reader of the same ring buffer moves it: a ring buffer has one reader",
                )
            most = min(there // stride, limit, max(1, self._chunk // stride))
            count = equal_cells(self._cells, at >> 2, stride >> 2, most, self._guess)
            self._guess = count
            if head & RINGBUF_DISCARD_BIT:
                self._consumer[0] = position + count * stride & self._mask
                continue
            after = at + count * stride
            if count < min(_FEW, most) and not self._cells[after >> 2] & RINGBUF_BUSY_BIT:
                return self._mixed(at, min(there, self._chunk), limit)
            self._fence()  # ... and the data after the headers
            return Batch(
                self._data[at:after],
                count,
                skip=RINGBUF_HDR_SZ,
                stride=stride,
                size=head,
                codec=self.codec,
                name=self.name,
            )

    def _mixed(self, at: int, there: int, limit: int) -> Batch:
        # records of different sizes, one by one, up to one that is not ready
        cells, start, end = self._cells, at, at + there
        spans: list[tuple[int, int]] = []
        limit = min(limit, _MIXED)
        while at < end and len(spans) < limit:
            head = cells[at >> 2]
            if head & RINGBUF_BUSY_BIT:
                break
            if not head & RINGBUF_DISCARD_BIT:
                body = at - start + RINGBUF_HDR_SZ
                spans.append((body, body + head))
            at += _stride(head)
        self._fence()
        data = self._data[start:at]
        return Batch(
            data, len(spans), skip=RINGBUF_HDR_SZ, stride=0, size=0, spans=spans, codec=self.codec, name=self.name
        )

    def done(self, batch: Batch, count: int) -> None:
        """The first `count` records of a batch from `take` are done with: the kernel may write over them."""
        if count == len(batch):
            length = len(batch.data)
        elif batch.stride:
            length = count * batch.stride
        else:
            length = batch.spans()[count][0] - RINGBUF_HDR_SZ
        batch.data.release()
        self._fence()  # nothing of the data is read after the position is told
        self._consumer[0] = self._consumer[0] + length & self._mask

    def pending(self) -> bool:
        """Whether there is something to read, or to pass over, or just being written."""
        return bool(self._producer[0] != self._consumer[0])

    def release(self) -> None:
        """Let go of the memory."""
        for view in (self._consumer, self._producer, self._cells, self._data):
            view.release()


def _stride(head: int) -> int:
    return (head & _LENGTH) + RINGBUF_HDR_SZ + 7 & ~7


class Ring(RingMemory):
    """A ring buffer map, mapped, as a source of a `Reader`. It has a descriptor and mappings of its own.

    Raises:
        SpecError: it is another type of map.
        KernelError: it cannot be mapped.
    """

    armed_by_position = True

    def __init__(
        self, map: Map, *, codec: Codec | None = None, callback: Callable[[Any], object] | None = None
    ) -> None:
        expect_type(map, MapType.RINGBUF)
        if map.map_flags & MapFlag.RB_OVERWRITE:
            raise SpecError(
                f"{map.name} overwrites its oldest records (BPF_F_RB_OVERWRITE): they cannot be followed",
                hint="a reader needs the records to stay until it has read them: create the map without that flag",
            )
        page = mmap.PAGESIZE
        self.callback = callback
        self.fd = map.fd.duplicate()
        self._mapped: list[mmap.mmap] = []
        try:
            self._mapped.append(map_shared(self.fd.fileno(), page, writable=True))
            self._mapped.append(map_shared(self.fd.fileno(), page + 2 * map.max_entries, offset=page))
            consumer, producer = [memoryview(memory) for memory in self._mapped]
            super().__init__(consumer, producer[:page], producer[page:], name=map.name, codec=codec)
        except BaseException:
            self.fd.close()
            raise

    def close(self) -> None:
        """Unmap it, and close the descriptor. Views that somebody still holds stay valid."""
        self.release()
        for memory in self._mapped:
            unmap(memory)
        self.fd.close()
