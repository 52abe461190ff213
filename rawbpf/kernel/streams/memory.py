# SPDX-License-Identifier: BSD-2-Clause
"""Memory shared with the kernel: mapping it, the order in which it is read and written, runs of equal headers."""

from __future__ import annotations

import mmap
import os
from _thread import allocate_lock
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, errno_name, errno_text

if TYPE_CHECKING:
    from collections.abc import Callable

_STRONG = frozenset({"x86_64", "i386", "i586", "i686", "s390x"})
"""Machines on which loads are not reordered with loads, nor stores with stores, nor stores with earlier loads."""
_GALLOP = 8


def map_shared(fd: int, size: int, *, offset: int = 0, writable: bool = False) -> mmap.mmap:
    """Map what a descriptor stands for, shared with the kernel. Raises `KernelError`."""
    prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    try:
        return mmap.mmap(fd, size, mmap.MAP_SHARED, prot, offset=offset)
    except OSError as failure:
        number = failure.errno or 0
        raise KernelError(
            f"the buffer cannot be mapped: {errno_text(number)} ({errno_name(number)})",
            errno=number,
            command="mmap",
            hint="a descriptor that was opened read-only cannot be read from in turn" if writable else None,
        ) from failure


def unmap(memory: mmap.mmap) -> None:
    """Unmap it now, or with the last view of it that somebody still holds."""
    try:
        memory.close()
    except BufferError:
        pass


def make_fence() -> Callable[[], None]:
    """A function after which this thread sees nothing older, and shows nothing earlier, than what it did before.

    It is what C's ``atomic_thread_fence(memory_order_acq_rel)`` is; a store may still pass a later load. Python has no
    fences, but its locks are made of atomic operations: taking one acquires, giving it back releases, and the two are
    not reordered with each other. Where the machine keeps that order by itself, nothing is done.
    """
    if os.uname().machine in _STRONG:
        return _nothing
    lock = allocate_lock()

    def fence() -> None:
        for _ in range(2):
            lock.acquire(False)
            lock.release()

    return fence


def _nothing() -> None:
    pass


def equal_cells(cells: memoryview, first: int, step: int, count: int, guess: int) -> int:
    """How many of `count` cells, each `step` behind the other, are what the first one is.

    They are compared with their neighbours by one strided comparison in C, `guess` cells first and then more and more:
    that costs no more than a few times what is found.
    """
    if count <= 1 or cells[first + step] != cells[first]:
        return min(count, 1)
    known = 1  # of these it is sure
    while known < count:
        room = min(count - known, max(guess, known * _GALLOP))
        if not _equal(cells, first + (known - 1) * step, step, room):
            return known + _first_other(cells, first + (known - 1) * step, step, room)
        known += room
    return known


def _equal(cells: memoryview, first: int, step: int, count: int) -> bool:
    # whether `count` cells behind the first are as it is
    end = first + count * step
    return cells[first:end:step] == cells[first + step : end + step : step]


def _first_other(cells: memoryview, first: int, step: int, count: int) -> int:
    # how many behind the first are as it is, `count` not being
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        if _equal(cells, first + low * step, step, middle - low):
            low = middle
        else:
            high = middle
    return low
