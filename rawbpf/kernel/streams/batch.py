# SPDX-License-Identifier: BSD-2-Clause
"""Records that are there at once, still in the memory that the kernel wrote them to."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from rawbpf.btf.codec import near
from rawbpf.btf.compound import RecordCodec
from rawbpf.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rawbpf.btf.codec import Codec

_NATIVE = "bBhHiIqQfd"


class Batch:
    """Records that follow each other in a buffer. Iterating gives values of the type, or bytes where there is none.

    `data` and the columns are the buffer itself: the kernel writes over it once the batch is done with, which is when
    the next one is asked for. Values, tuples and bytes are copies.

    Attributes:
        data: the memory, from the first record's header on.
        skip: bytes from there to the first record.
        stride: bytes from one record to the next; 0 where the records have different sizes.
        size: bytes of a record; 0 where they have different ones.
        name: of the map that they come from.
        cpu: the CPU that they come from, -1 if that is not known (only perf buffers know).
    """

    def __init__(
        self,
        data: memoryview,
        count: int,
        *,
        skip: int,
        stride: int,
        size: int,
        spans: Sequence[tuple[int, int]] | None = None,
        codec: Codec | None = None,
        name: str = "",
        cpu: int = -1,
    ) -> None:
        self.data = data
        self.skip = skip
        self.stride = stride
        self.size = size
        self.name = name
        self.cpu = cpu
        self._count = count
        self._spans = spans  # where each record begins and ends, if they have different sizes
        self._codec = codec

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        if self._codec is None:
            return self._raw()
        self._check(self._codec)
        if self._codec.plain:
            return _values(self._codec, self._rows(self._codec))
        return map(self._codec.decode, self.views())

    def tolist(self) -> list[Any]:
        """All records as a list."""
        return list(self)

    def views(self) -> Iterator[memoryview]:
        """Each record's memory, which nobody copied."""
        data = self.data
        return (data[start:end] for start, end in self.spans())

    def spans(self) -> Sequence[tuple[int, int]]:
        """Where each record begins and ends in `data`."""
        if self._spans is not None:
            return self._spans
        starts = range(self.skip, self.skip + self._count * self.stride, self.stride)
        return [(start, start + self.size) for start in starts]

    def tuples(self) -> Iterator[tuple[Any, ...]]:
        """The members of each record as a plain tuple, which is the fastest that Python has for whole records.

        Numbers, without the names of enums; an array of char is bytes.
        Raises `SpecError` for records without a type, or of one whose members are no plain sequence.
        """
        codec = self._typed()
        if not codec.plain:
            raise SpecError(f"{codec.label} is not made of plain members that follow each other", hint="iterate")
        self._check(codec)
        return self._rows(codec)

    def column(self, name: str) -> Sequence[Any]:
        """One member of all records: a strided memoryview of the buffer; a list where the records differ in size.

        Raises `SpecError` if the type has no such member, or it is no number.
        """
        codec = self._typed()
        self._check(codec)
        fields = codec.fields if isinstance(codec, RecordCodec) else {}
        if name not in fields:
            raise SpecError(f"{codec.label} has no member {name!r}", hint=near(name, fields))
        field = fields[name]
        letter, width = field.codec.format, field.codec.size
        if letter not in _NATIVE or not letter or field.bits[1] - field.bits[0] != 8 * width:
            raise SpecError(f"member {name!r} of {codec.label} is no number, and has no column")
        if self._spans is not None:
            layout = struct.Struct("=" + letter)
            return [layout.unpack_from(self.data, start + field.at)[0] for start, _ in self._spans]
        start = self.skip + field.at
        end = start + (self._count - 1) * self.stride + width
        numbers = self.data[start:end].cast(letter)  # type: ignore[call-overload]  # it is one of _NATIVE
        return numbers[:: self.stride // width]  # type: ignore[no-any-return]

    def _raw(self) -> Iterator[bytes]:
        data = self.data
        if self._spans is not None:
            return (bytes(data[start:end]) for start, end in self._spans)
        return (raw for (raw,) in self._unpack(f"{self.size}s"))

    def _rows(self, codec: Codec) -> Iterator[tuple[Any, ...]]:
        if self._spans is None:
            return self._unpack(codec.plain)
        unpack, data = struct.Struct(f"={codec.plain}").unpack_from, self.data
        return (unpack(data, start) for start, _ in self._spans)

    def _unpack(self, plain: str) -> Iterator[tuple[Any, ...]]:
        layout = f"={self.skip}x{plain}"
        layout += f"{self.stride - struct.calcsize(layout)}x"
        return struct.iter_unpack(layout, self.data[: self._count * self.stride])

    def _typed(self) -> Codec:
        if self._codec is None:
            raise SpecError("the records have no type", hint='name it: RingBuffer(map, type="struct event")')
        return self._codec

    def _check(self, codec: Codec) -> None:
        least = self.size if self._spans is None else min((end - start for start, end in self._spans), default=0)
        if least < codec.size:
            raise SpecError(
                f"a record of {self.name} has {least} bytes; {codec.label} takes {codec.size}",
                hint="the program writes records of several kinds, or another type than the one named",
            )

    def __repr__(self) -> str:
        size = f"of {self.size} bytes" if self._spans is None else "of different sizes"
        return f"<Batch of {self._count} records {size}>"


def _values(codec: Codec, rows: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
    # The values of what was unpacked by the codec's plain format
    if isinstance(codec, RecordCodec):
        return _records(codec, rows)
    convert = codec.convert
    return (convert(item) for (item,) in rows) if convert else (item for (item,) in rows)


def _records(codec: RecordCodec, rows: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
    # The busiest loop of typed streams: a record is made as its class makes it, without the calls in between
    make, names = codec.make, tuple(codec.fields)
    new = make.__new__
    converts = [(name, field.codec.convert) for name, field in codec.fields.items() if field.codec.convert]
    for row in rows:
        record = new(make)
        members = record.__dict__
        members.update(zip(names, row))  # noqa: B905  # as many as there are names, by the format
        for name, convert in converts:
            members[name] = convert(members[name])
        yield record
