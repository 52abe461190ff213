# SPDX-License-Identifier: BSD-2-Clause
"""perf_event_open(2) and the ioctls of its descriptors: what programs are attached to, and write samples to."""

from __future__ import annotations

import ctypes
import errno as _errno
import os
import struct
import sys
from enum import IntEnum
from fcntl import ioctl
from functools import cache, partial
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, NotSupportedError, PermissionDeniedError, errno_name, errno_text
from rawbpf.kernel import arch
from rawbpf.kernel.fd import own
from rawbpf.kernel.gate import address

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawbpf.kernel.fd import Fd


class PerfType(IntEnum):
    """``enum perf_type_id``; PMUs that come and go have numbers from /sys/bus/event_source/devices."""

    HARDWARE = 0
    SOFTWARE = 1
    TRACEPOINT = 2
    HW_CACHE = 3
    RAW = 4


class EventAttr:
    """``struct perf_event_attr``, the fields that matter here. Strings are kept alive with it.

    Attributes:
        config1, config2: numbers, or for a kprobe's or uprobe's name a string.
        wakeup_events, wakeup_bytes: wake who polls after so many samples, or after so many bytes instead.
    """

    _LAYOUT = struct.Struct("=IIQQQQQIIQQ")  # up to config2: PERF_ATTR_SIZE_VER1, which every kernel takes
    # the bit-fields `freq` and `watermark`
    _FREQUENCY, _WATERMARK = (1 << 10, 1 << 14) if sys.byteorder == "little" else (1 << 53, 1 << 49)

    def __init__(
        self,
        type: int,
        config: int = 0,
        *,
        period: int = 0,
        frequency: int = 0,
        config1: int | bytes = 0,
        config2: int = 0,
        sample_type: int = 0,
        read_format: int = 0,
        wakeup_events: int = 0,
        wakeup_bytes: int = 0,
    ) -> None:
        self.text = config1 + b"\0" if isinstance(config1, bytes) else b""
        self.data = self._LAYOUT.pack(
            type,
            self._LAYOUT.size,
            config,
            frequency or period,
            sample_type,
            read_format,
            (self._FREQUENCY if frequency else 0) | (self._WATERMARK if wakeup_bytes else 0),
            wakeup_bytes or wakeup_events,
            0,
            address(self.text) if isinstance(config1, bytes) else config1,
            config2,
        )


_CLOEXEC = 1 << 3


@cache
def _syscall() -> Callable[..., int]:
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_ulong]
    return partial(function, arch.perf_event_open_number())


def open_event(attr: EventAttr, *, pid: int = -1, cpu: int = -1) -> Fd:
    """perf_event_open(2): an event of a process (0: this one) or of a CPU, or of a process on a CPU.

    Raises:
        KernelError: or one of its kinds, with the errno.
    """
    while True:
        fd = own(_syscall(), address(attr.data), pid, cpu, -1, _CLOEXEC)
        if fd is not None:
            return fd
        number = ctypes.get_errno()
        if number != _errno.EINTR:
            raise error("perf_event_open", number)


def error(command: str, number: int) -> KernelError:
    """The error for an errno of perf_event_open(2) or of an ioctl."""
    message = f"{command}: {errno_text(number)} ({errno_name(number)})"
    if number == _errno.ENOSYS:
        return NotSupportedError("perf events", min_version="2.6.31", errno=number, command=command)
    if number in (_errno.EPERM, _errno.EACCES):
        hint = "CAP_PERFMON (or CAP_SYS_ADMIN) is needed, or a lower kernel.perf_event_paranoid"
        return PermissionDeniedError(message, errno=number, command=command, hint=hint)
    return KernelError(message, errno=number, command=command)


def _request(number: int, size: int = 0) -> int:
    # _IO and _IOW; some architectures keep the direction in other bits (arch/*/include/uapi/asm/ioctl.h)
    odd = os.uname().machine.startswith(("alpha", "mips", "ppc", "sparc"))
    none, write, shift = (1, 4, 29) if odd else (0, 1, 30)
    return (write if size else none) << shift | size << 16 | ord("$") << 8 | number


def enable(event: Fd) -> None:
    """``PERF_EVENT_IOC_ENABLE``."""
    _ioctl(event, "PERF_EVENT_IOC_ENABLE", _request(0))


def disable(event: Fd) -> None:
    """``PERF_EVENT_IOC_DISABLE``."""
    _ioctl(event, "PERF_EVENT_IOC_DISABLE", _request(1))


def set_bpf(event: Fd, program: int) -> None:
    """``PERF_EVENT_IOC_SET_BPF``: the program with this descriptor runs at the event, until the event is closed."""
    _ioctl(event, "PERF_EVENT_IOC_SET_BPF", _request(8, 4), program)


def _ioctl(event: Fd, command: str, request: int, argument: int = 0) -> None:
    try:
        ioctl(event.fileno(), request, argument)
    except OSError as failure:
        raise error(command, failure.errno or 0) from failure
