# SPDX-License-Identifier: BSD-2-Clause
"""Reading what the kernel writes, from ring buffers and perf buffers: as iterator, by callback, with asyncio."""

from __future__ import annotations

import select
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from rawbpf.errors import ClosedError, SpecError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from typing_extensions import Self

    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.streams.batch import Batch

_NAP = 50e-6  # seconds to the next look at a record that is there but not ready: a program is just writing it


class Source(Protocol):
    """A buffer whose one reader we are.

    Attributes:
        fd: what epoll waits for.
        callback: for the records of this buffer, or None.
        armed_by_position: whether the kernel wakes a reader only if its position says that it has read all there was.
    """

    fd: Fd
    callback: Callable[[Any], object] | None
    armed_by_position: bool

    def take(self, limit: int) -> Batch | None:
        """The next records, `limit` at most; None where there are none. They stay the next ones until `done`."""

    def done(self, batch: Batch, count: int) -> None:
        """The first `count` records of a batch from `take` are done with."""

    def pending(self) -> bool:
        """Whether there is something to read, or to pass over."""

    def close(self) -> None:
        """Let go of the memory and the descriptor."""


class Reader:
    """What `RingBuffer` and `PerfBuffer` have in common. It is for one thread, and one loop at a time.

    A record is done with, and the kernel told so, when the next one (in batches: the next batch) is asked for, when its
    callback has returned or raised, or when the loop is left. What was handed out but not done with when a reader was
    killed, the next reader finds again.

    Args:
        busy_poll: seconds to look again and again before sleeping, which takes a CPU and saves the time of a wake-up.
    """

    def __init__(self, *, busy_poll: float = 0.0) -> None:
        self._epoll = select.epoll()
        self._sources: list[Source] = []
        self._busy_poll = busy_poll
        self._current: tuple[Source, Batch] | None = None
        self._done = 0  # records of the current batch that are done with

    def _add(self, source: Source) -> None:
        try:
            self._epoll.register(source.fd.fileno(), select.EPOLLIN)
            self._sources.append(source)
        except BaseException:
            source.close()
            raise

    # -- what there is

    def read(self, limit: int | None = None) -> list[Any]:
        """All records that are there now, `limit` at most. Does not wait."""
        found: list[Any] = []
        for _, batch in self._ready(limit):
            found.extend(batch)
            self._done = len(batch)
        return found

    def consume(self, limit: int | None = None, callback: Callable[[Any], object] | None = None) -> int:
        """Hand all records that are there now, `limit` at most, to their callbacks. Does not wait.

        An exception of a callback comes through: its record is done with, those behind it are not.

        Returns:
            How many there were.
        """
        count = 0
        for source, batch in self._ready(limit):
            call = callback or source.callback
            if call is None:
                raise SpecError("there is no callback for the records", hint="give one here, or with the map")
            for self._done, record in enumerate(batch, 1):
                call(record)
            count += len(batch)
        return count

    # -- what comes

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is something to read; False if there was nothing for `timeout` seconds (None: for ever)."""
        epoll = self._opened()
        if self._busy_poll:
            now = time.monotonic()
            end = now + (self._busy_poll if timeout is None else min(self._busy_poll, timeout))
            while now < end:
                if self._pending():
                    return True
                now = time.monotonic()
        self._arm()
        return bool(epoll.poll(timeout, max(1, len(self._sources))))

    def poll(self, timeout: float | None = None, callback: Callable[[Any], object] | None = None) -> int:
        """Wait for records, `timeout` seconds at most (None: for ever), and hand all there are to their callbacks.

        Returns:
            How many there were: 0 when the time is over.
        """
        end = _deadline(timeout)
        while True:
            count = self.consume(callback=callback)
            left = _left(end)
            if count or left == 0.0 or not self.wait(left):
                return count
            if self._not_ready():
                time.sleep(_NAP)

    def batches(self, timeout: float | None = None) -> Iterator[Batch]:
        """The records in batches, as they come; ends when none came for `timeout` seconds (None: never)."""
        for batch in self._coming(timeout):
            self._done = len(batch)
            yield batch

    def records(self, timeout: float | None = None) -> Iterator[Any]:
        """The records as they come; ends when none came for `timeout` seconds (None: never)."""
        for batch in self._coming(timeout):
            for self._done, record in enumerate(batch, 1):
                yield record

    def __iter__(self) -> Iterator[Any]:
        return self.records()

    async def batches_async(self) -> AsyncIterator[Batch]:
        """As `batches`, for ``async for``: other tasks run between two batches, and while there is nothing."""
        async for batch in self._coming_async():
            self._done = len(batch)
            yield batch

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for batch in self._coming_async():
            for self._done, record in enumerate(batch, 1):
                yield record

    # -- the loops below

    def _ready(self, limit: int | None = None) -> Iterator[tuple[Source, Batch]]:
        # what is there now, the sources in turn; each batch is done with as far as `_done` says
        self._opened()
        left = sys.maxsize if limit is None else limit
        self._finish()  # a loop that was left and not yet cleaned up
        active = list(self._sources)
        while active and left > 0:
            for source in tuple(active):
                batch = source.take(left) if left > 0 else None
                if batch is None:
                    active.remove(source)
                    continue
                left -= len(batch)
                self._current, self._done = (source, batch), 0
                try:
                    yield source, batch
                finally:
                    self._finish(batch)

    def _finish(self, batch: Batch | None = None) -> None:
        if self._current is None or (batch is not None and self._current[1] is not batch):
            return
        source, current = self._current
        self._current = None
        source.done(current, self._done)

    def _coming(self, timeout: float | None) -> Iterator[Batch]:
        end = _deadline(timeout)
        while True:
            for _, batch in self._ready():
                yield batch
                end = _deadline(timeout)
            left = _left(end)
            if left == 0.0 or not self.wait(left):
                return
            if self._not_ready():
                time.sleep(_NAP)

    async def _coming_async(self) -> AsyncIterator[Batch]:
        import asyncio

        while True:
            for _, batch in self._ready():
                yield batch
                await asyncio.sleep(0)
            if self._not_ready():
                await asyncio.sleep(_NAP)
                continue
            self._arm()
            await readable(self._opened().fileno())

    def _arm(self) -> None:
        # The kernel wakes a reader of a ring buffer who stands at the new record. It may have looked at a position of
        # ours that was old, and we at a record that was not ready yet; epoll_ctl(2) looks again, behind a barrier.
        epoll = self._opened()
        for source in self._sources:
            if source.armed_by_position:
                epoll.modify(source.fd.fileno(), select.EPOLLIN)

    def _pending(self) -> bool:
        return any(source.pending() for source in self._sources)

    def _not_ready(self) -> bool:
        # whether the next records of all sources that have any are still being written
        return self._pending() and not any(source.take(1) for source in self._sources)

    def _opened(self) -> select.epoll:
        if self._epoll.closed:
            raise ClosedError("used after it was closed")
        return self._epoll

    # -- the end

    def fileno(self) -> int:
        """A descriptor that is readable (for select, poll, epoll) when there is something to read."""
        self._arm()
        return self._opened().fileno()

    def close(self) -> None:
        """Close it. The map stays, and so do the records that nobody has read."""
        self._finish()
        self._epoll.close()
        while self._sources:
            self._sources.pop().close()

    @property
    def closed(self) -> bool:
        return self._epoll.closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _left(end: float | None) -> float | None:
    return None if end is None else max(0.0, end - time.monotonic())


async def readable(fd: int) -> None:
    """Wait until a descriptor is readable, and let other tasks run."""
    import asyncio

    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
