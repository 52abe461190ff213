# SPDX-License-Identifier: BSD-2-Clause
"""Programs at the tracepoints of the kernel: with the fields of the event, or with the raw arguments."""

from __future__ import annotations

from errno import EINVAL, ENOENT
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, where
from rawbpf.kernel import perf_event, syscall, tracefs
from rawbpf.kernel.attach.near import near_hint
from rawbpf.kernel.attach.perf import attach_event, check_mode
from rawbpf.kernel.attach.refusal import need_type
from rawbpf.kernel.links import Link
from rawbpf.kernel.perf_event import EventAttr, PerfType
from rawbpf.uapi import BtfKind, ProgType

if TYPE_CHECKING:
    from rawbpf.kernel.attach.attachment import Attachment
    from rawbpf.kernel.programs import Program


def tracepoint(program: Program, group: str, name: str, *, cookie: int = 0, mode: str = "") -> Link | Attachment:
    """Run a program at a tracepoint, with the fields of the event as its context. Needs tracefs. Requires Linux 4.7.

    Args:
        group, name: the event's, as in /sys/kernel/tracing/events: ``syscalls``, ``sys_enter_openat``.
        cookie: what ``bpf_get_attach_cookie`` answers to the program. Requires Linux 5.15.
        mode: ``link`` (Linux 5.15) or ``ioctl``: by default the newest that the kernel has.

    Raises:
        SpecError: the program is not for tracepoints.
        KernelError: ENOENT: no such tracepoint; EACCES: the program reads behind the event's fields.
    """
    check_mode(mode)
    need_type(program, "tracepoint", ProgType.TRACEPOINT)
    with where(symbol=program.name):
        attr = EventAttr(PerfType.TRACEPOINT, tracefs.event_id(group, name))
        return attach_event(
            program, lambda: perf_event.open_event(attr, cpu=0), cookie=cookie, mode=mode, tracepoint=f"{group}/{name}"
        )


def raw_tracepoint(program: Program, name: str, *, cookie: int = 0) -> Link:
    """Run a program at a tracepoint, with the arguments of the tracepoint itself. Requires Linux 4.17.

    Args:
        name: the tracepoint's, without its group: ``sched_switch``.
        cookie: what ``bpf_get_attach_cookie`` answers to the program. Requires Linux 6.10.

    Raises:
        SpecError: the program is not for raw tracepoints.
        KernelError: ENOENT: no such tracepoint.
    """
    need_type(program, "raw_tracepoint", ProgType.RAW_TRACEPOINT, ProgType.RAW_TRACEPOINT_WRITABLE)
    with where(symbol=program.name):
        try:
            return Link(syscall.raw_tracepoint_open(program.fileno(), name, cookie), program.name)
        except KernelError as failure:
            if failure.errno == ENOENT:
                failure.message = f"the kernel has no tracepoint {name!r}"
                failure.hint = near_hint(name, _names())
            elif failure.errno == EINVAL:
                failure.hint = "the program reads more arguments than the tracepoint has" + (
                    ", or the kernel has no cookies for it (before 6.10)" if cookie else ""
                )
            raise


def _names() -> list[str]:
    from rawbpf.kernel.host import vmlinux_btf

    btf, prefix = vmlinux_btf(), "btf_trace_"
    if btf is None:
        return []
    return [
        btf.name_of(number).removeprefix(prefix)
        for number in btf.find_prefix(prefix)
        if btf.kind(number) == BtfKind.TYPEDEF
    ]
