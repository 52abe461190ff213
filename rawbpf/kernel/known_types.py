# SPDX-License-Identifier: BSD-2-Clause
"""Which types of programs, maps and attachments the running kernel has, as `features` answers."""

from __future__ import annotations

import sys
from contextlib import suppress
from errno import EBADF, EINVAL, ENOENT

from rawbpf.errors import ENOTSUPP, BtfError, KernelError, NotSupportedError
from rawbpf.kernel import syscall
from rawbpf.kernel.features import NO, RETURN_0, remember, works
from rawbpf.kernel.gate import address
from rawbpf.uapi import AttachType, BtfKind, Cmd, MapFlag, MapType, ProgFlag, ProgType, known

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

ATTACH_TYPES: dict[str, tuple[str, ...]] = {
    "5.5": ("TRACE_RAW_TP", "TRACE_FENTRY", "TRACE_FEXIT"),
    "5.7": ("MODIFY_RETURN", "LSM_MAC"),
    "5.8": (
        "TRACE_ITER",
        "CGROUP_INET4_GETPEERNAME",
        "CGROUP_INET6_GETPEERNAME",
        "CGROUP_INET4_GETSOCKNAME",
        "CGROUP_INET6_GETSOCKNAME",
    ),
    "5.9": ("CGROUP_INET_SOCK_RELEASE",),
    "6.0": ("LSM_CGROUP",),
    "6.7": (
        "CGROUP_UNIX_CONNECT",
        "CGROUP_UNIX_SENDMSG",
        "CGROUP_UNIX_RECVMSG",
        "CGROUP_UNIX_GETPEERNAME",
        "CGROUP_UNIX_GETSOCKNAME",
    ),
    "7.0": ("TRACE_FSESSION",),
}
"""Attach types that a kernel checks when a program is loaded, by the release that brought them."""


def since(releases: dict[str, tuple[str, ...]], name: str) -> str:
    """The release that brought a type, or an empty string."""
    return next((release for release, names in releases.items() if name in names), "")


def has_number(enum: str, number: int) -> bool | None:
    """Whether an enum of the kernel's headers (``bpf_attach_type``) has the number, by the kernel's BTF."""
    return remember((enum, number), lambda: _has_number(enum, number))


def _has_number(enum: str, number: int) -> bool | None:
    from rawbpf.btf import types as t
    from rawbpf.kernel.host import vmlinux_btf

    with suppress(BtfError, OSError):
        btf = vmlinux_btf()
        type_id = btf.find(enum, BtfKind.ENUM) if btf is not None else None
        kind = btf.type(type_id) if btf is not None and type_id else None
        if isinstance(kind, t.Enum):
            # __MAX_BPF_ATTACH_TYPE and the like are the first number that there is not
            return any(value.value == number and not value.name.startswith("__MAX_") for value in kind.values)
    return None


def _missing(what: str, enum: str, kind: int, releases: dict[str, tuple[str, ...]], command: Cmd) -> NotSupportedError:
    newer = has_number(enum, kind) is False
    name = getattr(kind, "name", str(kind))
    return NotSupportedError(
        f"{what} {name}",
        min_version=since(releases, name),
        errno=EINVAL,
        command=f"BPF_{command.name}",
        hint="it is newer than this kernel" if newer else "the kernel is older, or was configured without it",
    )


_CHECKED_ATTACH_TYPES = frozenset({ProgType.TRACING, ProgType.LSM, ProgType.CGROUP_SOCK, ProgType.CGROUP_SOCK_ADDR})
"""Types of programs that no kernel has loaded with an attach type that it did not know."""


def missing_attach_type(prog_type: int, attach_type: int) -> NotSupportedError | None:
    """The error for a program whose attach type the kernel does not know; None if that cannot be why it was refused."""
    if prog_type not in _CHECKED_ATTACH_TYPES or has_number("bpf_attach_type", attach_type) is not False:
        return None
    kind = known(AttachType, attach_type)
    return _missing("attach type", "bpf_attach_type", kind, ATTACH_TYPES, Cmd.PROG_LOAD)


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
    return remember(kind, lambda: _has_prog_type(kind))


def _has_prog_type(kind: ProgType) -> bool | None:
    log = bytearray(4096)
    fields = {"log_level": 1, "prog_type": kind} | _PROG_FIELDS.get(kind, {})
    try:
        syscall.prog_load(fields, RETURN_0, license="GPL", log=(address(log), len(log))).close()
    except KernelError as failure:
        if log.split(b"\0", 1)[0].strip() or failure.errno == ENOTSUPP:
            return True
        return False if failure.errno == EINVAL else None
    return True


def missing_prog_type(number: int) -> NotSupportedError | None:
    """The error for a type of program that the kernel has not; None if it has."""
    kind, enum = known(ProgType, number), "bpf_prog_type"
    there = has_prog_type(kind) if isinstance(kind, ProgType) else has_number(enum, number)
    return _missing("program type", enum, kind, PROG_TYPES, Cmd.PROG_LOAD) if there is False else None


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


def missing_map_type(number: int) -> NotSupportedError | None:
    """The error for a type of map that the kernel has not; None if it has."""
    kind, enum = known(MapType, number), "bpf_map_type"
    there = has_map_type(kind) if isinstance(kind, MapType) else has_number(enum, number)
    return _missing("map type", enum, kind, MAP_TYPES, Cmd.MAP_CREATE) if there is False else None
