# SPDX-License-Identifier: BSD-2-Clause
"""ELF objects written by tests, of both byte orders: the malformed, rare and large ones that no compiler makes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from typekit import BASICS, INT

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.objfile.elf import STB_GLOBAL, STB_LOCAL, STT_FUNC, STT_NOTYPE, STT_OBJECT, STT_SECTION
from rawbpf.objfile.insn import Insn, encode
from rawbpf.objfile.reader import parse_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rawbpf.objfile.spec import ObjectSpec

EM_BPF, ET_REL = 247, 1
NULL, PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, REL = 0, 1, 2, 3, 4, 8, 9
WRITE, ALLOC, EXECINSTR = 1, 2, 4
R_BPF_64_64, R_BPF_64_32 = 1, 10


class ElfWriter:
    """An ELF file of 64 bits in the making: sections and symbols are added, `to_bytes` writes it."""

    def __init__(self, *, little: bool = True) -> None:
        self.little = little
        self.order = "<" if little else ">"
        self.symbols: list[bytes] = [bytes(24)]
        self._strings = bytearray(b"\0")
        self._sections: list[dict[str, Any]] = [_section("", NULL)]
        self._indexes: dict[str, int] = {}

    def section(self, name: str, data: bytes = b"", type: int = PROGBITS, flags: int = ALLOC, **fields: int) -> int:
        """Add a section; its index. `fields` are those of a section header (size, link, info, entsize, offset).

        With any flag it is a section that is loaded (ALLOC).
        """
        flags |= ALLOC if flags else 0
        self._sections.append(_section(name, type, flags=flags, data=data, **fields))
        self._indexes[name] = len(self._sections) - 1
        return len(self._sections) - 1

    def index(self, name: str) -> int:
        """The index of a section that was added."""
        return self._indexes[name]

    def symbol(
        self, name: str, *, section: int = 0, value: int = 0, size: int = 0, bind: int = STB_GLOBAL,
        type: int = STT_NOTYPE, visibility: int = 0,
    ) -> int:  # fmt: skip
        """Add a symbol; its index."""
        info = bind << 4 | type
        self.symbols.append(
            struct.pack(f"{self.order}IBBHQQ", self.string(name), info, visibility, section, value, size)
        )
        return len(self.symbols) - 1

    def string(self, text: str) -> int:
        """The offset of a string in .strtab."""
        offset = len(self._strings)
        self._strings += text.encode() + b"\0"
        return offset

    def relocations(self, section: int, records: Sequence[tuple[int, int, int]], type: int = REL) -> int:
        """Add a section of relocations ``(offset, symbol, type)`` of another section."""
        name = f".rel{self._sections[section]['name']}"
        data = b"".join(struct.pack(f"{self.order}QQ", at, symbol << 32 | kind) for at, symbol, kind in records)
        return self.section(name, data, type, 0, info=section, entsize=16)

    def to_bytes(self, **header: int) -> bytes:
        """The file; `header` are fields of the ELF header that shall be wrong."""
        sections = [dict(section) for section in self._sections]
        symtab = len(sections)
        sections.append(_section(".symtab", SYMTAB, data=b"".join(self.symbols), link=symtab + 1, info=1, entsize=24))
        sections.append(_section(".strtab", STRTAB, data=bytes(self._strings)))
        names = bytearray(b"\0")
        for section in [*sections, shstrtab := _section(".shstrtab", STRTAB)]:
            section["name_off"] = len(names)
            names += section["name"].encode() + b"\0"
        shstrtab["data"] = bytes(names)
        sections.append(shstrtab)
        body = bytearray(64)
        headers = bytearray()
        for section in sections:
            if section["type"] == REL:
                section["link"] = section["link"] or symtab
            headers += self._header(section, len(body))
            body += section["data"]
            body += bytes(-len(body) % 8)
        fields = {"shoff": len(body), "shnum": len(sections), "shstrndx": len(sections) - 1} | header
        body[:64] = self._elf_header(fields)
        return bytes(body + headers)

    def _header(self, section: dict[str, Any], offset: int) -> bytes:
        size = len(section["data"]) if section["size"] is None else section["size"]
        return struct.pack(
            f"{self.order}IIQQQQIIQQ", section["name_off"], section["type"], section["flags"], 0,
            section["offset"] or offset, size, section["link"], section["info"], 8, section["entsize"],
        )  # fmt: skip

    def _elf_header(self, fields: dict[str, int]) -> bytes:
        ident = b"\x7fELF" + bytes([fields.get("elf_class", 2), 1 if self.little else 2, 1]) + bytes(9)
        return ident + struct.pack(
            f"{self.order}HHIQQQIHHHHHH", fields.get("type", ET_REL), fields.get("machine", EM_BPF), 1, 0, 0,
            fields["shoff"], 0, 64, 0, 0, fields.get("shentsize", 64), fields["shnum"], fields["shstrndx"],
        )  # fmt: skip


def _section(name: str, type: int, **fields: Any) -> dict[str, Any]:
    return {"name": name, "type": type, "flags": 0, "data": b"", "size": None, "link": 0, "info": 0, "entsize": 0,
            "offset": 0} | fields  # fmt: skip


class ObjectWriter(ElfWriter):
    """A BPF object in the making: functions, maps and variables with their BTF; `to_spec` reads it back.

    `btf` has the basic types of `typekit`; set it to None for an object without BTF.
    """

    def __init__(self, *, little: bool = True) -> None:
        super().__init__(little=little)
        self.btf: Builder | None = Builder(little=little)
        for type in BASICS:
            self.btf.add(type)
        self.proto = self.btf.add(t.FuncProto(INT, [t.Param("ctx", INT)]))
        self.func_info: dict[str, list[tuple[int, ...]]] = {}
        self.line_info: dict[str, list[tuple[int, ...]]] = {}
        self.core_relos: dict[str, list[tuple[int, ...]]] = {}
        self._code: dict[str, list[Insn]] = {}
        self._relos: dict[str, list[tuple[int, int, int]]] = {}
        self._vars: dict[str, list[t.SecVar]] = {}
        self._section_symbols: dict[str, int] = {}

    def code(self, name: str) -> int:
        """The index of a section of instructions, which is added if it is not there."""
        if name not in self._indexes:
            self._code[name] = []
            self._relos[name] = []
            self.section(name, flags=ALLOC | EXECINSTR)
        return self.index(name)

    def function(self, section: str, name: str, insns: Sequence[Insn], *, bind: int = STB_GLOBAL, visibility: int = 0,
                 btf: bool = True, lines: Sequence[int] = (0,)) -> int:  # fmt: skip
        """Append a function to a section; its symbol. `lines` are the slots in it at which a line of C begins."""
        index, start = self.code(section), len(self._code[section])
        self._code[section] += insns
        if btf and self.btf is not None:
            linkage = t.Func.GLOBAL if bind == STB_GLOBAL else t.Func.STATIC
            type_id = self.btf.add(t.Func(name, self.proto, linkage))
            self.func_info.setdefault(section, []).append((start * 8, type_id))
            for line in lines:
                words = (self.btf.add_string(f"{name}.c"), self.btf.add_string(f"line {line} of {name}"))
                self.line_info.setdefault(section, []).append(((start + line) * 8, *words, line + 1 << 10 | 2))
        return self.symbol(name, section=index, value=start * 8, size=len(insns) * 8, bind=bind, type=STT_FUNC,
                           visibility=visibility)  # fmt: skip

    def section_symbol(self, name: str) -> int:
        """The symbol by which static things in a section are named."""
        if name not in self._section_symbols:
            index = self.index(name)
            self._section_symbols[name] = self.symbol("", section=index, bind=STB_LOCAL, type=STT_SECTION)
        return self._section_symbols[name]

    def relocate(self, section: str, slot: int, symbol: int, type: int = R_BPF_64_64) -> None:
        """A relocation of an instruction, counted in slots from the beginning of the section."""
        self._relos[section].append((slot * 8, symbol, type))

    def core_relo(self, section: str, slot: int, type_id: int, access: str, kind: int) -> None:
        """A CO-RE relocation of an instruction, counted in slots from the beginning of the section."""
        assert self.btf is not None
        self.core_relos.setdefault(section, []).append((slot * 8, type_id, self.btf.add_string(access), kind))

    def variable(self, section: str, name: str, type_id: int, *, offset: int, size: int, linkage: int = t.Var.GLOBAL,
                 bind: int = STB_GLOBAL, visibility: int = 0) -> int:  # fmt: skip
        """A variable in a section that was added; its symbol."""
        assert self.btf is not None
        var = self.btf.add(t.Var(name, type_id, linkage))
        self._vars.setdefault(section, []).append(t.SecVar(var, offset, size))
        return self.symbol(name, section=self.index(section), value=offset, size=size, bind=bind, type=STT_OBJECT,
                           visibility=visibility)  # fmt: skip

    def extern(self, section: str, name: str, type: t.Type, *, size: int = 0, bind: int = STB_GLOBAL) -> int:
        """An extern in .kconfig or .ksyms; its symbol."""
        assert self.btf is not None
        self._vars.setdefault(section, []).append(t.SecVar(self.btf.add(type), 0, size))
        return self.symbol(name, bind=bind)

    def to_bytes(self, **header: int) -> bytes:
        """The file."""
        sections = self._sections
        self._sections = [dict(section) for section in sections]
        for section, insns in self._code.items():
            self._sections[self.index(section)]["data"] = encode(insns, little=self.little)
            if self._relos[section]:
                self.relocations(self.index(section), self._relos[section])
        if self.btf is not None:
            btf = Builder.from_btf(self.btf.to_btf())
            for section, variables in self._vars.items():
                btf.add(t.Datasec(section, 0, variables))
            ext = self._btf_ext(btf)
            self.section(".BTF", btf.to_bytes(), flags=0)
            self.section(".BTF.ext", ext, flags=0)
        data = super().to_bytes(**header)
        self._sections = sections
        return data

    def _btf_ext(self, btf: Builder) -> bytes:
        parts = []
        for words, sections in ((2, self.func_info), (4, self.line_info), (4, self.core_relos)):
            part = struct.pack(f"{self.order}I", 4 * words) if sections else b""
            for name, records in sections.items():
                part += struct.pack(f"{self.order}II", btf.add_string(name), len(records))
                part += b"".join(struct.pack(f"{self.order}{words}I", *record) for record in records)
            parts.append(part)
        offsets = [sum(len(part) for part in parts[:number]) for number in range(3)]
        fields = [word for offset, part in zip(offsets, parts, strict=True) for word in (offset, len(part))]
        return struct.pack(f"{self.order}HBBI6I", 0xEB9F, 1, 0, 32, *fields) + b"".join(parts)

    def to_spec(self) -> ObjectSpec:
        """The object, read."""
        return parse_object(self.to_bytes(), path="written.o")


MOV_R0, EXIT = Insn(0xB7, dst=0, imm=0), Insn(0x95)


def ld_imm64(dst: int = 1, imm: int = 0) -> list[Insn]:
    """The two slots that a map, variable, extern or function is put into."""
    return [Insn(0x18, dst=dst, imm=imm), Insn(0)]


def call(imm: int = -1) -> Insn:
    """A call of a subprogram."""
    return Insn(0x85, src=1, imm=imm)
