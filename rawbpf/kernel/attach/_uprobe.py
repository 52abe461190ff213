# SPDX-License-Identifier: BSD-2-Clause
"""Programs at an instruction of user space: at the entry of a function of a program or library, behind it, at its
return.
"""

from __future__ import annotations

from errno import EINVAL, ENOENT, ESRCH
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, NotSupportedError, SpecError, where
from rawbpf.kernel import perf_event
from rawbpf.kernel.attach.perf import (
    EventAttachment,
    attach_event,
    check_mode,
    pmu_type,
    reference_shift,
    return_bit,
)
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.perf_event import EventAttr, PerfType
from rawbpf.kernel.tracefs import Probe
from rawbpf.kernel.userspace import check_process, find_binary, find_function, open_image
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    import os

    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.fd import Fd
    from rawbpf.kernel.links import Link
    from rawbpf.kernel.programs import Program


def uprobe(
    program: Program,
    binary: str | os.PathLike[str],
    symbol: str | int = 0,
    *,
    offset: int = 0,
    retprobe: bool | None = None,
    pid: int | None = None,
    ref_ctr_offset: int = 0,
    cookie: int = 0,
    mode: str = "",
) -> Link | Attachment:
    """Run a program whenever a process comes to an instruction of a binary.

    Args:
        binary: a path, or the name of a library (``libc.so.6``) or program, looked for as the system does it.
        symbol: a function, with ``@VERSION`` where it has several (``memcpy@GLIBC_2.2.5``); or an offset in the file.
        offset: in bytes from there to the instruction.
        retprobe: at the return of the function instead; by default what the program's SEC() says.
        pid: only in this process (0: this one); by default in all.
        ref_ctr_offset: the offset in the file of a counter of two bytes that says how many listen. Requires Linux 4.20.
        cookie: what ``bpf_get_attach_cookie`` answers to the program. Requires Linux 5.15.
        mode: ``link`` (Linux 5.15), ``ioctl`` (4.17) or ``tracefs`` (4.1): by default the newest that the kernel has.

    Raises:
        SpecError: the program is not for probes; several functions have the name.
        ElfError: the binary is none.
        KernelError: ENOENT: no such binary or function; ESRCH: no such process; EINVAL: no instruction begins there.
    """
    check_mode(mode)
    need_type(program, "uprobe", ProgType.KPROBE)
    is_return = program.section.startswith("uret") if retprobe is None else retprobe
    if is_return and offset:
        raise SpecError("a return has no offset", symbol=program.name, hint="leave the offset out, or retprobe")
    with where(symbol=program.name):
        process = check_process(pid)
        path = find_binary(binary, process)
        place = offset_in(path, symbol) + offset
        detail = {"binary": path, "offset": place, "retprobe": is_return, "pid": process}
        pmu = None if mode == "tracefs" else pmu_type("uprobe")
        try:
            if pmu is None:
                return _by_tracefs(program, path, place, is_return, process, ref_ctr_offset, cookie, detail)
            attr = _attr(pmu, path, place, is_return, ref_ctr_offset)
            return attach_event(program, lambda: _open(attr, process), cookie=cookie, mode=mode, **detail)
        except KernelError as failure:
            explain(failure, path, place, pid)
            raise


def offset_in(path: str, symbol: str | int) -> int:
    """Where a function is in a file; a number is its own answer. Raises as `uprobe`."""
    if isinstance(symbol, int):
        return symbol
    with open_image(path) as image:
        return find_function(image, symbol).offset


def explain(failure: KernelError, path: str, place: int, pid: int | None) -> None:
    """Say in the failure of an attachment what is meant."""
    if failure.errno == ESRCH:
        failure.message = f"there is no process {pid}"
    elif failure.errno == EINVAL:
        failure.message = f"{path}+{place:#x} may not be probed: {failure.message}"
        failure.hint = (
            "an instruction must begin there, and the file be on a file system with pages (no 9p without cache)"
        )
    elif failure.errno == ENOENT:
        failure.message = f"{path}: {failure.message}"


def _attr(pmu: int, path: str, place: int, is_return: bool, ref_ctr_offset: int) -> EventAttr:
    config = return_bit("uprobe") if is_return else 0
    if ref_ctr_offset:
        shift = reference_shift()
        if shift is None:
            raise NotSupportedError("reference counters of uprobes", min_version="4.20")
        config |= ref_ctr_offset << shift
    return EventAttr(pmu, config, config1=path.encode(errors="surrogateescape"), config2=place)


def _open(attr: EventAttr, process: int | None) -> Fd:
    # a CPU has to be named where no process is; the probe is on all
    return perf_event.open_event(attr, cpu=0) if process is None else perf_event.open_event(attr, pid=process)


def _by_tracefs(
    program: Program,
    path: str,
    place: int,
    is_return: bool,
    process: int | None,
    ref_ctr_offset: int,
    cookie: int,
    detail: dict[str, object],
) -> Attachment:
    if cookie:
        raise NotSupportedError("cookies of attached programs", min_version="5.15", errno=EINVAL)
    counter = f"({ref_ctr_offset:#x})" if ref_ctr_offset else ""
    probe = Probe("uprobe_events", f"{path}:{place:#x}{counter}", is_return=is_return)

    def open_event() -> Fd:
        return _open(EventAttr(PerfType.TRACEPOINT, probe.add()), process)

    return EventAttachment(program, program.name, open_event, probe, **detail).begin()
