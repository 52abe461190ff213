# SPDX-License-Identifier: BSD-2-Clause
"""Codecs: how the values of one type are read from bytes and written to them. `rawbpf.btf.value` makes them from BTF.

A codec is compiled once for a type and holds nothing of the BTF, so that a map can be read in bulk.
"""

from __future__ import annotations

import operator
import struct
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from rawbpf.btf.record import EnumValue
from rawbpf.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from typing_extensions import Buffer

_MAX_SIZE = 1 << 30
_NATIVE = "<" if sys.byteorder == "little" else ">"


class Misfit(Exception):
    """A value that the type cannot hold; the path to it grows while the error travels up."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.path = ""

    def within(self, step: str) -> Misfit:
        self.path = step + self.path
        return self


class Codec:
    """The values of one type.

    Attributes:
        label: the type as C names it.
        size: bytes (without what a flexible array at the end adds).
        count: how many Python objects a value is made of, roughly.
    """

    format = ""
    """The `struct` format of the type, where it has one."""
    convert: Callable[[Any], Any] | None = None
    """What makes a value of that which `struct` unpacked."""

    def __init__(self, label: str, size: int, count: int = 1) -> None:
        self.label = label
        self.size = size
        self.count = count

    @property
    def plain(self) -> str:
        """The `struct` format, without byte order, of all that a value is made of; empty where it is not so plain."""
        return self.format

    def decode(self, data: Buffer, offset: int = 0) -> Any:
        """The value at an offset into `data`. Raises `SpecError` if there are too few bytes."""
        view = data if isinstance(data, bytes) else memoryview(data).cast("B")
        have = len(view) - offset
        if offset < 0 or have < self.size:
            raise SpecError(f"{self.label} takes {self.size} bytes; there are {max(have, 0)}")
        return self.read(view, offset)

    def encode(self, value: Any) -> bytes:
        """The bytes of a value. Raises `SpecError`, which names the member, for what the type cannot hold."""
        if self.size > _MAX_SIZE:
            raise SpecError(f"{self.label} of {self.size} bytes is too large to be written")
        buffer = bytearray(self.size)
        try:
            self.write(buffer, 0, value)
        except Misfit as misfit:
            raise _spec_error(misfit) from None
        return bytes(buffer)

    def decode_many(self, data: Buffer, step: int = 0) -> list[Any]:
        """All values that stand in `data` one behind the other, `step` bytes apart (by default their size)."""
        view = memoryview(data).cast("B")
        read = self.read
        return [read(view, offset) for offset in range(0, len(view), step or self.size)]

    def encode_many(self, values: Sequence[Any]) -> bytes:
        """The bytes of values, one behind the other. Raises `SpecError`, which tells the index of the one at fault."""
        parts = []
        for index, value in enumerate(values):
            try:
                parts.append(self.encode(value))
            except SpecError as error:
                error.message = f"[{index}]: {error.message}"
                raise
        return b"".join(parts)

    def new(self, **members: Any) -> Any:
        """A value that is zero, but for these members of a struct. Raises `SpecError` for a member that is none."""
        if members:
            raise SpecError(f"{self.label} has no members")
        return self.decode(bytes(self.size))

    def parse(self, text: str) -> Any:
        """The value that a text (of a command line) stands for. Raises `SpecError` for what the type cannot hold."""
        try:
            value = self.from_text(text)
        except Misfit as misfit:
            raise _spec_error(misfit) from None
        self.encode(value)
        return value

    def read(self, data: Any, offset: int) -> Any:
        """`decode` without a check."""
        raise NotImplementedError

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        """Write over zeros. Raises `Misfit`."""
        raise NotImplementedError

    def from_text(self, text: str) -> Any:
        """The value of a text; JSON where the type has parts. Raises `Misfit`."""
        import json  # no other way through a codec needs it

        try:
            return self.from_json(json.loads(text))
        except (json.JSONDecodeError, RecursionError):
            raise Misfit(f"{text!r} is no JSON, as {self.label} needs") from None

    def from_json(self, value: Any) -> Any:
        """The value of a part of JSON: a string is a text as on the command line."""
        return self.from_text(value) if isinstance(value, str) else value


def _spec_error(misfit: Misfit) -> SpecError:
    path = misfit.path.removeprefix(".")
    return SpecError(f"{path}: {misfit.reason}" if path else misfit.reason, hint=misfit.hint)


class Cell(NamedTuple):
    """Where the bits of a number are: how to load them from an offset, how to store them, and what they can hold."""

    load: Callable[[Any, int], int]
    store: Callable[[bytearray, int, int], None]
    low: int
    high: int
    layout: struct.Struct | None = None


def whole_cell(size: int, signed: bool, little: bool) -> Cell:
    """A number that fills `size` bytes."""
    low, high = (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)
    letter = {1: "b", 2: "h", 4: "i", 8: "q"}.get(size, "")
    if not letter:
        return bit_cell(0, 8 * size, signed, little)
    layout = struct.Struct(("<" if little else ">") + (letter if signed else letter.upper()))
    unpack = layout.unpack_from
    return Cell(lambda data, offset: unpack(data, offset)[0], layout.pack_into, low, high, layout)


def bit_cell(start: int, bits: int, signed: bool, little: bool) -> Cell:
    """A number of some bits from bit `start`, counted from the least significant one (big-endian: the most)."""
    order: Any = "little" if little else "big"
    skip, start = divmod(start, 8)
    size = (start + bits + 7) // 8
    shift = start if little else 8 * size - start - bits
    mask = (1 << bits) - 1
    sign = 1 << bits - 1 if signed and bits else 0

    def load(data: Any, offset: int) -> int:
        offset += skip
        value = int.from_bytes(data[offset : offset + size], order) >> shift & mask
        return (value ^ sign) - sign

    def store(buffer: bytearray, offset: int, value: int) -> None:
        offset += skip
        rest = int.from_bytes(buffer[offset : offset + size], order) & ~(mask << shift)
        buffer[offset : offset + size] = (rest | (value & mask) << shift).to_bytes(size, order)

    return Cell(load, store, -sign, mask >> 1 if signed else mask)


class IntCodec(Codec):
    """Integers and pointers: `int`."""

    packs = True
    """Whether `struct` accepts all that the type can hold, and nothing else (but the name of an enumerator)."""

    def __init__(self, label: str, size: int, cell: Cell) -> None:
        super().__init__(label, size)
        self.cell = cell
        self.layout = cell.layout
        self.format = cell.layout.format[1:] if cell.layout else ""

    def encode(self, value: Any) -> bytes:
        if self.packs and self.layout:
            try:
                return self.layout.pack(value)
            except struct.error:  # the name of an enumerator, or a misfit, which is told in words
                pass
        return super().encode(value)

    def decode_many(self, data: Buffer, step: int = 0) -> list[Any]:
        view = memoryview(data).cast("B")
        if not self.layout or step not in (0, self.size) or len(view) % self.size:
            return super().decode_many(view, step)
        order, letter = self.layout.format[0], cast("Any", self.layout.format[1:])
        if order == _NATIVE and view.contiguous:
            values = view.cast(letter).tolist()
        else:
            values = list(struct.unpack(f"{order}{len(view) // self.size}{letter}", view))
        return list(map(self.convert, values)) if self.convert else values

    def encode_many(self, values: Sequence[Any]) -> bytes:
        if self.packs and self.layout:
            order, letter = self.layout.format[0], self.layout.format[1:]
            try:
                return struct.pack(f"{order}{len(values)}{letter}", *values)
            except struct.error:
                pass
        return super().encode_many(values)

    def read(self, data: Any, offset: int) -> Any:
        return self.cell.load(data, offset)

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        try:
            number = operator.index(value)
        except TypeError:
            raise Misfit(f"{self.label} takes an integer, not {value!r}") from None
        _, store, low, high, _ = self.cell
        if not low <= number <= high:
            raise Misfit(f"{number} does not fit into {self.label} ({low} to {high})")
        store(buffer, offset, number)

    def from_text(self, text: str) -> Any:
        try:
            return int(text, 0)
        except ValueError:
            raise Misfit(f"{text!r} is no integer, as {self.label} needs") from None


class BoolCodec(IntCodec):
    """``_Bool``: `bool`."""

    convert = bool
    packs = False

    def __init__(self, label: str, size: int, cell: Cell) -> None:
        super().__init__(label, size, cell._replace(low=0, high=1))

    def read(self, data: Any, offset: int) -> Any:
        return self.cell.load(data, offset) != 0

    def from_text(self, text: str) -> Any:
        value = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
        if value is None:
            raise Misfit(f"{text!r} is neither true nor false, as {self.label} needs")
        return value


class _EnumValues(dict[int, EnumValue]):
    def __missing__(self, value: int) -> EnumValue:
        return EnumValue(value)


class EnumCodec(IntCodec):
    """Enums: `EnumValue`; written from a number or the name of an enumerator."""

    def __init__(self, label: str, size: int, cell: Cell, values: Iterable[tuple[str, int]]) -> None:
        super().__init__(label, size, cell)
        self.values = {name: EnumValue(value, name) for name, value in values}
        known = _EnumValues({int(value): value for value in reversed(self.values.values())})
        self.convert = known.__getitem__

    def read(self, data: Any, offset: int) -> Any:
        assert self.convert
        return self.convert(self.cell.load(data, offset))

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        if isinstance(value, str):
            value = self._by_name(value)
        super().write(buffer, offset, value)

    def from_text(self, text: str) -> Any:
        return self._by_name(text) if text[:1].isalpha() or text[:1] == "_" else super().from_text(text)

    def _by_name(self, name: str) -> EnumValue:
        value = self.values.get(name)
        if value is None:
            raise Misfit(f"{self.label} has no enumerator {name!r}", near(name, self.values))
        return value


class FloatCodec(Codec):
    """Floating point of 2, 4 or 8 bytes: `float`."""

    def __init__(self, label: str, size: int, little: bool) -> None:
        super().__init__(label, size)
        self.format = {2: "e", 4: "f", 8: "d"}[size]
        self._layout = struct.Struct(("<" if little else ">") + self.format)

    def read(self, data: Any, offset: int) -> Any:
        return self._layout.unpack_from(data, offset)[0]

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        try:
            self._layout.pack_into(buffer, offset, value)
        except (struct.error, OverflowError):
            raise Misfit(f"{value!r} does not fit into {self.label}") from None

    def from_text(self, text: str) -> Any:
        try:
            return float(text)
        except ValueError:
            raise Misfit(f"{text!r} is no number, as {self.label} needs") from None


class RawCodec(Codec):
    """What Python has no type for (``long double``): `bytes`."""

    def read(self, data: Any, offset: int) -> Any:
        return bytes(data[offset : offset + self.size])

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        raw = raw_bytes(value)
        if raw is None or len(raw) != self.size:
            raise Misfit(f"{self.label} takes {self.size} bytes as they are, not {value!r}")
        buffer[offset : offset + self.size] = raw


class TextCodec(Codec):
    """Arrays of char: `str` up to the first NUL if that is UTF-8, else the `bytes` of the whole array.

    Written from `str` or bytes, the rest is zero; an array without room for a NUL at the end is fine.
    """

    def __init__(self, label: str, size: int, flexible: bool) -> None:
        super().__init__(label, size)
        self.flexible = flexible
        self.format = "" if flexible else f"{size}s"

    @staticmethod
    def convert(raw: bytes) -> str | bytes:
        try:
            return raw.partition(b"\0")[0].decode()
        except UnicodeDecodeError:
            return raw

    def read(self, data: Any, offset: int) -> Any:
        return self.convert(bytes(data[offset:] if self.flexible else data[offset : offset + self.size]))

    def write(self, buffer: bytearray, offset: int, value: Any) -> None:
        raw = value.encode(errors="surrogateescape") if isinstance(value, str) else raw_bytes(value)
        if raw is None:
            raise Misfit(f"{self.label} takes str or bytes, not {value!r}")
        if len(raw) > self.size and not self.flexible:
            raise Misfit(f"{value!r} does not fit into {self.label}: it has {len(raw)} bytes")
        buffer[offset : offset + len(raw)] = raw

    def from_text(self, text: str) -> Any:
        return text


def raw_bytes(value: Any) -> bytes | None:
    """The value, if it is bytes in one of Python's types for them."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else None


def near(name: str, known: Iterable[str]) -> str | None:
    """A hint for a name that is not among the known ones."""
    from difflib import get_close_matches  # only an error needs it

    found = get_close_matches(str(name), known)
    return f"did you mean {' or '.join(found)}?" if found else None
