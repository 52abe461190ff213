# SPDX-License-Identifier: BSD-2-Clause
"""Programs at an instruction of the kernel: at the entry of a function, behind it, at its return; system calls."""

from __future__ import annotations

import os
from errno import EADDRNOTAVAIL, EEXIST, EILSEQ, EINVAL, ENOENT, EOPNOTSUPP
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, NotSupportedError, SpecError, where
from rawbpf.kernel import features, perf_event
from rawbpf.kernel.attach.near import near_hint
from rawbpf.kernel.attach.perf import EventAttachment, attach_event, check_mode, pmu_type, return_bit
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.host import SYSCALL_PREFIXES, kernel_functions
from rawbpf.kernel.perf_event import EventAttr, PerfType
from rawbpf.kernel.tracefs import Probe
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.links import Link
    from rawbpf.kernel.programs import Program


def kprobe(
    program: Program,
    symbol: str | int,
    *,
    offset: int = 0,
    retprobe: bool | None = None,
    cookie: int = 0,
    mode: str = "",
) -> Link | Attachment:
    """Run a program whenever the kernel comes to an instruction.

    Args:
        symbol: the kernel's function (``tcp_v4_connect``, in a module also ``MODULE:FUNCTION``), or an address.
        offset: in bytes from there to the instruction.
        retprobe: at the return of the function instead; by default what the program's SEC() says.
        cookie: what ``bpf_get_attach_cookie`` answers to the program. Requires Linux 5.15.
        mode: ``link`` (Linux 5.15), ``ioctl`` (4.17) or ``tracefs`` (4.1): by default the newest that the kernel has.

    Raises:
        SpecError: the program is not for probes.
        KernelError: ENOENT: no such function; EILSEQ: no instruction begins at the offset; EADDRNOTAVAIL: several
            functions have the name; EINVAL: the function may not be probed.
    """
    check_mode(mode)
    need_type(program, "kprobe", ProgType.KPROBE)
    is_return = program.section.startswith("kret") if retprobe is None else retprobe
    if is_return and offset:
        raise SpecError("a return has no offset", symbol=program.name, hint="leave the offset out, or retprobe")
    if isinstance(symbol, str) and ":" in symbol and _is_builtin(symbol):
        symbol = symbol.partition(":")[2]
    pmu = None if mode == "tracefs" else pmu_type("kprobe")
    detail = {"symbol": symbol, "offset": offset, "retprobe": is_return}
    with where(symbol=program.name):
        try:
            if pmu is None:
                return _by_tracefs(program, symbol, offset, is_return, cookie)
            attr = _attr(pmu, symbol, offset, is_return)
            return attach_event(program, lambda: _open(attr), cookie=cookie, mode=mode, **detail)
        except KernelError as failure:
            _explain(failure, symbol, offset)
            raise


def ksyscall(
    program: Program, syscall: str, *, retprobe: bool | None = None, cookie: int = 0, mode: str = ""
) -> Link | Attachment:
    """Run a program at the entry of a system call, or at its return: `kprobe` with the function's name on this machine.

    Since Linux 4.17 the function is named after the architecture, and gets its arguments in a ``struct pt_regs``.

    Args:
        syscall: its name, such as ``nanosleep``. For the others see `kprobe`.

    Raises:
        KernelError: ENOENT: no such system call. The others see `kprobe`.
    """
    need_type(program, "ksyscall", ProgType.KPROBE)
    is_return = program.section.startswith("kret") if retprobe is None else retprobe
    prefix = SYSCALL_PREFIXES.get(os.uname().machine, "")
    wrapped = features.probe("syscall_wrapper") is not False
    function = f"__{prefix}_sys_{syscall}" if prefix and wrapped else f"__se_sys_{syscall}"
    try:
        return kprobe(program, function, retprobe=is_return, cookie=cookie, mode=mode)
    except KernelError as failure:
        if failure.errno == ENOENT:
            before = function.removesuffix(syscall)
            names = [name.removeprefix(before) for name in kernel_functions() if name.startswith(before)]
            failure.message = f"the kernel has no system call {syscall!r} ({function})"
            failure.hint = near_hint(syscall, names)
        raise


def _is_builtin(symbol: str) -> bool:
    return symbol.startswith("vmlinux:")


def _attr(pmu: int, symbol: str | int, offset: int, is_return: bool) -> EventAttr:
    config = return_bit("kprobe") if is_return else 0
    if isinstance(symbol, int):
        return EventAttr(pmu, config, config2=symbol + offset)
    return EventAttr(pmu, config, config1=symbol.encode(errors="surrogateescape"), config2=offset)


def _open(attr: EventAttr) -> Fd:
    return perf_event.open_event(attr, cpu=0)  # a CPU has to be named; the probe is on all


def _by_tracefs(program: Program, symbol: str | int, offset: int, is_return: bool, cookie: int) -> Attachment:
    if cookie:
        raise NotSupportedError("cookies of attached programs", min_version="5.15", errno=EINVAL)
    place = f"{symbol + offset:#x}" if isinstance(symbol, int) else f"{symbol}+{offset}" if offset else symbol
    probe = Probe("kprobe_events", place, is_return=is_return)

    def open_event() -> Fd:
        return _open(EventAttr(PerfType.TRACEPOINT, probe.add()))

    detail = {"symbol": symbol, "offset": offset, "retprobe": is_return}
    return EventAttachment(program, program.name, open_event, probe, **detail).begin()


def _explain(failure: KernelError, symbol: str | int, offset: int) -> None:
    what = f"{symbol:#x}" if isinstance(symbol, int) else symbol
    if failure.errno == ENOENT and isinstance(symbol, str) and symbol.rpartition(":")[2] not in kernel_functions():
        failure.message = f"the kernel has no function {what!r}"
        failure.hint = near_hint(symbol.rpartition(":")[2], kernel_functions(), "it may be inlined, or in a module")
    elif failure.errno == EILSEQ:
        failure.message = f"no instruction begins at {what}+{offset:#x}"
    elif failure.errno == EADDRNOTAVAIL:
        failure.message = f"several functions of the kernel are called {what!r}"
        failure.hint = "attach to an address of /proc/kallsyms: kprobe(program, 0xffffffff…)"
    elif failure.errno in (EINVAL, EOPNOTSUPP) and failure.command == "perf_event_open":
        failure.message = f"{what}+{offset:#x} may not be probed"
        failure.hint = "see /sys/kernel/debug/kprobes/blacklist; or the offset is outside of the function"
    elif failure.errno == EEXIST:
        failure.message = f"there is a program at {what} of another kind: {failure.message}"
