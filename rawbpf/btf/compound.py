# SPDX-License-Identifier: BSD-2-Clause
"""Codecs of types that are made of others: arrays, structs, unions, sections of variables."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from rawbpf.btf.codec import Codec, IntCodec, Misfit, near, raw_bytes
from rawbpf.btf.record import Record, members_of, raw_of, record_class
from rawbpf.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer


class ListCodec(Codec):
    """Arrays: `list`. Written from a list or tuple (a shorter one leaves the rest zero), or bytes if an element is one.

    A flexible array has as many elements as there are bytes behind the type.
    """

    def __init__(self, label: str, element: Codec, length: int, flexible: bool, little: bool) -> None:
        # elements of size 0 take no bytes that could be checked: there are none of them in Python
        length = length if element.size else 0
        super().__init__(label, element.size * length, 1 + element.count * length)
        self.element = element
        self.length = length
        self.flexible = flexible
        self._order = "<" if little else ">"
        self._packed = len(element.format) == 1

    def read(self, data: Any, offset: int) -> Any:
        element, length = self.element, self.length
        if self.flexible and element.size:
            length = (len(data) - offset) // element.size
        if self._packed:
            items = struct.unpack_from(f"{self._order}{length}{element.format}", data, offset)
            return list(map(element.convert, items)) if element.convert else list(items)
        read, size = element.read, element.size
        return [read(data, offset + i * size) for i in range(length)]

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        items = self._items(value)
        size = self.element.size
        if self.flexible:
            buffer.extend(bytes(max(0, offset + len(items) * size - len(buffer))))
        elif len(items) > self.length:
            raise Misfit(f"{len(items)} elements do not fit into {self.label}")
        for i, item in enumerate(items):
            try:
                self.element.write(buffer, offset + i * size, item)
            except Misfit as misfit:
                raise misfit.within(f"[{i}]") from None

    def _items(self, value: Any) -> Sequence[Any]:
        if isinstance(value, list | tuple):
            return value
        raw = raw_bytes(value) if self.element.size == 1 else None
        if raw is None:
            raise Misfit(f"{self.label} takes a list, not {value!r}")
        return raw

    def from_json(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        items = []
        for i, item in enumerate(value):
            try:
                items.append(self.element.from_json(item))
            except Misfit as misfit:
                raise misfit.within(f"[{i}]") from None
        return items


class Field(NamedTuple):
    """A named member of a record: `at` is its offset in bytes, `bits` the bits that it covers, from and to."""

    name: str
    at: int
    codec: Codec
    bits: tuple[int, int]


class RecordCodec(Codec):
    """Structs, unions and sections of variables: `Record`.

    Written from a record, a mapping (a member that is missing is zero), or bytes of the exact size.
    """

    def __init__(self, label: str, size: int, fields: Sequence[Field], little: bool) -> None:
        super().__init__(label, size, 1 + sum(field.codec.count for field in fields))
        self.fields = {field.name: field for field in fields}
        self._names = tuple(self.fields)
        self.make = record_class(label, self._names)
        self._shared = _shared(fields)
        self._readers = [(field.name, field.at, field.codec.read) for field in fields]
        self._layout = None if self._shared else _layout(fields, "<" if little else ">")
        self._converts = [(field.name, field.codec.convert) for field in fields if field.codec.convert]
        self._packs = self._layout is not None and all(isinstance(f.codec, IntCodec) and f.codec.packs for f in fields)

    def encode(self, value: Any) -> bytes:
        values = value.__dict__ if isinstance(value, Record) else value
        if self._packs and self._layout and isinstance(values, dict) and len(values) == len(self.fields):
            try:
                return self._layout.pack(*[values[name] for name in self.fields]).ljust(self.size, b"\0")
            except (struct.error, KeyError):  # the name of an enumerator, or a misfit, which is told in words
                pass
        return super().encode(value)

    def decode_many(self, data: Buffer, step: int = 0) -> list[Any]:
        view = memoryview(data).cast("B")
        if not self._layout or len(view) % (step or self.size):
            return super().decode_many(view, step)
        padded = struct.Struct(f"{self._layout.format}{(step or self.size) - self._layout.size}x")
        return list(map(self._record, padded.iter_unpack(view)))

    def _record(self, row: tuple[Any, ...]) -> Record:
        values = dict(zip(self._names, row))  # noqa: B905  # as many by their making; asking costs
        for name, convert in self._converts:
            values[name] = convert(values[name])
        return self.make._make(values)

    def new(self, **members: Any) -> Any:
        record = self.read(bytes(self.size), 0)
        for name, value in members.items():
            if name not in self.fields:
                raise SpecError(f"{self.label} has no member {name!r}", hint=near(name, self.fields))
            record[name] = value
        return record

    @property
    def plain(self) -> str:
        return self._layout.format[1:] if self._layout else ""

    def read(self, data: Any, offset: int) -> Any:
        if self._layout:
            return self._record(self._layout.unpack_from(data, offset))
        values = {name: read(data, offset + at) for name, at, read in self._readers}
        return self.make._make(values, bytes(data[offset : offset + self.size]) if self._shared else b"")

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        values = self._values(buffer, offset, value)
        if values is None:
            return
        given = []
        for name, item in values.items():
            field = self.fields.get(name)
            if field is None:
                raise Misfit(f"{self.label} has no member {name!r}", near(name, self.fields))
            self._write_field(buffer, offset, field, item)
            if name in self._shared:
                given.append(field)
        for field in given[:-1]:
            alone = bytearray(self.size)
            self._write_field(alone, 0, field, values[field.name])
            if _differ(field.codec.read(alone, field.at), field.codec.read(buffer, offset + field.at)):
                raise Misfit(f"members of {self.label} that share bytes contradict each other: see {field.name!r}")

    def _write_field(self, buffer: bytearray, offset: int, field: Field, value: Any) -> None:
        try:
            field.codec.write(buffer, offset + field.at, value)
        except Misfit as misfit:
            raise misfit.within(f".{field.name}") from None

    def _values(self, buffer: bytearray, offset: int, value: Any) -> Mapping[str, Any] | None:
        # What is to be written, by member; None if it is written already.
        if isinstance(value, Record):
            values = members_of(value)
            raw = raw_of(value)
            if self._shared and len(raw) == self.size:
                # of the views of a union, only those count that are not as they were when it was decoded
                before = members_of(self.read(raw, 0))
                values = {k: v for k, v in values.items() if k not in self._shared or _differ(v, before[k])}
                self._restore(buffer, offset, raw, changed=values)
            return values
        if isinstance(value, Mapping):
            return value
        raw_value = raw_bytes(value)
        if raw_value is None or len(raw_value) != self.size:
            raise Misfit(f"{self.label} takes a dict or record (or {self.size} bytes as they are), not {value!r}")
        buffer[offset : offset + self.size] = raw_value
        return None

    def _restore(self, buffer: bytearray, offset: int, raw: bytes, *, changed: Mapping[str, Any]) -> None:
        # Put back the bytes that members share, with zeros where one is about to be written.
        for name in self._shared:
            _, at, codec, _ = self.fields[name]
            buffer[offset + at : offset + at + codec.size] = raw[at : at + codec.size]
        for name in self._shared.intersection(changed):
            _, at, codec, bits = self.fields[name]
            if bits == (8 * at, 8 * (at + codec.size)):
                buffer[offset + at : offset + at + codec.size] = bytes(codec.size)

    def from_json(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        values = {}
        for name, item in value.items():
            field = self.fields.get(name)
            try:
                values[name] = field.codec.from_json(item) if field else item
            except Misfit as misfit:
                raise misfit.within(f".{name}") from None
        return values


def _shared(fields: Sequence[Field]) -> frozenset[str]:
    # The members that share bits with another.
    shared: set[str] = set()
    last: Field | None = None
    for field in sorted((field for field in fields if field.bits[1] > field.bits[0]), key=lambda field: field.bits):
        if last and field.bits[0] < last.bits[1]:
            shared |= {last.name, field.name}
        if not last or field.bits[1] > last.bits[1]:
            last = field
    return frozenset(shared)


def _layout(fields: Sequence[Field], order: str) -> struct.Struct | None:
    # The whole record as one struct format, if its members are plain and in order.
    text, end = order, 0
    for field in fields:
        if not field.codec.format or field.at < end:
            return None
        text += f"{field.at - end}x{field.codec.format}"
        end = field.at + field.codec.size
    return struct.Struct(text)


def _differ(one: Any, other: Any) -> bool:
    return bool(one != other) and repr(one) != repr(other)  # two NaNs are not equal, and yet the same
