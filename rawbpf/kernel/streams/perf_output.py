# SPDX-License-Identifier: BSD-2-Clause
"""The perf events that take what programs write to perf buffers (``PERF_COUNT_SW_BPF_OUTPUT``)."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, NotSupportedError
from rawbpf.kernel import perf_event
from rawbpf.kernel.perf_event import EventAttr, PerfType

if TYPE_CHECKING:
    from rawbpf.kernel.fd import Fd

_BPF_OUTPUT = 10  # PERF_COUNT_SW_BPF_OUTPUT
_SAMPLE_RAW = 1 << 10
_TIME_RUNNING = 1 << 1  # of read_format: what read(2) gives behind the count


def open_output(cpu: int, *, wakeup_events: int = 1, wakeup_bytes: int = 0) -> Fd | None:
    """An event that takes what programs write on a CPU; None if that CPU is off.

    Args:
        cpu: its number.
        wakeup_events: wake the reader after so many records.
        wakeup_bytes: wake it after so many bytes instead.

    Raises:
        PermissionDeniedError: it takes CAP_PERFMON, or perf_event_paranoid is too strict.
        NotSupportedError: a kernel without perf events.
        KernelError: any other reason.
    """
    attr = EventAttr(
        PerfType.SOFTWARE,
        _BPF_OUTPUT,
        period=1,
        sample_type=_SAMPLE_RAW,
        read_format=_TIME_RUNNING,
        wakeup_events=wakeup_events,
        wakeup_bytes=wakeup_bytes,
    )
    try:
        return perf_event.open_event(attr, cpu=cpu)
    except KernelError as failure:
        if failure.errno == errno.ENODEV:
            return None
        if failure.errno in (errno.ENOSYS, errno.ENOENT):
            hint = "the kernel was built without CONFIG_PERF_EVENTS, or a seccomp filter hides it"
            what, command = "perf events of BPF", failure.command
            raise NotSupportedError(what, min_version="4.4", errno=failure.errno, command=command, hint=hint) from None
        if failure.errno == errno.EMFILE:
            failure.hint = "each CPU's buffer takes one more descriptor: ulimit -n"
        raise


def is_running(fd: Fd) -> bool:
    """Whether an event takes records: one whose CPU went off does not, and its clock stands still."""
    before, after = (struct.unpack("=QQ", os.read(fd.fileno(), 16))[1] for _ in range(2))
    return bool(after > before)
