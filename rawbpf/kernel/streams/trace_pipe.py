# SPDX-License-Identifier: BSD-2-Clause
"""The kernel's trace pipe: what programs print with ``bpf_printk``, all of them into one."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

from rawbpf.errors import ClosedError, KernelError, NotSupportedError, PermissionDeniedError, errno_name, errno_text
from rawbpf.kernel.fd import own

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from typing import Any

    from typing_extensions import Self

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
"""Where tracefs is mounted: its own place, and that of old."""


class TracePipe:
    """The lines of the trace pipe, without their newline. Whoever reads a line takes it from all other readers.

    >>> with rawbpf.TracePipe() as lines:
    ...     for line in lines:
    ...         print(line)  # for ever; lines(timeout) ends; `async for` lets other tasks run

    Args:
        places: the directories that may be a tracefs.

    Raises:
        NotSupportedError: there is no tracefs; the error says whether it could be mounted.
        PermissionDeniedError, KernelError: it cannot be opened.
    """

    def __init__(self, places: Sequence[str] = PLACES) -> None:
        path = next((f"{place}/trace_pipe" for place in places if os.path.exists(f"{place}/trace_pipe")), "")
        if not path:
            raise _missing()
        try:
            fd = own(os.open, path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as failure:
            number = failure.errno or 0
            text = f"{path} cannot be opened: {errno_text(number)} ({errno_name(number)})"
            kind = PermissionDeniedError if isinstance(failure, PermissionError) else KernelError
            raise kind(text, errno=number, command="open", hint="run as root") from failure
        assert fd is not None  # the C function raises; it does not answer -1
        self._fd = fd
        self._rest = b""

    def lines(self, timeout: float | None = None) -> Iterator[str]:
        """The lines as they come; ends when none came for `timeout` seconds (None: never)."""
        poll = select.poll()
        poll.register(self._open(), select.POLLIN)
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            lines = self._complete()
            yield from lines
            if lines:
                end = None if timeout is None else time.monotonic() + timeout
                continue
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return
            poll.poll(None if left is None else max(1, int(left * 1000)))

    def __iter__(self) -> Iterator[str]:
        return self.lines()

    async def __aiter__(self) -> AsyncIterator[str]:
        from rawbpf.kernel.streams.reader import readable

        while True:
            for line in self._complete():
                yield line
            await readable(self._open())

    def _complete(self) -> list[str]:
        *lines, self._rest = (self._rest + self._read()).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def _read(self) -> bytes:
        try:
            return os.read(self._open(), 1 << 16)
        except BlockingIOError:
            return b""

    def _open(self) -> int:
        if self._fd.closed:
            raise ClosedError("used after it was closed")
        return self._fd.fileno()

    def fileno(self) -> int:
        """A descriptor that is readable when there are lines."""
        return self._open()

    def close(self) -> None:
        """Close it."""
        self._fd.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()


def _missing() -> NotSupportedError:
    try:
        with open("/proc/filesystems", encoding="ascii") as file:
            known = "\ttracefs\n" in file.read()
    except OSError:
        known = False
    if known:
        text, hint = f"no tracefs is mounted at {PLACES[0]}", f"run as root: mount -t tracefs tracefs {PLACES[0]}"
    else:
        text = "this kernel has no trace pipe: it was built without CONFIG_TRACING (CONFIG_BPF_EVENTS, CONFIG_FTRACE)"
        hint = "programs can write to a ring buffer, or since Linux 6.17 to their own streams"
    return NotSupportedError("trace pipe", command="open", hint=hint, message=text)
