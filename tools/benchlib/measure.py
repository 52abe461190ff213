# SPDX-License-Identifier: BSD-2-Clause
"""Taking time: a command's wall clock, CPU and peak memory, and the rounds in which contenders take turns."""

from __future__ import annotations

import ctypes
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tools.lib.report import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    Metrics: TypeAlias = Mapping[str, float]
    """What one run gave, by the name of the metric."""
    Contender: TypeAlias = Callable[[], Mapping[str, Metrics]]
    """Does one run; its metrics by the row that they are for, mostly one."""
    Results: TypeAlias = dict[str, dict[str, "Stat"]]
    """Statistics by row and metric."""

WALL, CPU, PEAK = "wall ms", "CPU ms", "peak MiB"


class Stat(NamedTuple):
    """The median of some runs, and the quartiles below and above it."""

    median: float
    low: float
    high: float
    runs: int


class CommandFailed(ToolError):
    """A command that should have worked did not.

    Attributes:
        said: the first line of its output.
    """

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        self.said = output.strip().partition("\n")[0]
        super().__init__(f"{' '.join(command)} ended with {code}: {output.strip()}")


def stat(values: Sequence[float]) -> Stat:
    """The statistics of one value or more."""
    if len(values) == 1:
        return Stat(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Stat(median, low, high, len(values))


def ratio(of: Stat, to: Stat) -> float | None:
    """The ratio of two medians; None where there is nothing to divide by."""
    return of.median / to.median if to.median else None


def alternate(contenders: Sequence[Contender], rounds: int) -> Results:
    """Let the contenders take turns, A B C A B C, so that a machine that gets busy is busy for all of them.

    One round more comes first and does not count: it fills the caches.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for turn in range(rounds + 1):
        for contender in contenders:
            for row, metrics in contender().items():
                for metric, value in metrics.items() if turn else ():
                    values.setdefault(row, {}).setdefault(metric, []).append(value)
    return {row: {metric: stat(found) for metric, found in metrics.items()} for row, metrics in values.items()}


def run(command: Sequence[str]) -> dict[str, float]:
    """Run a command once: its wall clock, the CPU time of user and kernel together, and its peak resident memory.

    Raises:
        CommandFailed: with what it said.
    """
    traced, tell = os.pipe()
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            os.close(tell)
            _become(command, traced, said.fileno())
        os.close(traced)
        _ptrace(_PTRACE_SEIZE, pid, _PTRACE_O_TRACEEXIT)
        start = time.perf_counter()
        os.write(tell, b"!")
        os.close(tell)
        peak = 0.0
        while True:
            _, status, usage = os.wait4(pid, 0)
            if not os.WIFSTOPPED(status):
                break
            exiting = status >> 8 == _EXIT_EVENT
            peak = _peak_mib(pid) if exiting else peak
            _ptrace(_PTRACE_CONT, pid, 0 if exiting else os.WSTOPSIG(status))
        wall = time.perf_counter() - start
        if code := os.waitstatus_to_exitcode(status):
            said.seek(0)
            raise CommandFailed(command, code, said.read().decode(errors="replace"))
    return {WALL: 1000 * wall, CPU: 1000 * (usage.ru_utime + usage.ru_stime), PEAK: peak}


def _become(command: Sequence[str], traced: int, output: int) -> None:
    # the forked child: it must not return into the parent's code, and not run anything if the parent has failed
    try:
        if not os.read(traced, 1):
            return
        os.close(traced)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.execvp(command[0], list(command))
    except OSError as error:
        os.write(2, str(error).encode())
    finally:
        os._exit(127)


# The peak that wait4(2) tells is no use: the kernel counts what a process had before exec(2) among its memory, and that
# is a copy of ours. So the child is stopped at its exit, where /proc still tells the peak of its last memory.
_PTRACE_CONT, _PTRACE_SEIZE, _PTRACE_O_TRACEEXIT, _PTRACE_EVENT_EXIT = 7, 0x4206, 0x40, 6
_EXIT_EVENT = signal.SIGTRAP | _PTRACE_EVENT_EXIT << 8


def _ptrace(request: int, pid: int, data: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(ctypes.c_long(request), ctypes.c_long(pid), None, ctypes.c_long(data)) < 0:
        raise ToolError(f"no right to trace a child: {os.strerror(ctypes.get_errno())}", hint="run it as root")


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
