# SPDX-License-Identifier: BSD-2-Clause
"""What all streams ask of a map: that it is of the right type, and what the type of its records is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.errors import SpecError
from rawbpf.kernel import info, syscall
from rawbpf.uapi import BtfKind, Cmd, MapType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.btf.codec import Codec
    from rawbpf.btf.parse import Btf
    from rawbpf.kernel.maps import Map

_READERS = {
    MapType.RINGBUF: "RingBuffer",
    MapType.PERF_EVENT_ARRAY: "PerfBuffer",
    MapType.USER_RINGBUF: "UserRingBuffer",
}
_TAGGED = {
    "struct": (BtfKind.STRUCT,),
    "union": (BtfKind.UNION,),
    "enum": (BtfKind.ENUM, BtfKind.ENUM64),
}
_UNTAGGED = (BtfKind.INT, BtfKind.FLOAT, BtfKind.TYPEDEF, *(kind for kinds in _TAGGED.values() for kind in kinds))


def expect_type(map: Map, kind: MapType) -> None:
    """Raises `SpecError` if the map is of another type, with the class that is for it."""
    if map.type == kind:
        return
    name = map.type.name if isinstance(map.type, MapType) else str(map.type)
    reader = _READERS.get(map.type) if isinstance(map.type, MapType) else None
    hint = f"{reader} is for that type" if reader else f"define the map with BPF_MAP_TYPE_{kind.name}"
    raise SpecError(f"{map.name} is a map of type {name}, not {kind.name}", hint=hint)


def codec_for(map: Map, type: str | None, btf: Btf | None) -> Codec | None:
    """The codec of a type by its C name (``struct event``, ``event_t``, ``u64``), None for no name.

    It is looked for in `btf`; else in the BTF of the object that the map came with, or of the programs that use it.
    Raises `SpecError` if it is not there, or there are several.
    """
    if type is None:
        return None
    looked = 0
    for types in [btf] if btf else types_of(map):
        looked += 1
        found = find_type(types, type)
        if found is not None:
            from rawbpf.btf.value import codec

            return codec(types, found)
    hint = (
        "clang leaves out what nothing uses: let a global variable or a function's argument have the type"
        if looked
        else "no program that uses the map has BTF: give the object's own, btf=rawbpf.read_btf(FILE)"
    )
    raise SpecError(f"no BTF at hand has a type {type!r}, as the records of {map.name} are to be", hint=hint)


def find_type(btf: Btf, name: str) -> int | None:
    """The type id of a C name (``struct event``, ``event``, ``u64``) in one BTF."""
    tag, _, rest = name.partition(" ")
    kinds = _TAGGED.get(tag, _UNTAGGED)
    return btf.find(rest.strip() if tag in _TAGGED else name, *kinds)


def guess_type(map: Map, btf: Btf | None) -> str | None:
    """The struct that a map is named after: ``struct event`` for a map ``event`` or ``events``; None if none is."""
    for types in [btf] if btf else types_of(map):
        for name in dict.fromkeys((map.name, map.name.removesuffix("s"))):
            if types.find(name, BtfKind.STRUCT) is not None:
                return f"struct {name}"
    return None


def types_of(map: Map) -> Iterator[Btf]:
    """The BTF that may have the types of a map's records: of its object, and of the programs that use it (as root)."""
    from rawbpf.btf.parse import Btf

    own = map.object_btf
    if own is not None:
        yield own
        return
    number = map.id
    seen = set()
    for program in info.programs():
        if number in program.map_ids and program.btf_id and program.btf_id not in seen:
            seen.add(program.btf_id)
            with syscall.get_fd_by_id(Cmd.BTF_GET_FD_BY_ID, program.btf_id) as fd:
                yield Btf(info.btf_data(fd.fileno()), name=f"BTF id {program.btf_id}")
