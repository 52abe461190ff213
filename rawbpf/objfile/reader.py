# SPDX-License-Identifier: BSD-2-Clause
"""The one door for files: an object file becomes an `ObjectSpec`, a file with BTF becomes a `Btf`."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.btf.ext import BtfExt
from rawbpf.btf.parse import Btf
from rawbpf.errors import BtfError, ElfError, SpecError, where
from rawbpf.objfile import externs, mapdef
from rawbpf.objfile.elf import (
    STB_LOCAL,
    STT_FUNC,
    STV_HIDDEN,
    STV_INTERNAL,
    Section,
    Symbol,
    parse_elf,
)
from rawbpf.objfile.insn import INSN_SIZE, decode
from rawbpf.objfile.program_spec import FunctionSpec, ProgramSpec
from rawbpf.objfile.sections import find_section
from rawbpf.objfile.spec import (
    MAX_DATA_SIZE,
    MapSpec,
    ObjectSpec,
    StructOpsSpec,
    VariableSpec,
    kernel_name,
    section_map_name,
)
from rawbpf.uapi import BtfKind, MapFlag, MapType, ProgType

if TYPE_CHECKING:
    from rawbpf.btf.ext import FuncInfo, LineInfo
    from rawbpf.objfile.insn import Insn

BPF_PTR_SIZE = 8
TEXT = ".text"
_MAX_ALIASES = 16  # names that an instruction may have
ARENA_SECTION = ".addr_space.1"
STRUCT_OPS_SECTIONS = (".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link")


def open_object(path: str | os.PathLike[str], *, name: str | None = None, relaxed_maps: bool = False) -> ObjectSpec:
    """Read an object file.

    Args:
        path: the file.
        name: what to call the object; by default the file's name up to its first dot.
        relaxed_maps: leave out members of map definitions that are not known, with a warning.

    Raises:
        ElfError: no file that can be read, no ELF, not for BPF, truncated or corrupted.
        BtfError: .BTF or .BTF.ext break the format.
        SpecError: well-formed, but it means nothing that can be loaded.
    """
    file = os.fspath(path)
    return parse_object(_read(file), path=file, name=name, relaxed_maps=relaxed_maps)


def parse_object(data: bytes, *, path: str = "", name: str | None = None, relaxed_maps: bool = False) -> ObjectSpec:
    """Read an object from its bytes; otherwise as `open_object`."""
    with where(path=path):
        elf = parse_elf(data)
        spec = ObjectSpec(name or os.path.basename(path).split(".")[0] or "object", path, elf.little, elf)
        _read_header_sections(spec)
        _read_btf_sections(spec)
        _read_functions(spec)
        externs.read_externs(spec)
        _read_maps(spec, relaxed_maps)
        _read_struct_ops(spec)
        mapdef.read_slots(spec, lambda name: name in spec.programs)
    return spec


def read_btf(path: str | os.PathLike[str], *, base: Btf | None = None) -> Btf:
    """Read BTF from a file: a raw blob (/sys/kernel/btf/vmlinux), or the .BTF section of an ELF file.

    A module that has a base of its own in .BTF.base is put upon `base`, or stands upon its own if that is None.

    Raises:
        ElfError: the file cannot be read, or is an ELF file that is corrupted.
        BtfError: no BTF in it, or it breaks the format; the module is for a kernel with other types than `base`.
    """
    file = os.fspath(path)
    data = _read(file)
    with where(path=file):
        if data[:4] == b"\x7fELF":
            from rawbpf.objfile.elf import find_section_data

            found = find_section_data(data, ".BTF")
            if found is None:
                raise BtfError("the ELF file has no .BTF section", hint="compile with -g, or name another file")
            own_base = find_section_data(data, ".BTF.base")
            if own_base is not None:
                return _read_distilled(found, own_base, base, os.path.basename(file))
            data = found
        return Btf(data, base=base, name=os.path.basename(file))


def _read_distilled(data: bytes, own_base: bytes, base: Btf | None, name: str) -> Btf:
    split = Btf(data, base=Btf(own_base, name=f"{name}: .BTF.base"), name=name)
    if base is None:
        return split
    from rawbpf.btf.distilled import relocate

    return relocate(split, base)


def _read(file: str) -> bytes:
    if os.path.exists(file) and not os.path.isfile(file):
        # a device or a pipe may give bytes for ever, or none at all
        raise ElfError("cannot be read: it is no regular file", path=file)
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ElfError(f"cannot be read: {getattr(error, 'strerror', error)}", path=file) from error


def _read_header_sections(spec: ObjectSpec) -> None:
    elf = spec.elf
    if section := elf.find("license"):
        spec.license = section.data.split(b"\0")[0].decode(errors="replace")[:63]
    if section := elf.find("version"):
        if len(section.data) != 4:
            raise SpecError(f"the section holds {len(section.data)} bytes instead of 4", section="version")
        (spec.kern_version,) = struct.unpack("<I" if spec.little else ">I", section.data)
    if elf.find("maps"):
        raise SpecError(
            'map definitions of the old form, SEC("maps"), are not supported',
            section="maps",
            hint='define maps by BTF: struct { __uint(type, …); … } NAME SEC(".maps");',
        )


def _read_btf_sections(spec: ObjectSpec) -> None:
    try:
        if section := spec.elf.find(".BTF"):
            with where(section=".BTF"):
                btf = Btf(section.data, name=spec.name)
                if btf.little != spec.little:
                    raise BtfError("BTF and ELF differ in byte order")
                spec.btf = btf
        if (section := spec.elf.find(".BTF.ext")) and spec.btf is not None:
            with where(section=".BTF.ext"):
                spec.btf_ext = BtfExt(section.data, spec.btf)
                spec.warnings += spec.btf_ext.warnings
    except BtfError as error:
        # as in libbpf, programs that need no types are loaded without them
        if _needs_btf(spec):
            raise
        spec.warnings.append(f"{error}; the object is used without it")


def _needs_btf(spec: ObjectSpec) -> bool:
    wanted = {".maps", *STRUCT_OPS_SECTIONS}
    return any(section.name in wanted for section in spec.elf.sections) or any(s.extern for s in spec.elf.symbols)


# -- functions


def _read_functions(spec: ObjectSpec) -> None:
    # .text comes last: names of subprograms give way to names of programs
    sections = [section for section in spec.elf.sections if section.executable and section.size]
    sections.sort(key=lambda section: section.name == TEXT)
    if [section.name for section in sections[-2:]] == [TEXT, TEXT]:
        raise ElfError("two sections of the object are named .text")
    for section in sections:
        with where(section=section.name):
            insns = decode(section.data, little=spec.little)
            _add_relocations(spec, section, insns)
            lines = spec.btf_ext.line_info(section.name) if spec.btf_ext else []
            _add_lines(spec, section, lines, insns)
            infos = spec.btf_ext.func_info(section.name) if spec.btf_ext else []
            by_start = {info.insn_off: info for info in infos}
            symbols = [symbol for symbol in spec.elf.symbols_of[section.idx] if symbol.type == STT_FUNC]
            if sum(symbol.size for symbol in symbols) > _MAX_ALIASES * section.size:
                raise ElfError("the section's functions overlap")
            for symbol in sorted(symbols, key=lambda symbol: symbol.value):
                _add_function(spec, section, symbol, insns, by_start)


def _add_relocations(spec: ObjectSpec, section: Section, insns: list[Insn]) -> None:
    for relo in spec.elf.relocations.get(section.idx, ()):
        slot, rest = divmod(relo.offset, INSN_SIZE)
        if rest or slot >= len(insns):
            raise ElfError(f"a relocation at byte {relo.offset} is at no instruction")
        if insns[slot].relo is not None:
            raise ElfError(f"the instruction at byte {relo.offset} has two relocations")
        insns[slot].relo = relo


def _add_lines(spec: ObjectSpec, section: Section, lines: list[LineInfo], insns: list[Insn]) -> None:
    # as in libbpf, records behind the section are left out, and one inside of an instruction is the instruction's
    for line in lines:
        if line.insn_off < section.size:
            insns[line.insn_off // INSN_SIZE].line = line
    behind = [line for line in lines if line.insn_off >= section.size]
    if behind:
        spec.warnings.append(f"{len(behind)} records of line_info are behind the end of {section.name}")


def _add_function(
    spec: ObjectSpec, section: Section, symbol: Symbol, insns: list[Insn], infos: dict[int, FuncInfo]
) -> None:
    start, end = symbol.value // INSN_SIZE, (symbol.value + symbol.size) // INSN_SIZE
    if symbol.value % INSN_SIZE or symbol.size % INSN_SIZE or symbol.value + symbol.size > section.size:
        raise ElfError(f"function {symbol.name!r} ({symbol.value}+{symbol.size}) crosses the section's boundary")
    body, info = insns[start:end], infos.get(symbol.value)
    is_global = symbol.bind != STB_LOCAL
    hidden = is_global and symbol.visibility in (STV_HIDDEN, STV_INTERNAL)
    name = symbol.name
    if section.name == TEXT:
        if name in spec.functions or name in spec.programs:
            name = f"{name}.{start}"  # static functions of several sources, which a linker joined
        spec.functions[name] = FunctionSpec(name, section.name, section.idx, start, body, info, is_global, hidden)
        return
    if symbol.bind == STB_LOCAL:
        raise SpecError(
            "a static function cannot be a program, and a subprogram must be in .text",
            symbol=name,
            hint="remove `static`, or remove SEC()",
        )
    if not name or not body:
        raise ElfError(f"the program {name!r} at byte {symbol.value} has no {'instructions' if name else 'name'}")
    if name in spec.programs:
        raise ElfError(f"two programs are named {name!r}")
    program = ProgramSpec(name, section.name, section.idx, start, body, info, is_global, hidden)
    program.autoload = not section.name.startswith("?")
    if found := find_section(program.sec_name):
        program.definition, program.target = found
        program.prog_type = program.definition.prog_type
        program.attach_type = int(program.definition.attach_type)
        program.flags = program.definition.prog_flags
    spec.programs[name] = program


# -- maps and variables


def _read_maps(spec: ObjectSpec, relaxed: bool) -> None:
    for map_ in mapdef.read_maps(spec, relaxed=relaxed):
        spec.maps[map_.name] = map_
    data = [(section, kind) for section in spec.elf.sections if section.size and (kind := _data_kind(section))]
    size = sum(section.size for section, _kind in data)
    if size > MAX_DATA_SIZE:
        raise SpecError(f"{size} bytes of variables are more than the {MAX_DATA_SIZE} that are kept")
    for section, kind in data:
        with where(section=section.name):
            spec.maps[section.name] = _data_map(spec, section, kind)
            _read_variables(spec, section, section.name)
    _read_arena(spec)
    externs.add_kconfig_map(spec)


def _read_arena(spec: ObjectSpec) -> None:
    # globals in address space 1 have no map of their own: they lie in the object's arena
    arenas = [map_ for map_ in spec.maps.values() if map_.map_type == MapType.ARENA]
    if len(arenas) > 1:
        raise SpecError("an object can have only one arena", symbol=arenas[1].name)
    section = spec.elf.find(ARENA_SECTION)
    if section is None or section.type != "SHT_PROGBITS" or section.executable or not section.size:
        return
    with where(section=section.name):
        if not arenas:
            raise SpecError(
                "the object has variables in an arena and no arena",
                hint='struct { __uint(type, BPF_MAP_TYPE_ARENA); … } arena SEC(".maps");',
            )
        arenas[0].contents = bytearray(section.data)
        arenas[0].contents_index = section.idx
        _read_variables(spec, section, arenas[0].name)


def _data_kind(section: Section) -> str:
    kind = section.name[1:].partition(".")[0]
    known = {"data": "SHT_PROGBITS", "rodata": "SHT_PROGBITS", "bss": "SHT_NOBITS", "percpu": "SHT_PROGBITS"}
    if section.name.startswith(".") and known.get(kind) == section.type and not section.executable:
        return kind
    return ""


def _data_map(spec: ObjectSpec, section: Section, kind: str) -> MapSpec:
    contents = bytearray(section.data) if kind != "bss" else bytearray(section.size)
    map_ = MapSpec(
        section.name,
        section_map_name(spec.name if kind != "percpu" else "", section.name),
        kind,
        MapType.ARRAY if kind != "percpu" else MapType.PERCPU_ARRAY,
        key_size=4,
        value_size=section.size,
        max_entries=1,
        map_flags=MapFlag.RDONLY_PROG if kind == "rodata" else 0,
        contents=contents,
        section=section.name,
        section_index=section.idx,
        contents_index=section.idx,
    )
    datasec = _datasec(spec, section.name)
    if datasec:
        map_.btf_value_type_id, kinds = datasec
        hidden = {
            symbol.name
            for symbol in spec.elf.symbols_of[section.idx]
            if symbol.visibility in (STV_HIDDEN, STV_INTERNAL)
        }
        mappable = any(var.linkage != t.Var.STATIC and var.name not in hidden for var, _size in kinds)
        if mappable and map_.map_type == MapType.ARRAY:
            map_.map_flags |= MapFlag.MMAPABLE
    return map_


def _datasec(spec: ObjectSpec, name: str) -> tuple[int, list[tuple[t.Var, t.SecVar]]] | None:
    type_id = spec.btf.find(name, BtfKind.DATASEC) if spec.btf else None
    if type_id is None or spec.btf is None:
        return None
    datasec = spec.btf.type(type_id)
    assert isinstance(datasec, t.Datasec)
    variables = []
    for var in datasec.vars:
        variable = spec.btf.type(var.type_id)
        if not isinstance(variable, t.Var):
            raise BtfError(f"DATASEC {name} holds {variable.kind.name} {variable.name!r}, which is no variable")
        variables.append((variable, var))
    return type_id, variables


def _read_variables(spec: ObjectSpec, section: Section, map_name: str) -> None:
    datasec = _datasec(spec, section.name)
    symbols = {symbol.name: symbol for symbol in spec.elf.symbols_of[section.idx] if symbol.name}
    for variable, place in datasec[1] if datasec else ():
        symbol = symbols.get(variable.name)
        offset = symbol.value if symbol and variable.linkage != t.Var.STATIC else place.offset
        if offset + place.size > section.size:
            # the kernel will refuse such BTF; libbpf then goes on without, and so do we
            spec.warnings.append(f"variable {variable.name!r} ({offset}+{place.size}) ends behind {section.name}")
            continue
        spec.variables.setdefault(
            variable.name, VariableSpec(variable.name, map_name, offset, place.size, variable.type_id, spec)
        )


# -- struct_ops


def _read_struct_ops(spec: ObjectSpec) -> None:
    for section in spec.elf.sections:
        if section.name in STRUCT_OPS_SECTIONS and section.type == "SHT_PROGBITS" and section.size:
            with where(section=section.name):
                _read_struct_ops_section(spec, section)


def _read_struct_ops_section(spec: ObjectSpec, section: Section) -> None:
    datasec = _datasec(spec, section.name)
    if datasec is None or spec.btf is None:
        raise SpecError("BTF does not describe the section", hint="compile with -g")
    symbols = {symbol.name: symbol for symbol in spec.elf.symbols_of[section.idx] if symbol.name}
    for variable, place in datasec[1]:
        with where(symbol=variable.name):
            type_id = spec.btf.resolve(variable.type_id)
            struct_ = spec.btf.type(type_id)
            if not isinstance(struct_, t.Struct) or not struct_.name:
                raise SpecError("a struct_ops variable must be of a named struct type")
            symbol = symbols.get(variable.name)
            offset = symbol.value if symbol else place.offset
            if offset + struct_.size > section.size:
                raise SpecError(f"the struct ({offset}+{struct_.size}) ends behind the section")
            functions = _struct_ops_functions(spec, section, offset, struct_)
            ops = StructOpsSpec(
                variable.name,
                type_id,
                struct_.name,
                bytearray(section.data[offset : offset + struct_.size]),
                functions,
                section.name.endswith(".link"),
                section.name,
                spec,
                declared=tuple(dict.fromkeys(functions.values())),
            )
        spec.struct_ops[ops.name] = ops
        spec.maps[ops.name] = MapSpec(
            ops.name,
            kernel_name(ops.name),
            "struct_ops",
            MapType.STRUCT_OPS,
            key_size=4,
            max_entries=1,
            map_flags=MapFlag.LINK if ops.link else 0,
            autocreate=not section.name.startswith("?"),
            section=section.name,
            section_index=section.idx,
            offset=offset,
        )


def _struct_ops_functions(spec: ObjectSpec, section: Section, begin: int, struct_: t.Struct) -> dict[int, str]:
    functions = {}
    for relo in spec.elf.relocations.get(section.idx, ()):
        offset = relo.offset - begin
        if not 0 <= offset < struct_.size:
            continue
        member = next((m for m in struct_.members if m.bit_offset == offset * 8), None)
        if member is None or offset % BPF_PTR_SIZE:
            raise SpecError(f"a relocation at byte {offset} is at no member of struct {struct_.name}")
        program = spec.function_at(relo.symbol.shndx, relo.symbol.value // INSN_SIZE)
        if not isinstance(program, ProgramSpec) or program.prog_type not in (ProgType.STRUCT_OPS, ProgType.UNSPEC):
            raise SpecError(
                f"member {member.name!r} is set to {relo.symbol.name or 'a function'!r}, no struct_ops program",
                hint='give the function SEC("struct_ops")',
            )
        functions[offset] = program.name
    return functions
