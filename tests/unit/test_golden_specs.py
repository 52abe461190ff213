# SPDX-License-Identifier: BSD-2-Clause
"""What is read of each committed object, as text below tests/golden/specs (``pytest --bless`` writes it)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rawbpf
from rawbpf.btf.access import read_access
from rawbpf.btf.decl import type_decl
from rawbpf.btf.ext import CORE_KIND_NAMES
from rawbpf.objfile.disasm import disassemble
from rawbpf.objfile.program_spec import attach_type_name
from rawbpf.uapi import CoreReloKind, MapType, ProgType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rawbpf.objfile.program_spec import FunctionSpec
    from rawbpf.objfile.spec import MapSpec, ObjectSpec

ROOT = Path(__file__).parent.parent.parent
# the big-endian objects give the same (test_reader.py), so they have no files of their own
OBJECTS = sorted([*ROOT.glob("objs/*.o"), *ROOT.glob("tests/objs/*.el.o")])
LOADABLE = [path for path in OBJECTS if path.name != "static_outside_text.el.o"]


def dump(spec: ObjectSpec) -> Iterator[str]:
    """The lines that tell all of a spec."""
    types = len(spec.btf) - 1 if spec.btf is not None else 0
    yield f"object {spec.name}: license {spec.license!r}, {types} types"
    for program in spec.programs.values():
        yield f"program {program.name}: {program.section}{'' if program.autoload else ' (optional)'}"
        attach = attach_type_name(program.prog_type, program.attach_type) or "-"
        yield f"    {ProgType(program.prog_type).name}, attach type {attach}, flags {int(program.flags):#x}"
        yield from _function(spec, program)
    for function in spec.functions.values():
        linkage = "hidden" if function.hidden else "global" if function.is_global else "static"
        yield f"subprogram {function.name}: {linkage}, slot {function.start} of {function.section}"
        yield from _function(spec, function)
    for map_ in spec.maps.values():
        yield f"map {map_.name}: {map_.kind}, {map_.kernel_name!r}{'' if map_.autocreate else ' (optional)'}"
        yield from _map(spec, map_, "    ")
    for variable in spec.variables.values():
        place = f"{variable.map}+{variable.offset:#x}, {variable.size} bytes"
        yield f"variable {_decl(spec, variable.type_id, variable.name)}: {place} = {_short(variable.value)}"
    for ops in spec.struct_ops.values():
        yield f"struct_ops {ops.name}: {ops.type_name}{', link' if ops.link else ''}"
        yield f"    data {ops.data.hex()}"
        yield from (f"    at {offset}: {name}" for offset, name in ops.functions.items())
    for extern in spec.externs.values():
        yield f"extern {_decl(spec, extern.var_id)}: {extern.kind}{', weak' if extern.weak else ''}"
    yield from _core(spec)
    yield from (f"warning: {text}" for text in spec.warnings)


def _function(spec: ObjectSpec, function: FunctionSpec) -> Iterator[str]:
    info = _decl(spec, function.func_info.type_id) if function.func_info else "no BTF"
    lines = [insn.line.line for insn in function.insns if insn.line]
    span = f"lines {min(lines)} to {max(lines)}" if lines else "no lines"
    yield f"    {info}; {len(function.insns)} insns, {span}"
    for slot, insn in enumerate(function.insns):
        if insn.relo is not None:
            symbol = insn.relo.symbol
            name = symbol.name or spec.elf.section_name(symbol.shndx)
            yield f"    insn {slot}: {name}{f' + {insn.imm}' if insn.imm > 0 else ''}"


def _map(spec: ObjectSpec, map_: MapSpec, indent: str) -> Iterator[str]:
    yield (
        f"{indent}{MapType(map_.map_type).name} key {map_.key_size} value {map_.value_size} "
        f"max_entries {map_.max_entries} flags {int(map_.map_flags):#x} extra {map_.map_extra}"
    )
    if map_.btf_key_type_id or map_.btf_value_type_id:
        key, value = _decl(spec, map_.btf_key_type_id), _decl(spec, map_.btf_value_type_id)
        yield f"{indent}{key} -> {value}"
    if map_.pin_by_name:
        yield f"{indent}pinned by name"
    for index, name in map_.slots.items():
        yield f"{indent}[{index}] = {name}"
    if map_.inner is not None:
        yield f"{indent}inner:"
        yield from _map(spec, map_.inner, indent + "    ")


def _core(spec: ObjectSpec) -> Iterator[str]:
    ext = spec.btf_ext
    for section in ext.core_relo_sections() if ext is not None else ():
        assert ext is not None
        assert spec.btf is not None
        for relo in ext.core_relos(section):
            access = read_access(spec.btf, relo)
            yield f"CO-RE {section}+{relo.insn_off:#x}: {CORE_KIND_NAMES[CoreReloKind(relo.kind)]} {access}"


def _decl(spec: ObjectSpec, type_id: int, name: str = "") -> str:
    return type_decl(spec.btf, type_id, name) if type_id and spec.btf is not None else "-"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}..."


@pytest.mark.parametrize("path", LOADABLE, ids=lambda path: path.name)
def test_spec(path: Path, golden: Callable[[str, str], None]) -> None:
    golden(f"specs/{path.name.split('.')[0]}.txt", "".join(f"{line}\n" for line in dump(rawbpf.open(path))))


@pytest.mark.parametrize("path", sorted((ROOT / "objs").glob("*.o")), ids=lambda path: path.name)
def test_instructions(path: Path, golden: Callable[[str, str], None]) -> None:
    spec = rawbpf.open(path)
    lines = []
    for function in (*spec.programs.values(), *spec.functions.values()):
        lines.append(f"{function.name}:")
        lines += [f"{slot:5}: {text}" for slot, text in disassemble(function.insns)]
    golden(f"disasm/{path.stem}.txt", "".join(f"{line}\n" for line in lines))
