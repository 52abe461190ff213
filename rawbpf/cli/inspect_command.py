# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawbpf.cli.output import add_json, print_json, print_table
from rawbpf.errors import where

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from rawbpf.objfile.program_spec import FunctionSpec
    from rawbpf.objfile.spec import ObjectSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("object", metavar="OBJ", help="the object file")
    parser.add_argument(
        "--disasm", metavar="FUNC", nargs="*", help="disassemble the named programs and subprograms, or all of them"
    )
    parser.add_argument("--relocs", action="store_true", help="list relocations, those of CO-RE too")
    add_json(parser)
    parser.usage = f"{parser.prog} OBJ [options]"
    parser.epilog = "example:\n  rawbpf inspect objs/mptcp_bpf_rr.o --disasm rr_get_send"


def run(args: argparse.Namespace) -> int:
    """Print what the object holds."""
    from rawbpf.objfile.reader import open_object

    spec = open_object(args.object)
    with where(path=spec.path):
        _show(spec, args)
    return 0


def _show(spec: ObjectSpec, args: argparse.Namespace) -> None:
    functions = _wanted(spec, args.disasm)
    data = _summary(spec)
    if args.relocs:
        data["relocations"] = list(_relocations(spec))
    if args.json:
        if functions:
            data["disassembly"] = {f.name: list(_disassembly(spec, f)) for f in functions}
        print_json(data | {"errors": []})
        return
    _print(data)
    for function in functions:
        print(f"\n{function.name} ({function.section}, {len(function.insns)} insns):")
        for line in _disassembly(spec, function):
            print(line)


def _wanted(spec: ObjectSpec, names: list[str] | None) -> list[FunctionSpec]:
    if names is None:
        return []
    functions: dict[str, FunctionSpec] = {**spec.programs, **spec.functions}
    for name in names:
        if name not in functions:
            raise spec.no_such("function", name, list(functions))
    return [functions[name] for name in names or functions]


def _summary(spec: ObjectSpec) -> dict[str, Any]:
    from rawbpf.btf.decl import type_decl
    from rawbpf.objfile.program_spec import attach_type_name
    from rawbpf.uapi import MapType, ProgType, known

    def type_of(type_id: int) -> str:
        return type_decl(spec.btf, type_id) if spec.btf is not None and type_id else ""

    return {
        "object": spec.name,
        "path": spec.path,
        "byte_order": "little" if spec.little else "big",
        "license": spec.license,
        "btf_types": len(spec.btf) - 1 if spec.btf is not None else 0,
        "sections": [
            {"index": s.idx, "name": s.name, "type": s.type.removeprefix("SHT_").lower(), "size": s.size}
            for s in spec.elf.sections[1:]
        ],
        "programs": [
            {
                "name": p.name,
                "section": p.section,
                "type": getattr(known(ProgType, p.prog_type), "name", str(p.prog_type)),
                "attach_type": attach_type_name(p.prog_type, p.attach_type),
                "insns": len(p.insns),
                "autoload": p.autoload,
            }
            for p in spec.programs.values()
        ],
        "subprograms": [
            {"name": f.name, "linkage": "global" if f.is_global else "static", "insns": len(f.insns)}
            for f in spec.functions.values()
        ],
        "maps": [
            {
                "name": m.name,
                "kernel_name": m.kernel_name,
                "type": getattr(known(MapType, m.map_type), "name", str(m.map_type)),
                "key_size": m.key_size,
                "value_size": m.value_size,
                "max_entries": m.max_entries,
                "flags": int(m.map_flags),
                "key": type_of(m.btf_key_type_id),
                "value": type_of(m.btf_value_type_id) if m.kind == "map" else "",
            }
            for m in spec.maps.values()
        ],
        "variables": [
            {
                "name": v.name,
                "section": v.map,
                "offset": v.offset,
                "size": v.size,
                "declaration": type_of(v.type_id),
                "value": _plain(v.value),
            }
            for v in spec.variables.values()
        ],
        "struct_ops": [
            {"name": o.name, "type": o.type_name, "section": o.section, "functions": list(o.functions.values())}
            for o in spec.struct_ops.values()
        ],
        "externs": [
            {"name": e.name, "kind": e.kind, "weak": e.weak, "declaration": type_of(e.var_id)}
            for e in spec.externs.values()
        ],
    }


def _plain(value: Any) -> Any:
    # records, enums and bytes as what JSON has
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _relocations(spec: ObjectSpec) -> Iterator[dict[str, Any]]:
    from rawbpf.btf.access import read_access
    from rawbpf.btf.ext import core_kind_name

    for index, relos in spec.elf.relocations.items():
        section = spec.elf.section_name(index)
        for relo in relos:
            name = relo.symbol.name or spec.elf.section_name(relo.symbol.shndx)
            yield {"section": section, "offset": relo.offset, "kind": "elf", "against": name}
    ext = spec.btf_ext
    for section in ext.core_relo_sections() if ext is not None else ():
        assert ext is not None
        assert spec.btf is not None
        for core in ext.core_relos(section):
            kind = f"CO-RE {core_kind_name(core.kind)}"
            against = str(read_access(spec.btf, core))
            yield {"section": section, "offset": core.insn_off, "kind": kind, "against": against}


def _disassembly(spec: ObjectSpec, function: FunctionSpec) -> Iterator[str]:
    from rawbpf.objfile.disasm import listing

    return listing(function.insns, btf=spec.btf, section_name=spec.elf.section_name)


def _print(data: dict[str, Any]) -> None:
    print(f"{data['path']}: {data['byte_order']}-endian, license {data['license'] or '(none)'!r}, ", end="")
    print(f"{data['btf_types']} BTF types" if data["btf_types"] else "no BTF")
    for title in ("sections", "programs", "subprograms", "struct_ops", "maps", "variables", "externs", "relocations"):
        rows = data.get(title, [])
        if rows:
            header = [name.replace("_", " ") for name in rows[0]]
            print_table(f"{title}:", header, [[_cell(cell) for cell in row.values()] for row in rows])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
