# SPDX-License-Identifier: BSD-2-Clause
"""Maps that are edited before planning: each attribute arrives in its step, and none that means nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kernelkit import kernel_for

import rawbpf
from rawbpf.errors import SpecError
from rawbpf.plan import steps as s
from rawbpf.plan.plan import Plan
from rawbpf.plan.planner import make_plan
from rawbpf.uapi import MapFlag, MapType

OBJS = Path(__file__).parents[1] / "objs"
ELSEWHERE = {"struct_ops": MapType.STRUCT_OPS, "arena": MapType.ARENA}
"""The map types that have objects of their own."""


def planned(name: str, map_: str, **edits: Any) -> s.CreateMap:
    spec = rawbpf.open(OBJS / f"{name}.el.o")
    for field, value in edits.items():
        assert hasattr(spec.maps[map_], field)
        setattr(spec.maps[map_], field, value)
    plan = make_plan(spec, kernel_for(spec))
    assert Plan.from_json(plan.to_json()) == plan
    return next(step for step in plan.maps if step.handle == f"map:{map_}")


@pytest.mark.parametrize(
    ("field", "value", "attribute"),
    [
        ("map_type", MapType.LRU_HASH, "map_type"),
        ("key_size", 12, "key_size"),
        ("value_size", 100, "value_size"),
        ("max_entries", 0xFFFFFFFF, "max_entries"),
        ("map_flags", MapFlag.NO_PREALLOC | MapFlag.NUMA_NODE, "map_flags"),
        ("map_extra", (1 << 64) - 1, "map_extra"),
        ("numa_node", 3, "numa_node"),
        ("ifindex", 2, "map_ifindex"),
        ("btf_key_type_id", 0, "btf_key_type_id"),
        ("btf_value_type_id", 0, "btf_value_type_id"),
        ("kernel_name", "another", "name"),
        ("pin_path", "/sys/fs/bpf/mine/flows", "pin_path"),
    ],
)
def test_attributes(field: str, value: Any, attribute: str) -> None:
    before, after = planned("maps", "flows"), planned("maps", "flows", **{field: value})
    assert getattr(before, attribute) != value
    assert getattr(after, attribute) == value
    assert after == before._replace(**{attribute: value})


@pytest.mark.parametrize("field", ["key_size", "value_size", "max_entries", "map_flags", "numa_node", "ifindex"])
@pytest.mark.parametrize("value", [-1, 1 << 32, "16", None, 1.5])
def test_numbers_that_are_none(field: str, value: Any) -> None:
    with pytest.raises(SpecError, match="no number of 32 bits") as error:
        planned("maps", "flows", **{field: value})
    assert (error.value.symbol, field in str(error.value)) == ("flows", True)


def test_pin_path_wins_over_the_name() -> None:
    names = {"pin_by_name": True}
    assert planned("maps", "flows", **names).pin_path == "/sys/fs/bpf/flows"
    assert planned("maps", "flows", **names, pin_path="/sys/fs/bpf/x").pin_path == "/sys/fs/bpf/x"


@pytest.mark.parametrize(
    ("map_type", "asked", "given"),
    [
        (MapType.RINGBUF, 1, 4096),
        (MapType.USER_RINGBUF, 3 * 4096, 4 * 4096),
        (MapType.RINGBUF, 0, 0),
        (MapType.PERF_EVENT_ARRAY, 0, 4),
        (MapType.PERF_EVENT_ARRAY, 7, 7),
    ],
)
def test_sizes_are_worked_out_after_edits(map_type: MapType, asked: int, given: int) -> None:
    assert planned("maps", "flows", map_type=map_type, max_entries=asked).max_entries == given


def test_template_of_a_map_in_map() -> None:
    spec = rawbpf.open(OBJS / "map_in_map.el.o")
    outer = next(map_ for map_ in spec.maps.values() if map_.inner)
    assert outer.inner is not None
    outer.inner.max_entries, outer.inner.map_flags = 77, int(MapFlag.INNER_MAP)
    plan = make_plan(spec, kernel_for(spec))
    step = next(step for step in plan.maps if step.handle == f"map:{outer.inner.name}")
    assert (step.max_entries, step.map_flags) == (77, MapFlag.INNER_MAP)
    outer.inner.max_entries = -1
    with pytest.raises(SpecError, match="no number of 32 bits"):
        make_plan(spec, kernel_for(spec))


def test_contents_of_a_section() -> None:
    spec = rawbpf.open(OBJS / "resize.el.o")
    spec.maps[".bss.points"].contents = bytearray(b"\1" * 8)
    plan = make_plan(spec, kernel_for(spec))
    values = {step.map: step.value for step in plan.steps if isinstance(step, s.UpdateMap)}
    assert values["map:.bss.points"] == b"\1" * 8


@pytest.mark.parametrize("order", ["el", "eb"])
def test_each_type_of_map_is_in_an_object(order: str) -> None:
    found = {MapType.UNSPEC}
    for name in ("map_types", "map_types_newer", *ELSEWHERE):
        found |= {MapType(map_.map_type) for map_ in rawbpf.open(OBJS / f"{name}.{order}.o").maps.values()}
    assert found == set(MapType)
