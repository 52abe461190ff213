# SPDX-License-Identifier: BSD-2-Clause
"""The streams of a program: what it prints with ``bpf_stream_printk``, and what the kernel has to say about it.

Stdout is the program's own; to stderr the kernel writes too, such as the stack of a loop that it had to break off.
"""

from __future__ import annotations

import time
from errno import EINVAL, ENOENT
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, NotSupportedError, where
from rawbpf.kernel.gate import address, call, pack
from rawbpf.uapi import STREAM_STDERR, STREAM_STDOUT, Cmd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from rawbpf.kernel.programs import Program

_ROOM = 1 << 16
_INTERVAL = 0.05  # seconds between two looks: the kernel has no way to wait for these streams


class ProgStream:
    """One stream of a program. Iterating gives the lines that are there, without their newline; see also `follow`.

    What was read is gone. The kernel keeps 100,000 bytes a stream at most, and drops what comes when it is full.

    Args:
        program: the program.
        stream: ``stdout`` or ``stderr``.

    Requires Linux 6.17.
    """

    def __init__(self, program: Program, stream: str = "stdout") -> None:
        self.program = program
        self._number = {"stdout": STREAM_STDOUT, "stderr": STREAM_STDERR}[stream]
        self._rest = b""

    def read(self) -> bytes:
        """All that was written since the last time; empty if that is nothing.

        Raises:
            NotSupportedError: the kernel has no streams of programs.
            KernelError: any other reason.
        """
        parts = []
        with where(symbol=self.program.name):
            while part := self._read():
                parts.append(part)
        return b"".join(parts)

    def _read(self) -> bytes:
        text = bytearray(_ROOM)
        attr, size = pack(
            Cmd.PROG_STREAM_READ_BY_FD,
            stream_buf=address(text),
            stream_buf_len=len(text),
            stream_id=self._number,
            prog_fd=self.program.fileno(),
        )
        try:
            return bytes(text[: call(Cmd.PROG_STREAM_READ_BY_FD, attr, size)])
        except KernelError as failure:
            if failure.errno not in (EINVAL, ENOENT):
                raise
            raise NotSupportedError(
                "streams of programs", min_version="6.17", errno=failure.errno, command=failure.command
            ) from failure

    def __iter__(self) -> Iterator[str]:
        *lines, rest = (self._rest + self.read()).split(b"\n")
        self._rest = b""
        for line in lines if not rest else [*lines, rest]:
            yield line.decode(errors="replace")

    def follow(self, timeout: float | None = None) -> Iterator[str]:
        """The lines as they come; ends when none came for `timeout` seconds (None: never).

        Looks twenty times a second, as nothing tells of new text. A line comes when it is complete.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            lines = self._complete()
            yield from lines
            if lines and timeout is not None:
                end = time.monotonic() + timeout
            if end is not None and time.monotonic() >= end:
                return
            time.sleep(_INTERVAL)

    async def follow_async(self) -> AsyncIterator[str]:
        """As `follow`, for ``async for``: other tasks run while there is nothing."""
        import asyncio

        while True:
            for line in self._complete():
                yield line
            await asyncio.sleep(_INTERVAL)

    def _complete(self) -> list[str]:
        *lines, self._rest = (self._rest + self.read()).split(b"\n")
        return [line.decode(errors="replace") for line in lines]
