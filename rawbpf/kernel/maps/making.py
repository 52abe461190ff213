# SPDX-License-Identifier: BSD-2-Clause
"""Maps that are made from Python, without an object file."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from rawbpf.btf.build import Builder
from rawbpf.btf.codec import near
from rawbpf.btf.parse import Btf
from rawbpf.btf.shorthand import add_type
from rawbpf.errors import SpecError, where
from rawbpf.kernel import syscall
from rawbpf.kernel.creation import create_map
from rawbpf.kernel.maps.map import Map
from rawbpf.uapi import MapFlag, MapType

if TYPE_CHECKING:
    from rawbpf.kernel.maps.map import Shape

_NO_PREALLOC = frozenset(
    {MapType.LPM_TRIE, MapType.SK_STORAGE, MapType.INODE_STORAGE, MapType.TASK_STORAGE, MapType.CGRP_STORAGE}
)
"""Which the kernel makes no otherwise."""


def create(
    type: MapType | str,
    key: Shape,
    value: Shape,
    max_entries: int,
    name: str,
    flags: int,
    extra: int,
    inner: Map | None,
) -> Map:
    """`Map.create`."""
    kind = _kind(type)
    builder = Builder(little=sys.byteorder == "little")
    label = re.sub(r"\W", "_", name)
    with where(symbol=name or None):
        key_id, key_size = _shape(builder, key, f"{label}_key")
        value_id, value_size = _shape(builder, value, f"{label}_value")
        if kind in _NO_PREALLOC:
            flags |= MapFlag.NO_PREALLOC
        shape: dict[str, Any] = {"key_size": key_size, "value_size": value_size, "max_entries": max_entries}
        fields = {"map_type": kind, **shape, "map_flags": flags, "map_extra": extra, "map_name": label}
        if inner is not None:
            fields["inner_map_fd"] = inner.fileno()
        if not (key_id or value_id):
            return Map(create_map(fields), name, type=kind, **shape, map_flags=flags, map_extra=extra)
        data = builder.to_bytes()
        # a kernel without BTF for maps makes the map without: it is typed here all the same
        with syscall.btf_load(data) as btf:
            types = {"btf_fd": btf.fileno(), "btf_key_type_id": key_id, "btf_value_type_id": value_id}
            fd = create_map(fields | types)
    return Map(
        fd,
        name,
        type=kind,
        **shape,
        map_flags=flags,
        map_extra=extra,
        btf=lambda: Btf(data, name=name),
        key_type_id=key_id,
        value_type_id=value_id,
    )


def _kind(type: MapType | str) -> MapType:
    if isinstance(type, str):
        found = MapType.__members__.get(type.upper())
        if found is None:
            raise SpecError(f"there is no type of map {type!r}", hint=near(type, map(str.lower, MapType.__members__)))
        return found
    return MapType(type)


def _shape(builder: Builder, shape: Shape, name: str) -> tuple[int, int]:
    # the id of its type, 0 for none, and its size
    return (0, shape) if isinstance(shape, int) else add_type(builder, shape, name)
