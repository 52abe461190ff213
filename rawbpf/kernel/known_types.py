# SPDX-License-Identifier: BSD-2-Clause
"""Which types of programs and maps, and which helpers, the running kernel has. Answers as in `features`."""

from __future__ import annotations

import sys
from errno import EBADF, EINVAL, ENOENT

from rawbpf.errors import ENOTSUPP, KernelError, NotSupportedError
from rawbpf.kernel import syscall
from rawbpf.kernel.features import NO, RETURN_0, call, remember, works
from rawbpf.kernel.gate import address
from rawbpf.uapi import AttachType, Cmd, MapFlag, MapType, ProgFlag, ProgType

PROG_TYPES: dict[str, tuple[str, ...]] = {
    "3.19": ("SOCKET_FILTER",),
    "4.1": ("KPROBE", "SCHED_CLS", "SCHED_ACT"),
    "4.7": ("TRACEPOINT",),
    "4.8": ("XDP",),
    "4.9": ("PERF_EVENT",),
    "4.10": ("CGROUP_SKB", "CGROUP_SOCK", "LWT_IN", "LWT_OUT", "LWT_XMIT"),
    "4.13": ("SOCK_OPS",),
    "4.14": ("SK_SKB",),
    "4.15": ("CGROUP_DEVICE",),
    "4.17": ("SK_MSG", "RAW_TRACEPOINT", "CGROUP_SOCK_ADDR"),
    "4.18": ("LWT_SEG6LOCAL", "LIRC_MODE2"),
    "4.19": ("SK_REUSEPORT",),
    "4.20": ("FLOW_DISSECTOR",),
    "5.2": ("CGROUP_SYSCTL", "RAW_TRACEPOINT_WRITABLE"),
    "5.3": ("CGROUP_SOCKOPT",),
    "5.5": ("TRACING",),
    "5.6": ("STRUCT_OPS", "EXT"),
    "5.7": ("LSM",),
    "5.9": ("SK_LOOKUP",),
    "5.14": ("SYSCALL",),
    "6.4": ("NETFILTER",),
}
"""Types of programs by the release that brought them."""

MAP_TYPES: dict[str, tuple[str, ...]] = {
    "3.19": ("HASH", "ARRAY"),
    "4.2": ("PROG_ARRAY",),
    "4.3": ("PERF_EVENT_ARRAY",),
    "4.6": ("PERCPU_HASH", "PERCPU_ARRAY", "STACK_TRACE"),
    "4.8": ("CGROUP_ARRAY",),
    "4.10": ("LRU_HASH", "LRU_PERCPU_HASH"),
    "4.11": ("LPM_TRIE",),
    "4.12": ("ARRAY_OF_MAPS", "HASH_OF_MAPS"),
    "4.14": ("DEVMAP", "SOCKMAP"),
    "4.15": ("CPUMAP",),
    "4.18": ("XSKMAP", "SOCKHASH"),
    "4.19": ("CGROUP_STORAGE", "REUSEPORT_SOCKARRAY"),
    "4.20": ("PERCPU_CGROUP_STORAGE", "QUEUE", "STACK"),
    "5.2": ("SK_STORAGE",),
    "5.4": ("DEVMAP_HASH",),
    "5.6": ("STRUCT_OPS",),
    "5.8": ("RINGBUF",),
    "5.10": ("INODE_STORAGE",),
    "5.11": ("TASK_STORAGE",),
    "5.16": ("BLOOM_FILTER",),
    "6.1": ("USER_RINGBUF",),
    "6.2": ("CGRP_STORAGE",),
    "6.9": ("ARENA",),
}
"""Types of maps by the release that brought them."""


def since(releases: dict[str, tuple[str, ...]], name: str) -> str:
    """The release that brought a type, or an empty string."""
    return next((release for release, names in releases.items() if name in names), "")


_PROG_FIELDS: dict[ProgType, dict[str, int]] = {
    ProgType.CGROUP_SOCK_ADDR: {"expected_attach_type": AttachType.CGROUP_INET4_BIND},
    ProgType.CGROUP_SOCKOPT: {"expected_attach_type": AttachType.CGROUP_GETSOCKOPT},
    ProgType.SK_LOOKUP: {"expected_attach_type": AttachType.SK_LOOKUP},
    ProgType.NETFILTER: {"expected_attach_type": AttachType.NETFILTER},
    ProgType.SYSCALL: {"prog_flags": ProgFlag.SLEEPABLE},
    ProgType.TRACING: {"expected_attach_type": AttachType.TRACE_FENTRY, "attach_btf_id": 1},
    ProgType.LSM: {"expected_attach_type": AttachType.LSM_MAC, "attach_btf_id": 1},
    ProgType.EXT: {"attach_btf_id": 1},
    ProgType.STRUCT_OPS: {"attach_btf_id": 1},
}


def has_prog_type(kind: ProgType) -> bool | None:
    """Whether the kernel has programs of a type: it has if its verifier looks at one, whatever it says."""
    return remember(kind, lambda: _verifier_said(kind, RETURN_0)[0])


def has_helper(kind: ProgType, name: str) -> bool | None:
    """Whether programs of a type may call a helper (``bpf_map_lookup_elem``). None without a verifier's log."""

    def ask() -> bool | None:
        reached, log = _verifier_said(kind, call(name) + RETURN_0)
        if reached is not True:
            return None
        return not any(words in log for words in ("unknown func", "invalid func", "cannot use helper"))

    return remember((kind, name), ask)


def _verifier_said(kind: ProgType, insns: bytes) -> tuple[bool | None, str]:
    # whether the verifier saw the program, and its log
    log = bytearray(4096)
    fields = {"log_level": 1, "prog_type": kind} | _PROG_FIELDS.get(kind, {})
    try:
        syscall.prog_load(fields, insns, license="GPL", log=(address(log), len(log))).close()
    except KernelError as failure:
        said = log.split(b"\0", 1)[0].decode(errors="replace")
        if said.strip() or failure.errno == ENOTSUPP:
            return True, said
        return (False if failure.errno == EINVAL else None), ""
    return True, log.split(b"\0", 1)[0].decode(errors="replace")


def missing_prog_type(kind: ProgType) -> NotSupportedError:
    """The error for a type of program that the kernel has not."""
    return NotSupportedError(
        f"program type {kind.name}",
        min_version=since(PROG_TYPES, kind.name),
        errno=EINVAL,
        command="BPF_PROG_LOAD",
        hint="the kernel is older, or was configured without it",
    )


_U32_ARRAY = {"key_size": 4, "value_size": 4, "max_entries": 1}
_STORAGE = frozenset({MapType.SK_STORAGE, MapType.INODE_STORAGE, MapType.TASK_STORAGE, MapType.CGRP_STORAGE})


def has_map_type(kind: MapType) -> bool | None:
    """Whether the kernel has maps of a type."""
    return remember(kind, lambda: _has_map_type(kind))


def _has_map_type(kind: MapType) -> bool | None:
    fields: dict[str, int] = {"map_type": kind, **_U32_ARRAY}
    match kind:
        case MapType.STACK_TRACE:
            fields["value_size"] = 8
        case MapType.INSN_ARRAY:
            fields["value_size"] = 16
        case MapType.RHASH:
            fields["map_flags"] = MapFlag.NO_PREALLOC
        case MapType.LPM_TRIE:
            fields |= {"key_size": 8, "map_flags": MapFlag.NO_PREALLOC}
        case MapType.CGROUP_STORAGE | MapType.PERCPU_CGROUP_STORAGE:
            fields |= {"key_size": 16, "max_entries": 0}
        case MapType.QUEUE | MapType.STACK | MapType.BLOOM_FILTER:
            fields["key_size"] = 0
        case MapType.RINGBUF | MapType.USER_RINGBUF:
            fields |= {"key_size": 0, "value_size": 0, "max_entries": 1 << 16}  # a page, whatever its size
        case MapType.ARENA:
            fields |= {"key_size": 0, "value_size": 0, "map_flags": MapFlag.MMAPABLE}
        case MapType.STRUCT_OPS:
            # a value type that is none: only a kernel that knows the type of map says so
            return _answers(fields | {"btf_vmlinux_value_type_id": 1}, ENOTSUPP, ENOENT)
        case MapType.ARRAY_OF_MAPS | MapType.HASH_OF_MAPS:
            return _answers(fields | {"inner_map_fd": -1 & 0xFFFFFFFF}, EBADF)
        case _ if kind in _STORAGE:
            return _storage(fields)
    return works(lambda: syscall.map_create(fields))


def _answers(fields: dict[str, int], *expected: int) -> bool | None:
    try:
        syscall.map_create(fields).close()
    except KernelError as failure:
        if failure.errno in expected:
            return True
        return False if failure.errno == EINVAL else None
    return True


def _storage(fields: dict[str, int]) -> bool | None:
    # local storage must have BTF
    from rawbpf.btf import types as t
    from rawbpf.btf.build import Builder

    builder = Builder(little=sys.byteorder == "little")
    number = builder.add(t.Int("int", 4, t.Int.SIGNED))
    try:
        fd = syscall.btf_load(builder.to_bytes())
    except KernelError as failure:
        return False if failure.errno in NO else None
    with fd:
        types = {"btf_fd": fd.fileno(), "btf_key_type_id": number, "btf_value_type_id": number}
        fields = fields | types | {"max_entries": 0, "map_flags": MapFlag.NO_PREALLOC}
        return works(lambda: syscall.map_create(fields))


def missing_map_type(kind: MapType) -> NotSupportedError:
    """The error for a type of map that the kernel has not."""
    return NotSupportedError(
        f"map type {kind.name}",
        min_version=since(MAP_TYPES, kind.name),
        errno=EINVAL,
        command=f"BPF_{Cmd.MAP_CREATE.name}",
        hint="the kernel is older, or was configured without it",
    )
