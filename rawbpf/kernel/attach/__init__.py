# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf.attach``: one function for each thing that a program can be attached to.

>>> link = rawbpf.attach.cgroup(program, "/sys/fs/cgroup/mine")
>>> link.close()

Each answers a `Link`, or where the kernel has no link for it an `Attachment` with the same methods. Which function a
program's SEC() asks for is said in `rawbpf.objfile.attaching`; `Program.attach` goes by that.

A kind of attachment is a file ``_KIND.py`` here and a line in `_HOMES`. (A file of the function's own name would hide
the function as soon as it is imported.) Nothing is imported before it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from rawbpf.kernel.attach._cgroup import cgroup
    from rawbpf.kernel.attach._cpumap import cpumap
    from rawbpf.kernel.attach._devmap import devmap
    from rawbpf.kernel.attach._iterator import iterator
    from rawbpf.kernel.attach._kprobe import kprobe, ksyscall
    from rawbpf.kernel.attach._kprobe_multi import kprobe_multi
    from rawbpf.kernel.attach._lirc import lirc
    from rawbpf.kernel.attach._lwt import lwt
    from rawbpf.kernel.attach._netfilter import netfilter
    from rawbpf.kernel.attach._netkit import netkit
    from rawbpf.kernel.attach._netns import netns
    from rawbpf.kernel.attach._perf_event import perf_event
    from rawbpf.kernel.attach._query import query
    from rawbpf.kernel.attach._reuseport import reuseport
    from rawbpf.kernel.attach._socket_filter import socket_filter
    from rawbpf.kernel.attach._sockmap import sockmap
    from rawbpf.kernel.attach._struct_ops import struct_ops
    from rawbpf.kernel.attach._tc import tc
    from rawbpf.kernel.attach._tcx import tcx
    from rawbpf.kernel.attach._tracepoint import raw_tracepoint, tracepoint
    from rawbpf.kernel.attach._tracing import freplace, lsm, tracing
    from rawbpf.kernel.attach._tracing_multi import tracing_multi
    from rawbpf.kernel.attach._uprobe import uprobe
    from rawbpf.kernel.attach._uprobe_multi import uprobe_multi
    from rawbpf.kernel.attach._usdt import usdt
    from rawbpf.kernel.attach._xdp import xdp
    from rawbpf.kernel.attach.attachment import Attachment

__all__ = [
    "Attachment",
    "cgroup",
    "cpumap",
    "devmap",
    "freplace",
    "iterator",
    "kprobe",
    "kprobe_multi",
    "ksyscall",
    "lirc",
    "lsm",
    "lwt",
    "netfilter",
    "netkit",
    "netns",
    "perf_event",
    "query",
    "raw_tracepoint",
    "reuseport",
    "socket_filter",
    "sockmap",
    "struct_ops",
    "tc",
    "tcx",
    "tracepoint",
    "tracing",
    "tracing_multi",
    "uprobe",
    "uprobe_multi",
    "usdt",
    "xdp",
]

_HOMES = {
    "Attachment": "attachment",
    "cgroup": "_cgroup",
    "cpumap": "_cpumap",
    "devmap": "_devmap",
    "freplace": "_tracing",
    "iterator": "_iterator",
    "kprobe": "_kprobe",
    "kprobe_multi": "_kprobe_multi",
    "ksyscall": "_kprobe",
    "lirc": "_lirc",
    "lsm": "_tracing",
    "lwt": "_lwt",
    "netfilter": "_netfilter",
    "netkit": "_netkit",
    "netns": "_netns",
    "perf_event": "_perf_event",
    "query": "_query",
    "raw_tracepoint": "_tracepoint",
    "reuseport": "_reuseport",
    "socket_filter": "_socket_filter",
    "sockmap": "_sockmap",
    "struct_ops": "_struct_ops",
    "tc": "_tc",
    "tcx": "_tcx",
    "tracepoint": "_tracepoint",
    "tracing": "_tracing",
    "tracing_multi": "_tracing_multi",
    "uprobe": "_uprobe",
    "uprobe_multi": "_uprobe_multi",
    "usdt": "_usdt",
    "xdp": "_xdp",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"rawbpf.attach has no {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
