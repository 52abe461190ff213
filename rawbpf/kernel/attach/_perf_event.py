# SPDX-License-Identifier: BSD-2-Clause
"""Programs at perf events: every so many nanoseconds of a clock, cycles of a CPU, page faults …."""

from __future__ import annotations

import os
from errno import EINVAL, ENODEV, ENOENT, ESRCH
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, SpecError, where
from rawbpf.kernel import perf_event as perf
from rawbpf.kernel.attach.near import near_hint
from rawbpf.kernel.attach.perf import attach_event, check_mode
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.perf_event import EventAttr, PerfType
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.links import Link
    from rawbpf.kernel.pinnable import Pinnable
    from rawbpf.kernel.programs import Program

# enum perf_sw_ids and enum perf_hw_id of linux/perf_event.h
_SOFTWARE = """cpu-clock task-clock page-faults context-switches cpu-migrations minor-faults major-faults
alignment-faults emulation-faults dummy bpf-output cgroup-switches"""
_HARDWARE = """cpu-cycles instructions cache-references cache-misses branch-instructions branch-misses bus-cycles
stalled-cycles-frontend stalled-cycles-backend ref-cycles"""
EVENTS = {name: (PerfType.SOFTWARE, config) for config, name in enumerate(_SOFTWARE.split())} | {
    name: (PerfType.HARDWARE, config) for config, name in enumerate(_HARDWARE.split())
}
"""Events by their names, as perf(1) calls them."""


def perf_event(
    program: Program,
    event: str | tuple[int, int] | Pinnable | Fd = "cpu-clock",
    *,
    frequency: int = 0,
    period: int = 0,
    pid: int | None = None,
    cpu: int | None = None,
    cookie: int = 0,
    mode: str = "",
) -> Link | Attachment:
    """Run a program at a perf event: of one CPU, of one process (on all CPUs, or on one). Requires Linux 4.9.

    For all CPUs attach it once for each (``os.sched_getaffinity(0)``).

    Args:
        event: one of `EVENTS`; ``(type, config)`` of ``struct perf_event_attr``; or an open event's descriptor, which
            stays its owner's.
        frequency: how often in a second. The default is 99 times.
        period: instead: every so many events (for the clocks: nanoseconds).
        pid: only of this process (0: this one).
        cpu: only on this CPU; without `pid` the default is CPU 0.
        cookie: what ``bpf_get_attach_cookie`` answers to the program. Requires Linux 5.15.
        mode: ``link`` (Linux 5.15) or ``ioctl``: by default the newest that the kernel has.

    Raises:
        SpecError: no such event, or the program is not for perf events.
        KernelError: ESRCH: no such process; ENODEV: no such CPU; ENOENT: the machine has no such event.
    """
    check_mode(mode)
    need_type(program, "perf_event", ProgType.PERF_EVENT)
    if frequency and period:
        raise SpecError("an event has a frequency or a period", symbol=program.name)
    where_cpu = -1 if cpu is None and pid is not None else cpu or 0

    def open_event() -> Fd:
        if not isinstance(event, (str, tuple)):
            return own_copy(event)
        kind, config = _named(event)
        attr = EventAttr(kind, config, period=period, frequency=0 if period else frequency or 99)
        try:
            return perf.open_event(attr, pid=-1 if pid is None else pid, cpu=where_cpu)
        except KernelError as failure:
            _explain(failure, event, pid, where_cpu)
            raise

    with where(symbol=program.name):
        detail = {"event": event if isinstance(event, (str, tuple)) else "", "pid": pid, "cpu": cpu}
        return attach_event(program, open_event, cookie=cookie, mode=mode, **detail)


def own_copy(event: Pinnable | Fd) -> Fd:
    """A descriptor of our own of an event that somebody else has opened."""
    from rawbpf.kernel.fd import Fd

    fd = event if isinstance(event, Fd) else event.fd
    return fd.duplicate()


def _named(event: str | tuple[int, int]) -> tuple[int, int]:
    if isinstance(event, tuple):
        return event
    if event not in EVENTS:
        hint = near_hint(event, EVENTS, f"there are {', '.join(EVENTS)}")
        raise SpecError(f"no perf event is called {event!r}", hint=hint)
    return EVENTS[event]


def _explain(failure: KernelError, event: str | tuple[int, int], pid: int | None, cpu: int) -> None:
    if failure.errno == ESRCH:
        failure.message = f"there is no process {pid}"
    elif failure.errno in (EINVAL, ENODEV) and cpu >= (os.cpu_count() or 1):
        failure.message = f"there is no CPU {cpu} that is online"
        failure.hint = f"there are {os.cpu_count()}"
    elif failure.errno == ENOENT:
        failure.message = f"this machine does not count {event if isinstance(event, str) else tuple(event)}"
        failure.hint = "virtual machines often have no hardware events: cpu-clock is always there"
