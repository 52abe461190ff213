# SPDX-License-Identifier: BSD-2-Clause
"""Maps as Python mappings, on the running kernel."""

from __future__ import annotations

import errno
import struct
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.parse import Btf
from rawbpf.errors import ClosedError, KernelError, MapKeyError, SpecError
from rawbpf.kernel import host, info, syscall
from rawbpf.kernel.maps import Map
from rawbpf.uapi import MapFlag, MapType, MapUpdateFlag, ProgType

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def make(kind: MapType, key_size: int, value_size: int, max_entries: int, flags: int = 0, **more: int) -> Map:
    fields = {
        "map_type": kind,
        "key_size": key_size,
        "value_size": value_size,
        "max_entries": max_entries,
        "map_flags": flags,
    }
    fd = syscall.map_create(fields | more | {"map_name": "test"})
    return Map(
        fd, "test", type=kind, key_size=key_size, value_size=value_size, max_entries=max_entries, map_flags=flags
    )


@pytest.fixture
def table() -> Iterator[Map]:
    with make(MapType.HASH, 4, 8, 100) as map_:
        yield map_


def key(number: int) -> bytes:
    return struct.pack("=I", number)


def value(number: int) -> bytes:
    return struct.pack("=Q", number)


def test_a_map_is_a_mapping(table: Map) -> None:
    assert len(table) == 0
    assert table
    table[key(1)] = value(10)
    table[key(2)] = value(20)
    assert table[key(1)] == value(10)
    assert key(2) in table
    assert key(3) not in table
    assert table.get(key(3)) is None
    assert table.get(key(3), "none") == "none"
    assert len(table) == 2
    assert dict(table.items()) == {key(1): value(10), key(2): value(20)}
    assert sorted(table) == sorted(table.keys()) == [key(1), key(2)]
    assert sorted(table.values()) == [value(10), value(20)]
    del table[key(1)]
    assert list(table) == [key(2)]
    table.clear()
    assert list(table) == []


def test_a_missing_key_is_a_key_error(table: Map) -> None:
    with pytest.raises(KeyError) as error:
        table[key(7)]
    assert isinstance(error.value, MapKeyError)
    assert str(error.value) == r"test: no such key: b'\x07\x00\x00\x00'"
    with pytest.raises(MapKeyError):
        del table[key(7)]


def test_flags_of_an_update(table: Map) -> None:
    with pytest.raises(KernelError) as missing:
        table.update(key(1), value(1), MapUpdateFlag.EXIST)
    assert missing.value.errno == errno.ENOENT
    table.update(key(1), value(1), MapUpdateFlag.NOEXIST)
    with pytest.raises(KernelError) as there:
        table.update(key(1), value(1), MapUpdateFlag.NOEXIST)
    assert there.value.errno == errno.EEXIST


def test_a_full_map() -> None:
    with make(MapType.HASH, 4, 8, 1) as small:
        small[key(1)] = value(1)
        with pytest.raises(KernelError) as full:
            small[key(2)] = value(2)
        assert full.value.errno == errno.E2BIG


@pytest.mark.parametrize("bad", [(b"abc", value(1)), (key(1), b"short"), (1, value(1)), (key(1), 5)])
def test_what_does_not_fit_is_refused_before_the_kernel_sees_it(table: Map, bad: tuple[Any, Any]) -> None:
    with pytest.raises(SpecError, match=r"bytes"):
        table[bad[0]] = bad[1]


def test_iteration_survives_deletion(table: Map) -> None:
    for number in range(100):
        table[key(number)] = value(number)
    seen = []
    for found in table:
        del table[found]
        seen.append(found)
    assert sorted(seen) == [key(number) for number in sorted(range(100), key=key)]
    assert len(table) == 0


def test_iteration_tells_each_key_once_when_others_delete(table: Map) -> None:
    for number in range(50):
        table[key(number)] = value(number)
    seen = []
    for found in table:
        seen.append(found)
        # the next one, on which the walk stands already, goes away: the kernel starts again at the first key
        following = syscall.map_get_next_key(table.fileno(), found, 4)
        if following is not None and len(seen) % 7 == 0:
            del table[following]
    assert len(seen) == len(set(seen))
    assert set(table) <= set(seen)


def test_lookup_and_delete(table: Map) -> None:
    table[key(1)] = value(11)
    assert table.lookup_and_delete(key(1)) == value(11)
    assert key(1) not in table


@pytest.mark.parametrize(("kind", "order"), [(MapType.QUEUE, [1, 2, 3]), (MapType.STACK, [3, 2, 1])])
def test_queue_and_stack(kind: MapType, order: list[int]) -> None:
    with make(kind, 0, 8, 3) as map_:
        for number in (1, 2, 3):
            map_.push(value(number))
        with pytest.raises(KernelError) as full:
            map_.push(value(4))
        assert full.value.errno == errno.E2BIG
        assert map_.peek() == value(order[0])
        assert [map_.pop() for _ in order] == [value(number) for number in order]
        with pytest.raises(MapKeyError):
            map_.pop()
        for number in (1, 2, 3, 4):
            map_.push(value(number), drop_oldest=True)
        assert {map_.pop() for _ in order} == {value(2), value(3), value(4)}


def test_an_array_is_indexed_by_numbers() -> None:
    with make(MapType.ARRAY, 4, 8, 3) as array:
        array[1] = value(5)
        assert list(array.items()) == [(0, value(0)), (1, value(5)), (2, value(0))]
        assert len(array) == 3
        assert 7 not in array
        with pytest.raises(KernelError):
            del array[0]


def test_per_cpu_values_are_lists() -> None:
    cpus = host.possible_cpus()
    with make(MapType.PERCPU_HASH, 4, 4, 3) as map_:
        numbers = [struct.pack("=I", cpu + 1) for cpu in range(cpus)]
        map_[key(9)] = numbers
        assert map_[key(9)] == numbers
        assert list(map_.items()) == [(key(9), numbers)]
        with pytest.raises(SpecError, match=f"a list of {cpus} values"):
            map_[key(9)] = [*numbers, bytes(4)]
        with pytest.raises(SpecError, match="a list"):
            map_[key(9)] = bytes(4)


def test_maps_in_maps_take_maps_and_give_ids() -> None:
    with (
        make(MapType.ARRAY, 4, 8, 1) as inner,
        make(MapType.HASH_OF_MAPS, 4, 4, 2, inner_map_fd=inner.fileno()) as outer,
    ):
        outer[key(1)] = inner
        assert outer[key(1)] == inner.id


def test_program_arrays_take_programs() -> None:
    insns = bytes.fromhex("b700000000000000") + bytes.fromhex("9500000000000000")
    with (
        syscall.prog_load({"prog_type": ProgType.SOCKET_FILTER}, insns, license="GPL") as program,
        make(MapType.PROG_ARRAY, 4, 4, 2) as array,
    ):
        array[1] = program
        assert array[1] == info.prog_info(program.fileno()).id
        assert dict(array.items()) == {1: array[1]}


# -- typed by BTF


@pytest.fixture
def typed() -> Iterator[Map]:
    builder = Builder(little=sys.byteorder == "little")
    u32 = builder.add(t.Int("unsigned int", 4))
    u64 = builder.add(t.Int("unsigned long long", 8))
    flow = builder.add(t.Struct("flow", 8, [t.Member("from", u32, 0), t.Member("to", u32, 32)]))
    data = builder.to_bytes()
    with syscall.btf_load(data) as btf:
        fields = {"map_type": MapType.HASH, "key_size": 8, "value_size": 8, "max_entries": 4, "map_name": "flows"}
        types = {"btf_fd": btf.fileno(), "btf_key_type_id": flow, "btf_value_type_id": u64}
        fd = syscall.map_create(fields | types)
    with Map(
        fd,
        "flows",
        type=MapType.HASH,
        key_size=8,
        value_size=8,
        max_entries=4,
        btf=lambda: Btf(data),
        key_type_id=flow,
        value_type_id=u64,
    ) as map_:
        yield map_


def test_typed_keys_and_values(typed: Map) -> None:
    typed[{"from": 1, "to": 2}] = 77
    assert typed[{"from": 1, "to": 2}] == 77
    ((found, number),) = typed.items()
    assert (found["from"], found["to"], number) == (1, 2, 77)
    assert typed[struct.pack("=II", 1, 2)] == 77
    with pytest.raises(SpecError, match=r"range|fit"):
        typed[{"from": 1 << 40}] = 1


def test_types_come_from_the_kernel_too(typed: Map, bpffs_dir: Path) -> None:
    typed[{"from": 3, "to": 4}] = 5
    typed.pin(bpffs_dir / "flows")
    with Map.open(bpffs_dir / "flows") as opened, Map.by_id(typed.id) as found:
        assert opened.name == found.name == "flows"
        assert opened[{"from": 3, "to": 4}] == found[{"from": 3, "to": 4}] == 5
        assert opened.btf is not None
    typed.unpin()
    assert not (bpffs_dir / "flows").exists()


# -- memory, life and death


def test_memory_is_shared_with_the_kernel() -> None:
    with make(MapType.ARRAY, 4, 12, 4, MapFlag.MMAPABLE) as array:
        memory = array.memory()
        assert memory is not None
        array[2] = b"twelve bytes"
        assert memory[2 * 16 : 2 * 16 + 12] == b"twelve bytes"
        memory[0:4] = b"four"
        assert array[0][:4] == b"four"


def test_frozen_memory_is_read_only() -> None:
    with make(MapType.ARRAY, 4, 8, 1, MapFlag.MMAPABLE) as array:
        array[0] = value(3)
        array.freeze()
        with pytest.raises(KernelError) as refusal:
            array[0] = value(4)
        assert refusal.value.errno == errno.EPERM
        memory = array.memory()
        assert memory is not None
        assert memory[:8] == value(3)
        with pytest.raises(TypeError):
            memory[:8] = value(4)


def test_without_the_flag_there_is_no_memory(table: Map) -> None:
    assert table.memory() is None


def test_use_after_close_is_an_error(table: Map) -> None:
    table.close()
    table.close()
    assert table.closed
    with pytest.raises(ClosedError):
        table[key(1)]


def test_a_forgotten_map_is_closed_with_a_warning() -> None:
    with pytest.warns(ResourceWarning, match="unclosed"):
        make(MapType.HASH, 4, 8, 1)


def test_info(table: Map) -> None:
    about = table.info
    assert (about.type, about.name, about.key_size, about.value_size) == (MapType.HASH, "test", 4, 8)
    assert about.max_entries == 100
    assert about.id == table.id
    assert about in list(info.maps())


def test_opening_something_else_is_an_error(bpffs_dir: Path) -> None:
    insns = bytes.fromhex("b700000000000000") + bytes.fromhex("9500000000000000")
    with syscall.prog_load({"prog_type": ProgType.SOCKET_FILTER}, insns, license="GPL") as program:
        syscall.obj_pin(program.fileno(), bpffs_dir / "program")
    with pytest.raises(SpecError, match="a program is pinned here, not a map"):
        Map.open(bpffs_dir / "program")
    with pytest.raises(KernelError) as nothing:
        Map.open(bpffs_dir / "nothing")
    assert nothing.value.errno == errno.ENOENT
    assert nothing.value.path == str(bpffs_dir / "nothing")
