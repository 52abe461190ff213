# SPDX-License-Identifier: BSD-2-Clause
"""Externs: undefined symbols of the object, and the BTF sections ``.kconfig`` and ``.ksyms`` that say what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.errors import SpecError, where
from rawbpf.objfile.spec import MAX_DATA_SIZE, ExternSpec, MapSpec, section_map_name
from rawbpf.uapi import BtfKind, MapFlag, MapType

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf
    from rawbpf.objfile.elf import Symbol
    from rawbpf.objfile.spec import ObjectSpec

KCONFIG, KSYMS = ".kconfig", ".ksyms"


def read_externs(spec: ObjectSpec) -> None:
    """Fill ``spec.externs``: kconfig ones first, as they lie in their map, then ksyms and kfuncs by name.

    Raises `SpecError` for an undefined symbol that BTF does not place in one of the two sections.
    """
    symbols = [symbol for symbol in spec.elf.symbols if symbol.extern and symbol.name]
    if not symbols:
        return
    placed = _placed(spec.btf) if spec.btf else {}
    found = []
    for symbol in symbols:
        with where(symbol=symbol.name):
            if symbol.name not in placed or spec.btf is None:
                what = "BTF does not say" if spec.btf else "the object has no BTF that would say"
                raise SpecError(
                    f"{symbol.name!r} is defined nowhere, and {what} what it is",
                    hint="declare it `extern … __ksym` or `__kconfig` and compile with -g, or define it",
                )
            section, var_id = placed[symbol.name]
            extern = _kconfig if section == KCONFIG else _ksym
            found.append(extern(spec.btf, symbol, var_id))
    # libbpf's order: it decides about the layout of .kconfig, and about numbers in poisoned calls
    found.sort(key=lambda e: (e.kind != "kconfig", -e.align, e.size, e.name))
    spec.externs = {extern.name: extern for extern in found}


def _placed(btf: Btf) -> dict[str, tuple[str, int]]:
    # name → (section, id of its VAR or FUNC)
    placed = {}
    for section in (KCONFIG, KSYMS):
        type_id = btf.find(section, BtfKind.DATASEC)
        datasec = btf.type(type_id) if type_id is not None else None
        for var in datasec.vars if isinstance(datasec, t.Datasec) else ():
            placed[btf.name_of(var.type_id)] = (section, var.type_id)
    return placed


def _kconfig(btf: Btf, symbol: Symbol, var_id: int) -> ExternSpec:
    variable = btf.type(var_id)
    if not isinstance(variable, t.Var):
        raise SpecError("a function cannot be a kconfig value")
    size, align = btf.size_of(variable.type_id), btf.align_of(variable.type_id)
    type_id = btf.resolve(variable.type_id)
    return ExternSpec(symbol.name, "kconfig", type_id, var_id, symbol.weak, symbol, size, align)


def _ksym(btf: Btf, symbol: Symbol, var_id: int) -> ExternSpec:
    variable = btf.type(var_id)
    if isinstance(variable, t.Func):
        return ExternSpec(symbol.name, "kfunc", var_id, var_id, symbol.weak, symbol)
    if not isinstance(variable, t.Var):
        raise SpecError(f"an extern cannot be a {variable.kind.name.lower()}")
    return ExternSpec(symbol.name, "ksym", btf.resolve(variable.type_id), var_id, symbol.weak, symbol)


def kconfig_layout(externs: list[ExternSpec]) -> tuple[dict[str, int], int]:
    """Where each kconfig value is in the map, and the size of the map, in bytes."""
    offsets, end = {}, 0
    for extern in externs:
        offsets[extern.name] = -(-end // extern.align) * extern.align
        end = offsets[extern.name] + extern.size
    return offsets, end


def add_kconfig_map(spec: ObjectSpec) -> None:
    """Add the map ``.kconfig`` that holds the values; its contents are known only when there is a kernel."""
    wanted = [extern for extern in spec.externs.values() if extern.kind == "kconfig"]
    if not wanted or spec.btf is None:
        return
    _offsets, size = kconfig_layout(wanted)
    if size > MAX_DATA_SIZE:
        raise SpecError(
            f"kconfig values of {size} bytes are more than the {MAX_DATA_SIZE} that are kept", section=KCONFIG
        )
    spec.maps[KCONFIG] = MapSpec(
        KCONFIG,
        section_map_name(spec.name, KCONFIG),
        "kconfig",
        MapType.ARRAY,
        key_size=4,
        value_size=size,
        max_entries=1,
        map_flags=MapFlag.RDONLY_PROG | MapFlag.MMAPABLE,
        btf_value_type_id=spec.btf.find(KCONFIG, BtfKind.DATASEC) or 0,
        section=KCONFIG,
    )
