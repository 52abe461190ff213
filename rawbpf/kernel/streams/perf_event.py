# SPDX-License-Identifier: BSD-2-Clause
"""perf_event_open(2), for the events that programs write to perf buffers (``PERF_COUNT_SW_BPF_OUTPUT``)."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from functools import cache, partial
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, NotSupportedError, PermissionDeniedError, errno_name, errno_text
from rawbpf.kernel.fd import own

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawbpf.kernel.fd import Fd

_GENERIC = 241  # include/uapi/asm-generic/unistd.h
# perf_event_open(2) for 64-bit processes, by the beginning of the machine's name; and for 32-bit ones on such machines
_NUMBERS = {"x86_64": 298, "s390": 331, "ppc64": 319, "sparc": 327, "mips": 5292, "alpha": 493, "parisc": 318}
_NARROW = {"x86_64": 336, "i": 336, "s390": 331, "ppc": 319, "sparc": 327, "mips": 4333, "arm": 364, "aarch64": 364}

_SOFTWARE, _BPF_OUTPUT = 1, 10  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_BPF_OUTPUT
_SAMPLE_RAW = 1 << 10
_TIME_RUNNING = 1 << 1  # of read_format: what read(2) gives behind the count
_WATERMARK = 1 << 14  # a bit of the flags of struct perf_event_attr
_ATTR = struct.Struct(
    "=II Q Q Q Q Q I I Q Q"
)  # type size config period sample_type read_format flags wakeup bp_type ..
_FD_CLOEXEC = 8
_ENABLE = 0x2400  # PERF_EVENT_IOC_ENABLE


@cache
def _syscall() -> Callable[..., int]:
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, ctypes.c_char_p, *[ctypes.c_long] * 4]
    numbers = _NUMBERS if ctypes.sizeof(ctypes.c_void_p) == 8 else _NARROW
    machine = os.uname().machine
    return partial(function, next((number for name, number in numbers.items() if machine.startswith(name)), _GENERIC))


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
    flags, wakeup = (_WATERMARK, wakeup_bytes) if wakeup_bytes else (0, wakeup_events)
    attr = _ATTR.pack(_SOFTWARE, _ATTR.size, _BPF_OUTPUT, 1, _SAMPLE_RAW, _TIME_RUNNING, flags, wakeup, 0, 0, 0)
    fd = own(_syscall(), attr, -1, cpu, -1, _FD_CLOEXEC)
    if fd is not None:
        return fd
    number = ctypes.get_errno()
    if number == errno.ENODEV:
        return None
    raise _error(number, f"cannot open a perf event on CPU {cpu}")


def enable(fd: Fd) -> None:
    """Let the event take records from now on."""
    try:
        fcntl.ioctl(fd.fileno(), _ENABLE, 0)
    except OSError as failure:
        raise _error(failure.errno or 0, "cannot enable a perf event") from failure


def is_running(fd: Fd) -> bool:
    """Whether an event takes records: one whose CPU went off does not, and its clock stands still."""
    before, after = (struct.unpack("=QQ", os.read(fd.fileno(), 16))[1] for _ in range(2))
    return bool(after > before)


def _error(number: int, what: str) -> KernelError:
    message, command = f"{what}: {errno_text(number)} ({errno_name(number)})", "perf_event_open"
    if number in (errno.EPERM, errno.EACCES):
        hint = "run as root, or with CAP_PERFMON; see also the sysctl kernel.perf_event_paranoid"
        return PermissionDeniedError(message, errno=number, command=command, hint=hint)
    if number in (errno.ENOSYS, errno.ENOENT):
        hint = "the kernel was built without CONFIG_PERF_EVENTS, or a seccomp filter hides it"
        return NotSupportedError("perf events of BPF", min_version="4.4", errno=number, command=command, hint=hint)
    advice = "each CPU's buffer takes one more descriptor: ulimit -n" if number == errno.EMFILE else None
    return KernelError(message, errno=number, command=command, hint=advice)


def online_cpus() -> list[int]:
    """The numbers of the CPUs that are on."""
    try:
        with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
            text = file.read().strip()
    except OSError:
        return list(range(os.cpu_count() or 1))
    ranges = (part.partition("-") for part in text.split(","))
    return [cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1)]
