# SPDX-License-Identifier: BSD-2-Clause
"""Typed values ↔ bytes by BTF: what map keys, map values, variables and struct_ops hold.

| C | Python |
|---|---|
| integers, pointers | `int` |
| ``_Bool`` | `bool` |
| enums | `EnumValue`: an int with a name; the name alone is enough to write one |
| ``float``, ``double`` | `float` |
| ``char[N]`` | `str` up to the first NUL; `bytes` if that is no UTF-8 |
| other arrays | `list` |
| structs, unions, sections | `Record`; written from a dict too, members that are missing are zero |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from rawbpf.btf import codec as c
from rawbpf.btf import types as t
from rawbpf.btf.compound import Field, ListCodec, RecordCodec
from rawbpf.btf.decl import type_name
from rawbpf.btf.record import EnumValue, Record
from rawbpf.errors import BtfError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from rawbpf.btf.parse import Btf

__all__ = ["Codec", "EnumValue", "Record", "codec", "decode", "encode", "encode_into", "parse_value"]

Codec = c.Codec
_MAX_COUNT = 1 << 20

_codecs: WeakKeyDictionary[Btf, dict[tuple[int, bool], Codec]] = WeakKeyDictionary()


def decode(btf: Btf, type_id: int, data: Buffer, *, offset: int = 0) -> Any:
    """The value of a type at an offset into `data`.

    A flexible array at the end of the type takes all of `data` behind it.
    Raises `SpecError` for too few bytes or a type that has no values, `BtfError` for BTF that makes no sense.
    """
    return codec(btf, type_id).decode(data, offset)


def encode(btf: Btf, type_id: int, value: Any) -> bytes:
    """The bytes of a value.

    Raises `SpecError`, which names the member, the value and the range, for what the type cannot hold.
    """
    return codec(btf, type_id).encode(value)


def encode_into(btf: Btf, type_id: int, buffer: Buffer, offset: int, value: Any) -> None:
    """Write a value into a writable buffer, in one piece; nothing is written if the value does not fit."""
    data = codec(btf, type_id).encode(value)
    view = memoryview(buffer).cast("B")
    if not 0 <= offset <= len(view) - len(data):
        raise SpecError(f"{len(data)} bytes at offset {offset} do not fit into a buffer of {len(view)}")
    view[offset : offset + len(data)] = data


def parse_value(btf: Btf, type_id: int, text: str) -> Any:
    """The value that a text of the command line stands for.

    Integers in any base (``-1``, ``0x10``), ``true`` and ``false``, names of enumerators, text as it is for an array of
    char, and JSON for other arrays and structs, whose strings are read by the same rules.
    """
    return codec(btf, type_id).parse(text)


def codec(btf: Btf, type_id: int) -> Codec:
    """The codec of a type, for many values of it. It is made once, and kept as long as the `Btf`."""
    known = _codecs.get(btf)
    if known is None:
        known = _codecs[btf] = {}
    return _Compiler(btf, known).compile(type_id, True, 0)


class _Compiler:
    def __init__(self, btf: Btf, known: dict[tuple[int, bool], Codec]) -> None:
        self.btf = btf
        self.known = known
        self.members = 0

    def compile(self, type_id: int, tail: bool, depth: int) -> Codec:
        # `tail`: nothing is behind the type, so that a flexible array at its end has bytes to take
        key = type_id, tail
        made = self.known.get(key)
        if made is None:
            if depth > t.MAX_DEPTH:
                raise BtfError(f"type {type_id} is nested more than {t.MAX_DEPTH} deep")
            made = self._make(type_id, tail, depth)
            if made.count > _MAX_COUNT + 16 * made.size:
                raise BtfError(f"{made.label} has too many members for its {made.size} bytes")
            self.known[key] = made
        return made

    def _make(self, type_id: int, tail: bool, depth: int) -> Codec:
        label = type_name(self.btf, type_id)
        type = self.btf.type(self.btf.resolve(type_id))
        match type:
            case t.Int():
                bits = 0 if type.bits == 8 * type.size else type.bits
                return self._number(label, type, type.size, type.bit_offset, bits)
            case t.Enum() | t.Ptr():
                return self._number(label, type, self.btf.size_of(type_id), 0, 0)
            case t.Float():
                if type.size in (2, 4, 8):
                    return c.FloatCodec(label, type.size, self.btf.little)
                return c.RawCodec(label, type.size)
            case t.Array():
                return self._array(label, type, tail, depth)
            case t.Struct() | t.Union() | t.Datasec():
                return self._record(label, type, tail, depth)
            case t.Var():
                return self.compile(type.type_id, tail, depth + 1)
        raise SpecError(f"{label} is a type without values")

    def _number(self, label: str, type: t.Int | t.Enum | t.Ptr, size: int, start: int, bits: int) -> c.IntCodec:
        # `bits` from bit `start`, where they are not all of the type's bits.
        signed = not isinstance(type, t.Ptr) and type.signed
        little = self.btf.little
        if size not in range(1, 17):
            raise BtfError(f"{label} of {size} bytes is impossible")
        cell = c.bit_cell(start, bits, signed, little) if bits else c.whole_cell(size, signed, little)
        if isinstance(type, t.Enum):
            return c.EnumCodec(label, size, cell, type.values)
        is_bool = isinstance(type, t.Int) and type.bool
        return (c.BoolCodec if is_bool else c.IntCodec)(label, size, cell)

    def _array(self, label: str, array: t.Array, tail: bool, depth: int) -> Codec:
        flexible = tail and not array.nelems
        element = self.btf.type(self.btf.resolve(array.type_id))
        if isinstance(element, t.Int) and element.size == 1 and _is_char(element):
            return c.TextCodec(label, array.nelems, flexible)
        item = self.compile(array.type_id, False, depth + 1)
        return ListCodec(label, item, array.nelems, flexible, self.btf.little)

    def _record(self, label: str, type: t.Struct | t.Union | t.Datasec, tail: bool, depth: int) -> Codec:
        fields: dict[str, Field] = {}
        for field in self._fields(type, tail, depth, 0):
            if field.name not in fields:
                fields[field.name] = field
            elif not isinstance(type, t.Datasec):
                raise BtfError(f"{label} has two members {field.name!r}")
            if field.bits[1] > 8 * type.size:
                raise BtfError(f"member {field.name!r} of {label} ends behind its {type.size} bytes")
        return RecordCodec(label, type.size, list(fields.values()), self.btf.little)

    def _fields(self, type: t.Struct | t.Union | t.Datasec, tail: bool, depth: int, base: int) -> Iterator[Field]:
        # The named members, those of anonymous members too; `base` in bits.
        if isinstance(type, t.Datasec):
            for var in type.vars:
                yield self._field(t.Member(self.btf.name_of(var.type_id), var.type_id, 8 * var.offset), False, depth)
            return
        self.members += len(type.members)
        if depth > t.MAX_DEPTH or self.members > _MAX_COUNT:
            raise BtfError(f"{type.kind.name.lower()} {type.name} is nested too deeply")
        for index, member in enumerate(type.members, 1):
            last = tail and (isinstance(type, t.Union) or index == len(type.members))
            inner = self.btf.type(self.btf.resolve(member.type_id))
            member = member._replace(bit_offset=base + member.bit_offset)
            if member.name:
                yield self._field(member, last, depth)
            elif isinstance(inner, t.Struct | t.Union):
                yield from self._fields(inner, last, depth + 1, member.bit_offset)

    def _field(self, member: t.Member, tail: bool, depth: int) -> Field:
        name, type_id, at, bits = member
        type = self.btf.type(self.btf.resolve(type_id))
        if isinstance(type, t.Int) and not bits and (type.bits != 8 * type.size or at % 8):
            # a bit-field as it was before kind_flag: the integer type says how many bits
            at, bits = at + type.bit_offset, type.bits
        if not bits and not at % 8:
            codec = self.compile(type_id, tail, depth + 1)
            return Field(name, at // 8, codec, (at, at + 8 * codec.size))
        if not bits or not isinstance(type, t.Int | t.Enum):
            raise BtfError(f"member {name!r} is a bit-field of {type_name(self.btf, type_id)}")
        label = f"{type_name(self.btf, type_id)}:{bits}"
        number = self._number(label, type, (at % 8 + bits + 7) // 8, at % 8, bits)
        return Field(name, at // 8, number, (at, at + bits))


def _is_char(type: t.Int) -> bool:
    # clang says that char is signed, and nothing more
    return bool(type.encoding & t.Int.CHAR) or type.name == "char"
