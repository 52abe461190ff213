# SPDX-License-Identifier: BSD-2-Clause
"""What the errno of a command on map elements means for the type of map, and the way out."""

from __future__ import annotations

import errno as e
import os
from fcntl import F_GETFL, fcntl
from typing import TYPE_CHECKING

from rawbpf.errors import (
    ENOTSUPP,
    KernelError,
    MapAccessError,
    MapFullError,
    MapKeyError,
    MapKeyExistsError,
    NotSupportedError,
    errno_name,
    errno_text,
)
from rawbpf.kernel import gate
from rawbpf.uapi import Cmd, MapType

if TYPE_CHECKING:
    from rawbpf.kernel.maps.base import MapBase

ARRAYS = frozenset({MapType.ARRAY, MapType.PERCPU_ARRAY, MapType.STRUCT_OPS, MapType.INSN_ARRAY})
"""Where every element exists from the beginning."""
INDEXED = ARRAYS | {
    MapType.PROG_ARRAY,
    MapType.PERF_EVENT_ARRAY,
    MapType.CGROUP_ARRAY,
    MapType.ARRAY_OF_MAPS,
    MapType.DEVMAP,
    MapType.SOCKMAP,
    MapType.CPUMAP,
    MapType.XSKMAP,
    MapType.REUSEPORT_SOCKARRAY,
    MapType.STACK_TRACE,
}
"""Where a key is an index of 32 bits."""
STORAGES = frozenset({MapType.SK_STORAGE, MapType.INODE_STORAGE, MapType.TASK_STORAGE, MapType.CGRP_STORAGE})
"""Where a key is a descriptor of what the value belongs to."""

_READS = frozenset({Cmd.MAP_LOOKUP_ELEM, Cmd.MAP_LOOKUP_BATCH})
_WALKS = frozenset({Cmd.MAP_GET_NEXT_KEY, Cmd.MAP_LOOKUP_BATCH})
_DELETES = frozenset({Cmd.MAP_DELETE_ELEM, Cmd.MAP_DELETE_BATCH})


def refusal(map_: MapBase, command: Cmd, number: int, key: bytes) -> KernelError:
    """The error for a command on a map that the kernel refused."""
    error = _refusal(map_, command, number, key)
    error.symbol = map_.name
    return error


def _refusal(map_: MapBase, command: Cmd, number: int, key: bytes) -> KernelError:
    if number == e.ENOENT:
        return missing(map_, command, key)
    if number == e.E2BIG or (number == e.ENOSPC and map_.type == MapType.LPM_TRIE):
        return _too_big(map_, command, number, key)
    if number == e.EEXIST:
        message = f"there is such a key already{_shown(map_, key)}"
        return MapKeyExistsError(message, errno=number, command=_name(command))
    if number == e.EPERM:
        return _forbidden(map_, command)
    if number in (ENOTSUPP, e.EOPNOTSUPP) or (command in _WALKS and not map_.key_size):
        return _unsupported(map_, command, number)
    if number == e.EINVAL and command in _DELETES and map_.type in ARRAYS:
        return _refused(command, number, f"elements of {_kind(map_)} maps cannot be deleted", "set them to zero")
    if number == e.ENOSPC and command in _READS and map_.value_size == 4:
        hint = "a map with values of 8 bytes tells the cookies of its sockets"
        return _refused(command, number, f"{_kind(map_)} maps with values of 4 bytes cannot be read", hint)
    if number == e.EBADF and map_.type in STORAGES:
        return _refused(
            command, number, "the key is no descriptor of what this map's values belong to", _KEYS[map_.type]
        )
    return gate.error(command, number)


def missing(map_: MapBase, command: Cmd, key: bytes) -> MapKeyError:
    """The error for a key that is not there."""
    text = f"no such key{_shown(map_, key)}" if map_.key_size else "the map is empty"
    return MapKeyError(text, errno=e.ENOENT, command=_name(command), symbol=map_.name)


def _too_big(map_: MapBase, command: Cmd, number: int, key: bytes) -> KernelError:
    if map_.type in INDEXED and map_.type != MapType.STACK_TRACE:
        text = f"no such key{_shown(map_, key)}: the map has {map_.max_entries} elements, from 0"
        return MapKeyError(text, errno=number, command=_name(command))
    hint = "make room (delete, clear), or more of it: spec.maps[…].max_entries before it is loaded"
    if map_.type in (MapType.QUEUE, MapType.STACK):
        hint = "pop, or push with drop_oldest=True"
    text = f"the map is full: it has room for {map_.max_entries} elements"
    return MapFullError(text, errno=number, command=_name(command), hint=hint)


def _forbidden(map_: MapBase, command: Cmd) -> MapAccessError:
    mode = fcntl(map_.fileno(), F_GETFL) & os.O_ACCMODE
    verb, hint = "read" if command in _READS | _WALKS else "written", None
    why = ""
    if mode != os.O_RDWR:
        why = f": this descriptor was opened with BPF_F_{'RDONLY' if mode == os.O_RDONLY else 'WRONLY'}"
    elif map_.frozen:
        why, hint = ": it is frozen", "set values before the map is frozen: that cannot be undone"
    text = f"the map cannot be {verb} by system call{why}"
    return MapAccessError(text, errno=e.EPERM, command=_name(command), hint=hint)


def _unsupported(map_: MapBase, command: Cmd, number: int) -> NotSupportedError:
    if command in _WALKS:
        message = f"the keys of {_kind(map_)} maps cannot be told"
        hint = 'ask for a key at a time, or load a program that iterates: SEC("iter/bpf_…_map")'
    else:
        verb = "read" if command in _READS else "deleted" if command in _DELETES else "taken or set"
        message = f"elements of {_kind(map_)} maps cannot be {verb} by system call"
        hint = None
    return NotSupportedError(
        f"{_name(command)} for {_kind(map_)}", message=message, errno=number, command=_name(command), hint=hint
    )


_KEYS: dict[int, str] = {
    MapType.TASK_STORAGE: "give a pidfd: os.pidfd_open(PID)",
    MapType.SK_STORAGE: "give a socket, or its descriptor",
    MapType.INODE_STORAGE: "give an open file, its descriptor, or a path",
    MapType.CGRP_STORAGE: "give the path of a cgroup, or a descriptor of its directory",
}


def _refused(command: Cmd, number: int, why: str, hint: str) -> KernelError:
    text = f"{why}: {errno_text(number)} ({errno_name(number)})"
    return KernelError(text, errno=number, command=_name(command), hint=hint)


def _name(command: Cmd) -> str:
    return f"BPF_{command.name}"


def _kind(map_: MapBase) -> str:
    return map_.type.name.lower() if isinstance(map_.type, MapType) else f"type {map_.type}"


def _shown(map_: MapBase, key: bytes) -> str:
    # the key in words, if it is one that fits a line
    if not key or map_.type in STORAGES:
        return ""
    text = repr(map_.decode_key(key))
    return f": {text}" if len(text) <= 60 else ""
