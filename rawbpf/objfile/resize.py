# SPDX-License-Identifier: BSD-2-Clause
"""A data section of another size: its map, its contents, its last array, and the types of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.parse import Btf
from rawbpf.errors import SpecError, where
from rawbpf.objfile.spec import DATA_KINDS, MAX_DATA_SIZE

if TYPE_CHECKING:
    from rawbpf.objfile.spec import MapSpec, ObjectSpec


def resize_section(spec: ObjectSpec, name: str, size: int) -> None:
    """As `ObjectSpec.resize_section`."""
    if name not in spec.maps:
        raise spec.no_such("map", name, list(spec.maps))
    map_ = spec.maps[name]
    with where(symbol=name, path=spec.path):
        if map_.kind not in DATA_KINDS or map_.contents is None:
            raise SpecError("only sections of variables can be resized", hint=f"spec.maps[{name!r}].max_entries = …")
        if not 0 < size <= MAX_DATA_SIZE:
            raise SpecError(f"{size} bytes are not between 1 and {MAX_DATA_SIZE}")
        places = _places(spec, map_)
        problem = _grow_last(spec, map_, places, size)
        if problem:
            _check_room(spec, places, size)
            spec.warnings.append(f"{name}: {problem}; the map has no types")
            map_.btf_value_type_id = map_.btf_key_type_id = 0
        map_.value_size = size
        map_.contents = bytearray(map_.contents[:size].ljust(size, b"\0"))


def _places(spec: ObjectSpec, map_: MapSpec) -> list[t.SecVar]:
    """Where the section's variables are, in their order: clang leaves some offsets in BTF to the linker."""
    btf = spec.btf
    if btf is None or not map_.btf_value_type_id:
        return []
    datasec = btf.type(map_.btf_value_type_id)
    assert isinstance(datasec, t.Datasec)
    places = []
    for var in datasec.vars:
        known = spec.variables.get(btf.name_of(var.type_id))
        offset = known.offset if known and known.map == map_.name and known.size == var.size else var.offset
        places.append(t.SecVar(var.type_id, offset, var.size))
    return sorted(places, key=lambda place: place.offset)


def _check_room(spec: ObjectSpec, places: list[t.SecVar], size: int) -> None:
    for var_id, offset, length in places:
        if spec.btf is not None and offset + length > size:
            raise SpecError(f"{size} bytes are too few for {spec.btf.name_of(var_id)!r} ({offset}+{length})")


def _grow_last(spec: ObjectSpec, map_: MapSpec, places: list[t.SecVar], size: int) -> str:
    """Make the section's last variable end where the section does; what keeps it from that."""
    if spec.btf is None or not places:
        return "BTF does not say what is in it"
    btf, last = spec.btf, places[-1]
    datasec, variable = btf.type(map_.btf_value_type_id), btf.type(last.type_id)
    assert isinstance(datasec, t.Datasec)
    assert isinstance(variable, t.Var)
    array = btf.type(btf.resolve(variable.type_id))
    if not isinstance(array, t.Array):
        return f"{variable.name!r}, its last variable, is no array"
    element, room = btf.size_of(array.type_id), size - last.offset
    if not element or room <= 0 or room % element:
        return f"{variable.name!r} is at {last.offset}, of elements of {element} bytes, and cannot end at {size}"
    builder = Builder.from_btf(btf)
    grown = builder.add(t.Array(array.type_id, array.index_type_id, room // element))
    builder.replace(last.type_id, t.Var(variable.name, grown, variable.linkage))
    sized = [*places[:-1], t.SecVar(last.type_id, last.offset, room)]
    builder.replace(map_.btf_value_type_id, t.Datasec(datasec.name, size, sized))
    spec.btf = Btf(builder.to_bytes(), name=btf.name)
    known = spec.variables.get(variable.name)
    if known is not None and known.map == map_.name:
        known.type_id, known.size = grown, room
    return ""
