# SPDX-License-Identifier: BSD-2-Clause
"""User ring buffers (``BPF_MAP_TYPE_USER_RINGBUF``): what user space writes, for programs that drain them.

As a ring buffer with the roles changed: the producer's position and the data are ours to write, the consumer's is the
kernel's (kernel/bpf/ringbuf.c). A record is reserved with the busy bit in its header, and ready when that is gone.
"""

from __future__ import annotations

import errno
import mmap
import select
import time
from _thread import allocate_lock
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rawbpf.errors import ClosedError, KernelError, SpecError, where
from rawbpf.kernel.streams.memory import make_fence, map_shared, unmap
from rawbpf.kernel.streams.source import codec_for, expect_type
from rawbpf.uapi import RINGBUF_BUSY_BIT, RINGBUF_DISCARD_BIT, RINGBUF_HDR_SZ, MapType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from rawbpf.btf.parse import Btf
    from rawbpf.kernel.maps import Map


class UserRingBuffer:
    """The producer of a user ring buffer. Several threads may use it; several processes must not.

    >>> with rawbpf.UserRingBuffer(obj.maps["requests"], type="struct request") as requests:
    ...     requests.send({"pid": 4242, "action": "WATCH"})
    ...     with requests.reserve(64) as record:  # bytes, written in place
    ...         record[:4] = b"ping"

    A program sees what was sent when it calls ``bpf_user_ringbuf_drain``.

    Args:
        map: a map of type USER_RINGBUF.
        type: the C name of the records' type, for `send`.
        btf: where that type is; by default the BTF of the map's object, or of the programs that use the map.

    Raises:
        SpecError: another type of map; no such type.
        KernelError: it cannot be mapped.

    Requires Linux 6.1.
    """

    def __init__(self, map: Map, type: str | None = None, *, btf: Btf | None = None) -> None:
        expect_type(map, MapType.USER_RINGBUF)
        self.name = map.name
        self.size = map.max_entries
        self._codec = codec_for(map, type, btf)
        self._fence = make_fence()
        self._lock = allocate_lock()
        page = mmap.PAGESIZE
        self._fd = map.fd.duplicate()
        self._mapped: list[mmap.mmap] = []
        try:
            self._mapped.append(map_shared(self._fd.fileno(), page))
            self._mapped.append(map_shared(self._fd.fileno(), page + 2 * self.size, offset=page, writable=True))
        except BaseException:
            self._fd.close()
            raise
        consumer, producer = [memoryview(memory) for memory in self._mapped]
        self._consumer = consumer.cast("L")
        self._producer = producer[:page].cast("L")
        self._data = producer[page:]
        self._cells = self._data.cast("I")
        self._mask = (1 << 8 * self._consumer.itemsize) - 1

    def send(self, value: Any, timeout: float | None = 0.0) -> None:
        """Send a value of the type, or bytes as they are.

        Args:
            value: what the type takes (a dict for a struct), or bytes.
            timeout: seconds to wait for room, 0 not to wait, None for ever.

        Raises:
            SpecError: the type cannot hold it, or it is larger than the buffer.
            KernelError: ENOSPC: there was no room.
        """
        raw = isinstance(value, bytes | bytearray | memoryview)
        if not raw and self._codec is None:
            raise SpecError(f"the records of {self.name} have no type: give bytes, not {type(value).__name__}")
        data = bytes(value) if raw or self._codec is None else self._codec.encode(value)
        with self.reserve(len(data), timeout) as record:
            record[:] = data

    @contextmanager
    def reserve(self, size: int, timeout: float | None = 0.0) -> Iterator[memoryview]:
        """Room for a record, to be written in place. At the end of ``with`` it is submitted; an exception discards it.

        What is reserved later is seen by no program before this one is submitted or discarded. Errors as of `send`.
        """
        with where(symbol=self.name):
            at = self._take(size, timeout)
        flags = RINGBUF_DISCARD_BIT
        record = self._data[at + RINGBUF_HDR_SZ : at + RINGBUF_HDR_SZ + size]
        try:
            yield record
            flags = 0
        finally:
            record.release()
            self._fence()  # the data is there before the header says so
            self._cells[at >> 2] = size | flags

    def _take(self, size: int, timeout: float | None) -> int:
        stride = size + RINGBUF_HDR_SZ + 7 & ~7
        if stride > self.size:
            raise SpecError(f"a record of {size} bytes does not fit into a buffer of {self.size}")
        end = None if timeout is None else time.monotonic() + timeout
        while (at := self._reserved(size, stride)) is None:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise KernelError(
                    f"no room for {size} bytes" + (f" in {timeout} seconds" if timeout else ""),
                    errno=errno.ENOSPC,
                    hint="a program has to call bpf_user_ringbuf_drain; or make the map larger",
                )
            # the kernel looks at the positions itself before it sleeps, and wakes us when a program has drained
            room = select.poll()
            room.register(self._fd.fileno(), select.POLLOUT)
            room.poll(None if left is None else max(1, int(left * 1000)))
        return at

    def _reserved(self, size: int, stride: int) -> int | None:
        with self._lock:
            if self._fd.closed:
                raise ClosedError("used after it was closed")
            produced = self._producer[0]
            if stride > self.size - (produced - self._consumer[0] & self._mask):
                return None
            self._fence()  # what is written now comes after the consumer's position was seen
            at: int = produced & self.size - 1
            self._cells[at >> 2] = size | RINGBUF_BUSY_BIT
            self._cells[(at >> 2) + 1] = 0
            self._fence()  # the header is there before the position says so
            self._producer[0] = produced + stride & self._mask
            return at

    def close(self) -> None:
        """Unmap it. What was sent is still there for programs."""
        with self._lock:
            if self._fd.closed:
                return
            for view in (self._consumer, self._producer, self._cells, self._data):
                view.release()
            for memory in self._mapped:
                unmap(memory)
            self._fd.close()

    @property
    def closed(self) -> bool:
        return self._fd.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()
