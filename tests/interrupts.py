# SPDX-License-Identifier: BSD-2-Clause
"""A KeyboardInterrupt at each of the places in the package where one can come, one after the other."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class AtCall:
    """Interrupts at the k-th beginning of a function of the package, or return from a function written in C.

    These are the places where CPython looks whether a signal has come (among others).
    """

    install = staticmethod(sys.setprofile)

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: Any, event: str, argument: object) -> Any:
        if event in ("call", "c_return") and "rawbpf" in frame.f_code.co_filename:
            self.count()
        return self

    def count(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise KeyboardInterrupt


class AtBytecode(AtCall):
    """Interrupts before the k-th bytecode of the package: more places than there can be."""

    install = staticmethod(sys.settrace)

    def __call__(self, frame: Any, event: str, argument: object) -> Any:
        if "rawbpf" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event in ("opcode", "line"):  # the first releases of Python 3.12 tell of lines only
            self.count()
        return self


def interrupted(action: Callable[[], object], where: type[AtCall], step: int = 1) -> Iterator[int]:
    """Runs the action again and again, interrupted `step` places later each time, until it comes through."""
    number = 0
    while True:
        interrupt = where(number)
        try:
            interrupt.install(interrupt)
            try:
                action()
            finally:
                interrupt.install(None)
        except KeyboardInterrupt:
            pass  # with its traceback go the last references to what was being made
        else:
            assert interrupt.left >= 0, f"the interrupt at place {number} was swallowed"
            return
        yield number
        number += step
