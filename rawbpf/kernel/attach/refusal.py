# SPDX-License-Identifier: BSD-2-Clause
"""Why something is not attached, in words: the wrong type of program, and what the kernel's errno means here."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rawbpf.errors import KernelError, SpecError
from rawbpf.uapi import ProgType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    from rawbpf.kernel.programs import Program

    Reasons: TypeAlias = Mapping[int, tuple[str, str]]
    """By errno: the message, and the hint (may be empty)."""

# What takes a program of a type: functions of rawbpf.attach, mostly
_TAKERS = {
    ProgType.SOCKET_FILTER: "socket_filter or reuseport",
    ProgType.SCHED_CLS: "tc, tcx or netkit",
    ProgType.SCHED_ACT: "tc(8): pin it, and `tc actions add action bpf object-pinned PIN`",
    ProgType.XDP: "xdp",
    ProgType.CGROUP_SKB: "cgroup",
    ProgType.CGROUP_SOCK: "cgroup",
    ProgType.CGROUP_SOCK_ADDR: "cgroup",
    ProgType.CGROUP_SOCKOPT: "cgroup",
    ProgType.CGROUP_SYSCTL: "cgroup",
    ProgType.CGROUP_DEVICE: "cgroup",
    ProgType.SOCK_OPS: "cgroup",
    ProgType.LWT_IN: "lwt",
    ProgType.LWT_OUT: "lwt",
    ProgType.LWT_XMIT: "lwt",
    ProgType.LWT_SEG6LOCAL: "lwt",
    ProgType.SK_SKB: "sockmap",
    ProgType.SK_MSG: "sockmap",
    ProgType.SK_REUSEPORT: "reuseport",
    ProgType.SK_LOOKUP: "netns",
    ProgType.FLOW_DISSECTOR: "netns",
    ProgType.LIRC_MODE2: "lirc",
    ProgType.NETFILTER: "netfilter",
    ProgType.KPROBE: "kprobe, uprobe, their _multi, ksyscall or usdt",
    ProgType.TRACEPOINT: "tracepoint",
    ProgType.RAW_TRACEPOINT: "raw_tracepoint",
    ProgType.RAW_TRACEPOINT_WRITABLE: "raw_tracepoint",
    ProgType.TRACING: "tracing, or iterator",
    ProgType.LSM: "lsm (lsm_cgroup: cgroup)",
    ProgType.EXT: "freplace",
    ProgType.PERF_EVENT: "perf_event",
}


def need_type(program: Program, kind: str, *types: ProgType) -> ProgType:
    """The program's type, which has to be one of `types`.

    Raises:
        SpecError: it is another one; the hint says what takes it.
    """
    found = program.info.type
    for wanted in types:
        if found == wanted:
            return wanted
    taker = _TAKERS.get(found) if isinstance(found, ProgType) else None
    raise SpecError(
        f"{kind} takes {' or '.join(t.name for t in types)} programs, and this is {getattr(found, 'name', found)}",
        symbol=program.name,
        hint=f"attach it with {taker}" if taker else None,
    )


@contextmanager
def told(reasons: Reasons, place: str = "") -> Iterator[None]:
    """Give a `KernelError` that passes the message and the hint of its errno, and name the place."""
    try:
        yield
    except KernelError as failure:
        if failure.errno in reasons and failure.command.startswith("BPF_"):
            message, hint = reasons[failure.errno or 0]
            failure.message = ": ".join(part for part in (place, message, failure.message) if part)
            failure.hint = hint or failure.hint
        raise
