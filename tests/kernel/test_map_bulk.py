# SPDX-License-Identifier: BSD-2-Clause
"""Many elements at once: batches, walks while others delete, and the same where the kernel has no batches."""

from __future__ import annotations

import errno
import threading
from array import array
from typing import TYPE_CHECKING

import pytest

from rawbpf.errors import (
    ClosedError,
    MapAccessError,
    MapFullError,
    MapKeyError,
    MapKeyExistsError,
    NotSupportedError,
    SpecError,
)
from rawbpf.kernel import gate
from rawbpf.kernel.maps import Map, batch
from rawbpf.uapi import Cmd, MapFlag, MapUpdateFlag

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = (1, 7, 64, 5000)


@pytest.fixture(params=["batches", "without-batches"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kernel's batches, or a kernel that has none."""
    if request.param == "without-batches":
        monkeypatch.setattr(batch.Batch, "_call", lambda *arguments: (errno.EINVAL, 0))
    return str(request.param)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few elements a call, so that a walk takes many."""
    monkeypatch.setattr(batch, "_CHUNK", 36)


@pytest.fixture
def numbers(how: str) -> Iterator[Map]:
    with Map.create("hash", "u32", "u64", 6000, name="numbers") as m:
        yield m


@pytest.mark.parametrize("size", SIZES)
def test_what_is_set_is_there(numbers: Map, size: int) -> None:
    wanted = {number: 3 * number for number in range(size)}
    numbers.update_many(wanted)
    assert len(numbers) == size
    assert dict(numbers.items()) == wanted
    assert sorted(numbers) == list(wanted)
    assert sorted(numbers.values()) == list(wanted.values())
    assert numbers.delete_many(range(0, size, 2)) == (size + 1) // 2
    assert sorted(numbers) == list(range(1, size, 2))
    assert dict(numbers.take_all()) == {number: 3 * number for number in range(1, size, 2)}
    assert list(numbers.items()) == []


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("size", SIZES)
def test_in_many_calls(size: int) -> None:
    # a chunk is smaller than some buckets: the kernel asks for more room, and gets it
    with Map.create("hash", "u32", "u64", 6000) as m, Map.create("hash", "u32", "u64", 8) as packed:
        m.update_many((number, number) for number in range(size))
        assert dict(m.items()) == {number: number for number in range(size)}
        m.clear()
        assert len(m) == 0
        packed.update_many({number: 1 for number in range(8)})
        assert sorted(packed) == list(range(8))


def test_a_batch_is_one_call() -> None:
    with Map.create("hash", "u32", "u64", 6000) as m:
        calls: list[Cmd] = []
        with gate.observe(lambda call: calls.append(call.command)):
            m.update_many({number: number for number in range(5000)})
            assert len(dict(m.items())) == 5000
            m.delete_many(range(5000))
        assert calls == [Cmd.MAP_UPDATE_BATCH, Cmd.MAP_LOOKUP_BATCH, Cmd.MAP_DELETE_BATCH]


def test_a_map_is_copied_into_another(numbers: Map) -> None:
    numbers.update_many({1: 10, 2: 20})
    with Map.create("percpu_hash", "u32", "u64", 4) as other, pytest.raises(SpecError, match="a list of"):
        other.update_many(numbers)
    with Map.create("lru_hash", "u32", "u64", 4) as other:
        other.update_many(numbers)
        assert dict(other.items()) == {1: 10, 2: 20}


def test_buffers() -> None:
    with Map.create("hash", "u32", "u64", 6000, name="numbers") as m, Map.create("array", "u32", "u64", 3) as short:
        keys, values = array("I", range(5000)), array("Q", range(0, 10000, 2))
        m.update_batch(keys, values)
        assert dict(m.items()) == dict(zip(keys, values, strict=True))
        assert sum(sum(chunk.cast("Q")) for _, chunk in m.chunks()) == sum(values)
        with pytest.raises(NotSupportedError, match="numbers: hash maps have no batches with these flags"):
            m.update_batch(keys, values, MapUpdateFlag.NOEXIST)
        assert m.delete_batch(keys[:10]) == 10
        assert m.delete_batch(keys[:10]) == 0
        assert sum(len(chunk) for chunk, _ in m.chunks(take=True)) == 4 * 4990
        assert len(m) == 0
        with pytest.raises(SpecError, match="2 values take 16 bytes; there are 8"):
            m.update_batch(bytes(8), bytes(8))
        with pytest.raises(SpecError, match="keys of 4 bytes do not fill 6 bytes"):
            m.delete_batch(bytes(6))
        with pytest.raises(NotSupportedError, match="array maps have no batches in this kernel"):
            short.delete_batch(bytes(4))


def test_buffers_where_there_are_no_batches() -> None:
    with Map.create("devmap_hash", "u32", 4, 4, name="devices") as m:
        for use in (lambda: list(m.chunks()), lambda: m.update_batch(bytes(4), bytes(4))):
            with pytest.raises(NotSupportedError, match="devices: devmap_hash maps have no batches in this kernel"):
                use()


def test_clearing(numbers: Map) -> None:
    numbers.update_many({number: number for number in range(500)})
    numbers.clear()
    assert len(numbers) == 0
    numbers.clear()


def test_arrays_and_tries_and_maps_in_maps(how: str) -> None:
    with Map.create("array", "u32", "u16", 1000) as m:
        m.update_many({index: 7 for index in range(0, 1000, 3)})
        assert dict(m.items()) == {index: 0 if index % 3 else 7 for index in range(1000)}
        with Map.create("hash_of_maps", "u32", 4, 8, inner=m) as outer:
            outer.update_many({1: m, 2: m})
            assert dict(outer.items()) == {1: m.id, 2: m.id}
            outer.clear()
            assert list(outer) == []
    with Map.create("lpm_trie", 8, "u32", 300) as trie:
        trie.update_many({f"10.0.{host}.0/24": host for host in range(256)})
        assert sorted(trie.values()) == list(range(256))
        trie.clear()
        assert len(trie) == 0


def test_what_is_refused_tells_the_element(numbers: Map) -> None:
    numbers.update_many({1: 1, 5: 5})
    with pytest.raises(MapKeyExistsError, match="numbers: there is such a key already: 5"):
        numbers.update_many({2: 2, 5: 6, 7: 7}, MapUpdateFlag.NOEXIST)
    assert dict(numbers.items()) == {1: 1, 2: 2, 5: 5}
    with pytest.raises(MapKeyError, match="numbers: no such key: 9"):
        numbers.delete_many([2, 9, 1])
    assert sorted(numbers) == [1, 5]
    assert numbers.delete_many([2, 9, 1], missing_ok=True) == 1
    assert sorted(numbers) == [5]
    with pytest.raises(SpecError, match=r"numbers: .*-1 does not fit"):
        numbers.update_many({1: 1, 2: -1})
    assert sorted(numbers) == [5]


def test_a_map_that_gets_full(numbers: Map) -> None:
    with pytest.raises(MapFullError, match="numbers: the map is full: it has room for 6000 elements"):
        numbers.update_many((number, number) for number in range(6001))
    assert len(numbers) == 6000


def test_a_frozen_map(how: str) -> None:
    with Map.create("hash", "u32", "u64", 4, name="constants") as m:
        m[1] = 1
        m.freeze()
        assert m.frozen
        for write in (lambda: m.update_many({2: 2}), lambda: m.delete_many([1]), m.clear, lambda: list(m.take_all())):
            with pytest.raises(MapAccessError, match=r"constants: .*it is frozen") as refusal:
                write()
            assert refusal.value.errno == errno.EPERM
        assert dict(m.items()) == {1: 1}


def test_a_map_for_one_side_alone(how: str) -> None:
    with Map.create("hash", "u32", "u64", 4, flags=MapFlag.RDONLY) as m:
        with pytest.raises(MapAccessError, match=r"cannot be written .*BPF_F_RDONLY"):
            m.update_many({1: 1})
        assert list(m.items()) == []
    with Map.create("hash", "u32", "u64", 4, flags=MapFlag.WRONLY) as m:
        m.update_many({1: 1})
        with pytest.raises(MapAccessError, match=r"cannot be read .*BPF_F_WRONLY"):
            list(m.items())


def test_raw_and_typed_may_be_mixed(numbers: Map) -> None:
    numbers.update_many([(bytes(4), 1), (1, bytes(8))])
    assert dict(numbers.items()) == {0: 1, 1: 0}
    assert numbers.delete_many([0, bytes([1, 0, 0, 0])]) == 2


def test_deleting_what_one_stands_on(numbers: Map) -> None:
    numbers.update_many({number: number for number in range(1000)})
    seen = []
    for key in numbers:
        del numbers[key]
        seen.append(key)
    assert sorted(seen) == list(range(1000))
    assert len(numbers) == 0


def test_every_key_that_stays_is_seen_once_while_others_delete(numbers: Map) -> None:
    numbers.update_many({number: number for number in range(4000)})
    stop = threading.Event()

    def delete() -> None:
        for number in range(1, 4000, 2):
            numbers.delete_many([number], missing_ok=True)
            if stop.is_set():
                return

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        walks = [list(numbers) for _ in range(4)]
    finally:
        stop.set()
        thread.join()
    for seen in walks:
        assert len(seen) == len(set(seen))
        assert set(range(0, 4000, 2)) <= set(seen) <= set(range(4000))


def test_threads_do_not_meet(numbers: Map) -> None:
    failures: list[str] = []

    def work(first: int) -> None:
        for number in range(first, first + 1000):
            numbers[number] = number
            if numbers[number] != number:
                failures.append(f"{number} is {numbers[number]}")

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 5000, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert dict(numbers.items()) == {number: number for number in range(5000)}


@pytest.mark.parametrize("kind", ["hash", "lpm_trie"])
def test_a_walk_through_a_map_that_was_closed(kind: str) -> None:
    m = Map.create(kind, 8, "u64", 4, name="gone")
    m.update_many([((32).to_bytes(4, "little") + bytes([10, 0, 0, n]), n) for n in range(4)])
    walk = iter(m)
    m.close()
    for use in (lambda: next(walk), lambda: len(m), lambda: m.update_many({bytes(8): 1})):
        with pytest.raises(ClosedError):
            use()


def test_a_large_map_is_walked_in_bounded_memory() -> None:
    import tracemalloc

    with Map.create("hash", "u32", "u64", 200_000) as m:
        m.update_many((number, number) for number in range(200_000))
        tracemalloc.start()
        try:
            assert sum(value for _, value in m.items()) == 200_000 * 199_999 // 2
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 24 << 20
