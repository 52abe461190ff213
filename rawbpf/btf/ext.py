# SPDX-License-Identifier: BSD-2-Clause
""".BTF.ext: what BTF says of instructions, by ELF section: func_info, line_info and CO-RE relocations.

Format: Documentation/bpf/btf.rst, "BTF.ext section". Records are read when a section is asked for.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from rawbpf.errors import BtfError, SourceLine
from rawbpf.uapi import BTF_MAGIC, BTF_VERSION, CoreReloKind

if TYPE_CHECKING:
    from rawbpf.btf.parse import Btf

FUNC_INFO_SIZE = 8
LINE_INFO_SIZE = 16
CORE_RELO_SIZE = 16


class FuncInfo(NamedTuple):
    """``struct bpf_func_info``: the FUNC type of the function that begins at byte `insn_off` of its section."""

    insn_off: int
    type_id: int


class LineInfo(NamedTuple):
    """``struct bpf_line_info``: the source of the instruction at byte `insn_off` of its section and of those behind it.

    `file_off` and `line_off` are offsets of strings in the BTF; `line_col` is line number << 10 | column.
    """

    insn_off: int
    file_off: int
    line_off: int
    line_col: int

    @property
    def line(self) -> int:
        """The number of the line."""
        return self.line_col >> 10

    def source(self, btf: Btf) -> SourceLine:
        """The place in words."""
        return SourceLine(btf.string(self.file_off), self.line, self.line_col & 0x3FF, btf.string(self.line_off))


class CoreRelo(NamedTuple):
    """``struct bpf_core_relo``: what the instruction at byte `insn_off` wants to know of `type_id` of the object's BTF.

    `access` is a colon-separated access string, such as ``0:2:1`` (see `rawbpf.btf.core`).
    """

    insn_off: int
    type_id: int
    access: str
    kind: int


class _Section(NamedTuple):
    record_size: int
    records: bytes


class BtfExt:
    """The parsed section. Raises `BtfError` where it breaks the format.

    Attributes:
        warnings: what is left out, as libbpf does.
    """

    def __init__(self, data: bytes, btf: Btf) -> None:
        self._btf = btf
        self.warnings: list[str] = []
        self._order = order = "<" if btf.little else ">"
        if len(data) < 8 or struct.unpack_from(order + "H", data)[0] != BTF_MAGIC:
            raise BtfError(".BTF.ext has no valid header")
        version, _flags, hdr_len = struct.unpack_from(order + "BBI", data, 2)
        if version != BTF_VERSION:
            raise BtfError(f".BTF.ext version {version} is not known (only {BTF_VERSION})")
        if not 24 <= hdr_len <= len(data):
            raise BtfError(f".BTF.ext header length {hdr_len} is impossible")
        fields = list(struct.unpack_from(order + "IIII", data, 8))
        # only newer compilers know CO-RE: the header's length tells
        fields += struct.unpack_from(order + "II", data, 24) if hdr_len >= 32 else (0, 0)
        self._func = self._sections(data, hdr_len, "func_info", fields[0], fields[1], FUNC_INFO_SIZE)
        self._line = self._sections(data, hdr_len, "line_info", fields[2], fields[3], LINE_INFO_SIZE)
        self._core = self._sections(data, hdr_len, "core_relo", fields[4], fields[5], CORE_RELO_SIZE)

    def _sections(
        self, data: bytes, hdr_len: int, what: str, off: int, length: int, minimum: int
    ) -> dict[str, list[_Section]]:
        if not length:
            return {}
        begin, end = hdr_len + off, hdr_len + off + length
        if off % 4 or length < 4 or end > len(data):
            raise BtfError(f".BTF.ext {what} ({off}+{length}) is not inside the section")
        (record_size,) = struct.unpack_from(self._order + "I", data, begin)
        if record_size < minimum or record_size % 4:
            raise BtfError(f".BTF.ext {what} has records of {record_size} bytes, {minimum} are needed")
        found: dict[str, list[_Section]] = {}
        at = begin + 4
        if at == end:
            raise BtfError(f".BTF.ext {what} is present and holds no record")
        while at < end:
            if end - at < 8:
                raise BtfError(f".BTF.ext {what} ends in the middle of a section header")
            name_off, count = struct.unpack_from(self._order + "II", data, at)
            at += 8
            if not count:
                raise BtfError(f".BTF.ext {what} has a section without records")
            if count * record_size > end - at:
                raise BtfError(f".BTF.ext {what}: {count} records of {record_size} bytes end behind the data")
            section = _Section(record_size, data[at : at + count * record_size])
            found.setdefault(self._section_name(what, name_off), []).append(section)
            at += count * record_size
        return found

    def _section_name(self, what: str, offset: int) -> str:
        # records of a section that nobody can name are left out; those of CO-RE are missed when they are asked for
        try:
            name = self._btf.string(offset)
        except BtfError:
            name = ""
        if not name:
            self.warnings.append(f".BTF.ext {what} has records of a section without a name (string {offset})")
        return name

    def _records(self, sections: dict[str, list[_Section]], name: str, words: int) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for section in sections.get(name, ()):
            pad = section.record_size - 4 * words
            found += struct.iter_unpack(f"{self._order}{words}I{pad}x", section.records)
        return found

    def func_info(self, section: str) -> list[FuncInfo]:
        """The functions of a section."""
        return [FuncInfo._make(record) for record in self._records(self._func, section, 2)]

    def line_info(self, section: str) -> list[LineInfo]:
        """The source lines of a section."""
        return [LineInfo._make(record) for record in self._records(self._line, section, 4)]

    def core_relo_sections(self) -> list[str]:
        """The sections that have CO-RE relocations, in the order of the file."""
        return list(self._core)

    def core_relos(self, section: str) -> list[CoreRelo]:
        """The CO-RE relocations of a section, in the order of the file. Raises `BtfError` for one without a name."""
        if not section:
            raise BtfError(".BTF.ext has CO-RE relocations of a section without a name")
        string = self._btf.string
        records = self._records(self._core, section, 4)
        return [CoreRelo(off, type_id, string(access), kind) for off, type_id, access, kind in records]


CORE_KIND_NAMES: dict[int, str] = {
    CoreReloKind.FIELD_BYTE_OFFSET: "byte_off",
    CoreReloKind.FIELD_BYTE_SIZE: "byte_sz",
    CoreReloKind.FIELD_EXISTS: "field_exists",
    CoreReloKind.FIELD_SIGNED: "signed",
    CoreReloKind.FIELD_LSHIFT_U64: "lshift_u64",
    CoreReloKind.FIELD_RSHIFT_U64: "rshift_u64",
    CoreReloKind.TYPE_ID_LOCAL: "local_type_id",
    CoreReloKind.TYPE_ID_TARGET: "target_type_id",
    CoreReloKind.TYPE_EXISTS: "type_exists",
    CoreReloKind.TYPE_SIZE: "type_size",
    CoreReloKind.ENUMVAL_EXISTS: "enumval_exists",
    CoreReloKind.ENUMVAL_VALUE: "enumval_value",
    CoreReloKind.TYPE_MATCHES: "type_matches",
}
"""What the kinds are called in messages, as libbpf and the kernel's log do."""


def core_kind_name(kind: int) -> str:
    """A kind in words, such as ``byte_off``; the number of one that is not known."""
    return CORE_KIND_NAMES.get(kind, str(kind))
