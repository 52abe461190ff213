# SPDX-License-Identifier: BSD-2-Clause
"""Typed values through real maps: records, enums, bit-fields, locks, shared memory, maps made from Python."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawbpf.btf import types as t
from rawbpf.btf.build import Builder
from rawbpf.btf.parse import Btf
from rawbpf.errors import KernelError, MapAccessError, MapKeyError, SpecError
from rawbpf.kernel import syscall
from rawbpf.kernel.maps import Map
from rawbpf.uapi import MapFlag, MapType, MapUpdateFlag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LITTLE = sys.byteorder == "little"


def typed_map(kind: MapType, define: Callable[[Builder], tuple[int, int]], *, size: int, flags: int = 0) -> Map:
    """A map whose key is a u32 and whose value type the function adds: it returns the ids of both."""
    builder = Builder(little=LITTLE)
    key, value = define(builder)
    data = builder.to_bytes()
    with syscall.btf_load(data) as btf:
        shape = {"key_size": 4, "value_size": size, "max_entries": 8, "map_flags": flags}
        types = {"btf_fd": btf.fileno(), "btf_key_type_id": key, "btf_value_type_id": value}
        fd = syscall.map_create({"map_type": kind, "map_name": "typed"} | shape | types)
    return Map(fd, "typed", type=kind, **shape, btf=lambda: Btf(data), key_type_id=key, value_type_id=value)


def rich(builder: Builder) -> tuple[int, int]:
    """struct { enum state state; u32 low : 4, high : 28; struct { s64 a, b; } pair; u16 list[3]; char name[10]; }"""
    u32 = builder.add(t.Int("unsigned int", 4))
    u16 = builder.add(t.Int("unsigned short", 2))
    s64 = builder.add(t.Int("long long", 8, encoding=t.Int.SIGNED))
    char = builder.add(t.Int("char", 1, encoding=t.Int.SIGNED))
    state = builder.add(t.Enum("state", 4, [("IDLE", 0), ("BUSY", 1), ("GONE", 7)]))
    pair = builder.add(t.Struct("pair", 16, [t.Member("a", s64, 0), t.Member("b", s64, 64)]))
    numbers = builder.add(t.Array(u16, u32, 3))
    name = builder.add(t.Array(char, u32, 10))
    members = [
        t.Member("state", state, 0),
        t.Member("low", u32, 32, 4),
        t.Member("high", u32, 36, 28),
        t.Member("pair", pair, 64),
        t.Member("list", numbers, 192),
        t.Member("name", name, 240),
    ]
    return u32, builder.add(t.Struct("rich", 40, members))


@pytest.fixture(scope="module")
def records() -> Iterator[Map]:
    with typed_map(MapType.HASH, rich, size=40) as m:
        yield m


S64 = st.integers(-(1 << 63), (1 << 63) - 1)
RICH = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["IDLE", "BUSY", "GONE"]) | st.integers(0, 6),
        "low": st.integers(0, 15),
        "high": st.integers(0, (1 << 28) - 1),
        "pair": st.fixed_dictionaries({"a": S64, "b": S64}),
        "list": st.lists(st.integers(0, 0xFFFF), min_size=3, max_size=3),
        "name": st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=10),
    }
)


@settings(max_examples=150, deadline=None)
@given(key=st.integers(0, 7), value=RICH)
def test_records_come_back_as_they_went(records: Map, key: int, value: dict[str, Any]) -> None:
    records[key] = value
    found = records[key]
    names = {"IDLE": 0, "BUSY": 1, "GONE": 7}
    assert found._asdict() == value | {"state": names.get(value["state"], value["state"])}
    records[key] = found
    assert records[key] == found
    records.update_many({key: found})
    assert dict(records.items())[key] == found


def test_records_have_attributes(records: Map) -> None:
    value = records.new_value(state="BUSY", list=[1, 2, 3], name="rx")
    assert (value.state, value.low, value.pair.a) == ("BUSY", 0, 0)
    value.pair.b = -5
    value["high"] = 9
    records[1] = value
    found = records[1]
    assert (str(found.state), found.pair.b, found.high, found.list, found.name) == ("BUSY", -5, 9, [1, 2, 3], "rx")
    assert records.new_key() == 0
    with pytest.raises(SpecError, match="struct rich has no member 'stat'") as missing:
        records.new_value(stat=1)
    assert "state" in (missing.value.hint or "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"low": 16}, r"typed: low: 16 does not fit"),
        ({"pair": {"a": 1 << 63}}, r"typed: pair\.a: "),
        ({"list": [1, 2, 3, 4]}, r"typed: list: 4 elements do not fit"),
        ({"list": [1, -2]}, r"typed: list\[1\]: -2 does not fit"),
        ({"state": "BUSSY"}, r"typed: state: enum state has no enumerator 'BUSSY'"),
        ({"name": "eleven long"}, r"typed: name: "),
        ({"no": 1}, r"typed: struct rich has no member 'no'"),
        (5, r"typed: struct rich takes a dict or record"),
    ],
)
def test_what_does_not_fit_names_the_member(records: Map, value: Any, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        records[0] = value


def test_what_is_read_is_a_copy(records: Map) -> None:
    records[3] = {"low": 1}
    copy = records[3]
    copy.low = 2
    assert records[3].low == 1
    with records.edit(3) as value:
        value.low += 4
        value.pair.a = 1
    assert (records[3].low, records[3].pair.a) == (5, 1)
    with pytest.raises(ZeroDivisionError), records.edit(3) as value:
        value.low = 1 // 0
    assert records[3].low == 5
    with pytest.raises(MapKeyError), records.edit(3):
        del records[3]
    with pytest.raises(MapKeyError), records.edit(3):
        pytest.fail("there is nothing to edit")


# -- locks


def locked(builder: Builder) -> tuple[int, int]:
    u32 = builder.add(t.Int("unsigned int", 4))
    lock = builder.add(t.Struct("bpf_spin_lock", 4, [t.Member("val", u32, 0)]))
    members = [t.Member("lock", lock, 0), t.Member("count", u32, 32)]
    return u32, builder.add(t.Struct("counter", 8, members))


@pytest.mark.parametrize("kind", [MapType.HASH, MapType.ARRAY])
def test_values_with_a_lock(kind: MapType) -> None:
    with typed_map(kind, locked, size=8) as m:
        m.update(1, {"count": 5})
        m.update(1, {"count": 6}, MapUpdateFlag.F_LOCK)
        found = m.lookup(1, MapUpdateFlag.F_LOCK)
        assert (found.count, found.lock.val) == (6, 0)
        if kind == MapType.HASH:
            assert m.lookup_and_delete(1, MapUpdateFlag.F_LOCK).count == 6
    with Map.create("hash", "u32", "u32", 1) as m, pytest.raises(KernelError):
        m.update(1, 1, MapUpdateFlag.F_LOCK)


# -- shared memory


def test_the_memory_of_an_array_is_typed() -> None:
    with Map.create("array", "u32", {"hits": "u32", "bytes": "u64"}, 5, flags=MapFlag.MMAPABLE) as m:
        shared = m.array
        m[2] = {"hits": 3}
        assert shared[2].hits == 3
        shared[-1] = {"hits": 1, "bytes": 99}
        assert m[4].bytes == 99
        assert len(shared) == 5
        assert [value.hits for value in shared] == [0, 0, 3, 0, 1]
        assert [value.hits for value in shared[2:]] == [3, 0, 1]
        for index in (5, -6):
            with pytest.raises(IndexError):
                shared[index]
        with pytest.raises(SpecError, match="an index is a number"):
            shared["x"]
        with pytest.raises(SpecError, match="hits: -1 does not fit"):
            shared[0] = {"hits": -1}


def test_frozen_memory_and_none() -> None:
    with Map.create("array", "u32", "u64", 1, flags=MapFlag.MMAPABLE) as m:
        m[0] = 3
        m.freeze()
        assert m.array[0] == 3
        with pytest.raises(MapAccessError, match="frozen"):
            m.array[0] = 4
    with Map.create("array", "u32", "u64", 1, name="plain") as m, pytest.raises(SpecError, match=r"plain: .*no memory"):
        _ = m.array[0]


# -- made from Python


def test_types_in_shorthand() -> None:
    shape = {"proto": "u8", "port": "u16", "mac": "u8[6]", "name": "char[16]", "ok": "bool", "delta": "s32"}
    with Map.create("hash", shape, "s8", 4) as m:
        assert m.key_size == 32
        key = m.new_key(proto=6, port=443, mac=[1, 2, 3, 4, 5, 6], name="eth0", ok=True, delta=-1)
        m[key] = -128
        assert m[key._asdict()] == -128
        assert list(m) == [key]
        with Map.by_id(m.id) as again:
            ((found, value),) = again.items()
            assert (found.name, found.mac, value) == ("eth0", [1, 2, 3, 4, 5, 6], -128)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("hsh", 4, 4, 1), "there is no type of map 'hsh'"),
        (("hash", "int", 4, 1), "'int' is no type"),
        (("hash", {}, 4, 1), "has no members"),
        (("hash", {"a b": "u32"}, 4, 1), "'a b' is no name"),
    ],
)
def test_shapes_that_are_none(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(SpecError, match=text):
        Map.create(*arguments)


def test_what_the_kernel_refuses_to_make() -> None:
    with pytest.raises(KernelError, match="the kernel refused to create the map"):
        Map.create("hash", 4, 4, 0, name="empty")


# -- finding maps


def test_maps_by_name() -> None:
    name = f"rb_{os.getpid()}"
    with Map.create("hash", "u32", "u64", 4, name=name) as m:
        m[1] = 2
        with Map.by_name(name) as found:
            assert (found.id, found[1]) == (m.id, 2)
        with Map.create("array", 4, 8, 1, name=name) as other:
            with pytest.raises(SpecError, match=f"2 maps are named {name}") as several:
                Map.by_name(name)
            assert several.value.hint == f"choose by id: {m.id} (hash), {other.id} (array)"
        with pytest.raises(SpecError, match="no map is named") as none:
            Map.by_name(f"{name}x")
        assert name in (none.value.hint or "")


def test_a_struct_ops_map_is_typed_by_the_kernel(bpffs_dir: Path) -> None:
    import rawbpf

    with rawbpf.load("objs/tcp_cc_demo.o") as obj:
        ((name, _),) = obj.struct_ops.items()
        with Map.by_id(obj.maps[name].id) as m:
            assert m.value_codec.label == "struct bpf_struct_ops_tcp_congestion_ops"
            assert list(m) == [0]


def test_nothing_is_left_after_a_thousand_rounds(cgroup: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        with Map.create("hash", "u32", {"a": "u64"}, 4) as m:
            m[1] = {"a": 1}
            m.update_many({2: {"a": 2}})
            assert len(dict(m.items())) == 2
    with Map.create("cgrp_storage", "s32", "u64") as m:
        for number in range(1000):
            m[cgroup] = number
    assert set(os.listdir("/proc/self/fd")) == before
