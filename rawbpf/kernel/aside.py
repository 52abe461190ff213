# SPDX-License-Identifier: BSD-2-Clause
"""Work on a thread of its own, which no KeyboardInterrupt reaches, and which may enter another namespace."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


def aside(function: Callable[[], _T]) -> _T:
    """Call a function on another thread and wait for it. What it raises is raised here.

    An interrupt (KeyboardInterrupt) waits until the function has returned; what it made is then closed.
    """
    answer: list[_T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            answer.append(function())
        except BaseException as error:
            failure.append(error)

    worker = threading.Thread(target=work, name="rawbpf-aside")
    try:
        worker.start()
        worker.join()
    except BaseException:
        if worker.ident is not None:
            worker.join()
        for made in answer:
            if hasattr(made, "close"):
                made.close()
        raise
    if failure:
        try:
            raise failure[0]
        finally:
            failure.clear()  # its traceback names this frame: a cycle
    return answer[0]
