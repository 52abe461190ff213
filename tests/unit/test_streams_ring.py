# SPDX-License-Identifier: BSD-2-Clause
"""The walk over a ring buffer's memory, which the tests write here as the kernel does."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.parse import Btf
from rawbpf.btf.value import codec as make_codec
from rawbpf.errors import RawbpfError, SpecError
from rawbpf.kernel.streams.memory import equal_cells, make_fence
from rawbpf.kernel.streams.ring import RingMemory

if TYPE_CHECKING:
    from rawbpf.btf.codec import Codec

SIZE = 4096
BUSY, DISCARD = 1 << 31, 1 << 30


class FakeRing(RingMemory):
    """A ring buffer whose producer is the test."""

    def __init__(self, start: int = 0, codec: Codec | None = None) -> None:
        self.positions = bytearray(8), bytearray(8)
        self.memory = bytearray(2 * SIZE)
        consumer, producer, data = (memoryview(buffer) for buffer in (*self.positions, self.memory))
        super().__init__(consumer, producer, data, name="fake", codec=codec)
        self.produced = start
        for position in self.positions:
            position[:] = struct.pack("=Q", start)

    def write(self, data: bytes, flags: int = 0) -> int:
        at = self.produced % SIZE
        record = struct.pack("=II", len(data) | flags, 0) + data
        record += bytes(-len(record) % 8)
        for offset, byte in enumerate(record):  # both halves are the same memory
            place = (at + offset) % SIZE
            self.memory[place] = self.memory[place + SIZE] = byte
        self.produced += len(record)
        self.positions[1][:] = struct.pack("=Q", self.produced)
        return at

    def submit(self, at: int, size: int, flags: int = 0) -> None:
        """A record that was written as busy is ready."""
        for place in (at, at + SIZE):
            self.memory[place : place + 4] = struct.pack("=I", size | flags)

    @property
    def consumed(self) -> int:
        return int(struct.unpack("=Q", self.positions[0])[0])

    def drain(self, limit: int = 1 << 60) -> list[bytes]:
        found = []
        while (batch := self.take(limit)) is not None:
            found += batch.tolist()
            self.done(batch, len(batch))
        return found


@pytest.fixture(scope="module")
def event() -> Codec:
    builder = Builder(little=sys.byteorder == "little")
    u32, u64 = builder.add(t.Int("u32", 4)), builder.add(t.Int("u64", 8))
    kind = builder.add(t.Enum("kind", 4, (("OPEN", 1), ("CLOSE", 2))))
    members = (t.Member("number", u64, 0), t.Member("cpu", u32, 64), t.Member("kind", kind, 96))
    record = builder.add(t.Struct("event", 16, members))
    return make_codec(Btf(builder.to_bytes()), record)


@pytest.mark.parametrize("start", range(0, SIZE, 8))
def test_records_wrap_at_every_offset(start: int) -> None:
    ring = FakeRing(start)
    records = [bytes([n]) * 57 for n in range(SIZE // 72)]  # 72 bytes each, with header and padding
    for record in records:
        ring.write(record)
    assert ring.drain() == records
    assert ring.consumed == ring.produced == start + 72 * len(records)


@given(st.integers(0, SIZE // 8 - 1), st.lists(st.tuples(st.sampled_from([0, 1, 7, 8, 9, 16]), st.booleans())))
def test_records_of_any_sizes(start: int, plan: list[tuple[int, bool]]) -> None:
    ring, expected = FakeRing(8 * start), []
    for number, (size, discarded) in enumerate(plan[:150]):
        data = bytes([number]) * size
        ring.write(data, DISCARD if discarded else 0)
        expected += [] if discarded else [data]
    assert ring.drain() == expected
    assert ring.consumed == ring.produced


@pytest.mark.parametrize("before", [0, 1, 3, 40])
@pytest.mark.parametrize("other", [4, 5], ids=["same size", "other size"])
def test_a_record_that_is_being_written_ends_what_there_is(before: int, other: int) -> None:
    ring = FakeRing()
    for n in range(before):
        ring.write(bytes([n]) * 4)
    at = ring.write(b"x" * other, BUSY)
    ring.write(b"last")
    assert ring.drain() == [bytes([n]) * 4 for n in range(before)]
    assert ring.pending()
    ring.submit(at, other)
    assert ring.drain() == [b"x" * other, b"last"]
    assert not ring.pending()


def test_a_limit_and_what_is_not_done_with() -> None:
    ring = FakeRing()
    for n in range(20):
        ring.write(bytes([n]))
    batch = ring.take(5)
    assert batch is not None
    assert [len(batch), *batch.tolist()] == [5, b"\0", b"\1", b"\2", b"\3", b"\4"]
    ring.done(batch, 2)
    assert ring.consumed == 2 * 16
    assert ring.drain(1)[0] == b"\2"


def test_part_of_records_of_different_sizes() -> None:
    ring = FakeRing()
    for data, flags in ((b"", 0), (b"123456789", DISCARD), (b"12", 0), (b"123", DISCARD), (b"1234567890", 0)):
        ring.write(data, flags)
    batch = ring.take(100)
    assert batch is not None
    assert batch.tolist() == [b"", b"12", b"1234567890"]
    ring.done(batch, 2)
    assert ring.drain() == [b"1234567890"]


def test_no_batch_keeps_the_kernel_from_most_of_the_buffer() -> None:
    ring = FakeRing()
    for _ in range(SIZE // 16):
        ring.write(b"12345678")
    batch = ring.take(1 << 60)
    assert batch is not None
    assert len(batch.data) == SIZE // 4


def test_a_position_that_another_reader_moved() -> None:
    ring = FakeRing()
    ring.write(b"\x3f" * 100)
    ring.positions[0][:] = struct.pack("=Q", 16)
    with pytest.raises(RawbpfError, match="no record at the consumer's position") as error:
        ring.take(1)
    assert "one reader" in str(error.value.hint)


# -- typed


def test_values_tuples_and_columns(event: Codec) -> None:
    ring = FakeRing(SIZE - 32, event)
    for n in range(10):
        ring.write(struct.pack("=QII", n, 7, 1 + n % 3))
    batch = ring.take(100)
    assert batch is not None
    assert (batch.size, batch.stride, batch.skip, len(batch)) == (16, 24, 8, 10)
    assert [(e.number, e.cpu, str(e.kind)) for e in batch][:3] == [(0, 7, "OPEN"), (1, 7, "CLOSE"), (2, 7, "3")]
    assert list(batch) == [event.decode(view) for view in batch.views()]
    assert list(batch.tuples())[9] == (9, 7, 1)
    assert list(batch.column("number")) == list(range(10))
    assert sum(batch.column("cpu")) == 70
    with pytest.raises(SpecError, match="no member 'nunber'") as error:
        batch.column("nunber")
    assert error.value.hint == "did you mean number?"
    ring.done(batch, 10)
    with pytest.raises(ValueError, match="released"):
        batch.data[0]


def test_typed_records_of_different_sizes(event: Codec) -> None:
    ring = FakeRing(0, event)
    for n in range(4):
        ring.write(struct.pack("=QII", n, 0, 1) + bytes(9 * n))
    batch = ring.take(100)
    assert batch is not None
    assert (batch.size, batch.stride) == (0, 0)
    assert [e.number for e in batch] == [0, 1, 2, 3]
    assert [row[0] for row in batch.tuples()] == list(batch.column("number")) == [0, 1, 2, 3]


def test_records_that_are_too_short_for_the_type(event: Codec) -> None:
    for sizes in ((15, 15), (16, 15), (15, 16)):
        ring = FakeRing(0, event)
        for size in sizes:
            ring.write(bytes(size))
        batch = ring.take(2)
        assert batch is not None
        for read in (batch.tolist, batch.tuples, lambda b=batch: b.column("cpu")):
            with pytest.raises(SpecError, match="a record of fake has 15 bytes; struct event takes 16"):
                read()


def test_without_a_type_there_are_no_members() -> None:
    ring = FakeRing()
    ring.write(b"1234")
    batch = ring.take(1)
    assert batch is not None
    with pytest.raises(SpecError, match="the records have no type"):
        batch.tuples()


# -- the parts


@given(st.lists(st.sampled_from([1, 2]), min_size=1, max_size=300), st.integers(1, 5), st.integers(1, 400))
def test_equal_cells(numbers: list[int], step: int, guess: int) -> None:
    cells = memoryview(bytearray(4 * (step * len(numbers) + step))).cast("I")
    for index, number in enumerate(numbers):
        cells[index * step] = number
    expected = next((i for i, number in enumerate(numbers) if number != numbers[0]), len(numbers))
    assert equal_cells(cells, 0, step, len(numbers), guess) == expected


def test_a_fence_may_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawbpf.kernel.streams.memory._STRONG", frozenset())
    fence = make_fence()
    for _ in range(3):
        fence()
