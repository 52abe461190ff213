# SPDX-License-Identifier: BSD-2-Clause
"""Types → bytes: write BTF from nothing, or change some types of an existing blob and leave the rest as it is."""

from __future__ import annotations

import sys
from array import array
from itertools import chain
from struct import Struct
from typing import TYPE_CHECKING

from rawbpf.btf import types as t
from rawbpf.btf.parse import HEADER_LEN, Btf
from rawbpf.errors import BtfError
from rawbpf.uapi import BTF_MAGIC, BTF_VERSION, BtfKind

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_VLEN = 0xFFFFFF
_MAX_WORD = 0xFFFFFFFF
_LAST_KIND = max(BtfKind)

# Kinds whose vlen elements each begin with a name: words of an element.
_NAMED_ELEMENTS: dict[int, int] = {
    BtfKind.STRUCT: 3,
    BtfKind.UNION: 3,
    BtfKind.ENUM: 2,
    BtfKind.ENUM64: 3,
    BtfKind.FUNC_PROTO: 2,
}


class Builder:
    """BTF in the making: types are added or replaced, and `to_bytes` writes the blob.

    Types are taken over as they are when they are given: changing one afterwards changes nothing here.

    Args:
        little: the byte order of the blob.
        base: the BTF to split from. Type ids and string offsets go on where those of the base end.
    """

    def __init__(self, *, little: bool = True, base: Btf | None = None) -> None:
        self.little = little
        self.base = base
        self._header_len = HEADER_LEN
        self._start_id = base.end_id if base else 1
        self._str_base = base.end_str if base else 0
        self._strings = bytearray() if base else bytearray(b"\0")
        self._known: dict[bytes, int] | None = None
        self._records: list[array[int]] = []
        self._types: dict[int, t.Type] = {}
        self._origin: Btf | None = None

    @classmethod
    def from_btf(cls, btf: Btf) -> Builder:
        """Start as a copy. What stays untouched is kept: type ids, records, string offsets, the header's size."""
        builder = cls(little=btf.little, base=btf.base)
        builder._origin = btf
        builder._header_len = btf.header_len
        builder._strings = bytearray(btf.strings)
        builder._records = [btf.record(type_id) for type_id in btf.ids()]
        return builder

    @property
    def end_id(self) -> int:
        """The id that the next type will get."""
        return self._start_id + len(self._records)

    # -- strings

    def add_string(self, text: str) -> int:
        """The offset of a string: of the first whole string like it in the base or here, else of a new one."""
        raw = text.encode(errors="surrogateescape")
        if b"\0" in raw:
            raise BtfError(f"{text!r} contains a NUL, which no BTF string can hold")
        known = self._known_strings()
        offset = known.get(raw)
        if offset is None:
            offset = known[raw] = self._str_base + len(self._strings)
            self._strings += raw + b"\0"
        return offset

    def _known_strings(self) -> dict[bytes, int]:
        if self._known is None:
            self._known = {b"": 0}
            blobs = [(self._str_base, bytes(self._strings))]
            base = self.base
            while base is not None:
                blobs.append((base.end_str - len(base.strings), base.strings))
                base = base.base
            for offset, blob in reversed(blobs):
                for raw in blob[:-1].split(b"\0"):
                    self._known.setdefault(raw, offset)
                    offset += len(raw) + 1
        return self._known

    # -- types

    def add(self, type: t.Type) -> int:
        """Append a type; its id. Raises `BtfError` for what the format cannot hold."""
        type_id = self.end_id
        self._records.append(_encode(type, self.add_string))
        self._types[type_id] = type
        return type_id

    def replace(self, type_id: int, type: t.Type) -> None:
        """Put another type in the place of one.

        Names that both have keep their string offsets, and a struct or union keeps its encoding of members (kind_flag).
        """
        index = self._index(type_id)
        old = self._records[index]
        names = {self._string(offset): offset for offset in _name_offsets(old)}
        kflag = _kind(old) in (BtfKind.STRUCT, BtfKind.UNION) and bool(old[1] >> 31)
        self._records[index] = _encode(type, lambda text: names.get(text) or self.add_string(text), kflag)
        self._types[type_id] = type

    def type(self, type_id: int) -> t.Type:
        """The type with that id (the base's too), to look at, or to make another from."""
        if type_id in self._types:
            return self._types[type_id]
        source = self._origin or self.base
        if source is not None:
            return source.type(type_id)
        if type_id:
            raise BtfError(f"no type with id {type_id}")
        return t.VOID

    def _index(self, type_id: int) -> int:
        if not self._start_id <= type_id < self.end_id:
            raise BtfError(f"type {type_id} is not among those being built ({self._start_id} to {self.end_id - 1})")
        return type_id - self._start_id

    def _string(self, offset: int) -> str:
        if self.base is not None and offset < self._str_base:
            return self.base.string(offset)
        start = offset - self._str_base
        end = self._strings.find(0, start)
        if end < 0:
            raise BtfError(f"string offset {offset} is outside of the BTF string section")
        return self._strings[start:end].decode(errors="surrogateescape")

    # -- the blob

    def to_bytes(self) -> bytes:
        """The blob: a header of 24 bytes (of a copy: as many as the original has, the others zero), types, strings.

        The layout section of Linux 7.1 is not written, so a kind that rawbpf does not know raises `BtfError`.
        """
        for type_id, record in enumerate(self._records, self._start_id):
            if _kind(record) > _LAST_KIND:
                raise BtfError(f"type {type_id} is of BTF kind {_kind(record)}, which is not known to this version")
        words = array("I", chain.from_iterable(self._records))
        if self.little != (sys.byteorder == "little"):
            words.byteswap()
        types = words.tobytes()
        header = Struct("<HBBIIIII" if self.little else ">HBBIIIII")
        sizes = (0, len(types), len(types), len(self._strings))
        if max(sizes) > _MAX_WORD:
            raise BtfError(f"BTF of {len(types)} bytes of types and {len(self._strings)} of strings is too large")
        packed = header.pack(BTF_MAGIC, BTF_VERSION, 0, self._header_len, *sizes)
        return packed.ljust(self._header_len, b"\0") + types + bytes(self._strings)

    def to_btf(self, name: str = "") -> Btf:
        """What has been built, as a `Btf`."""
        return Btf(self.to_bytes(), base=self.base, name=name)


def _kind(record: array[int]) -> int:
    return record[1] >> 24 & 0x7F


def _name_offsets(record: array[int]) -> list[int]:
    step = _NAMED_ELEMENTS.get(_kind(record), 0)
    return [record[0], *(record[3::step] if step else ())]


def _encode(type: t.Type, string: Callable[[str], int], kflag: bool = False) -> array[int]:
    # One record: struct btf_type, and what its kind adds.
    vlen, flag, word, tail = _fields(type, string, kflag)
    if vlen > _MAX_VLEN:
        raise BtfError(f"{_label(type)} has {vlen} elements; BTF can count to {_MAX_VLEN}")
    info = int(flag) << 31 | type.kind << 24 | vlen
    try:
        return array("I", [string(type.name), info, word, *tail])
    except OverflowError:
        raise BtfError(f"{_label(type)} has a number that does not fit into 32 bits") from None


def _fields(type: t.Type, string: Callable[[str], int], kflag: bool) -> tuple[int, bool, int, list[int]]:
    # What differs from kind to kind: vlen, kind_flag, the size_or_type word, the words behind it.
    match type:
        case t.Int():
            return 0, False, type.size, [_int_word(type)]
        case t.Struct() | t.Union():
            flag = kflag or any(member.bitfield_size for member in type.members)
            return len(type.members), flag, type.size, _members(type, string, flag)
        case t.Enum():
            return len(type.values), type.signed, type.size, _enumerators(type, string)
        case t.Array():
            return 0, False, 0, [type.type_id, type.index_type_id, type.nelems]
        case t.FuncProto():
            params = [word for param in type.params for word in (string(param.name), param.type_id)]
            return len(type.params), False, type.return_type_id, params
        case t.Fwd():
            return 0, type.union, 0, []
        case t.Func():
            return type.linkage, False, type.type_id, []
        case t.Var():
            return 0, False, type.type_id, [type.linkage]
        case t.Datasec():
            return len(type.vars), False, type.size, list(chain.from_iterable(type.vars))
        case t.Float():
            return 0, False, type.size, []
        case t.DeclTag():
            return 0, type.attribute, type.type_id, [_word(type, type.component, signed=True)]
        case t.TypeTag():
            return 0, type.attribute, type.type_id, []
        case t.Ptr() | t.Typedef() | t.Volatile() | t.Const() | t.Restrict():
            return 0, False, type.type_id, []
    raise BtfError(f"{_label(type)} has no record in BTF")


def _int_word(type: t.Int) -> int:
    if not (0 <= type.encoding <= 0xF and 0 <= type.bit_offset <= 0xFF and 0 <= type.bits <= 0xFF):
        raise BtfError(f"{_label(type)}: encoding, bit offset or number of bits is too large for BTF")
    return type.encoding << 24 | type.bit_offset << 16 | type.bits


def _members(type: t.Struct | t.Union, string: Callable[[str], int], flag: bool) -> list[int]:
    words = []
    for name, type_id, bit_offset, bitfield_size in type.members:
        offset = bit_offset
        if flag:
            if bit_offset > 0xFFFFFF or bitfield_size > 0xFF:
                raise BtfError(
                    f"{_label(type)}: member {name!r} at bit {bit_offset} is out of reach in a type with bit-fields"
                )
            offset |= bitfield_size << 24
        words += [string(name), type_id, offset]
    return words


def _enumerators(type: t.Enum, string: Callable[[str], int]) -> list[int]:
    words = []
    wide = isinstance(type, t.Enum64)
    for name, value in type.values:
        raw = _word(type, value, signed=type.signed, bits=64 if wide else 32)
        words += [string(name), raw & _MAX_WORD, raw >> 32] if wide else [string(name), raw]
    return words


def _word(type: t.Type, value: int, *, signed: bool, bits: int = 32) -> int:
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    if not low <= value < high:
        raise BtfError(f"{_label(type)}: {value} does not fit into {bits} {'signed' if signed else 'unsigned'} bits")
    return value & (1 << bits) - 1


def _label(type: t.Type) -> str:
    return f"BTF {type.kind.name.lower()} {type.name or '(anonymous)'}"
