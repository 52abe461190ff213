# SPDX-License-Identifier: BSD-2-Clause
"""Ring buffers that programs on all CPUs write to."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from interrupts import AtCall, interrupted
from streamkit import CPUS, FORCE_WAKEUP, NO_WAKEUP, load, run
from test_interrupts import descriptors

from rawbpf.errors import ClosedError, SpecError
from rawbpf.kernel.maps import Map
from rawbpf.kernel.streams.ringbuf import RingBuffer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rawbpf.kernel.object import Object

TYPE = "struct event"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def obj() -> Iterator[Object]:
    with load() as made:
        yield made


@pytest.fixture
def ring(obj: Object) -> Iterator[RingBuffer]:
    with RingBuffer(obj.maps["ring"], type=TYPE) as reader:
        yield reader


def numbers(records: Any) -> list[int]:
    return [record.sequence for record in records]


# -- each way to read


def test_read(obj: Object, ring: RingBuffer) -> None:
    assert ring.read() == []
    run(obj, "emit", 5)
    first, *rest = ring.read()
    assert first == {"sequence": 0, "cpu": CPUS[0], "kind": 0}
    assert str(first.kind) == "FIRST"
    assert numbers(rest) == [1, 2, 3, 4]
    run(obj, "emit", 5)
    assert numbers(ring.read(2)) == [5, 6]
    assert numbers(ring.read()) == [7, 8, 9]


def test_iterate(obj: Object, ring: RingBuffer) -> None:
    run(obj, "emit", 10)
    for record in ring:
        if record.sequence == 3:
            break
    assert numbers(ring.records(timeout=0)) == [4, 5, 6, 7, 8, 9]


def test_callback(obj: Object, ring: RingBuffer) -> None:
    seen: list[Any] = []
    run(obj, "emit", 10)
    assert ring.consume(4, seen.append) == 4
    assert ring.poll(1, seen.append) == 6
    assert ring.poll(0.01, seen.append) == 0
    assert numbers(seen) == list(range(10))
    run(obj, "emit", 1)
    with pytest.raises(SpecError, match="no callback"):
        ring.poll(0)


def test_a_callback_that_raises(obj: Object, ring: RingBuffer) -> None:
    def refuse(record: Any) -> None:
        if record.sequence == 2:
            raise RuntimeError

    run(obj, "emit", 5)
    with pytest.raises(RuntimeError):
        ring.consume(callback=refuse)
    assert numbers(ring.read()) == [3, 4]


def test_batches(obj: Object, ring: RingBuffer) -> None:
    run(obj, "emit", 1000)
    found, sizes = [], set()
    for batch in ring.batches(timeout=0):
        found += list(batch.column("sequence"))
        sizes.add((batch.size, batch.stride, batch.name))
    assert found == list(range(1000))
    assert sizes == {(16, 24, "ring")}


def test_asyncio(obj: Object, ring: RingBuffer) -> None:
    async def main() -> list[int]:
        other = asyncio.create_task(write())
        seen = []
        async with aclosing(aiter(ring)) as records:  # type: ignore[type-var]
            async for record in records:
                seen.append(record.sequence)
                if len(seen) == 30:
                    break
        await other
        return seen

    async def write() -> None:
        for _ in range(3):
            await asyncio.sleep(0.01)
            run(obj, "emit", 10)

    assert asyncio.run(main()) == list(range(30))
    assert ring.read() == []


def test_asyncio_in_batches(obj: Object, ring: RingBuffer) -> None:
    async def main() -> int:
        run(obj, "emit", 100)
        async for batch in ring.batches_async():
            return len(batch)
        return 0

    assert asyncio.run(main()) == 100
    assert ring.read() == []


def test_several_rings(obj: Object, ring: RingBuffer) -> None:
    seen: dict[str, list[Any]] = {"ring": [], "other": []}
    ring.add(obj.maps["other"], "u64", callback=seen["other"].append)
    run(obj, "emit", 3)
    run(obj, "emit_other", 4242)
    run(obj, "emit_other", 4243)
    for batch in ring.batches(timeout=0):
        seen[batch.name] += batch
    assert seen["other"] == [4242, 4243]
    assert len(seen["ring"]) == 3
    run(obj, "emit_other", 1)
    assert ring.wait(1)
    assert ring.poll(1) == 1
    assert seen["other"] == [4242, 4243, 1]


def test_bytes_without_a_type(obj: Object) -> None:
    with RingBuffer(obj.maps["other"]) as ring:
        run(obj, "emit_other", 0x0102)
        assert ring.read() == [(0x0102).to_bytes(8, sys.byteorder)]


def test_a_map_that_is_opened_again_knows_its_types(obj: Object) -> None:
    with Map.by_id(obj.maps["ring"].id) as map_, RingBuffer(map_, type=TYPE) as ring:
        run(obj, "emit", 1)
        assert numbers(ring.read()) == [0]


# -- waiting


def test_a_timeout(ring: RingBuffer) -> None:
    start = time.monotonic()
    assert not ring.wait(0.05)
    assert list(ring.records(timeout=0.05)) == []
    assert 0.1 <= time.monotonic() - start < 5


@pytest.mark.parametrize("busy_poll", [0.0, 10.0])
def test_a_record_wakes_a_reader(obj: Object, busy_poll: float) -> None:
    with RingBuffer(obj.maps["ring"], TYPE, busy_poll=busy_poll) as ring:
        for number in range(50):
            writer = threading.Timer(0.001, run, (obj, "emit", 1))
            writer.start()
            assert next(ring.records(timeout=10)).sequence == number
            writer.join()


def test_flags_of_the_program_decide_about_waking(obj: Object, ring: RingBuffer) -> None:
    poll = select.epoll()
    with poll:
        poll.register(ring.fileno(), select.EPOLLIN | select.EPOLLET)
        assert poll.poll(0) == []
        run(obj, "emit", 1, NO_WAKEUP)
        assert poll.poll(0.05) == []
        run(obj, "emit", 1, FORCE_WAKEUP)
        assert poll.poll(1)
    assert numbers(ring.read()) == [0, 1]


def test_no_wakeup_is_lost_by_reading_without_waiting(obj: Object, ring: RingBuffer) -> None:
    # a record between our last look and our sleep: the kernel compares with the position that we have told it
    for number in range(200):
        run(obj, "emit", 1)
        assert numbers(ring.read()) == [2 * number]
        run(obj, "emit", 1, NO_WAKEUP)
        assert ring.wait(10)
        assert numbers(ring.read()) == [2 * number + 1]


# -- sizes and places


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 63, 500, 1024])
def test_wraps_at_every_offset(size: int) -> None:
    with load(4096) as obj, RingBuffer(obj.maps["ring"]) as ring:
        obj.variables["payload"].value = "".join(chr(32 + n % 90) for n in range(1024))
        payload = bytes(32 + n % 90 for n in range(1024))
        for _ in range(512):
            for _ in range(3):
                run(obj, "emit_sized", size)
            run(obj, "emit_sized", 0)  # 8 bytes: the next round begins 8 bytes further, modulo the others' size
            assert ring.read() == [payload[:size]] * 3 + [b""]


def test_a_full_buffer_refuses_and_goes_on() -> None:
    with load(4096) as obj, RingBuffer(obj.maps["ring"], TYPE) as ring:
        run(obj, "emit", 1000)
        fits = 4096 // 24
        assert obj.variables["refused"].value[CPUS[0]] == 1000 - fits
        assert numbers(ring.read()) == list(range(fits))
        run(obj, "emit", 1)
        assert numbers(ring.read()) == [fits]


def test_discarded_records_are_passed_over(obj: Object, ring: RingBuffer) -> None:
    for count in (1, 3, 20):
        run(obj, "discard", count)
        assert ring.read() == []
        run(obj, "emit", 2)
        run(obj, "discard", count)
        run(obj, "emit", 1)
        assert len(ring.read()) == 3
    run(obj, "discard", 5)
    assert ring.read() == []
    assert not ring.wait(0)


# -- under load


@pytest.mark.parametrize("how", ["batches", "tuples"])
def test_a_million_records_from_all_cpus(obj: Object, ring: RingBuffer, how: str) -> None:
    total, part = 1_000_000, 2_000
    each = total // len(CPUS)

    def write(cpu: int) -> None:
        for _ in range(each // part):
            # the reader has to keep up: without room the writer waits
            while room.get(cpu, 0) < part:
                time.sleep(0.0005)
            room[cpu] -= part
            run(obj, "emit", part, cpu=cpu)

    room = dict.fromkeys(CPUS, 2 * part)
    writers = [threading.Thread(target=write, args=(cpu,)) for cpu in CPUS]
    for writer in writers:
        writer.start()
    expected = dict.fromkeys(CPUS, 0)
    for batch in ring.batches(timeout=5):
        rows = batch.tuples() if how == "tuples" else zip(batch.column("sequence"), batch.column("cpu"), strict=True)
        for sequence, cpu, *_ in rows:
            assert sequence == expected[cpu]
            expected[cpu] += 1
            room[cpu] += 1
        if sum(expected.values()) == each * len(CPUS):
            break
    for writer in writers:
        writer.join()
    assert expected == dict.fromkeys(CPUS, each)
    assert sum(obj.variables["refused"].value) == 0
    assert ring.read() == []


CHILD = """
import sys
import rawbpf
from rawbpf.kernel.streams.ringbuf import RingBuffer
with rawbpf.Map.open(sys.argv[1]) as map, RingBuffer(map, "struct event") as ring:
    for record in ring:
        print(record.sequence, flush=True)
"""


def test_a_reader_that_is_killed_and_started_again(obj: Object, bpffs_dir: Path) -> None:
    pin = str(bpffs_dir / "ring")
    obj.maps["ring"].pin(pin)
    seen: list[int] = []
    for round_ in range(4):
        run(obj, "emit", 500)
        child = subprocess.Popen([sys.executable, "-c", CHILD, pin], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        with child:
            assert child.stdout is not None
            found = [int(child.stdout.readline()) for _ in range(200)]
            child.send_signal(signal.SIGKILL)
            found += [int(line) for line in child.stdout if line.endswith("\n")]
        # nothing is lost; what was handed out and not done with comes again, as little as one batch
        assert found == list(range(found[0], found[0] + len(found)))
        assert round_ == 0 or seen[-1] - 1000 <= found[0] <= seen[-1] + 1
        seen += found
    with RingBuffer(obj.maps["ring"], TYPE) as ring:
        seen += numbers(ring.read())
    assert sorted(set(seen)) == list(range(2000))


# -- the ends


def test_nothing_is_left_open_after_a_thousand_rounds(obj: Object) -> None:
    before = len(os.listdir("/proc/self/fd"))
    maps = Path("/proc/self/maps").read_text().count("bpf")
    for _ in range(1000):
        with RingBuffer(obj.maps["ring"]) as ring:
            ring.add(obj.maps["other"])
    assert len(os.listdir("/proc/self/fd")) == before
    assert Path("/proc/self/maps").read_text().count("bpf") == maps


def test_views_outlive_the_reader(obj: Object) -> None:
    run(obj, "emit", 3)
    ring = RingBuffer(obj.maps["ring"], TYPE)
    kept = [batch.column("sequence") for batch in ring.batches(timeout=0)]
    ring.close()
    ring.close()
    assert [list(column) for column in kept] == [[0, 1, 2]]


def test_a_closed_reader(obj: Object, ring: RingBuffer) -> None:
    assert not ring.closed
    ring.close()
    assert ring.closed
    for use in (ring.read, ring.wait, ring.fileno, lambda: next(iter(ring))):
        with pytest.raises(ClosedError):
            use()


def test_closed_within_the_loop(obj: Object, ring: RingBuffer) -> None:
    run(obj, "emit", 3)
    for record in ring:
        assert record.sequence == 0
        ring.close()
        break
    with RingBuffer(obj.maps["ring"], TYPE) as again:
        assert numbers(again.read()) == [1, 2]


def test_the_map_may_be_closed_before(obj: Object) -> None:
    with RingBuffer(obj.maps["ring"], TYPE) as ring:
        run(obj, "emit", 1)
        obj.maps["ring"].close()
        assert numbers(ring.records(timeout=0)) == [0]


def test_an_interrupt_of_a_wait_leaves_nothing(obj: Object) -> None:
    before = len(os.listdir("/proc/self/fd"))
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), RingBuffer(obj.maps["ring"]) as ring:
        for _ in ring:
            pass
    timer.join()
    assert len(os.listdir("/proc/self/fd")) == before


# -- what is refused


def test_another_type_of_map(obj: Object) -> None:
    with pytest.raises(SpecError, match="perf is a map of type PERF_EVENT_ARRAY, not RINGBUF") as error:
        RingBuffer(obj.maps["perf"])
    assert error.value.hint == "PerfBuffer is for that type"
    with pytest.raises(SpecError, match="not RINGBUF") as error:
        RingBuffer(obj.maps[".bss"])
    assert "BPF_MAP_TYPE_RINGBUF" in str(error.value.hint)


def test_a_type_that_is_not_there(obj: Object) -> None:
    with pytest.raises(SpecError, match="no BTF at hand has a type 'struct evnt'"):
        RingBuffer(obj.maps["ring"], type="struct evnt")


def test_a_type_that_is_too_large(obj: Object) -> None:
    run(obj, "emit_other", 1)
    with RingBuffer(obj.maps["other"], type=TYPE) as ring, pytest.raises(SpecError, match="has 8 bytes; struct event"):
        ring.read()


def test_an_interrupt_at_any_place_leaves_nothing(obj: Object) -> None:
    def round_() -> None:
        with RingBuffer(obj.maps["ring"], TYPE) as ring:
            ring.read()

    round_()  # what is imported and cached comes first
    before = descriptors()
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # as in test_interrupts.py
        for _ in interrupted(round_, AtCall):
            assert descriptors() == before
            count += 1
    assert count > 20
