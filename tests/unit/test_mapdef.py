# SPDX-License-Identifier: BSD-2-Clause
"""Map definitions: members of the struct in .maps become a `MapSpec`; all that can be wrong with them is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elfwriter import EXIT, MOV_R0, WRITE, ObjectWriter
from typekit import CHAR, INT, LONG, UINT, ULONG

import rawbpf
from rawbpf.btf import types as t
from rawbpf.errors import SpecError
from rawbpf.objfile.reader import parse_object
from rawbpf.plan.map_steps import round_ring_size
from rawbpf.uapi import MapType

if TYPE_CHECKING:
    from rawbpf.objfile.spec import MapSpec, ObjectSpec

OBJS = Path(__file__).parent.parent / "objs"
ORDERS = pytest.mark.parametrize("order", ["el", "eb"])


class Maps(ObjectWriter):
    """An object with a section .maps."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = self.section(".maps", bytes(256), flags=WRITE)
        self.slots: list[tuple[int, int, int]] = []

    def type(self, type: t.Type) -> int:
        assert self.btf is not None
        return self.btf.add(type)

    def uint(self, name: str, value: int) -> t.Member:
        return t.Member(name, self.type(t.Ptr(self.type(t.Array(INT, INT, value)))), 0)

    def ulong(self, name: str, value: int) -> t.Member:
        return t.Member(name, self.type(t.Enum64("", 8, [t.Enumerator("V", value)])), 0)

    def typed(self, name: str, type_id: int) -> t.Member:
        return t.Member(name, self.type(t.Ptr(type_id)), 0)

    def array(self, name: str, type_id: int, at: int = 0) -> t.Member:
        return t.Member(name, self.type(t.Array(self.type(t.Ptr(type_id)), INT, 0)), 8 * at)

    def definition(self, *members: t.Member, name: str = "") -> int:
        return self.type(t.Struct(name, 8 * len(members), members))

    def map(self, name: str, *members: t.Member, at: int = 0, linkage: int = t.Var.GLOBAL, size: int = 0) -> int:
        type_id = self.definition(*members)
        return self.variable(".maps", name, type_id, offset=at, size=size or 8 * len(members), linkage=linkage)

    def to_spec(self) -> ObjectSpec:
        if self.slots:
            self.relocations(self.maps, self.slots)
        return super().to_spec()


def test_numbers_and_types() -> None:
    out = Maps()
    out.map(
        "m",
        out.uint("type", MapType.HASH),
        out.uint("max_entries", 16),
        out.uint("map_flags", 1),
        out.uint("numa_node", 3),
        out.uint("map_extra", 7),
        out.typed("key", UINT),
        out.typed("value", LONG),
    )
    spec = out.to_spec().maps["m"]
    assert (spec.map_type, spec.max_entries, spec.map_flags, spec.numa_node, spec.map_extra) == (1, 16, 1, 3, 7)
    assert (spec.key_size, spec.btf_key_type_id, spec.value_size, spec.btf_value_type_id) == (4, UINT, 8, LONG)
    assert (spec.name, spec.kernel_name, spec.section, spec.kind, spec.pin_by_name) == ("m", "m", ".maps", "map", False)


def test_sizes_without_types() -> None:
    out = Maps()
    out.map("m", out.uint("type", 1), out.uint("key_size", 6), out.uint("value_size", 10))
    spec = out.to_spec().maps["m"]
    assert (spec.key_size, spec.value_size, spec.btf_key_type_id, spec.btf_value_type_id) == (6, 10, 0, 0)


@pytest.mark.parametrize("value", [0, 1, 1 << 40, (1 << 64) - 1])
def test_ulong(value: int) -> None:
    out = Maps()
    out.map("m", out.uint("type", 1), out.ulong("map_extra", value))
    assert out.to_spec().maps["m"].map_extra == value


@pytest.mark.parametrize(("value", "expected"), [(7, 7), (0xFFFFFFFF, (1 << 64) - 1), (1 << 31, (1 << 64) - (1 << 31))])
def test_ulong_of_32_bits(value: int, expected: int) -> None:
    out = Maps()
    out.map("m", out.uint("type", 1), t.Member("map_extra", out.type(t.Enum("", 4, [t.Enumerator("A", value)])), 0))
    assert out.to_spec().maps["m"].map_extra == expected


def test_relaxed() -> None:
    out = Maps()
    kind, outer = out.uint("type", 1), out.uint("type", MapType.ARRAY_OF_MAPS)
    out.map("m", kind, out.uint("colour", 1))
    inner = out.definition(kind, out.uint("taste", 1))
    out.map("n", outer, out.array("values", inner), at=32)
    spec = parse_object(out.to_bytes(), path="a.o", relaxed_maps=True)
    assert list(spec.maps) == ["m", "n"]
    assert spec.warnings == [
        "map m: unknown member 'colour' is left out",
        "map n: unknown member 'taste' is left out",
    ]


def test_maps_lie_in_the_order_of_the_section() -> None:
    out = Maps()
    for name, at in (("last", 64), ("first", 0), ("middle", 32)):
        out.map(name, out.uint("type", 1), at=at)
    assert list(out.to_spec().maps) == ["first", "middle", "last"]


def test_pinning() -> None:
    out = Maps()
    for at, (name, value) in enumerate({"none": 0, "by_name": 1}.items()):
        out.map(name, out.uint("type", 1), out.uint("pinning", value), at=32 * at)
    assert {m.name: m.pin_by_name for m in out.to_spec().maps.values()} == {"none": False, "by_name": True}


def test_definition_behind_a_typedef_and_const() -> None:
    out = Maps()
    type_id = out.type(t.Const(out.type(t.Typedef(out.definition(out.uint("type", 2)), "map_t"))))
    out.variable(".maps", "m", type_id, offset=0, size=8)
    assert out.to_spec().maps["m"].map_type == 2


def wrong(edit: str) -> Maps:
    out = Maps()
    kind = out.uint("type", 1)
    match edit:
        case "no type":
            out.map("m", out.uint("max_entries", 1))
        case "unknown member":
            out.map("m", kind, out.uint("colour", 1))
        case "number of no type":
            out.map("m", kind, t.Member("max_entries", INT, 0))
        case "number by pointer to int":
            out.map("m", kind, out.typed("max_entries", INT))
        case "enum of two values":
            values = [t.Enumerator("A", 1), t.Enumerator("B", 2)]
            out.map("m", kind, t.Member("map_extra", out.type(t.Enum64("", 8, values)), 0))
        case "array behind a typedef":
            array = out.type(t.Typedef(out.type(t.Array(INT, INT, 7)), "seven"))
            out.map("m", kind, out.typed("max_entries", array))
        case "enum in place of an array":
            out.map("m", kind, out.ulong("max_entries", 5))
        case "enum of nothing":
            out.map("m", kind, t.Member("map_extra", out.type(t.Enum64("", 8, [])), 0))
        case "key of no pointer":
            out.map("m", kind, t.Member("key", INT, 0))
        case "key of no size":
            out.map("m", kind, out.typed("key", out.type(t.FuncProto(0, []))))
        case "huge key":
            out.map("m", kind, out.typed("key", out.type(t.Array(LONG, INT, 0xFFFFFFFF))))
        case "sizes contradict":
            out.map("m", kind, out.uint("key_size", 8), out.typed("key", UINT))
        case "sizes contradict the other way":
            out.map("m", kind, out.typed("value", ULONG), out.uint("value_size", 4))
        case "pinning":
            out.map("m", kind, out.uint("pinning", 2))
        case "static":
            out.map("m", kind, linkage=t.Var.STATIC)
        case "hidden" | "internal":
            type_id, visibility = out.definition(kind), {"internal": 1, "hidden": 2}[edit]
            out.variable(".maps", "m", type_id, offset=0, size=8, visibility=visibility)
        case "no struct":
            out.variable(".maps", "m", INT, offset=0, size=4)
        case "variable too small":
            out.map("m", kind, out.uint("max_entries", 1), size=8)
        case "behind the section":
            out.map("m", kind, at=252)
        case "no variable":
            out._vars[".maps"] = [t.SecVar(CHAR, 0, 8)]
        case "values of an array":
            out.map("m", kind, out.array("values", out.definition(kind)))
        case "values not last":
            outer = out.uint("type", MapType.ARRAY_OF_MAPS)
            out.map("m", outer, out.array("values", out.definition(kind)), out.uint("max_entries", 1))
        case "values of no array":
            out.map("m", out.uint("type", MapType.ARRAY_OF_MAPS), out.typed("values", out.definition(kind)))
        case "values of no maps":
            out.map("m", out.uint("type", MapType.ARRAY_OF_MAPS), out.array("values", INT))
        case "values of no functions":
            out.map("m", out.uint("type", MapType.PROG_ARRAY), out.array("values", INT))
        case "values before type":
            out.map("m", out.array("values", out.definition(kind)))
        case "value_size of values":
            outer = out.uint("type", MapType.ARRAY_OF_MAPS)
            out.map("m", outer, out.uint("value_size", 8), out.array("values", out.definition(kind)))
        case "inner of inner":
            outer = out.uint("type", MapType.ARRAY_OF_MAPS)
            inner = out.definition(outer, out.array("values", out.definition(kind)))
            out.map("m", outer, out.array("values", inner))
        case "pinned inner":
            inner = out.definition(kind, out.uint("pinning", 1))
            out.map("m", out.uint("type", MapType.ARRAY_OF_MAPS), out.array("values", inner))
    return out


WRONG = [
    ("no type", "does not say the map's type"),
    ("unknown member", "unknown member 'colour'"),
    ("number of no type", "'max_entries' is no number"),
    ("number by pointer to int", "'max_entries' is no number"),
    ("enum in place of an array", "'max_entries' is no number"),
    ("enum of two values", "'map_extra' is no number"),
    ("array behind a typedef", "'max_entries' is no number"),
    ("enum of nothing", "'map_extra' is no number"),
    ("key of no pointer", "'key' is no pointer to a type"),
    ("key of no size", "has no size"),
    ("huge key", "do not fit into 32 bits"),
    ("sizes contradict", "says key_size 8, its type has 4 bytes"),
    ("sizes contradict the other way", "says value_size 8 and 4"),
    ("pinning", "pinning 2 is not known"),
    ("static", "must be a global variable"),
    ("hidden", "must be a global variable, this one is hidden"),
    ("internal", "must be a global variable, this one is hidden"),
    ("no struct", "a map is defined by a struct, this is int"),
    ("variable too small", "larger than its variable"),
    ("behind the section", r"\(252\+8\) ends behind the section \(256\)"),
    ("no variable", "not a named variable"),
    ("values of an array", "`values` is only for maps in maps and program arrays"),
    ("values not last", "`values` must be the last member"),
    ("values of no array", "`values` is no array without length"),
    ("values of no maps", "no array of pointers to map definitions"),
    ("values of no functions", "no array of pointers to functions"),
    ("values before type", "`values` is only for"),
    ("value_size of values", "value_size is 8; that of a map with `values` is 4"),
    ("inner of inner", "map in map in map"),
    ("pinned inner", "an inner map cannot be pinned"),
]


@pytest.mark.parametrize(("edit", "text"), WRONG, ids=[case[0] for case in WRONG])
def test_wrong(edit: str, text: str) -> None:
    with pytest.raises(rawbpf.RawbpfError, match=text) as caught:
        wrong(edit).to_spec()
    assert caught.value.section == ".maps"
    assert caught.value.symbol in ("m", "m.inner", "char")


def test_maps_need_btf() -> None:
    out = Maps()
    out.map("m", out.uint("type", 1))
    out.btf = None
    with pytest.raises(SpecError, match="no BTF that defines them"):
        out.to_spec()


def test_maps_need_their_section_in_btf() -> None:
    with pytest.raises(SpecError, match="BTF does not describe the section"):
        Maps().to_spec()


# -- slots


def outer(out: Maps, kind: int, *, key: int = UINT) -> int:
    inner = out.definition(out.uint("type", 2), out.uint("max_entries", 1))
    members = [out.uint("type", kind), out.typed("key", key), out.array("values", inner, at=16)]
    return out.variable(".maps", "outer", out.definition(*members), offset=0, size=16 + 4 * 8)


@pytest.mark.parametrize("kind", [MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS])
def test_slots_of_maps(kind: MapType) -> None:
    out = Maps()
    outer(out, kind)
    one = out.map("one", out.uint("type", 2), out.uint("max_entries", 1), at=64)
    out.slots = [(16 + 8 * slot, one, 1) for slot in (0, 3)]
    spec = out.to_spec()
    assert spec.maps["outer"].slots == {0: "one", 3: "one"}
    inner = spec.maps["outer"].inner
    assert inner is not None
    assert (inner.name, inner.map_type, inner.max_entries, inner.kernel_name) == ("outer.inner", 2, 1, "outer.inner")
    assert spec.maps["outer"].value_size == 4


def test_slots_of_programs() -> None:
    out = Maps()
    program = out.function("xdp", "f", [MOV_R0, EXIT])
    members = [out.uint("type", MapType.PROG_ARRAY), out.array("values", out.proto, at=8)]
    out.variable(".maps", "jumps", out.definition(*members), offset=0, size=8 + 4 * 8)
    out.slots = [(8 + 8 * 2, program, 1)]
    assert out.to_spec().maps["jumps"].slots == {2: "f"}


def wrong_slot(edit: str) -> Maps:
    out = Maps()
    if edit == "not in a map":
        out.map("late", out.uint("type", 2), at=64)
        out.slots = [(16, 0, 1)]
    elif edit == "in a map without values":
        one = out.map("one", out.uint("type", 2))
        out.slots = [(0, one, 1)]
    elif edit == "no program":
        members = [out.uint("type", MapType.PROG_ARRAY), out.array("values", out.proto, at=8)]
        out.variable(".maps", "jumps", out.definition(*members), offset=0, size=8 + 4 * 8)
        out.slots = [(8, out.function(".text", "sub", [MOV_R0, EXIT]), 1)]
    else:
        kind = MapType.HASH_OF_MAPS if edit == "long keys" else MapType.ARRAY_OF_MAPS
        outer(out, kind, key=ULONG if edit == "long keys" else UINT)
        one = out.map("one", out.uint("type", 2), at=64)
        symbol = out.function("xdp", "f", [MOV_R0, EXIT]) if edit == "no map" else one
        out.slots = [({"before values": 8, "between values": 20}.get(edit, 16), symbol, 1)]
    return out


WRONG_SLOTS = [
    ("not in a map", "byte 16 is in no map's definition"),
    ("in a map without values", "no member `values`"),
    ("no program", "slot 0 names 'sub', which is no program"),
    ("long keys", "keys of 4 bytes, not 8"),
    ("no map", "slot 0 names 'f', which is no map"),
    ("before values", "byte 8 is no element of `values`"),
    ("between values", "byte 20 is no element of `values`"),
]


@pytest.mark.parametrize(("edit", "text"), WRONG_SLOTS, ids=[case[0] for case in WRONG_SLOTS])
def test_wrong_slot(edit: str, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        wrong_slot(edit).to_spec()


# -- what the compiler makes


def maps_of(name: str, order: str) -> dict[str, MapSpec]:
    return rawbpf.open(OBJS / f"{name}.{order}.o").maps


EXPECTED = {
    # name: type, key size, value size, max_entries, flags, map_extra
    "typed_array": (MapType.ARRAY, 4, 8, 3, 0, 0),
    "flows": (MapType.HASH, 8, 24, 1000, 0, 0),
    "sized_hash": (MapType.HASH, 6, 10, 7, 1, 0),
    "sized_and_typed": (MapType.ARRAY, 4, 24, 1, 0, 0),
    "percpu_array": (MapType.PERCPU_ARRAY, 4, 24, 2, 0, 0),
    "percpu_hash": (MapType.PERCPU_HASH, 8, 4, 5, 0, 0),
    "perf_events": (MapType.PERF_EVENT_ARRAY, 4, 4, 0, 0, 0),
    "events": (MapType.RINGBUF, 0, 0, 1 << 16, 0, 0),
    "odd_events": (MapType.RINGBUF, 0, 0, 5000, 0, 0),  # rounded to pages, whose size the kernel says
    "bloom": (MapType.BLOOM_FILTER, 0, 4, 64, 0, 3),
    "bloom_ulong": (MapType.BLOOM_FILTER, 0, 4, 64, 0, 5),
    "queue": (MapType.QUEUE, 0, 4, 4, 0, 0),
    "prefixes": (MapType.LPM_TRIE, 8, 4, 16, 1, 0),
    "sockets": (MapType.SK_STORAGE, 4, 24, 0, 1, 0),
    "mmapable": (MapType.ARRAY, 4, 4, 100, 0x400 | 0x80, 0),
    "a_name_longer_than_the_kernel_allows": (MapType.LRU_HASH, 4, 4, 8, 0, 0),
}


@ORDERS
def test_compiled_maps(order: str) -> None:
    maps = maps_of("maps", order)
    found = {
        m.name: (m.map_type, m.key_size, m.value_size, m.max_entries, m.map_flags, m.map_extra) for m in maps.values()
    }
    assert {name: found[name] for name in found if name in EXPECTED} == EXPECTED
    offsets = [m.offset for m in maps.values() if m.kind == "map"]
    assert offsets == sorted(offsets)
    assert len(offsets) == len(EXPECTED)
    assert maps["a_name_longer_than_the_kernel_allows"].kernel_name == "a_name_longer_t"


@ORDERS
def test_compiled_maps_in_maps(order: str) -> None:
    maps = maps_of("map_in_map", order)
    assert sorted(maps) == ["any_size", "by_hash", "first", "inner_one", "inner_two", "large"]
    assert maps["first"].slots == {0: "inner_one", 1: "inner_two", 3: "inner_one"}
    assert maps["any_size"].slots == {1: "large"}
    assert maps["by_hash"].slots == {}
    inner = maps["by_hash"].inner
    assert inner is not None
    assert (inner.map_type, inner.key_size, inner.value_size, inner.max_entries) == (MapType.HASH, 4, 8, 16)
    assert maps_of("prog_array", order)["jumps"].slots == {1: "one", 3: "three"}
    assert [m.pin_by_name for m in maps_of("maps_pinned", order).values()] == [True, False]


@pytest.mark.parametrize(
    ("size", "rounded"), [(1, 4096), (4096, 4096), (4097, 8192), (5000, 8192), (1 << 31, 1 << 31), (0xFFFFFFFF,) * 2]
)
def test_ring_size(size: int, rounded: int) -> None:
    assert round_ring_size(size, 4096) == rounded
