# SPDX-License-Identifier: BSD-2-Clause
"""Perf buffers that programs on all CPUs write to."""

from __future__ import annotations

import mmap
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from streamkit import CPUS, load, run

from rawbpf.errors import ClosedError, KernelError, SpecError
from rawbpf.kernel import host
from rawbpf.kernel.streams import perf_output
from rawbpf.kernel.streams.perfbuf import PerfBuffer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.object import Object

TYPE = "struct event"
STRIDE = 8 + 4 + 20  # header, size, an event of 16 bytes and the padding that perf adds


@pytest.fixture
def obj() -> Iterator[Object]:
    with load() as made:
        yield made


def test_records_of_each_cpu_in_order(obj: Object) -> None:
    with PerfBuffer(obj.maps["perf"], TYPE) as events:
        assert events.cpus == host.online_cpus()
        for cpu in CPUS:
            run(obj, "emit_perf", 5, cpu=cpu)
        found = events.read()
        assert Counter(record.cpu for record in found) == dict.fromkeys(CPUS, 5)
        for cpu in CPUS:
            assert [record.sequence for record in found if record.cpu == cpu] == [0, 1, 2, 3, 4]
        assert events.read() == []
        assert set(events.lost.values()) == {0}


def test_batches_know_their_cpu(obj: Object) -> None:
    with PerfBuffer(obj.maps["perf"], TYPE) as events:
        run(obj, "emit_perf", 100, cpu=CPUS[-1])
        batches = [(b.cpu, b.stride, b.size, list(b.column("sequence"))) for b in events.batches(timeout=0)]
        assert batches == [(CPUS[-1], STRIDE, 20, list(range(100)))]


def test_bytes_without_a_type(obj: Object) -> None:
    with PerfBuffer(obj.maps["perf"]) as events:
        run(obj, "emit_perf", 1)
        (record,) = events.read()
        assert len(record) == 20


def test_callbacks_and_timeouts(obj: Object) -> None:
    seen: list[Any] = []
    with PerfBuffer(obj.maps["perf"], TYPE, callback=seen.append) as events:
        assert events.poll(0.01) == 0
        writer = threading.Timer(0.02, run, (obj, "emit_perf", 3))
        writer.start()
        while len(seen) < 3:
            assert events.poll(10)
        writer.join()
        assert [record.sequence for record in seen] == [0, 1, 2]


@pytest.mark.parametrize(("events", "size"), [(5, 0), (1, 5 * STRIDE)], ids=["records", "bytes"])
def test_the_reader_is_woken_after_so_many(obj: Object, events: int, size: int) -> None:
    with PerfBuffer(obj.maps["perf"], TYPE, wakeup_events=events, wakeup_bytes=size) as buffer:
        run(obj, "emit_perf", 4)
        assert not buffer.wait(0.05)
        run(obj, "emit_perf", 2)
        assert buffer.wait(5)
        assert len(buffer.read()) == 6


def test_what_finds_no_room_is_counted(obj: Object) -> None:
    told: list[tuple[int, int]] = []
    room = mmap.PAGESIZE // STRIDE
    with PerfBuffer(obj.maps["perf"], TYPE, pages=1, on_lost=lambda *lost: told.append(lost)) as events:
        run(obj, "emit_perf", 1000)
        first = [record.sequence for record in events.read()]
        assert first == list(range(len(first)))
        assert room - 1 <= len(first) <= room
        run(obj, "emit_perf", 1)
        assert [record.sequence for record in events.read()] == [1000]
        assert events.lost[CPUS[0]] == 1000 - len(first)
        assert told == [(CPUS[0], 1000 - len(first))]


def test_wraps_at_every_offset(obj: Object) -> None:
    with PerfBuffer(obj.maps["perf"], TYPE, pages=1) as events:
        number = 0
        for count in (1, 3, 100, 7, 126, 50) * 50:
            run(obj, "emit_perf", count)
            assert [record.sequence for record in events.read()] == list(range(number, number + count))
            number += count


def test_cpus_and_their_keys(obj: Object) -> None:
    places = obj.maps["perf"].max_entries
    with PerfBuffer(obj.maps["perf"], cpus={CPUS[0]: CPUS[0]}) as events:
        assert events.cpus == [CPUS[0]]
        assert events.add_cpus() == []  # it runs
        run(obj, "emit_perf", 1, cpu=CPUS[0])
        if len(CPUS) > 1:
            run(obj, "emit_perf", 1, cpu=CPUS[1])  # for that one nobody is there
            assert obj.variables["refused"].value[CPUS[1]] == 1
        assert len(events.read()) == 1
    for bad in ({CPUS[0]: places}, [10_000]):
        with pytest.raises(SpecError, match="there is no CPU"):
            PerfBuffer(obj.maps["perf"], cpus=bad)


def test_a_cpu_that_is_off_is_left_out(obj: Object, monkeypatch: pytest.MonkeyPatch) -> None:
    off = {CPUS[-1]}
    real = perf_output.open_output
    monkeypatch.setattr(perf_output, "open_output", lambda cpu, **more: None if cpu in off else real(cpu, **more))
    with PerfBuffer(obj.maps["perf"], TYPE) as events:
        assert CPUS[-1] not in events.cpus
        off.clear()
        assert events.add_cpus() == [CPUS[-1]]
        run(obj, "emit_perf", 2, cpu=CPUS[-1])
        assert len(events.read()) == 2


def test_nothing_is_left_open_after_a_thousand_rounds(obj: Object) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        with PerfBuffer(obj.maps["perf"], pages=1):
            pass
    assert len(os.listdir("/proc/self/fd")) == before
    run(obj, "emit_perf", 1)  # the map's places are empty again
    assert obj.variables["refused"].value[CPUS[0]] == 1


def test_what_cannot_be(obj: Object) -> None:
    with pytest.raises(SpecError, match="takes a power of two"):
        PerfBuffer(obj.maps["perf"], pages=3)
    with pytest.raises(SpecError, match="not PERF_EVENT_ARRAY") as error:
        PerfBuffer(obj.maps["ring"])
    assert error.value.hint == "RingBuffer is for that type"
    with pytest.raises(KernelError) as refused:
        PerfBuffer(obj.maps["perf"], pages=1 << 24)
    assert refused.value.command == "mmap"
    events = PerfBuffer(obj.maps["perf"])
    events.close()
    with pytest.raises(ClosedError):
        events.read()
