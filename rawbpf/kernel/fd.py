# SPDX-License-Identifier: BSD-2-Clause
"""File descriptors with an owner.

Every map, program, link and BTF is a descriptor, and one that nobody closes keeps its object in the kernel. So a
descriptor must have an owner from the instant it exists, even when a KeyboardInterrupt (or whatever else a signal
handler raises) arrives in between. Python runs signal handlers between two bytecodes: `own` makes the system call and
the owner in one step of C.
"""

from __future__ import annotations

from fcntl import F_DUPFD_CLOEXEC, fcntl
from io import FileIO
from itertools import starmap
from typing import TYPE_CHECKING

from rawbpf.errors import ClosedError

if TYPE_CHECKING:
    from collections.abc import Callable


class Fd(FileIO):
    """An owned file descriptor, never 0, 1 or 2 (in ``union bpf_attr`` 0 means: none).

    It is a raw file, because those are closed by C code that no signal handler can interrupt. So ``close()`` may be
    called twice, ``with`` closes, and one that is forgotten is closed with a `ResourceWarning`. What the kernel gives
    to be read (an iterator's output) can be read.
    """

    # No __init__ and no __new__ here: they would be bytecode between the system call and the owner.

    def fileno(self) -> int:
        """The number. Raises `ClosedError` when it was closed."""
        if self.closed:
            raise ClosedError("used after it was closed")
        return super().fileno()

    def release(self) -> int:
        """Give up the ownership: an equal descriptor that the caller has to close."""
        number = fcntl(self.fileno(), F_DUPFD_CLOEXEC, 3)
        self.close()
        return number

    def duplicate(self) -> Fd:
        """Another descriptor of the same thing, with an owner of its own."""
        copy = own(fcntl, self.fileno(), F_DUPFD_CLOEXEC, 3)
        assert copy is not None  # the C function raises; it does not answer -1
        return copy

    def __repr__(self) -> str:
        return "<Fd closed>" if self.closed else f"<Fd {super().fileno()}>"


def own(function: Callable[..., int], *args: object) -> Fd | None:
    """Call ``function(*args)``, which opens a descriptor, and own it; None if the answer was negative.

    When `function` is written in C there is no moment at which a signal handler could run and the descriptor be lost.
    """
    try:
        fd = next(map(Fd, starmap(function, (args,))))
    except ValueError:  # a raw file's answer to a negative number
        return None
    if fd.fileno() > 2:
        return fd
    with fd:
        return fd.duplicate()
