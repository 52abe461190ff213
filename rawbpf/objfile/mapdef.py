# SPDX-License-Identifier: BSD-2-Clause
"""Map definitions: the variables of ``.maps``, whose *types* say what they mean, become `MapSpec`.

``__uint(max_entries, 16)`` is a member ``int (*max_entries)[16]``: the number is an array's length. ``__type(key, T)``
is a pointer to T, ``__ulong(map_extra, X)`` an enum with one value, ``__array(values, T)`` an array of pointers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.errors import SpecError, where
from rawbpf.objfile.elf import STV_HIDDEN, STV_INTERNAL
from rawbpf.objfile.spec import MapSpec, kernel_name
from rawbpf.uapi import BtfKind, MapType

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawbpf.btf.parse import Btf
    from rawbpf.objfile.spec import ObjectSpec

PTR_SIZE = 8
PIN_NONE, PIN_BY_NAME = 0, 1
MAP_IN_MAP = (MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS)
_MAX_U32 = 0xFFFFFFFF
_NUMBERS = ("type", "max_entries", "map_flags", "numa_node", "key_size", "value_size", "pinning", "map_extra")


def read_maps(spec: ObjectSpec, *, relaxed: bool = False) -> list[MapSpec]:
    """The maps of ``.maps``, by their place in it. Raises `SpecError` for a definition that means nothing.

    With `relaxed`, members that are not known are left out, with a warning.
    """
    section = spec.elf.find(".maps")
    if section is None or not section.size:
        return []
    if spec.btf is None:
        raise SpecError("the object has maps but no BTF that defines them", section=".maps", hint="compile with -g")
    datasec_id = spec.btf.find(".maps", BtfKind.DATASEC)
    if datasec_id is None:
        raise SpecError("BTF does not describe the section", section=".maps", hint="compile with -g")
    datasec = spec.btf.type(datasec_id)
    assert isinstance(datasec, t.Datasec)
    symbols = {symbol.name: symbol for symbol in spec.elf.symbols_of[section.idx]}
    maps = []
    for var in datasec.vars:
        variable = spec.btf.type(var.type_id)
        with where(section=".maps", symbol=variable.name or None):
            if not isinstance(variable, t.Var) or not variable.name:
                raise SpecError("an entry of .maps is not a named variable")
            if variable.linkage != t.Var.GLOBAL:
                raise SpecError("a map must be a global variable, this one is static", hint="remove `static`")
            symbol = symbols.get(variable.name)
            if symbol and symbol.visibility in (STV_HIDDEN, STV_INTERNAL):
                raise SpecError("a map must be a global variable, this one is hidden", hint="remove its visibility")
            # clang leaves the offsets in BTF at 0: the symbol table knows
            offset = symbol.value if symbol else var.offset
            if offset + var.size > section.size:
                raise SpecError(f"the definition ({offset}+{var.size}) ends behind the section ({section.size})")
            spec_ = MapSpec(variable.name, kernel_name(variable.name), section=".maps", section_index=section.idx)
            spec_.offset = offset
            unknown = _fill(spec_, spec.btf, variable.type_id, var.size)
            if unknown and not relaxed:
                raise SpecError(
                    f"unknown member {unknown[0]!r} in a map definition",
                    hint=f"known are: {', '.join((*_NUMBERS, 'key', 'value', 'values'))}; or open it with relaxed_maps",
                )
            spec.warnings += [f"map {spec_.name}: unknown member {name!r} is left out" for name in unknown]
            maps.append(spec_)
    maps.sort(key=lambda spec_: spec_.offset)
    return maps


def _fill(spec: MapSpec, btf: Btf, type_id: int, size: int) -> list[str]:
    # the names of members that mean nothing
    struct = btf.type(btf.resolve(type_id))
    if not isinstance(struct, t.Struct):
        raise SpecError(f"a map is defined by a struct, this is {struct.kind.name.lower()} {struct.name}".rstrip())
    if struct.size > size:
        raise SpecError(f"the struct ({struct.size} bytes) is larger than its variable ({size} bytes)")
    unknown: list[str] = []
    _members(spec, btf, struct, unknown, inner=False)
    return unknown


def _members(spec: MapSpec, btf: Btf, struct: t.Struct, unknown: list[str], *, inner: bool) -> None:
    last = len(struct.members) - 1
    for index, member in enumerate(struct.members):
        if member.name in _NUMBERS:
            _number(spec, member.name, _constant(btf, member), inner)
        elif member.name in ("key", "value"):
            _typed(spec, member.name, btf, member)
        elif member.name == "values":
            if inner:
                raise SpecError("a map in map in map is not possible")
            if index != last:
                raise SpecError("`values` must be the last member of the definition")
            _values(spec, btf, member, unknown)
        else:
            unknown.append(member.name)
    if spec.map_type == MapType.UNSPEC:
        raise SpecError("the definition does not say the map's type", hint="__uint(type, BPF_MAP_TYPE_…)")


def _constant(btf: Btf, member: t.Member) -> int:
    # __uint: a pointer to an array, its length; __ulong, which only map_extra may be: an enum, its one value
    kind = btf.type(btf.resolve(member.type_id))
    if isinstance(kind, t.Ptr):
        array = btf.type(kind.type_id)
        if isinstance(array, t.Array):
            return array.nelems
    elif isinstance(kind, t.Enum | t.Enum64) and len(kind.values) == 1 and member.name == "map_extra":
        value = kind.values[0].value
        narrow = isinstance(kind, t.Enum) and value & 0x80000000  # libbpf reads 32 bits as signed
        return (value | 0xFFFFFFFF00000000 if narrow else value) & 0xFFFFFFFFFFFFFFFF
    raise SpecError(f"{member.name!r} is no number", hint=f"__uint({member.name}, …)")


def _number(spec: MapSpec, name: str, value: int, inner: bool) -> None:
    if name == "pinning":
        if inner:
            raise SpecError("an inner map cannot be pinned")
        if value not in (PIN_NONE, PIN_BY_NAME):
            raise SpecError(f"pinning {value} is not known", hint="LIBBPF_PIN_NONE (0) or LIBBPF_PIN_BY_NAME (1)")
        spec.pin_by_name = value == PIN_BY_NAME
        return
    field = {"type": "map_type"}.get(name, name)
    known = getattr(spec, field)
    if name in ("key_size", "value_size") and known and known != value:
        raise SpecError(f"the definition says {name} {known} and {value}")
    setattr(spec, field, value)


def _typed(spec: MapSpec, name: str, btf: Btf, member: t.Member) -> None:
    pointer = btf.type(member.type_id)
    if not isinstance(pointer, t.Ptr):
        raise SpecError(f"{name!r} is no pointer to a type", hint=f"__type({name}, …)")
    size = btf.size_of(pointer.type_id)
    if size > _MAX_U32:
        raise SpecError(f"the type of {name!r} has {size} bytes, which do not fit into 32 bits")
    known = getattr(spec, f"{name}_size")
    if known and known != size:
        raise SpecError(f"the definition says {name}_size {known}, its type has {size} bytes")
    setattr(spec, f"{name}_size", size)
    setattr(spec, f"btf_{name}_type_id", pointer.type_id)


def _values(spec: MapSpec, btf: Btf, member: t.Member, unknown: list[str]) -> None:
    if spec.map_type not in (*MAP_IN_MAP, MapType.PROG_ARRAY):
        raise SpecError("`values` is only for maps in maps and program arrays")
    if spec.value_size not in (0, 4):
        raise SpecError(f"value_size is {spec.value_size}; that of a map with `values` is 4")
    spec.value_size = 4
    array = btf.type(member.type_id)
    if not isinstance(array, t.Array) or array.nelems:
        raise SpecError("`values` is no array without length", hint="__array(values, …)")
    pointer = btf.type(btf.resolve(array.type_id))
    target = btf.type(btf.resolve(pointer.type_id)) if isinstance(pointer, t.Ptr) else None
    if spec.map_type == MapType.PROG_ARRAY:
        if not isinstance(target, t.FuncProto):
            raise SpecError("`values` of a program array is no array of pointers to functions")
        return
    if not isinstance(target, t.Struct):
        raise SpecError("`values` of a map in map is no array of pointers to map definitions")
    inner = f"{spec.name}.inner"
    spec.inner = MapSpec(inner, kernel_name(inner), section=spec.section, section_index=spec.section_index)
    with where(symbol=inner):
        _members(spec.inner, btf, target, unknown, inner=True)


def read_slots(spec: ObjectSpec, is_entry: Callable[[str], bool]) -> None:
    """The static contents of maps in maps and program arrays, from the relocations of ``.maps``.

    `is_entry` tells whether a name is a program's. Raises `SpecError` for a slot that names neither map nor program.
    """
    section = spec.elf.find(".maps")
    if section is None or spec.btf is None:
        return
    maps = [map_ for map_ in spec.maps.values() if map_.section_index == section.idx]
    for relo in spec.elf.relocations.get(section.idx, ()):
        owner = max((m for m in maps if m.offset <= relo.offset), key=lambda m: m.offset, default=None)
        if owner is None:
            raise SpecError(f"a relocation at byte {relo.offset} is in no map's definition", section=".maps")
        with where(section=".maps", symbol=owner.name):
            index = _slot_index(spec.btf, owner, relo.offset)
            name = relo.symbol.name
            if owner.map_type == MapType.PROG_ARRAY:
                if not is_entry(name):
                    raise SpecError(f"slot {index} names {name!r}, which is no program", hint="it needs a SEC()")
            elif owner.map_type in MAP_IN_MAP:
                if relo.symbol.shndx != section.idx or name not in spec.maps:
                    raise SpecError(f"slot {index} names {name!r}, which is no map")
                if owner.map_type == MapType.HASH_OF_MAPS and owner.key_size != 4:
                    raise SpecError(f"a hash of maps with static slots has keys of 4 bytes, not {owner.key_size}")
            else:
                raise SpecError("only maps in maps and program arrays can have `values`")
            owner.slots[index] = name


def _slot_index(btf: Btf, owner: MapSpec, offset: int) -> int:
    variable_id = btf.find(owner.name, BtfKind.VAR)
    variable = btf.type(variable_id or 0)
    struct = btf.type(btf.resolve(variable.type_id)) if isinstance(variable, t.Var) else None
    if not isinstance(struct, t.Struct) or not struct.members or struct.members[-1].name != "values":
        raise SpecError("the map has initial slots but no member `values`")
    inside = offset - owner.offset - struct.members[-1].bit_offset // 8
    if inside < 0 or inside % PTR_SIZE:
        raise SpecError(f"a relocation at byte {offset} is no element of `values`")
    return inside // PTR_SIZE
