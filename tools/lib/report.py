# SPDX-License-Identifier: BSD-2-Clause
"""What a tool says to its user: notes and progress on stderr, errors in one line, exit codes."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

FAILED = 125
"""Exit code of a tool that could not do its own part (as env(1) and timeout(1) use it)."""
INTERRUPTED = 130
"""Exit code after Ctrl-C."""


class ToolError(Exception):
    """What went wrong, and where there is one, the way out; shown without a traceback."""

    code = FAILED
    """Exit code of the tool."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def note(text: str) -> None:
    """Say something that is no result."""
    print(text, file=sys.stderr, flush=True)


def pending(text: str) -> None:
    """Say what will take some seconds, to whoever sits there and waits for it; a log does without."""
    if sys.stderr.isatty():
        note(text)


def run(name: str, main: Callable[[], int]) -> NoReturn:
    """Run a script's main function, and exit: errors become a line, Ctrl-C and SIGTERM unwind the stack first."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = main()
    except ToolError as error:
        note(f"{name}: {error}")
        if error.hint:
            note(f"hint: {error.hint}")
        code = error.code
    except KeyboardInterrupt:
        note(f"{name}: interrupted")
        code = INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone: nothing to say, and nobody to say it to
        code = FAILED
    sys.exit(code)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


class Progress:
    """A line that says how far a long job is: redrawn on a terminal, else printed every half minute."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._live = sys.stderr.isatty()
        self._period = 0.2 if self._live else 30.0
        self._start = time.monotonic()
        self._shown = self._start if not self._live else 0.0

    def update(self, state: str) -> None:
        now = time.monotonic()
        if now - self._shown >= self._period:
            self._shown = now
            self._show(state, "" if self._live else "\n")

    def finish(self, state: str) -> None:
        self._show(state, "\n")

    def _show(self, state: str, end: str) -> None:
        line = f"{self._label}: {state}, {duration(time.monotonic() - self._start)}"
        print(f"\r\x1b[K{line}" if self._live else line, end=end, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time span as people say it: 42 s, 6 min 40 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
